/* Terms against formulas: the sums of a pass and each term's own gradient. A layer with a term is run alone, on its
 * input of the pass and on random values, which reach further than a fresh network does. */
#include "base/sys.h"
#include "jobs/check_formulas.h"
#include "jobs/check_net.h"
#include "jobs/jobs.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A layer's values in a pass, on the host. */
typedef struct term_pass {
    const dn_layer *layer;
    size_t rows, inputs, outputs;
    float *floats;                /* all of them */
    float *x, *dx, *eps, *z, *dz; /* (rows, inputs) twice; (rows, outputs) */
    double *wanted;               /* (rows, inputs): gradient by the formula */
    double *kept, *truth;         /* of one unit */
    float *spreads;               /* learned numbers of a head; NULL: none */
    const float *weights;         /* (rows) */
    double sum, size;             /* of the losses, and of the parts they are made of */
} term_pass;

static dn_status pass_create(term_pass *p, const dn_checker *c, const dn_layer *l) {
    size_t n = c->rows.n * (size_t)l->inputs, m = c->rows.n * (size_t)l->outputs;
    *p = (term_pass){.layer = l,
                     .rows = c->rows.n,
                     .inputs = (size_t)l->inputs,
                     .outputs = (size_t)l->outputs,
                     .weights = c->weights};
    p->floats = dn_alloc(2 * n + 3 * m, sizeof *p->floats);
    p->wanted = dn_alloc(n + (size_t)l->inputs + (size_t)(l->term.truths > l->inputs ? l->term.truths : l->inputs),
                         sizeof *p->wanted);
    if (!p->floats || !p->wanted) return DN_E_MEMORY;
    p->x = p->floats, p->dx = p->x + n, p->eps = p->dx + n, p->z = p->eps + m, p->dz = p->z + m;
    p->kept = p->wanted + n, p->truth = p->kept + p->inputs;
    dn_term_look look;
    const dn_tensor *spread = l->term.type->look(l, 0, &look) ? look.spread : NULL;
    if (!spread) return DN_OK;
    if (!(p->spreads = dn_alloc(spread->count, sizeof *p->spreads))) return DN_E_MEMORY;
    c->net->ops->download(c->net->pool, p->spreads, spread->value, spread->count * sizeof *p->spreads);
    return c->net->ops->finish(c->net->pool);
}

static void pass_free(term_pass *p) {
    dn_free(p->floats);
    dn_free(p->wanted);
    dn_free(p->spreads);
}

void dn_checker_take(dn_check_line *line, double found, double expected, double scale) {
    double error = fabs(found - expected) / scale;
    if (found == expected) error = 0;
    if (!line->values || !(error <= line->error)) line->error = error, line->found = found, line->expected = expected;
    line->values++;
}

dn_status dn_checker_add_formula(dn_checker *c, const dn_layer *l, const char *what, double tolerance,
                                 dn_check_line line) {
    snprintf(line.what, sizeof line.what, "%s", what);
    snprintf(line.against, sizeof line.against, "formula");
    line.tolerance = tolerance, line.ok = line.error <= tolerance;
    return dn_checker_add(c, l, line);
}

/* ---- losses ---- */

/* Derivative by value k of a unit: of the formula, by differences in double precision. */
static double unit_slope(const dn_term_look *look, const dn_unit *u, double *x, const double *truth, size_t k) {
    double at = x[k], h = 1e-3 * fmax(1, fabs(at)), f[4], unused;
    const double steps[] = {1, -1, 2, -2};
    for (int i = 0; i < 4; i++) {
        x[k] = at + steps[i] * h;
        f[i] = dn_formula_loss(look, u, x, truth, &unused);
    }
    x[k] = at;
    return (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h);
}

/* One row: adds to sum and size, and sets `wanted`; NaN there: not comparable. */
static void losses_of_row(term_pass *p, double weight, const float *x, const float *truth, double *wanted) {
    dn_term_look look;
    dn_unit u;
    for (int part = 0; p->layer->term.type->look(p->layer, part, &look); part++) {
        look.spreads = p->spreads;
        for (size_t i = 0; dn_formula_unit(p->layer, &look, i, &u); i++) {
            double size, factor = weight * look.factor * dn_formula_s(&look);
            for (size_t k = 0; k < u.n; k++) p->kept[k] = x[u.at + k * u.step];
            for (size_t k = 0; k < u.truths; k++) p->truth[k] = truth[u.t_at + k * u.t_step];
            p->sum += weight * dn_formula_loss(&look, &u, p->kept, p->truth, &size), p->size += weight * size;
            int smooth = !dn_formula_kink(&look, p->kept[0], p->truth[0]);
            for (size_t k = 0; k < u.n; k++)
                wanted[u.at + k * u.step] = smooth ? factor * unit_slope(&look, &u, p->kept, p->truth, k) : NAN;
        }
    }
}

/* With sigma=optimal, training takes the mean squared error of the pass as the variance. */
static void losses_optimal(term_pass *p, const float *truth) {
    dn_term_look look;
    double squares = 0, n = 0;
    if (!p->layer->term.type->look(p->layer, 0, &look) || !look.optimal) return;
    for (size_t r = 0; r < p->rows; r++)
        for (size_t k = 0; k < look.head.columns; k++) {
            double d = (double)truth[r * (size_t)p->layer->term.truths + look.truth_at + k] -
                       p->x[r * p->inputs + look.x_at + k];
            if (!isnan(d)) squares += p->weights[r] * d * d, n += p->weights[r];
        }
    p->spreads[0] = n > 0 ? (float)log(squares / n) : 0;
}

static void losses_of_pass(term_pass *p, const float *truth) {
    size_t truths = (size_t)p->layer->term.truths;
    p->sum = p->size = 0;
    for (size_t i = 0; i < p->rows * p->inputs; i++) p->wanted[i] = NAN; /* other heads may stand there */
    losses_optimal(p, truth);
    for (size_t r = 0; r < p->rows; r++)
        losses_of_row(p, p->weights[r], p->x + r * p->inputs, truth + r * truths, p->wanted + r * p->inputs);
}

/* Run the layer alone, forward and backward, with `dz` (NULL: 0) as the gradient of its output. */
static dn_status term_run(dn_checker *c, term_pass *p, const float *dz, double *sum) {
    dn_layer *l = &c->plan->layers[p->layer->index], *first = l - l->shared; /* which passes down the heads' gradient */
    const dn_ops *ops = c->net->ops;
    dn_pool *pool = c->net->pool;
    size_t n = p->rows * p->inputs, m = p->rows * p->outputs;
    dn_report unused;
    dn_plan_losses_clear(c->plan);
    if (l->type->set_noise) l->type->set_noise(l, &c->plan->run, p->eps, m);
    DN_TRY(l->type->forward(l, &c->plan->run));
    dn_plan_weigh(c->plan, l);
    DN_TRY(dn_plan_losses(c->plan, &unused));
    *sum = l->term.sum;
    ops->download(pool, p->z, l->output, m * sizeof *p->z);
    if (!first->dx) return ops->finish(pool);
    ops->fill(pool, p->rows * (size_t)first->outputs, 0, first->delta);
    if (dz) ops->upload(pool, l->delta, dz, m * sizeof *dz);
    ops->fill(pool, n, 0, first->dx);
    DN_TRY(first->type->backward(first, &c->plan->run));
    ops->download(pool, p->dx, first->dx, n * sizeof *p->dx);
    return ops->finish(pool);
}

static double root_mean_square(const double *values, size_t n) {
    double sum = 0;
    size_t counted = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i])) sum += values[i] * values[i], counted++;
    return sqrt(sum / (double)(counted + !counted));
}

static void compare_slopes(dn_check_line *line, const float *found, const double *wanted, size_t n) {
    double usual = root_mean_square(wanted, n) + 1e-30;
    for (size_t i = 0; i < n; i++)
        if (!isnan(wanted[i])) dn_checker_take(line, found[i], wanted[i], fabs(wanted[i]) + usual);
}

static dn_status term_of_likelihood(dn_checker *c, term_pass *p, dn_check_line *loss, dn_check_line *slope) {
    double sum;
    DN_TRY(term_run(c, p, NULL, &sum));
    losses_of_pass(p, c->pass_truth);
    dn_checker_take(loss, sum, p->sum, p->size);
    if (c->plan->layers[p->layer->index - p->layer->shared].dx)
        compare_slopes(slope, p->dx, p->wanted, p->rows * p->inputs);
    return DN_OK;
}

/* ---- the latent space ---- */

typedef struct latent_lines {
    dn_check_line kl, by_mean, by_variance, z, z_by_mean, z_by_variance;
} latent_lines;

/* s beta, the factor of the KL's gradient: s is that of the first loss with a scale. */
static double latent_factor(const dn_checker *c, const dn_layer *l) {
    dn_term_look look;
    for (int i = 0; i < c->net->n_layers; i++) {
        const dn_layer *other = &c->net->layers[i];
        if (!other->term.type || other->term.type->latent) continue;
        if (!other->term.type->look || !other->term.type->look(other, 0, &look)) return l->term.scale * l->term.weight;
        double s = look.factor * dn_formula_s(&look);
        if (s > 0) return s * l->term.weight;
    }
    return l->term.weight;
}

/* By the closed form, and by the derivative of z = mean + exp(b / 2) eps. */
static dn_status term_of_latent(dn_checker *c, term_pass *p, latent_lines *lines) {
    size_t n = p->outputs, total = p->rows * p->inputs;
    double sum, w = latent_factor(c, &c->plan->layers[p->layer->index]);
    float *own = dn_alloc(total, sizeof *own); /* the KL's part of dx */
    if (!own) return DN_E_MEMORY;
    for (size_t i = 0; i < p->rows * n; i++) p->dz[i] = (float)dn_checker_normal(c);
    dn_status status = term_run(c, p, NULL, &sum);
    memcpy(own, p->dx, total * sizeof *own);
    if (status == DN_OK) status = term_run(c, p, p->dz, &sum);
    double kl = 0, size = 0, limit = p->layer->term.variance_limit;
    for (size_t i = 0; i < p->rows * n && status == DN_OK; i++) {
        size_t at = i / n * p->inputs + i % n;
        double lv = p->x[at], mu = p->x[at + n], eps = p->eps[i], dz = p->dz[i], slope;
        double b = dn_formula_log_variance(lv, limit, &slope), part = dn_formula_kl(lv, limit, mu), spread = exp(b / 2);
        double weight = p->weights[i / n], own_w = w * weight;
        kl += weight * part, size += weight * (fabs(part) + 0.01);
        dn_checker_take(&lines->z, p->z[i], mu + spread * eps, fabs(mu) + spread * fabs(eps) + 1e-3);
        if (!c->plan->layers[p->layer->index].dx) continue;
        double by_mean = own_w * mu, by_variance = own_w * 0.5 * (exp(b) - 1) * slope,
               through = dz * 0.5 * spread * eps * slope;
        dn_checker_take(&lines->by_mean, own[at + n], by_mean, fabs(by_mean) + 0.01 * w + 1e-30);
        dn_checker_take(&lines->by_variance, own[at], by_variance, fabs(by_variance) + 0.01 * w * slope + 1e-30);
        dn_checker_take(&lines->z_by_mean, (double)p->dx[at + n] - own[at + n], dz,
                        fabs(dz) + 0.01 + 0.1 * fabs(by_mean));
        dn_checker_take(&lines->z_by_variance, (double)p->dx[at] - own[at], through,
                        fabs(through) + 0.01 * slope + 0.1 * fabs(by_variance));
    }
    if (status == DN_OK) dn_checker_take(&lines->kl, sum, kl, size);
    dn_free(own);
    return status;
}

static dn_status latent_add(dn_checker *c, const dn_layer *l, const latent_lines *lines) {
    const struct {
        const char *what;
        const dn_check_line *line;
    } all[] = {{"KL", &lines->kl}, {"KL by mean", &lines->by_mean},  {"KL by log-variance", &lines->by_variance},
               {"z", &lines->z},   {"z by mean", &lines->z_by_mean}, {"z by log-variance", &lines->z_by_variance}};
    int plain = !l->term.rule || l->term.rule->form == DN_KL_PLAIN; /* else its gradient has factors */
    for (int i = 0; i < 6; i++)
        if (plain || (i != 1 && i != 2))
            DN_TRY(dn_checker_add_formula(c, l, all[i].what, i == 0 ? DN_CHECK_SUM : DN_CHECK_SLOPE, *all[i].line));
    return DN_OK;
}

/* ---- values to compute with ---- */

/* Log-variances within and beyond their bound, means, outputs: wider than those of a fresh network. */
static void draw_inputs(dn_checker *c, term_pass *p, int latent) {
    for (size_t i = 0; i < p->rows * p->inputs; i++) {
        double x = (latent ? 1.5 : 3) * dn_checker_normal(c);
        int variance = latent && i % p->inputs < p->outputs;
        p->x[i] = (float)(variance && dn_checker_random(c) < 0.1 ? 9 * x : x);
    }
}

static void draw_noise(dn_checker *c, term_pass *p) {
    for (size_t i = 0; i < p->rows * p->outputs; i++) p->eps[i] = (float)dn_checker_normal(c);
}

static dn_status term_check(dn_checker *c, term_pass *p) {
    const dn_layer *l = p->layer;
    int latent = l->term.type->latent;
    dn_check_line loss = {0}, slope = {0};
    latent_lines lines = {0};
    size_t bytes = p->rows * p->inputs * sizeof *p->x;
    float *device = dn_checker_input(c, l);
    for (int drawn = 0; drawn < 2; drawn++) {
        c->net->ops->download(c->net->pool, p->x, device, bytes);
        if (drawn) draw_inputs(c, p, latent);
        if (drawn) c->net->ops->upload(c->net->pool, device, p->x, bytes);
        draw_noise(c, p);
        DN_TRY(latent ? term_of_latent(c, p, &lines) : term_of_likelihood(c, p, &loss, &slope));
    }
    if (latent) return latent_add(c, l, &lines);
    DN_TRY(dn_checker_add_formula(c, l, "loss", DN_CHECK_SUM, loss));
    return dn_checker_add_formula(c, l, "loss by input", DN_CHECK_SLOPE, slope);
}

dn_status dn_checker_terms(dn_checker *c) {
    double objective;
    for (int i = 0; i < c->net->n_layers; i++) {
        const dn_layer *l = &c->plan->layers[i];
        term_pass p = {0};
        dn_term_look look;
        if (!l->term.type || !l->term.type->look || !l->term.type->look(l, 0, &look)) continue;
        if (look.formula == DN_FORMULA_MIXTURE) continue;
        dn_status status = pass_create(&p, c, l);
        if (status == DN_OK) status = term_check(c, &p);
        pass_free(&p);
        if (status == DN_OK) status = dn_checker_forward(c, 0, &objective); /* random inputs are overwritten */
        DN_TRY(status);
    }
    return DN_OK;
}

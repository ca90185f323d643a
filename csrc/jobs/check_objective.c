/* Objectives and reports against formulas: what a KL costs with free bits or a capacity, the KL to a mixture, the bound
 * of several draws, and what `evaluate` reports. Everything is computed once more in double precision, from what the
 * layers with a term have read in a pass. */
#include "base/sys.h"
#include "jobs/check_formulas.h"
#include "jobs/check_net.h"
#include "jobs/jobs.h"
#include <math.h>
#include <stdio.h>

enum { EVALUATED_DRAWS = 3 }; /* of a row, by evaluate */

/* A layer with a term in a pass, on the host. Rows before the sampling layer are one for all draws of a row. */
typedef struct seen_layer {
    const dn_layer *layer;
    size_t inputs, z_count, repeats; /* repeats: rows of the pass that share one of x */
    float *x, *z;                    /* (rows / repeats, inputs); (rows, latent) */
    float *learned;                  /* spreads of a likelihood, or the three tensors of a mixture; NULL: none */
    dn_formula_prior prior;
    double *work;
} seen_layer;

static void seen_free(seen_layer *s) {
    dn_free(s->x);
    dn_free(s->z);
    dn_free(s->learned);
    dn_free(s->work);
}

static dn_status seen_learned(seen_layer *s, const dn_checker *c) {
    dn_term_look look;
    s->layer->term.type->look(s->layer, 0, &look);
    const dn_tensor *first = look.mixture ? look.mixture : look.spread;
    size_t tensors = look.mixture ? 3 : 1, count = 0, at = 0;
    for (size_t i = 0; first && i < tensors; i++) count += first[i].count;
    if (!first) return DN_OK;
    if (!(s->learned = dn_alloc(count, sizeof *s->learned))) return DN_E_MEMORY;
    for (size_t i = 0; i < tensors; at += first[i++].count)
        c->net->ops->download(c->net->pool, s->learned + at, first[i].value, first[i].count * sizeof *s->learned);
    if (!look.mixture) return DN_OK;
    s->prior.components = first[2].count, s->prior.means = s->learned;
    s->prior.log_variances = s->prior.means + first[0].count, s->prior.logits = s->prior.log_variances + first[1].count;
    return DN_OK;
}

/* `rows` of the pass, with `draws` of each. */
static dn_status seen_read(seen_layer *s, const dn_checker *c, const dn_plan *p, const dn_layer *l, size_t rows,
                           size_t draws) {
    const dn_ops *ops = c->net->ops;
    int latent = l->term.type->latent, before = l->index - 1 - l->shared < c->net->sampling_layer;
    size_t from = before ? rows : rows * draws, truths = (size_t)l->term.truths;
    *s = (seen_layer){.layer = l, .inputs = (size_t)l->inputs, .repeats = before ? draws : 1};
    s->prior.n = s->z_count = latent ? (size_t)l->outputs : 0;
    s->x = dn_alloc(from * s->inputs, sizeof *s->x);
    s->work = dn_alloc(s->inputs + (truths > s->inputs ? truths : s->inputs), sizeof *s->work);
    if (!s->x || !s->work) return DN_E_MEMORY;
    ops->download(c->net->pool, s->x, dn_layer_x(l, &p->run), from * s->inputs * sizeof *s->x);
    DN_TRY(seen_learned(s, c));
    if (!latent) return ops->finish(c->net->pool);
    if (!(s->z = dn_alloc(rows * draws * s->z_count, sizeof *s->z))) return DN_E_MEMORY;
    ops->download(c->net->pool, s->z, l->output, rows * draws * s->z_count * sizeof *s->z);
    return ops->finish(c->net->pool);
}

/* Row i of the pass. */
static const float *seen_x(const seen_layer *s, size_t i) { return s->x + i / s->repeats * s->inputs; }

static double seen_log_ratio(const seen_layer *s, size_t i, double *size) {
    for (size_t k = 0; k < s->z_count; k++) s->work[k] = s->z[i * s->z_count + k];
    return dn_formula_log_ratio(&s->prior, s->layer->term.variance_limit, seen_x(s, i), s->work, size);
}

static double seen_kl(const seen_layer *s, size_t i, double *size) {
    if (s->prior.components) return seen_log_ratio(s, i, size);
    return dn_formula_row_kl(&s->prior, s->layer->term.variance_limit, seen_x(s, i), s->work, size);
}

/* ---- what a KL costs ---- */

typedef struct latent_sums {
    double kl, cost, size; /* cost: before beta */
} latent_sums;

/* Of all rows, with z as it was drawn, or `mean`: at its mean. */
static dn_status latent_sums_of(const dn_checker *c, const seen_layer *s, int mean, latent_sums *out) {
    size_t rows = c->rows.n, n = s->z_count;
    double *kl = dn_alloc(rows + n, sizeof *kl), *columns = kl + rows, limit = s->layer->term.variance_limit, size;
    if (!kl) return DN_E_MEMORY;
    *out = (latent_sums){.size = 1e-30};
    for (size_t r = 0; r < rows; r++) {
        const float *x = seen_x(s, r), w = c->weights[r];
        kl[r] = mean ? dn_formula_row_kl(&s->prior, limit, x, s->work, &size) : seen_kl(s, r, &size);
        out->kl += w * kl[r], out->size += w * size;
        for (size_t i = 0; i < n; i++) columns[i] += w * dn_formula_kl(x[i], limit, x[i + n]);
    }
    out->cost = dn_formula_kl_cost(&s->layer->term, rows, n, kl, c->weights, columns);
    dn_free(kl);
    return DN_OK;
}

static dn_status objective_cost(dn_checker *c, const seen_layer *s) {
    const dn_term *planned = &c->plan->layers[s->layer->index].term;
    double beta = s->layer->term.weight;
    dn_check_line kl = {0}, cost = {0};
    latent_sums sums;
    DN_TRY(latent_sums_of(c, s, 0, &sums));
    dn_checker_take(&kl, planned->sum, sums.kl, sums.size);
    dn_checker_take(&cost, planned->weighted, beta * sums.cost, beta * (sums.size + fabs(sums.cost)) + 1e-30);
    if (s->prior.components) DN_TRY(dn_checker_add_formula(c, s->layer, "KL", DN_CHECK_SUM, kl));
    return dn_checker_add_formula(c, s->layer, "kl_cost", DN_CHECK_SUM, cost);
}

/* ---- bounds ---- */

/* Of one row. */
typedef struct row_bound {
    double reconstruction, kl, log_likelihood, size;
} row_bound;

/* ln of the mean of w = p(x|z) p(z) / q(z|x) over the draws (Burda et al., arXiv:1509.00519, eq. 8). */
static dn_status bound_of_row(const dn_checker *c, const seen_layer *seen, int n, size_t row, size_t draws,
                              row_bound *out) {
    const float *truth = c->pass_truth + row * (size_t)c->net->truths;
    double *ln_w = dn_alloc(draws, sizeof *ln_w), most = -INFINITY, sum = 0, size, one;
    if (!ln_w) return DN_E_MEMORY;
    *out = (row_bound){.size = 1};
    for (size_t d = 0; d < draws; d++) {
        ln_w[d] = size = 0;
        for (int i = 0; i < n; i++) {
            const seen_layer *s = &seen[i];
            size_t at = row * draws + d;
            int latent = s->layer->term.type->latent;
            double loss = latent ? seen_log_ratio(s, at, &one)
                                 : dn_formula_row(s->layer, s->learned, seen_x(s, at), truth, s->work, &one);
            ln_w[d] -= loss, size += one;
            if (latent) loss = seen_kl(s, at, &one);
            *(latent ? &out->kl : &out->reconstruction) += loss / (double)draws;
        }
        most = fmax(most, ln_w[d]), out->size = fmax(out->size, size);
    }
    for (size_t d = 0; d < draws; d++) sum += exp(ln_w[d] - most) / (double)draws;
    out->log_likelihood = most + log(sum);
    dn_free(ln_w);
    return DN_OK;
}

/* Sums over the rows, each times its weight. */
static dn_status bound_of_rows(const dn_checker *c, const seen_layer *seen, int n, size_t draws, row_bound *out) {
    *out = (row_bound){0};
    for (size_t r = 0; r < c->rows.n; r++) {
        row_bound row;
        DN_TRY(bound_of_row(c, seen, n, r, draws, &row));
        out->reconstruction += c->weights[r] * row.reconstruction, out->kl += c->weights[r] * row.kl;
        out->log_likelihood += c->weights[r] * row.log_likelihood, out->size += c->weights[r] * row.size;
    }
    out->size += 1e-30;
    return DN_OK;
}

static dn_status objective_bound(dn_checker *c, const seen_layer *seen, int n, double objective) {
    dn_check_line line = {0};
    row_bound bound;
    char what[48];
    DN_TRY(bound_of_rows(c, seen, n, (size_t)c->plan->draws, &bound));
    dn_checker_take(&line, objective, -bound.log_likelihood, bound.size);
    snprintf(what, sizeof what, "bound of %d draws", c->plan->draws);
    return dn_checker_add_formula(c, NULL, what, DN_CHECK_SUM, line);
}

static dn_status evaluated_bound(dn_checker *c, const seen_layer *seen, int n, const dn_report *found) {
    row_bound bound;
    double count = dn_job_count(&c->given);
    DN_TRY(bound_of_rows(c, seen, n, EVALUATED_DRAWS, &bound));
    const double wanted[] = {bound.reconstruction, bound.kl, -bound.reconstruction - bound.kl, bound.log_likelihood};
    static const char *const names[] = {"reconstruction", "kl", "elbo", "log_likelihood"};
    for (int i = 0; i < 4; i++) {
        dn_check_line line = {0};
        char what[48];
        snprintf(what, sizeof what, "%s of evaluate", names[i]);
        dn_checker_take(&line, dn_report_get(found, names[i]), wanted[i] / count, bound.size / count);
        DN_TRY(dn_checker_add_formula(c, NULL, what, DN_CHECK_SUM, line));
    }
    return DN_OK;
}

/* ---- passes ---- */

/* Every term, as it was in the pass of the plan. Returns 0 where the formula of one is not known. */
static int terms_known(const dn_net *net, int *terms) {
    dn_term_look look;
    *terms = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_term_type *type = net->layers[i].term.type;
        if (type && (!type->look || !type->look(&net->layers[i], 0, &look))) return 0;
        *terms += type != NULL;
    }
    return 1;
}

static dn_status terms_read(const dn_checker *c, const dn_plan *p, size_t draws, seen_layer *seen) {
    for (int i = 0, n = 0; i < p->n_layers; i++)
        if (p->layers[i].term.type) DN_TRY(seen_read(&seen[n++], c, p, &p->layers[i], c->rows.n, draws));
    return DN_OK;
}

/* After a job, which computes with the averages where the network keeps some. */
static dn_status terms_read_of_results(const dn_checker *c, const dn_plan *p, size_t draws, seen_layer *seen) {
    dn_net_use_results(c->net, 1);
    dn_status status = terms_read(c, p, draws, seen);
    dn_net_use_results(c->net, 0);
    return status;
}

static void terms_free(seen_layer *seen, int n) {
    for (int i = 0; i < n; i++) seen_free(&seen[i]), seen[i] = (seen_layer){0};
}

/* A training pass. */
static dn_status objective_trained(dn_checker *c, seen_layer *seen, int n) {
    double objective;
    size_t draws = c->plan->draws ? (size_t)c->plan->draws : 1;
    DN_TRY(dn_checker_forward(c, 0, &objective));
    DN_TRY(terms_read(c, c->plan, draws, seen));
    if (c->plan->draws) return objective_bound(c, seen, n, objective);
    for (int i = 0; i < n; i++) {
        const dn_term *term = &seen[i].layer->term;
        int plain = !term->rule || term->rule->form == DN_KL_PLAIN;
        if (term->type->latent && (!plain || seen[i].prior.components)) DN_TRY(objective_cost(c, &seen[i]));
    }
    return DN_OK;
}

/* A likelihood alone is reported as it is, several relative to the first one's scale. */
static double share_of(const seen_layer *seen, int n, const seen_layer *s) {
    int likelihoods = 0;
    for (int i = 0; i < n; i++) likelihoods += !seen[i].layer->term.type->latent;
    return likelihoods == 1 || s->layer->term.type->latent ? 1 : s->layer->term.share;
}

/* Means over the rows, by evaluate. Layers keep the values of that pass. */
static dn_status losses_evaluated(dn_checker *c, seen_layer *seen, int n) {
    static const char *const names[] = {DN_IMAGE_LOSS, DN_LATENT_LOSS, DN_KL_COST, DN_TOTAL_LOSS};
    double wanted[4] = {0}, sizes[4] = {0}, count = dn_job_count(&c->given);
    dn_report report;
    DN_TRY(dn_net_evaluate(c->net, &c->given, &report));
    DN_TRY(terms_read_of_results(c, c->plan, 1, seen));
    for (int i = 0; i < n; i++) {
        const seen_layer *s = &seen[i];
        int latent = s->layer->term.type->latent;
        double share = share_of(seen, n, s), beta = latent ? s->layer->term.weight : 0, one;
        latent_sums sums = {0};
        if (latent) DN_TRY(latent_sums_of(c, s, 1, &sums));
        for (size_t r = 0; !latent && r < c->rows.n; r++) {
            const float *truth = c->pass_truth + r * (size_t)s->layer->term.truths;
            sums.kl += c->weights[r] * dn_formula_row(s->layer, s->learned, seen_x(s, r), truth, s->work, &one);
            sums.size += c->weights[r] * one;
        }
        wanted[latent] += share * sums.kl, sizes[latent] += fabs(share) * sums.size;
        wanted[2] += beta * sums.cost, sizes[2] += beta * (sums.size + fabs(sums.cost));
    }
    wanted[3] = wanted[0] + wanted[2], sizes[3] = sizes[0] + sizes[2];
    for (int i = 0; i < 4; i++) {
        dn_check_line line = {0};
        char what[48];
        if ((i == 1 || i == 2) && c->net->sampling_layer < 0) continue;
        snprintf(what, sizeof what, "%s of evaluate", names[i]);
        dn_checker_take(&line, dn_report_get(&report, names[i]), wanted[i] / count, sizes[i] / count + 1e-30);
        DN_TRY(dn_checker_add_formula(c, NULL, what, DN_CHECK_SUM, line));
    }
    return DN_OK;
}

/* What `evaluate` draws, in one pass of the plan for bounds. */
static dn_status bounds_evaluated(dn_checker *c, seen_layer *seen, int n) {
    dn_net *net = c->net;
    dn_evaluation found;
    const dn_evaluate_options options = {.samples = EVALUATED_DRAWS, .k = EVALUATED_DRAWS, .seed = net->state.seed};
    if (dn_net_need_likelihood(net, "a bound") != DN_OK) return DN_OK;
    DN_TRY(dn_net_evaluation(net, &c->given, &options, &found));
    dn_status status = DN_OK;
    if (net->bounds && net->bounds->draws == EVALUATED_DRAWS && (size_t)net->bounds->run.rows == c->rows.n) {
        status = terms_read_of_results(c, net->bounds, EVALUATED_DRAWS, seen);
        if (status == DN_OK) status = evaluated_bound(c, seen, n, &found.measures);
    }
    dn_evaluation_free(&found);
    return status;
}

dn_status dn_checker_objective(dn_checker *c) {
    int n, evaluates = !c->loose && !c->net->bits; /* `evaluate` draws bits of its own */
    if (!terms_known(c->net, &n) || !n) return DN_OK;
    seen_layer *seen = dn_alloc((size_t)n, sizeof *seen);
    if (!seen) return DN_E_MEMORY;
    dn_status status = dn_checker_place(c);
    if (status == DN_OK && c->net->sampling_layer >= 0) status = objective_trained(c, seen, n);
    terms_free(seen, n);
    if (status == DN_OK && evaluates) status = losses_evaluated(c, seen, n);
    terms_free(seen, n);
    if (status == DN_OK && evaluates) status = bounds_evaluated(c, seen, n);
    terms_free(seen, n);
    dn_free(seen);
    return status;
}

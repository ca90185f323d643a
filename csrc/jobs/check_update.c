/* One step of plain SGD moves parameters by rate * gradient / rows: separately, and as a training runs it, where layers
 * may update themselves and compute the loss after them. The rate is so large that the step outweighs the parameters'
 * rounding.
 *
 * The same two ways, a step of the network's own optimiser, with its decay and clip_norm, from drawn moments: against
 * its formula in double precision. */
#include "base/sys.h"
#include "jobs/check_net.h"
#include <math.h>
#include <stdio.h>

static const double UPDATE_TOLERANCE = 1e-3, LOSS_TOLERANCE = 2e-5;

/* The largest size among `count` values. */
static double most(const float *values, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        if (!(fabs(values[i]) <= largest)) largest = fabs(values[i]);
    return largest;
}

/* For every tensor with a gradient, rate * gradient / rows should be as large as its values. */
static double update_rate(const dn_checker *c, const float *values) {
    const dn_net *net = c->net;
    double rate = 0, limit = INFINITY;
    for (int i = c->from; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_tensor *t = &net->layers[i].tensors[k];
            if (t->kind == DN_STATISTIC) continue;
            double g = most(c->grads + t->offset, t->count) * net->layers[i].learning_rate / (double)c->rows.n;
            if (!(g > 0)) continue;
            rate = fmax(rate, fmax(most(values + t->offset, t->count), 0.1) / g);
            limit = fmin(limit, 1e12 / g);
        }
    return fmin(rate, limit);
}

/* A step, and where it begins. */
typedef struct step_of {
    const char *apart, *fused; /* what the lines say */
    dn_optimizer optimizer;
    double rate, decay, clip_norm;
    uint64_t updates;            /* before it */
    double clip;                 /* what clip_norm makes of the gradient, once that is known */
    const float *before, *m, *v; /* (values): parameters and moments; m NULL: 0, v NULL: no Adam */
    float *after;
} step_of;

/* What value i of a tensor moves by, from its gradient g; *size: of the numbers that it is the sum of. */
static double step_wanted(const step_of *s, double rate, double decay, double rows, size_t i, double g, double *size) {
    const dn_optimizer *o = &s->optimizer;
    double w = s->before[i], m = s->m ? s->m[i] : 0, mean = s->clip * g / rows, t = (double)s->updates + 1;
    if (o->rule == DN_SGD) {
        *size = rate * (fabs(o->momentum * m) + fabs(mean) + fabs(decay * w));
        return -rate * (o->momentum * m + mean + decay * w);
    }
    double d = o->rule == DN_ADAM ? mean + decay * w : o->rule == DN_ADAMW ? mean : rows * (mean + decay * w);
    double first = (o->b1 * m + (1 - o->b1) * d) / (1 - pow(o->b1, t));
    double second = (o->b2 * s->v[i] + (1 - o->b2) * d * d) / (1 - pow(o->b2, t));
    double by = rate / (sqrt(second) + o->eps), shrink = o->rule == DN_ADAMW ? rate * decay * w : 0;
    *size = by * (fabs(o->b1 * m) + fabs((1 - o->b1) * d)) / (1 - pow(o->b1, t)) + fabs(shrink);
    return -by * first - shrink;
}

static dn_status update_of_tensor(dn_checker *c, const dn_layer *l, const dn_tensor *t, const char *with,
                                  const step_of *s) {
    const float *g = c->grads + t->offset;
    double rate = s->rate * l->learning_rate, rows = (double)c->rows.n, scale = 0, size,
           decay = dn_decays(&s->optimizer, t->kind) ? s->decay : 0;
    dn_check_line line = {.tolerance = UPDATE_TOLERANCE};
    snprintf(line.what, sizeof line.what, "%s", t->name);
    snprintf(line.against, sizeof line.against, "%s", with);
    for (size_t i = 0; i < t->count; i++)
        scale = fmax(scale, fabs(step_wanted(s, rate, decay, rows, t->offset + i, g[i], &size)));
    for (size_t i = 0; i < t->count; i++) {
        double moved = (double)s->after[t->offset + i] - s->before[t->offset + i],
               wanted = step_wanted(s, rate, decay, rows, t->offset + i, g[i], &size),
               rounding = 2.4e-7 * (fabs(s->before[t->offset + i]) + size),
               error = fmax(fabs(moved - wanted) - rounding, 0) / (scale + 1e-30);
        if (rounding > 0.1 * scale && !(error > UPDATE_TOLERANCE)) continue; /* hidden by the value's own rounding */
        if (!line.values || !(error <= line.error)) line.error = error, line.found = moved, line.expected = wanted;
        line.values++;
    }
    line.ok = line.error <= line.tolerance;
    return dn_checker_add(c, l, line);
}

static dn_status update_compare(dn_checker *c, const char *with, step_of *s) {
    const dn_net *net = c->net;
    double squares = 0, rows = (double)c->rows.n;
    for (size_t i = 0; i < net->n_values; i++) squares += (double)c->grads[i] * c->grads[i];
    s->clip = s->clip_norm > 0 ? fmin(1, s->clip_norm * rows / sqrt(squares)) : 1;
    float *after = s->after;
    net->ops->download(net->pool, after, net->values, net->n_values * sizeof *after);
    DN_TRY(net->ops->finish(net->pool));
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        for (int k = 0; k < l->n_tensors && i > net->last_stopped; k++)
            if (l->tensors[k].kind != DN_STATISTIC) DN_TRY(update_of_tensor(c, l, &l->tensors[k], with, s));
    }
    return DN_OK;
}

static void update_begin(dn_checker *c, const step_of *s) {
    dn_net *net = c->net;
    const struct {
        float *to;
        const float *from;
    } blocks[] = {{net->values, s->before}, {net->moment1, s->m}, {net->moment2, s->v}};
    for (int i = 0; i < 3; i++) {
        if (blocks[i].from)
            net->ops->upload(net->pool, blocks[i].to, blocks[i].from, net->n_values * sizeof *blocks[i].from);
        else if (blocks[i].to)
            net->ops->fill(net->pool, net->n_values, 0, blocks[i].to);
    }
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
    net->state.rows_since_update = 0;
    net->state.updates = s->updates;
    dn_checker_step(c, s->rate);
}

static dn_status update_apart(dn_checker *c, step_of *s) {
    double objective;
    update_begin(c, s);
    DN_TRY(dn_checker_forward(c, 0, &objective));
    DN_TRY(dn_checker_backward(c));
    dn_net_apply_update(c->net, &c->plan->links[DN_APART]);
    return update_compare(c, s->apart, s);
}

static dn_status update_losses(dn_checker *c) {
    const dn_plan *p = c->plan;
    for (int i = 0; i < p->n_layers; i++) {
        const dn_layer *l = &p->layers[i];
        if (!l->term.type) continue;
        dn_check_line line = {.what = "loss in training",
                              .against = "separate pass",
                              .tolerance = LOSS_TOLERANCE,
                              .values = 1,
                              .found = l->term.sum,
                              .expected = c->sums[i]};
        line.error = fabs(line.found - line.expected) / (fabs(line.expected) + 0.01 * (double)c->rows.n);
        line.ok = line.error <= line.tolerance;
        DN_TRY(dn_checker_add(c, l, line));
    }
    return DN_OK;
}

static dn_status update_fused(dn_checker *c, step_of *s, int losses) {
    dn_plan *p = c->plan;
    dn_report unused;
    update_begin(c, s);
    dn_plan_reset(p);
    dn_plan_losses_clear(p);
    DN_TRY(dn_net_train_rows(c->net, &c->rows, 1));
    DN_TRY(dn_plan_losses(p, &unused));
    if (losses) DN_TRY(update_losses(c));
    return update_compare(c, s->fused, s);
}

/* With plain SGD for the time of `run`. */
static dn_status update_as_sgd(dn_checker *c, step_of *s) {
    dn_net *net = c->net;
    dn_run *settings[] = {&net->settings, &c->plan->run};
    dn_optimizer optimizer[2];
    float decay = net->settings.decay, clip = net->clip_norm;
    s->apart = "sgd step", s->fused = "training step";
    s->optimizer = (dn_optimizer){.rule = DN_SGD, .b1 = 0.9, .b2 = 0.999};
    for (int i = 0; i < 2; i++) {
        optimizer[i] = settings[i]->optimizer;
        settings[i]->optimizer = s->optimizer;
        settings[i]->decay = 0;
    }
    net->clip_norm = 0;
    dn_status status = update_apart(c, s);
    if (status == DN_OK) status = update_fused(c, s, 1);
    net->clip_norm = clip;
    for (int i = 0; i < 2; i++) settings[i]->optimizer = optimizer[i], settings[i]->decay = decay;
    return status;
}

/* Moments as after some steps, of the gradient's size; Adam's are not so small that rounding of the gradient counts. */
static void update_draw(dn_checker *c, const step_of *s, float *m, float *v) {
    const dn_net *net = c->net;
    double rows = s->optimizer.rule == DN_ADAM_OF_SUM ? 1 : (double)c->rows.n;
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_tensor *t = &net->layers[i].tensors[k];
            if (t->kind == DN_STATISTIC) continue;
            double g = most(c->grads + t->offset, t->count) / rows + 1e-8;
            for (size_t j = t->offset; j < t->offset + t->count; j++) {
                m[j] = (float)(0.5 * g * dn_checker_normal(c));
                v[j] = (float)(g * g * (0.2 + dn_checker_random(c)));
            }
        }
}

/* With the network's own optimiser; a second step of SGD, if it is plain, would say nothing new. */
static dn_status update_as_set(dn_checker *c, step_of *s) {
    const dn_net *net = c->net;
    s->optimizer = net->settings.optimizer, s->decay = net->settings.decay, s->clip_norm = net->clip_norm;
    int adam = s->optimizer.rule != DN_SGD;
    if (!adam && s->optimizer.momentum == 0 && s->decay == 0 && !(s->clip_norm > 0)) return DN_OK;
    float *moments = dn_alloc(2 * net->n_values, sizeof *moments);
    if (!moments) return DN_E_MEMORY;
    update_draw(c, s, moments, moments + net->n_values);
    s->apart = "optimizer", s->fused = "opt. training";
    s->m = moments, s->v = adam ? moments + net->n_values : NULL;
    s->updates = 3; /* the corrections of Adam are far from 1 */
    if (adam) s->rate = 0.5 * fmax(most(s->before, net->n_values), 0.1);
    dn_status status = update_apart(c, s);
    if (status == DN_OK) status = update_fused(c, s, 0);
    dn_free(moments);
    return status;
}

dn_status dn_checker_update(dn_checker *c) {
    dn_net *net = c->net;
    float *values = dn_alloc(2 * net->n_values, sizeof *values);
    if (!values) return DN_E_MEMORY;
    net->ops->download(net->pool, values, net->values, net->n_values * sizeof *values);
    step_of s = {.rate = update_rate(c, values), .before = values, .after = values + net->n_values};
    dn_status status = s.rate > 0 ? update_as_sgd(c, &s) : DN_OK;
    if (status == DN_OK && s.rate > 0) status = update_as_set(c, &s);
    dn_free(values);
    return status;
}

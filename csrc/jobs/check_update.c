/* One step of plain SGD moves parameters by rate * gradient / rows: separately, and as a training runs it, where layers
 * may update themselves and compute the loss after them. The rate is so large that the step outweighs the parameters'
 * rounding. */
#include "base/sys.h"
#include "jobs/check_net.h"
#include <math.h>
#include <stdio.h>

static const double TOLERANCE = 1e-3, LOSS_TOLERANCE = 2e-5;

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

static dn_status update_of_tensor(dn_checker *c, const dn_layer *l, const dn_tensor *t, const char *with, double rate,
                                  const float *before, const float *after) {
    const float *g = c->grads + t->offset;
    double by = rate * l->learning_rate / (double)c->rows.n, scale = most(g, t->count) * fabs(by);
    dn_check_line line = {.tolerance = TOLERANCE};
    snprintf(line.what, sizeof line.what, "%s", t->name);
    snprintf(line.against, sizeof line.against, "%s", with);
    for (size_t i = 0; i < t->count; i++) {
        double moved = (double)after[t->offset + i] - before[t->offset + i], wanted = -by * g[i];
        double rounding = 2.4e-7 * (fabs(before[t->offset + i]) + fabs(wanted));
        double error = fmax(fabs(moved - wanted) - rounding, 0) / (scale + 1e-30);
        if (rounding > 0.1 * scale && !(error > TOLERANCE)) continue; /* hidden by the value's own rounding */
        if (!line.values || !(error <= line.error)) line.error = error, line.found = moved, line.expected = wanted;
        line.values++;
    }
    line.ok = line.error <= line.tolerance;
    return dn_checker_add(c, l, line);
}

static dn_status update_compare(dn_checker *c, const char *with, double rate, const float *before, float *after) {
    const dn_net *net = c->net;
    net->ops->download(net->pool, after, net->values, net->n_values * sizeof *after);
    DN_TRY(net->ops->finish(net->pool));
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        for (int k = 0; k < l->n_tensors && i > net->last_stopped; k++)
            if (l->tensors[k].kind != DN_STATISTIC)
                DN_TRY(update_of_tensor(c, l, &l->tensors[k], with, rate, before, after));
    }
    return DN_OK;
}

static void update_begin(dn_checker *c, double rate, const float *before) {
    dn_net *net = c->net;
    net->ops->upload(net->pool, net->values, before, net->n_values * sizeof *before);
    net->ops->fill(net->pool, net->n_values, 0, net->moment1);
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
    net->state.rows_since_update = 0;
    dn_checker_step(c, rate);
}

static dn_status update_apart(dn_checker *c, double rate, const float *before, float *after) {
    double objective;
    update_begin(c, rate, before);
    DN_TRY(dn_checker_forward(c, 0, &objective));
    DN_TRY(dn_checker_backward(c));
    dn_net_apply_update(c->net, &c->plan->links[DN_APART]);
    return update_compare(c, "sgd step", rate, before, after);
}

static dn_status update_fused(dn_checker *c, double rate, const float *before, float *after) {
    dn_plan *p = c->plan;
    dn_report unused;
    update_begin(c, rate, before);
    dn_plan_reset(p);
    dn_plan_losses_clear(p);
    DN_TRY(dn_net_train_rows(c->net, &c->rows, 1));
    DN_TRY(dn_plan_losses(p, &unused));
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
    return update_compare(c, "training step", rate, before, after);
}

/* With plain SGD for the time of `run`. */
static dn_status update_as_sgd(dn_checker *c, double rate, const float *before, float *after) {
    dn_net *net = c->net;
    dn_run *settings[] = {&net->settings, &c->plan->run};
    dn_optimizer optimizer[2];
    float decay = net->settings.decay, clip = net->clip_norm;
    for (int i = 0; i < 2; i++) {
        optimizer[i] = settings[i]->optimizer;
        settings[i]->optimizer = (dn_optimizer){.rule = DN_SGD, .b1 = 0.9, .b2 = 0.999};
        settings[i]->decay = 0;
    }
    net->clip_norm = 0;
    dn_status status = update_apart(c, rate, before, after);
    if (status == DN_OK) status = update_fused(c, rate, before, after);
    net->clip_norm = clip;
    for (int i = 0; i < 2; i++) settings[i]->optimizer = optimizer[i], settings[i]->decay = decay;
    return status;
}

dn_status dn_checker_update(dn_checker *c) {
    dn_net *net = c->net;
    float *values = dn_alloc(2 * net->n_values, sizeof *values);
    if (!values) return DN_E_MEMORY;
    net->ops->download(net->pool, values, net->values, net->n_values * sizeof *values);
    double rate = update_rate(c, values);
    dn_status status = rate > 0 ? update_as_sgd(c, rate, values, values + net->n_values) : DN_OK;
    dn_free(values);
    return status;
}

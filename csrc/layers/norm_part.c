#include "layer_norm_part.h"
#include <stdio.h>

dn_status dn_part_tensor(dn_layer *l, const char *prefix, const char *name, dn_tensor_kind kind, int flags, int n_dims,
                         const int *dims) {
    char full[32];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return dn_layer_tensor(l, full, kind, flags, n_dims, dims);
}

dn_tensor *dn_part_find(dn_layer *l, const char *prefix, const char *name) {
    char full[32];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return dn_layer_find(l, full);
}

dn_status dn_norm_plan_biases(dn_layer *l, dn_norm_part *p) {
    return dn_part_tensor(l, p->prefix, "biases", DN_BIAS, 0, 1, &p->channels);
}

dn_status dn_norm_plan(dn_layer *l, dn_norm_part *p, int steps) {
    if (!p->on) return DN_OK;
    size_t statistics = (size_t)steps * (size_t)p->channels;
    DN_TRY(dn_part_tensor(l, p->prefix, "scales", DN_BIAS, DN_BN_TENSOR, 1, &p->channels));
    DN_TRY(dn_part_tensor(l, p->prefix, "rolling_mean", DN_STATISTIC, DN_BN_TENSOR, 1, &p->channels));
    DN_TRY(dn_part_tensor(l, p->prefix, "rolling_variance", DN_STATISTIC, DN_BN_TENSOR, 1, &p->channels));
    DN_TRY(dn_layer_training_buffer(l, &p->xhat, (size_t)dn_layer_run(l)->batch * (size_t)p->channels * p->spatial));
    DN_TRY(dn_layer_buffer(l, &p->mean, statistics));
    DN_TRY(dn_layer_training_buffer(l, &p->single_var, statistics));
    if (!l->norm_values || p->spatial < l->norm_values) l->norm_values = p->spatial;
    return dn_layer_buffer(l, &p->var, statistics);
}

void dn_norm_init(dn_layer *l, dn_norm_part *p) {
    p->biases = dn_part_find(l, p->prefix, "biases");
    if (!p->on) return;
    p->scales = dn_part_find(l, p->prefix, "scales");
    p->rolling_mean = dn_part_find(l, p->prefix, "rolling_mean");
    p->rolling_variance = dn_part_find(l, p->prefix, "rolling_variance");
    dn_layer_init_fill(l, p->scales, 1);
}

/* How a pass is normalised: with its own statistics, or with given ones as constants. */
typedef struct norm_way {
    int own, single;
    float *mean, *var; /* (channels); own: where they are put */
} norm_way;

/* In training one value per channel has no variance. Such a pass (a last batch of one row, one sequence) is normalised
 * with the mean of the pass before it that had more and the average of that one's variance and the running one: in the
 * first passes the running variance is far too small, and that of a pass of two rows may be by chance. It adds nothing
 * to the running statistics, and its gradient is that of constants. */
static norm_way norm_way_of(const dn_run *run, const dn_norm_part *p, int step, size_t n) {
    size_t at = (size_t)step * (size_t)p->channels;
    if (run->training && n * p->spatial > 1) return (norm_way){1, 0, p->mean + at, p->var + at};
    if (run->training && p->measured) return (norm_way){0, 1, p->mean + at, p->single_var + at};
    return (norm_way){0, 0, p->rolling_mean->value, p->rolling_variance->value};
}

static void norm_single_variance(const dn_run *run, dn_norm_part *p, int step) {
    size_t channels = (size_t)p->channels, at = (size_t)step * channels;
    run->ops->copy(run->pool, channels, p->var + at, p->single_var + at);
    run->ops->axpy(run->pool, channels, 1, p->rolling_variance->value, p->single_var + at);
    run->ops->scale(run->pool, channels, 0.5f, p->single_var + at);
}

static void norm_batch_forward(const dn_run *run, dn_norm_part *p, int step, size_t n, float *y) {
    size_t channels = (size_t)p->channels, at = (size_t)step * channels, values = n * channels * p->spatial;
    norm_way way = norm_way_of(run, p, step, n);
    if (way.single) norm_single_variance(run, p, step);
    if (way.own) p->measured = 1;
    /* not its own: the operation reads what it is given for the running statistics */
    float *mean = way.own ? p->rolling_mean->value : way.mean;
    float *var = way.own ? p->rolling_variance->value : way.var;
    run->ops->norm_forward(run->pool, n, channels, p->spatial, way.own, run->bn_eps, y, p->scales->value,
                           p->biases->value, p->mean + at, p->var + at, mean, var,
                           p->xhat ? p->xhat + (size_t)step * values : y, y);
}

void dn_norm_forward(dn_layer *l, dn_norm_part *p, int step, int rows, float *y) {
    const dn_run *run = dn_layer_run(l);
    size_t n = (size_t)rows, channels = (size_t)p->channels, values = n * channels * p->spatial;
    if (!p->on && run->ops->bias_activate) {
        run->ops->bias_activate(run->pool, n, channels, p->spatial, p->activation, p->biases->value, y);
        return;
    }
    if (p->on)
        norm_batch_forward(run, p, step, n, y);
    else
        run->ops->bias_add(run->pool, n, channels, p->spatial, p->biases->value, y);
    run->ops->activate(run->pool, p->activation, values, y);
}

void dn_norm_backward(dn_layer *l, dn_norm_part *p, int step, int rows, const float *y, float *dy) {
    const dn_run *run = dn_layer_run(l);
    size_t n = (size_t)rows, channels = (size_t)p->channels, values = n * channels * p->spatial;
    if (!p->on && run->ops->bias_activate_gradient) {
        run->ops->bias_activate_gradient(run->pool, n, channels, p->spatial, p->activation, y, dy, p->biases->grad);
        return;
    }
    run->ops->activate_gradient(run->pool, p->activation, values, y, dy);
    if (!p->on) {
        run->ops->bias_gradient(run->pool, n, channels, p->spatial, dy, p->biases->grad);
        return;
    }
    norm_way way = norm_way_of(run, p, step, n);
    run->ops->norm_backward(run->pool, n, channels, p->spatial, way.own, run->bn_eps,
                            p->xhat + (size_t)step * values, p->scales->value, way.mean, way.var, dy, p->scales->grad,
                            p->biases->grad);
}

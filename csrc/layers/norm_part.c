#include "layers/norm_part.h"
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

dn_status dn_norm_tensor_biases(dn_layer *l, dn_norm_part *p) {
    return dn_part_tensor(l, p->prefix, "biases", DN_BIAS, 0, 1, &p->channels);
}

dn_status dn_norm_tensors(dn_layer *l, dn_norm_part *p) {
    if (!p->on) return DN_OK;
    if (!l->norm_values || p->spatial < l->norm_values) l->norm_values = p->spatial;
    DN_TRY(dn_part_tensor(l, p->prefix, "scales", DN_BIAS, DN_BN_TENSOR, 1, &p->channels));
    DN_TRY(dn_part_tensor(l, p->prefix, "rolling_mean", DN_STATISTIC, DN_BN_TENSOR, 1, &p->channels));
    return dn_part_tensor(l, p->prefix, "rolling_variance", DN_STATISTIC, DN_BN_TENSOR, 1, &p->channels);
}

dn_status dn_norm_plan(dn_layer *l, const dn_run *run, dn_norm_part *p, int steps) {
    if (!p->on) return DN_OK;
    size_t statistics = (size_t)steps * (size_t)p->channels;
    DN_TRY(dn_layer_training_buffer(l, run, &p->xhat, (size_t)run->batch * (size_t)p->channels * p->spatial));
    DN_TRY(dn_layer_buffer(l, &p->mean, statistics));
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

void dn_norm_forward(const dn_run *run, dn_norm_part *p, int step, int rows, float *y) {
    size_t n = (size_t)rows, channels = (size_t)p->channels, values = n * channels * p->spatial;
    if (!p->on && run->ops->bias_activate) {
        run->ops->bias_activate(run->pool, n, channels, p->spatial, p->activation, p->biases->value, y);
        return;
    }
    if (p->on)
        run->ops->norm_forward(run->pool, n, channels, p->spatial, run->training, run->bn_eps, y, p->scales->value,
                               p->biases->value, p->mean + (size_t)step * channels, p->var + (size_t)step * channels,
                               p->rolling_mean->value, p->rolling_variance->value,
                               p->xhat ? p->xhat + (size_t)step * values : y, y);
    else
        run->ops->bias_add(run->pool, n, channels, p->spatial, p->biases->value, y);
    run->ops->activate(run->pool, p->activation, values, y);
}

void dn_norm_backward(const dn_run *run, dn_norm_part *p, int step, int rows, const float *y, float *dy) {
    size_t n = (size_t)rows, channels = (size_t)p->channels, values = n * channels * p->spatial;
    if (!p->on && run->ops->bias_activate_gradient) {
        run->ops->bias_activate_gradient(run->pool, n, channels, p->spatial, p->activation, y, dy, p->biases->grad);
        return;
    }
    run->ops->activate_gradient(run->pool, p->activation, values, y, dy);
    if (p->on)
        run->ops->norm_backward(run->pool, n, channels, p->spatial, run->training, run->bn_eps,
                                p->xhat + (size_t)step * values, p->scales->value,
                                run->training ? p->mean + (size_t)step * channels : p->rolling_mean->value,
                                run->training ? p->var + (size_t)step * channels : p->rolling_variance->value, dy,
                                p->scales->grad, p->biases->grad);
    else
        run->ops->bias_gradient(run->pool, n, channels, p->spatial, dy, p->biases->grad);
}

#include "layer_norm_part.h"

dn_status dn_norm_plan_biases(dn_layer *l, int channels) {
    return dn_layer_tensor(l, "biases", DN_BIAS, 0, 1, &channels);
}

dn_status dn_norm_plan(dn_layer *l, dn_norm_part *p, int channels) {
    if (!p->on) return DN_OK;
    DN_TRY(dn_layer_tensor(l, "scales", DN_BIAS, DN_BN_TENSOR, 1, &channels));
    DN_TRY(dn_layer_tensor(l, "rolling_mean", DN_STATISTIC, DN_BN_TENSOR, 1, &channels));
    DN_TRY(dn_layer_tensor(l, "rolling_variance", DN_STATISTIC, DN_BN_TENSOR, 1, &channels));
    DN_TRY(dn_layer_buffer(l, &p->xhat, (size_t)dn_layer_run(l)->batch * l->outputs));
    DN_TRY(dn_layer_buffer(l, &p->mean, (size_t)channels));
    return dn_layer_buffer(l, &p->var, (size_t)channels);
}

void dn_norm_bind(dn_layer *l, dn_norm_part *p) {
    p->biases = dn_layer_find(l, "biases");
    p->scales = dn_layer_find(l, "scales");
    p->rolling_mean = dn_layer_find(l, "rolling_mean");
    p->rolling_variance = dn_layer_find(l, "rolling_variance");
}

void dn_norm_init(dn_layer *l, dn_norm_part *p) {
    dn_norm_bind(l, p);
    if (p->on) dn_layer_init_fill(l, p->scales, 1);
}

void dn_norm_forward(dn_layer *l, dn_norm_part *p, size_t channels, size_t spatial) {
    const dn_run *run = dn_layer_run(l);
    size_t rows = (size_t)run->rows;
    if (p->on)
        run->ops->norm_forward(run->pool, rows, channels, spatial, run->training, run->bn_eps, l->output,
                               p->scales->value, p->biases->value, p->mean, p->var, p->rolling_mean->value,
                               p->rolling_variance->value, p->xhat, l->output);
    else
        run->ops->bias_add(run->pool, rows, channels, spatial, p->biases->value, l->output);
    run->ops->activate(run->pool, p->activation, rows * channels * spatial, l->output);
}

void dn_norm_backward(dn_layer *l, dn_norm_part *p, size_t channels, size_t spatial) {
    const dn_run *run = dn_layer_run(l);
    size_t rows = (size_t)run->rows;
    run->ops->activate_gradient(run->pool, p->activation, rows * channels * spatial, l->output, l->delta);
    if (p->on)
        run->ops->norm_backward(run->pool, rows, channels, spatial, run->training, run->bn_eps, p->xhat,
                                p->scales->value, run->training ? p->mean : p->rolling_mean->value,
                                run->training ? p->var : p->rolling_variance->value, l->delta, p->scales->grad,
                                p->biases->grad);
    else
        run->ops->bias_gradient(run->pool, rows, channels, spatial, l->delta, p->biases->grad);
}

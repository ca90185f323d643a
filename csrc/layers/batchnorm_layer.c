/* [batchnorm]: batch normalisation by channel (by feature for vectors). File: scales, rolling mean, rolling variance;
 * the biases are trained, but they are not part of Darknet's files. */
#include "layers/norm_part.h"

static dn_status batchnorm_parse(dn_layer *l, dn_section *s) {
    (void)s;
    dn_norm_part *norm = l->state;
    norm->on = 1, norm->activation = DN_LINEAR, norm->prefix = "";
    norm->channels = l->channels ? l->channels : l->inputs;
    norm->spatial = l->channels ? (size_t)l->height * l->width : 1;
    l->outputs = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    return DN_OK;
}
static dn_status batchnorm_tensors(dn_layer *l) {
    dn_norm_part *norm = l->state;
    DN_TRY(dn_norm_tensors(l, norm));
    return dn_layer_tensor(l, "biases", DN_BIAS, DN_NOT_IN_FILE, 1, &norm->channels);
}
static dn_status batchnorm_plan(dn_layer *l, const dn_run *run) { return dn_norm_plan(l, run, l->state, 1); }
static dn_status batchnorm_init(dn_layer *l) {
    dn_norm_init(l, l->state);
    return DN_OK;
}
static dn_status batchnorm_forward(dn_layer *l, const dn_run *run) {
    float *y = dn_layer_y(l, run);
    run->ops->copy(run->pool, (size_t)run->rows * l->outputs, dn_layer_x(l, run), y);
    dn_norm_forward(run, l->state, 0, run->rows, y);
    return DN_OK;
}
static dn_status batchnorm_backward(dn_layer *l, const dn_run *run) {
    dn_norm_backward(run, l->state, 0, run->rows, l->output, l->delta);
    if (l->dx) run->ops->axpy(run->pool, (size_t)run->rows * l->outputs, 1, l->delta, l->dx);
    return DN_OK;
}
static const char *const batchnorm_order_025[] = {"biases", "scales", "rolling_mean", "rolling_variance", NULL};

const dn_layer_type dn_batchnorm_layer = {
    .name = "batchnorm",
    .state_size = sizeof(dn_norm_part),
    .parse = batchnorm_parse,
    .tensors = batchnorm_tensors,
    .plan = batchnorm_plan,
    .init = batchnorm_init,
    .forward = batchnorm_forward,
    .backward = batchnorm_backward,
    .order_025 = batchnorm_order_025,
};

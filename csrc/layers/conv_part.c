#include "layers/conv_part.h"
#include "net/convolution.h"
#include "net/network.h"
#include <limits.h>
#include <math.h>

dn_status dn_conv_settle(dn_layer *l, dn_section *s, dn_conv *p) {
    dn_conv_shape *c = &p->whole.group;
    if (p->channels % p->groups || p->filters % p->groups)
        return dn_cfg_error(s, "groups", "groups=%d does not divide %d channels and %d filters", p->groups, p->channels,
                            p->filters);
    int64_t oh = (int64_t)c->height + 2 * c->padding - c->size, ow = (int64_t)c->width + 2 * c->padding - c->size;
    if (oh >= INT_MAX || ow >= INT_MAX)
        return dn_cfg_error(s, NULL, "its output would be %lld x %lld", (long long)oh, (long long)ow);
    if (oh < 0 || ow < 0)
        return dn_cfg_error(s, "size", "size=%d is larger than the input %d x %d with padding %d", c->size, c->height,
                            c->width, c->padding);
    c->channels = p->channels / p->groups;
    p->whole.groups = p->groups, p->whole.filters = p->filters / p->groups;
    c->out_height = (int)(oh / c->stride) + 1, c->out_width = (int)(ow / c->stride) + 1;
    p->norm.channels = p->filters, p->norm.spatial = (size_t)c->out_height * c->out_width;
    size_t n;
    DN_TRY(dn_layer_size(s, &n, p->norm.spatial, (size_t)p->filters, sizeof(float), (size_t)l->net->settings.batch));
    DN_TRY(dn_layer_size(s, &n, (size_t)c->size * c->size, (size_t)c->channels, p->norm.spatial, sizeof(float)));
    return dn_layer_size(s, &n, (size_t)c->size * c->size, (size_t)c->channels, (size_t)p->filters, sizeof(float));
}

static size_t conv_inputs(const dn_conv *p) {
    return (size_t)p->channels * p->whole.group.height * p->whole.group.width;
}
static size_t conv_taps(const dn_conv *p) {
    return (size_t)p->whole.group.channels * p->whole.group.size * p->whole.group.size;
}

dn_status dn_conv_tensors(dn_layer *l, dn_conv *p) {
    int dims[4] = {p->filters, p->whole.group.channels, p->whole.group.size, p->whole.group.size};
    DN_TRY(dn_norm_tensor_biases(l, &p->norm));
    DN_TRY(dn_norm_tensors(l, &p->norm));
    return dn_part_tensor(l, p->norm.prefix, "weights", DN_WEIGHT, p->flipped ? DN_FLIPPED : 0, 4, dims);
}

dn_status dn_conv_plan(dn_layer *l, const dn_run *run, dn_conv *p, int steps) {
    DN_TRY(dn_norm_plan(l, run, &p->norm, steps));
    dn_layer_workspace(l, dn_conv_workspace(run->ops, run->pool, &p->whole, (size_t)run->batch));
    if (p->xnor) {
        DN_TRY(dn_layer_buffer(l, &p->signs, (size_t)run->batch * conv_inputs(p)));
        DN_TRY(dn_layer_buffer(l, &p->binary, (size_t)p->filters * conv_taps(p)));
    }
    return DN_OK;
}

void dn_conv_init(dn_layer *l, dn_conv *p) {
    p->weights = dn_part_find(l, p->norm.prefix, "weights");
    dn_norm_init(l, &p->norm);
    dn_layer_init_normal(l, p->weights, sqrtf(2.0f / (float)conv_taps(p)));
}

void dn_conv_forward(const dn_run *run, dn_conv *p, int step, int rows, const float *x, float *y) {
    const float *weights = p->weights->value;
    if (p->xnor) {
        run->ops->binarize(run->pool, (size_t)p->filters, conv_taps(p), 1, weights, p->binary);
        run->ops->binarize(run->pool, 1, (size_t)rows * conv_inputs(p), 0, x, p->signs);
        weights = p->binary, x = p->signs;
    }
    dn_conv_run_forward(run->ops, run->pool, &p->whole, (size_t)rows, 0, x, weights, y, run->workspace);
    dn_norm_forward(run, &p->norm, step, rows, y);
}

void dn_conv_backward(const dn_run *run, dn_conv *p, int step, int rows, const float *x, const float *y, float *dy,
                      float *dx, int set_dx) {
    dn_norm_backward(run, &p->norm, step, rows, y, dy);
    dn_conv_run_backward_weights(run->ops, run->pool, &p->whole, (size_t)rows, x, dy, p->weights->grad, run->workspace);
    if (dx)
        dn_conv_run_backward_data(run->ops, run->pool, &p->whole, (size_t)rows, !set_dx, dy, p->weights->value, dx,
                                  run->workspace);
}

double dn_conv_flops(const dn_conv *p) { return 2.0 * (double)p->norm.spatial * p->filters * (double)conv_taps(p); }

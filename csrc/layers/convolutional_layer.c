/* [convolutional]: cross-correlation with W (filters, channels/groups, size, size), then normalisation or bias and the
 * activation. out = (in + 2 padding - size) / stride + 1. Per row and group, with the columns of im2col (k, n):
 *
 *   y = W cols        dW += dy cols^T        dx += col2im(W^T dy)
 *
 * Start weights sqrt(2 / (size^2 channels/groups)) N(0, 1). File: biases, normalisation, weights. */
#include "layer_norm_part.h"
#include <limits.h>
#include <math.h>

typedef struct conv_state {
    dn_norm_part norm;
    dn_tensor *weights;
    int groups, padding, plain; /* plain: 1x1, stride 1, no padding: the image is its own columns */
    dn_conv_shape shape;        /* of one group */
} conv_state;

static dn_status conv_parse(dn_layer *l, dn_section *s) {
    conv_state *st = l->state;
    int pad, flag;
    double unused;
    DN_TRY(dn_layer_need_image(l, s));
    DN_TRY(dn_cfg_int(s, "filters", 1, 1, 1 << 24, &l->filters));
    DN_TRY(dn_cfg_int(s, "size", 1, 1, 1 << 15, &l->size));
    DN_TRY(dn_cfg_int(s, "stride", 1, 1, 1 << 15, &l->stride));
    DN_TRY(dn_cfg_int(s, "pad", 0, INT_MIN, INT_MAX, &pad));
    DN_TRY(dn_cfg_int(s, "padding", 0, 0, 1 << 15, &st->padding));
    DN_TRY(dn_cfg_int(s, "groups", 1, 1, INT_MAX, &st->groups));
    DN_TRY(dn_cfg_int(s, "batch_normalize", 0, 0, 1, &st->norm.on));
    DN_TRY(dn_layer_activation(s, "logistic", &st->norm.activation));
    DN_TRY(dn_cfg_int(s, "binary", 0, 0, 1, &flag)); /* no effect on Darknet's CPU */
    DN_TRY(dn_cfg_int(s, "flipped", 0, 0, 1, &l->flipped));
    DN_TRY(dn_cfg_int(s, "xnor", 0, 0, 1, &flag));
    if (flag) return dn_cfg_error(s, "xnor", "xnor=1 is not supported");
    DN_TRY(dn_cfg_float(s, "dot", 0, &unused));
    if (pad) st->padding = l->size / 2;
    if (l->channels % st->groups || l->filters % st->groups)
        return dn_cfg_error(s, "groups", "groups=%d does not divide %d channels and %d filters", st->groups, l->channels,
                            l->filters);
    int oh = (l->height + 2 * st->padding - l->size), ow = (l->width + 2 * st->padding - l->size);
    if (oh < 0 || ow < 0)
        return dn_cfg_error(s, "size", "size=%d is larger than the input %d x %d with padding %d", l->size, l->height,
                            l->width, st->padding);
    oh = oh / l->stride + 1, ow = ow / l->stride + 1;
    st->plain = l->size == 1 && l->stride == 1 && st->padding == 0;
    st->shape = (dn_conv_shape){l->channels / st->groups, l->height, l->width, l->size, l->stride, st->padding, oh, ow};
    size_t n;
    DN_TRY(dn_layer_size(s, &n, (size_t)oh, (size_t)ow, (size_t)l->filters, sizeof(float)));
    DN_TRY(dn_layer_size(s, &n, (size_t)l->size * l->size, (size_t)st->shape.channels, (size_t)oh * ow, sizeof(float)));
    DN_TRY(dn_layer_size(s, &n, (size_t)l->size * l->size, (size_t)st->shape.channels, (size_t)l->filters, sizeof(float)));
    dn_layer_image_out(l, l->filters, oh, ow);
    return DN_OK;
}

static dn_status conv_plan(dn_layer *l) {
    conv_state *st = l->state;
    const dn_conv_shape *s = &st->shape;
    int dims[4] = {l->filters, s->channels, l->size, l->size};
    DN_TRY(dn_norm_plan_biases(l, l->filters));
    DN_TRY(dn_norm_plan(l, &st->norm, l->filters));
    if (!st->plain) dn_layer_workspace(l, (size_t)l->size * l->size * s->channels * s->out_height * s->out_width);
    return dn_layer_tensor(l, "weights", DN_WEIGHT, 0, 4, dims);
}

static dn_status conv_init(dn_layer *l) {
    conv_state *st = l->state;
    st->weights = dn_layer_find(l, "weights");
    dn_norm_init(l, &st->norm);
    dn_layer_init_normal(l, st->weights, sqrtf(2.0f / ((float)l->size * (float)l->size * (float)st->shape.channels)));
    return DN_OK;
}

/* Pointers of one row and group; what both directions share. */
typedef struct conv_part {
    int m, n, k; /* filters, pixels, taps of a group */
    size_t x, y, w;
} conv_part;

static conv_part conv_part_at(const dn_layer *l, int row, int group) {
    const conv_state *st = l->state;
    const dn_conv_shape *s = &st->shape;
    conv_part p = {l->filters / st->groups, s->out_height * s->out_width, s->channels * s->size * s->size, 0, 0, 0};
    p.x = (size_t)row * l->inputs + (size_t)group * s->channels * s->height * s->width;
    p.y = (size_t)row * l->outputs + (size_t)group * p.m * p.n;
    p.w = (size_t)group * p.m * p.k;
    return p;
}

static dn_status conv_forward(dn_layer *l) {
    conv_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    for (int r = 0; r < run->rows; r++)
        for (int g = 0; g < st->groups; g++) {
            conv_part p = conv_part_at(l, r, g);
            const float *columns = st->plain ? l->x + p.x : run->workspace;
            if (!st->plain) run->ops->im2col(run->pool, &st->shape, l->x + p.x, run->workspace);
            run->ops->gemm(run->pool, 0, 0, p.m, p.n, p.k, 1, st->weights->value + p.w, p.k, columns, p.n, 0,
                           l->output + p.y, p.n);
        }
    dn_norm_forward(l, &st->norm, (size_t)l->filters, (size_t)st->shape.out_height * st->shape.out_width);
    return DN_OK;
}

static dn_status conv_backward(dn_layer *l) {
    conv_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    dn_norm_backward(l, &st->norm, (size_t)l->filters, (size_t)st->shape.out_height * st->shape.out_width);
    for (int r = 0; r < run->rows; r++)
        for (int g = 0; g < st->groups; g++) {
            conv_part p = conv_part_at(l, r, g);
            const float *columns = st->plain ? l->x + p.x : run->workspace;
            if (!st->plain) run->ops->im2col(run->pool, &st->shape, l->x + p.x, run->workspace);
            run->ops->gemm(run->pool, 0, 1, p.m, p.k, p.n, 1, l->delta + p.y, p.n, columns, p.n, 1,
                           st->weights->grad + p.w, p.k);
            if (!l->dx) continue;
            float *to = st->plain ? l->dx + p.x : run->workspace;
            run->ops->gemm(run->pool, 1, 0, p.k, p.n, p.m, 1, st->weights->value + p.w, p.k, l->delta + p.y, p.n,
                           st->plain ? 1 : 0, to, p.n);
            if (!st->plain) run->ops->col2im(run->pool, &st->shape, run->workspace, l->dx + p.x);
        }
    return DN_OK;
}

static double conv_flops(const dn_layer *l) {
    const conv_state *st = l->state;
    return 2.0 * l->outputs * l->size * l->size * st->shape.channels;
}

const dn_layer_type dn_convolutional_layer = {
    .name = "convolutional", .aliases = {"conv"}, .state_size = sizeof(conv_state), .parse = conv_parse,
    .plan = conv_plan, .init = conv_init, .forward = conv_forward, .backward = conv_backward, .flops = conv_flops,
};

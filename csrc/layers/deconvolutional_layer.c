/* [deconvolutional]: the transposed convolution, W (channels, filters/groups, size, size). Every input pixel adds its
 * kernel to the output and `padding` pixels are cut off on every side: out = (in - 1) stride + size - 2 padding. Seen
 * from its output it is the backward pass of a convolution, so the columns belong to the output image:
 *
 *   y = col2im(W^T x)        dW += x im2col(dy)^T        dx += W im2col(dy)
 *
 * File: biases, normalisation, weights. */
#include "layer_norm_part.h"
#include <limits.h>
#include <math.h>

typedef struct deconv_state {
    dn_norm_part norm;
    dn_tensor *weights;
    int groups, padding;
    dn_conv_shape shape; /* image side: the output of one group; out_height x out_width: the input map */
} deconv_state;

static dn_status deconv_parse(dn_layer *l, dn_section *s) {
    deconv_state *st = l->state;
    int pad;
    DN_TRY(dn_layer_need_image(l, s));
    DN_TRY(dn_cfg_int(s, "filters", 1, 1, 1 << 24, &l->filters));
    DN_TRY(dn_cfg_int(s, "size", 1, 1, 1 << 12, &l->size));
    DN_TRY(dn_cfg_int(s, "stride", 1, 1, 1 << 12, &l->stride));
    DN_TRY(dn_cfg_int(s, "pad", 0, INT_MIN, INT_MAX, &pad));
    DN_TRY(dn_cfg_int(s, "padding", 0, 0, 1 << 12, &st->padding));
    DN_TRY(dn_cfg_int(s, "groups", 1, 1, INT_MAX, &st->groups));
    DN_TRY(dn_cfg_int(s, "batch_normalize", 0, 0, 1, &st->norm.on));
    DN_TRY(dn_layer_activation(s, "logistic", &st->norm.activation));
    if (pad) st->padding = l->size / 2;
    if (l->channels % st->groups || l->filters % st->groups)
        return dn_cfg_error(s, "groups", "groups=%d does not divide %d channels and %d filters", st->groups, l->channels,
                            l->filters);
    int64_t oh = (int64_t)(l->height - 1) * l->stride + l->size - 2 * st->padding;
    int64_t ow = (int64_t)(l->width - 1) * l->stride + l->size - 2 * st->padding;
    if (oh < 1 || ow < 1 || oh > INT_MAX || ow > INT_MAX)
        return dn_cfg_error(s, NULL, "its output would be %lld x %lld", (long long)oh, (long long)ow);
    st->shape = (dn_conv_shape){l->filters / st->groups, (int)oh, (int)ow, l->size, l->stride, st->padding, l->height,
                                l->width};
    size_t n;
    DN_TRY(dn_layer_size(s, &n, (size_t)oh, (size_t)ow, (size_t)l->filters, sizeof(float)));
    DN_TRY(dn_layer_size(s, &n, (size_t)l->size * l->size, (size_t)l->filters, (size_t)l->height * l->width, sizeof(float)));
    st->norm.prefix = "", st->norm.channels = l->filters, st->norm.spatial = (size_t)oh * (size_t)ow;
    dn_layer_image_out(l, l->filters, (int)oh, (int)ow);
    return DN_OK;
}

static dn_status deconv_plan(dn_layer *l) {
    deconv_state *st = l->state;
    int dims[4] = {l->channels, st->shape.channels, l->size, l->size};
    DN_TRY(dn_norm_plan_biases(l, &st->norm));
    DN_TRY(dn_norm_plan(l, &st->norm, 1));
    dn_layer_workspace(l, (size_t)l->size * l->size * st->shape.channels * l->height * l->width);
    return dn_layer_tensor(l, "weights", DN_WEIGHT, 0, 4, dims);
}

static dn_status deconv_init(dn_layer *l) {
    deconv_state *st = l->state;
    st->weights = dn_layer_find(l, "weights");
    dn_norm_init(l, &st->norm);
    /* He et al. 2015 for the taps that meet in one output pixel; Darknet's 0.02 N(0, 1) hardly learns */
    float taps = (float)l->size * (float)l->size / ((float)l->stride * (float)l->stride) * (float)l->channels / (float)st->groups;
    dn_layer_init_normal(l, st->weights, sqrtf(2.0f / (taps < 1 ? 1 : taps)));
    return DN_OK;
}

typedef struct deconv_part {
    int m, n, k; /* input channels of a group, input pixels, taps */
    size_t x, y, w;
} deconv_part;

static deconv_part deconv_part_at(const dn_layer *l, int row, int group) {
    const deconv_state *st = l->state;
    const dn_conv_shape *s = &st->shape;
    deconv_part p = {l->channels / st->groups, l->height * l->width, s->channels * s->size * s->size, 0, 0, 0};
    p.x = (size_t)row * l->inputs + (size_t)group * p.m * p.n;
    p.y = (size_t)row * l->outputs + (size_t)group * s->channels * s->height * s->width;
    p.w = (size_t)group * p.m * p.k;
    return p;
}

static dn_status deconv_forward(dn_layer *l) {
    deconv_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    run->ops->fill(run->pool, (size_t)run->rows * l->outputs, 0, l->output);
    for (int r = 0; r < run->rows; r++)
        for (int g = 0; g < st->groups; g++) {
            deconv_part p = deconv_part_at(l, r, g);
            run->ops->gemm(run->pool, 1, 0, p.k, p.n, p.m, 1, st->weights->value + p.w, p.k, l->x + p.x, p.n, 0,
                           run->workspace, p.n);
            run->ops->col2im(run->pool, &st->shape, run->workspace, l->output + p.y);
        }
    dn_norm_forward(l, &st->norm, 0, run->rows, l->output);
    return DN_OK;
}

static dn_status deconv_backward(dn_layer *l) {
    deconv_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    dn_norm_backward(l, &st->norm, 0, run->rows, l->output, l->delta);
    for (int r = 0; r < run->rows; r++)
        for (int g = 0; g < st->groups; g++) {
            deconv_part p = deconv_part_at(l, r, g);
            run->ops->im2col(run->pool, &st->shape, l->delta + p.y, run->workspace);
            run->ops->gemm(run->pool, 0, 1, p.m, p.k, p.n, 1, l->x + p.x, p.n, run->workspace, p.n, 1,
                           st->weights->grad + p.w, p.k);
            if (l->dx)
                run->ops->gemm(run->pool, 0, 0, p.m, p.n, p.k, 1, st->weights->value + p.w, p.k, run->workspace, p.n, 1,
                               l->dx + p.x, p.n);
        }
    return DN_OK;
}

static double deconv_flops(const dn_layer *l) {
    const deconv_state *st = l->state;
    return 2.0 * l->inputs * l->size * l->size * st->shape.channels;
}

const dn_layer_type dn_deconvolutional_layer = {
    .name = "deconvolutional", .aliases = {"deconv"}, .state_size = sizeof(deconv_state), .parse = deconv_parse,
    .plan = deconv_plan, .init = deconv_init, .forward = deconv_forward, .backward = deconv_backward,
    .flops = deconv_flops,
};

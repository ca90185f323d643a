/* [deconvolutional]: the transposed convolution, W (channels, filters/groups, size, size). Every input pixel adds its
 * kernel to the output, and `padding` pixels are cut off on every side: out = (in - 1) stride + size - 2 padding. It is
 * the backward pass of a convolution (convolution.h) whose image is this layer's output and whose output is this
 * layer's input, so forward is backward_data, and dx is forward.
 *
 * File: biases, normalisation, weights. */
#include "layers/norm_part.h"
#include "net/convolution.h"
#include <limits.h>
#include <math.h>

typedef struct deconv_state {
    dn_norm_part norm;
    dn_tensor *weights;
    int pad, padding;
    dn_conv_layer whole; /* image side: the output; filters and out_height x out_width: those of the input */
} deconv_state;

static const dn_key deconvolutional_keys[] = {
    DN_WINDOW_KEYS(1 << 12, "of the window; output (in - 1) stride + size - 2 padding"),
    {"pad", DN_KEY_INT, DN_AT(deconv_state, pad), .low = INT_MIN, .high = INT_MAX, .shown_type = "0, 1",
     .help = "1: padding = size / 2"},
    {"padding", DN_KEY_INT, DN_AT(deconv_state, padding), .high = 1 << 12, .help = "pixels cut off on every side"},
    {"groups", DN_KEY_INT, DN_AT(deconv_state, whole.groups), .fallback = 1, .low = 1, .high = INT_MAX,
     .help = "divides channels and filters"},
    DN_NORMALIZE_KEY(deconv_state, norm, "1: batch normalisation, in place of a plain bias"),
    DN_ACTIVATION_KEY(deconv_state, norm.activation, DN_LOGISTIC, ""),
    {0},
};

static dn_status deconv_parse(dn_layer *l, dn_section *s) {
    deconv_state *st = l->state;
    DN_TRY(dn_layer_need_image(l, s));
    if (st->pad) st->padding = l->size / 2;
    if (l->channels % st->whole.groups || l->filters % st->whole.groups)
        return dn_cfg_error(s, "groups", "groups=%d does not divide %d channels and %d filters", st->whole.groups,
                            l->channels, l->filters);
    int64_t oh = (int64_t)(l->height - 1) * l->stride + l->size - 2 * st->padding;
    int64_t ow = (int64_t)(l->width - 1) * l->stride + l->size - 2 * st->padding;
    if (oh < 1 || ow < 1 || oh > INT_MAX || ow > INT_MAX)
        return dn_cfg_error(s, NULL, "its output would be %lld x %lld", (long long)oh, (long long)ow);
    st->whole.group = (dn_conv_shape){
        l->filters / st->whole.groups, (int)oh, (int)ow, l->size, l->stride, st->padding, l->height, l->width};
    st->whole.filters = l->channels / st->whole.groups;
    size_t n;
    DN_TRY(dn_layer_size(s, &n, (size_t)oh, (size_t)ow, (size_t)l->filters, sizeof(float)));
    DN_TRY(dn_layer_size(s, &n, (size_t)l->size * l->size, (size_t)l->filters, (size_t)l->height * l->width,
                         sizeof(float)));
    st->norm.prefix = "", st->norm.channels = l->filters, st->norm.spatial = (size_t)oh * (size_t)ow;
    dn_layer_image_out(l, l->filters, (int)oh, (int)ow);
    return DN_OK;
}

static dn_status deconv_tensors(dn_layer *l) {
    deconv_state *st = l->state;
    int dims[4] = {l->channels, st->whole.group.channels, l->size, l->size};
    DN_TRY(dn_norm_tensor_biases(l, &st->norm));
    DN_TRY(dn_norm_tensors(l, &st->norm));
    return dn_layer_tensor(l, "weights", DN_WEIGHT, 0, 4, dims);
}

static dn_status deconv_plan(dn_layer *l, const dn_run *run) {
    deconv_state *st = l->state;
    dn_layer_workspace(l, dn_conv_workspace(run->ops, run->pool, &st->whole, (size_t)run->batch));
    return dn_norm_plan(l, run, &st->norm, 1);
}

static dn_status deconv_init(dn_layer *l) {
    deconv_state *st = l->state;
    st->weights = dn_layer_find(l, "weights");
    dn_norm_init(l, &st->norm);
    /* He et al. 2015 for the taps that meet in one output pixel; with Darknet's 0.02 N(0, 1) it hardly learns */
    float taps = (float)l->size * (float)l->size / ((float)l->stride * (float)l->stride) * (float)l->channels /
                 (float)st->whole.groups;
    dn_layer_init_normal(l, st->weights, sqrtf(2.0f / (taps < 1 ? 1 : taps)));
    return DN_OK;
}

static dn_status deconv_forward(dn_layer *l, const dn_run *run) {
    deconv_state *st = l->state;
    float *y = dn_layer_y(l, run);
    dn_conv_run_backward_data(run->ops, run->pool, &st->whole, (size_t)run->rows, 0, dn_layer_x(l, run),
                              st->weights->value, y, run->workspace);
    dn_norm_forward(run, &st->norm, 0, run->rows, y);
    return DN_OK;
}

static dn_status deconv_backward(dn_layer *l, const dn_run *run) {
    deconv_state *st = l->state;
    dn_norm_backward(run, &st->norm, 0, run->rows, l->output, l->delta);
    dn_conv_run_backward_weights(run->ops, run->pool, &st->whole, (size_t)run->rows, l->delta, dn_layer_x(l, run),
                                 st->weights->grad, run->workspace);
    if (l->dx)
        dn_conv_run_forward(run->ops, run->pool, &st->whole, (size_t)run->rows, !l->sets_dx, l->delta,
                            st->weights->value, l->dx, run->workspace);
    return DN_OK;
}

static double deconv_flops(const dn_layer *l) {
    const deconv_state *st = l->state;
    return 2.0 * l->inputs * l->size * l->size * st->whole.group.channels;
}

const dn_layer_type dn_deconvolutional_layer = {
    .name = "deconvolutional",
    .aliases = {"deconv"},
    .state_size = sizeof(deconv_state),
    .keys = deconvolutional_keys,
    .parse = deconv_parse,
    .tensors = deconv_tensors,
    .plan = deconv_plan,
    .init = deconv_init,
    .forward = deconv_forward,
    .backward = deconv_backward,
    .can_set_dx = 1,
    .flops = deconv_flops,
    .file_keys = DN_DONTLOADSCALES,
};

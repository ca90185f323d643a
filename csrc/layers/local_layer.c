/* [local]: locally connected, a convolution with separate weights at every place, W (places, filters, channels, size,
 * size), and a bias per output value. Without pad, out = (in - size) / stride + 1; pad=1 pads by size/2 and gives (in -
 * 1) / stride + 1 (Darknet pads by one pixel, which matches that formula only for size 3). Initial weights are sqrt(2 /
 * (size^2 channels)) U(-1, 1), at every place. File: biases, weights. */
#include "net/layer.h"
#include <limits.h>
#include <math.h>

typedef struct local_state {
    int pad;
    dn_conv_shape shape;
    dn_activation activation;
    dn_tensor *weights, *biases;
} local_state;

static const dn_key local_keys[] = {
    DN_WINDOW_KEYS(1 << 15, "of the window"),
    {"pad", DN_KEY_INT, DN_AT(local_state, pad), .high = 1 << 15, .shown_type = "0, 1",
     .help = "1, or the same number of pixels: padding = size / 2"},
    DN_ACTIVATION_KEY(local_state, activation, DN_LOGISTIC, ""),
    {0},
};

static dn_status local_parse(dn_layer *l, dn_section *s) {
    local_state *st = l->state;
    int pad = st->pad;
    DN_TRY(dn_layer_need_image(l, s));
    if (pad > 1 && pad != l->size / 2)
        return dn_cfg_error(s, "pad", "pad=%d is neither 0 nor 1 nor size/2=%d pixels", pad, l->size / 2);
    int padding = pad ? l->size / 2 : 0;
    int oh = l->height + 2 * padding - l->size, ow = l->width + 2 * padding - l->size;
    if (oh < 0 || ow < 0)
        return dn_cfg_error(s, "size", "size=%d is larger than the input %d x %d with padding %d", l->size, l->height,
                            l->width, padding);
    oh = pad ? (l->height - 1) / l->stride + 1 : oh / l->stride + 1;
    ow = pad ? (l->width - 1) / l->stride + 1 : ow / l->stride + 1;
    st->shape = (dn_conv_shape){l->channels, l->height, l->width, l->size, l->stride, padding, oh, ow};
    size_t n;
    DN_TRY(dn_layer_size(s, &n, (size_t)oh * ow, (size_t)l->filters, (size_t)l->channels, (size_t)l->size * l->size));
    if (n > INT_MAX) return dn_cfg_error(s, NULL, "%zu weights are too many", n);
    dn_layer_image_out(l, l->filters, oh, ow);
    return DN_OK;
}

static dn_status local_tensors(dn_layer *l) {
    const dn_conv_shape *s = &((local_state *)l->state)->shape;
    int places = s->out_height * s->out_width, dims[5] = {places, l->filters, l->channels, l->size, l->size};
    DN_TRY(dn_layer_tensor(l, "biases", DN_BIAS, 0, 1, &l->outputs));
    return dn_layer_tensor(l, "weights", DN_WEIGHT, 0, 5, dims);
}

static dn_status local_plan(dn_layer *l, const dn_run *run) {
    (void)run;
    const dn_conv_shape *s = &((local_state *)l->state)->shape;
    dn_layer_workspace(l, (size_t)l->channels * l->size * l->size * (size_t)s->out_height * s->out_width);
    return DN_OK;
}

static dn_status local_init(dn_layer *l) {
    local_state *st = l->state;
    st->weights = dn_layer_find(l, "weights");
    st->biases = dn_layer_find(l, "biases");
    dn_layer_init_uniform(l, st->weights, sqrtf(2.0f / ((float)l->size * (float)l->size * (float)l->channels)));
    return DN_OK;
}

static dn_conv_layer local_whole(const dn_layer *l) {
    return (dn_conv_layer){((const local_state *)l->state)->shape, 1, l->filters};
}

/* y = W x, place by place. */
static void local_compose_forward(dn_layer *l, const dn_run *run) {
    local_state *st = l->state;
    int places = st->shape.out_height * st->shape.out_width, taps = l->channels * l->size * l->size;
    for (int r = 0; r < run->rows; r++) {
        float *y = dn_layer_y(l, run) + (size_t)r * l->outputs;
        run->ops->im2col(run->pool, &st->shape, dn_layer_x(l, run) + (size_t)r * l->inputs, run->workspace);
        for (int p = 0; p < places; p++)
            run->ops->gemm(run->pool, 0, 0, l->filters, 1, taps, 1, st->weights->value + (size_t)p * l->filters * taps,
                           taps, run->workspace + p, places, 0, y + p, places);
    }
}

static dn_status local_forward(dn_layer *l, const dn_run *run) {
    local_state *st = l->state;
    size_t rows = (size_t)run->rows, outputs = (size_t)l->outputs;
    dn_conv_layer whole = local_whole(l);
    float *y = dn_layer_y(l, run);
    if (run->ops->local_forward)
        run->ops->local_forward(run->pool, &whole, rows, dn_layer_x(l, run), st->weights->value, y);
    else
        local_compose_forward(l, run);
    run->ops->bias_add(run->pool, rows, outputs, 1, st->biases->value, y);
    run->ops->activate(run->pool, st->activation, rows * outputs, y);
    return DN_OK;
}

static void local_compose_backward(dn_layer *l, const dn_run *run) {
    local_state *st = l->state;
    int places = st->shape.out_height * st->shape.out_width, taps = l->channels * l->size * l->size;
    for (int r = 0; r < run->rows; r++) {
        const float *dy = l->delta + (size_t)r * l->outputs;
        run->ops->im2col(run->pool, &st->shape, dn_layer_x(l, run) + (size_t)r * l->inputs, run->workspace);
        for (int p = 0; p < places; p++)
            run->ops->gemm(run->pool, 0, 1, l->filters, taps, 1, 1, dy + p, places, run->workspace + p, places, 1,
                           st->weights->grad + (size_t)p * l->filters * taps, taps);
        if (!l->dx) continue;
        for (int p = 0; p < places; p++)
            run->ops->gemm(run->pool, 1, 0, taps, 1, l->filters, 1, st->weights->value + (size_t)p * l->filters * taps,
                           taps, dy + p, places, 0, run->workspace + p, places);
        run->ops->col2im(run->pool, &st->shape, run->workspace, l->dx + (size_t)r * l->inputs);
    }
}

static dn_status local_backward(dn_layer *l, const dn_run *run) {
    local_state *st = l->state;
    size_t rows = (size_t)run->rows, outputs = (size_t)l->outputs;
    dn_conv_layer whole = local_whole(l);
    run->ops->activate_gradient(run->pool, st->activation, rows * outputs, l->output, l->delta);
    run->ops->bias_gradient(run->pool, rows, outputs, 1, l->delta, st->biases->grad);
    if (!run->ops->local_forward) {
        local_compose_backward(l, run);
        return DN_OK;
    }
    run->ops->local_backward_weights(run->pool, &whole, rows, dn_layer_x(l, run), l->delta, st->weights->grad);
    if (l->dx) run->ops->local_backward_data(run->pool, &whole, rows, l->delta, st->weights->value, l->dx);
    return DN_OK;
}

static double local_flops(const dn_layer *l) { return 2.0 * l->outputs * l->size * l->size * l->channels; }

const dn_layer_type dn_local_layer = {
    .name = "local",
    .state_size = sizeof(local_state),
    .keys = local_keys,
    .parse = local_parse,
    .tensors = local_tensors,
    .plan = local_plan,
    .init = local_init,
    .forward = local_forward,
    .backward = local_backward,
    .flops = local_flops,
};

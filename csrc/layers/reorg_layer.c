/* [reorg]: the values in another order. With s = stride, C = c / s^2 and (h, w, c) of the input, the input's value at
 * k, j, i, with o = k div C, goes to channel k mod C, row j s + o div s, column i s + o mod s of an image (C, h s, w
 * s):
 *
 *   reverse  (c/s^2, h s, w s): just that, depth to space
 *   plain    (c s^2, h/s, w/s): the opposite assignment. Not a space to depth, but what published YOLO v2 weights need
 *   flatten  channel, pixel to pixel, channel; reverse back
 *   extra    unchanged, followed by that many zeros */
#include "base/sys.h"
#include "net/layer.h"
#include <limits.h>

typedef struct reorg_state {
    int reverse, flatten, extra;
    float *index; /* (outputs) ints: the source of each output */
} reorg_state;

static const dn_key reorg_keys[] = {
    {"stride", DN_KEY_INT, DN_AT_LAYER(stride), .fallback = 1, .low = 1, .high = 1 << 12, .help = ""},
    {"reverse", DN_KEY_FLAG, DN_AT(reorg_state, reverse), .help = "depth to space; else Darknet's historic order"},
    {"flatten", DN_KEY_FLAG, DN_AT(reorg_state, flatten),
     .help = "channel by channel to pixel by pixel; with reverse back"},
    {"extra", DN_KEY_INT, DN_AT(reorg_state, extra), .high = 1 << 24, .help = "so many zeros after the values"},
    {0},
};

static dn_status reorg_parse(dn_layer *l, dn_section *s) {
    reorg_state *st = l->state;
    if (st->extra) {
        if (l->inputs > INT_MAX - st->extra) return dn_cfg_error(s, "extra", "extra=%d is too large", st->extra);
        l->outputs = l->inputs + st->extra;
        return DN_OK;
    }
    DN_TRY(dn_layer_need_image(l, s));
    if (st->flatten) {
        if (l->stride != 1) return dn_cfg_error(s, "stride", "flatten=1 needs stride=1, not %d", l->stride);
        dn_layer_image_out(l, l->channels, l->height, l->width);
        return DN_OK;
    }
    int square = l->stride * l->stride;
    if (l->channels % square)
        return dn_cfg_error(s, "stride", "%d channels are not a multiple of stride^2=%d", l->channels, square);
    if (st->reverse) {
        dn_layer_image_out(l, l->channels / square, l->height * l->stride, l->width * l->stride);
        return DN_OK;
    }
    if (l->height % l->stride || l->width % l->stride)
        return dn_cfg_error(s, "stride", "%d x %d is not a multiple of stride=%d", l->height, l->width, l->stride);
    dn_layer_image_out(l, l->channels * square, l->height / l->stride, l->width / l->stride);
    return DN_OK;
}

static dn_status reorg_plan(dn_layer *l, const dn_run *run) {
    (void)run;
    return dn_layer_buffer(l, &((reorg_state *)l->state)->index, (size_t)l->outputs);
}

static int reorg_source(const dn_layer *l, int flat) {
    int c = l->channels / (l->stride * l->stride), s = l->stride;
    int i = flat % l->width, j = flat / l->width % l->height, k = flat / (l->width * l->height);
    return (k % c * l->height * s + j * s + k / c / s) * l->width * s + i * s + k / c % s;
}

static dn_status reorg_constants(dn_layer *l, const dn_run *run) {
    reorg_state *st = l->state;
    int *index = dn_alloc((size_t)l->outputs, sizeof *index), pixels = l->height * l->width;
    if (!index) return DN_E_MEMORY;
    for (int i = 0; i < l->outputs; i++) {
        if (st->extra)
            index[i] = i < l->inputs ? i : -1;
        else if (st->flatten && st->reverse)
            index[i] = i % pixels * l->channels + i / pixels;
        else if (st->flatten)
            index[i] = i % l->channels * pixels + i / l->channels;
        else if (st->reverse)
            index[reorg_source(l, i)] = i;
        else
            index[i] = reorg_source(l, i);
    }
    run->ops->upload(run->pool, st->index, index, (size_t)l->outputs * sizeof *index);
    dn_free(index);
    return DN_OK;
}

static dn_status reorg_forward(dn_layer *l, const dn_run *run) {
    reorg_state *st = l->state;
    run->ops->gather(run->pool, (size_t)run->rows, (size_t)l->inputs, (size_t)l->outputs, (const int *)st->index, 1, 0,
                     dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}
static dn_status reorg_backward(dn_layer *l, const dn_run *run) {
    reorg_state *st = l->state;
    if (l->dx)
        run->ops->scatter_add(run->pool, (size_t)run->rows, (size_t)l->inputs, (size_t)l->outputs,
                              (const int *)st->index, 1, l->delta, l->dx);
    return DN_OK;
}

const dn_layer_type dn_reorg_layer = {
    .name = "reorg",
    .state_size = sizeof(reorg_state),
    .keys = reorg_keys,
    .parse = reorg_parse,
    .plan = reorg_plan,
    .constants = reorg_constants,
    .forward = reorg_forward,
    .backward = reorg_backward,
};

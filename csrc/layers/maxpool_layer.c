/* [maxpool]: out = (in + padding - size) / stride + 1, where `padding` is the total of both sides (default size - 1);
 * the window of output i begins at i*stride - padding/2; the first of equal values wins. */
#include "net/layer.h"

typedef struct maxpool_state {
    dn_conv_shape shape;
    float *index; /* (batch, outputs) ints: the winner in each window */
} maxpool_state;

static const dn_key maxpool_keys[] = {
    {"stride", DN_KEY_INT, DN_AT_LAYER(stride), .fallback = 1, .low = 1, .high = 1 << 15, .help = ""},
    {"size", DN_KEY_INT, DN_AT_LAYER(size), .fallback = 0, .low = 1, .high = 1 << 15, .help = "",
     .shown_fallback = "stride"},
    {"padding", DN_KEY_INT, DN_AT(maxpool_state, shape.padding), .fallback = -1, .low = 0, .high = 1 << 15,
     .help = "on both sides together", .shown_fallback = "size - 1"},
    {0},
};

static dn_status maxpool_parse(dn_layer *l, dn_section *s) {
    maxpool_state *st = l->state;
    DN_TRY(dn_layer_need_image(l, s));
    if (!l->size) l->size = l->stride;
    int padding = st->shape.padding < 0 ? l->size - 1 : st->shape.padding;
    int oh = l->height + padding - l->size, ow = l->width + padding - l->size;
    if (oh < 0 || ow < 0)
        return dn_cfg_error(s, "size", "size=%d is larger than the input %d x %d", l->size, l->height, l->width);
    oh = oh / l->stride + 1, ow = ow / l->stride + 1;
    int before = padding / 2; /* the first window must reach into the image, the last one must begin inside it */
    if (before >= l->size || (oh - 1) * l->stride - before >= l->height || (ow - 1) * l->stride - before >= l->width)
        return dn_cfg_error(s, "padding", "padding=%d leaves windows wholly outside the %d x %d input", padding,
                            l->height, l->width);
    st->shape = (dn_conv_shape){l->channels, l->height, l->width, l->size, l->stride, padding, oh, ow};
    dn_layer_image_out(l, l->channels, oh, ow);
    return DN_OK;
}
static dn_status maxpool_plan(dn_layer *l, const dn_run *run) {
    return dn_layer_buffer(l, &((maxpool_state *)l->state)->index, (size_t)run->batch * l->outputs);
}
static dn_status maxpool_forward(dn_layer *l, const dn_run *run) {
    maxpool_state *st = l->state;
    run->ops->maxpool_forward(run->pool, (size_t)run->rows, &st->shape, dn_layer_x(l, run), dn_layer_y(l, run),
                              (int *)st->index);
    return DN_OK;
}
static dn_status maxpool_backward(dn_layer *l, const dn_run *run) {
    maxpool_state *st = l->state;
    if (l->dx) run->ops->maxpool_backward(run->pool, (size_t)run->rows, &st->shape, (int *)st->index, l->delta, l->dx);
    return DN_OK;
}
const dn_layer_type dn_maxpool_layer = {
    .name = "maxpool",
    .aliases = {"max"},
    .state_size = sizeof(maxpool_state),
    .keys = maxpool_keys,
    .parse = maxpool_parse,
    .plan = maxpool_plan,
    .forward = maxpool_forward,
    .backward = maxpool_backward,
};

/* [upsample]: stride s > 0 repeats every pixel s x s times; s < 0 sums blocks of |s| x |s|; both scaled by `scale`. */
#include "net/layer.h"
#include <limits.h>
#include <stdlib.h>

typedef struct upsample_state {
    double scale;
    int stride, down;
} upsample_state;

static const dn_key upsample_keys[] = {
    {"stride", DN_KEY_INT, DN_AT_LAYER(stride), .fallback = 2, .low = -(1 << 15), .high = 1 << 15,
     .help = "factor; negative: sums of blocks, smaller by it"},
    {"scale", DN_KEY_FLOAT, DN_AT(upsample_state, scale), .fallback = 1, .help = "factor of the values"},
    {0},
};

static dn_status upsample_parse(dn_layer *l, dn_section *s) {
    upsample_state *st = l->state;
    if (!l->stride) return dn_cfg_error(s, "stride", "stride=0 gives no output");
    DN_TRY(dn_layer_need_image(l, s));
    st->down = l->stride < 0, st->stride = abs(l->stride);
    if (!st->down && ((int64_t)l->height * st->stride > INT_MAX || (int64_t)l->width * st->stride > INT_MAX))
        return dn_cfg_error(s, "stride", "stride=%d makes too much of %d x %d", st->stride, l->height, l->width);
    if (st->down && (st->stride > l->height || st->stride > l->width))
        return dn_cfg_error(s, "stride", "blocks of stride=%d are larger than the input %d x %d", l->stride, l->height,
                            l->width);
    if (st->down)
        dn_layer_image_out(l, l->channels, l->height / st->stride, l->width / st->stride);
    else
        dn_layer_image_out(l, l->channels, l->height * st->stride, l->width * st->stride);
    return DN_OK;
}
static dn_status upsample_forward(dn_layer *l, const dn_run *run) {
    upsample_state *st = l->state;
    (st->down ? run->ops->downsample_forward
              : run->ops->upsample_forward)(run->pool, (size_t)run->rows * l->channels, l->height, l->width, st->stride,
                                            (float)st->scale, dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}
static dn_status upsample_backward(dn_layer *l, const dn_run *run) {
    upsample_state *st = l->state;
    if (l->dx)
        (st->down ? run->ops->downsample_backward
                  : run->ops->upsample_backward)(run->pool, (size_t)run->rows * l->channels, l->height, l->width,
                                                 st->stride, (float)st->scale, l->delta, l->dx);
    return DN_OK;
}
const dn_layer_type dn_upsample_layer = {
    .name = "upsample",
    .state_size = sizeof(upsample_state),
    .keys = upsample_keys,
    .parse = upsample_parse,
    .forward = upsample_forward,
    .backward = upsample_backward,
};

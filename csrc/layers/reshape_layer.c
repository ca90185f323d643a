/* [reshape]: the same values as a channels x height x width image, so that a dense decoder can feed convolutions. */
#include "net/layer.h"

static const dn_key reshape_keys[] = {
    {"height", DN_KEY_INT, DN_AT_LAYER(out_height), .fallback = 1, .low = 1, .high = 1 << 20,
     .help = "the values seen as an image of this shape"},
    {"width", DN_KEY_INT, DN_AT_LAYER(out_width), .fallback = 1, .low = 1, .high = 1 << 20},
    {"channels", DN_KEY_INT, DN_AT_LAYER(out_channels), .fallback = 1, .low = 1, .high = 1 << 24},
    {0},
};

static dn_status reshape_parse(dn_layer *l, dn_section *s) {
    dn_layer_image_out(l, l->out_channels, l->out_height, l->out_width);
    if (l->outputs != l->inputs)
        return dn_cfg_error(s, NULL, "channels=%d x height=%d x width=%d does not hold the %d values of the input",
                            l->out_channels, l->out_height, l->out_width, l->inputs);
    return DN_OK;
}
static dn_status reshape_forward(dn_layer *l, const dn_run *run) {
    run->ops->copy(run->pool, (size_t)run->rows * l->outputs, dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}
static dn_status reshape_backward(dn_layer *l, const dn_run *run) {
    size_t n = (size_t)run->rows * l->outputs;
    if (l->dx && l->sets_dx)
        run->ops->copy(run->pool, n, l->delta, l->dx);
    else if (l->dx)
        run->ops->axpy(run->pool, n, 1, l->delta, l->dx);
    return DN_OK;
}
const dn_layer_type dn_reshape_layer = {
    .name = "reshape",
    .keys = reshape_keys,
    .parse = reshape_parse,
    .forward = reshape_forward,
    .backward = reshape_backward,
    .can_set_dx = 1,
};

/* [reshape]: the same values as a channels x height x width image, so that a dense decoder can feed convolutions. */
#include "net/layer.h"

static dn_status reshape_parse(dn_layer *l, dn_section *s) {
    int c, h, w;
    DN_TRY(dn_cfg_int(s, "channels", 1, 1, 1 << 24, &c));
    DN_TRY(dn_cfg_int(s, "height", 1, 1, 1 << 20, &h));
    DN_TRY(dn_cfg_int(s, "width", 1, 1, 1 << 20, &w));
    dn_layer_image_out(l, c, h, w);
    if (l->outputs != l->inputs)
        return dn_cfg_error(s, NULL, "channels=%d x height=%d x width=%d does not hold the %d values of the input", c,
                            h, w, l->inputs);
    return DN_OK;
}
static dn_status reshape_forward(dn_layer *l) {
    const dn_run *run = dn_layer_run(l);
    run->ops->copy(run->pool, (size_t)run->rows * l->outputs, l->x, l->output);
    return DN_OK;
}
static dn_status reshape_backward(dn_layer *l) {
    const dn_run *run = dn_layer_run(l);
    if (l->dx) run->ops->axpy(run->pool, (size_t)run->rows * l->outputs, 1, l->delta, l->dx);
    return DN_OK;
}
const dn_layer_type dn_reshape_layer = {
    .name = "reshape", .parse = reshape_parse, .forward = reshape_forward, .backward = reshape_backward,
};

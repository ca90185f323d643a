/* [avgpool]: the mean of every channel, 1x1xc. */
#include "net/layer.h"

static dn_status avgpool_parse(dn_layer *l, dn_section *s) {
    DN_TRY(dn_layer_need_image(l, s));
    dn_layer_image_out(l, l->channels, 1, 1);
    return DN_OK;
}
static dn_status avgpool_forward(dn_layer *l, const dn_run *run) {
    run->ops->avgpool_forward(run->pool, (size_t)run->rows * l->channels, (size_t)l->height * l->width,
                              dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}
static dn_status avgpool_backward(dn_layer *l, const dn_run *run) {
    if (l->dx)
        run->ops->avgpool_backward(run->pool, (size_t)run->rows * l->channels, (size_t)l->height * l->width, l->delta,
                                   l->dx);
    return DN_OK;
}
static double avgpool_flops(const dn_layer *l) { return l->inputs; }

const dn_layer_type dn_avgpool_layer = {
    .name = "avgpool",
    .aliases = {"avg"},
    .parse = avgpool_parse,
    .forward = avgpool_forward,
    .backward = avgpool_backward,
    .flops = avgpool_flops,
};

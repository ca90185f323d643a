/* [l2norm]: y = x / |x| over the channels of every pixel, or over all values of a plain vector; 0 where x is 0. dx +=
 * (dy - y (y . dy)) / |x| */
#include "net/layer.h"

typedef struct l2norm_state {
    size_t channels, spatial;
    float *norms; /* (batch, spatial) */
} l2norm_state;

static dn_status l2norm_parse(dn_layer *l, dn_section *s) {
    (void)s;
    l2norm_state *st = l->state;
    st->channels = l->channels ? (size_t)l->channels : (size_t)l->inputs;
    st->spatial = l->channels ? (size_t)l->height * l->width : 1;
    l->outputs = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    return DN_OK;
}
static dn_status l2norm_plan(dn_layer *l, const dn_run *run) {
    l2norm_state *st = l->state;
    return dn_layer_buffer(l, &st->norms, (size_t)run->batch * st->spatial);
}
static dn_status l2norm_forward(dn_layer *l, const dn_run *run) {
    l2norm_state *st = l->state;
    run->ops->l2norm_forward(run->pool, (size_t)run->rows, st->channels, st->spatial, dn_layer_x(l, run),
                             dn_layer_y(l, run), st->norms);
    return DN_OK;
}
static dn_status l2norm_backward(dn_layer *l, const dn_run *run) {
    l2norm_state *st = l->state;
    if (l->dx)
        run->ops->l2norm_backward(run->pool, (size_t)run->rows, st->channels, st->spatial, l->output, st->norms,
                                  l->delta, l->dx);
    return DN_OK;
}
const dn_layer_type dn_l2norm_layer = {
    .name = "l2norm",
    .state_size = sizeof(l2norm_state),
    .parse = l2norm_parse,
    .plan = l2norm_plan,
    .forward = l2norm_forward,
    .backward = l2norm_backward,
};

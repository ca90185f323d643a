/* [activation]: y = act(x), dx += dy act'(y). */
#include "net/layer.h"

typedef struct activation_state {
    dn_activation activation;
} activation_state;

static const dn_key activation_keys[] = {
    DN_ACTIVATION_KEY(activation_state, activation, DN_LINEAR, ""),
    {0},
};

static dn_status activation_parse(dn_layer *l, dn_section *s) {
    (void)s;
    l->outputs = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    return DN_OK;
}
static dn_status activation_forward(dn_layer *l, const dn_run *run) {
    activation_state *st = l->state;
    size_t n = (size_t)run->rows * l->outputs;
    float *y = dn_layer_y(l, run);
    run->ops->copy(run->pool, n, dn_layer_x(l, run), y);
    run->ops->activate(run->pool, st->activation, n, y);
    return DN_OK;
}
static dn_status activation_backward(dn_layer *l, const dn_run *run) {
    activation_state *st = l->state;
    size_t n = (size_t)run->rows * l->outputs;
    run->ops->activate_gradient(run->pool, st->activation, n, l->output, l->delta);
    if (l->dx) run->ops->axpy(run->pool, n, 1, l->delta, l->dx);
    return DN_OK;
}
const dn_layer_type dn_activation_layer = {
    .name = "activation",
    .state_size = sizeof(activation_state),
    .keys = activation_keys,
    .parse = activation_parse,
    .forward = activation_forward,
    .backward = activation_backward,
};

/* [dropout]: in training y = 0 where u < p, else x / (1 - p), with u ~ U(0, 1); outside training y = x. It has an
 * output of its own: Darknet's works in place and so corrupts the activation gradient of the layer below. */
#include "net/layer.h"

typedef struct dropout_state {
    double probability;
    float *u; /* (batch, outputs) */
    int active, given;
} dropout_state;

static const dn_key dropout_keys[] = {
    {"probability", DN_KEY_FLOAT, DN_AT(dropout_state, probability), .fallback = 0.5, .range = DN_FROM_0_BELOW_1,
     .help = "of dropping a value in training"},
    {0},
};

static dn_status dropout_parse(dn_layer *l, dn_section *s) {
    if (!l->index) /* as in Darknet, where it works on the layer below; for a denoising autoencoder: */
        return dn_cfg_error(s, NULL,
                            "cannot be the first layer; an [activation] with activation=linear may stand before it");
    l->outputs = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    return DN_OK;
}
static dn_status dropout_plan(dn_layer *l, const dn_run *run) {
    return dn_layer_training_buffer(l, run, &((dropout_state *)l->state)->u, (size_t)run->batch * l->outputs);
}
static dn_status dropout_forward(dn_layer *l, const dn_run *run) {
    dropout_state *st = l->state;
    size_t n = (size_t)run->rows * l->outputs;
    st->active = run->training;
    if (!st->active) {
        run->ops->copy(run->pool, n, dn_layer_x(l, run), dn_layer_y(l, run));
        return DN_OK;
    }
    if (!st->given) run->ops->uniforms(run->pool, run->step, DN_STREAM_LAYER + (uint32_t)l->index, n, st->u);
    st->given = 0;
    run->ops->dropout(run->pool, n, (float)st->probability, st->u, dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}
static dn_status dropout_backward(dn_layer *l, const dn_run *run) {
    dropout_state *st = l->state;
    size_t n = (size_t)run->rows * l->outputs;
    if (!l->dx) return DN_OK;
    if (st->active)
        run->ops->dropout_gradient(run->pool, n, (float)st->probability, st->u, l->delta, l->dx);
    else
        run->ops->axpy(run->pool, n, 1, l->delta, l->dx);
    return DN_OK;
}
static dn_status dropout_set_noise(dn_layer *l, const dn_run *run, const float *u, size_t count) {
    dropout_state *st = l->state;
    DN_TRY(dn_layer_noise_rows(l, count));
    run->ops->upload(run->pool, st->u, u, count * sizeof *u);
    st->given = 1;
    return DN_OK;
}
const dn_layer_type dn_dropout_layer = {
    .name = "dropout",
    .state_size = sizeof(dropout_state),
    .keys = dropout_keys,
    .parse = dropout_parse,
    .plan = dropout_plan,
    .forward = dropout_forward,
    .backward = dropout_backward,
    .set_noise = dropout_set_noise,
};

/* [dropout]: in training y = 0 where u < p, else x / (1 - p), u ~ U(0, 1); else y = x. It has its own output: Darknet's
 * works in place and so spoils the activation gradient of the layer below. */
#include "net/layer.h"

typedef struct dropout_state {
    double probability;
    float *u; /* (batch, outputs) */
    int active, given;
} dropout_state;

static dn_status dropout_parse(dn_layer *l, dn_section *s) {
    dropout_state *st = l->state;
    DN_TRY(dn_cfg_float(s, "probability", 0.5, &st->probability));
    if (st->probability < 0 || st->probability >= 1)
        return dn_cfg_error(s, "probability", "probability=%g is not in [0, 1)", st->probability);
    if (!l->index) /* as in Darknet, where it works on the layer below; for a denoising autoencoder: */
        return dn_cfg_error(s, NULL,
                            "cannot be the first layer; an [activation] with activation=linear may stand before it");
    l->outputs = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    return DN_OK;
}
static dn_status dropout_plan(dn_layer *l) {
    return dn_layer_training_buffer(l, &((dropout_state *)l->state)->u, (size_t)dn_layer_run(l)->batch * l->outputs);
}
static dn_status dropout_forward(dn_layer *l) {
    dropout_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    size_t n = (size_t)run->rows * l->outputs;
    st->active = run->training;
    if (!st->active) {
        run->ops->copy(run->pool, n, l->x, l->output);
        return DN_OK;
    }
    if (!st->given) run->ops->uniforms(run->pool, run->step, DN_STREAM_LAYER + (uint32_t)l->index, n, st->u);
    st->given = 0;
    run->ops->dropout(run->pool, n, (float)st->probability, st->u, l->x, l->output);
    return DN_OK;
}
static dn_status dropout_backward(dn_layer *l) {
    dropout_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    size_t n = (size_t)run->rows * l->outputs;
    if (!l->dx) return DN_OK;
    if (st->active)
        run->ops->dropout_gradient(run->pool, n, (float)st->probability, st->u, l->delta, l->dx);
    else
        run->ops->axpy(run->pool, n, 1, l->delta, l->dx);
    return DN_OK;
}
static void dropout_set_noise(dn_layer *l, const float *u, size_t count) {
    dropout_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    run->ops->upload(run->pool, st->u, u, count * sizeof *u);
    st->given = 1;
}
const dn_layer_type dn_dropout_layer = {
    .name = "dropout", .state_size = sizeof(dropout_state), .parse = dropout_parse, .plan = dropout_plan,
    .forward = dropout_forward, .backward = dropout_backward, .set_noise = dropout_set_noise,
};

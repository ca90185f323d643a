/* [connected]: one dense part. */
#include "layers/dense_part.h"
#include <limits.h>

static const char *const inits[] = {"glorot", "he", NULL};
static const dn_key connected_keys[] = {
    {"output", DN_KEY_INT, DN_AT(dn_dense, outputs), .fallback = 1, .low = 1, .high = INT_MAX, .help = "values"},
    DN_NORMALIZE_KEY(dn_dense, norm, "1: batch normalisation, in place of a plain bias"),
    DN_ACTIVATION_KEY(dn_dense, norm.activation, DN_LOGISTIC, ""),
    {"init", DN_KEY_WORD, DN_AT(dn_dense, he), .words = inits,
     .help = "start weights U(-L, L), L = sqrt(6 / (inputs + outputs)); he: sqrt(2 / inputs), as base Darknet (new)"},
    {0},
};

static dn_status connected_parse(dn_layer *l, dn_section *s) {
    dn_dense *p = l->state;
    size_t n;
    DN_TRY(dn_layer_size(s, &n, (size_t)p->outputs, (size_t)l->inputs, sizeof(float), 1));
    p->inputs = l->inputs;
    p->norm.prefix = "";
    dn_layer_vector_out(l, p->outputs);
    return DN_OK;
}

static dn_status connected_tensors(dn_layer *l) { return dn_dense_tensors(l, l->state); }

static dn_status connected_plan(dn_layer *l, const dn_run *run) {
    const dn_dense *p = l->state;
    l->can_train = run->ops->dense_train && !p->norm.on && !run->inference;
    dn_dense_shape shape = {run->batch, p->inputs, p->outputs, p->norm.activation};
    if (l->can_train) dn_layer_workspace(l, run->ops->dense_scratch(run->pool, &shape));
    return dn_dense_plan(l, run, l->state, 1);
}

static dn_status connected_init(dn_layer *l) {
    dn_dense_init(l, l->state);
    return DN_OK;
}

static dn_status connected_forward(dn_layer *l, const dn_run *run) {
    dn_dense_forward(run, l->state, 0, run->rows, dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}

static dn_status connected_backward(dn_layer *l, const dn_run *run) {
    dn_dense_backward(l, run, l->state, 0, run->rows, dn_layer_x(l, run), l->output, l->delta, l->dx);
    return DN_OK;
}

static dn_status connected_train(dn_layer *l, const dn_run *run, const dn_fused_loss *loss) {
    dn_dense_train(l, run, l->state, loss);
    return DN_OK;
}

static double connected_flops(const dn_layer *l) { return 2.0 * l->inputs * l->outputs; }

const dn_layer_type dn_connected_layer = {
    .name = "connected",
    .aliases = {"conn"},
    .state_size = sizeof(dn_dense),
    .keys = connected_keys,
    .parse = connected_parse,
    .tensors = connected_tensors,
    .plan = connected_plan,
    .init = connected_init,
    .forward = connected_forward,
    .backward = connected_backward,
    .can_set_dx = 1,
    .train = connected_train,
    .flops = connected_flops,
    .file_keys = DN_DONTLOADSCALES,
};

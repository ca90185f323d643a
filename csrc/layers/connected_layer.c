/* [connected]: one dense part. */
#include "layers/dense_part.h"
#include <limits.h>
#include <string.h>

static dn_status connected_parse(dn_layer *l, dn_section *s) {
    dn_dense *p = l->state;
    size_t n;
    DN_TRY(dn_cfg_int(s, "output", 1, 1, INT_MAX, &p->outputs));
    DN_TRY(dn_cfg_int(s, "batch_normalize", 0, 0, 1, &p->norm.on));
    DN_TRY(dn_layer_activation(s, "logistic", &p->norm.activation));
    const char *init = dn_cfg_string(s, "init", "glorot");
    p->he = !strcmp(init, "he");
    static const char *const inits[] = {"glorot", "he", NULL};
    if (!p->he && strcmp(init, "glorot")) return dn_cfg_unknown(s, "init", init, inits);
    DN_TRY(dn_layer_size(s, &n, (size_t)p->outputs, (size_t)l->inputs, sizeof(float), 1));
    p->inputs = l->inputs;
    p->norm.prefix = "";
    dn_layer_vector_out(l, p->outputs);
    return DN_OK;
}

static dn_status connected_plan(dn_layer *l) {
    const dn_dense *p = l->state;
    const dn_run *run = dn_layer_run(l);
    l->sets_dx = 1;
    l->updates_itself = run->ops->dense_train && !p->norm.on && !run->inference;
    dn_dense_shape shape = {run->batch, p->inputs, p->outputs, p->norm.activation};
    if (l->updates_itself) dn_layer_workspace(l, run->ops->dense_scratch(run->pool, &shape));
    return dn_dense_plan(l, l->state, 1);
}

static dn_status connected_init(dn_layer *l) {
    dn_dense_init(l, l->state);
    return DN_OK;
}

static dn_status connected_forward(dn_layer *l) {
    dn_dense_forward(l, l->state, 0, dn_layer_run(l)->rows, l->x, l->output);
    return DN_OK;
}

static dn_status connected_backward(dn_layer *l) {
    if (l->updates_itself && dn_layer_run(l)->update_now)
        dn_dense_train(l, l->state, NULL);
    else
        dn_dense_backward(l, l->state, 0, dn_layer_run(l)->rows, l->x, l->output, l->delta, l->dx);
    return DN_OK;
}

static int connected_takes_loss(const dn_layer *l, dn_loss loss) {
    const dn_dense *p = l->state;
    const dn_run *run = dn_layer_run(l);
    dn_dense_shape shape = {run->rows, p->inputs, p->outputs, p->norm.activation};
    return run->ops->dense_takes_loss(run->pool, &shape, loss);
}

static dn_status connected_train_with_loss(dn_layer *l, const dn_loss_behind *behind) {
    dn_dense_train(l, l->state, behind);
    return DN_OK;
}

static double connected_flops(const dn_layer *l) { return 2.0 * l->inputs * l->outputs; }

const dn_layer_type dn_connected_layer = {
    .name = "connected", .aliases = {"conn"}, .state_size = sizeof(dn_dense), .parse = connected_parse,
    .plan = connected_plan, .init = connected_init, .forward = connected_forward, .backward = connected_backward,
    .takes_loss = connected_takes_loss, .train_with_loss = connected_train_with_loss, .flops = connected_flops,
    .file_keys = DN_DONTLOADSCALES,
};

/* [connected]: y = act(norm(x W^T) + b), W (outputs, inputs).
 * dW += dy^T x, dx += dy W, after dy has passed the activation and the normalisation.
 * Start weights: U(-L, L), L = sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010). File: biases, weights, then the
 * normalisation. */
#include "layer_norm_part.h"
#include <limits.h>
#include <math.h>

typedef struct connected_state {
    dn_norm_part norm;
    dn_tensor *weights;
} connected_state;

static dn_status connected_parse(dn_layer *l, dn_section *s) {
    connected_state *st = l->state;
    int outputs;
    DN_TRY(dn_cfg_int(s, "output", 1, 1, INT_MAX, &outputs));
    DN_TRY(dn_cfg_int(s, "batch_normalize", 0, 0, 1, &st->norm.on));
    DN_TRY(dn_layer_activation(s, "logistic", &st->norm.activation));
    size_t n;
    DN_TRY(dn_layer_size(s, &n, (size_t)outputs, (size_t)l->inputs, sizeof(float), 1));
    dn_layer_vector_out(l, outputs);
    return DN_OK;
}

static dn_status connected_plan(dn_layer *l) {
    connected_state *st = l->state;
    int dims[2] = {l->outputs, l->inputs};
    DN_TRY(dn_norm_plan_biases(l, l->outputs));
    DN_TRY(dn_layer_tensor(l, "weights", DN_WEIGHT, 0, 2, dims));
    return dn_norm_plan(l, &st->norm, l->outputs);
}

static dn_status connected_init(dn_layer *l) {
    connected_state *st = l->state;
    st->weights = dn_layer_find(l, "weights");
    dn_norm_init(l, &st->norm);
    dn_layer_init_uniform(l, st->weights, sqrtf(6.0f / ((float)l->inputs + (float)l->outputs)));
    return DN_OK;
}

static dn_status connected_forward(dn_layer *l) {
    connected_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    run->ops->gemm(run->pool, 0, 1, run->rows, l->outputs, l->inputs, 1, l->x, l->inputs, st->weights->value, l->inputs,
                   0, l->output, l->outputs);
    dn_norm_forward(l, &st->norm, (size_t)l->outputs, 1);
    return DN_OK;
}

static dn_status connected_backward(dn_layer *l) {
    connected_state *st = l->state;
    const dn_run *run = dn_layer_run(l);
    dn_norm_backward(l, &st->norm, (size_t)l->outputs, 1);
    run->ops->gemm(run->pool, 1, 0, l->outputs, l->inputs, run->rows, 1, l->delta, l->outputs, l->x, l->inputs, 1,
                   st->weights->grad, l->inputs);
    if (l->dx)
        run->ops->gemm(run->pool, 0, 0, run->rows, l->inputs, l->outputs, 1, l->delta, l->outputs, st->weights->value,
                       l->inputs, 1, l->dx, l->inputs);
    return DN_OK;
}

static double connected_flops(const dn_layer *l) { return 2.0 * l->inputs * l->outputs; }

const dn_layer_type dn_connected_layer = {
    .name = "connected", .aliases = {"conn"}, .state_size = sizeof(connected_state), .parse = connected_parse,
    .plan = connected_plan, .init = connected_init, .forward = connected_forward, .backward = connected_backward,
    .flops = connected_flops,
};

/* [rnn]: the vanilla recurrence over dense parts, all with one activation. File: input, self, output. */
#include "layers/dense_part.h"
#include "layers/recurrence.h"
#include <limits.h>

typedef struct rnn_state {
    dn_dense input, self, output;
    dn_recurrence recurrence;
} rnn_state;

static void rnn_part_forward(dn_layer *l, const dn_run *run, void *part, int step, int rows, const float *x, float *y) {
    (void)l;
    dn_dense_forward(run, part, step, rows, x, y);
}
static void rnn_part_backward(dn_layer *l, const dn_run *run, void *part, int step, int rows, const float *x,
                              const float *y, float *dy, float *dx) {
    dn_dense_backward(l, run, part, step, rows, x, y, dy, dx);
}

static const dn_key rnn_keys[] = {
    {"output", DN_KEY_INT, DN_AT(rnn_state, input.outputs), .fallback = 1, .low = 1, .high = INT_MAX,
     .help = "values of the state and of the output"},
    DN_ACTIVATION_KEY(rnn_state, input.norm.activation, DN_LOGISTIC, "of all three parts"),
    DN_NORMALIZE_KEY(rnn_state, input.norm, "of all three parts, with statistics per step"),
    {"shortcut", DN_KEY_FLAG, DN_AT(rnn_state, recurrence.shortcut), .help = "the old state is added to the new one"},
    {0},
};

static dn_status rnn_parse(dn_layer *l, dn_section *s) {
    rnn_state *st = l->state;
    int outputs = st->input.outputs, on = st->input.norm.on;
    dn_activation activation = st->input.norm.activation; /* of all three parts */
    size_t n;
    DN_TRY(
        dn_layer_size(s, &n, (size_t)outputs, (size_t)(outputs > l->inputs ? outputs : l->inputs), sizeof(float), 1));
    st->input = (dn_dense){
        .inputs = l->inputs, .outputs = outputs, .norm = {.prefix = "input.", .on = on, .activation = activation}};
    st->self = (dn_dense){
        .inputs = outputs, .outputs = outputs, .norm = {.prefix = "self.", .on = on, .activation = activation}};
    st->output = (dn_dense){
        .inputs = outputs, .outputs = outputs, .norm = {.prefix = "output.", .on = on, .activation = activation}};
    st->recurrence.forward = rnn_part_forward, st->recurrence.backward = rnn_part_backward;
    st->recurrence.hidden = (size_t)outputs;
    dn_layer_vector_out(l, outputs);
    return DN_OK;
}
static dn_status rnn_tensors(dn_layer *l) {
    rnn_state *st = l->state;
    DN_TRY(dn_dense_tensors(l, &st->input));
    DN_TRY(dn_dense_tensors(l, &st->self));
    return dn_dense_tensors(l, &st->output);
}
static dn_status rnn_plan(dn_layer *l, const dn_run *run) {
    rnn_state *st = l->state;
    st->recurrence.input = &st->input, st->recurrence.self = &st->self, st->recurrence.output = &st->output;
    DN_TRY(dn_dense_plan(l, run, &st->input, run->time_steps));
    DN_TRY(dn_dense_plan(l, run, &st->self, run->time_steps));
    DN_TRY(dn_dense_plan(l, run, &st->output, run->time_steps));
    return dn_recurrence_plan(l, run, &st->recurrence);
}
static dn_status rnn_init(dn_layer *l) {
    rnn_state *st = l->state;
    dn_dense_init(l, &st->input);
    dn_dense_init(l, &st->self);
    dn_dense_init(l, &st->output);
    return DN_OK;
}
static dn_status rnn_forward(dn_layer *l, const dn_run *run) {
    return dn_recurrence_forward(l, run, &((rnn_state *)l->state)->recurrence);
}
static dn_status rnn_backward(dn_layer *l, const dn_run *run) {
    return dn_recurrence_backward(l, run, &((rnn_state *)l->state)->recurrence);
}
static void rnn_reset(dn_layer *l, const dn_run *run) { dn_slots_clear(run, &((rnn_state *)l->state)->recurrence.h); }
static double rnn_flops(const dn_layer *l) { return 2.0 * l->outputs * (l->inputs + 2.0 * l->outputs); }

const dn_layer_type dn_rnn_layer = {
    .name = "rnn",
    .state_size = sizeof(rnn_state),
    .keys = rnn_keys,
    .parse = rnn_parse,
    .tensors = rnn_tensors,
    .plan = rnn_plan,
    .init = rnn_init,
    .forward = rnn_forward,
    .backward = rnn_backward,
    .flops = rnn_flops,
    .recurrent = 1,
    .reset = rnn_reset,
};

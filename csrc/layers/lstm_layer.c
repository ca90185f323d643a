/* [lstm]: Hochreiter and Schmidhuber 1997 with a forget gate, from linear dense parts u (of x_t) and w (of the state):
 *
 *   i, f, o = logistic(u x + w h)    g = tanh(ug x + wg h)    c' = f c + i g    h' = o tanh(c'),    y = h'
 *
 * File: wi, wf, wo, wg, ui, uf, uo, ug; files of revision 0.2.5: f, i, g, o. */
#include "layers/dense_part.h"
#include "layers/recurrence.h"
#include <limits.h>

enum { GATE_I, GATE_F, GATE_O, GATE_G, GATES };
static const char *const prefixes[2 * GATES] = {"wi.", "wf.", "wo.", "wg.", "ui.", "uf.", "uo.", "ug."};
static const char *const order_025[] = {"wf.", "wi.", "wg.", "wo.", "uf.", "ui.", "ug.", "uo.", NULL};
static const dn_activation activations[GATES] = {DN_LOGISTIC, DN_LOGISTIC, DN_LOGISTIC, DN_TANH};

typedef struct lstm_state {
    dn_dense w[GATES], u[GATES];
    dn_slots h, c, dh, dc;
    float *gate[GATES], *tanh_c; /* (batch, outputs) */
    float *one, *d[GATES];       /* (streams, outputs) */
} lstm_state;

static const dn_key keys[] = {
    {"output", DN_KEY_INT, DN_AT(lstm_state, w[0].outputs), .fallback = 1, .low = 1, .high = INT_MAX,
     .help = "values of the state, which is the output"},
    DN_NORMALIZE_KEY(lstm_state, w[0].norm, "of the eight parts"),
    {0},
};

static dn_status lstm_parse(dn_layer *l, dn_section *s) {
    lstm_state *st = l->state;
    int outputs = st->w[0].outputs, on = st->w[0].norm.on;
    size_t n;
    DN_TRY(
        dn_layer_size(s, &n, (size_t)outputs, (size_t)(outputs > l->inputs ? outputs : l->inputs), sizeof(float), 1));
    for (int k = 0; k < GATES; k++) {
        st->w[k] = (dn_dense){
            .inputs = outputs, .outputs = outputs, .norm = {.prefix = prefixes[k], .on = on, .activation = DN_LINEAR}};
        st->u[k] = (dn_dense){.inputs = l->inputs,
                              .outputs = outputs,
                              .norm = {.prefix = prefixes[GATES + k], .on = on, .activation = DN_LINEAR}};
    }
    dn_layer_vector_out(l, outputs);
    return DN_OK;
}

static dn_status lstm_tensors(dn_layer *l) {
    lstm_state *st = l->state;
    for (int k = 0; k < GATES; k++) DN_TRY(dn_dense_tensors(l, &st->w[k]));
    for (int k = 0; k < GATES; k++) DN_TRY(dn_dense_tensors(l, &st->u[k]));
    return DN_OK;
}

static dn_status lstm_plan(dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    size_t n = (size_t)l->outputs, batch = (size_t)run->batch;
    for (int k = 0; k < GATES; k++) DN_TRY(dn_dense_plan(l, run, &st->w[k], run->time_steps));
    for (int k = 0; k < GATES; k++) DN_TRY(dn_dense_plan(l, run, &st->u[k], run->time_steps));
    dn_slots *slots[] = {&st->h, &st->c, &st->dh, &st->dc};
    for (int i = 0; i < 4; i++) DN_TRY(dn_slots_plan(l, run, slots[i], n));
    for (int k = 0; k < GATES; k++) {
        DN_TRY(dn_layer_buffer(l, &st->gate[k], batch * n));
        DN_TRY(dn_layer_buffer(l, &st->d[k], st->h.stride));
    }
    DN_TRY(dn_layer_buffer(l, &st->tanh_c, batch * n));
    return dn_layer_buffer(l, &st->one, st->h.stride);
}

static dn_status lstm_init(dn_layer *l) {
    lstm_state *st = l->state;
    for (int k = 0; k < GATES; k++) {
        dn_dense_init(l, &st->w[k]);
        dn_dense_init(l, &st->u[k]);
    }
    return DN_OK;
}

static dn_status lstm_forward(dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    const dn_ops *ops = run->ops;
    int streams = dn_streams(run);
    size_t n = (size_t)streams * l->outputs;
    dn_slots_begin(run, &st->h);
    dn_slots_begin(run, &st->c);
    for (int t = 0; t < run->time_steps; t++) {
        const float *x = dn_layer_x(l, run) + (size_t)t * streams * l->inputs, *h = dn_slot(&st->h, t);
        const float *c = dn_slot(&st->c, t);
        float *gate[GATES], *tanh_c = st->tanh_c + (size_t)t * n, *next_c = dn_slot(&st->c, t + 1);
        float *next_h = dn_slot(&st->h, t + 1);
        for (int k = 0; k < GATES; k++) {
            gate[k] = st->gate[k] + (size_t)t * n;
            dn_dense_forward(run, &st->w[k], t, streams, h, gate[k]);
            dn_dense_forward(run, &st->u[k], t, streams, x, st->one);
            ops->axpy(run->pool, n, 1, st->one, gate[k]);
            ops->activate(run->pool, activations[k], n, gate[k]);
        }
        ops->fill(run->pool, n, 0, next_c);
        ops->mul_add(run->pool, n, 1, gate[GATE_F], c, next_c);
        ops->mul_add(run->pool, n, 1, gate[GATE_I], gate[GATE_G], next_c);
        ops->copy(run->pool, n, next_c, tanh_c);
        ops->activate(run->pool, DN_TANH, n, tanh_c);
        ops->fill(run->pool, n, 0, next_h);
        ops->mul_add(run->pool, n, 1, gate[GATE_O], tanh_c, next_h);
        ops->copy(run->pool, n, next_h, dn_layer_y(l, run) + (size_t)t * n);
    }
    dn_slots_end(run, &st->h);
    dn_slots_end(run, &st->c);
    return DN_OK;
}

/* out = a b */
static void lstm_product(const dn_run *run, size_t n, const float *a, const float *b, float *out) {
    run->ops->fill(run->pool, n, 0, out);
    run->ops->mul_add(run->pool, n, 1, a, b, out);
}

static dn_status lstm_backward(dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    const dn_ops *ops = run->ops;
    int streams = dn_streams(run);
    size_t n = (size_t)streams * l->outputs;
    dn_slots_clear(run, &st->dh);
    dn_slots_clear(run, &st->dc);
    for (int t = run->time_steps - 1; t >= 0; t--) {
        size_t at = (size_t)t * streams * l->inputs;
        const float *tanh_c = st->tanh_c + (size_t)t * n, *gate[GATES];
        for (int k = 0; k < GATES; k++) gate[k] = st->gate[k] + (size_t)t * n;
        float *dy = dn_slot(&st->dh, t + 1), *dh = dn_slot(&st->dh, t), *dc = dn_slot(&st->dc, t + 1);
        ops->axpy(run->pool, n, 1, l->delta + (size_t)t * n, dy);
        lstm_product(run, n, dy, gate[GATE_O], st->one);
        ops->activate_gradient(run->pool, DN_TANH, n, tanh_c, st->one);
        ops->axpy(run->pool, n, 1, st->one, dc);
        lstm_product(run, n, dy, tanh_c, st->d[GATE_O]);
        lstm_product(run, n, dc, gate[GATE_G], st->d[GATE_I]);
        lstm_product(run, n, dc, gate[GATE_I], st->d[GATE_G]);
        lstm_product(run, n, dc, dn_slot(&st->c, t), st->d[GATE_F]);
        ops->mul_add(run->pool, n, 1, dc, gate[GATE_F], dn_slot(&st->dc, t));
        for (int k = 0; k < GATES; k++) {
            ops->activate_gradient(run->pool, activations[k], n, gate[k], st->d[k]);
            ops->copy(run->pool, n, st->d[k], st->one);
            dn_dense_backward(l, run, &st->w[k], t, streams, dn_slot(&st->h, t), NULL, st->one, dh);
            dn_dense_backward(l, run, &st->u[k], t, streams, dn_layer_x(l, run) + at, NULL, st->d[k],
                              l->dx ? l->dx + at : NULL);
        }
    }
    return DN_OK;
}

static void lstm_reset(dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    dn_slots_clear(run, &st->h);
    dn_slots_clear(run, &st->c);
}
static double lstm_flops(const dn_layer *l) { return 8.0 * l->outputs * ((double)l->inputs + l->outputs); }

const dn_layer_type dn_lstm_layer = {
    .name = "lstm",
    .state_size = sizeof(lstm_state),
    .keys = keys,
    .parse = lstm_parse,
    .tensors = lstm_tensors,
    .plan = lstm_plan,
    .init = lstm_init,
    .forward = lstm_forward,
    .backward = lstm_backward,
    .flops = lstm_flops,
    .recurrent = 1,
    .reset = lstm_reset,
    .order_025 = order_025,
};

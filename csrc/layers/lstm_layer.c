/* [lstm]: Hochreiter and Schmidhuber 1997 with a forget gate, from linear dense parts u (of x_t) and w (of the state):
 *
 *   i, f, o = logistic(u x + w h)    g = tanh(ug x + wg h)    c' = f c + i g    h' = o tanh(c'),    y = h'
 *
 * Only w h and its gradient go step by step. What else is a product, u x and the gradients of x and of all weights, is
 * one for all steps; the gates are side by side in it, (rows, 4 outputs), and stay there where a backend has a step in
 * one (backend_ops.h, LSTM). Batch normalisation has statistics of every part and step: then every part and step is
 * computed alone.
 *
 * File: wi, wf, wo, wg, ui, uf, uo, ug; files of revision 0.2.5: f, i, g, o. */
#include "layers/dense_part.h"
#include "layers/recurrence.h"
#include <limits.h>

enum { GATE_I, GATE_F, GATE_O, GATE_G, GATES = DN_LSTM_GATES };
static const char *const lstm_prefixes[2 * GATES] = {"wi.", "wf.", "wo.", "wg.", "ui.", "uf.", "uo.", "ug."};
static const char *const lstm_order_025[] = {"wf.", "wi.", "wg.", "wo.", "uf.", "ui.", "ug.", "uo.", NULL};
static const dn_activation activations[GATES] = {DN_LOGISTIC, DN_LOGISTIC, DN_LOGISTIC, DN_TANH};

typedef struct lstm_state {
    dn_dense w[GATES], u[GATES];
    dn_slots h, c, dh, dc;
    float *gate[GATES], *tanh_c; /* (batch, outputs) */
    float *one, *d[GATES];       /* (streams, outputs) */
    float *side;                 /* (batch, GATES outputs): gates before the activation, then their gradients; in
                                  * between, where a step is one operation, the gates */
    float *biases;               /* (GATES outputs): sums of the parts' biases, then their gradients */
    int whole;                   /* a step is one operation; then there is no gate, one and d */
} lstm_state;

static const dn_key lstm_keys[] = {
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
        st->w[k] = (dn_dense){.inputs = outputs,
                              .outputs = outputs,
                              .norm = {.prefix = lstm_prefixes[k], .on = on, .activation = DN_LINEAR}};
        st->u[k] = (dn_dense){.inputs = l->inputs,
                              .outputs = outputs,
                              .norm = {.prefix = lstm_prefixes[GATES + k], .on = on, .activation = DN_LINEAR}};
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

/* A product for all gates at once where their weights lie one after the other in memory (each is a multiple of what
 * tensors are padded to), otherwise gate by gate: `parts` of `width` columns of `side`. */
typedef struct lstm_gates {
    int parts, width;
} lstm_gates;

static lstm_gates gates_of(const dn_dense part[GATES]) {
    int joined = 1, n = part->outputs;
    for (int k = 0; k + 1 < GATES; k++)
        joined &= part[k + 1].weights->offset == part[k].weights->offset + part[k].weights->count;
    return joined ? (lstm_gates){1, GATES * n} : (lstm_gates){GATES, n};
}

static dn_status lstm_plan(dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    size_t n = (size_t)l->outputs, batch = (size_t)run->batch;
    for (int k = 0; k < GATES; k++) DN_TRY(dn_dense_plan(l, run, &st->w[k], run->time_steps));
    for (int k = 0; k < GATES; k++) DN_TRY(dn_dense_plan(l, run, &st->u[k], run->time_steps));
    dn_slots *slots[] = {&st->h, &st->c, &st->dh, &st->dc};
    for (int i = 0; i < 4; i++) DN_TRY(dn_slots_plan(l, run, slots[i], n));
    if (!st->w[0].norm.on) {
        DN_TRY(dn_layer_buffer(l, &st->side, batch * GATES * n));
        DN_TRY(dn_layer_buffer(l, &st->biases, GATES * n));
    }
    DN_TRY(dn_layer_buffer(l, &st->tanh_c, batch * n));
    st->whole = !st->w[0].norm.on && run->ops->lstm_forward && gates_of(st->w).parts == 1;
    for (int k = 0; k < GATES && !st->whole; k++) {
        DN_TRY(dn_layer_buffer(l, &st->gate[k], batch * n));
        DN_TRY(dn_layer_buffer(l, &st->d[k], st->h.stride));
    }
    return st->whole ? DN_OK : dn_layer_buffer(l, &st->one, st->h.stride);
}

static dn_status lstm_init(dn_layer *l) {
    lstm_state *st = l->state;
    for (int k = 0; k < GATES; k++) {
        dn_dense_init(l, &st->w[k]);
        dn_dense_init(l, &st->u[k]);
    }
    return DN_OK;
}

/* ---- products of all gates side by side ---- */

/* side (rows, GATES outputs) = beta side + x W^T */
static void gates_forward(const dn_run *run, const dn_dense part[GATES], int rows, const float *x, float beta,
                          float *side) {
    lstm_gates g = gates_of(part);
    int inputs = part->inputs, step = GATES * part->outputs;
    for (int k = 0; k < g.parts; k++)
        run->ops->gemm(run->pool, 0, 1, rows, g.width, inputs, 1, x, inputs, part[k].weights->value, inputs, beta,
                       side + (size_t)k * g.width, step);
}

/* dW += d^T x */
static void gates_gradients(const dn_run *run, const dn_dense part[GATES], int rows, const float *x, const float *d) {
    lstm_gates g = gates_of(part);
    int inputs = part->inputs, step = GATES * part->outputs;
    for (int k = 0; k < g.parts; k++)
        run->ops->gemm(run->pool, 1, 0, g.width, inputs, rows, 1, d + (size_t)k * g.width, step, x, inputs, 1,
                       part[k].weights->grad, inputs);
}

/* dx += d W */
static void gates_input_gradient(const dn_run *run, const dn_dense part[GATES], int rows, const float *d, float *dx) {
    lstm_gates g = gates_of(part);
    int inputs = part->inputs, step = GATES * part->outputs;
    for (int k = 0; k < g.parts; k++)
        run->ops->gemm(run->pool, 0, 0, rows, inputs, g.width, 1, d + (size_t)k * g.width, step, part[k].weights->value,
                       inputs, 1, dx, inputs);
}

/* side = U x + b, for all steps */
static void gates_begin(const dn_layer *l, const dn_run *run, lstm_state *st) {
    const dn_ops *ops = run->ops;
    size_t n = (size_t)l->outputs;
    for (int k = 0; k < GATES; k++) {
        ops->copy(run->pool, n, st->u[k].norm.biases->value, st->biases + k * n);
        ops->axpy(run->pool, n, 1, st->w[k].norm.biases->value, st->biases + k * n);
    }
    gates_forward(run, st->u, run->rows, dn_layer_x(l, run), 0, st->side);
    ops->bias_add(run->pool, (size_t)run->rows, GATES * n, 1, st->biases, st->side);
}

/* Gradients of everything but h, from those of `side` for all steps */
static void gates_end(dn_layer *l, const dn_run *run, lstm_state *st) {
    const dn_ops *ops = run->ops;
    int streams = dn_streams(run);
    size_t n = (size_t)l->outputs;
    if ((size_t)streams * n == st->h.stride) {
        gates_gradients(run, st->w, run->rows, dn_slot(&st->h, 0), st->side);
    } else { /* fewer streams than there is room for: the slots of h do not follow each other */
        for (int t = 0; t < run->time_steps; t++)
            gates_gradients(run, st->w, streams, dn_slot(&st->h, t), st->side + (size_t)t * streams * GATES * n);
    }
    gates_gradients(run, st->u, run->rows, dn_layer_x(l, run), st->side);
    if (l->dx) gates_input_gradient(run, st->u, run->rows, st->side, l->dx);
    ops->fill(run->pool, GATES * n, 0, st->biases);
    ops->bias_gradient(run->pool, (size_t)run->rows, GATES * n, 1, st->side, st->biases);
    for (int k = 0; k < GATES; k++) {
        ops->axpy(run->pool, n, 1, st->biases + k * n, st->u[k].norm.biases->grad);
        ops->axpy(run->pool, n, 1, st->biases + k * n, st->w[k].norm.biases->grad);
    }
}

/* ---- steps in one operation each ---- */

static dn_lstm_shape whole_shape(const dn_layer *l, const dn_run *run) {
    return (dn_lstm_shape){dn_streams(run), l->outputs};
}
static float *whole_gates(const dn_layer *l, const dn_run *run, int t) {
    return ((const lstm_state *)l->state)->side + (size_t)t * dn_streams(run) * GATES * l->outputs;
}

static void whole_forward(const dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    const dn_lstm_shape shape = whole_shape(l, run);
    size_t n = (size_t)shape.rows * l->outputs;
    for (int t = 0; t < run->time_steps; t++)
        run->ops->lstm_forward(run->pool, &shape, st->w[0].weights->value, dn_slot(&st->h, t), dn_slot(&st->c, t),
                               whole_gates(l, run, t), st->tanh_c + (size_t)t * n, dn_slot(&st->c, t + 1),
                               dn_slot(&st->h, t + 1), dn_layer_y(l, run) + (size_t)t * n);
}

static void whole_backward(dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    const dn_lstm_shape shape = whole_shape(l, run);
    size_t n = (size_t)shape.rows * l->outputs;
    float *dh = dn_slot(&st->dh, 0), *dc = dn_slot(&st->dc, 0);
    run->ops->fill(run->pool, n, 0, dc);
    for (int t = run->time_steps - 1; t >= 0; t--)
        run->ops->lstm_backward(run->pool, &shape, st->w[0].weights->value,
                                t + 1 < run->time_steps ? whole_gates(l, run, t + 1) : NULL, l->delta + (size_t)t * n,
                                dn_slot(&st->c, t), st->tanh_c + (size_t)t * n, whole_gates(l, run, t), dh, dc);
    gates_end(l, run, st);
}

/* ---- forward ---- */

/* gate[k] (streams, outputs) of step t, before the activation */
static void lstm_gates_forward(const dn_layer *l, const dn_run *run, int t, float *const gate[GATES]) {
    lstm_state *st = l->state;
    const dn_ops *ops = run->ops;
    int streams = dn_streams(run);
    size_t outputs = (size_t)l->outputs;
    const float *h = dn_slot(&st->h, t);
    if (st->side) {
        float *side = st->side + (size_t)t * streams * GATES * outputs;
        gates_forward(run, st->w, streams, h, 1, side);
        for (int k = 0; k < GATES; k++)
            ops->copy_rows(run->pool, (size_t)streams, outputs, side + k * outputs, GATES * outputs, gate[k], outputs);
        return;
    }
    const float *x = dn_layer_x(l, run) + (size_t)t * streams * l->inputs;
    for (int k = 0; k < GATES; k++) {
        dn_dense_forward(run, &st->w[k], t, streams, h, gate[k]);
        dn_dense_forward(run, &st->u[k], t, streams, x, st->one);
        ops->axpy(run->pool, (size_t)streams * outputs, 1, st->one, gate[k]);
    }
}

static dn_status lstm_forward(dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    const dn_ops *ops = run->ops;
    size_t n = (size_t)dn_streams(run) * l->outputs;
    dn_slots_begin(run, &st->h);
    dn_slots_begin(run, &st->c);
    if (st->side) gates_begin(l, run, st);
    if (st->whole) whole_forward(l, run);
    for (int t = 0; t < run->time_steps && !st->whole; t++) {
        const float *c = dn_slot(&st->c, t);
        float *gate[GATES], *tanh_c = st->tanh_c + (size_t)t * n, *next_c = dn_slot(&st->c, t + 1);
        float *next_h = dn_slot(&st->h, t + 1);
        for (int k = 0; k < GATES; k++) gate[k] = st->gate[k] + (size_t)t * n;
        lstm_gates_forward(l, run, t, gate);
        for (int k = 0; k < GATES; k++) ops->activate(run->pool, activations[k], n, gate[k]);
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

/* ---- backward ---- */

/* out = a b */
static void lstm_product(const dn_run *run, size_t n, const float *a, const float *b, float *out) {
    run->ops->fill(run->pool, n, 0, out);
    run->ops->mul_add(run->pool, n, 1, a, b, out);
}

/* From d[k] (streams, outputs), the gradients of step t before the activations: that of h, and of the rest or, where
 * steps go together, `side` for it. */
static void lstm_gates_backward(dn_layer *l, const dn_run *run, int t) {
    lstm_state *st = l->state;
    const dn_ops *ops = run->ops;
    int streams = dn_streams(run);
    size_t outputs = (size_t)l->outputs, n = (size_t)streams * outputs, at = (size_t)t * streams * l->inputs;
    float *dh = dn_slot(&st->dh, t);
    if (st->side) {
        float *side = st->side + (size_t)t * GATES * n;
        for (int k = 0; k < GATES; k++)
            ops->copy_rows(run->pool, (size_t)streams, outputs, st->d[k], outputs, side + k * outputs, GATES * outputs);
        gates_input_gradient(run, st->w, streams, side, dh);
        return;
    }
    for (int k = 0; k < GATES; k++) {
        ops->copy(run->pool, n, st->d[k], st->one);
        dn_dense_backward(l, run, &st->w[k], t, streams, dn_slot(&st->h, t), NULL, st->one, dh);
        dn_dense_backward(l, run, &st->u[k], t, streams, dn_layer_x(l, run) + at, NULL, st->d[k],
                          l->dx ? l->dx + at : NULL);
    }
}

static dn_status lstm_backward(dn_layer *l, const dn_run *run) {
    lstm_state *st = l->state;
    const dn_ops *ops = run->ops;
    size_t n = (size_t)dn_streams(run) * l->outputs;
    if (st->whole) {
        whole_backward(l, run);
        return DN_OK;
    }
    dn_slots_clear(run, &st->dh);
    dn_slots_clear(run, &st->dc);
    for (int t = run->time_steps - 1; t >= 0; t--) {
        const float *tanh_c = st->tanh_c + (size_t)t * n, *gate[GATES];
        for (int k = 0; k < GATES; k++) gate[k] = st->gate[k] + (size_t)t * n;
        float *dy = dn_slot(&st->dh, t + 1), *dc = dn_slot(&st->dc, t + 1);
        ops->axpy(run->pool, n, 1, l->delta + (size_t)t * n, dy);
        lstm_product(run, n, dy, gate[GATE_O], st->one);
        ops->activate_gradient(run->pool, DN_TANH, n, tanh_c, st->one);
        ops->axpy(run->pool, n, 1, st->one, dc);
        lstm_product(run, n, dy, tanh_c, st->d[GATE_O]);
        lstm_product(run, n, dc, gate[GATE_G], st->d[GATE_I]);
        lstm_product(run, n, dc, gate[GATE_I], st->d[GATE_G]);
        lstm_product(run, n, dc, dn_slot(&st->c, t), st->d[GATE_F]);
        ops->mul_add(run->pool, n, 1, dc, gate[GATE_F], dn_slot(&st->dc, t));
        for (int k = 0; k < GATES; k++) ops->activate_gradient(run->pool, activations[k], n, gate[k], st->d[k]);
        lstm_gates_backward(l, run, t);
    }
    if (st->side) gates_end(l, run, st);
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
    .keys = lstm_keys,
    .parse = lstm_parse,
    .tensors = lstm_tensors,
    .plan = lstm_plan,
    .init = lstm_init,
    .forward = lstm_forward,
    .backward = lstm_backward,
    .flops = lstm_flops,
    .recurrent = 1,
    .reset = lstm_reset,
    .order_025 = lstm_order_025,
};

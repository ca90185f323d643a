/* [gru]: Cho et al. 2014 (arXiv:1406.1078), in Darknet's form, with linear dense parts u (of x_t) and w (of the state):
 *
 *   z = logistic(uz x + wz h)    r = logistic(ur x + wr h)    c = f(uh x + wh (r h))    h' = z h + (1 - z) c,    y = h'
 *
 * f is tanh with tanh=1, else logistic. File: wz, wr, wh, uz, ur, uh; files of revision 0.2.5: u before w. */
#include "layers/dense_part.h"
#include "layers/recurrence.h"
#include <limits.h>

enum { WZ, WR, WH, UZ, UR, UH, PARTS };
static const char *const gru_prefixes[PARTS] = {"wz.", "wr.", "wh.", "uz.", "ur.", "uh."};
static const char *const gru_order_025[] = {"uz.", "ur.", "uh.", "wz.", "wr.", "wh.", NULL};

typedef struct gru_state {
    dn_dense parts[PARTS];
    int tanh;
    dn_activation candidate;
    dn_slots h, dh;
    float *z, *r, *c, *rh;       /* (batch, outputs) */
    float *one, *two, *drh, *dz; /* (streams, outputs) */
} gru_state;

static const dn_key gru_keys[] = {
    {"output", DN_KEY_INT, DN_AT(gru_state, parts[0].outputs), .fallback = 1, .low = 1, .high = INT_MAX,
     .help = "values of the state, which is the output"},
    DN_NORMALIZE_KEY(gru_state, parts[0].norm, "of the six parts"),
    {"tanh", DN_KEY_FLAG, DN_AT(gru_state, tanh), .help = "1: the candidate's activation is tanh, else logistic"},
    {0},
};

static dn_status gru_parse(dn_layer *l, dn_section *s) {
    gru_state *st = l->state;
    int outputs = st->parts[0].outputs, on = st->parts[0].norm.on;
    size_t n;
    DN_TRY(
        dn_layer_size(s, &n, (size_t)outputs, (size_t)(outputs > l->inputs ? outputs : l->inputs), sizeof(float), 1));
    st->candidate = st->tanh ? DN_TANH : DN_LOGISTIC;
    for (int i = 0; i < PARTS; i++)
        st->parts[i] = (dn_dense){.inputs = i < UZ ? outputs : l->inputs,
                                  .outputs = outputs,
                                  .norm = {.prefix = gru_prefixes[i], .on = on, .activation = DN_LINEAR}};
    dn_layer_vector_out(l, outputs);
    return DN_OK;
}

static dn_status gru_tensors(dn_layer *l) {
    gru_state *st = l->state;
    for (int i = 0; i < PARTS; i++) DN_TRY(dn_dense_tensors(l, &st->parts[i]));
    return DN_OK;
}

static dn_status gru_plan(dn_layer *l, const dn_run *run) {
    gru_state *st = l->state;
    size_t n = (size_t)l->outputs, batch = (size_t)run->batch;
    for (int i = 0; i < PARTS; i++) DN_TRY(dn_dense_plan(l, run, &st->parts[i], run->time_steps));
    DN_TRY(dn_slots_plan(l, run, &st->h, n));
    DN_TRY(dn_slots_plan(l, run, &st->dh, n));
    float **whole[] = {&st->z, &st->r, &st->c, &st->rh}, **step[] = {&st->one, &st->two, &st->drh, &st->dz};
    for (int i = 0; i < 4; i++) {
        DN_TRY(dn_layer_buffer(l, whole[i], batch * n));
        DN_TRY(dn_layer_buffer(l, step[i], st->h.stride));
    }
    return DN_OK;
}

static dn_status gru_init(dn_layer *l) {
    gru_state *st = l->state;
    for (int i = 0; i < PARTS; i++) dn_dense_init(l, &st->parts[i]);
    return DN_OK;
}

/* gate = f(u x + w h) */
static void gru_gate(dn_layer *l, const dn_run *run, int u, int w, int t, const float *x, const float *h,
                     dn_activation f, float *gate) {
    gru_state *st = l->state;
    int streams = dn_streams(run);
    size_t n = (size_t)streams * l->outputs;
    dn_dense_forward(run, &st->parts[u], t, streams, x, gate);
    dn_dense_forward(run, &st->parts[w], t, streams, h, st->one);
    run->ops->axpy(run->pool, n, 1, st->one, gate);
    run->ops->activate(run->pool, f, n, gate);
}

static dn_status gru_forward(dn_layer *l, const dn_run *run) {
    gru_state *st = l->state;
    const dn_ops *ops = run->ops;
    size_t n = (size_t)dn_streams(run) * l->outputs;
    dn_slots_begin(run, &st->h);
    for (int t = 0; t < run->time_steps; t++) {
        const float *x = dn_layer_x(l, run) + (size_t)t * dn_streams(run) * l->inputs, *h = dn_slot(&st->h, t);
        float *z = st->z + (size_t)t * n, *r = st->r + (size_t)t * n, *c = st->c + (size_t)t * n,
              *rh = st->rh + (size_t)t * n;
        float *next = dn_slot(&st->h, t + 1);
        gru_gate(l, run, UZ, WZ, t, x, h, DN_LOGISTIC, z);
        gru_gate(l, run, UR, WR, t, x, h, DN_LOGISTIC, r);
        ops->fill(run->pool, n, 0, rh);
        ops->mul_add(run->pool, n, 1, r, h, rh);
        gru_gate(l, run, UH, WH, t, x, rh, st->candidate, c);
        ops->copy(run->pool, n, c, next);
        ops->mul_add(run->pool, n, 1, z, h, next);
        ops->mul_add(run->pool, n, -1, z, c, next);
        ops->copy(run->pool, n, next, dn_layer_y(l, run) + (size_t)t * n);
    }
    dn_slots_end(run, &st->h);
    return DN_OK;
}

/* d is the gradient with respect to a gate's sum; propagate it through the gate's two parts. */
static void gru_gate_backward(dn_layer *l, const dn_run *run, int u, int w, int t, const float *x, const float *h,
                              float *d, float *dx, float *dh) {
    gru_state *st = l->state;
    int streams = dn_streams(run);
    run->ops->copy(run->pool, (size_t)streams * l->outputs, d, st->one);
    dn_dense_backward(l, run, &st->parts[w], t, streams, h, NULL, st->one, dh);
    dn_dense_backward(l, run, &st->parts[u], t, streams, x, NULL, d, dx);
}

static dn_status gru_backward(dn_layer *l, const dn_run *run) {
    gru_state *st = l->state;
    const dn_ops *ops = run->ops;
    size_t n = (size_t)dn_streams(run) * l->outputs;
    dn_slots_clear(run, &st->dh);
    for (int t = run->time_steps - 1; t >= 0; t--) {
        size_t at = (size_t)t * dn_streams(run) * l->inputs;
        const float *x = dn_layer_x(l, run) + at, *h = dn_slot(&st->h, t);
        const float *z = st->z + (size_t)t * n, *r = st->r + (size_t)t * n, *c = st->c + (size_t)t * n;
        const float *rh = st->rh + (size_t)t * n;
        float *dx = l->dx ? l->dx + at : NULL, *dy = dn_slot(&st->dh, t + 1), *dh = dn_slot(&st->dh, t);
        ops->axpy(run->pool, n, 1, l->delta + (size_t)t * n, dy);
        ops->fill(run->pool, n, 0, st->dz); /* dz = dy (h - c) */
        ops->mul_add(run->pool, n, 1, dy, h, st->dz);
        ops->mul_add(run->pool, n, -1, dy, c, st->dz);
        ops->mul_add(run->pool, n, 1, dy, z, dh);
        ops->copy(run->pool, n, dy, st->two); /* dc = dy (1 - z) */
        ops->mul_add(run->pool, n, -1, dy, z, st->two);
        ops->activate_gradient(run->pool, st->candidate, n, c, st->two);
        ops->fill(run->pool, n, 0, st->drh);
        gru_gate_backward(l, run, UH, WH, t, x, rh, st->two, dx, st->drh);
        ops->fill(run->pool, n, 0, st->two); /* dr */
        ops->mul_add(run->pool, n, 1, st->drh, h, st->two);
        ops->mul_add(run->pool, n, 1, st->drh, r, dh);
        ops->activate_gradient(run->pool, DN_LOGISTIC, n, r, st->two);
        gru_gate_backward(l, run, UR, WR, t, x, h, st->two, dx, dh);
        ops->activate_gradient(run->pool, DN_LOGISTIC, n, z, st->dz);
        gru_gate_backward(l, run, UZ, WZ, t, x, h, st->dz, dx, dh);
    }
    return DN_OK;
}

static void gru_reset(dn_layer *l, const dn_run *run) { dn_slots_clear(run, &((gru_state *)l->state)->h); }
static double gru_flops(const dn_layer *l) { return 6.0 * l->outputs * ((double)l->inputs + l->outputs); }

const dn_layer_type dn_gru_layer = {
    .name = "gru",
    .state_size = sizeof(gru_state),
    .keys = gru_keys,
    .parse = gru_parse,
    .tensors = gru_tensors,
    .plan = gru_plan,
    .init = gru_init,
    .forward = gru_forward,
    .backward = gru_backward,
    .flops = gru_flops,
    .recurrent = 1,
    .reset = gru_reset,
    .order_025 = gru_order_025,
};

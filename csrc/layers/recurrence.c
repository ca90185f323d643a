#include "layers/recurrence.h"

int dn_steps(const dn_layer *l) { return dn_layer_run(l)->time_steps; }
int dn_streams(const dn_layer *l) { return dn_layer_run(l)->rows / dn_steps(l); }

dn_status dn_slots_plan(dn_layer *l, dn_slots *s, size_t n) {
    size_t streams = (size_t)dn_layer_run(l)->batch / (size_t)dn_steps(l);
    s->n = n, s->stride = streams * n;
    return dn_layer_buffer(l, &s->values, ((size_t)dn_steps(l) + 1) * s->stride);
}

float *dn_slot(const dn_slots *s, int slot) { return s->values + (size_t)slot * s->stride; }

void dn_slots_clear(dn_layer *l, dn_slots *s) {
    const dn_run *run = dn_layer_run(l);
    run->ops->fill(run->pool, ((size_t)dn_steps(l) + 1) * s->stride, 0, s->values);
}

void dn_slots_begin(dn_layer *l, dn_slots *s) {
    const dn_run *run = dn_layer_run(l);
    if (run->training) run->ops->fill(run->pool, s->stride, 0, s->values);
}

void dn_slots_end(dn_layer *l, dn_slots *s) {
    const dn_run *run = dn_layer_run(l);
    if (!run->training)
        run->ops->copy(run->pool, (size_t)dn_streams(l) * s->n, dn_slot(s, dn_steps(l)), s->values);
}

dn_status dn_recurrence_plan(dn_layer *l, dn_recurrence *p) {
    size_t batch = (size_t)dn_layer_run(l)->batch;
    DN_TRY(dn_slots_plan(l, &p->h, p->hidden));
    DN_TRY(dn_slots_plan(l, &p->dh, p->hidden));
    DN_TRY(dn_layer_buffer(l, &p->a, batch * p->hidden));
    DN_TRY(dn_layer_buffer(l, &p->r, batch * p->hidden));
    return dn_layer_buffer(l, &p->d, p->h.stride);
}

dn_status dn_recurrence_forward(dn_layer *l, dn_recurrence *p) {
    const dn_run *run = dn_layer_run(l);
    int streams = dn_streams(l);
    size_t n = (size_t)streams * p->hidden;
    dn_slots_begin(l, &p->h);
    for (int t = 0; t < dn_steps(l); t++) {
        float *a = p->a + (size_t)t * n, *r = p->r + (size_t)t * n, *before = dn_slot(&p->h, t),
              *h = dn_slot(&p->h, t + 1);
        p->forward(l, p->input, t, streams, l->x + (size_t)t * streams * l->inputs, a);
        p->forward(l, p->self, t, streams, before, r);
        run->ops->copy(run->pool, n, a, h);
        run->ops->axpy(run->pool, n, 1, r, h);
        if (p->shortcut) run->ops->axpy(run->pool, n, 1, before, h);
        p->forward(l, p->output, t, streams, h, l->output + (size_t)t * streams * l->outputs);
    }
    dn_slots_end(l, &p->h);
    return DN_OK;
}

dn_status dn_recurrence_backward(dn_layer *l, dn_recurrence *p) {
    const dn_run *run = dn_layer_run(l);
    int streams = dn_streams(l);
    size_t n = (size_t)streams * p->hidden;
    dn_slots_clear(l, &p->dh);
    for (int t = dn_steps(l) - 1; t >= 0; t--) {
        const float *a = p->a + (size_t)t * n, *r = p->r + (size_t)t * n;
        size_t x = (size_t)t * streams * l->inputs, y = (size_t)t * streams * l->outputs;
        float *dh = dn_slot(&p->dh, t + 1), *before = dn_slot(&p->dh, t);
        p->backward(l, p->output, t, streams, dn_slot(&p->h, t + 1), l->output + y, l->delta + y, dh);
        run->ops->copy(run->pool, n, dh, p->d);
        p->backward(l, p->self, t, streams, dn_slot(&p->h, t), r, p->d, before);
        if (p->shortcut) run->ops->axpy(run->pool, n, 1, dh, before);
        run->ops->copy(run->pool, n, dh, p->d);
        p->backward(l, p->input, t, streams, l->x + x, a, p->d, l->dx ? l->dx + x : NULL);
    }
    return DN_OK;
}

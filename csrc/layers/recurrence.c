#include "layers/recurrence.h"

int dn_streams(const dn_run *run) { return run->rows / run->time_steps; }

dn_status dn_slots_plan(dn_layer *l, const dn_run *run, dn_slots *s, size_t n) {
    size_t streams = (size_t)run->batch / (size_t)run->time_steps;
    s->n = n, s->stride = streams * n;
    return dn_layer_buffer(l, &s->values, ((size_t)run->time_steps + 1) * s->stride);
}

float *dn_slot(const dn_slots *s, int slot) { return s->values + (size_t)slot * s->stride; }

void dn_slots_clear(const dn_run *run, dn_slots *s) {
    run->ops->fill(run->pool, ((size_t)run->time_steps + 1) * s->stride, 0, s->values);
}

void dn_slots_begin(const dn_run *run, dn_slots *s) {
    if (run->training) run->ops->fill(run->pool, s->stride, 0, s->values);
}

void dn_slots_end(const dn_run *run, dn_slots *s) {
    if (!run->training)
        run->ops->copy(run->pool, (size_t)dn_streams(run) * s->n, dn_slot(s, run->time_steps), s->values);
}

dn_status dn_recurrence_plan(dn_layer *l, const dn_run *run, dn_recurrence *p) {
    size_t batch = (size_t)run->batch;
    DN_TRY(dn_slots_plan(l, run, &p->h, p->hidden));
    DN_TRY(dn_slots_plan(l, run, &p->dh, p->hidden));
    DN_TRY(dn_layer_buffer(l, &p->a, batch * p->hidden));
    DN_TRY(dn_layer_buffer(l, &p->r, batch * p->hidden));
    return dn_layer_buffer(l, &p->d, p->h.stride);
}

dn_status dn_recurrence_forward(dn_layer *l, const dn_run *run, dn_recurrence *p) {
    int streams = dn_streams(run);
    size_t n = (size_t)streams * p->hidden;
    dn_slots_begin(run, &p->h);
    for (int t = 0; t < run->time_steps; t++) {
        float *a = p->a + (size_t)t * n, *r = p->r + (size_t)t * n, *before = dn_slot(&p->h, t),
              *h = dn_slot(&p->h, t + 1);
        p->forward(l, run, p->input, t, streams, dn_layer_x(l, run) + (size_t)t * streams * l->inputs, a);
        p->forward(l, run, p->self, t, streams, before, r);
        run->ops->copy(run->pool, n, a, h);
        run->ops->axpy(run->pool, n, 1, r, h);
        if (p->shortcut) run->ops->axpy(run->pool, n, 1, before, h);
        p->forward(l, run, p->output, t, streams, h, dn_layer_y(l, run) + (size_t)t * streams * l->outputs);
    }
    dn_slots_end(run, &p->h);
    return DN_OK;
}

dn_status dn_recurrence_backward(dn_layer *l, const dn_run *run, dn_recurrence *p) {
    int streams = dn_streams(run);
    size_t n = (size_t)streams * p->hidden;
    dn_slots_clear(run, &p->dh);
    for (int t = run->time_steps - 1; t >= 0; t--) {
        const float *a = p->a + (size_t)t * n, *r = p->r + (size_t)t * n;
        size_t x = (size_t)t * streams * l->inputs, y = (size_t)t * streams * l->outputs;
        float *dh = dn_slot(&p->dh, t + 1), *before = dn_slot(&p->dh, t);
        p->backward(l, run, p->output, t, streams, dn_slot(&p->h, t + 1), l->output + y, l->delta + y, dh);
        run->ops->copy(run->pool, n, dh, p->d);
        p->backward(l, run, p->self, t, streams, dn_slot(&p->h, t), r, p->d, before);
        if (p->shortcut) run->ops->axpy(run->pool, n, 1, dh, before);
        run->ops->copy(run->pool, n, dh, p->d);
        p->backward(l, run, p->input, t, streams, dn_layer_x(l, run) + x, a, p->d, l->dx ? l->dx + x : NULL);
    }
    return DN_OK;
}

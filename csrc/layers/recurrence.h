/* The recurrence of [rnn] and [crnn] over three parts of one kind. Rows are time-major: step, then stream.
 *
 *   a = input(x_t)    r = self(h_{t-1})    h_t = a + r (+ h_{t-1} with shortcut=1)    y_t = output(h_t)
 *
 * Training begins every pass with h = 0; other passes continue from where the last one ended. */
#ifndef DN_RECURRENCE_H
#define DN_RECURRENCE_H
#include "net/layer.h"

/* Stores a value for each stream and step, with a slot before the first step: slot t + 1 belongs to step t. */
typedef struct dn_slots {
    float *values; /* (steps + 1, streams, n) */
    size_t n, stride;
} dn_slots;

dn_status dn_slots_plan(dn_layer *layer, const dn_run *run, dn_slots *slots, size_t n);
float *dn_slot(const dn_slots *slots, int slot);
/* The number of streams in this pass: rows / time_steps. */
int dn_streams(const dn_run *run);
/* Before a pass: in training, clear the state. After it: the last step's values become the state. */
void dn_slots_begin(const dn_run *run, dn_slots *slots);
void dn_slots_end(const dn_run *run, dn_slots *slots);
void dn_slots_clear(const dn_run *run, dn_slots *slots);

typedef void (*dn_part_forward)(dn_layer *, const dn_run *, void *part, int step, int rows, const float *x, float *y);
typedef void (*dn_part_backward)(dn_layer *, const dn_run *, void *part, int step, int rows, const float *x,
                                 const float *y, float *dy, float *dx);

typedef struct dn_recurrence {
    void *input, *self, *output; /* parts */
    dn_part_forward forward;
    dn_part_backward backward;
    int shortcut;
    size_t hidden; /* values of h per stream */
    dn_slots h, dh;
    float *a, *r; /* (batch, hidden) */
    float *d;     /* (streams, hidden) */
} dn_recurrence;

dn_status dn_recurrence_plan(dn_layer *layer, const dn_run *run, dn_recurrence *recurrence);
dn_status dn_recurrence_forward(dn_layer *layer, const dn_run *run, dn_recurrence *recurrence);
dn_status dn_recurrence_backward(dn_layer *layer, const dn_run *run, dn_recurrence *recurrence);
#endif

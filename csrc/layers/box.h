/* What detector heads share: boxes, and the host side of a head. A head decides cell by cell, so it works on the host:
 *
 *   dn_detector_begin     downloads input and truth into `output` and `truth`, zeroes `gradient`
 *   (the head)        activates `output` and writes `gradient`: that of its surrogate loss with respect to the output,
 *                     in ordinary sign
 *   dn_detector_end       uploads `output`; the cost is the squared norm of `gradient`, as Darknet reports it
 *   dn_detector_backward  uploads the gradient into delta and, through the head's activations, into dx
 *
 * The buffers belong to the plan: a step allocates nothing, and heads never access the device's memory directly. */
#ifndef DN_BOX_H
#define DN_BOX_H
#include "net/layer.h"

typedef struct dn_box {
    float x, y, w, h; /* centre and size */
} dn_box;

float dn_box_iou(dn_box a, dn_box b); /* intersection over union; 0 without a union */
float dn_box_rmse(dn_box a, dn_box b);

typedef struct dn_detector {
    float *output, *gradient, *down; /* host (batch, outputs) */
    float *truth;                    /* host (batch, truths) */
    float *device;                   /* (batch, outputs): staging for uploads */
    int active;                      /* the last forward pass had a truth */
} dn_detector;

/* One row on its way down. On entry, d is the gradient with respect to the output y from the layers after it; on
 * return, the gradient with respect to the input, including the head's own gradient g. */
typedef void dn_detector_down(const dn_layer *layer, const float *y, const float *g, float *d);

dn_status dn_detector_plan(dn_layer *layer, const dn_run *run, dn_detector *head);
void dn_detector_begin(const dn_layer *layer, const dn_run *run, dn_detector *head);
void dn_detector_end(dn_layer *layer, const dn_run *run, dn_detector *head);
dn_status dn_detector_backward(dn_layer *layer, const dn_run *run, dn_detector *head, dn_detector_down *down);

/* Activations of n values, and their dn_detector_down. The losses of logistic and softmax outputs are cross entropies,
 * so g is already the gradient with respect to the input; the squared error of a logistic output goes through the
 * logistic, as d does. */
void dn_head_logistic(size_t n, float *y);
void dn_head_softmax(size_t n, size_t step, float *y);
void dn_head_linear_down(size_t n, const float *g, float *d);
void dn_head_logistic_down(size_t n, const float *y, const float *g, float *d);
void dn_head_squared_logistic_down(size_t n, const float *y, const float *g, float *d);
void dn_head_softmax_down(size_t n, size_t step, const float *y, const float *g, float *d);
#endif

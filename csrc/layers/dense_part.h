/* y = act(norm(x W^T) + b), W (outputs, inputs): all of a connected layer, and the parts of rnn, gru and lstm. dW +=
 * dy^T x, dx += dy W, after dy has passed through the activation and the normalisation. File: biases, weights, then the
 * normalisation. */
#ifndef DN_DENSE_PART_H
#define DN_DENSE_PART_H
#include "layers/norm_part.h"

typedef struct dn_dense {
    int inputs, outputs;
    dn_norm_part norm; /* prefix, on and activation are set by the caller */
    dn_tensor *weights;
    int he; /* 1: initial weights as in base Darknet */
} dn_dense;

dn_status dn_dense_tensors(dn_layer *layer, dn_dense *part);
dn_status dn_dense_plan(dn_layer *layer, const dn_run *run, dn_dense *part, int steps);
/* Weights U(-L, L), L = sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010), or with `he` L = sqrt(2 / inputs). */
void dn_dense_init(dn_layer *layer, dn_dense *part);
void dn_dense_forward(const dn_run *run, dn_dense *part, int step, int rows, const float *x, float *y);
/* dy is overwritten; dx may be NULL. */
void dn_dense_backward(dn_layer *layer, const dn_run *run, dn_dense *part, int step, int rows, const float *x,
                       const float *y, float *dy, float *dx);
/* The `train` hook of a layer that consists of one part without normalisation. */
void dn_dense_train(dn_layer *layer, const dn_run *run, dn_dense *part, const dn_fused_loss *loss);
#endif

/* Cross-correlation with W (filters, channels/groups, size, size), then normalisation or bias and the activation: all
 * of a convolutional layer, and the parts of crnn. out = (in + 2 padding - size) / stride + 1; convolution.h has
 * the passes.
 *
 * xnor: the forward pass uses sign(w) mean|w| of each filter and the signs of the input; the gradient is that of the
 * real weights and inputs (straight-through), as on Darknet's CPU. File: biases, normalisation, weights. */
#ifndef DN_CONV_PART_H
#define DN_CONV_PART_H
#include "layers/norm_part.h"

typedef struct dn_conv {
    dn_norm_part norm; /* the caller sets prefix, on and activation, and all up to the image's shape */
    int filters, groups, channels, xnor;
    int flipped;         /* files have the weights as (inputs, outputs) */
    int pad;             /* the key of that name: padding = size / 2 */
    dn_conv_layer whole; /* group: image, size, stride and padding are set by the caller, the rest by dn_conv_settle */
    dn_tensor *weights;
    float *signs, *binary; /* xnor: the binary forms of input and weights */
} dn_conv;

/* Check the shape and compute the output's. */
dn_status dn_conv_settle(dn_layer *layer, dn_section *section, dn_conv *part);
dn_status dn_conv_tensors(dn_layer *layer, dn_conv *part);
dn_status dn_conv_plan(dn_layer *layer, const dn_run *run, dn_conv *part, int steps);
/* Weights sqrt(2 / (size^2 channels/groups)) N(0, 1) (He et al. 2015). */
void dn_conv_init(dn_layer *layer, dn_conv *part);
void dn_conv_forward(const dn_run *run, dn_conv *part, int step, int rows, const float *x, float *y);
/* dy is overwritten; dx, which may be NULL, is added to, or set if set_dx. */
void dn_conv_backward(const dn_run *run, dn_conv *part, int step, int rows, const float *x, const float *y, float *dy,
                      float *dx, int set_dx);
double dn_conv_flops(const dn_conv *part);
#endif

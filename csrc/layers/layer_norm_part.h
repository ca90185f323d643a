/* What connected, convolutional, deconvolutional and batchnorm layers share: bias or batch normalisation, then the
 * activation. Included by those four files. */
#ifndef DN_LAYER_NORM_PART_H
#define DN_LAYER_NORM_PART_H
#include "../layer.h"

typedef struct dn_norm_part {
    int on; /* batch_normalize */
    dn_activation activation;
    float *xhat, *mean, *var; /* (batch, outputs), (channels), (channels) */
    dn_tensor *biases, *scales, *rolling_mean, *rolling_variance;
} dn_norm_part;

dn_status dn_norm_plan_biases(dn_layer *layer, int channels);
/* scales, rolling_mean, rolling_variance, in this order, and the buffers */
dn_status dn_norm_plan(dn_layer *layer, dn_norm_part *part, int channels);
void dn_norm_bind(dn_layer *layer, dn_norm_part *part); /* tensors by name; first thing in init */
void dn_norm_init(dn_layer *layer, dn_norm_part *part);
/* In place on layer->output (rows, channels, spatial), and back on layer->delta. */
void dn_norm_forward(dn_layer *layer, dn_norm_part *part, size_t channels, size_t spatial);
void dn_norm_backward(dn_layer *layer, dn_norm_part *part, size_t channels, size_t spatial);
#endif

/* What layers with biases share: bias or batch normalisation, then the activation. A recurrent layer has several such
 * parts, whose tensors have different prefixes, and runs each one once per time step, with separate statistics. */
#ifndef DN_NORM_PART_H
#define DN_NORM_PART_H
#include "net/layer.h"

typedef struct dn_norm_part {
    const char *prefix; /* "", or for example "self." */
    int on;             /* the key batch_normalize */
    dn_activation activation;
    int channels;
    size_t spatial;
    float *xhat, *mean, *var; /* (batch, channels * spatial), (steps, channels), (steps, channels) */
    dn_tensor *biases, *scales, *rolling_mean, *rolling_variance;
} dn_norm_part;

#define DN_NORMALIZE_KEY(state, part, text) {"batch_normalize", DN_KEY_FLAG, DN_AT(state, part.on), .help = text}

/* Request a tensor, with the part's prefix in its name. */
dn_status dn_part_tensor(dn_layer *layer, const char *prefix, const char *name, dn_tensor_kind kind, int flags,
                         int n_dims, const int *dims);
dn_tensor *dn_part_find(dn_layer *layer, const char *prefix, const char *name);
dn_status dn_norm_tensor_biases(dn_layer *layer, dn_norm_part *part);
/* scales, rolling_mean, rolling_variance, in this order */
dn_status dn_norm_tensors(dn_layer *layer, dn_norm_part *part);
dn_status dn_norm_plan(dn_layer *layer, const dn_run *run, dn_norm_part *part, int steps);
void dn_norm_init(dn_layer *layer, dn_norm_part *part);
/* In place on y (rows, channels, spatial), and back on dy, for time step `step` (0 outside recurrent layers). */
void dn_norm_forward(const dn_run *run, dn_norm_part *part, int step, int rows, float *y);
void dn_norm_backward(const dn_run *run, dn_norm_part *part, int step, int rows, const float *y, float *dy);
#endif

/* Convolutions of whole layers. A backend has passes of its own, or leaves them NULL; they are then composed of its
 * im2col, col2im and gemm, per row and group with the columns (taps, pixels) in the workspace:
 *
 *   y = W cols        dW += dy cols^T        dx += col2im(W^T dy)
 *
 * These are also the plain reference that tests compare a backend's own passes with. */
#ifndef DN_CONVOLUTION_H
#define DN_CONVOLUTION_H
#include "backend/backend.h"

/* The backend's own passes, or the composed ones. */
size_t dn_conv_workspace(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *layer, size_t rows);
void dn_conv_run_forward(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *layer, size_t rows, int add,
                         const float *x, const float *w, float *y, float *workspace);
void dn_conv_run_backward_data(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *layer, size_t rows, int add,
                               const float *dy, const float *w, float *dx, float *workspace);
void dn_conv_run_backward_weights(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *layer, size_t rows,
                                  const float *x, const float *dy, float *dw, float *workspace);

/* The composed ones; also for backends whose own passes do not cover every shape. */
size_t dn_conv_composed_workspace(const dn_conv_layer *layer);
void dn_conv_composed_forward(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *layer, size_t rows, int add,
                              const float *x, const float *w, float *y, float *workspace);
void dn_conv_composed_backward_data(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *layer, size_t rows, int add,
                                    const float *dy, const float *w, float *dx, float *workspace);
void dn_conv_composed_backward_weights(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *layer, size_t rows,
                                       const float *x, const float *dy, float *dw, float *workspace);
#endif

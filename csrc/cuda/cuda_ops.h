/* The launchers of the CUDA operations, dn_cuda_NAME for NAME of backend.h: each puts its kernels into the stream and
 * returns the launch's error. One list, from which the declarations here and the table in cuda_backend.c are made. Read
 * by C and C++. */
#ifndef DN_CUDA_OPS_H
#define DN_CUDA_OPS_H
#include "backend/backend.h"
#include <cuda_runtime_api.h>

typedef struct dn_cuda_blas dn_cuda_blas; /* cuda_blas.h */

/* Where a launch goes, and scratch memory that one launcher uses at a time: the stream keeps the order. */
typedef struct dn_cuda_place {
    cudaStream_t stream;
    int processors; /* multiprocessors of the device */
    double *sums;   /* DN_CUDA_SUMS */
    float *scratch; /* DN_CUDA_SCRATCH */
    const dn_cuda_blas *blas;
} dn_cuda_place;

enum { DN_CUDA_SUMS = 1024, DN_CUDA_SCRATCH = 4 << 20 };

#define DN_LIST(...) __VA_ARGS__
/* OP(name, parameters behind the pool, arguments) */
#define DN_CUDA_OPS(OP)                                                                                                \
    OP(set_step, (dn_step *to, const dn_step *value), (to, value))                                                     \
    OP(gather_rows,                                                                                                    \
       (const dn_step *step, size_t rows, size_t cols, const float *data, const uint32_t *order, float *to),           \
       (step, rows, cols, data, order, to))                                                                            \
    OP(fill, (size_t n, float value, float *x), (n, value, x))                                                         \
    OP(copy, (size_t n, const float *x, float *y), (n, x, y))                                                          \
    OP(scale, (size_t n, float a, float *x), (n, a, x))                                                                \
    OP(axpy, (size_t n, float a, const float *x, float *y), (n, a, x, y))                                              \
    OP(mul_add, (size_t n, float a, const float *x, const float *y, float *z), (n, a, x, y, z))                        \
    OP(copy_rows, (size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy),                        \
       (rows, cols, x, ldx, y, ldy))                                                                                   \
    OP(add_rows, (size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy),                         \
       (rows, cols, x, ldx, y, ldy))                                                                                   \
    OP(im2col, (const dn_conv_shape *shape, const float *image, float *columns), (shape, image, columns))              \
    OP(col2im, (const dn_conv_shape *shape, const float *columns, float *image), (shape, columns, image))              \
    OP(conv_forward,                                                                                                   \
       (const dn_conv_layer *layer, size_t rows, int add, const float *x, const float *w, float *y, float *workspace), \
       (layer, rows, add, x, w, y, workspace))                                                                         \
    OP(conv_backward_data,                                                                                             \
       (const dn_conv_layer *layer, size_t rows, int add, const float *dy, const float *w, float *dx,                  \
        float *workspace),                                                                                             \
       (layer, rows, add, dy, w, dx, workspace))                                                                       \
    OP(conv_backward_weights,                                                                                          \
       (const dn_conv_layer *layer, size_t rows, const float *x, const float *dy, float *dw, float *workspace),        \
       (layer, rows, x, dy, dw, workspace))                                                                            \
    OP(local_forward, (const dn_conv_layer *layer, size_t rows, const float *x, const float *w, float *y),             \
       (layer, rows, x, w, y))                                                                                         \
    OP(local_backward_data, (const dn_conv_layer *layer, size_t rows, const float *dy, const float *w, float *dx),     \
       (layer, rows, dy, w, dx))                                                                                       \
    OP(local_backward_weights, (const dn_conv_layer *layer, size_t rows, const float *x, const float *dy, float *dw),  \
       (layer, rows, x, dy, dw))                                                                                       \
    OP(bias_add, (size_t rows, size_t channels, size_t spatial, const float *bias, float *y),                          \
       (rows, channels, spatial, bias, y))                                                                             \
    OP(bias_gradient, (size_t rows, size_t channels, size_t spatial, const float *dy, float *db),                      \
       (rows, channels, spatial, dy, db))                                                                              \
    OP(activate, (dn_activation kind, size_t n, float *x), (kind, n, x))                                               \
    OP(activate_gradient, (dn_activation kind, size_t n, const float *y, float *dy), (kind, n, y, dy))                 \
    OP(bias_activate, (size_t rows, size_t channels, size_t spatial, dn_activation kind, const float *bias, float *y), \
       (rows, channels, spatial, kind, bias, y))                                                                       \
    OP(bias_activate_gradient,                                                                                         \
       (size_t rows, size_t channels, size_t spatial, dn_activation kind, const float *y, float *dy, float *db),       \
       (rows, channels, spatial, kind, y, dy, db))                                                                     \
    OP(dense_forward, (const dn_dense_shape *shape, const float *x, const float *w, const float *b, float *y),         \
       (shape, x, w, b, y))                                                                                            \
    OP(dense_train, (const dn_dense_pass *pass), (pass))                                                               \
    OP(norm_forward,                                                                                                   \
       (size_t rows, size_t channels, size_t spatial, int training, float eps, const float *x, const float *scale,     \
        const float *bias, float *mean, float *var, float *rolling_mean, float *rolling_var, float *xhat, float *y),   \
       (rows, channels, spatial, training, eps, x, scale, bias, mean, var, rolling_mean, rolling_var, xhat, y))        \
    OP(norm_backward,                                                                                                  \
       (size_t rows, size_t channels, size_t spatial, int training, float eps, const float *xhat, const float *scale,  \
        const float *mean, const float *var, float *dy, float *dscale, float *dbias),                                  \
       (rows, channels, spatial, training, eps, xhat, scale, mean, var, dy, dscale, dbias))                            \
    OP(maxpool_forward, (size_t rows, const dn_conv_shape *shape, const float *x, float *y, int *index),               \
       (rows, shape, x, y, index))                                                                                     \
    OP(maxpool_backward, (size_t rows, const dn_conv_shape *shape, const int *index, const float *dy, float *dx),      \
       (rows, shape, index, dy, dx))                                                                                   \
    OP(upsample_forward, (size_t maps, int h, int w, int stride, float scale, const float *x, float *y),               \
       (maps, h, w, stride, scale, x, y))                                                                              \
    OP(upsample_backward, (size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx),            \
       (maps, h, w, stride, scale, dy, dx))                                                                            \
    OP(downsample_forward, (size_t maps, int h, int w, int stride, float scale, const float *x, float *y),             \
       (maps, h, w, stride, scale, x, y))                                                                              \
    OP(downsample_backward, (size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx),          \
       (maps, h, w, stride, scale, dy, dx))                                                                            \
    OP(normals, (const dn_step *step, uint32_t number, size_t n, float *eps), (step, number, n, eps))                  \
    OP(uniforms, (const dn_step *step, uint32_t number, size_t n, float *u), (step, number, n, u))                     \
    OP(dropout, (size_t n, float p, const float *u, const float *x, float *y), (n, p, u, x, y))                        \
    OP(dropout_gradient, (size_t n, float p, const float *u, const float *dy, float *dx), (n, p, u, dy, dx))           \
    OP(reparameterise, (size_t rows, size_t latent, const float *x, const float *eps, float *z, double *kl),           \
       (rows, latent, x, eps, z, kl))                                                                                  \
    OP(reparameterise_gradient,                                                                                        \
       (size_t rows, size_t latent, float kl_weight, const float *x, const float *eps, const float *dz, float *dx),    \
       (rows, latent, kl_weight, x, eps, dz, dx))                                                                      \
    OP(loss, (dn_loss kind, size_t n, const float *x, const float *truth, float *error, float *gradient, double *sum), \
       (kind, n, x, truth, error, gradient, sum))                                                                      \
    OP(mask, (size_t n, const float *truth, float *x), (n, truth, x))                                                  \
    OP(update,                                                                                                         \
       (const dn_optimizer *optimizer, const dn_step *step, size_t n, float factor, float decay, float *w, float *m,   \
        float *v, const float *g),                                                                                     \
       (optimizer, step, n, factor, decay, w, m, v, g))                                                                \
    OP(shortcut_forward, (const dn_shortcut_shape *shape, float alpha, float beta, const float *source, float *y),     \
       (shape, alpha, beta, source, y))                                                                                \
    OP(shortcut_backward,                                                                                              \
       (const dn_shortcut_shape *shape, float alpha, float beta, const float *dy, float *dx, float *dsource),          \
       (shape, alpha, beta, dy, dx, dsource))                                                                          \
    OP(binarize, (size_t rows, size_t n, int mean, const float *x, float *y), (rows, n, mean, x, y))                   \
    OP(avgpool_forward, (size_t maps, size_t spatial, const float *x, float *y), (maps, spatial, x, y))                \
    OP(avgpool_backward, (size_t maps, size_t spatial, const float *dy, float *dx), (maps, spatial, dy, dx))           \
    OP(gather, (size_t rows, size_t n_in, size_t n_out, const int *index, float a, float b, const float *x, float *y), \
       (rows, n_in, n_out, index, a, b, x, y))                                                                         \
    OP(scatter_add, (size_t rows, size_t n_in, size_t n_out, const int *index, float a, const float *dy, float *dx),   \
       (rows, n_in, n_out, index, a, dy, dx))                                                                          \
    OP(softmax, (const dn_softmax_shape *shape, float temperature, const float *x, float *y),                          \
       (shape, temperature, x, y))                                                                                     \
    OP(softmax_gradient,                                                                                               \
       (const dn_softmax_shape *shape, float temperature, const float *y, const float *dy, float *dx),                 \
       (shape, temperature, y, dy, dx))                                                                                \
    OP(softmax_loss,                                                                                                   \
       (const dn_softmax_shape *shape, float temperature, const float *y, const float *truth, float *error,            \
        float *gradient, double *sum),                                                                                 \
       (shape, temperature, y, truth, error, gradient, sum))                                                           \
    OP(l2norm_forward, (size_t rows, size_t channels, size_t spatial, const float *x, float *y, float *norms),         \
       (rows, channels, spatial, x, y, norms))                                                                         \
    OP(l2norm_backward,                                                                                                \
       (size_t rows, size_t channels, size_t spatial, const float *y, const float *norms, const float *dy, float *dx), \
       (rows, channels, spatial, y, norms, dy, dx))                                                                    \
    OP(lrn_forward,                                                                                                    \
       (size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta, float kappa, const float *x,  \
        float *norms, float *y),                                                                                       \
       (rows, channels, spatial, size, alpha, beta, kappa, x, norms, y))                                               \
    OP(lrn_backward,                                                                                                   \
       (size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta, const float *x,               \
        const float *norms, const float *dy, float *dx),                                                               \
       (rows, channels, spatial, size, alpha, beta, x, norms, dy, dx))

#ifdef __cplusplus
extern "C" {
#endif
#define DN_DECLARE(name, parameters, arguments) cudaError_t dn_cuda_##name(const dn_cuda_place *on, DN_LIST parameters);
DN_CUDA_OPS(DN_DECLARE)
#undef DN_DECLARE
/* cuda_backend.c prefers cuBLAS */
cudaError_t dn_cuda_gemm(const dn_cuda_place *on, int trans_a, int trans_b, int m, int n, int k, float alpha,
                         const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
#ifdef __cplusplus
}
#endif
#endif

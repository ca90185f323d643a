/* The CPU operations, file by file; what each does stands in backend.h. */
#ifndef DN_CPU_OPS_H
#define DN_CPU_OPS_H
#include "cpu/cpu_kernels.h"

void cpu_fill(dn_pool *pool, size_t n, float value, float *x);
void cpu_copy(dn_pool *pool, size_t n, const float *x, float *y);
void cpu_scale(dn_pool *pool, size_t n, float a, float *x);
void cpu_axpy(dn_pool *pool, size_t n, float a, const float *x, float *y);
void cpu_mul_add(dn_pool *pool, size_t n, float a, const float *x, const float *y, float *z);
void cpu_copy_rows(dn_pool *pool, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy);
void cpu_add_rows(dn_pool *pool, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy);
void cpu_gemm(dn_pool *pool, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
              const float *b, int ldb, float beta, float *c, int ldc);
void cpu_im2col(dn_pool *pool, const dn_conv_shape *shape, const float *image, float *columns);
void cpu_col2im(dn_pool *pool, const dn_conv_shape *shape, const float *columns, float *image);
size_t cpu_conv_workspace(dn_pool *pool, const dn_conv_layer *layer, size_t rows);
void cpu_conv_forward(dn_pool *pool, const dn_conv_layer *layer, size_t rows, int add, const float *x, const float *w, float *y, float *workspace);
void cpu_conv_backward_data(dn_pool *pool, const dn_conv_layer *layer, size_t rows, int add, const float *dy, const float *w, float *dx, float *workspace);
void cpu_conv_backward_weights(dn_pool *pool, const dn_conv_layer *layer, size_t rows, const float *x, const float *dy, float *dw, float *workspace);
void cpu_bias_add(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *bias, float *y);
void cpu_bias_gradient(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *dy, float *db);
void cpu_activate(dn_pool *pool, dn_activation activation, size_t n, float *x);
void cpu_activate_gradient(dn_pool *pool, dn_activation activation, size_t n, const float *y, float *dy);
void cpu_norm_forward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int training, float eps, const float *x, const float *scale, const float *bias, float *mean, float *var, float *rolling_mean, float *rolling_var, float *xhat, float *y);
void cpu_norm_backward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int training, float eps, const float *xhat, const float *scale, const float *mean, const float *var, float *dy, float *dscale, float *dbias);
void cpu_maxpool_forward(dn_pool *pool, size_t rows, const dn_conv_shape *shape, const float *x, float *y, int *index);
void cpu_maxpool_backward(dn_pool *pool, size_t rows, const dn_conv_shape *shape, const int *index, const float *dy, float *dx);
void cpu_upsample_forward(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *x, float *y);
void cpu_upsample_backward(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx);
void cpu_downsample_forward(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *x, float *y);
void cpu_downsample_backward(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx);
void cpu_gather_rows(dn_pool *pool, const dn_step *step, size_t rows, size_t cols, const float *data, const uint32_t *order, float *to);
void cpu_normals(dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float *eps);
void cpu_uniforms(dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float *u);
void cpu_dropout(dn_pool *pool, size_t n, float p, const float *u, const float *x, float *y);
void cpu_dropout_gradient(dn_pool *pool, size_t n, float p, const float *u, const float *dy, float *dx);
void cpu_reparameterise(dn_pool *pool, size_t rows, size_t latent, const float *x, const float *eps, float *z, double *kl);
void cpu_reparameterise_gradient(dn_pool *pool, size_t rows, size_t latent, float kl_weight, const float *x, const float *eps, const float *dz, float *dx);
void cpu_loss(dn_pool *pool, dn_loss kind, size_t n, const float *x, const float *truth, float *error, float *gradient, double *sum);
void cpu_mask(dn_pool *pool, size_t n, const float *truth, float *x);
void cpu_update(dn_pool *pool, const dn_optimizer *optimizer, const dn_step *step, size_t n, float factor, float decay, float *w, float *m, float *v, const float *g);
void cpu_dense_forward(dn_pool *pool, const dn_dense_shape *shape, const float *x, const float *w, const float *b, float *y);
void cpu_dense_train(dn_pool *pool, const dn_dense_pass *pass);
size_t cpu_dense_scratch(const dn_dense_shape *shape);
int cpu_dense_takes_loss(const dn_dense_shape *shape, dn_loss loss);
void cpu_shortcut_forward(dn_pool *pool, const dn_shortcut_shape *shape, float alpha, float beta, const float *source, float *y);
void cpu_shortcut_backward(dn_pool *pool, const dn_shortcut_shape *shape, float alpha, float beta, const float *dy, float *dx, float *dsource);
void cpu_binarize(dn_pool *pool, size_t rows, size_t n, int mean, const float *x, float *y);
void cpu_avgpool_forward(dn_pool *pool, size_t maps, size_t spatial, const float *x, float *y);
void cpu_avgpool_backward(dn_pool *pool, size_t maps, size_t spatial, const float *dy, float *dx);
void cpu_gather(dn_pool *pool, size_t rows, size_t n_in, size_t n_out, const int *index, float a, float b, const float
     *x, float *y);
void cpu_scatter_add(dn_pool *pool, size_t rows, size_t n_in, size_t n_out, const int *index, float a, const float
     *dy, float *dx);
void cpu_softmax(dn_pool *pool, const dn_softmax_shape *shape, float temperature, const float *x, float *y);
void cpu_softmax_gradient(dn_pool *pool, const dn_softmax_shape *shape, float temperature, const float *y, const float
     *dy, float *dx);
void cpu_softmax_loss(dn_pool *pool, const dn_softmax_shape *shape, float temperature, const float *y, const float
     *truth, float *error, float *gradient, double *sum);
void cpu_l2norm_forward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *x, float *y, float
     *norms);
void cpu_l2norm_backward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *y, const float
     *norms, const float *dy, float *dx);
void cpu_lrn_forward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta,
     float kappa, const float *x, float *norms, float *y);
void cpu_lrn_backward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta,
     const float *x, const float *norms, const float *dy, float *dx);
#endif

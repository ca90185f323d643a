/* The seam between layers and machines: memory and operations. Layers are written against this table alone, so a new
 * machine is a new table. Every matrix is row-major; every gradient-like argument is added to unless its comment says set.
 * Operations cannot fail on the CPU; a backend that can fail keeps its first error and reports it in `finish`. */
#ifndef DN_BACKEND_H
#define DN_BACKEND_H
#include "pool.h"
#include "status.h"

typedef enum dn_activation {
    DN_LINEAR, DN_LOGISTIC, DN_LOGGY, DN_RELU, DN_ELU, DN_SELU, DN_RELIE, DN_RAMP, DN_LEAKY, DN_TANH, DN_PLSE, DN_STAIR,
    DN_HARDTAN, DN_LHTAN, DN_ACTIVATION_COUNT
} dn_activation;

typedef enum dn_loss { DN_LOSS_SSE, DN_LOSS_L1, DN_LOSS_SMOOTH, DN_LOSS_BCE, DN_LOSS_MASKED, DN_LOSS_COUNT } dn_loss;

#define DN_MASKED (-1234.0f) /* a truth that does not count, in masked losses */

/* A convolution seen from its image side: image (c, h, w), columns (c*size*size, out_h*out_w). */
typedef struct dn_conv_shape {
    int channels, height, width, size, stride, padding, out_height, out_width;
} dn_conv_shape;

typedef struct dn_shortcut_shape {
    size_t rows;
    int c1, h1, w1, c2, h2, w2, stride, sample; /* steps in the source and in y */
} dn_shortcut_shape;

/* Softmaxes over n values each, at r row_step + g group_step + i step. */
typedef struct dn_softmax_shape {
    size_t rows, row_step, groups, group_step, n, step;
} dn_softmax_shape;

typedef struct dn_ops {
    const char *name;
    void *(*alloc)(dn_pool *pool, size_t bytes); /* zeroed, 64-byte aligned; NULL with a message */
    void (*free)(dn_pool *pool, void *memory);
    void (*upload)(dn_pool *, void *to, const void *from_host, size_t bytes);
    void (*download)(dn_pool *, void *to_host, const void *from, size_t bytes);
    /* plain vectors */
    void (*fill)(dn_pool *, size_t n, float value, float *x);
    void (*copy)(dn_pool *, size_t n, const float *x, float *y);
    void (*scale)(dn_pool *, size_t n, float a, float *x);
    void (*axpy)(dn_pool *, size_t n, float a, const float *x, float *y); /* y += a x */
    void (*mul_add)(dn_pool *, size_t n, float a, const float *x, const float *y, float *z); /* z += a x y */
    /* rows of `cols` values between matrices with row steps ldx, ldy: y = x, y += x */
    void (*copy_rows)(dn_pool *, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy);
    void (*add_rows)(dn_pool *, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy);
    /* C (m, n) = alpha op(A) op(B) + beta C; op(A) is (m, k), op(B) is (k, n) */
    void (*gemm)(dn_pool *, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc);
    void (*im2col)(dn_pool *, const dn_conv_shape *, const float *image, float *columns); /* set */
    void (*col2im)(dn_pool *, const dn_conv_shape *, const float *columns, float *image); /* add */
    /* y (rows, channels, spatial) += bias[channel]; db[channel] += sums of dy */
    void (*bias_add)(dn_pool *, size_t rows, size_t channels, size_t spatial, const float *bias, float *y);
    void (*bias_gradient)(dn_pool *, size_t rows, size_t channels, size_t spatial, const float *dy, float *db);
    void (*activate)(dn_pool *, dn_activation, size_t n, float *x);                        /* in place */
    void (*activate_gradient)(dn_pool *, dn_activation, size_t n, const float *y, float *dy); /* dy *= act'(y) */
    /* batch normalisation, x (rows, channels, spatial). legacy: 1/(sqrt(v)+1e-6), else 1/sqrt(v+eps).
     * train: mean, var set (unbiased), rolling mixed by .99/.01; y = xhat*scale + bias, xhat kept */
    void (*norm_forward)(dn_pool *, size_t rows, size_t channels, size_t spatial, int training, float eps,
                         const float *x, const float *scale, const float *bias, float *mean, float *var,
                         float *rolling_mean, float *rolling_var, float *xhat, float *y);
    /* dy becomes dx in place; dscale, dbias add. eps < 0 is the legacy form. */
    void (*norm_backward)(dn_pool *, size_t rows, size_t channels, size_t spatial, int training, float eps,
                          const float *xhat, const float *scale, const float *mean, const float *var, float *dy,
                          float *dscale, float *dbias);
    void (*maxpool_forward)(dn_pool *, size_t rows, const dn_conv_shape *, const float *x, float *y, int *index);
    void (*maxpool_backward)(dn_pool *, size_t n, const int *index, const float *dy, float *dx);
    void (*upsample_forward)(dn_pool *, size_t maps, int h, int w, int stride, float scale, const float *x, float *y);
    void (*upsample_backward)(dn_pool *, size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx);
    void (*downsample_forward)(dn_pool *, size_t maps, int h, int w, int stride, float scale, const float *x, float *y);
    void (*downsample_backward)(dn_pool *, size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx);
    /* eps[i] = N(0,1) number `i` of (seed, stream, step); uniform in [0, 1) likewise */
    void (*normals)(dn_pool *, uint64_t seed, uint32_t stream, uint64_t step, size_t n, float *eps);
    void (*uniforms)(dn_pool *, uint64_t seed, uint32_t stream, uint64_t step, size_t n, float *u);
    /* y = u < p ? 0 : x / (1 - p); the same for gradients, added */
    void (*dropout)(dn_pool *, size_t n, float p, const float *u, const float *x, float *y);
    void (*dropout_gradient)(dn_pool *, size_t n, float p, const float *u, const float *dy, float *dx);
    /* x (rows, 2 latent) = [log-variance | mean]; z = mean + exp(lv/2) eps (eps NULL: the mean); returns the sum of KL */
    double (*reparameterise)(dn_pool *, size_t rows, size_t latent, const float *x, const float *eps, float *z);
    void (*reparameterise_gradient)(dn_pool *, size_t rows, size_t latent, float kl_weight, const float *x,
                                    const float *eps, const float *dz, float *dx);
    /* error (set), gradient (set: d of the descended loss by x, see docs/numerics.md); returns the sum of errors */
    double (*loss)(dn_pool *, dn_loss, size_t n, const float *x, const float *truth, float *error, float *gradient);
    /* x = DN_MASKED where truth = DN_MASKED */
    void (*mask)(dn_pool *, size_t n, const float *truth, float *x);
    /* optimisers over one range; g is the plain gradient summed over the batch and is left as it is */
    void (*sgd)(dn_pool *, size_t n, float rate, float momentum, float decay, float inverse_batch, float *w, float *v,
                const float *g);
    void (*adam)(dn_pool *, size_t n, float rate, float b1, float b2, float eps, float decay_batch, float correction1,
                 float correction2, float *w, float *m, float *v, const float *g);
    /* On the overlap of the maps y (rows, c2, h2, w2) and source (rows, c1, h1, w1), in steps when one is larger:
     * y = alpha y + beta source. Backward: dx gets alpha dy on the overlap and dy elsewhere; dsource gets beta dy. */
    void (*shortcut_forward)(dn_pool *, const dn_shortcut_shape *, float alpha, float beta, const float *source, float *y);
    void (*shortcut_backward)(dn_pool *, const dn_shortcut_shape *, float alpha, float beta, const float *dy, float *dx,
                              float *dsource);
    /* y = sign(x), 0 counts as -1; mean: times the mean of |x| over the row */
    void (*binarize)(dn_pool *, size_t rows, size_t n, int mean, const float *x, float *y);
    void (*avgpool_forward)(dn_pool *, size_t maps, size_t spatial, const float *x, float *y);
    void (*avgpool_backward)(dn_pool *, size_t maps, size_t spatial, const float *dy, float *dx);
    /* y[i] = a x[index[i]] + b in every row, 0 where the index is -1; dx[index[i]] += a dy[i] */
    void (*gather)(dn_pool *, size_t rows, size_t n_in, size_t n_out, const int *index, float a, float b, const float
        *x, float *y);
    void (*scatter_add)(dn_pool *, size_t rows, size_t n_in, size_t n_out, const int *index, float a, const float *dy,
        float *dx);
    void (*softmax)(dn_pool *, const dn_softmax_shape *shape, float temperature, const float *x, float *y);
    void (*softmax_gradient)(dn_pool *, const dn_softmax_shape *shape, float temperature, const float *y, const float
        *dy, float *dx);
    /* error (set) = -t ln y, gradient (set) by the softmax's input; groups with a masked truth count nothing */
    double (*softmax_loss)(dn_pool *, const dn_softmax_shape *shape, float temperature, const float *y, const float
        *truth, float *error, float *gradient);
    void (*l2norm_forward)(dn_pool *, size_t rows, size_t channels, size_t spatial, const float *x, float *y, float
        *norms);
    void (*l2norm_backward)(dn_pool *, size_t rows, size_t channels, size_t spatial, const float *y, const float
        *norms, const float *dy, float *dx);
    void (*lrn_forward)(dn_pool *, size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta,
        float kappa, const float *x, float *norms, float *y);
    void (*lrn_backward)(dn_pool *, size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta,
        const float *x, const float *norms, const float *dy, float *dx);
} dn_ops;

extern const dn_ops dn_cpu_ops;
extern const dn_ops dn_fence_ops; /* for tests: memory the host may not touch */
/* The names of the cfg; -1 when unknown. */
int dn_activation_parse(const char *name);
const char *dn_activation_name(dn_activation a);
#endif

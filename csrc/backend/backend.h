/* The seam between layers and machines: memory and operations. Layers are written against this table alone, so a new
 * machine is a new table. Every matrix is row-major; every gradient-like argument is added to unless its comment says set.
 * Operations may return before their work is done; `finish` waits, and reports the first error since the last one. What
 * changes from step to step lies in the backend's memory (dn_step), and sums of losses are added up there, so that a training
 * step needs no answer from the machine and can be recorded once and replayed. */
#ifndef DN_BACKEND_H
#define DN_BACKEND_H
#include "base/pool.h"
#include "base/status.h"

typedef enum dn_activation {
    DN_LINEAR, DN_LOGISTIC, DN_LOGGY, DN_RELU, DN_ELU, DN_SELU, DN_RELIE, DN_RAMP, DN_LEAKY, DN_TANH, DN_PLSE, DN_STAIR,
    DN_HARDTAN, DN_LHTAN, DN_ACTIVATION_COUNT
} dn_activation;

typedef enum dn_loss { DN_LOSS_SSE, DN_LOSS_L1, DN_LOSS_SMOOTH, DN_LOSS_BCE, DN_LOSS_MASKED, DN_LOSS_COUNT } dn_loss;

/* Of the factors in products of matrices; sums and everything else are float32. TF32 has 10 bits of mantissa,
 * bfloat16 7. */
typedef enum dn_precision { DN_FLOAT32, DN_TF32, DN_BF16, DN_PRECISION_COUNT } dn_precision;

#define DN_MASKED (-1234.0f) /* a truth that does not count, in masked losses */

/* A convolution seen from its image side: image (c, h, w), columns (c*size*size, out_h*out_w). */
typedef struct dn_conv_shape {
    int channels, height, width, size, stride, padding, out_height, out_width;
} dn_conv_shape;

/* The convolutions of a layer: `groups` independent ones, each of `group`'s channels and of `filters` filters.
 * x (rows, groups*channels, height, width), y (rows, groups*filters, out_height, out_width), w (groups*filters, channels,
 * size, size). A deconvolution is one too, with x and y changing places. */
typedef struct dn_conv_layer {
    dn_conv_shape group;
    int groups, filters;
} dn_conv_layer;

typedef struct dn_shortcut_shape {
    size_t rows;
    int c1, h1, w1, c2, h2, w2, stride, sample; /* steps in the source and in y */
} dn_shortcut_shape;

/* Softmaxes over n values each, at r row_step + g group_step + i step. */
typedef struct dn_softmax_shape {
    size_t rows, row_step, groups, group_step, n, step;
} dn_softmax_shape;

/* What differs between one training step and the next; in the backend's memory. */
typedef struct dn_step {
    uint64_t seed, pass; /* of noise: see rng.h */
    uint64_t at;         /* rows of the epoch's order that earlier passes took */
    float rate;          /* learning rate of this update */
    float rows;          /* summed in the gradient */
    float correction1, correction2; /* Adam: 1 - b1^t, 1 - b2^t with t = 1 for the first update */
} dn_step;

/* Adam, or SGD with momentum; the formulas stand in docs/numerics.md, "Update". */
typedef struct dn_optimizer {
    int adam;
    float momentum, b1, b2, eps;
} dn_optimizer;

/* A dense layer: y = act(x W^T + b), x (rows, inputs), W (outputs, inputs). */
typedef struct dn_dense_shape {
    int rows, inputs, outputs;
    dn_activation activation;
} dn_dense_shape;

/* Backward pass and update of a dense layer in one. */
typedef struct dn_dense_pass {
    dn_dense_shape shape;
    const dn_optimizer *optimizer;
    const dn_step *step;
    float factor, decay, bias_decay;
    float *w, *w_m, *w_v, *b, *b_m, *b_v; /* parameters and moments */
    const float *x;
    float *y, *dy, *dx; /* dy may be spent; dx is added to, or set with set_dx; NULL: not wanted */
    int set_dx;
    int loss; /* of dn_loss, of y against truth, instead of dy: then the forward pass is done here too, y is set; -1: none */
    const float *truth;
    float loss_scale;
    double *sum;    /* of the loss, added to */
    float *scratch; /* dense_scratch floats: enough for fewer rows too */
} dn_dense_pass;

typedef struct dn_ops {
    const char *name;
    int separate_memory; /* 1: the host cannot read this memory, so data sets are uploaded */
    const char *(*describe)(dn_pool *pool); /* the device in use, for people; lent by it; NULL: the name says all */
    dn_status (*open)(dn_pool *pool, int index, dn_precision precision); /* of a device; NULL: nothing to do */
    void (*close)(dn_pool *pool);
    size_t (*own_bytes)(dn_pool *pool); /* of the device's memory that `open` took; NULL: none */
    dn_status (*finish)(dn_pool *pool);
    /* Record operations instead of doing them, to be replayed any number of times; NULL: cannot. */
    dn_status (*record_begin)(dn_pool *pool);
    dn_status (*record_end)(dn_pool *pool, void **recording);
    void (*replay)(dn_pool *pool, void *recording);
    void (*record_free)(dn_pool *pool, void *recording);
    void *(*alloc)(dn_pool *pool, size_t bytes); /* zeroed, 64-byte aligned; NULL with a message */
    void (*free)(dn_pool *pool, void *memory);
    void (*upload)(dn_pool *, void *to, const void *from_host, size_t bytes);
    void (*download)(dn_pool *, void *to_host, const void *from, size_t bytes); /* waits for it */
    void (*set_step)(dn_pool *, dn_step *to, const dn_step *value); /* value is the host's and may be gone when it is done */
    /* to (rows, cols): row r is data row order[step->at + r] */
    void (*gather_rows)(dn_pool *, const dn_step *step, size_t rows, size_t cols, const float *data, const uint32_t *order,
                        float *to);
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
    /* The three passes of a convolution: y = or += x * w, dx = or += (its transpose) dy, dw += dy x. All four NULL: composed
     * of im2col and gemm (convolution.h). `workspace` holds as many floats as conv_workspace said for at least these rows. */
    size_t (*conv_workspace)(dn_pool *, const dn_conv_layer *, size_t rows);
    void (*conv_forward)(dn_pool *, const dn_conv_layer *, size_t rows, int add, const float *x, const float *w, float *y,
                         float *workspace);
    void (*conv_backward_data)(dn_pool *, const dn_conv_layer *, size_t rows, int add, const float *dy, const float *w,
                               float *dx, float *workspace);
    void (*conv_backward_weights)(dn_pool *, const dn_conv_layer *, size_t rows, const float *x, const float *dy, float *dw,
                                  float *workspace);
    /* Locally connected: one group, whose every pixel of y has weights of its own, w (pixels, filters, channels, size, size).
     * y = x * w, dx += its transpose dy, dw += dy x. All three NULL: composed of im2col and gemm. */
    void (*local_forward)(dn_pool *, const dn_conv_layer *, size_t rows, const float *x, const float *w, float *y);
    void (*local_backward_data)(dn_pool *, const dn_conv_layer *, size_t rows, const float *dy, const float *w,
                                float *dx);
    void (*local_backward_weights)(dn_pool *, const dn_conv_layer *, size_t rows, const float *x, const float *dy,
                                   float *dw);
    /* y (rows, channels, spatial) += bias[channel]; db[channel] += sums of dy */
    void (*bias_add)(dn_pool *, size_t rows, size_t channels, size_t spatial, const float *bias, float *y);
    void (*bias_gradient)(dn_pool *, size_t rows, size_t channels, size_t spatial, const float *dy, float *db);
    void (*activate)(dn_pool *, dn_activation, size_t n, float *x);                        /* in place */
    void (*activate_gradient)(dn_pool *, dn_activation, size_t n, const float *y, float *dy); /* dy *= act'(y) */
    /* These in one; NULL: composed. y = act(y + bias[channel]); dy *= act'(y), db[channel] += sums of that dy */
    void (*bias_activate)(dn_pool *, size_t rows, size_t channels, size_t spatial, dn_activation, const float *bias,
                          float *y);
    void (*bias_activate_gradient)(dn_pool *, size_t rows, size_t channels, size_t spatial, dn_activation,
                                   const float *y, float *dy, float *db);
    /* batch normalisation, x (rows, channels, spatial). legacy: 1/(sqrt(v)+1e-6), else 1/sqrt(v+eps).
     * train: mean, var set (unbiased), rolling mixed by .99/.01; y = xhat*scale + bias, xhat kept. With one value per
     * channel in training xhat and var are 0, and rolling is left as it is. */
    void (*norm_forward)(dn_pool *, size_t rows, size_t channels, size_t spatial, int training, float eps,
                         const float *x, const float *scale, const float *bias, float *mean, float *var,
                         float *rolling_mean, float *rolling_var, float *xhat, float *y);
    /* dy becomes dx in place; dscale, dbias add. eps < 0 is the legacy form. */
    void (*norm_backward)(dn_pool *, size_t rows, size_t channels, size_t spatial, int training, float eps,
                          const float *xhat, const float *scale, const float *mean, const float *var, float *dy,
                          float *dscale, float *dbias);
    void (*maxpool_forward)(dn_pool *, size_t rows, const dn_conv_shape *, const float *x, float *y, int *index);
    void (*maxpool_backward)(dn_pool *, size_t rows, const dn_conv_shape *, const int *index, const float *dy, float *dx);
    void (*upsample_forward)(dn_pool *, size_t maps, int h, int w, int stride, float scale, const float *x, float *y);
    void (*upsample_backward)(dn_pool *, size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx);
    void (*downsample_forward)(dn_pool *, size_t maps, int h, int w, int stride, float scale, const float *x, float *y);
    void (*downsample_backward)(dn_pool *, size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx);
    /* eps[i] = N(0,1) number `i` of (seed, stream, pass); uniform in [0, 1) likewise */
    void (*normals)(dn_pool *, const dn_step *step, uint32_t stream, size_t n, float *eps);
    void (*uniforms)(dn_pool *, const dn_step *step, uint32_t stream, size_t n, float *u);
    /* y = u < p ? 0 : x / (1 - p); the same for gradients, added */
    void (*dropout)(dn_pool *, size_t n, float p, const float *u, const float *x, float *y);
    void (*dropout_gradient)(dn_pool *, size_t n, float p, const float *u, const float *dy, float *dx);
    /* x (rows, 2 latent) = [log-variance | mean]; z = mean + exp(b/2) eps (eps NULL: the mean), b the log-variance as it
     * counts (latent.h); *kl += the sum of KL */
    void (*reparameterise)(dn_pool *, size_t rows, size_t latent, const float *x, const float *eps, float *z, double *kl);
    void (*reparameterise_gradient)(dn_pool *, size_t rows, size_t latent, float kl_weight, const float *x,
                                    const float *eps, const float *dz, float *dx);
    /* error (set), gradient (set: d of the descended loss by x, see docs/numerics.md); *sum += the errors */
    void (*loss)(dn_pool *, dn_loss, size_t n, const float *x, const float *truth, float *error, float *gradient,
                 double *sum);
    /* x = DN_MASKED where truth = DN_MASKED */
    void (*mask)(dn_pool *, size_t n, const float *truth, float *x);
    /* One optimiser step over n values with rate step->rate * factor; m and v are its moments (SGD: v is not used); g is the
     * plain gradient summed over step->rows rows and is left as it is. */
    void (*update)(dn_pool *, const dn_optimizer *, const dn_step *step, size_t n, float factor, float decay, float *w,
                   float *m, float *v, const float *g);
    /* Dense layers in few passes over the weights. All four or none: layers compose them of gemm and the like where they are
     * NULL. dense_takes_loss: can dense_train also do the forward pass and this loss? */
    void (*dense_forward)(dn_pool *, const dn_dense_shape *, const float *x, const float *w, const float *b, float *y);
    void (*dense_train)(dn_pool *, const dn_dense_pass *);
    size_t (*dense_scratch)(const dn_dense_shape *);
    int (*dense_takes_loss)(const dn_dense_shape *, dn_loss);
    /* On the overlap of the maps y (rows, c2, h2, w2) and source (rows, c1, h1, w1), in steps when one is larger:
     * y = alpha y + beta source. Backward: dx gets alpha dy on the overlap and dy elsewhere; dsource gets beta dy. */
    void (*shortcut_forward)(dn_pool *, const dn_shortcut_shape *, float alpha, float beta, const float *source, float *y);
    void (*shortcut_backward)(dn_pool *, const dn_shortcut_shape *, float alpha, float beta, const float *dy, float *dx,
                              float *dsource);
    /* y = sign(x), 0 counts as -1; mean: times the mean of |x| over the row */
    void (*binarize)(dn_pool *, size_t rows, size_t n, int mean, const float *x, float *y);
    void (*avgpool_forward)(dn_pool *, size_t maps, size_t spatial, const float *x, float *y);
    void (*avgpool_backward)(dn_pool *, size_t maps, size_t spatial, const float *dy, float *dx);
    /* y[i] = a x[index[i]] + b in every row, 0 where the index is -1; dx[index[i]] += a dy[i], for which no index stands twice */
    void (*gather)(dn_pool *, size_t rows, size_t n_in, size_t n_out, const int *index, float a, float b, const float
        *x, float *y);
    void (*scatter_add)(dn_pool *, size_t rows, size_t n_in, size_t n_out, const int *index, float a, const float *dy,
        float *dx);
    void (*softmax)(dn_pool *, const dn_softmax_shape *shape, float temperature, const float *x, float *y);
    void (*softmax_gradient)(dn_pool *, const dn_softmax_shape *shape, float temperature, const float *y, const float
        *dy, float *dx);
    /* error (set) = -t ln y, gradient (set) by the softmax's input; groups with a masked truth count nothing; *sum += errors */
    void (*softmax_loss)(dn_pool *, const dn_softmax_shape *shape, float temperature, const float *y, const float *truth,
        float *error, float *gradient, double *sum);
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
/* The machine of a device name: cpu, cuda, cuda:1, fence, or auto, which takes the first GPU when there is one and a pass with
 * `flops` of arithmetic forward is long enough to gain by it. */
dn_status dn_backend_find(const char *device, double flops, const dn_ops **ops, int *index);
/* Can the environment variables that choose how CPUs compute be followed? DN_E_USAGE: no. */
dn_status dn_backend_check(void);
/* float32 (also NULL and ""), tf32, bf16. A backend whose `open` is NULL computes in float32 alone. */
dn_status dn_precision_parse(const char *name, dn_precision *precision);
const char *dn_precision_name(dn_precision precision);
/* The names of the cfg; -1 when unknown. */
int dn_activation_parse(const char *name);
const char *dn_activation_name(dn_activation a);
/* What its values lie between; 0: anywhere. */
int dn_activation_bounds(dn_activation a, float *low, float *high);
#endif

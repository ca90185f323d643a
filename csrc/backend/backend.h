/* The seam between layers and devices: memory and operations. Layers are written against this table alone, so a new
 * device is a new table. backend_ops.h lists the operations and says what each does. Operations may return before their
 * work is done; `finish` waits, and reports the first error since the last call. What changes from step to step lies in
 * the backend's memory (dn_step), and sums of losses are accumulated there, so that a training step needs no answer
 * from the device and can be recorded once and replayed. */
#ifndef DN_BACKEND_H
#define DN_BACKEND_H
#include "base/host_device.h"
#include "base/pool.h"
#include "base/status.h"

typedef enum dn_activation {
    DN_LINEAR,
    DN_LOGISTIC,
    DN_LOGGY,
    DN_RELU,
    DN_ELU,
    DN_SELU,
    DN_RELIE,
    DN_RAMP,
    DN_LEAKY,
    DN_TANH,
    DN_PLSE,
    DN_STAIR,
    DN_HARDTAN,
    DN_LHTAN,
    DN_ACTIVATION_COUNT
} dn_activation;

/* Darknet's costs, and likelihoods: the loss is -log p(truth | x) in nats with all constants (net/likelihood.h), and a
 * truth that is NaN is a missing value, whose loss and gradient are 0. The last is of groups of values, for
 * `likelihood` alone; the others are also elementwise losses. */
typedef enum dn_loss {
    DN_LOSS_SSE,
    DN_LOSS_L1,
    DN_LOSS_SMOOTH,
    DN_LOSS_BCE,
    DN_LOSS_MASKED,
    DN_LOSS_BERNOULLI,         /* x: logit */
    DN_LOSS_GAUSSIAN,          /* x: mean; p[0]: sigma */
    DN_LOSS_LAPLACE,           /* x: median; p[0]: sigma, the mean distance from it */
    DN_LOSS_STUDENT_T,         /* x: location; p[0]: sigma, the scale; p[1]: nu */
    DN_LOSS_POISSON,           /* x: log of the mean */
    DN_LOSS_NEGATIVE_BINOMIAL, /* x: log of the mean; p[0]: r, of the variance mean + mean^2 / r */
    DN_LOSS_CATEGORICAL,       /* x: logits */
    DN_LOSS_COUNT
} dn_loss;

/* An elementwise loss: its kind, and the parameters of those kinds that have some. Parameters are the same for all
 * values and do not change from step to step. */
typedef struct dn_likelihood {
    dn_loss kind;
    float p[3]; /* [2]: the limit from which learned numbers are bounded (net/latent.h); 0: 10 */
} dn_likelihood;

/* Where log sigma^2 comes from (of the negative binomial: log r). Learned numbers are bounded (net/latent.h). */
typedef enum dn_spread {
    DN_SPREAD_FIXED,  /* p[0] */
    DN_SPREAD_ONE,    /* one learned number */
    DN_SPREAD_COLUMN, /* one for each column of truth */
    DN_SPREAD_VALUE   /* x, one for each value */
} dn_spread;

/* A likelihood of some columns of the truth, whose parameters are a slice of a layer's output. */
typedef struct dn_head {
    dn_likelihood likelihood;  /* of the kinds that are likelihoods, or DN_LOSS_BCE, which equals DN_LOSS_BERNOULLI */
    dn_spread spread;          /* fixed for bernoulli, poisson and categorical */
    size_t rows, columns;      /* columns of truth */
    size_t classes;            /* categorical: logits per column, whose truth is a code from 0 on; 0: one-hot truth */
    size_t groups;             /* categorical, one-hot: the columns are so many groups of equal size */
    size_t x_step, truth_step; /* floats from row to row of x and gradient, and of the truth */
    /* categorical, codes of columns with different numbers of classes, the largest of which is `classes`: the logits of
     * column c are those from starts[c] to before starts[c + 1], (columns + 1), and `logits` is their number. NULL:
     * `classes` in every column */
    const int *starts;
    size_t logits;
} dn_head;

/* What a value of `expand` is, by the value x of a column that it is made of: from 0 on, 1 where x is this code and 0
 * elsewhere; or one of these. Where x is NaN, which is a missing value, all but DN_EXPAND_MISSING are 0. */
enum {
    DN_EXPAND_NUMBER = -1,  /* x */
    DN_EXPAND_MISSING = -2, /* 1 where x is missing, else 0 */
    DN_EXPAND_SIGN = -3     /* -1 for 0, 1 for 1 */
};
DN_HD float dn_expanded(int as, float x) {
    if (x != x) return as == DN_EXPAND_MISSING ? 1.0f : 0.0f;
    if (as >= 0) return x == (float)as ? 1.0f : 0.0f;
    return as == DN_EXPAND_NUMBER ? x : as == DN_EXPAND_SIGN ? 2 * x - 1 : 0;
}

/* Precision of the factors in matrix products; sums and everything else are float32. TF32 has 10 bits of mantissa,
 * bfloat16 has 7. */
typedef enum dn_precision { DN_FLOAT32, DN_TF32, DN_BF16, DN_PRECISION_COUNT } dn_precision;

/* What a latent term adds to the objective, besides the factor beta, as a function of its KL and of a limit. */
typedef enum dn_kl_form {
    DN_KL_PLAIN,        /* the KL */
    DN_KL_FREE_COLUMNS, /* for each latent value, the larger of its mean KL over the rows and the limit */
    DN_KL_FREE_ROWS,    /* for each row, the larger of its KL and the limit */
    DN_KL_CAPACITY      /* for each row, the distance of its KL from the limit */
} dn_kl_form;

#define DN_MASKED (-1234.0f) /* in masked losses: a truth that does not count */

/* A convolution seen from its image side: image (c, h, w), columns (c*size*size, out_h*out_w). */
typedef struct dn_conv_shape {
    int channels, height, width, size, stride, padding, out_height, out_width;
} dn_conv_shape;

/* The convolutions of a layer: `groups` independent ones, each with the channels of `group` and with `filters` filters.
 * x (rows, groups*channels, height, width), y (rows, groups*filters, out_height, out_width), w (groups*filters,
 * channels, size, size). Also describes a deconvolution, with x and y exchanged. */
typedef struct dn_conv_layer {
    dn_conv_shape group;
    int groups, filters;
} dn_conv_layer;

typedef struct dn_shortcut_shape {
    size_t rows;
    int c1, h1, w1, c2, h2, w2, stride, sample; /* step between pixels in the source and in y */
} dn_shortcut_shape;

/* Softmaxes over n values each, at r row_step + g group_step + i step. */
typedef struct dn_softmax_shape {
    size_t rows, row_step, groups, group_step, n, step;
} dn_softmax_shape;

/* A batch of latents, and a mixture of Gaussians with diagonal covariances that is their prior. */
typedef struct dn_mixture_shape {
    size_t rows, latent, components;
} dn_mixture_shape;
/* Doubles that mixture_kl leaves for its gradient: a row (latent + 2) for each component, then for each row the
 * components' shares of the density, which is their posterior probability, and its KL. */
static inline size_t dn_mixture_work(const dn_mixture_shape *s) {
    return s->components * (s->latent + 2) + s->rows * (s->components + 1);
}

/* What differs from one training step to the next; in the backend's memory. */
typedef struct dn_step {
    uint64_t seed, pass;            /* of the noise: see rng.h */
    uint64_t at;                    /* rows of the epoch's order taken by earlier passes */
    float rate;                     /* learning rate of this update */
    float rows;                     /* number of rows summed in the gradient */
    float correction1, correction2; /* Adam: 1 - b1^t, 1 - b2^t with t = 1 for the first update */
    float clip;                     /* factor of the gradient: 1, or what `clip` makes of it within the step */
    float share;                    /* of the parameters after this update in their average */
} dn_step;

/* How parameters follow their gradient; the formulas are in docs/numerics.md, "Update". */
typedef enum dn_rule {
    DN_SGD,         /* with momentum */
    DN_ADAM_OF_SUM, /* Darknet's adam=1: of the gradient summed over the rows */
    DN_ADAM,        /* Kingma and Ba, arXiv:1412.6980: of the mean gradient; decay is part of it */
    DN_ADAMW        /* Loshchilov and Hutter, arXiv:1711.05101: decay is no part of the gradient */
} dn_rule;
typedef struct dn_optimizer {
    dn_rule rule;
    float momentum, eps;
    double b1, b2; /* kernels round them to float; the corrections of dn_step are computed from the doubles */
} dn_optimizer;

/* A dense layer: y = act(x W^T + b), x (rows, inputs), W (outputs, inputs). */
typedef struct dn_dense_shape {
    int rows, inputs, outputs;
    dn_activation activation;
} dn_dense_shape;

/* One step of an LSTM: its state, h and c, is (rows, outputs); weights of the state, of the gates i, f, o and g, are
 * (4 outputs, outputs). */
enum { DN_LSTM_GATES = 4 };
typedef struct dn_lstm_shape {
    int rows, outputs;
} dn_lstm_shape;

/* Backward pass and update of a dense layer in one. */
typedef struct dn_dense_pass {
    dn_dense_shape shape;
    const dn_optimizer *optimizer;
    const dn_step *step;
    float factor, decay, bias_decay;
    float *w, *w_m, *w_v, *b, *b_m, *b_v; /* parameters and moments */
    const float *x;
    float *y, *dy, *dx; /* dy may be overwritten; dx is added to, or set if set_dx; NULL: not wanted */
    int set_dx;
    /* A loss of y against truth, in place of dy: the forward pass is then done here too, and y is set. Not the masked
     * loss, which changes its input. NULL: none. */
    const dn_likelihood *likelihood;
    const float *truth;
    float loss_scale;
    double *sum;    /* the loss is added to it */
    float *scratch; /* dense_scratch floats; sufficient for fewer rows too */
} dn_dense_pass;

/* The gradient by x = [log-variance | mean] of sum_r weight[r] scale (ln q(z|x) - ln p(z) + the rest), z = mean +
 * sd eps, sd = exp(b/2). dz is the rest's gradient by z, with weight and scale. weight is a draw's share, its
 * importance weight, times the weight of its row, if rows have some. With u = weight scale:
 *
 *   importance weights (Burda et al., arXiv:1509.00519, eq. 13 and 14)
 *     g = dz + u z                          dmean += g,  dlog-variance += b' (g sd eps - u) / 2
 *   doubly reparameterised (Tucker et al., arXiv:1810.04152, eq. 8)
 *     g = share (dz + u z - u eps / sd)     dmean += g,  dlog-variance += b' g sd eps / 2
 *
 * Without normal_prior, u z is not added: dz has the gradient of -ln p(z) already. */
typedef struct dn_draw_gradient {
    float scale;
    int normal_prior, doubly;
} dn_draw_gradient;

/* For rows of backend_ops.h: a parenthesised list without the parentheses; and what is left out where `has` is 0. */
#define DN_LIST(...) __VA_ARGS__
#define DN_WHEN(has, ...) DN_WHEN_IS(has, __VA_ARGS__)
#define DN_WHEN_IS(has, ...) DN_WHEN_##has(__VA_ARGS__)
#define DN_WHEN_0(...)
#define DN_WHEN_1(...) __VA_ARGS__

typedef struct dn_ops {
    const char *name;
    int separate_memory;                    /* 1: the host cannot read this memory, so data sets are uploaded */
    const char *(*describe)(dn_pool *pool); /* the device in use, for people; the pool's memory; NULL: as named */
    dn_status (*open)(dn_pool *pool, int index, dn_precision precision); /* opens a device; NULL: nothing to do */
    void (*close)(dn_pool *pool);
    size_t (*own_bytes)(dn_pool *pool); /* device memory that `open` took; NULL: none */
    dn_status (*finish)(dn_pool *pool);
    /* Record operations instead of running them, to be replayed any number of times; NULL: not supported. */
    dn_status (*record_begin)(dn_pool *pool);
    dn_status (*record_end)(dn_pool *pool, void **recording);
    void (*replay)(dn_pool *pool, void *recording);
    void (*record_free)(dn_pool *pool, void *recording);
    void *(*alloc)(dn_pool *pool, size_t bytes); /* zeroed, 64-byte aligned; NULL with a message */
    void (*free)(dn_pool *pool, void *memory);
    void (*upload)(dn_pool *, void *to, const void *from_host, size_t bytes);
    void (*download)(dn_pool *, void *to_host, const void *from, size_t bytes); /* waits until it is done */
    /* the operations */
#define DN_OP(group, name, parameters, arguments) void (*name)(dn_pool * pool, DN_LIST parameters);
#define DN_QUERY(group, type, name, parameters, arguments) type (*name)(dn_pool * pool, DN_LIST parameters);
#include "backend/backend_ops.h"
} dn_ops;

extern const dn_ops dn_cpu_ops;
extern const dn_ops dn_fence_ops; /* for tests: memory the host may not touch */
/* The backend of a device name: cpu, cuda, cuda:1, fence, or auto, which takes the first GPU if there is one and a
 * forward pass with `flops` of arithmetic is long enough to gain from it. */
dn_status dn_backend_find(const char *device, double flops, const dn_ops **ops, int *index);
/* Are the environment variables that choose how CPUs compute valid? DN_E_USAGE if not. */
dn_status dn_backend_check(void);
/* float32 (also NULL and ""), tf32 or bf16. A backend whose `open` is NULL computes in float32 only. */
dn_status dn_precision_parse(const char *name, dn_precision *precision);
const char *dn_precision_name(dn_precision precision);
/* By the names used in a cfg; -1 when unknown. */
int dn_activation_parse(const char *name);
const char *dn_activation_name(dn_activation a);
/* The bounds of the activation's values; 0: unbounded. */
int dn_activation_bounds(dn_activation a, float *low, float *high);
#endif

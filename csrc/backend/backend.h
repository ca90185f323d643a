/* The seam between layers and machines: memory and operations. Layers are written against this table alone, so a new
 * machine is a new table. The operations are listed in backend_ops.h, with what each does. They may return before their work is done; `finish` waits, and reports the first error since the last one. What
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

/* An elementwise loss: its kind, and the parameters of a kind that has some. They are the same for all values and do not
 * change from step to step. */
typedef struct dn_likelihood {
    dn_loss kind;
    float p[2];
} dn_likelihood;

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
    float momentum, eps;
    double b1, b2; /* kernels round them to float; the corrections of dn_step do not */
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
    /* the loss of y against truth, instead of dy: then the forward pass is done here too, and y is set; not the masked one,
     * which changes its input; NULL: none */
    const dn_likelihood *likelihood;
    const float *truth;
    float loss_scale;
    double *sum;    /* of the loss, added to */
    float *scratch; /* dense_scratch floats: enough for fewer rows too */
} dn_dense_pass;

/* For rows of backend_ops.h: a list in parentheses without them; and what is left out where `has` is 0. */
#define DN_LIST(...) __VA_ARGS__
#define DN_WHEN(has, ...) DN_WHEN_IS(has, __VA_ARGS__)
#define DN_WHEN_IS(has, ...) DN_WHEN_##has(__VA_ARGS__)
#define DN_WHEN_0(...)
#define DN_WHEN_1(...) __VA_ARGS__

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
    /* and the operations */
#define DN_OP(group, name, parameters, arguments) void (*name)(dn_pool *pool, DN_LIST parameters);
#define DN_QUERY(group, type, name, parameters, arguments) type (*name)(dn_pool *pool, DN_LIST parameters);
#include "backend/backend_ops.h"
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

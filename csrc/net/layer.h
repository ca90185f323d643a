/* A layer, and the hooks that make a layer type. A type is one const struct: a new one is a file in layers/ and a line
 * in layer_registry.c.
 *
 * `keys` lists what its cfg section may contain; `parse` derives shapes and checks how keys depend on each other.
 * `tensors` requests what all plans of the network share: parameters, with a gradient and optimiser moments, and
 * running statistics. `init` draws initial weights. All of this happens once. A plan is made for a number of rows per
 * pass: it has copies of the layers and of their states, for which `plan` requests buffers, by pointer; they are laid
 * out in one block, and the pointers set. Layers never allocate in forward or backward.
 *
 * Hooks that compute get the run: the backend, and what is specific to this pass. Once parsed, a layer knows nothing
 * else of its network; it finds its rows with dn_layer_x and writes to dn_layer_y.
 *
 * Gradients are plain (dx = + d loss / dx, summed over the batch), and every backward adds into dx and dw. */
#ifndef DN_LAYER_H
#define DN_LAYER_H
#include "backend/backend.h"
#include "base/report.h"
#include "base/rng.h"
#include "net/kl_rule.h"

enum { DN_MAX_TENSORS = 64 };

typedef enum dn_tensor_kind {
    DN_WEIGHT,    /* trained, decays */
    DN_BIAS,      /* trained, does not decay */
    DN_STATISTIC, /* running statistic */
} dn_tensor_kind;

/* Bits of `flags`: how a tensor is stored in Darknet files. */
enum { DN_NOT_IN_FILE = 1, DN_BN_TENSOR = 2, DN_FLIPPED = 4 /* transposed */ };

/* Bits of a type's `file_keys`. As in Darknet, other types, recurrent parts included, are stored completely in every
 * file. */
enum { DN_NUMLOAD = 1, DN_DONTLOADSCALES = 2 };

typedef struct dn_tensor {
    char name[32];
    dn_tensor_kind kind;
    int flags, n_dims, dims[6];
    size_t count, offset;                    /* in floats within its block */
    float *value, *grad, *moment1, *moment2; /* the last three NULL for statistics, moment2 NULL without Adam */
    float *average;                          /* of the values after each update; NULL: the network keeps none */
} dn_tensor;

typedef struct dn_buffer {
    float **where;
    size_t count; /* floats */
    void *host;   /* host memory instead, for the plan */
} dn_buffer;

/* What a loss reads as truth; of several losses the largest value wins. */
typedef enum dn_truth_kind {
    DN_TRUTH_VALUES,  /* any numbers */
    DN_TRUTH_MASKED,  /* numbers, or DN_MASKED where none is known */
    DN_TRUTH_BINARY,  /* every value in 0 to 1 */
    DN_TRUTH_CLASSES, /* one distribution per row */
    DN_TRUTH_CODES    /* numbers of classes */
} dn_truth_kind;

typedef struct dn_layer dn_layer;
typedef struct dn_run dn_run;

/* An elementwise loss, computed by the layer before it as part of its own work. */
typedef struct dn_fused_loss {
    const dn_likelihood *likelihood;
    float scale;
    double *sum;
} dn_fused_loss;

/* A truth that a loss does not accept. */
typedef struct dn_truth_fault {
    size_t at;          /* index of the value, or of a distribution's first one */
    size_t group, step; /* for a distribution: its values, every step-th one from `at`; 0: it is a single value */
    double sum;         /* of the distribution */
    const char *wanted; /* what the loss requires, and how to get there */
} dn_truth_fault;

/* What a term computes of one row, so that it can be computed once more by other formulas (jobs/check_formulas.c). */
typedef enum dn_formula {
    DN_FORMULA_LOSS,    /* `head.likelihood` of every value of x against its truth */
    DN_FORMULA_HEAD,    /* `head`: the parameters begin at x[x_at], its columns at truth[truth_at] */
    DN_FORMULA_SOFTMAX, /* cross entropy of `softmax`, from x[x_at] on, after the softmax of x / temperature */
    DN_FORMULA_KL,      /* of a sampling layer to N(0, 1) */
    DN_FORMULA_MIXTURE  /* of a sampling layer to the mixture of `mixture` */
} dn_formula;
typedef struct dn_term_look {
    dn_formula formula;
    dn_head head;
    dn_softmax_shape softmax;
    size_t x_at, truth_at;
    double temperature;
    double factor;            /* scale= of the gradient; 1 */
    const dn_tensor *spread;  /* of the layer: its learned numbers; NULL: it has none */
    size_t spread_at;         /* the head's first one */
    int optimal;              /* gaussian: the variance is the mean squared error of the pass */
    const float *spreads;     /* the tensor's values on the host, by who looks */
    const dn_tensor *mixture; /* its means, log-variances (components, latent) and logits (components) */
} dn_term_look;

/* A term of the objective: a likelihood, which is a loss of the layer's input against the truth, or a latent loss. */
typedef struct dn_term_type {
    const char *name; /* of its loss in reports, where terms with the same name add up */
    int latent;       /* 1: a loss of the latent space, which reads no truth */
    int only;         /* 1: its layer does nothing else, so it is never the network's output */
    int likelihood;   /* 1: its loss is -log p(truth | x) with all constants, in nats */
    int missing;      /* 1: a truth of NaN is a missing value, which adds nothing */
    int head; /* 1: neighbours share what they read: each takes its part of input and truth, after the one before it */
    /* The loss of each row of the last forward pass, without any weight, to loss (rows) in the backend's memory, for
     * terms that also apply run->row_weights to their gradients. NULL: not known */
    void (*rows)(const dn_layer *layer, const dn_run *run, float *loss);
    /* Latent: ln q(z|x) - ln p(z) of each row of the last pass, whose z was drawn, to loss (rows) in the backend's
     * memory. NULL: not known */
    void (*drawn)(const dn_layer *layer, const dn_run *run, float *loss);
    /* The mean of the distribution that the layer's input x (rows, inputs) parameterises, to out (rows, truths), which
     * may be x if term.in_place: what `sample` and `reconstruct` give. Of several heads, each sets its columns. NULL:
     * x is the mean */
    void (*mean)(const dn_layer *layer, const dn_run *run, size_t rows, const float *x, float *out);
    /* Draws from that distribution: x (rows, inputs) and out (rows, truths) are on the host; of several heads, each
     * sets its columns. Row r is a function of x, seed and at + r. NULL: the loss is that of no distribution */
    void (*draw)(const dn_layer *layer, const float *x, size_t rows, uint64_t seed, uint64_t at, float *out);
    /* The loss of every value of truth in the last forward pass, without any weight, to loss (rows, truths); of several
     * heads, each sets its columns. x (rows, inputs) is what the layer has read; all three are on the host. NULL: not
     * known */
    void (*values)(const dn_layer *layer, const dn_run *run, const float *x, const float *truth, float *loss);
    /* For start=means, on the host. start_add: a row of truth to sums (2, inputs), of each parameter what its mean is
     * the mean of, and 1 where that is known. start_biases: from these the parameters that predict the means; those of
     * which nothing is known are left */
    void (*start_add)(const dn_layer *layer, const float *truth, double *sums);
    void (*start_biases)(const dn_layer *layer, const double *sums, float *biases);
    /* Finds the first fault in truth (rows, truths), which is on the host, and finite unless `missing`; 1: there is
     * one. `sums`: distributions must add up to about 1. NULL: it accepts any truth, or row_fault checks it */
    int (*truth_fault)(const dn_layer *layer, const float *truth, size_t rows, int sums, dn_truth_fault *fault);
    /* Detector heads: returns 1, and the reason in `text`, when a row of truth is invalid; it is on the host, and its
     * values are arbitrary. `where`: "of row 5 of the truth" */
    int (*row_fault)(const dn_layer *layer, const float *truth, const char *where, char *text, size_t size);
    /* Part 0, 1, ... of what the term computes; returns 0 after the last. NULL: no other formula is known */
    int (*look)(const dn_layer *layer, int part, dn_term_look *look);
} dn_term_type;

/* A layer's term. Its gradient is scale * weight * d(loss), summed over the rows. */
typedef struct dn_term {
    const dn_term_type *type; /* that of the layer's type, unless parse chooses another; NULL: none */
    double scale;             /* s of docs/numerics.md: set by parse; for a latent term, the network's */
    double weight;            /* beta; 1 for a likelihood. In a plan that of its last pass: layers read run->weights */
    const dn_kl_rule *rule;   /* how the weight gets there, in the state of the network's layer; NULL: it is constant */
    double limit;             /* likewise: that of the rule's form */
    double variance_limit;    /* latent: of its log-variances (net/latent.h) */
    int kl_columns;           /* values whose KL is summed by column outside training; 0: none */
    int kl_columns_at;        /* where these are in run->columns */
    double floor;             /* what columns below their limit add to the loss of every row, by dn_plan_losses */
    double share;             /* of its loss in reports: 1, or with several likelihoods scale / the network's s */
    int truths;               /* number of values of truth that it reads per row; set by parse */
    int first, columns;       /* those of them that it models, where they are columns; set by parse or settle */
    int starts;               /* before its first training, the biases that it reads are set (start_biases) */
    int plain;                /* what it reads is the mean, so an activation's bounds are the mean's */
    int in_place;             /* its mean may be computed where x lies: as many values, in the same order */
    dn_truth_kind truth_kind; /* likewise */
    double host;              /* for a layer that computes on the host: what to add to the sum */
    double sum;               /* of its loss over the rows since dn_plan_losses_clear, as read by dn_plan_losses */
    double weighted;          /* the same, with the weights that each pass had */
    double summed;            /* what of that does not come from columns */
} dn_term;

/* What a row's loss costs, before its weight. */
double dn_term_cost(const dn_term *term, double loss);

typedef struct dn_layer_type {
    const char *name;
    const char *aliases[3];
    size_t state_size;  /* of layer->state, which is zeroed */
    const dn_key *keys; /* read before `parse`; NULL: it has none of its own */
    dn_status (*parse)(dn_layer *layer, dn_section *section);
    dn_status (*settle)(dn_layer *layer, dn_section *section); /* what depends on later layers, once all are parsed */
    dn_status (*tensors)(dn_layer *layer);
    dn_status (*init)(dn_layer *layer);
    dn_status (*plan)(dn_layer *layer, const dn_run *run);
    dn_status (*constants)(dn_layer *layer, const dn_run *run); /* fills what never changes in the plan's buffers */
    dn_status (*forward)(dn_layer *layer, const dn_run *run);
    dn_status (*backward)(dn_layer *layer, const dn_run *run); /* NULL: passes no gradient down */
    /* Backward can overwrite dx: it does when layer->sets_dx, which the network sets if this layer alone contributes to
     * that gradient; otherwise it adds, as other types do. */
    int can_set_dx;
    int sets_delta; /* as the last layer, backward sets its own delta */
    /* Backward and update in one, without writing gradients of parameters, for layers with `can_train`. With a loss
     * after the layer (else NULL) it includes the forward pass and the loss. */
    dn_status (*train)(dn_layer *layer, const dn_run *run, const dn_fused_loss *loss);
    /* Is this layer nothing but an elementwise loss of its input? */
    int (*as_fused_loss)(const dn_layer *layer, const dn_run *run, dn_fused_loss *out);
    const dn_term_type *term;               /* its contribution to the objective; NULL: none */
    void (*destroy)(dn_layer *layer);       /* frees what parse allocated */
    double (*flops)(const dn_layer *layer); /* NULL: 0 */
    int file_keys;                          /* DN_NUMLOAD, DN_DONTLOADSCALES: which of these keys it follows */
    int recurrent;
    int host_work; /* computes or decides on the host, so a pass cannot be recorded */
    /* sets the random numbers of the next forward pass; NULL: it uses none */
    dn_status (*set_noise)(dn_layer *layer, const dn_run *run, const float *values, size_t count);
    void (*reset)(dn_layer *layer, const dn_run *run); /* clears recurrent state */
    /* in files of revision 0.2.5: tensors whose names begin with these, in this order; NULL: in the order planned */
    const char *const *order_025;
    /* Detector heads: box `index` of a row of the last forward pass, relative to the network's input: x, y, w, h
     * (centre and size), objectness, scores of the n_classes. With a label tree, the class at which the descent
     * ends. */
    void (*box)(const dn_layer *layer, int row, int index, float tree_threshold, float *out);
} dn_layer_type;

struct dn_layer {
    const dn_layer_type *type;
    struct dn_net *net; /* for parse and tensors */
    int index, line;
    char no_image[128]; /* why its output is not an image although its inputs are, for errors of later layers */
    int reads_from;     /* the earliest layer whose output it reads; -1: the network's input */
    int shared;         /* heads on one output: how many stand between it and this one; set by parse */
    char name[64];
    void *state;                                      /* owned by the type */
    int inputs, height, width, channels;              /* of its input; sizes of 0: a vector */
    int outputs, out_height, out_width, out_channels; /* set by parse */
    int filters, size, stride;                        /* for the layer table */
    dn_term term;
    float *output, *delta; /* (batch, outputs); delta is the plain gradient */
    float *dx;             /* gradient of the input, added to; NULL: not needed */
    int n_readers;         /* number of layers that read its output; the next one always counts */
    int last_reader;       /* the last of them */
    int sets_dx;           /* set by the network, see can_set_dx */
    int can_train;         /* set by plan: the type's `train` can be used */
    dn_tensor *tensors;    /* (n_tensors), shared by all plans */
    int n_tensors;
    dn_buffer *buffers; /* (n_buffers), owned by the plan */
    int n_buffers;
    size_t workspace;       /* floats of shared scratch memory that it needs */
    int n_boxes, n_classes; /* of a detector head: boxes per row; set by parse */
    float learning_rate;    /* multiplier */
    int draws, doubly;      /* of a latent space: draws of a row in training, 0 or 1: one; with DReG's gradient */
    int stop_backward, dont_save, dont_load, dont_load_scales, n_load;
    size_t norm_values; /* set by tensors: least values per channel in a row, of its batch normalisations; 0: none */
};

/* Does decay act on parameters of this kind? With adam=1, Darknet decays biases too. */
static inline int dn_decays(const dn_optimizer *optimizer, dn_tensor_kind kind) {
    return kind == DN_WEIGHT || optimizer->rule == DN_ADAM_OF_SUM;
}

/* What layers may know about the network and this pass. */
struct dn_run {
    const dn_ops *ops;
    dn_pool *pool;
    int batch, rows; /* planned; in this pass */
    int time_steps;
    int training;
    int losses_only; /* a training step: of costs their losses and gradients are wanted, not their outputs */
    int draws; /* row r is draw r % draws of row r / draws; z is drawn then, also outside training. 0: no such pass */
    int same_draws;           /* 1: the draws of a row are those of every row, outside training */
    const float *row_weights; /* (rows): factors of the terms of rows and of their gradients; NULL: 1. In passes with
                               * draws, in backward only */
    const float *shares;      /* with draws, in backward, (rows): the importance weights among those factors */
    int inference;            /* 1: never trains */
    const float *x;           /* (rows, net inputs): what the first layer reads */
    const float *truth;       /* (rows, net truths) or NULL */
    const float *given;       /* (rows, net inputs): with the columns of conditions; NULL: not known */
    int last;                 /* last layer of this pass */
    float *y;                 /* (rows, outputs): where that layer writes; NULL: its own buffer */
    float *workspace;
    const dn_step *step;  /* in the backend's memory */
    dn_step now;          /* the same on the host */
    const float *weights; /* in the backend's memory: (layers): the weight of each layer's term in this step */
    const float *limits;  /* likewise: (layers): the limit in the form of its KL */
    double *columns;      /* likewise: for terms with columns, the sum of each, and the number of rows */
    double *sums;         /* in the backend's memory: (layers, 2): the loss of each layer's term, its weighted sum */
    double *scrap;        /* likewise, for sums that do not count */
    float bn_eps;         /* < 0: legacy */
    dn_optimizer optimizer;
    float decay;
};

/* The layer whose output it reads; -1: the network's input. */
static inline int dn_layer_source(const dn_layer *layer) { return layer->index - 1 - layer->shared; }
/* What a layer reads in this pass, (rows, inputs). Layers are contiguous. */
static inline const float *dn_layer_x(const dn_layer *layer, const dn_run *run) {
    return dn_layer_source(layer) < 0 ? run->x : layer[-1 - layer->shared].output;
}
/* Where its forward pass writes, (rows, outputs). Backward finds it in layer->output: training uses no other place. */
static inline float *dn_layer_y(const dn_layer *layer, const dn_run *run) {
    return run->y && layer->index == run->last ? run->y : layer->output;
}
/* Where a layer's forward pass sums the loss of its term over rows that all count alike, followed by the weighted one;
 * in the backend's memory. Where rows have weights, that is no result: pass.c adds up the losses of rows. */
static inline double *dn_layer_sum(const dn_layer *layer, const dn_run *run) {
    return (run->row_weights ? run->scrap : run->sums) + 2 * layer->index;
}
dn_layer *dn_layer_at(const dn_layer *layer, int index); /* NULL outside the network */

/* For parse: sources other than the layer before, and shapes. */
void dn_layer_reads(dn_layer *layer, int source);
/* The index of an earlier layer that a key gives, below 0 counted back from this one. */
dn_status dn_layer_before(const dn_layer *layer, dn_section *section, const char *key, int given, int *index);
void dn_layer_image_out(dn_layer *layer, int channels, int height, int width);
void dn_layer_vector_out(dn_layer *layer, int outputs);
dn_status dn_layer_need_image(dn_layer *layer, dn_section *section);
/* The layer responsible for layer `index` not giving an image: the layer itself or, through layers that keep shapes, an
 * earlier one with `no_image`; NULL: none, it is a plain vector. */
const dn_layer *dn_layer_to_blame(const dn_layer *layer, int index);
/* Checked product, for sizes from files. */
dn_status dn_layer_size(dn_section *section, size_t *out, size_t a, size_t b, size_t c, size_t d);
/* For the tensors hook. */
dn_status dn_layer_tensor(dn_layer *layer, const char *name, dn_tensor_kind kind, int flags, int n_dims,
                          const int *dims);
/* For the plan hook. */
dn_status dn_layer_buffer(dn_layer *layer, float **where, size_t count);
/* Host memory that lives as long as the plan; NULL: out of memory. */
void *dn_layer_host_buffer(dn_layer *layer, size_t count, size_t size);
/* A buffer that only training needs: NULL in a plan for inference. */
dn_status dn_layer_training_buffer(dn_layer *layer, const dn_run *run, float **where, size_t count);
void dn_layer_workspace(dn_layer *layer, size_t count);
/* The gradient (rows, inputs) of a term by its input, times the weights of rows: itself, or in the workspace. */
const float *dn_layer_weighted(const dn_layer *layer, const dn_run *run, const float *gradient);
dn_tensor *dn_layer_find(const dn_layer *layer, const char *name);
/* For set_noise: is `count` a number of whole rows of outputs? Else DN_E_USAGE. */
dn_status dn_layer_noise_rows(const dn_layer *layer, size_t count);
/* For init: fill a tensor with scale * U(-1, 1) or scale * N(0, 1), a function of (seed, layer, tensor). */
void dn_layer_init_uniform(dn_layer *layer, dn_tensor *tensor, float scale);
void dn_layer_init_normal(dn_layer *layer, dn_tensor *tensor, float scale);
void dn_layer_init_fill(dn_layer *layer, dn_tensor *tensor, float value);

/* Keys that several types have. */
#define DN_WINDOW_KEYS(longest, text)                                                                      \
    {                                                                                                      \
        "filters", DN_KEY_INT,      DN_AT_LAYER(filters),     .fallback = 1,                               \
        .low = 1,  .high = 1 << 24, .help = "output channels"},                                            \
        {"size", DN_KEY_INT, DN_AT_LAYER(size), .fallback = 1, .low = 1, .high = longest, .help = text}, { \
        "stride", DN_KEY_INT, DN_AT_LAYER(stride), .fallback = 1, .low = 1, .high = longest                \
    }
#define DN_ACTIVATION_KEY(state, field, usual, text) \
    {"activation", DN_KEY_ACTIVATION, DN_AT(state, field), .fallback = usual, .help = text}

extern const dn_layer_type *const dn_layer_types[];
const dn_layer_type *dn_layer_type_find(const char *name);
/* The error for a section that is not a known layer type. */
dn_status dn_layer_type_unknown(const dn_section *section);
#endif

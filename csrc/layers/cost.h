/* What the files of [cost] share: cost_layer.c has the keys, the types and Darknet's costs; the likelihood_*.c files
 * have the likelihoods, whose layers are heads.
 *
 * Heads stand at the end of a network. All of them read the last layer that is no [cost]: each takes the values after
 * those of the head before it, as many as its columns of the truth need, and models those columns:
 *
 *   fixed, learned, column, optimal spread   one value per column: its location, logit or log mean
 *   sigma=value, dispersion=value            [location (columns) | log sigma^2 or log r (columns)]
 *   categorical, one-hot columns             one logit per column
 *   categorical, classes=n                   [n logits] for each column of codes
 *
 * type=columns is one layer for all columns of [columns]: neighbours of a kind are a part of it, a head of their own.
 */
#ifndef DN_COST_H
#define DN_COST_H
#include "net/check.h"
#include "net/likelihood.h"

/* One likelihood of some columns. */
typedef struct dn_cost_part {
    dn_head head;     /* all but its rows; Darknet's costs have its likelihood alone. `starts` is on the host */
    size_t first, at; /* its first column of the truth, and its first value of the input */
    size_t spread_at; /* its first learned number in the layer's tensor */
} dn_cost_part;

typedef struct dn_cost {
    /* keys */
    int type, start, numbers;
    double scale, nu, variance_limit;
    int classes, groups;
    const char *columns, *sigma, *dispersion; /* "" when missing */
    /* what they amount to */
    double s;
    dn_cost_part own;    /* the only one; of type=columns: sigma and what it has in common with other heads */
    dn_cost_part *parts; /* (n_parts), type=columns; NULL: the layer is one head */
    int n_parts;
    int *starts; /* of all categorical parts, one after another; on the host */
    size_t n_starts;
    float *device_starts; /* the same in the backend's memory: (n_starts) ints */
    int has_columns;      /* columns= is given; without it they follow from the sizes */
    int optimal;          /* sigma=optimal */
    int elementwise;      /* one number per value, fixed spread, all of input and truth in order: `loss` computes it */
    float *gradient;      /* (batch, inputs); that of the first head is for all of them */
    float *pass_spread;   /* (1): sigma=optimal in training */
    float *d_spread;      /* as the learned spread, of this pass */
    float *row_scale;     /* (batch): `scale` in every row; NULL: it is 1, or the plan is for inference */
    float *row_weight;    /* (batch): the same times the weights of a pass that has some */
    float *row_loss;      /* (batch): when backward computes the gradient again */
    dn_tensor *spread;    /* NULL: fixed, or in the input */
    int active;
    int by_row; /* the output is the losses of the rows, dx the gradient without their weights */
} dn_cost;

/* The words of type=, in the order of the keys' table. */
const char *dn_cost_type_name(const dn_layer *layer);
/* Part 0, 1, ... of a likelihood; NULL after the last. */
static inline const dn_cost_part *dn_cost_part_at(const dn_cost *cost, int index) {
    return index < (cost->parts ? cost->n_parts : 1) ? (cost->parts ? cost->parts : &cost->own) + index : NULL;
}
/* Is it one of the likelihoods with heads? NULL: no layer. */
int dn_cost_is_head(const dn_layer *layer);
/* To dx what this gradient (rows, inputs) contributes, times `scale`; NULL: nothing. */
void dn_cost_pass_down(const dn_layer *layer, const dn_run *run, const float *gradient, double scale);
/* For a loss that takes any numbers: warns when the activation before it is bounded. */
void dn_cost_want_unbounded(dn_layer *layer, dn_section *section, const char *takes);

/* ---- likelihood_start.c: start=means, also of Darknet's costs ---- */

/* Does the layer before have such biases? */
dn_status dn_cost_start_check(dn_layer *layer, dn_section *section);
void dn_cost_start_add(const dn_layer *layer, const float *truth, double *sums);
void dn_cost_start_biases(const dn_layer *layer, const double *sums, float *biases);

/* ---- likelihood_keys.c, likelihood_heads.c: what the layer is ---- */

/* Keys that other types than the layer's have. */
void dn_cost_warn_of_idle_keys(dn_layer *layer, dn_section *section);
dn_status dn_likelihood_parse(dn_layer *layer, dn_section *section);
dn_status dn_likelihood_settle(dn_layer *layer, dn_section *section);

/* ---- likelihood_columns.c: type=columns ---- */

int dn_cost_is_columns(const dn_layer *layer);
dn_status dn_likelihood_columns_parse(dn_layer *layer, dn_section *section);
dn_status dn_likelihood_columns_settle(dn_layer *layer, dn_section *section);
/* Columns that a [condition] gives are in `out` (rows, truths) what they are in the row. */
void dn_likelihood_columns_given(const dn_layer *layer, const dn_run *run, size_t rows, float *out);
/* On the host: their loss is 0. */
void dn_likelihood_columns_no_loss(const dn_layer *layer, size_t rows, float *loss);

/* ---- likelihood.c: what it computes ---- */

dn_status dn_likelihood_tensors(dn_layer *layer);
dn_status dn_likelihood_init(dn_layer *layer);
dn_status dn_likelihood_plan(dn_layer *layer, const dn_run *run);
dn_status dn_likelihood_constants(dn_layer *layer, const dn_run *run);
dn_status dn_likelihood_forward(dn_layer *layer, const dn_run *run);
dn_status dn_likelihood_backward(dn_layer *layer, const dn_run *run);
void dn_likelihood_mean(const dn_layer *layer, const dn_run *run, size_t rows, const float *x, float *out);

/* ---- likelihood_truth.c, likelihood_draw.c, likelihood_values.c: on the host ---- */

int dn_likelihood_truth_fault(const dn_layer *layer, const float *truth, size_t rows, int sums, dn_truth_fault *fault);
void dn_likelihood_draw(const dn_layer *layer, const float *x, size_t rows, uint64_t seed, uint64_t at, float *out);
void dn_likelihood_values(const dn_layer *layer, const dn_run *run, const float *x, const float *truth, float *loss);
#endif

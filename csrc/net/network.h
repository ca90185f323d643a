/* A network: what its cfg says, the blocks of its parameters, and plans, which compute. */
#ifndef DN_NETWORK_H
#define DN_NETWORK_H
#include "base/guard.h"
#include "net/layer.h"
#include "net/schedule.h"
#include "net/train_state.h"

typedef struct dn_range { /* neighbours in the parameter block with the same update */
    size_t offset, count;
    int decays;
    float learning_rate;
} dn_range;

/* What a training step runs: forward from first to last, and backward in reverse. */
typedef struct dn_link {
    dn_layer *layer;
    int trains;    /* its backward is the layer's `train` */
    int with_loss; /* `train` includes the loss after it, and so the layer's forward pass */
    dn_fused_loss loss;
} dn_link;

typedef struct dn_links {
    dn_link *link;
    dn_range *ranges; /* of the parameters that no link updates */
    int n_links, n_ranges;
} dn_links;

/* Rows as bits, drawn with the values as probabilities. */
typedef enum dn_bits { DN_BITS_NONE, DN_BITS_DYNAMIC /* at every visit */, DN_BITS_STATIC /* once */ } dn_bits;

enum {
    DN_APART, /* every layer separately: gradients are kept */
    DN_FUSED,
    DN_FUSED_BUT_LOSS, /* for rows with weights, which losses within other layers do not know */
    DN_LINKINGS
};

/* An output from before the sampling layer that layers from it on read, in passes with several draws of a row. While
 * those layers compute, it is exchanged for `copy`, where every row is repeated, and its delta for `delta`. */
typedef struct dn_crossing {
    int layer; /* -1: the network's input, which only the first layer reads */
    float *own, *copy, *own_delta, *delta;
} dn_crossing;

/* A network for a number of rows per pass. Its layers are the network's, with separate buffers; parameters are
 * shared. */
typedef struct dn_plan {
    dn_net *net;
    dn_layer *layers; /* in the order of the network's */
    int n_layers;
    dn_run run;
    float *input, *truth;        /* (batch, inputs), (batch, truths) on the device */
    float *of_rows, *weighted;   /* (batch): weights of the rows; losses of rows times those */
    float *activations, *deltas; /* blocks of outputs and buffers, and of their gradients */
    size_t n_activations, n_workspace;
    size_t n_deltas, n_added_deltas; /* the first ones are added to, and cleared before backward */
    dn_step *step;                   /* on the device */
    double *sums;                    /* the host's copies of run.sums and, after it, of run.columns */
    float *weights, *set_weights;    /* run.weights and run.limits; what they hold, on the host */
    dn_links links[DN_LINKINGS];     /* none in a plan for inference */
    /* Passes with several draws of a row, see draws.c. */
    int draws;    /* the most; 0: none, and what follows is unused */
    int drawing;  /* the pass has draws */
    int crossed;  /* the crossings are exchanged */
    dn_run drawn; /* what the layers from the sampling layer on get in such a pass */
    /* (batch, draws, ...): the truth, a loss of every draw twice, importance weights, and those times rows' weights */
    float *drawn_truth, *row_loss, *shares, *row_weights;
    dn_crossing *crossings;
    int n_crossings;
} dn_plan;

struct dn_net {
    dn_guard *guard;
    dn_cfg *cfg;
    dn_pool *pool;
    const dn_ops *ops;
    dn_train_state state;
    float *values, *grads, *moment1, *moment2; /* same layout; the last three are allocated by the first training */
    float *statistics;
    float *averages, *averaged_statistics; /* over the updates; allocated by the first training, if ema > 0 */
    dn_plan *plan;                         /* for training, and for jobs of up to its batch */
    dn_plan *inference;                    /* for many rows at a time, without training; NULL: not yet created */
    dn_plan *bounds;                       /* the same for several draws of a row; NULL: not yet created */
    int drawn;                             /* parameters have been initialised */
    dn_status stopped;                     /* status of drawing initial weights, which a watch may end */
    int layout;                            /* how often a resize has changed the memory layout */
    double cost, objective;                /* of the last forward pass */
    dn_model_notes notes;                  /* for model files; owned */
    dn_schema *schema;                     /* of the table whose rows it computes on; owned; NULL: none */

    /* From here on: derived from the cfg and the input size; rebuilt when an image is resized. */
    dn_layer *layers; /* as parsed, with their tensors; plans have copies that compute */
    int n_layers;
    dn_run settings; /* the initial run of every plan; batch: that of the plan for training */
    dn_schedule schedule;
    int subdivisions, height, width, channels, inputs, outputs, truths;
    int output_layer;         /* the last one that is not a cost */
    struct dn_coded *columns; /* what the rows are (net/coded.h), of the first layer, [columns]; NULL: plain numbers */
    int recurrent;            /* rows are whole sequences of time_steps */
    int likelihood;           /* first layer whose term turns the output into data (its mean); -1: the output is data */
    int data_columns;         /* values in a row of data */
    int logits;               /* the outputs are logits of probabilities */
    dn_truth_kind truth_kind;
    int sampling_layer; /* the first with a latent term; -1: none */
    int draws;          /* of a row in a training pass, for an importance-weighted bound; 0: the usual one */
    size_t n_columns;   /* doubles of run.columns */
    int latent_layer;   /* layer whose output is the latent space: sampling, or an autoencoder's narrowest; -1: none */
    int last_stopped;   /* the last one with stopbackward: it and those below get no gradients; -1: none */
    float clip_norm;    /* the most that the mean gradient's norm may be; 0: anything */
    double ema;         /* what an update leaves of the averages; 0: there are none */
    double data_scale;
    double holdout;     /* fraction of rows that trainings hold out, and the patience that they have with the loss of */
    int early_stopping; /* those, unless their options say something else */
    dn_bits bits;
    float noise;           /* standard deviation of what training adds to its inputs */
    double largest_factor; /* among the layers' learning rates */
    const char *label_column, *row_weight;
    size_t n_values; /* with padding */
    size_t n_params; /* without padding */
    size_t n_statistics;
};

/* ---- network.c ---- */

/* Public functions that compute on a network, change it or read its buffers run between these two. dn_net_leave returns
 * `status`. */
dn_status dn_net_enter(const dn_net *net);
dn_status dn_net_leave(const dn_net *net, dn_status status);
#define DN_EXCLUSIVE(net, call)           \
    do {                                  \
        DN_TRY(dn_net_enter(net));        \
        return dn_net_leave(net, (call)); \
    } while (0)
/* Functions that describe a network run between these two, at any time. */
void dn_net_lock(const dn_net *net);
void dn_net_unlock(const dn_net *net);

/* ---- plan.c ---- */

/* A plan for `batch` rows. `draws` > 0: with memory for passes in which every row has so many draws of z. `inference`:
 * it never trains, so it has no memory that only training needs. */
dn_status dn_plan_create(dn_plan **out, dn_net *net, int batch, int draws, int inference);
void dn_plan_destroy(dn_plan *plan);
/* Copy the weights of the terms to where the plan's layers read them: those of batch number `batch`, or 0: those that
 * training aims for, which the network's layers have. A part of dn_net_set_step, and of passes that belong to no step.
 */
void dn_plan_set_weights(dn_plan *plan, uint64_t batch);
/* Numbers in the sums of losses: (layers, 2), and those of columns. */
static inline size_t dn_plan_sums(const dn_plan *plan) { return 2 * (size_t)plan->n_layers + plan->net->n_columns; }
/* The weight of a layer's term in the batch of that number, the first one's being 1; a function of the state. */
double dn_net_weight(const dn_net *net, int layer, uint64_t batch);
/* Is that below the weight that training aims for, or likewise the limit in the form of its KL? */
int dn_net_rises(const dn_net *net, int layer, uint64_t batch);
/* Does the weight of any term change from batch to batch? */
int dn_net_weights_move(const dn_net *net);
/* After a failure that may have kept them from arriving: the next pass sets all of them. NULL: no plan. */
void dn_plan_doubt_weights(const dn_plan *plan);
/* The plan for a job of `rows` rows without noise or training: the one for training, or the one for inference, which is
 * created by the first job with more rows than the batch. Recurrent networks have none, because a pass is a number of
 * sequences and their state; nor is there one without memory for it. It is kept until the network is resized. */
dn_plan *dn_net_inference_plan(dn_net *net, size_t rows);

/* How many rows with so many draws each, from 1 on, such a plan computes in a pass. */
size_t dn_net_rows_with_draws(const dn_net *net, int draws);
/* The plan for bounds of so many rows with so many draws each (dn_net_bounds): a pass has plan->run.batch rows and
 * plan->draws draws of each. Kept until the network is resized or asked for other numbers. */
dn_status dn_net_bounds_plan(dn_net *net, size_t rows, int draws, dn_plan **out);

/* The arrays of dn_rows, for what is done with each of them: uploading, gathering, slicing. A new array takes a field
 * there, a line in each of these functions, and a buffer in plan.c. */
typedef enum dn_column { DN_COLUMN_X, DN_COLUMN_TRUTH, DN_COLUMN_WEIGHTS, DN_COLUMNS } dn_column;
static inline const float **dn_rows_column(dn_rows *rows, int column) {
    return column == DN_COLUMN_TRUTH ? &rows->truth : column == DN_COLUMN_WEIGHTS ? &rows->weights : &rows->x;
}
static inline size_t dn_net_width(const dn_net *net, int column) { /* values per row */
    return column == DN_COLUMN_WEIGHTS ? 1 : (size_t)(column == DN_COLUMN_TRUTH ? net->truths : net->inputs);
}
static inline size_t dn_net_widths(const dn_net *net) { /* of all columns together */
    size_t sum = 0;
    for (int k = 0; k < DN_COLUMNS; k++) sum += dn_net_width(net, k);
    return sum;
}
static inline float *dn_plan_column(const dn_plan *plan, int column) { /* (batch, width), in the backend's memory */
    return column == DN_COLUMN_TRUTH ? plan->truth : column == DN_COLUMN_WEIGHTS ? plan->of_rows : plan->input;
}

/* ---- memory.c ---- */

/* Gradients and moments, allocated at the first call: a network that never trains does without them. */
dn_status dn_net_prepare_training(dn_net *net);
/* The block of parameters, or of statistics, that jobs compute with and files get: their averages over the updates, if
 * the network keeps averages and has had an update since its parameters were set; otherwise the values themselves. */
const float *dn_net_results(const dn_net *net, int statistics);
/* DN_E_NUMERIC, with layer and tensor, where one of its values is not a finite number, or of those of all tensors. */
dn_status dn_tensor_finite(const dn_layer *layer, const dn_tensor *tensor, const float *host);
dn_status dn_net_finite(const dn_net *net);
/* Layers compute with those from here on, or again with the values that are trained. */
void dn_net_use_results(dn_net *net, int results);

/* ---- draws.c ---- */

/* What a layer gets in this pass; its rows when no pass has begun. */
static inline const dn_run *dn_plan_run(const dn_plan *plan, const dn_layer *layer) {
    return plan->drawing && layer->index >= plan->net->sampling_layer ? &plan->drawn : &plan->run;
}
/* DN_E_USAGE unless importance weights are known: all costs are likelihoods, and all latent terms have a density.
 * `what` needs them. */
dn_status dn_net_need_likelihood(const dn_net *net, const char *what);
/* The loss of every draw of the last pass in this layer's term, to `loss` (rows, draws). */
void dn_draws_loss(const dn_plan *plan, const dn_layer *layer, float *loss);
/* After the forward pass: the draws' importance weights, for backward; its losses, and minus the bound as their total,
 * are added to the sums. */
void dn_draws_weigh(dn_plan *plan);
/* ---- links.c ---- */

/* The links for a training step; `update`: it ends with one; `weighted`: its rows have weights. */
const dn_links *dn_links_of_step(const dn_plan *plan, int update, int weighted);

/* ---- pass.c ---- */

/* Rows on their way forward. All pointers are to the backend's memory. */
typedef struct dn_pass {
    int first, last, training; /* layers first to last */
    int losses_only;           /* see dn_run */
    int draws; /* of every row, at most plan->draws; `first` may be the sampling layer then, whose rows stay. 0: a pass
                * as usual */
    dn_rows rows; /* x NULL when `first` is not 0: the layer before it has its output already; truth NULL: no losses */
    float *y;     /* (rows, outputs): where the last layer's output goes; NULL: its own buffer */
} dn_pass;

/* After a layer's forward pass, which plan_forward includes: where rows have weights, the loss of its term times those,
 * to the sums. */
void dn_plan_weigh(const dn_plan *plan, const dn_layer *layer);
/* The watch is asked before every layer; after an interruption, recurrent layers may have advanced by some steps. */
dn_status dn_plan_forward(dn_plan *plan, const dn_pass *pass);
/* The output y (rows, outputs) of the output layer as data, (rows, data_columns): y itself if its values are data, else
 * `to`, which may be y if the likelihood's term is `in_place`. All in the backend's memory. */
const float *dn_plan_data(const dn_plan *plan, size_t rows, const float *y, float *to);
/* Clear the state of recurrent layers. */
void dn_plan_reset(dn_plan *plan);
/* The sums of losses over all passes since the last clear; waits for the backend and reports its errors. */
void dn_plan_losses_clear(dn_plan *plan);
dn_status dn_plan_losses(dn_plan *plan, dn_report *sums);
/* The same, as dn_plan_losses last read them. */
void dn_plan_losses_report(const dn_plan *plan, dn_report *sums);
/* Save the sums (dn_plan_sums), and restore them later though others have cleared them meanwhile: results do not depend
 * on how work is sliced. */
void dn_plan_losses_keep(const dn_plan *plan, double *sums);
void dn_plan_losses_resume(dn_plan *plan, const double *sums);
/* Forward and backward of a training step, once it is set, with the update if requested; rows as in a pass. */
dn_status dn_net_train_rows(dn_net *net, const dn_rows *rows, int update);
/* A recorded one was done in its place, with so many rows. */
void dn_plan_replayed(dn_plan *plan, int rows);
/* The rows per sequence in tables of recurrent networks; 1 for other networks. */
int dn_net_steps(const dn_net *net);
/* The place of row i of a table's part in a pass of `rows` rows, which goes step by step through whole sequences. */
size_t dn_net_place(const dn_net *net, size_t rows, size_t i);

/* ---- optimizer.c ---- */

/* What the next pass and update need: `pass` numbers the noise, `at` is the place in the epoch's order, `rows` is the
 * number of rows in the update. Call it after `seen` has been advanced by the pass. */
void dn_net_set_step(dn_net *net, uint64_t pass, uint64_t at, int64_t rows);
/* To be called before an update, once the step is set: DN_E_NUMERIC when the learning rate has grown beyond float32. */
dn_status dn_net_check_rate(const dn_net *net);
/* The update, once the step is set, of what the links leave over. If recorded, every replay does it. */
void dn_net_apply_update(dn_net *net, const dn_links *links);
/* Count it as done. */
void dn_net_count_update(dn_net *net);
/* The schedule's batch number, from the rows seen since rate_from. */
uint64_t dn_net_batch_number(const dn_net *net);
/* Forget the training, except for the parameters and the number of rows seen: moments are 0, schedules start here. */
void dn_net_begin_anew(dn_net *net, uint64_t seen);
uint64_t dn_net_rows_per_update(const dn_net *net);
double dn_net_rate(const dn_net *net);
/* Was the last batch part of a warm-up: of the learning rate's (burn_in), or with a term's weight or limit below its
 * target? */
int dn_net_warms_up(const dn_net *net);

/* ---- model_file.c ---- */

int dn_is_model_name(const char *path); /* ends in .safetensors */
dn_status dn_model_save_path(const dn_net *net, const char *path);
dn_status dn_model_load_path(dn_net *net, const char *path, int clear, int start, int cutoff);

/* ---- io/weights.c ---- */

/* What the header of a file says, and how many values follow. */
dn_status dn_weights_header(const char *path, int version[3], uint64_t *seen, size_t *values);
size_t dn_weights_bytes(const dn_net *net); /* of the file that dn_net_save writes */
#endif

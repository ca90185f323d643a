/* darknet.h - the public interface of the Darknet core with variational autoencoders.
 *
 * Every function that can fail returns a dn_status; dn_error() then holds one line that names the object, the value
 * found and the value expected. The message belongs to the calling thread and lives until its next failing call. The
 * library never prints, exits or aborts. Pointers must not be NULL unless a comment says what NULL means.
 *
 * Different networks may be used by different threads at once; a network by one thread at a time: a call while another
 * thread's call on the same network is running returns DN_E_USAGE at once. Functions that describe a network
 * (dn_net_info_get, dn_layer_info_get, dn_net_table, ...) may be called at any time, and report what training changes
 * (seen, cost, ...) as it was before the running call.
 *
 * Arrays are float32, row-major, (rows, features); image features are channel, row, column.
 */
#ifndef DARKNET_H
#define DARKNET_H
#include <stddef.h>
#include <stdint.h>
#if defined(__GNUC__)
#define DN_API __attribute__((visibility("default")))
#else
#define DN_API
#endif
#ifdef __cplusplus
extern "C" {
#endif
/* cffi:begin - plain declarations only: the Python package reads this region */

/* Status codes are also the exit codes of the command line. */
typedef enum dn_status {
    DN_OK = 0,
    DN_E_NUMERIC = 1, /* a loss or a value became NaN or infinite */
    DN_E_USAGE = 2,   /* a call or command that makes no sense: shapes, names, options */
    DN_E_FORMAT = 3,  /* a bad input file: file, line and value are in the message */
    DN_E_IO = 4,      /* opening, reading, writing or renaming a file failed */
    DN_E_MEMORY = 5,
    DN_E_DEVICE = 6,     /* the requested device is not available */
    DN_E_INTERRUPTED = 7 /* the watch of this thread ended a long call: see dn_watch */
} dn_status;

/* A network: layers, parameters, and the memory that it computes in. */
typedef struct dn_net dn_net;
/* A training of a network on rows, which goes on piece by piece. */
typedef struct dn_trainer dn_trainer;

/* The version of the library, "0.1.0". */
DN_API const char *dn_version(void);
/* What the last failing call of this thread had to say, one line; "" before the first. */
DN_API const char *dn_error(void);
/* Go on? 0: yes; anything else ends the call. */
typedef int (*dn_watch_fn)(void *context);
/* Long calls of the calling thread (jobs over many rows, reading and writing tables, training) ask `watch` some 50
 * times a second, between layers and parts of files, whether to go on. If it returns anything but 0, the call ends
 * early with DN_E_INTERRUPTED; networks stay usable. NULL: no watch. The watch belongs to the thread, as dn_error
 * does. */
DN_API void dn_watch(dn_watch_fn watch, void *context);
/* The layer types, 0, 1, ...; NULL after the last. */
DN_API const char *dn_layer_type_name(int index);
/* A key of a section of cfg files. */
typedef struct dn_key_info {
    const char *name;
    const char *type;  /* int, float, "0, 1", name, text, file, list; or a description if only this key has the type */
    const char *help;  /* one line, which may be empty; NULL: shares the help of the key before it */
    char fallback[40]; /* the value if the key is missing; may be empty */
    char values[160];  /* names: the allowed ones; numbers: their range; otherwise empty */
} dn_key_info;
/* Key number `index`, from 0, of [net] ("net"), of a layer type, or of those that every layer has ("*"); returns 0
 * after the last. */
DN_API int dn_key_describe(const char *section, int index, dn_key_info *out);
/* One line on how this library computes: instruction set, threads. */
DN_API const char *dn_build_info(void);

/* ---- networks ---- */

/* How a network is created. All zero: seed 0, as the cfg says, on the CPU. */
typedef struct dn_net_options {
    uint64_t seed; /* of initial weights, noise, dropout, shuffling */
    int batch;     /* rows per pass; 0: the cfg's batch / subdivisions * time_steps */
    int threads;   /* 0: DARKNET_THREADS, or all that this process may use, which is also the maximum */
    /* NULL: "cpu"; "cuda" or "cuda:N": a GPU, DN_E_DEVICE when it is not available; "auto": the first GPU if there is
     * one and the network is large enough to gain from it; "fence": the CPU with memory that the host may not touch,
     * for tests */
    const char *device;
    /* NULL: "float32". "tf32" or "bf16": fewer bits of the factors in matrix products, on GPUs that support it;
     * elsewhere an error */
    const char *precision;
    /* NULL, or keys to set whatever the cfg says, a line each: "section.key=value". The section is net, the type of
     * layers (all of them), a layer's name= or its number from 0. DN_E_USAGE when there is no such section or key */
    const char *set;
    int clear;    /* of a model file: 1: rows that were trained before do not count, `seen` is 0 */
    int training; /* of a model file: 1: with seed, moments and where its training stands, as in a copy */
} dn_net_options;

/* Build a network from the cfg file `path` with fresh parameters, or from a model file with those in it. `options` may
 * be NULL. DN_E_USAGE when an environment variable that chooses how to compute (DARKNET_ISA, DARKNET_BLAS,
 * DARKNET_THREADS) is invalid. DN_E_FORMAT when the cfg has a key that changes results in other Darknets and is not
 * supported here; a key that changes training only is a warning, and training is then an error. */
DN_API dn_status dn_net_create(dn_net **out, const char *path, const dn_net_options *options);
/* The same from the zero-terminated text of a cfg. Messages call it `name`; NULL: "cfg_text". */
DN_API dn_status dn_net_create_text(dn_net **out, const char *text, const char *name, const dn_net_options *options);
/* The same from the bytes of a model file. Messages call them `name`; NULL: "bytes". */
DN_API dn_status dn_net_create_bytes(dn_net **out, const void *bytes, size_t size, const char *name,
                                     const dn_net_options *options);
/* Free a network. Destroy its trainers first: they use it. NULL: nothing to do. */
DN_API void dn_net_destroy(dn_net *net);
/* The network's cfg, with what options and resizing changed: writes at most `size` bytes including the final zero;
 * returns the full length. */
DN_API size_t dn_net_cfg_text(const dn_net *net, char *text, size_t size);
/* Keep other threads out for several calls: they get DN_E_USAGE, as this call does when another thread is using the
 * network. Release as often as you claim, from the same thread. */
DN_API dn_status dn_net_claim(dn_net *net);
/* Let other threads in again, see dn_net_claim. */
DN_API void dn_net_release(dn_net *net);

/* Change the size of the input image and the rows per pass; 0 keeps the current value. Parameters, moments, running
 * statistics and `seen` are kept; recurrent state and the results of the last forward pass are lost. A layer whose
 * parameters depend on the input's size is an error; the network is then unchanged. */
DN_API dn_status dn_net_resize(dn_net *net, int height, int width, int batch);

/* Sizes of a network, and where it stands. */
typedef struct dn_net_info {
    int batch; /* rows per pass (batch / subdivisions * time_steps of the cfg) */
    int subdivisions, time_steps, n_layers;
    int height, width, channels, inputs;
    int outputs;      /* of the last layer that is not a cost */
    int truths;       /* values of truth per row that the costs read; 0: no cost */
    int latent_size;  /* of the sampling layer, or of an autoencoder's narrowest layer; 0: neither */
    int latent_layer; /* whose output the latents are; -1: none */
    int variational;  /* 1: it has a sampling layer */
    int out_height, out_width, out_channels; /* of the output; 0 when it is a plain vector */
    int output_layer;                        /* that layer */
    int data_columns;                        /* values per row that reconstruct and decode give */
    int missing;                             /* 1: its losses take a truth of NaN as a missing value */
    int recurrent;                           /* 1: rows come in sequences of time_steps */
    int logits;                              /* 1: the output goes into a loss on logits (bce) */
    int supervised; /* 1: needs a separate truth, has no latent loss (a softmax, say); 0: an autoencoder or a VAE */
    uint64_t seen, seed;
    int64_t max_batches;
    double cost;          /* of the last forward pass: mean of the layers' costs, summed over the rows */
    double objective;     /* minimised; of the last forward pass: s * total_loss, summed over rows (numerics.md) */
    double learning_rate; /* at the current step */
    double data_scale;    /* [net] data_scale, the divisor of CSV values; 1 when absent */
    size_t n_params, memory_bytes;           /* bytes: memory held now; gradients are allocated by the first training */
    size_t predicting_bytes, training_bytes; /* memory held if it never trains, and if it trains */
    size_t weights_bytes;                    /* of its weights file */
    double flops;                            /* multiply-adds counted twice, one row forward */
    int threads;                             /* in use, including the caller's */
} dn_net_info;

/* Fill `info`. */
DN_API void dn_net_info_get(const dn_net *net, dn_net_info *info);
/* Is this supervised learning? Yes if the truth is not the rows (own_truth: one is given) and there is no latent loss.
 * Then there is a single loss, called `loss`. */
DN_API int dn_net_supervised(const dn_net *net, int own_truth);
/* The device in use: "cpu", or "cuda:0" and the GPU's name. Valid as long as the network. */
DN_API const char *dn_net_device(const dn_net *net);
/* [net] label_column as written (name or index), "" when absent. Valid as long as the network. */
DN_API const char *dn_net_label_column(const dn_net *net);
/* Likewise [net] row_weight: the column with how much each row counts. */
DN_API const char *dn_net_row_weight(const dn_net *net);
/* How many warnings reading the cfg gave. */
DN_API int dn_net_warning_count(const dn_net *net);
/* Warning number `index`, from 0, "file:line: ..."; "" if there is none. Valid as long as the network. */
DN_API const char *dn_net_warning(const dn_net *net, int index);

/* A layer: its type and its sizes, of one row. */
typedef struct dn_layer_info {
    const char *type; /* owned by the library: never freed */
    char name[64];    /* the cfg's `name=`, otherwise "" */
    int inputs, outputs, batch;
    int height, width, channels;             /* of its input; 0 for a vector */
    int out_height, out_width, out_channels; /* 0 for a vector */
    int filters, size, stride;               /* 0 if it has none */
    int n_tensors;                           /* parameters and running statistics by name */
    size_t n_params;
    double flops;
    int line; /* of its section in the cfg file */
} dn_layer_info;

/* A parameter or a running statistic of a layer: its name and its shape. */
typedef struct dn_tensor_info {
    char name[32]; /* weights, biases, scales, rolling_mean, rolling_variance; those of inner parts as "self.weights" */
    size_t count;
    int n_dims;
    int dims[6];
    int trained; /* 1: has a gradient; 0: a running statistic */
} dn_tensor_info;

/* Describe layer number `layer`, from 0; DN_E_USAGE: there is no such layer. */
DN_API dn_status dn_layer_info_get(const dn_net *net, int layer, dn_layer_info *info);
/* Describe tensor number `index`, from 0 to n_tensors of the layer; DN_E_USAGE: there is none. */
DN_API dn_status dn_tensor_info_get(const dn_net *net, int layer, int index, dn_tensor_info *info);
/* The layer table as text: writes at most `size` bytes including the final zero; returns the full length. */
DN_API size_t dn_net_table(const dn_net *net, char *text, size_t size);
/* The same as JSON: {"batch", ..., "layers": [{"index", "type", ...}]}; shapes are [channels, height, width] or
 * [values]. */
DN_API size_t dn_net_json(const dn_net *net, char *text, size_t size);
/* Copy the `count` values of a tensor out; count must be the tensor's. With [net] ema they are those that are trained,
 * not their averages. DN_E_USAGE: no such layer or name, another count. */
DN_API dn_status dn_tensor_get(const dn_net *net, int layer, const char *name, float *values, size_t count);
/* Copy `count` values into a tensor, with [net] ema also into its averages. Errors as for dn_tensor_get. */
DN_API dn_status dn_tensor_set(dn_net *net, int layer, const char *name, const float *values, size_t count);
/* Copy a tensor's gradient out. It has Darknet's sign: minus the derivative of the objective, summed over the rows
 * since the last update. DN_E_USAGE also for a running statistic, which has none. */
DN_API dn_status dn_gradient_get(const dn_net *net, int layer, const char *name, float *values, size_t count);
/* The rows that a layer computed in the last forward pass: those given, or with samples=k in training, from the
 * sampling layer on, k for each, one after another. */
DN_API int dn_layer_rows(const dn_net *net, int layer);
/* Copy the output of a layer out, (rows, outputs) of the last forward pass; count = rows * outputs. */
DN_API dn_status dn_layer_output(const dn_net *net, int layer, float *values, size_t count);
/* The same of its delta: minus the gradient of the objective with respect to the output. */
DN_API dn_status dn_layer_delta(const dn_net *net, int layer, float *values, size_t count);
/* Set the random numbers of a layer's next forward pass: normal ones (rows, latent) for a sampling layer, uniform ones
 * (rows, inputs) for a dropout layer; with samples=k in training for k rows each. Whole rows, as many as the pass will
 * have. */
DN_API dn_status dn_layer_set_noise(dn_net *net, int layer, const float *values, size_t count);

/* The caller's rows, borrowed. Every function that computes on data takes them. A new kind of column will be a new
 * field, so initialise fields that are not set to zero. */
typedef struct dn_rows {
    size_t n;
    const float *x;     /* (n, inputs) */
    const float *truth; /* (n, truths) for losses; NULL: x */
    /* (n, inputs): for decoding latents with a [condition], rows of which only its columns are read; NULL: none */
    const float *condition;
    /* (n): how much each row counts: training descends, and reports are means of, losses times these; 0: the row does
     * not count. A training brings them to a mean of 1 over the rows that it trains on. NULL: all alike */
    const float *weights;
} dn_rows;

/* Are these rows that the network can be trained and evaluated with? Those functions ask the same; here the message,
 * with row, column and value, also names the file that the rows are from. So do rows that make no whole sequences. */
DN_API dn_status dn_net_check_rows(const dn_net *net, const dn_rows *rows, const char *path);

/* One step by hand, with at most `batch` rows. Without a truth no loss is computed. */
DN_API dn_status dn_net_forward(dn_net *net, const dn_rows *rows, int training);
/* Add the gradients of the last forward pass to those of the parameters. DN_E_USAGE before any forward pass. */
DN_API dn_status dn_net_backward(dn_net *net);
/* Change the parameters by one step of the optimiser, and set the gradients to zero. */
DN_API dn_status dn_net_update(dn_net *net);
/* Set recurrent state to zero. */
DN_API dn_status dn_net_reset_state(dn_net *net);

/* Named values. A new term of the objective is a new value, not a new field. */
typedef struct dn_value {
    char name[32];
    double value;
} dn_value;

/* Losses per row: summed over features, averaged over rows. First image_loss, latent_loss, with a latent term kl_cost
 * (what latent terms added to the total as it was descended, so that image_loss + kl_cost = total_loss also while beta
 * moves), terms of other names, total_loss; then, where meaningful, how well outputs match a truth other than the row
 * itself:
 *
 *   accuracy  softmax: fraction of rows whose largest output is the true class. logistic, bce: fraction of values on
 *             the right side of 1/2; when every truth is one-hot, as for a softmax
 *   mse, r2   other losses, mean over the targets: squared error; 1 - squared error / variance of the truth
 *
 * and, for an epoch, valid_loss, valid_accuracy, ... of held-out rows. */
typedef struct dn_report {
    int n;
    dn_value values[48];
    int single;     /* 1: image_loss alone makes up the total */
    int supervised; /* 1: and the truth is not the rows, see dn_net_supervised */
} dn_report;

/* Add to the value of that name, which is created if missing; a full report takes no more. */
DN_API void dn_report_add(dn_report *report, const char *name, double value);
/* NaN if there is no such value. */
DN_API double dn_report_get(const dn_report *report, const char *name);
/* What programs print of a report: everything, except that supervised learning has one `loss` instead of three. */
DN_API void dn_report_shown(const dn_report *report, dn_report *shown);

/* The network's output, out (n, outputs): the parameters of the distribution that the losses model, as they are. Any
 * number of rows, without noise and with running statistics. More rows than the batch are processed in wider
 * passes, whose buffers (up to 32 MB) the network keeps; its batch stays. Here and in all functions below, training
 * included, the rows of a recurrent network are sequences of time_steps rows, each of which begins without state; rows
 * that do not make whole sequences are DN_E_USAGE. So are values of rows, truths and latents that are not finite, and
 * truths that the loss does not accept (docs/numerics.md); the message has row, column and value. dn_net_forward takes
 * its rows time-major (step, then sequence) and checks only the truth. With [net] ema, once there has been an update,
 * these functions compute with the averages of the parameters, and dn_net_save writes those. */
DN_API dn_status dn_net_predict(dn_net *net, const dn_rows *rows, float *out);
/* Rows encoded and decoded, out (n, data_columns), at the mean of z. As dn_net_decode, it gives data: the mean of the
 * output's distribution, which for a loss on logits is their logistic. */
DN_API dn_status dn_net_reconstruct(dn_net *net, const dn_rows *rows, float *out);
/* Latents of rows: mean and log-variance of q(z|x), each (n, latent_size). Either may be NULL; log-variances are
 * bounded beyond 10 (docs/numerics.md). An autoencoder without a sampling layer gives its code as the mean and log 0 as
 * the log-variance. */
DN_API dn_status dn_net_encode(dn_net *net, const dn_rows *rows, float *mean, float *log_variance);
/* Data from latents, out (n, data_columns): here x holds latent vectors, (n, latent_size). With a [condition],
 * rows->condition has its columns: DN_E_USAGE without; those columns of `out` are as given. */
DN_API dn_status dn_net_decode(dn_net *net, const dn_rows *rows, float *out);
/* The losses of rows, means over them, at the mean of z: see dn_report. */
DN_API dn_status dn_net_evaluate(dn_net *net, const dn_rows *rows, dn_report *report);
/* The same losses for each row, (n) values each, or NULL: rows unlike the training data have a higher loss. Not for
 * detector heads. */
DN_API dn_status dn_net_evaluate_rows(dn_net *net, const dn_rows *rows, float *image_loss, float *latent_loss,
                                      float *total_loss);
/* Bounds of the rows' log-likelihood ln p(x), in nats; arrays of (n), NULL: not wanted. With draws z of q(z|x) and
 * w = p(x|z) p(z) / q(z|x): */
typedef struct dn_bounds {
    double *reconstruction; /* the mean of -ln p(x|z) over the draws */
    double *kl;             /* the KL of q(z|x) to the prior; NaN: no formula for it */
    double *drawn_kl;       /* the mean of ln q(z|x) - ln p(z); minus the sum with reconstruction is the ELBO */
    double *log_likelihood; /* ln of the mean of w (Burda et al., arXiv:1509.00519, eq. 8) */
    double *log_likelihood_variance; /* of that estimate, by the delta method; NaN with a single draw */
    float *values; /* (n, truths): what each value adds to reconstruction; DN_E_USAGE for losses that do not tell */
} dn_bounds;
/* Each row gets `draws` draws, any number; they are functions of (seed, row, draw) alone. DN_E_USAGE for networks
 * without a sampling layer, recurrent ones, and those with a loss that is no likelihood (-ln p with all constants). */
DN_API dn_status dn_net_bounds(dn_net *net, const dn_rows *rows, int draws, uint64_t seed, dn_bounds *out);

/* How evaluation and scores draw z. */
typedef struct dn_evaluate_options {
    int samples;    /* draws of z per row for the ELBO; 0: 1 */
    int k;          /* draws per row for the log-likelihood; 0: it is not computed */
    uint64_t seed;  /* of the draws */
    int latent;     /* 1: also every latent dimension, and baselines: somewhat more work */
    int same_draws; /* 1: every row has the draws of the first one, so that its score does not depend on its place */
} dn_evaluate_options;

/* How good a network is, and what its latent space looks like. Values that are not defined are NaN. */
typedef struct dn_evaluation {
    dn_report report; /* what dn_net_evaluate reports, at the mean of z: no bound on the log-likelihood */
    /* Means per row, in nats, with drawn z and beta = 1:
     *
     *   reconstruction   -ln p(x|z)
     *   kl               of q(z|x) to the prior, from its formula, or drawn where there is none
     *   elbo             -(reconstruction + kl), a lower bound of the log-likelihood in expectation
     *   log_likelihood   with k: ln of the mean over k draws of p(x|z) p(z) / q(z|x)
     *                    (Burda et al., arXiv:1509.00519, eq. 8), and
     *   log_likelihood_standard_error
     *                    that of the mean over the rows
     *   bits_per_dimension
     *                    -log_likelihood, without k -elbo, divided by ln 2 and by the
     *                    number of known values in a row
     *   active_units     latent dimensions whose posterior mean has a variance above
     *                    0.01 over the rows (Burda et al.)
     *
     * NaN without a sampling layer; all but active_units also where dn_net_bounds is not possible: `reason` says why.
     */
    dn_report measures;
    char reason[256];
    /* With options.latent, of all sampling layers in their order; units = 0: none, and NULL. Each (units), over the
     * rows: mean KL to N(0, 1); mean and variance of the aggregated posterior, which draws z from a random row's
     * posterior; variance of the posterior's mean */
    size_t units;
    double *kl, *mean, *variance, *mean_variance;
    /* With options.latent, for networks that reconstruct their rows:
     *
     *   network_mse          squared error of the reconstructions at the mean of z, per value
     *   pca_mse              that of a principal component analysis of these rows, with as many components as the
     *                        latent space has units; NaN: left out, because rows and columns are both more than 1024
     *   mean_mse             that of predicting each column's mean
     *   pca_log_likelihood   of probabilistic PCA at its maximum, nats per row (Tipping and Bishop 1999); not for
     *                        Bernoulli likelihoods
     *   mean_reconstruction  Bernoulli: cross entropy of predicting each column's mean, nats per row: what a collapsed
     *                        network has
     *   entropy              Bernoulli: the cross entropy that no network goes below, nats per row; 0 for zeros and
     *                        ones */
    dn_report baselines; /* with [net] binarize of the bits that the network sees */
    int components;      /* of the PCA */
    char diagnosis[256]; /* what looks wrong, in one line, or empty */
} dn_evaluation;

/* As dn_net_evaluate, with more; to be freed with dn_evaluation_free. options NULL: all zero. */
DN_API dn_status dn_net_evaluation(dn_net *net, const dn_rows *rows, const dn_evaluate_options *options,
                                   dn_evaluation *out);
/* Free what dn_net_evaluation has filled. */
DN_API void dn_evaluation_free(dn_evaluation *evaluation);

/* How unusual each row is. Arrays for n rows, NULL: not wanted. */
typedef struct dn_row_scores {
    double *score;          /* (n): higher is more unusual */
    double *reconstruction; /* (n): what the data adds to it */
    double *kl;             /* (n): and what the latent space adds */
    float *values; /* (n, truths): what each column adds to reconstruction; DN_E_USAGE for losses that do not tell */
} dn_row_scores;
/* Where dn_net_bounds is possible, score = reconstruction + kl, minus the ELBO in nats, from options.samples draws of
 * z; with options.k it is minus the log-likelihood from k draws, and the others stay. Elsewhere score = reconstruction
 * + kl is the total loss at the mean of z, where k is DN_E_USAGE. options NULL: all zero. */
DN_API dn_status dn_net_score_rows(dn_net *net, const dn_rows *rows, const dn_evaluate_options *options,
                                   dn_row_scores *out);
/* Draw n latent rows from the prior N(0, 1), a function of (seed, row, column) alone. z: (rows, latent); nothing is
 * written when latent is below 1 or the array would be too large. */
DN_API dn_status dn_prior_sample(uint64_t seed, size_t rows, int latent, float *z);
/* The same from N(0, temperature^2); temperature: 0 or more. */
DN_API dn_status dn_prior_draw(uint64_t seed, size_t rows, int latent, double temperature, float *z);

/* As dn_net_decode, but rows drawn from the likelihood that the decoder parameterises, instead of its mean: each a
 * function of its latents, the seed and its number. DN_E_USAGE when the loss is that of no distribution. */
DN_API dn_status dn_net_decode_draw(dn_net *net, const dn_rows *rows, uint64_t seed, float *out);
/* Draw n latent rows from the network's own prior. temperature: their standard deviation about its mean is multiplied
 * by it, 0 or more; 1: the prior itself. DN_E_USAGE for a network without a [sampling] layer, which has no prior. */
DN_API dn_status dn_net_draw_latents(dn_net *net, uint64_t seed, size_t n, double temperature, float *z);

/* A mixture of Gaussians with full covariances. */
typedef struct dn_mixture {
    int components, columns;
    double *weights;       /* (components), adding up to 1 */
    double *means;         /* (components, columns) */
    double *covariances;   /* (components, columns, columns) */
    double log_likelihood; /* mean over the rows that it was fitted to, in nats */
    int iterations;        /* of the fit */
} dn_mixture;
/* Fit one to x (rows, columns) by expectation-maximisation, starting from k-means++; a function of the rows and the
 * seed. DN_E_USAGE when there are fewer rows than components, or a value is not finite. After an error `out` is
 * empty; else it is to be freed with dn_mixture_free. */
DN_API dn_status dn_mixture_fit(dn_mixture *out, const float *x, size_t rows, int columns, int components,
                                uint64_t seed);
/* The same to the latents of rows, one drawn from the posterior of each: to the distribution of the latents that the
 * decoder was trained on (the aggregated posterior). Without a sampling layer, to the code of each row. */
DN_API dn_status dn_net_fit_mixture(dn_net *net, const dn_rows *rows, int components, uint64_t seed, dn_mixture *out);
/* Draw n rows, z (n, columns). temperature: standard deviations within each component are multiplied by it. */
DN_API dn_status dn_mixture_draw(const dn_mixture *mixture, uint64_t seed, size_t n, double temperature, float *z);
/* The log density of rows x (n, columns) in nats, (n). */
DN_API dn_status dn_mixture_log_density(const dn_mixture *mixture, const float *x, size_t n, double *log_density);
/* Free what dn_mixture_fit or dn_net_fit_mixture has filled. */
DN_API void dn_mixture_free(dn_mixture *mixture);

/* Decoded rows, out (steps, data_columns), on the way between the latent means of two rows, both included; ends: 2
 * rows. In a line, or spherical: the latents' length and direction go evenly. DN_E_USAGE for fewer than 2 steps. */
DN_API dn_status dn_net_interpolate(dn_net *net, const dn_rows *ends, int steps, int spherical, float *out);
/* Decoded rows, out (steps, data_columns), while latent dimension `dim` goes from -range to +range, added to the latent
 * mean of row (inputs), or with NULL to 0. */
DN_API dn_status dn_net_traverse(dn_net *net, const float *row, int dim, double range, int steps, float *out);

/* Write the network. A file whose name ends in .safetensors is a model file: one file with the network's cfg and the
 * files that it names, its parameters, `seen`, and its notes (docs/model-file.md). Any other name: Darknet .weights. */
DN_API dn_status dn_net_save(const dn_net *net, const char *path);
/* Read parameters. A model file is recognised also by its first bytes; its tensors are taken by name and must fit the
 * network, which keeps its cfg. Everything is checked before anything is overwritten; a watch can end it only before
 * that. `seen` becomes that of the file, from which the learning-rate schedule and max_batches then count anew; `clear`
 * sets it to 0. */
DN_API dn_status dn_net_load(dn_net *net, const char *path, int clear);
/* The same of layers start <= i < cutoff alone; cutoff < 0: all. */
DN_API dn_status dn_net_load_range(dn_net *net, const char *path, int clear, int start, int cutoff);
/* Write layers i < cutoff alone, as Darknet .weights; cutoff < 0: all. */
DN_API dn_status dn_net_save_range(const dn_net *net, const char *path, int cutoff);
/* As dn_net_load_range, from the bytes of a model file. Messages call them `name`; NULL: "bytes". */
DN_API dn_status dn_net_load_bytes(dn_net *net, const void *bytes, size_t size, const char *name, int clear, int start,
                                   int cutoff);
/* A model file in memory, to be freed with dn_bytes_free. `training`: with the optimiser's moments and where the
 * training stands, for an exact copy (dn_net_options.training); DN_E_USAGE while gradients wait for an update. */
DN_API dn_status dn_net_save_bytes(const dn_net *net, int training, char **bytes, size_t *size);
/* Free bytes or a text that a function has handed out. NULL: nothing to do. */
DN_API void dn_bytes_free(char *bytes);
/* Write a Darknet pair: the weights file `path`, and beside it the cfg (x.weights: x.cfg), the files that the cfg names
 * and the classes, if there are any. Scale and label column of the notes go into the cfg. DN_E_USAGE, before anything
 * is written, when a file other than the weights is there already with another content. */
DN_API dn_status dn_net_save_pair(const dn_net *net, const char *path);
/* What a model file, another .safetensors file or a weights file holds, as text or as JSON. Writes at most `size` bytes
 * including the final zero; *length is the full length. */
DN_API dn_status dn_model_info(const char *path, int json, char *text, size_t size, size_t *length);
/* 1: a model file, by its name or by its first bytes. */
DN_API int dn_is_model_file(const char *path);

/* Classes, in the order of their numbers. */
typedef struct dn_classes {
    int n;
    char *names; /* (n) texts, zero-terminated, one after another */
} dn_classes;

/* What a model file says besides the network and its parameters. A network keeps it, from the file or as set. */
typedef struct dn_model_notes {
    double scale;             /* the data was divided by it; 0: by the cfg's data_scale */
    const char *label_column; /* the column that is no data; NULL: as in the cfg */
    int n_columns;
    const char *columns;    /* (n_columns) names of the inputs, zero-terminated, one after another */
    dn_classes classes;     /* names of the classes; n = 0: none */
    dn_report losses;       /* of the epoch whose weights were kept; training sets them */
    const char *row_weight; /* the column with the weights of rows; NULL: as in the cfg */
} dn_model_notes;
/* The texts belong to the network, until its notes are set or another file is loaded. */
DN_API dn_status dn_net_notes(const dn_net *net, dn_model_notes *notes);
/* A copy of the names of the classes, to be freed with dn_classes_free; n = 0: there are none. */
DN_API dn_status dn_net_classes(const dn_net *net, dn_classes *classes);
/* Copies them. The scale and the two columns count from now on in dn_net_info, dn_net_label_column and
 * dn_net_row_weight. */
DN_API dn_status dn_net_set_notes(dn_net *net, const dn_model_notes *notes);

/* Can a file be written there? For use before a long job; the file is neither created nor changed. Anything but a
 * regular file is written directly later, so it is only checked; "-" is standard output. */
DN_API dn_status dn_writable(const char *path);
/* Write a file the way all outputs are written: completely or not at all, following links, keeping mode and owner;
 * anything but a regular file is written directly. */
DN_API dn_status dn_file_save(const char *path, const void *data, size_t size);

/* ---- detection ---- */

/* A box is 5 + classes floats: x, y (centre), w, h, objectness, and objectness times probability for every class. */
typedef struct dn_box_options {
    double threshold;              /* only objectness and scores above it count; 0 to 1 */
    double tree_threshold;         /* for label trees ([region] tree=): the descent ends below it; 0: 0.5 */
    int image_width, image_height; /* of the picture that boxes are requested for */
    int letterboxed;               /* 1: the picture was fitted into the input, see dn_letterbox_size */
    int relative;                  /* 1: boxes relative to the picture; 0: in its pixels */
} dn_box_options;

/* The number of classes of the network's detector heads (the largest one); 0: it has none. */
DN_API int dn_net_box_classes(const dn_net *net);
/* The boxes that all heads predict for a row of the last forward pass: those with an objectness or a score above the
 * threshold; other scores are 0. Writes the first `room`; count is the number of all of them. */
DN_API dn_status dn_net_boxes(const dn_net *net, int row, const dn_box_options *options, float *boxes, size_t room,
                              size_t *count);
/* Non-maximum suppression in place: from the best score down, a box suppresses those that overlap it by more than the
 * threshold (intersection over union): their score for that class becomes 0. across_classes: in order of objectness,
 * which becomes 0 together with all scores. */
DN_API dn_status dn_boxes_suppress(float *boxes, size_t n, int classes, double threshold, int across_classes);
/* The size of a picture fitted into width x height with its aspect ratio kept; it is centred, (width - new_width) / 2
 * from the left and (height - new_height) / 2 from the top. */
DN_API void dn_letterbox_size(int width, int height, int image_width, int image_height, int *new_width,
                              int *new_height);

/* ---- training ---- */

/* Whose weights a training leaves. */
typedef enum dn_keep_rule {
    DN_KEEP_DEFAULT, /* the best with patience, otherwise the last */
    DN_KEEP_LAST,
    DN_KEEP_BEST /* the epoch with the lowest loss of held-out rows; losses that are not finite never count */
} dn_keep_rule;

/* How a training goes, when it ends and what it writes. All zero, with shuffle = 1: as the cfg says. */
typedef struct dn_train_options {
    int epochs;           /* > 0: this many at most; 0: until max_batches of the cfg, or what follows ends it */
    int shuffle;          /* 1: a new order every epoch, determined by the seed */
    double learning_rate; /* > 0: overrides the cfg's until the trainer is destroyed; 0: the cfg's */
    /* 0: without epochs, a network that has reached max_batches trains max_batches once more, from the start of the
     * schedule. 1: as in Darknet, schedule and max_batches count from seen = 0; DN_E_USAGE when nothing is left to
     * train */
    int continues;
    /* NULL, or as for -output F: ten inputs and outputs after every epoch; epoch 0 is before training. A failure to
     * write them is a warning */
    const char *preview_path;
    /* After every epoch the network is evaluated, on held-out rows if there are any: */
    double holdout; /* 0, or the fraction of rows to hold out: the last of a random order drawn from the seed */
    dn_rows valid;  /* x NULL: none; otherwise separate rows */
    const char *column_names; /* NULL, or the inputs' names for messages, as in dn_table.header; borrowed */
    int score; /* 1: if there are no held-out rows, evaluate on the training rows (costs a forward pass over them) */
    /* n: stop after n epochs in a row whose loss of held-out rows (valid_loss) is not more than min_delta below that of
     * the last epoch for which it was. Counting begins after warm-ups (burn_in). 0: do not stop */
    int patience;
    double min_delta;
    dn_keep_rule keep;
    double max_seconds; /* > 0: stop at the end of the step in which so many seconds are over; that epoch is the last,
                         * complete or not */
    /* NULL, or a file that ends in .csv or .jsonl and gets a line at the end of every epoch: the record of dn_progress.
     * Lines are written at once; a failure to write one is a warning */
    const char *log;
    int log_every; /* n: also a line after every n batches, whose losses are means since the last line; 0: none */
    /* NULL: none, or the file to which checkpoints are written: a model file, F.safetensors, with everything that the
     * training needs to continue (docs/checkpoints.md); names of other kinds of files are DN_E_USAGE. The file is
     * complete at any time; a failure to write it is a warning */
    const char *checkpoint;
    const char *checkpoint_every; /* "30s": seconds; "1e": epochs; NULL: "60s". One is also written at the end */
    int checkpoint_keep;          /* how many are kept, F.safetensors, F.1.safetensors, ...; 0: 1 */
    /* NULL, or a checkpoint to continue from: what follows is the same to the last bit as if the training had not been
     * stopped, on any device of the same precision and with any number of threads. All options but those about when to
     * stop and what to write must be those with which it began, and so must the rows: DN_E_USAGE says what differs */
    const char *resume;
} dn_train_options;

/* Why a training has ended. */
typedef enum dn_stop { DN_STOP_CALLER, DN_STOP_EPOCHS, DN_STOP_BATCHES, DN_STOP_PATIENCE, DN_STOP_SECONDS } dn_stop;
/* "caller" (or it has not ended), "epochs", "max_batches", "patience", "max_seconds". */
DN_API const char *dn_stop_name(dn_stop why);

/* The rows that a training of this network with options.holdout = `part` holds out of a table of `rows` rows; it
 * depends on the network's seed and these numbers alone. Writes the first `room` of their numbers, from 0 on,
 * ascending; count is the number of all of them. */
DN_API dn_status dn_net_holdout(const dn_net *net, size_t rows, double part, uint32_t *held, size_t room,
                                size_t *count);

/* Where an epoch's preview is for a preview_path: "p.txt" gives "p_input_0.txt" and "p_output_0.txt". `what` is input
 * or output. Writes at most `size` bytes including the final zero; returns the full length. */
DN_API size_t dn_preview_path(const char *preview_path, const char *what, int epoch, char *text, size_t size);

/* Where a training stands. */
typedef struct dn_progress {
    int epoch, epochs; /* finished epochs; planned ones (0: open) */
    int epoch_done;    /* 1: the values are those of a whole epoch */
    int finished;
    uint64_t rows_done, rows_total; /* in this epoch */
    double rows_per_second, seconds;
    double eta_seconds; /* NaN: not known, as the training has an open end */
    double learning_rate;
    dn_report report;    /* of the rows trained so far in this epoch; with epoch_done also scores after it */
    const char *warning; /* NULL, or lines, valid until the trainer's next call; once for every problem */
    /* Everything as named numbers, as in the log: epoch (number of the running or just finished one), batch (updates
     * since the schedule began), rows (of the epoch), epoch_done, losses and scores of the report; with epoch_done
     * valid_loss and its parts; learning_rate, beta, kl_cost, valid_kl_cost, seconds, rows_per_second */
    dn_report record;
    dn_stop stopped; /* once finished: why */
    int kept_epoch;  /* whose weights remain if the training ends now */
} dn_progress;

/* The network and the arrays of all rows, including those in the options, are borrowed until the trainer is destroyed.
 * The order of rows and all noise are functions of the network's seed and of `seen`, so training in several calls
 * equals training in one. options NULL: all of them 0. */
DN_API dn_status dn_trainer_create(dn_trainer **out, dn_net *net, const dn_rows *rows, const dn_train_options *options);
/* Train for about `max_ms` milliseconds or to the end of the epoch, whichever comes first, then report. The weights are
 * usable after every call. Fails with DN_E_NUMERIC when a loss stops being finite or the learning rate exceeds float32.
 * When a watch ends the call (DN_E_INTERRUPTED), the current step is undone, and the next call continues there; after
 * any other failure weights, running statistics, moments and `seen` are those of the end of the last finished epoch,
 * and the next call begins the one after it. A failing call reports too (finished epochs: progress->epoch), unless
 * another thread uses the network. */
DN_API dn_status dn_trainer_run(dn_trainer *trainer, int max_ms, dn_progress *progress);
/* End the training where it is: the network's weights become those of the epoch to be kept, with its running
 * statistics, moments and `seen`, from which another training continues. dn_trainer_run has already done so when it
 * reports `finished`; a caller that ends earlier, or whose training failed, calls this. */
DN_API dn_status dn_trainer_finish(dn_trainer *trainer);
/* One sentence on why the training stopped and which epoch was kept; empty if it ended as planned with the last one.
 * Writes at most `size` bytes including the final zero; returns the full length. */
DN_API size_t dn_trainer_outcome(const dn_trainer *trainer, char *line, size_t size);
/* What was reported of the last finished epoch, and of the one whose weights remain if the training ends now; epoch 0:
 * there is none. After a resume, and before the first dn_trainer_run, they come from the checkpoint: a log that is cut
 * back to the epochs before `last` and gets `last` again is complete up to here. */
DN_API dn_status dn_trainer_last_epoch(const dn_trainer *trainer, dn_progress *last, dn_progress *kept);
/* Write a checkpoint of this moment to options.checkpoint, and wait until it is on the disk: for callers that end a
 * training early. A batch that has begun is trained to its end before. Once the training is finished, only waits for
 * the last one, and tries again if that has failed. Does nothing without options.checkpoint. */
DN_API dn_status dn_trainer_checkpoint(dn_trainer *trainer);
/* Waits for another thread's call on the network, and for a checkpoint that is being written. */
DN_API void dn_trainer_destroy(dn_trainer *trainer);
/* The progress line, the same in every program: at most `size` bytes including the final zero. If the line does not
 * fit, its less important parts are left out. */
DN_API void dn_progress_line(const dn_progress *progress, char *line, size_t size);
/* ---- tables ---- */

/* A name that is in the header counts as a name even if it is a number. */
typedef struct dn_csv_options {
    const char *label_column; /* NULL or "": none; a header name or a zero-based index (negative: from the end) */
    int label_optional;       /* 1: a file without that column is read without labels */
    /* NULL or "": none; "a,b,-1": columns, as above, that are truth instead of features. A name with a comma or a quote
     * is written like a cell of a CSV file: "\"a,b\",c" */
    const char *targets;
    double scale;           /* features are divided by it, targets are not; 0: 1 */
    int64_t max_rows;       /* 0: all */
    int columns;            /* number of features required, 0: any; another width is an error */
    int header;             /* 1: the first row has the columns' names; -1: it has not; 0: detected */
    int missing;            /* 1: targets that are empty, or a word such as nan, NA or null, are NaN; 0: an error */
    const char *row_weight; /* NULL or "": none; a column that says how much rows count, as above */
    int weight_optional;    /* 1: a file without that column is read without weights */
} dn_csv_options;

/* A table of numbers, as dn_csv_load reads it. */
typedef struct dn_table {
    size_t rows, columns;
    float *values; /* (rows, columns) */
    char *labels;  /* (rows) texts of the label column, zero-terminated, one after another; or NULL */
    char *header;  /* (columns) names of the features, likewise; NULL: the file has no header */
    size_t truths;
    float *truth;                    /* (rows, truths): the target columns in the order requested, or NULL */
    size_t labels_size, header_size; /* bytes, including all zeros */
    int has_header, header_guessed;  /* guessed: the options left it open */
    char separator;                  /* ',' ';' tab, or ' ' for runs of blanks and tabs */
    char *warnings;                  /* doubtful cases, one sentence per line, or NULL */
    char *mapped;                    /* NULL, or a file in memory, of which `values` is a part */
    size_t mapped_size;
    float *weights; /* (rows): how much each row counts, or NULL. They are not checked here: dn_net_check_rows does */
} dn_table;

/* Read a table; docs/csv.md has the rules. `path` "-": standard input; a .npy file: an array of NumPy (rows, ...)
 * without a header, its float32 mapped into memory where nothing has to be changed. options NULL: all zero. After an
 * error the table is empty. DN_E_FORMAT: a cell that is not a finite number, rows of different widths, quotes that are
 * not closed, more than 2^24 columns, text that is compressed or not UTF-8; DN_E_USAGE: no such column; DN_E_IO,
 * DN_E_MEMORY, DN_E_INTERRUPTED. */
DN_API dn_status dn_csv_load(dn_table *table, const char *path, const dn_csv_options *options);
/* Free what is in a table, which is then empty. */
DN_API void dn_table_free(dn_table *table);
/* Comma-separated, with the fewest digits that read back exactly; written completely or not at all. path NULL or "-":
 * standard output. */
DN_API dn_status dn_csv_save(const char *path, const float *values, size_t rows, size_t columns);

/* A table of numbers that is read in pieces, so that its size does not matter. */
typedef struct dn_csv_stream dn_csv_stream;
/* Read a table in pieces of about `piece` bytes (0: 2 MiB) and of at least so many rows, except the last one: files,
 * arrays and standard input alike. path, options and errors as for dn_csv_load. */
DN_API dn_status dn_csv_stream_open(dn_csv_stream **stream, const char *path, const dn_csv_options *options,
                                    size_t piece, size_t least);
/* The next piece, to be freed with dn_table_free; the end has 0 rows. All pieces have the header; each has the warnings
 * that none had before. last: NULL, or whether nothing comes after it as far as is known. */
DN_API dn_status dn_csv_stream_next(dn_csv_stream *stream, dn_table *piece, int *last);
/* Close it; NULL: nothing. */
DN_API void dn_csv_stream_close(dn_csv_stream *stream);

/* ---- typed tables ---- */

/* The type of a column of a dn_frame; docs/csv.md has the rules by which it is found. */
typedef enum dn_frame_type { DN_FRAME_NUMBER, DN_FRAME_TIME, DN_FRAME_TEXT } dn_frame_type;

/* A column: its name, and its cells as its type says. */
typedef struct dn_frame_column {
    const char *name;      /* UTF-8 */
    int type;              /* dn_frame_type */
    const double *numbers; /* NUMBER: (rows), NaN: missing. TIME: seconds from 1970-01-01 00:00, as written: a time zone
                              is not applied */
    const int32_t *codes;  /* TEXT: (rows) indices into words, -1: missing */
    int32_t n_words;
    const char *words; /* TEXT: (n_words) distinct UTF-8 texts, zero-terminated, one after another, in the order in
                          which they first appear */
    int decimals; /* NUMBER: most digits after the point, 0: integers, -1: unknown, or exponents. TIME: of seconds */
    /* NUMBER: 1 decimal comma + 2 thousands are separated + 4 every number has as many decimals as the others
     * + 8 thousands are separated by blanks + 16 every number has a digit after the point. TIME: 0 date, 1 date T time,
     * 2 date blank time, + 4 seconds, + 8 fractions of seconds. TEXT: 0. It decides how a column is written, together
     * with `decimals`. */
    int form;
} dn_frame_column;

/* A table whose columns keep their types, as a data frame: numbers, times, texts. */
typedef struct dn_frame {
    size_t rows;
    int n; /* columns */
    dn_frame_column *columns;
    char separator; /* ',' ';' tab, or ' ' for runs of blanks and tabs; 0: ',' */
    char *warnings; /* doubtful cases, one sentence per line, or NULL */
    void *owner;    /* of the memory that dn_frame_free frees; NULL: all of it is borrowed */
} dn_frame;

/* How a typed table is read. All zero: all rows, the header detected. */
typedef struct dn_frame_options {
    int header;       /* 1: the first row has the columns' names; -1: it has not; 0: detected */
    int64_t max_rows; /* 0: all */
    int threads;      /* 0: as many as networks use. The result does not depend on it */
} dn_frame_options;

/* Read a table from CSV text, also compressed with gzip. `path` "-": standard input. options NULL: all zero. After an
 * error the frame is empty. Errors as for dn_csv_load, but any cell is a value. */
DN_API dn_status dn_frame_load(dn_frame *frame, const char *path, const dn_frame_options *options);
/* Write a table with a header, completely or not at all. Missing cells are empty; numbers have the column's form and
 * are rounded to its decimals, with decimals -1 they have the fewest digits that read back exactly. path NULL or "-":
 * standard output. DN_E_USAGE: a code without a word. */
DN_API dn_status dn_frame_save(const char *path, const dn_frame *frame);
/* The numbers of a column, given by its name or zero-based index (negative: from the end), as weights of the rows
 * (rows). DN_E_USAGE: no such column; DN_E_FORMAT, with the row: not all are finite numbers of 0 or more, or all are
 * 0. */
DN_API dn_status dn_frame_weights(const dn_frame *frame, const char *column, float *weights);
/* The same to table->weights, of the table that was made of the frame. */
DN_API dn_status dn_table_weigh(dn_table *table, const dn_frame *frame, const char *column);
/* Free what is in a frame, which is then empty. */
DN_API void dn_frame_free(dn_frame *frame);

/* ---- columns ---- */

/* What the columns of a table are and how they become the numbers that a network computes with; docs/tables.md has the
 * rules. */
typedef struct dn_schema dn_schema;

/* What is said of a table's columns instead of being learned. All zero: nothing. */
typedef struct dn_schema_options {
    /* NULL or "": none; a column that is no data, by its name or its zero-based index (negative: from the end) */
    const char *label_column;
    /* NULL, or lists of columns by name, written as the cells of a CSV row: those that are left out; those that stay
     * numbers whatever their values ("*": all numbers); those that are categories; those that condition the others */
    const char *drop, *as_number, *as_category, *condition;
    /* Of numbers: NULL or "quantiles", "robust" (median and interquartile range / 1.349, cut at 10), or "standard"
     * (mean and standard deviation) */
    const char *coding;
    int max_categories; /* of a column, the rarest together as "other"; 0: 100 */
    /* NULL or "": none; a column of numbers that says how much rows count, as label_column: it is no data, and what the
     * other columns are is learned from the rows that it does not give 0 */
    const char *row_weight;
} dn_schema_options;

/* What a column is for a network; docs/tables.md has the rules. */
typedef enum dn_column_kind {
    DN_COLUMN_NUMBER,
    DN_COLUMN_TIME,
    DN_COLUMN_YES_NO,
    DN_COLUMN_CATEGORY,
    DN_COLUMN_CONSTANT,
    DN_COLUMN_IDENTIFIER,
    DN_COLUMN_DROPPED,
    DN_COLUMN_LABEL,
    DN_COLUMN_ROW_WEIGHT
} dn_column_kind;

/* What a schema knows of a column. */
typedef struct dn_column_info {
    const char *name; /* valid as long as the schema */
    int kind;         /* dn_column_kind */
    int type;         /* dn_frame_type of the table's column */
    int coded;        /* place among the coded columns; -1: none */
    int classes;      /* of a category: how many codes; 2 of yes_no; else 0 */
    int other;        /* the code of rare and unknown words; -1: there is none */
    int missing;      /* 1: the table had missing cells */
    int condition;
    int decimals, form;             /* as in dn_frame_column */
    double low, high;               /* of numbers and times: the range of the table; NaN: none */
    double mean, deviation;         /* and standard deviation */
    double median, spread;          /* and interquartile range */
    size_t missing_rows, distincts; /* cells without a value; different values */
} dn_column_info;

/* Learn the columns of a table. options NULL: all zero. DN_E_USAGE: a table without rows or columns, an option that
 * names no column or no coding, as_number of texts. */
DN_API dn_status dn_schema_learn(dn_schema **out, const dn_frame *frame, const dn_schema_options *options);
/* From its JSON, whoever wrote it. Messages call it `name`; NULL: "schema". */
DN_API dn_status dn_schema_parse(dn_schema **out, const char *json, size_t size, const char *name);
/* From a model file; *out is NULL when the file has none. */
DN_API dn_status dn_schema_load(dn_schema **out, const char *path);
DN_API void dn_schema_free(dn_schema *schema); /* NULL: nothing to do */
/* As JSON: writes at most `size` bytes including the final zero; returns the full length. */
DN_API size_t dn_schema_json(const dn_schema *schema, char *text, size_t size);
/* The same as a table of at most 80 columns of text. */
DN_API size_t dn_schema_text(const dn_schema *schema, char *text, size_t size);
/* What learning had to say, one sentence per line; "" if nothing or if it was not learned here. */
DN_API const char *dn_schema_warnings(const dn_schema *schema);
DN_API const char *dn_schema_coding(const dn_schema *schema); /* of numbers: the option's word */
DN_API size_t dn_schema_rows(const dn_schema *schema);        /* of the table from which it was learned */
/* How many columns the table has. */
DN_API int dn_schema_columns(const dn_schema *schema);
/* How many the coded matrix has. */
DN_API int dn_schema_coded(const dn_schema *schema);
/* Column number `index` of the table; returns 0 when there is none. */
DN_API int dn_schema_column(const dn_schema *schema, int index, dn_column_info *info);
/* The word of a code of a category or yes_no column of the table, "other" for that of the rare ones; NULL: no such
 * code. Valid as long as the schema. */
DN_API const char *dn_schema_word(const dn_schema *schema, int index, int code);
/* How many rows of the table had it. */
DN_API size_t dn_schema_count(const dn_schema *schema, int index, int code);
/* The code of one cell, given as text, of a column of the table; NaN for a missing one. DN_E_USAGE: the column is not
 * coded, or has no such value. */
DN_API dn_status dn_schema_cell(const dn_schema *schema, int index, const char *text, float *code);
/* Rows of a table as numbers, x (rows, coded): first numbers and times, then yes_no (0 or 1), then categories (0, 1,
 * ...); NaN is missing. Columns are found by name, in any order; further ones are ignored. A category that was not in
 * the learned table is "other" if there is that code, otherwise missing; an infinite number is missing. DN_E_FORMAT: a
 * column is not there, or has texts, the first of which is named, instead of numbers. warnings: NULL, or set to NULL or
 * to one sentence per line, to be freed with dn_bytes_free. */
DN_API dn_status dn_schema_code(const dn_schema *schema, const dn_frame *frame, float *x, char **warnings);
/* x (rows, coded), as reconstructed or drawn, to a table with the learned one's columns, order, types and decimals, all
 * values within its range. yes_no may be probabilities. NaN becomes a missing cell. Constants come back, identifiers
 * are numbered (1, 2, ... or id1, id2, ...), dropped columns and the label are left out. */
DN_API dn_status dn_schema_decode(const dn_schema *schema, const float *x, size_t rows, dn_frame *frame);
/* The same of a piece of a table: `before` rows of the table come before its rows. */
DN_API dn_status dn_schema_decode_piece(const dn_schema *schema, const float *x, size_t before, size_t rows,
                                        dn_frame *frame);
/* The schema of a network, which its model files and copies have too; NULL: none. Valid until another one is set or
 * loaded. */
DN_API const dn_schema *dn_net_schema(const dn_net *net);
/* Copies it; NULL: none. DN_E_USAGE when it does not fit the network's [columns]. */
DN_API dn_status dn_net_set_schema(dn_net *net, const dn_schema *schema);

/* ---- networks of tables ---- */

/* What dn_schema_cfg is told besides the columns. */
typedef struct dn_init_options {
    int latent;        /* latent dimensions; 0: chosen by the columns */
    const char *table; /* the table's name, for the comments; NULL: data.csv */
} dn_init_options;
/* A commented cfg of a variational autoencoder for a table of so many rows: sizes, schedule and what each key means.
 * options NULL: all zero. Writes at most `size` bytes including the final zero; returns the full length, 0 when memory
 * runs out. */
DN_API size_t dn_schema_cfg(const dn_schema *schema, size_t rows, const dn_init_options *options, char *text,
                            size_t size);
/* The rows of a frame as numbers for the network: table->values (rows, coded), NaN where a cell is missing, with the
 * columns' names and warnings; to be freed with dn_table_free. Messages call the frame `name`. Errors: those of
 * dn_schema_code; DN_E_FORMAT for a frame without rows. */
DN_API dn_status dn_schema_table(const dn_schema *schema, const dn_frame *frame, const char *name, dn_table *table);
/* The same of a piece of a table: `before` rows of the table come before its rows, which messages number so. */
DN_API dn_status dn_schema_table_piece(const dn_schema *schema, const dn_frame *frame, size_t before, const char *name,
                                       dn_table *table);
/* A table that is read in pieces. */
typedef struct dn_frame_stream dn_frame_stream;
/* Read a table in pieces of about `piece` bytes of text (0: 2 MiB) and of at least so many rows, except the last one
 * (SIZE_MAX: all in one piece), so that its size does not matter, for a schema, which must live as long: the cells that
 * the schema has are the same as after dn_frame_load of all, columns that it does not know may have other types. A file
 * is read twice, for the types of its columns first. A pipe is read once, and a piece is there as soon as its text is:
 * columns for which the schema has words are then read as text; numbers that turn out to be written in another way than
 * rows before were read in are DN_E_FORMAT. Tables of one piece, and pipes in which a label or identifier is not text
 * from the beginning, come in one piece. path, options and errors as for dn_frame_load. */
DN_API dn_status dn_frame_stream_open(dn_frame_stream **stream, const char *path, const dn_schema *schema,
                                      const dn_frame_options *options, size_t piece, size_t least);
/* The next piece, to be freed with dn_frame_free, with the warnings that no piece had before; the end has 0 rows. */
DN_API dn_status dn_frame_stream_next(dn_frame_stream *stream, dn_frame *piece);
DN_API void dn_frame_stream_close(dn_frame_stream *stream); /* NULL: nothing */
/* Learn the schema of a network whose cfg begins with [columns] from a table, as its keys say (names and kinds, coding,
 * drop, the names in [condition], and row_weight in [net] or the notes), and set it. label_column: NULL, or instead of
 * the cfg's. DN_E_USAGE: there are no [columns], or the table's are others. */
DN_API dn_status dn_net_learn_schema(dn_net *net, const dn_frame *frame, const char *label_column);

/* How rows of a table are drawn. */
typedef struct dn_draw_options {
    uint64_t seed;
    double temperature;      /* latents' standard deviations are multiplied by it; 1: the prior itself */
    int normal;              /* 1: latents from N(0, 1) instead of the network's own prior */
    int mean;                /* 1: the mean of the likelihood (the most probable category) instead of draws from it */
    const dn_mixture *prior; /* NULL, or where latents are drawn from instead */
    /* NULL, or conditions, all of which hold for every row: "churn=Yes,age>=40", with =, !=, <, <=, >, >=; one with a
     * comma is quoted like a cell of a CSV row, or its value alone, as where this has blanks at its ends. Columns of
     * [condition] are given to the network; the others make rows be drawn until enough are as wanted. */
    const char *where;
    /* 1: cells are missing (NaN) as in the table, but none that `where` or [condition] is about; 0: no gaps */
    int gaps;
} dn_draw_options;
/* Draw n new rows of the table that the network was trained on, out (n, coded), which dn_schema_decode makes cells of.
 * A function of the options alone; the first rows are those of a smaller n. Columns of [condition] that `where` does
 * not give are drawn one by one as often as they were in the table. options NULL: all zero, with temperature 1. tried:
 * NULL, or how many rows were drawn to get them. DN_E_USAGE: no schema, a condition that no row can fulfil, or one that
 * too few do. */
DN_API dn_status dn_net_draw_rows(dn_net *net, size_t n, const dn_draw_options *options, float *out, size_t *tried);

/* Fill the gaps of rows x (rows, coded): out, which may be x, has what the network makes of the other cells in place of
 * NaN, numbers, 0 or 1, and codes; everything else stays. rounds: how often the gaps of a row are drawn, given its
 * cells and its gaps as reconstructed once; of numbers the mean is taken, in the table's unit, or the value nearest to
 * it where there are few, of others the most probable value; 0: 32. The result depends on nothing else. Gaps of columns
 * of [condition] stay. DN_E_USAGE: the network has no schema. */
DN_API dn_status dn_net_impute(dn_net *net, const float *x, size_t rows, int rounds, float *out);
/* What was filled, and what there was to say, in lines. */
typedef struct dn_imputed {
    size_t rows, filled; /* rows of the table, cells that were filled */
    size_t left;         /* cells that stay missing: of columns that the network does not model */
    char *warnings;      /* NULL, or to be freed with dn_bytes_free */
} dn_imputed;
/* The same for a file: its text, letter by letter, with the missing cells filled, is written to `output` (NULL or "-":
 * standard output). path and options as for dn_frame_load. */
DN_API dn_status dn_net_impute_file(dn_net *net, const char *path, const dn_frame_options *options, int rounds,
                                    const char *output, dn_imputed *out);

/* ---- supervised learning: labels and targets ---- */

/* The distinct labels, (rows) texts as in dn_table: numbers by value, then words by their bytes. 7 and 7.0 are the same
 * label. */
DN_API dn_status dn_classes_find(dn_classes *classes, const char *labels, size_t rows);
/* Read classes from a text file with one name per line. */
DN_API dn_status dn_classes_load(dn_classes *classes, const char *path);
/* Write it. A name that begins with a quote or contains a line end is written as a quoted cell. */
DN_API dn_status dn_classes_save(const dn_classes *classes, const char *path);
/* Free the names; there are then none. */
DN_API void dn_classes_free(dn_classes *classes);
/* The file of class names for a weights file: "x.weights" gives "x.labels.txt". Writes at most `size` bytes including
 * the final zero; returns the full length. */
DN_API size_t dn_classes_path(const char *weights, char *text, size_t size);
/* Labels as rows (rows, width): 1 at their class, 0 elsewhere. With width 1, two classes become 0 and 1. */
DN_API dn_status dn_classes_one_hot(const dn_classes *classes, const char *labels, size_t rows, int width,
                                    float *truth);
/* The class of every row of the network's outputs: the index of its largest value; for a single output, 1 above 1/2
 * (logits: above 0). */
DN_API dn_status dn_net_pick(const dn_net *net, const float *outputs, size_t rows, int32_t *picked);
/* The default file for a training's weights: "vae.weights", or for supervised training the cfg's name + ".weights". */
DN_API size_t dn_net_weights_name(const dn_net *net, int supervised, char *text, size_t size);
/* What the network learns from a table: its targets, or its labels, as one-hot rows or, where the loss is over codes,
 * as the numbers of their classes. Fills truth (rows, truths of the network). classes->n = 0: they are found in the
 * labels. Messages call the table `path`. */
DN_API dn_status dn_net_truth(const dn_net *net, const dn_table *table, const char *path, dn_classes *classes,
                              float *truth);
/* As dn_csv_save, with the name of the class picked[row], (rows), in front of every row, quoted where needed to read it
 * back; without names, the class numbers. */
DN_API dn_status dn_csv_save_picked(const char *path, const dn_classes *classes, const int32_t *picked,
                                    const float *values, size_t rows, size_t columns);
/* A CSV file that is written piece by piece. */
typedef struct dn_csv_writer dn_csv_writer;
/* Begin one: a file is written completely or not at all, pipes and terminals get pieces as they come. path NULL or "-":
 * standard output. */
DN_API dn_status dn_csv_writer_open(dn_csv_writer **writer, const char *path);
/* Write the rows of a piece as dn_csv_save_picked does; picked NULL: values alone. */
DN_API dn_status dn_csv_writer_rows(dn_csv_writer *writer, const dn_classes *classes, const int32_t *picked,
                                    const float *values, size_t rows, size_t columns);
/* Write the rows of a piece as dn_frame_save does, before the first one the header. All pieces have the same columns.
 */
DN_API dn_status dn_csv_writer_frame(dn_csv_writer *writer, const dn_frame *piece);
/* Close it, and with DN_OK keep the file, otherwise return `status`. NULL: nothing. */
DN_API dn_status dn_csv_writer_finish(dn_csv_writer *writer, dn_status status);

/* ---- is this network computed right? ---- */

/* One comparison. */
typedef struct dn_check_line {
    int layer;        /* -1: of the whole network */
    char type[32];    /* of the layer */
    char what[64];    /* a tensor's name, or what else was compared; of a whole batch with its rows: ", n=32" */
    char against[32]; /* "differences", "formula", "sgd step", "training step", "optimizer", "opt. training" */
    size_t values;    /* compared; 0: rounding hides all of them */
    double error;     /* the worst, relative, beyond what rounding explains */
    double tolerance;
    double found, expected; /* of the worst value */
    int ok;                 /* 1: right; 0: wrong; -1: not comparable */
} dn_check_line;

/* All comparisons of a check. */
typedef struct dn_checks {
    int n, n_failed;
    dn_check_line *lines; /* (n) */
    char summary[512];    /* one sentence */
} dn_checks;

/* Check the network with the first few of the rows (x NULL: random rows that its losses accept), on its device:
 *
 *   - the gradient of every parameter, of both halves of a sampling layer's input and of the network's input against
 *     central differences of what training descends, with the noise of one pass;
 *   - every loss and its derivative against formulas in double precision that were written apart from the kernels;
 *   - one step of plain SGD, which must move parameters by rate * gradient / rows, separately and as training runs it.
 *
 * The network is left as it was. DN_OK also when something is wrong: checks->n_failed. Takes seconds; free the result
 * with dn_checks_free. */
DN_API dn_status dn_net_check(dn_net *net, const dn_rows *rows, dn_checks *checks);
/* Free what dn_net_check has filled. */
DN_API void dn_checks_free(dn_checks *checks);

/* cffi:end */
#ifdef __cplusplus
}
#endif
#endif

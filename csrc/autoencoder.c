/* The jobs: train, predict, encode, decode, evaluate. The binary and the Python package both call these. */
#include "check.h"
#include "latent.h"
#include "supervised.h"
#include "sys.h"
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- many rows, pass by pass, without noise ----
 *
 * Jobs of more rows than the batch run on the network's wide plan (dn_net_for_job). Where the machine computes in the
 * host's memory, layers read the caller's rows and write the caller's result themselves. A recurrent network takes a
 * table as sequences of time_steps rows. A pass has several of them side by side, step by step (dn_net_place), so its
 * rows are copied; each sequence begins with no state and leaves none. */

static dn_status job_whole(const dn_net *net, size_t rows) {
    size_t steps = (size_t)dn_net_steps(net);
    DN_CHECK(rows % steps == 0, DN_E_USAGE,
             "%s: %zu rows are not whole sequences of time_steps=%zu rows: %zu are left over, %zu more would fill one",
             net->cfg->path, rows, steps, rows % steps, steps - rows % steps);
    return DN_OK;
}

/* Rows of the pass that begins at `at`. */
static size_t job_rows(size_t rows, size_t at, size_t step) { return rows - at < step ? rows - at : step; }

/* Rows in a pass: about as many in each. */
static size_t job_step(const dn_net *net, size_t rows) {
    size_t batch = (size_t)net->run.batch, passes = (rows + batch - 1) / batch;
    if (net->recurrent || !passes) return batch; /* whole sequences */
    return (rows + passes - 1) / passes;
}

static int job_interleaves(const dn_net *net, size_t rows) {
    return dn_net_steps(net) > 1 && rows > (size_t)dn_net_steps(net);
}

static void job_put(dn_net *net, const float *from, size_t width, size_t rows, float *to) {
    if (!job_interleaves(net, rows)) {
        net->ops->upload(net->pool, to, from, rows * width * sizeof *to);
        return;
    }
    for (size_t i = 0; i < rows; i++)
        net->ops->upload(net->pool, to + dn_net_place(net, rows, i) * width, from + i * width, width * sizeof *to);
}

static void job_get(dn_net *net, const float *from, size_t width, size_t rows, float *to) {
    if (!job_interleaves(net, rows)) {
        net->ops->download(net->pool, to, from, rows * width * sizeof *to);
        return;
    }
    for (size_t i = 0; i < rows; i++)
        net->ops->download(net->pool, to + i * width, from + dn_net_place(net, rows, i) * width, width * sizeof *to);
}

/* Can layers work in the caller's arrays? */
static int job_in_place(const dn_net *net) { return !net->ops->separate_memory && dn_net_steps(net) == 1; }

/* Rows on the host where the machine can read them; `to` is a buffer of its own. */
static const float *job_lend(dn_net *net, const float *from, size_t width, size_t rows, float *to) {
    if (job_in_place(net)) return from;
    job_put(net, from, width, rows, to);
    return to;
}

/* Let the first layer read these rows; the truth of a loss that wants them back. */
static const float *job_input(dn_net *net, const float *x, size_t rows) {
    return net->layers[0].x = job_lend(net, x, (size_t)net->inputs, rows, net->input);
}

/* Rows [at, at + n) of the caller's, before they are computed with. */
static dn_status job_finite(const char *name, const float *values, size_t columns, size_t at, size_t n) {
    return dn_check_finite(&(dn_part_of){name, values + at * columns, n, columns, at});
}

/* Rows and truth (NULL: the rows) for losses, likewise. */
static dn_status job_check(const dn_net *net, const char *prefix, const float *x, const float *truth, size_t at,
                           size_t n) {
    char name[32];
    size_t truths = (size_t)net->truths;
    snprintf(name, sizeof name, "%sx", prefix);
    dn_part_of part = {name, x + at * net->inputs, n, (size_t)net->inputs, at};
    DN_TRY(dn_check_finite(&part));
    if (!truth) return dn_check_truth(net, &part, 1);
    snprintf(name, sizeof name, "%struth", prefix);
    return dn_check_truth(net, &(dn_part_of){name, truth + at * truths, n, truths, at}, 1);
}

static dn_status job_pass(dn_net *net, int first, int last, size_t rows, const float *truth) {
    dn_net_reset_state(net);
    dn_status status = dn_net_run_layers(net, first, last, (int)rows, 0, truth);
    dn_net_reset_state(net);
    return status;
}

/* All rows through layers first to last: of the network's inputs, or of what the layer before `first` gives. The last
 * one's output goes to `out`; `data`: as data, should it be logits. */
static dn_status job_run(dn_net *net, int first, int last, const float *x, size_t rows, int data, float *out) {
    const dn_ops *ops = net->ops;
    dn_layer *to = &net->layers[last], *before = first ? &net->layers[first - 1] : NULL;
    float *output = to->output;
    size_t step = job_step(net, rows), outputs = (size_t)to->outputs;
    dn_status status = job_whole(net, rows);
    dn_memory_expect(out, rows * outputs * sizeof *out);
    for (size_t at = 0; at < rows && status == DN_OK; at += step) {
        size_t n = job_rows(rows, at, step);
        status = job_finite(before ? "z" : "x", x, before ? (size_t)before->outputs : (size_t)net->inputs, at, n);
        if (status != DN_OK) break;
        if (job_in_place(net)) to->output = out + at * outputs;
        if (before)
            job_put(net, x + at * before->outputs, (size_t)before->outputs, n, before->output);
        else
            job_input(net, x + at * net->inputs, n);
        status = job_pass(net, first, last, n, NULL);
        if (status != DN_OK) break;
        if (data && net->logits) ops->activate(net->pool, DN_LOGISTIC, n * outputs, to->output);
        if (!job_in_place(net)) job_get(net, output, outputs, n, out + at * outputs);
    }
    net->layers[0].x = net->input, to->output = output;
    return status == DN_OK ? ops->finish(net->pool) : status;
}

static dn_status job_predict(dn_net *net, const float *x, size_t rows, int data, float *out) {
    net = dn_net_for_job(net, rows);
    return job_run(net, 0, net->output_layer, x, rows, data, out);
}

dn_status dn_net_predict(dn_net *net, const float *x, size_t rows, float *out) {
    DN_EXCLUSIVE(net, job_predict(net, x, rows, 0, out));
}

dn_status dn_net_reconstruct(dn_net *net, const float *x, size_t rows, float *out) {
    DN_EXCLUSIVE(net, job_predict(net, x, rows, 1, out));
}

static dn_status job_need_encoder(const dn_net *net) {
    DN_CHECK(net->latent_layer >= 0, DN_E_USAGE,
             "%s: no latent space: the network has no [sampling] layer and is no autoencoder with a narrow layer",
             net->cfg->path);
    return DN_OK;
}

static dn_status job_need_latent(const dn_net *net) {
    DN_TRY(job_need_encoder(net));
    for (int i = net->latent_layer + 1; i <= net->output_layer; i++)
        DN_CHECK(net->layers[i].reads_from >= net->latent_layer, DN_E_USAGE,
                 "%s:%d: layer %d reads layer %d, which lies before the latent layer %d: latents alone cannot be decoded",
                 net->cfg->path, net->layers[i].line, i, net->layers[i].reads_from, net->latent_layer);
    return DN_OK;
}

static dn_status job_encode(dn_net *net, const float *x, size_t rows, float *mean, float *log_variance) {
    DN_TRY(job_need_encoder(net));
    DN_TRY(job_whole(net, rows));
    net = dn_net_for_job(net, rows);
    const dn_layer *l = &net->layers[net->latent_layer];
    int variational = net->latent_layer == net->sampling_layer, last = net->latent_layer - variational;
    size_t z = (size_t)l->outputs, width = variational ? 2 * z : z, step = job_step(net, rows);
    float *both = dn_alloc(step, width * sizeof *both);
    if (!both) return DN_E_MEMORY;
    dn_status status = DN_OK;
    for (size_t at = 0; at < rows && status == DN_OK; at += step) {
        size_t n = job_rows(rows, at, step);
        status = job_finite("x", x, (size_t)net->inputs, at, n);
        if (status != DN_OK) break;
        job_input(net, x + at * net->inputs, n);
        status = job_pass(net, 0, last, n, NULL);
        if (status != DN_OK) break;
        job_get(net, variational ? l->x : l->output, width, n, both);
        for (size_t r = 0; r < n; r++) {
            const float *row = both + r * width;
            if (mean) memcpy(mean + (at + r) * z, row + (width - z), z * sizeof *both);
            for (size_t k = 0; log_variance && k < z; k++)
                log_variance[(at + r) * z + k] = variational ? dn_log_variance(row[k]) : -INFINITY;
        }
    }
    net->layers[0].x = net->input;
    dn_free(both);
    return status == DN_OK ? net->ops->finish(net->pool) : status;
}

static dn_status job_decode(dn_net *net, const float *z, size_t rows, float *out) {
    DN_TRY(job_need_latent(net));
    net = dn_net_for_job(net, rows);
    return job_run(net, net->latent_layer + 1, net->output_layer, z, rows, 1, out);
}

static dn_status job_truth(const dn_net *net, const float *x, const float **truth) {
    DN_CHECK(net->truths, DN_E_USAGE, "%s: the network has no cost layer, so no loss", net->cfg->path);
    if (*truth) return DN_OK;
    DN_CHECK(
        net->truths == net->inputs, DN_E_USAGE,
        "the cost wants %d values per row, the input has %d: an autoencoder needs as many, or give a truth (-target)",
        net->truths, net->inputs);
    *truth = x;
    return DN_OK;
}

static dn_losses job_mean(double image, double latent, double weighted, double rows) {
    return (dn_losses){image / rows, latent / rows, (image + weighted) / rows, NAN, NAN, NAN};
}

/* Losses and scores of many rows, summed up pass by pass. */
typedef struct job_sums {
    double image, latent, weighted, rows;
    dn_scores scores;
} job_sums;

/* What the passes since dn_net_losses_clear have lost. */
static dn_status job_sums_read(job_sums *sums, dn_net *net, size_t rows) {
    sums->rows = (double)rows;
    return dn_net_losses(net, &sums->image, &sums->latent, &sums->weighted);
}

static dn_losses job_result(const job_sums *sums) {
    dn_losses mean = job_mean(sums->image, sums->latent, sums->weighted, sums->rows);
    dn_scores_result(&sums->scores, &mean);
    return mean;
}

/* A pass without noise over rows on the host; the first layer keeps reading them. */
static dn_status job_loss_pass(dn_net *net, const float *x, const float *truth, size_t rows) {
    const float *targets = job_input(net, x, rows);
    if (truth) targets = job_lend(net, truth, (size_t)net->truths, rows, net->truth);
    return job_pass(net, 0, net->n_layers - 1, rows, targets);
}

/* With a truth of their own, its scores too. */
static dn_status job_evaluate(dn_net *net, job_sums *sums, const float *x, const float *truth, size_t rows) {
    dn_status status = job_loss_pass(net, x, truth, rows);
    if (status == DN_OK && truth) dn_scores_add(&sums->scores, net, truth, (int)rows);
    net->layers[0].x = net->input;
    return status;
}

static dn_status job_evaluate_all(dn_net *net, const float *x, const float *truth, size_t rows, dn_losses *losses) {
    job_sums sums = {0};
    const float *targets = truth;
    DN_TRY(job_truth(net, x, &targets));
    DN_CHECK(rows > 0, DN_E_USAGE, "evaluate: no rows");
    DN_TRY(job_whole(net, rows));
    net = dn_net_for_job(net, rows);
    if (truth) DN_TRY(dn_scores_create(&sums.scores, net));
    dn_status status = DN_OK;
    dn_net_losses_clear(net);
    size_t step = job_step(net, rows);
    for (size_t at = 0; at < rows && status == DN_OK; at += step) {
        size_t n = job_rows(rows, at, step);
        status = job_check(net, "", x, truth, at, n);
        if (status == DN_OK)
            status = job_evaluate(net, &sums, x + at * net->inputs, truth ? truth + at * net->truths : NULL, n);
    }
    if (status == DN_OK) status = job_sums_read(&sums, net, rows);
    if (status == DN_OK) *losses = job_result(&sums);
    dn_scores_free(&sums.scores);
    return status;
}

/* Whose losses can be told row by row, how many there are, and the widest row that is summed up. */
static dn_status job_row_losses(const dn_net *net, int *n_losses, int *width) {
    *n_losses = 0, *width = 1;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        int latent = !strcmp(l->type->name, "sampling");
        DN_CHECK(!l->type->has_loss || l->type->row_errors, DN_E_USAGE, "%s:%d: the loss of a [%s] is not known by row",
                 net->cfg->path, l->line, l->type->name);
        *n_losses += l->type->has_loss;
        if ((l->type->has_loss || latent) && l->inputs > *width) *width = l->inputs;
    }
    return DN_OK;
}

static double row_sum(const float *row, int n) {
    double sum = 0;
    for (int k = 0; k < n; k++) sum += row[k];
    return sum;
}

static double row_kl(const float *row, int z) { /* log-variances, then means */
    double kl = 0;
    for (int k = 0; k < z; k++) kl += dn_latent_kl(row[k], row[z + k]);
    return kl;
}

/* After a pass: what its rows have lost. `host` takes the values of a layer. */
static void job_add_row_losses(dn_net *net, size_t rows, int n_losses, float *host, float *image, float *latent,
                               float *total) {
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        const float *errors = l->type->has_loss ? l->type->row_errors(l) : NULL;
        int sampling = !strcmp(l->type->name, "sampling"), n = l->inputs;
        if (!errors && !sampling) continue;
        job_get(net, errors ? errors : l->x, (size_t)n, rows, host);
        for (size_t r = 0; r < rows; r++) {
            const float *row = host + r * (size_t)n;
            double loss = errors ? row_sum(row, n) / n_losses : row_kl(row, n / 2);
            float *part = errors ? image : latent;
            if (part) part[r] += (float)loss;
            if (total) total[r] += (float)(errors ? loss : dn_sampling_beta(l) * loss);
        }
    }
}

static dn_status job_evaluate_rows(dn_net *net, const float *x, const float *truth, size_t rows, float *image,
                                   float *latent, float *total) {
    const float *targets = truth;
    float *outs[] = {image, latent, total};
    int n_losses, width;
    DN_TRY(job_truth(net, x, &targets));
    DN_TRY(job_whole(net, rows));
    DN_TRY(job_row_losses(net, &n_losses, &width));
    net = dn_net_for_job(net, rows);
    size_t step = job_step(net, rows);
    float *host = dn_alloc(step, (size_t)width * sizeof *host);
    if (!host) return DN_E_MEMORY;
    for (int k = 0; k < 3; k++)
        if (outs[k]) memset(outs[k], 0, rows * sizeof *outs[k]);
    dn_status status = DN_OK;
    dn_net_losses_clear(net);
    for (size_t at = 0; at < rows && status == DN_OK; at += step) {
        size_t n = job_rows(rows, at, step);
        status = job_check(net, "", x, truth, at, n);
        if (status == DN_OK)
            status = job_loss_pass(net, x + at * net->inputs, truth ? truth + at * net->truths : NULL, n);
        if (status == DN_OK)
            job_add_row_losses(net, n, n_losses, host, image ? image + at : NULL, latent ? latent + at : NULL,
                               total ? total + at : NULL);
    }
    net->layers[0].x = net->input;
    dn_free(host);
    return status == DN_OK ? net->ops->finish(net->pool) : status;
}

/* ---- the same for one thread at a time ---- */

dn_status dn_net_encode(dn_net *net, const float *x, size_t rows, float *mean, float *log_variance) {
    DN_EXCLUSIVE(net, job_encode(net, x, rows, mean, log_variance));
}

dn_status dn_net_decode(dn_net *net, const float *z, size_t rows, float *out) {
    DN_EXCLUSIVE(net, job_decode(net, z, rows, out));
}

dn_status dn_net_evaluate(dn_net *net, const float *x, const float *truth, size_t rows, dn_losses *losses) {
    DN_EXCLUSIVE(net, job_evaluate_all(net, x, truth, rows, losses));
}

dn_status dn_net_evaluate_rows(dn_net *net, const float *x, const float *truth, size_t rows, float *image,
                               float *latent, float *total) {
    DN_EXCLUSIVE(net, job_evaluate_rows(net, x, truth, rows, image, latent, total));
}

void dn_prior_sample(uint64_t seed, size_t rows, int latent, float *z) {
    size_t n;
    if (latent < 1 || __builtin_mul_overflow(rows, (size_t)latent, &n) || n > PTRDIFF_MAX / sizeof *z) return;
    for (size_t i = 0; i < n; i += 4) {
        float four[4];
        dn_normal4(seed, DN_STREAM_PRIOR, i / 4 >> 32, (uint32_t)(i / 4), four); /* the step goes on where blocks end */
        for (size_t k = 0; k < 4 && i + k < n; k++) z[i + k] = four[k];
    }
}

/* ---- training ---- */

enum { PREVIEW_ROWS = 10, STEPS_AHEAD = 64, PROBLEMS = 8, LINE = 700 };

struct dn_trainer {
    dn_net *net;
    const float *x, *truth; /* the caller's; truth NULL: x */
    size_t rows, at; /* at: rows done in this epoch */
    dn_train_options options;
    char *preview; /* stem */
    uint32_t *order;     /* of rows; a recurrent network's are in passes, step by step */
    uint32_t *sequences; /* the order of sequences behind it; NULL where a row is one */
    const float *data, *data_truth; /* x and truth where the backend can read them; NULL: batches are gathered and uploaded */
    const uint32_t *data_order;
    float *data_block;   /* of both; NULL when the backend reads the caller's arrays */
    uint32_t *order_block;
    float *staging;      /* a batch on the host, when the data do not fit on the device */
    float *good;         /* parameters, statistics and moments of the last good epoch, on the device */
    uint64_t good_seen, good_updates;
    float *undo;         /* sums of the losses before the step at work, on the device, so that it can be undone; */
    double *undo_host;   /* and what the host adds to them */
    void *recording;     /* of a whole step with a full batch */
    int recorded;        /* 1: recording or not, it has been tried */
    uint64_t max_batches; /* where to stop, 0: never */
    int epoch, planned, passes, finished, preview_due;
    double rate_before;  /* the network's override, to be put back */
    char problems[PROBLEMS][LINE]; /* that were told, without what differs from epoch to epoch */
    int n_problems;
    char warning[2 * LINE], told[2 * LINE]; /* to be told; being told */
    int layout; /* of the network at the start */
    double image, latent, weighted, started, epoch_started, epoch_trained;
    double *sums;   /* of the losses by layer, so far in this epoch or its evaluation */
    uint32_t *kept; /* NULL: all sequences are trained; else those, then the held-out ones, each in their order */
    /* Rows for the evaluation after every epoch: scored 0 none, 1 the trained ones, 2 held-out ones. */
    int scored, scoring;
    dn_net *scorer; /* what it runs on; its batch is the size of the staging buffer and of the scores' */
    const float *score_x, *score_truth;
    const uint32_t *score_order; /* of sequences; NULL: all of score_x */
    size_t score_rows, score_at;
    float *score_staging; /* (batch, inputs), (batch, truths) */
    job_sums score_sums;
};

static void order_shuffle(uint64_t seed, uint32_t stream, uint64_t step, size_t n, uint32_t *order) {
    for (size_t i = n - 1; i > 0; i--) { /* Fisher and Yates */
        uint32_t r[4];
        dn_philox(seed, stream, step, (uint32_t)i, r);
        size_t j = (size_t)(((uint64_t)r[0] * (i + 1)) >> 32);
        uint32_t keep = order[i];
        order[i] = order[j], order[j] = keep;
    }
}

static void trainer_shuffle(dn_trainer *t) {
    size_t steps = (size_t)dn_net_steps(t->net), n = t->rows / steps;
    uint32_t *order = t->sequences ? t->sequences : t->order;
    for (size_t i = 0; i < n; i++) order[i] = t->kept ? t->kept[i] : (uint32_t)i;
    uint64_t epoch = t->net->seen / t->rows + (t->net->seen % t->rows > 0); /* of all that were ever trained */
    if (t->options.shuffle) order_shuffle(t->net->seed, DN_STREAM_SHUFFLE, epoch, n, order);
    for (size_t at = 0; t->sequences && at < t->rows; at += (size_t)t->net->run.batch) {
        size_t pass = job_rows(t->rows, at, (size_t)t->net->run.batch);
        for (size_t i = 0; i < pass; i++)
            t->order[at + dn_net_place(t->net, pass, i)] = (uint32_t)(order[(at + i) / steps] * steps + i % steps);
    }
    if (t->order_block) t->net->ops->upload(t->net->pool, t->order_block, t->order, t->rows * sizeof *t->order);
}

/* Split the sequences, of other networks the rows: the last of a drawn order are held out. */
static dn_status trainer_hold_out(dn_trainer *t, double part) {
    DN_CHECK(part > 0 && part < 1, DN_E_USAGE, "holdout=%g is not between 0 and 1", part);
    size_t steps = (size_t)dn_net_steps(t->net), n = t->rows / steps, held = (size_t)((double)n * part + 0.5);
    DN_CHECK(held >= 1 && held < n, DN_E_USAGE, "holdout=%g of %zu %s leaves %zu to train on and %zu held out", part, n,
             steps > 1 ? "sequences" : "rows", n - held, held);
    unsigned char *out = dn_alloc(n, 1);
    t->kept = dn_alloc(n, sizeof *t->kept);
    if (!out || !t->kept) {
        dn_free(out);
        return DN_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) t->kept[i] = (uint32_t)i;
    order_shuffle(t->net->seed, DN_STREAM_HOLDOUT, 0, n, t->kept);
    for (size_t i = n - held; i < n; i++) out[t->kept[i]] = 1;
    size_t to = 0;
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < n; i++)
            if (out[i] == side) t->kept[to++] = (uint32_t)i;
    dn_free(out);
    t->rows -= held * steps;
    t->score_order = t->kept + (n - held), t->score_rows = held * steps, t->scored = 2;
    return DN_OK;
}

/* Which rows are evaluated after an epoch. */
static dn_status trainer_prepare_scores(dn_trainer *t, const dn_train_options *o) {
    dn_net *net = t->net;
    t->score_x = t->x, t->score_truth = t->truth;
    DN_CHECK(!o->holdout || !o->valid_x, DN_E_USAGE, "rows held out and rows for validation: give one of the two");
    if (o->holdout) {
        DN_TRY(trainer_hold_out(t, o->holdout));
    } else if (o->valid_x) {
        t->score_x = o->valid_x, t->score_truth = o->valid_truth, t->score_rows = o->valid_rows, t->scored = 2;
        DN_CHECK(t->score_rows > 0, DN_E_USAGE, "no rows for validation");
        DN_TRY(job_whole(net, t->score_rows));
        const float *targets = t->score_truth;
        DN_TRY(job_truth(net, t->score_x, &targets));
        DN_TRY(job_check(net, "valid ", t->score_x, t->score_truth, 0, t->score_rows));
        DN_CHECK(!t->score_truth == !t->truth, DN_E_USAGE, "training and held-out rows both have a truth, or neither");
    } else if (o->score) {
        t->score_rows = t->rows, t->scored = 1;
    }
    if (!t->scored) return DN_OK;
    t->scorer = dn_net_for_job(net, t->score_rows);
    if (t->score_truth) DN_TRY(dn_scores_create(&t->score_sums.scores, t->scorer));
    size_t values = (size_t)net->inputs + (size_t)net->truths;
    t->score_staging = dn_alloc((size_t)t->scorer->run.batch, values * sizeof(float));
    return t->score_staging ? DN_OK : DN_E_MEMORY;
}

/* The blocks that a good epoch is kept of; returns how many. */
static int trainer_blocks(const dn_net *net, float *blocks[4], size_t sizes[4]) {
    float *const all[4] = {net->values, net->statistics, net->moment1, net->moment2};
    int n = 0;
    for (int i = 0; i < 4; i++)
        if (all[i]) blocks[n] = all[i], sizes[n++] = i == 1 ? net->n_statistics : net->n_values;
    return n;
}

static void *trainer_alloc_good(const dn_net *net) {
    float *blocks[4];
    size_t sizes[4], floats = 0, bytes;
    int n = trainer_blocks(net, blocks, sizes);
    for (int i = 0; i < n; i++) floats += sizes[i];
    return dn_size_mul(&bytes, floats, sizeof(float)) == DN_OK ? net->ops->alloc(net->pool, bytes) : NULL;
}

static void trainer_copy_good(dn_trainer *t, int back) {
    dn_net *net = t->net;
    float *blocks[4], *good = t->good;
    size_t sizes[4];
    int n = trainer_blocks(net, blocks, sizes);
    for (int i = 0; i < n; good += sizes[i++])
        net->ops->copy(net->pool, sizes[i], back ? good : blocks[i], back ? blocks[i] : good);
}

static void trainer_keep(dn_trainer *t) {
    trainer_copy_good(t, 0);
    t->good_seen = t->net->seen, t->good_updates = t->net->updates;
}

/* Back to the end of the last good epoch; the next run begins the epoch after it. */
static void trainer_restore(dn_trainer *t) {
    dn_net *net = t->net;
    trainer_copy_good(t, 1);
    net->seen = t->good_seen, net->updates = t->good_updates;
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
    net->rows_since_update = 0;
    t->at = 0, t->passes = t->finished = t->scoring = 0;
    t->image = t->latent = t->weighted = 0;
}

/* Put the data where the backend can gather batches by itself; else a staging buffer. */
static dn_status trainer_place_data(dn_trainer *t) {
    dn_net *net = t->net;
    const dn_ops *ops = net->ops;
    if (!ops->separate_memory) {
        t->data = t->x, t->data_truth = t->truth, t->data_order = t->order;
        return DN_OK;
    }
    size_t rows = t->kept ? t->rows + t->score_rows : t->rows; /* the order counts held-out rows too */
    size_t x = rows * (size_t)net->inputs, truth = t->truth ? rows * (size_t)net->truths : 0, bytes; /* as they are */
    DN_TRY(dn_size_mul(&bytes, x + truth, sizeof(float)));
    t->data_block = ops->alloc(net->pool, bytes);
    t->order_block = t->data_block ? ops->alloc(net->pool, t->rows * sizeof *t->order) : NULL;
    if (t->order_block) {
        ops->upload(net->pool, t->data_block, t->x, x * sizeof(float));
        if (truth) ops->upload(net->pool, t->data_block + x, t->truth, truth * sizeof(float));
        t->data = t->data_block, t->data_truth = truth ? t->data_block + x : NULL, t->data_order = t->order_block;
        return DN_OK;
    }
    if (t->data_block) ops->free(net->pool, t->data_block);
    t->data_block = NULL;
    t->staging = dn_alloc((size_t)net->run.batch, (size_t)(net->inputs > net->truths ? net->inputs : net->truths) * sizeof(float));
    return t->staging ? DN_OK : DN_E_MEMORY;
}

static char *trainer_stem(const char *path) { /* F without its extension */
    char *stem = dn_strdup(path);
    char *dot = stem ? strrchr(stem, '.') : NULL, *slash = stem ? strrchr(stem, '/') : NULL;
    if (dot && dot != stem && (!slash || dot > slash + 1)) *dot = 0;
    return stem;
}

/* Tell of a problem, once: digits (epochs, names of temporary files) do not make it another one. */
static void __attribute__((format(printf, 2, 3))) trainer_warn(dn_trainer *t, const char *format, ...) {
    char line[LINE], *problem = t->problems[t->n_problems];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (t->n_problems == PROBLEMS) return;
    size_t n = 0, at = strlen(t->warning);
    for (const char *p = line; *p; p++)
        if (*p < '0' || *p > '9') problem[n++] = *p;
    problem[n] = 0;
    for (int i = 0; i < t->n_problems; i++)
        if (!strcmp(t->problems[i], problem)) return;
    t->n_problems++;
    snprintf(t->warning + at, sizeof t->warning - at, "%s%s", at ? "; " : "", line);
}

static dn_status preview_save(const dn_trainer *t, const char *what, const float *values, size_t rows, int columns) {
    size_t size = strlen(t->preview) + 40;
    char *path = dn_alloc(size, 1);
    if (!path) return DN_E_MEMORY;
    snprintf(path, size, "%s_%s_%d.txt", t->preview, what, t->epoch);
    dn_status status = dn_csv_save(path, values, rows, (size_t)columns);
    dn_free(path);
    return status;
}

/* A file that cannot be written, or no memory for it, is no reason to lose a training: only a warning, at the first
 * failure of an epoch's preview. */
static dn_status preview_outcome(dn_trainer *t, dn_status status, int *failed) {
    if (status != DN_E_IO && status != DN_E_MEMORY) return status;
    if (!*failed) trainer_warn(t, "the preview of epoch %d is not written: %s", t->epoch, dn_error());
    *failed = 1;
    return DN_OK;
}

static dn_status preview_write(dn_trainer *t) {
    dn_net *net = t->net;
    size_t steps = (size_t)dn_net_steps(net), some = PREVIEW_ROWS < steps ? steps : PREVIEW_ROWS / steps * steps;
    size_t rows = t->rows < some ? t->rows : some;
    float *out = dn_alloc(rows, (size_t)net->outputs * sizeof *out);
    int failed = 0;
    dn_status made = out ? dn_net_reconstruct(net, t->x, rows, out) : DN_E_MEMORY;
    dn_status status = preview_outcome(t, made, &failed);
    if (status == DN_OK) status = preview_outcome(t, preview_save(t, "input", t->x, rows, net->inputs), &failed);
    if (status == DN_OK && made == DN_OK)
        status = preview_outcome(t, preview_save(t, "output", out, rows, net->outputs), &failed);
    dn_free(out);
    return status;
}

static dn_status trainer_preview(dn_trainer *t) {
    if (t->preview && t->preview_due) DN_TRY(preview_write(t));
    t->preview_due = 0;
    return DN_OK;
}

/* Where schedule and max_batches count from. */
static dn_status trainer_place_schedule(dn_trainer *t) {
    dn_net *net = t->net;
    uint64_t n = dn_net_rows_per_update(net), max = (uint64_t)net->schedule.max_batches;
    uint64_t ever = net->seen / n + (net->seen % n > 0); /* batches */
    int open = t->options.epochs <= 0;
    if (t->options.continues) {
        DN_CHECK(!open || ever < max, DN_E_USAGE,
                 "%s: nothing is left to train: %llu rows seen are batch %llu, and max_batches=%llu ends the schedule: "
                 "give a larger max_batches, or epochs, or do not continue it",
                 net->cfg->path, (unsigned long long)net->seen, (unsigned long long)ever, (unsigned long long)max);
        dn_net_schedule_from(net, 0, ever);
    } else if (open && dn_net_batches(net) >= max) {
        dn_net_schedule_from(net, net->seen, 0);
    }
    net->rate_from = net->schedule_from;
    t->max_batches = open ? max : 0;
    return DN_OK;
}

/* Epochs that a policy leaves without a learning rate. */
static void trainer_warn_of_idle_epochs(dn_trainer *t) {
    dn_net *net = t->net;
    uint64_t end = dn_schedule_end(&net->schedule), n = dn_net_rows_per_update(net);
    if (end == UINT64_MAX || t->options.epochs <= 0) return;
    double first = (double)(t->rows < n ? t->rows : n); /* rows when an epoch's first update is made */
    double left = (double)(end - 1) * (double)n - (double)(net->seen - net->schedule_from) - first;
    double good = left < 0 ? 0 : floor(left / (double)t->rows) + 1; /* epochs that begin with a rate above 0 */
    long long max = (long long)net->schedule.max_batches;
    if (good >= t->options.epochs) return;
    if (good == 0)
        trainer_warn(t,
                     "policy=poly ended at max_batches=%lld, before this training: it does not change the weights; "
                     "give a larger max_batches",
                     max);
    else
        trainer_warn(t,
                     "policy=poly ends at max_batches=%lld, which is epoch %.0f: epochs %.0f to %d do not change the "
                     "weights; give a larger max_batches",
                     max, good, good + 1, t->options.epochs);
}

static dn_status trainer_allocate(dn_trainer *t) {
    dn_net *net = t->net;
    size_t steps = (size_t)dn_net_steps(net), sums = 2 * (size_t)net->n_layers * sizeof(double);
    t->order = dn_alloc(t->rows, sizeof *t->order);
    if (steps > 1) t->sequences = dn_alloc(t->rows / steps, sizeof *t->sequences);
    t->sums = dn_alloc(1, sums);
    t->undo_host = dn_alloc((size_t)net->n_layers, sizeof *t->undo_host);
    t->undo = net->ops->alloc(net->pool, sums);
    t->good = trainer_alloc_good(net);
    int all = t->order && (steps == 1 || t->sequences) && t->sums && t->undo_host && t->undo && t->good;
    return all ? trainer_place_data(t) : DN_E_MEMORY;
}

static dn_status trainer_prepare(dn_trainer *t, const dn_train_options *options) {
    int preview = options->preview_path && *options->preview_path;
    t->options.preview_path = NULL; /* the caller's, for this call */
    if (preview && !(t->preview = trainer_stem(options->preview_path))) return DN_E_MEMORY;
    DN_TRY(trainer_prepare_scores(t, options));
    DN_TRY(trainer_allocate(t));
    DN_TRY(dn_check_norms(t->net, t->rows));
    return trainer_place_schedule(t); /* the last: what fails leaves the network's schedule */
}

static uint64_t trainer_batches_per_epoch(const dn_trainer *t) {
    size_t passes = (t->rows + (size_t)t->net->run.batch - 1) / (size_t)t->net->run.batch;
    return (passes + (size_t)t->net->subdivisions - 1) / (size_t)t->net->subdivisions;
}

/* Batches still to be made until max_batches. */
static uint64_t trainer_batches_left(const dn_trainer *t) {
    uint64_t done = dn_net_batches(t->net);
    return t->max_batches > done ? t->max_batches - done : 0;
}

static int trainer_planned(const dn_trainer *t) {
    if (!t->max_batches) return t->options.epochs;
    uint64_t each = trainer_batches_per_epoch(t), left = trainer_batches_left(t);
    uint64_t epochs = left / each + (left % each > 0);
    return epochs < INT_MAX ? (int)epochs : INT_MAX;
}

static void trainer_begin(dn_trainer *t) {
    dn_net *net = t->net;
    if (t->options.learning_rate > 0) net->rate_override = t->options.learning_rate;
    net->rows_since_update = 0;
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
    t->preview_due = 1;
    t->planned = trainer_planned(t);
    trainer_warn_of_idle_epochs(t);
    trainer_shuffle(t);
    trainer_keep(t);
    t->started = t->epoch_started = dn_now();
}

static void trainer_free(dn_trainer *t);

static dn_status trainer_create(dn_trainer **out, dn_net *net, const float *x, const float *truth, size_t rows,
                                const dn_train_options *options) {
    const float *targets = truth;
    size_t values;
    DN_TRY(job_truth(net, x, &targets));
    DN_CHECK(rows > 0 && rows <= UINT32_MAX, DN_E_USAGE, "cannot train on %zu rows", rows);
    DN_TRY(dn_size_mul(&values, rows, (size_t)net->inputs + (size_t)net->truths));
    DN_TRY(job_whole(net, rows));
    DN_TRY(job_check(net, "", x, truth, 0, rows));
    DN_CHECK(options->epochs > 0 || net->schedule.max_batches > 0, DN_E_USAGE,
             "%s: when to stop? give epochs, or max_batches in [net]", net->cfg->path);
    DN_CHECK(options->learning_rate >= 0 && options->learning_rate <= FLT_MAX, DN_E_USAGE,
             "learning_rate=%g is not a positive float32", options->learning_rate);
    DN_TRY(dn_net_prepare_training(net));
    dn_trainer *t = dn_alloc(1, sizeof *t);
    if (!t) return DN_E_MEMORY;
    *t = (dn_trainer){.net = net, .x = x, .truth = truth, .rows = rows, .options = *options,
                      .layout = net->layout, .rate_before = net->rate_override};
    dn_status status = trainer_prepare(t, options);
    if (status != DN_OK) {
        trainer_free(t);
        return status;
    }
    trainer_begin(t);
    *out = t;
    return DN_OK;
}

dn_status dn_trainer_create(dn_trainer **out, dn_net *net, const float *x, const float *truth, size_t rows,
                            const dn_train_options *options) {
    *out = NULL;
    DN_EXCLUSIVE(net, trainer_create(out, net, x, truth, rows, options));
}

static void trainer_free(dn_trainer *t) {
    const dn_ops *ops = t->net->ops;
    if (t->recording) ops->record_free(t->net->pool, t->recording);
    void *blocks[] = {t->data_block, t->order_block, t->good, t->undo};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i]) ops->free(t->net->pool, blocks[i]);
    dn_free(t->staging);
    dn_free(t->preview);
    dn_free(t->order);
    dn_free(t->sequences);
    dn_free(t->kept);
    dn_free(t->score_staging);
    dn_free(t->sums);
    dn_free(t->undo_host);
    dn_scores_free(&t->score_sums.scores);
    dn_free(t);
}

void dn_trainer_destroy(dn_trainer *t) {
    if (!t) return;
    dn_net *net = t->net;
    dn_guard_wait(net->guard);
    net->rate_override = t->rate_before;
    trainer_free(t);
    dn_net_leave(net, DN_OK);
}

static void trainer_gather(dn_trainer *t, int rows, int cols, const float *data, const float *host, float *to) {
    dn_net *net = t->net;
    if (data) {
        net->ops->gather_rows(net->pool, net->step, (size_t)rows, (size_t)cols, data, t->data_order, to);
        return;
    }
    for (int r = 0; r < rows; r++)
        memcpy(t->staging + (size_t)r * cols, host + (size_t)t->order[t->at + (size_t)r] * cols, (size_t)cols * sizeof *to);
    net->ops->upload(net->pool, to, t->staging, (size_t)rows * cols * sizeof *to);
}

/* All work of a pass on the backend: gather, forward, backward, and the update when the batch is full. */
static dn_status trainer_pass(dn_trainer *t, int rows, int update) {
    dn_net *net = t->net;
    trainer_gather(t, rows, net->inputs, t->data, t->x, net->input);
    if (t->truth) trainer_gather(t, rows, net->truths, t->data_truth, t->truth, net->truth);
    return dn_net_train_rows(net, rows, t->truth ? net->truth : net->input, update);
}

/* Can a whole step be recorded and replayed? Only when nothing in it is decided by the host. */
static int trainer_replays(const dn_trainer *t, int rows) {
    const dn_net *net = t->net;
    if (!net->ops->record_begin || !t->data || net->subdivisions > 1 || rows != net->run.batch) return 0;
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->host_work) return 0;
    return 1;
}

static dn_status trainer_replay(dn_trainer *t, int rows) {
    dn_net *net = t->net;
    if (!t->recorded) { /* once by hand, so that libraries are warm and given noise is used up */
        DN_TRY(trainer_pass(t, rows, 1));
        t->recorded = 1;
        return DN_OK;
    }
    if (!t->recording) {
        DN_TRY(net->ops->record_begin(net->pool));
        dn_status status = trainer_pass(t, rows, 1), ended = net->ops->record_end(net->pool, &t->recording);
        if (status != DN_OK && t->recording) { /* a part of a step */
            net->ops->record_free(net->pool, t->recording);
            t->recording = NULL;
        }
        DN_TRY(status);
        DN_TRY(ended);
        net->updates--; /* recording was not doing */
    }
    net->ops->replay(net->pool, t->recording);
    net->run.rows = rows;
    net->updates++;
    return DN_OK;
}

/* The sums of losses as they are before a step, so that a watch can end it; and back. */
static void trainer_undo_sums(dn_trainer *t, int back) {
    dn_net *net = t->net;
    float *sums = (float *)net->run.sums; /* copied as floats: the same bits */
    net->ops->copy(net->pool, 4 * (size_t)net->n_layers, back ? t->undo : sums, back ? sums : t->undo);
    for (int i = 0; i < net->n_layers; i++) {
        double *cost = &net->layers[i].host_cost;
        if (back)
            *cost = t->undo_host[i];
        else
            t->undo_host[i] = *cost;
    }
}

/* One pass over the next rows, and an update when the batch is full. When it fails it has not been. */
static dn_status trainer_step(dn_trainer *t) {
    dn_net *net = t->net;
    int n = (int)job_rows(t->rows, t->at, (size_t)net->run.batch);
    uint64_t pass = net->seen;
    net->seen += (uint64_t)n;
    int update = t->passes + 1 == net->subdivisions || t->at + (size_t)n == t->rows, replays = trainer_replays(t, n);
    dn_net_set_step(net, pass, t->at, net->rows_since_update + n);
    if (!replays || !t->recording) trainer_undo_sums(t, 0);
    dn_status status = dn_net_check_rate(net);
    if (status == DN_OK && replays) status = dn_watched(); /* else between layers */
    if (status == DN_OK) status = replays ? trainer_replay(t, n) : trainer_pass(t, n, update);
    if (status != DN_OK) {
        net->seen = pass;
        if (!replays || !t->recording) trainer_undo_sums(t, 1);
        return status;
    }
    t->at += (size_t)n;
    t->passes = update ? 0 : t->passes + 1;
    if (t->max_batches && dn_net_batches(net) >= t->max_batches) t->finished = 1;
    return DN_OK;
}

static void trainer_resume_losses(dn_trainer *t, dn_net *net, size_t at) {
    if (at)
        dn_net_losses_resume(net, t->sums);
    else
        dn_net_losses_clear(net);
}

/* The loss is no number any more: why. Data far from 1 are the usual reason, and then no learning rate helps. */
static dn_status trainer_lost(const dn_trainer *t, double loss) {
    const double sane = 100;
    const char *name = isnan(loss) ? "nan" : "inf", *what = "column";
    size_t column = 0, rows = t->kept ? t->rows + t->score_rows : t->rows;
    float most = dn_reach(t->x, rows, (size_t)t->net->inputs, &column);
    if (t->truth && most <= sane) {
        what = "column of the truth";
        most = dn_reach(t->truth, rows, (size_t)t->net->truths, &column);
    }
    if (most <= sane)
        return dn_fail(DN_E_NUMERIC,
                       "the loss became %s in epoch %d: a smaller learning rate may help; the weights of epoch %d are "
                       "kept",
                       name, t->epoch + 1, t->epoch);
    return dn_fail(DN_E_NUMERIC,
                   "the loss became %s in epoch %d: %s %zu reaches %.6g: scale the data (-scale, or data_scale= in "
                   "[net]); the weights of epoch %d are kept",
                   name, t->epoch + 1, what, column + 1, most, t->epoch);
}

/* Steps until the time is up; then what the epoch has lost so far. It is added up over the whole epoch, so that its
 * last digits do not depend on when the time was up; others may have cleared the sums in between. A watch ends them
 * between layers of a forward pass. */
static dn_status trainer_steps(dn_trainer *t, double until) {
    dn_net *net = t->net;
    dn_status status;
    trainer_resume_losses(t, net, t->at);
    int steps = 0;
    dn_pool_pace(net->pool, 0);
    do {
        if ((status = trainer_step(t)) != DN_OK) break;
        dn_pool_pace(net->pool, 1);
        if (net->ops->separate_memory && ++steps % STEPS_AHEAD == 0) DN_TRY(net->ops->finish(net->pool));
    } while (t->at < t->rows && !t->finished && dn_now() < until);
    if (status != DN_OK && status != DN_E_INTERRUPTED) return status;
    DN_TRY(dn_net_losses(net, &t->image, &t->latent, &t->weighted));
    dn_net_losses_keep(net, t->sums);
    return isfinite(t->image + t->weighted) ? status : trainer_lost(t, t->image + t->weighted);
}

/* Evaluate rows until the time is up; t->scoring is 0 when all are done. */
static dn_status trainer_score(dn_trainer *t, double until) {
    dn_net *net = t->scorer;
    float *x = t->score_staging, *truth = t->score_truth ? x + (size_t)net->run.batch * net->inputs : NULL;
    job_sums *sums = &t->score_sums;
    size_t steps = (size_t)dn_net_steps(net);
    trainer_resume_losses(t, net, t->score_at);
    do {
        size_t n = job_rows(t->score_rows, t->score_at, (size_t)net->run.batch);
        for (size_t r = 0; r < n; r++) {
            size_t at = t->score_at + r, row = t->score_order ? t->score_order[at / steps] * steps + at % steps : at;
            memcpy(x + r * net->inputs, t->score_x + row * net->inputs, (size_t)net->inputs * sizeof *x);
            if (truth)
                memcpy(truth + r * net->truths, t->score_truth + row * net->truths, (size_t)net->truths * sizeof *x);
        }
        dn_status status = job_evaluate(net, sums, x, truth, n);
        if (status != DN_OK) { /* its sums have a part of a pass: begin again */
            t->score_at = 0;
            dn_scores_clear(&sums->scores);
            return status;
        }
        t->score_at += n;
    } while (t->score_at < t->score_rows && dn_now() < until);
    t->scoring = t->score_at < t->score_rows;
    DN_TRY(job_sums_read(sums, net, t->score_at));
    dn_net_losses_keep(net, t->sums);
    return DN_OK;
}

/* Epochs to come, parts of one included; done: all of the present rows are in t->epoch already. */
static double trainer_epochs_left(const dn_trainer *t, int done) {
    if (t->max_batches) return (double)trainer_batches_left(t) / (double)trainer_batches_per_epoch(t);
    return t->options.epochs - t->epoch - (done ? 0 : (double)t->at / (double)t->rows);
}

static void trainer_report(const dn_trainer *t, int done, dn_progress *p) {
    double now = dn_now(), rows = t->at ? (double)t->at : 1;
    dn_losses mean = job_mean(t->image, t->latent, t->weighted, rows);
    *p = (dn_progress){.epoch = t->epoch,
                       .epochs = t->planned,
                       .variational = t->net->sampling_layer >= 0,
                       .supervised = t->truth && t->net->sampling_layer < 0,
                       .epoch_done = done,
                       .finished = t->finished && !t->scoring,
                       .rows_done = t->at,
                       .rows_total = t->rows,
                       .image_loss = mean.image_loss,
                       .latent_loss = mean.latent_loss,
                       .total_loss = mean.total_loss,
                       .seconds = now - t->started,
                       .learning_rate = dn_net_rate(t->net)};
    double spent = t->epoch_trained - t->epoch_started, left = p->finished ? 0 : trainer_epochs_left(t, done);
    p->rows_per_second = spent > 0 ? (double)t->at / spent : 0;
    if (p->rows_per_second > 0 && left > 0) p->eta_seconds = left * (double)t->rows / p->rows_per_second;
}

/* Train, evaluate; *done: an epoch is complete. */
static dn_status trainer_work(dn_trainer *t, double until, int *done) {
    *done = 0;
    DN_CHECK(t->layout == t->net->layout, DN_E_USAGE, "the network was resized while it was training");
    DN_TRY(trainer_preview(t));
    if (!t->finished && !t->scoring) {
        if (t->at == 0) t->epoch_started = dn_now();
        dn_status status = trainer_steps(t, until);
        t->epoch_trained = dn_now();
        if (status != DN_OK && status != DN_E_INTERRUPTED) trainer_restore(t);
        DN_TRY(status);
        if (t->at == t->rows && t->options.epochs > 0 && t->epoch + 1 >= t->options.epochs) t->finished = 1;
        t->scoring = t->scored && (t->at == t->rows || t->finished);
        t->score_at = 0;
        dn_scores_clear(&t->score_sums.scores);
        if (t->at == t->rows || t->finished) trainer_keep(t);
    }
    if (t->scoring) DN_TRY(trainer_score(t, until));
    *done = t->at > 0 && !t->scoring && (t->at == t->rows || t->finished);
    return DN_OK;
}

static dn_status trainer_run(dn_trainer *t, double until, dn_progress *p) {
    int done;
    dn_status status = trainer_work(t, until, &done);
    t->epoch += done;
    trainer_report(t, done, p);
    if (done) {
        if ((p->scored = t->scored)) p->scores = job_result(&t->score_sums);
        t->at = 0, t->image = t->latent = t->weighted = 0;
        trainer_shuffle(t);
        t->preview_due = 1;
        status = trainer_preview(t);
    }
    memcpy(t->told, t->warning, sizeof t->told);
    p->warning = *t->told ? t->told : NULL;
    *t->warning = 0;
    return status;
}

dn_status dn_trainer_run(dn_trainer *t, int max_ms, dn_progress *progress) {
    double until = dn_now() + max_ms * 1e-3;
    DN_EXCLUSIVE(t->net, trainer_run(t, until, progress));
}

static void line_duration(double seconds, char *text, size_t size) {
    double whole = floor(seconds + 0.5), minutes = floor(seconds / 60 + 0.5); /* 119.7 s are not one minute and 60 s */
    if (seconds < 90)
        snprintf(text, size, "%.1fs", seconds);
    else if (seconds < 5400)
        snprintf(text, size, "%.0fm%02.0fs", floor(whole / 60), fmod(whole, 60));
    else
        snprintf(text, size, "%.0fh%02.0fm", floor(minutes / 60), fmod(minutes, 60));
}

static size_t line_add(char *line, size_t size, size_t at, const char *name, double value) {
    int n = at < size ? snprintf(line + at, size - at, "%s%s %.5g", at ? "  " : "", name, value) : 0;
    return n > 0 ? at + (size_t)n : at;
}

int dn_progress_item(const dn_progress *p, int index, const char **name, double *value) {
    static const char *const held_out[] = {"valid_loss", "valid_accuracy", "valid_mse", "valid_r2"};
    dn_losses trained = {p->image_loss, p->latent_loss, p->total_loss, NAN, NAN, NAN};
    int plain = !p->variational; /* then the three losses are one */
    if (p->scored == 1) trained.accuracy = p->scores.accuracy, trained.mse = p->scores.mse, trained.r2 = p->scores.r2;
    int n = 0;
    while (dn_losses_item(&trained, p->supervised, n, name, value)) n++;
    if (index < n) return dn_losses_item(&trained, p->supervised, index, name, value);
    const double scores[] = {plain ? p->scores.image_loss : p->scores.total_loss, p->scores.accuracy, p->scores.mse,
                             p->scores.r2};
    for (int i = 0; p->scored == 2 && i < 4; i++)
        if (!isnan(scores[i]) && index-- == n) {
            *name = held_out[i], *value = scores[i];
            return 1;
        }
    return 0;
}

void dn_progress_line(const dn_progress *p, char *line, size_t size) {
    char time[32], losses[192], part[32] = "";
    int shown = p->epoch_done ? p->epoch : p->epoch + 1;
    size_t at = 0;
    const char *name;
    double value;
    for (int i = 0; dn_progress_item(p, i, &name, &value); i++) {
        int three = !p->supervised && i < 3; /* without a latent loss they are one */
        if (three && !p->variational && i != 2) continue;
        at = line_add(losses, sizeof losses, at, three && !p->variational ? "loss" : name, value);
    }
    if (!p->epoch_done && p->rows_total)
        snprintf(part, sizeof part, " %3.0f%%", 100.0 * (double)p->rows_done / (double)p->rows_total);
    line_duration(p->finished ? p->seconds : p->eta_seconds, time, sizeof time);
    snprintf(line, size, "epoch %d/%d%s  %s  %.0f rows/s  %s %s", shown, p->epochs, part, losses, p->rows_per_second,
             p->finished ? "took" : "eta", time);
}

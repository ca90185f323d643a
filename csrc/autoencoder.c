/* The jobs: train, predict, encode, decode, evaluate. The binary and the Python package both call these. */
#include "check.h"
#include "latent.h"
#include "supervised.h"
#include "sys.h"
#include <math.h>
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
    return job_predict(net, x, rows, 0, out);
}

dn_status dn_net_reconstruct(dn_net *net, const float *x, size_t rows, float *out) {
    return job_predict(net, x, rows, 1, out);
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

dn_status dn_net_encode(dn_net *net, const float *x, size_t rows, float *mean, float *log_variance) {
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

dn_status dn_net_decode(dn_net *net, const float *z, size_t rows, float *out) {
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

dn_status dn_net_evaluate(dn_net *net, const float *x, const float *truth, size_t rows, dn_losses *losses) {
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

dn_status dn_net_evaluate_rows(dn_net *net, const float *x, const float *truth, size_t rows, float *image,
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

void dn_prior_sample(uint64_t seed, size_t rows, int latent, float *z) {
    size_t n = rows * (size_t)latent;
    for (size_t i = 0; i < n; i += 4) {
        float four[4];
        dn_normal4(seed, DN_STREAM_PRIOR, 0, (uint32_t)(i / 4), four);
        for (size_t k = 0; k < 4 && i + k < n; k++) z[i + k] = four[k];
    }
}

/* ---- training ---- */

enum { PREVIEW_ROWS = 10, STEPS_AHEAD = 64 };

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
    float *good;         /* parameters and statistics of the last good epoch, on the device */
    void *recording;     /* of a whole step with a full batch */
    int recorded;        /* 1: recording or not, it has been tried */
    uint64_t first_batch, batches, max_batches; /* updates done; where to stop, 0: never */
    int epoch, passes, finished, previewed;
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
    if (t->options.shuffle) order_shuffle(t->net->seed, DN_STREAM_SHUFFLE, (uint64_t)t->epoch, n, order);
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

static void trainer_keep(dn_trainer *t) {
    dn_net *net = t->net;
    net->ops->copy(net->pool, net->n_values, net->values, t->good);
    net->ops->copy(net->pool, net->n_statistics, net->statistics, t->good + net->n_values);
}

static void trainer_restore(dn_trainer *t) {
    dn_net *net = t->net;
    net->ops->copy(net->pool, net->n_values, t->good, net->values);
    net->ops->copy(net->pool, net->n_statistics, t->good + net->n_values, net->statistics);
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
    size_t x = rows * (size_t)net->inputs, truth = t->truth ? rows * (size_t)net->truths : 0;
    t->data_block = ops->alloc(net->pool, (x + truth) * sizeof(float));
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

static dn_status trainer_preview(dn_trainer *t) {
    if (!t->preview) return DN_OK;
    dn_net *net = t->net;
    size_t steps = (size_t)dn_net_steps(net), some = PREVIEW_ROWS < steps ? steps : PREVIEW_ROWS / steps * steps;
    size_t rows = t->rows < some ? t->rows : some;
    float *out = dn_alloc(rows, (size_t)net->outputs * sizeof *out);
    char *path = dn_alloc(strlen(t->preview) + 40, 1);
    dn_status status = out && path ? dn_net_reconstruct(net, t->x, rows, out) : DN_E_MEMORY;
    if (status == DN_OK) {
        sprintf(path, "%s_input_%d.txt", t->preview, t->epoch);
        status = dn_csv_save(path, t->x, rows, (size_t)net->inputs);
    }
    if (status == DN_OK) {
        sprintf(path, "%s_output_%d.txt", t->preview, t->epoch);
        status = dn_csv_save(path, out, rows, (size_t)net->outputs);
    }
    dn_free(out);
    dn_free(path);
    return status;
}

dn_status dn_trainer_create(dn_trainer **out, dn_net *net, const float *x, const float *truth, size_t rows,
                            const dn_train_options *options) {
    *out = NULL;
    const float *targets = truth;
    DN_TRY(job_truth(net, x, &targets));
    DN_CHECK(rows > 0 && rows <= UINT32_MAX, DN_E_USAGE, "cannot train on %zu rows", rows);
    DN_TRY(job_whole(net, rows));
    DN_TRY(job_check(net, "", x, truth, 0, rows));
    DN_CHECK(options->epochs > 0 || net->schedule.max_batches > 0, DN_E_USAGE,
             "%s: when to stop? give epochs, or max_batches in [net]", net->cfg->path);
    DN_TRY(dn_net_prepare_training(net));
    dn_trainer *t = dn_alloc(1, sizeof *t);
    if (!t) return DN_E_MEMORY;
    *t = (dn_trainer){.net = net, .x = x, .truth = truth, .rows = rows, .options = *options, .layout = net->layout};
    int preview = options->preview_path && *options->preview_path;
    if (preview) t->preview = trainer_stem(options->preview_path);
    t->options.preview_path = NULL;
    dn_status status = trainer_prepare_scores(t, options);
    if (status == DN_OK) status = dn_check_norms(net, t->rows);
    t->order = dn_alloc(t->rows, sizeof *t->order);
    int steps = dn_net_steps(net);
    if (steps > 1) t->sequences = dn_alloc(t->rows / (size_t)steps, sizeof *t->sequences);
    t->sums = dn_alloc(2 * (size_t)net->n_layers, sizeof *t->sums);
    t->good = net->ops->alloc(net->pool, (net->n_values + net->n_statistics) * sizeof *t->good);
    if (status == DN_OK)
        status = t->order && (steps == 1 || t->sequences) && t->good && t->sums && !(preview && !t->preview)
                     ? trainer_place_data(t)
                     : DN_E_MEMORY;
    if (status != DN_OK) {
        dn_trainer_destroy(t);
        return status;
    }
    net->rate_override = options->learning_rate;
    net->rows_since_update = 0;
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
    t->first_batch = dn_net_batch_number(net);
    t->max_batches = options->epochs > 0 ? 0 : (uint64_t)net->schedule.max_batches;
    trainer_shuffle(t);
    trainer_keep(t);
    t->started = t->epoch_started = dn_now();
    if (t->max_batches && t->first_batch >= t->max_batches) t->finished = 1;
    *out = t;
    return DN_OK;
}

void dn_trainer_destroy(dn_trainer *t) {
    if (!t) return;
    const dn_ops *ops = t->net->ops;
    if (t->recording) ops->record_free(t->net->pool, t->recording);
    void *blocks[] = {t->data_block, t->order_block, t->good};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i]) ops->free(t->net->pool, blocks[i]);
    dn_free(t->staging);
    dn_free(t->preview);
    dn_free(t->order);
    dn_free(t->sequences);
    dn_free(t->kept);
    dn_free(t->score_staging);
    dn_free(t->sums);
    dn_scores_free(&t->score_sums.scores);
    dn_free(t);
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
        t->recorded = 1;
        return trainer_pass(t, rows, 1);
    }
    if (!t->recording) {
        DN_TRY(net->ops->record_begin(net->pool));
        dn_status status = trainer_pass(t, rows, 1), ended = net->ops->record_end(net->pool, &t->recording);
        DN_TRY(status);
        DN_TRY(ended);
        net->updates--; /* recording was not doing */
    }
    net->ops->replay(net->pool, t->recording);
    net->run.rows = rows;
    net->updates++;
    return DN_OK;
}

/* One pass over the next rows, and an update when the batch is full. */
static dn_status trainer_step(dn_trainer *t) {
    dn_net *net = t->net;
    int n = (int)job_rows(t->rows, t->at, (size_t)net->run.batch);
    uint64_t pass = net->seen;
    net->seen += (uint64_t)n;
    int update = t->passes + 1 == net->subdivisions || t->at + (size_t)n == t->rows;
    dn_net_set_step(net, pass, t->at, net->rows_since_update + n);
    DN_TRY(trainer_replays(t, n) ? trainer_replay(t, n) : trainer_pass(t, n, update));
    t->at += (size_t)n;
    t->passes = update ? 0 : t->passes + 1;
    t->batches += (uint64_t)update;
    if (t->max_batches && t->first_batch + t->batches >= t->max_batches) t->finished = 1;
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
 * last digits do not depend on when the time was up; others may have cleared the sums in between. */
static dn_status trainer_steps(dn_trainer *t, double until) {
    dn_net *net = t->net;
    trainer_resume_losses(t, net, t->at);
    int steps = 0;
    dn_pool_pace(net->pool, 0);
    do {
        DN_TRY(trainer_step(t));
        dn_pool_pace(net->pool, 1);
        if (net->ops->separate_memory && ++steps % STEPS_AHEAD == 0) DN_TRY(net->ops->finish(net->pool));
    } while (t->at < t->rows && !t->finished && dn_now() < until);
    DN_TRY(dn_net_losses(net, &t->image, &t->latent, &t->weighted));
    dn_net_losses_keep(net, t->sums);
    if (!isfinite(t->image + t->weighted)) {
        trainer_restore(t);
        return trainer_lost(t, t->image + t->weighted);
    }
    return DN_OK;
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
        DN_TRY(job_evaluate(net, sums, x, truth, n));
        t->score_at += n;
    } while (t->score_at < t->score_rows && dn_now() < until);
    t->scoring = t->score_at < t->score_rows;
    DN_TRY(job_sums_read(sums, net, t->score_at));
    dn_net_losses_keep(net, t->sums);
    return DN_OK;
}

static void trainer_report(const dn_trainer *t, dn_progress *p) {
    double now = dn_now(), rows = t->at ? (double)t->at : 1;
    dn_losses mean = job_mean(t->image, t->latent, t->weighted, rows);
    *p = (dn_progress){.epoch = t->epoch,
                       .epochs = t->options.epochs,
                       .variational = t->net->sampling_layer >= 0,
                       .supervised = t->truth && t->net->sampling_layer < 0,
                       .finished = t->finished && !t->scoring,
                       .rows_done = t->at,
                       .rows_total = t->rows,
                       .image_loss = mean.image_loss,
                       .latent_loss = mean.latent_loss,
                       .total_loss = mean.total_loss,
                       .seconds = now - t->started,
                       .learning_rate = dn_net_rate(t->net)};
    double spent = t->epoch_trained - t->epoch_started;
    p->rows_per_second = spent > 0 ? (double)t->at / spent : 0;
    size_t steps_per_epoch = (t->rows + (size_t)t->net->run.batch - 1) / (size_t)t->net->run.batch;
    uint64_t batches_per_epoch = (steps_per_epoch + (size_t)t->net->subdivisions - 1) / (size_t)t->net->subdivisions;
    if (!p->epochs && t->max_batches > t->first_batch)
        p->epochs = (int)((t->max_batches - t->first_batch + batches_per_epoch - 1) / batches_per_epoch);
    double epochs_left = p->epochs - t->epoch - rows / (double)t->rows;
    if (p->rows_per_second > 0 && epochs_left > 0) p->eta_seconds = epochs_left * (double)t->rows / p->rows_per_second;
}

dn_status dn_trainer_run(dn_trainer *t, int max_ms, dn_progress *progress) {
    double until = dn_now() + max_ms * 1e-3;
    DN_CHECK(t->layout == t->net->layout, DN_E_USAGE, "the network was resized while it was training");
    if (!t->previewed) {
        t->previewed = 1;
        DN_TRY(trainer_preview(t));
    }
    if (!t->finished && !t->scoring) {
        if (t->at == 0) t->epoch_started = dn_now();
        DN_TRY(trainer_steps(t, until));
        t->epoch_trained = dn_now();
        if (t->at == t->rows && t->options.epochs > 0 && t->epoch + 1 >= t->options.epochs) t->finished = 1;
        t->scoring = t->scored && (t->at == t->rows || t->finished);
        t->score_at = 0;
        dn_scores_clear(&t->score_sums.scores);
        if (t->at == t->rows || t->finished) trainer_keep(t);
    }
    if (t->scoring) DN_TRY(trainer_score(t, until));
    int done = t->at > 0 && !t->scoring && (t->at == t->rows || t->finished);
    t->epoch += done;
    trainer_report(t, progress);
    progress->epoch_done = done;
    if (!done) return DN_OK;
    if ((progress->scored = t->scored)) progress->scores = job_result(&t->score_sums);
    t->at = 0, t->image = t->latent = t->weighted = 0;
    trainer_shuffle(t);
    return trainer_preview(t);
}

static void line_duration(double seconds, char *text, size_t size) {
    if (seconds < 90)
        snprintf(text, size, "%.1fs", seconds);
    else if (seconds < 5400)
        snprintf(text, size, "%.0fm%02.0fs", floor(seconds / 60), fmod(seconds, 60));
    else
        snprintf(text, size, "%.0fh%02.0fm", floor(seconds / 3600), fmod(seconds, 3600) / 60);
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

/* Many rows, pass by pass, without noise: outputs, losses, losses by row.
 *
 * Jobs of more rows than the batch run on the network's inference plan (plan.c). Where the backend computes in the
 * host's memory, layers read the caller's rows and write the caller's result directly. A recurrent network takes a
 * table as sequences of time_steps rows. A pass takes several of them side by side, step by step (dn_net_place), so
 * its rows are copied; each sequence begins without state and leaves none behind. */
#include "jobs/jobs.h"
#include "base/report.h"
#include "base/sys.h"
#include "net/check.h"
#include "net/coded.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static dn_status job_whole(const dn_net *net, size_t rows, const char *path) {
    size_t steps = (size_t)dn_net_steps(net);
    DN_CHECK(rows % steps == 0, DN_E_USAGE,
             "%s: %zu rows are not whole sequences of time_steps=%zu rows: %zu are left over, %zu more would fill one",
             path, rows, steps, rows % steps, steps - rows % steps);
    return DN_OK;
}

dn_status dn_job_whole(const dn_net *net, size_t rows) { return job_whole(net, rows, net->cfg->path); }

size_t dn_job_step(const dn_plan *plan, size_t rows) {
    const dn_net *net = plan->net;
    size_t batch = (size_t)plan->run.batch, passes = (rows + batch - 1) / batch;
    if (net->recurrent || !passes) return batch; /* whole sequences only */
    return (rows + passes - 1) / passes;
}

size_t dn_job_rows(size_t rows, size_t at, size_t step) { return rows - at < step ? rows - at : step; }

/* Values per row of x when a job begins at this layer. */
static size_t job_columns(const dn_net *net, int first) {
    return (size_t)(first ? net->layers[first - 1].outputs : net->inputs);
}

dn_rows dn_job_slice(const dn_net *net, int first, const dn_rows *rows, size_t at, size_t step) {
    dn_rows part = *rows;
    part.n = dn_job_rows(rows->n, at, step);
    if (part.condition) part.condition += at * (size_t)net->inputs;
    for (int k = 0; k < DN_COLUMNS; k++) {
        const float **values = dn_rows_column(&part, k);
        if (*values) *values += at * (k == DN_COLUMN_X ? job_columns(net, first) : dn_net_width(net, k));
    }
    return part;
}

static int job_interleaves(const dn_net *net, size_t rows) {
    return dn_net_steps(net) > 1 && rows > (size_t)dn_net_steps(net);
}

void dn_job_put(dn_net *net, const float *from, size_t width, size_t rows, float *to) {
    if (!job_interleaves(net, rows)) {
        net->ops->upload(net->pool, to, from, rows * width * sizeof *to);
        return;
    }
    for (size_t i = 0; i < rows; i++)
        net->ops->upload(net->pool, to + dn_net_place(net, rows, i) * width, from + i * width, width * sizeof *to);
}

void dn_job_get(dn_net *net, const float *from, size_t width, size_t rows, float *to) {
    if (!job_interleaves(net, rows)) {
        net->ops->download(net->pool, to, from, rows * width * sizeof *to);
        return;
    }
    for (size_t i = 0; i < rows; i++)
        net->ops->download(net->pool, to + i * width, from + dn_net_place(net, rows, i) * width, width * sizeof *to);
}

/* Can layers work directly in the caller's arrays? */
static int job_in_place(const dn_net *net) { return !net->ops->separate_memory && dn_net_steps(net) == 1; }

dn_rows dn_job_place(dn_plan *plan, const dn_rows *rows) {
    dn_rows placed = *rows;
    for (int k = 0; k < DN_COLUMNS && !job_in_place(plan->net); k++) {
        const float **values = dn_rows_column(&placed, k);
        if (!*values) continue;
        dn_job_put(plan->net, *values, dn_net_width(plan->net, k), rows->n, dn_plan_column(plan, k));
        *values = dn_plan_column(plan, k);
    }
    return placed;
}

dn_rows dn_job_place_losses(dn_plan *plan, const dn_rows *rows, size_t at) {
    const dn_net *net = plan->net;
    const dn_ops *ops = net->ops;
    size_t cols = (size_t)net->inputs;
    dn_rows placed = dn_job_place(plan, rows);
    if (net->bits) {
        dn_step step = {.seed = net->state.seed, .at = at};
        if (placed.x != plan->input) ops->copy(net->pool, rows->n * cols, placed.x, plan->input);
        ops->set_step(net->pool, plan->step, &step);
        ops->bernoulli(net->pool, plan->step, DN_STREAM_ROW_BITS, rows->n, cols, 1, NULL, plan->input);
        placed.x = plan->input;
    }
    if (!placed.truth) placed.truth = placed.x;
    return placed;
}

dn_status dn_job_finite(const dn_net *net, int first, const dn_rows *rows, size_t at) {
    dn_part_of part = {first ? "z" : "x", rows->x, rows->n, job_columns(net, first), at};
    return first ? dn_check_finite(net->pool, &part) : dn_check_input(net, &part);
}

dn_status dn_job_check(const dn_net *net, const char *prefix, const dn_rows *rows, size_t at) {
    char name[32];
    snprintf(name, sizeof name, "%sx", prefix);
    dn_part_of part = {name, rows->x, rows->n, (size_t)net->inputs, at};
    DN_TRY(dn_check_input(net, &part));
    if (net->bits) DN_TRY(dn_check_probabilities(net, &part));
    snprintf(name, sizeof name, "%sweights", prefix);
    if (rows->weights) DN_TRY(dn_check_weights(net, &(dn_part_of){name, rows->weights, rows->n, 1, at}));
    snprintf(name, sizeof name, "%sx", prefix);
    if (!rows->truth) return dn_check_truth(net, &part, 1);
    snprintf(name, sizeof name, "%struth", prefix);
    return dn_check_truth(net, &(dn_part_of){name, rows->truth, rows->n, (size_t)net->truths, at}, 1);
}

static dn_status job_check_rows(const dn_net *net, const dn_rows *rows, const char *path) {
    DN_TRY(job_whole(net, rows->n, path));
    DN_TRY(dn_job_need_truth(net, rows));
    dn_status status = dn_job_check(net, "", rows, 0);
    return status == DN_OK ? DN_OK : dn_fail_prefix(status, "%s: ", path);
}

dn_status dn_net_check_rows(const dn_net *net, const dn_rows *rows, const char *path) {
    DN_EXCLUSIVE(net, job_check_rows(net, rows, path));
}

dn_status dn_job_pass(dn_plan *plan, const dn_pass *pass) {
    dn_plan_reset(plan);
    dn_net_use_results(plan->net, 1);
    dn_status status = dn_plan_forward(plan, pass);
    dn_net_use_results(plan->net, 0);
    dn_plan_reset(plan);
    return status;
}

/* Before a pass that begins after the latent layer: what [condition] layers read, and where means find what they give.
 */
static dn_status job_condition(dn_plan *plan, const dn_rows *part, size_t at, dn_rows *placed) {
    const dn_net *net = plan->net;
    placed->condition = NULL;
    if (!net->columns || !net->columns->n_given) return DN_OK;
    DN_CHECK(part->condition, DN_E_USAGE,
             "%s: latents alone cannot be decoded: the network has a [condition] and needs rows with its columns",
             net->cfg->path);
    DN_TRY(dn_check_condition(net, &(dn_part_of){"condition", part->condition, part->n, (size_t)net->inputs, at}));
    dn_rows rows = dn_job_place(plan, &(dn_rows){.n = part->n, .x = part->condition});
    placed->condition = rows.x;
    return dn_job_pass(plan, &(dn_pass){.rows = rows});
}

/* Run all rows through layers first to last: x is the network's input, or the output of the layer before `first`. The
 * last layer's output goes to `out`; `data`: converted to data. */
dn_status dn_job_run(dn_plan *plan, int first, int last, const dn_rows *rows, int data, float *out) {
    dn_net *net = plan->net;
    const dn_ops *ops = net->ops;
    const dn_layer *to = &plan->layers[last], *before = first ? &plan->layers[first - 1] : NULL;
    size_t step = dn_job_step(plan, rows->n), outputs = (size_t)(data ? net->data_columns : to->outputs);
    int converts = net->likelihood >= 0 && net->layers[net->likelihood].term.in_place;
    int in_place = job_in_place(net) && outputs == (size_t)to->outputs; /* data may still be written elsewhere */
    dn_status status = dn_job_whole(net, rows->n);
    dn_memory_expect(out, rows->n * outputs * sizeof *out);
    for (size_t at = 0; at < rows->n && status == DN_OK; at += step) {
        dn_rows part = dn_job_slice(net, first, rows, at, step);
        status = dn_job_finite(net, first, &part, at);
        if (status != DN_OK) break;
        if (before) dn_job_put(net, part.x, (size_t)before->outputs, part.n, before->output);
        if (before) part.x = NULL;
        part.truth = part.weights = NULL;
        dn_pass pass = {.first = first, .last = last, .rows = dn_job_place(plan, &part)};
        if (first) status = job_condition(plan, &part, at, &pass.rows);
        if (status != DN_OK) break;
        if (in_place) pass.y = out + at * outputs;
        status = dn_job_pass(plan, &pass);
        if (status != DN_OK) break;
        const float *y = dn_layer_y(to, &plan->run);
        if (data) y = dn_plan_data(plan, part.n, y, converts ? dn_layer_y(to, &plan->run) : plan->truth);
        if (y != out + at * outputs) dn_job_get(net, y, outputs, part.n, out + at * outputs);
    }
    return status == DN_OK ? ops->finish(net->pool) : status;
}

dn_status dn_job_predict(dn_net *net, const dn_rows *rows, int data, float *out) {
    return dn_job_run(dn_net_inference_plan(net, rows->n), 0, net->output_layer, rows, data, out);
}

dn_status dn_net_predict(dn_net *net, const dn_rows *rows, float *out) {
    DN_EXCLUSIVE(net, dn_job_predict(net, rows, 0, out));
}

/* ---- losses ---- */

dn_status dn_job_draws(const dn_evaluate_options **options) {
    static const dn_evaluate_options usual;
    if (!*options) *options = &usual;
    const dn_evaluate_options *o = *options;
    DN_CHECK(o->samples >= 0 && o->k >= 0, DN_E_USAGE, "%d draws of each row: it takes at least one",
             o->samples < 0 ? o->samples : o->k);
    return DN_OK;
}

dn_status dn_job_need_truth(const dn_net *net, const dn_rows *rows) {
    DN_CHECK(net->truths, DN_E_USAGE, "%s: the network has no cost layer, so no loss", net->cfg->path);
    DN_CHECK(
        rows->truth || net->truths == net->inputs, DN_E_USAGE,
        "the cost wants %d values per row, the input has %d: an autoencoder needs as many%s, or give a truth (-target)",
        net->truths, net->inputs,
        net->truths * 2 == net->inputs ? " (sigma=value and dispersion=value take two outputs for each)" : "");
    return DN_OK;
}

double dn_job_count(const dn_rows *rows) {
    double sum = 0;
    for (size_t r = 0; rows->weights && r < rows->n; r++) sum += rows->weights[r];
    return rows->weights ? sum : (double)rows->n;
}

void dn_job_sums_clear(dn_job_sums *sums) {
    sums->count = 0;
    dn_scores_clear(&sums->scores);
}

/* Reads the losses of the passes since dn_plan_losses_clear. */
dn_status dn_job_sums_read(dn_job_sums *sums, dn_plan *plan) { return dn_plan_losses(plan, &sums->losses); }

void dn_job_report(const dn_job_sums *sums, dn_report *report) {
    *report = sums->losses;
    dn_report_mean(report, sums->count);
    dn_scores_report(&sums->scores, report);
}

/* A pass without noise over rows on the host. */
static dn_status job_loss_pass(dn_plan *plan, const dn_rows *rows, size_t at) {
    dn_pass pass = {.last = plan->n_layers - 1, .rows = dn_job_place_losses(plan, rows, at)};
    return dn_job_pass(plan, &pass);
}

/* Adds scores if the truth is separate. */
dn_status dn_job_evaluate(dn_plan *plan, dn_job_sums *sums, const dn_rows *rows, size_t at) {
    DN_TRY(job_loss_pass(plan, rows, at));
    sums->count += dn_job_count(rows);
    if (rows->truth) dn_scores_add(&sums->scores, plan, rows);
    return DN_OK;
}

/* The rows were finite, so either their magnitude or the parameters are to blame. */
static dn_status job_not_finite(const dn_net *net, const dn_rows *rows, const char *what) {
    size_t column = 0;
    if (dn_net_finite(net) == DN_E_NUMERIC) return dn_fail_prefix(DN_E_NUMERIC, "%s is not finite: ", what);
    float most = dn_reach(rows->x, rows->n, (size_t)net->inputs, &column);
    return dn_fail(DN_E_NUMERIC,
                   "%s is beyond what a float32 holds: column %zu reaches %.6g; scale the data as in training "
                   "(-scale, or data_scale= in [net])",
                   what, column + 1, most);
}

dn_status dn_job_not_finite(const dn_net *net, const dn_rows *row, const char *what, size_t at) {
    char text[64];
    snprintf(text, sizeof text, "%s of row %zu", what, at + 1);
    return job_not_finite(net, row, text);
}

dn_status dn_job_evaluate_all(dn_net *net, const dn_rows *rows, dn_report *report, const dn_job_observer *observer) {
    dn_job_sums sums = {0};
    DN_TRY(dn_job_need_truth(net, rows));
    DN_CHECK(rows->n > 0, DN_E_USAGE, "evaluate: no rows");
    DN_CHECK(dn_job_count(rows) != 0, DN_E_USAGE, "evaluate: the weights of all %zu rows are 0", rows->n);
    DN_TRY(dn_job_whole(net, rows->n));
    dn_plan *plan = dn_net_inference_plan(net, rows->n);
    if (rows->truth) DN_TRY(dn_scores_create(&sums.scores, plan));
    dn_status status = DN_OK;
    dn_plan_losses_clear(plan);
    size_t step = dn_job_step(plan, rows->n);
    for (size_t at = 0; at < rows->n && status == DN_OK; at += step) {
        dn_rows part = dn_job_slice(net, 0, rows, at, step);
        status = dn_job_check(net, "", &part, at);
        if (status == DN_OK) status = dn_job_evaluate(plan, &sums, &part, at);
        if (status == DN_OK && observer) status = observer->see(observer->context, plan, &part);
    }
    if (status == DN_OK) status = dn_job_sums_read(&sums, plan);
    if (status == DN_OK) dn_job_report(&sums, report), report->supervised = dn_net_supervised(net, rows->truth != NULL);
    dn_scores_free(&sums.scores);
    if (status == DN_OK && !isfinite(dn_report_get(report, DN_TOTAL_LOSS)))
        return job_not_finite(net, rows, "the loss");
    return status;
}

/* DN_E_USAGE unless every loss can be computed row by row. */
static dn_status job_need_row_losses(const dn_net *net) {
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        DN_CHECK(!l->term.type || l->term.type->rows, DN_E_USAGE, "%s:%d: the loss of a [%s] is not known by row",
                 net->cfg->path, l->line, l->type->name);
    }
    return DN_OK;
}

/* After a pass: add the losses of its rows. They come to the host, into `loss`, through the buffer of the truth, which
 * the pass no longer needs. */
static void job_add_row_losses(dn_plan *plan, size_t rows, float *loss, float *image, float *latent, float *total) {
    dn_net *net = plan->net;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &plan->layers[i];
        const dn_term *term = &l->term;
        if (!term->type) continue;
        term->type->rows(l, &plan->run, plan->truth);
        dn_job_get(net, plan->truth, 1, rows, loss);
        float *part = !strcmp(term->type->name, DN_IMAGE_LOSS)    ? image
                      : !strcmp(term->type->name, DN_LATENT_LOSS) ? latent
                                                                  : NULL;
        for (size_t r = 0; r < rows; r++) {
            double reported = term->share * loss[r];
            if (part) part[r] += (float)reported;
            if (total) total[r] += (float)(term->weight * dn_term_cost(term, reported));
        }
    }
}

/* What is known once all rows are done: columns below their limit cost every row alike. */
static void job_add_floors(const dn_plan *plan, size_t rows, float *total) {
    double floors = 0;
    for (int i = 0; i < plan->n_layers; i++) floors += plan->layers[i].term.weight * plan->layers[i].term.floor;
    for (size_t r = 0; floors > 0 && r < rows; r++) total[r] += (float)floors;
}

dn_status dn_job_evaluate_rows(dn_net *net, const dn_rows *rows, float *image, float *latent, float *total) {
    float *outs[] = {image, latent, total};
    DN_TRY(dn_job_need_truth(net, rows));
    DN_TRY(dn_job_whole(net, rows->n));
    DN_TRY(job_need_row_losses(net));
    dn_plan *plan = dn_net_inference_plan(net, rows->n);
    size_t step = dn_job_step(plan, rows->n);
    float *loss = dn_alloc(step, sizeof *loss);
    if (!loss) return DN_E_MEMORY;
    for (int k = 0; k < 3; k++)
        if (outs[k]) memset(outs[k], 0, rows->n * sizeof *outs[k]);
    dn_status status = DN_OK;
    dn_plan_losses_clear(plan);
    for (size_t at = 0; at < rows->n && status == DN_OK; at += step) {
        dn_rows part = dn_job_slice(net, 0, rows, at, step);
        status = dn_job_check(net, "", &part, at);
        if (status == DN_OK) status = job_loss_pass(plan, &part, at);
        if (status == DN_OK)
            job_add_row_losses(plan, part.n, loss, image ? image + at : NULL, latent ? latent + at : NULL,
                               total ? total + at : NULL);
    }
    dn_free(loss);
    dn_report losses;
    if (status == DN_OK) status = dn_plan_losses(plan, &losses);
    if (status == DN_OK && total) job_add_floors(plan, rows->n, total);
    for (size_t r = 0; status == DN_OK && total && r < rows->n; r++)
        if (!isfinite(total[r])) {
            dn_rows row = dn_job_slice(net, 0, rows, r, 1);
            status = dn_job_not_finite(net, &row, "the loss", r);
        }
    return status;
}

dn_status dn_net_evaluate(dn_net *net, const dn_rows *rows, dn_report *report) {
    DN_EXCLUSIVE(net, dn_job_evaluate_all(net, rows, report, NULL));
}

dn_status dn_net_evaluate_rows(dn_net *net, const dn_rows *rows, float *image, float *latent, float *total) {
    DN_EXCLUSIVE(net, dn_job_evaluate_rows(net, rows, image, latent, total));
}

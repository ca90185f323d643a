/* What evaluate gives besides the losses: the latent space, baselines, and a sentence on what is wrong. */
#include "base/report.h"
#include "base/sys.h"
#include "jobs/baselines.h"
#include "jobs/jobs.h"
#include "jobs/posterior.h"
#include "net/coded.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Burda, Grosse and Salakhutdinov, arXiv:1509.00519, section 5 */
static const double ACTIVE = 0.01;

typedef struct evaluation {
    dn_net *net;
    const dn_rows *rows;
    dn_evaluation *out;
    dn_posterior posterior;
    int baselines;  /* the rows are what the network reconstructs, and baselines are wanted */
    float *data;    /* (batch, data columns): a pass's reconstructions */
    double squares; /* of the errors of all rows */
    float *bits;    /* (rows, inputs): the rows as [net] binarize= shows them to the network; else NULL */
    size_t seen;    /* rows of them */
} evaluation;

/* Are the rows themselves what the network is compared with? */
static int is_autoencoder(const dn_net *net, const dn_rows *rows) {
    return !rows->truth && net->inputs == net->truths && net->truths == net->data_columns;
}

/* Can their squared errors be added up? Codes and missing values have none. */
static int has_squares(const dn_net *net, const dn_rows *rows) {
    const dn_coded *coded = net->columns;
    for (int i = 0; coded && i < coded->n; i++)
        if (coded->classes[i] != DN_CLASSES_NUMBER || coded->given[i]) return 0;
    for (size_t i = 0; coded && i < rows->n * (size_t)coded->n; i++)
        if (isnan(rows->x[i])) return 0;
    return 1;
}

static void evaluation_squares(evaluation *e, dn_plan *plan, const dn_rows *rows) {
    dn_net *net = e->net;
    size_t n = rows->n * (size_t)net->data_columns;
    /* the pass no longer needs the buffer of its truth */
    const float *y = dn_plan_data(plan, rows->n, plan->layers[net->output_layer].output, plan->truth);
    const float *x = rows->x;
    if (e->bits) x = e->bits + e->seen * (size_t)net->inputs;
    if (e->bits) dn_job_get(net, plan->input, (size_t)net->inputs, rows->n, e->bits + e->seen * (size_t)net->inputs);
    e->seen += rows->n;
    dn_job_get(net, y, (size_t)net->data_columns, rows->n, e->data);
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - e->data[i], weight = rows->weights ? rows->weights[i / (size_t)net->data_columns] : 1;
        e->squares += weight * (d * d);
    }
}

static dn_status evaluation_see(void *context, dn_plan *plan, const dn_rows *rows) {
    evaluation *e = context;
    if (e->posterior.units) dn_posterior_add(&e->posterior, plan, rows);
    if (e->baselines) evaluation_squares(e, plan, rows);
    return DN_OK;
}

static dn_status evaluation_pass(evaluation *e) {
    const dn_plan *plan = dn_net_inference_plan(e->net, e->rows->n);
    dn_job_observer observer = {evaluation_see, e};
    size_t values = (size_t)plan->run.batch * (size_t)e->net->data_columns;
    DN_TRY(dn_posterior_create(&e->posterior, plan));
    if (e->baselines && !(e->data = dn_alloc(values, sizeof *e->data))) return DN_E_MEMORY;
    if (e->baselines && e->net->bits && !(e->bits = dn_alloc(e->rows->n * (size_t)e->net->inputs, sizeof *e->bits)))
        return DN_E_MEMORY;
    return dn_job_evaluate_all(e->net, e->rows, &e->out->report, &observer);
}

/* ---- bounds of the log-likelihood ---- */

static double row_weight(const dn_rows *rows, size_t r) { return rows->weights ? rows->weights[r] : 1; }

/* Of a value per row. */
static double evaluation_mean(const dn_rows *rows, const double *values) {
    double sum = 0;
    for (size_t r = 0; r < rows->n; r++) sum += row_weight(rows, r) * values[r];
    return sum / dn_job_count(rows);
}

/* The standard error of that mean. With weights w it is sqrt(n / (n - 1) sum of (w (value - mean))^2) / sum of w, over
 * n rows with a weight. */
static double evaluation_error(const dn_rows *rows, const double *values) {
    double mean = evaluation_mean(rows, values), squares = 0, n = 0, count = dn_job_count(rows);
    for (size_t r = 0; r < rows->n; r++) {
        double d = row_weight(rows, r) * (values[r] - mean);
        squares += d * d, n += row_weight(rows, r) > 0;
    }
    return n > 1 ? sqrt(squares / (n - 1) * n) / count : NAN;
}

/* Values of truth that are modelled and not missing, per row. */
static double evaluation_known(const evaluation *e) {
    const float *truth = e->rows->truth ? e->rows->truth : e->rows->x;
    const dn_coded *coded = e->net->columns;
    size_t width = (size_t)e->net->truths, n = e->rows->n * width;
    double known = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(truth[i]) && !(coded && coded->given[i % width])) known += row_weight(e->rows, i / width);
    return known / dn_job_count(e->rows);
}

static dn_status evaluation_draw(evaluation *e, const dn_evaluate_options *options, double *values) {
    static const char *const names[] = {"reconstruction", "kl", "elbo", "log_likelihood"};
    size_t n = e->rows->n;
    double *drawn = values + 2 * n, *log_likelihood = values + 3 * n, means[4];
    dn_report *to = &e->out->measures;
    dn_bounds bounds = {.reconstruction = values, .kl = values + n, .drawn_kl = drawn};
    DN_TRY(dn_job_bounds(e->net, e->rows, options->samples ? options->samples : 1, options, &bounds));
    for (size_t r = 0; r < n; r++)
        if (isnan(bounds.kl[r])) bounds.kl[r] = drawn[r];
    bounds = (dn_bounds){.log_likelihood = log_likelihood};
    if (options->k) DN_TRY(dn_job_bounds(e->net, e->rows, options->k, options, &bounds));
    means[0] = evaluation_mean(e->rows, values), means[1] = evaluation_mean(e->rows, values + n);
    means[2] = -(means[0] + means[1]), means[3] = options->k ? evaluation_mean(e->rows, log_likelihood) : NAN;
    for (int i = 0; i < 4; i++) dn_report_add(to, names[i], means[i]);
    dn_report_add(to, "log_likelihood_standard_error", options->k ? evaluation_error(e->rows, log_likelihood) : NAN);
    dn_report_add(to, "bits_per_dimension", -means[options->k ? 3 : 2] / (evaluation_known(e) * log(2)));
    return DN_OK;
}

static dn_status evaluation_bounds(evaluation *e, const dn_evaluate_options *options) {
    static const char *const names[] = {
        "reconstruction", "kl", "elbo", "log_likelihood", "log_likelihood_standard_error", "bits_per_dimension"};
    if (dn_net_need_likelihood(e->net, "a log-likelihood") != DN_OK) {
        snprintf(e->out->reason, sizeof e->out->reason, "%s", dn_error());
        for (int i = 0; i < 6; i++) dn_report_add(&e->out->measures, names[i], NAN);
        return DN_OK;
    }
    double *values = dn_alloc(e->rows->n, 4 * sizeof *values);
    if (!values) return DN_E_MEMORY;
    dn_status status = evaluation_draw(e, options, values);
    dn_free(values);
    return status;
}

/* ---- the latent space ---- */

static dn_status evaluation_latent(evaluation *e, int wanted) {
    dn_evaluation *out = e->out;
    size_t units = e->posterior.units;
    int active = 0;
    if (!units) {
        dn_report_add(&out->measures, "active_units", NAN);
        return DN_OK;
    }
    double *values = dn_alloc(units, 4 * sizeof *values);
    if (!values) return DN_E_MEMORY;
    out->units = units, out->kl = values, out->mean = values + units;
    out->variance = values + 2 * units, out->mean_variance = values + 3 * units;
    dn_posterior_report(&e->posterior, out->kl, out->mean, out->variance, out->mean_variance);
    for (size_t k = 0; k < units; k++) active += out->mean_variance[k] > ACTIVE;
    dn_report_add(&out->measures, "active_units", active);
    if (!wanted) dn_evaluation_free(out);
    return DN_OK;
}

/* ---- baselines ---- */

static void baselines_none(dn_report *to) {
    static const char *const names[] = {"network_mse",         "pca_mse", "mean_mse", "pca_log_likelihood",
                                        "mean_reconstruction", "entropy"};
    for (int i = 0; i < 6; i++) dn_report_add(to, names[i], NAN);
}

static dn_status evaluation_baselines(evaluation *e) {
    const dn_net *net = e->net;
    const dn_rows *rows = e->rows;
    dn_report *to = &e->out->baselines;
    dn_baselines found;
    size_t components = net->latent_layer < 0 ? 0 : (size_t)net->layers[net->latent_layer].outputs;
    if (e->posterior.units) components = e->posterior.units;
    const float *x = e->bits ? e->bits : rows->x;
    DN_TRY(dn_baselines_of(net->pool, x, rows->weights, rows->n, (size_t)net->inputs, components, &found));
    int pca = components > 0, binary = net->truth_kind == DN_TRUTH_BINARY;
    dn_report_add(to, "network_mse", e->squares / (dn_job_count(rows) * net->inputs));
    dn_report_add(to, "pca_mse", pca ? found.pca_mse : NAN);
    dn_report_add(to, "mean_mse", found.mean_mse);
    dn_report_add(to, "pca_log_likelihood", pca && !binary ? found.pca_log_likelihood : NAN);
    dn_report_add(to, "mean_reconstruction", binary ? found.mean_nats : NAN);
    dn_report_add(to, "entropy", binary ? found.entropy : NAN);
    e->out->components = (int)components;
    return DN_OK;
}

/* ---- what looks wrong ---- */

static void evaluation_say(dn_evaluation *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void evaluation_say(dn_evaluation *out, const char *format, ...) {
    size_t used = strlen(out->diagnosis), room = sizeof out->diagnosis;
    va_list list;
    if (used) used += (size_t)snprintf(out->diagnosis + used, room - used, "; ");
    va_start(list, format);
    vsnprintf(out->diagnosis + used, room - used, format, list);
    va_end(list);
}

static void evaluation_diagnosis(const evaluation *e) {
    dn_evaluation *out = e->out;
    size_t units = e->posterior.units, active = units ? (size_t)dn_report_get(&out->measures, "active_units") : 0;
    if (e->rows->n < 2) return; /* variances over the rows, and the columns' means, say nothing */
    double mse = dn_report_get(&out->baselines, "network_mse"), mean = dn_report_get(&out->baselines, "mean_mse");
    if (units && !active)
        evaluation_say(out, "no latent unit is active: the posterior has collapsed; a warm-up of beta (beta_warmup) "
                            "or a smaller beta may help");
    else if (active < units)
        evaluation_say(out, "%zu of %zu latent units %s active", active, units, active == 1 ? "is" : "are");
    if (mse > 0.98 * mean)
        evaluation_say(out, "the reconstructions are no better than predicting each column's mean");
    else if (mse > 1.05 * dn_report_get(&out->baselines, "pca_mse")) /* means of a posterior are shrunk a little */
        evaluation_say(out, "a PCA with %d component%s reconstructs these rows better", out->components,
                       out->components == 1 ? "" : "s");
}

static dn_status net_evaluation(dn_net *net, const dn_rows *rows, const dn_evaluate_options *options,
                                dn_evaluation *out) {
    evaluation e = {.net = net, .rows = rows, .out = out};
    int wanted = options->latent && is_autoencoder(net, rows);
    e.baselines = wanted && has_squares(net, rows);
    dn_status status = evaluation_pass(&e);
    if (status == DN_OK) status = evaluation_bounds(&e, options);
    if (status == DN_OK) status = evaluation_latent(&e, options->latent);
    if (status == DN_OK && e.baselines) status = evaluation_baselines(&e);
    if (wanted && !e.baselines) baselines_none(&out->baselines);
    if (status == DN_OK) evaluation_diagnosis(&e);
    dn_posterior_free(&e.posterior);
    dn_free(e.data);
    dn_free(e.bits);
    if (status != DN_OK) dn_evaluation_free(out);
    return status;
}

dn_status dn_net_evaluation(dn_net *net, const dn_rows *rows, const dn_evaluate_options *options, dn_evaluation *out) {
    *out = (dn_evaluation){0};
    DN_TRY(dn_job_draws(&options));
    DN_EXCLUSIVE(net, net_evaluation(net, rows, options, out));
}

void dn_evaluation_free(dn_evaluation *e) {
    dn_free(e->kl);
    e->kl = e->mean = e->variance = e->mean_variance = NULL, e->units = 0;
}

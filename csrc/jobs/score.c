/* How unusual rows are: minus the ELBO or the log-likelihood of each, or its loss, and what its columns add to it. */
#include "base/sys.h"
#include "jobs/jobs.h"
#include "jobs/values.h"
#include <math.h>
#include <string.h>

typedef struct score_job {
    dn_net *net;
    const dn_rows *rows;
    dn_row_scores *out;
    double *reconstruction, *kl; /* (n) */
    dn_values values;
    size_t at; /* the next pass's first row */
} score_job;

/* ---- with likelihoods ---- */

static dn_status score_bounds(score_job *j, const dn_evaluate_options *options) {
    size_t n = j->rows->n;
    int samples = options->samples ? options->samples : 1;
    double *drawn = dn_alloc(n, sizeof *drawn);
    if (!drawn) return DN_E_MEMORY;
    dn_bounds bounds = {.reconstruction = j->reconstruction, .kl = j->kl, .drawn_kl = drawn, .values = j->out->values};
    dn_status status = dn_job_bounds(j->net, j->rows, samples, options, &bounds);
    for (size_t r = 0; r < n && status == DN_OK; r++)
        if (isnan(j->kl[r])) j->kl[r] = drawn[r];
    if (status == DN_OK && options->k && j->out->score)
        status = dn_job_bounds(j->net, j->rows, options->k, options, &(dn_bounds){.log_likelihood = j->out->score});
    for (size_t r = 0; r < n && status == DN_OK && j->out->score; r++)
        j->out->score[r] = options->k ? -j->out->score[r] : j->reconstruction[r] + j->kl[r];
    dn_free(drawn);
    return status;
}

/* ---- with other losses ---- */

static dn_status score_see(void *context, dn_plan *plan, const dn_rows *rows) {
    score_job *j = context;
    size_t width = (size_t)j->net->truths;
    const float *truth = rows->truth ? rows->truth : rows->x;
    dn_values_add(&j->values, plan, &plan->run, truth, 1, 1, j->out->values + j->at * width);
    j->at += rows->n;
    return DN_OK;
}

/* What each column adds, at the mean of z. */
static dn_status score_values(score_job *j) {
    dn_report report;
    dn_job_observer observer = {score_see, j};
    size_t n = j->rows->n, width = (size_t)j->net->truths;
    DN_TRY(dn_values_create(&j->values, j->net, (size_t)dn_net_inference_plan(j->net, n)->run.batch));
    memset(j->out->values, 0, n * width * sizeof *j->out->values);
    return n ? dn_job_evaluate_all(j->net, j->rows, &report, &observer) : DN_OK;
}

static dn_status score_losses(score_job *j) {
    size_t n = j->rows->n;
    float *image = dn_alloc(n, 2 * sizeof *image);
    if (!image) return DN_E_MEMORY;
    float *total = image + n;
    dn_status status = dn_job_evaluate_rows(j->net, j->rows, image, NULL, total);
    for (size_t r = 0; r < n && status == DN_OK; r++) {
        j->reconstruction[r] = image[r], j->kl[r] = (double)total[r] - image[r];
        if (j->out->score) j->out->score[r] = total[r];
    }
    dn_free(image);
    return status == DN_OK && j->out->values ? score_values(j) : status;
}

static dn_status net_score_rows(dn_net *net, const dn_rows *rows, const dn_evaluate_options *options,
                                dn_row_scores *out) {
    size_t n = rows->n;
    double *both = dn_alloc(n, 2 * sizeof *both);
    score_job j = {.net = net, .rows = rows, .out = out, .reconstruction = both, .kl = both + n};
    if (!both) return DN_E_MEMORY;
    dn_status status = dn_net_need_likelihood(net, "a log-likelihood (k)");
    if (status == DN_OK)
        status = score_bounds(&j, options);
    else if (!options->k)
        status = score_losses(&j);
    if (status == DN_OK && out->reconstruction) memcpy(out->reconstruction, j.reconstruction, n * sizeof *both);
    if (status == DN_OK && out->kl) memcpy(out->kl, j.kl, n * sizeof *both);
    dn_values_free(&j.values);
    dn_free(both);
    return status;
}

dn_status dn_net_score_rows(dn_net *net, const dn_rows *rows, const dn_evaluate_options *options, dn_row_scores *out) {
    DN_TRY(dn_job_draws(&options));
    DN_EXCLUSIVE(net, net_score_rows(net, rows, options, out));
}

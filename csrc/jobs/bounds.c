/* Bounds of ln p(x), row by row, from draws of z: ELBO and importance-sampled log-likelihood.
 *
 * With draws z_1 ... z_k of q(z|x), w_d = p(x|z_d) p(z_d) / q(z_d|x), and L_k = ln(1/k sum_d w_d) is a bound of ln p(x)
 * in expectation, which rises to it with k (Burda et al., arXiv:1509.00519, eq. 8). The layers before the sampling
 * layer run once per row, those from it on for as many draws at a time as fit into a pass. The sums of w and w^2 are
 * kept relative to the largest w so far, in double precision, so that memory and precision do not depend on k. */
#include "base/sys.h"
#include "jobs/jobs.h"
#include "jobs/values.h"
#include <math.h>
#include <string.h>

/* What is known of a row after some of its draws. */
typedef struct row_sums {
    double reconstruction, kl, drawn;
    double most;         /* the largest ln w */
    double sum, squares; /* of exp(ln w - most), and of its square */
} row_sums;

typedef struct bounds_job {
    dn_plan *plan;
    int draws;
    const dn_evaluate_options *how;
    row_sums *rows;                      /* of the pass */
    double *reconstruction, *drawn, *kl; /* of its draws */
    float *loss;
    dn_values values;
    const float *truth; /* of the pass, on the host */
    float *to_values;   /* of the pass; NULL: not wanted */
} bounds_job;

static void row_add(row_sums *r, double reconstruction, double drawn, double kl) {
    double w = -reconstruction - drawn;
    r->reconstruction += reconstruction, r->drawn += drawn, r->kl += kl;
    if (w > r->most) {
        double factor = exp(r->most - w); /* 0 before the first draw, when the largest is -inf */
        r->sum *= factor, r->squares *= factor * factor, r->most = w;
    }
    double part = exp(w - r->most);
    r->sum += part, r->squares += part * part;
}

static double row_log_likelihood(const row_sums *r, int draws) { return r->most + log(r->sum / draws); }

/* Of that estimate, by the delta method: var(ln m) = var(w) / (k m^2), m the mean of w. */
static double row_variance(const row_sums *r, int draws) {
    if (draws < 2) return NAN;
    double relative = draws * (r->squares / (r->sum * r->sum)) - 1; /* mean of squares / m^2 - 1 */
    return fmax(relative, 0) / (draws - 1);
}

/* ---- passes ---- */

/* The losses of the pass's n draws, summed over likelihoods and over latent terms. */
static void bounds_losses(bounds_job *j, size_t n) {
    const dn_plan *p = j->plan;
    const dn_net *net = p->net;
    for (size_t i = 0; i < n; i++) j->reconstruction[i] = j->drawn[i] = j->kl[i] = 0;
    for (int k = 0; k < p->n_layers; k++) {
        const dn_layer *l = &p->layers[k];
        const dn_term_type *type = l->term.type;
        if (!type) continue;
        dn_draws_loss(p, l, p->row_loss);
        net->ops->download(net->pool, j->loss, p->row_loss, n * sizeof *j->loss);
        double *to = type->latent ? j->drawn : j->reconstruction;
        for (size_t i = 0; i < n; i++) to[i] += j->loss[i];
        if (!type->latent) continue;
        if (type->rows) type->rows(l, &p->drawn, p->row_loss);
        if (type->rows) net->ops->download(net->pool, j->loss, p->row_loss, n * sizeof *j->loss);
        for (size_t i = 0; i < n; i++) j->kl[i] += type->rows ? j->loss[i] : NAN;
    }
}

/* The noise of a pass: for draws from number `first` on of rows from `at` on. */
static void bounds_noise(dn_plan *p, const dn_evaluate_options *how, size_t at, int first) {
    const dn_step step = {.seed = how->seed, .pass = how->same_draws ? 0 : at, .at = (uint64_t)first};
    p->run.same_draws = how->same_draws;
    p->net->ops->set_step(p->net->pool, p->step, &step);
}

/* Draws [first, first + draws) of the rows of a pass, the first of which is row `at`. */
static dn_status bounds_draw(bounds_job *j, const dn_rows *placed, size_t at, int first, int draws) {
    dn_plan *p = j->plan;
    const dn_net *net = p->net;
    bounds_noise(p, j->how, at, first);
    DN_TRY(dn_plan_forward(
        p, &(dn_pass){.first = net->sampling_layer, .last = p->n_layers - 1, .draws = draws, .rows = *placed}));
    bounds_losses(j, placed->n * (size_t)draws);
    if (j->to_values) dn_values_add(&j->values, p, &p->drawn, j->truth, (size_t)draws, 1.0 / j->draws, j->to_values);
    DN_TRY(net->ops->finish(net->pool));
    for (size_t r = 0, i = 0; r < placed->n; r++)
        for (int d = 0; d < draws; d++, i++) row_add(&j->rows[r], j->reconstruction[i], j->drawn[i], j->kl[i]);
    return DN_OK;
}

/* All draws of the rows of a pass. */
static dn_status bounds_pass(bounds_job *j, const dn_rows *rows, size_t at) {
    dn_plan *p = j->plan;
    dn_rows placed = dn_job_place_losses(p, rows, at);
    dn_status status = DN_OK;
    for (size_t r = 0; r < rows->n; r++) j->rows[r] = (row_sums){.most = -INFINITY};
    if (p->net->sampling_layer)
        status = dn_plan_forward(p, &(dn_pass){.last = p->net->sampling_layer - 1, .rows = placed});
    for (int d = 0, n; d < j->draws && status == DN_OK; d += n) {
        n = j->draws - d < p->draws ? j->draws - d : p->draws;
        status = bounds_draw(j, &placed, at, d, n);
    }
    return status;
}

dn_status dn_job_evaluate_bound(dn_plan *p, int draws, dn_job_sums *sums, const dn_rows *rows, size_t at) {
    dn_pass pass = {.last = p->n_layers - 1, .draws = draws, .rows = dn_job_place_losses(p, rows, at)};
    double *counted = p->run.sums;
    bounds_noise(p, &(dn_evaluate_options){.seed = p->net->state.seed}, at, 0);
    DN_TRY(dn_job_pass(p, &pass));
    dn_draws_weigh(p);
    sums->count += dn_job_count(rows);
    if (!rows->truth) return DN_OK;
    pass.draws = 0, p->run.sums = p->run.scrap;
    dn_status status = dn_job_pass(p, &pass);
    p->run.sums = counted;
    if (status == DN_OK) dn_scores_add(&sums->scores, p, rows);
    return status;
}

/* ---- the job ---- */

/* To the caller's arrays from row `at` on. Returns the first row whose bound is not finite, or n. */
static size_t bounds_write(const bounds_job *j, size_t n, size_t at, dn_bounds *out) {
    for (size_t r = 0; r < n; r++) {
        const row_sums *sums = &j->rows[r];
        double log_likelihood = row_log_likelihood(sums, j->draws);
        if (!isfinite(log_likelihood) || !isfinite(sums->reconstruction + sums->drawn)) return r;
        if (out->reconstruction) out->reconstruction[at + r] = sums->reconstruction / j->draws;
        if (out->kl) out->kl[at + r] = sums->kl / j->draws;
        if (out->drawn_kl) out->drawn_kl[at + r] = sums->drawn / j->draws;
        if (out->log_likelihood) out->log_likelihood[at + r] = log_likelihood;
        if (out->log_likelihood_variance) out->log_likelihood_variance[at + r] = row_variance(sums, j->draws);
    }
    return n;
}

static dn_status bounds_rows(bounds_job *j, const dn_rows *rows, dn_bounds *out) {
    dn_net *net = j->plan->net;
    size_t step = dn_job_step(j->plan, rows->n);
    for (size_t at = 0; at < rows->n; at += step) {
        dn_rows part = dn_job_slice(net, 0, rows, at, step);
        DN_TRY(dn_job_check(net, "", &part, at));
        j->truth = part.truth ? part.truth : part.x;
        j->to_values = out->values ? out->values + at * (size_t)net->truths : NULL;
        dn_net_use_results(net, 1);
        dn_status status = bounds_pass(j, &part, at);
        dn_net_use_results(net, 0);
        DN_TRY(status);
        size_t bad = bounds_write(j, part.n, at, out);
        if (bad == part.n) continue;
        dn_rows row = dn_job_slice(net, 0, &part, bad, 1);
        return dn_job_not_finite(net, &row, "the bound", at + bad);
    }
    return DN_OK;
}

/* The noise of a draw is found by a block number of 32 bits. */
static dn_status bounds_check(const dn_net *net, const dn_rows *rows, int draws) {
    DN_CHECK(draws >= 1, DN_E_USAGE, "%d draws of each row: it takes at least one", draws);
    DN_TRY(dn_net_need_likelihood(net, "a bound of the likelihood"));
    DN_TRY(dn_job_need_truth(net, rows));
    for (int i = net->sampling_layer; i < net->n_layers; i++) {
        const dn_term_type *type = net->layers[i].term.type;
        uint64_t blocks = ((uint64_t)net->layers[i].outputs + 3) / 4;
        DN_CHECK(!type || !type->latent || blocks * (uint64_t)draws <= UINT32_MAX, DN_E_USAGE,
                 "%d draws of %d latent values are more than there are random numbers for a row", draws,
                 net->layers[i].outputs);
    }
    return DN_OK;
}

dn_status dn_job_bounds(dn_net *net, const dn_rows *rows, int draws, const dn_evaluate_options *how, dn_bounds *out) {
    bounds_job j = {.draws = draws, .how = how};
    DN_TRY(bounds_check(net, rows, draws));
    if (!rows->n) return DN_OK;
    DN_TRY(dn_net_bounds_plan(net, rows->n, draws, &j.plan));
    size_t batch = (size_t)j.plan->run.batch, all = batch * (size_t)j.plan->draws;
    j.rows = dn_alloc(batch, sizeof *j.rows);
    j.reconstruction = dn_alloc(3 * all, sizeof *j.reconstruction);
    j.loss = dn_alloc(all, sizeof *j.loss);
    dn_status status = j.rows && j.reconstruction && j.loss ? DN_OK : DN_E_MEMORY;
    if (status == DN_OK && out->values) {
        status = dn_values_create(&j.values, net, all);
        memset(out->values, 0, rows->n * (size_t)net->truths * sizeof *out->values);
    }
    if (status == DN_OK) {
        j.drawn = j.reconstruction + all, j.kl = j.drawn + all;
        status = bounds_rows(&j, rows, out);
    }
    dn_values_free(&j.values);
    dn_free(j.rows);
    dn_free(j.reconstruction);
    dn_free(j.loss);
    return status;
}

dn_status dn_net_bounds(dn_net *net, const dn_rows *rows, int draws, uint64_t seed, dn_bounds *out) {
    const dn_evaluate_options how = {.seed = seed};
    DN_EXCLUSIVE(net, dn_job_bounds(net, rows, draws, &how, out));
}

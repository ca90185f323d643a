#include "jobs/posterior.h"
#include "base/sys.h"
#include "jobs/jobs.h"
#include "net/latent.h"
#include <string.h>

enum { SUM_KL, SUM_MEAN, SUM_SQUARE, SUM_VARIANCE, SUMS };

static int is_latent(const dn_layer *l) { return l->term.type && l->term.type->latent; }

dn_status dn_posterior_create(dn_posterior *p, const dn_plan *plan) {
    *p = (dn_posterior){0};
    for (int i = 0; i < plan->n_layers; i++) {
        size_t units = is_latent(&plan->layers[i]) ? (size_t)plan->layers[i].outputs : 0;
        p->units += units;
        if (units > p->widest) p->widest = units;
    }
    if (!p->units) return DN_OK;
    p->sums = dn_alloc(p->units, (SUMS + 1) * sizeof *p->sums);
    p->inputs = dn_alloc((size_t)plan->run.batch, 2 * p->widest * sizeof *p->inputs);
    if (p->sums && p->inputs) {
        p->first = p->sums + SUMS * p->units;
        return DN_OK;
    }
    dn_posterior_free(p);
    return DN_E_MEMORY;
}

void dn_posterior_free(dn_posterior *p) {
    dn_free(p->sums);
    dn_free(p->inputs);
    *p = (dn_posterior){0};
}

/* One layer's rows of [log-variance | mean], whose units are those from `unit` on. */
static void posterior_rows(dn_posterior *p, size_t unit, size_t units, float limit, const dn_rows *rows) {
    double *kl = p->sums + unit, *mean = kl + p->units, *square = mean + p->units, *variance = square + p->units;
    for (size_t r = 0; r < rows->n; r++) {
        const float *lv = p->inputs + r * 2 * units, *mu = lv + units;
        double count = rows->weights ? rows->weights[r] : 1;
        if (!p->begun && !r)
            for (size_t k = 0; k < units; k++) p->first[unit + k] = mu[k];
        for (size_t k = 0; k < units; k++) {
            double d = mu[k] - p->first[unit + k];
            float counts = dn_log_variance_limited(limit, lv[k]);
            kl[k] += count * dn_latent_kl(counts, mu[k]);
            mean[k] += count * d, square[k] += count * (d * d);
            variance[k] += count * exp((double)dn_log_variance(counts));
        }
    }
}

void dn_posterior_add(dn_posterior *p, dn_plan *plan, const dn_rows *rows) {
    size_t unit = 0;
    for (int i = 0; i < plan->n_layers; i++) {
        const dn_layer *l = &plan->layers[i];
        if (!is_latent(l)) continue;
        dn_job_get(plan->net, dn_layer_x(l, &plan->run), (size_t)l->inputs, rows->n, p->inputs);
        posterior_rows(p, unit, (size_t)l->outputs, (float)l->term.variance_limit, rows);
        unit += (size_t)l->outputs;
    }
    p->begun = 1, p->count += dn_job_count(rows);
}

void dn_posterior_report(const dn_posterior *p, double *kl, double *mean, double *variance, double *mean_variance) {
    const double *sums = p->sums;
    double n = p->count;
    for (size_t k = 0; k < p->units; k++) {
        double d = sums[SUM_MEAN * p->units + k] / n;
        kl[k] = sums[SUM_KL * p->units + k] / n;
        mean[k] = p->first[k] + d;
        mean_variance[k] = fmax(0, sums[SUM_SQUARE * p->units + k] / n - d * d);
        variance[k] = mean_variance[k] + sums[SUM_VARIANCE * p->units + k] / n;
    }
}

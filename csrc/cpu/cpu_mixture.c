/* The KL of posteriors to a mixture of Gaussians, in double precision: its values are the difference of two log
 * densities, of the rows of a batch with each of the components. Work is cut by rows, and for the gradients of the
 * mixture by components, in an order that does not depend on the number of threads. */
#include "cpu/cpu_ops.h"
#include "net/latent.h"
#include <math.h>

enum { MIXTURE_GRAIN = 8192, COLUMNS = 32 };

typedef struct mixture_job {
    size_t rows, latent, components;
    double w;
    const float *row_weight, *x, *eps, *means, *log_variances, *logits, *dz;
    float *z, *kl, *dx, *by_z, *d_means, *d_log_variances, *d_logits;
    double *table, *shares; /* the two parts of `work`, see dn_mixture_work */
} mixture_job;

static mixture_job mixture_of(const dn_mixture_shape *s, double *work) {
    return (mixture_job){.rows = s->rows,
                         .latent = s->latent,
                         .components = s->components,
                         .table = work,
                         .shares = work + s->components * (s->latent + 2)};
}

static size_t mixture_grain(size_t values) { return MIXTURE_GRAIN / values + 1; }

/* Of each component: exp(-b) of its log-variances, log(weight) - sum(b) / 2, weight. */
static void mixture_table(const void *context, size_t from, size_t to) {
    const mixture_job *j = context;
    double most = j->logits[0], sum = 0;
    for (size_t k = 1; k < j->components; k++) most = j->logits[k] > most ? j->logits[k] : most;
    for (size_t k = 0; k < j->components; k++) sum += exp(j->logits[k] - most);
    for (size_t k = from; k < to; k++) {
        double *row = j->table + k * (j->latent + 2), total = 0;
        for (size_t i = 0; i < j->latent; i++) {
            double b = dn_log_variance(j->log_variances[k * j->latent + i]);
            row[i] = exp(-b), total += b;
        }
        row[j->latent] = j->logits[k] - most - log(sum) - 0.5 * total;
        row[j->latent + 1] = exp(j->logits[k] - most) / sum;
    }
}

/* The log density of the mixture on average over q(z|x), by the points mu +- sqrt(Z) sigma_i e_i. base: log densities
 * of the components at mu. */
static double mixture_expected(const mixture_job *j, const float *lv, const float *mu, const double *base) {
    double total = 0;
    for (size_t i = 0; i < j->latent; i++) {
        double h = sqrt((double)j->latent) * exp(0.5 * dn_log_variance(lv[i]));
        for (int side = -1; side <= 1; side += 2)
            total += dn_mixture_beside(j->components, j->latent, i, side, h, mu[i], j->means, j->table, base);
    }
    return total / (2 * (double)j->latent);
}

static double mixture_rows(const void *context, size_t from, size_t to) {
    const mixture_job *j = context;
    size_t n = j->latent;
    double all = 0;
    for (size_t r = from; r < to; r++) {
        const float *lv = j->x + r * 2 * n, *mu = lv + n, *eps = j->eps ? j->eps + r * n : NULL;
        float *z = j->z + r * n;
        double *share = j->shares + r * (j->components + 1), log_q = 0;
        for (size_t i = 0; i < n; i++) {
            float b = dn_log_variance(lv[i]);
            z[i] = eps ? mu[i] + expf(0.5f * b) * eps[i] : mu[i];
            log_q -= 0.5 * (b + (eps ? (double)eps[i] * eps[i] : 1));
        }
        for (size_t k = 0; k < j->components; k++) {
            const double *p = j->table + k * (n + 2);
            const float *m = j->means + k * n;
            double distance = 0;
            for (size_t i = 0; i < n; i++) distance += ((double)z[i] - m[i]) * ((double)z[i] - m[i]) * p[i];
            share[k] = p[n] - 0.5 * distance;
        }
        double expected = eps ? 0 : mixture_expected(j, lv, mu, share), at_z = dn_log_sum(j->components, share);
        double kl = share[j->components] = log_q - (eps ? at_z : expected);
        if (j->kl) j->kl[r] = (float)kl;
        all += kl;
    }
    return all;
}

void cpu_mixture_kl(dn_pool *pool, const dn_mixture_shape *shape, const float *means, const float *log_variances,
                    const float *logits, const float *weight, const float *x, const float *eps, float *z, double *sums,
                    float *kl, double *work) {
    mixture_job j = mixture_of(shape, work);
    j.means = means, j.log_variances = log_variances, j.logits = logits;
    j.x = x, j.eps = eps, j.z = z, j.kl = kl;
    dn_range_run(pool, j.components, mixture_grain(8 * j.latent), mixture_table, &j);
    double sum = dn_range_sum(pool, j.rows, mixture_grain(j.latent * (j.components + 8)), mixture_rows, &j);
    if (sums) sums[0] += sum, sums[1] += (double)*weight * sum;
}

static void mixture_back_rows(const void *context, size_t from, size_t to) {
    const mixture_job *j = context;
    size_t n = j->latent;
    for (size_t r = from; r < to; r++) {
        const double *share = j->shares + r * (j->components + 1);
        const float *lv = j->x + r * 2 * n, *z = j->z + r * n;
        double w = j->row_weight ? j->w * j->row_weight[r] : j->w;
        for (size_t i = 0; i < n; i++) {
            double g = 0;
            for (size_t k = 0; k < j->components; k++)
                g += share[k] * ((double)z[i] - j->means[k * n + i]) * j->table[k * (n + 2) + i];
            if (j->by_z) j->by_z[r * n + i] += (float)(w * g);
            if (!j->dx) continue;
            float d = (float)(j->dz[r * n + i] + w * g), b = dn_log_variance(lv[i]), *to = j->dx + r * 2 * n + i;
            to[n] += d;
            *to += (float)(d * 0.5 * expf(0.5f * b) * j->eps[r * n + i] - 0.5 * w) * dn_log_variance_slope(lv[i]);
        }
    }
}

/* Columns [at, at + n) of component k, over all rows. */
static void mixture_back_columns(const mixture_job *j, size_t k, size_t at, size_t n) {
    double by_mean[COLUMNS] = {0}, by_b[COLUMNS] = {0};
    const double *p = j->table + k * (j->latent + 2) + at;
    const float *m = j->means + k * j->latent + at;
    for (size_t r = 0; r < j->rows; r++) {
        const float *z = j->z + r * j->latent + at;
        double w = j->shares[r * (j->components + 1) + k] * (j->row_weight ? j->w * j->row_weight[r] : j->w);
        for (size_t i = 0; i < n; i++) {
            double gap = (double)z[i] - m[i];
            by_mean[i] -= w * gap * p[i];
            by_b[i] += 0.5 * w * (1 - gap * gap * p[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        size_t to = k * j->latent + at + i;
        j->d_means[to] += (float)by_mean[i];
        j->d_log_variances[to] += (float)by_b[i] * dn_log_variance_slope(j->log_variances[to]);
    }
}

static void mixture_back_components(const void *context, size_t from, size_t to) {
    const mixture_job *j = context;
    for (size_t k = from; k < to; k++) {
        double sum = 0, weight = j->table[k * (j->latent + 2) + j->latent + 1];
        for (size_t r = 0; r < j->rows; r++)
            sum += (weight - j->shares[r * (j->components + 1) + k]) * (j->row_weight ? j->w * j->row_weight[r] : j->w);
        j->d_logits[k] += (float)sum;
        for (size_t at = 0; at < j->latent; at += COLUMNS)
            mixture_back_columns(j, k, at, j->latent - at < COLUMNS ? j->latent - at : COLUMNS);
    }
}

void cpu_mixture_kl_gradient(dn_pool *pool, const dn_mixture_shape *shape, const float *means,
                             const float *log_variances, double scale, const float *weight, const float *row_weight,
                             const float *x, const float *eps, const float *z, const float *dz, const double *work,
                             float *dx, float *by_z, float *d_means, float *d_log_variances, float *d_logits) {
    mixture_job j = mixture_of(shape, (double *)work);
    j.w = scale * *weight, j.row_weight = row_weight;
    j.means = means, j.log_variances = log_variances;
    j.x = x, j.eps = eps, j.z = (float *)z, j.dz = dz, j.dx = dx, j.by_z = by_z;
    j.d_means = d_means, j.d_log_variances = d_log_variances, j.d_logits = d_logits;
    if (dx || by_z) dn_range_run(pool, j.rows, mixture_grain(j.latent * (j.components + 8)), mixture_back_rows, &j);
    dn_range_run(pool, j.components, mixture_grain(j.latent * j.rows + 1), mixture_back_components, &j);
}

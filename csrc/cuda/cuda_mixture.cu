/* The KL of posteriors to a mixture of Gaussians, in double precision: `work` has the table of the components, then the
 * components' shares of each row and its KL (dn_mixture_work). */
#include "cuda/cuda_common.cuh"
#include "net/latent.h"

/* Of each component: exp(-b) of its log-variances, log(weight) - sum(b) / 2, weight. */
static cudaError_t mixture_table(const dn_cuda_place *on, size_t components, size_t latent, const float *log_variances,
                                 const float *logits, double *table) {
    return dn_each_block(on, components, [=] __device__(size_t k) {
        double *row = table + k * (latent + 2), sum = 0, most = logits[0], total = 0;
        for (size_t i = threadIdx.x; i < latent; i += DN_THREADS) {
            double b = dn_log_variance(log_variances[k * latent + i]);
            row[i] = exp(-b), total += b;
        }
        total = dn_block_sum<DN_THREADS>(total);
        if (threadIdx.x != 0) return;
        for (size_t c = 1; c < components; c++) most = logits[c] > most ? logits[c] : most;
        for (size_t c = 0; c < components; c++) sum += exp(logits[c] - most);
        row[latent] = logits[k] - most - log(sum) - 0.5 * total;
        row[latent + 1] = exp(logits[k] - most) / sum;
    });
}

/* The mixture's log density at mu +- sqrt(Z) sigma_i e_i, both together. base: of the components at mu. */
static __device__ double mixture_pair(size_t components, size_t latent, size_t i, float lv, float mu,
                                      const float *means, const double *table, const double *base) {
    double h = sqrt((double)latent) * exp(0.5 * dn_log_variance(lv)), total = 0;
    for (int side = -1; side <= 1; side += 2)
        total += dn_mixture_beside(components, latent, i, side, h, mu, means, table, base);
    return total;
}

extern "C" cudaError_t dn_cuda_mixture_kl(const dn_cuda_place *on, const dn_mixture_shape *shape, const float *means,
                                          const float *log_variances, const float *logits, const float *weight,
                                          const float *x, const float *eps, float *z, double *sums, float *kl,
                                          double *work) {
    size_t components = shape->components, latent = shape->latent;
    double *table = work, *shares = work + components * (latent + 2);
    cudaError_t error = mixture_table(on, components, latent, log_variances, logits, table);
    if (error != cudaSuccess) return error;
    error = dn_each_block(on, shape->rows, [=] __device__(size_t r) {
        const float *lv = x + r * 2 * latent, *mu = lv + latent, *e = eps ? eps + r * latent : NULL;
        float *to = z + r * latent;
        double *share = shares + r * (components + 1), log_q = 0, expected = 0;
        for (size_t i = threadIdx.x; i < latent; i += DN_THREADS) {
            float b = dn_log_variance(lv[i]);
            to[i] = e ? mu[i] + expf(0.5f * b) * e[i] : mu[i];
            log_q -= 0.5 * (b + (e ? (double)e[i] * e[i] : 1));
        }
        log_q = dn_block_sum<DN_THREADS>(log_q);
        for (size_t k = 0; k < components; k++) {
            const double *p = table + k * (latent + 2);
            double distance = 0;
            for (size_t i = threadIdx.x; i < latent; i += DN_THREADS) {
                double gap = (double)to[i] - means[k * latent + i];
                distance += gap * gap * p[i];
            }
            distance = dn_block_sum<DN_THREADS>(distance);
            if (threadIdx.x == 0) share[k] = p[latent] - 0.5 * distance;
        }
        __syncthreads();
        for (size_t i = threadIdx.x; !e && i < latent; i += DN_THREADS)
            expected += mixture_pair(components, latent, i, lv[i], mu[i], means, table, share);
        expected = dn_block_sum<DN_THREADS>(expected) / (2 * (double)latent);
        if (threadIdx.x != 0) return;
        double at_z = dn_log_sum(components, share);
        share[components] = log_q - (e ? at_z : expected);
    });
    if (error != cudaSuccess) return error;
    if (!sums)
        return dn_each(on, kl ? shape->rows : 0,
                       [=] __device__(size_t r) { kl[r] = (float)shares[r * (components + 1) + components]; });
    return dn_each_sum(on, shape->rows, dn_sum_to(sums, weight), [=] __device__(size_t r) {
        double value = shares[r * (components + 1) + components];
        if (kl) kl[r] = (float)value;
        return value;
    });
}

static cudaError_t mixture_back_rows(const dn_cuda_place *on, const dn_mixture_shape *shape, const float *means,
                                     double scale, const float *weight, const float *row_weight, const float *x,
                                     const float *eps, const float *z, const float *dz, const double *table,
                                     const double *shares, float *dx, float *by_z) {
    size_t components = shape->components, latent = shape->latent;
    return dn_each(on, shape->rows * latent, [=] __device__(size_t at) {
        size_t r = at / latent, i = at % latent, place = r * 2 * latent + i;
        const double *share = shares + r * (components + 1);
        double w = scale * *weight * (row_weight ? row_weight[r] : 1), g = 0;
        for (size_t k = 0; k < components; k++)
            g += share[k] * ((double)z[at] - means[k * latent + i]) * table[k * (latent + 2) + i];
        if (by_z) by_z[at] += (float)(w * g);
        if (!dx) return;
        float d = (float)(dz[at] + w * g), b = dn_log_variance(x[place]);
        dx[place] += (float)(d * 0.5 * expf(0.5f * b) * eps[at] - 0.5 * w) * dn_log_variance_slope(x[place]);
        dx[place + latent] += d;
    });
}

extern "C" cudaError_t dn_cuda_mixture_kl_gradient(const dn_cuda_place *on, const dn_mixture_shape *shape,
                                                   const float *means, const float *log_variances, double scale,
                                                   const float *weight, const float *row_weight, const float *x,
                                                   const float *eps, const float *z, const float *dz,
                                                   const double *work, float *dx, float *by_z, float *d_means,
                                                   float *d_log_variances, float *d_logits) {
    size_t components = shape->components, latent = shape->latent, rows = shape->rows;
    const double *table = work, *shares = work + components * (latent + 2);
    cudaError_t error = cudaSuccess;
    if (dx || by_z)
        error = mixture_back_rows(on, shape, means, scale, weight, row_weight, x, eps, z, dz, table, shares, dx, by_z);
    if (error != cudaSuccess) return error;
    error = dn_each(on, components * latent, [=] __device__(size_t at) {
        size_t k = at / latent, i = at % latent;
        double p = table[k * (latent + 2) + i], by_mean = 0, by_b = 0;
        for (size_t r = 0; r < rows; r++) {
            double w = shares[r * (components + 1) + k] * scale * *weight * (row_weight ? row_weight[r] : 1);
            double gap = (double)z[r * latent + i] - means[at];
            by_mean -= w * gap * p;
            by_b += 0.5 * w * (1 - gap * gap * p);
        }
        d_means[at] += (float)by_mean;
        d_log_variances[at] += (float)by_b * dn_log_variance_slope(log_variances[at]);
    });
    if (error != cudaSuccess) return error;
    return dn_each_block(on, components, [=] __device__(size_t k) {
        double sum = 0, of = table[k * (latent + 2) + latent + 1];
        for (size_t r = threadIdx.x; r < rows; r += DN_THREADS)
            sum += (of - shares[r * (components + 1) + k]) * (row_weight ? row_weight[r] : 1);
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0) d_logits[k] += (float)(scale * *weight * sum);
    });
}

/* What a KL costs when that is not its weighted sum, and what training does to rows: draws of bits, noise. */
#include "base/rng.h"
#include "cuda/cuda_common.cuh"
#include "net/latent.h"

extern "C" cudaError_t dn_cuda_kl_columns(const dn_cuda_place *on, size_t rows, size_t latent, const float *row_weight,
                                          const float *x, double *sums) {
    return dn_each_block(on, latent + 1, [=] __device__(size_t c) {
        double sum = 0;
        for (size_t r = threadIdx.x; r < rows; r += DN_THREADS) {
            const float *lv = x + r * 2 * latent + c;
            sum += (row_weight ? (double)row_weight[r] : 1) * (c < latent ? dn_latent_kl(lv[0], lv[latent]) : 1);
        }
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0) sums[c] += sum;
    });
}

extern "C" cudaError_t dn_cuda_kl_cost(const dn_cuda_place *on, dn_kl_form form, size_t n, const float *weight,
                                       const float *limit, const float *row_weight, const float *kl,
                                       const double *columns, float *factor, double *sum) {
    return dn_each_block(on, 1, [=] __device__(size_t) {
        double cost = 0, rows = form == DN_KL_FREE_COLUMNS ? columns[n] : 1;
        for (size_t i = threadIdx.x; i < n; i += DN_THREADS) {
            double one = form == DN_KL_FREE_COLUMNS ? columns[i] / rows : kl[i];
            cost += (row_weight && kl ? row_weight[i] : 1) * dn_kl_cost_one(form, one, *limit, factor + i);
        }
        cost = dn_block_sum<DN_THREADS>(cost);
        if (threadIdx.x == 0) *sum += (double)*weight * rows * cost;
    });
}

extern "C" cudaError_t dn_cuda_kl_gradient(const dn_cuda_place *on, dn_kl_form form, size_t rows, size_t latent,
                                           double scale, const float *weight, const float *row_weight, const float *x,
                                           const float *factor, float *dx) {
    dn_split by_row(rows * latent, latent);
    return dn_each(on, rows * latent, [=] __device__(size_t i) {
        size_t c, r = by_row.of(i, &c), at = r * 2 * latent + c;
        float w = (float)(scale * *weight) * (row_weight ? row_weight[r] : 1), lv = x[at];
        w *= factor[form == DN_KL_FREE_COLUMNS ? c : r];
        dx[at] += w * 0.5f * expm1f(dn_log_variance(lv)) * dn_log_variance_slope(lv);
        dx[at + latent] += w * x[at + latent];
    });
}

extern "C" cudaError_t dn_cuda_limit_variances(const dn_cuda_place *on, size_t rows, size_t latent, float limit,
                                               const float *x, float *y) {
    dn_split by_row(rows * 2 * latent, 2 * latent);
    return dn_each(on, rows * 2 * latent, [=] __device__(size_t i) {
        size_t c;
        by_row.of(i, &c);
        y[i] = c < latent ? dn_log_variance_limited(limit, x[i]) : x[i];
    });
}

extern "C" cudaError_t dn_cuda_limit_variances_gradient(const dn_cuda_place *on, size_t rows, size_t latent,
                                                        float limit, const float *x, const float *dy, float *dx) {
    dn_split by_row(rows * 2 * latent, 2 * latent);
    return dn_each(on, rows * 2 * latent, [=] __device__(size_t i) {
        size_t c;
        by_row.of(i, &c);
        dx[i] += dy[i] * (c < latent ? dn_log_variance_limited_slope(limit, x[i]) : 1);
    });
}

/* Four numbers of one Philox block a thread. */
extern "C" cudaError_t dn_cuda_bernoulli(const dn_cuda_place *on, const dn_step *step, uint32_t number, size_t rows,
                                         size_t cols, int by_row, const uint32_t *order, float *x) {
    size_t length = by_row ? cols : rows * cols, blocks = (length + 3) / 4, parts = by_row ? rows : 1;
    dn_split of(parts * blocks, blocks);
    return dn_each(on, parts * blocks, [=] __device__(size_t i) {
        size_t block, r = of.of(i, &block);
        uint64_t of_step = step->pass;
        if (by_row) of_step = order ? order[step->at + r] : step->at + r;
        uint32_t bits[4];
        dn_philox(step->seed, number, of_step, (uint32_t)block, bits);
        float *to = x + r * length + 4 * block;
        for (size_t k = 0; k < 4 && 4 * block + k < length; k++) to[k] = dn_uniform_of(bits[k]) < to[k];
    });
}

extern "C" cudaError_t dn_cuda_noise(const dn_cuda_place *on, const dn_step *step, uint32_t number, size_t n,
                                     float deviation, float *x) {
    return dn_each(on, (n + 3) / 4, [=] __device__(size_t block) {
        float four[4];
        dn_normal4(step->seed, number, step->pass, (uint32_t)block, four);
        for (size_t k = 0; k < 4 && 4 * block + k < n; k++) x[4 * block + k] += deviation * four[k];
    });
}

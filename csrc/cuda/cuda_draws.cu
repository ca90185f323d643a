/* Several draws of a row: noise, densities, importance weights. */
#include "base/rng.h"
#include "cuda/cuda_values.cuh"
#include "net/latent.h"

extern "C" cudaError_t dn_cuda_repeat_rows(const dn_cuda_place *on, size_t rows, size_t draws, size_t cols,
                                           const float *x, float *y) {
    size_t n = rows * draws * cols;
    dn_split by_cols(n, cols), by_draws(rows * draws, draws);
    return dn_each(on, n, [=] __device__(size_t i) {
        size_t c, d, r = by_draws.of(by_cols.of(i, &c), &d);
        y[i] = x[r * cols + c];
    });
}

extern "C" cudaError_t dn_cuda_add_draws(const dn_cuda_place *on, size_t rows, size_t draws, size_t cols,
                                         const float *x, float *y) {
    dn_split by_cols(rows * cols, cols);
    return dn_each(on, rows * cols, [=] __device__(size_t i) {
        size_t c, r = by_cols.of(i, &c);
        const float *from = x + r * draws * cols + c;
        float sum = y[i];
        for (size_t d = 0; d < draws; d++) sum += from[d * cols];
        y[i] = sum;
    });
}

extern "C" cudaError_t dn_cuda_scale_rows(const dn_cuda_place *on, size_t rows, size_t cols, const float *a, float *x) {
    dn_split by_cols(rows * cols, cols);
    return dn_each(on, rows * cols, [=] __device__(size_t i) {
        size_t c;
        x[i] *= a[by_cols.of(i, &c)];
    });
}

/* A block of four numbers a thread. */
extern "C" cudaError_t dn_cuda_row_normals(const dn_cuda_place *on, const dn_step *step, uint32_t number, size_t rows,
                                           size_t draws, size_t cols, float *eps) {
    size_t per_draw = (cols + 3) / 4, n = rows * draws * per_draw;
    dn_split by_block(n, per_draw), by_draws(rows * draws, draws);
    return dn_each(on, n, [=] __device__(size_t i) {
        size_t block, draw, at = by_block.of(i, &block), row = by_draws.of(at, &draw);
        float four[4];
        dn_normal4(step->seed, number, step->pass + row, (uint32_t)((step->at + draw) * per_draw + block), four);
        for (size_t k = 0; k < 4 && 4 * block + k < cols; k++) eps[at * cols + 4 * block + k] = four[k];
    });
}

extern "C" cudaError_t dn_cuda_draw(const dn_cuda_place *on, size_t rows, size_t latent, int normal_prior,
                                    const float *x, const float *eps, float *z, float *drawn, float *kl) {
    return dn_each_block(on, rows, [=] __device__(size_t r) {
        const float *lv = x + r * 2 * latent, *mu = lv + latent, *e = eps + r * latent;
        double log_2pi = 1.8378770664093454836, ratio = 0, divergence = 0;
        for (size_t i = threadIdx.x; i < latent; i += DN_THREADS) {
            float b = dn_log_variance(lv[i]), value = mu[i] + expf(0.5f * b) * e[i];
            z[r * latent + i] = value;
            ratio += (normal_prior ? (double)value * value : -log_2pi) - (double)e[i] * e[i] - b;
            divergence += dn_latent_kl(lv[i], mu[i]);
        }
        ratio = dn_block_sum<DN_THREADS>(ratio);
        divergence = dn_block_sum<DN_THREADS>(divergence);
        if (threadIdx.x == 0) drawn[r] = (float)(0.5 * ratio), kl[r] = (float)divergence;
    });
}

extern "C" cudaError_t dn_cuda_draw_gradient(const dn_cuda_place *on, const dn_draw_gradient *of, size_t rows,
                                             size_t latent, const float *weight, const float *share, const float *x,
                                             const float *eps, const float *z, const float *dz, float *dx) {
    dn_draw_gradient g = *of;
    dn_split by_latent(rows * latent, latent);
    return dn_each(on, rows * latent, [=] __device__(size_t i) {
        size_t c, r = by_latent.of(i, &c), at = r * 2 * latent + c;
        float a = weight ? weight[r] : 1, u = g.scale * a, lv = x[at], sd = expf(0.5f * dn_log_variance(lv));
        float d = dz[i] + (g.normal_prior ? u * z[i] : 0);
        if (g.doubly) d = (share ? share[r] : 1) * (d - u * eps[i] / sd);
        dx[at] += (d * 0.5f * sd * eps[i] - (g.doubly ? 0 : 0.5f * u)) * dn_log_variance_slope(lv);
        dx[at + latent] += d;
    });
}

extern "C" cudaError_t dn_cuda_importance(const dn_cuda_place *on, size_t rows, size_t draws, const float *row_weight,
                                          const float *loss, float *share, double *sum) {
    return dn_each_sum(on, rows, sum, [=] __device__(size_t r) {
        const float *of = loss + r * draws;
        double total = 0;
        float least = of[0];
        for (size_t d = 1; d < draws; d++) least = of[d] < least ? of[d] : least;
        for (size_t d = 0; d < draws; d++) total += exp((double)least - of[d]);
        for (size_t d = 0; d < draws; d++) share[r * draws + d] = (float)(exp((double)least - of[d]) / total);
        return (row_weight ? row_weight[r] : 1) * (least - log(total / (double)draws));
    });
}

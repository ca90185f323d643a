/* Several draws of a row: noise, densities, importance weights. Sums over a row's values are added up in order, and
 * rows are computed one by one, so that neither threads nor neighbours change a bit. */
#include "base/rng.h"
#include "cpu/cpu_ops.h"
#include "net/latent.h"
#include <math.h>
#include <string.h>

enum { BLOCKS = 64, VALUES = 256 }; /* the random kernel makes so many blocks of four at a time */

typedef struct draws_job {
    size_t draws, cols, parts; /* cols: latent values; parts: pieces of a row's noise */
    const dn_draw_gradient *of;
    const dn_step *step;
    uint32_t stream;
    int normal_prior;
    const float *x, *eps, *dz, *weight, *share;
    float *y, *z, *drawn, *kl;
} draws_job;

static void repeat_range(const void *context, size_t from, size_t to) {
    const draws_job *j = context;
    for (size_t r = from; r < to; r++)
        memcpy(j->y + r * j->cols, j->x + r / j->draws * j->cols, j->cols * sizeof *j->y);
}
void cpu_repeat_rows(dn_pool *pool, size_t rows, size_t draws, size_t cols, const float *x, float *y) {
    draws_job job = {.draws = draws, .cols = cols, .x = x, .y = y};
    dn_range_run(pool, rows * draws, dn_grain_of(cols), repeat_range, &job);
}

static void add_range(const void *context, size_t from, size_t to) {
    const draws_job *j = context;
    for (size_t r = from; r < to; r++)
        for (size_t d = 0; d < j->draws; d++)
            dn_cpu_kernels_get()->axpy(j->cols, 1, j->x + (r * j->draws + d) * j->cols, j->y + r * j->cols);
}
void cpu_add_draws(dn_pool *pool, size_t rows, size_t draws, size_t cols, const float *x, float *y) {
    draws_job job = {.draws = draws, .cols = cols, .x = x, .y = y};
    dn_range_run(pool, rows, dn_grain_of(draws * cols), add_range, &job);
}

static void scale_range(const void *context, size_t from, size_t to) {
    const draws_job *j = context;
    for (size_t r = from; r < to; r++) dn_cpu_kernels_get()->scale(j->cols, j->weight[r], j->y + r * j->cols);
}
void cpu_scale_rows(dn_pool *pool, size_t rows, size_t cols, const float *a, float *x) {
    draws_job job = {.cols = cols, .weight = a, .y = x};
    dn_range_run(pool, rows, dn_grain_of(cols), scale_range, &job);
}

/* ---- noise ---- */

/* Pieces of BLOCKS blocks; a draw's last block may be used in part. */
static void normals_range(const void *context, size_t from, size_t to) {
    const draws_job *j = context;
    size_t per_draw = (j->cols + 3) / 4, blocks = j->draws * per_draw;
    for (size_t part = from; part < to; part++) {
        size_t row = part / j->parts, first = part % j->parts * BLOCKS;
        size_t n = blocks - first < BLOCKS ? blocks - first : BLOCKS;
        uint32_t block = (uint32_t)(j->step->at * per_draw + first);
        float four[VALUES], *to_row = j->y + row * j->draws * j->cols;
        dn_cpu_kernels_get()->random(1, j->step->seed, j->stream, j->step->pass + row, block, 4 * n, four);
        for (size_t i = 0; i < n; i++) {
            size_t draw = (first + i) / per_draw, col = (first + i) % per_draw * 4;
            size_t count = j->cols - col < 4 ? j->cols - col : 4;
            memcpy(to_row + draw * j->cols + col, four + 4 * i, count * sizeof *four);
        }
    }
}
void cpu_row_normals(dn_pool *pool, const dn_step *step, uint32_t stream, size_t rows, size_t draws, size_t cols,
                     float *eps) {
    size_t parts = (draws * ((cols + 3) / 4) + BLOCKS - 1) / BLOCKS;
    draws_job job = {.draws = draws, .cols = cols, .parts = parts, .step = step, .stream = stream, .y = eps};
    dn_range_run(pool, rows * parts, dn_grain_of(4 * VALUES), normals_range, &job);
}

/* ---- draws and their densities ---- */

/* The sum of n log-variances as they count (latent.h), and of z^2 and eps^2. */
static void draw_sums(size_t n, const float *lv, const float *eps, const float *z, double *log_variance, double *zz,
                      double *ee) {
    double b = 0, zs = 0, es = 0;
    for (size_t i = 0; i < n; i++) {
        b += dn_log_variance(lv[i]);
        zs += (double)z[i] * z[i];
        es += (double)eps[i] * eps[i];
    }
    *log_variance = b, *zz = zs, *ee = es;
}

static void draw_range(const void *context, size_t from, size_t to) {
    static const double log_2pi = 1.8378770664093454836;
    const draws_job *j = context;
    for (size_t r = from; r < to; r++) {
        const float *lv = j->x + r * 2 * j->cols, *eps = j->eps + r * j->cols;
        float *z = j->z + r * j->cols;
        double kl = dn_cpu_kernels_get()->reparameterise(j->cols, lv, lv + j->cols, eps, z), b, zz, ee;
        draw_sums(j->cols, lv, eps, z, &b, &zz, &ee);
        j->kl[r] = (float)kl;
        j->drawn[r] = (float)(0.5 * (j->normal_prior ? zz - ee - b : -ee - b - log_2pi * (double)j->cols));
    }
}
void cpu_draw(dn_pool *pool, size_t rows, size_t latent, int normal_prior, const float *x, const float *eps, float *z,
              float *drawn, float *kl) {
    draws_job job = {
        .cols = latent, .normal_prior = normal_prior, .x = x, .eps = eps, .z = z, .drawn = drawn, .kl = kl};
    dn_range_run(pool, rows, dn_grain_of(8 * latent), draw_range, &job);
}

static void draw_gradient_range(const void *context, size_t from, size_t to) {
    const draws_job *j = context;
    const dn_draw_gradient *of = j->of;
    for (size_t r = from; r < to; r++) {
        float weight = j->weight ? j->weight[r] : 1, share = j->share ? j->share[r] : 1;
        float u = of->scale * weight, prior = of->normal_prior ? u : 0;
        for (size_t at = 0, n; at < j->cols; at += n) {
            float g[VALUES];
            n = j->cols - at < VALUES ? j->cols - at : VALUES;
            const float *lv = j->x + r * 2 * j->cols + at, *eps = j->eps + r * j->cols + at;
            const float *z = j->z + r * j->cols + at, *dz = j->dz + r * j->cols + at;
            float *dlv = j->y + r * 2 * j->cols + at;
            for (size_t i = 0; i < n; i++) g[i] = dz[i] + prior * z[i];
            for (size_t i = 0; of->doubly && i < n; i++)
                g[i] = share * (g[i] - u * eps[i] * expf(-0.5f * dn_log_variance(lv[i])));
            dn_cpu_kernels_get()->reparameterise_gradient(n, 0, lv, lv + j->cols, eps, g, dlv, dlv + j->cols);
            for (size_t i = 0; !of->doubly && i < n; i++) dlv[i] -= 0.5f * u * dn_log_variance_slope(lv[i]);
        }
    }
}
void cpu_draw_gradient(dn_pool *pool, const dn_draw_gradient *of, size_t rows, size_t latent, const float *weight,
                       const float *share, const float *x, const float *eps, const float *z, const float *dz,
                       float *dx) {
    draws_job job = {.cols = latent,
                     .of = of,
                     .weight = weight,
                     .share = share,
                     .x = x,
                     .eps = eps,
                     .z = (float *)z,
                     .dz = dz,
                     .y = dx};
    dn_range_run(pool, rows, dn_grain_of(8 * latent), draw_gradient_range, &job);
}

void cpu_importance(dn_pool *pool, size_t rows, size_t draws, const float *row_weight, const float *loss, float *share,
                    double *sum) {
    (void)pool; /* a number per row of a pass */
    for (size_t r = 0; r < rows; r++, loss += draws, share += draws) {
        double total = 0;
        float least = loss[0];
        for (size_t d = 1; d < draws; d++) least = loss[d] < least ? loss[d] : least;
        for (size_t d = 0; d < draws; d++) total += exp((double)least - loss[d]);
        for (size_t d = 0; d < draws; d++) share[d] = (float)(exp((double)least - loss[d]) / total);
        *sum += (row_weight ? row_weight[r] : 1) * (least - log(total / (double)draws));
    }
}

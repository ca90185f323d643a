/* What a KL costs when that is not its weighted sum, and what training does to rows: draws of bits, noise. */
#include "cpu/cpu_ops.h"
#include "net/latent.h"
#include <math.h>

typedef struct kl_job {
    dn_kl_form form;
    size_t rows, latent;
    float weight;
    const float *row_weight, *x, *factor;
    double *sums;
    float *dx;
} kl_job;

static void kl_columns_range(const void *context, size_t from, size_t to) {
    const kl_job *j = context;
    for (size_t r = 0; r < j->rows; r++) {
        const float *lv = j->x + r * 2 * j->latent, *mu = lv + j->latent;
        double w = j->row_weight ? j->row_weight[r] : 1;
        for (size_t c = from; c < to; c++) j->sums[c] += w * dn_latent_kl(lv[c], mu[c]);
    }
}

void cpu_kl_columns(dn_pool *pool, size_t rows, size_t latent, const float *row_weight, const float *x, double *sums) {
    kl_job job = {.rows = rows, .latent = latent, .row_weight = row_weight, .x = x, .sums = sums};
    double counted = row_weight ? 0 : (double)rows;
    dn_range_run(pool, latent, dn_grain_of(rows), kl_columns_range, &job);
    for (size_t r = 0; row_weight && r < rows; r++) counted += row_weight[r];
    sums[latent] += counted;
}

void cpu_kl_cost(dn_pool *pool, dn_kl_form form, size_t n, const float *weight, const float *limit,
                 const float *row_weight, const float *kl, const double *columns, float *factor, double *sum) {
    double cost = 0, rows = form == DN_KL_FREE_COLUMNS ? columns[n] : 1;
    (void)pool;
    for (size_t i = 0; i < n; i++) {
        double one = form == DN_KL_FREE_COLUMNS ? columns[i] / rows : kl[i];
        cost += (row_weight && kl ? row_weight[i] : 1) * dn_kl_cost_one(form, one, *limit, factor + i);
    }
    *sum += (double)*weight * rows * cost;
}

static void kl_gradient_range(const void *context, size_t from, size_t to) {
    const kl_job *j = context;
    for (size_t r = from; r < to; r++) {
        const float *lv = j->x + r * 2 * j->latent, *mu = lv + j->latent;
        float *dlv = j->dx + r * 2 * j->latent, *dmu = dlv + j->latent;
        float weight = j->row_weight ? j->weight * j->row_weight[r] : j->weight;
        for (size_t c = 0; c < j->latent; c++) {
            float w = weight * j->factor[j->form == DN_KL_FREE_COLUMNS ? c : r];
            dlv[c] += w * 0.5f * expm1f(dn_log_variance(lv[c])) * dn_log_variance_slope(lv[c]);
            dmu[c] += w * mu[c];
        }
    }
}

void cpu_kl_gradient(dn_pool *pool, dn_kl_form form, size_t rows, size_t latent, double scale, const float *weight,
                     const float *row_weight, const float *x, const float *factor, float *dx) {
    kl_job job = {.form = form,
                  .latent = latent,
                  .weight = (float)(scale * *weight),
                  .row_weight = row_weight,
                  .x = x,
                  .factor = factor,
                  .dx = dx};
    dn_range_run(pool, rows, dn_grain_of(latent * 8), kl_gradient_range, &job);
}

typedef struct limit_job {
    size_t latent;
    float limit;
    const float *x, *dy;
    float *to;
} limit_job;

static void limit_range(const void *context, size_t from, size_t to) {
    const limit_job *j = context;
    size_t z = j->latent;
    for (size_t r = from; r < to; r++) {
        const float *x = j->x + r * 2 * z;
        float *y = j->to + r * 2 * z;
        for (size_t c = 0; c < z; c++) y[c] = dn_log_variance_limited(j->limit, x[c]), y[z + c] = x[z + c];
    }
}

void cpu_limit_variances(dn_pool *pool, size_t rows, size_t latent, float limit, const float *x, float *y) {
    limit_job job = {.latent = latent, .limit = limit, .x = x, .to = y};
    dn_range_run(pool, rows, dn_grain_of(latent * 8), limit_range, &job);
}

static void limit_gradient_range(const void *context, size_t from, size_t to) {
    const limit_job *j = context;
    size_t z = j->latent;
    for (size_t r = from; r < to; r++) {
        const float *x = j->x + r * 2 * z, *dy = j->dy + r * 2 * z;
        float *dx = j->to + r * 2 * z;
        for (size_t c = 0; c < z; c++) {
            dx[c] += dy[c] * dn_log_variance_limited_slope(j->limit, x[c]);
            dx[z + c] += dy[z + c];
        }
    }
}

void cpu_limit_variances_gradient(dn_pool *pool, size_t rows, size_t latent, float limit, const float *x,
                                  const float *dy, float *dx) {
    limit_job job = {.latent = latent, .limit = limit, .x = x, .dy = dy, .to = dx};
    dn_range_run(pool, rows, dn_grain_of(latent * 8), limit_gradient_range, &job);
}

/* ---- rows of data ---- */

enum { DRAWN = 256 };

typedef struct data_job {
    const dn_step *step;
    uint32_t stream;
    size_t n, cols;
    const uint32_t *order;
    float deviation, *x;
} data_job;

/* Values [from, to) of x, numbered from 0 in the stream's step; `from` is a multiple of 4. */
static void draw_bits(const data_job *j, uint64_t step, size_t from, size_t to, float *x) {
    float u[DRAWN];
    for (size_t at = from, n; at < to; at += n) {
        n = to - at < DRAWN ? to - at : DRAWN;
        dn_cpu_kernels_get()->random(0, j->step->seed, j->stream, step, (uint32_t)(at / 4), n, u);
        for (size_t i = 0; i < n; i++) x[at + i] = u[i] < x[at + i];
    }
}

static void bits_range(const void *context, size_t from, size_t to) { /* in blocks of four */
    const data_job *j = context;
    draw_bits(j, j->step->pass, from * 4, to * 4 < j->n ? to * 4 : j->n, j->x);
}

static void bits_of_rows(const void *context, size_t from, size_t to) {
    const data_job *j = context;
    for (size_t r = from; r < to; r++) {
        uint64_t row = j->step->at + r;
        draw_bits(j, j->order ? j->order[row] : row, 0, j->cols, j->x + r * j->cols);
    }
}

void cpu_bernoulli(dn_pool *pool, const dn_step *step, uint32_t stream, size_t rows, size_t cols, int by_row,
                   const uint32_t *order, float *x) {
    data_job job = {.step = step, .stream = stream, .n = rows * cols, .cols = cols, .order = order, .x = x};
    if (by_row)
        dn_range_run(pool, rows, dn_grain_of(cols), bits_of_rows, &job);
    else
        dn_range_run(pool, (rows * cols + 3) / 4, DN_GRAIN / 4, bits_range, &job);
}

static void noise_range(const void *context, size_t from, size_t to) { /* in blocks of four */
    const data_job *j = context;
    size_t end = to * 4 < j->n ? to * 4 : j->n;
    float eps[DRAWN];
    for (size_t at = from * 4, n; at < end; at += n) {
        n = end - at < DRAWN ? end - at : DRAWN;
        dn_cpu_kernels_get()->random(1, j->step->seed, j->stream, j->step->pass, (uint32_t)(at / 4), n, eps);
        for (size_t i = 0; i < n; i++) j->x[at + i] += j->deviation * eps[i];
    }
}

void cpu_noise(dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float deviation, float *x) {
    data_job job = {.step = step, .stream = stream, .n = n, .deviation = deviation, .x = x};
    dn_range_run(pool, (n + 3) / 4, DN_GRAIN / 4, noise_range, &job);
}

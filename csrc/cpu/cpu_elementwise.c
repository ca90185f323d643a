/* Vectors, biases, activations and dropout. */
#include "cpu/cpu_ops.h"
#include <string.h>

/* One description for all loops over a long vector; `run` does [from, to). */
typedef struct vector_job vector_job;
struct vector_job {
    void (*run)(const vector_job *, size_t from, size_t to);
    float a;
    const float *x, *u;
    float *y;
    dn_activation activation;
};

static void vector_range(const void *context, size_t from, size_t to) {
    const vector_job *j = context;
    j->run(j, from, to);
}
static void vector_run(dn_pool *pool, size_t n, vector_job job) { dn_range_run(pool, n, DN_GRAIN, vector_range, &job); }

static void run_fill(const vector_job *j, size_t from, size_t to) {
    if (j->a == 0)
        memset(j->y + from, 0, (to - from) * sizeof(float));
    else
        for (size_t i = from; i < to; i++) j->y[i] = j->a;
}
static void run_copy(const vector_job *j, size_t from, size_t to) {
    memcpy(j->y + from, j->x + from, (to - from) * sizeof(float));
}
static void run_scale(const vector_job *j, size_t from, size_t to) {
    dn_cpu_kernels_get()->scale(to - from, j->a, j->y + from);
}
static void run_axpy(const vector_job *j, size_t from, size_t to) {
    dn_cpu_kernels_get()->axpy(to - from, j->a, j->x + from, j->y + from);
}
static void run_mul_add(const vector_job *j, size_t from, size_t to) {
    dn_cpu_kernels_get()->mul_add(to - from, j->a, j->x + from, j->u + from, j->y + from);
}

void cpu_fill(dn_pool *pool, size_t n, float value, float *x) {
    vector_run(pool, n, (vector_job){.run = run_fill, .a = value, .y = x});
}
void cpu_copy(dn_pool *pool, size_t n, const float *x, float *y) {
    vector_run(pool, n, (vector_job){.run = run_copy, .x = x, .y = y});
}
void cpu_scale(dn_pool *pool, size_t n, float a, float *x) {
    vector_run(pool, n, (vector_job){.run = run_scale, .a = a, .y = x});
}
void cpu_axpy(dn_pool *pool, size_t n, float a, const float *x, float *y) {
    vector_run(pool, n, (vector_job){.run = run_axpy, .a = a, .x = x, .y = y});
}
void cpu_mul_add(dn_pool *pool, size_t n, float a, const float *x, const float *y, float *z) {
    vector_run(pool, n, (vector_job){.run = run_mul_add, .a = a, .x = x, .u = y, .y = z});
}

/* ---- rows ---- */

typedef struct rows_job {
    size_t rows, cols, ldx, ldy;
    const float *x;
    float *y;
} rows_job;

static void copy_rows(const void *context, size_t from, size_t to) {
    const rows_job *j = context;
    for (size_t r = from; r < to; r++) memcpy(j->y + r * j->ldy, j->x + r * j->ldx, j->cols * sizeof *j->y);
}
static void add_rows(const void *context, size_t from, size_t to) {
    const rows_job *j = context;
    for (size_t r = from; r < to; r++) dn_cpu_kernels_get()->axpy(j->cols, 1, j->x + r * j->ldx, j->y + r * j->ldy);
}
void cpu_copy_rows(dn_pool *pool, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy) {
    rows_job job = {rows, cols, ldx, ldy, x, y};
    dn_range_run(pool, rows, dn_grain_of(cols), copy_rows, &job);
}
void cpu_add_rows(dn_pool *pool, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy) {
    rows_job job = {rows, cols, ldx, ldy, x, y};
    dn_range_run(pool, rows, dn_grain_of(cols), add_rows, &job);
}

static void sum_rows(const void *context, size_t from, size_t to) {
    const rows_job *j = context;
    for (size_t r = from; r < to; r++) j->y[r] = (float)dn_cpu_kernels_get()->sum(j->cols, j->x + r * j->cols);
}
void cpu_row_sums(dn_pool *pool, size_t rows, size_t n, const float *x, float *sums) {
    rows_job job = {.rows = rows, .cols = n, .x = x, .y = sums};
    dn_range_run(pool, rows, dn_grain_of(n), sum_rows, &job);
}

static double sum_range(const void *context, size_t from, size_t to) {
    return dn_cpu_kernels_get()->sum(to - from, (const float *)context + from);
}
void cpu_add_sum(dn_pool *pool, size_t n, double a, const float *x, double *sum) {
    *sum += a * dn_range_sum(pool, n, DN_GRAIN, sum_range, x);
}

/* x: the biases; cols: channels, ldx: values of one channel */
static void bias_rows(const void *context, size_t from, size_t to) {
    const rows_job *j = context;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    float *y = j->y + from * j->cols * j->ldx;
    for (size_t r = from; r < to; r++) {
        if (j->ldx == 1) {
            k->axpy(j->cols, 1, j->x, y);
            y += j->cols;
        } else
            for (size_t c = 0; c < j->cols; c++, y += j->ldx) k->shift(j->ldx, j->x[c], y);
    }
}
void cpu_bias_add(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *bias, float *y) {
    rows_job job = {rows, channels, spatial, 0, bias, y};
    dn_range_run(pool, rows, dn_grain_of(channels * spatial), bias_rows, &job);
}

/* cols: channels, ldx: values of one channel, y: the gradient; channels [from, to) */
static void bias_sums(const void *context, size_t from, size_t to) {
    const rows_job *j = context;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    if (j->ldx == 1) {
        k->column_sums(j->rows, to - from, j->cols, j->x + from, j->y + from);
        return;
    }
    for (size_t c = from; c < to; c++) {
        double sum = 0;
        for (size_t r = 0; r < j->rows; r++) sum += k->sum(j->ldx, j->x + (r * j->cols + c) * j->ldx);
        j->y[c] += (float)sum;
    }
}
void cpu_bias_gradient(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *dy, float *db) {
    rows_job job = {rows, channels, spatial, 0, dy, db};
    size_t grain = dn_grain_of(rows * spatial);
    if (spatial == 1) grain = (grain + 63) / 64 * 64; /* whole cache lines of a row */
    dn_range_run(pool, channels, grain, bias_sums, &job);
}

/* ---- activations and dropout ---- */

static void run_activate(const vector_job *j, size_t from, size_t to) {
    dn_cpu_kernels_get()->activate(j->activation, to - from, j->y + from);
}
static void run_gradient(const vector_job *j, size_t from, size_t to) {
    dn_cpu_kernels_get()->activate_gradient(j->activation, to - from, j->x + from, j->y + from);
}

void cpu_activate(dn_pool *pool, dn_activation activation, size_t n, float *x) {
    if (activation != DN_LINEAR)
        vector_run(pool, n, (vector_job){.run = run_activate, .y = x, .activation = activation});
}
void cpu_activate_gradient(dn_pool *pool, dn_activation activation, size_t n, const float *y, float *dy) {
    if (activation != DN_LINEAR)
        vector_run(pool, n, (vector_job){.run = run_gradient, .x = y, .y = dy, .activation = activation});
}

static void run_dropout(const vector_job *j, size_t from, size_t to) {
    float keep = 1 / (1 - j->a);
    for (size_t i = from; i < to; i++) j->y[i] = j->u[i] < j->a ? 0 : j->x[i] * keep;
}
static void run_dropout_gradient(const vector_job *j, size_t from, size_t to) {
    float keep = 1 / (1 - j->a);
    for (size_t i = from; i < to; i++) j->y[i] += j->u[i] < j->a ? 0 : j->x[i] * keep;
}
void cpu_dropout(dn_pool *pool, size_t n, float p, const float *u, const float *x, float *y) {
    vector_run(pool, n, (vector_job){.run = run_dropout, .a = p, .u = u, .x = x, .y = y});
}
void cpu_dropout_gradient(dn_pool *pool, size_t n, float p, const float *u, const float *dy, float *dx) {
    vector_run(pool, n, (vector_job){.run = run_dropout_gradient, .a = p, .u = u, .x = dy, .y = dx});
}

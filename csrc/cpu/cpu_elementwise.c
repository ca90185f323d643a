/* Vectors, biases, activations and dropout. */
#include "cpu_ops.h"
#include <math.h>
#include <string.h>

/* One description for all loops over a long vector; `run` works on [from, to). */
typedef struct vector_job vector_job;
struct vector_job {
    void (*run)(const vector_job *, size_t from, size_t to);
    size_t n;
    float a;
    const float *x, *u;
    float *y;
    dn_activation activation;
};

static void vector_chunk(void *context, size_t chunk) {
    const vector_job *j = context;
    j->run(j, chunk * DN_GRAIN, dn_chunk_end(chunk, DN_GRAIN, j->n));
}

static void vector_run(dn_pool *pool, vector_job job) { dn_pool_run(pool, dn_chunks(job.n, DN_GRAIN), vector_chunk, &job); }

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
    for (size_t i = from; i < to; i++) j->y[i] *= j->a;
}
static void run_axpy(const vector_job *j, size_t from, size_t to) {
    dn_cpu_kernels_get()->axpy(to - from, j->a, j->x + from, j->y + from);
}

void cpu_fill(dn_pool *pool, size_t n, float value, float *x) {
    vector_run(pool, (vector_job){.run = run_fill, .n = n, .a = value, .y = x});
}
void cpu_copy(dn_pool *pool, size_t n, const float *x, float *y) {
    vector_run(pool, (vector_job){.run = run_copy, .n = n, .x = x, .y = y});
}
void cpu_scale(dn_pool *pool, size_t n, float a, float *x) {
    vector_run(pool, (vector_job){.run = run_scale, .n = n, .a = a, .y = x});
}
void cpu_axpy(dn_pool *pool, size_t n, float a, const float *x, float *y) {
    vector_run(pool, (vector_job){.run = run_axpy, .n = n, .a = a, .x = x, .y = y});
}

void cpu_mul_add(dn_pool *pool, size_t n, float a, const float *x, const float *y, float *z) {
    (void)pool;
    for (size_t i = 0; i < n; i++) z[i] += a * x[i] * y[i];
}

void cpu_copy_rows(dn_pool *pool, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy) {
    (void)pool;
    for (size_t r = 0; r < rows; r++) memcpy(y + r * ldy, x + r * ldx, cols * sizeof *y);
}
void cpu_add_rows(dn_pool *pool, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy) {
    (void)pool;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < cols; i++) y[r * ldy + i] += x[r * ldx + i];
}

void cpu_bias_add(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *bias, float *y) {
    (void)pool;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < channels; c++, y += spatial)
            for (size_t i = 0; i < spatial; i++) y[i] += bias[c];
}

void cpu_bias_gradient(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *dy, float *db) {
    (void)pool;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < channels; c++, dy += spatial) {
            float s = 0;
            for (size_t i = 0; i < spatial; i++) s += dy[i];
            db[c] += s;
        }
}

static inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

static float activate(dn_activation a, float x) {
    switch (a) {
    case DN_LINEAR: return x;
    case DN_LOGISTIC: return logistic(x);
    case DN_LOGGY: return 2 * logistic(x) - 1;
    case DN_RELU: return x > 0 ? x : 0;
    case DN_ELU: return x >= 0 ? x : expm1f(x);
    case DN_SELU: return x >= 0 ? 1.0507f * x : 1.0507f * 1.6732f * expm1f(x);
    case DN_RELIE: return x > 0 ? x : 0.01f * x;
    case DN_RAMP: return x > 0 ? x + 0.1f * x : 0.1f * x;
    case DN_LEAKY: return x > 0 ? x : 0.1f * x;
    case DN_TANH: return tanhf(x);
    case DN_PLSE: return x < -4 ? 0.01f * (x + 4) : x > 4 ? 0.01f * (x - 4) + 1 : 0.125f * x + 0.5f;
    case DN_STAIR: {
        float n = floorf(x), half = floorf(x / 2);
        return fmodf(n, 2) == 0 ? half : (x - n) + half;
    }
    case DN_HARDTAN: return x < -1 ? -1 : x > 1 ? 1 : x;
    case DN_LHTAN: return x < 0 ? 0.001f * x : x > 1 ? 0.001f * (x - 1) + 1 : x;
    case DN_ACTIVATION_COUNT: break;
    }
    return x;
}

/* act'(x) from y = act(x), as Darknet defines it at the kinks */
static float gradient(dn_activation a, float y) {
    switch (a) {
    case DN_LINEAR: return 1;
    case DN_LOGISTIC: return y * (1 - y);
    case DN_LOGGY: {
        float p = (y + 1) / 2;
        return 2 * p * (1 - p);
    }
    case DN_RELU: return y > 0;
    case DN_ELU: return y >= 0 ? 1 : y + 1;
    case DN_SELU: return y >= 0 ? 1.0507f : y + 1.0507f * 1.6732f;
    case DN_RELIE: return y > 0 ? 1 : 0.01f;
    case DN_RAMP: return (y > 0) + 0.1f;
    case DN_LEAKY: return y > 0 ? 1 : 0.1f;
    case DN_TANH: return 1 - y * y;
    case DN_PLSE: return y < 0 || y > 1 ? 0.01f : 0.125f;
    case DN_STAIR: return y == floorf(y) ? 0 : 1;
    case DN_HARDTAN: return y > -1 && y < 1;
    case DN_LHTAN: return y > 0 && y < 1 ? 1 : 0.001f;
    case DN_ACTIVATION_COUNT: break;
    }
    return 1;
}

static void run_activate(const vector_job *j, size_t from, size_t to) {
    float *y = j->y;
    if (j->activation == DN_LEAKY)
        for (size_t i = from; i < to; i++) y[i] = y[i] > 0 ? y[i] : 0.1f * y[i];
    else if (j->activation == DN_RELU)
        for (size_t i = from; i < to; i++) y[i] = y[i] > 0 ? y[i] : 0;
    else
        for (size_t i = from; i < to; i++) y[i] = activate(j->activation, y[i]);
}
static void run_gradient(const vector_job *j, size_t from, size_t to) {
    const float *y = j->x;
    float *dy = j->y;
    if (j->activation == DN_LEAKY)
        for (size_t i = from; i < to; i++) dy[i] = y[i] > 0 ? dy[i] : 0.1f * dy[i];
    else
        for (size_t i = from; i < to; i++) dy[i] *= gradient(j->activation, y[i]);
}

void cpu_activate(dn_pool *pool, dn_activation activation, size_t n, float *x) {
    if (activation != DN_LINEAR)
        vector_run(pool, (vector_job){.run = run_activate, .n = n, .y = x, .activation = activation});
}
void cpu_activate_gradient(dn_pool *pool, dn_activation activation, size_t n, const float *y, float *dy) {
    if (activation != DN_LINEAR)
        vector_run(pool, (vector_job){.run = run_gradient, .n = n, .x = y, .y = dy, .activation = activation});
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
    vector_run(pool, (vector_job){.run = run_dropout, .n = n, .a = p, .u = u, .x = x, .y = y});
}
void cpu_dropout_gradient(dn_pool *pool, size_t n, float p, const float *u, const float *dy, float *dx) {
    vector_run(pool, (vector_job){.run = run_dropout_gradient, .n = n, .a = p, .u = u, .x = dy, .y = dx});
}

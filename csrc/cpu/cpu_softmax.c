/* Operations across channels: softmax, normalisation to unit length, local response normalisation; gathering, averages,
 * binary weights. */
#include "cpu/cpu_ops.h"
#include <float.h>
#include <math.h>

void cpu_binarize(dn_pool *pool, size_t rows, size_t n, int mean, const float *x, float *y) {
    (void)pool;
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        double sum = 0;
        for (size_t i = 0; mean && i < n; i++) sum += fabsf(x[i]);
        float size = mean ? (float)(sum / (double)n) : 1;
        for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? size : -size;
    }
}

void cpu_avgpool_forward(dn_pool *pool, size_t maps, size_t spatial, const float *x, float *y) {
    (void)pool;
    for (size_t m = 0; m < maps; m++) {
        double sum = 0;
        for (size_t i = 0; i < spatial; i++) sum += x[m * spatial + i];
        y[m] = (float)(sum / (double)spatial);
    }
}

void cpu_avgpool_backward(dn_pool *pool, size_t maps, size_t spatial, const float *dy, float *dx) {
    (void)pool;
    for (size_t m = 0; m < maps; m++)
        for (size_t i = 0; i < spatial; i++) dx[m * spatial + i] += dy[m] / (float)spatial;
}

void cpu_gather(dn_pool *pool, size_t rows, size_t n_in, size_t n_out, const int *index, float a, float b,
                const float *x, float *y) {
    (void)pool;
    for (size_t r = 0; r < rows; r++, x += n_in, y += n_out)
        for (size_t i = 0; i < n_out; i++) y[i] = index[i] < 0 ? 0 : a * x[index[i]] + b;
}

void cpu_scatter_add(dn_pool *pool, size_t rows, size_t n_in, size_t n_out, const int *index, float a, const float *dy,
                     float *dx) {
    (void)pool;
    for (size_t r = 0; r < rows; r++, dx += n_in, dy += n_out)
        for (size_t i = 0; i < n_out; i++)
            if (index[i] >= 0) dx[index[i]] += a * dy[i];
}

typedef struct expand_job {
    size_t n_in, n_out;
    const int *column, *as;
    const float *x;
    float *y;
} expand_job;

/* All classes of one column: zeros with a 1 at the code. */
static void expand_code(size_t n, float code, float *y) {
    size_t at = code >= 0 && code < (float)n ? (size_t)code : n;
    for (size_t k = 0; k < n; k++) y[k] = 0;
    if (at < n && (float)at == code) y[at] = 1;
}

/* Value by value, but the classes of a column together; rows are inside, so that these are looked for once. */
static void expand_rows(const void *context, size_t from, size_t to) {
    const expand_job *j = context;
    for (size_t o = 0, n; o < j->n_out; o += n) {
        const float *x = j->x + j->column[o];
        int as = j->as[o];
        for (n = 1; !as && o + n < j->n_out && j->column[o + n] == j->column[o] && j->as[o + n] == (int)n;) n++;
        for (size_t r = from; r < to; r++)
            if (as)
                j->y[r * j->n_out + o] = dn_expanded(as, x[r * j->n_in]);
            else
                expand_code(n, x[r * j->n_in], j->y + r * j->n_out + o);
    }
}

void cpu_expand(dn_pool *pool, size_t rows, size_t n_in, size_t n_out, const int *column, const int *as, const float *x,
                float *y) {
    expand_job job = {n_in, n_out, column, as, x, y};
    dn_range_run(pool, rows, dn_grain_of(n_out), expand_rows, &job);
}

typedef struct softmax_job {
    const dn_softmax_shape *shape;
    float temperature;
    const float *x, *y, *dy;
    float *to, *error;
} softmax_job;

/* Rows [from, to). A softmax whose values are contiguous is done in place; others are gathered. */
static void softmax_forward(const void *context, size_t from, size_t to) {
    enum { GATHERED = 1024 };
    const softmax_job *j = context;
    const dn_softmax_shape *s = j->shape;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    float values[GATHERED];
    for (size_t r = from; r < to; r++)
        for (size_t g = 0; g < s->groups; g++) {
            const float *x = j->x + r * s->row_step + g * s->group_step;
            float *y = j->to + r * s->row_step + g * s->group_step;
            if (s->step == 1) {
                k->softmax(s->n, j->temperature, x, y);
            } else if (s->n <= GATHERED) {
                for (size_t i = 0; i < s->n; i++) values[i] = x[i * s->step];
                k->softmax(s->n, j->temperature, values, values);
                for (size_t i = 0; i < s->n; i++) y[i * s->step] = values[i];
            } else {
                float largest = -FLT_MAX;
                double sum = 0;
                for (size_t i = 0; i < s->n; i++) largest = fmaxf(largest, x[i * s->step]);
                for (size_t i = 0; i < s->n; i++)
                    sum += y[i * s->step] = expf((x[i * s->step] - largest) / j->temperature);
                for (size_t i = 0; i < s->n; i++) y[i * s->step] = (float)(y[i * s->step] / sum);
            }
        }
}

static void softmax_backward(const void *context, size_t from, size_t to) {
    const softmax_job *j = context;
    const dn_softmax_shape *s = j->shape;
    for (size_t r = from; r < to; r++)
        for (size_t g = 0; g < s->groups; g++) {
            size_t at = r * s->row_step + g * s->group_step;
            double dot = 0;
            for (size_t i = 0; i < s->n; i++) dot += (double)j->y[at + i * s->step] * j->dy[at + i * s->step];
            for (size_t i = 0; i < s->n; i++) {
                size_t k = at + i * s->step;
                j->to[k] += j->y[k] * (j->dy[k] - (float)dot) / j->temperature;
            }
        }
}

static double softmax_errors(const void *context, size_t from, size_t to) { /* dy: the truth */
    const softmax_job *j = context;
    const dn_softmax_shape *s = j->shape;
    double total = 0;
    for (size_t r = from; r < to; r++)
        for (size_t g = 0; g < s->groups; g++) {
            size_t at = r * s->row_step + g * s->group_step;
            double sum = 0;
            int masked = 0;
            for (size_t i = 0; i < s->n; i++) {
                float t = j->dy[at + i * s->step];
                sum += t, masked |= t == DN_MASKED;
            }
            for (size_t i = 0; i < s->n; i++) {
                size_t k = at + i * s->step;
                float t = j->dy[k];
                j->error[k] = masked || t == 0 ? 0 : -t * logf(fmaxf(j->y[k], FLT_MIN));
                j->to[k] = masked ? 0 : (j->y[k] * (float)sum - t) / j->temperature;
                total += j->error[k];
            }
        }
    return total;
}

static size_t softmax_grain(const dn_softmax_shape *s) { return dn_grain_of(4 * s->groups * s->n); }

void cpu_softmax(dn_pool *pool, const dn_softmax_shape *s, float temperature, const float *x, float *y) {
    softmax_job job = {.shape = s, .temperature = temperature, .x = x, .to = y};
    dn_range_run(pool, s->rows, softmax_grain(s), softmax_forward, &job);
}
void cpu_softmax_gradient(dn_pool *pool, const dn_softmax_shape *s, float temperature, const float *y, const float *dy,
                          float *dx) {
    softmax_job job = {.shape = s, .temperature = temperature, .y = y, .dy = dy, .to = dx};
    dn_range_run(pool, s->rows, softmax_grain(s), softmax_backward, &job);
}
void cpu_softmax_loss(dn_pool *pool, const dn_softmax_shape *s, float temperature, const float *y, const float *truth,
                      float *error, float *gradient, double *sum) {
    softmax_job job = {.shape = s, .temperature = temperature, .y = y, .dy = truth, .to = gradient, .error = error};
    *sum += dn_range_sum(pool, s->rows, softmax_grain(s), softmax_errors, &job);
}

/* Norms across channels; rows [from, to) in each. */
typedef struct across_job {
    size_t channels, spatial;
    int size;
    float alpha, beta, kappa;
    const float *x, *kept, *dy; /* kept: the norms of the forward pass */
    float *y, *norms;
} across_job;

static void l2norm_forward(const void *context, size_t from, size_t to) {
    const across_job *j = context;
    size_t channels = j->channels, spatial = j->spatial;
    const float *x = j->x;
    float *y = j->y, *norms = j->norms;
    for (size_t r = from; r < to; r++)
        for (size_t i = 0; i < spatial; i++) {
            double square = 0;
            for (size_t c = 0; c < channels; c++) {
                double v = x[(r * channels + c) * spatial + i];
                square += v * v;
            }
            float norm = norms[r * spatial + i] = (float)sqrt(square);
            for (size_t c = 0; c < channels; c++) {
                size_t at = (r * channels + c) * spatial + i;
                y[at] = norm > 0 ? x[at] / norm : 0;
            }
        }
}
void cpu_l2norm_forward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *x, float *y,
                        float *norms) {
    across_job job = {.channels = channels, .spatial = spatial, .x = x, .y = y, .norms = norms};
    dn_range_run(pool, rows, dn_grain_of(4 * channels * spatial), l2norm_forward, &job);
}

static void l2norm_backward(const void *context, size_t from, size_t to) {
    const across_job *j = context;
    size_t channels = j->channels, spatial = j->spatial;
    const float *y = j->x, *norms = j->kept, *dy = j->dy;
    float *dx = j->y;
    for (size_t r = from; r < to; r++)
        for (size_t i = 0; i < spatial; i++) {
            float norm = norms[r * spatial + i];
            double dot = 0;
            if (norm == 0) continue; /* no direction, no derivative */
            for (size_t c = 0; c < channels; c++) {
                size_t at = (r * channels + c) * spatial + i;
                dot += (double)y[at] * dy[at];
            }
            for (size_t c = 0; c < channels; c++) {
                size_t at = (r * channels + c) * spatial + i;
                dx[at] += (dy[at] - y[at] * (float)dot) / norm;
            }
        }
}
void cpu_l2norm_backward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *y,
                         const float *norms, const float *dy, float *dx) {
    across_job job = {.channels = channels, .spatial = spatial, .x = y, .kept = norms, .dy = dy, .y = dx};
    dn_range_run(pool, rows, dn_grain_of(4 * channels * spatial), l2norm_backward, &job);
}

/* The window of channel c: from c - (size - 1)/2 to c + size/2, clipped to the image. */
static inline size_t lrn_first(size_t c, int size) {
    return c < (size_t)(size - 1) / 2 ? 0 : c - (size_t)(size - 1) / 2;
}
static inline size_t lrn_end(size_t c, int size, size_t channels) {
    size_t end = c + (size_t)size / 2 + 1;
    return end < channels ? end : channels;
}

static void lrn_forward(const void *context, size_t from, size_t to) {
    const across_job *j = context;
    size_t channels = j->channels, spatial = j->spatial;
    const float *x = j->x;
    float *y = j->y, *norms = j->norms, alpha = j->alpha, beta = j->beta, kappa = j->kappa;
    int size = j->size;
    for (size_t r = from; r < to; r++)
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < spatial; i++) {
                double square = 0;
                for (size_t k = lrn_first(c, size); k < lrn_end(c, size, channels); k++) {
                    double v = x[(r * channels + k) * spatial + i];
                    square += v * v;
                }
                size_t at = (r * channels + c) * spatial + i;
                norms[at] = kappa + alpha * (float)square;
                y[at] = x[at] * powf(norms[at], -beta);
            }
}
void cpu_lrn_forward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta,
                     float kappa, const float *x, float *norms, float *y) {
    across_job job = {.channels = channels,
                      .spatial = spatial,
                      .size = size,
                      .alpha = alpha,
                      .beta = beta,
                      .kappa = kappa,
                      .x = x,
                      .y = y,
                      .norms = norms};
    dn_range_run(pool, rows, dn_grain_of(4 * channels * spatial), lrn_forward, &job);
}

/* dx_j += dy_j n_j^-beta - 2 alpha beta x_j sum over k with j in k's window of dy_k x_k n_k^(-beta - 1) */
static void lrn_backward(const void *context, size_t from, size_t to) {
    const across_job *j = context;
    size_t channels = j->channels, spatial = j->spatial;
    const float *x = j->x, *norms = j->kept, *dy = j->dy;
    float *dx = j->y, alpha = j->alpha, beta = j->beta;
    int size = j->size;
    for (size_t r = from; r < to; r++)
        for (size_t i = 0; i < spatial; i++)
            for (size_t k = 0; k < channels; k++) {
                size_t at = (r * channels + k) * spatial + i;
                float power = powf(norms[at], -beta), shared = -2 * alpha * beta * dy[at] * x[at] * power / norms[at];
                dx[at] += dy[at] * power;
                for (size_t j = lrn_first(k, size); j < lrn_end(k, size, channels); j++)
                    dx[(r * channels + j) * spatial + i] += shared * x[(r * channels + j) * spatial + i];
            }
}
void cpu_lrn_backward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta,
                      const float *x, const float *norms, const float *dy, float *dx) {
    across_job job = {.channels = channels,
                      .spatial = spatial,
                      .size = size,
                      .alpha = alpha,
                      .beta = beta,
                      .x = x,
                      .kept = norms,
                      .dy = dy,
                      .y = dx};
    dn_range_run(pool, rows, dn_grain_of(4 * channels * spatial), lrn_backward, &job);
}

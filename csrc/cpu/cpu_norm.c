/* Batch normalisation, per channel over n = rows * spatial values: m is their mean and v their variance with the
 * divisor n - 1; r = 1 / sqrt(v + eps), or 1 / (sqrt(v) + 1e-6) in the legacy form of Darknet on a CPU. In training, a
 * single value has no variance: it is its own mean, so y is the bias and dx is 0, and the running statistics do not
 * change.
 *
 *   y  = (x - m) r scale + bias
 *   dx = r (g - mean(g)) - (x - m) k sum(g (x - m)) / (n - 1),  g = dy scale
 *        k = r^3, legacy: r^2 / sqrt(v)
 *
 * dx is the exact derivative of this forward pass (Darknet's own divides by n and is only close to it). */
#include "cpu/cpu_ops.h"
#include <math.h>

static inline float norm_root(float eps, float v) { return eps < 0 ? 1 / (sqrtf(v) + 1e-6f) : 1 / sqrtf(v + eps); }

typedef struct norm_job {
    size_t rows, channels, spatial;
    int training;
    float eps;
    const float *x, *scale, *bias, *var_in;
    float *mean, *var, *rolling_mean, *rolling_var, *xhat, *y, *dscale, *dbias;
} norm_job;

/* Channels [from, to), in portions of the size that the kernels take. */
static void norm_forward_range(const void *context, size_t from, size_t to) {
    const norm_job *j = context;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    double n = (double)(j->rows * j->spatial);
    for (size_t at = from, end; at < to; at = end) {
        double centre[DN_NORM_CHANNELS], square[DN_NORM_CHANNELS], unused[DN_NORM_CHANNELS];
        float mean[DN_NORM_CHANNELS], root[DN_NORM_CHANNELS];
        end = to - at < DN_NORM_CHANNELS ? to : at + DN_NORM_CHANNELS;
        if (j->training) {
            k->norm_sums(j->rows, j->channels, j->spatial, at, end, j->x, j->x, NULL, centre, unused);
            for (size_t c = 0; c < end - at; c++) centre[c] /= n;
            k->norm_sums(j->rows, j->channels, j->spatial, at, end, j->x, j->x, centre, unused, square);
        }
        for (size_t c = at; c < end; c++) {
            float m = j->rolling_mean[c], v = j->rolling_var[c];
            if (j->training) {
                j->mean[c] = m = (float)centre[c - at];
                j->var[c] = v = n > 1 ? (float)(square[c - at] / (n - 1)) : 0;
            }
            if (j->training && n > 1) {
                j->rolling_mean[c] = 0.99f * j->rolling_mean[c] + 0.01f * m;
                j->rolling_var[c] = 0.99f * j->rolling_var[c] + 0.01f * v;
            }
            mean[c - at] = m, root[c - at] = norm_root(j->eps, v);
        }
        k->norm_apply(j->rows, j->channels, j->spatial, at, end, j->x, mean, root, j->scale, j->bias, j->xhat, j->y);
    }
}

/* dy = scale (root (dy - centre) - slope xhat) = a dy + b + d xhat */
static void norm_backward_range(const void *context, size_t from, size_t to) {
    const norm_job *j = context;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    double n = (double)(j->rows * j->spatial);
    for (size_t at = from, end; at < to; at = end) {
        double sum[DN_NORM_CHANNELS], with_xhat[DN_NORM_CHANNELS];
        float a[DN_NORM_CHANNELS], b[DN_NORM_CHANNELS], d[DN_NORM_CHANNELS];
        end = to - at < DN_NORM_CHANNELS ? to : at + DN_NORM_CHANNELS;
        k->norm_sums(j->rows, j->channels, j->spatial, at, end, j->y, j->x, NULL, sum, with_xhat);
        for (size_t c = 0; c < end - at; c++) {
            j->dbias[at + c] += (float)sum[c];
            j->dscale[at + c] += (float)with_xhat[c];
            float root = norm_root(j->eps, j->var_in[at + c]), deviation = sqrtf(j->var_in[at + c]);
            /* (x - m) k sum(g (x - m)) = xhat k / r^2 sum(g xhat) */
            float factor = j->eps < 0 ? (deviation > 0 ? 1 / deviation : 0) : root, scale = j->scale[at + c];
            a[c] = j->training && n == 1 ? 0 : scale * root;
            b[c] = j->training ? -a[c] * (float)(sum[c] / n) : 0;
            d[c] = j->training && n > 1 ? -scale * factor * (float)(with_xhat[c] / (n - 1)) : 0;
        }
        k->norm_gradient(j->rows, j->channels, j->spatial, at, end, a, b, d, j->x, j->y);
    }
}

static void norm_run(dn_pool *pool, dn_range_fn fn, const norm_job *job) {
    size_t grain = dn_grain_of(job->rows * job->spatial);
    if (job->spatial == 1) grain = (grain + 15) / 16 * 16; /* whole cache lines of a row */
    dn_range_run(pool, job->channels, grain, fn, job);
}

void cpu_norm_forward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int training, float eps,
                      const float *x, const float *scale, const float *bias, float *mean, float *var,
                      float *rolling_mean, float *rolling_var, float *xhat, float *y) {
    norm_job job = {.rows = rows,
                    .channels = channels,
                    .spatial = spatial,
                    .training = training,
                    .eps = eps,
                    .x = x,
                    .scale = scale,
                    .bias = bias,
                    .mean = mean,
                    .var = var,
                    .rolling_mean = rolling_mean,
                    .rolling_var = rolling_var,
                    .xhat = xhat,
                    .y = y};
    norm_run(pool, norm_forward_range, &job);
}

void cpu_norm_backward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int training, float eps,
                       const float *xhat, const float *scale, const float *mean, const float *var, float *dy,
                       float *dscale, float *dbias) {
    (void)mean;
    norm_job job = {.rows = rows,
                    .channels = channels,
                    .spatial = spatial,
                    .training = training,
                    .eps = eps,
                    .x = xhat,
                    .scale = scale,
                    .var_in = var,
                    .y = dy,
                    .dscale = dscale,
                    .dbias = dbias};
    norm_run(pool, norm_backward_range, &job);
}

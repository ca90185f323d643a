/* Batch normalisation. Per channel over n = rows * spatial values, m their mean and v their variance with the divisor
 * n - 1 (0 when n = 1); r = 1 / sqrt(v + eps), or 1 / (sqrt(v) + 1e-6) in the legacy form of Darknet on a CPU:
 *
 *   y  = (x - m) r scale + bias
 *   dx = r (g - mean(g)) - (x - m) k sum(g (x - m)) / (n - 1),  g = dy scale
 *        k = r^3, legacy: r^2 / sqrt(v)
 *
 * the exact derivative of that forward (Darknet's own divides by n and is only near it). */
#include "cpu_ops.h"
#include <math.h>

static inline float norm_root(float eps, float v) {
    return eps < 0 ? 1 / (sqrtf(v) + 1e-6f) : 1 / sqrtf(v + eps);
}

void cpu_norm_forward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int training, float eps,
                      const float *x, const float *scale, const float *bias, float *mean, float *var,
                      float *rolling_mean, float *rolling_var, float *xhat, float *y) {
    (void)pool;
    size_t n = rows * spatial;
    for (size_t c = 0; c < channels; c++) {
        float m = rolling_mean[c], v = rolling_var[c];
        if (training) {
            double sum = 0, square = 0;
            for (size_t r = 0; r < rows; r++)
                for (size_t i = 0; i < spatial; i++) sum += x[(r * channels + c) * spatial + i];
            double centre = sum / (double)n;
            for (size_t r = 0; r < rows; r++)
                for (size_t i = 0; i < spatial; i++) {
                    double d = x[(r * channels + c) * spatial + i] - centre;
                    square += d * d;
                }
            mean[c] = m = (float)centre;
            var[c] = v = n > 1 ? (float)(square / (double)(n - 1)) : 0;
            rolling_mean[c] = 0.99f * rolling_mean[c] + 0.01f * m;
            rolling_var[c] = 0.99f * rolling_var[c] + 0.01f * v;
        }
        float root = norm_root(eps, v);
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < spatial; i++) {
                size_t at = (r * channels + c) * spatial + i;
                xhat[at] = (x[at] - m) * root;
                y[at] = xhat[at] * scale[c] + bias[c];
            }
    }
}

void cpu_norm_backward(dn_pool *pool, size_t rows, size_t channels, size_t spatial, int training, float eps,
                       const float *xhat, const float *scale, const float *mean, const float *var, float *dy,
                       float *dscale, float *dbias) {
    (void)pool;
    (void)mean;
    size_t n = rows * spatial;
    for (size_t c = 0; c < channels; c++) {
        double sum = 0, with_xhat = 0;
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < spatial; i++) {
                size_t at = (r * channels + c) * spatial + i;
                sum += dy[at];
                with_xhat += (double)dy[at] * xhat[at];
            }
        dbias[c] += (float)sum;
        dscale[c] += (float)with_xhat;
        float root = norm_root(eps, var[c]), deviation = sqrtf(var[c]);
        /* (x - m) k sum(g (x - m)) = xhat k / r^2 sum(g xhat) */
        float k = eps < 0 ? (deviation > 0 ? 1 / deviation : 0) : root;
        float centre = training ? (float)(sum / (double)n) : 0;
        float slope = training && n > 1 ? k * (float)(with_xhat / (double)(n - 1)) : 0;
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < spatial; i++) {
                size_t at = (r * channels + c) * spatial + i;
                dy[at] = scale[c] * (root * (dy[at] - centre) - slope * xhat[at]);
            }
    }
}

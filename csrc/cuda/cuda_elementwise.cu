/* Vectors, biases, activations and dropout. One thread per value. */
#include "cuda/cuda_channels.cuh"
#include "cuda/cuda_small.cuh"
#include "cuda/cuda_values.cuh"

extern "C" cudaError_t dn_cuda_fill(const dn_cuda_place *on, size_t n, float value, float *x) {
    return dn_each_or_later(on, n, fill_body{value, x});
}

extern "C" cudaError_t dn_cuda_copy(const dn_cuda_place *on, size_t n, const float *x, float *y) {
    return !n ? cudaSuccess : cudaMemcpyAsync(y, x, n * sizeof *y, cudaMemcpyDeviceToDevice, dn_stream(on));
}

extern "C" cudaError_t dn_cuda_scale(const dn_cuda_place *on, size_t n, float a, float *x) {
    return dn_each(on, n, [=] __device__(size_t i) { x[i] *= a; });
}

extern "C" cudaError_t dn_cuda_axpy(const dn_cuda_place *on, size_t n, float a, const float *x, float *y) {
    return dn_each(on, n, [=] __device__(size_t i) { y[i] += a * x[i]; });
}

extern "C" cudaError_t dn_cuda_mul_add(const dn_cuda_place *on, size_t n, float a, const float *x, const float *y,
                                       float *z) {
    return dn_each(on, n, [=] __device__(size_t i) { z[i] += a * x[i] * y[i]; });
}

extern "C" cudaError_t dn_cuda_copy_rows(const dn_cuda_place *on, size_t rows, size_t cols, const float *x, size_t ldx,
                                         float *y, size_t ldy) {
    return dn_each_or_later(on, rows * cols, rows_body<false>{dn_split(rows * cols, cols), x, ldx, y, ldy});
}

extern "C" cudaError_t dn_cuda_add_rows(const dn_cuda_place *on, size_t rows, size_t cols, const float *x, size_t ldx,
                                        float *y, size_t ldy) {
    return dn_each_or_later(on, rows * cols, rows_body<true>{dn_split(rows * cols, cols), x, ldx, y, ldy});
}

extern "C" cudaError_t dn_cuda_row_sums(const dn_cuda_place *on, size_t rows, size_t n, const float *x, float *sums) {
    return dn_each_block(on, rows, [=] __device__(size_t r) {
        double sum = 0;
        for (size_t i = threadIdx.x; i < n; i += DN_THREADS) sum += x[r * n + i];
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0) sums[r] = (float)sum;
    });
}

extern "C" cudaError_t dn_cuda_add_sum(const dn_cuda_place *on, size_t n, double a, const float *x, double *sum) {
    return dn_each_sum(on, n, sum, [=] __device__(size_t i) { return a * x[i]; });
}

extern "C" cudaError_t dn_cuda_bias_add(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                        const float *bias, float *y) {
    return dn_each_channel(on, rows, channels, spatial, [=] __device__(size_t i, size_t c) { y[i] += bias[c]; });
}

extern "C" cudaError_t dn_cuda_bias_gradient(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                             const float *dy, float *db) {
    return dn_channel_sums<1>(
        on, rows, channels, spatial, [=] __device__(size_t i, size_t, double *sum) { *sum += dy[i]; },
        [=] __device__(size_t c, const double *sum) { db[c] += (float)*sum; });
}

extern "C" cudaError_t dn_cuda_bias_activate(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                             dn_activation kind, const float *bias, float *y) {
    return dn_each_channel(on, rows, channels, spatial,
                           [=] __device__(size_t i, size_t c) { y[i] = dn_activate_one(kind, y[i] + bias[c]); });
}

extern "C" cudaError_t dn_cuda_bias_activate_gradient(const dn_cuda_place *on, size_t rows, size_t channels,
                                                      size_t spatial, dn_activation kind, const float *y, float *dy,
                                                      float *db) {
    if (kind == DN_LINEAR) return dn_cuda_bias_gradient(on, rows, channels, spatial, dy, db);
    return dn_channel_sums<1>(
        on, rows, channels, spatial,
        [=] __device__(size_t i, size_t, double *sum) {
            float d = dy[i] * dn_gradient_one(kind, y[i]);
            dy[i] = d;
            *sum += d;
        },
        [=] __device__(size_t c, const double *sum) { db[c] += (float)*sum; });
}

extern "C" cudaError_t dn_cuda_activate(const dn_cuda_place *on, dn_activation kind, size_t n, float *x) {
    if (kind == DN_LINEAR) return cudaSuccess;
    return dn_each(on, n, [=] __device__(size_t i) { x[i] = dn_activate_one(kind, x[i]); });
}

extern "C" cudaError_t dn_cuda_activate_gradient(const dn_cuda_place *on, dn_activation kind, size_t n, const float *y,
                                                 float *dy) {
    if (kind == DN_LINEAR) return cudaSuccess;
    return dn_each(on, n, [=] __device__(size_t i) { dy[i] *= dn_gradient_one(kind, y[i]); });
}

extern "C" cudaError_t dn_cuda_dropout(const dn_cuda_place *on, size_t n, float p, const float *u, const float *x,
                                       float *y) {
    float keep = 1 / (1 - p);
    return dn_each(on, n, [=] __device__(size_t i) { y[i] = u[i] < p ? 0 : x[i] * keep; });
}

extern "C" cudaError_t dn_cuda_dropout_gradient(const dn_cuda_place *on, size_t n, float p, const float *u,
                                                const float *dy, float *dx) {
    float keep = 1 / (1 - p);
    return dn_each(on, n, [=] __device__(size_t i) { dx[i] += u[i] < p ? 0 : dy[i] * keep; });
}

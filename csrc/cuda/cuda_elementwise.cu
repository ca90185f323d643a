/* Vectors, biases, activations, dropout and, after their product, the gates of an LSTM. One thread per value. */
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

/* ---- a step of an LSTM; i, f, o and g of a value are `outputs` apart ---- */

extern "C" cudaError_t dn_cuda_lstm_forward(const dn_cuda_place *on, const dn_lstm_shape *s, const float *w,
                                            const float *h, const float *c, float *gates, float *tanh_c, float *next_c,
                                            float *next_h, float *y) {
    const int n = s->outputs, side = DN_LSTM_GATES * n;
    cudaError_t error = dn_cuda_gemm(on, 0, 1, s->rows, side, n, 1, h, n, w, n, 1, gates, side);
    if (error != cudaSuccess) return error;
    return dn_each(on, (size_t)s->rows * (size_t)n, [=] __device__(size_t at) {
        float *gate = gates + at / n * side + at % n;
        float i = dn_activate_one(DN_LOGISTIC, gate[0]), f = dn_activate_one(DN_LOGISTIC, gate[n]);
        float o = dn_activate_one(DN_LOGISTIC, gate[2 * n]), g = dn_activate_one(DN_TANH, gate[3 * n]);
        float next = f * c[at] + i * g, bounded = dn_activate_one(DN_TANH, next);
        gate[0] = i, gate[n] = f, gate[2 * n] = o, gate[3 * n] = g;
        next_c[at] = next, tanh_c[at] = bounded;
        next_h[at] = y[at] = o * bounded;
    });
}

extern "C" cudaError_t dn_cuda_lstm_backward(const dn_cuda_place *on, const dn_lstm_shape *s, const float *w,
                                             const float *later, const float *dy, const float *c, const float *tanh_c,
                                             float *gates, float *dh, float *dc) {
    const int n = s->outputs, side = DN_LSTM_GATES * n;
    const size_t values = (size_t)s->rows * (size_t)n;
    cudaError_t error = dn_cuda_copy(on, values, dy, dh);
    if (error == cudaSuccess && later) error = dn_cuda_gemm(on, 0, 0, s->rows, n, side, 1, later, side, w, n, 1, dh, n);
    if (error != cudaSuccess) return error;
    return dn_each(on, values, [=] __device__(size_t at) {
        float *gate = gates + at / n * side + at % n, bounded = tanh_c[at];
        float i = gate[0], f = gate[n], o = gate[2 * n], g = gate[3 * n], d = dh[at];
        float next = dc[at] + d * o * dn_gradient_one(DN_TANH, bounded);
        gate[0] = next * g * dn_gradient_one(DN_LOGISTIC, i);
        gate[n] = next * c[at] * dn_gradient_one(DN_LOGISTIC, f);
        gate[2 * n] = d * bounded * dn_gradient_one(DN_LOGISTIC, o);
        gate[3 * n] = next * i * dn_gradient_one(DN_TANH, g);
        dc[at] = next * f;
    });
}

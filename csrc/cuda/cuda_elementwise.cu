/* Vectors, biases, activations and dropout. One thread per value. */
#include "cuda_common.cuh"

extern "C" cudaError_t dn_cuda_fill(const dn_cuda_place *on, size_t n, float value, float *x) {
    return dn_each(on, n, [=] __device__(size_t i) { x[i] = value; });
}

extern "C" cudaError_t dn_cuda_copy(const dn_cuda_place *on, size_t n, const float *x, float *y) {
    return cudaMemcpyAsync(y, x, n * sizeof *y, cudaMemcpyDeviceToDevice, on->stream);
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
    return dn_each(on, rows * cols, [=] __device__(size_t i) {
        size_t r = i / cols, c = i % cols;
        y[r * ldy + c] = x[r * ldx + c];
    });
}

extern "C" cudaError_t dn_cuda_add_rows(const dn_cuda_place *on, size_t rows, size_t cols, const float *x, size_t ldx,
                                        float *y, size_t ldy) {
    return dn_each(on, rows * cols, [=] __device__(size_t i) {
        size_t r = i / cols, c = i % cols;
        y[r * ldy + c] += x[r * ldx + c];
    });
}

extern "C" cudaError_t dn_cuda_bias_add(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                        const float *bias, float *y) {
    return dn_each(on, rows * channels * spatial, [=] __device__(size_t i) { y[i] += bias[i / spatial % channels]; });
}

/* Vectors: 32 columns by 8 rows of threads read whole lines; a thread's column is summed over every eighth row. */
static __global__ void column_sum_kernel(size_t rows, size_t columns, const float *dy, float *db) {
    __shared__ float part[8][32];
    int x = (int)threadIdx.x % 32, y = (int)threadIdx.x / 32;
    size_t c = (size_t)blockIdx.x * 32 + (size_t)x;
    float sum = 0;
    if (c < columns)
        for (size_t r = (size_t)y; r < rows; r += 8) sum += dy[r * columns + c];
    part[y][x] = sum;
    __syncthreads();
    if (y == 0 && c < columns) {
        for (int i = 1; i < 8; i++) sum += part[i][x];
        db[c] += sum;
    }
}

extern "C" cudaError_t dn_cuda_bias_gradient(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                             const float *dy, float *db) {
    if (spatial == 1) {
        DN_LAUNCH_SYNC(column_sum_kernel, (unsigned)((channels + 31) / 32), DN_THREADS, on->stream, rows, channels, dy,
                       db);
        return cudaGetLastError();
    }
    return dn_each_block(on, channels, [=] __device__(size_t c) {
        float sum = 0;
        for (size_t i = threadIdx.x; i < rows * spatial; i += DN_THREADS)
            sum += dy[(i / spatial * channels + c) * spatial + i % spatial];
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0) db[c] += sum;
    });
}

static __device__ float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

static __device__ float activate(dn_activation a, float x) {
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
static __device__ float gradient(dn_activation a, float y) {
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

extern "C" cudaError_t dn_cuda_activate(const dn_cuda_place *on, dn_activation kind, size_t n, float *x) {
    if (kind == DN_LINEAR) return cudaSuccess;
    return dn_each(on, n, [=] __device__(size_t i) { x[i] = activate(kind, x[i]); });
}

extern "C" cudaError_t dn_cuda_activate_gradient(const dn_cuda_place *on, dn_activation kind, size_t n, const float *y,
                                                 float *dy) {
    if (kind == DN_LINEAR) return cudaSuccess;
    return dn_each(on, n, [=] __device__(size_t i) { dy[i] *= gradient(kind, y[i]); });
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

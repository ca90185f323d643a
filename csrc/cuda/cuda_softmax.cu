/* Operations across channels: softmax, normalisation to unit length, local response normalisation; gathering, averages,
 * binary weights. */
#include "cuda/cuda_common.cuh"
#include <cfloat>

extern "C" cudaError_t dn_cuda_binarize(const dn_cuda_place *on, size_t rows, size_t n, int mean, const float *x,
                                        float *y) {
    if (!mean) return dn_each(on, rows * n, [=] __device__(size_t i) { y[i] = x[i] > 0 ? 1.0f : -1.0f; });
    return dn_each_block(on, rows, [=] __device__(size_t r) {
        double sum = 0;
        for (size_t i = threadIdx.x; i < n; i += DN_THREADS) sum += fabsf(x[r * n + i]);
        float size = (float)(dn_block_sum<DN_THREADS>(sum) / (double)n);
        for (size_t i = threadIdx.x; i < n; i += DN_THREADS) y[r * n + i] = x[r * n + i] > 0 ? size : -size;
    });
}

extern "C" cudaError_t dn_cuda_avgpool_forward(const dn_cuda_place *on, size_t maps, size_t spatial, const float *x,
                                               float *y) {
    return dn_each_block(on, maps, [=] __device__(size_t m) {
        double sum = 0;
        for (size_t i = threadIdx.x; i < spatial; i += DN_THREADS) sum += x[m * spatial + i];
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0) y[m] = (float)(sum / (double)spatial);
    });
}

extern "C" cudaError_t dn_cuda_avgpool_backward(const dn_cuda_place *on, size_t maps, size_t spatial, const float *dy,
                                                float *dx) {
    return dn_each(on, maps * spatial, [=] __device__(size_t i) { dx[i] += dy[i / spatial] / (float)spatial; });
}

extern "C" cudaError_t dn_cuda_gather(const dn_cuda_place *on, size_t rows, size_t n_in, size_t n_out, const int *index,
                                      float a, float b, const float *x, float *y) {
    return dn_each(on, rows * n_out, [=] __device__(size_t i) {
        int from = index[i % n_out];
        y[i] = from < 0 ? 0 : a * x[i / n_out * n_in + (size_t)from] + b;
    });
}

extern "C" cudaError_t dn_cuda_expand(const dn_cuda_place *on, size_t rows, size_t n_in, size_t n_out,
                                      const int *column, const int *as, const float *x, float *y) {
    dn_split by_value(rows * n_out, n_out);
    return dn_each(on, rows * n_out, [=] __device__(size_t i) {
        size_t o, r = by_value.of(i, &o);
        y[i] = dn_expanded(as[o], x[r * n_in + (size_t)column[o]]);
    });
}

/* No index occurs twice, so no two threads write the same value. */
extern "C" cudaError_t dn_cuda_scatter_add(const dn_cuda_place *on, size_t rows, size_t n_in, size_t n_out,
                                           const int *index, float a, const float *dy, float *dx) {
    return dn_each(on, rows * n_out, [=] __device__(size_t i) {
        int to = index[i % n_out];
        if (to >= 0) dx[i / n_out * n_in + (size_t)to] += a * dy[i];
    });
}

/* ---- softmax: a block of 64 threads for each ---- */

static constexpr int SOFT = 64;

static __device__ float soft_largest(float value) {
    __shared__ float part[SOFT];
    int t = (int)threadIdx.x;
    part[t] = value;
    for (int half = SOFT / 2; half; half /= 2) {
        __syncthreads();
        if (t < half) part[t] = fmaxf(part[t], part[t + half]);
    }
    __syncthreads();
    float largest = part[0];
    __syncthreads();
    return largest;
}

static __device__ size_t soft_at(const dn_softmax_shape &s, size_t softmax) {
    return softmax / s.groups * s.row_step + softmax % s.groups * s.group_step;
}

static __global__ void softmax_kernel(dn_softmax_shape s, float temperature, const float *x, float *y) {
    for (size_t k = blockIdx.x; k < s.rows * s.groups; k += gridDim.x) {
        size_t at = soft_at(s, k);
        float largest = -FLT_MAX;
        double sum = 0;
        for (size_t i = threadIdx.x; i < s.n; i += SOFT) largest = fmaxf(largest, x[at + i * s.step]);
        largest = soft_largest(largest);
        for (size_t i = threadIdx.x; i < s.n; i += SOFT) {
            float e = expf((x[at + i * s.step] - largest) / temperature);
            sum += e;
            y[at + i * s.step] = e;
        }
        sum = dn_block_sum<SOFT>(sum);
        for (size_t i = threadIdx.x; i < s.n; i += SOFT) y[at + i * s.step] = (float)(y[at + i * s.step] / sum);
    }
}

static __global__ void softmax_gradient_kernel(dn_softmax_shape s, float temperature, const float *y, const float *dy,
                                               float *dx) {
    for (size_t k = blockIdx.x; k < s.rows * s.groups; k += gridDim.x) {
        size_t at = soft_at(s, k);
        double dot = 0;
        for (size_t i = threadIdx.x; i < s.n; i += SOFT) dot += (double)y[at + i * s.step] * dy[at + i * s.step];
        dot = dn_block_sum<SOFT>(dot);
        for (size_t i = threadIdx.x; i < s.n; i += SOFT) {
            size_t j = at + i * s.step;
            dx[j] += y[j] * (dy[j] - (float)dot) / temperature;
        }
    }
}

static __global__ void softmax_loss_kernel(dn_softmax_shape s, float temperature, const float *y, const float *truth,
                                           float *error, float *gradient, double *sums) {
    double total = 0;
    for (size_t k = blockIdx.x; k < s.rows * s.groups; k += gridDim.x) {
        size_t at = soft_at(s, k);
        double sum = 0;
        int masked = 0;
        for (size_t i = threadIdx.x; i < s.n; i += SOFT) {
            float t = truth[at + i * s.step];
            sum += t, masked |= t == DN_MASKED;
        }
        sum = dn_block_sum<SOFT>(sum);
        masked = dn_block_sum<SOFT>(masked);
        for (size_t i = threadIdx.x; i < s.n; i += SOFT) {
            size_t j = at + i * s.step;
            float t = truth[j], e = masked || t == 0 ? 0 : -t * logf(fmaxf(y[j], FLT_MIN));
            error[j] = e;
            gradient[j] = masked ? 0 : (y[j] * (float)sum - t) / temperature;
            total += e;
        }
    }
    total = dn_block_sum<SOFT>(total);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

static unsigned soft_blocks(const dn_softmax_shape *s, size_t most) {
    size_t n = s->rows * s->groups;
    return (unsigned)(n < most ? n : most);
}

extern "C" cudaError_t dn_cuda_softmax(const dn_cuda_place *on, const dn_softmax_shape *shape, float temperature,
                                       const float *x, float *y) {
    unsigned blocks = soft_blocks(shape, DN_MOST_BLOCKS);
    if (!blocks) return cudaSuccess;
    DN_LAUNCH_SYNC(softmax_kernel, blocks, SOFT, dn_stream(on), *shape, temperature, x, y);
    return cudaGetLastError();
}

extern "C" cudaError_t dn_cuda_softmax_gradient(const dn_cuda_place *on, const dn_softmax_shape *shape,
                                                float temperature, const float *y, const float *dy, float *dx) {
    unsigned blocks = soft_blocks(shape, DN_MOST_BLOCKS);
    if (!blocks) return cudaSuccess;
    DN_LAUNCH_SYNC(softmax_gradient_kernel, blocks, SOFT, dn_stream(on), *shape, temperature, y, dy, dx);
    return cudaGetLastError();
}

extern "C" cudaError_t dn_cuda_softmax_loss(const dn_cuda_place *on, const dn_softmax_shape *shape, float temperature,
                                            const float *y, const float *truth, float *error, float *gradient,
                                            double *sum) {
    unsigned blocks = soft_blocks(shape, DN_CUDA_SUMS);
    if (!blocks) return cudaSuccess;
    DN_LAUNCH_SYNC(softmax_loss_kernel, blocks, SOFT, dn_stream(on), *shape, temperature, y, truth, error, gradient,
                   on->sums);
    cudaError_t e = cudaGetLastError();
    return e != cudaSuccess ? e : dn_sums_add(on, (int)blocks, sum);
}

/* ---- a thread per pixel, along its channels ---- */

extern "C" cudaError_t dn_cuda_l2norm_forward(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                              const float *x, float *y, float *norms) {
    return dn_each(on, rows * spatial, [=] __device__(size_t p) {
        size_t first = p / spatial * channels * spatial + p % spatial;
        double square = 0;
        for (size_t c = 0; c < channels; c++) {
            double v = x[first + c * spatial];
            square += v * v;
        }
        float norm = norms[p] = (float)sqrt(square);
        for (size_t c = 0; c < channels; c++) y[first + c * spatial] = norm > 0 ? x[first + c * spatial] / norm : 0;
    });
}

extern "C" cudaError_t dn_cuda_l2norm_backward(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                               const float *y, const float *norms, const float *dy, float *dx) {
    return dn_each(on, rows * spatial, [=] __device__(size_t p) {
        size_t first = p / spatial * channels * spatial + p % spatial;
        float norm = norms[p];
        double dot = 0;
        if (norm == 0) return; /* no direction, no derivative */
        for (size_t c = 0; c < channels; c++) dot += (double)y[first + c * spatial] * dy[first + c * spatial];
        for (size_t c = 0; c < channels; c++) {
            size_t at = first + c * spatial;
            dx[at] += (dy[at] - y[at] * (float)dot) / norm;
        }
    });
}

/* The window of channel c: from c - before to c + behind, clipped to the image. */
static __device__ size_t lrn_first(size_t c, size_t before) { return c < before ? 0 : c - before; }
static __device__ size_t lrn_end(size_t c, size_t behind, size_t channels) {
    return c + behind + 1 < channels ? c + behind + 1 : channels;
}

extern "C" cudaError_t dn_cuda_lrn_forward(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                           int size, float alpha, float beta, float kappa, const float *x, float *norms,
                                           float *y) {
    size_t before = (size_t)(size - 1) / 2, behind = (size_t)size / 2;
    return dn_each(on, rows * channels * spatial, [=] __device__(size_t at) {
        size_t c = at / spatial % channels, row = at - c * spatial; /* of channel 0 */
        double square = 0;
        for (size_t k = lrn_first(c, before); k < lrn_end(c, behind, channels); k++) {
            double v = x[row + k * spatial];
            square += v * v;
        }
        norms[at] = kappa + alpha * (float)square;
        y[at] = x[at] * powf(norms[at], -beta);
    });
}

/* dx_j += dy_j n_j^-beta - 2 alpha beta x_j sum over k with j in k's window of dy_k x_k n_k^(-beta - 1). Those k lie in
 * the mirrored window, from j - behind to j + before. */
extern "C" cudaError_t dn_cuda_lrn_backward(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                            int size, float alpha, float beta, const float *x, const float *norms,
                                            const float *dy, float *dx) {
    size_t before = (size_t)(size - 1) / 2, behind = (size_t)size / 2;
    return dn_each(on, rows * channels * spatial, [=] __device__(size_t at) {
        size_t j = at / spatial % channels, row = at - j * spatial;
        float sum = 0;
        for (size_t k = lrn_first(j, behind); k < lrn_end(j, before, channels); k++) {
            size_t from = row + k * spatial;
            sum += dy[from] * x[from] * powf(norms[from], -beta) / norms[from];
        }
        dx[at] += dy[at] * powf(norms[at], -beta) - 2 * alpha * beta * x[at] * sum;
    });
}

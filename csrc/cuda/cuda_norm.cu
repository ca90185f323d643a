/* Batch normalisation, a block of threads per channel; the formulas stand in cpu/cpu_norm.c. */
#include "cuda_common.cuh"

static __device__ float norm_root(float eps, float v) { return eps < 0 ? 1 / (sqrtf(v) + 1e-6f) : 1 / sqrtf(v + eps); }

extern "C" cudaError_t dn_cuda_norm_forward(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                            int training, float eps, const float *x, const float *scale,
                                            const float *bias, float *mean, float *var, float *rolling_mean,
                                            float *rolling_var, float *xhat, float *y) {
    return dn_each_block(on, channels, [=] __device__(size_t c) {
        size_t n = rows * spatial;
        float m = rolling_mean[c], v = rolling_var[c];
        if (training) {
            double sum = 0, square = 0;
            for (size_t i = threadIdx.x; i < n; i += DN_THREADS)
                sum += x[(i / spatial * channels + c) * spatial + i % spatial];
            double centre = dn_block_sum<DN_THREADS>(sum) / (double)n;
            for (size_t i = threadIdx.x; i < n; i += DN_THREADS) {
                double d = x[(i / spatial * channels + c) * spatial + i % spatial] - centre;
                square += d * d;
            }
            square = dn_block_sum<DN_THREADS>(square);
            float new_m = (float)centre, new_v = n > 1 ? (float)(square / (double)(n - 1)) : 0;
            if (threadIdx.x == 0) { /* the old values were read above, before the sums' barriers */
                mean[c] = new_m, var[c] = new_v;
                rolling_mean[c] = 0.99f * m + 0.01f * new_m;
                rolling_var[c] = 0.99f * v + 0.01f * new_v;
            }
            m = new_m, v = new_v;
        }
        float root = norm_root(eps, v);
        for (size_t i = threadIdx.x; i < n; i += DN_THREADS) {
            size_t at = (i / spatial * channels + c) * spatial + i % spatial;
            float h = (x[at] - m) * root;
            xhat[at] = h;
            y[at] = h * scale[c] + bias[c];
        }
    });
}

extern "C" cudaError_t dn_cuda_norm_backward(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                             int training, float eps, const float *xhat, const float *scale,
                                             const float *mean, const float *var, float *dy, float *dscale,
                                             float *dbias) {
    (void)mean;
    return dn_each_block(on, channels, [=] __device__(size_t c) {
        size_t n = rows * spatial;
        double sum = 0, with_xhat = 0;
        for (size_t i = threadIdx.x; i < n; i += DN_THREADS) {
            size_t at = (i / spatial * channels + c) * spatial + i % spatial;
            sum += dy[at];
            with_xhat += (double)dy[at] * xhat[at];
        }
        sum = dn_block_sum<DN_THREADS>(sum);
        with_xhat = dn_block_sum<DN_THREADS>(with_xhat);
        if (threadIdx.x == 0) dbias[c] += (float)sum, dscale[c] += (float)with_xhat;
        float root = norm_root(eps, var[c]), deviation = sqrtf(var[c]);
        float k = eps < 0 ? (deviation > 0 ? 1 / deviation : 0) : root;
        float centre = training ? (float)(sum / (double)n) : 0;
        float slope = training && n > 1 ? k * (float)(with_xhat / (double)(n - 1)) : 0;
        for (size_t i = threadIdx.x; i < n; i += DN_THREADS) {
            size_t at = (i / spatial * channels + c) * spatial + i % spatial;
            dy[at] = scale[c] * (root * (dy[at] - centre) - slope * xhat[at]);
        }
    });
}

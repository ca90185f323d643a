/* Batch normalisation; the formulas are in cpu/cpu_norm.c. */
#include "cuda/cuda_channels.cuh"

static __device__ float norm_root(float eps, float v) { return eps < 0 ? 1 / (sqrtf(v) + 1e-6f) : 1 / sqrtf(v + eps); }

extern "C" cudaError_t dn_cuda_norm_forward(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                            int training, float eps, const float *x, const float *scale,
                                            const float *bias, float *mean, float *var, float *rolling_mean,
                                            float *rolling_var, float *xhat, float *y) {
    double n = (double)rows * (double)spatial;
    cudaError_t error = cudaSuccess;
    if (training)
        error = dn_channel_sums<1>(
            on, rows, channels, spatial, [=] __device__(size_t i, size_t, double *sum) { *sum += x[i]; },
            [=] __device__(size_t c, const double *sum) {
                mean[c] = (float)(*sum / n);
                if (n > 1) rolling_mean[c] = 0.99f * rolling_mean[c] + 0.01f * mean[c];
            });
    if (training && error == cudaSuccess) /* the first sum corrects what rounding cost the mean */
        error = dn_channel_sums<2>(
            on, rows, channels, spatial,
            [=] __device__(size_t i, size_t c, double *sums) {
                double d = (double)x[i] - mean[c];
                sums[0] += d, sums[1] += d * d;
            },
            [=] __device__(size_t c, const double *sums) {
                var[c] = n > 1 ? (float)(fmax(sums[1] - sums[0] * sums[0] / n, 0.0) / (n - 1)) : 0;
                if (n > 1) rolling_var[c] = 0.99f * rolling_var[c] + 0.01f * var[c];
            });
    if (error != cudaSuccess) return error;
    const float *m = training ? mean : rolling_mean, *v = training ? var : rolling_var;
    return dn_each_channel(on, rows, channels, spatial, [=] __device__(size_t i, size_t c) {
        float h = (x[i] - m[c]) * norm_root(eps, v[c]);
        xhat[i] = h;
        y[i] = h * scale[c] + bias[c];
    });
}

/* For every channel, the scratch memory holds the mean of dy and the slope along xhat, followed by the chunks' sums. */
extern "C" cudaError_t dn_cuda_norm_backward(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial,
                                             int training, float eps, const float *xhat, const float *scale,
                                             const float *mean, const float *var, float *dy, float *dscale,
                                             float *dbias) {
    (void)mean;
    if (4 * channels > DN_CUDA_SCRATCH) return cudaErrorInvalidConfiguration;
    double n = (double)rows * (double)spatial, *chunks = (double *)on->scratch + channels;
    float *centre = on->scratch, *slope = centre + channels;
    cudaError_t error = dn_channel_sums<2>(
        on, chunks, DN_CUDA_SCRATCH / 2 - channels, rows, channels, spatial,
        [=] __device__(size_t i, size_t, double *sums) {
            sums[0] += dy[i];
            sums[1] += (double)dy[i] * xhat[i];
        },
        [=] __device__(size_t c, const double *sums) {
            dbias[c] += (float)sums[0], dscale[c] += (float)sums[1];
            float deviation = sqrtf(var[c]);
            float k = eps < 0 ? (deviation > 0 ? 1 / deviation : 0) : norm_root(eps, var[c]);
            centre[c] = training ? (float)(sums[0] / n) : 0;
            slope[c] = training && n > 1 ? k * (float)(sums[1] / (n - 1)) : 0;
        });
    if (error != cudaSuccess) return error;
    return dn_each_channel(on, rows, channels, spatial, [=] __device__(size_t i, size_t c) {
        dy[i] = scale[c] * (norm_root(eps, var[c]) * (dy[i] - centre[c]) - slope[c] * xhat[i]);
    });
}

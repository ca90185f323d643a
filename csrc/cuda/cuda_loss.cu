/* Losses, the reparameterisation, random numbers, steps and optimisers. */
#include "cuda/cuda_small.cuh"
#include "cuda/cuda_values.cuh"

/* By value: the host's struct may be gone when the kernel runs. */
extern "C" cudaError_t dn_cuda_set_step(const dn_cuda_place *on, dn_step *to, const dn_step *value) {
    return dn_each_or_later(on, 1, step_body{to, *value});
}

extern "C" cudaError_t dn_cuda_gather_rows(const dn_cuda_place *on, const dn_step *step, size_t rows, size_t cols,
                                           const float *data, const uint32_t *order, float *to) {
    return dn_each_or_later(on, rows * cols, gather_body{step, dn_split(rows * cols, cols), cols, data, order, to});
}

extern "C" cudaError_t dn_cuda_loss(const dn_cuda_place *on, const dn_likelihood *likelihood, size_t n, const float *x,
                                    const float *truth, float *error, float *gradient, double *sum) {
    dn_likelihood_terms of = dn_likelihood_terms_of(likelihood);
    return dn_each_sum(on, n, sum,
                       [=] __device__(size_t i) { return dn_loss_one(of, x[i], truth[i], error + i, gradient + i); });
}

extern "C" cudaError_t dn_cuda_mask(const dn_cuda_place *on, size_t n, const float *truth, float *x) {
    return dn_each(on, n, [=] __device__(size_t i) {
        if (truth[i] == DN_MASKED) x[i] = DN_MASKED;
    });
}

extern "C" cudaError_t dn_cuda_reparameterise(const dn_cuda_place *on, size_t rows, size_t latent, const float *weight,
                                              const float *x, const float *eps, float *z, double *sums, float *kl) {
    size_t n = rows * latent;
    reparameterise_body body = {dn_split(n, latent), latent, x, eps, z, dn_sum_to(sums, weight)};
    cudaError_t error = n && dn_small_take(on, n, body) ? cudaSuccess : dn_each_sum(on, n, body.to, body);
    if (error != cudaSuccess || !kl) return error;
    return dn_each_block(on, rows, [=] __device__(size_t r) {
        const float *lv = x + r * 2 * latent, *mu = lv + latent;
        double sum = 0;
        for (size_t i = threadIdx.x; i < latent; i += DN_THREADS) sum += dn_latent_kl(lv[i], mu[i]);
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0) kl[r] = (float)sum;
    });
}

extern "C" cudaError_t dn_cuda_reparameterise_gradient(const dn_cuda_place *on, size_t rows, size_t latent,
                                                       double scale, const float *weight, const float *x,
                                                       const float *eps, const float *dz, float *dx) {
    return dn_each_or_later(
        on, rows * latent,
        reparameterise_gradient_body{dn_split(rows * latent, latent), latent, scale, weight, x, eps, dz, dx});
}

extern "C" cudaError_t dn_cuda_normals(const dn_cuda_place *on, const dn_step *step, uint32_t number, size_t n,
                                       float *eps) {
    return dn_each_or_later(on, (n + 3) / 4, normals_body{step, number, n, eps});
}

extern "C" cudaError_t dn_cuda_uniforms(const dn_cuda_place *on, const dn_step *step, uint32_t number, size_t n,
                                        float *u) {
    return dn_each(on, (n + 3) / 4, [=] __device__(size_t block) {
        uint32_t bits[4];
        dn_philox(step->seed, number, step->pass, (uint32_t)block, bits);
        for (size_t k = 0; k < 4 && 4 * block + k < n; k++) u[4 * block + k] = dn_uniform_of(bits[k]);
    });
}

static __global__ void __launch_bounds__(DN_THREADS) squares_kernel(size_t n, const float *g, double *sums) {
    double sum = 0;
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) sum += (double)g[i] * g[i];
    sum = dn_block_sum<DN_THREADS>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(DN_THREADS)
    clip_kernel(int n, const double *sums, const dn_step *step, float norm, float *factor) {
    double sum = 0;
    for (int i = (int)threadIdx.x; i < n; i += DN_THREADS) sum += sums[i];
    sum = dn_block_sum<DN_THREADS>(sum);
    if (threadIdx.x != 0) return;
    double most = norm / (sqrt(sum) / step->rows + 1e-6);
    *factor = most < 1 ? (float)most : 1;
}

extern "C" cudaError_t dn_cuda_clip(const dn_cuda_place *on, const dn_step *step, float norm, size_t n, const float *g,
                                    float *factor) {
    unsigned blocks = n ? dn_blocks(n, DN_CUDA_SUMS) : 1;
    DN_LAUNCH_SYNC(squares_kernel, blocks, DN_THREADS, dn_stream(on), n, g, on->sums);
    cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) return error;
    DN_LAUNCH_SYNC(clip_kernel, 1, DN_THREADS, dn_stream(on), (int)blocks, on->sums, step, norm, factor);
    return cudaGetLastError();
}

extern "C" cudaError_t dn_cuda_update(const dn_cuda_place *on, const dn_optimizer *optimizer, const dn_step *step,
                                      size_t n, float factor, float decay, float *w, float *m, float *v,
                                      const float *g) {
    dn_updater one = {*optimizer, step, factor, decay, w, m, v};
    return dn_each(on, n, [=] __device__(size_t i) { one.at(i, g[i]); });
}

extern "C" cudaError_t dn_cuda_average(const dn_cuda_place *on, const dn_step *step, size_t n, const float *x,
                                       float *average) {
    return dn_each(on, n, [=] __device__(size_t i) {
        average[i] = step->share == 1 ? x[i] : average[i] + step->share * (x[i] - average[i]);
    });
}

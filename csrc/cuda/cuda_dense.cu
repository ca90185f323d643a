/* Dense layers: y = act(x W^T + b), and their training pass with the optimiser's step in it.
 *
 * With up to FEW rows the time goes into reading the weights, so each pass over them is one launch and reads them in
 * lines:
 *
 *   forward   a warp per output, along the inputs; with a loss after it also the error, and dy = its gradient act'(y)
 *   dx        a block per 32 inputs, 32 groups of outputs side by side; before W changes
 *   update    a block per output and 512 inputs: the gradient of a weight is in a register; then W and its moments
 *             are updated
 *
 * With more rows these are products of cuda_tile.cuh (or cuBLAS), whose results go through bias and activation, or into
 * the optimiser, as they leave the registers. */
#include "cuda/cuda_blas.h"
#include "cuda/cuda_channels.cuh"
#include "cuda/cuda_tile.cuh"
#include "cuda/cuda_values.cuh"

static constexpr int FEW = 16, WARPS = DN_THREADS / 32;

/* ---- few rows ---- */

/* What happens to x W^T at (r, o). */
struct dense_end {
    static constexpr bool lossy = false;
    dn_dense_shape s;
    const float *b;
    float *y;
    __device__ double put(int r, int o, float sum) const {
        y[(size_t)r * s.outputs + o] = dn_activate_one(s.activation, sum + b[o]);
        return 0;
    }
};

struct dense_loss_end {
    static constexpr bool lossy = true;
    dn_dense_shape s;
    dn_likelihood_terms likelihood;
    float scale;
    const float *b, *truth;
    float *y, *dy;
    __device__ double put(int r, int o, float sum) const {
        size_t at = (size_t)r * s.outputs + o;
        float v = dn_activate_one(s.activation, sum + b[o]), error = 0, d = 0;
        double lost = dn_loss_one(likelihood, v, truth[at], &error, &d);
        y[at] = v;
        dy[at] = scale * d * dn_gradient_one(s.activation, v);
        return lost;
    }
};

/* For up to R rows. */
template <int R, class End>
__global__ void __launch_bounds__(DN_THREADS)
    few_forward_kernel(dn_dense_shape s, const float *x, const float *w, double *sums, End end) {
    int lane = (int)threadIdx.x % 32;
    double lost = 0;
    for (size_t first = (size_t)blockIdx.x * WARPS; first < (size_t)s.outputs; first += (size_t)gridDim.x * WARPS) {
        size_t o = first + threadIdx.x / 32;
        const float *row = w + o * (size_t)s.inputs;
        float sum[R] = {};
        if (o < (size_t)s.outputs)
#pragma unroll 4
            for (int i = lane; i < s.inputs; i += 32) {
                float v = row[i];
#pragma unroll
                for (int r = 0; r < R; r++)
                    if (r < s.rows) sum[r] += v * x[(size_t)r * s.inputs + i];
            }
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r >= s.rows) break; /* the same for all threads */
            float all = dn_warp_sum(sum[r]);
            if (lane == r && o < (size_t)s.outputs) lost += end.put(r, (int)o, all);
        }
    }
    if (!End::lossy) return;
    lost = dn_block_sum<DN_THREADS>(lost);
    if (threadIdx.x == 0) sums[blockIdx.x] = lost;
}

/* Leaves the blocks' partial sums in on->sums if `end` has a loss; *blocks is their number. */
template <class End>
static cudaError_t few_forward(const dn_cuda_place *on, const dn_dense_shape *s, const float *x, const float *w,
                               const End &end, int *blocks) {
    auto four = few_forward_kernel<4, End>;
    auto sixteen = few_forward_kernel<FEW, End>;
    size_t wanted = ((size_t)s->outputs + WARPS - 1) / WARPS;
    *blocks = wanted < DN_CUDA_SUMS ? (int)wanted : DN_CUDA_SUMS; /* a partial sum for each */
    if (s->rows <= 4)
        DN_LAUNCH_SYNC(four, (unsigned)*blocks, DN_THREADS, on->stream, *s, x, w, on->sums, end);
    else
        DN_LAUNCH_SYNC(sixteen, (unsigned)*blocks, DN_THREADS, on->stream, *s, x, w, on->sums, end);
    return cudaGetLastError();
}

/* dx = or += dy' W for 32 inputs by a block of 32 warps; dy' = dy act'(y), TILE outputs at a time. */
static constexpr int TILE = 256;

template <int R>
__global__ void __launch_bounds__(1024)
    few_dx_kernel(dn_dense_shape s, const float *w, const float *y, const float *dy, int set, float *dx) {
    __shared__ float slopes[R][TILE], part[32][33];
    int lane = (int)threadIdx.x % 32, group = (int)threadIdx.x / 32;
    size_t i = (size_t)blockIdx.x * 32 + (size_t)lane;
    float sum[R] = {};
    for (int base = 0; base < s.outputs; base += TILE) {
        int n = s.outputs - base < TILE ? s.outputs - base : TILE;
        for (int k = (int)threadIdx.x; k < s.rows * TILE; k += 1024) {
            int r = k / TILE, o = k % TILE;
            size_t at = (size_t)r * s.outputs + (size_t)(base + o);
            slopes[r][o] = o < n ? dy[at] * dn_gradient_one(s.activation, y[at]) : 0;
        }
        __syncthreads();
        if (i < (size_t)s.inputs)
#pragma unroll 4
            for (int o = group; o < n; o += 32) {
                float v = w[(size_t)(base + o) * s.inputs + i];
#pragma unroll
                for (int r = 0; r < R; r++)
                    if (r < s.rows) sum[r] += v * slopes[r][o];
            }
        __syncthreads();
    }
    size_t column = (size_t)blockIdx.x * 32 + (size_t)group; /* whose 32 groups this warp adds up */
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (r >= s.rows) break; /* the same for all threads */
        part[group][lane] = sum[r];
        __syncthreads();
        float all = dn_warp_sum(part[lane][group]);
        if (lane == 0 && column < (size_t)s.inputs) {
            float *to = dx + (size_t)r * s.inputs + column;
            *to = set ? all : *to + all;
        }
        __syncthreads();
    }
}

static constexpr int PART = 512;

/* A block per output and PART inputs. Block 0 also adds n_sums of `sums` to *total. */
static __global__ void __launch_bounds__(DN_THREADS)
    few_update_kernel(dn_dense_shape s, const float *x, const float *y, const float *dy, dn_updater weights,
                      dn_updater biases, int n_sums, const double *sums, double *total) {
    __shared__ float slopes[FEW];
    size_t parts = ((size_t)s.inputs + PART - 1) / PART, n = parts * (size_t)s.outputs;
    for (size_t block = blockIdx.x; block < n; block += gridDim.x) {
        size_t o = block / parts, first = block % parts * PART;
        int t = (int)threadIdx.x;
        if (t < s.rows) {
            size_t at = (size_t)t * s.outputs + o;
            slopes[t] = dy[at] * dn_gradient_one(s.activation, y[at]);
        }
        __syncthreads();
        for (size_t i = first + (size_t)t; i < first + PART && i < (size_t)s.inputs; i += DN_THREADS) {
            float g = 0;
            for (int r = 0; r < s.rows; r++) g += slopes[r] * x[(size_t)r * s.inputs + i];
            weights.at(o * (size_t)s.inputs + i, g);
        }
        if (first == 0 && t == 0) {
            float g = 0;
            for (int r = 0; r < s.rows; r++) g += slopes[r];
            biases.at(o, g);
        }
        __syncthreads();
    }
    if (blockIdx.x == 0 && n_sums) dn_block_add(n_sums, sums, total);
}

static dn_updater dense_updater(const dn_dense_pass *p, int bias) {
    if (bias) return dn_updater{*p->optimizer, p->step, p->factor, p->bias_decay, p->b, p->b_m, p->b_v};
    return dn_updater{*p->optimizer, p->step, p->factor, p->decay, p->w, p->w_m, p->w_v};
}

static cudaError_t train_few(const dn_cuda_place *on, const dn_dense_pass *p) {
    dn_dense_shape s = p->shape;
    int sums = 0;
    cudaError_t error = cudaSuccess;
    if (p->likelihood) {
        dense_loss_end end = {s, dn_likelihood_terms_of(p->likelihood), p->loss_scale, p->b, p->truth, p->y, p->dy};
        error = few_forward(on, &s, p->x, p->w, end, &sums);
        s.activation = DN_LINEAR; /* already applied to dy */
    }
    if (error == cudaSuccess && p->dx) {
        unsigned blocks = ((unsigned)s.inputs + 31) / 32;
        auto four = few_dx_kernel<4>;
        auto sixteen = few_dx_kernel<FEW>;
        if (s.rows <= 4)
            DN_LAUNCH_SYNC(four, blocks, 1024, on->stream, s, p->w, p->y, p->dy, p->set_dx, p->dx);
        else
            DN_LAUNCH_SYNC(sixteen, blocks, 1024, on->stream, s, p->w, p->y, p->dy, p->set_dx, p->dx);
        error = cudaGetLastError();
    }
    if (error != cudaSuccess) return error;
    size_t blocks = ((size_t)s.inputs + PART - 1) / PART * (size_t)s.outputs;
    DN_LAUNCH_SYNC(few_update_kernel, (unsigned)(blocks < DN_MOST_BLOCKS ? blocks : DN_MOST_BLOCKS), DN_THREADS,
                   on->stream, s, p->x, p->y, p->dy, dense_updater(p, 0), dense_updater(p, 1), sums, on->sums, p->sum);
    return cudaGetLastError();
}

/* ---- many rows ---- */

/* A call, not inlined: a thread of the product has up to 64 values. */
static DN_NOINLINE __device__ float dense_activated(dn_activation a, float x) { return dn_activate_one(a, x); }
static DN_NOINLINE __device__ void dense_updated(const dn_updater &one, size_t i, float g) { one.at(i, g); }

struct dense_result {
    dn_activation activation;
    const float *b;
    float *y;
    int outputs;
    __device__ void put(int, int i, int j, float sum) const {
        y[(size_t)i * (size_t)outputs + (size_t)j] = dense_activated(activation, sum + b[j]);
    }
};

struct dense_update_result {
    dn_updater weights;
    int inputs;
    __device__ void put(int, int i, int j, float sum) const {
        dense_updated(weights, (size_t)i * (size_t)inputs + (size_t)j, sum);
    }
};

extern "C" cudaError_t dn_cuda_dense_forward(const dn_cuda_place *on, const dn_dense_shape *s, const float *x,
                                             const float *w, const float *b, float *y) {
    int blocks;
    if (s->rows <= 0) return cudaSuccess;
    if (s->rows <= FEW) return few_forward(on, s, x, w, dense_end{*s, b, y}, &blocks);
    if (!on->blas->handle)
        return dn_tile(on, s->rows, s->outputs, s->inputs, 1, dn_plain_side<true>{x, s->rows, s->inputs},
                       dn_plain_side<true>{w, s->outputs, s->inputs}, dense_result{s->activation, b, y, s->outputs});
    cudaError_t error = dn_cuda_blas_gemm(on->blas, 0, 1, s->rows, s->outputs, s->inputs, 1, x, s->inputs, w, s->inputs,
                                          0, y, s->outputs);
    if (error != cudaSuccess) return error;
    return dn_cuda_bias_activate(on, (size_t)s->rows, (size_t)s->outputs, 1, s->activation, b, y);
}

/* Update W by dy^T x: as the product leaves the registers, or with cuBLAS through scratch memory, as many outputs at a
 * time as fit there. */
static cudaError_t train_weights(const dn_cuda_place *on, const dn_dense_pass *p) {
    dn_dense_shape s = p->shape;
    size_t inputs = (size_t)s.inputs, most = DN_CUDA_SCRATCH / inputs;
    if (!on->blas->handle || !most)
        return dn_tile(on, s.outputs, s.inputs, s.rows, 1, dn_plain_side<false>{p->dy, s.outputs, s.outputs},
                       dn_plain_side<false>{p->x, s.inputs, s.inputs},
                       dense_update_result{dense_updater(p, 0), s.inputs});
    cudaError_t error = cudaSuccess;
    for (size_t o = 0; o < (size_t)s.outputs && error == cudaSuccess; o += most) {
        size_t n = (size_t)s.outputs - o < most ? (size_t)s.outputs - o : most, at = o * inputs;
        error = dn_cuda_blas_gemm(on->blas, 1, 0, (int)n, s.inputs, s.rows, 1, p->dy + o, s.outputs, p->x, s.inputs, 0,
                                  on->scratch, s.inputs);
        if (error == cudaSuccess)
            error = dn_cuda_update(on, p->optimizer, p->step, n * inputs, p->factor, p->decay, p->w + at, p->w_m + at,
                                   p->w_v ? p->w_v + at : NULL, on->scratch);
    }
    return error;
}

static cudaError_t train_many(const dn_cuda_place *on, const dn_dense_pass *p) {
    dn_dense_shape s = p->shape;
    size_t rows = (size_t)s.rows, outputs = (size_t)s.outputs;
    dn_activation activation = s.activation;
    const float *y = p->y;
    float *dy = p->dy;
    cudaError_t error = cudaSuccess;
    if (p->likelihood) {
        dn_likelihood_terms likelihood = dn_likelihood_terms_of(p->likelihood);
        const float *truth = p->truth;
        float scale = p->loss_scale;
        error = dn_cuda_dense_forward(on, &s, p->x, p->w, p->b, p->y);
        if (error == cudaSuccess)
            error = dn_each_sum(on, rows * outputs, p->sum, [=] __device__(size_t i) {
                float unused = 0, d = 0;
                double lost = dn_loss_one(likelihood, y[i], truth[i], &unused, &d);
                dy[i] = scale * d * dn_gradient_one(activation, y[i]);
                return lost;
            });
        activation = DN_LINEAR; /* already applied to dy */
    }
    dn_updater biases = dense_updater(p, 1);
    if (error == cudaSuccess)
        error = dn_channel_sums<1>(
            on, rows, outputs, 1,
            [=] __device__(size_t i, size_t, double *sum) {
                if (activation != DN_LINEAR) dy[i] *= dn_gradient_one(activation, y[i]);
                *sum += dy[i];
            },
            [=] __device__(size_t o, const double *sum) { biases.at(o, (float)*sum); });
    if (error == cudaSuccess && p->dx)
        error = dn_cuda_gemm(on, 0, 0, s.rows, s.inputs, s.outputs, 1, dy, s.outputs, p->w, s.inputs, p->set_dx ? 0 : 1,
                             p->dx, s.inputs);
    return error == cudaSuccess ? train_weights(on, p) : error;
}

extern "C" cudaError_t dn_cuda_dense_train(const dn_cuda_place *on, const dn_dense_pass *pass) {
    if (pass->shape.rows <= 0) return cudaSuccess;
    return pass->shape.rows <= FEW ? train_few(on, pass) : train_many(on, pass);
}

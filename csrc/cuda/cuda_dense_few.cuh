/* Dense layers with few rows; see cuda_dense.cu. */
#ifndef DN_CUDA_DENSE_FEW_CUH
#define DN_CUDA_DENSE_FEW_CUH
#include "cuda/cuda_values.cuh"

static constexpr int FEW = 16;

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

static constexpr int FORWARD_THREADS = 128, FORWARD_WARPS = FORWARD_THREADS / 32;

/* For up to R rows. A lane reads N inputs at a time, at BATCH places before it uses them. Beyond the last input or row
 * it reads the first one again, with weight 0 or for nothing: loads without a condition go out at once. */
template <int R, int N, class End>
__global__ void __launch_bounds__(FORWARD_THREADS, 1)
    few_forward_kernel(dn_dense_shape s, const float *x, const float *w, double *sums, End end) {
    constexpr int BATCH = R * N <= 16 ? 4 : 1;
    int lane = (int)threadIdx.x % 32, n = s.inputs;
    double lost = 0;
    for (size_t first = (size_t)blockIdx.x * FORWARD_WARPS; first < (size_t)s.outputs;
         first += (size_t)gridDim.x * FORWARD_WARPS) {
        size_t o = first + threadIdx.x / 32;
        const float *row = w + o * (size_t)n;
        float sum[R] = {};
        if (o < (size_t)s.outputs)
            for (int i = lane * N; i < n; i += 32 * N * BATCH) {
                dn_beside<N> weights[BATCH], values[BATCH][R];
#pragma unroll
                for (int b = 0; b < BATCH; b++) {
                    bool inside = i + b * 32 * N < n;
                    int at = inside ? i + b * 32 * N : 0;
                    weights[b] = dn_load<N>(row + at);
#pragma unroll
                    for (int k = 0; k < N; k++) weights[b].at[k] = inside ? weights[b].at[k] : 0;
#pragma unroll
                    for (int r = 0; r < R; r++)
                        values[b][r] = dn_load<N>(x + (r < s.rows ? (size_t)r * (size_t)n : 0) + at);
                }
#pragma unroll
                for (int b = 0; b < BATCH; b++)
#pragma unroll
                    for (int r = 0; r < R; r++)
#pragma unroll
                        for (int k = 0; k < N; k++) sum[r] += weights[b].at[k] * values[b][r].at[k];
            }
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r >= s.rows) break; /* the same for all threads */
            float all = dn_warp_sum(sum[r]);
            if (lane == r && o < (size_t)s.outputs) lost += end.put(r, (int)o, all);
        }
    }
    if (!End::lossy) return;
    lost = dn_block_sum<FORWARD_THREADS>(lost);
    if (threadIdx.x == 0) sums[blockIdx.x] = lost;
}

template <int R, int N, class End>
static void few_forward_launch(const dn_cuda_place *on, unsigned blocks, const dn_dense_shape *s, const float *x,
                               const float *w, const End &end) {
    auto kernel = few_forward_kernel<R, N, End>;
    DN_LAUNCH_SYNC(kernel, blocks, FORWARD_THREADS, dn_stream(on), *s, x, w, on->sums, end);
}

/* Leaves the blocks' partial sums in on->sums if `end` has a loss; *blocks is their number. */
template <class End>
static cudaError_t few_forward(const dn_cuda_place *on, const dn_dense_shape *s, const float *x, const float *w,
                               const End &end, int *blocks) {
    size_t wanted = ((size_t)s->outputs + FORWARD_WARPS - 1) / FORWARD_WARPS;
    *blocks = wanted < DN_CUDA_SUMS ? (int)wanted : DN_CUDA_SUMS; /* a partial sum for each */
    bool four = dn_by_four(x, s->inputs) && dn_by_four(w, s->inputs);
    auto launch = s->rows <= 4 ? four ? few_forward_launch<4, 4, End> : few_forward_launch<4, 1, End>
                  : four       ? few_forward_launch<FEW, 4, End>
                               : few_forward_launch<FEW, 1, End>;
    launch(on, (unsigned)*blocks, s, x, w, end);
    return cudaGetLastError();
}

/* What the training pass of a few rows reads and writes. */
struct few_pass {
    dn_dense_shape s;
    const float *x, *y, *dy;
    float *dx; /* NULL: not wanted */
    int set;   /* dx = instead of dx += */
    dn_updater weights, biases;
    int n_sums; /* of the loss, in `sums`: added to *total by the last block */
    const double *sums;
    double *total;
    int slices, slice; /* blocks that share the outputs, `slice` for each */
    float *parts;      /* (groups of inputs, slices, rows and inputs of a group): sums of dx, if there are slices */
    unsigned *tickets; /* for each group: slices whose sums are there; 0 between launches */
};

/* dy' = dy act'(y) of output o, for all rows; 0 for those beyond the last. */
template <int R> static __device__ void few_slopes(const few_pass &p, int o, float *slope) {
    float y[R];
#pragma unroll
    for (int r = 0; r < R; r++) {
        size_t at = (r < p.s.rows ? (size_t)r * (size_t)p.s.outputs : 0) + (size_t)o;
        slope[r] = p.dy[at], y[r] = p.y[at];
    }
#pragma unroll
    for (int r = 0; r < R; r++) slope[r] = r < p.s.rows ? slope[r] * dn_gradient_one(p.s.activation, y[r]) : 0;
}

/* Adds up COUNT values over the lanes of a warp whose numbers differ by multiples of LANES. Each step halves what a
 * lane holds: it gives away the half that its partner keeps. Returns the number of the first value that this lane still
 * holds, in value[0]; it holds LANES * COUNT / 32 of them, at least one. */
template <int LANES, int COUNT> static __device__ int few_warp_sums(float *value) {
    int first = 0, lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int d = 16, n = COUNT; d >= LANES; d /= 2) {
        if (n == 1) {
            value[0] += __shfl_xor_sync(0xffffffffu, value[0], d);
            continue;
        }
        n /= 2;
        bool upper = lane & d;
        if (upper) first += n;
#pragma unroll
        for (int i = 0; i < COUNT / 2; i++)
            if (i < n) {
                float give = upper ? value[i] : value[i + n], keep = upper ? value[i + n] : value[i];
                value[i] = keep + __shfl_xor_sync(0xffffffffu, give, d);
            }
    }
    return first;
}

/* Where a sum of dx goes. */
static __device__ void few_put(const few_pass &p, int r, int i, float sum) {
    if (r >= p.s.rows || i >= p.s.inputs) return;
    float *to = p.dx + (size_t)r * (size_t)p.s.inputs + (size_t)i;
    *to = p.set ? sum : *to + sum;
}

/* For up to R rows: LANES threads side by side, each for N inputs, and 256 / LANES outputs at a time, BATCH times
 * before the first is used. If blocks share the outputs, the last one to arrive adds up their sums, in the order of the
 * slices whichever it is. */
template <int R, int N> __global__ void __launch_bounds__(DN_THREADS, R <= 4 ? 2 : 1) few_train_kernel(few_pass p) {
    constexpr int LANES = 8, GROUPS = DN_THREADS / LANES, WIDE = LANES * N, BATCH = R <= 4 ? 2 : 1;
    constexpr int WARPS = DN_THREADS / 32, COUNT = R * N, LEFT = COUNT * LANES / 32;
    __shared__ float x[R][WIDE], part[WARPS][COUNT][LANES];
    __shared__ unsigned arrived;
    if (p.n_sums && blockIdx.x + 1 == gridDim.x) {
        dn_block_add(p.n_sums, p.sums, p.total);
        return;
    }
    int t = (int)threadIdx.x, lane = t % LANES, group = (int)blockIdx.x / p.slices, slice = (int)blockIdx.x % p.slices;
    int base = group * WIDE, column = base + lane * N, end = (slice + 1) * p.slice;
    if (end > p.s.outputs) end = p.s.outputs;
    dn_step now = *p.weights.step;
    bool adam = p.weights.o.rule != DN_SGD;
    for (int k = t; k < R * WIDE; k += DN_THREADS) {
        int r = k / WIDE, i = base + k % WIDE;
        x[r][k % WIDE] = r < p.s.rows && i < p.s.inputs ? p.x[(size_t)r * (size_t)p.s.inputs + (size_t)i] : 0;
    }
    __syncthreads();
    float sum[COUNT] = {}; /* [r N + k]: of dx */
    for (int o = slice * p.slice + t / LANES; o < end && column < p.s.inputs; o += GROUPS * BATCH) {
        float slope[BATCH][R];
        dn_beside<N> w[BATCH], m[BATCH], v[BATCH];
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            int at = o + b * GROUPS < end ? o + b * GROUPS : o;
            size_t i = (size_t)at * (size_t)p.s.inputs + (size_t)column;
            w[b] = dn_load<N>(p.weights.w + i), m[b] = dn_load<N>(p.weights.m + i);
            v[b] = adam ? dn_load<N>(p.weights.v + i) : m[b];
            few_slopes<R>(p, at, slope[b]);
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            int at = o + b * GROUPS;
            if (at >= end) break;
            size_t i = (size_t)at * (size_t)p.s.inputs + (size_t)column;
            dn_beside<N> after;
#pragma unroll
            for (int k = 0; k < N; k++) {
                float g = 0;
#pragma unroll
                for (int r = 0; r < R; r++) {
                    sum[r * N + k] += slope[b][r] * w[b].at[k];
                    g += slope[b][r] * x[r][lane * N + k];
                }
                after.at[k] = p.weights.next(now, w[b].at[k], g, &m[b].at[k], &v[b].at[k]);
            }
            dn_store<N>(p.weights.w + i, after);
            dn_store<N>(p.weights.m + i, m[b]);
            if (adam) dn_store<N>(p.weights.v + i, v[b]);
            if (column != 0) continue;
            float g = 0;
#pragma unroll
            for (int r = 0; r < R; r++) g += slope[b][r];
            p.biases.at((size_t)at, g);
        }
    }
    if (!p.dx) return;
    int first = few_warp_sums<LANES, COUNT>(sum);
#pragma unroll
    for (int i = 0; i < LEFT; i++) part[t / 32][first + i][lane] = sum[i];
    __syncthreads();
    float *parts = p.parts + (size_t)group * (size_t)p.slices * (COUNT * LANES);
    for (int k = t; k < COUNT * LANES; k += DN_THREADS) {
        float all = 0;
        for (int warp = 0; warp < WARPS; warp++) all += part[warp][k / WIDE * N + k % N][k % WIDE / N];
        if (p.slices == 1)
            few_put(p, k / WIDE, base + k % WIDE, all);
        else
            parts[slice * (COUNT * LANES) + k] = all;
    }
    if (p.slices == 1) return;
    __threadfence(); /* the sums are there before the ticket is */
    __syncthreads();
    if (t == 0) arrived = atomicAdd(p.tickets + group, 1u);
    __syncthreads();
    if (arrived + 1 != (unsigned)p.slices) return;
    __threadfence();
    for (int k = t; k < COUNT * LANES; k += DN_THREADS) {
        float all = 0;
#pragma unroll 8
        for (int i = 0; i < p.slices; i++) all += __ldcg(parts + i * (COUNT * LANES) + k);
        few_put(p, k / WIDE, base + k % WIDE, all);
    }
    if (t == 0) p.tickets[group] = 0;
}

/* Enough slices that all multiprocessors have work, but at least a step for each thread. */
template <int R, int N> static void few_train_launch(const dn_cuda_place *on, few_pass p) {
    auto kernel = few_train_kernel<R, N>;
    int wide = 8 * N, groups = (p.s.inputs + wide - 1) / wide, slices = 2 * on->processors / groups;
    if (slices > p.s.outputs / 32) slices = p.s.outputs / 32;
    if (slices < 1 || groups > DN_CUDA_TICKETS || (size_t)groups * slices * R * wide > DN_CUDA_SCRATCH) slices = 1;
    p.slice = (p.s.outputs + slices - 1) / slices;
    p.slices = (p.s.outputs + p.slice - 1) / p.slice;
    p.parts = on->scratch, p.tickets = on->tickets;
    unsigned blocks = (unsigned)groups * (unsigned)p.slices + (p.n_sums > 0);
    DN_LAUNCH_SYNC(kernel, blocks, DN_THREADS, dn_stream(on), p);
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
    if (error != cudaSuccess) return error;
    few_pass few = {s,        p->x,   p->y, p->dy, p->dx, p->set_dx, dense_updater(p, 0), dense_updater(p, 1), sums,
                    on->sums, p->sum, 1,    0,     NULL,  NULL};
    bool four = dn_by_four(p->w, s.inputs) && dn_by_four(p->w_m, s.inputs) && dn_by_four(p->w_v, s.inputs);
    auto launch = s.rows <= 4 ? four ? few_train_launch<4, 4> : few_train_launch<4, 1>
                  : four      ? few_train_launch<FEW, 4>
                              : few_train_launch<FEW, 1>;
    launch(on, few);
    return cudaGetLastError();
}
#endif

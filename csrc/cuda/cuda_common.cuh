/* What the kernels share: launching, loops over vectors, sums in a fixed order.
 *
 * Kernels are launched with DN_LAUNCH, or with DN_LAUNCH_SYNC when their threads wait for each other; with nvcc both
 * are <<<>>>. The same files also compile as C++ against tests/cuda_emulation, where the two differ. No atomic
 * sums: every sum has a fixed order, so runs repeat bit for bit. */
#ifndef DN_CUDA_COMMON_CUH
#define DN_CUDA_COMMON_CUH
#include "cuda/cuda_ops.h"
#include <cuda_runtime.h>
#include <string.h>
#ifndef DN_LAUNCH
#define DN_LAUNCH(kernel, blocks, threads, stream, ...) kernel<<<blocks, threads, 0, stream>>>(__VA_ARGS__)
#define DN_LAUNCH_SYNC DN_LAUNCH
#define DN_NOINLINE __noinline__
#endif

static constexpr int DN_THREADS = 256;
#ifndef DN_SMALL_THREADS
#define DN_SMALL_THREADS 1024
#endif
static constexpr size_t DN_MOST_BLOCKS = 1 << 20;

/* Division by a number known at launch: a multiplication and a shift (Granlund and Montgomery, Division by invariant
 * integers using multiplication, PLDI 1994), for 0 <= n < 2^31. */
struct dn_divisor {
    unsigned d, factor, shift;
    explicit dn_divisor(int by) : d((unsigned)by), factor(0), shift(0) {
        while (shift < 31 && 1u << shift < d) shift++;
        factor = (unsigned)((((uint64_t)1 << shift) - d) * ((uint64_t)1 << 32) / d + 1);
    }
    __device__ int of(int n) const { return (int)((__umulhi((unsigned)n, factor) + (unsigned)n) >> shift); }
    __device__ int of(int n, int *rest) const {
        int q = of(n);
        *rest = n - q * (int)d;
        return q;
    }
};

/* The same for any n below `count`, by multiplication where that is enough: a 64-bit division takes about a hundred
 * instructions. */
struct dn_split {
    dn_divisor fast;
    size_t by;
    bool small;
    dn_split(size_t count, size_t by)
        : fast(by && by < 1u << 31 ? (int)by : 1), by(by ? by : 1), small(count < 1u << 31 && by < 1u << 31) {}
    __device__ size_t of(size_t n, size_t *rest) const {
        size_t q = small ? (size_t)fast.of((int)n) : n / by;
        *rest = n - q * by;
        return q;
    }
};

/* N values that lie side by side, from an address that is a multiple of their size: one access to memory. */
template <int N> struct alignas(N * sizeof(float)) dn_beside {
    float at[N];
};
template <int N> static inline __device__ dn_beside<N> dn_load(const float *from) {
    return *(const dn_beside<N> *)(const void *)from;
}
template <int N> static inline __device__ void dn_store(float *to, const dn_beside<N> &values) {
    *(dn_beside<N> *)(void *)to = values;
}
/* May rows of `cols` values that begin at `x` be read four values at a time? */
static inline bool dn_by_four(const void *x, int cols) { return cols % 4 == 0 && (uintptr_t)x % 16 == 0; }

/* The stream, after the small operations that wait: every launch comes here for it, but that of those. */
static inline cudaStream_t dn_stream(const dn_cuda_place *on) {
    dn_cuda_flush(on);
    return on->stream;
}

static inline unsigned dn_blocks(size_t n, size_t most) {
    size_t blocks = (n + DN_THREADS - 1) / DN_THREADS;
    return (unsigned)(blocks < most ? blocks : most);
}

/* body(i) for i < n, in any order */
template <class Body> __global__ void each_kernel(size_t n, Body body) {
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) body(i);
}

template <class Body> cudaError_t dn_each(const dn_cuda_place *on, size_t n, Body body) {
    if (!n) return cudaSuccess;
    DN_LAUNCH(each_kernel, dn_blocks(n, DN_MOST_BLOCKS), DN_THREADS, dn_stream(on), n, body);
    return cudaGetLastError();
}

/* The sum of `value` over the block, for every thread; all threads of the block must call it. */
template <int THREADS, class T> __device__ T dn_block_sum(T value) {
    __shared__ T part[THREADS];
    int t = (int)threadIdx.x;
    part[t] = value;
    for (int half = THREADS / 2; half; half /= 2) {
        __syncthreads();
        if (t < half) part[t] += part[t + half];
    }
    __syncthreads();
    T sum = part[0];
    __syncthreads(); /* so that `part` may be written again */
    return sum;
}

/* The sum over a warp, for every lane. All threads of the block must call it. */
static inline __device__ float dn_warp_sum(float value) {
    for (int d = 16; d; d /= 2) value += __shfl_xor_sync(0xffffffffu, value, d);
    return value;
}

template <class Body> __global__ void each_block_kernel(size_t n, Body body) {
    for (size_t i = blockIdx.x; i < n; i += gridDim.x) body(i);
}

/* body(i) by all DN_THREADS threads of a block together, for i < n; the body may call dn_block_sum */
template <class Body> cudaError_t dn_each_block(const dn_cuda_place *on, size_t n, Body body) {
    if (!n) return cudaSuccess;
    DN_LAUNCH_SYNC(each_block_kernel, (unsigned)(n < DN_MOST_BLOCKS ? n : DN_MOST_BLOCKS), DN_THREADS, dn_stream(on), n,
                   body);
    return cudaGetLastError();
}

/* Where a sum goes: to[0] += it and, with a weight, which lies in the device's memory, to[1] += weight * it. */
struct dn_sum_to {
    double *to;
    const float *weight;
    __host__ __device__ dn_sum_to(double *to, const float *weight = NULL) : to(to), weight(weight) {}
    __device__ void add(double sum) const {
        to[0] += sum;
        if (weight) to[1] += (double)*weight * sum;
    }
};

/* A single block adds to its place directly. */
template <class Body> __global__ void sum_kernel(size_t n, double *sums, dn_sum_to to, Body body) {
    double sum = 0;
    size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) sum += body(i);
    sum = dn_block_sum<DN_THREADS>(sum);
    if (threadIdx.x != 0) return;
    if (gridDim.x == 1)
        to.add(sum);
    else
        sums[blockIdx.x] = sum;
}

/* n values of `sums` to their place, by one block */
static inline __device__ void dn_block_add(int n, const double *sums, dn_sum_to to) {
    double sum = 0;
    for (int i = (int)threadIdx.x; i < n; i += DN_THREADS) sum += sums[i];
    sum = dn_block_sum<DN_THREADS>(sum);
    if (threadIdx.x == 0) to.add(sum);
}

static __global__ void sum_add_kernel(int n, const double *sums, dn_sum_to to) { dn_block_add(n, sums, to); }

/* n of on->sums to their place */
static inline cudaError_t dn_sums_add(const dn_cuda_place *on, int n, dn_sum_to to) {
    DN_LAUNCH_SYNC(sum_add_kernel, 1, DN_THREADS, dn_stream(on), n, on->sums, to);
    return cudaGetLastError();
}

/* The sum of body(i) for i < n to its place. The order of additions depends on n alone. Small sums take a single
 * launch. */
template <class Body> cudaError_t dn_each_sum(const dn_cuda_place *on, size_t n, dn_sum_to to, Body body) {
    if (!n) return cudaSuccess;
    unsigned blocks = n <= 8 * DN_THREADS ? 1 : dn_blocks(n, DN_CUDA_SUMS);
    DN_LAUNCH_SYNC(sum_kernel, blocks, DN_THREADS, dn_stream(on), n, on->sums, to, body);
    cudaError_t error = cudaGetLastError();
    return error != cudaSuccess || blocks == 1 ? error : dn_sums_add(on, (int)blocks, to);
}
#endif

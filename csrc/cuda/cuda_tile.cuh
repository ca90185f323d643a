/* One kernel for all products of matrices, those of convolutions included:
 *
 *   C(i, j) = sum over p < k of A(i, p) B(j, p),  i < m, j < n, in `slices` independent problems of the same size
 *
 * A and B are objects that know where to find a value (so a convolution needs no columns in memory), C is one that
 * knows where a sum goes. A block of 256 threads computes T x T values, T = 64 or 128, over K values of p at a time,
 * which it keeps in shared memory; a thread holds (T/16)^2 of the results. Values for the next step are fetched while
 * this one is computed.
 *
 * When there are fewer tiles than the device has room for, p is cut into parts. Their sums go to scratch memory and are
 * added in order by a second kernel: no atomics, so runs repeat bit for bit.
 *
 * A and B provide along_k (neighbouring threads read along p, else along i); place(slice, i), what is common to a row;
 * and at(place, p), the value, which must be 0 for a row i beyond the matrix. C provides put(slice, i, j, sum). */
#ifndef DN_CUDA_TILE_CUH
#define DN_CUDA_TILE_CUH
#include "cuda/cuda_common.cuh"

typedef struct dn_tiling {
    int m, n, k, slices;
    int tiles_m, tiles_n, parts, part; /* parts of `part` values of p each */
} dn_tiling;

template <int T, int K, class A> struct dn_tile_side {
    enum { EACH = T * K / DN_THREADS };
    typename A::Place places[EACH];
    float values[EACH];

    __device__ static int row(int e) {
        return A::along_k ? ((int)threadIdx.x + e * DN_THREADS) / K : ((int)threadIdx.x + e * DN_THREADS) % T;
    }
    __device__ static int depth(int e) {
        return A::along_k ? ((int)threadIdx.x + e * DN_THREADS) % K : ((int)threadIdx.x + e * DN_THREADS) / T;
    }
    __device__ void open(const A &a, int slice, int first) {
#pragma unroll
        for (int e = 0; e < EACH; e++) places[e] = a.place(slice, first + row(e));
    }
    __device__ void fetch(const A &a, int p, int end) {
#pragma unroll
        for (int e = 0; e < EACH; e++) values[e] = p + depth(e) < end ? a.at(places[e], p + depth(e)) : 0;
    }
    __device__ void keep(float (*to)[T + 4]) const {
#pragma unroll
        for (int e = 0; e < EACH; e++) to[depth(e)][row(e)] = values[e];
    }
};

/* The i-th of a thread's rows or columns: groups of four that are 64 apart, so that a warp reads shared memory without
 * bank conflicts. */
static __device__ __forceinline__ int dn_tile_at(int thread, int i) { return i / 4 * 64 + thread * 4 + i % 4; }

template <int T, int K, class A, class B, class C>
__global__ void __launch_bounds__(DN_THREADS) tile_kernel(dn_tiling t, A a, B b, C c, float *scratch) {
    enum { R = T / 16 };
    __shared__ float rows[K][T + 4], cols[K][T + 4];
    unsigned block = blockIdx.x;
    int tile_n = (int)(block % t.tiles_n), tile_m = (int)(block / t.tiles_n % t.tiles_m);
    unsigned rest = block / t.tiles_n / t.tiles_m;
    int part = (int)(rest % t.parts), slice = (int)(rest / t.parts), ty = (int)threadIdx.x / 16,
        tx = (int)threadIdx.x % 16;
    int p = part * t.part, end = p + t.part < t.k ? p + t.part : t.k;
    float sum[R][R] = {};
    dn_tile_side<T, K, A> from_a;
    dn_tile_side<T, K, B> from_b;
    from_a.open(a, slice, tile_m * T);
    from_b.open(b, slice, tile_n * T);
    from_a.fetch(a, p, end);
    from_b.fetch(b, p, end);
    for (; p < end; p += K) {
        from_a.keep(rows);
        from_b.keep(cols);
        __syncthreads();
        from_a.fetch(a, p + K, end);
        from_b.fetch(b, p + K, end);
#pragma unroll
        for (int q = 0; q < K; q++) {
            float x[R], y[R];
#pragma unroll
            for (int i = 0; i < R; i++) x[i] = rows[q][dn_tile_at(ty, i)], y[i] = cols[q][dn_tile_at(tx, i)];
#pragma unroll
            for (int i = 0; i < R; i++)
#pragma unroll
                for (int j = 0; j < R; j++) sum[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < R; i++)
#pragma unroll
        for (int j = 0; j < R; j++) {
            int row = tile_m * T + dn_tile_at(ty, i), col = tile_n * T + dn_tile_at(tx, j);
            if (row >= t.m || col >= t.n) continue;
            if (t.parts == 1)
                c.put(slice, row, col, sum[i][j]);
            else
                scratch[(((size_t)part * t.slices + slice) * t.m + row) * t.n + col] = sum[i][j];
        }
}

template <class C> __global__ void tile_parts_kernel(dn_tiling t, C c, const float *scratch) {
    size_t all = (size_t)t.slices * t.m * t.n, step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
        float sum = scratch[i];
        for (int part = 1; part < t.parts; part++) sum += scratch[part * all + i];
        c.put((int)(i / t.n / t.m), (int)(i / t.n % t.m), (int)(i % t.n), sum);
    }
}

/* Tiles of T, and enough parts for about two blocks per multiprocessor. */
static inline void dn_tiling_settle(dn_tiling *t, const dn_cuda_place *on, int T) {
    t->tiles_m = (t->m + T - 1) / T, t->tiles_n = (t->n + T - 1) / T;
    size_t blocks = (size_t)t->tiles_m * t->tiles_n * t->slices, values = (size_t)t->m * t->n * t->slices;
    size_t parts = 2 * (size_t)on->processors / blocks, room = DN_CUDA_SCRATCH / values;
    if (parts > (size_t)t->k / 64) parts = (size_t)t->k / 64; /* enough work for each */
    if (parts > room) parts = room;
    if (parts < 1) parts = 1;
    t->part = (int)(((size_t)t->k + parts - 1) / parts + 15) / 16 * 16;
    t->parts = t->k > t->part ? (t->k + t->part - 1) / t->part : 1;
}

template <int T, int K, class A, class B, class C>
cudaError_t dn_tile_launch(const dn_cuda_place *on, dn_tiling t, const A &a, const B &b, const C &c) {
    dn_tiling_settle(&t, on, T);
    auto kernel = tile_kernel<T, K, A, B, C>;
    size_t blocks = (size_t)t.tiles_m * (size_t)t.tiles_n * (size_t)t.parts * (size_t)t.slices;
    if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
    DN_LAUNCH_SYNC(kernel, (unsigned)blocks, DN_THREADS, on->stream, t, a, b, c, on->scratch);
    cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess || t.parts == 1) return error;
    auto add = tile_parts_kernel<C>;
    DN_LAUNCH(add, dn_blocks((size_t)t.slices * t.m * t.n, DN_MOST_BLOCKS), DN_THREADS, on->stream, t, c, on->scratch);
    return cudaGetLastError();
}

template <class A, class B, class C>
cudaError_t dn_tile_small(const dn_cuda_place *on, int m, int n, int k, int slices, const A &a, const B &b,
                          const C &c) {
    if (m <= 0 || n <= 0 || slices <= 0) return cudaSuccess;
    return dn_tile_launch<64, 16>(on, dn_tiling{m, n, k, slices, 0, 0, 1, 0}, a, b, c);
}

/* Large tiles if there are enough of them to fill the device. */
template <class A, class B, class C>
cudaError_t dn_tile(const dn_cuda_place *on, int m, int n, int k, int slices, const A &a, const B &b, const C &c) {
    if ((double)((m + 127) / 128) * ((n + 127) / 128) * slices >= on->processors && m >= 96 && n >= 96)
        return dn_tile_launch<128, 8>(on, dn_tiling{m, n, k, slices, 0, 0, 1, 0}, a, b, c);
    return dn_tile_small(on, m, n, k, slices, a, b, c);
}

/* ---- matrices in memory ---- */

/* Row i of op(A), or column i of op(B): values at i * outer + p * inner, where one of the two is 1. */
template <bool ALONG> struct dn_plain_side {
    static constexpr bool along_k = ALONG;
    typedef const float *Place;
    const float *values;
    int rows, ld;
    __device__ Place place(int, int i) const {
        return i < rows ? values + (ALONG ? (size_t)i * (size_t)ld : (size_t)i) : nullptr;
    }
    __device__ float at(Place row, int p) const { return row ? row[ALONG ? (size_t)p : (size_t)p * (size_t)ld] : 0; }
};
#endif

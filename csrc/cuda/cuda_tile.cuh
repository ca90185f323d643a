/* One kernel for all products of matrices, those of convolutions included:
 *
 *   C(i, j) = sum over p < k of A(i, p) B(j, p),  i < m, j < n, in `slices` independent problems of the same size
 *
 * A and B are objects that know where to find a value (so a convolution needs no columns in memory), C is one that
 * knows where a sum goes. A block computes TM x TN values over K values of p at a time, which it keeps in shared
 * memory; a thread holds RM x RN of the results. Values for the next step are fetched while this one is computed.
 *
 * When there are fewer tiles than the device has room for, p is cut into parts. Their sums go to scratch memory and are
 * added in order by a second kernel: no atomics, so runs repeat bit for bit.
 *
 * A and B provide along_k (neighbouring threads read along p, else along i); place(slice, i), what is common to a row;
 * depth(p), what is common to a p, so that a thread finds out once for all of its rows or all of its steps; and
 * at(place, depth), the value, which must be 0 for a row i beyond the matrix. C provides put(slice, i, j, sum). */
#ifndef DN_CUDA_TILE_CUH
#define DN_CUDA_TILE_CUH
#include "cuda/cuda_common.cuh"

typedef struct dn_tiling {
    int m, n, k, slices;
    int tiles_m, tiles_n, parts, part; /* parts of `part` values of p each */
} dn_tiling;

/* A thread's values of a step: in one column of K x T values, or in one row. */
template <int T, int K, int THREADS, class A> struct dn_tile_side {
    enum { EACH = T * K / THREADS, PLACES = A::along_k ? EACH : 1, DEPTHS = A::along_k ? 1 : EACH };
    static_assert(T * K % THREADS == 0 && THREADS % (A::along_k ? K : T) == 0, "no whole number of values a thread");
    typename A::Place places[PLACES];
    float values[EACH];

    __device__ static int row(int e) {
        return A::along_k ? (int)threadIdx.x / K + e * (THREADS / K) : (int)threadIdx.x % T;
    }
    __device__ static int depth(int e) {
        return A::along_k ? (int)threadIdx.x % K : (int)threadIdx.x / T + e * (THREADS / T);
    }
    __device__ void open(const A &a, int slice, int first) {
#pragma unroll
        for (int e = 0; e < PLACES; e++) places[e] = a.place(slice, first + row(e));
    }
    __device__ void fetch(const A &a, int p, int end) {
        typename A::Depth depths[DEPTHS];
#pragma unroll
        for (int e = 0; e < DEPTHS; e++) depths[e] = a.depth(p + depth(e));
#pragma unroll
        for (int e = 0; e < EACH; e++)
            values[e] = p + depth(e) < end ? a.at(places[A::along_k ? e : 0], depths[A::along_k ? 0 : e]) : 0;
    }
    __device__ void keep(float (*to)[T + 4]) const {
#pragma unroll
        for (int e = 0; e < EACH; e++) to[depth(e)][row(e)] = values[e];
    }
};

/* The i-th of a thread's rows or columns, of which ACROSS threads share a tile: groups of four that are 4 ACROSS apart,
 * so that a warp reads shared memory without bank conflicts. */
template <int ACROSS> static __device__ __forceinline__ int dn_tile_at(int thread, int i) {
    return i / 4 * (4 * ACROSS) + thread * 4 + i % 4;
}

template <int TM, int TN, int K, int RM, int RN, class A, class B, class C>
__global__ void __launch_bounds__(TM / RM * (TN / RN)) tile_kernel(dn_tiling t, A a, B b, C c, float *scratch) {
    enum { DOWN = TM / RM, ACROSS = TN / RN, THREADS = DOWN * ACROSS };
    alignas(16) __shared__ float rows[K][TM + 4], cols[K][TN + 4];
    unsigned block = blockIdx.x;
    int tile_n = (int)(block % t.tiles_n), tile_m = (int)(block / t.tiles_n % t.tiles_m);
    unsigned rest = block / t.tiles_n / t.tiles_m;
    int part = (int)(rest % t.parts), slice = (int)(rest / t.parts), ty = (int)threadIdx.x / ACROSS,
        tx = (int)threadIdx.x % ACROSS;
    int p = part * t.part, end = p + t.part < t.k ? p + t.part : t.k;
    float sum[RM][RN] = {};
    dn_tile_side<TM, K, THREADS, A> from_a;
    dn_tile_side<TN, K, THREADS, B> from_b;
    from_a.open(a, slice, tile_m * TM);
    from_b.open(b, slice, tile_n * TN);
    from_a.fetch(a, p, end);
    from_b.fetch(b, p, end);
    for (; p < end; p += K) {
        from_a.keep(rows);
        from_b.keep(cols);
        __syncthreads();
        if (p + K < end) {
            from_a.fetch(a, p + K, end);
            from_b.fetch(b, p + K, end);
        }
#pragma unroll
        for (int q = 0; q < K; q++) {
            float x[RM], y[RN];
#pragma unroll
            for (int i = 0; i < RM; i++) x[i] = rows[q][dn_tile_at<DOWN>(ty, i)];
#pragma unroll
            for (int j = 0; j < RN; j++) y[j] = cols[q][dn_tile_at<ACROSS>(tx, j)];
#pragma unroll
            for (int i = 0; i < RM; i++)
#pragma unroll
                for (int j = 0; j < RN; j++) sum[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < RM; i++)
#pragma unroll
        for (int j = 0; j < RN; j++) {
            int row = tile_m * TM + dn_tile_at<DOWN>(ty, i), col = tile_n * TN + dn_tile_at<ACROSS>(tx, j);
            if (row >= t.m || col >= t.n) continue;
            if (t.parts == 1)
                c.put(slice, row, col, sum[i][j]);
            else
                scratch[(((size_t)part * t.slices + slice) * t.m + row) * t.n + col] = sum[i][j];
        }
}

template <class C> static __device__ void tile_put(const dn_tiling &t, const C &c, size_t i, float sum) {
    c.put((int)(i / t.n / t.m), (int)(i / t.n % t.m), (int)(i % t.n), sum);
}

template <class C> __global__ void tile_parts_kernel(dn_tiling t, C c, const float *scratch) {
    size_t all = (size_t)t.slices * t.m * t.n, step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
        float sum = scratch[i];
        for (int part = 1; part < t.parts; part++) sum += scratch[part * all + i];
        tile_put(t, c, i, sum);
    }
}

/* The same for many parts: 32 values by a block, whose eight warps share the parts. */
template <class C> __global__ void tile_many_parts_kernel(dn_tiling t, C c, const float *scratch) {
    constexpr int WARPS = DN_THREADS / 32;
    __shared__ float shared[WARPS][32];
    size_t all = (size_t)t.slices * t.m * t.n;
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    size_t i = (size_t)blockIdx.x * 32 + (size_t)lane;
    float sum = 0;
    if (i < all)
#pragma unroll 8
        for (int part = warp; part < t.parts; part += WARPS) sum += scratch[part * all + i];
    shared[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || i >= all) return;
    for (int w = 1; w < WARPS; w++) sum += shared[w][lane];
    tile_put(t, c, i, sum);
}

/* Tiles of TM x TN, and parts for about 512 threads per multiprocessor. */
static inline void dn_tiling_settle(dn_tiling *t, const dn_cuda_place *on, int TM, int TN, int threads) {
    t->tiles_m = (t->m + TM - 1) / TM, t->tiles_n = (t->n + TN - 1) / TN;
    size_t blocks = (size_t)t->tiles_m * t->tiles_n * t->slices, values = (size_t)t->m * t->n * t->slices;
    size_t parts = (size_t)(512 / threads) * (size_t)on->processors / blocks, room = DN_CUDA_SCRATCH / values;
    if (parts > (size_t)t->k / 64) parts = (size_t)t->k / 64; /* enough work for each */
    if (parts > room) parts = room;
    if (parts < 1) parts = 1;
    t->part = (int)(((size_t)t->k + parts - 1) / parts + 15) / 16 * 16;
    t->parts = t->k > t->part ? (t->k + t->part - 1) / t->part : 1;
}

template <class C> cudaError_t dn_tile_parts(const dn_cuda_place *on, const dn_tiling &t, const C &c) {
    size_t values = (size_t)t.slices * t.m * t.n;
    auto few = tile_parts_kernel<C>;
    auto many = tile_many_parts_kernel<C>;
    if (t.parts < 8)
        DN_LAUNCH(few, dn_blocks(values, DN_MOST_BLOCKS), DN_THREADS, dn_stream(on), t, c, on->scratch);
    else /* values: at most an eighth of the scratch memory */
        DN_LAUNCH_SYNC(many, (unsigned)((values + 31) / 32), DN_THREADS, dn_stream(on), t, c, on->scratch);
    return cudaGetLastError();
}

template <int TM, int TN, int K, int RM, int RN, class A, class B, class C>
cudaError_t dn_tile_launch(const dn_cuda_place *on, int m, int n, int k, int slices, const A &a, const B &b,
                           const C &c) {
    enum { THREADS = TM / RM * (TN / RN) };
    if (m <= 0 || n <= 0 || slices <= 0) return cudaSuccess;
    dn_tiling t = {m, n, k, slices, 0, 0, 1, 0};
    dn_tiling_settle(&t, on, TM, TN, THREADS);
    auto kernel = tile_kernel<TM, TN, K, RM, RN, A, B, C>;
    size_t blocks = (size_t)t.tiles_m * (size_t)t.tiles_n * (size_t)t.parts * (size_t)t.slices;
    if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
    DN_LAUNCH_SYNC(kernel, (unsigned)blocks, THREADS, dn_stream(on), t, a, b, c, on->scratch);
    cudaError_t error = cudaGetLastError();
    return error != cudaSuccess || t.parts == 1 ? error : dn_tile_parts(on, t, c);
}

template <class A, class B, class C>
cudaError_t dn_tile_small(const dn_cuda_place *on, int m, int n, int k, int slices, const A &a, const B &b,
                          const C &c) {
    return dn_tile_launch<64, 64, 16, 4, 4>(on, m, n, k, slices, a, b, c);
}

/* Large tiles if there are enough of them to fill the device. */
template <class A, class B, class C>
cudaError_t dn_tile(const dn_cuda_place *on, int m, int n, int k, int slices, const A &a, const B &b, const C &c) {
    if ((double)((m + 127) / 128) * ((n + 127) / 128) * slices >= on->processors && m >= 96 && n >= 96)
        return dn_tile_launch<128, 128, 8, 8, 8>(on, m, n, k, slices, a, b, c);
    return dn_tile_small(on, m, n, k, slices, a, b, c);
}

/* ---- matrices in memory ---- */

/* Row i of op(A), or column i of op(B): values at i * outer + p * inner, where one of the two is 1. */
template <bool ALONG> struct dn_plain_side {
    static constexpr bool along_k = ALONG;
    typedef const float *Place;
    typedef size_t Depth;
    const float *values;
    int rows, ld;
    __device__ Place place(int, int i) const {
        return i < rows ? values + (ALONG ? (size_t)i * (size_t)ld : (size_t)i) : nullptr;
    }
    __device__ Depth depth(int p) const { return ALONG ? (size_t)p : (size_t)p * (size_t)ld; }
    __device__ float at(Place row, Depth at) const { return row ? row[at] : 0; }
};
#endif

/* Loops over (rows, channels, spatial), by channel: elementwise, or N sums per channel in a fixed order.
 *
 * Sums are cut into chunks of rows, so that few channels fill the device too; the chunks' sums go to scratch memory and
 * are added by a second kernel. Vectors (spatial 1) are read in lines of 32 channels, maps pixel by pixel. */
#ifndef DN_CUDA_CHANNELS_CUH
#define DN_CUDA_CHANNELS_CUH
#include "cuda/cuda_common.cuh"

/* body(i, channel) for every value */
template <class Body>
cudaError_t dn_each_channel(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial, Body body) {
    size_t n = rows * channels * spatial;
    dn_split by_spatial(n, spatial), by_channels(n, channels);
    return dn_each(on, n, [=] __device__(size_t i) {
        size_t pixel, c;
        by_channels.of(by_spatial.of(i, &pixel), &c);
        body(i, c);
    });
}

typedef struct dn_chunks_of {
    size_t rows, channels, spatial, part; /* part: rows of a chunk */
    unsigned chunks;
    dn_divisor by_spatial;
} dn_chunks_of;

/* 32 channels by 8 rows of threads. */
template <int N, class Body, class Finish>
__global__ void vector_sums_kernel(dn_chunks_of s, double *partial, Body body, Finish finish) {
    __shared__ double part[N][8][32];
    size_t groups = (s.channels + 31) / 32, chunk = blockIdx.x / groups;
    int x = (int)threadIdx.x % 32, y = (int)threadIdx.x / 32;
    size_t c = blockIdx.x % groups * 32 + (size_t)x, end = (chunk + 1) * s.part;
    double sums[N] = {};
    if (end > s.rows) end = s.rows;
    if (c < s.channels)
        for (size_t r = chunk * s.part + (size_t)y; r < end; r += 8) body(r * s.channels + c, c, sums);
    for (int k = 0; k < N; k++) part[k][y][x] = sums[k];
    __syncthreads();
    if (y != 0 || c >= s.channels) return;
    for (int k = 0; k < N; k++)
        for (int i = 1; i < 8; i++) sums[k] += part[k][i][x];
    if (s.chunks == 1) finish(c, sums);
    for (int k = 0; k < N && s.chunks > 1; k++) partial[(chunk * N + k) * s.channels + c] = sums[k];
}

template <int N, class Body, class Finish>
__global__ void map_sums_kernel(dn_chunks_of s, double *partial, Body body, Finish finish) {
    size_t c = blockIdx.x % s.channels, chunk = blockIdx.x / s.channels, first = chunk * s.part;
    int rows = (int)(s.rows - first < s.part ? s.rows - first : s.part), n = rows * (int)s.spatial;
    double sums[N] = {};
    for (int i = (int)threadIdx.x; i < n; i += DN_THREADS) {
        int pixel, row = s.by_spatial.of(i, &pixel);
        body(((first + (size_t)row) * s.channels + c) * s.spatial + (size_t)pixel, c, sums);
    }
    for (int k = 0; k < N; k++) sums[k] = dn_block_sum<DN_THREADS>(sums[k]);
    if (threadIdx.x != 0) return;
    if (s.chunks == 1) finish(c, sums);
    for (int k = 0; k < N && s.chunks > 1; k++) partial[(chunk * N + k) * s.channels + c] = sums[k];
}

/* The chunks' sums added: 32 channels by a block, whose eight warps share the chunks. */
template <int N, class Finish> __global__ void chunk_sums_kernel(dn_chunks_of s, const double *partial, Finish finish) {
    constexpr int WARPS = DN_THREADS / 32;
    __shared__ double part[N][WARPS][32];
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    size_t c = (size_t)blockIdx.x * 32 + (size_t)lane;
    double sums[N] = {};
    if (c < s.channels)
#pragma unroll 4
        for (unsigned chunk = (unsigned)warp; chunk < s.chunks; chunk += WARPS)
            for (int k = 0; k < N; k++) sums[k] += partial[((size_t)chunk * N + k) * s.channels + c];
    for (int k = 0; k < N; k++) part[k][warp][lane] = sums[k];
    __syncthreads();
    if (warp != 0 || c >= s.channels) return;
    for (int k = 0; k < N; k++)
        for (int i = 1; i < WARPS; i++) sums[k] += part[k][i][lane];
    finish(c, sums);
}

/* body(i, channel, sums) adds the contribution of value i to N sums; then one thread per channel calls finish(channel,
 * sums). `scratch` holds `room` doubles. */
template <int N, class Body, class Finish>
cudaError_t dn_channel_sums(const dn_cuda_place *on, double *scratch, size_t room, size_t rows, size_t channels,
                            size_t spatial, Body body, Finish finish) {
    if (!rows || !channels || !spatial) return cudaSuccess;
    size_t across = spatial == 1 ? (channels + 31) / 32 : channels;
    size_t least = spatial == 1 ? 64 : (2048 + spatial - 1) / spatial;
    size_t most = spatial == 1 ? rows : ((size_t)1 << 30) / spatial + 1; /* indexes within a chunk of maps are ints */
    size_t chunks = 8 * (size_t)on->processors / across; /* as many blocks as multiprocessors have room for */
    if (chunks > rows / least) chunks = rows / least;
    if (chunks > room / (N * channels)) chunks = room / (N * channels);
    if (chunks < (rows + most - 1) / most) chunks = (rows + most - 1) / most;
    size_t part = (rows + chunks - 1) / chunks;
    chunks = (rows + part - 1) / part;
    if (chunks * across > INT32_MAX || (chunks > 1 && chunks * N * channels > room))
        return cudaErrorInvalidConfiguration;
    dn_chunks_of s = {rows, channels, spatial, part, (unsigned)chunks, dn_divisor(spatial > 1 ? (int)spatial : 1)};
    auto vectors = vector_sums_kernel<N, Body, Finish>;
    auto maps = map_sums_kernel<N, Body, Finish>;
    unsigned blocks = (unsigned)(chunks * across);
    if (spatial == 1)
        DN_LAUNCH_SYNC(vectors, blocks, DN_THREADS, dn_stream(on), s, scratch, body, finish);
    else
        DN_LAUNCH_SYNC(maps, blocks, DN_THREADS, dn_stream(on), s, scratch, body, finish);
    cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess || chunks == 1) return error;
    auto add = chunk_sums_kernel<N, Finish>;
    DN_LAUNCH_SYNC(add, (unsigned)((channels + 31) / 32), DN_THREADS, dn_stream(on), s, scratch, finish);
    return cudaGetLastError();
}

/* Using all of the scratch memory. */
template <int N, class Body, class Finish>
cudaError_t dn_channel_sums(const dn_cuda_place *on, size_t rows, size_t channels, size_t spatial, Body body,
                            Finish finish) {
    return dn_channel_sums<N>(on, (double *)on->scratch, DN_CUDA_SCRATCH / 2, rows, channels, spatial, body, finish);
}
#endif

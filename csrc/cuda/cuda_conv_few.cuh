/* The shape of a convolution; and convolutions with few filters or channels, whose tiles would be nearly empty: a
 * thread per pixel. See cuda_conv.cu. */
#ifndef DN_CUDA_CONV_FEW_CUH
#define DN_CUDA_CONV_FEW_CUH
#include "cuda/cuda_common.cuh"

static constexpr int FEW = 4;

struct conv_geometry {
    dn_conv_shape s;
    int filters, groups, taps, pixels; /* filters of a group */
    dn_divisor by_square, by_size, by_pixels, by_width;
    explicit conv_geometry(const dn_conv_layer *l)
        : s(l->group), filters(l->filters), groups(l->groups), taps(s.channels * s.size * s.size),
          pixels(s.out_height * s.out_width), by_square(s.size * s.size), by_size(s.size), by_pixels(pixels),
          by_width(s.out_width) {}
    __device__ size_t image(int row, int group) const {
        return ((size_t)row * groups + group) * s.channels * s.height * s.width;
    }
    __device__ size_t map(int row, int group, int filter) const {
        return (((size_t)row * groups + group) * filters + filter) * pixels;
    }
    size_t image_row() const { return (size_t)groups * s.channels * s.height * s.width; }
    size_t map_row() const { return (size_t)groups * filters * pixels; }
};

/* 0 <= i < n, in one comparison */
static __device__ __forceinline__ bool dn_within(int i, int n) { return (unsigned)i < (unsigned)n; }

/* Is a thread per pixel, along k values, faster than tiles of `across` rows? */
static bool conv_few(int across, size_t pixels, size_t k) { return across <= FEW && (pixels >= 16384 || k <= 256); }

static cudaError_t conv_forward_few(const dn_cuda_place *on, const conv_geometry &g, size_t rows, int add,
                                    const float *x, const float *w, float *y) {
    size_t n = rows * (size_t)g.groups * (size_t)g.pixels;
    dn_split by_pixels(n, (size_t)g.pixels), by_groups(n, (size_t)g.groups);
    return dn_each(on, n, [=] __device__(size_t i) {
        size_t pixel, group, image = by_pixels.of(i, &pixel);
        by_groups.of(image, &group);
        int ox, oy = g.by_width.of((int)pixel, &ox);
        int y0 = oy * g.s.stride - g.s.padding, x0 = ox * g.s.stride - g.s.padding;
        const float *from = x + image * (size_t)g.s.channels * g.s.height * g.s.width;
        const float *weights = w + group * (size_t)g.filters * g.taps;
        float sums[FEW] = {};
        for (int c = 0; c < g.s.channels; c++)
            for (int ky = 0; ky < g.s.size; ky++)
                for (int kx = 0; kx < g.s.size; kx++) {
                    int py = y0 + ky, px = x0 + kx;
                    if (py < 0 || py >= g.s.height || px < 0 || px >= g.s.width) continue;
                    float v = from[((size_t)c * g.s.height + py) * g.s.width + px];
#pragma unroll
                    for (int f = 0; f < FEW; f++)
                        if (f < g.filters)
                            sums[f] += v * weights[(size_t)f * g.taps + (c * g.s.size + ky) * g.s.size + kx];
                }
#pragma unroll
        for (int f = 0; f < FEW; f++)
            if (f < g.filters) {
                float *to = y + (image * (size_t)g.filters + f) * g.pixels + pixel;
                *to = add ? *to + sums[f] : sums[f];
            }
    });
}

/* A thread has the S x S pixels of the image that the same pixels of the map meet, S: the stride. So a value of the map
 * serves S^2 multiplications, with weights that are the same for all threads. For up to C channels. Loads have no
 * conditions, so that those of several filters go out at once: for a tap beyond the window another one is read, and
 * its sum is left out. */
template <int S, int C>
static cudaError_t conv_data_few(const dn_cuda_place *on, const conv_geometry &g, size_t rows, int add, const float *dy,
                                 const float *w, float *dx) {
    /* pixel y belongs to place (y + padding) / S; places begin at the one of pixel 0 */
    int begin = g.s.padding / S, side = (g.s.size + S - 1) / S;
    int high = (g.s.height - 1 + g.s.padding) / S - begin + 1, wide = (g.s.width - 1 + g.s.padding) / S - begin + 1;
    size_t area = (size_t)high * (size_t)wide, n = rows * (size_t)g.groups * area;
    dn_split by_area(n, area), by_groups(n, (size_t)g.groups);
    dn_divisor by_wide(wide);
    return dn_each(on, n, [=] __device__(size_t i) {
        size_t place, group, image = by_area.of(i, &place);
        by_groups.of(image, &group);
        int px, py = by_wide.of((int)place, &px);
        py += begin, px += begin;
        const float *from = dy + image * (size_t)g.filters * g.pixels;
        const float *weights = w + group * (size_t)g.filters * g.taps;
        int square = g.s.size * g.s.size;
        float sums[C][S][S] = {};
        for (int jy = 0; jy < side; jy++)
            for (int jx = 0; jx < side; jx++) {
                int sy = py - jy, sx = px - jx;
                if (!dn_within(sy, g.s.out_height) || !dn_within(sx, g.s.out_width)) continue;
                const float *map = from + sy * g.s.out_width + sx;
                int taps[C][S][S]; /* -1: none */
                float met[C][S][S] = {};
#pragma unroll
                for (int c = 0; c < C; c++)
#pragma unroll
                    for (int ry = 0; ry < S; ry++)
#pragma unroll
                        for (int rx = 0; rx < S; rx++) {
                            int ky = jy * S + ry, kx = jx * S + rx;
                            bool inside = c < g.s.channels && ky < g.s.size && kx < g.s.size;
                            taps[c][ry][rx] = inside ? c * square + ky * g.s.size + kx : -1;
                        }
#pragma unroll 4
                for (int f = 0; f < g.filters; f++) {
                    float v = map[(size_t)f * g.pixels];
                    const float *row = weights + (size_t)f * g.taps;
#pragma unroll
                    for (int c = 0; c < C; c++)
#pragma unroll
                        for (int ry = 0; ry < S; ry++)
#pragma unroll
                            for (int rx = 0; rx < S; rx++)
                                met[c][ry][rx] += v * row[taps[c][ry][rx] < 0 ? 0 : taps[c][ry][rx]];
                }
#pragma unroll
                for (int c = 0; c < C; c++)
#pragma unroll
                    for (int ry = 0; ry < S; ry++)
#pragma unroll
                        for (int rx = 0; rx < S; rx++) sums[c][ry][rx] += taps[c][ry][rx] < 0 ? 0 : met[c][ry][rx];
            }
#pragma unroll
        for (int c = 0; c < C; c++)
#pragma unroll
            for (int ry = 0; ry < S; ry++)
#pragma unroll
                for (int rx = 0; rx < S; rx++) {
                    int y = py * S + ry - g.s.padding, x = px * S + rx - g.s.padding;
                    if (c >= g.s.channels || !dn_within(y, g.s.height) || !dn_within(x, g.s.width)) continue;
                    float *to = dx + ((image * (size_t)g.s.channels + c) * g.s.height + y) * g.s.width + x;
                    *to = add ? *to + sums[c][ry][rx] : sums[c][ry][rx];
                }
    });
}

static cudaError_t conv_weights_few(const dn_cuda_place *on, const conv_geometry &g, int rows, const float *x,
                                    const float *dy, float *dw) {
    int n = rows * g.pixels;
    return dn_each_block(on, (size_t)g.groups * (size_t)g.filters * (size_t)g.taps, [=] __device__(size_t weight) {
        int tap = (int)(weight % g.taps), kx, rest, c = g.by_square.of(tap, &rest), ky = g.by_size.of(rest, &kx);
        size_t filter = weight / g.taps, group = filter / g.filters;
        float sum = 0;
        for (int i = (int)threadIdx.x; i < n; i += DN_THREADS) {
            int pixel, ox, row = g.by_pixels.of(i, &pixel), oy = g.by_width.of(pixel, &ox);
            int py = oy * g.s.stride - g.s.padding + ky, px = ox * g.s.stride - g.s.padding + kx;
            if (py < 0 || py >= g.s.height || px < 0 || px >= g.s.width) continue;
            sum += x[g.image(row, (int)group) + ((size_t)c * g.s.height + py) * g.s.width + px] *
                   dy[g.map(row, 0, 0) + filter * g.pixels + pixel];
        }
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0) dw[weight] += sum;
    });
}
#endif

/* Convolutions over all rows of a batch in one launch, as products whose columns are never written (implicit GEMM).
 * There are three, seen from the image x (rows, groups channels, height, width) and the map y (rows, groups filters,
 * out_height, out_width), with W (groups filters, channels, size, size):
 *
 *   map      += W image        i = filter,  j = pixel of the map of all rows,   p = tap (channel, ky, kx)
 *   image    += W^T map        i = channel, j = pixel of the image of all rows, p = (filter, ky, kx)
 *   dW       += map image^T    i = filter,  j = tap,                            p = pixel of the map of all rows
 *
 * A convolution is the first one forward and the other two backward; a transposed convolution is the second one
 * forward, with image and map exchanged. For strides above 1 the second one would multiply mostly zeros; but pixels
 * with the same remainders of (y + padding, x + padding) by the stride meet the same taps, so each pair of remainders
 * is a problem (slice) of its own, with size/stride taps per side.
 *
 * Tiles would be nearly empty for layers with up to FEW filters (or channels): there a thread per pixel computes all of
 * them, and a block per weight sums its gradient. */
#include "cuda/cuda_tile.cuh"

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

/* Calls body(rows, image offset, map offset) for as many rows at a time as keep pixel indexes below 2^30. */
template <class Body> static cudaError_t conv_rows(const conv_geometry &g, size_t rows, Body body) {
    size_t image = (size_t)(g.s.height + g.s.stride) * (g.s.width + g.s.stride), map = (size_t)g.pixels;
    size_t most = ((size_t)1 << 30) / (image > map ? image : map);
    if (most < 1) most = 1;
    cudaError_t error = cudaSuccess;
    for (size_t at = 0; at < rows && error == cudaSuccess; at += most)
        error = body((int)(rows - at < most ? rows - at : most), at * g.image_row(), at * g.map_row());
    return error;
}

/* W by filters: row i holds the taps of filter i. */
struct conv_filter_rows {
    static constexpr bool along_k = true;
    typedef const float *Place;
    conv_geometry g;
    const float *w;
    __device__ Place place(int group, int i) const {
        return i < g.filters ? w + ((size_t)group * g.filters + i) * g.taps : nullptr;
    }
    __device__ float at(Place row, int p) const { return row ? row[p] : 0; }
};

/* The columns of the image: row j is a pixel of the map, p a tap. */
struct conv_window_rows {
    static constexpr bool along_k = false;
    struct Place {
        const float *image;
        int y, x; /* of its first tap */
    };
    conv_geometry g;
    const float *images;
    int n;
    __device__ Place place(int group, int j) const {
        Place at = {images, -(1 << 29), 0};
        if (j >= n) return at; /* no tap inside */
        int pixel, ox, row = g.by_pixels.of(j, &pixel), oy = g.by_width.of(pixel, &ox);
        at.image = images + g.image(row, group);
        at.y = oy * g.s.stride - g.s.padding, at.x = ox * g.s.stride - g.s.padding;
        return at;
    }
    __device__ float at(const Place &from, int p) const {
        int tap, kx, c = g.by_square.of(p, &tap), ky = g.by_size.of(tap, &kx), y = from.y + ky, x = from.x + kx;
        int inside = y >= 0 && y < g.s.height && x >= 0 && x < g.s.width;
        return inside ? from.image[((size_t)c * g.s.height + y) * g.s.width + x] : 0;
    }
};

struct conv_map_result {
    conv_geometry g;
    int add;
    float *map;
    __device__ void put(int group, int i, int j, float sum) const {
        int pixel, row = g.by_pixels.of(j, &pixel);
        float *to = map + g.map(row, group, i) + pixel;
        *to = add ? *to + sum : sum;
    }
};

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

extern "C" cudaError_t dn_cuda_conv_forward(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows, int add,
                                            const float *x, const float *w, float *y, float *workspace) {
    (void)workspace;
    conv_geometry g(layer);
    if (conv_few(g.filters, rows * (size_t)g.groups * (size_t)g.pixels, (size_t)g.taps))
        return conv_forward_few(on, g, rows, add, x, w, y);
    return conv_rows(g, rows, [&](int n_rows, size_t images, size_t maps) {
        int n = n_rows * g.pixels;
        return dn_tile_small(on, g.filters, n, g.taps, g.groups, conv_filter_rows{g, w},
                             conv_window_rows{g, x + images, n}, conv_map_result{g, add, y + maps});
    });
}

/* ---- W^T map, one slice per group and remainder ---- */

struct conv_phases {
    int side, high, wide; /* taps per side; pixels with this remainder */
    dn_divisor by_side2, by_side, by_stride2, by_stride, by_area, by_wide;
    explicit conv_phases(const dn_conv_shape *s)
        : side((s->size + s->stride - 1) / s->stride), high((s->height + s->stride - 1) / s->stride),
          wide((s->width + s->stride - 1) / s->stride), by_side2(side * side), by_side(side),
          by_stride2(s->stride * s->stride), by_stride(s->stride), by_area(high * wide), by_wide(wide) {}
    /* The slice's group and remainders. */
    __device__ int open(int slice, int *rest_y, int *rest_x) const {
        int rest, group = by_stride2.of(slice, &rest);
        *rest_y = by_stride.of(rest, rest_x);
        return group;
    }
    /* The first pixel with this remainder: (pixel + padding) % stride == rest. */
    __device__ static int first(int rest, int padding, int stride) {
        return (rest - padding % stride + stride) % stride;
    }
};

/* Row i is channel i of all filters, at the taps of this remainder. */
struct conv_channel_rows {
    static constexpr bool along_k = true;
    struct Place {
        const float *w;
        int rest_y, rest_x;
    };
    conv_geometry g;
    conv_phases h;
    const float *w;
    __device__ Place place(int slice, int i) const {
        Place at = {nullptr, 0, 0};
        int group = h.open(slice, &at.rest_y, &at.rest_x);
        if (i < g.s.channels) at.w = w + (size_t)group * g.filters * g.taps + (size_t)i * g.s.size * g.s.size;
        return at;
    }
    __device__ float at(const Place &from, int p) const {
        int tap, kx, f = h.by_side2.of(p, &tap), ky = h.by_side.of(tap, &kx);
        ky = from.rest_y + ky * g.s.stride, kx = from.rest_x + kx * g.s.stride;
        if (!from.w || ky >= g.s.size || kx >= g.s.size) return 0;
        return from.w[(size_t)f * g.taps + ky * g.s.size + kx];
    }
};

/* Row j is a pixel of the image with this remainder: the part of the map that its taps meet. */
struct conv_reach_rows {
    static constexpr bool along_k = false;
    struct Place {
        const float *map;
        int y, x, rest_y, rest_x; /* the map's pixel that meets tap (rest_y, rest_x) */
    };
    conv_geometry g;
    conv_phases h;
    const float *maps;
    int n;
    __device__ Place place(int slice, int j) const {
        Place at = {maps, -1, -1, 0, 0};
        int group = h.open(slice, &at.rest_y, &at.rest_x);
        if (j >= n) return at;
        int pixel, sx, row = h.by_area.of(j, &pixel), sy = h.by_wide.of(pixel, &sx), stride = g.s.stride;
        int y = sy * stride + h.first(at.rest_y, g.s.padding, stride),
            x = sx * stride + h.first(at.rest_x, g.s.padding, stride);
        at.map = maps + g.map(row, group, 0);
        at.y = (y + g.s.padding - at.rest_y) / stride, at.x = (x + g.s.padding - at.rest_x) / stride;
        return at;
    }
    __device__ float at(const Place &from, int p) const {
        int tap, kx, f = h.by_side2.of(p, &tap), ky = h.by_side.of(tap, &kx), y = from.y - ky, x = from.x - kx;
        if (y < 0 || y >= g.s.out_height || x < 0 || x >= g.s.out_width) return 0;
        if (from.rest_y + ky * g.s.stride >= g.s.size || from.rest_x + kx * g.s.stride >= g.s.size) return 0;
        return from.map[(size_t)f * g.pixels + y * g.s.out_width + x];
    }
};

struct conv_image_result {
    conv_geometry g;
    conv_phases h;
    int add;
    float *images;
    __device__ void put(int slice, int i, int j, float sum) const {
        int rest_y, rest_x, pixel, sx, group = h.open(slice, &rest_y, &rest_x), row = h.by_area.of(j, &pixel);
        int sy = h.by_wide.of(pixel, &sx), stride = g.s.stride;
        int y = sy * stride + h.first(rest_y, g.s.padding, stride),
            x = sx * stride + h.first(rest_x, g.s.padding, stride);
        if (y >= g.s.height || x >= g.s.width) return;
        float *to = images + g.image(row, group) + ((size_t)i * g.s.height + y) * g.s.width + x;
        *to = add ? *to + sum : sum;
    }
};

static cudaError_t conv_data_few(const dn_cuda_place *on, const conv_geometry &g, size_t rows, int add, const float *dy,
                                 const float *w, float *dx) {
    size_t area = (size_t)g.s.height * (size_t)g.s.width, n = rows * (size_t)g.groups * area;
    dn_split by_area(n, area), by_groups(n, (size_t)g.groups);
    dn_divisor by_wide(g.s.width), by_stride(g.s.stride);
    return dn_each(on, n, [=] __device__(size_t i) {
        size_t pixel, group, image = by_area.of(i, &pixel);
        by_groups.of(image, &group);
        int px, py = by_wide.of((int)pixel, &px), rest_y, rest_x;
        int oy = by_stride.of(py + g.s.padding, &rest_y), ox = by_stride.of(px + g.s.padding, &rest_x);
        const float *from = dy + image * (size_t)g.filters * g.pixels;
        const float *weights = w + group * (size_t)g.filters * g.taps;
        float sums[FEW] = {};
        for (int f = 0; f < g.filters; f++)
            for (int ky = rest_y, sy = oy; ky < g.s.size && sy >= 0; ky += g.s.stride, sy--)
                for (int kx = rest_x, sx = ox; kx < g.s.size && sx >= 0; kx += g.s.stride, sx--) {
                    if (sy >= g.s.out_height || sx >= g.s.out_width) continue;
                    float v = from[(size_t)f * g.pixels + sy * g.s.out_width + sx];
#pragma unroll
                    for (int c = 0; c < FEW; c++)
                        if (c < g.s.channels)
                            sums[c] += v * weights[(size_t)f * g.taps + (c * g.s.size + ky) * g.s.size + kx];
                }
#pragma unroll
        for (int c = 0; c < FEW; c++)
            if (c < g.s.channels) {
                float *to = dx + (image * (size_t)g.s.channels + c) * area + pixel;
                *to = add ? *to + sums[c] : sums[c];
            }
    });
}

extern "C" cudaError_t dn_cuda_conv_backward_data(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows,
                                                  int add, const float *dy, const float *w, float *dx,
                                                  float *workspace) {
    (void)workspace;
    conv_geometry g(layer);
    if (conv_few(g.s.channels, rows * (size_t)g.groups * (size_t)(g.s.height * g.s.width), (size_t)g.filters * g.taps))
        return conv_data_few(on, g, rows, add, dy, w, dx);
    conv_phases h(&layer->group);
    int slices = g.groups * g.s.stride * g.s.stride, k = g.filters * h.side * h.side;
    return conv_rows(g, rows, [&](int n_rows, size_t images, size_t maps) {
        int n = n_rows * h.high * h.wide;
        return dn_tile_small(on, g.s.channels, n, k, slices, conv_channel_rows{g, h, w},
                             conv_reach_rows{g, h, dy + maps, n}, conv_image_result{g, h, add, dx + images});
    });
}

/* ---- map image^T ---- */

/* Row i is filter i of the map at all pixels of all rows. */
struct conv_map_rows {
    static constexpr bool along_k = true;
    typedef const float *Place;
    conv_geometry g;
    const float *maps;
    __device__ Place place(int group, int i) const { return i < g.filters ? maps + g.map(0, group, i) : nullptr; }
    __device__ float at(Place map, int p) const {
        int pixel, row = g.by_pixels.of(p, &pixel);
        return map ? map[(size_t)row * g.groups * g.filters * g.pixels + pixel] : 0;
    }
};

/* Row j is tap j of the windows of all pixels of all rows. */
struct conv_tap_rows {
    static constexpr bool along_k = true;
    struct Place {
        const float *channel;
        int y, x;
    };
    conv_geometry g;
    const float *images;
    __device__ Place place(int group, int j) const {
        Place at = {images, -(1 << 29), 0};
        if (j >= g.taps) return at;
        int tap, kx, c = g.by_square.of(j, &tap), ky = g.by_size.of(tap, &kx);
        at.channel = images + g.image(0, group) + (size_t)c * g.s.height * g.s.width;
        at.y = ky - g.s.padding, at.x = kx - g.s.padding;
        return at;
    }
    __device__ float at(const Place &from, int p) const {
        int pixel, ox, row = g.by_pixels.of(p, &pixel), oy = g.by_width.of(pixel, &ox);
        int y = oy * g.s.stride + from.y, x = ox * g.s.stride + from.x;
        int inside = y >= 0 && y < g.s.height && x >= 0 && x < g.s.width;
        return inside ? from.channel[g.image(row, 0) + (size_t)y * g.s.width + x] : 0;
    }
};

struct conv_weight_result {
    conv_geometry g;
    float *dw;
    __device__ void put(int group, int i, int j, float sum) const {
        dw[((size_t)group * g.filters + i) * g.taps + j] += sum;
    }
};

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

extern "C" cudaError_t dn_cuda_conv_backward_weights(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows,
                                                     const float *x, const float *dy, float *dw, float *workspace) {
    (void)workspace;
    conv_geometry g(layer);
    return conv_rows(g, rows, [&](int n_rows, size_t images, size_t maps) {
        if (g.filters * g.taps <= 256 && g.groups * g.filters * g.taps >= 2 * on->processors)
            return conv_weights_few(on, g, n_rows, x + images, dy + maps, dw);
        return dn_tile_small(on, g.filters, g.taps, n_rows * g.pixels, g.groups, conv_map_rows{g, dy + maps},
                             conv_tap_rows{g, x + images}, conv_weight_result{g, dw});
    });
}

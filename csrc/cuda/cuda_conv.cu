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
 * them, and a block per weight sums its gradient (cuda_conv_few.cuh). */
#include "cuda/cuda_conv_few.cuh"
#include "cuda/cuda_tile.cuh"

/* A product with m filters or channels: tiles that are not half empty. A thread has 8 rows or columns in one direction,
 * so that there are nearly three multiplications for each number it reads from shared memory. */
template <class A, class B, class C>
static cudaError_t conv_tile(const dn_cuda_place *on, int m, int n, int k, int slices, const A &a, const B &b,
                             const C &c) {
    if (m <= 32 && n <= 32) return dn_tile_launch<32, 32, 16, 4, 4>(on, m, n, k, slices, a, b, c);
    if (m <= 32) return dn_tile_launch<32, 128, 16, 4, 8>(on, m, n, k, slices, a, b, c);
    return dn_tile_launch<64, 64, 16, 8, 4>(on, m, n, k, slices, a, b, c);
}

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
    typedef int Depth;
    conv_geometry g;
    const float *w;
    __device__ Place place(int group, int i) const {
        return i < g.filters ? w + ((size_t)group * g.filters + i) * g.taps : nullptr;
    }
    __device__ Depth depth(int p) const { return p; }
    __device__ float at(Place row, Depth p) const { return row ? row[p] : 0; }
};

/* The columns of the image: row j is a pixel of the map, p a tap. */
struct conv_window_rows {
    static constexpr bool along_k = false;
    struct Place {
        const float *image;
        int y, x, first; /* of its first tap; where that is, or would be */
    };
    struct Depth {
        int ky, kx, offset; /* from the first tap */
    };
    conv_geometry g;
    const float *images;
    int n;
    __device__ Place place(int group, int j) const {
        Place at = {images, -(1 << 29), 0, 0};
        if (j >= n) return at; /* no tap inside */
        int pixel, ox, row = g.by_pixels.of(j, &pixel), oy = g.by_width.of(pixel, &ox);
        at.image = images + g.image(row, group);
        at.y = oy * g.s.stride - g.s.padding, at.x = ox * g.s.stride - g.s.padding;
        at.first = at.y * g.s.width + at.x;
        return at;
    }
    __device__ Depth depth(int p) const {
        int tap, kx, c = g.by_square.of(p, &tap), ky = g.by_size.of(tap, &kx);
        return Depth{ky, kx, (c * g.s.height + ky) * g.s.width + kx};
    }
    __device__ float at(const Place &from, const Depth &tap) const {
        bool inside = dn_within(from.y + tap.ky, g.s.height) && dn_within(from.x + tap.kx, g.s.width);
        return inside ? from.image[from.first + tap.offset] : 0;
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

extern "C" cudaError_t dn_cuda_conv_forward(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows, int add,
                                            const float *x, const float *w, float *y, float *workspace) {
    (void)workspace;
    conv_geometry g(layer);
    if (conv_few(g.filters, rows * (size_t)g.groups * (size_t)g.pixels, (size_t)g.taps))
        return conv_forward_few(on, g, rows, add, x, w, y);
    return conv_rows(g, rows, [&](int n_rows, size_t images, size_t maps) {
        int n = n_rows * g.pixels;
        return conv_tile(on, g.filters, n, g.taps, g.groups, conv_filter_rows{g, w}, conv_window_rows{g, x + images, n},
                         conv_map_result{g, add, y + maps});
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
    struct Depth {
        size_t filter;
        int ky, kx;
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
    __device__ Depth depth(int p) const {
        int tap, kx, f = h.by_side2.of(p, &tap), ky = h.by_side.of(tap, &kx);
        return Depth{(size_t)f * g.taps, ky * g.s.stride, kx * g.s.stride};
    }
    __device__ float at(const Place &from, const Depth &tap) const {
        int ky = from.rest_y + tap.ky, kx = from.rest_x + tap.kx;
        return from.w && ky < g.s.size && kx < g.s.size ? from.w[tap.filter + (size_t)(ky * g.s.size + kx)] : 0;
    }
};

/* Row j is a pixel of the image with this remainder: the part of the map that its taps meet. */
struct conv_reach_rows {
    static constexpr bool along_k = false;
    struct Place {
        const float *map;
        int y, x, first;    /* the map's pixel that meets the first tap; where that is, or would be */
        int taps_y, taps_x; /* taps from there on with these remainders */
    };
    struct Depth {
        int ky, kx, offset;
    };
    conv_geometry g;
    conv_phases h;
    const float *maps;
    int n;
    __device__ Place place(int slice, int j) const {
        Place at = {maps, -1, -1, 0, 0, 0};
        int rest_y, rest_x, group = h.open(slice, &rest_y, &rest_x);
        if (j >= n) return at; /* no taps */
        int pixel, sx, row = h.by_area.of(j, &pixel), sy = h.by_wide.of(pixel, &sx), stride = g.s.stride;
        int y = sy * stride + h.first(rest_y, g.s.padding, stride),
            x = sx * stride + h.first(rest_x, g.s.padding, stride);
        at.map = maps + g.map(row, group, 0);
        at.y = h.by_stride.of(y + g.s.padding - rest_y), at.x = h.by_stride.of(x + g.s.padding - rest_x);
        at.first = at.y * g.s.out_width + at.x;
        at.taps_y = h.by_stride.of(g.s.size - rest_y + stride - 1),
        at.taps_x = h.by_stride.of(g.s.size - rest_x + stride - 1);
        return at;
    }
    __device__ Depth depth(int p) const {
        int tap, kx, f = h.by_side2.of(p, &tap), ky = h.by_side.of(tap, &kx);
        return Depth{ky, kx, f * g.pixels - ky * g.s.out_width - kx};
    }
    __device__ float at(const Place &from, const Depth &tap) const {
        bool met = tap.ky < from.taps_y && tap.kx < from.taps_x && dn_within(from.y - tap.ky, g.s.out_height) &&
                   dn_within(from.x - tap.kx, g.s.out_width);
        return met ? from.map[from.first + tap.offset] : 0;
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

extern "C" cudaError_t dn_cuda_conv_backward_data(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows,
                                                  int add, const float *dy, const float *w, float *dx,
                                                  float *workspace) {
    (void)workspace;
    conv_geometry g(layer);
    bool few =
        conv_few(g.s.channels, rows * (size_t)g.groups * (size_t)(g.s.height * g.s.width), (size_t)g.filters * g.taps);
    if (few && g.s.stride <= 2) {
        auto pass = g.s.stride == 1     ? g.s.channels == 1 ? conv_data_few<1, 1> : conv_data_few<1, FEW>
                    : g.s.channels == 1 ? conv_data_few<2, 1>
                                        : conv_data_few<2, FEW>;
        return pass(on, g, rows, add, dy, w, dx);
    }
    conv_phases h(&layer->group);
    int slices = g.groups * g.s.stride * g.s.stride, k = g.filters * h.side * h.side;
    return conv_rows(g, rows, [&](int n_rows, size_t images, size_t maps) {
        int n = n_rows * h.high * h.wide;
        return conv_tile(on, g.s.channels, n, k, slices, conv_channel_rows{g, h, w},
                         conv_reach_rows{g, h, dy + maps, n}, conv_image_result{g, h, add, dx + images});
    });
}

/* ---- map image^T ---- */

/* Row i is filter i of the map at all pixels of all rows. */
struct conv_map_rows {
    static constexpr bool along_k = true;
    typedef const float *Place;
    typedef size_t Depth;
    conv_geometry g;
    const float *maps;
    __device__ Place place(int group, int i) const { return i < g.filters ? maps + g.map(0, group, i) : nullptr; }
    __device__ Depth depth(int p) const {
        int pixel, row = g.by_pixels.of(p, &pixel);
        return (size_t)row * g.groups * g.filters * g.pixels + (size_t)pixel;
    }
    __device__ float at(Place map, Depth pixel) const { return map ? map[pixel] : 0; }
};

/* Row j is tap j of the windows of all pixels of all rows. */
struct conv_tap_rows {
    static constexpr bool along_k = true;
    struct Place {
        const float *channel;
        int y, x, first; /* of the tap in the window of pixel 0; where that is, or would be */
    };
    struct Depth {
        size_t row;
        int y, x, offset; /* of the pixel's window */
    };
    conv_geometry g;
    const float *images;
    __device__ Place place(int group, int j) const {
        Place at = {images, -(1 << 29), 0, 0};
        if (j >= g.taps) return at;
        int tap, kx, c = g.by_square.of(j, &tap), ky = g.by_size.of(tap, &kx);
        at.channel = images + g.image(0, group) + (size_t)c * g.s.height * g.s.width;
        at.y = ky - g.s.padding, at.x = kx - g.s.padding;
        at.first = at.y * g.s.width + at.x;
        return at;
    }
    __device__ Depth depth(int p) const {
        int pixel, ox, row = g.by_pixels.of(p, &pixel), oy = g.by_width.of(pixel, &ox);
        int y = oy * g.s.stride, x = ox * g.s.stride;
        return Depth{g.image(row, 0), y, x, y * g.s.width + x};
    }
    __device__ float at(const Place &from, const Depth &of) const {
        bool inside = dn_within(of.y + from.y, g.s.height) && dn_within(of.x + from.x, g.s.width);
        return inside ? from.channel[of.row + (size_t)(from.first + of.offset)] : 0;
    }
};

struct conv_weight_result {
    conv_geometry g;
    float *dw;
    __device__ void put(int group, int i, int j, float sum) const {
        dw[((size_t)group * g.filters + i) * g.taps + j] += sum;
    }
};

extern "C" cudaError_t dn_cuda_conv_backward_weights(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows,
                                                     const float *x, const float *dy, float *dw, float *workspace) {
    (void)workspace;
    conv_geometry g(layer);
    return conv_rows(g, rows, [&](int n_rows, size_t images, size_t maps) {
        if (g.filters * g.taps <= 256 && g.groups * g.filters * g.taps >= 2 * on->processors)
            return conv_weights_few(on, g, n_rows, x + images, dy + maps, dw);
        return conv_tile(on, g.filters, g.taps, n_rows * g.pixels, g.groups, conv_map_rows{g, dy + maps},
                         conv_tap_rows{g, x + images}, conv_weight_result{g, dw});
    });
}

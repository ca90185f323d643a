/* Locally connected layers: every pixel of the map is a product of its own (a slice of cuda_tile.cuh), of W (pixels,
 * filters, taps) with the windows of all rows. */
#include "cuda/cuda_tile.cuh"

struct local_geometry {
    dn_conv_shape s;
    int filters, taps, pixels;
    dn_divisor by_square, by_size, by_width;
    explicit local_geometry(const dn_conv_layer *l)
        : s(l->group), filters(l->filters), taps(s.channels * s.size * s.size), pixels(s.out_height * s.out_width),
          by_square(s.size * s.size), by_size(s.size), by_width(s.out_width) {}
    __device__ size_t image() const { return (size_t)s.channels * s.height * s.width; }
    __device__ size_t map() const { return (size_t)filters * pixels; }
    /* The beginning of a pixel's window. */
    __device__ int first(int pixel, int *x) const {
        int ox, oy = by_width.of(pixel, &ox);
        *x = ox * s.stride - s.padding;
        return oy * s.stride - s.padding;
    }
    __device__ int channel(int tap, int *ky, int *kx) const {
        int rest, c = by_square.of(tap, &rest);
        *ky = by_size.of(rest, kx);
        return c;
    }
};

/* Row i holds the taps of filter i. */
struct local_filter_rows {
    static constexpr bool along_k = true;
    typedef const float *Place;
    typedef int Depth;
    local_geometry g;
    const float *w;
    __device__ Place place(int pixel, int i) const {
        return i < g.filters ? w + ((size_t)pixel * g.filters + i) * g.taps : nullptr;
    }
    __device__ Depth depth(int p) const { return p; }
    __device__ float at(Place row, Depth p) const { return row ? row[p] : 0; }
};

/* Row j is the window in row j of the batch, p a tap. */
struct local_window_rows {
    static constexpr bool along_k = true;
    struct Place {
        const float *image;
        int y, x;
    };
    struct Depth {
        int c, ky, kx;
    };
    local_geometry g;
    const float *images;
    int rows;
    __device__ Place place(int pixel, int j) const {
        Place at = {images + (size_t)j * g.image(), 0, 0};
        at.y = g.first(pixel, &at.x);
        if (j >= rows) at.image = nullptr;
        return at;
    }
    __device__ Depth depth(int p) const {
        Depth at;
        at.c = g.channel(p, &at.ky, &at.kx);
        return at;
    }
    __device__ float at(const Place &from, const Depth &tap) const {
        int y = from.y + tap.ky, x = from.x + tap.kx;
        int inside = from.image && y >= 0 && y < g.s.height && x >= 0 && x < g.s.width;
        return inside ? from.image[((size_t)tap.c * g.s.height + y) * g.s.width + x] : 0;
    }
};

struct local_map_result {
    local_geometry g;
    float *y;
    __device__ void put(int pixel, int i, int j, float sum) const {
        y[(size_t)j * g.map() + (size_t)i * g.pixels + pixel] = sum;
    }
};

extern "C" cudaError_t dn_cuda_local_forward(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows,
                                             const float *x, const float *w, float *y) {
    local_geometry g(layer);
    return dn_tile_small(on, g.filters, (int)rows, g.taps, g.pixels, local_filter_rows{g, w},
                         local_window_rows{g, x, (int)rows}, local_map_result{g, y});
}

/* Row i is filter i in all rows of the batch. */
struct local_map_rows {
    static constexpr bool along_k = false;
    typedef const float *Place;
    typedef size_t Depth;
    local_geometry g;
    const float *dy;
    __device__ Place place(int pixel, int i) const {
        return i < g.filters ? dy + (size_t)i * g.pixels + pixel : nullptr;
    }
    __device__ Depth depth(int p) const { return (size_t)p * g.map(); }
    __device__ float at(Place map, Depth row) const { return map ? map[row] : 0; }
};

/* Row j is tap j of the windows of all rows of the batch. */
struct local_tap_rows {
    static constexpr bool along_k = false;
    typedef const float *Place;
    typedef size_t Depth;
    local_geometry g;
    const float *images;
    __device__ Place place(int pixel, int j) const {
        if (j >= g.taps) return nullptr;
        int ky, kx, x, c = g.channel(j, &ky, &kx), y = g.first(pixel, &x) + ky;
        x += kx;
        int inside = y >= 0 && y < g.s.height && x >= 0 && x < g.s.width;
        return inside ? images + ((size_t)c * g.s.height + y) * g.s.width + x : nullptr;
    }
    __device__ Depth depth(int p) const { return (size_t)p * g.image(); }
    __device__ float at(Place value, Depth row) const { return value ? value[row] : 0; }
};

struct local_weight_result {
    local_geometry g;
    float *dw;
    __device__ void put(int pixel, int i, int j, float sum) const {
        dw[((size_t)pixel * g.filters + i) * g.taps + j] += sum;
    }
};

extern "C" cudaError_t dn_cuda_local_backward_weights(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows,
                                                      const float *x, const float *dy, float *dw) {
    local_geometry g(layer);
    return dn_tile_small(on, g.filters, g.taps, (int)rows, g.pixels, local_map_rows{g, dy}, local_tap_rows{g, x},
                         local_weight_result{g, dw});
}

/* A thread per pixel of the image adds up the contributions of the windows that contain it. */
extern "C" cudaError_t dn_cuda_local_backward_data(const dn_cuda_place *on, const dn_conv_layer *layer, size_t rows,
                                                   const float *dy, const float *w, float *dx) {
    local_geometry g(layer);
    size_t n = rows * (size_t)g.s.channels * g.s.height * g.s.width;
    dn_split by_wide(n, (size_t)g.s.width), by_high(n, (size_t)g.s.height), by_channels(n, (size_t)g.s.channels);
    dn_divisor by_stride(g.s.stride);
    return dn_each(on, n, [=] __device__(size_t i) {
        size_t px, py, c, row = by_channels.of(by_high.of(by_wide.of(i, &px), &py), &c);
        int rest_y, rest_x, oy = by_stride.of((int)py + g.s.padding, &rest_y),
                            ox = by_stride.of((int)px + g.s.padding, &rest_x);
        const float *map = dy + row * g.map();
        float sum = 0;
        for (int ky = rest_y, sy = oy; ky < g.s.size && sy >= 0; ky += g.s.stride, sy--)
            for (int kx = rest_x, sx = ox; kx < g.s.size && sx >= 0; kx += g.s.stride, sx--) {
                if (sy >= g.s.out_height || sx >= g.s.out_width) continue;
                int pixel = sy * g.s.out_width + sx, tap = ((int)c * g.s.size + ky) * g.s.size + kx;
                for (int f = 0; f < g.filters; f++)
                    sum += map[(size_t)f * g.pixels + pixel] * w[((size_t)pixel * g.filters + f) * g.taps + tap];
            }
        dx[i] += sum;
    });
}

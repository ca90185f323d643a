/* Images: columns, pooling, resampling, shortcuts. One thread per value written, so no two threads write the same
 * one. */
#include "cuda/cuda_common.cuh"
#include <cfloat>

extern "C" cudaError_t dn_cuda_im2col(const dn_cuda_place *on, const dn_conv_shape *shape, const float *image,
                                      float *columns) {
    dn_conv_shape s = *shape;
    size_t pixels = (size_t)s.out_height * s.out_width, taps = (size_t)s.size * s.size;
    return dn_each(on, (size_t)s.channels * taps * pixels, [=] __device__(size_t i) {
        int ox = (int)(i % s.out_width), oy = (int)(i / s.out_width % s.out_height), tap = (int)(i / pixels % taps);
        size_t c = i / pixels / taps;
        int y = oy * s.stride + tap / s.size - s.padding, x = ox * s.stride + tap % s.size - s.padding;
        int inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
        columns[i] = inside ? image[(c * s.height + (size_t)y) * s.width + (size_t)x] : 0;
    });
}

/* A thread per pixel of the image adds up the columns' values for it. */
extern "C" cudaError_t dn_cuda_col2im(const dn_cuda_place *on, const dn_conv_shape *shape, const float *columns,
                                      float *image) {
    dn_conv_shape s = *shape;
    return dn_each(on, (size_t)s.channels * s.height * s.width, [=] __device__(size_t i) {
        int x = (int)(i % s.width), y = (int)(i / s.width % s.height);
        size_t c = i / s.width / s.height;
        float sum = 0;
        for (int ky = 0; ky < s.size; ky++)
            for (int kx = 0; kx < s.size; kx++) {
                int oy = y + s.padding - ky, ox = x + s.padding - kx;
                if (oy < 0 || ox < 0 || oy % s.stride || ox % s.stride) continue;
                oy /= s.stride, ox /= s.stride;
                if (oy < s.out_height && ox < s.out_width)
                    sum += columns[(((c * s.size + ky) * s.size + kx) * s.out_height + oy) * s.out_width + ox];
            }
        image[i] += sum;
    });
}

extern "C" cudaError_t dn_cuda_maxpool_forward(const dn_cuda_place *on, size_t rows, const dn_conv_shape *shape,
                                               const float *x, float *y, int *index) {
    dn_conv_shape s = *shape;
    size_t map = (size_t)s.height * s.width;
    return dn_each(on, rows * s.channels * s.out_height * s.out_width, [=] __device__(size_t n) {
        int ox = (int)(n % s.out_width), oy = (int)(n / s.out_width % s.out_height);
        size_t m = n / s.out_width / s.out_height;
        float best = -FLT_MAX;
        int at = -1, y0 = oy * s.stride - s.padding / 2, x0 = ox * s.stride - s.padding / 2;
        for (int i = y0 < 0 ? 0 : y0; i < y0 + s.size && i < s.height; i++)
            for (int k = x0 < 0 ? 0 : x0; k < x0 + s.size && k < s.width; k++) {
                float v = x[m * map + (size_t)i * s.width + k];
                if (at < 0 || v > best) best = v, at = (int)(m * map + (size_t)i * s.width + k);
            }
        y[n] = at < 0 ? 0 : best;
        index[n] = at;
    });
}

/* A thread per pixel of the input visits the windows that contain it. */
extern "C" cudaError_t dn_cuda_maxpool_backward(const dn_cuda_place *on, size_t rows, const dn_conv_shape *shape,
                                                const int *index, const float *dy, float *dx) {
    dn_conv_shape s = *shape;
    size_t out = (size_t)s.out_height * s.out_width;
    return dn_each(on, rows * s.channels * s.height * s.width, [=] __device__(size_t i) {
        int x = (int)(i % s.width) + s.padding / 2, y = (int)(i / s.width % s.height) + s.padding / 2;
        size_t m = i / s.width / s.height;
        int first_y = y < s.size ? 0 : (y - s.size) / s.stride + 1,
            first_x = x < s.size ? 0 : (x - s.size) / s.stride + 1;
        float sum = 0;
        for (int oy = first_y; oy < s.out_height && oy * s.stride <= y; oy++)
            for (int ox = first_x; ox < s.out_width && ox * s.stride <= x; ox++) {
                size_t n = m * out + (size_t)oy * s.out_width + ox;
                if (index[n] == (int)i) sum += dy[n];
            }
        dx[i] += sum;
    });
}

extern "C" cudaError_t dn_cuda_upsample_forward(const dn_cuda_place *on, size_t maps, int h, int w, int stride,
                                                float scale, const float *x, float *y) {
    size_t oh = (size_t)h * stride, ow = (size_t)w * stride;
    return dn_each(on, maps * oh * ow, [=] __device__(size_t i) {
        y[i] = scale * x[(i / ow / oh * h + i / ow % oh / stride) * w + i % ow / stride];
    });
}

extern "C" cudaError_t dn_cuda_upsample_backward(const dn_cuda_place *on, size_t maps, int h, int w, int stride,
                                                 float scale, const float *dy, float *dx) {
    size_t ow = (size_t)w * stride;
    return dn_each(on, maps * h * w, [=] __device__(size_t i) {
        const float *from = dy + i / w * stride * ow + i % w * stride; /* maps are rows too: h * stride of them each */
        float sum = 0;
        for (int r = 0; r < stride; r++)
            for (int c = 0; c < stride; c++) sum += scale * from[r * ow + c];
        dx[i] += sum;
    });
}

extern "C" cudaError_t dn_cuda_downsample_forward(const dn_cuda_place *on, size_t maps, int h, int w, int stride,
                                                  float scale, const float *x, float *y) {
    size_t oh = (size_t)(h / stride), ow = (size_t)(w / stride);
    return dn_each(on, maps * oh * ow, [=] __device__(size_t i) {
        const float *from = x + (i / ow / oh * h + i / ow % oh * stride) * w + i % ow * stride;
        float sum = 0;
        for (int r = 0; r < stride; r++)
            for (int c = 0; c < stride; c++) sum += scale * from[(size_t)r * w + c];
        y[i] = sum;
    });
}

extern "C" cudaError_t dn_cuda_downsample_backward(const dn_cuda_place *on, size_t maps, int h, int w, int stride,
                                                   float scale, const float *dy, float *dx) {
    size_t oh = (size_t)(h / stride), ow = (size_t)(w / stride);
    return dn_each(on, maps * h * w, [=] __device__(size_t i) {
        size_t y = i / w % h / stride, x = i % w / stride; /* rows and columns that do not fill a square are skipped */
        if (y < oh && x < ow) dx[i] += scale * dy[(i / w / h * oh + y) * ow + x];
    });
}

static int least(int a, int b) { return a < b ? a : b; }

extern "C" cudaError_t dn_cuda_shortcut_forward(const dn_cuda_place *on, const dn_shortcut_shape *shape, float alpha,
                                                float beta, const float *source, float *y) {
    dn_shortcut_shape s = *shape;
    int h = least(s.h1 / s.stride, s.h2 / s.sample), w = least(s.w1 / s.stride, s.w2 / s.sample),
        channels = least(s.c1, s.c2);
    return dn_each(on, s.rows * channels * h * w, [=] __device__(size_t n) {
        size_t j = n % w, i = n / w % h, c = n / w / h % channels, r = n / w / h / channels;
        float *to = y + ((r * s.c2 + c) * s.h2 + i * s.sample) * s.w2 + j * s.sample;
        *to = alpha * *to + beta * source[((r * s.c1 + c) * s.h1 + i * s.stride) * s.w1 + j * s.stride];
    });
}

/* A thread per value of dy. dx and dsource may be the same array: then their shapes are equal, and a thread only meets
 * its own value. */
extern "C" cudaError_t dn_cuda_shortcut_backward(const dn_cuda_place *on, const dn_shortcut_shape *shape, float alpha,
                                                 float beta, const float *dy, float *dx, float *dsource) {
    dn_shortcut_shape s = *shape;
    int h = least(s.h1 / s.stride, s.h2 / s.sample), w = least(s.w1 / s.stride, s.w2 / s.sample),
        channels = least(s.c1, s.c2);
    return dn_each(on, s.rows * s.c2 * s.h2 * s.w2, [=] __device__(size_t n) {
        int x = (int)(n % s.w2), y = (int)(n / s.w2 % s.h2), c = (int)(n / s.w2 / s.h2 % s.c2);
        size_t r = n / s.w2 / s.h2 / s.c2;
        int meets = c < channels && y % s.sample == 0 && x % s.sample == 0 && y / s.sample < h && x / s.sample < w;
        if (dx) dx[n] += meets ? alpha * dy[n] : dy[n];
        if (meets)
            dsource[((r * s.c1 + c) * s.h1 + y / s.sample * s.stride) * s.w1 + x / s.sample * s.stride] += beta * dy[n];
    });
}

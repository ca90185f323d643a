/* Images: columns for convolutions, pooling, resampling, shortcuts. */
#include "cpu_ops.h"
#include <float.h>
#include <string.h>

/* columns[(c*size + ky)*size + kx][oy*out_w + ox] = image[c][oy*stride + ky - padding][ox*stride + kx - padding] */
void cpu_im2col(dn_pool *pool, const dn_conv_shape *s, const float *image, float *columns) {
    (void)pool;
    for (int c = 0; c < s->channels; c++, image += (size_t)s->height * s->width)
        for (int ky = 0; ky < s->size; ky++)
            for (int kx = 0; kx < s->size; kx++)
                for (int oy = 0; oy < s->out_height; oy++, columns += s->out_width) {
                    int y = oy * s->stride + ky - s->padding;
                    if (y < 0 || y >= s->height) {
                        memset(columns, 0, (size_t)s->out_width * sizeof *columns);
                        continue;
                    }
                    const float *line = image + (size_t)y * s->width;
                    for (int ox = 0; ox < s->out_width; ox++) {
                        int x = ox * s->stride + kx - s->padding;
                        columns[ox] = x < 0 || x >= s->width ? 0 : line[x];
                    }
                }
}

void cpu_col2im(dn_pool *pool, const dn_conv_shape *s, const float *columns, float *image) {
    (void)pool;
    for (int c = 0; c < s->channels; c++, image += (size_t)s->height * s->width)
        for (int ky = 0; ky < s->size; ky++)
            for (int kx = 0; kx < s->size; kx++)
                for (int oy = 0; oy < s->out_height; oy++, columns += s->out_width) {
                    int y = oy * s->stride + ky - s->padding;
                    if (y < 0 || y >= s->height) continue;
                    float *line = image + (size_t)y * s->width;
                    for (int ox = 0; ox < s->out_width; ox++) {
                        int x = ox * s->stride + kx - s->padding;
                        if (x >= 0 && x < s->width) line[x] += columns[ox];
                    }
                }
}

/* padding is the total of both sides; the window of output i begins at i*stride - padding/2 */
void cpu_maxpool_forward(dn_pool *pool, size_t rows, const dn_conv_shape *s, const float *x, float *y, int *index) {
    (void)pool;
    size_t map = (size_t)s->height * s->width, n = 0;
    for (size_t m = 0; m < rows * (size_t)s->channels; m++)
        for (int oy = 0; oy < s->out_height; oy++)
            for (int ox = 0; ox < s->out_width; ox++, n++) {
                float best = -FLT_MAX;
                int at = -1, y0 = oy * s->stride - s->padding / 2, x0 = ox * s->stride - s->padding / 2;
                for (int i = y0 < 0 ? 0 : y0; i < y0 + s->size && i < s->height; i++)
                    for (int k = x0 < 0 ? 0 : x0; k < x0 + s->size && k < s->width; k++) {
                        float v = x[m * map + (size_t)i * s->width + k];
                        if (at < 0 || v > best) best = v, at = (int)(m * map + (size_t)i * s->width + k);
                    }
                y[n] = at < 0 ? 0 : best;
                index[n] = at;
            }
}
void cpu_maxpool_backward(dn_pool *pool, size_t n, const int *index, const float *dy, float *dx) {
    (void)pool;
    for (size_t i = 0; i < n; i++)
        if (index[i] >= 0) dx[index[i]] += dy[i];
}

/* (h, w) is the size of the input map in all four */
void cpu_upsample_forward(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *x, float *y) {
    (void)pool;
    for (size_t m = 0; m < maps; m++)
        for (int i = 0; i < h * stride; i++)
            for (int j = 0; j < w * stride; j++) *y++ = scale * x[(m * h + i / stride) * w + j / stride];
}
void cpu_upsample_backward(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *dy,
                           float *dx) {
    (void)pool;
    for (size_t m = 0; m < maps; m++)
        for (int i = 0; i < h * stride; i++)
            for (int j = 0; j < w * stride; j++) dx[(m * h + i / stride) * w + j / stride] += scale * *dy++;
}
void cpu_downsample_forward(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *x,
                            float *y) {
    (void)pool;
    int oh = h / stride, ow = w / stride;
    memset(y, 0, maps * oh * ow * sizeof *y);
    for (size_t m = 0; m < maps; m++)
        for (int i = 0; i < oh * stride; i++)
            for (int j = 0; j < ow * stride; j++)
                y[(m * oh + i / stride) * ow + j / stride] += scale * x[(m * h + i) * w + j];
}
void cpu_downsample_backward(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *dy,
                             float *dx) {
    (void)pool;
    int oh = h / stride, ow = w / stride;
    for (size_t m = 0; m < maps; m++)
        for (int i = 0; i < oh * stride; i++)
            for (int j = 0; j < ow * stride; j++)
                dx[(m * h + i) * w + j] += scale * dy[(m * oh + i / stride) * ow + j / stride];
}

static inline int least(int a, int b) { return a < b ? a : b; }

void cpu_shortcut_forward(dn_pool *pool, const dn_shortcut_shape *s, float alpha, float beta, const float *source,
                          float *y) {
    (void)pool;
    int h = least(s->h1 / s->stride, s->h2 / s->sample), w = least(s->w1 / s->stride, s->w2 / s->sample);
    for (size_t r = 0; r < s->rows; r++)
        for (int c = 0; c < least(s->c1, s->c2); c++)
            for (int i = 0; i < h; i++)
                for (int j = 0; j < w; j++) {
                    float *to = y + ((r * s->c2 + c) * s->h2 + i * s->sample) * s->w2 + j * s->sample;
                    *to = alpha * *to + beta * source[((r * s->c1 + c) * s->h1 + i * s->stride) * s->w1 + j * s->stride];
                }
}
void cpu_shortcut_backward(dn_pool *pool, const dn_shortcut_shape *s, float alpha, float beta, const float *dy,
                           float *dx, float *dsource) {
    (void)pool;
    int h = least(s->h1 / s->stride, s->h2 / s->sample), w = least(s->w1 / s->stride, s->w2 / s->sample);
    if (dx)
        for (size_t i = 0; i < s->rows * s->c2 * s->h2 * s->w2; i++) dx[i] += dy[i];
    for (size_t r = 0; r < s->rows; r++)
        for (int c = 0; c < least(s->c1, s->c2); c++)
            for (int i = 0; i < h; i++)
                for (int j = 0; j < w; j++) {
                    size_t at = ((r * s->c2 + c) * s->h2 + i * s->sample) * s->w2 + j * s->sample;
                    if (dx) dx[at] += (alpha - 1) * dy[at];
                    dsource[((r * s->c1 + c) * s->h1 + i * s->stride) * s->w1 + j * s->stride] += beta * dy[at];
                }
}

/* Images: columns for convolutions, pooling, resampling, shortcuts. Maps are independent, so a chunk is a run of
 * maps. */
#include "cpu/cpu_conv_kernels.h"
#include "cpu/cpu_ops.h"
#include <float.h>
#include <string.h>

typedef struct image_job image_job;
struct image_job {
    void (*run)(const image_job *, size_t map);
    size_t maps, per_chunk;
    const dn_conv_shape *shape;
    const dn_shortcut_shape *shortcut;
    int h, w, stride;
    float a, b;
    const float *x;
    float *y, *z;
    int *index;
};

static void image_chunk(void *context, size_t chunk) {
    const image_job *j = context;
    for (size_t m = chunk * j->per_chunk, end = dn_chunk_end(chunk, j->per_chunk, j->maps); m < end; m++) j->run(j, m);
}

/* `values` per map are read or written */
static void image_run(dn_pool *pool, size_t values, image_job job) {
    job.per_chunk = values < DN_GRAIN ? DN_GRAIN / (values + 1) + 1 : 1;
    dn_pool_run(pool, dn_chunks(job.maps, job.per_chunk), image_chunk, &job);
}

static inline int least(int a, int b) { return a < b ? a : b; }
static inline int most(int a, int b) { return a > b ? a : b; }

/* Those output columns [*from, *to) for which tap kx lies inside the image. */
static void inside(const dn_conv_shape *s, int kx, int *from, int *to) {
    int left = s->padding - kx, right = s->width - 1 + s->padding - kx; /* 0 <= ox*stride - left, ox*stride <= right */
    *from = left > 0 ? least((left + s->stride - 1) / s->stride, s->out_width) : 0;
    *to = right < 0 ? *from : most(*from, least(right / s->stride + 1, s->out_width));
}

/* columns[(c*size + ky)*size + kx][oy*out_w + ox] = image[c][oy*stride + ky - padding][ox*stride + kx - padding] */
static void run_im2col(const image_job *j, size_t map) {
    const dn_conv_shape *s = j->shape;
    const float *image = j->x + map * s->height * s->width;
    float *columns = j->y + map * s->size * s->size * s->out_height * s->out_width;
    for (int ky = 0; ky < s->size; ky++)
        for (int kx = 0; kx < s->size; kx++) {
            int from, to;
            inside(s, kx, &from, &to);
            for (int oy = 0; oy < s->out_height; oy++, columns += s->out_width) {
                int y = oy * s->stride + ky - s->padding, all = y < 0 || y >= s->height ? s->out_width : from;
                memset(columns, 0, (size_t)all * sizeof *columns);
                if (all == s->out_width) continue;
                const float *line = image + (ptrdiff_t)y * s->width + kx - s->padding;
                if (s->stride == 1)
                    memcpy(columns + from, line + from, (size_t)(to - from) * sizeof *columns);
                else
                    for (int ox = from; ox < to; ox++) columns[ox] = line[(ptrdiff_t)ox * s->stride];
                memset(columns + to, 0, (size_t)(s->out_width - to) * sizeof *columns);
            }
        }
}

static void run_col2im(const image_job *j, size_t map) {
    const dn_conv_shape *s = j->shape;
    const float *columns = j->x + map * s->size * s->size * s->out_height * s->out_width;
    float *image = j->y + map * s->height * s->width;
    for (int ky = 0; ky < s->size; ky++)
        for (int kx = 0; kx < s->size; kx++) {
            int from, to;
            inside(s, kx, &from, &to);
            for (int oy = 0; oy < s->out_height; oy++, columns += s->out_width) {
                int y = oy * s->stride + ky - s->padding;
                if (y < 0 || y >= s->height) continue;
                float *line = image + (ptrdiff_t)y * s->width + kx - s->padding;
                if (s->stride == 1)
                    for (int ox = from; ox < to; ox++) line[ox] += columns[ox];
                else
                    for (int ox = from; ox < to; ox++) line[(ptrdiff_t)ox * s->stride] += columns[ox];
            }
        }
}

static size_t column_values(const dn_conv_shape *s) { return (size_t)s->size * s->size * s->out_height * s->out_width; }
void cpu_im2col(dn_pool *pool, const dn_conv_shape *s, const float *image, float *columns) {
    image_run(pool, column_values(s),
              (image_job){.run = run_im2col, .maps = (size_t)s->channels, .shape = s, .x = image, .y = columns});
}
void cpu_col2im(dn_pool *pool, const dn_conv_shape *s, const float *columns, float *image) {
    image_run(pool, column_values(s),
              (image_job){.run = run_col2im, .maps = (size_t)s->channels, .shape = s, .x = columns, .y = image});
}

/* padding is the total of both sides; the window of output i begins at i*stride - padding/2 */
/* One window, which may reach beyond the image. */
static void max_window(const image_job *j, size_t m, int y0, int x0, size_t n) {
    const dn_conv_shape *s = j->shape;
    size_t map = (size_t)s->height * s->width;
    int top = most(y0, 0), left = most(x0, 0), bottom = least(y0 + s->size, s->height);
    int right = least(x0 + s->size, s->width), at = -1;
    float best = -FLT_MAX;
    for (int i = top; i < bottom; i++)
        for (int k = left; k < right; k++) {
            float v = j->x[m * map + (size_t)i * s->width + k];
            int better = at < 0 || v > best;
            best = better ? v : best, at = better ? i * s->width + k : at;
        }
    j->y[n] = at < 0 ? 0 : best;
    j->index[n] = at < 0 ? -1 : (int)(m * map) + at;
}

static void run_maxpool(const image_job *j, size_t m) {
    const dn_conv_shape *s = j->shape;
    size_t map = (size_t)s->height * s->width, n = m * s->out_height * s->out_width;
    int before = s->padding / 2;
    /* windows [first, last) of a line lie within it */
    int first = least((before + s->stride - 1) / s->stride, s->out_width);
    int last = s->width < s->size ? first : least((s->width - s->size + before) / s->stride + 1, s->out_width);
    for (int oy = 0; oy < s->out_height; oy++, n += (size_t)s->out_width) {
        int y0 = oy * s->stride - before, inside = y0 >= 0 && y0 + s->size <= s->height && last > first;
        if (inside) {
            size_t at = m * map + (size_t)y0 * s->width + (size_t)(first * s->stride - before);
            dn_cpu_conv_kernels_get()->max_windows(last - first, s->stride, s->size, s->width, j->x + at, (int)at,
                                                   j->y + n + first, j->index + n + first);
        }
        for (int ox = 0; ox < s->out_width; ox++)
            if (!inside || ox < first || ox >= last) max_window(j, m, y0, ox * s->stride - before, n + (size_t)ox);
    }
}

void cpu_maxpool_forward(dn_pool *pool, size_t rows, const dn_conv_shape *s, const float *x, float *y, int *index) {
    image_run(pool, (size_t)s->out_height * s->out_width * least(s->size * s->size, 64),
              (image_job){
                  .run = run_maxpool, .maps = rows * (size_t)s->channels, .shape = s, .x = x, .y = y, .index = index});
}

static void run_maxpool_backward(const image_job *j, size_t m) {
    size_t n = (size_t)j->h * j->w;
    for (size_t i = m * n; i < (m + 1) * n; i++)
        if (j->index[i] >= 0) j->y[j->index[i]] += j->x[i];
}
void cpu_maxpool_backward(dn_pool *pool, size_t rows, const dn_conv_shape *s, const int *index, const float *dy,
                          float *dx) {
    image_run(pool, (size_t)s->out_height * s->out_width,
              (image_job){.run = run_maxpool_backward,
                          .maps = rows * (size_t)s->channels,
                          .h = s->out_height,
                          .w = s->out_width,
                          .x = dy,
                          .y = dx,
                          .index = (int *)index});
}

/* (h, w) is the size of the input map in all four functions; one loop for the usual stride, one for other strides */
static inline void up_line(int w, int stride, float scale, const float *x, float *y) {
    if (stride == 2)
        for (int k = 0; k < w; k++) y[2 * k] = y[2 * k + 1] = scale * x[k];
    else
        for (int k = 0; k < w; k++)
            for (int e = 0; e < stride; e++) y[k * stride + e] = scale * x[k];
}
static inline void add_line(int w, int stride, float scale, const float *from, float *to) { /* to[k] += its values */
    if (stride == 2)
        for (int k = 0; k < w; k++) to[k] += scale * (from[2 * k] + from[2 * k + 1]);
    else
        for (int k = 0; k < w; k++)
            for (int e = 0; e < stride; e++) to[k] += scale * from[k * stride + e];
}
static inline void spread_line(int w, int stride, float scale, const float *from,
                               float *to) { /* its values += from[k] */
    for (int k = 0; k < w; k++)
        for (int e = 0; e < stride; e++) to[k * stride + e] += scale * from[k];
}

static void run_upsample(const image_job *j, size_t m) {
    int h = j->h, w = j->w, s = j->stride, wide = w * s;
    for (int i = 0; i < h; i++) {
        float *y = j->y + (m * h + i) * s * wide;
        up_line(w, s, j->a, j->x + (m * h + i) * w, y);
        for (int e = 1; e < s; e++) memcpy(y + (size_t)e * wide, y, (size_t)wide * sizeof *y);
    }
}
static void run_upsample_backward(const image_job *j, size_t m) {
    int h = j->h, w = j->w, s = j->stride;
    for (int i = 0; i < h * s; i++) add_line(w, s, j->a, j->x + (m * h * s + i) * w * s, j->y + (m * h + i / s) * w);
}
static void run_downsample(const image_job *j, size_t m) {
    int s = j->stride, oh = j->h / s, ow = j->w / s;
    memset(j->y + m * oh * ow, 0, (size_t)oh * ow * sizeof *j->y);
    for (int i = 0; i < oh * s; i++) add_line(ow, s, j->a, j->x + (m * j->h + i) * j->w, j->y + (m * oh + i / s) * ow);
}
static void run_downsample_backward(const image_job *j, size_t m) {
    int s = j->stride, oh = j->h / s, ow = j->w / s;
    for (int i = 0; i < oh * s; i++)
        spread_line(ow, s, j->a, j->x + (m * oh + i / s) * ow, j->y + (m * j->h + i) * j->w);
}

#define RESAMPLE(name, function, values)                                                                               \
    void cpu_##name(dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *x, float *y) {     \
        image_run(                                                                                                     \
            pool, values,                                                                                              \
            (image_job){.run = function, .maps = maps, .h = h, .w = w, .stride = stride, .a = scale, .x = x, .y = y}); \
    }
RESAMPLE(upsample_forward, run_upsample, (size_t)h * w * stride * stride)
RESAMPLE(upsample_backward, run_upsample_backward, (size_t)h * w * stride * stride)
RESAMPLE(downsample_forward, run_downsample, (size_t)h *w)
RESAMPLE(downsample_backward, run_downsample_backward, (size_t)h *w)

/* Map c2 of a row of y, and of dx; source maps from c1 on do not exist. */
static void run_shortcut(const image_job *j, size_t m) {
    const dn_shortcut_shape *s = j->shortcut;
    int h = least(s->h1 / s->stride, s->h2 / s->sample), w = least(s->w1 / s->stride, s->w2 / s->sample);
    size_t row = m / s->c2, c = m % s->c2;
    if (c >= (size_t)s->c1) return;
    for (int i = 0; i < h; i++) {
        float *y = j->y + (m * s->h2 + i * s->sample) * s->w2;
        const float *x = j->x + ((row * s->c1 + c) * s->h1 + i * s->stride) * s->w1;
        if (s->sample == 1 && s->stride == 1)
            for (int k = 0; k < w; k++) y[k] = j->a * y[k] + j->b * x[k];
        else
            for (int k = 0; k < w; k++) y[k * s->sample] = j->a * y[k * s->sample] + j->b * x[k * s->stride];
    }
}
static void run_shortcut_backward(const image_job *j, size_t m) {
    const dn_shortcut_shape *s = j->shortcut;
    int h = least(s->h1 / s->stride, s->h2 / s->sample), w = least(s->w1 / s->stride, s->w2 / s->sample);
    size_t row = m / s->c2, c = m % s->c2, map = (size_t)s->h2 * s->w2;
    const float *dy = j->x + m * map;
    float *dx = j->y ? j->y + m * map : NULL;
    if (dx)
        for (size_t i = 0; i < map; i++) dx[i] += dy[i];
    if (c >= (size_t)s->c1) return;
    for (int i = 0; i < h; i++) {
        size_t at = (size_t)i * s->sample * s->w2;
        float *to = j->z + ((row * s->c1 + c) * s->h1 + i * s->stride) * s->w1;
        for (int k = 0; k < w; k++) {
            float d = dy[at + (size_t)k * s->sample];
            if (dx) dx[at + (size_t)k * s->sample] += (j->a - 1) * d;
            to[(size_t)k * s->stride] += j->b * d;
        }
    }
}
void cpu_shortcut_forward(dn_pool *pool, const dn_shortcut_shape *s, float alpha, float beta, const float *source,
                          float *y) {
    image_run(
        pool, (size_t)s->h2 * s->w2,
        (image_job){
            .run = run_shortcut, .maps = s->rows * s->c2, .shortcut = s, .a = alpha, .b = beta, .x = source, .y = y});
}
void cpu_shortcut_backward(dn_pool *pool, const dn_shortcut_shape *s, float alpha, float beta, const float *dy,
                           float *dx, float *dsource) {
    image_run(pool, (size_t)s->h2 * s->w2,
              (image_job){.run = run_shortcut_backward,
                          .maps = s->rows * s->c2,
                          .shortcut = s,
                          .a = alpha,
                          .b = beta,
                          .x = dy,
                          .y = dx,
                          .z = dsource});
}

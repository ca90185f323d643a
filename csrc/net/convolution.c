#include "net/convolution.h"

/* The position of row `row` and group `group`. */
typedef struct conv_place {
    int m, n, k; /* filters, pixels, taps of a group */
    int plain;   /* 1x1, stride 1, no padding: the image is its own columns */
    size_t x, y, w;
} conv_place;

static conv_place place_at(const dn_conv_layer *l, size_t row, int group) {
    const dn_conv_shape *s = &l->group;
    conv_place at = {l->filters,
                     s->out_height * s->out_width,
                     s->channels * s->size * s->size,
                     s->size == 1 && s->stride == 1 && s->padding == 0,
                     0,
                     0,
                     0};
    size_t place = row * (size_t)l->groups + (size_t)group;
    at.x = place * s->channels * s->height * s->width;
    at.y = place * at.m * at.n;
    at.w = (size_t)group * at.m * at.k;
    return at;
}

static const float *place_columns(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *l, const conv_place *at,
                                  const float *x, float *workspace) {
    if (at->plain) return x + at->x;
    ops->im2col(pool, &l->group, x + at->x, workspace);
    return workspace;
}

size_t dn_conv_composed_workspace(const dn_conv_layer *l) {
    conv_place at = place_at(l, 0, 0);
    return at.plain ? 0 : (size_t)at.k * (size_t)at.n;
}

void dn_conv_composed_forward(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *l, size_t rows, int add,
                              const float *x, const float *w, float *y, float *workspace) {
    for (size_t r = 0; r < rows; r++)
        for (int g = 0; g < l->groups; g++) {
            conv_place at = place_at(l, r, g);
            const float *columns = place_columns(ops, pool, l, &at, x, workspace);
            ops->gemm(pool, 0, 0, at.m, at.n, at.k, 1, w + at.w, at.k, columns, at.n, add ? 1 : 0, y + at.y, at.n);
        }
}

void dn_conv_composed_backward_data(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *l, size_t rows, int add,
                                    const float *dy, const float *w, float *dx, float *workspace) {
    const dn_conv_shape *s = &l->group;
    if (!add) ops->fill(pool, rows * (size_t)l->groups * s->channels * s->height * s->width, 0, dx);
    for (size_t r = 0; r < rows; r++)
        for (int g = 0; g < l->groups; g++) {
            conv_place at = place_at(l, r, g);
            float *to = at.plain ? dx + at.x : workspace;
            ops->gemm(pool, 1, 0, at.k, at.n, at.m, 1, w + at.w, at.k, dy + at.y, at.n, at.plain ? 1 : 0, to, at.n);
            if (!at.plain) ops->col2im(pool, s, workspace, dx + at.x);
        }
}

void dn_conv_composed_backward_weights(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *l, size_t rows,
                                       const float *x, const float *dy, float *dw, float *workspace) {
    for (size_t r = 0; r < rows; r++)
        for (int g = 0; g < l->groups; g++) {
            conv_place at = place_at(l, r, g);
            const float *columns = place_columns(ops, pool, l, &at, x, workspace);
            ops->gemm(pool, 0, 1, at.m, at.k, at.n, 1, dy + at.y, at.n, columns, at.n, 1, dw + at.w, at.k);
        }
}

size_t dn_conv_workspace(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *l, size_t rows) {
    return ops->conv_workspace ? ops->conv_workspace(pool, l, rows) : dn_conv_composed_workspace(l);
}

void dn_conv_run_forward(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *l, size_t rows, int add, const float *x,
                         const float *w, float *y, float *workspace) {
    if (ops->conv_forward)
        ops->conv_forward(pool, l, rows, add, x, w, y, workspace);
    else
        dn_conv_composed_forward(ops, pool, l, rows, add, x, w, y, workspace);
}

void dn_conv_run_backward_data(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *l, size_t rows, int add,
                               const float *dy, const float *w, float *dx, float *workspace) {
    if (ops->conv_backward_data)
        ops->conv_backward_data(pool, l, rows, add, dy, w, dx, workspace);
    else
        dn_conv_composed_backward_data(ops, pool, l, rows, add, dy, w, dx, workspace);
}

void dn_conv_run_backward_weights(const dn_ops *ops, dn_pool *pool, const dn_conv_layer *l, size_t rows, const float *x,
                                  const float *dy, float *dw, float *workspace) {
    if (ops->conv_backward_weights)
        ops->conv_backward_weights(pool, l, rows, x, dy, dw, workspace);
    else
        dn_conv_composed_backward_weights(ops, pool, l, rows, x, dy, dw, workspace);
}

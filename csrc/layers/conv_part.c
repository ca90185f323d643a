#include "conv_part.h"
#include <math.h>

dn_status dn_conv_settle(dn_layer *l, dn_section *s, dn_conv *p) {
    dn_conv_shape *c = &p->shape;
    if (p->channels % p->groups || p->filters % p->groups)
        return dn_cfg_error(s, "groups", "groups=%d does not divide %d channels and %d filters", p->groups, p->channels,
                            p->filters);
    int oh = c->height + 2 * c->padding - c->size, ow = c->width + 2 * c->padding - c->size;
    if (oh < 0 || ow < 0)
        return dn_cfg_error(s, "size", "size=%d is larger than the input %d x %d with padding %d", c->size, c->height,
                            c->width, c->padding);
    c->channels = p->channels / p->groups;
    c->out_height = oh / c->stride + 1, c->out_width = ow / c->stride + 1;
    p->plain = c->size == 1 && c->stride == 1 && c->padding == 0;
    p->norm.channels = p->filters, p->norm.spatial = (size_t)c->out_height * c->out_width;
    size_t n;
    DN_TRY(dn_layer_size(s, &n, p->norm.spatial, (size_t)p->filters, sizeof(float), (size_t)dn_layer_run(l)->batch));
    DN_TRY(dn_layer_size(s, &n, (size_t)c->size * c->size, (size_t)c->channels, p->norm.spatial, sizeof(float)));
    return dn_layer_size(s, &n, (size_t)c->size * c->size, (size_t)c->channels, (size_t)p->filters, sizeof(float));
}

static size_t conv_inputs(const dn_conv *p) { return (size_t)p->channels * p->shape.height * p->shape.width; }
static size_t conv_taps(const dn_conv *p) { return (size_t)p->shape.channels * p->shape.size * p->shape.size; }

dn_status dn_conv_plan(dn_layer *l, dn_conv *p, int steps) {
    int dims[4] = {p->filters, p->shape.channels, p->shape.size, p->shape.size};
    DN_TRY(dn_norm_plan_biases(l, &p->norm));
    DN_TRY(dn_norm_plan(l, &p->norm, steps));
    if (!p->plain) dn_layer_workspace(l, conv_taps(p) * p->norm.spatial);
    if (p->xnor) {
        DN_TRY(dn_layer_buffer(l, &p->signs, (size_t)dn_layer_run(l)->batch * conv_inputs(p)));
        DN_TRY(dn_layer_buffer(l, &p->binary, (size_t)p->filters * conv_taps(p)));
    }
    return dn_part_tensor(l, p->norm.prefix, "weights", DN_WEIGHT, 0, 4, dims);
}

void dn_conv_init(dn_layer *l, dn_conv *p) {
    p->weights = dn_part_find(l, p->norm.prefix, "weights");
    dn_norm_init(l, &p->norm);
    dn_layer_init_normal(l, p->weights, sqrtf(2.0f / (float)conv_taps(p)));
}

/* Where row `row` and group `group` stand. */
typedef struct conv_place {
    int m, n, k; /* filters, pixels, taps of a group */
    size_t x, y, w;
} conv_place;

static conv_place conv_place_at(const dn_conv *p, int row, int group) {
    const dn_conv_shape *s = &p->shape;
    conv_place at = {p->filters / p->groups, s->out_height * s->out_width, (int)conv_taps(p), 0, 0, 0};
    at.x = (size_t)row * conv_inputs(p) + (size_t)group * s->channels * s->height * s->width;
    at.y = (size_t)row * p->filters * at.n + (size_t)group * at.m * at.n;
    at.w = (size_t)group * at.m * at.k;
    return at;
}

void dn_conv_forward(dn_layer *l, dn_conv *p, int step, int rows, const float *x, float *y) {
    const dn_run *run = dn_layer_run(l);
    const float *weights = p->weights->value;
    if (p->xnor) {
        run->ops->binarize(run->pool, (size_t)p->filters, conv_taps(p), 1, weights, p->binary);
        run->ops->binarize(run->pool, 1, (size_t)rows * conv_inputs(p), 0, x, p->signs);
        weights = p->binary, x = p->signs;
    }
    for (int r = 0; r < rows; r++)
        for (int g = 0; g < p->groups; g++) {
            conv_place at = conv_place_at(p, r, g);
            const float *columns = p->plain ? x + at.x : run->workspace;
            if (!p->plain) run->ops->im2col(run->pool, &p->shape, x + at.x, run->workspace);
            run->ops->gemm(run->pool, 0, 0, at.m, at.n, at.k, 1, weights + at.w, at.k, columns, at.n, 0, y + at.y, at.n);
        }
    dn_norm_forward(l, &p->norm, step, rows, y);
}

void dn_conv_backward(dn_layer *l, dn_conv *p, int step, int rows, const float *x, const float *y, float *dy, float *dx) {
    const dn_run *run = dn_layer_run(l);
    dn_norm_backward(l, &p->norm, step, rows, y, dy);
    for (int r = 0; r < rows; r++)
        for (int g = 0; g < p->groups; g++) {
            conv_place at = conv_place_at(p, r, g);
            const float *columns = p->plain ? x + at.x : run->workspace;
            if (!p->plain) run->ops->im2col(run->pool, &p->shape, x + at.x, run->workspace);
            run->ops->gemm(run->pool, 0, 1, at.m, at.k, at.n, 1, dy + at.y, at.n, columns, at.n, 1, p->weights->grad + at.w,
                           at.k);
            if (!dx) continue;
            float *to = p->plain ? dx + at.x : run->workspace;
            run->ops->gemm(run->pool, 1, 0, at.k, at.n, at.m, 1, p->weights->value + at.w, at.k, dy + at.y, at.n,
                           p->plain ? 1 : 0, to, at.n);
            if (!p->plain) run->ops->col2im(run->pool, &p->shape, run->workspace, dx + at.x);
        }
}

double dn_conv_flops(const dn_conv *p) { return 2.0 * (double)p->norm.spatial * p->filters * (double)conv_taps(p); }

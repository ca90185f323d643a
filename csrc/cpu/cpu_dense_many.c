/* Dense layers with many rows, by matrix products. Outputs are cut into chunks. Up to OWNED_ROWS rows a chunk is one
 * core's from the forward pass to the update: its weights and moments stay in that core's cache, and a layer's backward
 * pass is one job. Above, sums of the chunks' parts of dx would take too long, and each product is cut as is best for
 * it. */
#include "cpu/cpu_blas.h"
#include "cpu/cpu_dense.h"
#include "cpu/cpu_ops.h"
#include <string.h>

enum {
    OWNED_ROWS = 64,
    OWNED_INPUTS = 4096,           /* a tile's, few enough for plain_train of the last outputs */
    TOGETHER_ROWS = DN_TRAIN_ROWS, /* of a chunk of the forward pass, and of losses and gradients beside each other */
    LINE = 16,                     /* floats */
    STRIP = 48,
    UNIT = 8,            /* outputs */
    ROWS_FLOPS = 1000000 /* of a forward pass for too few outputs, which is cut by rows */
};
static inline int least(int a, int b) { return a < b ? a : b; }
static int part_from(int all, size_t n, size_t i, int unit) { return dn_part_from(all, (int)n, (int)i, unit); }

/* ---- outputs, and what follows for them while they are in the cache ---- */

/* The outputs [from, to) of some rows: y = act(x W^T + b). */
static void outputs_forward(const dn_dense_shape *s, int rows, int from, int to, const float *x, const float *w,
                            const float *b, float *y) {
    size_t n = (size_t)(to - from);
    if (rows <= 0 || from >= to) return;
    dn_cpu_gemm_kernel()->gemm(0, 1, rows, to - from, s->inputs, 1, x, s->inputs, w + (size_t)from * s->inputs,
                               s->inputs, 0, y + from, s->outputs);
    dn_cpu_kernels_get()->bias_activate(s->activation, (size_t)rows, n, (size_t)s->outputs, b + from, y + from);
}

/* Their gradients before the activation, for all rows, and the update of their biases; returns the loss. */
static double outputs_gradients(const dn_dense_pass *p, int from, int to) {
    enum { MOST = 384 };
    const dn_dense_shape *s = &p->shape;
    const dn_cpu_kernels *kernels = dn_cpu_kernels_get();
    float errors[MOST], biases[MOST];
    double sum = 0;
    for (size_t n; from < to; from += (int)n) {
        n = (size_t)least(to - from, MOST);
        int whole = !p->likelihood && n == (size_t)s->outputs; /* rows then lie one after the other */
        if (whole) kernels->activate_gradient(s->activation, (size_t)s->rows * n, p->y, p->dy);
        for (int r = 0; r < s->rows && !whole; r++) {
            size_t at = (size_t)r * s->outputs + from;
            if (p->likelihood) sum += kernels->loss(p->likelihood, n, p->y + at, p->truth + at, errors, p->dy + at);
            kernels->activate_gradient(s->activation, n, p->y + at, p->dy + at);
            if (p->likelihood && p->loss_scale != 1) kernels->scale(n, p->loss_scale, p->dy + at);
        }
        memset(biases, 0, n * sizeof *biases);
        kernels->column_sums((size_t)s->rows, n, (size_t)s->outputs, p->dy + from, biases);
        cpu_update(NULL, p->optimizer, p->step, n, p->factor, p->bias_decay, p->b + from, p->b_m + from,
                   p->b_v ? p->b_v + from : NULL, biases);
    }
    return sum;
}

/* ---- the gradient of the weights, tile by tile, each used up while it is in the cache ---- */

/* Up to so many rows, products and updates take turns (isa_train.c). Of more rows, products alone have larger tiles and
 * are what takes time; of more inputs, a strip's rows of x lie on more pages than the processor keeps in mind. */
static int is_mixed(const dn_dense_shape *s) {
    return s->rows <= OWNED_ROWS || (s->rows <= TOGETHER_ROWS && s->inputs <= 1024 && s->outputs <= 1024);
}

/* Inputs of a tile: equal parts, but for rounding. */
static int tile_inputs(const dn_dense_shape *s) {
    const dn_gemm_kernel *kernel = dn_cpu_gemm_kernel();
    int most = is_mixed(s) ? dn_cpu_train_kernel()->tile_cols : kernel->tile_cols;
    int parts = (s->inputs + most - 1) / most, part = (s->inputs + parts - 1) / parts;
    return (part + kernel->tile_unit - 1) / kernel->tile_unit * kernel->tile_unit;
}

/* Ask for weights and moments from `at` on, which come from a far cache or from memory; small ones are near already. */
static void tile_fetch(const dn_dense_pass *p, size_t at, int n) {
    enum { FAR = 1 << 16, NEAR = 2 /* the second cache */ };
    if ((size_t)p->shape.outputs * (size_t)p->shape.inputs < FAR) return;
    for (int i = 0; i < n; i += LINE) {
        __builtin_prefetch(p->w + at + i, 0, NEAR);
        __builtin_prefetch(p->w_m + at + i, 0, NEAR);
        if (p->w_v) __builtin_prefetch(p->w_v + at + i, 0, NEAR);
    }
}

/* Gradient and update for outputs [from, to), at most tile_rows of them, and inputs [left, right), at most tile_cols.
 */
static void plain_train(const dn_dense_pass *p, int from, int to, int left, int right) {
    enum { AHEAD = 2 }; /* rows */
    const dn_dense_shape *s = &p->shape;
    const dn_update update = dn_update_of(p->optimizer, p->step, p->factor, p->decay);
    float tile[DN_GEMM_TILE] __attribute__((aligned(64)));
    int n = right - left;
    size_t at = (size_t)from * s->inputs + left;
    for (int i = 0; i < AHEAD && from + i < to; i++) tile_fetch(p, at + (size_t)i * s->inputs, n);
    dn_cpu_gemm_kernel()->gemm(1, 0, to - from, n, s->rows, 1, p->dy + from, s->outputs, p->x + left, s->inputs, 0,
                               tile, n);
    for (const float *gradient = tile; from < to; from++, at += s->inputs, gradient += n) {
        if (from + AHEAD < to) tile_fetch(p, at + AHEAD * (size_t)s->inputs, n);
        dn_update_run(&update, (size_t)n, p->w + at, p->w_m + at, p->w_v ? p->w_v + at : NULL, gradient);
    }
}

/* The same with both at a time, as far as whole vectors go. */
static void tile_train(const dn_dense_pass *p, int from, int to, int left, int right) {
    const dn_train_kernel *kernel = dn_cpu_train_kernel();
    const dn_update update = dn_update_of(p->optimizer, p->step, p->factor, p->decay);
    int bottom = to - (to - from) % kernel->rows, edge = right - (right - left) % kernel->cols;
    if (!is_mixed(&p->shape)) bottom = from;
    kernel->train(p, &update, from, bottom, left, edge);
    if (from < bottom && edge < right) plain_train(p, from, bottom, edge, right);
    if (bottom < to) plain_train(p, bottom, to, left, right);
}

static size_t tiles_across(const dn_dense_shape *s) { return dn_chunks((size_t)s->inputs, (size_t)tile_inputs(s)); }

/* Rows of tiles: an even number, so that two threads have equal shares. Every tile reads all of x in its columns, so
 * narrow ones are taller, as long as there are TILES of them. */
static size_t tiles_down(const dn_dense_shape *s) {
    enum { TILES = 16 };
    int most = DN_GEMM_TILE / tile_inputs(s), shared = (int)((size_t)s->outputs * tiles_across(s) / TILES);
    int rows = least(most, shared) / UNIT * UNIT, plain = dn_cpu_gemm_kernel()->tile_rows;
    size_t tiles = dn_chunks((size_t)s->outputs, (size_t)(rows > plain ? rows : plain) - UNIT / 2); /* for part_from */
    return tiles + tiles % 2;
}

static void tile_chunk(void *context, size_t chunk) {
    const dn_dense_pass *p = context;
    const dn_dense_shape *s = &p->shape;
    size_t down = tiles_down(s), across = tiles_across(s), i = chunk / across;
    int left = (int)(chunk % across) * tile_inputs(s);
    tile_train(p, part_from(s->outputs, down, i, UNIT), part_from(s->outputs, down, i + 1, UNIT), left,
               least(left + tile_inputs(s), s->inputs));
}

/* ---- chunks of outputs ---- */

typedef struct outputs_job {
    const dn_dense_shape *shape;
    size_t chunks;
    const float *x, *w, *b; /* forward */
    float *y;
    const dn_dense_pass *pass; /* backward; */
    int owned;                 /* with dx and the update of the weights */
    dn_dense_parts *parts;
} outputs_job;

/* A power of two, so that 2, 4 or 8 threads have equal shares; chunks are fewer than the work would allow, as every one
 * has a part of dx. More rows take packed products, which go in strips of three vectors. */
static size_t output_chunks(const dn_dense_shape *s) {
    enum { FLOPS = 90000 };
    double flops = 2.0 * least(s->rows, TOGETHER_ROWS) * s->inputs * s->outputs;
    size_t chunks = 1, least_outputs = s->rows > OWNED_ROWS ? STRIP : STRIP / 2;
    while (2 * chunks <= DN_DENSE_CHUNKS && 4.0 * (double)(chunks * chunks) * FLOPS <= flops &&
           2 * chunks * least_outputs <= (size_t)s->outputs)
        chunks *= 2;
    return chunks;
}

/* The first output of a chunk is a multiple of it. */
static int output_unit(const dn_dense_shape *s, size_t chunks) {
    int wide = (size_t)s->outputs >= (STRIP + LINE) * chunks || s->rows > OWNED_ROWS;
    return wide && chunks > 1 ? LINE : UNIT;
}
static int output_from(const dn_dense_shape *s, size_t chunks, size_t chunk) {
    return part_from(s->outputs, chunks, chunk, output_unit(s, chunks));
}

static void forward_chunk(void *context, size_t chunk) {
    const outputs_job *j = context;
    const dn_dense_shape *s = j->shape;
    size_t across = chunk % j->chunks; /* those beside each other share rows of x, which stay in the cache */
    size_t first = chunk / j->chunks * TOGETHER_ROWS;
    int rows = least(s->rows - (int)first, TOGETHER_ROWS);
    dn_gemm_part part = dn_gemm_part_of(rows, s->outputs, (int)j->chunks, (int)across, output_unit(s, j->chunks));
    outputs_forward(s, rows, part.left, part.right, j->x + first * s->inputs, j->w, j->b, j->y + first * s->outputs);
    size_t top = first + (size_t)part.top;
    outputs_forward(s, part.bottom - part.top, part.rest, s->outputs, j->x + top * s->inputs, j->w, j->b,
                    j->y + top * s->outputs);
}

void dn_dense_forward_many(dn_pool *pool, const dn_dense_shape *s, const float *x, const float *w, const float *b,
                           float *y) {
    if (dn_cpu_blas()) {
        dn_cpu_ops.gemm(pool, 0, 1, s->rows, s->outputs, s->inputs, 1, x, s->inputs, w, s->inputs, 0, y, s->outputs);
        cpu_bias_add(pool, (size_t)s->rows, (size_t)s->outputs, 1, b, y);
        cpu_activate(pool, s->activation, (size_t)s->rows * s->outputs, y);
        return;
    }
    outputs_job j = {.shape = s, .chunks = output_chunks(s), .x = x, .w = w, .b = b, .y = y};
    if (j.chunks == 1 && 2.0 * least(s->rows, TOGETHER_ROWS) * s->inputs * s->outputs > ROWS_FLOPS) j.chunks = 2;
    dn_pool_run(pool, j.chunks * dn_chunks((size_t)s->rows, TOGETHER_ROWS), forward_chunk, &j);
}

/* dx, or this chunk's part of it, and the update of the weights */
static void weights_train(const outputs_job *j, size_t chunk, int from, int to) {
    const dn_dense_pass *p = j->pass;
    const dn_dense_shape *s = &p->shape;
    const dn_gemm_kernel *kernel = dn_cpu_gemm_kernel();
    float *dx = j->parts->dx ? j->parts->dx + chunk * j->parts->size : p->dx;
    if (dx)
        kernel->gemm(0, 0, s->rows, s->inputs, to - from, 1, p->dy + from, s->outputs, p->w + (size_t)from * s->inputs,
                     s->inputs, j->parts->dx || p->set_dx ? 0 : 1, dx, s->inputs);
    for (int left = 0, part = OWNED_INPUTS; left < s->inputs; left += part)
        for (int o = from; o < to; o += kernel->tile_rows)
            tile_train(p, o, least(o + kernel->tile_rows, to), left, least(left + part, s->inputs));
}

static void train_chunk(void *context, size_t chunk) {
    outputs_job *j = context;
    const dn_dense_pass *p = j->pass;
    const dn_dense_shape *s = &p->shape;
    int from = output_from(s, j->chunks, chunk), to = output_from(s, j->chunks, chunk + 1);
    if (p->likelihood && !dn_cpu_blas()) outputs_forward(s, s->rows, from, to, p->x, p->w, p->b, p->y);
    double sum = outputs_gradients(p, from, to);
    if (j->owned) weights_train(j, chunk, from, to);
    dn_dense_parts_add(j->parts, chunk, sum);
}

/* ---- backward and update ---- */

static int is_owned(const dn_dense_shape *s) { return s->rows <= OWNED_ROWS && !dn_cpu_blas(); }

size_t dn_dense_scratch_many(const dn_dense_shape *s) { /* parts of dx, or gradients of biases */
    const dn_dense_shape fewer = {least(s->rows, OWNED_ROWS), s->inputs, s->outputs, s->activation};
    size_t parts = output_chunks(&fewer) * (size_t)fewer.rows * (size_t)fewer.inputs, biases = (size_t)s->outputs;
    return parts > biases ? parts : biases;
}

/* y, unless it is there, and the gradient before the activation; biases move. With few enough rows that is all. */
static int train_outputs(dn_pool *pool, const dn_dense_pass *p) {
    const dn_dense_shape *s = &p->shape;
    size_t chunks = output_chunks(s), size = (size_t)s->rows * (size_t)s->inputs;
    dn_dense_parts parts = {.chunks = chunks, .size = size};
    outputs_job j = {.shape = s, .chunks = chunks, .pass = p, .owned = is_owned(s), .parts = &parts};
    if (j.owned && p->dx && chunks > 1) parts.dx = p->scratch;
    dn_pool_run(pool, chunks, train_chunk, &j);
    if (p->likelihood) *p->sum += dn_dense_parts_sum(&parts);
    if (!parts.dx) return j.owned;
    const float *second = parts.dx + dn_dense_parts_half(&parts) * size;
    if (p->set_dx) {
        dn_cpu_kernels_get()->add(size, parts.dx, second, p->dx);
    } else {
        dn_cpu_kernels_get()->axpy(size, 1, parts.dx, p->dx);
        dn_cpu_kernels_get()->axpy(size, 1, second, p->dx);
    }
    return 1;
}

/* Values [from, to) of y: their part of the loss, and its gradient. */
static double many_loss(const void *context, size_t from, size_t to) {
    const dn_dense_pass *p = context;
    float errors[1024];
    double sum = 0;
    for (size_t at = from; at < to; at += 1024) {
        size_t n = to - at < 1024 ? to - at : 1024;
        sum += dn_cpu_kernels_get()->loss(p->likelihood, n, p->y + at, p->truth + at, errors, p->dy + at);
        if (p->loss_scale != 1) dn_cpu_kernels_get()->scale(n, p->loss_scale, p->dy + at);
    }
    return sum;
}

/* The same for so many rows that gradients do not stay in a cache. */
static void train_many_outputs(dn_pool *pool, const dn_dense_pass *p) {
    const dn_dense_shape *s = &p->shape;
    size_t rows = (size_t)s->rows, outputs = (size_t)s->outputs;
    if (p->likelihood) *p->sum += dn_range_sum(pool, rows * outputs, DN_GRAIN / 2, many_loss, p);
    cpu_activate_gradient(pool, s->activation, rows * outputs, p->y, p->dy);
    memset(p->scratch, 0, outputs * sizeof *p->scratch);
    cpu_bias_gradient(pool, rows, outputs, 1, p->dy, p->scratch);
    cpu_update(pool, p->optimizer, p->step, outputs, p->factor, p->bias_decay, p->b, p->b_m, p->b_v, p->scratch);
}

void dn_dense_train_many(dn_pool *pool, const dn_dense_pass *p) {
    const dn_dense_shape *s = &p->shape;
    int together = s->rows <= TOGETHER_ROWS;
    if (p->likelihood && (!together || dn_cpu_blas())) dn_dense_forward_many(pool, s, p->x, p->w, p->b, p->y);
    if (!together)
        train_many_outputs(pool, p);
    else if (train_outputs(pool, p))
        return;
    if (p->dx)
        dn_cpu_ops.gemm(pool, 0, 0, s->rows, s->inputs, s->outputs, 1, p->dy, s->outputs, p->w, s->inputs,
                        p->set_dx ? 0 : 1, p->dx, s->inputs);
    dn_pool_run(pool, tiles_down(s) * tiles_across(s), tile_chunk, (void *)p);
}

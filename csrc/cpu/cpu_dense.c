/* Dense layers: with few rows by the kernels of isa_dense.c, chunk by chunk of outputs; with many by gemm. */
#include "cpu/cpu_dense.h"
#include "cpu/cpu_blas.h"
#include "cpu/cpu_ops.h"
#include <stdatomic.h>
#include <string.h>

enum {
    CHUNK_BYTES = 1 << 18, /* of weights: about 10 us */
    MAX_CHUNKS = 32,
    PAIRINGS = 6 /* 2^PAIRINGS > MAX_CHUNKS */
};

/* Outputs in a chunk. A power of two of chunks, so that 2, 4 or 8 threads have equal shares. */
static int dense_chunk(const dn_dense_shape *s) {
    size_t bytes = (size_t)s->outputs * s->inputs * sizeof(float), chunks = 1;
    while (chunks < MAX_CHUNKS && chunks * CHUNK_BYTES < bytes) chunks *= 2;
    size_t chunk = ((size_t)s->outputs + chunks - 1) / chunks;
    return (int)((chunk + DN_DENSE_BLOCK - 1) / DN_DENSE_BLOCK * DN_DENSE_BLOCK);
}

static size_t dense_chunks(const dn_dense_shape *s) { return dn_chunks((size_t)s->outputs, (size_t)dense_chunk(s)); }

typedef struct forward_job {
    const dn_dense_shape *shape;
    const float *x, *w, *b;
    float *y;
    int part;
} forward_job;

static void forward_few(void *context, size_t chunk) {
    const forward_job *j = context;
    int from = (int)chunk * j->part, to = from + j->part;
    dn_cpu_dense_kernels()->forward(j->shape, j->x, (size_t)j->shape->inputs, j->w, j->b, j->y, from,
                                    to < j->shape->outputs ? to : j->shape->outputs);
}

/* ---- many rows: blocks of y, and all that follows for its elements while they are in the cache ---- */

enum {
    BLOCK_ROWS = 256,
    BLOCK_OUTPUTS = 48, /* three vectors, as the tiles of gemm */
    BLOCK_FLOPS = 4000000,
    BLOCK_MOST = 8 * BLOCK_OUTPUTS
};

typedef struct block_job {
    const dn_dense_shape *shape;
    const float *x, *w, *b; /* w NULL: y is there already */
    float *y;
    const dn_dense_pass *pass; /* also the gradients of y and of the biases, for all rows in one block; or NULL */
    size_t blocks, tall;       /* blocks beside each other, and upon each other */
    int part;                  /* outputs of a block; the last one has the rest too */
    double *sums;              /* (blocks) of the loss; with a pass */
} block_job;

static block_job dense_blocks(const dn_dense_shape *s) {
    block_job j = {.shape = s};
    int rows = s->rows < BLOCK_ROWS ? s->rows : BLOCK_ROWS;
    double wanted = BLOCK_FLOPS / (2.0 * rows * s->inputs * BLOCK_OUTPUTS);
    j.part = BLOCK_OUTPUTS * (wanted < 2 ? 1 : wanted < 4 ? 2 : 4);
    j.blocks = (size_t)s->outputs / (size_t)j.part;
    if (j.blocks < 1) j.blocks = 1;
    j.tall = dn_chunks((size_t)s->rows, BLOCK_ROWS);
    return j;
}

static void block_gradients(const block_job *j, size_t block, int from, int n) {
    const dn_dense_pass *p = j->pass;
    const dn_dense_shape *s = &p->shape;
    const dn_cpu_kernels *kernels = dn_cpu_kernels_get();
    float errors[BLOCK_MOST], biases[BLOCK_MOST] = {0};
    double sum = 0;
    for (int r = 0; r < s->rows; r++) {
        size_t at = (size_t)r * s->outputs + from;
        if (p->likelihood) sum += kernels->loss(p->likelihood, (size_t)n, p->y + at, p->truth + at, errors, p->dy + at);
        kernels->activate_gradient(s->activation, (size_t)n, p->y + at, p->dy + at);
        if (p->likelihood && p->loss_scale != 1) kernels->scale((size_t)n, p->loss_scale, p->dy + at);
    }
    j->sums[block] = sum;
    kernels->column_sums((size_t)s->rows, (size_t)n, (size_t)s->outputs, p->dy + from, biases);
    cpu_update(NULL, p->optimizer, p->step, (size_t)n, p->factor, p->bias_decay, p->b + from, p->b_m + from,
               p->b_v ? p->b_v + from : NULL, biases);
}

static void block_run(void *context, size_t chunk) {
    const block_job *j = context;
    const dn_dense_shape *s = j->shape;
    size_t block = chunk % j->blocks; /* those beside each other share rows of x, which stay in the cache */
    int first = (int)(chunk / j->blocks) * BLOCK_ROWS,
        rows = s->rows - first < BLOCK_ROWS ? s->rows - first : BLOCK_ROWS;
    int from = (int)block * j->part, n = block + 1 == j->blocks ? s->outputs - from : j->part;
    float *y = j->y + (size_t)first * s->outputs + from;
    if (j->w) {
        dn_cpu_gemm_kernel()->gemm(0, 1, rows, n, s->inputs, 1, j->x + (size_t)first * s->inputs, s->inputs,
                                   j->w + (size_t)from * s->inputs, s->inputs, 0, y, s->outputs);
        for (int r = 0; r < rows; r++, y += s->outputs) {
            dn_cpu_kernels_get()->axpy((size_t)n, 1, j->b + from, y);
            dn_cpu_kernels_get()->activate(s->activation, (size_t)n, y);
        }
    }
    if (j->pass) block_gradients(j, block, from, n);
}

void cpu_dense_forward(dn_pool *pool, const dn_dense_shape *s, const float *x, const float *w, const float *b,
                       float *y) {
    if (s->rows <= DN_DENSE_ROWS) {
        forward_job j = {s, x, w, b, y, dense_chunk(s)};
        dn_pool_run(pool, dense_chunks(s), forward_few, &j);
        return;
    }
    if (!dn_cpu_blas()) {
        block_job j = dense_blocks(s);
        j.x = x, j.w = w, j.b = b, j.y = y;
        dn_pool_run(pool, j.blocks * j.tall, block_run, &j);
        return;
    }
    dn_cpu_ops.gemm(pool, 0, 1, s->rows, s->outputs, s->inputs, 1, x, s->inputs, w, s->inputs, 0, y, s->outputs);
    cpu_bias_add(pool, (size_t)s->rows, (size_t)s->outputs, 1, b, y);
    cpu_activate(pool, s->activation, (size_t)s->rows * s->outputs, y);
}

/* ---- backward and update ---- */

/* Floats. Processors fetch ahead within a page: other cores reading x must not take away the part that is being added
 * to. */
enum { LINE = 16, PAGE = 1024, LINE_BYTES = 64 };

static size_t dense_step(const dn_dense_shape *s) {
    size_t lines = ((size_t)s->inputs + LINE - 1) / LINE;
    return (size_t)s->inputs % LINE || lines % 2 ? (size_t)s->inputs : (lines + 1) * LINE;
}

size_t cpu_dense_scratch(dn_pool *pool, const dn_dense_shape *s) {
    (void)pool;
    size_t few = (size_t)(s->rows < DN_DENSE_ROWS ? s->rows : DN_DENSE_ROWS), x = few * dense_step(s);
    size_t with_few = (dense_chunks(s) + 1) * x + PAGE; /* x, and the parts of dx */
    size_t with_many = (size_t)s->outputs + 2 * LINE;   /* gradients of biases, or sums of blocks */
    return with_few > with_many ? with_few : with_many;
}

/* The chunks' parts of dx and of the loss are added up by pairs, pairs of pairs and so on, by whoever is done last with
 * the second of a pair: these sums are of what one core has just computed. The last two are the caller's. */
typedef struct train_job {
    dn_dense_job job;
    int part;
    size_t chunks;
    float *dx; /* (chunks, rows, step) or NULL */
    struct __attribute__((
        aligned(2 * LINE_BYTES))) { /* what others write must not lie beside what is read all the time */
        double sum;
        atomic_int halves[PAIRINGS]; /* that are done, of the group of 2, 4, ... chunks that begins with this one */
    } at[MAX_CHUNKS + 1];
} train_job;

static void train_few(void *context, size_t chunk) {
    train_job *j = context;
    const dn_dense_pass *p = j->job.pass;
    const dn_dense_shape *s = &p->shape;
    size_t step = j->job.step, size = (size_t)s->rows * step;
    int from = (int)chunk * j->part, to = from + j->part;
    float *dx = j->dx ? j->dx + chunk * size : NULL;
    double sum = 0;
    dn_cpu_dense_kernels()->train(&j->job, from, to < s->outputs ? to : s->outputs, dx, &sum);
    j->at[chunk].sum = sum;
    int level = 0;
    for (size_t width = 1; 2 * width < j->chunks; width *= 2, level++) {
        size_t first = chunk / (2 * width) * (2 * width), second = first + width;
        if (second >= j->chunks) continue; /* a group without a second half */
        if (!atomic_fetch_add(&j->at[first].halves[level], 1)) return;
        j->at[first].sum += j->at[second].sum;
        if (dx) dn_cpu_kernels_get()->axpy(size, 1, j->dx + second * size, j->dx + first * size);
    }
}

static void dense_train_few(dn_pool *pool, const dn_dense_pass *p) {
    const dn_dense_shape *s = &p->shape;
    size_t chunks = dense_chunks(s), rows = (size_t)s->rows, inputs = (size_t)s->inputs, step = dense_step(s);
    train_job j = {.job = {p, p->x, step},
                   .part = dense_chunk(s),
                   .chunks = chunks,
                   .dx = p->dx ? p->scratch + rows * step + PAGE : NULL};
    if (step != inputs) {
        cpu_copy_rows(NULL, rows, inputs, p->x, inputs, p->scratch, step);
        j.job.x = p->scratch;
    }
    dn_pool_run(pool, chunks, train_few, &j);
    size_t half = 1;
    while (2 * half < chunks) half *= 2;
    if (p->likelihood) *p->sum += j.at[0].sum + (chunks > 1 ? j.at[half].sum : 0);
    if (!p->dx) return;
    if (p->set_dx) memset(p->dx, 0, rows * inputs * sizeof *p->dx);
    float scale = p->optimizer->rule == DN_ADAM_OF_SUM ? 1 : p->step->rows; /* dy was of the mean */
    for (size_t part = 0; part < chunks; part += half)
        for (size_t r = 0; r < rows; r++)
            dn_cpu_kernels_get()->axpy(inputs, scale, j.dx + part * rows * step + r * step, p->dx + r * inputs);
}

/* Inputs of a tile of the weight gradient: equal parts, but for rounding. */
static int tile_inputs(const dn_dense_shape *s) {
    const dn_gemm_kernel *kernel = dn_cpu_gemm_kernel();
    int parts = (s->inputs + kernel->tile_cols - 1) / kernel->tile_cols, part = (s->inputs + parts - 1) / parts;
    return (part + kernel->tile_unit - 1) / kernel->tile_unit * kernel->tile_unit;
}

/* Ask for weights and moments from `at` on, which come from a far cache or from memory; small ones are near already. */
static void train_fetch(const dn_dense_pass *p, size_t at, int n) {
    enum { FAR = 1 << 16, NEAR = 2 /* the second cache */ };
    if ((size_t)p->shape.outputs * (size_t)p->shape.inputs < FAR) return;
    for (int i = 0; i < n; i += LINE) {
        __builtin_prefetch(p->w + at + i, 0, NEAR);
        __builtin_prefetch(p->w_m + at + i, 0, NEAR);
        if (p->w_v) __builtin_prefetch(p->w_v + at + i, 0, NEAR);
    }
}

/* The weight gradient tile by tile, each used up while it is in the cache. */
static void train_many(void *context, size_t chunk) {
    enum { AHEAD = 2 }; /* rows */
    const dn_dense_pass *p = context;
    const dn_update update = dn_update_of(p->optimizer, p->step, p->factor, p->decay);
    const dn_dense_shape *s = &p->shape;
    float tile[DN_GEMM_TILE] __attribute__((aligned(64)));
    int part = tile_inputs(s), across = (int)dn_chunks((size_t)s->inputs, (size_t)part);
    int tall = dn_cpu_gemm_kernel()->tile_rows;
    int o = (int)(chunk / (size_t)across) * tall, k = (int)(chunk % (size_t)across) * part;
    int n = s->outputs - o < tall ? s->outputs - o : tall;
    int m = s->inputs - k < part ? s->inputs - k : part;
    for (int i = 0; i < AHEAD && i < n; i++) train_fetch(p, (size_t)(o + i) * s->inputs + k, m);
    dn_cpu_gemm_kernel()->gemm(1, 0, n, m, s->rows, 1, p->dy + o, s->outputs, p->x + k, s->inputs, 0, tile, m);
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)(o + i) * s->inputs + k;
        if (i + AHEAD < n) train_fetch(p, at + AHEAD * (size_t)s->inputs, m);
        dn_update_run(&update, (size_t)m, p->w + at, p->w_m + at, p->w_v ? p->w_v + at : NULL, tile + (size_t)i * m);
    }
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

/* y, unless it is there, and the gradient before the activation; biases move. */
static void train_many_outputs(dn_pool *pool, const dn_dense_pass *p) {
    const dn_dense_shape *s = &p->shape;
    size_t rows = (size_t)s->rows, outputs = (size_t)s->outputs;
    int in_blocks = rows <= BLOCK_ROWS;
    if (p->likelihood && (!in_blocks || dn_cpu_blas())) cpu_dense_forward(pool, s, p->x, p->w, p->b, p->y);
    if (in_blocks) {
        block_job j = dense_blocks(s);
        j.y = p->y, j.pass = p, j.sums = (double *)(void *)p->scratch;
        if (p->likelihood && !dn_cpu_blas()) j.x = p->x, j.w = p->w, j.b = p->b;
        dn_pool_run(pool, j.blocks, block_run, &j);
        for (size_t c = 0; p->likelihood && c < j.blocks; c++) *p->sum += j.sums[c];
    } else {
        if (p->likelihood) *p->sum += dn_range_sum(pool, rows * outputs, DN_GRAIN / 2, many_loss, p);
        cpu_activate_gradient(pool, s->activation, rows * outputs, p->y, p->dy);
        memset(p->scratch, 0, outputs * sizeof *p->scratch);
        cpu_bias_gradient(pool, rows, outputs, 1, p->dy, p->scratch);
        cpu_update(pool, p->optimizer, p->step, outputs, p->factor, p->bias_decay, p->b, p->b_m, p->b_v, p->scratch);
    }
}

static void dense_train_many(dn_pool *pool, const dn_dense_pass *p) {
    const dn_dense_shape *s = &p->shape;
    train_many_outputs(pool, p);
    if (p->dx)
        dn_cpu_ops.gemm(pool, 0, 0, s->rows, s->inputs, s->outputs, 1, p->dy, s->outputs, p->w, s->inputs,
                        p->set_dx ? 0 : 1, p->dx, s->inputs);
    size_t across = dn_chunks((size_t)s->inputs, (size_t)tile_inputs(s));
    size_t down = dn_chunks((size_t)s->outputs, (size_t)dn_cpu_gemm_kernel()->tile_rows);
    dn_pool_run(pool, down * across, train_many, (void *)p);
}

void cpu_dense_train(dn_pool *pool, const dn_dense_pass *p) {
    if (p->shape.rows <= DN_DENSE_ROWS)
        dense_train_few(pool, p);
    else
        dense_train_many(pool, p);
}

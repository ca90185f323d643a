/* Dense layers with few rows, by the kernels of isa_dense.c, chunk by chunk of outputs; and where it is decided how a
 * layer is computed. */
#include "cpu/cpu_dense.h"
#include "cpu/cpu_ops.h"
#include <string.h>

enum {
    CHUNK_BYTES = 1 << 18 /* of weights: about 10 us */
};

/* Outputs in a chunk. A power of two of chunks, so that 2, 4 or 8 threads have equal shares. */
static int dense_chunk(const dn_dense_shape *s) {
    size_t bytes = (size_t)s->outputs * s->inputs * sizeof(float), chunks = 1;
    while (chunks < DN_DENSE_CHUNKS && chunks * CHUNK_BYTES < bytes) chunks *= 2;
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

void cpu_dense_forward(dn_pool *pool, const dn_dense_shape *s, const float *x, const float *w, const float *b,
                       float *y) {
    if (s->rows > DN_DENSE_ROWS) {
        dn_dense_forward_many(pool, s, x, w, b, y);
        return;
    }
    forward_job j = {s, x, w, b, y, dense_chunk(s)};
    dn_pool_run(pool, dense_chunks(s), forward_few, &j);
}

/* ---- backward and update ---- */

/* Floats. Processors fetch ahead within a page: other cores reading x must not take away the part that is being added
 * to. */
enum { LINE = 16, PAGE = 1024 };

static size_t dense_step(const dn_dense_shape *s) {
    size_t lines = ((size_t)s->inputs + LINE - 1) / LINE;
    return (size_t)s->inputs % LINE || lines % 2 ? (size_t)s->inputs : (lines + 1) * LINE;
}

size_t cpu_dense_scratch(dn_pool *pool, const dn_dense_shape *s) {
    (void)pool;
    size_t few = (size_t)(s->rows < DN_DENSE_ROWS ? s->rows : DN_DENSE_ROWS), x = few * dense_step(s);
    size_t with_few = (dense_chunks(s) + 1) * x + PAGE; /* x, and the parts of dx */
    size_t with_many = dn_dense_scratch_many(s);
    return with_few > with_many ? with_few : with_many;
}

void dn_dense_parts_add(dn_dense_parts *parts, size_t chunk, double sum) {
    parts->at[chunk].sum = sum;
    int level = 0;
    for (size_t width = 1; 2 * width < parts->chunks; width *= 2, level++) {
        size_t first = chunk / (2 * width) * (2 * width), second = first + width, size = parts->size;
        if (second >= parts->chunks) continue; /* a group without a second half */
        if (!atomic_fetch_add(&parts->at[first].halves[level], 1)) return;
        parts->at[first].sum += parts->at[second].sum;
        if (parts->dx) dn_cpu_kernels_get()->axpy(size, 1, parts->dx + second * size, parts->dx + first * size);
    }
}

size_t dn_dense_parts_half(const dn_dense_parts *parts) {
    size_t half = 1;
    while (2 * half < parts->chunks) half *= 2;
    return half;
}

double dn_dense_parts_sum(const dn_dense_parts *parts) {
    return parts->at[0].sum + (parts->chunks > 1 ? parts->at[dn_dense_parts_half(parts)].sum : 0);
}

typedef struct train_job {
    dn_dense_job job;
    int part;
    dn_dense_parts parts;
} train_job;

static void train_few(void *context, size_t chunk) {
    train_job *j = context;
    const dn_dense_shape *s = &j->job.pass->shape;
    int from = (int)chunk * j->part, to = from + j->part;
    float *dx = j->parts.dx ? j->parts.dx + chunk * j->parts.size : NULL;
    double sum = 0;
    dn_cpu_dense_kernels()->train(&j->job, from, to < s->outputs ? to : s->outputs, dx, &sum);
    dn_dense_parts_add(&j->parts, chunk, sum);
}

static void dense_train_few(dn_pool *pool, const dn_dense_pass *p) {
    const dn_dense_shape *s = &p->shape;
    size_t chunks = dense_chunks(s), rows = (size_t)s->rows, inputs = (size_t)s->inputs, step = dense_step(s);
    train_job j = {
        .job = {p, p->x, step},
        .part = dense_chunk(s),
        .parts = {.chunks = chunks, .size = rows * step, .dx = p->dx ? p->scratch + rows * step + PAGE : NULL}};
    if (step != inputs) {
        cpu_copy_rows(NULL, rows, inputs, p->x, inputs, p->scratch, step);
        j.job.x = p->scratch;
    }
    dn_pool_run(pool, chunks, train_few, &j);
    if (p->likelihood) *p->sum += dn_dense_parts_sum(&j.parts);
    if (!p->dx) return;
    if (p->set_dx) memset(p->dx, 0, rows * inputs * sizeof *p->dx);
    float scale = p->optimizer->rule == DN_ADAM_OF_SUM ? 1 : p->step->rows; /* dy was of the mean */
    for (size_t part = 0; part < chunks; part += dn_dense_parts_half(&j.parts))
        for (size_t r = 0; r < rows; r++)
            dn_cpu_kernels_get()->axpy(inputs, scale, j.parts.dx + part * rows * step + r * step, p->dx + r * inputs);
}

void cpu_dense_train(dn_pool *pool, const dn_dense_pass *p) {
    if (p->shape.rows <= DN_DENSE_ROWS)
        dense_train_few(pool, p);
    else
        dn_dense_train_many(pool, p);
}

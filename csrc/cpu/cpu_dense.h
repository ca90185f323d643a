/* Dense layers in as few passes over their weights as possible. With few rows cpu_dense.c cuts them into chunks and
 * isa_dense.c computes; with many, cpu_dense_many.c does it with matrix products. */
#ifndef DN_CPU_DENSE_H
#define DN_CPU_DENSE_H
#include "cpu/cpu_kernels.h"
#include <stdatomic.h>

enum {
    DN_DENSE_BLOCK = 8, /* outputs that are processed together; chunks begin at multiples of it */
    DN_DENSE_ROWS = 16  /* these kernels are used up to this many rows; above, gemm is faster */
};

/* Rows of x and of the parts of dx are `step` floats apart, an odd number of cache lines: in a cache of low
 * associativity, rows that are a power of two apart would evict each other. */
typedef struct dn_dense_job {
    const dn_dense_pass *pass;
    const float *x;
    size_t step;
} dn_dense_job;

typedef struct dn_dense_kernels {
    /* y of the outputs [from, to) for all rows; rows of x are `step` apart */
    void (*forward)(const dn_dense_shape *shape, const float *x, size_t step, const float *w, const float *b, float *y,
                    int from, int to);
    /* Backward pass and update of the outputs [from, to). dx (rows, step) is this chunk's part, divided by step->rows
     * for SGD, and is set; NULL: not wanted. With a loss, the forward pass of these outputs comes first and their
     * losses are added to *sum. */
    void (*train)(const dn_dense_job *job, int from, int to, float *dx, double *sum);
} dn_dense_kernels;

const dn_dense_kernels *dn_cpu_dense_kernels(void);

enum { DN_TRAIN_ROWS = 256 };
/* Gradient and update of the weights (isa_train.c), of up to DN_TRAIN_ROWS rows, for outputs [from, to) and inputs
 * [left, right), whose numbers are multiples of `rows` and of `cols`; dy is before the activation. */
typedef struct dn_train_kernel {
    void (*train)(const dn_dense_pass *pass, const dn_update *update, int from, int to, int left, int right);
    int rows, cols, tile_cols; /* tile_cols: inputs of a call are about so many */
} dn_train_kernel;
const dn_train_kernel *dn_cpu_train_kernel(void);

enum {
    DN_DENSE_CHUNKS = 32,  /* most chunks of a layer's outputs */
    DN_DENSE_PAIRINGS = 6, /* 2^DN_DENSE_PAIRINGS > DN_DENSE_CHUNKS */
    DN_DENSE_APART = 128   /* bytes: what others write must not lie beside what is read all the time */
};

/* The chunks' parts of dx and of the loss are added up by pairs, pairs of pairs and so on, by whoever is done last with
 * the second of a pair: these sums are of what one core has just computed. The last two, those of chunk 0 and of chunk
 * dn_dense_parts_half, are the caller's. */
typedef struct dn_dense_parts {
    size_t chunks, size;
    float *dx; /* (chunks, size) or NULL */
    struct __attribute__((aligned(DN_DENSE_APART))) {
        double sum;
        atomic_int halves[DN_DENSE_PAIRINGS]; /* done, of the group of 2, 4, ... chunks that begins with this one */
    } at[DN_DENSE_CHUNKS + 1];
} dn_dense_parts;
/* A chunk is done; `sum` is its loss. */
void dn_dense_parts_add(dn_dense_parts *parts, size_t chunk, double sum);
size_t dn_dense_parts_half(const dn_dense_parts *parts);
double dn_dense_parts_sum(const dn_dense_parts *parts);

/* More than DN_DENSE_ROWS rows. */
void dn_dense_forward_many(dn_pool *pool, const dn_dense_shape *shape, const float *x, const float *w, const float *b,
                           float *y);
size_t dn_dense_scratch_many(const dn_dense_shape *shape);
void dn_dense_train_many(dn_pool *pool, const dn_dense_pass *pass);
#endif

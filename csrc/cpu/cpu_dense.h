/* Dense layers in as few passes over their weights as possible: cpu_dense.c cuts them into chunks, isa_dense.c
 * computes. */
#ifndef DN_CPU_DENSE_H
#define DN_CPU_DENSE_H
#include "backend/backend.h"

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
#endif

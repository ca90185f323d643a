/* Dense layers in few passes over their weights: what cpu_dense.c cuts into chunks and isa_dense.c computes. */
#ifndef DN_CPU_DENSE_H
#define DN_CPU_DENSE_H
#include "backend/backend.h"

enum {
    DN_DENSE_BLOCK = 8, /* outputs that are worked on together; chunks begin at multiples of it */
    DN_DENSE_ROWS = 16  /* rows up to which these kernels are used; above, gemm is faster */
};

/* Rows of x and of the parts of dx are `step` floats apart, an odd number of cache lines: in a cache with few places
 * for each address, rows that are a power of two apart would drive each other out. */
typedef struct dn_dense_job {
    const dn_dense_pass *pass;
    const float *x;
    size_t step;
} dn_dense_job;

typedef struct dn_dense_kernels {
    /* y of the outputs [from, to) for all rows; rows of x are `step` apart */
    void (*forward)(const dn_dense_shape *shape, const float *x, size_t step, const float *w, const float *b, float *y,
                    int from, int to);
    /* Backward and update of the outputs [from, to). dx (rows, step) is this chunk's part, divided by step->rows for
     * SGD, and is set; NULL: not wanted. With a loss the forward of these outputs comes first and their errors are
     * added to *sum. */
    void (*train)(const dn_dense_job *job, int from, int to, float *dx, double *sum);
} dn_dense_kernels;

const dn_dense_kernels *dn_cpu_dense_kernels(void);
#endif

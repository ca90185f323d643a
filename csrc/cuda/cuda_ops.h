/* The launchers of the CUDA operations, dn_cuda_NAME for NAME of backend_ops.h: each puts its kernels into the stream
 * and returns the launch's error. Included by C and C++. */
#ifndef DN_CUDA_OPS_H
#define DN_CUDA_OPS_H
#include "backend/backend.h"
#include <cuda_runtime_api.h>

typedef struct dn_cuda_blas dn_cuda_blas; /* cuda_blas.h */

/* Small operations that wait for being launched together (cuda_small.cuh). */
typedef enum dn_small_kind {
    DN_SMALL_FILL,
    DN_SMALL_COPY_ROWS,
    DN_SMALL_ADD_ROWS,
    DN_SMALL_SET_STEP,
    DN_SMALL_GATHER_ROWS,
    DN_SMALL_NORMALS,
    DN_SMALL_REPARAMETERISE,
    DN_SMALL_REPARAMETERISE_GRADIENT
} dn_small_kind;
enum { DN_SMALL_OPS = 8, DN_SMALL_VALUES = 4096 }; /* at most: waiting operations; values of one of them */
typedef struct dn_small_op {
    dn_small_kind kind;
    int n;
    uint64_t body[12]; /* what the operation is, as a struct of cuda_small.cuh */
} dn_small_op;
typedef struct dn_small_list {
    int n;
    dn_small_op op[DN_SMALL_OPS];
} dn_small_list;
typedef struct dn_small {
    dn_small_list list;
    cudaError_t error; /* of launching them, for whoever looks next */
} dn_small;

/* Where a launch goes, and scratch memory that one launcher uses at a time: the stream keeps the order. */
typedef struct dn_cuda_place {
    cudaStream_t stream;
    int processors;    /* multiprocessors of the device */
    double *sums;      /* DN_CUDA_SUMS */
    unsigned *tickets; /* DN_CUDA_TICKETS, after the sums: counters that are 0 between launches */
    float *scratch;    /* DN_CUDA_SCRATCH */
    const dn_cuda_blas *blas;
    dn_small *small; /* NULL: nothing waits */
} dn_cuda_place;

enum { DN_CUDA_SUMS = 1024, DN_CUDA_TICKETS = 1024, DN_CUDA_SCRATCH = 4 << 20 };

#ifdef __cplusplus
extern "C" {
#endif
/* Launches the small operations that wait; a failure is in on->small->error. */
void dn_cuda_flush(const dn_cuda_place *on);
#define DN_OP(group, name, parameters, arguments) \
    cudaError_t dn_cuda_##name(const dn_cuda_place *on, DN_LIST parameters);
#define DN_QUERY(group, type, name, parameters, arguments)
#include "backend/backend_ops.h"
#ifdef __cplusplus
}
#endif
#endif

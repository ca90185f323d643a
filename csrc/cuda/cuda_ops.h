/* The launchers of the CUDA operations, dn_cuda_NAME for NAME of backend_ops.h: each puts its kernels into the stream
 * and returns the launch's error. Included by C and C++. */
#ifndef DN_CUDA_OPS_H
#define DN_CUDA_OPS_H
#include "backend/backend.h"
#include <cuda_runtime_api.h>

typedef struct dn_cuda_blas dn_cuda_blas; /* cuda_blas.h */

/* Where a launch goes, and scratch memory that one launcher uses at a time: the stream keeps the order. */
typedef struct dn_cuda_place {
    cudaStream_t stream;
    int processors; /* multiprocessors of the device */
    double *sums;   /* DN_CUDA_SUMS */
    float *scratch; /* DN_CUDA_SCRATCH */
    const dn_cuda_blas *blas;
} dn_cuda_place;

enum { DN_CUDA_SUMS = 1024, DN_CUDA_SCRATCH = 4 << 20 };

#ifdef __cplusplus
extern "C" {
#endif
#define DN_OP(group, name, parameters, arguments) \
    cudaError_t dn_cuda_##name(const dn_cuda_place *on, DN_LIST parameters);
#define DN_QUERY(group, type, name, parameters, arguments)
#include "backend/backend_ops.h"
#ifdef __cplusplus
}
#endif
#endif

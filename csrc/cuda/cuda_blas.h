/* cuBLAS, opened at run time when it is there: one function of it. */
#ifndef DN_CUDA_BLAS_H
#define DN_CUDA_BLAS_H
#include <cuda_runtime_api.h>
#include <stddef.h>

typedef struct dn_cuda_blas {
    void *handle; /* NULL: not there */
    void *workspace;
    int (*destroy)(void *handle);
    int (*sgemm)(void *handle, int op_a, int op_b, int m, int n, int k, const float *alpha, const float *a, int lda,
                 const float *b, int ldb, const float *beta, float *c, int ldc);
} dn_cuda_blas;

/* Look for cuBLAS: DARKNET_CUBLAS (a path, or `off`), where pip puts it beside this plugin, the system's. `name`
 * becomes a few words on what gemm uses. Not finding it is fine; a wish that cannot be met is not: -1 and a clause in
 * `why`. */
int dn_cuda_blas_open(dn_cuda_blas *blas, cudaStream_t stream, char *name, size_t name_size, char *why, size_t size);
void dn_cuda_blas_close(dn_cuda_blas *blas);
/* As gemm of backend.h, row-major. */
cudaError_t dn_cuda_blas_gemm(const dn_cuda_blas *blas, int trans_a, int trans_b, int m, int n, int k, float alpha,
                              const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
#endif

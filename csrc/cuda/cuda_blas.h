/* cuBLAS, opened at run time if it is installed; only one of its functions is used. */
#ifndef DN_CUDA_BLAS_H
#define DN_CUDA_BLAS_H
#include "cuda/cuda_ops.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { DN_CUDA_BLAS_WORKSPACE = 32 << 20 };

struct dn_cuda_blas {
    void *handle; /* NULL: not found */
    void *workspace;
    int compute; /* cublasComputeType_t */
    int (*destroy)(void *handle);
    int (*gemm)(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a, int type_a,
                int lda, const void *b, int type_b, int ldb, const void *beta, void *c, int type_c, int ldc,
                int compute, int algorithm);
};

/* Look for cuBLAS: DARKNET_CUBLAS (a path, or `off`), where pip installs it beside this plugin, then the system's.
 * `capability` is the device's, 75 or more. Not finding it is fine; but an explicit request that cannot be met, for a
 * library or for a precision, is an error, with a clause in `why`. DN_E_MEMORY: the device has no room for its
 * workspace. */
dn_status dn_cuda_blas_open(dn_cuda_blas *blas, cudaStream_t stream, dn_precision precision, int capability, char *why,
                            size_t size);
void dn_cuda_blas_close(dn_cuda_blas *blas);
/* As gemm of backend_ops.h, row-major. */
cudaError_t dn_cuda_blas_gemm(const dn_cuda_blas *blas, int trans_a, int trans_b, int m, int n, int k, float alpha,
                              const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
/* The same by our own kernel, cuda_gemm.cu. */
cudaError_t dn_cuda_own_gemm(const dn_cuda_place *on, int trans_a, int trans_b, int m, int n, int k, float alpha,
                             const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
#ifdef __cplusplus
}
#endif
#endif

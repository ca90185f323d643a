#define _GNU_SOURCE
#include "cuda/cuda_blas.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Constants of cuBLAS's interface, which its header would provide: cublasOperation_t, cudaDataType_t,
 * cublasComputeType_t, cublasGemmAlgo_t, cublasStatus_t. All of them are for arrays of float32; the precision is that
 * of the factors within a product. */
enum { OP_N = 0, OP_T = 1, REAL_32F = 0, ALGORITHM_DEFAULT = -1, STATUS_ALLOC_FAILED = 3, STATUS_NOT_SUPPORTED = 15 };
static const int compute_types[DN_PRECISION_COUNT] = {
    [DN_FLOAT32] = 68, /* COMPUTE_32F */
    [DN_TF32] = 77,    /* COMPUTE_32F_FAST_TF32 */
    [DN_BF16] = 75,    /* COMPUTE_32F_FAST_16BF */
};
static const char *const precisions[DN_PRECISION_COUNT] = {"float32", "tf32", "bf16"};

static void *blas_library(char *why, size_t size) {
    const char *wish = getenv("DARKNET_CUBLAS");
    if (wish && *wish) {
        void *library = dlopen(wish, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, size, "DARKNET_CUBLAS: %s", dlerror());
        return library;
    }
    /* pip: ours is site-packages/darknet_vae/lib/, theirs is site-packages/nvidia/ */
    static const char *const beside[] = {"../../nvidia/cu13/lib/libcublas.so.13",
                                         "../../nvidia/cublas/lib/libcublas.so.12"};
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12"};
    char path[PATH_MAX];
    Dl_info self;
    void *library = NULL;
    const char *file = dladdr(names, &self) && self.dli_fname ? self.dli_fname : "", *slash = strrchr(file, '/');
    for (int i = 0; slash && *file == '/' && i < 2 && !library; i++) /* never from the current folder */
        if (snprintf(path, sizeof path, "%.*s/%s", (int)(slash - file), file, beside[i]) < (int)sizeof path)
            library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    for (int i = 0; i < 2 && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

typedef struct blas_functions {
    int (*create)(void **handle), (*set_stream)(void *handle, cudaStream_t stream);
    int (*set_workspace)(void *handle, void *memory, size_t bytes);
} blas_functions;

static int blas_symbols(void *library, dn_cuda_blas *blas, blas_functions *f) {
    *(void **)&f->create = dlsym(library, "cublasCreate_v2");
    *(void **)&f->set_stream = dlsym(library, "cublasSetStream_v2");
    *(void **)&f->set_workspace = dlsym(library, "cublasSetWorkspace_v2");
    *(void **)&blas->destroy = dlsym(library, "cublasDestroy_v2");
    *(void **)&blas->gemm = dlsym(library, "cublasGemmEx");
    return f->create && f->set_stream && f->set_workspace && blas->destroy && blas->gemm;
}

/* A workspace of our own: cuBLAS then allocates nothing, which a recording could not contain. Set after the stream,
 * because setting the stream resets the workspace. */
static dn_status blas_settle(dn_cuda_blas *blas, const blas_functions *f, cudaStream_t stream, char *why, size_t size) {
    int status = f->create(&blas->handle);
    if (status != 0) blas->handle = NULL;
    if (status == 0 && cudaMalloc(&blas->workspace, DN_CUDA_BLAS_WORKSPACE) != cudaSuccess) {
        cudaGetLastError();
        status = STATUS_ALLOC_FAILED;
    }
    if (status == 0) status = f->set_stream(blas->handle, stream);
    if (status == 0) status = f->set_workspace(blas->handle, blas->workspace, DN_CUDA_BLAS_WORKSPACE);
    if (status == 0) return DN_OK;
    dn_cuda_blas_close(blas);
    snprintf(why, size,
             status == STATUS_ALLOC_FAILED ? "out of memory for cuBLAS" : "cuBLAS does not start (status %d)", status);
    return status == STATUS_ALLOC_FAILED ? DN_E_MEMORY : DN_E_DEVICE;
}

dn_status dn_cuda_blas_open(dn_cuda_blas *blas, cudaStream_t stream, dn_precision precision, int capability, char *why,
                            size_t size) {
    const char *wish = getenv("DARKNET_CUBLAS");
    int off = wish && !strcmp(wish, "off"), wanted = wish && *wish && !off;
    blas_functions functions;
    memset(blas, 0, sizeof *blas);
    *why = 0;
    if (precision != DN_FLOAT32 && capability < 80) {
        snprintf(why, size, "precision %s needs a GPU of compute capability 8.0 or newer, this one has %d.%d",
                 precisions[precision], capability / 10, capability % 10);
        return DN_E_DEVICE;
    }
    void *library = off ? NULL : blas_library(why, size);
    if (library && !blas_symbols(library, blas, &functions)) {
        snprintf(why, size, "%.160s is no cuBLAS", wanted ? wish : "the one found");
        memset(blas, 0, sizeof *blas);
        library = NULL;
    }
    if (library) {
        blas->compute = compute_types[precision];
        return blas_settle(blas, &functions, stream, why, size);
    }
    if (wanted) return DN_E_DEVICE;
    if (precision == DN_FLOAT32) return DN_OK;
    snprintf(why, size, "precision %s needs cuBLAS, which %s", precisions[precision],
             off ? "DARKNET_CUBLAS=off forbids" : "is not there (pip install nvidia-cublas)");
    return DN_E_DEVICE;
}

void dn_cuda_blas_close(dn_cuda_blas *blas) {
    if (blas->handle) blas->destroy(blas->handle);
    if (blas->workspace) cudaFree(blas->workspace);
    memset(blas, 0, sizeof *blas);
}

/* cuBLAS is column-major, so it sees C^T = op(B)^T op(A)^T. */
cudaError_t dn_cuda_blas_gemm(const dn_cuda_blas *blas, int trans_a, int trans_b, int m, int n, int k, float alpha,
                              const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    int status = blas->gemm(blas->handle, trans_b ? OP_T : OP_N, trans_a ? OP_T : OP_N, n, m, k, &alpha, b, REAL_32F,
                            ldb, a, REAL_32F, lda, &beta, c, REAL_32F, ldc, blas->compute, ALGORITHM_DEFAULT);
    return status == 0                      ? cudaSuccess
           : status == STATUS_ALLOC_FAILED  ? cudaErrorMemoryAllocation
           : status == STATUS_NOT_SUPPORTED ? cudaErrorNotSupported
                                            : cudaErrorUnknown;
}

/* The operation: by cuBLAS if it was found, otherwise by our own kernel. */
cudaError_t dn_cuda_gemm(const dn_cuda_place *on, int trans_a, int trans_b, int m, int n, int k, float alpha,
                         const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    if (m <= 0 || n <= 0) return cudaSuccess;
    if (on->blas->handle && k > 0) {
        dn_cuda_flush(on);
        return dn_cuda_blas_gemm(on->blas, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    }
    return dn_cuda_own_gemm(on, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

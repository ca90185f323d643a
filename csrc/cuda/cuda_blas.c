#define _GNU_SOURCE
#include "cuda_blas.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of cuBLAS's interface, which its header would give. */
enum { OP_N = 0, OP_T = 1, MATH_DEFAULT = 0, MATH_TF32 = 3, WORKSPACE = 32 << 20 };

static void *blas_library(char *why, size_t size) {
    const char *wish = getenv("DARKNET_CUBLAS");
    if (wish && *wish) {
        void *library = dlopen(wish, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, size, "DARKNET_CUBLAS: %s", dlerror());
        return library;
    }
    /* pip: site-packages/darknet_vae/lib/ is ours, site-packages/nvidia/ theirs */
    static const char *const beside[] = {"../../nvidia/cu13/lib/libcublas.so.13",
                                         "../../nvidia/cublas/lib/libcublas.so.12"};
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12"};
    char path[PATH_MAX];
    Dl_info self;
    void *library = NULL;
    const char *file = dladdr(names, &self) && self.dli_fname ? self.dli_fname : "", *slash = strrchr(file, '/');
    for (int i = 0; slash && i < 2 && !library; i++)
        if (snprintf(path, sizeof path, "%.*s/%s", (int)(slash - file), file, beside[i]) < (int)sizeof path)
            library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    for (int i = 0; i < 2 && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

typedef struct blas_functions {
    int (*create)(void **handle), (*set_stream)(void *handle, cudaStream_t stream), (*set_math)(void *handle, int mode);
    int (*set_workspace)(void *handle, void *memory, size_t bytes);
} blas_functions;

static int blas_symbols(void *library, dn_cuda_blas *blas, blas_functions *f) {
    *(void **)&f->create = dlsym(library, "cublasCreate_v2");
    *(void **)&f->set_stream = dlsym(library, "cublasSetStream_v2");
    *(void **)&f->set_math = dlsym(library, "cublasSetMathMode");
    *(void **)&f->set_workspace = dlsym(library, "cublasSetWorkspace_v2");
    *(void **)&blas->destroy = dlsym(library, "cublasDestroy_v2");
    *(void **)&blas->sgemm = dlsym(library, "cublasSgemm_v2");
    return f->create && f->set_stream && f->set_math && f->set_workspace && blas->destroy && blas->sgemm;
}

/* A workspace of our own: cuBLAS then allocates nothing, which a recording could not hold. */
static int blas_settle(dn_cuda_blas *blas, const blas_functions *f, cudaStream_t stream, int tf32) {
    if (f->create(&blas->handle) != 0) {
        blas->handle = NULL;
        return 0;
    }
    return cudaMalloc(&blas->workspace, WORKSPACE) == cudaSuccess && f->set_stream(blas->handle, stream) == 0 &&
           f->set_workspace(blas->handle, blas->workspace, WORKSPACE) == 0 &&
           f->set_math(blas->handle, tf32 ? MATH_TF32 : MATH_DEFAULT) == 0;
}

int dn_cuda_blas_open(dn_cuda_blas *blas, cudaStream_t stream, char *name, size_t name_size, char *why, size_t size) {
    const char *wish = getenv("DARKNET_CUBLAS"), *precision = getenv("DARKNET_PRECISION");
    int tf32 = precision && !strcmp(precision, "tf32"), wanted = wish && *wish && strcmp(wish, "off");
    memset(blas, 0, sizeof *blas);
    if (precision && *precision && !tf32 && strcmp(precision, "float32")) {
        snprintf(why, size, "DARKNET_PRECISION=%.40s is neither float32 nor tf32", precision);
        return -1;
    }
    blas_functions functions;
    *why = 0;
    void *library = wish && !strcmp(wish, "off") ? NULL : blas_library(why, size);
    if (library && !blas_symbols(library, blas, &functions)) {
        snprintf(why, size, "DARKNET_CUBLAS=%.160s is no cuBLAS", wanted ? wish : "");
        library = NULL;
    } else if (library && !blas_settle(blas, &functions, stream, tf32)) {
        dn_cuda_blas_close(blas);
        snprintf(why, size, "cuBLAS does not start");
        library = NULL;
    }
    if (!library && (wanted || tf32)) {
        if (!wanted || !*why) snprintf(why, size, "DARKNET_PRECISION=tf32 needs cuBLAS, which is not there");
        return -1;
    }
    if (!library) memset(blas, 0, sizeof *blas);
    snprintf(name, name_size, "%s", !library ? "own kernels" : tf32 ? "cuBLAS with TF32" : "cuBLAS");
    return 0;
}

void dn_cuda_blas_close(dn_cuda_blas *blas) {
    if (blas->handle) blas->destroy(blas->handle);
    if (blas->workspace) cudaFree(blas->workspace);
    memset(blas, 0, sizeof *blas);
}

/* cuBLAS is column-major, so it sees C^T = op(B)^T op(A)^T. */
cudaError_t dn_cuda_blas_gemm(const dn_cuda_blas *blas, int trans_a, int trans_b, int m, int n, int k, float alpha,
                              const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    int status = blas->sgemm(blas->handle, trans_b ? OP_T : OP_N, trans_a ? OP_T : OP_N, n, m, k, &alpha, b, ldb, a,
                             lda, &beta, c, ldc);
    return status == 0 ? cudaSuccess : cudaErrorUnknown;
}

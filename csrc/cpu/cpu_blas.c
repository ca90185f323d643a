/* An external BLAS, opened at run time when DARKNET_BLAS names one, such as libopenblas.so.0. Only cblas_sgemm is
 * used. */
#define _GNU_SOURCE
#include "cpu/cpu_blas.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static dn_sgemm_fn blas_open(void) {
    const char *name = getenv("DARKNET_BLAS");
    if (!name || !*name) return NULL;
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    dn_sgemm_fn fn = NULL;
    if (library) *(void **)&fn = dlsym(library, "cblas_sgemm");
    return fn;
}

dn_sgemm_fn dn_cpu_blas(void) {
    static atomic_uintptr_t found; /* 1: none. Racing threads open the same library twice, which dlopen counts. */
    uintptr_t value = atomic_load(&found);
    if (!value) {
        dn_sgemm_fn fn = blas_open();
        value = fn ? (uintptr_t)fn : 1;
        atomic_store(&found, value);
    }
    return value == 1 ? NULL : (dn_sgemm_fn)value;
}

dn_status dn_cpu_blas_check(void) {
    const char *name = getenv("DARKNET_BLAS");
    if (!name || !*name || dn_cpu_blas()) return DN_OK;
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    const char *reason = !library                        ? dlerror()
                         : dlsym(library, "cblas_sgemm") ? "too late, this process computes without it already"
                                                         : "it has no cblas_sgemm";
    dn_status status = dn_fail(DN_E_USAGE, "DARKNET_BLAS=%.200s: %s; unset it for the kernels of this library", name,
                               reason ? reason : "it does not open");
    if (library) dlclose(library);
    return status;
}

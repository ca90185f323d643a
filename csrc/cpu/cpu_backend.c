/* The table of CPU operations, the choice of the instruction set, memory. */
#include "base/sys.h"
#include "cpu/cpu_blas.h"
#include "cpu/cpu_conv_kernels.h"
#include "cpu/cpu_dense.h"
#include "cpu/cpu_ops.h"
#include "io/cfg.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DN_PER_ISA_EXTERN(dn_cpu_kernels, dn_cpu_kernels);
DN_PER_ISA_EXTERN(dn_dense_kernels, dn_dense_kernels);
DN_PER_ISA_EXTERN(dn_train_kernel, dn_train_kernel);

static const char *const isas[] = {"base", "avx2", "avx512", NULL};

static int isa_best(void) { /* of this processor, which also runs all earlier ones */
    int best = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    best = avx512 ? 2 : avx2;
#endif
    return best;
}

/* The index of DARKNET_ISA; -1: not set, -2: unknown. */
static int isa_named(void) {
    const char *name = getenv("DARKNET_ISA");
    if (!name || !*name) return -1;
    for (int i = 0; isas[i]; i++)
        if (!strcmp(name, isas[i])) return i;
    return -2;
}

static int isa_choose(void) {
    int best = isa_best(), named = isa_named();
    return named >= 0 && named < best ? named : best;
}

dn_status dn_cpu_check(void) {
    int best = isa_best(), named = isa_named();
    const char *has = best == 0 ? "base" : best == 1 ? "base and avx2" : "base, avx2 and avx512";
    dn_like like;
    DN_CHECK(named > -2, DN_E_USAGE,
             "DARKNET_ISA=%.40s is no instruction set: base, avx2 and avx512 are known, this processor has %s%s",
             getenv("DARKNET_ISA"), has, dn_cfg_like(&like, getenv("DARKNET_ISA"), isas));
    DN_CHECK(named <= best, DN_E_USAGE, "DARKNET_ISA=%s: this processor has %s", isas[named], has);
    DN_CHECK(named < 0 || named == dn_cpu_isa(), DN_E_USAGE,
             "DARKNET_ISA=%s is too late: this process computes with %s already", isas[named], isas[dn_cpu_isa()]);
    return dn_cpu_blas_check();
}

int dn_cpu_isa(void) {
    static atomic_int chosen; /* 1 + the index; depends on the machine alone, so racing threads write the same value */
    int isa = atomic_load(&chosen);
    if (!isa) atomic_store(&chosen, isa = 1 + isa_choose());
    return isa - 1;
}

const dn_cpu_kernels *dn_cpu_kernels_get(void) {
    static const dn_cpu_kernels *const tables[] = DN_PER_ISA(dn_cpu_kernels);
    return tables[dn_cpu_isa()];
}

const dn_dense_kernels *dn_cpu_dense_kernels(void) {
    static const dn_dense_kernels *const tables[] = DN_PER_ISA(dn_dense_kernels);
    return tables[dn_cpu_isa()];
}

const dn_train_kernel *dn_cpu_train_kernel(void) {
    static const dn_train_kernel *const kernels[] = DN_PER_ISA(dn_train_kernel);
    return kernels[dn_cpu_isa()];
}

const dn_cpu_conv_kernels *dn_cpu_conv_kernels_get(void) {
    static const dn_cpu_conv_kernels *const tables[] = DN_PER_ISA(dn_cpu_conv_kernels);
    return tables[dn_cpu_isa()];
}

const char *dn_version(void) { return DN_VERSION; }

const char *dn_build_info(void) {
    static _Thread_local char line[512];
    const char *wish = getenv("DARKNET_BLAS");
    snprintf(line, sizeof line, "darknet-vae %s, cpu kernels %s%s%s%s", DN_VERSION, dn_cpu_kernels_get()->name,
             wish && *wish ? ", DARKNET_BLAS=" : "", wish ? wish : "",
             wish && *wish && !dn_cpu_blas() ? " without cblas_sgemm" : "");
    return line;
}

typedef struct clear_job {
    char *p;
    size_t bytes;
} clear_job;

enum { CLEAR_PART = 2 << 20 };

static void clear_chunk(void *context, size_t chunk) {
    const clear_job *j = context;
    size_t from = chunk * CLEAR_PART, left = j->bytes - from;
    memset(j->p + from, 0, left < CLEAR_PART ? left : CLEAR_PART);
}

/* Zeroed by all threads, unless that can be left to the system: it gives the pages of a new block, and clears them, to
 * whoever touches them first, which takes several times as long as writing them. */
static void *cpu_alloc(dn_pool *pool, size_t bytes) {
    clear_job job = {.p = dn_alloc_unset(bytes ? bytes : 1), .bytes = bytes};
    if (job.p && !dn_memory_zeros(job.p, bytes)) dn_pool_run(pool, dn_chunks(bytes, CLEAR_PART), clear_chunk, &job);
    return job.p;
}
static void cpu_free(dn_pool *pool, void *memory) {
    (void)pool;
    dn_free(memory);
}
static void cpu_transfer(dn_pool *pool, void *to, const void *from, size_t bytes) {
    (void)pool;
    if (bytes) memcpy(to, from, bytes);
}

void cpu_set_step(dn_pool *pool, dn_step *to, const dn_step *value) {
    (void)pool;
    *to = *value;
}
static dn_status cpu_finish(dn_pool *pool) {
    (void)pool;
    return DN_OK;
}

const dn_ops dn_cpu_ops = {
    .name = "cpu",
    .finish = cpu_finish,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_transfer,
    .download = cpu_transfer,
#define DN_OP(group, name, parameters, arguments) DN_WHEN(CPU_##group, .name = cpu_##name, )
#define DN_QUERY(group, type, name, parameters, arguments) DN_WHEN(CPU_##group, .name = cpu_##name, )
#include "backend/backend_ops.h"
};

/* The table of CPU operations, the choice of the instruction set, memory and GEMM. */
#include "cpu_blas.h"
#include "cpu_conv_kernels.h"
#include "cpu_dense.h"
#include "cpu_ops.h"
#include "../sys.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const dn_cpu_kernels dn_cpu_kernels_base, dn_cpu_kernels_avx2, dn_cpu_kernels_avx512;
extern const dn_dense_kernels dn_dense_kernels_base, dn_dense_kernels_avx2, dn_dense_kernels_avx512;

static const dn_cpu_kernels *kernels_choose(void) {
    const char *wish = getenv("DARKNET_ISA");
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    if (avx512 && (!wish || !strcmp(wish, "avx512"))) return &dn_cpu_kernels_avx512;
    if (avx2 && (!wish || strcmp(wish, "base"))) return &dn_cpu_kernels_avx2;
#endif
    (void)wish;
    return &dn_cpu_kernels_base;
}

const dn_cpu_kernels *dn_cpu_kernels_get(void) {
    static _Atomic(const dn_cpu_kernels *) chosen; /* a pure function of the machine: a race writes the same value */
    const dn_cpu_kernels *k = atomic_load(&chosen);
    if (!k) atomic_store(&chosen, k = kernels_choose());
    return k;
}

const dn_dense_kernels *dn_cpu_dense_kernels(void) {
#if defined(__x86_64__)
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    if (k == &dn_cpu_kernels_avx512) return &dn_dense_kernels_avx512;
    if (k == &dn_cpu_kernels_avx2) return &dn_dense_kernels_avx2;
#endif
    return &dn_dense_kernels_base;
}

const dn_cpu_conv_kernels *dn_cpu_conv_kernels_get(void) {
#if defined(__x86_64__)
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    if (k == &dn_cpu_kernels_avx512) return &dn_cpu_conv_kernels_avx512;
    if (k == &dn_cpu_kernels_avx2) return &dn_cpu_conv_kernels_avx2;
#endif
    return &dn_cpu_conv_kernels_base;
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

static void *cpu_alloc(dn_pool *pool, size_t bytes) {
    (void)pool;
    return dn_alloc(bytes, 1);
}
static void cpu_free(dn_pool *pool, void *memory) {
    (void)pool;
    dn_free(memory);
}
static void cpu_transfer(dn_pool *pool, void *to, const void *from, size_t bytes) {
    (void)pool;
    if (bytes) memcpy(to, from, bytes);
}

static void cpu_set_step(dn_pool *pool, dn_step *to, const dn_step *value) {
    (void)pool;
    *to = *value;
}
static dn_status cpu_finish(dn_pool *pool) {
    (void)pool;
    return DN_OK;
}

/* ---- gemm: chunks of C by rows or by columns, a function of the shape alone ---- */

typedef struct gemm_job {
    const dn_cpu_kernels *kernels;
    int trans_a, trans_b, m, n, k, lda, ldb, ldc, by_rows, part;
    float alpha, beta, *c;
    const float *a, *b;
} gemm_job;

static void gemm_chunk(void *context, size_t chunk) {
    const gemm_job *j = context;
    int at = (int)chunk * j->part, all = j->by_rows ? j->m : j->n, n = all - at < j->part ? all - at : j->part;
    if (j->by_rows)
        j->kernels->gemm(j->trans_a, j->trans_b, n, j->n, j->k, j->alpha,
                         j->a + (j->trans_a ? (ptrdiff_t)at : (ptrdiff_t)at * j->lda), j->lda, j->b, j->ldb, j->beta,
                         j->c + (ptrdiff_t)at * j->ldc, j->ldc);
    else
        j->kernels->gemm(j->trans_a, j->trans_b, j->m, n, j->k, j->alpha, j->a, j->lda,
                         j->b + (j->trans_b ? (ptrdiff_t)at * j->ldb : (ptrdiff_t)at), j->ldb, j->beta, j->c + at, j->ldc);
}

static void cpu_gemm(dn_pool *pool, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                     const float *b, int ldb, float beta, float *c, int ldc) {
    if (m <= 0 || n <= 0) return;
    dn_sgemm_fn blas = dn_cpu_blas();
    if (blas) {
        blas(101, trans_a ? 112 : 111, trans_b ? 112 : 111, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    gemm_job j = {dn_cpu_kernels_get(), trans_a, trans_b, m, n, k, lda, ldb, ldc, m > n, 0, alpha, beta, c, a, b};
    double flops = 2.0 * m * n * k;
    size_t chunks = (size_t)(flops / 2e6) + 1; /* about 30 us each at 60 GFLOP/s */
    int all = j.by_rows ? m : n, unit = 48;
    if (flops < 4e6) chunks = 1;
    j.part = (int)(((size_t)all + chunks - 1) / chunks);
    j.part = (j.part + unit - 1) / unit * unit;
    dn_pool_run(pool, dn_chunks((size_t)all, (size_t)j.part), gemm_chunk, &j);
}

const dn_ops dn_cpu_ops = {
    .name = "cpu", .finish = cpu_finish, .alloc = cpu_alloc, .free = cpu_free, .upload = cpu_transfer,
    .download = cpu_transfer, .set_step = cpu_set_step, .gather_rows = cpu_gather_rows,
    .fill = cpu_fill, .copy = cpu_copy, .scale = cpu_scale, .axpy = cpu_axpy, .mul_add = cpu_mul_add, .copy_rows = cpu_copy_rows,
    .add_rows = cpu_add_rows, .gemm = cpu_gemm, .im2col = cpu_im2col, .col2im = cpu_col2im,
    .conv_workspace = cpu_conv_workspace, .conv_forward = cpu_conv_forward,
    .conv_backward_data = cpu_conv_backward_data, .conv_backward_weights = cpu_conv_backward_weights,
    .bias_add = cpu_bias_add, .bias_gradient = cpu_bias_gradient, .activate = cpu_activate, .activate_gradient = cpu_activate_gradient,
    .norm_forward = cpu_norm_forward, .norm_backward = cpu_norm_backward, .maxpool_forward = cpu_maxpool_forward,
    .maxpool_backward = cpu_maxpool_backward, .upsample_forward = cpu_upsample_forward,
    .upsample_backward = cpu_upsample_backward, .downsample_forward = cpu_downsample_forward,
    .downsample_backward = cpu_downsample_backward, .normals = cpu_normals, .uniforms = cpu_uniforms,
    .dropout = cpu_dropout, .dropout_gradient = cpu_dropout_gradient, .reparameterise = cpu_reparameterise,
    .reparameterise_gradient = cpu_reparameterise_gradient, .loss = cpu_loss, .mask = cpu_mask, .update = cpu_update,
    .dense_forward = cpu_dense_forward, .dense_train = cpu_dense_train, .dense_scratch = cpu_dense_scratch,
    .dense_takes_loss = cpu_dense_takes_loss,
    .shortcut_forward = cpu_shortcut_forward, .shortcut_backward = cpu_shortcut_backward,
    .binarize = cpu_binarize, .avgpool_forward = cpu_avgpool_forward, .avgpool_backward = cpu_avgpool_backward,
    .gather = cpu_gather, .scatter_add = cpu_scatter_add, .softmax = cpu_softmax, .softmax_gradient =
    cpu_softmax_gradient, .softmax_loss = cpu_softmax_loss, .l2norm_forward = cpu_l2norm_forward, .l2norm_backward
    = cpu_l2norm_backward, .lrn_forward = cpu_lrn_forward, .lrn_backward = cpu_lrn_backward,
};

/* Matrix products: cut into blocks of C, which the kernel of isa_gemm.c computes one by one on the pool's threads. The
 * blocks depend on the shape alone, so results do not depend on the number of threads. */
#include "cpu/cpu_blas.h"
#include "cpu/cpu_ops.h"

DN_PER_ISA_EXTERN(dn_gemm_kernel, dn_gemm_kernel);

const dn_gemm_kernel *dn_cpu_gemm_kernel(void) {
    static const dn_gemm_kernel *const kernels[] = DN_PER_ISA(dn_gemm_kernel);
    return kernels[dn_cpu_isa()];
}

static const double LEAST = 1.5e6; /* operations of a product that is cut */

typedef struct gemm_job {
    const dn_gemm_kernel *kernel;
    int trans_a, trans_b, m, n, k, lda, ldb, ldc;
    int rows, cols, down; /* of a block; blocks from top to bottom */
    float alpha, beta, *c;
    const float *a, *b;
} gemm_job;

static inline int least(int a, int b) { return a < b ? a : b; }

static void gemm_chunk(void *context, size_t chunk) {
    const gemm_job *j = context;
    ptrdiff_t i = (ptrdiff_t)(chunk % (size_t)j->down) * j->rows, at = (ptrdiff_t)(chunk / (size_t)j->down) * j->cols;
    int m = least(j->rows, j->m - (int)i), n = least(j->cols, j->n - (int)at);
    j->kernel->gemm(j->trans_a, j->trans_b, m, n, j->k, j->alpha, j->a + (j->trans_a ? i : i * j->lda), j->lda,
                    j->b + (j->trans_b ? at * j->ldb : at), j->ldb, j->beta, j->c + i * j->ldc + at, j->ldc);
}

/* `all` in equal parts of about `part`, each a multiple of `unit`. A few parts are an even number of them, or one of
 * two threads would wait for the other. */
static int even_part(int all, double part, int unit) {
    enum { FEW = 8, FINE = 16 };
    if (part >= all) return all;
    int parts = (int)(all / part + 0.999);
    if (parts <= FEW) parts += parts % 2, unit = FINE;
    return ((all + parts - 1) / parts + unit - 1) / unit * unit;
}

/* One block up to 50 us at 100 GFLOP/s, else blocks of 20 to 100 us, longer only in products of many milliseconds.
 * Packing op(B) costs a block the more the fewer rows it has, transposing it the most: few columns and many rows then.
 */
static void gemm_cut(gemm_job *j) {
    enum { UNIT = 48, ROWS = 256 };
    double area = 2 * (j->k + 4.0), work = area * j->m * j->n; /* 4: reading and writing C */
    j->rows = j->m, j->cols = j->n;
    double block = work / 16;
    block = block < 2e6 ? 2e6 : block > 1e7 ? 1e7 : block;
    if (work / 128 > block) block = work / 128;
    int turned = j->trans_a ? j->kernel->least_cols_turned : UNIT;
    double rows = block / area / (j->trans_b ? UNIT : j->kernel->widen * UNIT);
    if (rows < j->kernel->least_rows) rows = j->kernel->least_rows;
    j->rows = j->m <= ROWS ? j->m : even_part(j->m, rows < ROWS ? rows : ROWS, 8);
    double cols = block / area / j->rows;
    j->cols = even_part(j->n, cols < turned ? turned : cols, UNIT);
}

void cpu_gemm(dn_pool *pool, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
              const float *b, int ldb, float beta, float *c, int ldc) {
    if (m <= 0 || n <= 0) return;
    dn_sgemm_fn blas = dn_cpu_blas();
    if (blas) {
        blas(101, trans_a ? 112 : 111, trans_b ? 112 : 111, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    const dn_gemm_kernel *kernel = dn_cpu_gemm_kernel();
    if (2.0 * m * n * (k + 4.0) < LEAST) {
        kernel->gemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    gemm_job j = {.kernel = kernel,
                  .trans_a = trans_a,
                  .trans_b = trans_b,
                  .m = m,
                  .n = n,
                  .k = k,
                  .lda = lda,
                  .ldb = ldb,
                  .ldc = ldc,
                  .alpha = alpha,
                  .beta = beta,
                  .c = c,
                  .a = a,
                  .b = b};
    gemm_cut(&j);
    j.down = (m + j.rows - 1) / j.rows;
    dn_pool_run(pool, (size_t)j.down * (size_t)((n + j.cols - 1) / j.cols), gemm_chunk, &j);
}

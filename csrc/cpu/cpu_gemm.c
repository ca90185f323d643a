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
    int down, across; /* blocks */
    float alpha, beta, *c;
    const float *a, *b;
} gemm_job;

enum { FINE = 16 /* a block's columns are a multiple of it, and its rows of half of it */ };

dn_gemm_part dn_gemm_part_of(int m, int n, int parts, int i, int unit) {
    enum { LEAST_ROWS = 16 };
    int strip = dn_cpu_gemm_kernel()->strip, each = n / (strip * parts) * strip, rest = each * parts;
    int by_rows = m >= LEAST_ROWS * parts && (each ? n - rest <= strip : parts == 2);
    if (!by_rows) return (dn_gemm_part){dn_part_from(n, parts, i, unit), dn_part_from(n, parts, i + 1, unit), n, 0, 0};
    return (dn_gemm_part){i * each, (i + 1) * each, rest, dn_part_from(m, parts, i, 1),
                          dn_part_from(m, parts, i + 1, 1)};
}

static void gemm_block(const gemm_job *j, ptrdiff_t top, int bottom, ptrdiff_t left, int right) {
    int m = bottom - (int)top, n = right - (int)left;
    if (m <= 0 || n <= 0) return;
    j->kernel->gemm(j->trans_a, j->trans_b, m, n, j->k, j->alpha, j->a + (j->trans_a ? top : top * j->lda), j->lda,
                    j->b + (j->trans_b ? left * j->ldb : left), j->ldb, j->beta, j->c + top * j->ldc + left, j->ldc);
}

static void gemm_chunk(void *context, size_t chunk) {
    const gemm_job *j = context;
    int row = (int)chunk / j->across, col = (int)chunk % j->across;
    if (j->down == 1) {
        dn_gemm_part part = dn_gemm_part_of(j->m, j->n, j->across, col, FINE);
        gemm_block(j, 0, j->m, part.left, part.right);
        gemm_block(j, part.top, part.bottom, part.rest, j->n);
    } else
        gemm_block(j, dn_part_from(j->m, j->down, row, 8), dn_part_from(j->m, j->down, row + 1, 8),
                   dn_part_from(j->n, j->across, col, FINE), dn_part_from(j->n, j->across, col + 1, FINE));
}

/* How many parts of about `part` make up `all`: one, or an even number, or one of two threads would wait for the other.
 */
static int even_parts(int all, double part) {
    if (part * 1.25 >= all) return 1;
    int parts = (int)(all / part + 0.5), most = (all + FINE - 1) / FINE;
    parts += parts % 2;
    return parts < most ? parts : most;
}

/* One block up to 50 us at 100 GFLOP/s, else blocks of 20 to 100 us, longer only in products of many milliseconds.
 * Packing op(B) costs a block the more the fewer rows it has, transposing it the most: few columns and many rows then.
 */
static void gemm_cut(gemm_job *j) {
    enum { UNIT = 48, ROWS = 256 };
    double area = 2 * (j->k + 4.0), work = area * j->m * j->n; /* 4: reading and writing C */
    double block = work / 16;
    block = block < 2e6 ? 2e6 : block > 1e7 ? 1e7 : block;
    if (work / 128 > block) block = work / 128;
    int wide = j->trans_b ? UNIT : j->kernel->widen * UNIT;
    double rows = block / area / wide;
    if (rows < j->kernel->least_rows) rows = j->kernel->least_rows;
    j->down = j->m <= ROWS ? 1 : even_parts(j->m, rows < ROWS ? rows : ROWS);
    double cols = block / area / (j->m / j->down), narrowest = j->trans_a ? j->kernel->least_cols_turned : UNIT;
    if (j->down > 1 && wide > narrowest) narrowest = wide;
    j->across = even_parts(j->n, cols < narrowest ? narrowest : cols);
    if (j->down == 1 && j->across == 1 && work > 1.2 * block && !j->trans_a) j->across = 2; /* by rows */
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
    dn_pool_run(pool, (size_t)j.down * (size_t)j.across, gemm_chunk, &j);
}

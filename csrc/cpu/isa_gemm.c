/* C = alpha op(A) op(B) + beta C on one thread, compiled once per instruction set. Four ways:
 *
 *   dots     A (m, k) and B^T (n, k) are both read along k, nothing is packed: few rows, as in a connected forward
 *   thin     rows of C are written one after the other: k of 1 or 2, as in the gradient of weights from one row
 *   tile     MR x NR of C in registers, A(i, p) broadcast, rows of B loaded; op(B) goes through a packed block on the
 *            stack, strip after strip of NR columns, unless it is used too seldom; A^T is packed too
 *   turned   C^T = B^T A^T for a C of fewer columns than a vector has lanes, when A has its rows in the lanes'
 * direction
 *
 * Strips narrower than NR columns are padded with zeros in the packed block, to whole vectors or to half a one, so
 * every element is summed in the same order wherever it stands. The caller (cpu_gemm.c) cuts large products into blocks
 * of which this does one. */
#include "cpu/cpu_kernels.h"
#include "cpu/isa_gemm_dots.h"

/* Up to DIRECT_ROWS rows, and up to DIRECT_SHALLOW_ROWS when k is at most SHALLOW, B is not worth copying. Strips of
 * narrow vectors are but a line and a half wide: of a B of more than DIRECT_NEAR values they read DIRECT_DEPTH rows at
 * a time, which the processor can follow as so many streams, and from DIRECT_FAR values on they ask for the next. */
#if VL == 16
enum { DIRECT_ROWS = 24, DIRECT_SHALLOW_ROWS = 72, DIRECT_DEPTH = 1 << 30 };
#else
enum { DIRECT_ROWS = 24, DIRECT_SHALLOW_ROWS = 24, DIRECT_DEPTH = 16 };
#endif
enum { THIN = 2, SHALLOW = 1024, DIRECT_NEAR = 1 << 16, DIRECT_FAR = 1 << 21 };

typedef struct gemm_args {
    int m, n, k;
    float alpha, beta;
    const float *a, *b;
    ptrdiff_t ars, acs, brs, bcs, ldc; /* A(i, p) = a[i ars + p acs], B(p, j) = b[p brs + j bcs] */
    float *c;
} gemm_args;

/* ---- thin products: of so small a k that what takes time is writing C ---- */

/* C, whole vectors of columns only, row by row as it lies in memory; the k rows of B stay in the nearest cache.
 * `plain`: alpha is 1, beta 0. */
INLINE void thin_rows(const int k, const int plain, const gemm_args *g) {
    const float *a = g->a, *b = g->b;
    const ptrdiff_t brs = g->brs, n = g->n;
    for (int i = 0; i < g->m; i++, a += g->ars) {
        float *c = g->c + i * g->ldc;
        vec x[THIN];
        UNROLL for (int p = 0; p < k; p++) x[p] = splat(a[p * g->acs]);
        for (ptrdiff_t j = 0; j < n; j += VL) {
            vec sum = {0};
            UNROLL for (int p = 0; p < k; p++) sum += x[p] * load(b + p * brs + j);
            if (!plain) {
                sum *= g->alpha;
                if (g->beta != 0) sum = g->beta * load(c + j) + sum;
            }
            store(c + j, sum);
        }
    }
}

static void gemm_thin(const gemm_args *g) {
    int plain = g->alpha == 1 && g->beta == 0;
    switch (g->k * 2 + plain) {
    case 2: thin_rows(1, 0, g); break;
    case 3: thin_rows(1, 1, g); break;
    case 4: thin_rows(2, 0, g); break;
    case 5: thin_rows(2, 1, g); break;
    }
}

/* ---- packing: strip after strip, each (kc, width) with width NR or, in the last, n rounded up to vectors ---- */

static inline void prefetch_row(int n, const float *x) {
    for (int i = 0; i < n; i += LINE) __builtin_prefetch(x + i);
}

/* block = rows of B, B(p, j) = b[p brs + j]; row by row, as they lie in memory */
static void pack_rows(int kc, int n, const float *b, ptrdiff_t brs, float *block) {
    for (int p = 0; p < kc; p++, b += brs) {
        float *strip = block;
        if (p + AHEAD < kc) prefetch_row(n, b + AHEAD * brs);
        for (int j = 0, cols; j < n; j += cols) {
            cols = strip_cols(n - j);
            int width = whole(cols), v = 0;
            float *to = strip + (size_t)p * width;
            for (; v + VL <= cols; v += VL) store(to + v, load(b + j + v));
            if (v < width) store_n(to + v, load_n(b + j + v, (size_t)(cols - v)), (size_t)(width - v));
            strip += (size_t)kc * width;
        }
    }
}

/* a strip from B^T: B(p, j) = b[j bcs + p], by transposes of VL x VL */
static void pack_columns(int kc, int n, int width, const float *b, ptrdiff_t bcs, float *panel) {
    for (int j = 0; j < width; j += VL) {
        int rows = least(VL, n - j), cols = least(VL, width - j), p = 0;
        const float *from = b + j * bcs;
        for (; p + VL <= kc; p += VL) {
            vec v[VL];
            for (int r = 0; r < VL; r++) v[r] = r < rows ? load(from + r * bcs + p) : (vec){0};
            transpose(v);
            for (int r = 0; r < VL; r++) store_n(panel + (p + r) * width + j, v[r], (size_t)cols);
        }
        for (; p < kc; p++)
            for (int r = 0; r < cols; r++) panel[p * width + j + r] = r < rows ? from[r * bcs + p] : 0;
    }
}

/* the same from any steps */
static void pack_steps(int kc, int n, int width, const float *b, ptrdiff_t brs, ptrdiff_t bcs, float *panel) {
    for (int p = 0; p < kc; p++)
        for (int j = 0; j < width; j++) panel[p * width + j] = j < n ? b[p * brs + j * bcs] : 0;
}

static void pack_block(int kc, int n, const float *b, ptrdiff_t brs, ptrdiff_t bcs, float *block) {
    if (bcs == 1) {
        pack_rows(kc, n, b, brs, block);
        return;
    }
    for (int j = 0, cols; j < n; j += cols) {
        cols = strip_cols(n - j);
        int width = whole(cols);
        if (brs == 1)
            pack_columns(kc, cols, width, b + j * bcs, bcs, block);
        else
            pack_steps(kc, cols, width, b + j * bcs, brs, bcs, block);
        block += (size_t)kc * width;
    }
}

/* A^T (kc, m), rows `acs` apart, as panels (kc, MR), row by row as they lie in memory; the last panel's rows may be
 * fewer. Panels begin a line further on, so that what is written together does not share a set of a cache. */
static void pack_a(int m, int kc, const float *a, ptrdiff_t acs, float *panels) {
    int all = m / MR * MR, rest = m - all;
    for (int p = 0; p < kc; p++, a += acs) {
        float *to = panels + p * MR;
        if (p + AHEAD < kc) prefetch_row(m, a + AHEAD * acs);
        for (int i = 0; i < all; i += MR, to += kc * MR + LINE) memcpy(to, a + i, MR * sizeof *a);
        for (int i = 0; i < rest; i++) to[i] = a[all + i];
    }
}

/* Rows of C against a packed block (kc, n), MC at a time: these rows of A stay in the L2 cache, and while tiles go down
 * a strip of the block it stays in the L1 cache. A^T is packed: its steps are often powers of two, which share few sets
 * of a cache. */
static void gemm_block(const gemm_args *g, int p0, int kc, int j0, int n, const float *block) {
    float panels[MC * KC + MC / MR * LINE] __attribute__((aligned(64)));
    float beta = p0 ? 1 : g->beta;
    int packed = g->ars == 1 && n > NR;
    for (int i0 = 0; i0 < g->m; i0 += MC) {
        int m = least(MC, g->m - i0);
        const float *a = g->a + i0 * g->ars + p0 * g->acs, *strip = block;
        if (packed) pack_a(m, kc, a, g->acs, panels);
        for (int j = 0, cols; j < n; j += cols) {
            cols = strip_cols(n - j);
            int width = whole(cols);
            float *c = g->c + i0 * g->ldc + j0 + j;
            for (int i = 0; i < m; i += MR, c += MR * g->ldc) {
                int mr = least(MR, m - i);
                const float *rows = packed ? panels + i / MR * (kc * MR + LINE) : a + i * g->ars;
                ptrdiff_t ars = packed ? 1 : g->ars, acs = packed ? MR : g->acs;
                if (cols == width)
                    tiles[width / VL][mr](kc, g->alpha, rows, ars, acs, strip, width, beta, c, g->ldc);
                else
                    tile_edge(mr, cols, kc, g->alpha, rows, ars, acs, strip, width, beta, c, g->ldc, 1);
            }
            strip += (size_t)kc * width;
        }
    }
}

static void gemm_packed(const gemm_args *g) {
    float block[BLOCK] __attribute__((aligned(64)));
    int most = g->ars == 1 ? KC_TURNED : KC, parts = (g->k + most - 1) / most, deep = (g->k + parts - 1) / parts;
    int nc = BLOCK / deep / NR * NR;
    for (int j0 = 0; j0 < g->n; j0 += nc)
        for (int p0 = 0; p0 < g->k; p0 += deep) {
            int n = least(nc, g->n - j0), kc = least(deep, g->k - p0);
            pack_block(kc, n, g->b + p0 * g->brs + j0 * g->bcs, g->brs, g->bcs, block);
            gemm_block(g, p0, kc, j0, n, block);
        }
}

static void prefetch_rows(int rows, int cols, const float *b, ptrdiff_t brs) {
    for (int p = 0; p < rows; p++, b += brs)
        for (int j = 0; j < cols; j += LINE) __builtin_prefetch(b + j, 0, 2);
}

/* Rows of B read where they lie (bcs = 1), whole vectors of columns only. One or two rows take wider tiles, so that
 * enough sums are under way. */
static void gemm_direct(const gemm_args *g) {
    ptrdiff_t values = (ptrdiff_t)g->k * g->n;
    int deep = values <= DIRECT_NEAR ? g->k : DIRECT_DEPTH;
    for (int p0 = 0; p0 < g->k; p0 += deep) {
        int kc = least(deep, g->k - p0), next = least(deep, g->k - p0 - kc);
        const float *b = g->b + p0 * g->brs;
        for (int i = 0; i < g->m; i += MR) {
            int mr = least(MR, g->m - i), cols;
            for (int j = 0; j < g->n; j += cols) {
                cols = mr <= 2 && g->n - j >= WIDE * VL ? WIDE * VL : strip_cols(g->n - j);
                if (i == 0 && values >= DIRECT_FAR) prefetch_rows(next, cols, b + kc * g->brs + j, g->brs);
                tiles[cols / VL][mr](kc, g->alpha, g->a + i * g->ars + p0 * g->acs, g->ars, g->acs, b + j, g->brs,
                                     p0 ? 1 : g->beta, g->c + i * g->ldc + j, g->ldc);
            }
        }
    }
}

/* Few columns of B (k, n), n < VL: turned on the stack, then dot products. */
static void gemm_dots_packed(const gemm_args *g) {
    enum { PART = 1024 };
    float turned[VL * (PART + VL)] __attribute__((aligned(64)));
    for (int p0 = 0, kc; p0 < g->k; p0 += kc) {
        kc = g->k - p0 < PART + VL ? g->k - p0 : PART; /* no part is shorter than a vector */
        for (int p = 0; p < kc; p++)
            for (int j = 0; j < g->n; j++) turned[j * kc + p] = g->b[(p0 + p) * g->brs + j * g->bcs];
        gemm_dots(g->m, g->n, kc, g->alpha, g->a + p0, g->ars, turned, kc, p0 ? 1 : g->beta, g->c, g->ldc);
    }
}

/* C^T (n, m) = B^T A^T, A with its columns in memory order (ars = 1), n < VL */
static void gemm_turned(const gemm_args *g) {
    for (int i = 0, cols; i < g->m; i += cols) {
        cols = g->n <= 2 && g->m - i >= WIDE * VL ? WIDE * VL : least(NR, g->m - i);
        int vectors = cols / VL * VL;
        for (int j = 0; j < g->n; j += MR) {
            int rows = least(MR, g->n - j);
            const float *b = g->b + j * g->bcs;
            float *c = g->c + i * g->ldc + j;
            if (vectors)
                tile_edge(rows, vectors, g->k, g->alpha, b, g->bcs, g->brs, g->a + i, g->acs, g->beta, c, 1, g->ldc);
            for (int q = vectors; q < cols; q++)
                for (int r = 0; r < rows; r++) {
                    float s = 0, *to = c + q * g->ldc + r;
                    for (int p = 0; p < g->k; p++) s += g->a[i + q + p * g->acs] * b[r * g->bcs + p * g->brs];
                    *to = scaled(g->beta, *to) + g->alpha * s;
                }
        }
    }
}

static void gemm(int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, ptrdiff_t lda,
                 const float *b, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
    gemm_args g = {
        m, n, k, alpha, beta, a, b, trans_a ? 1 : lda, trans_a ? lda : 1, trans_b ? 1 : ldb, trans_b ? ldb : 1, ldc, c};
    int rest = n % VL;
    if (k == 0) {
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) c[i * ldc + j] = scaled(beta, c[i * ldc + j]);
    } else if (rest && rest < n && n < 4 * VL && rest <= VL / 2) { /* not a vector for a few columns */
        gemm(trans_a, trans_b, m, n - rest, k, alpha, a, lda, b, ldb, beta, c, ldc);
        gemm(trans_a, trans_b, m, rest, k, alpha, a, lda, b + (n - rest) * g.bcs, ldb, beta, c + n - rest, ldc);
    } else if (!trans_a && trans_b && k >= VL &&
               ((m < DOTS_MOST && m * DOTS_DEPTH <= k && m * k <= DOTS_VALUES) || m <= 2 || n < VL))
        gemm_dots(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    else if (!trans_a && n < VL && k >= VL)
        gemm_dots_packed(&g);
    else if (trans_a && n < VL && m >= VL)
        gemm_turned(&g);
    else if (!trans_b && (k <= THIN || m < DIRECT_ROWS || (m < DIRECT_SHALLOW_ROWS && k <= SHALLOW))) {
        int vectors = n / VL * VL;
        g.n = vectors;
        if (k <= THIN)
            gemm_thin(&g);
        else
            gemm_direct(&g);
        g.n = n - vectors, g.b += vectors, g.c += vectors;
        if (g.n) gemm_packed(&g);
    } else
        gemm_packed(&g);
}

const dn_gemm_kernel CAT(dn_gemm_kernel, DN_ISA) = {gemm,
                                                    .least_rows = VL == 16 ? 64 : 128,
                                                    .least_cols_turned = VL == 16 ? 48 : 144,
                                                    .widen = VL == 16 ? 4 : 1,
                                                    .tile_rows = VL == 16 ? 32 : 128,
                                                    .tile_cols = VL == 16 ? 512 : 144,
                                                    .tile_unit = VL == 16 ? 16 : 48,
                                                    .strip = NR};

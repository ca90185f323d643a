/* C = alpha op(A) op(B) + beta C on one thread, compiled once per instruction set. Three ways:
 *
 *   dots     A (m, k) and B^T (n, k) are both read along k, nothing is packed: few rows, as in a connected forward
 *   tile     MR x NR of C in registers, A(i, p) broadcast, rows of B loaded; op(B) goes through a packed block on the
 *            stack, strip after strip of NR columns, unless it is used too seldom; A^T is packed too
 *   turned   C^T = B^T A^T for a C of fewer columns than a vector has lanes, when A has its rows in the lanes'
 * direction
 *
 * Strips narrower than NR columns are padded with zeros in the packed block, so every element is summed in the same
 * order wherever it stands. The caller (cpu_gemm.c) cuts large products into blocks of which this does one. */
#include "cpu/cpu_kernels.h"
#include "cpu/isa_simd.h"

/* Tiles of MR x NV vectors; BLOCK floats of packed B, which MC rows of A use strip by strip before the next MC.
 *
 * AVX-512, measured on Zen 4 and 5 with 1 MB of L2: a strip (KC, 48) does not fit L1, so tiles go along the rows of C.
 * Narrower vectors, measured on Zen 4 held to them and sized for 32 KB of L1 and 256 KB of L2: a strip (KC, 24) of AVX2
 * stays in L1 while MC rows of A come from L2. There 48 to 96 rows, and 96 to 192 KB of B, made no difference. */
#if VL == 16
enum { MR = 8, NV = 3, WIDE = 8, MC = 16, BLOCK = 48 * 1024, KC_TURNED = 128, DOT_ROWS = 4, DOTS_MOST = 512 };
#elif VL == 8
enum { MR = 4, NV = 3, WIDE = 6, MC = 64, BLOCK = 36 * 1024, KC_TURNED = 256, DOT_ROWS = 3, DOTS_MOST = 48 };
#else
enum { MR = 6, NV = 2, WIDE = 6, MC = 60, BLOCK = 36 * 1024, KC_TURNED = 256, DOT_ROWS = 3, DOTS_MOST = 512 };
#endif
enum { NR = NV * VL, KC = 256, LINE = 16, AHEAD = 8, DOT_COLS = 4 };
/* Up to DOTS_MOST rows, as many as DOTS_DEPTH times fit into k and DOTS_VALUES of A (which every four columns read
 * again from a near cache), dot products are faster than transposing B. */
enum { DOTS_DEPTH = 6, DOTS_VALUES = 1 << 16 };
/* Up to DIRECT_ROWS rows, and up to DIRECT_SHALLOW_ROWS when k is at most SHALLOW, B is not worth copying. Strips of
 * narrow vectors are but a line and a half wide: of a B of more than DIRECT_NEAR values they read DIRECT_DEPTH rows at
 * a time, which the processor can follow as so many streams, and from DIRECT_FAR values on they ask for the next. */
#if VL == 16
enum { DIRECT_ROWS = 24, DIRECT_SHALLOW_ROWS = 72, DIRECT_DEPTH = 1 << 30 };
#else
enum { DIRECT_ROWS = 24, DIRECT_SHALLOW_ROWS = 24, DIRECT_DEPTH = 16 };
#endif
enum { SHALLOW = 1024, DIRECT_NEAR = 1 << 16, DIRECT_FAR = 1 << 21 };

typedef struct gemm_args {
    int m, n, k;
    float alpha, beta;
    const float *a, *b;
    ptrdiff_t ars, acs, brs, bcs, ldc; /* A(i, p) = a[i ars + p acs], B(p, j) = b[p brs + j bcs] */
    float *c;
} gemm_args;

/* ---- tiles ---- */

#define TILE_ARGS                                                                                                \
    int k, float alpha, const float *a, ptrdiff_t ars, ptrdiff_t acs, const float *b, ptrdiff_t ldb, float beta, \
        float *c, ptrdiff_t ldc

/* C (mr, nv VL) = beta C + alpha A B, rows of B `ldb` apart. The unroll pragmas put acc into registers. */
INLINE void tile(const int mr, const int nv, TILE_ARGS) {
    vec acc[MR][WIDE];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = (vec){0};
    if (k >= 16) {
        const float *to = c;
        UNROLL for (int i = 0; i < mr; i++, to += ldc) UNROLL for (int j = 0; j < nv * VL; j += 16)
            __builtin_prefetch(to + j, 1);
    }
    for (int p = 0; p < k; p++) {
        vec row[WIDE];
        UNROLL for (int j = 0; j < nv; j++) row[j] = load(b + p * ldb + j * VL);
        UNROLL for (int i = 0; i < mr; i++) {
            vec x = splat(a[i * ars + p * acs]);
            UNROLL for (int j = 0; j < nv; j++) acc[i][j] += x * row[j];
        }
    }
    if (alpha != 1) UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] *= alpha;
    if (beta == 0)
        UNROLL for (int i = 0; i < mr; i++, c += ldc) UNROLL for (int j = 0; j < nv; j++) store(c + j * VL, acc[i][j]);
    else
        UNROLL for (int i = 0; i < mr; i++, c += ldc) UNROLL for (int j = 0; j < nv; j++)
            store(c + j * VL, beta * load(c + j * VL) + acc[i][j]);
}

/* One function for each shape: they do not share registers, or the compiler spills. */
#define TILE(r, v)                                                    \
    static __attribute__((noinline)) void tile_##r##_##v(TILE_ARGS) { \
        tile(r, v, k, alpha, a, ars, acs, b, ldb, beta, c, ldc);      \
    }
#define ENTRY(r, v) [v][r] = tile_##r##_##v,
#define UP_TO_4(f, v) f(1, v) f(2, v) f(3, v) f(4, v)
#define UP_TO_8(f, v) UP_TO_4(f, v) f(5, v) f(6, v) f(7, v) f(8, v)
#if VL == 16
#define TILES(f) UP_TO_8(f, 1) UP_TO_8(f, 2) UP_TO_8(f, 3) f(1, 8) f(2, 8)
#elif VL == 8
#define TILES(f) UP_TO_4(f, 1) UP_TO_4(f, 2) UP_TO_4(f, 3) f(1, 6) f(2, 6)
#else
#define TILES(f) UP_TO_4(f, 1) f(5, 1) f(6, 1) UP_TO_4(f, 2) f(5, 2) f(6, 2) f(1, 6) f(2, 6)
#endif
TILES(TILE)
static void (*const tiles[WIDE + 1][MR + 1])(TILE_ARGS) = {TILES(ENTRY)};

/* beta c, and not NaN when beta is 0 and c was never set */
typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));
INLINE float scaled(float beta, float c) { return beta == 0 ? 0 : beta * c; }
static inline int least(int a, int b) { return a < b ? a : b; }
static inline int whole(int n) { return (n + VL - 1) / VL * VL; } /* n rounded up to vectors */

/* The m <= MR rows of a strip of n <= NR columns, n not a multiple of VL: through a buffer. cs 1 and rs the row step of
 * C, or the other way about to write C turned. */
static void tile_edge(int m, int n, int k, float alpha, const float *a, ptrdiff_t ars, ptrdiff_t acs, const float *b,
                      ptrdiff_t ldb, float beta, float *c, ptrdiff_t rs, ptrdiff_t cs) {
    float out[MR * NR > 2 * WIDE * VL ? MR * NR : 2 * WIDE * VL] __attribute__((aligned(64)));
    int width = whole(n);
    tiles[width / VL][m](k, alpha, a, ars, acs, b, ldb, 0, out, width);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float *to = c + i * rs + j * cs;
            *to = scaled(beta, *to) + out[i * width + j];
        }
}

/* ---- packing: strip after strip, each (kc, width) with width NR or, in the last, n rounded up to vectors ---- */

/* block = rows of B, B(p, j) = b[p brs + j]; row by row, as they lie in memory */
static void pack_rows(int kc, int n, const float *b, ptrdiff_t brs, float *block) {
    for (int p = 0; p < kc; p++, b += brs) {
        float *strip = block;
        for (int j = 0; j < n; j += NR) {
            int cols = least(NR, n - j), width = whole(cols), v = 0;
            float *to = strip + (size_t)p * width;
            for (; v + VL <= cols; v += VL) store(to + v, load(b + j + v));
            if (v < width) {
                vec rest = {0};
                memcpy(&rest, b + j + v, (size_t)(cols - v) * sizeof *b);
                store(to + v, rest);
            }
            strip += (size_t)kc * width;
        }
    }
}

/* a strip from B^T: B(p, j) = b[j bcs + p], by transposes of VL x VL */
static void pack_columns(int kc, int n, int width, const float *b, ptrdiff_t bcs, float *panel) {
    for (int j = 0; j < width; j += VL) {
        int rows = least(VL, n - j), p = 0;
        const float *from = b + j * bcs;
        if (rows == VL)
            for (; p + VL <= kc; p += VL) {
                vec v[VL];
                for (int r = 0; r < VL; r++) v[r] = load(from + r * bcs + p);
                transpose(v);
                for (int r = 0; r < VL; r++) store(panel + (p + r) * width + j, v[r]);
            }
        for (; p < kc; p++) {
            for (int r = 0; r < rows; r++) panel[p * width + j + r] = from[r * bcs + p];
            for (int r = rows; r < VL; r++) panel[p * width + j + r] = 0;
        }
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
    for (int j = 0; j < n; j += NR) {
        int cols = least(NR, n - j), width = whole(cols);
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
        if (p + AHEAD < kc)
            for (int i = 0; i < m; i += LINE) __builtin_prefetch(a + AHEAD * acs + i);
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
        for (int j = 0; j < n; j += NR) {
            int cols = least(NR, n - j), width = whole(cols);
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
                cols = mr <= 2 && g->n - j >= WIDE * VL ? WIDE * VL : least(NR, g->n - j);
                if (i == 0 && values >= DIRECT_FAR) prefetch_rows(next, cols, b + kc * g->brs + j, g->brs);
                tiles[cols / VL][mr](kc, g->alpha, g->a + i * g->ars + p0 * g->acs, g->ars, g->acs, b + j, g->brs,
                                     p0 ? 1 : g->beta, g->c + i * g->ldc + j, g->ldc);
            }
        }
    }
}

/* ---- dot products ---- */

/* x with the lanes kept that `keep` has set */
INLINE vec masked(vec x, ivec keep) { return (vec)((ivec)x & keep); }

#define DOTS_ARGS                                                                                           \
    int k, float alpha, const float *a, ptrdiff_t lda, const float *b, ptrdiff_t ldb, float beta, float *c, \
        ptrdiff_t ldc

/* C (rows, cols) = beta C + alpha A B^T; A (rows, k), B (cols, k), k >= VL */
INLINE void dots(const int rows, const int cols, DOTS_ARGS) {
    enum { MOST = 16, SIDE = 8 };
    vec acc[MOST], x[SIDE];
    UNROLL for (int i = 0; i < MOST; i++) acc[i] = (vec){0};
    int p = 0;
    for (; p + VL <= k; p += VL) {
        UNROLL for (int i = 0; i < rows; i++) x[i] = load(a + i * lda + p);
        UNROLL for (int j = 0; j < cols; j++) {
            vec y = load(b + j * ldb + p);
            UNROLL for (int i = 0; i < rows; i++) acc[i * cols + j] += x[i] * y;
        }
    }
    if (p < k) { /* the last VL again, without those that are counted */
        ivec keep = (ivec){LANES(LANE, 0)} >= VL - (k - p);
        UNROLL for (int i = 0; i < rows; i++) x[i] = masked(load(a + i * lda + k - VL), keep);
        UNROLL for (int j = 0; j < cols; j++) {
            vec y = masked(load(b + j * ldb + k - VL), keep);
            UNROLL for (int i = 0; i < rows; i++) acc[i * cols + j] += x[i] * y;
        }
    }
    float out[MOST] __attribute__((aligned(64)));
    UNROLL for (int g = 0; g < rows * cols; g += VL) store(out + g, alpha * sums(acc + g));
    for (int i = 0; i < rows; i++) {
        float *to = c + i * ldc;
        if (cols % 4 == 0)
            for (int j = 0; j < cols; j += 4) {
                vec4 s = *(const vec4 *)(out + i * cols + j);
                if (beta != 0) s += beta * *(const vec4 *)(to + j);
                *(vec4 *)(to + j) = s;
            }
        else
            for (int j = 0; j < cols; j++) to[j] = scaled(beta, to[j]) + out[i * cols + j];
    }
}

#define DOTS(r, q)                                                    \
    static __attribute__((noinline)) void dots_##r##_##q(DOTS_ARGS) { \
        dots(r, q, k, alpha, a, lda, b, ldb, beta, c, ldc);           \
    }
#define DOTS_ENTRY(r, q) [r][q] = dots_##r##_##q,
#define ALL_DOTS(f) UP_TO_4(f, 1) UP_TO_4(f, 2) UP_TO_4(f, 3) UP_TO_4(f, 4) f(6, 2) f(8, 2) f(2, 8) f(1, 8)
ALL_DOTS(DOTS)
static void (*const dot_tiles[9][9])(DOTS_ARGS) = {ALL_DOTS(DOTS_ENTRY)};

static void gemm_dots(int m, int n, int k, float alpha, const float *a, ptrdiff_t lda, const float *b, ptrdiff_t ldb,
                      float beta, float *c, ptrdiff_t ldc) {
    int wide = m <= 2 ? 8 : DOT_COLS;
    for (int j = 0; j < n;) {
        int cols = n - j >= wide ? wide : least(DOT_COLS, n - j), tall = cols == 2 ? 2 * DOT_ROWS : DOT_ROWS;
        for (int i = 0; i < m;) {
            int rows = m - i >= tall ? tall : least(DOT_ROWS, m - i);
            dot_tiles[rows][cols](k, alpha, a + i * lda, lda, b + j * ldb, ldb, beta, c + i * ldc + j, ldc);
            i += rows;
        }
        j += cols;
    }
}

/* Few columns of B (k, n), n < VL: turned on the stack, then dot products. */
static void gemm_dots_packed(const gemm_args *g) {
    enum { PART = 1024 };
    float turned[VL * PART] __attribute__((aligned(64)));
    for (int p0 = 0; p0 < g->k; p0 += PART) {
        int kc = least(PART, g->k - p0);
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
    else if (!trans_b && (m < DIRECT_ROWS || (m < DIRECT_SHALLOW_ROWS && k <= SHALLOW))) {
        int vectors = n / VL * VL;
        g.n = vectors;
        gemm_direct(&g);
        g.n = n - vectors, g.b += vectors, g.c += vectors;
        if (g.n) gemm_packed(&g);
    } else
        gemm_packed(&g);
}

#if VL == 16
const dn_gemm_kernel CAT(dn_gemm_kernel, DN_ISA) = {
    gemm, .least_rows = 64, .least_cols_turned = 48, .widen = 4, .tile_rows = 32, .tile_cols = 512, .tile_unit = 16};
#else
const dn_gemm_kernel CAT(dn_gemm_kernel, DN_ISA) = {
    gemm, .least_rows = 128, .least_cols_turned = 144, .widen = 1, .tile_rows = 128, .tile_cols = 144, .tile_unit = 48};
#endif

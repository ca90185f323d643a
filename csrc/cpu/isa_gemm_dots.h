/* C = beta C + alpha A B^T by dot products, for isa_gemm.c: rows of A and rows of B are both read along k, nothing is
 * packed. */
#ifndef DN_ISA_GEMM_DOTS_H
#define DN_ISA_GEMM_DOTS_H
#include "cpu/isa_gemm_tiles.h"

/* Up to DOTS_MOST rows, as many as DOTS_DEPTH times fit into k and DOTS_VALUES of A (which every four columns read
 * again from a near cache, of narrow vectors one of 256 KB), dot products are faster than transposing B. */
enum { DOTS_DEPTH = 6, DOTS_VALUES = VL == 8 ? 40 * 1024 : 1 << 16 };

/* x with the lanes kept that `keep` has set */
INLINE vec masked(vec x, ivec keep) { return (vec)((ivec)x & keep); }

#define DOTS_ARGS                                                                                           \
    int k, float alpha, const float *a, ptrdiff_t lda, const float *b, ptrdiff_t ldb, float beta, float *c, \
        ptrdiff_t ldc

/* acc += rows of A times rows of B, one vector of each. What more products need stays in registers, the other side
 * passes through one. */
INLINE void dots_step(const int rows, const int cols, const float *a, ptrdiff_t lda, const float *b, ptrdiff_t ldb,
                      ivec keep, vec *acc) {
    vec held[8];
    const int across = cols >= rows, few = across ? rows : cols, many = across ? cols : rows;
    UNROLL for (int i = 0; i < few; i++) {
        held[i] = masked(load(across ? a + i * lda : b + i * ldb), keep);
        if (many > 1) IN_REGISTER(held[i]);
    }
    UNROLL for (int j = 0; j < many; j++) {
        vec next = masked(load(across ? b + j * ldb : a + j * lda), keep);
        if (few > 1) IN_REGISTER(next);
        UNROLL for (int i = 0; i < few; i++) acc[across ? i * cols + j : j * cols + i] += held[i] * next;
    }
}

/* C (rows, cols) = beta C + alpha A B^T; A (rows, k), B (cols, k), k >= VL. Every sum is taken in `chains` parts, 1 or
 * CHAINS: a processor begins a sum's next product only when the last one is added. */
enum { CHAINS = 4 };
INLINE void dots(const int rows, const int cols, const int chains, DOTS_ARGS) {
    enum { MOST = 16 };
    const int n = rows * cols;
    vec acc[MOST];
    UNROLL for (int i = 0; i < MOST; i++) acc[i] = (vec){0};
    int p = 0;
    for (; p + chains * VL <= k; p += chains * VL)
        UNROLL for (int q = 0; q < chains; q++)
            dots_step(rows, cols, a + p + q * VL, lda, b + p + q * VL, ldb, (ivec){0} - 1, acc + q * n);
    if (chains == CHAINS) {
        for (; p + VL <= k; p += VL) dots_step(rows, cols, a + p, lda, b + p, ldb, (ivec){0} - 1, acc);
        UNROLL for (int i = 0; i < n; i++) acc[i] = (acc[i] + acc[n + i]) + (acc[2 * n + i] + acc[3 * n + i]);
        UNROLL for (int i = n; i < chains * n; i++) acc[i] = (vec){0};
    }
    if (p < k) /* the last VL again, without those that are counted */
        dots_step(rows, cols, a + k - VL, lda, b + k - VL, ldb, (ivec){LANES(LANE, 0)} >= VL - (k - p), acc);
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
        dots(r, q, 1, k, alpha, a, lda, b, ldb, beta, c, ldc);        \
    }
#define DOTS_FEW(r, q)                                               \
    static __attribute__((noinline)) void few_##r##_##q(DOTS_ARGS) { \
        dots(r, q, CHAINS, k, alpha, a, lda, b, ldb, beta, c, ldc);  \
    }
#define DOTS_ENTRY(r, q) [r][q] = dots_##r##_##q,
#define FEW_ENTRY(r, q) [r][q] = few_##r##_##q,
#define ALL_DOTS(f) UP_TO_4(f, 1) UP_TO_4(f, 2) UP_TO_4(f, 3) UP_TO_4(f, 4) f(6, 2) f(8, 2) f(2, 8) f(1, 8)
#define ALL_FEW(f) f(1, 1) f(1, 2) f(1, 3) f(2, 1) f(3, 1)
ALL_DOTS(DOTS)
ALL_FEW(DOTS_FEW)
static void (*const dot_tiles[9][9])(DOTS_ARGS) = {ALL_DOTS(DOTS_ENTRY)};
static void (*const few_dots[CHAINS][CHAINS])(DOTS_ARGS) = {ALL_FEW(FEW_ENTRY)}; /* a whole C of so few values */

static void gemm_dots(int m, int n, int k, float alpha, const float *a, ptrdiff_t lda, const float *b, ptrdiff_t ldb,
                      float beta, float *c, ptrdiff_t ldc) {
    if (m < CHAINS && n < CHAINS && m * n < CHAINS) {
        few_dots[m][n](k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
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
#endif

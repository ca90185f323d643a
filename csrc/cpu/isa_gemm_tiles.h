/* Tiles of a matrix product in registers, for isa_gemm.c: A(i, p) broadcast, rows of B loaded. */
#ifndef DN_ISA_GEMM_TILES_H
#define DN_ISA_GEMM_TILES_H
#include "cpu/isa_simd.h"
#if VL == 8
#include "cpu/isa_tile_avx2.h"
#endif

/* Tiles of MR x NV vectors; BLOCK floats of packed B, which MC rows of A use strip by strip before the next MC.
 *
 * AVX-512, measured on Zen 4 and 5 with 1 MB of L2: a strip (KC, 48) does not fit L1, so tiles go along the rows of C.
 * Narrower vectors, measured on Zen 4 held to them and sized for 32 KB of L1 and 256 KB of L2: a strip (KC, 24) of AVX2
 * stays in L1 while MC rows of A come from L2. There 48 to 96 rows, and 96 to 192 KB of B, made no difference. */
#if VL == 16
enum { MR = 8, NV = 3, WIDE = 8, MC = 16, BLOCK = 48 * 1024, KC_TURNED = 128, DOT_ROWS = 4, DOTS_MOST = 512 };
#elif VL == 8
enum { MR = 4, NV = 3, WIDE = 6, MC = 64, BLOCK = 36 * 1024, KC_TURNED = 256, DOT_ROWS = 3, DOTS_MOST = 72 };
#else
enum { MR = 6, NV = 2, WIDE = 6, MC = 60, BLOCK = 36 * 1024, KC_TURNED = 256, DOT_ROWS = 3, DOTS_MOST = 512 };
#endif
enum { NR = NV * VL, KC = 256, LINE = 16, AHEAD = 8, DOT_COLS = 4 };
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
#if VL == 8
    if (mr == MR && nv == NV && ldb == NR && (acs == 1 || (acs == MR && ars == 1))) {
        vec sums[MR * NV];
        UNROLL for (int i = 0; i < MR * NV; i++) sums[i] = (vec){0};
        if (acs == 1)
            for (; k >= 4; k -= 4, a += 4, b += 4 * NR) tile_add_4_rows(a, ars * (ptrdiff_t)sizeof *a, b, sums);
        else
            for (; k >= 4; k -= 4, a += 4 * MR, b += 4 * NR) tile_add_4(a, b, sums);
        UNROLL for (int i = 0; i < MR * NV; i++) acc[i / NV][i % NV] = sums[i];
    }
#endif
    for (int p = 0; p < k; p++, a += acs, b += ldb) {
        if (nv <= NV) { /* more rows than vectors: these are held, and every x passes through a register */
            vec row[NV];
            UNROLL for (int j = 0; j < nv; j++) row[j] = load(b + j * VL);
            if (mr > 1) UNROLL for (int j = 0; j < nv; j++) IN_REGISTER(row[j]);
            UNROLL for (int i = 0; i < mr; i++) {
                vec x = splat(a[i * ars]);
                UNROLL for (int j = 0; j < nv; j++) acc[i][j] += x * row[j];
            }
        } else { /* or the other way about */
            vec x[MR];
            UNROLL for (int i = 0; i < mr; i++) x[i] = splat(a[i * ars]);
            UNROLL for (int j = 0; j < nv; j++) {
                vec row = load(b + j * VL);
                if (mr > 1) IN_REGISTER(row);
                UNROLL for (int i = 0; i < mr; i++) acc[i][j] += x[i] * row;
            }
        }
    }
    if (alpha != 1) UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] *= alpha;
    if (beta == 0)
        UNROLL for (int i = 0; i < mr; i++, c += ldc) UNROLL for (int j = 0; j < nv; j++) store(c + j * VL, acc[i][j]);
    else
        UNROLL for (int i = 0; i < mr; i++, c += ldc) UNROLL for (int j = 0; j < nv; j++)
            store(c + j * VL, beta * load(c + j * VL) + acc[i][j]);
}

#if VL == 16
/* The same for half a vector: where a processor computes 512 bits in two halves, zeros would take as long as values. */
typedef float half __attribute__((vector_size(VL * 2)));
typedef float half_u __attribute__((vector_size(VL * 2), aligned(4), may_alias));
INLINE void tile_half(const int mr, TILE_ARGS) {
    half acc[MR];
    UNROLL for (int i = 0; i < mr; i++) acc[i] = (half){0};
    for (int p = 0; p < k; p++, a += acs, b += ldb) {
        half row = *(const half_u *)b;
        UNROLL for (int i = 0; i < mr; i++) acc[i] += a[i * ars] * row;
    }
    if (alpha != 1) UNROLL for (int i = 0; i < mr; i++) acc[i] *= alpha;
    UNROLL for (int i = 0; i < mr; i++, c += ldc) {
        half_u *to = (half_u *)c;
        if (beta != 0) acc[i] += beta * *to;
        *to = acc[i];
    }
}
#define TILE_HALF(r, v)                                               \
    static __attribute__((noinline)) void tile_##r##_##v(TILE_ARGS) { \
        tile_half(r, k, alpha, a, ars, acs, b, ldb, beta, c, ldc);    \
    }
#endif

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
#if VL == 16
UP_TO_8(TILE_HALF, 0)
static void (*const tiles[WIDE + 1][MR + 1])(TILE_ARGS) = {TILES(ENTRY) UP_TO_8(ENTRY, 0)}; /* 0: half a vector */
#else
static void (*const tiles[WIDE + 1][MR + 1])(TILE_ARGS) = {TILES(ENTRY)};
#endif

/* beta c, and not NaN when beta is 0 and c was never set */
typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));
INLINE float scaled(float beta, float c) { return beta == 0 ? 0 : beta * c; }
static inline int least(int a, int b) { return a < b ? a : b; }
/* n rounded up to vectors, or to half of one */
static inline int whole(int n) { return VL == 16 && n <= VL / 2 ? VL / 2 : (n + VL - 1) / VL * VL; }
/* Columns of the next strip, of `left` ones: a rest that fits into half a vector is a strip of its own; of four narrow
 * vectors two and two are faster than three and one, whose sums wait for each other. */
static inline int strip_cols(int left) {
    int rest = left % VL;
    if (VL == 8 && left > NR && left <= NR + VL) return 2 * VL;
    if (left >= NR) return NR;
    return VL == 16 && left > VL && rest && rest <= VL / 2 ? left - rest : left;
}

INLINE void edge_row(int n, float beta, const float *restrict out, float *restrict c) {
    for (int j = 0; j < n; j++) c[j] = scaled(beta, c[j]) + out[j];
}

/* The m <= MR rows of a strip of n <= NR columns, n not a multiple of VL: through a buffer. cs 1 and rs the row step of
 * C, or the other way about to write C turned. */
static void tile_edge(int m, int n, int k, float alpha, const float *a, ptrdiff_t ars, ptrdiff_t acs, const float *b,
                      ptrdiff_t ldb, float beta, float *c, ptrdiff_t rs, ptrdiff_t cs) {
    float out[MR * NR > 2 * WIDE * VL ? MR * NR : 2 * WIDE * VL] __attribute__((aligned(64)));
    int width = whole(n);
    tiles[width / VL][m](k, alpha, a, ars, acs, b, ldb, 0, out, width);
    for (int i = 0; i < m; i++)
        if (cs == 1)
            edge_row(n, beta, out + i * width, c + i * rs);
        else
            for (int j = 0; j < n; j++) {
                float *to = c + i * rs + j * cs;
                *to = scaled(beta, *to) + out[i * width + j];
            }
}
#endif

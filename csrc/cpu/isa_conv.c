/* Kernels of convolutions in GCC vector extensions, compiled with -DDN_ISA=base, avx2, avx512; everything is static
 * except the table. The product's left side is gathered on the fly through two tables of offsets: a pixel of an image
 * and a tap of a kernel add up to an address, whichever of them is summed over, so one kernel serves all three passes
 * of a convolution. */
#include "cpu/cpu_conv_kernels.h"
#include <string.h>

#ifndef DN_ISA
#define DN_ISA base
#endif
#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)
#define STR2(a) #a
#define STR(a) STR2(a)
#if defined(__AVX512F__)
enum { VL = 16, MR = 14 }; /* 28 of 32 registers accumulate */
#else
#if defined(__AVX2__)
enum { VL = 8, MR = 6 }; /* 12 of 16 registers accumulate */
#else
enum { VL = 4, MR = 6 };
#endif
#endif
enum { NV = 2, NR = NV * VL, KC = 512 };
typedef float vec __attribute__((vector_size(VL * 4)));
typedef float vec_u __attribute__((vector_size(VL * 4), aligned(4)));
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE void tile(const int mr, const int nv, int k, const float *a, const int *rows, const int *cols, const float *b,
                 int add, float *c, const int *to) {
    vec acc[MR][NV];
    const float *from[MR];
    UNROLL for (int i = 0; i < mr; i++) {
        from[i] = a + rows[i];
        UNROLL for (int j = 0; j < nv; j++) acc[i][j] = (vec){0};
    }
    for (int p = 0; p < k; p++, b += NR) {
        ptrdiff_t at = cols[p];
        vec row[NV];
        UNROLL for (int j = 0; j < nv; j++) row[j] = *(const vec *)(b + j * VL);
        UNROLL for (int i = 0; i < mr; i++) {
            vec x = from[i][at] - (vec){0};
            UNROLL for (int j = 0; j < nv; j++) acc[i][j] += x * row[j];
        }
    }
    UNROLL for (int i = 0; i < mr; i++) {
        vec *out = (vec *)(c + (ptrdiff_t)(to ? to[i] : i) * NR);
        UNROLL for (int j = 0; j < nv; j++) out[j] = add ? out[j] + acc[i][j] : acc[i][j];
    }
}

typedef void (*tile_fn)(int k, const float *a, const int *rows, const int *cols, const float *b, int add, float *c,
                        const int *to);
#define TILE(mr, nv)                                                                                               \
    static void tile_##mr##_##nv(int k, const float *a, const int *rows, const int *cols, const float *b, int add, \
                                 float *c, const int *to) {                                                        \
        tile(mr, nv, k, a, rows, cols, b, add, c, to);                                                             \
    }
#define TILES(mr) TILE(mr, 1) TILE(mr, 2)
#define PAIR(mr) {tile_##mr##_1, tile_##mr##_2}
/* clang-format off */
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
#if defined(__AVX512F__)
TILES(7) TILES(8) TILES(9) TILES(10) TILES(11) TILES(12) TILES(13) TILES(14)
#endif
static const tile_fn tiles[MR][NV] = {
    PAIR(1), PAIR(2), PAIR(3), PAIR(4), PAIR(5), PAIR(6),
#if defined(__AVX512F__)
    PAIR(7), PAIR(8), PAIR(9), PAIR(10), PAIR(11), PAIR(12), PAIR(13), PAIR(14),
#endif
};
/* clang-format on */

/* Tiles of nearly equal height rather than full ones and a remainder. */
static void multiply(int m, int n, int k, const float *a, const int *rows, const int *cols, const float *b, int add,
                     float *c, const int *to) {
    int nv = (n + VL - 1) / VL, n_tiles = (m + MR - 1) / MR, n_blocks = k > KC ? (k + KC - 1) / KC : 1;
    for (int q = 0; q < n_blocks; q++) {
        int p = (int)((int64_t)k * q / n_blocks), kc = (int)((int64_t)k * (q + 1) / n_blocks) - p;
        for (int t = 0; t < n_tiles; t++) {
            int i = (int)((int64_t)m * t / n_tiles), mr = (int)((int64_t)m * (t + 1) / n_tiles) - i;
            tiles[mr - 1][nv - 1](kc, a, rows + i, cols + p, b + (ptrdiff_t)p * NR, add || q,
                                  to ? c : c + (ptrdiff_t)i * NR, to ? to + i : NULL);
        }
    }
}

/* ---- VL x VL blocks transposed in registers ---- */

#if defined(__AVX512F__)
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX2__)
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int vec_i __attribute__((vector_size(VL * 4)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vec_i){__VA_ARGS__})
#endif

/* Interleaving the first half of the rows with the second moves one bit of the row number into the column number; after
 * log2(VL) rounds rows and columns have changed places. */
INLINE void transpose(vec *r) {
    UNROLL for (int round = 1; round < VL; round *= 2) {
        vec next[VL];
        UNROLL for (int i = 0; i < VL / 2; i++) {
            next[2 * i] = SHUFFLE(r[i], r[i + VL / 2], LOW);
            next[2 * i + 1] = SHUFFLE(r[i], r[i + VL / 2], HIGH);
        }
        UNROLL for (int i = 0; i < VL; i++) r[i] = next[i];
    }
}

static void to_panel(int n, int count, const float *x, ptrdiff_t ldx, const int *rows, float *panel) {
    for (int i = 0; i < n; i += VL) {
        int have = n - i < VL ? n - i : VL;
        const float *from = x + i * ldx;
        if (count < VL) {
            for (int j = 0; j < count; j++)
                for (int q = 0; q < VL; q++)
                    panel[(ptrdiff_t)(rows ? rows[j] : j) * NR + i + q] = q < have ? from[q * ldx + j] : 0;
            continue;
        }
        for (int done = 0; done < count; done += VL) {
            int j = done + VL <= count ? done : count - VL; /* the last block overlaps */
            vec r[VL];
            if (have == VL) {
                UNROLL for (int q = 0; q < VL; q++) r[q] = *(const vec_u *)(from + q * ldx + j);
            } else {
                for (int q = 0; q < VL; q++) r[q] = q < have ? *(const vec_u *)(from + q * ldx + j) : (vec){0};
            }
            transpose(r);
            UNROLL for (int q = 0; q < VL; q++) * (vec *)(panel + (ptrdiff_t)(rows ? rows[j + q] : j + q) * NR + i) =
                r[q];
        }
    }
}

static void from_panel(int n, int count, const float *panel, int add, float *y, ptrdiff_t ldy) {
    for (int i = 0; i < n; i += VL) {
        int have = n - i < VL ? n - i : VL;
        for (int j = 0; j < count; j += VL) {
            vec r[VL];
            UNROLL for (int q = 0; q < VL; q++) r[q] = *(const vec *)(panel + (ptrdiff_t)(j + q) * NR + i);
            transpose(r);
            float *to = y + i * ldy + j;
            if (j + VL <= count) {
                for (int q = 0; q < have; q++, to += ldy) *(vec_u *)to = add ? *(vec_u *)to + r[q] : r[q];
            } else {
                for (int q = 0; q < have; q++, to += ldy)
                    for (int e = 0; e < count - j; e++) to[e] = add ? to[e] + r[q][e] : r[q][e];
            }
        }
    }
}

/* ---- results with few channels ---- */

INLINE void narrow_tile(const int mr, const int nv, int k, const float *w, ptrdiff_t ldw, const float *x,
                        const int *cols, float *y, ptrdiff_t ldy) {
    vec acc[3][4];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = (vec){0};
    for (int p = 0; p < k; p++) {
        const float *from = x + cols[p];
        vec row[4];
        UNROLL for (int j = 0; j < nv; j++) row[j] = *(const vec_u *)(from + j * VL);
        UNROLL for (int i = 0; i < mr; i++) {
            vec a = w[i * ldw + p] - (vec){0};
            UNROLL for (int j = 0; j < nv; j++) acc[i][j] += a * row[j];
        }
    }
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) * (vec_u *)(y + i * ldy + j * VL) =
        acc[i][j];
}

static void narrow(int m, int count, int k, const float *w, ptrdiff_t ldw, const float *x, const int *cols, float *y,
                   ptrdiff_t ldy) {
    for (int i = 0, mr; i < m; i += mr, w += mr * ldw, y += mr * ldy) {
        mr = m - i < 3 ? m - i : 3;
        for (int j = 0; j < count;) {
            int four = count - j > 3 * VL;
            switch (mr * 2 + four) {
            case 2: narrow_tile(1, 1, k, w, ldw, x + j, cols, y + j, ldy); break;
            case 3: narrow_tile(1, 4, k, w, ldw, x + j, cols, y + j, ldy); break;
            case 4: narrow_tile(2, 1, k, w, ldw, x + j, cols, y + j, ldy); break;
            case 5: narrow_tile(2, 4, k, w, ldw, x + j, cols, y + j, ldy); break;
            case 6: narrow_tile(3, 1, k, w, ldw, x + j, cols, y + j, ldy); break;
            default: narrow_tile(3, 4, k, w, ldw, x + j, cols, y + j, ldy); break;
            }
            j += four ? 4 * VL : VL;
        }
    }
}

INLINE float sum(vec v) {
    float s = 0;
    for (int i = 0; i < VL; i++) s += v[i];
    return s;
}

INLINE void dots_tile(const int mr, const int nr, int count, const float *x, const int *rows, const float *y,
                      ptrdiff_t ldy, int add, float *panel) {
    vec acc[4][2];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) acc[i][j] = (vec){0};
    for (int q = 0; q < count; q += VL) {
        vec b[2];
        UNROLL for (int j = 0; j < nr; j++) b[j] = *(const vec_u *)(y + j * ldy + q);
        UNROLL for (int i = 0; i < mr; i++) {
            vec a = *(const vec_u *)(x + rows[i] + q);
            UNROLL for (int j = 0; j < nr; j++) acc[i][j] += a * b[j];
        }
    }
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) {
        float *to = panel + i * NR + j;
        *to = (add ? *to : 0) + sum(acc[i][j]);
    }
}

static void dots(int m, int n, int count, const float *x, const int *rows, const float *y, ptrdiff_t ldy, int add,
                 float *panel) {
    for (int j = 0, nr; j < n; j += nr) {
        nr = n - j < 2 ? n - j : 2;
        for (int i = 0, mr; i < m; i += mr) {
            mr = m - i < 4 ? 1 : 4;
            const float *to = y + j * ldy;
            float *out = panel + i * NR + j;
            switch (mr * 2 + nr) {
            case 3: dots_tile(1, 1, count, x, rows + i, to, ldy, add, out); break;
            case 4: dots_tile(1, 2, count, x, rows + i, to, ldy, add, out); break;
            case 9: dots_tile(4, 1, count, x, rows + i, to, ldy, add, out); break;
            default: dots_tile(4, 2, count, x, rows + i, to, ldy, add, out); break;
            }
        }
    }
}

/* Whole parts, and a last one that overlaps: lines are short, so the number of steps is what counts. */
INLINE void copy_parts(const int part, int lines, int n, const float *x, ptrdiff_t ldx, float *y, ptrdiff_t ldy) {
    for (int r = 0; r < lines; r++, x += ldx, y += ldy) {
        for (int i = 0; i + part < n; i += part) memcpy(y + i, x + i, (size_t)part * sizeof *y);
        memcpy(y + n - part, x + n - part, (size_t)part * sizeof *y);
    }
}

static void copy_lines(int lines, int n, const float *x, ptrdiff_t ldx, float *y, ptrdiff_t ldy) {
    if (n >= 16 && VL == 16)
        copy_parts(16, lines, n, x, ldx, y, ldy);
    else if (n >= 8)
        copy_parts(8, lines, n, x, ldx, y, ldy);
    else if (n >= 4)
        copy_parts(4, lines, n, x, ldx, y, ldy);
    else
        copy_parts(1, lines, n, x, ldx, y, ldy);
}

/* ---- max pooling ---- */

typedef float four __attribute__((vector_size(16)));
typedef float four_u __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t four_i __attribute__((vector_size(16)));
typedef int32_t four_iu __attribute__((vector_size(16), aligned(4), may_alias));
enum { FOUR = 4 };

/* Values `stride` apart, 1 or 2; reads none beyond the last. */
INLINE four every(const int stride, const float *x) {
    four a = *(const four_u *)x;
    if (stride == 1) return a;
    four b = *(const four_u *)(x + 3);
#if defined(__clang__)
    return __builtin_shufflevector(a, b, 0, 2, 5, 7);
#else
    return __builtin_shuffle(a, b, (four_i){0, 2, 5, 7});
#endif
}
INLINE four_i either(four_i mask, four_i yes, four_i no) { return (mask & yes) | (~mask & no); }

/* Four windows side by side. A comparison with NaN is false, so a window that begins with NaN keeps it. */
INLINE void max_four(const int stride, int size, ptrdiff_t width, const float *x, int at, float *y, int *index) {
    four_i here = at + (four_i){0, 1, 2, 3} * stride, place = here;
    four best = every(stride, x);
    for (int i = 0; i < size; i++, x += width, here += (int32_t)width)
        for (int k = !i; k < size; k++) {
            four v = every(stride, x + k);
            four_i better = v > best;
            best = (four)either(better, (four_i)v, (four_i)best), place = either(better, here + k, place);
        }
    *(four_u *)y = best, *(four_iu *)index = place;
}

static void max_one(int size, ptrdiff_t width, const float *x, int at, float *y, int *index) {
    float best = x[0];
    int place = at;
    for (int i = 0; i < size; i++, x += width, at += (int)width)
        for (int k = 0; k < size; k++)
            if (x[k] > best) best = x[k], place = at + k;
    *y = best, *index = place;
}

/* Fours, and a last one that overlaps. */
INLINE void max_line(const int stride, int n, int size, ptrdiff_t width, const float *x, int at, float *y, int *index) {
    for (int o = 0; o < n; o += FOUR) {
        if (o + FOUR > n) o = n - FOUR;
        max_four(stride, size, width, x + o * stride, at + o * stride, y + o, index + o);
    }
}

static void max_windows(int n, int stride, int size, ptrdiff_t width, const float *x, int at, float *y, int *index) {
    if (n >= FOUR && stride == 2 && size == 2)
        max_line(2, n, 2, width, x, at, y, index);
    else if (n >= FOUR && stride == 2)
        max_line(2, n, size, width, x, at, y, index);
    else if (n >= FOUR && stride == 1)
        max_line(1, n, size, width, x, at, y, index);
    else
        for (int o = 0; o < n; o++) max_one(size, width, x + o * stride, at + o * stride, y + o, index + o);
}

const dn_cpu_conv_kernels CAT(dn_cpu_conv_kernels, DN_ISA) = {
    STR(DN_ISA), VL, NR, multiply, to_panel, from_panel, narrow, dots, copy_lines, max_windows,
};

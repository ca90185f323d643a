/* Kernels in GCC vector extensions, compiled with -DDN_ISA=base, avx2, avx512. Everything is static but the table, so that
 * no wide instruction can leak into code that an old processor runs.
 *
 * gemm: three register tiles and no packing, except that op(B) = B^T with many rows goes through a transposed panel.
 * Tails in n go through a zero-padded panel, so every element is summed in the same order wherever it stands. */
#include "cpu_kernels.h"
#include <math.h>
#include <string.h>

#ifndef DN_ISA
#define DN_ISA base
#endif
#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)
#define STR2(a) #a
#define STR(a) STR2(a)
#if defined(__AVX512F__)
enum { VL = 16, MR = 8, NV = 3 };
#elif defined(__AVX2__)
enum { VL = 8, MR = 4, NV = 3 };
#else
enum { VL = 4, MR = 4, NV = 2 };
#endif
enum { NR = NV * VL, KC = 256, DOT = 4 };
typedef float vec __attribute__((vector_size(VL * 4)));
typedef float vec_u __attribute__((vector_size(VL * 4), aligned(4)));
#define INLINE static inline __attribute__((always_inline))

/* C (mr, nv*VL) = beta C + alpha A B with A(i, p) = a[i*ars + p*acs] and B(p, j) = b[p*ldb + j] */
INLINE void tile(const int mr, const int nv, int k, float alpha, const float *a, ptrdiff_t ars, ptrdiff_t acs,
                 const float *b, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
    vec acc[MR][NV];
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) acc[i][j] = (vec){0};
    for (int p = 0; p < k; p++) {
        vec row[NV];
        for (int j = 0; j < nv; j++) row[j] = *(const vec_u *)(b + p * ldb + j * VL);
        for (int i = 0; i < mr; i++) {
            vec x = a[i * ars + p * acs] - (vec){0};
            for (int j = 0; j < nv; j++) acc[i][j] += x * row[j];
        }
    }
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) {
            vec_u *to = (vec_u *)(c + i * ldc + j * VL);
            *to = beta == 0 ? alpha * acc[i][j] : beta * *to + alpha * acc[i][j];
        }
}

static void tile_any(int mr, int nv, int k, float alpha, const float *a, ptrdiff_t ars, ptrdiff_t acs, const float *b,
                     ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
    if (mr == MR && nv == NV) {
        tile(MR, NV, k, alpha, a, ars, acs, b, ldb, beta, c, ldc);
        return;
    }
    while (mr > 0) { /* at most two pieces */
        int rows = mr > 4 ? 4 : mr;
        switch (nv * 8 + rows) {
        case 9: tile(1, 1, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 10: tile(2, 1, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 11: tile(3, 1, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 12: tile(4, 1, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 17: tile(1, 2, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 18: tile(2, 2, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 19: tile(3, 2, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 20: tile(4, 2, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 25: tile(1, NV, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 26: tile(2, NV, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        case 27: tile(3, NV, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        default: tile(4, NV, k, alpha, a, ars, acs, b, ldb, beta, c, ldc); break;
        }
        a += rows * ars, c += rows * ldc, mr -= rows;
    }
}

/* Columns [j, j + n) with n <= NR, n a multiple of VL */
static void strip(int m, int n, int k, float alpha, const float *a, ptrdiff_t ars, ptrdiff_t acs, const float *b,
                  ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
    for (int i = 0; i < m; i += MR)
        tile_any(m - i < MR ? m - i : MR, n / VL, k, alpha, a + i * ars, ars, acs, b, ldb, beta, c + i * ldc, ldc);
}

/* One strip whose B must be gathered: transposed, or narrower than a vector. */
static void strip_packed(int trans_b, int m, int n, int k, float alpha, const float *a, ptrdiff_t ars, ptrdiff_t acs,
                         const float *b, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
    float panel[KC * NR] __attribute__((aligned(64)));
    float out[MR * NR] __attribute__((aligned(64)));
    int wide = (n + VL - 1) / VL * VL;
    for (int p0 = 0; p0 < k || p0 == 0; p0 += KC) {
        int kc = k - p0 < KC ? k - p0 : KC;
        float beta_now = p0 ? 1 : beta;
        for (int p = 0; p < kc; p++) {
            if (trans_b)
                for (int j = 0; j < n; j++) panel[p * wide + j] = b[j * ldb + p0 + p];
            else
                for (int j = 0; j < n; j++) panel[p * wide + j] = b[(p0 + p) * ldb + j];
            for (int j = n; j < wide; j++) panel[p * wide + j] = 0;
        }
        const float *from = a + p0 * acs;
        if (n == wide) {
            strip(m, n, kc, alpha, from, ars, acs, panel, wide, beta_now, c, ldc);
            continue;
        }
        for (int i = 0; i < m; i += MR) {
            int rows = m - i < MR ? m - i : MR;
            tile_any(rows, wide / VL, kc, alpha, from + i * ars, ars, acs, panel, wide, 0, out, wide);
            for (int r = 0; r < rows; r++)
                for (int j = 0; j < n; j++) {
                    float *to = c + (i + r) * ldc + j;
                    *to = (beta_now == 0 ? 0 : beta_now * *to) + out[r * wide + j];
                }
        }
    }
}

INLINE float sum(vec v) {
    float s = 0;
    for (int i = 0; i < VL; i++) s += v[i];
    return s;
}

/* Few rows against B^T: dot products, both sides read along k. */
INLINE void dots(const int rows, const int cols, int k, float alpha, const float *a, ptrdiff_t lda, const float *b,
                 ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
    vec acc[DOT][DOT];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) acc[i][j] = (vec){0};
    int p = 0;
    for (; p + VL <= k; p += VL) {
        vec x[DOT];
        for (int i = 0; i < rows; i++) x[i] = *(const vec_u *)(a + i * lda + p);
        for (int j = 0; j < cols; j++) {
            vec y = *(const vec_u *)(b + j * ldb + p);
            for (int i = 0; i < rows; i++) acc[i][j] += x[i] * y;
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            float s = sum(acc[i][j]), *to = c + i * ldc + j;
            for (int q = p; q < k; q++) s += a[i * lda + q] * b[j * ldb + q];
            *to = (beta == 0 ? 0 : beta * *to) + alpha * s;
        }
}

static void gemm_dots(int m, int n, int k, float alpha, const float *a, ptrdiff_t lda, const float *b, ptrdiff_t ldb,
                      float beta, float *c, ptrdiff_t ldc) {
    for (int j = 0; j < n; j += DOT) {
        int cols = n - j < DOT ? n - j : DOT;
        for (int i = 0; i < m; i += DOT) {
            int rows = m - i < DOT ? m - i : DOT;
            const float *ai = a + i * lda, *bj = b + j * ldb;
            float *cij = c + i * ldc + j;
            if (rows == DOT && cols == DOT)
                dots(DOT, DOT, k, alpha, ai, lda, bj, ldb, beta, cij, ldc);
            else
                for (int r = 0; r < rows; r++)
                    for (int q = 0; q < cols; q++)
                        dots(1, 1, k, alpha, ai + r * lda, lda, bj + q * ldb, ldb, beta, cij + r * ldc + q, ldc);
        }
    }
}

static void gemm(int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, ptrdiff_t lda,
                 const float *b, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
    ptrdiff_t ars = trans_a ? 1 : lda, acs = trans_a ? lda : 1;
    if (trans_b && !trans_a && k >= VL && (m < 16 || n < VL)) {
        gemm_dots(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    for (int j = 0; j < n; j += NR) {
        int cols = n - j < NR ? n - j : NR;
        const float *bj = trans_b ? b + j * ldb : b + j;
        if (trans_b) {
            strip_packed(1, m, cols, k, alpha, a, ars, acs, bj, ldb, beta, c + j, ldc);
            continue;
        }
        int whole = cols / VL * VL;
        if (whole) strip(m, whole, k, alpha, a, ars, acs, bj, ldb, beta, c + j, ldc);
        if (whole < cols)
            strip_packed(0, m, cols - whole, k, alpha, a, ars, acs, bj + whole, ldb, beta, c + j + whole, ldc);
    }
}

static void axpy(size_t n, float a, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void sgd(size_t n, float rate, float momentum, float decay, float inverse_batch, float *restrict w,
                float *restrict v, const float *restrict g) {
    for (size_t i = 0; i < n; i++) {
        v[i] = momentum * v[i] + (g[i] * inverse_batch + decay * w[i]);
        w[i] -= rate * v[i];
    }
}

static void adam(size_t n, float rate, float b1, float b2, float eps, float decay_batch, float c1, float c2,
                 float *restrict w, float *restrict m, float *restrict v, const float *restrict g) {
    for (size_t i = 0; i < n; i++) {
        float d = g[i] + decay_batch * w[i];
        m[i] = b1 * m[i] + (1 - b1) * d;
        v[i] = b2 * v[i] + (1 - b2) * d * d;
        w[i] -= rate * (m[i] / c1) / (sqrtf(v[i] / c2) + eps);
    }
}

const dn_cpu_kernels CAT(dn_cpu_kernels, DN_ISA) = {STR(DN_ISA), gemm, axpy, sgd, adam};

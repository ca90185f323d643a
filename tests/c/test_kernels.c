/* The CPU kernels against plain double-precision loops, for the instruction set that DARKNET_ISA names, on one, two and four
 * threads, whose results must be the same bits. Prints the worst case of each kernel; exits 1 at the first wrong one. */
#include "cpu/cpu_ops.h"
#include "rng.h"
#include "sys.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOLS = 3 };
static dn_pool *pools[POOLS];
static uint64_t draws;

static uint32_t random_bits(void) {
    uint32_t four[4];
    dn_philox(7, 99, draws++, 0, four);
    return four[0];
}
static int between(int low, int high) { return low + (int)(random_bits() % (uint32_t)(high - low + 1)); }
static float uniform(float low, float high) { return low + (high - low) * dn_uniform_of(random_bits()); }

static void fail(const char *what, const char *why, double got, double wanted) {
    printf("%s: %s: %.9g, wanted %.9g\n", what, why, got, wanted);
    exit(1);
}

static float *vector(size_t n) {
    float *x = dn_alloc(n + 1, sizeof *x);
    if (!x) exit(2);
    return x;
}
static float *random_vector(size_t n, float low, float high) {
    float *x = vector(n);
    for (size_t i = 0; i < n; i++) x[i] = uniform(low, high);
    return x;
}

static void same_bits(const char *what, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a)) fail(what, "other bits with more threads", b[i], a[i]);
}

/* ---- gemm ---- */

static double gemm_one(int ta, int tb, int m, int n, int k, float alpha, float beta, int extra) {
    int lda = (ta ? m : k) + extra, ldb = (tb ? k : n) + extra, ldc = n + extra;
    size_t na = (size_t)(ta ? k : m) * lda, nb = (size_t)(tb ? n : k) * ldb, nc = (size_t)m * ldc;
    float *a = random_vector(na, -1, 1), *b = random_vector(nb, -1, 1), *before = random_vector(nc, -1, 1), *c[POOLS];
    char what[128];
    snprintf(what, sizeof what, "gemm %c%c m=%d n=%d k=%d alpha=%g beta=%g ld+%d", "NT"[ta], "NT"[tb], m, n, k, alpha,
             beta, extra);
    for (int t = 0; t < POOLS; t++) {
        c[t] = vector(nc);
        memcpy(c[t], before, nc * sizeof *before);
        if (beta == 0) /* what was there must not matter, not even NaN */
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) c[t][(size_t)i * ldc + j] = NAN;
        cpu_gemm(pools[t], ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c[t], ldc);
        if (t) same_bits(what, c[0], c[t], nc);
    }
    double worst = 0;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < ldc; j++) {
            size_t at = (size_t)i * ldc + j;
            if (j >= n) {
                if (c[0][at] != before[at]) fail(what, "wrote beyond its columns", c[0][at], before[at]);
                continue;
            }
            double sum = 0, size = 0;
            for (int p = 0; p < k; p++) {
                double x = (double)a[ta ? (size_t)p * lda + i : (size_t)i * lda + p] *
                           b[tb ? (size_t)j * ldb + p : (size_t)p * ldb + j];
                sum += x, size += fabs(x);
            }
            sum = alpha * sum + (beta == 0 ? 0 : beta * (double)before[at]);
            size = fabs(alpha) * size + fabs(beta * before[at]);
            double error = fabs(c[0][at] - sum), limit = FLT_EPSILON * size * (4 + sqrt(k)) + FLT_MIN;
            if (!(error <= limit)) fail(what, "is wrong", c[0][at], sum);
            if (error > worst * limit) worst = error / limit;
        }
    for (int t = 0; t < POOLS; t++) dn_free(c[t]);
    dn_free(a), dn_free(b), dn_free(before);
    return worst;
}

static void test_gemm(void) {
    static const int sizes[] = {1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 17, 20, 24, 31, 33, 47, 48, 49, 64, 65, 100, 129, 196};
    static const int large[][3] = {{4, 512, 784}, {250, 512, 130}, {130, 784, 250}, {512, 784, 8}, {70, 2, 1100}, {1000, 96, 300},
                                   {300, 20, 700}, {512, 2, 250}, {2, 512, 250}, {256, 256, 600}, {3, 3000, 20}};
    static const float alphas[] = {1, 1, 0.5f, -2}, betas[] = {0, 1, 1, 0.25f};
    double worst = 0;
    enum { SIZES = sizeof sizes / sizeof *sizes, LARGE = sizeof large / sizeof *large };
    for (int i = 0; i < 900; i++) {
        int m = sizes[between(0, SIZES - 1)], n = sizes[between(0, SIZES - 1)], k = sizes[between(0, SIZES - 1)];
        worst = fmax(worst, gemm_one(i & 1, i >> 1 & 1, m, n, k, alphas[between(0, 3)], betas[between(0, 3)],
                                     between(0, 1) * between(1, 9)));
    }
    for (int i = 0; i < LARGE; i++)
        for (int t = 0; t < 4; t++)
            worst = fmax(worst, gemm_one(t & 1, t >> 1, large[i][0], large[i][1], large[i][2], 1, (float)(i & 1), 0));
    gemm_one(0, 0, 3, 5, 0, 1, 0.5f, 0);
    printf("gemm: %.2f of the limit\n", worst);
}

int main(void) {
    for (int t = 0; t < POOLS; t++)
        if (dn_pool_create(&pools[t], 1 << t) != DN_OK) return 2;
    printf("kernels %s\n", dn_cpu_kernels_get()->name);
    test_gemm();
    for (int t = 0; t < POOLS; t++) dn_pool_destroy(pools[t]);
    return 0;
}

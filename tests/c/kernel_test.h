/* What tests of the CPU's operations share: pools of one, two and four threads, random arrays, comparisons. */
#ifndef DN_KERNEL_TEST_H
#define DN_KERNEL_TEST_H
#include "base/rng.h"
#include "base/sys.h"
#include "cpu/cpu_ops.h"
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

static void near(const char *what, const float *got, const double *wanted, size_t n, double relative, double absolute) {
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - wanted[i]) <= relative * fabs(wanted[i]) + absolute))
            fail(what, "is wrong", got[i], wanted[i]);
}
static double *doubles(size_t n) {
    double *x = dn_alloc(n + 1, sizeof *x);
    if (!x) exit(2);
    return x;
}

static void make_pools(void) {
    for (int t = 0; t < POOLS; t++)
        if (dn_pool_create(&pools[t], 1 << t) != DN_OK) exit(2);
}
static void free_pools(void) {
    for (int t = 0; t < POOLS; t++) dn_pool_destroy(pools[t]);
}
#endif

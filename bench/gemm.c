/* Matrix products of ours beside those of a BLAS on one thread, interleaved. bench/products.py starts it:
 *
 *   bench_gemm LIBRARY ROUNDS SECONDS < shapes      lines "trans_a trans_b m n k"
 *
 * says the instruction set of ours and the kernels of theirs, then a line for every shape: the seconds of a product in
 * each round, "ours theirs ours theirs ...", and the greatest difference of two elements per 1e-6 k. Seconds are those
 * of the thread on the processor: who else uses the machine counts little. */
#define _GNU_SOURCE
#include "base/rng.h"
#include "base/sys.h"
#include "cpu/cpu_ops.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void (*sgemm32)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *,
                        int);
typedef void (*sgemm64)(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
                        float, float *, int64_t);
static sgemm32 with_int;
static sgemm64 with_int64; /* the copy inside numpy counts in 64 bits */

typedef struct product {
    int ta, tb, m, n, k;
    const float *a, *b;
    float *c;
} product;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ours(const product *p) {
    cpu_gemm(NULL, p->ta, p->tb, p->m, p->n, p->k, 1, p->a, p->ta ? p->m : p->k, p->b, p->tb ? p->k : p->n, 0, p->c,
             p->n);
}

static void theirs(const product *p) {
    int ta = p->ta ? 112 : 111, tb = p->tb ? 112 : 111, lda = p->ta ? p->m : p->k, ldb = p->tb ? p->k : p->n;
    if (with_int)
        with_int(101, ta, tb, p->m, p->n, p->k, 1, p->a, lda, p->b, ldb, 0, p->c, p->n);
    else
        with_int64(101, ta, tb, p->m, p->n, p->k, 1, p->a, lda, p->b, ldb, 0, p->c, p->n);
}

typedef void (*product_fn)(const product *);

static double seconds(product_fn multiply, const product *p, int calls) {
    double start = now();
    for (int i = 0; i < calls; i++) multiply(p);
    return (now() - start) / calls;
}

static float *filled(size_t n, uint32_t which) {
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
    if (!x) exit(2);
    for (size_t i = 0; i < n; i++) {
        uint32_t four[4];
        dn_philox(1, which, i, 0, four);
        x[i] = 2 * dn_uniform_of(four[0]) - 1;
    }
    return x;
}

static void measure(const char *line, int rounds, double least) {
    product p, other;
    if (sscanf(line, "%d %d %d %d %d", &p.ta, &p.tb, &p.m, &p.n, &p.k) != 5) exit(2);
    size_t nc = (size_t)p.m * (size_t)p.n;
    float *a = filled((size_t)p.m * (size_t)p.k, 0), *b = filled((size_t)p.k * (size_t)p.n, 1), *c = filled(nc, 2),
          *d = filled(nc, 3);
    p.a = a, p.b = b, p.c = c;
    other = p, other.c = d;
    ours(&p), theirs(&other);
    double far = 0, once = fmin(seconds(ours, &p, 1), seconds(theirs, &other, 1));
    for (size_t i = 0; i < nc; i++) far = fmax(far, fabs(c[i] - d[i]) / (1e-6 * p.k));
    int calls = once > 0 && least / once < 1e6 ? (int)(least / once) + 1 : 1000000;
    for (int r = 0; r < rounds; r++) {
        double mine = seconds(ours, &p, calls);
        printf("%.4g %.4g ", mine, seconds(theirs, &other, calls));
    }
    printf("%.3g\n", far);
    fflush(stdout);
    free(a), free(b), free(c), free(d);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
    *(void **)&with_int = dlsym(library, "scipy_cblas_sgemm");
    if (!with_int) *(void **)&with_int = dlsym(library, "cblas_sgemm");
    *(void **)&with_int64 = dlsym(library, "scipy_cblas_sgemm64_");
    if (!with_int && !with_int64) return fprintf(stderr, "%s has no cblas_sgemm\n", argv[1]), 1;
    char *(*core)(void) = NULL;
    *(void **)&core = dlsym(library, with_int ? "scipy_openblas_get_corename" : "scipy_openblas_get_corename64_");
    printf("%s %s\n", dn_cpu_kernels_get()->name, core ? core() : "?");
    char line[128];
    while (fgets(line, sizeof line, stdin)) measure(line, atoi(argv[2]), atof(argv[3]));
    return 0;
}

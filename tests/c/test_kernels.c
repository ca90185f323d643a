/* The CPU kernels against plain double-precision loops, for the instruction set that DARKNET_ISA names, on one, two and
 * four threads, whose results must be the same bits. Prints the worst case of each kernel; exits 1 at the first wrong
 * one. */
#include "kernel_test.h"
#include "net/latent.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* A few of the products: for an emulated processor, where all take minutes. */
static int few;

static void test_gemm(void) {
    static const int sizes[] = {1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 17, 20, 24, 31, 33, 47, 48, 49, 64, 65, 100, 129, 196};
    static const int large[][3] = {{4, 512, 784},   {250, 512, 130}, {130, 784, 250}, {512, 784, 8},   {70, 2, 1100},
                                   {1000, 96, 300}, {300, 20, 700},  {512, 2, 250},   {2, 512, 250},   {256, 256, 600},
                                   {3, 3000, 20},   {9, 1210, 61},   {40, 3, 1030},   {1, 2, 1030},    {1000, 96, 1},
                                   {97, 500, 2},    {7, 8200, 260},  {300, 300, 300}, {128, 200, 784}, {128, 50, 200},
                                   {70, 52, 400},   {1000, 200, 84}};
    static const float alphas[] = {1, 1, 0.5f, -2}, betas[] = {0, 1, 1, 0.25f};
    double worst = 0;
    enum { SIZES = sizeof sizes / sizeof *sizes, LARGE = sizeof large / sizeof *large };
    for (int i = 0; i < (few ? 300 : 900); i++) {
        int m = sizes[between(0, SIZES - 1)], n = sizes[between(0, SIZES - 1)], k = sizes[between(0, SIZES - 1)];
        worst = fmax(worst, gemm_one(i & 1, i >> 1 & 1, m, n, k, alphas[between(0, 3)], betas[between(0, 3)],
                                     between(0, 1) * between(1, 9)));
    }
    for (int i = 0; i < LARGE; i++)
        for (int t = few ? i % 4 : 0; t < (few ? i % 4 + 1 : 4); t++)
            worst = fmax(worst, gemm_one(t & 1, t >> 1, large[i][0], large[i][1], large[i][2], 1, (float)(i & 1), 0));
    gemm_one(0, 0, 3, 5, 0, 1, 0.5f, 0);
    printf("gemm: %.2f of the limit\n", worst);
}

/* ---- elementary functions ---- */

typedef struct function_case {
    const char *name;
    dn_math which;
    double (*exact)(double);
    double low, high, ulps; /* arguments, and units in the last place */
} function_case;

static double exact_logistic(double x) { return 1 / (1 + exp(-x)); }
static double exact_cos(double u) { return cos(2 * acos(-1) * u); }
static double exact_sin(double u) { return sin(2 * acos(-1) * u); }

static const function_case functions[] = {
    {"exp", DN_MATH_EXP, exp, -110, 90, 2},
    {"exp near 0", DN_MATH_EXP, exp, -1, 1, 2},
    {"expm1", DN_MATH_EXPM1, expm1, -40, 90, 2},
    {"expm1 near 0", DN_MATH_EXPM1, expm1, -0.7, 0.7, 2},
    {"log", DN_MATH_LOG, log, 0, 1e6, 2},
    {"log near 1", DN_MATH_LOG, log, 0.5, 2, 2},
    {"log of denormals", DN_MATH_LOG, log, 0, 1e-37, 2},
    {"log1p", DN_MATH_LOG1P, log1p, 0, 1, 2},
    {"log1p near 0", DN_MATH_LOG1P, log1p, 0, 1e-5, 2},
    {"tanh", DN_MATH_TANH, tanh, -12, 12, 3},
    {"tanh near 0", DN_MATH_TANH, tanh, -0.01, 0.01, 3},
    {"logistic", DN_MATH_LOGISTIC, exact_logistic, -110, 30, 3},
    {"cos", DN_MATH_COS, exact_cos, 0, 1, 0},
    {"sin", DN_MATH_SIN, exact_sin, 0, 1, 0}, /* absolute: 1e-7 */
};

/* Units in the last place of `exact`, of which denormals have as many as the smallest normal number. */
static double ulps_off(float got, double exact) {
    if (isnan(exact)) return isnan(got) ? 0 : INFINITY;
    if (isinf((float)exact) || isinf(got)) return (float)exact == got ? 0 : fabs(exact) > 3.4e38 ? 0 : INFINITY;
    int exponent;
    frexp(exact, &exponent);
    return fabs(got - exact) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static void test_functions(void) {
    enum { N = 200003 };
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    float *x = vector(N), *y = vector(N);
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        const function_case *c = &functions[f];
        double worst = 0, absolute = 0;
        for (int i = 0; i < N; i++) x[i] = (float)(c->low + (c->high - c->low) * i / N);
        k->function(c->which, N, x, y);
        for (int i = 0; i < N; i++) {
            double exact = c->exact(x[i]), off = ulps_off(y[i], exact);
            absolute = fmax(absolute, fabs(y[i] - exact));
            if (c->ulps > 0 && !(off <= c->ulps)) fail(c->name, "is off", y[i], exact);
            if (c->ulps == 0 && !(fabs(y[i] - exact) <= 1e-7)) fail(c->name, "is off", y[i], exact);
            worst = fmax(worst, off);
        }
        if (c->ulps > 0)
            printf("%s: %.2f ulp\n", c->name, worst);
        else
            printf("%s: %.2g\n", c->name, absolute);
    }
    const float special[] = {0,      -0.0f,   INFINITY, -INFINITY, NAN,     1e-40f,  -1e-40f, 1e-45f, 3e38f,
                             -3e38f, FLT_MIN, 88.7f,    88.8f,     -103.9f, -104.5f, -87.4f,  1,      -1};
    enum { SPECIAL = sizeof special / sizeof *special };
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        const function_case *c = &functions[f];
        if (c->which == DN_MATH_COS || c->which == DN_MATH_SIN) continue;
        k->function(c->which, SPECIAL, special, y);
        for (int i = 0; i < SPECIAL; i++) {
            if (c->which == DN_MATH_LOG1P && !(special[i] <= 1 && !signbit(special[i]))) continue; /* not its range */
            double exact = c->exact(special[i]);
            if (!(ulps_off(y[i], exact) <= c->ulps)) fail(c->name, "is wrong at a special value", y[i], exact);
            if (exact == 0 && special[i] == 0 && !signbit(y[i]) != !signbit(exact))
                fail(c->name, "sign of 0", y[i], exact);
        }
    }
    dn_free(x), dn_free(y);
}

/* ---- operations: `run` on every pool from the same memory, the same bits wanted, then compared ---- */

static void near_sum(const char *what, double got, double wanted) {
    if (!(fabs(got - wanted) <= 1e-6 * fabs(wanted) + 1e-5)) fail(what, "sum is wrong", got, wanted);
}
static double exact_activation(dn_activation a, double x) {
    switch (a) {
    case DN_LINEAR: return x;
    case DN_LOGISTIC: return exact_logistic(x);
    case DN_LOGGY: return 2 * exact_logistic(x) - 1;
    case DN_RELU: return x > 0 ? x : 0;
    case DN_ELU: return x >= 0 ? x : expm1(x);
    case DN_SELU: return x >= 0 ? 1.0507 * x : 1.0507 * 1.6732 * expm1(x);
    case DN_RELIE: return x > 0 ? x : 0.01 * x;
    case DN_RAMP: return x > 0 ? x + 0.1 * x : 0.1 * x;
    case DN_LEAKY: return x > 0 ? x : 0.1 * x;
    case DN_TANH: return tanh(x);
    case DN_PLSE: return x < -4 ? 0.01 * (x + 4) : x > 4 ? 0.01 * (x - 4) + 1 : 0.125 * x + 0.5;
    case DN_STAIR: {
        double n = floor(x), half = floor(x / 2);
        return fmod(n, 2) == 0 ? half : (x - n) + half;
    }
    case DN_HARDTAN: return x < -1 ? -1 : x > 1 ? 1 : x;
    case DN_LHTAN: return x < 0 ? 0.001 * x : x > 1 ? 0.001 * (x - 1) + 1 : x;
    case DN_ACTIVATION_COUNT: break;
    }
    return x;
}
static double exact_slope(dn_activation a, double y) {
    switch (a) {
    case DN_LINEAR: return 1;
    case DN_LOGISTIC: return y * (1 - y);
    case DN_LOGGY: return (1 + y) * (1 - y) / 2;
    case DN_RELU: return y > 0;
    case DN_ELU: return y >= 0 ? 1 : y + 1;
    case DN_SELU: return y >= 0 ? 1.0507 : y + 1.0507 * 1.6732;
    case DN_RELIE: return y > 0 ? 1 : 0.01;
    case DN_RAMP: return (y > 0) + 0.1;
    case DN_LEAKY: return y > 0 ? 1 : 0.1;
    case DN_TANH: return 1 - y * y;
    case DN_PLSE: return y < 0 || y > 1 ? 0.01 : 0.125;
    case DN_STAIR: return y == floor(y) ? 0 : 1;
    case DN_HARDTAN: return y > -1 && y < 1;
    case DN_LHTAN: return y > 0 && y < 1 ? 1 : 0.001;
    case DN_ACTIVATION_COUNT: break;
    }
    return 1;
}

static void test_activations(void) {
    static const size_t lengths[] = {1, 2, 3, 5, 7, 15, 16, 17, 33, 1000, 200001};
    for (int a = 0; a < DN_ACTIVATION_COUNT; a++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            size_t n = lengths[l];
            float *x = vector(n), *dy = random_vector(n, -1, 1), *y[POOLS], *dx[POOLS];
            double *wanted = doubles(n), *slopes = doubles(n);
            for (size_t i = 0; i < n; i++)
                x[i] = i % 3 ? uniform(-6, 6) : 0.5f * (float)between(-12, 12); /* kinks too */
            for (int t = 0; t < POOLS; t++) {
                y[t] = vector(n + 1), dx[t] = vector(n + 1);
                memcpy(y[t], x, n * sizeof *x), memcpy(dx[t], dy, n * sizeof *x);
                y[t][n] = dx[t][n] = 77;
                cpu_activate(pools[t], (dn_activation)a, n, y[t]);
                cpu_activate_gradient(pools[t], (dn_activation)a, n, y[t], dx[t]);
                if (y[t][n] != 77 || dx[t][n] != 77) fail(dn_activation_name(a), "wrote beyond the end", y[t][n], 77);
                if (t) same_bits("activation", y[0], y[t], n), same_bits("activation gradient", dx[0], dx[t], n);
            }
            for (size_t i = 0; i < n; i++) {
                wanted[i] = exact_activation((dn_activation)a, x[i]);
                slopes[i] = exact_slope((dn_activation)a, y[0][i]) * dy[i];
            }
            near(dn_activation_name((dn_activation)a), y[0], wanted, n, 4e-7, 3e-7);
            near("activation gradient", dx[0], slopes, n, 4e-7, 3e-7);
            for (int t = 0; t < POOLS; t++) dn_free(y[t]), dn_free(dx[t]);
            dn_free(x), dn_free(dy), dn_free(wanted), dn_free(slopes);
        }
    printf("activations: right\n");
}

static double exact_loss(dn_loss kind, double x, double t, double *gradient) {
    double d = t - x, sign = (d > 0) - (d < 0);
    switch (kind) {
    case DN_LOSS_MASKED:
        if ((float)t == DN_MASKED) return *gradient = 0;
        *gradient = -d;
        return d * d;
    case DN_LOSS_L1: *gradient = -sign; return fabs(d);
    case DN_LOSS_SMOOTH: *gradient = fabs(d) < 1 ? -d : -sign; return fabs(d) < 1 ? d * d : 2 * fabs(d) - 1;
    case DN_LOSS_BCE: *gradient = exact_logistic(x) - t; return fmax(x, 0) - x * t + log1p(exp(-fabs(x)));
    default: *gradient = -d; return d * d;
    }
}

static void test_losses(void) {
    static const size_t lengths[] = {1, 3, 16, 31, 784, 50000, 1200001};
    for (int kind = 0; kind < DN_LOSS_BERNOULLI; kind++) /* likelihoods: test_likelihoods.c */
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            size_t n = lengths[l];
            float *x = random_vector(n, -9, 9), *truth = random_vector(n, 0, 1), *error[POOLS], *gradient[POOLS];
            double *errors = doubles(n), *gradients = doubles(n), sums[POOLS] = {0}, total = 0;
            for (size_t i = 0; i < n; i++) {
                if (i % 5 == 0) truth[i] = kind == DN_LOSS_MASKED ? DN_MASKED : x[i];
                if (kind == DN_LOSS_BCE && i % 7 == 0) x[i] *= 30, truth[i] = i % 2;
                total += errors[i] = exact_loss((dn_loss)kind, x[i], truth[i], &gradients[i]);
            }
            for (int t = 0; t < POOLS; t++) {
                error[t] = vector(n), gradient[t] = vector(n), sums[t] = 1;
                cpu_loss(pools[t], &(dn_likelihood){.kind = (dn_loss)kind}, n, x, truth, error[t], gradient[t],
                         &sums[t]);
                if (sums[t] != sums[0]) fail("loss", "another sum with more threads", sums[t], sums[0]);
                if (t)
                    same_bits("loss", error[0], error[t], n), same_bits("loss gradient", gradient[0], gradient[t], n);
            }
            near("loss error", error[0], errors, n, 1e-6, 2e-6);
            near("loss gradient", gradient[0], gradients, n, 1e-6, 2e-7);
            near_sum("loss", sums[0] - 1, total);
            for (int t = 0; t < POOLS; t++) dn_free(error[t]), dn_free(gradient[t]);
            dn_free(x), dn_free(truth), dn_free(errors), dn_free(gradients);
        }
    printf("losses: right\n");
}

/* As latent.h says it, in double precision. */
static double exact_log_variance(double x, double *slope) {
    double beyond = fabs(x) - 10;
    *slope = beyond > 0 ? 1 / (1 + 2 * beyond) : 1;
    return beyond > 0 ? copysign(10 + 0.5 * log1p(2 * beyond), x) : x;
}

/* From one log-variance to the next, over all floats: finite, rising, and itself within the bound. */
static void test_log_variances(void) {
    enum { N = 4096 };
    float lv[N], mu[N] = {0}, ones[N], z[N], dz[N] = {0}, dlv[N], dmu[N], last = -INFINITY;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    for (int i = 0; i < N; i++) {
        double size = fabs(i - (N - 1) / 2.0) / (N / 2.0), way = i < N / 2 ? -1 : 1;
        /* half of them up to 11 */
        lv[i] = (float)(way * (size < 0.5 ? 22 * size : 11 * pow(3.4e38 / 11, 2 * size - 1)));
        ones[i] = 1, dlv[i] = dmu[i] = 0;
    }
    for (int i = 0; i < N; i++) {
        double slope, exact = exact_log_variance(lv[i], &slope), kl = k->reparameterise(1, lv + i, mu, ones, z + i);
        const char *what = "log-variance";
        if (!isfinite(kl) || !isfinite(z[i]) || z[i] < 0 || z[i] > 1e12) fail(what, "is not bounded", kl, lv[i]);
        if (!(z[i] >= last)) fail(what, "does not rise", z[i], lv[i]);
        if (fabs(kl - 0.5 * (exp(exact) - 1 - exact)) > 2e-5 * (fabs(kl) + 0.1)) fail(what, "KL", kl, lv[i]);
        if (fabs(dn_log_variance(lv[i]) - exact) > 2e-6 * fabs(exact)) fail(what, "on the host", lv[i], exact);
        if (fabs(dn_log_variance_slope(lv[i]) - slope) > 1e-5 * slope) fail(what, "slope", lv[i], slope);
        k->reparameterise_gradient(1, 1, lv + i, mu, ones, dz, dlv + i, dmu + i);
        if (fabs(dlv[i] - slope * 0.5 * expm1(exact)) > 2e-5 * fabs(dlv[i]) + 1e-37)
            fail(what, "gradient", dlv[i], lv[i]);
        last = z[i];
    }
    const float large[] = {1e20f, -3e38f};
    for (int i = 0; i < 2; i++) {
        double kl = k->reparameterise(1, mu, large + i, ones, z);
        if (fabs(kl - 0.5e30) > 1e24 || fabs(dn_latent_kl(0, large[i]) - kl) > 1e24) fail("mean", "KL", kl, large[i]);
    }
    double nan = k->reparameterise(1, (float[]){NAN}, mu, ones, z);
    double inf = k->reparameterise(1, (float[]){INFINITY}, mu, ones, z);
    if (!isnan(nan) || isfinite(inf) || isfinite(z[0])) fail("log-variance", "hides what is not finite", nan, inf);
    printf("log-variances: right\n");
}

static void test_reparameterise(void) {
    static const size_t shapes[][2] = {{1, 1}, {3, 2}, {64, 2}, {250, 20}, {5, 300}, {4000, 10}};
    for (size_t s = 0; s < 12; s++) {
        size_t rows = shapes[s / 2][0], latent = shapes[s / 2][1], n = rows * latent;
        int noisy = s & 1;
        float *x = random_vector(2 * n, -4, 4), *eps = random_vector(n, -3, 3), *dz = random_vector(n, -1, 1);
        for (size_t i = 0; i < n; i += 5) x[i / latent * 2 * latent + i % latent] *= 6; /* beyond the bound */
        float *z[POOLS], *dx[POOLS], *by_row[POOLS], weight = 1.4f;
        double *exact_z = doubles(n), *exact_dx = doubles(2 * n), *exact_rows = doubles(rows), sums[POOLS][2], kl = 0;
        for (int t = 0; t < POOLS; t++) {
            z[t] = vector(n), dx[t] = vector(2 * n), by_row[t] = vector(rows), sums[t][0] = 0, sums[t][1] = 5;
            for (size_t i = 0; i < 2 * n; i++) dx[t][i] = 1;
            cpu_reparameterise(pools[t], rows, latent, &weight, x, noisy ? eps : NULL, z[t], sums[t],
                               t == 1 ? NULL : by_row[t]);
            cpu_reparameterise_gradient(pools[t], rows, latent, 0.5, &weight, x, noisy ? eps : NULL, dz, dx[t]);
            if (sums[t][0] != sums[0][0]) fail("KL", "another sum with more threads", sums[t][0], sums[0][0]);
            if (t) same_bits("reparameterise", z[0], z[t], n), same_bits("its gradient", dx[0], dx[t], 2 * n);
            if (t > 1) same_bits("KL by row", by_row[0], by_row[t], rows);
        }
        for (size_t i = 0; i < n; i++) {
            size_t at = i / latent * 2 * latent + i % latent;
            double slope, lv = exact_log_variance(x[at], &slope), mu = x[at + latent], e = noisy ? eps[i] : 0;
            double sigma = exp(lv / 2);
            exact_z[i] = mu + sigma * e;
            exact_rows[i / latent] += 0.5 * (exp(lv) + mu * mu - 1 - lv);
            kl += 0.5 * (exp(lv) + mu * mu - 1 - lv);
            exact_dx[at] = 1 + slope * (dz[i] * 0.5 * sigma * e + 0.7f * 0.5 * expm1(lv));
            exact_dx[at + latent] = 1 + dz[i] + 0.7f * mu;
        }
        near("reparameterise", z[0], exact_z, n, 1e-6, 1e-6);
        near("reparameterise gradient", dx[0], exact_dx, 2 * n, 1e-6, 1e-6);
        near("KL by row", by_row[0], exact_rows, rows, 2e-6, 1e-6);
        near_sum("KL", sums[0][0], kl);
        near_sum("weighted KL", sums[0][1] - 5, weight * kl);
        for (int t = 0; t < POOLS; t++) dn_free(z[t]), dn_free(dx[t]), dn_free(by_row[t]);
        dn_free(x), dn_free(eps), dn_free(dz), dn_free(exact_z), dn_free(exact_dx), dn_free(exact_rows);
    }
    printf("reparameterise: right\n");
}

static void test_random(void) {
    static const size_t lengths[] = {1, 2, 5, 256, 257, 1023, 100003};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        size_t n = lengths[l];
        dn_step step = {.seed = 0x123456789abcdefull + l, .pass = 0x500000001ull * l};
        float *eps[POOLS], *u[POOLS];
        for (int t = 0; t < POOLS; t++) {
            eps[t] = vector(n + 1), u[t] = vector(n + 1);
            eps[t][n] = u[t][n] = 77;
            cpu_normals(pools[t], &step, 3, n, eps[t]);
            cpu_uniforms(pools[t], &step, 3, n, u[t]);
            if (eps[t][n] != 77 || u[t][n] != 77) fail("random", "wrote beyond the end", eps[t][n], 77);
            if (t) same_bits("normals", eps[0], eps[t], n), same_bits("uniforms", u[0], u[t], n);
        }
        for (size_t i = 0; i < n; i++) {
            float four[4];
            dn_normal4(step.seed, 3, step.pass, (uint32_t)(i / 4), four);
            if (!(fabsf(eps[0][i] - four[i % 4]) <= 4e-6f))
                fail("normals", "is not that of rng.h", eps[0][i], four[i % 4]);
            float uniform_there = dn_uniform_at(step.seed, 3, step.pass, i);
            if (u[0][i] != uniform_there) fail("uniforms", "is not that of rng.h", u[0][i], uniform_there);
        }
        for (int t = 0; t < POOLS; t++) dn_free(eps[t]), dn_free(u[t]);
    }
    printf("random: right\n");
}

static void test_softmax(void) {
    static const dn_softmax_shape shapes[] = {{3, 10, 1, 10, 10, 1},
                                              {2, 12, 3, 4, 4, 1},
                                              {2, 12, 4, 1, 3, 4},
                                              {4000, 37, 1, 37, 37, 1},
                                              {2, 3000, 2, 1, 1500, 2}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int hot = 1; hot < 3; hot++) {
            const dn_softmax_shape *q = &shapes[s];
            size_t n = q->rows * q->row_step;
            float *x = random_vector(n, -30, 30), *y[POOLS];
            double *wanted = doubles(n);
            for (int t = 0; t < POOLS; t++) {
                y[t] = vector(n);
                cpu_softmax(pools[t], q, 0.5f * (float)hot, x, y[t]);
                if (t) same_bits("softmax", y[0], y[t], n);
            }
            for (size_t r = 0; r < q->rows; r++)
                for (size_t g = 0; g < q->groups; g++) {
                    size_t at = r * q->row_step + g * q->group_step;
                    double total = 0;
                    for (size_t i = 0; i < q->n; i++) total += exp((x[at + i * q->step] - 30) / (0.5 * hot));
                    for (size_t i = 0; i < q->n; i++)
                        wanted[at + i * q->step] = exp((x[at + i * q->step] - 30) / (0.5 * hot)) / total;
                }
            near("softmax", y[0], wanted, n, 1e-5, 1e-8); /* x / temperature is rounded before exp */
            for (int t = 0; t < POOLS; t++) dn_free(y[t]);
            dn_free(x), dn_free(wanted);
        }
    printf("softmax: right\n");
}

/* Bias and activation in one call are the bits of both one after the other; nothing is written between the rows. */
static void check_bias_activate(size_t rows, size_t cols, size_t apart, const float *bias) {
    size_t step = cols + apart, n = rows * step;
    float *y = random_vector(n, -4, 4), *wanted = vector(n);
    memcpy(wanted, y, n * sizeof *y);
    for (size_t r = 0; r < rows; r++) {
        cpu_bias_add(NULL, 1, cols, 1, bias, wanted + r * step);
        cpu_activate(NULL, DN_TANH, cols, wanted + r * step);
    }
    dn_cpu_kernels_get()->bias_activate(DN_TANH, rows, cols, step, bias, y);
    same_bits("bias_activate", wanted, y, n);
    dn_free(y), dn_free(wanted);
}

static void test_biases(void) {
    static const size_t shapes[][3] = {{1, 1, 1},  {3, 5, 1},     {250, 784, 1}, {64, 130, 1},
                                       {7, 3, 10}, {64, 32, 196}, {2, 1, 40000}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t rows = shapes[s][0], channels = shapes[s][1], spatial = shapes[s][2], n = rows * channels * spatial;
        float *bias = random_vector(channels, -1, 1), *x = random_vector(n, -1, 1), *y[POOLS], *db[POOLS];
        double *sums = doubles(channels), *wanted = doubles(n);
        for (size_t apart = 0; apart < 4; apart += 3) check_bias_activate(rows, channels, apart, bias);
        for (int t = 0; t < POOLS; t++) {
            y[t] = vector(n), db[t] = vector(channels);
            memcpy(y[t], x, n * sizeof *x), memcpy(db[t], bias, channels * sizeof *bias);
            cpu_bias_add(pools[t], rows, channels, spatial, bias, y[t]);
            cpu_bias_gradient(pools[t], rows, channels, spatial, x, db[t]);
            if (t) same_bits("bias_add", y[0], y[t], n), same_bits("bias_gradient", db[0], db[t], channels);
        }
        for (size_t i = 0; i < n; i++) wanted[i] = (double)x[i] + bias[i / spatial % channels];
        for (size_t c = 0; c < channels; c++) sums[c] = bias[c];
        for (size_t i = 0; i < n; i++) sums[i / spatial % channels] += x[i];
        near("bias_add", y[0], wanted, n, 1e-7, 1e-7);
        near("bias_gradient", db[0], sums, channels, 1e-6, 1e-6 * sqrt((double)(rows * spatial)));
        for (int t = 0; t < POOLS; t++) dn_free(y[t]), dn_free(db[t]);
        dn_free(bias), dn_free(x), dn_free(sums), dn_free(wanted);
    }
    printf("biases: right\n");
}

static double logistic_of(double x) { return 1 / (1 + exp(-x)); }

/* Two steps forward and back against plain loops, from random states and gradients. */
typedef struct lstm_case {
    dn_lstm_shape s;
    size_t n, all; /* outputs, and with rows */
    float *w, *h, *c, *before, *dy, *later, *dc;
} lstm_case;

enum { LSTM_ARRAYS = 4 };
static void lstm_forward_one(const lstm_case *k) {
    float *got[POOLS][LSTM_ARRAYS + 1];
    double *wanted[LSTM_ARRAYS + 1];
    for (int i = 0; i <= LSTM_ARRAYS; i++) wanted[i] = doubles(DN_LSTM_GATES * k->all);
    for (int t = 0; t < POOLS; t++) {
        for (int i = 0; i <= LSTM_ARRAYS; i++) got[t][i] = vector(DN_LSTM_GATES * k->all);
        float **g = got[t];
        memcpy(g[0], k->before, DN_LSTM_GATES * k->all * sizeof **g);
        cpu_lstm_forward(pools[t], &k->s, k->w, k->h, k->c, g[0], g[1], g[2], g[3], g[4]);
        for (int i = 0; t && i <= LSTM_ARRAYS; i++) same_bits("lstm_forward", got[0][i], g[i], k->all);
    }
    for (size_t at = 0; at < k->all; at++) {
        size_t r = at / k->n, o = at % k->n;
        double gate[DN_LSTM_GATES];
        for (size_t j = 0; j < DN_LSTM_GATES; j++) {
            size_t place = (r * DN_LSTM_GATES + j) * k->n + o;
            gate[j] = k->before[place];
            for (size_t i = 0; i < k->n; i++) gate[j] += (double)k->h[r * k->n + i] * k->w[(j * k->n + o) * k->n + i];
            wanted[0][place] = gate[j] = j < 3 ? logistic_of(gate[j]) : tanh(gate[j]);
        }
        wanted[2][at] = gate[1] * k->c[at] + gate[0] * gate[3], wanted[1][at] = tanh(wanted[2][at]);
        wanted[3][at] = wanted[4][at] = gate[2] * wanted[1][at];
    }
    for (int i = 0; i <= LSTM_ARRAYS; i++)
        near("lstm_forward", got[0][i], wanted[i], i ? k->all : DN_LSTM_GATES * k->all, 1e-5, 1e-5);
    for (int i = 0; i <= LSTM_ARRAYS; i++) {
        for (int t = 0; t < POOLS; t++) dn_free(got[t][i]);
        dn_free(wanted[i]);
    }
}

static void lstm_backward_one(const lstm_case *k, int last) {
    size_t side = DN_LSTM_GATES * k->n;
    float *gates = random_vector(DN_LSTM_GATES * k->all, 0.1f, 0.9f), *bounded = random_vector(k->all, -1, 1);
    float *got[POOLS], *dh[POOLS], *dc[POOLS];
    double *wanted = doubles(DN_LSTM_GATES * k->all), *wanted_dh = doubles(k->all), *wanted_dc = doubles(k->all);
    for (int t = 0; t < POOLS; t++) {
        got[t] = vector(DN_LSTM_GATES * k->all), dh[t] = vector(k->all), dc[t] = vector(k->all);
        memcpy(got[t], gates, DN_LSTM_GATES * k->all * sizeof *gates), memcpy(dc[t], k->dc, k->all * sizeof *k->dc);
        cpu_lstm_backward(pools[t], &k->s, k->w, last ? NULL : k->later, k->dy, k->c, bounded, got[t], dh[t], dc[t]);
        if (t) same_bits("lstm_backward", got[0], got[t], DN_LSTM_GATES * k->all);
        if (t) same_bits("lstm_backward", dc[0], dc[t], k->all);
    }
    for (size_t at = 0; at < k->all; at++) {
        size_t r = at / k->n, o = at % k->n;
        const float *g = gates + r * side + o;
        double d = k->dy[at], i = g[0], f = g[k->n], out = g[2 * k->n], in = g[3 * k->n], b = bounded[at];
        for (size_t j = 0; !last && j < side; j++) d += (double)k->later[r * side + j] * k->w[j * k->n + o];
        double next = k->dc[at] + d * out * (1 - b * b), *to = wanted + r * side + o;
        wanted_dh[at] = d, wanted_dc[at] = next * f;
        to[0] = next * in * i * (1 - i), to[k->n] = next * k->c[at] * f * (1 - f);
        to[2 * k->n] = d * b * out * (1 - out), to[3 * k->n] = next * i * (1 - in * in);
    }
    near("lstm_backward: dh", dh[0], wanted_dh, k->all, 1e-5, 2e-5);
    near("lstm_backward: dc", dc[0], wanted_dc, k->all, 1e-5, 2e-5);
    near("lstm_backward", got[0], wanted, DN_LSTM_GATES * k->all, 1e-5, 2e-5);
    for (int t = 0; t < POOLS; t++) dn_free(got[t]), dn_free(dh[t]), dn_free(dc[t]);
    dn_free(gates), dn_free(bounded), dn_free(wanted), dn_free(wanted_dh), dn_free(wanted_dc);
}

static void test_lstm(void) {
    static const int shapes[][2] = {{1, 1}, {3, 4}, {5, 37}, {32, 100}, {33, 200}}; /* the last ones in chunks */
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes - (few ? 1 : 0); i++) {
        lstm_case k = {.s = {shapes[i][0], shapes[i][1]}, .n = (size_t)shapes[i][1]};
        k.all = (size_t)shapes[i][0] * k.n;
        k.w = random_vector(DN_LSTM_GATES * k.n * k.n, -0.2f, 0.2f), k.h = random_vector(k.all, -1, 1);
        k.c = random_vector(k.all, -2, 2), k.before = random_vector(DN_LSTM_GATES * k.all, -3, 3);
        k.dy = random_vector(k.all, -1, 1), k.later = random_vector(DN_LSTM_GATES * k.all, -1, 1);
        k.dc = random_vector(k.all, -1, 1);
        lstm_forward_one(&k);
        lstm_backward_one(&k, 0), lstm_backward_one(&k, 1);
        float *arrays[] = {k.w, k.h, k.c, k.before, k.dy, k.later, k.dc};
        for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) dn_free(arrays[a]);
    }
    printf("lstm: right\n");
}

static void test_rows(void) {
    enum { ROWS = 700, COLS = 203, LDX = 210, LDY = 207 };
    size_t nx = ROWS * LDX, ny = ROWS * LDY, n = 300007;
    float *x = random_vector(nx, -1, 1), *y = random_vector(ny, -1, 1), *copied[POOLS], *added[POOLS], *sums[POOLS];
    float *a = random_vector(n, -1, 1), *b = random_vector(n, -1, 1), *c = random_vector(n, -1, 1), *products[POOLS];
    for (int t = 0; t < POOLS; t++) {
        copied[t] = vector(ny), added[t] = vector(ny), products[t] = vector(n);
        memcpy(copied[t], y, ny * sizeof *y), memcpy(added[t], y, ny * sizeof *y),
            memcpy(products[t], c, n * sizeof *c);
        cpu_copy_rows(pools[t], ROWS, COLS, x, LDX, copied[t], LDY);
        cpu_add_rows(pools[t], ROWS, COLS, x, LDX, added[t], LDY);
        cpu_mul_add(pools[t], n, 0.5f, a, b, products[t]);
        sums[t] = vector(ROWS);
        cpu_row_sums(pools[t], ROWS, LDX, x, sums[t]);
        if (t) same_bits("row_sums", sums[0], sums[t], ROWS);
        for (size_t r = 0; r < ROWS; r++) {
            double wanted = 0;
            for (size_t i = 0; i < LDX; i++) wanted += x[r * LDX + i];
            if (fabs(sums[t][r] - wanted) > 1e-6) fail("row_sums", "is wrong", sums[t][r], wanted);
        }
        if (t) same_bits("mul_add", products[0], products[t], n);
        for (size_t i = 0; i < ny; i++) {
            float from = i % LDY < COLS ? x[i / LDY * LDX + i % LDY] : 0;
            if (copied[t][i] != (i % LDY < COLS ? from : y[i])) fail("copy_rows", "is wrong", copied[t][i], from);
            if (fabsf(added[t][i] - (y[i] + from)) > 1e-6f) fail("add_rows", "is wrong", added[t][i], y[i] + from);
        }
        for (size_t i = 0; i < n; i++)
            if (fabs(products[t][i] - (c[i] + 0.5 * a[i] * b[i])) > 2e-7)
                fail("mul_add", "is wrong", products[t][i], c[i]);
    }
    for (int t = 0; t < POOLS; t++) dn_free(copied[t]), dn_free(added[t]), dn_free(products[t]), dn_free(sums[t]);
    dn_free(x), dn_free(y), dn_free(a), dn_free(b), dn_free(c);
    printf("rows: right\n");
}

/* Forward against the formula; backward against it too, training and not, both forms of the root. */
static void test_norm(void) {
    static const size_t shapes[][3] = {{1, 3, 1},  {2, 5, 1},    {250, 200, 1}, {64, 70, 1},
                                       {3, 4, 25}, {64, 33, 49}, {5, 2, 700}};
    for (size_t s = 0; s < 4 * sizeof shapes / sizeof *shapes; s++) {
        size_t rows = shapes[s / 4][0], channels = shapes[s / 4][1], spatial = shapes[s / 4][2],
               n = rows * channels * spatial;
        int training = s & 1;
        float eps = s & 2 ? -1 : 1e-5f, *x = random_vector(n, -1, 3), *g = random_vector(n, -1, 1);
        float *scale = random_vector(channels, 0.5f, 2), *bias = random_vector(channels, -1, 1), *got[POOLS][9];
        size_t sizes[9] = {n, n, n, channels, channels, channels, channels, channels, channels};
        enum { Y, XHAT, DY, MEAN, VAR, ROLLING_MEAN, ROLLING_VAR, DSCALE, DBIAS };
        double *wanted[9];
        for (int t = 0; t < POOLS; t++) {
            for (int i = 0; i < 9; i++) got[t][i] = vector(sizes[i]);
            float **v = got[t];
            for (size_t c = 0; c < channels; c++) v[ROLLING_MEAN][c] = 0.5f, v[ROLLING_VAR][c] = 2;
            memcpy(v[DY], g, n * sizeof *g);
            cpu_norm_forward(pools[t], rows, channels, spatial, training, eps, x, scale, bias, v[MEAN], v[VAR],
                             v[ROLLING_MEAN], v[ROLLING_VAR], v[XHAT], v[Y]);
            if (!training) memcpy(v[VAR], v[ROLLING_VAR], channels * sizeof *v[VAR]);
            cpu_norm_backward(pools[t], rows, channels, spatial, training, eps, v[XHAT], scale, v[MEAN], v[VAR], v[DY],
                              v[DSCALE], v[DBIAS]);
            for (int i = 0; t && i < 9; i++) same_bits("norm", got[0][i], got[t][i], sizes[i]);
        }
        for (int i = 0; i < 9; i++) wanted[i] = doubles(sizes[i]);
        double count = (double)(rows * spatial);
        for (size_t c = 0; c < channels; c++) {
            double m = 0, v = 0, sum = 0, dot = 0;
#define EACH(at)                                             \
    for (size_t at = c * spatial, q = 0; q < rows * spatial; \
         q++, at = (q / spatial * channels + c) * spatial + q % spatial)
            EACH(at) m += x[at] / count;
            EACH(at) v += count > 1 ? (x[at] - m) * (x[at] - m) / (count - 1) : 0;
            int mixed = training && count > 1;
            wanted[ROLLING_MEAN][c] = mixed ? 0.99 * 0.5 + 0.01 * m : 0.5;
            wanted[ROLLING_VAR][c] = mixed ? 0.99 * 2 + 0.01 * v : 2;
            if (!training) m = 0.5, v = 2;
            wanted[MEAN][c] = training ? m : 0, wanted[VAR][c] = v;
            double root = eps < 0 ? 1 / (sqrt(v) + 1e-6) : 1 / sqrt(v + eps);
            double k = eps < 0 ? (v > 0 ? root * root / sqrt(v) : 0) : root * root * root;
            EACH(at) {
                wanted[XHAT][at] = (x[at] - m) * root, wanted[Y][at] = wanted[XHAT][at] * scale[c] + bias[c];
                sum += g[at], dot += g[at] * (x[at] - m);
            }
            wanted[DBIAS][c] = sum, wanted[DSCALE][c] = dot * root;
            EACH(at) {
                double d = root * (g[at] - (training ? sum / count : 0));
                if (training && count > 1) d -= (x[at] - m) * k * dot / (count - 1);
                wanted[DY][at] = scale[c] * d;
            }
        }
        int single = training && rows * spatial == 1; /* its root is 1e6 or 316: rounding of the mean shows */
        for (int i = 0; i < 9; i++)
            if (!single || i >= MEAN) near("norm", got[0][i], wanted[i], sizes[i], 1e-5, 2e-5);
        for (int t = 0; t < POOLS; t++)
            for (int i = 0; i < 9; i++) dn_free(got[t][i]);
        for (int i = 0; i < 9; i++) dn_free(wanted[i]);
        dn_free(x), dn_free(g), dn_free(scale), dn_free(bias);
    }
    printf("norm: right\n");
}

/* ---- max pooling: windows may reach beyond the image; of equal values the first counts; NaN that comes first stays */

static void maxpool_one(dn_conv_shape s, int rows) {
    size_t map = (size_t)s.height * s.width, out = (size_t)s.out_height * s.out_width, maps = (size_t)rows * s.channels;
    float *x = vector(maps * map), *y[POOLS];
    int *index[POOLS];
    for (size_t i = 0; i < maps * map; i++) x[i] = between(0, 40) ? (float)between(-9, 9) : NAN;
    for (int t = 0; t < POOLS; t++) {
        y[t] = vector(maps * out), index[t] = dn_alloc(maps * out + 1, sizeof **index);
        if (!index[t]) exit(2);
        cpu_maxpool_forward(pools[t], (size_t)rows, &s, x, y[t], index[t]);
        if (memcmp(index[0], index[t], maps * out * sizeof **index))
            fail("maxpool", "other places with more threads", 0, 0);
    }
    for (size_t n = 0; n < maps * out; n++) {
        int y0 = (int)(n / s.out_width % s.out_height) * s.stride - s.padding / 2, at = -1;
        int x0 = (int)(n % s.out_width) * s.stride - s.padding / 2;
        const float *image = x + n / out * map;
        for (int i = 0; i < s.size; i++)
            for (int k = 0; k < s.size; k++) {
                int r = y0 + i, c = x0 + k, here = r * s.width + c;
                if (r < 0 || c < 0 || r >= s.height || c >= s.width) continue;
                if (at < 0 || image[here] > image[at]) at = here;
            }
        if (index[0][n] != (int)(n / out * map) + at) fail("maxpool", "wrong place", index[0][n], at);
        if (memcmp(y[0] + n, image + at, sizeof *x)) fail("maxpool", "wrong value", y[0][n], image[at]);
    }
    for (int t = 0; t < POOLS; t++) dn_free(y[t]), dn_free(index[t]);
    dn_free(x);
}

static void test_maxpool(void) {
    for (int i = 0; i < 300; i++) {
        dn_conv_shape s = {.channels = between(1, 3), .height = between(1, 20), .width = between(1, 40)};
        s.stride = between(1, 3), s.size = between(1, 4), s.padding = between(0, s.size - 1);
        int h = s.height + s.padding - s.size, w = s.width + s.padding - s.size;
        if (h < 0 || w < 0) continue;
        s.out_height = h / s.stride + 1, s.out_width = w / s.stride + 1;
        int before = s.padding / 2; /* as the layer demands */
        if ((h / s.stride) * s.stride - before >= s.height || (w / s.stride) * s.stride - before >= s.width) continue;
        maxpool_one(s, between(1, 2));
    }
    maxpool_one((dn_conv_shape){16, 28, 28, 2, 2, 0, 14, 14}, 20);
}

/* ---- the update: in double precision with the numbers of a float ---- */

static void update_one(const dn_optimizer *o, const dn_step *s, double factor, double decay, double *w, double *m,
                       double *v, double g) {
    double rate = s->rate * factor, b1 = (float)o->b1, b2 = (float)o->b2, d = g * s->clip / s->rows + decay * *w;
    if (o->rule == DN_ADAM_OF_SUM) d = g * s->clip + decay * s->rows * *w;
    if (o->rule == DN_ADAMW) d = g * s->clip / s->rows, *w -= rate * decay * *w;
    if (o->rule == DN_SGD) {
        *m = o->momentum * *m + d;
        *w -= rate * *m;
        return;
    }
    *m = b1 * *m + (1 - b1) * d, *v = b2 * *v + (1 - b2) * d * d;
    *w -= rate * (*m / s->correction1) / (sqrt(*v / s->correction2) + o->eps);
}

static void test_update(void) {
    static const size_t sizes[] = {1, 37, 5000, 200003};
    for (int way = 0; way < 4 * 4 * 2; way++) {
        size_t n = sizes[way % 4];
        dn_optimizer o = {(dn_rule)(way / 4 % 4), 0.8f, 1e-3f, 0.9, 0.99};
        dn_step step = {.rate = 0.1f, .rows = 3, .correction1 = 0.4f, .correction2 = 0.3f, .clip = way < 16 ? 1 : 0.3f};
        float *start[3] = {random_vector(n, -1, 1), random_vector(n, -1, 1), random_vector(n, 0.1f, 1)};
        float *g = random_vector(n, -1, 1), *got[POOLS][3];
        double *wanted[3];
        for (int i = 0; i < 3; i++) {
            wanted[i] = doubles(n);
            for (size_t k = 0; k < n; k++) wanted[i][k] = start[i][k];
            for (int t = 0; t < POOLS; t++) got[t][i] = vector(n), memcpy(got[t][i], start[i], n * sizeof *g);
        }
        for (size_t k = 0; k < n; k++)
            update_one(&o, &step, 0.5, 0.25, wanted[0] + k, wanted[1] + k, wanted[2] + k, g[k]);
        for (int t = 0; t < POOLS; t++)
            cpu_update(pools[t], &o, &step, n, 0.5f, 0.25f, got[t][0], got[t][1], o.rule == DN_SGD ? NULL : got[t][2],
                       g);
        for (int i = 0; i < 3; i++) {
            near("update", got[0][i], wanted[i], n, 1e-6, 3e-7);
            for (int t = 1; t < POOLS; t++) same_bits("update", got[0][i], got[t][i], n);
            for (int t = 0; t < POOLS; t++) dn_free(got[t][i]);
            dn_free(start[i]), dn_free(wanted[i]);
        }
        dn_free(g);
    }
    printf("update: right\n");
}

static void test_clip_and_average(void) {
    static const size_t sizes[] = {0, 1, 37, 5000, 200003, 3000001};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        dn_step step = {.rows = 3, .share = 0.25f};
        float *g = random_vector(n, -1, 1), *y = random_vector(n, -1, 1), *got[POOLS], factor[POOLS], most;
        double sum = 0, *wanted = doubles(n);
        for (size_t i = 0; i < n; i++) sum += (double)g[i] * g[i], wanted[i] = 0.75 * y[i] + 0.25 * g[i];
        double norm = sqrt(sum) / 3;
        for (int t = 0; t < POOLS; t++) {
            cpu_clip(pools[t], &step, (float)(2 * norm + 1), n, g, &most);
            if (most != 1) fail("clip", "clips a short gradient", most, 1);
            cpu_clip(pools[t], &step, 0.5f, n, g, &factor[t]);
            same_bits("clip", factor, factor + t, 1);
            got[t] = vector(n), memcpy(got[t], y, n * sizeof *y);
            cpu_average(pools[t], &step, n, g, got[t]);
            same_bits("average", got[0], got[t], n);
        }
        near("clip", factor, &(double){fmin(1, 0.5 / (norm + 1e-6))}, 1, 1e-6, 0);
        near("average", got[0], wanted, n, 1e-6, 1e-7);
        step.share = 1;
        cpu_average(pools[0], &step, n, g, got[0]);
        same_bits("average", g, got[0], n);
        for (int t = 0; t < POOLS; t++) dn_free(got[t]);
        dn_free(g), dn_free(y), dn_free(wanted);
    }
    printf("clip, average: right\n");
}

int main(int n_words, char **words) {
    few = n_words > 1 && !strcmp(words[1], "few");
    make_pools();
    printf("kernels %s\n", dn_cpu_kernels_get()->name);
    test_functions();
    test_activations();
    test_losses();
    test_log_variances();
    test_reparameterise();
    test_random();
    test_softmax();
    test_biases();
    test_lstm();
    test_rows();
    test_norm();
    test_maxpool();
    test_update();
    test_clip_and_average();
    test_gemm();
    free_pools();
    return 0;
}

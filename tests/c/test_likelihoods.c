/* Likelihoods on the CPU, as elementwise losses and as heads, for the instruction set that DARKNET_ISA names: against
 * the textbook formulas in long double, gradients against central differences of those, on one, two and four threads,
 * whose results must be the same bits. Exits 1 at the first wrong number. Run by tests/test_kernels.py. */
#include "kernel_test.h"
#include "net/likelihood.h"
#include <float.h>

typedef long double real;

static const char *const names[] = {"sse",
                                    "L1",
                                    "smooth",
                                    "bce",
                                    "masked",
                                    "bernoulli",
                                    "gaussian",
                                    "laplace",
                                    "student_t",
                                    "poisson",
                                    "negative_binomial",
                                    "categorical"};

/* ---- the formulas ---- */

static real bounded(real x, real plain) {
    real beyond = fabsl(x) - plain;
    return beyond > 0 ? copysignl(plain + 0.5L * log1pl(2 * beyond), x) : x;
}

/* b: log sigma^2 or log r */
static real exact(dn_loss kind, real nu, real b, real x, real t) {
    const real pi = acosl(-1);
    real d = x - t, m = expl(bounded(x, 30)), r = expl(b);
    if (isnan(t)) return 0;
    switch (kind) {
    case DN_LOSS_GAUSSIAN: return 0.5L * (logl(2 * pi) + b + d * d / expl(b));
    case DN_LOSS_LAPLACE: return logl(2) + 0.5L * b + fabsl(d) / expl(0.5L * b);
    case DN_LOSS_STUDENT_T:
        return lgammal(0.5L * nu) - lgammal(0.5L * (nu + 1)) + 0.5L * (logl(nu * pi) + b) +
               0.5L * (nu + 1) * log1pl(d * d / (nu * expl(b)));
    case DN_LOSS_POISSON: return m - t * bounded(x, 30) + lgammal(t + 1);
    case DN_LOSS_NEGATIVE_BINOMIAL:
        return lgammal(r) + lgammal(t + 1) - lgammal(t + r) + r * log1pl(m / r) + (t > 0 ? t * log1pl(r / m) : 0);
    default: return fmaxl(x, 0) - x * t + log1pl(expl(-fabsl(x)));
    }
}

/* -log p of one softmax; a code, or weights of the classes. */
static real exact_categorical(size_t n, const float *x, size_t moved, real by, const float *truth, int code) {
    real sum = 0, loss = 0;
    for (size_t i = 0; i < n; i++) sum += expl(x[i] + (i == moved ? by : 0));
    for (size_t i = 0; i < n; i++) {
        real t = code ? isnan(*truth) ? NAN : *truth == (float)i : truth[i];
        if (isnan(t)) return 0;
        loss += t * (logl(sum) - x[i] - (i == moved ? by : 0));
    }
    return loss;
}

/* ---- the logarithm of the gamma function ---- */

static void test_gamma(void) {
    const double euler = 0.57721566490153286061,
                 at[] = {1e-20, 1e-9, 0.01, 0.3, 1, 1.5, 2, 3.7, 7.9999, 8, 8.5, 25, 1e3, 1e9, 1e15};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        double x = at[i], got = dn_log_gamma(x), wanted = (double)lgammal(x);
        if (!(fabs(got - wanted) <= 2e-15 * (fabs(wanted) + x * fabs(log(x))) + 5e-14))
            fail("log_gamma", "is off", got, wanted);
        real h = 1e-4L * x,
             slope = (8 * (lgammal(x + h) - lgammal(x - h)) - lgammal(x + 2 * h) + lgammal(x - 2 * h)) / (12 * h);
        got = dn_digamma(x), wanted = (double)slope;
        if (!(fabs(got - wanted) <= 1e-11 * (fabs(wanted) + 1))) fail("digamma", "is off", got, wanted);
    }
    if (fabs(dn_digamma(1) + euler) > 1e-13) fail("digamma", "of 1", dn_digamma(1), -euler);
    if (!isnan(dn_log_gamma(NAN)) || !isnan(dn_digamma(NAN))) fail("log_gamma", "hides NaN", 0, NAN);
    for (double x = 0.1; x < 60; x += 0.37) {
        real rest = lgammal(x) - ((x - 0.5L) * logl(x) - x + 0.5L * logl(2 * acosl(-1)));
        if (fabs(dn_log_gamma_rest(x) - (double)rest) > 1e-13)
            fail("rest of log_gamma", "is off", dn_log_gamma_rest(x), (double)rest);
    }
    printf("gamma: right\n");
}

/* ---- heads ---- */

typedef struct head_case {
    dn_head h;
    float *x, *truth, *spread, *weight;
    size_t values, spreads; /* parameters per row; learned spreads */
} head_case;

static int is_counts(dn_loss kind) { return kind == DN_LOSS_POISSON || kind == DN_LOSS_NEGATIVE_BINOMIAL; }

static float truth_of(dn_loss kind, size_t i, float x) {
    static const float counts[] = {0, 1, 2, 3, 7, 15, 90, 1234, 1e6f};
    if (i % 11 == 4) return NAN;
    if (is_counts(kind)) return i % 9 == 8 ? roundf(expf(fminf(x, 12))) : counts[between(0, 8)];
    if (kind == DN_LOSS_BERNOULLI) return i % 2 ? (float)between(0, 1) : uniform(0, 1);
    return x + (i % 2 ? 1 : -1) * uniform(0.01f, i % 7 ? 3 : 30); /* no kink within a difference */
}

static head_case make_case(dn_head h) {
    head_case c = {.h = h};
    dn_loss kind = h.likelihood.kind;
    c.values = h.columns * dn_head_parameters(&h);
    c.spreads = h.spread == DN_SPREAD_ONE ? 1 : h.spread == DN_SPREAD_COLUMN ? h.columns : 0;
    c.h.x_step = c.values + (size_t)between(0, 3), c.h.truth_step = h.columns + (size_t)between(0, 3);
    c.x = random_vector(h.rows * c.h.x_step, -3, 3), c.truth = vector(h.rows * c.h.truth_step);
    c.spread = random_vector(c.spreads, -3, 3), c.weight = random_vector(h.rows, 0, 2);
    if (c.spreads > 1) c.spread[c.spreads / 2] = 14; /* beyond the bound */
    for (size_t r = 0; r < h.rows; r++)
        for (size_t k = 0; k < h.columns; k++) {
            float *x = c.x + r * c.h.x_step + k, *t = c.truth + r * c.h.truth_step + k;
            if (is_counts(kind)) *x = uniform(-3, k % 5 ? 3 : 14);
            if (is_counts(kind) && k % 23 == 22) *x = uniform(-1, 1) * 40;
            if (kind != DN_LOSS_CATEGORICAL)
                *t = truth_of(kind, r * h.columns + k, *x);
            else if (h.classes)
                *t = k % 7 == 3 ? NAN : (float)between(0, (int)h.classes - 1);
            else
                *t = r % 5 == 3 && k == 0 ? NAN
                     : r % 2              ? uniform(0, 1)
                                          : k % (h.columns / h.groups) == r % (h.columns / h.groups);
        }
    return c;
}

static void free_case(head_case *c) { dn_free(c->x), dn_free(c->truth), dn_free(c->spread), dn_free(c->weight); }

/* The loss of column k of row r, with its location and its spread moved. */
static real exact_at(const head_case *c, size_t r, size_t k, real dx, real ds) {
    const dn_head *h = &c->h;
    const float *x = c->x + r * h->x_step;
    dn_loss kind = h->likelihood.kind;
    real b = 0;
    if (h->spread == DN_SPREAD_ONE)
        b = bounded(*c->spread + ds, 10);
    else if (h->spread == DN_SPREAD_COLUMN)
        b = bounded(c->spread[k] + ds, 10);
    else if (h->spread == DN_SPREAD_VALUE)
        b = bounded(x[h->columns + k] + ds, 10);
    else if (h->likelihood.p[0] > 0)
        b = (kind == DN_LOSS_NEGATIVE_BINOMIAL ? 1 : 2) * logl(h->likelihood.p[0]);
    return exact(kind, h->likelihood.p[1], b, x[k] + dx, c->truth[r * h->truth_step + k]);
}

/* By a central difference; the step is smaller than the distance to any kink. */
static real slope_at(const head_case *c, size_t r, size_t k, int by_spread) {
    const real h = 1e-4L;
    real s[4];
    for (int i = 0; i < 4; i++) {
        real d = h * (i < 2 ? i - 2 : i - 1);
        s[i] = exact_at(c, r, k, by_spread ? 0 : d, by_spread ? d : 0);
    }
    return (8 * (s[2] - s[1]) - s[3] + s[0]) / (12 * h);
}

/* What an error of x in its last place makes of a count's loss and gradient: less cannot be asked for. */
static void slack_at(const head_case *c, size_t r, size_t k, double *loss, double *gradient) {
    const real h = 1e-3L, last = 2e-7L * (1 + fabsl(c->x[r * c->h.x_step + k]));
    if (!is_counts(c->h.likelihood.kind)) return;
    real up = exact_at(c, r, k, h, 0), here = exact_at(c, r, k, 0, 0), down = exact_at(c, r, k, -h, 0);
    *loss += (double)(last * fabsl(up - down) / (2 * h));
    *gradient += (double)(last * fabsl(up - 2 * here + down) / (h * h));
}

static void nearby(const char *what, const float *got, const double *wanted, const double *slack, size_t n,
                   double relative, double absolute) {
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - wanted[i]) <= relative * fabs(wanted[i]) + absolute + slack[i]))
            fail(what, "is wrong", got[i], wanted[i]);
}

/* loss (rows), gradient (rows, x_step), spread gradient (spreads) as they should be. */
static void wanted_of(const head_case *c, double *loss, double *gradient, double *by_spread) {
    const dn_head *h = &c->h;
    for (size_t r = 0; r < h->rows; r++) {
        const float *x = c->x + r * h->x_step, *truth = c->truth + r * h->truth_step;
        real sum = 0, w = c->weight[r];
        if (h->likelihood.kind == DN_LOSS_CATEGORICAL) {
            size_t groups = h->classes ? h->columns : h->groups, n = h->classes ? h->classes : h->columns / groups;
            for (size_t g = 0; g < groups; g++) {
                const float *t = truth + (h->classes ? g : g * n);
                sum += exact_categorical(n, x + g * n, n, 0, t, h->classes != 0);
                for (size_t k = 0; k < n; k++) {
                    const real d = 1e-5L;
                    real up = exact_categorical(n, x + g * n, k, d, t, h->classes != 0);
                    real down = exact_categorical(n, x + g * n, k, -d, t, h->classes != 0);
                    gradient[r * h->x_step + g * n + k] = (double)(w * (up - down) / (2 * d));
                }
            }
        } else
            for (size_t k = 0; k < h->columns; k++) {
                sum += exact_at(c, r, k, 0, 0);
                gradient[r * h->x_step + k] = (double)(w * slope_at(c, r, k, 0));
                if (h->spread == DN_SPREAD_FIXED) continue;
                real s = w * slope_at(c, r, k, 1);
                if (h->spread == DN_SPREAD_VALUE)
                    gradient[r * h->x_step + h->columns + k] = (double)s;
                else
                    by_spread[h->spread == DN_SPREAD_ONE ? 0 : k] += (double)s;
            }
        loss[r] += (double)sum;
    }
}

enum { START = 3 }; /* what outputs hold before */

static void try_case(dn_head head) {
    head_case c = make_case(head);
    const dn_head *h = &c.h;
    size_t n = h->rows * h->x_step;
    char what[64];
    float *loss[POOLS], *gradient[POOLS], *by_spread[POOLS];
    double *losses = doubles(h->rows), *gradients = doubles(n), *spreads = doubles(c.spreads), size = 0;
    double *loose = doubles(h->rows), *steep = doubles(n);
    snprintf(what, sizeof what, "%s spread %d, %zu x %zu", names[h->likelihood.kind], h->spread, h->rows, h->columns);
    for (size_t i = 0; i < n; i++) gradients[i] = START;
    for (size_t i = 0; i < h->rows; i++) losses[i] = START;
    for (size_t i = 0; i < c.spreads; i++) spreads[i] = START;
    wanted_of(&c, losses, gradients, spreads);
    for (size_t i = 0; i < h->rows * h->columns; i++)
        slack_at(&c, i / h->columns, i % h->columns, loose + i / h->columns,
                 steep + i / h->columns * h->x_step + i % h->columns);
    for (int t = 0; t < POOLS; t++) {
        loss[t] = vector(h->rows), gradient[t] = vector(n), by_spread[t] = vector(c.spreads);
        for (size_t i = 0; i < n; i++) gradient[t][i] = START;
        for (size_t i = 0; i < h->rows; i++) loss[t][i] = START;
        for (size_t i = 0; i < c.spreads; i++) by_spread[t][i] = START;
        cpu_likelihood(pools[t], h, c.x, c.truth, c.spread, c.weight, loss[t], gradient[t],
                       c.spreads ? by_spread[t] : NULL);
        same_bits(what, loss[0], loss[t], h->rows), same_bits(what, gradient[0], gradient[t], n);
        same_bits(what, by_spread[0], by_spread[t], c.spreads);
    }
    for (size_t i = 0; i < h->rows; i++) size = fmax(size, fabs(losses[i]));
    nearby(what, loss[0], losses, loose, h->rows, 2e-6, 2e-7 * size + 2e-6);
    nearby(what, gradient[0], gradients, steep, n, 1e-5, 2e-6);
    near(what, by_spread[0], spreads, c.spreads, 2e-5, 2e-6 * (double)h->rows);
    /* without some of the outputs and the weights */
    float *alone = vector(h->rows), *bare = vector(n), *once = vector(c.spreads);
    cpu_likelihood(pools[1], h, c.x, c.truth, c.spread, NULL, alone, NULL, NULL);
    for (size_t i = 0; i < h->rows; i++) losses[i] -= START;
    nearby(what, alone, losses, loose, h->rows, 2e-6, 2e-7 * size + 2e-6);
    for (size_t i = 0; i < h->rows; i++) c.weight[i] = 1;
    cpu_likelihood(pools[0], h, c.x, c.truth, c.spread, c.weight, NULL, bare, c.spreads ? once : NULL);
    cpu_likelihood(pools[2], h, c.x, c.truth, c.spread, NULL, NULL, gradient[0], NULL);
    for (size_t i = 0; i < n; i++) gradients[i] = i % h->x_step < c.values ? gradient[0][i] : 0;
    near(what, bare, gradients, n, 1e-6, 1e-7);
    for (int t = 0; t < POOLS; t++) dn_free(loss[t]), dn_free(gradient[t]), dn_free(by_spread[t]);
    dn_free(losses), dn_free(gradients), dn_free(spreads), dn_free(alone), dn_free(bare), dn_free(once);
    dn_free(loose), dn_free(steep);
    free_case(&c);
}

static void test_heads(void) {
    static const size_t shapes[][2] = {{1, 1}, {3, 2}, {5, 16}, {2, 37}, {70, 3}, {33, 65}, {1, 1300}, {128, 300}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int kind = DN_LOSS_BERNOULLI; kind < DN_LOSS_CATEGORICAL; kind++)
            for (int spread = DN_SPREAD_FIXED; spread <= DN_SPREAD_VALUE; spread++) {
                if (spread != DN_SPREAD_FIXED && (kind == DN_LOSS_BERNOULLI || kind == DN_LOSS_POISSON)) continue;
                dn_likelihood of = {(dn_loss)kind,
                                    {uniform(0.2f, 4), kind == DN_LOSS_STUDENT_T ? uniform(0.5f, 9) : 0}};
                try_case((dn_head){
                    .likelihood = of, .spread = (dn_spread)spread, .rows = shapes[s][0], .columns = shapes[s][1]});
            }
    static const size_t groups[][3] = {{1, 1, 1},  {4, 3, 2},    {9, 1, 10},  {5, 20, 7},
                                       {3, 2, 33}, {200, 4, 17}, {2, 150, 24}};
    for (size_t s = 0; s < sizeof groups / sizeof *groups; s++)
        for (int codes = 0; codes < 2; codes++)
            try_case((dn_head){.likelihood.kind = DN_LOSS_CATEGORICAL,
                               .rows = groups[s][0],
                               .columns = codes ? groups[s][1] : groups[s][1] * groups[s][2],
                               .classes = codes ? groups[s][2] : 0,
                               .groups = groups[s][1]});
    printf("heads: right\n");
}

/* ---- elementwise losses ---- */

static void try_loss(dn_likelihood of, size_t n) {
    dn_head h = {.likelihood = of, .rows = 1, .columns = n, .x_step = n, .truth_step = n};
    head_case c = make_case(h);
    float *error[POOLS], *gradient[POOLS];
    double *errors = doubles(n), *gradients = doubles(n), sums[POOLS], total = 0, size = 0;
    double *loose = doubles(n), *steep = doubles(n);
    for (size_t i = 0; i < n; i++) {
        total += errors[i] = (double)exact_at(&c, 0, i, 0, 0), size += fabs(errors[i]);
        gradients[i] = (double)slope_at(&c, 0, i, 0);
        slack_at(&c, 0, i, loose + i, steep + i);
    }
    for (int t = 0; t < POOLS; t++) {
        error[t] = vector(n + 1), gradient[t] = vector(n + 1), sums[t] = START, error[t][n] = gradient[t][n] = 77;
        cpu_loss(pools[t], &of, n, c.x, c.truth, error[t], gradient[t], &sums[t]);
        if (error[t][n] != 77 || gradient[t][n] != 77) fail(names[of.kind], "wrote beyond the end", error[t][n], 77);
        if (sums[t] != sums[0]) fail(names[of.kind], "another sum with more threads", sums[t], sums[0]);
        same_bits(names[of.kind], error[0], error[t], n), same_bits(names[of.kind], gradient[0], gradient[t], n);
        dn_free(t ? error[t] : NULL), dn_free(t ? gradient[t] : NULL);
    }
    nearby(names[of.kind], error[0], errors, loose, n, 2e-6, 4e-6);
    nearby(names[of.kind], gradient[0], gradients, steep, n, 1e-5, 2e-6);
    if (!(fabs(sums[0] - START - total) <= 1e-6 * size + 1e-5))
        fail(names[of.kind], "sum is wrong", sums[0] - START, total);
    dn_free(error[0]), dn_free(gradient[0]), dn_free(errors), dn_free(gradients), dn_free(loose), dn_free(steep);
    free_case(&c);
}

static void test_losses(void) {
    static const size_t lengths[] = {1, 3, 16, 31, 784, 70001};
    for (int kind = DN_LOSS_BERNOULLI; kind < DN_LOSS_CATEGORICAL; kind++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            try_loss((dn_likelihood){(dn_loss)kind, {uniform(0.2f, 4), uniform(0.5f, 9)}}, lengths[l]);
    printf("losses: right\n");
}

/* ---- far out ---- */

static void far_out(dn_likelihood of, float x, float t, int exactly) {
    float error, gradient;
    double sum = 0;
    cpu_loss(pools[0], &of, 1, &x, &t, &error, &gradient, &sum);
    if (!isfinite(error) || !isfinite(gradient)) fail(names[of.kind], "is not finite far out", error, x);
    real b = of.p[0] > 0 ? (of.kind == DN_LOSS_NEGATIVE_BINOMIAL ? 1 : 2) * logl(of.p[0]) : 0;
    real wanted = exact(of.kind, of.p[1], b, x, t);
    if (exactly && !(fabsl(error - wanted) <= 4e-6L * fabsl(wanted) + 4e-6L))
        fail(names[of.kind], "is off far out", error, (double)wanted);
}

static void test_far_out(void) {
    static const float xs[] = {-3e38f, -1e20f, -1e4f, -104, -88, 0, 20, 88, 104, 1e4f, 1e20f, 3e38f};
    for (size_t i = 0; i < sizeof xs / sizeof *xs; i++) {
        for (float t = 0; t < 2; t++) far_out((dn_likelihood){DN_LOSS_BERNOULLI, {0}}, xs[i], t, 1);
        for (float t = 0; t < 2e6f; t = t * 9 + 1) {
            far_out((dn_likelihood){DN_LOSS_POISSON, {0}}, xs[i], t, 1);
            for (float r = 1e-3f; r < 1e7f; r *= 10)
                far_out((dn_likelihood){DN_LOSS_NEGATIVE_BINOMIAL, {r}}, xs[i], t, 1);
            for (float r = 1e-20f; r < 1e22f; r *= 1e20f)
                far_out((dn_likelihood){DN_LOSS_NEGATIVE_BINOMIAL, {r}}, xs[i], t, 0);
        }
        for (float nu = 0.1f; nu < 1e7f; nu *= 10) far_out((dn_likelihood){DN_LOSS_STUDENT_T, {20, nu}}, xs[i], 1, 1);
        far_out((dn_likelihood){DN_LOSS_LAPLACE, {2}}, xs[i], 1, 1);
        if (fabsf(xs[i]) < 1e18f) far_out((dn_likelihood){DN_LOSS_GAUSSIAN, {2}}, xs[i], 1, 1);
    }
    /* where Poisson's terms cancel: near the mode of large counts; with r without end, the same numbers */
    for (float t = 1e3f; t < 2e9f; t *= 7) {
        float x = logf(t) + 0.3f / sqrtf(t);
        far_out((dn_likelihood){DN_LOSS_POISSON, {0}}, x, t, t < 1e8f);
        float error[2], gradient[2];
        double sum = 0;
        cpu_loss(pools[0], &(dn_likelihood){DN_LOSS_POISSON, {0}}, 1, &x, &t, error, gradient, &sum);
        cpu_loss(pools[0], &(dn_likelihood){DN_LOSS_NEGATIVE_BINOMIAL, {1e20f}}, 1, &x, &t, error + 1, gradient + 1,
                 &sum);
        if (fabsf(error[0] - error[1]) > 1e-5f * error[0])
            fail("negative_binomial", "is no poisson", error[1], error[0]);
    }
    float error, gradient, one = 1, minus = -1;
    double sum = 0;
    cpu_loss(pools[0], &(dn_likelihood){DN_LOSS_POISSON, {0}}, 1, &one, &minus, &error, &gradient, &sum);
    if (!isnan(error)) fail("poisson", "takes a count below 0", error, NAN);
    printf("far out: right\n");
}

/* Logits that e^x does not hold; codes that no class has. Of few classes, and of many. */
static void test_codes(void) {
    enum { MOST = 40 };
    const float codes[] = {0, 1, 100, 2.5f, -1, NAN, INFINITY};
    for (size_t i = 0; i < 2 * sizeof codes / sizeof *codes; i++) {
        size_t n = i % 2 ? 3 : MOST;
        float x[MOST], code = codes[i / 2], loss = 0, gradient[MOST], far = i < 2;
        for (size_t k = 0; k < n; k++) x[k] = far ? k ? -1e30f : 1e30f : 2;
        dn_head h = {.likelihood.kind = DN_LOSS_CATEGORICAL, .rows = 1, .columns = 1, .classes = n};
        h.x_step = n, h.truth_step = 1;
        cpu_likelihood(pools[0], &h, x, &code, NULL, NULL, &loss, gradient, NULL);
        int none = !isnan(code) && code != 0 && code != 1;
        float wanted = far || isnan(code) ? 0 : none ? NAN : logf((float)n);
        if (none ? !isnan(loss) : !(fabsf(loss - wanted) < 1e-6f)) fail("code", "loss", loss, wanted);
        for (size_t k = 0; k < n; k++) {
            float d = far || isnan(code) ? 0 : none ? NAN : 1 / (float)n - (k == 1);
            if (none ? !isnan(gradient[k]) : !(fabsf(gradient[k] - d) < 1e-6f))
                fail("code", "gradient", gradient[k], d);
        }
    }
    printf("codes: right\n");
}

/* ---- means ---- */

static void test_means(void) {
    for (int kind = DN_LOSS_BERNOULLI; kind < DN_LOSS_COUNT; kind++)
        for (int way = 0; way < 4; way++) {
            dn_head h = {.likelihood.kind = (dn_loss)kind, .rows = way & 1 ? 300 : 3, .columns = 24, .groups = 4};
            int codes = kind == DN_LOSS_CATEGORICAL && way & 2;
            if (codes) h.classes = 7;
            size_t values = 24 * dn_head_parameters(&h), step = 30;
            h.x_step = values + 2;
            float *x = random_vector(h.rows * h.x_step, -4, 4), *out[POOLS];
            double *wanted = doubles(h.rows * step);
            for (size_t i = 0; i < h.rows * h.x_step; i += 17) x[i] *= 10;
            for (size_t r = 0; r < h.rows; r++) {
                const float *v = x + r * h.x_step;
                for (size_t c = 0; c < step; c++) wanted[r * step + c] = START;
                for (size_t c = 0; c < 24; c++) {
                    double sum = 0, most = 0;
                    for (size_t i = 0; i < 6; i++) sum += exp(v[c / 6 * 6 + i]);
                    for (size_t i = 1; codes && i < 7; i++)
                        most = v[c * 7 + i] > v[c * 7 + (size_t)most] ? (double)i : most;
                    wanted[r * step + c] = codes                         ? most
                                           : kind == DN_LOSS_CATEGORICAL ? exp(v[c]) / sum
                                           : is_counts((dn_loss)kind)    ? exp((double)bounded(v[c], 30))
                                           : kind == DN_LOSS_BERNOULLI   ? 1 / (1 + exp(-v[c]))
                                                                         : v[c];
                }
            }
            for (int t = 0; t < POOLS; t++) {
                out[t] = vector(h.rows * step);
                for (size_t i = 0; i < h.rows * step; i++) out[t][i] = START;
                cpu_likelihood_mean(pools[t], &h, x, step, out[t]);
                same_bits("mean", out[0], out[t], h.rows * step);
            }
            near(names[kind], out[0], wanted, h.rows * step, 4e-6, 1e-6);
            for (int t = 0; t < POOLS; t++) dn_free(out[t]);
            dn_free(x), dn_free(wanted);
        }
    printf("means: right\n");
}

static void test_sum(void) {
    static const size_t lengths[] = {0, 1, 37, 5000, 1200001};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        float *x = random_vector(lengths[l], -1, 2);
        double wanted = START, got[POOLS];
        for (size_t i = 0; i < lengths[l]; i++) wanted -= 0.5 * x[i];
        for (int t = 0; t < POOLS; t++) {
            got[t] = START;
            cpu_add_sum(pools[t], lengths[l], -0.5, x, got + t);
            if (got[t] != got[0]) fail("sum", "another with more threads", got[t], got[0]);
        }
        if (fabs(got[0] - wanted) > 1e-12 * fabs(wanted)) fail("sum", "is wrong", got[0], wanted);
        dn_free(x);
    }
    printf("sum: right\n");
}

int main(void) {
    make_pools();
    printf("kernels %s\n", dn_cpu_kernels_get()->name);
    test_gamma();
    test_losses();
    test_heads();
    test_far_out();
    test_codes();
    test_means();
    test_sum();
    free_pools();
    return 0;
}

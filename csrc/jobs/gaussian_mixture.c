/* Mixtures of Gaussians with full covariances, fitted by expectation-maximisation (Dempster, Laird and Rubin 1977;
 * Bishop, Pattern recognition and machine learning, section 9.2), in double precision.
 *
 *   p(x) = sum_k w_k N(x; m_k, S_k),   S_k = L_k L_k' (Cholesky)
 *   E:  r_ik = w_k N(x_i; m_k, S_k) / p(x_i)
 *   M:  N_k = sum_i r_ik,  w_k = N_k / n,  m_k = sum_i r_ik x_i / N_k,
 *       S_k = sum_i r_ik (x_i - m_k) (x_i - m_k)' / N_k + floor
 *
 * The floor is FLOOR times each column's variance over all rows: without it, a component that shrinks to a few rows
 * would have a density without bound. It begins with the centres of k-means++ (Arthur and Vassilvitskii, SODA 2007) and
 * responsibilities for the nearest centre.
 *
 * Threads share blocks of rows in E and components in M; every sum is taken by one of them, in the order of the rows,
 * so results do not depend on their number. */
#include "base/pool.h"
#include "base/rng.h"
#include "base/sys.h"
#include "jobs/jobs.h"
#include <math.h>
#include <string.h>

#define FLOOR 1e-4
#define FIT_TOLERANCE 1e-5 /* nats per row: the fit ends when an iteration gains less */
enum {
    ITERATIONS = 300,
    FIT_BLOCK = 16 /* rows at a time, side by side in vectors */,
    BLOCKS = 64 /* shared in a job */
};

typedef struct fit {
    dn_pool *pool; /* NULL: one thread */
    const float *x;
    size_t n, d, k;
    uint64_t seed;
    double *r;       /* (n, k): responsibilities */
    double *least;   /* (n): squared distance to the nearest centre */
    double *floor;   /* (d) */
    double *factors; /* (k, d, d): L, lower triangles; the diagonal holds 1 / L_jj */
    double *scales;  /* (k): log w - (d log 2 pi + log |S|) / 2 */
    double *work;    /* (BLOCKS, d, FIT_BLOCK) */
    double *centred; /* (k, d): of one row */
    double *totals;  /* (k): rows that belong to a component */
    dn_mixture *to;
} fit;

static int mixture_alloc(dn_mixture *m, int k, int d) {
    *m = (dn_mixture){.components = k, .columns = d};
    size_t means = (size_t)k * (size_t)d;
    m->weights = dn_alloc((size_t)k, sizeof *m->weights);
    m->means = m->weights ? dn_alloc(means, sizeof *m->means) : NULL;
    m->covariances = m->means ? dn_alloc(means, (size_t)d * sizeof *m->covariances) : NULL;
    return m->covariances != NULL;
}

void dn_mixture_free(dn_mixture *m) {
    dn_free(m->weights), dn_free(m->means), dn_free(m->covariances);
    *m = (dn_mixture){0};
}

/* L of S = L L', with 1 / L_jj in the diagonal; *log_det = log |S|. Returns 0 when S is not positive definite. */
static int cholesky(size_t d, const double *s, double *l, double *log_det) {
    *log_det = 0;
    for (size_t j = 0; j < d; j++) {
        for (size_t i = 0; i <= j; i++) {
            double sum = s[j * d + i];
            for (size_t c = 0; c < i; c++) sum -= l[j * d + c] * l[i * d + c];
            if (i < j)
                l[j * d + i] = sum * l[i * d + i];
            else if (sum > 0 && isfinite(sum))
                l[j * d + j] = 1 / sqrt(sum), *log_det += log(sum);
            else
                return 0;
        }
    }
    return 1;
}

static dn_status factorise(const dn_mixture *m, double *factors, double *scales) {
    size_t d = (size_t)m->columns;
    for (int k = 0; k < m->components; k++) {
        double log_det;
        size_t at = (size_t)k * d * d;
        DN_CHECK(m->weights[k] >= 0 && isfinite(m->weights[k]), DN_E_USAGE, "weight %d of the mixture is %g", k,
                 m->weights[k]);
        DN_CHECK(cholesky(d, m->covariances + at, factors + at, &log_det), DN_E_NUMERIC,
                 "the covariance of component %d of the mixture is not positive definite", k);
        scales[k] = log(m->weights[k]) - 0.5 * ((double)d * 1.8378770664093453 + log_det); /* log 2 pi */
    }
    return DN_OK;
}

/* For up to FIT_BLOCK rows: out (n, step) gets, in its column k, log w_k N(x; m_k, S_k). work (d, FIT_BLOCK) is
 * scratch: L y = x - m. */
static void log_densities(const fit *f, size_t k, const float *x, size_t n, double *work, double *out) {
    size_t d = f->d;
    const double *l = f->factors + k * d * d, *m = f->to->means + k * d;
    double distance[FIT_BLOCK] = {0};
    for (size_t j = 0; j < d; j++) {
        double *y = work + j * FIT_BLOCK;
        for (size_t r = 0; r < FIT_BLOCK; r++) y[r] = r < n ? x[r * d + j] - m[j] : 0;
        for (size_t c = 0; c < j; c++)
            for (size_t r = 0; r < FIT_BLOCK; r++) y[r] -= l[j * d + c] * work[c * FIT_BLOCK + r];
        for (size_t r = 0; r < FIT_BLOCK; r++) y[r] *= l[j * d + j], distance[r] += y[r] * y[r];
    }
    for (size_t r = 0; r < n; r++) out[r * f->k + k] = f->scales[k] - 0.5 * distance[r];
}

/* The log of the sum of exp of k numbers; they become their shares of the sum. */
static double log_sum_in_place(size_t k, double *values) {
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < k; i++) most = fmax(most, values[i]);
    if (!isfinite(most)) return most;
    for (size_t i = 0; i < k; i++) sum += values[i] = exp(values[i] - most);
    for (size_t i = 0; i < k; i++) values[i] /= sum;
    return most + log(sum);
}

/* Up to BLOCKS blocks of rows from `first` on. */
typedef struct blocks {
    const fit *f;
    size_t first;
    double *r; /* their responsibilities */
    double log_p[BLOCKS * FIT_BLOCK];
} blocks;

static void expect_block(void *context, size_t block) {
    blocks *b = context;
    const fit *f = b->f;
    size_t at = block * FIT_BLOCK, left = f->n - b->first - at, n = left < FIT_BLOCK ? left : FIT_BLOCK;
    double *r = b->r + at * f->k;
    for (size_t k = 0; k < f->k; k++)
        log_densities(f, k, f->x + (b->first + at) * f->d, n, f->work + block * f->d * FIT_BLOCK, r);
    for (size_t i = 0; i < n; i++) b->log_p[at + i] = log_sum_in_place(f->k, r + i * f->k);
}

/* Sets the responsibilities; the mean log density goes to *mean. each: NULL, or (n) log densities. */
static dn_status expect(fit *f, double *mean, double *each) {
    enum { ROWS = BLOCKS * FIT_BLOCK };
    double sum = 0;
    DN_TRY(factorise(f->to, f->factors, f->scales));
    for (size_t at = 0, n; at < f->n; at += n) {
        blocks b = {.f = f, .first = at, .r = each ? f->r : f->r + at * f->k};
        n = f->n - at < ROWS ? f->n - at : ROWS;
        DN_TRY(dn_watched());
        dn_pool_run(f->pool, (n + FIT_BLOCK - 1) / FIT_BLOCK, expect_block, &b);
        for (size_t i = 0; i < n; i++) sum += b.log_p[i];
        if (each) memcpy(each + at, b.log_p, n * sizeof *each);
    }
    *mean = sum / (double)f->n;
    return DN_OK;
}

/* Rows [from, to), for all components. */
typedef struct rows_of {
    const fit *f;
    size_t from, to;
} rows_of;

static int is_empty(const fit *f, size_t k) { return f->totals[k] < 1e-8; }

/* Weight and mean of component k from its responsibilities. One that no row belongs to stays as it was. */
static void maximise_mean(void *context, size_t k) {
    const fit *f = ((const rows_of *)context)->f;
    size_t d = f->d;
    double *m = f->to->means + k * d, *s = f->to->covariances + k * d * d, total = 0;
    for (size_t i = 0; i < f->n; i++) total += f->r[i * f->k + k];
    f->to->weights[k] = fmax(total / (double)f->n, 1e-300), f->totals[k] = total;
    if (is_empty(f, k)) return;
    memset(m, 0, d * sizeof *m);
    memset(s, 0, d * d * sizeof *s);
    for (size_t i = 0; i < f->n; i++)
        for (size_t j = 0; j < d; j++) m[j] += f->r[i * f->k + k] * f->x[i * d + j];
    for (size_t j = 0; j < d; j++) m[j] /= total;
}

/* What these rows add to its covariance; all that do not belong to it add nothing. */
static void maximise_covariance(void *context, size_t k) {
    const rows_of *rows = context;
    const fit *f = rows->f;
    size_t d = f->d;
    const double *m = f->to->means + k * d;
    double *s = f->to->covariances + k * d * d, *centred = f->centred + k * d;
    if (is_empty(f, k)) return;
    for (size_t i = rows->from; i < rows->to; i++) {
        double r = f->r[i * f->k + k];
        if (r < 1e-12) continue;
        for (size_t j = 0; j < d; j++) centred[j] = f->x[i * d + j] - m[j];
        for (size_t j = 0; j < d; j++)
            for (size_t c = 0; c <= j; c++) s[j * d + c] += r * centred[j] * centred[c];
    }
}

static dn_status maximise(fit *f) {
    const double most = 2e7; /* products between two looks at the watch */
    size_t d = f->d;
    double by_row = (double)(d * d * f->k);
    size_t rows = by_row < most / FIT_BLOCK ? (size_t)(most / by_row) : FIT_BLOCK;
    dn_pool_run(f->pool, f->k, maximise_mean, &(rows_of){f, 0, f->n});
    for (size_t at = 0; at < f->n; at += rows) {
        DN_TRY(dn_watched());
        dn_pool_run(f->pool, f->k, maximise_covariance, &(rows_of){f, at, f->n - at < rows ? f->n : at + rows});
    }
    for (size_t k = 0; k < f->k; k++) {
        double *s = f->to->covariances + k * d * d;
        for (size_t j = 0; j < d && !is_empty(f, k); j++) {
            for (size_t c = 0; c <= j; c++) s[c * d + j] = s[j * d + c] = s[j * d + c] / f->totals[k];
            s[j * d + j] += f->floor[j];
        }
    }
    return DN_OK;
}

/* ---- where it begins ---- */

/* Uniform number `index` in [0, 1), of 48 bits. */
static double uniform(uint64_t seed, uint32_t stream, uint64_t index) {
    uint32_t bits[4];
    dn_philox(seed, stream, index, 0, bits);
    return ((double)(bits[0] >> 8) * 16777216.0 + (bits[1] >> 8)) / 281474976710656.0;
}

static void measure(fit *f) {
    for (size_t j = 0; j < f->d; j++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < f->n; i++) sum += f->x[i * f->d + j];
        for (size_t i = 0; i < f->n; i++) {
            double from = f->x[i * f->d + j] - sum / (double)f->n;
            squares += from * from;
        }
        f->floor[j] = fmax(FLOOR * squares / (double)f->n, 1e-12);
    }
}

/* Takes row `from` as centre k: rows that are nearer to it than to earlier ones become its own. If there are none,
 * because rows repeat, the component stays there, with the variances of all rows. */
static void centre(fit *f, size_t k, size_t from) {
    double *s = f->to->covariances + k * f->d * f->d;
    for (size_t j = 0; j < f->d; j++) {
        f->to->means[k * f->d + j] = f->x[from * f->d + j];
        s[j * f->d + j] = f->floor[j] / FLOOR;
    }
    for (size_t i = 0; i < f->n; i++) {
        double distance = 0;
        for (size_t j = 0; j < f->d; j++) {
            double gap = (double)f->x[i * f->d + j] - f->x[from * f->d + j];
            distance += gap * gap;
        }
        if (k && !(distance < f->least[i])) continue;
        f->least[i] = distance;
        for (size_t c = 0; c <= k; c++) f->r[i * f->k + c] = c == k;
    }
}

/* k-means++: each further centre is a row drawn with a probability in proportion to its squared distance from the
 * nearest centre so far. */
static dn_status begin(fit *f) {
    measure(f);
    for (size_t k = 0; k < f->k; k++) {
        DN_TRY(dn_watched());
        double u = uniform(f->seed, DN_STREAM_MIXTURE, k), total = 0;
        size_t row = (size_t)(u * (double)f->n);
        for (size_t i = 0; k && i < f->n; i++) total += f->least[i];
        for (size_t i = 0; total > 0 && i < f->n; i++)
            if (f->least[i] > 0) {
                row = i; /* the last one, if rounding leaves some of u */
                if ((u -= f->least[i] / total) < 0) break;
            }
        centre(f, k, row);
    }
    return DN_OK;
}

static dn_status iterate(fit *f) {
    double before = -INFINITY;
    DN_TRY(begin(f));
    for (f->to->iterations = 0; f->to->iterations < ITERATIONS;) {
        DN_TRY(maximise(f));
        DN_TRY(expect(f, &f->to->log_likelihood, NULL));
        f->to->iterations++;
        DN_CHECK(isfinite(f->to->log_likelihood), DN_E_NUMERIC,
                 "the log-likelihood of the mixture is %g in iteration %d", f->to->log_likelihood, f->to->iterations);
        if (f->to->log_likelihood - before < FIT_TOLERANCE) break;
        before = f->to->log_likelihood;
    }
    return DN_OK;
}

static dn_status fit_alloc(fit *f, size_t kept_rows) {
    f->r = dn_alloc(kept_rows, f->k * sizeof *f->r);
    f->factors = f->r ? dn_alloc(f->k * f->d, f->d * sizeof *f->factors) : NULL;
    f->scales = f->factors ? dn_alloc(f->k, sizeof *f->scales) : NULL;
    f->work = f->scales ? dn_alloc(f->d, BLOCKS * FIT_BLOCK * sizeof *f->work) : NULL;
    f->centred = f->work ? dn_alloc(f->k, f->d * sizeof *f->centred) : NULL;
    f->totals = f->centred ? dn_alloc(f->k, sizeof *f->totals) : NULL;
    f->floor = f->totals ? dn_alloc(f->d, sizeof *f->floor) : NULL;
    f->least = f->floor ? dn_alloc(f->n, sizeof *f->least) : NULL;
    return f->least ? DN_OK : DN_E_MEMORY;
}

static dn_status fit_end(fit *f, dn_status status) {
    double *arrays[] = {f->r, f->factors, f->scales, f->work, f->centred, f->totals, f->floor, f->least};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) dn_free(arrays[i]);
    return status;
}

static dn_status check_finite(const float *x, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows * columns; i++)
        DN_CHECK(isfinite(x[i]), DN_E_USAGE,
                 "row %zu, column %zu of the rows for the mixture is %g, not a finite number", i / columns + 1,
                 i % columns + 1, (double)x[i]);
    return DN_OK;
}

dn_status dn_job_mixture_fit(dn_pool *pool, dn_mixture *out, const float *x, size_t rows, int columns, int components,
                             uint64_t seed) {
    *out = (dn_mixture){0};
    DN_CHECK(columns > 0, DN_E_USAGE, "a mixture of vectors of %d values", columns);
    DN_CHECK(components > 0, DN_E_USAGE, "%d components: a mixture has at least 1", components);
    DN_CHECK((size_t)components <= rows, DN_E_USAGE, "%d components are more than the %zu rows that they are fitted to",
             components, rows);
    DN_TRY(check_finite(x, rows, (size_t)columns));
    fit f = {.pool = pool, .x = x, .n = rows, .d = (size_t)columns, .k = (size_t)components, .seed = seed, .to = out};
    dn_status status = mixture_alloc(out, components, columns) ? fit_alloc(&f, rows) : DN_E_MEMORY;
    if (status == DN_OK) status = iterate(&f);
    if (status != DN_OK) dn_mixture_free(out);
    return fit_end(&f, status);
}

dn_status dn_mixture_fit(dn_mixture *out, const float *x, size_t rows, int columns, int components, uint64_t seed) {
    return dn_job_mixture_fit(NULL, out, x, rows, columns, components, seed);
}

/* ---- what is done with one ---- */

dn_status dn_mixture_log_density(const dn_mixture *m, const float *x, size_t rows, double *out) {
    double mean;
    fit f = {.x = x, .n = rows, .d = (size_t)m->columns, .k = (size_t)m->components, .to = (dn_mixture *)m};
    DN_TRY(check_finite(x, rows, (size_t)m->columns));
    dn_status status = fit_alloc(&f, BLOCKS * FIT_BLOCK);
    if (status == DN_OK) status = expect(&f, &mean, out);
    return fit_end(&f, status);
}

int dn_job_draw_component(uint64_t seed, uint64_t row, const double *weights, int n, double *eps, int columns) {
    double total = 0;
    int k = 0;
    for (int i = 0; i < n; i++) total += weights[i];
    double u = total * uniform(seed, DN_STREAM_COMPONENT, row);
    while (k + 1 < n && (u -= weights[k]) >= 0) k++;
    for (int j = 0; j < columns; j += 4) {
        float four[4];
        dn_normal4(seed, DN_STREAM_MIXTURE_DRAW, row, (uint32_t)(j / 4), four);
        for (int c = 0; c < 4 && j + c < columns; c++) eps[j + c] = (double)four[c];
    }
    return k;
}

/* z = m_k + temperature L_k eps. The factors hold 1 / L_jj. */
static void draw_row(const fit *f, uint64_t row, double temperature, float *z) {
    double *eps = f->work;
    size_t d = f->d;
    size_t k = (size_t)dn_job_draw_component(f->seed, row, f->to->weights, f->to->components, eps, f->to->columns);
    const double *l = f->factors + k * d * d, *m = f->to->means + k * d;
    for (size_t j = 0; j < d; j++) {
        double sum = eps[j] / l[j * d + j];
        for (size_t c = 0; c < j; c++) sum += l[j * d + c] * eps[c];
        z[j] = (float)(m[j] + temperature * sum);
    }
}

dn_status dn_mixture_draw(const dn_mixture *m, uint64_t seed, size_t rows, double temperature, float *z) {
    fit f = {.d = (size_t)m->columns, .k = (size_t)m->components, .seed = seed, .to = (dn_mixture *)m};
    DN_TRY(dn_job_temperature(temperature));
    dn_status status = fit_alloc(&f, 1);
    if (status == DN_OK) status = factorise(m, f.factors, f.scales);
    for (size_t i = 0; i < rows && status == DN_OK; i++) {
        draw_row(&f, i, temperature, z + i * f.d);
        if (i % 64 == 0) status = dn_watched();
    }
    return fit_end(&f, status);
}

/* Baselines of a table, in double precision. */
#include "jobs/baselines.h"
#include "base/eigen.h"
#include "base/sys.h"
#include <math.h>

/* The matrix of a PCA is as wide as the table has rows or columns, whichever are fewer: at most this many. */
enum { PCA_WIDEST = 1024 };
/* Multiplications: some seconds. */
static const double PCA_WORK = 4e10;

/* ---- columns ---- */

enum { COLUMN_BAND = 64, BLOCK = 64, TILE = 4 };

typedef struct column_job {
    const float *x, *weights;
    double count; /* what the rows count together */
    size_t n, columns;
    double *mean, *square; /* (columns): mean; sum of squared distances from it */
    double *entropy;       /* (columns): sum of the entropies of the values; NaN beyond 0 to 1 */
} column_job;

static double row_count(const column_job *j, size_t r) { return j->weights ? j->weights[r] : 1; }

static double plog(double p) { return p > 0 ? p * log(p) : 0; }
static double bernoulli_entropy(double p) { return -plog(p) - plog(1 - p); }

/* A band of columns, over all rows. */
static void column_sums(void *context, size_t band) {
    const column_job *j = context;
    size_t from = band * COLUMN_BAND, to = from + COLUMN_BAND < j->columns ? from + COLUMN_BAND : j->columns;
    for (size_t c = from; c < to; c++) j->mean[c] = j->square[c] = j->entropy[c] = 0;
    for (size_t r = 0; r < j->n; r++)
        for (size_t c = from; c < to; c++) j->mean[c] += row_count(j, r) * (double)j->x[r * j->columns + c];
    for (size_t c = from; c < to; c++) j->mean[c] /= j->count;
    for (size_t r = 0; r < j->n; r++) {
        const float *row = j->x + r * j->columns;
        double count = row_count(j, r);
        for (size_t c = from; c < to; c++) j->square[c] += count * ((row[c] - j->mean[c]) * (row[c] - j->mean[c]));
        for (size_t c = from; c < to; c++)
            if (row[c] != 0 && row[c] != 1) /* log of a negative number is NaN */
                j->entropy[c] += row[c] > 0 && row[c] < 1 ? count * bernoulli_entropy((double)row[c]) : NAN;
    }
}

/* ---- PCA ---- */

typedef struct pca_job {
    const column_job *table;
    int by_rows;   /* 1: the matrix is (rows, rows), which has the same eigenvalues besides zeros */
    size_t width;  /* of the matrix */
    size_t at, n;  /* the block of the other direction that is added: n from `at` on */
    double *block; /* (BLOCK, width): its centred values */
    double *matrix;
} pca_job;

static void pca_fill(const pca_job *p) {
    const column_job *t = p->table;
    for (size_t k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->width; i++) {
            size_t r = p->by_rows ? i : p->at + k, c = p->by_rows ? p->at + k : i;
            double centred = t->x[r * t->columns + c] - t->mean[c];
            p->block[k * p->width + i] = t->weights ? sqrt((double)t->weights[r]) * centred : centred;
        }
}

/* Add the block's products to TILE rows of the matrix, up to the diagonal. */
static void pca_add(void *context, size_t tile) {
    const pca_job *p = context;
    size_t w = p->width, i = tile * TILE, rows = w - i < TILE ? w - i : TILE;
    for (size_t j = 0; j < i + rows; j += TILE) {
        double sums[TILE][TILE] = {{0}};
        if (rows == TILE && j + TILE <= w) {
            for (size_t k = 0; k < p->n; k++) {
                const double *x = p->block + k * w + i, *y = p->block + k * w + j;
                for (int a = 0; a < TILE; a++)
                    for (int b = 0; b < TILE; b++) sums[a][b] += x[a] * y[b];
            }
        } else {
            for (size_t k = 0; k < p->n; k++)
                for (size_t a = 0; a < rows; a++)
                    for (size_t b = 0; b < TILE && j + b < w; b++)
                        sums[a][b] += p->block[k * w + i + a] * p->block[k * w + j + b];
        }
        for (size_t a = 0; a < rows; a++)
            for (size_t b = 0; b < TILE && j + b < w; b++) p->matrix[(i + a) * w + j + b] += sums[a][b];
    }
}

static dn_status pca_matrix(dn_pool *pool, pca_job *p) {
    const column_job *t = p->table;
    size_t w = p->width, others = p->by_rows ? t->columns : t->n;
    for (p->at = 0; p->at < others; p->at += BLOCK) {
        DN_TRY(dn_watched());
        p->n = others - p->at < BLOCK ? others - p->at : BLOCK;
        pca_fill(p);
        dn_pool_run(pool, (w + TILE - 1) / TILE, pca_add, p);
    }
    for (size_t i = 0; i < w; i++)
        for (size_t j = 0; j <= i; j++) p->matrix[j * w + i] = p->matrix[i * w + j] /= t->count;
    return DN_OK;
}

/* From the eigenvalues (width), descending, of which the others are 0. */
static void pca_results(const double *values, size_t width, size_t columns, size_t components, dn_baselines *out) {
    double left = 0, logs = 0, d = (double)columns;
    for (size_t i = width; i-- > components;) left += values[i] > 0 ? values[i] : 0;
    out->pca_mse = left / d;
    if (components >= columns) return;
    double others = d - (double)components, noise = left / others;
    for (size_t i = 0; i < components && i < width; i++) logs += log(values[i]);
    double p = -0.5 * (d * (log(2 * acos(-1)) + 1) + logs + others * log(noise));
    /* nothing is left over but rounding: the likelihood has no maximum */
    if (isfinite(p) && components < width && noise > 1e-13 * values[0]) out->pca_log_likelihood = p;
}

static dn_status baselines_pca(dn_pool *pool, const column_job *t, size_t components, dn_baselines *out) {
    int by_rows = t->n < t->columns;
    size_t w = by_rows ? t->n : t->columns;
    double work = 0.5 * (double)w * (double)t->n * (double)t->columns + (double)w * (double)w * (double)w;
    if (w > PCA_WIDEST || work > PCA_WORK) return DN_OK;
    double *matrix = dn_alloc(w * w + BLOCK * w + w, sizeof *matrix);
    if (!matrix) return DN_E_MEMORY;
    double *block = matrix + w * w, *values = block + BLOCK * w;
    pca_job p = {.table = t, .by_rows = by_rows, .width = w, .block = block, .matrix = matrix};
    dn_status status = pca_matrix(pool, &p);
    if (status == DN_OK) status = dn_eigenvalues(pool, w, matrix, values);
    if (status == DN_OK) pca_results(values, w, t->columns, components, out);
    dn_free(matrix);
    return status;
}

dn_status dn_baselines_of(dn_pool *pool, const float *x, const float *weights, size_t n, size_t columns,
                          size_t components, dn_baselines *out) {
    *out = (dn_baselines){.pca_mse = NAN, .pca_log_likelihood = NAN};
    double *sums = dn_alloc(columns, 3 * sizeof *sums), square = 0, rows = (double)n;
    if (weights) rows = 0;
    for (size_t r = 0; weights && r < n; r++) rows += weights[r];
    column_job t = {.x = x, .weights = weights, .count = rows, .n = n, .columns = columns, .mean = sums};
    if (!sums) return DN_E_MEMORY;
    t.square = sums + columns, t.entropy = sums + 2 * columns;
    dn_pool_run(pool, (columns + COLUMN_BAND - 1) / COLUMN_BAND, column_sums, &t);
    for (size_t c = 0; c < columns; c++) {
        square += t.square[c], out->entropy += t.entropy[c] / rows;
        out->mean_nats += isnan(t.entropy[c]) ? NAN : bernoulli_entropy(t.mean[c]);
    }
    out->mean_mse = square / (rows * (double)columns);
    dn_status status = baselines_pca(pool, &t, components, out);
    dn_free(sums);
    return status;
}

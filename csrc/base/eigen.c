/* Eigenvalues: Householder's reduction to a tridiagonal matrix, then the QR iteration with Wilkinson's shift (Golub and
 * Van Loan, Matrix Computations, sections 8.3.1 and 8.3.5). Eigenvectors are not computed, which would take most of
 * the time. */
#include "base/eigen.h"
#include "base/sys.h"
#include <math.h>
#include <stdlib.h>

enum { EIGEN_BAND = 32 }; /* rows in a chunk */

/* One step of the reduction: the leading n rows and columns of the matrix. */
typedef struct eigen_step {
    double *a;
    size_t stride, n;
    const double *u; /* (n): the matrix becomes (1 - u u' / h) A (1 - u u' / h) */
    const double *q; /* (n): which is A - q u' - u q' */
    double *p;       /* (n): A u / h */
    double h;
} eigen_step;

/* In several sums, so that they can be computed side by side; their number and order are fixed. */
static double eigen_dot(const double *x, const double *y, size_t n) {
    enum { LANES = 8 };
    double sums[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) sums[k] += x[i + k] * y[i + k];
    for (; i < n; i++) sum += x[i] * y[i];
    for (size_t k = 0; k < LANES; k++) sum += sums[k];
    return sum;
}

static size_t eigen_end(const eigen_step *s, size_t band) {
    size_t end = (band + 1) * EIGEN_BAND;
    return end < s->n ? end : s->n;
}

static void eigen_multiply(void *context, size_t band) {
    const eigen_step *s = context;
    for (size_t i = band * EIGEN_BAND; i < eigen_end(s, band); i++)
        s->p[i] = eigen_dot(s->a + i * s->stride, s->u, s->n) / s->h;
}

static void eigen_subtract(void *context, size_t band) {
    const eigen_step *s = context;
    for (size_t i = band * EIGEN_BAND; i < eigen_end(s, band); i++) {
        double *row = s->a + i * s->stride, u = s->u[i], q = s->q[i];
        for (size_t k = 0; k < s->n; k++) row[k] -= q * s->u[k] + u * s->q[k];
    }
}

/* Reduce row n of the matrix, whose first n values are x, to its last one, which is returned. */
static double eigen_reflect(dn_pool *pool, double *a, size_t stride, size_t n, double *work) {
    double *x = a + n * stride, *p = work, size = 0, length, sum = 0;
    eigen_step s = {.a = a, .stride = stride, .n = n, .u = x, .q = p, .p = p};
    for (size_t i = 0; i < n; i++) size = fmax(size, fabs(x[i]));
    for (size_t i = 0; i + 1 < n; i++) sum += fabs(x[i]);
    if (sum == 0) return x[n - 1];               /* reduced already */
    for (size_t i = 0; i < n; i++) x[i] /= size; /* against underflow */
    length = copysign(sqrt(eigen_dot(x, x, n)), x[n - 1]);
    s.h = length * (length + x[n - 1]), x[n - 1] += length;
    size_t bands = (n + EIGEN_BAND - 1) / EIGEN_BAND;
    dn_pool_run(pool, bands, eigen_multiply, &s);
    double half = eigen_dot(x, p, n) / (2 * s.h);
    for (size_t i = 0; i < n; i++) p[i] -= half * x[i];
    dn_pool_run(pool, bands, eigen_subtract, &s);
    return -length * size;
}

/* A sweep of QR with a shift over rows first to last of the tridiagonal matrix: diagonal d, and e beside it. */
static void eigen_sweep(double *d, double *e, size_t first, size_t last) {
    double half = (d[last - 1] - d[last]) / 2, side = e[last - 1];
    double shift = d[last] - side * side / (half + copysign(hypot(half, side), half));
    double x = d[first] - shift, z = e[first];
    for (size_t k = first; k < last; k++) {
        double r = hypot(x, z), c = r > 0 ? x / r : 1, s = r > 0 ? z / r : 0;
        double top = d[k], bottom = d[k + 1], beside = e[k];
        if (k > first) e[k - 1] = r;
        d[k] = c * c * top + 2 * c * s * beside + s * s * bottom;
        d[k + 1] = s * s * top - 2 * c * s * beside + c * c * bottom;
        e[k] = x = c * s * (bottom - top) + (c * c - s * s) * beside;
        if (k + 1 < last) z = s * e[k + 1], e[k + 1] *= c;
    }
}

static int eigen_split(const double *d, const double *e, size_t k) {
    return fabs(e[k]) <= 1e-16 * (fabs(d[k]) + fabs(d[k + 1]));
}

/* The diagonal becomes the eigenvalues. About two sweeps are needed for each; the limit is for values that are not
 * finite. */
static void eigen_tridiagonal(size_t n, double *d, double *e) {
    size_t last = n - 1, sweeps = 60 * n;
    while (last > 0 && sweeps) {
        if (eigen_split(d, e, last - 1)) {
            last--;
            continue;
        }
        size_t first = last - 1;
        while (first > 0 && !eigen_split(d, e, first - 1)) first--;
        eigen_sweep(d, e, first, last);
        sweeps--;
    }
}

static int eigen_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

dn_status dn_eigenvalues(dn_pool *pool, size_t n, double *a, double *values) {
    double *work = dn_alloc(2 * n, sizeof *work), *e = work + n;
    if (!work) return DN_E_MEMORY;
    dn_status status = DN_OK;
    for (size_t i = n; status == DN_OK && i-- > 0;) {
        if (i) e[i - 1] = eigen_reflect(pool, a, n, i, work);
        values[i] = a[i * n + i];
        status = dn_watched();
    }
    if (status == DN_OK && n) eigen_tridiagonal(n, values, e);
    if (status == DN_OK) qsort(values, n, sizeof *values, eigen_compare);
    dn_free(work);
    return status;
}

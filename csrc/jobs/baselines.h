/* What the simplest models give for the rows of a table: a yardstick for a network. */
#ifndef DN_BASELINES_H
#define DN_BASELINES_H
#include "base/pool.h"

typedef struct dn_baselines {
    double mean_mse;           /* predicting each column's mean: squared error, mean over rows and columns */
    double pca_mse;            /* of a principal component analysis; NaN: left out */
    double pca_log_likelihood; /* of probabilistic PCA, nats per row; NaN: left out, or not finite */
    double mean_nats, entropy; /* for values in 0 to 1, see below; NaN otherwise */
} dn_baselines;

/* For x (n, columns), which is finite, on the host. weights (n): how much rows count, NULL: all alike. `components`: of
 * the PCA. NaN for a PCA whose matrix or time would
 * be too large. All numbers are functions of x alone, whatever the number of threads.
 *
 * PCA: with the eigenvalues v_1 >= v_2 ... of the covariance (divided by n), the error of the first q components is the
 * sum of the others. Probabilistic PCA (Tipping and Bishop, Probabilistic principal component analysis, 1999, eq. 7 and
 * 8): at its maximum the noise is s = that sum / (columns - q), and
 *
 *   log p per row = -1/2 (columns log(2 pi) + sum over i <= q of log v_i + (columns - q) log s + columns)
 *
 * mean_nats: the cross entropy with each column's mean m, sum over columns of -m log m - (1 - m) log(1 - m): what a
 * Bernoulli likelihood has left when its latents say nothing. entropy: the same of every value instead of the mean,
 * which no Bernoulli likelihood goes below. Both in nats per row. */
dn_status dn_baselines_of(dn_pool *pool, const float *x, const float *weights, size_t n, size_t columns,
                          size_t components, dn_baselines *out);
#endif

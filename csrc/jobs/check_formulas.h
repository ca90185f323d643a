/* Losses in double precision, one value or one distribution at a time, by formulas written apart from the kernels. */
#ifndef DN_CHECK_FORMULAS_H
#define DN_CHECK_FORMULAS_H
#include "net/layer.h"

/* Values that are one loss together: x and truth of a row are at at + k * step. */
typedef struct dn_unit {
    size_t n, at, step;          /* parameters */
    size_t column;               /* of the head: which of its learned spreads */
    size_t truths, t_at, t_step; /* values of truth */
} dn_unit;

/* Unit 0, 1, ... of a row; returns 0 after the last. */
int dn_formula_unit(const dn_layer *layer, const dn_term_look *look, size_t index, dn_unit *unit);
/* Its loss. *size: of what is added up in it, for tolerances. */
double dn_formula_loss(const dn_term_look *look, const dn_unit *unit, const double *x, const double *truth,
                       double *size);
/* s of docs/numerics.md */
double dn_formula_s(const dn_term_look *look);
/* Has the loss a kink, or a jump in its second derivative, near x? */
int dn_formula_kink(const dn_term_look *look, double x, double truth);
/* A log-variance as it counts, bounded from `limit` on, and the slope of that. */
double dn_formula_log_variance(double x, double limit, double *slope);
/* Of all units of a row of such a term. work: as many numbers as the layer has inputs, and as it reads truths */
double dn_formula_row(const dn_layer *layer, const float *spreads, const float *x, const float *truth, double *work,
                      double *size);
/* KL of N(mu, exp(lv)) to N(0, 1) */
double dn_formula_kl(double lv, double limit, double mu);

/* p(z) of n values: N(0, 1), or a mixture of Gaussians, its numbers on the host as dn_term_look has them. */
typedef struct dn_formula_prior {
    size_t n, components; /* 0: N(0, 1) */
    const float *means, *log_variances, *logits;
} dn_formula_prior;
/* ln q(z|x) - ln p(z) of a row of latent values, x = [log-variances | means]. *size: as above, of the rounding of z too
 */
double dn_formula_log_ratio(const dn_formula_prior *prior, double limit, const float *x, const double *z, double *size);
/* The KL of a row as it is with z at its mean: the closed form, or to a mixture by the spherical cubature rule
 * (layers/mixture_prior.h). work: n numbers */
double dn_formula_row_kl(const dn_formula_prior *prior, double limit, const float *x, double *work, double *size);
/* What the KL of all rows costs before beta, with the free bits or the capacity of the term (Kingma et al.,
 * arXiv:1606.04934, eq. 15; Burgess et al., arXiv:1804.03599, eq. 8). kl, weights (rows); columns (n): the weighted
 * sums of each latent value's KL */
double dn_formula_kl_cost(const dn_term *term, size_t rows, size_t n, const double *kl, const float *weights,
                          const double *columns);
#endif

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
/* KL of N(mu, exp(lv)) to N(0, 1) */
double dn_formula_kl(double lv, double limit, double mu);
#endif

/* The normal distribution in double precision. */
#ifndef DN_NORMAL_H
#define DN_NORMAL_H

/* The probability of a value below z. */
double dn_normal_below(double z);
/* Its inverse, for 0 < p < 1. */
double dn_normal_quantile(double p);
#endif

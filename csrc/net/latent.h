/* The log-variances and means of a latent space, as the losses use them. Header only: C and CUDA include it.
 *
 * A log-variance x is used as it is while |x| <= 10, and beyond that as
 *
 *   b(x) = sign(x) (10 + ln(1 + 2 (|x| - 10)) / 2),    b'(x) = 1 / (1 + 2 (|x| - 10))
 *
 * which is smooth (no kink), increasing, and below 55 for every float, so exp(b) stays below 1e24. NaN and infinities
 * pass through. In the KL, |mean| is limited to 1e15, so that its square is finite.
 *
 * log_variance_limit=L has L in place of 10. Kernels of likelihoods compute with L. Those of latent losses have 10: a
 * layer with another L gives them the number that counts there as x does with L (dn_log_variance_limited). */
#ifndef DN_LATENT_H
#define DN_LATENT_H
#include "backend/backend.h"
#include "base/host_device.h"
#include <math.h>

#define DN_LOG_VARIANCE_PLAIN 10.0f
#define DN_LOG_VARIANCE_START 9.5f       /* 1 + 2 (|x| - 10) = 2 (|x| - 9.5), which does not overflow */
#define DN_LOG_VARIANCE_BASE 10.3465736f /* 10 + ln(2) / 2 */
#define DN_BOUND_BASE 0.34657359f        /* ln(2) / 2 */
#define DN_LOG_RATE_PLAIN 30.0f
#define DN_LOG_RATE_START 29.5f
#define DN_LOG_RATE_BASE 30.3465736f
#define DN_KL_MEAN_LIMIT 1e15f

/* x up to `plain`, softly bounded beyond; start = plain - 1/2, base = plain + ln(2) / 2 */
DN_HD float dn_bounded(float x, float plain, float start, float base) {
    float size = fabsf(x);
    if (!(size > plain)) return x;
    return copysignf(base + 0.5f * logf(size - start), x);
}
DN_HD float dn_bounded_slope(float x, float plain, float start) {
    float size = fabsf(x);
    return size > plain ? 0.5f / (size - start) : 1;
}

DN_HD float dn_log_variance(float x) {
    return dn_bounded(x, DN_LOG_VARIANCE_PLAIN, DN_LOG_VARIANCE_START, DN_LOG_VARIANCE_BASE);
}
DN_HD float dn_log_variance_slope(float x) { return dn_bounded_slope(x, DN_LOG_VARIANCE_PLAIN, DN_LOG_VARIANCE_START); }

/* The number that counts as b, which is within 50 */
DN_HD double dn_log_variance_inverse(double b) {
    double size = b < 0 ? -b : b, x = size > 10 ? 9.5 + exp(2 * (size - 10)) / 2 : size;
    return b < 0 ? -x : x;
}

/* With a limit of one's own. */
DN_HD float dn_log_variance_within(float limit, float x) {
    return dn_bounded(x, limit, limit - 0.5f, limit + DN_BOUND_BASE);
}
DN_HD float dn_log_variance_within_slope(float limit, float x) { return dn_bounded_slope(x, limit, limit - 0.5f); }

/* y with dn_log_variance(y) = dn_log_variance_within(limit, x), as far as there are floats; its derivative by x */
DN_HD float dn_log_variance_limited(float limit, float x) {
    const double most = 3.402823466e38;
    float b = dn_log_variance_within(limit, x);
    double y = fabsf(b) > DN_LOG_VARIANCE_PLAIN ? dn_log_variance_inverse(b) : b;
    return (float)(y > most ? most : y < -most ? -most : y);
}
DN_HD float dn_log_variance_limited_slope(float limit, float x) {
    double size = fabs((double)dn_log_variance_limited(limit, x)), stretch = size > 10 ? 2 * (size - 9.5) : 1;
    return (float)(stretch * dn_log_variance_within_slope(limit, x));
}

/* The logarithms of the means of counts: as they are up to 30, below 75 for every float. */
DN_HD float dn_log_rate(float x) { return dn_bounded(x, DN_LOG_RATE_PLAIN, DN_LOG_RATE_START, DN_LOG_RATE_BASE); }
DN_HD float dn_log_rate_slope(float x) { return dn_bounded_slope(x, DN_LOG_RATE_PLAIN, DN_LOG_RATE_START); }

/* Of one value or row: what its KL costs; the derivative goes to *factor. */
DN_HD double dn_kl_cost_one(dn_kl_form form, double kl, float limit, float *factor) {
    double above = kl - limit;
    if (form == DN_KL_PLAIN) return *factor = 1, kl;
    *factor = above > 0 ? 1 : form == DN_KL_CAPACITY && above < 0 ? -1 : 0;
    if (form == DN_KL_CAPACITY) return above < 0 ? -above : above;
    return above <= 0 ? limit : kl; /* NaN stays */
}

/* KL of N(mu, exp(b(lv))) to N(0, 1), of one latent value */
DN_HD double dn_latent_kl(float lv, float mu) {
    double b = dn_log_variance(lv), size = fabsf(mu) > DN_KL_MEAN_LIMIT ? DN_KL_MEAN_LIMIT : mu;
    return 0.5 * (exp(b) + size * size - 1 - b);
}

/* Of a prior that is a mixture of Gaussians. `table` (components, latent + 2): of each component exp(-b) of its
 * log-variances, log(weight) - sum(b) / 2, weight. */

/* log sum exp of n values, which become their shares of the sum */
DN_HD double dn_log_sum(size_t n, double *values) {
    double most = values[0], sum = 0;
    for (size_t i = 1; i < n; i++) most = values[i] > most ? values[i] : most;
    for (size_t i = 0; i < n; i++) sum += values[i] = exp(values[i] - most);
    for (size_t i = 0; i < n; i++) values[i] /= sum;
    return most + log(sum);
}

/* The mixture's log density beside z, whose i-th value mu becomes mu + side h, side -1 or 1. base: of each component
 * at z. */
DN_HD double dn_mixture_beside(size_t components, size_t latent, size_t i, int side, double h, float mu,
                               const float *means, const double *table, const double *base) {
    double most = 0, sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < components; k++) {
            double p = table[k * (latent + 2) + i], gap = (double)mu - means[k * latent + i];
            double value = base[k] - 0.5 * p * h * (h + 2 * side * gap);
            if (pass)
                sum += exp(value - most);
            else if (value > most || k == 0)
                most = value;
        }
    return most + log(sum);
}
#endif

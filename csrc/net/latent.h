/* The log-variances and means of a latent space, as the losses use them. Header only: C and CUDA include it.
 *
 * A log-variance x is used as it is while |x| <= 10, and beyond that as
 *
 *   b(x) = sign(x) (10 + ln(1 + 2 (|x| - 10)) / 2),    b'(x) = 1 / (1 + 2 (|x| - 10))
 *
 * which is smooth (no kink), increasing, and below 55 for every float, so exp(b) stays below 1e24. NaN and infinities
 * pass through. In the KL, |mean| is limited to 1e15, so that its square is finite. */
#ifndef DN_LATENT_H
#define DN_LATENT_H
#include <math.h>
#ifndef DN_HD
#ifdef __CUDACC__
#define DN_HD static __host__ __device__ inline
#else
#define DN_HD static inline
#endif
#endif

#define DN_LOG_VARIANCE_PLAIN 10.0f
#define DN_LOG_VARIANCE_START 9.5f       /* 1 + 2 (|x| - 10) = 2 (|x| - 9.5), which does not overflow */
#define DN_LOG_VARIANCE_BASE 10.3465736f /* 10 + ln(2) / 2 */
#define DN_KL_MEAN_LIMIT 1e15f

DN_HD float dn_log_variance(float x) {
    float size = fabsf(x);
    if (!(size > DN_LOG_VARIANCE_PLAIN)) return x;
    return copysignf(DN_LOG_VARIANCE_BASE + 0.5f * logf(size - DN_LOG_VARIANCE_START), x);
}

DN_HD float dn_log_variance_slope(float x) {
    float size = fabsf(x);
    return size > DN_LOG_VARIANCE_PLAIN ? 0.5f / (size - DN_LOG_VARIANCE_START) : 1;
}

/* KL of N(mu, exp(b(lv))) to N(0, 1), of one latent value */
DN_HD double dn_latent_kl(float lv, float mu) {
    double b = dn_log_variance(lv), size = fabsf(mu) > DN_KL_MEAN_LIMIT ? DN_KL_MEAN_LIMIT : mu;
    return 0.5 * (exp(b) + size * size - 1 - b);
}
#endif

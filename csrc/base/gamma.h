/* The logarithm of the gamma function and its derivative for x > 0, in parts that do not cancel each other:
 *
 *   ln Gamma(x) = (x - 1/2) ln x - x + ln(2 pi) / 2 + rest(x)        psi(x) = ln x - 1 / (2x) - rest(x)
 *
 * Header only: C and CUDA include it. No global is written, as lgamma does (signgam). The rests are Stirling's series
 * (Abramowitz and Stegun, Handbook of Mathematical Functions, 6.1.41 and 6.3.18), which has an error below 2e-14 from
 * 8 on; smaller arguments get there by Gamma(x + 1) = x Gamma(x) (6.1.15, 6.3.5). NaN stays NaN. */
#ifndef DN_GAMMA_H
#define DN_GAMMA_H
#include "base/host_device.h"
#include <math.h>

#define DN_HALF_LOG_2PI 0.91893853320467274178

DN_HD double dn_log_gamma_rest(double x) {
    double product = 1, z = x;
    for (; z < 8; z += 1) product *= z;
    double s = 1 / (z * z);
    double rest = 1.0 / 1188 - s * (691.0 / 360360);
    rest = 1.0 / 12 - s * (1.0 / 360 - s * (1.0 / 1260 - s * (1.0 / 1680 - s * rest)));
    rest /= z;
    if (z == x) return rest;
    return rest + ((z - 0.5) * log(z) - z) - ((x - 0.5) * log(x) - x) - log(product);
}

DN_HD double dn_digamma_rest(double x) {
    double reciprocals = 0, z = x;
    for (; z < 8; z += 1) reciprocals += 1 / z;
    double s = 1 / (z * z);
    double rest = 1.0 / 240 - s * (1.0 / 132 - s * (691.0 / 32760));
    rest = s * (1.0 / 12 - s * (1.0 / 120 - s * (1.0 / 252 - s * rest)));
    if (z == x) return rest;
    return rest + (log(x) - 0.5 / x) - (log(z) - 0.5 / z) + reciprocals;
}

DN_HD double dn_log_gamma(double x) { return (x - 0.5) * log(x) - x + DN_HALF_LOG_2PI + dn_log_gamma_rest(x); }
DN_HD double dn_digamma(double x) { return log(x) - 0.5 / x - dn_digamma_rest(x); }
#endif

/* -log p(t | parameters) of a single value t in nats, with all constants, and its derivatives. Header only: C and CUDA
 * include it.
 *
 *   kind                x           scale            -log p
 *   bernoulli           logit                        max(x, 0) - x t + ln(1 + e^-|x|)
 *   gaussian            mean        sigma            z^2 / 2 + ln sigma + ln(2 pi) / 2,  z = (x - t) / sigma
 *   laplace             median      sigma            |z| + ln sigma + ln 2
 *   student_t           location    sigma, and nu    (nu + 1) / 2 ln(1 + z^2 / nu) + ln sigma + constant(nu)
 *   poisson             log mean                     m - t ln m + ln t!
 *   negative_binomial   log mean    r                variance m + m^2 / r
 *
 * As a learned number the scale is log sigma^2, or log r, bounded as log-variances are (net/latent.h). A log mean is
 * bounded in the same way, but from 30 on, so that exp of it stays below 1e33. A truth that is NaN is missing: error
 * and derivatives are 0.
 *
 * The two distributions of counts are computed as deviances, so that large terms do not cancel each other: with
 * Gamma's parts of base/gamma.h and u = ln m - ln t,
 *
 *   poisson              t (e^u - 1 - u) + ln(2 pi t) / 2 + rest(t)
 *   negative_binomial    (r + t) ln(1 + (m - t) / (r + t)) - t u + ln(2 pi t (1 + t / r)) / 2
 *                            + rest(t) + rest(r) - rest(r + t)
 *
 * as in Loader, Fast and accurate computation of binomial probabilities, 2000. */
#ifndef DN_LIKELIHOOD_H
#define DN_LIKELIHOOD_H
#include "backend/backend.h"
#include "base/gamma.h"
#include "net/latent.h"

typedef struct dn_scale {
    float inverse, log; /* 1 / sigma, ln sigma; the negative binomial: 1 / r, ln r */
} dn_scale;

/* What the parameters of a dn_likelihood amount to. */
typedef struct dn_likelihood_terms {
    dn_loss kind;
    float nu, constant; /* constant: what does not depend on x, t and sigma */
    float limit;        /* of learned numbers */
    dn_scale scale;     /* where it is fixed */
} dn_likelihood_terms;

typedef struct dn_value_loss {
    float error, gradient, spread; /* spread: the derivative by log sigma^2, or log r, as it counts */
} dn_value_loss;

/* ln(sqrt(nu pi) Gamma(nu / 2) / Gamma((nu + 1) / 2)), also for large nu */
static inline double dn_student_constant(double nu) {
    double a = nu / 2;
    return DN_HALF_LOG_2PI + 0.5 - a * log1p(0.5 / a) + dn_log_gamma_rest(a) - dn_log_gamma_rest(a + 0.5);
}

static inline dn_likelihood_terms dn_likelihood_terms_of(const dn_likelihood *of) {
    dn_likelihood_terms terms = {of->kind, of->p[1], 0, DN_LOG_VARIANCE_PLAIN, {1, 0}};
    if (of->p[2] > 0) terms.limit = of->p[2];
    if (of->p[0] > 0) terms.scale.inverse = 1 / of->p[0], terms.scale.log = (float)log((double)of->p[0]);
    if (of->kind == DN_LOSS_GAUSSIAN) terms.constant = (float)DN_HALF_LOG_2PI;
    if (of->kind == DN_LOSS_LAPLACE) terms.constant = 0.69314718f;
    if (of->kind == DN_LOSS_STUDENT_T) terms.constant = (float)dn_student_constant(of->p[1]);
    return terms;
}

/* From a learned number. */
DN_HD dn_scale dn_scale_of(const dn_likelihood_terms *of, float spread) {
    float b = dn_log_variance_within(of->limit, spread), half = of->kind == DN_LOSS_NEGATIVE_BINOMIAL ? b : 0.5f * b;
    dn_scale s = {expf(-half), half};
    return s;
}

DN_HD dn_value_loss dn_counts_loss(dn_loss kind, dn_scale s, float x, float truth) {
    dn_value_loss loss = {0, 0, 0};
    double b = dn_log_rate(x), m = exp(b), t = truth, slope = dn_log_rate_slope(x), error;
    if (kind == DN_LOSS_POISSON) {
        double u = t > 0 ? b - log(t) : 0;
        error = t > 0 ? t * (expm1(u) - u) + 0.5 * log(t) + DN_HALF_LOG_2PI + dn_log_gamma_rest(t) : m;
        loss.gradient = (float)((m - t) * slope);
    } else {
        double r = exp((double)s.log), v = (m - t) / (r + t), rests = dn_digamma_rest(r) - dn_digamma_rest(r + t);
        double ratio = v > -0.5 ? log1p(v) : log((r + m) / (r + t));
        error = r * log1p(m / r);
        if (t > 0)
            error = (r + t) * ratio - t * (b - log(t)) + 0.5 * log(t * (1 + t / r)) + DN_HALF_LOG_2PI +
                    dn_log_gamma_rest(t) + dn_log_gamma_rest(r) - dn_log_gamma_rest(r + t);
        loss.gradient = (float)((m - t) / (1 + m / r) * slope);
        loss.spread = (float)(r * (ratio - (m - t) / (r + m) - rests) - t / (2 * (r + t)));
    }
    loss.error = t < 0 ? (float)NAN : (float)error;
    return loss;
}

/* With w = z / sqrt(nu): ln(1 + w^2) and w / (1 + w^2) are those of 1 / w where w^2 would overflow. */
DN_HD dn_value_loss dn_student_loss(float nu, float inverse, float z) {
    float w = z / sqrtf(nu), size = fabsf(w), half = 0.5f * (nu + 1);
    int far = size > 1e4f;
    float q = far ? 1 : w * w, share = far ? 1 : q / (1 + q), turned = far ? 1 / w : w / (1 + q);
    dn_value_loss loss = {half * (far ? 2 * logf(size) : log1pf(q)), (nu + 1) / sqrtf(nu) * turned * inverse,
                          0.5f - half * share};
    return loss;
}

DN_HD dn_value_loss dn_likelihood_value(const dn_likelihood_terms *of, dn_scale s, float x, float t) {
    dn_value_loss loss = {0, 0, 0};
    float z = (x - t) * s.inverse;
    if (t != t) return loss;
    switch (of->kind) {
    case DN_LOSS_GAUSSIAN:
        loss.error = 0.5f * z * z, loss.gradient = z * s.inverse, loss.spread = 0.5f * (1 - z * z);
        break;
    case DN_LOSS_LAPLACE:
        loss.error = fabsf(z), loss.gradient = (float)((z > 0) - (z < 0)) * s.inverse;
        loss.spread = 0.5f * (1 - fabsf(z));
        break;
    case DN_LOSS_STUDENT_T: loss = dn_student_loss(of->nu, s.inverse, z); break;
    case DN_LOSS_POISSON:
    case DN_LOSS_NEGATIVE_BINOMIAL: return dn_counts_loss(of->kind, s, x, t);
    default: /* bernoulli */
        loss.error = (x > 0 ? x : 0) - x * t + log1pf(expf(-fabsf(x)));
        loss.gradient = 1 / (1 + expf(-x)) - t;
        return loss;
    }
    loss.error += s.log + of->constant;
    return loss;
}

/* The mean of the distribution; of student_t and laplace, the location. */
DN_HD float dn_likelihood_mean_value(dn_loss kind, float x) {
    switch (kind) {
    case DN_LOSS_BCE:
    case DN_LOSS_BERNOULLI: return 1 / (1 + expf(-x));
    case DN_LOSS_POISSON:
    case DN_LOSS_NEGATIVE_BINOMIAL: return expf(dn_log_rate(x));
    default: return x;
    }
}

/* The end of optimal_spread (backend_ops.h): sum of squared errors, and number of known values. */
DN_HD void dn_optimal_spread(double squares, double known, float *spread, float *running, float *passes) {
    const double least = 1e-20, longest = 100;
    if (known > 0) {
        double v = squares / known > least ? squares / known : least, mean = exp((double)dn_log_variance(*running));
        double n = *passes + 1 < longest ? *passes + 1 : longest;
        *spread = (float)dn_log_variance_inverse(log(v));
        *running = n > 1 ? (float)dn_log_variance_inverse(log(mean + (v - mean) / n)) : *spread;
        *passes = (float)n;
    } else {
        *spread = *running;
    }
}

/* Numbers per column of truth in x. */
static inline size_t dn_head_parameters(const dn_head *h) {
    if (h->likelihood.kind == DN_LOSS_CATEGORICAL) return h->classes ? h->classes : 1;
    return h->spread == DN_SPREAD_VALUE ? 2 : 1;
}
/* Does the layer have learned numbers for it? */
static inline int dn_head_learns(const dn_head *h) {
    return h->spread == DN_SPREAD_ONE || h->spread == DN_SPREAD_COLUMN;
}
/* Numbers per row in x. */
static inline size_t dn_head_values(const dn_head *h) {
    return h->starts ? h->logits : h->columns * dn_head_parameters(h);
}
#endif

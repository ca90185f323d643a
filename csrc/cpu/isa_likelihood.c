/* -log p of vectors of values and its derivatives, compiled once per instruction set. The formulas are those of
 * net/likelihood.h, in single precision: what cancels there is computed apart here. tests/c/test_likelihoods.c compares
 * both with the textbook's. */
#include "cpu/cpu_likelihood.h"
#include "cpu/isa_sums.h"
#include <math.h>

/* ---- what the distributions of counts are made of ---- */

/* The rests of base/gamma.h by w = 1 / z, z >= 1: polynomials fitted by least squares to relative errors below 4e-8
 * and 2e-7. */
INLINE vec log_gamma_rest(vec w) {
    vec q = splat(1.370312529616058e-4f);
    q = q * w - 6.294994964264333e-4f;
    q = q * w + 1.044426579028368e-3f;
    q = q * w - 5.0327649660175666e-5f;
    q = q * w - 2.7734169270843267e-3f;
    q = q * w - 7.500531751247763e-8f;
    return (q * w + 8.33333283662796e-2f) * w;
}
/* divided by w */
INLINE vec digamma_rest(vec w) {
    vec q = splat(-2.5877211010083556e-4f);
    q = q * w + 1.7827794654294848e-3f;
    q = q * w - 4.797141067683697e-3f;
    q = q * w + 5.841789301484823e-3f;
    q = q * w - 3.919498903708175e-4f;
    q = q * w - 8.29276256263256e-3f;
    q = q * w - 1.612473965906247e-6f;
    return (q * w + 8.33333432674408e-2f) * w;
}

/* x = m 2^power with sqrt(1/2) <= m < sqrt(2), x normal: f = m - 1, and ln m - f */
INLINE vec log_apart(vec x, vec *f, vec *power) {
    uvec bits = (uvec)x;
    ivec e = (ivec)(bits - 0x3f3504f3) >> 23;
    *f = (vec)(bits - ((uvec)e << 23)) - 1, *power = __builtin_convertvector(e, vec);
    vec square = *f * *f;
    return *f * square * log_poly(*f) - 0.5f * square;
}

/* b - ln x, exact where both are close */
INLINE vec minus_log(vec b, vec x) {
    vec f, power, tail = log_apart(x, &f, &power);
    return ((b - power * 0.693359375f) - f) - (tail - power * 2.12194440e-4f);
}

/* ln(z) + far for z = 1 + y; where y is small, (ln(1 + y) - y) + near, which is the same number without large terms */
INLINE vec log1p_with(vec y, vec z, vec near, vec far) {
    vec f, power, tail = log_apart(z, &f, &power), square = y * y;
    return choose(power == 0, y * square * log_poly(y) - 0.5f * square + near,
                  ((tail - power * 2.12194440e-4f) + f) + power * 0.693359375f + far);
}

/* e^u - 1 - u, and e^u; |u| <= 87 */
INLINE vec expm1_less(vec u, vec *e) {
    ivec n;
    vec r = exp_reduced(u, &n), tail = exp_poly(r) * (r * r), half = power_of_two(n - 1), p = tail + r;
    *e = (p + 1) * half * 2;
    return choose(n == 0, tail, (half * p + (half - 0.5f)) * 2 - u);
}

/* ---- a vector of values ---- */

typedef struct scale_vecs {
    vec factor, constant, digamma;
} scale_vecs;

typedef struct losses {
    vec error, gradient, spread;
} losses;

INLINE losses student_t(float nu, scale_vecs s, vec x, vec t) {
    const float root = 1 / sqrtf(nu), half = 0.5f * (nu + 1);
    vec w = (x - t) * s.factor * root, size = vec_abs(w), square = w * w, one = splat(1);
    ivec far = size > 1e4f;
    vec y = choose(far, size, 1 + square), r = 1 / choose(far, w, y), log = vec_log(y);
    log = choose(far, 2 * log, log + (square - (y - 1)) * r); /* what 1 + square has lost */
    vec share = choose(far, one, square * r), turned = choose(far, r, w * r);
    return (losses){half * log + s.constant, (2 * half * root) * turned * s.factor, 0.5f - half * share};
}

/* The mean as it counts is m = e^b; where t = 0 the terms with ln t are those of t = 1, and not used. */
INLINE losses poisson(vec x, vec t) {
    vec slope, b = vec_bounded(x, DN_LOG_RATE_PLAIN, DN_LOG_RATE_START, DN_LOG_RATE_BASE, &slope);
    vec base = choose(t > 0, t, splat(1)), u = minus_log(b, base), e, less = expm1_less(u, &e);
    vec rest = 0.5f * vec_log(base) + ((float)DN_HALF_LOG_2PI + log_gamma_rest(1 / base));
    return (losses){choose(t > 0, t * less + rest, e), choose(t > 0, t * (less + u), e) * slope, (vec){0}};
}

/* With the shares of t and r in r + t, s + p = 1, half the deviance is (r + t) (ln(1 + s expm1(u)) - s u), and the same
 * with p and -u. That of the smaller share is computed. */
INLINE losses negative_binomial(scale_vecs scale, vec x, vec t, const int with_spread) {
    const vec r = scale.factor, one = splat(1), zero = {0};
    const ivec some = t > 0;
    vec slope, b = vec_bounded(x, DN_LOG_RATE_PLAIN, DN_LOG_RATE_START, DN_LOG_RATE_BASE, &slope);
    vec base = choose(some, t, one), all = r + t, w = 1 / all, s = t * w, p = r * w;
    ivec turn = s > 0.5f;
    vec u = minus_log(b, base), e, less;
    u = choose(turn, -u, u), less = expm1_less(u, &e);
    vec inverse = 1 / e, m = base * choose(turn, inverse, e), by_r = m / r, minus_one = less + u;
    vec d = choose(some, t * choose(turn, -minus_one * inverse, minus_one), m); /* m - t */
    vec share = choose(turn, p, s), y = choose(some, share * minus_one, by_r);
    vec log = log1p_with(y, 1 + y, choose(some, share * less, y), choose(some, -share * u, zero));
    vec rests = scale.constant + log_gamma_rest(1 / base) - log_gamma_rest(w);
    losses l = {choose(some, all * log + (0.5f * (vec_log(base) - vec_log(p)) + rests), r * log),
                d / (1 + by_r) * slope, zero};
    if (!with_spread) return l;
    vec v = d * w, z = (r + m) * w;
    l.spread = r * log1p_with(v, z, v * v / z, -v / z);
    l.spread += choose(some, p * digamma_rest(w) - scale.digamma - 0.5f * s, zero);
    return l;
}

INLINE losses value_losses(const dn_loss kind, const dn_likelihood_terms *of, scale_vecs s, vec x, vec t,
                           const int with_spread) {
    const vec zero = {0}, one = splat(1);
    vec z = (x - t) * s.factor;
    losses l;
    switch (kind) {
    case DN_LOSS_GAUSSIAN: l = (losses){0.5f * z * z + s.constant, z * s.factor, 0.5f - 0.5f * z * z}; break;
    case DN_LOSS_LAPLACE: {
        vec sign = choose(z > 0, one, zero) - choose(z < 0, one, zero);
        l = (losses){vec_abs(z) + s.constant, sign * s.factor, 0.5f - 0.5f * vec_abs(z)};
        break;
    }
    case DN_LOSS_STUDENT_T: l = student_t(of->nu, s, x, t); break;
    case DN_LOSS_POISSON: l = poisson(x, t); break;
    case DN_LOSS_NEGATIVE_BINOMIAL: l = negative_binomial(s, x, t, with_spread); break;
    default: {
        vec e = vec_exp(-vec_abs(x));
        l = (losses){choose(x > 0, x, zero) - x * t + vec_log1p(e), choose(x < 0, e, one) / (e + 1) - t, zero};
    }
    }
    ivec known = t == t;
    return (losses){choose(known, l.error, zero), choose(known, l.gradient, zero), choose(known, l.spread, zero)};
}

INLINE vec scale_vec(const dn_values *of, int which, size_t i, size_t left) {
    return of->scales[which] ? load_n(of->scales[which] + i, left) : splat(of->fixed[which]);
}
INLINE scale_vecs scales_at(const dn_values *of, size_t i, size_t left) {
    return (scale_vecs){scale_vec(of, DN_SCALE_FACTOR, i, left), scale_vec(of, DN_SCALE_CONSTANT, i, left),
                        scale_vec(of, DN_SCALE_DIGAMMA, i, left)};
}

/* The first n <= VL lanes, zeros after them. */
INLINE vec first_lanes(vec v, size_t n) {
    vec kept = v;
    if (n >= VL) return kept;
#if VL == 16
    __asm__("vmovaps %1, %0%{%2%}%{z%}" : "=v"(kept) : "v"(v), "Yk"(MASK(n)));
#else
    kept = (vec){0};
    memcpy(&kept, &v, n * sizeof(float));
#endif
    return kept;
}

INLINE double values_of(const dn_loss kind, const dn_values *of, size_t n, const float *x, const float *truth,
                        const dn_value_results *to, const int with_spread) {
    const dn_likelihood_terms terms = of->of;
    dvec sum = {{0}, {0}}, spreads = {{0}, {0}};
    const vec weight = splat(to->weight);
    EACH_VECTOR(i, n, left) {
        losses l = value_losses(kind, &terms, scales_at(of, i, left), load_n(x + i, left), load_n(truth + i, left),
                                with_spread);
        add(&sum, widen(first_lanes(l.error, left)));
        if (to->error) store_n(to->error + i, l.error, left);
        if (to->gradient) store_n(to->gradient + i, weight * l.gradient, left);
        if (!with_spread) continue;
        if (to->spread_sum) add(&spreads, widen(first_lanes(l.spread, left)));
        if (to->spread) store_n(to->spread + i, weight * l.spread * scale_vec(of, DN_SCALE_SLOPE, i, left), left);
    }
    if (with_spread && to->spread_sum) *to->spread_sum += lanes(&spreads);
    return lanes(&sum);
}

/* Counts that the vectors are made for: 0 or at least 1, with means that are not bounded far out. */
static int vectors_hold(dn_loss kind, size_t n, const float *x, const float *truth) {
    int beyond = 0;
    if (kind != DN_LOSS_POISSON && kind != DN_LOSS_NEGATIVE_BINOMIAL) return 1;
    for (size_t i = 0; i < n; i++)
        beyond |= ((truth[i] < 1) & (truth[i] != 0)) | (truth[i] > 1e15f) | (x[i] > 60) | (x[i] < -60);
    return !beyond;
}

static dn_scale scale_at(const dn_values *of, size_t i) {
    float r = of->scales[DN_SCALE_FACTOR] ? of->scales[DN_SCALE_FACTOR][i] : of->fixed[DN_SCALE_FACTOR];
    return (dn_scale){1 / r, logf(r)};
}

static double values_one_by_one(const dn_values *of, size_t n, const float *x, const float *truth,
                                const dn_value_results *to) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        dn_value_loss l = dn_likelihood_value(&of->of, scale_at(of, i), x[i], truth[i]);
        float slope = of->scales[DN_SCALE_SLOPE] ? of->scales[DN_SCALE_SLOPE][i] : of->fixed[DN_SCALE_SLOPE];
        sum += l.error;
        if (to->error) to->error[i] = l.error;
        if (to->gradient) to->gradient[i] = to->weight * l.gradient;
        if (to->spread_sum) *to->spread_sum += l.spread;
        if (to->spread) to->spread[i] = to->weight * l.spread * slope;
    }
    return sum;
}

/* The loop for one kind, with or without spreads, so that the compiler sees no branch in it. */
#define EACH_KIND(f)                                                                                    \
    f(DN_LOSS_BERNOULLI) f(DN_LOSS_GAUSSIAN) f(DN_LOSS_LAPLACE) f(DN_LOSS_STUDENT_T) f(DN_LOSS_POISSON) \
        f(DN_LOSS_NEGATIVE_BINOMIAL)

static double values(const dn_values *of, size_t n, const float *x, const float *truth, const dn_value_results *to) {
    int spread = to->spread || to->spread_sum;
    if (!vectors_hold(of->of.kind, n, x, truth)) return values_one_by_one(of, n, x, truth, to);
    switch (of->of.kind) {
#define CASE(KIND) \
    case KIND: return spread ? values_of(KIND, of, n, x, truth, to, 1) : values_of(KIND, of, n, x, truth, to, 0);
        EACH_KIND(CASE)
#undef CASE
    default: return values_of(DN_LOSS_BERNOULLI, of, n, x, truth, to, 0); /* DN_LOSS_BCE */
    }
}

static double loss(const dn_likelihood *of, size_t n, const float *x, const float *truth, float *error,
                   float *gradient) {
    dn_values v = {.of = dn_likelihood_terms_of(of)};
    dn_fixed_scales(&v.of, v.fixed);
    return values(&v, n, x, truth, &(dn_value_results){.error = error, .gradient = gradient, .weight = 1});
}

/* ---- learned numbers ---- */

/* Also for r < 1: by Gamma(r + 1) = r Gamma(r). */
INLINE scale_vecs dispersion(vec b) {
    vec r = vec_exp(b), one = splat(1), w = 1 / choose(r < 1, r + 1, r);
    vec up = vec_log1p(choose(r < 1, r, one)) - b; /* ln(1 + 1 / r) */
    vec rest = log_gamma_rest(w), digamma = r * w * digamma_rest(w);
    rest = choose(r < 1, rest + (r + 0.5f) * up - 1, rest);
    digamma = choose(r < 1, digamma - r * up + 0.5f + 0.5f * r * w, digamma);
    return (scale_vecs){r, (float)DN_HALF_LOG_2PI + rest, digamma};
}

static void scales(const dn_likelihood_terms *of, size_t n, const float *spread, float *const to[DN_SCALES]) {
    EACH_VECTOR(i, n, left) {
        vec slope,
            b = vec_bounded(load_n(spread + i, left), of->limit, of->limit - 0.5f, of->limit + DN_BOUND_BASE, &slope);
        scale_vecs s = {vec_exp(-0.5f * b), 0.5f * b + of->constant, {0}};
        if (of->kind == DN_LOSS_NEGATIVE_BINOMIAL) s = dispersion(b);
        store_n(to[DN_SCALE_FACTOR] + i, s.factor, left), store_n(to[DN_SCALE_CONSTANT] + i, s.constant, left);
        store_n(to[DN_SCALE_DIGAMMA] + i, s.digamma, left), store_n(to[DN_SCALE_SLOPE] + i, slope, left);
    }
}

INLINE void column_spreads_of(const dn_loss kind, const dn_values *of, size_t rows, size_t n, const float *x,
                              size_t x_step, const float *truth, size_t truth_step, const float *row_weight,
                              float *to) {
    const dn_likelihood_terms terms = of->of;
    EACH_VECTOR(c, n, left) {
        const scale_vecs s = scales_at(of, c, left);
        dvec sum = {{0}, {0}};
        for (size_t r = 0; r < rows; r++) {
            vec t = load_n(truth + r * truth_step + c, left), v = load_n(x + r * x_step + c, left);
            add_product(&sum, widen(value_losses(kind, &terms, s, v, t, 1).spread),
                        widen(splat(row_weight ? row_weight[r] : 1)));
        }
        store_n(to + c, load_n(to + c, left) + narrow(sum) * scale_vec(of, DN_SCALE_SLOPE, c, left), left);
    }
}

static void column_spreads(const dn_values *of, size_t rows, size_t n, const float *x, size_t x_step,
                           const float *truth, size_t truth_step, const float *row_weight, float *to) {
    int hold = 1;
    for (size_t r = 0; hold && r < rows; r++)
        hold = vectors_hold(of->of.kind, n, x + r * x_step, truth + r * truth_step);
    for (size_t c = 0; !hold && c < n; c++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += (row_weight ? row_weight[r] : 1) *
                   dn_likelihood_value(&of->of, scale_at(of, c), x[r * x_step + c], truth[r * truth_step + c]).spread;
        to[c] += (float)sum * of->scales[DN_SCALE_SLOPE][c];
    }
    if (!hold) return;
    switch (of->of.kind) {
#define CASE(KIND) \
    case KIND: column_spreads_of(KIND, of, rows, n, x, x_step, truth, truth_step, row_weight, to); break;
        CASE(DN_LOSS_GAUSSIAN)
        CASE(DN_LOSS_LAPLACE)
        CASE(DN_LOSS_STUDENT_T)
        CASE(DN_LOSS_NEGATIVE_BINOMIAL)
#undef CASE
    default: break;
    }
}

/* ---- categorical ---- */

/* The first n lanes, `other` in those after them. */
INLINE vec load_or(const float *p, size_t n, float other) {
    vec v = splat(other);
    if (n >= VL) return load(p);
    memcpy(&v, p, n * sizeof *p);
    return v;
}

/* ln of the sum of e^x = *largest + ln *sum, with e^(x - *largest) in `to`, NULL: not wanted */
INLINE void exponentials(size_t n, const float *x, float *largest, double *sum, float *to) {
    vec most = splat(-__builtin_inff());
    dvec s = {{0}, {0}};
    EACH_VECTOR(i, n, left) {
        vec v = load_or(x + i, left, -__builtin_inff());
        most = choose(v > most, v, most);
    }
    *largest = most[0];
    for (int i = 1; i < VL; i++) *largest = most[i] > *largest ? most[i] : *largest;
    EACH_VECTOR(i, n, left) {
        vec e = vec_exp(load_or(x + i, left, -__builtin_inff()) - *largest);
        add(&s, widen(e));
        if (to) store_n(to + i, e, left);
    }
    *sum = lanes(&s);
}

static double one_hot(size_t n, float weight, const float *x, const float *truth, float *gradient) {
    float largest;
    double sum;
    dvec shares = {{0}, {0}}, losses = {{0}, {0}};
    exponentials(n, x, &largest, &sum, gradient);
    float log_sum = (float)log(sum);
    EACH_VECTOR(i, n, left) {
        vec t = load_n(truth + i, left), less = load_n(x + i, left) - largest;
        add(&shares, widen(t)), add(&losses, widen(choose(t == 0, (vec){0}, t * (log_sum - less))));
    }
    double share = lanes(&shares);
    int missing = share != share;
    float factor = missing ? 0 : weight * (float)(share / sum);
    if (gradient && missing) memset(gradient, 0, n * sizeof *gradient);
    for (size_t i = 0; gradient && !missing && i < n; i++) gradient[i] = factor * gradient[i] - weight * truth[i];
    return missing ? 0 : lanes(&losses);
}

static double code(size_t n, float weight, const float *x, float truth, float *gradient) {
    float largest;
    double sum;
    size_t at = truth >= 0 && truth < (float)n ? (size_t)truth : n;
    int missing = truth != truth, none = at == n || (float)at != truth;
    if (missing) {
        if (gradient) memset(gradient, 0, n * sizeof *gradient);
        return 0;
    }
    exponentials(n, x, &largest, &sum, gradient);
    float factor = none ? __builtin_nanf("") : weight * (float)(1 / sum);
    for (size_t i = 0; gradient && i < n; i++) gradient[i] *= factor;
    if (none) return __builtin_nan("");
    if (gradient) gradient[at] -= weight;
    return log(sum) - (x[at] - largest);
}

/* Softmaxes over a few logits side by side, one in each lane: x and truth turned, (n, VL). Those of a row are computed
 * so with up to FEW logits, those of rows with up to MORE. */
enum { FEW = 16, MORE = 32 };

INLINE void turned(size_t lanes_used, size_t n, const float *x, size_t step, vec to[MORE]) {
    float all[MORE][VL] __attribute__((aligned(64)));
    memset(all, 0, n * sizeof *all);
    for (size_t g = 0; g < lanes_used; g++)
        for (size_t i = 0; i < n; i++) all[i][g] = x[g * step + i];
    memcpy(to, all, n * sizeof *all);
}

INLINE void turned_back(size_t lanes_used, size_t n, const vec *from, float *x, size_t step) {
    float all[MORE][VL] __attribute__((aligned(64)));
    memcpy(all, from, n * sizeof *all);
    for (size_t g = 0; g < lanes_used; g++)
        for (size_t i = 0; i < n; i++) x[g * step + i] = all[i][g];
}

/* Up to VL softmaxes, from one to the next `step` floats of x and gradient; codes NULL: `truth` has n weights for each
 * of them, n being the step. */
INLINE vec few_losses(size_t groups, size_t n, size_t step, vec weight, const float *x, const float *truth,
                      const float *codes, float *gradient) {
    vec v[MORE], t[MORE], e[MORE], zero = {0}, one = splat(1), most, sum = zero, share = zero, loss = zero;
    vec code = codes ? load_n(codes, groups) : zero, none = zero;
    v[0] = zero; /* n is at least 1 */
    turned(groups, n, x, step, v);
    most = v[0];
    for (size_t i = 1; i < n; i++) most = choose(v[i] > most, v[i], most);
    if (!codes) turned(groups, n, truth, n, t);
    for (size_t i = 0; i < n; i++) {
        v[i] -= most, e[i] = vec_exp(v[i]), sum += e[i];
        if (codes) t[i] = choose(code == (float)i, one, zero);
        share += t[i];
    }
    vec log_sum = vec_log(sum);
    for (size_t i = 0; i < n; i++) loss += choose(t[i] == 0, zero, t[i] * (log_sum - v[i]));
    if (codes) none = choose(share == 0, splat(__builtin_nanf("")), zero), share = choose(code == code, one, code);
    ivec known = share == share;
    vec factor = weight * share / sum;
    for (size_t i = 0; gradient && i < n; i++) v[i] = choose(known, factor * e[i] - weight * t[i] + none, zero);
    if (gradient) turned_back(groups, n, v, gradient, step);
    return choose(known, loss + none, zero);
}

static double few(size_t groups, size_t n, float weight, const float *x, const float *truth, const float *codes,
                  float *gradient) {
    dvec sum = {{0}, {0}};
    EACH_VECTOR(g, groups, left) {
        vec loss = few_losses(left < VL ? left : VL, n, n, splat(weight), x + g * n, codes ? NULL : truth + g * n,
                              codes ? codes + g : NULL, gradient ? gradient + g * n : NULL);
        add(&sum, widen(first_lanes(loss, left)));
    }
    return lanes(&sum);
}

static double one_hots(size_t groups, size_t n, float weight, const float *x, const float *truth, float *gradient) {
    double loss = 0;
    if (n <= FEW) return few(groups, n, weight, x, truth, NULL, gradient);
    for (size_t g = 0; g < groups; g++)
        loss += one_hot(n, weight, x + g * n, truth + g * n, gradient ? gradient + g * n : NULL);
    return loss;
}

static double codes(size_t groups, size_t n, float weight, const float *x, const float *truth, float *gradient) {
    double loss = 0;
    if (n <= FEW) return few(groups, n, weight, x, NULL, truth, gradient);
    for (size_t g = 0; g < groups; g++)
        loss += code(n, weight, x + g * n, truth[g], gradient ? gradient + g * n : NULL);
    return loss;
}

static void codes_by_row(size_t rows, size_t n, const float *row_weight, const float *x, size_t x_step,
                         const float *truth, size_t truth_step, float *gradient, double *losses) {
    for (size_t r = 0; n > MORE && r < rows; r++)
        losses[r] += code(n, row_weight ? row_weight[r] : 1, x + r * x_step, truth[r * truth_step],
                          gradient ? gradient + r * x_step : NULL);
    if (n > MORE) return;
    EACH_VECTOR(r, rows, left) {
        size_t lanes_used = left < VL ? left : VL;
        float codes_of[VL];
        for (size_t i = 0; i < lanes_used; i++) codes_of[i] = truth[(r + i) * truth_step];
        vec weight = row_weight ? load_n(row_weight + r, left) : splat(1);
        vec loss = few_losses(lanes_used, n, x_step, weight, x + r * x_step, NULL, codes_of,
                              gradient ? gradient + r * x_step : NULL);
        for (size_t i = 0; i < lanes_used; i++) losses[r + i] += loss[i];
    }
}

const dn_likelihood_kernels CAT(dn_likelihood_kernels, DN_ISA) = {loss,     scales, values,      column_spreads,
                                                                  one_hots, codes,  codes_by_row};

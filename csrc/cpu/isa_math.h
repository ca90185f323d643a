/* Elementary functions over vectors, within 2 units in the last place of the true value (3 for tanh); exact at 0, the
 * infinities and NaN, and accurate where results or arguments are denormal. Polynomials were fitted by weighted least
 * squares to minimise the largest relative error, which stays under a tenth of a unit; tests/c/test_kernels.c measures
 * the total. */
#ifndef DN_ISA_MATH_H
#define DN_ISA_MATH_H
#include "cpu/isa_simd.h"
#include "net/latent.h"

typedef uint32_t uvec __attribute__((vector_size(VL * 4)));

/* In at_most and at_least NaN stays NaN: comparisons with it are false, and an instruction returns its second operand.
 * AVX2 has one for each of the three, which compilers do not find. */
#if VL == 8
INLINE vec choose(ivec mask, vec yes, vec no) { return __builtin_ia32_blendvps256(no, yes, (vec)mask); }
INLINE vec at_most(vec x, float limit) { return __builtin_ia32_minps256(splat(limit), x); }
INLINE vec at_least(vec x, float limit) { return __builtin_ia32_maxps256(splat(limit), x); }
#else
INLINE vec choose(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }
INLINE vec at_most(vec x, float limit) { return choose(x > limit, splat(limit), x); }
INLINE vec at_least(vec x, float limit) { return choose(x < limit, splat(limit), x); }
#endif
INLINE vec vec_abs(vec x) { return (vec)((ivec)x & 0x7fffffff); }
INLINE vec with_sign(vec size, vec sign) { return (vec)(((ivec)size & 0x7fffffff) | ((ivec)sign & INT32_MIN)); }

/* sqrt: lane by lane in the source, one instruction when compiled */
INLINE vec vec_sqrt(vec x) {
    for (int i = 0; i < VL; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
}

#define ROUNDER 12582912.0f /* 3 2^22: adding it leaves an integer in the low bits */

INLINE vec vec_floor(vec x) {
    vec near = (x + ROUNDER) - ROUNDER, down = near - choose(near > x, splat(1), (vec){0});
    return choose(vec_abs(x) < 4194304.0f, down, choose(vec_abs(x) < 8388608.0f, down, x));
}

/* x = n ln 2 + r, |r| <= ln(2)/2; |x| < 2^20 */
INLINE vec exp_reduced(vec x, ivec *n) {
    vec shifted = x * 1.44269504f + ROUNDER, whole = shifted - ROUNDER;
    vec r = x - whole * 0.693359375f; /* exact: nine bits */
    *n = (ivec)shifted - (ivec)splat(ROUNDER);
    return r + whole * 2.12194440e-4f; /* ln 2 = 0.693359375 - 2.1219444e-4 */
}

/* (expm1(r) - r) / r^2 */
INLINE vec exp_poly(vec r) {
    vec q = splat(1.991357421502471e-4f);
    q = q * r + 1.3941022334620357e-3f;
    q = q * r + 8.33327416330576e-3f;
    q = q * r + 4.166635498404503e-2f;
    q = q * r + 0.1666666716337204f;
    return q * r + 0.5f;
}

/* n and expm1(r) */
INLINE vec exp_parts(vec x, ivec *n) {
    vec r = exp_reduced(x, n), q = exp_poly(r);
    return q * (r * r) + r;
}

INLINE vec power_of_two(ivec n) { return (vec)((n + 127) << 23); } /* -126 <= n <= 127 */

INLINE vec vec_exp(vec x) {
    ivec n;
    vec p = exp_parts(at_least(at_most(x, 89), -104), &n);
    ivec half = n >> 1; /* in two steps: 2^128 and 2^-149 cannot be one factor */
    return ((p + 1) * power_of_two(half)) * power_of_two(n - half);
}

INLINE vec vec_expm1(vec x) {
    ivec n;
    vec p = exp_parts(at_least(at_most(x, 89), -30), &n), half = power_of_two(n - 1);
    vec result = (half * p + (half - 0.5f)) * 2;
    return choose(n == 0, choose(x == 0, x, p), result); /* -0 stays -0 */
}

/* (log(1 + f) - f + f^2/2) / f^3 */
INLINE vec log_poly(vec f) {
    vec q = splat(0.06746601313352585f);
    q = q * f - 0.11675640940666199f;
    q = q * f + 0.11888174712657928f;
    q = q * f - 0.12405591458082199f;
    q = q * f + 0.14219550788402557f;
    q = q * f - 0.1666799634695053f;
    q = q * f + 0.2000211924314499f;
    q = q * f - 0.25000008940696716f;
    return q * f + 0.3333331346511841f;
}

/* log of m 2^e, with sqrt(1/2) <= m < sqrt(2): f - f^2/2 + f^3 q(f) + e ln 2, f = m - 1 */
INLINE vec vec_log(vec x) {
    ivec tiny = x < 1.17549435e-38f;
    vec scaled = choose(tiny, x * 8388608.0f, x);
    uvec bits = (uvec)scaled; /* unsigned: negative lanes, whose results are discarded, would overflow */
    ivec e = (ivec)(bits - 0x3f3504f3) >> 23; /* 0x3f3504f3: sqrt(1/2) */
    vec f = (vec)(bits - ((uvec)e << 23)) - 1;
    vec power = __builtin_convertvector(e - (tiny & 23), vec);
    vec q = log_poly(f);
    vec square = f * f, y = f * square * q - power * 2.12194440e-4f - 0.5f * square;
    y = (y + f) + power * 0.693359375f;
    vec endless = splat(__builtin_inff());
    y = choose(x == endless, endless, y);
    y = choose(x == 0, -endless, y);
    ivec none = ~(x >= 0); /* negative or NaN */
    return choose(none, splat(__builtin_nanf("")), y);
}

/* A log-variance as it counts, and the slope of the bound; see latent.h. */
INLINE vec vec_bounded(vec x, float plain, float start, float base, vec *slope) {
    const vec size = vec_abs(x), beyond = size - start;
    const ivec large = size > plain;
    *slope = choose(large, 0.5f / beyond, splat(1));
    return choose(large, with_sign(base + 0.5f * vec_log(beyond), x), x);
}
INLINE vec log_variance(vec x, vec *slope) {
    return vec_bounded(x, DN_LOG_VARIANCE_PLAIN, DN_LOG_VARIANCE_START, DN_LOG_VARIANCE_BASE, slope);
}

/* 0 <= y <= 1: 2 atanh(s) = 2 s (1 + z q(z)), s = y / (y + 2), z = s^2 <= 1/9 */
INLINE vec vec_log1p(vec y) {
    vec s = y / (y + 2), z = s * s, q = splat(0.12154162675142288f);
    q = q * z + 0.10712925344705582f;
    q = q * z + 0.14308518171310425f;
    q = q * z + 0.19999437034130096f;
    q = q * z + 0.3333333730697632f;
    return 2 * s + 2 * s * (z * q);
}

INLINE vec vec_logistic(vec x) {
    vec e = vec_exp(-vec_abs(x));
    return choose(x < 0, e, splat(1)) / (e + 1);
}

/* expm1(2 |x|) / (expm1(2 |x|) + 2) */
INLINE vec vec_tanh(vec x) {
    vec t = vec_expm1(2 * at_most(vec_abs(x), 10));
    return choose(vec_abs(x) < 1e-4f, x, with_sign(t / (t + 2), x)); /* denormals too: x - x^3/3 rounds to x */
}

/* cos and sin of 2 pi u, 0 <= u < 1: the nearest quarter turn, and the remainder f <= 1/2 of one */
INLINE void vec_turn(vec u, vec *cosine, vec *sine) {
    vec quarters = u * 4, shifted = quarters + ROUNDER, f = quarters - (shifted - ROUNDER), z = f * f;
    vec s = splat(1.5820674889255315e-4f), c = splat(9.191659046337008e-4f);
    s = s * z - 4.681266378611326e-3f;
    s = s * z + 7.969257980585098e-2f;
    s = s * z - 0.6459640860557556f;
    s = (s * z + 1.5707963705062866f) * f;
    c = c - z * 2.4857063181116246e-5f;
    c = c * z - 2.0863469690084457e-2f;
    c = c * z + 0.25366950035095215f;
    c = c * z - 1.2337005138397217f;
    c = c * z + 1;
    ivec quarter = (ivec)shifted, odd = -(quarter & 1);
    vec a = choose(odd, s, c), b = choose(odd, c, s);
    *cosine = (vec)((ivec)a ^ (((quarter + 1) & 2) << 30));
    *sine = (vec)((ivec)b ^ ((quarter & 2) << 30));
}
#endif

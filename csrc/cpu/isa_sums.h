/* Vectors at the end of arrays, and sums in double precision: one per lane, and the lanes are added in order. */
#ifndef DN_ISA_SUMS_H
#define DN_ISA_SUMS_H
#include "cpu/isa_math.h"

/* One double for each lane of a vector, as two vectors: compilers generate poor code for a type of twice the register
 * width. */
typedef float half_vec __attribute__((vector_size(VL * 2)));
typedef double half_dvec __attribute__((vector_size(VL * 4)));
typedef struct dvec {
    half_dvec low, high;
} dvec;
#if VL == 16
INLINE half_dvec widen_half(half_vec x) { return (half_dvec)_mm512_cvtps_pd((__m256)x); }
INLINE half_vec narrow_half(half_dvec x) { return (half_vec)_mm512_cvtpd_ps((__m512d)x); }
#elif VL == 8
INLINE half_dvec widen_half(half_vec x) { return (half_dvec)_mm256_cvtps_pd((__m128)x); }
INLINE half_vec narrow_half(half_dvec x) { return (half_vec)_mm256_cvtpd_ps((__m256d)x); }
#else
INLINE half_dvec widen_half(half_vec x) { return __builtin_convertvector(x, half_dvec); }
INLINE half_vec narrow_half(half_dvec x) { return __builtin_convertvector(x, half_vec); }
#endif
INLINE dvec widen(vec x) {
    half_vec halves[2];
    memcpy(halves, &x, sizeof x);
    return (dvec){widen_half(halves[0]), widen_half(halves[1])};
}
INLINE vec narrow(dvec x) {
    half_vec halves[2] = {narrow_half(x.low), narrow_half(x.high)};
    vec v;
    memcpy(&v, halves, sizeof v);
    return v;
}
INLINE void add(dvec *to, dvec x) { to->low += x.low, to->high += x.high; }
INLINE void add_product(dvec *to, dvec x, dvec y) { to->low += x.low * y.low, to->high += x.high * y.high; }
INLINE dvec minus(dvec x, dvec y) { return (dvec){x.low - y.low, x.high - y.high}; }
INLINE double lanes(const dvec *x) {
    double each[VL], s = 0; /* a copy: a sum whose lanes are read one by one would not stay in registers before */
    memcpy(each, &x->low, sizeof x->low), memcpy(each + VL / 2, &x->high, sizeof x->high);
    for (int i = 0; i < VL; i++) s += each[i];
    return s;
}

#define EACH_VECTOR(i, n, left) for (size_t i = 0, left = (n); i < (n); i += VL, left -= VL)
#endif

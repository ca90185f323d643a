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
/* One instruction, where compilers may convert halves and put them together. */
INLINE half_dvec widen_half(half_vec x) {
#if VL >= 8
    half_dvec d;
    __asm__("vcvtps2pd %1, %0" : "=v"(d) : "v"(x));
    return d;
#else
    return __builtin_convertvector(x, half_dvec);
#endif
}
INLINE half_vec narrow_half(half_dvec x) { return __builtin_convertvector(x, half_vec); }
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

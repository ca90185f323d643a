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
INLINE dvec widen(vec x) {
    half_vec halves[2];
    memcpy(halves, &x, sizeof x);
    return (dvec){__builtin_convertvector(halves[0], half_dvec), __builtin_convertvector(halves[1], half_dvec)};
}
INLINE vec narrow(dvec x) {
    half_vec halves[2] = {__builtin_convertvector(x.low, half_vec), __builtin_convertvector(x.high, half_vec)};
    vec v;
    memcpy(&v, halves, sizeof v);
    return v;
}
INLINE void add(dvec *to, dvec x) { to->low += x.low, to->high += x.high; }
INLINE void add_product(dvec *to, dvec x, dvec y) { to->low += x.low * y.low, to->high += x.high * y.high; }
INLINE dvec minus(dvec x, dvec y) { return (dvec){x.low - y.low, x.high - y.high}; }
INLINE double lanes(const dvec *x) {
    double s = 0;
    for (int i = 0; i < VL / 2; i++) s += x->low[i];
    for (int i = 0; i < VL / 2; i++) s += x->high[i];
    return s;
}

#define EACH_VECTOR(i, n, left) for (size_t i = 0, left = (n); i < (n); i += VL, left -= VL)
#endif

/* What the isa_*.c files share: the vector type of the instruction set they are compiled for, and shuffles. They use
 * GCC vector extensions only, so NEON and others compile the base form (VL = 4). Everything is static: otherwise the
 * linker might pick a copy of a shared function that was compiled for wide vectors. */
#ifndef DN_ISA_SIMD_H
#define DN_ISA_SIMD_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef DN_ISA
#define DN_ISA base
#endif
#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)
#define STR2(a) #a
#define STR(a) STR2(a)
#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX2__)
#define VL 8
#else
#define VL 4
#endif
typedef float vec __attribute__((vector_size(VL * 4)));
typedef float vec_u __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(VL * 4)));
#define INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Keeps v in a register. Compilers fold a load into every use of it; of 512-bit loads a processor does one in a cycle,
 * as many as products. */
#if VL == 16
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif VL == 8
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

INLINE vec load(const float *p) { return *(const vec_u *)p; }
INLINE void store(float *p, vec v) { *(vec_u *)p = v; }
INLINE vec splat(float x) { return x - (vec){0}; }

/* Of some of the lanes compilers make poor code. One instruction each is written here: <immintrin.h>, which has names
 * for them, takes as long to compile as the kernels of a file. MASK: the first n < VL lanes. */
#if VL == 16
#define MASK(n) ((uint16_t)((1u << (n)) - 1))
#endif

/* The first n <= VL values, followed by zeros. */
INLINE vec load_n(const float *p, size_t n) {
    if (n >= VL) return load(p);
    vec v = {0};
#if VL == 16
    __asm__("vmovups %1, %0%{%2%}%{z%}" : "=v"(v) : "m"(*(const vec_u *)p), "Yk"(MASK(n)));
#else
    memcpy(&v, p, n * sizeof *p);
#endif
    return v;
}
INLINE void store_n(float *p, vec v, size_t n) {
    if (n >= VL)
        store(p, v);
    else
#if VL == 16
        __asm__("vmovups %1, %0%{%2%}" : "+m"(*(vec_u *)p) : "v"(v), "Yk"(MASK(n)));
#else
        memcpy(p, &v, n * sizeof *p);
#endif
}

/* Lanes 0 .. VL - 1 of a shuffle: f(lane, d) for each of them. */
#define LANES4(f, d, e) f(e, d), f(e + 1, d), f(e + 2, d), f(e + 3, d)
#if VL == 16
#define LANES(f, d) LANES4(f, d, 0), LANES4(f, d, 4), LANES4(f, d, 8), LANES4(f, d, 12)
#elif VL == 8
#define LANES(f, d) LANES4(f, d, 0), LANES4(f, d, 4)
#else
#define LANES(f, d) LANES4(f, d, 0)
#endif
#if defined(__clang__)
#define SHUFFLE(a, b, f, d) __builtin_shufflevector(a, b, LANES(f, d))
#else
#define SHUFFLE(a, b, f, d) __builtin_shuffle(a, b, (ivec){LANES(f, d)})
#endif
/* Lane i of the result is lane at[i] of v; the indexes are known only at run time. */
INLINE vec picked(vec v, ivec at) {
#if defined(__clang__)
    vec to;
    for (int i = 0; i < VL; i++) to[i] = v[at[i]];
    return to;
#else
    return __builtin_shuffle(v, at);
#endif
}
#define LANE(e, d) (e)
/* Of blocks of d lanes: the even ones of a and b alternately, and the odd ones. */
#define EVEN(e, d) ((e) / (d) % 2 == 0 ? (e) : VL + (e) - (d))
#define ODD(e, d) ((e) / (d) % 2 == 0 ? (e) + (d) : VL + (e))

/* One round of a transpose (VL x VL) or of a sum of VL vectors, with partners d apart. */
#define TRANSPOSE_ROUND(v, d)                                                                   \
    UNROLL for (int r = 0; r < VL; r++) if (r / (d) % 2 == 0) {                                 \
        vec even = SHUFFLE(v[r], v[r + (d)], EVEN, d), odd = SHUFFLE(v[r], v[r + (d)], ODD, d); \
        v[r] = even, v[r + (d)] = odd;                                                          \
    }
#define SUM_ROUND(v, d) \
    UNROLL for (int r = 0; r < (d); r++) v[r] = SHUFFLE(v[r], v[r + (d)], EVEN, d) + SHUFFLE(v[r], v[r + (d)], ODD, d);

INLINE void transpose(vec v[VL]){
#if VL == 16
    TRANSPOSE_ROUND(v, 8)
#endif
#if VL >= 8
        TRANSPOSE_ROUND(v, 4)
#endif
            TRANSPOSE_ROUND(v, 2) TRANSPOSE_ROUND(v, 1)}

/* Lane i of the result is the sum of the lanes of v[i]. v is overwritten. */
INLINE vec sums(vec v[VL]) {
#if VL == 16
    SUM_ROUND(v, 8)
#endif
#if VL >= 8
    SUM_ROUND(v, 4)
#endif
    SUM_ROUND(v, 2)
    SUM_ROUND(v, 1)
    return v[0];
}
#endif

/* Products for a tile of 4 x 3 vectors of AVX2, C(i, j) += A(i) B(j) four times over, with all sums in registers. In
 * this order, which compilers do not keep: theirs add to every pointer for every product or, told to unroll, move sums
 * between registers. Where two threads share a core that took 1.1 times as long (Zen 3), elsewhere 1.03. */
#ifndef DN_ISA_TILE_AVX2_H
#define DN_ISA_TILE_AVX2_H
#include "cpu/isa_simd.h"

#define TILE_PRODUCT(j, sum) "vfmadd231ps %%ymm" #j ", %%ymm3, %[c" #sum "]\n\t"
#define TILE_ROW(x, c0, c1, c2) \
    "vbroadcastss " x ", %%ymm3\n\t" TILE_PRODUCT(0, c0) TILE_PRODUCT(1, c1) TILE_PRODUCT(2, c2)
/* The p-th of some steps: a row of B, 96 bytes, lies after the other; x0 to x3 are where the values of A are. */
#define TILE_STEP(p, x0, x1, x2, x3)                                                                               \
    "vmovups 96 * " #p "(%[b]), %%ymm0\n\t"                                                                        \
    "vmovups 96 * " #p " + 32(%[b]), %%ymm1\n\t"                                                                   \
    "vmovups 96 * " #p " + 64(%[b]), %%ymm2\n\t" TILE_ROW(x0, 0, 1, 2) TILE_ROW(x1, 3, 4, 5) TILE_ROW(x2, 6, 7, 8) \
        TILE_ROW(x3, 9, 10, 11)
/* A step's values of A one after the other, */
#define TILE_STEP_PACKED(p) \
    TILE_STEP(p, "16 * " #p "(%[a])", "16 * " #p " + 4(%[a])", "16 * " #p " + 8(%[a])", "16 * " #p " + 12(%[a])")
/* or in four rows that are `row` bytes apart. */
#define TILE_STEP_ROWS(p)                                                                       \
    TILE_STEP(p, "4 * " #p "(%[a])", "4 * " #p "(%[a], %[row])", "4 * " #p "(%[a], %[row], 2)", \
              "4 * " #p "(%[a], %[row3])")
#define TILE_4_STEPS(step) step(0) step(1) step(2) step(3)

#define TILE_CLOBBERED "xmm0", "xmm1", "xmm2", "xmm3", "memory"
#define TILE_SUMS                                                                                           \
    [c0] "+x"(sums[0]), [c1] "+x"(sums[1]), [c2] "+x"(sums[2]), [c3] "+x"(sums[3]), [c4] "+x"(sums[4]),     \
        [c5] "+x"(sums[5]), [c6] "+x"(sums[6]), [c7] "+x"(sums[7]), [c8] "+x"(sums[8]), [c9] "+x"(sums[9]), \
        [c10] "+x"(sums[10]), [c11] "+x"(sums[11])

/* Four steps, added to the sums. */
INLINE void tile_add_4(const float *a, const float *b, vec sums[12]) {
    __asm__(TILE_4_STEPS(TILE_STEP_PACKED) : TILE_SUMS : [a] "r"(a), [b] "r"(b) : TILE_CLOBBERED);
}
INLINE void tile_add_4_rows(const float *a, ptrdiff_t row, const float *b, vec sums[12]) {
    __asm__(TILE_4_STEPS(TILE_STEP_ROWS)
            : TILE_SUMS
            : [a] "r"(a), [b] "r"(b), [row] "r"(row), [row3] "r"(3 * row)
            : TILE_CLOBBERED);
}
#endif

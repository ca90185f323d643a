/* Single-thread kernels of convolutions, compiled once per instruction set (isa_conv.c). A panel holds `panel` columns
 * of a matrix, row after row, so that one of its rows is a few whole vectors; columns that the matrix does not have are
 * zero. */
#ifndef DN_CPU_CONV_KERNELS_H
#define DN_CPU_CONV_KERNELS_H
#include "backend/backend.h"

typedef struct dn_cpu_conv_kernels {
    const char *name;
    int width, panel; /* floats per vector; columns per panel */
    /* C (m, n) = or += A B with A(i, p) = a[rows[i] + cols[p]]: no matrix of columns is ever written. B (k, n) and C
     * are panels; row i of the product goes to row to[i] of C, or to row i where `to` is NULL. */
    void (*multiply)(int m, int n, int k, const float *a, const int *rows, const int *cols, const float *b, int add,
                     float *c, const int *to);
    /* panel[rows[j]][i] = x[i*ldx + j] for i < n, j < count; rows NULL: j */
    void (*to_panel)(int n, int count, const float *x, ptrdiff_t ldx, const int *rows, float *panel);
    /* y[i*ldy + j] = or += panel[j][i]; reads whole vectors of rows, up to width - 1 beyond count */
    void (*from_panel)(int n, int count, const float *panel, int add, float *y, ptrdiff_t ldy);
    /* For results with few channels, which would fill a panel badly: vectors run along pixels instead. y[i*ldy + j] =
     * sum over p of w[i*ldw + p] x[cols[p] + j], j < count; reads and writes up to DN_NARROW beyond count */
    void (*narrow)(int m, int count, int k, const float *w, ptrdiff_t ldw, const float *x, const int *cols, float *y,
                   ptrdiff_t ldy);
    /* panel[i][j] = or += sum over q < count of x[rows[i] + q] y[j*ldy + q], j < n; count is a multiple of the vector
     * length */
    void (*dots)(int m, int n, int count, const float *x, const int *rows, const float *y, ptrdiff_t ldy, int add,
                 float *panel);
    /* copies `lines` lines of n values, which are ldx and ldy apart */
    void (*copy_lines)(int lines, int n, const float *x, ptrdiff_t ldx, float *y, ptrdiff_t ldy);
    /* Max pooling of n > 0 windows (size, size) beside each other in an image `width` wide, the first at x, which is
     * value `at`: y = the greatest value, index = which one that is, the first of equal ones */
    void (*max_windows)(int n, int stride, int size, ptrdiff_t width, const float *x, int at, float *y, int *index);
} dn_cpu_conv_kernels;
enum { DN_NARROW = 64 };

/* For the same instruction set as dn_cpu_kernels_get. */
const dn_cpu_conv_kernels *dn_cpu_conv_kernels_get(void);
extern const dn_cpu_conv_kernels dn_cpu_conv_kernels_base, dn_cpu_conv_kernels_avx2, dn_cpu_conv_kernels_avx512;
#endif

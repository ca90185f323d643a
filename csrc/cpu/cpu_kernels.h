/* Single-thread kernels, compiled once per instruction set (isa_kernels.c) and chosen at first use. */
#ifndef DN_CPU_KERNELS_H
#define DN_CPU_KERNELS_H
#include "backend/backend.h"

enum { DN_NORM_CHANNELS = 64 }; /* most channels in one call of the norm_ kernels */
typedef enum dn_math {
    DN_MATH_EXP,
    DN_MATH_EXPM1,
    DN_MATH_LOG,
    DN_MATH_LOG1P,
    DN_MATH_TANH,
    DN_MATH_LOGISTIC,
    DN_MATH_COS,
    DN_MATH_SIN
} dn_math; /* the last two: of 2 pi x, 0 <= x < 1 */

/* An optimiser's step as numbers, for parameters of one learning rate and decay (docs/numerics.md, "Update"). What the
 * moments are of is scale * g + l2 * w, with g the gradient's sum over the rows; AdamW's decay leaves `keep` of w. */
typedef struct dn_update {
    int adam; /* two moments; 0: SGD */
    float scale, l2, keep, rate, momentum;
    float b1, b2, eps, correction1, correction2;
} dn_update;
dn_update dn_update_of(const dn_optimizer *optimizer, const dn_step *step, float factor, float decay);

/* Kernels over vectors (isa_kernels.c); what each computes is documented there and in backend_ops.h. */
typedef struct dn_cpu_kernels {
    const char *name;
    void (*scale)(size_t n, float a, float *x);                                   /* x *= a */
    void (*axpy)(size_t n, float a, const float *x, float *y);                    /* y += a x */
    void (*add)(size_t n, const float *x, const float *y, float *z);              /* z = x + y */
    void (*mul_add)(size_t n, float a, const float *x, const float *y, float *z); /* z += a x y */
    void (*shift)(size_t n, float a, float *x);                                   /* x += a */
    void (*approach)(size_t n, float a, const float *x, float *y);                /* y += a (x - y) */
    double (*sum)(size_t n, const float *x);
    double (*sum_squares)(size_t n, const float *x);
    void (*column_sums)(size_t rows, size_t cols, size_t ld, const float *x, float *to); /* added to `to` */
    /* rows of n values, `step` apart: y = act(y + b) */
    void (*bias_activate)(dn_activation a, size_t rows, size_t n, size_t step, const float *b, float *y);
    void (*activate)(dn_activation a, size_t n, float *x);
    void (*activate_gradient)(dn_activation a, size_t n, const float *y, float *dy);
    double (*loss)(const dn_likelihood *likelihood, size_t n, const float *x, const float *truth, float *error,
                   float *gradient);
    void (*softmax)(size_t n, float temperature, const float *x, float *y);
    double (*reparameterise)(size_t n, const float *lv, const float *mu, const float *eps, float *z);
    void (*reparameterise_gradient)(size_t n, float w, const float *lv, const float *mu, const float *eps,
                                    const float *dz, float *dlv, float *dmu);
    void (*random)(int normal, uint64_t seed, uint32_t stream, uint64_t step, uint32_t first_block, size_t n,
                   float *to);
    void (*norm_sums)(size_t rows, size_t channels, size_t spatial, size_t from, size_t to, const float *x,
                      const float *w, const double *centre, double *first, double *second);
    void (*norm_apply)(size_t rows, size_t channels, size_t spatial, size_t from, size_t to, const float *x,
                       const float *mean, const float *root, const float *scale, const float *bias, float *xhat,
                       float *y);
    void (*norm_gradient)(size_t rows, size_t channels, size_t spatial, size_t from, size_t to, const float *a,
                          const float *b, const float *d, const float *xhat, float *dy);
    /* what follows the products of a step of an LSTM, of n of its outputs: rows are `outputs` values apart, those of
     * gates four times as many; see backend_ops.h */
    void (*lstm)(size_t rows, size_t n, size_t outputs, const float *c, float *gates, float *tanh_c, float *next_c,
                 float *next_h, float *y);
    void (*lstm_gradient)(size_t rows, size_t n, size_t outputs, const float *dh, const float *c, const float *tanh_c,
                          float *gates, float *dc);
    void (*sgd)(size_t n, const dn_update *update, float *w, float *m, const float *g);
    void (*adam)(size_t n, const dn_update *update, float *w, float *m, float *v, const float *g);
    void (*function)(int which, size_t n, const float *x, float *y); /* a dn_math, for tests */
} dn_cpu_kernels;

/* C (m, n) = alpha op(A) op(B) + beta C on the calling thread (isa_gemm.c), and the shapes it is best at. Large
 * products are cut into blocks of at least `least_rows` rows, and at least `least_cols_turned` columns where A is
 * transposed, because every block packs it anew; `widen` times as wide where B is not transposed. A gradient of
 * weights, A^T B with few k, is used up in tiles of tile_rows x tile_cols (parts of equal width are rounded up to
 * tile_unit). */
typedef struct dn_gemm_kernel {
    void (*gemm)(int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, ptrdiff_t lda,
                 const float *b, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc);
    int least_rows, least_cols_turned, widen;
    int tile_rows, tile_cols, tile_unit; /* rows x cols <= DN_GEMM_TILE */
    int strip;                           /* columns of C that are computed together */
} dn_gemm_kernel;
enum { DN_GEMM_TILE = 128 * 144 };
const dn_gemm_kernel *dn_cpu_gemm_kernel(void);

/* A part of C (m, n): its columns [left, right) of all rows, and of the last columns, from `rest` on, its rows
 * [top, bottom). */
typedef struct dn_gemm_part {
    int left, right, rest, top, bottom;
} dn_gemm_part;
/* Part i of `parts` that take equally long: the same number of whole strips each and, of columns that are left over,
 * a part of the rows. Where they are too many for that, or rows too few, parts are of columns alone, multiples of
 * `unit` as far as possible. */
dn_gemm_part dn_gemm_part_of(int m, int n, int parts, int i, int unit);

/* The widest instruction set that this processor supports, or the one that DARKNET_ISA names: an index into the tables
 * below. */
int dn_cpu_isa(void);
/* Are DARKNET_ISA and DARKNET_BLAS valid? DN_E_USAGE if not. */
dn_status dn_cpu_check(void);
/* The tables of each isa_*.c, indexed by dn_cpu_isa. */
#if defined(__x86_64__)
#define DN_PER_ISA(table) {&table##_base, &table##_avx2, &table##_avx512}
#define DN_PER_ISA_EXTERN(type, table) extern const type table##_base, table##_avx2, table##_avx512
#else
#define DN_PER_ISA(table) {&table##_base}
#define DN_PER_ISA_EXTERN(type, table) extern const type table##_base
#endif
const dn_cpu_kernels *dn_cpu_kernels_get(void);
/* n values on the calling thread; v is Adam's alone */
static inline void dn_update_run(const dn_update *update, size_t n, float *w, float *m, float *v, const float *g) {
    if (update->adam)
        dn_cpu_kernels_get()->adam(n, update, w, m, v, g);
    else
        dn_cpu_kernels_get()->sgd(n, update, w, m, g);
}

/* Loops run in chunks of `grain`, whatever the number of threads; below three chunks' worth of work, in one. Sums are
 * taken per chunk, of which there are then at most 64, and added in order. */
enum { DN_GRAIN = 1 << 15 };
static inline size_t dn_chunks(size_t n, size_t grain) { return (n + grain - 1) / grain; }
static inline size_t dn_chunk_end(size_t chunk, size_t grain, size_t n) {
    return (chunk + 1) * grain < n ? (chunk + 1) * grain : n;
}
typedef void (*dn_range_fn)(const void *context, size_t from, size_t to);
typedef double (*dn_range_sum_fn)(const void *context, size_t from, size_t to);
void dn_range_run(dn_pool *pool, size_t n, size_t grain, dn_range_fn fn, const void *context);
double dn_range_sum(dn_pool *pool, size_t n, size_t grain, dn_range_sum_fn fn, const void *context);
/* Where part i of n begins, a multiple of `unit`; parts are equal but for that. */
static inline int dn_part_from(int all, int n, int i, int unit) {
    return i == n ? all : (int)((size_t)all * (size_t)i / (size_t)n + (size_t)unit / 2) / unit * unit;
}
/* For items of `size` values each: how many make a chunk. */
static inline size_t dn_grain_of(size_t size) { return size >= DN_GRAIN ? 1 : DN_GRAIN / (size ? size : 1); }
#endif

/* Single-thread kernels that are compiled once per instruction set (isa_kernels.c) and chosen when first used. */
#ifndef DN_CPU_KERNELS_H
#define DN_CPU_KERNELS_H
#include "../backend.h"

typedef struct dn_cpu_kernels {
    const char *name;
    void (*axpy)(size_t n, float a, const float *x, float *y);
    void (*sgd)(size_t n, float rate, float momentum, float decay, float inverse_batch, float *w, float *v,
                const float *g);
    void (*adam)(size_t n, float rate, float b1, float b2, float eps, float decay_batch, float c1, float c2, float *w,
                 float *m, float *v, const float *g);
} dn_cpu_kernels;

/* C (m, n) = alpha op(A) op(B) + beta C on the calling thread (isa_gemm.c) */
typedef struct dn_gemm_kernel {
    void (*gemm)(int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, ptrdiff_t lda,
                 const float *b, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc);
} dn_gemm_kernel;
const dn_gemm_kernel *dn_cpu_gemm_kernel(void);

/* The fastest instruction set this processor runs, or the one DARKNET_ISA names: an index into the tables below. */
int dn_cpu_isa(void);
/* The tables of one isa_*.c, in the order of dn_cpu_isa. */
#if defined(__x86_64__)
#define DN_PER_ISA(table) {&table##_base, &table##_avx2, &table##_avx512}
#define DN_PER_ISA_EXTERN(type, table) extern const type table##_base, table##_avx2, table##_avx512
#else
#define DN_PER_ISA(table) {&table##_base}
#define DN_PER_ISA_EXTERN(type, table) extern const type table##_base
#endif
const dn_cpu_kernels *dn_cpu_kernels_get(void);

/* Ranges of a long vector, for dn_pool_run: `grain` values a chunk, whatever the thread count. */
enum { DN_GRAIN = 1 << 15 };
static inline size_t dn_chunks(size_t n, size_t grain) { return (n + grain - 1) / grain; }
static inline size_t dn_chunk_end(size_t chunk, size_t grain, size_t n) {
    return (chunk + 1) * grain < n ? (chunk + 1) * grain : n;
}
#endif

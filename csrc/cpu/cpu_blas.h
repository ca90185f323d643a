#ifndef DN_CPU_BLAS_H
#define DN_CPU_BLAS_H
#include "base/status.h"
/* order 101: row-major; transpose 111: no, 112: yes */
typedef void (*dn_sgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                            int lda, const float *b, int ldb, float beta, float *c, int ldc);
/* The BLAS named by the environment variable DARKNET_BLAS; NULL: none. */
dn_sgemm_fn dn_cpu_blas(void);
/* DN_E_USAGE when the variable names a library that cannot be used. */
dn_status dn_cpu_blas_check(void);
#endif

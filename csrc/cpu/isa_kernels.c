/* Kernels over vectors, compiled with -DDN_ISA=base, avx2, avx512. */
#include "cpu_kernels.h"
#include "isa_simd.h"
#include <math.h>

static void axpy(size_t n, float a, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void sgd(size_t n, float rate, float momentum, float decay, float inverse_batch, float *restrict w,
                float *restrict v, const float *restrict g) {
    for (size_t i = 0; i < n; i++) {
        v[i] = momentum * v[i] + (g[i] * inverse_batch + decay * w[i]);
        w[i] -= rate * v[i];
    }
}

static void adam(size_t n, float rate, float b1, float b2, float eps, float decay_batch, float c1, float c2,
                 float *restrict w, float *restrict m, float *restrict v, const float *restrict g) {
    for (size_t i = 0; i < n; i++) {
        float d = g[i] + decay_batch * w[i];
        m[i] = b1 * m[i] + (1 - b1) * d;
        v[i] = b2 * v[i] + (1 - b2) * d * d;
        w[i] -= rate * (m[i] / c1) / (sqrtf(v[i] / c2) + eps);
    }
}

const dn_cpu_kernels CAT(dn_cpu_kernels, DN_ISA) = {STR(DN_ISA), axpy, sgd, adam};

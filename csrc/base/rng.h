/* Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011): a random number is a function of
 * (seed, stream, step, index), so different thread counts, devices and resumed runs agree. Header only, because both C
 * and CUDA include it. */
#ifndef DN_RNG_H
#define DN_RNG_H
#include "base/host_device.h"
#include <math.h>
#include <stdint.h>

/* Streams: what the numbers are drawn for. Layer i of a network draws from DN_STREAM_LAYER + i. */
enum {
    DN_STREAM_SHUFFLE = 1,
    DN_STREAM_PRIOR = 2,
    DN_STREAM_RATE = 3,
    DN_STREAM_HOLDOUT = 4,
    DN_STREAM_BITS = 32,     /* rows drawn as bits: anew at every visit, */
    DN_STREAM_ROW_BITS = 33, /* or once for each row */
    DN_STREAM_NOISE = 34,    /* added to rows */
    DN_STREAM_DRAW = 24,     /* data from likelihoods; 25: from the generator of one value */
    DN_STREAM_DRAW_MORE = 25,
    DN_STREAM_POSTERIOR = 16, /* latents of rows */
    DN_STREAM_MIXTURE = 17,   /* where the fit of a mixture begins; 18, 19: which component, and where in it */
    DN_STREAM_COMPONENT = 18,
    DN_STREAM_MIXTURE_DRAW = 19,
    DN_STREAM_CONDITION = 20, /* columns that a network is told */
    DN_STREAM_IMPUTE = 21,    /* latents of rows whose gaps are filled */
    DN_STREAM_GAPS = 22,      /* which cells of drawn rows are missing */
    DN_STREAM_INIT = 0x10000,
    DN_STREAM_LAYER = 0x20000,
    DN_STREAM_ROWS = 0x30000 /* + i: of layer i, by row and draw */
};

DN_HD void dn_philox(uint64_t seed, uint32_t stream, uint64_t step, uint32_t block, uint32_t out[4]) {
    uint32_t c0 = block, c1 = stream, c2 = (uint32_t)step, c3 = (uint32_t)(step >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1, c3 = (uint32_t)p0, c0 = n0, c2 = n2;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* Uniform in [0, 1), with 24 bits. */
DN_HD float dn_uniform_of(uint32_t bits) { return (float)(bits >> 8) * (1.0f / 16777216.0f); }

/* Four normals of block `block` (Box and Muller 1958). */
DN_HD void dn_normal4(uint64_t seed, uint32_t stream, uint64_t step, uint32_t block, float out[4]) {
    uint32_t r[4];
    dn_philox(seed, stream, step, block, r);
    for (int i = 0; i < 4; i += 2) {
        float u = ((float)(r[i] >> 8) + 0.5f) * (1.0f / 16777216.0f); /* never 0 */
        float angle = 6.28318530717958647692f * dn_uniform_of(r[i + 1]);
        float radius = sqrtf(-2.0f * logf(u));
        out[i] = radius * cosf(angle), out[i + 1] = radius * sinf(angle);
    }
}

DN_HD float dn_uniform_at(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index) {
    uint32_t r[4];
    dn_philox(seed, stream, step, (uint32_t)(index >> 2), r);
    return dn_uniform_of(r[index & 3]);
}
#endif

/* Losses, the reparameterisation, random numbers and optimiser steps. Sums are kept per chunk and added in order. */
#include "cpu_ops.h"
#include "../rng.h"
#include <math.h>
#include <string.h>

enum { SUM_GRAIN = 4096 };

static double loss_one(dn_loss kind, float x, float t, float *error, float *gradient) {
    float d = t - x, sign = (float)((d > 0) - (d < 0));
    switch (kind) {
    case DN_LOSS_MASKED:
        if (t == DN_MASKED) {
            *error = *gradient = 0;
            break;
        } /* fall through */
    case DN_LOSS_SSE: *error = d * d, *gradient = -d; break;
    case DN_LOSS_L1: *error = fabsf(d), *gradient = -sign; break;
    case DN_LOSS_SMOOTH:
        *error = fabsf(d) < 1 ? d * d : 2 * fabsf(d) - 1;
        *gradient = fabsf(d) < 1 ? -d : -sign;
        break;
    case DN_LOSS_BCE:
        *error = (x > 0 ? x : 0) - x * t + log1pf(expf(-fabsf(x)));
        *gradient = 1 / (1 + expf(-x)) - t;
        break;
    case DN_LOSS_COUNT: break;
    }
    return (double)*error;
}

void cpu_loss(dn_pool *pool, dn_loss kind, size_t n, const float *x, const float *truth, float *error, float *gradient,
              double *sum) {
    (void)pool;
    double total = 0;
    for (size_t at = 0; at < n; at += SUM_GRAIN) {
        size_t end = at + SUM_GRAIN < n ? at + SUM_GRAIN : n;
        double part = 0;
        for (size_t i = at; i < end; i++) part += loss_one(kind, x[i], truth[i], error + i, gradient + i);
        total += part;
    }
    *sum += total;
}

void cpu_mask(dn_pool *pool, size_t n, const float *truth, float *x) {
    (void)pool;
    for (size_t i = 0; i < n; i++)
        if (truth[i] == DN_MASKED) x[i] = DN_MASKED;
}

void cpu_reparameterise(dn_pool *pool, size_t rows, size_t latent, const float *x, const float *eps, float *z,
                        double *sum) {
    (void)pool;
    double kl = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < latent; j++) {
            float lv = x[r * 2 * latent + j], mu = x[r * 2 * latent + latent + j], e = eps ? eps[r * latent + j] : 0;
            z[r * latent + j] = mu + expf(0.5f * lv) * e;
            kl += 0.5 * (exp((double)lv) + (double)mu * mu - 1 - lv);
        }
    *sum += kl;
}

void cpu_reparameterise_gradient(dn_pool *pool, size_t rows, size_t latent, float kl_weight, const float *x,
                                 const float *eps, const float *dz, float *dx) {
    (void)pool;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < latent; j++) {
            float lv = x[r * 2 * latent + j], mu = x[r * 2 * latent + latent + j], d = dz[r * latent + j];
            float e = eps ? eps[r * latent + j] : 0;
            dx[r * 2 * latent + j] += d * 0.5f * expf(0.5f * lv) * e     /* through z */
                                      + kl_weight * 0.5f * expm1f(lv);  /* through KL */
            dx[r * 2 * latent + latent + j] += d + kl_weight * mu;
        }
}

void cpu_gather_rows(dn_pool *pool, const dn_step *step, size_t rows, size_t cols, const float *data,
                     const uint32_t *order, float *to) {
    (void)pool;
    for (size_t r = 0; r < rows; r++) memcpy(to + r * cols, data + (size_t)order[step->at + r] * cols, cols * sizeof *to);
}

void cpu_normals(dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float *eps) {
    (void)pool;
    for (size_t i = 0; i < n; i += 4) {
        float four[4];
        dn_normal4(step->seed, stream, step->pass, (uint32_t)(i / 4), four);
        for (size_t k = 0; k < 4 && i + k < n; k++) eps[i + k] = four[k];
    }
}

void cpu_uniforms(dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float *u) {
    (void)pool;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits[4];
        dn_philox(step->seed, stream, step->pass, (uint32_t)(i / 4), bits);
        for (size_t k = 0; k < 4 && i + k < n; k++) u[i + k] = dn_uniform_of(bits[k]);
    }
}

typedef struct update_job {
    const dn_optimizer *optimizer;
    const dn_step *step;
    size_t n;
    float factor, decay, *w, *m, *v;
    const float *g;
} update_job;

static void update_chunk(void *context, size_t chunk) {
    const update_job *j = context;
    const dn_optimizer *o = j->optimizer;
    const dn_step *s = j->step;
    size_t at = chunk * DN_GRAIN, n = dn_chunk_end(chunk, DN_GRAIN, j->n) - at;
    if (o->adam)
        dn_cpu_kernels_get()->adam(n, s->rate * j->factor, o->b1, o->b2, o->eps, j->decay * s->rows, s->correction1,
                                   s->correction2, j->w + at, j->m + at, j->v + at, j->g + at);
    else
        dn_cpu_kernels_get()->sgd(n, s->rate * j->factor, o->momentum, j->decay, 1 / s->rows, j->w + at, j->m + at,
                                  j->g + at);
}

void cpu_update(dn_pool *pool, const dn_optimizer *optimizer, const dn_step *step, size_t n, float factor, float decay,
                float *w, float *m, float *v, const float *g) {
    update_job j = {optimizer, step, n, factor, decay, w, m, v, g};
    dn_pool_run(pool, dn_chunks(n, DN_GRAIN), update_chunk, &j);
}

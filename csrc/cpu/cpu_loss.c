/* Losses, the reparameterisation, random numbers and optimiser steps. Sums are taken per chunk and added in order. */
#include "cpu/cpu_ops.h"
#include <math.h>
#include <string.h>

typedef struct loss_job {
    const dn_likelihood *likelihood;
    const float *x, *truth;
    float *error, *gradient;
} loss_job;

static double loss_range(const void *context, size_t from, size_t to) {
    const loss_job *j = context;
    return dn_cpu_kernels_get()->loss(j->likelihood, to - from, j->x + from, j->truth + from, j->error + from,
                                      j->gradient + from);
}
void cpu_loss(dn_pool *pool, const dn_likelihood *likelihood, size_t n, const float *x, const float *truth,
              float *error, float *gradient, double *sum) {
    loss_job job = {likelihood, x, truth, error, gradient};
    *sum += dn_range_sum(pool, n, DN_GRAIN / 2, loss_range, &job);
}

static void mask_range(const void *context, size_t from, size_t to) {
    const loss_job *j = context;
    for (size_t i = from; i < to; i++) j->error[i] = j->truth[i] == DN_MASKED ? DN_MASKED : j->error[i];
}
void cpu_mask(dn_pool *pool, size_t n, const float *truth, float *x) {
    loss_job job = {.truth = truth, .error = x};
    dn_range_run(pool, n, DN_GRAIN, mask_range, &job);
}

/* ---- the reparameterisation: rows [lv | mu]; short rows are gathered into arrays that fill vectors ---- */

enum { GATHERED = 256, LONG_ROW = 48, LATENT_GRAIN = 2048 };

typedef struct latent_job {
    size_t latent;
    float w;
    const float *x, *eps, *dz;
    float *z, *dx, *kl;
} latent_job;

/* When rows are long: how many of z's values [at, to) lie in the row of `at`; *place is that of the first one in x.
 * Otherwise 0. */
static size_t latent_row(const latent_job *j, size_t at, size_t to, size_t *place) {
    size_t row = at / j->latent, column = at % j->latent, n = j->latent - column;
    *place = row * 2 * j->latent + column;
    return j->latent < LONG_ROW ? 0 : n < to - at ? n : to - at;
}

/* For values [at, at + n) of z: their places in x are next[i] and next[i] + latent. */
static void latent_places(const latent_job *j, size_t at, size_t n, size_t place[GATHERED]) {
    size_t row = at / j->latent, column = at % j->latent;
    for (size_t i = 0; i < n; i++) {
        place[i] = row * 2 * j->latent + column;
        if (++column == j->latent) row++, column = 0;
    }
}

static double latent_forward(const void *context, size_t from, size_t to) {
    static const float zeros[GATHERED];
    const latent_job *j = context;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    double kl = 0;
    for (size_t at = from, n; at < to; at += n) {
        size_t place[GATHERED];
        float lv[GATHERED], mu[GATHERED];
        n = latent_row(j, at, to < at + GATHERED ? to : at + GATHERED, place);
        if (n) {
            const float *x = j->x + *place;
            kl += k->reparameterise(n, x, x + j->latent, j->eps ? j->eps + at : zeros, j->z + at);
            continue;
        }
        n = to - at < GATHERED ? to - at : GATHERED;
        latent_places(j, at, n, place);
        for (size_t i = 0; i < n; i++) lv[i] = j->x[place[i]], mu[i] = j->x[place[i] + j->latent];
        kl += k->reparameterise(n, lv, mu, j->eps ? j->eps + at : zeros, j->z + at);
    }
    return kl;
}

static void latent_row_kl(const void *context, size_t from, size_t to) {
    static const float zeros[GATHERED];
    const latent_job *j = context;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    float unused[GATHERED];
    for (size_t r = from; r < to; r++) {
        const float *lv = j->x + r * 2 * j->latent;
        double kl = 0;
        for (size_t at = 0, n; at < j->latent; at += n) {
            n = j->latent - at < GATHERED ? j->latent - at : GATHERED;
            kl += k->reparameterise(n, lv + at, lv + j->latent + at, zeros, unused);
        }
        j->kl[r] = (float)kl;
    }
}

void cpu_reparameterise(dn_pool *pool, size_t rows, size_t latent, const float *weight, const float *x,
                        const float *eps, float *z, double *sums, float *kl) {
    latent_job job = {.latent = latent, .x = x, .eps = eps, .z = z, .kl = kl};
    double sum = dn_range_sum(pool, rows * latent, LATENT_GRAIN, latent_forward, &job);
    sums[0] += sum, sums[1] += (double)*weight * sum;
    if (kl) dn_range_run(pool, rows, LATENT_GRAIN / latent + 1, latent_row_kl, &job);
}

static void latent_backward(const void *context, size_t from, size_t to) {
    static const float zeros[GATHERED];
    const latent_job *j = context;
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    for (size_t at = from, n; at < to; at += n) {
        size_t place[GATHERED];
        float lv[GATHERED], mu[GATHERED], dlv[GATHERED], dmu[GATHERED];
        n = latent_row(j, at, to < at + GATHERED ? to : at + GATHERED, place);
        if (n) {
            const float *x = j->x + *place;
            float *dx = j->dx + *place;
            k->reparameterise_gradient(n, j->w, x, x + j->latent, j->eps ? j->eps + at : zeros, j->dz + at, dx,
                                       dx + j->latent);
            continue;
        }
        n = to - at < GATHERED ? to - at : GATHERED;
        latent_places(j, at, n, place);
        for (size_t i = 0; i < n; i++) {
            lv[i] = j->x[place[i]], mu[i] = j->x[place[i] + j->latent];
            dlv[i] = j->dx[place[i]], dmu[i] = j->dx[place[i] + j->latent];
        }
        k->reparameterise_gradient(n, j->w, lv, mu, j->eps ? j->eps + at : zeros, j->dz + at, dlv, dmu);
        for (size_t i = 0; i < n; i++) j->dx[place[i]] = dlv[i], j->dx[place[i] + j->latent] = dmu[i];
    }
}

void cpu_reparameterise_gradient(dn_pool *pool, size_t rows, size_t latent, double scale, const float *weight,
                                 const float *x, const float *eps, const float *dz, float *dx) {
    latent_job job = {.latent = latent, .w = (float)(scale * *weight), .x = x, .eps = eps, .dz = dz, .dx = dx};
    dn_range_run(pool, rows * latent, LATENT_GRAIN, latent_backward, &job);
}

typedef struct gather_job {
    size_t cols;
    const float *data;
    const uint32_t *order;
    float *to;
} gather_job;

static void gather_range(const void *context, size_t from, size_t to) {
    const gather_job *j = context;
    for (size_t r = from; r < to; r++)
        memcpy(j->to + r * j->cols, j->data + (size_t)j->order[r] * j->cols, j->cols * sizeof *j->to);
}
void cpu_gather_rows(dn_pool *pool, const dn_step *step, size_t rows, size_t cols, const float *data,
                     const uint32_t *order, float *to) {
    gather_job job = {cols, data, order + step->at, to};
    /* an eighth of the usual grain: rows come from a far cache or from memory */
    dn_range_run(pool, rows, dn_grain_of(8 * cols), gather_range, &job);
}

/* ---- random numbers ---- */

typedef struct random_job {
    int normal;
    const dn_step *step;
    uint32_t stream;
    size_t n;
    float *to;
} random_job;

static void random_range(const void *context, size_t from, size_t to) { /* in blocks of four */
    const random_job *j = context;
    size_t end = to * 4 < j->n ? to * 4 : j->n;
    dn_cpu_kernels_get()->random(j->normal, j->step->seed, j->stream, j->step->pass, (uint32_t)from, end - from * 4,
                                 j->to + from * 4);
}
static void random_run(dn_pool *pool, random_job job) {
    dn_range_run(pool, (job.n + 3) / 4, LATENT_GRAIN / 4, random_range, &job);
}
void cpu_normals(dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float *eps) {
    random_run(pool, (random_job){1, step, stream, n, eps});
}
void cpu_uniforms(dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float *u) {
    random_run(pool, (random_job){0, step, stream, n, u});
}

/* ---- optimisers ---- */

dn_update dn_update_of(const dn_optimizer *o, const dn_step *s, float factor, float decay) {
    dn_update u = {.adam = o->rule != DN_SGD,
                   .scale = s->clip / s->rows,
                   .l2 = decay,
                   .keep = 1,
                   .rate = s->rate * factor,
                   .momentum = o->momentum,
                   .b1 = (float)o->b1,
                   .b2 = (float)o->b2,
                   .eps = o->eps,
                   .correction1 = s->correction1,
                   .correction2 = s->correction2};
    if (o->rule == DN_ADAM_OF_SUM) u.scale = s->clip, u.l2 = decay * s->rows;
    if (o->rule == DN_ADAMW) u.l2 = 0, u.keep = 1 - u.rate * decay;
    return u;
}

typedef struct update_job {
    dn_update update;
    float *w, *m, *v;
    const float *g;
} update_job;

static void update_range(const void *context, size_t at, size_t end) {
    const update_job *j = context;
    dn_update_run(&j->update, end - at, j->w + at, j->m + at, j->v ? j->v + at : NULL, j->g + at);
}

void cpu_update(dn_pool *pool, const dn_optimizer *optimizer, const dn_step *step, size_t n, float factor, float decay,
                float *w, float *m, float *v, const float *g) {
    update_job j = {dn_update_of(optimizer, step, factor, decay), w, m, v, g};
    dn_range_run(pool, n, DN_GRAIN, update_range, &j);
}

static double clip_range(const void *context, size_t from, size_t to) {
    return dn_cpu_kernels_get()->sum_squares(to - from, (const float *)context + from);
}

void cpu_clip(dn_pool *pool, const dn_step *step, float norm, size_t n, const float *g, float *factor) {
    double length = sqrt(dn_range_sum(pool, n, DN_GRAIN, clip_range, g));
    double most = norm / (length / step->rows + 1e-6);
    *factor = most < 1 ? (float)most : 1;
}

typedef struct average_job {
    float share;
    const float *x;
    float *average;
} average_job;

static void average_range(const void *context, size_t from, size_t to) {
    const average_job *j = context;
    dn_cpu_kernels_get()->approach(to - from, j->share, j->x + from, j->average + from);
}

void cpu_average(dn_pool *pool, const dn_step *step, size_t n, const float *x, float *average) {
    average_job j = {step->share, x, average};
    if (j.share == 1)
        cpu_copy(pool, n, x, average);
    else
        dn_range_run(pool, n, DN_GRAIN, average_range, &j);
}

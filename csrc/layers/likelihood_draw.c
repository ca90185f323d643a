/* Draws from likelihoods, on the host and in double precision: every value is a function of seed, row and column. */
#include "layers/cost.h"
#include "net/network.h"
#include <math.h>

/* Uniform numbers in (0, 1) for one value, as many as it takes: the first four of a Philox block of (row, column), then
 * those of a generator that this block seeds. */
typedef struct uniforms {
    uint64_t seed;
    uint32_t bits[4];
    uint32_t used, block;
} uniforms;

static uniforms uniforms_for(uint64_t seed, uint64_t row, size_t column) {
    uniforms u = {.used = 0};
    dn_philox(seed, DN_STREAM_DRAW, row, (uint32_t)column, u.bits);
    u.seed = (uint64_t)u.bits[0] << 32 | u.bits[1];
    return u;
}

static double uniform_next(uniforms *u) {
    if (u->used == 4) {
        dn_philox(u->seed, DN_STREAM_DRAW_MORE, 0, u->block++, u->bits);
        u->used = 0;
    }
    return (u->bits[u->used++] + 0.5) / 4294967296.0;
}

static double draw_normal(uniforms *u) { /* Box and Muller 1958 */
    double radius = sqrt(-2 * log(uniform_next(u)));
    return radius * cos(6.283185307179586 * uniform_next(u));
}

/* Gamma with this shape and scale 1 (Marsaglia and Tsang, A simple method for generating gamma variables, 2000). */
static double draw_gamma(uniforms *u, double shape) {
    double boost = shape < 1 ? pow(uniform_next(u), 1 / shape) : 1, d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3;
    double c = 1 / sqrt(9 * d);
    for (;;) {
        double x = draw_normal(u), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(uniform_next(u)) < 0.5 * x * x + d - d * v + d * log(v)) return boost * d * v;
    }
}

/* -ln p(k) of a Poisson distribution, as a deviance: terms that nearly cancel are not computed apart. */
static double poisson_surprise(double mean, double k) {
    if (k == 0) return mean;
    double u = log(mean / k);
    return k * (expm1(u) - u) + 0.5 * log(k) + DN_HALF_LOG_2PI + dn_log_gamma_rest(k);
}

/* A count with this mean: small ones by inversion, larger ones by transformed rejection (Hoermann, The transformed
 * rejection method for generating Poisson random variables, 1993, algorithm PTRS). Beyond 1e12 a normal distribution is
 * closer than a float32. */
static double draw_poisson(uniforms *u, double mean) {
    if (mean > 1e12) return floor(mean + sqrt(mean) * draw_normal(u) + 0.5);
    if (mean < 10) {
        double k = 0, p = exp(-mean), left = uniform_next(u);
        while (left > p && k < 200) left -= p, k++, p *= mean / k;
        return k;
    }
    double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b;
    double height = log(1.1239 + 1.1328 / (b - 3.4)), inside = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double side = uniform_next(u) - 0.5, v = uniform_next(u), edge = 0.5 - fabs(side);
        double k = floor((2 * a / edge + b) * side + mean + 0.43);
        if (edge >= 0.07 && v <= inside) return k;
        if (k < 0 || (edge < 0.013 && v > edge)) continue;
        if (log(v) + height - log(a / (edge * edge) + b) <= -poisson_surprise(mean, k)) return k;
    }
}

static size_t draw_class(uniforms *u, size_t n, const float *logits) {
    double most = -INFINITY, sum = 0;
    size_t last = 0;
    for (size_t k = 0; k < n; k++) most = logits[k] > most ? logits[k] : most;
    for (size_t k = 0; k < n; k++) sum += exp(logits[k] - most);
    double left = uniform_next(u) * sum;
    for (size_t k = 0; k < n; k++) {
        double p = exp(logits[k] - most);
        if (p > 0) last = k;
        if (left < p) return k;
        left -= p;
    }
    return last;
}

/* One column's value: location x as the network gives it, scale as it counts. */
static double draw_value(uniforms *u, const dn_likelihood *of, dn_scale scale, float x) {
    double sigma = exp((double)scale.log), mean = dn_likelihood_mean_value(of->kind, x), p;
    switch (of->kind) {
    case DN_LOSS_GAUSSIAN: return mean + sigma * draw_normal(u);
    case DN_LOSS_LAPLACE: p = uniform_next(u) - 0.5; return mean - copysign(sigma, p) * log1p(-2 * fabs(p));
    case DN_LOSS_STUDENT_T:
        p = draw_normal(u);
        return mean + sigma * p / sqrt(2 * draw_gamma(u, 0.5 * of->p[1]) / of->p[1]);
    case DN_LOSS_POISSON: return draw_poisson(u, mean);
    case DN_LOSS_NEGATIVE_BINOMIAL: /* a Poisson whose mean is gamma distributed; here sigma is r */
        return draw_poisson(u, mean / sigma * draw_gamma(u, sigma));
    default: return uniform_next(u) < mean; /* bernoulli */
    }
}

static void draw_categorical(const dn_cost_part *p, uint64_t seed, uint64_t row, const float *x, float *out) {
    const dn_head *head = &p->head;
    size_t groups = head->classes ? head->columns : head->groups;
    size_t n = head->classes ? head->classes : head->columns / groups, width = head->columns / groups;
    for (size_t g = 0; g < groups; g++, x += n) {
        uniforms u = uniforms_for(seed, row, p->first + g * width);
        if (head->starts) n = (size_t)(head->starts[g + 1] - head->starts[g]);
        size_t class = draw_class(&u, n, x);
        if (head->classes) out[g] = (float)class;
        for (size_t k = 0; k < n && !head->classes; k++) out[g * n + k] = k == class;
    }
}

/* Columns from .. to of one row; spread: the learned ones of these columns, NULL: none. */
static void draw_columns(const dn_cost_part *p, size_t from, size_t to, const float *spread, uint64_t seed,
                         uint64_t row, const float *x, float *out) {
    const dn_head *head = &p->head;
    const dn_likelihood_terms terms = dn_likelihood_terms_of(&head->likelihood);
    for (size_t c = from; c < to; c++) {
        uniforms u = uniforms_for(seed, row, p->first + c);
        dn_scale scale = terms.scale;
        if (head->spread == DN_SPREAD_VALUE) scale = dn_scale_of(&terms, x[head->columns + c]);
        if (spread) scale = dn_scale_of(&terms, spread[head->spread == DN_SPREAD_ONE ? 0 : c - from]);
        out[c] = (float)draw_value(&u, &head->likelihood, scale, x[c]);
    }
}

static void draw_part(const dn_layer *l, const dn_cost_part *p, const float *x, size_t rows, uint64_t seed, uint64_t at,
                      float *out) {
    enum { PART = 256 }; /* columns whose spreads come to the host at a time */
    const dn_net *net = l->net;
    const dn_head *head = &p->head;
    const dn_tensor *t = dn_head_learns(head) ? &l->tensors[0] : NULL;
    size_t inputs = (size_t)l->inputs, truths = (size_t)l->term.truths, columns = head->columns;
    x += p->at, out += p->first;
    if (head->likelihood.kind == DN_LOSS_CATEGORICAL) {
        for (size_t r = 0; r < rows; r++) draw_categorical(p, seed, at + r, x + r * inputs, out + r * truths);
        return;
    }
    for (size_t from = 0, to; from < columns; from = to) {
        float spread[PART];
        to = columns - from < PART ? columns : from + PART;
        if (t) {
            size_t place = t->count == 1 ? 0 : p->spread_at + from, n = t->count == 1 ? 1 : to - from;
            const float *values = dn_net_results(net, t->kind == DN_STATISTIC) + t->offset;
            net->ops->download(net->pool, spread, values + place, n * sizeof *spread);
        }
        for (size_t r = 0; r < rows; r++)
            draw_columns(p, from, to, t ? spread : NULL, seed, at + r, x + r * inputs, out + r * truths);
    }
}

void dn_likelihood_draw(const dn_layer *l, const float *x, size_t rows, uint64_t seed, uint64_t at, float *out) {
    const dn_cost_part *p;
    for (int i = 0; (p = dn_cost_part_at(l->state, i)); i++) draw_part(l, p, x, rows, seed, at, out);
}

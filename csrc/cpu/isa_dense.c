/* Dense layers with few rows: what counts is how often the weights come from memory. Compiled once per instruction set.
 *
 * forward: a tile of TILE_W weight rows times TILE_X rows of x is VL dot products, which a tree of shuffles adds up
 * into one vector. train: a block of weight rows is read once together with its moments; gradient, update and the
 * input's gradient come from registers, so a step moves every weight and moment once in and once out. With a loss
 * after the layer the block's outputs and their gradient are computed first, while it is in the nearest cache. */
#include "cpu/cpu_dense.h"
#include "cpu/cpu_ops.h"
#include "cpu/isa_simd.h"
#include <math.h>

#if VL == 16
enum { TILE_W = 4 };
#else
enum { TILE_W = 2 };
#endif
enum { TILE_X = VL / TILE_W, NARROW = 8, STRIP = 64, WIDE = STRIP + VL };
/* Weight rows whose gradients are formed together. With dx a block takes 2 BLOCK registers and more, of which there are
 * 16 but for AVX-512; with the moments it is also 16 to 24 streams, too many for the sets of a cache of 32 KB where
 * rows are a power of two apart. Half a block took 0.45 to 0.95 of the time on Zen 4 held to AVX2 and SSE2, but 1.2
 * without dx for SGD on more than SHARED_ROWS rows, where fewer loads of x are what counts. */
enum { BLOCK = DN_DENSE_BLOCK, PART = VL == 16 ? BLOCK : BLOCK / 2, SHARED_ROWS = 8 };
/* The processor prefetches along a row by itself, but begins anew with each. */
#define PREFETCH_HEAD(p)                                                                    \
    do                                                                                      \
        for (int line_ = 0; line_ < 2; line_++) __builtin_prefetch((p) + 16 * line_, 0, 2); \
    while (0)

INLINE vec load_part(const float *p, int n) {
    if (n == VL) return load(p);
    vec v = {0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}
INLINE void store_part(float *p, vec v, int n) {
    if (n == VL)
        store(p, v);
    else
        memcpy(p, &v, (size_t)n * sizeof *p);
}

/* The products of whole vectors [k, to). */
INLINE int dots_add(const float *const w[TILE_W], const float *const x[TILE_X], int k, int to, vec acc[VL]) {
    for (; k < to; k += VL) {
        vec xs[TILE_X];
        for (int j = 0; j < TILE_X; j++) {
            xs[j] = load(x[j] + k);
            IN_REGISTER(xs[j]);
        }
        for (int i = 0; i < TILE_W; i++) {
            vec ws = load(w[i] + k);
            IN_REGISTER(ws);
            for (int j = 0; j < TILE_X; j++) acc[i * TILE_X + j] += ws * xs[j];
        }
    }
    return k;
}

/* Dot products of TILE_W rows of w and TILE_X rows of x: lane i TILE_X + j. */
INLINE vec dots(const float *const w[TILE_W], const float *const x[TILE_X], int n) {
    vec acc[VL];
    for (int i = 0; i < VL; i++) acc[i] = (vec){0};
    int k = dots_add(w, x, 0, n / VL / 2 * VL, acc);
    for (int i = 0; i < TILE_W; i++) PREFETCH_HEAD(w[i] + TILE_W * n);
    k = dots_add(w, x, k, n / VL * VL, acc);
    if (k < n) {
        vec xs[TILE_X];
        for (int j = 0; j < TILE_X; j++) xs[j] = load_part(x[j] + k, n - k);
        for (int i = 0; i < TILE_W; i++) {
            vec ws = load_part(w[i] + k, n - k);
            for (int j = 0; j < TILE_X; j++) acc[i * TILE_X + j] += ws * xs[j];
        }
    }
    return sums(acc);
}

/* out[row][i] = x[row] . w[i] for n outputs; rows of x are `step` apart */
static void strip_dots(const dn_dense_shape *s, const float *x, size_t step, const float *w, int n, float out[][WIDE]) {
    size_t inputs = (size_t)s->inputs;
    for (int o = 0; o < n; o += TILE_W) {
        const float *ws[TILE_W];
        for (int i = 0; i < TILE_W; i++) ws[i] = w + (size_t)(o + i < n ? o + i : n - 1) * inputs;
        for (int r = 0; r < s->rows; r += TILE_X) {
            const float *xs[TILE_X];
            for (int j = 0; j < TILE_X; j++) xs[j] = x + (size_t)(r + j < s->rows ? r + j : s->rows - 1) * step;
            vec found = dots(ws, xs, s->inputs);
            for (int i = 0; i < TILE_W && o + i < n; i++)
                for (int j = 0; j < TILE_X && r + j < s->rows; j++) out[r + j][o + i] = found[i * TILE_X + j];
        }
    }
}

/* ---- few inputs: outputs side by side in a vector, so weights are turned for a while: [input][output] ---- */

typedef float strip[NARROW][STRIP]; /* lanes after the last output are 0 */

static void strip_load(strip to, const float *from, int inputs, int n) {
    memset(to, 0, sizeof(strip));
    for (int o = 0; o < n; o++)
        for (int k = 0; k < inputs; k++) to[k][o] = from[o * inputs + k];
}

static int strip_size(int at, int to) { return to - at < STRIP ? to - at : STRIP; }

static void narrow_dots(const dn_dense_shape *s, const float *x, size_t step, const float *w, int n, float y[][WIDE]) {
    strip ws;
    strip_load(ws, w, s->inputs, n);
    for (int r = 0; r < s->rows; r++)
        for (int o = 0; o < STRIP; o += VL) {
            vec sum = {0};
            for (int k = 0; k < s->inputs; k++) sum += x[(size_t)r * step + k] * load(ws[k] + o);
            store(y[r] + o, sum);
        }
}

/* y (rows, WIDE) = act(x W^T + b) of n outputs from `at` on */
static void strip_forward(const dn_dense_shape *s, const float *x, size_t step, const float *w, const float *b, int at,
                          int n, float y[][WIDE]) {
    if (s->inputs <= NARROW)
        narrow_dots(s, x, step, w + (size_t)at * s->inputs, n, y);
    else
        strip_dots(s, x, step, w + (size_t)at * s->inputs, n, y);
    for (int r = 0; r < s->rows; r++) {
        for (int i = 0; i < n; i++) y[r][i] += b[at + i];
        dn_cpu_kernels_get()->activate(s->activation, (size_t)n, y[r]);
    }
}

static void forward(const dn_dense_shape *s, const float *x, size_t step, const float *w, const float *b, float *y,
                    int from, int to) {
    float out[DN_DENSE_ROWS][WIDE] __attribute__((aligned(64)));
    for (int at = from; at < to; at += STRIP) {
        int n = strip_size(at, to);
        strip_forward(s, x, step, w, b, at, n, out);
        for (int r = 0; r < s->rows; r++) memcpy(y + (size_t)r * s->outputs + at, out[r], (size_t)n * sizeof **out);
    }
}

/* ---- backward and update ---- */

INLINE vec root(vec v) {
    for (int l = 0; l < VL; l++) v[l] = sqrtf(v[l]);
    return v;
}

/* The optimiser's numbers for this step, those of a dn_update. Gradients come in multiplied by `scale`. */
typedef struct rule {
    int adam;
    float scale, rate, momentum, decay, keep;
    float b1, b2, eps, inverse1, inverse_root2;
} rule;

static rule rule_of(const dn_dense_pass *p, float decay) {
    const dn_update u = dn_update_of(p->optimizer, p->step, p->factor, decay);
    return (rule){.adam = u.adam,
                  .scale = u.scale,
                  .rate = u.rate,
                  .momentum = u.momentum,
                  .decay = u.l2,
                  .keep = u.keep,
                  .b1 = u.b1,
                  .b2 = u.b2,
                  .eps = u.eps,
                  .inverse1 = 1 / u.correction1,
                  .inverse_root2 = 1 / sqrtf(u.correction2)};
}

/* What the gradient is added to, */
INLINE vec begin(const rule *o, const int adam, vec w, vec m) {
    return adam ? o->decay * w : o->momentum * m + o->decay * w;
}

/* and what follows when it is complete: g becomes the first moment. */
INLINE void end(const rule *o, const int adam, vec *g, vec *w, vec m, vec *v) {
    if (adam) {
        *v = o->b2 * *v + (1 - o->b2) * *g * *g;
        *g = o->b1 * m + (1 - o->b1) * *g;
        *w = o->keep * *w - o->rate * (*g * o->inverse1) / (root(*v) * o->inverse_root2 + o->eps);
    } else {
        *w -= o->rate * *g;
    }
}

/* dy (rows, WIDE) of n outputs. Of AVX2 every value is in all lanes of a vector, which an instruction that multiplies
 * can read: 0.93 of the time on Zen 3, but 1.1 where dx needs every value twice. */
typedef struct factors {
    const float *dy;
    vec spread[DN_DENSE_ROWS * BLOCK];
} factors;
static inline int is_spread(const int with_dx) { return VL == 8 && !with_dx; }
INLINE void factors_spread(factors *f, const int n, const int rows) {
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < n; i++) f->spread[r * BLOCK + i] = splat(f->dy[r * WIDE + i]);
}
INLINE vec factor(const factors *f, const int with_dx, int r, int i) {
    return is_spread(with_dx) ? f->spread[r * BLOCK + i] : splat(f->dy[r * WIDE + i]);
}

/* One vector of columns, `cols` of them real, of n weight rows that are `inputs` apart; rows of x and dx are `step`
 * apart. */
INLINE void column(const rule *o, const int adam, const int n, const int with_dx, const int cols, int rows,
                   size_t inputs, size_t step, const factors *f, const float *x, float *dx, float *w, float *m,
                   float *v) {
    vec ws[BLOCK], g[BLOCK];
    for (int i = 0; i < n; i++) {
        ws[i] = load_part(w + (size_t)i * inputs, cols);
        g[i] = begin(o, adam, ws[i], adam ? (vec){0} : load_part(m + (size_t)i * inputs, cols));
    }
    for (int r = 0; r < rows; r++, x += step, dx += step) {
        vec xs = load_part(x, cols);
        for (int i = 0; i < n; i++) g[i] += factor(f, with_dx, r, i) * xs;
        if (!with_dx) continue;
        vec e = load_part(dx, cols);
        for (int i = 0; i < n; i++) e += factor(f, with_dx, r, i) * ws[i];
        store_part(dx, e, cols);
    }
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * inputs;
        vec ms = adam ? load_part(m + at, cols) : (vec){0}, vs = adam ? load_part(v + at, cols) : (vec){0};
        end(o, adam, &g[i], &ws[i], ms, &vs);
        store_part(w + at, ws[i], cols), store_part(m + at, g[i], cols);
        if (adam) store_part(v + at, vs, cols);
    }
}

/* What whole blocks and whole vectors leave over, in one copy of the code: it is little, and took the compiler as long
 * as all the rest. */
static __attribute__((noinline, noclone)) void column_rest(const rule *o, int n, int with_dx, int cols, int rows,
                                                           size_t inputs, size_t step, const factors *f, const float *x,
                                                           float *dx, float *w, float *m, float *v) {
    column(o, o->adam, n, with_dx, cols, rows, inputs, step, f, x, dx, w, m, v);
}

/* n weight rows from output `at` on; BLOCK or PART of them are `whole`. */
INLINE void columns(const dn_dense_job *j, const rule *rule, const int adam, const int whole, const int n,
                    const int with_dx, const int rows, const float *dy, size_t at, float *dx) {
    const dn_dense_pass *p = j->pass;
    size_t inputs = (size_t)p->shape.inputs, step = j->step, k = 0, middle = inputs / VL / 2 * VL;
    const float *x = j->x;
    float *w = p->w + at * inputs, *m = p->w_m + at * inputs, *v = adam ? p->w_v + at * inputs : w;
    const struct rule o = *rule;
    factors f;
    f.dy = dy;
    if (is_spread(with_dx)) factors_spread(&f, n, rows);
    if (!with_dx) dx = w; /* not touched */
    for (; whole && k + VL <= inputs; k += VL) {
        column(&o, adam, n, with_dx, VL, rows, inputs, step, &f, x + k, dx + k, w + k, m + k, v + k);
        for (int i = 0; k == middle && i < n; i++) {
            size_t next = (size_t)(n + i) * inputs;
            PREFETCH_HEAD(w + next);
            PREFETCH_HEAD(m + next);
            if (adam) PREFETCH_HEAD(v + next);
        }
    }
    for (; k < inputs; k += VL)
        column_rest(rule, n, with_dx, k + VL <= inputs ? VL : (int)(inputs - k), rows, inputs, step, &f, x + k, dx + k,
                    w + k, m + k, v + k);
}

/* The published networks train with four rows: then everything that is known stays in registers. */
INLINE void columns_rows(const dn_dense_job *j, const rule *o, const int adam, const int with_dx, const float *dy,
                         size_t at, float *dx) {
    if (j->pass->shape.rows == 4)
        columns(j, o, adam, 1, PART, with_dx, 4, dy, at, dx);
    else
        columns(j, o, adam, 1, PART, with_dx, j->pass->shape.rows, dy, at, dx);
}

static void columns_part(const dn_dense_job *j, const rule *o, const float *dy, size_t at, float *dx) {
    switch (o->adam * 2 + (dx != NULL)) {
    case 0: columns_rows(j, o, 0, 0, dy, at, dx); break;
    case 1: columns_rows(j, o, 0, 1, dy, at, dx); break;
    case 2: columns_rows(j, o, 1, 0, dy, at, dx); break;
    default: columns_rows(j, o, 1, 1, dy, at, dx); break;
    }
}

/* Gradients of n biases, at most STRIP, from dy (rows, WIDE). */
static void biases_update(const dn_dense_pass *p, const rule *o, float dy[][WIDE], int at, int n) {
    for (int i = 0; i < n; i += VL) {
        int part = n - i < VL ? n - i : VL;
        float *to = p->b + at + i, *to_m = p->b_m + at + i, *to_v = o->adam ? p->b_v + at + i : to;
        vec w = load_part(to, part), m = load_part(to_m, part), v = o->adam ? load_part(to_v, part) : (vec){0}, g = {0};
        for (int r = 0; r < p->shape.rows; r++) g += load(dy[r] + i);
        g += begin(o, o->adam, w, m);
        end(o, o->adam, &g, &w, m, &v);
        store_part(to, w, part), store_part(to_m, g, part);
        if (o->adam) store_part(to_v, v, part);
    }
}

/* Gradients of a strip's outputs before the activation, times `scale`: dy (rows, WIDE), zeros after the last. They
 * come from the layer above, or from the loss right after this layer. */
static void strip_gradient(const dn_dense_job *j, const rule *o, int n, int at, float dy[][WIDE], double *sum) {
    const dn_dense_pass *p = j->pass;
    const dn_dense_shape *s = &p->shape;
    size_t outputs = (size_t)s->outputs;
    float scale = o->scale;
    float y[DN_DENSE_ROWS][WIDE], other[STRIP];
    if (p->likelihood) {
        strip_forward(s, j->x, j->step, p->w, p->b, at, n, y);
        scale *= p->loss_scale;
    }
    for (int r = 0; r < s->rows; r++) {
        const float *y_row = p->y + (size_t)r * outputs + at;
        if (p->likelihood) { /* all lanes are read below */
            memcpy(p->y + (size_t)r * outputs + at, y[r], (size_t)n * sizeof **y);
            memcpy(other, p->truth + (size_t)r * outputs + at, (size_t)n * sizeof *other);
            *sum += dn_cpu_kernels_get()->loss(p->likelihood, (size_t)n, y[r], other, other, dy[r]);
            y_row = y[r];
        } else {
            memcpy(dy[r], p->dy + (size_t)r * outputs + at, (size_t)n * sizeof **dy);
        }
        dn_cpu_kernels_get()->activate_gradient(s->activation, (size_t)n, y_row, dy[r]);
        for (int i = 0; scale != 1 && i < n; i++) dy[r][i] *= scale;
        memset(dy[r] + n, 0, (size_t)(WIDE - n) * sizeof **dy);
    }
}

/* Few inputs: VL outputs have `inputs` vectors of weights, one after the other, in which lane l of vector j is of
 * output (j VL + l) / inputs and of input (j VL + l) % inputs. `x` and `parts` (of dx) are in that order too, `turn`
 * brings gradients of outputs into it. */
typedef struct narrow {
    vec x[DN_DENSE_ROWS][NARROW], parts[DN_DENSE_ROWS][NARROW];
    ivec turn[NARROW];
} narrow;

static void narrow_begin(narrow *t, const dn_dense_job *j) {
    const int inputs = j->pass->shape.inputs;
    for (int i = 0; i < inputs; i++)
        for (int l = 0; l < VL; l++) {
            t->turn[i][l] = (i * VL + l) / inputs - i * VL / inputs;
            for (int r = 0; r < j->pass->shape.rows; r++)
                t->x[r][i][l] = j->x[(size_t)r * j->step + (i * VL + l) % inputs], t->parts[r][i][l] = 0;
        }
}

static void narrow_train(narrow *t, const dn_dense_pass *p, const rule *rule, int at, int n, float dy[][WIDE]) {
    const struct rule o = *rule;
    const int inputs = p->shape.inputs, rows = p->shape.rows;
    size_t place = (size_t)at * (size_t)inputs;
    float *w = p->w + place, *m = p->w_m + place, *v = o.adam ? p->w_v + place : w;
    for (int e = 0, i = 0; e < n * inputs; e += VL, i = i + 1 < inputs ? i + 1 : 0) {
        const int part = n * inputs - e < VL ? n * inputs - e : VL;
        vec ws = load_part(w + e, part), ms = load_part(m + e, part), vs = o.adam ? load_part(v + e, part) : (vec){0};
        vec g = begin(&o, o.adam, ws, ms);
        for (int r = 0; r < rows; r++) {
            vec d = picked(load(dy[r] + e / inputs), t->turn[i]);
            g += t->x[r][i] * d;
            t->parts[r][i] += d * ws;
        }
        end(&o, o.adam, &g, &ws, ms, &vs);
        store_part(w + e, ws, part), store_part(m + e, g, part);
        if (o.adam) store_part(v + e, vs, part);
    }
}

static void narrow_end(const narrow *t, const dn_dense_job *j, float *dx) {
    const int inputs = j->pass->shape.inputs;
    for (int r = 0; r < j->pass->shape.rows; r++) {
        float *to = dx + (size_t)r * j->step;
        for (int i = 0; i < inputs; i++)
            for (int l = 0; l < VL; l++) to[(i * VL + l) % inputs] += t->parts[r][i][l];
    }
}

static void train(const dn_dense_job *j, int from, int to, float *dx, double *sum) {
    const dn_dense_pass *p = j->pass;
    const rule o = rule_of(p, p->decay), of_biases = rule_of(p, p->bias_decay);
    float dy[DN_DENSE_ROWS][WIDE] __attribute__((aligned(64))); /* vectors may begin anywhere in a strip */
    const int few_inputs = p->shape.inputs <= NARROW;
    const int shared = PART < BLOCK && !dx && !o.adam && p->shape.rows > SHARED_ROWS;
    narrow turned;
    if (few_inputs) narrow_begin(&turned, j);
    for (int r = 0; dx && r < p->shape.rows; r++) memset(dx + r * j->step, 0, (size_t)p->shape.inputs * sizeof *dx);
    for (int at = from; at < to; at += STRIP) {
        int n = strip_size(at, to), i = 0;
        strip_gradient(j, &o, n, at, dy, sum);
        biases_update(p, &of_biases, dy, at, n);
        if (few_inputs) {
            narrow_train(&turned, p, &o, at, n, dy);
            continue;
        }
        if (shared)
            for (; i + BLOCK <= n; i += BLOCK)
                columns(j, &o, 0, 1, BLOCK, 0, p->shape.rows, dy[0] + i, (size_t)(at + i), NULL);
        for (; i + PART <= n; i += PART) columns_part(j, &o, dy[0] + i, (size_t)(at + i), dx);
        if (i < n) columns(j, &o, o.adam, 0, n - i, dx != NULL, p->shape.rows, dy[0] + i, (size_t)(at + i), dx);
    }
    if (few_inputs && dx) narrow_end(&turned, j, dx);
}

const dn_dense_kernels CAT(dn_dense_kernels, DN_ISA) = {forward, train};

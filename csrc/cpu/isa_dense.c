/* Dense layers with few rows: what counts is how often the weights come from memory. Compiled once per instruction set.
 *
 * forward: a tile of TILE_W weight rows times TILE_X rows of x is VL dot products, which a tree of shuffles adds up into one
 * vector. train: a block of eight weight rows is read once together with its moments; gradient, update and the input's
 * gradient come from registers, so a step moves every weight and moment once in and once out. With a loss behind the
 * layer the block's outputs and their gradient are computed first, while it is in the nearest cache. */
#include "cpu_dense.h"
#include "cpu_ops.h"
#include <math.h>
#include <string.h>

#ifndef DN_ISA
#define DN_ISA base
#endif
#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)
#if defined(__AVX512F__)
enum { VL = 16, TILE_W = 4 };
#elif defined(__AVX2__)
enum { VL = 8, TILE_W = 2 };
#else
enum { VL = 4, TILE_W = 2 };
#endif
enum { TILE_X = VL / TILE_W, BLOCK = DN_DENSE_BLOCK, NARROW = 8, STRIP = 64 };
typedef float vec __attribute__((vector_size(VL * 4)));
typedef float vec_u __attribute__((vector_size(VL * 4), aligned(4)));
typedef int mask __attribute__((vector_size(VL * 4)));
/* Into the second level: rows are short, and the processor's own prefetching begins anew with each. */
#define PREFETCH(p) __builtin_prefetch(p, 0, 2)
#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *p) { return *(const vec_u *)p; }
INLINE void store(float *p, vec v) { *(vec_u *)p = v; }
INLINE vec load_part(const float *p, int n) {
    vec v = {0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}
INLINE void store_part(float *p, vec v, int n) { memcpy(p, &v, (size_t)n * sizeof *p); }

/* Lane l of the result is the sum of two lanes l and l ^ s of one vector: of a where bit s of l is 0, else of b. */
#define LOW(l, s) ((l) / (2 * (s)) * 2 * (s) + (l) % (s) + ((l) & (s) ? VL : 0))
#if defined(__AVX512F__)
#define LANES(s, o)                                                                                                    \
    LOW(0, s) + o, LOW(1, s) + o, LOW(2, s) + o, LOW(3, s) + o, LOW(4, s) + o, LOW(5, s) + o, LOW(6, s) + o,           \
        LOW(7, s) + o, LOW(8, s) + o, LOW(9, s) + o, LOW(10, s) + o, LOW(11, s) + o, LOW(12, s) + o, LOW(13, s) + o,   \
        LOW(14, s) + o, LOW(15, s) + o
#elif defined(__AVX2__)
#define LANES(s, o)                                                                                                    \
    LOW(0, s) + o, LOW(1, s) + o, LOW(2, s) + o, LOW(3, s) + o, LOW(4, s) + o, LOW(5, s) + o, LOW(6, s) + o, LOW(7, s) + o
#else
#define LANES(s, o) LOW(0, s) + o, LOW(1, s) + o, LOW(2, s) + o, LOW(3, s) + o
#endif
#define FOLD(s)                                                                                                        \
    for (int i = 0; i < VL / (2 * s); i++)                                                                             \
    v[i] = __builtin_shuffle(v[2 * i], v[2 * i + 1], (mask){LANES(s, 0)}) +                                            \
           __builtin_shuffle(v[2 * i], v[2 * i + 1], (mask){LANES(s, s)})

/* Lane i: the sum of all lanes of v[i]. */
INLINE vec sums(vec v[VL]) {
    FOLD(1);
    FOLD(2);
#if defined(__AVX2__)
    FOLD(4);
#endif
#if defined(__AVX512F__)
    FOLD(8);
#endif
    return v[0];
}

/* Dot products of TILE_W rows of w and TILE_X rows of x: lane i TILE_X + j. */
INLINE vec dots(const float *const w[TILE_W], const float *const x[TILE_X], int n) {
    vec acc[VL];
    for (int i = 0; i < VL; i++) acc[i] = (vec){0};
    int k = 0;
    for (; k + VL <= n; k += VL) {
        vec xs[TILE_X];
        for (int j = 0; j < TILE_X; j++) xs[j] = load(x[j] + k);
        for (int i = 0; i < TILE_W; i++) {
            vec ws = load(w[i] + k);
            PREFETCH(w[i] + k + TILE_W * n);
            for (int j = 0; j < TILE_X; j++) acc[i * TILE_X + j] += ws * xs[j];
        }
    }
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

/* out[row * n + i] = x[row] . w[i] for n <= BLOCK outputs; rows of x are `step` apart */
static void block_dots(const dn_dense_shape *s, const float *x, size_t step, const float *w, int n, float *out) {
    size_t inputs = (size_t)s->inputs;
    for (int o = 0; o < n; o += TILE_W) {
        const float *ws[TILE_W];
        for (int i = 0; i < TILE_W; i++) ws[i] = w + (size_t)(o + i < n ? o + i : n - 1) * inputs;
        for (int r = 0; r < s->rows; r += TILE_X) {
            const float *xs[TILE_X];
            for (int j = 0; j < TILE_X; j++) xs[j] = x + (size_t)(r + j < s->rows ? r + j : s->rows - 1) * step;
            vec found = dots(ws, xs, s->inputs);
            for (int i = 0; i < TILE_W && o + i < n; i++)
                for (int j = 0; j < TILE_X && r + j < s->rows; j++) out[(r + j) * n + o + i] = found[i * TILE_X + j];
        }
    }
}

/* out (rows, n) = act(x W^T + b) of the outputs from `at` on */
static void block_forward(const dn_dense_shape *s, const float *x, size_t step, const float *w, const float *b, int at,
                          int n, float *out) {
    const float *rows = w + (size_t)at * s->inputs;
    block_dots(s, x, step, rows, n, out);
    for (int r = 0; r < s->rows; r++)
        for (int i = 0; i < n; i++) out[r * n + i] += b[at + i];
    cpu_activate(NULL, s->activation, (size_t)s->rows * n, out);
}

/* ---- few inputs: outputs side by side in a vector, so weights are turned for a while: [input][output] ---- */

typedef float strip[NARROW][STRIP]; /* lanes behind the last output are 0 */

static void strip_load(strip to, const float *from, int inputs, int n) {
    memset(to, 0, sizeof(strip));
    for (int o = 0; o < n; o++)
        for (int k = 0; k < inputs; k++) to[k][o] = from[o * inputs + k];
}

static void strip_store(float *to, strip from, int inputs, int n) {
    for (int o = 0; o < n; o++)
        for (int k = 0; k < inputs; k++) to[o * inputs + k] = from[k][o];
}

static int strip_size(int at, int to) { return to - at < STRIP ? to - at : STRIP; }

static void narrow_forward(const dn_dense_shape *s, const float *x, size_t step, const float *w, const float *b, float *y,
                           int from, int to) {
    strip ws;
    for (int at = from; at < to; at += STRIP) {
        int n = strip_size(at, to);
        strip_load(ws, w + (size_t)at * s->inputs, s->inputs, n);
        for (int r = 0; r < s->rows; r++) {
            float out[STRIP] = {0};
            memcpy(out, b + at, (size_t)n * sizeof *out);
            for (int k = 0; k < s->inputs; k++)
                for (int o = 0; o < STRIP; o += VL) store(out + o, load(out + o) + x[(size_t)r * step + k] * load(ws[k] + o));
            cpu_activate(NULL, s->activation, (size_t)n, out);
            memcpy(y + (size_t)r * s->outputs + at, out, (size_t)n * sizeof *out);
        }
    }
}

static int block_size(int at, int to) { return to - at < BLOCK ? to - at : BLOCK; }

static void block_copy(int rows, int n, const float *from, size_t from_step, float *to, size_t to_step) {
    for (int r = 0; r < rows; r++) memcpy(to + (size_t)r * to_step, from + (size_t)r * from_step, (size_t)n * sizeof *to);
}

static void forward(const dn_dense_shape *s, const float *x, size_t step, const float *w, const float *b, float *y,
                    int from, int to) {
    float out[DN_DENSE_ROWS * BLOCK];
    if (s->inputs <= NARROW) {
        narrow_forward(s, x, step, w, b, y, from, to);
        return;
    }
    for (int at = from; at < to; at += BLOCK) {
        int n = block_size(at, to);
        block_forward(s, x, step, w, b, at, n, out);
        block_copy(s->rows, n, out, (size_t)n, y + at, (size_t)s->outputs);
    }
}

/* ---- backward and update ---- */

INLINE vec root(vec v) {
    for (int l = 0; l < VL; l++) v[l] = sqrtf(v[l]);
    return v;
}

/* The optimiser's numbers for this step. Gradients come in multiplied by `scale`. */
typedef struct rule {
    int adam;
    float scale, rate, momentum, decay; /* SGD: scale = 1 / rows; Adam: decay is times the rows */
    float b1, b2, eps, inverse1, inverse_root2;
} rule;

static rule rule_of(const dn_dense_pass *p, float decay) {
    const dn_optimizer *o = p->optimizer;
    const dn_step *s = p->step;
    return (rule){.adam = o->adam, .scale = o->adam ? 1 : 1 / s->rows, .rate = s->rate * p->factor, .momentum = o->momentum,
                  .decay = o->adam ? decay * s->rows : decay, .b1 = o->b1, .b2 = o->b2, .eps = o->eps,
                  .inverse1 = 1 / s->correction1, .inverse_root2 = 1 / sqrtf(s->correction2)};
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
        *w -= o->rate * (*g * o->inverse1) / (root(*v) * o->inverse_root2 + o->eps);
    } else {
        *w -= o->rate * *g;
    }
}

INLINE vec take(const float *p, const int cols) { return cols == VL ? load(p) : load_part(p, cols); }
INLINE void give(float *p, vec v, const int cols) {
    if (cols == VL)
        store(p, v);
    else
        store_part(p, v, cols);
}

/* One vector of columns, `cols` of them real, of n weight rows that are `inputs` apart; rows of x and dx are `step` apart. */
INLINE void column(const rule *o, const int adam, const int n, const int with_dx, const int first, const int cols, int rows,
                   size_t inputs, size_t step, const float *dy, const float *x, float *dx, float *w, float *m, float *v) {
    vec ws[BLOCK], g[BLOCK];
    for (int i = 0; i < n; i++) {
        ws[i] = take(w + (size_t)i * inputs, cols);
        PREFETCH(w + (size_t)(n + i) * inputs);
        PREFETCH(m + (size_t)(n + i) * inputs);
        g[i] = begin(o, adam, ws[i], adam ? (vec){0} : take(m + (size_t)i * inputs, cols));
    }
    for (int r = 0; r < rows; r++, x += step, dx += step, dy += n) {
        vec xs = take(x, cols);
        for (int i = 0; i < n; i++) g[i] += dy[i] * xs;
        if (!with_dx) continue;
        vec e = first ? (vec){0} : take(dx, cols);
        for (int i = 0; i < n; i++) e += dy[i] * ws[i];
        give(dx, e, cols);
    }
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * inputs;
        vec ms = adam ? take(m + at, cols) : (vec){0}, vs = adam ? take(v + at, cols) : (vec){0};
        end(o, adam, &g[i], &ws[i], ms, &vs);
        give(w + at, ws[i], cols), give(m + at, g[i], cols);
        if (adam) give(v + at, vs, cols);
    }
}

INLINE void columns(const dn_dense_job *j, const rule *rule, const int adam, const int n, const int with_dx,
                    const int first, const float *dy, size_t at, float *dx) {
    const dn_dense_pass *p = j->pass;
    size_t inputs = (size_t)p->shape.inputs, step = j->step, k = 0;
    const int rows = p->shape.rows;
    const float *x = j->x;
    float *w = p->w + at * inputs, *m = p->w_m + at * inputs, *v = adam ? p->w_v + at * inputs : w;
    const struct rule o = *rule;
    if (!with_dx) dx = w; /* not touched */
    for (; k + VL <= inputs; k += VL)
        column(&o, adam, n, with_dx, first, VL, rows, inputs, step, dy, x + k, dx + k, w + k, m + k, v + k);
    if (k < inputs)
        column(&o, adam, n, with_dx, first, (int)(inputs - k), rows, inputs, step, dy, x + k, dx + k, w + k, m + k, v + k);
}

INLINE void columns_any(const dn_dense_job *j, const rule *o, const int n, const float *dy, size_t at, float *dx,
                        int first) {
    switch (o->adam * 4 + (dx ? 2 + first : 0)) {
    case 0: columns(j, o, 0, n, 0, 0, dy, at, dx); break;
    case 2: columns(j, o, 0, n, 1, 0, dy, at, dx); break;
    case 3: columns(j, o, 0, n, 1, 1, dy, at, dx); break;
    case 4: columns(j, o, 1, n, 0, 0, dy, at, dx); break;
    case 6: columns(j, o, 1, n, 1, 0, dy, at, dx); break;
    default: columns(j, o, 1, n, 1, 1, dy, at, dx); break;
    }
}

static void biases_update(const dn_dense_pass *p, const rule *o, const float *g, int n, int at) {
    for (int i = 0; i < n; i += VL) {
        int part = n - i < VL ? n - i : VL;
        float *to = p->b + at + i, *to_m = p->b_m + at + i, *to_v = o->adam ? p->b_v + at + i : to;
        vec w = load_part(to, part), m = load_part(to_m, part), v = o->adam ? load_part(to_v, part) : (vec){0};
        vec sum = begin(o, o->adam, w, m) + load_part(g + i, part);
        end(o, o->adam, &sum, &w, m, &v);
        store_part(to, w, part), store_part(to_m, sum, part);
        if (o->adam) store_part(to_v, v, part);
    }
}

/* Bias gradients wait for a strip of them. */
static void biases_add(const dn_dense_job *j, const rule *o, const float *dy, int n, int at, int from, int to, float g[STRIP]) {
    int place = (at - from) % STRIP;
    for (int i = 0; i < n; i++) g[place + i] = 0;
    for (int r = 0; r < j->pass->shape.rows; r++)
        for (int i = 0; i < n; i++) g[place + i] += dy[r * n + i];
    if (place + n == STRIP || at + n == to) biases_update(j->pass, o, g, place + n, at - place);
}

/* dy (rows, n) times `scale`: from the layer above, or from the loss right behind this layer. */
static void block_gradient(const dn_dense_job *j, float scale, int n, int at, float *dy, double *sum) {
    const dn_dense_pass *p = j->pass;
    const dn_dense_shape *s = &p->shape;
    size_t outputs = (size_t)s->outputs, count = (size_t)s->rows * n;
    float y[DN_DENSE_ROWS * BLOCK], truth[DN_DENSE_ROWS * BLOCK], error[DN_DENSE_ROWS * BLOCK];
    if (p->loss >= 0) {
        block_forward(s, j->x, j->step, p->w, p->b, at, n, y);
        block_copy(s->rows, n, y, (size_t)n, p->y + at, outputs);
        block_copy(s->rows, n, p->truth + at, outputs, truth, (size_t)n);
        cpu_loss(NULL, (dn_loss)p->loss, count, y, truth, error, dy, sum);
        scale *= p->loss_scale;
    } else {
        block_copy(s->rows, n, p->dy + at, outputs, dy, (size_t)n);
        if (s->activation != DN_LINEAR) block_copy(s->rows, n, p->y + at, outputs, y, (size_t)n);
    }
    cpu_activate_gradient(NULL, s->activation, count, y, dy);
    for (size_t i = 0; scale != 1 && i < count; i++) dy[i] *= scale;
}

/* The same for few inputs, where a strip of outputs has gradients for all rows at once. */
static void narrow_train(const dn_dense_job *j, int from, int to, float *dx, double *sum) {
    const dn_dense_pass *p = j->pass;
    const dn_dense_shape *s = &p->shape;
    const rule o = rule_of(p, p->decay), of_biases = rule_of(p, p->bias_decay);
    float g_biases[STRIP];
    const int inputs = s->inputs, rows = s->rows;
    strip w, m, v;
    float dy[DN_DENSE_ROWS][STRIP];
    vec parts[DN_DENSE_ROWS][NARROW]; /* of dx */
    memset(parts, 0, sizeof parts);
    for (int at = from; at < to; at += STRIP) {
        int n = strip_size(at, to);
        size_t place = (size_t)at * (size_t)inputs;
        memset(dy, 0, sizeof dy);
        for (int b = 0; b < n; b += BLOCK) {
            float block[DN_DENSE_ROWS * BLOCK];
            int width = block_size(at + b, at + n);
            block_gradient(j, o.scale, width, at + b, block, sum);
            biases_add(j, &of_biases, block, width, at + b, from, to, g_biases);
            block_copy(rows, width, block, (size_t)width, dy[0] + b, STRIP);
        }
        strip_load(w, p->w + place, inputs, n), strip_load(m, p->w_m + place, inputs, n);
        if (o.adam) strip_load(v, p->w_v + place, inputs, n);
        for (int k = 0; k < inputs; k++)
            for (int c = 0; c < STRIP; c += VL) {
                vec ws = load(w[k] + c), ms = load(m[k] + c), vs = o.adam ? load(v[k] + c) : (vec){0};
                vec g = begin(&o, o.adam, ws, ms);
                for (int r = 0; r < rows; r++) {
                    g += j->x[(size_t)r * j->step + k] * load(dy[r] + c);
                    parts[r][k] += load(dy[r] + c) * ws;
                }
                end(&o, o.adam, &g, &ws, ms, &vs);
                store(w[k] + c, ws), store(m[k] + c, g);
                if (o.adam) store(v[k] + c, vs);
            }
        strip_store(p->w + place, w, inputs, n), strip_store(p->w_m + place, m, inputs, n);
        if (o.adam) strip_store(p->w_v + place, v, inputs, n);
    }
    for (int r = 0; dx && r < rows; r++)
        for (int k = 0; k < inputs; k++) {
            float total = 0;
            for (int l = 0; l < VL; l++) total += parts[r][k][l];
            dx[(size_t)r * j->step + k] = total;
        }
}

static void train(const dn_dense_job *j, int from, int to, float *dx, double *sum) {
    const dn_dense_pass *p = j->pass;
    if (p->shape.inputs <= NARROW) {
        narrow_train(j, from, to, dx, sum);
        return;
    }
    const rule o = rule_of(p, p->decay), of_biases = rule_of(p, p->bias_decay);
    float dy[DN_DENSE_ROWS * BLOCK], g_biases[STRIP];
    for (int at = from; at < to; at += BLOCK) {
        int n = block_size(at, to);
        block_gradient(j, o.scale, n, at, dy, sum);
        biases_add(j, &of_biases, dy, n, at, from, to, g_biases);
        if (n == BLOCK) {
            columns_any(j, &o, BLOCK, dy, (size_t)at, dx, at == from);
            continue;
        }
        for (int i = 0; i < n; i++) { /* one by one; their dy are n apart */
            float one[DN_DENSE_ROWS];
            for (int r = 0; r < p->shape.rows; r++) one[r] = dy[r * n + i];
            columns_any(j, &o, 1, one, (size_t)(at + i), dx, at + i == from);
        }
    }
}

const dn_dense_kernels CAT(dn_dense_kernels, DN_ISA) = {forward, train};

/* Gradient and update of the weights of a dense layer with many rows, compiled once per instruction set: a tile of ROWS
 * x COLS vectors of the gradient is summed up in registers, and between its products those of the tile before become an
 * update. Roots and divisions of Adam take a unit of the processor that products leave alone: one after the other both
 * took 1.4 times as long. */
#include "cpu/cpu_dense.h"
#include "cpu/cpu_kernels.h"
#include "cpu/isa_math.h"

#if VL == 16
enum { ROWS = 4, COLS = 3 };
#else
enum { ROWS = 4, COLS = 2 }; /* of 16 registers some are for the update */
#endif
enum { TILE = ROWS * COLS };
static inline int least(int a, int b) { return a < b ? a : b; }

typedef struct weights {
    float *w, *m, *v; /* v: Adam's */
    float scale, l2, keep, rate, momentum, b1, b2, eps, inverse2;
} weights;

static weights weights_of(const dn_dense_pass *p, const dn_update *u) {
    return (weights){.w = p->w,
                     .m = p->w_m,
                     .v = p->w_v,
                     .scale = u->scale,
                     .l2 = u->l2,
                     .keep = u->keep,
                     .rate = u->adam ? u->rate / u->correction1 : u->rate,
                     .momentum = u->momentum,
                     .b1 = u->b1,
                     .b2 = u->b2,
                     .eps = u->eps,
                     .inverse2 = 1 / u->correction2};
}

/* The rule, of which the compiler makes a loop each; as it is: without scale, l2 and keep. */
enum { SGD, ADAM, ADAM_AS_IS };

/* The vector of weights at `at`, with its gradient; the formulas of isa_kernels.c. */
INLINE void update_vector(const weights *of, const int rule, size_t at, vec g) {
    vec w = load(of->w + at), m = load(of->m + at), d = rule == ADAM_AS_IS ? g : of->l2 * w + g * of->scale;
    if (rule != SGD) {
        vec v = load(of->v + at);
        m = of->b1 * m + (1 - of->b1) * d;
        v = of->b2 * v + (1 - of->b2) * d * d;
        store(of->v + at, v);
        w = (rule == ADAM_AS_IS ? w : of->keep * w) - of->rate * m / (vec_sqrt(v * of->inverse2) + of->eps);
    } else {
        m = of->momentum * m + d;
        w -= of->rate * m;
    }
    store(of->m + at, m), store(of->w + at, w);
}

INLINE void fetch_vector(const weights *of, const int rule, size_t at) {
    __builtin_prefetch(of->w + at), __builtin_prefetch(of->m + at);
    if (rule != SGD) __builtin_prefetch(of->v + at);
}

/* The products of one row */
INLINE void add_row(const int cols, const float *x, const float *dy, vec g[TILE]) {
    vec xs[COLS];
    UNROLL for (int j = 0; j < cols; j++) {
        xs[j] = load(x + j * VL);
        IN_REGISTER(xs[j]);
    }
    UNROLL for (int i = 0; i < ROWS; i++) {
        vec d = splat(dy[i]);
        UNROLL for (int j = 0; j < cols; j++) g[i * cols + j] += d * xs[j];
    }
}

/* Tiles down a strip of `cols` vectors from input k on. */
INLINE void strip(const dn_dense_pass *p, const weights *weights_, const int rule, const int cols, int from, int to,
                  int k) {
    const weights of = *weights_;
    const size_t inputs = (size_t)p->shape.inputs, outputs = (size_t)p->shape.outputs;
    const int rows = p->shape.rows, n = ROWS * cols, pace = rows > n ? rows / n : 1;
    vec before[TILE];
    size_t at = (size_t)from * inputs + (size_t)k;
    for (int o = from; o < to; o += ROWS, at += ROWS * inputs) {
        const float *x = p->x + k, *dy = p->dy + o;
        vec g[TILE];
        UNROLL for (int i = 0; i < n; i++) g[i] = (vec){0};
        int left = rows;
        const vec *next = before;
        size_t line = at;
        for (int i = 0; i < ROWS; i++, line += inputs)
            for (int j = 0; j < cols; j++, next++) {
                size_t place = line + (size_t)(j * VL);
                if (o > from) update_vector(&of, rule, place - ROWS * inputs, *next);
                fetch_vector(&of, rule, place + ROWS * inputs);
                for (int some = least(pace, left); some > 0; some--, left--, x += inputs, dy += outputs)
                    add_row(cols, x, dy, g);
            }
        for (; left > 0; left--, x += inputs, dy += outputs) add_row(cols, x, dy, g);
        UNROLL for (int i = 0; i < n; i++) before[i] = g[i];
    }
    at -= ROWS * inputs;
    for (int i = 0; i < n; i++)
        update_vector(&of, rule, at + (size_t)(i / cols) * inputs + (size_t)(i % cols * VL), before[i]);
}

#define STRIP(rule, cols)                                                                                            \
    static __attribute__((noinline)) void strip_##rule##_##cols(const dn_dense_pass *p, const weights *of, int from, \
                                                                int to, int k) {                                     \
        strip(p, of, rule, cols, from, to, k);                                                                       \
    }
#define STRIPS(cols) STRIP(SGD, cols) STRIP(ADAM, cols) STRIP(ADAM_AS_IS, cols)
#define ENTRIES(cols) {strip_SGD_##cols, strip_ADAM_##cols, strip_ADAM_AS_IS_##cols}
STRIPS(1)
STRIPS(2)
#if VL == 16
STRIPS(3)
#endif

static void train(const dn_dense_pass *p, const dn_update *u, int from, int to, int left, int right) {
    static void (*const strips[COLS][3])(const dn_dense_pass *, const weights *, int, int, int) = {ENTRIES(1),
                                                                                                   ENTRIES(2),
#if VL == 16
                                                                                                   ENTRIES(3)
#endif
    };
    const weights of = weights_of(p, u);
    int rule = !u->adam ? SGD : u->scale == 1 && u->l2 == 0 && u->keep == 1 ? ADAM_AS_IS : ADAM;
    for (int cols; left < right && from < to; left += cols * VL) {
        cols = least((right - left) / VL, COLS);
        strips[cols - 1][rule](p, &of, from, to, left);
    }
}

const dn_train_kernel CAT(dn_train_kernel, DN_ISA) = {train, ROWS, VL};

/* Gradient and update of the weights of a dense layer with many rows, compiled once per instruction set: a tile of ROWS
 * outputs x COLS vectors of inputs is summed up in registers, and between its products those of the tile before become
 * an update. Narrow vectors have their operands packed first: rows are often a power of two apart, which few sets
 * of a cache hold, and a row's products take half as long as those of wide vectors, whose operands come in time as they
 * are. Roots and divisions of Adam take a unit of the processor that products leave alone: one after the other both
 * took 1.4 times as long. */
#include "cpu/cpu_dense.h"
#include "cpu/cpu_kernels.h"
#include "cpu/isa_math.h"

/* Three columns leave AVX2 four registers, enough for operands while there are products and for an update between them;
 * SSE needs one more. dy is packed for so many OUTPUTS at once, x only if there are X_OUTPUTS to use it. */
enum { ROWS = 4, COLS = VL == 4 ? 2 : 3, TILE = ROWS * COLS };
enum { PACKED = VL != 16, OUTPUTS = 128, X_OUTPUTS = 64, LINE = 16 };
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

/* The vector of n weights at `at`, with its gradient; the formulas of isa_kernels.c. */
INLINE void update_vector(const weights *of, const int rule, size_t at, size_t n, vec g) {
    vec w = load_n(of->w + at, n), m = load_n(of->m + at, n), d = rule == ADAM_AS_IS ? g : of->l2 * w + g * of->scale;
    if (rule != SGD) {
        vec v = load_n(of->v + at, n);
        m = of->b1 * m + (1 - of->b1) * d;
        v = of->b2 * v + (1 - of->b2) * d * d;
        store_n(of->v + at, v, n);
        w = (rule == ADAM_AS_IS ? w : of->keep * w) - of->rate * m / (vec_sqrt(v * of->inverse2) + of->eps);
    } else {
        m = of->momentum * m + d;
        w -= of->rate * m;
    }
    store_n(of->m + at, m, n), store_n(of->w + at, w, n);
}

INLINE void fetch_vector(const weights *of, const int rule, size_t at) {
    __builtin_prefetch(of->w + at), __builtin_prefetch(of->m + at);
    if (rule != SGD) __builtin_prefetch(of->v + at);
}

/* The columns of x that a strip needs, (rows, vectors), and dy as panels (rows, ROWS) with a line between them. */
typedef struct operands {
    float x[PACKED ? DN_TRAIN_ROWS * COLS * VL : 1] __attribute__((aligned(64)));
    float dy[PACKED ? (DN_TRAIN_ROWS * ROWS + LINE) * OUTPUTS / ROWS : 1] __attribute__((aligned(64)));
} operands;
static inline size_t panel_size(const dn_dense_pass *p) { return (size_t)p->shape.rows * ROWS + LINE; }

static void pack_dy(const dn_dense_pass *p, int from, int to, float *panels) {
    const float *dy = p->dy + from;
    for (int r = 0; r < p->shape.rows; r++, dy += p->shape.outputs, panels += ROWS) {
        float *panel = panels;
        for (int o = 0; o < to - from; o += ROWS, panel += panel_size(p)) memcpy(panel, dy + o, ROWS * sizeof *dy);
    }
}

/* Whole vectors from input k on; narrow strips have no others. */
INLINE void pack_x(const dn_dense_pass *p, const int cols, int k, float *to) {
    const float *x = p->x + k;
    for (int r = 0; r < p->shape.rows; r++, x += p->shape.inputs, to += cols * VL)
        UNROLL for (int j = 0; j < cols; j++) store(to + j * VL, load(x + j * VL));
}

/* The products of one row; the last vector has n inputs. */
INLINE void add_row(const int cols, size_t n, const float *x, const float *dy, vec g[TILE]) {
    vec xs[COLS];
    UNROLL for (int j = 0; j < cols; j++) {
        xs[j] = load_n(x + j * VL, j + 1 < cols ? VL : n);
        IN_REGISTER(xs[j]);
    }
    UNROLL for (int i = 0; i < ROWS; i++) {
        vec d = splat(dy[i]);
        UNROLL for (int j = 0; j < cols; j++) g[i * cols + j] += d * xs[j];
    }
}

/* Tiles down a strip of `cols` vectors from input k on; the last vector has `last` inputs. dy is packed already. */
INLINE void strip(const dn_dense_pass *p, operands *packed, const weights *weights_, const int rule, const int cols,
                  size_t last, int from, int to, int k) {
    const weights of = *weights_;
    const int pack = PACKED && to - from >= X_OUTPUTS;
    const size_t inputs = (size_t)p->shape.inputs, x_step = pack ? (size_t)cols * VL : inputs;
    const size_t dy_step = PACKED ? ROWS : (size_t)p->shape.outputs;
    const float *first = pack ? packed->x : p->x + k, *panel = PACKED ? packed->dy : p->dy + from;
    const int rows = p->shape.rows, n = ROWS * cols;
    vec before[TILE] = {{0}};
    size_t at = (size_t)from * inputs + (size_t)k;
    if (pack) pack_x(p, cols, k, packed->x);
    for (int o = from; o < to; o += ROWS, at += ROWS * inputs, panel += PACKED ? panel_size(p) : ROWS) {
        const float *x = first, *dy = panel;
        vec g[TILE];
        UNROLL for (int i = 0; i < n; i++) g[i] = (vec){0};
        const vec *next = before;
        int due = 0; /* n-ths of a row: between two updates as many rows as between any other two */
        size_t line = at;
        for (int i = 0; i < ROWS; i++, line += inputs)
            for (int j = 0; j < cols; j++, next++) {
                size_t place = line + (size_t)(j * VL);
                if (o > from) update_vector(&of, rule, place - ROWS * inputs, j + 1 < cols ? VL : last, *next);
                fetch_vector(&of, rule, place + ROWS * inputs);
                for (due += rows; due >= n; due -= n, x += x_step, dy += dy_step) add_row(cols, last, x, dy, g);
            }
        UNROLL for (int i = 0; i < n; i++) before[i] = g[i];
    }
    at -= ROWS * inputs;
    for (int i = 0; i < n; i++)
        update_vector(&of, rule, at + (size_t)(i / cols) * inputs + (size_t)(i % cols * VL), (i + 1) % cols ? VL : last,
                      before[i]);
}

/* strip_..._0 is one vector of `last` inputs, the others have whole vectors. */
#define STRIP_ARGS const dn_dense_pass *p, operands *packed, const weights *of, size_t last, int from, int to, int k
#define STRIP(rule, cols)                                                           \
    static __attribute__((noinline)) void strip_##rule##_##cols(STRIP_ARGS) {       \
        strip(p, packed, of, rule, cols ? cols : 1, cols ? VL : last, from, to, k); \
    }
#define STRIPS(cols) STRIP(SGD, cols) STRIP(ADAM, cols) STRIP(ADAM_AS_IS, cols)
#define ENTRIES(cols) {strip_SGD_##cols, strip_ADAM_##cols, strip_ADAM_AS_IS_##cols}
STRIPS(0)
STRIPS(1)
STRIPS(2)
#if VL > 4
STRIPS(3)
#endif

/* Vectors of the next strip; of four, two and two are faster than three and one. */
static inline int strip_vectors(int left) { return left == COLS + 1 && COLS == 3 ? 2 : least(left, COLS); }

static void train(const dn_dense_pass *p, const dn_update *u, int from, int to, int left, int right) {
    static void (*const strips[COLS + 1][3])(STRIP_ARGS) = {ENTRIES(0), ENTRIES(1), ENTRIES(2),
#if VL > 4
                                                            ENTRIES(3)
#endif
    };
    const weights of = weights_of(p, u);
    int rule = !u->adam ? SGD : u->scale == 1 && u->l2 == 0 && u->keep == 1 ? ADAM_AS_IS : ADAM;
    operands packed;
    for (int end; from < to; from = end) {
        end = PACKED ? least(from + OUTPUTS, to) : to;
        if (PACKED) pack_dy(p, from, end, packed.dy);
        for (int k = left, cols; k < right; k += cols ? cols * VL : VL) {
            cols = strip_vectors((right - k) / VL);
            strips[cols][rule](p, &packed, &of, (size_t)(right - k), from, end, k);
        }
    }
}

const dn_train_kernel CAT(dn_train_kernel, DN_ISA) = {train, ROWS, VL == 16 ? 1 : VL, VL == 16 ? 512 : 288};

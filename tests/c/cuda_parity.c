/* Every operation on a device against the same operation on the CPU, with random shapes and numbers; products, those of
 * convolutions included, against sums in double precision:
 *
 *   cuda_parity DEVICE [SCALE [SEED]]      SCALE > 1: larger products
 *
 * Every operation runs twice on the device from the same start and must give the same bits; values beyond its arrays
 * must stay. On the emulated GPU every launch of it is then refused in turn, which must be reported. Exit code 0, or 1
 * after a line for each difference. */
#include "net/convolution.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 8, MOST = 16 };
typedef enum kind { FLOATS, INTS, DOUBLES, BYTES } kind;

typedef struct array {
    const char *name;
    kind kind;
    size_t n, bytes; /* values; of them and the guard */
    int unseen;      /* values need not agree */
    char *start, *host, *device, *seen, *again;
} array;

static const dn_ops *cpu = &dn_cpu_ops, *gpu;
static dn_pool *cpu_pool, *gpu_pool;
static array arrays[MOST];
static int n_arrays, on_device, failures, comparisons, refusals, scale = 1;
static const char *operation;
static long (*refuse)(long n); /* of the emulated GPU, see there */
static uint64_t state;

static uint64_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}
static int whole(int low, int high) { return low + (int)(draw() >> 33) % (high - low + 1); }
static float real(float low, float high) { return low + (high - low) * (float)(draw() >> 40) / 16777216.0f; }

static void fail(const char *what, const array *a, size_t i, double ours, double wanted) {
    if (failures++ < 20)
        printf("%s: %s[%zu] %s: %.9g, wanted %.9g\n", operation, a ? a->name : "", i, what, ours, wanted);
}

static array *make(const char *name, kind kind, size_t n) {
    static const size_t sizes[] = {4, 4, 8, 1};
    array *a = &arrays[n_arrays++];
    *a = (array){.name = name, .kind = kind, .n = n, .bytes = n * sizes[kind] + GUARD * 4};
    a->start = malloc(a->bytes), a->host = malloc(a->bytes), a->seen = malloc(a->bytes), a->again = malloc(a->bytes);
    a->device = gpu->alloc(gpu_pool, a->bytes);
    if (!a->device || !a->start || !a->host || !a->seen || !a->again) {
        printf("%s\n", dn_error());
        exit(1);
    }
    memset(a->start, 0x41, a->bytes);
    return a;
}
static array *floats(const char *name, size_t n, float low, float high) {
    array *a = make(name, FLOATS, n);
    for (size_t i = 0; i < n; i++) ((float *)a->start)[i] = real(low, high);
    return a;
}
/* Numbers below `limit`, each once at most if `once`, and some -1. */
static array *ints(const char *name, size_t n, int limit, int once) {
    array *a = make(name, INTS, n);
    int *values = (int *)a->start, offset = whole(0, limit - 1), stride = once ? 1 : whole(1, 9);
    for (size_t i = 0; i < n; i++)
        values[i] = i % 7 == 3 ? -1 : (int)((i * (size_t)stride + (size_t)offset) % (size_t)limit);
    return a;
}
static array *sums_of(size_t n) {
    array *a = make("sum", DOUBLES, n);
    for (size_t i = 0; i < n; i++) ((double *)a->start)[i] = 3.25;
    return a;
}
static array *sum_of(void) { return sums_of(1); }
static array *step_of(size_t rows) {
    array *a = make("step", BYTES, sizeof(dn_step));
    *(dn_step *)a->start = (dn_step){.seed = draw(),
                                     .pass = draw(),
                                     .at = (uint64_t)whole(0, 5),
                                     .rate = real(0.001f, 0.1f),
                                     .rows = (float)rows,
                                     .correction1 = real(0.1f, 1),
                                     .correction2 = real(0.1f, 1),
                                     .clip = real(0.1f, 1),
                                     .share = real(0.1f, 0.9f)};
    return a;
}

static void begin(void) {
    for (int i = 0; i < n_arrays; i++) {
        memcpy(arrays[i].host, arrays[i].start, arrays[i].bytes);
        gpu->upload(gpu_pool, arrays[i].device, arrays[i].start, arrays[i].bytes);
    }
}
static void fetch(int again) {
    for (int i = 0; i < n_arrays; i++)
        gpu->download(gpu_pool, again ? arrays[i].again : arrays[i].seen, arrays[i].device, arrays[i].bytes);
    if (gpu->finish(gpu_pool) != DN_OK) {
        printf("%s: %s\n", operation, dn_error());
        exit(1);
    }
}

/* Against the largest value of the array: sums of many terms of both signs are compared, in another order. */
static void compare_array(const array *a, double tolerance) {
    size_t tail = a->bytes - GUARD * 4;
    if (memcmp(a->seen, a->again, a->bytes) != 0) fail("differs from run to run", a, 0, 0, 0);
    if (memcmp(a->seen + tail, a->start + tail, GUARD * 4) != 0) fail("is written behind its end", a, a->n, 0, 0);
    if (a->kind == BYTES || a->kind == INTS) {
        if (memcmp(a->seen, a->host, tail) != 0) fail("differs", a, 0, 0, 0);
        return;
    }
    double largest = 1e-30;
    if (a->unseen) return;
    for (size_t i = 0; a->kind == FLOATS && i < a->n; i++) largest = fmax(largest, fabs((double)((float *)a->host)[i]));
    for (size_t i = 0; i < a->n; i++) {
        double ours = a->kind == FLOATS ? ((float *)a->seen)[i] : ((double *)a->seen)[i];
        double wanted = a->kind == FLOATS ? ((float *)a->host)[i] : ((double *)a->host)[i];
        double room = a->kind == FLOATS ? tolerance * (fabs(wanted) + 0.1 * largest) : 1e-5 * fabs(wanted);
        if (isnan(wanted) ? !isnan(ours) : !(fabs(ours - wanted) <= room)) {
            fail("is off", a, i, ours, wanted);
            return;
        }
    }
}
static void compare(double tolerance) {
    for (int i = 0; i < n_arrays; i++) {
        compare_array(&arrays[i], tolerance);
        gpu->free(gpu_pool, arrays[i].device);
        free(arrays[i].start), free(arrays[i].host), free(arrays[i].seen), free(arrays[i].again);
    }
    n_arrays = 0, comparisons++;
}

static void start_again(void) {
    for (int i = 0; i < n_arrays; i++) gpu->upload(gpu_pool, arrays[i].device, arrays[i].start, arrays[i].bytes);
}

/* An array's memory, and the pool, of the side that is running. */
#define V(a) ((void *)(on_device ? (a)->device : (a)->host))
#define P (on_device ? gpu_pool : cpu_pool)
#define BOTH(call, tolerance) BOTH_WAYS(cpu->call, gpu->call, tolerance)
#define BOTH_WAYS(call_cpu, call_gpu, tolerance)                                                                       \
    do {                                                                                                               \
        begin();                                                                                                       \
        on_device = 0;                                                                                                 \
        call_cpu;                                                                                                      \
        on_device = 1;                                                                                                 \
        call_gpu;                                                                                                      \
        fetch(0);                                                                                                      \
        start_again();                                                                                                 \
        if (refuse) refuse(0);                                                                                         \
        call_gpu;                                                                                                      \
        long all = refuse ? refuse(0) : 0;                                                                             \
        fetch(1);                                                                                                      \
        for (long nth = 1; nth <= all; nth++) {                                                                        \
            refuse(nth), refusals++;                                                                                   \
            call_gpu;                                                                                                  \
            if (gpu->finish(gpu_pool) == DN_OK) fail("a launch that failed is not reported", NULL, (size_t)nth, 0, 0); \
            refuse(0);                                                                                                 \
        }                                                                                                              \
        compare(tolerance);                                                                                            \
    } while (0)

static size_t length(void) { return (size_t)whole(1, 3) == 1 ? (size_t)whole(1, 40) : (size_t)whole(1000, 70000); }
static const double EXACT = 1e-6, CLOSE = 2e-5;

static void test_set_step(void) {
    dn_step value = {.seed = draw(), .pass = 7, .at = 3, .rate = 0.5f, .rows = 4, .correction1 = 1, .correction2 = 2};
    array *to = step_of(1);
    BOTH(set_step(P, V(to), &value), EXACT);
}
static void test_gather_rows(void) {
    size_t rows = (size_t)whole(1, 40), cols = (size_t)whole(1, 300), all = rows + 6;
    array *step = step_of(rows), *data = floats("data", all * cols, -1, 1), *order = make("order", INTS, all);
    for (size_t i = 0; i < all; i++) ((uint32_t *)order->start)[i] = (uint32_t)((i * 5 + 2) % all);
    array *to = floats("to", rows * cols, -1, 1);
    BOTH(gather_rows(P, V(step), rows, cols, V(data), V(order), V(to)), EXACT);
}
static void test_fill(void) {
    size_t n = length();
    array *x = floats("x", n, -1, 1);
    float value = real(-1, 1);
    BOTH(fill(P, n, value, V(x)), EXACT);
}
static void test_copy(void) {
    size_t n = length();
    array *x = floats("x", n, -1, 1), *y = floats("y", n, -1, 1);
    BOTH(copy(P, n, V(x), V(y)), EXACT);
}
static void test_scale(void) {
    size_t n = length();
    array *x = floats("x", n, -1, 1);
    BOTH(scale(P, n, 0.3f, V(x)), EXACT);
}
static void test_axpy(void) {
    size_t n = length();
    array *x = floats("x", n, -1, 1), *y = floats("y", n, -1, 1);
    BOTH(axpy(P, n, -0.7f, V(x), V(y)), EXACT);
}
static void test_mul_add(void) {
    size_t n = length();
    array *x = floats("x", n, -1, 1), *y = floats("y", n, -1, 1), *z = floats("z", n, -1, 1);
    BOTH(mul_add(P, n, 1.3f, V(x), V(y), V(z)), EXACT);
}
static void test_copy_rows(void) {
    size_t rows = (size_t)whole(1, 30), cols = (size_t)whole(1, 90), ldx = cols + (size_t)whole(0, 9), ldy = cols + 4;
    array *x = floats("x", rows * ldx, -1, 1), *y = floats("y", rows * ldy, -1, 1);
    BOTH(copy_rows(P, rows, cols, V(x), ldx, V(y), ldy), EXACT);
}
static void test_add_rows(void) {
    size_t rows = (size_t)whole(1, 30), cols = (size_t)whole(1, 90), ldx = cols + (size_t)whole(0, 9), ldy = cols + 4;
    array *x = floats("x", rows * ldx, -1, 1), *y = floats("y", rows * ldy, -1, 1);
    BOTH(add_rows(P, rows, cols, V(x), ldx, V(y), ldy), EXACT);
}
static void test_row_sums(void) {
    for (int wide = 0; wide < 2; wide++) {
        size_t rows = (size_t)whole(1, wide ? 5 : 300), n = (size_t)(wide ? whole(200, 9000) : whole(0, 40));
        array *x = floats("x", rows * n, -1, 1), *sums = floats("sums", rows, -1, 1);
        BOTH(row_sums(P, rows, n, V(x), V(sums)), CLOSE);
    }
}

static void test_add_sum(void) {
    for (size_t n = 0; n < 3; n++) {
        array *x = floats("x", n == 2 ? length() : n, -1, 1), *sum = sum_of();
        BOTH(add_sum(P, x->n, -0.3, V(x), V(sum)), CLOSE);
    }
}

/* The CPU's gemm as plain sums in double precision, and a table with it. */
static void exact_gemm(dn_pool *pool, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                       int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    (void)pool;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int p = 0; p < k; p++)
                sum += (double)(trans_a ? a[(size_t)p * (size_t)lda + (size_t)i]
                                        : a[(size_t)i * (size_t)lda + (size_t)p]) *
                       (trans_b ? b[(size_t)j * (size_t)ldb + (size_t)p] : b[(size_t)p * (size_t)ldb + (size_t)j]);
            float *to = c + (size_t)i * (size_t)ldc + (size_t)j;
            *to = (float)(alpha * sum + (beta == 0 ? 0 : (double)beta * *to));
        }
}
static dn_ops exact;

static void gemm_of(int trans_a, int trans_b, int m, int n, int k, float alpha, float beta) {
    int lda = (trans_a ? m : k) + whole(0, 5), ldb = (trans_b ? k : n) + whole(0, 5), ldc = n + whole(0, 5);
    array *a = floats("a", (size_t)(trans_a ? k : m) * (size_t)lda, -1, 1);
    array *b = floats("b", (size_t)(trans_b ? n : k) * (size_t)ldb, -1, 1),
          *c = floats("c", (size_t)m * (size_t)ldc, -1, 1);
    if (beta == 0) ((float *)c->start)[0] = NAN; /* must not be read */
    BOTH_WAYS(exact.gemm(P, trans_a, trans_b, m, n, k, alpha, V(a), lda, V(b), ldb, beta, V(c), ldc),
              gpu->gemm(P, trans_a, trans_b, m, n, k, alpha, V(a), lda, V(b), ldb, beta, V(c), ldc), CLOSE);
}
static void test_gemm(void) {
    static const float betas[] = {0, 1, 0.5f};
    for (int t = 0; t < 4; t++) {
        gemm_of(t & 1, t >> 1, whole(1, 70), whole(1, 70), whole(1, 70), real(-2, 2), betas[whole(0, 2)]);
        gemm_of(t & 1, t >> 1, whole(1, 9), whole(1, 9), whole(200, 900), 1, betas[whole(0, 2)]); /* cut along k */
        gemm_of(t & 1, t >> 1, 96 + whole(50, 130) * scale, 96 + whole(50, 130) * scale, whole(1, 50) * scale, 1, 0);
    }
    gemm_of(0, 0, 64, 128, 16, 1, 0);
    gemm_of(0, 1, 4, 5, 0, 1, 1);
    gemm_of(0, 1, 4, 5, 0, 1, 0.5f);
}

static dn_conv_shape image_of(void) {
    dn_conv_shape s = {.channels = whole(1, 5),
                       .height = whole(1, 12),
                       .width = whole(1, 12),
                       .size = whole(1, 5),
                       .stride = whole(1, 3),
                       .padding = whole(0, 2)};
    if (s.height + 2 * s.padding < s.size) s.height = s.size;
    if (s.width + 2 * s.padding < s.size) s.width = s.size;
    s.out_height = (s.height + 2 * s.padding - s.size) / s.stride + 1;
    s.out_width = (s.width + 2 * s.padding - s.size) / s.stride + 1;
    return s;
}
static size_t pixels(const dn_conv_shape *s) { return (size_t)s->channels * (size_t)s->height * (size_t)s->width; }
static size_t out_pixels(const dn_conv_shape *s) { return (size_t)s->out_height * (size_t)s->out_width; }

static void test_im2col(void) {
    dn_conv_shape s = image_of();
    size_t n = (size_t)(s.channels * s.size * s.size) * out_pixels(&s);
    array *image = floats("image", pixels(&s), -1, 1), *columns = floats("columns", n, -1, 1);
    BOTH(im2col(P, &s, V(image), V(columns)), EXACT);
}
static void test_col2im(void) {
    dn_conv_shape s = image_of();
    size_t n = (size_t)(s.channels * s.size * s.size) * out_pixels(&s);
    array *image = floats("image", pixels(&s), -1, 1), *columns = floats("columns", n, -1, 1);
    BOTH(col2im(P, &s, V(columns), V(image)), CLOSE);
}
/* The CPU's side is the composition of im2col and gemm. */
static dn_conv_layer conv_of(void) {
    dn_conv_layer l = {image_of(), whole(1, 3), whole(1, 6)};
    if (whole(0, 3) == 0) l.filters = whole(60, 80); /* more than a tile */
    return l;
}
static size_t image_values(const dn_conv_layer *l) { return pixels(&l->group) * (size_t)l->groups; }
static size_t map_values(const dn_conv_layer *l) {
    return (size_t)l->groups * (size_t)l->filters * out_pixels(&l->group);
}
static array *conv_weights(const char *name, const dn_conv_layer *l) {
    return floats(name, (size_t)(l->groups * l->filters * l->group.channels * l->group.size * l->group.size), -1, 1);
}
/* For the layer `l` of `rows` rows, with the workspaces `host` and `device` for the calls. */
#define CONVOLUTION(call_cpu, call_gpu)                                                                 \
    do {                                                                                                \
        float *host = malloc((dn_conv_composed_workspace(&l) + 1) * sizeof *host);                      \
        float *device = gpu->alloc(gpu_pool, gpu->conv_workspace(gpu_pool, &l, rows) * sizeof *device); \
        BOTH_WAYS(call_cpu, call_gpu, CLOSE);                                                           \
        gpu->free(gpu_pool, device);                                                                    \
        free(host);                                                                                     \
    } while (0)
static void test_conv_forward(void) {
    for (int add = 0; add < 2 && gpu->conv_forward; add++) {
        dn_conv_layer l = conv_of();
        size_t rows = (size_t)whole(1, 6);
        array *x = floats("x", rows * image_values(&l), -1, 1), *w = conv_weights("w", &l);
        array *y = floats("y", rows * map_values(&l), -1, 1);
        CONVOLUTION(dn_conv_composed_forward(&exact, P, &l, rows, add, V(x), V(w), V(y), host),
                    gpu->conv_forward(P, &l, rows, add, V(x), V(w), V(y), device));
    }
}
static void test_conv_backward_data(void) {
    for (int add = 0; add < 2 && gpu->conv_backward_data; add++) {
        dn_conv_layer l = conv_of();
        size_t rows = (size_t)whole(1, 6);
        array *dx = floats("dx", rows * image_values(&l), -1, 1), *w = conv_weights("w", &l);
        array *dy = floats("dy", rows * map_values(&l), -1, 1);
        CONVOLUTION(dn_conv_composed_backward_data(&exact, P, &l, rows, add, V(dy), V(w), V(dx), host),
                    gpu->conv_backward_data(P, &l, rows, add, V(dy), V(w), V(dx), device));
    }
}
static void test_conv_backward_weights(void) {
    for (int time = 0; time < 2 && gpu->conv_backward_weights; time++) {
        dn_conv_layer l = conv_of();
        size_t rows = (size_t)(time ? whole(1, 6) : whole(10, 40)); /* many: cut along the pixels */
        array *x = floats("x", rows * image_values(&l), -1, 1), *dw = conv_weights("dw", &l);
        array *dy = floats("dy", rows * map_values(&l), -1, 1);
        CONVOLUTION(dn_conv_composed_backward_weights(&exact, P, &l, rows, V(x), V(dy), V(dw), host),
                    gpu->conv_backward_weights(P, &l, rows, V(x), V(dy), V(dw), device));
    }
}
/* The CPU's side of locally connected layers, plain sums: what 0 sets y, 1 adds to x, 2 adds to w. */
static void local_sums(const dn_conv_layer *l, size_t rows, int what, float *x, float *y, float *w) {
    dn_conv_shape s = l->group;
    int pixels_out = s.out_height * s.out_width, taps = s.channels * s.size * s.size;
    for (size_t n = 0; n < rows * (size_t)(l->filters * pixels_out * taps); n++) {
        int tap = (int)(n % (size_t)taps), pixel = (int)(n / (size_t)taps % (size_t)pixels_out);
        size_t f = n / (size_t)(taps * pixels_out) % (size_t)l->filters,
               row = n / (size_t)(taps * pixels_out * l->filters);
        int c = tap / (s.size * s.size), iy = pixel / s.out_width * s.stride - s.padding + tap / s.size % s.size,
            ix = pixel % s.out_width * s.stride - s.padding + tap % s.size;
        size_t at_y = (row * (size_t)l->filters + f) * (size_t)pixels_out + (size_t)pixel;
        size_t at_w = ((size_t)pixel * (size_t)l->filters + f) * (size_t)taps + (size_t)tap;
        if (what == 0 && tap == 0) y[at_y] = 0;
        if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
        size_t at_x =
            ((row * (size_t)s.channels + (size_t)c) * (size_t)s.height + (size_t)iy) * (size_t)s.width + (size_t)ix;
        if (what == 0) y[at_y] += x[at_x] * w[at_w];
        if (what == 1) x[at_x] += y[at_y] * w[at_w];
        if (what == 2) w[at_w] += y[at_y] * x[at_x];
    }
}
static void test_local(int what) {
    if (!gpu->local_forward) return;
    dn_conv_layer l = {image_of(), 1, whole(0, 3) ? whole(1, 9) : whole(60, 70)};
    size_t rows = (size_t)whole(1, 6), size = (size_t)(l.filters * l.group.channels * l.group.size * l.group.size);
    array *x = floats("x", rows * image_values(&l), -1, 1), *y = floats("y", rows * map_values(&l), -1, 1);
    array *w = floats("w", size * out_pixels(&l.group), -1, 1);
    if (what == 0)
        BOTH_WAYS(local_sums(&l, rows, 0, V(x), V(y), V(w)), gpu->local_forward(P, &l, rows, V(x), V(w), V(y)), CLOSE);
    if (what == 1)
        BOTH_WAYS(local_sums(&l, rows, 1, V(x), V(y), V(w)), gpu->local_backward_data(P, &l, rows, V(y), V(w), V(x)),
                  CLOSE);
    if (what == 2)
        BOTH_WAYS(local_sums(&l, rows, 2, V(x), V(y), V(w)), gpu->local_backward_weights(P, &l, rows, V(x), V(y), V(w)),
                  CLOSE);
}
static void test_local_forward(void) { test_local(0); }
static void test_local_backward_data(void) { test_local(1); }
static void test_local_backward_weights(void) { test_local(2); }
static dn_lstm_shape lstm_of(void) { return (dn_lstm_shape){whole(1, 40), whole(1, 70)}; }
static void test_lstm_forward(void) {
    dn_lstm_shape s = lstm_of();
    size_t n = (size_t)s.outputs, all = (size_t)s.rows * n;
    array *w = floats("w", DN_LSTM_GATES * n * n, -0.3f, 0.3f), *h = floats("h", all, -1, 1);
    array *c = floats("c", all, -2, 2), *gates = floats("gates", DN_LSTM_GATES * all, -3, 3);
    array *tanh_c = floats("tanh_c", all, 0, 0), *next_c = floats("next_c", all, 0, 0);
    array *next_h = floats("next_h", all, 0, 0), *y = floats("y", all, 0, 0);
    BOTH(lstm_forward(P, &s, V(w), V(h), V(c), V(gates), V(tanh_c), V(next_c), V(next_h), V(y)), CLOSE);
}
static void test_lstm_backward(void) {
    for (int last = 0; last < 2; last++) {
        dn_lstm_shape s = lstm_of();
        size_t n = (size_t)s.outputs, all = (size_t)s.rows * n;
        array *w = floats("w", DN_LSTM_GATES * n * n, -0.3f, 0.3f),
              *later = floats("later", DN_LSTM_GATES * all, -1, 1);
        array *dy = floats("dy", all, -1, 1), *c = floats("c", all, -2, 2), *tanh_c = floats("tanh_c", all, -1, 1);
        array *gates = floats("gates", DN_LSTM_GATES * all, 0, 1);
        array *dh = floats("dh", all, 0, 0), *dc = floats("dc", all, -1, 1);
        BOTH(lstm_backward(P, &s, V(w), last ? NULL : V(later), V(dy), V(c), V(tanh_c), V(gates), V(dh), V(dc)), CLOSE);
    }
}
static void test_bias_add(void) {
    size_t rows = (size_t)whole(1, 40), channels = (size_t)whole(1, 90),
           spatial = (size_t)(whole(0, 1) ? 1 : whole(2, 30));
    array *bias = floats("bias", channels, -1, 1), *y = floats("y", rows * channels * spatial, -1, 1);
    BOTH(bias_add(P, rows, channels, spatial, V(bias), V(y)), EXACT);
}
static void test_bias_gradient(void) {
    for (int vector = 0; vector < 2; vector++) {
        size_t rows = (size_t)whole(1, 40), channels = (size_t)whole(1, 90),
               spatial = (size_t)(vector ? 1 : whole(2, 30));
        array *db = floats("db", channels, -1, 1), *dy = floats("dy", rows * channels * spatial, -1, 1);
        BOTH(bias_gradient(P, rows, channels, spatial, V(dy), V(db)), CLOSE);
    }
}
static void test_activate(void) {
    for (int kind = 0; kind < DN_ACTIVATION_COUNT; kind++) {
        size_t n = (size_t)whole(1, 3000);
        array *x = floats("x", n, -6, 6);
        BOTH(activate(P, (dn_activation)kind, n, V(x)), CLOSE); /* loggy is 2 logistic - 1: near 0 its digits cancel */
    }
}
static void test_activate_gradient(void) {
    for (int kind = 0; kind < DN_ACTIVATION_COUNT; kind++) {
        size_t n = (size_t)whole(1, 3000);
        array *y = floats("y", n, -2, 2), *dy = floats("dy", n, -1, 1);
        BOTH(activate_gradient(P, (dn_activation)kind, n, V(y), V(dy)), EXACT);
    }
}
/* The CPU's side is composed. Sometimes of many rows or few channels, which are summed in chunks. */
static size_t plane_of(size_t *rows, size_t *channels, size_t *spatial) {
    *rows = (size_t)whole(1, 20), *channels = (size_t)whole(1, 80), *spatial = (size_t)(whole(0, 1) ? 1 : whole(2, 40));
    if (whole(0, 1)) *rows *= 40, *channels = *channels / 20 + 1;
    return *rows * *channels * *spatial;
}
static void test_bias_activate(void) {
    for (int kind = 0; kind < DN_ACTIVATION_COUNT; kind++) {
        size_t rows, c, spatial, n = plane_of(&rows, &c, &spatial);
        array *bias = floats("bias", c, -1, 1), *y = floats("y", n, -3, 3);
        BOTH_WAYS((cpu->bias_add(P, rows, c, spatial, V(bias), V(y)), cpu->activate(P, (dn_activation)kind, n, V(y))),
                  gpu->bias_activate(P, rows, c, spatial, (dn_activation)kind, V(bias), V(y)), CLOSE);
    }
}
static void test_bias_activate_gradient(void) {
    for (int kind = 0; kind < DN_ACTIVATION_COUNT; kind++) {
        size_t rows, c, spatial, n = plane_of(&rows, &c, &spatial);
        array *y = floats("y", n, -1, 1), *dy = floats("dy", n, -1, 1), *db = floats("db", c, -1, 1);
        BOTH_WAYS((cpu->activate_gradient(P, (dn_activation)kind, n, V(y), V(dy)),
                   cpu->bias_gradient(P, rows, c, spatial, V(dy), V(db))),
                  gpu->bias_activate_gradient(P, rows, c, spatial, (dn_activation)kind, V(y), V(dy), V(db)), CLOSE);
    }
}
static void test_norm_forward(void) {
    static const float epsilons[] = {1e-5f, -1};
    for (int way = 0; way < 8; way++) {
        size_t rows = (size_t)whole(2, 20), c = (size_t)whole(1, 20),
               spatial = (size_t)(whole(0, 1) ? 1 : whole(2, 40));
        if (way > 3) rows = spatial = 1;
        size_t n = rows * c * spatial;
        array *x = floats("x", n, -1, 3), *scales = floats("scale", c, -1, 1), *bias = floats("bias", c, -1, 1);
        array *mean = floats("mean", c, 0, 1), *var = floats("var", c, 0, 1),
              *rolling_mean = floats("rolling_mean", c, 0, 1);
        array *rolling_var = floats("rolling_var", c, 0.1f, 1), *xhat = floats("xhat", n, -1, 1),
              *y = floats("y", n, -1, 1);
        BOTH(norm_forward(P, rows, c, spatial, way % 2, epsilons[way / 2 % 2], V(x), V(scales), V(bias), V(mean),
                          V(var), V(rolling_mean), V(rolling_var), V(xhat), V(y)),
             CLOSE);
    }
}
static void test_norm_backward(void) {
    static const float epsilons[] = {1e-5f, -1};
    for (int way = 0; way < 8; way++) {
        size_t rows = (size_t)whole(2, 20), c = (size_t)whole(1, 20),
               spatial = (size_t)(whole(0, 1) ? 1 : whole(2, 40));
        if (way > 3) rows = spatial = 1;
        size_t n = rows * c * spatial;
        array *xhat = floats("xhat", n, -1, 1), *scales = floats("scale", c, -1, 1), *mean = floats("mean", c, -1, 1);
        array *var = floats("var", c, 0.1f, 1), *dy = floats("dy", n, -1, 1), *dscale = floats("dscale", c, -1, 1);
        array *dbias = floats("dbias", c, -1, 1);
        BOTH(norm_backward(P, rows, c, spatial, way % 2, epsilons[way / 2 % 2], V(xhat), V(scales), V(mean), V(var),
                           V(dy), V(dscale), V(dbias)),
             CLOSE);
    }
}

static dn_conv_shape pool_of(void) {
    dn_conv_shape s = {.channels = whole(1, 4),
                       .height = whole(3, 12),
                       .width = whole(3, 12),
                       .size = whole(1, 3),
                       .stride = whole(1, 3)};
    s.padding = whole(0, s.size - 1);
    s.out_height = (s.height + s.padding - s.size) / s.stride + 1;
    s.out_width = (s.width + s.padding - s.size) / s.stride + 1;
    return s;
}
static void test_maxpool_forward(void) {
    dn_conv_shape s = pool_of();
    size_t rows = (size_t)whole(1, 5), n = rows * (size_t)s.channels * out_pixels(&s);
    array *x = floats("x", rows * pixels(&s), -1, 1), *y = floats("y", n, -1, 1), *index = ints("index", n, 5, 0);
    for (size_t i = 0; i < x->n; i += 3) ((float *)x->start)[i] = 0.5f; /* equal values: the first wins */
    BOTH(maxpool_forward(P, rows, &s, V(x), V(y), V(index)), EXACT);
}
static void test_maxpool_backward(void) {
    dn_conv_shape s = pool_of();
    size_t rows = (size_t)whole(1, 5), n = rows * (size_t)s.channels * out_pixels(&s);
    array *x = floats("x", rows * pixels(&s), -1, 1), *y = floats("y", n, -1, 1), *index = ints("index", n, 5, 0);
    array *dy = floats("dy", n, -1, 1), *dx = floats("dx", rows * pixels(&s), -1, 1);
    cpu->maxpool_forward(cpu_pool, rows, &s, (float *)x->start, (float *)y->start, (int *)index->start);
    BOTH(maxpool_backward(P, rows, &s, V(index), V(dy), V(dx)), CLOSE);
}
static void test_resample(int down, int backward) {
    int h = whole(3, 9), w = whole(3, 9), stride = whole(1, 3);
    size_t maps = (size_t)whole(1, 12), in = maps * (size_t)(h * w);
    size_t out = maps * (size_t)(down ? (h / stride) * (w / stride) : h * stride * w * stride);
    array *x = floats("x", in, -1, 1), *y = floats("y", out, -1, 1);
    if (!down && !backward) BOTH(upsample_forward(P, maps, h, w, stride, 0.7f, V(x), V(y)), EXACT);
    if (!down && backward) BOTH(upsample_backward(P, maps, h, w, stride, 0.7f, V(y), V(x)), CLOSE);
    if (down && !backward) BOTH(downsample_forward(P, maps, h, w, stride, 0.7f, V(x), V(y)), CLOSE);
    if (down && backward) BOTH(downsample_backward(P, maps, h, w, stride, 0.7f, V(y), V(x)), EXACT);
}
static void test_upsample_forward(void) { test_resample(0, 0); }
static void test_upsample_backward(void) { test_resample(0, 1); }
static void test_downsample_forward(void) { test_resample(1, 0); }
static void test_downsample_backward(void) { test_resample(1, 1); }

static void test_normals(void) {
    size_t n = length();
    array *step = step_of(1), *eps = floats("eps", n, -1, 1);
    BOTH(normals(P, V(step), 0x20003, n, V(eps)), CLOSE);
}
static void test_uniforms(void) {
    size_t n = length();
    array *step = step_of(1), *u = floats("u", n, -1, 1);
    BOTH(uniforms(P, V(step), 0x20003, n, V(u)), 0);
}
static void test_bernoulli(void) {
    for (int way = 0; way < 3; way++) {
        size_t rows = (size_t)whole(1, 90), cols = (size_t)whole(1, 90);
        array *step = step_of(1), *x = floats("x", rows * cols, -0.2f, 1.2f), *order = make("order", INTS, rows + 6);
        for (size_t i = 0; i < rows + 6; i++) ((uint32_t *)order->start)[i] = (uint32_t)((i * 5 + 2) % (rows + 6));
        BOTH(bernoulli(P, V(step), 33, rows, cols, way > 0, way == 2 ? V(order) : NULL, V(x)), 0);
    }
}
static void test_noise(void) {
    size_t n = length();
    array *step = step_of(1), *x = floats("x", n, -1, 1);
    BOTH(noise(P, V(step), 34, n, 0.7f, V(x)), CLOSE);
}
static void test_dropout(void) {
    size_t n = length();
    array *u = floats("u", n, 0, 1), *x = floats("x", n, -1, 1), *y = floats("y", n, -1, 1);
    BOTH(dropout(P, n, 0.3f, V(u), V(x), V(y)), EXACT);
}
static void test_dropout_gradient(void) {
    size_t n = length();
    array *u = floats("u", n, 0, 1), *dy = floats("dy", n, -1, 1), *dx = floats("dx", n, -1, 1);
    BOTH(dropout_gradient(P, n, 0.3f, V(u), V(dy), V(dx)), EXACT);
}
/* Log-variances and means; some beyond the bound. */
static array *posterior(size_t rows, size_t latent) {
    array *x = floats("x", rows * 2 * latent, -2, 2);
    for (size_t r = 0; r < rows; r += 3) ((float *)x->start)[r * 2 * latent] *= 10;
    return x;
}
typedef struct mixture {
    array *means, *log_variances, *logits, *weight, *x, *eps, *z, *work;
} mixture;
static mixture mixture_arrays(const dn_mixture_shape *s) {
    size_t each = s->components * s->latent;
    mixture m = {floats("means", each, -2, 2),
                 floats("log_variances", each, -2, 2),
                 floats("logits", s->components, -2, 2),
                 floats("weight", 1, 0.1f, 2),
                 posterior(s->rows, s->latent),
                 floats("eps", s->rows * s->latent, -2, 2),
                 floats("z", s->rows * s->latent, -1, 1),
                 sums_of(dn_mixture_work(s))};
    ((float *)m.log_variances->start)[0] = 12;
    return m;
}
static void test_reparameterise(void) {
    for (int way = 0; way < 4; way++) {
        int given = way % 2, by_row = way / 2;
        size_t rows = (size_t)whole(1, 300), latent = (size_t)(way == 3 ? whole(250, 600) : whole(1, 40));
        array *x = posterior(rows, latent), *eps = floats("eps", rows * latent, -2, 2);
        array *z = floats("z", rows * latent, -1, 1), *sums = sums_of(2), *weight = floats("weight", 1, 0.1f, 2);
        array *kl = floats("kl", rows, -1, 1);
        BOTH(reparameterise(P, rows, latent, V(weight), V(x), given ? V(eps) : NULL, V(z), V(sums),
                            by_row ? V(kl) : NULL),
             CLOSE);
    }
}
static void test_kl_columns(void) {
    for (int k = 0; k < 3; k++) {
        size_t rows = (size_t)whole(1, 700), latent = (size_t)(k == 2 ? 1 : whole(1, 40));
        array *x = posterior(rows, latent), *sums = sums_of(latent + 1), *of_rows = floats("of_rows", rows, 0, 3);
        BOTH(kl_columns(P, rows, latent, k ? V(of_rows) : NULL, V(x), V(sums)), CLOSE);
    }
}
static void test_kl_cost(void) {
    for (int way = 2 * DN_KL_PLAIN; way <= 2 * DN_KL_CAPACITY + 1; way++) {
        int form = way / 2;
        size_t n = (size_t)whole(1, 600);
        array *of_rows = floats("of_rows", n, 0, 3);
        array *kl = floats("kl", n, 0, 2), *limit = floats("limit", 1, 0.5f, 1.5f), *sum = sum_of();
        array *weight = floats("weight", 1, 0.1f, 2), *factor = floats("factor", n, -1, 1), *columns = sums_of(n + 1);
        double *c = (double *)(void *)columns->start;
        for (size_t i = 0; i < n; i++) c[i] = 7 * (double)((float *)kl->start)[i];
        c[n] = 7;
        int by_column = form == DN_KL_FREE_COLUMNS;
        BOTH(kl_cost(P, (dn_kl_form)form, n, V(weight), V(limit), way % 2 && !by_column ? V(of_rows) : NULL,
                     by_column ? NULL : V(kl), by_column ? V(columns) : NULL, V(factor), V(sum)),
             CLOSE);
    }
}
static void test_kl_gradient(void) {
    for (int way = 2 * DN_KL_PLAIN; way <= 2 * DN_KL_CAPACITY + 1; way++) {
        int form = way / 2;
        size_t rows = (size_t)whole(1, 300), latent = (size_t)whole(1, 40);
        array *x = posterior(rows, latent), *weight = floats("weight", 1, 0.1f, 2);
        array *factor = floats("factor", form == DN_KL_FREE_COLUMNS ? latent : rows, -1, 1);
        array *dx = floats("dx", rows * 2 * latent, -1, 1);
        array *of_rows = floats("of_rows", rows, 0, 3);
        BOTH(kl_gradient(P, (dn_kl_form)form, rows, latent, 0.4, V(weight), way % 2 ? V(of_rows) : NULL, V(x),
                         V(factor), V(dx)),
             CLOSE);
    }
}
static void test_reparameterise_gradient(void) {
    for (int given = 0; given < 2; given++) {
        size_t rows = (size_t)whole(1, 300), latent = (size_t)whole(1, 40);
        array *x = posterior(rows, latent), *eps = floats("eps", rows * latent, -2, 2);
        array *dz = floats("dz", rows * latent, -1, 1), *dx = floats("dx", rows * 2 * latent, -1, 1);
        array *weight = floats("weight", 1, 0.1f, 2);
        BOTH(reparameterise_gradient(P, rows, latent, 0.4, V(weight), V(x), given ? V(eps) : NULL, V(dz), V(dx)),
             CLOSE);
    }
}
static void test_limit_variances(void) {
    const float limits[] = {0.5f, 4, 10, 25};
    for (int k = 0; k < 4; k++) {
        size_t rows = (size_t)whole(1, 300), latent = (size_t)whole(1, 40);
        array *x = posterior(rows, latent), *y = floats("y", rows * 2 * latent, -1, 1);
        BOTH(limit_variances(P, rows, latent, limits[k], V(x), V(y)), CLOSE);
    }
}
static void test_limit_variances_gradient(void) {
    const float limits[] = {0.5f, 4, 10, 25};
    for (int k = 0; k < 4; k++) {
        size_t rows = (size_t)whole(1, 300), latent = (size_t)whole(1, 40);
        array *x = posterior(rows, latent), *dy = floats("dy", rows * 2 * latent, -1, 1);
        array *dx = floats("dx", rows * 2 * latent, -1, 1);
        BOTH(limit_variances_gradient(P, rows, latent, limits[k], V(x), V(dy), V(dx)), CLOSE);
    }
}
/* Truths of a kind: probabilities, numbers, counts; some missing where they may be. */
static void truths_of(dn_loss kind, array *truth) {
    float *t = (float *)truth->start;
    int counts = kind == DN_LOSS_POISSON || kind == DN_LOSS_NEGATIVE_BINOMIAL;
    for (size_t i = 0; counts && i < truth->n; i++) t[i] = (float)whole(0, i % 3 ? 9 : 2000000);
    for (size_t i = 0; kind == DN_LOSS_MASKED && i < truth->n; i += 5) t[i] = DN_MASKED;
    for (size_t i = 0; kind != DN_LOSS_MASKED && i < truth->n; i += 5) t[i] = 0;
    for (size_t i = 2; kind >= DN_LOSS_BERNOULLI && i < truth->n; i += 11) t[i] = NAN;
}
static dn_likelihood likelihood_of(dn_loss kind) {
    return (dn_likelihood){
        kind, {real(0.2f, 3), kind == DN_LOSS_STUDENT_T ? real(0.5f, 40) : 0, whole(0, 1) ? real(0.1f, 20) : 0}};
}
static void test_repeat_rows(void) {
    size_t rows = (size_t)whole(1, 30), draws = (size_t)whole(1, 20), cols = (size_t)whole(1, 50);
    array *x = floats("x", rows * cols, -1, 1), *y = floats("y", rows * draws * cols, -1, 1);
    BOTH(repeat_rows(P, rows, draws, cols, V(x), V(y)), EXACT);
}
static void test_add_draws(void) {
    size_t rows = (size_t)whole(1, 30), draws = (size_t)whole(1, 20), cols = (size_t)whole(1, 50);
    array *x = floats("x", rows * draws * cols, -1, 1), *y = floats("y", rows * cols, -1, 1);
    BOTH(add_draws(P, rows, draws, cols, V(x), V(y)), EXACT);
}
static void test_scale_rows(void) {
    size_t rows = (size_t)whole(1, 90), cols = (size_t)whole(1, 300);
    array *a = floats("a", rows, 0, 1), *x = floats("x", rows * cols, -1, 1);
    BOTH(scale_rows(P, rows, cols, V(a), V(x)), EXACT);
}
static void test_row_normals(void) {
    size_t rows = (size_t)whole(1, 9), draws = (size_t)whole(1, 90), cols = (size_t)whole(1, 30);
    array *step = step_of(1), *eps = floats("eps", rows * draws * cols, -1, 1);
    BOTH(row_normals(P, V(step), 0x30003, rows, draws, cols, V(eps)), CLOSE);
}
static void test_draw(void) {
    for (int way = 0; way < 3; way++) {
        size_t rows = (size_t)whole(1, 300), latent = (size_t)(way == 2 ? whole(250, 600) : whole(1, 40));
        array *x = posterior(rows, latent), *eps = floats("eps", rows * latent, -2, 2);
        array *z = floats("z", rows * latent, -1, 1), *drawn = floats("drawn", rows, 0, 1);
        array *kl = floats("kl", rows, 0, 1);
        BOTH(draw(P, rows, latent, way != 1, V(x), V(eps), V(z), V(drawn), V(kl)), CLOSE);
    }
}
static void test_draw_gradient(void) {
    for (int way = 0; way < 8; way++) {
        dn_draw_gradient of = {.scale = 0.4f, .normal_prior = way & 1, .doubly = way / 2 & 1};
        size_t rows = (size_t)whole(1, 300), latent = (size_t)(way == 7 ? whole(250, 600) : whole(1, 40));
        array *x = posterior(rows, latent), *eps = floats("eps", rows * latent, -2, 2);
        array *z = floats("z", rows * latent, -1, 1), *dz = floats("dz", rows * latent, -1, 1);
        array *dx = floats("dx", rows * 2 * latent, -1, 1), *weight = floats("weight", rows, 0, 1);
        array *share = floats("share", rows, 0, 1);
        BOTH(draw_gradient(P, &of, rows, latent, way < 4 ? V(weight) : NULL, way < 4 ? V(share) : NULL, V(x), V(eps),
                           V(z), V(dz), V(dx)),
             CLOSE);
    }
}
static void test_importance(void) {
    for (int weighted = 0; weighted < 2; weighted++) {
        size_t rows = (size_t)whole(1, 3000), draws = (size_t)whole(1, 60);
        array *loss = floats("loss", rows * draws, 90, 110), *share = floats("share", rows * draws, 0, 1);
        array *sum = sum_of(), *of_rows = floats("of_rows", rows, 0, 3);
        BOTH(importance(P, rows, draws, weighted ? V(of_rows) : NULL, V(loss), V(share), V(sum)), CLOSE);
    }
}
static void test_mixture_kl(void) {
    for (int way = 0; way < 6; way++) {
        int given = way % 2, by_row = way / 2 == 1;
        size_t rows = (size_t)whole(1, 200), latent = (size_t)(way > 3 ? whole(250, 600) : whole(1, 40));
        dn_mixture_shape shape = {rows, latent, (size_t)(way == 2 ? 1 : whole(2, 9))};
        mixture m = mixture_arrays(&shape);
        array *sums = sums_of(2), *kl = floats("kl", rows, -1, 1);
        m.work->unseen = 1;
        BOTH(mixture_kl(P, &shape, V(m.means), V(m.log_variances), V(m.logits), V(m.weight), V(m.x),
                        given ? V(m.eps) : NULL, V(m.z), way == 3 ? NULL : V(sums), by_row ? V(kl) : NULL, V(m.work)),
             CLOSE);
    }
}
static void test_mixture_kl_gradient(void) {
    for (int way = 0; way < 4; way++) {
        size_t latent = (size_t)whole(1, 40), components = (size_t)(way == 2 ? 1 : whole(2, 9));
        dn_mixture_shape shape = {(size_t)whole(1, 200), latent, components};
        mixture m = mixture_arrays(&shape);
        array *dz = floats("dz", shape.rows * latent, -1, 1), *dx = floats("dx", shape.rows * 2 * latent, -1, 1);
        array *by_mean = floats("d_means", components * latent, -1, 1),
              *by_logit = floats("d_logits", components, -1, 1);
        array *by_b = floats("d_log_variances", components * latent, -1, 1);
        array *row_weight = floats("row_weight", shape.rows, 0, 2), *by_z = floats("by_z", shape.rows * latent, -1, 1);
        double sums[2] = {0};
        cpu->mixture_kl(cpu_pool, &shape, (float *)m.means->start, (float *)m.log_variances->start,
                        (float *)m.logits->start, (float *)m.weight->start, (float *)m.x->start, (float *)m.eps->start,
                        (float *)m.z->start, sums, NULL, (double *)m.work->start);
        BOTH(mixture_kl_gradient(P, &shape, V(m.means), V(m.log_variances), 0.4, V(m.weight),
                                 way % 2 ? V(row_weight) : NULL, V(m.x), V(m.eps), V(m.z), V(dz), V(m.work),
                                 way == 3 ? NULL : V(dx), way == 3 ? V(by_z) : NULL, V(by_mean), V(by_b), V(by_logit)),
             CLOSE);
    }
}
static void test_loss(void) {
    for (int kind = 0; kind < DN_LOSS_CATEGORICAL; kind++) {
        dn_likelihood of = likelihood_of((dn_loss)kind);
        size_t n = length();
        array *x = floats("x", n, -3, 3), *truth = floats("truth", n, 0, 1), *error = floats("error", n, 0, 1);
        array *gradient = floats("gradient", n, 0, 1), *sum = sum_of();
        truths_of((dn_loss)kind, truth);
        BOTH(loss(P, &of, n, V(x), V(truth), V(error), V(gradient), V(sum)), CLOSE);
    }
}
static array *wide_floats(const char *name, size_t n, int far) {
    array *a = floats(name, n, -3, 3);
    for (size_t i = 0; far && i < a->n; i += 13) ((float *)a->start)[i] *= 12; /* beyond the bounds */
    return a;
}
/* One with a step beyond its columns, and without some of its pointers. */
/* Where the logits of columns with different numbers of classes begin. */
static array *starts_of(dn_head *h, int most) {
    array *a = make("starts", INTS, h->columns + 1);
    int *starts = (int *)a->start;
    h->logits = 0, h->classes = 0;
    for (size_t c = 0; c < h->columns; c++) {
        int n = whole(2, most);
        starts[c] = (int)h->logits, h->logits += (size_t)n;
        if ((size_t)n > h->classes) h->classes = (size_t)n;
    }
    starts[h->columns] = (int)h->logits;
    return a;
}
static void likelihood_case(dn_head h, array *starts, int without) {
    size_t values = starts ? h.logits : h.columns * (h.classes ? h.classes : h.spread == DN_SPREAD_VALUE ? 2 : 1);
    size_t spreads = h.spread == DN_SPREAD_ONE ? 1 : h.spread == DN_SPREAD_COLUMN ? h.columns : 0;
    h.x_step = values + (size_t)whole(0, 5), h.truth_step = h.columns + (size_t)whole(0, 5);
    array *x = wide_floats("x", h.rows * h.x_step, without & 1), *truth = floats("truth", h.rows * h.truth_step, 0, 1);
    array *spread = floats("spread", spreads, -2, 2), *weight = floats("row_weight", h.rows, 0, 2);
    array *loss = floats("loss", h.rows, 0, 1), *gradient = floats("gradient", h.rows * h.x_step, 0, 1);
    array *by_spread = floats("spread_gradient", spreads, 0, 1);
    float *t = (float *)truth->start;
    if (h.likelihood.kind != DN_LOSS_CATEGORICAL)
        truths_of(h.likelihood.kind, truth);
    else
        for (size_t i = 0; i < truth->n; i++)
            t[i] = i % 17 == 3 ? NAN : h.classes ? (float)whole(0, (int)h.classes - 1) : i % 5 ? 0 : 1;
    for (size_t r = 0; starts && r < h.rows; r++) /* one code that a column does not have stays: both give NaN */
        for (size_t c = r == 0; c < h.columns; c++)
            t[r * h.truth_step + c] = (float)whole(0, ((int *)starts->start)[c + 1] - ((int *)starts->start)[c] - 1);
    BOTH(likelihood(P, (h.starts = starts ? V(starts) : NULL, &h), V(x), V(truth), spreads ? V(spread) : NULL,
                    without & 1 ? NULL : V(weight), without & 2 ? NULL : V(loss), without & 4 ? NULL : V(gradient),
                    spreads && !(without & 8) ? V(by_spread) : NULL),
         spreads ? 10 * CLOSE : CLOSE); /* by_spread is a sum over all rows, whose large terms cancel */
}
static void test_likelihood(void) {
    for (int kind = DN_LOSS_BERNOULLI; kind < DN_LOSS_CATEGORICAL; kind++)
        for (int spread = DN_SPREAD_FIXED; spread <= DN_SPREAD_VALUE; spread++) {
            if (spread != DN_SPREAD_FIXED && (kind == DN_LOSS_BERNOULLI || kind == DN_LOSS_POISSON)) continue;
            dn_head h = {.likelihood = likelihood_of((dn_loss)kind), .spread = (dn_spread)spread};
            h.rows = (size_t)whole(1, 70), h.columns = (size_t)whole(1, 40);
            likelihood_case(h, NULL, 0);
            h.rows = (size_t)whole(1, 300), h.columns = (size_t)whole(1, 400);
            likelihood_case(h, NULL, whole(0, 15));
        }
    for (int codes = 0; codes < 2; codes++)
        for (int large = 0; large < 2; large++) {
            size_t n = (size_t)whole(1, large ? 300 : 9), groups = (size_t)whole(1, 20);
            dn_head h = {.likelihood = {DN_LOSS_CATEGORICAL, {0}}, .rows = (size_t)whole(1, 40), .columns = groups};
            h.classes = n;
            if (!codes) h.columns = groups * n, h.classes = 0, h.groups = groups;
            likelihood_case(h, NULL, large ? whole(0, 7) : 0);
            if (!codes) continue;
            h.rows = (size_t)whole(1, 100);
            array *starts = starts_of(&h, large ? 90 : 6);
            likelihood_case(h, starts, large ? whole(0, 7) : 0);
        }
}
static void test_optimal_spread(void) {
    for (int large = 0; large < 2; large++)
        for (int known = 0; known < 2; known++) {
            dn_head h = {.likelihood = {DN_LOSS_GAUSSIAN, {1, 0}}, .rows = (size_t)whole(1, large ? 400 : 3)};
            h.columns = (size_t)whole(1, large ? 300 : 3);
            h.x_step = h.columns + (size_t)whole(0, 3), h.truth_step = h.columns + (size_t)whole(0, 3);
            array *x = floats("x", h.rows * h.x_step, -3, 3), *truth = floats("truth", h.rows * h.truth_step, -1, 1);
            array *spread = floats("spread", 1, 0, 1), *running = floats("running", 1, -2, 2);
            array *passes = floats("passes", 1, 0, 0), *of_rows = floats("of_rows", h.rows, 0, 3);
            *(float *)passes->start = (float)whole(0, 200);
            for (size_t i = 0; i < truth->n; i += known ? 7 : 1) ((float *)truth->start)[i] = NAN;
            BOTH(optimal_spread(P, &h, large ? V(of_rows) : NULL, V(x), V(truth), V(spread), V(running), V(passes)),
                 CLOSE);
        }
}
static void test_likelihood_mean(void) {
    for (int kind = DN_LOSS_BERNOULLI; kind < DN_LOSS_COUNT; kind++)
        for (int codes = 0; codes < 2; codes++) {
            dn_head h = {.likelihood = likelihood_of((dn_loss)kind), .rows = (size_t)whole(1, 70)};
            h.groups = (size_t)whole(1, 12), h.columns = h.groups * (size_t)whole(1, 40);
            if (kind == DN_LOSS_CATEGORICAL && codes) h.classes = (size_t)whole(1, 40);
            h.x_step = h.columns * (h.classes ? h.classes : 1) + 3;
            size_t out_step = h.columns + (size_t)whole(0, 4);
            array *x = wide_floats("x", h.rows * h.x_step, codes), *out = floats("out", h.rows * out_step, 0, 1);
            BOTH(likelihood_mean(P, &h, V(x), out_step, V(out)), CLOSE);
        }
    dn_head h = {
        .likelihood = {DN_LOSS_CATEGORICAL, {0}}, .rows = (size_t)whole(1, 70), .columns = (size_t)whole(1, 30)};
    array *starts = starts_of(&h, 50);
    h.x_step = h.logits + (size_t)whole(0, 4);
    array *x = floats("x", h.rows * h.x_step, -3, 3), *out = floats("out", h.rows * h.columns, 0, 1);
    BOTH(likelihood_mean(P, (h.starts = V(starts), &h), V(x), h.columns, V(out)), EXACT);
}
static void test_mask(void) {
    size_t n = length();
    array *truth = floats("truth", n, 0, 1), *x = floats("x", n, 0, 1);
    for (size_t i = 0; i < n; i += 5) ((float *)truth->start)[i] = DN_MASKED;
    BOTH(mask(P, n, V(truth), V(x)), EXACT);
}
static void test_update(void) {
    for (int way = 0; way < 8; way++) {
        dn_optimizer o = {(dn_rule)(way / 2), 0.9f, 1e-4f, 0.9, 0.999};
        size_t n = length();
        array *step = step_of(4), *w = floats("w", n, -1, 1), *m = floats("m", n, -1, 1), *v = floats("v", n, 0.1f, 1);
        array *g = floats("g", n, -1, 1);
        if (way % 2) ((dn_step *)step->start)->clip = 1;
        BOTH(update(P, &o, V(step), n, 0.5f, 0.01f, V(w), V(m), V(v), V(g)), CLOSE);
    }
}
static void test_clip(void) {
    for (int way = 0; way < 4; way++) { /* also of nothing, and without any effect */
        size_t n = way == 3 ? 0 : length();
        array *step = step_of(4), *g = floats("g", n, -1, 1), *factor = floats("factor", 1, 5, 6);
        BOTH(clip(P, V(step), way == 2 ? 1e9f : 0.01f, n, V(g), V(factor)), CLOSE);
    }
}
static void test_average(void) {
    for (int whole_share = 0; whole_share < 2; whole_share++) {
        size_t n = length();
        array *step = step_of(4), *x = floats("x", n, -1, 1), *average = floats("average", n, -1, 1);
        if (whole_share) ((dn_step *)step->start)->share = 1, ((float *)average->start)[0] = NAN;
        BOTH(average(P, V(step), n, V(x), V(average)), CLOSE);
    }
}

static dn_shortcut_shape shortcut_of(void) {
    dn_shortcut_shape s = {(size_t)whole(1, 4), whole(1, 5), whole(2, 8), whole(2, 8), whole(1, 5), 0, 0, 1, 1};
    int way = whole(0, 2), factor = whole(1, 3);
    s.h2 = way == 1 ? s.h1 * factor : s.h1, s.w2 = way == 1 ? s.w1 * factor : s.w1;
    if (way == 2) s.h1 *= factor, s.w1 *= factor;
    s.stride = way == 2 ? factor : 1, s.sample = way == 1 ? factor : 1;
    return s;
}
static void test_shortcut_forward(void) {
    dn_shortcut_shape s = shortcut_of();
    array *source = floats("source", s.rows * (size_t)(s.c1 * s.h1 * s.w1), -1, 1);
    array *y = floats("y", s.rows * (size_t)(s.c2 * s.h2 * s.w2), -1, 1);
    BOTH(shortcut_forward(P, &s, 0.4f, 1.5f, V(source), V(y)), EXACT);
}
static void test_shortcut_backward(void) {
    for (int passes = 0; passes < 2; passes++) {
        dn_shortcut_shape s = shortcut_of();
        size_t n = s.rows * (size_t)(s.c2 * s.h2 * s.w2);
        array *dy = floats("dy", n, -1, 1), *dx = floats("dx", n, -1, 1);
        array *dsource = floats("dsource", s.rows * (size_t)(s.c1 * s.h1 * s.w1), -1, 1);
        BOTH(shortcut_backward(P, &s, 0.4f, 1.5f, V(dy), passes ? V(dx) : NULL, V(dsource)), CLOSE);
    }
}
static void test_binarize(void) {
    for (int mean = 0; mean < 2; mean++) {
        size_t rows = (size_t)whole(1, 20), n = (size_t)whole(1, 600);
        array *x = floats("x", rows * n, -1, 1), *y = floats("y", rows * n, -1, 1);
        BOTH(binarize(P, rows, n, mean, V(x), V(y)), CLOSE);
    }
}
static void test_avgpool_forward(void) {
    size_t maps = (size_t)whole(1, 40), spatial = (size_t)whole(1, 500);
    array *x = floats("x", maps * spatial, -1, 1), *y = floats("y", maps, -1, 1);
    BOTH(avgpool_forward(P, maps, spatial, V(x), V(y)), CLOSE);
}
static void test_avgpool_backward(void) {
    size_t maps = (size_t)whole(1, 40), spatial = (size_t)whole(1, 500);
    array *dx = floats("dx", maps * spatial, -1, 1), *dy = floats("dy", maps, -1, 1);
    BOTH(avgpool_backward(P, maps, spatial, V(dy), V(dx)), EXACT);
}
static void test_gather(void) {
    size_t rows = (size_t)whole(1, 9), in = (size_t)whole(1, 300), out = (size_t)whole(1, 300);
    array *index = ints("index", out, (int)in, 0), *x = floats("x", rows * in, -1, 1),
          *y = floats("y", rows * out, -1, 1);
    BOTH(gather(P, rows, in, out, V(index), 0.5f, 2, V(x), V(y)), EXACT);
}
static void test_expand(void) {
    for (int large = 0; large < 2; large++) {
        size_t rows = (size_t)whole(1, large ? 300 : 3), in = (size_t)whole(1, 40);
        size_t out = (size_t)whole(1, large ? 900 : 9);
        array *column = make("column", INTS, out), *as = make("as", INTS, out), *x = floats("x", rows * in, 0, 1);
        array *y = floats("y", rows * out, 0, 1);
        for (size_t i = 0; i < out; i++)
            ((int *)column->start)[i] = whole(0, (int)in - 1), ((int *)as->start)[i] = whole(DN_EXPAND_SIGN, 5);
        for (size_t i = 0; i < x->n; i++) ((float *)x->start)[i] = i % 5 == 3 ? NAN : (float)whole(0, 6);
        BOTH(expand(P, rows, in, out, V(column), V(as), V(x), V(y)), EXACT);
    }
}
static void test_scatter_add(void) {
    size_t rows = (size_t)whole(1, 9), out = (size_t)whole(1, 300), in = out + (size_t)whole(0, 50);
    array *index = ints("index", out, (int)in, 1), *dx = floats("dx", rows * in, -1, 1),
          *dy = floats("dy", rows * out, -1, 1);
    BOTH(scatter_add(P, rows, in, out, V(index), 0.5f, V(dy), V(dx)), EXACT);
}

/* Groups side by side, or one per pixel along the channels. */
static dn_softmax_shape soft_of(size_t *size) {
    size_t rows = (size_t)whole(1, 9), groups = (size_t)whole(1, 6),
           n = (size_t)(whole(0, 1) ? whole(1, 9) : whole(60, 300));
    *size = rows * groups * n;
    if (whole(0, 1)) return (dn_softmax_shape){rows, groups * n, groups, n, n, 1};
    return (dn_softmax_shape){rows, groups * n, groups, 1, n, groups};
}
static void test_softmax(void) {
    size_t size;
    dn_softmax_shape s = soft_of(&size);
    array *x = floats("x", size, -5, 5), *y = floats("y", size, 0, 1);
    BOTH(softmax(P, &s, 1.7f, V(x), V(y)), CLOSE);
}
static void test_softmax_gradient(void) {
    size_t size;
    dn_softmax_shape s = soft_of(&size);
    array *y = floats("y", size, 0, 1), *dy = floats("dy", size, -1, 1), *dx = floats("dx", size, -1, 1);
    BOTH(softmax_gradient(P, &s, 1.7f, V(y), V(dy), V(dx)), CLOSE);
}
static void test_softmax_loss(void) {
    size_t size;
    dn_softmax_shape s = soft_of(&size);
    array *y = floats("y", size, 0, 1), *truth = floats("truth", size, 0, 1), *error = floats("error", size, -1, 1);
    array *gradient = floats("gradient", size, -1, 1), *sum = sum_of();
    for (size_t i = 0; i < size; i += 7) ((float *)truth->start)[i] = i % 4 == 0 ? DN_MASKED : 0;
    ((float *)y->start)[size / 2] = 0;
    BOTH(softmax_loss(P, &s, 1.7f, V(y), V(truth), V(error), V(gradient), V(sum)), CLOSE);
}
static void test_l2norm_forward(void) {
    size_t rows = (size_t)whole(1, 9), c = (size_t)whole(1, 60), spatial = (size_t)whole(1, 20);
    array *x = floats("x", rows * c * spatial, -1, 1), *y = floats("y", x->n, -1, 1);
    array *norms = floats("norms", rows * spatial, 0, 1);
    for (size_t i = 0; i < c; i++) ((float *)x->start)[i * spatial] = 0; /* a pixel without direction */
    BOTH(l2norm_forward(P, rows, c, spatial, V(x), V(y), V(norms)), CLOSE);
}
static void test_l2norm_backward(void) {
    size_t rows = (size_t)whole(1, 9), c = (size_t)whole(1, 60), spatial = (size_t)whole(1, 20);
    array *y = floats("y", rows * c * spatial, -1, 1), *norms = floats("norms", rows * spatial, 0.1f, 1);
    array *dy = floats("dy", y->n, -1, 1), *dx = floats("dx", y->n, -1, 1);
    ((float *)norms->start)[0] = 0;
    BOTH(l2norm_backward(P, rows, c, spatial, V(y), V(norms), V(dy), V(dx)), CLOSE);
}
static void test_lrn_forward(void) {
    for (int size = 1; size <= 5; size++) {
        size_t rows = (size_t)whole(1, 5), c = (size_t)whole(1, 12), spatial = (size_t)whole(1, 30);
        array *x = floats("x", rows * c * spatial, -1, 1), *norms = floats("norms", x->n, 0, 1),
              *y = floats("y", x->n, -1, 1);
        BOTH(lrn_forward(P, rows, c, spatial, size, 0.3f, 0.75f, 1, V(x), V(norms), V(y)), CLOSE);
    }
}
static void test_lrn_backward(void) {
    for (int size = 1; size <= 5; size++) {
        size_t rows = (size_t)whole(1, 5), c = (size_t)whole(1, 12), spatial = (size_t)whole(1, 30);
        array *x = floats("x", rows * c * spatial, -1, 1), *norms = floats("norms", x->n, 0.5f, 2),
              *dy = floats("dy", x->n, -1, 1);
        array *dx = floats("dx", x->n, -1, 1);
        BOTH(lrn_backward(P, rows, c, spatial, size, 0.3f, 0.75f, V(x), V(norms), V(dy), V(dx)), CLOSE);
    }
}

/* A step of several operations, recorded and replayed, against doing it as often. */
static void test_recording(void) {
    operation = "recording";
    if (!gpu->record_begin) return;
    array *x = floats("x", 6 * 50, -1, 1), *w = floats("w", 50 * 40, -1, 1), *y = floats("y", 6 * 40, -1, 1),
          *sum = sum_of();
    array *truth = floats("truth", 6 * 40, -1, 1), *error = floats("error", 6 * 40, 0, 1),
          *gradient = floats("g", 6 * 40, 0, 1);
    const dn_likelihood sse = {.kind = DN_LOSS_SSE};
    void *recording = NULL;
    begin();
    for (int time = -1; time < 3; time++) { /* on the device -1 records and 0 to 2 replay */
        on_device = 0;
        for (int side = 0; side < 2; side++, on_device = 1) {
            const dn_ops *ops = side ? gpu : cpu;
            if (side ? time >= 0 : time < 0) continue;
            if (side && gpu->record_begin(gpu_pool) != DN_OK) fail("cannot begin", NULL, 0, 0, 0);
            ops->gemm(P, 0, 0, 6, 40, 50, 1, V(x), 50, V(w), 40, 0, V(y), 40);
            ops->activate(P, DN_TANH, 240, V(y));
            ops->loss(P, &sse, 240, V(y), V(truth), V(error), V(gradient), V(sum));
            ops->gemm(P, 1, 0, 50, 40, 6, -0.01f, V(x), 50, V(gradient), 40, 1, V(w), 40);
            ops->copy(P, 240, V(gradient), V(x));
            if (side && gpu->record_end(gpu_pool, &recording) != DN_OK) fail("cannot end", NULL, 0, 0, 0);
        }
        if (time >= 0) gpu->replay(gpu_pool, recording);
    }
    fetch(0);
    fetch(1);
    gpu->record_free(gpu_pool, recording);
    compare(1e-4);
}

int main(int argc, char **argv) {
    int index, rounds = 4;
    if (argc < 2) return 2;
    scale = argc > 2 ? atoi(argv[2]) : 1;
    exact = dn_cpu_ops, exact.gemm = exact_gemm;
    state = (argc > 3 ? strtoull(argv[3], NULL, 10) : 1) * 0x9E3779B97F4A7C15u + 1;
    if (dn_backend_find(argv[1], 0, &gpu, &index) != DN_OK || dn_pool_create(&cpu_pool, 1) != DN_OK ||
        dn_pool_create(&gpu_pool, 1) != DN_OK || (gpu->open && gpu->open(gpu_pool, index, DN_FLOAT32) != DN_OK)) {
        printf("%s\n", dn_error());
        return 1;
    }
    const char *plugin = getenv("DARKNET_CUDA_PLUGIN");
    void *library = plugin ? dlopen(plugin, RTLD_NOW | RTLD_NOLOAD) : NULL;
    if (library) *(void **)&refuse = dlsym(library, "emulated_refuse");
    int n = 0;
    for (int round = 0; round < rounds; round++) {
        n = 0;
        /* Dense layers are compared by tests/test_fused.py, which knows what they stand for. */
#define PARITY_REQUIRED 1
#define PARITY_CONV 1
#define PARITY_LOCAL 1
#define PARITY_LSTM 1
#define PARITY_BIAS_ACTIVATE 1
#define PARITY_DENSE 0
#define DN_OP(group, name, parameters, arguments) DN_WHEN(PARITY_##group, operation = #name; test_##name(); n++;)
#define DN_QUERY(group, type, name, parameters, arguments)
#include "backend/backend_ops.h"
        test_recording();
    }
    if (gpu->close) gpu->close(gpu_pool);
    dn_pool_destroy(gpu_pool);
    dn_pool_destroy(cpu_pool);
    printf("%s: %d operations, %d comparisons, %d launches refused, %d failures\n", argv[1], n, comparisons, refusals,
           failures);
    return failures != 0;
}

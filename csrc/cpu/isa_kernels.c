/* Kernels over vectors, compiled once per instruction set with -DDN_ISA=base, avx2, avx512. The formulas are in
 * docs/numerics.md; tests/c/test_kernels.c has them in plain double precision. */
#include "cpu/cpu_likelihood.h"
#include "cpu/isa_sums.h"
#include "net/latent.h"
#include <math.h>

/* ---- plain vectors: the compiler vectorises these ---- */

static void scale(size_t n, float a, float *x) {
    for (size_t i = 0; i < n; i++) x[i] *= a;
}
static void axpy(size_t n, float a, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}
static void add_up(size_t n, const float *x, const float *y, float *restrict z) {
    for (size_t i = 0; i < n; i++) z[i] = x[i] + y[i];
}
static void mul_add(size_t n, float a, const float *x, const float *y, float *restrict z) {
    for (size_t i = 0; i < n; i++) z[i] += a * x[i] * y[i];
}
static void shift(size_t n, float a, float *x) {
    for (size_t i = 0; i < n; i++) x[i] += a;
}
static void approach(size_t n, float a, const float *restrict x, float *restrict y) {
    for (size_t i = 0; i < n; i++) y[i] += a * (x[i] - y[i]);
}
static double sum(size_t n, const float *x) {
    dvec s = {{0}, {0}};
    EACH_VECTOR(i, n, left) add(&s, widen(load_n(x + i, left)));
    return lanes(&s);
}

static double sum_squares(size_t n, const float *x) {
    dvec s = {{0}, {0}};
    EACH_VECTOR(i, n, left) {
        dvec v = widen(load_n(x + i, left));
        add_product(&s, v, v);
    }
    return lanes(&s);
}

/* to[c] += sum over rows of x[r][c]; several vectors of columns at a time, so that what is read of a row is together.
 */
static void column_sums(size_t rows, size_t cols, size_t ld, const float *x, float *to) {
    enum { TOGETHER = 4 };
    size_t from = 0;
    for (; from + TOGETHER * VL <= cols; from += TOGETHER * VL) {
        dvec s[TOGETHER];
        UNROLL for (int j = 0; j < TOGETHER; j++) s[j] = (dvec){{0}, {0}};
        for (size_t r = 0; r < rows; r++)
            UNROLL for (int j = 0; j < TOGETHER; j++) add(&s[j], widen(load(x + r * ld + from + j * VL)));
        UNROLL for (int j = 0; j < TOGETHER; j++) {
            float *at = to + from + j * VL;
            store(at, load(at) + narrow(s[j]));
        }
    }
    x += from, to += from;
    EACH_VECTOR(c, cols - from, left) {
        dvec s = {{0}, {0}};
        for (size_t r = 0; r < rows; r++) add(&s, widen(load_n(x + r * ld + c, left)));
        store_n(to + c, load_n(to + c, left) + narrow(s), left);
    }
}

/* ---- activations ---- */

INLINE vec activation(const dn_activation a, vec x) {
    const vec zero = {0}, one = splat(1);
    switch (a) {
    case DN_LOGISTIC: return vec_logistic(x);
    case DN_LOGGY: return 2 * vec_logistic(x) - 1;
    case DN_RELU: return choose(x > 0, x, zero);
    case DN_ELU: return choose(x >= 0, x, vec_expm1(x));
    case DN_SELU: return choose(x >= 0, 1.0507f * x, 1.0507f * 1.6732f * vec_expm1(x));
    case DN_RELIE: return choose(x > 0, x, 0.01f * x);
    case DN_RAMP: return choose(x > 0, x, zero) + 0.1f * x;
    case DN_LEAKY: return choose(x > 0, x, 0.1f * x);
    case DN_TANH: return vec_tanh(x);
    case DN_PLSE: return choose(x < -4, 0.01f * (x + 4), choose(x > 4, 0.01f * (x - 4) + 1, 0.125f * x + 0.5f));
    case DN_STAIR: {
        vec n = vec_floor(x), half = vec_floor(0.5f * x);
        return choose(n - 2 * half == 0, half, (x - n) + half);
    }
    case DN_HARDTAN: return choose(x < -1, -one, choose(x > 1, one, x));
    case DN_LHTAN: return choose(x < 0, 0.001f * x, choose(x > 1, 0.001f * (x - 1) + 1, x));
    default: return x;
    }
}

/* act'(x) from y = act(x), as Darknet defines it at the kinks */
INLINE vec slope(const dn_activation a, vec y) {
    const vec zero = {0}, one = splat(1);
    switch (a) {
    case DN_LOGISTIC: return y * (1 - y);
    case DN_LOGGY: {
        vec p = (y + 1) * 0.5f;
        return 2 * p * (1 - p);
    }
    case DN_RELU: return choose(y > 0, one, zero);
    case DN_ELU: return choose(y >= 0, one, y + 1);
    case DN_SELU: return choose(y >= 0, splat(1.0507f), y + 1.0507f * 1.6732f);
    case DN_RELIE: return choose(y > 0, one, splat(0.01f));
    case DN_RAMP: return choose(y > 0, one, zero) + 0.1f;
    case DN_LEAKY: return choose(y > 0, one, splat(0.1f));
    case DN_TANH: return 1 - y * y;
    case DN_PLSE: return choose((y < 0) | (y > 1), splat(0.01f), splat(0.125f));
    case DN_STAIR: return choose(y == vec_floor(y), zero, one);
    case DN_HARDTAN: return choose((y > -1) & (y < 1), one, zero);
    case DN_LHTAN: return choose((y > 0) & (y < 1), one, splat(0.001f));
    default: return one;
    }
}

#define EACH_ACTIVATION(f)                                                                                   \
    f(DN_LOGISTIC) f(DN_LOGGY) f(DN_RELU) f(DN_ELU) f(DN_SELU) f(DN_RELIE) f(DN_RAMP) f(DN_LEAKY) f(DN_TANH) \
        f(DN_PLSE) f(DN_STAIR) f(DN_HARDTAN) f(DN_LHTAN)

static void activate(dn_activation a, size_t n, float *x) {
    switch (a) {
#define CASE(A) \
    case A: EACH_VECTOR(i, n, left) store_n(x + i, activation(A, load_n(x + i, left)), left); break;
        EACH_ACTIVATION(CASE)
#undef CASE
    default: break;
    }
}

/* Of rows that lie one after the other, as many at a time as stay in the nearest cache: few values in a row are less
 * work than a call. */
static void bias_activate(dn_activation a, size_t rows, size_t n, size_t step, const float *b, float *y) {
    enum { NEAR = 4096 };
    size_t together = n == step && n < NEAR ? NEAR / n : 1;
    for (size_t some; rows > 0; rows -= some) {
        float *first = y;
        some = rows < together ? rows : together;
        for (size_t r = 0; r < some; r++, y += step)
            EACH_VECTOR(i, n, left) store_n(y + i, load_n(y + i, left) + load_n(b + i, left), left);
        activate(a, some * n, first);
    }
}

static void activate_gradient(dn_activation a, size_t n, const float *y, float *dy) {
    switch (a) {
#define CASE(A) \
    case A: EACH_VECTOR(i, n, left) store_n(dy + i, load_n(dy + i, left) * slope(A, load_n(y + i, left)), left); break;
        EACH_ACTIVATION(CASE)
#undef CASE
    default: break;
    }
}

/* ---- the gates of an LSTM, side by side: i, f, o, g ---- */

static void lstm(size_t rows, size_t n, size_t outputs, const float *c, float *gates, float *tanh_c, float *next_c,
                 float *next_h, float *y) {
    for (size_t r = 0; r < rows; r++, gates += DN_LSTM_GATES * outputs) {
        float *is = gates, *fs = is + outputs, *os = fs + outputs, *gs = os + outputs;
        EACH_VECTOR(k, n, left) {
            size_t at = r * outputs + k;
            vec i = vec_logistic(load_n(is + k, left)), f = vec_logistic(load_n(fs + k, left));
            vec o = vec_logistic(load_n(os + k, left)), g = vec_tanh(load_n(gs + k, left));
            vec next = f * load_n(c + at, left) + i * g, bounded = vec_tanh(next), h = o * bounded;
            store_n(is + k, i, left), store_n(fs + k, f, left), store_n(os + k, o, left), store_n(gs + k, g, left);
            store_n(next_c + at, next, left), store_n(tanh_c + at, bounded, left);
            store_n(next_h + at, h, left), store_n(y + at, h, left);
        }
    }
}

static void lstm_gradient(size_t rows, size_t n, size_t outputs, const float *dh, const float *c, const float *tanh_c,
                          float *gates, float *dc) {
    for (size_t r = 0; r < rows; r++, gates += DN_LSTM_GATES * outputs) {
        float *is = gates, *fs = is + outputs, *os = fs + outputs, *gs = os + outputs;
        EACH_VECTOR(k, n, left) {
            size_t at = r * outputs + k;
            vec i = load_n(is + k, left), f = load_n(fs + k, left), o = load_n(os + k, left), g = load_n(gs + k, left);
            vec d = load_n(dh + at, left), bounded = load_n(tanh_c + at, left);
            vec next = load_n(dc + at, left) + d * o * slope(DN_TANH, bounded);
            store_n(is + k, next * g * slope(DN_LOGISTIC, i), left);
            store_n(fs + k, next * load_n(c + at, left) * slope(DN_LOGISTIC, f), left);
            store_n(os + k, d * bounded * slope(DN_LOGISTIC, o), left);
            store_n(gs + k, next * i * slope(DN_TANH, g), left);
            store_n(dc + at, next * f, left);
        }
    }
}

/* ---- losses ---- */

INLINE vec loss_one(const dn_likelihood of, vec x, vec t, vec *gradient) {
    vec d = t - x, size = vec_abs(d), zero = {0}, one = splat(1);
    vec sign = choose(d > 0, one, zero) - choose(d < 0, one, zero);
    switch (of.kind) {
    case DN_LOSS_MASKED: *gradient = choose(t == DN_MASKED, zero, -d); return choose(t == DN_MASKED, zero, d * d);
    case DN_LOSS_L1: *gradient = -sign; return size;
    case DN_LOSS_SMOOTH: *gradient = choose(size < 1, -d, -sign); return choose(size < 1, d * d, 2 * size - 1);
    case DN_LOSS_BCE: {
        vec e = vec_exp(-vec_abs(x));
        *gradient = choose(x < 0, e, one) / (e + 1) - t;
        return choose(x > 0, x, zero) - x * t + vec_log1p(e);
    }
    default: *gradient = -d; return d * d;
    }
}

INLINE double loss_of(const dn_likelihood of, size_t n, const float *x, const float *truth, float *error,
                      float *gradient) {
    dvec s = {{0}, {0}};
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        vec g, e = loss_one(of, load(x + i), load(truth + i), &g);
        store(error + i, e), store(gradient + i, g);
        add(&s, widen(e));
    }
    double total = lanes(&s);
    if (i < n) {
        size_t left = n - i;
        vec g, e = loss_one(of, load_n(x + i, left), load_n(truth + i, left), &g);
        store_n(error + i, e, left), store_n(gradient + i, g, left);
        for (; i < n; i++) total += error[i];
    }
    return total;
}

/* The loop for one kind of loss, so that the compiler sees no branch in it. */
#define LOSS_OF(which) \
    case which: return loss_of((dn_likelihood){which, {of->p[0], of->p[1]}}, n, x, truth, error, gradient)

static double loss(const dn_likelihood *of, size_t n, const float *x, const float *truth, float *error,
                   float *gradient) {
    switch (of->kind) {
        LOSS_OF(DN_LOSS_SSE);
        LOSS_OF(DN_LOSS_L1);
        LOSS_OF(DN_LOSS_SMOOTH);
        LOSS_OF(DN_LOSS_BCE);
        LOSS_OF(DN_LOSS_MASKED);
    case DN_LOSS_BERNOULLI:
    case DN_LOSS_GAUSSIAN:
    case DN_LOSS_LAPLACE:
    case DN_LOSS_STUDENT_T:
    case DN_LOSS_POISSON:
    case DN_LOSS_NEGATIVE_BINOMIAL: return CAT(dn_likelihood_kernels, DN_ISA).loss(of, n, x, truth, error, gradient);
    case DN_LOSS_CATEGORICAL:
    case DN_LOSS_COUNT: break;
    }
    return 0;
}

/* y = softmax(x / temperature) of n contiguous values */
static void softmax(size_t n, float temperature, const float *x, float *y) {
    float largest = -__FLT_MAX__;
    vec most = splat(largest);
    size_t whole = n / VL * VL;
    for (size_t i = 0; i < whole; i += VL) most = choose(load(x + i) > most, load(x + i), most);
    for (int i = 0; i < VL; i++) largest = most[i] > largest ? most[i] : largest;
    for (size_t i = whole; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    dvec s = {{0}, {0}};
    double total = 0;
    EACH_VECTOR(i, n, left) {
        vec e = vec_exp((load_n(x + i, left) - largest) / temperature);
        store_n(y + i, e, left);
        if (left >= VL)
            add(&s, widen(e));
        else
            for (size_t k = i; k < n; k++) total += y[k];
    }
    float inverse = (float)(1 / (lanes(&s) + total));
    for (size_t i = 0; i < n; i++) y[i] *= inverse;
}

/* ---- the reparameterisation, on arrays of log-variances, means and noise ---- */

/* z = mu + exp(b/2) eps; the sum of 0.5 (exp(b) - 1 - b + mu^2), b = b(lv) */
static double reparameterise(size_t n, const float *lv, const float *mu, const float *eps, float *z) {
    dvec sums = {{0}, {0}};
    EACH_VECTOR(i, n, left) {
        vec slope, l = log_variance(load_n(lv + i, left), &slope), m = load_n(mu + i, left);
        store_n(z + i, m + vec_exp(0.5f * l) * load_n(eps + i, left), left);
        m = with_sign(at_most(vec_abs(m), DN_KL_MEAN_LIMIT), m);
        vec kl = 0.5f * ((vec_expm1(l) - l) + m * m); /* 0 in lanes beyond n */
        add(&sums, widen(kl));
    }
    return lanes(&sums);
}

/* dlv += (dz eps exp(b/2) / 2 + w (exp(b) - 1) / 2) b'(lv), dmu += dz + w mu */
static void reparameterise_gradient(size_t n, float w, const float *lv, const float *mu, const float *eps,
                                    const float *dz, float *dlv, float *dmu) {
    EACH_VECTOR(i, n, left) {
        vec slope, l = log_variance(load_n(lv + i, left), &slope), d = load_n(dz + i, left);
        vec through_z = d * 0.5f * vec_exp(0.5f * l) * load_n(eps + i, left), through_kl = w * 0.5f * vec_expm1(l);
        store_n(dlv + i, load_n(dlv + i, left) + (through_z + through_kl) * slope, left);
        store_n(dmu + i, load_n(dmu + i, left) + (d + w * load_n(mu + i, left)), left);
    }
}

/* ---- random numbers: Philox blocks side by side; rng.h is the definition ---- */

enum { SIDE = 64 };

/* Blocks first .. first + SIDE - 1; the compiler vectorises over them. */
static void philox(uint64_t seed, uint32_t stream, uint64_t step, uint32_t first, uint32_t c[4][SIDE]) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (uint32_t i = 0; i < SIDE; i++)
        c[0][i] = first + i, c[1][i] = stream, c[2][i] = (uint32_t)step, c[3][i] = (uint32_t)(step >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int i = 0; i < SIDE; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c[0][i], p1 = (uint64_t)0xCD9E8D57u * c[2][i];
            uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1][i] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3][i] ^ k1;
            c[1][i] = (uint32_t)p1, c[3][i] = (uint32_t)p0, c[0][i] = n0, c[2][i] = n2;
        }
}

/* The 24 high bits as a number in [0, 1). */
INLINE vec unit(const uint32_t *bits, float add) {
    ivec b;
    memcpy(&b, bits, sizeof b);
    return (__builtin_convertvector((ivec)((uvec)b >> 8), vec) + add) * (1.0f / 16777216.0f);
}

/* n numbers from block `first` on: uniform in [0, 1), or normal, drawn in pairs (Box and Muller). */
static void random_numbers(int normal, uint64_t seed, uint32_t stream, uint64_t step, uint32_t first, size_t n,
                           float *to) {
    uint32_t bits[4][SIDE] __attribute__((aligned(64)));
    float out[4][SIDE] __attribute__((aligned(64)));
    for (size_t at = 0; at < n; at += 4 * SIDE, first += SIDE) {
        philox(seed, stream, step, first, bits);
        for (int q = 0; q < 4; q += 2)
            for (int i = 0; i < SIDE; i += VL) {
                vec u = unit(bits[q] + i, normal ? 0.5f : 0), v = unit(bits[q + 1] + i, 0);
                if (normal) {
                    vec cosine, sine, radius = vec_sqrt(-2 * vec_log(u));
                    vec_turn(v, &cosine, &sine);
                    u = radius * cosine, v = radius * sine;
                }
                store(out[q] + i, u), store(out[q + 1] + i, v);
            }
        size_t count = n - at < 4 * SIDE ? n - at : 4 * SIDE;
        if (count == 4 * SIDE)
            for (int i = 0; i < SIDE; i++)
                for (int q = 0; q < 4; q++) to[at + (size_t)(4 * i + q)] = out[q][i];
        else
            for (size_t i = 0; i < count; i++) to[at + i] = out[i % 4][i / 4];
    }
}

/* ---- batch normalisation of channels [from, to) of x (rows, channels, spatial); see cpu_norm.c ---- */

/* first[c - from] = sum of (x - m) and second[c - from] = sum of (x - m) (w - m') over rows and places, with m = m' =
 * *centre and w = x (the variance), or m = m' = 0 (the rest) */
static void norm_sums(size_t rows, size_t channels, size_t spatial, size_t from, size_t to, const float *x,
                      const float *w, const double *centre, double *first, double *second) {
    if (spatial == 1) { /* lanes are channels */
        EACH_VECTOR(c, to - from, left) {
            dvec a = {{0}, {0}}, b = {{0}, {0}}, m = {{0}, {0}};
            size_t n = left < VL ? left : VL;
            if (centre) memcpy(&m, centre + c, n * sizeof *centre);
            for (size_t r = 0; r < rows; r++) {
                size_t at = r * channels + from + c;
                dvec d = minus(widen(load_n(x + at, left)), m);
                add(&a, d), add_product(&b, d, minus(widen(load_n(w + at, left)), m));
            }
            memcpy(first + c, &a, n * sizeof *first), memcpy(second + c, &b, n * sizeof *second);
        }
        return;
    }
    for (size_t c = from; c < to; c++) {
        double centre_here = centre ? centre[c - from] : 0, a = 0, b = 0;
        half_dvec zero = {0}, here = centre_here - zero;
        dvec as = {zero, zero}, bs = {zero, zero}, m = {here, here};
        for (size_t r = 0; r < rows; r++) {
            const float *p = x + (r * channels + c) * spatial, *q = w + (r * channels + c) * spatial;
            size_t i = 0;
            for (; i + VL <= spatial; i += VL) {
                dvec d = minus(widen(load(p + i)), m);
                add(&as, d), add_product(&bs, d, minus(widen(load(q + i)), m));
            }
            for (; i < spatial; i++) a += p[i] - centre_here, b += (p[i] - centre_here) * (q[i] - centre_here);
        }
        first[c - from] = lanes(&as) + a, second[c - from] = lanes(&bs) + b;
    }
}

/* xhat = (x - mean) root, y = xhat scale + bias */
static void norm_apply(size_t rows, size_t channels, size_t spatial, size_t from, size_t to, const float *x,
                       const float *mean, const float *root, const float *scales, const float *bias, float *xhat,
                       float *y) {
    size_t n = to - from;
    for (size_t r = 0; r < rows; r++) {
        size_t at = (r * channels + from) * spatial;
        if (spatial == 1)
            for (size_t c = 0; c < n; c++) {
                float h = (x[at + c] - mean[c]) * root[c];
                xhat[at + c] = h, y[at + c] = h * scales[from + c] + bias[from + c];
            }
        else
            for (size_t c = 0; c < n; c++, at += spatial) {
                float m = mean[c], k = root[c], s = scales[from + c], b = bias[from + c];
                for (size_t i = at; i < at + spatial; i++) {
                    float h = (x[i] - m) * k;
                    xhat[i] = h, y[i] = h * s + b;
                }
            }
    }
}

/* dy = a dy + b + d xhat */
static void norm_gradient(size_t rows, size_t channels, size_t spatial, size_t from, size_t to, const float *a,
                          const float *b, const float *d, const float *xhat, float *dy) {
    size_t n = to - from;
    for (size_t r = 0; r < rows; r++) {
        size_t at = (r * channels + from) * spatial;
        if (spatial == 1)
            for (size_t c = 0; c < n; c++) dy[at + c] = a[c] * dy[at + c] + b[c] + d[c] * xhat[at + c];
        else
            for (size_t c = 0; c < n; c++, at += spatial)
                for (size_t i = at; i < at + spatial; i++) dy[i] = a[c] * dy[i] + b[c] + d[c] * xhat[i];
    }
}

/* ---- optimisers: the compiler vectorises these ---- */

static void sgd(size_t n, const dn_update *update, float *restrict w, float *restrict m, const float *restrict g) {
    const dn_update u = *update;
    for (size_t i = 0; i < n; i++) {
        m[i] = u.momentum * m[i] + (g[i] * u.scale + u.l2 * w[i]);
        w[i] -= u.rate * m[i];
    }
}

/* `as_is`: scale and keep are 1, so that the compiler forms no other product with them. */
INLINE void adam_of(size_t n, const dn_update *update, const int as_is, float *restrict w, float *restrict m,
                    float *restrict v, const float *restrict g) {
    const dn_update u = *update;
    float step = u.rate / u.correction1, inverse = 1 / u.correction2; /* one division and one root per value */
    for (size_t i = 0; i < n; i++) {
        float d = as_is ? g[i] + u.l2 * w[i] : g[i] * u.scale + u.l2 * w[i];
        m[i] = u.b1 * m[i] + (1 - u.b1) * d;
        v[i] = u.b2 * v[i] + (1 - u.b2) * d * d;
        w[i] = (as_is ? w[i] : u.keep * w[i]) - step * m[i] / (sqrtf(v[i] * inverse) + u.eps);
    }
}
static void adam(size_t n, const dn_update *u, float *w, float *m, float *v, const float *g) {
    if (u->scale == 1 && u->keep == 1)
        adam_of(n, u, 1, w, m, v, g);
    else
        adam_of(n, u, 0, w, m, v, g);
}

/* ---- for tests ---- */

static void function(int which, size_t n, const float *x, float *y) {
    EACH_VECTOR(i, n, left) {
        vec v = load_n(x + i, left), sine = v, cosine = v;
        if (which == DN_MATH_COS || which == DN_MATH_SIN) vec_turn(v, &cosine, &sine);
        switch (which) {
        case DN_MATH_EXP: v = vec_exp(v); break;
        case DN_MATH_EXPM1: v = vec_expm1(v); break;
        case DN_MATH_LOG: v = vec_log(v); break;
        case DN_MATH_LOG1P: v = vec_log1p(v); break;
        case DN_MATH_TANH: v = vec_tanh(v); break;
        case DN_MATH_LOGISTIC: v = vec_logistic(v); break;
        case DN_MATH_COS: v = cosine; break;
        default: v = sine; break;
        }
        store_n(y + i, v, left);
    }
}

const dn_cpu_kernels CAT(dn_cpu_kernels, DN_ISA) = {
    .name = STR(DN_ISA),
    .scale = scale,
    .axpy = axpy,
    .add = add_up,
    .mul_add = mul_add,
    .shift = shift,
    .approach = approach,
    .sum = sum,
    .sum_squares = sum_squares,
    .column_sums = column_sums,
    .bias_activate = bias_activate,
    .activate = activate,
    .activate_gradient = activate_gradient,
    .loss = loss,
    .softmax = softmax,
    .reparameterise = reparameterise,
    .reparameterise_gradient = reparameterise_gradient,
    .random = random_numbers,
    .norm_sums = norm_sums,
    .norm_apply = norm_apply,
    .norm_gradient = norm_gradient,
    .lstm = lstm,
    .lstm_gradient = lstm_gradient,
    .sgd = sgd,
    .adam = adam,
    .function = function,
};

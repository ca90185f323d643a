/* Small operations, one after the other in one launch.
 *
 * A launch takes longer than the work of an operation on some hundred values. So these wait, as a kind, a number of
 * values and a body, until something else is launched (dn_stream) or the host wants to know; then a single block does
 * them in their order. The bodies are also those of larger ones, which get launches of their own. */
#ifndef DN_CUDA_SMALL_CUH
#define DN_CUDA_SMALL_CUH
#include "base/rng.h"
#include "cuda/cuda_common.cuh"
#include "net/latent.h"

struct fill_body {
    static constexpr dn_small_kind kind = DN_SMALL_FILL;
    float value, *x;
    __device__ void operator()(size_t i) const { x[i] = value; }
};

/* Rows from matrix to matrix: copied or added. */
template <bool ADD> struct rows_body {
    static constexpr dn_small_kind kind = ADD ? DN_SMALL_ADD_ROWS : DN_SMALL_COPY_ROWS;
    dn_split by_cols;
    const float *x;
    size_t ldx;
    float *y;
    size_t ldy;
    __device__ void operator()(size_t i) const {
        size_t c, r = by_cols.of(i, &c);
        float *to = y + r * ldy + c;
        *to = ADD ? *to + x[r * ldx + c] : x[r * ldx + c];
    }
};

struct step_body {
    static constexpr dn_small_kind kind = DN_SMALL_SET_STEP;
    dn_step *to, step;
    __device__ void operator()(size_t) const { *to = step; }
};

struct gather_body {
    static constexpr dn_small_kind kind = DN_SMALL_GATHER_ROWS;
    const dn_step *step;
    dn_split by_cols;
    size_t cols;
    const float *data;
    const uint32_t *order;
    float *to;
    __device__ void operator()(size_t i) const {
        size_t c, r = by_cols.of(i, &c);
        to[i] = data[(size_t)order[step->at + r] * cols + c];
    }
};

/* Four numbers of one Philox block a time. */
struct normals_body {
    static constexpr dn_small_kind kind = DN_SMALL_NORMALS;
    const dn_step *step;
    uint32_t number;
    size_t n;
    float *eps;
    __device__ void operator()(size_t block) const {
        float four[4];
        dn_normal4(step->seed, number, step->pass, (uint32_t)block, four);
        for (size_t k = 0; k < 4 && 4 * block + k < n; k++) eps[4 * block + k] = four[k];
    }
};

/* Returns the KL, of which `to` gets the sum. */
struct reparameterise_body {
    static constexpr dn_small_kind kind = DN_SMALL_REPARAMETERISE;
    dn_split by_latent;
    size_t latent;
    const float *x, *eps;
    float *z;
    dn_sum_to to;
    __device__ double operator()(size_t i) const {
        size_t c, r = by_latent.of(i, &c), at = r * 2 * latent + c;
        float lv = x[at], mu = x[at + latent], e = eps ? eps[i] : 0;
        z[i] = mu + expf(0.5f * dn_log_variance(lv)) * e;
        return dn_latent_kl(lv, mu);
    }
};

struct reparameterise_gradient_body {
    static constexpr dn_small_kind kind = DN_SMALL_REPARAMETERISE_GRADIENT;
    dn_split by_latent;
    size_t latent;
    double scale;
    const float *weight, *x, *eps, *dz;
    float *dx;
    __device__ void operator()(size_t i) const {
        float kl_weight = (float)(scale * *weight);
        size_t c, r = by_latent.of(i, &c), at = r * 2 * latent + c;
        float lv = x[at], mu = x[at + latent], d = dz[i], e = eps ? eps[i] : 0, b = dn_log_variance(lv);
        float through_z = d * 0.5f * expf(0.5f * b) * e, through_kl = kl_weight * 0.5f * expm1f(b);
        dx[at] += (through_z + through_kl) * dn_log_variance_slope(lv);
        dx[at + latent] += d + kl_weight * mu;
    }
};

/* Can this be done later? It then is in the list. */
template <class Body> bool dn_small_take(const dn_cuda_place *on, size_t n, const Body &body) {
    static_assert(sizeof(Body) <= sizeof on->small->list.op->body, "a larger body needs more room in dn_small_op");
    if (!on->small || n > DN_SMALL_VALUES) return false;
    if (on->small->list.n == DN_SMALL_OPS) dn_cuda_flush(on);
    dn_small_op *op = &on->small->list.op[on->small->list.n++];
    op->kind = Body::kind, op->n = (int)n;
    memcpy(op->body, &body, sizeof body);
    return true;
}

/* dn_each for these bodies */
template <class Body> cudaError_t dn_each_or_later(const dn_cuda_place *on, size_t n, const Body &body) {
    return !n || dn_small_take(on, n, body) ? cudaSuccess : dn_each(on, n, body);
}
#endif

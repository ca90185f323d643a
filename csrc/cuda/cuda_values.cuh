/* The formulas of single values: activations, losses, an optimiser's step. */
#ifndef DN_CUDA_VALUES_CUH
#define DN_CUDA_VALUES_CUH
#include "cuda/cuda_common.cuh"
#include "net/likelihood.h"

static inline __device__ float dn_logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

static inline __device__ float dn_activate_one(dn_activation a, float x) {
    switch (a) {
    case DN_LINEAR: return x;
    case DN_LOGISTIC: return dn_logistic(x);
    case DN_LOGGY: return 2 * dn_logistic(x) - 1;
    case DN_RELU: return x > 0 ? x : 0;
    case DN_ELU: return x >= 0 ? x : expm1f(x);
    case DN_SELU: return x >= 0 ? 1.0507f * x : 1.0507f * 1.6732f * expm1f(x);
    case DN_RELIE: return x > 0 ? x : 0.01f * x;
    case DN_RAMP: return x > 0 ? x + 0.1f * x : 0.1f * x;
    case DN_LEAKY: return x > 0 ? x : 0.1f * x;
    case DN_TANH: return tanhf(x);
    case DN_PLSE: return x < -4 ? 0.01f * (x + 4) : x > 4 ? 0.01f * (x - 4) + 1 : 0.125f * x + 0.5f;
    case DN_STAIR: {
        float n = floorf(x), half = floorf(x / 2);
        return fmodf(n, 2) == 0 ? half : (x - n) + half;
    }
    case DN_HARDTAN: return x < -1 ? -1 : x > 1 ? 1 : x;
    case DN_LHTAN: return x < 0 ? 0.001f * x : x > 1 ? 0.001f * (x - 1) + 1 : x;
    case DN_ACTIVATION_COUNT: break;
    }
    return x;
}

/* act'(x) from y = act(x), as Darknet defines it at the kinks */
static inline __device__ float dn_gradient_one(dn_activation a, float y) {
    switch (a) {
    case DN_LINEAR: return 1;
    case DN_LOGISTIC: return y * (1 - y);
    case DN_LOGGY: {
        float p = (y + 1) / 2;
        return 2 * p * (1 - p);
    }
    case DN_RELU: return y > 0;
    case DN_ELU: return y >= 0 ? 1 : y + 1;
    case DN_SELU: return y >= 0 ? 1.0507f : y + 1.0507f * 1.6732f;
    case DN_RELIE: return y > 0 ? 1 : 0.01f;
    case DN_RAMP: return (y > 0) + 0.1f;
    case DN_LEAKY: return y > 0 ? 1 : 0.1f;
    case DN_TANH: return 1 - y * y;
    case DN_PLSE: return y < 0 || y > 1 ? 0.01f : 0.125f;
    case DN_STAIR: return y == floorf(y) ? 0 : 1;
    case DN_HARDTAN: return y > -1 && y < 1;
    case DN_LHTAN: return y > 0 && y < 1 ? 1 : 0.001f;
    case DN_ACTIVATION_COUNT: break;
    }
    return 1;
}

/* sets error and gradient; returns the error again, to be summed */
static inline __device__ double dn_loss_one(const dn_likelihood_terms &of, float x, float t, float *error,
                                            float *gradient) {
    float d = t - x, sign = (float)((d > 0) - (d < 0));
    switch (of.kind) {
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
    default: {
        dn_value_loss v = dn_likelihood_value(&of, of.scale, x, t);
        *error = v.error, *gradient = v.gradient;
    }
    }
    return (double)*error;
}

/* One optimiser step; the formulas are in docs/numerics.md, "Update". */
struct dn_updater {
    dn_optimizer o;
    const dn_step *step;
    float factor, decay;
    float *w, *m, *v;
    /* The parameter after `before`, with gradient g, and its moments: of SGD only the first. */
    __device__ float next(const dn_step &now, float before, float g, float *m_one, float *v_one) const {
        if (now.clip != 1) g *= now.clip;
        if (o.rule == DN_SGD) {
            *m_one = o.momentum * *m_one + (g / now.rows + decay * before);
            return before - now.rate * factor * *m_one;
        }
        float b1 = (float)o.b1, b2 = (float)o.b2, kept = before, d;
        if (o.rule == DN_ADAM_OF_SUM)
            d = g + decay * now.rows * before;
        else if (o.rule == DN_ADAM)
            d = g / now.rows + decay * before;
        else
            d = g / now.rows, kept = (1 - now.rate * factor * decay) * before;
        *m_one = b1 * *m_one + (1 - b1) * d;
        *v_one = b2 * *v_one + (1 - b2) * d * d;
        return kept - now.rate * factor * (*m_one / now.correction1) / (sqrtf(*v_one / now.correction2) + o.eps);
    }
    __device__ void at(size_t i, float g) const {
        float first = m[i], second = o.rule == DN_SGD ? 0 : v[i];
        w[i] = next(*step, w[i], g, &first, &second);
        m[i] = first;
        if (o.rule != DN_SGD) v[i] = second;
    }
};
#endif

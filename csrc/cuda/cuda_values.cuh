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
    __device__ void at(size_t i, float g) const {
        float before = w[i];
        if (step->clip != 1) g *= step->clip;
        if (o.rule == DN_SGD) {
            float moved = m[i] = o.momentum * m[i] + (g / step->rows + decay * before);
            w[i] = before - step->rate * factor * moved;
        } else {
            float b1 = (float)o.b1, b2 = (float)o.b2, kept = before, d;
            if (o.rule == DN_ADAM_OF_SUM)
                d = g + decay * step->rows * before;
            else if (o.rule == DN_ADAM)
                d = g / step->rows + decay * before;
            else
                d = g / step->rows, kept = (1 - step->rate * factor * decay) * before;
            float first = m[i] = b1 * m[i] + (1 - b1) * d;
            float second = v[i] = b2 * v[i] + (1 - b2) * d * d;
            w[i] =
                kept - step->rate * factor * (first / step->correction1) / (sqrtf(second / step->correction2) + o.eps);
        }
    }
};
#endif

/* Likelihoods of some columns of the truth: a block per row; the derivative by a spread that rows share is computed
 * anew and added up by column. Categorical ones take a warp per softmax. */
#include "cuda/cuda_channels.cuh"
#include "net/likelihood.h"
#include <cfloat>

static constexpr int WARPS = DN_THREADS / 32;

/* What kernels need of a call. */
struct head_call {
    dn_head head;
    dn_likelihood_terms terms;
    const float *x, *truth, *spread, *row_weight;
    float *loss, *gradient;

    __device__ float slope(float spread) const { return dn_log_variance_within_slope(terms.limit, spread); }
    __device__ float weight(size_t r) const { return row_weight ? row_weight[r] : 1; }
    /* The loss of the value at (r, c), and its derivatives. */
    __device__ dn_value_loss at(size_t r, size_t c) const {
        const float *row = x + r * head.x_step;
        dn_scale scale = terms.scale;
        if (head.spread != DN_SPREAD_FIXED)
            scale = dn_scale_of(&terms, head.spread == DN_SPREAD_VALUE ? row[head.columns + c]
                                        : head.spread == DN_SPREAD_ONE ? *spread
                                                                       : spread[c]);
        return dn_likelihood_value(&terms, scale, row[c], truth[r * head.truth_step + c]);
    }
};

static cudaError_t values_loss(const dn_cuda_place *on, const head_call &call) {
    return dn_each_block(on, call.head.rows, [=] __device__(size_t r) {
        const dn_head &h = call.head;
        float *gradient = call.gradient ? call.gradient + r * h.x_step : NULL, weight = call.weight(r);
        double sum = 0;
        for (size_t c = threadIdx.x; c < h.columns; c += DN_THREADS) {
            dn_value_loss v = call.at(r, c);
            sum += v.error;
            if (gradient) gradient[c] = weight * v.gradient;
            if (gradient && h.spread == DN_SPREAD_VALUE)
                gradient[h.columns + c] = weight * v.spread * call.slope(call.x[r * h.x_step + h.columns + c]);
        }
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0 && call.loss) call.loss[r] += (float)sum;
    });
}

/* Of one number: rows and columns of a single channel. */
static cudaError_t spread_loss(const dn_cuda_place *on, const head_call &call, float *spread_gradient) {
    size_t columns = call.head.columns, channels = call.head.spread == DN_SPREAD_ONE ? 1 : columns;
    dn_split by_columns(call.head.rows * columns, columns);
    return dn_channel_sums<1>(
        on, call.head.rows, channels, columns / channels,
        [=] __device__(size_t i, size_t, double *sum) {
            size_t c, r = by_columns.of(i, &c);
            *sum += call.weight(r) * call.at(r, c).spread;
        },
        [=] __device__(size_t c, const double *sum) {
            spread_gradient[c] += (float)(*sum * call.slope(call.spread[c]));
        });
}

/* ---- categorical ---- */

static inline __device__ float warp_largest(float value) {
    for (int d = 16; d; d /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, d));
    return value;
}

/* ln of the sum of e^x over n values, for every lane of a warp; all threads of the block call it. n = 0: any number */
static __device__ float warp_log_sum(size_t n, const float *x) {
    size_t lane = threadIdx.x % 32;
    float largest = -FLT_MAX, sum = 0;
    for (size_t i = lane; i < n; i += 32) largest = fmaxf(largest, x[i]);
    largest = warp_largest(largest);
    for (size_t i = lane; i < n; i += 32) sum += expf(x[i] - largest);
    return largest + logf(dn_warp_sum(sum));
}

static inline __host__ __device__ size_t softmaxes(const dn_head &h) { return h.classes ? h.columns : h.groups; }

/* One softmax of n values by a warp; all threads of the block call it. The loss of this lane's values. */
static __device__ float one_hot_loss(size_t n, float weight, const float *x, const float *truth, float *gradient) {
    size_t lane = threadIdx.x % 32;
    float all = warp_log_sum(n, x), share = 0, loss = 0;
    for (size_t i = lane; i < n; i += 32) share += truth[i];
    share = dn_warp_sum(share);
    bool missing = share != share;
    for (size_t i = lane; i < n; i += 32) {
        float t = truth[i];
        if (!missing && t != 0) loss += t * (all - x[i]);
        if (gradient) gradient[i] = missing ? 0 : weight * (share * expf(x[i] - all) - t);
    }
    return loss;
}

static __device__ float code_loss(size_t n, float weight, const float *x, const float *truth, float *gradient) {
    size_t lane = threadIdx.x % 32;
    float all = warp_log_sum(n, x), code = n ? *truth : 0;
    bool missing = code != code;
    size_t at = code >= 0 && code < (float)n ? (size_t)code : n;
    bool none = !missing && (at == n || (float)at != code);
    for (size_t i = lane; gradient && i < n; i += 32)
        gradient[i] = missing ? 0 : none ? (float)NAN : weight * (expf(x[i] - all) - (i == at ? 1.0f : 0.0f));
    if (lane || missing || !n) return 0;
    return none ? (float)NAN : all - x[at];
}

static cudaError_t categorical_loss(const dn_cuda_place *on, const head_call &call) {
    return dn_each_block(on, call.head.rows, [=] __device__(size_t r) {
        const dn_head &h = call.head;
        size_t groups = softmaxes(h), size = h.classes ? h.classes : h.columns / groups;
        const int *starts = h.starts;
        const float *x = call.x + r * h.x_step, *truth = call.truth + r * h.truth_step;
        double sum = 0;
        for (size_t first = 0; first < groups;
             first += WARPS) { /* warps beyond the last softmax have one of 0 values */
            size_t g = first + threadIdx.x / 32, n = g < groups ? size : 0, at = g * size;
            if (starts && n) at = (size_t)starts[g], n = (size_t)starts[g + 1] - at;
            float *gradient = call.gradient ? call.gradient + r * h.x_step + at : NULL;
            sum += h.classes ? code_loss(n, call.weight(r), x + at, truth + g, gradient)
                             : one_hot_loss(n, call.weight(r), x + at, truth + at, gradient);
        }
        sum = dn_block_sum<DN_THREADS>(sum);
        if (threadIdx.x == 0 && call.loss) call.loss[r] += (float)sum;
    });
}

extern "C" cudaError_t dn_cuda_likelihood(const dn_cuda_place *on, const dn_head *head, const float *x,
                                          const float *truth, const float *spread, const float *row_weight, float *loss,
                                          float *gradient, float *spread_gradient) {
    head_call call = {*head, dn_likelihood_terms_of(&head->likelihood), x, truth, spread, row_weight, loss, gradient};
    if (head->likelihood.kind == DN_LOSS_CATEGORICAL) return categorical_loss(on, call);
    cudaError_t error = values_loss(on, call);
    if (error != cudaSuccess || !spread_gradient) return error;
    return head->spread == DN_SPREAD_ONE || head->spread == DN_SPREAD_COLUMN ? spread_loss(on, call, spread_gradient)
                                                                             : cudaSuccess;
}

/* ---- means ---- */

static cudaError_t probabilities(const dn_cuda_place *on, const dn_head &h, const float *x, size_t out_step,
                                 float *out) {
    dn_head head = h;
    return dn_each_block(on, h.rows, [=] __device__(size_t r) {
        size_t groups = head.groups, size = head.columns / groups;
        for (size_t first = 0; first < groups; first += WARPS) {
            size_t g = first + threadIdx.x / 32, n = g < groups ? size : 0;
            const float *from = x + r * head.x_step + g * size;
            float all = warp_log_sum(n, from), *to = out + r * out_step + g * size;
            for (size_t i = threadIdx.x % 32; i < n; i += 32) to[i] = expf(from[i] - all);
        }
    });
}

extern "C" cudaError_t dn_cuda_likelihood_mean(const dn_cuda_place *on, const dn_head *head, const float *x,
                                               size_t out_step, float *out) {
    dn_head h = *head;
    dn_split by_columns(h.rows * h.columns, h.columns);
    if (h.likelihood.kind == DN_LOSS_CATEGORICAL && !h.classes) return probabilities(on, h, x, out_step, out);
    return dn_each(on, h.rows * h.columns, [=] __device__(size_t i) {
        size_t c, r = by_columns.of(i, &c), most = 0;
        const float *from = x + r * h.x_step;
        float *to = out + r * out_step + c;
        if (h.likelihood.kind != DN_LOSS_CATEGORICAL) {
            *to = dn_likelihood_mean_value(h.likelihood.kind, from[c]);
            return;
        }
        size_t at = h.starts ? (size_t)h.starts[c] : c * h.classes;
        size_t classes = h.starts ? (size_t)h.starts[c + 1] - at : h.classes;
        for (size_t k = 1; k < classes; k++)
            if (from[at + k] > from[at + most]) most = k;
        *to = (float)most;
    });
}

/* ---- the best variance ---- */

extern "C" cudaError_t dn_cuda_optimal_spread(const dn_cuda_place *on, const dn_head *head, const float *row_weight,
                                              const float *x, const float *truth, float *spread, float *running,
                                              float *passes) {
    size_t columns = head->columns, x_step = head->x_step, truth_step = head->truth_step;
    dn_split by_columns(head->rows * columns, columns);
    return dn_channel_sums<2>(
        on, head->rows, 1, columns,
        [=] __device__(size_t i, size_t, double *sum) {
            size_t c, r = by_columns.of(i, &c);
            float t = truth[r * truth_step + c];
            double d = (double)t - x[r * x_step + c], weight = row_weight ? row_weight[r] : 1;
            if (t == t) sum[0] += weight * (d * d), sum[1] += weight;
        },
        [=] __device__(size_t, const double *sum) { dn_optimal_spread(sum[0], sum[1], spread, running, passes); });
}

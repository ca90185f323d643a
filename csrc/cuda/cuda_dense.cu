/* Dense layers: y = act(x W^T + b), and their training pass with the optimiser's step in it.
 *
 * With up to FEW rows (cuda_dense_few.cuh) the time goes into reading the weights, so each pass over them is one launch
 * in which a thread asks for all of its weights before it computes with the first:
 *
 *   forward   a warp per output, along the inputs; with a loss after it also the error, and dy = its gradient act'(y)
 *   train     a block per 32 inputs (8, if they cannot be read by four) and a slice of the outputs. A weight is read
 *             once: for dx, then it and its moments follow their gradient, which is in a register
 *
 * With more rows these are products of cuda_tile.cuh (or cuBLAS), whose results go through bias and activation, or into
 * the optimiser, as they leave the registers. */
#include "cuda/cuda_blas.h"
#include "cuda/cuda_channels.cuh"
#include "cuda/cuda_dense_few.cuh"
#include "cuda/cuda_tile.cuh"

/* ---- many rows ---- */

/* A call, not inlined: a thread of the product has up to 64 values. */
static DN_NOINLINE __device__ float dense_activated(dn_activation a, float x) { return dn_activate_one(a, x); }
static DN_NOINLINE __device__ void dense_updated(const dn_updater &one, size_t i, float g) { one.at(i, g); }

struct dense_result {
    dn_activation activation;
    const float *b;
    float *y;
    int outputs;
    __device__ void put(int, int i, int j, float sum) const {
        y[(size_t)i * (size_t)outputs + (size_t)j] = dense_activated(activation, sum + b[j]);
    }
};

struct dense_update_result {
    dn_updater weights;
    int inputs;
    __device__ void put(int, int i, int j, float sum) const {
        dense_updated(weights, (size_t)i * (size_t)inputs + (size_t)j, sum);
    }
};

extern "C" cudaError_t dn_cuda_dense_forward(const dn_cuda_place *on, const dn_dense_shape *s, const float *x,
                                             const float *w, const float *b, float *y) {
    int blocks;
    if (s->rows <= 0) return cudaSuccess;
    if (s->rows <= FEW) return few_forward(on, s, x, w, dense_end{*s, b, y}, &blocks);
    if (!on->blas->handle)
        return dn_tile(on, s->rows, s->outputs, s->inputs, 1, dn_plain_side<true>{x, s->rows, s->inputs},
                       dn_plain_side<true>{w, s->outputs, s->inputs}, dense_result{s->activation, b, y, s->outputs});
    cudaError_t error =
        dn_cuda_gemm(on, 0, 1, s->rows, s->outputs, s->inputs, 1, x, s->inputs, w, s->inputs, 0, y, s->outputs);
    if (error != cudaSuccess) return error;
    return dn_cuda_bias_activate(on, (size_t)s->rows, (size_t)s->outputs, 1, s->activation, b, y);
}

/* Update W by dy^T x: as the product leaves the registers, or with cuBLAS through scratch memory, as many outputs at a
 * time as fit there. */
static cudaError_t train_weights(const dn_cuda_place *on, const dn_dense_pass *p) {
    dn_dense_shape s = p->shape;
    size_t inputs = (size_t)s.inputs, most = DN_CUDA_SCRATCH / inputs;
    if (!on->blas->handle || !most)
        return dn_tile(on, s.outputs, s.inputs, s.rows, 1, dn_plain_side<false>{p->dy, s.outputs, s.outputs},
                       dn_plain_side<false>{p->x, s.inputs, s.inputs},
                       dense_update_result{dense_updater(p, 0), s.inputs});
    cudaError_t error = cudaSuccess;
    for (size_t o = 0; o < (size_t)s.outputs && error == cudaSuccess; o += most) {
        size_t n = (size_t)s.outputs - o < most ? (size_t)s.outputs - o : most, at = o * inputs;
        error = dn_cuda_gemm(on, 1, 0, (int)n, s.inputs, s.rows, 1, p->dy + o, s.outputs, p->x, s.inputs, 0,
                             on->scratch, s.inputs);
        if (error == cudaSuccess)
            error = dn_cuda_update(on, p->optimizer, p->step, n * inputs, p->factor, p->decay, p->w + at, p->w_m + at,
                                   p->w_v ? p->w_v + at : NULL, on->scratch);
    }
    return error;
}

static cudaError_t train_many(const dn_cuda_place *on, const dn_dense_pass *p) {
    dn_dense_shape s = p->shape;
    size_t rows = (size_t)s.rows, outputs = (size_t)s.outputs;
    dn_activation activation = s.activation;
    const float *y = p->y;
    float *dy = p->dy;
    cudaError_t error = cudaSuccess;
    if (p->likelihood) {
        dn_likelihood_terms likelihood = dn_likelihood_terms_of(p->likelihood);
        const float *truth = p->truth;
        float scale = p->loss_scale;
        error = dn_cuda_dense_forward(on, &s, p->x, p->w, p->b, p->y);
        if (error == cudaSuccess)
            error = dn_each_sum(on, rows * outputs, p->sum, [=] __device__(size_t i) {
                float unused = 0, d = 0;
                double lost = dn_loss_one(likelihood, y[i], truth[i], &unused, &d);
                dy[i] = scale * d * dn_gradient_one(activation, y[i]);
                return lost;
            });
        activation = DN_LINEAR; /* already applied to dy */
    }
    dn_updater biases = dense_updater(p, 1);
    if (error == cudaSuccess)
        error = dn_channel_sums<1>(
            on, rows, outputs, 1,
            [=] __device__(size_t i, size_t, double *sum) {
                if (activation != DN_LINEAR) dy[i] *= dn_gradient_one(activation, y[i]);
                *sum += dy[i];
            },
            [=] __device__(size_t o, const double *sum) { biases.at(o, (float)*sum); });
    if (error == cudaSuccess && p->dx)
        error = dn_cuda_gemm(on, 0, 0, s.rows, s.inputs, s.outputs, 1, dy, s.outputs, p->w, s.inputs, p->set_dx ? 0 : 1,
                             p->dx, s.inputs);
    return error == cudaSuccess ? train_weights(on, p) : error;
}

extern "C" cudaError_t dn_cuda_dense_train(const dn_cuda_place *on, const dn_dense_pass *pass) {
    if (pass->shape.rows <= 0) return cudaSuccess;
    return pass->shape.rows <= FEW ? train_few(on, pass) : train_many(on, pass);
}

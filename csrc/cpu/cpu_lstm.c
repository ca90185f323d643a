/* Steps of an LSTM: each is one job, whose chunks are ranges of outputs. A chunk computes what its outputs need of the
 * products, then their gates, while these are in its core's cache. */
#include "cpu/cpu_blas.h"
#include "cpu/cpu_ops.h"

typedef struct lstm_job {
    int rows, outputs, chunks;
    const float *w, *h, *c; /* forward */
    float *gates, *tanh_c, *next_c, *next_h, *y;
    const float *later, *dy; /* backward */
    float *dh, *dc;
} lstm_job;

/* A power of two, so that 2, 4 or 8 threads have equal shares. */
static int lstm_chunks(const dn_lstm_shape *s) {
    enum { OUTPUTS = 48, MOST = 64 };
    const double least = 1.5e6, flops = 2.0 * s->rows * DN_LSTM_GATES * s->outputs * s->outputs;
    int chunks = 1;
    if (dn_cpu_blas()) return 1; /* has threads of its own */
    while (2 * chunks <= MOST && 2 * chunks * least <= flops && 2 * chunks * OUTPUTS <= s->outputs) chunks *= 2;
    return chunks;
}

static int lstm_from(const lstm_job *j, size_t chunk) {
    enum { LINE = 16 };
    return dn_part_from(j->outputs, j->chunks, (int)chunk, LINE);
}

static void forward_chunk(void *context, size_t chunk) {
    const lstm_job *j = context;
    int from = lstm_from(j, chunk), n = lstm_from(j, chunk + 1) - from, all = j->outputs, side = DN_LSTM_GATES * all;
    for (int k = 0; k < DN_LSTM_GATES; k++)
        cpu_gemm(NULL, 0, 1, j->rows, n, all, 1, j->h, all, j->w + (size_t)(k * all + from) * all, all, 1,
                 j->gates + k * all + from, side);
    dn_cpu_kernels_get()->lstm((size_t)j->rows, (size_t)n, (size_t)all, j->c + from, j->gates + from, j->tanh_c + from,
                               j->next_c + from, j->next_h + from, j->y + from);
}

void cpu_lstm_forward(dn_pool *pool, const dn_lstm_shape *s, const float *w, const float *h, const float *c,
                      float *gates, float *tanh_c, float *next_c, float *next_h, float *y) {
    lstm_job j = {.rows = s->rows,
                  .outputs = s->outputs,
                  .chunks = lstm_chunks(s),
                  .w = w,
                  .h = h,
                  .c = c,
                  .gates = gates,
                  .tanh_c = tanh_c,
                  .next_c = next_c,
                  .next_h = next_h,
                  .y = y};
    dn_pool_run(pool, (size_t)j.chunks, forward_chunk, &j);
}

static void backward_chunk(void *context, size_t chunk) {
    const lstm_job *j = context;
    int from = lstm_from(j, chunk), n = lstm_from(j, chunk + 1) - from, all = j->outputs, side = DN_LSTM_GATES * all;
    cpu_copy_rows(NULL, (size_t)j->rows, (size_t)n, j->dy + from, (size_t)all, j->dh + from, (size_t)all);
    if (j->later) cpu_gemm(NULL, 0, 0, j->rows, n, side, 1, j->later, side, j->w + from, all, 1, j->dh + from, all);
    dn_cpu_kernels_get()->lstm_gradient((size_t)j->rows, (size_t)n, (size_t)all, j->dh + from, j->c + from,
                                        j->tanh_c + from, j->gates + from, j->dc + from);
}

void cpu_lstm_backward(dn_pool *pool, const dn_lstm_shape *s, const float *w, const float *later, const float *dy,
                       const float *c, const float *tanh_c, float *gates, float *dh, float *dc) {
    lstm_job j = {.rows = s->rows,
                  .outputs = s->outputs,
                  .chunks = lstm_chunks(s),
                  .w = w,
                  .c = c,
                  .gates = gates,
                  .tanh_c = (float *)tanh_c,
                  .later = later,
                  .dy = dy,
                  .dh = dh,
                  .dc = dc};
    dn_pool_run(pool, (size_t)j.chunks, backward_chunk, &j);
}

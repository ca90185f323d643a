/* Loops over ranges on the pool's threads, and sums whose order does not depend on the number of threads. */
#include "cpu/cpu_kernels.h"

enum { PARTS = 64 };

typedef struct range_job {
    dn_range_fn fn;
    dn_range_sum_fn sum;
    const void *context;
    size_t n, grain;
    double *parts;
} range_job;

static void range_chunk(void *context, size_t chunk) {
    const range_job *j = context;
    size_t from = chunk * j->grain, to = from + j->grain < j->n ? from + j->grain : j->n;
    if (j->sum)
        j->parts[chunk] = j->sum(j->context, from, to);
    else
        j->fn(j->context, from, to);
}

void dn_range_run(dn_pool *pool, size_t n, size_t grain, dn_range_fn fn, const void *context) {
    if (n < 3 * grain) {
        if (n) fn(context, 0, n);
        return;
    }
    range_job j = {.fn = fn, .context = context, .n = n, .grain = grain};
    dn_pool_run(pool, (n + grain - 1) / grain, range_chunk, &j);
}

double dn_range_sum(dn_pool *pool, size_t n, size_t grain, dn_range_sum_fn fn, const void *context) {
    double parts[PARTS], total = 0;
    if (n < 3 * grain) return n ? fn(context, 0, n) : 0;
    if (grain * PARTS < n) grain = (n + PARTS - 1) / PARTS;
    range_job j = {.sum = fn, .context = context, .n = n, .grain = grain, .parts = parts};
    size_t chunks = (n + grain - 1) / grain;
    dn_pool_run(pool, chunks, range_chunk, &j);
    for (size_t i = 0; i < chunks; i++) total += parts[i];
    return total;
}

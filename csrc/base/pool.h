/* Threads for loops. The caller works too: it claims chunks from a ticket and never waits for a chunk that nobody has
 * started, so a busy second core costs little. Chunks depend on the problem alone, so results do not depend on the
 * number of threads. */
#ifndef DN_POOL_H
#define DN_POOL_H
#include "base/status.h"

typedef struct dn_pool dn_pool;
/* Work on chunk `chunk` of a loop. */
typedef void (*dn_chunk_fn)(void *context, size_t chunk);

/* How many threads to work with when `asked` are wanted (0: DARKNET_THREADS, else all): no more than the processors that
 * this process may use. More would wait for each other, and results do not depend on their number. */
dn_status dn_pool_wanted(int asked, int *threads);
/* threads 0: dn_pool_wanted; else so many, whatever the machine has. */
dn_status dn_pool_create(dn_pool **out, int threads);
void dn_pool_destroy(dn_pool *pool);
int dn_pool_threads(const dn_pool *pool);
/* A place for a backend's own state; NULL at first, and to be NULL again before the pool is destroyed. */
void **dn_pool_slot(dn_pool *pool);
/* Run `n` chunks; returns when all are done. pool NULL: on the caller alone. */
void dn_pool_run(dn_pool *pool, size_t n, dn_chunk_fn fn, void *context);
/* For work that comes in steps of the same kind, below a millisecond: whether more threads pay depends on how far apart
 * the cores are and who else uses them. Call with 0 before the first of some steps that follow on each other, with 1
 * after each: the pool tries now and then whether one thread is faster, and works with one while it is. */
void dn_pool_pace(dn_pool *pool, int step_done);
#endif

/* Threads for loops. The caller works too: it claims chunks from a ticket and never waits for a chunk that nobody has
 * started, so a busy second core costs little. How a loop is cut into chunks depends on the problem alone, so results
 * do not depend on the number of threads. */
#ifndef DN_POOL_H
#define DN_POOL_H
#include "base/status.h"

typedef struct dn_pool dn_pool;
/* Do chunk number `chunk` of a loop. */
typedef void (*dn_chunk_fn)(void *context, size_t chunk);

/* The number of threads to use when `asked` are requested (0: DARKNET_THREADS, or else all), capped at the processors
 * that this process may use. More would only wait for each other, and results do not depend on the number. */
dn_status dn_pool_wanted(int asked, int *threads);
/* threads 0: as dn_pool_wanted says; otherwise exactly that many, whatever the machine has. */
dn_status dn_pool_create(dn_pool **out, int threads);
void dn_pool_destroy(dn_pool *pool);
int dn_pool_threads(const dn_pool *pool);
/* Space for a backend's own state; initially NULL, and must be NULL again before the pool is destroyed. */
void **dn_pool_slot(dn_pool *pool);
/* Run `n` chunks; returns when all are done. With pool NULL, the caller runs them alone. */
void dn_pool_run(dn_pool *pool, size_t n, dn_chunk_fn fn, void *context);
/* For work in repeated steps of the same kind: short ones may be faster with one thread, see base/pace.h. Call with
 * DN_POOL_STEPS_BEGIN before the first of a run of steps, with DN_POOL_STEP after each, and with DN_POOL_STEPS_END
 * after the last; jobs outside use all threads. */
typedef enum dn_pool_event { DN_POOL_STEPS_BEGIN, DN_POOL_STEP, DN_POOL_STEPS_END } dn_pool_event;
void dn_pool_pace(dn_pool *pool, dn_pool_event event);
#endif

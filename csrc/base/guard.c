#include "base/guard.h"
#include "base/sys.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { PROCESS_BITS = 16 };

struct dn_guard {
    _Atomic uint64_t owner; /* 0: nobody; otherwise a thread, see guard_me */
    int depth;              /* of the owner's nested calls */
    pthread_mutex_t lock;
    dn_shown shown;
};

dn_status dn_guard_create(dn_guard **out) {
    dn_guard *g = *out = dn_alloc(1, sizeof *g);
    if (!g) return DN_E_MEMORY;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&g->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return DN_OK;
}

void dn_guard_destroy(dn_guard *g) {
    if (!g) return;
    pthread_mutex_destroy(&g->lock);
    dn_free(g);
}

/* Identifies the calling thread among all threads of this process, together with the process itself: a child made by
 * fork inherits the memory of its parent but not its threads, so a network that another thread held at that moment has
 * no owner in the child. */
static uint64_t guard_me(void) {
    static _Thread_local char here;
    return (uint64_t)(uintptr_t)&here << PROCESS_BITS | ((uint64_t)getpid() & ((1 << PROCESS_BITS) - 1));
}

static int guard_same_process(uint64_t a, uint64_t b) { return !((a ^ b) & ((1 << PROCESS_BITS) - 1)); }

static int guard_try(dn_guard *g) {
    uint64_t me = guard_me(), owner = atomic_load_explicit(&g->owner, memory_order_relaxed);
    if (owner == me) {
        g->depth++;
        return 1;
    }
    if (owner && guard_same_process(owner, me)) return 0;
    if (!atomic_compare_exchange_strong_explicit(&g->owner, &owner, me, memory_order_acquire, memory_order_relaxed))
        return 0;
    g->depth = owner >> PROCESS_BITS == me >> PROCESS_BITS ? g->depth + 1 : 1; /* or forked in the middle of a call */
    return 1;
}

dn_status dn_guard_enter(dn_guard *g) {
    DN_CHECK(guard_try(g), DN_E_USAGE,
             "the network is in use by another thread: wait for it, or give every thread a network of its own");
    return DN_OK;
}

void dn_guard_wait(dn_guard *g) {
    const struct timespec pause = {.tv_nsec = 500000};
    while (!guard_try(g)) nanosleep(&pause, NULL);
}

void dn_guard_leave(dn_guard *g) {
    if (--g->depth == 0) atomic_store_explicit(&g->owner, 0, memory_order_release);
}

void dn_guard_lock(dn_guard *g) { pthread_mutex_lock(&g->lock); }
void dn_guard_unlock(dn_guard *g) { pthread_mutex_unlock(&g->lock); }
dn_shown *dn_guard_shown(dn_guard *g) { return &g->shown; }

#define _GNU_SOURCE
#include "pool.h"
#include "sys.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPINS = 2000, MAX_THREADS = 256 };

/* A ticket holds the job's number above and the next chunk below, so a worker that wakes late for an old job finds a
 * ticket of another job and leaves without touching anything of either. */
struct dn_pool {
    int threads, n_workers;
    pid_t owner;
    pthread_t *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic uint64_t ticket;
    atomic_size_t n_chunks, done;
    _Atomic(dn_chunk_fn) fn;
    _Atomic(void *) context;
    atomic_int sleeping, stop;
    atomic_uint job;
    void *slot;
};

enum { CHUNK_BITS = 32 };

static void pool_work(dn_pool *p, unsigned job) {
    for (;;) {
        uint64_t t = atomic_load(&p->ticket);
        if ((unsigned)(t >> CHUNK_BITS) != job) return;
        size_t n = atomic_load(&p->n_chunks);
        dn_chunk_fn fn = atomic_load(&p->fn);
        void *context = atomic_load(&p->context);
        if ((uint32_t)t >= n) return;
        /* success proves that the job is still this one, and so are n, fn and context */
        if (!atomic_compare_exchange_weak(&p->ticket, &t, t + 1)) continue;
        fn(context, (uint32_t)t);
        atomic_fetch_add(&p->done, 1);
    }
}

static void *pool_worker(void *argument) {
    dn_pool *p = argument;
    unsigned seen = 0;
    while (!atomic_load(&p->stop)) {
        int spins = 0;
        while (atomic_load(&p->job) == seen && !atomic_load(&p->stop) && spins++ < SPINS) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
        if (atomic_load(&p->job) == seen) {
            pthread_mutex_lock(&p->lock);
            atomic_fetch_add(&p->sleeping, 1);
            while (atomic_load(&p->job) == seen && !atomic_load(&p->stop)) pthread_cond_wait(&p->wake, &p->lock);
            atomic_fetch_sub(&p->sleeping, 1);
            pthread_mutex_unlock(&p->lock);
        }
        seen = atomic_load(&p->job);
        if (!atomic_load(&p->stop)) pool_work(p, seen);
    }
    return NULL;
}

static int pool_available(void) {
    const char *wish = getenv("DARKNET_THREADS");
    int n = wish ? atoi(wish) : 0;
    if (n > 0) return n;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        long quota, period;
        if (fscanf(f, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0) {
            int limit = (int)((quota + period - 1) / period);
            if (limit < n) n = limit;
        }
        fclose(f);
    }
#endif
    if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n;
}

dn_status dn_pool_create(dn_pool **out, int threads) {
    *out = NULL;
    if (threads <= 0) threads = pool_available();
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    dn_pool *p = dn_alloc(1, sizeof *p);
    if (!p) return DN_E_MEMORY;
    p->owner = getpid();
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->workers = dn_alloc((size_t)threads, sizeof *p->workers);
    if (!p->workers) {
        dn_pool_destroy(p);
        return DN_E_MEMORY;
    }
    for (int i = 0; i + 1 < threads; i++) { /* fewer threads than asked for is slower, not wrong */
        if (pthread_create(&p->workers[i], NULL, pool_worker, p)) break;
        p->n_workers++;
    }
    *out = p;
    return DN_OK;
}

void dn_pool_destroy(dn_pool *p) {
    if (!p) return;
    if (p->owner == getpid()) { /* a forked child has no workers to join */
        pthread_mutex_lock(&p->lock);
        atomic_store(&p->stop, 1);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
        for (int i = 0; i < p->n_workers; i++) pthread_join(p->workers[i], NULL);
        pthread_cond_destroy(&p->wake);
        pthread_mutex_destroy(&p->lock);
    }
    dn_free(p->workers);
    dn_free(p);
}

void **dn_pool_slot(dn_pool *p) { return &p->slot; }

int dn_pool_threads(const dn_pool *p) { return p ? p->threads : 1; }

void dn_pool_run(dn_pool *p, size_t n, dn_chunk_fn fn, void *context) {
    if (!p || p->n_workers == 0 || n <= 1 || n >= UINT32_MAX || p->owner != getpid()) {
        for (size_t i = 0; i < n; i++) fn(context, i);
        return;
    }
    unsigned job = atomic_load(&p->job) + 1;
    atomic_store(&p->n_chunks, 0); /* late workers of the last job find nothing while this one is set up */
    atomic_store(&p->ticket, (uint64_t)job << CHUNK_BITS);
    atomic_store(&p->done, 0);
    atomic_store(&p->fn, fn);
    atomic_store(&p->context, context);
    atomic_store(&p->n_chunks, n);
    atomic_store(&p->job, job);
    if (atomic_load(&p->sleeping)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    pool_work(p, job);
    while (atomic_load(&p->done) < n) sched_yield(); /* only chunks that somebody has started */
}

#define _GNU_SOURCE
#include "pool.h"
#include "sys.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPINS = 2000, MAX_THREADS = 256, STACK = 2 << 20 };

/* Every thread has a share of the chunks and begins with it: the same chunk of the same loop then meets the same core's caches
 * again, and moving what it wrote to another core costs more than the work itself. Who is done with its share takes over those
 * that nobody has begun; to others it leaves half as much time as it took itself, then takes from them too. A ticket holds the job's number above and the next chunk of the
 * share below, so a worker that wakes late for an old job finds a ticket of another job and leaves without touching anything
 * of either. */
typedef struct pool_share {
    _Atomic uint64_t ticket;
    char apart[64 - sizeof(uint64_t)]; /* cache lines of their own */
} pool_share;

typedef struct pool_worker {
    dn_pool *pool;
    pthread_t thread;
    int number; /* the caller is 0 */
} pool_worker;

struct dn_pool {
    int threads, n_workers;
    pid_t owner;
    pool_worker *workers;
    pool_share *shares; /* (threads) */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_size_t n_chunks, done;
    _Atomic(dn_chunk_fn) fn;
    _Atomic(void *) context;
    atomic_int sleeping, stop;
    atomic_uint job;
    double alone_until; /* a worker's processor was busy: time of dn_now before which the caller works alone */
    void *slot;
};

enum { CHUNK_BITS = 32 };

static uint32_t pool_begin(size_t n, int threads, int share) {
    return (uint32_t)(n * (size_t)share / (size_t)threads);
}

static void pool_take(dn_pool *p, unsigned job, int number) {
    for (;;) {
        uint64_t t = atomic_load(&p->shares[number].ticket);
        if ((unsigned)(t >> CHUNK_BITS) != job) return;
        size_t n = atomic_load(&p->n_chunks);
        dn_chunk_fn fn = atomic_load(&p->fn);
        void *context = atomic_load(&p->context);
        if ((uint32_t)t >= pool_begin(n, p->threads, number + 1)) return;
        /* success proves that the job is still this one, and so are n, fn and context */
        if (!atomic_compare_exchange_weak(&p->shares[number].ticket, &t, t + 1)) continue;
        fn(context, (uint32_t)t);
        atomic_fetch_add(&p->done, 1);
    }
}

static void pool_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Has somebody begun with this share, and not yet claimed all of it? */
static int pool_in_work(const dn_pool *p, unsigned job, int number) {
    uint64_t t = atomic_load(&p->shares[number].ticket);
    size_t n = atomic_load(&p->n_chunks);
    return (unsigned)(t >> CHUNK_BITS) == job && (uint32_t)t > pool_begin(n, p->threads, number) &&
           (uint32_t)t < pool_begin(n, p->threads, number + 1);
}

static void pool_work(dn_pool *p, unsigned job, int number) {
    double began = p->threads > 1 ? dn_now() : 0;
    pool_take(p, job, number);
    if (p->threads == 1) return;
    double done = dn_now(), until = done + (done - began) / 2;
    for (int i = 1; i < p->threads; i++) {
        int other = (number + i) % p->threads;
        while (pool_in_work(p, job, other) && dn_now() < until) pool_pause();
        pool_take(p, job, other);
    }
}

static void *pool_run(void *argument) {
    pool_worker *w = argument;
    dn_pool *p = w->pool;
    unsigned seen = 0;
    while (!atomic_load(&p->stop)) {
        int spins = 0;
        while (atomic_load(&p->job) == seen && !atomic_load(&p->stop) && spins++ < SPINS) pool_pause();
        if (atomic_load(&p->job) == seen) {
            pthread_mutex_lock(&p->lock);
            atomic_fetch_add(&p->sleeping, 1);
            while (atomic_load(&p->job) == seen && !atomic_load(&p->stop)) pthread_cond_wait(&p->wake, &p->lock);
            atomic_fetch_sub(&p->sleeping, 1);
            pthread_mutex_unlock(&p->lock);
        }
        seen = atomic_load(&p->job);
        if (!atomic_load(&p->stop)) pool_work(p, seen, w->number);
    }
    return NULL;
}

#ifdef __linux__
/* The number in a file, or the `nth` of them; 0 when there is none ("max"). */
static long pool_file_number(const char *path, int nth) {
    long value = 0;
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    for (int i = 0; i <= nth; i++)
        if (fscanf(f, "%ld", &value) != 1) {
            value = 0;
            break;
        }
    fclose(f);
    return value;
}

/* Processors' worth of time that the control group grants, rounded up; 0: no limit. Version 2, then version 1. */
static int pool_quota(void) {
    long quota = pool_file_number("/sys/fs/cgroup/cpu.max", 0), period = pool_file_number("/sys/fs/cgroup/cpu.max", 1);
    if (quota <= 0 || period <= 0) {
        quota = pool_file_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", 0);
        period = pool_file_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", 0);
    }
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}
#endif

static int pool_available(void) {
    const char *wish = getenv("DARKNET_THREADS");
    int n = wish ? atoi(wish) : 0;
    if (n > 0) return n;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    int quota = pool_quota();
    if (quota > 0 && quota < n) n = quota;
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
    p->shares = dn_alloc((size_t)threads, sizeof *p->shares);
    if (!p->workers || !p->shares) {
        dn_pool_destroy(p);
        return DN_E_MEMORY;
    }
    pthread_attr_t attributes; /* some libraries give a thread less than kernels put on its stack */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    for (int i = 0; i + 1 < threads; i++) { /* fewer threads than asked for is slower, not wrong */
        p->workers[i] = (pool_worker){.pool = p, .number = i + 1};
        if (pthread_create(&p->workers[i].thread, &attributes, pool_run, &p->workers[i])) break;
        p->n_workers++;
    }
    pthread_attr_destroy(&attributes);
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
        for (int i = 0; i < p->n_workers; i++) pthread_join(p->workers[i].thread, NULL);
        pthread_cond_destroy(&p->wake);
        pthread_mutex_destroy(&p->lock);
    }
    dn_free(p->workers);
    dn_free(p->shares);
    dn_free(p);
}

void **dn_pool_slot(dn_pool *p) { return &p->slot; }

int dn_pool_threads(const dn_pool *p) { return p ? p->threads : 1; }

/* Wait for the chunks that workers have begun. A worker whose processor is taken away in the middle of one holds us up
 * for a time slice; then the next jobs, for 20 times as long as we waited, are done without workers. */
static void pool_wait(dn_pool *p, size_t n, double began) {
    if (atomic_load(&p->done) >= n) return;
    double from = dn_now();
    while (atomic_load(&p->done) < n) sched_yield();
    double waited = dn_now() - from;
    if (waited > 2e-4 + (from - began)) p->alone_until = from + 21 * waited;
}

void dn_pool_run(dn_pool *p, size_t n, dn_chunk_fn fn, void *context) {
    double began = 0;
    if (!p || p->n_workers == 0 || n <= 1 || n >= UINT32_MAX || p->owner != getpid() ||
        (began = dn_now()) < p->alone_until) {
        for (size_t i = 0; i < n; i++) fn(context, i);
        return;
    }
    unsigned job = atomic_load(&p->job) + 1;
    atomic_store(&p->n_chunks, 0); /* late workers of the last job find nothing while this one is set up */
    for (int i = 0; i < p->threads; i++)
        atomic_store(&p->shares[i].ticket, (uint64_t)job << CHUNK_BITS | pool_begin(n, p->threads, i));
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
    pool_work(p, job, 0);
    pool_wait(p, n, began);
}

#define _GNU_SOURCE
#include "base/pool.h"
#include "base/machine.h"
#include "base/pace.h"
#include "base/sys.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_THREADS = 256, STACK = 2 << 20, APART = 128 /* bytes: cache lines are fetched in pairs */ };

/* Seconds. LOOK_OUT: how long a thread with nothing to do spins before it sleeps (waking it takes the system about as
 * long). LATE: when a share that nobody has begun is taken over. STAY: at least between two moves of a worker. SLICE:
 * the delay that a worker on the caller's processor stands for. CALM, BACK_OFF: multiples of a delay, see pool_held_up.
 */
static const double LOOK_OUT = 1e-4, LATE = 1e-5, STAY = 0.01, SLICE = 1e-3, CALM = 10, BACK_OFF = 32;

/* Every thread has a share of the chunks and begins with it: the same chunk of the same loop then meets the same core's
 * caches again, and moving what it wrote to another core costs more than the work itself. A thread that has finished
 * its share gives the others as much time again as it took itself, then takes over from the ends of their shares. A
 * ticket holds the job's number and the chunks left in the share, so a worker that wakes late for an old job finds a
 * ticket of another job and leaves without touching anything of either. */
typedef struct pool_share {
    _Atomic uint64_t ticket; /* job, next piece, end */
    _Atomic uint64_t done;   /* job, pieces that this share's thread has finished, from any share */
    char apart[APART - 2 * sizeof(uint64_t)];
} pool_share;

typedef struct pool_worker {
    dn_pool *pool;
    pthread_t thread;
    int number;   /* the caller is 0 */
    double moved; /* when (dn_now) it last left the caller's processor */
} pool_worker;

/* The work to do: `n` pieces of `size` chunks; the last one may have fewer. */
typedef struct pool_job {
    _Atomic uint32_t n;
    atomic_size_t size, n_chunks;
    _Atomic(dn_chunk_fn) fn;
    _Atomic(void *) context;
    char apart[APART - 5 * sizeof(uint64_t)];
} pool_job;

struct dn_pool {
    int threads, n_workers;
    pid_t owner;
    pool_worker *workers;
    pool_share *shares; /* (threads) */
    pthread_mutex_t lock;
    pthread_cond_t wake, finished;
    double alone_until,
        back_off; /* a worker's processor was busy: until this time (of dn_now) the caller works alone */
    dn_pace pace;
    int single; /* in steps that `pace` wants done with one thread */
    double step_began;
    void *slot;
    char apart[APART];
    _Atomic uint64_t number; /* of the present job; workers poll it */
    char apart_too[APART];
    pool_job jobs[2];                   /* by the number's lowest bit: the next job is written beside the last one */
    atomic_int sleeping, waiting, stop; /* workers that are asleep; the caller is */
    atomic_int processor, crowded;      /* of the caller; a worker was found there */
};

/* A job as one thread saw it. */
typedef struct pool_view {
    uint64_t number;
    uint32_t n;
    size_t size, n_chunks;
    dn_chunk_fn fn;
    void *context;
} pool_view;

enum { PIECE_BITS = 16, MAX_PIECES = 1 << 15 /* per share */, COUNT_BITS = 24 /* for MAX_PIECES * MAX_THREADS */ };

static uint64_t ticket_of(uint64_t job, uint32_t next, uint32_t end) {
    return job << 2 * PIECE_BITS | (uint64_t)next << PIECE_BITS | end;
}
static int ticket_is(uint64_t t, uint64_t job) { return (uint32_t)(t >> 2 * PIECE_BITS) == (uint32_t)job; }
static uint32_t ticket_next(uint64_t t) { return (uint32_t)(t >> PIECE_BITS) & ((1u << PIECE_BITS) - 1); }
static uint32_t ticket_end(uint64_t t) { return (uint32_t)t & ((1u << PIECE_BITS) - 1); }

/* The first piece of a share. */
static size_t pool_begin(uint32_t n, int threads, int share) { return (size_t)n * (size_t)share / (size_t)threads; }

/* Returns 0 if the job ended while we read it: nothing of it can be used then. A thread that sees a value of job
 * number + 2, which reuses the slot, also sees that the number has moved on, as the values are released and acquired.
 */
static int pool_see(dn_pool *p, uint64_t number, pool_view *v) {
    pool_job *job = &p->jobs[number % 2];
    v->number = number;
    v->n = atomic_load_explicit(&job->n, memory_order_acquire);
    v->size = atomic_load_explicit(&job->size, memory_order_acquire);
    v->n_chunks = atomic_load_explicit(&job->n_chunks, memory_order_acquire);
    v->fn = atomic_load_explicit(&job->fn, memory_order_acquire);
    v->context = atomic_load_explicit(&job->context, memory_order_acquire);
    return atomic_load_explicit(&p->number, memory_order_relaxed) == number;
}

/* Do what is left of a share, from its beginning or, for another thread's share, from its end; returns the number of
 * pieces done. */
static uint32_t pool_take(dn_pool *p, const pool_view *v, int share, int from_end, int most) {
    uint32_t pieces = 0;
    uint64_t t = atomic_load(&p->shares[share].ticket);
    while (most > 0 && ticket_is(t, v->number) && ticket_next(t) < ticket_end(t)) {
        uint32_t next = ticket_next(t), end = ticket_end(t);
        /* success proves that this is still the same job */
        if (!atomic_compare_exchange_weak(&p->shares[share].ticket, &t,
                                          ticket_of(v->number, next + !from_end, end - (uint32_t)from_end)))
            continue;
        size_t piece = pool_begin(v->n, p->threads, share) + (from_end ? end - 1 : next);
        size_t last = (piece + 1) * v->size < v->n_chunks ? (piece + 1) * v->size : v->n_chunks;
        for (size_t i = piece * v->size; i < last; i++) v->fn(v->context, i);
        pieces++, most--;
        t = atomic_load(&p->shares[share].ticket);
    }
    return pieces;
}

static void pool_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Are there pieces of this share that nobody has begun? */
static int pool_has_work(const dn_pool *p, uint64_t job, int share) {
    uint64_t t = atomic_load(&p->shares[share].ticket);
    return ticket_is(t, job) && ticket_next(t) < ticket_end(t);
}

static int pool_begun(const dn_pool *p, const pool_view *v, int share) {
    uint64_t t = atomic_load(&p->shares[share].ticket);
    return ticket_is(t, v->number) && ticket_next(t) > 0;
}

static void pool_report(dn_pool *p, const pool_view *v, int me, uint32_t *all, uint32_t pieces) {
    *all += pieces;
    if (!pieces) return;
    atomic_store(&p->shares[me].done, v->number << COUNT_BITS | *all);
    if (!atomic_load(&p->waiting)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->finished);
    pthread_mutex_unlock(&p->lock);
}

/* Has this share's thread done something in this job or the one before? */
static int pool_present(const dn_pool *p, const pool_view *v, int share) {
    return atomic_load(&p->shares[share].done) >> COUNT_BITS >= v->number - 1;
}

/* Returns the time at which nothing was left to begin. */
static double pool_work(dn_pool *p, const pool_view *v, int me, double began) {
    uint32_t all = 0;
    pool_report(p, v, me, &all, pool_take(p, v, me, 0, MAX_PIECES));
    double now = dn_now(), patience = now + (now - began) + LATE;
    for (int i = 1; i < p->threads; i++) {
        int other = (me + i) % p->threads;
        /* A worker that has begun will go on, unless its processor was taken away; one that has not is about to begin,
         * or asleep, or has no processor, as in the job before. */
        while (pool_has_work(p, v->number, other)) {
            int begun = pool_begun(p, v, other), late = now > (begun ? patience : began + LATE);
            if (late || (!begun && (!pool_present(p, v, other) || atomic_load(&p->sleeping))))
                pool_report(p, v, me, &all, pool_take(p, v, other, 1, 1));
            else
                pool_pause();
            now = dn_now();
        }
    }
    return now;
}

/* Wait for a job other than the last one; returns 0 when the pool is being destroyed. */
static int pool_look_out(dn_pool *p, uint64_t last, double idle_since, uint64_t *number) {
    int spins = 0;
    while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
        *number = atomic_load_explicit(&p->number, memory_order_acquire);
        if (*number != last) return 1;
        pool_pause();
        if (++spins % 64 || dn_now() < idle_since + LOOK_OUT) continue;
        pthread_mutex_lock(&p->lock);
        atomic_fetch_add(&p->sleeping, 1);
        while (atomic_load(&p->number) == last && !atomic_load(&p->stop)) pthread_cond_wait(&p->wake, &p->lock);
        atomic_fetch_sub(&p->sleeping, 1);
        pthread_mutex_unlock(&p->lock);
    }
    return 0;
}

/* Is a worker where the caller wants to be? Now and then it moves away; if that is not enough, processors are fewer
 * than threads, or others use them. */
static int pool_in_the_way(pool_worker *w) {
    dn_pool *p = w->pool;
    int processor = atomic_load_explicit(&p->processor, memory_order_relaxed);
    if (processor < 0 || dn_machine_processor() != processor) return 0;
    double now = dn_now();
    if (now > w->moved + STAY && dn_machine_move_from(processor)) {
        w->moved = now;
        return 0;
    }
    atomic_store_explicit(&p->crowded, 1, memory_order_relaxed);
    return 1;
}

static void *pool_run(void *argument) {
    pool_worker *w = argument;
    dn_pool *p = w->pool;
    uint64_t number = 0;
    double idle_since = dn_now();
    while (pool_look_out(p, number, idle_since, &number)) {
        pool_view v;
        if (!pool_in_the_way(w) && pool_see(p, number, &v)) idle_since = pool_work(p, &v, w->number, dn_now());
        if (pool_in_the_way(w)) idle_since = 0; /* sleep at once */
    }
    return NULL;
}

/* Reads DARKNET_THREADS; 0 if it is not set. */
static dn_status pool_environment(int *threads) {
    const char *text = getenv("DARKNET_THREADS");
    char *end = NULL;
    *threads = 0;
    if (!text || !*text) return DN_OK;
    errno = 0;
    long n = strtol(text, &end, 10);
    DN_CHECK(!*end && !errno && n >= 0 && n <= INT_MAX, DN_E_USAGE,
             "DARKNET_THREADS=%.40s is not a number of threads: 1, 2, ... or 0 for all", text);
    *threads = (int)n;
    return DN_OK;
}

dn_status dn_pool_wanted(int asked, int *threads) {
    if (asked <= 0) DN_TRY(pool_environment(&asked));
    int available = dn_machine_processors("");
    *threads = asked > 0 && asked < available ? asked : available;
    return DN_OK;
}

/* Signals are left to the program's own threads, which may wait for them or be interrupted by them; exceptions are
 * faults and profiling clocks. Returns the mask as it was before. */
static sigset_t pool_block_signals(void) {
    static const int ours[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    sigset_t most, before;
    sigfillset(&most);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) sigdelset(&most, ours[i]);
    pthread_sigmask(SIG_BLOCK, &most, &before);
    return before;
}

dn_status dn_pool_create(dn_pool **out, int threads) {
    *out = NULL;
    if (threads <= 0) DN_TRY(dn_pool_wanted(0, &threads));
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    dn_pool *p = dn_alloc(1, sizeof *p);
    if (!p) return DN_E_MEMORY;
    p->owner = getpid();
    p->threads = threads;
    atomic_store(&p->processor, -1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->finished, NULL);
    p->workers = dn_alloc((size_t)threads, sizeof *p->workers);
    p->shares = dn_alloc((size_t)threads, sizeof *p->shares);
    if (!p->workers || !p->shares) {
        dn_pool_destroy(p);
        return DN_E_MEMORY;
    }
    pthread_attr_t attributes; /* some libraries give threads a smaller stack than the kernels need */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    sigset_t signals = pool_block_signals(); /* inherited by the new threads */
    for (int i = 0; i + 1 < threads; i++) {  /* having fewer threads than requested is slower, not wrong */
        p->workers[i] = (pool_worker){.pool = p, .number = i + 1};
        if (pthread_create(&p->workers[i].thread, &attributes, pool_run, &p->workers[i])) break;
        p->n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
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
        pthread_cond_destroy(&p->finished);
        pthread_mutex_destroy(&p->lock);
    }
    dn_free(p->workers);
    dn_free(p->shares);
    dn_free(p);
}

void **dn_pool_slot(dn_pool *p) { return &p->slot; }

int dn_pool_threads(const dn_pool *p) { return p ? p->threads : 1; }

static int pool_finished(const dn_pool *p, const pool_view *v) {
    uint32_t done = 0;
    for (int i = 0; i < p->threads; i++) {
        uint64_t d = atomic_load(&p->shares[i].done);
        if (d >> COUNT_BITS == v->number) done += (uint32_t)d & ((1u << COUNT_BITS) - 1);
    }
    return done == v->n;
}

/* A worker has no processor of its own: it lost it in the middle of a chunk, for so many seconds until now, or it is on
 * the caller's. Once is an accident, and the caller works alone for as long as the delay. If it happens again before
 * workers have helped for CALM delays, others use the processors, and each time the caller works alone for twice as
 * long, up to BACK_OFF delays. */
static void pool_held_up(dn_pool *p, double now, double delay) {
    int again = now - delay < p->alone_until + CALM * delay;
    p->back_off = !again ? 1 : p->back_off < BACK_OFF / 2 ? 2 * p->back_off : BACK_OFF;
    p->alone_until = now + p->back_off * delay;
}

/* Wait for the chunks that workers have begun. Asleep, the caller leaves its processor to a worker that has lost its
 * own. */
static void pool_wait(dn_pool *p, const pool_view *v, double began, double from) {
    double now = from, own = from - began;
    while (!pool_finished(p, v) && (now = dn_now()) < from + LOOK_OUT) pool_pause();
    if (now < from + LOOK_OUT) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->waiting, 1);
    while (!pool_finished(p, v)) pthread_cond_wait(&p->finished, &p->lock);
    atomic_store(&p->waiting, 0);
    pthread_mutex_unlock(&p->lock);
    if ((now = dn_now()) > from + own / 2 + 2 * LOOK_OUT) pool_held_up(p, now, now - from);
}

/* Before a job: may workers take part? */
static int pool_is_crowded(dn_pool *p, double now) {
    if (now < p->alone_until) return 1;
    int processor = dn_machine_processor();
    if (processor != atomic_load_explicit(&p->processor, memory_order_relaxed))
        atomic_store_explicit(&p->processor, processor, memory_order_relaxed);
    if (!atomic_load_explicit(&p->crowded, memory_order_relaxed)) return 0;
    atomic_store_explicit(&p->crowded, 0, memory_order_relaxed);
    pool_held_up(p, now, SLICE);
    return 1;
}

void dn_pool_run(dn_pool *p, size_t n, dn_chunk_fn fn, void *context) {
    double began = 0;
    if (!p || p->n_workers == 0 || n <= 1 || p->owner != getpid() || p->single ||
        pool_is_crowded(p, began = dn_now())) {
        for (size_t i = 0; i < n; i++) fn(context, i);
        return;
    }
    size_t most = (size_t)MAX_PIECES * (size_t)p->threads, size = (n + most - 1) / most;
    pool_view v = {.number = atomic_load_explicit(&p->number, memory_order_relaxed) + 1,
                   .n = (uint32_t)((n + size - 1) / size),
                   .size = size,
                   .n_chunks = n,
                   .fn = fn,
                   .context = context};
    pool_job *job = &p->jobs[v.number % 2];
    atomic_store_explicit(&job->n, v.n, memory_order_release);
    atomic_store_explicit(&job->size, size, memory_order_release);
    atomic_store_explicit(&job->n_chunks, n, memory_order_release);
    atomic_store_explicit(&job->fn, fn, memory_order_release);
    atomic_store_explicit(&job->context, context, memory_order_release);
    for (int i = 0; i < p->threads; i++) {
        size_t pieces = pool_begin(v.n, p->threads, i + 1) - pool_begin(v.n, p->threads, i);
        atomic_store_explicit(&p->shares[i].ticket, ticket_of(v.number, 0, (uint32_t)pieces), memory_order_relaxed);
    }
    atomic_store(&p->number, v.number);
    if (atomic_load(&p->sleeping)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    double worked = pool_work(p, &v, 0, began);
    pool_wait(p, &v, began, worked);
}

void dn_pool_pace(dn_pool *p, dn_pool_event event) {
    double now = dn_now();
    if (event == DN_POOL_STEP) dn_pace_step(&p->pace, now - p->step_began, p->alone_until > p->step_began);
    p->step_began = now;
    p->single = event != DN_POOL_STEPS_END && p->pace.single;
}

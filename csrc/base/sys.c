/* Memory, the clock, and the failures that a test can inject into calls. */
#define _GNU_SOURCE /* madvise */
#include "base/sys.h"
#include "base/machine.h"
#include "base/sys_calls.h"
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Test hook: counts calls and makes the n-th one fail. */
static atomic_long calls, fail_at;

long dn_sys_fail_at(long n) {
    long seen = atomic_exchange(&calls, 0);
    atomic_store(&fail_at, n);
    return seen;
}

int dn_sys_must_fail(void) {
    long now = atomic_fetch_add(&calls, 1) + 1;
    return now == atomic_load(&fail_at);
}

/* After a system call that a signal has interrupted: does the watch ask us to stop? */
dn_status dn_sys_interrupted(void) {
    const struct timespec pause = {.tv_nsec = 30000000}; /* so the watch is asked no more often than this */
    nanosleep(&pause, NULL);
    return dn_watched();
}

dn_status dn_sys_wait(int fd, short events) {
    struct pollfd ready = {.fd = fd, .events = events};
    poll(&ready, 1, 100);
    return dn_watched();
}

dn_status dn_size_mul(size_t *out, size_t a, size_t b) {
    DN_CHECK(!__builtin_mul_overflow(a, b, out), DN_E_MEMORY, "a size of %zu x %zu is too large", a, b);
    return DN_OK;
}

/* Is it more than the machine or its control group has? Systems that overcommit memory would grant it, and kill the
 * process once it is used. */
static int sys_too_much(size_t bytes) {
    enum { WORTH_ASKING = 1 << 30 };
    size_t most = bytes >= WORTH_ASKING ? dn_machine_memory("") : 0;
    return bytes > PTRDIFF_MAX || (most && bytes > most);
}

enum { LARGE = 1 << 20, LARGE_PAGE = 2 << 20, OF_ITS_OWN = 32 << 20 };

void dn_memory_expect(void *p, size_t bytes) {
#ifdef MADV_HUGEPAGE
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)p + page - 1) / page * page;
    if (bytes >= LARGE) (void)!madvise((void *)from, ((uintptr_t)p + bytes - from) / page * page, MADV_HUGEPAGE);
#else
    (void)p, (void)bytes;
#endif
}

/* Large blocks are asked for in large pages: the system then fills in a block of 100 MB four times as fast, and passes
 * down the columns of a large matrix do not miss the processor's table of pages. A page of which half is wanted is
 * taken whole. */
void *dn_alloc_unset(size_t bytes) {
    void *p = NULL;
    size_t last = bytes % LARGE_PAGE, rest = bytes >= LARGE && last >= LARGE_PAGE / 2 ? LARGE_PAGE - last : 0;
    size_t alignment = bytes >= LARGE ? LARGE_PAGE : 64;
    if (sys_too_much(bytes) || dn_sys_must_fail() || posix_memalign(&p, alignment, bytes + rest)) {
        dn_fail(DN_E_MEMORY, "out of memory: %zu bytes wanted", bytes);
        return NULL;
    }
    dn_memory_expect(p, bytes + rest);
    return p;
}

/* glibc maps blocks from OF_ITS_OWN on by themselves, whatever was freed before (mallopt(3), M_MMAP_THRESHOLD), so they
 * come without pages. What says that they read as zeros is madvise(2), of MADV_DONTNEED on private memory: other
 * systems promise less. */
int dn_memory_zeros(void *p, size_t bytes) {
#if defined __linux__ && defined MADV_DONTNEED
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = bytes / page * page;
    if (bytes < OF_ITS_OWN || (uintptr_t)p % page || madvise(p, whole, MADV_DONTNEED)) return 0;
    memset((char *)p + whole, 0, bytes - whole);
    return 1;
#else
    (void)p, (void)bytes;
    return 0;
#endif
}

void *dn_alloc(size_t n, size_t size) {
    size_t bytes;
    if (dn_size_mul(&bytes, n ? n : 1, size) != DN_OK) return NULL;
    void *p = dn_alloc_unset(bytes);
    if (p && !dn_memory_zeros(p, bytes)) memset(p, 0, bytes);
    return p;
}

void *dn_realloc(void *old, size_t n, size_t size) {
    size_t bytes;
    if (dn_size_mul(&bytes, n ? n : 1, size) != DN_OK) return NULL;
    void *p = sys_too_much(bytes) || dn_sys_must_fail() ? NULL : realloc(old, bytes);
    if (!p) dn_fail(DN_E_MEMORY, "out of memory: %zu bytes wanted", bytes);
    return p;
}

void dn_free(void *p) { free(p); }

char *dn_strdup(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = dn_realloc(NULL, n, 1);
    if (copy) memcpy(copy, text, n);
    return copy;
}

double dn_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

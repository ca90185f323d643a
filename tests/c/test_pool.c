/* The pool: every chunk of every job runs exactly once, whatever the threads, the number of chunks and the pace; also
 * in a child after a fork, and with a share's thread held up in the middle of a chunk. Run by tests/test_kernels.py,
 * and under ThreadSanitizer by `make tsan`. */
#define _GNU_SOURCE
#include "base/pool.h"
#include "base/sys.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 70000 };
static unsigned char ran[MOST]; /* written by chunks without atomics: TSan sees whether jobs are ordered */
static size_t slow_chunk = MOST;

static void chunk_run(void *context, size_t i) {
    if (i == slow_chunk) usleep(3000);
    ran[i] = (unsigned char)(ran[i] + *(const int *)context);
}

static void check_job(dn_pool *pool, size_t n, int step) {
    for (size_t i = 0; i < n; i++) ran[i] = 7;
    dn_pool_run(pool, n, chunk_run, &step);
    for (size_t i = 0; i < n; i++)
        if (ran[i] != 7 + step) {
            fprintf(stderr, "chunk %zu of %zu ran %d times\n", i, n, (ran[i] - 7) / step);
            exit(1);
        }
}

static void many_jobs(dn_pool *pool, int jobs, int paced) {
    for (int k = 0; k < jobs; k++) {
        if (paced) dn_pool_pace(pool, k % 50 != 0);
        check_job(pool, (size_t)(k * 7919 % 23), 1 + k % 3);
    }
}

int main(int argc, char **argv) {
    int jobs = argc > 1 ? atoi(argv[1]) : 20000;
    for (int threads = 1; threads <= 5; threads++) {
        dn_pool *pool;
        if (dn_pool_create(&pool, threads) != DN_OK) return 2;
        if (dn_pool_threads(pool) != threads) return 3;
        many_jobs(pool, jobs, 0);
        static const size_t sizes[] = {0, 1, 2, 255, 32768, 65535, MOST};
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) check_job(pool, sizes[s], 1);
        for (slow_chunk = 0; slow_chunk < 12; slow_chunk++) check_job(pool, 12, 2); /* then the caller goes on alone */
        slow_chunk = MOST;
        many_jobs(pool, jobs / 10, 0);
        usleep(2000); /* the workers sleep */
        many_jobs(pool, jobs / 10, 0);
        many_jobs(pool, jobs, 1);
        pid_t child = fork();
        if (child == 0) {
            many_jobs(pool, 50, 1);
            dn_pool_destroy(pool);
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status) return 4;
        many_jobs(pool, 50, 1);
        dn_pool_destroy(pool);
    }
    printf("pool: every chunk ran once\n");
    return 0;
}

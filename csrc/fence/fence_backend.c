/* The CPU operations over memory that the host may not touch: every block is opened for the time of an operation only.
 * A layer that reads or writes device memory by itself, which works by chance on a CPU and crashes on a GPU, crashes
 * here. */
#define _GNU_SOURCE
#include "backend/backend.h"
#include "base/sys.h"
#include <sys/mman.h>
#include <unistd.h>

typedef struct fence_block {
    struct fence_block *next;
    void *memory;
    size_t bytes; /* whole pages */
} fence_block;

/* PROT_NONE or PROT_READ | PROT_WRITE for all blocks of a network. */
static void fence_set(dn_pool *pool, int protection) {
    for (fence_block *b = *dn_pool_slot(pool); b; b = b->next) mprotect(b->memory, b->bytes, protection);
}
static void fence_open(dn_pool *pool) { fence_set(pool, PROT_READ | PROT_WRITE); }
static void fence_close(dn_pool *pool) { fence_set(pool, PROT_NONE); }

static void *fence_alloc(dn_pool *pool, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    fence_block *b = dn_alloc(1, sizeof *b);
    if (!b) return NULL;
    b->bytes = (bytes / page + 1) * page;
    b->memory = mmap(NULL, b->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->memory == MAP_FAILED) {
        dn_free(b);
        dn_fail(DN_E_MEMORY, "out of memory: %zu bytes wanted", bytes);
        return NULL;
    }
    b->next = *dn_pool_slot(pool);
    *dn_pool_slot(pool) = b;
    return b->memory;
}

static void fence_free(dn_pool *pool, void *memory) {
    for (fence_block **at = (fence_block **)dn_pool_slot(pool); *at; at = &(*at)->next)
        if ((*at)->memory == memory) {
            fence_block *b = *at;
            *at = b->next;
            munmap(b->memory, b->bytes);
            dn_free(b);
            return;
        }
}

static dn_status fence_finish(dn_pool *pool) {
    (void)pool;
    return DN_OK;
}

static void fence_upload(dn_pool *pool, void *to, const void *from_host, size_t bytes) {
    fence_open(pool);
    dn_cpu_ops.upload(pool, to, from_host, bytes);
    fence_close(pool);
}
static void fence_download(dn_pool *pool, void *to_host, const void *from, size_t bytes) {
    fence_open(pool);
    dn_cpu_ops.download(pool, to_host, from, bytes);
    fence_close(pool);
}

/* The CPU's groups, but no convolutions and no steps of an LSTM: the composed passes are tried here. */
#define FENCE_REQUIRED 1
#define FENCE_CONV 0
#define FENCE_DENSE 1
#define FENCE_LSTM 0
#define FENCE_LOCAL 0
#define FENCE_BIAS_ACTIVATE 0

/* Every operation, with the blocks open; questions look at no block. */
#define FENCE_OP(name, parameters, arguments)                     \
    static void fence_##name(dn_pool *pool, DN_LIST parameters) { \
        fence_open(pool);                                         \
        dn_cpu_ops.name(pool, DN_LIST arguments);                 \
        fence_close(pool);                                        \
    }
#define FENCE_QUERY(type, name, parameters, arguments) \
    static type fence_##name(dn_pool *pool, DN_LIST parameters) { return dn_cpu_ops.name(pool, DN_LIST arguments); }
#define DN_OP(group, name, parameters, arguments) DN_WHEN(FENCE_##group, FENCE_OP(name, parameters, arguments))
#define DN_QUERY(group, type, name, parameters, arguments) \
    DN_WHEN(FENCE_##group, FENCE_QUERY(type, name, parameters, arguments))
#include "backend/backend_ops.h"

const dn_ops dn_fence_ops = {
    .name = "fence",
    .separate_memory = 1,
    .finish = fence_finish,
    .alloc = fence_alloc,
    .free = fence_free,
    .upload = fence_upload,
    .download = fence_download,
#define DN_OP(group, name, parameters, arguments) DN_WHEN(FENCE_##group, .name = fence_##name, )
#define DN_QUERY(group, type, name, parameters, arguments) DN_WHEN(FENCE_##group, .name = fence_##name, )
#include "backend/backend_ops.h"
};

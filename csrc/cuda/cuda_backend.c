/* The table of CUDA operations: devices, memory, errors, recordings, cuBLAS; the kernels are in the .cu files.
 *
 * Everything runs in one stream per network. When an operation fails, its error is kept, the operations after it do
 * nothing, and `finish` reports it. Recordings are CUDA graphs, captured from the stream. */
#define _GNU_SOURCE
#include "backend/plugin.h"
#include "cuda/cuda_blas.h"
#include "cuda/cuda_ops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct cuda_context {
    int device;
    dn_cuda_place on;
    dn_cuda_blas blas;
    dn_small small;
    cudaError_t error;  /* the first since the last finish */
    const char *failed; /* the operation that failed */
    char description[400];
} cuda_context;

/* Sums, then tickets. */
enum { CUDA_SUMS_BYTES = DN_CUDA_SUMS * sizeof(double) + DN_CUDA_TICKETS * sizeof(unsigned) };

/* The core's functions, set when the core asks for the table. Every caller passes the same ones. */
static const dn_plugin_host *host;

/* The network's context, after making its device current in this thread. */
static cuda_context *cuda_enter(dn_pool *pool) {
    cuda_context *c = *host->pool_slot(pool);
    cudaError_t error = cudaSetDevice(c->device);
    if (error != cudaSuccess && c->error == cudaSuccess) c->error = error, c->failed = "cudaSetDevice";
    return c;
}

static void cuda_keep(cuda_context *c, cudaError_t error, const char *operation) {
    if (error == cudaSuccess) return;
    cudaGetLastError(); /* the runtime keeps a copy of the error */
    if (c->error == cudaSuccess) c->error = error, c->failed = operation;
}

/* Errors of small operations that were launched since the last look. */
static void cuda_keep_small(cuda_context *c) {
    cuda_keep(c, c->small.error, "small operations");
    c->small.error = cudaSuccess;
}

/* The stream, with everything in it that was asked for. */
static cudaStream_t cuda_stream(cuda_context *c) {
    dn_cuda_flush(&c->on);
    cuda_keep_small(c);
    return c->on.stream;
}

/* ---- devices ---- */

static int cuda_devices(char *why, size_t size) {
    int n = 0, driver = 0, runtime = 0;
    cudaError_t error = cudaGetDeviceCount(&n);
    if (error == cudaSuccess && n > 0) return n;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (error == cudaSuccess || error == cudaErrorNoDevice)
        snprintf(why, size, "there is no CUDA device");
    else if (driver == 0)
        snprintf(why, size, "there is no NVIDIA driver");
    else if (error == cudaErrorInsufficientDriver)
        snprintf(why, size, "the NVIDIA driver is for CUDA %d.%d, wanted is one for %d.%d or newer", driver / 1000,
                 driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    else
        snprintf(why, size, "the NVIDIA driver reports '%s'", cudaGetErrorString(error));
    return 0;
}

static void cuda_close(dn_pool *pool) {
    cuda_context *c = *host->pool_slot(pool);
    if (!c) return;
    cudaSetDevice(c->device);
    if (c->on.stream) cudaStreamSynchronize(c->on.stream);
    dn_cuda_blas_close(&c->blas);
    if (c->on.sums) cudaFree(c->on.sums);
    if (c->on.scratch) cudaFree(c->on.scratch);
    if (c->on.stream) cudaStreamDestroy(c->on.stream);
    cudaGetLastError();
    host->free(c);
    *host->pool_slot(pool) = NULL;
}

static size_t cuda_own_bytes(dn_pool *pool) {
    const cuda_context *c = *host->pool_slot(pool);
    return CUDA_SUMS_BYTES + DN_CUDA_SCRATCH * sizeof *c->on.scratch + (c->blas.workspace ? DN_CUDA_BLAS_WORKSPACE : 0);
}

static cudaError_t cuda_prepare(cuda_context *c, struct cudaDeviceProp *properties) {
    cudaError_t error = cudaSetDevice(c->device);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(properties, c->device);
    if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&c->on.stream, cudaStreamNonBlocking);
    if (error == cudaSuccess) error = cudaMalloc((void **)&c->on.sums, CUDA_SUMS_BYTES);
    if (error == cudaSuccess) error = cudaMemsetAsync(c->on.sums, 0, CUDA_SUMS_BYTES, c->on.stream);
    if (error == cudaSuccess) c->on.tickets = (unsigned *)(void *)(c->on.sums + DN_CUDA_SUMS);
    if (error == cudaSuccess) error = cudaMalloc((void **)&c->on.scratch, DN_CUDA_SCRATCH * sizeof *c->on.scratch);
    /* once, to check that this plugin has kernels for this device */
    if (error == cudaSuccess) error = dn_cuda_fill(&c->on, 1, 0, c->on.scratch);
    if (error == cudaSuccess) error = cudaStreamSynchronize(c->on.stream);
    return error;
}

static dn_status cuda_open(dn_pool *pool, int index, dn_precision precision) {
    cuda_context *c = host->alloc(1, sizeof *c);
    if (!c) return DN_E_MEMORY;
    *host->pool_slot(pool) = c;
    c->device = index;
    struct cudaDeviceProp properties;
    char why[256];
    cudaError_t error = cuda_prepare(c, &properties);
    dn_status status = DN_OK;
    if (error != cudaSuccess) {
        cudaGetLastError();
        status = host->fail(error == cudaErrorMemoryAllocation ? DN_E_MEMORY : DN_E_DEVICE,
                            "device 'cuda:%d' cannot be opened: %s", index, cudaGetErrorString(error));
    } else {
        c->on.processors = properties.multiProcessorCount, c->on.blas = &c->blas, c->on.small = &c->small;
        int capability = properties.major * 10 + properties.minor;
        status = dn_cuda_blas_open(&c->blas, c->on.stream, precision, capability, why, sizeof why);
        if (status != DN_OK) host->fail(status, "device 'cuda:%d' cannot be opened: %s", index, why);
    }
    if (status != DN_OK) {
        cuda_close(pool);
        return status;
    }
    static const char *const ways[DN_PRECISION_COUNT] = {"cuBLAS", "cuBLAS with TF32", "cuBLAS with bfloat16"};
    snprintf(c->description, sizeof c->description, "cuda:%d (%s, %s)", index, properties.name,
             c->blas.handle ? ways[precision] : "own kernels");
    for (char *p = c->description; *p; p++) /* text from the driver: keep control characters from the terminal */
        if ((unsigned char)*p < ' ' || (unsigned char)*p > '~') *p = '?';
    return DN_OK;
}

static const char *cuda_describe(dn_pool *pool) { return ((cuda_context *)*host->pool_slot(pool))->description; }

static dn_status cuda_finish(dn_pool *pool) {
    cuda_context *c = cuda_enter(pool);
    cuda_keep(c, cudaStreamSynchronize(cuda_stream(c)), "finish");
    cudaError_t error = c->error;
    c->error = cudaSuccess;
    if (error == cudaSuccess) return DN_OK;
    if (error == cudaErrorMemoryAllocation)
        return host->fail(DN_E_MEMORY, "out of memory on cuda:%d in %s: a smaller batch needs less", c->device,
                          c->failed);
    return host->fail(DN_E_DEVICE, "cuda:%d failed in or before '%s': %s", c->device, c->failed,
                      cudaGetErrorString(error));
}

/* ---- memory ---- */

static void *cuda_alloc(dn_pool *pool, size_t bytes) {
    cuda_context *c = cuda_enter(pool);
    void *memory = NULL;
    cudaError_t error = cudaMalloc(&memory, bytes ? bytes : 1);
    if (error == cudaSuccess) error = cudaMemsetAsync(memory, 0, bytes, cuda_stream(c));
    if (error == cudaSuccess) return memory;
    cudaGetLastError();
    if (memory) cudaFree(memory);
    if (error == cudaErrorMemoryAllocation)
        host->fail(DN_E_MEMORY, "out of memory on cuda:%d: %zu bytes wanted; a smaller batch needs less", c->device,
                   bytes);
    else
        host->fail(DN_E_DEVICE, "cuda:%d failed to give memory: %s", c->device, cudaGetErrorString(error));
    return NULL;
}

static void cuda_free(dn_pool *pool, void *memory) {
    cuda_context *c = cuda_enter(pool);
    cuda_stream(c); /* what waits may be about this memory */
    cuda_keep(c, cudaFree(memory), "free");
}

/* Waits in both directions: the host's memory may be changed or freed afterwards, and it may be pinned, in which case
 * only the stream knows when the copy has ended. */
static void cuda_transfer(dn_pool *pool, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                          const char *name) {
    cuda_context *c = cuda_enter(pool);
    if (!bytes || c->error != cudaSuccess) return;
    cuda_keep(c, cudaMemcpyAsync(to, from, bytes, kind, cuda_stream(c)), name);
    if (c->error == cudaSuccess) cuda_keep(c, cudaStreamSynchronize(c->on.stream), name);
}
static void cuda_upload(dn_pool *pool, void *to, const void *from_host, size_t bytes) {
    cuda_transfer(pool, to, from_host, bytes, cudaMemcpyHostToDevice, "upload");
}
static void cuda_download(dn_pool *pool, void *to_host, const void *from, size_t bytes) {
    cuda_transfer(pool, to_host, from, bytes, cudaMemcpyDeviceToHost, "download");
}

/* ---- recordings ---- */

static dn_status cuda_record_begin(dn_pool *pool) {
    cuda_context *c = cuda_enter(pool);
    if (c->error == cudaSuccess)
        cuda_keep(c, cudaStreamBeginCapture(cuda_stream(c), cudaStreamCaptureModeThreadLocal), "record");
    return c->error == cudaSuccess ? DN_OK : cuda_finish(pool);
}

static dn_status cuda_record_end(dn_pool *pool, void **recording) {
    cuda_context *c = cuda_enter(pool);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    *recording = NULL;
    cuda_keep(c, cudaStreamEndCapture(cuda_stream(c), &graph), "record");
    if (c->error == cudaSuccess) cuda_keep(c, cudaGraphInstantiateWithFlags(&ready, graph, 0), "record");
    if (graph) cudaGraphDestroy(graph);
    if (c->error != cudaSuccess) return cuda_finish(pool);
    *recording = ready;
    return DN_OK;
}

static void cuda_replay(dn_pool *pool, void *recording) {
    cuda_context *c = cuda_enter(pool);
    if (c->error == cudaSuccess) cuda_keep(c, cudaGraphLaunch(recording, cuda_stream(c)), "replay");
}

static void cuda_record_free(dn_pool *pool, void *recording) {
    cuda_context *c = cuda_enter(pool);
    cudaStreamSynchronize(c->on.stream);
    cuda_keep(c, cudaGraphExecDestroy(recording), "record_free");
}

/* ---- operations ---- */

#define DN_OP(group, name, parameters, arguments)                                                                      \
    static void cuda_##name(dn_pool *pool, DN_LIST parameters) {                                                       \
        cuda_context *context = cuda_enter(pool);                                                                      \
        if (context->error == cudaSuccess) cuda_keep(context, dn_cuda_##name(&context->on, DN_LIST arguments), #name); \
        cuda_keep_small(context);                                                                                      \
    }
#define DN_QUERY(group, type, name, parameters, arguments)
#include "backend/backend_ops.h"

/* Convolutions do not write columns. */
static size_t cuda_conv_workspace(dn_pool *pool, const dn_conv_layer *layer, size_t rows) {
    (void)pool, (void)layer, (void)rows;
    return 0;
}

/* Dense layers need none either: they use the context's scratch memory. */
static size_t cuda_dense_scratch(dn_pool *pool, const dn_dense_shape *shape) {
    (void)pool, (void)shape;
    return 0;
}

static const dn_ops cuda_table = {
    .name = "cuda",
    .separate_memory = 1,
    .describe = cuda_describe,
    .open = cuda_open,
    .close = cuda_close,
    .own_bytes = cuda_own_bytes,
    .finish = cuda_finish,
    .record_begin = cuda_record_begin,
    .record_end = cuda_record_end,
    .replay = cuda_replay,
    .record_free = cuda_record_free,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .download = cuda_download,
#define DN_OP(group, name, parameters, arguments) .name = cuda_##name,
#define DN_QUERY(group, type, name, parameters, arguments) .name = cuda_##name,
#include "backend/backend_ops.h"
};

static const dn_plugin plugin = {DN_ABI, &cuda_table, cuda_devices};

DN_API const dn_plugin *dn_plugin_get(const dn_plugin_host *core) {
    host = core;
    return &plugin;
}

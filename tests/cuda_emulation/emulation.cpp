/* The emulated runtime: memory, streams, recordings, fibers, and a cuBLAS for the test of how it is called. */
#include "cuda_runtime.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

struct emulated_graph {
    std::vector<std::function<void()>> work;
};
struct emulated_stream {
    emulated_graph *recording = nullptr;
    cudaError_t error = cudaSuccess;
};

namespace emulation {
thread_local place here;
thread_local uint32_t lanes[1024];
static thread_local cudaError_t last_error;

static cudaError_t say(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

/* A whole number from the environment, read at every call: tests change it. */
static long wish(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

/* ---- memory; with EMULATION_FENCE=1 open only while a kernel or a copy runs, one at a time ---- */

struct block {
    char *pages;
    size_t all, bytes; /* with the guard; asked for */
};
static std::mutex lock;
static std::map<void *, block> blocks; /* by the pointer handed out */
static size_t in_use;

static void protect(int protection) {
    for (auto &b : blocks)
        if (mprotect(b.second.pages, b.second.all - (size_t)sysconf(_SC_PAGESIZE), protection)) abort();
}

static void run(const std::function<void()> &work) {
    static bool closed;
    std::lock_guard<std::mutex> one(lock);
    if (closed) protect(PROT_READ | PROT_WRITE);
    work();
    closed = wish("EMULATION_FENCE", 0) != 0;
    if (closed) protect(PROT_NONE);
}

static thread_local long launches, refuse_at;
bool refused(size_t blocks, unsigned threads) {
    if (++launches != refuse_at && blocks >= 1 && blocks <= INT32_MAX && threads >= 1 && threads <= 1024) return false;
    say(cudaErrorInvalidConfiguration);
    return true;
}
/* Refuse the n-th launch from here on, 0: none; returns the launches since the last call. */
extern "C" __attribute__((visibility("default"))) long emulated_refuse(long n) {
    long made = launches;
    launches = 0, refuse_at = n;
    return made;
}

cudaError_t submit(cudaStream_t stream, std::function<void()> work) {
    if (stream->recording)
        stream->recording->work.push_back(std::move(work));
    else
        run(work);
    return cudaSuccess;
}

/* ---- fibers ---- */

static thread_local const std::function<void()> *thread_body;
static thread_local unsigned running;
static thread_local bool in_fiber;
enum { STACK = 64 << 10 };

struct fiber {
    std::unique_ptr<char[]> stack;
    void *sp; /* x86-64 */
    ucontext_t context;
    bool done;
};
static thread_local std::vector<fiber> fibers;
static thread_local fiber scheduler;

#if defined(__x86_64__)
/* Change stacks: the callee-saved registers are all there is to keep. About fifty times faster than swapcontext, which
 * asks the kernel about signals. */
extern "C" void emulated_switch(void **from, void *to);
asm(R"(
.text
.hidden emulated_switch
.globl emulated_switch
.type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulated_switch, . - emulated_switch
)");
static void change(fiber &from, fiber &to) { emulated_switch(&from.sp, to.sp); }
static void prepare(fiber &f, void (*entry)()) {
    void **top = (void **)(((uintptr_t)f.stack.get() + STACK) & ~(uintptr_t)15);
    *--top = nullptr; /* where entry would return to, which it never does */
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    f.sp = top;
}
#else
static void change(fiber &from, fiber &to) { swapcontext(&from.context, &to.context); }
static void prepare(fiber &f, void (*entry)()) {
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.get(), f.context.uc_stack.ss_size = STACK;
    f.context.uc_link = nullptr;
    makecontext(&f.context, entry, 0);
}
#endif

static void fiber_main() {
    for (;;) {
        (*thread_body)();
        fibers[running].done = true;
        change(fibers[running], scheduler);
    }
}

void barrier() {
    if (!in_fiber) {
        fputs("emulation: __syncthreads in a kernel that was launched without DN_LAUNCH_SYNC\n", stderr);
        abort();
    }
    change(fibers[running], scheduler);
}

void block_of_fibers(unsigned threads, const std::function<void()> &thread) {
    thread_body = &thread, in_fiber = true;
    while (fibers.size() < threads) {
        fibers.emplace_back();
        fibers.back().stack.reset(new char[STACK]);
    }
    for (unsigned t = 0; t < threads; t++) fibers[t].done = false, prepare(fibers[t], fiber_main);
    unsigned done = 0;
    for (bool forward = wish("EMULATION_BACKWARD", 0) == 0; done < threads; forward = !forward) {
        unsigned ended = 0;
        for (unsigned i = 0; i < threads; i++) {
            running = forward ? i : threads - 1 - i;
            here.thread.x = running;
            change(scheduler, fibers[running]);
            ended += fibers[running].done;
        }
        if (ended != 0 && ended != threads) {
            fputs("emulation: some threads of a block ended where others wait at a barrier\n", stderr);
            abort();
        }
        done += ended;
    }
    in_fiber = false;
}
} // namespace emulation

using namespace emulation;

/* EMULATION_DEVICES, EMULATION_DRIVER and EMULATION_MEMORY (bytes) are set by tests. */
cudaError_t cudaGetDeviceCount(int *count) {
    *count = (int)wish("EMULATION_DEVICES", 2);
    if (wish("EMULATION_DRIVER", 13000) < 13000) return say(cudaErrorInsufficientDriver);
    return *count ? cudaSuccess : say(cudaErrorNoDevice);
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = (int)wish("EMULATION_DRIVER", 13000);
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return device >= 0 && device < wish("EMULATION_DEVICES", 2) ? cudaSuccess : say(cudaErrorInvalidDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
    strcpy(properties->name, "emulated");
    properties->multiProcessorCount = (int)wish("EMULATION_PROCESSORS", 4);
    properties->major = (int)wish("EMULATION_CAPABILITY", 90) / 10;
    properties->minor = (int)wish("EMULATION_CAPABILITY", 90) % 10;
    return cudaSuccess;
}
cudaError_t cudaGetLastError() {
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}
const char *cudaGetErrorString(cudaError_t error) {
    static thread_local std::string text;
    text = error == cudaErrorMemoryAllocation ? "out of memory" : "emulated error " + std::to_string(error);
    return text.c_str();
}

/* Memory cannot be had or given back by a thread that records. */
static thread_local int recordings;

cudaError_t cudaMalloc(void **memory, size_t bytes) {
    if (recordings) return say(cudaErrorStreamCaptureUnsupported);
    std::lock_guard<std::mutex> one(lock);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = (bytes + 255) / 256 * 256;
    size_t open = (rounded + page - 1) / page * page, all = open + page;
    if (in_use + bytes > (size_t)wish("EMULATION_MEMORY", 1l << 40)) return say(cudaErrorMemoryAllocation);
    char *pages =
        (char *)mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return say(cudaErrorMemoryAllocation);
    if (open < (8u << 20)) memset(pages, 0xff, open); /* a NaN in every float: new memory is not zero */
    mprotect(pages + open, page, PROT_NONE);
    *memory = pages + open - rounded;
    blocks[*memory] = block{pages, all, bytes};
    in_use += bytes;
    return cudaSuccess;
}
cudaError_t cudaFree(void *memory) {
    if (recordings) return say(cudaErrorStreamCaptureUnsupported);
    std::lock_guard<std::mutex> one(lock);
    auto found = blocks.find(memory);
    if (found == blocks.end()) return say(cudaErrorInvalidValue);
    in_use -= found->second.bytes;
    munmap(found->second.pages, found->second.all);
    blocks.erase(found);
    return cudaSuccess;
}
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT size_t emulated_memory_in_use(void) { return in_use; }
static long recorded;
/* Kernels, copies and fills in the recording made last. */
EXPORT long emulated_recorded(void) { return recorded; }

/* [at, at + bytes) lies in one block of device memory, or in none of it. */
static bool is_device(const void *at, size_t bytes, bool *whole) {
    std::lock_guard<std::mutex> one(lock);
    for (auto &b : blocks) {
        const char *first = (const char *)b.first, *p = (const char *)at;
        if (p >= first && p < first + b.second.bytes) {
            *whole = p + bytes <= first + b.second.bytes;
            return true;
        }
    }
    *whole = true;
    return false;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream) {
    return bytes ? submit(stream, [=]() { memset(memory, value, bytes); }) : cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    bool whole_to, whole_from;
    if (is_device(to, bytes, &whole_to) != (kind != cudaMemcpyDeviceToHost) || !whole_to ||
        is_device(from, bytes, &whole_from) != (kind != cudaMemcpyHostToDevice) || !whole_from)
        return bytes ? say(cudaErrorInvalidValue) : cudaSuccess;
    if (stream->recording && kind != cudaMemcpyDeviceToDevice) return say(cudaErrorStreamCaptureUnsupported);
    return submit(stream, [=]() { memcpy(to, from, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
    *stream = new emulated_stream;
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return stream->recording ? say(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    stream->recording = new emulated_graph;
    recordings++;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = stream->recording;
    stream->recording = nullptr;
    recordings--;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *ready, cudaGraph_t graph, unsigned long long) {
    *ready = new emulated_graph(*graph);
    recorded = (long)graph->work.size();
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
    for (auto &work : graph->work) run(work);
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

/* ---- a cuBLAS, for DARKNET_CUBLAS=<this library>: column-major products in the given stream ---- */

struct emulated_blas {
    cudaStream_t stream;
    void *workspace;
};
static thread_local long blas_calls;
EXPORT long emulated_blas_calls(void) { return blas_calls; }
EXPORT int cublasCreate_v2(void **handle) {
    *handle = new emulated_blas{};
    return 0;
}
EXPORT int cublasDestroy_v2(void *handle) {
    delete (emulated_blas *)handle;
    return 0;
}
EXPORT int cublasSetStream_v2(void *handle, cudaStream_t stream) {
    *(emulated_blas *)handle = {stream, nullptr}; /* as cuBLAS: its own workspace again */
    return 0;
}
EXPORT int cublasSetWorkspace_v2(void *handle, void *memory, size_t bytes) {
    ((emulated_blas *)handle)->workspace = memory;
    return memory && bytes ? 0 : 1;
}
/* What the compute type keeps of a factor: all of it, 10 or 7 bits of its mantissa, rounded to even. */
static float rounded(float x, int drop) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (drop) bits += (1u << (drop - 1)) - 1 + (bits >> drop & 1), bits &= ~((1u << drop) - 1);
    memcpy(&x, &bits, sizeof x);
    return x;
}
EXPORT int cublasGemmEx(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *from_a,
                        int type_a, int lda, const void *from_b, int type_b, int ldb, const void *beta, void *to,
                        int type_c, int ldc, int compute, int algorithm) {
    if (m < 0 || n < 0 || k < 0 || lda < (op_a ? k : m) || ldb < (op_b ? n : k) || ldc < m) return 7;
    if (type_a || type_b || type_c || algorithm != -1) return 15;
    if (compute != 68 && compute != 75 && compute != 77) return 15;
    emulated_blas *blas = (emulated_blas *)handle;
    if (blas->stream->recording && !blas->workspace) return 14; /* it would have to allocate */
    float al = *(const float *)alpha, be = *(const float *)beta;
    const float *a = (const float *)from_a, *b = (const float *)from_b;
    float *c = (float *)to;
    int drop = compute == 68 ? 0 : compute == 77 ? 13 : 16;
    blas_calls++;
    submit(blas->stream, [=]() {
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                float sum = 0;
                for (int p = 0; p < k; p++)
                    sum += rounded(a[op_a ? p + (size_t)i * lda : i + (size_t)p * lda], drop) *
                           rounded(b[op_b ? j + (size_t)p * ldb : p + (size_t)j * ldb], drop);
                float *to = c + i + (size_t)j * ldc;
                *to = be == 0 ? al * sum : be * *to + al * sum;
            }
    });
    return 0;
}

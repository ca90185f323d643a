/* For tests: kernels of csrc/cuda/ as C++ on a CPU. Blocks run one after the other. The threads of a block that wait
 * for each other (DN_LAUNCH_SYNC) are fibers, which change places at __syncthreads; others (DN_LAUNCH) are a plain
 * loop, in which a barrier is an error. The order of the threads turns round after every barrier, so that a missing
 * barrier shows. */
#ifndef EMULATED_CUDA_RUNTIME_H
#define EMULATED_CUDA_RUNTIME_H
#include "cuda_runtime_api.h"
#include <cmath>
#include <cstdint>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define DN_SMALL_THREADS 64 /* fewer fibers, and loops that go round more than once */
#define DN_NOINLINE __attribute__((noinline))
#define __shared__ static thread_local

namespace emulation {
struct index3 {
    unsigned x;
};
struct place {
    index3 thread, block, block_dim, grid_dim;
};
extern thread_local place here;
void barrier();
/* Should this launch be refused, because of its shape or at a test's request? Then the runtime says so. */
bool refused(size_t blocks, unsigned threads);
/* Run now, or keep it when the stream records. `work` touches device memory. */
cudaError_t submit(cudaStream_t stream, std::function<void()> work);
extern thread_local uint32_t lanes[1024]; /* what the threads of a block show each other */
void block_of_fibers(unsigned threads, const std::function<void()> &thread);

template <class Kernel, class... Arguments>
void launch(Kernel kernel, unsigned blocks, unsigned threads, bool sync, cudaStream_t stream, Arguments... arguments) {
    if (refused(blocks, threads)) return;
    submit(stream, [=]() {
        here.block_dim.x = threads, here.grid_dim.x = blocks;
        for (unsigned b = 0; b < blocks; b++) {
            here.block.x = b;
            if (sync)
                block_of_fibers(threads, [&]() { kernel(arguments...); });
            else
                for (unsigned t = 0; t < threads; t++) here.thread.x = t, kernel(arguments...);
        }
    });
}
/* The type that fits a kernel template's parameters, as <<<>>> finds it. */
#define DN_LAUNCH(kernel, blocks, threads, stream, ...) \
    EMULATED_LAUNCH(false, kernel, blocks, threads, stream, __VA_ARGS__)
#define DN_LAUNCH_SYNC(kernel, blocks, threads, stream, ...) \
    EMULATED_LAUNCH(true, kernel, blocks, threads, stream, __VA_ARGS__)
#define EMULATED_LAUNCH(sync, kernel, blocks, threads, stream, ...) \
    emulation::launch([=](auto... values) { kernel(values...); }, blocks, threads, sync, stream, __VA_ARGS__)
} // namespace emulation

#define threadIdx emulation::here.thread
#define blockIdx emulation::here.block
#define blockDim emulation::here.block_dim
#define gridDim emulation::here.grid_dim
#define __syncthreads emulation::barrier
/* All threads of the block must take part, not only those of the warp. */
static inline float __shfl_xor_sync(unsigned, float value, int distance) {
    unsigned t = threadIdx.x;
    float other;
    __builtin_memcpy(&emulation::lanes[t], &value, sizeof value);
    emulation::barrier();
    __builtin_memcpy(&other, &emulation::lanes[t ^ (unsigned)distance], sizeof other);
    emulation::barrier();
    return other;
}
/* Blocks run one after the other. */
static inline unsigned atomicAdd(unsigned *to, unsigned value) {
    unsigned before = *to;
    *to = before + value;
    return before;
}
static inline void __threadfence() {}
static inline float __ldcg(const float *from) { return *from; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
#endif

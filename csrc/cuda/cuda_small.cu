/* The launches of small operations. */
#include "cuda/cuda_small.cuh"

template <class Body> static __device__ const Body &small_body(const dn_small_op &op) {
    const void *at = op.body;
    return *(const Body *)at;
}

template <class Body> static __device__ void small_each(const dn_small_op &op, int first, int step) {
    const Body &body = small_body<Body>(op);
    for (int i = first; i < op.n; i += step) body((size_t)i);
}

/* Values first, first + step, ... of an operation that has no sum. */
static __device__ void small_values(const dn_small_op &op, int first, int step) {
    switch (op.kind) {
    case DN_SMALL_FILL: small_each<fill_body>(op, first, step); break;
    case DN_SMALL_COPY_ROWS: small_each<rows_body<false>>(op, first, step); break;
    case DN_SMALL_ADD_ROWS: small_each<rows_body<true>>(op, first, step); break;
    case DN_SMALL_SET_STEP: small_each<step_body>(op, first, step); break;
    case DN_SMALL_GATHER_ROWS: small_each<gather_body>(op, first, step); break;
    case DN_SMALL_NORMALS: small_each<normals_body>(op, first, step); break;
    case DN_SMALL_REPARAMETERISE_GRADIENT: small_each<reparameterise_gradient_body>(op, first, step); break;
    case DN_SMALL_REPARAMETERISE: break;
    }
}

static __global__ void __launch_bounds__(DN_THREADS) small_one_kernel(dn_small_list list) {
    small_values(list.op[0], (int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(gridDim.x * blockDim.x));
}

/* All of them, by one block. */
static __global__ void __launch_bounds__(DN_SMALL_THREADS) small_list_kernel(dn_small_list list) {
    for (int k = 0; k < list.n; k++) {
        const dn_small_op &op = list.op[k];
        if (op.kind == DN_SMALL_REPARAMETERISE) {
            const reparameterise_body &body = small_body<reparameterise_body>(op);
            double sum = 0;
            for (int i = (int)threadIdx.x; i < op.n; i += DN_SMALL_THREADS) sum += body((size_t)i);
            sum = dn_block_sum<DN_SMALL_THREADS>(sum);
            if (threadIdx.x == 0) body.to.add(sum);
        } else {
            small_values(op, (int)threadIdx.x, DN_SMALL_THREADS);
        }
        __syncthreads(); /* the next one may read what this one wrote */
    }
}

extern "C" void dn_cuda_flush(const dn_cuda_place *on) {
    if (!on->small || !on->small->list.n) return;
    const dn_small_list list = on->small->list;
    on->small->list.n = 0;
    if (list.n == 1 && list.op[0].kind != DN_SMALL_REPARAMETERISE)
        DN_LAUNCH(small_one_kernel, dn_blocks((size_t)list.op[0].n, DN_MOST_BLOCKS), DN_THREADS, on->stream, list);
    else
        DN_LAUNCH_SYNC(small_list_kernel, 1, DN_SMALL_THREADS, on->stream, list);
    cudaError_t error = cudaGetLastError();
    if (on->small->error == cudaSuccess) on->small->error = error;
}

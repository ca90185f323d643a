/* C = alpha op(A) op(B) + beta C with our own kernel; cuda_backend.c prefers cuBLAS when it is there. */
#include "cuda_tile.cuh"

/* Row i of op(A), or column i of op(B): values at i * outer + p * inner, where one of the two is 1. */
template <bool ALONG> struct plain_side {
    static constexpr bool along_k = ALONG;
    typedef const float *Place;
    const float *values;
    int rows, ld;
    __device__ Place place(int, int i) const {
        return i < rows ? values + (ALONG ? (size_t)i * (size_t)ld : (size_t)i) : nullptr;
    }
    __device__ float at(Place row, int p) const { return row ? row[ALONG ? (size_t)p : (size_t)p * (size_t)ld] : 0; }
};

struct plain_result {
    float alpha, beta;
    float *c;
    int ld;
    __device__ void put(int, int i, int j, float sum) const {
        float *to = c + (size_t)i * (size_t)ld + (size_t)j;
        *to = beta == 0 ? alpha * sum : beta * *to + alpha * sum;
    }
};

extern "C" cudaError_t dn_cuda_gemm(const dn_cuda_place *on, int trans_a, int trans_b, int m, int n, int k, float alpha,
                                    const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    plain_result to = {alpha, beta, c, ldc};
    plain_side<true> a_rows = {a, m, lda}, b_rows = {b, n, ldb};
    plain_side<false> a_cols = {a, m, lda}, b_cols = {b, n, ldb};
    if (trans_a)
        return trans_b ? dn_tile(on, m, n, k, 1, a_cols, b_rows, to) : dn_tile(on, m, n, k, 1, a_cols, b_cols, to);
    return trans_b ? dn_tile(on, m, n, k, 1, a_rows, b_rows, to) : dn_tile(on, m, n, k, 1, a_rows, b_cols, to);
}

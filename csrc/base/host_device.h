/* DN_HD: before functions of headers that C and CUDA share. */
#ifndef DN_HOST_DEVICE_H
#define DN_HOST_DEVICE_H
#ifdef __CUDACC__
#define DN_HD static __host__ __device__ inline
#else
#define DN_HD static inline
#endif
#endif

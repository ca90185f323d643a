/* Eigenvalues of real symmetric matrices. */
#ifndef DN_EIGEN_H
#define DN_EIGEN_H
#include "base/pool.h"

/* The eigenvalues of a (n, n), descending, to values (n), each within about n 1e-16 of the largest one's size. The
 * matrix is overwritten. DN_E_MEMORY, or DN_E_INTERRUPTED by the thread's watch. `pool` NULL: with one thread; the
 * result is the same for any number of them. */
dn_status dn_eigenvalues(dn_pool *pool, size_t n, double *a, double *values);
#endif

/* The CPU operations: cpu_NAME for NAME of backend_ops.h, which says what each does. */
#ifndef DN_CPU_OPS_H
#define DN_CPU_OPS_H
#include "cpu/cpu_kernels.h"

/* The groups of operations that CPUs have. The other fused operations would gain nothing over the operations that
 * layers otherwise compose. */
#define CPU_REQUIRED 1
#define CPU_CONV 1
#define CPU_DENSE 1
#define CPU_LSTM 1
#define CPU_LOCAL 0
#define CPU_BIAS_ACTIVATE 0

#define DN_OP(group, name, parameters, arguments) \
    DN_WHEN(CPU_##group, void cpu_##name(dn_pool *pool, DN_LIST parameters);)
#define DN_QUERY(group, type, name, parameters, arguments) \
    DN_WHEN(CPU_##group, type cpu_##name(dn_pool *pool, DN_LIST parameters);)
#include "backend/backend_ops.h"
#endif

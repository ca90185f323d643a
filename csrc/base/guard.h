/* A network is used by one thread at a time; any other thread gets an error at once. What other threads may query at
 * any time (shapes, names, counts) is read under a lock; numbers that a call in progress changes are reported as they
 * were when the call began. */
#ifndef DN_GUARD_H
#define DN_GUARD_H
#include "base/status.h"

typedef struct dn_guard dn_guard;

/* Numbers that training changes, as other threads see them. */
typedef struct dn_shown {
    uint64_t seen;
    double cost, objective, learning_rate;
    size_t memory_bytes, untrained_bytes; /* held now; what the first training will add */
} dn_shown;

dn_status dn_guard_create(dn_guard **out);
void dn_guard_destroy(dn_guard *guard);
/* The calling thread owns the network until it has called dn_guard_leave once per enter; nested calls are fine.
 * DN_E_USAGE when another thread owns it. */
dn_status dn_guard_enter(dn_guard *guard);
/* For calls that cannot fail: wait until the other thread's call has finished. */
void dn_guard_wait(dn_guard *guard);
void dn_guard_leave(dn_guard *guard);
/* Held while reading or changing what every thread may read; recursive. */
void dn_guard_lock(dn_guard *guard);
void dn_guard_unlock(dn_guard *guard);
/* Call with the lock held. */
dn_shown *dn_guard_shown(dn_guard *guard);
#endif

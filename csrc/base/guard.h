/* A network is used by one thread at a time; others are told so at once. What they may ask for at any time (shapes,
 * names, counts) is read under a lock, with the numbers that a call in progress changes as they were when it began. */
#ifndef DN_GUARD_H
#define DN_GUARD_H
#include "base/status.h"

typedef struct dn_guard dn_guard;

/* Numbers that training changes, for other threads to see. */
typedef struct dn_shown {
    uint64_t seen;
    double cost, objective, learning_rate;
    size_t memory_bytes, untrained_bytes; /* what it holds; what the first training will add */
} dn_shown;

dn_status dn_guard_create(dn_guard **out);
void dn_guard_destroy(dn_guard *guard);
/* The calling thread has it until as many calls of dn_guard_leave; it may enter again meanwhile. DN_E_USAGE when
 * another thread has it. */
dn_status dn_guard_enter(dn_guard *guard);
/* For calls that cannot fail: wait until the other thread's call is done. */
void dn_guard_wait(dn_guard *guard);
void dn_guard_leave(dn_guard *guard);
/* Around reading and changing what every thread may read; may be nested. */
void dn_guard_lock(dn_guard *guard);
void dn_guard_unlock(dn_guard *guard);
/* Under the lock. */
dn_shown *dn_guard_shown(dn_guard *guard);
#endif

/* A copy of everything that training changes, in the memory of the network's device: parameters, running statistics,
 * moments and the state. It fits the network it was made for, also after a resize. */
#ifndef DN_SNAPSHOT_H
#define DN_SNAPSHOT_H
#include "net/network.h"

typedef struct dn_snapshot {
    float *floats; /* NULL: none */
    dn_train_state state;
} dn_snapshot;

/* Allocate one; the network first allocates what training needs. */
dn_status dn_snapshot_create(dn_snapshot *snapshot, dn_net *net);
void dn_snapshot_free(dn_snapshot *snapshot, const dn_net *net);
void dn_snapshot_take(dn_snapshot *snapshot, const dn_net *net);
/* Gradients that wait for an update are dropped. */
void dn_snapshot_restore(const dn_snapshot *snapshot, dn_net *net);
#endif

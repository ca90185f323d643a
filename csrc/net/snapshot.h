/* A copy of everything that training changes, in the memory of the network's device: parameters, running statistics,
 * moments, averages and the state. It fits the network it was made for, also after a resize. */
#ifndef DN_SNAPSHOT_H
#define DN_SNAPSHOT_H
#include "net/network.h"

typedef struct dn_snapshot {
    float *floats; /* NULL: none */
    int taken;     /* 1: they have been copied at least once */
    dn_train_state state;
} dn_snapshot;

/* Floats of one value for every parameter, or for every running statistic, laid out as the network's own. */
typedef struct dn_block {
    const char *prefix; /* of the tensors' names in files: "", "opt.m.", "opt.v.", "ema." */
    int statistics;
    float *floats;
    size_t n;
} dn_block;
enum { DN_SNAPSHOT_BLOCKS = 6 };
/* The blocks of a snapshot's floats; of the network itself if `snapshot` is NULL. Returns how many. */
int dn_snapshot_blocks(const dn_snapshot *snapshot, const dn_net *net, dn_block blocks[DN_SNAPSHOT_BLOCKS]);

/* Allocate one; the network first allocates what training needs. */
dn_status dn_snapshot_create(dn_snapshot *snapshot, dn_net *net);
void dn_snapshot_free(dn_snapshot *snapshot, const dn_net *net);
void dn_snapshot_take(dn_snapshot *snapshot, const dn_net *net);
/* Gradients that wait for an update are dropped. */
void dn_snapshot_restore(const dn_snapshot *snapshot, dn_net *net);
#endif

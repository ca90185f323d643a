#include "net/snapshot.h"
#include "base/sys.h"

typedef struct block {
    float *floats;
    size_t n;
} block;

/* The blocks that training changes; returns how many. */
static int snapshot_blocks(const dn_net *net, block blocks[4]) {
    const block all[4] = {{net->values, net->n_values},
                          {net->statistics, net->n_statistics},
                          {net->moment1, net->n_values},
                          {net->moment2, net->n_values}};
    int n = 0;
    for (int i = 0; i < 4; i++)
        if (all[i].floats) blocks[n++] = all[i];
    return n;
}

dn_status dn_snapshot_create(dn_snapshot *s, dn_net *net) {
    block blocks[4];
    size_t floats = 0, bytes;
    DN_TRY(dn_net_prepare_training(net)); /* so that there are the same blocks from now on */
    int n = snapshot_blocks(net, blocks);
    for (int i = 0; i < n; i++) floats += blocks[i].n;
    DN_TRY(dn_size_mul(&bytes, floats, sizeof(float)));
    s->floats = net->ops->alloc(net->pool, bytes);
    return s->floats ? DN_OK : DN_E_MEMORY;
}

void dn_snapshot_free(dn_snapshot *s, const dn_net *net) {
    if (s->floats) net->ops->free(net->pool, s->floats);
    s->floats = NULL;
}

void dn_snapshot_take(dn_snapshot *s, const dn_net *net) {
    block blocks[4];
    int n = snapshot_blocks(net, blocks);
    float *to = s->floats;
    for (int i = 0; i < n; to += blocks[i++].n) net->ops->copy(net->pool, blocks[i].n, blocks[i].floats, to);
    s->state = net->state;
}

void dn_snapshot_restore(const dn_snapshot *s, dn_net *net) {
    block blocks[4];
    int n = snapshot_blocks(net, blocks);
    const float *from = s->floats;
    for (int i = 0; i < n; from += blocks[i++].n) net->ops->copy(net->pool, blocks[i].n, from, blocks[i].floats);
    net->state = s->state;
    net->state.rows_since_update = 0;
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
}

#include "net/snapshot.h"
#include "base/sys.h"

int dn_snapshot_blocks(const dn_snapshot *s, const dn_net *net, dn_block blocks[DN_SNAPSHOT_BLOCKS]) {
    const dn_block own[DN_SNAPSHOT_BLOCKS] = {
        {"", 0, net->values, net->n_values},        {"", 1, net->statistics, net->n_statistics},
        {"opt.m.", 0, net->moment1, net->n_values}, {"opt.v.", 0, net->moment2, net->n_values},
        {"ema.", 0, net->averages, net->n_values},  {"ema.", 1, net->averaged_statistics, net->n_statistics}};
    float *at = s ? s->floats : NULL;
    int n = 0;
    for (int i = 0; i < DN_SNAPSHOT_BLOCKS; i++) {
        if (!own[i].floats) continue;
        blocks[n] = own[i];
        if (s) blocks[n].floats = at, at += own[i].n;
        n++;
    }
    return n;
}

dn_status dn_snapshot_create(dn_snapshot *s, dn_net *net) {
    dn_block blocks[DN_SNAPSHOT_BLOCKS];
    size_t floats = 0, bytes;
    DN_TRY(dn_net_prepare_training(net)); /* so that there are the same blocks from now on */
    int n = dn_snapshot_blocks(NULL, net, blocks);
    for (int i = 0; i < n; i++) floats += blocks[i].n;
    DN_TRY(dn_size_mul(&bytes, floats, sizeof(float)));
    s->floats = net->ops->alloc(net->pool, bytes);
    return s->floats ? DN_OK : DN_E_MEMORY;
}

void dn_snapshot_free(dn_snapshot *s, const dn_net *net) {
    if (s->floats) net->ops->free(net->pool, s->floats);
    s->floats = NULL, s->taken = 0;
}

/* Moments that no update has changed are zero, as a new snapshot is: that is not written, since large memory which is
 * never written is not taken from the machine. */
void dn_snapshot_take(dn_snapshot *s, const dn_net *net) {
    dn_block from[DN_SNAPSHOT_BLOCKS], to[DN_SNAPSHOT_BLOCKS];
    int n = dn_snapshot_blocks(NULL, net, from), all_new = !s->taken && !net->state.updates;
    dn_snapshot_blocks(s, net, to);
    for (int i = 0; i < n; i++) {
        int moments = from[i].floats == net->moment1 || from[i].floats == net->moment2;
        if (!(all_new && moments)) net->ops->copy(net->pool, from[i].n, from[i].floats, to[i].floats);
    }
    s->state = net->state, s->taken = 1;
}

void dn_snapshot_restore(const dn_snapshot *s, dn_net *net) {
    dn_block from[DN_SNAPSHOT_BLOCKS], to[DN_SNAPSHOT_BLOCKS];
    int n = dn_snapshot_blocks(s, net, from);
    dn_snapshot_blocks(NULL, net, to);
    for (int i = 0; i < n; i++) net->ops->copy(net->pool, from[i].n, from[i].floats, to[i].floats);
    net->state = s->state;
    net->state.rows_since_update = 0;
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
}

/* The blocks that hold a network's parameters and statistics. */
#include "base/sys.h"
#include "net/network_parts.h"
#include <stdio.h>
#include <string.h>

static dn_status memory_place(dn_tensor *t, size_t *at) {
    t->offset = *at;
    DN_CHECK(t->count <= SIZE_MAX / 2 && !__builtin_add_overflow(*at, dn_net_pad(t->count), at), DN_E_MEMORY,
             "%zu values more than %zu are too many", t->count, t->offset);
    return DN_OK;
}

/* Decayed tensors of all layers first, then the other parameters; statistics in a separate block. */
dn_status dn_net_place_tensors(dn_net *net) {
    for (int kind = DN_WEIGHT; kind <= DN_STATISTIC; kind++)
        for (int i = 0; i < net->n_layers; i++) {
            const dn_layer *l = &net->layers[i];
            for (int k = 0; k < l->n_tensors; k++) {
                dn_tensor *t = &l->tensors[k];
                if ((int)t->kind != kind) continue;
                DN_TRY(memory_place(t, kind == DN_STATISTIC ? &net->n_statistics : &net->n_values));
                if (kind == DN_STATISTIC) continue;
                net->n_params += t->count;
                if (l->learning_rate > net->largest_factor) net->largest_factor = l->learning_rate;
            }
        }
    return DN_OK;
}

static float *memory_block(const dn_net *net, size_t floats) {
    size_t bytes;
    return dn_size_mul(&bytes, floats, sizeof(float)) == DN_OK ? net->ops->alloc(net->pool, bytes) : NULL;
}

dn_status dn_net_allocate_parameters(dn_net *net) {
    net->values = memory_block(net, net->n_values), net->statistics = memory_block(net, net->n_statistics);
    return net->values && net->statistics ? DN_OK : DN_E_MEMORY;
}

void dn_net_free_parameters(dn_net *net) {
    float *blocks[] = {net->values, net->grads, net->moment1, net->moment2, net->statistics};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i]) net->ops->free(net->pool, blocks[i]);
}

void dn_net_point_tensors(dn_net *net) {
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            dn_tensor *t = &net->layers[i].tensors[k];
            t->value = (t->kind == DN_STATISTIC ? net->statistics : net->values) + t->offset;
            if (t->kind == DN_STATISTIC || !net->grads) continue;
            t->grad = net->grads + t->offset, t->moment1 = net->moment1 + t->offset;
            t->moment2 = net->moment2 ? net->moment2 + t->offset : NULL;
        }
}

static void memory_shape(const dn_tensor *t, char *text, size_t size) {
    size_t at = 0;
    *text = 0;
    for (int i = 0; i < t->n_dims && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%d", i ? " x " : "", t->dims[i]);
}

dn_status dn_net_check_tensors(const dn_net *net, const dn_layer *before) {
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_layer *l = &net->layers[i];
            const dn_tensor *a = &before[i].tensors[k], *b = &l->tensors[k];
            if (a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, sizeof a->dims)) continue;
            char old[80], new[80];
            memory_shape(a, old, sizeof old);
            memory_shape(b, new, sizeof new);
            return dn_fail(DN_E_USAGE,
                           "%s:%d: layer %d [%s] has %s of %s, but for an input of %d x %d they would be %s",
                           net->cfg->path, l->line, i, l->type->name, b->name, old, net->height, net->width, new);
        }
    return DN_OK;
}

dn_status dn_net_prepare_training(dn_net *net) {
    float *blocks[3] = {NULL};
    int missing = 0, n = net->grads ? 0 : net->settings.optimizer.adam ? 3 : 2;
    if (net->plan->deltas) return DN_OK;
    DN_CHECK(!net->cfg->untrained, DN_E_FORMAT, "%s", net->cfg->untrained);
    for (int i = 0; i < n; i++) missing |= !(blocks[i] = memory_block(net, net->n_values));
    if (missing || dn_plan_add_deltas(net->plan) != DN_OK) {
        for (int i = 0; i < n; i++)
            if (blocks[i]) net->ops->free(net->pool, blocks[i]);
        return DN_E_MEMORY;
    }
    if (n) net->grads = blocks[0], net->moment1 = blocks[1], net->moment2 = blocks[2];
    dn_net_point_tensors(net);
    return DN_OK;
}

/* What dn_net_prepare_training allocates: in total, or still to be allocated. */
size_t dn_net_training_bytes(const dn_net *net, int still) {
    size_t blocks = still && net->grads ? 0 : 2 + (net->settings.optimizer.adam != 0);
    return (blocks * net->n_values + (still && net->plan->deltas ? 0 : net->plan->n_deltas)) * sizeof(float);
}

size_t dn_net_bytes(const dn_net *net) {
    size_t blocks = net->grads ? net->moment2 ? 4 : 3 : 1;
    size_t bytes = (blocks * net->n_values + net->n_statistics) * sizeof(float) + dn_plan_bytes(net->plan);
    if (net->inference) bytes += dn_plan_bytes(net->inference);
    return bytes + (net->ops->own_bytes ? net->ops->own_bytes(net->pool) : 0);
}

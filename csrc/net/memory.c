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
    float *blocks[] = {
        net->values, net->grads, net->moment1, net->moment2, net->statistics, net->averages, net->averaged_statistics};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i]) net->ops->free(net->pool, blocks[i]);
}

static float *memory_value(const dn_net *net, const dn_tensor *t) {
    return (t->kind == DN_STATISTIC ? net->statistics : net->values) + t->offset;
}

void dn_net_point_tensors(dn_net *net) {
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            dn_tensor *t = &net->layers[i].tensors[k];
            t->value = memory_value(net, t);
            if (net->averages)
                t->average = (t->kind == DN_STATISTIC ? net->averaged_statistics : net->averages) + t->offset;
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

/* The blocks that training needs besides parameters and statistics: where each is noted, and its floats. */
typedef struct training_block {
    float **to;
    size_t floats;
} training_block;
enum { TRAINING_BLOCKS = 5 };

static int memory_training_blocks(dn_net *net, training_block blocks[TRAINING_BLOCKS]) {
    int n = 0;
    blocks[n++] = (training_block){&net->grads, net->n_values};
    blocks[n++] = (training_block){&net->moment1, net->n_values};
    if (net->settings.optimizer.rule != DN_SGD) blocks[n++] = (training_block){&net->moment2, net->n_values};
    if (net->ema > 0) {
        blocks[n++] = (training_block){&net->averages, net->n_values};
        blocks[n++] = (training_block){&net->averaged_statistics, net->n_statistics};
    }
    return n;
}

static size_t memory_training_floats(const dn_net *net) {
    training_block blocks[TRAINING_BLOCKS];
    size_t sum = 0;
    for (int i = memory_training_blocks((dn_net *)net, blocks); i-- > 0;) sum += blocks[i].floats;
    return sum;
}

dn_status dn_net_prepare_training(dn_net *net) {
    training_block blocks[TRAINING_BLOCKS];
    int missing = 0, n = net->grads ? 0 : memory_training_blocks(net, blocks);
    if (net->plan->deltas) return DN_OK;
    DN_CHECK(!net->cfg->untrained, DN_E_FORMAT, "%s", net->cfg->untrained);
    for (int i = 0; i < n; i++) missing |= !(*blocks[i].to = memory_block(net, blocks[i].floats));
    if (missing || dn_plan_add_deltas(net->plan) != DN_OK) {
        for (int i = 0; i < n; i++) {
            if (*blocks[i].to) net->ops->free(net->pool, *blocks[i].to);
            *blocks[i].to = NULL;
        }
        return DN_E_MEMORY;
    }
    dn_net_point_tensors(net);
    return DN_OK;
}

/* What dn_net_prepare_training allocates: in total, or still to be allocated. */
size_t dn_net_training_bytes(const dn_net *net, int still) {
    size_t floats = still && net->grads ? 0 : memory_training_floats(net);
    return (floats + (still && net->plan->deltas ? 0 : net->plan->n_deltas)) * sizeof(float);
}

size_t dn_net_bytes(const dn_net *net) {
    size_t floats = net->n_values + net->n_statistics + (net->grads ? memory_training_floats(net) : 0);
    size_t bytes = floats * sizeof(float) + dn_plan_bytes(net->plan);
    if (net->inference) bytes += dn_plan_bytes(net->inference);
    if (net->bounds) bytes += dn_plan_bytes(net->bounds);
    return bytes + (net->ops->own_bytes ? net->ops->own_bytes(net->pool) : 0);
}

/* ---- averages ---- */

static int memory_averaged(const dn_net *net) { return net->averages && net->state.updates; }

const float *dn_net_results(const dn_net *net, int statistics) {
    if (memory_averaged(net)) return statistics ? net->averaged_statistics : net->averages;
    return statistics ? net->statistics : net->values;
}

void dn_net_use_results(dn_net *net, int results) {
    if (!memory_averaged(net)) return;
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            dn_tensor *t = &net->layers[i].tensors[k];
            t->value = results ? t->average : memory_value(net, t);
        }
}

/* The blocks that a network's tensors and buffers lie in. */
#include "base/sys.h"
#include "net/network_parts.h"
#include <stdio.h>
#include <string.h>

static void *net_bytes(dn_net *net, size_t bytes) {
    net->memory_bytes += bytes;
    return net->ops->alloc(net->pool, bytes);
}
static float *net_block(dn_net *net, size_t floats) {
    size_t bytes;
    return dn_size_mul(&bytes, floats, sizeof(float)) == DN_OK ? net_bytes(net, bytes) : NULL;
}

/* *sum += a * b, padded. */
static dn_status net_add(size_t *sum, size_t a, size_t b) {
    size_t n;
    DN_TRY(dn_size_mul(&n, a, b));
    DN_CHECK(n <= SIZE_MAX / 2 && !__builtin_add_overflow(*sum, dn_net_pad(n), sum), DN_E_MEMORY,
             "a size of %zu x %zu more than %zu is too large", a, b, *sum);
    return DN_OK;
}

static void net_shape(const dn_tensor *t, char *text, size_t size) {
    size_t at = 0;
    *text = 0;
    for (int i = 0; i < t->n_dims && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%d", i ? " x " : "", t->dims[i]);
}

/* A resized network goes on with the parameters it had, so their shapes must not depend on the input's size. */
static dn_status net_take_over(dn_net *net) {
    const dn_net *from = net->resized_from;
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_layer *l = &net->layers[i];
            const dn_tensor *a = &from->layers[i].tensors[k], *b = &l->tensors[k];
            if (a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, sizeof a->dims)) continue;
            char old[80], new[80];
            net_shape(a, old, sizeof old);
            net_shape(b, new, sizeof new);
            return dn_fail(DN_E_USAGE,
                           "%s:%d: layer %d [%s] has %s of %s, but for an input of %d x %d they would be %s",
                           net->cfg->path, l->line, i, l->type->name, b->name, old, net->height, net->width, new);
        }
    net->values = from->values, net->statistics = from->statistics;
    net->grads = from->grads, net->moment1 = from->moment1, net->moment2 = from->moment2;
    int blocks = 1 + (net->grads != NULL) + (net->moment1 != NULL) + (net->moment2 != NULL);
    if (!net->run.inference) net->memory_bytes += (blocks * net->n_values + net->n_statistics) * sizeof(float);
    return DN_OK;
}

/* Decayed tensors of all layers first, then the other parameters. */
dn_status dn_net_layout_parameters(dn_net *net) {
    size_t at = 0;
    for (int kind = DN_WEIGHT; kind <= DN_BIAS; kind++)
        for (int i = 0; i < net->n_layers; i++) {
            dn_layer *l = &net->layers[i];
            for (int k = 0; k < l->n_tensors; k++) {
                dn_tensor *t = &l->tensors[k];
                if ((int)t->kind != kind) continue;
                t->offset = at;
                DN_TRY(net_add(&at, t->count, 1));
                if (l->learning_rate > net->largest_factor) net->largest_factor = l->learning_rate;
                net->n_params += t->count;
            }
        }
    net->n_values = at;
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++)
            if (net->layers[i].tensors[k].kind == DN_STATISTIC) {
                net->layers[i].tensors[k].offset = net->n_statistics;
                DN_TRY(net_add(&net->n_statistics, net->layers[i].tensors[k].count, 1));
            }
    if (net->resized_from) {
        DN_TRY(net_take_over(net));
    } else {
        net->values = net_block(net, at), net->statistics = net_block(net, net->n_statistics);
        if (!net->values || !net->statistics) return DN_E_MEMORY;
    }
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            dn_tensor *t = &net->layers[i].tensors[k];
            t->value = (t->kind == DN_STATISTIC ? net->statistics : net->values) + t->offset;
        }
    return DN_OK;
}

static void net_point_gradients(dn_net *net) {
    float *added = net->deltas, *set = net->deltas + net->n_added_deltas;
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &net->layers[i];
        float **d = i + 1 < net->n_layers && net->layers[i + 1].sets_dx ? &set : &added;
        l->delta = *d, *d += dn_net_pad((size_t)net->run.batch * l->outputs);
        l->dx = i ? net->layers[i - 1].delta : NULL;
        for (int k = 0; k < l->n_tensors; k++) {
            dn_tensor *t = &l->tensors[k];
            if (t->kind == DN_STATISTIC) continue;
            t->grad = net->grads + t->offset, t->moment1 = net->moment1 + t->offset;
            t->moment2 = net->moment2 ? net->moment2 + t->offset : NULL;
        }
    }
}

dn_status dn_net_prepare_training(dn_net *net) {
    if (net->deltas) return DN_OK;
    DN_CHECK(!net->cfg->untrained, DN_E_FORMAT, "%s", net->cfg->untrained);
    size_t before = net->memory_bytes;
    float *deltas = net_block(net, net->n_deltas), *blocks[3] = {net->grads, net->moment1, net->moment2};
    int missing = !deltas, n = net->run.optimizer.adam ? 3 : 2;
    for (int i = 0; !net->grads && i < n; i++) missing |= !(blocks[i] = net_block(net, net->n_values));
    if (missing) {
        for (int i = 0; !net->grads && i < n; i++)
            if (blocks[i]) net->ops->free(net->pool, blocks[i]);
        if (deltas) net->ops->free(net->pool, deltas);
        net->memory_bytes = before;
        return DN_E_MEMORY;
    }
    net->deltas = deltas, net->grads = blocks[0], net->moment1 = blocks[1], net->moment2 = blocks[2];
    net_point_gradients(net);
    return DN_OK;
}

dn_status dn_net_layout_activations(dn_net *net) {
    size_t batch = (size_t)net->run.batch, workspace = 0;
    DN_TRY(net_add(&net->n_activations, batch, (size_t)net->inputs));
    DN_TRY(net_add(&net->n_activations, batch, (size_t)net->truths));
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &net->layers[i];
        DN_TRY(net_add(&net->n_activations, batch, (size_t)l->outputs));
        l->sets_dx = l->type->can_set_dx && i > 0 && i > net->last_stopped && net->layers[i - 1].n_readers == 1;
        DN_TRY(net_add(&net->n_deltas, batch, (size_t)l->outputs));
        if (l->sets_dx) net->n_added_deltas -= dn_net_pad(batch * net->layers[i - 1].outputs);
        for (int k = 0; k < l->n_buffers; k++) DN_TRY(net_add(&net->n_activations, l->buffers[k].count, 1));
        if (l->workspace > workspace) workspace = l->workspace;
    }
    net->n_added_deltas += net->n_deltas;
    net->step = net_bytes(net, sizeof *net->step);
    net->run.sums = net_bytes(net, 2 * (size_t)net->n_layers * sizeof *net->run.sums);
    net->sums = dn_alloc(2 * (size_t)net->n_layers, sizeof *net->sums);
    net->run.step = net->step;
    if (!net->step || !net->run.sums || !net->sums) return DN_E_MEMORY;
    net->activations = net_block(net, net->n_activations);
    net->run.workspace = net_block(net, net->n_workspace = workspace);
    if (!net->activations || !net->run.workspace) return DN_E_MEMORY;
    float *a = net->activations;
    net->input = a, a += dn_net_pad(batch * net->inputs);
    net->truth = a, a += dn_net_pad(batch * net->truths);
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &net->layers[i];
        l->output = a, a += dn_net_pad(batch * l->outputs);
        for (int k = 0; k < l->n_buffers; k++) *l->buffers[k].where = a, a += dn_net_pad(l->buffers[k].count);
    }
    return DN_OK;
}

/* What dn_net_prepare_training asks for, in all and still. */
size_t dn_net_training_bytes(const dn_net *net, int still) {
    size_t blocks = still && net->grads ? 0 : 2 + (net->run.optimizer.adam != 0);
    return (blocks * net->n_values + (still && net->deltas ? 0 : net->n_deltas)) * sizeof(float);
}

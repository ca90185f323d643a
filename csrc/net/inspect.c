/* Looking into a network: what it is, its layers, its tensors. */
#include "base/scan.h"
#include "base/sys.h"
#include "net/network_parts.h"
#include <math.h>
#include <string.h>

dn_status dn_tensor_finite(const dn_layer *l, const dn_tensor *t, const float *host) {
    size_t at = 0;
    if (dn_all_finite(host, t->count)) return DN_OK;
    while (isfinite(host[at])) at++;
    return dn_fail(DN_E_NUMERIC, "value %zu of %s in layer %d [%s] is %s: set or load parameters that are finite", at,
                   t->name, l->index, l->type->name, isnan(host[at]) ? "nan" : "infinite");
}

dn_status dn_net_finite(const dn_net *net) {
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_tensor *t = &net->layers[i].tensors[k];
            float *host = dn_alloc(t->count, sizeof *host);
            if (!host) return DN_E_MEMORY;
            net->ops->download(net->pool, host, dn_net_results(net, t->kind == DN_STATISTIC) + t->offset,
                               t->count * sizeof *host);
            dn_status status = dn_tensor_finite(&net->layers[i], t, host);
            dn_free(host);
            DN_TRY(status);
        }
    return DN_OK;
}

double dn_net_flops(const dn_net *net) {
    double flops = 0;
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->flops) flops += net->layers[i].type->flops(&net->layers[i]);
    return flops;
}

/* Does its loss need a truth that the rows cannot be? */
static int net_needs_truth(const dn_net *net) {
    return net->truths && (net->truth_kind == DN_TRUTH_CLASSES || net->truths != net->inputs);
}

/* Do its losses take a truth of NaN as a missing value? */
static int net_takes_missing(const dn_net *net) {
    int takes = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_term *term = &net->layers[i].term;
        if (!term->type || !term->truths) continue;
        if (!term->type->missing) return 0;
        takes = 1;
    }
    return takes;
}

int dn_net_supervised(const dn_net *net, int own_truth) {
    dn_net_lock(net);
    int supervised = own_truth && net->sampling_layer < 0;
    dn_net_unlock(net);
    return supervised;
}

void dn_net_info_get(const dn_net *net, dn_net_info *info) {
    dn_net_lock(net);
    const dn_shown *shown = dn_guard_shown(net->guard);
    const dn_layer *out = &net->layers[net->output_layer];
    size_t training_bytes = shown->memory_bytes + shown->untrained_bytes;
    *info = (dn_net_info){.batch = net->plan->run.batch,
                          .subdivisions = net->subdivisions,
                          .time_steps = net->settings.time_steps,
                          .n_layers = net->n_layers,
                          .height = net->height,
                          .width = net->width,
                          .channels = net->channels,
                          .inputs = net->inputs,
                          .outputs = net->outputs,
                          .truths = net->truths,
                          .latent_size = net->latent_layer < 0 ? 0 : net->layers[net->latent_layer].outputs,
                          .latent_layer = net->latent_layer,
                          .variational = net->sampling_layer >= 0,
                          .data_columns = net->data_columns,
                          .missing = net_takes_missing(net),
                          .output_layer = net->output_layer,
                          .recurrent = net->recurrent,
                          .logits = net->logits,
                          .supervised = dn_net_supervised(net, net_needs_truth(net)),
                          .out_height = out->out_height,
                          .out_width = out->out_width,
                          .out_channels = out->out_channels,
                          .seen = shown->seen,
                          .seed = net->state.seed,
                          .max_batches = net->schedule.max_batches,
                          .cost = shown->cost,
                          .objective = shown->objective,
                          .learning_rate = shown->learning_rate,
                          .data_scale = net->notes.scale > 0 ? net->notes.scale : net->data_scale,
                          .n_params = net->n_params,
                          .memory_bytes = shown->memory_bytes,
                          .predicting_bytes = training_bytes - dn_net_training_bytes(net, 0),
                          .training_bytes = training_bytes,
                          .weights_bytes = dn_weights_bytes(net),
                          .threads = dn_pool_threads(net->pool),
                          .flops = dn_net_flops(net)};
    dn_net_unlock(net);
}

const char *dn_net_device(const dn_net *net) {
    dn_net_lock(net);
    const char *device = net->ops->describe ? net->ops->describe(net->pool) : net->ops->name;
    dn_net_unlock(net);
    return device;
}

const char *dn_net_label_column(const dn_net *net) {
    dn_net_lock(net);
    const char *column = net->notes.label_column ? net->notes.label_column : net->label_column;
    dn_net_unlock(net);
    return column;
}

const char *dn_net_row_weight(const dn_net *net) {
    dn_net_lock(net);
    const char *column = net->notes.row_weight ? net->notes.row_weight : net->row_weight;
    dn_net_unlock(net);
    return column;
}

int dn_net_warning_count(const dn_net *net) {
    dn_net_lock(net);
    int n = net->cfg->n_warnings;
    dn_net_unlock(net);
    return n;
}

const char *dn_net_warning(const dn_net *net, int i) {
    dn_net_lock(net);
    const char *text = i >= 0 && i < net->cfg->n_warnings ? net->cfg->warnings[i] : "";
    dn_net_unlock(net);
    return text;
}

static dn_status net_layer(const dn_net *net, int index, const dn_layer **out) {
    DN_CHECK(index >= 0 && index < net->n_layers, DN_E_USAGE, "layer %d: the network has %d", index, net->n_layers);
    *out = &net->plan->layers[index];
    return DN_OK;
}

static dn_status net_layer_info(const dn_net *net, int index, dn_layer_info *info) {
    const dn_layer *l = NULL;
    DN_TRY(net_layer(net, index, &l));
    *info = (dn_layer_info){.type = l->type->name,
                            .inputs = l->inputs,
                            .outputs = l->outputs,
                            .batch = net->plan->run.batch,
                            .height = l->height,
                            .width = l->width,
                            .channels = l->channels,
                            .out_height = l->out_height,
                            .out_width = l->out_width,
                            .out_channels = l->out_channels,
                            .filters = l->filters,
                            .size = l->size,
                            .stride = l->stride,
                            .n_tensors = l->n_tensors,
                            .flops = l->type->flops ? l->type->flops(l) : 0,
                            .line = l->line};
    memcpy(info->name, l->name, sizeof info->name);
    for (int i = 0; i < l->n_tensors; i++)
        if (l->tensors[i].kind != DN_STATISTIC) info->n_params += l->tensors[i].count;
    return DN_OK;
}

dn_status dn_layer_info_get(const dn_net *net, int index, dn_layer_info *info) {
    dn_net_lock(net);
    dn_status status = net_layer_info(net, index, info);
    dn_net_unlock(net);
    return status;
}

static dn_status net_tensor_info(const dn_net *net, int index, int tensor, dn_tensor_info *info) {
    const dn_layer *l = NULL;
    DN_TRY(net_layer(net, index, &l));
    DN_CHECK(tensor >= 0 && tensor < l->n_tensors, DN_E_USAGE, "layer %d has %d tensors, not a number %d", index,
             l->n_tensors, tensor);
    const dn_tensor *t = &l->tensors[tensor];
    *info = (dn_tensor_info){.count = t->count, .n_dims = t->n_dims, .trained = t->kind != DN_STATISTIC};
    memcpy(info->name, t->name, sizeof info->name);
    memcpy(info->dims, t->dims, sizeof info->dims);
    return DN_OK;
}

dn_status dn_tensor_info_get(const dn_net *net, int index, int tensor, dn_tensor_info *info) {
    dn_net_lock(net);
    dn_status status = net_tensor_info(net, index, tensor, info);
    dn_net_unlock(net);
    return status;
}

static dn_status net_tensor(const dn_net *net, int index, const char *name, size_t count, dn_tensor **out) {
    const dn_layer *l = NULL;
    DN_TRY(net_layer(net, index, &l));
    dn_tensor *t = dn_layer_find(l, name);
    DN_CHECK(t, DN_E_USAGE, "layer %d [%s] has no '%s'", index, l->type->name, name);
    DN_CHECK(count == t->count, DN_E_USAGE, "layer %d [%s] %s holds %zu values, not %zu", index, l->type->name, name,
             t->count, count);
    *out = t;
    return DN_OK;
}

static dn_status net_tensor_get(const dn_net *net, int layer, const char *name, float *values, size_t count) {
    dn_tensor *t = NULL;
    DN_TRY(net_tensor(net, layer, name, count, &t));
    net->ops->download(net->pool, values, t->value, count * sizeof *values);
    return DN_OK;
}

static dn_status net_tensor_set(dn_net *net, int layer, const char *name, const float *values, size_t count) {
    dn_tensor *t = NULL;
    DN_TRY(net_tensor(net, layer, name, count, &t));
    net->ops->upload(net->pool, t->value, values, count * sizeof *values);
    if (t->average) net->ops->upload(net->pool, t->average, values, count * sizeof *values);
    return DN_OK;
}

/* In Darknet's sign: minus the gradient. 0 - g also turns -0 into 0. */
static void net_negated(const dn_net *net, float *to, const float *from, size_t n) {
    memset(to, 0, n * sizeof *to);
    if (!from) return; /* never trained */
    net->ops->download(net->pool, to, from, n * sizeof *to);
    for (size_t i = 0; i < n; i++) to[i] = 0.0f - to[i];
}

static dn_status net_gradient_get(const dn_net *net, int layer, const char *name, float *values, size_t count) {
    dn_tensor *t = NULL;
    DN_TRY(net_tensor(net, layer, name, count, &t));
    DN_CHECK(t->kind != DN_STATISTIC, DN_E_USAGE, "layer %d: %s is a running statistic and has no gradient", layer,
             name);
    net_negated(net, values, t->grad, count);
    return DN_OK;
}

static dn_status net_rows(const dn_net *net, int index, size_t count, const dn_layer **out) {
    DN_TRY(net_layer(net, index, out));
    size_t have = (size_t)dn_plan_run(net->plan, *out)->rows * (*out)->outputs;
    DN_CHECK(count == have, DN_E_USAGE, "layer %d holds %zu values, not %zu", index, have, count);
    return DN_OK;
}

int dn_layer_rows(const dn_net *net, int layer) {
    if (layer < 0 || layer >= net->n_layers) return 0;
    return dn_plan_run(net->plan, &net->plan->layers[layer])->rows;
}

static dn_status net_layer_output(const dn_net *net, int layer, float *values, size_t count) {
    const dn_layer *l = NULL;
    DN_TRY(net_rows(net, layer, count, &l));
    net->ops->download(net->pool, values, l->output, count * sizeof *values);
    return DN_OK;
}

static dn_status net_layer_delta(const dn_net *net, int layer, float *values, size_t count) {
    const dn_layer *l = NULL;
    DN_TRY(net_rows(net, layer, count, &l));
    net_negated(net, values, l->delta, count);
    return DN_OK;
}

static dn_status net_layer_set_noise(dn_net *net, int layer, const float *values, size_t count) {
    const dn_layer *l = NULL;
    DN_TRY(net_layer(net, layer, &l));
    DN_CHECK(l->type->set_noise, DN_E_USAGE, "layer %d is a [%s], which draws no numbers", layer, l->type->name);
    int rows = net->plan->draws && layer >= net->sampling_layer ? net->plan->drawn.batch : net->plan->run.batch;
    DN_CHECK(count <= (size_t)rows * l->outputs, DN_E_USAGE, "%zu noise values for a batch of %d x %d", count, rows,
             l->outputs);
    return l->type->set_noise((dn_layer *)l, &net->plan->run, values, count);
}

/* ---- the same, for one thread at a time ---- */

dn_status dn_tensor_get(const dn_net *net, int layer, const char *name, float *values, size_t count) {
    DN_EXCLUSIVE(net, net_tensor_get(net, layer, name, values, count));
}
dn_status dn_tensor_set(dn_net *net, int layer, const char *name, const float *values, size_t count) {
    DN_EXCLUSIVE(net, net_tensor_set(net, layer, name, values, count));
}
dn_status dn_gradient_get(const dn_net *net, int layer, const char *name, float *values, size_t count) {
    DN_EXCLUSIVE(net, net_gradient_get(net, layer, name, values, count));
}
dn_status dn_layer_output(const dn_net *net, int layer, float *values, size_t count) {
    DN_EXCLUSIVE(net, net_layer_output(net, layer, values, count));
}
dn_status dn_layer_delta(const dn_net *net, int layer, float *values, size_t count) {
    DN_EXCLUSIVE(net, net_layer_delta(net, layer, values, count));
}
dn_status dn_layer_set_noise(dn_net *net, int layer, const float *values, size_t count) {
    DN_EXCLUSIVE(net, net_layer_set_noise(net, layer, values, count));
}

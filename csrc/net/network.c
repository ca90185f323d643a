/* Build a network from its cfg, lay out its memory, run it forward and back, update it. */
#include "net/network.h"
#include "base/sys.h"
#include "io/foreign.h"
#include "net/check.h"
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16 }; /* floats: tensors begin at cache lines */
static size_t net_pad(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- one thread at a time ---- */

static size_t net_training_bytes(const dn_net *net, int still);

/* What others may see while a call is at work, as it is now. */
static void net_show(const dn_net *net) {
    dn_guard_lock(net->guard);
    *dn_guard_shown(net->guard) = (dn_shown){.seen = net->seen,
                                             .cost = net->cost,
                                             .objective = net->objective,
                                             .learning_rate = dn_net_rate(net),
                                             .memory_bytes = net->memory_bytes,
                                             .untrained_bytes = net_training_bytes(net, 1)};
    dn_guard_unlock(net->guard);
}

dn_status dn_net_enter(const dn_net *net) { return dn_guard_enter(net->guard); }

dn_status dn_net_leave(const dn_net *net, dn_status status) {
    if (!net->run.inference) net_show(net); /* a wide plan's numbers are nobody's; also within a claim */
    dn_guard_leave(net->guard);
    return status;
}

dn_status dn_net_claim(dn_net *net) { return dn_net_enter(net); }
void dn_net_release(dn_net *net) { dn_net_leave(net, DN_OK); }
void dn_net_lock(const dn_net *net) { dn_guard_lock(net->guard); }
void dn_net_unlock(const dn_net *net) { dn_guard_unlock(net->guard); }

/* ---- build ---- */

typedef struct net_size { /* 0: as in the cfg */
    int height, width, batch;
} net_size;

static dn_status net_parse_batch(dn_net *net, dn_section *s, int rows) {
    int batch;
    DN_TRY(dn_cfg_int(s, "batch", 1, 1, 1 << 24, &batch));
    DN_TRY(dn_cfg_int(s, "subdivisions", 1, 1, 1 << 24, &net->subdivisions));
    DN_TRY(dn_cfg_int(s, "time_steps", 1, 1, 1 << 20, &net->run.time_steps));
    if (batch % net->subdivisions)
        return dn_cfg_error(s, "subdivisions", "batch=%d is not a multiple of subdivisions=%d", batch, net->subdivisions);
    if ((int64_t)(batch / net->subdivisions) * net->run.time_steps > INT_MAX)
        return dn_cfg_error(s, "batch", "batch=%d with time_steps=%d is too large", batch, net->run.time_steps);
    net->run.batch = rows ? rows : batch / net->subdivisions * net->run.time_steps;
    DN_CHECK(net->run.batch % net->run.time_steps == 0, DN_E_USAGE,
             "%s: %d rows in one pass are not whole sequences of time_steps=%d", net->cfg->path, rows,
             net->run.time_steps);
    return DN_OK;
}

static dn_status net_parse_optimizer(dn_net *net, dn_section *s) {
    double momentum, eps;
    DN_TRY(dn_cfg_float(s, "momentum", 0.9, &momentum));
    DN_TRY(dn_cfg_float(s, "decay", 0.0001, &net->decay));
    DN_TRY(dn_cfg_int(s, "adam", 0, 0, 1, &net->run.optimizer.adam));
    DN_TRY(dn_cfg_float(s, "B1", 0.9, &net->b1));
    DN_TRY(dn_cfg_float(s, "B2", 0.999, &net->b2));
    DN_TRY(dn_cfg_float(s, "eps", 1e-7, &eps));
    const struct {
        const char *key;
        double value;
    } parts[] = {{"momentum", momentum}, {"B1", net->b1}, {"B2", net->b2}};
    for (int i = 0; i < 3; i++)
        if (!(parts[i].value >= 0 && parts[i].value < 1))
            return dn_cfg_error(s, parts[i].key, "%s=%g is not in [0, 1)", parts[i].key, parts[i].value);
    if (eps <= 0) return dn_cfg_error(s, "eps", "eps=%g is not above 0", eps);
    if (net->decay < 0 || net->decay > FLT_MAX)
        return dn_cfg_error(s, "decay", "decay=%g is %s", net->decay, net->decay < 0 ? "below 0" : "beyond float32");
    net->run.decay = (float)net->decay;
    net->run.optimizer.momentum = (float)momentum, net->run.optimizer.eps = (float)eps;
    net->run.optimizer.b1 = (float)net->b1, net->run.optimizer.b2 = (float)net->b2;
    return DN_OK;
}

static dn_status net_parse_header(dn_net *net, net_size size) {
    static const char *const known[] = {"net", "network", NULL}, *const epsilons[] = {"legacy", NULL};
    dn_like like;
    dn_section *s = &net->cfg->sections[0];
    if (strcmp(s->name, "net") && strcmp(s->name, "network"))
        return dn_cfg_error(s, NULL, "the first section must be [net]%s", dn_cfg_like(&like, s->name, known));
    double unused;
    DN_TRY(dn_foreign_check(net->cfg, s, "net"));
    DN_TRY(net_parse_batch(net, s, size.batch));
    DN_TRY(dn_cfg_int(s, "height", 0, 0, 1 << 20, &net->height));
    DN_TRY(dn_cfg_int(s, "width", 0, 0, 1 << 20, &net->width));
    DN_TRY(dn_cfg_int(s, "channels", 0, 0, 1 << 20, &net->channels));
    int resized = size.height || size.width;
    if (size.height) net->height = size.height;
    if (size.width) net->width = size.width;
    size_t image;
    DN_TRY(dn_layer_size(s, &image, (size_t)net->height, (size_t)net->width, (size_t)net->channels, 1));
    if (image > INT_MAX) return dn_cfg_error(s, "height", "an image of %zu values is too large", image);
    DN_TRY(dn_cfg_int(s, "inputs", (int)image, 0, INT_MAX, &net->inputs));
    if (resized) net->inputs = (int)image;
    if (!net->inputs) return dn_cfg_error(s, NULL, "no inputs: give inputs= or height=, width= and channels=");
    double eps;
    DN_TRY(net_parse_optimizer(net, s));
    DN_TRY(dn_cfg_float(s, "data_scale", 1, &net->data_scale));
    if (net->data_scale == 0) return dn_cfg_error(s, "data_scale", "data_scale=0 cannot divide");
    net->label_column = dn_cfg_string(s, "label_column", "");
    net->run.bn_eps = 1e-5f;
    const char *bn_epsilon = dn_cfg_string(s, "bn_epsilon", "");
    if (!strcmp(bn_epsilon, "legacy")) {
        net->run.bn_eps = -1;
    } else {
        if (dn_cfg_float(s, "bn_epsilon", 1e-5, &eps) != DN_OK)
            return dn_cfg_error(s, "bn_epsilon", "bn_epsilon=%s is not a number or legacy%s", bn_epsilon,
                                dn_cfg_like(&like, bn_epsilon, epsilons));
        if (eps <= 0) return dn_cfg_error(s, "bn_epsilon", "bn_epsilon=%g is not above 0", eps);
        net->run.bn_eps = (float)eps;
    }
    DN_TRY(dn_schedule_parse(s, &net->schedule));
    static const char *const others[] = {"notruth", "random", "max_crop", "min_crop", "max_ratio", "min_ratio", "center",
                                         "angle", "aspect", "saturation", "exposure", "hue"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) /* read by Darknet's image trainers only */
        DN_TRY(dn_cfg_float(s, others[i], 0, &unused));
    DN_TRY(dn_cfg_no_effect(net->cfg, s, "clip", 0));
    dn_cfg_report_unread(net->cfg, s);
    return DN_OK;
}

static dn_status layer_parse_common(dn_layer *l, dn_section *s) {
    double rate;
    DN_TRY(dn_cfg_float(s, "learning_rate", 1, &rate));
    if (rate < 0 || rate > FLT_MAX)
        return dn_cfg_error(s, "learning_rate", "learning_rate=%g is %s: it is a factor of the network's", rate,
                            rate < 0 ? "below 0" : "beyond float32");
    l->learning_rate = (float)rate;
    DN_TRY(dn_cfg_int(s, "stopbackward", 0, 0, 1, &l->stop_backward));
    DN_TRY(dn_cfg_int(s, "dontsave", 0, 0, 1, &l->dont_save));
    DN_TRY(dn_cfg_int(s, "dontload", 0, 0, 1, &l->dont_load));
    DN_TRY(dn_cfg_int(s, "dontloadscales", 0, 0, 1, &l->dont_load_scales));
    DN_TRY(dn_cfg_int(s, "numload", 0, 0, INT_MAX, &l->n_load));
    static const char *const others[] = {"truth", "onlyforward", "smooth"};
    for (int i = 0; i < 3; i++) DN_TRY(dn_cfg_no_effect(l->net->cfg, s, others[i], 0));
    strncpy(l->name, dn_cfg_string(s, "name", ""), sizeof l->name - 1);
    return DN_OK;
}

/* The sampling layer; else, when the outputs are as many as the inputs, the narrowest layer behind which nothing reads what
 * lies before it. */
static int net_find_latent(const dn_net *net) {
    if (net->sampling_layer >= 0 || net->outputs != net->inputs) return net->sampling_layer;
    int narrowest = -1;
    for (int i = 0; i < net->output_layer; i++) {
        int open = 1, least = narrowest < 0 ? net->inputs : net->layers[narrowest].outputs;
        for (int j = i + 1; j <= net->output_layer && open; j++) open = net->layers[j].reads_from >= i;
        if (open && net->layers[i].outputs < least) narrowest = i;
    }
    return narrowest;
}

static dn_status net_parse_layers(dn_net *net) {
    int h = net->height, w = net->width, c = net->channels, inputs = net->inputs;
    size_t image = (size_t)h * w * c;
    if (image != (size_t)inputs) h = w = c = 0;
    int n = net->cfg->n_sections - 1;
    if (!n) return dn_cfg_error(&net->cfg->sections[0], NULL, "the network has no layers");
    net->layers = dn_alloc(n, sizeof *net->layers);
    if (!net->layers) return DN_E_MEMORY;
    net->sampling_layer = net->latent_layer = net->output_layer = -1;
    double s_image = 0;
    for (int i = 0; i < n; i++) {
        dn_section *s = &net->cfg->sections[i + 1];
        dn_layer *l = &net->layers[i];
        l->net = net, l->index = i, l->reads_from = i - 1, l->line = s->line;
        l->type = dn_layer_type_find(s->name);
        net->n_layers = i + 1; /* so that destroy sees it */
        if (!l->type) return dn_layer_type_unknown(s);
        DN_TRY(dn_foreign_check(net->cfg, s, l->type->name));
        l->inputs = inputs, l->height = h, l->width = w, l->channels = c;
        if (l->type->state_size && !(l->state = dn_alloc(1, l->type->state_size))) return DN_E_MEMORY;
        DN_TRY(layer_parse_common(l, s));
        DN_TRY(l->type->parse(l, s));
        if (i) net->layers[i - 1].n_readers++;
        dn_cfg_report_unread(net->cfg, s);
        if (l->outputs <= 0) return dn_cfg_error(s, NULL, "its output would have %d values", l->outputs);
        size_t total;
        DN_TRY(dn_layer_size(s, &total, (size_t)l->outputs, (size_t)net->run.batch, sizeof(float), 1));
        inputs = l->outputs, h = l->out_height, w = l->out_width, c = l->out_channels;
        if (!l->type->is_cost) net->output_layer = i;
        net->recurrent |= l->type->recurrent;
        if (net->sampling_layer < 0 && !strcmp(l->type->name, "sampling")) net->sampling_layer = i;
        if (l->truths && net->truths && l->truths != net->truths)
            return dn_cfg_error(s, NULL, "reads %d values of truth, an earlier layer %d: all must read the same", l->truths,
                                net->truths);
        if (l->truths) net->truths = l->truths;
        if (l->truths && l->truth_kind > net->truth_kind) net->truth_kind = l->truth_kind;
        if (l->type->has_loss && s_image == 0) s_image = l->loss_scale;
    }
    net->may_update_now = net->subdivisions == 1;
    for (int i = 0; i < n; i++) net->may_update_now &= !net->layers[i].stop_backward; /* below it decay alone acts */
    net->run.kl_scale = s_image > 0 ? s_image : 1;
    if (net->output_layer < 0) return dn_cfg_error(&net->cfg->sections[1], NULL, "the network has only cost layers");
    net->outputs = net->layers[net->output_layer].outputs;
    net->latent_layer = net_find_latent(net);
    net->logits = net->output_layer + 1 < n && net->layers[net->output_layer + 1].on_logits;
    return DN_OK;
}

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
    DN_CHECK(n <= SIZE_MAX / 2 && !__builtin_add_overflow(*sum, net_pad(n), sum), DN_E_MEMORY,
             "a size of %zu x %zu more than %zu is too large", a, b, *sum);
    return DN_OK;
}

/* Add a tensor to the ranges: to the last one when it goes on there. */
static void net_range(dn_range *ranges, int *n, const dn_tensor *t, float learning_rate) {
    dn_range *last = *n ? &ranges[*n - 1] : NULL;
    int decays = t->kind == DN_WEIGHT;
    if (!last || last->decays != decays || last->learning_rate != learning_rate || last->offset + last->count != t->offset) {
        last = &ranges[(*n)++];
        *last = (dn_range){t->offset, 0, decays, learning_rate};
    }
    last->count = t->offset + net_pad(t->count) - last->offset;
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

/* Decayed tensors of all layers first, then the other parameters; ranges collect neighbours with one learning rate. */
static dn_status net_layout_parameters(dn_net *net) {
    size_t at = 0;
    int n_tensors = 0;
    for (int i = 0; i < net->n_layers; i++) n_tensors += net->layers[i].n_tensors;
    net->ranges = dn_alloc((size_t)n_tensors + 1, sizeof *net->ranges);
    net->rest = dn_alloc((size_t)n_tensors + 1, sizeof *net->rest);
    if (!net->ranges || !net->rest) return DN_E_MEMORY;
    for (int kind = DN_WEIGHT; kind <= DN_BIAS; kind++)
        for (int i = 0; i < net->n_layers; i++) {
            dn_layer *l = &net->layers[i];
            for (int k = 0; k < l->n_tensors; k++) {
                dn_tensor *t = &l->tensors[k];
                if ((int)t->kind != kind) continue;
                t->offset = at;
                DN_TRY(net_add(&at, t->count, 1));
                if (l->learning_rate > net->largest_factor) net->largest_factor = l->learning_rate;
                net_range(net->ranges, &net->n_ranges, t, l->learning_rate);
                if (!l->updates_itself) net_range(net->rest, &net->n_rest, t, l->learning_rate);
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
        l->delta = *d, *d += net_pad((size_t)net->run.batch * l->outputs);
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

static dn_status net_layout_activations(dn_net *net) {
    size_t batch = (size_t)net->run.batch, workspace = 0;
    DN_TRY(net_add(&net->n_activations, batch, (size_t)net->inputs));
    DN_TRY(net_add(&net->n_activations, batch, (size_t)net->truths));
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &net->layers[i];
        DN_TRY(net_add(&net->n_activations, batch, (size_t)l->outputs));
        l->sets_dx = l->sets_dx && i && net->layers[i - 1].n_readers == 1;
        DN_TRY(net_add(&net->n_deltas, batch, (size_t)l->outputs));
        if (l->sets_dx) net->n_added_deltas -= net_pad(batch * net->layers[i - 1].outputs);
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
    net->input = a, a += net_pad(batch * net->inputs);
    net->truth = a, a += net_pad(batch * net->truths);
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &net->layers[i];
        l->output = a, a += net_pad(batch * l->outputs);
        for (int k = 0; k < l->n_buffers; k++) *l->buffers[k].where = a, a += net_pad(l->buffers[k].count);
        l->x = i ? net->layers[i - 1].output : net->input;
    }
    return DN_OK;
}

static double net_flops(const dn_net *net) {
    double flops = 0;
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->flops) flops += net->layers[i].type->flops(&net->layers[i]);
    return flops;
}

/* The device, when the shapes are known: `auto` looks at them. */
static dn_status net_open(dn_net *net, const char *device, const char *precision_name) {
    const dn_ops *ops;
    dn_precision precision;
    int index;
    DN_TRY(dn_precision_parse(precision_name, &precision));
    double flops = precision == DN_FLOAT32 ? net_flops(net) * net->run.batch : 1e300; /* only a GPU has the others */
    DN_TRY(dn_backend_find(device, flops, &ops, &index));
    dn_status status = ops->open ? ops->open(net->pool, index, precision) : DN_OK;
    if (status != DN_OK && !strcmp(device, "auto")) /* a GPU that cannot be had now */
        DN_TRY(dn_backend_find("cpu", 0, &ops, &index));
    else
        DN_TRY(status);
    if (!ops->open && precision != DN_FLOAT32) {
        if (status != DN_OK) return status; /* of the GPU */
        return dn_fail(DN_E_DEVICE, "precision '%s' needs a GPU: device '%s' computes in float32",
                       dn_precision_name(precision), ops->name);
    }
    net->ops = net->run.ops = ops;
    return DN_OK;
}

/* From the cfg to a network ready to run; pool and seed are there, and the backend when `device` is NULL. */
static dn_status net_assemble(dn_net *net, net_size size, const char *device, const char *precision) {
    DN_TRY(net_parse_header(net, size));
    DN_TRY(net_parse_layers(net));
    if (device) DN_TRY(net_open(net, device, precision));
    if (net->ops->own_bytes) net->memory_bytes += net->ops->own_bytes(net->pool);
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->plan) DN_TRY(net->layers[i].type->plan(&net->layers[i]));
    DN_TRY(net_layout_parameters(net));
    DN_TRY(net_layout_activations(net));
    for (int i = 0; i < net->n_layers; i++) {
        DN_TRY(dn_watched());
        if (net->layers[i].type->init) DN_TRY(net->layers[i].type->init(&net->layers[i]));
        DN_TRY(net->stopped); /* in the middle of a layer */
    }
    return DN_OK;
}

/* `net` with its cfg. */
static dn_status net_build(dn_net *net, const dn_net_options *options) {
    int threads;
    DN_TRY(dn_backend_check());
    DN_TRY(dn_pool_wanted(options ? options->threads : 0, &threads));
    DN_TRY(dn_guard_create(&net->guard));
    DN_TRY(dn_pool_create(&net->pool, threads));
    net->run.pool = net->pool;
    net->seed = net->run.seed = options ? options->seed : 0;
    return net_assemble(net, (net_size){.batch = options && options->batch > 0 ? options->batch : 0},
                        options && options->device ? options->device : "cpu", options ? options->precision : NULL);
}

static dn_status net_create(dn_net **out, const char *path, const char *text, const dn_net_options *options) {
    *out = NULL;
    dn_net *net = dn_alloc(1, sizeof *net);
    if (!net) return DN_E_MEMORY;
    dn_status status = text ? dn_cfg_text(&net->cfg, path, text) : dn_cfg_load(&net->cfg, path);
    if (status == DN_OK) status = net_build(net, options);
    if (status != DN_OK) {
        dn_net_destroy(net);
        return status;
    }
    net_show(net);
    *out = net;
    return DN_OK;
}

dn_status dn_net_create(dn_net **out, const char *path, const dn_net_options *options) {
    return net_create(out, path, NULL, options);
}

dn_status dn_net_create_text(dn_net **out, const char *text, const char *name, const dn_net_options *options) {
    return net_create(out, name ? name : "cfg_text", text, options);
}

/* The blocks of one layout belong to one network. */
static void net_let_go(dn_net *net) { net->values = net->statistics = net->grads = net->moment1 = net->moment2 = NULL; }

static void net_disassemble(dn_net *net);

/* One that was built on another's parameters. */
static void net_discard(dn_net *net) {
    net_let_go(net);
    net_disassemble(net);
    dn_free(net);
}

static void net_drop_wide(dn_net *net) {
    if (!net->wide) return;
    net->memory_bytes -= net->wide->memory_bytes;
    net_discard(net->wide);
    net->wide = NULL;
}

/* What net_assemble made, and the wide plan. */
static void net_disassemble(dn_net *net) {
    net_drop_wide(net);
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &net->layers[i];
        if (l->type && l->state && l->type->destroy) l->type->destroy(l);
        dn_free(l->state);
    }
    void *blocks[] = {net->values,      net->grads,  net->moment1,       net->moment2, net->statistics,
                      net->activations, net->deltas, net->run.workspace, net->step,    net->run.sums};
    for (size_t i = 0; net->ops && i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i]) net->ops->free(net->pool, blocks[i]);
    dn_free(net->sums);
    dn_free(net->ranges);
    dn_free(net->rest);
    dn_free(net->layers);
    dn_schedule_free(&net->schedule);
}

void dn_net_destroy(dn_net *net) {
    if (!net) return;
    net_disassemble(net);
    if (net->ops && net->ops->close) net->ops->close(net->pool);
    dn_pool_destroy(net->pool);
    dn_cfg_free(net->cfg);
    dn_guard_destroy(net->guard);
    dn_free(net);
}

/* `next` takes the place of what follows the guard; the old one's memory is freed. */
static void net_replace(dn_net *net, dn_net *next) {
    const size_t from = offsetof(dn_net, guard) + sizeof net->guard;
    dn_net old = *net;
    memcpy((char *)net + from, (char *)next + from, sizeof *net - from);
    net->resized_from = NULL;
    for (int i = 0; i < net->n_layers; i++) net->layers[i].net = net;
    net_let_go(&old);
    net_disassemble(&old);
    dn_free(next);
}

static dn_status net_resize(dn_net *net, int height, int width, int batch) {
    DN_CHECK(height >= 0 && width >= 0 && batch >= 0 && height <= 1 << 20 && width <= 1 << 20, DN_E_USAGE,
             "resize to height %d, width %d, batch %d: sizes are above 0, and 0 keeps one", height, width, batch);
    DN_CHECK((!height && !width) || net->height, DN_E_USAGE,
             "%s: the input is a vector of %d values, not an image to resize", net->cfg->path, net->inputs);
    net_size size = {height ? height : net->height, width ? width : net->width, batch ? batch : net->run.batch};
    if (!net->height) size.height = size.width = 0;
    dn_net *next = dn_alloc(1, sizeof *next);
    if (!next) return DN_E_MEMORY;
    *next = (dn_net){.guard = net->guard,
                     .cfg = net->cfg,
                     .pool = net->pool,
                     .ops = net->ops,
                     .seed = net->seed,
                     .seen = net->seen,
                     .updates = net->updates,
                     .schedule_from = net->schedule_from,
                     .rate_from = net->rate_from,
                     .batches_before = net->batches_before,
                     .rate_override = net->rate_override,
                     .rows_since_update = net->rows_since_update,
                     .layout = net->layout + 1,
                     .resized_from = net,
                     .run = {.ops = net->ops, .pool = net->pool, .seed = net->seed}};
    dn_status status = net_assemble(next, size, NULL, NULL);
    if (status == DN_OK && net->deltas) status = dn_net_prepare_training(next);
    if (status != DN_OK) {
        net_discard(next);
        return status;
    }
    net_replace(net, next);
    return DN_OK;
}

dn_status dn_net_resize(dn_net *net, int height, int width, int batch) {
    DN_TRY(dn_net_enter(net));
    dn_net_lock(net); /* others must not look at layers that go, nor at the cfg while it is read again */
    dn_status status = net_resize(net, height, width, batch);
    dn_net_unlock(net);
    return dn_net_leave(net, status);
}

enum { WIDE_ROWS = 512, WIDE_BYTES = 32 << 20 };

dn_net *dn_net_for_job(dn_net *net, size_t rows) {
    size_t batch = (size_t)net->run.batch, row = (net->n_activations + net->n_workspace) * sizeof(float) / batch;
    size_t fit = WIDE_BYTES / (row + 1), width = fit < WIDE_ROWS ? fit : WIDE_ROWS;
    if (rows <= batch || net->recurrent || width <= batch) return net;
    width -= width % (size_t)net->run.time_steps;
    if (net->wide) return net->wide;
    dn_net *wide = dn_alloc(1, sizeof *wide);
    if (!wide) return net;
    *wide = (dn_net){.guard = net->guard,
                     .cfg = net->cfg,
                     .pool = net->pool,
                     .ops = net->ops,
                     .seed = net->seed,
                     .resized_from = net,
                     .run = {.ops = net->ops, .pool = net->pool, .seed = net->seed, .inference = 1}};
    net_size size = {.batch = (int)width};
    if ((size_t)net->height * net->width * net->channels == (size_t)net->inputs)
        size.height = net->height, size.width = net->width;
    dn_net_lock(net); /* it reads the cfg again */
    dn_status status = net_assemble(wide, size, NULL, NULL);
    dn_net_unlock(net);
    net->wide = wide;
    net->memory_bytes += wide->memory_bytes;
    if (status == DN_OK) return wide;
    net_drop_wide(net);
    return net;
}

/* ---- forward, backward, update ---- */

dn_status dn_net_run_layers(dn_net *net, int first, int last, int rows, int training, const float *truth) {
    DN_CHECK(!net->recurrent || rows % net->run.time_steps == 0, DN_E_USAGE,
             "%d rows are not whole sequences of time_steps=%d", rows, net->run.time_steps);
    net->run.rows = rows, net->run.training = training, net->run.truth = truth;
    for (int i = first; i <= last; i++) {
        DN_TRY(dn_watched());
        DN_TRY(net->layers[i].type->forward(&net->layers[i]));
    }
    return DN_OK;
}

int dn_net_steps(const dn_net *net) { return net->recurrent ? net->run.time_steps : 1; }

size_t dn_net_place(const dn_net *net, size_t rows, size_t i) {
    size_t steps = (size_t)dn_net_steps(net), sequences = rows / steps;
    return i % steps * sequences + i / steps;
}

void dn_net_losses_clear(dn_net *net) {
    net->ops->fill(net->pool, 4 * (size_t)net->n_layers, 0, (float *)net->run.sums); /* as floats: 0 has the same bits */
    for (int i = 0; i < net->n_layers; i++) net->layers[i].host_cost = 0;
}

void dn_net_losses_keep(const dn_net *net, double *sums) {
    for (int i = 0; i < net->n_layers; i++)
        sums[2 * i] = net->layers[i].cost, sums[2 * i + 1] = net->layers[i].latent_loss;
}

void dn_net_losses_resume(dn_net *net, const double *sums) {
    net->ops->upload(net->pool, net->run.sums, sums, 2 * (size_t)net->n_layers * sizeof *sums);
    for (int i = 0; i < net->n_layers; i++) net->layers[i].host_cost = 0;
}

dn_status dn_net_losses(dn_net *net, double *image, double *latent, double *weighted) {
    double cost = 0;
    int n = 0;
    *latent = *weighted = 0;
    net->ops->download(net->pool, net->sums, net->run.sums, 2 * (size_t)net->n_layers * sizeof *net->sums);
    DN_TRY(net->ops->finish(net->pool));
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &net->layers[i];
        l->cost = net->sums[2 * i] + l->host_cost, l->latent_loss = net->sums[2 * i + 1];
        if (l->type->has_loss) cost += l->cost, n++;
        if (!strcmp(l->type->name, "sampling")) {
            *latent += l->latent_loss;
            *weighted += dn_sampling_beta(l) * l->latent_loss;
        }
    }
    *image = n ? cost / n : 0;
    return DN_OK;
}

static dn_status net_forward(dn_net *net, const float *x, const float *truth, int rows, int training) {
    DN_CHECK(rows >= 1 && rows <= net->run.batch, DN_E_USAGE, "%d rows given, the network takes 1 to %d", rows,
             net->run.batch);
    DN_CHECK(!truth || net->truths, DN_E_USAGE, "a truth was given, but the network has no cost layer");
    if (truth)
        DN_TRY(dn_check_truth(net, &(dn_part_of){"truth", truth, (size_t)rows, (size_t)net->truths, 0}, 0));
    net->ops->upload(net->pool, net->input, x, (size_t)rows * net->inputs * sizeof *x);
    if (truth) net->ops->upload(net->pool, net->truth, truth, (size_t)rows * net->truths * sizeof *truth);
    dn_net_losses_clear(net);
    dn_net_set_step(net, net->seen, 0, rows);
    dn_status status = dn_net_run_layers(net, 0, net->n_layers - 1, rows, training, truth ? net->truth : NULL);
    if (status != DN_OK) {
        net->run.rows = 0; /* nothing to go back from */
        return status;
    }
    if (training) net->seen += (uint64_t)rows;
    double latent, weighted;
    DN_TRY(dn_net_losses(net, &net->cost, &latent, &weighted));
    net->objective = net->run.kl_scale * weighted;
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->has_loss) net->objective += net->layers[i].loss_scale * net->layers[i].cost;
    return DN_OK;
}

dn_status dn_net_forward(dn_net *net, const float *x, const float *truth, int rows, int training) {
    DN_EXCLUSIVE(net, net_forward(net, x, truth, rows, training));
}

static dn_status net_backward_from(dn_net *net, int last) {
    net->rows_since_update += net->run.rows;
    for (int i = last; i >= 0; i--) {
        dn_layer *l = &net->layers[i];
        if (l->stop_backward) { /* what would have been set below; its own has arrived */
            for (int below = 0; below < i; below++)
                if (net->layers[below + 1].sets_dx)
                    net->ops->fill(net->pool, (size_t)net->run.batch * net->layers[below].outputs, 0,
                                   net->layers[below].delta);
            break;
        }
        if (l->type->backward) DN_TRY(l->type->backward(l));
    }
    return DN_OK;
}

static dn_status net_backward(dn_net *net) {
    DN_CHECK(net->run.rows > 0, DN_E_USAGE, "backward without a forward");
    DN_TRY(dn_net_prepare_training(net));
    net->ops->fill(net->pool, net->n_added_deltas, 0, net->deltas);
    return net_backward_from(net, net->n_layers - 1);
}

dn_status dn_net_backward(dn_net *net) { DN_EXCLUSIVE(net, net_backward(net)); }

/* A loss at the end that the layer before it can do in one with its own work. */
static int net_loss_behind(const dn_net *net, dn_loss_behind *behind) {
    if (net->n_layers < 2) return 0;
    const dn_layer *loss = &net->layers[net->n_layers - 1], *l = loss - 1;
    return l->updates_itself && l->type->train_with_loss && loss->type->plain_loss &&
           loss->type->plain_loss(loss, behind) && l->type->takes_loss(l, behind->loss);
}

dn_status dn_net_train_rows(dn_net *net, int rows, const float *truth, int update) {
    dn_loss_behind behind;
    int last = net->n_layers - 1;
    net->run.rows = rows;
    net->run.update_now = update && net->may_update_now && net->rows_since_update == 0;
    int fused = net->run.update_now && net_loss_behind(net, &behind);
    if (fused) last -= 2;
    dn_status status = dn_net_run_layers(net, 0, last, rows, 1, truth);
    net->ops->fill(net->pool, net->n_added_deltas, 0, net->deltas);
    if (status == DN_OK && fused) status = net->layers[last + 1].type->train_with_loss(&net->layers[last + 1], &behind);
    if (status == DN_OK) status = net_backward_from(net, last);
    if (status == DN_OK && update) dn_net_apply_update(net);
    net->run.update_now = 0;
    return status;
}

uint64_t dn_net_rows_per_update(const dn_net *net) { return (uint64_t)net->run.batch * (uint64_t)net->subdivisions; }

uint64_t dn_net_batch_number(const dn_net *net) {
    uint64_t n = dn_net_rows_per_update(net), rows = net->seen - net->rate_from;
    return rows / n + (rows % n > 0);
}

void dn_net_schedule_from(dn_net *net, uint64_t seen, uint64_t batches) {
    net->schedule_from = seen;
    net->batches_before = (int64_t)(batches - net->updates);
}

uint64_t dn_net_batches(const dn_net *net) { return net->updates + (uint64_t)net->batches_before; }

double dn_net_rate(const dn_net *net) {
    if (net->rate_override > 0) {
        dn_schedule schedule = net->schedule;
        schedule.learning_rate = net->rate_override;
        return dn_schedule_rate(&schedule, dn_net_batch_number(net), net->seed);
    }
    return dn_schedule_rate(&net->schedule, dn_net_batch_number(net), net->seed);
}

void dn_net_set_step(dn_net *net, uint64_t pass, uint64_t at, int64_t rows) {
    double t = (double)(net->updates + 1);
    net->step_rate = dn_net_rate(net);
    dn_step step = {.seed = net->seed, .pass = pass, .at = at, .rate = (float)net->step_rate,
                    .rows = (float)rows, .correction1 = (float)(1 - __builtin_pow(net->b1, t)),
                    .correction2 = (float)(1 - __builtin_pow(net->b2, t))};
    net->run.pass = pass;
    net->ops->set_step(net->pool, net->step, &step);
}

dn_status dn_net_check_rate(const dn_net *net) {
    DN_CHECK(net->step_rate * fmax(net->largest_factor, 1) < FLT_MAX, DN_E_NUMERIC,
             "%s: the learning rate of batch %llu is beyond float32: with gamma or scales above 1 it grows without end",
             net->cfg->path, (unsigned long long)dn_net_batch_number(net));
    return DN_OK;
}

void dn_net_apply_update(dn_net *net) {
    int now = net->run.update_now, n = now ? net->n_rest : net->n_ranges;
    for (int i = 0; i < n; i++) {
        const dn_range *r = now ? &net->rest[i] : &net->ranges[i];
        int decays = r->decays || net->run.optimizer.adam; /* Darknet decays biases too with Adam */
        net->ops->update(net->pool, &net->run.optimizer, net->step, r->count, r->learning_rate, decays ? (float)net->decay : 0,
                         net->values + r->offset, net->moment1 + r->offset,
                         net->moment2 ? net->moment2 + r->offset : NULL, net->grads + r->offset);
    }
    for (int i = 0; now && i < n; i++) net->ops->fill(net->pool, net->rest[i].count, 0, net->grads + net->rest[i].offset);
    if (!now) net->ops->fill(net->pool, net->n_values, 0, net->grads);
    net->updates++;
    net->rows_since_update = 0;
}

static dn_status net_update(dn_net *net) {
    DN_CHECK(net->rows_since_update > 0, DN_E_USAGE, "update without a backward");
    dn_net_set_step(net, net->run.pass, 0, net->rows_since_update);
    DN_TRY(dn_net_check_rate(net));
    dn_net_apply_update(net);
    return net->ops->finish(net->pool);
}

dn_status dn_net_update(dn_net *net) { DN_EXCLUSIVE(net, net_update(net)); }

static dn_status net_reset_state(dn_net *net) {
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->reset) net->layers[i].type->reset(&net->layers[i]);
    return DN_OK;
}

dn_status dn_net_reset_state(dn_net *net) { DN_EXCLUSIVE(net, net_reset_state(net)); }

/* ---- looking in ---- */

static int net_supervised(const dn_net *net) {
    return net->truths && net->sampling_layer < 0 &&
           (net->truth_kind == DN_TRUTH_CLASSES || net->truths != net->inputs);
}

/* What dn_net_prepare_training asks for, in all and still. */
static size_t net_training_bytes(const dn_net *net, int still) {
    size_t blocks = still && net->grads ? 0 : 2 + (net->run.optimizer.adam != 0);
    return (blocks * net->n_values + (still && net->deltas ? 0 : net->n_deltas)) * sizeof(float);
}

void dn_net_info_get(const dn_net *net, dn_net_info *info) {
    dn_net_lock(net);
    const dn_shown *shown = dn_guard_shown(net->guard);
    const dn_layer *out = &net->layers[net->output_layer];
    size_t training_bytes = shown->memory_bytes + shown->untrained_bytes;
    *info = (dn_net_info){.batch = net->run.batch,
                          .subdivisions = net->subdivisions,
                          .time_steps = net->run.time_steps,
                          .n_layers = net->n_layers,
                          .height = net->height,
                          .width = net->width,
                          .channels = net->channels,
                          .inputs = net->inputs,
                          .outputs = net->outputs,
                          .truths = net->truths,
                          .latent_size = net->latent_layer < 0 ? 0 : net->layers[net->latent_layer].outputs,
                          .variational = net->sampling_layer >= 0,
                          .logits = net->logits,
                          .supervised = net_supervised(net),
                          .out_height = out->out_height,
                          .out_width = out->out_width,
                          .out_channels = out->out_channels,
                          .seen = shown->seen,
                          .seed = net->seed,
                          .max_batches = net->schedule.max_batches,
                          .cost = shown->cost,
                          .objective = shown->objective,
                          .learning_rate = shown->learning_rate,
                          .data_scale = net->data_scale,
                          .n_params = net->n_params,
                          .memory_bytes = shown->memory_bytes,
                          .predicting_bytes = training_bytes - net_training_bytes(net, 0),
                          .training_bytes = training_bytes,
                          .weights_bytes = dn_weights_bytes(net),
                          .threads = dn_pool_threads(net->pool),
                          .flops = net_flops(net)};
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
    const char *column = net->label_column;
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
    *out = &net->layers[index];
    return DN_OK;
}

static dn_status net_layer_info(const dn_net *net, int index, dn_layer_info *info) {
    const dn_layer *l = NULL;
    DN_TRY(net_layer(net, index, &l));
    *info = (dn_layer_info){.type = l->type->name, .inputs = l->inputs, .outputs = l->outputs,
                            .batch = net->run.batch, .height = l->height, .width = l->width, .channels = l->channels,
                            .out_height = l->out_height, .out_width = l->out_width, .out_channels = l->out_channels,
                            .filters = l->filters, .size = l->size, .stride = l->stride, .n_tensors = l->n_tensors,
                            .flops = l->type->flops ? l->type->flops(l) : 0, .line = l->line};
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
    return DN_OK;
}

/* Darknet's sign: minus the gradient. 0 - g also turns -0 into 0. */
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
    size_t have = (size_t)net->run.rows * (*out)->outputs;
    DN_CHECK(count == have, DN_E_USAGE, "layer %d holds %zu values, not %zu", index, have, count);
    return DN_OK;
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
    DN_CHECK(count <= (size_t)net->run.batch * l->outputs, DN_E_USAGE, "%zu noise values for a batch of %d x %d", count,
             net->run.batch, l->outputs);
    l->type->set_noise((dn_layer *)l, values, count);
    return DN_OK;
}

/* ---- the same for one thread at a time ---- */

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

/* A network's life: building it from its cfg, resizing it, destroying it; one thread at a time. */
#include "base/sys.h"
#include "net/model_file.h"
#include "net/network_parts.h"
#include <stddef.h>
#include <string.h>

/* ---- one thread at a time ---- */

/* Publishes the current values, for other threads to see during a call. */
static void net_show(const dn_net *net) {
    dn_guard_lock(net->guard);
    *dn_guard_shown(net->guard) = (dn_shown){.seen = net->state.seen,
                                             .cost = net->cost,
                                             .objective = net->objective,
                                             .learning_rate = dn_net_rate(net),
                                             .memory_bytes = dn_net_bytes(net),
                                             .untrained_bytes = dn_net_training_bytes(net, 1)};
    dn_guard_unlock(net->guard);
}

dn_status dn_net_enter(const dn_net *net) { return dn_guard_enter(net->guard); }

dn_status dn_net_leave(const dn_net *net, dn_status status) {
    net_show(net); /* also within a claim */
    if (status != DN_OK) {
        dn_plan_doubt_weights(net->plan);
        dn_plan_doubt_weights(net->inference);
        dn_plan_doubt_weights(net->bounds);
    }
    dn_guard_leave(net->guard);
    return status;
}

dn_status dn_net_claim(dn_net *net) { return dn_net_enter(net); }
void dn_net_release(dn_net *net) { dn_net_leave(net, DN_OK); }
void dn_net_lock(const dn_net *net) { dn_guard_lock(net->guard); }
void dn_net_unlock(const dn_net *net) { dn_guard_unlock(net->guard); }

/* ---- from creation to the end ---- */

/* Opens the device once the shapes are known: `auto` needs them. */
static dn_status net_open(dn_net *net, const char *device, const char *precision_name) {
    const dn_ops *ops;
    dn_precision precision;
    int index;
    DN_TRY(dn_precision_parse(precision_name, &precision));
    double flops = precision == DN_FLOAT32 ? dn_net_flops(net) * net->settings.batch : 1e300; /* GPUs only */
    DN_TRY(dn_backend_find(device, flops, &ops, &index));
    dn_status status = ops->open ? ops->open(net->pool, index, precision) : DN_OK;
    if (status != DN_OK && !strcmp(device, "auto")) /* the GPU cannot be used now */
        DN_TRY(dn_backend_find("cpu", 0, &ops, &index));
    else
        DN_TRY(status);
    if (!ops->open && precision != DN_FLOAT32) {
        if (status != DN_OK) return status; /* of the GPU */
        return dn_fail(DN_E_DEVICE, "precision '%s' needs a GPU: device '%s' computes in float32",
                       dn_precision_name(precision), ops->name);
    }
    net->ops = ops;
    return DN_OK;
}

/* What the cfg describes at this size: layers, and the places of their tensors. */
static dn_status net_describe(dn_net *net, dn_net_size size) {
    DN_TRY(dn_net_parse_header(net, size));
    DN_TRY(dn_net_parse_layers(net));
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->tensors) DN_TRY(net->layers[i].type->tensors(&net->layers[i]));
    DN_TRY(dn_net_settle_draws(net));
    return dn_net_place_tensors(net);
}

static void net_free_description(dn_net *net) {
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &net->layers[i];
        if (l->type && l->state && l->type->destroy) l->type->destroy(l);
        dn_free(l->state);
        dn_free(l->tensors);
    }
    dn_free(net->layers);
    dn_schedule_free(&net->schedule);
}

/* Layers find their tensors, and draw initial weights if they have none yet and `model`, or NULL, has none. */
static dn_status net_init_layers(dn_net *net, const dn_st *model) {
    int drawn = net->drawn;
    dn_net_point_tensors(net);
    for (int i = 0; i < net->n_layers; i++) {
        DN_TRY(dn_watched());
        net->drawn = drawn || (model && dn_model_has_layer(model, &net->layers[i]));
        if (net->layers[i].type->init) DN_TRY(net->layers[i].type->init(&net->layers[i]));
        DN_TRY(net->stopped); /* in the middle of a layer */
    }
    net->drawn = 1;
    return DN_OK;
}

static dn_status net_assemble(dn_net *net, dn_net_size size, const char *device, const char *precision,
                              const dn_st *model) {
    DN_TRY(net_describe(net, size));
    DN_TRY(net_open(net, device, precision));
    DN_TRY(dn_net_allocate_parameters(net));
    DN_TRY(net_init_layers(net, model));
    return dn_plan_create(&net->plan, net, net->settings.batch, net->draws, 0);
}

/* Build `net` with its cfg; `model`: the file it is in, or NULL. */
static dn_status net_build(dn_net *net, const dn_net_options *options, const dn_st *model) {
    int threads;
    if (options)
        DN_CHECK(options->batch >= 0 && options->threads >= 0, DN_E_USAGE, "batch=%d, threads=%d: neither is below 0",
                 options->batch, options->threads);
    DN_TRY(dn_backend_check());
    if (options) DN_TRY(dn_net_override(net->cfg, options->set));
    DN_TRY(dn_pool_wanted(options ? options->threads : 0, &threads));
    DN_TRY(dn_guard_create(&net->guard));
    DN_TRY(dn_pool_create(&net->pool, threads));
    net->state.seed = options ? options->seed : 0;
    return net_assemble(net, (dn_net_size){.batch = options && options->batch > 0 ? options->batch : 0},
                        options && options->device ? options->device : "cpu", options ? options->precision : NULL,
                        model);
}

/* The parameters of the model that `net` was built from, and with options->training everything else. */
static dn_status net_fill(dn_net *net, const dn_st *model, const dn_net_options *options) {
    DN_TRY(dn_model_load(net, model, options && options->clear, 0, -1));
    return options && options->training ? dn_model_load_training(net, model) : DN_OK;
}

/* Where a network comes from: a model file, or a cfg's path or text. */
typedef struct net_source {
    const char *path, *text;
    const dn_st *model;
} net_source;

static dn_status net_create(dn_net **out, net_source from, const dn_net_options *options) {
    *out = NULL;
    dn_net *net = dn_alloc(1, sizeof *net);
    if (!net) return DN_E_MEMORY;
    dn_status status = from.model  ? dn_model_cfg(&net->cfg, from.model)
                       : from.text ? dn_cfg_text(&net->cfg, from.path, from.text)
                                   : dn_cfg_load(&net->cfg, from.path);
    if (status == DN_OK) status = net_build(net, options, from.model);
    if (status == DN_OK && from.model) status = net_fill(net, from.model, options);
    if (status != DN_OK) {
        dn_net_destroy(net);
        return status;
    }
    net_show(net);
    *out = net;
    return DN_OK;
}

/* Closes the file. */
static dn_status net_create_model(dn_net **out, dn_st *model, const dn_net_options *options) {
    dn_status status = net_create(out, (net_source){.model = model}, options);
    dn_st_close(model);
    return status;
}

dn_status dn_net_create(dn_net **out, const char *path, const dn_net_options *options) {
    dn_st *model;
    *out = NULL;
    if (!dn_is_model_file(path)) return net_create(out, (net_source){.path = path}, options);
    DN_TRY(dn_st_open(&model, path));
    return net_create_model(out, model, options);
}

dn_status dn_net_create_bytes(dn_net **out, const void *bytes, size_t size, const char *name,
                              const dn_net_options *options) {
    dn_st *model;
    *out = NULL;
    DN_TRY(dn_st_from_bytes(&model, bytes, size, name ? name : "bytes"));
    return net_create_model(out, model, options);
}

dn_status dn_net_create_text(dn_net **out, const char *text, const char *name, const dn_net_options *options) {
    return net_create(out, (net_source){.path = name ? name : "cfg_text", .text = text}, options);
}

void dn_net_destroy(dn_net *net) {
    if (!net) return;
    dn_plan_destroy(net->bounds);
    dn_plan_destroy(net->inference);
    dn_plan_destroy(net->plan);
    dn_net_free_parameters(net);
    net_free_description(net);
    if (net->ops && net->ops->close) net->ops->close(net->pool);
    dn_pool_destroy(net->pool);
    dn_cfg_free(net->cfg);
    dn_notes_free(&net->notes);
    dn_schema_free(net->schema);
    dn_guard_destroy(net->guard);
    dn_free(net);
}

/* ---- resizing ---- */

/* `net` keeps its present plan, or has none: create another one for this batch. */
static dn_status net_plan(dn_net *net, int batch, int training) {
    dn_plan *plan;
    DN_TRY(dn_plan_create(&plan, net, batch, net->draws, 0));
    dn_status status = training ? dn_plan_add_deltas(plan) : DN_OK;
    if (status != DN_OK) {
        dn_plan_destroy(plan);
        return status;
    }
    net->plan = plan, net->inference = net->bounds = NULL;
    net->settings.batch = batch;
    net->layout++;
    return DN_OK;
}

/* The shapes change: build a new description and replace the old one. */
static dn_status net_describe_again(dn_net *net, dn_net_size size, int training) {
    const size_t from = offsetof(dn_net, layers);
    dn_net before = *net;
    memset((char *)net + from, 0, sizeof *net - from);
    dn_status status = net_describe(net, size);
    if (status == DN_OK) status = dn_net_check_tensors(net, before.layers);
    if (status == DN_OK) status = net_init_layers(net, NULL);
    if (status == DN_OK) status = net_plan(net, size.batch, training);
    if (status == DN_OK) {
        net_free_description(&before);
        return DN_OK;
    }
    net_free_description(net);
    *net = before;
    return status;
}

static dn_status net_resize(dn_net *net, int height, int width, int batch) {
    DN_CHECK(height >= 0 && width >= 0 && batch >= 0 && height <= 1 << 20 && width <= 1 << 20, DN_E_USAGE,
             "resize to height %d, width %d, batch %d: sizes are above 0, and 0 keeps one", height, width, batch);
    DN_CHECK((!height && !width) || net->height, DN_E_USAGE,
             "%s: the input is a vector of %d values, not an image to resize", net->cfg->path, net->inputs);
    dn_net_size size = {height ? height : net->height, width ? width : net->width, batch ? batch : net->settings.batch};
    int training = net->plan->deltas != NULL, image = size.height != net->height || size.width != net->width;
    dn_plan *plans[] = {net->plan, net->inference, net->bounds};
    DN_CHECK(size.batch % net->settings.time_steps == 0, DN_E_USAGE,
             "%s: %d rows in one pass are not whole sequences of time_steps=%d", net->cfg->path, size.batch,
             net->settings.time_steps);
    DN_TRY(image ? net_describe_again(net, size, training) : net_plan(net, size.batch, training));
    for (int i = 0; i < 3; i++) dn_plan_destroy(plans[i]);
    return DN_OK;
}

dn_status dn_net_resize(dn_net *net, int height, int width, int batch) {
    DN_TRY(dn_net_enter(net));
    dn_net_lock(net); /* others must read neither layers that are being freed nor the cfg while it is parsed again */
    dn_status status = net_resize(net, height, width, batch);
    dn_net_unlock(net);
    return dn_net_leave(net, status);
}

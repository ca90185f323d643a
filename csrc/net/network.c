/* A network's life: build it from its cfg, resize it, widen it for jobs, destroy it; one thread at a time. */
#include "base/sys.h"
#include "net/network_parts.h"
#include <stddef.h>
#include <string.h>

/* ---- one thread at a time ---- */

/* What others may see while a call is at work, as it is now. */
static void net_show(const dn_net *net) {
    dn_guard_lock(net->guard);
    *dn_guard_shown(net->guard) = (dn_shown){.seen = net->state.seen,
                                             .cost = net->cost,
                                             .objective = net->objective,
                                             .learning_rate = dn_net_rate(net),
                                             .memory_bytes = net->memory_bytes,
                                             .untrained_bytes = dn_net_training_bytes(net, 1)};
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

/* ---- from creation to the end ---- */

/* The device, when the shapes are known: `auto` looks at them. */
static dn_status net_open(dn_net *net, const char *device, const char *precision_name) {
    const dn_ops *ops;
    dn_precision precision;
    int index;
    DN_TRY(dn_precision_parse(precision_name, &precision));
    double flops = precision == DN_FLOAT32 ? dn_net_flops(net) * net->run.batch : 1e300; /* only a GPU has the others */
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
static dn_status net_assemble(dn_net *net, dn_net_size size, const char *device, const char *precision) {
    DN_TRY(dn_net_parse_header(net, size));
    DN_TRY(dn_net_parse_layers(net));
    if (device) DN_TRY(net_open(net, device, precision));
    if (net->ops->own_bytes) net->memory_bytes += net->ops->own_bytes(net->pool);
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->plan) DN_TRY(net->layers[i].type->plan(&net->layers[i], &net->run));
    DN_TRY(dn_net_layout_parameters(net));
    DN_TRY(dn_net_layout_activations(net));
    DN_TRY(dn_net_link(net));
    for (int i = 0; i < net->n_layers; i++) {
        DN_TRY(dn_watched());
        if (net->layers[i].type->init) DN_TRY(net->layers[i].type->init(&net->layers[i], &net->run));
        DN_TRY(net->stopped); /* in the middle of a layer */
    }
    return DN_OK;
}

/* `net` with its cfg. */
static dn_status net_build(dn_net *net, const dn_net_options *options) {
    int threads;
    if (options)
        DN_CHECK(options->batch >= 0 && options->threads >= 0, DN_E_USAGE, "batch=%d, threads=%d: neither is below 0",
                 options->batch, options->threads);
    DN_TRY(dn_backend_check());
    DN_TRY(dn_pool_wanted(options ? options->threads : 0, &threads));
    DN_TRY(dn_guard_create(&net->guard));
    DN_TRY(dn_pool_create(&net->pool, threads));
    net->run.pool = net->pool;
    net->state.seed = options ? options->seed : 0;
    return net_assemble(net, (dn_net_size){.batch = options && options->batch > 0 ? options->batch : 0},
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
    dn_net_unlink(net);
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
    dn_net_size size = {height ? height : net->height, width ? width : net->width, batch ? batch : net->run.batch};
    if (!net->height) size.height = size.width = 0;
    dn_net *next = dn_alloc(1, sizeof *next);
    if (!next) return DN_E_MEMORY;
    *next = (dn_net){.guard = net->guard,
                     .cfg = net->cfg,
                     .pool = net->pool,
                     .ops = net->ops,
                     .state = net->state,
                     .layout = net->layout + 1,
                     .resized_from = net,
                     .run = {.ops = net->ops, .pool = net->pool}};
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
                     .state = net->state,
                     .resized_from = net,
                     .run = {.ops = net->ops, .pool = net->pool, .inference = 1}};
    dn_net_size size = {.batch = (int)width};
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

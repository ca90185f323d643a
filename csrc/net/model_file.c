/* The tensors of model files, and model files as a whole: from a network to a file or bytes, and back. */
#include "net/model_file.h"
#include "base/scan.h"
#include "base/sys.h"
#include "base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL_NAME = 96 };

static void tensor_name(char name[MODEL_NAME], const char *prefix, const dn_layer *l, const dn_tensor *t) {
    snprintf(name, MODEL_NAME, "%s%d.%s", prefix, l->index, t->name);
}

/* ---- checks ---- */

static void shape_text(int n_dims, const uint64_t *dims, char *text, size_t size) {
    size_t at = 0;
    if (!n_dims) snprintf(text, size, "a single value");
    for (int i = 0; i < n_dims && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%llu", i ? " x " : "", (unsigned long long)dims[i]);
}

static dn_status tensor_check(const dn_st *file, const dn_st_tensor *s, const dn_layer *l, const dn_tensor *t) {
    uint64_t wanted[6];
    char has[128], needs[128];
    int same = s->n_dims == t->n_dims;
    for (int i = 0; i < t->n_dims; i++) wanted[i] = (uint64_t)t->dims[i], same = same && s->dims[i] == wanted[i];
    shape_text(s->n_dims, s->dims, has, sizeof has);
    shape_text(t->n_dims, wanted, needs, sizeof needs);
    DN_CHECK(same, DN_E_FORMAT, "%s: '%s' is %s, layer %d [%s] needs %s: it is of another network", dn_st_label(file),
             s->name, has, l->index, l->type->name, needs);
    DN_CHECK(s->dtype == DN_ST_F32, DN_E_FORMAT, "%s: '%s' is of dtype %s; parameters are F32", dn_st_label(file),
             s->name, s->type);
    DN_CHECK(dn_all_finite(s->data, s->count), DN_E_FORMAT, "%s: '%s' has a value that is not finite",
             dn_st_label(file), s->name);
    return DN_OK;
}

/* The tensor of that layer in the file. */
static dn_status tensor_find(const dn_st *file, const char *prefix, const dn_layer *l, const dn_tensor *t,
                             const dn_st_tensor **out) {
    char name[MODEL_NAME];
    tensor_name(name, prefix, l, t);
    *out = dn_st_find(file, name);
    DN_CHECK(*out, DN_E_FORMAT, "%s: there is no '%s' in it, which layer %d [%s] needs: it is of another network",
             dn_st_label(file), name, l->index, l->type->name);
    return tensor_check(file, *out, l, t);
}

int dn_model_has_layer(const dn_st *file, const dn_layer *l) {
    char name[MODEL_NAME];
    if (l->dont_load) return 0;
    for (int k = 0; k < l->n_tensors; k++) {
        tensor_name(name, "", l, &l->tensors[k]);
        if (!dn_st_find(file, name)) return 0;
    }
    return 1;
}

/* Tensors that begin with the number of a layer must be of this network; others belong to something else. */
static dn_status no_others(const dn_net *net, const dn_st *file) {
    const dn_st_tensor *s;
    for (int i = 0; (s = dn_st_at(file, i)); i++) {
        size_t digits = strspn(s->name, "0123456789");
        if (!digits || digits > 8 || s->name[digits] != '.') continue;
        int layer = atoi(s->name);
        int known = layer < net->n_layers && dn_layer_find(&net->layers[layer], s->name + digits + 1);
        DN_CHECK(known, DN_E_FORMAT, "%s: the network has no '%.64s', which is in it: it is of another network",
                 dn_st_label(file), s->name);
    }
    return DN_OK;
}

/* ---- blocks ---- */

dn_status dn_model_add_block(dn_st_list *list, const dn_net *net, const char *prefix, const dn_block *block,
                             const float *host) {
    char name[MODEL_NAME];
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_tensor *t = &net->layers[i].tensors[k];
            if ((t->kind == DN_STATISTIC) != block->statistics) continue;
            tensor_name(name, prefix, &net->layers[i], t);
            DN_TRY(dn_st_add_tensor(list, name, DN_ST_F32, t->n_dims, t->dims, host + t->offset));
        }
    return DN_OK;
}

dn_status dn_model_read_block(const dn_net *net, const dn_st *file, const char *prefix, int statistics,
                              const dn_block *to) {
    const dn_st_tensor *s;
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_tensor *t = &net->layers[i].tensors[k];
            if ((t->kind == DN_STATISTIC) != statistics) continue;
            DN_TRY(tensor_find(file, prefix, &net->layers[i], t, &s));
            if (to) net->ops->upload(net->pool, to->floats + t->offset, s->data, s->bytes);
        }
    return DN_OK;
}

int dn_model_has_block(const dn_st *file, const char *prefix) {
    const dn_st_tensor *s;
    size_t n = strlen(prefix);
    for (int i = 0; (s = dn_st_at(file, i)); i++)
        if (!strncmp(s->name, prefix, n) && s->name[n] >= '0' && s->name[n] <= '9') return 1;
    return 0;
}

/* ---- loading ---- */

/* Check the layers' tensors, or copy them. A layer that is not saved need not be there. */
static dn_status load_layers(dn_net *net, const dn_st *file, const char *prefix, int start, int cutoff, int copy) {
    const dn_st_tensor *s;
    for (int i = start; i < net->n_layers && (cutoff < 0 || i < cutoff); i++) {
        dn_layer *l = &net->layers[i];
        if (l->dont_load || (l->dont_save && !dn_model_has_layer(file, l))) continue;
        if (!copy) DN_TRY(dn_watched()); /* not while values are copied: all or none */
        for (int k = 0; k < l->n_tensors; k++) {
            DN_TRY(tensor_find(file, prefix, l, &l->tensors[k], &s));
            if (copy) net->ops->upload(net->pool, l->tensors[k].value, s->data, s->bytes);
        }
    }
    return DN_OK;
}

static dn_status load_notes(dn_net *net, const dn_st *file, const dn_report *losses) {
    dn_model_notes notes = {0};
    size_t size;
    const char *text = dn_st_text(file, "darknet_vae.columns", &size);
    char label[256];
    snprintf(label, sizeof label, "%.200s: darknet_vae.columns", dn_st_label(file));
    dn_status status = text ? dn_notes_read(&notes, label, text, size) : DN_OK;
    notes.losses = *losses;
    dn_schema *schema = NULL;
    if (status == DN_OK) status = dn_model_read_schema(&schema, file);
    if (status == DN_OK && dn_schema_fits(net, schema) != DN_OK)
        status = dn_fail(DN_E_FORMAT, "%s: %s", label, dn_error());
    if (status == DN_OK) status = dn_notes_take(net, &notes);
    if (status == DN_OK)
        dn_schema_take(net, schema);
    else
        dn_schema_free(schema);
    dn_notes_free(&notes);
    return status;
}

dn_status dn_model_load(dn_net *net, const dn_st *file, int clear, int start, int cutoff) {
    dn_model_state read;
    DN_TRY(dn_model_read_state(file, &read));
    if (start < 0) start = 0;
    if (start == 0 && cutoff < 0) DN_TRY(no_others(net, file));
    /* of a checkpoint what a model file of that moment would hold */
    const char *prefix = dn_st_ours(file) && read.state.updates && dn_model_has_block(file, "ema.") ? "ema." : "";
    DN_TRY(load_layers(net, file, prefix, start, cutoff, 0));
    if (dn_st_ours(file)) DN_TRY(load_notes(net, file, &read.losses));
    DN_TRY(load_layers(net, file, prefix, start, cutoff, 1));
    dn_net_begin_anew(net, clear ? 0 : read.state.seen);
    return DN_OK;
}

dn_status dn_model_load_training(dn_net *net, const dn_st *file) {
    dn_model_state read;
    dn_block blocks[DN_SNAPSHOT_BLOCKS];
    DN_TRY(dn_model_read_state(file, &read));
    if (dn_model_has_block(file, "opt.m.")) DN_TRY(dn_net_prepare_training(net));
    int n = dn_snapshot_blocks(NULL, net, blocks);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++)
            DN_TRY(dn_model_read_block(net, file, blocks[i].prefix, blocks[i].statistics, pass ? &blocks[i] : NULL));
    net->state = read.state;
    return DN_OK;
}

/* Closes the file. */
static dn_status load_file(dn_net *net, dn_st *file, int clear, int start, int cutoff) {
    dn_status status = dn_model_load(net, file, clear, start, cutoff);
    dn_st_close(file);
    return status;
}

dn_status dn_model_load_path(dn_net *net, const char *path, int clear, int start, int cutoff) {
    dn_st *file;
    DN_TRY(dn_st_open(&file, path));
    return load_file(net, file, clear, start, cutoff);
}

dn_status dn_net_load_bytes(dn_net *net, const void *bytes, size_t size, const char *name, int clear, int start,
                            int cutoff) {
    dn_st *file;
    DN_TRY(dn_st_from_bytes(&file, bytes, size, name ? name : "bytes"));
    dn_status status = dn_net_enter(net);
    if (status == DN_OK) return dn_net_leave(net, load_file(net, file, clear, start, cutoff));
    dn_st_close(file);
    return status;
}

/* ---- saving ---- */

/* Layers with dontsave are not in a model, but in copies and checkpoints. */
static dn_status add_saved(dn_st_list *list, const dn_net *net, const dn_block *block, const float *host) {
    char name[MODEL_NAME];
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors && !net->layers[i].dont_save; k++) {
            const dn_tensor *t = &net->layers[i].tensors[k];
            if ((t->kind == DN_STATISTIC) != block->statistics) continue;
            tensor_name(name, "", &net->layers[i], t);
            DN_TRY(dn_tensor_finite(&net->layers[i], t, host + t->offset)); /* which loading refuses */
            DN_TRY(dn_st_add_tensor(list, name, DN_ST_F32, t->n_dims, t->dims, host + t->offset));
        }
    return DN_OK;
}

typedef dn_status (*model_sink)(const dn_st_list *list, void *context);

/* The list with all tensors goes to `sink`. `training`: moments too, and layers with dontsave. */
static dn_status model_write(const dn_net *net, int training, model_sink sink, void *context) {
    dn_st_list *list;
    dn_block blocks[DN_SNAPSHOT_BLOCKS];
    float *host[DN_SNAPSHOT_BLOCKS] = {NULL};
    int n = dn_snapshot_blocks(NULL, net, blocks);
    DN_TRY(dn_model_list(&list, net, NULL));
    dn_status status = DN_OK;
    for (int i = 0; i < n && status == DN_OK; i++) {
        const dn_block *b = &blocks[i];
        if (!training && *b->prefix) continue;
        if (!(host[i] = dn_realloc(NULL, b->n, sizeof(float)))) {
            status = DN_E_MEMORY;
            break;
        }
        const float *from = training ? b->floats : dn_net_results(net, b->statistics);
        net->ops->download(net->pool, host[i], from, b->n * sizeof(float));
        status = training ? dn_model_add_block(list, net, b->prefix, b, host[i]) : add_saved(list, net, b, host[i]);
    }
    if (status == DN_OK) status = net->ops->finish(net->pool);
    if (status == DN_OK) status = sink(list, context);
    for (int i = 0; i < n; i++) dn_free(host[i]);
    dn_st_list_free(list);
    return status;
}

static dn_status sink_path(const dn_st_list *list, void *context) { return dn_st_write(list, context); }

dn_status dn_model_save_path(const dn_net *net, const char *path) {
    dn_status status = model_write(net, 0, sink_path, (void *)path);
    return status == DN_E_NUMERIC ? dn_fail_prefix(status, "%s is not written: ", path) : status;
}

typedef struct model_bytes {
    char **bytes;
    size_t *size;
} model_bytes;

static dn_status sink_bytes(const dn_st_list *list, void *context) {
    const model_bytes *to = context;
    return dn_st_bytes(list, to->bytes, to->size);
}

static dn_status model_bytes_of(const dn_net *net, int training, char **bytes, size_t *size) {
    model_bytes to = {bytes, size};
    *bytes = NULL, *size = 0;
    DN_CHECK(!training || !net->state.rows_since_update, DN_E_USAGE,
             "gradients of %lld rows wait for an update: a copy would lose them",
             (long long)net->state.rows_since_update);
    return model_write(net, training, sink_bytes, &to);
}

dn_status dn_net_save_bytes(const dn_net *net, int training, char **bytes, size_t *size) {
    DN_EXCLUSIVE(net, model_bytes_of(net, training, bytes, size));
}

void dn_bytes_free(char *bytes) { dn_free(bytes); }

/* ---- which files are models ---- */

int dn_is_model_name(const char *path) { return dn_ends_in(path, ".safetensors"); }

int dn_is_model_file(const char *path) {
    char *bytes;
    size_t size, whole;
    if (dn_is_model_name(path)) return 1;
    if (!dn_file_is_regular(path) || dn_file_read_part(path, 16, &bytes, &size, &whole) != DN_OK) return 0;
    int is = dn_st_looks_like_one(bytes, size);
    dn_free(bytes);
    return is;
}

/* Darknet .weights: int32 major, minor, revision; seen (64 bits from version 0.2 on, else 32); then float32 tensors,
 * layer by layer, in the order in which the layer type plans them. Everything is little-endian, and there is no table
 * of contents, so sizes are checked against the network before anything is overwritten. */
#include "base/sys.h"
#include "base/text.h"
#include "io/csv.h"
#include "io/safetensors.h"
#include "net/network.h"
#include <stdio.h>
#include <string.h>

enum { MAX_VERSION = 1 << 24 }; /* four letters make a larger number */

/* How many of this tensor's values does the file hold? 0: it is not in the file. */
static size_t weights_in_file(const dn_layer *l, const dn_tensor *t, int loading) {
    if (t->flags & DN_NOT_IN_FILE) return 0;
    if (!loading) return t->count;
    int keys = l->type->file_keys;
    if ((keys & DN_DONTLOADSCALES) && l->dont_load_scales && (t->flags & DN_BN_TENSOR)) return 0;
    if ((keys & DN_NUMLOAD) && l->n_load > 0) return t->count / (size_t)t->dims[0] * (size_t)l->n_load;
    return t->count;
}

/* The tensors in file order; returns how many. */
static int weights_order(const dn_layer *l, int revision_025, dn_tensor **order) {
    int n = 0;
    if (!revision_025 || !l->type->order_025) {
        for (; n < l->n_tensors; n++) order[n] = (dn_tensor *)&l->tensors[n];
        return n;
    }
    for (const char *const *prefix = l->type->order_025; *prefix; prefix++)
        for (int k = 0; k < l->n_tensors; k++)
            if (!strncmp(l->tensors[k].name, *prefix, strlen(*prefix))) order[n++] = (dn_tensor *)&l->tensors[k];
    return n;
}

/* The number of its values in the file; with revision 0.25, a type with an order of its own stores all of them. */
static size_t weights_count(const dn_layer *l, const dn_tensor *t, int revision_025) {
    return revision_025 && l->type->order_025 ? t->count : weights_in_file(l, t, 1);
}

static size_t weights_layer_floats(const dn_layer *l, int revision_025) {
    size_t n = 0;
    for (int k = 0; k < l->n_tensors; k++) n += weights_count(l, &l->tensors[k], revision_025);
    return n;
}

size_t dn_weights_bytes(const dn_net *net) {
    size_t n = 0;
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors && !net->layers[i].dont_save; k++)
            n += weights_in_file(&net->layers[i], &net->layers[i].tensors[k], 0);
    return 20 + n * sizeof(float);
}

static dn_status weights_write(dn_writer *w, const float *host, size_t n) {
    enum { PART = 1 << 22 }; /* floats per part */
    for (size_t at = 0; at < n; at += PART) {
        DN_TRY(dn_watched());
        DN_TRY(dn_writer_write(w, host + at, (n - at < PART ? n - at : PART) * sizeof *host));
    }
    return DN_OK;
}

static dn_status weights_save(const dn_net *net, const char *path, int cutoff) {
    dn_writer *w;
    DN_TRY(dn_writer_open(&w, path));
    int32_t header[3] = {0, 2, 0};
    uint64_t seen = net->state.seen;
    dn_status status = dn_writer_write(w, header, sizeof header);
    if (status == DN_OK) status = dn_writer_write(w, &seen, sizeof seen);
    for (int i = 0; status == DN_OK && i < net->n_layers && (cutoff < 0 || i < cutoff); i++) {
        const dn_layer *l = &net->layers[i];
        for (int k = 0; status == DN_OK && !l->dont_save && k < l->n_tensors; k++) {
            const dn_tensor *t = &l->tensors[k];
            if (!weights_in_file(l, t, 0)) continue;
            float *host = dn_alloc(t->count, sizeof *host);
            if (!host) {
                status = DN_E_MEMORY;
                break;
            }
            const float *from = dn_net_results(net, t->kind == DN_STATISTIC) + t->offset;
            net->ops->download(net->pool, host, from, t->count * sizeof *host);
            status = dn_tensor_finite(l, t, host); /* which loading refuses */
            if (status == DN_E_NUMERIC) dn_fail_prefix(status, "%s is not written: ", path);
            if (status == DN_OK) status = weights_write(w, host, t->count);
            dn_free(host);
        }
    }
    return dn_writer_finish(w, status);
}

dn_status dn_net_save_range(const dn_net *net, const char *path, int cutoff) {
    DN_CHECK(!dn_ends_in(path, ".cfg"), DN_E_USAGE,
             "%s is the name of a cfg: weights are saved as F.weights, a whole network as F.safetensors", path);
    if (!dn_is_model_name(path)) DN_EXCLUSIVE(net, weights_save(net, path, cutoff));
    DN_CHECK(cutoff < 0, DN_E_USAGE, "%s: a model file has all layers; only a weights file can end before layer %d",
             path, cutoff);
    DN_EXCLUSIVE(net, dn_model_save_path(net, path));
}

dn_status dn_net_save(const dn_net *net, const char *path) { return dn_net_save_range(net, path, -1); }

/* file (rows, cols) row-major -> to (cols, rows) */
static void weights_transpose(const float *from, float *to, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) to[c * rows + r] = from[r * cols + c];
}

static dn_status weights_load_tensor(dn_net *net, dn_tensor *t, const char *at, size_t n, int old) {
    float *raw = dn_alloc(n, sizeof *raw), *turned = NULL;
    if (!raw) return DN_E_MEMORY;
    memcpy(raw, at, n * sizeof *raw);
    const float *from = raw;
    int matrix = t->kind == DN_WEIGHT && t->n_dims >= 2;
    size_t rows = matrix ? (size_t)t->dims[0] : 1, cols = t->count / rows;
    if (matrix && n == t->count &&
        ((old && t->n_dims == 2) || (t->flags & DN_FLIPPED))) { /* stored [in][out], or [c k k][n] */
        turned = dn_alloc(n, sizeof *turned);
        if (!turned) {
            dn_free(raw);
            return DN_E_MEMORY;
        }
        weights_transpose(raw, turned, cols, rows);
        from = turned;
    }
    net->ops->upload(net->pool, t->value, from, n * sizeof *from);
    dn_free(raw);
    dn_free(turned);
    return DN_OK;
}

/* The file ends within layer l: in which of its tensors? */
static dn_status weights_cut(const dn_layer *l, const char *path, int r025, size_t wanted, size_t left, size_t have) {
    dn_tensor *order[DN_MAX_TENSORS];
    int n = weights_order(l, r025, order), k = 0;
    size_t at = left, needs = 0;
    for (; k < n && (needs = weights_count(l, order[k], r025)) <= at; k++) at -= needs;
    return dn_fail(DN_E_FORMAT,
                   "%s: layer %d [%s] needs %zu values, the file has %zu left of %zu: it ends in the layer's %s (%zu "
                   "of %zu), so it "
                   "is cut short or of another network",
                   path, l->index, l->type->name, wanted, left, have, k < n ? order[k]->name : "end", at, needs);
}

/* What a weights file says of itself. */
typedef struct weights_header {
    int32_t version[3];
    uint64_t seen;
    size_t bytes; /* of the header */
} weights_header;

static int weights_is_old(const weights_header *h) { return h->version[0] > 1000 || h->version[1] > 1000; }

static dn_status weights_read_header(weights_header *h, const char *path, const char *data, size_t size) {
    DN_CHECK(size >= 16, DN_E_FORMAT, "%s: %zu bytes are too short for a weights file, whose header alone has 16 or 20",
             path, size);
    memcpy(h->version, data, sizeof h->version);
    const int32_t *v = h->version;
    int wide = (int64_t)v[0] * 10 + v[1] >= 2 && v[0] < 1000 && v[1] < 1000;
    h->bytes = wide ? 20 : 16;
    int other = v[0] < 0 || v[0] > MAX_VERSION || dn_st_looks_like_one(data, size);
    if (other) DN_TRY(dn_csv_content(path, data, size)); /* says what it is */
    DN_CHECK(v[0] >= 0 && v[0] <= MAX_VERSION && v[1] >= 0 && v[1] <= MAX_VERSION, DN_E_FORMAT,
             "%s: no weights file: it begins with %d and %d, which are no version", path, v[0], v[1]);
    DN_CHECK(size >= h->bytes, DN_E_FORMAT, "%s: %zu bytes are too short for the header of a weights file", path, size);
    if (wide) {
        memcpy(&h->seen, data + 12, 8);
    } else {
        int32_t narrow;
        memcpy(&narrow, data + 12, 4);
        h->seen = (uint64_t)(int64_t)narrow;
    }
    return DN_OK;
}

dn_status dn_weights_header(const char *path, int version[3], uint64_t *seen, size_t *values) {
    char *data;
    size_t got, size;
    weights_header h = {0};
    DN_TRY(dn_file_read_part(path, 4096, &data, &got, &size));
    dn_status status = weights_read_header(&h, path, data, got);
    dn_free(data);
    for (int i = 0; i < 3; i++) version[i] = h.version[i];
    *seen = h.seen, *values = status == DN_OK ? (size - h.bytes) / sizeof(float) : 0;
    return status;
}

/* `data` holds the first bytes of a file of `size` bytes: at least those of the requested layers. */
static dn_status weights_parse(dn_net *net, const char *path, const char *data, size_t size, int clear, int start,
                               int cutoff) {
    weights_header h;
    DN_TRY(weights_read_header(&h, path, data, size));
    int r025 = h.version[0] == 0 && h.version[1] == 2 && h.version[2] == 5, old = weights_is_old(&h);
    size_t at = h.bytes, total = 0;
    size_t have = (size - at) / sizeof(float), all = 0, saved = 0;
    for (int i = start; i < net->n_layers && (cutoff < 0 || i < cutoff); i++) {
        const dn_layer *l = &net->layers[i];
        size_t n = l->dont_load ? 0 : weights_layer_floats(l, r025);
        all += n, saved += l->dont_save ? 0 : n;
    }
    int unsaved_too = !(have == saved && saved < all); /* files for this network lack the layers with dontsave */
    for (int pass = 0; pass < 2; pass++) {             /* check, then copy */
        size_t position = at;
        total = 0;
        for (int i = start; i < net->n_layers && (cutoff < 0 || i < cutoff); i++) {
            dn_layer *l = &net->layers[i];
            if (l->dont_load || (l->dont_save && !unsaved_too)) continue;
            size_t wanted = weights_layer_floats(l, r025);
            if (total + wanted > have) return weights_cut(l, path, r025, wanted, have - total, have);
            dn_tensor *order[DN_MAX_TENSORS];
            int n_tensors = weights_order(l, r025, order);
            for (int k = 0; pass && k < n_tensors; k++) {
                size_t n = weights_count(l, order[k], r025);
                if (n) DN_TRY(weights_load_tensor(net, order[k], data + position, n, old));
                position += n * sizeof(float);
            }
            total += wanted;
        }
        int partial = start > 0 || cutoff >= 0;
        DN_CHECK(partial || total == have, DN_E_FORMAT,
                 "%s: %zu values are left behind the last layer: the network has %zu, the file %zu: it is of another "
                 "network",
                 path, have - total, total, have);
        DN_CHECK(partial || (size - at) % sizeof(float) == 0, DN_E_FORMAT,
                 "%s: %zu bytes behind the %zu values of the network: it is damaged or of another network", path,
                 (size - at) % sizeof(float), total);
        for (size_t p = 0; !pass && p < total; p++) {
            float v;
            if (p % (1 << 20) == 0) DN_TRY(dn_watched()); /* not while values are copied: all or none */
            memcpy(&v, data + at + p * sizeof v, sizeof v);
            DN_CHECK(__builtin_isfinite(v), DN_E_FORMAT, "%s: value %zu is %g: it is damaged or no weights file", path,
                     p, (double)v);
        }
    }
    dn_net_begin_anew(net, clear ? 0 : h.seen);
    net->notes.losses = (dn_report){0};
    return DN_OK;
}

/* The most bytes that the layers can need in a file of any version, plus a few, so that longer files are noticed. */
static size_t weights_most(const dn_net *net, int start, int cutoff) {
    size_t n = 0;
    for (int i = start; i < net->n_layers && (cutoff < 0 || i < cutoff); i++) {
        size_t plain = weights_layer_floats(&net->layers[i], 0), other = weights_layer_floats(&net->layers[i], 1);
        n += plain > other ? plain : other;
    }
    return 4096 + n * sizeof(float);
}

static dn_status weights_load(dn_net *net, const char *path, int clear, int start, int cutoff) {
    char *data;
    size_t got, size;
    if (start < 0) start = 0;
    DN_TRY(dn_file_read_part(path, weights_most(net, start, cutoff), &data, &got, &size));
    dn_status status = weights_parse(net, path, data, size, clear, start, cutoff);
    dn_free(data);
    return status;
}

dn_status dn_net_load_range(dn_net *net, const char *path, int clear, int start, int cutoff) {
    if (dn_is_model_file(path)) DN_EXCLUSIVE(net, dn_model_load_path(net, path, clear, start, cutoff));
    DN_EXCLUSIVE(net, weights_load(net, path, clear, start, cutoff));
}

dn_status dn_net_load(dn_net *net, const char *path, int clear) { return dn_net_load_range(net, path, clear, 0, -1); }

size_t dn_net_weights_name(const dn_net *net, int supervised, char *text, size_t size) {
    const char *path = net->cfg->path, *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int stem = (int)(path + dn_path_stem(path) - name);
    const char *suffix = net->cfg->complete ? "safetensors" : "weights"; /* of a model file comes another one */
    int n = supervised ? snprintf(text, size, "%.*s.%s", stem, name, suffix) : snprintf(text, size, "vae.%s", suffix);
    return n < 0 ? 0 : (size_t)n;
}

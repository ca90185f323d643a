/* What the network offers to layer types: shapes, tensors, buffers, initial weights. */
#include "net/layer.h"
#include "base/sys.h"
#include "net/latent.h"
#include "net/network.h"
#include <limits.h>
#include <string.h>

dn_layer *dn_layer_at(const dn_layer *layer, int index) { /* layers are contiguous, in a plan too */
    return index >= 0 && index < layer->net->n_layers ? (dn_layer *)layer + (index - layer->index) : NULL;
}

dn_status dn_layer_before(const dn_layer *l, dn_section *s, const char *key, int given, int *index) {
    *index = given < 0 ? l->index + given : given;
    if (!l->index)
        return dn_cfg_error(s, key, "%s=%d, but this is the first layer: there is none before it", key, given);
    if (*index < 0 || *index >= l->index)
        return dn_cfg_error(s, key, "%s=%d is not a layer before this one (0 to %d)", key, given, l->index - 1);
    return DN_OK;
}

void dn_layer_reads(dn_layer *l, int source) {
    if (source < l->reads_from) l->reads_from = source;
    if (source < 0) return;
    l->net->layers[source].n_readers++;
    if (l->index > l->net->layers[source].last_reader) l->net->layers[source].last_reader = l->index;
}

void dn_layer_image_out(dn_layer *l, int channels, int height, int width) {
    l->out_channels = channels, l->out_height = height, l->out_width = width;
    int64_t n = (int64_t)channels * height; /* its reader has checked that each is below 2^31 */
    l->outputs = n > INT_MAX || n * width > INT_MAX ? -1 : (int)(n * width);
}

void dn_layer_vector_out(dn_layer *l, int outputs) {
    l->outputs = outputs;
    l->out_channels = outputs, l->out_height = l->out_width = 1;
}

const dn_layer *dn_layer_to_blame(const dn_layer *l, int index) {
    const dn_layer *from;
    for (; (from = dn_layer_at(l, index)) && !from->out_height; index--)
        if (*from->no_image) return from;
    return NULL;
}

dn_status dn_layer_need_image(dn_layer *l, dn_section *s) {
    if (l->height > 0 && l->width > 0 && l->channels > 0) return DN_OK;
    const dn_layer *blamed = dn_layer_to_blame(l, l->index - 1);
    if (blamed)
        return dn_fail(DN_E_FORMAT, "%s:%d: [%s] %s, so its output is no image, which the [%s] of line %d needs",
                       s->cfg->path, blamed->line, blamed->type->name, blamed->no_image, s->name, s->line);
    return dn_cfg_error(s, NULL, "needs an image (height, width, channels), but its input is a vector of %d values",
                        l->inputs);
}

double dn_term_cost(const dn_term *term, double loss) {
    dn_kl_form form = term->rule ? term->rule->form : DN_KL_PLAIN;
    float unused;
    return form < DN_KL_FREE_ROWS ? loss : dn_kl_cost_one(form, loss, (float)term->limit, &unused);
}

dn_status dn_layer_size(dn_section *s, size_t *out, size_t a, size_t b, size_t c, size_t d) {
    size_t n = a;
    const size_t factors[3] = {b, c, d};
    for (int i = 0; i < 3; i++)
        if (__builtin_mul_overflow(n, factors[i], &n) || n > (size_t)1 << 40)
            return dn_cfg_error(s, NULL, "size %zu x %zu x %zu x %zu is too large", a, b, c, d);
    *out = n;
    return DN_OK;
}

dn_status dn_layer_tensor(dn_layer *l, const char *name, dn_tensor_kind kind, int flags, int n_dims, const int *dims) {
    DN_CHECK(l->n_tensors < DN_MAX_TENSORS, DN_E_USAGE, "[%s] has too many tensors", l->type->name);
    dn_tensor *tensors = dn_realloc(l->tensors, (size_t)l->n_tensors + 1, sizeof *tensors);
    if (!tensors) return DN_E_MEMORY;
    l->tensors = tensors;
    dn_tensor *t = &tensors[l->n_tensors];
    *t = (dn_tensor){.kind = kind, .flags = flags, .n_dims = n_dims, .count = 1};
    for (int i = 0; i < n_dims; i++) {
        t->dims[i] = dims[i];
        DN_TRY(dn_size_mul(&t->count, t->count, (size_t)dims[i]));
    }
    strncpy(t->name, name, sizeof t->name - 1);
    l->n_tensors++;
    return DN_OK;
}

static dn_status layer_add_buffer(dn_layer *l, dn_buffer buffer) {
    dn_buffer *buffers = dn_realloc(l->buffers, (size_t)l->n_buffers + 1, sizeof *buffers);
    if (!buffers) return DN_E_MEMORY;
    l->buffers = buffers;
    buffers[l->n_buffers++] = buffer;
    return DN_OK;
}

dn_status dn_layer_buffer(dn_layer *l, float **where, size_t count) {
    return layer_add_buffer(l, (dn_buffer){.where = where, .count = count});
}

void *dn_layer_host_buffer(dn_layer *l, size_t count, size_t size) {
    void *host = dn_alloc(count, size);
    if (host && layer_add_buffer(l, (dn_buffer){.host = host}) == DN_OK) return host;
    dn_free(host);
    return NULL;
}

dn_status dn_layer_training_buffer(dn_layer *l, const dn_run *run, float **where, size_t count) {
    return run->inference ? DN_OK : dn_layer_buffer(l, where, count);
}

void dn_layer_workspace(dn_layer *l, size_t count) {
    if (count > l->workspace) l->workspace = count;
}

const float *dn_layer_weighted(const dn_layer *l, const dn_run *run, const float *gradient) {
    size_t rows = (size_t)run->rows, inputs = (size_t)l->inputs;
    if (!run->row_weights) return gradient;
    run->ops->copy(run->pool, rows * inputs, gradient, run->workspace);
    run->ops->scale_rows(run->pool, rows, inputs, run->row_weights, run->workspace);
    return run->workspace;
}

dn_status dn_layer_noise_rows(const dn_layer *l, size_t count) {
    DN_CHECK(count && count % (size_t)l->outputs == 0, DN_E_USAGE,
             "%zu noise values are not whole rows of %d values, as layer %d [%s] takes", count, l->outputs, l->index,
             l->type->name);
    return DN_OK;
}

dn_tensor *dn_layer_find(const dn_layer *l, const char *name) {
    for (int i = 0; i < l->n_tensors; i++)
        if (!strcmp(l->tensors[i].name, name)) return (dn_tensor *)&l->tensors[i];
    return NULL;
}

static void layer_init(dn_layer *l, dn_tensor *t, int normal, float scale) {
    dn_net *net = l->net;
    if (net->drawn) return;
    uint64_t seed = net->state.seed;
    uint32_t stream = DN_STREAM_INIT + (uint32_t)l->index * DN_MAX_TENSORS + (uint32_t)(t - l->tensors);
    float part[1024];
    for (size_t i = 0; i < t->count; i += 1024) { /* in parts, to avoid a second copy of a large tensor */
        if (i % (1 << 20) == 0 && (net->stopped != DN_OK || (net->stopped = dn_watched()) != DN_OK)) return;
        size_t n = t->count - i < 1024 ? t->count - i : 1024;
        for (size_t j = 0; j < n; j += 4) {
            float four[4];
            if (normal) {
                dn_normal4(seed, stream, (i + j) / 4 >> 32, (uint32_t)((i + j) / 4), four);
            } else {
                uint32_t bits[4];
                dn_philox(seed, stream, (i + j) / 4 >> 32, (uint32_t)((i + j) / 4), bits);
                for (int k = 0; k < 4; k++) four[k] = 2 * dn_uniform_of(bits[k]) - 1;
            }
            for (size_t k = 0; k < 4 && j + k < n; k++) part[j + k] = scale * four[k];
        }
        net->ops->upload(net->pool, t->value + i, part, n * sizeof *part);
    }
}

void dn_layer_init_uniform(dn_layer *l, dn_tensor *t, float scale) { layer_init(l, t, 0, scale); }
void dn_layer_init_normal(dn_layer *l, dn_tensor *t, float scale) { layer_init(l, t, 1, scale); }
void dn_layer_init_fill(dn_layer *l, dn_tensor *t, float value) {
    if (!l->net->drawn) l->net->ops->fill(l->net->pool, t->count, value, t->value);
}

/* The layer table, the same in every program. */
#include "io/json.h"
#include "net/network.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct table_text {
    char *to;
    size_t size, length;
} table_text;

static void __attribute__((format(printf, 2, 3))) table_add(table_text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int room = t->length < t->size;
    int n = vsnprintf(room ? t->to + t->length : NULL, room ? t->size - t->length : 0, format, args);
    va_end(args);
    if (n > 0) t->length += (size_t)n;
}

static void table_shape(char *text, size_t size, int height, int width, int channels, int values) {
    if (height > 0)
        snprintf(text, size, "%d x %d x %d", height, width, channels);
    else
        snprintf(text, size, "%d", values);
}

/* What a [cost] computes; NULL: the layer is none. */
static const char *table_loss(const dn_net *net, int layer, const char *type) {
    return strcmp(type, "cost") ? NULL : dn_cfg_string(&net->cfg->sections[layer + 1], "type", "sse");
}

size_t dn_net_table(const dn_net *net, char *text, size_t size) {
    table_text t = {text, text ? size : 0, 0};
    dn_net_info info;
    dn_net_info_get(net, &info);
    table_add(&t, "%5s  %-16s %7s %12s  %-18s    %-18s %12s %12s\n", "layer", "type", "filters", "size/stride", "input",
              "output", "parameters", "MFLOP");
    for (int i = 0; i < info.n_layers; i++) {
        dn_layer_info l;
        char in[48], out[48], window[32] = "", filters[16] = "", params[24] = "", flops[24] = "";
        if (dn_layer_info_get(net, i, &l) != DN_OK) continue;
        table_shape(in, sizeof in, l.height, l.width, l.channels, l.inputs);
        table_shape(out, sizeof out, l.out_height, l.out_width, l.out_channels, l.outputs);
        const char *loss = table_loss(net, i, l.type);
        if (loss) { /* in place of filters and sizes */
            table_add(&t, "%5d  %-16s %20.20s  %-18s -> %-18s\n", i, l.type, loss, in, out);
            continue;
        }
        if (l.filters) snprintf(filters, sizeof filters, "%d", l.filters);
        if (l.size) snprintf(window, sizeof window, "%d x %d / %d", l.size, l.size, l.stride);
        if (l.n_params) snprintf(params, sizeof params, "%zu", l.n_params);
        if (l.flops > 0) snprintf(flops, sizeof flops, "%.3f", l.flops * 1e-6);
        table_add(&t, "%5d  %-16s %7s %12s  %-18s -> %-18s %12s %12s\n", i, l.type, filters, window, in, out, params,
                  flops);
    }
    table_add(&t, "%5s  %-16s %7s %12s  %-18s    %-18s %12zu %12.3f\n", "total", "", "", "", "", "", info.n_params,
              info.flops * 1e-6);
    table_add(&t,
              "weights file: %zu values, %zu bytes. One row forward: %.4g GFLOP. Memory at batch %d: %.1f MB to "
              "predict, %.1f MB to train.\n",
              (info.weights_bytes - 20) / sizeof(float), info.weights_bytes, info.flops * 1e-9, info.batch,
              (double)info.predicting_bytes * 1e-6, (double)info.training_bytes * 1e-6);
    return t.length;
}

/* A name from the cfg as a JSON string. */
static void json_string(table_text *t, const char *text) {
    int room = t->length < t->size;
    t->length += dn_json_quote(text, strlen(text), room ? t->to + t->length : NULL, room ? t->size - t->length : 0);
}

static void json_shape(table_text *t, const char *key, int height, int width, int channels, int values) {
    if (height > 0)
        table_add(t, ", \"%s\": [%d, %d, %d]", key, channels, height, width);
    else
        table_add(t, ", \"%s\": [%d]", key, values);
}

size_t dn_net_json(const dn_net *net, char *text, size_t size) {
    table_text t = {text, text ? size : 0, 0};
    dn_net_info info;
    dn_net_info_get(net, &info);
    table_add(
        &t,
        "{\"batch\": %d, \"inputs\": %d, \"outputs\": %d, \"truths\": %d, \"parameters\": %zu, \"weights_bytes\": %zu, "
        "\"flops_per_row\": %.0f, \"memory_predict_bytes\": %zu, \"memory_train_bytes\": %zu,\n \"layers\": [",
        info.batch, info.inputs, info.outputs, info.truths, info.n_params, info.weights_bytes, info.flops,
        info.predicting_bytes, info.training_bytes);
    for (int i = 0; i < info.n_layers; i++) {
        dn_layer_info l;
        if (dn_layer_info_get(net, i, &l) != DN_OK) continue;
        table_add(&t, "%s\n  {\"index\": %d, \"type\": \"%s\", \"name\": ", i ? "," : "", i, l.type);
        json_string(&t, l.name);
        const char *loss = table_loss(net, i, l.type);
        if (loss) table_add(&t, ", \"loss\": "), json_string(&t, loss);
        json_shape(&t, "input", l.height, l.width, l.channels, l.inputs);
        json_shape(&t, "output", l.out_height, l.out_width, l.out_channels, l.outputs);
        table_add(&t,
                  ", \"filters\": %d, \"size\": %d, \"stride\": %d, \"parameters\": %zu, \"flops_per_row\": %.0f, "
                  "\"line\": %d}",
                  l.filters, l.size, l.stride, l.n_params, l.flops, l.line);
    }
    table_add(&t, "]}\n");
    return t.length;
}

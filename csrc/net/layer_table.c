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

/* A column is as wide as its widest cell: the table of a usual network fits 80 columns. */
enum { LAYER, TYPE, FILTERS, SIZE, INPUT, OUTPUT, PARAMETERS, MFLOP, CELLS };
typedef char table_row[CELLS][48];

static const table_row headings = {"layer", "type", "filters", "size", "input", "output", "parameters", "MFLOP"};

static void table_shape(char *text, size_t size, int height, int width, int channels, int values) {
    if (height > 0)
        snprintf(text, size, "%dx%dx%d", height, width, channels);
    else
        snprintf(text, size, "%d", values);
}

/* What a [cost] computes; NULL: the layer is none. */
static const char *table_loss(const dn_net *net, int layer, const char *type) {
    return strcmp(type, "cost") ? NULL : dn_cfg_string(&net->cfg->sections[layer + 1], "type", "sse");
}

/* The loss of a [cost] takes the place of filters and size. */
static void table_layer(const dn_net *net, int i, const dn_layer_info *l, table_row row) {
    enum { CELL = sizeof row[0] };
    const char *loss = table_loss(net, i, l->type);
    memset(row, 0, sizeof(table_row));
    snprintf(row[LAYER], CELL, "%d", i);
    snprintf(row[TYPE], CELL, "%s", l->type);
    table_shape(row[INPUT], CELL, l->height, l->width, l->channels, l->inputs);
    table_shape(row[OUTPUT], CELL, l->out_height, l->out_width, l->out_channels, l->outputs);
    if (loss) {
        snprintf(row[SIZE], CELL, "%s", loss);
        return;
    }
    if (l->filters) snprintf(row[FILTERS], CELL, "%d", l->filters);
    if (l->size) snprintf(row[SIZE], CELL, "%dx%d/%d", l->size, l->size, l->stride);
    if (l->n_params) snprintf(row[PARAMETERS], CELL, "%zu", l->n_params);
    if (l->flops > 0) snprintf(row[MFLOP], CELL, "%.3f", l->flops * 1e-6);
}

static void table_widen(int widths[CELLS], const table_row row) {
    for (int k = 0; k < CELLS; k++) {
        int n = (int)strlen(row[k]);
        if (k == SIZE && !*row[FILTERS]) n -= widths[FILTERS] + 1;
        if (n > widths[k]) widths[k] = n;
    }
}

static void table_print(table_text *t, const int widths[CELLS], const table_row row, const char *arrow) {
    int both = widths[FILTERS] + 1 + widths[SIZE], filters = *row[FILTERS] ? both - widths[SIZE] - 1 : 0;
    table_add(t, "%*s  %-*s ", widths[LAYER], row[LAYER], widths[TYPE], row[TYPE]);
    if (filters) table_add(t, "%*s ", filters, row[FILTERS]);
    table_add(t, "%*s  %-*s %s %-*s %*s %*s\n", filters ? widths[SIZE] : both, row[SIZE], widths[INPUT], row[INPUT],
              arrow, widths[OUTPUT], row[OUTPUT], widths[PARAMETERS], row[PARAMETERS], widths[MFLOP], row[MFLOP]);
}

size_t dn_net_table(const dn_net *net, char *text, size_t size) {
    table_text t = {text, text ? size : 0, 0};
    table_row row, total = {"total"};
    int widths[CELLS] = {0};
    dn_layer_info l;
    dn_net_info info;
    dn_net_info_get(net, &info);
    snprintf(total[PARAMETERS], sizeof total[0], "%zu", info.n_params);
    snprintf(total[MFLOP], sizeof total[0], "%.3f", info.flops * 1e-6);
    table_widen(widths, headings);
    table_widen(widths, total);
    for (int i = 0; i < info.n_layers; i++)
        if (dn_layer_info_get(net, i, &l) == DN_OK) table_layer(net, i, &l, row), table_widen(widths, row);
    table_print(&t, widths, headings, "  ");
    for (int i = 0; i < info.n_layers; i++)
        if (dn_layer_info_get(net, i, &l) == DN_OK) table_layer(net, i, &l, row), table_print(&t, widths, row, "->");
    table_print(&t, widths, total, "  ");
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

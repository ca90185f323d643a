/* The layer table, the same from every program. */
#include "network.h"
#include <stdarg.h>
#include <stdio.h>

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

size_t dn_net_table(const dn_net *net, char *text, size_t size) {
    table_text t = {text, text ? size : 0, 0};
    dn_net_info info;
    dn_net_info_get(net, &info);
    table_add(&t, "%5s  %-16s %7s %12s  %-18s    %-18s %12s %10s\n", "layer", "type", "filters", "size/stride", "input",
              "output", "parameters", "MFLOP");
    for (int i = 0; i < info.n_layers; i++) {
        dn_layer_info l;
        char in[48], out[48], window[32] = "", filters[16] = "";
        if (dn_layer_info_get(net, i, &l) != DN_OK) continue;
        table_shape(in, sizeof in, l.height, l.width, l.channels, l.inputs);
        table_shape(out, sizeof out, l.out_height, l.out_width, l.out_channels, l.outputs);
        if (l.filters) snprintf(filters, sizeof filters, "%d", l.filters);
        if (l.size) snprintf(window, sizeof window, "%d x %d / %d", l.size, l.size, l.stride);
        table_add(&t, "%5d  %-16s %7s %12s  %-18s -> %-18s %12zu %10.3f\n", i, l.type, filters, window, in, out, l.n_params,
                  l.flops * 1e-6);
    }
    table_add(&t, "batch %d, %zu parameters, %.3f MFLOP per row forward, %.1f MB\n", info.batch, info.n_params,
              info.flops * 1e-6, (double)info.memory_bytes * 1e-6);
    return t.length;
}

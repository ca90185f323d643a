/* The one list of layer types. */
#include "io/foreign.h"
#include "net/layer.h"
#include <string.h>

/* clang-format off */
#define TYPES(X)                                                                                                       \
    X(connected) X(convolutional) X(deconvolutional) X(maxpool) X(upsample) X(route) X(shortcut) X(activation)         \
    X(dropout) X(batchnorm) X(reshape) X(sampling) X(cost) X(avgpool) X(crop) X(reorg) X(softmax) X(logistic)          \
    X(l2norm) X(normalization) X(local) X(rnn) X(crnn) X(gru) X(lstm) X(detection) X(region) X(yolo) X(iseg)  \
    X(columns) X(condition)
/* clang-format on */
#define DECLARE(name) extern const dn_layer_type dn_##name##_layer;
#define ENTRY(name) &dn_##name##_layer,

TYPES(DECLARE)
const dn_layer_type *const dn_layer_types[] = {TYPES(ENTRY) NULL};

const char *dn_layer_type_name(int index) {
    int n = (int)(sizeof dn_layer_types / sizeof *dn_layer_types) - 1;
    return index >= 0 && index < n ? dn_layer_types[index]->name : NULL;
}

const dn_layer_type *dn_layer_type_find(const char *name) {
    for (int i = 0; dn_layer_types[i]; i++) {
        const dn_layer_type *t = dn_layer_types[i];
        if (!strcmp(name, t->name)) return t;
        for (int k = 0; k < 3; k++)
            if (t->aliases[k] && !strcmp(name, t->aliases[k])) return t;
    }
    return NULL;
}

dn_status dn_layer_type_unknown(const dn_section *s) {
    enum { N_TYPES = sizeof dn_layer_types / sizeof *dn_layer_types - 1, NAMES = 4 };
    const char *known[N_TYPES * NAMES + 1] = {NULL};
    dn_like like;
    int n = 0;
    if (!strcmp(s->name, "net") || !strcmp(s->name, "network"))
        return dn_cfg_error(s, NULL, "a second section about the whole network: there is one, the first");
    if (dn_foreign_type(s->name)) return dn_cfg_error(s, NULL, "this layer type of newer Darknets is not supported");
    for (int i = 0; i < N_TYPES; i++) {
        known[n++] = dn_layer_types[i]->name;
        for (int k = 0; k < NAMES - 1 && dn_layer_types[i]->aliases[k]; k++) known[n++] = dn_layer_types[i]->aliases[k];
    }
    return dn_cfg_error(s, NULL, "unknown layer type%s", dn_cfg_like(&like, s->name, known));
}

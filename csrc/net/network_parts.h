/* What the files of a network need of each other. */
#ifndef DN_NETWORK_PARTS_H
#define DN_NETWORK_PARTS_H
#include "net/network.h"

typedef struct dn_net_size { /* 0: as in the cfg */
    int height, width, batch;
} dn_net_size;

/* ---- build.c ---- */

extern const dn_key dn_net_keys[], dn_every_layer_keys[];

/* The [net] section, in the sizes asked for. */
dn_status dn_net_parse_header(dn_net *net, dn_net_size size);
/* All other sections: layers with their shapes, and what follows from them for the network. */
dn_status dn_net_parse_layers(dn_net *net);

/* ---- links.c ---- */

/* When parameters and sums of losses have their places. */
dn_status dn_net_link(dn_net *net);
void dn_net_unlink(dn_net *net);

/* ---- memory.c ---- */

/* Floats that a tensor of n takes: tensors begin at cache lines. */
static inline size_t dn_net_pad(size_t n) {
    const size_t align = 16;
    return (n + align - 1) / align * align;
}

/* After every layer's plan: blocks of parameters and statistics, or those of `resized_from`. */
dn_status dn_net_layout_parameters(dn_net *net);
/* Blocks of activations, the step and the sums of losses. */
dn_status dn_net_layout_activations(dn_net *net);
/* What dn_net_prepare_training asks for, in all and still. */
size_t dn_net_training_bytes(const dn_net *net, int still);

/* ---- inspect.c ---- */

/* Of one row forward. */
double dn_net_flops(const dn_net *net);
#endif

/* What the files that implement a network need from each other. */
#ifndef DN_NETWORK_PARTS_H
#define DN_NETWORK_PARTS_H
#include "net/network.h"

typedef struct dn_net_size { /* 0: as in the cfg */
    int height, width, batch;
} dn_net_size;

/* ---- override.c ---- */

/* Set keys of a cfg that has not been read yet: lines "section.key=value"; NULL: none. */
dn_status dn_net_override(dn_cfg *cfg, const char *lines);

/* ---- build.c ---- */

extern const dn_key dn_net_keys[], dn_every_layer_keys[];

/* Parse the [net] section, with the requested sizes. */
dn_status dn_net_parse_header(dn_net *net, dn_net_size size);
/* Parse all other sections: layers with their shapes, and what follows from them for the network. */
dn_status dn_net_parse_layers(dn_net *net);

/* ---- draws.c ---- */

/* net->draws from the layers' `samples`, and whether the network can be trained with them. Call it when the layers have
 * their tensors. */
dn_status dn_net_settle_draws(dn_net *net);
/* Make plan->drawn of plan->run, for a pass with so many draws. */
void dn_draws_begin(dn_plan *plan, int draws);
/* Before and after the layers from the sampling layer on, `forward`: what they read is repeated. Leaving twice is
 * leaving once. */
void dn_draws_enter(dn_plan *plan, int forward);
void dn_draws_leave(dn_plan *plan);
/* In backward, after those layers: leave, and add the deltas of draws to those of their rows. */
void dn_draws_fold(dn_plan *plan);
/* What a plan with draws needs for them: to be called when its layers are there; then the floats among its activations
 * and their place; the same for deltas, which are all added to. */
dn_status dn_draws_plan(dn_plan *plan);
size_t dn_draws_activations(const dn_plan *plan);
void dn_draws_place(dn_plan *plan, float *activations);
size_t dn_draws_deltas(const dn_plan *plan);
void dn_draws_place_deltas(dn_plan *plan, float *deltas);

/* ---- links.c ---- */

/* Call it when parameters and sums of losses have their places. */
dn_status dn_plan_link(dn_plan *plan);
void dn_plan_unlink(dn_plan *plan);

/* ---- plan.c ---- */

/* Allocate gradients with respect to outputs, for training. */
dn_status dn_plan_add_deltas(dn_plan *plan);
/* Of the device's memory. */
size_t dn_plan_bytes(const dn_plan *plan);

/* ---- memory.c ---- */

/* Floats that a tensor of n values occupies: tensors begin at cache lines. */
static inline size_t dn_net_pad(size_t n) {
    const size_t align = 16;
    return (n + align - 1) / align * align;
}
/* Allocate the blocks of parameters and statistics, place the tensors in them and set the tensors' pointers. */
dn_status dn_net_place_tensors(dn_net *net);
dn_status dn_net_allocate_parameters(dn_net *net);
void dn_net_point_tensors(dn_net *net);
void dn_net_free_parameters(dn_net *net);
/* A resized network keeps its parameters, so their shapes must not depend on the input's size: DN_E_USAGE when they
 * differ from those of the layers before. */
dn_status dn_net_check_tensors(const dn_net *net, const dn_layer *before);
/* What dn_net_prepare_training allocates: in total, or still to be allocated. */
size_t dn_net_training_bytes(const dn_net *net, int still);
/* All of the device's memory that the network holds. */
size_t dn_net_bytes(const dn_net *net);

/* ---- inspect.c ---- */

/* Of one row forward. */
double dn_net_flops(const dn_net *net);
#endif

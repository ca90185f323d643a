/* What a training step runs: links, each of them a layer alone or with the loss after it, and the update of the
 * parameters that they leave over.
 *
 * A fused link calls its layer's `train`: backward and update in one pass over the parameters, whose gradients are then
 * never written; with a loss, it includes the forward pass and the loss too. Whether a step may do that is decided here
 * and nowhere else. */
#include "base/sys.h"
#include "net/network_parts.h"

const dn_links *dn_links_of_step(const dn_plan *plan, int update, int weighted) {
    const dn_net *net = plan->net;
    /* Gradients must be kept when other passes add to them, when their norm is needed before any is used, and for
     * layers below stopbackward, on which decay alone acts. */
    int kept = !update || net->subdivisions > 1 || net->state.rows_since_update > 0 || net->last_stopped >= 0 ||
               net->clip_norm > 0;
    return &plan->links[kept ? DN_APART : weighted ? DN_FUSED_BUT_LOSS : DN_FUSED];
}

/* Make a link of layer i and, if both agree, the loss after it; returns the number of layers taken, 1 or 2. */
static int links_take(const dn_plan *plan, int i, int linking, dn_link *link) {
    dn_layer *l = &plan->layers[i], *next = l + 1;
    *link = (dn_link){.layer = l, .trains = linking != DN_APART && l->can_train};
    if (!link->trains || linking == DN_FUSED_BUT_LOSS || i + 2 != plan->n_layers || !next->type->as_fused_loss ||
        plan->draws)
        return 1;
    link->with_loss = next->type->as_fused_loss(next, &plan->run, &link->loss);
    return 1 + link->with_loss;
}

/* Add a tensor to the ranges: to the last one, if the tensor begins where that range ends. */
static void links_update(dn_links *links, const dn_tensor *t, int decays, float learning_rate) {
    dn_range *last = links->n_ranges ? &links->ranges[links->n_ranges - 1] : NULL;
    if (!last || last->decays != decays || last->learning_rate != learning_rate ||
        last->offset + last->count != t->offset) {
        last = &links->ranges[links->n_ranges++];
        *last = (dn_range){t->offset, 0, decays, learning_rate};
    }
    last->count = t->offset + dn_net_pad(t->count) - last->offset;
}

static dn_status links_make(dn_links *links, const dn_plan *plan, int linking) {
    size_t n_tensors = 0;
    for (int i = 0; i < plan->n_layers; i++) n_tensors += (size_t)plan->layers[i].n_tensors;
    links->link = dn_alloc((size_t)plan->n_layers, sizeof *links->link);
    links->ranges = dn_alloc(n_tensors + 1, sizeof *links->ranges);
    if (!links->link || !links->ranges) return DN_E_MEMORY;
    for (int i = 0; i < plan->n_layers;) i += links_take(plan, i, linking, &links->link[links->n_links++]);
    for (int kind = DN_WEIGHT; kind <= DN_BIAS; kind++) /* in the order of the block */
        for (int i = 0; i < plan->n_layers; i++) {
            const dn_layer *l = &plan->layers[i];
            for (int k = 0; k < l->n_tensors && !(linking != DN_APART && l->can_train); k++)
                if ((int)l->tensors[k].kind == kind)
                    links_update(links, &l->tensors[k], dn_decays(&plan->run.optimizer, l->tensors[k].kind),
                                 l->learning_rate);
        }
    return DN_OK;
}

dn_status dn_plan_link(dn_plan *plan) {
    for (int i = 0; i < DN_LINKINGS; i++) DN_TRY(links_make(&plan->links[i], plan, i));
    return DN_OK;
}

void dn_plan_unlink(dn_plan *plan) {
    for (int i = 0; i < DN_LINKINGS; i++) {
        dn_free(plan->links[i].link);
        dn_free(plan->links[i].ranges);
    }
}

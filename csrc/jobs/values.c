#include "jobs/values.h"
#include "base/sys.h"
#include <string.h>

static int is_loss(const dn_layer *l) { return l->term.type && !l->term.type->latent; }

dn_status dn_values_create(dn_values *v, const dn_net *net, size_t rows) {
    size_t inputs = 1, truths = (size_t)net->truths;
    *v = (dn_values){0};
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        if (!is_loss(l)) continue;
        DN_CHECK(l->term.type->values && l->term.truths == net->truths, DN_E_USAGE,
                 "%s:%d: what the columns contribute to the loss of a [%s] is not known; -top 0 (contributions=False) "
                 "leaves it out",
                 net->cfg->path, l->line, l->type->name);
        if ((size_t)l->inputs > inputs) inputs = (size_t)l->inputs;
    }
    v->x = dn_alloc(rows, inputs * sizeof *v->x);
    v->truth = dn_alloc(rows, truths * sizeof *v->truth);
    v->loss = dn_alloc(rows, truths * sizeof *v->loss);
    if (v->x && v->truth && v->loss) return DN_OK;
    dn_values_free(v);
    return DN_E_MEMORY;
}

void dn_values_free(dn_values *v) {
    dn_free(v->x);
    dn_free(v->truth);
    dn_free(v->loss);
    *v = (dn_values){0};
}

void dn_values_add(dn_values *v, const dn_plan *plan, const dn_run *run, const float *truth, size_t draws, double part,
                   float *sums) {
    const dn_net *net = plan->net;
    size_t rows = (size_t)run->rows, width = (size_t)net->truths;
    for (size_t r = 0; r < rows; r++) /* in the order of the pass */
        memcpy(v->truth + dn_net_place(net, rows, r) * width, truth + r / draws * width, width * sizeof *truth);
    for (int i = 0; i < plan->n_layers; i++) {
        const dn_layer *l = &plan->layers[i];
        if (!is_loss(l)) continue;
        memset(v->loss, 0, rows * width * sizeof *v->loss);
        run->ops->download(run->pool, v->x, dn_layer_x(l, run), rows * (size_t)l->inputs * sizeof *v->x);
        l->term.type->values(l, run, v->x, v->truth, v->loss);
        for (size_t r = 0; r < rows; r++) {
            const float *from = v->loss + dn_net_place(net, rows, r) * width;
            float *to = sums + r / draws * width;
            for (size_t c = 0; c < width; c++) to[c] += (float)(part * l->term.share * from[c]);
        }
    }
}

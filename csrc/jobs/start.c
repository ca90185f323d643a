/* Output biases at the columns' means, where a [cost] has start=means: once, when a network that has never been trained
 * begins its first training, from the rows of that training. */
#include "base/sys.h"
#include "jobs/trainer.h"
#include <string.h>

/* To sums (2, inputs); one: the same of a single row, which counts as much as its weight says. */
static void start_sums(const dn_feed *f, const dn_layer *l, double *sums, double *one) {
    size_t steps = (size_t)dn_net_steps(f->net), width = (size_t)f->net->truths, n = 2 * (size_t)l->inputs;
    const float *truth = f->all.truth ? f->all.truth : f->all.x;
    for (size_t i = 0; i < f->n / steps; i++)
        for (size_t k = 0, first = (f->trained ? f->trained[i] : i) * steps; k < steps; k++) {
            if (f->weights) memset(one, 0, n * sizeof *one);
            l->term.type->start_add(l, truth + (first + k) * width, f->weights ? one : sums);
            for (size_t j = 0; f->weights && j < n; j++) sums[j] += f->weights[first + k] * one[j];
        }
}

/* Biases other than 0 were set by a weights file or the caller, and stay. */
static dn_status start_layer(const dn_trainer *t, const dn_layer *l) {
    dn_net *net = t->net;
    size_t n = (size_t)l->inputs;
    dn_tensor *to = dn_layer_find(&net->layers[dn_layer_source(l)], "biases");
    float *means = dn_alloc(n, sizeof *means), *biases = dn_alloc(n, sizeof *biases);
    double *sums = dn_alloc(n, 4 * sizeof *sums);
    int ready = means && biases && sums;
    if (ready) {
        start_sums(&t->feed, l, sums, sums + 2 * n);
        l->term.type->start_biases(l, sums, means);
        net->ops->download(net->pool, biases, to->value, n * sizeof *biases);
        for (size_t i = 0; i < n; i++)
            if (biases[i] == 0) biases[i] = means[i];
        net->ops->upload(net->pool, to->value, biases, n * sizeof *biases);
        if (to->average) net->ops->upload(net->pool, to->average, biases, n * sizeof *biases);
    }
    dn_free(means), dn_free(biases), dn_free(sums);
    return ready ? DN_OK : DN_E_MEMORY;
}

dn_status dn_trainer_start_at_means(const dn_trainer *t) {
    const dn_net *net = t->net;
    if (net->state.seen || net->state.updates) return DN_OK;
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].term.starts) DN_TRY(start_layer(t, &net->layers[i]));
    return DN_OK;
}

/* start=means: output biases with which a network that does not know anything yet predicts the mean of every column, as
 * in Burda, Grosse and Salakhutdinov, arXiv:1509.00519, section 5. */
#include "layers/cost.h"
#include <math.h>
#include <string.h>

static const double least = 1e-3; /* probabilities and means of counts: their logarithms stay within 7 */

static void start_classes(const dn_head *head, const float *truth, double *sums, double *known) {
    size_t n = head->classes ? head->classes : head->columns / head->groups;
    size_t softmaxes = head->classes ? head->columns : head->groups;
    for (size_t g = 0; g < softmaxes; g++, sums += n, known += n) {
        const float *t = head->classes ? truth + g : truth + g * n;
        int missing = 0;
        if (head->starts) n = (size_t)(head->starts[g + 1] - head->starts[g]);
        for (size_t k = 0; k < (head->classes ? 1 : n); k++) missing |= isnan(t[k]);
        for (size_t k = 0; k < n && !missing; k++) {
            sums[k] += head->classes ? (size_t)t[0] == k : (double)t[k];
            known[k] += 1;
        }
    }
}

static void part_add(const dn_layer *l, const dn_cost_part *p, const float *truth, double *sums) {
    const dn_head *head = &p->head;
    double *known = sums + l->inputs + p->at;
    truth += p->first, sums += p->at;
    if (head->likelihood.kind == DN_LOSS_CATEGORICAL) {
        start_classes(head, truth, sums, known);
        return;
    }
    for (size_t c = 0; c < head->columns; c++)
        if (!isnan(truth[c])) sums[c] += truth[c], known[c] += 1;
}

void dn_cost_start_add(const dn_layer *l, const float *truth, double *sums) {
    const dn_cost_part *p;
    for (int i = 0; (p = dn_cost_part_at(l->state, i)); i++) part_add(l, p, truth, sums);
}

/* The parameter of a distribution with this mean; of a softmax over n classes: with this probability. */
static double start_parameter(const dn_head *head, double mean, double n) {
    switch (head->likelihood.kind) {
    case DN_LOSS_BCE:
    case DN_LOSS_BERNOULLI: mean = fmin(fmax(mean, least), 1 - least); return log(mean / (1 - mean));
    case DN_LOSS_POISSON:
    case DN_LOSS_NEGATIVE_BINOMIAL: return log(fmax(mean, least));
    case DN_LOSS_CATEGORICAL: return log(fmax(mean, least / n));
    default: return mean;
    }
}

static void part_biases(const dn_layer *l, const dn_cost_part *p, const double *sums, float *biases) {
    const dn_head *head = &p->head;
    const double *known = sums + l->inputs + p->at;
    size_t n = head->starts ? head->logits : head->columns * (head->classes ? head->classes : 1);
    double classes = head->classes ? (double)head->classes : head->groups ? (double)(head->columns / head->groups) : 1;
    sums += p->at, biases += p->at;
    for (size_t i = 0; i < n; i++)
        if (known[i] > 0) biases[i] = (float)start_parameter(head, sums[i] / known[i], classes);
}

void dn_cost_start_biases(const dn_layer *l, const double *sums, float *biases) {
    const dn_cost_part *p;
    for (int i = 0; (p = dn_cost_part_at(l->state, i)); i++) part_biases(l, p, sums, biases);
}

dn_status dn_cost_start_check(dn_layer *l, dn_section *s) {
    const dn_layer *before = dn_layer_at(l, dn_layer_source(l));
    dn_loss kind = ((const dn_cost *)l->state)->own.head.likelihood.kind;
    if (kind == DN_LOSS_MASKED)
        return dn_cfg_error(s, "start", "start=means is not for type=%s, which masks values", dn_cost_type_name(l));
    const char *needs =
        "start=means sets the biases of a [connected] with activation=linear, and before this [cost] is";
    if (!before) return dn_cfg_error(s, "start", "%s the network's input", needs);
    if (strcmp(before->type->name, "connected")) return dn_cfg_error(s, "start", "%s [%s]", needs, before->type->name);
    int activation = l->net->cfg->sections[before->index + 1].activation - 1;
    if (activation == DN_LINEAR) return DN_OK;
    return dn_cfg_error(s, "start", "%s one with activation=%s", needs, dn_activation_name((dn_activation)activation));
}

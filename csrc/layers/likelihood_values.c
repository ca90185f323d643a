/* The loss of every value of truth, on the host: what each column contributes to the loss of a row. The distributions
 * are those of net/likelihood.h. Of a one-hot group the contribution is that of the class that it is. */
#include "layers/cost.h"
#include "net/network.h"
#include <math.h>

static double log_of_sum(size_t n, const float *logits) {
    double most = -INFINITY, sum = 0;
    for (size_t k = 0; k < n; k++) most = logits[k] > most ? logits[k] : most;
    for (size_t k = 0; k < n; k++) sum += exp(logits[k] - most);
    return most + log(sum);
}

/* -t ln p of each class; a group with a missing value adds nothing. */
static void values_one_hot(size_t n, const float *logits, const float *truth, float *loss) {
    double all = log_of_sum(n, logits);
    int missing = 0;
    for (size_t k = 0; k < n; k++) missing |= isnan(truth[k]);
    for (size_t k = 0; k < n; k++) loss[k] = missing || truth[k] == 0 ? 0 : (float)(truth[k] * (all - logits[k]));
}

static float value_of_code(size_t n, const float *logits, float code) {
    return code >= 0 && code < (float)n ? (float)(log_of_sum(n, logits) - logits[(size_t)code]) : 0;
}

static void values_categorical(const dn_head *head, const float *x, const float *truth, float *loss) {
    size_t n = head->classes ? head->classes : head->columns / head->groups;
    if (!head->classes)
        for (size_t c = 0; c < head->columns; c += n) values_one_hot(n, x + c, truth + c, loss + c);
    for (size_t c = 0; head->classes && c < head->columns; c++, x += n) {
        if (head->starts) n = (size_t)(head->starts[c + 1] - head->starts[c]);
        loss[c] = value_of_code(n, x, truth[c]);
    }
}

static void part_values(const dn_layer *l, const dn_cost_part *p, size_t rows, const dn_run *run, const float *x,
                        const float *truth, float *loss) {
    enum { PART = 256 }; /* columns whose spreads come to the host at a time */
    const dn_head *head = &p->head;
    size_t inputs = (size_t)l->inputs, truths = (size_t)l->term.truths;
    dn_likelihood_terms terms = dn_likelihood_terms_of(&head->likelihood);
    const dn_tensor *t = dn_head_learns(head) ? &l->tensors[0] : NULL;
    x += p->at, truth += p->first, loss += p->first;
    if (head->likelihood.kind == DN_LOSS_CATEGORICAL) {
        for (size_t r = 0; r < rows; r++)
            values_categorical(head, x + r * inputs, truth + r * truths, loss + r * truths);
        return;
    }
    for (size_t from = 0, to; from < head->columns; from = to) {
        float spread[PART];
        to = head->columns - from < PART ? head->columns : from + PART;
        int one = t && t->count == 1;
        if (t)
            run->ops->download(run->pool, spread,
                               dn_net_results(l->net, t->kind == DN_STATISTIC) + t->offset +
                                   (one ? 0 : p->spread_at + from),
                               (one ? 1 : to - from) * sizeof *spread);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = from; c < to; c++) {
                const float *at = x + r * inputs + c;
                dn_scale scale = terms.scale;
                if (head->spread == DN_SPREAD_VALUE) scale = dn_scale_of(&terms, at[head->columns]);
                if (t) scale = dn_scale_of(&terms, spread[one ? 0 : c - from]);
                loss[r * truths + c] = dn_likelihood_value(&terms, scale, *at, truth[r * truths + c]).error;
            }
    }
}

void dn_likelihood_values(const dn_layer *l, const dn_run *run, const float *x, const float *truth, float *loss) {
    const dn_cost *st = l->state;
    const dn_cost_part *p;
    size_t rows = (size_t)run->rows;
    if (st->elementwise) { /* they are its output */
        run->ops->download(run->pool, loss, l->output, rows * (size_t)l->inputs * sizeof *loss);
        return;
    }
    for (int i = 0; (p = dn_cost_part_at(st, i)); i++) part_values(l, p, rows, run, x, truth, loss);
    if (st->parts) dn_likelihood_columns_no_loss(l, rows, loss);
}

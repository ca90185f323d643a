/* Several likelihoods on one output: which values of it and which columns of the truth each of them takes. */
#include "base/sys.h"
#include "layers/cost.h"
#include <stdio.h>

static dn_cost *head_cost(const dn_layer *l) { return l->state; }
static const dn_layer *head_first(const dn_layer *l) { return dn_layer_at(l, l->index - l->shared); }
static size_t head_values(const dn_layer *l) {
    return head_cost(l)->own.head.columns * dn_head_parameters(&head_cost(l)->own.head);
}

/* Not all values of the input are taken, or more: names the numbers. */
static dn_status heads_wrong_sum(const dn_layer *last, dn_section *s, size_t sum) {
    const dn_layer *first = head_first(last), *from = dn_layer_at(first, first->index - 1);
    const dn_head *head = &head_cost(last)->own.head;
    char text[256] = "", source[64] = "the input";
    size_t at = 0, per = dn_head_parameters(head);
    if (from) snprintf(source, sizeof source, "layer %d [%s]", from->index, from->type->name);
    if (first == last && per == 1)
        return dn_cfg_error(s, "columns", "%zu columns take as many values per row, but %s gives %d", head->columns,
                            source, last->inputs);
    if (first == last)
        return dn_cfg_error(s, "columns", "%zu columns of %zu values each take %zu per row, but %s gives %d",
                            head->columns, per, sum, source, last->inputs);
    for (const dn_layer *l = first; l <= last && at < sizeof text; l++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%zu", l == first ? "" : " + ", head_values(l));
    return dn_cfg_error(s, NULL, "the %d [cost] layers from line %d on take %s = %zu values per row, but %s gives %d",
                        last->shared + 1, first->line, text, sum, source, last->inputs);
}

/* A missing columns=: those after the columns of the head before, as many as the rest of the input has values for. */
static dn_status head_take_rest(const dn_layer *l, dn_section *s, int is_last) {
    dn_cost *st = head_cost(l);
    size_t per = dn_head_parameters(&st->own.head), inputs = (size_t)l->inputs;
    if (!is_last)
        return dn_cfg_error(s, "columns", "columns= is missing: of several [cost] layers only the last can do without");
    if (st->own.at >= inputs)
        return dn_cfg_error(s, "columns", "the [cost] layers before it take all %zu values of their input", inputs);
    if ((inputs - st->own.at) % per)
        return dn_cfg_error(s, NULL, "%zu values per row are left for it, but a column takes %zu: %s",
                            inputs - st->own.at, per,
                            st->own.head.classes ? "a logit for each of its classes" : "a mean and a log-variance");
    st->own.head.columns = (inputs - st->own.at) / per;
    return DN_OK;
}

/* Every column from 0 to the last is modelled by exactly one head. They take no more values than the input has, so
 * there are no more columns than that. */
static dn_status heads_cover(const dn_layer *last, size_t columns) {
    const dn_layer *first = head_first(last);
    int *owner = dn_alloc(columns, sizeof *owner); /* 1 + its head's index */
    dn_status status = owner ? DN_OK : DN_E_MEMORY;
    for (const dn_layer *l = first; l <= last && status == DN_OK; l++) {
        const dn_cost *st = head_cost(l);
        dn_section *s = &l->net->cfg->sections[l->index + 1];
        for (size_t c = st->own.first; c < st->own.first + st->own.head.columns && c < columns && status == DN_OK;
             c++) {
            if (owner[c])
                status = dn_cfg_error(s, "columns", "column %zu of the truth belongs to the [cost] of line %d already",
                                      c, dn_layer_at(l, owner[c] - 1)->line);
            owner[c] = l->index + 1;
        }
    }
    for (size_t c = 0; c < columns && status == DN_OK; c++)
        if (!owner[c])
            status =
                dn_cfg_error(&last->net->cfg->sections[last->index + 1], "columns",
                             "column %zu of the truth (counted from 0) has no [cost], but later ones have: columns "
                             "begin at 0, without gaps",
                             c);
    dn_free(owner);
    return status;
}

/* How scores and labels read the truth. Several heads: as values. */
static dn_truth_kind head_truth_kind(const dn_layer *l, int alone) {
    const dn_head *head = &head_cost(l)->own.head;
    if (alone && head->likelihood.kind == DN_LOSS_BERNOULLI) return DN_TRUTH_BINARY;
    if (alone && head->likelihood.kind == DN_LOSS_CATEGORICAL && head->groups == 1) return DN_TRUTH_CLASSES;
    if (alone && head->classes) return DN_TRUTH_CODES;
    return DN_TRUTH_VALUES;
}

static void head_finish(dn_layer *l, size_t truths, int alone) {
    dn_cost *st = head_cost(l);
    dn_loss kind = st->own.head.likelihood.kind;
    st->own.head.x_step = (size_t)l->inputs, st->own.head.truth_step = truths;
    st->elementwise = alone && st->own.head.spread == DN_SPREAD_FIXED && kind != DN_LOSS_CATEGORICAL;
    l->term.truths = (int)truths;
    l->term.truth_kind = head_truth_kind(l, alone);
    l->term.first = (int)st->own.first, l->term.columns = (int)st->own.head.columns;
    l->term.plain = kind == DN_LOSS_GAUSSIAN || kind == DN_LOSS_LAPLACE || kind == DN_LOSS_STUDENT_T;
    l->term.in_place = alone && st->own.head.columns == (size_t)l->inputs;
    dn_layer_vector_out(l, st->elementwise ? l->inputs : 1); /* its losses: of every value, or of the row */
}

/* Called in the order of the layers: each looks at the head before it, the last one at all of them. */
dn_status dn_likelihood_settle(dn_layer *l, dn_section *s) {
    dn_cost *st = head_cost(l);
    dn_layer *next = dn_layer_at(l, l->index + 1);
    const dn_layer *first = head_first(l), *before = l->shared ? dn_layer_at(l, l->index - 1) : NULL;
    int is_last = !dn_cost_is_head(next);
    size_t sum = 0, columns = 0;
    if (dn_cost_is_columns(l)) return dn_likelihood_columns_settle(l, s);
    if (before) st->own.at = head_cost(before)->own.at + head_values(before);
    if (before && !st->has_columns) st->own.first = head_cost(before)->own.first + head_cost(before)->own.head.columns;
    if (!st->has_columns) DN_TRY(head_take_rest(l, s, is_last));
    if (st->own.head.groups && st->own.head.columns % st->own.head.groups)
        return dn_cfg_error(s, "groups", "groups=%zu does not divide %zu columns", st->own.head.groups,
                            st->own.head.columns);
    if (st->own.head.groups == st->own.head.columns)
        return dn_cfg_error(s, "type",
                            "a one-hot group of a single column leaves nothing to predict: with codes in the "
                            "columns give classes=");
    if (!is_last) return DN_OK;
    for (const dn_layer *h = first; h <= l && sum <= INT_MAX; h++) /* so that sums do not overflow */
        sum += head_values(h), columns += head_cost(h)->own.head.columns;
    if (sum != (size_t)l->inputs) return heads_wrong_sum(l, s, sum);
    DN_TRY(heads_cover(l, columns));
    for (int i = first->index; i <= l->index; i++) head_finish(dn_layer_at(l, i), columns, first == l);
    if (next)
        return dn_cfg_error(
            &l->net->cfg->sections[next->index + 1], NULL,
            "stands after [cost] type=%s: likelihoods are the end of a network, only further ones may follow",
            dn_cost_type_name(l));
    return DN_OK;
}

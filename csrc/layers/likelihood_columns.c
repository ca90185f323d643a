/* [cost] type=columns: a likelihood for every column of [columns] that no [condition] gives. Neighbours of a kind are a
 * part; the parts read the input one after another, and add up. */
#include "base/sys.h"
#include "layers/cost.h"
#include "net/coded.h"
#include "net/network.h"

static int columns_kind(const dn_coded *c, size_t i) {
    return c->classes[i] > DN_CLASSES_YES_NO ? DN_CLASSES_YES_NO + 1 : c->classes[i];
}

dn_status dn_likelihood_columns_parse(dn_layer *l, dn_section *s) {
    dn_cost *st = l->state;
    if (!l->net->columns)
        return dn_cfg_error(s, "type", "type=columns models the columns of [columns], which is not the first layer");
    if (l->shared)
        return dn_cfg_error(s, "type", "type=columns after another [cost]: it models all columns, and stands alone");
    if (*st->columns) return dn_cfg_error(s, "columns", "columns= has no place here: type=columns models all of them");
    return DN_OK;
}

/* A part for the columns from `first` to before `end`. */
static void columns_part(dn_cost *st, const dn_coded *c, size_t first, size_t end, size_t *at, size_t *numbers) {
    dn_cost_part *p = &st->parts[st->n_parts++];
    int kind = columns_kind(c, first);
    *p = (dn_cost_part){.head = {.columns = end - first}, .first = first, .at = *at};
    dn_head *h = &p->head;
    h->likelihood.kind = DN_LOSS_BERNOULLI;
    if (kind == DN_CLASSES_NUMBER) {
        h->likelihood = st->own.head.likelihood, h->spread = st->own.head.spread;
        if (h->spread == DN_SPREAD_COLUMN) p->spread_at = *numbers;
        *numbers += h->columns;
    } else if (kind > DN_CLASSES_YES_NO) {
        int *starts = st->starts + st->n_starts;
        h->likelihood.kind = DN_LOSS_CATEGORICAL, h->starts = starts;
        for (size_t i = first; i < end; i++) {
            size_t n = (size_t)c->classes[i];
            *starts++ = (int)h->logits, h->logits += n;
            if (n > h->classes) h->classes = n;
        }
        *starts = (int)h->logits;
        st->n_starts += h->columns + 1;
    }
    *at += dn_head_values(h);
}

/* Not as many values as the columns take: names the number. */
static dn_status columns_wrong_size(const dn_layer *l, dn_section *s, size_t wanted) {
    const dn_cost *st = l->state;
    const dn_layer *from = dn_layer_at(l, l->index - 1);
    return dn_cfg_error(s, NULL, "the columns take %zu values per row%s, but layer %d [%s] gives %d: output=%zu there",
                        wanted, st->own.head.spread == DN_SPREAD_VALUE ? " (sigma=value: two for a number)" : "",
                        from->index, from->type->name, l->inputs, wanted);
}

dn_status dn_likelihood_columns_settle(dn_layer *l, dn_section *s) {
    dn_cost *st = l->state;
    const dn_coded *c = l->net->columns;
    const dn_layer *next = dn_layer_at(l, l->index + 1);
    size_t n = (size_t)c->n, values = 0, numbers = 0;
    st->parts = dn_alloc(n, sizeof *st->parts);
    st->starts = dn_alloc(2 * n, sizeof *st->starts);
    if (!st->parts || !st->starts) return DN_E_MEMORY;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && c->given[end] == c->given[i] && columns_kind(c, end) == columns_kind(c, i);) end++;
        if (!c->given[i]) columns_part(st, c, i, end, &values, &numbers);
    }
    if (!st->n_parts) return dn_cfg_error(s, NULL, "[condition] gives all columns: none is left to model");
    if (values != (size_t)l->inputs) return columns_wrong_size(l, s, values);
    if (next)
        return dn_cfg_error(&l->net->cfg->sections[next->index + 1], NULL,
                            "stands after [cost] type=columns, which models all columns: it is the end of a network");
    for (int i = 0; i < st->n_parts; i++)
        st->parts[i].head.x_step = (size_t)l->inputs, st->parts[i].head.truth_step = n;
    st->own.head.columns = numbers;
    if (!numbers) st->own.head.spread = DN_SPREAD_FIXED; /* no tensor */
    l->term.truths = (int)n, l->term.columns = (int)n;
    dn_layer_vector_out(l, 1); /* the loss of the row */
    return DN_OK;
}

void dn_likelihood_columns_given(const dn_layer *l, const dn_run *run, size_t rows, float *out) {
    const dn_coded *c = l->net->columns;
    size_t n = (size_t)c->n;
    for (size_t i = 0; run->given && i < n; i++)
        if (c->given[i]) run->ops->copy_rows(run->pool, rows, 1, run->given + i, n, out + i, n);
}

void dn_likelihood_columns_no_loss(const dn_layer *l, size_t rows, float *loss) {
    const dn_coded *c = l->net->columns;
    size_t n = (size_t)c->n;
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; c->given[i] && r < rows; r++) loss[r * n + i] = 0;
}

/* [condition]: y = [x | c], c the values of some columns of the row as [columns] has expanded them. With one in the
 * decoder of a VAE, q(z|x) need not hold what c says, and rows can be decoded for any c (Sohn, Lee and Yan, Learning
 * structured output representation using deep conditional generative models, NIPS 2015). No loss models these columns.
 *
 * It reads the output of layer 0 without counting as its reader (`reads_from`), because decoding computes that layer
 * from the caller's condition. */
#include "base/sys.h"
#include "net/coded.h"
#include "net/network.h"
#include <limits.h>

typedef struct condition_state {
    const char *columns;
    int *places, n;        /* (n): places in the output of [columns] */
    float *index, *values; /* the same in the backend's memory, (n) ints; (batch, n) */
} condition_state;

static const dn_key condition_keys[] = {
    {"columns", DN_KEY_TEXT, DN_AT(condition_state, columns), .shown_type = "list", .shown_fallback = "needed",
     .help = "which of the columns of [columns], by name or by number from 0 on"},
    {0},
};

/* All values of a column, and its flag. */
static void condition_add(condition_state *st, const dn_coded *c, int column) {
    for (int k = 0; k < dn_coded_width(c, column); k++) st->places[st->n++] = c->at[column] + k;
    if (c->flags && c->classes[column] == DN_CLASSES_NUMBER) st->places[st->n++] = c->numbers + c->at[column];
}

static dn_status condition_columns(condition_state *st, dn_coded *c, dn_section *s, char **names, int n) {
    if (!n) return dn_cfg_error(s, NULL, "columns= is missing: those of [columns] that are given");
    if (!(st->places = dn_alloc((size_t)c->outputs, sizeof *st->places))) return DN_E_MEMORY;
    char *taken = dn_alloc((size_t)c->n, 1);
    dn_status status = taken ? DN_OK : DN_E_MEMORY;
    for (int i = 0, column; i < n && status == DN_OK; i++) {
        status = dn_coded_find(c, s, "columns", names[i], &column);
        if (status == DN_OK && taken[column]) status = dn_cfg_error(s, "columns", "'%.60s' is given twice", names[i]);
        if (status != DN_OK) break;
        c->n_given += !c->given[column];
        taken[column] = c->given[column] = 1;
        condition_add(st, c, column);
    }
    dn_free(taken);
    return status;
}

static dn_status condition_parse(dn_layer *l, dn_section *s) {
    condition_state *st = l->state;
    dn_coded *c = l->net->columns;
    char **names = NULL;
    int n;
    if (!c) return dn_cfg_error(s, NULL, "needs [columns] as the first layer, whose columns it gives");
    dn_status status = dn_cfg_cells(s, "columns", &names, &n);
    if (status == DN_OK) status = condition_columns(st, c, s, names, n);
    dn_free(names);
    DN_TRY(status);
    if (l->inputs > INT_MAX - st->n) return dn_cfg_error(s, NULL, "%d + %d outputs are too many", l->inputs, st->n);
    dn_layer *first = &l->net->layers[0];
    first->n_readers++, first->last_reader = l->index;
    dn_layer_vector_out(l, l->inputs + st->n);
    return DN_OK;
}

static dn_status condition_plan(dn_layer *l, const dn_run *run) {
    condition_state *st = l->state;
    DN_TRY(dn_layer_buffer(l, &st->index, (size_t)st->n));
    return dn_layer_buffer(l, &st->values, (size_t)run->batch * (size_t)st->n);
}

static dn_status condition_constants(dn_layer *l, const dn_run *run) {
    const condition_state *st = l->state;
    run->ops->upload(run->pool, st->index, st->places, (size_t)st->n * sizeof *st->places);
    return DN_OK;
}

static dn_status condition_forward(dn_layer *l, const dn_run *run) {
    const condition_state *st = l->state;
    const dn_layer *first = dn_layer_at(l, 0);
    size_t rows = (size_t)run->rows, x = (size_t)l->inputs, n = (size_t)st->n, y = (size_t)l->outputs;
    run->ops->gather(run->pool, rows, (size_t)first->outputs, n, (const int *)st->index, 1, 0, first->output,
                     st->values);
    run->ops->copy_rows(run->pool, rows, x, dn_layer_x(l, run), x, dn_layer_y(l, run), y);
    run->ops->copy_rows(run->pool, rows, n, st->values, n, dn_layer_y(l, run) + x, y);
    return DN_OK;
}

static dn_status condition_backward(dn_layer *l, const dn_run *run) {
    size_t x = (size_t)l->inputs;
    if (l->dx) run->ops->add_rows(run->pool, (size_t)run->rows, x, l->delta, (size_t)l->outputs, l->dx, x);
    return DN_OK;
}

static void condition_destroy(dn_layer *l) { dn_free(((condition_state *)l->state)->places); }

const dn_layer_type dn_condition_layer = {
    .name = "condition",
    .state_size = sizeof(condition_state),
    .keys = condition_keys,
    .parse = condition_parse,
    .plan = condition_plan,
    .constants = condition_constants,
    .forward = condition_forward,
    .backward = condition_backward,
    .destroy = condition_destroy,
};

/* [columns]: coded columns of a table, expanded for the layers after it (net/coded.h). It is the first layer, and the
 * only one that reads missing values. It passes no gradient down: codes have none. */
#include "base/sys.h"
#include "net/coded.h"
#include "net/network.h"

typedef struct columns_state {
    const char *names, *kinds, *coding, *drop, *as_number, *as_category; /* those from `coding` on: of the schema */
    int missing;
    dn_coded columns;
    float *column, *as; /* (outputs) ints each */
} columns_state;

static const dn_key columns_keys[] = {
    {"kinds", DN_KEY_TEXT, DN_AT(columns_state, kinds), .shown_type = "list", .shown_fallback = "needed",
     .help = "what each column of the rows is: number, yes_no (0 or 1) or category:N (codes from 0 to N - 1); nan is a "
             "missing value in all of them"},
    {"names", DN_KEY_TEXT, DN_AT(columns_state, names), .shown_type = "list", .shown_fallback = "none",
     .help = "the columns' names, as cells of a CSV row"},
    {"missing", DN_KEY_FLAG, DN_AT(columns_state, missing), .help = "1: a flag for each number says if it is missing"},
    {"coding", DN_KEY_TEXT, DN_AT(columns_state, coding), .shown_type = "name", .shown_fallback = "quantiles",
     .help = "for learning how a table is coded: of its numbers, quantiles, robust or standard"},
    {"drop", DN_KEY_TEXT, DN_AT(columns_state, drop), .shown_type = "list", .shown_fallback = "none",
     .help = "likewise: columns of the table that are left out"},
    {"as_number", DN_KEY_TEXT, DN_AT(columns_state, as_number), .shown_type = "list", .shown_fallback = "none",
     .help = "likewise: columns that are numbers although they look like categories"},
    {"as_category", DN_KEY_TEXT, DN_AT(columns_state, as_category), .shown_type = "list", .shown_fallback = "none",
     .help = "likewise: columns that are categories although they look like numbers"},
    {0},
};

/* What [net] does to rows that are plain numbers. */
static dn_status columns_fit(dn_net *net, dn_section *s) {
    dn_section *header = &net->cfg->sections[0];
    const char *key = net->bits ? "binarize" : net->noise > 0 ? "noise" : net->data_scale != 1 ? "data_scale" : NULL;
    if (key)
        return dn_cfg_error(header, key, "%s= is for rows of plain numbers, not for the codes of [columns] (line %d)",
                            key, s->line);
    return DN_OK;
}

static dn_status columns_parse(dn_layer *l, dn_section *s) {
    columns_state *st = l->state;
    dn_net *net = l->net;
    if (l->index) return dn_cfg_error(s, NULL, "is the first layer or none: it reads the rows of the table");
    DN_TRY(dn_coded_parse(&st->columns, s, st->missing));
    if (st->columns.n != l->inputs)
        return dn_cfg_error(s, "kinds", "kinds= has %d columns, but inputs=%d (line %d): leave inputs= out",
                            st->columns.n, l->inputs, dn_cfg_line(&net->cfg->sections[0], "inputs"));
    DN_TRY(columns_fit(net, s));
    net->columns = &st->columns;
    dn_layer_vector_out(l, st->columns.outputs);
    return DN_OK;
}

static dn_status columns_plan(dn_layer *l, const dn_run *run) {
    columns_state *st = l->state;
    (void)run;
    DN_TRY(dn_layer_buffer(l, &st->column, (size_t)l->outputs));
    return dn_layer_buffer(l, &st->as, (size_t)l->outputs);
}

static dn_status columns_constants(dn_layer *l, const dn_run *run) {
    const columns_state *st = l->state;
    size_t n = (size_t)l->outputs;
    int *tables = dn_alloc(n, 2 * sizeof *tables);
    if (!tables) return DN_E_MEMORY;
    dn_coded_expansion(&st->columns, tables, tables + n);
    run->ops->upload(run->pool, st->column, tables, n * sizeof *tables);
    run->ops->upload(run->pool, st->as, tables + n, n * sizeof *tables);
    dn_free(tables);
    return DN_OK;
}

static dn_status columns_forward(dn_layer *l, const dn_run *run) {
    const columns_state *st = l->state;
    run->ops->expand(run->pool, (size_t)run->rows, (size_t)l->inputs, (size_t)l->outputs, (const int *)st->column,
                     (const int *)st->as, dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}

static void columns_destroy(dn_layer *l) { dn_coded_free(&((columns_state *)l->state)->columns); }

const dn_layer_type dn_columns_layer = {
    .name = "columns",
    .state_size = sizeof(columns_state),
    .keys = columns_keys,
    .parse = columns_parse,
    .plan = columns_plan,
    .constants = columns_constants,
    .forward = columns_forward,
    .destroy = columns_destroy,
};

/* What each column of a table is: names, targets, the label. */
#include "base/nearest.h"
#include "io/csv.h"
#include <math.h>

int dn_csv_index(const char *name, size_t size, int columns) {
    double value;
    const char *end = size ? dn_number_parse(name, &value) : NULL;
    if (end != name + size || !end || value != floor(value) || value < -columns || value >= columns) return -1;
    return (int)value < 0 ? columns + (int)value : (int)value;
}

/* The header's names; leaves the reader after it. */
dn_status dn_csv_names(csv_reader *r, csv_plan *plan, int unnamed_first) {
    size_t room = (size_t)(dn_csv_row_end(r, r->p, r->end) - r->p) + (size_t)plan->columns + 2, used = 0;
    csv_cell cell = {.text = ""};
    int last = 0;
    plan->names = dn_alloc(room, 1);
    plan->places = dn_alloc((size_t)plan->columns, sizeof *plan->places);
    if (!plan->names || !plan->places) return DN_E_MEMORY;
    for (int c = 0; c < plan->columns; c++) {
        long line = r->line;
        if (!unnamed_first || c) {
            dn_csv_cell(r, &cell, &last);
            DN_TRY(dn_csv_cell_check(r, &cell, line, c));
        }
        plan->places[c] = used;
        used += dn_csv_copy(&cell, plan->names + used) + 1;
    }
    if (!last) dn_csv_cell(r, &cell, &last); /* a trailing separator */
    return DN_OK;
}

/* The column with that name in the header, or with that index; -1: none. */
static int csv_column(const csv_plan *plan, const char *name, size_t size) {
    for (int c = 0; plan->names && c < plan->columns; c++) {
        const char *known = plan->names + plan->places[c];
        if (strlen(known) == size && !memcmp(known, name, size)) return c;
    }
    return dn_csv_index(name, size, plan->columns);
}

/* A name that several columns share does not identify one. */
static dn_status csv_one_of_the_name(const csv_reader *r, const csv_plan *plan, const char *name) {
    int n = 0;
    for (int c = 0; plan->names && c < plan->columns; c++) n += !strcmp(plan->names + plan->places[c], name);
    DN_CHECK(n < 2, DN_E_USAGE, "%s: %d columns are called '%s': give the index of one, from 0", r->path, n, name);
    return DN_OK;
}

static dn_status csv_targets(const csv_reader *r, csv_plan *plan, dn_table *table) {
    const char *name = plan->targets;
    for (int i = 0; i < plan->n_targets; i++, name += strlen(name) + 1) {
        DN_TRY(csv_one_of_the_name(r, plan, name));
        int column = csv_column(plan, name, strlen(name));
        if (column < 0) return dn_csv_no_column(r, plan, "target", name, strlen(name));
        DN_CHECK(plan->roles[column] == CSV_FEATURE, DN_E_USAGE, "%s: target column '%s' is named twice", r->path,
                 name);
        plan->roles[column] = (int)table->truths++;
    }
    return DN_OK;
}

/* The most similar column name; NULL: none is similar. */
static const char *csv_nearest(const csv_plan *plan, const char *name) {
    dn_nearest nearest;
    dn_nearest_begin(&nearest, name, strlen(name));
    for (int c = 0; plan->names && c < plan->columns; c++) {
        const char *known = plan->names + plan->places[c];
        dn_nearest_try(&nearest, known, strlen(known));
    }
    return nearest.found;
}

/* An optional label column was not found; it may be there under another name. */
static dn_status csv_label_missing(const csv_reader *r, const csv_plan *plan, const char *name, dn_table *table) {
    const char *near = csv_nearest(plan, name);
    if (!near) return DN_OK;
    return dn_csv_warn(table, "%s: no label column '%s', so all columns are data; did you mean '%s'?", r->path, name,
                       near);
}

static dn_status csv_label_role(const csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table,
                                int *labels) {
    const char *name = o->label_column;
    *labels = 0;
    if (!name || !*name) return DN_OK;
    DN_TRY(csv_one_of_the_name(r, plan, name));
    int column = csv_column(plan, name, strlen(name)), asked_for = column >= 0;
    if (o->label_optional && !plan->names && (size_t)plan->columns == (size_t)o->columns + table->truths)
        column = -1; /* an index, but the file has features only */
    if (o->label_optional && column >= 0 && plan->roles[column] != CSV_FEATURE) column = -1; /* requested as a target */
    if (column < 0 && !o->label_optional) return dn_csv_no_column(r, plan, "label", name, strlen(name));
    if (column < 0) return asked_for ? DN_OK : csv_label_missing(r, plan, name, table);
    DN_CHECK(plan->roles[column] == CSV_FEATURE, DN_E_USAGE, "%s: column '%s' is the label and a target", r->path,
             name);
    plan->roles[column] = CSV_LABEL, *labels = 1;
    return DN_OK;
}

static dn_status csv_weight_role(const csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table,
                                 int labels) {
    const char *name = o->row_weight;
    if (!name || !*name) return DN_OK;
    DN_TRY(csv_one_of_the_name(r, plan, name));
    int column = csv_column(plan, name, strlen(name));
    int index = column >= 0 && (!plan->names || strcmp(plan->names + plan->places[column], name));
    if (o->weight_optional && index && (size_t)plan->columns == (size_t)o->columns + table->truths + (size_t)labels)
        column = -1; /* the file has no such column */
    if (o->weight_optional && column >= 0 && plan->roles[column] != CSV_FEATURE) column = -1;
    if (column < 0) return o->weight_optional ? DN_OK : dn_csv_no_column(r, plan, "row weight", name, strlen(name));
    DN_CHECK(plan->roles[column] == CSV_FEATURE, DN_E_USAGE, "%s: column '%s' is the row weight and %s", r->path, name,
             plan->roles[column] == CSV_LABEL ? "the label" : "a target");
    plan->roles[column] = (int)table->truths++, plan->weighted = 1;
    return DN_OK;
}

dn_status dn_csv_part_weights(const csv_plan *plan, dn_table *t) {
    if (!plan->weighted) return DN_OK;
    size_t all = t->truths, truths = all - 1;
    if (!(t->weights = dn_alloc(t->rows, sizeof *t->weights))) return DN_E_MEMORY;
    for (size_t r = 0; r < t->rows; r++) {
        t->weights[r] = t->truth[r * all + truths];
        for (size_t k = 0; k < truths; k++) t->truth[r * truths + k] = t->truth[r * all + k];
    }
    t->truths = truths;
    if (truths) return DN_OK;
    dn_free(t->truth);
    t->truth = NULL;
    return DN_OK;
}

/* What there is besides features, for messages. */
static const char *csv_others(const csv_plan *plan, const dn_table *table, int labels) {
    static const char *const texts[] = {"",
                                        "label",
                                        "targets",
                                        "label and targets",
                                        "row weight",
                                        "label and row weight",
                                        "targets and row weight",
                                        "label, targets and row weight"};
    size_t targets = table->truths - (size_t)plan->weighted;
    return texts[(labels ? 1 : 0) + (targets ? 2 : 0) + (plan->weighted ? 4 : 0)];
}

dn_status dn_csv_roles(const csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table) {
    int labels;
    for (int c = 0; c < plan->columns; c++) plan->roles[c] = CSV_FEATURE;
    DN_TRY(csv_targets(r, plan, table));
    DN_TRY(csv_label_role(r, o, plan, table, &labels));
    DN_TRY(csv_weight_role(r, o, plan, table, labels));
    size_t others = table->truths + (size_t)labels;
    DN_CHECK((size_t)plan->columns > others, DN_E_FORMAT, "%s:%ld: no columns besides the %s", r->path, r->line,
             csv_others(plan, table, labels));
    table->columns = (size_t)plan->columns - others;
    int one_more = o->columns && table->columns == (size_t)o->columns + 1,
        index = one_more && dn_csv_counts_rows(r, plan);
    if (one_more && !labels && o->label_column && *o->label_column) {
        const char *near = csv_nearest(plan, o->label_column);
        return dn_fail(DN_E_FORMAT,
                       "%s:%ld: %zu columns, the network takes %d: none is called '%s', as the cfg's label "
                       "column%s%s%s",
                       r->path, r->line, table->columns, o->columns, o->label_column, near ? "; did you mean '" : "",
                       near ? near : "", near ? "'?" : "; if it is the first one: -label-column 0 (label_column=0)");
    }
    DN_CHECK(!o->columns || (size_t)o->columns == table->columns, DN_E_FORMAT,
             "%s:%ld: %zu columns%s%s%s, the network takes %d%s", r->path, r->line, table->columns,
             others ? " besides " : "", others > 0 && !(table->truths && labels) ? "the " : "",
             csv_others(plan, table, labels), o->columns,
             index ? ": the first has no name and counts the rows, as the index of pandas and R (index=False, "
                     "row.names=FALSE)"
                   : "");
    for (int c = plan->columns - 2; c >= 0; c--)
        if (plan->roles[c] == CSV_FEATURE) plan->runs[c] = plan->runs[c + 1] + 1;
    return DN_OK;
}

/* The features' names, for the table. */
dn_status dn_csv_table_header(const csv_plan *plan, dn_table *table) {
    size_t size = 0, used = 0;
    for (int c = 0; c < plan->columns; c++)
        if (plan->roles[c] == CSV_FEATURE) size += strlen(plan->names + plan->places[c]) + 1;
    if (!(table->header = dn_alloc(size, 1))) return DN_E_MEMORY;
    for (int c = 0; c < plan->columns; c++) {
        const char *name = plan->names + plan->places[c];
        size_t n = strlen(name) + 1;
        if (plan->roles[c] != CSV_FEATURE) continue;
        memcpy(table->header + used, name, n);
        used += n;
    }
    table->header_size = size;
    return DN_OK;
}

/* The list of targets is a row of cells. */
dn_status dn_csv_target_list(const char *list, csv_plan *plan) {
    if (!list || !*list) return DN_OK;
    csv_reader look = {.p = list, .end = list + strlen(list), .separator = ','};
    size_t used = 0;
    csv_cell cell;
    if (!(plan->targets = dn_alloc(2 * strlen(list) + 2, 1))) return DN_E_MEMORY;
    for (int last = 0; !last;) {
        dn_csv_cell(&look, &cell, &last);
        DN_CHECK(!cell.unclosed && !cell.behind, DN_E_USAGE, "the list of targets '%s' has a quote too many or too few",
                 list);
        if (last && !cell.size && !cell.quoted) break; /* a comma at the end */
        used += dn_csv_copy(&cell, plan->targets + used) + 1;
        plan->n_targets++;
    }
    return DN_OK;
}

void dn_csv_plan_free(csv_plan *plan) {
    dn_free(plan->roles);
    dn_free(plan->names);
    dn_free(plan->places);
    dn_free(plan->targets);
}

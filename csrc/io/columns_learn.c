/* What is learned of a table: what the options say of its columns, and the columns one by one. */
#include "base/sys.h"
#include "io/columns.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct learning {
    const dn_frame *frame;
    const dn_schema_options *options;
    dn_schema *schema;
    int *says; /* (n) of the options: COLUMNS_AS_... */
    int max_categories;
} learning;

/* ---- options ---- */

static dn_status say(learning *l, const char *what, const char *name, int bit) {
    int found = 0;
    for (int i = 0; i < l->frame->n; i++)
        if (!strcmp(l->frame->columns[i].name, name)) l->says[i] |= bit, found++;
    return found ? DN_OK : dn_columns_no_such(l->frame, what, name);
}

/* The next cell of a list to `to`; returns what comes after it. */
static const char *list_cell(const char *p, char *to) {
    p += strspn(p, " \t");
    if (*p == '"') {
        for (p++; *p && (*p != '"' || p[1] == '"'); p++) p += *p == '"', *to++ = *p;
        p += strcspn(p, ",");
    } else {
        while (*p && *p != ',') *to++ = *p++;
        while (to[-1] == ' ' || to[-1] == '\t') to--; /* before the list is a zero */
    }
    *to = 0;
    return p + (*p == ',');
}

static dn_status say_list(learning *l, const char *what, const char *list, int bit) {
    if (!list || !*list) return DN_OK;
    char *cell = dn_realloc(NULL, strlen(list) + 2, 1);
    dn_status status = cell ? DN_OK : DN_E_MEMORY;
    if (cell) *cell = 0;
    while (status == DN_OK && *list) {
        list = list_cell(list, cell + 1);
        if (cell[1]) status = say(l, what, cell + 1, bit);
    }
    dn_free(cell);
    return status;
}

/* Of a column that a name or an index means. */
static dn_status say_one(learning *l, const char *what, const char *name, int bit) {
    if (!name || !*name) return DN_OK;
    for (int i = 0; i < l->frame->n; i++)
        if (!strcmp(l->frame->columns[i].name, name)) return say(l, what, name, bit);
    int index = dn_frame_find(l->frame, name);
    if (index < 0) return dn_columns_no_such(l->frame, what, name);
    l->says[index] |= bit;
    return DN_OK;
}

static dn_status read_coding(learning *l) {
    const char *coding = l->options->coding;
    if (!coding || !*coding) return DN_OK;
    for (int i = 0; i < COLUMNS_CODINGS; i++)
        if (!strcmp(coding, dn_columns_codings[i])) return l->schema->coding = i, DN_OK;
    return dn_fail(DN_E_USAGE, "coding '%s': it is quantiles, robust or standard", coding);
}

static dn_status read_options(learning *l) {
    const dn_schema_options *o = l->options;
    int all_numbers = o->as_number && !strcmp(o->as_number, "*");
    DN_CHECK(o->max_categories == 0 || o->max_categories >= 2, DN_E_USAGE, "max_categories=%d: at least 2, or 0 for %d",
             o->max_categories, COLUMNS_CATEGORIES);
    l->max_categories = o->max_categories ? o->max_categories : COLUMNS_CATEGORIES;
    DN_TRY(read_coding(l));
    DN_TRY(say_one(l, "label column", o->label_column, COLUMNS_AS_LABEL));
    DN_TRY(say_one(l, "row weight", o->row_weight, COLUMNS_AS_ROW_WEIGHT));
    DN_TRY(say_list(l, "drop", o->drop, COLUMNS_AS_DROPPED));
    DN_TRY(say_list(l, "as_number", all_numbers ? NULL : o->as_number, COLUMNS_AS_NUMBER));
    DN_TRY(say_list(l, "as_category", o->as_category, COLUMNS_AS_CATEGORY));
    for (int i = 0; i < l->frame->n && all_numbers; i++)
        if (!(l->says[i] & COLUMNS_AS_CATEGORY)) l->says[i] |= COLUMNS_AS_ALL_NUMBERS;
    return say_list(l, "condition", o->condition, COLUMNS_AS_CONDITION);
}

/* ---- the table ---- */

static dn_status begin_column(learning *l, int i) {
    const dn_frame_column *f = &l->frame->columns[i];
    columns_column *c = &l->schema->columns[i];
    c->type = f->type, c->form = f->form & 255;
    c->decimals = f->type == DN_FRAME_TEXT ? 0 : f->decimals > 30 ? 30 : f->decimals < -1 ? -1 : f->decimals;
    c->condition = (l->says[i] & COLUMNS_AS_CONDITION) != 0;
    DN_CHECK(f->type >= 0 && f->type < COLUMNS_TYPES, DN_E_USAGE, "column %d of a table has type %d", i, f->type);
    return (c->name = dn_strdup(f->name)) ? DN_OK : DN_E_MEMORY;
}

static dn_status learn_column(learning *l, int i) {
    columns_column *c = &l->schema->columns[i];
    char shown[COLUMNS_SHOWN];
    DN_TRY(begin_column(l, i));
    DN_CHECK(!(l->says[i] & COLUMNS_AS_LABEL) || !(l->says[i] & COLUMNS_AS_CONDITION), DN_E_USAGE,
             "column '%s' is both the label column and a condition", dn_columns_shown(c->name, shown));
    DN_CHECK(!(l->says[i] & COLUMNS_AS_ROW_WEIGHT) || !(l->says[i] & (COLUMNS_AS_LABEL | COLUMNS_AS_CONDITION)),
             DN_E_USAGE, "column '%s' is both the row weight and %s", dn_columns_shown(c->name, shown),
             l->says[i] & COLUMNS_AS_LABEL ? "the label column" : "a condition");
    if (l->says[i] & COLUMNS_AS_DROPPED) return c->kind = DN_COLUMN_DROPPED, DN_OK;
    DN_TRY(dn_columns_learn_one(l->schema, c, l->frame, i, l->says[i], l->max_categories));
    DN_CHECK(!c->condition || c->kind < DN_COLUMN_CONSTANT, DN_E_USAGE, "condition '%s': that column is %s",
             dn_columns_shown(c->name, shown),
             c->kind == DN_COLUMN_CONSTANT ? "constant" : "an identifier, which is left out");
    return DN_OK;
}

static dn_status learn(learning *l) {
    DN_TRY(read_options(l));
    for (int i = 0; i < l->frame->n; i++) {
        DN_TRY(dn_watched());
        DN_TRY(learn_column(l, i));
    }
    dn_columns_place(l->schema);
    int modelled = 0;
    for (int i = 0; i < l->schema->n_coded; i++) modelled += !l->schema->columns[l->schema->coded[i]].condition;
    DN_CHECK(
        modelled || !l->schema->n_coded, DN_E_USAGE,
        "condition: all columns with different values are conditions (%d), so none is left to model: leave one out",
        l->schema->n_coded);
    if (!l->schema->n_coded) dn_text_format(&l->schema->warnings, "no column has different values: nothing to model\n");
    return l->schema->warnings.status == DN_OK ? dn_columns_learn_gaps(l->schema, l->frame)
                                               : l->schema->warnings.status;
}

static dn_status learn_rows(dn_schema **out, const dn_frame *frame, const dn_schema_options *options) {
    learning l = {.frame = frame, .options = options};
    dn_status status = dn_columns_create(&l.schema, frame->n);
    if (status == DN_OK && !(l.says = dn_alloc((size_t)frame->n, sizeof *l.says))) status = DN_E_MEMORY;
    if (status == DN_OK) {
        l.schema->rows = frame->rows, l.schema->separator = frame->separator ? frame->separator : ',';
        status = learn(&l);
    }
    dn_free(l.says);
    if (status == DN_OK)
        *out = l.schema;
    else
        dn_schema_free(l.schema);
    return status;
}

dn_status dn_schema_learn(dn_schema **out, const dn_frame *frame, const dn_schema_options *options) {
    static const dn_schema_options none = {0};
    if (!options) options = &none;
    int weighted = options->row_weight && *options->row_weight;
    int column = weighted ? dn_frame_find(frame, options->row_weight) : -1;
    *out = NULL;
    DN_CHECK(frame->rows && frame->n > 0, DN_E_USAGE, "a table of %zu rows and %d columns has nothing to learn from",
             frame->rows, frame->n);
    if (column < 0) return learn_rows(out, frame, options); /* which says that there is no such column */
    dn_frame counted;
    DN_TRY(dn_columns_rows(frame, column, &counted));
    dn_status status = learn_rows(out, &counted, options);
    dn_columns_rows_free(&counted, frame);
    return status;
}

/* Rows of a table as the numbers that a network computes with. */
#include "base/nearest.h"
#include "base/number.h"
#include "base/sys.h"
#include "io/columns.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct coding {
    const dn_schema *schema;
    const dn_frame *frame;
    float *x;
    dn_text warnings;
    int *found;    /* (schema's columns): the frame's column, -1: none */
    char *known;   /* (frame's columns): has the schema one of that name? */
    size_t before; /* rows of the table before those of the frame */
} coding;

/* ---- which column is which ---- */

typedef struct named {
    const char *name;
    int index;
} named;

static int by_name(const void *a, const void *b) {
    const named *x = a, *y = b;
    int by = strcmp(x->name, y->name);
    return by ? by : (x->index > y->index) - (x->index < y->index);
}

/* Names of columns that the model does not know, of which one may be the one it wants. */
static void list_unknown(const coding *c, char *to, size_t size) {
    char shown[COLUMNS_SHOWN];
    int n = 0, used = 0;
    *to = 0;
    for (int i = 0; i < c->frame->n; i++) {
        if (c->known[i]) continue;
        const char *name = n < 3 ? dn_columns_shown(c->frame->columns[i].name, shown) : "...";
        used += snprintf(to + used, size - (size_t)used, n == 3 ? ", %s" : n ? ", '%s'" : "'%s'", name);
        if (n++ == 3 || used >= (int)size - COLUMNS_SHOWN - 8) break;
    }
}

static dn_status no_column(const coding *c, int column) {
    const char *name = c->schema->columns[column].name;
    char shown[COLUMNS_SHOWN], other[COLUMNS_SHOWN], unknown[4 * COLUMNS_SHOWN + 32];
    dn_nearest near;
    dn_nearest_begin(&near, name, strlen(name));
    for (int i = 0; i < c->frame->n; i++)
        if (!c->known[i]) dn_nearest_try(&near, c->frame->columns[i].name, strlen(c->frame->columns[i].name));
    list_unknown(c, unknown, sizeof unknown);
    dn_columns_shown(name, shown);
    dn_fail(DN_E_FORMAT, "the table has no column '%s', which the model was trained with", shown);
    if (near.found)
        return dn_fail(DN_E_FORMAT, "%s: did you mean '%s'?", dn_error(), dn_columns_shown(near.found, other));
    if (!*unknown) return DN_E_FORMAT;
    return dn_fail(DN_E_FORMAT, "%s; what it has and the model does not know: %s", dn_error(), unknown);
}

/* Both lists by name; of several columns with one name the first is the first. */
static void match(coding *c, named *ours, named *theirs) {
    int n = c->schema->n, m = c->frame->n;
    for (int i = 0; i < n; i++) ours[i] = (named){c->schema->columns[i].name, i}, c->found[i] = -1;
    for (int i = 0; i < m; i++) theirs[i] = (named){c->frame->columns[i].name, i};
    qsort(ours, (size_t)n, sizeof *ours, by_name);
    qsort(theirs, (size_t)m, sizeof *theirs, by_name);
    for (int i = 0, k = 0; i < n && k < m;) {
        int by = strcmp(ours[i].name, theirs[k].name);
        if (!by) c->found[ours[i].index] = theirs[k].index, c->known[theirs[k].index] = 1;
        i += by <= 0, k += by >= 0;
    }
}

static void warn_others(coding *c) {
    char shown[COLUMNS_SHOWN];
    int others = 0, first = -1;
    for (int i = 0; i < c->frame->n; i++)
        if (!c->known[i]) others++, first = first < 0 ? i : first;
    if (!others) return;
    const char *name = dn_columns_shown(c->frame->columns[first].name, shown);
    if (others == 1)
        dn_text_format(&c->warnings, "column '%s' is not one of the model's and is ignored\n", name);
    else
        dn_text_format(&c->warnings, "%d columns, the first of them '%s', are not the model's and are ignored\n",
                       others, name);
}

static dn_status match_columns(coding *c) {
    named *names = dn_alloc((size_t)c->schema->n + (size_t)c->frame->n, sizeof *names);
    if (!names) return DN_E_MEMORY;
    match(c, names, names + c->schema->n);
    dn_free(names);
    for (int i = 0; i < c->schema->n_coded; i++)
        if (c->found[c->schema->coded[i]] < 0) return no_column(c, c->schema->coded[i]);
    warn_others(c);
    return DN_OK;
}

/* ---- one column ---- */

typedef struct column {
    const columns_column *c;
    const dn_frame_column *f;
    size_t rows, stride, before;
    int coding;
    float *x;         /* of row 0 */
    size_t unknown;   /* rows with a value that was never seen */
    const char *word; /* the first one */
    double value;     /* or number */
    size_t infinite;
} column;

static const char *word_of_code(const dn_frame_column *f, int32_t code) {
    const char *p = f->words;
    for (int32_t i = 0; i < code; i++) p += strlen(p) + 1;
    return p;
}

static float code_of(int code) { return code < 0 ? NAN : (float)code; }

/* A value of a column of numbers or times as its code. */
static float number_code(column *t, double v, int *unknown) {
    const columns_column *c = t->c;
    if (!isfinite(v)) return NAN;
    if (c->kind == DN_COLUMN_NUMBER || c->kind == DN_COLUMN_TIME) return dn_columns_code_number(c, t->coding, v + 0.0);
    return code_of(dn_columns_code_value(c, v + 0.0, t->f ? t->f->decimals : -1, unknown));
}

static void code_numbers(column *t) {
    for (size_t i = 0; i < t->rows; i++) {
        double v = t->f->numbers[i];
        int unknown = 0;
        t->x[i * t->stride] = number_code(t, v, &unknown);
        t->infinite += isinf(v) != 0;
        if (unknown && !t->unknown++) t->value = v;
    }
}

static dn_status not_a_number(const column *t, int32_t code) {
    size_t row = 0;
    char name[COLUMNS_SHOWN], word[COLUMNS_SHOWN];
    while (t->f->codes[row] != code) row++;
    return dn_fail(DN_E_FORMAT, "column '%s', row %zu: '%s' is not a %s, as the model's column has them",
                   dn_columns_shown(t->c->name, name), t->before + row + 1,
                   dn_columns_shown(word_of_code(t->f, code), word), t->c->type == DN_FRAME_TIME ? "date" : "number");
}

/* The code of a word; `bad`: the column has numbers, and it is none. */
static float word_code(column *t, const char *word, int *unknown, int *bad) {
    double v;
    *bad = 0;
    if (t->c->type == DN_FRAME_TEXT) return code_of(dn_columns_code_word(t->c, word, unknown));
    if (dn_columns_read(word, t->c->type, &v)) return number_code(t, v, unknown);
    int truth =
        t->c->type == DN_FRAME_NUMBER ? dn_columns_truth(word) : -1; /* False and True, of a column of 0 and 1 */
    *bad = truth < 0;
    return *bad ? NAN : number_code(t, truth, unknown);
}

/* Word by word: codes, and which are unknown (1) or no numbers (2). */
static void code_words(column *t, float *codes, char *state) {
    const char *p = t->f->words;
    for (int32_t i = 0; i < t->f->n_words; i++, p += strlen(p) + 1) {
        int unknown = 0, bad;
        codes[i] = word_code(t, p, &unknown, &bad);
        state[i] = (char)(bad ? 2 : unknown);
    }
}

static dn_status code_text_rows(column *t, const float *codes, const char *state) {
    for (size_t i = 0; i < t->rows; i++) {
        int32_t code = t->f->codes[i];
        DN_CHECK(code >= -1 && code < t->f->n_words, DN_E_USAGE, "row %zu of a text column has code %d of %d", i, code,
                 t->f->n_words);
        t->x[i * t->stride] = code < 0 ? NAN : codes[code];
        if (code < 0 || !state[code]) continue;
        if (state[code] == 2) return not_a_number(t, code);
        if (!t->unknown++) t->word = word_of_code(t->f, code);
    }
    return DN_OK;
}

static dn_status code_texts(column *t) {
    float *codes = dn_alloc((size_t)t->f->n_words, sizeof *codes);
    char *state = dn_alloc((size_t)t->f->n_words, 1);
    dn_status status = codes && state ? DN_OK : DN_E_MEMORY;
    if (status == DN_OK) code_words(t, codes, state);
    if (status == DN_OK) status = code_text_rows(t, codes, state);
    dn_free(codes);
    dn_free(state);
    return status;
}

/* Of a column of texts, in a table where all of them happen to be dates: the codes of these texts. */
static void code_dates(column *t) {
    char text[COLUMNS_NUMBER];
    for (size_t i = 0; i < t->rows; i++) {
        double v = t->f->numbers[i];
        int unknown = 0;
        if (!isnan(v)) dn_columns_time_text(v, t->f->form, text);
        t->x[i * t->stride] = isnan(v) ? NAN : code_of(dn_columns_code_word(t->c, text, &unknown));
        if (unknown && !t->unknown++) t->value = v;
    }
}

static dn_status warn_column(coding *c, const column *t) {
    char name[COLUMNS_SHOWN], word[COLUMNS_SHOWN], number[COLUMNS_NUMBER];
    dn_columns_shown(t->c->name, name);
    if (t->infinite)
        dn_text_format(&c->warnings, "column '%s': %zu infinite values count as missing\n", name, t->infinite);
    if (!t->unknown) return c->warnings.status;
    if (!t->word && t->f->type == DN_FRAME_TIME)
        dn_columns_time_text(t->value, t->f->form, number);
    else if (!t->word)
        dn_columns_number_text(t->value, t->f->decimals, number);
    dn_text_format(&c->warnings,
                   "column '%s': %zu row%s with values that the model does not know, first '%s': taken as %s\n", name,
                   t->unknown, t->unknown == 1 ? "" : "s", dn_columns_shown(t->word ? t->word : number, word),
                   columns_other(t->c) >= 0 ? "'other'" : "missing");
    return c->warnings.status;
}

/* A date where there were numbers, or the other way round; a column without any value may have any type. */
static dn_status check_type(const column *t) {
    char name[COLUMNS_SHOWN];
    if (t->f->type == DN_FRAME_TEXT || t->f->type == t->c->type) return DN_OK;
    if (t->c->type == DN_FRAME_TEXT) return DN_OK; /* their texts are its words */
    for (size_t i = 0; i < t->rows; i++)
        if (!isnan(t->f->numbers[i]))
            return dn_fail(DN_E_FORMAT, "column '%s', row %zu: it has %ss, where the model's column has %ss",
                           dn_columns_shown(t->c->name, name), t->before + i + 1,
                           t->f->type == DN_FRAME_TIME ? "date" : "number",
                           t->c->type == DN_FRAME_TIME ? "date" : "number");
    return DN_OK;
}

static dn_status code_column(coding *c, int place) {
    int index = c->schema->coded[place];
    column t = {.c = &c->schema->columns[index],
                .f = &c->frame->columns[c->found[index]],
                .rows = c->frame->rows,
                .before = c->before,
                .stride = (size_t)c->schema->n_coded,
                .coding = c->schema->coding,
                .x = c->x + place};
    DN_TRY(check_type(&t));
    if (t.f->type == DN_FRAME_TEXT)
        DN_TRY(code_texts(&t));
    else if (t.c->type == DN_FRAME_TEXT && t.f->type == DN_FRAME_TIME)
        code_dates(&t);
    else
        code_numbers(&t);
    return warn_column(c, &t);
}

static dn_status code_frame(coding *c) {
    c->found = dn_alloc((size_t)c->schema->n, sizeof *c->found);
    c->known = dn_alloc((size_t)c->frame->n, 1);
    if (!c->found || !c->known) return DN_E_MEMORY;
    DN_TRY(match_columns(c));
    for (int i = 0; i < c->schema->n_coded; i++) {
        DN_TRY(dn_watched());
        DN_TRY(code_column(c, i));
    }
    return c->warnings.status;
}

dn_status dn_schema_code_piece(const dn_schema *schema, const dn_frame *frame, size_t before, float *x,
                               char **warnings) {
    coding c = {.schema = schema, .frame = frame, .before = before, .x = x};
    if (warnings) *warnings = NULL;
    dn_status status = code_frame(&c);
    dn_free(c.found);
    dn_free(c.known);
    if (status == DN_OK && warnings)
        *warnings = c.warnings.bytes;
    else
        dn_text_free(&c.warnings);
    return status;
}

dn_status dn_schema_code(const dn_schema *schema, const dn_frame *frame, float *x, char **warnings) {
    return dn_schema_code_piece(schema, frame, 0, x, warnings);
}

/* ---- one cell ---- */

dn_status dn_schema_cell(const dn_schema *s, int index, const char *text, float *code) {
    char name[COLUMNS_SHOWN], shown[COLUMNS_SHOWN];
    DN_CHECK(index >= 0 && index < s->n, DN_E_USAGE, "column %d: the table has %d", index, s->n);
    column t = {.c = &s->columns[index], .coding = s->coding};
    int unknown = 0, bad;
    dn_columns_shown(t.c->name, name);
    DN_CHECK(t.c->coded >= 0, DN_E_USAGE, "column '%s' is %s: the model does not have it", name,
             t.c->kind == DN_COLUMN_CONSTANT ? "constant" : "left out");
    *code = NAN;
    if (!*text) return DN_OK;
    *code = word_code(&t, text, &unknown, &bad);
    if (unknown && columns_other(t.c) >= 0 && !strcmp(text, "other")) return DN_OK;
    DN_CHECK(!bad, DN_E_USAGE, "column '%s': '%s' is not a %s", name, dn_columns_shown(text, shown),
             t.c->type == DN_FRAME_TIME ? "date" : "number");
    if (!unknown) return DN_OK;
    dn_nearest near;
    dn_nearest_begin(&near, text, strlen(text));
    for (int i = 0; i < t.c->words.n; i++) dn_nearest_try(&near, t.c->words.at[i], strlen(t.c->words.at[i]));
    dn_columns_shown(text, shown);
    if (near.found) return dn_fail(DN_E_USAGE, "column '%s' has no '%s': did you mean '%s'?", name, shown, near.found);
    return dn_fail(DN_E_USAGE, "column '%s' has no '%s': %d values, from '%s' to '%s'", name, shown, t.c->words.n,
                   t.c->words.at[0], t.c->words.at[t.c->words.n - 1]);
}

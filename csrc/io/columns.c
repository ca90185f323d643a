/* The schema itself: memory, and what is asked about it. */
#include "io/columns.h"
#include "base/sys.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const dn_columns_codings[] = {"quantiles", "robust", "standard"};
const char *const dn_columns_kinds[] = {"number",     "time",    "yes_no", "category",  "constant",
                                        "identifier", "dropped", "label",  "row_weight"};
const char *const dn_columns_statistics[] = {"low", "high", "mean", "deviation", "median", "spread"};
const char *const dn_columns_types[] = {"number", "time", "text"};

double *dn_columns_statistic(columns_column *c, int index) {
    double *const all[COLUMNS_STATISTICS] = {&c->low, &c->high, &c->mean, &c->deviation, &c->median, &c->spread};
    return all[index];
}

dn_status dn_columns_create(dn_schema **out, int n) {
    dn_schema *s = *out = dn_alloc(1, sizeof *s);
    if (!s) return DN_E_MEMORY;
    s->columns = dn_alloc((size_t)n, sizeof *s->columns);
    s->coded = dn_alloc((size_t)n, sizeof *s->coded);
    if (s->columns) s->n = n;
    s->separator = ',';
    for (int i = 0; i < s->n; i++) {
        columns_column *c = &s->columns[i];
        c->low = c->high = c->mean = c->deviation = c->median = c->spread = (double)NAN;
        c->coded = c->gaps.by = -1, c->kind = DN_COLUMN_DROPPED;
    }
    return s->columns && s->coded ? DN_OK : DN_E_MEMORY;
}

void dn_schema_free(dn_schema *s) {
    if (!s) return;
    for (int i = 0; i < s->n; i++) {
        columns_column *c = &s->columns[i];
        dn_free(c->name);
        dn_columns_knots_free(&c->knots);
        dn_columns_words_free(&c->words);
        dn_columns_words_free(&c->rare);
        dn_free(c->gaps.rows), dn_free(c->gaps.missing);
    }
    dn_free(s->columns);
    dn_free(s->coded);
    dn_text_free(&s->warnings);
    dn_free(s);
}

/* Which group of the coded matrix; -1: none. */
static int coded_group(const columns_column *c) {
    switch (c->kind) {
    case DN_COLUMN_NUMBER:
    case DN_COLUMN_TIME: return 0;
    case DN_COLUMN_YES_NO: return 1;
    case DN_COLUMN_CATEGORY: return 2;
    default: return -1;
    }
}

void dn_columns_place(dn_schema *s) {
    s->n_coded = 0;
    for (int group = 0; group < 3; group++)
        for (int i = 0; i < s->n; i++)
            if (coded_group(&s->columns[i]) == group) s->columns[i].coded = s->n_coded, s->coded[s->n_coded++] = i;
}

const char *dn_columns_shown(const char *text, char shown[COLUMNS_SHOWN]) {
    size_t n = strlen(text);
    if (n < COLUMNS_SHOWN) return memcpy(shown, text, n + 1);
    n = COLUMNS_SHOWN - 4;
    while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n--; /* not within a character */
    memcpy(shown, text, n);
    memcpy(shown + n, "...", 4);
    return shown;
}

const char *dn_schema_warnings(const dn_schema *s) { return s->warnings.bytes ? s->warnings.bytes : ""; }
const char *dn_schema_coding(const dn_schema *s) { return dn_columns_codings[s->coding]; }
size_t dn_schema_rows(const dn_schema *s) { return (size_t)s->rows; }
int dn_schema_columns(const dn_schema *s) { return s->n; }
int dn_schema_coded(const dn_schema *s) { return s->n_coded; }

int dn_schema_column(const dn_schema *s, int index, dn_column_info *info) {
    if (index < 0 || index >= s->n) return 0;
    const columns_column *c = &s->columns[index];
    *info = (dn_column_info){.name = c->name,
                             .kind = c->kind,
                             .type = c->type,
                             .coded = c->coded,
                             .classes = columns_classes(c),
                             .other = columns_other(c),
                             .missing = c->missing > 0,
                             .condition = c->condition,
                             .decimals = c->decimals,
                             .form = c->form,
                             .low = c->low,
                             .high = c->high,
                             .mean = c->mean,
                             .deviation = c->deviation,
                             .median = c->median,
                             .spread = c->spread,
                             .missing_rows = (size_t)c->missing,
                             .distincts = (size_t)c->distinct};
    return 1;
}

const char *dn_schema_word(const dn_schema *s, int index, int code) {
    if (index < 0 || index >= s->n || code < 0) return NULL;
    const columns_column *c = &s->columns[index];
    if (code < c->words.n) return c->words.at[code];
    return code == columns_other(c) ? "other" : NULL;
}

size_t dn_schema_count(const dn_schema *s, int index, int code) {
    if (!dn_schema_word(s, index, code)) return 0;
    const columns_column *c = &s->columns[index];
    if (code < c->words.n) return (size_t)c->words.counts[code];
    uint64_t sum = 0;
    for (int i = 0; i < c->rare.n; i++) sum += c->rare.counts[i];
    return (size_t)sum;
}

/* The schema as JSON; docs/tables.md describes the members. */
#include "base/number.h"
#include "base/sys.h"
#include "io/columns.h"
#include "io/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void add_string(dn_text *to, const char *text) {
    dn_text utf8 = {0};
    dn_utf8_add(&utf8, text, strlen(text));
    if (utf8.status == DN_OK)
        dn_json_add(to, utf8.bytes ? utf8.bytes : "", utf8.size);
    else
        to->status = utf8.status;
    dn_text_free(&utf8);
}

static void add_count(dn_text *to, uint64_t n) { dn_text_format(to, "%llu", (unsigned long long)n); }

static void add_counts(dn_text *to, const char *key, const uint64_t *counts, int n) {
    dn_text_format(to, ",\n   \"%s\": [", key);
    for (int i = 0; i < n; i++) {
        if (i) dn_text_add(to, ", ", 2);
        add_count(to, counts[i]);
    }
    dn_text_add(to, "]", 1);
}

static void add_numbers(dn_text *to, const char *key, const double *values, int n) {
    dn_text_format(to, ",\n   \"%s\": [", key);
    for (int i = 0; i < n; i++) {
        if (i) dn_text_add(to, ", ", 2);
        dn_json_add_number(to, values[i]);
    }
    dn_text_add(to, "]", 1);
}

static void add_words(dn_text *to, const char *key, const char *counts_key, const columns_words *w) {
    if (!w->n) return;
    dn_text_format(to, ",\n   \"%s\": [", key);
    for (int i = 0; i < w->n; i++) {
        if (i) dn_text_add(to, ", ", 2);
        add_string(to, w->at[i]);
    }
    dn_text_add(to, "]", 1);
    add_counts(to, counts_key, w->counts, w->n);
}

static void add_gaps(dn_text *to, const dn_schema *s, const columns_gaps *g) {
    if (g->by < 0) return;
    dn_text_format(to, ",\n   \"gaps_by\": ");
    add_string(to, s->columns[g->by].name);
    if (g->given) dn_text_format(to, ", \"gaps_given\": true");
    add_counts(to, "gaps_rows", g->rows, g->n);
    add_counts(to, "gaps_missing", g->missing, g->n);
}

static void add_column(dn_text *to, const dn_schema *s, const columns_column *c) {
    dn_text_add(to, "{\"name\": ", 9);
    add_string(to, c->name);
    dn_text_format(to, ", \"kind\": \"%s\", \"type\": \"%s\", \"decimals\": %d, \"form\": %d",
                   dn_columns_kinds[c->kind], dn_columns_types[c->type], c->decimals, c->form);
    if (c->knots.n) dn_text_format(to, ", \"places\": %d", c->places);
    if (c->condition) dn_text_format(to, ", \"condition\": true");
    dn_text_format(to, ", \"missing\": ");
    add_count(to, c->missing);
    dn_text_format(to, ", \"distinct\": ");
    add_count(to, c->distinct);
    for (int i = 0; i < COLUMNS_STATISTICS && !isnan(c->low); i++) {
        dn_text_format(to, ", \"%s\": ", dn_columns_statistics[i]);
        dn_json_add_number(to, *dn_columns_statistic((columns_column *)c, i));
    }
    add_words(to, "words", "counts", &c->words);
    add_words(to, "rare", "rare_counts", &c->rare);
    if (c->knots.n) {
        add_numbers(to, "values", c->knots.values, c->knots.n);
        add_counts(to, "below", c->knots.below, c->knots.n);
        add_counts(to, "at", c->knots.at, c->knots.n);
    }
    add_gaps(to, s, &c->gaps);
    dn_text_add(to, "}", 1);
}

void dn_columns_write(const dn_schema *s, dn_text *to) {
    dn_text_format(to, "{\"format\": %d, \"rows\": ", COLUMNS_FORMAT);
    add_count(to, s->rows);
    dn_text_format(to, ", \"coding\": \"%s\", \"separator\": ", dn_columns_codings[s->coding]);
    add_string(to, (char[2]){s->separator, 0});
    dn_text_format(to, ", \"columns\": [");
    for (int i = 0; i < s->n; i++) {
        dn_text_format(to, i ? ",\n  " : "\n  ");
        add_column(to, s, &s->columns[i]);
    }
    dn_text_add(to, "]}", 2);
}

size_t dn_schema_json(const dn_schema *s, char *text, size_t size) {
    dn_text all = {0};
    dn_columns_write(s, &all);
    dn_text_add(&all, "\n", 1);
    int n = snprintf(text, size, "%s", all.status == DN_OK ? all.bytes : "");
    dn_text_free(&all);
    return n < 0 ? 0 : (size_t)n;
}

dn_status dn_columns_copy(dn_schema **out, const dn_schema *schema) {
    dn_text text = {0};
    *out = NULL;
    dn_columns_write(schema, &text);
    dn_status status = text.status == DN_OK ? dn_schema_parse(out, text.bytes, text.size, NULL) : text.status;
    dn_text_free(&text);
    return status;
}

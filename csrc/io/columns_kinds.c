/* What one column of a table is: its kind, its distribution or its words. */
#include "base/sys.h"
#include "io/columns.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of at most FEW different values, each in FEW_ROWS rows in the mean, are categories. Texts are identifiers
 * when all of at least NAMES, or NAMES_PART of at least NAMES_SURE, are different; numbers that count rows from 0 or 1
 * always, from elsewhere (but not years) when there are COUNTED of them. */
enum { FEW = 20, FEW_ROWS = 10, NAMES = 10, NAMES_SURE = 50, COUNTED = 20, YEAR_FIRST = 1500, YEAR_LAST = 2200 };
static const double NAMES_PART = 0.9;

typedef struct learned {
    dn_schema *schema;
    columns_column *c;
    const dn_frame_column *f;
    size_t rows, n; /* of the table; with a value */
    int says, most; /* options; categories */
} learned;

/* ---- words ---- */

typedef struct ranked {
    uint64_t count;
    int index;
} ranked;

static int more_frequent(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
                                : (x->index > y->index) - (x->index < y->index);
}

/* The words of `from` that `which` lists, in this order. */
static dn_status keep_words(columns_words *to, const columns_words *from, const int *which, int n) {
    size_t size = 0, length;
    for (int i = 0; i < n; i++) size += strlen(from->at[which[i]]) + 1;
    DN_TRY(dn_columns_words_alloc(to, n, size, from->values != NULL));
    char *p = to->text;
    for (int i = 0; i < n; i++, p += length) {
        length = strlen(from->at[which[i]]) + 1;
        memcpy(p, from->at[which[i]], length);
        to->counts[i] = from->counts[which[i]];
        if (from->values) to->values[i] = from->values[which[i]];
    }
    return dn_columns_words_finish(to);
}

/* Of too many words the most frequent become codes and the others are rare, both in the order that they had. */
static dn_status split_words(columns_column *c, const columns_words *all, int most) {
    ranked *by = dn_alloc((size_t)all->n, sizeof *by);
    int *which = dn_alloc((size_t)all->n, sizeof *which);
    char *group = dn_alloc((size_t)all->n, 1);
    dn_status status = by && which && group ? DN_OK : DN_E_MEMORY;
    if (status == DN_OK) {
        for (int i = 0; i < all->n; i++) by[i] = (ranked){all->counts[i], i};
        qsort(by, (size_t)all->n, sizeof *by, more_frequent);
        for (int i = 0; i < all->n; i++) group[by[i].index] = i < most - 1 ? 1 : i < most - 1 + COLUMNS_RARE ? 2 : 3;
    }
    for (int g = 1; g <= 2 && status == DN_OK; g++) {
        int n = 0;
        for (int i = 0; i < all->n; i++)
            if (group[i] == g) which[n++] = i;
        status = keep_words(g == 1 ? &c->words : &c->rare, all, which, n);
    }
    dn_free(by);
    dn_free(which);
    dn_free(group);
    return status;
}

/* The column has these words and no more than the options allow. Takes them. */
static dn_status take_words(const learned *l, columns_words *all) {
    dn_status status = DN_OK;
    if (all->n > l->most)
        status = split_words(l->c, all, l->most), dn_columns_words_free(all);
    else
        l->c->words = *all, *all = (columns_words){0};
    return status;
}

/* why: with the remedy, or else NULL and `found`, which an option overrules. */
static dn_status identifier(const learned *l, const char *why, const char *found) {
    char shown[COLUMNS_SHOWN];
    dn_text *to = &l->schema->warnings;
    l->c->kind = DN_COLUMN_IDENTIFIER;
    if (l->says & COLUMNS_AS_LABEL) return DN_OK;
    dn_text_format(to, "column '%s' is left out as an identifier: %s", dn_columns_shown(l->c->name, shown),
                   why ? why : found);
    if (!why) dn_text_format(to, "; as_%s keeps it", l->f->type == DN_FRAME_TEXT ? "category" : "number");
    dn_text_add(to, "\n", 1);
    return to->status;
}

/* ---- texts ---- */

/* How many rows have each of the frame's words. */
static dn_status count_texts(learned *l, uint64_t *counts) {
    const dn_frame_column *f = l->f;
    for (size_t i = 0; i < l->rows; i++) {
        DN_CHECK(f->codes[i] >= -1 && f->codes[i] < f->n_words, DN_E_USAGE,
                 "row %zu of a text column has code %d of %d", i, f->codes[i], f->n_words);
        if (f->codes[i] >= 0) counts[f->codes[i]]++, l->n++;
    }
    return DN_OK;
}

/* The words that occur, in the order of their bytes, but no before yes. */
static dn_status sorted_texts(const columns_words *given, columns_words *to) {
    int *which = dn_alloc((size_t)given->n, sizeof *which), n = 0;
    if (!which) return DN_E_MEMORY;
    for (int i = 0; i < given->n; i++) {
        int w = given->order[i];
        if (!given->counts[w]) continue;
        if (n && !strcmp(given->at[which[n - 1]], given->at[w])) /* twice in the frame's list */
            given->counts[which[n - 1]] += given->counts[w];
        else
            which[n++] = w;
    }
    int swapped = n == 2 && (dn_columns_truth(given->at[which[0]]) == 1 || dn_columns_truth(given->at[which[1]]) == 0);
    int first = which[0];
    if (swapped) which[0] = which[1], which[1] = first;
    dn_status status = keep_words(to, given, which, n);
    dn_free(which);
    return status;
}

/* The frame's texts as words with counts. */
static dn_status find_texts(learned *l, columns_words *to) {
    columns_words given = {0};
    const char *p = l->f->words;
    for (int32_t i = 0; i < l->f->n_words; i++) p += strlen(p) + 1;
    size_t size = (size_t)(p - l->f->words);
    dn_status status = dn_columns_words_alloc(&given, l->f->n_words, size, 0);
    if (status == DN_OK && size) memcpy(given.text, l->f->words, size);
    if (status == DN_OK) status = dn_columns_words_finish(&given);
    if (status == DN_OK) status = count_texts(l, given.counts);
    if (status == DN_OK) status = sorted_texts(&given, to);
    dn_columns_words_free(&given);
    return status;
}

/* Nearly all are different: names, keys, sentences. */
static int texts_identify(const learned *l, uint64_t distinct) {
    if (l->says & COLUMNS_AS_CATEGORY) return 0;
    return distinct == l->n ? l->n >= NAMES : l->n >= NAMES_SURE && (double)distinct >= NAMES_PART * (double)l->n;
}

/* Words that were meant to be something else. stray: why they are not, if only some of them are words. */
static dn_status hint_texts(const learned *l, const columns_words *all, dn_text *stray) {
    if (l->says & (COLUMNS_AS_LABEL | COLUMNS_AS_CATEGORY)) return DN_OK;
    DN_TRY(dn_columns_stray(stray, l->f, all, l->n));
    if (!stray->size) dn_columns_hint(&l->schema->warnings, l->c->name, all);
    return DN_OK;
}

static dn_status learn_words(learned *l, columns_words *all, dn_text *stray) {
    char shown[COLUMNS_SHOWN], found[64];
    DN_TRY(find_texts(l, all));
    l->c->distinct = (uint64_t)all->n, l->c->missing = l->rows - l->n;
    DN_TRY(hint_texts(l, all, stray));
    const char *why = stray->size ? stray->bytes : NULL;
    DN_CHECK(!(l->says & COLUMNS_AS_NUMBER) || !why, DN_E_USAGE, "as_number '%s': %s",
             dn_columns_shown(l->c->name, shown), why);
    DN_CHECK(!(l->says & COLUMNS_AS_NUMBER), DN_E_USAGE, "as_number '%s': the column has texts, such as '%s'",
             dn_columns_shown(l->c->name, shown),
             l->f->n_words ? dn_columns_shown(l->f->words, (char[COLUMNS_SHOWN]){0}) : "");
    if (texts_identify(l, l->c->distinct)) {
        snprintf(found, sizeof found, "%d different texts in %zu rows", all->n, l->n);
        return identifier(l, why, found);
    }
    if (why)
        dn_text_format(&l->schema->warnings, "column '%s' is read as words: %s\n", dn_columns_shown(l->c->name, shown),
                       why);
    l->c->kind = all->n < 2                                        ? DN_COLUMN_CONSTANT
                 : all->n == 2 && !(l->says & COLUMNS_AS_CATEGORY) ? DN_COLUMN_YES_NO
                                                                   : DN_COLUMN_CATEGORY;
    return take_words(l, all);
}

static dn_status learn_texts(learned *l) {
    columns_words all = {0};
    dn_text stray = {0};
    dn_status status = learn_words(l, &all, &stray);
    dn_columns_words_free(&all);
    dn_text_free(&stray);
    return status;
}

/* ---- numbers ---- */

/* Does the name say that the column holds keys: id, customer_id, PassengerId? */
static int name_identifies(const char *name) {
    static const char *const words[] = {"id", "index", "idx", "row", "rowid", "key", "uuid", "guid"};
    size_t n = strlen(name);
    char low[8];
    if (n >= 3 && (name[n - 1] | 32) == 'd' && (name[n - 2] | 32) == 'i') {
        char before = name[n - 3];
        int small = before >= 'a' && before <= 'z',
            own = before == '_' || before == '-' || before == ' ' || before == '.';
        if (own || (small && name[n - 2] == 'I')) return 1;
    }
    for (size_t i = 0; i <= n && n < sizeof low; i++)
        low[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 32 : name[i]);
    for (size_t i = 0; i < sizeof words / sizeof *words && n < sizeof low; i++)
        if (!strcmp(low, words[i])) return 1;
    return 0;
}

static int counts_rows(const learned *l) {
    const double *v = l->f->numbers;
    for (size_t i = 0; i < l->rows; i++)
        if (v[i] != v[0] + (double)i) return 0;
    if (l->rows < 3) return 0;
    if (v[0] == 0 || v[0] == 1) return 1;
    return l->rows >= COUNTED && !(v[0] >= YEAR_FIRST && v[l->rows - 1] <= YEAR_LAST);
}

/* Do they number the rows, or name what the rows are about? */
static int numbers_identify(const learned *l) {
    const columns_column *c = l->c;
    if (l->says & (COLUMNS_AS_NUMBER | COLUMNS_AS_CATEGORY | COLUMNS_AS_ALL_NUMBERS) || c->type != DN_FRAME_NUMBER ||
        c->decimals > 0 || l->n < l->rows)
        return 0;
    return counts_rows(l) || (c->decimals == 0 && l->n >= NAMES && c->distinct == l->n && name_identifies(c->name));
}

/* The different values of a column, with their own text, as words. */
static dn_status number_words(const learned *l, const double *sorted, columns_words *to) {
    char text[COLUMNS_NUMBER];
    size_t size = 0;
    int n = 0;
    DN_CHECK(l->c->distinct < INT32_MAX, DN_E_USAGE, "column '%.64s' has too many different values for categories",
             l->c->name);
    for (size_t i = 0; i < l->n; i++)
        if (!i || sorted[i] != sorted[i - 1]) size += dn_columns_own_text(l->c, sorted[i], text) + 1;
    DN_TRY(dn_columns_words_alloc(to, (int)l->c->distinct, size, 1));
    char *p = to->text;
    for (size_t i = 0; i < l->n; i++) {
        if (!i || sorted[i] != sorted[i - 1]) {
            size_t length = dn_columns_own_text(l->c, sorted[i], text) + 1;
            memcpy(p, text, length);
            p += length, to->values[n++] = sorted[i];
        }
        to->counts[n - 1]++;
    }
    return dn_columns_words_finish(to);
}

static int numbers_kind(const learned *l) {
    const columns_column *c = l->c;
    if (c->type == DN_FRAME_TIME) return DN_COLUMN_TIME;
    if (l->says & (COLUMNS_AS_NUMBER | COLUMNS_AS_ALL_NUMBERS)) return DN_COLUMN_NUMBER;
    if (l->says & COLUMNS_AS_CATEGORY) return DN_COLUMN_CATEGORY;
    if (c->distinct == 2 && c->low == 0 && c->high == 1) return DN_COLUMN_YES_NO;
    return c->distinct <= FEW && l->n > FEW_ROWS * c->distinct ? DN_COLUMN_CATEGORY : DN_COLUMN_NUMBER;
}

/* `sorted`: the l->n finite values. */
static dn_status learn_values(learned *l, const double *sorted) {
    columns_column *c = l->c;
    char why[96];
    columns_words all = {0};
    if (!l->n) return c->kind = DN_COLUMN_CONSTANT, DN_OK;
    DN_TRY(dn_columns_measure(c, sorted, l->n));
    c->kind = c->distinct == 1 ? DN_COLUMN_CONSTANT : numbers_kind(l);
    int identifies = c->kind != DN_COLUMN_CONSTANT && numbers_identify(l);
    snprintf(why, sizeof why, "%zu different whole numbers in %zu rows", l->n, l->rows);
    if (identifies || (c->kind != DN_COLUMN_NUMBER && c->kind != DN_COLUMN_TIME)) dn_columns_knots_free(&c->knots);
    if (identifies) return identifier(l, NULL, why);
    if (c->kind != DN_COLUMN_YES_NO && c->kind != DN_COLUMN_CATEGORY) return DN_OK;
    dn_status status = number_words(l, sorted, &all);
    if (status == DN_OK) status = take_words(l, &all);
    dn_columns_words_free(&all);
    return status;
}

static dn_status learn_numbers(learned *l) {
    size_t infinite = 0;
    char shown[COLUMNS_SHOWN];
    double *values = dn_realloc(NULL, l->rows, 2 * sizeof *values);
    if (!values) return DN_E_MEMORY;
    for (size_t i = 0; i < l->rows; i++) {
        double v = l->f->numbers[i];
        infinite += isinf(v) != 0;
        if (isfinite(v)) values[l->n++] = v + 0.0; /* -0 is 0 */
    }
    l->c->missing = l->rows - l->n;
    if (infinite)
        dn_text_format(&l->schema->warnings, "column '%s': %zu infinite values count as missing\n",
                       dn_columns_shown(l->c->name, shown), infinite);
    dn_columns_sort(values, values + l->rows, l->n);
    dn_status status = learn_values(l, values);
    dn_free(values);
    return status;
}

dn_status dn_columns_learn_one(dn_schema *schema, columns_column *c, const dn_frame *frame, int index, int says,
                               int max_categories) {
    learned l = {.schema = schema, .c = c, .f = &frame->columns[index], .rows = frame->rows};
    l.says = says, l.most = max_categories;
    DN_TRY(c->type == DN_FRAME_TEXT ? learn_texts(&l) : learn_numbers(&l));
    if (!(says & (COLUMNS_AS_LABEL | COLUMNS_AS_ROW_WEIGHT))) return DN_OK;
    c->kind = says & COLUMNS_AS_LABEL ? DN_COLUMN_LABEL : DN_COLUMN_ROW_WEIGHT;
    dn_columns_knots_free(&c->knots);
    dn_columns_words_free(&c->rare);
    return DN_OK;
}

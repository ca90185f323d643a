/* The schema from JSON that nobody vouches for: every number and every size is checked, so that what uses a schema need
 * not. */
#include "base/number.h"
#include "base/sys.h"
#include "io/columns.h"
#include <math.h>
#include <string.h>

enum { MOST_COLUMNS = 1 << 20 };
#define MOST_ROWS ((uint64_t)1 << 53) /* exact as doubles */

/* A growing list of numbers or counts, which are as large. */
typedef struct list {
    union {
        double *numbers;
        uint64_t *counts;
        void *any;
    } at;
    int n, room, given;
} list;

/* What a column's object holds, until all of it is known. */
typedef struct reading {
    dn_json *j;
    columns_column *c;
    list values, below, knots_at, counts, rare_counts, gaps_rows, gaps_missing;
    char *gaps_by;
    dn_text words, rare; /* zero-terminated, one after another */
    int n_words, n_rare;
} reading;

static dn_status room_for_one(list *l) {
    if (l->n < l->room) return DN_OK;
    void *grown = dn_realloc(l->at.any, (size_t)l->room * 2 + 16, sizeof(double));
    if (!grown) return DN_E_MEMORY;
    l->at.any = grown, l->room = l->room * 2 + 16;
    return DN_OK;
}

static dn_status read_list(dn_json *j, list *l, int counts, int most) {
    int more;
    if (l->given++) return dn_json_fail(j, "a list that has been given before");
    DN_TRY(dn_json_open(j, '['));
    for (;;) {
        DN_TRY(dn_json_more(j, ']', &more));
        if (!more) return DN_OK;
        if (l->n >= most) return dn_json_fail(j, "a list of more than %d", most);
        DN_TRY(room_for_one(l));
        DN_TRY(counts ? dn_json_whole(j, &l->at.counts[l->n]) : dn_json_number(j, &l->at.numbers[l->n]));
        if (counts ? l->at.counts[l->n] > MOST_ROWS : !isfinite(l->at.numbers[l->n]))
            return dn_json_fail(j, counts ? "a count beyond 2^53" : "a number that is not finite");
        l->n++;
    }
}

/* A string of JSON with its zero, added to `to`. */
static dn_status add_text(dn_json *j, dn_text *to) {
    dn_json_text text;
    DN_TRY(dn_json_string(j, &text));
    char *at = dn_text_room(to, text.size + 1);
    if (!at) return to->status;
    size_t n = dn_json_decode(&text, at);
    at[n] = 0;
    if (memchr(at, 0, n)) return dn_json_fail(j, "a text with a zero in it");
    to->size += n + 1;
    return DN_OK;
}

static dn_status read_words(dn_json *j, dn_text *to, int *n, int most) {
    int more;
    if (*n) return dn_json_fail(j, "a list that has been given before");
    DN_TRY(dn_json_open(j, '['));
    for (;;) {
        DN_TRY(dn_json_more(j, ']', &more));
        if (!more) return DN_OK;
        if (*n >= most) return dn_json_fail(j, "a list of more than %d", most);
        DN_TRY(add_text(j, to));
        ++*n;
    }
}

/* Which of the words it is. */
static dn_status read_choice(dn_json *j, const char *what, const char *const *words, int n, int *choice) {
    dn_json_text text;
    DN_TRY(dn_json_string(j, &text));
    for (int i = 0; i < n; i++)
        if (dn_json_is(&text, words[i])) return *choice = i, DN_OK;
    return dn_json_fail(j, "%s '%.*s' is not known", what, text.size > 40 ? 40 : (int)text.size, text.at);
}

static dn_status read_int(dn_json *j, const char *what, int low, int high, int *value) {
    double v;
    DN_TRY(dn_json_number(j, &v));
    if (!(v >= low && v <= high && v == floor(v))) return dn_json_fail(j, "%s is not %d to %d", what, low, high);
    *value = (int)v;
    return DN_OK;
}

static dn_status read_rows(dn_json *j, uint64_t *rows) {
    DN_TRY(dn_json_whole(j, rows));
    return *rows <= MOST_ROWS ? DN_OK : dn_json_fail(j, "a count beyond 2^53");
}

/* true; anything else is false. */
static dn_status read_flag(dn_json *j, int *flag) {
    size_t from = j->at;
    DN_TRY(dn_json_skip(j));
    while (from < j->at && j->text[from] != 't') from++;
    *flag = j->at - from == 4 && !memcmp(j->text + from, "true", 4);
    return DN_OK;
}

static dn_status read_name(dn_json *j, char **name) {
    dn_text text = {0};
    if (*name) return dn_json_fail(j, "a second name");
    dn_status status = add_text(j, &text);
    if (status == DN_OK && !(*name = dn_strdup(text.bytes))) status = DN_E_MEMORY;
    dn_text_free(&text);
    return status;
}

static dn_status column_member(reading *r, const dn_json_text *key) {
    dn_json *j = r->j;
    columns_column *c = r->c;
    for (int i = 0; i < COLUMNS_STATISTICS; i++)
        if (dn_json_is(key, dn_columns_statistics[i])) return dn_json_number(j, dn_columns_statistic(c, i));
    if (dn_json_is(key, "name")) return read_name(j, &c->name);
    if (dn_json_is(key, "kind")) return read_choice(j, "kind", dn_columns_kinds, COLUMNS_KINDS, &c->kind);
    if (dn_json_is(key, "type")) return read_choice(j, "type", dn_columns_types, COLUMNS_TYPES, &c->type);
    if (dn_json_is(key, "decimals")) return read_int(j, "decimals", -1, 30, &c->decimals);
    if (dn_json_is(key, "places")) return read_int(j, "places", -1, 30, &c->places);
    if (dn_json_is(key, "form")) return read_int(j, "form", 0, 255, &c->form);
    if (dn_json_is(key, "condition")) return read_flag(j, &c->condition);
    if (dn_json_is(key, "missing")) return read_rows(j, &c->missing);
    if (dn_json_is(key, "distinct")) return read_rows(j, &c->distinct);
    if (dn_json_is(key, "words")) return read_words(j, &r->words, &r->n_words, COLUMNS_MOST_CODES);
    if (dn_json_is(key, "rare")) return read_words(j, &r->rare, &r->n_rare, COLUMNS_RARE);
    if (dn_json_is(key, "counts")) return read_list(j, &r->counts, 1, COLUMNS_MOST_CODES);
    if (dn_json_is(key, "rare_counts")) return read_list(j, &r->rare_counts, 1, COLUMNS_RARE);
    if (dn_json_is(key, "values")) return read_list(j, &r->values, 0, COLUMNS_KNOTS);
    if (dn_json_is(key, "below")) return read_list(j, &r->below, 1, COLUMNS_KNOTS);
    if (dn_json_is(key, "at")) return read_list(j, &r->knots_at, 1, COLUMNS_KNOTS);
    if (dn_json_is(key, "gaps_by")) return read_name(j, &r->gaps_by);
    if (dn_json_is(key, "gaps_given")) return read_flag(j, &c->gaps.given);
    if (dn_json_is(key, "gaps_rows")) return read_list(j, &r->gaps_rows, 1, COLUMNS_MOST_CODES);
    if (dn_json_is(key, "gaps_missing")) return read_list(j, &r->gaps_missing, 1, COLUMNS_MOST_CODES);
    return dn_json_skip(j); /* of a later version */
}

/* ---- what was read, checked ---- */

static dn_status bad(const reading *r, const char *what) {
    char shown[COLUMNS_SHOWN];
    return dn_fail(DN_E_FORMAT, "%s: column '%s': %s", r->j->label,
                   r->c->name ? dn_columns_shown(r->c->name, shown) : "?", what);
}

/* Words and their counts; numbers as words are ascending. */
static dn_status take_read_words(const reading *r, columns_words *w, const dn_text *text, int n, const list *counts,
                                 uint64_t least) {
    const columns_column *c = r->c;
    if (counts->n != n) return bad(r, "not as many counts as words");
    if (!n) return DN_OK;
    DN_TRY(dn_columns_words_alloc(w, n, text->size, c->type != DN_FRAME_TEXT));
    memcpy(w->text, text->bytes, text->size);
    memcpy(w->counts, counts->at.counts, (size_t)n * sizeof *w->counts);
    DN_TRY(dn_columns_words_finish(w));
    uint64_t sum = 0; /* of rare words, from which one is picked: it must not overflow */
    for (int i = 0; i < n; i++) {
        if ((sum += w->counts[i]) > MOST_ROWS) return bad(r, "counts beyond 2^53");
        if (w->counts[i] < least) return bad(r, "a count of 0");
        if (i && !strcmp(w->at[w->order[i]], w->at[w->order[i - 1]])) return bad(r, "a word twice");
        if (!w->values) continue;
        if (!dn_columns_read(w->at[i], c->type, &w->values[i])) return bad(r, "a word that is no number");
        if (i && w->values[i] <= w->values[i - 1]) return bad(r, "numbers that are not ascending");
    }
    return DN_OK;
}

static dn_status take_knots(reading *r) {
    columns_knots *k = &r->c->knots;
    int n = r->values.n;
    if (r->below.n != n || r->knots_at.n != n) return bad(r, "values, below and at are not as many");
    if (!n) return DN_OK;
    DN_TRY(dn_columns_knots_alloc(k, n));
    memcpy(k->values, r->values.at.numbers, (size_t)n * sizeof *k->values);
    memcpy(k->below, r->below.at.counts, (size_t)n * sizeof *k->below);
    memcpy(k->at, r->knots_at.at.counts, (size_t)n * sizeof *k->at);
    for (int i = 0; i < n; i++) {
        if (!k->at[i]) return bad(r, "a value that no row has");
        if (i && k->values[i] <= k->values[i - 1]) return bad(r, "values that are not ascending");
        if (k->below[i] < (i ? k->below[i - 1] + k->at[i - 1] : 0))
            return bad(r, "rows below a value that do not add up");
    }
    if (k->below[0]) return bad(r, "rows below the first value");
    k->rows = k->below[n - 1] + k->at[n - 1];
    if (k->rows > MOST_ROWS) return bad(r, "a count beyond 2^53");
    dn_columns_knots_finish(k);
    return DN_OK;
}

/* All that coding and decoding rely on. */
static dn_status check_numbers(const reading *r) {
    const columns_column *c = r->c;
    if (c->knots.n < 2) return bad(r, "fewer than two values");
    for (int i = 0; i < COLUMNS_STATISTICS; i++)
        if (!isfinite(*dn_columns_statistic((columns_column *)c, i)))
            return bad(r, "a statistic that is not a finite number");
    if (c->low != c->knots.values[0] || c->high != c->knots.values[c->knots.n - 1])
        return bad(r, "low and high are not those of the values");
    if (c->deviation < 0 || c->spread < 0 || !(c->median >= c->low && c->median <= c->high))
        return bad(r, "statistics that no numbers have");
    return DN_OK;
}

static dn_status check_column(const reading *r) {
    const columns_column *c = r->c;
    if (!c->name) return bad(r, "it has no name");
    switch (c->kind) {
    case DN_COLUMN_NUMBER:
    case DN_COLUMN_TIME:
        if ((c->kind == DN_COLUMN_TIME) != (c->type == DN_FRAME_TIME) || c->type == DN_FRAME_TEXT)
            return bad(r, "kind and type do not fit");
        return check_numbers(r);
    case DN_COLUMN_YES_NO:
    case DN_COLUMN_CATEGORY:
        if (c->type == DN_FRAME_TIME) return bad(r, "kind and type do not fit");
        if (c->kind == DN_COLUMN_YES_NO && (c->words.n != 2 || c->rare.n)) return bad(r, "yes_no without two words");
        return columns_classes(c) >= 2 ? DN_OK : bad(r, "a category of fewer than two codes");
    case DN_COLUMN_CONSTANT:
        if (c->words.n > 1 || c->rare.n) return bad(r, "a constant of several words");
        return c->type == DN_FRAME_TEXT || isnan(c->low) || isfinite(c->low) ? DN_OK : bad(r, "an infinite constant");
    default: return DN_OK;
    }
}

/* Takes the lists; which column it is by is found once all have their names. */
static dn_status take_gaps(reading *r) {
    columns_gaps *g = &r->c->gaps;
    if (!r->gaps_by) return DN_OK;
    if (r->gaps_rows.n != r->gaps_missing.n) return bad(r, "gaps_rows and gaps_missing are not as many");
    g->n = r->gaps_rows.n, g->rows = r->gaps_rows.at.counts, g->missing = r->gaps_missing.at.counts;
    r->gaps_rows.at.any = r->gaps_missing.at.any = NULL;
    return DN_OK;
}

static dn_status take_column(reading *r) {
    DN_TRY(take_read_words(r, &r->c->words, &r->words, r->n_words, &r->counts, 0));
    DN_TRY(take_read_words(r, &r->c->rare, &r->rare, r->n_rare, &r->rare_counts, 1));
    DN_TRY(take_knots(r));
    DN_TRY(take_gaps(r));
    return check_column(r);
}

/* *by: NULL, or the name of the column that its gaps depend on, to be freed. */
static dn_status read_column(dn_json *j, columns_column *c, char **by) {
    reading r = {.j = j, .c = c};
    dn_json_text key;
    int more = 1;
    c->kind = DN_COLUMN_DROPPED, c->type = DN_FRAME_NUMBER, c->places = -1;
    dn_status status = dn_json_open(j, '{');
    while (status == DN_OK && (status = dn_json_member(j, &key, &more)) == DN_OK && more)
        status = column_member(&r, &key);
    if (status == DN_OK) status = take_column(&r);
    list *lists[] = {&r.values, &r.below, &r.knots_at, &r.counts, &r.rare_counts, &r.gaps_rows, &r.gaps_missing};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) dn_free(lists[i]->at.any);
    dn_text_free(&r.words);
    dn_text_free(&r.rare);
    *by = r.gaps_by;
    return status;
}

/* How many objects the list has, before memory for them is taken. */
static dn_status count_columns(dn_json j, int *n) {
    int more;
    *n = 0;
    DN_TRY(dn_json_open(&j, '['));
    for (;;) {
        DN_TRY(dn_json_more(&j, ']', &more));
        if (!more) return DN_OK;
        if (++*n > MOST_COLUMNS) return dn_json_fail(&j, "more than %d columns", MOST_COLUMNS);
        DN_TRY(dn_json_skip(&j));
    }
}

static int column_named(const dn_schema *s, const char *name) {
    for (int i = 0; i < s->n; i++)
        if (s->columns[i].name && !strcmp(s->columns[i].name, name)) return i;
    return -1;
}

/* Which columns gaps depend on, of all columns; by: (n) their names, or NULL. */
static dn_status take_gaps_by(dn_json *j, dn_schema *s, char *const *by) {
    char shown[COLUMNS_SHOWN];
    dn_columns_place(s);
    for (int i = 0; i < s->n; i++) {
        if (!by[i]) continue;
        s->columns[i].gaps.by = column_named(s, by[i]);
        if (s->columns[i].gaps.by < 0 || !dn_columns_gaps_fit(s, i))
            return dn_json_fail(j, "column '%s': gaps that do not fit the columns",
                                dn_columns_shown(s->columns[i].name, shown));
    }
    return DN_OK;
}

static dn_status read_columns(dn_json *j, dn_schema **out) {
    int n, more;
    if (*out) return dn_json_fail(j, "a second list of columns");
    DN_TRY(count_columns(*j, &n));
    if (!n) return dn_json_fail(j, "no columns");
    DN_TRY(dn_columns_create(out, n));
    DN_TRY(dn_json_open(j, '['));
    char **by = dn_alloc((size_t)n, sizeof *by);
    dn_status status = by ? DN_OK : DN_E_MEMORY;
    for (int i = 0; i < n && status == DN_OK; i++) {
        status = dn_json_more(j, ']', &more);
        if (status == DN_OK) status = read_column(j, &(*out)->columns[i], &by[i]);
    }
    if (status == DN_OK) status = take_gaps_by(j, *out, by);
    for (int i = 0; by && i < n; i++) dn_free(by[i]);
    dn_free(by);
    return status == DN_OK ? dn_json_more(j, ']', &more) : status;
}

typedef struct head {
    uint64_t rows;
    int coding, format;
    char separator;
} head;

static dn_status read_separator(dn_json *j, char *separator) {
    dn_json_text text;
    DN_TRY(dn_json_string(j, &text));
    char plain = text.size == 1 ? *text.at : text.size == 6 && !memcmp(text.at, "\\u0009", 6) ? '\t' : 0;
    if (text.size == 2 && !memcmp(text.at, "\\t", 2)) plain = '\t';
    if (!plain || !strchr(",; \t|", plain)) return dn_json_fail(j, "a separator that is none");
    *separator = plain;
    return DN_OK;
}

static dn_status schema_member(dn_json *j, const dn_json_text *key, head *h, dn_schema **out) {
    if (dn_json_is(key, "format")) return read_int(j, "format", 1, 1 << 30, &h->format);
    if (dn_json_is(key, "rows")) return read_rows(j, &h->rows);
    if (dn_json_is(key, "coding")) return read_choice(j, "coding", dn_columns_codings, COLUMNS_CODINGS, &h->coding);
    if (dn_json_is(key, "separator")) return read_separator(j, &h->separator);
    if (dn_json_is(key, "columns")) return read_columns(j, out);
    return dn_json_skip(j);
}

static dn_status read_schema(dn_json *j, dn_schema **out) {
    head h = {.separator = ',', .format = COLUMNS_FORMAT};
    dn_json_text key;
    int more;
    DN_TRY(dn_json_open(j, '{'));
    for (;;) {
        DN_TRY(dn_json_member(j, &key, &more));
        if (!more) break;
        DN_TRY(schema_member(j, &key, &h, out));
    }
    if (h.format != COLUMNS_FORMAT)
        return dn_fail(DN_E_FORMAT, "%s: a schema of format %d; this version reads %d", j->label, h.format,
                       COLUMNS_FORMAT);
    if (!*out) return dn_fail(DN_E_FORMAT, "%s: no columns in it", j->label);
    (*out)->rows = h.rows, (*out)->coding = h.coding, (*out)->separator = h.separator;
    dn_columns_place(*out);
    return DN_OK;
}

dn_status dn_columns_read_json(dn_schema **out, dn_json *j) {
    *out = NULL;
    dn_status status = read_schema(j, out);
    if (status == DN_OK) return DN_OK;
    dn_schema_free(*out);
    *out = NULL;
    return status;
}

dn_status dn_schema_parse(dn_schema **out, const char *json, size_t size, const char *name) {
    dn_json j;
    dn_json_begin(&j, name ? name : "schema", json, size);
    DN_TRY(dn_columns_read_json(out, &j));
    dn_status status = dn_json_end(&j);
    if (status == DN_OK) return DN_OK;
    dn_schema_free(*out);
    *out = NULL;
    return status;
}

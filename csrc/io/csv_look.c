/* What the first rows of a table reveal: separator, number of columns, and whether there is a header. */
#include "io/csv.h"
#include <math.h>

enum { SURVEY_ROWS = 20, SURVEY_BYTES = 1 << 18, SURVEY_CELLS = 1 << 14 /* per row: cells whose looks count */ };

/* The first rows, cut at one separator. */
typedef struct csv_survey {
    int rows, width;                             /* the most common number of cells */
    int widths[SURVEY_ROWS], empty[SURVEY_ROWS]; /* of each row; whether its last cell is empty */
    double numbers, score;
} csv_survey;

static const char *csv_limit(const csv_reader *r) { return r->at_end ? r->end : r->whole; }

static const char *csv_over_blanks(const char *p, const char *end) {
    while (p < end && csv_blank(*p)) p++;
    return p;
}

static const char *csv_next_line(const char *p, const char *end) {
    return csv_over_line_end(csv_line_end(p, end), end);
}

/* The first line from p on that is neither empty nor a comment; with `hashes` 1, comments count too. */
static const char *csv_line_that_holds(const char *p, const char *end, int hashes) {
    for (; p < end; p = csv_next_line(p, end)) {
        const char *q = csv_over_blanks(p, end);
        if (q < end && !csv_newline(*q) && (hashes || *q != '#')) return p;
    }
    return NULL;
}

/* ---- separator ---- */

/* The most common width, with or without what may be a trailing separator; returns how many rows have it. */
static int csv_survey_width(csv_survey *s) {
    int best = 0;
    for (int i = 0; i < 2 * s->rows; i++) {
        int agree = 0, width = s->widths[i / 2] - (i & 1 ? s->empty[i / 2] : 0);
        for (int k = 0; k < s->rows; k++) agree += s->widths[k] == width || s->widths[k] - s->empty[k] == width;
        if (agree > best || (agree == best && width > s->width)) best = agree, s->width = width;
    }
    return best;
}

/* Survey rows from `first` to the limit as if `separator` were theirs. Many numbers and equal widths give a good
 * score. */
static void csv_survey_rows(const csv_reader *r, const char *first, int hashes, char separator, csv_survey *s) {
    const char *limit = csv_limit(r), *p = first;
    csv_reader look = *r;
    double cells = 0;
    *s = (csv_survey){0};
    look.separator = separator, look.quotes = 1, look.end = limit;
    for (; p && s->rows < SURVEY_ROWS && (s->rows < 2 || p - first < SURVEY_BYTES); s->rows++) {
        csv_cell cell = {0};
        int last = 0, n = 0, unclosed = 0;
        for (look.p = p; !last && n <= CSV_MAX_COLUMNS; n++) {
            dn_csv_cell(&look, &cell, &last);
            unclosed |= cell.unclosed;
            if (n < SURVEY_CELLS) cells++, s->numbers += dn_csv_looks(&cell) <= CSV_DECIMAL_COMMA && !cell.behind;
        }
        if (s->rows && (unclosed || (look.p == limit && !r->at_end))) break; /* the window ends in this row */
        s->widths[s->rows] = n, s->empty[s->rows] = n > 1 && !cell.size && !cell.quoted;
        p = csv_line_that_holds(csv_over_line_end(look.p, limit), limit, hashes);
    }
    s->score = csv_survey_width(s) * (s->numbers / cells + 0.01) / s->rows;
}

/* Do all rows have as many cells? */
static int csv_agrees(const csv_survey *s) {
    for (int i = 0; i < s->rows; i++)
        if (s->widths[i] - s->empty[i] != s->width && s->widths[i] != s->width) return 0;
    return s->width > 1;
}

/* Blanks separate the cells of a typed table only if nothing speaks against it, because texts have blanks too: no other
 * separator gives all rows as many cells, and blanks do; a header may have one name fewer. */
static int csv_blanks_separate(csv_survey *s) {
    const int width = s->widths[0];
    if (s->rows > 2 && width == s->width - 1) s->widths[0]++;
    int agree = csv_agrees(s) && (s->width > 2 || s->numbers > 0);
    s->widths[0] = width;
    return agree;
}

static char csv_separator(const csv_reader *r, const char *first, int hashes, int typed) {
    static const char candidates[] = ",;\t ";
    csv_survey survey;
    double best = 0;
    char found = ',';
    int agreed = 0;
    for (const char *c = candidates; *c; c++) {
        csv_survey_rows(r, first, hashes, *c, &survey);
        if (typed && *c == ' ' && (agreed || !csv_blanks_separate(&survey))) break;
        if (survey.width > 1 && survey.score > best) best = survey.score, found = *c;
        agreed |= csv_agrees(&survey);
    }
    return found;
}

/* A table of one column whose rows would have more cells by a separator that is not read. wanted: how many columns; 0:
 * any number. */
static dn_status csv_other_separator(const csv_reader *r, int hashes, int wanted, dn_table *table) {
    static const char says[] =
        "%s:%ld: rows of one column, but '%c' would make %d of it: cells are separated by commas, "
        "semicolons, tabs or blanks, so write one of them instead";
    csv_survey survey;
    for (const char *c = "|^~"; *c; c++) {
        csv_survey_rows(r, r->p, hashes, *c, &survey);
        if (survey.rows < 2 || survey.width < 2 || 10 * csv_survey_width(&survey) < 9 * survey.rows) continue;
        if (wanted < 2) return dn_csv_warn(table, says, r->path, r->line, *c, survey.width);
        return dn_fail(DN_E_FORMAT, says, r->path, r->line, *c, survey.width);
    }
    return DN_OK;
}

/* How many cells the table's rows have, judged by the first row. An empty cell at its end is a trailing separator
 * unless other rows have a value there. */
static int csv_columns(const csv_survey *s) {
    int n = s->widths[0], full = 0;
    for (int i = 1; i < s->rows; i++) full |= s->widths[i] == n && !s->empty[i];
    return s->empty[0] && !full ? n - 1 : n;
}

/* ---- before the first row ---- */

/* "sep=;" in the first line is a hint from one spreadsheet to another. */
static void csv_sep_line(csv_reader *r, char *separator) {
    const char *p = r->p, *end = csv_line_end(p, r->end);
    if (end - p != 5 || memcmp(p, "sep=", 4) || !strchr(",;\t", p[4])) return;
    *separator = p[4];
    r->p = csv_over_line_end(end, r->end), r->line++;
}

/* Read until the window holds the first row and, to judge it by, two more lines. `first` is NULL when there is none. */
static dn_status csv_lead(csv_reader *r, const char **first, char *separator) {
    DN_TRY(dn_csv_fill(r));
    if (r->end - r->p >= 3 && !memcmp(r->p, "\xEF\xBB\xBF", 3)) r->p += 3;
    csv_sep_line(r, separator);
    for (;;) {
        const char *limit = csv_limit(r), *p = *first = csv_line_that_holds(r->p, limit, 0);
        for (int i = 0; i < 3 && p; i++) p = csv_line_that_holds(csv_next_line(p, limit), limit, 1);
        if (r->at_end || p) return DN_OK;
        DN_TRY(dn_csv_more(r));
    }
}

/* Leading lines with # are comments. But when the options say whether there is a header, those with the table's number
 * of cells are rows. */
static const char *csv_leading_row(const csv_reader *r, const char *first, int header) {
    csv_survey s;
    if (!header || r->p == first) return first;
    csv_survey_rows(r, first, 0, r->separator, &s);
    csv_reader look = *r;
    look.columns = csv_columns(&s), look.quotes = 1, look.end = csv_limit(r);
    if (look.columns < 2) return first;
    for (const char *p = r->p; p < first; p = csv_next_line(p, first))
        if (csv_kind(&look, p, first) == CSV_ROW) return p;
    return first;
}

/* Move to the first row. A comment that could be a row deserves a warning of its own. */
static dn_status csv_skip_lead(csv_reader *r, const char *first, int header, dn_table *table) {
    size_t comments = 0;
    long line = 0, like_row = 0;
    const char *row = csv_leading_row(r, first, 1);
    for (; r->p < first; r->p = csv_next_line(r->p, first), r->line++) {
        const char *p = csv_over_blanks(r->p, first);
        if (r->p == row) like_row = r->line;
        if (p < first && *p == '#' && !comments++) line = r->line;
    }
    if (!like_row || header) return dn_csv_warn_comments(r, table, comments, line);
    if (comments > 1) DN_TRY(dn_csv_warn_comments(r, table, comments, line));
    return dn_csv_warn(table,
                       "%s:%ld: a line that begins with # is skipped as a comment, though it has as many cells "
                       "as the rows: -header (header=True) takes it for column names, -no-header (header=False) "
                       "for a row",
                       r->path, like_row);
}

/* ---- is the first row a header? ---- */

/* The first row's cells, without those of the label, and the cells below them. */
typedef struct csv_facts {
    int below;               /* there is a second row */
    int named;               /* a column requested by name is among them */
    int kinds[CSV_WORD + 1]; /* how many cells look like that */
    int bare, bare_below;    /* not quoted; an unquoted number below a quoted one */
    int words_over_numbers, odd_over_numbers;
    int counts, counts_below; /* the numbers count 0, 1, ...: how many; -1: they do not */
    int even, even_below;     /* likewise for evenly spaced numbers */
    int not_binary_below;     /* values other than 0 and 1 */
    double first, step, last, first_below, step_below, last_below;
} csv_facts;

static void csv_spacing(int *n, double *first, double *step, double *last, double v) {
    if (*n == 1) *step = v - *last;
    if (*n >= 2 && fabs(v - *last - *step) > 1e-6 * fabs(*step)) *n = -1;
    if (*n == 1 && *step == 0) *n = -1;
    if (*n == 0) *first = v;
    if (*n >= 0) ++*n;
    *last = v;
}

/* Does the cell name a column that was requested by name? A number is taken as an index instead. */
static int csv_asked_for(const csv_plan *plan, const csv_cell *cell, int looks, const char *name) {
    size_t size = strlen(name);
    return size && dn_csv_cell_is(cell, name, size) &&
           (looks != CSV_NUMBER || dn_csv_index(name, size, plan->columns) < 0);
}

static int csv_named(const csv_plan *plan, const dn_csv_options *o, const csv_cell *cell, int looks) {
    if (o->label_column && csv_asked_for(plan, cell, looks, o->label_column)) return 1;
    if (o->row_weight && csv_asked_for(plan, cell, looks, o->row_weight)) return 1;
    const char *name = plan->targets;
    for (int i = 0; i < plan->n_targets; i++, name += strlen(name) + 1)
        if (csv_asked_for(plan, cell, looks, name)) return 1;
    return 0;
}

static void csv_fact(csv_facts *f, const csv_cell *cell, const csv_cell *below) {
    double v;
    int looks = dn_csv_looks(cell), under = f->below ? dn_csv_looks(below) : CSV_EMPTY;
    f->kinds[looks]++;
    if (looks != CSV_EMPTY) f->bare += !cell->quoted;
    f->words_over_numbers += looks == CSV_WORD && under == CSV_NUMBER;
    f->odd_over_numbers += looks == CSV_ODD && under == CSV_NUMBER;
    if (looks == CSV_NUMBER && dn_csv_number(cell, &v)) {
        f->bare_below += cell->quoted && under == CSV_NUMBER && !below->quoted;
        int digits = !memchr(cell->text, '.', cell->size) && *cell->text != '-' && *cell->text != '+';
        f->counts = f->counts >= 0 && digits && v == f->counts ? f->counts + 1 : -1;
        csv_spacing(&f->even, &f->first, &f->step, &f->last, v);
        if (under == CSV_NUMBER && dn_csv_number(below, &v)) {
            f->not_binary_below += v != 0 && v != 1;
            csv_spacing(&f->even_below, &f->first_below, &f->step_below, &f->last_below, v);
        }
    }
}

static void csv_find_facts(const csv_reader *r, const dn_csv_options *o, const csv_plan *plan, csv_facts *f) {
    const char *limit = csv_limit(r);
    csv_reader above = *r, under = *r;
    csv_cell cell, below = {0};
    int label = o->label_column ? dn_csv_index(o->label_column, strlen(o->label_column), plan->columns) : -1, last = 0,
        last_under;
    const char *next = csv_line_that_holds(csv_next_line(dn_csv_row_end(r, r->p, limit), limit), limit, 0);
    *f = (csv_facts){.below = next != NULL};
    under.p = next, under.end = limit, last_under = !next;
    for (int c = 0; c < plan->columns && !last; c++) {
        dn_csv_cell(&above, &cell, &last);
        if (last_under)
            below = (csv_cell){.text = ""};
        else
            dn_csv_cell(&under, &below, &last_under);
        f->named |= csv_named(plan, o, &cell, dn_csv_looks(&cell));
        if (c != label) csv_fact(f, &cell, &below);
    }
}

/* Evenly spaced numbers above others: a header of counted columns, or doubtful. Rows that continue the way the first
 * one began, as a range of numbers written in rows, are data. */
static int csv_even_names(const csv_facts *f, const char **why) {
    int empty = f->kinds[CSV_EMPTY], alike = f->even_below >= 2 && f->step_below == f->step;
    double after = alike ? (f->first_below - f->first) / f->step : -1; /* in steps */
    int goes_on = after >= 0 && after <= f->even;
    *why = "evenly spaced numbers";
    if (f->counts > 0 && empty == 1) return 1; /* plus the empty name of an index column */
    if (f->counts >= 3 && !empty && !alike) return 1;
    if (f->counts >= 3 || (f->counts == 2 && f->not_binary_below)) return 0;
    if (f->even < 3 || empty || goes_on) *why = NULL;
    return 0;
}

/* A first row of numbers alone: is there evidence that they are column names? Returns 1 for a header; *why for the
 * warning. */
static int csv_numbers_as_names(const csv_facts *f, const char **why) {
    const int *n = f->kinds;
    int others = n[CSV_MISSING] + n[CSV_DECIMAL_COMMA] + n[CSV_ODD] + n[CSV_WORD];
    if (!f->below) return 0;
    if (f->bare_below && !f->bare && !n[CSV_DECIMAL_COMMA]) {
        *why = "numbers in quotes above numbers without";
        return 1;
    }
    if (n[CSV_ODD] && f->odd_over_numbers == n[CSV_ODD] && n[CSV_ODD] == others && !n[CSV_NUMBER]) {
        *why = "words that begin with digits, above numbers,";
        return 1;
    }
    return others || f->even < 0 ? 0 : csv_even_names(f, why);
}

static dn_status csv_header_warn(const csv_reader *r, const char *why, int header, dn_table *table) {
    if (header)
        return dn_csv_warn(table,
                           "%s:%ld: %s are taken for column names; -no-header (header=False) reads the line as "
                           "a row, -header (header=True) ends this warning",
                           r->path, r->line, why);
    return dn_csv_warn(table,
                       "%s:%ld: %s are read as a row; -header (header=True) takes them for column names, "
                       "-no-header (header=False) ends this warning",
                       r->path, r->line, why);
}

/* A header has no numbers and at least one word, or a requested column; one bad cell among numbers is an error, not a
 * header, and so is a row of missing values. */
static dn_status csv_header(csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table) {
    csv_facts f;
    const char *why = NULL;
    csv_find_facts(r, o, plan, &f);
    table->has_header = o->header > 0, table->header_guessed = !o->header;
    if (o->header) return DN_OK;
    int typed = plan->typed ? plan->typed(r, plan, &why) : -1;
    if (typed >= 0) {
        table->has_header = typed;
        return why ? csv_header_warn(r, why, typed, table) : DN_OK;
    }
    plan->words = f.kinds[CSV_WORD], plan->over_numbers = f.words_over_numbers;
    table->has_header = f.named || (!f.kinds[CSV_NUMBER] && plan->words);
    if (table->has_header) return DN_OK;
    table->has_header = csv_numbers_as_names(&f, &why);
    return why ? csv_header_warn(r, why, table->has_header, table) : DN_OK;
}

/* R's tables have one name fewer than columns when rows have names. */
static int csv_unnamed_first(const csv_reader *r, const dn_csv_options *o, const csv_survey *s) {
    csv_reader look = *r;
    csv_cell cell;
    int last = 0;
    if (o->header < 0 || (r->separator != ' ' && r->separator != '\t') || s->rows < 2) return 0;
    for (int i = 1; i < s->rows; i++)
        if (s->widths[i] != s->widths[0] + 1 || s->empty[i]) return 0;
    while (!last) {
        dn_csv_cell(&look, &cell, &last);
        if (dn_csv_looks(&cell) != CSV_WORD) return 0;
    }
    return 1;
}

/* The index that pandas and R write: a first column without a name that numbers the rows. */
int dn_csv_counts_rows(const csv_reader *r, const csv_plan *plan) {
    const char *limit = csv_limit(r), *p = csv_line_that_holds(r->p, limit, 0);
    double v[2] = {0, 0};
    if (!plan->names || plan->names[plan->places[0]] || plan->columns < 2 || plan->roles[0] != CSV_FEATURE) return 0;
    for (int i = 0; i < 2; i++) {
        csv_reader look = *r;
        csv_cell cell;
        int last = 0;
        if (!p) return 0;
        look.p = p, look.end = limit;
        dn_csv_cell(&look, &cell, &last);
        if (!dn_csv_number(&cell, &v[i])) return 0;
        p = csv_line_that_holds(csv_next_line(dn_csv_row_end(r, p, limit), limit), limit, 0);
    }
    return (v[0] == 0 || v[0] == 1) && v[1] == v[0] + 1;
}

/* ---- all together ---- */

static dn_status csv_find_first(csv_reader *r, const dn_csv_options *o, int typed, dn_table *table, int *hashes) {
    const char *first;
    char separator = 0;
    DN_TRY(csv_lead(r, &first, &separator));
    const char *comment = first ? NULL : csv_line_that_holds(r->p, csv_limit(r), 1);
    DN_CHECK(first || !comment || o->header, DN_E_FORMAT,
             "%s: no rows: all lines begin with #, so they are comments; -no-header (header=False) reads them as rows",
             r->path);
    DN_CHECK(first || comment, DN_E_FORMAT, "%s: no rows", r->path);
    *hashes = !first;
    if (*hashes) first = comment;
    r->separator = separator ? separator : csv_separator(r, first, *hashes, typed);
    if (!*hashes) first = csv_leading_row(r, first, o->header);
    return csv_skip_lead(r, first, o->header, table);
}

dn_status dn_csv_look(csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table) {
    csv_survey survey;
    int hashes = 0;
    DN_TRY(dn_csv_target_list(o->targets, plan));
    DN_TRY(csv_find_first(r, o, plan->typed != NULL, table, &hashes));
    dn_csv_mark(r);
    DN_TRY(dn_csv_fill(r));
    table->separator = r->separator;
    csv_survey_rows(r, r->p, hashes, r->separator, &survey);
    DN_CHECK(survey.widths[0] <= CSV_MAX_COLUMNS, DN_E_FORMAT, "%s:%ld: more than %d columns", r->path, r->line,
             CSV_MAX_COLUMNS);
    int unnamed = csv_unnamed_first(r, o, &survey);
    plan->columns = r->columns = csv_columns(&survey) + unnamed;
    if (!(plan->roles = dn_alloc((size_t)plan->columns, 2 * sizeof *plan->roles))) return DN_E_MEMORY;
    plan->runs = plan->roles + plan->columns;
    if (plan->columns == 1) DN_TRY(csv_other_separator(r, hashes, o->columns, table));
    DN_TRY(csv_header(r, o, plan, table));
    plan->first_line = r->line;
    if (table->has_header) {
        DN_TRY(dn_csv_names(r, plan, unnamed));
        if (unnamed)
            DN_TRY(dn_csv_warn(table, "%s:%ld: one name fewer than columns: the first column has no name", r->path,
                               plan->first_line));
    }
    DN_TRY(dn_csv_roles(r, o, plan, table));
    if (!plan->typed && dn_csv_counts_rows(r, plan))
        DN_TRY(dn_csv_warn(table,
                           "%s: the first column has no name and counts the rows, as the index of pandas and R, but is "
                           "read as data: write the table without it (index=False, row.names=FALSE)",
                           r->path));
    return table->has_header ? dn_csv_table_header(plan, table) : DN_OK;
}

/* The cells of a row, as defined by RFC 4180, and what they look like. */
#include "io/csv.h"

void dn_csv_cell(csv_reader *r, csv_cell *cell, int *last) {
    const char *p = r->p, *end = r->end;
    const char separator = r->separator;
    while (p < end && csv_blank(*p) && (*p != separator || separator == ' ')) p++;
    *cell = (csv_cell){.text = p};
    if (p < end && *p == '"') {
        const char *close = dn_csv_closing_quote(++p, end), *to = close ? close : end;
        *cell = (csv_cell){.text = p, .size = (size_t)(to - p), .quoted = 1};
        cell->unclosed = !close || cell->size > CSV_MAX_QUOTED;
        r->line += dn_csv_lines(p, to);
        p = close ? close + 1 : end;
        while (p < end && csv_blank(*p) && *p != separator && separator != ' ') p++;
        if (p < end && *p != separator && !csv_newline(*p) && !(separator == ' ' && csv_blank(*p))) cell->behind = p;
    }
    while (p < end && *p != separator && !csv_newline(*p) && !(separator == ' ' && csv_blank(*p))) p++;
    if (!cell->quoted) {
        const char *to = p;
        while (to > cell->text && csv_blank(to[-1])) to--;
        cell->size = (size_t)(to - cell->text);
    }
    if (separator == ' ')
        while (p < end && csv_blank(*p)) p++;
    *last = p == end || csv_newline(*p);
    r->p = p + (!*last && separator != ' ');
}

dn_status dn_csv_cell_check(const csv_reader *r, const csv_cell *cell, long line, int column) {
    if (!cell->quoted) return DN_OK;
    DN_CHECK(!cell->unclosed, DN_E_FORMAT, "%s:%ld: column %d: the quote that opens here is not closed%s", r->path,
             line, column + 1, cell->size > CSV_MAX_QUOTED ? " within 16777216 characters" : "");
    int size = cell->size < 40 ? (int)cell->size : 40;
    DN_CHECK(!cell->behind, DN_E_FORMAT,
             "%s:%ld: column %d: a character after the closing quote of \"%.*s\": a separator is wanted there, and a "
             "quote in quotes is written twice",
             r->path, line, column + 1, size, cell->text);
    return DN_OK;
}

int dn_csv_number(const csv_cell *cell, double *value) {
    const char *p = cell->text, *to = p + cell->size;
    while (p < to && csv_blank(*p)) p++;
    while (to > p && csv_blank(to[-1])) to--;
    return to > p && dn_number_parse_padded(p, value) == to; /* the window ends in zero bytes, so this stops */
}

size_t dn_csv_copy(const csv_cell *cell, char *to) {
    if (!cell->quoted || !cell->size || !memchr(cell->text, '"', cell->size)) {
        if (cell->size) memcpy(to, cell->text, cell->size);
        return cell->size;
    }
    size_t n = 0;
    for (size_t i = 0; i < cell->size; i++) {
        to[n++] = cell->text[i];
        i += cell->text[i] == '"' && i + 1 < cell->size && cell->text[i + 1] == '"';
    }
    return n;
}

int dn_csv_cell_is(const csv_cell *cell, const char *name, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < cell->size; i++, n++) {
        if (n == size || cell->text[i] != name[n]) return 0;
        i += cell->quoted && cell->text[i] == '"' && i + 1 < cell->size && cell->text[i + 1] == '"';
    }
    return n == size;
}

int dn_csv_width(const csv_reader *reader, const char *p, const char *end, int *empty) {
    csv_reader look = *reader;
    csv_cell cell = {0};
    int n = 0, last = 0;
    for (look.p = p, look.end = end; !last && n <= CSV_MAX_COLUMNS; n++) dn_csv_cell(&look, &cell, &last);
    if (empty) *empty = n > 1 && !cell.size && !cell.quoted;
    return n;
}

dn_status dn_csv_row_check(const csv_reader *r, const csv_plan *plan, const char *row, long line) {
    csv_reader look = *r;
    csv_cell cell = {0};
    int last = 0, n = 0;
    look.p = row, look.line = line;
    for (; !last && n <= CSV_MAX_COLUMNS; n++) {
        long at = look.line;
        dn_csv_cell(&look, &cell, &last);
        DN_TRY(dn_csv_cell_check(r, &cell, at, n));
    }
    if (n == plan->columns + 1 && !cell.size && !cell.quoted) n--; /* a trailing separator */
    return n == plan->columns ? DN_OK : dn_csv_bad_width(r, plan, line, n);
}

/* A comment is one line. */
int dn_csv_hash(const csv_reader *r, const char *p, const char *end) {
    int empty, n = dn_csv_width(r, p, end, &empty);
    if (n == r->columns || (n == r->columns + 1 && empty)) return CSV_ROW;
    return dn_csv_row_end(r, p, end) > csv_line_end(p, end) ? CSV_ROW : CSV_COMMENT;
}

/* ---- looks ---- */

static char csv_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

static int csv_same_word(const char *p, size_t size, const char *word) {
    for (size_t i = 0; i < size; i++)
        if (csv_lower(p[i]) != word[i]) return 0; /* a shorter word ends in zero */
    return !word[size];
}

static int csv_digit(char c) { return c >= '0' && c <= '9'; }

/* [+-]digits,digits, with points between the first digits, and an exponent. */
static int csv_decimal_comma(const char *p, size_t size) {
    size_t i = size && (*p == '-' || *p == '+'), from = i;
    while (i < size && (csv_digit(p[i]) || (p[i] == '.' && i > from))) i++;
    if (i == from || i + 1 >= size || p[i] != ',' || !csv_digit(p[i + 1])) return 0;
    for (i++; i < size; i++)
        if (!csv_digit(p[i]) && p[i] != 'e' && p[i] != 'E' && p[i] != '-' && p[i] != '+' && p[i] != ',') return 0;
    return 1;
}

int dn_csv_looks(const csv_cell *cell) {
    static const char *const missing[] = {"nan",    "na",      "n/a",      "#n/a",    "#na",    "null",    "none",
                                          "nil",    "inf",     "infinity", "nat",     "<na>",   "-",       "--",
                                          "?",      ".",       "\\n",      "missing", "#ref!",  "#value!", "#num!",
                                          "#null!", "#div/0!", "#name?",   "1.#qnan", "1.#inf", "#n/a n/a"};
    double value;
    const char *p = cell->text, *to = p + cell->size;
    while (p < to && csv_blank(*p)) p++;
    while (to > p && csv_blank(to[-1])) to--;
    if (p == to) return CSV_EMPTY;
    if (dn_csv_number(cell, &value)) return CSV_NUMBER;
    if (csv_decimal_comma(p, (size_t)(to - p))) return CSV_DECIMAL_COMMA;
    size_t sign = (*p == '-' || *p == '+') && to - p > 1, size = (size_t)(to - p) - sign;
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        if (csv_same_word(p + sign, size, missing[i])) return CSV_MISSING;
    if (p[sign] == '$' || p[sign] == '.') sign += to - p > 1 + (long)sign;
    return csv_digit(p[sign]) ? CSV_ODD : CSV_WORD;
}

int dn_csv_is_missing(const csv_cell *cell) {
    const char *p = cell->text;
    for (size_t i = 0; i + 3 <= cell->size; i++)
        if (csv_same_word(p + i, 3, "inf")) return 0;
    int looks = dn_csv_looks(cell);
    return looks == CSV_EMPTY || looks == CSV_MISSING;
}

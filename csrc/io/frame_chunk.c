/* The rows of a chunk to columns. Cells of the most common forms take a fast way: plain numbers, ISO dates, and texts
 * that are bare or in quotes without quotes among them, all of them right at a separator. dn_csv_cell reads the others,
 * and everything in tables that blanks separate. */
#include "io/frame.h"
#include <math.h>

/* ---- any cell ---- */

/* The code of a text: of the column's words, or else of the chunk's own. */
static dn_status chunk_word(const frame_words *known, frame_words *fresh, const char *p, size_t size, uint32_t hash,
                            int32_t *code) {
    int32_t index = known->novel ? -1 : dn_frame_words_find(known, p, size, hash);
    if (index >= 0) {
        *code = index < known->missing ? -1 : index - known->missing;
        return DN_OK;
    }
    index = dn_frame_words_find(fresh, p, size, hash);
    if (index < 0) DN_TRY(dn_frame_words_add(fresh, p, size, hash, &index));
    *code = -2 - index;
    return DN_OK;
}

static dn_status chunk_text(struct frame_part *part, const frame_column *column, frame_words *fresh,
                            const csv_cell *cell, int32_t *code) {
    const char *p = cell->text;
    size_t size = cell->size;
    if (cell->quoted && size && memchr(p, '"', size)) {
        part->unquoted.size = 0;
        char *to = dn_text_room(&part->unquoted, size + DN_NUMBER_PADDING);
        if (!to) return DN_E_MEMORY;
        size = dn_csv_copy(cell, to);
        p = to;
    }
    if (cell->quoted && dn_frame_is_missing(p, size)) {
        *code = -1;
        return DN_OK;
    }
    return chunk_word(&column->words, fresh, p, size, dn_frame_hash(p, size), code);
}

static dn_status chunk_cell(const frame_load *j, struct frame_part *part, int c, size_t row, const csv_cell *cell) {
    frame_column *column = &j->columns[c];
    if (column->as == FRAME_TEXT) return chunk_text(part, column, &part->fresh[c], cell, &column->codes[row]);
    column->numbers[row] = dn_frame_value(cell->text, cell->size, column->as, &part->facts[c]);
    return DN_OK;
}

/* ---- plain cells ---- */

/* A cell ends at the separator, a line end, or the zeros after the last row. */
static inline int plain_ends(char c, char separator) { return c == separator || c == '\n' || c == '\r' || !c; }

/* Digits at p, at most 19 together with those in *m. */
static inline const char *plain_digits(const char *p, uint64_t *m) {
    static const uint32_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    for (;;) {
        uint64_t word = dn_digits_load(p);
        unsigned count = dn_digits_count(word);
        *m = *m * powers[count] + dn_digits_value(word, count);
        p += count;
        if (count < 8) return p;
    }
}

/* [-]digits[.digits]; NULL: something else. */
static inline const char *plain_number(const char *p, char separator, char point, double *value, frame_facts *facts) {
    int negative = *p == '-';
    const char *from = p += negative, *end;
    uint64_t m = 0;
    size_t decimals = 0;
    if (plain_ends(*p, separator) && !negative) {
        *value = NAN;
        return p;
    }
    end = plain_digits(p, &m);
    size_t whole = (size_t)(end - from), digits = whole;
    if (*end == point && point != separator) { /* "1,5" in quotes above 3,4, which are two cells */
        p = end + 1;
        end = plain_digits(p, &m);
        decimals = (size_t)(end - p), digits += decimals;
        if (!decimals) return NULL;
    }
    if (!whole || digits > 19 || !plain_ends(*end, separator) || (*from == '0' && whole > 1)) return NULL;
    if (!decimals && m > (uint64_t)1 << 53) return NULL;
    double v = dn_number_exact(m, -(int)decimals);
    *value = negative ? -v : v;
    uint32_t seen = FRAME_PRESENT | FRAME_NOT_TIME;
    if (decimals == 3 && whole <= 3 && *from != '0')
        seen |= point == '.' ? FRAME_ONE_POINT : FRAME_ONE_COMMA;
    else if (decimals)
        seen |= point == '.' ? FRAME_NOT_COMMA : FRAME_NOT_POINT;
    facts->seen |= seen, facts->decimals |= 1u << decimals;
    return end;
}

/* The cell's characters up to the end of any form of time are there: windows are padded. */
static inline const char *plain_time(const char *p, char separator, double *value, frame_facts *facts) {
    size_t size = 0;
    if (plain_ends(*p, separator)) {
        *value = NAN;
        return p;
    }
    if (p[0] < '0' || p[0] > '9') return NULL;
    while (size < 27 && !plain_ends(p[size], separator)) size++;
    if (!plain_ends(p[size], separator)) return NULL;
    return dn_frame_time(p, size, value, facts) ? p + size : NULL;
}

/* Where a bare text ends, and its hash. */
static inline const char *plain_text(const char *p, char separator, uint32_t *hash) {
    const uint64_t ones = 0x0101010101010101u, high = ones << 7, separators = ones * (unsigned char)separator;
    uint64_t h = FRAME_HASH_BEGIN;
    for (;; p += 8) {
        uint64_t w = frame_load8(p), x = w ^ separators;
        uint64_t ends = (((x - ones) & ~x) | ((w - ones * 14) & ~w)) & high; /* controls are below 14 */
        if (ends) {
            size_t n = (size_t)__builtin_ctzll(ends) / 8;
            *hash = frame_hash_end(h, w, n);
            return p + n;
        }
        h = frame_hash_mix(h, w);
    }
}

static inline const char *plain_word(const char *p, const csv_reader *r, const frame_words *known, frame_words *fresh,
                                     int32_t *code, dn_status *status) {
    const char separator = r->separator;
    uint32_t hash;
    if (*p == ' ' || *p == '\t') {
        if (*p != separator) return NULL;
        *code = -1;
        return p;
    }
    if (*p == '"') {
        const char *close = memchr(p + 1, '"', (size_t)(r->end - p - 1));
        size_t size = close ? (size_t)(close - p - 1) : 0;
        if (size < 1 || size > 64 || !plain_ends(close[1], separator)) return NULL;
        if (csv_blank(p[1]) || close[-1] == ' ' || memchr(p, '\n', size) || memchr(p, '\r', size)) return NULL;
        *status = chunk_word(known, fresh, p + 1, size, dn_frame_hash(p + 1, size), code);
        return close + 1;
    }
    const char *end = plain_text(p, separator, &hash);
    if (!plain_ends(*end, separator) || (end > p && csv_blank(end[-1]))) return NULL;
    if (end == p)
        *code = -1;
    else
        *status = chunk_word(known, fresh, p, (size_t)(end - p), hash, code);
    return end;
}

/* A number or time, which may be in quotes. */
static inline const char *plain_value(const char *p, char separator, int as, double *value, frame_facts *facts) {
    const char point = as == FRAME_POINT ? '.' : ',';
    if (*p != '"')
        return as == FRAME_TIME ? plain_time(p, separator, value, facts)
                                : plain_number(p, separator, point, value, facts);
    frame_facts found = *facts;
    const char *end =
        as == FRAME_TIME ? plain_time(p + 1, '"', value, &found) : plain_number(p + 1, '"', point, value, &found);
    if (!end || *end != '"' || !plain_ends(end[1], separator)) return NULL;
    *facts = found;
    return end + 1;
}

static inline const char *plain_cell(const csv_reader *r, const char *p, const frame_load *j, struct frame_part *part,
                                     int c, size_t row) {
    frame_column *column = &j->columns[c];
    if (column->as == FRAME_TEXT)
        return plain_word(p, r, &column->words, &part->fresh[c], &column->codes[row], &part->status);
    return plain_value(p, r->separator, column->as, &column->numbers[row], &part->facts[c]);
}

/* ---- rows ---- */

/* 0: the row is bad. */
static int chunk_row(csv_reader *r, const frame_load *j, struct frame_part *part, size_t row) {
    csv_cell cell;
    int last = 0, c = 0;
    const int plain = r->separator != ' ';
    for (; !last && c < j->plan.columns; c++) {
        const char *end = plain ? plain_cell(r, r->p, j, part, c, row) : NULL;
        if (end) {
            last = end >= r->end || *end != r->separator;
            r->p = end + !last;
        } else {
            dn_csv_cell(r, &cell, &last);
            if (cell.unclosed || cell.behind) return 0;
            part->status = chunk_cell(j, part, c, row, &cell);
        }
        if (part->status != DN_OK) return 0;
    }
    if (c < j->plan.columns) return 0;
    if (!last) { /* a trailing separator */
        dn_csv_cell(r, &cell, &last);
        if (!last || cell.size || cell.quoted) return 0;
    }
    return 1;
}

void dn_frame_chunk(void *load, size_t index) {
    const frame_load *j = load;
    const csv_chunk *c = &j->chunks.chunks[index];
    struct frame_part *part = &j->parts[index];
    csv_reader r = dn_csv_chunk_reader(&j->chunks, c);
    for (size_t i = 0; i < c->rows || (!c->cut && r.p < r.end); r.line++) {
        int kind = csv_kind(&r, r.p, r.end);
        if (kind == CSV_ROW) {
            const char *start = r.p;
            long line = r.line;
            if (!chunk_row(&r, j, part, c->first + i)) {
                part->bad = start, part->line = line;
                return;
            }
            i++;
        } else {
            if (kind == CSV_COMMENT && !part->comments++) part->comment_line = r.line;
            r.p = csv_line_end(r.p, r.end);
        }
        r.p = csv_over_line_end(r.p, r.end);
    }
}

/* What the columns of a typed table are: whether there is a header, what the first rows suggest, what all cells show.
 */
#include "io/frame.h"
#include <math.h>

enum { LOOK_ROWS = 20, SURVEY_MOST = 1 << 19 }; /* rows that judge a header; bytes that suggest types */

static const char *look_end(const csv_reader *r) { return r->at_end ? r->end : r->whole; }

/* The next row from p on, or NULL. */
static const char *look_row(const csv_reader *r, const char *p, const char *end) {
    while (p < end) {
        if (csv_kind(r, p, end) == CSV_ROW) return p;
        p = csv_over_line_end(csv_line_end(p, end), end);
    }
    return NULL;
}

/* ---- header ---- */

enum { LOOK_EMPTY, LOOK_VALUE, LOOK_TIME, LOOK_WORD }; /* looks of a cell */

static int look_at(const csv_cell *cell, int *digits) {
    frame_facts facts = {0, 0};
    double value;
    *digits = 1;
    for (size_t i = 0; i < cell->size; i++) *digits &= cell->text[i] >= '0' && cell->text[i] <= '9';
    if (dn_frame_is_missing(cell->text, cell->size)) return LOOK_EMPTY;
    if (dn_frame_number(cell->text, cell->size, '.', &value, &facts) ||
        dn_frame_number(cell->text, cell->size, ',', &value, &facts))
        return LOOK_VALUE;
    return dn_frame_time(cell->text, cell->size, &value, &facts) ? LOOK_TIME : LOOK_WORD;
}

/* For each column: are all of its cells below the first row numbers or times (2), some of them something else (1), or
 * is nothing there (0)? And are some of the numbers in quotes? */
static void look_below(const csv_reader *r, const csv_plan *plan, int *below, int *quoted) {
    const char *end = look_end(r), *p = csv_over_line_end(dn_csv_row_end(r, r->p, end), end);
    for (int i = 1; i < LOOK_ROWS && (p = look_row(r, p, end)); i++) {
        csv_reader look = *r;
        int last = 0, digits;
        look.p = p, look.end = end;
        for (int c = 0; c < plan->columns && !last; c++) {
            csv_cell cell;
            dn_csv_cell(&look, &cell, &last);
            if (look.p == end && !r->at_end) return; /* the window ends in this row */
            int is = look_at(&cell, &digits);
            if (is == LOOK_WORD) below[c] = 1;
            *quoted |= is == LOOK_VALUE && cell.quoted;
            if ((is == LOOK_VALUE || is == LOOK_TIME) && !below[c]) below[c] = 2;
        }
        p = csv_over_line_end(dn_csv_row_end(r, p, end), end);
    }
}

/* Words alone are names. With numbers among them they are names if a word is above numbers, and the numbers are whole,
 * like years. */
int dn_frame_header(const csv_reader *r, const csv_plan *plan, const char **why) {
    csv_reader look = *r;
    int words = 0, values = 0, bare = 0, names = 1, last = 0, above = 0, quoted = 0,
        *below = plan->runs; /* free until roles are set */
    for (int c = 0; c < plan->columns; c++) below[c] = 0;
    look_below(r, plan, below, &quoted);
    for (int c = 0; c < plan->columns && !last; c++) {
        csv_cell cell;
        int digits;
        dn_csv_cell(&look, &cell, &last);
        int is = look_at(&cell, &digits);
        words += is == LOOK_WORD, values += is == LOOK_VALUE || is == LOOK_TIME;
        bare += (is == LOOK_VALUE || is == LOOK_TIME) && !cell.quoted;
        names &= is == LOOK_WORD || is == LOOK_EMPTY || (is == LOOK_VALUE && digits);
        above += is == LOOK_WORD && below[c] == 2;
    }
    for (int c = 0; c < plan->columns; c++) below[c] = 0;
    if (!words) return values ? -1 : 0;
    if (!values || (!bare && !quoted)) return 1; /* numbers in quotes above others without are names too */
    if (!names || !above) return 0;
    *why = "names and numbers";
    return 1;
}

/* ---- types ---- */

void dn_frame_survey(const csv_reader *r, const csv_plan *plan, frame_column *columns) {
    const char *end = look_end(r), *from = r->p, *p = from;
    for (; p - from < SURVEY_MOST && (p = look_row(r, p, end));) {
        csv_reader look = *r;
        int last = 0;
        look.p = p, look.end = end;
        for (int c = 0; c < plan->columns && !last; c++) {
            csv_cell cell;
            dn_csv_cell(&look, &cell, &last);
            const unsigned all = FRAME_NOT_POINT | FRAME_NOT_COMMA | FRAME_NOT_TIME;
            if ((columns[c].facts.seen & all) != all)
                dn_frame_value(cell.text, cell.size, FRAME_POINT, &columns[c].facts);
        }
        p = csv_over_line_end(dn_csv_row_end(r, p, end), end);
    }
}

/* Numbers that all look like 1.234 or 1,234 may have decimals or thousands. What the table's other columns have
 * decides: `commas` is 1 for decimal commas, -1 for decimal points, 0: neither. */
static int decide_number(unsigned seen, int commas, char separator) {
    if (seen & FRAME_NOT_COMMA) return FRAME_POINT;
    if (seen & FRAME_NOT_POINT) return FRAME_COMMA;
    if (!(seen & (FRAME_ONE_POINT | FRAME_ONE_COMMA))) return FRAME_POINT; /* whole numbers */
    if (commas) return commas > 0 ? FRAME_COMMA : FRAME_POINT;
    return seen & FRAME_ONE_COMMA && separator == ';' ? FRAME_COMMA : FRAME_POINT;
}

static int decide_is_number(const frame_column *c) {
    const unsigned neither = FRAME_NOT_POINT | FRAME_NOT_COMMA;
    return c->as != FRAME_TEXT && (c->facts.seen & neither) != neither;
}

void dn_frame_decide(frame_column *columns, int n, char separator, int *as) {
    int points = 0, commas = 0;
    for (int i = 0; i < n; i++) {
        unsigned seen = columns[i].facts.seen;
        if (!decide_is_number(&columns[i])) continue;
        points += (seen & FRAME_NOT_COMMA) != 0, commas += (seen & FRAME_NOT_POINT) != 0;
    }
    int which = commas && !points ? 1 : points && !commas ? -1 : 0;
    for (int i = 0; i < n; i++) {
        unsigned seen = columns[i].facts.seen;
        if (columns[i].as == FRAME_TEXT)
            as[i] = FRAME_TEXT;
        else if (!(seen & FRAME_PRESENT)) /* nothing, or infinity alone */
            as[i] = seen & (FRAME_INFINITE | FRAME_NOT_POINT) ? FRAME_TEXT : FRAME_POINT;
        else if (decide_is_number(&columns[i]))
            as[i] = decide_number(seen, which, separator);
        else
            as[i] = seen & FRAME_NOT_TIME ? FRAME_TEXT : FRAME_TIME;
    }
}

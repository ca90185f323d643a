/* Messages about tables. */
#include "base/nearest.h"
#include "io/csv.h"
#include <stdarg.h>
#include <stdio.h>

enum { SHOWN = 40 }; /* characters of a cell or name in a message */

static int csv_shown(size_t size) { return size < SHOWN ? (int)size : SHOWN; }

dn_status dn_csv_warn(dn_table *table, const char *format, ...) {
    char text[1024], line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dn_printable(text, line, sizeof line);
    size_t old = table->warnings ? strlen(table->warnings) + 1 : 0, n = strlen(line) + 1;
    char *grown = dn_realloc(table->warnings, old + n, 1);
    if (!grown) return DN_E_MEMORY;
    if (old) grown[old - 1] = '\n';
    memcpy(grown + old, line, n);
    table->warnings = grown;
    return DN_OK;
}

dn_status dn_csv_warn_comments(const csv_reader *r, dn_table *table, size_t comments, long first) {
    if (!comments) return DN_OK;
    if (comments == 1)
        return dn_csv_warn(table, "%s:%ld: a line that begins with # is skipped as a comment", r->path, first);
    return dn_csv_warn(table, "%s:%ld: %zu lines that begin with # are skipped as comments, the first is line %ld",
                       r->path, first, comments, first);
}

/* "column 3 ('price')", for messages. */
static void csv_column_name(const csv_plan *plan, int column, char *text, size_t size) {
    const char *name = plan->names ? plan->names + plan->places[column] : "", *target = "";
    if (plan->roles[column] >= 0) target = *name ? ", a target" : "a target";
    if (!*name && !*target)
        snprintf(text, size, "column %d", column + 1);
    else if (!*name)
        snprintf(text, size, "column %d (%s)", column + 1, target);
    else
        snprintf(text, size, "column %d ('%.*s'%s)", column + 1, csv_shown(strlen(name)), name, target);
}

/* Are all of the row's cells empty? */
static int csv_row_is_empty(const csv_reader *r, const char *row) {
    csv_reader look = *r;
    csv_cell cell;
    int last = 0;
    for (look.p = row; !last;) {
        dn_csv_cell(&look, &cell, &last);
        if (cell.size) return 0;
    }
    return 1;
}

/* The probable cause of a cell that is not a number. */
static const char *csv_cause(const csv_reader *r, const csv_plan *plan, const char *row, const csv_cell *cell,
                             long line) {
    int looks = dn_csv_looks(cell);
    if (looks == CSV_DECIMAL_COMMA) return ": a decimal comma, or one between thousands; numbers are written as 1234.5";
    if (looks == CSV_EMPTY && plan->columns > 1 && csv_row_is_empty(r, row))
        return ": the row has separators alone, so delete it";
    if (looks == CSV_EMPTY || looks == CSV_MISSING) return ": a missing value: fill it in, or leave out the row";
    if (cell->size && memchr(cell->text, '|', cell->size) && plan->columns == 1)
        return ": '|' does not separate cells; commas, semicolons, tabs or blanks do";
    if (looks == CSV_WORD && plan->names && line <= plan->first_line + 1)
        return ": a column of words: encode it as numbers, for example a column of 0 and 1 per word; if it is the "
               "label, "
               "name it (-label-column, label_column=)";
    if (line != plan->first_line || plan->names || !plan->words) return "";
    if (plan->over_numbers)
        return ": the line looks like a header with numbers among its names; -header (header=True) reads it as one";
    if (looks != CSV_WORD) return "";
    return ": a column of text can be the label (-label-column, label_column=); if the line is a header with numbers "
           "among its names, say -header (header=True)";
}

dn_status dn_csv_bad_cell(const csv_reader *r, const csv_plan *plan, const char *row, const csv_cell *cell, long line,
                          int column) {
    char name[128];
    csv_column_name(plan, column, name, sizeof name);
    return dn_fail(DN_E_FORMAT, "%s:%ld: %s: '%.*s' is not a finite number%s", r->path, line, name,
                   csv_shown(cell->size), cell->text, csv_cause(r, plan, row, cell, line));
}

dn_status dn_csv_bad_width(const csv_reader *r, const csv_plan *plan, long line, int width) {
    return dn_fail(DN_E_FORMAT, "%s:%ld: %d columns, expected %d as in line %ld", r->path, line, width, plan->columns,
                   plan->first_line);
}

/* "'a', 'b'" when there are few; empty when there are many. */
static void csv_list_names(const csv_plan *plan, char *text, size_t size) {
    enum { FEW = 12 };
    size_t at = 0;
    *text = 0;
    if (!plan->names || plan->columns > FEW) return;
    for (int c = 0; c < plan->columns; c++) {
        const char *name = plan->names + plan->places[c];
        int n = snprintf(text + at, size - at, "%s'%.*s'", c ? ", " : "", csv_shown(strlen(name)), name);
        if (n < 0 || (size_t)n >= size - at) return;
        at += (size_t)n;
    }
}

dn_status dn_csv_no_column(const csv_reader *r, const csv_plan *plan, const char *what, const char *name, size_t size) {
    char names[640];
    dn_nearest nearest;
    dn_nearest_begin(&nearest, name, size);
    for (int c = 0; plan->names && c < plan->columns; c++) {
        const char *known = plan->names + plan->places[c];
        dn_nearest_try(&nearest, known, strlen(known));
    }
    csv_list_names(plan, names, sizeof names);
    dn_status status =
        dn_fail(DN_E_USAGE, "%s: no %s column '%.*s' among %d columns%s%s", r->path, what, csv_shown(size), name,
                plan->columns, plan->names ? "" : " (the file has no header)", *names ? ": " : "");
    if (!nearest.found) return *names ? dn_fail(status, "%s%s", dn_error(), names) : status;
    return dn_fail(status, "%s%s%sdid you mean '%.*s'?", dn_error(), names, *names ? "; " : ": ",
                   csv_shown(nearest.found_size), nearest.found);
}

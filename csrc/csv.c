/* CSV to a float32 matrix and back. The separator, a header and quotes are found out; anything that is not a finite number
 * is refused with file, line, column and value. */
#include "number.h"
#include "sys.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 1 << 24 };

typedef struct csv_reader {
    const char *path, *p, *end;
    char separator; /* ' ' stands for runs of blanks and tabs */
    long line;      /* of p */
} csv_reader;

static int csv_blank(char c) { return c == ' ' || c == '\t'; }
static int csv_newline(char c) { return c == '\n' || c == '\r'; }

static void csv_end_line(csv_reader *r) {
    if (r->p < r->end && *r->p == '\r') {
        r->p++;
        if (r->p < r->end && *r->p == '\n') r->p++;
    } else if (r->p < r->end) {
        r->p++;
    }
    r->line++;
}

/* To the first character of the next row that holds something; 0 at the end. */
static int csv_next_row(csv_reader *r) {
    for (;;) {
        const char *start = r->p;
        while (r->p < r->end && csv_blank(*r->p) && r->separator != '\t') r->p++;
        if (r->p == r->end) return 0;
        if (*r->p == '#')
            while (r->p < r->end && !csv_newline(*r->p)) r->p++;
        else if (!csv_newline(*r->p)) {
            r->p = start;
            return 1;
        }
        csv_end_line(r);
    }
}

static char csv_separator(const char *p, const char *end) {
    char found = ' ';
    for (; p < end && !csv_newline(*p); p++) {
        if (*p == ',' || *p == ';') return *p;
        if (*p == '\t') found = '\t';
    }
    return found;
}

/* The next cell without quotes and outer blanks; *last is set when the row ends behind it. */
static void csv_cell(csv_reader *r, const char **cell, size_t *size, int *last) {
    const char *p = r->p, *end = r->end;
    while (p < end && csv_blank(*p) && *p != r->separator) p++;
    if (r->separator == ' ')
        while (p < end && csv_blank(*p)) p++;
    const char *from = p, *to;
    if (p < end && *p == '"') {
        from = ++p;
        while (p < end && *p != '"' && !csv_newline(*p)) p++;
        to = p;
        if (p < end && *p == '"') p++;
        while (p < end && csv_blank(*p) && *p != r->separator && r->separator != ' ') p++;
    } else {
        while (p < end && *p != r->separator && !csv_newline(*p) && !(r->separator == ' ' && csv_blank(*p))) p++;
        to = p;
    }
    while (to > from && csv_blank(to[-1])) to--;
    if (r->separator == ' ')
        while (p < end && csv_blank(*p)) p++;
    *last = p == end || csv_newline(*p);
    if (!*last && (r->separator != ' ' || *p == ' ')) p++;
    if (!*last && r->separator != ' ') { /* one trailing separator */
        const char *q = p;
        while (q < end && csv_blank(*q)) q++;
        if (q == end || csv_newline(*q)) *last = 1, p = q;
    }
    *cell = from, *size = (size_t)(to - from), r->p = p;
}

static int csv_number(const char *cell, size_t size, double *value) {
    if (!size) return 0;
    const char *end = dn_number_parse(cell, value); /* the file ends in a zero byte, so this stops */
    return end == cell + size;
}

typedef struct csv_plan {
    int columns, label; /* of the file; index of the label column, -1: none */
    int has_header;
} csv_plan;

static int csv_is(const char *cell, size_t size, const char *name) {
    return strlen(name) == size && !memcmp(cell, name, size);
}

/* Look at the first row: width, header, label column. */
static dn_status csv_look(csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table) {
    csv_reader look = *r;
    *plan = (csv_plan){.label = -1};
    const char *name = o->label_column && *o->label_column ? o->label_column : NULL, *cell;
    size_t size, names = 1;
    int last = 0, numbers = 0, named = 0;
    double value;
    while (!last && plan->columns < MAX_COLUMNS) {
        csv_cell(&look, &cell, &size, &last);
        numbers += csv_number(cell, size, &value);
        if (name && csv_is(cell, size, name)) plan->label = plan->columns, named = 1;
        names += size + 1;
        plan->columns++;
    }
    /* a header has no numbers and at least one word; one bad cell among numbers is an error, not a header */
    plan->has_header = numbers == 0 && names > (size_t)plan->columns + 1;
    if (name && !(plan->has_header && named)) {
        const char *end = dn_number_parse(name, &value);
        DN_CHECK(end && !*end && value == floor(value) && value >= -plan->columns && value < plan->columns, DN_E_USAGE,
                 "%s: no label column '%s' among %d columns%s", r->path, name, plan->columns,
                 plan->has_header ? "" : " (the file has no header)");
        plan->label = (int)value < 0 ? plan->columns + (int)value : (int)value;
    }
    table->columns = (size_t)(plan->columns - (plan->label >= 0));
    DN_CHECK(table->columns > 0, DN_E_FORMAT, "%s:%ld: no columns besides the label", r->path, r->line);
    DN_CHECK(!o->columns || (size_t)o->columns == table->columns, DN_E_FORMAT,
             "%s:%ld: %zu columns%s, the network takes %d", r->path, r->line, table->columns,
             plan->label >= 0 ? " besides the label" : "", o->columns);
    if (!plan->has_header) return DN_OK;
    char *to = table->header = dn_alloc(names + 1, 1);
    if (!to) return DN_E_MEMORY;
    last = 0;
    for (int c = 0; !last; c++) {
        csv_cell(r, &cell, &size, &last);
        if (c == plan->label) continue;
        if (to != table->header) *to++ = '\n';
        memcpy(to, cell, size);
        to += size;
    }
    return DN_OK;
}

static dn_status csv_row(csv_reader *r, const csv_plan *plan, double scale, float *values, float *label) {
    const char *cell;
    size_t size;
    int last = 0, c = 0;
    for (; !last; c++) {
        csv_cell(r, &cell, &size, &last);
        if (c >= plan->columns) continue;
        double v;
        DN_CHECK(csv_number(cell, size, &v) && fabs(v / scale) <= FLT_MAX, DN_E_FORMAT,
                 "%s:%ld: column %d: '%.*s' is not a finite number", r->path, r->line, c + 1,
                 (int)(size < 40 ? size : 40), cell);
        if (c == plan->label)
            *label = (float)v;
        else
            *values++ = (float)(v / scale);
    }
    DN_CHECK(c == plan->columns, DN_E_FORMAT, "%s:%ld: %d columns, expected %d", r->path, r->line, c, plan->columns);
    return DN_OK;
}

static dn_status csv_parse(csv_reader *r, const dn_csv_options *o, dn_table *table) {
    if (r->end - r->p >= 3 && !memcmp(r->p, "\xEF\xBB\xBF", 3)) r->p += 3;
    const char *zero = memchr(r->p, 0, (size_t)(r->end - r->p));
    DN_CHECK(!zero, DN_E_FORMAT, "%s: holds a zero byte at offset %zu, so it is not text", r->path, (size_t)(zero - r->p));
    r->separator = ',';
    DN_CHECK(csv_next_row(r), DN_E_FORMAT, "%s: no rows", r->path);
    r->separator = csv_separator(r->p, r->end);
    csv_plan plan;
    DN_TRY(csv_look(r, o, &plan, table));
    size_t most = 0, limit = o->max_rows > 0 ? (size_t)o->max_rows : SIZE_MAX; /* lines ahead bound the rows */
    for (const char *p = r->p; p < r->end && most < limit; most++) {
        while (p < r->end && !csv_newline(*p)) p++;
        while (p < r->end && csv_newline(*p)) p++;
    }
    size_t count;
    DN_TRY(dn_size_mul(&count, most, table->columns));
    table->values = dn_alloc(count, sizeof *table->values);
    if (plan.label >= 0) table->labels = dn_alloc(most, sizeof *table->labels);
    if (!table->values || (plan.label >= 0 && !table->labels)) return DN_E_MEMORY;
    double scale = o->scale != 0 ? o->scale : 1;
    while (table->rows < limit && csv_next_row(r)) {
        float label = 0;
        DN_TRY(csv_row(r, &plan, scale, table->values + table->rows * table->columns, &label));
        if (table->labels) table->labels[table->rows] = label;
        table->rows++;
    }
    DN_CHECK(table->rows, DN_E_FORMAT, "%s: a header, but no rows", r->path);
    return DN_OK;
}

dn_status dn_csv_load(dn_table *table, const char *path, const dn_csv_options *options) {
    static const dn_csv_options defaults;
    char *data;
    size_t size;
    memset(table, 0, sizeof *table);
    DN_TRY(dn_file_read(path, &data, &size));
    csv_reader reader = {.path = path, .p = data, .end = data + size, .line = 1};
    dn_status status = csv_parse(&reader, options ? options : &defaults, table);
    dn_free(data);
    if (status != DN_OK) dn_table_free(table);
    return status;
}

void dn_table_free(dn_table *table) {
    dn_free(table->values);
    dn_free(table->labels);
    dn_free(table->header);
    memset(table, 0, sizeof *table);
}

/* The shortest of 6 to 9 digits that reads back exactly. */
static int csv_format(float value, char *text, size_t size) {
    int n = 0;
    for (int digits = 6; digits <= 9; digits++) {
        n = snprintf(text, size, "%.*g", digits, (double)value);
        double back;
        for (int i = 0; i < n; i++)
            if (text[i] == ',') text[i] = '.'; /* whatever the locale */
        if (dn_number_parse(text, &back) && (float)back == value) break;
    }
    return n;
}

dn_status dn_csv_save(const char *path, const float *values, size_t rows, size_t columns) {
    dn_writer *w = NULL;
    if (path) DN_TRY(dn_writer_open(&w, path));
    dn_status status = DN_OK;
    for (size_t r = 0; r < rows && status == DN_OK; r++)
        for (size_t c = 0; c < columns && status == DN_OK; c++) {
            char cell[32];
            int n = csv_format(values[r * columns + c], cell, sizeof cell - 1);
            cell[n++] = c + 1 < columns ? ',' : '\n';
            if (w)
                status = dn_writer_write(w, cell, (size_t)n);
            else if (fwrite(cell, 1, (size_t)n, stdout) != (size_t)n)
                status = dn_fail(DN_E_IO, "cannot write to standard output");
        }
    if (!w) return status == DN_OK && fflush(stdout) ? dn_fail(DN_E_IO, "cannot write to standard output") : status;
    if (status != DN_OK) {
        dn_writer_abort(w);
        return status;
    }
    return dn_writer_commit(w);
}

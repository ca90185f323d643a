/* CSV to a float32 matrix and back. The separator, a header and quotes are found out; anything that is not a finite number
 * is refused with file, line, column and value. */
#include "number.h"
#include "sys.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 1 << 24, WINDOW = 1 << 20 };

/* A window on the file that always holds the whole present line, so that a table costs no second copy of its text. */
typedef struct csv_reader {
    const char *path, *p, *end;
    const char *whole; /* lines that begin before it are whole */
    char separator;    /* ' ' stands for runs of blanks and tabs */
    long line;         /* of p */
    char *window;
    size_t room;
    int fd, at_end;
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

/* Move the window so that the line at p is whole. */
static dn_status csv_fill(csv_reader *r) {
    while (r->p >= r->whole && !r->at_end) {
        size_t left = (size_t)(r->end - r->p), got;
        if (left) memmove(r->window, r->p, left);
        if (left + WINDOW + 1 > r->room) { /* at first, and for lines longer than the window */
            size_t room = 2 * left + 2 * WINDOW;
            char *grown = dn_realloc(r->window, room, 1);
            if (!grown) return DN_E_MEMORY;
            r->window = grown, r->room = room;
        }
        DN_TRY(dn_reader_read(r->fd, r->path, r->window + left, WINDOW, &got));
        const char *zero = memchr(r->window + left, 0, got);
        DN_CHECK(!zero, DN_E_FORMAT, "%s:%ld: a zero byte here or later: this is not text", r->path, r->line);
        r->at_end = got < WINDOW;
        r->p = r->window, r->end = r->window + left + got;
        *(char *)r->end = 0; /* stops the number parser */
        r->whole = r->end;
        if (!r->at_end) { /* a return at the end may be half of a line end */
            r->whole -= r->whole > r->p && r->whole[-1] == '\r';
            while (r->whole > r->p && !csv_newline(r->whole[-1])) r->whole--;
        }
    }
    return DN_OK;
}

/* To the first character of the next row that holds something; *found = 0 at the end. */
static dn_status csv_next_row(csv_reader *r, int *found) {
    for (*found = 0;;) {
        DN_TRY(csv_fill(r));
        const char *start = r->p;
        while (r->p < r->end && csv_blank(*r->p) && r->separator != '\t') r->p++;
        if (r->p == r->end) return DN_OK;
        if (*r->p == '#')
            while (r->p < r->end && !csv_newline(*r->p)) r->p++;
        else if (!csv_newline(*r->p)) {
            r->p = start;
            *found = 1;
            return DN_OK;
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

/* What the columns of the file are: index of a target, or */
enum { CSV_FEATURE = -1, CSV_LABEL = -2 };
typedef struct csv_plan {
    int columns, has_header;
    int *roles; /* (columns) */
} csv_plan;

/* The column of a name, of a header or an index; -1: none. */
static int csv_column(const csv_reader *r, const csv_plan *plan, const char *name, size_t name_size) {
    csv_reader look = *r;
    const char *cell;
    size_t size;
    double value;
    int last = !plan->has_header;
    for (int c = 0; !last; c++) {
        csv_cell(&look, &cell, &size, &last);
        if (size == name_size && !memcmp(cell, name, size)) return c;
    }
    const char *end = dn_number_parse(name, &value);
    if (end != name + name_size || value != floor(value) || value < -plan->columns || value >= plan->columns) return -1;
    return (int)value < 0 ? plan->columns + (int)value : (int)value;
}

static int csv_is(const char *name, const char *cell, size_t size) {
    return name && strlen(name) == size && !memcmp(cell, name, size);
}

/* Is a cell one of the names in a comma-separated list? */
static int csv_listed(const char *list, const char *cell, size_t size) {
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ",");
        if (n == size && !memcmp(p, cell, n)) return 1;
        p += n + (p[n] == ',');
    }
    return 0;
}

static dn_status csv_no_column(const csv_reader *r, const csv_plan *plan, const char *what, const char *name,
                               size_t size) {
    return dn_fail(DN_E_USAGE, "%s: no %s column '%.*s' among %d columns%s", r->path, what, (int)size, name,
                   plan->columns, plan->has_header ? "" : " (the file has no header)");
}

static dn_status csv_roles(const csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table) {
    const char *name = o->label_column;
    int column, labels = 0;
    for (int c = 0; c < plan->columns; c++) plan->roles[c] = CSV_FEATURE;
    for (const char *p = o->targets; p && *p;) {
        size_t n = strcspn(p, ",");
        column = csv_column(r, plan, p, n);
        if (column < 0) return csv_no_column(r, plan, "target", p, n);
        DN_CHECK(plan->roles[column] == CSV_FEATURE, DN_E_USAGE, "%s: target column '%.*s' is named twice", r->path,
                 (int)n, p);
        plan->roles[column] = (int)table->truths++;
        p += n + (p[n] == ',');
    }
    if (name && *name) {
        column = csv_column(r, plan, name, strlen(name));
        if (o->label_optional && !plan->has_header && (size_t)plan->columns == (size_t)o->columns + table->truths)
            column = -1; /* an index, and a file that has the features alone */
        if (o->label_optional && column >= 0 && plan->roles[column] != CSV_FEATURE)
            column = -1; /* asked for as a target */
        if (column < 0 && !o->label_optional) return csv_no_column(r, plan, "label", name, strlen(name));
        DN_CHECK(column < 0 || plan->roles[column] == CSV_FEATURE, DN_E_USAGE,
                 "%s: column '%s' is the label and a target", r->path, name);
        if (column >= 0) plan->roles[column] = CSV_LABEL, labels = 1;
    }
    size_t others = table->truths + (size_t)labels;
    DN_CHECK((size_t)plan->columns > others, DN_E_FORMAT, "%s:%ld: no columns besides the %s", r->path, r->line,
             table->truths ? "targets" : "label");
    table->columns = (size_t)plan->columns - others;
    DN_CHECK(!o->columns || (size_t)o->columns == table->columns, DN_E_FORMAT,
             "%s:%ld: %zu columns%s, the network takes %d", r->path, r->line, table->columns,
             !others         ? ""
             : table->truths ? labels ? " besides label and targets" : " besides the targets"
                             : " besides the label",
             o->columns);
    return DN_OK;
}

/* Look at the first row: width, header, what the columns are. */
static dn_status csv_look(csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table) {
    csv_reader look = *r;
    const char *cell;
    size_t size, names = 1;
    int last = 0, numbers = 0, named = 0;
    double value;
    while (!last && plan->columns < MAX_COLUMNS) {
        csv_cell(&look, &cell, &size, &last);
        if (csv_number(cell, size, &value))
            numbers++;
        else
            named |= size && (csv_is(o->label_column, cell, size) || csv_listed(o->targets, cell, size));
        names += size + 1;
        plan->columns++;
    }
    /* a header has no numbers and at least one word, or a column that was asked for; one bad cell among numbers is an
     * error, not a header */
    plan->has_header = named || (numbers == 0 && names > (size_t)plan->columns + 1);
    if (!(plan->roles = dn_alloc((size_t)plan->columns, sizeof *plan->roles))) return DN_E_MEMORY;
    DN_TRY(csv_roles(r, o, plan, table));
    if (!plan->has_header) return DN_OK;
    char *to = table->header = dn_alloc(names + 1, 1);
    if (!to) return DN_E_MEMORY;
    last = 0;
    for (int c = 0; !last; c++) {
        csv_cell(r, &cell, &size, &last);
        if (plan->roles[c] != CSV_FEATURE) continue;
        if (to != table->header) *to++ = '\n';
        memcpy(to, cell, size);
        to += size;
    }
    return DN_OK;
}

/* What grows while rows arrive. */
typedef struct csv_store {
    size_t room; /* rows */
    size_t labels, labels_room;
} csv_store;

static dn_status csv_room(csv_store *store, dn_table *t) {
    if (t->rows < store->room) return DN_OK;
    size_t room = store->room ? 2 * store->room : 256, count;
    DN_TRY(dn_size_mul(&count, room, t->columns));
    float *grown = dn_realloc(t->values, count, sizeof *grown);
    if (!grown) return DN_E_MEMORY;
    t->values = grown;
    if (t->truths) {
        if (!(grown = dn_realloc(t->truth, room, t->truths * sizeof *grown))) return DN_E_MEMORY;
        t->truth = grown;
    }
    store->room = room;
    return DN_OK;
}

static dn_status csv_label(csv_store *store, dn_table *t, const char *cell, size_t size) {
    if (store->labels + size + 2 > store->labels_room) {
        size_t room = 2 * (store->labels + size) + 4096;
        char *grown = dn_realloc(t->labels, room, 1);
        if (!grown) return DN_E_MEMORY;
        t->labels = grown, store->labels_room = room;
    }
    if (t->rows) t->labels[store->labels++] = '\n';
    memcpy(t->labels + store->labels, cell, size);
    t->labels[store->labels += size] = 0;
    return DN_OK;
}

static dn_status csv_row(csv_reader *r, const csv_plan *plan, double scale, csv_store *store, dn_table *t) {
    DN_TRY(csv_room(store, t));
    float *values = t->values + t->rows * t->columns, *truth = t->truth + t->rows * t->truths;
    const char *cell;
    size_t size;
    int last = 0, c = 0;
    for (; !last; c++) {
        csv_cell(r, &cell, &size, &last);
        if (c >= plan->columns) continue;
        int role = plan->roles[c];
        if (role == CSV_LABEL) {
            DN_TRY(csv_label(store, t, cell, size));
            continue;
        }
        double v, divisor = role == CSV_FEATURE ? scale : 1;
        DN_CHECK(csv_number(cell, size, &v) && isfinite((float)(v / divisor)), DN_E_FORMAT,
                 "%s:%ld: column %d%s: '%.*s' is not a finite number", r->path, r->line, c + 1,
                 role == CSV_FEATURE ? "" : " (a target)", (int)(size < 40 ? size : 40), cell);
        *(role == CSV_FEATURE ? values++ : truth + role) = (float)(v / divisor);
    }
    DN_CHECK(c == plan->columns, DN_E_FORMAT, "%s:%ld: %d columns, expected %d", r->path, r->line, c, plan->columns);
    t->rows++;
    return DN_OK;
}

static dn_status csv_parse(csv_reader *r, const dn_csv_options *o, csv_plan *plan, dn_table *table) {
    int found;
    r->separator = ',';
    DN_TRY(csv_fill(r));
    if (r->end - r->p >= 3 && !memcmp(r->p, "\xEF\xBB\xBF", 3)) r->p += 3;
    DN_TRY(csv_next_row(r, &found));
    DN_CHECK(found, DN_E_FORMAT, "%s: no rows", r->path);
    r->separator = csv_separator(r->p, r->end);
    csv_store store = {0};
    DN_TRY(csv_look(r, o, plan, table));
    size_t limit = o->max_rows > 0 ? (size_t)o->max_rows : SIZE_MAX;
    double scale = o->scale != 0 ? o->scale : 1;
    while (table->rows < limit) {
        DN_TRY(csv_next_row(r, &found));
        if (!found) break;
        DN_TRY(csv_row(r, plan, scale, &store, table));
    }
    DN_CHECK(table->rows, DN_E_FORMAT, "%s: a header, but no rows", r->path);
    float *fit = dn_realloc(table->values, table->rows * table->columns, sizeof *fit); /* give back what is over */
    if (fit) table->values = fit;
    return DN_OK;
}

dn_status dn_csv_load(dn_table *table, const char *path, const dn_csv_options *options) {
    static const dn_csv_options defaults;
    csv_reader reader = {.path = path, .line = 1};
    csv_plan plan = {0};
    memset(table, 0, sizeof *table);
    DN_TRY(dn_reader_open(&reader.fd, path));
    dn_status status = csv_parse(&reader, options ? options : &defaults, &plan, table);
    dn_reader_close(reader.fd);
    dn_free(reader.window);
    dn_free(plan.roles);
    if (status != DN_OK) dn_table_free(table);
    return status;
}

void dn_table_free(dn_table *table) {
    dn_free(table->values);
    dn_free(table->labels);
    dn_free(table->header);
    dn_free(table->truth);
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

/* Where rows go: a whole file or nothing, or standard output. */
static dn_status csv_put(dn_writer *w, const char *text, size_t n) {
    if (w) return dn_writer_write(w, text, n);
    DN_CHECK(fwrite(text, 1, n, stdout) == n, DN_E_IO, "cannot write to standard output");
    return DN_OK;
}

/* A name as a cell, in quotes when it would not be read back without. */
static dn_status csv_put_name(dn_writer *w, const char *name, size_t size) {
    int quote = 0;
    for (size_t i = 0; i < size; i++) quote |= strchr(",;\t ", name[i]) != NULL;
    if (quote) DN_TRY(csv_put(w, "\"", 1));
    DN_TRY(csv_put(w, name, size));
    return csv_put(w, quote ? "\"," : ",", quote ? 2 : 1);
}

static dn_status csv_put_class(dn_writer *w, const dn_classes *classes, int32_t picked) {
    char number[16];
    if (!classes || picked >= classes->n) return csv_put_name(w, number, (size_t)sprintf(number, "%d", (int)picked));
    const char *name = classes->names;
    for (int i = 0; i < picked; i++) name = strchr(name, '\n') + 1;
    return csv_put_name(w, name, strcspn(name, "\n"));
}

static dn_status csv_write(dn_writer *w, const dn_classes *classes, const int32_t *picked, const float *values,
                           size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        if (picked) DN_TRY(csv_put_class(w, classes, picked[r]));
        for (size_t c = 0; c < columns; c++) {
            char cell[32];
            int n = csv_format(values[r * columns + c], cell, sizeof cell - 1);
            cell[n++] = c + 1 < columns ? ',' : '\n';
            DN_TRY(csv_put(w, cell, (size_t)n));
        }
    }
    DN_CHECK(w || !fflush(stdout), DN_E_IO, "cannot write to standard output");
    return DN_OK;
}

dn_status dn_csv_save_picked(const char *path, const dn_classes *classes, const int32_t *picked, const float *values,
                             size_t rows, size_t columns) {
    dn_writer *w = NULL;
    if (path) DN_TRY(dn_writer_open(&w, path));
    dn_status status = csv_write(w, classes, picked, values, rows, columns);
    if (!w) return status;
    if (status == DN_OK) return dn_writer_commit(w);
    dn_writer_abort(w);
    return status;
}

dn_status dn_csv_save(const char *path, const float *values, size_t rows, size_t columns) {
    return dn_csv_save_picked(path, NULL, NULL, values, rows, columns);
}

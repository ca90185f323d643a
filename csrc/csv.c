/* CSV to a float32 matrix and back. The separator, a header and quotes are found out; anything that is not a finite
 * number is refused with file, line, column and value. */
#include "number.h"
#include "pool.h"
#include "sys.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 1 << 24, WINDOW = 1 << 21, CHUNK = 1 << 17 };

/* A window on the file that always holds the whole present line, so that a table costs no second copy of its text. The
 * next one is read while the lines of this one become numbers. */
typedef struct csv_reader {
    const char *path, *p, *end;
    const char *whole; /* lines that begin before it are whole */
    char separator;    /* ' ' stands for runs of blanks and tabs */
    long line;         /* of p */
    int fd, at_end;
    struct csv_window {
        char *text;
        size_t room;
    } window, next;
    size_t left, wanted, got; /* bytes in `next`: taken over from the window, asked for, read */
    dn_status reading;
    char failure[512];
} csv_reader;

static int csv_blank(char c) { return c == ' ' || c == '\t'; }
static int csv_newline(char c) { return c == '\n' || c == '\r'; }

static const char *csv_line_end(const char *p, const char *end) {
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    for (; end - p >= 8; p += 8) {
        uint64_t w;
        memcpy(&w, p, sizeof w);
        uint64_t a = w ^ ones * '\n', b = w ^ ones * '\r';
        if ((((a - ones) & ~a) | ((b - ones) & ~b)) & high) break; /* one of the bytes is 0 in a or b */
    }
    while (p < end && !csv_newline(*p)) p++;
    return p;
}

static const char *csv_over_line_end(const char *p, const char *end) {
    return p + (p < end ? 1 + (*p == '\r' && p + 1 < end && p[1] == '\n') : 0);
}

/* Does a row begin here, or an empty line or a comment? */
static int csv_is_row(const char *p, const char *end, char separator) {
    while (p < end && csv_blank(*p) && separator != '\t') p++;
    return p < end && *p != '#' && !csv_newline(*p);
}

/* ---- windows ---- */

/* Make room for the next window and begin it with the rest of this one. */
static dn_status csv_read_prepare(csv_reader *r) {
    const char *rest = r->p > r->whole ? r->p : r->whole;
    r->left = (size_t)(r->end - rest);
    r->wanted = r->left > WINDOW ? r->left : WINDOW; /* lines longer than windows */
    r->got = 0;
    if (r->left + r->wanted + DN_NUMBER_PADDING > r->next.room) {
        dn_free(r->next.text);
        r->next.room = r->left + r->wanted + DN_NUMBER_PADDING;
        if (!(r->next.text = dn_realloc(NULL, r->next.room, 1))) {
            r->next.room = 0;
            return DN_E_MEMORY;
        }
    }
    if (r->left) memcpy(r->next.text, rest, r->left);
    return DN_OK;
}

/* On any thread. */
static void csv_read(csv_reader *r) {
    r->reading = dn_reader_read(r->fd, r->path, r->next.text + r->left, r->wanted, &r->got);
    if (r->reading != DN_OK) snprintf(r->failure, sizeof r->failure, "%s", dn_error());
}

static dn_status csv_read_finish(csv_reader *r) {
    if (r->reading != DN_OK) return dn_fail(r->reading, "%s", r->failure);
    struct csv_window last = r->window;
    r->window = r->next, r->next = last;
    char *text = r->window.text;
    DN_CHECK(!memchr(text + r->left, 0, r->got), DN_E_FORMAT, "%s:%ld: a zero byte here or later: this is not text",
             r->path, r->line);
    r->at_end = r->got < r->wanted;
    r->p = text, r->end = text + r->left + r->got;
    memset(text + r->left + r->got, 0, DN_NUMBER_PADDING); /* stops the number parser */
    r->whole = r->end;
    if (!r->at_end) { /* a return at the end may be half of a line end */
        r->whole -= r->whole > r->p && r->whole[-1] == '\r';
        while (r->whole > r->p && !csv_newline(r->whole[-1])) r->whole--;
    }
    return DN_OK;
}

/* Move the window so that the line at p is whole. */
static dn_status csv_fill(csv_reader *r) {
    while (r->p >= r->whole && !r->at_end) {
        DN_TRY(csv_read_prepare(r));
        csv_read(r);
        DN_TRY(csv_read_finish(r));
    }
    return DN_OK;
}

/* To the first character of the next row that holds something; *found = 0 at the end. */
static dn_status csv_next_row(csv_reader *r, int *found) {
    for (;;) {
        DN_TRY(csv_fill(r));
        *found = csv_is_row(r->p, r->end, r->separator);
        if (*found || r->p == r->end) return DN_OK;
        r->p = csv_over_line_end(csv_line_end(r->p, r->end), r->end);
        r->line++;
    }
}

/* ---- cells ---- */

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
    const char *end = dn_number_parse_padded(cell, value); /* the window ends in zero bytes, so this stops */
    return end == cell + size;
}

/* What the columns of the file are: index of a target, or */
enum { CSV_FEATURE = -1, CSV_LABEL = -2 };
typedef struct csv_plan {
    int columns, has_header;
    int *roles;       /* (columns) */
    int *runs;        /* (columns): features from here on that have another cell behind them */
    double scale;     /* of features */
    int plain;        /* whole numbers of up to seven digits stay finite when they are divided by it */
    float digits[10]; /* divided by it */
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
    if (!(plan->roles = dn_alloc((size_t)plan->columns, 2 * sizeof *plan->roles))) return DN_E_MEMORY;
    plan->runs = plan->roles + plan->columns;
    DN_TRY(csv_roles(r, o, plan, table));
    for (int c = plan->columns - 2; c >= 0; c--)
        if (plan->roles[c] == CSV_FEATURE) plan->runs[c] = plan->runs[c + 1] + 1;
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

/* ---- rows ---- */

/* A part of a window, of whole lines, for one thread. */
typedef struct csv_chunk {
    const char *p, *end;
    size_t rows, first; /* rows in it; the number of the first one in the table */
    long lines, line;
    char *labels; /* each with a newline before it */
    size_t labels_size, labels_room;
    const char *bad; /* the row that is an error, in line `line` */
} csv_chunk;

static dn_status csv_grow(char **text, size_t *room, size_t wanted) {
    if (wanted <= *room) return DN_OK;
    size_t n = 2 * wanted + 4096;
    char *grown = dn_realloc(*text, n, 1);
    if (!grown) return DN_E_MEMORY;
    *text = grown, *room = n;
    return DN_OK;
}

static dn_status csv_label(csv_chunk *c, const char *cell, size_t size) {
    DN_TRY(csv_grow(&c->labels, &c->labels_room, c->labels_size + size + 1));
    c->labels[c->labels_size++] = '\n';
    memcpy(c->labels + c->labels_size, cell, size);
    c->labels_size += size;
    return DN_OK;
}

/* Cells in a row's beginning, each a number and the separator behind it. NULL: some are written in another way. */
static const char *csv_numbers(const csv_plan *plan, const char *p, char separator, int n, float *to) {
    const uint64_t commas = 0x0001000100010001u * (uint64_t)((unsigned char)separator ^ '0') << 8;
    while (n > 0) {
        uint64_t word = dn_digits_load(p);
        /* four cells of one digit each: images are full of zeros */
        uint64_t four = word ^ commas;
        if (n >= 4 && !((four | (four + 0x0076007600760076u)) & 0xff80ff80ff80ff80u)) {
            for (int i = 0; i < 4; i++) to[i] = plan->digits[(four >> (16 * i)) & 15];
            p += 8, to += 4, n -= 4;
            continue;
        }
        unsigned count = dn_digits_count(word);
        double v;
        if (count - 1 < 7 && p[count] == separator && plan->plain) {
            *to = (float)((double)dn_digits_value(word, count) / plan->scale);
            p += count;
        } else {
            while (*p == ' ') p++;
            p = dn_number_parse_padded(p, &v);
            if (!p || *p != separator) return NULL;
            *to = (float)(v / plan->scale);
            if (!isfinite(*to)) return NULL;
        }
        p++, to++, n--;
    }
    return p;
}

/* A row cell by cell; every form, and every error. */
static dn_status csv_row(csv_reader *r, const csv_plan *plan, size_t row, csv_chunk *chunk, dn_table *t) {
    float *values = t->values + row * t->columns, *truth = t->truth + row * t->truths;
    const char *cell;
    size_t size;
    int last = 0, c = 0;
    for (; !last; c++) {
        csv_cell(r, &cell, &size, &last);
        if (c >= plan->columns) continue;
        int role = plan->roles[c];
        if (role == CSV_LABEL) {
            DN_TRY(csv_label(chunk, cell, size));
            continue;
        }
        double v, divisor = role == CSV_FEATURE ? plan->scale : 1;
        DN_CHECK(csv_number(cell, size, &v) && isfinite((float)(v / divisor)), DN_E_FORMAT,
                 "%s:%ld: column %d%s: '%.*s' is not a finite number", r->path, r->line, c + 1,
                 role == CSV_FEATURE ? "" : " (a target)", (int)(size < 40 ? size : 40), cell);
        *(role == CSV_FEATURE ? values++ : truth + role) = (float)(v / divisor);
    }
    DN_CHECK(c == plan->columns, DN_E_FORMAT, "%s:%ld: %d columns, expected %d", r->path, r->line, c, plan->columns);
    return DN_OK;
}

/* The same for the most common form: bare numbers, one separator between them. 0: it is not of that form, or an error.
 */
static int csv_row_plain(csv_reader *r, const csv_plan *plan, size_t row, csv_chunk *chunk, dn_table *t) {
    float *values = t->values + row * t->columns, *truth = t->truth + row * t->truths;
    const int *roles = plan->roles;
    int last = 0, c = 0;
    while (c < plan->columns && !last) {
        int n = plan->runs[c];
        if (n) {
            const char *p = csv_numbers(plan, r->p, r->separator, n, values);
            if (!p) return 0;
            r->p = p, values += n, c += n;
            continue;
        }
        const char *cell;
        size_t size;
        double v, divisor = roles[c] == CSV_FEATURE ? plan->scale : 1;
        csv_cell(r, &cell, &size, &last);
        if (roles[c] == CSV_LABEL) {
            if (csv_label(chunk, cell, size) != DN_OK) return 0;
        } else {
            if (!csv_number(cell, size, &v) || !isfinite((float)(v / divisor))) return 0;
            *(roles[c] == CSV_FEATURE ? values++ : truth + roles[c]) = (float)(v / divisor);
        }
        c++;
    }
    return last && c == plan->columns;
}

/* ---- all rows ---- */

typedef struct csv_load {
    csv_reader *reader;
    const csv_plan *plan;
    dn_table *table;
    dn_pool *pool;
    size_t room; /* rows */
    size_t limit, labels_size, labels_room;
    csv_chunk *chunks;
    size_t n_chunks, chunks_room;
    int ahead; /* the next window is read meanwhile */
} csv_load;

static void csv_count(void *context, size_t index) {
    const csv_load *j = context;
    csv_chunk *c = &j->chunks[index];
    c->rows = 0, c->lines = 0;
    for (const char *p = c->p; p < c->end; c->lines++) {
        c->rows += (size_t)csv_is_row(p, c->end, j->reader->separator);
        p = csv_over_line_end(csv_line_end(p, c->end), c->end);
    }
}

static void csv_chunk_parse(const csv_load *j, csv_chunk *c) {
    csv_reader r = {
        .path = j->reader->path, .p = c->p, .end = c->end, .separator = j->reader->separator, .line = c->line};
    for (size_t i = 0; i < c->rows; r.line++) {
        if (csv_is_row(r.p, r.end, r.separator)) {
            const char *start = r.p;
            size_t labels = c->labels_size;
            if (!csv_row_plain(&r, j->plan, c->first + i, c, j->table)) {
                r.p = start, c->labels_size = labels;
                if (csv_row(&r, j->plan, c->first + i, c, j->table) != DN_OK) {
                    c->bad = start, c->line = r.line;
                    return;
                }
            }
            i++;
        } else {
            r.p = csv_line_end(r.p, r.end);
        }
        r.p = csv_over_line_end(r.p, r.end);
    }
}

static void csv_parse_chunk(void *context, size_t index) {
    const csv_load *j = context;
    if (j->ahead && index == 0) {
        csv_read(j->reader);
        return;
    }
    csv_chunk_parse(j, &j->chunks[index - (size_t)j->ahead]);
}

/* Cut the window's whole lines. */
static dn_status csv_cut(csv_load *j) {
    csv_reader *r = j->reader;
    size_t most = (size_t)(r->whole - r->p) / CHUNK + 1;
    if (most > j->chunks_room) {
        csv_chunk *grown = dn_realloc(j->chunks, most, sizeof *grown);
        if (!grown) return DN_E_MEMORY;
        memset(grown + j->chunks_room, 0, (most - j->chunks_room) * sizeof *grown);
        j->chunks = grown, j->chunks_room = most;
    }
    j->n_chunks = 0;
    for (const char *p = r->p; p < r->whole;) {
        const char *end = r->whole - p > CHUNK ? csv_line_end(p + CHUNK - 1, r->whole) : r->whole;
        csv_chunk *c = &j->chunks[j->n_chunks++];
        c->p = p, c->end = p = csv_over_line_end(end, r->whole);
        c->labels_size = 0, c->bad = NULL;
    }
    return DN_OK;
}

/* Room for `rows` more; at once for as many as the rest of the file has when its lines are as long as these. */
static dn_status csv_room(csv_load *j, size_t rows) {
    dn_table *t = j->table;
    const csv_reader *r = j->reader;
    size_t need = t->rows + rows, count;
    if (need <= j->room) return DN_OK;
    double left = (double)(r->end - r->whole) + (double)dn_reader_left(r->fd), bytes = (double)(r->whole - r->p);
    size_t room = need + (r->at_end ? 0 : (size_t)(left / bytes * (double)rows * 1.01) + need / 8);
    if (room > j->limit) room = j->limit;
    DN_TRY(dn_size_mul(&count, room, t->columns));
    float *grown = dn_realloc(t->values, count, sizeof *grown);
    if (!grown) return DN_E_MEMORY;
    t->values = grown;
    dn_memory_expect(grown, count * sizeof *grown);
    if (t->truths) {
        if (!(grown = dn_realloc(t->truth, room, t->truths * sizeof *grown))) return DN_E_MEMORY;
        t->truth = grown;
    }
    j->room = room;
    return DN_OK;
}

static dn_status csv_collect(csv_load *j) {
    dn_table *t = j->table;
    for (size_t i = 0; i < j->n_chunks; i++) {
        csv_chunk *c = &j->chunks[i];
        if (c->bad) { /* once more, for the sentence */
            csv_reader r = *j->reader;
            r.p = c->bad, r.end = c->end, r.line = c->line;
            DN_TRY(csv_row(&r, j->plan, c->first, c, t));
            return dn_fail(DN_E_MEMORY, "%s:%ld: out of memory", r.path, r.line);
        }
        t->rows += c->rows;
        if (!c->labels_size) continue;
        DN_TRY(csv_grow(&t->labels, &j->labels_room, j->labels_size + c->labels_size + 1));
        size_t skip = j->labels_size == 0; /* no newline before the first */
        memcpy(t->labels + j->labels_size, c->labels + skip, c->labels_size - skip);
        t->labels[j->labels_size += c->labels_size - skip] = 0;
    }
    return DN_OK;
}

/* The whole lines of the window, while the next one is read. */
static dn_status csv_window(csv_load *j) {
    csv_reader *r = j->reader;
    DN_TRY(csv_cut(j));
    dn_pool_run(j->pool, j->n_chunks, csv_count, j);
    size_t rows = 0;
    for (size_t i = 0; i < j->n_chunks; i++) {
        csv_chunk *c = &j->chunks[i];
        size_t left = j->limit - j->table->rows - rows;
        if (c->rows > left) c->rows = left;
        c->first = j->table->rows + rows, c->line = r->line;
        rows += c->rows, r->line += c->lines;
    }
    if (rows) DN_TRY(csv_room(j, rows));
    j->ahead = !r->at_end && j->table->rows + rows < j->limit;
    if (j->ahead) {
        r->p = r->whole;
        DN_TRY(csv_read_prepare(r));
    }
    dn_pool_run(j->pool, j->n_chunks + (size_t)j->ahead, csv_parse_chunk, j);
    DN_TRY(csv_collect(j));
    r->p = r->whole;
    return j->ahead ? csv_read_finish(r) : DN_OK;
}

static void csv_plan_scale(csv_plan *plan, double scale) {
    plan->scale = scale != 0 ? scale : 1;
    plan->plain = isfinite((float)(9999999 / plan->scale));
    for (int i = 0; i < 10; i++) plan->digits[i] = (float)(i / plan->scale);
}

static dn_status csv_parse(csv_load *j, const dn_csv_options *o, csv_plan *plan) {
    csv_reader *r = j->reader;
    dn_table *t = j->table;
    int found;
    r->separator = ',';
    DN_TRY(csv_fill(r));
    if (r->end - r->p >= 3 && !memcmp(r->p, "\xEF\xBB\xBF", 3)) r->p += 3;
    DN_TRY(csv_next_row(r, &found));
    DN_CHECK(found, DN_E_FORMAT, "%s: no rows", r->path);
    r->separator = csv_separator(r->p, r->end);
    DN_TRY(csv_look(r, o, plan, t));
    csv_plan_scale(plan, o->scale);
    j->limit = o->max_rows > 0 ? (size_t)o->max_rows : SIZE_MAX;
    if (!r->at_end) DN_TRY(dn_pool_create(&j->pool, 0));
    while (t->rows < j->limit) {
        DN_TRY(csv_fill(r));
        if (r->p == r->end) break;
        DN_TRY(csv_window(j));
    }
    DN_CHECK(t->rows, DN_E_FORMAT, "%s: a header, but no rows", r->path);
    float *fit = dn_realloc(t->values, t->rows * t->columns, sizeof *fit); /* give back what is over */
    if (fit) t->values = fit;
    return DN_OK;
}

dn_status dn_csv_load(dn_table *table, const char *path, const dn_csv_options *options) {
    static const dn_csv_options defaults;
    csv_reader reader = {.path = path, .line = 1};
    csv_plan plan = {0};
    csv_load load = {.reader = &reader, .plan = &plan, .table = table};
    memset(table, 0, sizeof *table);
    DN_TRY(dn_reader_open(&reader.fd, path));
    dn_status status = csv_parse(&load, options ? options : &defaults, &plan);
    dn_pool_destroy(load.pool);
    dn_reader_close(reader.fd);
    for (size_t i = 0; i < load.chunks_room; i++) dn_free(load.chunks[i].labels);
    dn_free(load.chunks);
    dn_free(reader.window.text);
    dn_free(reader.next.text);
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

/* ---- writing ---- */

/* Where rows go: a whole file or nothing, or standard output. */
typedef struct csv_out {
    dn_writer *writer; /* NULL: standard output */
    size_t used;
    char text[1 << 14];
} csv_out;

static dn_status csv_flush(csv_out *o) {
    size_t n = o->used;
    o->used = 0;
    if (o->writer) return dn_writer_write(o->writer, o->text, n);
    DN_CHECK(fwrite(o->text, 1, n, stdout) == n, DN_E_IO, "cannot write to standard output");
    return DN_OK;
}

static dn_status csv_put(csv_out *o, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (o->used == sizeof o->text) DN_TRY(csv_flush(o));
        o->text[o->used++] = text[i];
    }
    return DN_OK;
}

/* A name as a cell, in quotes when it would not be read back without. */
static dn_status csv_put_name(csv_out *o, const char *name, size_t size) {
    int quote = 0;
    for (size_t i = 0; i < size; i++) quote |= strchr(",;\t ", name[i]) != NULL;
    if (quote) DN_TRY(csv_put(o, "\"", 1));
    DN_TRY(csv_put(o, name, size));
    return csv_put(o, quote ? "\"," : ",", quote ? 2 : 1);
}

static dn_status csv_put_class(csv_out *o, const dn_classes *classes, int32_t picked) {
    char number[16];
    if (!classes || picked >= classes->n) return csv_put_name(o, number, (size_t)sprintf(number, "%d", (int)picked));
    const char *name = classes->names;
    for (int i = 0; i < picked; i++) name = strchr(name, '\n') + 1;
    return csv_put_name(o, name, strcspn(name, "\n"));
}

static dn_status csv_write(dn_writer *w, const dn_classes *classes, const int32_t *picked, const float *values,
                           size_t rows, size_t columns) {
    csv_out o;
    o.writer = w, o.used = 0;
    for (size_t r = 0; r < rows; r++) {
        if (picked) DN_TRY(csv_put_class(&o, classes, picked[r]));
        for (size_t c = 0; c < columns; c++) {
            if (o.used + DN_NUMBER_ROOM + 1 > sizeof o.text) DN_TRY(csv_flush(&o));
            o.used += (size_t)dn_number_format(values[r * columns + c], o.text + o.used);
            o.text[o.used++] = c + 1 < columns ? ',' : '\n';
        }
    }
    DN_TRY(csv_flush(&o));
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

/* CSV to a float32 matrix. Separator, header and quotes are detected; anything that is not a finite number is refused
 * with file, line, column and value. */
#include "io/csv.h"
#include "base/pool.h"
#include "io/npy.h"
#include <math.h>
#include <stdlib.h>

/* ---- rows ---- */

/* A part of a window, made of whole rows, for one thread. */
typedef struct csv_chunk {
    const char *p, *end;
    size_t rows, first; /* number of rows; the number of the first one in the table */
    int cut;            /* there are more rows, beyond those asked for */
    long lines, line;
    char *labels; /* zero-terminated, one after another */
    size_t labels_size, labels_room, comments;
    long comment_line; /* of the first comment */
    const char *bad;   /* the first bad row, in line `line` */
} csv_chunk;

static dn_status csv_grow(char **text, size_t *room, size_t wanted) {
    if (wanted <= *room) return DN_OK;
    size_t n = 2 * wanted + 4096;
    char *grown = dn_realloc(*text, n, 1);
    if (!grown) return DN_E_MEMORY;
    *text = grown, *room = n;
    return DN_OK;
}

static dn_status csv_label(csv_chunk *c, const csv_cell *cell) {
    DN_TRY(csv_grow(&c->labels, &c->labels_room, c->labels_size + cell->size + 1));
    c->labels_size += dn_csv_copy(cell, c->labels + c->labels_size);
    c->labels[c->labels_size++] = 0;
    return DN_OK;
}

/* Parse up to n cells at the beginning of a row, each a plain number followed by the separator. NULL: some cell has
 * another form. */
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

static float *csv_truth(const dn_table *t, size_t row) { return t->truths ? t->truth + row * t->truths : NULL; }

/* The error of a row whose cell of column c is not a number, or whose width is wrong. A wrong width is reported first,
 * because cells may then stand in the wrong columns; and before that bad quotes, because they may be its cause. */
static dn_status csv_row_error(const csv_reader *r, const csv_plan *plan, const char *row, long row_line,
                               const csv_cell *bad, long bad_line, int c) {
    csv_reader look = *r;
    csv_cell cell;
    int last = 0, n = 0;
    look.p = row, look.line = row_line;
    for (; !last && n <= CSV_MAX_COLUMNS; n++) {
        long line = look.line;
        dn_csv_cell(&look, &cell, &last);
        DN_TRY(dn_csv_cell_check(r, &cell, line, n));
    }
    if (n == plan->columns + 1 && !cell.size && !cell.quoted) n--; /* a trailing separator */
    if (n != plan->columns || !bad) return dn_csv_bad_width(r, plan, row_line, n);
    return dn_csv_bad_cell(r, plan, row, bad, bad_line, c);
}

/* A row, cell by cell: handles every form and every error. */
static dn_status csv_row(csv_reader *r, const csv_plan *plan, size_t row, csv_chunk *chunk, dn_table *t) {
    float *values = t->values + row * t->columns, *truth = csv_truth(t, row);
    csv_cell cell;
    int last = 0, c = 0;
    const char *begin = r->p;
    const long first_line = r->line;
    for (; !last && c < plan->columns; c++) {
        long line = r->line;
        dn_csv_cell(r, &cell, &last);
        DN_TRY(dn_csv_cell_check(r, &cell, line, c));
        int role = plan->roles[c];
        if (role == CSV_LABEL) {
            DN_TRY(csv_label(chunk, &cell));
            continue;
        }
        double v, divisor = role == CSV_FEATURE ? plan->scale : 1;
        if (role >= 0 && plan->missing && dn_csv_is_missing(&cell)) {
            truth[role] = NAN;
            continue;
        }
        if (!dn_csv_number(&cell, &v) || !isfinite((float)(v / divisor)))
            return csv_row_error(r, plan, begin, first_line, &cell, line, c);
        *(role == CSV_FEATURE ? values++ : truth + role) = (float)(v / divisor);
    }
    int right = c == plan->columns;
    if (!last) { /* a trailing separator */
        dn_csv_cell(r, &cell, &last);
        right &= last && !cell.size && !cell.quoted;
    }
    return right ? DN_OK : csv_row_error(r, plan, begin, first_line, NULL, 0, 0);
}

/* Is nothing left of the row, or only a trailing separator? */
static int csv_row_ends(csv_reader *r, int last) {
    const char *p = r->p;
    if (last) return 1;
    while (p < r->end && csv_blank(*p) && *p != r->separator) p++;
    r->p = p;
    return p == r->end || csv_newline(*p);
}

/* The same for the most common form: bare numbers with one separator between them. 0: the row has another form, or an
 * error. */
static int csv_row_plain(csv_reader *r, const csv_plan *plan, size_t row, csv_chunk *chunk, dn_table *t) {
    float *values = t->values + row * t->columns, *truth = csv_truth(t, row);
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
        csv_cell cell;
        double v, divisor = roles[c] == CSV_FEATURE ? plan->scale : 1;
        dn_csv_cell(r, &cell, &last);
        if (cell.unclosed || cell.behind) return 0;
        if (roles[c] == CSV_LABEL) {
            if (csv_label(chunk, &cell) != DN_OK) return 0;
        } else {
            if (!dn_csv_number(&cell, &v) || !isfinite((float)(v / divisor))) return 0;
            *(roles[c] == CSV_FEATURE ? values++ : truth + roles[c]) = (float)(v / divisor);
        }
        c++;
    }
    return c == plan->columns && csv_row_ends(r, last);
}

/* ---- all rows ---- */

typedef struct csv_load {
    csv_reader *reader;
    const csv_plan *plan;
    dn_table *table;
    dn_pool *pool;
    size_t room; /* rows */
    size_t limit, labels_room;
    csv_chunk *chunks;
    size_t n_chunks, chunks_room, comments;
    long comment_line; /* of the first comment */
    int ahead;         /* the next window is being read meanwhile */
} csv_load;

static void csv_count(void *context, size_t index) {
    const csv_load *j = context;
    const csv_reader *r = j->reader;
    csv_chunk *c = &j->chunks[index];
    c->rows = 0, c->lines = 0;
    for (const char *p = c->p; p < c->end; c->lines++) {
        const char *row = p;
        int kind = csv_kind(r, p, c->end);
        c->rows += kind == CSV_ROW;
        p = kind == CSV_ROW ? dn_csv_row_end(r, p, c->end) : csv_line_end(p, c->end);
        if (r->quotes && kind == CSV_ROW) c->lines += dn_csv_lines(row, p);
        p = csv_over_line_end(p, c->end);
    }
}

static void csv_chunk_parse(const csv_load *j, csv_chunk *c) {
    const csv_reader *all = j->reader; /* reads the next window meanwhile */
    csv_reader r = {.path = all->path,
                    .p = c->p,
                    .end = c->end,
                    .line = c->line,
                    .separator = all->separator,
                    .quotes = all->quotes,
                    .columns = all->columns};
    for (size_t i = 0; i < c->rows || (!c->cut && r.p < r.end); r.line++) {
        int kind = csv_kind(&r, r.p, r.end);
        if (kind == CSV_ROW) {
            const char *start = r.p;
            size_t labels = c->labels_size;
            long line = r.line;
            if (!csv_row_plain(&r, j->plan, c->first + i, c, j->table)) {
                r.p = start, r.line = line, c->labels_size = labels;
                if (csv_row(&r, j->plan, c->first + i, c, j->table) != DN_OK) {
                    c->bad = start, c->line = line;
                    return;
                }
            }
            i++;
        } else {
            if (kind == CSV_COMMENT && !c->comments++) c->comment_line = r.line;
            r.p = csv_line_end(r.p, r.end);
        }
        r.p = csv_over_line_end(r.p, r.end);
    }
}

static void csv_parse_chunk(void *context, size_t index) {
    const csv_load *j = context;
    if (j->ahead && index == 0) {
        dn_csv_read(j->reader, 0);
        return;
    }
    csv_chunk_parse(j, &j->chunks[index - (size_t)j->ahead]);
}

/* Cut the window's whole rows into chunks. */
static dn_status csv_cut(csv_load *j) {
    csv_reader *r = j->reader;
    size_t most = (size_t)(r->whole - r->p) / CSV_CHUNK + 1;
    if (most > j->chunks_room) {
        csv_chunk *grown = dn_realloc(j->chunks, most, sizeof *grown);
        if (!grown) return DN_E_MEMORY;
        memset(grown + j->chunks_room, 0, (most - j->chunks_room) * sizeof *grown);
        j->chunks = grown, j->chunks_room = most;
    }
    j->n_chunks = 0;
    const char *quotes = r->p;
    for (const char *p = r->p; p < r->whole;) {
        csv_chunk *c = &j->chunks[j->n_chunks++];
        c->p = p;
        c->end = p = r->whole - p > CSV_CHUNK ? dn_csv_cut(r, &quotes, p + CSV_CHUNK - 1) : r->whole;
        c->labels_size = 0, c->bad = NULL, c->comments = 0;
    }
    return DN_OK;
}

static dn_status csv_room_for(dn_table *t, size_t rows) {
    size_t count;
    DN_TRY(dn_size_mul(&count, rows, t->columns));
    float *grown = dn_realloc(t->values, count, sizeof *grown);
    if (!grown) return DN_E_MEMORY;
    t->values = grown;
    dn_memory_expect(grown, count * sizeof *grown);
    if (!t->truths) return DN_OK;
    if (!(grown = dn_realloc(t->truth, rows, t->truths * sizeof *grown))) return DN_E_MEMORY;
    t->truth = grown;
    return DN_OK;
}

/* Make room for `rows` more; at once for as many as the rest of the file has if its lines are as long as these. */
static dn_status csv_room(csv_load *j, size_t rows) {
    dn_table *t = j->table;
    const csv_reader *r = j->reader;
    size_t need = t->rows + rows;
    if (need <= j->room) return DN_OK;
    double left = (double)(r->end - r->whole) + (double)dn_reader_left(r->fd), bytes = (double)(r->whole - r->p);
    double guess = left / bytes * (double)rows * 1.01;
    size_t room = need + (r->at_end ? 0 : need / 8 + (guess < 0x1p62 ? (size_t)guess : 0));
    if (room > j->limit) room = j->limit;
    dn_status status = csv_room_for(t, room);
    if (status == DN_E_MEMORY && room > need) status = csv_room_for(t, room = need);
    if (status != DN_OK) return dn_fail_prefix(status, "%s: for %zu rows of %zu columns: ", r->path, need, t->columns);
    j->room = room;
    return DN_OK;
}

static dn_status csv_collect(csv_load *j) {
    dn_table *t = j->table;
    for (size_t i = 0; i < j->n_chunks; i++) {
        csv_chunk *c = &j->chunks[i];
        if (c->bad) { /* parse it again, for the message */
            csv_reader r = *j->reader;
            r.p = c->bad, r.end = c->end, r.line = c->line;
            DN_TRY(csv_row(&r, j->plan, c->first, c, t));
            return dn_fail(DN_E_MEMORY, "%s:%ld: out of memory", r.path, r.line);
        }
        t->rows += c->rows;
        if (c->comments && !j->comments) j->comment_line = c->comment_line;
        j->comments += c->comments;
        if (!c->labels_size) continue;
        DN_TRY(csv_grow(&t->labels, &j->labels_room, t->labels_size + c->labels_size));
        memcpy(t->labels + t->labels_size, c->labels, c->labels_size);
        t->labels_size += c->labels_size;
    }
    return DN_OK;
}

/* Parse the whole rows of the window while the next one is being read. */
static dn_status csv_window(csv_load *j) {
    csv_reader *r = j->reader;
    DN_TRY(csv_cut(j));
    dn_pool_run(j->pool, j->n_chunks, csv_count, j);
    size_t rows = 0;
    for (size_t i = 0; i < j->n_chunks; i++) {
        csv_chunk *c = &j->chunks[i];
        size_t left = j->limit - j->table->rows - rows;
        c->cut = c->rows >= left;
        if (c->cut) c->rows = left;
        c->first = j->table->rows + rows, c->line = r->line;
        rows += c->rows, r->line += c->lines;
    }
    if (rows) DN_TRY(csv_room(j, rows));
    j->ahead = !r->at_end && j->table->rows + rows < j->limit;
    if (j->ahead) {
        r->p = r->whole;
        DN_TRY(dn_csv_read_prepare(r));
    }
    dn_pool_run(j->pool, j->n_chunks + (size_t)j->ahead, csv_parse_chunk, j);
    DN_TRY(csv_collect(j));
    r->p = r->whole;
    return j->ahead ? dn_csv_read_finish(r) : DN_OK;
}

static void csv_plan_scale(csv_plan *plan, double scale) {
    plan->scale = scale != 0 ? scale : 1;
    plan->plain = isfinite((float)(9999999 / plan->scale));
    for (int i = 0; i < 10; i++) plan->digits[i] = (float)(i / plan->scale);
}

static dn_status csv_parse(csv_load *j, const dn_csv_options *o, csv_plan *plan) {
    csv_reader *r = j->reader;
    dn_table *t = j->table;
    DN_TRY(dn_csv_look(r, o, plan, t));
    csv_plan_scale(plan, o->scale);
    plan->missing = o->missing;
    j->limit = o->max_rows > 0 ? (size_t)o->max_rows : SIZE_MAX;
    if (!r->at_end) DN_TRY(dn_pool_create(&j->pool, 0));
    while (t->rows < j->limit) {
        DN_TRY(dn_watched());
        DN_TRY(dn_csv_fill(r));
        if (r->p == r->end) break;
        DN_TRY(csv_window(j));
    }
    DN_CHECK(t->rows, DN_E_FORMAT, "%s: a header, but no rows", r->path);
    float *fit = dn_realloc(t->values, t->rows * t->columns, sizeof *fit); /* give back the excess */
    if (fit) t->values = fit;
    return dn_csv_warn_comments(r, t, j->comments, j->comment_line);
}

dn_status dn_csv_load(dn_table *table, const char *path, const dn_csv_options *options) {
    static const dn_csv_options defaults;
    csv_reader reader = {.path = strcmp(path, "-") ? path : "standard input", .line = 1};
    csv_plan plan = {0};
    csv_load load = {.reader = &reader, .plan = &plan, .table = table};
    memset(table, 0, sizeof *table);
    if (options)
        DN_CHECK(isfinite(options->scale) && options->max_rows >= 0 && options->columns >= 0 &&
                     abs(options->header) <= 1,
                 DN_E_USAGE, "scale=%g, max_rows=%lld, columns=%d, header=%d: not all of them make sense",
                 options->scale, (long long)options->max_rows, options->columns, options->header);
    if (dn_npy_is(path)) {
        dn_status status = dn_npy_load(table, path, options ? options : &defaults);
        if (status != DN_OK) dn_table_free(table);
        return status;
    }
    DN_TRY(dn_reader_open(&reader.fd, path));
    dn_status status = csv_parse(&load, options ? options : &defaults, &plan);
    dn_pool_destroy(load.pool);
    dn_reader_close(reader.fd);
    for (size_t i = 0; i < load.chunks_room; i++) dn_free(load.chunks[i].labels);
    dn_free(load.chunks);
    dn_free(reader.window.text);
    dn_free(reader.next.text);
    dn_free(plan.roles);
    dn_free(plan.names);
    dn_free(plan.places);
    dn_free(plan.targets);
    if (status != DN_OK) dn_table_free(table);
    return status;
}

void dn_table_free(dn_table *table) {
    if (table->mapped)
        dn_file_unmap(table->mapped, table->mapped_size);
    else
        dn_free(table->values);
    dn_free(table->labels);
    dn_free(table->header);
    dn_free(table->truth);
    dn_free(table->warnings);
    memset(table, 0, sizeof *table);
}

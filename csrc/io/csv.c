/* CSV to a float32 matrix. Separator, header and quotes are detected; anything that is not a finite number is refused
 * with file, line, column and value. */
#include "io/csv.h"
#include "io/npy.h"
#include <math.h>
#include <stdlib.h>

/* ---- rows ---- */

static dn_status csv_grow(char **text, size_t *room, size_t wanted) {
    if (wanted <= *room) return DN_OK;
    size_t n = 2 * wanted + 4096;
    char *grown = dn_realloc(*text, n, 1);
    if (!grown) return DN_E_MEMORY;
    *text = grown, *room = n;
    return DN_OK;
}

static dn_status csv_label(csv_part *c, const csv_cell *cell) {
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

/* The error of a row whose cell of column c is not a number. A wrong width is reported first, because cells may then
 * stand in the wrong columns; and before that bad quotes, because they may be its cause. */
static dn_status csv_row_error(const csv_reader *r, const csv_plan *plan, const char *row, long row_line,
                               const csv_cell *bad, long bad_line, int c) {
    DN_TRY(dn_csv_row_check(r, plan, row, row_line));
    return dn_csv_bad_cell(r, plan, row, bad, bad_line, c);
}

/* A row, cell by cell: handles every form and every error. */
static dn_status csv_row(csv_reader *r, const csv_plan *plan, size_t row, csv_part *part, dn_table *t) {
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
            DN_TRY(csv_label(part, &cell));
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
    return right ? DN_OK : dn_csv_row_check(r, plan, begin, first_line);
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
static int csv_row_plain(csv_reader *r, const csv_plan *plan, size_t row, csv_part *part, dn_table *t) {
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
            if (csv_label(part, &cell) != DN_OK) return 0;
        } else {
            if (!dn_csv_number(&cell, &v) || !isfinite((float)(v / divisor))) return 0;
            *(roles[c] == CSV_FEATURE ? values++ : truth + roles[c]) = (float)(v / divisor);
        }
        c++;
    }
    return c == plan->columns && csv_row_ends(r, last);
}

/* ---- all rows ---- */

static void csv_parse_chunk(void *context, size_t index) {
    const csv_load *j = context;
    const csv_chunk *c = &j->chunks.chunks[index];
    csv_part *part = &j->parts[index];
    csv_reader r = dn_csv_chunk_reader(&j->chunks, c);
    for (size_t i = 0; i < c->rows || (!c->cut && r.p < r.end); r.line++) {
        int kind = csv_kind(&r, r.p, r.end);
        if (kind == CSV_ROW) {
            const char *start = r.p;
            size_t labels = part->labels_size;
            long line = r.line;
            if (!csv_row_plain(&r, &j->plan, c->first + i, part, j->table)) {
                r.p = start, r.line = line, part->labels_size = labels;
                if (csv_row(&r, &j->plan, c->first + i, part, j->table) != DN_OK) {
                    part->bad = start, part->line = line;
                    return;
                }
            }
            i++;
        } else {
            if (kind == CSV_COMMENT && !part->comments++) part->comment_line = r.line;
            r.p = csv_line_end(r.p, r.end);
        }
        r.p = csv_over_line_end(r.p, r.end);
    }
}

/* A part for each chunk. */
static dn_status csv_parts(csv_load *j) {
    size_t n = j->chunks.n;
    if (n > j->n_parts) {
        csv_part *grown = dn_realloc(j->parts, n, sizeof *grown);
        if (!grown) return DN_E_MEMORY;
        memset(grown + j->n_parts, 0, (n - j->n_parts) * sizeof *grown);
        j->parts = grown, j->n_parts = n;
    }
    for (size_t i = 0; i < n; i++) j->parts[i].labels_size = 0, j->parts[i].bad = NULL, j->parts[i].comments = 0;
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
    size_t need = t->rows + rows;
    if (need <= j->room) return DN_OK;
    size_t room = j->chunks.alone ? need : dn_csv_chunks_guess(&j->chunks, rows);
    dn_status status = csv_room_for(t, room);
    if (status == DN_E_MEMORY && room > need) status = csv_room_for(t, room = need);
    if (status != DN_OK)
        return dn_fail_prefix(status, "%s: for %zu rows of %zu columns: ", j->chunks.reader->path, need, t->columns);
    j->room = room;
    return DN_OK;
}

static dn_status csv_collect(csv_load *j) {
    dn_table *t = j->table;
    for (size_t i = 0; i < j->chunks.n; i++) {
        const csv_chunk *chunk = &j->chunks.chunks[i];
        csv_part *c = &j->parts[i];
        if (c->bad) { /* parse it again, for the message */
            csv_reader r = *j->chunks.reader;
            r.p = c->bad, r.end = chunk->end, r.line = c->line;
            DN_TRY(csv_row(&r, &j->plan, chunk->first, c, t));
            return dn_fail(DN_E_MEMORY, "%s:%ld: out of memory", r.path, r.line);
        }
        t->rows += chunk->rows;
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
dn_status dn_csv_load_window(csv_load *j) {
    size_t rows;
    DN_TRY(dn_csv_chunks_cut(&j->chunks, &rows));
    DN_TRY(csv_parts(j));
    if (rows) DN_TRY(csv_room(j, rows));
    DN_TRY(dn_csv_chunks_run(&j->chunks, rows, csv_parse_chunk, j));
    DN_TRY(csv_collect(j));
    return dn_csv_chunks_end(&j->chunks, rows);
}

static void csv_plan_scale(csv_plan *plan, double scale) {
    plan->scale = scale != 0 ? scale : 1;
    plan->plain = isfinite((float)(9999999 / plan->scale));
    for (int i = 0; i < 10; i++) plan->digits[i] = (float)(i / plan->scale);
}

dn_status dn_csv_options_check(const dn_csv_options *o) {
    DN_CHECK(isfinite(o->scale) && o->max_rows >= 0 && o->columns >= 0 && abs(o->header) <= 1, DN_E_USAGE,
             "scale=%g, max_rows=%lld, columns=%d, header=%d: not all of them make sense", o->scale,
             (long long)o->max_rows, o->columns, o->header);
    return DN_OK;
}

dn_status dn_csv_load_begin(csv_load *j, const dn_csv_options *o, dn_table *table) {
    j->reader.line = 1;
    j->chunks.reader = &j->reader, j->table = table;
    DN_TRY(dn_csv_look(&j->reader, o, &j->plan, table));
    csv_plan_scale(&j->plan, o->scale);
    j->plan.missing = o->missing;
    j->chunks.limit = o->max_rows > 0 ? (size_t)o->max_rows : SIZE_MAX;
    return j->reader.at_end ? DN_OK : dn_pool_create(&j->chunks.pool, 0);
}

void dn_csv_load_free(csv_load *j) {
    if (j->chunks.reader) dn_csv_chunks_free(&j->chunks);
    for (size_t i = 0; i < j->n_parts; i++) dn_free(j->parts[i].labels);
    dn_free(j->parts);
    dn_csv_plan_free(&j->plan);
}

static dn_status csv_parse(csv_load *j, const dn_csv_options *o, dn_table *t) {
    csv_reader *r = &j->reader;
    DN_TRY(dn_csv_load_begin(j, o, t));
    while (t->rows < j->chunks.limit) {
        DN_TRY(dn_watched());
        DN_TRY(dn_csv_fill(r));
        if (r->p == r->end) break;
        DN_TRY(dn_csv_load_window(j));
    }
    DN_CHECK(t->rows, DN_E_FORMAT, "%s: a header, but no rows", r->path);
    DN_TRY(dn_csv_part_weights(&j->plan, t));
    float *fit = dn_realloc(t->values, t->rows * t->columns, sizeof *fit); /* give back the excess */
    if (fit) t->values = fit;
    return dn_csv_warn_comments(r, t, j->comments, j->comment_line);
}

dn_status dn_csv_load(dn_table *table, const char *path, const dn_csv_options *options) {
    const dn_csv_options o = options ? *options : (dn_csv_options){0};
    csv_load load = {.reader = {.path = strcmp(path, "-") ? path : "standard input"}};
    int array, fd;
    memset(table, 0, sizeof *table);
    DN_TRY(dn_csv_options_check(&o));
    DN_TRY(dn_reader_open(&fd, path));
    load.reader.fd = fd;
    dn_status status = dn_npy_is(fd, path, &array);
    if (status == DN_OK) status = array ? dn_npy_load(table, fd, path, &o) : csv_parse(&load, &o, table);
    dn_csv_load_free(&load);
    dn_reader_close(fd);
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
    dn_free(table->weights);
    dn_free(table->warnings);
    memset(table, 0, sizeof *table);
}

/* A table's text with its missing cells filled and everything else as it is, letter by letter. */
#include "io/frame.h"
#include <string.h>

/* Text in memory, read as a file. */
typedef struct fill_source {
    csv_source hook;
    const char *text;
    size_t left;
} fill_source;

static dn_status fill_some(csv_source *hook, const char *path, void *to, size_t room, int ms, size_t *got, int *end) {
    fill_source *s = (fill_source *)hook;
    (void)path, (void)ms;
    *got = s->left < room ? s->left : room;
    memcpy(to, s->text, *got);
    s->text += *got, s->left -= *got;
    *end = !s->left;
    return DN_OK;
}

/* All of the source. Zero bytes after it stop the number parser. */
static dn_status fill_read(frame_source *source, const char *name, dn_text *text) {
    csv_source *hook = dn_frame_source_hook(source);
    int end = 0, fd = dn_frame_source_fd(source);
    while (!end) {
        size_t got = 0, piece = text->size < CSV_CHUNK ? CSV_CHUNK : text->size;
        char *to = dn_text_room(text, piece + DN_NUMBER_PADDING);
        DN_TRY(dn_watched());
        if (!to) return text->status;
        DN_TRY(hook ? hook->some(hook, name, to, piece, 50, &got, &end)
                    : dn_reader_some(fd, name, to, piece, 50, &got, &end));
        text->size += got;
        memset(text->bytes + text->size, 0, DN_NUMBER_PADDING);
    }
    return DN_OK;
}

typedef struct fill_job {
    csv_reader reader; /* over the whole text */
    csv_plan plan;
    const dn_frame *given, *made;
    const dn_frame_column **from; /* (columns of the text): what fills it; NULL: nothing */
    const dn_frame_column **old;  /* and what it has, NULL: the index that is no column */
    const char *copied;           /* the text before it is written */
    size_t filled;
    dn_text cell; /* what fills one */
    dn_writer *to;
} fill_job;

static int fill_is_missing(const dn_frame_column *c, size_t row) {
    return c->type == DN_FRAME_TEXT ? c->codes[row] < 0 : c->numbers[row] != c->numbers[row];
}

static dn_status fill_columns(fill_job *j) {
    int n = j->plan.columns, index = n - j->given->n; /* 1: the first column is an index, which frames leave out */
    DN_CHECK(index == 0 || index == 1, DN_E_FORMAT, "%s: changed while it was read", j->reader.path);
    if (!(j->from = dn_alloc((size_t)n, 2 * sizeof *j->from))) return DN_E_MEMORY;
    j->old = j->from + n;
    for (int c = index; c < n; c++) {
        j->old[c] = &j->given->columns[c - index];
        for (int k = 0; k < j->made->n && !j->from[c]; k++)
            if (!strcmp(j->made->columns[k].name, j->old[c]->name)) j->from[c] = &j->made->columns[k];
    }
    return DN_OK;
}

/* The row at the reader's p, number `row` of the table. */
static dn_status fill_row(fill_job *j, size_t row) {
    csv_cell cell;
    int last = 0;
    for (int c = 0; c < j->plan.columns && !last; c++) {
        dn_csv_cell(&j->reader, &cell, &last);
        if (!j->from[c] || !fill_is_missing(j->old[c], row) || fill_is_missing(j->from[c], row)) continue;
        DN_TRY(dn_writer_write(j->to, j->copied, (size_t)(cell.text - cell.quoted - j->copied)));
        dn_frame_column as = *j->from[c];
        if (as.type == j->old[c]->type) as.form = j->old[c]->form;
        j->cell.size = 0;
        dn_frame_put(&j->cell, &as, row, j->reader.separator);
        if (j->cell.status != DN_OK) return j->cell.status;
        DN_TRY(dn_writer_write(j->to, j->cell.bytes, j->cell.size));
        j->copied = cell.text + cell.size + cell.quoted;
        j->filled++;
    }
    return DN_OK;
}

static dn_status fill_rows(fill_job *j) {
    csv_reader *r = &j->reader;
    size_t row = 0;
    int header = j->plan.names != NULL;
    while (r->p < r->end && row < j->given->rows) {
        int kind = csv_kind(r, r->p, r->end);
        if (kind == CSV_ROW && !header) DN_TRY(fill_row(j, row++));
        r->p = kind == CSV_ROW ? dn_csv_row_end(r, r->p, r->end) : csv_line_end(r->p, r->end);
        if (kind == CSV_ROW) header = 0;
        r->p = csv_over_line_end(r->p, r->end);
        DN_TRY(dn_watched());
    }
    DN_CHECK(row == j->given->rows, DN_E_FORMAT, "%s: changed while it was read", r->path);
    return dn_writer_write(j->to, j->copied, (size_t)(r->p - j->copied));
}

/* Separator, width, header. */
static dn_status fill_look(fill_job *j, const dn_text *text, const dn_frame_options *options) {
    fill_source source = {.hook = {fill_some}, .text = text->bytes, .left = text->size};
    csv_reader look = {.path = j->reader.path, .line = 1, .fd = -1, .source = &source.hook};
    const dn_csv_options csv = {.header = options->header};
    dn_table about = {0};
    j->plan.typed = dn_frame_header;
    dn_status status = dn_csv_look(&look, &csv, &j->plan, &about);
    j->reader.separator = look.separator, j->reader.columns = look.columns, j->reader.quotes = 1;
    dn_free(look.window.text), dn_free(look.next.text);
    dn_table_free(&about);
    return status;
}

static dn_status fill_begin(fill_job *j, frame_source *source, const dn_frame_options *options, dn_text *text) {
    DN_TRY(dn_frame_source_rewind(source));
    DN_TRY(fill_read(source, j->reader.path, text));
    DN_TRY(fill_look(j, text, options));
    j->copied = j->reader.p = text->bytes, j->reader.end = j->reader.whole = text->bytes + text->size;
    if (text->size >= 3 && !memcmp(text->bytes, "\xEF\xBB\xBF", 3)) j->reader.p += 3;
    return fill_columns(j);
}

dn_status dn_frame_fill(frame_source *source, const char *name, const dn_frame_options *options, const dn_frame *given,
                        const dn_frame *made, const char *output, size_t *filled) {
    fill_job j = {.reader = {.path = name, .line = 1, .at_end = 1, .fd = -1}, .given = given, .made = made};
    dn_text text = {0};
    dn_status status = fill_begin(&j, source, options, &text);
    if (status == DN_OK) status = dn_writer_open(&j.to, output ? output : "-");
    if (status == DN_OK) status = dn_writer_finish(j.to, fill_rows(&j));
    *filled = j.filled;
    dn_free(j.from);
    dn_csv_plan_free(&j.plan);
    dn_text_free(&j.cell);
    dn_text_free(&text);
    return status;
}

/* The windows of a table, cut into chunks of whole rows for threads. Rows are counted first, so each chunk knows its
 * place in the table. */
#include "io/csv.h"

static void csv_count(void *context, size_t index) {
    const csv_chunks *j = context;
    const csv_reader *r = j->reader;
    csv_chunk *c = &j->chunks[index];
    c->rows = 0, c->lines = 0;
    for (const char *p = c->p; p < c->end; c->lines++) {
        const char *line = csv_line_end(p, c->end);
        int kind = csv_kind(r, p, c->end);
        c->rows += kind == CSV_ROW;
        if (r->quotes && kind == CSV_ROW && memchr(p, '"', (size_t)(line - p))) {
            const char *end = dn_csv_row_end(r, p, c->end);
            if (end > line) c->lines += dn_csv_lines(p, end), line = end;
        }
        p = csv_over_line_end(line, c->end);
    }
}

csv_reader dn_csv_chunk_reader(const csv_chunks *j, const csv_chunk *c) {
    const csv_reader *all = j->reader;
    return (csv_reader){.path = all->path,
                        .p = c->p,
                        .end = c->end,
                        .line = c->line,
                        .separator = all->separator,
                        .quotes = all->quotes,
                        .columns = all->columns};
}

/* Cut the window's whole rows into chunks. */
static dn_status csv_cut(csv_chunks *j) {
    csv_reader *r = j->reader;
    size_t most = (size_t)(r->whole - r->p) / CSV_CHUNK + 1;
    if (most > j->room) {
        csv_chunk *grown = dn_realloc(j->chunks, most, sizeof *grown);
        if (!grown) return DN_E_MEMORY;
        j->chunks = grown, j->room = most;
    }
    j->n = 0;
    const char *quotes = r->p;
    for (const char *p = r->p; p < r->whole;) {
        csv_chunk *c = &j->chunks[j->n++];
        c->p = p;
        c->end = p = r->whole - p > CSV_CHUNK ? dn_csv_cut(r, &quotes, p + CSV_CHUNK - 1) : r->whole;
    }
    return DN_OK;
}

dn_status dn_csv_chunks_cut(csv_chunks *j, size_t *rows) {
    csv_reader *r = j->reader;
    DN_TRY(csv_cut(j));
    dn_pool_run(j->pool, j->n, csv_count, j);
    *rows = 0;
    for (size_t i = 0; i < j->n; i++) {
        csv_chunk *c = &j->chunks[i];
        size_t left = j->limit - j->rows - *rows;
        c->cut = c->rows >= left;
        if (c->cut) c->rows = left;
        c->first = j->rows + *rows, c->line = r->line;
        *rows += c->rows, r->line += c->lines;
    }
    return DN_OK;
}

dn_status dn_csv_chunks_fill(csv_chunks *j, size_t least) {
    csv_reader *r = j->reader;
    for (size_t rows;;) {
        const long line = r->line;
        DN_TRY(dn_csv_chunks_cut(j, &rows));
        r->line = line;
        if (rows >= least || r->at_end) return DN_OK;
        DN_TRY(dn_csv_more(r));
    }
}

size_t dn_csv_chunks_guess(const csv_chunks *j, size_t rows) {
    const csv_reader *r = j->reader;
    size_t need = j->rows + rows;
    double left = (double)(r->end - r->whole) + (double)(r->source ? 0 : dn_reader_left(r->fd)),
           bytes = (double)(r->whole - r->p), guess = left / bytes * (double)rows * 1.01;
    size_t room = need + (r->at_end ? 0 : need / 8 + (guess < 0x1p62 ? (size_t)guess : 0));
    return room < j->limit ? room : j->limit;
}

static void csv_work(void *context, size_t index) {
    const csv_chunks *j = context;
    if (j->ahead && index == 0)
        dn_csv_read(j->reader, 0);
    else
        j->work(j->context, index - (size_t)j->ahead);
}

dn_status dn_csv_chunks_run(csv_chunks *j, size_t rows, dn_chunk_fn work, void *context) {
    csv_reader *r = j->reader;
    j->ahead = !r->at_end && !j->alone && j->rows + rows < j->limit;
    j->work = work, j->context = context;
    if (j->ahead) {
        r->p = r->whole;
        DN_TRY(dn_csv_read_prepare(r));
    }
    dn_pool_run(j->pool, j->n + (size_t)j->ahead, csv_work, j);
    return DN_OK;
}

dn_status dn_csv_chunks_end(csv_chunks *j, size_t rows) {
    csv_reader *r = j->reader;
    r->p = r->whole, j->rows += rows;
    return j->ahead ? dn_csv_read_finish(r) : DN_OK;
}

void dn_csv_chunks_free(csv_chunks *j) {
    dn_pool_destroy(j->pool);
    dn_free(j->chunks);
    dn_free(j->reader->window.text);
    dn_free(j->reader->next.text);
}

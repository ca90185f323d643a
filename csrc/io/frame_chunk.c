/* The rows of a chunk to columns. */
#include "io/frame.h"

/* The code of a text: of the column's words, or else of the chunk's own. */
static dn_status chunk_word(const frame_words *known, frame_words *fresh, const char *p, size_t size, int32_t *code) {
    uint32_t hash = dn_frame_hash(p, size);
    int32_t index = dn_frame_words_find(known, p, size, hash);
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
    if (cell->quoted) {
        if (size && memchr(p, '"', size)) {
            part->unquoted.size = 0;
            char *to = dn_text_room(&part->unquoted, size + DN_NUMBER_PADDING);
            if (!to) return DN_E_MEMORY;
            size = dn_csv_copy(cell, to);
            p = to;
        } else if (size <= 16 && dn_frame_is_missing(p, size)) {
            *code = -1;
            return DN_OK;
        }
    }
    return chunk_word(&column->words, fresh, p, size, code);
}

static dn_status chunk_cell(const frame_load *j, struct frame_part *part, int c, size_t row, const csv_cell *cell) {
    frame_column *column = &j->columns[c];
    if (column->as == FRAME_TEXT) return chunk_text(part, column, &part->fresh[c], cell, &column->codes[row]);
    column->numbers[row] = dn_frame_value(cell->text, cell->size, column->as, &part->facts[c]);
    return DN_OK;
}

/* A row, cell by cell. 0: the row is bad. */
static int chunk_row(csv_reader *r, const frame_load *j, struct frame_part *part, size_t row) {
    csv_cell cell;
    int last = 0, c = 0;
    for (; !last && c < j->plan.columns; c++) {
        dn_csv_cell(r, &cell, &last);
        if (cell.unclosed || cell.behind) return 0;
        if ((part->status = chunk_cell(j, part, c, row, &cell)) != DN_OK) return 0;
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
    const csv_reader *all = j->chunks.reader; /* reads the next window meanwhile */
    struct frame_part *part = &j->parts[index];
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

/* Tables of numbers in pieces, a window of text or a part of an array each, so that their size does not matter. */
#include "io/csv.h"
#include "io/npy.h"
#include <stdlib.h>

enum { PIECE = 1 << 21 }; /* bytes of an array's piece, about */

struct dn_csv_stream {
    char *name;
    int fd, open;
    size_t piece, least; /* bytes; rows */
    csv_load load;       /* of text */
    npy_file *array;     /* or of an array */
    dn_table about;      /* what all pieces have, and the warnings that none has said */
    size_t rows, left;   /* read so far; still wanted */
    int ended;
};

/* A piece without rows, which has what all have. */
static dn_status stream_piece(dn_csv_stream *s, dn_table *piece) {
    const dn_table *a = &s->about;
    *piece = (dn_table){.columns = a->columns,
                        .truths = a->truths,
                        .has_header = a->has_header,
                        .header_guessed = a->header_guessed,
                        .separator = a->separator};
    if (!a->header) return DN_OK;
    if (!(piece->header = dn_alloc(a->header_size, 1))) return DN_E_MEMORY;
    memcpy(piece->header, a->header, a->header_size);
    piece->header_size = a->header_size;
    return DN_OK;
}

static void stream_say(dn_csv_stream *s, dn_table *piece) {
    piece->warnings = s->about.warnings, s->about.warnings = NULL;
}

static dn_status stream_text(dn_csv_stream *s, dn_table *piece) {
    csv_load *j = &s->load;
    csv_reader *r = &j->reader;
    j->table = piece;
    while (!piece->rows && s->left) {
        DN_TRY(dn_watched());
        DN_TRY(dn_csv_fill(r));
        if (r->p == r->end) break;
        j->room = j->labels_room = j->chunks.rows = 0, j->chunks.limit = s->left;
        DN_TRY(dn_csv_chunks_fill(&j->chunks, s->left < s->least ? s->left : s->least));
        DN_TRY(dn_csv_load_window(j));
    }
    s->left -= piece->rows, s->rows += piece->rows;
    DN_TRY(dn_csv_part_weights(&j->plan, piece));
    if ((s->ended = !s->left || (r->at_end && r->p == r->end)))
        DN_TRY(dn_csv_warn_comments(r, &s->about, j->comments, j->comment_line));
    DN_CHECK(s->rows || !s->ended, DN_E_FORMAT, "%s: a header, but no rows", r->path);
    return DN_OK;
}

static dn_status stream_array(dn_csv_stream *s, dn_table *piece) {
    size_t width = (s->about.columns + s->about.truths + 1) * sizeof(double), rows = s->piece / width + 1;
    DN_TRY(dn_npy_next(s->array, rows > s->least ? rows : s->least, piece));
    s->ended = !piece->rows;
    return DN_OK;
}

dn_status dn_csv_stream_next(dn_csv_stream *s, dn_table *piece, int *last) {
    memset(piece, 0, sizeof *piece);
    dn_status status = s->ended ? DN_OK : stream_piece(s, piece);
    if (status == DN_OK && !s->ended) {
        status = s->array ? stream_array(s, piece) : stream_text(s, piece);
        stream_say(s, piece);
    }
    if (last) *last = s->ended;
    if (status != DN_OK) dn_table_free(piece);
    return status;
}

static dn_status stream_open(dn_csv_stream *s, const char *path, const dn_csv_options *o) {
    int array;
    if (!(s->name = dn_strdup(strcmp(path, "-") ? path : "standard input"))) return DN_E_MEMORY;
    DN_TRY(dn_reader_open(&s->fd, path));
    s->open = 1;
    DN_TRY(dn_npy_is(s->fd, path, &array));
    if (array) return dn_npy_open(&s->array, s->fd, s->name, o, &s->about);
    s->load.reader = (csv_reader){.path = s->name, .fd = s->fd, .size = s->piece};
    s->load.chunks.alone = 1;
    return dn_csv_load_begin(&s->load, o, &s->about);
}

dn_status dn_csv_stream_open(dn_csv_stream **out, const char *path, const dn_csv_options *options, size_t piece,
                             size_t least) {
    const dn_csv_options o = options ? *options : (dn_csv_options){0};
    *out = NULL;
    DN_TRY(dn_csv_options_check(&o));
    dn_csv_stream *s = dn_alloc(1, sizeof *s);
    if (!s) return DN_E_MEMORY;
    s->piece = piece ? piece : PIECE, s->least = least ? least : 1;
    s->left = o.max_rows > 0 ? (size_t)o.max_rows : SIZE_MAX;
    dn_status status = stream_open(s, path, &o);
    if (status == DN_OK)
        *out = s;
    else
        dn_csv_stream_close(s);
    return status;
}

void dn_csv_stream_close(dn_csv_stream *s) {
    if (!s) return;
    dn_csv_load_free(&s->load);
    dn_npy_close(s->array);
    if (s->open) dn_reader_close(s->fd);
    dn_table_free(&s->about);
    dn_free(s->name);
    dn_free(s);
}

/* Tables of any size: verbs that make rows of rows, a piece of the table at a time. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

/* Warnings of pieces: one for each column. */
typedef struct pieces_said {
    char *text; /* keys, each with a line end */
    size_t size;
} pieces_said;

/* Columns are named before the first "': ", and warnings differ in what comes after it, such as counts. */
static size_t said_key(const char *line, size_t size) {
    for (size_t i = 0; i + 2 < size; i++)
        if (!memcmp(line + i, "': ", 3)) return i;
    return size;
}

/* 1: it was not said before. */
static int said_new(pieces_said *s, const char *line, size_t size) {
    size_t key = said_key(line, size);
    for (const char *p = s->text, *end = p + s->size; p < end; p += strcspn(p, "\n") + 1)
        if (strcspn(p, "\n") == key && !memcmp(p, line, key)) return 0;
    char *grown = realloc(s->text, s->size + key + 2);
    if (!grown) return 1;
    memcpy(grown + s->size, line, key);
    s->text = grown, s->size += key + 1;
    grown[s->size - 1] = '\n', grown[s->size] = 0;
    return 1;
}

static void pieces_warn(const cli_args *args, pieces_said *said, const char *lines) {
    for (const char *line = lines ? lines : "", *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        if (said_new(said, line, (size_t)(end - line))) cli_warn(args, "%.*s", (int)(end - line), line);
    }
}

/* Rows of a block: passes of other numbers of rows are computed, and rounded, in other ways. */
enum { PIECE_ROWS = 512 };

size_t cli_block(const cli_job *j, size_t rows, size_t *at) {
    const int all = (!j->pieces && !dn_net_schema(j->net)) || j->info.recurrent;
    if (all || rows <= PIECE_ROWS) return rows - *at;
    if (rows - *at < PIECE_ROWS) *at = rows - PIECE_ROWS;
    return PIECE_ROWS;
}

typedef struct pieces_last {
    float *rows; /* (n, columns) of the piece before */
    size_t n;
} pieces_last;

typedef struct pieces {
    cli_job *j;
    cli_piece_fn fn;
    void *context;
    size_t before; /* rows of the table before this piece */
    pieces_said said;
    pieces_last last;
    dn_csv_writer *to; /* opened by the first piece */
} pieces;

static int pieces_keep(const cli_args *args, pieces_last *last, const dn_table *t) {
    const size_t n = t->rows < PIECE_ROWS ? t->rows : PIECE_ROWS, width = t->columns;
    if (!last->rows && !(last->rows = cli_floats(args, PIECE_ROWS, width))) return DN_E_MEMORY;
    memcpy(last->rows, t->values + (t->rows - n) * width, n * width * sizeof *t->values);
    last->n = n;
    return 0;
}

/* What the verb makes of a piece; a short one is computed after rows of the piece before. */
static int piece_make(pieces *p, int ends, cli_output *out) {
    cli_job *j = p->j;
    dn_table *t = &j->table, own = *t;
    if (t->rows >= PIECE_ROWS || !p->last.n) {
        int code = p->fn(j, p->before, t->rows, p->context, out);
        return code || ends ? code : pieces_keep(&j->args, &p->last, t);
    }
    const size_t width = t->columns;
    float *both = cli_floats(&j->args, p->last.n + t->rows, width);
    if (!both) return DN_E_MEMORY;
    memcpy(both, p->last.rows, p->last.n * width * sizeof *both);
    memcpy(both + p->last.n * width, t->values, t->rows * width * sizeof *both);
    t->values = both, t->rows += p->last.n;
    int code = p->fn(j, p->before, own.rows, p->context, out);
    *t = own;
    free(both);
    return code;
}

static int piece_write(pieces *p, const cli_output *o) {
    const cli_args *args = &p->j->args;
    if (o->failed) return cli_say(args, "out of memory"), DN_E_MEMORY;
    dn_status status = p->to ? DN_OK : dn_csv_writer_open(&p->to, args->output);
    if (status != DN_OK) return cli_check(args, status);
    if (o->values) status = dn_csv_writer_rows(p->to, &p->j->classes, o->picked, o->values, o->rows, o->width);
    if (!o->values) status = dn_csv_writer_frame(p->to, &o->frame);
    return cli_check(args, status);
}

/* What the verb makes of a piece that was read, written. ends: no other piece follows. */
static int piece_apply(pieces *p, int ends) {
    cli_output out = {0};
    p->j->pieces |= p->before || !ends;
    int code = piece_make(p, ends, &out);
    if (!code) code = piece_write(p, &out);
    cli_output_free(&out);
    p->before += p->j->table.rows;
    return code;
}

/* For tests: the text of a piece in bytes. */
static size_t pieces_size(void) {
    const char *text = getenv("DARKNET_PIECE");
    return text ? (size_t)strtoul(text, NULL, 10) : 0;
}

/* ---- typed tables ---- */

static int pieces_frame(pieces *p, dn_frame_stream *stream, size_t *rows) {
    cli_job *j = p->j;
    const cli_args *args = &j->args;
    const char *name = !strcmp(args->data, "-") ? "standard input" : args->data;
    int code = cli_check(args, dn_frame_stream_next(stream, &j->frame));
    *rows = j->frame.rows;
    if (!code) cli_warn_lines(args, j->frame.warnings);
    if (!code && *rows)
        code = cli_check(args, dn_schema_table_piece(dn_net_schema(j->net), &j->frame, p->before, name, &j->table));
    if (!code && *rows) pieces_warn(args, &p->said, j->table.warnings);
    if (!code && *rows) code = piece_apply(p, 0);
    dn_frame_free(&j->frame);
    dn_table_free(&j->table);
    return code;
}

static int pieces_frames(pieces *p, const char *found, size_t least) {
    const cli_args *args = &p->j->args;
    const dn_frame_options options = cli_frame_options(args);
    dn_frame_stream *stream = NULL;
    size_t rows = 1;
    int code = cli_coded_options(args);
    if (!code)
        code = cli_check(
            args, dn_frame_stream_open(&stream, found, dn_net_schema(p->j->net), &options, pieces_size(), least));
    while (!code && rows) code = pieces_frame(p, stream, &rows);
    dn_frame_stream_close(stream);
    return code;
}

/* ---- tables of numbers ---- */

static int pieces_table(pieces *p, dn_csv_stream *stream, size_t *rows) {
    cli_job *j = p->j;
    const cli_args *args = &j->args;
    int last, code = cli_check(args, dn_csv_stream_next(stream, &j->table, &last));
    *rows = j->table.rows;
    if (!code && *rows && !p->before) code = cli_table_columns(args, j->net, args->data, &j->table);
    if (!code) cli_warn_lines(args, j->table.warnings);
    if (!code && *rows) code = piece_apply(p, last);
    if (last) *rows = 0;
    dn_table_free(&j->table);
    return code;
}

static int pieces_tables(pieces *p, const char *found, size_t least) {
    const cli_args *args = &p->j->args;
    const dn_csv_options options = cli_table_options(args, p->j->net, 0);
    dn_csv_stream *stream;
    size_t rows = 1;
    int code = cli_check(args, dn_csv_stream_open(&stream, found, &options, pieces_size(), least));
    while (!code && rows) code = pieces_table(p, stream, &rows);
    dn_csv_stream_close(stream);
    return code;
}

int cli_pieces(cli_job *j, int at_once, cli_piece_fn fn, void *context) {
    const cli_args *args = &j->args;
    char bundled[CLI_PATH];
    pieces p = {.j = j, .fn = fn, .context = context};
    const size_t least = at_once || j->info.recurrent ? SIZE_MAX : PIECE_ROWS;
    const char *found = cli_found(args, args->data, bundled);
    int code = dn_net_schema(j->net) ? pieces_frames(&p, found, least) : pieces_tables(&p, found, least);
    free(p.said.text), free(p.last.rows);
    dn_status status = dn_csv_writer_finish(p.to, (dn_status)code);
    return code ? code : cli_check(args, status);
}

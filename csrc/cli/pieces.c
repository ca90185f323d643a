/* Typed tables of any size: verbs that make rows of rows, a piece of the table at a time. */
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
    if (!dn_net_schema(j->net) || j->info.recurrent || rows <= PIECE_ROWS) return rows - *at;
    if (rows - *at < PIECE_ROWS) *at = rows - PIECE_ROWS;
    return PIECE_ROWS;
}

typedef struct pieces_last {
    float *rows; /* (n, coded) of the piece before */
    size_t n;
} pieces_last;

static int pieces_keep(const cli_args *args, pieces_last *last, const dn_table *t) {
    const size_t n = t->rows < PIECE_ROWS ? t->rows : PIECE_ROWS, width = t->columns;
    if (!last->rows && !(last->rows = cli_floats(args, PIECE_ROWS, width))) return DN_E_MEMORY;
    memcpy(last->rows, t->values + (t->rows - n) * width, n * width * sizeof *t->values);
    last->n = n;
    return 0;
}

/* The verb's table of a piece; a short one is computed after rows of the piece before. */
static int piece_make(cli_job *j, pieces_last *last, size_t before, cli_piece_fn fn, void *context, cli_output *out) {
    dn_table *t = &j->table, own = *t;
    if (t->rows >= PIECE_ROWS || !last->n) {
        int code = fn(j, before, context, out);
        return code ? code : pieces_keep(&j->args, last, t);
    }
    const size_t width = t->columns;
    float *both = cli_floats(&j->args, last->n + t->rows, width);
    if (!both) return DN_E_MEMORY;
    memcpy(both, last->rows, last->n * width * sizeof *both);
    memcpy(both + last->n * width, t->values, t->rows * width * sizeof *both);
    t->values = both, t->rows += last->n;
    int code = fn(j, before, context, out);
    *t = own;
    free(both);
    return code;
}

/* One piece: read as numbers, and what the verb makes of it written. */
static int piece_apply(cli_job *j, pieces_said *said, pieces_last *last, size_t before, cli_piece_fn fn, void *context,
                       dn_frame_writer **to) {
    const cli_args *args = &j->args;
    const char *name = !strcmp(args->data, "-") ? "standard input" : args->data;
    cli_output out = {0};
    int code = cli_check(args, dn_schema_table_piece(dn_net_schema(j->net), &j->frame, before, name, &j->table));
    if (!code) pieces_warn(args, said, j->table.warnings);
    if (!code) code = piece_make(j, last, before, fn, context, &out);
    if (!code && !*to) code = cli_check(args, dn_frame_writer_open(to, args->output));
    if (!code) code = cli_output_write(args, &out, *to);
    cli_output_free(&out);
    dn_table_free(&j->table);
    return code;
}

/* For tests: the text of a piece in bytes. */
static size_t pieces_size(void) {
    const char *text = getenv("DARKNET_PIECE");
    return text ? (size_t)strtoul(text, NULL, 10) : 0;
}

int cli_pieces(cli_job *j, int at_once, cli_piece_fn fn, void *context) {
    const cli_args *args = &j->args;
    char bundled[CLI_PATH];
    dn_frame_options options = cli_frame_options(args);
    dn_frame_stream *stream = NULL;
    dn_frame_writer *to = NULL;
    pieces_said said = {0};
    pieces_last last = {0};
    size_t before = 0, rows = 1, least = at_once || j->info.recurrent ? SIZE_MAX : PIECE_ROWS;
    int code = cli_coded_options(args);
    const char *found = code ? NULL : cli_found(args, args->data, bundled);
    if (!code)
        code = cli_check(args,
                         dn_frame_stream_open(&stream, found, dn_net_schema(j->net), &options, pieces_size(), least));
    while (!code && rows) {
        code = cli_check(args, dn_frame_stream_next(stream, &j->frame));
        rows = j->frame.rows;
        if (!code) cli_warn_lines(args, j->frame.warnings);
        if (!code && rows) code = piece_apply(j, &said, &last, before, fn, context, &to);
        before += rows;
        dn_frame_free(&j->frame);
    }
    dn_frame_stream_close(stream);
    free(said.text), free(last.rows);
    if (code) return (void)dn_frame_writer_finish(to, (dn_status)code), code;
    return cli_check(args, dn_frame_writer_finish(to, DN_OK));
}

/* Typed tables in pieces, a window of text each, for a schema that is known. A file is read once for the types of its
 * columns and once more for its rows, so that everything is as if it were read at once. A pipe is read once: a column
 * is read as its rows so far show it, and as text where the schema has words. Tables of one piece are read at once, and
 * so are pipes in which a label or identifier is not text from the beginning, because its form is that of all rows. */
#include "io/columns.h"
#include "io/frame.h"
#include <stdio.h>
#include <stdlib.h>

enum { STREAM_UNUSED, STREAM_VALUES, STREAM_WORDS, STREAM_GIVEN }; /* what a column is for */

struct dn_frame_stream {
    const dn_schema *schema;
    frame_source *source;
    dn_frame_options options;
    size_t piece, least; /* bytes of a window; rows of a piece */
    char *name;
    csv_reader reader;
    frame_load load;
    int open, whole, settled, begun, ended; /* settled: the types are those of all rows */
    int *roles;                             /* (columns) of a pipe, once known */
    frame_facts *before;                    /* (columns) facts of the pieces before */
    size_t rows, left;                      /* read so far; still wanted */
    dn_text said;                           /* warnings */
};

/* ---- one pass ---- */

static dn_status stream_begin(dn_frame_stream *s, const int *as) {
    csv_reader *r = &s->reader;
    frame_load *j = &s->load;
    const dn_csv_options look = {.header = s->options.header};
    *r = (csv_reader){.path = s->name, .line = 1, .size = s->piece};
    *j = (frame_load){.chunks = {.reader = r, .alone = 1}, .pieces = 1};
    s->open = 1, s->left = s->options.max_rows > 0 ? (size_t)s->options.max_rows : SIZE_MAX;
    r->fd = dn_frame_source_fd(s->source), r->source = dn_frame_source_hook(s->source);
    j->plan.typed = dn_frame_header;
    DN_TRY(dn_csv_look(r, &look, &j->plan, &j->about));
    DN_TRY(dn_frame_columns(j, as));
    return r->at_end ? DN_OK : dn_pool_create(&j->chunks.pool, s->options.threads);
}

static void stream_end(dn_frame_stream *s) {
    if (s->open) dn_frame_load_free(&s->load);
    s->open = 0;
}

/* Forget the rows of the window before. */
static dn_status stream_clear(frame_load *j) {
    j->room = 0, j->chunks.rows = 0;
    for (int i = 0; i < j->plan.columns; i++) {
        frame_column *c = &j->columns[i];
        dn_free(c->numbers), dn_free(c->codes);
        c->numbers = NULL, c->codes = NULL;
        dn_frame_words_free(&c->words);
        c->words = (frame_words){0};
        if (c->as == FRAME_TEXT) DN_TRY(dn_frame_words_begin(&c->words));
    }
    return DN_OK;
}

/* Is there text of further rows that are wanted? It is then in the window. */
static dn_status stream_more(dn_frame_stream *s, int *more) {
    *more = 0;
    if (!s->left) return DN_OK;
    DN_TRY(dn_watched());
    DN_TRY(dn_csv_fill(&s->reader));
    *more = s->reader.p < s->reader.end;
    s->load.chunks.limit = s->left;
    return DN_OK;
}

static void stream_count(dn_frame_stream *s) {
    s->rows += s->load.chunks.rows;
    if (s->left != SIZE_MAX) s->left -= s->load.chunks.rows;
}

/* ---- the types of a file ---- */

/* All rows, for what they show; *as: types that differ from those they were read as, or NULL. */
static dn_status stream_survey(dn_frame_stream *s, int **as, int *index) {
    frame_load *j = &s->load;
    int more;
    *as = NULL, *index = 0, s->rows = 0;
    for (;;) {
        DN_TRY(stream_more(s, &more));
        if (!more) break;
        DN_TRY(stream_clear(j));
        DN_TRY(dn_frame_window(j));
        if (j->chunks.rows && *index >= 0) *index = dn_frame_is_index(j, s->rows) ? 1 : -1;
        stream_count(s);
    }
    return dn_frame_types(j, as);
}

/* Read the file for its types, twice if they are not those that the first rows suggest, and begin with its rows. */
static dn_status stream_types(dn_frame_stream *s) {
    const size_t n = (size_t)s->load.plan.columns;
    int *as = NULL, *now = dn_alloc(n, sizeof *now), index;
    frame_facts *facts = dn_alloc(n, sizeof *facts);
    dn_status status = now && facts ? DN_OK : DN_E_MEMORY;
    for (int pass = 0; status == DN_OK; pass++) {
        status = stream_survey(s, &as, &index);
        int again = as && !pass;
        for (size_t i = 0; status == DN_OK && i < n; i++)
            now[i] = again ? as[i] : s->load.columns[i].as, facts[i] = s->load.columns[i].facts;
        dn_free(as);
        as = NULL;
        stream_end(s);
        if (status == DN_OK) status = dn_frame_source_rewind(s->source);
        if (status == DN_OK) status = stream_begin(s, now);
        if (!again) break;
    }
    for (size_t i = 0; status == DN_OK && i < n; i++) s->load.columns[i].facts = facts[i];
    if (status == DN_OK) s->load.index = index;
    dn_free(now), dn_free(facts);
    s->rows = 0, s->settled = 1;
    return status;
}

/* ---- what was read, as a frame ---- */

/* Lines of warnings that have not been said: the others are taken out. */
static void stream_new_warnings(dn_frame_stream *s, dn_frame *frame) {
    char *to = frame->warnings;
    for (const char *line = to, *end; line && *line; line = end) {
        end = line + strcspn(line, "\n");
        size_t size = (size_t)(end - line);
        const char *said = s->said.bytes ? s->said.bytes : "";
        while (*said && !(strcspn(said, "\n") == size && !memcmp(said, line, size)))
            said += strcspn(said, "\n"), said += *said == '\n';
        int fresh = !*said && size;
        end += *end == '\n';
        if (!fresh) continue;
        dn_text_add(&s->said, line, size);
        dn_text_add(&s->said, "\n", 1);
        memmove(to, line, (size_t)(end - line));
        to += end - line;
    }
    if (to) *to = 0;
}

/* The window as a frame of its own; `look`: only to see it, its warnings come with another one. */
static dn_status stream_frame(dn_frame_stream *s, dn_frame *frame, int look) {
    frame_load *j = &s->load, part = *j;
    const int n = j->plan.columns;
    part.columns = dn_alloc((size_t)n, sizeof *part.columns);
    part.plan.places = dn_alloc((size_t)n + 1, sizeof *part.plan.places);
    dn_status status = part.columns && part.plan.places ? DN_OK : DN_E_MEMORY;
    if (status == DN_OK) {
        if (j->plan.places) memcpy(part.plan.places, j->plan.places, (size_t)n * sizeof *part.plan.places);
        for (int i = 0; i < n; i++) {
            part.columns[i] = j->columns[i];
            j->columns[i].numbers = NULL, j->columns[i].codes = NULL, j->columns[i].words = (frame_words){0};
        }
        part.about = look ? (dn_table){0} : j->about;
        if (!look) j->about.warnings = NULL;
        status = dn_frame_finish(&part, frame);
        j->index = part.index, j->wide = part.wide, j->bad = part.bad;
        dn_free(part.about.warnings);
        for (int i = 0; i < n; i++) {
            dn_free(part.columns[i].numbers), dn_free(part.columns[i].codes);
            dn_frame_words_free(&part.columns[i].words);
        }
    }
    dn_free(part.columns), dn_free(part.plan.places);
    if (status == DN_OK && !look) stream_new_warnings(s, frame);
    return status == DN_OK ? s->said.status : status;
}

/* ---- pipes ---- */

static int stream_role(const dn_schema *schema, const char *name) {
    for (int i = 0; i < schema->n; i++) {
        const columns_column *c = &schema->columns[i];
        if (strcmp(c->name, name)) continue;
        if (c->kind == DN_COLUMN_LABEL || c->kind == DN_COLUMN_IDENTIFIER) return STREAM_GIVEN;
        return c->coded < 0 ? STREAM_UNUSED : c->type == DN_FRAME_TEXT ? STREAM_WORDS : STREAM_VALUES;
    }
    return STREAM_UNUSED;
}

/* After the first piece: what the columns are for, and whether the pipe can be read piece by piece. */
static dn_status stream_roles(dn_frame_stream *s, int *again) {
    frame_load *j = &s->load;
    dn_frame frame = {0};
    if (!(s->roles = dn_alloc((size_t)j->plan.columns, sizeof *s->roles))) return DN_E_MEMORY;
    dn_status status = stream_frame(s, &frame, 1);
    for (int i = 0; status == DN_OK && i < frame.n; i++) {
        int c = i + (j->index > 0), role = s->roles[c] = stream_role(s->schema, frame.columns[i].name);
        if (role == STREAM_GIVEN && j->columns[c].as != FRAME_TEXT) s->whole = 1;
        if (role == STREAM_WORDS) j->columns[c].as = FRAME_TEXT;
    }
    dn_frame_free(&frame);
    *again = 1; /* the frame took the rows */
    return status;
}

/* Would the rows before have been the same if the column had been read like that? */
static int stream_same(const dn_frame_stream *s, int c, int to) {
    const uint32_t either = FRAME_ONE_POINT | FRAME_ONE_COMMA | FRAME_GROUPS | FRAME_BLANKS;
    const frame_facts *f = &s->before[c];
    const int as = s->load.columns[c].as;
    if (s->roles[c] == STREAM_UNUSED || !(f->seen & (FRAME_PRESENT | FRAME_INFINITE))) return 1;
    if (as == FRAME_TIME) return to == FRAME_TEXT;
    if (to == FRAME_TEXT) /* the coding reads numbers in texts, but no thousands and decimal commas */
        return as == FRAME_POINT && !(f->seen & (FRAME_INFINITE | FRAME_ONE_COMMA | FRAME_GROUPS | FRAME_BLANKS));
    return to != FRAME_TIME && !(f->decimals & ~1u) && !(f->seen & either); /* whole numbers */
}

static dn_status stream_late(const dn_frame_stream *s, int c) {
    const csv_plan *plan = &s->load.plan;
    char name[COLUMNS_SHOWN];
    return dn_fail(DN_E_FORMAT,
                   "%s: column %d '%s' shows only after row %zu how its numbers are written: give the table as a file, "
                   "which is read twice, not through a pipe",
                   s->name, c + 1, plan->names ? dn_columns_shown(plan->names + plan->places[c], name) : "", s->rows);
}

/* Are the columns still what they were? Otherwise the window is to be read again. */
static dn_status stream_check(dn_frame_stream *s, int *again) {
    frame_load *j = &s->load;
    int *as;
    *again = 0;
    DN_TRY(dn_frame_types(j, &as));
    dn_status status = DN_OK;
    for (int c = 0; as && c < j->plan.columns && status == DN_OK; c++) {
        if (as[c] == j->columns[c].as || (s->roles && s->roles[c] == STREAM_UNUSED && s->begun)) continue;
        if (s->begun && !stream_same(s, c, as[c])) status = stream_late(s, c);
        j->columns[c].as = as[c], *again = 1;
    }
    dn_free(as);
    if (status == DN_OK && !*again && !s->roles && j->chunks.rows) status = stream_roles(s, again);
    return status;
}

/* ---- pieces ---- */

static void stream_facts(dn_frame_stream *s, int back) {
    for (int c = 0; c < s->load.plan.columns; c++)
        if (back)
            s->load.columns[c].facts = s->before[c];
        else
            s->before[c] = s->load.columns[c].facts;
}

/* Read the window's rows, again where they show that a column is something else. */
static dn_status stream_window(dn_frame_stream *s) {
    frame_load *j = &s->load;
    j->chunks.rows = 0;
    DN_TRY(dn_csv_chunks_fill(&j->chunks, s->left < s->least ? s->left : s->least));
    const char *p = s->reader.p;
    const long line = s->reader.line, comment_line = j->comment_line;
    const size_t comments = j->comments;
    int again = 0;
    do {
        s->reader.p = p, s->reader.line = line;
        j->comments = comments, j->comment_line = comment_line;
        if (!s->settled) stream_facts(s, 1);
        DN_TRY(stream_clear(j));
        DN_TRY(dn_frame_window(j));
        if (!s->settled) DN_TRY(stream_check(s, &again));
    } while (again && !s->whole);
    if (!s->settled) stream_facts(s, 0);
    return DN_OK;
}

static dn_status stream_all(dn_frame_stream *s, dn_frame *frame) {
    if (s->ended) return DN_OK;
    s->ended = 1;
    stream_end(s);
    DN_TRY(dn_frame_source_rewind(s->source));
    return dn_frame_read(frame, s->source, s->name, &s->options);
}

static dn_status stream_last(dn_frame_stream *s, dn_frame *frame) {
    frame_load *j = &s->load;
    if (s->ended) return DN_OK;
    s->ended = 1;
    DN_CHECK(s->rows, DN_E_FORMAT, "%s: a header, but no rows", s->name);
    DN_TRY(dn_csv_warn_comments(&s->reader, &j->about, j->comments, j->comment_line));
    if (!j->about.warnings) return DN_OK;
    frame->warnings = j->about.warnings, j->about.warnings = NULL;
    DN_TRY(dn_frame_keep(frame, frame->warnings));
    stream_new_warnings(s, frame);
    return DN_OK;
}

static dn_status stream_next(dn_frame_stream *s, dn_frame *frame) {
    int more;
    if (s->whole) return stream_all(s, frame);
    do {
        DN_TRY(stream_more(s, &more));
        if (!more) return stream_last(s, frame);
        DN_TRY(stream_window(s));
        if (s->whole) return stream_all(s, frame);
    } while (!s->load.chunks.rows);
    if (!s->begun) dn_frame_source_forget(s->source);
    s->begun = 1;
    stream_count(s);
    return stream_frame(s, frame, 0);
}

dn_status dn_frame_stream_next(dn_frame_stream *s, dn_frame *piece) {
    memset(piece, 0, sizeof *piece);
    dn_status status = stream_next(s, piece);
    if (status != DN_OK) dn_frame_free(piece);
    return status;
}

/* ---- opening ---- */

static dn_status frame_stream_open(dn_frame_stream *s, const char *path) {
    if (!(s->name = dn_strdup(strcmp(path, "-") ? path : "standard input"))) return DN_E_MEMORY;
    DN_TRY(dn_frame_source_open(&s->source, path, s->name));
    if ((s->whole = s->least == SIZE_MAX)) return DN_OK;
    DN_TRY(stream_begin(s, NULL));
    s->whole = s->reader.at_end;
    if (!s->whole && dn_frame_source_is_file(s->source)) DN_TRY(stream_types(s));
    s->before = dn_alloc((size_t)s->load.plan.columns, sizeof *s->before);
    return s->before ? DN_OK : DN_E_MEMORY;
}

dn_status dn_frame_stream_open(dn_frame_stream **out, const char *path, const dn_schema *schema,
                               const dn_frame_options *options, size_t piece, size_t least) {
    *out = NULL;
    const dn_frame_options o = options ? *options : (dn_frame_options){0};
    DN_CHECK(o.max_rows >= 0 && abs(o.header) <= 1 && o.threads >= 0, DN_E_USAGE,
             "max_rows=%lld, header=%d, threads=%d: not all of them make sense", (long long)o.max_rows, o.header,
             o.threads);
    dn_frame_stream *s = dn_alloc(1, sizeof *s);
    if (!s) return DN_E_MEMORY;
    s->schema = schema, s->options = o, s->piece = piece, s->least = least;
    dn_status status = frame_stream_open(s, path);
    if (status == DN_OK)
        *out = s;
    else
        dn_frame_stream_close(s);
    return status;
}

void dn_frame_stream_close(dn_frame_stream *s) {
    if (!s) return;
    stream_end(s);
    if (s->source) dn_frame_source_close(s->source);
    dn_text_free(&s->said);
    dn_free(s->before), dn_free(s->roles), dn_free(s->name);
    dn_free(s);
}

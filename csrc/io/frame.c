/* Typed tables from CSV text: rows in windows and chunks, twice where a late cell shows that a column is not what the
 * first rows suggested. */
#include "io/frame.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- memory of frames ---- */

typedef struct frame_owner {
    size_t n, room;
    void **blocks;
} frame_owner;

dn_status dn_frame_keep(dn_frame *frame, void *memory) {
    frame_owner *o = frame->owner;
    if (!memory) return DN_E_MEMORY;
    if (!o && !(o = frame->owner = dn_alloc(1, sizeof *o))) goto failed;
    if (o->n == o->room) {
        void **grown = dn_realloc(o->blocks, 2 * o->room + 16, sizeof *grown);
        if (!grown) goto failed;
        o->blocks = grown, o->room = 2 * o->room + 16;
    }
    o->blocks[o->n++] = memory;
    return DN_OK;
failed:
    dn_free(memory);
    return DN_E_MEMORY;
}

void *dn_frame_alloc(dn_frame *frame, size_t n, size_t size) {
    void *p = dn_alloc(n, size);
    return p && dn_frame_keep(frame, p) == DN_OK ? p : NULL;
}

void dn_frame_free(dn_frame *frame) {
    frame_owner *o = frame->owner;
    for (size_t i = 0; o && i < o->n; i++) dn_free(o->blocks[i]);
    if (o) dn_free(o->blocks);
    dn_free(o);
    memset(frame, 0, sizeof *frame);
}

/* ---- rows ---- */

/* Room for what each chunk of the window finds. */
static dn_status frame_parts(frame_load *j) {
    size_t n = j->chunks.n, columns = (size_t)j->plan.columns;
    if (n > j->n_parts) {
        struct frame_part *grown = dn_realloc(j->parts, n, sizeof *grown);
        if (!grown) return DN_E_MEMORY;
        memset(grown + j->n_parts, 0, (n - j->n_parts) * sizeof *grown);
        j->parts = grown;
        for (; j->n_parts < n; j->n_parts++) {
            struct frame_part *part = &grown[j->n_parts];
            part->facts = dn_alloc(columns, sizeof *part->facts);
            part->fresh = dn_alloc(columns, sizeof *part->fresh);
            part->n_fresh = columns;
            if (part->facts && part->fresh) continue;
            dn_free(part->facts);
            dn_free(part->fresh);
            return DN_E_MEMORY;
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct frame_part *part = &j->parts[i];
        memset(part->facts, 0, columns * sizeof *part->facts);
        part->bad = NULL, part->comments = 0, part->status = DN_OK;
    }
    return DN_OK;
}

static dn_status frame_room_for(frame_load *j, size_t rows) {
    for (int i = 0; i < j->plan.columns; i++) {
        frame_column *c = &j->columns[i];
        size_t size = c->as == FRAME_TEXT ? sizeof *c->codes : sizeof *c->numbers;
        void *old = c->as == FRAME_TEXT ? (void *)c->codes : c->numbers, *grown = dn_realloc(old, rows, size);
        if (!grown) return DN_E_MEMORY;
        if (c->as == FRAME_TEXT)
            c->codes = grown;
        else
            c->numbers = grown;
        dn_memory_expect(grown, rows * size);
    }
    return DN_OK;
}

static dn_status frame_room(frame_load *j, size_t rows) {
    size_t need = j->chunks.rows + rows;
    if (need <= j->room) return DN_OK;
    size_t room = j->pieces ? need : dn_csv_chunks_guess(&j->chunks, rows);
    dn_status status = frame_room_for(j, room);
    if (status == DN_E_MEMORY && room > need) status = frame_room_for(j, room = need);
    if (status != DN_OK)
        return dn_fail_prefix(status, "%s: for %zu rows of %d columns: ", j->chunks.reader->path, need,
                              j->plan.columns);
    j->room = room;
    return DN_OK;
}

static uint32_t merge_hash(const frame_words *fresh, int32_t k) {
    return dn_frame_hash(fresh->text + fresh->at[k], fresh->at[k + 1] - fresh->at[k] - 1);
}

/* Give a column the words of a chunk; fresh->at become the column's codes. The table of all words is often larger than
 * the caches, so its slots are asked for some words ahead. */
static dn_status merge_words(frame_words *words, frame_words *fresh) {
    enum { AHEAD = 8 };
    uint32_t hashes[AHEAD] = {0};
    for (int32_t k = 0; k < fresh->n + AHEAD; k++) {
        int32_t now = k - AHEAD, word;
        uint32_t hash = hashes[k % AHEAD];
        if (k < fresh->n) {
            hashes[k % AHEAD] = merge_hash(fresh, k);
            __builtin_prefetch(&words->slots[hashes[k % AHEAD] & words->mask]);
        }
        if (now < 0) continue;
        const char *p = fresh->text + fresh->at[now];
        size_t size = fresh->at[now + 1] - fresh->at[now] - 1;
        word = dn_frame_words_find(words, p, size, hash);
        if (word < 0) DN_TRY(dn_frame_words_add(words, p, size, hash, &word));
        fresh->at[now] = (size_t)(word < words->missing ? -1 : word - words->missing);
    }
    return DN_OK;
}

/* Give a column the words that chunks found, in the order of the chunks. */
static void frame_merge(void *context, size_t index) {
    frame_load *j = context;
    frame_column *c = &j->columns[index];
    size_t rows = 0;
    const int32_t before = c->words.n;
    for (size_t i = 0; i < j->chunks.n && c->as == FRAME_TEXT; i++) {
        frame_words *fresh = &j->parts[i].fresh[index];
        const csv_chunk *chunk = &j->chunks.chunks[i];
        rows += chunk->rows;
        if (!fresh->n) continue;
        if (merge_words(&c->words, fresh) != DN_OK) {
            j->parts[i].status = DN_E_MEMORY;
            return;
        }
        for (size_t row = chunk->first; row < chunk->first + chunk->rows; row++)
            if (c->codes[row] < -1) c->codes[row] = (int32_t)fresh->at[-2 - c->codes[row]];
        dn_frame_words_clear(fresh);
    }
    c->words.novel = (size_t)(c->words.n - before) > rows / 2;
}

static dn_status frame_collect(frame_load *j) {
    const csv_reader *r = j->chunks.reader;
    for (size_t i = 0; i < j->chunks.n; i++) {
        struct frame_part *part = &j->parts[i];
        if (part->bad) {
            csv_reader look = *r;
            look.end = j->chunks.chunks[i].end;
            DN_TRY(dn_csv_row_check(&look, &j->plan, part->bad, part->line));
            return dn_fail(DN_E_MEMORY, "%s:%ld: out of memory", r->path, part->line);
        }
        for (int c = 0; c < j->plan.columns; c++) {
            j->columns[c].facts.seen |= part->facts[c].seen;
            j->columns[c].facts.decimals |= part->facts[c].decimals;
        }
        if (part->comments && !j->comments) j->comment_line = part->comment_line;
        j->comments += part->comments;
    }
    dn_pool_run(j->chunks.pool, (size_t)j->plan.columns, frame_merge, j);
    for (size_t i = 0; i < j->chunks.n; i++)
        DN_CHECK(j->parts[i].status == DN_OK, DN_E_MEMORY, "%s: out of memory", r->path);
    return DN_OK;
}

dn_status dn_frame_window(frame_load *j) {
    size_t rows;
    DN_TRY(dn_csv_chunks_cut(&j->chunks, &rows));
    DN_TRY(frame_parts(j));
    if (rows) DN_TRY(frame_room(j, rows));
    DN_TRY(dn_csv_chunks_run(&j->chunks, rows, dn_frame_chunk, j));
    DN_TRY(frame_collect(j));
    return dn_csv_chunks_end(&j->chunks, rows);
}

static dn_status frame_rows(frame_load *j, const dn_frame_options *o) {
    csv_reader *r = j->chunks.reader;
    j->chunks.limit = o->max_rows > 0 ? (size_t)o->max_rows : SIZE_MAX;
    if (!r->at_end && !j->chunks.pool) DN_TRY(dn_pool_create(&j->chunks.pool, o->threads));
    while (j->chunks.rows < j->chunks.limit) {
        DN_TRY(dn_watched());
        DN_TRY(dn_csv_fill(r));
        if (r->p == r->end) break;
        DN_TRY(dn_frame_window(j));
    }
    DN_CHECK(j->chunks.rows, DN_E_FORMAT, "%s: a header, but no rows", r->path);
    return dn_csv_warn_comments(r, &j->about, j->comments, j->comment_line);
}

/* ---- passes ---- */

dn_status dn_frame_columns(frame_load *j, const int *as) {
    const csv_reader *r = j->chunks.reader;
    int n = j->plan.columns;
    if (!(j->columns = dn_alloc((size_t)n, sizeof *j->columns))) return DN_E_MEMORY;
    if (!as) {
        int *first = dn_alloc((size_t)n, sizeof *first);
        if (!first) return DN_E_MEMORY;
        dn_frame_survey(r, &j->plan, j->columns);
        dn_frame_decide(j->columns, n, r->separator, first);
        for (int i = 0; i < n; i++) j->columns[i].as = first[i], j->columns[i].facts = (frame_facts){0, 0};
        dn_free(first);
    } else {
        for (int i = 0; i < n; i++) j->columns[i].as = as[i];
    }
    for (int i = 0; i < n; i++)
        if (j->columns[i].as == FRAME_TEXT) DN_TRY(dn_frame_words_begin(&j->columns[i].words));
    return DN_OK;
}

/* Read the table; `as`: how the columns are to be read, NULL: as the first rows suggest. */
static dn_status frame_pass(frame_load *j, frame_source *source, const dn_frame_options *o, const int *as) {
    csv_reader *r = j->chunks.reader;
    const dn_csv_options look = {.header = o->header};
    r->fd = dn_frame_source_fd(source), r->source = dn_frame_source_hook(source);
    j->plan.typed = dn_frame_header;
    DN_TRY(dn_csv_look(r, &look, &j->plan, &j->about));
    DN_TRY(dn_frame_columns(j, as));
    return frame_rows(j, o);
}

void dn_frame_load_free(frame_load *j) {
    for (int i = 0; j->columns && i < j->plan.columns; i++) {
        frame_column *c = &j->columns[i];
        dn_free(c->numbers);
        dn_free(c->codes);
        dn_frame_words_free(&c->words);
    }
    for (size_t i = 0; i < j->n_parts; i++) {
        struct frame_part *part = &j->parts[i];
        for (size_t c = 0; c < part->n_fresh; c++) dn_frame_words_free(&part->fresh[c]);
        dn_free(part->facts);
        dn_free(part->fresh);
        dn_text_free(&part->unquoted);
    }
    dn_free(j->parts);
    dn_free(j->columns);
    dn_csv_chunks_free(&j->chunks);
    dn_csv_plan_free(&j->plan);
    dn_table_free(&j->about);
}

/* The types that all rows show, if some column was read as another one; *as is NULL otherwise. */
dn_status dn_frame_types(const frame_load *j, int **as) {
    int n = j->plan.columns, differ = 0;
    if (!(*as = dn_alloc((size_t)n, sizeof **as))) return DN_E_MEMORY;
    dn_frame_decide(j->columns, n, j->chunks.reader->separator, *as);
    for (int i = 0; i < n; i++) differ |= (*as)[i] != j->columns[i].as;
    if (differ) return DN_OK;
    dn_free(*as);
    *as = NULL;
    return DN_OK;
}

dn_status dn_frame_read(dn_frame *frame, frame_source *source, const char *name, const dn_frame_options *o) {
    int *as = NULL;
    dn_status status;
    for (int pass = 0;; pass++) {
        csv_reader reader = {.path = name, .line = 1};
        frame_load load = {.chunks = {.reader = &reader}};
        int *before = as;
        as = NULL;
        status = frame_pass(&load, source, o, before);
        dn_free(before);
        if (status == DN_OK && !pass) status = dn_frame_types(&load, &as);
        if (status == DN_OK && !as) status = dn_frame_finish(&load, frame);
        dn_frame_load_free(&load);
        if (status == DN_OK && as) status = dn_frame_source_rewind(source);
        if (status != DN_OK || !as) break;
    }
    dn_free(as);
    return status;
}

dn_status dn_frame_load(dn_frame *frame, const char *path, const dn_frame_options *options) {
    static const dn_frame_options defaults;
    const dn_frame_options *o = options ? options : &defaults;
    const char *name = strcmp(path, "-") ? path : "standard input";
    frame_source *source;
    memset(frame, 0, sizeof *frame);
    DN_CHECK(o->max_rows >= 0 && abs(o->header) <= 1 && o->threads >= 0, DN_E_USAGE,
             "max_rows=%lld, header=%d, threads=%d: not all of them make sense", (long long)o->max_rows, o->header,
             o->threads);
    DN_TRY(dn_frame_source_open(&source, path, name));
    dn_status status = dn_frame_read(frame, source, name, o);
    dn_frame_source_close(source);
    if (status != DN_OK) dn_frame_free(frame);
    return status;
}

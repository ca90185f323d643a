/* What was read, as a frame: names, types and forms of columns, warnings. */
#include "io/frame.h"
#include <math.h>
#include <stdio.h>

enum { NAME_SHOWN = 40, WARNINGS = 5 }; /* characters of a name in a message; warnings of a kind */

static int shown(const char *name) {
    size_t n = strlen(name);
    return n < NAME_SHOWN ? (int)n : NAME_SHOWN;
}

/* ---- names ---- */

typedef struct frame_names {
    frame_words known; /* all names of the header */
    int32_t *next;     /* (known.n) the number that the next column of that name may get */
    dn_text text, trial;
    size_t *places; /* (columns) */
    size_t renamed;
} frame_names;

static int32_t names_find(frame_names *x, const char *name, size_t size, uint32_t *hash) {
    x->trial.size = 0;
    char *copy = dn_text_room(&x->trial, size + DN_NUMBER_PADDING);
    if (!copy) return -1;
    if (copy != name) memcpy(copy, name, size);
    *hash = dn_frame_hash(copy, size);
    return dn_frame_words_find(&x->known, copy, size, *hash);
}

static dn_status names_add(frame_names *x, const char *name, size_t size) {
    uint32_t hash = 0;
    int32_t index = names_find(x, name, size, &hash);
    if (x->trial.status != DN_OK) return x->trial.status;
    return index >= 0 ? DN_OK : dn_frame_words_add(&x->known, name, size, hash, &index);
}

/* A name that no column has: the old one and a number. */
static dn_status names_new(frame_names *x, const char *old, int column) {
    size_t at = x->text.size;
    uint32_t hash;
    int32_t same = *old ? names_find(x, old, strlen(old), &hash) : -1;
    for (int32_t k = *old ? x->next[same] : column + 1;; k++) {
        x->text.size = at;
        dn_text_format(&x->text, "%s_%d", *old ? old : "column", (int)k);
        if (x->text.status != DN_OK) return x->text.status;
        const char *name = x->text.bytes + at;
        int32_t found = names_find(x, name, strlen(name), &hash);
        if (x->trial.status != DN_OK) return x->trial.status;
        if (same >= 0) x->next[same] = k + 1;
        if (found < 0) return names_add(x, name, strlen(name));
    }
}

static dn_status names_all(frame_names *x, const frame_load *j) {
    const csv_plan *plan = &j->plan;
    const char *path = j->chunks.reader->path;
    dn_table *about = (dn_table *)&j->about;
    for (int c = 0; plan->names && c < plan->columns; c++) {
        const char *name = plan->names + plan->places[c];
        if (*name) DN_TRY(names_add(x, name, strlen(name)));
    }
    if (!(x->next = dn_alloc((size_t)x->known.n, sizeof *x->next))) return DN_E_MEMORY; /* 0: not yet met */
    for (int c = 0; c < plan->columns; c++) {
        const char *name = plan->names ? plan->names + plan->places[c] : "";
        uint32_t hash = 0;
        int32_t same = *name ? names_find(x, name, strlen(name), &hash) : -1;
        x->places[c] = x->text.size;
        if (same >= 0 && !x->next[same]) {
            x->next[same] = 2;
            dn_text_add(&x->text, name, strlen(name) + 1);
            continue;
        }
        DN_TRY(names_new(x, name, c));
        const char *got = x->text.bytes + x->places[c];
        dn_text_add(&x->text, "", 1);
        if (!plan->names || (*name ? x->renamed++ : 0) >= WARNINGS) continue;
        got = x->text.bytes + x->places[c];
        if (*name)
            DN_TRY(dn_csv_warn(about, "%s: several columns are called '%.*s': column %d is '%.*s' from here on", path,
                               shown(name), name, c + 1, shown(got), got));
        else
            DN_TRY(dn_csv_warn(about, "%s: column %d has no name: it is '%.*s' from here on", path, c + 1, shown(got),
                               got));
    }
    if (x->renamed > WARNINGS)
        DN_TRY(dn_csv_warn(about, "%s: so are %zu further columns with names that others have", path,
                           x->renamed - WARNINGS));
    return x->text.status;
}

/* Names for all columns, each of them once. */
static dn_status finish_names(const frame_load *j, dn_frame *frame) {
    frame_names x = {0};
    dn_status status = DN_E_MEMORY;
    if ((x.places = dn_alloc((size_t)j->plan.columns, sizeof *x.places))) status = names_all(&x, j);
    if (status == DN_OK)
        status = dn_frame_keep(frame, x.text.bytes);
    else
        dn_text_free(&x.text);
    for (int c = 0; status == DN_OK && c < j->plan.columns; c++) frame->columns[c].name = x.text.bytes + x.places[c];
    dn_frame_words_free(&x.known);
    dn_free(x.next);
    dn_free(x.places);
    dn_text_free(&x.trial);
    return status;
}

/* ---- encoding ---- */

typedef struct frame_encoding {
    const char *column, *text; /* the first text that is not UTF-8 */
    int wide;                  /* some text is UTF-8 beyond ASCII */
} frame_encoding;

static void encoding_look(frame_encoding *e, const char *column, const char *text, size_t size) {
    int ascii = 1;
    for (size_t i = 0; i < size && ascii; i++) ascii = (signed char)text[i] >= 0;
    if (ascii) return;
    if (dn_frame_utf8(text, size))
        e->wide = 1;
    else if (!e->text)
        e->column = column, e->text = text;
}

/* Zero-terminated texts from Windows-1252 to UTF-8, in new memory of the frame. */
static dn_status encoding_convert(const char *path, dn_frame *frame, const char **texts, size_t size) {
    size_t used = 0;
    char *to = dn_realloc(NULL, 3 * size, 1);
    DN_TRY(dn_frame_keep(frame, to));
    DN_CHECK(dn_frame_windows(*texts, size, to, &used), DN_E_FORMAT,
             "%s: the text is neither UTF-8 nor Windows-1252: save it as UTF-8 (iconv -f ... -t UTF-8)", path);
    *texts = to;
    return DN_OK;
}

static size_t texts_size(const char *p, int32_t n) {
    const char *from = p;
    for (; n > 0; n--) p += strlen(p) + 1;
    return (size_t)(p - from);
}

static dn_status finish_encoding(frame_load *j, dn_frame *frame) {
    const char *path = j->chunks.reader->path;
    frame_encoding e = {.wide = j->wide};
    for (int c = 0; c < frame->n; c++) {
        const dn_frame_column *column = &frame->columns[c];
        encoding_look(&e, column->name, column->name, strlen(column->name));
        const char *word = column->words;
        for (int32_t i = 0; j->columns[c].words.high && i < column->n_words; i++, word += strlen(word) + 1)
            encoding_look(&e, column->name, word, strlen(word));
    }
    j->wide = e.wide, j->bad |= e.text != NULL;
    if (!e.text && !(j->bad && e.wide)) return DN_OK;
    DN_CHECK(e.text, DN_E_FORMAT, "%s: some texts are UTF-8, others are not: repair the file, or save it as UTF-8",
             path);
    DN_CHECK(!e.wide, DN_E_FORMAT,
             "%s: column '%.*s': the text '%.*s' is not UTF-8, but others are: repair the file, or save it as UTF-8",
             path, shown(e.column), e.column, shown(e.text), e.text);
    for (int c = 0; c < frame->n; c++) {
        dn_frame_column *column = &frame->columns[c];
        DN_TRY(encoding_convert(path, frame, &column->name, strlen(column->name) + 1));
        if (j->columns[c].words.high)
            DN_TRY(encoding_convert(path, frame, &column->words, texts_size(column->words, column->n_words)));
    }
    return dn_csv_warn(&j->about,
                       "%s: the text is not UTF-8 and is read as Windows-1252 (Latin-1); if it is something else, save "
                       "it as UTF-8",
                       path);
}

/* ---- columns ---- */

static int highest(uint32_t bits) {
    int n = -1;
    for (; bits; bits >>= 1) n++;
    return n;
}

static void finish_form(const frame_column *c, dn_frame_column *to) {
    unsigned seen = c->facts.seen;
    uint32_t decimals = c->facts.decimals;
    to->decimals = highest(decimals & ~FRAME_EXPONENT);
    if (to->type == DN_FRAME_TIME) {
        to->form = seen & FRAME_BLANK ? 2 : seen & FRAME_T ? 1 : 0;
        to->form += (seen & FRAME_SECONDS ? 4 : 0) + (to->decimals > 0 ? 8 : 0);
        if (to->decimals < 0) to->decimals = 0;
        return;
    }
    if (decimals & FRAME_EXPONENT) to->decimals = -1;
    to->form = (c->as == FRAME_COMMA) + (seen & FRAME_GROUPS ? 2 : 0) + (seen & FRAME_BLANKS ? 8 : 0) +
               (to->decimals > 0 && !(decimals & (decimals - 1)) ? 4 : 0) +
               (to->decimals > 0 && !(decimals & 1) ? 16 : 0);
}

/* Shrink to what is used, and give it to the frame. */
static dn_status finish_keep(dn_frame *frame, void *memory, size_t n, size_t size, const void **to) {
    void *fit = dn_realloc(memory, n, size);
    *to = fit ? fit : memory;
    return dn_frame_keep(frame, (void *)*to);
}

static dn_status finish_column(frame_column *c, dn_frame *frame, dn_frame_column *to) {
    const void *kept;
    if (c->as != FRAME_TEXT) {
        void *numbers = c->numbers;
        c->numbers = NULL;
        to->type = c->as == FRAME_TIME ? DN_FRAME_TIME : DN_FRAME_NUMBER;
        DN_TRY(finish_keep(frame, numbers, frame->rows, sizeof *c->numbers, &kept));
        to->numbers = kept;
        finish_form(c, to);
        return DN_OK;
    }
    void *codes = c->codes, *text = c->words.text;
    c->codes = NULL, c->words.text = NULL;
    to->type = DN_FRAME_TEXT, to->n_words = c->words.n - c->words.missing;
    dn_status status = finish_keep(frame, codes, frame->rows, sizeof *c->codes, &kept);
    to->codes = kept;
    if (status != DN_OK) dn_free(text);
    DN_TRY(status);
    DN_TRY(finish_keep(frame, text, c->words.size, 1, &kept));
    to->words = (const char *)kept + c->words.at[c->words.missing];
    return DN_OK;
}

static dn_status finish_warn(frame_load *j, const frame_column *c, const char *name) {
    const char *path = j->chunks.reader->path;
    unsigned seen = c->facts.seen, one = seen & (FRAME_ONE_POINT | FRAME_ONE_COMMA);
    if (c->as == FRAME_TEXT) return DN_OK;
    if (c->as == FRAME_TIME)
        return seen & FRAME_ZONE
                   ? dn_csv_warn(&j->about, "%s: column '%.*s': time zones are not applied, times stay as written",
                                 path, shown(name), name)
                   : DN_OK;
    if (seen & FRAME_INFINITE)
        DN_TRY(dn_csv_warn(&j->about, "%s: column '%.*s': infinite numbers count as missing", path, shown(name), name));
    int doubtful =
        one && !(seen & (FRAME_NOT_POINT | FRAME_NOT_COMMA)) && (c->as == FRAME_COMMA || seen & FRAME_ONE_COMMA);
    if (!doubtful) return DN_OK;
    const char *example = seen & FRAME_ONE_COMMA ? "1,234" : "1.234";
    int decimal = (c->as == FRAME_COMMA) == (seen & FRAME_ONE_COMMA ? 1 : 0);
    return dn_csv_warn(&j->about, "%s: column '%.*s': numbers like %s are read as %s", path, shown(name), name, example,
                       decimal ? "1 and a fraction" : "thousands");
}

/* The index that pandas and R write: a first column without a name that counts the rows. */
int dn_frame_is_index(const frame_load *j, size_t before) {
    const csv_plan *plan = &j->plan;
    const frame_column *c = &j->columns[0];
    if (!plan->names || plan->names[plan->places[0]] || plan->columns < 2 || c->as != FRAME_POINT) return 0;
    double first = c->numbers[0] - (double)before;
    if (first != 0 && first != 1) return 0;
    for (size_t i = 1; i < j->chunks.rows; i++)
        if (c->numbers[i] != c->numbers[0] + (double)i) return 0;
    return 1;
}

dn_status dn_frame_finish(frame_load *j, dn_frame *frame) {
    int n = j->plan.columns;
    if (!j->index) j->index = dn_frame_is_index(j, 0) ? 1 : -1;
    frame->rows = j->chunks.rows, frame->n = n, frame->separator = j->chunks.reader->separator;
    if (!(frame->columns = dn_frame_alloc(frame, (size_t)n, sizeof *frame->columns))) return DN_E_MEMORY;
    if (j->index > 0) { /* its empty name needs no warning */
        frame->n = --n;
        dn_free(j->columns[0].numbers);
        memmove(j->columns, j->columns + 1, (size_t)n * sizeof *j->columns);
        memset(&j->columns[n], 0, sizeof *j->columns);
        memmove(j->plan.places, j->plan.places + 1, (size_t)n * sizeof *j->plan.places);
        j->plan.columns = n;
        DN_TRY(dn_csv_warn(&j->about,
                           "%s: the first column has no name and counts the rows, as the index of pandas and R: it is "
                           "left out",
                           j->chunks.reader->path));
    }
    DN_TRY(finish_names(j, frame));
    for (int c = 0; c < n; c++) {
        DN_TRY(finish_column(&j->columns[c], frame, &frame->columns[c]));
        DN_TRY(finish_warn(j, &j->columns[c], frame->columns[c].name));
    }
    DN_TRY(finish_encoding(j, frame));
    frame->warnings = j->about.warnings, j->about.warnings = NULL;
    return frame->warnings ? dn_frame_keep(frame, frame->warnings) : DN_OK;
}

/* Numbers that a network gave, or drew, as a table like the one it learned from. */
#include "base/sys.h"
#include "io/columns.h"
#include "io/frame.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The frame is one block: its columns, then numbers, codes and texts. */
typedef struct block {
    char *bytes; /* NULL: sizes are counted only */
    size_t used;
} block;

static void *take(block *b, size_t n, size_t size) {
    b->used = (b->used + 7) & ~(size_t)7;
    void *at = b->bytes ? b->bytes + b->used : NULL;
    b->used += n * size;
    return at;
}

static const char *take_text(block *b, const char *text, size_t size) {
    char *at = take(b, size, 1);
    if (at && size) memcpy(at, text, size);
    return at;
}

static int is_decoded(const columns_column *c) { return c->kind < DN_COLUMN_DROPPED; }

static size_t words_size(const columns_words *w) {
    return w->n ? (size_t)(w->at[w->n - 1] - w->text) + strlen(w->at[w->n - 1]) + 1 : 0;
}

/* ---- codes ---- */

/* The code of a category or yes/no column; -1: missing. */
static int decode_code(const columns_column *c, float x) {
    if (isnan(x)) return -1;
    if (c->kind == DN_COLUMN_YES_NO) return x >= 0.5f;
    int classes = columns_classes(c);
    return x <= 0 ? 0 : x >= (float)(classes - 1) ? classes - 1 : (int)lrintf(x);
}

static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u; /* S. Vigna's splitmix64 */
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Which of the rare words an "other" is: as often as the table had them, determined by row and value. */
static int decode_rare(const columns_column *c, size_t row, float x, uint64_t total) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t pick = mix(mix((uint64_t)row + 0x9e3779b97f4a7c15u * (uint64_t)(c->coded + 1)) ^ bits) % total;
    int i = 0;
    while (pick >= c->rare.counts[i]) pick -= c->rare.counts[i++];
    return i;
}

static uint64_t rare_total(const columns_column *c) {
    uint64_t total = 0;
    for (int i = 0; i < c->rare.n; i++) total += c->rare.counts[i];
    return total;
}

/* ---- columns ---- */

typedef struct decoded {
    const dn_schema *schema;
    const columns_column *c;
    const float *x;              /* of row 0; NULL: not coded */
    size_t rows, stride, before; /* rows of the table before these */
} decoded;

static float coded_at(const decoded *d, size_t row) { return d->x[row * d->stride]; }

static double number_at(const decoded *d, size_t row, uint64_t total) {
    const columns_column *c = d->c;
    if (c->kind == DN_COLUMN_CONSTANT) return c->low;
    if (c->kind == DN_COLUMN_IDENTIFIER) return (double)(d->before + row) + 1;
    float x = coded_at(d, row);
    if (c->kind == DN_COLUMN_NUMBER || c->kind == DN_COLUMN_TIME)
        return isnan(x) ? (double)NAN : dn_columns_decode_number(c, d->schema->coding, x);
    int code = decode_code(c, x);
    if (code < 0) return (double)NAN;
    return code < c->words.n ? c->words.values[code] : c->rare.values[decode_rare(c, d->before + row, x, total)];
}

static void decode_numbers(const decoded *d, double *to) {
    uint64_t total = rare_total(d->c);
    for (size_t i = 0; to && i < d->rows; i++) to[i] = number_at(d, i, total);
}

/* Words, with the rare ones after the codes' own. */
static void decode_texts(const decoded *d, int32_t *to) {
    const columns_column *c = d->c;
    uint64_t total = rare_total(c);
    for (size_t i = 0; to && i < d->rows; i++) {
        float x = d->x ? coded_at(d, i) : 0;
        int code = c->kind == DN_COLUMN_CONSTANT ? c->words.n - 1 : decode_code(c, x);
        to[i] = code < c->words.n ? code : c->words.n + decode_rare(c, d->before + i, x, total);
    }
}

/* id1, id2, ... */
static void number_texts(const decoded *d, block *b, dn_frame_column *f) {
    int32_t *codes = take(b, d->rows, sizeof *codes);
    char word[32], *text = take(b, 0, 1);
    f->codes = codes, f->words = text, f->n_words = (int32_t)d->rows;
    for (size_t i = 0; i < d->rows; i++) {
        size_t n = (size_t)snprintf(word, sizeof word, "id%zu", d->before + i + 1) + 1;
        if (text) memcpy(b->bytes + b->used, word, n), codes[i] = (int32_t)i;
        b->used += n;
    }
}

static void decode_column(const decoded *d, block *b, dn_frame_column *f) {
    const columns_column *c = d->c;
    *f = (dn_frame_column){.type = c->type, .decimals = c->decimals, .form = c->form};
    f->name = take_text(b, c->name, strlen(c->name) + 1);
    if (c->type != DN_FRAME_TEXT) {
        double *numbers = take(b, d->rows, sizeof *numbers);
        decode_numbers(d, numbers);
        f->numbers = numbers;
        return;
    }
    if (c->kind == DN_COLUMN_IDENTIFIER) {
        number_texts(d, b, f);
        return;
    }
    int32_t *codes = take(b, d->rows, sizeof *codes);
    decode_texts(d, codes);
    f->codes = codes, f->n_words = c->words.n + c->rare.n;
    size_t own = words_size(&c->words), rare = words_size(&c->rare);
    char *text = take(b, own + rare, 1);
    if (text && own) memcpy(text, c->words.text, own);
    if (text && rare) memcpy(text + own, c->rare.text, rare);
    f->words = text;
}

static void decode_frame(const dn_schema *s, const float *x, size_t before, size_t rows, block *b, dn_frame *frame) {
    int n = 0;
    for (int i = 0; i < s->n; i++) n += is_decoded(&s->columns[i]);
    dn_frame_column *columns = take(b, (size_t)n, sizeof *columns), ignored;
    *frame = (dn_frame){.rows = rows, .n = n, .columns = columns, .separator = s->separator};
    for (int i = 0, k = 0; i < s->n; i++) {
        const columns_column *c = &s->columns[i];
        decoded d = {s, c, c->coded < 0 ? NULL : x + c->coded, rows, (size_t)s->n_coded, before};
        if (is_decoded(c)) decode_column(&d, b, columns ? &columns[k++] : &ignored);
    }
}

dn_status dn_schema_decode_piece(const dn_schema *s, const float *x, size_t before, size_t rows, dn_frame *frame) {
    block b = {0};
    size_t most;
    *frame = (dn_frame){0};
    DN_CHECK(rows <= INT32_MAX, DN_E_USAGE, "%zu rows at once: at most %d", rows, INT32_MAX);
    DN_TRY(dn_size_mul(&most, rows + 1, (size_t)s->n * 64));
    decode_frame(s, x, before, rows, &b, frame); /* once for the size */
    *frame = (dn_frame){0};
    if (!(b.bytes = dn_alloc(b.used, 1))) return DN_E_MEMORY;
    b.used = 0;
    decode_frame(s, x, before, rows, &b, frame);
    dn_status status = dn_frame_keep(frame, b.bytes);
    if (status != DN_OK) *frame = (dn_frame){0};
    return status;
}

dn_status dn_schema_decode(const dn_schema *s, const float *x, size_t rows, dn_frame *frame) {
    return dn_schema_decode_piece(s, x, 0, rows, frame);
}

/* Typed tables to CSV text. Blocks of rows become text in all threads and are written in order. */
#include "io/frame.h"
#include <math.h>
#include <stdio.h>

enum { BLOCK = 4096, BLOCKS = 16, CELL = 420 }; /* rows of a block; blocks at a time; room for a number */

typedef struct frame_word {
    const char *text;
    size_t size;
    int quoted;
} frame_word;

typedef struct frame_out {
    const dn_frame *frame;
    char separator;
    frame_word **words; /* (columns)(n_words), NULL for numbers */
    dn_text blocks[BLOCKS];
    size_t first; /* row of the first block */
    dn_status status[BLOCKS];
} frame_out;

/* ---- texts ---- */

static int out_is_number(const char *p, size_t size) {
    frame_facts facts = {0, 0};
    double value;
    return dn_frame_number(p, size, '.', &value, &facts) || dn_frame_number(p, size, ',', &value, &facts);
}

/* Must a text be quoted to be read back as one cell, and in a table whose separator has to be found? */
static int out_quoted(const frame_out *o, const char *p, size_t size) {
    if (!size || *p == '#' || csv_blank(*p) || csv_blank(p[size - 1]) || (size >= 3 && !memcmp(p, "\xEF\xBB\xBF", 3)))
        return 1;
    for (size_t i = 0; i < size; i++) {
        char c = p[i];
        if (c == ',' || c == ';' || c == '\t' || c == '"' || csv_newline(c) || (c == ' ' && o->frame->n == 1)) return 1;
    }
    return 0;
}

static void out_text(dn_text *t, const char *p, size_t size, int quoted) {
    char *to = dn_text_room(t, 2 * size + 2);
    if (!to) return;
    if (!quoted) {
        memcpy(to, p, size);
        t->size += size;
        return;
    }
    size_t n = 0;
    to[n++] = '"';
    for (size_t i = 0; i < size; i++) {
        if (p[i] == '"') to[n++] = '"';
        to[n++] = p[i];
    }
    to[n++] = '"';
    t->size += n;
}

/* ---- numbers ---- */

/* A plain number "123.45" with the column's decimal sign and thousands. */
static size_t out_dress(const char *plain, size_t size, int form, char *to) {
    const char group = form & 8 ? ' ' : form & 1 ? '.' : ',';
    size_t n = 0, whole = 0, sign = *plain == '-';
    while (sign + whole < size && plain[sign + whole] >= '0' && plain[sign + whole] <= '9') whole++;
    if (sign) to[n++] = '-';
    for (size_t i = 0; i < whole; i++) {
        if (form & 2 && i && (whole - i) % 3 == 0) to[n++] = group;
        to[n++] = plain[sign + i];
    }
    for (size_t i = sign + whole; i < size; i++) to[n++] = plain[i] == '.' && form & 1 ? ',' : plain[i];
    return n;
}

static size_t out_digits(uint64_t v, char *to) {
    char backwards[24];
    size_t n = 0, size;
    do backwards[n++] = (char)('0' + v % 10);
    while (v /= 10);
    size = n;
    while (n) *to++ = backwards[--n];
    return size;
}

/* v, units of 10^-decimals, as "123.45", with so many digits after the point at least. */
static size_t out_scaled(int negative, uint64_t v, int decimals, int least, char *to) {
    char digits[24];
    for (; decimals > least && v % 10 == 0; decimals--) v /= 10;
    size_t n = out_digits(v, digits), at = 0, after = (size_t)decimals;
    if (negative && v) to[at++] = '-';
    size_t whole = n > after ? n - after : 0;
    if (!whole) to[at++] = '0';
    memcpy(to + at, digits, whole);
    at += whole;
    if (!after) return at;
    to[at++] = '.';
    for (size_t i = n; i < after; i++) to[at++] = '0';
    memcpy(to + at, digits + whole, n - whole);
    return at + n - whole;
}

static size_t out_number(double v, int decimals, int form, char *to) {
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    const double most = 0x1p53;
    double size = fabs(v);
    if (decimals > FRAME_MOST_DECIMALS) decimals = FRAME_MOST_DECIMALS;
    int least = form & 4 ? decimals : form & 16 ? 1 : 0;
    if (decimals >= 0 && decimals <= 15 && size * powers[decimals] < most)
        return out_scaled(v < 0, (uint64_t)llrint(size * powers[decimals]), decimals, least, to);
    for (int d = 0; decimals < 0 && d <= 9 && size < 1e15 && (size >= 1e-4 || !size); d++) {
        double scaled = rint(size * powers[d]);
        if (scaled < most && scaled / powers[d] == size) return out_scaled(v < 0, (uint64_t)scaled, d, 0, to);
    }
    size_t n = dn_number_write(v, to);
    const char *point = memchr(to, '.', n), *exponent = memchr(to, 'e', n);
    if (decimals < 0) return n;
    if (!point && !exponent && least == 1) return memcpy(to + n, ".0", 2), n + 2;
    int have = point ? (int)(to + n - point) - 1 : 0;
    if (!exponent && have <= decimals && have >= least) return n;
    n = dn_number_fixed(v, decimals, to, CELL);
    for (have = decimals; have > least && to[n - 1] == '0'; have--) n--;
    return n - (decimals && !have);
}

/* ---- times ---- */

static size_t out_padded(int64_t v, int width, char *to) {
    for (int i = width - 1; i >= 0; i--, v /= 10) to[i] = (char)('0' + v % 10);
    return (size_t)width;
}

static size_t out_time(double v, int decimals, int form, char *to) {
    static const int64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    const double first = -62135596800.0, last = 253402300799.0; /* of the years 1 and 9999 */
    int digits = form & 8 ? decimals < 1 ? 3 : decimals > 6 ? 6 : decimals : 0, year, month, day, time = form & 3;
    int64_t unit = powers[digits] * (!time ? 86400 : form & 12 ? 1 : 60), per_day = powers[digits] * 86400;
    /* in powers of ten of a second, at a whole number of units */
    double limited = v < first ? first : v > last ? last : v;
    int64_t ticks = form & 8 ? llrint(limited * (double)powers[digits])
                             : (int64_t)floor(limited / (double)unit + (time ? 0.5 : 0)) * unit;
    if (ticks >= (int64_t)(last + 1) * powers[digits]) ticks = (int64_t)(last + 1) * powers[digits] - unit;
    int64_t days = ticks >= 0 ? ticks / per_day : -((-ticks + per_day - 1) / per_day), rest = ticks - days * per_day;
    dn_frame_civil(days, &year, &month, &day);
    size_t n = out_padded(year, 4, to);
    to[n++] = '-', n += out_padded(month, 2, to + n);
    to[n++] = '-', n += out_padded(day, 2, to + n);
    if (!time) return n;
    int64_t seconds = rest / powers[digits];
    to[n++] = time == 1 ? 'T' : ' ', n += out_padded(seconds / 3600, 2, to + n);
    to[n++] = ':', n += out_padded(seconds / 60 % 60, 2, to + n);
    if (!(form & 12)) return n;
    to[n++] = ':', n += out_padded(seconds % 60, 2, to + n);
    if (!digits) return n;
    to[n++] = '.';
    return n + out_padded(rest % powers[digits], digits, to + n);
}

/* ---- rows ---- */

/* A missing cell is empty; a row of nothing else would be no row. */
static void out_missing(const frame_out *o, dn_text *t) {
    if (o->frame->n == 1) dn_text_add(t, "\"\"", 2);
}

static void out_value(const frame_out *o, dn_text *t, const dn_frame_column *c, double v) {
    char plain[CELL], dressed[2 * CELL];
    if (!isfinite(v)) {
        out_missing(o, t);
        return;
    }
    if (c->type == DN_FRAME_TIME) {
        out_text(t, plain, out_time(v, c->decimals, c->form, plain), o->frame->n == 1 && c->form & 2);
        return;
    }
    size_t n = out_number(v, c->decimals, c->form, plain);
    if (!(c->form & 11)) {
        out_text(t, plain, n, 0);
        return;
    }
    n = out_dress(plain, n, c->form, dressed);
    int quoted = memchr(dressed, ',', n) && o->separator != ';' && o->separator != '\t';
    out_text(t, dressed, n, quoted || (o->frame->n == 1 && memchr(dressed, ' ', n)));
}

void dn_frame_put(dn_text *to, const dn_frame_column *c, size_t row, char separator) {
    const dn_frame several = {.n = 2};
    const frame_out o = {.frame = &several, .separator = separator};
    if (c->type != DN_FRAME_TEXT) {
        out_value(&o, to, c, c->numbers[row]);
        return;
    }
    const char *word = c->words;
    if (c->codes[row] < 0 || c->codes[row] >= c->n_words) return;
    for (int32_t i = 0; i < c->codes[row]; i++) word += strlen(word) + 1;
    out_text(to, word, strlen(word), out_quoted(&o, word, strlen(word)));
}

static dn_status out_row(const frame_out *o, dn_text *t, size_t row) {
    const dn_frame *f = o->frame;
    for (int i = 0; i < f->n; i++) {
        const dn_frame_column *c = &f->columns[i];
        if (i) dn_text_add(t, &o->separator, 1);
        if (c->type != DN_FRAME_TEXT) {
            out_value(o, t, c, c->numbers[row]);
            continue;
        }
        int32_t code = c->codes[row];
        DN_CHECK(code >= -1 && code < c->n_words, DN_E_USAGE,
                 "column '%.40s', row %zu: code %d, but there are %d words", c->name, row, (int)code, (int)c->n_words);
        if (code < 0)
            out_missing(o, t);
        else
            out_text(t, o->words[i][code].text, o->words[i][code].size, o->words[i][code].quoted);
    }
    dn_text_add(t, "\n", 1);
    return t->status;
}

static void out_block(void *context, size_t index) {
    frame_out *o = context;
    size_t row = o->first + index * BLOCK, end = row + BLOCK < o->frame->rows ? row + BLOCK : o->frame->rows;
    o->blocks[index].size = 0, o->status[index] = DN_OK;
    for (; row < end && o->status[index] == DN_OK; row++) o->status[index] = out_row(o, &o->blocks[index], row);
}

static dn_status out_header(const frame_out *o, dn_writer *w) {
    dn_text t = {0};
    for (int i = 0; i < o->frame->n; i++) {
        const char *name = o->frame->columns[i].name;
        size_t size = strlen(name);
        if (i) dn_text_add(&t, &o->separator, 1);
        out_text(&t, name, size, out_quoted(o, name, size) || out_is_number(name, size));
    }
    dn_text_add(&t, "\n", 1);
    dn_status status = t.status == DN_OK ? dn_writer_write(w, t.bytes, t.size) : t.status;
    dn_text_free(&t);
    return status;
}

static dn_status out_words(frame_out *o) {
    if (!(o->words = dn_alloc((size_t)o->frame->n, sizeof *o->words))) return DN_E_MEMORY;
    for (int i = 0; i < o->frame->n; i++) {
        const dn_frame_column *c = &o->frame->columns[i];
        const char *word = c->words;
        if (c->type != DN_FRAME_TEXT) continue;
        if (!(o->words[i] = dn_alloc((size_t)c->n_words, sizeof **o->words))) return DN_E_MEMORY;
        for (int32_t k = 0; k < c->n_words; k++) {
            size_t size = strlen(word);
            o->words[i][k] = (frame_word){word, size, out_quoted(o, word, size)};
            word += size + 1;
        }
    }
    return DN_OK;
}

static dn_status out_rows(frame_out *o, dn_writer *w, int header) {
    dn_pool *pool = NULL;
    dn_status status = header ? out_header(o, w) : DN_OK;
    if (status == DN_OK && o->frame->rows > BLOCK) status = dn_pool_create(&pool, 0);
    for (; status == DN_OK && o->first < o->frame->rows; o->first += BLOCK * BLOCKS) {
        size_t left = (o->frame->rows - o->first + BLOCK - 1) / BLOCK, n = left < BLOCKS ? left : BLOCKS;
        dn_pool_run(pool, n, out_block, o);
        for (size_t i = 0; i < n && status == DN_OK; i++) {
            if (o->status[i] != DN_OK) {
                out_block(o, i); /* again in this thread, for the message */
                status = o->status[i];
            } else if ((status = dn_watched()) == DN_OK) {
                status = dn_writer_write(w, o->blocks[i].bytes, o->blocks[i].size);
            }
        }
    }
    dn_pool_destroy(pool);
    return status;
}

static dn_status out_frame(dn_writer *w, const dn_frame *frame, int header) {
    frame_out o = {.frame = frame, .separator = frame->separator};
    if (o.separator != ';' && o.separator != '\t') o.separator = ','; /* blanks cannot show a missing cell */
    dn_status status = out_words(&o);
    if (status == DN_OK) status = out_rows(&o, w, header);
    for (int i = 0; o.words && i < frame->n; i++) dn_free(o.words[i]);
    dn_free(o.words);
    for (int i = 0; i < BLOCKS; i++) dn_text_free(&o.blocks[i]);
    return status;
}

dn_status dn_frame_save(const char *path, const dn_frame *frame) {
    dn_writer *w;
    DN_CHECK(frame->n > 0, DN_E_USAGE, "a table without columns cannot be written");
    DN_TRY(dn_writer_open(&w, path));
    return dn_writer_finish(w, out_frame(w, frame, 1));
}

dn_status dn_csv_writer_frame(dn_csv_writer *w, const dn_frame *piece) {
    DN_CHECK(piece->n > 0, DN_E_USAGE, "a table without columns cannot be written");
    DN_TRY(out_frame(w->to, piece, !w->has_header));
    w->has_header = 1;
    return dn_writer_pass_on(w->to);
}

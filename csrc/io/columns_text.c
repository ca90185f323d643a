/* The schema as a table that fits a terminal, and single values as text. */
#include "base/number.h"
#include "base/sys.h"
#include "io/columns.h"
#include "io/frame.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 78, NAME_LEAST = 6, NAME_MOST = 21, VALUES = 320 };

/* ---- values ---- */

size_t dn_columns_number_text(double value, int decimals, char text[COLUMNS_NUMBER]) {
    double back;
    if (decimals < 0 || decimals > 17 || fabs(value) > 1e17) return dn_number_write(value, text);
    int n = snprintf(text, COLUMNS_NUMBER, "%.*f", decimals, value);
    for (int i = 0; i < n; i++)
        if (text[i] == ',') text[i] = '.'; /* in any locale */
    dn_number_read(text, &back);
    return back == value ? (size_t)n : dn_number_write(value, text);
}

/* As the table has it: all numbers with the column's decimals, or each with its own, but at least one where all have
 * some. */
size_t dn_columns_own_text(const columns_column *c, double value, char text[COLUMNS_NUMBER]) {
    if (c->decimals >= 0 && (c->form & 4 || !c->decimals)) return dn_columns_number_text(value, c->decimals, text);
    size_t n = dn_number_write(value, text);
    return c->form & 16 && value == floor(value) && !strpbrk(text, ".e") ? dn_columns_number_text(value, 1, text) : n;
}

size_t dn_columns_time_text(double seconds, int form, char text[COLUMNS_NUMBER]) {
    struct tm t;
    time_t whole = fabs(seconds) < 1e14 ? (time_t)floor(seconds) : 0;
    if (!(fabs(seconds) < 1e14) || !gmtime_r(&whole, &t)) return dn_number_write(seconds, text);
    int n = snprintf(text, COLUMNS_NUMBER, "%04d-%02d-%02d", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday);
    if (form & 3)
        n += snprintf(text + n, (size_t)(COLUMNS_NUMBER - n), "%c%02d:%02d", form & 1 ? 'T' : ' ', t.tm_hour, t.tm_min);
    if (form & 4) n += snprintf(text + n, (size_t)(COLUMNS_NUMBER - n), ":%02d", t.tm_sec);
    return (size_t)n;
}

int dn_columns_read(const char *text, int type, double *value) {
    frame_facts facts = {0};
    if (type == DN_FRAME_TIME) return dn_frame_time(text, strlen(text), value, &facts);
    const char *end = strlen(text) < 64 ? dn_number_parse(text, value) : NULL;
    if (!end || *end) return 0;
    dn_number_read(text, value);
    return isfinite(*value);
}

/* ---- width on a terminal ---- */

/* Of the characters of East Asia and of pictures two columns each (the wide ones of Unicode's annex 11, roughly). */
static int character_width(const unsigned char *p) {
    if (*p < 0xe1) return 1;
    unsigned long c = *p < 0xf0 ? (*p & 15ul) << 12 | (p[1] & 63ul) << 6 | (p[2] & 63ul)
                                : (*p & 7ul) << 18 | (p[1] & 63ul) << 12 | (p[2] & 63ul) << 6 | (p[3] & 63ul);
    return (c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0) || (c >= 0xac00 && c < 0xd7a4) ||
                   (c >= 0xf900 && c < 0xfb00) || (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61) ||
                   (c >= 0x1f300 && c < 0x1fb00) || (c >= 0x20000 && c < 0x40000)
               ? 2
               : 1;
}

static size_t character_size(const unsigned char *p) {
    size_t n = *p < 0xc0 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return i; /* not UTF-8 */
    return n;
}

static int text_width(const char *text) {
    int width = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p += character_size(p)) width += character_width(p);
    return width;
}

/* Foreign text, printable and at most `width` columns wide, the end of a longer one as dots. */
static const char *fitted(const char *text, int width, char to[VALUES]) {
    char shown[VALUES];
    dn_printable(text, shown, sizeof shown);
    int whole = text_width(shown) <= width, left = whole ? width : width - 3;
    size_t n = 0, size;
    for (const char *p = shown; *p; p += size, n += size) {
        int w = character_width((const unsigned char *)p);
        size = character_size((const unsigned char *)p);
        if (w > left || n + size + 4 > VALUES) break;
        memcpy(to + n, p, size);
        left -= w;
    }
    memcpy(to + n, whole ? "" : "...", whole ? 1 : 4);
    return to;
}

static void add_padded(dn_text *to, const char *text, int width) {
    dn_text_format(to, "%s%*s", text, width - text_width(text) > 0 ? width - text_width(text) : 0, "");
}

/* ---- what a column holds ---- */

static void value_text(const columns_column *c, double value, char text[COLUMNS_NUMBER]) {
    if (c->type == DN_FRAME_TIME)
        dn_columns_time_text(value, c->form, text);
    else if (c->decimals < 0 || c->decimals > 4 || fabs(value) >= 1e9)
        snprintf(text, COLUMNS_NUMBER, "%.6g", value);
    else
        dn_columns_number_text(value, c->decimals, text);
}

/* "17 to 90, median 37" */
static void range_text(const columns_column *c, int width, char to[VALUES]) {
    char low[COLUMNS_NUMBER], high[COLUMNS_NUMBER], median[COLUMNS_NUMBER];
    value_text(c, c->low, low);
    value_text(c, c->high, high);
    int n = snprintf(to, VALUES, "%.40s to %.40s", low, high);
    if (c->type == DN_FRAME_TIME) return;
    value_text(c, c->median, median);
    if (n + 9 + (int)strlen(median) <= width) snprintf(to + n, (size_t)(VALUES - n), ", median %.40s", median);
}

typedef struct counted {
    uint64_t count;
    int index;
} counted;

static int more_first(const void *a, const void *b) {
    const counted *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* "Yes 1869, No 5174", as many as fit, of a category the most frequent first. */
static void words_text(const dn_schema *s, int index, int width, char to[VALUES]) {
    const columns_column *c = &s->columns[index];
    int n = c->words.n + (c->rare.n > 0), used = 0;
    counted *by = dn_alloc((size_t)n, sizeof *by);
    *to = 0;
    for (int i = 0; i < n && by; i++) by[i] = (counted){dn_schema_count(s, index, i), i};
    if (by && n > 2) qsort(by, (size_t)n, sizeof *by, more_first);
    for (int i = 0; i < n && by; i++) {
        char entry[VALUES], word[VALUES];
        int more = i < n - 1 ? 5 : 0, room = width - used - more - (i ? 2 : 0); /* ", ..." */
        const char *text = dn_schema_word(s, index, by[i].index);
        int digits = snprintf(NULL, 0, "%llu", (unsigned long long)by[i].count) + 1;
        if (text_width(text) + digits > room && i) {
            memcpy(to + strlen(to), ", ...", 6);
            break;
        }
        snprintf(entry, sizeof entry, "%s%s %llu", i ? ", " : "",
                 fitted(text, room - digits > 4 ? room - digits : 4, word), (unsigned long long)by[i].count);
        if (strlen(to) + strlen(entry) + 8 > VALUES) break;
        memcpy(to + strlen(to), entry, strlen(entry) + 1);
        used += text_width(entry);
    }
    dn_free(by);
}

static void constant_text(const columns_column *c, int width, char to[VALUES]) {
    char value[COLUMNS_NUMBER], word[VALUES];
    int none = c->type == DN_FRAME_TEXT ? !c->words.n : isnan(c->low);
    if (none) {
        snprintf(to, VALUES, "all missing");
    } else if (c->type == DN_FRAME_TEXT) {
        snprintf(to, VALUES, "always %s", fitted(c->words.at[0], width - 7, word));
    } else {
        value_text(c, c->low, value);
        snprintf(to, VALUES, "always %.60s", value);
    }
}

static void values_text(const dn_schema *s, int index, int width, char to[VALUES]) {
    const columns_column *c = &s->columns[index];
    if (c->kind == DN_COLUMN_CONSTANT)
        constant_text(c, width, to);
    else if (c->kind == DN_COLUMN_DROPPED)
        snprintf(to, VALUES, "left out as asked");
    else if (c->kind == DN_COLUMN_IDENTIFIER)
        snprintf(to, VALUES, "left out, %llu different", (unsigned long long)c->distinct);
    else if (c->words.n)
        words_text(s, index, width, to);
    else if (isnan(c->low))
        snprintf(to, VALUES, "all missing");
    else
        range_text(c, width, to);
}

static void coding_text(const dn_schema *s, const columns_column *c, char to[32]) {
    if (c->kind == DN_COLUMN_NUMBER || c->kind == DN_COLUMN_TIME)
        snprintf(to, 32, "%s", dn_columns_codings[s->coding]);
    else if (c->kind == DN_COLUMN_YES_NO)
        snprintf(to, 32, "0, 1");
    else if (c->kind == DN_COLUMN_CATEGORY)
        snprintf(to, 32, "%d codes", columns_classes(c));
    else
        snprintf(to, 32, "-");
}

/* ---- the table ---- */

static void add_row(dn_text *to, int name_width, const char *name, const char *kind, const char *missing,
                    const char *coding, const char *values) {
    char shown[VALUES];
    add_padded(to, fitted(name, name_width, shown), name_width);
    dn_text_format(to, "  %-10s %7s  %-9s  %s\n", kind, missing, coding, values);
}

static void column_line(dn_text *to, const dn_schema *s, int index, int name_width) {
    const columns_column *c = &s->columns[index];
    char values[VALUES], shown[VALUES], coding[32], missing[24];
    int width = WIDTH - name_width - 33;
    values_text(s, index, width, values);
    coding_text(s, c, coding);
    snprintf(missing, sizeof missing, "%llu", (unsigned long long)c->missing);
    add_row(to, name_width, c->name, c->condition ? "condition" : dn_columns_kinds[c->kind], missing, coding,
            fitted(values, width, shown));
}

static void write_table(dn_text *to, const dn_schema *s) {
    int width = NAME_LEAST;
    for (int i = 0; i < s->n; i++) {
        char shown[VALUES];
        int own = text_width(fitted(s->columns[i].name, NAME_MOST, shown));
        if (own > width) width = own;
    }
    dn_text_format(to, "%llu row%s, %d column%s, %d of them coded\n", (unsigned long long)s->rows,
                   s->rows == 1 ? "" : "s", s->n, s->n == 1 ? "" : "s", s->n_coded);
    add_row(to, width, "column", "kind", "missing", "coding", "values");
    for (int i = 0; i < s->n; i++) column_line(to, s, i, width);
}

size_t dn_schema_text(const dn_schema *s, char *text, size_t size) {
    dn_text all = {0};
    write_table(&all, s);
    int n = snprintf(text, size, "%s", all.status == DN_OK ? all.bytes : "");
    dn_text_free(&all);
    return n < 0 ? 0 : (size_t)n;
}

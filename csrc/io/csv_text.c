/* The text of a table, window by window. A quote opens a cell only at the cell's beginning; line ends in quotes belong
 * to the cell, so windows and their parts end at other line ends. */
#include "io/csv.h"
#include "io/safetensors.h"
#include <stdio.h>

enum { WINDOW = 1 << 21, WAIT_MS = 50 };

/* ---- quotes and line ends ---- */

long dn_csv_lines(const char *p, const char *end) {
    long lines = 0;
    while ((p = csv_line_end(p, end)) < end) p = csv_over_line_end(p, end), lines++;
    return lines;
}

/* Does the quote at p open a cell? `from` is the beginning of a row, at or before p. */
static int csv_opens(const char *p, const char *from, char separator) {
    if (separator == ' ') return p == from || csv_blank(p[-1]) || csv_newline(p[-1]);
    while (p > from && csv_blank(p[-1]) && p[-1] != separator) p--;
    return p == from || p[-1] == separator || csv_newline(p[-1]);
}

/* The next quote at or after p that opens a cell; NULL: there is none before the end. */
static const char *csv_opening_quote(const char *p, const char *from, const char *end, char separator) {
    if (end - p >= 2 && p[1] == '"' && (*p == separator || csv_newline(*p)))
        return p + 1; /* the next cell is quoted too */
    for (; p < end && (p = memchr(p, '"', (size_t)(end - p))); p++)
        if (csv_opens(p, from, separator)) return p;
    return NULL;
}

const char *dn_csv_closing_quote(const char *p, const char *end) {
    enum { SHORT = 16 }; /* most texts are shorter than looking for memchr is worth */
    for (const char *near = end - p > SHORT ? p + SHORT : end; p < near && *p != '"';) p++;
    while (p < end && (p = memchr(p, '"', (size_t)(end - p)))) {
        if (p + 1 == end || p[1] != '"') return p;
        p += 2;
    }
    return NULL;
}

const char *dn_csv_row_end(const csv_reader *r, const char *p, const char *end) {
    const char *row = p, *line = csv_line_end(p, end);
    if (!r->quotes) return line;
    while ((p = csv_opening_quote(p, row, line, r->separator))) {
        if (!(p = dn_csv_closing_quote(p + 1, end))) return end;
        if (++p > line) line = csv_line_end(p, end);
    }
    return line;
}

/* The position after the last line end of a text that goes on; NULL: there is none. A carriage return at the very end
 * may be half of a line end. */
static const char *csv_last_line_end(const char *from, const char *end, int whole) {
    end -= !whole && end > from && end[-1] == '\r';
    while (end > from && !csv_newline(end[-1])) end--;
    return end > from ? end : NULL;
}

/* The position after the last line end of the window, if quotes before it are closed before it; NULL: look closer. */
static const char *csv_last_outside_quotes(const csv_reader *r) {
    const char *p = r->p, *last = csv_last_line_end(p, r->end, 0);
    if (!last || r->at_end) return NULL;
    for (const char *open; (open = csv_opening_quote(p, r->p, last, r->separator));) {
        const char *close = dn_csv_closing_quote(open + 1, last);
        if (!close || close + 1 == last || close - open > CSV_MAX_QUOTED) return NULL;
        p = close + 1;
    }
    return last;
}

/* Find the rows that end in this window. Quotes that do not close, or not soon enough, become an error of their row:
 * the rest of the window becomes the table's last row. */
void dn_csv_mark(csv_reader *r) {
    const char *p = r->p, *found;
    r->quotes = r->separator && r->end > p && memchr(p, '"', (size_t)(r->end - p));
    if (!r->at_end) r->whole = p;
    if (r->quotes && (found = csv_last_outside_quotes(r))) {
        r->whole = found;
        return;
    }
    while (r->quotes) {
        const char *open = csv_opening_quote(p, r->p, r->end, r->separator);
        if (!open) break;
        if ((found = csv_last_line_end(p, open, 1)) && !r->at_end) r->whole = found;
        p = dn_csv_closing_quote(open + 1, r->end);
        if (p && p - open > CSV_MAX_QUOTED) p = NULL;
        if (!p || (p + 1 == r->end && !r->at_end)) { /* a quote at the end may be the first of two */
            if (r->end - open > CSV_MAX_QUOTED) r->at_end = 1;
            if (r->at_end) r->whole = r->end;
            return;
        }
        p++;
    }
    if (r->at_end)
        r->whole = r->end;
    else if ((found = csv_last_line_end(p, r->end, 0)))
        r->whole = found;
}

const char *dn_csv_cut(const csv_reader *r, const char **quotes, const char *target) {
    const char *p = *quotes;
    while (target < r->whole) {
        const char *open = r->quotes ? csv_opening_quote(p, r->p, r->whole, r->separator) : NULL,
                   *cut = csv_line_end(target, r->whole);
        if (!open || cut < open) {
            *quotes = p = csv_over_line_end(cut, r->whole);
            return p;
        }
        const char *close = dn_csv_closing_quote(open + 1, r->whole);
        if (!close) break;
        *quotes = p = close + 1;
        if (target < p) target = p;
    }
    return r->whole;
}

/* ---- windows ---- */

dn_status dn_csv_read_prepare(csv_reader *r) {
    const char *rest = r->p > r->whole ? r->p : r->whole;
    size_t room;
    r->left = (size_t)(r->end - rest);
    size_t size = r->size ? r->size : WINDOW;
    r->wanted = r->left > size ? r->left : size; /* for rows longer than windows */
    r->got = 0, r->reached_end = 0;
    DN_CHECK(!__builtin_add_overflow(r->left, r->wanted + DN_NUMBER_PADDING, &room), DN_E_MEMORY,
             "%s:%ld: the row is longer than memory", r->path, r->line);
    if (room > r->next.room) {
        dn_free(r->next.text);
        r->next.room = room;
        if (!(r->next.text = dn_realloc(NULL, r->next.room, 1))) {
            r->next.room = 0;
            return dn_fail_prefix(DN_E_MEMORY, "%s:%ld: for the rows from here on: ", r->path, r->line);
        }
    }
    if (r->left) memcpy(r->next.text, rest, r->left);
    return DN_OK;
}

/* A pipe gives what it has. While we wait for more, the watch is asked. */
static dn_status csv_read_some(csv_reader *r, int patient) {
    double end = dn_now() + 0.001 * WAIT_MS;
    while (r->got < r->wanted && !r->reached_end) {
        size_t got = 0;
        if (patient) DN_TRY(dn_watched());
        char *to = r->next.text + r->left + r->got;
        if (r->source)
            DN_TRY(r->source->some(r->source, r->path, to, r->wanted - r->got, WAIT_MS, &got, &r->reached_end));
        else
            DN_TRY(dn_reader_some(r->fd, r->path, to, r->wanted - r->got, WAIT_MS, &got, &r->reached_end));
        r->got += got;
        if (!patient && (!got || dn_now() > end)) break;
    }
    return DN_OK;
}

void dn_csv_read(csv_reader *r, int patient) {
    r->reading = csv_read_some(r, patient);
    if (r->reading != DN_OK) snprintf(r->failure, sizeof r->failure, "%s", dn_error());
}

dn_status dn_csv_read_finish(csv_reader *r) {
    if (r->reading == DN_OK) dn_csv_read(r, 1);
    if (r->reading != DN_OK) return dn_fail(r->reading, "%s", r->failure);
    struct csv_window last = r->window;
    r->window = r->next, r->next = last;
    char *text = r->window.text;
    if (!r->started) DN_TRY(dn_csv_content(r->path, text, r->left + r->got));
    r->started = 1;
    DN_CHECK(!memchr(text + r->left, 0, r->got), DN_E_FORMAT, "%s:%ld: a zero byte here or later: this is not text",
             r->path, r->line);
    r->at_end = r->reached_end;
    r->p = text, r->end = text + r->left + r->got;
    memset(text + r->left + r->got, 0, DN_NUMBER_PADDING); /* stops the number parser */
    dn_csv_mark(r);
    return DN_OK;
}

dn_status dn_csv_fill(csv_reader *r) {
    while (r->p >= r->whole && !r->at_end) {
        DN_TRY(dn_csv_read_prepare(r));
        dn_csv_read(r, 1);
        DN_TRY(dn_csv_read_finish(r));
    }
    return DN_OK;
}

dn_status dn_csv_more(csv_reader *r) {
    r->whole = r->p;
    DN_TRY(dn_csv_read_prepare(r));
    dn_csv_read(r, 1);
    return dn_csv_read_finish(r);
}

/* ---- what is not a table ---- */

typedef struct csv_magic {
    const char *bytes;
    size_t at, size;
    const char *what;
} csv_magic;

#define UNPACK(name, program) "is " name "-compressed: " program " it, or pipe the unpacked text into a file name of -"
#define EXPORT(name) "is " name ": save or export the table as CSV"
static const csv_magic MAGIC[] = {
    {"\x1f\x8b", 0, 2, UNPACK("gzip", "gunzip")},
    {"1AY&SY", 4, 6, UNPACK("bzip2", "bunzip2")},
    {"\xfd"
     "7zXZ",
     0, 5, UNPACK("xz", "unxz")},
    {"\x28\xb5\x2f\xfd", 0, 4, UNPACK("zstd", "unzstd")},
    {"7z\xbc\xaf\x27\x1c", 0, 6, "is a 7z archive: unpack it first"},
    {"PAR1\x15", 0, 5, EXPORT("a Parquet file")},
    {"ARROW1\0", 0, 7, EXPORT("an Arrow (Feather) file")},
    {"\xd0\xcf\x11\xe0", 0, 4, EXPORT("an old Excel workbook (xls)")},
    {"\x89HDF", 0, 4, EXPORT("an HDF5 file")},
    {"\x93NUMPY", 0, 6, "is a NumPy array, which is read from a file, not from a pipe: give its path"},
    {"SQLite format 3", 0, 15, EXPORT("an SQLite database")},
    {"%PDF-", 0, 5, EXPORT("a PDF document")},
    {"<!DOCTYPE", 0, 9, "is an HTML or XML page and not a table"},
    {"<!doctype", 0, 9, "is an HTML page and not a table"},
    {"<html", 0, 5, "is an HTML page and not a table"},
    {"<?xml", 0, 5, "is XML and not a table"}};

static int csv_holds(const char *text, size_t size, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= size; i++)
        if (!memcmp(text + i, part, n)) return 1;
    return 0;
}

static const char *csv_zip(const char *text, size_t size) {
    if (size > 1 << 16) size = 1 << 16;
    if (csv_holds(text, size, "xl/") || csv_holds(text, size, "[Content_Types].xml"))
        return EXPORT("an Excel workbook (xlsx)");
    if (csv_holds(text, size, "application/vnd.oasis.opendocument")) return EXPORT("an OpenDocument spreadsheet");
    if (csv_holds(text, size, ".npy")) return "is a NumPy archive (npz): use its arrays in Python, or save_csv";
    return "is a zip archive: unzip it";
}

/* Is it text in one of Unicode's wider encodings? Tells by where the zeros are in pairs and fours of bytes. */
static const char *csv_wide(const char *text, size_t size) {
    size_t zeros[4] = {0}, n = size < 512 ? size / 4 * 4 : 512;
    if (size >= 4 && (!memcmp(text, "\xff\xfe\0", 4) || !memcmp(text, "\0\0\xfe\xff", 4))) return "UTF-32";
    if (size >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2))) return "UTF-16";
    for (size_t i = 0; i < n; i++) zeros[i % 4] += !text[i];
    size_t even = zeros[0] + zeros[2], odd = zeros[1] + zeros[3];
    if (n && ((zeros[2] == n / 4 && zeros[3] == n / 4) || (zeros[0] == n / 4 && zeros[1] == n / 4))) return "UTF-32";
    size_t least = n < 16 ? n / 2 : n / 16 > 4 ? n / 16 : 4;
    return least && ((!even && odd >= least) || (!odd && even >= least)) ? "UTF-16" : NULL;
}

dn_status dn_csv_content(const char *path, const char *text, size_t size) {
    const char *wide = csv_wide(text, size);
    DN_CHECK(!dn_st_looks_like_one(text, size), DN_E_FORMAT,
             "%s: is a model file: it stands in place of a cfg or weights, by its path, not through a pipe", path);
    DN_CHECK(!wide, DN_E_FORMAT, "%s: is %s text: save it as UTF-8 (iconv -f %s -t UTF-8)", path, wide, wide);
    if (size >= 4 && (!memcmp(text, "PK\3\4", 4) || !memcmp(text, "PK\5\6", 4)))
        return dn_fail(DN_E_FORMAT, "%s: %s", path, csv_zip(text, size));
    for (size_t i = 0; i < sizeof MAGIC / sizeof *MAGIC; i++) {
        const csv_magic *m = &MAGIC[i];
        if (m->at + m->size <= size && !memcmp(text + m->at, m->bytes, m->size))
            return dn_fail(DN_E_FORMAT, "%s: %s", path, m->what);
    }
    return DN_OK;
}

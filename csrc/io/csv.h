/* How a table is read: text in windows (csv_text.c), cells (csv_cell.c), what the first rows reveal (csv_look.c) and
 * what the columns are (csv_columns.c), all rows (csv.c) or those of a piece (csv_stream.c). Messages are in
 * csv_message.c, writing is in csv_write.c. */
#ifndef DN_CSV_H
#define DN_CSV_H
#include "base/number.h"
#include "base/pool.h"
#include "base/sys.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    CSV_MAX_COLUMNS = 1 << 24,
    CSV_MAX_QUOTED = 1 << 24, /* bytes in one pair of quotes: unclosed quotes must not pull a whole file into memory */
    CSV_CHUNK = 1 << 17
};

/* ---- text ---- */

/* Where text comes from that has to be converted first. */
typedef struct csv_source {
    dn_status (*some)(struct csv_source *source, const char *path, void *to, size_t room, int ms, size_t *got,
                      int *end); /* as dn_reader_some */
} csv_source;

/* A window on the file that always holds the whole current row, so that a table costs no second copy of its text. The
 * next window is read while the rows of this one are converted to numbers. */
typedef struct csv_reader {
    const char *path; /* as used in messages */
    const char *p, *end;
    const char *whole; /* rows that begin before it are complete */
    char separator;    /* ' ' stands for runs of blanks and tabs; 0: not known yet, and quotes are not looked for */
    int quotes;        /* this window contains some */
    int columns;       /* of the table, label and targets included; 0: not known yet */
    long line;         /* of p */
    int fd, at_end, started;
    size_t size;               /* of a window in bytes; 0: as usual */
    struct csv_source *source; /* what is read instead of fd, or NULL */
    struct csv_window {
        char *text;
        size_t room;
    } window, next;
    size_t left, wanted, got; /* bytes in `next`: taken over from the window, requested, read */
    int reached_end;
    dn_status reading;
    char failure[512];
} csv_reader;

static inline int csv_blank(char c) { return c == ' ' || c == '\t'; }
static inline int csv_newline(char c) { return c == '\n' || c == '\r'; }

static inline const char *csv_line_end(const char *p, const char *end) {
#ifdef __SSE2__
    const __m128i n = _mm_set1_epi8('\n'), r = _mm_set1_epi8('\r');
    for (; end - p >= 16; p += 16) {
        __m128i w = _mm_loadu_si128((const __m128i *)p);
        int found = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(w, n), _mm_cmpeq_epi8(w, r)));
        if (found) return p + __builtin_ctz((unsigned)found);
    }
#endif
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    for (; end - p >= 8; p += 8) {
        uint64_t w;
        memcpy(&w, p, sizeof w);
        uint64_t a = w ^ ones * '\n', b = w ^ ones * '\r';
        if ((((a - ones) & ~a) | ((b - ones) & ~b)) & high) break; /* one of the bytes is 0 in a or b */
    }
    while (p < end && !csv_newline(*p)) p++;
    return p;
}

static inline const char *csv_over_line_end(const char *p, const char *end) {
    return p + (p < end ? 1 + (*p == '\r' && p + 1 < end && p[1] == '\n') : 0);
}

/* The number of line ends in a text. */
long dn_csv_lines(const char *p, const char *end);
/* The end of the row that begins at p: a line end outside quotes. */
const char *dn_csv_row_end(const csv_reader *reader, const char *p, const char *end);
/* The closing quote; p is after the opening one; NULL: there is none. */
const char *dn_csv_closing_quote(const char *p, const char *end);

/* Move the window so that it holds the whole row at p. */
dn_status dn_csv_fill(csv_reader *reader);
/* Keep the text from p on and read as much again. */
dn_status dn_csv_more(csv_reader *reader);
/* Once the separator is known: find the end of the complete rows again. */
void dn_csv_mark(csv_reader *reader);
/* The parts of dn_csv_fill: make room for the next window, which begins with the rest of this one; read, on any thread
 * (`patient` is 0 there: a pipe that has nothing to give yet is left for later); make it the window. */
dn_status dn_csv_read_prepare(csv_reader *reader);
void dn_csv_read(csv_reader *reader, int patient);
dn_status dn_csv_read_finish(csv_reader *reader);
/* The end of the row that contains `target`, where a window may be cut. *quotes is a position before it and outside
 * quotes, initially the reader's p; it advances. */
const char *dn_csv_cut(const csv_reader *reader, const char **quotes, const char *target);
/* Do the first bytes show that the file is not a table? An error that says what it is instead, or DN_OK. */
dn_status dn_csv_content(const char *path, const char *text, size_t size);

/* ---- cells ---- */

typedef struct csv_cell {
    const char *text; /* without outer blanks; if quoted, everything between the quotes, "" not yet replaced by " */
    size_t size;
    int quoted, unclosed;
    const char *behind; /* a stray character between the closing quote and the separator, or NULL */
} csv_cell;

/* The next cell; *last is set if it ends the row. Advances the reader's line over line ends in quotes. */
void dn_csv_cell(csv_reader *reader, csv_cell *cell, int *last);
/* Fails for quotes that are not closed or not followed by a separator. `line` is where the cell begins. */
dn_status dn_csv_cell_check(const csv_reader *reader, const csv_cell *cell, long line, int column);
int dn_csv_number(const csv_cell *cell, double *value);
/* Copy the cell's text to `to`, which has room for cell->size bytes; returns its length. */
size_t dn_csv_copy(const csv_cell *cell, char *to);
int dn_csv_cell_is(const csv_cell *cell, const char *name, size_t size);

/* Kinds of row. */
enum { CSV_NOTHING, CSV_COMMENT, CSV_ROW };
/* For a row that begins with #: a comment, unless it has the table's number of cells. */
int dn_csv_hash(const csv_reader *reader, const char *p, const char *end);
static inline int csv_kind(const csv_reader *r, const char *p, const char *end) {
    while (p < end && csv_blank(*p) && r->separator != '\t') p++;
    if (p == end || csv_newline(*p)) return CSV_NOTHING;
    return *p != '#' ? CSV_ROW : dn_csv_hash(r, p, end);
}
/* The number of cells in the row at p, counted up to CSV_MAX_COLUMNS + 1; *empty: the last one is empty, as after a
 * trailing separator. */
int dn_csv_width(const csv_reader *reader, const char *p, const char *end, int *empty);

/* What a cell that should be a number looks like. */
enum { CSV_EMPTY, CSV_NUMBER, CSV_MISSING, CSV_DECIMAL_COMMA, CSV_ODD, CSV_WORD };
int dn_csv_looks(const csv_cell *cell);
/* Is it empty, or a word for a missing value (not infinity)? */
int dn_csv_is_missing(const csv_cell *cell);

/* ---- what the first rows reveal ---- */

/* The role of a column: the index of a target (from 0 on), or one of these. */
enum { CSV_FEATURE = -1, CSV_LABEL = -2 };
typedef struct csv_plan {
    int columns;
    long first_line;  /* of the first row, which may be the header */
    int words;        /* it has cells that look like names ... */
    int over_numbers; /* ... above numbers */
    int *roles;       /* (columns) */
    int *runs;        /* (columns): how many features in a row, from here on, have another cell after them */
    /* For typed tables: is the first row a header? 1 yes, 0 no, -1: as for numbers. *why for a warning, or NULL. NULL:
     * a table of numbers. */
    int (*typed)(const csv_reader *reader, const struct csv_plan *plan, const char **why);
    char *names;    /* (columns) zero-terminated texts one after another, or NULL: no header */
    size_t *places; /* (columns): offset of each in `names` */
    char *targets;  /* requested ones, zero-terminated texts one after another */
    int n_targets;
    int weighted;     /* weights of rows are read as one more target, the last one, until all rows are there */
    int missing;      /* a missing target is NaN */
    double scale;     /* of the features */
    int plain;        /* integers of up to seven digits stay finite when divided by it */
    float digits[10]; /* 0 to 9 divided by it */
} csv_plan;

/* Detect separator, width, header and the columns' roles; leaves the reader at the first row. */
dn_status dn_csv_look(csv_reader *reader, const dn_csv_options *options, csv_plan *plan, dn_table *table);
void dn_csv_plan_free(csv_plan *plan);

/* ---- columns ---- */

/* The column that a name denotes as an index, counted from the end when negative; -1: none. */
int dn_csv_index(const char *name, size_t size, int columns);
/* Parse the list of targets, which is a row of cells, into plan->targets. */
dn_status dn_csv_target_list(const char *list, csv_plan *plan);
/* The header's names; leaves the reader after it. `unnamed_first`: the first column has no name. */
dn_status dn_csv_names(csv_reader *reader, csv_plan *plan, int unnamed_first);
/* The index that pandas and R write: a first column without a name that numbers the rows. r is at the first row. */
int dn_csv_counts_rows(const csv_reader *r, const csv_plan *plan);
/* What each column is: sets plan->roles and plan->runs. */
dn_status dn_csv_roles(const csv_reader *reader, const dn_csv_options *options, csv_plan *plan, dn_table *table);
/* Once all rows are there: weights, which were read as a target, to table->weights. */
dn_status dn_csv_part_weights(const csv_plan *plan, dn_table *table);
/* The features' names, for the table. */
dn_status dn_csv_table_header(const csv_plan *plan, dn_table *table);

/* ---- chunks: the whole rows of a window, in parts for threads ---- */

typedef struct csv_chunk {
    const char *p, *end;
    size_t rows, first; /* number of rows; the number of the first one in the table */
    int cut;            /* there are more rows, beyond those asked for */
    long lines, line;
} csv_chunk;

typedef struct csv_chunks {
    csv_reader *reader;
    dn_pool *pool;
    csv_chunk *chunks;
    size_t n, room;     /* chunks of this window; allocated */
    size_t rows, limit; /* rows of the table before this window; the most that are wanted */
    int alone;          /* the next window is read once it is asked for, and not before */
    int ahead;          /* the next window is being read meanwhile */
    dn_chunk_fn work;
    void *context;
} csv_chunks;

/* For every window: cut it (*rows: how many it has), then run `work` for each chunk, while the next window is being
 * read, then make that the window. */
dn_status dn_csv_chunks_cut(csv_chunks *chunks, size_t *rows);
dn_status dn_csv_chunks_run(csv_chunks *chunks, size_t rows, dn_chunk_fn work, void *context);
dn_status dn_csv_chunks_end(csv_chunks *chunks, size_t rows);
/* Make the window hold so many rows at least, if the table has them. */
dn_status dn_csv_chunks_fill(csv_chunks *chunks, size_t least);
/* A reader of a chunk's rows alone: that of the windows reads the next one meanwhile. */
csv_reader dn_csv_chunk_reader(const csv_chunks *chunks, const csv_chunk *chunk);
/* How many rows to make room for when `rows` of this window are at hand and the rest of the file has lines like them.
 */
size_t dn_csv_chunks_guess(const csv_chunks *chunks, size_t rows);
void dn_csv_chunks_free(csv_chunks *chunks);

/* ---- all rows: csv.c ---- */

/* What comes from a chunk besides its values. */
typedef struct csv_part {
    char *labels; /* zero-terminated, one after another */
    size_t labels_size, labels_room, comments;
    long line, comment_line; /* of the bad row; of the first comment */
    const char *bad;         /* the first bad row */
} csv_part;

/* A table that is being read, all at once or in pieces. It does not move once begun. */
typedef struct csv_load {
    csv_reader reader;
    csv_plan plan;
    csv_chunks chunks;
    dn_table *table;
    size_t room, labels_room; /* rows; bytes */
    csv_part *parts;          /* of the chunks */
    size_t n_parts, comments;
    long comment_line; /* of the first comment */
} csv_load;

dn_status dn_csv_options_check(const dn_csv_options *options);
/* The reader's path, descriptor and size of windows are set: what the first rows reveal, into `table`. */
dn_status dn_csv_load_begin(csv_load *load, const dn_csv_options *options, dn_table *table);
/* The whole rows of the window, added to load->table. */
dn_status dn_csv_load_window(csv_load *load);
void dn_csv_load_free(csv_load *load);

/* ---- messages ---- */

/* Add a line to table->warnings. */
dn_status dn_csv_warn(dn_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
dn_status dn_csv_warn_comments(const csv_reader *reader, dn_table *table, size_t comments, long first);
/* The error of a cell that is not a finite number, with its probable cause. */
dn_status dn_csv_bad_cell(const csv_reader *reader, const csv_plan *plan, const char *row, const csv_cell *cell,
                          long line, int column);
/* Are the quotes of a row closed, and is its width right? */
dn_status dn_csv_row_check(const csv_reader *reader, const csv_plan *plan, const char *row, long line);
dn_status dn_csv_bad_width(const csv_reader *reader, const csv_plan *plan, long line, int width);
dn_status dn_csv_no_column(const csv_reader *reader, const csv_plan *plan, const char *what, const char *name,
                           size_t size);

/* ---- writing ---- */

/* Does a text need quotes to be read back as one cell? */
int dn_csv_needs_quotes(const char *text, size_t size);
/* ---- writing in pieces ---- */

struct dn_csv_writer {
    dn_writer *to;
    int has_header; /* of a table with names */
};

#endif

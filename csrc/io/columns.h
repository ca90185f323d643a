/* The schema of a table: what its columns are, and how they become numbers and come back. learning is in
 * columns_learn.c, numbers in columns_numbers.c, words in columns_words.c; columns_code.c and columns_decode.c use it;
 * columns_json.c and columns_text.c write it. */
#ifndef DN_IO_COLUMNS_H
#define DN_IO_COLUMNS_H
#include "io/json.h"

enum {
    COLUMNS_KNOTS = 1000,
    COLUMNS_RARE = 10000,
    COLUMNS_CATEGORIES = 100,
    COLUMNS_CUT = 10,
    COLUMNS_MOST_CODES = 1 << 20
};

typedef enum columns_coding { COLUMNS_QUANTILES, COLUMNS_ROBUST, COLUMNS_STANDARD, COLUMNS_CODINGS } columns_coding;
extern const char *const dn_columns_codings[COLUMNS_CODINGS];
enum { COLUMNS_KINDS = DN_COLUMN_ROW_WEIGHT + 1, COLUMNS_TYPES = DN_FRAME_TEXT + 1 };
extern const char *const dn_columns_kinds[COLUMNS_KINDS];
extern const char *const dn_columns_types[COLUMNS_TYPES];

/* Different words, and how many rows have each. */
typedef struct columns_words {
    int n;
    char *text;      /* (n) zero-terminated, one after another */
    const char **at; /* (n) where each begins */
    int *order;      /* (n) by their bytes */
    double *values;  /* (n) of numbers; NULL: of texts */
    uint64_t *counts;
} columns_words;

/* The distribution of a column of numbers: some of its different values, ascending, how many rows are below each and
 * how many have it. Between two of them values count as spread evenly. All values, if there are at most
 * COLUMNS_KNOTS. */
typedef struct columns_knots {
    int n;
    double *values, *codes; /* codes: normal scores of the middle ranks; not saved */
    uint64_t *below, *at;
    uint64_t rows; /* with a value */
} columns_knots;

/* Of which rows the cells are missing, given another column (columns_gaps.c). */
typedef struct columns_gaps {
    int by, given;            /* its index, -1: none; 1: whether it has a value, 0: which */
    int n;                    /* bins of what it has */
    uint64_t *rows, *missing; /* (n) of those from which it was learned; of them, with a gap */
} columns_gaps;

typedef struct columns_column {
    char *name;
    int kind, type, decimals, form, condition;
    int places; /* decimals that the numbers have: 12.0 has none; -1: any */
    int coded;  /* place in the coded matrix; -1: none */
    uint64_t missing, distinct;
    double low, high, mean, deviation, median, spread;
    columns_knots knots;
    columns_words words; /* of codes 0, 1, ... */
    columns_words rare;  /* all together the last code, "other" */
    columns_gaps gaps;
} columns_column;

struct dn_schema {
    int n, n_coded, coding;
    uint64_t rows;
    char separator;
    columns_column *columns;
    int *coded; /* (n_coded) the columns in the matrix's order */
    dn_text warnings;
};

static inline int columns_other(const columns_column *c) { return c->rare.n ? c->words.n : -1; }
static inline int columns_classes(const columns_column *c) {
    return c->kind == DN_COLUMN_CATEGORY ? c->words.n + (c->rare.n > 0) : c->kind == DN_COLUMN_YES_NO ? 2 : 0;
}

/* ---- columns.c ---- */

dn_status dn_columns_create(dn_schema **out, int n);
/* Once kinds are known: places in the matrix. */
void dn_columns_place(dn_schema *schema);
/* A name or text as it may appear in a message: printable, and cut when it is long. */
enum { COLUMNS_SHOWN = 72 };
const char *dn_columns_shown(const char *text, char shown[COLUMNS_SHOWN]);

/* ---- columns_code.c ---- */

/* dn_schema_code of a frame with the rows of a table after so many `before` them, for messages. */
dn_status dn_schema_code_piece(const dn_schema *schema, const dn_frame *frame, size_t before, float *x,
                               char **warnings);

/* ---- columns_gaps.c ---- */

/* Once the columns are learned and placed. */
dn_status dn_columns_learn_gaps(dn_schema *schema, const dn_frame *frame);
/* Is what a file says of a column's gaps something that may have been learned? */
int dn_columns_gaps_fit(const dn_schema *schema, int index);
/* Into how many bins a column's values are put, missing ones included. */
int dn_columns_bins(const columns_column *c);
/* Take cells out of rows x (rows, coded) as they are missing in the table, but none of columns with full[column] = 1.
 */
void dn_columns_draw_gaps(const dn_schema *schema, uint64_t seed, const uint8_t *full, float *x, size_t rows);

/* ---- columns_hints.c ---- */

/* A line of warning if all words of a column of texts are numbers or dates in a form that is not read. */
void dn_columns_hint(dn_text *to, const char *name, const columns_words *all);
/* Half a sentence if nearly all cells of a column of texts, of those in `rows` rows that have a value, are numbers or
 * dates: which is the first that is none. */
dn_status dn_columns_stray(dn_text *to, const dn_frame_column *column, const columns_words *all, uint64_t rows);

/* ---- columns_weights.c ---- */

/* The column that a name, or else an index, means; -1: none. */
int dn_frame_find(const dn_frame *frame, const char *name);
/* DN_E_USAGE: `what` names a column that the frame does not have, or one like it. */
dn_status dn_columns_no_such(const dn_frame *frame, const char *what, const char *name);
/* The rows whose number in a column is not 0, with the words that they have, to be freed with dn_columns_rows_free. All
 * of them: *out is the frame itself. Errors are those of dn_frame_weights. */
dn_status dn_columns_rows(const dn_frame *frame, int column, dn_frame *out);
void dn_columns_rows_free(dn_frame *rows, const dn_frame *frame);

/* ---- columns_kinds.c ---- */

/* What the options say of a column, as bits. ALL_NUMBERS: if it has numbers, they stay so. */
enum {
    COLUMNS_AS_DROPPED = 1,
    COLUMNS_AS_NUMBER = 2,
    COLUMNS_AS_CATEGORY = 4,
    COLUMNS_AS_CONDITION = 8,
    COLUMNS_AS_LABEL = 16,
    COLUMNS_AS_ALL_NUMBERS = 32,
    COLUMNS_AS_ROW_WEIGHT = 64
};
/* Learn column number `index` of the frame, whose name, type and form `c` has; warnings go to the schema's. */
dn_status dn_columns_learn_one(dn_schema *schema, columns_column *c, const dn_frame *frame, int index, int says,
                               int max_categories);

/* ---- columns_numbers.c ---- */

/* Ascending. `spare` has room for as many. */
void dn_columns_sort(double *values, double *spare, size_t n);
/* Statistics and knots of n > 0 finite values, ascending. */
dn_status dn_columns_measure(columns_column *c, const double *sorted, size_t n);
dn_status dn_columns_knots_alloc(columns_knots *knots, int n);
void dn_columns_knots_free(columns_knots *knots);
void dn_columns_knots_finish(columns_knots *knots);
/* Are knots i and i + 1 values of one row each, with nobody between? Then numbers between them are drawn, too. */
int dn_columns_single(const columns_knots *knots, int i);
float dn_columns_code_number(const columns_column *c, int coding, double value);
double dn_columns_decode_number(const columns_column *c, int coding, double code);
/* Write a number with so many decimals, or -1: as many as needed; returns the length. */
enum { COLUMNS_NUMBER = 400 };
size_t dn_columns_number_text(double value, int decimals, char text[COLUMNS_NUMBER]);
/* A number of the column as the table writes it. */
size_t dn_columns_own_text(const columns_column *c, double value, char text[COLUMNS_NUMBER]);
/* The times at which columns of times are written, in seconds: a day, a minute, a second, a microsecond. */
double dn_columns_time_unit(int form);
/* A time as it is written in that form; returns the length. */
size_t dn_columns_time_text(double seconds, int form, char text[COLUMNS_NUMBER]);
/* A number or time of text, all of it; 0: it is none. */
int dn_columns_read(const char *text, int type, double *value);

/* ---- columns_words.c ---- */

dn_status dn_columns_words_alloc(columns_words *words, int n, size_t text, int numbers);
void dn_columns_words_free(columns_words *words);
/* Once text, counts and values are there: `at` and `order`. */
dn_status dn_columns_words_finish(columns_words *words);
/* Index of a word or of a number among them; -1: it is none of them. */
int dn_columns_word(const columns_words *words, const char *word);
int dn_columns_value(const columns_words *words, double value);
/* Does it say yes (1), no (0), or neither (-1)? */
int dn_columns_truth(const char *word);
/* Code of a word, or of a number of the table; -1: missing, with *unknown set to 1 if it was never seen. */
int dn_columns_code_word(const columns_column *c, const char *word, int *unknown);
int dn_columns_code_value(const columns_column *c, double value, int decimals, int *unknown);

/* ---- columns_json.c, columns_read.c ---- */

enum { COLUMNS_FORMAT = 1 };
void dn_columns_write(const dn_schema *schema, dn_text *to);
/* An object within a JSON text. */
dn_status dn_columns_read_json(dn_schema **out, dn_json *j);
dn_status dn_columns_copy(dn_schema **out, const dn_schema *schema);
/* The statistics of a column that has numbers: their names in JSON, and where they are. */
enum { COLUMNS_STATISTICS = 6 };
extern const char *const dn_columns_statistics[COLUMNS_STATISTICS];
double *dn_columns_statistic(columns_column *c, int index);
#endif

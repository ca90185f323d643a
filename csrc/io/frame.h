/* Typed tables. Rows come from csv.h in chunks; how a column is read is decided by the first rows (frame_look.c) and
 * checked with every cell (frame_cell.c); texts become codes (frame_words.c). Where a later cell shows that a column is
 * something else, the table is read once more (frame.c). */
#ifndef DN_FRAME_H
#define DN_FRAME_H
#include "base/text.h"
#include "io/csv.h"

/* How the cells of a column are read, in the order of preference. */
enum { FRAME_POINT = 1, FRAME_COMMA = 2, FRAME_TIME = 4, FRAME_TEXT = 8 };

/* What the cells of a column have shown. Facts of several chunks are combined with "or", so their order does not
 * matter. */
typedef struct frame_facts {
    uint32_t seen;
    uint32_t decimals; /* bit d: a number, or seconds, with d digits after the point; FRAME_EXPONENT */
} frame_facts;
enum {
    FRAME_NOT_POINT = FRAME_POINT, /* there is a cell that is no number with a decimal point, ... */
    FRAME_NOT_COMMA = FRAME_COMMA, /* ... with a decimal comma, ... */
    FRAME_NOT_TIME = FRAME_TIME,   /* ... no date */
    FRAME_PRESENT = 1 << 4,        /* some number or time */
    FRAME_INFINITE = 1 << 5,
    FRAME_ONE_POINT = 1 << 6, /* 1.234, which may be thousands */
    FRAME_ONE_COMMA = 1 << 7, /* 1,234, likewise */
    FRAME_GROUPS = 1 << 8,    /* thousands are separated ... */
    FRAME_BLANKS = 1 << 9,    /* ... by blanks */
    FRAME_DATE = 1 << 10,     /* a date without a time of day */
    FRAME_T = 1 << 11,
    FRAME_BLANK = 1 << 12,
    FRAME_SECONDS = 1 << 13,
    FRAME_ZONE = 1 << 14
};
#define FRAME_EXPONENT (1u << 31)
enum { FRAME_MOST_DECIMALS = 30 }; /* more count as that many */

/* ---- cells ---- */

int dn_frame_is_missing(const char *p, size_t size);
/* The number in a text, with the decimal sign `point`, which may have thousands separated; 0: it is none. Infinity has
 * the fact FRAME_INFINITE and the value NaN. */
int dn_frame_number(const char *p, size_t size, char point, double *value, frame_facts *facts);
/* An ISO date, or date and time, as seconds from 1970; 0: it is none. */
int dn_frame_time(const char *p, size_t size, double *value, frame_facts *facts);
/* The value of a cell that is read `as` numbers or times: NaN if it is missing or something else, which `facts` then
 * shows. */
double dn_frame_value(const char *p, size_t size, int as, frame_facts *facts);
/* Days from 1970-01-01 to a day of the Gregorian calendar, and back. */
int64_t dn_frame_days(int year, int month, int day);
void dn_frame_civil(int64_t days, int *year, int *month, int *day);

/* ---- words ---- */

/* Distinct texts, in order of their first appearance. Those that mean "missing" come first, when there are any. */
typedef struct frame_words {
    char *text; /* zero-terminated, one after another */
    size_t *at; /* (n + 1) where they begin */
    struct frame_slot {
        uint32_t hash;
        int32_t index; /* of the word, plus 1; 0: free */
    } *slots;
    size_t size, room, at_room, mask; /* of text, of at; slots - 1 */
    int32_t n, missing;               /* words; those of them that mean "missing" */
    int high;                         /* some byte is not ASCII */
    int novel;                        /* most words of the last window were new: look for them among the new ones */
} frame_words;

/* Texts that are looked up or added have DN_NUMBER_PADDING readable bytes after them, because they are read by eights.
 */
static inline uint64_t frame_load8(const char *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

/* The first `size` of eight bytes, and zeros; size < 8. */
static inline uint64_t frame_first(uint64_t w, size_t size) { return w & (((uint64_t)1 << (8 * size)) - 1); }

#define FRAME_HASH_BEGIN 0x9e3779b97f4a7c15u
static inline uint64_t frame_hash_mix(uint64_t h, uint64_t w) {
    unsigned __int128 product = (unsigned __int128)(h ^ w) * 0xd6e8feb86659fd93u;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
static inline uint32_t frame_hash_end(uint64_t h, uint64_t w, size_t size) {
    h = frame_hash_mix(h, frame_first(w, size));
    return (uint32_t)(h ^ h >> 32);
}
uint32_t dn_frame_hash(const char *p, size_t size);

static inline int frame_same(const char *a, const char *b, size_t size) {
    for (; size >= 8; size -= 8, a += 8, b += 8)
        if (frame_load8(a) != frame_load8(b)) return 0;
    return frame_first(frame_load8(a) ^ frame_load8(b), size) == 0;
}

/* The index of a word, or -1. */
static inline int32_t dn_frame_words_find(const frame_words *w, const char *p, size_t size, uint32_t hash) {
    if (!w->slots) return -1;
    for (size_t i = hash & w->mask; w->slots[i].index; i = (i + 1) & w->mask) {
        int32_t k = w->slots[i].index - 1;
        if (w->slots[i].hash == hash && w->at[k + 1] - w->at[k] - 1 == size && frame_same(w->text + w->at[k], p, size))
            return k;
    }
    return -1;
}
dn_status dn_frame_words_add(frame_words *words, const char *p, size_t size, uint32_t hash, int32_t *index);
/* Begin with the words that mean "missing". */
dn_status dn_frame_words_begin(frame_words *words);
void dn_frame_words_clear(frame_words *words);
void dn_frame_words_free(frame_words *words);

/* ---- tables ---- */

typedef struct frame_column {
    int as;
    double *numbers;
    int32_t *codes; /* -1: missing; before they are final, -2 - i: word i of the chunk's own */
    frame_words words;
    frame_facts facts;
} frame_column;

typedef struct frame_load {
    csv_chunks chunks;
    csv_plan plan;
    dn_table about; /* warnings, separator */
    frame_column *columns;
    size_t room; /* rows */
    struct frame_part {
        frame_facts *facts; /* (columns) */
        frame_words *fresh; /* (n_fresh) columns: words that they did not have before this window */
        size_t n_fresh;     /* the index, which is left out in the end, included */
        const char *bad;    /* a row with an error */
        long line, comment_line;
        size_t comments;
        dn_text unquoted;
        dn_status status;
    } *parts;
    size_t n_parts, comments;
    long comment_line;
    int pieces;    /* only one window's rows are in memory */
    int index;     /* the first column is the index that pandas and R write: 1 yes, -1 no, 0: to be found out */
    int wide, bad; /* pieces before had texts in UTF-8 beyond ASCII; texts that are not UTF-8 */
} frame_load;

/* Read a table from an open source, which can be rewound and read again; messages call it `name`. */
struct frame_source;
dn_status dn_frame_read(dn_frame *frame, struct frame_source *source, const char *name,
                        const dn_frame_options *options);
/* The parts of that: the columns, read `as` given or, with NULL, as the first rows suggest; the rows of the next
 * window; the types that all rows show, *as NULL if they were read so. */
dn_status dn_frame_columns(frame_load *load, const int *as);
dn_status dn_frame_window(frame_load *load);
dn_status dn_frame_types(const frame_load *load, int **as);
void dn_frame_load_free(frame_load *load);
/* Does the first column have no name and count the rows? `before`: how many rows came before those of `load`. */
int dn_frame_is_index(const frame_load *load, size_t before);
/* Is the first row a header? For csv_plan.typed. */
int dn_frame_header(const csv_reader *reader, const csv_plan *plan, const char **why);
/* How the columns are to be read, judged by the first rows. */
void dn_frame_survey(const csv_reader *reader, const csv_plan *plan, frame_column *columns);
/* How the columns should be read by what is known of them: the final answer once all rows have been seen. */
void dn_frame_decide(frame_column *columns, int n, char separator, int *as);
/* Read a chunk's rows. */
void dn_frame_chunk(void *load, size_t index);

/* What was read as a frame: names, types, words in UTF-8, warnings. Takes the columns' memory. */
dn_status dn_frame_finish(frame_load *load, dn_frame *frame);

/* Memory that dn_frame_free frees: new and zeroed, or NULL; from dn_alloc or dn_realloc, freed at once on failure. */
void *dn_frame_alloc(dn_frame *frame, size_t n, size_t size);
dn_status dn_frame_keep(dn_frame *frame, void *memory);

/* One cell of a column as in a file of several columns: in the column's form, quoted if need be, empty if missing. */
void dn_frame_put(dn_text *to, const dn_frame_column *column, size_t row, char separator);

/* ---- where text comes from ---- */

/* A file or pipe; unpacks gzip, converts UTF-16. Can be read twice. */
typedef struct frame_source frame_source;
dn_status dn_frame_source_open(frame_source **out, const char *path, const char *name);
csv_source *dn_frame_source_hook(frame_source *source); /* NULL: the file is read as it is */
int dn_frame_source_fd(const frame_source *source);
int dn_frame_source_is_file(const frame_source *source);
/* It will not be read again: what a pipe gives is no longer kept. */
void dn_frame_source_forget(frame_source *source);
dn_status dn_frame_source_rewind(frame_source *source);
void dn_frame_source_close(frame_source *source);

/* ---- filling gaps ---- */

/* The text of a source that has been read before, with the cells that are missing in `given` (what was read) as they
 * are in `made`, which has some of its columns, and everything else as it is, letter by letter, to a file (NULL or "-":
 * standard output). filled: how many cells. */
dn_status dn_frame_fill(frame_source *source, const char *name, const dn_frame_options *options, const dn_frame *given,
                        const dn_frame *made, const char *output, size_t *filled);

/* Text in Windows-1252 to UTF-8: *out is zero-terminated texts as the old ones. */
int dn_frame_utf8(const char *p, size_t size);     /* is it valid? */
size_t dn_frame_utf8_put(uint32_t code, char *to); /* 1 to 4 bytes */
int dn_frame_windows(const char *p, size_t size, char *to,
                     size_t *used); /* up to 3 bytes each; 0: a byte has no meaning */
#endif

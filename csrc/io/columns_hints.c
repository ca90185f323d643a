/* Words that stand for numbers or dates in a form that is not read: 88%, $19,280, 1'234, 13.05.2020, 05/13/2020; and a
 * few words among numbers or dates. Such columns would be categories, or an identifier, without anybody noticing. */
#include "base/sys.h"
#include "io/columns.h"
#include "io/frame.h"
#include <stdio.h>
#include <string.h>

/* What a word may be; of a column, what all of its words may be. */
enum {
    HINT_PERCENT = 1,
    HINT_CURRENCY = 2,
    HINT_DAY_FIRST = 4,   /* 13.05.2020 */
    HINT_MONTH_FIRST = 8, /* 05/13/2020 */
    HINT_YEAR_FIRST = 16, /* 2020/05/13 */
    HINT_THOUSANDS = 32,  /* 1'234, 1_234 */
    HINT_ALL = 63
};
enum { HINT_LEAST = 3 }; /* different words */

static int hint_digit(char c) { return c >= '0' && c <= '9'; }

static int is_number(const char *p, size_t size) {
    frame_facts facts = {0, 0};
    double value;
    if (!size || !memchr("0123456789", p[size - 1], 10)) return 0;
    return dn_frame_number(p, size, '.', &value, &facts) || dn_frame_number(p, size, ',', &value, &facts);
}

/* The length of a currency's sign or code at the beginning; 0: there is none. */
static size_t currency_before(const char *p) {
    static const char *const signs[] = {"$",   "\xe2\x82\xac", "\xc2\xa3", "\xc2\xa5", "\xe2\x82\xb9", "US$", "R$",
                                        "USD", "EUR",          "GBP",      "CHF",      "JPY",          "INR", "CAD"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (!strncmp(p, signs[i], strlen(signs[i]))) return strlen(signs[i]);
    return 0;
}

/* The same of the end of a text. */
static size_t currency_after(const char *p, size_t size) {
    for (size_t n = 1; n <= 3 && n < size; n++)
        if (currency_before(p + size - n) == n) return n;
    return 0;
}

/* A number with a sign of percent or of a currency, on either side, and maybe a blank between. */
static int amount(const char *p, size_t size) {
    int minus = *p == '-' || *p == '+';
    size_t n = currency_before(p + minus), end = n || size < 2 ? 0 : p[size - 1] == '%' ? 1 : currency_after(p, size);
    int found = end && p[size - 1] == '%' ? HINT_PERCENT : HINT_CURRENCY;
    if (!n && !end) return 0;
    if (n)
        p += n + (size_t)minus, size -= n + (size_t)minus;
    else
        size -= end;
    while (size && *p == ' ') p++, size--;
    while (size && p[size - 1] == ' ') size--;
    return is_number(p, size) ? found : 0;
}

/* The length of a separator of thousands that is not read. */
static size_t thousands_mark(const char *p) {
    return *p == '\'' || *p == '_' ? 1 : !strncmp(p, "\xe2\x80\x99", 3) ? 3 : 0;
}

/* 1'234'567.8, or a number below 1000. */
static int thousands(const char *p) {
    size_t digits = 0, mark;
    p += *p == '-' || *p == '+';
    if (*p == '0' && hint_digit(p[1])) return 0;
    for (; hint_digit(*p); p++) digits++;
    if (digits < 1 || digits > 3) return 0;
    while ((mark = thousands_mark(p))) {
        if (!hint_digit(p[mark]) || !hint_digit(p[mark + 1]) || !hint_digit(p[mark + 2])) return 0;
        p += mark + 3;
    }
    if (*p == '.')
        while (hint_digit(*++p));
    return *p ? 0 : HINT_THOUSANDS;
}

/* One or two digits, or four; the separator after them, or the end. */
static const char *date_part(const char *p, int *value, int *digits) {
    for (*value = *digits = 0; hint_digit(*p) && *digits < 5; p++, ++*digits) *value = *value * 10 + (*p - '0');
    return *digits == 1 || *digits == 2 || *digits == 4 ? p : NULL;
}

static int date(const char *p) {
    int a, b, c, na, nb, nc;
    char separator;
    if (!(p = date_part(p, &a, &na)) || !(separator = *p) || !strchr("./-", separator)) return 0;
    if (!(p = date_part(p + 1, &b, &nb)) || *p != separator || nb == 4) return 0;
    if (!(p = date_part(p + 1, &c, &nc)) || (*p && *p != ' ' && *p != 'T')) return 0;
    if (na == 4 && nc <= 2) return b >= 1 && b <= 12 && c >= 1 && c <= 31 ? HINT_YEAR_FIRST : 0;
    if (na == 4 || nc == 1) return 0;
    if (!a || !b || a > 31 || b > 31) return 0;
    return (b <= 12 ? HINT_DAY_FIRST : 0) | (a <= 12 ? HINT_MONTH_FIRST : 0);
}

static int is_read(const char *p, int as) {
    frame_facts facts = {0, 0};
    double value;
    if (as == FRAME_TIME) return dn_frame_time(p, strlen(p), &value, &facts);
    return dn_frame_number(p, strlen(p), as == FRAME_POINT ? '.' : ',', &value, &facts);
}

/* The word that shows the form best: of dates one whose day is above 12, and none that is read. */
static const char *example(const columns_words *all, int may) {
    for (int i = 0; may & HINT_THOUSANDS && i < all->n; i++)
        for (const char *p = all->at[i]; *p; p++)
            if (thousands_mark(p)) return all->at[i];
    if (may & HINT_THOUSANDS) return NULL;
    for (int i = 0; i < all->n; i++) {
        int found = date(all->at[i]);
        if (found == HINT_DAY_FIRST || found == HINT_MONTH_FIRST) return all->at[i];
    }
    int i = 0;
    while (i + 1 < all->n && is_read(all->at[i], FRAME_TIME)) i++;
    return all->at[i];
}

void dn_columns_hint(dn_text *to, const char *name, const columns_words *all) {
    char column[COLUMNS_SHOWN], word[COLUMNS_SHOWN];
    int may = all->n < HINT_LEAST ? 0 : HINT_ALL;
    for (int i = 0; i < all->n && may; i++) {
        const char *p = all->at[i];
        may &= amount(p, strlen(p)) | date(p) | thousands(p);
    }
    const char *shown = may ? example(all, may) : NULL;
    if (!shown) return;
    dn_columns_shown(name, column);
    dn_columns_shown(shown, word);
    if (may & HINT_THOUSANDS)
        dn_text_format(to,
                       "column '%s': '%s' and all others are numbers with marked thousands, read as words: take the "
                       "marks out\n",
                       column, word);
    else if (may & (HINT_PERCENT | HINT_CURRENCY))
        dn_text_format(to, "column '%s': '%s' and all others are numbers with a %s, read as words: take the sign off\n",
                       column, word, may & HINT_PERCENT ? "percent sign" : "currency");
    else
        dn_text_format(to, "column '%s': '%s' and all others look like dates with the %s first%s, read as words: %s\n",
                       column, word,
                       may & HINT_YEAR_FIRST  ? "year"
                       : may & HINT_DAY_FIRST ? "day"
                                              : "month",
                       may == (HINT_DAY_FIRST | HINT_MONTH_FIRST) ? " (or the month)" : "", "write 2020-05-13");
}

/* ---- a few words among numbers or dates ---- */

/* Numbers: at least so many different ones, in that part of the cells, beside at most so many words; dates: in half. */
enum { STRAY_NUMBERS = 20, STRAY_WORDS = 10 };
static const double STRAY_PART = 0.9, STRAY_DATES = 0.5;

/* Is a column of words nearly one of these? cells: how many are; words: different words that are not. */
static int stray_nearly(const columns_words *all, uint64_t rows, int as, uint64_t *cells, int *words) {
    *cells = 0, *words = all->n;
    for (int i = 0; i < all->n; i++)
        if (is_read(all->at[i], as)) *cells += all->counts[i], --*words;
    if (!*words || all->n - *words < (as == FRAME_TIME ? HINT_LEAST : STRAY_NUMBERS)) return 0;
    if (as == FRAME_TIME) return (double)*cells >= STRAY_DATES * (double)rows;
    return *words <= STRAY_WORDS && (double)*cells >= STRAY_PART * (double)rows;
}

/* The first row whose cell is not read so, and its word. */
static dn_status stray_first(const dn_frame_column *f, int as, size_t *row, const char **word) {
    const char **at = dn_alloc((size_t)f->n_words, sizeof *at), *p = f->words;
    if (!at) return DN_E_MEMORY;
    for (int32_t i = 0; i < f->n_words; i++, p += strlen(p) + 1) at[i] = is_read(p, as) ? NULL : p;
    for (*row = 0; f->codes[*row] < 0 || !at[f->codes[*row]];) ++*row;
    *word = at[f->codes[*row]];
    dn_free(at);
    return DN_OK;
}

dn_status dn_columns_stray(dn_text *to, const dn_frame_column *f, const columns_words *all, uint64_t rows) {
    static const int ways[] = {FRAME_POINT, FRAME_COMMA, FRAME_TIME};
    char shown[COLUMNS_SHOWN];
    uint64_t cells = 0;
    int words, way = 0;
    size_t row;
    const char *word;
    while (way < 3 && !stray_nearly(all, rows, ways[way], &cells, &words)) way++;
    if (way == 3) return DN_OK;
    const char *what = ways[way] == FRAME_TIME ? "date" : "number";
    DN_TRY(stray_first(f, ways[way], &row, &word));
    dn_text_format(to, "%llu of %llu cells are %ss, but '%s' in row %zu", (unsigned long long)cells,
                   (unsigned long long)rows, what, dn_columns_shown(word, shown), row + 1);
    if (words > 1) dn_text_format(to, " and %d other word%s", words - 1, words == 2 ? "" : "s");
    dn_text_format(to, " %s not: put a %s there, or leave the cell empty", words > 1 ? "are" : "is", what);
    return to->status;
}

/* What a cell of a typed table is: missing, a number, a time. */
#include "io/frame.h"
#include <math.h>
#include <stdlib.h>

static int cell_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- missing ---- */

static const char *const MISSING[] = {
    "",      "NA",      "N/A",    "n/a",     "nan",    "NaN",      "NAN",     "-nan",     "-NaN",   "null",   "NULL",
    "Null",  "None",    "?",      "-",       ".",      "NaT",      "<NA>",    "#N/A",     "#NA",    "\\N",    "#REF!",
    "#NUM!", "#VALUE!", "#NULL!", "#DIV/0!", "#NAME?", "#N/A N/A", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"};
enum { N_MISSING = sizeof MISSING / sizeof *MISSING, LONGEST_MISSING = 8 };

static void cell_trim(const char **p, size_t *size) {
    while (*size && csv_blank(**p)) ++*p, --*size;
    while (*size && csv_blank((*p)[*size - 1])) --*size;
}

int dn_frame_is_missing(const char *p, size_t size) {
    cell_trim(&p, &size);
    if (!size) return 1;
    if (size > LONGEST_MISSING || !strchr("Nn?-.<#\\1", *p)) return 0;
    for (int i = 0; i < N_MISSING; i++)
        if (*MISSING[i] == *p && strlen(MISSING[i]) == size && !memcmp(MISSING[i], p, size)) return 1;
    return 0;
}

dn_status dn_frame_words_begin(frame_words *words) {
    for (int i = 0; i < N_MISSING; i++) {
        char padded[LONGEST_MISSING + 1 + DN_NUMBER_PADDING] = "";
        size_t size = strlen(MISSING[i]);
        int32_t index;
        memcpy(padded, MISSING[i], size);
        DN_TRY(dn_frame_words_add(words, padded, size, dn_frame_hash(padded, size), &index));
    }
    words->missing = words->n;
    return DN_OK;
}

/* ---- numbers ---- */

/* Infinity, as programs write it. */
static int cell_infinite(const char *p, size_t size) {
    static const char *const words[] = {"inf", "Inf", "INF", "infinity", "Infinity", "1.#INF"};
    size_t sign = size && (*p == '-' || *p == '+');
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == size - sign && !memcmp(words[i], p + sign, size - sign)) return 1;
    return 0;
}

/* Digits and where they stand. */
typedef struct cell_number {
    char digits[48]; /* the first ones, without leading zeros; a 1 at the end stands for others that are not zero */
    int n, exponent, whole; /* whole: digits before the point */
    int decimals;           /* digits after the point, -1: no point */
    int groups, leading_zero;
    char group; /* what separates them; 0: nothing */
} cell_number;

static void cell_push(cell_number *x, char digit, int after) {
    const int most = (int)sizeof x->digits - 8;
    if (x->n == 0 && digit == '0') {
        x->exponent -= after;
    } else if (x->n < most) {
        x->digits[x->n++] = digit, x->exponent -= after;
    } else {
        if (x->n == most && digit != '0') x->digits[x->n++] = '1', x->exponent--;
        x->exponent += !after;
    }
}

/* A blank between thousands: a space, or a no-break space in UTF-8 or Windows-1252; its length, or 0. */
static size_t cell_blank(const char *p, size_t size) {
    if (!size) return 0;
    if (*p == ' ' || *p == '\xa0') return 1;
    if (size >= 2 && !memcmp(p, "\xc2\xa0", 2)) return 2;
    return size >= 3 && !memcmp(p, "\xe2\x80\xaf", 3) ? 3 : 0;
}

/* The length of a separator before three digits, no more. */
static size_t cell_group(const cell_number *x, const char *p, size_t size, char point) {
    size_t n = *p == ',' || *p == '.' ? *p != point : cell_blank(p, size);
    if (!n || size < n + 3 || (x->group && x->group != (*p == ',' || *p == '.' ? *p : ' '))) return 0;
    for (size_t i = n; i < n + 3; i++)
        if (!cell_digit(p[i])) return 0;
    return size > n + 3 && cell_digit(p[n + 3]) ? 0 : n;
}

static size_t cell_whole(cell_number *x, const char *p, size_t size, char point) {
    size_t i = 0, n;
    for (; i < size && cell_digit(p[i]); i++, x->whole++) cell_push(x, p[i], 0);
    x->leading_zero = x->whole > 1 && *p == '0';
    if (x->whole < 1 || x->whole > 3 || *p == '0') return i;
    while (i < size && (n = cell_group(x, p + i, size - i, point))) {
        x->group = p[i] == ',' || p[i] == '.' ? p[i] : ' ';
        for (size_t k = 0; k < 3; k++) cell_push(x, p[i + n + k], 0);
        i += n + 3, x->whole += 3, x->groups++;
    }
    return i;
}

static int cell_exponent(cell_number *x, const char *p, size_t size) {
    size_t i = 1;
    int e = 0, minus = i < size && p[i] == '-';
    if (i < size && (p[i] == '-' || p[i] == '+')) i++;
    if (i == size) return 0;
    for (; i < size; i++) {
        if (!cell_digit(p[i])) return 0;
        if (e < 100000) e = e * 10 + (p[i] - '0');
    }
    x->exponent += minus ? -e : e;
    return 1;
}

static double cell_value(cell_number *x) {
    double v;
    char text[80];
    if (!x->n) return 0;
    if (x->n <= 19 && abs(x->exponent) <= DN_NUMBER_EXACT) {
        uint64_t m = 0;
        for (int i = 0; i < x->n; i++) m = m * 10 + (uint64_t)(x->digits[i] - '0');
        return dn_number_exact(m, x->exponent);
    }
    memcpy(text, x->digits, (size_t)x->n);
    int at = x->n, e = x->exponent, size = 0;
    char backwards[12];
    text[at++] = 'e';
    if (e < 0) text[at++] = '-', e = -e;
    do backwards[size++] = (char)('0' + e % 10);
    while (e /= 10);
    while (size) text[at++] = backwards[--size];
    text[at] = 0;
    dn_number_read(text, &v);
    return v;
}

/* Could the same text, read with the other decimal sign, be a number too? */
static unsigned cell_other(const cell_number *x, char point, int exponent) {
    unsigned other = point == '.' ? FRAME_NOT_COMMA : FRAME_NOT_POINT;
    unsigned one_other = point == '.' ? FRAME_ONE_COMMA : FRAME_ONE_POINT;
    unsigned one = point == '.' ? FRAME_ONE_POINT : FRAME_ONE_COMMA;
    if (x->decimals < 0) return !x->groups || x->group == ' ' ? 0 : x->groups == 1 ? one_other : other;
    int thousands = x->decimals == 3 && !x->groups && x->whole >= 1 && x->whole <= 3 && !exponent &&
                    x->n == x->whole + x->decimals; /* the first digit is not 0 */
    return thousands ? one : other;
}

int dn_frame_number(const char *p, size_t size, char point, double *value, frame_facts *facts) {
    cell_number x = {.decimals = -1};
    int exponent = 0;
    cell_trim(&p, &size);
    *value = NAN;
    if (cell_infinite(p, size)) {
        facts->seen |= FRAME_INFINITE | FRAME_NOT_TIME;
        return 1;
    }
    size_t i = size && (*p == '-' || *p == '+');
    int negative = i && *p == '-';
    i += cell_whole(&x, p + i, size - i, point);
    if (i < size && p[i] == point)
        for (i++, x.decimals = 0; i < size && cell_digit(p[i]); i++, x.decimals++) cell_push(&x, p[i], 1);
    if (x.whole + (x.decimals > 0 ? x.decimals : 0) < 1 || x.leading_zero) return 0;
    if (i < size && (p[i] == 'e' || p[i] == 'E')) {
        if (!cell_exponent(&x, p + i, size - i)) return 0;
        exponent = 1, i = size;
    }
    if (i < size) return 0;
    double v = cell_value(&x);
    /* the last digits of longer integers would be lost, and those who write them need all of them */
    if (x.decimals < 0 && !exponent && v >= 0x1p53 && (x.n != 16 || memcmp(x.digits, "9007199254740992", 16))) return 0;
    facts->seen |= cell_other(&x, point, exponent) | FRAME_NOT_TIME;
    if (!(v <= 0x1.fffffffffffffp1023)) {
        facts->seen |= FRAME_INFINITE;
        return 1;
    }
    facts->seen |= FRAME_PRESENT | (x.groups ? FRAME_GROUPS : 0) | (x.group == ' ' ? FRAME_BLANKS : 0);
    int decimals = x.decimals < 0 ? 0 : x.decimals;
    facts->decimals |=
        exponent ? FRAME_EXPONENT : 1u << (decimals < FRAME_MOST_DECIMALS ? decimals : FRAME_MOST_DECIMALS);
    *value = negative ? -v : v;
    return 1;
}

/* ---- times ---- */

int64_t dn_frame_days(int year, int month, int day) {
    /* years begin in March, so that the leap day is their last; 400 years have 146097 days */
    int64_t y = (int64_t)year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void dn_frame_civil(int64_t days, int *year, int *month, int *day) {
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1), *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2));
}

static int cell_two(const char *p) {
    return cell_digit(p[0]) && cell_digit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

static int cell_month_days(int year, int month) {
    static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 || year % 400 == 0));
}

/* Z, +01, +01:00 or +0100, also after a blank; "UTC". */
static int cell_zone(const char *p, size_t size) {
    if (size && *p == ' ') p++, size--;
    if (size == 1 && *p == 'Z') return 1;
    if (size == 3 && !memcmp(p, "UTC", 3)) return 1;
    if (size < 3 || (*p != '+' && *p != '-') || cell_two(p + 1) < 0 || cell_two(p + 1) > 23) return 0;
    size_t colon = size == 6 && p[3] == ':';
    if (size == 3) return 1;
    return size == 5 + colon && cell_two(p + 3 + colon) >= 0 && cell_two(p + 3 + colon) < 60;
}

/* [:seconds[.fraction]][zone]; returns 0 for anything else. */
static int cell_seconds(const char *p, size_t size, double *seconds, frame_facts *facts) {
    *seconds = 0;
    int digits = 0;
    if (size >= 3 && *p == ':') {
        int whole = cell_two(p + 1);
        if (whole < 0 || whole > 59) return 0;
        *seconds = whole, facts->seen |= FRAME_SECONDS;
        p += 3, size -= 3;
        if (size >= 2 && *p == '.' && cell_digit(p[1])) {
            double fraction = 0, unit = 1;
            for (p++, size--; size && cell_digit(*p); p++, size--)
                if (digits < 15) fraction = fraction * 10 + (*p - '0'), unit *= 10, digits++;
            *seconds += fraction / unit;
        }
    }
    facts->decimals |= 1u << digits;
    if (!size) return 1;
    facts->seen |= FRAME_ZONE;
    return cell_zone(p, size);
}

int dn_frame_time(const char *p, size_t size, double *value, frame_facts *facts) {
    frame_facts found = {0, 0};
    double seconds = 0;
    int hour = 0, minute = 0;
    cell_trim(&p, &size);
    if (size < 10 || p[4] != '-' || p[7] != '-') return 0;
    int century = cell_two(p), year = cell_two(p + 2), month = cell_two(p + 5), day = cell_two(p + 8);
    if (century < 0 || year < 0 || month < 1 || month > 12 || day < 1) return 0;
    year += 100 * century;
    if (year < 1 || day > cell_month_days(year, month)) return 0;
    if (size > 10) {
        if (size < 16 || (p[10] != 'T' && p[10] != ' ') || p[13] != ':') return 0;
        hour = cell_two(p + 11), minute = cell_two(p + 14);
        if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return 0;
        if (!cell_seconds(p + 16, size - 16, &seconds, &found)) return 0;
    }
    facts->seen |= found.seen | FRAME_PRESENT | FRAME_NOT_POINT | FRAME_NOT_COMMA |
                   (size == 10     ? FRAME_DATE
                    : p[10] == 'T' ? FRAME_T
                                   : FRAME_BLANK);
    facts->decimals |= found.decimals;
    *value = (double)(dn_frame_days(year, month, day) * 86400 + hour * 3600 + minute * 60) + seconds;
    return 1;
}

/* ---- any ---- */

static int cell_try(const char *p, size_t size, int as, double *value, frame_facts *facts) {
    if (as == FRAME_TIME) return dn_frame_time(p, size, value, facts);
    return dn_frame_number(p, size, as == FRAME_POINT ? '.' : ',', value, facts);
}

double dn_frame_value(const char *p, size_t size, int as, frame_facts *facts) {
    double value = NAN, other;
    if (dn_frame_is_missing(p, size) || cell_try(p, size, as, &value, facts)) return value;
    facts->seen |= (unsigned)as;
    for (int way = FRAME_POINT; way <= FRAME_TIME; way *= 2) {
        frame_facts found = {0, 0};
        if (facts->seen & (unsigned)way) continue;
        if (cell_try(p, size, way, &other, &found))
            facts->seen |= found.seen;
        else
            facts->seen |= (unsigned)way;
    }
    return NAN;
}

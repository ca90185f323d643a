/* Text to numbers. A mantissa of up to 19 digits becomes a double and is multiplied by a power of ten, which is right
 * to a few ulps. That is enough for a float32 unless the midpoint of two floats is equally near; then the digits and
 * the midpoint are compared exactly, as integers of arbitrary size, and the double is put on the right side. */
#include "base/number.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXACT_POWERS = 22 }; /* the largest power of ten that a double holds exactly */
static const double power_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

typedef struct number {
    uint64_t mantissa; /* the first 19 digits or fewer */
    int exponent, found;
} number;

#define MANTISSA_FULL 1000000000000000000u /* no room for another digit */
#define MANTISSA_OCTET 10000000000u        /* room for eight more below this */

/* Digits before (after = 0) or after the decimal point. */
static inline const char *number_digits(const char *p, number *n, int after, int padded) {
    static const uint32_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    while (padded && n->mantissa < MANTISSA_OCTET) {
        uint64_t word = dn_digits_load(p);
        unsigned count = dn_digits_count(word);
        n->mantissa = n->mantissa * powers[count] + dn_digits_value(word, count);
        n->exponent -= after ? (int)count : 0;
        n->found |= count > 0;
        p += count;
        if (count < 8) return p;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        n->found = 1;
        if (n->mantissa < MANTISSA_FULL)
            n->mantissa = n->mantissa * 10 + (uint64_t)(*p - '0'), n->exponent -= after;
        else
            n->exponent += !after;
    }
    return p;
}

/* e[+-]digits, if there is one; NULL for an e without digits. */
static const char *number_exponent(const char *p, int *exponent) {
    if (*p != 'e' && *p != 'E') return p;
    int minus = *++p == '-', e = 0;
    if (*p == '-' || *p == '+') p++;
    if (*p < '0' || *p > '9') return NULL;
    for (; *p >= '0' && *p <= '9'; p++) e = e < 100000 ? e * 10 + (*p - '0') : e;
    *exponent += minus ? -e : e;
    return p;
}

/* ---- exact comparison ---- */

/* Midpoints of floats have at most 113 digits; any digits beyond those can only make the text the larger of the two. At
 * this limit, the largest product is 2^202 times 10^130. */
enum { BIG_DIGITS = 130, BIG_LIMBS = 40 };

typedef struct big {
    uint32_t limbs[BIG_LIMBS];
    int n;
} big;

static void big_multiply_add(big *b, uint32_t factor, uint32_t carry) {
    for (int i = 0; i < b->n; i++) {
        uint64_t product = (uint64_t)b->limbs[i] * factor + carry;
        b->limbs[i] = (uint32_t)product, carry = (uint32_t)(product >> 32);
    }
    assert(b->n < BIG_LIMBS || !carry);
    if (carry) b->limbs[b->n++] = carry;
}

static void big_power(big *b, uint32_t base, int exponent) {
    for (; exponent > 0; exponent--) big_multiply_add(b, base, 0);
}

static int big_compare(const big *a, const big *b) {
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (int i = a->n - 1; i >= 0; i--)
        if (a->limbs[i] != b->limbs[i]) return a->limbs[i] < b->limbs[i] ? -1 : 1;
    return 0;
}

/* Compare the unsigned number at p with a midpoint of two floats. */
static int number_compare(const char *p, double midpoint) {
    int exponent = 0, digits = 0, rest = 0, after = 0, binary;
    uint64_t mantissa = (uint64_t)ldexp(frexp(midpoint, &binary), 53);
    big a = {.n = 0}, b = {{(uint32_t)mantissa, (uint32_t)(mantissa >> 32)}, 2};
    for (; (*p >= '0' && *p <= '9') || (*p == '.' && !after); p++) {
        if (*p == '.') {
            after = 1;
        } else if (digits < BIG_DIGITS) {
            big_multiply_add(&a, 10, (uint32_t)(*p - '0'));
            digits += a.n > 0, exponent -= after;
        } else {
            rest |= *p != '0', exponent += !after;
        }
    }
    number_exponent(p, &exponent);
    binary -= 53;
    big_power(exponent < 0 ? &b : &a, 10, exponent < 0 ? -exponent : exponent);
    big_power(binary < 0 ? &a : &b, 2, binary < 0 ? -binary : binary);
    int order = big_compare(&a, &b);
    return order ? order : rest;
}

/* ---- value ---- */

/* v is within 2^-50 of the text; adjust it so that it rounds to the same float32 as the text. */
static double number_settle(const char *text, double v) {
    float below = (float)(v * (1 - 0x1p-49)), above = (float)(v * (1 + 0x1p-49));
    if (below == above) return v;
    double midpoint = isinf(above) ? 0x1.ffffffp127 : ((double)below + (double)above) / 2;
    int order = number_compare(text, midpoint);
    if (order == 0) return midpoint;
    if (order < 0) return v < midpoint ? v : nextafter(midpoint, 0);
    return v > midpoint ? v : nextafter(midpoint, INFINITY);
}

/* v 10^e, right to an ulp or two as long as no step leaves the range of a double. */
static double number_scale(double v, int e) {
    for (; e > EXACT_POWERS; e -= EXACT_POWERS) v *= power_of_ten[EXACT_POWERS];
    for (; e < -EXACT_POWERS; e += EXACT_POWERS) v /= power_of_ten[EXACT_POWERS];
    return e < 0 ? v / power_of_ten[-e] : v * power_of_ten[e];
}

static inline const char *number_parse(const char *p, double *value, int padded) {
    number n = {0};
    int negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    const char *text = p;
    p = number_digits(p, &n, 0, padded);
    if (*p == '.') p = number_digits(p + 1, &n, 1, padded);
    if (!n.found || !(p = number_exponent(p, &n.exponent))) return NULL;
    double v = (double)n.mantissa;
    if (n.mantissa && (n.exponent || n.mantissa > (uint64_t)1 << 53)) {
        int e = n.exponent > 400 ? 400 : n.exponent < -400 ? -400 : n.exponent;
        v = number_scale(v, e);
        if (!isfinite(v)) return NULL;
        v = number_settle(text, v);
    }
    *value = negative ? -v : v;
    return p;
}

const char *dn_number_parse(const char *text, double *value) { return number_parse(text, value, 0); }
const char *dn_number_parse_padded(const char *text, double *value) { return number_parse(text, value, 1); }

/* ---- numbers to text ---- */

enum { FEWEST = 6, MOST = 9 }; /* digits: "%g" has 6, and 9 tell any two floats apart */
static const uint32_t whole_power[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

/* The slow way, right for every value. */
static int format_plain(float value, char *text) {
    char all[40];
    int n = 0;
    for (int digits = FEWEST; digits <= MOST; digits++) {
        double back;
        n = snprintf(all, sizeof all, "%.*g", digits, (double)value);
        for (int i = 0; i < n; i++)
            if (all[i] == ',') all[i] = '.'; /* in any locale */
        if (dn_number_parse(all, &back) && (float)back == value) break;
    }
    memcpy(text, all, (size_t)n);
    return n;
}

static int format_digits(uint32_t digits, int n, char *text) {
    for (int i = n - 1; i >= 0; i--, digits /= 10) text[i] = (char)('0' + digits % 10);
    return n;
}

/* digits (n of them, the first one not 0) times 10^(exponent + 1 - n), as "%.*g" with `precision` writes it. */
static int format_layout(uint32_t digits, int n, int exponent, int precision, char *text) {
    char d[16];
    for (; digits % 10 == 0; digits /= 10) n--;
    format_digits(digits, n, d);
    int at = 0, whole = exponent + 1; /* digits before the point */
    if (exponent < -4 || exponent >= precision) {
        whole = 1;
    } else if (exponent < 0) {
        text[at++] = '0', text[at++] = '.';
        for (; whole < 0; whole++) text[at++] = '0';
        whole = n;
    }
    for (int i = 0; i < n || i < whole; i++) {
        if (i == whole) text[at++] = '.';
        text[at++] = i < n ? d[i] : '0';
    }
    if (exponent >= -4 && exponent < precision) return at;
    text[at++] = 'e', text[at++] = exponent < 0 ? '-' : '+';
    return at + format_digits((uint32_t)(exponent < 0 ? -exponent : exponent), 2, text + at);
}

static double number_power_of_two(int e) {
    uint64_t bits = (uint64_t)(e + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* Let t = value 10^k have nine digits before the point. A decimal with fewer digits reads back exactly when it lies
 * within half the distance to the neighbouring floats. t is right to 1e-6; anything closer to a boundary than the
 * margin is formatted the slow way. */
int dn_number_format(float value, char *text) {
    const double margin = 1e-5;
    int sign = signbit(value) != 0;
    float size = fabsf(value);
    *text = '-';
    if (size < 1e6f && size == (float)(uint32_t)size) {
        int n = 1;
        while (size >= (float)whole_power[n]) n++;
        return sign + format_digits((uint32_t)size, n, text + sign);
    }
    if (!isfinite(value)) return format_plain(value, text);
    uint32_t bits;
    memcpy(&bits, &size, sizeof bits);
    int normal = bits >> 23 != 0, two = normal ? (int)(bits >> 23) - 127 : ilogbf(size); /* power of two */
    double v = size, power = number_power_of_two(two);
    int exponent = (int)((two + (v / power - 1)) * 0.30102999566398120 + 400) - 400; /* of ten, or one less */
    double t = number_scale(v, MOST - 1 - exponent);
    if (t >= whole_power[MOST]) t = number_scale(v, MOST - 1 - ++exponent);
    double half = t / v * number_power_of_two((normal ? two : -126) - 24);
    double below = normal && bits << 9 == 0 ? half / 2 : half; /* the floats below a power of two are closer together */
    for (int digits = FEWEST; digits <= MOST; digits++) {
        uint32_t unit = whole_power[MOST - digits], q = (uint32_t)t / unit;
        double rest = t - (double)q * unit, d;
        if (fabs(rest - 0.5 * unit) < margin) break;
        q += rest > 0.5 * unit;
        d = (double)q * unit - t;
        double room = (d < 0 ? below : half) - fabs(d);
        if (fabs(room) < margin) break;
        if (room < 0) continue;
        if (q == whole_power[digits]) q /= 10, exponent++;
        return sign + format_layout(q, digits, exponent, digits, text + sign);
    }
    return format_plain(value, text);
}

/* Powers of five up to 5^27 fit in 64 bits. A quotient or product of 64 bits or more, whose lowest bit also stands for
 * whatever is after it, becomes a double in one rounding. */
static double number_quotient(uint64_t m, uint64_t five, int exponent) {
    int left = __builtin_clzll(m), left_five = __builtin_clzll(five);
    unsigned __int128 n = (unsigned __int128)(m << left) << 63;
    uint64_t d = five << left_five, q = (uint64_t)(n / d);
    q |= (uint64_t)(n - (unsigned __int128)q * d != 0);
    return (double)q * number_power_of_two(left_five - left - 63 + exponent);
}

static double number_product(uint64_t m, uint64_t five, int exponent) {
    unsigned __int128 n = (unsigned __int128)m * five;
    uint64_t high = (uint64_t)(n >> 64);
    if (!high) return (double)(uint64_t)n * number_power_of_two(exponent);
    int left = __builtin_clzll(high);
    n <<= left;
    uint64_t top = (uint64_t)(n >> 64) | ((uint64_t)n != 0);
    return (double)top * number_power_of_two(64 - left + exponent);
}

double dn_number_exact(uint64_t m, int e) {
    static const uint64_t fives[DN_NUMBER_EXACT + 1] = {1u,
                                                        5u,
                                                        25u,
                                                        125u,
                                                        625u,
                                                        3125u,
                                                        15625u,
                                                        78125u,
                                                        390625u,
                                                        1953125u,
                                                        9765625u,
                                                        48828125u,
                                                        244140625u,
                                                        1220703125u,
                                                        6103515625u,
                                                        30517578125u,
                                                        152587890625u,
                                                        762939453125u,
                                                        3814697265625u,
                                                        19073486328125u,
                                                        95367431640625u,
                                                        476837158203125u,
                                                        2384185791015625u,
                                                        11920928955078125u,
                                                        59604644775390625u,
                                                        298023223876953125u,
                                                        1490116119384765625u,
                                                        7450580596923828125u};
    if (m <= (uint64_t)1 << 53 && e >= -EXACT_POWERS && e <= EXACT_POWERS)
        return e < 0 ? (double)m / power_of_ten[-e] : (double)m * power_of_ten[e];
    return e < 0 ? number_quotient(m, fives[-e], e) : number_product(m, fives[e], e);
}

/* Replace a text by another one within a number. */
static void number_replace(char *text, size_t room, const char *from, const char *to) {
    char *at = strstr(text, from);
    size_t n = strlen(from), m = strlen(to);
    if (!at || !strcmp(from, to) || strlen(text) - n + m >= room) return;
    memmove(at + m, at + n, strlen(at + n) + 1);
    memcpy(at, to, m);
}

/* What the locale has between whole part and fraction: what it writes between the 0 and the 5 of 0.5. (Asking for it is
 * not safe with threads.) */
static void number_point(char point[16]) {
    char half[16];
    int n = snprintf(half, sizeof half, "%.1f", 0.5) - 2;
    snprintf(point, 16, "%.*s", n, half + 1);
}

size_t dn_number_write(double value, char text[DN_NUMBER_DOUBLE]) {
    char point[16];
    number_point(point);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, DN_NUMBER_DOUBLE, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    number_replace(text, DN_NUMBER_DOUBLE, point, ".");
    return strlen(text);
}

size_t dn_number_json(double value, char text[DN_NUMBER_DOUBLE]) {
    if (isfinite(value)) return dn_number_write(value, text);
    memcpy(text, "null", sizeof "null");
    return strlen("null");
}

size_t dn_number_fixed(double value, int decimals, char *text, size_t room) {
    char point[16];
    number_point(point);
    snprintf(text, room, "%.*f", decimals, value);
    number_replace(text, room, point, ".");
    return strlen(text);
}

void dn_number_read(const char *text, double *value) {
    char local[80], point[16];
    number_point(point);
    snprintf(local, sizeof local, "%s", text);
    number_replace(local, sizeof local, ".", point);
    *value = strtod(local, NULL);
}

/* Columns of numbers: statistics, and the ranks of values as normal scores and back. */
#include "base/normal.h"
#include "base/number.h"
#include "base/sys.h"
#include "io/columns.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sorting ---- */

/* Doubles as integers in the same order. */
static uint64_t sort_key(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

enum { SORT_BITS = 11, SORT_BUCKETS = 1 << SORT_BITS, SORT_PASSES = 6 };

/* By the digits of the keys, the lowest first; a digit that all of them share is passed over. */
void dn_columns_sort(double *values, double *spare, size_t n) {
    double *from = values, *to = spare;
    for (int pass = 0; pass < SORT_PASSES; pass++) {
        size_t place[SORT_BUCKETS] = {0}, sum = 0, count;
        int shift = pass * SORT_BITS, shared = 0;
        for (size_t i = 0; i < n; i++) place[sort_key(from[i]) >> shift & (SORT_BUCKETS - 1)]++;
        for (int b = 0; b < SORT_BUCKETS; b++) {
            count = place[b], place[b] = sum, sum += count;
            shared |= count == n;
        }
        if (shared) continue;
        for (size_t i = 0; i < n; i++) to[place[sort_key(from[i]) >> shift & (SORT_BUCKETS - 1)]++] = from[i];
        double *swap = from;
        from = to, to = swap;
    }
    if (from != values) memcpy(values, from, n * sizeof *values);
}

/* ---- statistics ---- */

/* Linear between neighbours, as numpy's percentile is. */
static double quantile(const double *sorted, size_t n, double p) {
    double place = p * (double)(n - 1), whole = floor(place), part = place - whole;
    double below = sorted[(size_t)whole], above = sorted[whole + 1 < (double)n ? (size_t)whole + 1 : n - 1];
    return below * (1 - part) + above * part;
}

/* The sums are of values divided by a power of two, so that neither they nor squares overflow. */
static void mean_and_deviation(columns_column *c, const double *v, size_t n) {
    double largest = fmax(fabs(c->low), fabs(c->high));
    int e = largest > 0 ? ilogb(largest) : 0;
    double unit = ldexp(1, e < -1000 ? -1000 : e > 1000 ? 1000 : e), sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += v[i] / unit;
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (v[i] / unit - mean) * (v[i] / unit - mean);
    c->mean = mean * unit;
    c->deviation = c->low < c->high ? fmin(sqrt(squares / (double)n) * unit, DBL_MAX) : 0;
}

static size_t run_end(const double *v, size_t n, size_t i) {
    double value = v[i];
    while (i < n && v[i] == value) i++;
    return i;
}

/* ---- knots ---- */

dn_status dn_columns_knots_alloc(columns_knots *k, int n) {
    k->n = n;
    k->values = dn_alloc((size_t)n, sizeof *k->values);
    k->codes = dn_alloc((size_t)n, sizeof *k->codes);
    k->below = dn_alloc((size_t)n, sizeof *k->below);
    k->at = dn_alloc((size_t)n, sizeof *k->at);
    return k->values && k->codes && k->below && k->at ? DN_OK : DN_E_MEMORY;
}

void dn_columns_knots_free(columns_knots *k) {
    dn_free(k->values);
    dn_free(k->codes);
    dn_free(k->below);
    dn_free(k->at);
    *k = (columns_knots){0};
}

void dn_columns_knots_finish(columns_knots *k) {
    for (int i = 0; i < k->n; i++)
        k->codes[i] = dn_normal_quantile(((double)k->below[i] + 0.5 * (double)k->at[i]) / (double)k->rows);
}

/* Of more different values than there is room for, those are kept that many rows have, with their neighbours, so that
 * no row falls between them by interpolation; and of the others about one in n/400 rows, more at both ends, where
 * values lie far apart. */
static int knot_wanted(const double *v, size_t n, size_t begin, size_t end, size_t last, int after_atom) {
    size_t atom = n / 250 > 2 ? n / 250 : 2;
    if (begin == 0 || end == n || after_atom || end - begin >= atom) return 1;
    if (run_end(v, n, end) - end >= atom) return 1;
    double r = (double)(begin < n - end ? begin : n - end), step = fmin((double)n / 400, fmax(1, r / 10));
    return (double)(end - last) >= step;
}

static dn_status make_knots(columns_column *c, const double *v, size_t n) {
    columns_knots *k = &c->knots;
    int room = c->distinct < COLUMNS_KNOTS ? (int)c->distinct : COLUMNS_KNOTS, all = c->distinct <= COLUMNS_KNOTS;
    size_t last = 0, atom = n / 250 > 2 ? n / 250 : 2;
    int after = 0, used = 0;
    DN_TRY(dn_columns_knots_alloc(k, room));
    for (size_t i = 0, end; i < n; i = end) {
        end = run_end(v, n, i);
        if (!all && (end < n && used >= room - 1)) continue;
        if (!all && !knot_wanted(v, n, i, end, last, after)) continue;
        k->values[used] = v[i], k->below[used] = i, k->at[used] = end - i;
        used++, last = end, after = end - i >= atom;
    }
    k->n = used, k->rows = n;
    dn_columns_knots_finish(k);
    return DN_OK;
}

/* To `decimals` places; numbers too large to have so many stay. */
static double round_to(double v, int decimals) {
    double power = decimals >= 0 && decimals <= 15 ? pow(10, decimals) : 0;
    return power > 0 && fabs(v) * power < 0x1p52 ? round(v * power) / power + 0.0 : v;
}

/* Programs write 12.0 where other rows have no value, but the numbers are whole. */
static int places_of(const columns_column *c, const double *v, size_t n) {
    const int most = c->decimals < 0 || c->decimals > 6 ? 6 : c->decimals;
    size_t i = 0;
    for (int d = 0; d <= most; d++) {
        while (i < n && round_to(v[i], d) == v[i]) i++;
        if (i == n) return d;
    }
    return c->decimals > 6 ? c->decimals : -1;
}

dn_status dn_columns_measure(columns_column *c, const double *v, size_t n) {
    c->low = v[0], c->high = v[n - 1], c->distinct = 0;
    for (size_t i = 0; i < n; i = run_end(v, n, i)) c->distinct++;
    mean_and_deviation(c, v, n);
    c->places = c->type == DN_FRAME_TIME ? -1 : places_of(c, v, n);
    double q1 = quantile(v, n, 0.25), q3 = quantile(v, n, 0.75);
    c->median = quantile(v, n, 0.5), c->spread = fmin(q3 - q1, DBL_MAX);
    return make_knots(c, v, n);
}

/* ---- coding ---- */

static double clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

/* What counts as one unit of a column: of a normal distribution, of which the interquartile range is 1.349 standard
 * deviations, that; where half of the rows have the same value, the deviation. */
static double robust_unit(const columns_column *c) {
    double unit = c->spread > 0 ? c->spread / 1.349 : c->deviation;
    return unit > DBL_MIN ? unit : DBL_MIN;
}

/* The last knot whose value is not above v; there is one. */
static int knot_at_value(const columns_knots *k, double v) {
    int low = 0, high = k->n;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (k->values[middle] <= v)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static double quantile_code(const columns_column *c, double v) {
    const columns_knots *k = &c->knots;
    double low = k->values[0], high = k->values[k->n - 1];
    if (v < low) return k->codes[0] - (low - v) / robust_unit(c);
    if (v > high) return k->codes[k->n - 1] + (v - high) / robust_unit(c);
    int i = knot_at_value(k, v);
    if (v == k->values[i]) return k->codes[i];
    double part = (v / 2 - k->values[i] / 2) / (k->values[i + 1] / 2 - k->values[i] / 2);
    double from = (double)(k->below[i] + k->at[i]), to = (double)k->below[i + 1];
    if (from == to) { /* nobody had a value between: from middle to middle */
        from -= 0.5 * (double)k->at[i];
        to += 0.5 * (double)k->at[i + 1];
    }
    return dn_normal_quantile((from + part * (to - from)) / (double)k->rows);
}

float dn_columns_code_number(const columns_column *c, int coding, double v) {
    const double most = 1e6; /* keeps squares of float32 finite */
    if (coding == COLUMNS_QUANTILES) return (float)clip(quantile_code(c, v), -COLUMNS_CUT, COLUMNS_CUT);
    if (coding == COLUMNS_ROBUST) return (float)clip((v - c->median) / robust_unit(c), -COLUMNS_CUT, COLUMNS_CUT);
    return (float)clip((v - c->mean) / (c->deviation > DBL_MIN ? c->deviation : DBL_MIN), -most, most);
}

int dn_columns_single(const columns_knots *k, int i) {
    return i >= 0 && i + 1 < k->n && k->at[i] == 1 && k->at[i + 1] == 1 && k->below[i] + 1 == k->below[i + 1];
}

/* The value of one row stands for the values around it: off its middle rank a code is of a value between it and its
 * neighbour, or rows drawn from a table of measurements would be made of its cells. Only so near the middle that
 * rounding of codes to float32 makes no difference is it the value itself. */
static double single_value(const columns_knots *k, int i, double rank) {
    double off = rank - ((double)k->below[i] + 0.5), exact = clip(4e-8 * (double)k->rows, 1e-3, 0.25);
    int next = off < 0 ? i - 1 : i + 1;
    if (fabs(off) <= exact || !dn_columns_single(k, next < i ? next : i)) return k->values[i];
    double part = fmin((fabs(off) - exact) / (1 - 2 * exact), 0.5);
    return k->values[i] * (1 - part) + k->values[next] * part;
}

static double quantile_value(const columns_column *c, double code) {
    const columns_knots *k = &c->knots;
    double rank = dn_normal_below(code) * (double)k->rows;
    int low = 0, high = k->n;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if ((double)k->below[middle] <= rank)
            low = middle;
        else
            high = middle;
    }
    double from = (double)(k->below[low] + k->at[low]);
    if (k->at[low] == 1 && rank < from) return single_value(k, low, rank);
    if (rank <= from || low == k->n - 1) return k->values[low];
    double part = (rank - from) / ((double)k->below[low + 1] - from);
    return k->values[low] * (1 - part) + k->values[low + 1] * part;
}

double dn_columns_decode_number(const columns_column *c, int coding, double code) {
    double v = coding == COLUMNS_QUANTILES ? quantile_value(c, code)
               : coding == COLUMNS_ROBUST  ? c->median + code * robust_unit(c)
                                           : c->mean + code * c->deviation;
    v = clip(v, c->low, c->high);
    if (c->type == DN_FRAME_TIME) {
        double unit = dn_columns_time_unit(c->form);
        v = round(v / unit) * unit;
    } else {
        v = round_to(v, c->places);
    }
    return clip(v, c->low, c->high);
}

/* ---- text ---- */

double dn_columns_time_unit(int form) { return form & 8 ? 1e-6 : form & 4 ? 1 : form & 3 ? 60 : 86400; }

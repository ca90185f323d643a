/* Where drawn rows have gaps. Of every column with missing cells it is learned how often they are missing given one
 * other thing in the row: what another column has, or whether it has a value. That one is chosen which says most about
 * them, by the likelihood of the gaps less half of ln(rows) and ln(values), for which of them it is, for each value
 * that has some (after the Bayesian information criterion, Schwarz 1978); none, if none pays. Columns are taken in the
 * table's order, each after those before it, so that together they are a distribution: gaps that come together or that
 * follow from a value do so again.
 */
#include "base/normal.h"
#include "base/rng.h"
#include "base/sys.h"
#include "io/columns.h"
#include "io/frame.h"
#include <math.h>
#include <string.h>

/* Rows from which it is learned, at equal distances; bins of a number: missing, its least and greatest value, and equal
 * parts between them. */
enum { GAPS_ROWS = 20000, GAPS_PARTS = 16, GAPS_NUMBER = 3 + GAPS_PARTS, GAPS_MOST = 256 };

/* ---- what is known of a row ---- */

int dn_columns_bins(const columns_column *c) {
    int classes = columns_classes(c);
    return c->coded < 0 ? 0 : classes ? 1 + classes : GAPS_NUMBER;
}

/* The bin of a column's code in a row, 0: missing. */
static int bin_of(const dn_schema *s, const columns_column *c, float x) {
    int classes = columns_classes(c);
    if (isnan(x)) return 0;
    if (classes) return 1 + (x <= 0 ? 0 : x >= (float)(classes - 1) ? classes - 1 : (int)lrintf(x));
    double value = dn_columns_decode_number(c, s->coding, x); /* as it will be written */
    if (value <= c->low) return 1;
    if (value >= c->high) return 2;
    int part = (int)(GAPS_PARTS * dn_normal_below(dn_columns_code_number(c, s->coding, value)));
    return 3 + (part < 0 ? 0 : part >= GAPS_PARTS ? GAPS_PARTS - 1 : part);
}

static int has_gaps(const columns_column *c) { return c->coded >= 0 && c->missing > 0; }

/* May gaps of column i depend on column k? It is then known before them. */
static int may_follow(const dn_schema *s, int i, int k, int given) {
    const columns_column *c = &s->columns[k];
    int bins = given ? 2 : dn_columns_bins(c);
    if (k == i || c->coded < 0 || bins > GAPS_MOST || (given && !has_gaps(c))) return 0;
    return !has_gaps(c) || k < i;
}

int dn_columns_gaps_fit(const dn_schema *s, int index) {
    const columns_gaps *g = &s->columns[index].gaps;
    if (g->by < 0) return !g->n;
    if (g->by >= s->n || !may_follow(s, index, g->by, g->given)) return 0;
    if (g->n != (g->given ? 2 : dn_columns_bins(&s->columns[g->by]))) return 0;
    for (int b = 0; b < g->n; b++)
        if (g->missing[b] > g->rows[b]) return 0;
    return 1;
}

/* ---- learning ---- */

typedef struct gap_learning {
    dn_schema *schema;
    size_t rows;
    uint8_t *bins; /* (coded, rows) */
} gap_learning;

static double log_likelihood(uint64_t missing, uint64_t rows) {
    if (!missing || missing == rows) return 0;
    double p = (double)missing / (double)rows;
    return (double)missing * log(p) + (double)(rows - missing) * log1p(-p);
}

static void count(const gap_learning *l, int i, int k, int given, uint64_t *rows, uint64_t *missing) {
    const uint8_t *mine = l->bins + (size_t)l->schema->columns[i].coded * l->rows,
                  *other = l->bins + (size_t)l->schema->columns[k].coded * l->rows;
    memset(rows, 0, GAPS_MOST * sizeof *rows);
    memset(missing, 0, GAPS_MOST * sizeof *missing);
    for (size_t r = 0; r < l->rows; r++) {
        int bin = given ? other[r] != 0 : other[r];
        rows[bin]++, missing[bin] += !mine[r];
    }
}

/* How much it says, less what it takes. */
static double gain(const gap_learning *l, int i, int k, int given) {
    uint64_t rows[GAPS_MOST], missing[GAPS_MOST], all = 0;
    double sum = 0;
    int used = 0, there = 0, bins = given ? 2 : dn_columns_bins(&l->schema->columns[k]);
    count(l, i, k, given, rows, missing);
    for (int b = 0; b < GAPS_MOST; b++) {
        sum += log_likelihood(missing[b], rows[b]);
        used += missing[b] > 0, there += rows[b] > 0, all += missing[b];
    }
    return sum - log_likelihood(all, l->rows) - (0.5 * log((double)l->rows) + log(bins)) * (used - (used == there));
}

static dn_status learn_one(const gap_learning *l, int i) {
    columns_gaps *g = &l->schema->columns[i].gaps;
    double best = 0;
    for (int k = 0; k < l->schema->n; k++)
        for (int given = 1; given >= 0; given--) {
            double found = may_follow(l->schema, i, k, given) ? gain(l, i, k, given) : 0;
            if (found > best) best = found, g->by = k, g->given = given;
        }
    if (g->by < 0) return DN_OK;
    int n = g->given ? 2 : dn_columns_bins(&l->schema->columns[g->by]);
    uint64_t rows[GAPS_MOST], missing[GAPS_MOST];
    count(l, i, g->by, g->given, rows, missing);
    if (!(g->rows = dn_alloc((size_t)n, sizeof *rows)) || !(g->missing = dn_alloc((size_t)n, sizeof *missing)))
        return DN_E_MEMORY;
    memcpy(g->rows, rows, (size_t)n * sizeof *rows);
    memcpy(g->missing, missing, (size_t)n * sizeof *missing);
    g->n = n;
    return DN_OK;
}

/* Rows of the frame at equal distances. */
static dn_status some_rows(const dn_frame *frame, size_t rows, dn_frame *some) {
    *some = (dn_frame){.rows = rows, .n = frame->n, .separator = frame->separator};
    if (!(some->columns = dn_alloc((size_t)frame->n, sizeof *some->columns))) return DN_E_MEMORY;
    for (int i = 0; i < frame->n; i++) {
        const dn_frame_column *from = &frame->columns[i];
        dn_frame_column *to = &some->columns[i];
        *to = *from, to->numbers = NULL, to->codes = NULL;
        double *numbers = from->numbers ? dn_alloc(rows, sizeof *numbers) : NULL;
        int32_t *codes = from->codes ? dn_alloc(rows, sizeof *codes) : NULL;
        to->numbers = numbers, to->codes = codes;
        if ((from->numbers && !numbers) || (from->codes && !codes)) return DN_E_MEMORY;
        for (size_t r = 0; r < rows; r++) {
            size_t at = (size_t)((double)r * (double)frame->rows / (double)rows);
            if (numbers) numbers[r] = from->numbers[at];
            if (codes) codes[r] = from->codes[at];
        }
    }
    return DN_OK;
}

static void some_free(dn_frame *some) {
    for (int i = 0; some->columns && i < some->n; i++)
        dn_free((void *)some->columns[i].numbers), dn_free((void *)some->columns[i].codes);
    dn_free(some->columns);
}

static dn_status learn_gaps(gap_learning *l, const dn_frame *some, float *x) {
    const dn_schema *s = l->schema;
    DN_TRY(dn_schema_code(s, some, x, NULL));
    for (int k = 0; k < s->n_coded; k++) {
        const columns_column *c = &s->columns[s->coded[k]];
        int known = dn_columns_bins(c) <= GAPS_MOST;
        for (size_t r = 0; r < l->rows; r++) {
            float v = x[r * (size_t)s->n_coded + (size_t)k];
            l->bins[(size_t)k * l->rows + r] = (uint8_t)(known ? bin_of(s, c, v) : !isnan(v));
        }
    }
    for (int i = 0; i < s->n; i++)
        if (has_gaps(&s->columns[i])) DN_TRY(learn_one(l, i));
    return DN_OK;
}

dn_status dn_columns_learn_gaps(dn_schema *s, const dn_frame *frame) {
    int some_missing = 0;
    for (int i = 0; i < s->n; i++) some_missing |= has_gaps(&s->columns[i]);
    if (!some_missing || !frame->rows) return DN_OK;
    gap_learning l = {.schema = s, .rows = frame->rows < GAPS_ROWS ? frame->rows : GAPS_ROWS};
    size_t width = (size_t)s->n_coded;
    dn_frame some = {0};
    float *x = dn_alloc(l.rows, width * sizeof *x);
    dn_status status = x && (l.bins = dn_alloc(l.rows, width)) ? DN_OK : DN_E_MEMORY;
    if (status == DN_OK) status = some_rows(frame, l.rows, &some);
    if (status == DN_OK) status = learn_gaps(&l, &some, x);
    some_free(&some);
    dn_free(l.bins), dn_free(x);
    return status;
}

/* ---- drawing ---- */

/* Of the rows with that bin, which part has a gap; of all, if no row had it. */
static double chance(const dn_schema *s, const columns_column *c, const float *row) {
    const columns_gaps *g = &c->gaps;
    double rate = s->rows ? (double)c->missing / (double)s->rows : 0;
    if (g->by < 0) return rate;
    const columns_column *by = &s->columns[g->by];
    float x = row[by->coded];
    int bin = g->given ? !isnan(x) : bin_of(s, by, x);
    return g->rows[bin] ? (double)g->missing[bin] / (double)g->rows[bin] : rate;
}

void dn_columns_draw_gaps(const dn_schema *s, uint64_t seed, const uint8_t *full, float *x, size_t rows) {
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < s->n; i++) {
            const columns_column *c = &s->columns[i];
            if (!has_gaps(c) || full[i]) continue;
            float *row = x + r * (size_t)s->n_coded, u = dn_uniform_at(seed, DN_STREAM_GAPS, r, (uint64_t)c->coded);
            if (u < chance(s, c, row)) row[c->coded] = NAN;
        }
}

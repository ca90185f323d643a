/* A column of a typed table that says how much each row counts. */
#include "base/nearest.h"
#include "base/sys.h"
#include "io/columns.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dn_frame_find(const dn_frame *frame, const char *name) {
    char *end;
    for (int i = 0; i < frame->n; i++)
        if (!strcmp(frame->columns[i].name, name)) return i;
    long index = strtol(name, &end, 10);
    if (index < 0) index += frame->n;
    return end == name || *end || index < 0 || index >= frame->n ? -1 : (int)index;
}

dn_status dn_columns_no_such(const dn_frame *frame, const char *what, const char *name) {
    char shown[COLUMNS_SHOWN];
    dn_nearest near;
    dn_nearest_begin(&near, name, strlen(name));
    for (int i = 0; i < frame->n; i++) dn_nearest_try(&near, frame->columns[i].name, strlen(frame->columns[i].name));
    dn_fail(DN_E_USAGE, "%s '%s': there is no such column among the %d", what, dn_columns_shown(name, shown), frame->n);
    return near.found ? dn_fail(DN_E_USAGE, "%s; did you mean '%s'?", dn_error(), near.found) : DN_E_USAGE;
}

/* Is it a column of weights? *counted: how many of them are not 0. */
static dn_status weights_check(const dn_frame *frame, int column, size_t *counted) {
    const dn_frame_column *c = &frame->columns[column];
    char shown[COLUMNS_SHOWN];
    dn_columns_shown(c->name, shown);
    DN_CHECK(c->type == DN_FRAME_NUMBER, DN_E_FORMAT, "row weight '%s': that column has %s, and weights are numbers",
             shown, c->type == DN_FRAME_TIME ? "times" : "texts");
    *counted = 0;
    for (size_t r = 0; r < frame->rows; r++) {
        double w = c->numbers[r];
        DN_CHECK(!isnan(w), DN_E_FORMAT,
                 "row weight '%s' is missing in row %zu (counted from 1): a row counts 0 or more", shown, r + 1);
        DN_CHECK(w >= 0 && isfinite((float)w), DN_E_FORMAT,
                 "row weight '%s' is %.9g in row %zu (counted from 1): weights are 0 or more, and finite", shown, w,
                 r + 1);
        *counted += w > 0;
    }
    DN_CHECK(*counted, DN_E_FORMAT, "row weight '%s': the weights of all %zu rows are 0", shown, frame->rows);
    return DN_OK;
}

dn_status dn_frame_weights(const dn_frame *frame, const char *column, float *weights) {
    int index = dn_frame_find(frame, column);
    size_t counted;
    if (index < 0) return dn_columns_no_such(frame, "row weight", column);
    DN_TRY(weights_check(frame, index, &counted));
    for (size_t r = 0; r < frame->rows; r++) weights[r] = (float)frame->columns[index].numbers[r];
    return DN_OK;
}

dn_status dn_table_weigh(dn_table *table, const dn_frame *frame, const char *column) {
    float *weights = dn_alloc(frame->rows, sizeof *weights);
    dn_status status = weights ? dn_frame_weights(frame, column, weights) : DN_E_MEMORY;
    if (status != DN_OK) return dn_free(weights), status;
    dn_free(table->weights);
    table->weights = weights;
    return DN_OK;
}

/* ---- rows that count ---- */

static dn_status rows_numbers(const dn_frame *frame, const double *weights, size_t n, dn_frame_column *c) {
    double *to = dn_alloc(n, sizeof *to);
    size_t at = 0;
    if (!to) return DN_E_MEMORY;
    for (size_t r = 0; r < frame->rows; r++)
        if (weights[r] > 0) to[at++] = c->numbers[r];
    c->numbers = to;
    return DN_OK;
}

/* The words of the rows that stay, in the order in which they first appear. */
static dn_status rows_words(const dn_frame *frame, const double *weights, size_t n, dn_frame_column *c) {
    size_t words = c->n_words > 0 ? (size_t)c->n_words : 1, bytes = 0;
    const char **at = dn_alloc(words, sizeof *at), *word = c->words;
    int32_t *now = dn_alloc(words, sizeof *now), *codes = dn_alloc(n, sizeof *codes), found = 0;
    for (int32_t k = 0; at && k < c->n_words; k++, word += strlen(word) + 1) at[k] = word, bytes += strlen(word) + 1;
    char *text = dn_alloc(bytes ? bytes : 1, 1), *end = text;
    if (!at || !now || !codes || !text) {
        dn_free(at), dn_free(now), dn_free(codes), dn_free(text);
        return DN_E_MEMORY;
    }
    for (size_t r = 0, to = 0; r < frame->rows; r++) {
        int32_t code = c->codes[r];
        if (!(weights[r] > 0)) continue;
        if (code >= 0 && !now[code]) { /* number + 1 */
            size_t size = strlen(at[code]) + 1;
            memcpy(end, at[code], size);
            end += size, now[code] = ++found;
        }
        codes[to++] = code < 0 ? code : now[code] - 1;
    }
    dn_free(at), dn_free(now);
    c->codes = codes, c->words = text, c->n_words = found;
    return DN_OK;
}

void dn_columns_rows_free(dn_frame *rows, const dn_frame *frame) {
    if (rows->columns == frame->columns) return;
    for (int i = 0; rows->columns && i < rows->n; i++) {
        dn_frame_column *c = &rows->columns[i];
        const dn_frame_column *from = &frame->columns[i];
        if (c->numbers != from->numbers) dn_free((double *)c->numbers);
        if (c->codes == from->codes) continue;
        dn_free((int32_t *)c->codes), dn_free((char *)c->words);
    }
    dn_free(rows->columns);
    rows->columns = NULL;
}

dn_status dn_columns_rows(const dn_frame *frame, int column, dn_frame *out) {
    const double *weights = frame->columns[column].numbers;
    size_t n;
    *out = *frame;
    DN_TRY(weights_check(frame, column, &n));
    if (n == frame->rows) return DN_OK;
    out->rows = n;
    if (!(out->columns = dn_alloc((size_t)frame->n, sizeof *out->columns))) return DN_E_MEMORY;
    memcpy(out->columns, frame->columns, (size_t)frame->n * sizeof *out->columns);
    dn_status status = DN_OK;
    for (int i = 0; i < frame->n && status == DN_OK; i++) {
        dn_frame_column *c = &out->columns[i];
        status = (c->type == DN_FRAME_TEXT ? rows_words : rows_numbers)(frame, weights, n, c);
    }
    if (status != DN_OK) dn_columns_rows_free(out, frame);
    return status;
}

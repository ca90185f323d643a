/* Columns of words: finding them, and which of them say yes or no. */
#include "base/number.h"
#include "base/sys.h"
#include "io/columns.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

dn_status dn_columns_words_alloc(columns_words *w, int n, size_t text, int numbers) {
    w->n = n;
    w->text = dn_alloc(text, 1);
    w->at = dn_alloc((size_t)n, sizeof *w->at);
    w->order = dn_alloc((size_t)n, sizeof *w->order);
    w->counts = dn_alloc((size_t)n, sizeof *w->counts);
    w->values = numbers ? dn_alloc((size_t)n, sizeof *w->values) : NULL;
    return w->text && w->at && w->order && w->counts && (w->values || !numbers) ? DN_OK : DN_E_MEMORY;
}

void dn_columns_words_free(columns_words *w) {
    dn_free(w->text);
    dn_free(w->at);
    dn_free(w->order);
    dn_free(w->counts);
    dn_free(w->values);
    *w = (columns_words){0};
}

/* Merge sort of the indices: the library's has no context. */
static void sort_words(const char *const *at, int *order, int *spare, int n) {
    int half = n / 2, i = 0, k = half, to = 0;
    if (n < 2) return;
    sort_words(at, order, spare, half);
    sort_words(at, order + half, spare, n - half);
    memcpy(spare, order, (size_t)half * sizeof *order); /* the first half makes room */
    while (i < half) order[to++] = k < n && strcmp(at[order[k]], at[spare[i]]) < 0 ? order[k++] : spare[i++];
}

dn_status dn_columns_words_finish(columns_words *w) {
    const char *p = w->text;
    for (int i = 0; i < w->n; i++, p += strlen(p) + 1) w->at[i] = p, w->order[i] = i;
    int *spare = dn_alloc((size_t)w->n, sizeof *spare);
    if (!spare) return DN_E_MEMORY;
    sort_words(w->at, w->order, spare, w->n);
    dn_free(spare);
    return DN_OK;
}

int dn_columns_word(const columns_words *w, const char *word) {
    for (int low = 0, high = w->n; low < high;) {
        int middle = low + (high - low) / 2, by = strcmp(w->at[w->order[middle]], word);
        if (!by) return w->order[middle];
        if (by < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* The same number, or one that differs as float32 and double do: 0.1 and 0.10000000149. */
static int is_same(double a, double b) { return fabs(a - b) <= 0x1p-23 * fabs(b); }

int dn_columns_value(const columns_words *w, double value) {
    int low = 0, high = w->values ? w->n : 0;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (w->values[middle] == value) return middle;
        if (w->values[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    if (w->values && low < w->n && is_same(value, w->values[low])) return low;
    return w->values && low > 0 && is_same(value, w->values[low - 1]) ? low - 1 : -1;
}

int dn_columns_truth(const char *word) {
    static const char *const words[] = {"no", "yes", "false", "true", "n", "y", "f", "t", "0", "1", "off", "on"};
    char low[8] = "";
    for (size_t i = 0; word[i]; i++) {
        if (i + 1 == sizeof low) return -1;
        low[i] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] + 32) : word[i];
    }
    for (int i = 0; i < (int)(sizeof words / sizeof *words); i++)
        if (!strcmp(low, words[i])) return i & 1;
    return -1;
}

/* The code of a yes/no column that means the same: True for a column of 0 and 1, say. */
static int code_of_truth(const columns_column *c, int truth) {
    if (c->kind != DN_COLUMN_YES_NO || truth < 0) return -1;
    for (int i = 0; i < c->words.n; i++)
        if (dn_columns_truth(c->words.at[i]) == truth) return i;
    return -1;
}

static int rare_or_unknown(const columns_column *c, int rare, int *unknown) {
    *unknown |= rare < 0;
    return columns_other(c);
}

int dn_columns_code_word(const columns_column *c, const char *word, int *unknown) {
    int code = dn_columns_word(&c->words, word);
    if (code < 0) code = code_of_truth(c, dn_columns_truth(word));
    return code >= 0 ? code : rare_or_unknown(c, dn_columns_word(&c->rare, word), unknown);
}

/* Of a column of texts, as a table has it that happens to have numbers only there. */
static int code_of_number_text(const columns_column *c, double value, int decimals, int *unknown) {
    char text[COLUMNS_NUMBER];
    int code;
    dn_columns_number_text(value, decimals, text);
    if ((code = dn_columns_word(&c->words, text)) >= 0) return code;
    if (dn_columns_word(&c->rare, text) >= 0) return columns_other(c);
    dn_number_write(value, text);
    return dn_columns_code_word(c, text, unknown);
}

int dn_columns_code_value(const columns_column *c, double value, int decimals, int *unknown) {
    if (c->type == DN_FRAME_TEXT) return code_of_number_text(c, value, decimals, unknown);
    int code = dn_columns_value(&c->words, value);
    return code >= 0 ? code : rare_or_unknown(c, dn_columns_value(&c->rare, value), unknown);
}

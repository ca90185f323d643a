#include "net/coded.h"
#include "base/sys.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CLASSES = 1 << 24 }; /* float32 has all codes below */

/* ---- what the section says ---- */

/* number, yes_no or category:N */
static dn_status columns_kind(const dn_section *s, const char *text, int index, int *classes) {
    static const char *const words[] = {"number", "yes_no", "category:2", NULL};
    const size_t size = strlen("category:");
    dn_like like;
    char *end;
    *classes = !strcmp(text, "number") ? DN_CLASSES_NUMBER : DN_CLASSES_YES_NO;
    if (!*classes || !strcmp(text, "yes_no")) return DN_OK;
    if (strncmp(text, "category:", size))
        return dn_cfg_error(s, "kinds", "kind %d, '%.40s', is not number, yes_no or category:N (N classes)%s",
                            index + 1, text, dn_cfg_like(&like, text, words));
    long n = strtol(text + size, &end, 10);
    if (text[size] < '0' || text[size] > '9' || *end || n < 2 || n > MOST_CLASSES)
        return dn_cfg_error(s, "kinds", "kind %d, '%.40s': the number of classes is not in 2 to %d", index + 1, text,
                            MOST_CLASSES);
    *classes = (int)n;
    return DN_OK;
}

static dn_status columns_kinds(dn_coded *c, dn_section *s) {
    char **kinds = NULL;
    int n;
    dn_status status = dn_cfg_cells(s, "kinds", &kinds, &n);
    if (status == DN_OK && !n)
        status = dn_cfg_error(s, NULL, "kinds= is missing: number, yes_no or category:N for each column");
    if (status == DN_OK && !(c->classes = dn_alloc((size_t)n, 2 * sizeof *c->classes + 1))) status = DN_E_MEMORY;
    if (status == DN_OK) c->n = n, c->at = c->classes + n, c->given = (char *)(c->at + n);
    for (int i = 0; i < n && status == DN_OK; i++) status = columns_kind(s, kinds[i], i, &c->classes[i]);
    dn_free(kinds);
    return status;
}

/* A name stands for one column. */
static dn_status columns_names(dn_coded *c, dn_section *s) {
    int n;
    DN_TRY(dn_cfg_cells(s, "names", &c->names, &n));
    if (c->names && n != c->n)
        return dn_cfg_error(s, "names",
                            "names= has %d name%s, but kinds= %d kind%s (a name that contains a comma is in quotes)", n,
                            n == 1 ? "" : "s", c->n, c->n == 1 ? "" : "s");
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(c->names[i], c->names[k]))
                return dn_cfg_error(s, "names", "columns %d and %d have the same name, '%.60s'", k + 1, i + 1,
                                    c->names[i]);
    return DN_OK;
}

static dn_status columns_lay_out(dn_coded *c, dn_section *s) {
    int64_t at = 0;
    for (int i = 0; i < c->n; i++)
        if (c->classes[i] == DN_CLASSES_NUMBER) c->at[i] = (int)at++;
    c->numbers = (int)at;
    if (c->flags) at *= 2;
    for (int kind = 0; kind < 2; kind++)
        for (int i = 0; i < c->n; i++) {
            if (c->classes[i] == DN_CLASSES_NUMBER || (c->classes[i] == DN_CLASSES_YES_NO) == kind) continue;
            c->at[i] = (int)at, at += dn_coded_width(c, i);
            if (at > INT_MAX) return dn_cfg_error(s, "kinds", "the columns expand to more than %d values", INT_MAX);
        }
    c->outputs = (int)at;
    return DN_OK;
}

dn_status dn_coded_parse(dn_coded *c, dn_section *s, int flags) {
    *c = (dn_coded){.flags = flags};
    DN_TRY(columns_kinds(c, s));
    DN_TRY(columns_names(c, s));
    return columns_lay_out(c, s);
}

void dn_coded_free(dn_coded *c) {
    dn_free(c->names);
    dn_free(c->classes);
}

int dn_coded_count(dn_section *s) {
    const dn_option *o = dn_cfg_option(s, "kinds");
    int n = o != NULL;
    for (const char *p = o ? o->text : ""; *p; p++) n += *p == ',';
    return n;
}

dn_status dn_coded_find(const dn_coded *c, const dn_section *s, const char *key, const char *name, int *index) {
    dn_like like;
    char *end;
    for (*index = 0; c->names && *index < c->n; ++*index)
        if (!strcmp(name, c->names[*index])) return DN_OK;
    long n = strtol(name, &end, 10);
    if (*name >= '0' && *name <= '9' && !*end && n < c->n) {
        *index = (int)n;
        return DN_OK;
    }
    const char **known = dn_alloc((size_t)c->n + 1, sizeof *known);
    for (int i = 0; known && c->names && i < c->n; i++) known[i] = c->names[i];
    const char *text = known ? dn_cfg_like(&like, name, known) : "";
    dn_free((void *)known);
    return dn_cfg_error(s, key, "'%.60s' is no column: [columns] has %d, by name or by number from 0 on%s", name, c->n,
                        text);
}

/* ---- rows ---- */

void dn_coded_expansion(const dn_coded *c, int *column, int *as) {
    for (int i = 0; i < c->n; i++) {
        int at = c->at[i], classes = c->classes[i], number = classes == DN_CLASSES_NUMBER;
        for (int k = 0; k < dn_coded_width(c, i); k++) column[at + k] = i, as[at + k] = k;
        if (number) as[at] = DN_EXPAND_NUMBER;
        if (classes == DN_CLASSES_YES_NO) as[at] = DN_EXPAND_SIGN;
        if (number && c->flags) column[c->numbers + at] = i, as[c->numbers + at] = DN_EXPAND_MISSING;
    }
}

void dn_coded_give(const dn_coded *c, const float *x, size_t rows, float *out) {
    size_t n = (size_t)c->n;
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; c->given[i] && r < rows; r++) out[r * n + i] = x[r * n + i];
}

static const char *value_fault(int classes, float x) {
    if (isnan(x)) return NULL;
    if (isinf(x)) return "finite numbers (nan where a value is missing)";
    if (classes == DN_CLASSES_NUMBER) return NULL;
    if (classes == DN_CLASSES_YES_NO)
        return x >= 0 && x <= 1 ? NULL : "0 for no and 1 for yes in this column (nan where it is missing)";
    if (x >= 0 && x < (float)classes && x == floorf(x)) return NULL;
    return "codes in this column, whole numbers from 0 to its classes - 1 (nan where it is missing)";
}

int dn_coded_fault(const dn_coded *c, const float *x, size_t rows, int given, dn_truth_fault *fault) {
    size_t n = (size_t)c->n;
    fault->group = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            fault->at = r * n + i;
            fault->wanted = given && !c->given[i] ? NULL : value_fault(c->classes[i], x[fault->at]);
            if (fault->wanted) return 1;
        }
    return 0;
}

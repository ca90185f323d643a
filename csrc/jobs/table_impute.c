/* Missing cells of a table, filled with what the network makes of the others. */
#include "base/sys.h"
#include "net/network.h"
#include <math.h>
#include <string.h>

enum { IMPUTE_PASSES = 3, IMPUTE_ROWS = 4096 /* at a time */ };

/* What the network takes as a cell, from what it gives. */
static float impute_cell(const dn_column_info *c, float value) {
    if (c->kind == DN_COLUMN_YES_NO) return value > 0.5f;
    return c->kind == DN_COLUMN_CATEGORY ? floorf(value + 0.5f) : value;
}

/* x (n, width): rows with gaps. They come back filled: reconstructed from the cells that are there, then again and
 * again from those and the last reconstruction of the others, until they agree with each other (Rezende, Mohamed and
 * Wierstra, arXiv:1401.4082, appendix F, with means in place of draws). */
static dn_status impute_rows(dn_net *net, const dn_column_info *columns, size_t width, int passes, size_t n,
                             const float *x, float *filled, float *made) {
    memcpy(filled, x, n * width * sizeof *x);
    for (int pass = 0; pass < passes; pass++) {
        dn_rows rows = {.n = n, .x = filled, .condition = filled};
        DN_TRY(dn_net_reconstruct(net, &rows, made));
        for (size_t i = 0; i < n * width; i++)
            if (isnan(x[i])) filled[i] = impute_cell(&columns[i % width], made[i]);
        DN_TRY(dn_watched());
    }
    return DN_OK;
}

static int impute_has_gaps(const float *row, size_t width) {
    for (size_t c = 0; c < width; c++)
        if (isnan(row[c])) return 1;
    return 0;
}

typedef struct impute_job {
    dn_net *net;
    size_t width;
    int passes;
    dn_column_info *columns;  /* (width) in coded order */
    size_t *at;               /* which rows are gathered */
    float *x, *filled, *made; /* (IMPUTE_ROWS, width) */
} impute_job;

static dn_status impute_begin(impute_job *j, const dn_schema *schema) {
    dn_column_info c;
    j->columns = dn_alloc(j->width, sizeof *j->columns);
    j->at = j->columns ? dn_alloc(IMPUTE_ROWS, sizeof *j->at) : NULL;
    j->x = j->at ? dn_alloc(IMPUTE_ROWS, 3 * j->width * sizeof *j->x) : NULL;
    if (!j->x) return DN_E_MEMORY;
    j->filled = j->x + IMPUTE_ROWS * j->width, j->made = j->filled + IMPUTE_ROWS * j->width;
    for (int i = 0; dn_schema_column(schema, i, &c); i++)
        if (c.coded >= 0) j->columns[c.coded] = c;
    return DN_OK;
}

static dn_status impute_gathered(impute_job *j, size_t n, float *out) {
    DN_TRY(impute_rows(j->net, j->columns, j->width, j->passes, n, j->x, j->filled, j->made));
    for (size_t i = 0; i < n; i++) memcpy(out + j->at[i] * j->width, j->filled + i * j->width, j->width * sizeof *out);
    return DN_OK;
}

static dn_status impute_all(impute_job *j, const float *x, size_t rows, float *out) {
    size_t n = 0;
    memmove(out, x, rows * j->width * sizeof *out);
    for (size_t r = 0; r < rows; r++) {
        if (!impute_has_gaps(x + r * j->width, j->width)) continue;
        memcpy(j->x + n * j->width, x + r * j->width, j->width * sizeof *x);
        j->at[n++] = r;
        if (n < IMPUTE_ROWS) continue;
        DN_TRY(impute_gathered(j, n, out));
        n = 0;
    }
    return n ? impute_gathered(j, n, out) : DN_OK;
}

static dn_status impute(dn_net *net, const float *x, size_t rows, int passes, float *out) {
    const dn_schema *schema = dn_net_schema(net);
    DN_CHECK(schema, DN_E_USAGE, "%s: gaps are filled by a model of a table: this network has no columns",
             net->cfg->path);
    DN_CHECK(passes >= 0, DN_E_USAGE, "%d passes: wanted is a number above 0", passes);
    impute_job j = {.net = net, .width = (size_t)dn_schema_coded(schema), .passes = passes ? passes : IMPUTE_PASSES};
    dn_status status = impute_begin(&j, schema);
    if (status == DN_OK) status = impute_all(&j, x, rows, out);
    dn_free(j.columns), dn_free(j.at), dn_free(j.x);
    return status;
}

dn_status dn_net_impute(dn_net *net, const float *x, size_t rows, int passes, float *out) {
    DN_EXCLUSIVE(net, impute(net, x, rows, passes, out));
}

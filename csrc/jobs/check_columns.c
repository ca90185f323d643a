/* What [columns] makes of rows, by the description in docs/cfg.md, written apart from the layers. */
#include "base/sys.h"
#include "jobs/check_net.h"
#include "jobs/jobs.h"
#include "net/coded.h"
#include <math.h>
#include <stdio.h>

enum { NUMBER, FLAG, YES_NO, CLASSES, GROUPS }; /* in the order of the output */

/* How many values a column has in a group. */
static int group_width(const dn_coded *c, int column, int group) {
    int classes = c->classes[column];
    if (classes == DN_CLASSES_NUMBER) return group == NUMBER || (group == FLAG && c->flags);
    if (classes == DN_CLASSES_YES_NO) return group == YES_NO;
    return group == CLASSES ? classes : 0;
}

static double wanted_value(int group, int class, double x) {
    if (isnan(x)) return group == FLAG;
    return group == NUMBER ? x : group == FLAG ? 0 : group == YES_NO ? x - (1 - x) : x == class;
}

static void compare(dn_check_line *line, double found, double wanted) {
    double error = found == wanted ? 0 : fabs(found - wanted) / (fabs(wanted) + 1);
    if (!line->values || !(error <= line->error)) line->error = error, line->found = found, line->expected = wanted;
    line->values++;
}

/* The values of a column in y, which begin at *at, which advances; x: the column in the first of the rows. */
static void compare_column(const dn_checker *c, const float *x, int column, int group, const float *y, size_t width,
                           int *at, dn_check_line *line) {
    const dn_coded *coded = c->net->columns;
    for (int k = 0; k < group_width(coded, column, group); k++, ++*at)
        for (size_t r = 0; r < c->rows.n; r++)
            compare(line, y[r * width + (size_t)*at], wanted_value(group, k, x[r * (size_t)coded->n + (size_t)column]));
}

static void compare_layer(const dn_checker *c, const dn_layer *l, const float *x, const float *y, dn_check_line *line) {
    const dn_coded *coded = c->net->columns;
    size_t width = (size_t)l->outputs;
    int at = 0;
    for (int group = 0; group < GROUPS; group++)
        for (int i = 0; i < coded->n; i++) compare_column(c, x, i, group, y, width, &at, line);
}

dn_status dn_checker_columns(dn_checker *c) {
    dn_net *net = c->net;
    const dn_layer *l = &c->plan->layers[0];
    size_t n = c->rows.n;
    double objective;
    if (!net->columns) return DN_OK;
    float *x = dn_alloc(n, ((size_t)net->inputs + (size_t)l->outputs) * sizeof *x), *y = x + n * (size_t)net->inputs;
    dn_check_line line = {.what = "values", .against = "formula", .tolerance = 1e-6};
    if (!x) return DN_E_MEMORY;
    dn_status status = dn_checker_forward(c, 0, &objective);
    net->ops->download(net->pool, x, c->rows.x, n * (size_t)net->inputs * sizeof *x);
    net->ops->download(net->pool, y, l->output, n * (size_t)l->outputs * sizeof *y);
    if (status == DN_OK) status = net->ops->finish(net->pool);
    if (status == DN_OK) {
        compare_layer(c, l, x, y, &line);
        line.ok = line.error <= line.tolerance;
        status = dn_checker_add(c, l, line);
    }
    dn_free(x);
    return status;
}

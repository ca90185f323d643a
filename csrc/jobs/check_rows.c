/* The rows of a check: the caller's first ones, or random ones that the losses accept. */
#include "base/sys.h"
#include "jobs/check_formulas.h"
#include "jobs/check_net.h"
#include "jobs/jobs.h"
#include "net/check.h"
#include "net/coded.h"
#include <math.h>
#include <string.h>

enum { CHECKED_ROWS = 8, CHECKED_SEQUENCES = 3, MANY_ROWS = 256 };

/* As many as a comparison needs: several, for batch normalisation and means; few, because every pass counts. Kernels
 * are others for many rows than for few, so a batch is compared too, where time allows. */
size_t dn_checker_rows_wanted(const dn_net *net, int whole) {
    const double budget = 4e10, passes = 30;
    size_t batch = (size_t)net->plan->run.batch, steps = (size_t)dn_net_steps(net);
    size_t n = steps > 1 ? steps * CHECKED_SEQUENCES : CHECKED_ROWS;
    int tensors = 1;
    dn_net_info info;
    dn_net_info_get(net, &info);
    for (int i = 0; i < net->n_layers; i++) tensors += net->layers[i].n_tensors;
    double most = budget / (info.flops * passes * tensors + 1);
    if (info.flops > 2e8 && n > 2 * steps) n = 2 * steps;
    if (whole && steps > 1) return 0; /* which are slow, and have few rows a step */
    if (whole) n = most < MANY_ROWS ? (size_t)most : MANY_ROWS;
    return n < batch ? n : batch;
}

/* ---- rows that are drawn ---- */

static void draw_values(dn_checker *c, float *values, size_t n) {
    for (size_t i = 0; i < n; i++) values[i] = (float)dn_checker_random(c);
}

static int draw_below(dn_checker *c, size_t n) { return (int)(dn_checker_random(c) * (double)n); }

/* The truth of one unit: a class of a distribution, a code, a count, or a number from 0 to 1. */
static void draw_unit(dn_checker *c, const dn_term_look *look, const dn_unit *u, float *truth) {
    dn_loss kind = look->head.likelihood.kind;
    int class = draw_below(c, u->truths), head = look->formula == DN_FORMULA_HEAD;
    if (head && look->head.classes)
        truth[u->t_at] = (float)draw_below(c, u->n);
    else if (u->truths > 1)
        for (size_t v = 0; v < u->truths; v++) truth[u->t_at + v * u->t_step] = v == (size_t)class;
    else if (kind == DN_LOSS_POISSON || kind == DN_LOSS_NEGATIVE_BINOMIAL)
        truth[u->t_at] = (float)draw_below(c, 5);
}

/* What the terms accept. */
static void draw_for_terms(dn_checker *c, float *truth, size_t rows) {
    const dn_net *net = c->net;
    size_t width = (size_t)net->truths;
    dn_term_look look;
    dn_unit u;
    draw_values(c, truth, rows * width);
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        if (!l->term.truths || !l->term.type->look) continue;
        for (int part = 0; l->term.type->look(l, part, &look); part++)
            for (size_t k = 0; dn_formula_unit(l, &look, k, &u); k++)
                for (size_t r = 0; r < rows; r++) draw_unit(c, &look, &u, truth + r * width);
    }
}

/* Rows of [columns]: codes where a [condition] gives them too, and missing values. */
static void draw_columns(dn_checker *c, float *x, size_t rows) {
    const dn_coded *coded = c->net->columns;
    const double missing = 0.1;
    for (size_t i = 0; coded && i < rows * (size_t)coded->n; i++) {
        int classes = coded->classes[i % (size_t)coded->n];
        if (classes == DN_CLASSES_NUMBER) x[i] = (float)dn_checker_normal(c);
        if (classes > DN_CLASSES_YES_NO) x[i] = (float)draw_below(c, (size_t)classes);
        if (dn_checker_random(c) < missing) x[i] = NAN;
    }
}

/* Truths for the losses; else 0 or 1, else 0: a detector's table without objects. */
static void draw_truth(dn_checker *c, float *truth, size_t rows, int kind) {
    size_t n = rows * (size_t)c->net->truths;
    memset(truth, 0, n * sizeof *truth);
    if (kind == 0) draw_for_terms(c, truth, rows);
    if (c->net->columns && c->net->truths == c->net->inputs) draw_columns(c, truth, rows);
    for (size_t i = 0; kind == 1 && i < n; i++) truth[i] = dn_checker_random(c) < 0.5;
}

static dn_status draw_rows(dn_checker *c, size_t n) {
    dn_net *net = c->net;
    size_t inputs = (size_t)net->inputs, truths = (size_t)net->truths;
    dn_net_info info;
    dn_net_info_get(net, &info);
    if (!(c->own = dn_alloc(n * (inputs + truths), sizeof *c->own))) return DN_E_MEMORY;
    float *x = c->own, *truth = x + n * inputs;
    dn_status status = DN_E_USAGE;
    for (int kind = 0; kind < 4 && status == DN_E_USAGE; kind++) { /* at last, sums need not be 1 */
        draw_truth(c, truth, n, kind % 3);
        status = dn_check_truth(net, &(dn_part_of){"truth", truth, n, truths, 0}, kind < 3);
        c->loose = kind == 3;
    }
    if (truths == inputs && !info.supervised)
        memcpy(x, truth, n * inputs * sizeof *x);
    else
        draw_values(c, x, n * inputs), draw_columns(c, x, n);
    c->given = (dn_rows){.n = n, .x = x, .truth = truth};
    return status;
}

/* ---- the rows of a pass ---- */

static dn_status rows_given(dn_checker *c, const dn_rows *rows, size_t wanted) {
    size_t steps = (size_t)dn_net_steps(c->net);
    DN_CHECK(rows->n > 0, DN_E_USAGE, "check: no rows");
    c->given = *rows;
    c->given.n = rows->n < wanted ? rows->n : wanted;
    if (c->given.n > steps) c->given.n -= c->given.n % steps;
    if (!c->given.truth) c->given.truth = rows->x;
    DN_TRY(dn_job_whole(c->net, c->given.n));
    dn_rows checked = *rows;
    checked.n = c->given.n;
    DN_CHECK(dn_job_count(&checked) != 0, DN_E_USAGE, "check: the weights of the first %zu rows are 0", checked.n);
    return dn_job_check(c->net, "", &checked, 0);
}

dn_status dn_checker_rows(dn_checker *c, const dn_rows *rows) {
    dn_net *net = c->net;
    size_t wanted = dn_checker_rows_wanted(net, c->whole), truths = (size_t)net->truths;
    DN_TRY(rows->x ? rows_given(c, rows, wanted) : draw_rows(c, wanted));
    size_t n = c->given.n;
    if (!(c->pass_truth = dn_alloc(n * (truths + 1), sizeof *c->pass_truth))) return DN_E_MEMORY;
    c->weights = c->pass_truth + n * truths;
    for (size_t i = 0; i < n; i++) {
        size_t place = dn_net_place(net, n, i);
        memcpy(c->pass_truth + place * truths, c->given.truth + i * truths, truths * sizeof(float));
        c->weights[place] = c->given.weights ? c->given.weights[i] : 1;
    }
    return dn_checker_place(c);
}

dn_status dn_checker_place(dn_checker *c) {
    dn_net *net = c->net;
    size_t n = c->given.n;
    c->rows.n = n;
    for (int k = 0; k < DN_COLUMNS; k++) {
        const float **to = dn_rows_column(&c->rows, k), *from = *dn_rows_column(&c->given, k);
        if (!from) continue;
        dn_job_put(net, from, dn_net_width(net, k), n, dn_plan_column(c->plan, k));
        *to = dn_plan_column(c->plan, k);
    }
    return net->ops->finish(net->pool);
}

#include "net/check.h"
#include "base/scan.h"
#include "net/coded.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { PART = 1 << 15 }; /* values looked over at once */

typedef struct look {
    int (*good)(const void *values, size_t n);
    const float *values;
    size_t n;
    atomic_size_t first; /* part with a value that is not good */
} look;

static size_t look_values(const look *j, size_t part) { return j->n - part * PART < PART ? j->n - part * PART : PART; }

static void look_over(void *context, size_t part) {
    look *j = context;
    size_t first = atomic_load(&j->first);
    if (part >= first || j->good(j->values + part * PART, look_values(j, part))) return;
    while (part < first && !atomic_compare_exchange_weak(&j->first, &first, part)) {
    }
}

/* The first value that is not good, or n. */
static size_t first_beyond(dn_pool *pool, const float *values, size_t n, int (*good)(const void *, size_t)) {
    look job = {.good = good, .values = values, .n = n, .first = (n + PART - 1) / PART};
    dn_pool_run(pool, job.first, look_over, &job);
    size_t at = job.first * PART;
    while (at < n && good(values + at, 1)) at++;
    return at < n ? at : n;
}

static int all_within_one(const void *values, size_t n) { /* tolerates a scaler's rounding */
    return dn_all_within(values, n, -1e-5f, 1 + 1e-5f);
}

int dn_fault_beyond_one(const float *values, size_t n, dn_truth_fault *fault) {
    fault->at = first_beyond(NULL, values, n, all_within_one);
    if (fault->at == n) return 0;
    fault->wanted =
        values[fault->at] > 1
            ? "0 to 1: divide the data by their largest value (-scale, or data_scale= in [net]; 255 for bytes)"
            : "0 to 1: bring the values there, or take [cost] type=sse, which takes any number";
    return 1;
}

static const char *number_text(double value, char text[32]) { /* one spelling of NaN: some C libraries print -nan */
    snprintf(text, 32, "%.9g", value);
    return isnan(value) ? "nan" : text;
}

dn_status dn_check_finite(dn_pool *pool, const dn_part_of *p) {
    size_t n = p->rows * p->columns, at = first_beyond(pool, p->values, n, dn_all_finite);
    char text[32];
    DN_CHECK(at == n, DN_E_USAGE, "%s is %s at row %zu, column %zu (counted from 1): not a finite number", p->name,
             number_text(p->values[at], text), p->first + at / p->columns + 1, at % p->columns + 1);
    return DN_OK;
}

dn_status dn_check_probabilities(const dn_net *net, const dn_part_of *p) {
    dn_truth_fault fault;
    char text[32];
    if (!dn_fault_beyond_one(p->values, p->rows * p->columns, &fault)) return DN_OK;
    return dn_fail(
        DN_E_USAGE,
        "%s is %s at row %zu, column %zu (counted from 1), but %s:%d binarize= draws bits with the values as "
        "probabilities, which must lie in 0 to 1: divide the data by their largest value (-scale, or "
        "data_scale= in [net]; 255 for bytes)",
        p->name, number_text(p->values[fault.at], text), p->first + fault.at / p->columns + 1,
        fault.at % p->columns + 1, net->cfg->path, dn_cfg_line(&net->cfg->sections[0], "binarize"));
}

static dn_status check_fault(const dn_net *net, const dn_layer *l, const dn_part_of *p, const dn_truth_fault *f) {
    size_t row = p->first + f->at / p->columns + 1, column = f->at % p->columns + 1;
    char text[32], until[48] = "";
    if (f->group > 1 && f->step > 1)
        snprintf(until, sizeof until, ", %zu ... %zu", column + f->step, column + (f->group - 1) * f->step);
    else if (f->group > 1)
        snprintf(until, sizeof until, " to %zu", column + f->group - 1);
    if (f->group)
        return dn_fail(DN_E_USAGE,
                       "%s adds up to %s in row %zu, column%s %zu%s (counted from 1), but the loss of %s:%d [%s] "
                       "wants %s",
                       p->name, number_text(f->sum, text), row, *until ? "s" : "", column, until, net->cfg->path,
                       l->line, l->type->name, f->wanted);
    return dn_fail(DN_E_USAGE, "%s is %s at row %zu, column %zu (counted from 1), but the loss of %s:%d [%s] wants %s",
                   p->name, number_text(p->values[f->at], text), row, column, net->cfg->path, l->line, l->type->name,
                   f->wanted);
}

static dn_status check_columns(const dn_net *net, const dn_part_of *p, int given) {
    dn_truth_fault fault;
    char text[32], name[80] = "";
    if (!dn_coded_fault(net->columns, p->values, p->rows, given, &fault)) return DN_OK;
    size_t column = fault.at % p->columns;
    if (net->columns->names) snprintf(name, sizeof name, ", '%.60s'", net->columns->names[column]);
    return dn_fail(DN_E_USAGE, "%s is %s at row %zu, column %zu%s (counted from 1), but %s:%d [columns] wants %s",
                   p->name, number_text(p->values[fault.at], text), p->first + fault.at / p->columns + 1, column + 1,
                   name, net->cfg->path, net->layers[0].line, fault.wanted);
}

dn_status dn_check_input(const dn_net *net, const dn_part_of *p) {
    return net->columns ? check_columns(net, p, 0) : dn_check_finite(net->pool, p);
}

dn_status dn_check_condition(const dn_net *net, const dn_part_of *p) { return check_columns(net, p, 1); }

static dn_status check_rows(const dn_net *net, const dn_layer *l, const dn_part_of *p) {
    char where[64], text[256];
    for (size_t r = 0; r < p->rows; r++) {
        snprintf(where, sizeof where, "of row %zu of the %s", p->first + r, p->name);
        DN_CHECK(!l->term.type->row_fault(l, p->values + r * p->columns, where, text, sizeof text), DN_E_USAGE,
                 "%s:%d: layer %d [%s]: %s (counted from 0)", net->cfg->path, l->line, l->index, l->type->name, text);
    }
    return DN_OK;
}

dn_status dn_check_truth(const dn_net *net, const dn_part_of *p, int sums) {
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        dn_truth_fault fault = {.at = p->rows * p->columns};
        const dn_term_type *term = l->term.type;
        if (!term || !l->term.truths) continue;
        if (!term->missing) DN_TRY(term->row_fault ? check_rows(net, l, p) : dn_check_finite(net->pool, p));
        if (term->truth_fault && term->truth_fault(l, p->values, p->rows, sums, &fault))
            return check_fault(net, l, p, &fault);
    }
    return DN_OK;
}

dn_status dn_check_weights(const dn_net *net, const dn_part_of *p) {
    char text[32];
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        DN_CHECK(!l->term.type || l->term.type->rows, DN_E_USAGE,
                 "%s:%d: rows cannot have weights here: the loss of a [%s] is not known by row", net->cfg->path,
                 l->line, l->type->name);
    }
    for (size_t r = 0; r < p->rows; r++)
        DN_CHECK(p->values[r] >= 0 && isfinite(p->values[r]), DN_E_USAGE,
                 "%s: the weight of row %zu (counted from 1) is %s: weights are 0 or more, and finite", p->name,
                 p->first + r + 1, number_text(p->values[r], text));
    return DN_OK;
}

dn_status dn_check_norms(const dn_net *net, size_t rows) {
    size_t batch = (size_t)net->plan->run.batch, pass = rows < batch ? rows : batch, steps = (size_t)dn_net_steps(net);
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        size_t most = l->type->recurrent ? pass / steps : pass;
        DN_CHECK(!l->norm_values || most * l->norm_values > 1, DN_E_USAGE,
                 "%s:%d: [%s] normalises over the batch, but every pass has one %s and so one value per channel, which "
                 "has no variance: train %s, or without batch normalisation",
                 net->cfg->path, l->line, l->type->name, l->type->recurrent ? "sequence" : "row",
                 pass < batch            ? "on more rows"
                 : net->subdivisions > 1 ? "with a larger batch or fewer subdivisions"
                                         : "with a larger batch");
    }
    return DN_OK;
}

float dn_reach(const float *values, size_t rows, size_t columns, size_t *column) {
    float most = -1;
    for (size_t r = 0; r < rows; r++, values += columns) {
        if (dn_all_within(values, columns, -most, most)) continue;
        for (size_t c = 0; c < columns; c++)
            if (fabsf(values[c]) > most) most = fabsf(values[c]), *column = c;
    }
    return most;
}

/* How well outputs match their truth. */
#include "jobs/scores.h"
#include "base/report.h"
#include "base/sys.h"
#include <math.h>
#include <string.h>

int dn_row_largest(const float *row, int width) {
    int at = 0;
    for (int k = 1; k < width; k++)
        if (row[k] > row[at]) at = k;
    return at;
}

dn_status dn_scores_create(dn_scores *s, const dn_plan *plan) {
    const dn_net *net = plan->net;
    *s = (dn_scores){.kind = net->truth_kind, .logits = net->logits};
    if (net->truths != net->data_columns || net->columns) return DN_OK; /* no measure is for codes and numbers alike */
    s->width = net->truths;
    s->sums = dn_alloc((size_t)s->width, 4 * sizeof *s->sums);
    s->first = dn_alloc((size_t)s->width, sizeof *s->first);
    s->out = dn_alloc((size_t)plan->run.batch, (size_t)s->width * sizeof *s->out);
    if (!s->sums || !s->first || !s->out) {
        dn_scores_free(s);
        return DN_E_MEMORY;
    }
    dn_scores_clear(s);
    return DN_OK;
}

void dn_scores_free(dn_scores *s) {
    dn_free(s->sums);
    dn_free(s->first);
    dn_free(s->out);
    *s = (dn_scores){0};
}

void dn_scores_clear(dn_scores *s) {
    s->rows = s->known_rows = s->known_values = s->right_rows = s->right_values = 0, s->all_one_hot = 1;
    if (s->sums) memset(s->sums, 0, (size_t)s->width * 4 * sizeof *s->sums);
}

static void scores_classes(dn_scores *s, double count, const float *y, const float *t) {
    int ones = 0, zeros = 0, known = 0, right = 0;
    for (int k = 0; k < s->width; k++) {
        if (isnan(t[k])) continue; /* missing */
        known++, ones += t[k] == 1, zeros += t[k] == 0;
        right += s->kind == DN_TRUTH_CODES ? y[k] == t[k] : (y[k] > (s->logits ? 0 : 0.5f)) == (t[k] > 0.5f);
    }
    s->known_values += count * known, s->right_values += count * right;
    if (known < s->width) return;
    s->known_rows += count;
    s->all_one_hot &= s->width > 1 && ones == 1 && ones + zeros == s->width;
    s->right_rows += dn_row_largest(y, s->width) == dn_row_largest(t, s->width) ? count : 0;
}

static void scores_values(dn_scores *s, double count, const float *y, const float *t) {
    double *n = s->sums, *sum = n + s->width, *square = sum + s->width, *error = square + s->width;
    for (int k = 0; k < s->width; k++) {
        if (isnan(t[k]) || (s->kind == DN_TRUTH_MASKED && t[k] == DN_MASKED)) continue;
        if (n[k] == 0) s->first[k] = t[k];
        n[k] += count;
        double d = (double)t[k] - s->first[k], e = (double)t[k] - y[k];
        sum[k] += count * d, square[k] += count * (d * d), error[k] += count * (e * e);
    }
}

void dn_scores_add(dn_scores *s, const dn_plan *plan, const dn_rows *rows) {
    const dn_net *net = plan->net;
    if (!s->width) return;
    int classes = s->kind >= DN_TRUTH_BINARY;
    const float *y = plan->layers[net->output_layer].output;
    if (!s->logits) y = dn_plan_data(plan, rows->n, y, plan->truth); /* the pass no longer needs its truth */
    net->ops->download(net->pool, s->out, y, rows->n * (size_t)s->width * sizeof *s->out);
    void (*add)(dn_scores *, double, const float *, const float *) = classes ? scores_classes : scores_values;
    for (size_t r = 0; r < rows->n; r++) {
        double count = rows->weights ? rows->weights[r] : 1;
        if (count > 0)
            add(s, count, s->out + dn_net_place(net, rows->n, r) * (size_t)s->width,
                rows->truth + r * (size_t)s->width);
    }
    s->rows += (double)rows->n;
}

void dn_scores_names(const dn_scores *s, dn_report *report) {
    int classes = s->kind >= DN_TRUTH_BINARY;
    if (!s->width) return;
    dn_report_add(report, classes ? "accuracy" : "mse", NAN);
    if (!classes) dn_report_add(report, "r2", NAN);
}

void dn_scores_report(const dn_scores *s, dn_report *report) {
    if (!s->rows) return;
    if (s->kind >= DN_TRUTH_BINARY) {
        int whole = s->kind == DN_TRUTH_CLASSES || (s->all_one_hot && s->kind == DN_TRUTH_BINARY);
        if (s->known_values == 0 || (whole && s->known_rows == 0)) return;
        dn_report_add(report, "accuracy", whole ? s->right_rows / s->known_rows : s->right_values / s->known_values);
        return;
    }
    const double *n = s->sums, *sum = n + s->width, *square = sum + s->width, *error = square + s->width;
    double mse = 0, r2 = 0;
    int known = 0;
    for (int k = 0; k < s->width; k++) {
        if (!n[k]) continue;
        known++;
        mse += error[k] / n[k];
        r2 += 1 - error[k] / (square[k] - sum[k] * sum[k] / n[k]); /* not finite for a constant truth */
    }
    if (!known) return;
    dn_report_add(report, "mse", mse / known);
    if (isfinite(r2)) dn_report_add(report, "r2", r2 / known);
}

/* Which truths a likelihood accepts. NaN is a missing value everywhere. */
#include "layers/cost.h"
#include <math.h>

static const float near_zero = 1e-5f; /* a scaler's rounding */

/* What is wrong with this value of a column for this kind; NULL: nothing. */
static const char *value_fault(const dn_head *head, size_t column, float t) {
    size_t classes = head->starts ? (size_t)(head->starts[column + 1] - head->starts[column]) : head->classes;
    if (isnan(t)) return NULL;
    if (isinf(t)) return "finite numbers (nan where a value is missing)";
    switch (head->likelihood.kind) {
    case DN_LOSS_BERNOULLI:
        if (t > 1 + near_zero)
            return "0 to 1: divide the data by their largest value (-scale 255 for bytes, or data_scale= in [net]), or "
                   "take type=gaussian, which models any number";
        if (t < -near_zero) return "0 to 1: bring the values there, or take type=gaussian, which models any number";
        return NULL;
    case DN_LOSS_POISSON:
    case DN_LOSS_NEGATIVE_BINOMIAL:
        if (t < 0 || t != floorf(t))
            return "counts, whole numbers from 0 on: leave them unscaled, or take type=gaussian, which models any "
                   "number";
        return NULL;
    case DN_LOSS_CATEGORICAL:
        if (head->starts && (t < 0 || t != floorf(t) || t >= (float)classes))
            return "codes, whole numbers from 0 to the column's classes - 1 (nan where it is missing)";
        if (classes && (t < 0 || t != floorf(t) || t >= (float)classes))
            return "codes, whole numbers from 0 to classes - 1: raise classes=, or give every code a number";
        return NULL;
    default: return NULL;
    }
}

/* One-hot groups, or distributions in their place; a missing value makes the whole group missing. */
static int group_fault(const float *truth, size_t n, size_t at, dn_truth_fault *fault) {
    const double near = 0.05; /* probabilities may be rounded to a few digits */
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        if (isnan(truth[i])) return 0;
    fault->wanted = "one-hot columns: 0 to 1 with a sum of 1 (or classes=, where the columns are codes)";
    for (size_t i = 0; i < n; i++) {
        fault->at = at + i, fault->group = 0;
        if (truth[i] < -near_zero || truth[i] > 1 + near) return 1;
        sum += truth[i];
    }
    fault->at = at, fault->group = n, fault->step = 1, fault->sum = sum;
    return fabs(sum - 1) > near;
}

static int row_fault(const dn_cost_part *p, const float *truth, size_t first, dn_truth_fault *fault) {
    const dn_head *head = &p->head;
    size_t n = head->groups ? head->columns / head->groups : 0;
    first += p->first;
    for (size_t c = 0; c < head->columns; c++) {
        fault->at = first + c, fault->wanted = value_fault(head, c, truth[first + c]);
        if (fault->wanted) return 1;
    }
    for (size_t g = 0; g < head->groups; g++)
        if (group_fault(truth + first + g * n, n, first + g * n, fault)) return 1;
    return 0;
}

int dn_likelihood_truth_fault(const dn_layer *l, const float *truth, size_t rows, int sums, dn_truth_fault *fault) {
    const dn_cost_part *p;
    (void)sums;
    fault->group = 0;
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; (p = dn_cost_part_at(l->state, i)); i++)
            if (row_fault(p, truth, r * p->head.truth_step, fault)) return 1;
    return 0;
}

/* Likelihoods of some columns of the truth: rows side by side. The derivative by a spread that columns share is added
 * up over the rows in order: of one number along with the rows, of one for each column in a pass by column. */
#include "cpu/cpu_ops.h"
#include "net/likelihood.h"
#include <math.h>

typedef struct likelihood_job {
    const dn_head *head;
    dn_likelihood_terms terms;
    const float *x, *truth, *spread, *row_weight;
    float *loss, *gradient, *spread_gradient;
} likelihood_job;

static float row_weight_of(const likelihood_job *j, size_t r) { return j->row_weight ? j->row_weight[r] : 1; }

/* ---- a value at a time ---- */

static dn_scale scale_at(const likelihood_job *j, const float *x, size_t c) {
    const dn_head *h = j->head;
    if (h->spread == DN_SPREAD_FIXED) return j->terms.scale;
    return dn_scale_of(h->likelihood.kind, h->spread == DN_SPREAD_VALUE ? x[h->columns + c]
                                           : h->spread == DN_SPREAD_ONE ? *j->spread
                                                                        : j->spread[c]);
}

/* The row's loss; *spread: the derivatives by the spread, added up. */
static double values_row(const likelihood_job *j, float weight, const float *x, const float *truth, float *gradient,
                         double *spread) {
    const dn_head *h = j->head;
    double loss = 0;
    for (size_t c = 0; c < h->columns; c++) {
        dn_value_loss v = dn_likelihood_value(&j->terms, scale_at(j, x, c), x[c], truth[c]);
        loss += v.error, *spread += v.spread;
        if (gradient) gradient[c] = weight * v.gradient;
        if (gradient && h->spread == DN_SPREAD_VALUE)
            gradient[h->columns + c] = weight * v.spread * dn_log_variance_slope(x[h->columns + c]);
    }
    return loss;
}

/* ---- categorical ---- */

/* ln of the sum of e^x */
static double log_sum(size_t n, const float *x) {
    double largest = x[0], sum = 0;
    for (size_t i = 1; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (size_t i = 0; i < n; i++) sum += exp(x[i] - largest);
    return largest + log(sum);
}

static double one_hot_loss(size_t n, float weight, const float *x, const float *truth, float *gradient) {
    double all = log_sum(n, x), loss = 0, share = 0;
    for (size_t i = 0; i < n; i++) share += truth[i];
    int missing = isnan(share);
    for (size_t i = 0; i < n; i++) {
        if (!missing && truth[i] != 0) loss += truth[i] * (all - x[i]);
        if (gradient) gradient[i] = missing ? 0 : weight * (float)(share * exp(x[i] - all) - truth[i]);
    }
    return loss;
}

static double code_loss(size_t n, float weight, const float *x, float code, float *gradient) {
    double all = log_sum(n, x), loss = 0;
    size_t at = code >= 0 && code < (float)n ? (size_t)code : n;
    float none = isnan(code) ? 0 : at == n || (float)at != code ? NAN : 1; /* what every probability is multiplied by */
    if (none != 0) loss = none * (all - x[at < n ? at : 0]);
    for (size_t i = 0; gradient && i < n; i++)
        gradient[i] = none == 0 ? 0 : none * weight * (float)(exp(x[i] - all) - (i == at));
    return loss;
}

static double categorical_row(const likelihood_job *j, float weight, const float *x, const float *truth,
                              float *gradient) {
    const dn_head *h = j->head;
    size_t groups = h->classes ? h->columns : h->groups, n = h->classes ? h->classes : h->columns / groups;
    double loss = 0;
    for (size_t g = 0; g < groups; g++, x += n, truth += h->classes ? 1 : n) {
        float *to = gradient ? gradient + g * n : NULL;
        loss += h->classes ? code_loss(n, weight, x, *truth, to) : one_hot_loss(n, weight, x, truth, to);
    }
    return loss;
}

/* ---- the operations ---- */

/* Rows [from, to); their weighted derivatives by a single spread. */
static double likelihood_rows(const void *context, size_t from, size_t to) {
    const likelihood_job *j = context;
    const dn_head *h = j->head;
    double all = 0;
    for (size_t r = from; r < to; r++) {
        const float *x = j->x + r * h->x_step, *truth = j->truth + r * h->truth_step;
        float *gradient = j->gradient ? j->gradient + r * h->x_step : NULL, weight = row_weight_of(j, r);
        double spread = 0, loss = h->likelihood.kind == DN_LOSS_CATEGORICAL
                                      ? categorical_row(j, weight, x, truth, gradient)
                                      : values_row(j, weight, x, truth, gradient, &spread);
        if (j->loss) j->loss[r] += (float)loss;
        all += weight * spread;
    }
    return all;
}

static void likelihood_columns(const void *context, size_t from, size_t to) {
    const likelihood_job *j = context;
    const dn_head *h = j->head;
    for (size_t c = from; c < to; c++) {
        dn_scale scale = scale_at(j, j->x, c);
        double sum = 0;
        for (size_t r = 0; r < h->rows; r++)
            sum +=
                row_weight_of(j, r) *
                dn_likelihood_value(&j->terms, scale, j->x[r * h->x_step + c], j->truth[r * h->truth_step + c]).spread;
        j->spread_gradient[c] += (float)(sum * dn_log_variance_slope(j->spread[c]));
    }
}

void cpu_likelihood(dn_pool *pool, const dn_head *head, const float *x, const float *truth, const float *spread,
                    const float *row_weight, float *loss, float *gradient, float *spread_gradient) {
    likelihood_job job = {
        head, dn_likelihood_terms_of(&head->likelihood), x, truth, spread, row_weight, loss, gradient, spread_gradient};
    size_t row = head->columns * dn_head_parameters(head);
    double sum = dn_range_sum(pool, head->rows, dn_grain_of(8 * row), likelihood_rows, &job);
    if (!spread_gradient) return;
    if (head->spread == DN_SPREAD_ONE) *spread_gradient += (float)(sum * dn_log_variance_slope(*spread));
    if (head->spread == DN_SPREAD_COLUMN)
        dn_range_run(pool, head->columns, dn_grain_of(8 * head->rows), likelihood_columns, &job);
}

typedef struct mean_job {
    const dn_head *head;
    const float *x;
    size_t out_step;
    float *out;
} mean_job;

static void one_hot_mean(size_t n, const float *x, float *out) {
    double all = log_sum(n, x);
    for (size_t i = 0; i < n; i++) out[i] = (float)exp(x[i] - all);
}

static void mean_rows(const void *context, size_t from, size_t to) {
    const mean_job *j = context;
    const dn_head *h = j->head;
    for (size_t r = from; r < to; r++) {
        const float *x = j->x + r * h->x_step;
        float *out = j->out + r * j->out_step;
        if (h->likelihood.kind != DN_LOSS_CATEGORICAL) {
            for (size_t c = 0; c < h->columns; c++) out[c] = dn_likelihood_mean_value(h->likelihood.kind, x[c]);
        } else if (h->classes) {
            for (size_t c = 0; c < h->columns; c++, x += h->classes) {
                size_t most = 0;
                for (size_t i = 1; i < h->classes; i++) most = x[i] > x[most] ? i : most;
                out[c] = (float)most;
            }
        } else {
            size_t n = h->columns / h->groups;
            for (size_t g = 0; g < h->groups; g++) one_hot_mean(n, x + g * n, out + g * n);
        }
    }
}

void cpu_likelihood_mean(dn_pool *pool, const dn_head *head, const float *x, size_t out_step, float *out) {
    mean_job job = {head, x, out_step, out};
    size_t row = head->columns * dn_head_parameters(head);
    dn_range_run(pool, head->rows, dn_grain_of(8 * row), mean_rows, &job);
}

/* ---- the best variance ---- */

typedef struct squares_job {
    const dn_head *head;
    const float *x, *truth;
} squares_job;

static double squares_rows(const void *context, size_t from, size_t to) {
    const squares_job *j = context;
    double sum = 0;
    for (size_t r = from; r < to; r++) {
        const float *x = j->x + r * j->head->x_step, *truth = j->truth + r * j->head->truth_step;
        for (size_t c = 0; c < j->head->columns; c++) {
            double d = (double)truth[c] - x[c];
            sum += isnan(truth[c]) ? 0 : d * d;
        }
    }
    return sum;
}

static double known_rows(const void *context, size_t from, size_t to) {
    const squares_job *j = context;
    double known = 0;
    for (size_t r = from; r < to; r++)
        for (size_t c = 0; c < j->head->columns; c++) known += !isnan(j->truth[r * j->head->truth_step + c]);
    return known;
}

void cpu_optimal_spread(dn_pool *pool, const dn_head *head, const float *x, const float *truth, float *spread,
                        float *running, float *passes) {
    squares_job job = {head, x, truth};
    size_t grain = dn_grain_of(head->columns);
    double squares = dn_range_sum(pool, head->rows, grain, squares_rows, &job);
    double known = dn_range_sum(pool, head->rows, grain, known_rows, &job);
    dn_optimal_spread(squares, known, spread, running, passes);
}

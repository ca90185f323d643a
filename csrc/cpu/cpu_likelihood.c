/* Likelihoods of some columns of the truth: rows side by side. The derivative by a spread that rows share is added up
 * over the rows in order: of one number along with the rows, of one for each column in a pass by column. */
#include "cpu/cpu_likelihood.h"
#include "cpu/cpu_ops.h"
#include <math.h>

/* Scales of learned numbers are computed for up to STRIP columns at a time, and used for up to BLOCK rows. */
enum { STRIP = 256, BLOCK = 32 };

const dn_likelihood_kernels *dn_cpu_likelihood_kernels(void) {
    static const dn_likelihood_kernels *const tables[] = DN_PER_ISA(dn_likelihood_kernels);
    return tables[dn_cpu_isa()];
}

void dn_fixed_scales(const dn_likelihood_terms *of, float fixed[DN_SCALES]) {
    double r = exp((double)of->scale.log);
    fixed[DN_SCALE_FACTOR] = of->scale.inverse, fixed[DN_SCALE_CONSTANT] = of->scale.log + of->constant;
    fixed[DN_SCALE_DIGAMMA] = 0, fixed[DN_SCALE_SLOPE] = 1;
    if (of->kind != DN_LOSS_NEGATIVE_BINOMIAL) return;
    fixed[DN_SCALE_FACTOR] = (float)r, fixed[DN_SCALE_CONSTANT] = (float)(DN_HALF_LOG_2PI + dn_log_gamma_rest(r));
    fixed[DN_SCALE_DIGAMMA] = (float)(r * dn_digamma_rest(r));
}

typedef struct likelihood_job {
    const dn_head *head;
    const dn_likelihood_kernels *kernels;
    dn_values values; /* with what is the same for all values */
    const float *x, *truth, *spread, *row_weight;
    float *loss, *gradient, *spread_gradient;
} likelihood_job;

static float row_weight_of(const likelihood_job *j, size_t r) { return j->row_weight ? j->row_weight[r] : 1; }

/* The job's values, with the scales of n learned numbers. */
typedef struct strip {
    dn_values values;
    float scales[DN_SCALES][STRIP];
} strip;

static void strip_of(strip *s, const likelihood_job *j, size_t n, const float *spread) {
    s->values = j->values;
    float *to[DN_SCALES];
    for (int i = 0; i < DN_SCALES; i++) s->values.scales[i] = to[i] = s->scales[i];
    j->kernels->scales(&j->values.of, n, spread, to);
}

/* Up to BLOCK rows from `first` on; the weighted derivatives by a single spread. */
static double values_block(const likelihood_job *j, size_t first, size_t rows) {
    const dn_head *h = j->head;
    double losses[BLOCK] = {0}, all = 0;
    strip s;
    s.values = j->values;
    for (size_t c = 0, n; c < h->columns; c += n) {
        n = h->columns - c < STRIP ? h->columns - c : STRIP;
        if (h->spread == DN_SPREAD_COLUMN) strip_of(&s, j, n, j->spread + c);
        for (size_t i = 0; i < rows; i++) {
            size_t r = first + i;
            const float *x = j->x + r * h->x_step + c, *truth = j->truth + r * h->truth_step + c;
            float *gradient = j->gradient ? j->gradient + r * h->x_step + c : NULL;
            double spread = 0;
            int by_value = h->spread == DN_SPREAD_VALUE, by_one = h->spread == DN_SPREAD_ONE && j->spread_gradient;
            dn_value_results to = {.gradient = gradient, .weight = row_weight_of(j, r)};
            if (by_value) strip_of(&s, j, n, x + h->columns), to.spread = gradient ? gradient + h->columns : NULL;
            if (by_one) to.spread_sum = &spread;
            losses[i] += j->kernels->values(&s.values, n, x, truth, &to);
            all += to.weight * spread;
        }
    }
    for (size_t i = 0; j->loss && i < rows; i++) j->loss[first + i] += (float)losses[i];
    return all;
}

/* Codes of columns with different numbers of classes: a column of up to BLOCK rows at a time. */
static void sized_block(const likelihood_job *j, size_t first, size_t rows) {
    const dn_head *h = j->head;
    const float *weight = j->row_weight ? j->row_weight + first : NULL;
    double losses[BLOCK] = {0};
    for (size_t c = 0; c < h->columns; c++) {
        size_t at = first * h->x_step + (size_t)h->starts[c], n = (size_t)(h->starts[c + 1] - h->starts[c]);
        j->kernels->codes_by_row(rows, n, weight, j->x + at, h->x_step, j->truth + first * h->truth_step + c,
                                 h->truth_step, j->gradient ? j->gradient + at : NULL, losses);
    }
    for (size_t i = 0; j->loss && i < rows; i++) j->loss[first + i] += (float)losses[i];
}

static double categorical_row(const likelihood_job *j, size_t r) {
    const dn_head *h = j->head;
    size_t groups = h->classes ? h->columns : h->groups, n = h->classes ? h->classes : h->columns / groups;
    const float *x = j->x + r * h->x_step, *truth = j->truth + r * h->truth_step;
    float *gradient = j->gradient ? j->gradient + r * h->x_step : NULL, weight = row_weight_of(j, r);
    return (h->classes ? j->kernels->codes : j->kernels->one_hots)(groups, n, weight, x, truth, gradient);
}

/* Rows [from, to); the weighted derivatives by a single spread. */
static double likelihood_rows(const void *context, size_t from, size_t to) {
    const likelihood_job *j = context;
    double all = 0;
    for (size_t r = from, n; j->head->starts && r < to; r += n) {
        n = to - r < BLOCK ? to - r : BLOCK;
        sized_block(j, r, n);
    }
    if (j->head->starts) return 0;
    if (j->head->likelihood.kind == DN_LOSS_CATEGORICAL) {
        for (size_t r = from; r < to; r++) {
            double loss = categorical_row(j, r);
            if (j->loss) j->loss[r] += (float)loss;
        }
        return 0;
    }
    for (size_t r = from, n; r < to; r += n) {
        n = to - r < BLOCK ? to - r : BLOCK;
        all += values_block(j, r, n);
    }
    return all;
}

static void likelihood_columns(const void *context, size_t from, size_t to) {
    const likelihood_job *j = context;
    const dn_head *h = j->head;
    strip s;
    for (size_t c = from, n; c < to; c += n) {
        n = to - c < STRIP ? to - c : STRIP;
        strip_of(&s, j, n, j->spread + c);
        j->kernels->column_spreads(&s.values, h->rows, n, j->x + c, h->x_step, j->truth + c, h->truth_step,
                                   j->row_weight, j->spread_gradient + c);
    }
}

void cpu_likelihood(dn_pool *pool, const dn_head *head, const float *x, const float *truth, const float *spread,
                    const float *row_weight, float *loss, float *gradient, float *spread_gradient) {
    likelihood_job job = {.head = head,
                          .kernels = dn_cpu_likelihood_kernels(),
                          .values.of = dn_likelihood_terms_of(&head->likelihood),
                          .x = x,
                          .truth = truth,
                          .spread = spread,
                          .row_weight = row_weight,
                          .loss = loss,
                          .gradient = gradient,
                          .spread_gradient = spread_gradient};
    float *fixed = job.values.fixed, *const one[DN_SCALES] = {fixed, fixed + 1, fixed + 2, fixed + 3};
    if (head->spread == DN_SPREAD_FIXED) dn_fixed_scales(&job.values.of, fixed);
    if (head->spread == DN_SPREAD_ONE) job.kernels->scales(&job.values.of, 1, spread, one);
    size_t row = dn_head_values(head);
    double sum = dn_range_sum(pool, head->rows, dn_grain_of(4 * row), likelihood_rows, &job);
    if (!spread_gradient) return;
    if (head->spread == DN_SPREAD_ONE) *spread_gradient += (float)(sum * fixed[DN_SCALE_SLOPE]);
    if (head->spread == DN_SPREAD_COLUMN)
        dn_range_run(pool, head->columns, dn_grain_of(4 * head->rows), likelihood_columns, &job);
}

typedef struct mean_job {
    const dn_head *head;
    const float *x;
    size_t out_step;
    float *out;
} mean_job;

static void mean_row(const dn_head *h, const float *x, float *out) {
    const dn_cpu_kernels *k = dn_cpu_kernels_get();
    dn_loss kind = h->likelihood.kind;
    size_t n = h->columns, size = kind == DN_LOSS_CATEGORICAL && !h->classes ? n / h->groups : 1;
    if (kind == DN_LOSS_CATEGORICAL && h->classes) {
        for (size_t c = 0; c < n; c++) {
            size_t classes = h->starts ? (size_t)(h->starts[c + 1] - h->starts[c]) : h->classes, most = 0;
            for (size_t i = 1; i < classes; i++) most = x[i] > x[most] ? i : most;
            out[c] = (float)most, x += classes;
        }
    } else if (kind == DN_LOSS_CATEGORICAL) {
        for (size_t g = 0; g < h->groups; g++) k->softmax(size, 1, x + g * size, out + g * size);
    } else {
        for (size_t c = 0; c < n; c++) out[c] = dn_likelihood_mean_value(kind, x[c]);
    }
}

static void mean_rows(const void *context, size_t from, size_t to) {
    const mean_job *j = context;
    for (size_t r = from; r < to; r++) mean_row(j->head, j->x + r * j->head->x_step, j->out + r * j->out_step);
}

void cpu_likelihood_mean(dn_pool *pool, const dn_head *head, const float *x, size_t out_step, float *out) {
    mean_job job = {head, x, out_step, out};
    size_t row = dn_head_values(head);
    dn_range_run(pool, head->rows, dn_grain_of(8 * row), mean_rows, &job);
}

/* ---- the best variance ---- */

typedef struct squares_job {
    const dn_head *head;
    const float *row_weight, *x, *truth;
} squares_job;

static double squares_rows(const void *context, size_t from, size_t to) {
    const squares_job *j = context;
    double sum = 0;
    for (size_t r = from; r < to; r++) {
        const float *x = j->x + r * j->head->x_step, *truth = j->truth + r * j->head->truth_step;
        double weight = j->row_weight ? j->row_weight[r] : 1;
        for (size_t c = 0; c < j->head->columns; c++) {
            double d = (double)truth[c] - x[c];
            sum += isnan(truth[c]) ? 0 : weight * (d * d);
        }
    }
    return sum;
}

static double known_rows(const void *context, size_t from, size_t to) {
    const squares_job *j = context;
    double known = 0;
    for (size_t r = from; r < to; r++) {
        double weight = j->row_weight ? j->row_weight[r] : 1;
        for (size_t c = 0; c < j->head->columns; c++)
            known += isnan(j->truth[r * j->head->truth_step + c]) ? 0 : weight;
    }
    return known;
}

void cpu_optimal_spread(dn_pool *pool, const dn_head *head, const float *row_weight, const float *x, const float *truth,
                        float *spread, float *running, float *passes) {
    squares_job job = {head, row_weight, x, truth};
    size_t grain = dn_grain_of(head->columns);
    double squares = dn_range_sum(pool, head->rows, grain, squares_rows, &job);
    double known = dn_range_sum(pool, head->rows, grain, known_rows, &job);
    dn_optimal_spread(squares, known, spread, running, passes);
}

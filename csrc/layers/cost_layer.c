/* [cost]: the loss against the truth, summed over features and rows. Darknet's costs, with d = truth - x:
 *
 *   type    error (the output)                 gradient by x      s (docs/numerics.md)
 *   sse     d^2                                -d                 1/2
 *   masked  as sse, 0 where truth = -1234      -d or 0            1/2
 *   L1      |d|                                -sign(d)           1
 *   smooth  d^2 if |d| < 1 else 2|d| - 1       -d, else -sign(d)  1/2 inside, 1/2 outside (2|d| - 1)
 *   bce     max(x,0) - x t + ln(1 + e^-|x|)    logistic(x) - t    1      x are logits (new)
 *
 * A layer after such a cost takes the errors as its input and passes its gradient back through their derivative,
 * gradient / s. As in Darknet, masked entries of the input read -1234 afterwards. The other types are likelihoods
 * (likelihood.c). `scale` multiplies the gradient passed down, not the reported cost. */
#include "base/sys.h"
#include "layers/cost.h"
#include <string.h>

static const char *const type_names[] = {"sse",
                                         "masked",
                                         "L1",
                                         "smooth",
                                         "bce",
                                         "seg",
                                         "wgan",
                                         "bernoulli",
                                         "gaussian",
                                         "laplace",
                                         "student_t",
                                         "poisson",
                                         "negative_binomial",
                                         "categorical",
                                         "columns",
                                         NULL};
static const char *const starts[] = {"zeros", "means", NULL};
static const char *const numbers[] = {"gaussian", "laplace", "student_t", NULL};
static const dn_loss number_losses[] = {DN_LOSS_GAUSSIAN, DN_LOSS_LAPLACE, DN_LOSS_STUDENT_T};
extern const dn_layer_type dn_cost_layer;
static const dn_term_type cost_term, bce_term, likelihood_term;
static const struct { /* of the types above */
    dn_loss loss;
    double s;
    dn_truth_kind truth_kind;
    const dn_term_type *term;
} cost_types[] = {{DN_LOSS_SSE, 0.5, DN_TRUTH_VALUES, &cost_term},
                  {DN_LOSS_MASKED, 0.5, DN_TRUTH_MASKED, &cost_term},
                  {DN_LOSS_L1, 1, DN_TRUTH_VALUES, &cost_term},
                  {DN_LOSS_SMOOTH, 0.5, DN_TRUTH_VALUES, &cost_term},
                  {DN_LOSS_BCE, 1, DN_TRUTH_BINARY, &bce_term},
                  {DN_LOSS_SSE, 0.5, DN_TRUTH_VALUES, &cost_term},
                  {DN_LOSS_SSE, 0.5, DN_TRUTH_VALUES, &cost_term},
                  {DN_LOSS_BERNOULLI, 1, DN_TRUTH_VALUES, &likelihood_term},
                  {DN_LOSS_GAUSSIAN, 1, DN_TRUTH_VALUES, &likelihood_term},
                  {DN_LOSS_LAPLACE, 1, DN_TRUTH_VALUES, &likelihood_term},
                  {DN_LOSS_STUDENT_T, 1, DN_TRUTH_VALUES, &likelihood_term},
                  {DN_LOSS_POISSON, 1, DN_TRUTH_VALUES, &likelihood_term},
                  {DN_LOSS_NEGATIVE_BINOMIAL, 1, DN_TRUTH_VALUES, &likelihood_term},
                  {DN_LOSS_CATEGORICAL, 1, DN_TRUTH_VALUES, &likelihood_term},
                  {DN_LOSS_GAUSSIAN, 1, DN_TRUTH_VALUES, &likelihood_term}}; /* of its numbers */

static const dn_key cost_keys[] = {
    {"type", DN_KEY_WORD, DN_AT(dn_cost, type), .words = type_names,
     .help = "sse, masked, L1, smooth, bce (new: Bernoulli on logits), seg, wgan; new, likelihoods in nats: bernoulli, "
             "gaussian, laplace, student_t, poisson, negative_binomial, categorical; columns: of all columns of "
             "[columns], numbers gaussian (or as `numbers`), yes_no bernoulli, categories categorical"},
    {"scale", DN_KEY_FLOAT, DN_AT(dn_cost, scale), .fallback = 1, .help = "factor of the gradient"},
    {"columns", DN_KEY_TEXT, DN_AT(dn_cost, columns), .shown_type = "range",
     .shown_fallback = "all, or those after the [cost] before",
     .help = "of a likelihood: its columns of the truth, as 0-7 (both included) or 3, counted from 0 (new)"},
    {"sigma", DN_KEY_TEXT, DN_AT(dn_cost, sigma), .shown_type = "float, name", .shown_fallback = "1; columns: column",
     .help = "of gaussian, laplace, student_t and the numbers of columns: a number; learned (one for all), column (one "
             "learned for each column), "
             "value (given by the network: x is [means, log-variances]); gaussian also optimal (the mean squared error "
             "of the batch, in closed form) (new)"},
    {"log_variance_limit", DN_KEY_FLOAT, DN_AT(dn_cost, variance_limit), .fallback = 10, .range = DN_BOUND_LIMIT,
     .help = "of sigma= and dispersion= that are learned, column or value: log sigma^2 and log r up to this size count "
             "as they are, larger ones are bounded softly; 0.01 to 30 (new)"},
    {"numbers", DN_KEY_WORD, DN_AT(dn_cost, numbers), .words = numbers,
     .help = "of columns: the likelihood of its numbers, gaussian, laplace or student_t (new)"},
    {"nu", DN_KEY_FLOAT, DN_AT(dn_cost, nu), .fallback = 4, .range = DN_ABOVE_ZERO,
     .help = "of student_t: degrees of freedom (new)"},
    {"dispersion", DN_KEY_TEXT, DN_AT(dn_cost, dispersion), .shown_type = "float, name", .shown_fallback = "column",
     .help =
         "of negative_binomial, r of its variance mean + mean^2 / r: a number, learned, column or value, as `sigma` "
         "(new)"},
    {"classes", DN_KEY_INT, DN_AT(dn_cost, classes), .low = 0, .high = 1 << 24,
     .help = "of categorical: every column of the truth is a code from 0 to classes - 1, and takes as many logits; 0: "
             "the columns are one-hot (new)"},
    {"groups", DN_KEY_INT, DN_AT(dn_cost, groups), .fallback = 1, .low = 1, .high = 1 << 24,
     .help = "of categorical with one-hot columns: equal groups of them, each a distribution (new)"},
    {"start", DN_KEY_WORD, DN_AT(dn_cost, start), .words = starts,
     .help =
         "means: a first training begins with biases of the [connected] before, which has to be linear, that predict "
         "the mean of every column of its truth (new)"},
    {"ratio", DN_KEY_UNUSED_WARN, .help = "taken without effect, as on Darknet's CPU, with a warning"},
    {"noobj", DN_KEY_UNUSED_WARN, .fallback = 1},
    {"thresh", DN_KEY_UNUSED_WARN, .fallback = 0},
    {0},
};

const char *dn_cost_type_name(const dn_layer *l) { return type_names[((const dn_cost *)l->state)->type]; }

int dn_cost_is_columns(const dn_layer *l) {
    return l->type == &dn_cost_layer && !strcmp(dn_cost_type_name(l), "columns");
}

int dn_cost_is_head(const dn_layer *l) { return l && l->term.type == &likelihood_term; }

void dn_cost_want_unbounded(dn_layer *l, dn_section *s, const char *takes) {
    float low, high;
    int source = l->index - 1 - l->shared, activation = l->net->cfg->sections[source + 1].activation - 1;
    if (source < 0 || activation < 0 || !dn_activation_bounds((dn_activation)activation, &low, &high)) return;
    dn_cfg_warn(l->net->cfg, "%s:%d: [cost] type=%s takes %s: activation=%s before it should be linear", s->cfg->path,
                s->line, dn_cost_type_name(l), takes, dn_activation_name((dn_activation)activation));
}

/* Darknet's costs. */
static dn_status cost_parse_darknet(dn_layer *l, dn_section *s) {
    dn_cost *st = l->state;
    const dn_layer *before = dn_layer_at(l, l->index - 1);
    if (before && before->term.truths && !before->term.type->only)
        dn_cfg_warn(l->net->cfg, "%s:%d: [%s] after [%s], which has a loss of its own: both gradients act",
                    s->cfg->path, s->line, s->name, before->type->name);
    if (*st->columns)
        return dn_cfg_error(
            s, "columns", "columns= is for likelihoods: with type=%s the loss is over all columns; take %s",
            dn_cost_type_name(l),
            st->own.head.likelihood.kind == DN_LOSS_BCE ? "type=bernoulli" : "one such as type=gaussian");
    if (st->own.head.likelihood.kind == DN_LOSS_BCE)
        dn_cost_want_unbounded(l, s, "logits, any numbers, and makes probabilities of them itself");
    l->term.truths = l->term.columns = l->inputs, l->term.in_place = 1;
    l->term.plain = l->term.truth_kind == DN_TRUTH_VALUES;
    st->own.head.columns = (size_t)l->inputs;
    l->outputs = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    return DN_OK;
}

static dn_status cost_parse(dn_layer *l, dn_section *s) {
    dn_cost *st = l->state;
    st->own.head.likelihood.kind = cost_types[st->type].loss, st->s = cost_types[st->type].s;
    l->term.type = cost_types[st->type].term;
    if (dn_cost_is_columns(l)) st->own.head.likelihood.kind = number_losses[st->numbers];
    l->term.truth_kind = cost_types[st->type].truth_kind;
    l->term.scale = st->s * st->scale;
    dn_cost_warn_of_idle_keys(l, s);
    return dn_cost_is_head(l) ? dn_likelihood_parse(l, s) : cost_parse_darknet(l, s);
}

static dn_status cost_settle(dn_layer *l, dn_section *s) {
    if (dn_cost_is_head(l)) DN_TRY(dn_likelihood_settle(l, s));
    l->term.starts = ((const dn_cost *)l->state)->start;
    return l->term.starts ? dn_cost_start_check(l, s) : DN_OK;
}

static dn_status cost_tensors(dn_layer *l) { return dn_cost_is_head(l) ? dn_likelihood_tensors(l) : DN_OK; }

static dn_status cost_plan(dn_layer *l, const dn_run *run) {
    dn_cost *st = l->state;
    if (dn_cost_is_head(l)) return dn_likelihood_plan(l, run);
    return dn_layer_buffer(l, &st->gradient, (size_t)run->batch * l->inputs);
}

static dn_status cost_constants(dn_layer *l, const dn_run *run) {
    return dn_cost_is_head(l) ? dn_likelihood_constants(l, run) : DN_OK;
}

static dn_status cost_forward(dn_layer *l, const dn_run *run) {
    dn_cost *st = l->state;
    size_t n = (size_t)run->rows * l->inputs;
    if (dn_cost_is_head(l)) return dn_likelihood_forward(l, run);
    st->active = run->truth != NULL;
    if (!st->active) return DN_OK;
    if (st->own.head.likelihood.kind == DN_LOSS_MASKED && l->index)
        run->ops->mask(run->pool, n, run->truth, dn_layer_at(l, l->index - 1)->output);
    run->ops->loss(run->pool, &st->own.head.likelihood, n, dn_layer_x(l, run), run->truth, dn_layer_y(l, run),
                   st->gradient, dn_layer_sum(l, run));
    return DN_OK;
}

void dn_cost_pass_down(const dn_layer *l, const dn_run *run, const float *gradient, double scale) {
    size_t n = (size_t)run->rows * (size_t)l->inputs;
    if (!l->dx) return;
    if (!gradient && l->sets_dx) run->ops->fill(run->pool, n, 0, l->dx);
    if (!gradient) return;
    if (!l->sets_dx || dn_layer_at(l, l->index + 1)) {
        run->ops->axpy(run->pool, n, (float)scale, gradient, l->dx);
        return;
    }
    run->ops->copy(run->pool, n, gradient, l->dx);
    if (scale != 1) run->ops->scale(run->pool, n, (float)scale, l->dx);
}

static dn_status cost_backward(dn_layer *l, const dn_run *run) {
    dn_cost *st = l->state;
    size_t n = (size_t)run->rows * l->inputs;
    if (dn_cost_is_head(l)) return dn_likelihood_backward(l, run);
    if (!st->active || dn_layer_at(l, l->index + 1)) dn_cost_pass_down(l, run, NULL, 0);
    if (!st->active) return DN_OK;
    if (l->dx && dn_layer_at(l, l->index + 1))
        run->ops->mul_add(run->pool, n, (float)(1 / st->s), l->delta, st->gradient, l->dx);
    run->ops->copy(run->pool, n, st->gradient, l->delta); /* Darknet keeps the unscaled delta here */
    if (run->row_weights)
        run->ops->scale_rows(run->pool, (size_t)run->rows, (size_t)l->inputs, run->row_weights, l->delta);
    dn_cost_pass_down(l, run, run->row_weights ? l->delta : st->gradient, st->scale);
    return DN_OK;
}

static void cost_destroy(dn_layer *l) {
    dn_cost *st = l->state;
    dn_free(st->parts);
    dn_free(st->starts);
}

static int cost_as_fused_loss(const dn_layer *l, const dn_run *run, dn_fused_loss *out) {
    const dn_cost *st = l->state;
    *out = (dn_fused_loss){&st->own.head.likelihood, (float)st->scale, dn_layer_sum(l, run)};
    if (dn_cost_is_head(l)) return st->elementwise;
    return st->own.head.likelihood.kind != DN_LOSS_MASKED; /* the masked loss changes its input */
}

static void cost_rows(const dn_layer *l, const dn_run *run, float *loss) {
    if (((const dn_cost *)l->state)->by_row) {
        run->ops->copy(run->pool, (size_t)run->rows, l->output, loss);
        return;
    }
    run->ops->row_sums(run->pool, (size_t)run->rows, (size_t)l->outputs, l->output, loss);
}

static int cost_look(const dn_layer *l, int part, dn_term_look *look) {
    const dn_cost *st = l->state;
    const dn_cost_part *p = dn_cost_part_at(st, part);
    if (!p) return 0;
    *look = (dn_term_look){.formula = l->term.type->head ? DN_FORMULA_HEAD : DN_FORMULA_LOSS,
                           .head = p->head,
                           .x_at = p->at,
                           .truth_at = p->first,
                           .spread = st->spread,
                           .spread_at = p->spread_at,
                           .optimal = st->optimal,
                           .factor = st->scale};
    return 1;
}

static void bce_mean(const dn_layer *l, const dn_run *run, size_t rows, const float *x, float *out) {
    size_t n = rows * (size_t)l->inputs;
    if (out != x) run->ops->copy(run->pool, n, x, out);
    run->ops->activate(run->pool, DN_LOGISTIC, n, out);
}

static int bce_truth_fault(const dn_layer *l, const float *truth, size_t rows, int sums, dn_truth_fault *fault) {
    (void)sums;
    return dn_fault_beyond_one(truth, rows * (size_t)l->term.truths, fault);
}

/* Of an elementwise loss: they are its output. */
static void cost_values(const dn_layer *l, const dn_run *run, const float *x, const float *truth, float *loss) {
    (void)x, (void)truth;
    run->ops->download(run->pool, loss, l->output, (size_t)run->rows * (size_t)l->inputs * sizeof *loss);
}

static const dn_term_type cost_term = {.name = DN_IMAGE_LOSS,
                                       .only = 1,
                                       .rows = cost_rows,
                                       .values = cost_values,
                                       .start_add = dn_cost_start_add,
                                       .start_biases = dn_cost_start_biases,
                                       .look = cost_look};
static const dn_term_type bce_term = {.name = DN_IMAGE_LOSS,
                                      .only = 1,
                                      .likelihood = 1,
                                      .rows = cost_rows,
                                      .values = cost_values,
                                      .mean = bce_mean,
                                      .draw = dn_likelihood_draw,
                                      .truth_fault = bce_truth_fault,
                                      .start_add = dn_cost_start_add,
                                      .start_biases = dn_cost_start_biases,
                                      .look = cost_look};
static const dn_term_type likelihood_term = {.name = DN_IMAGE_LOSS,
                                             .only = 1,
                                             .likelihood = 1,
                                             .head = 1,
                                             .missing = 1,
                                             .rows = cost_rows,
                                             .values = dn_likelihood_values,
                                             .mean = dn_likelihood_mean,
                                             .draw = dn_likelihood_draw,
                                             .truth_fault = dn_likelihood_truth_fault,
                                             .start_add = dn_cost_start_add,
                                             .start_biases = dn_cost_start_biases,
                                             .look = cost_look};

const dn_layer_type dn_cost_layer = {
    .name = "cost",
    .state_size = sizeof(dn_cost),
    .keys = cost_keys,
    .parse = cost_parse,
    .settle = cost_settle,
    .tensors = cost_tensors,
    .init = dn_likelihood_init,
    .plan = cost_plan,
    .constants = cost_constants,
    .forward = cost_forward,
    .backward = cost_backward,
    .can_set_dx = 1,
    .sets_delta = 1,
    .as_fused_loss = cost_as_fused_loss,
    .destroy = cost_destroy,
    .term = &cost_term,
};

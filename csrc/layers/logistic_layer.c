/* [logistic]: y = logistic(x), with the loss -t ln y - (1 - t) ln(1 - y) computed from x; gradient y - t, s = 1. A
 * layer after it passes its gradient back through y (1 - y). */
#include "net/check.h"

typedef struct logistic_state {
    float *error, *gradient; /* (batch, inputs) */
    int active;
} logistic_state;

static dn_status logistic_parse(dn_layer *l, dn_section *s) {
    (void)s;
    l->outputs = l->term.truths = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    l->term.scale = 1, l->term.truth_kind = DN_TRUTH_BINARY;
    return DN_OK;
}
static dn_status logistic_plan(dn_layer *l, const dn_run *run) {
    logistic_state *st = l->state;
    size_t n = (size_t)run->batch * l->inputs;
    DN_TRY(dn_layer_buffer(l, &st->error, n));
    dn_layer_workspace(l, n);
    return dn_layer_buffer(l, &st->gradient, n);
}
static dn_status logistic_forward(dn_layer *l, const dn_run *run) {
    logistic_state *st = l->state;
    size_t n = (size_t)run->rows * l->inputs;
    const dn_likelihood bce = {.kind = DN_LOSS_BCE};
    const float *x = dn_layer_x(l, run);
    float *y = dn_layer_y(l, run);
    run->ops->copy(run->pool, n, x, y);
    run->ops->activate(run->pool, DN_LOGISTIC, n, y);
    st->active = run->truth != NULL;
    if (st->active) run->ops->loss(run->pool, &bce, n, x, run->truth, st->error, st->gradient, dn_layer_sum(l, run));
    return DN_OK;
}
static dn_status logistic_backward(dn_layer *l, const dn_run *run) {
    logistic_state *st = l->state;
    size_t n = (size_t)run->rows * l->inputs;
    run->ops->activate_gradient(run->pool, DN_LOGISTIC, n, l->output, l->delta);
    if (st->active) run->ops->axpy(run->pool, n, 1, dn_layer_weighted(l, run, st->gradient), l->delta);
    if (l->dx) run->ops->axpy(run->pool, n, 1, l->delta, l->dx);
    return DN_OK;
}
static int logistic_truth_fault(const dn_layer *l, const float *truth, size_t rows, int sums, dn_truth_fault *fault) {
    (void)sums;
    return dn_fault_beyond_one(truth, rows * (size_t)l->term.truths, fault);
}
static void logistic_rows(const dn_layer *l, const dn_run *run, float *loss) {
    const logistic_state *st = l->state;
    run->ops->row_sums(run->pool, (size_t)run->rows, (size_t)l->inputs, st->error, loss);
}
static int logistic_look(const dn_layer *l, int part, dn_term_look *look) {
    (void)l;
    *look = (dn_term_look){.formula = DN_FORMULA_LOSS, .head.likelihood.kind = DN_LOSS_BCE, .factor = 1};
    return part == 0;
}
static void logistic_values(const dn_layer *l, const dn_run *run, const float *x, const float *truth, float *loss) {
    const logistic_state *st = l->state;
    (void)x, (void)truth;
    run->ops->download(run->pool, loss, st->error, (size_t)run->rows * (size_t)l->inputs * sizeof *loss);
}
static const dn_term_type logistic_term = {.name = DN_IMAGE_LOSS,
                                           .likelihood = 1,
                                           .rows = logistic_rows,
                                           .values = logistic_values,
                                           .truth_fault = logistic_truth_fault,
                                           .look = logistic_look};
const dn_layer_type dn_logistic_layer = {
    .name = "logistic",
    .state_size = sizeof(logistic_state),
    .parse = logistic_parse,
    .plan = logistic_plan,
    .forward = logistic_forward,
    .backward = logistic_backward,
    .term = &logistic_term,
};

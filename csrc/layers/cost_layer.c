/* [cost]: the loss against the truth, summed over features and rows. With d = truth - x:
 *
 *   type    error (the output)                 gradient by x      s (docs/numerics.md)
 *   sse     d^2                                -d                 1/2
 *   masked  as sse, 0 where truth = -1234      -d or 0            1/2
 *   L1      |d|                                -sign(d)           1
 *   smooth  d^2 if |d| < 1 else 2|d| - 1       -d, else -sign(d)  1/2 inside, 1/2 outside (2|d| - 1)
 *   bce     max(x,0) - x t + ln(1 + e^-|x|)    logistic(x) - t    1      x are logits (new)
 *
 * `scale` multiplies the gradient passed down, not the reported cost. A layer after a cost takes the errors as its
 * input and passes its gradient back through their derivative, gradient / s. As in Darknet, masked entries of the input
 * read -1234 afterwards. */
#include "net/check.h"
#include <math.h>

typedef struct cost_state {
    int type;
    dn_likelihood likelihood;
    double scale, s;
    float *gradient; /* (batch, inputs) */
    int active;
} cost_state;

static const char *const type_names[] = {"sse", "masked", "L1", "smooth", "bce", "seg", "wgan", NULL};
static const dn_term_type cost_term, bernoulli_term;
static const struct { /* of the types above */
    dn_loss loss;
    double s;
    dn_truth_kind truth_kind;
    const dn_term_type *term;
} cost_types[] = {
    {DN_LOSS_SSE, 0.5, DN_TRUTH_VALUES, &cost_term},    {DN_LOSS_MASKED, 0.5, DN_TRUTH_MASKED, &cost_term},
    {DN_LOSS_L1, 1, DN_TRUTH_VALUES, &cost_term},       {DN_LOSS_SMOOTH, 0.5, DN_TRUTH_VALUES, &cost_term},
    {DN_LOSS_BCE, 1, DN_TRUTH_BINARY, &bernoulli_term}, {DN_LOSS_SSE, 0.5, DN_TRUTH_VALUES, &cost_term},
    {DN_LOSS_SSE, 0.5, DN_TRUTH_VALUES, &cost_term}};

static const dn_key keys[] = {
    {"type", DN_KEY_WORD, DN_AT(cost_state, type), .words = type_names,
     .help = "sse, masked, L1, smooth, bce (new: Bernoulli on logits), seg, wgan"},
    {"scale", DN_KEY_FLOAT, DN_AT(cost_state, scale), .fallback = 1, .help = "factor of the gradient"},
    {"ratio", DN_KEY_UNUSED_WARN, .help = "taken without effect, as on Darknet's CPU, with a warning"},
    {"noobj", DN_KEY_UNUSED_WARN, .fallback = 1},
    {"thresh", DN_KEY_UNUSED_WARN, .fallback = 0},
    {0},
};

static dn_status cost_parse(dn_layer *l, dn_section *s) {
    cost_state *st = l->state;
    st->likelihood.kind = cost_types[st->type].loss, st->s = cost_types[st->type].s;
    const dn_layer *before = dn_layer_at(l, l->index - 1);
    if (before && before->term.truths && !before->term.type->only)
        dn_cfg_warn(l->net->cfg, "%s:%d: [%s] after [%s], which has a loss of its own: both gradients act",
                    s->cfg->path, s->line, s->name, before->type->name);
    float low, high;
    int activation = before ? l->net->cfg->sections[l->index].activation - 1 : -1; /* of the layer before */
    int logits = st->likelihood.kind == DN_LOSS_BCE;
    if (logits && activation >= 0 && dn_activation_bounds((dn_activation)activation, &low, &high))
        dn_cfg_warn(l->net->cfg,
                    "%s:%d: [cost] type=bce takes logits, any numbers, and makes probabilities of them itself: "
                    "activation=%s before it should be linear",
                    s->cfg->path, s->line, dn_activation_name((dn_activation)activation));
    l->term.type = cost_types[st->type].term;
    l->term.truth_kind = cost_types[st->type].truth_kind;
    l->term.scale = st->s * st->scale;
    l->term.truths = l->inputs, l->term.in_place = 1;
    l->outputs = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    return DN_OK;
}

static dn_status cost_plan(dn_layer *l, const dn_run *run) {
    cost_state *st = l->state;
    return dn_layer_buffer(l, &st->gradient, (size_t)run->batch * l->inputs);
}

static dn_status cost_forward(dn_layer *l, const dn_run *run) {
    cost_state *st = l->state;
    size_t n = (size_t)run->rows * l->inputs;
    st->active = run->truth != NULL;
    if (!st->active) return DN_OK;
    if (st->likelihood.kind == DN_LOSS_MASKED && l->index)
        run->ops->mask(run->pool, n, run->truth, dn_layer_at(l, l->index - 1)->output);
    run->ops->loss(run->pool, &st->likelihood, n, dn_layer_x(l, run), run->truth, dn_layer_y(l, run), st->gradient,
                   dn_layer_sum(l, run));
    return DN_OK;
}

static dn_status cost_backward(dn_layer *l, const dn_run *run) {
    cost_state *st = l->state;
    size_t n = (size_t)run->rows * l->inputs;
    if (!st->active) return DN_OK;
    if (run->row_weights)
        run->ops->scale_rows(run->pool, (size_t)run->rows, (size_t)l->inputs, run->row_weights, st->gradient);
    if (l->dx && dn_layer_at(l, l->index + 1))
        run->ops->mul_add(run->pool, n, (float)(1 / st->s), l->delta, st->gradient, l->dx);
    run->ops->copy(run->pool, n, st->gradient, l->delta); /* Darknet keeps the unscaled delta here */
    if (l->dx) run->ops->axpy(run->pool, n, (float)st->scale, st->gradient, l->dx);
    return DN_OK;
}

static int cost_as_fused_loss(const dn_layer *l, const dn_run *run, dn_fused_loss *out) {
    const cost_state *st = l->state;
    *out = (dn_fused_loss){&st->likelihood, (float)st->scale, dn_layer_sum(l, run)};
    return st->likelihood.kind != DN_LOSS_MASKED; /* the masked loss changes its input */
}

static void cost_rows(const dn_layer *l, const dn_run *run, float *loss) {
    run->ops->row_sums(run->pool, (size_t)run->rows, (size_t)l->inputs, l->output, loss);
}

static void bernoulli_mean(const dn_layer *l, const dn_run *run, size_t rows, const float *x, float *out) {
    size_t n = rows * (size_t)l->inputs;
    if (out != x) run->ops->copy(run->pool, n, x, out);
    run->ops->activate(run->pool, DN_LOGISTIC, n, out);
}

static int bernoulli_truth_fault(const dn_layer *l, const float *truth, size_t rows, int sums, dn_truth_fault *fault) {
    (void)sums;
    return dn_fault_beyond_one(truth, rows * (size_t)l->term.truths, fault);
}

static void bernoulli_draw(const dn_layer *l, const float *x, size_t rows, uint64_t seed, uint64_t at, float *out) {
    for (size_t r = 0; r < rows; r++)
        for (int c = 0; c < l->inputs; c++) {
            size_t i = r * (size_t)l->inputs + (size_t)c;
            out[i] = dn_uniform_at(seed, DN_STREAM_DRAW, at + r, 4 * (uint64_t)c) < 1 / (1 + expf(-x[i]));
        }
}

static const dn_term_type cost_term = {.name = DN_IMAGE_LOSS, .only = 1, .rows = cost_rows};
static const dn_term_type bernoulli_term = {.name = DN_IMAGE_LOSS,
                                            .only = 1,
                                            .likelihood = 1,
                                            .rows = cost_rows,
                                            .mean = bernoulli_mean,
                                            .draw = bernoulli_draw,
                                            .truth_fault = bernoulli_truth_fault};

const dn_layer_type dn_cost_layer = {
    .name = "cost",
    .state_size = sizeof(cost_state),
    .keys = keys,
    .parse = cost_parse,
    .plan = cost_plan,
    .forward = cost_forward,
    .backward = cost_backward,
    .as_fused_loss = cost_as_fused_loss,
    .term = &cost_term,
};

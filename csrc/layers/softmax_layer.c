/* [softmax]: p = exp(x / T) / sum, over `groups` equal parts of a row, over the channels of every pixel (spatial=1), or
 * over the groups of a label tree. With the loss -t ln p unless noloss=1; gradient (p sum(t) - t) / T, s = 1; parts
 * with a truth of -1234 do not count. A layer after it passes its gradient back through the softmax. */
#include "base/sys.h"
#include "layers/tree.h"
#include "net/layer.h"
#include <math.h>

typedef struct softmax_state {
    const dn_cfg_file *tree_file; /* NULL: none */
    dn_tree tree;
    double temperature;
    int groups, spatial, noloss, active;
    float *error, *gradient; /* (batch, inputs) */
} softmax_state;

static const dn_key softmax_keys[] = {
    {"groups", DN_KEY_INT, DN_AT(softmax_state, groups), .fallback = 1, .low = 1, .high = 1 << 24,
     .help = "equal parts of a row, each a distribution"},
    {"temperature", DN_KEY_FLOAT, DN_AT(softmax_state, temperature), .fallback = 1, .range = DN_ABOVE_ZERO,
     .help = "p of x / temperature"},
    {"spatial", DN_KEY_FLAG, DN_AT(softmax_state, spatial), .help = "over the channels of every pixel"},
    {"tree", DN_KEY_FILE, DN_AT(softmax_state, tree_file),
     .help = "a label tree, beside the cfg or in the current folder"},
    {"noloss", DN_KEY_FLAG, DN_AT(softmax_state, noloss), .help = ""},
    {0},
};

static dn_status softmax_parse(dn_layer *l, dn_section *s) {
    softmax_state *st = l->state;
    if (st->tree_file) DN_TRY(dn_tree_parse(&st->tree, s, "tree", st->tree_file));
    if (st->tree.n && st->tree.n != l->inputs)
        return dn_cfg_error(s, "tree", "the tree has %d nodes, the input %d values", st->tree.n, l->inputs);
    if (l->inputs % st->groups)
        return dn_cfg_error(s, "groups", "groups=%d does not divide %d inputs", st->groups, l->inputs);
    if (st->spatial) DN_TRY(dn_layer_need_image(l, s));
    l->outputs = l->inputs;
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    if (st->noloss) {
        l->term.type = NULL;
        return DN_OK;
    }
    l->term.truths = l->inputs, l->term.scale = 1;
    if (st->groups == 1 && !st->spatial && !st->tree.n) l->term.truth_kind = DN_TRUTH_CLASSES;
    return DN_OK;
}

static dn_status softmax_plan(dn_layer *l, const dn_run *run) {
    softmax_state *st = l->state;
    size_t n = (size_t)run->batch * l->inputs;
    if (st->noloss) return DN_OK;
    DN_TRY(dn_layer_buffer(l, &st->error, n));
    dn_layer_workspace(l, n);
    return dn_layer_buffer(l, &st->gradient, n);
}

static void softmax_destroy(dn_layer *l) { dn_tree_free(&((softmax_state *)l->state)->tree); }

/* The k-th set of distributions and its offset in a row; returns 0 after the last. */
static int softmax_set(const dn_layer *l, int k, size_t rows, dn_softmax_shape *shape, size_t *offset) {
    const softmax_state *st = l->state;
    size_t inputs = (size_t)l->inputs;
    *offset = 0;
    if (st->tree.n) {
        if (k == st->tree.n_groups) return 0;
        *offset = (size_t)st->tree.group_offset[k];
        *shape = (dn_softmax_shape){rows, inputs, 1, 0, (size_t)st->tree.group_size[k], 1};
    } else if (st->spatial) {
        size_t pixels = (size_t)l->height * l->width;
        *shape = (dn_softmax_shape){rows, inputs, pixels, 1, (size_t)l->channels, pixels};
    } else {
        size_t n = inputs / (size_t)st->groups;
        *shape = (dn_softmax_shape){rows, inputs, (size_t)st->groups, n, n, 1};
    }
    return st->tree.n || k == 0;
}

static dn_status softmax_forward(dn_layer *l, const dn_run *run) {
    softmax_state *st = l->state;
    dn_softmax_shape shape;
    size_t at;
    const float *x = dn_layer_x(l, run);
    float *y = dn_layer_y(l, run);
    st->active = run->truth && !st->noloss;
    for (int k = 0; softmax_set(l, k, (size_t)run->rows, &shape, &at); k++) {
        run->ops->softmax(run->pool, &shape, (float)st->temperature, x + at, y + at);
        if (st->active)
            run->ops->softmax_loss(run->pool, &shape, (float)st->temperature, y + at, run->truth + at, st->error + at,
                                   st->gradient + at, dn_layer_sum(l, run));
    }
    return DN_OK;
}

static dn_status softmax_backward(dn_layer *l, const dn_run *run) {
    softmax_state *st = l->state;
    dn_softmax_shape shape;
    size_t at, n = (size_t)run->rows * l->inputs;
    if (l->dx && dn_layer_at(l, l->index + 1))
        for (int k = 0; softmax_set(l, k, (size_t)run->rows, &shape, &at); k++)
            run->ops->softmax_gradient(run->pool, &shape, (float)st->temperature, l->output + at, l->delta + at,
                                       l->dx + at);
    if (!st->active) return DN_OK;
    const float *gradient = dn_layer_weighted(l, run, st->gradient);
    run->ops->axpy(run->pool, n, 1, gradient, l->delta);
    if (l->dx) run->ops->axpy(run->pool, n, 1, gradient, l->dx);
    return DN_OK;
}

/* For one distribution. In a tree, a group off the label's path has a truth of zeros. */
static int softmax_group_fault(const float *truth, const dn_softmax_shape *shape, size_t at, int sums, int may_be_zero,
                               dn_truth_fault *fault) {
    const double near = 0.05; /* probabilities may be rounded to a few digits */
    double sum = 0;
    size_t bad = shape->n;
    for (size_t i = 0; i < shape->n; i++) {
        float t = truth[at + i * shape->step];
        if (t == DN_MASKED) return 0;
        if (bad == shape->n && (t < 0 || (sums && t > 1 + near))) bad = i;
        sum += t;
    }
    fault->at = at + bad * shape->step;
    if (bad < shape->n) return 1;
    fault->at = at, fault->group = shape->n, fault->step = shape->step, fault->sum = sum;
    return sums && fabs(sum - 1) > near && !(may_be_zero && sum == 0);
}

static int softmax_truth_fault(const dn_layer *l, const float *truth, size_t rows, int sums, dn_truth_fault *fault) {
    const softmax_state *st = l->state;
    dn_softmax_shape shape;
    size_t first;
    fault->wanted = sums ? "distributions: 0 to 1 with a sum of 1, such as one-hot rows (or -1234 where none is known)"
                         : "0 or more (or -1234 where none is known)";
    for (int k = 0; softmax_set(l, k, rows, &shape, &first); k++)
        for (size_t r = 0; r < rows; r++)
            for (size_t g = 0; g < shape.groups; g++) {
                size_t at = first + r * shape.row_step + g * shape.group_step;
                fault->group = 0;
                if (softmax_group_fault(truth, &shape, at, sums, st->tree.n > 0, fault)) return 1;
            }
    return 0;
}

static void softmax_rows(const dn_layer *l, const dn_run *run, float *loss) {
    const softmax_state *st = l->state;
    run->ops->row_sums(run->pool, (size_t)run->rows, (size_t)l->inputs, st->error, loss);
}

static void softmax_values(const dn_layer *l, const dn_run *run, const float *x, const float *truth, float *loss) {
    (void)x, (void)truth;
    run->ops->download(run->pool, loss, ((const softmax_state *)l->state)->error,
                       (size_t)run->rows * (size_t)l->inputs * sizeof *loss);
}

static int softmax_look(const dn_layer *l, int part, dn_term_look *look) {
    const softmax_state *st = l->state;
    *look = (dn_term_look){.formula = DN_FORMULA_SOFTMAX, .temperature = st->temperature, .factor = 1};
    return softmax_set(l, part, 1, &look->softmax, &look->x_at);
}

static const dn_term_type softmax_term = {.name = DN_IMAGE_LOSS,
                                          .rows = softmax_rows,
                                          .values = softmax_values,
                                          .truth_fault = softmax_truth_fault,
                                          .look = softmax_look};

const dn_layer_type dn_softmax_layer = {
    .name = "softmax",
    .aliases = {"soft"},
    .state_size = sizeof(softmax_state),
    .keys = softmax_keys,
    .parse = softmax_parse,
    .plan = softmax_plan,
    .forward = softmax_forward,
    .backward = softmax_backward,
    .destroy = softmax_destroy,
    .term = &softmax_term,
};

/* The likelihoods of [cost]: -log p(truth | x) of every row, in nats with all constants; s = 1. Formulas:
 * net/likelihood.h.
 *
 * A head that takes all of its input and truth, value by value with a fixed spread, is the operation `loss`, which the
 * layer before it may include in its own work. All others are the operation `likelihood`, which gives the loss of each
 * row and the gradient; each head writes its part of one gradient (batch, inputs), which the first head passes down.
 *
 * sigma=optimal (Rybkin, Daniilidis and Levine, Simple and effective VAE training with calibrated decoders,
 * arXiv:2006.13202): in training, sigma^2 is the mean squared error of the pass over rows and columns, which minimises
 * the loss; its gradient by sigma is 0 there, so the one by x is that of a given sigma. Outside training it is a
 * running mean over the passes of the training. */
#include "layers/cost.h"

static dn_cost *head_of(const dn_layer *l) { return l->state; }

/* ---- tensors ---- */

dn_status dn_likelihood_tensors(dn_layer *l) {
    const dn_cost *st = l->state;
    const char *name = st->own.head.likelihood.kind == DN_LOSS_NEGATIVE_BINOMIAL ? "log_dispersion" : "log_variance";
    int one = 1, columns = (int)st->own.head.columns;
    if (st->optimal) {
        DN_TRY(dn_layer_tensor(l, name, DN_STATISTIC, 0, 1, &one));
        return dn_layer_tensor(l, "passes", DN_STATISTIC, 0, 1, &one); /* that the running mean is over */
    }
    if (st->own.head.spread == DN_SPREAD_ONE) return dn_layer_tensor(l, name, DN_BIAS, 0, 1, &one);
    if (st->own.head.spread == DN_SPREAD_COLUMN) return dn_layer_tensor(l, name, DN_BIAS, 0, 1, &columns);
    return DN_OK;
}

dn_status dn_likelihood_init(dn_layer *l) {
    for (int i = 0; i < l->n_tensors; i++) dn_layer_init_fill(l, &l->tensors[i], 0); /* sigma 1, r 1 */
    return DN_OK;
}

/* ---- plan ---- */

dn_status dn_likelihood_plan(dn_layer *l, const dn_run *run) {
    dn_cost *st = l->state;
    size_t batch = (size_t)run->batch;
    st->spread = l->n_tensors ? &l->tensors[0] : NULL;
    if (st->elementwise) return dn_layer_buffer(l, &st->gradient, batch * (size_t)l->inputs);
    if (st->n_starts) DN_TRY(dn_layer_buffer(l, &st->device_starts, st->n_starts));
    DN_TRY(dn_layer_training_buffer(l, run, &st->row_weight, batch));
    DN_TRY(dn_layer_training_buffer(l, run, &st->row_loss, batch));
    if (st->scale != 1) DN_TRY(dn_layer_training_buffer(l, run, &st->row_scale, batch));
    if (!l->shared) DN_TRY(dn_layer_training_buffer(l, run, &st->gradient, batch * (size_t)l->inputs));
    if (st->optimal) return dn_layer_training_buffer(l, run, &st->pass_spread, 1);
    return st->spread ? dn_layer_training_buffer(l, run, &st->d_spread, st->spread->count) : DN_OK;
}

dn_status dn_likelihood_constants(dn_layer *l, const dn_run *run) {
    const dn_cost *st = l->state;
    if (st->row_scale) run->ops->fill(run->pool, (size_t)run->batch, (float)st->scale, st->row_scale);
    if (st->n_starts) run->ops->upload(run->pool, st->device_starts, st->starts, st->n_starts * sizeof *st->starts);
    return DN_OK;
}

/* ---- passes ---- */

/* Of a part, as operations take it. */
static dn_head head_for(const dn_layer *l, const dn_cost_part *part, size_t rows) {
    const dn_cost *st = l->state;
    dn_head head = part->head;
    head.rows = rows;
    if (head.starts) head.starts = (const int *)st->device_starts + (head.starts - st->starts);
    return head;
}

/* Where the first head keeps the gradient of all; NULL in a plan for inference. */
static float *head_gradient(const dn_layer *l) { return head_of(dn_layer_at(l, l->index - l->shared))->gradient; }

/* The learned or optimal spread that this pass has; NULL: it is fixed, or in the input. */
static const float *head_spread(const dn_layer *l, const dn_run *run) {
    const dn_cost *st = l->state;
    if (!st->spread) return NULL;
    return st->optimal && run->training ? st->pass_spread : st->spread->value;
}

/* The factors of rows' gradients: scale=, times the weights of rows; NULL: 1, or there are no gradients. */
static const float *head_weights(const dn_layer *l, const dn_run *run) {
    const dn_cost *st = l->state;
    if (!run->row_weights || !st->row_weight) return st->row_scale;
    run->ops->copy(run->pool, (size_t)run->rows, run->row_weights, st->row_weight);
    run->ops->scale(run->pool, (size_t)run->rows, (float)st->scale, st->row_weight);
    return st->row_weight;
}

/* Loss and gradients; row weights NULL: 1. */
static void head_compute(const dn_layer *l, const dn_run *run, const float *row_weight, float *loss) {
    const dn_cost *st = l->state;
    const float *x = dn_layer_x(l, run), *spread = head_spread(l, run);
    float *gradient = head_gradient(l);
    const dn_cost_part *p;
    if (st->d_spread) run->ops->fill(run->pool, st->spread->count, 0, st->d_spread);
    run->ops->fill(run->pool, (size_t)run->rows, 0, loss);
    for (int i = 0; (p = dn_cost_part_at(st, i)); i++) {
        dn_head head = head_for(l, p, (size_t)run->rows);
        int learned = dn_head_learns(&head);
        run->ops->likelihood(run->pool, &head, x + p->at, run->truth + p->first, learned ? spread + p->spread_at : NULL,
                             row_weight, loss, gradient ? gradient + p->at : NULL,
                             learned && st->d_spread ? st->d_spread + p->spread_at : NULL);
    }
}

/* In a training step with draws, whose weights follow from the losses of the rows, values have no losses of their own,
 * and the gradient goes where it is read, in one pass. */
static int likelihood_by_row(const dn_layer *l, const dn_run *run) {
    const dn_cost *st = l->state;
    return run->losses_only && run->draws && st->elementwise && st->scale == 1 && l->sets_dx && l->dx;
}

dn_status dn_likelihood_forward(dn_layer *l, const dn_run *run) {
    dn_cost *st = l->state;
    st->active = run->truth != NULL;
    if (!st->active) return DN_OK;
    const float *x = dn_layer_x(l, run);
    st->by_row = likelihood_by_row(l, run);
    if (st->by_row) {
        dn_head head = head_for(l, &st->own, (size_t)run->rows);
        run->ops->fill(run->pool, head.rows, 0, l->output);
        run->ops->likelihood(run->pool, &head, x, run->truth, NULL, NULL, l->output, l->dx, NULL);
        return DN_OK;
    }
    if (st->elementwise) {
        run->ops->loss(run->pool, &st->own.head.likelihood, (size_t)run->rows * (size_t)l->inputs, x, run->truth,
                       dn_layer_y(l, run), st->gradient, dn_layer_sum(l, run));
        return DN_OK;
    }
    if (st->optimal && run->training) {
        dn_head head = head_for(l, &st->own, (size_t)run->rows);
        run->ops->optimal_spread(run->pool, &head, run->row_weights, x + st->own.at, run->truth + st->own.first,
                                 st->pass_spread, st->spread->value, l->tensors[1].value);
    }
    head_compute(l, run, head_weights(l, run), dn_layer_y(l, run));
    run->ops->add_sum(run->pool, (size_t)run->rows, 1, dn_layer_y(l, run), dn_layer_sum(l, run));
    return DN_OK;
}

dn_status dn_likelihood_backward(dn_layer *l, const dn_run *run) {
    dn_cost *st = l->state;
    size_t n = (size_t)run->rows * (size_t)l->inputs;
    if (!st->active) {
        if (!l->shared) dn_cost_pass_down(l, run, NULL, 0);
        return DN_OK;
    }
    if (st->by_row) {
        run->ops->scale_rows(run->pool, (size_t)run->rows, (size_t)l->inputs, run->row_weights, l->dx);
        return DN_OK;
    }
    if (st->elementwise) {
        run->ops->copy(run->pool, n, st->gradient, l->delta);
        if (run->row_weights)
            run->ops->scale_rows(run->pool, (size_t)run->rows, (size_t)l->inputs, run->row_weights, l->delta);
        dn_cost_pass_down(l, run, run->row_weights ? l->delta : st->gradient, st->scale);
        return DN_OK;
    }
    if (run->row_weights && run->draws) /* which forward did not know */
        head_compute(l, run, head_weights(l, run), st->row_loss);
    if (st->d_spread) run->ops->axpy(run->pool, st->spread->count, 1, st->d_spread, st->spread->grad);
    if (!l->shared) dn_cost_pass_down(l, run, st->gradient, 1);
    return DN_OK;
}

void dn_likelihood_mean(const dn_layer *l, const dn_run *run, size_t rows, const float *x, float *out) {
    const dn_cost *st = l->state;
    const dn_cost_part *p;
    for (int i = 0; (p = dn_cost_part_at(st, i)); i++) {
        dn_head head = head_for(l, p, rows);
        run->ops->likelihood_mean(run->pool, &head, x + p->at, head.truth_step, out + p->first);
    }
    if (st->parts) dn_likelihood_columns_given(l, run, rows, out);
}

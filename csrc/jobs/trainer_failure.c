/* Why a loss is no longer a finite number. Nothing is looked at while all is well: after the failure the epoch is
 * trained once more from the last good state, which gives the same numbers, up to the failing slice quickly and from
 * there step by step; the step that fails is then taken apart. */
#include "base/sys.h"
#include "jobs/trainer.h"
#include "net/check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is known of a failure. Texts are empty as long as it is not. */
typedef struct failure {
    uint64_t batch;  /* its number, since the schedule began */
    char where[160]; /* the layer, and what in it */
    size_t row;      /* of the table, from 0; SIZE_MAX: none in particular */
    double norm;     /* of the mean gradient in the batch before; NaN: not known */
} failure;

/* ---- where a pass fails ---- */

static size_t first_bad(const float *values, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return i;
    return n;
}

/* The first value of the backend's memory that is not finite; n: none, or no memory to look. */
static size_t failure_look(const dn_net *net, const float *device, size_t n) {
    float *values = device ? dn_alloc(n, sizeof *values) : NULL;
    if (!values) return n;
    net->ops->download(net->pool, values, device, n * sizeof *values);
    size_t at = first_bad(values, n);
    dn_free(values);
    return at;
}

static int failure_parameters(const dn_trainer *t) {
    const dn_net *net = t->net;
    return failure_look(net, net->values, net->n_values) < net->n_values;
}

static void failure_place(const dn_trainer *t, const dn_layer *l, const char *what, size_t at, size_t width,
                          failure *f) {
    const dn_run *run = dn_plan_run(t->net->plan, l);
    snprintf(f->where, sizeof f->where, "%s of layer %d [%s]", what, l->index, l->type->name);
    if (!width) return;
    size_t row = at / width / (size_t)(run->draws > 1 ? run->draws : 1);
    if (t->at + row < t->feed.n) f->row = t->feed.order[t->at + row];
}

/* The first layer whose output is not finite, or whose loss is not. */
static int failure_forward(const dn_trainer *t, failure *f) {
    const dn_plan *p = t->net->plan;
    for (int i = 0; i < p->n_layers; i++) {
        const dn_layer *l = &p->layers[i];
        size_t rows = (size_t)dn_plan_run(p, l)->rows, width = (size_t)l->outputs, n = rows * width,
               at = failure_look(t->net, l->output, n);
        if (at < n) return failure_place(t, l, "the output", at, width, f), 1;
        if (!l->term.type || isfinite(l->term.sum)) continue;
        failure_place(t, l, "the loss", 0, 0, f);
        if (!l->term.type->rows || l->term.type->latent || p->drawing) return 1;
        l->term.type->rows(l, &p->run, p->truth);
        at = failure_look(t->net, p->truth, rows);
        if (at < rows) failure_place(t, l, "the loss", at, 1, f);
        return 1;
    }
    return 0;
}

/* From the end on, the first layer whose gradients are not finite; else the update itself is to blame. */
static void failure_backward(const dn_trainer *t, failure *f) {
    const dn_plan *p = t->net->plan;
    for (int i = p->n_layers - 1; i >= 0; i--) {
        const dn_layer *l = &p->layers[i];
        size_t width = (size_t)l->outputs, n = (size_t)dn_plan_run(p, l)->rows * width,
               at = failure_look(t->net, l->delta, n);
        if (at < n) return failure_place(t, l, "the gradient by the output", at, width, f);
        for (int k = 0; k < l->n_tensors; k++) {
            const dn_tensor *tensor = &l->tensors[k];
            char what[64];
            if (tensor->kind == DN_STATISTIC || failure_look(t->net, tensor->grad, tensor->count) == tensor->count)
                continue;
            snprintf(what, sizeof what, "the gradient of %s", tensor->name);
            return failure_place(t, l, what, 0, 0, f);
        }
    }
    snprintf(f->where, sizeof f->where, "the update, which a learning rate of %g makes too large", p->run.now.rate);
}

/* The pass at t->at once more, layer by layer and without an update. The values of all layers remain. */
static dn_status failure_pass(dn_trainer *t, int backward) {
    dn_net *net = t->net;
    dn_plan *p = net->plan;
    uint64_t pass = net->state.seen;
    dn_report unused;
    size_t n = dn_feed_pass(&t->feed, t->at);
    net->state.seen += n;
    dn_net_set_step(net, pass, t->at, (int64_t)n);
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
    dn_rows batch = dn_feed_batch(&t->feed, t->at);
    if (!batch.truth) batch.truth = batch.x;
    dn_plan_losses_clear(p);
    if (backward || p->draws)
        DN_TRY(dn_net_train_rows(net, &batch, 0));
    else
        DN_TRY(dn_plan_forward(p, &(dn_pass){.last = net->n_layers - 1, .training = 1, .rows = batch}));
    return dn_plan_losses(p, &unused);
}

/* ---- the step that fails ---- */

/* Of the mean gradient, in the step at t->at. */
static dn_status failure_norm(dn_trainer *t, double *norm) {
    dn_net *net = t->net;
    float *grads = dn_alloc(net->n_values, sizeof *grads);
    if (!grads) return DN_E_MEMORY;
    dn_status status = failure_pass(t, 1);
    net->ops->download(net->pool, grads, net->grads, net->n_values * sizeof *grads);
    double squares = 0;
    for (size_t i = 0; i < net->n_values; i++) squares += (double)grads[i] * grads[i];
    if (status == DN_OK) *norm = sqrt(squares) / net->plan->run.rows;
    dn_free(grads);
    return status;
}

/* before: the state at row `at`, whose step fails; last: the one a step earlier, if taken, at row `last_at`. */
static dn_status failure_dissect(dn_trainer *t, const dn_snapshot *before, size_t at, const dn_snapshot *last,
                                 size_t last_at, failure *f) {
    if (last->taken) {
        dn_snapshot_restore(last, t->net);
        t->at = last_at;
        DN_TRY(failure_norm(t, &f->norm));
    }
    dn_snapshot_restore(before, t->net);
    t->at = at;
    f->batch = t->net->state.batches + 1;
    DN_TRY(failure_pass(t, 0));
    if (failure_forward(t, f)) return DN_OK;
    dn_snapshot_restore(before, t->net);
    DN_TRY(failure_pass(t, 1));
    failure_backward(t, f);
    return DN_OK;
}

/* Go on step by step to the one that fails. */
static dn_status failure_search(dn_trainer *t, size_t until, dn_snapshot places[2], failure *f) {
    dn_net *net = t->net;
    size_t at[2] = {0};
    for (int now = 0; t->at < until; now = !now) {
        dn_report losses;
        dn_snapshot_take(&places[now], net);
        at[now] = t->at;
        dn_plan_losses_clear(net->plan);
        DN_TRY(dn_trainer_step(t));
        DN_TRY(dn_plan_losses(net->plan, &losses));
        if (!isfinite(dn_report_get(&losses, DN_TOTAL_LOSS)) || failure_parameters(t))
            return failure_dissect(t, &places[now], at[now], &places[!now], at[!now], f);
    }
    return DN_OK;
}

/* Leaves the training at some place; the caller goes back to the last good one. */
static dn_status failure_find(dn_trainer *t, failure *f) {
    size_t slice = t->clock.slice_at, until = t->at;
    dn_snapshot places[2] = {{0}};
    dn_snapshot_restore(&t->last_good, t->net);
    t->at = t->last_good_at;
    dn_status status = DN_OK;
    while (status == DN_OK && t->at < slice) status = dn_trainer_step(t);
    for (int i = 0; i < 2 && status == DN_OK; i++) status = dn_snapshot_create(&places[i], t->net);
    if (status == DN_OK) status = failure_search(t, until, places, f);
    for (int i = 0; i < 2; i++) dn_snapshot_free(&places[i], t->net);
    return status;
}

/* ---- the message ---- */

/* The row's largest value, in x or in the truth, if it is far from 1: ", whose column 'age' is 1e+30". */
static void failure_cell(const dn_trainer *t, size_t row, char *text, size_t size) {
    const double sane = 100;
    const dn_rows *all = &t->feed.all;
    for (int of_truth = 0; of_truth < 1 + (all->truth != NULL); of_truth++) {
        size_t width = (size_t)(of_truth ? t->net->truths : t->net->inputs), column = 0;
        const float *values = (of_truth ? all->truth : all->x) + row * width;
        char name[128];
        if (!(dn_reach(values, 1, width, &column) > sane)) continue;
        dn_trainer_column_name(t, of_truth, column, name, sizeof name);
        snprintf(text, size, ", whose %s is %.6g", name, values[column]);
        return;
    }
}

/* With batch normalisation one bad row spoils the others of its pass: the one to blame is far from 1. */
static size_t failure_blame(const dn_trainer *t, size_t row) {
    const float *x = t->feed.all.x;
    size_t width = (size_t)t->net->inputs, column, n = dn_feed_pass(&t->feed, t->at);
    float most = dn_reach(x + row * width, 1, width, &column);
    for (size_t r = t->at; r < t->at + n; r++) {
        float reach = dn_reach(x + (size_t)t->feed.order[r] * width, 1, width, &column);
        if (reach > 100 && reach > 100 * most) row = t->feed.order[r], most = reach;
    }
    return row;
}

static void failure_kept(const dn_trainer *t, char *text, size_t size) {
    int epoch = dn_keep_epoch(&t->keep, t->last_good_at ? -1 : t->epoch);
    if (epoch > 0)
        snprintf(text, size, "; the weights of epoch %d are kept", epoch);
    else
        snprintf(text, size, epoch ? "; the weights of the checkpoint are kept" : "; nothing was learned");
}

/* What to do: data far from 1 are the usual reason, and no learning rate helps then. */
static void failure_advice(const dn_trainer *t, char *text, size_t size) {
    size_t row = 0;
    const double sane = 100;
    static const char *const units[] = {"-scale, or data_scale= in [net]", "targets are learned in their own units"};
    char column[128];
    double most;
    int far = dn_trainer_far_column(t, SIZE_MAX, sane, &most, column, sizeof column);
    if (far && dn_trainer_far_rows(t, far, sane, &row) * 20 <= t->feed.all.n)
        snprintf(text, size, "%s reaches %.6g, but hardly any row is so far from 1: look at row %zu of the data",
                 column, most, row + 1);
    else if (far)
        snprintf(text, size, "%s reaches %.6g: scale the data (%s)", column, most, units[far - 1]);
    else
        snprintf(text, size, "a smaller learning rate may help, or clip_norm= in [net]");
}

dn_status dn_trainer_diverged(dn_trainer *t, double loss) {
    failure f = {.row = SIZE_MAX, .norm = NAN};
    const char *what = isnan(loss) ? "the loss became nan" : "the loss became inf";
    int epoch = t->epoch + 1;
    if (isfinite(loss)) what = "a parameter became nan or infinite";
    char kept[64], batch[48] = "", first[224] = "", row[224] = "", values[160] = "", norm[64] = "", advice[256];
    dn_snapshot_restore(&t->last_good, t->net);
    if (dn_net_finite(t->net) == DN_E_NUMERIC) return dn_fail_prefix(DN_E_NUMERIC, "%s in epoch %d: ", what, epoch);
    failure_kept(t, kept, sizeof kept);
    if (failure_find(t, &f) != DN_OK) f = (failure){.row = SIZE_MAX, .norm = NAN}; /* then less is known */
    if (f.batch) snprintf(batch, sizeof batch, "; first in batch %llu", (unsigned long long)f.batch);
    if (f.row != SIZE_MAX) {
        f.row = failure_blame(t, f.row);
        failure_cell(t, f.row, values, sizeof values);
        snprintf(row, sizeof row, ", for row %zu of the data%s", f.row + 1, values);
    }
    if (*f.where) snprintf(first, sizeof first, ", in %s", f.where);
    if (isfinite(f.norm)) snprintf(norm, sizeof norm, "; the gradient's norm was %.3g in the batch before", f.norm);
    failure_advice(t, advice, sizeof advice);
    return dn_fail(DN_E_NUMERIC, "%s in epoch %d: %s%s%s%s%s%s", what, epoch, advice, batch, first, row, norm, kept);
}

/* A training: from options to steps, epochs, their validation, and reports to the caller. */
#include "jobs/trainer.h"
#include "base/report.h"
#include "base/sys.h"
#include "net/check.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STEPS_AHEAD = 64 };

static size_t trainer_sums_bytes(const dn_trainer *t) { return dn_plan_sums(t->net->plan) * sizeof *t->sums; }

/* Resets the losses: nothing of the epoch has been trained yet. */
static void trainer_no_losses(dn_trainer *t) {
    dn_plan_losses_report(t->net->plan, &t->losses);
    for (int i = 0; i < t->losses.n; i++) t->losses.values[i].value = 0;
}

/* Keep this place to go back to, after `at` rows of an epoch. */
static void trainer_keep_good(dn_trainer *t, size_t at) {
    dn_snapshot_take(&t->last_good, t->net);
    t->last_good_at = at;
    memcpy(t->last_good_sums, t->sums, trainer_sums_bytes(t));
}

/* Go back to it: to the end of the last good epoch, after which the next run begins another, or to where a resume
 * began. */
static void trainer_restore(dn_trainer *t) {
    dn_snapshot_restore(&t->last_good, t->net);
    t->at = t->last_good_at, t->finished = t->validation.running = 0, t->stopped = DN_STOP_CALLER;
    memcpy(t->sums, t->last_good_sums, trainer_sums_bytes(t));
    trainer_no_losses(t);
    dn_log_next_epoch(t);
}

static dn_status trainer_allocate(dn_trainer *t) {
    dn_net *net = t->net;
    size_t sums = trainer_sums_bytes(t);
    t->sums = dn_alloc(1, sums);
    t->validation.kept = dn_alloc(1, sums);
    t->last_good_sums = dn_alloc(1, sums);
    t->undo.host = dn_alloc((size_t)net->n_layers, sizeof *t->undo.host);
    t->undo.device = net->ops->alloc(net->pool, sums + net->n_statistics * sizeof(float));
    if (!t->sums || !t->validation.kept || !t->last_good_sums || !t->undo.host || !t->undo.device) return DN_E_MEMORY;
    DN_TRY(dn_snapshot_create(&t->last_good, net));
    DN_TRY(dn_keep_create(&t->keep, net, &t->options, t->feed.validation.kind == DN_VALIDATE_HELD_OUT));
    return dn_feed_place(&t->feed);
}

static dn_status trainer_prepare(dn_trainer *t, const dn_rows *rows, const dn_train_options *options) {
    int preview = options->preview_path && *options->preview_path, resumes = options->resume && *options->resume;
    t->options.preview_path = t->options.checkpoint = t->options.checkpoint_every = t->options.resume = NULL;
    if (preview && !(t->preview = dn_strdup(options->preview_path))) return DN_E_MEMORY;
    DN_TRY(dn_checkpoints_create(t, options));
    DN_TRY(dn_feed_create(&t->feed, t->net, rows, options));
    if (t->feed.validation.kind && t->feed.validation.rows.truth)
        DN_TRY(dn_scores_create(&t->validation.sums.scores, t->feed.validation.plan));
    DN_TRY(trainer_allocate(t));
    DN_TRY(dn_check_norms(t->net, t->feed.n));
    if (resumes || t->checkpoints.path) dn_data_look(t, rows, &options->valid);
    /* last, because a failure must leave the network unchanged */
    return resumes ? dn_trainer_resume(t, options->resume) : dn_trainer_place_schedule(t);
}

/* Set the order of the current epoch; its number counts all epochs ever trained. */
static void trainer_order(dn_trainer *t) {
    uint64_t seen = t->net->state.seen - t->at, rows = t->feed.n;
    dn_feed_shuffle(&t->feed, seen / rows + (seen % rows > 0));
}

/* The losses of the epoch so far, which a resume has brought. */
static dn_status trainer_losses(dn_trainer *t) {
    if (!t->at) return DN_OK;
    dn_plan_losses_resume(t->net->plan, t->sums);
    return dn_plan_losses(t->net->plan, &t->losses);
}

/* Has the epoch had its last step? The last epoch of a training may end at max_batches, before its rows do. */
static int trainer_trained(const dn_trainer *t) { return t->at == t->feed.n || t->finished; }

/* waiting: gradients that were made by hand wait for an update. */
static dn_status trainer_begin(dn_trainer *t, int waiting) {
    dn_net *net = t->net;
    if (t->options.learning_rate > 0) net->state.learning_rate = t->options.learning_rate;
    net->state.rows_since_update = 0;
    if (waiting) net->ops->fill(net->pool, net->n_values, 0, net->grads);
    DN_TRY(dn_trainer_start_at_means(t));
    t->preview_due = !t->at;
    t->planned = dn_trainer_planned(t);
    dn_trainer_warn_of_long_rises(t);
    if (!t->epoch && !t->at) dn_trainer_warn_of_idle_epochs(t);
    dn_trainer_warn_of_far_data(t);
    dn_trainer_warn_of_unreachable_data(t);
    trainer_no_losses(t);
    trainer_order(t);
    trainer_keep_good(t, trainer_trained(t) ? 0 : t->at);
    t->clock.started = dn_now();
    return trainer_losses(t);
}

static void trainer_free(dn_trainer *t);

static dn_status trainer_check(const dn_net *net, const dn_rows *rows, const dn_train_options *options) {
    size_t values;
    DN_TRY(dn_job_need_truth(net, rows));
    DN_CHECK(rows->n > 0 && rows->n <= UINT32_MAX, DN_E_USAGE, "cannot train on %zu rows", rows->n);
    DN_TRY(dn_size_mul(&values, rows->n, dn_net_widths(net)));
    DN_TRY(dn_job_whole(net, rows->n));
    DN_TRY(dn_job_check(net, "", rows, 0));
    DN_CHECK(options->epochs >= 0, DN_E_USAGE, "epochs=%d is below 0", options->epochs);
    DN_CHECK(options->valid.x || !options->valid.n, DN_E_USAGE, "%zu rows for validation, but no valid.x",
             options->valid.n);
    DN_CHECK(options->max_seconds >= 0 && isfinite(options->max_seconds), DN_E_USAGE,
             "max_seconds=%g is not a number of seconds", options->max_seconds);
    DN_CHECK(options->epochs > 0 || net->schedule.max_batches > 0 || options->patience > 0 || options->max_seconds > 0,
             DN_E_USAGE, "%s: when to stop? give epochs, patience or max_seconds, or max_batches in [net]",
             net->cfg->path);
    DN_CHECK(options->learning_rate >= 0 && options->learning_rate <= FLT_MAX, DN_E_USAGE,
             "learning_rate=%g is not a positive float32", options->learning_rate);
    return DN_OK;
}

static dn_status trainer_create(dn_trainer **out, dn_net *net, const dn_rows *rows, const dn_train_options *options) {
    DN_TRY(trainer_check(net, rows, options));
    DN_TRY(dn_net_prepare_training(net));
    dn_trainer *t = dn_alloc(1, sizeof *t);
    if (!t) return DN_E_MEMORY;
    *t = (dn_trainer){.net = net,
                      .descent = {.first = NAN, .least = NAN, .start = NAN},
                      .options = *options,
                      .layout = net->layout,
                      .rate_before = net->state.learning_rate};
    int waiting = net->state.rows_since_update > 0;
    dn_status status = trainer_prepare(t, rows, options);
    if (status == DN_OK) status = dn_log_open(t, options);
    if (status == DN_OK) status = trainer_begin(t, waiting);
    if (status != DN_OK) {
        trainer_free(t);
        return status;
    }
    *out = t;
    return DN_OK;
}

/* What the cfg says of held-out rows counts where the options say nothing. */
static dn_train_options trainer_options(const dn_net *net, size_t rows, const dn_train_options *given) {
    dn_train_options options = *given;
    size_t held = (size_t)((double)rows * net->holdout + 0.5); /* none, of a few rows */
    if (!options.holdout && !options.valid.x && held >= 1 && held < rows) options.holdout = net->holdout;
    int held_out = options.holdout > 0 || options.valid.x;
    if (!options.patience && held_out && options.keep != DN_KEEP_LAST) options.patience = net->early_stopping;
    return options;
}

dn_status dn_trainer_create(dn_trainer **out, dn_net *net, const dn_rows *rows, const dn_train_options *options) {
    const dn_train_options usual = {0};
    dn_train_options all = trainer_options(net, rows->n, options ? options : &usual);
    *out = NULL;
    DN_EXCLUSIVE(net, trainer_create(out, net, rows, &all));
}

static void trainer_free(dn_trainer *t) {
    const dn_ops *ops = t->net->ops;
    dn_checkpoints_free(t);
    if (t->recording.graph) ops->record_free(t->net->pool, t->recording.graph);
    if (t->undo.device) ops->free(t->net->pool, t->undo.device);
    dn_feed_free(&t->feed);
    dn_snapshot_free(&t->last_good, t->net);
    dn_keep_free(&t->keep, t->net);
    dn_log_close(&t->log);
    dn_free(t->preview);
    dn_free(t->sums);
    dn_free(t->validation.kept);
    dn_free(t->last_good_sums);
    dn_free(t->undo.host);
    dn_scores_free(&t->validation.sums.scores);
    dn_free(t);
}

void dn_trainer_destroy(dn_trainer *t) {
    if (!t) return;
    dn_net *net = t->net;
    dn_guard_wait(net->guard);
    net->state.learning_rate = t->rate_before;
    trainer_free(t);
    dn_net_leave(net, DN_OK);
}

static void trainer_resume_losses(dn_plan *plan, const double *sums, size_t at) {
    if (at)
        dn_plan_losses_resume(plan, sums);
    else
        dn_plan_losses_clear(plan);
}

/* Is there another step in this slice? waiting: rows of a batch that it must not end within. */
static int trainer_goes_on(const dn_trainer *t, int64_t waiting, double until) {
    return t->at < t->feed.n && !t->finished && (dn_now() < until || waiting);
}

/* Steps until the time is up, then the losses of the epoch so far. They are accumulated over the whole epoch, so that
 * their last digits do not depend on when the time was up; other calls may have cleared the network's sums in between.
 * A watch can end a step between the layers of its forward pass. */
static dn_status trainer_steps(dn_trainer *t, double until) {
    dn_net *net = t->net;
    dn_status status;
    trainer_resume_losses(net->plan, t->sums, t->at);
    int steps = 0, ends_whole = t->whole_batches || dn_checkpoint_is_due(t);
    dn_pool_pace(net->pool, DN_POOL_STEPS_BEGIN);
    do {
        if ((status = dn_trainer_step(t)) != DN_OK) break;
        if (isnan(t->descent.start) && (status = dn_trainer_note_start(t)) != DN_OK) break;
        int whole = !net->state.rows_since_update; /* batches */
        if (whole) dn_pool_pace(net->pool, DN_POOL_STEP);
        if (net->ops->separate_memory && ++steps % STEPS_AHEAD == 0) status = net->ops->finish(net->pool);
        if (!whole || status != DN_OK) continue;
        if (dn_trainer_late(t)) dn_trainer_stop(t, DN_STOP_SECONDS);
        status = dn_log_batch(t);
    } while (status == DN_OK && trainer_goes_on(t, ends_whole ? net->state.rows_since_update : 0, until));
    dn_pool_pace(net->pool, DN_POOL_STEPS_END);
    if (status != DN_OK && status != DN_E_INTERRUPTED) return status;
    DN_TRY(dn_plan_losses(net->plan, &t->losses));
    dn_plan_losses_keep(net->plan, t->sums);
    double total = dn_report_get(&t->losses, DN_TOTAL_LOSS);
    return isfinite(total) ? status : dn_trainer_diverged(t, total);
}

/* Evaluate validation rows until the time is up; the validation is still running if some are left. */
static dn_status trainer_validate(dn_trainer *t, double until) {
    dn_plan *plan = t->feed.validation.plan;
    size_t rows = t->feed.validation.rows.n, *at = &t->validation.at;
    dn_job_sums *sums = &t->validation.sums;
    trainer_resume_losses(plan, t->validation.kept, *at);
    do {
        dn_rows part = dn_feed_validation(&t->feed, *at);
        int draws = t->feed.validation.draws;
        dn_status status =
            draws ? dn_job_evaluate_bound(plan, draws, sums, &part, *at) : dn_job_evaluate(plan, sums, &part, *at);
        if (status != DN_OK) { /* the sums hold part of a pass, so the validation starts again */
            *at = 0;
            dn_job_sums_clear(sums);
            return status;
        }
        *at += part.n;
    } while (*at < rows && dn_now() < until);
    t->validation.running = *at < rows;
    DN_TRY(dn_job_sums_read(sums, plan));
    dn_plan_losses_keep(plan, t->validation.kept);
    return DN_OK;
}

/* The state of the network after an epoch: its scores on the training rows, or losses and scores on held-out rows. */
static void trainer_report_scores(const dn_trainer *t, dn_report *report) {
    dn_report held, one;
    const dn_job_sums *sums = &t->validation.sums;
    if (t->feed.validation.kind == DN_VALIDATE_TRAINED) dn_scores_report(&sums->scores, report);
    if (t->feed.validation.kind != DN_VALIDATE_HELD_OUT) return;
    dn_job_report(sums, &held);
    dn_report_one_loss(&held, &one);
    for (int i = 0; i < one.n; i++) {
        char name[sizeof one.values[i].name + 6];
        snprintf(name, sizeof name, "valid_%s", one.values[i].name);
        dn_report_add(report, name, one.values[i].value);
    }
}

static void trainer_report(const dn_trainer *t, int done, dn_progress *p) {
    *p = (dn_progress){.epoch = t->epoch,
                       .epochs = t->planned,
                       .epoch_done = done,
                       .finished = t->finished && !t->validation.running,
                       .stopped = t->stopped,
                       .kept_epoch = dn_keep_epoch(&t->keep, t->epoch),
                       .rows_done = t->at,
                       .rows_total = t->feed.n,
                       .report = t->losses,
                       .seconds = dn_now() - t->clock.started,
                       .learning_rate = dn_net_rate(t->net)};
    dn_report_mean(&p->report, t->at ? dn_feed_count(&t->feed, t->at) : 1);
    if (p->finished && !done && !t->at) p->report = t->last_epoch; /* there was nothing left to do */
    dn_trainer_record(t, done ? DN_RECORD_EPOCH : DN_RECORD_PART, &p->report, &p->record);
    p->report.supervised = dn_net_supervised(t->net, t->feed.all.truth != NULL);
    if (dn_net_weights_move(t->net)) dn_record_weights(t->net, &p->report);
    if (done) trainer_report_scores(t, &p->report);
    double left = p->finished ? 0 : dn_trainer_epochs_left(t, done);
    p->rows_per_second = dn_trainer_speed(t);
    if (p->rows_per_second > 0 && left > 0) p->eta_seconds = left * (double)t->feed.n / p->rows_per_second;
    double limit = t->options.max_seconds;
    if (!p->epochs && !p->finished) p->eta_seconds = NAN;
    if (limit > 0 && !p->finished && !(p->seconds + p->eta_seconds <= limit))
        p->eta_seconds = fmax(limit - p->seconds, 0);
}

/* After the epoch's last step: the loss is finite, but are the parameters that it leaves? */
static dn_status trainer_check_parameters(dn_trainer *t) {
    dn_net *net = t->net;
    double sum = 0, *device = net->plan->run.sums; /* which has been read, and is set before it is used again */
    net->ops->fill(net->pool, 2, 0, (float *)device);
    net->ops->add_sum(net->pool, net->n_values, 1, net->values, device);
    net->ops->download(net->pool, &sum, device, sizeof sum);
    DN_TRY(net->ops->finish(net->pool));
    return isfinite(sum) ? DN_OK : dn_trainer_diverged(t, dn_report_get(&t->losses, DN_TOTAL_LOSS));
}

/* A slice of steps. After the epoch's last step, a snapshot is taken and the evaluation begins. */
static dn_status trainer_train(dn_trainer *t, double until) {
    t->clock.slice = dn_now(), t->clock.slice_at = t->at;
    dn_status status = trainer_steps(t, until);
    t->clock.worked += dn_now() - t->clock.slice, t->clock.rows += (double)(t->at - t->clock.slice_at);
    t->clock.slice = 0;
    int ends = t->at == t->feed.n || t->finished;
    if (status == DN_OK && ends) status = trainer_check_parameters(t);
    if (status != DN_OK && status != DN_E_INTERRUPTED) trainer_restore(t);
    DN_TRY(status);
    if (ends) dn_trainer_warn_of_divergence(t);
    if (t->at == t->feed.n && t->options.epochs > 0 && t->epoch + 1 >= t->options.epochs)
        dn_trainer_stop(t, DN_STOP_EPOCHS);
    if (!trainer_trained(t)) return DN_OK;
    if (t->at < t->feed.n) dn_checkpoint_slice(t, DN_AT_THE_END);
    if (!t->finished) trainer_keep_good(t, 0); /* nothing goes back to the end */
    t->validation.running = t->feed.validation.kind != DN_VALIDATE_NOTHING;
    t->validation.at = 0;
    dn_job_sums_clear(&t->validation.sums);
    return DN_OK;
}

/* Do what comes next, until the time is up; *done: an epoch is complete, evaluation included. */
static dn_status trainer_work(dn_trainer *t, double until, int *done) {
    *done = 0;
    DN_CHECK(t->layout == t->net->layout, DN_E_USAGE, "the network was resized while it was training");
    DN_TRY(dn_trainer_preview(t));
    if (!trainer_trained(t)) DN_TRY(trainer_train(t, until));
    if (t->validation.running) DN_TRY(trainer_validate(t, until));
    *done = t->at > 0 && !t->validation.running && trainer_trained(t);
    return DN_OK;
}

static dn_status trainer_next_epoch(dn_trainer *t) {
    t->at = 0;
    trainer_no_losses(t);
    dn_log_next_epoch(t);
    trainer_order(t);
    t->preview_due = 1;
    return dn_trainer_preview(t);
}

/* The end of a training that stops within an epoch has been written before its evaluation: from there another one can
 * go on as if it had not been stopped. */
static void trainer_checkpoints(dn_trainer *t, int done, int whole) {
    if (!done)
        dn_checkpoint_slice(t, DN_AFTER_SLICE);
    else if (whole)
        dn_checkpoint_slice(t, t->finished ? DN_AT_THE_END : DN_AFTER_EPOCH);
}

/* What is kept of a finished epoch, and its line in the log: before a checkpoint that has it, so that no line is lost.
 */
static void trainer_epoch_done(dn_trainer *t, const dn_progress *p) {
    t->last_epoch = p->report, t->last_rate = p->learning_rate;
    if (p->kept_epoch == p->epoch) t->kept_epoch = t->net->notes.losses = p->report;
    dn_log_epoch(t, &p->record);
}

static dn_status trainer_run(dn_trainer *t, double until, dn_progress *p) {
    int done;
    dn_status status = trainer_work(t, until, &done);
    int whole = t->at == t->feed.n;
    t->epoch += done;
    if (done) dn_trainer_judge(t);
    trainer_report(t, done, p);
    if (done) trainer_epoch_done(t, p);
    if (done) status = trainer_next_epoch(t);
    if (status == DN_OK) trainer_checkpoints(t, done, whole);
    if (t->finished && !t->at && !t->ended) {
        dn_trainer_warn_of_low_weights(t);
        dn_keep_restore(&t->keep, t->net), t->ended = 1;
    }
    memcpy(t->warnings.reported, t->warnings.pending, sizeof t->warnings.reported);
    p->warning = *t->warnings.reported ? t->warnings.reported : NULL;
    *t->warnings.pending = 0;
    return status;
}

dn_status dn_trainer_run(dn_trainer *t, int max_ms, dn_progress *progress) {
    double until = dn_now() + max_ms * 1e-3;
    DN_EXCLUSIVE(t->net, trainer_run(t, until, progress));
}

static dn_status trainer_last_epoch(const dn_trainer *t, dn_progress *last, dn_progress *kept) {
    trainer_report(t, 0, last);
    last->epoch_done = t->epoch > 0;
    last->rows_done = t->epoch > 0 ? t->feed.n : 0;
    last->report = t->last_epoch, last->learning_rate = t->last_rate;
    *kept = *last;
    kept->epoch = last->kept_epoch;
    if (kept->epoch != last->epoch) kept->report = t->kept_epoch;
    return DN_OK;
}

dn_status dn_trainer_last_epoch(const dn_trainer *t, dn_progress *last, dn_progress *kept) {
    DN_EXCLUSIVE(t->net, trainer_last_epoch(t, last, kept));
}

static dn_status trainer_checkpoint(dn_trainer *t) {
    t->whole_batches = 1;
    int within = t->at > 0 && !trainer_trained(t); /* else gradients that wait were made by hand */
    dn_status status = within && t->net->state.rows_since_update ? trainer_train(t, 0) : DN_OK;
    t->whole_batches = 0;
    return status == DN_OK ? dn_checkpoint_now(t) : status;
}

dn_status dn_trainer_checkpoint(dn_trainer *t) { DN_EXCLUSIVE(t->net, trainer_checkpoint(t)); }

/* When a training ends, with which weights, and the sentence about it. */
#include "base/report.h"
#include "base/sys.h"
#include "jobs/trainer.h"
#include <math.h>
#include <stdio.h>

double dn_trainer_monitored(const dn_trainer *t) {
    dn_report held;
    if (t->feed.validation.kind != DN_VALIDATE_HELD_OUT) return NAN;
    dn_job_report(&t->validation.sums, &held);
    return dn_report_get(&held, DN_TOTAL_LOSS);
}

void dn_trainer_stop(dn_trainer *t, dn_stop why) { t->finished = 1, t->stopped = why; }

int dn_trainer_late(const dn_trainer *t) {
    return t->options.max_seconds > 0 && dn_now() - t->clock.started >= t->options.max_seconds;
}

double dn_trainer_speed(const dn_trainer *t) {
    double seconds = t->clock.worked, rows = t->clock.rows;
    if (t->clock.slice > 0) seconds += dn_now() - t->clock.slice, rows += (double)(t->at - t->clock.slice_at);
    return seconds > 0 ? rows / seconds : 0;
}

/* policy=plateau goes by the loss of held-out rows, or without any by that of the rows as they were trained. */
static void trainer_observe(dn_trainer *t, double valid_loss, int warming) {
    dn_net *net = t->net;
    int held_out = t->feed.validation.kind == DN_VALIDATE_HELD_OUT;
    double trained = dn_report_get(&t->losses, DN_TOTAL_LOSS) / dn_feed_count(&t->feed, t->at);
    if (net->schedule.policy != DN_POLICY_PLATEAU) return;
    dn_schedule_observe(&net->schedule, &net->state.plateau, held_out ? valid_loss : trained, warming);
    t->last_good.state.plateau = net->state.plateau; /* it was taken before the validation */
}

void dn_trainer_judge(dn_trainer *t) {
    double valid_loss = dn_trainer_monitored(t);
    int warming = dn_net_warms_up(t->net);
    trainer_observe(t, valid_loss, warming);
    int enough = dn_keep_judge(&t->keep, t->net, t->epoch, valid_loss, warming);
    if (t->finished) return;
    if (enough)
        dn_trainer_stop(t, DN_STOP_PATIENCE);
    else if (dn_trainer_late(t))
        dn_trainer_stop(t, DN_STOP_SECONDS);
}

static dn_status trainer_finish(dn_trainer *t) {
    t->finished = t->ended = 1, t->validation.running = 0;
    dn_keep_restore(&t->keep, t->net);
    return t->net->ops->finish(t->net->pool);
}

dn_status dn_trainer_finish(dn_trainer *t) { DN_EXCLUSIVE(t->net, trainer_finish(t)); }

const char *dn_stop_name(dn_stop why) {
    static const char *const names[] = {[DN_STOP_CALLER] = "caller",
                                        [DN_STOP_EPOCHS] = "epochs",
                                        [DN_STOP_BATCHES] = "max_batches",
                                        [DN_STOP_PATIENCE] = "patience",
                                        [DN_STOP_SECONDS] = "max_seconds"};
    return why >= 0 && (size_t)why < sizeof names / sizeof *names ? names[why] : NULL;
}

/* Why it stopped, if that was not the plan. */
static void outcome_reason(const dn_trainer *t, char *text, size_t size) {
    const dn_keep *k = &t->keep;
    if (t->stopped == DN_STOP_PATIENCE)
        snprintf(text, size, "stopped after epoch %d: valid_loss has not improved in %d epoch%s", t->epoch, k->patience,
                 k->patience == 1 ? "" : "s");
    else if (t->stopped == DN_STOP_SECONDS)
        snprintf(text, size, "stopped in epoch %d, after %g seconds (max_seconds)", t->epoch, t->options.max_seconds);
}

size_t dn_trainer_outcome(const dn_trainer *t, char *line, size_t size) {
    char reason[128] = "", kept[128] = "";
    const dn_keep *k = &t->keep;
    outcome_reason(t, reason, sizeof reason);
    if (k->best && k->epoch)
        snprintf(kept, sizeof kept, "kept epoch %d, the best by valid_loss (%.6g)", k->epoch, k->lowest);
    else if (k->best && t->epoch)
        snprintf(kept, sizeof kept, "kept epoch %d, the last: no valid_loss was finite", t->epoch);
    int n = snprintf(line, size, "%s%s%s", reason, *reason && *kept ? "; " : "", kept);
    return n > 0 ? (size_t)n : 0;
}

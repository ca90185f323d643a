/* The record of a moment in a training: everything that is known of it, as named numbers. */
#include "base/report.h"
#include "base/sys.h"
#include "jobs/trainer.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The losses and scores of held-out rows: valid_loss is the total, the parts that make it up follow where there are
 * several. */
static void record_held_out(const dn_trainer *t, dn_record_kind kind, int supervised, dn_report *record) {
    dn_report held, shown;
    const dn_job_sums *sums = &t->validation.sums;
    if (t->feed.validation.kind != DN_VALIDATE_HELD_OUT) return;
    if (kind == DN_RECORD_EPOCH) {
        dn_job_report(sums, &held);
    } else {
        dn_plan_losses_report(t->feed.validation.plan, &held);
        dn_scores_names(&sums->scores, &held);
    }
    shown = held;
    if (supervised || held.single) dn_report_one_loss(&held, &shown);
    for (int i = 0; i < shown.n; i++) {
        const dn_value *v = &shown.values[i];
        char name[sizeof v->name + 8];
        snprintf(name, sizeof name, "valid_%s", strcmp(v->name, DN_TOTAL_LOSS) ? v->name : "loss");
        dn_report_add(record, name, v->value);
    }
}

void dn_record_weights(const dn_net *net, dn_report *record) {
    uint64_t batch = net->state.batches ? net->state.batches : 1;
    for (int i = 0, n = 0; i < net->n_layers; i++) {
        const dn_term *term = &net->layers[i].term;
        char name[24] = "beta";
        if (!term->type || !term->type->latent) continue;
        if (++n > 1) snprintf(name, sizeof name, "beta_%d", n);
        dn_value *known = (dn_value *)dn_report_find(record, name); /* of an earlier batch */
        if (known) known->value = 0;
        dn_report_add(record, name, dn_net_weight(net, i, batch));
    }
}

/* Make it the last one. Before the times, so that columns of earlier versions' logs stay where they were, counted from
 * the front, and times from the back. */
static void record_move_last(dn_report *record, const char *name) {
    const dn_value *found = dn_report_find(record, name);
    if (!found) return;
    dn_value value = *found;
    size_t after = (size_t)(record->values + record->n - found) - 1;
    memmove(record->values + (found - record->values), found + 1, after * sizeof value);
    record->values[record->n - 1] = value;
}

/* Clocks are not as exact as a double, whose digits a log has. */
static double record_rounded(double value, double per_unit) { return floor(value * per_unit + 0.5) / per_unit; }

void dn_trainer_record(const dn_trainer *t, dn_record_kind kind, const dn_report *means, dn_report *record) {
    const dn_net *net = t->net;
    int epoch_done = kind == DN_RECORD_EPOCH, supervised = dn_net_supervised(net, t->feed.all.truth != NULL);
    dn_report losses = *means;
    *record = (dn_report){0};
    dn_report_add(record, "epoch", epoch_done ? t->epoch : t->epoch + 1);
    dn_report_add(record, "batch", (double)net->state.batches);
    dn_report_add(record, "rows", (double)t->at);
    dn_report_add(record, "epoch_done", epoch_done);
    losses.supervised = supervised;
    if (t->feed.validation.kind == DN_VALIDATE_TRAINED && epoch_done)
        dn_scores_report(&t->validation.sums.scores, &losses);
    if (t->feed.validation.kind == DN_VALIDATE_TRAINED && kind == DN_RECORD_NAMES)
        dn_scores_names(&t->validation.sums.scores, &losses);
    dn_report shown;
    dn_report_shown(&losses, &shown);
    for (int i = 0; i < shown.n; i++) dn_report_add(record, shown.values[i].name, shown.values[i].value);
    if (kind != DN_RECORD_PART) record_held_out(t, kind, supervised, record);
    dn_report_add(record, "learning_rate", dn_net_rate(net));
    dn_record_weights(net, record);
    record_move_last(record, DN_KL_COST);
    record_move_last(record, "valid_" DN_KL_COST);
    dn_report_add(record, "seconds", record_rounded(dn_now() - t->clock.started, 1e6));
    dn_report_add(record, "rows_per_second", record_rounded(dn_trainer_speed(t), 1e3));
}

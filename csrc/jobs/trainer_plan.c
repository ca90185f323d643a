/* How long a training is: where schedules count from, how many epochs are planned, and how many are left. */
#include "jobs/trainer.h"
#include <limits.h>

static uint64_t trainer_batches_per_epoch(const dn_trainer *t) {
    size_t passes = (t->feed.n + (size_t)t->net->plan->run.batch - 1) / (size_t)t->net->plan->run.batch;
    return (passes + (size_t)t->net->subdivisions - 1) / (size_t)t->net->subdivisions;
}

/* Cycles are parts of a training whose length is known. */
static dn_status trainer_check_cycles(const dn_trainer *t) {
    const dn_net *net = t->net;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_kl_rule *rule = net->layers[i].term.rule;
        DN_CHECK(!rule || !rule->cycles || t->options.epochs > 0 || net->schedule.max_batches > 0, DN_E_USAGE,
                 "%s:%d: beta_cycles=%d divides a training of unknown length: give epochs, or max_batches in [net]",
                 net->cfg->path, net->layers[i].line, rule->cycles);
    }
    return DN_OK;
}

dn_status dn_trainer_place_schedule(dn_trainer *t) {
    dn_net *net = t->net;
    dn_train_state *s = &net->state;
    uint64_t n = dn_net_rows_per_update(net), max = (uint64_t)net->schedule.max_batches;
    /* Batches so far. The last batch of an epoch may be smaller, so whole epochs over these rows are counted as
     * epochs. */
    uint64_t rest = s->seen % t->feed.n;
    uint64_t ever = s->seen / t->feed.n * trainer_batches_per_epoch(t) + rest / n + (rest % n > 0);
    int open = t->options.epochs <= 0 && max > 0; /* max_batches decides */
    DN_TRY(trainer_check_cycles(t));
    if (t->options.continues) {
        DN_CHECK(!open || ever < max, DN_E_USAGE,
                 "%s: nothing is left to train: %llu rows seen are batch %llu, and max_batches=%llu ends the schedule: "
                 "give a larger max_batches, or epochs, or do not continue it",
                 net->cfg->path, (unsigned long long)s->seen, (unsigned long long)ever, (unsigned long long)max);
        s->schedule_from = 0, s->batches = ever;
    } else if (open && s->batches >= max) {
        s->schedule_from = s->seen, s->batches = 0, s->plateau = (dn_plateau){0};
    }
    s->rate_from = s->schedule_from;
    t->first_batch = s->batches;
    t->max_batches = open ? max : 0;
    s->epoch_batches = trainer_batches_per_epoch(t);
    s->cycle_from = open ? 0 : s->batches;
    s->cycle_batches = dn_trainer_last_batch(t) - s->cycle_from;
    return DN_OK;
}

uint64_t dn_trainer_last_batch(const dn_trainer *t) {
    if (t->max_batches) return t->max_batches;
    return t->options.epochs > 0 ? t->first_batch + (uint64_t)t->options.epochs * trainer_batches_per_epoch(t) : 0;
}

/* Batches still to be trained until max_batches. */
static uint64_t trainer_batches_left(const dn_trainer *t) {
    uint64_t done = t->net->state.batches;
    return t->max_batches > done ? t->max_batches - done : 0;
}

int dn_trainer_planned(const dn_trainer *t) {
    if (!t->max_batches) return t->options.epochs;
    uint64_t each = trainer_batches_per_epoch(t);
    uint64_t all = t->max_batches > t->first_batch ? t->max_batches - t->first_batch : 0;
    uint64_t epochs = all / each + (all % each > 0);
    return epochs < INT_MAX ? (int)epochs : INT_MAX;
}

double dn_trainer_epochs_left(const dn_trainer *t, int done) {
    if (t->max_batches) return (double)trainer_batches_left(t) / (double)trainer_batches_per_epoch(t);
    return t->options.epochs - t->epoch - (done ? 0 : (double)t->at / (double)t->feed.n);
}

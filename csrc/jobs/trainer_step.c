/* One step of a training: a pass over the next rows, and an update when the batch is full. If the host decides nothing
 * in it, the step is recorded once and replayed. */
#include "jobs/trainer.h"

/* All work of a pass on the backend: gather, forward, backward, and the update if the batch is full. */
static dn_status trainer_pass(dn_trainer *t, int update) {
    dn_rows batch = dn_feed_batch(&t->feed, t->at);
    return dn_net_train_rows(t->net, &batch, update);
}

/* Can a whole step be recorded and replayed? Only if the host decides nothing in it and the step contains all of its
 * update. */
static int trainer_replays(const dn_trainer *t, int rows) {
    const dn_net *net = t->net;
    if (!net->ops->record_begin || !dn_feed_on_device(&t->feed) || rows != net->plan->run.batch) return 0;
    if (net->subdivisions > 1 || net->state.rows_since_update) return 0;
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->host_work) return 0;
    return 1;
}

static dn_status trainer_replay(dn_trainer *t, int rows) {
    dn_net *net = t->net;
    if (!t->recording.tried) { /* the first one is not: libraries warm up, and noise that was set is used up */
        DN_TRY(trainer_pass(t, 1));
        t->recording.tried = 1;
        return DN_OK;
    }
    if (!t->recording.graph) {
        DN_TRY(net->ops->record_begin(net->pool));
        dn_status status = trainer_pass(t, 1), ended = net->ops->record_end(net->pool, &t->recording.graph);
        if (status != DN_OK && t->recording.graph) { /* only part of a step */
            net->ops->record_free(net->pool, t->recording.graph);
            t->recording.graph = NULL;
        }
        DN_TRY(status);
        DN_TRY(ended);
    }
    net->ops->replay(net->pool, t->recording.graph);
    dn_plan_replayed(net->plan, rows);
    return DN_OK;
}

/* Save what the forward pass of a step changes, so that a watch can end it between two layers; or restore it: the sums
 * of losses, and running statistics, which a normalisation moves on the way. */
static void trainer_undo(dn_trainer *t, int back) {
    dn_net *net = t->net;
    float *sums = (float *)net->plan->run.sums; /* copied as floats: the same bits */
    size_t n = 4 * (size_t)net->n_layers, m = net->n_statistics;
    float *statistics = t->undo.device + n;
    net->ops->copy(net->pool, n, back ? t->undo.device : sums, back ? sums : t->undo.device);
    if (m) net->ops->copy(net->pool, m, back ? statistics : net->statistics, back ? net->statistics : statistics);
    for (int i = 0; i < net->n_layers; i++) {
        double *host = &net->plan->layers[i].term.host;
        if (back)
            *host = t->undo.host[i];
        else
            t->undo.host[i] = *host;
    }
}

dn_status dn_trainer_step(dn_trainer *t) {
    dn_net *net = t->net;
    dn_train_state *s = &net->state;
    int n = (int)dn_feed_pass(&t->feed, t->at);
    int64_t waiting = s->rows_since_update + n;
    int update = waiting >= (int64_t)dn_net_rows_per_update(net) || t->at + (size_t)n == t->feed.n;
    int replays = trainer_replays(t, n), undoable = !replays || !t->recording.graph; /* a replay is all or nothing */
    uint64_t pass = s->seen; /* from before the pass: it numbers the noise */
    s->seen += (uint64_t)n;
    dn_net_set_step(net, pass, t->at, waiting);
    if (undoable) trainer_undo(t, 0);
    dn_status status = dn_net_check_rate(net);
    if (status == DN_OK && replays) status = dn_watched(); /* otherwise it is asked between layers */
    if (status == DN_OK) status = replays ? trainer_replay(t, n) : trainer_pass(t, update);
    if (status != DN_OK) {
        s->seen = pass;
        if (undoable) trainer_undo(t, 1);
        return status;
    }
    t->at += (size_t)n;
    if (update) dn_net_count_update(net);
    if (t->max_batches && s->batches >= t->max_batches) dn_trainer_stop(t, DN_STOP_BATCHES);
    return DN_OK;
}

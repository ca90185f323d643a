/* The rows of a training: their order, which are held out or scored, where they lie, and a batch of them. */
#include "base/sys.h"
#include "jobs/trainer.h"
#include <string.h>

static void feed_draw(uint64_t seed, uint32_t stream, uint64_t step, size_t n, uint32_t *order) {
    for (size_t i = n - 1; i > 0; i--) { /* Fisher and Yates */
        uint32_t r[4];
        dn_philox(seed, stream, step, (uint32_t)i, r);
        size_t j = (size_t)(((uint64_t)r[0] * (i + 1)) >> 32);
        uint32_t keep = order[i];
        order[i] = order[j], order[j] = keep;
    }
}

void dn_feed_shuffle(dn_trainer *t) {
    size_t steps = (size_t)dn_net_steps(t->net), n = t->rows / steps;
    uint32_t *order = t->sequences ? t->sequences : t->order;
    for (size_t i = 0; i < n; i++) order[i] = t->kept ? t->kept[i] : (uint32_t)i;
    uint64_t epoch = t->net->state.seen / t->rows + (t->net->state.seen % t->rows > 0); /* of all that were ever trained */
    if (t->options.shuffle) feed_draw(t->net->state.seed, DN_STREAM_SHUFFLE, epoch, n, order);
    for (size_t at = 0; t->sequences && at < t->rows; at += (size_t)t->net->run.batch) {
        size_t pass = dn_job_rows(t->rows, at, (size_t)t->net->run.batch);
        for (size_t i = 0; i < pass; i++)
            t->order[at + dn_net_place(t->net, pass, i)] = (uint32_t)(order[(at + i) / steps] * steps + i % steps);
    }
    if (t->order_block) t->net->ops->upload(t->net->pool, t->order_block, t->order, t->rows * sizeof *t->order);
}

/* Split the sequences, of other networks the rows: the last of a drawn order are held out. */
static dn_status feed_hold_out(dn_trainer *t, double part) {
    DN_CHECK(part > 0 && part < 1, DN_E_USAGE, "holdout=%g is not between 0 and 1", part);
    size_t steps = (size_t)dn_net_steps(t->net), n = t->rows / steps, held = (size_t)((double)n * part + 0.5);
    DN_CHECK(held >= 1 && held < n, DN_E_USAGE, "holdout=%g of %zu %s leaves %zu to train on and %zu held out", part, n,
             steps > 1 ? "sequences" : "rows", n - held, held);
    unsigned char *out = dn_alloc(n, 1);
    t->kept = dn_alloc(n, sizeof *t->kept);
    if (!out || !t->kept) {
        dn_free(out);
        return DN_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) t->kept[i] = (uint32_t)i;
    feed_draw(t->net->state.seed, DN_STREAM_HOLDOUT, 0, n, t->kept);
    for (size_t i = n - held; i < n; i++) out[t->kept[i]] = 1;
    size_t to = 0;
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < n; i++)
            if (out[i] == side) t->kept[to++] = (uint32_t)i;
    dn_free(out);
    t->rows -= held * steps;
    t->score_order = t->kept + (n - held), t->score_rows = held * steps, t->scored = 2;
    return DN_OK;
}

/* Which rows are evaluated after an epoch. */
dn_status dn_feed_prepare_scores(dn_trainer *t, const dn_train_options *o) {
    dn_net *net = t->net;
    t->score_x = t->x, t->score_truth = t->truth;
    DN_CHECK(!o->holdout || !o->valid.x, DN_E_USAGE, "rows held out and rows for validation: give one of the two");
    if (o->holdout) {
        DN_TRY(feed_hold_out(t, o->holdout));
    } else if (o->valid.x) {
        t->score_x = o->valid.x, t->score_truth = o->valid.truth, t->score_rows = o->valid.n, t->scored = 2;
        DN_CHECK(t->score_rows > 0, DN_E_USAGE, "no rows for validation");
        DN_TRY(dn_job_whole(net, t->score_rows));
        DN_TRY(dn_job_need_truth(net, &o->valid));
        DN_TRY(dn_job_check(net, "valid ", &o->valid, 0));
        DN_CHECK(!t->score_truth == !t->truth, DN_E_USAGE, "training and held-out rows both have a truth, or neither");
    } else if (o->score) {
        t->score_rows = t->rows, t->scored = 1;
    }
    if (!t->scored) return DN_OK;
    t->scorer = dn_net_for_job(net, t->score_rows);
    if (t->score_truth) DN_TRY(dn_scores_create(&t->score_sums.scores, t->scorer));
    size_t values = (size_t)net->inputs + (size_t)net->truths;
    t->score_staging = dn_alloc((size_t)t->scorer->run.batch, values * sizeof(float));
    return t->score_staging ? DN_OK : DN_E_MEMORY;
}

/* Put the data where the backend can gather batches by itself; else a staging buffer. */
dn_status dn_feed_place(dn_trainer *t) {
    dn_net *net = t->net;
    const dn_ops *ops = net->ops;
    if (!ops->separate_memory) {
        t->data = t->x, t->data_truth = t->truth, t->data_order = t->order;
        return DN_OK;
    }
    size_t rows = t->kept ? t->rows + t->score_rows : t->rows; /* the order counts held-out rows too */
    size_t x = rows * (size_t)net->inputs, truth = t->truth ? rows * (size_t)net->truths : 0, bytes; /* as they are */
    DN_TRY(dn_size_mul(&bytes, x + truth, sizeof(float)));
    t->data_block = ops->alloc(net->pool, bytes);
    t->order_block = t->data_block ? ops->alloc(net->pool, t->rows * sizeof *t->order) : NULL;
    if (t->order_block) {
        ops->upload(net->pool, t->data_block, t->x, x * sizeof(float));
        if (truth) ops->upload(net->pool, t->data_block + x, t->truth, truth * sizeof(float));
        t->data = t->data_block, t->data_truth = truth ? t->data_block + x : NULL, t->data_order = t->order_block;
        return DN_OK;
    }
    if (t->data_block) ops->free(net->pool, t->data_block);
    t->data_block = NULL;
    t->staging = dn_alloc((size_t)net->run.batch, (size_t)(net->inputs > net->truths ? net->inputs : net->truths) * sizeof(float));
    return t->staging ? DN_OK : DN_E_MEMORY;
}

void dn_feed_gather(dn_trainer *t, int rows, int cols, const float *data, const float *host, float *to) {
    dn_net *net = t->net;
    if (data) {
        net->ops->gather_rows(net->pool, net->step, (size_t)rows, (size_t)cols, data, t->data_order, to);
        return;
    }
    for (int r = 0; r < rows; r++)
        memcpy(t->staging + (size_t)r * cols, host + (size_t)t->order[t->at + (size_t)r] * cols, (size_t)cols * sizeof *to);
    net->ops->upload(net->pool, to, t->staging, (size_t)rows * cols * sizeof *to);
}

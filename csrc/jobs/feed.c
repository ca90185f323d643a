/* The rows of a training: the split, the order of an epoch, their placement, and one batch at a time. */
#include "jobs/feed.h"
#include "base/sys.h"
#include "jobs/jobs.h"
#include <string.h>

/* ---- which rows, in which order ---- */

/* A random permutation (Fisher and Yates) that depends on the arguments alone. */
static void feed_draw(uint64_t seed, uint32_t stream, uint64_t step, size_t n, uint32_t *order) {
    for (size_t i = n - 1; i > 0; i--) {
        uint32_t r[4];
        dn_philox(seed, stream, step, (uint32_t)i, r);
        size_t j = (size_t)(((uint64_t)r[0] * (i + 1)) >> 32);
        uint32_t keep = order[i];
        order[i] = order[j], order[j] = keep;
    }
}

/* The row at position i of a table that consists of these sequences of `steps` rows, one after the other. */
static uint32_t feed_row(const uint32_t *sequences, size_t steps, size_t i) {
    return (uint32_t)(sequences[i / steps] * steps + i % steps);
}

void dn_feed_shuffle(dn_feed *f, uint64_t epoch) {
    const dn_net *net = f->net;
    size_t steps = (size_t)dn_net_steps(net), n = f->n / steps;
    uint32_t *order = f->sequences ? f->sequences : f->order;
    for (size_t i = 0; i < n; i++) order[i] = f->trained ? f->trained[i] : (uint32_t)i;
    if (f->shuffle) feed_draw(net->state.seed, DN_STREAM_SHUFFLE, epoch, n, order);
    for (size_t at = 0; f->sequences && at < f->n; at += (size_t)net->plan->run.batch) {
        size_t pass = dn_feed_pass(f, at);
        for (size_t i = 0; i < pass; i++)
            f->order[at + dn_net_place(net, pass, i)] = feed_row(f->sequences, steps, at + i);
    }
    for (size_t i = 0; f->counts && i < f->n; i++) f->counts[i + 1] = f->counts[i] + f->weights[f->order[i]];
    if (f->uploaded_order) net->ops->upload(net->pool, f->uploaded_order, f->order, f->n * sizeof *f->order);
}

/* ---- rows with weights ---- */

/* Which sequences have a weight above 0: the others are no part of the training. */
static dn_status feed_count(dn_feed *f) {
    size_t steps = (size_t)dn_net_steps(f->net), n = f->all.n / steps;
    if (!f->all.weights) return DN_OK;
    if (!(f->counted = dn_alloc(n, sizeof *f->counted))) return DN_E_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        int counts = 0;
        for (size_t k = 0; k < steps; k++) counts |= f->all.weights[i * steps + k] > 0;
        if (counts) f->counted[f->n_counted++] = i;
    }
    DN_CHECK(f->n_counted, DN_E_USAGE, "the weights of all %zu rows are 0: none is left to train on", f->all.n);
    if (f->n_counted < n) return DN_OK;
    dn_free(f->counted);
    f->counted = NULL, f->n_counted = 0;
    return DN_OK;
}

/* Once it is decided which rows are trained on: a mean of 1 over them, so that learning rates keep their meaning. */
static dn_status feed_weigh(dn_feed *f) {
    size_t steps = (size_t)dn_net_steps(f->net);
    double sum = 0;
    if (!f->all.weights) return DN_OK;
    f->weights = dn_alloc(f->all.n, sizeof *f->weights);
    f->counts = dn_alloc(f->n + 1, sizeof *f->counts);
    if (!f->weights || !f->counts) return DN_E_MEMORY;
    for (size_t i = 0; i < f->n; i++) {
        size_t row = f->trained ? f->trained[i / steps] * steps + i % steps : i;
        sum += f->all.weights[row];
    }
    for (size_t r = 0; r < f->all.n; r++) f->weights[r] = (float)(f->all.weights[r] * ((double)f->n / sum));
    f->all.weights = f->weights;
    if (f->validation.order) f->validation.rows.weights = f->weights;
    return DN_OK;
}

/* How many of n sequences (in networks that are not recurrent, rows) are held out. */
static dn_status feed_held(const dn_net *net, size_t n, double part, size_t *held) {
    DN_CHECK(part > 0 && part < 1, DN_E_USAGE, "holdout=%g is not between 0 and 1", part);
    *held = (size_t)((double)n * part + 0.5);
    DN_CHECK(*held >= 1 && *held < n, DN_E_USAGE,
             "holdout=%g of %zu %s leaves %zu to train on and %zu held out: give a fraction such as 0.2", part, n,
             dn_net_steps(net) > 1 ? "sequences" : "rows", n - *held, *held);
    return DN_OK;
}

/* Which of them: the last ones of a random order. To be freed with dn_free; NULL: no memory. */
static unsigned char *feed_is_held(const dn_net *net, size_t n, size_t held) {
    unsigned char *is_held = dn_alloc(n, 1);
    uint32_t *order = dn_alloc(n, sizeof *order);
    for (size_t i = 0; is_held && order && i < n; i++) order[i] = (uint32_t)i;
    if (is_held && order) feed_draw(net->state.seed, DN_STREAM_HOLDOUT, 0, n, order);
    for (size_t i = n - held; is_held && order && i < n; i++) is_held[order[i]] = 1;
    if (!order) {
        dn_free(is_held);
        return NULL;
    }
    dn_free(order);
    return is_held;
}

static dn_status feed_hold_out(dn_feed *f, double part) {
    size_t steps = (size_t)dn_net_steps(f->net), n = f->counted ? f->n_counted : f->all.n / steps;
    size_t held = 0, trained = 0, row = 0;
    DN_TRY(feed_held(f->net, n, part, &held));
    unsigned char *is_held = feed_is_held(f->net, n, held);
    f->trained = dn_alloc(n, sizeof *f->trained);
    f->validation.order = dn_alloc(held * steps, sizeof *f->validation.order);
    if (!is_held || !f->trained || !f->validation.order) {
        dn_free(is_held);
        return DN_E_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t sequence = f->counted ? f->counted[i] : i;
        if (!is_held[i]) f->trained[trained++] = sequence;
        for (size_t k = 0; is_held[i] && k < steps; k++) f->validation.order[row++] = feed_row(&sequence, steps, k);
    }
    dn_free(is_held);
    f->n = trained * steps;
    f->validation.rows = f->all, f->validation.rows.n = row;
    f->validation.kind = DN_VALIDATE_HELD_OUT;
    return DN_OK;
}

static dn_status feed_list_held(const dn_net *net, size_t rows, double part, uint32_t *to, size_t room, size_t *count) {
    size_t steps = (size_t)dn_net_steps(net), n = rows / steps, held = 0, row = 0;
    DN_CHECK(rows <= UINT32_MAX, DN_E_USAGE, "cannot hold out of %zu rows", rows);
    DN_TRY(dn_job_whole(net, rows));
    DN_TRY(feed_held(net, n, part, &held));
    *count = held * steps;
    if (!room) return DN_OK;
    unsigned char *is_held = feed_is_held(net, n, held);
    if (!is_held) return DN_E_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; is_held[i] && k < steps && row < room; k++) to[row++] = feed_row(&i, steps, k);
    dn_free(is_held);
    return DN_OK;
}

dn_status dn_net_holdout(const dn_net *net, size_t rows, double part, uint32_t *held, size_t room, size_t *count) {
    *count = 0;
    DN_EXCLUSIVE(net, feed_list_held(net, rows, part, held, room, count));
}

/* Validate on separate rows. */
static dn_status feed_validate_on(dn_feed *f, const dn_rows *rows) {
    DN_CHECK(rows->n > 0, DN_E_USAGE, "no rows for validation");
    DN_TRY(dn_job_whole(f->net, rows->n));
    DN_TRY(dn_job_need_truth(f->net, rows));
    DN_TRY(dn_job_check(f->net, "valid ", rows, 0));
    DN_CHECK(dn_job_count(rows) > 0, DN_E_USAGE, "valid weights: those of all %zu rows are 0", rows->n);
    DN_CHECK(!rows->truth == !f->all.truth, DN_E_USAGE, "training and held-out rows both have a truth, or neither");
    f->validation.rows = *rows;
    f->validation.kind = DN_VALIDATE_HELD_OUT;
    return DN_OK;
}

/* A network that is trained with draws has a plan for validation of its own, for as many. */
static dn_status feed_plan(dn_feed *f) {
    dn_net *net = f->net;
    size_t rows = f->validation.rows.n, most = dn_net_rows_with_draws(net, net->draws);
    if (f->validation.kind) f->validation.plan = dn_net_inference_plan(net, rows);
    if (f->validation.kind != DN_VALIDATE_HELD_OUT || !net->draws) return DN_OK;
    f->validation.plan = NULL, f->validation.draws = net->draws;
    return dn_plan_create(&f->validation.plan, net, (int)(rows < most ? rows : most), net->draws, 1);
}

dn_status dn_feed_create(dn_feed *f, dn_net *net, const dn_rows *rows, const dn_train_options *o) {
    *f = (dn_feed){.net = net, .all = *rows, .n = rows->n, .shuffle = o->shuffle};
    DN_CHECK(!o->holdout || !o->valid.x, DN_E_USAGE, "rows held out and rows for validation: give one of the two");
    DN_TRY(feed_count(f));
    if (o->holdout)
        DN_TRY(feed_hold_out(f, o->holdout));
    else if (o->valid.x)
        DN_TRY(feed_validate_on(f, &o->valid));
    else if (o->score)
        f->validation.rows = *rows, f->validation.kind = DN_VALIDATE_TRAINED;
    if (f->counted && !o->holdout) {
        f->trained = f->counted, f->counted = NULL;
        f->n = f->n_counted * (size_t)dn_net_steps(net);
    }
    DN_TRY(feed_weigh(f));
    DN_TRY(feed_plan(f));
    size_t steps = (size_t)dn_net_steps(net), values = dn_net_widths(net);
    if (f->validation.order &&
        !(f->validation.staging = dn_alloc((size_t)f->validation.plan->run.batch, values * sizeof(float))))
        return DN_E_MEMORY;
    f->order = dn_alloc(f->n, sizeof *f->order);
    if (steps > 1) f->sequences = dn_alloc(f->n / steps, sizeof *f->sequences);
    return f->order && (steps == 1 || f->sequences) ? DN_OK : DN_E_MEMORY;
}

void dn_feed_free(dn_feed *f) {
    const dn_net *net = f->net;
    if (f->uploaded) net->ops->free(net->pool, f->uploaded);
    if (f->uploaded_order) net->ops->free(net->pool, f->uploaded_order);
    dn_free(f->counted);
    dn_free(f->trained);
    dn_free(f->weights);
    dn_free(f->counts);
    dn_free(f->sequences);
    dn_free(f->order);
    dn_free(f->staging);
    if (f->validation.draws) dn_plan_destroy(f->validation.plan);
    dn_free(f->validation.order);
    dn_free(f->validation.staging);
    *f = (dn_feed){0};
}

/* ---- placement ---- */

/* Uploads all rows unchanged, because the order refers to rows of the whole table, including held-out ones. */
static dn_status feed_upload(dn_feed *f) {
    const dn_net *net = f->net;
    const dn_ops *ops = net->ops;
    dn_rows all = f->all;
    size_t columns = 0, bytes;
    for (int k = 0; k < DN_COLUMNS; k++) columns += *dn_rows_column(&all, k) ? dn_net_width(net, k) : 0;
    DN_TRY(dn_size_mul(&bytes, f->all.n * columns, sizeof(float)));
    f->uploaded = ops->alloc(net->pool, bytes);
    f->uploaded_order = f->uploaded ? ops->alloc(net->pool, f->n * sizeof *f->order) : NULL;
    if (!f->uploaded_order) {
        if (f->uploaded) ops->free(net->pool, f->uploaded);
        f->uploaded = NULL;
        return DN_OK;
    }
    float *to = f->uploaded;
    for (int k = 0; k < DN_COLUMNS; k++) {
        const float **values = dn_rows_column(&all, k);
        size_t n = all.n * dn_net_width(net, k);
        if (!*values) continue;
        ops->upload(net->pool, to, *values, n * sizeof *to);
        *values = to, to += n;
    }
    f->data = all;
    f->data_order = f->uploaded_order;
    return DN_OK;
}

/* The order too, when the rows themselves have no room there but are drawn as bits by their numbers. */
static dn_status feed_place_order(dn_feed *f) {
    const dn_net *net = f->net;
    if (f->data_order || net->bits != DN_BITS_STATIC) return DN_OK;
    f->data_order = f->uploaded_order = net->ops->alloc(net->pool, f->n * sizeof *f->order);
    return f->data_order ? DN_OK : DN_E_MEMORY;
}

static dn_status feed_place_rows(dn_feed *f) {
    const dn_net *net = f->net;
    if (!net->ops->separate_memory) {
        f->data = f->all, f->data_order = f->order;
        return DN_OK;
    }
    DN_TRY(feed_upload(f));
    if (f->uploaded) return DN_OK;
    size_t columns = 0;
    for (int k = 0; k < DN_COLUMNS; k++)
        if (dn_net_width(net, k) > columns) columns = dn_net_width(net, k);
    f->staging = dn_alloc((size_t)net->plan->run.batch, columns * sizeof *f->staging);
    return f->staging ? DN_OK : DN_E_MEMORY;
}

dn_status dn_feed_place(dn_feed *f) {
    DN_TRY(feed_place_rows(f));
    return feed_place_order(f);
}

int dn_feed_on_device(const dn_feed *f) { return f->data.x != NULL; }

/* ---- batches ---- */

static void feed_copy(const float *from, size_t columns, const uint32_t *order, size_t n, float *to) {
    for (size_t r = 0; r < n; r++) memcpy(to + r * columns, from + order[r] * columns, columns * sizeof *to);
}

/* One array of a pass, to the device: gathered from `data` where the backend can read it, otherwise (NULL) from the
 * host. */
static void feed_gather(dn_feed *f, size_t at, size_t n, size_t width, const float *data, const float *host,
                        float *to) {
    const dn_net *net = f->net;
    if (data) {
        net->ops->gather_rows(net->pool, net->plan->step, n, width, data, f->data_order, to);
        return;
    }
    feed_copy(host, width, f->order + at, n, f->staging);
    net->ops->upload(net->pool, to, f->staging, n * width * sizeof *to);
}

size_t dn_feed_pass(const dn_feed *f, size_t at) { return dn_job_rows(f->n, at, (size_t)f->net->plan->run.batch); }

/* What training makes of rows in the network's buffers. */
static void feed_corrupt(const dn_feed *f, dn_rows *batch) {
    const dn_net *net = f->net;
    const dn_ops *ops = net->ops;
    const dn_plan *p = net->plan;
    size_t cols = (size_t)net->inputs, n = batch->n * cols;
    int by_row = net->bits == DN_BITS_STATIC;
    if (net->bits)
        ops->bernoulli(net->pool, p->step, by_row ? DN_STREAM_ROW_BITS : DN_STREAM_BITS, batch->n, cols, by_row,
                       by_row ? f->data_order : NULL, p->input);
    if (!batch->truth) batch->truth = batch->x;
    if (net->noise == 0) return;
    if (batch->truth == batch->x) ops->copy(net->pool, n, p->input, p->truth), batch->truth = p->truth;
    ops->noise(net->pool, p->step, DN_STREAM_NOISE, n, net->noise, p->input);
}

dn_rows dn_feed_batch(dn_feed *f, size_t at) {
    const dn_net *net = f->net;
    dn_rows batch = f->all;
    batch.n = dn_feed_pass(f, at);
    for (int k = 0; k < DN_COLUMNS; k++) {
        const float **values = dn_rows_column(&batch, k), *data = *dn_rows_column(&f->data, k);
        if (!*values) continue;
        feed_gather(f, at, batch.n, dn_net_width(net, k), data, *values, dn_plan_column(net->plan, k));
        *values = dn_plan_column(net->plan, k);
    }
    feed_corrupt(f, &batch);
    return batch;
}

dn_rows dn_feed_validation(dn_feed *f, size_t at) {
    const dn_net *net = f->net;
    dn_rows part = f->validation.rows;
    size_t batch = (size_t)f->validation.plan->run.batch;
    if (!f->validation.order) return dn_job_slice(net, 0, &part, at, batch);
    part.n = dn_job_rows(part.n, at, batch);
    float *to = f->validation.staging;
    for (int k = 0; k < DN_COLUMNS; k++) {
        const float **values = dn_rows_column(&part, k);
        size_t width = dn_net_width(net, k);
        if (!*values) continue;
        feed_copy(*values, width, f->validation.order + at, part.n, to);
        *values = to, to += batch * width;
    }
    return part;
}

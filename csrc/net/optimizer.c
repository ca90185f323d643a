/* The learning rate of a step, and the update of the parameters. */
#include "net/network.h"
#include <float.h>
#include <math.h>

uint64_t dn_net_rows_per_update(const dn_net *net) { return (uint64_t)net->run.batch * (uint64_t)net->subdivisions; }

uint64_t dn_net_batch_number(const dn_net *net) {
    uint64_t n = dn_net_rows_per_update(net), rows = net->seen - net->rate_from;
    return rows / n + (rows % n > 0);
}

void dn_net_schedule_from(dn_net *net, uint64_t seen, uint64_t batches) {
    net->schedule_from = seen;
    net->batches_before = (int64_t)(batches - net->updates);
}

uint64_t dn_net_batches(const dn_net *net) { return net->updates + (uint64_t)net->batches_before; }

double dn_net_rate(const dn_net *net) {
    double value = net->rate_override > 0 ? net->rate_override : net->schedule.value;
    return dn_schedule_at(&net->schedule, value, dn_net_batch_number(net), net->seed);
}

void dn_net_set_step(dn_net *net, uint64_t pass, uint64_t at, int64_t rows) {
    double t = (double)(net->updates + 1);
    net->step_rate = dn_net_rate(net);
    dn_step step = {.seed = net->seed, .pass = pass, .at = at, .rate = (float)net->step_rate,
                    .rows = (float)rows, .correction1 = (float)(1 - __builtin_pow(net->b1, t)),
                    .correction2 = (float)(1 - __builtin_pow(net->b2, t))};
    net->run.pass = pass;
    net->ops->set_step(net->pool, net->step, &step);
}

dn_status dn_net_check_rate(const dn_net *net) {
    DN_CHECK(net->step_rate * fmax(net->largest_factor, 1) < FLT_MAX, DN_E_NUMERIC,
             "%s: the learning rate of batch %llu is beyond float32: with gamma or scales above 1 it grows without end",
             net->cfg->path, (unsigned long long)dn_net_batch_number(net));
    return DN_OK;
}

void dn_net_apply_update(dn_net *net) {
    int now = net->run.update_now, n = now ? net->n_rest : net->n_ranges;
    for (int i = 0; i < n; i++) {
        const dn_range *r = now ? &net->rest[i] : &net->ranges[i];
        int decays = r->decays || net->run.optimizer.adam; /* Darknet decays biases too with Adam */
        net->ops->update(net->pool, &net->run.optimizer, net->step, r->count, r->learning_rate, decays ? (float)net->decay : 0,
                         net->values + r->offset, net->moment1 + r->offset,
                         net->moment2 ? net->moment2 + r->offset : NULL, net->grads + r->offset);
    }
    for (int i = 0; now && i < n; i++) net->ops->fill(net->pool, net->rest[i].count, 0, net->grads + net->rest[i].offset);
    if (!now) net->ops->fill(net->pool, net->n_values, 0, net->grads);
    net->updates++;
    net->rows_since_update = 0;
}

static dn_status net_update(dn_net *net) {
    DN_CHECK(net->rows_since_update > 0, DN_E_USAGE, "update without a backward");
    dn_net_set_step(net, net->run.pass, 0, net->rows_since_update);
    DN_TRY(dn_net_check_rate(net));
    dn_net_apply_update(net);
    return net->ops->finish(net->pool);
}

dn_status dn_net_update(dn_net *net) { DN_EXCLUSIVE(net, net_update(net)); }

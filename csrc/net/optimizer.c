/* The learning rate of a step, and the update of the parameters. */
#include "net/network.h"
#include <float.h>
#include <math.h>

uint64_t dn_net_rows_per_update(const dn_net *net) {
    return (uint64_t)net->settings.batch * (uint64_t)net->subdivisions;
}

uint64_t dn_net_batch_number(const dn_net *net) {
    uint64_t n = dn_net_rows_per_update(net), rows = net->state.seen - net->state.rate_from;
    return rows / n + (rows % n > 0);
}

double dn_net_rate(const dn_net *net) {
    const dn_train_state *s = &net->state;
    double value = s->learning_rate > 0 ? s->learning_rate : net->schedule.value;
    value = dn_schedule_reduced(&net->schedule, &s->plateau, value);
    return dn_schedule_at(&net->schedule, value, dn_net_batch_number(net), s->seed);
}

int dn_net_warms_up(const dn_net *net) {
    int warms_up = dn_schedule_warms_up(&net->schedule, dn_net_batch_number(net));
    for (int i = 0; i < net->n_layers; i++) warms_up |= dn_net_rises(net, i, net->state.batches);
    return warms_up;
}

void dn_net_set_step(dn_net *net, uint64_t pass, uint64_t at, int64_t rows) {
    const dn_optimizer *o = &net->settings.optimizer;
    double t = (double)(net->state.updates + 1);
    dn_plan *p = net->plan;
    p->run.now = (dn_step){.seed = net->state.seed,
                           .pass = pass,
                           .at = at,
                           .rate = (float)dn_net_rate(net),
                           .rows = (float)rows,
                           .correction1 = (float)(1 - pow(o->b1, t)),
                           .correction2 = (float)(1 - pow(o->b2, t)),
                           .clip = 1,
                           .share = net->state.updates ? (float)(1 - net->ema) : 1};
    net->ops->set_step(net->pool, p->step, &p->run.now);
    dn_plan_set_weights(p, net->state.batches + 1);
}

dn_status dn_net_check_rate(const dn_net *net) {
    DN_CHECK(net->plan->run.now.rate * fmax(net->largest_factor, 1) < FLT_MAX, DN_E_NUMERIC,
             "%s: the learning rate of batch %llu is beyond float32: with gamma or scales above 1 it grows without end",
             net->cfg->path, (unsigned long long)dn_net_batch_number(net));
    return DN_OK;
}

/* Clears ranges that touch each other together. */
static void net_clear_gradients(dn_net *net, const dn_links *links) {
    for (int i = 0, next; i < links->n_ranges; i = next) {
        size_t from = links->ranges[i].offset, to = from;
        for (next = i; next < links->n_ranges && links->ranges[next].offset == to; next++)
            to += links->ranges[next].count;
        net->ops->fill(net->pool, to - from, 0, net->grads + from);
    }
}

void dn_net_apply_update(dn_net *net, const dn_links *links) {
    const dn_optimizer *o = &net->settings.optimizer;
    dn_step *step = net->plan->step;
    if (net->clip_norm > 0) net->ops->clip(net->pool, step, net->clip_norm, net->n_values, net->grads, &step->clip);
    for (int i = 0; i < links->n_ranges; i++) {
        const dn_range *r = &links->ranges[i];
        net->ops->update(net->pool, o, step, r->count, r->learning_rate, r->decays ? net->settings.decay : 0,
                         net->values + r->offset, net->moment1 + r->offset,
                         net->moment2 ? net->moment2 + r->offset : NULL, net->grads + r->offset);
    }
    if (net->averages) {
        net->ops->average(net->pool, step, net->n_values, net->values, net->averages);
        net->ops->average(net->pool, step, net->n_statistics, net->statistics, net->averaged_statistics);
    }
    net_clear_gradients(net, links);
}

void dn_net_count_update(dn_net *net) {
    net->state.updates++, net->state.batches++;
    net->state.rows_since_update = 0;
}

void dn_net_begin_anew(dn_net *net, uint64_t seen) {
    dn_train_state *s = &net->state;
    *s = (dn_train_state){.seed = s->seed, .seen = seen, .schedule_from = seen, .learning_rate = s->learning_rate};
    float *const blocks[] = {net->grads, net->moment1, net->moment2};
    for (int i = 0; i < 3; i++)
        if (blocks[i]) net->ops->fill(net->pool, net->n_values, 0, blocks[i]);
}

static dn_status net_update(dn_net *net) {
    DN_CHECK(net->state.rows_since_update > 0, DN_E_USAGE, "update without a backward");
    dn_net_set_step(net, net->plan->run.now.pass, 0, net->state.rows_since_update);
    DN_TRY(dn_net_check_rate(net));
    dn_net_apply_update(net, &net->plan->links[DN_APART]);
    dn_net_count_update(net);
    return net->ops->finish(net->pool);
}

dn_status dn_net_update(dn_net *net) { DN_EXCLUSIVE(net, net_update(net)); }

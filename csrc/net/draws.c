/* Several draws of z for each row, as importance-weighted bounds need (Burda et al., arXiv:1509.00519). The layers
 * before the first sampling layer S compute n rows; S and all after it compute k n rows, where row r is draw r % k of
 * row r / k. They need not know: they get a run of their own, in which rows, truth and sums are those of the draws.
 *
 *   layers 0 .. S-1          n rows            what later layers read of them is repeated k times, the truth too
 *   layers S .. end        k n rows            draws.c: losses of every draw -> weights, bound
 *   backward S .. end      k n rows            with those weights, times those of the rows, as run->row_weights
 *   backward 0 .. S-1        n rows            after the deltas of a row's draws have been added up
 */
#include "base/sys.h"
#include "net/network_parts.h"
#include <stdio.h>

static size_t draws_rows(const dn_plan *p) { return (size_t)p->run.batch * (size_t)p->draws; }

static size_t draws_width(const dn_plan *p, const dn_crossing *c) {
    return (size_t)(c->layer < 0 ? p->net->inputs : p->layers[c->layer].outputs);
}

/* ---- can it be done? ---- */

dn_status dn_net_need_likelihood(const dn_net *net, const char *what) {
    int likelihoods = 0;
    DN_CHECK(net->sampling_layer >= 0, DN_E_USAGE, "%s: %s needs a [sampling] layer, and there is none", net->cfg->path,
             what);
    DN_CHECK(!net->recurrent, DN_E_USAGE, "%s: %s is not possible in a recurrent network", net->cfg->path, what);
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        const dn_term *term = &l->term;
        if (!term->type) continue;
        DN_CHECK(!term->type->latent || term->type->drawn, DN_E_USAGE,
                 "%s:%d: %s needs the density of z, which a [%s] does not have", net->cfg->path, l->line, what,
                 l->type->name);
        if (term->type->latent) continue;
        DN_CHECK(term->type->likelihood && term->type->rows, DN_E_USAGE,
                 "%s:%d: %s needs a likelihood, and the loss of this [%s] is none: [cost] type=gaussian (numbers) or "
                 "bernoulli (0 to 1), say, is one",
                 net->cfg->path, l->line, what, l->type->name);
        DN_CHECK(term->share == 1, DN_E_USAGE,
                 "%s:%d: %s needs likelihoods that count alike: leave out the scale= of this [%s]", net->cfg->path,
                 l->line, what, l->type->name);
        DN_CHECK(i > net->sampling_layer, DN_E_USAGE, "%s:%d: %s needs the [%s] after the sampling layer",
                 net->cfg->path, l->line, what, l->type->name);
        likelihoods++;
    }
    DN_CHECK(likelihoods, DN_E_USAGE, "%s: %s needs a likelihood, and there is no cost layer", net->cfg->path, what);
    return DN_OK;
}

/* samples= of all sampling layers, which must agree. */
static dn_status draws_read(dn_net *net) {
    int latents = 0, doubly = 0;
    net->draws = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        if (!l->term.type || !l->term.type->latent) continue;
        latents++, doubly |= l->doubly;
        int draws = l->draws > 1 ? l->draws : 0;
        if (i > net->sampling_layer && draws != net->draws)
            return dn_cfg_error(
                &net->cfg->sections[i + 1], "samples",
                "samples=%d differs from that of layer %d: a row has as many draws in every latent layer",
                l->draws > 1 ? l->draws : 1, net->sampling_layer);
        net->draws = draws;
    }
    dn_section *s = &net->cfg->sections[net->sampling_layer + 1];
    if (doubly && !net->draws)
        dn_cfg_warn(net->cfg, "%s:%d: gradient=dreg has no effect without samples= above 1", net->cfg->path,
                    dn_cfg_line(s, "gradient"));
    if (doubly && latents > 1)
        return dn_cfg_error(s, "gradient", "gradient=dreg is known for a single latent layer, and there are %d",
                            latents);
    return DN_OK;
}

dn_status dn_net_settle_draws(dn_net *net) {
    if (net->sampling_layer < 0) return DN_OK;
    DN_TRY(draws_read(net));
    if (!net->draws) return DN_OK;
    dn_section *s = &net->cfg->sections[net->sampling_layer + 1];
    char what[48];
    snprintf(what, sizeof what, "samples=%d", net->draws);
    DN_TRY(dn_net_need_likelihood(net, what));
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        if (l->term.type && l->term.type->latent && l->term.weight != 1)
            return dn_cfg_error(&net->cfg->sections[i + 1], "beta",
                                "beta=%g with samples=%d: a bound on ln p(x) needs beta=1", l->term.weight, net->draws);
        if (l->term.rule && dn_kl_rule_moves(l->term.rule))
            return dn_cfg_error(&net->cfg->sections[i + 1], "samples",
                                "samples=%d with a beta that changes: a bound on ln p(x) needs beta=1 throughout",
                                net->draws);
        if (l->term.rule && l->term.rule->form != DN_KL_PLAIN)
            return dn_cfg_error(&net->cfg->sections[i + 1], "samples",
                                "samples=%d with free bits or a capacity: a bound on ln p(x) has neither", net->draws);
        if (l->norm_values)
            return dn_cfg_error(s, "samples",
                                "samples=%d cannot be trained with batch normalisation (line %d): its statistics would "
                                "tie the rows and draws of a batch to each other",
                                net->draws, l->line);
    }
    for (int i = net->sampling_layer; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++)
            if (net->layers[i].term.type && net->layers[i].tensors[k].kind == DN_STATISTIC)
                return dn_cfg_error(
                    &net->cfg->sections[i + 1], NULL,
                    "samples=%d needs a %s that does not follow from the whole batch: learn it, or give "
                    "a number",
                    net->draws, net->layers[i].tensors[k].name);
    size_t rows;
    return dn_layer_size(s, &rows, (size_t)net->draws, (size_t)net->settings.batch, (size_t)net->outputs, 4);
}

/* ---- memory ---- */

dn_status dn_draws_plan(dn_plan *p) {
    const dn_net *net = p->net;
    int from = net->sampling_layer;
    if (!p->draws) return DN_OK;
    p->layers[from].sets_dx = 0; /* it adds to the delta of what is repeated */
    if (!(p->crossings = dn_alloc((size_t)from + 1, sizeof *p->crossings))) return DN_E_MEMORY;
    if (!from) p->crossings[p->n_crossings++].layer = -1;
    for (int i = 0; i < from; i++)
        if (net->layers[i].last_reader >= from) p->crossings[p->n_crossings++].layer = i;
    return DN_OK;
}

size_t dn_draws_activations(const dn_plan *p) {
    size_t rows = draws_rows(p), n = dn_net_pad(rows * (size_t)p->net->truths) + 4 * dn_net_pad(rows);
    for (int i = 0; i < p->n_crossings; i++) n += dn_net_pad(rows * draws_width(p, &p->crossings[i]));
    return p->draws ? n : 0;
}

void dn_draws_place(dn_plan *p, float *a) {
    size_t rows = draws_rows(p);
    if (!p->draws) return;
    p->drawn_truth = a, a += dn_net_pad(rows * (size_t)p->net->truths);
    p->row_loss = a, a += 2 * dn_net_pad(rows);
    p->shares = a, a += dn_net_pad(rows);
    p->row_weights = a, a += dn_net_pad(rows);
    for (int i = 0; i < p->n_crossings; i++) {
        dn_crossing *c = &p->crossings[i];
        c->copy = a, a += dn_net_pad(rows * draws_width(p, c));
        if (c->layer >= 0) c->own = p->layers[c->layer].output;
    }
}

size_t dn_draws_deltas(const dn_plan *p) {
    size_t n = 0;
    for (int i = 0; i < p->n_crossings; i++) n += dn_net_pad(draws_rows(p) * draws_width(p, &p->crossings[i]));
    return n;
}

void dn_draws_place_deltas(dn_plan *p, float *deltas) {
    for (int i = 0; i < p->n_crossings; i++) {
        dn_crossing *c = &p->crossings[i];
        c->delta = deltas, deltas += dn_net_pad(draws_rows(p) * draws_width(p, c));
        if (c->layer >= 0) c->own_delta = p->layers[c->layer].delta;
    }
}

/* ---- a pass ---- */

void dn_draws_begin(dn_plan *p, int draws) {
    p->drawing = draws > 0;
    if (!draws) return;
    dn_run *run = &p->drawn;
    *run = p->run;
    run->draws = draws, run->batch *= p->draws, run->rows *= draws;
    run->sums = p->run.scrap; /* dn_draws_weigh adds means over the draws to the plan's */
    run->row_weights = run->shares = NULL;
    run->y = NULL;
    if (run->truth) run->truth = p->drawn_truth;
    if (!p->net->sampling_layer) run->x = p->crossings[0].copy;
}

/* Exchange what crosses: for the draws' copies, or back. */
static void draws_exchange(dn_plan *p, int copies) {
    dn_layer *from = &p->layers[p->net->sampling_layer];
    for (int i = 0; i < p->n_crossings; i++) {
        const dn_crossing *c = &p->crossings[i];
        if (c->layer < 0) continue;
        p->layers[c->layer].output = copies ? c->copy : c->own;
        if (p->deltas) p->layers[c->layer].delta = copies ? c->delta : c->own_delta;
    }
    if (p->deltas && from->index) from->dx = from[-1].delta;
    p->crossed = copies;
}

void dn_draws_enter(dn_plan *p, int forward) {
    const dn_net *net = p->net;
    size_t rows = (size_t)p->run.rows, draws = (size_t)p->drawn.draws;
    for (int i = 0; i < p->n_crossings && forward; i++) {
        const dn_crossing *c = &p->crossings[i];
        net->ops->repeat_rows(net->pool, rows, draws, draws_width(p, c), c->layer < 0 ? p->run.x : c->own, c->copy);
    }
    if (forward && p->run.truth)
        net->ops->repeat_rows(net->pool, rows, draws, (size_t)net->truths, p->run.truth, p->drawn_truth);
    draws_exchange(p, 1);
}

void dn_draws_leave(dn_plan *p) {
    if (p->crossed) draws_exchange(p, 0);
}

void dn_draws_fold(dn_plan *p) {
    const dn_net *net = p->net;
    dn_draws_leave(p);
    for (int i = 0; i < p->n_crossings; i++) {
        const dn_crossing *c = &p->crossings[i];
        if (c->layer >= 0)
            net->ops->add_draws(net->pool, (size_t)p->run.rows, (size_t)p->drawn.draws, draws_width(p, c), c->delta,
                                c->own_delta);
    }
}

/* ---- losses ---- */

void dn_draws_loss(const dn_plan *p, const dn_layer *l, float *loss) {
    const dn_term_type *type = l->term.type;
    (type->latent ? type->drawn : type->rows)(l, &p->drawn, loss);
}

void dn_draws_weigh(dn_plan *p) {
    const dn_ops *ops = p->net->ops;
    dn_pool *pool = p->net->pool;
    const float *of_rows = p->run.row_weights;
    size_t n = (size_t)p->drawn.rows, rows = (size_t)p->run.rows, draws = (size_t)p->drawn.draws;
    float *sum = p->row_loss, *one = sum + dn_net_pad(draws_rows(p));
    double *rest = p->run.sums + 2 * p->net->sampling_layer + 1; /* what is not a likelihood's */
    double share = 1.0 / p->drawn.draws;
    ops->fill(pool, n, 0, sum);
    for (int i = 0; i < p->n_layers; i++) {
        const dn_layer *l = &p->layers[i];
        if (!l->term.type || (!l->term.type->latent && !p->run.truth)) continue;
        dn_draws_loss(p, l, one);
        ops->axpy(pool, n, 1, one, sum);
        if (of_rows) ops->scale_rows(pool, rows, draws, of_rows, one);
        ops->add_sum(pool, n, share, one, p->run.sums + 2 * l->index);
        if (!l->term.type->latent) ops->add_sum(pool, n, -share, one, rest);
    }
    ops->importance(pool, rows, draws, of_rows, sum, p->shares, rest);
    p->drawn.row_weights = p->drawn.shares = p->shares;
    if (!of_rows) return;
    ops->copy(pool, n, p->shares, p->row_weights);
    ops->scale_rows(pool, rows, draws, of_rows, p->row_weights);
    p->drawn.row_weights = p->row_weights;
}

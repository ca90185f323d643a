/* Plans: a network's layers with buffers for a number of rows per pass. A plan copies the layers and their states, and
 * points them to its own buffers; parameters, statistics and whatever parse has allocated are the network's. So a
 * further plan costs its buffers only, and does not read the cfg. */
#include "base/sys.h"
#include "net/network_parts.h"
#include <math.h>
#include <string.h>

/* *sum += a * b, padded. */
static dn_status plan_add(size_t *sum, size_t a, size_t b) {
    size_t n;
    DN_TRY(dn_size_mul(&n, a, b));
    DN_CHECK(n <= SIZE_MAX / 2 && !__builtin_add_overflow(*sum, dn_net_pad(n), sum), DN_E_MEMORY,
             "a size of %zu x %zu more than %zu is too large", a, b, *sum);
    return DN_OK;
}

static float *plan_floats(const dn_plan *p, size_t n) {
    size_t bytes;
    return dn_size_mul(&bytes, n, sizeof(float)) == DN_OK ? p->net->ops->alloc(p->net->pool, bytes) : NULL;
}

/* Those that count, and the scrap. */
static size_t plan_sums_bytes(const dn_plan *p) { return 4 * (size_t)p->net->n_layers * sizeof *p->sums; }
/* The run of layer i. */
static const dn_run *plan_run(const dn_plan *p, int i) {
    return p->draws && i >= p->net->sampling_layer ? &p->drawn : &p->run;
}
/* The most rows that it computes in a pass. */
static size_t plan_rows(const dn_plan *p, int i) { return (size_t)plan_run(p, i)->batch; }

size_t dn_plan_bytes(const dn_plan *p) {
    size_t floats = p->n_activations + p->n_workspace + (p->deltas ? p->n_deltas : 0) + 2 * (size_t)p->net->n_layers;
    return floats * sizeof(float) + sizeof *p->step + plan_sums_bytes(p) + p->net->n_columns * sizeof *p->sums;
}

/* ---- layers ---- */

static dn_status plan_layer(dn_plan *p, int i) {
    const dn_net *net = p->net;
    const dn_layer *from = &net->layers[i];
    dn_layer *l = &p->layers[i];
    size_t size = from->type->state_size, total;
    *l = *from;
    l->state = NULL;
    p->n_layers = i + 1; /* so that destroy sees it */
    if (size && !(l->state = dn_alloc(1, size))) return DN_E_MEMORY;
    if (size) memcpy(l->state, from->state, size);
    DN_TRY(dn_layer_size(&net->cfg->sections[i + 1], &total, (size_t)l->outputs, plan_rows(p, i), sizeof(float), 1));
    return l->type->plan ? l->type->plan(l, plan_run(p, i)) : DN_OK;
}

/* ---- memory ---- */

/* Is this layer's delta set by one layer? Otherwise it is cleared before backward, and layers add to it. */
static int plan_sets_delta(const dn_plan *p, int i) {
    return i + 1 < p->n_layers ? p->layers[i + 1].sets_dx : p->layers[i].type->sets_delta;
}

static dn_status plan_count(dn_plan *p) {
    size_t batch = (size_t)p->run.batch;
    DN_TRY(plan_add(&p->n_activations, batch, (size_t)p->net->inputs));
    DN_TRY(plan_add(&p->n_activations, batch, (size_t)p->net->truths));
    for (int k = 0; k < 2; k++) DN_TRY(plan_add(&p->n_activations, batch, 1));
    DN_TRY(plan_add(&p->n_activations, dn_draws_activations(p), 1));
    DN_TRY(plan_add(&p->n_deltas, dn_draws_deltas(p), 1));
    for (int i = 0; i < p->n_layers; i++) {
        const dn_layer *l = &p->layers[i];
        DN_TRY(plan_add(&p->n_activations, plan_rows(p, i), (size_t)l->outputs));
        DN_TRY(plan_add(&p->n_deltas, plan_rows(p, i), (size_t)l->outputs));
        if (!plan_sets_delta(p, i)) p->n_added_deltas += dn_net_pad(plan_rows(p, i) * (size_t)l->outputs);
        for (int k = 0; k < l->n_buffers; k++)
            if (!l->buffers[k].host) DN_TRY(plan_add(&p->n_activations, l->buffers[k].count, 1));
        if (l->workspace > p->n_workspace) p->n_workspace = l->workspace;
    }
    p->n_added_deltas += dn_draws_deltas(p);
    return DN_OK;
}

static dn_status plan_lay_out(dn_plan *p) {
    dn_net *net = p->net;
    size_t batch = (size_t)p->run.batch;
    DN_TRY(plan_count(p));
    p->step = net->ops->alloc(net->pool, sizeof *p->step);
    p->run.sums = net->ops->alloc(net->pool, plan_sums_bytes(p));
    p->run.scrap = p->run.sums ? p->run.sums + 2 * p->n_layers : NULL;
    if (net->n_columns) p->run.columns = net->ops->alloc(net->pool, net->n_columns * sizeof *p->run.columns);
    p->sums = dn_alloc(dn_plan_sums(p), sizeof *p->sums);
    p->weights = plan_floats(p, 2 * (size_t)p->n_layers);
    p->set_weights = dn_alloc(2 * (size_t)p->n_layers, sizeof *p->set_weights);
    p->run.step = p->step, p->run.weights = p->weights, p->run.limits = p->weights + p->n_layers;
    if (!p->step || !p->run.sums || (net->n_columns && !p->run.columns) || !p->sums || !p->weights || !p->set_weights)
        return DN_E_MEMORY;
    p->activations = plan_floats(p, p->n_activations);
    p->run.workspace = plan_floats(p, p->n_workspace);
    if (!p->activations || !p->run.workspace) return DN_E_MEMORY;
    float *a = p->activations;
    p->input = a, a += dn_net_pad(batch * net->inputs);
    p->truth = a, a += dn_net_pad(batch * net->truths);
    p->of_rows = a, a += dn_net_pad(batch);
    p->weighted = a, a += dn_net_pad(batch);
    for (int i = 0; i < p->n_layers; i++) {
        dn_layer *l = &p->layers[i];
        l->output = a, a += dn_net_pad(plan_rows(p, i) * l->outputs);
        for (int k = 0; k < l->n_buffers; k++) {
            if (l->buffers[k].host) continue;
            *l->buffers[k].where = a, a += dn_net_pad(l->buffers[k].count);
        }
    }
    dn_draws_place(p, a);
    return DN_OK;
}

dn_status dn_plan_add_deltas(dn_plan *p) {
    if (p->deltas) return DN_OK;
    if (!(p->deltas = plan_floats(p, p->n_deltas))) return DN_E_MEMORY;
    float *added = p->deltas + dn_draws_deltas(p), *set = p->deltas + p->n_added_deltas;
    for (int i = 0; i < p->n_layers; i++) {
        dn_layer *l = &p->layers[i];
        float **d = plan_sets_delta(p, i) ? &set : &added;
        l->delta = *d, *d += dn_net_pad(plan_rows(p, i) * l->outputs);
        int source = dn_layer_source(l), none = source < 0 || (source == 0 && p->net->columns);
        l->dx = none ? NULL : p->layers[source].delta; /* codes have no gradient */
    }
    dn_draws_place_deltas(p, p->deltas);
    return DN_OK;
}

/* ---- the weights of terms ---- */

double dn_net_weight(const dn_net *net, int layer, uint64_t batch) {
    const dn_term *term = &net->layers[layer].term;
    return term->rule ? dn_kl_rule_beta(term->rule, term->weight, &net->state, batch) : term->weight;
}

int dn_net_rises(const dn_net *net, int layer, uint64_t batch) {
    const dn_term *term = &net->layers[layer].term;
    if (!term->rule) return 0;
    return dn_net_weight(net, layer, batch) < term->weight ||
           dn_kl_rule_limit(term->rule, &net->state, batch ? batch : 1) < term->rule->limit;
}

int dn_net_weights_move(const dn_net *net) {
    int moves = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_kl_rule *rule = net->layers[i].term.rule;
        moves |= rule && dn_kl_rule_moves(rule);
    }
    return moves;
}

/* By `fill`, which does not wait, and only if it has changed. */
static void plan_set_number(dn_plan *p, int i, double number) {
    float value = (float)number;
    if (value != p->set_weights[i]) p->net->ops->fill(p->net->pool, 1, value, p->weights + i);
    p->set_weights[i] = value;
}

void dn_plan_set_weights(dn_plan *p, uint64_t batch) {
    const dn_net *net = p->net;
    for (int i = 0; i < p->n_layers; i++) {
        const dn_term *of = &net->layers[i].term;
        dn_term *term = &p->layers[i].term;
        term->weight = batch ? dn_net_weight(net, i, batch) : of->weight;
        plan_set_number(p, i, term->weight);
        if (!of->rule) continue;
        term->limit = dn_kl_rule_limit(of->rule, &net->state, batch);
        plan_set_number(p, p->n_layers + i, term->limit);
    }
}

void dn_plan_doubt_weights(const dn_plan *p) {
    for (int i = 0; p && i < 2 * p->n_layers; i++) p->set_weights[i] = NAN;
}

/* ---- from creation to the end ---- */

static dn_status plan_make(dn_plan *p) {
    const dn_net *net = p->net;
    p->layers = dn_alloc((size_t)net->n_layers, sizeof *p->layers);
    if (!p->layers) return DN_E_MEMORY;
    for (int i = 0; i < net->n_layers; i++) {
        DN_TRY(dn_watched());
        DN_TRY(plan_layer(p, i));
    }
    DN_TRY(dn_draws_plan(p));
    DN_TRY(plan_lay_out(p));
    for (int i = 0; i < p->n_layers; i++)
        if (p->layers[i].type->constants) DN_TRY(p->layers[i].type->constants(&p->layers[i], plan_run(p, i)));
    return p->run.inference ? DN_OK : dn_plan_link(p);
}

dn_status dn_plan_create(dn_plan **out, dn_net *net, int batch, int draws, int inference) {
    dn_plan *p = *out = dn_alloc(1, sizeof *p);
    if (!p) return DN_E_MEMORY;
    p->net = net, p->run = net->settings;
    p->run.ops = net->ops, p->run.pool = net->pool, p->run.batch = batch, p->run.inference = inference;
    p->draws = draws, p->drawn = p->run;
    p->drawn.draws = draws, p->drawn.batch = batch * (draws ? draws : 1);
    dn_status status = plan_make(p);
    if (status == DN_OK) return DN_OK;
    dn_plan_destroy(p);
    *out = NULL;
    return status;
}

void dn_plan_destroy(dn_plan *p) {
    if (!p) return;
    for (int i = 0; i < p->n_layers; i++) {
        dn_layer *l = &p->layers[i];
        for (int k = 0; k < l->n_buffers; k++) dn_free(l->buffers[k].host);
        dn_free(l->buffers);
        dn_free(l->state);
    }
    void *blocks[] = {p->activations, p->deltas, p->run.workspace, p->step, p->run.sums, p->run.columns, p->weights};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i]) p->net->ops->free(p->net->pool, blocks[i]);
    dn_plan_unlink(p);
    dn_free(p->crossings);
    dn_free(p->sums);
    dn_free(p->set_weights);
    dn_free(p->layers);
    dn_free(p);
}

/* ---- for jobs ---- */

enum { INFERENCE_ROWS = 512, INFERENCE_BYTES = 32 << 20 };

/* In a pass without training; with draws every one of them counts. */
static size_t plan_most_rows(const dn_plan *p) {
    size_t rows = (size_t)p->run.batch * (size_t)(p->draws ? p->draws : 1);
    size_t fit = INFERENCE_BYTES / ((p->n_activations + p->n_workspace) * sizeof(float) / rows + 1);
    return fit < INFERENCE_ROWS ? fit : INFERENCE_ROWS;
}

dn_plan *dn_net_inference_plan(dn_net *net, size_t rows) {
    const dn_plan *p = net->plan;
    size_t batch = (size_t)p->run.batch, most = plan_most_rows(p);
    if (rows <= batch || net->recurrent || most <= batch) return net->plan;
    most -= most % (size_t)p->run.time_steps;
    if (!net->inference) dn_plan_create(&net->inference, net, (int)most, 0, 1); /* optional */
    return net->inference ? net->inference : net->plan;
}

size_t dn_net_rows_with_draws(const dn_net *net, int draws) {
    size_t rows = plan_most_rows(net->plan) / (size_t)(draws ? draws : 1);
    return rows ? rows : 1;
}

dn_status dn_net_bounds_plan(dn_net *net, size_t rows, int draws, dn_plan **out) {
    size_t most = dn_net_rows_with_draws(net, 1), all = (size_t)draws, passes = (all + most - 1) / most;
    size_t by_pass = (all + passes - 1) / passes, fit = dn_net_rows_with_draws(net, (int)by_pass);
    size_t batch = rows < fit ? rows : fit;
    if (net->bounds && ((size_t)net->bounds->draws != by_pass || (size_t)net->bounds->run.batch < batch)) {
        dn_plan_destroy(net->bounds);
        net->bounds = NULL;
    }
    if (!net->bounds) DN_TRY(dn_plan_create(&net->bounds, net, (int)batch, (int)by_pass, 1));
    *out = net->bounds;
    return DN_OK;
}

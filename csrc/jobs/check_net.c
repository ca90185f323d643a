/* dn_net_check: the passes that its parts compare, and the result. */
#include "jobs/check_net.h"
#include "base/sys.h"
#include "jobs/jobs.h"
#include "net/check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* splitmix64 (Steele, Lea and Flood 2014) */
static uint64_t checker_next(dn_checker *c) {
    uint64_t z = c->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

double dn_checker_random(dn_checker *c) { return (double)(checker_next(c) >> 11) * 0x1p-53; }

double dn_checker_normal(dn_checker *c) {
    double u = 1 - dn_checker_random(c), v = dn_checker_random(c);
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
}

float *dn_checker_input(const dn_checker *c, const dn_layer *l) { return (float *)dn_layer_x(l, &c->plan->run); }

int dn_checker_is_head(const dn_layer *l) { return l->term.type && l->term.type->row_fault; }

void dn_checker_step(dn_checker *c, double rate) {
    dn_net *net = c->net;
    dn_net_set_step(net, net->state.seen + c->pass, 0, (int64_t)c->rows.n);
    dn_plan_set_weights(c->plan, 0); /* those that training aims for: at the beginning of a warm-up beta is 0 */
    if (rate < 0) return;
    c->plan->run.now.rate = (float)rate;
    net->ops->set_step(net->pool, c->plan->step, &c->plan->run.now);
}

/* ---- passes ---- */

/* With the assignment of targets held fixed, the gradient of a head's loss by its input is constant. */
static double checker_head(dn_checker *c, const dn_layer *l) {
    const float *g = c->heads[l->index];
    size_t n = c->rows.n * (size_t)l->inputs;
    double sum = 0;
    c->net->ops->download(c->net->pool, c->buffer, dn_checker_input(c, l), n * sizeof *c->buffer);
    for (size_t i = 0; i < n; i++) sum += (double)g[i] * c->buffer[i];
    return sum;
}

dn_status dn_checker_forward(dn_checker *c, int first, double *objective) {
    dn_plan *p = c->plan;
    dn_report unused;
    if (p->draws && first != c->net->sampling_layer) first = 0; /* of several draws there is a whole pass only */
    dn_plan_reset(p);
    dn_plan_losses_clear(p);
    dn_pass pass = {.first = first, .last = p->n_layers - 1, .training = 1, .draws = p->draws, .rows = c->rows};
    DN_TRY(dn_plan_forward(p, &pass));
    if (p->drawing) dn_draws_weigh(p);
    DN_TRY(dn_plan_losses(p, &unused));
    *objective = 0;
    for (int i = first; i < p->n_layers; i++) {
        const dn_layer *l = &p->layers[i];
        if (l->term.type && !dn_checker_is_head(l)) *objective += l->term.scale * l->term.weighted;
        if (c->heads[i]) *objective += checker_head(c, l);
    }
    return DN_OK;
}

static void checker_clear(dn_checker *c) {
    const dn_net *net = c->net;
    net->ops->fill(net->pool, net->n_values, 0, net->grads);
    net->ops->fill(net->pool, c->plan->n_deltas, 0, c->plan->deltas);
    net->ops->fill(net->pool, c->rows.n * (size_t)net->inputs, 0, c->dx);
}

dn_status dn_checker_backward(dn_checker *c) {
    dn_net *net = c->net;
    checker_clear(c);
    if (c->plan->draws) DN_TRY(dn_net_train_rows(net, &c->rows, 0)); /* which goes through the layers twice */
    for (int i = net->n_layers - 1; i > net->last_stopped && !c->plan->draws; i--) {
        dn_layer *l = &c->plan->layers[i];
        if (l->type->backward) DN_TRY(l->type->backward(l, &c->plan->run));
        /* now complete: whoever else reads the layer before stands further up */
        if (c->inputs[i] && l->dx)
            net->ops->download(net->pool, c->inputs[i], l->dx, c->rows.n * (size_t)l->inputs * sizeof(float));
    }
    size_t bytes = c->rows.n * (size_t)net->inputs * sizeof(float);
    if (c->plan->draws && c->inputs[0]) net->ops->download(net->pool, c->inputs[0], c->dx, bytes);
    net->ops->download(net->pool, c->grads, net->grads, net->n_values * sizeof(float));
    return net->ops->finish(net->pool);
}

/* The gradients of detector heads by their inputs, each alone. */
static dn_status checker_heads(dn_checker *c) {
    dn_net *net = c->net;
    for (int i = 0; i < net->n_layers; i++) {
        dn_layer *l = &c->plan->layers[i];
        size_t bytes = c->rows.n * (size_t)l->inputs * sizeof(float);
        if (!dn_checker_is_head(l) || !l->dx) continue;
        checker_clear(c);
        DN_TRY(l->type->backward(l, &c->plan->run));
        if (!c->heads[i] && !(c->heads[i] = dn_alloc(1, bytes))) return DN_E_MEMORY;
        net->ops->download(net->pool, c->heads[i], l->dx, bytes);
    }
    return net->ops->finish(net->pool);
}

/* ---- what can be compared ---- */

/* Layers whose backward pass is not the derivative of their forward pass, by intention. */
static const char *checker_straight_through(const dn_net *net, int i) {
    dn_section *s = &net->cfg->sections[i + 1];
    if (net->draws > 1 && net->layers[i].doubly) return "gradient=dreg, equal on average only";
    const dn_option *xnor = dn_cfg_option(s, "xnor");
    if (xnor && strcmp(xnor->value, "0")) return "xnor";
    return s->activation == 1 + DN_STAIR ? "activation=stair" : NULL;
}

static void checker_scope(dn_checker *c) {
    const dn_net *net = c->net;
    c->from = net->last_stopped + 1, c->from_why = c->from ? "stopbackward" : NULL;
    for (int i = 0; i < net->n_layers; i++) {
        const char *why = checker_straight_through(net, i);
        if (why && i + 1 > c->from) c->from = i + 1, c->from_why = why;
    }
}

/* Fewer values where a pass takes longer. */
static int checker_samples(const dn_checker *c) {
    const double budget = 4e10, passes = 10;
    int tensors = 1;
    dn_net_info info;
    dn_net_info_get(c->net, &info);
    for (int i = 0; i < c->net->n_layers; i++) tensors += c->net->layers[i].n_tensors;
    double most = budget / (info.flops * (double)c->rows.n * passes * tensors + 1);
    return most < 2 ? 2 : most > 16 ? 16 : (int)most;
}

/* Move biases a little: a bias of 0 after black pixels stands exactly on the kink of a relu. */
dn_status dn_checker_move(dn_checker *c) {
    dn_net *net = c->net;
    c->pass++;
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_tensor *t = &net->layers[i].tensors[k];
            if (t->kind != DN_BIAS) continue;
            float *values = dn_alloc(t->count, sizeof *values);
            if (!values) return DN_E_MEMORY;
            net->ops->download(net->pool, values, t->value, t->count * sizeof *values);
            for (size_t v = 0; v < t->count; v++) values[v] += (float)(0.03 * dn_checker_normal(c));
            net->ops->upload(net->pool, t->value, values, t->count * sizeof *values);
            dn_free(values);
        }
    return DN_OK;
}

static dn_status checker_allocate(dn_checker *c) {
    dn_net *net = c->net;
    size_t widest = (size_t)net->inputs, n = (size_t)net->n_layers;
    for (size_t i = 0; i < n; i++)
        if ((size_t)net->layers[i].outputs > widest) widest = (size_t)net->layers[i].outputs;
    c->inputs = dn_alloc(n, sizeof *c->inputs);
    c->heads = dn_alloc(n, sizeof *c->heads);
    c->sums = dn_alloc(n, sizeof *c->sums);
    c->grads = dn_alloc(net->n_values, sizeof *c->grads);
    c->buffer = dn_alloc(c->rows.n * widest, sizeof *c->buffer);
    c->dx = net->ops->alloc(net->pool, c->rows.n * (size_t)net->inputs * sizeof(float));
    if (!c->inputs || !c->heads || !c->sums || !c->grads || !c->buffer || !c->dx) return DN_E_MEMORY;
    for (int i = c->from; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        int split = l->term.type && l->term.type->latent && !c->plan->draws;
        if ((i && !split) || (!i && net->columns)) continue; /* codes have no gradient */
        if (!(c->inputs[i] = dn_alloc(c->rows.n * (size_t)l->inputs, sizeof(float)))) return DN_E_MEMORY;
    }
    /* that of a first layer with several draws of a row is not asked for: it would be one row for each draw */
    if (net->last_stopped < 0 && !(c->plan->draws && !net->sampling_layer)) c->plan->layers[0].dx = c->dx;
    return DN_OK;
}

static void checker_free(dn_checker *c) {
    for (int i = 0; i < c->net->n_layers; i++) {
        if (c->inputs) dn_free(c->inputs[i]);
        if (c->heads) dn_free(c->heads[i]);
    }
    c->plan->layers[0].dx = NULL;
    if (c->dx) c->net->ops->free(c->net->pool, c->dx);
    void *blocks[] = {c->inputs, c->heads, c->sums, c->grads, c->buffer, c->own, c->pass_truth};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) dn_free(blocks[i]);
}

/* ---- the result ---- */

dn_status dn_checker_add(dn_checker *c, const dn_layer *l, dn_check_line line) {
    dn_checks *out = c->out;
    if (out->n == c->room) {
        int room = 2 * c->room + 16;
        dn_check_line *lines = dn_realloc(out->lines, (size_t)room, sizeof *lines);
        if (!lines) return DN_E_MEMORY;
        out->lines = lines, c->room = room;
    }
    size_t length = strlen(line.what);
    line.layer = l ? l->index : -1;
    if (c->whole) snprintf(line.what + length, sizeof line.what - length, ", n=%zu", c->rows.n);
    snprintf(line.type, sizeof line.type, "%s", l ? l->type->name : "");
    if (!line.values) line.ok = -1;
    out->n_failed += !line.ok;
    out->lines[out->n++] = line;
    return DN_OK;
}

static const dn_check_line *checks_worst(const dn_checks *checks) {
    const dn_check_line *worst = NULL;
    for (int i = 0; i < checks->n; i++) {
        const dn_check_line *l = &checks->lines[i];
        if (l->ok < 0 || (checks->n_failed && l->ok)) continue;
        if (!worst || !(l->error / l->tolerance <= worst->error / worst->tolerance)) worst = l;
    }
    return worst;
}

static void checks_summarise(const dn_checker *c) {
    dn_checks *checks = c->out;
    const dn_check_line *worst = checks_worst(checks);
    char where[160] = "", rest[96] = "", below[96] = "";
    int compared = 0;
    for (int i = 0; i < checks->n; i++) compared += checks->lines[i].ok >= 0;
    if (worst && worst->layer >= 0)
        snprintf(where, sizeof where, "layer %d [%s] %s", worst->layer, worst->type, worst->what);
    else if (worst)
        snprintf(where, sizeof where, "%s", worst->what);
    if (compared < checks->n) snprintf(rest, sizeof rest, "; %d could not be compared", checks->n - compared);
    if (c->from) snprintf(below, sizeof below, "; gradients below layer %d were not: %s", c->from, c->from_why);
    if (checks->n_failed)
        snprintf(checks->summary, sizeof checks->summary,
                 "%s: %d of %d comparisons FAILED; the worst is %s (%.6g, expected %.6g)%s%s", c->net->cfg->path,
                 checks->n_failed, compared, where, worst->found, worst->expected, rest, below);
    else if (!worst)
        snprintf(checks->summary, sizeof checks->summary, "%s: nothing could be compared", c->net->cfg->path);
    else
        snprintf(
            checks->summary, sizeof checks->summary,
            "%s: all %d comparisons agree with %zu row%s on %s; the closest to its tolerance is %s (%.1e of %.0e)%s%s",
            c->net->cfg->path, compared, c->rows.n, c->rows.n == 1 ? "" : "s", dn_net_device(c->net), where,
            worst->error, worst->tolerance, rest, below);
}

/* ---- from the beginning to the end ---- */

dn_status dn_checker_pass(dn_checker *c) {
    double objective;
    dn_checker_step(c, -1);
    DN_TRY(dn_checker_forward(c, 0, &objective));
    DN_CHECK(isfinite(objective), DN_E_NUMERIC,
             "%s: the loss of these rows is %s, so there is nothing to compare: scale the data (-scale, or data_scale= "
             "in [net]), or look at the weights",
             c->net->cfg->path, isnan(objective) ? "nan" : "infinite");
    DN_TRY(checker_heads(c));
    for (int i = 0; i < c->net->n_layers; i++) c->sums[i] = c->plan->layers[i].term.sum;
    return dn_checker_backward(c);
}

static dn_status checker_run(dn_checker *c) {
    DN_TRY(dn_checker_move(c));
    DN_TRY(dn_checker_columns(c));
    DN_TRY(dn_checker_gradients(c));
    if (!c->whole) DN_TRY(dn_checker_terms(c));
    if (!c->whole) DN_TRY(dn_checker_objective(c));
    DN_TRY(dn_checker_place(c));
    return dn_checker_update(c);
}

/* With a few rows, or (whole) with a batch. */
static dn_status check_with(dn_checker *c, const dn_rows *rows) {
    checker_scope(c);
    dn_status status = dn_checker_rows(c, rows);
    if (status == DN_OK) status = checker_allocate(c);
    c->samples = c->whole ? 0 : checker_samples(c);
    if (status == DN_OK) status = checker_run(c);
    dn_plan_reset(c->plan);
    c->plan->run.rows = 0; /* there is nothing to go back from */
    checker_free(c);
    return status;
}

static dn_status net_check(dn_net *net, const dn_rows *rows, dn_checks *checks) {
    dn_checker few = {.net = net, .plan = net->plan, .out = checks, .random = net->state.seed};
    dn_snapshot before = {0};
    static const float drawn = 0;
    DN_TRY(dn_job_need_truth(net, rows->x ? rows : &(dn_rows){.truth = &drawn}));
    DN_TRY(dn_net_prepare_training(net));
    dn_status status = dn_snapshot_create(&before, net);
    if (status == DN_OK) {
        dn_snapshot_take(&before, net);
        status = check_with(&few, rows);
        dn_snapshot_restore(&before, net);
    }
    dn_checker whole = {.net = net, .plan = net->plan, .out = checks, .random = few.random, .whole = 1};
    whole.room = few.room;
    size_t n = dn_checker_rows_wanted(net, 1);
    if (rows->x && n > rows->n) n = rows->n;
    if (status == DN_OK && n > few.rows.n) {
        status = check_with(&whole, rows);
        dn_snapshot_restore(&before, net);
    }
    if (status == DN_OK) checks_summarise(&few);
    dn_snapshot_free(&before, net);
    return status;
}

void dn_checks_free(dn_checks *checks) {
    dn_free(checks->lines);
    *checks = (dn_checks){0};
}

dn_status dn_net_check(dn_net *net, const dn_rows *rows, dn_checks *checks) {
    *checks = (dn_checks){0};
    DN_TRY(dn_net_enter(net));
    dn_status status = net_check(net, rows, checks);
    if (status != DN_OK) dn_checks_free(checks);
    return dn_net_leave(net, status);
}

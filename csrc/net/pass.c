/* Through the layers: forward, losses, backward, and all of them for a training step. */
#include "base/report.h"
#include "net/check.h"
#include "net/network_parts.h"
#include <string.h>

/* What layers need to know of this pass. */
static dn_status plan_begin(dn_plan *p, const dn_pass *pass) {
    dn_run *run = &p->run;
    int rows = (int)pass->rows.n;
    DN_CHECK(!p->net->recurrent || rows % run->time_steps == 0, DN_E_USAGE,
             "%d rows are not whole sequences of time_steps=%d", rows, run->time_steps);
    run->rows = rows, run->training = pass->training, run->losses_only = pass->losses_only, run->last = pass->last;
    run->x = pass->rows.x, run->truth = pass->rows.truth, run->y = pass->y;
    run->row_weights = pass->rows.weights;
    run->given = pass->first ? pass->rows.condition : pass->rows.x;
    if (!run->training) dn_plan_set_weights(p, 0);
    dn_draws_begin(p, pass->draws);
    return DN_OK;
}

void dn_plan_weigh(const dn_plan *p, const dn_layer *l) {
    const dn_run *run = &p->run;
    const dn_term_type *type = l->term.type;
    size_t rows = (size_t)run->rows;
    if (!run->row_weights || !type || (!type->latent && !run->truth)) return;
    type->rows(l, run, p->weighted);
    run->ops->scale_rows(run->pool, rows, 1, run->row_weights, p->weighted);
    run->ops->add_sum(run->pool, rows, 1, p->weighted, run->sums + 2 * l->index);
}

static dn_status plan_layer_forward(dn_plan *p, dn_layer *l) {
    DN_TRY(dn_watched());
    if (p->drawing && l->index == p->net->sampling_layer) dn_draws_enter(p, 1);
    DN_TRY(l->type->forward(l, dn_plan_run(p, l)));
    if (!p->drawing) dn_plan_weigh(p, l);
    return DN_OK;
}

dn_status dn_plan_forward(dn_plan *p, const dn_pass *pass) {
    dn_status status = plan_begin(p, pass);
    for (int i = pass->first; i <= pass->last && status == DN_OK; i++) status = plan_layer_forward(p, &p->layers[i]);
    dn_draws_leave(p);
    return status;
}

const float *dn_plan_data(const dn_plan *p, size_t rows, const float *y, float *to) {
    const dn_net *net = p->net;
    if (net->likelihood < 0) return y;
    for (int i = net->likelihood; i < p->n_layers; i++) {
        const dn_layer *l = &p->layers[i];
        if (i == net->likelihood || (l->term.type && l->term.type->head)) l->term.type->mean(l, &p->run, rows, y, to);
    }
    return to;
}

void dn_plan_reset(dn_plan *p) {
    for (int i = 0; i < p->n_layers; i++)
        if (p->layers[i].type->reset) p->layers[i].type->reset(&p->layers[i], &p->run);
}

int dn_net_steps(const dn_net *net) { return net->recurrent ? net->settings.time_steps : 1; }

size_t dn_net_place(const dn_net *net, size_t rows, size_t i) {
    size_t steps = (size_t)dn_net_steps(net), sequences = rows / steps;
    return i % steps * sequences + i / steps;
}

void dn_plan_losses_clear(dn_plan *p) {
    const dn_net *net = p->net;
    net->ops->fill(net->pool, 4 * (size_t)p->n_layers, 0, (float *)p->run.sums); /* as floats: 0 has the same bits */
    if (net->n_columns) net->ops->fill(net->pool, 2 * net->n_columns, 0, (float *)p->run.columns);
    for (int i = 0; i < p->n_layers; i++) p->layers[i].term.host = 0;
}

void dn_plan_losses_keep(const dn_plan *p, double *sums) {
    for (int i = 0; i < p->n_layers; i++)
        sums[2 * i] = p->layers[i].term.sum, sums[2 * i + 1] = p->layers[i].term.summed;
    size_t n = 2 * (size_t)p->n_layers;
    memcpy(sums + n, p->sums + n, p->net->n_columns * sizeof *sums);
}

void dn_plan_losses_resume(dn_plan *p, const double *sums) {
    const dn_net *net = p->net;
    size_t n = 2 * (size_t)p->n_layers;
    net->ops->upload(net->pool, p->run.sums, sums, n * sizeof *sums);
    if (net->n_columns) net->ops->upload(net->pool, p->run.columns, sums + n, net->n_columns * sizeof *sums);
    for (int i = 0; i < p->n_layers; i++) p->layers[i].term.host = 0;
}

void dn_plan_losses_report(const dn_plan *p, dn_report *report) {
    double total = 0;
    *report = (dn_report){.single = p->net->sampling_layer < 0};
    dn_report_add(report, DN_IMAGE_LOSS, 0);
    dn_report_add(report, DN_LATENT_LOSS, 0);
    if (p->net->sampling_layer >= 0) dn_report_add(report, DN_KL_COST, 0);
    for (int i = 0; i < p->n_layers; i++) {
        const dn_term *term = &p->layers[i].term;
        if (!term->type) continue;
        dn_report_add(report, term->type->name, term->share * term->sum);
        if (term->type->latent) dn_report_add(report, DN_KL_COST, term->share * term->weighted);
        total += term->share * term->weighted;
    }
    report->single &= report->n == 2;
    dn_report_add(report, DN_TOTAL_LOSS, total);
}

/* What a term's columns cost beyond what has been summed: outside training they count as means over all rows. */
static double plan_columns_cost(const dn_plan *p, dn_term *term) {
    const double *columns = p->sums + 2 * p->n_layers + term->kl_columns_at, rows = columns[term->kl_columns];
    double cost = 0;
    term->floor = 0;
    for (int i = 0; i < term->kl_columns && rows > 0; i++) {
        double below = term->limit - columns[i] / rows;
        cost += columns[i], term->floor += below > 0 ? below : 0;
    }
    return term->weight * (cost + term->floor * rows);
}

dn_status dn_plan_losses(dn_plan *p, dn_report *report) {
    const dn_net *net = p->net;
    size_t n = 2 * (size_t)p->n_layers;
    net->ops->download(net->pool, p->sums, p->run.sums, n * sizeof *p->sums);
    if (net->n_columns) net->ops->download(net->pool, p->sums + n, p->run.columns, net->n_columns * sizeof *p->sums);
    DN_TRY(net->ops->finish(net->pool));
    for (int i = 0; i < p->n_layers; i++) {
        dn_term *term = &p->layers[i].term;
        term->sum = p->sums[2 * i] + term->host;
        term->weighted = term->summed = term->type && term->type->latent ? p->sums[2 * i + 1] : term->sum;
        if (term->kl_columns) term->weighted += plan_columns_cost(p, term);
    }
    dn_plan_losses_report(p, report);
    return DN_OK;
}

/* Darknet's cost: the mean over all layers that can have one. */
static double plan_mean_cost(const dn_plan *p) {
    double cost = 0;
    int n = 0;
    for (int i = 0; i < p->n_layers; i++) {
        const dn_term_type *type = p->layers[i].type->term;
        if (type && !type->latent) cost += p->layers[i].term.sum, n++;
    }
    return n ? cost / n : 0;
}

/* What training minimises. */
static double plan_objective(const dn_plan *p) {
    double objective = 0;
    for (int i = 0; i < p->n_layers; i++) {
        const dn_term *term = &p->layers[i].term;
        objective += term->scale * term->weighted;
    }
    return objective;
}

static dn_status net_forward(dn_net *net, const dn_rows *rows, int training) {
    dn_plan *p = net->plan;
    const float *truth = rows->truth;
    int n = (int)rows->n;
    DN_CHECK(rows->n >= 1 && rows->n <= (size_t)p->run.batch, DN_E_USAGE, "%zu rows given, the network takes 1 to %d",
             rows->n, p->run.batch);
    DN_CHECK(!truth || net->truths, DN_E_USAGE, "a truth was given, but the network has no cost layer");
    if (truth) DN_TRY(dn_check_truth(net, &(dn_part_of){"truth", truth, rows->n, (size_t)net->truths, 0}, 0));
    if (rows->weights) DN_TRY(dn_check_weights(net, &(dn_part_of){"weights", rows->weights, rows->n, 1, 0}));
    dn_rows given = *rows;
    for (int k = 0; k < DN_COLUMNS; k++) {
        const float **values = dn_rows_column(&given, k);
        if (!*values) continue;
        net->ops->upload(net->pool, dn_plan_column(p, k), *values, rows->n * dn_net_width(net, k) * sizeof **values);
        *values = dn_plan_column(p, k);
    }
    dn_plan_losses_clear(p);
    dn_net_set_step(net, net->state.seen, 0, n);
    dn_pass pass = {.last = net->n_layers - 1, .training = training, .draws = training ? p->draws : 0, .rows = given};
    dn_status status = dn_plan_forward(p, &pass);
    if (status != DN_OK) {
        p->run.rows = 0; /* there is nothing to go back from */
        return status;
    }
    if (training) net->state.seen += rows->n;
    if (p->drawing) dn_draws_weigh(p);
    dn_report losses;
    DN_TRY(dn_plan_losses(p, &losses));
    net->cost = plan_mean_cost(p);
    net->objective = plan_objective(p);
    return DN_OK;
}

dn_status dn_net_forward(dn_net *net, const dn_rows *rows, int training) {
    DN_EXCLUSIVE(net, net_forward(net, rows, training));
}

static dn_status plan_link_backward(dn_plan *p, const dn_link *link) {
    dn_layer *l = link->layer;
    const dn_run *run = dn_plan_run(p, l);
    if (p->crossed && l->index < p->net->sampling_layer) dn_draws_fold(p);
    if (link->trains) return l->type->train(l, run, link->with_loss ? &link->loss : NULL);
    return l->type->backward ? l->type->backward(l, run) : DN_OK;
}

static dn_status net_links_backward(dn_net *net, const dn_links *links) {
    dn_plan *p = net->plan;
    dn_status status = DN_OK;
    net->ops->fill(net->pool, p->n_added_deltas, 0, p->deltas);
    net->state.rows_since_update += p->run.rows;
    if (p->drawing) dn_draws_enter(p, 0);
    for (int i = links->n_links - 1; i >= 0 && status == DN_OK; i--)
        if (links->link[i].layer->index > net->last_stopped) status = plan_link_backward(p, &links->link[i]);
    dn_draws_leave(p);
    return status;
}

static dn_status net_backward(dn_net *net) {
    DN_CHECK(net->plan->run.rows > 0 && !net->plan->run.losses_only, DN_E_USAGE, "backward without a forward");
    DN_TRY(dn_net_prepare_training(net));
    net->plan->run.x = net->plan->input; /* the rows of dn_net_forward; those of a job may be gone */
    return net_links_backward(net, &net->plan->links[DN_APART]);
}

dn_status dn_net_backward(dn_net *net) { DN_EXCLUSIVE(net, net_backward(net)); }

dn_status dn_net_train_rows(dn_net *net, const dn_rows *rows, int update) {
    dn_plan *p = net->plan;
    const dn_links *links = dn_links_of_step(p, update, rows->weights != NULL);
    dn_pass pass = {.last = net->n_layers - 1, .training = 1, .losses_only = 1, .draws = p->draws, .rows = *rows};
    DN_TRY(plan_begin(p, &pass));
    dn_status status = DN_OK;
    for (int i = 0; i < links->n_links && status == DN_OK; i++)
        if (!links->link[i].with_loss) status = plan_layer_forward(p, links->link[i].layer);
    dn_draws_leave(p);
    DN_TRY(status);
    if (p->drawing) dn_draws_weigh(p);
    DN_TRY(net_links_backward(net, links));
    if (update) dn_net_apply_update(net, links);
    return DN_OK;
}

void dn_plan_replayed(dn_plan *p, int rows) {
    p->run.rows = rows;
    dn_draws_begin(p, p->draws);
}

static dn_status net_reset_state(dn_net *net) {
    dn_plan_reset(net->plan);
    return DN_OK;
}

dn_status dn_net_reset_state(dn_net *net) { DN_EXCLUSIVE(net, net_reset_state(net)); }

/* Through the layers: forward, losses, backward, and both for a training step. */
#include "base/report.h"
#include "net/check.h"
#include "net/network.h"
#include <string.h>

/* What layers are to know of this pass. */
static dn_status net_begin(dn_net *net, const dn_pass *pass) {
    dn_run *run = &net->run;
    DN_CHECK(!net->recurrent || pass->rows % run->time_steps == 0, DN_E_USAGE,
             "%d rows are not whole sequences of time_steps=%d", pass->rows, run->time_steps);
    run->rows = pass->rows, run->training = pass->training, run->last = pass->last;
    run->x = pass->x, run->truth = pass->truth, run->y = pass->y;
    return DN_OK;
}

static dn_status net_layer_forward(dn_net *net, dn_layer *l) {
    DN_TRY(dn_watched());
    return l->type->forward(l, &net->run);
}

dn_status dn_net_run_layers(dn_net *net, const dn_pass *pass) {
    DN_TRY(net_begin(net, pass));
    for (int i = pass->first; i <= pass->last; i++) DN_TRY(net_layer_forward(net, &net->layers[i]));
    return DN_OK;
}

int dn_net_steps(const dn_net *net) { return net->recurrent ? net->run.time_steps : 1; }

size_t dn_net_place(const dn_net *net, size_t rows, size_t i) {
    size_t steps = (size_t)dn_net_steps(net), sequences = rows / steps;
    return i % steps * sequences + i / steps;
}

void dn_net_losses_clear(dn_net *net) {
    net->ops->fill(net->pool, 4 * (size_t)net->n_layers, 0, (float *)net->run.sums); /* as floats: 0 has the same bits */
    for (int i = 0; i < net->n_layers; i++) net->layers[i].term.host = 0;
}

void dn_net_losses_keep(const dn_net *net, double *sums) {
    for (int i = 0; i < net->n_layers; i++)
        sums[2 * i] = net->layers[i].term.sum, sums[2 * i + 1] = net->sums[2 * i + 1];
}

void dn_net_losses_resume(dn_net *net, const double *sums) {
    net->ops->upload(net->pool, net->run.sums, sums, 2 * (size_t)net->n_layers * sizeof *sums);
    for (int i = 0; i < net->n_layers; i++) net->layers[i].term.host = 0;
}

void dn_net_losses_report(const dn_net *net, dn_report *report) {
    double total = 0;
    *report = (dn_report){.single = net->sampling_layer < 0};
    dn_report_add(report, DN_IMAGE_LOSS, 0);
    dn_report_add(report, DN_LATENT_LOSS, 0);
    for (int i = 0; i < net->n_layers; i++) {
        const dn_term *term = &net->layers[i].term;
        if (!term->type) continue;
        dn_report_add(report, term->type->name, term->share * term->sum);
        total += term->share * term->weight * term->sum;
    }
    report->single &= report->n == 2;
    dn_report_add(report, DN_TOTAL_LOSS, total);
}

dn_status dn_net_losses(dn_net *net, dn_report *report) {
    net->ops->download(net->pool, net->sums, net->run.sums, 2 * (size_t)net->n_layers * sizeof *net->sums);
    DN_TRY(net->ops->finish(net->pool));
    for (int i = 0; i < net->n_layers; i++) net->layers[i].term.sum = net->sums[2 * i] + net->layers[i].term.host;
    dn_net_losses_report(net, report);
    return DN_OK;
}

/* Darknet's cost: the mean over all layers that can have one. */
static double net_mean_cost(const dn_net *net) {
    double cost = 0;
    int n = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_term_type *type = net->layers[i].type->term;
        if (type && !type->latent) cost += net->layers[i].term.sum, n++;
    }
    return n ? cost / n : 0;
}

/* What is descended. */
static double net_objective(const dn_net *net) {
    double objective = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_term *term = &net->layers[i].term;
        objective += term->scale * term->weight * term->sum;
    }
    return objective;
}

static dn_status net_forward(dn_net *net, const dn_rows *rows, int training) {
    const float *truth = rows->truth;
    int n = (int)rows->n;
    DN_CHECK(rows->n >= 1 && rows->n <= (size_t)net->run.batch, DN_E_USAGE, "%zu rows given, the network takes 1 to %d",
             rows->n, net->run.batch);
    DN_CHECK(!truth || net->truths, DN_E_USAGE, "a truth was given, but the network has no cost layer");
    if (truth)
        DN_TRY(dn_check_truth(net, &(dn_part_of){"truth", truth, rows->n, (size_t)net->truths, 0}, 0));
    net->ops->upload(net->pool, net->input, rows->x, rows->n * net->inputs * sizeof *rows->x);
    if (truth) net->ops->upload(net->pool, net->truth, truth, rows->n * net->truths * sizeof *truth);
    dn_net_losses_clear(net);
    dn_net_set_step(net, net->state.seen, 0, n);
    const dn_pass pass = {.last = net->n_layers - 1, .rows = n, .training = training, .x = net->input,
                          .truth = truth ? net->truth : NULL};
    dn_status status = dn_net_run_layers(net, &pass);
    if (status != DN_OK) {
        net->run.rows = 0; /* nothing to go back from */
        return status;
    }
    if (training) net->state.seen += rows->n;
    dn_report losses;
    DN_TRY(dn_net_losses(net, &losses));
    net->cost = net_mean_cost(net);
    net->objective = net_objective(net);
    return DN_OK;
}

dn_status dn_net_forward(dn_net *net, const dn_rows *rows, int training) {
    DN_EXCLUSIVE(net, net_forward(net, rows, training));
}

/* Gradients of activations are added up, but for those that one layer alone sets. */
static void net_clear_deltas(dn_net *net) { net->ops->fill(net->pool, net->n_added_deltas, 0, net->deltas); }

static dn_status net_links_backward(dn_net *net, const dn_links *links) {
    net_clear_deltas(net);
    net->state.rows_since_update += net->run.rows;
    for (int i = links->n_links - 1; i >= 0; i--) {
        const dn_link *link = &links->link[i];
        dn_layer *l = link->layer;
        if (l->index <= net->last_stopped) break;
        if (link->trains)
            DN_TRY(l->type->train(l, &net->run, link->with_loss ? &link->loss : NULL));
        else if (l->type->backward)
            DN_TRY(l->type->backward(l, &net->run));
    }
    return DN_OK;
}

static dn_status net_backward(dn_net *net) {
    DN_CHECK(net->run.rows > 0, DN_E_USAGE, "backward without a forward");
    DN_TRY(dn_net_prepare_training(net));
    net->run.x = net->input; /* the rows of dn_net_forward; those of a job may be gone */
    return net_links_backward(net, &net->links[DN_APART]);
}

dn_status dn_net_backward(dn_net *net) { DN_EXCLUSIVE(net, net_backward(net)); }

dn_status dn_net_train_rows(dn_net *net, int rows, const float *x, const float *truth, int update) {
    const dn_links *links = dn_links_of_step(net, update);
    DN_TRY(net_begin(net, &(dn_pass){.last = net->n_layers - 1, .rows = rows, .training = 1, .x = x, .truth = truth}));
    for (int i = 0; i < links->n_links; i++)
        if (!links->link[i].with_loss) DN_TRY(net_layer_forward(net, links->link[i].layer));
    DN_TRY(net_links_backward(net, links));
    if (update) dn_net_apply_update(net, links);
    return DN_OK;
}

static dn_status net_reset_state(dn_net *net) {
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].type->reset) net->layers[i].type->reset(&net->layers[i], &net->run);
    return DN_OK;
}

dn_status dn_net_reset_state(dn_net *net) { DN_EXCLUSIVE(net, net_reset_state(net)); }

/* What a training reports besides its losses: warnings, each one once, and why a loss is no longer finite. */
#include "jobs/trainer.h"
#include "net/check.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void dn_trainer_warn(dn_trainer *t, const char *format, ...) {
    char line[DN_TRAINER_LINE], *problem = t->warnings.known[t->warnings.n_known];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (t->warnings.n_known == DN_TRAINER_PROBLEMS) return;
    size_t n = 0, at = strlen(t->warnings.pending);
    for (const char *p = line; *p; p++)
        if (*p < '0' || *p > '9') problem[n++] = *p;
    problem[n] = 0;
    for (int i = 0; i < t->warnings.n_known; i++)
        if (!strcmp(t->warnings.known[i], problem)) return;
    t->warnings.n_known++;
    snprintf(t->warnings.pending + at, sizeof t->warnings.pending - at, "%s%s", at ? "\n" : "", line);
}

void dn_trainer_warn_of_idle_epochs(dn_trainer *t) {
    dn_net *net = t->net;
    uint64_t end = dn_schedule_end(&net->schedule), n = dn_net_rows_per_update(net);
    if (end == UINT64_MAX || t->options.epochs <= 0) return;
    double first = (double)(t->feed.n < n ? t->feed.n : n); /* rows at the first update of an epoch */
    double left = (double)(end - 1) * (double)n - (double)(net->state.seen - net->state.schedule_from) - first;
    double good = left < 0 ? 0 : floor(left / (double)t->feed.n) + 1; /* epochs that begin with a rate above 0 */
    long long max = (long long)net->schedule.max_batches;
    const char *policy = dn_policy_names[net->schedule.policy];
    if (good >= t->options.epochs) return;
    if (good == 0)
        dn_trainer_warn(t,
                        "policy=%s ended at max_batches=%lld, before this training: it does not change the weights; "
                        "give a larger max_batches",
                        policy, max);
    else if (good + 1 == t->options.epochs)
        dn_trainer_warn(
            t,
            "policy=%s ends at max_batches=%lld, which is epoch %.0f: epoch %d does not change the weights; "
            "give a larger max_batches",
            policy, max, good, t->options.epochs);
    else
        dn_trainer_warn(t,
                        "policy=%s ends at max_batches=%lld, which is epoch %.0f: epochs %.0f to %d do not change the "
                        "weights; give a larger max_batches",
                        policy, max, good, good + 1, t->options.epochs);
}

/* ---- weights of terms that have not reached their target ---- */

static void span_text(const dn_span *span, char *text, size_t size) {
    const char *unit = span->epochs ? "epoch" : "batch", *several = span->epochs ? "s" : "es";
    snprintf(text, size, "%.10g %s%s", span->count, unit, span->count == 1 ? "" : several);
}

/* What rises over `span`, and where it ends. */
static void warn_of_long_rise(dn_trainer *t, const char *what, const dn_span *span, const char *name, double last,
                              double target) {
    char rise[48], all[48];
    double batches = (double)(dn_trainer_last_batch(t) - t->first_batch);
    span_text(span, rise, sizeof rise);
    span_text(&(dn_span){span->epochs ? t->planned : batches, span->epochs}, all, sizeof all);
    dn_trainer_warn(t, "the %s of %s is longer than the %s of this training: %s ends at %.4g of %.4g", what, rise, all,
                    name, last, target);
}

void dn_trainer_warn_of_long_rises(dn_trainer *t) {
    const dn_net *net = t->net;
    uint64_t end = dn_trainer_last_batch(t);
    for (int i = 0; end && i < net->n_layers; i++) {
        const dn_term *term = &net->layers[i].term;
        const dn_kl_rule *rule = term->rule;
        if (!rule) continue;
        double beta = dn_net_weight(net, i, end), limit = dn_kl_rule_limit(rule, &net->state, end);
        if (!rule->cycles && beta < term->weight)
            warn_of_long_rise(t, "warm-up", &rule->warmup, "beta", beta, term->weight);
        if (limit < rule->limit) warn_of_long_rise(t, "rise", &rule->limit_rise, "capacity", limit, rule->limit);
    }
}

static void warn_of_low_number(dn_trainer *t, const char *name, double last, double target) {
    if (last < target)
        dn_trainer_warn(t,
                        "the last batch had a %s of %.4g, below its target of %.4g: the weights are those of another "
                        "objective than the one that evaluate reports",
                        name, last, target);
}

void dn_trainer_warn_of_low_weights(dn_trainer *t) {
    const dn_net *net = t->net;
    uint64_t batch = net->state.batches;
    for (int i = 0; batch > t->first_batch && i < net->n_layers; i++) {
        const dn_term *term = &net->layers[i].term;
        if (!term->rule) continue;
        warn_of_low_number(t, "beta", dn_net_weight(net, i, batch), term->weight);
        warn_of_low_number(t, "capacity", dn_kl_rule_limit(term->rule, &net->state, batch), term->rule->limit);
    }
}

/* ---- data ---- */

void dn_trainer_column_name(const dn_trainer *t, int of_truth, size_t column, char *text, size_t size) {
    const char *name = of_truth ? NULL : t->options.column_names;
    for (size_t i = 0; name && i < column; i++) name += strlen(name) + 1;
    if (name && *name)
        snprintf(text, size, "column '%.60s'", name);
    else
        snprintf(text, size, of_truth ? "column %zu of the truth" : "column %zu", column + 1);
}

int dn_trainer_far_column(const dn_trainer *t, size_t rows, double limit, double *most, char *text, size_t size) {
    const dn_rows *all = &t->feed.all;
    size_t column = 0;
    if (rows > all->n) rows = all->n;
    *most = dn_reach(all->x, rows, (size_t)t->net->inputs, &column);
    int of_truth = *most <= limit && all->truth;
    if (of_truth) *most = dn_reach(all->truth, rows, (size_t)t->net->truths, &column);
    dn_trainer_column_name(t, of_truth, column, text, size);
    return *most > limit ? 1 + of_truth : 0;
}

size_t dn_trainer_far_rows(const dn_trainer *t, int far, double limit, size_t *first) {
    const dn_rows *all = &t->feed.all;
    const float *values = far == 1 ? all->x : all->truth;
    size_t width = (size_t)(far == 1 ? t->net->inputs : t->net->truths), column, n = 0;
    for (size_t r = all->n; r-- > 0;)
        if (dn_reach(values + r * width, 1, width, &column) > limit) n++, *first = r;
    return n;
}

enum { SOME_ROWS = 4096 }; /* enough to see the range of a column, and fast to scan */

/* The first value of the truth in a column of this term, among `rows` rows, that is below or above the activation's
 * bounds; NULL: none. NaN is a missing value. */
static const float *trainer_unreachable(const dn_trainer *t, const dn_term *term, size_t rows, float low, float high) {
    const float slack = 0.01f, *values = t->feed.all.truth ? t->feed.all.truth : t->feed.all.x;
    for (size_t r = 0; r < rows; r++)
        for (int c = 0; c < term->columns; c++) {
            const float *value = values + r * (size_t)t->net->truths + (size_t)(term->first + c);
            if (*value < low - slack || *value > high + slack) return value;
        }
    return NULL;
}

void dn_trainer_warn_of_unreachable_data(dn_trainer *t) {
    const dn_net *net = t->net;
    const float *values = t->feed.all.truth ? t->feed.all.truth : t->feed.all.x, *value = NULL;
    int a = net->cfg->sections[net->output_layer + 1].activation - 1, i = net->output_layer + 1;
    float low, high;
    char column[128];
    if (a < 0 || !dn_activation_bounds((dn_activation)a, &low, &high)) return;
    for (; i < net->n_layers && !value; i++) {
        const dn_layer *l = &net->layers[i];
        if (!l->term.type || (i > net->output_layer + 1 && !l->term.type->head)) return;
        if (l->term.plain)
            value = trainer_unreachable(t, &l->term, t->feed.n < SOME_ROWS ? t->feed.n : SOME_ROWS, low, high);
    }
    if (!value) return;
    dn_trainer_column_name(t, t->feed.all.truth != NULL, (size_t)(value - values) % (size_t)net->truths, column,
                           sizeof column);
    dn_trainer_warn(
        t,
        "%s holds %.6g, which the network cannot give: the activation=%s of its output %s %g: scale the data "
        "(-scale, or data_scale= in [net]), or make it linear",
        column, *value, dn_activation_name((dn_activation)a), *value > high ? "ends at" : "begins at",
        *value > high ? high : low);
}

void dn_trainer_warn_of_far_data(dn_trainer *t) {
    const double far = 1000;
    char column[128];
    double most;
    if (dn_trainer_far_column(t, SOME_ROWS, far, &most, column, sizeof column) == 1)
        dn_trainer_warn(t,
                        "%s reaches %.6g: networks learn little from numbers that far from 1, and one such column "
                        "outweighs the others: scale the data (-scale, or data_scale= in [net])",
                        column, most);
}

/* Per row, with every latent loss at the weight that training aims for: a warm-up of beta moves it no more than
 * learning does. */
static double trainer_aim(const dn_trainer *t) {
    double sum = 0;
    for (int i = 0; i < t->net->n_layers; i++) {
        const dn_term *term = &t->net->layers[i].term;
        if (term->type) sum += term->share * (term->type->latent ? term->weight : 1) * t->sums[2 * i];
    }
    return sum / dn_feed_count(&t->feed, t->at);
}

dn_status dn_trainer_note_start(dn_trainer *t) {
    dn_report losses;
    DN_TRY(dn_plan_losses(t->net->plan, &losses));
    dn_plan_losses_keep(t->net->plan, t->sums);
    t->descent.start = trainer_aim(t);
    return DN_OK;
}

static void warn_of_divergence(dn_trainer *t, double loss, double before, const char *format, int epoch) {
    char when[48];
    snprintf(when, sizeof when, format, epoch);
    t->descent.warned = 1;
    dn_trainer_warn(t,
                    "the training diverges: the loss of epoch %d is %.6g, after %.6g in %s: a smaller learning rate "
                    "may help, or clip_norm= in [net]",
                    t->epoch + 1, loss, before, when);
}

/* Ten times the least loss. The loss of a density may be near 0 or below: then what has been gained since the first
 * epoch is the measure. Or ten times that of the first step, or of a loss of 1 for each value, in two epochs in a row
 * or in the last one: a rate so large that the first epoch was the worst. */
void dn_trainer_warn_of_divergence(dn_trainer *t) {
    double loss = trainer_aim(t), least = t->descent.least, start = t->descent.start;
    int last = t->finished || (t->options.epochs > 0 && t->epoch + 1 >= t->options.epochs);
    if (isnan(t->descent.first)) t->descent.first = loss;
    t->descent.above = loss - start > 9 * fmax(fabs(start), t->net->truths) ? t->descent.above + 1 : 0;
    if (!t->descent.warned && loss - least > 9 * fmax(fabs(least), t->descent.first - least))
        warn_of_divergence(t, loss, least, "epoch %d", t->descent.epoch);
    else if (!t->descent.warned && t->descent.above > !last)
        warn_of_divergence(t, loss, start, "the first batch", 0);
    if (!(loss >= least)) t->descent.least = loss, t->descent.epoch = t->epoch + 1;
}

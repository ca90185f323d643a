/* The verb evaluate: how good a network is, and what its latent space looks like. */
#include "cli/cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_UNITS = 10 };

/* Move a row of the table to an earlier place. */
static void evaluate_move(cli_job *j, size_t from, size_t to) {
    size_t x = (size_t)j->info.inputs, y = (size_t)j->info.truths;
    memmove(j->table.values + to * x, j->table.values + from * x, x * sizeof(float));
    if (j->truth) memmove(j->truth + to * y, j->truth + from * y, y * sizeof(float));
    if (j->table.weights) j->table.weights[to] = j->table.weights[from];
}

/* Keep of the table only the rows that a training with this seed holds out: of those with a weight above 0, or
 * sequences with one, which it consists of. */
static int evaluate_held_out(cli_job *j) {
    dn_table *t = &j->table;
    size_t count, rows = 0;
    uint32_t *held = (uint32_t *)cli_floats(&j->args, t->rows, 1); /* of the same size */
    if (!held) return DN_E_MEMORY;
    size_t steps = j->info.recurrent ? (size_t)j->info.time_steps : 1;
    for (size_t r = 0; t->weights && r + steps <= t->rows; r += steps) {
        int counts = 0;
        for (size_t k = 0; k < steps; k++) counts |= t->weights[r + k] > 0;
        for (size_t k = 0; k < steps && counts; k++) evaluate_move(j, r + k, rows++);
    }
    if (rows) t->rows = rows;
    int code = cli_check(&j->args, dn_net_holdout(j->net, t->rows, j->args.holdout, held, t->rows, &count));
    for (size_t i = 0; !code && i < count; i++) /* ascending, so that no row is overwritten before it is moved */
        evaluate_move(j, held[i], i);
    if (!code) t->rows = count;
    free(held);
    return code;
}

static int evaluate_rows(cli_job *j, const dn_rows *rows) {
    float *total = cli_floats(&j->args, rows->n, 1);
    if (!total) return DN_E_MEMORY;
    dn_status status = dn_net_evaluate_rows(j->net, rows, NULL, NULL, total);
    if (status == DN_OK) status = dn_csv_save(j->args.output, total, rows->n, 1);
    free(total);
    return cli_check(&j->args, status);
}

/* ---- JSON ---- */

static void json_list(FILE *to, const char *name, const double *values, size_t n) {
    fprintf(to, ", \"%s\": [", name);
    for (size_t k = 0; k < n; k++) {
        if (k) fputs(", ", to);
        cli_json_number(to, values[k]);
    }
    putc(']', to);
}

/* asked: for draws, by -k or -samples. */
static void print_json(FILE *to, const dn_evaluation *e, const dn_report *shown, int latent, int asked) {
    putc('{', to);
    cli_json_report(to, shown);
    fputs(", ", to);
    cli_json_report(to, &e->measures);
    if (asked && *e->reason) fputs(", \"no_elbo\": ", to), cli_json_text(to, e->reason);
    if (latent) {
        json_list(to, "latent_kl", e->kl, e->units);
        json_list(to, "latent_mean", e->mean, e->units);
        json_list(to, "latent_variance", e->variance, e->units);
        json_list(to, "latent_mean_variance", e->mean_variance, e->units);
        fputs(", \"baselines\": {", to);
        cli_json_report(to, &e->baselines);
        putc('}', to);
        if (*e->diagnosis) fprintf(to, ", \"diagnosis\": \"%s\"", e->diagnosis); /* of letters and numbers only */
        if (!*e->diagnosis) fputs(", \"diagnosis\": null", to);
    }
    fputs("}\n", to);
}

/* ---- text ---- */

typedef struct ranked {
    double kl;
    size_t unit;
} ranked;

static int by_kl(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->kl != y->kl ? (x->kl < y->kl) - (x->kl > y->kl) : (x->unit > y->unit) - (x->unit < y->unit);
}

/* Each latent dimension, those with the largest KL first. */
static int print_units(const cli_args *args, FILE *to, const dn_evaluation *e) {
    ranked *order = malloc(e->units * sizeof *order);
    if (!order) return cli_say(args, "out of memory"), DN_E_MEMORY;
    for (size_t k = 0; k < e->units; k++) order[k] = (ranked){e->kl[k], k};
    qsort(order, e->units, sizeof *order, by_kl);
    fprintf(to, "\n%9s  %10s  %10s  %10s  %12s\n", "dimension", "KL", "mean", "variance", "var. of mean");
    for (size_t i = 0; i < e->units && i < SHOWN_UNITS; i++) {
        size_t k = order[i].unit;
        fprintf(to, "%9zu  %10.4g  %10.4g  %10.4g  %12.4g\n", k, e->kl[k], e->mean[k], e->variance[k],
                e->mean_variance[k]);
    }
    if (e->units > SHOWN_UNITS) fprintf(to, "%9s  %zu more (-json has all)\n", "...", e->units - SHOWN_UNITS);
    fputs("KL to N(0, 1), nats. mean, variance: of the aggregated posterior; N(0, 1): 0, 1\n"
          "var. of mean: of the posterior mean over the rows; above 0.01, a unit is active\n"
          "dimensions count from 0; pictures call the first latent 1, encode calls it z1\n",
          to);
    fprintf(to, "active_units %g\n", dn_report_get(&e->measures, "active_units"));
    free(order);
    return 0;
}

static void print_value(FILE *to, const dn_report *report, const char *name, const char *meaning) {
    double value = dn_report_get(report, name);
    if (!isnan(value)) fprintf(to, "%-20s %-10.6g %s\n", name, value, meaning);
}

static void print_baselines(FILE *to, const dn_evaluation *e) {
    char pca[96];
    const dn_report *b = &e->baselines;
    snprintf(pca, sizeof pca, "of a PCA with %d component%s", e->components, e->components == 1 ? "" : "s");
    putc('\n', to);
    print_value(to, b, "network_mse", "squared error of the reconstructions, per value");
    print_value(to, b, "pca_mse", pca);
    print_value(to, b, "mean_mse", "of predicting each column's mean");
    print_value(to, b, "pca_log_likelihood", "of probabilistic PCA at its best, nats per row");
    print_value(to, b, "mean_reconstruction", "of predicting each column's mean, nats per row");
    print_value(to, b, "entropy", "of the data: no reconstruction is below it");
    if (e->components && isnan(dn_report_get(b, "pca_mse")))
        fprintf(to, "no PCA: rows and columns are both more than 1024, or very many\n");
}

static void print_measures(const cli_args *args, FILE *to, const dn_evaluation *e, int samples) {
    const dn_report *m = &e->measures;
    double log_likelihood = dn_report_get(m, "log_likelihood"), error;
    if (*e->reason) {
        if (args->k || args->samples) fprintf(to, "no ELBO: %s\n", e->reason);
        return;
    }
    fprintf(to,
            "  with z at its mean, which is no bound of the log-likelihood\n"
            "elbo %.7g  reconstruction %.7g  kl %.7g\n"
            "  nats per row, with beta 1 and %d draw%s of z: elbo = -(reconstruction + kl)\n",
            dn_report_get(m, "elbo"), dn_report_get(m, "reconstruction"), dn_report_get(m, "kl"), samples,
            samples == 1 ? "" : "s");
    if (args->k) {
        error = dn_report_get(m, "log_likelihood_standard_error");
        fprintf(to, "log_likelihood %.7g", log_likelihood);
        if (isfinite(error)) fprintf(to, "  log_likelihood_standard_error %.3g", error);
        fprintf(to, "\n  importance-sampled with %ld draw%s of z; the standard error is that of the rows\n", args->k,
                args->k == 1 ? "" : "s");
    }
    fprintf(to,
            "bits_per_dimension %.6g\n  -%s / (ln 2 * known values in a row); of a density, it depends on\n"
            "  the unit of the data and can be below 0\n",
            dn_report_get(m, "bits_per_dimension"), args->k ? "log_likelihood" : "elbo");
}

/* With -output, only what was asked for. */
static int print_text(const cli_args *args, FILE *to, const dn_evaluation *e, int samples) {
    int code = 0;
    if (!args->output || args->samples || args->k) print_measures(args, to, e, samples);
    if (args->output && !args->latent) return 0;
    if (e->units) code = print_units(args, to, e);
    if (!code && e->baselines.n) print_baselines(to, e);
    if (!code && (e->units || e->baselines.n) && *e->diagnosis) putc('\n', to);
    for (const char *word = e->diagnosis, *end; !code && *word; word = end) { /* a clause in a line */
        end = strstr(word, "; ");
        fprintf(to, "%.*s\n", end ? (int)(end - word) : (int)strlen(word), word);
        end = end ? end + 2 : "";
    }
    return code;
}

int cli_evaluate(const cli_args *args) {
    cli_job j;
    dn_evaluation e = {0};
    int code = cli_begin(&j, args), own_truth = !code && cli_own_truth(args, j.net);
    if (!code) code = cli_table(&j.args, j.net, args->data, 0, &j.table);
    if (!code && own_truth) code = cli_truth(&j.args, j.net, args->data, &j.table, &j.classes, &j.truth);
    if (!code) code = cli_rows_fit(&j.args, j.net, args->data, &j.table, j.truth);
    if (!code && args->holdout > 0) code = evaluate_held_out(&j);
    dn_rows rows = cli_rows(&j.table, j.truth);
    dn_evaluate_options options = cli_draws(&j);
    if (!code) code = cli_check(args, dn_net_evaluation(j.net, &rows, &options, &e));
    if (!code && args->output) code = evaluate_rows(&j, &rows);
    if (!code) {
        dn_report shown;
        dn_report_shown(&e.report, &shown);
        /* rows on standard output have it to themselves */
        FILE *to = args->output && !cli_is_file(args->output) ? stderr : stdout;
        if (j.table.weights && !args->quiet)
            cli_say(args, "means are weighted by column '%s'", cli_row_weight(args, j.net));
        if (args->json) print_json(to, &e, &shown, args->latent, args->k || args->samples);
        if (!args->json) code = cli_print(args, to, &shown);
        if (!code && !args->json) code = print_text(args, to, &e, options.samples);
        if (!code && to == stdout) code = cli_flush(args);
    }
    dn_evaluation_free(&e);
    return cli_end(&j, code);
}

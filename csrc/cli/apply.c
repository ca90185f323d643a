/* Verbs that use a network: sample, encode, reconstruct, predict, evaluate. */
#include "cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

dn_status cli_network(const cli_args *args, int need_weights, dn_net **net) {
    char device[32] = "auto";
    if (args->gpu >= 0) snprintf(device, sizeof device, "cuda:%ld", args->gpu);
    if (args->cpu) strcpy(device, "cpu");
    dn_net_options options = {.seed = args->seed, .batch = (int)args->batch, .threads = (int)args->threads,
                              .device = device, .precision = args->precision};
    dn_status status = dn_net_create(net, args->cfg, &options);
    if (status != DN_OK) return status;
    for (int i = 0; !args->quiet && i < dn_net_warning_count(*net); i++)
        fprintf(stderr, "darknet: warning: %s\n", dn_net_warning(*net, i));
    if (!args->quiet && strcmp(dn_net_device(*net), "cpu")) fprintf(stderr, "darknet: computing on %s\n", dn_net_device(*net));
    if (args->weights)
        status = dn_net_load(*net, args->weights, 1);
    else if (need_weights)
        fputs("darknet: warning: no -weights given, so the parameters are random\n", stderr);
    if (status != DN_OK) {
        dn_net_destroy(*net);
        *net = NULL;
    }
    return status;
}

dn_status cli_table(const cli_args *args, const dn_net *net, const char *path, int latents, dn_table *table) {
    dn_net_info info;
    dn_net_info_get(net, &info);
    dn_csv_options options = {/* latent vectors are not scaled and have neither labels nor targets */
                              .label_column = args->label_column ? args->label_column
                                              : latents          ? NULL
                                                                 : dn_net_label_column(net),
                              .label_optional = !args->label_column,
                              .targets = latents ? NULL : args->target,
                              .scale = args->scale > 0 ? args->scale
                                       : latents       ? 1
                                                       : info.data_scale,
                              .max_rows = args->rows,
                              .columns = latents ? info.latent_size : info.inputs};
    return dn_csv_load(table, path, &options);
}

int cli_supervised(const cli_args *args, const dn_net *net) {
    dn_net_info info;
    dn_net_info_get(net, &info);
    return info.supervised || args->target;
}

/* The classes beside the weights; none when there is no such file. */
static dn_status apply_classes(const cli_args *args, dn_classes *classes) {
    char path[4096];
    *classes = (dn_classes){0};
    if (!args->weights || dn_classes_path(args->weights, path, sizeof path) >= sizeof path || access(path, F_OK))
        return DN_OK;
    return dn_classes_load(classes, path);
}

dn_status cli_truth(const cli_args *args, const dn_net *net, const char *path, const dn_table *table,
                    dn_classes *classes, float **truth) {
    dn_net_info info;
    dn_net_info_get(net, &info);
    dn_status status = classes->n ? DN_OK : apply_classes(args, classes);
    if (status != DN_OK) return status;
    size_t n = table->rows * (size_t)info.truths;
    *truth = calloc(n ? n : 1, sizeof **truth);
    if (!*truth) return cli_no_memory(table->rows);
    return dn_net_truth(net, table, path, classes, *truth);
}

int cli_print(const cli_args *args, const cli_value *values, int n) {
    for (int i = 0; i < n; i++)
        printf(args->json ? "%s\"%s\": %.9g" : "%s%s %.7g",
               i            ? args->json ? ", " : "  "
               : args->json ? "{"
                            : "",
               values[i].name, values[i].value);
    puts(args->json ? "}" : "");
    return fflush(stdout) ? DN_E_IO : DN_OK;
}

typedef dn_status (*apply_fn)(dn_net *net, const dn_table *table, float *out);

static dn_status apply_encode(dn_net *net, const dn_table *t, float *out) {
    return dn_net_encode(net, t->values, t->rows, out, NULL);
}
static dn_status apply_predict(dn_net *net, const dn_table *t, float *out) {
    return dn_net_predict(net, t->values, t->rows, out);
}
static dn_status apply_reconstruct(dn_net *net, const dn_table *t, float *out) {
    return dn_net_reconstruct(net, t->values, t->rows, out);
}
static dn_status apply_decode(dn_net *net, const dn_table *t, float *out) {
    return dn_net_decode(net, t->values, t->rows, out);
}

static dn_status apply_save(const cli_args *args, const dn_net *net, const float *out, size_t rows, int width) {
    dn_classes classes = {0};
    if (!args->labels) return dn_csv_save(args->output, out, rows, (size_t)width);
    dn_status status = apply_classes(args, &classes);
    int32_t *picked = calloc(rows, sizeof *picked);
    if (!picked) status = cli_no_memory(rows);
    if (status == DN_OK) status = dn_net_pick(net, out, rows, picked);
    if (status == DN_OK) status = dn_csv_save_picked(args->output, &classes, picked, out, rows, (size_t)width);
    free(picked);
    dn_classes_free(&classes);
    return status;
}

/* Rows in, rows out; `width` of the output. */
static int apply(const cli_args *args, dn_net *net, dn_table *table, int width, apply_fn fn) {
    float *out = malloc(table->rows * (size_t)width * sizeof *out);
    dn_status status = out ? fn(net, table, out) : cli_no_memory(table->rows);
    if (status == DN_OK) status = apply_save(args, net, out, table->rows, width);
    if (status != DN_OK) cli_fail(status);
    free(out);
    dn_table_free(table);
    dn_net_destroy(net);
    return (int)status;
}

static int apply_rows(const cli_args *args, int latent_out, apply_fn fn) {
    dn_net *net;
    dn_table table;
    dn_net_info info;
    if (!args->cfg || !args->data) return cli_usage("a CFG and a CSV are wanted");
    dn_status status = cli_network(args, 1, &net);
    if (status != DN_OK) return cli_fail(status);
    dn_net_info_get(net, &info);
    if (latent_out && !info.latent_size) {
        dn_net_destroy(net);
        return cli_usage("%s has no latent space to encode into", args->cfg);
    }
    if ((status = cli_table(args, net, args->data, 0, &table)) != DN_OK) {
        dn_net_destroy(net);
        return cli_fail(status);
    }
    return apply(args, net, &table, latent_out ? info.latent_size : info.outputs, fn);
}

int cli_encode(const cli_args *args) { return apply_rows(args, 1, apply_encode); }
int cli_reconstruct(const cli_args *args) { return apply_rows(args, 0, apply_reconstruct); }
int cli_predict(const cli_args *args) { return apply_rows(args, 0, apply_predict); }

int cli_sample(const cli_args *args) {
    dn_net *net;
    dn_table table = {0};
    dn_net_info info;
    if (!args->cfg) return cli_usage("sample: a CFG is wanted");
    if (!args->data && args->count <= 0) return cli_usage("sample: give a CSV of latent vectors, or -n COUNT");
    dn_status status = cli_network(args, 1, &net);
    if (status != DN_OK) return cli_fail(status);
    dn_net_info_get(net, &info);
    if (!info.latent_size || (!args->data && !info.variational)) {
        dn_net_destroy(net);
        return info.latent_size ? cli_usage("%s has no [sampling] layer, so no prior: give a CSV of latent vectors", args->cfg)
                                : cli_usage("%s has no latent space to sample from", args->cfg);
    }
    if (args->data) {
        status = cli_table(args, net, args->data, 1, &table);
    } else { /* as a table of its own, so that both ways end alike */
        table.rows = (size_t)args->count, table.columns = (size_t)info.latent_size;
        table.values = malloc(table.rows * table.columns * sizeof *table.values);
        if (table.values)
            dn_prior_sample(args->seed, table.rows, info.latent_size, table.values);
        else
            status = cli_no_memory(table.rows);
    }
    if (status != DN_OK) {
        dn_net_destroy(net);
        return cli_fail(status);
    }
    return apply(args, net, &table, info.outputs, apply_decode);
}

static dn_status evaluate_rows(const cli_args *args, dn_net *net, const dn_table *table, const float *truth) {
    float *total = malloc(table->rows * sizeof *total);
    if (!total) return cli_no_memory(table->rows);
    dn_status status = dn_net_evaluate_rows(net, table->values, truth, table->rows, NULL, NULL, total);
    if (status == DN_OK) status = dn_csv_save(args->output, total, table->rows, 1);
    free(total);
    return status;
}

int cli_evaluate(const cli_args *args) {
    dn_net *net;
    dn_table table = {0};
    dn_classes classes = {0};
    dn_losses losses;
    cli_value values[8];
    float *truth = NULL;
    int n = 0;
    if (!args->cfg || !args->data) return cli_usage("evaluate: a CFG and a CSV are wanted");
    dn_status status = cli_network(args, 1, &net);
    if (status != DN_OK) return cli_fail(status);
    int supervised = cli_supervised(args, net);
    status = cli_table(args, net, args->data, 0, &table);
    if (status == DN_OK && supervised) status = cli_truth(args, net, args->data, &table, &classes, &truth);
    if (status == DN_OK) status = dn_net_evaluate(net, table.values, truth, table.rows, &losses);
    if (status == DN_OK && args->output) status = evaluate_rows(args, net, &table, truth);
    if (status == DN_OK) {
        while (n < 8 && dn_losses_item(&losses, supervised, n, &values[n].name, &values[n].value)) n++;
        status = cli_print(args, values, n);
    } else {
        cli_fail(status);
    }
    free(truth);
    dn_classes_free(&classes);
    dn_table_free(&table);
    dn_net_destroy(net);
    return (int)status;
}

int cli_inspect(const cli_args *args) {
    dn_net *net;
    if (!args->cfg) return cli_usage("inspect: a CFG is wanted");
    dn_status status = cli_network(args, 0, &net);
    if (status != DN_OK) return cli_fail(status);
    size_t (*write)(const dn_net *, char *, size_t) = args->json ? dn_net_json : dn_net_table;
    size_t size = write(net, NULL, 0) + 1;
    char *text = malloc(size);
    if (text) {
        write(net, text, size);
        fputs(text, stdout);
    }
    free(text);
    dn_net_destroy(net);
    return text ? 0 : DN_E_MEMORY;
}

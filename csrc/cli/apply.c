/* Verbs that use a network: sample, encode, reconstruct, predict, evaluate. */
#include "cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dn_status cli_network(const cli_args *args, int need_weights, dn_net **net) {
    char device[32] = "cpu";
    if (args->gpu >= 0 && !args->cpu) snprintf(device, sizeof device, "cuda:%ld", args->gpu);
    dn_net_options options = {.seed = args->seed, .batch = (int)args->batch, .threads = (int)args->threads,
                              .device = device};
    dn_status status = dn_net_create(net, args->cfg, &options);
    if (status != DN_OK) return status;
    for (int i = 0; !args->quiet && i < dn_net_warning_count(*net); i++)
        fprintf(stderr, "darknet: warning: %s\n", dn_net_warning(*net, i));
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

dn_status cli_table(const cli_args *args, const dn_net *net, int columns, dn_table *table) {
    dn_net_info info;
    dn_net_info_get(net, &info);
    int latents = columns != info.inputs; /* latent vectors are not scaled and have no labels */
    dn_csv_options options = {
        .label_column = args->label_column ? args->label_column : latents ? NULL : dn_net_label_column(net),
        .label_optional = !args->label_column, .scale = args->scale > 0 ? args->scale : latents ? 1 : info.data_scale, .max_rows = args->rows,
        .columns = columns};
    return dn_csv_load(table, args->data, &options);
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

/* Rows in, rows out; `columns` of the input, `width` of the output. */
static int apply(const cli_args *args, dn_net *net, dn_table *table, int width, apply_fn fn) {
    float *out = malloc(table->rows * (size_t)width * sizeof *out);
    dn_status status = DN_E_MEMORY;
    if (!out)
        fprintf(stderr, "darknet: out of memory for %zu rows\n", table->rows);
    else if ((status = fn(net, table, out)) != DN_OK ||
             (status = dn_csv_save(args->output, out, table->rows, (size_t)width)) != DN_OK)
        cli_fail(status);
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
    if ((status = cli_table(args, net, info.inputs, &table)) != DN_OK) {
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
        status = cli_table(args, net, info.latent_size, &table);
    } else { /* as a table of its own, so that both ways end alike */
        table.rows = (size_t)args->count, table.columns = (size_t)info.latent_size;
        table.values = malloc(table.rows * table.columns * sizeof *table.values);
        if (table.values) dn_prior_sample(args->seed, table.rows, info.latent_size, table.values);
        else {
            fprintf(stderr, "darknet: out of memory for %ld rows\n", args->count);
            dn_net_destroy(net);
            return DN_E_MEMORY;
        }
    }
    if (status != DN_OK) {
        dn_net_destroy(net);
        return cli_fail(status);
    }
    return apply(args, net, &table, info.outputs, apply_decode);
}

int cli_evaluate(const cli_args *args) {
    dn_net *net;
    dn_table table;
    dn_net_info info;
    dn_losses losses;
    if (!args->cfg || !args->data) return cli_usage("evaluate: a CFG and a CSV are wanted");
    dn_status status = cli_network(args, 1, &net);
    if (status != DN_OK) return cli_fail(status);
    dn_net_info_get(net, &info);
    status = cli_table(args, net, info.inputs, &table);
    if (status == DN_OK) {
        status = dn_net_evaluate(net, table.values, NULL, table.rows, &losses);
        if (status == DN_OK)
            printf(args->json ? "{\"image_loss\": %.9g, \"latent_loss\": %.9g, \"total_loss\": %.9g}\n"
                              : "image_loss %.7g  latent_loss %.7g  total_loss %.7g\n",
                   losses.image_loss, losses.latent_loss, losses.total_loss);
        dn_table_free(&table);
    }
    if (status != DN_OK) cli_fail(status);
    dn_net_destroy(net);
    return (int)status;
}

int cli_inspect(const cli_args *args) {
    dn_net *net;
    if (!args->cfg) return cli_usage("inspect: a CFG is wanted");
    dn_status status = cli_network(args, 0, &net);
    if (status != DN_OK) return cli_fail(status);
    size_t size = dn_net_table(net, NULL, 0) + 1;
    char *text = malloc(size);
    if (text) {
        dn_net_table(net, text, size);
        fputs(text, stdout);
    }
    free(text);
    dn_net_destroy(net);
    return text ? 0 : DN_E_MEMORY;
}

/* What the verbs share: networks, tables, truths. */
#include "cli/cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int network_missing(const cli_args *args) {
    char text[CLI_PATH];
    const char *like = cli_bundled_like(args->cfg, text);
    if (like)
        return cli_usage(args, "there is no file %s; did you mean %s, which came with the program?", args->cfg, like);
    cli_say(args, "%s", dn_error());
    return DN_E_IO;
}

static dn_net_options network_options(const cli_args *args, char device[32]) {
    strcpy(device, "auto");
    if (args->gpu >= 0) snprintf(device, 32, "cuda:%ld", args->gpu);
    if (args->cpu) strcpy(device, "cpu");
    return (dn_net_options){.seed = args->seed,
                            .batch = (int)args->batch,
                            .threads = (int)args->threads,
                            .device = device,
                            .precision = args->precision,
                            .set = args->set,
                            .clear = args->clear};
}

/* Say what there is to say of a network that was just built, and load its weights. */
static int network_ready(cli_args *args, dn_net **net) {
    for (int i = 0; i < dn_net_warning_count(*net); i++) cli_warn(args, "%s", dn_net_warning(*net, i));
    if (!args->quiet && strcmp(dn_net_device(*net), "cpu")) cli_say(args, "computing on %s", dn_net_device(*net));
    dn_net_info info;
    dn_net_info_get(*net, &info);
    int code = 0;
    if (args->weights)
        code = cli_check(args, dn_net_load(*net, args->weights, args->clear));
    else if (args->verb->bit & (CLI_SAMPLE | CLI_ROWS | CLI_CONVERT) && !args->random && info.n_params &&
             !dn_is_model_file(args->cfg))
        code = cli_usage(args, "%s needs the trained parameters: -weights W, or a model file in place of CFG%s",
                         args->verb->name, args->verb->bit == CLI_CONVERT ? "" : " (or -random, to run without)");
    if (!code) return 0;
    dn_net_destroy(*net);
    *net = NULL;
    return code;
}

/* By its name, once it was no cfg. */
static int network_is_table(const char *path) {
    return cli_ends_in(path, ".csv") || cli_ends_in(path, ".tsv") || cli_ends_in(path, ".csv.gz") ||
           cli_ends_in(path, ".npy");
}

int cli_network(cli_args *args, dn_net **net) {
    char device[32];
    dn_net_options options = network_options(args, device);
    const char *path = cli_find(args->cfg, args->bundled);
    dn_status status = dn_net_create(net, path, &options);
    if (status == DN_E_IO && path == args->cfg && strcmp(path, "-") && access(path, F_OK)) return network_missing(args);
    if (status == DN_E_FORMAT && network_is_table(path))
        return cli_usage(args, "%s is a table, no network: darknet train %s makes a model of it, which stands first",
                         path, path);
    if (status != DN_OK) return cli_check(args, status);
    if (path != args->cfg && !args->quiet) cli_say(args, "using %s", path);
    args->cfg = path;
    return network_ready(args, net);
}

int cli_network_text(cli_args *args, const char *text, dn_net **net) {
    char device[32];
    dn_net_options options = network_options(args, device);
    char name[CLI_PATH + 16]; /* its lines are not those of the table */
    snprintf(name, sizeof name, "the cfg for %s", strcmp(args->cfg, "-") ? args->cfg : "standard input");
    int code = cli_check(args, dn_net_create_text(net, text, name, &options));
    return code ? code : network_ready(args, net);
}

int cli_table_columns(const cli_args *args, const dn_net *net, const char *path, const dn_table *table) {
    dn_model_notes notes;
    int code = cli_check(args, dn_net_notes(net, &notes));
    if (code || !table->header || (size_t)notes.n_columns != table->columns) return code;
    const char *is = table->header, *was = notes.columns;
    for (size_t i = 0; i < table->columns; i++, is += strlen(is) + 1, was += strlen(was) + 1) {
        if (!strcmp(is, was)) continue;
        cli_warn(args, "%s: column %zu is '%s', the model was trained with '%s' there", path, i, is, was);
        break;
    }
    return 0;
}

const char *cli_row_weight(const cli_args *args, const dn_net *net) {
    const dn_schema *schema = dn_net_schema(net);
    dn_column_info c;
    if (args->row_weight) return args->row_weight;
    for (int i = 0; schema && dn_schema_column(schema, i, &c); i++)
        if (c.kind == DN_COLUMN_ROW_WEIGHT) return c.name;
    return dn_net_row_weight(net);
}

int cli_note_row_weight(const cli_args *args, dn_net *net) {
    dn_model_notes notes;
    if (!args->row_weight) return 0;
    int code = cli_check(args, dn_net_notes(net, &notes));
    notes.row_weight = args->row_weight;
    return code ? code : cli_check(args, dn_net_set_notes(net, &notes));
}

dn_csv_options cli_table_options(const cli_args *args, const dn_net *net, int latents) {
    dn_net_info info;
    dn_net_info_get(net, &info);
    /* latent vectors are not scaled and have neither labels nor targets */
    return (dn_csv_options){.label_column = args->label_column ? args->label_column
                                            : latents          ? NULL
                                                               : dn_net_label_column(net),
                            .label_optional = !args->label_column,
                            .targets = latents ? NULL : args->target,
                            .scale = args->scale > 0 ? args->scale
                                     : latents       ? 1
                                                     : info.data_scale,
                            .max_rows = args->rows,
                            .header = args->header      ? 1
                                      : args->no_header ? -1
                                                        : 0,
                            .columns = latents ? info.latent_size : info.inputs,
                            .missing = info.missing,
                            .row_weight = latents ? NULL : cli_row_weight(args, net),
                            .weight_optional = !args->row_weight};
}

int cli_table(const cli_args *args, const dn_net *net, const char *path, int latents, dn_table *table) {
    char bundled[CLI_PATH];
    if (!latents && dn_net_schema(net)) return cli_coded(args, net, path, table, NULL);
    const dn_csv_options options = cli_table_options(args, net, latents);
    int code = cli_check(args, dn_csv_load(table, cli_found(args, path, bundled), &options));
    if (!code && !latents) code = cli_table_columns(args, net, path, table);
    if (!code) cli_warn_lines(args, table->warnings);
    return code;
}

dn_rows cli_rows(const dn_table *table, const float *truth) {
    return (dn_rows){.n = table->rows, .x = table->values, .truth = truth, .weights = table->weights};
}

int cli_rows_fit(const cli_args *args, const dn_net *net, const char *path, const dn_table *table, const float *truth) {
    dn_rows rows = cli_rows(table, truth);
    if (!(args->verb->bit & CLI_WEIGHS)) rows.weights = NULL;
    return cli_check(args, dn_net_check_rows(net, &rows, strcmp(path, "-") ? path : "standard input"));
}

float *cli_floats(const cli_args *args, size_t rows, size_t width) {
    size_t bytes;
    /* Systems that overcommit memory kill the program once it is used. */
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t most = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : PTRDIFF_MAX;
    int fits = !__builtin_mul_overflow(rows, width, &bytes) && !__builtin_mul_overflow(bytes, sizeof(float), &bytes);
    float *values = fits && bytes <= most ? malloc(bytes ? bytes : 1) : NULL;
    if (!values) cli_say(args, "out of memory for %zu rows", rows);
    return values;
}

int cli_own_truth(const cli_args *args, const dn_net *net) {
    dn_net_info info;
    dn_net_info_get(net, &info);
    return info.supervised || args->target;
}

int cli_classes(const cli_args *args, const dn_net *net, dn_classes *classes) {
    char path[CLI_PATH];
    *classes = (dn_classes){0};
    int beside = args->weights && !dn_is_model_file(args->weights) &&
                 dn_classes_path(args->weights, path, sizeof path) < sizeof path && !access(path, F_OK);
    return cli_check(args, beside ? dn_classes_load(classes, path) : dn_net_classes(net, classes));
}

int cli_truth(const cli_args *args, const dn_net *net, const char *path, const dn_table *table, dn_classes *classes,
              float **truth) {
    dn_net_info info;
    dn_net_info_get(net, &info);
    int code = classes->n ? 0 : cli_classes(args, net, classes);
    if (code) return code;
    *truth = cli_floats(args, table->rows, (size_t)info.truths);
    return *truth ? cli_check(args, dn_net_truth(net, table, path, classes, *truth)) : DN_E_MEMORY;
}

int cli_begin(cli_job *j, const cli_args *args) {
    *j = (cli_job){.args = *args};
    int code = args->output ? cli_writable(args, "output", args->output) : 0;
    if (!code) code = cli_network(&j->args, &j->net);
    if (!code) dn_net_info_get(j->net, &j->info);
    return code;
}

int cli_end(cli_job *j, int code) {
    free(j->truth);
    dn_classes_free(&j->classes);
    dn_table_free(&j->table);
    dn_frame_free(&j->frame);
    dn_net_destroy(j->net);
    return code;
}

dn_evaluate_options cli_draws(const cli_job *j) {
    const cli_args *args = &j->args;
    int typed = j->net && dn_net_schema(j->net), usual = typed ? 4 : 1;
    return (dn_evaluate_options){.samples = args->samples ? (int)args->samples : usual,
                                 .k = (int)args->k,
                                 .seed = args->seed,
                                 .latent = args->latent,
                                 .same_draws = typed};
}

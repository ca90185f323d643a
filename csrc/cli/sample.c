/* Verbs that decode latents: sample, interpolate, traverse. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

typedef struct sample_job {
    cli_args args;
    dn_net *net;
    dn_net_info info;
    dn_table table;   /* of latents, or of rows */
    float *z, *out;   /* latents drawn; decoded rows */
    dn_mixture prior; /* for -prior gmm */
} sample_job;

static int sample_begin(sample_job *j, const cli_args *args) {
    *j = (sample_job){.args = *args};
    int code = args->output ? cli_writable(args, "output", args->output) : 0;
    if (!code) code = cli_network(&j->args, &j->net);
    if (!code) dn_net_info_get(j->net, &j->info);
    if (!code && !j->info.latent_size)
        code = cli_usage(args, "%s has no latent space: no [sampling] layer, and no narrow layer of an autoencoder",
                         args->cfg);
    return code;
}

static int sample_end(sample_job *j, int code) {
    free(j->z), free(j->out);
    dn_mixture_free(&j->prior);
    dn_table_free(&j->table);
    dn_net_destroy(j->net);
    return code;
}

static int sample_out(sample_job *j, size_t rows) {
    j->out = cli_floats(&j->args, rows, (size_t)j->info.data_columns);
    return j->out ? 0 : DN_E_MEMORY;
}

static int sample_save(sample_job *j, size_t rows) { return cli_save_rows(&j->args, j->net, j->out, rows); }

/* ---- sample ---- */

/* Options that need others. */
static int sample_check(const cli_args *args) {
    int gmm = args->prior && !strcmp(args->prior, "gmm");
    if (gmm && !args->count) return cli_usage(args, "sample: -prior gmm draws latents: say how many, -n COUNT");
    if (gmm && !args->data)
        return cli_usage(args,
                         "sample: -prior gmm is fitted to rows: give a table like the one trained on, -data F.csv");
    if (args->components && !gmm) return cli_usage(args, "sample: -components is about -prior gmm");
    if (args->data && args->count && !gmm) return cli_usage(args, "sample: a CSV of latent vectors or -n, not both");
    if (args->draw && args->mean) return cli_usage(args, "-draw and -mean: give one of the two");
    if (args->where && !args->count)
        return cli_usage(args, "sample: -where is about rows to draw: say how many, -n COUNT");
    if (args->gaps && !args->count)
        return cli_usage(args, "sample: -gaps is about rows of a table to draw: say how many, -n COUNT");
    if (!args->data && args->rows)
        return cli_usage(args, "sample: -N takes the first rows of a CSV; -n %ld draws as many", args->rows);
    if (!args->data && !args->count) return cli_usage(args, "sample: give a CSV of latent vectors, or -n COUNT");
    if (args->data && !gmm && (args->temperature != 1 || args->prior))
        return cli_usage(args,
                         "sample: -%s is about latents that are drawn, with -n; those of a CSV are decoded as they are",
                         args->prior ? "prior" : "temperature");
    return 0;
}

/* The mixture of -prior gmm, fitted to the latents of the table's rows. */
static int sample_fit(sample_job *j) {
    const cli_args *args = &j->args;
    int components = args->components ? (int)args->components : 10;
    int code = cli_table(args, j->net, args->data, 0, &j->table);
    if (code) return code;
    if ((size_t)components > j->table.rows)
        return cli_usage(args, "-components %d is more than the %zu rows of %s", components, j->table.rows, args->data);
    dn_rows rows = cli_rows(&j->table, NULL);
    return cli_check(args, dn_net_fit_mixture(j->net, &rows, components, args->seed, &j->prior));
}

static int sample_draw(sample_job *j, dn_rows *latents) {
    const cli_args *args = &j->args;
    size_t rows = (size_t)args->count;
    int code = 0, gmm = args->prior && !strcmp(args->prior, "gmm"), normal = args->prior && !gmm;
    if (!gmm && !j->info.variational)
        return cli_usage(args, "%s has no [sampling] layer, so no prior: give a CSV of latent vectors, or -prior gmm",
                         args->cfg);
    if (!(j->z = cli_floats(args, rows, (size_t)j->info.latent_size))) return DN_E_MEMORY;
    if (gmm) code = sample_fit(j);
    if (code) return code;
    *latents = (dn_rows){.n = rows, .x = j->z};
    dn_status status = gmm      ? dn_mixture_draw(&j->prior, args->seed, rows, args->temperature, j->z)
                       : normal ? dn_prior_draw(args->seed, rows, j->info.latent_size, args->temperature, j->z)
                                : dn_net_draw_latents(j->net, args->seed, rows, args->temperature, j->z);
    return cli_check(args, status);
}

/* Rows of a table. */
static int sample_rows(sample_job *j) {
    const cli_args *args = &j->args;
    int gmm = args->prior && !strcmp(args->prior, "gmm");
    size_t tried = 0, rows = (size_t)args->count;
    int code = gmm ? sample_fit(j) : 0;
    dn_draw_options options = {.seed = args->seed,
                               .temperature = args->temperature,
                               .normal = args->prior && !gmm,
                               .mean = args->mean,
                               .prior = gmm ? &j->prior : NULL,
                               .where = args->where,
                               .gaps = args->gaps};
    if (!code) code = cli_check(args, dn_net_draw_rows(j->net, rows, &options, j->out, &tried));
    if (!code && tried > rows && !args->quiet)
        cli_say(args, "%zu rows were drawn to find %zu with %s", tried, rows, args->where);
    return code ? code : sample_save(j, rows);
}

int cli_sample(const cli_args *args) {
    sample_job j;
    dn_rows latents = {0};
    int code = sample_check(args);
    if (code) return code;
    code = sample_begin(&j, args);
    int typed = !code && dn_net_schema(j.net);
    if (!code && (args->where || args->gaps) && !typed)
        code = cli_usage(args, "-%s is about models of tables: %s does not know any columns",
                         args->where ? "where" : "gaps", args->cfg);
    if (!code && args->count) code = sample_out(&j, (size_t)args->count); /* fail before the time that drawing takes */
    if (!code && args->count && typed) return sample_end(&j, sample_rows(&j));
    if (!code && args->count)
        code = sample_draw(&j, &latents);
    else if (!code && !(code = cli_table(&j.args, j.net, args->data, 1, &j.table))) {
        latents = cli_rows(&j.table, NULL);
        code = sample_out(&j, latents.n);
    }
    if (!code)
        code = cli_check(args, args->draw || (typed && !args->mean)
                                   ? dn_net_decode_draw(j.net, &latents, args->seed, j.out)
                                   : dn_net_decode(j.net, &latents, j.out));
    if (!code) code = sample_save(&j, latents.n);
    return sample_end(&j, code);
}

/* ---- walks ---- */

/* The table of rows, and that it has row `row`. */
static int walk_has(const sample_job *j, const char *option, long row) {
    if ((size_t)row < j->table.rows) return 0;
    return cli_usage(&j->args, "-%s %ld: %s has %zu rows, from 0 to %zu", option, row, j->args.data, j->table.rows,
                     j->table.rows - 1);
}

static int walk_steps(const cli_args *args) {
    return args->steps == 1 ? cli_usage(args, "-steps 1: a walk needs at least 2, where it begins and where it ends")
                            : 0;
}

/* "a,b" */
static int walk_pair(const cli_args *args, long pair[2]) {
    char *end = NULL;
    const char *text = args->pair ? args->pair : "0,1";
    pair[0] = strtol(text, &end, 10), pair[1] = -1;
    if (end != text && *end == ',' && end[1] >= '0' && end[1] <= '9') pair[1] = strtol(end + 1, &end, 10);
    if (pair[0] >= 0 && pair[1] >= 0 && !*end && text[0] >= '0' && text[0] <= '9') return 0;
    return cli_usage(args, "-rows '%s' must be two row numbers, counted from 0: -rows 0,1", text);
}

int cli_interpolate(const cli_args *args) {
    sample_job j;
    long pair[2];
    int code = walk_steps(args), steps = (int)args->steps;
    if (!code) code = walk_pair(args, pair);
    if (code) return code;
    code = sample_begin(&j, args);
    if (!code) code = cli_table(&j.args, j.net, args->data, 0, &j.table);
    for (int i = 0; i < 2 && !code; i++) code = walk_has(&j, "rows", pair[i]);
    size_t width = (size_t)j.info.inputs;
    if (!code) code = sample_out(&j, (size_t)steps);
    if (!code && !(j.z = cli_floats(args, 2, width))) code = DN_E_MEMORY;
    if (!code) {
        for (int i = 0; i < 2; i++)
            memcpy(j.z + (size_t)i * width, j.table.values + (size_t)pair[i] * width, width * sizeof *j.z);
        dn_rows ends = {.n = 2, .x = j.z};
        code = cli_check(args, dn_net_interpolate(j.net, &ends, steps, args->spherical, j.out));
    }
    if (!code) code = sample_save(&j, (size_t)steps);
    return sample_end(&j, code);
}

int cli_traverse(const cli_args *args) {
    sample_job j;
    int code = walk_steps(args), steps = (int)args->steps;
    if (!code && args->dim < 0) code = cli_usage(args, "traverse: which latent dimension? -dim 0 is the first one");
    if (!code && !args->data && args->row >= 0)
        code = cli_usage(args, "traverse: -row %ld is one of a table: give its ROWS.csv", args->row);
    if (code) return code;
    code = sample_begin(&j, args);
    if (!code && args->dim >= j.info.latent_size)
        code = cli_usage(args, "-dim %ld: the network has %d latent dimensions, from 0 to %d", args->dim,
                         j.info.latent_size, j.info.latent_size - 1);
    if (!code && args->data) code = cli_table(&j.args, j.net, args->data, 0, &j.table);
    long row = args->row < 0 ? 0 : args->row;
    if (!code && args->data) code = walk_has(&j, "row", row);
    const float *centre = args->data ? j.table.values + (size_t)row * (size_t)j.info.inputs : NULL;
    if (!code) code = sample_out(&j, (size_t)steps);
    if (!code) code = cli_check(args, dn_net_traverse(j.net, centre, (int)args->dim, args->range, steps, j.out));
    if (!code) code = sample_save(&j, (size_t)steps);
    return sample_end(&j, code);
}

/* Typed tables: reading them as numbers for a network that knows their columns, writing what it makes of them. */
#include "cli/cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void cli_warn_lines(const cli_args *args, const char *lines) {
    for (const char *line = lines ? lines : "", *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        cli_warn(args, "%.*s", (int)(end - line), line);
    }
}

dn_frame_options cli_frame_options(const cli_args *args) {
    return (dn_frame_options){.header = args->header      ? 1
                                        : args->no_header ? -1
                                                          : 0,
                              .max_rows = args->rows,
                              .threads = (int)args->threads};
}

const char *cli_found(const cli_args *args, const char *path, char text[CLI_PATH]) {
    const char *found = cli_find(path, text);
    if (found != path && !args->quiet) cli_say(args, "using %s", found);
    return found;
}

int cli_frame(const cli_args *args, const char *path, dn_frame *frame) {
    char bundled[CLI_PATH];
    dn_frame_options options = cli_frame_options(args);
    if (cli_ends_in(path, ".cfg"))
        return cli_usage(args, "%s is a cfg, not a table: inspect %s shows the network", path, path);
    int code = cli_check(args, dn_frame_load(frame, cli_found(args, path, bundled), &options));
    if (!code) cli_warn_lines(args, frame->warnings);
    return code;
}

/* Options that are about tables of numbers. */
int cli_coded_options(const cli_args *args) {
    const char *option = args->target ? "target" : args->scale > 0 ? "scale" : NULL;
    if (!option) return 0;
    return cli_usage(args, "-%s is about tables of plain numbers: this model knows what its columns are", option);
}

int cli_coded_frame(const cli_args *args, const dn_net *net, const char *path, dn_table *table, const dn_frame *frame) {
    const char *name = !strcmp(path, "-") ? "standard input" : path;
    const char *weight = cli_row_weight(args, net);
    int code = cli_coded_options(args);
    if (!code) code = cli_check(args, dn_schema_table(dn_net_schema(net), frame, name, table));
    if (!code) cli_warn_lines(args, table->warnings);
    if (!code && *weight && (args->row_weight || cli_column(frame, weight)) && args->verb->bit & CLI_WEIGHS)
        code = cli_check(args, dn_table_weigh(table, frame, weight));
    return code;
}

int cli_coded(const cli_args *args, const dn_net *net, const char *path, dn_table *table, dn_frame *frame) {
    dn_frame own = {0}, *to = frame ? frame : &own;
    int code = cli_coded_options(args);
    if (!code) code = cli_frame(args, path, to);
    if (!code) code = cli_coded_frame(args, net, path, table, to);
    dn_frame_free(&own);
    return code;
}

size_t cli_model_name(const char *table, char text[CLI_PATH]) {
    const char *name = strcmp(table, "-") ? cli_base_name(table) : "table.csv", *dot;
    size_t n = strlen(name);
    if (n > 3 && !strcmp(name + n - 3, ".gz")) n -= 3;
    for (dot = name + n; dot > name && *dot != '.';) dot--;
    if (dot > name) n = (size_t)(dot - name);
    return (size_t)snprintf(text, CLI_PATH, "%.*s.safetensors", (int)n, name);
}

/* ---- what the columns are, in half a line ---- */

static void announce_kind(const dn_schema *schema, int kind, const char *one, const char *many, int *before) {
    dn_column_info c;
    int n = 0;
    for (int i = 0; dn_schema_column(schema, i, &c); i++) n += c.kind == kind;
    if (n) fprintf(stderr, "%s%d %s", (*before)++ ? ", " : "", n, n == 1 ? one : many);
}

void cli_announce_columns(const dn_schema *schema) {
    static const struct {
        int kind;
        const char *one, *many;
    } kinds[] = {{DN_COLUMN_NUMBER, "number", "numbers"},       {DN_COLUMN_TIME, "date", "dates"},
                 {DN_COLUMN_YES_NO, "yes/no", "yes/no"},        {DN_COLUMN_CATEGORY, "category", "categories"},
                 {DN_COLUMN_CONSTANT, "constant", "constants"}, {DN_COLUMN_IDENTIFIER, "identifier", "identifiers"},
                 {DN_COLUMN_DROPPED, "dropped", "dropped"},     {DN_COLUMN_LABEL, "label", "labels"}};
    int before = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        announce_kind(schema, kinds[i].kind, kinds[i].one, kinds[i].many, &before);
}

/* ---- writing ---- */

/* Does the network leave it to the table? */
static int column_is_kept(const dn_column_info *c) {
    return c->kind == DN_COLUMN_IDENTIFIER || c->kind >= DN_COLUMN_DROPPED;
}

int cli_output_data(const cli_args *args, cli_output *out, const dn_net *net, const dn_frame *beside, const float *x,
                    size_t before, size_t rows) {
    const dn_schema *schema = dn_net_schema(net);
    dn_column_info c;
    cli_output_begin(out, rows, (size_t)dn_schema_columns(schema));
    int code = cli_check(args, dn_schema_decode_piece(schema, x, before, rows, &out->made));
    out->frame.separator = out->made.separator;
    for (int i = 0; !code && !out->failed && dn_schema_column(schema, i, &c); i++) {
        const dn_frame_column *given =
            beside && beside->rows == rows && column_is_kept(&c) ? cli_column(beside, c.name) : NULL;
        const dn_frame_column *from = given ? given : cli_column(&out->made, c.name);
        if (from) out->frame.columns[out->frame.n++] = *from;
    }
    return code;
}

int cli_save_rows(const cli_args *args, const dn_net *net, const float *x, size_t rows) {
    dn_net_info info;
    cli_output out = {0};
    dn_net_info_get(net, &info);
    if (!dn_net_schema(net)) return cli_check(args, dn_csv_save(args->output, x, rows, (size_t)info.data_columns));
    int code = cli_output_data(args, &out, net, NULL, x, 0, rows);
    if (!code) return cli_output_save(args, &out, args->output);
    cli_output_free(&out);
    return code;
}

void cli_latents(cli_output *out, const dn_net *net, const dn_frame *frame, const float *z, size_t width) {
    cli_output_begin(out, frame->rows, (size_t)frame->n + width);
    cli_output_given(out, dn_net_schema(net), frame);
    for (size_t k = 0; k < width; k++) {
        double *to = cli_output_numbers(out, "z%zu", k + 1, -1);
        for (size_t r = 0; to && r < frame->rows; r++) to[r] = cli_few_digits((double)z[r * width + k]);
    }
}

int cli_save_latents(const cli_args *args, const char *path, const dn_net *net, const dn_frame *frame, const float *z,
                     size_t width) {
    cli_output out;
    cli_latents(&out, net, frame, z, width);
    return cli_output_save(args, &out, path);
}

/* ---- impute ---- */

int cli_impute(const cli_args *args) {
    cli_job j;
    int code = cli_begin(&j, args);
    if (!code && !dn_net_schema(j.net))
        code = cli_usage(args,
                         "impute fills the gaps of a table with a model of one, such as `%s train DATA.csv` makes: %s "
                         "does not know any columns",
                         args->program, args->cfg);
    char bundled[CLI_PATH];
    dn_frame_options options = cli_frame_options(args);
    dn_imputed done = {0};
    if (!code) code = cli_coded_options(args);
    if (!code)
        code =
            cli_check(args, dn_net_impute_file(j.net, cli_find(args->data, bundled), &options, 0, args->output, &done));
    if (!code) cli_warn_lines(args, done.warnings);
    if (!code && !args->quiet)
        cli_say(args, "filled %zu cell%s of %zu rows", done.filled, done.filled == 1 ? "" : "s", done.rows);
    if (!code && done.left)
        cli_warn(args, "%zu cells stay missing: of columns that the model does not make", done.left);
    dn_bytes_free(done.warnings);
    return cli_end(&j, code);
}

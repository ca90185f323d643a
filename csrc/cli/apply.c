/* Verbs that apply a network to rows: encode, reconstruct, predict, inspect. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

typedef enum apply_result { LATENTS, DATA, OUTPUTS } apply_result;
typedef dn_status (*apply_fn)(dn_net *net, const dn_rows *rows, float *out);

static dn_status apply_encode(dn_net *net, const dn_rows *rows, float *out) {
    return dn_net_encode(net, rows, out, NULL);
}

static int apply_save(cli_job *j, apply_result result, const float *out, int width) {
    const cli_args *args = &j->args;
    size_t rows = j->table.rows;
    if (dn_net_schema(j->net) && result == DATA) return cli_save_rows(args, j->net, &j->frame, out, rows);
    if (!args->labels) return cli_check(args, dn_csv_save(args->output, out, rows, (size_t)width));
    int code = cli_classes(args, j->net, &j->classes), wanted = width == 1 ? 2 : width;
    if (code) return code;
    if (j->classes.n && j->classes.n != wanted)
        return cli_usage(args, "%s has %d label%s, the network %d classes", args->weights ? args->weights : args->cfg,
                         j->classes.n, j->classes.n == 1 ? "" : "s", wanted);
    int32_t *picked = (int32_t *)cli_floats(args, rows, 1); /* of the same size */
    if (!picked) return DN_E_MEMORY;
    dn_status status = dn_net_pick(j->net, out, rows, picked);
    if (status == DN_OK) status = dn_csv_save_picked(args->output, &j->classes, picked, out, rows, (size_t)width);
    free(picked);
    return cli_check(args, status);
}

/* Rows in, rows out; `width`: columns of the output. */
static int apply(cli_job *j, apply_result result, int width, apply_fn fn) {
    dn_rows rows = cli_rows(&j->table, NULL);
    float *out = cli_floats(&j->args, rows.n, (size_t)width);
    int code = out ? cli_check(&j->args, fn(j->net, &rows, out)) : DN_E_MEMORY;
    if (!code) code = apply_save(j, result, out, width);
    free(out);
    return code;
}

/* The latents of a piece of a table. */
static int apply_piece(cli_job *j, size_t before, void *context, cli_output *out) {
    (void)before, (void)context;
    const size_t width = (size_t)j->info.latent_size, more = j->table.rows - j->frame.rows;
    dn_rows rows = cli_rows(&j->table, NULL);
    float *z = cli_floats(&j->args, rows.n, width);
    int code = z ? 0 : DN_E_MEMORY;
    for (size_t at = 0, n; !code && at < rows.n; at += n) {
        n = cli_block(j, rows.n, &at);
        const dn_rows block = {.n = n, .x = rows.x + at * j->table.columns};
        code = cli_check(&j->args, dn_net_encode(j->net, &block, z + at * width, NULL));
    }
    if (!code) cli_latents(out, j->net, &j->frame, z + more * width, width);
    free(z);
    return code;
}

static int apply_rows(const cli_args *args, apply_result result, apply_fn fn) {
    cli_job j;
    int code = cli_begin(&j, args);
    if (!code && result == LATENTS && !j.info.latent_size)
        code = cli_usage(args, "%s has no latent space: no [sampling] layer, and no narrow layer of an autoencoder",
                         args->cfg);
    if (!code && dn_net_schema(j.net) && result == LATENTS) return cli_end(&j, cli_pieces(&j, 0, apply_piece, NULL));
    if (!code && dn_net_schema(j.net))
        code = cli_coded(&j.args, j.net, args->data, &j.table, &j.frame);
    else if (!code)
        code = cli_table(&j.args, j.net, args->data, 0, &j.table);
    const int widths[] = {[LATENTS] = j.info.latent_size, [DATA] = j.info.data_columns, [OUTPUTS] = j.info.outputs};
    if (!code) code = apply(&j, result, widths[result], fn);
    return cli_end(&j, code);
}

int cli_encode(const cli_args *args) { return apply_rows(args, LATENTS, apply_encode); }
int cli_reconstruct(const cli_args *args) { return apply_rows(args, DATA, dn_net_reconstruct); }
int cli_predict(const cli_args *args) { return apply_rows(args, OUTPUTS, dn_net_predict); }

int cli_inspect(const cli_args *args) {
    cli_job j;
    int code = cli_begin(&j, args);
    if (code) return cli_end(&j, code);
    size_t (*write)(const dn_net *, char *, size_t) = args->json ? dn_net_json : dn_net_table;
    size_t size = write(j.net, NULL, 0) + 1;
    char *text = malloc(size);
    if (text) {
        write(j.net, text, size);
        fputs(text, stdout);
        code = cli_flush(args);
    } else {
        fprintf(stderr, "%s: out of memory: %zu bytes wanted\n", args->program, size);
        code = DN_E_MEMORY;
    }
    free(text);
    return cli_end(&j, code);
}

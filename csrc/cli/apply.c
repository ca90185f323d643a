/* Verbs that apply a network to rows: encode, reconstruct, predict, inspect. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

typedef dn_status (*apply_fn)(dn_net *net, const dn_rows *rows, float *out);

enum { LATENTS, DATA, OUTPUTS }; /* what rows become */

typedef struct apply_job {
    int result, width; /* columns of the output */
    apply_fn fn;
} apply_job;

static dn_status apply_encode(dn_net *net, const dn_rows *rows, float *out) {
    return dn_net_encode(net, rows, out, NULL);
}

/* The class of every row, for -labels. */
static int apply_pick(cli_job *j, cli_output *out) {
    const cli_args *args = &j->args;
    int width = (int)out->width, code = j->classes.n ? 0 : cli_classes(args, j->net, &j->classes),
        wanted = width == 1 ? 2 : width;
    if (code) return code;
    if (j->classes.n && j->classes.n != wanted)
        return cli_usage(args, "%s has %d label%s, the network %d classes", args->weights ? args->weights : args->cfg,
                         j->classes.n, j->classes.n == 1 ? "" : "s", wanted);
    out->picked = (int32_t *)cli_floats(args, out->rows, 1); /* of the same size */
    return out->picked ? cli_check(args, dn_net_pick(j->net, out->values, out->rows, out->picked)) : DN_E_MEMORY;
}

/* Rows in, rows out. */
static int apply_piece(cli_job *j, size_t before, size_t rows, void *context, cli_output *out) {
    const apply_job *a = context;
    const size_t width = (size_t)a->width, more = j->table.rows - rows;
    dn_rows all = cli_rows(&j->table, NULL);
    float *y = cli_floats(&j->args, all.n, width);
    int code = y ? 0 : DN_E_MEMORY, typed = dn_net_schema(j->net) != NULL;
    for (size_t at = 0, n; !code && at < all.n; at += n) {
        n = cli_block(j, all.n, &at);
        const dn_rows block = {.n = n, .x = all.x + at * j->table.columns};
        code = cli_check(&j->args, a->fn(j->net, &block, y + at * width));
    }
    if (!code && typed && a->result == LATENTS) {
        cli_latents(out, j->net, &j->frame, y + more * width, width);
    } else if (!code && typed && a->result == DATA) {
        code = cli_output_data(&j->args, out, j->net, &j->frame, y + more * width, before, rows);
    } else if (!code) {
        if (more) memmove(y, y + more * width, rows * width * sizeof *y);
        out->values = y, out->rows = rows, out->width = width;
        return j->args.labels ? apply_pick(j, out) : 0;
    }
    free(y);
    return code;
}

static int apply_rows(const cli_args *args, int result, apply_fn fn) {
    cli_job j;
    int code = cli_begin(&j, args);
    if (!code && result == LATENTS && !j.info.latent_size)
        code = cli_usage(args, "%s has no latent space: no [sampling] layer, and no narrow layer of an autoencoder",
                         args->cfg);
    const int widths[] = {[LATENTS] = j.info.latent_size, [DATA] = j.info.data_columns, [OUTPUTS] = j.info.outputs};
    apply_job a = {result, widths[result], fn};
    return cli_end(&j, code ? code : cli_pieces(&j, 0, apply_piece, &a));
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
        if (args->json)
            fputs(text, stdout);
        else
            cli_put(stdout, text);
        code = cli_flush(args);
    } else {
        cli_say(args, "out of memory: %zu bytes wanted", size);
        code = DN_E_MEMORY;
    }
    free(text);
    return cli_end(&j, code);
}

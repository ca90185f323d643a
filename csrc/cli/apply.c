/* Verbs that apply a network to rows: encode, reconstruct, predict, evaluate, inspect. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

typedef enum apply_result { LATENTS, DATA, OUTPUTS } apply_result;
typedef dn_status (*apply_fn)(dn_net *net, const dn_rows *rows, float *out);

static dn_status apply_encode(dn_net *net, const dn_rows *rows, float *out) {
    return dn_net_encode(net, rows, out, NULL);
}

/* What a verb works with. */
typedef struct apply_job {
    cli_args args;
    dn_net *net;
    dn_net_info info;
    dn_table table;
    dn_classes classes;
    float *truth;
} apply_job;

static int apply_begin(apply_job *j, const cli_args *args) {
    *j = (apply_job){.args = *args};
    int code = args->output ? cli_writable(args, "output", args->output) : 0;
    if (!code) code = cli_network(&j->args, &j->net);
    if (!code) dn_net_info_get(j->net, &j->info);
    return code;
}

static int apply_end(apply_job *j, int code) {
    free(j->truth);
    dn_classes_free(&j->classes);
    dn_table_free(&j->table);
    dn_net_destroy(j->net);
    return code;
}

static int apply_save(apply_job *j, const float *out, int width) {
    const cli_args *args = &j->args;
    size_t rows = j->table.rows;
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
static int apply(apply_job *j, int width, apply_fn fn) {
    dn_rows rows = cli_rows(&j->table, NULL);
    float *out = cli_floats(&j->args, rows.n, (size_t)width);
    int code = out ? cli_check(&j->args, fn(j->net, &rows, out)) : DN_E_MEMORY;
    if (!code) code = apply_save(j, out, width);
    free(out);
    return code;
}

static int apply_rows(const cli_args *args, apply_result result, apply_fn fn) {
    apply_job j;
    int code = apply_begin(&j, args);
    if (!code && result == LATENTS && !j.info.latent_size)
        code = cli_usage(args, "%s has no latent space: no [sampling] layer, and no narrow layer of an autoencoder",
                         args->cfg);
    if (!code) code = cli_table(&j.args, j.net, args->data, 0, &j.table);
    const int widths[] = {[LATENTS] = j.info.latent_size, [DATA] = j.info.data_columns, [OUTPUTS] = j.info.outputs};
    if (!code) code = apply(&j, widths[result], fn);
    return apply_end(&j, code);
}

int cli_encode(const cli_args *args) { return apply_rows(args, LATENTS, apply_encode); }
int cli_reconstruct(const cli_args *args) { return apply_rows(args, DATA, dn_net_reconstruct); }
int cli_predict(const cli_args *args) { return apply_rows(args, OUTPUTS, dn_net_predict); }

static int evaluate_rows(apply_job *j, const dn_rows *rows) {
    float *total = cli_floats(&j->args, rows->n, 1);
    if (!total) return DN_E_MEMORY;
    dn_status status = dn_net_evaluate_rows(j->net, rows, NULL, NULL, total);
    if (status == DN_OK) status = dn_csv_save(j->args.output, total, rows->n, 1);
    free(total);
    return cli_check(&j->args, status);
}

/* Keep of the table only the rows that a training with this seed holds out. */
static int evaluate_held_out(apply_job *j) {
    dn_table *t = &j->table;
    const dn_net_info *info = &j->info;
    size_t count;
    uint32_t *held = (uint32_t *)cli_floats(&j->args, t->rows, 1); /* of the same size */
    if (!held) return DN_E_MEMORY;
    int code = cli_check(&j->args, dn_net_holdout(j->net, t->rows, j->args.holdout, held, t->rows, &count));
    for (size_t i = 0; !code && i < count; i++) { /* ascending, so that no row is overwritten before it is moved */
        size_t from = held[i], x = (size_t)info->inputs, y = (size_t)info->truths;
        memmove(t->values + i * x, t->values + from * x, x * sizeof(float));
        if (j->truth) memmove(j->truth + i * y, j->truth + from * y, y * sizeof(float));
    }
    if (!code) t->rows = count;
    free(held);
    return code;
}

int cli_evaluate(const cli_args *args) {
    apply_job j;
    dn_report report, shown;
    int code = apply_begin(&j, args), own_truth = !code && cli_own_truth(args, j.net);
    if (!code) code = cli_table(&j.args, j.net, args->data, 0, &j.table);
    if (!code && own_truth) code = cli_truth(&j.args, j.net, args->data, &j.table, &j.classes, &j.truth);
    if (!code && args->holdout > 0) code = evaluate_held_out(&j);
    dn_rows rows = cli_rows(&j.table, j.truth);
    if (!code) code = cli_check(args, dn_net_evaluate(j.net, &rows, &report));
    if (!code && args->output) code = evaluate_rows(&j, &rows);
    if (!code) {
        dn_report_shown(&report, &shown);
        int shares = args->output && !cli_is_file(args->output); /* rows on standard output have it to themselves */
        code = cli_print(args, shares ? stderr : stdout, &shown);
    }
    return apply_end(&j, code);
}

int cli_inspect(const cli_args *args) {
    apply_job j;
    int code = apply_begin(&j, args);
    if (code) return apply_end(&j, code);
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
    return apply_end(&j, code);
}

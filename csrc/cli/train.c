/* train: one job for VAEs, autoencoders and supervised networks. */
#include "cli/cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a training works with. */
typedef struct train_job {
    cli_args args;
    dn_net *net;
    dn_net_info info;
    dn_table table, valid;
    dn_frame frame; /* of the rows, for networks of a typed table */
    dn_classes classes;
    float *truth, *valid_truth;
    dn_trainer *trainer;
    int own_truth, supervised;                                /* supervised: with a separate truth and no latent loss */
    char save[CLI_PATH], latents[CLI_PATH], labels[CLI_PATH]; /* the last two: "" if not to be written */
} train_job;

/* ---- output files, checked before hours of training ---- */

static int train_names(train_job *j) {
    const cli_args *args = &j->args;
    const dn_schema *schema = dn_net_schema(j->net);
    size_t length = args->save ? (size_t)snprintf(j->save, sizeof j->save, "%s", args->save)
                    : schema   ? cli_model_name(args->data, j->save)
                               : dn_net_weights_name(j->net, j->supervised, j->save, sizeof j->save);
    if (length >= sizeof j->save - 64) return cli_usage(args, "the name of the weights file is too long");
    if (!strcmp(j->save, "-") && isatty(STDOUT_FILENO))
        return cli_usage(args, "-save -: weights are no text for a terminal");
    if (schema && !cli_is_model_name(j->save))
        cli_warn(args,
                 "%s has the parameters, but not what the columns are: to use the model, save it as F.safetensors",
                 j->save);
    int file = cli_is_file(j->save), encodes = !j->supervised && j->info.latent_size;
    const char *slash = strrchr(j->save, '/');
    if (args->latents && !encodes) return cli_usage(args, "-latents: this network has no latent space to write");
    if (args->latents)
        snprintf(j->latents, sizeof j->latents, "%s", args->latents);
    else if (encodes && file && !args->no_latents && !schema) /* of a table: encode has them, with header and label */
        snprintf(j->latents, sizeof j->latents, "%.*slatent_space.txt", slash ? (int)(slash + 1 - j->save) : 0,
                 j->save);
    if (j->supervised && !args->target && file && !cli_is_model_name(j->save))
        dn_classes_path(j->save, j->labels, sizeof j->labels);
    return 0;
}

/* Is it a name that older checkpoints get, such as run.2.safetensors? */
static int train_older(const cli_args *args, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *end = strrchr(name, '.'), *digits;
    char newest[CLI_PATH];
    if (!end) end = name + strlen(name);
    for (digits = end; digits > name && digits[-1] >= '0' && digits[-1] <= '9';) digits--;
    long number = end - digits < 9 ? strtol(digits, NULL, 10) : 0; /* the dot or the end stops it */
    if (digits == name || digits[-1] != '.' || number < 1 || number >= args->checkpoint_keep) return 0;
    snprintf(newest, sizeof newest, "%.*s%s", (int)(digits - 1 - path), path, end);
    return cli_same_file(newest, args->checkpoint);
}

/* No two of what is written may be one file. */
static int train_apart(const cli_args *args, const char *const (*outputs)[2], int n) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (*outputs[i][1] && *outputs[k][1] && cli_same_file(outputs[i][1], outputs[k][1]))
                return cli_usage(args, "%s and %s are both %s", outputs[k][0], outputs[i][0], outputs[i][1]);
    for (int i = 0; args->checkpoint && i < n; i++)
        if (*outputs[i][1] && train_older(args, outputs[i][1]))
            return cli_usage(args, "%s %s is where -checkpoint-keep %ld puts an older one", outputs[i][0],
                             outputs[i][1], (long)args->checkpoint_keep);
    return 0;
}

static int train_writable(const train_job *j) {
    const cli_args *args = &j->args;
    char previews[2][CLI_PATH + 64] = {"", ""};
    static const char *const kinds[] = {"input", "output"};
    for (int i = 0; i < 2 && args->output; i++)
        if (dn_preview_path(args->output, kinds[i], 0, previews[i], sizeof *previews) >= sizeof *previews)
            return cli_usage(args, "-output: the name is too long");
    const char *const outputs[][2] = {{"-save", j->save},
                                      {"-latents", j->latents},
                                      {"the labels", j->labels},
                                      {"-checkpoint", args->checkpoint ? args->checkpoint : ""},
                                      {"-log", args->log ? args->log : ""},
                                      {"-output", previews[0]},
                                      {"-output", previews[1]}};
    enum { OUTPUTS = sizeof outputs / sizeof *outputs };
    int code = 0;
    for (int i = 0; i < OUTPUTS && !code; i++) {
        const char *name = outputs[i][0], *path = outputs[i][1];
        if (*path) code = *name == '-' ? cli_writable(args, name + 1, path) : cli_check(args, dn_writable(path));
    }
    return code ? code : train_apart(args, outputs, OUTPUTS);
}

/* ---- the data ---- */

static int train_data(train_job *j) {
    const cli_args *args = &j->args;
    const dn_schema *schema = dn_net_schema(j->net);
    int code = !schema          ? cli_table(args, j->net, args->data, 0, &j->table)
               : !j->frame.rows ? cli_coded(args, j->net, args->data, &j->table, &j->frame)
                                : cli_coded_frame(args, j->net, args->data, &j->table, &j->frame);
    if (!code && j->own_truth) code = cli_truth(args, j->net, args->data, &j->table, &j->classes, &j->truth);
    if (!code) code = cli_rows_fit(args, j->net, args->data, &j->table, j->truth);
    if (!code && !j->table.weights && *cli_row_weight(args, j->net))
        cli_warn(args, "%s: no row weight column '%s': all rows count alike", args->data, cli_row_weight(args, j->net));
    if (code || !args->valid) return code;
    code = cli_table(args, j->net, args->valid, 0, &j->valid);
    if (!code && j->own_truth) code = cli_truth(args, j->net, args->valid, &j->valid, &j->classes, &j->valid_truth);
    if (!code) code = cli_rows_fit(args, j->net, args->valid, &j->valid, j->valid_truth);
    return code;
}

/* One line on what was read and what computes. */
static void train_announce(const train_job *j) {
    const cli_args *args = &j->args;
    const dn_table *t = &j->table;
    const dn_schema *schema = dn_net_schema(j->net);
    if (args->quiet) return;
    const char *label = args->label_column ? args->label_column : dn_net_label_column(j->net);
    fprintf(stderr, "%s: %zu row%s, ", strcmp(args->data, "-") ? cli_base_name(args->data) : "standard input", t->rows,
            t->rows == 1 ? "" : "s");
    if (schema)
        cli_announce_columns(schema);
    else
        fprintf(stderr, "%zu column%s", t->columns, t->columns == 1 ? "" : "s");
    if (t->truths) fprintf(stderr, ", %zu target%s", t->truths, t->truths == 1 ? "" : "s");
    if (t->labels) fprintf(stderr, ", label '%s'", label);
    if (t->weights) fprintf(stderr, ", row weight '%s'", cli_row_weight(args, j->net));
    fprintf(stderr, "; %zu parameters, %s%d thread%s\n", j->info.n_params,
            strcmp(dn_net_device(j->net), "cpu") ? "GPU, " : "", j->info.threads, j->info.threads == 1 ? "" : "s");
}

static int train_start(train_job *j) {
    const cli_args *args = &j->args;
    int code = train_data(j);
    if (code) return code;
    dn_train_options options = {.epochs = (int)args->epochs,
                                .shuffle = !args->no_shuffle,
                                .learning_rate = args->learning_rate,
                                .preview_path = args->output,
                                .holdout = args->holdout,
                                .valid = cli_rows(&j->valid, j->valid_truth),
                                .score = j->own_truth,
                                .continues = args->continues,
                                .patience = (int)args->patience,
                                .min_delta = args->min_delta,
                                .keep = !args->keep                  ? DN_KEEP_DEFAULT
                                        : strcmp(args->keep, "best") ? DN_KEEP_LAST
                                                                     : DN_KEEP_BEST,
                                .max_seconds = args->max_seconds,
                                .log = args->log,
                                .log_every = (int)args->log_every,
                                .checkpoint = args->checkpoint,
                                .checkpoint_every = args->checkpoint_every,
                                .checkpoint_keep = (int)args->checkpoint_keep,
                                .resume = args->resume,
                                .column_names = j->table.header};
    dn_rows rows = cli_rows(&j->table, j->truth);
    code = cli_check(args, dn_trainer_create(&j->trainer, j->net, &rows, &options));
    if (!code) train_announce(j);
    return code;
}

/* ---- the result ---- */

static dn_status train_latents(const train_job *j, float *mean) {
    dn_rows rows = cli_rows(&j->table, NULL);
    dn_status status = dn_net_encode(j->net, &rows, mean, NULL);
    return status == DN_OK ? dn_csv_save(j->latents, mean, rows.n, (size_t)j->info.latent_size) : status;
}

/* The disk is full or gone: save hours of learning in the folder for temporary files. */
static void train_rescue(const train_job *j) {
    const char *folder = getenv("TMPDIR"), *slash = strrchr(j->save, '/');
    char path[2 * CLI_PATH];
    int n = snprintf(path, CLI_PATH, "%s/darknet-XXXXXX", folder && *folder ? folder : "/tmp");
    if (n >= CLI_PATH || !cli_is_file(j->save) || !mkdtemp(path)) return;
    snprintf(path + n, sizeof path - (size_t)n, "/%s", slash ? slash + 1 : j->save);
    if (dn_net_save(j->net, path) == DN_OK) {
        cli_say(&j->args, "the weights are in %s instead", path);
        return;
    }
    path[n] = 0;
    rmdir(path);
}

/* What a model file says of the data. What is not known now stays as an earlier training knew it. */
static dn_status train_notes(const train_job *j) {
    const cli_args *args = &j->args;
    dn_model_notes notes;
    dn_status status = dn_net_notes(j->net, &notes);
    if (status != DN_OK) return status;
    if (args->scale > 0) notes.scale = args->scale;
    if (args->label_column) notes.label_column = args->label_column;
    if (j->classes.n) notes.classes = j->classes;
    if (j->table.header) notes.columns = j->table.header, notes.n_columns = (int)j->table.columns;
    return dn_net_set_notes(j->net, &notes);
}

/* Save the weights, and the files that belong to them. */
static int train_save(train_job *j) {
    const cli_args *args = &j->args;
    dn_status status = train_notes(j);
    if (status == DN_OK) status = dn_net_save(j->net, j->save);
    int code = cli_check(args, status);
    if (status == DN_E_IO) train_rescue(j);
    if (!code && *j->labels && j->classes.n) code = cli_check(args, dn_classes_save(&j->classes, j->labels));
    if (!code && *j->latents) {
        float *mean = cli_floats(args, j->table.rows, (size_t)j->info.latent_size);
        code = mean ? cli_check(args, train_latents(j, mean)) : DN_E_MEMORY;
        free(mean);
    }
    if (code || args->quiet) return code;
    fprintf(stderr, "saved %s%s%s", j->save, *j->latents ? ", " : "", j->latents);
    fprintf(stderr, "%s%s\n", *j->labels && j->classes.n ? ", " : "", *j->labels && j->classes.n ? j->labels : "");
    return 0;
}

/* Print the losses of the epoch whose weights were kept, which is the last complete one unless an option says
 * otherwise; without one, none are known. */
static int train_result(const train_job *j, const dn_progress *last, const dn_progress *kept) {
    const cli_args *args = &j->args;
    dn_report losses, result = {0};
    int may_differ = args->patience || args->keep || args->max_seconds > 0 || kept->epoch != last->epoch;
    dn_report_shown(&kept->report, &losses);
    dn_report_add(&result, "epochs", kept->epoch ? last->epoch : 0);
    if (may_differ) dn_report_add(&result, "kept_epoch", kept->epoch);
    for (int i = 0; i < losses.n && (kept->epoch || args->json); i++)
        dn_report_add(&result, losses.values[i].name, kept->epoch ? losses.values[i].value : NAN);
    dn_report_add(&result, "seconds", floor(last->seconds * 1000 + 0.5) / 1000);
    return cli_print_with(args, cli_is_file(j->save) ? stdout : stderr, &result, "stopped",
                          may_differ ? dn_stop_name(last->stopped) : NULL);
}

/* How a training that was ended early is continued. */
static void train_announce_resume(const train_job *j) {
    const char *file = j->args.checkpoint;
    if (!file || j->args.quiet || access(file, R_OK)) return;
    fprintf(stderr, "to continue this training, repeat the command with -resume %s\n", file);
}

/* Whose weights these are, if that needs to be said. */
static int train_finish(const train_job *j) {
    char line[256];
    int code = cli_check(&j->args, dn_trainer_finish(j->trainer));
    if (!code && !j->args.quiet && dn_trainer_outcome(j->trainer, line, sizeof line)) cli_put(stderr, line);
    return code;
}

/* A failure of the training; `saves`: what it leaves is saved. */
static int train_failed(const train_job *j, dn_status status, int saves) {
    if (status != DN_E_NUMERIC || !saves) return cli_check(&j->args, status);
    cli_say(&j->args, "%s, and saved in %s", dn_error(), j->save);
    return (int)status;
}

static int train_run(train_job *j) {
    dn_progress p = {0}, epoch, kept, now; /* epoch: the last complete one; kept: whose weights remain */
    int code = train_start(j), terminal = cli_is_terminal();
    if (!code) code = cli_check(&j->args, dn_trainer_last_epoch(j->trainer, &epoch, &kept));
    if (code) return code;
    dn_status trained;
    do {
        now = p, now.warning = NULL;
        trained = dn_trainer_run(j->trainer, 50, &now);
        if (now.warning) {
            if (terminal && !j->args.quiet && p.rows_done) fputs("\r\033[K", stderr);
            cli_warn_lines(&j->args, now.warning);
        }
        if (trained == DN_OK || trained == DN_E_INTERRUPTED) p = now; /* else the weights are the last epoch's */
        if (now.epoch_done) epoch = now;                              /* even if the preview after it is what failed */
        if (now.epoch_done && now.kept_epoch == now.epoch) kept = now;
        if (!kept.epoch) kept.report = now.report; /* for its names */
        if (trained != DN_OK) break;
        cli_progress(&j->args, &p, terminal);
    } while (!p.finished && !cli_interrupted());
    if (terminal && !j->args.quiet && !p.finished && (p.epoch || p.rows_done)) fputc('\n', stderr);
    int interrupted = cli_interrupted();
    cli_no_interrupt(!cli_is_file(j->save));
    /* A network that has learned nothing must not overwrite what was saved before. */
    int learned = epoch.epoch > 0 || (interrupted && trained != DN_E_NUMERIC && p.rows_done > 0 &&
                                      isfinite(dn_report_get(&p.report, "total_loss")));
    if (trained != DN_E_INTERRUPTED) code = train_failed(j, trained, learned);
    if (!code && dn_trainer_checkpoint(j->trainer) != DN_OK) cli_warn(&j->args, "%s", dn_error());
    int saved = learned ? train_finish(j) : 0;
    if (learned && !saved) saved = train_save(j);
    if (!code && (interrupted || p.stopped == DN_STOP_SECONDS)) train_announce_resume(j);
    p.epoch = epoch.epoch;
    if (!saved) saved = train_result(j, &p, &kept);
    return code ? code : saved;
}

int cli_train(const cli_args *args) {
    train_job j = {.args = *args};
    int code;
    if (cli_is_table(args)) {
        code = cli_learn(&j.args, &j.net, &j.frame);
    } else {
        code = cli_network(&j.args, &j.net);
        if (!code) code = cli_note_row_weight(args, j.net);
        if (!code) code = cli_learn_columns(&j.args, j.net, &j.frame);
    }
    if (!code) {
        dn_net_info_get(j.net, &j.info);
        j.own_truth = cli_own_truth(args, j.net);
        j.supervised = dn_net_supervised(j.net, j.own_truth);
        code = train_names(&j);
    }
    if (!code) code = train_writable(&j);
    if (!code) code = train_run(&j);
    dn_trainer_destroy(j.trainer);
    dn_table_free(&j.table);
    dn_table_free(&j.valid);
    dn_frame_free(&j.frame);
    dn_classes_free(&j.classes);
    free(j.truth);
    free(j.valid_truth);
    dn_net_destroy(j.net);
    return code;
}

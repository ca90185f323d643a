/* vae train, autoencoder, train: one job. */
#include "cli.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void train_signal(int number) {
    if (interrupted) _exit(128 + number); /* the second one means it */
    interrupted = number;
}

static void train_show(const cli_args *args, const dn_progress *p, int terminal) {
    char line[256];
    if (args->quiet || (!terminal && !p->epoch_done)) return;
    dn_progress_line(p, line, sizeof line);
    fprintf(stderr, terminal ? "\r\033[K%s%s" : "%s%s", line, terminal && !p->finished ? "" : "\n");
}

/* Before hours of training: can its result be written? */
static int train_writable(const char *path) {
    const char *slash = strrchr(path, '/');
    char folder[4096] = ".";
    if (slash) snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (access(folder, W_OK | X_OK) == 0) return 1;
    fprintf(stderr, "darknet: cannot write %s: ", path);
    perror(folder);
    return 0;
}

static dn_status train_latents(dn_net *net, const dn_table *table, int latent) {
    float *mean = malloc(table->rows * (size_t)latent * sizeof *mean);
    if (!mean) return cli_no_memory(table->rows);
    dn_status status = dn_net_encode(net, table->values, table->rows, mean, NULL);
    if (status == DN_OK) status = dn_csv_save("latent_space.txt", mean, table->rows, (size_t)latent);
    free(mean);
    return status;
}

/* What a training holds. */
typedef struct train_job {
    dn_net *net;
    dn_table table, valid;
    dn_classes classes;
    float *truth, *valid_truth;
    dn_trainer *trainer;
    int supervised;
    char save[4096];
} train_job;

static dn_status train_data(const cli_args *args, train_job *j) {
    dn_status status = cli_table(args, j->net, args->data, 0, &j->table);
    if (status == DN_OK && j->supervised)
        status = cli_truth(args, j->net, args->data, &j->table, &j->classes, &j->truth);
    if (status != DN_OK || !args->valid) return status;
    status = cli_table(args, j->net, args->valid, 0, &j->valid);
    if (status == DN_OK && j->supervised)
        status = cli_truth(args, j->net, args->valid, &j->valid, &j->classes, &j->valid_truth);
    return status;
}

static dn_status train_start(const cli_args *args, train_job *j) {
    dn_status status = train_data(args, j);
    if (status != DN_OK) return status;
    dn_train_options options = {.epochs = (int)args->epochs,
                                .shuffle = !args->no_shuffle,
                                .learning_rate = args->learning_rate,
                                .preview_path = args->output,
                                .holdout = args->holdout,
                                .valid_x = j->valid.values,
                                .valid_truth = j->valid_truth,
                                .valid_rows = j->valid.rows,
                                .score = j->supervised};
    return dn_trainer_create(&j->trainer, j->net, j->table.values, j->truth, j->table.rows, &options);
}

/* Weights, and what lies beside them. */
static dn_status train_save(const cli_args *args, train_job *j, int latent) {
    char labels[4200];
    dn_status status = dn_net_save(j->net, j->save);
    if (status == DN_OK && latent) status = train_latents(j->net, &j->table, latent);
    if (status == DN_OK && j->classes.n) {
        dn_classes_path(j->save, labels, sizeof labels);
        status = dn_classes_save(&j->classes, labels);
    }
    if (status == DN_OK && !args->quiet)
        fprintf(stderr, "saved %s%s%s%s\n", j->save, latent ? ", latent_space.txt" : "", j->classes.n ? ", " : "",
                j->classes.n ? labels : "");
    return status;
}

static dn_status train_result(const cli_args *args, const dn_progress *epoch, double seconds) {
    cli_value values[16] = {{"epochs", epoch->epoch}};
    int n = 1;
    while (n < 15 && dn_progress_item(epoch, n - 1, &values[n].name, &values[n].value)) n++;
    values[n++] = (cli_value){"seconds", floor(seconds * 1000 + 0.5) / 1000};
    return cli_print(args, values, n);
}

static int train_run(const cli_args *args, train_job *j) {
    dn_net_info info;
    dn_progress p = {0}, epoch = {0};
    dn_net_info_get(j->net, &info);
    const char *term = getenv("TERM");
    int terminal = isatty(2) && !(term && !strcmp(term, "dumb"));
    dn_status trained, status = train_start(args, j);
    if (status != DN_OK) return cli_fail(status);
    signal(SIGINT, train_signal);
    signal(SIGTERM, train_signal);
    epoch.supervised = j->supervised;
    do {
        trained = dn_trainer_run(j->trainer, 50, &p);
        if (trained != DN_OK) break;
        train_show(args, &p, terminal);
        if (p.epoch_done) epoch = p;
    } while (!p.finished && !interrupted);
    if (terminal && !args->quiet && !p.finished) fputc('\n', stderr);
    if (trained != DN_OK) cli_fail(trained); /* what was learned before is saved all the same */
    if ((status = train_save(args, j, j->supervised ? 0 : info.latent_size)) != DN_OK) return cli_fail(status);
    status = train_result(args, &epoch, p.seconds);
    return (int)(status == DN_OK ? trained : status);
}

int cli_train(const cli_args *args) {
    train_job j = {0};
    if (!args->cfg || !args->data) return cli_usage("train: a CFG and a CSV are wanted");
    if (args->output && !train_writable(args->output)) return DN_E_IO;
    dn_status status = cli_network(args, 0, &j.net);
    if (status != DN_OK) return cli_fail(status);
    j.supervised = cli_supervised(args, j.net);
    if (args->save ? snprintf(j.save, sizeof j.save, "%s", args->save) >= (int)sizeof j.save
                   : dn_net_weights_name(j.net, j.supervised, j.save, sizeof j.save) >= sizeof j.save)
        return cli_usage("the name of the weights file is too long");
    int code = train_writable(j.save) ? train_run(args, &j) : DN_E_IO;
    dn_trainer_destroy(j.trainer);
    dn_table_free(&j.table);
    dn_table_free(&j.valid);
    dn_classes_free(&j.classes);
    free(j.truth);
    free(j.valid_truth);
    dn_net_destroy(j.net);
    return interrupted ? 128 + (int)interrupted : code;
}

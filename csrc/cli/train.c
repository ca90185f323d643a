/* vae train, autoencoder, train: one job. */
#include "cli.h"
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
    if (!mean) return DN_E_MEMORY;
    dn_status status = dn_net_encode(net, table->values, table->rows, mean, NULL);
    if (status == DN_OK) status = dn_csv_save("latent_space.txt", mean, table->rows, (size_t)latent);
    free(mean);
    return status;
}

int cli_train(const cli_args *args) {
    dn_net *net = NULL;
    dn_table table = {0};
    dn_trainer *trainer = NULL;
    dn_net_info info;
    dn_progress p = {0}, epoch = {0};
    const char *save = args->save ? args->save : "vae.weights";
    if (!args->cfg || !args->data) return cli_usage("train: a CFG and a CSV are wanted");
    if (!train_writable(save) || (args->output && !train_writable(args->output))) return DN_E_IO;
    dn_status status = cli_network(args, 0, &net), trained;
    if (status != DN_OK) return cli_fail(status);
    dn_net_info_get(net, &info);
    status = cli_table(args, net, info.inputs, &table);
    dn_train_options options = {.epochs = (int)args->epochs, .shuffle = !args->no_shuffle,
                                .learning_rate = args->learning_rate, .preview_path = args->output};
    if (status == DN_OK) status = dn_trainer_create(&trainer, net, table.values, NULL, table.rows, &options);
    if (status != DN_OK) {
        cli_fail(status);
        goto done;
    }
    signal(SIGINT, train_signal);
    signal(SIGTERM, train_signal);
    const char *term = getenv("TERM");
    int terminal = isatty(2) && !(term && !strcmp(term, "dumb"));
    do {
        trained = dn_trainer_run(trainer, 50, &p);
        if (trained != DN_OK) break;
        train_show(args, &p, terminal);
        if (p.epoch_done) epoch = p;
    } while (!p.finished && !interrupted);
    if (terminal && !args->quiet && !p.finished) fputc('\n', stderr);
    if (trained != DN_OK) cli_fail(trained); /* what was learned before is saved all the same */
    if ((status = dn_net_save(net, save)) == DN_OK && info.latent_size)
        status = train_latents(net, &table, info.latent_size);
    if (status != DN_OK) {
        cli_fail(status);
        goto done;
    }
    if (!args->quiet) fprintf(stderr, "saved %s%s\n", save, info.latent_size ? ", latent_space.txt" : "");
    printf(args->json ? "{\"epochs\": %d, \"image_loss\": %.9g, \"latent_loss\": %.9g, \"total_loss\": %.9g, "
                        "\"seconds\": %.3f}\n"
                      : "epochs %d  image_loss %.7g  latent_loss %.7g  total_loss %.7g  seconds %.3f\n",
           epoch.epoch, epoch.image_loss, epoch.latent_loss, epoch.total_loss, p.seconds);
    if (fflush(stdout)) status = DN_E_IO;
    if (status == DN_OK) status = trained;
done:
    dn_trainer_destroy(trainer);
    dn_table_free(&table);
    dn_net_destroy(net);
    return interrupted ? 128 + (int)interrupted : (int)status;
}

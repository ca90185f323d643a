/* Train with checkpoints, go on after Ctrl-C or a crash, and use the model file:
 *     cc resume.c -o resume $(pkg-config --cflags --libs darknet-vae)
 *     files=$(pkg-config --variable=prefix darknet-vae)/share/darknet-vae
 *     ./resume $files/vae_digits.cfg $files/digits.csv
 * Ctrl-C, and the last line once more: it goes on where it was. */
#include <darknet.h>
#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t stop;
static void on_signal(int number) { (void)number, stop = 1; }

static dn_status train(dn_net *net, const dn_rows *rows) {
    dn_trainer *trainer = NULL;
    dn_progress now = {0};
    FILE *earlier = fopen("run.safetensors", "rb");
    dn_train_options options = {.epochs = 200,
                                .shuffle = 1,
                                .holdout = 0.2,
                                .patience = 10, /* and so keeps the best epoch */
                                .log = "log.csv",
                                .checkpoint = "run.safetensors",
                                .checkpoint_every = "5e",
                                .resume = earlier ? "run.safetensors" : NULL};
    if (earlier) fclose(earlier);
    dn_status status = dn_trainer_create(&trainer, net, rows, &options);
    while (!status && !now.finished && !stop) {
        status = dn_trainer_run(trainer, 50, &now); /* so many milliseconds at most until `stop` is looked at */
        if (!status && now.warning) fprintf(stderr, "%s\n", now.warning);
        double loss = dn_report_get(&now.record, "valid_loss");
        if (!status && now.epoch_done) printf("epoch %d: %.4f\n", now.epoch, loss);
    }
    if (!status) status = dn_trainer_checkpoint(trainer); /* of this moment, before the best epoch takes its place */
    if (!status) status = dn_trainer_finish(trainer);     /* the network has the weights of the best epoch */
    if (!status) printf("%s; kept epoch %d\n", stop ? "stopped" : dn_stop_name(now.stopped), now.kept_epoch);
    dn_trainer_destroy(trainer);
    return status;
}

/* The file alone is the network: cfg, parameters, scale. */
static dn_status use(const char *path, const dn_rows *rows) {
    dn_net *net = NULL;
    dn_report losses = {0};
    dn_status status = dn_net_create(&net, path, NULL);
    if (!status) status = dn_net_evaluate(net, rows, &losses);
    if (!status) printf("%s: total_loss %.4f\n", path, dn_report_get(&losses, "total_loss"));
    dn_net_destroy(net);
    return status;
}

int main(int argc, char **argv) {
    dn_net *net = NULL;
    dn_net_info info;
    dn_table table = {0};
    if (argc != 3) return fprintf(stderr, "usage: resume CFG TRAIN.csv\n"), DN_E_USAGE;
    signal(SIGINT, on_signal);

    dn_status status = dn_net_create(&net, argv[1], NULL);
    if (status) return fprintf(stderr, "%s\n", dn_error()), status;
    dn_net_info_get(net, &info);
    dn_csv_options csv = {.label_column = dn_net_label_column(net), .scale = info.data_scale, .columns = info.inputs};
    status = dn_csv_load(&table, argv[2], &csv);
    dn_rows rows = {.n = table.rows, .x = table.values};
    if (!status) status = train(net, &rows);
    if (!status) status = dn_net_save(net, "model.safetensors");
    if (!status) status = use("model.safetensors", &rows);
    if (status) fprintf(stderr, "%s\n", dn_error());
    dn_table_free(&table);
    dn_net_destroy(net);
    return status;
}

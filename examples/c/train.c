/* Train a network on a table and save its weights:
 *     cc train.c -o train $(pkg-config --cflags --libs darknet-vae)
 *     files=$(pkg-config --variable=prefix darknet-vae)/share/darknet-vae
 *     ./train $files/vae_digits.cfg $files/digits.csv */
#include <darknet.h>
#include <stdio.h>

int main(int argc, char **argv) {
    dn_net *net = NULL;
    dn_trainer *trainer = NULL;
    dn_net_info info;
    dn_table table = {0};
    dn_progress progress = {0};
    if (argc != 3) return fprintf(stderr, "usage: train CFG TRAIN.csv\n"), DN_E_USAGE;

    dn_status status = dn_net_create(&net, argv[1], NULL);
    if (status) return fprintf(stderr, "%s\n", dn_error()), status;
    dn_net_info_get(net, &info);
    dn_csv_options csv = {.label_column = dn_net_label_column(net), .scale = info.data_scale, .columns = info.inputs};
    status = dn_csv_load(&table, argv[2], &csv);
    dn_rows rows = {.n = table.rows, .x = table.values};
    if (!status) status = dn_trainer_create(&trainer, net, &rows, &(dn_train_options){.epochs = 20, .shuffle = 1});
    while (!status && !progress.finished) {
        status = dn_trainer_run(trainer, 1000, &progress); /* at most a second, or to the end of an epoch */
        double loss = dn_report_get(&progress.report, "total_loss");
        if (!status && progress.epoch_done) printf("epoch %d: %.4f\n", progress.epoch, loss);
    }
    if (!status) status = dn_net_save(net, "vae.weights");
    if (status) fprintf(stderr, "%s\n", dn_error());
    dn_trainer_destroy(trainer);
    dn_table_free(&table);
    dn_net_destroy(net);
    return status;
}

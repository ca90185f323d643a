/* Does a recorded training step follow what changes from step to step? A variational autoencoder is trained on a device
 * and on the CPU while the weight of its latent loss changes in every batch, as a schedule will have it; the parameters
 * and the reported losses must agree:
 *
 *   test_replay DEVICE      run by tests/test_cuda.py */
#include "jobs/trainer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 4, INPUTS = 12, BATCHES = 12, SAMPLING = 1 };
static const char cfg[] = "[net]\nbatch=4\ninputs=12\nlearning_rate=0.05\nmomentum=0.9\n"
                          "[connected]\noutput=6\nactivation=linear\n[sampling]\nbeta=0.25\n"
                          "[connected]\noutput=12\nactivation=linear\n[cost]\n";

static const char *const names[] = {"image_loss", "latent_loss", "total_loss"};

static void need(int condition, const char *what) {
    if (condition) return;
    printf("%s: %s\n", what, dn_error());
    exit(1);
}

/* Train an epoch of one batch again and again. Returns the parameters; the losses of every batch lie in `losses`. */
static float *train(const char *device, const float *x, double losses[][3], size_t *n) {
    dn_net *net;
    dn_trainer *trainer;
    need(dn_net_create_text(&net, cfg, "test", &(dn_net_options){.device = device, .seed = 1}) == DN_OK, device);
    need(dn_trainer_create(&trainer, net, &(dn_rows){.n = BATCH, .x = x}, &(dn_train_options){.epochs = BATCHES}) ==
             DN_OK,
         device);
    for (int i = 0; i < BATCHES; i++) {
        dn_progress progress = {0};
        net->layers[SAMPLING].term.weight = 0.25 + 0.5 * i;
        while (!progress.epoch_done) need(dn_trainer_run(trainer, 1000, &progress) == DN_OK, "train");
        for (int k = 0; k < 3; k++) losses[i][k] = dn_report_get(&progress.report, names[k]);
    }
    need(!net->ops->record_begin || trainer->recording.graph, "the step was not recorded");
    float *values = malloc((*n = net->n_values) * sizeof *values);
    need(values != NULL, "memory");
    net->ops->download(net->pool, values, net->values, *n * sizeof *values);
    need(net->ops->finish(net->pool) == DN_OK, "download");
    dn_trainer_destroy(trainer);
    dn_net_destroy(net);
    return values;
}

static int differ(const char *what, double ours, double wanted) {
    if (fabs(ours - wanted) <= 1e-4 * (1 + fabs(wanted))) return 0;
    printf("%s: %.9g, wanted %.9g\n", what, ours, wanted);
    return 1;
}

int main(int argc, char **argv) {
    static float x[BATCH * INPUTS];
    double ours[BATCHES][3], wanted[BATCHES][3];
    size_t n;
    int failures = 0;
    for (int i = 0; i < BATCH * INPUTS; i++) x[i] = (float)(i * 7 % 11) / 11;
    float *values = train(argc > 1 ? argv[1] : "cpu", x, ours, &n), *of_cpu = train("cpu", x, wanted, &n);
    for (size_t i = 0; i < n && failures < 5; i++) failures += differ("a parameter", values[i], of_cpu[i]);
    for (int i = 0; i < BATCHES; i++) {
        for (int k = 0; k < 3; k++) failures += differ(names[k], ours[i][k], wanted[i][k]);
        failures += differ("the total of the CPU", wanted[i][2], wanted[i][0] + (0.25 + 0.5 * i) * wanted[i][1]);
    }
    free(values), free(of_cpu);
    return failures != 0;
}

/* Does a recorded training step follow what changes from step to step, and draw anew what is drawn? A variational
 * autoencoder is trained on a device and on the CPU while the weight of its latent loss changes in every batch, by a
 * key of its cfg; the parameters and the reported losses must agree:
 *
 *   test_replay DEVICE      run by tests/test_cuda.py */
#include "jobs/trainer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, INPUTS = 12, BATCHES = 12, LOSSES = 4 };
static const char cfg[] = "[net]\nbatch=4\ninputs=12\nlearning_rate=0.05\nmomentum=0.9\n%s"
                          "[connected]\noutput=6\nactivation=linear\n[sampling]\nbeta=3\n%s\n"
                          "[connected]\noutput=12\nactivation=linear\n[cost]\n";

static const char *const names[LOSSES] = {"image_loss", "latent_loss", "kl_cost", "total_loss"};

static void need(int condition, const char *what) {
    if (condition) return;
    printf("%s: %s\n", what, dn_error());
    exit(1);
}

/* Train an epoch of one batch again and again. Returns the parameters; the losses of every batch lie in `losses`. */
static float *train(const char *device, const char *of_net, const char *key, const float *x, double losses[][LOSSES],
                    size_t *n) {
    char text[512];
    dn_net *net;
    dn_trainer *trainer;
    snprintf(text, sizeof text, cfg, of_net, key);
    need(dn_net_create_text(&net, text, "test", &(dn_net_options){.device = device, .seed = 1}) == DN_OK, device);
    need(dn_trainer_create(&trainer, net, &(dn_rows){.n = BATCH, .x = x}, &(dn_train_options){.epochs = BATCHES}) ==
             DN_OK,
         device);
    for (int i = 0; i < BATCHES; i++) {
        dn_progress progress = {0};
        while (!progress.epoch_done) need(dn_trainer_run(trainer, 1000, &progress) == DN_OK, "train");
        for (int k = 0; k < LOSSES; k++) losses[i][k] = dn_report_get(&progress.report, names[k]);
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

/* beta of a batch, from 1; below 0: the cost is no multiple of the KL. */
static double beta_of(const char *key, int batch) {
    if (strncmp(key, "beta", 4)) return -1;
    if (!strcmp(key, "beta_warmup=8")) return batch < 8 ? 3 * batch / 8.0 : 3;
    int in_cycle = (batch - 1) % 6; /* beta_cycles=2 */
    return in_cycle < 3 ? in_cycle : 3;
}

static int compare(const char *device, const char *of_net, const char *key) {
    static float x[BATCH * INPUTS];
    double ours[BATCHES][LOSSES], wanted[BATCHES][LOSSES];
    size_t n;
    int failures = 0;
    for (int i = 0; i < BATCH * INPUTS; i++) x[i] = (float)(i * 7 % 11) / 11;
    float *values = train(device, of_net, key, x, ours, &n), *of_cpu = train("cpu", of_net, key, x, wanted, &n);
    for (size_t i = 0; i < n && failures < 5; i++) failures += differ("a parameter", values[i], of_cpu[i]);
    for (int i = 0; i < BATCHES; i++) {
        for (int k = 0; k < LOSSES; k++) failures += differ(names[k], ours[i][k], wanted[i][k]);
        double beta = beta_of(key, i + 1);
        if (beta >= 0) failures += differ("the CPU's KL cost", wanted[i][2], beta * wanted[i][1]);
        failures += differ("the CPU's total", wanted[i][3], wanted[i][0] + wanted[i][2]);
    }
    free(values), free(of_cpu);
    return failures;
}

int main(int argc, char **argv) {
    const char *device = argc > 1 ? argv[1] : "cpu";
    static const char *const keys[] = {"beta_warmup=8", "beta_cycles=2", "free_bits=0.02", "free_bits_total=0.1",
                                       "capacity=0.3\ncapacity_batches=9"};
    int failures = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) failures += compare(device, "", keys[i]);
    return failures + compare(device, "binarize=dynamic\nnoise=0.2\n", "") +
               compare(device, "binarize=static\nnoise=0.2\n", "") !=
           0;
}

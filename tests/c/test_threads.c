/* One network in many threads: calls that meet another's are refused, what may be asked at any time is always whole,
 * and nobody waits for ever. Run by tests/test_kernels.py, and under ThreadSanitizer by `make tsan`; the argument is
 * the number of rounds. */
#include "darknet.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = 60, SIDE = 10 };
static dn_net *net;
static int rounds;
static atomic_int done, refused, failed;

static void pause_for(long microseconds) { nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000}, NULL); }

static void check(dn_status status) {
    pause_for(status == DN_OK ? 5 : 50); /* whoever is refused does not use up its rounds at once */
    if (status == DN_OK)
        atomic_fetch_add(&done, 1);
    else if (status == DN_E_USAGE && (strstr(dn_error(), "another thread") || strstr(dn_error(), "resized")))
        atomic_fetch_add(&refused, 1);
    else if (atomic_fetch_add(&failed, 1) == 0)
        fprintf(stderr, "status %d: %s\n", (int)status, dn_error());
}

static float *rows_of(size_t values) {
    float *x = calloc(values, sizeof *x);
    for (size_t i = 0; x && i < values; i++) x[i] = (float)(i % 7) / 7;
    return x;
}

static void *use(void *unused) {
    (void)unused;
    float *x = rows_of(ROWS * SIDE * SIDE), *y = rows_of(ROWS * SIDE * SIDE), *w = rows_of(18);
    dn_rows rows = {.n = ROWS, .x = x};
    for (int i = 0; i < rounds && x && y && w; i++) {
        dn_report report;
        if (dn_net_claim(net) == DN_OK) { /* for one size */
            check(dn_net_predict(net, &rows, y));
            check(dn_net_evaluate(net, &rows, &report));
            dn_net_release(net);
        }
        check(dn_tensor_get(net, 0, "weights", w, 18));
        check(dn_net_reset_state(net));
    }
    free(x), free(y), free(w);
    return NULL;
}

static void *train(void *unused) {
    (void)unused;
    float *x = rows_of(ROWS * SIDE * SIDE);
    dn_rows rows = {.n = ROWS, .x = x};
    for (int i = 0; i < rounds && x; i++) {
        dn_trainer *trainer;
        dn_progress p = {0};
        dn_train_options options = {.epochs = 2, .shuffle = 1};
        dn_status status = dn_trainer_create(&trainer, net, &rows, &options);
        while (status == DN_OK && !p.finished) status = dn_trainer_run(trainer, 1, &p);
        check(status);
        dn_trainer_destroy(trainer);
    }
    free(x);
    return NULL;
}

static void *resize(void *unused) {
    (void)unused;
    for (int i = 0; i < rounds; i++) check(dn_net_resize(net, SIDE - i % 2, SIDE - i % 2, 3 + i % 5));
    return NULL;
}

static void *ask(void *unused) {
    (void)unused;
    char text[4096];
    for (int i = 0; i < rounds; i++) {
        dn_net_info info;
        dn_layer_info layer;
        dn_tensor_info tensor;
        dn_net_info_get(net, &info);
        if (info.batch < 1 || info.height < SIDE - 1 || info.inputs != info.height * info.width)
            atomic_fetch_add(&failed, 1);
        if (dn_layer_info_get(net, 0, &layer) != DN_OK || strcmp(layer.name, "first")) atomic_fetch_add(&failed, 1);
        if (dn_tensor_info_get(net, 0, 1, &tensor) != DN_OK || !strlen(tensor.name)) atomic_fetch_add(&failed, 1);
        if (!dn_net_table(net, text, sizeof text) || !dn_net_json(net, text, sizeof text)) atomic_fetch_add(&failed, 1);
        for (int k = 0; k < dn_net_warning_count(net); k++)
            if (!strlen(dn_net_warning(net, k))) atomic_fetch_add(&failed, 1);
        if (strcmp(dn_net_device(net), "cpu") || dn_net_box_classes(net) || strlen(dn_net_label_column(net)))
            atomic_fetch_add(&failed, 1);
        pause_for(50);
    }
    return NULL;
}

static const char cfg[] = "[net]\nbatch=4\nheight=10\nwidth=10\nchannels=1\nunknown=1\n"
                          "[convolutional]\nname=first\nfilters=2\nsize=3\npad=1\nactivation=leaky\n[dropout]\n"
                          "[convolutional]\nfilters=1\nsize=3\npad=1\nactivation=linear\n[cost]\n";

int main(int argc, char **argv) {
    void *(*const jobs[])(void *) = {use, use, train, train, resize, ask};
    enum { N = sizeof jobs / sizeof *jobs };
    pthread_t threads[N];
    dn_net_options options = {.threads = 2};
    rounds = argc > 1 ? atoi(argv[1]) : 200;
    if (dn_net_create_text(&net, cfg, NULL, &options) != DN_OK) {
        fprintf(stderr, "%s\n", dn_error());
        return 2;
    }
    for (int i = 0; i < N; i++)
        if (pthread_create(&threads[i], NULL, jobs[i], NULL)) return 3;
    for (int i = 0; i < N; i++) pthread_join(threads[i], NULL);
    dn_net_info info;
    dn_net_info_get(net, &info);
    check(dn_net_resize(net, SIDE, SIDE, 4)); /* and now it is free */
    dn_net_destroy(net);
    printf("threads: %d calls done, %d refused, %d failed\n", done, refused, failed);
    return failed || !done;
}

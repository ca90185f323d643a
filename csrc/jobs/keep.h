/* The best epoch of a training by its loss on held-out rows: its weights, and whether waiting for a better one still
 * makes sense. */
#ifndef DN_KEEP_H
#define DN_KEEP_H
#include "net/snapshot.h"

typedef struct dn_keep {
    int best;         /* 1: the weights of the best epoch remain; 0: those of the last */
    int patience;     /* 0: without end */
    double min_delta; /* an improvement, for patience, is larger than this */
    /* The current position. */
    double lowest;        /* finite loss so far; infinity: none */
    double bar;           /* the loss of the last improvement, from which the next one is measured */
    int epoch;            /* of the lowest loss, the first one with it; 0: none */
    int waited;           /* epochs in a row without an improvement, those of warm-ups not counted */
    dn_snapshot snapshot; /* the end of that epoch, in the device's memory; only with `best` */
} dn_keep;

/* DN_E_USAGE for options that make no sense; held_out: there are held-out rows. Call dn_keep_free in any case. */
dn_status dn_keep_create(dn_keep *keep, dn_net *net, const dn_train_options *options, int held_out);
void dn_keep_free(dn_keep *keep, const dn_net *net);
/* To be called at the end of every epoch with its loss of held-out rows; NaN: there are none. warming: a warm-up is
 * still going on. Takes a snapshot of the best. Returns 1 when patience is at its end. */
int dn_keep_judge(dn_keep *keep, const dn_net *net, int epoch, double loss, int warming);
/* The epoch whose weights remain if the training ends now; `last`: the last finished one. */
int dn_keep_epoch(const dn_keep *keep, int last);
/* Go back to the best epoch: parameters, statistics, moments and state. Does nothing where the last one remains, or
 * when no loss was finite. */
void dn_keep_restore(const dn_keep *keep, dn_net *net);
#endif

/* The state of a training. */
#ifndef DN_TRAIN_STATE_H
#define DN_TRAIN_STATE_H
#include <stdint.h>

/* What policy=plateau knows of the epochs so far. */
typedef struct dn_plateau {
    double lowest;   /* loss that counted as an improvement */
    uint64_t epochs; /* with a finite loss; 0: there is no lowest one */
    uint64_t waited; /* epochs since the lowest, or since the last reduction */
    uint64_t reductions;
} dn_plateau;

/* What carries over from one training of a network to the next, besides its tensors and their moments: the network has
 * one, and everything else follows from it. The order of rows is a function of (seed, seen / rows), the held-out rows
 * of the seed, noise of (seed, seen at the beginning of the pass), and the learning rate and other schedules of the
 * batch number.
 *
 * A checkpoint, which lets a training continue as if it had not been stopped, consists of
 *   - a dn_snapshot: parameters, running statistics, moments, and this;
 *   - where the trainer is: finished epochs, rows done in the current one, and the sums of its terms so far;
 *   - what the caller decided: options that change results, and which rows there were.
 * jobs/training_fields.c lists it. Graphs, placement of data, buffers and times are not part of it. It may be taken
 * between updates, when rows_since_update is 0: then no gradients are waiting (fused updates keep none) and no row of a
 * batch is half done. The trainer is in such a state whenever dn_trainer_run returns, unless the batch has
 * subdivisions. */
typedef struct dn_train_state {
    uint64_t seed;             /* of initial weights, noise, the order of rows and what is held out */
    uint64_t seen;             /* rows ever trained, as stored in weights files */
    uint64_t updates;          /* since the moments were 0 */
    uint64_t schedule_from;    /* the `seen` from which a training's schedules and max_batches count, */
    uint64_t batches;          /* and the updates since then */
    uint64_t rate_from;        /* schedule_from for the current rate: 0, as Darknet counts, until the first training */
    double learning_rate;      /* given for a training instead of the cfg's; 0: the cfg's */
    dn_plateau plateau;        /* since schedule_from */
    uint64_t epoch_batches;    /* updates in an epoch of the current training; 0: there has been none */
    uint64_t cycle_from;       /* updates since schedule_from before the cycles of a beta, */
    uint64_t cycle_batches;    /* and how many those cycles take; 0: there are none */
    int64_t rows_since_update; /* rows whose gradients wait for an update */
} dn_train_state;
#endif

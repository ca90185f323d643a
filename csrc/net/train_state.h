/* Where a training stands. */
#ifndef DN_TRAIN_STATE_H
#define DN_TRAIN_STATE_H
#include <stdint.h>

/* What goes on from one training of a network to the next, besides its tensors and their moments: the network has one,
 * and all else follows from it. The order of rows is a function of (seed, seen / rows), the held-out rows of the seed,
 * noise of (seed, seen at the beginning of the pass), the learning rate and other schedules of the batch number.
 *
 * A checkpoint, which must let a training go on as if it had not been stopped, is
 *   - a dn_snapshot: parameters, running statistics, moments, and this;
 *   - where the trainer is: epochs done, rows done of the running one, and the sums of its terms so far;
 *   - what the caller decided: options that change results, and which rows there were.
 * Graphs, placement of data, buffers and times are no part of it. It may be taken at boundaries of updates, when
 * rows_since_update is 0: then no gradients are waiting (fused updates keep none) and no row of a batch is half done.
 * The trainer is at such a boundary whenever dn_trainer_run returns, unless the batch has subdivisions. */
typedef struct dn_train_state {
    uint64_t seed;             /* of start weights, noise, the order of rows and what is held out */
    uint64_t seen;             /* rows ever trained, as weights files have it */
    uint64_t updates;          /* since the moments were 0 */
    uint64_t schedule_from;    /* the `seen` from which a training's schedules and max_batches count, */
    uint64_t batches;          /* and the updates since then */
    uint64_t rate_from;        /* schedule_from for the rate now: 0, as Darknet counts, until the first training */
    double learning_rate;      /* that a training was given in place of the cfg's; 0: the cfg's */
    int64_t rows_since_update; /* whose gradients wait for an update */
} dn_train_state;
#endif

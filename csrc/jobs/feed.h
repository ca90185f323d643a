/* The rows of a training: which are trained on and which are held out for validation, their order in an epoch, where
 * they are placed, and one batch of them at a time. */
#ifndef DN_FEED_H
#define DN_FEED_H
#include "net/network.h"

/* What is evaluated after every epoch. */
typedef enum dn_validation_kind { DN_VALIDATE_NOTHING, DN_VALIDATE_TRAINED, DN_VALIDATE_HELD_OUT } dn_validation_kind;

typedef struct dn_feed {
    dn_net *net;
    dn_rows all; /* the caller's rows, borrowed: both those that are trained on and those held out */
    size_t n;    /* rows of an epoch */
    int shuffle;
    uint32_t *counted; /* sequences (single rows if not recurrent) with a weight above 0; NULL: all have one */
    size_t n_counted;
    uint32_t *trained;   /* trained sequences, in the table's order; NULL: all */
    uint32_t *sequences; /* those of the epoch, in its order; NULL where a row is a sequence */
    uint32_t *order;     /* rows of the epoch as passes take them: step by step in a recurrent network */
    float *weights;      /* those of `all`, with a mean of 1 over the trained rows; NULL: all rows count alike */
    double *counts;      /* (n + 1): what the first rows of the order count together; NULL: as many as they are */
    /* Where batches come from. The backend gathers them from `data`: the caller's arrays, or an uploaded copy. If no
     * copy fits on the device, data.x is NULL: batches are gathered in `staging` and uploaded. */
    dn_rows data;
    const uint32_t *data_order;
    float *uploaded; /* x and truth; NULL: none */
    uint32_t *uploaded_order;
    float *staging;
    struct {
        dn_validation_kind kind;
        dn_plan *plan;   /* the plan that evaluates them, one batch at a time */
        int draws;       /* of each of them, for the bound that training descends (samples=); 0: at the mean of z */
        dn_rows rows;    /* n: their number; if there is an order, the arrays are those of the whole table */
        uint32_t *order; /* rows of `all` that are held out, in the table's order; NULL: `rows` as they are */
        float *staging;  /* (batch, inputs), (batch, truths): for rows gathered by the order */
    } validation;
} dn_feed;

/* Decide from the options which rows are trained on and which are evaluated, and check separate validation rows. Call
 * dn_feed_free in any case, also after a failure. */
dn_status dn_feed_create(dn_feed *feed, dn_net *net, const dn_rows *rows, const dn_train_options *options);
void dn_feed_free(dn_feed *feed);
/* Place the rows where the backend can gather batches from them. This is the last allocation of a training, as it may
 * take all device memory that is left. */
dn_status dn_feed_place(dn_feed *feed);
/* What the first `at` rows of the epoch count together: their weights, or their number. */
static inline double dn_feed_count(const dn_feed *feed, size_t at) {
    return feed->counts ? feed->counts[at] : (double)at;
}
/* Set the order of an epoch, whose number counts all epochs ever trained: it depends on the network's seed and that
 * number alone. */
void dn_feed_shuffle(dn_feed *feed, uint64_t epoch);
/* The number of rows in the pass that begins at row `at` of the epoch. */
size_t dn_feed_pass(const dn_feed *feed, size_t at);
/* Can the backend gather batches on its own, from the place in the order that dn_step holds? */
int dn_feed_on_device(const dn_feed *feed);
/* Gather that pass into the network's buffers in the backend's memory, as training sees it (bits, noise), and return
 * them; the truth is then that of the pass, or the rows without noise. If training ever runs in
 * several processes, each takes its part of the pass here: the order is the same in all of them. */
dn_rows dn_feed_batch(dn_feed *feed, size_t at);
/* The pass that begins at row `at` of the validation, on the host; valid until the next call. */
dn_rows dn_feed_validation(dn_feed *feed, size_t at);
#endif

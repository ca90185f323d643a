/* The rows of a training: which are trained and which are held out for validation, their order in an epoch, where they
 * lie, and a batch of them at a time. */
#ifndef DN_FEED_H
#define DN_FEED_H
#include "net/network.h"

/* What is evaluated after every epoch; the numbers are those of dn_progress.scored. */
typedef enum dn_validation_kind { DN_VALIDATE_NOTHING, DN_VALIDATE_TRAINED, DN_VALIDATE_HELD_OUT } dn_validation_kind;

typedef struct dn_feed {
    dn_net *net;
    dn_rows all; /* the caller's, borrowed: those that are trained and those that are held out of them */
    size_t n;    /* rows of an epoch */
    int shuffle;
    uint32_t *trained;   /* sequences that are trained, in the table's order; NULL: all. A row is a sequence of one where
                          * nothing is recurrent */
    uint32_t *sequences; /* those of the epoch, in its order; NULL where a row is a sequence */
    uint32_t *order;     /* rows of the epoch as passes take them: a recurrent network's step by step */
    /* Where batches come from. The backend gathers them out of `data`, the caller's arrays or a copy that was uploaded;
     * when no copy fits on the device data.x is NULL: batches are gathered in `staging` and uploaded. */
    dn_rows data;
    const uint32_t *data_order;
    float *uploaded; /* x and truth; NULL: none */
    uint32_t *uploaded_order;
    float *staging;
    struct {
        dn_validation_kind kind;
        dn_plan *plan;   /* what they are evaluated on, a batch of it at a time */
        dn_rows rows;    /* n: how many; the arrays are whole tables when there is an order */
        uint32_t *order; /* rows that are held out of `all`, in the table's order; NULL: `rows` as they are */
        float *staging;  /* (batch, inputs), (batch, truths) for an order */
    } validation;
} dn_feed;

/* Decide by the options which rows are trained and which are evaluated, and check rows given for validation. dn_feed_free
 * frees what there is, also after a failure. */
dn_status dn_feed_create(dn_feed *feed, dn_net *net, const dn_rows *rows, const dn_train_options *options);
void dn_feed_free(dn_feed *feed);
/* Put the rows where the backend can gather batches of them. The last allocation of a training: they take what memory of
 * the device is left. */
dn_status dn_feed_place(dn_feed *feed);
/* The order of an epoch, numbered over all that were ever trained: a function of the network's seed and the number. */
void dn_feed_shuffle(dn_feed *feed, uint64_t epoch);
/* How many rows the pass has that begins at row `at` of the epoch. */
size_t dn_feed_pass(const dn_feed *feed, size_t at);
/* Can batches be gathered by the backend alone, from the place in the order that dn_step holds? */
int dn_feed_on_device(const dn_feed *feed);
/* Gather that pass into buffers of the network in the backend's memory, which are returned. When training runs in several processes, here each
 * takes its part of the pass: the order is the same in all of them. */
dn_rows dn_feed_batch(dn_feed *feed, size_t at);
/* The pass of the validation that begins at its row `at`, on the host; valid until the next call. */
dn_rows dn_feed_validation(dn_feed *feed, size_t at);
#endif

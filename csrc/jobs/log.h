/* The log of a training: a CSV or JSONL file with a line for every epoch, and one for every n batches if wanted. Lines
 * are written at once, so a training that is killed leaves those it had come to. */
#ifndef DN_LOG_H
#define DN_LOG_H
#include "net/network.h"

typedef struct dn_log {
    char *path; /* NULL: none */
    int fd;     /* -1: not open, or given up after a failure */
    int jsonl;
    int every;         /* batches from one line to the next; 0: epochs only */
    dn_report columns; /* their names, in order: the same in every line of a CSV */
    /* since the last line of this epoch: */
    dn_report before; /* sums of the losses until there; none: 0 */
    size_t at;        /* rows done until there */
} dn_log;

/* Begin the log that the options want; where the training goes on from a checkpoint, its lines up to there are kept.
 * Call dn_log_close in any case. */
dn_status dn_log_open(dn_trainer *trainer, const dn_train_options *options);
void dn_log_close(dn_log *log);
/* The line of an epoch. A failure to write is a warning, once; there are no lines after it. */
void dn_log_epoch(dn_trainer *trainer, const dn_report *record);
/* To be called after every update: the line of the last batches, if one is due. */
dn_status dn_log_batch(dn_trainer *trainer);
/* Nothing of the epoch has been done yet. */
void dn_log_next_epoch(dn_trainer *trainer);

/* What a line holds, by name: which epoch, batch, row this is, the losses `means`, rates and times; at the end of an
 * epoch also what held-out rows gave. */
typedef enum dn_record_kind {
    DN_RECORD_PART,
    DN_RECORD_EPOCH,
    DN_RECORD_NAMES /* of an epoch's, values unknown */
} dn_record_kind;
void dn_trainer_record(const dn_trainer *trainer, dn_record_kind kind, const dn_report *means, dn_report *record);
/* Adds the weights of latent terms in the last batch: beta, and where there are several, beta_2, ... */
void dn_record_weights(const dn_net *net, dn_report *record);
#endif

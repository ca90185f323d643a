/* A training, as the files that make it see it. */
#ifndef DN_TRAINER_H
#define DN_TRAINER_H
#include "jobs/jobs.h"
#include "net/snapshot.h"

enum { DN_TRAINER_PROBLEMS = 8, DN_TRAINER_LINE = 700 };

struct dn_trainer {
    dn_net *net;
    const float *x, *truth; /* the caller's; truth NULL: x */
    size_t rows, at; /* at: rows done in this epoch */
    dn_train_options options;
    char *preview; /* the options' preview_path; NULL: none */
    uint32_t *order;     /* of rows; a recurrent network's are in passes, step by step */
    uint32_t *sequences; /* the order of sequences behind it; NULL where a row is one */
    /* x and truth where the backend can read them; NULL: batches are gathered and uploaded */
    const float *data, *data_truth;
    const uint32_t *data_order;
    float *data_block;   /* of both; NULL when the backend reads the caller's arrays */
    uint32_t *order_block;
    float *staging;      /* a batch on the host, when the data do not fit on the device */
    dn_snapshot good;    /* of the last good epoch */
    float *undo;         /* sums of the losses before the step at work, on the device, so that it can be undone; */
    double *undo_host;   /* and what the host adds to them */
    void *recording;     /* of a whole step with a full batch */
    int recorded;        /* 1: recording or not, it has been tried */
    uint64_t max_batches; /* where to stop, 0: never */
    int epoch, planned, finished, preview_due;
    double rate_before;  /* the network's override, to be put back */
    char problems[DN_TRAINER_PROBLEMS][DN_TRAINER_LINE]; /* that were told, without what differs from epoch to epoch */
    int n_problems;
    char warning[2 * DN_TRAINER_LINE], told[2 * DN_TRAINER_LINE]; /* to be told; being told */
    int layout; /* of the network at the start */
    double image, latent, weighted, started;
    double worked, worked_rows; /* seconds and rows of all training steps so far */
    double *sums;   /* of the losses by layer, so far in this epoch or its evaluation */
    uint32_t *kept; /* NULL: all sequences are trained; else those, then the held-out ones, each in their order */
    /* Rows for the evaluation after every epoch: scored 0 none, 1 the trained ones, 2 held-out ones. */
    int scored, scoring;
    dn_net *scorer; /* what it runs on; its batch is the size of the staging buffer and of the scores' */
    const float *score_x, *score_truth;
    const uint32_t *score_order; /* of sequences; NULL: all of score_x */
    size_t score_rows, score_at;
    float *score_staging; /* (batch, inputs), (batch, truths) */
    dn_job_sums score_sums;
};

/* ---- feed.c ---- */

/* Which rows are trained, and which are evaluated after an epoch. */
dn_status dn_feed_prepare_scores(dn_trainer *trainer, const dn_train_options *options);
/* Put the data where the backend can gather batches by itself; else a staging buffer. */
dn_status dn_feed_place(dn_trainer *trainer);
/* The order of the rows for the epoch that begins. */
void dn_feed_shuffle(dn_trainer *trainer);
/* The next rows of `data`, where the backend can read it (NULL: of `host`), to the device. */
void dn_feed_gather(dn_trainer *trainer, int rows, int cols, const float *data, const float *host, float *to);

/* ---- trainer_step.c ---- */

/* One pass over the next rows, and an update when the batch is full. When it fails it has not been. */
dn_status dn_trainer_step(dn_trainer *trainer);

/* ---- preview.c ---- */

/* Write the preview when it is due. */
dn_status dn_trainer_preview(dn_trainer *trainer);

/* ---- trainer_warnings.c ---- */

/* Tell of a problem, once: digits (epochs, names of temporary files) do not make it another one. */
void dn_trainer_warn(dn_trainer *trainer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Epochs that a policy leaves without a learning rate. */
void dn_trainer_warn_of_idle_epochs(dn_trainer *trainer);
/* Columns whose values are far from 1. */
void dn_trainer_warn_of_unreachable_data(dn_trainer *trainer);
void dn_trainer_warn_of_far_data(dn_trainer *trainer);
/* DN_E_NUMERIC: the loss is no number any more, and why. */
dn_status dn_trainer_lost(const dn_trainer *trainer, double loss);
#endif

/* A training, as seen by the files that implement it. */
#ifndef DN_TRAINER_H
#define DN_TRAINER_H
#include "jobs/checkpoint.h"
#include "jobs/feed.h"
#include "jobs/jobs.h"
#include "jobs/keep.h"
#include "jobs/log.h"

enum { DN_TRAINER_PROBLEMS = 8, DN_TRAINER_LINE = 700 };

/* What has to be reported besides losses. */
typedef struct dn_trainer_warnings {
    char known[DN_TRAINER_PROBLEMS][DN_TRAINER_LINE]; /* without anything that differs from epoch to epoch */
    int n_known;
    char pending[2 * DN_TRAINER_LINE];  /* for the next report */
    char reported[2 * DN_TRAINER_LINE]; /* by the last call; the caller reads it here */
} dn_trainer_warnings;

struct dn_trainer {
    dn_net *net;
    dn_feed feed;
    dn_train_options options; /* its paths are NULL */
    char *preview;            /* a copy of the preview_path; NULL: none */
    int layout;               /* of the network's memory at the start: resizing ends the training */
    double rate_before;       /* the network's learning rate, to be restored */
    uint64_t max_batches;     /* where to stop; 0: after `planned` epochs */
    int planned;
    /* The current position. A checkpoint holds what training_fields.c lists of it. */
    int epoch;       /* finished ones */
    int finished;    /* no step is left, */
    dn_stop stopped; /* and why */
    int preview_due;
    int whole_batches;     /* slices end between updates */
    size_t at;             /* rows done in this epoch */
    dn_report losses;      /* sums over the steps of this epoch */
    double *sums;          /* the same by layer */
    dn_report last_epoch;  /* what was reported of the last finished epoch, */
    double last_rate;      /* its learning rate, */
    dn_report kept_epoch;  /* and what of the one whose weights remain */
    uint64_t first_batch;  /* updates since schedule_from when the training began */
    int ended;             /* finished, with nothing left to do */
    dn_snapshot last_good; /* the end of the last epoch with a finite loss, or where a resume began, */
    size_t last_good_at;   /* with that many rows done, */
    double *last_good_sums;
    dn_keep keep; /* the best epoch */
    dn_checkpoints checkpoints;
    dn_data_print data;
    struct {
        int running;
        size_t at;    /* rows done */
        double *kept; /* as `sums`, for the rows done */
        dn_job_sums sums;
    } validation; /* of the feed's validation rows, after every epoch */
    struct {
        float *device; /* sums of losses and running statistics before the current step, so that it can be undone, */
        double *host;  /* and what the host adds to them */
    } undo;
    struct {
        void *graph; /* a whole step with a full batch; NULL: not recorded yet */
        int tried;   /* 1: a first step was done without recording */
    } recording;
    struct {
        double started, worked, rows; /* start time; seconds and rows of all training steps, */
        double slice;                 /* without those since this time; 0: none are running */
        size_t slice_at;              /* rows done of the epoch then */
    } clock;
    struct {
        double first, least; /* losses of the first epoch and of the best one, for what training aims for; NaN: none */
        double start;        /* that of the first step, before any update */
        int above;           /* epochs in a row whose loss was far above it */
        int epoch, warned;   /* of the least; 1: it was said that the training diverges */
    } descent;
    dn_log log;
    dn_trainer_warnings warnings;
};

/* ---- trainer_plan.c ---- */

/* Sets where schedule and max_batches count from. */
dn_status dn_trainer_place_schedule(dn_trainer *trainer);
/* The updates since schedule_from when the training will end; 0: open. */
uint64_t dn_trainer_last_batch(const dn_trainer *trainer);
/* The epochs of the whole training, 0: open. */
int dn_trainer_planned(const dn_trainer *trainer);
/* Epochs still to come, with fractions. `done`: the current rows are already counted in trainer->epoch. */
double dn_trainer_epochs_left(const dn_trainer *trainer, int done);

/* ---- start.c ---- */

/* Of a network that has never been trained: sets output biases where a term wants that. */
dn_status dn_trainer_start_at_means(const dn_trainer *trainer);

/* ---- trainer_step.c ---- */

/* One pass over the next rows, and an update when the batch is full. A failure changes nothing. */
dn_status dn_trainer_step(dn_trainer *trainer);

/* ---- trainer_end.c ---- */

/* What decides about the best epoch, and about anything else that goes by validation: the total loss of the held-out
 * rows, accuracy or not, with every term at the weight that training aims for (a warm-up's target). NaN: there are no
 * such rows. Valid at the end of an epoch. */
double dn_trainer_monitored(const dn_trainer *trainer);
/* No step is left, and why. */
void dn_trainer_stop(dn_trainer *trainer, dn_stop why);
/* Are max_seconds over? */
int dn_trainer_late(const dn_trainer *trainer);
/* Called when an epoch is complete, validation included: keeps the best, and may stop the training. */
void dn_trainer_judge(dn_trainer *trainer);

/* Rows per second of all training steps so far. */
double dn_trainer_speed(const dn_trainer *trainer);

/* ---- preview.c ---- */

/* Write the preview if it is due. */
dn_status dn_trainer_preview(dn_trainer *trainer);

/* ---- trainer_warnings.c ---- */

/* Report a problem once. Messages that differ only in digits (epochs, names of temporary files) are the same
 * problem. */
void dn_trainer_warn(dn_trainer *trainer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Warns of epochs in which the schedule's learning rate is 0. */
void dn_trainer_warn_of_idle_epochs(dn_trainer *trainer);
/* Warns of terms whose weight will not have reached its target when the training ends; and at that end, of those that
 * have not. */
void dn_trainer_warn_of_long_rises(dn_trainer *trainer);
void dn_trainer_warn_of_low_weights(dn_trainer *trainer);
/* Warns of values outside the range of the output's activation, such as 16 for a logistic one. */
void dn_trainer_warn_of_unreachable_data(dn_trainer *trainer);
/* Warns of columns whose values are far from 1. */
void dn_trainer_warn_of_far_data(dn_trainer *trainer);
/* At the end of an epoch: warns, once, when its loss is far above the least so far. */
void dn_trainer_warn_of_divergence(dn_trainer *trainer);
/* After the first step: its loss, which is that of the weights that training began with. */
dn_status dn_trainer_note_start(dn_trainer *trainer);
/* "column 'age'" or "column 3 of the truth". */
void dn_trainer_column_name(const dn_trainer *trainer, int of_truth, size_t column, char *text, size_t size);
/* The column with the largest value in the first `rows` rows, described in `text`; a column of the truth if no value of
 * x is above `limit`. Returns 1 for a column of x, 2 for one of the truth, 0 if nothing is above the limit. */
int dn_trainer_far_column(const dn_trainer *trainer, size_t rows, double limit, double *most, char *text, size_t size);
/* How many rows have such a value, and the first of them; far: 1 or 2. */
size_t dn_trainer_far_rows(const dn_trainer *trainer, int far, double limit, size_t *first);

/* ---- trainer_failure.c ---- */

/* DN_E_NUMERIC: the loss is no longer a finite number, where that began, and why. The training is then anywhere in its
 * epoch: the caller goes back to the last good place. */
dn_status dn_trainer_diverged(dn_trainer *trainer, double loss);
#endif

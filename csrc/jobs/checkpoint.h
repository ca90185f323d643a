/* Checkpoints of a training: when one is due, a copy of what training_fields.c lists, and the thread that writes it.
 * The training waits for the copy alone, a pass over its tensors; the file is made, written and flushed meanwhile. */
#ifndef DN_CHECKPOINT_H
#define DN_CHECKPOINT_H
#include "io/safetensors.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

enum { DN_CHECKPOINT_LINE = 600 };

typedef struct dn_checkpoints {
    char *path;       /* NULL: none is written */
    double seconds;   /* between two; 0: epochs count */
    int epochs;       /* 0: seconds count */
    int keep;         /* how many files */
    double due;       /* when the next is, if seconds count */
    float *floats;    /* the host's copy of the tensors, */
    size_t room;      /* and how many fit */
    dn_st_list *list; /* what the file will hold, over that copy; NULL: none has been taken */
    uint64_t seen;    /* where it was taken: rows ever trained, and finished epochs; -1: it is not on the disk */
    int epoch;
    int off;           /* 1: this is a forked child; thread and file are its parent's */
    int busy, running; /* busy: the copy is being written; running: by a thread */
    pid_t owner;
    pthread_t thread;
    /* the thread's own until `written` is set */
    atomic_int written;
    dn_status status;
    char error[DN_CHECKPOINT_LINE];
} dn_checkpoints;

/* Rows of the data, so that a resume with others is refused. */
typedef struct dn_data_print {
    size_t rows, valid_rows;
    uint64_t rows_checksum, valid_checksum; /* CRC-32C of x and truth */
} dn_data_print;

/* Read the options and see whether the file can be written. Call dn_checkpoints_free in any case, also after a
 * failure; it waits for the thread. */
dn_status dn_checkpoints_create(dn_trainer *trainer, const dn_train_options *options);
void dn_checkpoints_free(dn_trainer *trainer);
/* Will one be written as soon as no row waits for an update? */
int dn_checkpoint_is_due(const dn_trainer *trainer);
typedef enum dn_checkpoint_moment { DN_AFTER_SLICE, DN_AFTER_EPOCH, DN_AT_THE_END } dn_checkpoint_moment;
/* Between two slices: begins to write one if it is due, and reports a failure of the last one as a warning. */
void dn_checkpoint_slice(dn_trainer *trainer, dn_checkpoint_moment moment);
/* Write one of this place, between two updates, and wait until it is on the disk; does nothing if it is there. */
dn_status dn_checkpoint_now(dn_trainer *trainer);

/* ---- resume.c ---- */

/* Look at the data, for comparison. */
void dn_data_look(dn_trainer *trainer, const dn_rows *rows, const dn_rows *valid);
/* Bring the network and the trainer to where the checkpoint was taken. An error leaves both as they are, and names what
 * differs from the training that wrote it. To be called once everything of the trainer has been allocated. */
dn_status dn_trainer_resume(dn_trainer *trainer, const char *path);
#endif

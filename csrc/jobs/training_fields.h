/* What a training consists of between two updates: one table of named fields, which a checkpoint holds and a resume
 * restores. Everything else (order, noise, held-out rows, rates, graphs, buffers, clocks) follows from these, from the
 * options, or does not change results.
 *
 * A new piece of state is a row in training_fields.c: its name in files, its type, and where it lies in the trainer or
 * its network. A number that is missing in an older file keeps the value that dn_trainer_create gave it; a name that is
 * not in the table is ignored; a name never changes its meaning. An option that changes results is a row too, with the
 * word that messages use for it: it is compared with the file instead of being restored, and a resume with another
 * value is refused.
 *
 *   numbers    int, 64 bits, double (all bits); a report: named numbers; sums: two doubles per layer
 *   state      a dn_train_state, as its fields below
 *   snapshot   a dn_snapshot: its state and its tensors, once it has been taken
 *   tensors    blocks of floats in the backend's memory, laid out as parameters or as statistics: one tensor each for
 *              every tensor of the network, under the name PREFIX + "3.weights"; NULL: not in the file */
#ifndef DN_TRAINING_FIELDS_H
#define DN_TRAINING_FIELDS_H
#include "jobs/trainer.h"

/* The key of a number in a file: this, and the number's name. */
#define DN_TRAINING_KEY "darknet_vae.training."

typedef enum dn_field_type {
    DN_FIELD_INT,    /* int, or an enum */
    DN_FIELD_INT64,  /* int64_t */
    DN_FIELD_UINT64, /* uint64_t */
    DN_FIELD_SIZE,   /* size_t */
    DN_FIELD_DOUBLE,
    DN_FIELD_REPORT,     /* dn_report */
    DN_FIELD_SUMS,       /* double *: (layers, 2) */
    DN_FIELD_STATE,      /* dn_train_state */
    DN_FIELD_SNAPSHOT,   /* dn_snapshot */
    DN_FIELD_PARAMETERS, /* float *: n_values of the network */
    DN_FIELD_STATISTICS  /* float *: n_statistics */
} dn_field_type;

typedef struct dn_field {
    const char *name; /* of a number; the prefix of the names of a state, a snapshot or tensors */
    dn_field_type type;
    int of_net; /* the offset is in dn_net; 0: in dn_trainer */
    size_t offset;
    const char *compared; /* NULL: restored; otherwise what messages call the option */
} dn_field;

/* The last one has no name. */
extern const dn_field dn_training_fields[];

/* The numbers of a training, with states and snapshots taken apart. */
enum { DN_NUMBER_NAME = 48, DN_NUMBERS_MOST = 96 };
typedef struct dn_training_number {
    char name[DN_NUMBER_NAME];
    dn_field_type type;
    void *at;
    size_t n; /* doubles of sums */
    const char *compared;
} dn_training_number;
int dn_training_numbers(dn_trainer *trainer, dn_training_number numbers[DN_NUMBERS_MOST]);
enum { DN_KEY_NAME = DN_NUMBER_NAME + sizeof DN_TRAINING_KEY };
void dn_training_key(const char *number, char key[DN_KEY_NAME]);
/* As text: decimal; doubles as "3p-1", an integer times a power of 2; several with blanks between them; reports as
 * pairs of names and values. At most `size` bytes including the final zero; returns the full length. */
size_t dn_training_print(const dn_training_number *number, char *text, size_t size);
/* The reverse; returns 0, changing nothing, if the text is not such a number. */
int dn_training_set(const dn_training_number *number, const char *text);

/* The tensors of a training as blocks. A snapshot that has not been taken has none; with `all` it has. */
enum { DN_BLOCKS_MOST = 32 };
typedef struct dn_training_block {
    char prefix[DN_NUMBER_NAME]; /* of the tensors' names in files; "" for the network's own */
    const dn_field *field;
    dn_block block;
} dn_training_block;
int dn_training_blocks(dn_trainer *trainer, int all, dn_training_block blocks[DN_BLOCKS_MOST]);
/* The name of a tensor of layer i in such a block. */
enum { DN_TENSOR_NAME = DN_NUMBER_NAME + 48 };
void dn_training_tensor_name(const dn_training_block *block, int i, const dn_tensor *tensor, char name[DN_TENSOR_NAME]);
#endif

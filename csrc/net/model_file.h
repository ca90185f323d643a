/* Networks in containers of the safetensors layout: docs/model-file.md has what is in them. Checkpoints are the same
 * files with more tensors and more members of their state. */
#ifndef DN_MODEL_FILE_H
#define DN_MODEL_FILE_H
#include "io/json.h"
#include "io/safetensors.h"
#include "net/snapshot.h"

/* ---- model_file.c: tensors ---- */

/* Add a block's tensors as PREFIX + "3.weights"; `host` is a copy of the block in the host's memory that stays there
 * until the list has been written. */
dn_status dn_model_add_block(dn_st_list *list, const dn_net *net, const char *prefix, const dn_block *block,
                             const float *host);
/* Check that the file has all of the block's tensors with their shapes, of finite values; `to` is the block that they
 * are then copied to, NULL: none. */
dn_status dn_model_read_block(const dn_net *net, const dn_st *file, const char *prefix, int statistics,
                              const dn_block *to);
/* Does the file have any tensor with this prefix before the number of a layer? */
int dn_model_has_block(const dn_st *file, const char *prefix);
/* Are a layer's parameters and statistics in the file, so that no initial ones are needed? */
int dn_model_has_layer(const dn_st *file, const dn_layer *layer);
/* Parameters, statistics, notes and `seen`, as from a weights file; layers start <= i < cutoff, or all below 0. */
dn_status dn_model_load(dn_net *net, const dn_st *file, int clear, int start, int cutoff);
/* What is in the file of a training besides that: moments, if there are any, and the state. */
dn_status dn_model_load_training(dn_net *net, const dn_st *file);

/* ---- model_text.c: everything else ---- */

/* A list with the network's texts. `state`: further members of `darknet_vae.state`, each with a comma before it, or
 * NULL: where the network's training stands, which they otherwise contain. */
dn_status dn_model_list(dn_st_list **out, const dn_net *net, const char *state);
/* The cfg of the file, with the files that it names. */
dn_status dn_model_cfg(dn_cfg **out, const dn_st *file);
/* The cfg of a network as it is: with overrides and the size of its input. */
dn_status dn_model_write_cfg(const dn_net *net, dn_text *to);
/* And with the scale and the label column of its notes, or others. */
dn_status dn_model_write_cfg_noted(const dn_net *net, const dn_model_notes *notes, dn_text *to);

typedef struct dn_model_state {
    char version[24];
    dn_train_state state;
    dn_report losses;
} dn_model_state;
/* Members that are missing are 0. */
dn_status dn_model_read_state(const dn_st *file, dn_model_state *state);

/* ---- table_schema.c ---- */

/* *out: NULL when there is none in the file. */
dn_status dn_model_read_schema(dn_schema **out, const dn_st *file);
/* Can the network have this schema? NULL: none. */
dn_status dn_schema_fits(const dn_net *net, const dn_schema *schema);
void dn_schema_take(dn_net *net, dn_schema *schema); /* which fits, within a call on the network */

/* ---- notes.c ---- */

void dn_notes_free(dn_model_notes *notes);
dn_status dn_notes_take(dn_net *net, const dn_model_notes *notes); /* within a call on the network */
int dn_notes_some(const dn_model_notes *notes);                    /* is there anything to write? */
/* schema NULL: none. */
void dn_notes_write(const dn_model_notes *notes, const dn_schema *schema, dn_text *to);
void dn_notes_write_losses(const dn_report *losses, dn_text *to);
/* Frees nothing after an error: the caller does. */
dn_status dn_notes_read(dn_model_notes *notes, const char *label, const char *text, size_t size);
dn_status dn_notes_read_losses(dn_report *losses, dn_json *j);
/* A JSON string; text that is not UTF-8 counts as Latin-1. */
void dn_notes_add_string(dn_text *to, const char *text, size_t size);
#endif

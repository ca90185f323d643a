/* Going on from a checkpoint: first everything is compared and checked, then everything is set. */
#include "base/crc32c.h"
#include "base/sys.h"
#include "jobs/training_fields.h"
#include "net/model_file.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define GOES_ON "%s: a resumed training needs what it began with: "

/* ---- what must be the same ---- */

static uint64_t data_checksum(const dn_net *net, const dn_rows *rows) {
    dn_rows part = *rows;
    uint32_t crc = 0;
    for (int k = 0; k < DN_COLUMNS; k++) {
        const float *values = *dn_rows_column(&part, k);
        if (values) crc = dn_crc32c(crc, values, rows->n * dn_net_width(net, k) * sizeof *values);
    }
    return crc;
}

void dn_data_look(dn_trainer *t, const dn_rows *rows, const dn_rows *valid) {
    t->data = (dn_data_print){.rows = rows->n, .rows_checksum = data_checksum(t->net, rows)};
    if (!valid->x) return;
    t->data.valid_rows = valid->n, t->data.valid_checksum = data_checksum(t->net, valid);
}

static void resume_show(const dn_training_number *n, char *text, size_t size) {
    if (!strcmp(n->name, "given_rate") && *(const double *)n->at == 0)
        snprintf(text, size, "that of the cfg");
    else if (n->type == DN_FIELD_DOUBLE)
        snprintf(text, size, "%.9g", *(const double *)n->at);
    else
        dn_training_print(n, text, size);
}

/* The file's value of a number; DN_E_FORMAT if it is none. *there: it has one. `scratch` takes the value. */
static dn_status resume_number(const dn_st *file, const dn_training_number *n, void *scratch, int *there) {
    char key[DN_KEY_NAME];
    dn_training_number other = *n;
    dn_training_key(n->name, key);
    const char *text = dn_st_text(file, key, NULL);
    *there = text != NULL;
    other.at = scratch;
    DN_CHECK(!text || dn_training_set(&other, text), DN_E_FORMAT, "%s: the value '%.40s' of %s is of another kind",
             dn_st_label(file), text, key);
    return DN_OK;
}

/* What is restored counts epochs, if it is an int, and else rows of the epoch. */
static dn_status resume_possible(const dn_st *file, const dn_trainer *t, const dn_training_number *n,
                                 const void *value) {
    int possible = 1;
    if (n->compared) return DN_OK;
    if (n->type == DN_FIELD_INT) possible = *(const int *)value >= 0 && *(const int *)value < INT_MAX / 2;
    if (n->type == DN_FIELD_SIZE) possible = *(const size_t *)value <= t->feed.n;
    DN_CHECK(possible, DN_E_FORMAT,
             "%s: the value of " DN_TRAINING_KEY "%s cannot be, it is no checkpoint of such rows", dn_st_label(file),
             n->name);
    return DN_OK;
}

static dn_status resume_numbers(const dn_st *file, const dn_trainer *t, dn_training_number *numbers, int n, int sets) {
    union {
        dn_report report;
        double number;
        uint64_t whole;
    } one;
    double *sums = dn_alloc(2 * (size_t)t->net->n_layers, sizeof *sums);
    dn_status status = sums ? DN_OK : DN_E_MEMORY;
    for (int i = 0; status == DN_OK && i < n; i++) {
        void *scratch = numbers[i].type == DN_FIELD_SUMS ? (void *)sums : (void *)&one;
        dn_training_number was = numbers[i];
        char before[64], now[64];
        int there;
        if (sets && numbers[i].compared) continue;
        status = resume_number(file, &numbers[i], sets ? numbers[i].at : scratch, &there);
        was.at = scratch;
        if (status == DN_OK && there && !sets) status = resume_possible(file, t, &numbers[i], scratch);
        if (status != DN_OK || !there || !numbers[i].compared) continue;
        resume_show(&was, before, sizeof before);
        resume_show(&numbers[i], now, sizeof now);
        if (strcmp(before, now))
            status = dn_fail(DN_E_USAGE, GOES_ON "%s was %s, now it is %s", dn_st_label(file), numbers[i].compared,
                             before, now);
    }
    dn_free(sums);
    return status;
}

/* ---- the cfg ---- */

/* Not compared: what is compared as a number, because an option may set it, and when to stop, unless the rate depends
 * on it. */
static int resume_may_differ(const dn_net *net, int section, const char *key) {
    if (section) return 0;
    if (!strcmp(key, "max_batches")) return !dn_schedule_needs_end(&net->schedule);
    return !strcmp(key, "batch") || !strcmp(key, "subdivisions");
}

static const char *resume_value(dn_section *s, const char *key) {
    const dn_option *o = dn_cfg_option(s, key);
    return o ? o->value : NULL;
}

static dn_status resume_section(const dn_st *file, const dn_net *net, int i, dn_section *was, dn_section *now) {
    DN_CHECK(!strcmp(was->name, now->name), DN_E_USAGE, GOES_ON "section %d of its cfg was [%s], now it is [%s]",
             dn_st_label(file), i + 1, was->name, now->name);
    dn_section *both[] = {was, now};
    for (int k = 0; k < 2; k++)
        for (int j = 0; j < both[k]->n_options; j++) {
            const char *key = both[k]->options[j].key, *a = resume_value(was, key), *b = resume_value(now, key);
            if (resume_may_differ(net, i, key) || (a && b && !strcmp(a, b))) continue;
            return dn_fail(DN_E_USAGE, GOES_ON "%s of section %d [%s] of its cfg was %s, now it is %s",
                           dn_st_label(file), key, i + 1, was->name, a ? a : "missing", b ? b : "missing");
        }
    return DN_OK;
}

/* The files that keys name; one that is not read is not there. */
static dn_status resume_files(const dn_st *file, const dn_cfg *was, const dn_cfg *now) {
    for (const dn_cfg_file *f = now->files, *old; f; f = f->next) {
        for (old = was->files; old && strcmp(old->name, f->name); old = old->next) continue;
        DN_CHECK(!old || !strcmp(old->text, f->text), DN_E_USAGE, GOES_ON "the file %s of its cfg had another content",
                 dn_st_label(file), f->name);
    }
    return DN_OK;
}

static dn_status resume_compare(const dn_st *file, const dn_net *net, const dn_cfg *was, const dn_cfg *now) {
    DN_CHECK(was->n_sections == now->n_sections, DN_E_USAGE, GOES_ON "its cfg had %d layers, now it has %d",
             dn_st_label(file), was->n_sections - 1, now->n_sections - 1);
    for (int i = 0; i < was->n_sections; i++)
        DN_TRY(resume_section(file, net, i, &was->sections[i], &now->sections[i]));
    return resume_files(file, was, net->cfg);
}

/* The cfg may have been made from a table and options, which is all that a user has seen. */
static dn_status resume_cause(const dn_net *net, dn_status status) {
    char what[512];
    if (status != DN_E_USAGE || !net->columns) return status;
    snprintf(what, sizeof what, "%s", dn_error());
    return dn_fail(status, "%s; the table is another one, or options such as -latent differ", what);
}

static dn_status resume_cfg(const dn_st *file, const dn_net *net) {
    dn_text text = {0}; /* as it would be written now */
    dn_cfg *was = NULL, *now = NULL;
    dn_status status = dn_model_write_cfg(net, &text);
    if (status == DN_OK) status = text.status;
    if (status == DN_OK) status = dn_cfg_text(&now, net->cfg->path, text.bytes ? text.bytes : "");
    if (status == DN_OK) status = dn_model_cfg(&was, file);
    if (status == DN_OK) status = resume_cause(net, resume_compare(file, net, was, now));
    dn_cfg_free(was);
    dn_cfg_free(now);
    dn_text_free(&text);
    return status;
}

/* ---- tensors ---- */

static dn_status resume_tensor(const dn_st *file, const char *name, const dn_tensor *tensor, float *to) {
    const dn_st_tensor *found = dn_st_find(file, name);
    DN_CHECK(found && found->dtype == DN_ST_F32 && found->count == tensor->count, DN_E_FORMAT,
             "%s: %s %s, of which this network has %zu", dn_st_label(file),
             found ? "other values than those of" : "nothing of", name, tensor->count);
    if (to) memcpy(to, found->data, found->count * sizeof *to);
    return DN_OK;
}

/* to NULL: only look whether they are there. */
static dn_status resume_block(const dn_st *file, const dn_net *net, const dn_training_block *b, float *to) {
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; k < net->layers[i].n_tensors; k++) {
            const dn_tensor *tensor = &net->layers[i].tensors[k];
            char name[DN_TENSOR_NAME];
            if ((tensor->kind == DN_STATISTIC) != b->block.statistics) continue;
            dn_training_tensor_name(b, i, tensor, name);
            DN_TRY(resume_tensor(file, name, tensor, to ? to + tensor->offset : NULL));
        }
    return DN_OK;
}

/* Does the file hold these tensors? A snapshot is only there once it has been taken. */
static int resume_has(const dn_st *file, const dn_training_block *b) {
    char name[DN_NUMBER_NAME], key[DN_KEY_NAME];
    if (b->field->type != DN_FIELD_SNAPSHOT) return 1;
    snprintf(name, sizeof name, "%staken", b->field->name);
    dn_training_key(name, key);
    const char *taken = dn_st_text(file, key, NULL);
    return taken && !strcmp(taken, "1");
}

/* host NULL: only look whether all of them are there. */
static dn_status resume_blocks(const dn_st *file, dn_trainer *t, float *host) {
    dn_training_block blocks[DN_BLOCKS_MOST];
    dn_net *net = t->net;
    int n = dn_training_blocks(t, 1, blocks);
    for (int i = 0; i < n; i++) {
        if (!resume_has(file, &blocks[i])) continue;
        DN_TRY(resume_block(file, net, &blocks[i], host));
        if (host) net->ops->upload(net->pool, blocks[i].block.floats, host, blocks[i].block.n * sizeof *host);
    }
    return DN_OK;
}

/* ---- all of it ---- */

static dn_status resume_check(const dn_st *file, dn_trainer *t, dn_training_number *numbers, int n) {
    DN_CHECK(dn_st_text(file, DN_TRAINING_KEY "epoch", NULL), DN_E_FORMAT,
             "%s: a model, but no checkpoint: a training can begin with its weights (-weights), not resume from it",
             dn_st_label(file));
    DN_TRY(resume_cfg(file, t->net));
    DN_TRY(resume_numbers(file, t, numbers, n, 0));
    return resume_blocks(file, t, NULL);
}

static dn_status resume_file(const dn_st *file, dn_trainer *t) {
    dn_training_number numbers[DN_NUMBERS_MOST];
    const dn_net *net = t->net;
    int n = dn_training_numbers(t, numbers);
    size_t most = net->n_values > net->n_statistics ? net->n_values : net->n_statistics;
    DN_TRY(resume_check(file, t, numbers, n));
    float *host = dn_alloc(most, sizeof *host);
    dn_status status = host ? resume_numbers(file, t, numbers, n, 1) : DN_E_MEMORY;
    if (status == DN_OK) status = resume_blocks(file, t, host);
    dn_free(host);
    return status;
}

/* What follows from the position: is it the end, and is an evaluation to come? */
static dn_status resume_place(dn_trainer *t, const char *path) {
    int epochs = t->options.epochs, whole = t->at == t->feed.n, left = epochs - t->epoch;
    t->max_batches = epochs > 0 ? 0 : (uint64_t)t->net->schedule.max_batches;
    DN_CHECK(!epochs || left > 0 || (!left && !t->at), DN_E_USAGE,
             "%s: nothing is left to train: epochs=%d, and this is %s epoch %d: give more epochs", path, epochs,
             t->at ? "within" : "after", t->epoch + (t->at > 0));
    if (epochs && left <= whole) dn_trainer_stop(t, DN_STOP_EPOCHS);
    if (t->max_batches && t->net->state.batches >= t->max_batches) dn_trainer_stop(t, DN_STOP_BATCHES);
    if (!t->finished && !t->at && t->keep.patience && t->keep.waited >= t->keep.patience)
        dn_trainer_stop(t, DN_STOP_PATIENCE);
    if (t->kept_epoch.n) t->net->notes.losses = t->kept_epoch;
    t->validation.running = t->at && (whole || t->finished) && t->feed.validation.kind != DN_VALIDATE_NOTHING;
    return DN_OK;
}

dn_status dn_trainer_resume(dn_trainer *t, const char *path) {
    dn_st *file;
    DN_TRY(dn_st_open(&file, path));
    dn_status status = resume_file(file, t);
    dn_st_close(file);
    return status == DN_OK ? resume_place(t, path) : status;
}

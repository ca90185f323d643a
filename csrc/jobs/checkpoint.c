/* Writing checkpoints. The file is always whole, and always that of some moment: it is written beside the old one,
 * flushed and renamed over it. Older ones stay under numbers, 1 the newest of them. */
#include "jobs/checkpoint.h"
#include "base/number.h"
#include "base/sys.h"
#include "base/sys_calls.h"
#include "base/text.h"
#include "jobs/training_fields.h"
#include "net/model_file.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const double EVERY = 60; /* seconds, unless the options say otherwise */

/* ---- options ---- */

static dn_status checkpoint_every(dn_checkpoints *c, const char *text) {
    double number = 0;
    char digits[32];
    c->seconds = EVERY;
    if (!text || !*text) return DN_OK;
    size_t size = strlen(text) - 1;
    snprintf(digits, sizeof digits, "%.*s", (int)(size < sizeof digits ? size : 0), text);
    const char *end = dn_number_parse(digits, &number); /* without the unit: "1e" would be half a number */
    int unit = end && !*end ? text[size] : 0, whole = number == floor(number) && number <= 1 << 30;
    DN_CHECK(number > 0 && isfinite(number) && (unit == 's' || (unit == 'e' && whole)), DN_E_USAGE,
             "checkpoint_every=%.64s: give seconds or whole epochs, such as 60s or 1e", text);
    if (unit == 's')
        c->seconds = number;
    else
        c->seconds = 0, c->epochs = (int)number;
    return DN_OK;
}

/* A name by which files of another kind go, one of which it would replace. */
static int is_name_of_others(const char *path) {
    static const char *const ends[] = {".weights", ".cfg", ".csv", ".npy", ".jsonl"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (dn_ends_in(path, ends[i])) return 1;
    return 0;
}

dn_status dn_checkpoints_create(dn_trainer *t, const dn_train_options *o) {
    dn_checkpoints *c = &t->checkpoints;
    int wanted = o->checkpoint && *o->checkpoint;
    dn_writer *w;
    DN_CHECK(wanted || !o->checkpoint_every, DN_E_USAGE, "checkpoint_every=%.64s, but no checkpoint file is given",
             o->checkpoint_every);
    DN_CHECK(wanted || !o->checkpoint_keep, DN_E_USAGE, "checkpoint_keep=%d, but no checkpoint file is given",
             o->checkpoint_keep);
    DN_CHECK(o->checkpoint_keep >= 0 && o->checkpoint_keep <= 1 << 20, DN_E_USAGE,
             "checkpoint_keep=%d is not a number of files", o->checkpoint_keep);
    if (!wanted) return DN_OK;
    DN_CHECK(strcmp(o->checkpoint, "-"), DN_E_USAGE, "a checkpoint cannot go to standard output, it needs a file");
    DN_CHECK(!o->log || strcmp(o->checkpoint, o->log), DN_E_USAGE, "checkpoint and log are both %s", o->log);
    DN_TRY(checkpoint_every(c, o->checkpoint_every));
    c->keep = o->checkpoint_keep ? o->checkpoint_keep : 1;
    DN_TRY(dn_writer_replace(&w, o->checkpoint));
    dn_writer_abort(w);
    DN_CHECK(!is_name_of_others(o->checkpoint), DN_E_USAGE, "checkpoint=%s must end in .safetensors", o->checkpoint);
    if (!(c->path = dn_strdup(o->checkpoint))) return DN_E_MEMORY;
    c->owner = getpid(), c->due = dn_now() + c->seconds, c->epoch = -1;
    return DN_OK;
}

/* ---- the copy ---- */

/* Every number of the training as a text. */
static dn_status copy_numbers(dn_trainer *t, dn_st_list *list) {
    dn_training_number numbers[DN_NUMBERS_MOST];
    int n = dn_training_numbers(t, numbers);
    for (int i = 0; i < n; i++) {
        char key[DN_KEY_NAME];
        size_t size = dn_training_print(&numbers[i], NULL, 0);
        char *text = dn_alloc(size + 1, 1);
        if (!text) return DN_E_MEMORY;
        dn_training_print(&numbers[i], text, size + 1);
        dn_training_key(numbers[i].name, key);
        dn_status status = dn_st_add_text(list, key, text, size);
        dn_free(text);
        DN_TRY(status);
    }
    return DN_OK;
}

static dn_status copy_room(dn_checkpoints *c, size_t floats) {
    if (floats <= c->room) return DN_OK;
    dn_free(c->floats);
    c->room = 0;
    if (!(c->floats = dn_alloc(floats, sizeof *c->floats))) return DN_E_MEMORY;
    c->room = floats;
    return DN_OK;
}

static dn_status copy_make(dn_trainer *t, dn_st_list *list) {
    dn_checkpoints *c = &t->checkpoints;
    const dn_net *net = t->net;
    dn_training_block blocks[DN_BLOCKS_MOST];
    int n = dn_training_blocks(t, 0, blocks);
    size_t floats = 0;
    for (int i = 0; i < n; i++) floats += blocks[i].block.n;
    DN_TRY(copy_room(c, floats));
    float *to = c->floats;
    for (int i = 0; i < n; to += blocks[i++].block.n) {
        DN_TRY(dn_model_add_block(list, net, blocks[i].prefix, &blocks[i].block, to));
        net->ops->download(net->pool, to, blocks[i].block.floats, blocks[i].block.n * sizeof *to);
    }
    DN_TRY(copy_numbers(t, list));
    return net->ops->finish(net->pool);
}

static dn_status checkpoint_copy(dn_trainer *t) {
    dn_checkpoints *c = &t->checkpoints;
    dn_st_list_free(c->list);
    c->list = NULL, c->epoch = -1;
    DN_TRY(dn_model_list(&c->list, t->net, NULL));
    DN_TRY(copy_make(t, c->list));
    c->seen = t->net->state.seen, c->epoch = t->epoch;
    return DN_OK;
}

/* ---- the file ---- */

static int sys_link(const char *from, const char *to) {
    return dn_sys_must_fail() ? (errno = EIO, -1) : link(from, to);
}

static int sys_rename(const char *from, const char *to) {
    return dn_sys_must_fail() ? (errno = EIO, -1) : rename(from, to);
}

/* "m.safetensors" with number 2 is "m.2.safetensors". */
static void older_name(const char *path, int number, char *text, size_t size) {
    int stem = (int)dn_path_stem(path);
    snprintf(text, size, "%.*s.%d%s", stem, path, number, path + stem);
}

static int same_file(const char *a, const char *b) {
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* File systems without links: a copy. */
static dn_status older_copy(const char *path, const char *to) {
    char *data;
    size_t size;
    DN_TRY(dn_file_read_regular(path, PTRDIFF_MAX - 1, &data, &size));
    dn_status status = dn_file_save(to, data, size);
    dn_free(data);
    return status;
}

/* Give the file the number 1 as well, after those that are there have moved on by one, up to a gap or the last. The
 * file itself never goes away. If an attempt to write has failed since, it has its number already. */
static dn_status checkpoint_number(const dn_checkpoints *c) {
    size_t size = strlen(c->path) + 16;
    char *names = dn_alloc(2, size), *from = names, *to = names ? names + size : NULL;
    dn_status status = DN_OK;
    int last = 1;
    if (!names) return DN_E_MEMORY;
    older_name(c->path, 1, from, size);
    if (c->keep == 1 || access(c->path, F_OK) || same_file(c->path, from)) {
        dn_free(names);
        return DN_OK;
    }
    for (; last < c->keep - 1; last++) {
        older_name(c->path, last, from, size);
        if (access(from, F_OK)) break;
    }
    for (int i = last - 1; i >= 1 && status == DN_OK; i--) {
        older_name(c->path, i, from, size), older_name(c->path, i + 1, to, size);
        if (sys_rename(from, to)) status = dn_fail(DN_E_IO, "cannot rename %s: %s", from, strerror(errno));
    }
    older_name(c->path, 1, to, size);
    if (status == DN_OK && c->keep == 2) unlink(to); /* there is no other name for the oldest one */
    if (status == DN_OK && sys_link(c->path, to)) status = older_copy(c->path, to);
    dn_free(names);
    return status;
}

/* In the thread. */
static dn_status checkpoint_save(dn_checkpoints *c) {
    dn_status numbered = checkpoint_number(c);
    if (numbered != DN_OK)
        snprintf(c->error, sizeof c->error, "the last checkpoint is not kept under a number: %s", dn_error());
    dn_status status = dn_st_replace(c->list, c->path);
    if (status != DN_OK) snprintf(c->error, sizeof c->error, "the checkpoint is not written: %s", dn_error());
    return status != DN_OK ? status : numbered;
}

static void *checkpoint_thread(void *context) {
    dn_checkpoints *c = context;
    c->status = checkpoint_save(c);
    atomic_store(&c->written, 1);
    return NULL;
}

static void checkpoint_start(dn_checkpoints *c) {
    sigset_t all, before;
    *c->error = 0, c->busy = 1;
    atomic_store(&c->written, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are for the program's own threads */
    c->running = !pthread_create(&c->thread, NULL, checkpoint_thread, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!c->running) checkpoint_thread(c);
}

/* What has become of the last one? waits: also if it is still being written. Returns 0 if it is. */
static int checkpoint_end(dn_trainer *t, int waits) {
    dn_checkpoints *c = &t->checkpoints;
    if (c->owner != getpid()) c->off = 1; /* a forked child: thread and file are the parent's */
    if (c->off || !c->busy) return 1;
    if (!waits && !atomic_load(&c->written)) return 0;
    if (c->running) pthread_join(c->thread, NULL);
    c->running = c->busy = 0;
    if (c->status != DN_OK) c->epoch = -1;
    return 1;
}

void dn_checkpoints_free(dn_trainer *t) {
    dn_checkpoints *c = &t->checkpoints;
    checkpoint_end(t, 1);
    dn_st_list_free(c->list);
    dn_free(c->floats);
    dn_free(c->path);
    *c = (dn_checkpoints){0};
}

/* ---- when ---- */

int dn_checkpoint_is_due(const dn_trainer *t) {
    const dn_checkpoints *c = &t->checkpoints;
    return c->path && c->seconds > 0 && dn_now() >= c->due && (!c->busy || atomic_load(&c->written));
}

static dn_status checkpoint_begin(dn_trainer *t) {
    dn_checkpoints *c = &t->checkpoints;
    c->due = dn_now() + c->seconds;
    DN_TRY(checkpoint_copy(t));
    checkpoint_start(c);
    return DN_OK;
}

void dn_checkpoint_slice(dn_trainer *t, dn_checkpoint_moment moment) {
    dn_checkpoints *c = &t->checkpoints;
    if (!c->path || t->ended) return;
    int counted = moment == DN_AFTER_EPOCH && c->epochs && t->epoch % c->epochs == 0;
    int certain = counted || moment == DN_AT_THE_END; /* nothing that happens meanwhile puts it off */
    int due = certain || dn_checkpoint_is_due(t);
    int idle = checkpoint_end(t, certain);
    if (idle && *c->error) dn_trainer_warn(t, "%s; the next one is tried again", c->error), *c->error = 0;
    if (!due || !idle || c->off || t->net->state.rows_since_update) return;
    if (checkpoint_begin(t) != DN_OK) dn_trainer_warn(t, "the checkpoint is not written: %s", dn_error());
}

dn_status dn_checkpoint_now(dn_trainer *t) {
    dn_checkpoints *c = &t->checkpoints;
    checkpoint_end(t, 1);
    if (!c->path || c->off) return DN_OK;
    if (!t->ended && (c->epoch != t->epoch || c->seen != t->net->state.seen))
        DN_TRY(checkpoint_begin(t));
    else if (c->list && c->status != DN_OK)
        checkpoint_start(c);
    checkpoint_end(t, 1);
    return c->status == DN_OK ? DN_OK : dn_fail(c->status, "%s", c->error);
}

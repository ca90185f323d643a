/* Writing the log of a training, and cutting it back to where a training goes on. */
#include "jobs/log.h"
#include "base/number.h"
#include "base/report.h"
#include "base/sys.h"
#include "jobs/trainer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LOG_LINE = 4096 };

typedef struct log_line {
    char text[LOG_LINE];
    size_t size;
} log_line;

/* ---- lines ---- */

static void line_add(log_line *line, const char *text) {
    size_t n = strlen(text), room = sizeof line->text - line->size;
    if (n > room) n = room;
    memcpy(line->text + line->size, text, n);
    line->size += n;
}

/* Losses with all their digits: with those of a float, parts of 100 and more no longer add up to their total. */
static void line_number(log_line *line, double value, int json) {
    char text[DN_NUMBER_DOUBLE];
    if (json)
        dn_number_json(value, text);
    else if (isfinite(value))
        dn_number_write(value, text);
    else
        snprintf(text, sizeof text, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    line_add(line, text);
}

static void line_csv(log_line *line, const dn_log *log, const dn_report *record) {
    for (int i = 0; i < log->columns.n; i++) {
        const dn_value *found = record ? dn_report_find(record, log->columns.values[i].name) : NULL;
        if (i) line_add(line, ",");
        if (!record)
            line_add(line, log->columns.values[i].name);
        else if (found)
            line_number(line, found->value, 0);
    }
    line_add(line, "\n");
}

static void line_json(log_line *line, const dn_log *log, const dn_report *record) {
    const char *between = "{\"";
    for (int i = 0; i < log->columns.n; i++) {
        const dn_value *found = dn_report_find(record, log->columns.values[i].name);
        if (!found) continue;
        line_add(line, between), between = ", \"";
        line_add(line, log->columns.values[i].name);
        line_add(line, "\": ");
        line_number(line, found->value, 1);
    }
    line_add(line, "}\n");
}

static void log_write(dn_trainer *t, const dn_report *record) {
    dn_log *log = &t->log;
    log_line line = {.size = 0};
    if (log->fd < 0) return;
    (log->jsonl ? line_json : line_csv)(&line, log, record);
    dn_status status = dn_append_write(log->fd, log->path, line.text, line.size);
    if (status == DN_OK || status == DN_E_INTERRUPTED) return;
    dn_trainer_warn(t, "the log ends here: %s", dn_error());
    dn_append_close(log->fd);
    log->fd = -1;
}

/* ---- where a training goes on ---- */

/* Does a line belong to what a training had done after `epoch` epochs and `batch` batches? -1: it is none. */
static int line_stays(const char *line, int jsonl, int epoch, uint64_t batch) {
    long of;
    unsigned long long at, rows;
    int done;
    const char *form =
        jsonl ? "{\"epoch\": %ld, \"batch\": %llu, \"rows\": %llu, \"epoch_done\": %d" : "%ld,%llu,%llu,%d";
    if (sscanf(line, form, &of, &at, &rows, &done) != 4) return -1;
    return of <= epoch || (of == epoch + 1 && !done && at <= batch);
}

/* How many bytes of the log stay. A line that was not completed does not. */
static dn_status log_kept(const dn_log *log, const char *text, int epoch, uint64_t batch, size_t *kept) {
    log_line head = {.size = 0};
    const char *at = text, *end;
    if (!log->jsonl) {
        line_csv(&head, log, NULL);
        DN_CHECK(!*text || !strncmp(text, head.text, head.size), DN_E_FORMAT,
                 "%s: not the log of this training, which has the columns %.*s", log->path, (int)head.size - 1,
                 head.text);
        if (*text) at += head.size;
    }
    for (; (end = strchr(at, '\n')); at = end + 1) {
        int stays = line_stays(at, log->jsonl, epoch, batch);
        DN_CHECK(stays >= 0, DN_E_FORMAT, "%s: not the log of a training: '%.40s'", log->path, at);
        if (!stays) break;
    }
    *kept = (size_t)(at - text);
    return DN_OK;
}

static dn_status log_cut(const dn_log *log, int epoch, uint64_t batch, size_t *kept) {
    char *text;
    size_t size;
    struct stat info;
    *kept = 0;
    if (stat(log->path, &info) || !S_ISREG(info.st_mode)) return DN_OK;
    DN_TRY(dn_file_read_regular(log->path, SIZE_MAX - 1, &text, &size));
    dn_status status = log_kept(log, text, epoch, batch, kept);
    dn_free(text);
    return status == DN_OK ? dn_append_cut(log->path, *kept) : status;
}

/* ---- from opening to closing ---- */

static dn_status log_check(const dn_train_options *o, int *jsonl) {
    const char *dot = o->log ? strrchr(o->log, '.') : NULL;
    DN_CHECK(o->log_every >= 0, DN_E_USAGE, "log_every=%d is below 0", o->log_every);
    DN_CHECK(o->log || !o->log_every, DN_E_USAGE, "log_every says how often the log gets a line: give log too");
    if (!o->log) return DN_OK;
    *jsonl = dot && !strcmp(dot, ".jsonl");
    DN_CHECK(*jsonl || (dot && !strcmp(dot, ".csv")), DN_E_USAGE, "log=%s must end in .csv or .jsonl", o->log);
    return DN_OK;
}

dn_status dn_log_open(dn_trainer *t, const dn_train_options *o) {
    dn_log *log = &t->log;
    size_t kept = 0;
    dn_report names;
    log_line head = {.size = 0};
    log->fd = -1, log->every = o->log_every;
    t->options.log = NULL; /* valid only during this call */
    DN_TRY(log_check(o, &log->jsonl));
    if (!o->log) return DN_OK;
    if (!(log->path = dn_strdup(o->log))) return DN_E_MEMORY;
    dn_plan_losses_report(t->net->plan, &names);
    dn_trainer_record(t, DN_RECORD_NAMES, &names, &log->columns);
    int goes_on = t->epoch > 0 || t->at > 0;
    if (goes_on) DN_TRY(log_cut(log, t->epoch, t->net->state.batches, &kept));
    DN_TRY(dn_append_open(&log->fd, log->path, !kept));
    if (log->jsonl || kept) return DN_OK;
    line_csv(&head, log, NULL);
    return dn_append_write(log->fd, log->path, head.text, head.size);
}

void dn_log_close(dn_log *log) {
    if (!log->path) return;
    dn_append_close(log->fd);
    dn_free(log->path);
    log->path = NULL, log->fd = -1;
}

void dn_log_next_epoch(dn_trainer *t) { t->log.before = (dn_report){0}, t->log.at = 0; }

void dn_log_epoch(dn_trainer *t, const dn_report *record) { log_write(t, record); }

dn_status dn_log_batch(dn_trainer *t) {
    dn_log *log = &t->log;
    dn_report sums, record;
    if (log->fd < 0 || !log->every || t->net->state.batches % (uint64_t)log->every) return DN_OK;
    DN_TRY(dn_plan_losses(t->net->plan, &sums));
    dn_report means = sums;
    for (int i = 0; i < means.n; i++) {
        const dn_value *before = dn_report_find(&log->before, means.values[i].name);
        means.values[i].value -= before ? before->value : 0;
    }
    dn_report_mean(&means, dn_feed_count(&t->feed, t->at) - dn_feed_count(&t->feed, log->at));
    log->before = sums, log->at = t->at;
    dn_trainer_record(t, DN_RECORD_PART, &means, &record);
    log_write(t, &record);
    return DN_OK;
}

/* The state of a training as a table of named fields, and its numbers as text. */
#include "jobs/training_fields.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OF_NET(name, type, member) {name, type, 1, offsetof(dn_net, member), NULL}
#define OF_TRAINER(name, type, member) {name, type, 0, offsetof(dn_trainer, member), NULL}
#define SAME(name, type, member, word) {name, type, 0, offsetof(dn_trainer, member), word}
#define SAME_NET(name, type, member, word) {name, type, 1, offsetof(dn_net, member), word}

const dn_field dn_training_fields[] = {
    /* the network */
    OF_NET("", DN_FIELD_STATE, state),
    OF_NET("", DN_FIELD_PARAMETERS, values),
    OF_NET("", DN_FIELD_STATISTICS, statistics),
    OF_NET("opt.m.", DN_FIELD_PARAMETERS, moment1),
    OF_NET("opt.v.", DN_FIELD_PARAMETERS, moment2),
    OF_NET("ema.", DN_FIELD_PARAMETERS, averages),
    OF_NET("ema.", DN_FIELD_STATISTICS, averaged_statistics),
    /* the trainer's position */
    OF_TRAINER("epoch", DN_FIELD_INT, epoch),
    OF_TRAINER("rows_done", DN_FIELD_SIZE, at),
    OF_TRAINER("sums", DN_FIELD_SUMS, sums),
    OF_TRAINER("last_epoch", DN_FIELD_REPORT, last_epoch),
    OF_TRAINER("last_rate", DN_FIELD_DOUBLE, last_rate),
    OF_TRAINER("kept_epoch", DN_FIELD_REPORT, kept_epoch),
    OF_TRAINER("first_batch", DN_FIELD_UINT64, first_batch),
    OF_TRAINER("rate_before", DN_FIELD_DOUBLE, rate_before),
    OF_TRAINER("best_loss", DN_FIELD_DOUBLE, keep.lowest),
    OF_TRAINER("best_epoch", DN_FIELD_INT, keep.epoch),
    OF_TRAINER("patience_loss", DN_FIELD_DOUBLE, keep.bar),
    OF_TRAINER("patience_waited", DN_FIELD_INT, keep.waited),
    OF_TRAINER("best.", DN_FIELD_SNAPSHOT, keep.snapshot),
    OF_TRAINER("log_sums", DN_FIELD_REPORT, log.before),
    OF_TRAINER("log_rows", DN_FIELD_SIZE, log.at),
    /* what must be the same when it goes on */
    SAME_NET("batch", DN_FIELD_INT, settings.batch, "batch"),
    SAME_NET("subdivisions", DN_FIELD_INT, subdivisions, "subdivisions"),
    SAME("shuffle", DN_FIELD_INT, options.shuffle, "shuffle"),
    SAME("given_rate", DN_FIELD_DOUBLE, options.learning_rate, "learning rate"),
    SAME("holdout", DN_FIELD_DOUBLE, options.holdout, "holdout"),
    SAME("score", DN_FIELD_INT, options.score, "scoring"),
    SAME("data.rows", DN_FIELD_SIZE, data.rows, "the number of rows"),
    SAME("data.checksum", DN_FIELD_UINT64, data.rows_checksum, "the checksum of the rows"),
    SAME("data.valid_rows", DN_FIELD_SIZE, data.valid_rows, "the number of rows for validation"),
    SAME("data.valid_checksum", DN_FIELD_UINT64, data.valid_checksum, "the checksum of the rows for validation"),
    {NULL, DN_FIELD_INT, 0, 0, NULL},
};

static const struct {
    const char *name;
    dn_field_type type;
    size_t offset;
    const char *compared;
} state_fields[] = {
    {"seed", DN_FIELD_UINT64, offsetof(dn_train_state, seed), "seed"},
    {"seen", DN_FIELD_UINT64, offsetof(dn_train_state, seen), NULL},
    {"updates", DN_FIELD_UINT64, offsetof(dn_train_state, updates), NULL},
    {"schedule_from", DN_FIELD_UINT64, offsetof(dn_train_state, schedule_from), NULL},
    {"batches", DN_FIELD_UINT64, offsetof(dn_train_state, batches), NULL},
    {"rate_from", DN_FIELD_UINT64, offsetof(dn_train_state, rate_from), NULL},
    {"learning_rate", DN_FIELD_DOUBLE, offsetof(dn_train_state, learning_rate), NULL},
    {"plateau_lowest", DN_FIELD_DOUBLE, offsetof(dn_train_state, plateau.lowest), NULL},
    {"plateau_epochs", DN_FIELD_UINT64, offsetof(dn_train_state, plateau.epochs), NULL},
    {"plateau_waited", DN_FIELD_UINT64, offsetof(dn_train_state, plateau.waited), NULL},
    {"epoch_batches", DN_FIELD_UINT64, offsetof(dn_train_state, epoch_batches), NULL},
    {"cycle_from", DN_FIELD_UINT64, offsetof(dn_train_state, cycle_from), NULL},
    {"cycle_batches", DN_FIELD_UINT64, offsetof(dn_train_state, cycle_batches), NULL},
    {"plateau_reductions", DN_FIELD_UINT64, offsetof(dn_train_state, plateau.reductions), NULL},
};

/* ---- the fields of a trainer ---- */

static void *field_at(const dn_field *f, dn_trainer *t) { return (f->of_net ? (char *)t->net : (char *)t) + f->offset; }

static int numbers_add(dn_training_number *numbers, int n, const char *prefix, dn_training_number number,
                       const char *name) {
    if (n == DN_NUMBERS_MOST) return n;
    snprintf(number.name, sizeof number.name, "%s%s", prefix, name);
    numbers[n] = number;
    return n + 1;
}

/* compares: these are the network's own, and a seed is an option. */
static int numbers_of_state(dn_training_number *numbers, int n, const char *prefix, dn_train_state *state,
                            int compares) {
    for (size_t i = 0; i < sizeof state_fields / sizeof *state_fields; i++)
        n = numbers_add(numbers, n, prefix,
                        (dn_training_number){.type = state_fields[i].type,
                                             .at = (char *)state + state_fields[i].offset,
                                             .compared = compares ? state_fields[i].compared : NULL},
                        state_fields[i].name);
    return n;
}

int dn_training_numbers(dn_trainer *t, dn_training_number numbers[DN_NUMBERS_MOST]) {
    int n = 0;
    for (const dn_field *f = dn_training_fields; f->name; f++) {
        void *at = field_at(f, t);
        if (f->type == DN_FIELD_STATE) {
            n = numbers_of_state(numbers, n, f->name, at, 1);
        } else if (f->type == DN_FIELD_SNAPSHOT) {
            dn_snapshot *s = at;
            n = numbers_add(numbers, n, f->name, (dn_training_number){.type = DN_FIELD_INT, .at = &s->taken}, "taken");
            n = numbers_of_state(numbers, n, f->name, &s->state, 0);
        } else if (f->type < DN_FIELD_STATE) {
            dn_training_number number = {.type = f->type, .at = at, .compared = f->compared};
            if (f->type == DN_FIELD_SUMS) number.at = *(double **)at, number.n = 2 * (size_t)t->net->n_layers;
            n = numbers_add(numbers, n, "", number, f->name);
        }
    }
    return n;
}

static int blocks_add(dn_training_block *blocks, int n, const dn_field *field, const dn_block *block) {
    if (!block->floats || n == DN_BLOCKS_MOST) return n;
    snprintf(blocks[n].prefix, sizeof blocks[n].prefix, "%s%s", field->name, block->prefix);
    blocks[n].field = field, blocks[n].block = *block;
    return n + 1;
}

int dn_training_blocks(dn_trainer *t, int all, dn_training_block blocks[DN_BLOCKS_MOST]) {
    const dn_net *net = t->net;
    int n = 0;
    for (const dn_field *f = dn_training_fields; f->name; f++) {
        const dn_snapshot *s = field_at(f, t);
        dn_block parts[DN_SNAPSHOT_BLOCKS];
        if (f->type == DN_FIELD_PARAMETERS || f->type == DN_FIELD_STATISTICS) {
            int statistics = f->type == DN_FIELD_STATISTICS;
            n = blocks_add(
                blocks, n, f,
                &(dn_block){"", statistics, *(float **)field_at(f, t), statistics ? net->n_statistics : net->n_values});
        } else if (f->type == DN_FIELD_SNAPSHOT && s->floats && (s->taken || all)) {
            int n_parts = dn_snapshot_blocks(s, net, parts);
            for (int i = 0; i < n_parts; i++) n = blocks_add(blocks, n, f, &parts[i]);
        }
    }
    return n;
}

void dn_training_tensor_name(const dn_training_block *b, int i, const dn_tensor *tensor, char name[DN_TENSOR_NAME]) {
    snprintf(name, DN_TENSOR_NAME, "%s%d.%s", b->prefix, i, tensor->name);
}

/* ---- as text ---- */

void dn_training_key(const char *number, char key[DN_KEY_NAME]) {
    snprintf(key, DN_KEY_NAME, "%s%.*s", DN_TRAINING_KEY, DN_NUMBER_NAME - 1, number);
}

/* A double as an integer times a power of 2: exact, short for round numbers, the same in every locale. */
static int print_double(double v, char *text, size_t size) {
    int exponent;
    if (!isfinite(v)) return snprintf(text, size, "%s", isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
    int64_t digits = (int64_t)ldexp(frexp(v, &exponent), 53);
    exponent = v == 0 ? 0 : exponent - 53;
    for (; digits && digits % 2 == 0; digits /= 2) exponent++;
    return snprintf(text, size, "%s%lldp%d", v == 0 && signbit(v) ? "-" : "", (long long)digits, exponent);
}

static const char *parse_double(const char *text, double *v) {
    static const char *const words[] = {"nan", "inf", "-inf"};
    const double values[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        if (!strncmp(text, words[i], strlen(words[i]))) return *v = values[i], text + strlen(words[i]);
    char *end, *last;
    errno = 0;
    long long digits = strtoll(text, &end, 10);
    if (errno || end == text || *end != 'p') return NULL;
    long exponent = strtol(end + 1, &last, 10);
    if (errno || last == end + 1 || exponent < -2000 || exponent > 2000) return NULL;
    *v = ldexp((double)digits, (int)exponent);
    if (digits == 0 && *text == '-') *v = -0.0;
    return last;
}

/* Where the next part of a text goes, which may have become longer than there is room. */
#define REST text + (at < size ? at : size), at < size ? size - at : 0

static size_t print_doubles(const double *v, size_t n, char *text, size_t size) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char one[40];
        print_double(v[i], one, sizeof one);
        at += (size_t)snprintf(REST, "%s%s", i ? " " : "", one);
    }
    return at;
}

static size_t print_report(const dn_report *r, char *text, size_t size) {
    size_t at = (size_t)snprintf(text, size, "%d %d", r->single, r->supervised);
    for (int i = 0; i < r->n; i++) {
        char one[40];
        print_double(r->values[i].value, one, sizeof one);
        at += (size_t)snprintf(REST, " %s %s", r->values[i].name, one);
    }
    return at;
}

size_t dn_training_print(const dn_training_number *f, char *text, size_t size) {
    switch (f->type) {
    case DN_FIELD_INT: return (size_t)snprintf(text, size, "%d", *(const int *)f->at);
    case DN_FIELD_INT64: return (size_t)snprintf(text, size, "%lld", (long long)*(const int64_t *)f->at);
    case DN_FIELD_UINT64: return (size_t)snprintf(text, size, "%llu", (unsigned long long)*(const uint64_t *)f->at);
    case DN_FIELD_SIZE: return (size_t)snprintf(text, size, "%zu", *(const size_t *)f->at);
    case DN_FIELD_DOUBLE: return (size_t)print_double(*(const double *)f->at, text, size);
    case DN_FIELD_SUMS: return print_doubles(f->at, f->n, text, size);
    case DN_FIELD_REPORT: return print_report(f->at, text, size);
    default: return 0;
    }
}

static int set_whole(const dn_training_number *f, const char *text) {
    char *end;
    errno = 0;
    int negative = *text == '-', fits = (*text >= '0' && *text <= '9') || negative;
    long long whole = negative || f->type == DN_FIELD_INT || f->type == DN_FIELD_INT64 ? strtoll(text, &end, 10) : 0;
    if (f->type == DN_FIELD_INT || f->type == DN_FIELD_INT64) {
        if (!fits || errno || *end || (f->type == DN_FIELD_INT && whole != (int)whole)) return 0;
        if (f->type == DN_FIELD_INT)
            *(int *)f->at = (int)whole;
        else
            *(int64_t *)f->at = whole;
        return 1;
    }
    unsigned long long above = strtoull(text, &end, 10);
    if (!fits || negative || errno || *end || (f->type == DN_FIELD_SIZE && above > SIZE_MAX)) return 0;
    if (f->type == DN_FIELD_SIZE)
        *(size_t *)f->at = (size_t)above;
    else
        *(uint64_t *)f->at = above;
    return 1;
}

/* First checks, then sets, so that a bad text changes nothing. */
static int set_doubles(double *v, size_t n, const char *text) {
    for (int sets = 0; sets < 2; sets++) {
        const char *at = text;
        for (size_t i = 0; i < n; i++) {
            double one;
            if (!(at = parse_double(at, &one)) || *at != (i + 1 < n ? ' ' : 0)) return 0;
            if (sets) v[i] = one;
            at++;
        }
    }
    return n > 0 || !*text;
}

static int set_report(dn_report *to, const char *text) {
    dn_report r = {0};
    char *end;
    r.single = (int)strtol(text, &end, 10);
    if (end == text || *end != ' ') return 0;
    r.supervised = (int)strtol(text = end + 1, &end, 10);
    if (end == text || (*end && *end != ' ')) return 0;
    for (const char *at = end; *at; r.n++) {
        size_t size = strcspn(++at, " ");
        if (r.n == (int)(sizeof r.values / sizeof *r.values) || !size || size >= sizeof r.values[0].name) return 0;
        memcpy(r.values[r.n].name, at, size);
        if (at[size] != ' ' || !(at = parse_double(at + size + 1, &r.values[r.n].value))) return 0;
        if (*at && *at != ' ') return 0;
    }
    *to = r;
    return 1;
}

int dn_training_set(const dn_training_number *f, const char *text) {
    double one;
    const char *end;
    switch (f->type) {
    case DN_FIELD_INT:
    case DN_FIELD_INT64:
    case DN_FIELD_UINT64:
    case DN_FIELD_SIZE: return set_whole(f, text);
    case DN_FIELD_SUMS: return set_doubles(f->at, f->n, text);
    case DN_FIELD_REPORT: return set_report(f->at, text);
    case DN_FIELD_DOUBLE:
        if (!(end = parse_double(text, &one)) || *end) return 0;
        *(double *)f->at = one;
        return 1;
    default: return 0;
    }
}

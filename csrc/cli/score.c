/* The verb score: how unusual each row is, and the columns that contribute most. */
#include "cli/cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct score_job {
    cli_job job;
    dn_row_scores scores;
    size_t width; /* columns of truth */
    size_t top;
    const char **names; /* (width), or NULL: numbers */
    dn_model_notes notes;
} score_job;

/* ---- names of columns ---- */

static int score_names(score_job *j) {
    const dn_table *t = &j->job.table;
    const char *name = t->header;
    int code = cli_check(&j->job.args, dn_net_notes(j->job.net, &j->notes));
    if (code || j->job.truth || j->width != t->columns) return code;
    if (!name && (size_t)j->notes.n_columns == j->width) name = j->notes.columns;
    if (!name) return 0;
    if (!(j->names = malloc(j->width * sizeof *j->names))) {
        fprintf(stderr, "%s: out of memory\n", j->job.args.program);
        return DN_E_MEMORY;
    }
    for (size_t c = 0; c < j->width; c++, name += strlen(name) + 1) j->names[c] = name;
    return 0;
}

/* As a cell of a CSV file: quoted if a reader would otherwise misread it. */
static void put_cell(FILE *to, const char *text) {
    int quoted = !*text || *text == '#' || strpbrk(text, ",;\t \"\r\n");
    if (quoted) putc('"', to);
    for (const char *c = text; *c; c++) {
        if (*c == '"') putc('"', to);
        putc(*c, to);
    }
    if (quoted) putc('"', to);
}

static void put_json(FILE *to, const char *text) {
    putc('"', to);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            fprintf(to, "\\u%04x", *c);
        else
            fprintf(to, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    putc('"', to);
}

/* ---- rows ---- */

/* The columns with the largest values of a row, in that order; the same value: in the order of the columns. */
static void row_top(const float *values, size_t width, size_t top, size_t *found) {
    size_t n = 0;
    for (size_t c = 0; c < width; c++) {
        size_t at = n;
        while (at > 0 && values[found[at - 1]] < values[c]) at--;
        if (at == top) continue;
        if (n < top) n++;
        memmove(found + at + 1, found + at, (n - at - 1) * sizeof *found);
        found[at] = c;
    }
}

static void put_column(const score_job *j, FILE *to, size_t column) {
    if (!j->names)
        fprintf(to, "%zu", column);
    else
        (j->job.args.json ? put_json : put_cell)(to, j->names[column]);
}

static void put_row(const score_job *j, FILE *to, size_t row, const size_t *found) {
    const dn_row_scores *s = &j->scores;
    const float *values = s->values ? s->values + row * j->width : NULL;
    int json = j->job.args.json;
    fprintf(to,
            json ? "{\"row\": %zu, \"score\": %.9g, \"reconstruction\": %.9g, \"kl\": %.9g, \"columns\": ["
                 : "%zu,%.9g,%.9g,%.9g",
            row, s->score[row], s->reconstruction[row], s->kl[row]);
    for (size_t i = 0; i < j->top; i++) {
        fputs(json ? i ? ", {\"column\": " : "{\"column\": " : ",", to);
        put_column(j, to, found[i]);
        fprintf(to, json ? ", \"nats\": %.7g}" : ",%.7g", (double)values[found[i]]);
    }
    fputs(json ? "]}\n" : "\n", to);
}

/* All rows as text, in memory, so that a file is written completely or not at all. */
static int score_save(const score_job *j) {
    const cli_args *args = &j->job.args;
    char *text = NULL;
    size_t size = 0, *found = malloc((j->top + 1) * sizeof *found);
    FILE *to = found ? open_memstream(&text, &size) : NULL;
    int failed = !to;
    if (to && !args->json) {
        fputs("row,score,reconstruction,kl", to);
        for (size_t i = 0; i < j->top; i++) fprintf(to, ",column_%zu,nats_%zu", i + 1, i + 1);
        putc('\n', to);
    }
    for (size_t r = 0; to && r < j->job.table.rows; r++) {
        if (j->top) row_top(j->scores.values + r * j->width, j->width, j->top, found);
        put_row(j, to, r, found);
    }
    if (to) failed = (ferror(to) != 0) | (fclose(to) != 0);
    int code = DN_E_MEMORY;
    if (failed)
        fprintf(stderr, "%s: out of memory\n", args->program);
    else
        code = cli_check(args, dn_file_save(args->output ? args->output : "-", text, size));
    free(text);
    free(found);
    return code;
}

static int score_rows(score_job *j) {
    const cli_args *args = &j->job.args;
    size_t n = j->job.table.rows;
    dn_rows rows = cli_rows(&j->job.table, j->job.truth);
    dn_evaluate_options options = {.samples = (int)args->samples, .k = (int)args->k, .seed = args->seed};
    double *numbers = (double *)cli_floats(args, n, 6); /* three doubles a row */
    if (!numbers) return DN_E_MEMORY;
    j->scores = (dn_row_scores){.score = numbers, .reconstruction = numbers + n, .kl = numbers + 2 * n};
    if (j->top && !(j->scores.values = cli_floats(args, n, j->width))) return DN_E_MEMORY;
    return cli_check(args, dn_net_score_rows(j->job.net, &rows, &options, &j->scores));
}

int cli_score(const cli_args *args) {
    score_job j = {0};
    int code = cli_begin(&j.job, args), own_truth = !code && cli_own_truth(args, j.job.net);
    if (!code) code = cli_table(&j.job.args, j.job.net, args->data, 0, &j.job.table);
    if (!code && own_truth)
        code = cli_truth(&j.job.args, j.job.net, args->data, &j.job.table, &j.job.classes, &j.job.truth);
    j.width = (size_t)j.job.info.truths;
    j.top = (size_t)args->top < j.width ? (size_t)args->top : j.width;
    if (!code) code = score_names(&j);
    if (!code) code = score_rows(&j);
    if (!code) code = score_save(&j);
    free(j.scores.score);
    free(j.scores.values);
    free(j.names);
    return cli_end(&j.job, code);
}

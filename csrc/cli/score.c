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
    double threshold; /* of -quantile */
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
        cli_say(&j->job.args, "out of memory");
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
        (j->job.args.json ? cli_json_text : put_cell)(to, j->names[column]);
}

/* In JSON with all digits: in a float's, those of reconstruction and KL may not add up to the score. */
static void put_scores(FILE *to, int json, const double *parts) {
    static const char *const names[] = {"score", "reconstruction", "kl"};
    for (int i = 0; i < 3; i++) {
        fprintf(to, json ? ", \"%s\": " : ",", names[i]);
        if (json)
            cli_json_number(to, parts[i]);
        else
            fprintf(to, "%.9g", parts[i]);
    }
}

static void put_row(const score_job *j, FILE *to, size_t row, const size_t *found) {
    const dn_row_scores *s = &j->scores;
    const float *values = s->values ? s->values + row * j->width : NULL;
    int json = j->job.args.json;
    fprintf(to, json ? "{\"row\": %zu" : "%zu", row);
    put_scores(to, json, (const double[]){s->score[row], s->reconstruction[row], s->kl[row]});
    if (json) fputs(", \"columns\": [", to);
    for (size_t i = 0; i < j->top; i++) {
        fputs(json ? i ? ", {\"column\": " : "{\"column\": " : ",", to);
        put_column(j, to, found[i]);
        fprintf(to, json ? ", \"nats\": %.7g}" : ",%.7g", (double)values[found[i]]);
    }
    int above = j->job.args.quantile > 0 ? s->score[row] > j->threshold : -1;
    if (json)
        fputs(above < 0 ? "]}\n" : above ? "], \"above\": true}\n" : "], \"above\": false}\n", to);
    else
        fputs(above < 0 ? "\n" : above ? ",yes\n" : ",no\n", to);
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
        fputs(args->quantile > 0 ? ",above\n" : "\n", to);
    }
    for (size_t r = 0; to && r < j->job.table.rows; r++) {
        if (j->top) row_top(j->scores.values + r * j->width, j->width, j->top, found);
        put_row(j, to, r, found);
    }
    if (to && ferror(to)) failed = 1;
    if (to && fclose(to)) failed = 1;
    int code = DN_E_MEMORY;
    if (failed)
        cli_say(args, "out of memory");
    else
        code = cli_check(args, dn_file_save(args->output ? args->output : "-", text, size));
    free(text);
    free(found);
    return code;
}

/* The same of a typed table, as a table: after the row's number come its labels and identifiers. */
static void score_frame(const score_job *j, size_t before, cli_output *out) {
    const cli_args *args = &j->job.args;
    const size_t rows = j->job.frame.rows, more = j->job.table.rows - rows;
    const dn_row_scores *s = &j->scores;
    const float *values = s->values ? s->values + more * j->width : NULL;
    const struct {
        const char *name;
        const double *values;
    } numbers[] = {{"score", s->score + more}, {"reconstruction", s->reconstruction + more}, {"kl", s->kl + more}};
    size_t *found = malloc((j->top + 1) * sizeof *found);
    cli_output_begin(out, rows, (size_t)j->job.frame.n + 5 + 2 * j->top);
    double *number = cli_output_numbers(out, "row", 0, 0), **nats = calloc(j->top + 1, sizeof *nats);
    int32_t **columns = calloc(j->top + 1, sizeof *columns);
    out->failed |= !found || !nats || !columns;
    cli_output_given(out, dn_net_schema(j->job.net), &j->job.frame);
    for (size_t r = 0; number && r < rows; r++) number[r] = (double)(before + r);
    for (int i = 0; i < 3; i++) {
        double *to = cli_output_numbers(out, numbers[i].name, 0, -1);
        for (size_t r = 0; to && r < rows; r++) to[r] = cli_few_digits(numbers[i].values[r]);
    }
    for (size_t i = 0; !out->failed && i < j->top; i++) {
        columns[i] = cli_output_words(out, "column_%zu", i + 1, j->job.table.header, (int32_t)j->width);
        nats[i] = cli_output_numbers(out, "nats_%zu", i + 1, -1);
    }
    for (size_t r = 0; !out->failed && j->top && r < rows; r++) {
        row_top(values + r * j->width, j->width, j->top, found);
        for (size_t i = 0; i < j->top; i++) {
            columns[i][r] = (int32_t)found[i];
            nats[i][r] = cli_few_digits((double)values[r * j->width + found[i]]);
        }
    }
    int32_t *above = args->quantile > 0 ? cli_output_words(out, "above", 0, "no\0yes", 2) : NULL;
    for (size_t r = 0; above && r < rows; r++) above[r] = s->score[more + r] > j->threshold;
    free(found), free(nats), free(columns);
}

static int score_save_frame(const score_job *j) {
    cli_output out;
    score_frame(j, 0, &out);
    return cli_output_save(&j->job.args, &out, j->job.args.output);
}

/* ---- the threshold ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two scores next to it, in a line. */
static double quantile(double *scores, size_t n, double part) {
    qsort(scores, n, sizeof *scores, by_value);
    double at = part * (double)(n - 1);
    size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
    return scores[low] + (at - (double)low) * (scores[high] - scores[low]);
}

/* The score that -quantile is: of the rows of -data, or of those that are scored. */
static int score_threshold(score_job *j) {
    const cli_args *args = &j->job.args;
    dn_evaluate_options options = cli_draws(&j->job);
    dn_table table = {0};
    size_t n = j->job.table.rows, above = 0;
    int code = args->table ? cli_table(args, j->job.net, args->table, 0, &table) : 0;
    if (args->table) n = table.rows;
    double *scores = code ? NULL : (double *)cli_floats(args, n, 2);
    if (!code && !scores) code = DN_E_MEMORY;
    if (!code && args->table) {
        dn_rows rows = cli_rows(&table, NULL);
        code = cli_check(args, dn_net_score_rows(j->job.net, &rows, &options, &(dn_row_scores){.score = scores}));
    } else if (!code) {
        memcpy(scores, j->scores.score, n * sizeof *scores);
    }
    if (!code) j->threshold = quantile(scores, n, args->quantile);
    for (size_t r = 0; !code && r < j->job.table.rows; r++) above += j->scores.score[r] > j->threshold;
    if (!code && !args->quiet)
        cli_say(args, "%zu of %zu rows score above %.6g, the %g quantile of %s", above, j->job.table.rows, j->threshold,
                args->quantile, args->table ? args->table : args->data);
    free(scores);
    dn_table_free(&table);
    return code;
}

static int score_rows(score_job *j) {
    const cli_args *args = &j->job.args;
    size_t n = j->job.table.rows;
    dn_rows rows = cli_rows(&j->job.table, j->job.truth);
    dn_evaluate_options options = cli_draws(&j->job);
    double *numbers = (double *)cli_floats(args, n, 6); /* three doubles a row */
    if (!numbers) return DN_E_MEMORY;
    j->scores = (dn_row_scores){.score = numbers, .reconstruction = numbers + n, .kl = numbers + 2 * n};
    if (j->top && !(j->scores.values = cli_floats(args, n, j->width))) return DN_E_MEMORY;
    int code = 0;
    for (size_t at = 0, block; !code && at < n; at += block) {
        const dn_row_scores *s = &j->scores;
        block = j->job.truth ? n : cli_block(&j->job, n, &at);
        const dn_rows part = {.n = block, .x = rows.x + at * j->job.table.columns, .truth = rows.truth};
        dn_row_scores to = {.score = s->score + at,
                            .reconstruction = s->reconstruction + at,
                            .kl = s->kl + at,
                            .values = s->values ? s->values + at * j->width : NULL};
        code = cli_check(args, dn_net_score_rows(j->job.net, &part, &options, &to));
    }
    return code;
}

static void score_clear(score_job *j) {
    free(j->scores.score), free(j->scores.values);
    j->scores = (dn_row_scores){0};
}

/* The scores of a piece of a table. */
static int score_piece(cli_job *job, size_t before, size_t rows, void *context, cli_output *out) {
    score_job *j = context;
    (void)rows;
    int code = cli_rows_fit(&job->args, job->net, job->args.data, &job->table, NULL);
    if (!code) code = score_rows(j);
    if (!code) score_frame(j, before, out);
    score_clear(j);
    return code;
}

/* With many draws a pass has so few rows that their number shows in the last digits. */
static int score_at_once(const cli_args *args) { return args->samples > 4 || args->k > 4; }

int cli_score(const cli_args *args) {
    score_job j = {0};
    int code = args->table && !(args->quantile > 0)
                   ? cli_usage(args, "score: -data is the table that a -quantile is of: give both")
                   : cli_begin(&j.job, args);
    int own_truth = !code && cli_own_truth(args, j.job.net), typed = !code && dn_net_schema(j.job.net);
    if (!code && args->table && own_truth) code = cli_usage(args, "score: -data is about networks that need no truth");
    j.width = (size_t)j.job.info.truths;
    j.top = (size_t)args->top < j.width ? (size_t)args->top : j.width;
    if (!code && typed && !own_truth && !args->json && !(args->quantile > 0))
        return cli_end(&j.job, cli_pieces(&j.job, score_at_once(args), score_piece, &j));
    if (!code)
        code = typed ? cli_coded(&j.job.args, j.job.net, args->data, &j.job.table, &j.job.frame)
                     : cli_table(&j.job.args, j.job.net, args->data, 0, &j.job.table);
    if (!code && own_truth)
        code = cli_truth(&j.job.args, j.job.net, args->data, &j.job.table, &j.job.classes, &j.job.truth);
    if (!code) code = cli_rows_fit(&j.job.args, j.job.net, args->data, &j.job.table, j.job.truth);
    if (!code) code = score_names(&j);
    if (!code) code = score_rows(&j);
    if (!code && args->quantile > 0) code = score_threshold(&j);
    if (!code) code = typed && !args->json ? score_save_frame(&j) : score_save(&j);
    score_clear(&j);
    free(j.names);
    return cli_end(&j.job, code);
}

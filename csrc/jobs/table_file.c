/* A table's file with its gaps filled. */
#include "base/sys.h"
#include "base/text.h"
#include "io/frame.h"
#include "net/network.h"
#include <string.h>

typedef struct file_job {
    dn_net *net;
    dn_frame given, made;
    dn_table table;
    dn_imputed *out;
} file_job;

static dn_status file_warnings(file_job *j) {
    dn_text text = {0};
    const char *const parts[] = {j->given.warnings, j->table.warnings};
    for (int i = 0; i < 2; i++) {
        if (!parts[i] || !*parts[i]) continue;
        if (text.size && text.bytes[text.size - 1] != '\n') dn_text_add(&text, "\n", 1);
        dn_text_add(&text, parts[i], strlen(parts[i]));
    }
    j->out->warnings = text.bytes;
    return text.status;
}

static size_t file_gaps(const dn_frame *frame) {
    size_t gaps = 0;
    for (int i = 0; i < frame->n; i++) {
        const dn_frame_column *c = &frame->columns[i];
        for (size_t r = 0; r < frame->rows; r++)
            gaps += c->type == DN_FRAME_TEXT ? c->codes[r] < 0 : c->numbers[r] != c->numbers[r];
    }
    return gaps;
}

/* Only what the network makes fills a gap, not the numbers that take the place of identifiers. */
static void file_columns(file_job *j, const dn_schema *schema) {
    dn_column_info c;
    int n = 0;
    for (int k = 0; k < j->made.n; k++)
        for (int i = 0; dn_schema_column(schema, i, &c); i++)
            if (!strcmp(c.name, j->made.columns[k].name) && c.kind != DN_COLUMN_IDENTIFIER) {
                j->made.columns[n++] = j->made.columns[k];
                break;
            }
    j->made.n = n;
}

static dn_status file_run(file_job *j, frame_source *source, const char *name, const dn_frame_options *options,
                          int rounds, const char *output) {
    const dn_schema *schema = dn_net_schema(j->net);
    DN_CHECK(schema, DN_E_USAGE, "%s: gaps are filled by a model of a table: this network has no columns",
             j->net->cfg->path);
    DN_TRY(dn_frame_read(&j->given, source, name, options));
    DN_TRY(dn_schema_table(schema, &j->given, name, &j->table));
    DN_TRY(file_warnings(j));
    DN_TRY(dn_net_impute(j->net, j->table.values, j->table.rows, rounds, j->table.values));
    DN_TRY(dn_schema_decode(schema, j->table.values, j->table.rows, &j->made));
    dn_table_free(&j->table);
    file_columns(j, schema);
    j->out->rows = j->given.rows;
    DN_TRY(dn_frame_fill(source, name, options, &j->given, &j->made, output, &j->out->filled));
    j->out->left = file_gaps(&j->given) - j->out->filled;
    return DN_OK;
}

static dn_status impute_file(dn_net *net, const char *path, const dn_frame_options *options, int rounds,
                             const char *output, dn_imputed *out) {
    static const dn_frame_options usual;
    const char *name = strcmp(path, "-") ? path : "standard input";
    file_job j = {.net = net, .out = out};
    frame_source *source;
    *out = (dn_imputed){0};
    DN_TRY(dn_frame_source_open(&source, path, name));
    dn_status status = file_run(&j, source, name, options ? options : &usual, rounds, output);
    dn_frame_source_close(source);
    dn_frame_free(&j.given);
    dn_frame_free(&j.made);
    dn_table_free(&j.table);
    if (status != DN_OK) dn_bytes_free(out->warnings), *out = (dn_imputed){0};
    return status;
}

dn_status dn_net_impute_file(dn_net *net, const char *path, const dn_frame_options *options, int rounds,
                             const char *output, dn_imputed *out) {
    DN_EXCLUSIVE(net, impute_file(net, path, options, rounds, output, out));
}

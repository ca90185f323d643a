/* The columns of a table, or of the one that a model learned. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

static void warn_lines(const cli_args *args, const char *lines) {
    for (size_t n; lines && *lines; lines += n + (lines[n] == '\n')) {
        n = strcspn(lines, "\n");
        if (n) cli_warn(args, "%.*s", (int)n, lines);
    }
}

/* Learned as `init` and `train` learn it. */
static int columns_of_table(const cli_args *args, dn_schema **schema) {
    dn_frame frame;
    const dn_frame_options how = {.header = args->header ? 1 : args->no_header ? -1 : 0, .max_rows = args->rows};
    const dn_schema_options options = {.label_column = args->label_column};
    int code = cli_check(args, dn_frame_load(&frame, args->cfg, &how));
    if (code) return code;
    warn_lines(args, frame.warnings);
    code = cli_check(args, dn_schema_learn(schema, &frame, &options));
    if (!code) warn_lines(args, dn_schema_warnings(*schema));
    dn_frame_free(&frame);
    return code;
}

static int columns_of_model(const cli_args *args, dn_schema **schema) {
    int code = cli_check(args, dn_schema_load(schema, args->cfg));
    if (code || *schema) return code;
    fprintf(stderr,
            "%s: %s: a model without a schema of columns: it was trained on a matrix of numbers; info %s shows it\n",
            args->program, args->cfg, args->cfg);
    return DN_E_FORMAT;
}

int cli_columns(const cli_args *args) {
    dn_schema *schema = NULL;
    int code = dn_is_model_file(args->cfg) ? columns_of_model(args, &schema) : columns_of_table(args, &schema);
    if (code) return code;
    size_t (*write)(const dn_schema *, char *, size_t) = args->json ? dn_schema_json : dn_schema_text;
    size_t size = write(schema, NULL, 0) + 1;
    char *text = malloc(size);
    if (text) {
        write(schema, text, size);
        fputs(text, stdout);
    } else {
        fprintf(stderr, "%s: out of memory: %zu bytes wanted\n", args->program, size);
        code = DN_E_MEMORY;
    }
    free(text);
    dn_schema_free(schema);
    return code ? code : cli_flush(args);
}

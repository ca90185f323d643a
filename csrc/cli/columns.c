/* The columns of a table, or of the one that a model learned. */
#include "cli/cli.h"
#include <stdlib.h>

/* Learned as `init` and `train` learn it. */
static int columns_of_table(const cli_args *args, dn_schema **schema) {
    dn_frame frame = {0};
    const dn_schema_options options = cli_schema_options(args);
    int code = cli_frame(args, args->cfg, &frame);
    if (!code) code = cli_check(args, dn_schema_learn(schema, &frame, &options));
    if (!code) code = cli_warn_learned(args, *schema);
    dn_frame_free(&frame);
    return code;
}

static int columns_of_model(const cli_args *args, dn_schema **schema) {
    int code = cli_check(args, dn_schema_load(schema, args->cfg));
    if (code || *schema) return code;
    cli_say(args, "%s: a model without a schema of columns: it was trained on a matrix of numbers; info %s shows it",
            args->cfg, args->cfg);
    return DN_E_FORMAT;
}

int cli_columns(const cli_args *args) {
    dn_schema *schema = NULL;
    int model = dn_is_model_file(args->cfg);
    if (model && (args->label_column || args->row_weight || args->drop || args->as_number || args->as_category ||
                  args->condition))
        return cli_usage(args, "%s is a model, which has learned its columns: options of learning are for tables",
                         args->cfg);
    int code = model ? columns_of_model(args, &schema) : columns_of_table(args, &schema);
    if (code) return code;
    size_t (*write)(const dn_schema *, char *, size_t) = args->json ? dn_schema_json : dn_schema_text;
    size_t size = write(schema, NULL, 0) + 1;
    char *text = malloc(size);
    if (text) {
        write(schema, text, size);
        fputs(text, stdout);
    } else {
        cli_say(args, "out of memory: %zu bytes wanted", size);
        code = DN_E_MEMORY;
    }
    free(text);
    dn_schema_free(schema);
    return code ? code : cli_flush(args);
}

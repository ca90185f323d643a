/* From a table alone to a network: init, and train without a cfg. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

int cli_is_table(const cli_args *args) {
    if (!(args->verb->bit & CLI_LEARNS) || !args->cfg || args->data) return 0;
    return !cli_ends_in(args->cfg, ".cfg") && !cli_ends_in(args->cfg, ".weights") && !dn_is_model_file(args->cfg);
}

dn_schema_options cli_schema_options(const cli_args *args) {
    return (dn_schema_options){.label_column = args->label_column,
                               .row_weight = args->row_weight,
                               .drop = args->drop,
                               .as_number = args->as_number,
                               .as_category = args->as_category,
                               .condition = args->condition};
}

static int learn_nothing(const cli_args *args, const char *path, const dn_frame *frame) {
    cli_say(args, "%s: nothing can be learned from %zu row%s of %d column%s: %s", path, frame->rows,
            frame->rows == 1 ? "" : "s", frame->n, frame->n == 1 ? "" : "s",
            frame->rows == 1 ? "more rows are wanted"
                             : "each column has a single value, is an identifier or the label, or is dropped");
    return DN_E_FORMAT;
}

int cli_warn_learned(const cli_args *args, const dn_schema *schema) {
    static const char key[] = "; as_"; /* "as_number keeps it" */
    const char *lines = dn_schema_warnings(schema);
    size_t n = strlen(lines), size = 0;
    char *text = malloc(2 * n + 1);
    if (!text) return cli_say(args, "out of memory"), DN_E_MEMORY;
    for (const char *p = lines; *p; p++) {
        if (!strncmp(p, key, sizeof key - 1))
            size += (size_t)sprintf(text + size, "; -as-"), p += sizeof key - 2;
        else
            text[size++] = *p;
    }
    text[size] = 0;
    cli_warn_lines(args, text);
    free(text);
    return 0;
}

/* What the columns of a table are; warnings say what was left out. */
static int learn_schema(const cli_args *args, const char *path, const dn_schema_options *options, dn_frame *frame,
                        dn_schema **schema) {
    int code = cli_frame(args, path, frame);
    if (!code) code = cli_check(args, dn_schema_learn(schema, frame, options));
    if (!code && !dn_schema_coded(*schema)) return learn_nothing(args, path, frame);
    return code ? code : cli_warn_learned(args, *schema);
}

/* The text of a cfg for it, to be freed. */
static int learn_cfg(const cli_args *args, const dn_schema *schema, size_t rows, char **text) {
    dn_init_options options = {.latent = (int)args->latent_size,
                               .table = strcmp(args->cfg, "-") ? args->cfg : "table.csv"};
    size_t size = dn_schema_cfg(schema, rows, &options, NULL, 0) + 1;
    if (size == 1 || !(*text = malloc(size))) {
        cli_say(args, "out of memory");
        return DN_E_MEMORY;
    }
    dn_schema_cfg(schema, rows, &options, *text, size);
    return 0;
}

int cli_init(const cli_args *args) {
    dn_frame frame = {0};
    dn_schema *schema = NULL;
    dn_schema_options options = cli_schema_options(args);
    char *text = NULL;
    int code = args->output ? cli_writable(args, "output", args->output) : 0;
    if (!code) code = learn_schema(args, args->cfg, &options, &frame, &schema);
    if (!code) code = learn_cfg(args, schema, dn_schema_rows(schema), &text);
    if (!code) code = cli_check(args, dn_file_save(args->output ? args->output : "-", text, strlen(text)));
    free(text);
    dn_schema_free(schema);
    dn_frame_free(&frame);
    return code;
}

int cli_learn(cli_args *args, dn_net **net, dn_frame *frame) {
    dn_schema *schema = NULL;
    dn_schema_options options = cli_schema_options(args);
    char *text = NULL;
    int code = learn_schema(args, args->cfg, &options, frame, &schema);
    if (!code) code = learn_cfg(args, schema, dn_schema_rows(schema), &text);
    if (!code) code = cli_network_text(args, text, net);
    if (!code) code = cli_check(args, dn_net_set_schema(*net, schema));
    args->data = args->cfg;
    free(text);
    dn_schema_free(schema);
    return code;
}

/* The option among those given that is about learning the columns of a table; NULL: none. */
static const char *learn_option(const cli_args *args) {
    return args->drop          ? "drop"
           : args->as_number   ? "as-number"
           : args->as_category ? "as-category"
           : args->condition   ? "condition"
           : args->latent_size ? "latent"
                               : NULL;
}

int cli_learn_columns(const cli_args *args, dn_net *net, dn_frame *frame) {
    dn_layer_info first = {0};
    const char *option = learn_option(args);
    if (option)
        return cli_usage(args, "-%s is about a table without a CFG: %s says what the network and its columns are",
                         option, args->cfg);
    int code = cli_check(args, dn_layer_info_get(net, 0, &first));
    if (code || dn_net_schema(net) || strcmp(first.type, "columns")) return code;
    code = cli_frame(args, args->data, frame);
    if (code) return code;
    code = cli_check(args, dn_net_learn_schema(net, frame, args->label_column));
    if (!code) cli_warn_lines(args, dn_schema_warnings(dn_net_schema(net)));
    return code;
}

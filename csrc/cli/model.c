/* Verbs about files of networks: info, convert. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

int cli_info(const cli_args *args) {
    size_t length = 0;
    char found[CLI_PATH];
    const char *path = cli_find(args->cfg, found);
    if (cli_ends_in(path, ".cfg"))
        return cli_usage(args, "info is about model files and weights files; for a cfg: inspect %s", args->cfg);
    int code = cli_check(args, dn_model_info(path, args->json, NULL, 0, &length));
    if (code) return code;
    char *text = malloc(length + 1);
    if (!text) {
        cli_say(args, "out of memory: %zu bytes wanted", length);
        return DN_E_MEMORY;
    }
    code = cli_check(args, dn_model_info(path, args->json, text, length + 1, &length));
    if (!code && args->json) fputs(text, stdout);
    if (!code && !args->json) cli_put(stdout, text);
    free(text);
    return code ? code : cli_flush(args);
}

/* Labels that are beside the weights belong into a model file. */
static int convert_classes(const cli_args *args, dn_net *net) {
    dn_model_notes notes;
    dn_classes classes;
    int code = cli_classes(args, net, &classes);
    if (!code) code = cli_check(args, dn_net_notes(net, &notes));
    if (!code && classes.n) {
        notes.classes = classes;
        code = cli_check(args, dn_net_set_notes(net, &notes));
    }
    dn_classes_free(&classes);
    return code;
}

/* Which files there are now. */
static int convert_report(const cli_args *args, const dn_net *net, int model) {
    char labels[CLI_PATH] = "";
    dn_classes classes = {0};
    int code = model ? 0 : cli_check(args, dn_net_classes(net, &classes));
    if (!code && classes.n) dn_classes_path(args->data, labels, sizeof labels);
    if (!code && model) fprintf(stderr, "saved %s\n", args->data);
    if (!code && !model)
        fprintf(stderr, "saved %s, %.*s.cfg%s%s\n", args->data, (int)(strlen(args->data) - strlen(".weights")),
                args->data, *labels ? ", " : "", labels);
    dn_classes_free(&classes);
    return code;
}

int cli_convert(const cli_args *args) {
    cli_args own = *args;
    dn_net *net = NULL;
    int model = cli_is_model_name(args->data);
    if (!model && !cli_ends_in(args->data, ".weights"))
        return cli_usage(args, "convert: %s ends in neither .safetensors (a model file) nor .weights (Darknet)",
                         args->data);
    if (cli_same_file(args->cfg, args->data)) return cli_usage(args, "convert: %s is the input", args->data);
    if (args->gpu < 0) own.cpu = 1; /* nothing is computed */
    own.data = NULL;
    int code = cli_network(&own, &net);
    if (!code) code = convert_classes(&own, net);
    if (!code) code = cli_check(args, model ? dn_net_save(net, args->data) : dn_net_save_pair(net, args->data));
    if (!code && !model && dn_net_schema(net))
        cli_warn(args, "%s has the parameters, but not what the columns of the table are: a model file keeps both",
                 args->data);
    if (!code && !args->quiet) code = convert_report(args, net, model);
    dn_net_destroy(net);
    return code;
}

/* The stand-alone binary: verbs over darknet.h, and nothing else of the library. */
#ifndef DN_CLI_H
#define DN_CLI_H
#include "../darknet.h"

typedef struct cli_args {
    const char *cfg, *data; /* positional */
    const char *weights, *output, *save, *label_column, *device;
    long rows, epochs, threads, batch, count, gpu;
    unsigned long long seed;
    double learning_rate, scale;
    int quiet, json, cpu, no_shuffle;
} cli_args;

/* Options may stand anywhere. Returns 0, or an exit code after its line on standard error. */
int cli_parse(cli_args *args, int argc, char **argv);
/* "darknet: message" on standard error; returns the status for exit. */
int cli_fail(dn_status status);
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The network of the arguments, with weights when given (need: they must be). */
dn_status cli_network(const cli_args *args, int need_weights, dn_net **net);
/* The table of the arguments, as wide as `columns`. */
dn_status cli_table(const cli_args *args, const dn_net *net, int columns, dn_table *table);

int cli_train(const cli_args *args);
int cli_sample(const cli_args *args);
int cli_encode(const cli_args *args);
int cli_reconstruct(const cli_args *args);
int cli_predict(const cli_args *args);
int cli_evaluate(const cli_args *args);
int cli_inspect(const cli_args *args);
#endif

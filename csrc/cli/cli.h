/* The stand-alone binary: verbs over darknet.h, and nothing else of the library. */
#ifndef DN_CLI_H
#define DN_CLI_H
#include "../darknet.h"

typedef struct cli_args {
    const char *cfg, *data; /* positional */
    const char *weights, *output, *save, *label_column, *target, *valid, *precision;
    long rows, epochs, threads, batch, count, gpu;
    unsigned long long seed;
    double learning_rate, scale, holdout;
    int quiet, json, cpu, no_shuffle, labels;
} cli_args;

/* Options may stand anywhere. Returns 0, or an exit code after its line on standard error. */
int cli_parse(cli_args *args, int argc, char **argv);
/* "darknet: message" on standard error; returns the status for exit. */
int cli_fail(dn_status status);
/* For memory that the program itself asked for; cli_fail then says so. */
dn_status cli_no_memory(size_t rows);
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The network of the arguments, with weights when given (need: they must be). */
dn_status cli_network(const cli_args *args, int need_weights, dn_net **net);
/* A table of rows for the network, or of latent vectors. */
dn_status cli_table(const cli_args *args, const dn_net *net, const char *path, int latents, dn_table *table);
/* Does the network learn a truth of its own from these arguments? */
int cli_supervised(const cli_args *args, const dn_net *net);
/* Its truth, (rows, truths) to be freed. Labels become classes; those beside the weights count, when there are any. */
dn_status cli_truth(const cli_args *args, const dn_net *net, const char *path, const dn_table *table,
                    dn_classes *classes, float **truth);
/* Named values on standard output: "name value  name value", or JSON. */
typedef struct cli_value {
    const char *name;
    double value;
} cli_value;
int cli_print(const cli_args *args, const cli_value *values, int n);

int cli_train(const cli_args *args);
int cli_sample(const cli_args *args);
int cli_encode(const cli_args *args);
int cli_reconstruct(const cli_args *args);
int cli_predict(const cli_args *args);
int cli_evaluate(const cli_args *args);
int cli_inspect(const cli_args *args);
#endif

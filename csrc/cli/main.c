/* darknet: autoencoders and variational autoencoders from the shell. */
#include "cli.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct verb {
    const char *name;
    int (*run)(const cli_args *);
    const char *help;
} verbs[] = {
    {"train", cli_train, "CFG TRAIN.csv [-weights W] [-N n] [-output F]  train; writes vae.weights, latent_space.txt"},
    {"sample", cli_sample, "CFG [LATENTS.csv | -n 16 -seed 1] -weights W   decode latent vectors, or the prior"},
    {"encode", cli_encode, "CFG ROWS.csv -weights W                        latent means"},
    {"reconstruct", cli_reconstruct, "CFG ROWS.csv -weights W                        decode the mean of every row"},
    {"evaluate", cli_evaluate, "CFG ROWS.csv -weights W [-output F]            the losses; F: of every row, as scores"},
    {"predict", cli_predict, "CFG ROWS.csv -weights W [-labels]              output of any network"},
    {"inspect", cli_inspect, "CFG [-json]                                    the layers"},
};

static int help(void) {
    puts("usage: darknet [vae|autoencoder] VERB CFG [CSV] [options]\n");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) printf("  %-12s %s\n", verbs[i].name, verbs[i].help);
    puts(
        "\noptions, with one dash or two, anywhere after the verb:\n"
        "  -weights W        start from, or use, these weights\n"
        "  -N n              the first n rows only\n"
        "  -output F         train: ten inputs and outputs per epoch, F_input_0.txt ...; else the result's file\n"
        "  -save PATH        where train writes the weights (vae.weights)\n"
        "  -epochs e  -batch b  -lr r  -seed s  -threads t  -no-shuffle\n"
        "  -scale s          divide the CSV by s    -label-column c   a column by name or index that is not data\n"
        "  -valid F.csv      train: evaluate on these rows after every epoch; -holdout 0.2: on this part of "
        "TRAIN.csv,\n"
        "                    which is then not trained on\n"
        "  -target a,b,-1    columns to predict, in the file's units: names, or indexes from 0, negative from the end\n"
        "  -labels           predict: the label in front of every row\n"
        "  -quiet  -json     -i N (GPU)  -nogpu  -precision float32|tf32|bf16 (of products, on a GPU)\n\n"
        "train takes its job from the network: a sampling layer makes a variational autoencoder; a softmax or "
        "logistic\n"
        "loss over the label column, or -target, makes supervised training (CFG's name + .weights, .labels.txt); else\n"
        "an autoencoder.\n\n"
        "exit codes: 0 fine, 1 numeric failure, 2 usage, 3 bad input file, 4 input/output, 5 out of memory,\n"
        "6 no such device, 130/143 interrupted");
    return 0;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) return help(), DN_E_USAGE;
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-version")) return puts(dn_build_info()), 0;
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-help") || !strcmp(argv[1], "help")) return help();
    int at = 1, autoencoder = !strcmp(argv[1], "autoencoder");
    if (autoencoder || !strcmp(argv[1], "vae")) at++;
    const struct verb *verb = NULL;
    for (size_t i = 0; at < argc && i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(argv[at], verbs[i].name)) verb = &verbs[i];
    if (verb)
        at++;
    else if (autoencoder) /* `autoencoder CFG CSV` trains */
        verb = &verbs[0];
    else
        return cli_usage("unknown command '%s'", at < argc ? argv[at] : argv[1]);
    cli_args args;
    int code = cli_parse(&args, argc - at, argv + at);
    return code ? code : verb->run(&args);
}

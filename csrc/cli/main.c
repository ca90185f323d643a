/* darknet: autoencoders and variational autoencoders from the shell. */
#include "base/nearest.h"
#include "cli/cli.h"
#include <fcntl.h>
#include <string.h>

const cli_verb cli_verbs[] = {
    {"train", CLI_TRAIN, cli_train, "CFG TRAIN.csv, or TRAIN.csv",
     "train, from scratch or -weights; write weights and latents", 2, 2,
     "\nThe network decides what is trained: with a sampling layer, a variational\n"
     "autoencoder; with a softmax or logistic loss over the label column, or with\n"
     "-target, a supervised model (its weights are named after the CFG, and its\n"
     "labels are saved beside them); otherwise an autoencoder. Ctrl-C ends the\n"
     "training and saves what was learned; with -checkpoint it can be resumed.\n\n"
     "A table alone, TRAIN.csv, may have numbers, words, dates and gaps: its columns\n"
     "are learned, a network is chosen (init shows it), and the model is saved as\n"
     "TRAIN.safetensors, which sample, encode, score, impute and other verbs take.\n"
     "A model in place of the CFG is trained further, on a table with its columns."},
    {"init", CLI_INIT, cli_init, "DATA.csv", "a commented cfg for a table", 1, 1,
     "\nWhat the columns are, and a network for them with every key explained: save it\n"
     "as data.cfg, change what you like, and train data.cfg DATA.csv."},
    {"sample", CLI_SAMPLE, cli_sample, "CFG [LATENTS.csv] -weights W",
     "decode latent vectors: -n random ones, or those of a CSV", 1, 2,
     "\nWith -n, latents are drawn from the network's prior, or with -prior gmm from a\n"
     "mixture of Gaussians fitted to the latents of a table: -data TRAIN.csv. A model\n"
     "of a table gives rows with its columns, drawn from the likelihood. With -where\n"
     "all rows fulfil conditions (=, !=, <, <=, >, >=): the model is given them if it\n"
     "was trained with -condition, else rows are drawn until enough are as wanted."},
    {"interpolate", CLI_INTERPOLATE, cli_interpolate, "CFG ROWS.csv -weights W",
     "decoded rows on the way between two rows of a table", 2, 2,
     "\nThe first line is the reconstruction of the one row, the last that of the\n"
     "other; those between are decoded from evenly spaced latent vectors."},
    {"traverse", CLI_TRAVERSE, cli_traverse, "CFG [ROWS.csv] -dim j -weights W",
     "decoded rows along a latent dimension", 1, 2,
     "\nFrom -r to r around 0, the middle of N(0, 1), or around the latent mean of a\n"
     "row of a table; the other dimensions stay as they are."},
    {"encode", CLI_ENCODE, cli_encode, "CFG ROWS.csv -weights W", "the latent mean of every row", 2, 2,
     "\nOf a table: with a header, after the row's label and identifier."},
    {"reconstruct", CLI_RECONSTRUCT, cli_reconstruct, "CFG ROWS.csv -weights W", "decode the latent mean of every row",
     2, 2, NULL},
    {"predict", CLI_PREDICT, cli_predict, "CFG ROWS.csv -weights W", "the output of any network for every row", 2, 2,
     NULL},
    {"evaluate", CLI_EVALUATE, cli_evaluate, "CFG ROWS.csv -weights W",
     "the losses; with -output F also the total_loss of every row", 2, 2,
     "\nMeans over the rows, with z at its mean; for supervised networks also accuracy,\n"
     "or mse and r2. With a likelihood and a sampling layer also reconstruction, kl\n"
     "and elbo, with z drawn, and with -k the log-likelihood. -latent adds the KL of\n"
     "every latent dimension, how many of them are active, and what a PCA and the\n"
     "columns' means reach on the same rows."},
    {"score", CLI_SCORE, cli_score, "CFG ROWS.csv -weights W", "how unusual every row is, and which columns make it so",
     2, 2,
     "\nA line for every row: its score, which is higher for rows unlike the training\n"
     "data, the parts that it is the sum of (without -k), and the columns that\n"
     "contribute most, by name or counted from 0, with their contributions to\n"
     "reconstruction. With a likelihood and a sampling layer the score is minus the\n"
     "ELBO in nats, with -k minus the log-likelihood; otherwise the total loss at the\n"
     "mean of z."},
    {"impute", CLI_IMPUTE, cli_impute, "MODEL ROWS.csv", "the table with its missing cells filled", 2, 2,
     "\nMissing are empty cells, NA, N/A, nan, null, None, ? and -. They are filled\n"
     "with what the model makes of the row's other cells, which stay as they are,\n"
     "letter by letter."},
    {"inspect", CLI_INSPECT, cli_inspect, "CFG", "the layers: shapes, parameters, arithmetic, memory", 1, 1, NULL},
    {"check", CLI_CHECK, cli_check_network, "CFG [ROWS.csv]",
     "is the network computed right? gradients, losses, update", 1, 2,
     "\nGradients are compared with differences of the loss, losses and their\n"
     "derivatives with formulas in double precision, steps of plain SGD and of the\n"
     "network's optimizer with theirs, for the first rows of the CSV or for random\n"
     "ones, and for a whole batch, such as n=32. The exit code is 1 if anything\n"
     "differs. It writes no files. The error is relative; of differences it is only\n"
     "what exceeds their own uncertainty, so often 0."},
    {"info", CLI_INFO, cli_info, "MODEL", "what a model file or a weights file holds", 1, 1, NULL},
    {"columns", CLI_COLUMNS, cli_columns, "MODEL|DATA.csv", "the columns of a table, or of the one a model learned", 1,
     1,
     "\nA line for every column: its kind, how many cells are missing, how it becomes\n"
     "numbers, and its values, words with how many rows have them. docs/tables.md has\n"
     "the rules; -json writes all that the model keeps."},
    {"convert", CLI_CONVERT, cli_convert, "MODEL|CFG OUTPUT", "between a model file and CFG with weights", 2, 2,
     "\nOUTPUT.safetensors is a model file: one file with the network and its\n"
     "parameters. OUTPUT.weights is a Darknet weights file; the cfg, labels and\n"
     "files that the cfg names are written beside it, where no others are."},
    {"plot", 0, NULL, "PICTURE ...", "pictures of training, latents, manifold, samples", 0, 0, NULL},
    {"report", 0, NULL, "MODEL", "one HTML page about a model: numbers, pictures, what to do", 0, 0, NULL},
    {"explore", 0, NULL, "MODEL", "the latent space in the browser", 0, 0, NULL},
    {"export", 0, NULL, "MODEL -c F.c", "the network for C, ONNX, PyTorch or NumPy", 0, 0, NULL},
    {"import", 0, NULL, "CFG WEIGHTS -save F", "weights from PyTorch or ONNX", 0, 0, NULL},
    {"dataset", 0, NULL, "NAME -output F.csv", "MNIST, Fashion-MNIST or the digits as CSV", 0, 0, NULL},
    {"report-synthetic", 0, NULL, "REAL.csv SYNTHETIC.csv", "how much drawn rows are like real ones", 0, 0, NULL},
    {NULL, 0, NULL, NULL, NULL, 0, 0, NULL},
};

/* Darknet's other commands, and what replaces them here. */
static const struct {
    const char *names[12], *instead;
} elsewhere[] = {
    {{"detector", "detect", "yolo", "coco", "lsd"},
     "Network.detect(image) in Python runs a detector's cfg and weights"},
    {{"classifier", "classify", "imagenet", "cifar", "captcha", "tag", "dice", "regressor", "compare", "writing"},
     "train, predict and evaluate take any network and its rows as CSV"},
    {{"rnn", "char-rnn", "go", "vid"}, "train and predict take tables as sequences of time_steps rows"},
    {{"segmenter", "isegmenter"}, "Network.predict in Python runs their cfgs and weights"},
    {{"visualize", "speed", "ops", "statistics", "normalize", "partial", "average", "rescale", "reset", "oneoff"},
     "inspect shows a network's layers; Python's Network has load_weights, save and layers[i].params"},
};

static int known_elsewhere(const cli_args *args, const char *word) {
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        for (int k = 0; k < 12 && elsewhere[i].names[k]; k++)
            if (!strcmp(word, elsewhere[i].names[k]))
                return cli_usage(args, "Darknet's command '%s' is not here: %s", word, elsewhere[i].instead);
    return 0;
}

static int unknown_verb(const cli_args *args, const char *word) {
    int code = known_elsewhere(args, word);
    if (code) return code;
    dn_nearest nearest;
    dn_nearest_begin(&nearest, word, strlen(word));
    for (const cli_verb *v = cli_verbs; v->name; v++) dn_nearest_try(&nearest, v->name, strlen(v->name));
    if (nearest.found) return cli_usage(args, "unknown command '%s' (did you mean %s?)", word, nearest.found);
    return cli_usage(args, "unknown command '%s'", word);
}

static const cli_verb *find_verb(const char *word) {
    for (const cli_verb *v = cli_verbs; v->name; v++)
        if (!strcmp(word, v->name)) return v;
    return NULL;
}

static int is_command(const char *word) {
    return find_verb(word) || !strcmp(word, "vae") || !strcmp(word, "autoencoder");
}

static int is_help(const char *word) {
    return !strcmp(word, "--help") || !strcmp(word, "-help") || !strcmp(word, "-h") || !strcmp(word, "help");
}

/* Take the verb out of the words, together with a preceding vae or autoencoder. Options may stand before it. */
static int take_verb(cli_args *args, int *argc, char **argv) {
    int n = 0, at = -1, autoencoder = 0, left = 0;
    for (int i = 0; i < *argc && at < 0; i++)
        if (argv[i][0] != '-')
            at = i;
        else if (cli_takes_value(argv[i]) && i + 1 < *argc && !is_command(argv[i + 1]))
            i++; /* such as the 0 of -i 0 */
    if (at < 0)
        return cli_usage(args, "no command: which of train, init, sample, interpolate, traverse, encode, reconstruct, "
                               "predict, evaluate, score, impute, inspect, check, info, columns, convert?");
    const char *word = argv[at];
    if ((autoencoder = !strcmp(word, "autoencoder")) || !strcmp(word, "vae")) {
        word = at + 1 < *argc ? argv[at + 1] : "";
        if (!*word || is_help(word)) args->help = !*word && autoencoder ? 0 : 1;
        args->verb = find_verb(word);
        n = args->verb || args->help ? 2 : 1;
        if (!args->verb && autoencoder) args->verb = &cli_verbs[0]; /* `autoencoder CFG CSV` trains */
    } else {
        args->verb = find_verb(word);
        n = 1;
    }
    if (args->help) return 0;
    if (!args->verb) return unknown_verb(args, word);
    for (int i = 0; i < *argc; i++)
        if (i < at || i >= at + n) argv[left++] = argv[i];
    *argc = left;
    if (args->verb->bit) return 0;
    args->verb = NULL;
    return cli_usage(args, "%s needs Python: pip install ., then darknet-vae %s", word, word);
}

/* If standard output was closed (`>&-`), the next file opened must not take its place. A folder does: writing a result
 * there fails, as it must. */
static void keep_standard_descriptors(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open(fd == 1 ? "/" : "/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) < 0) return;
}

int main(int argc, char **argv) {
    keep_standard_descriptors();
    const char *slash = argc ? strrchr(argv[0], '/') : NULL, *name = !argc ? "" : slash ? slash + 1 : argv[0];
    cli_args args = {.program = strcmp(name, "darknet-vae") ? "darknet" : "darknet-vae",
                     .gpu = -1,
                     .top = 3,
                     .temperature = 1,
                     .steps = 11,
                     .range = 3,
                     .dim = -1,
                     .row = -1};
    if (argc < 2) return cli_help(&args), DN_E_USAGE;
    argc--, argv++;
    if (!strcmp(argv[0], "--version") || !strcmp(argv[0], "-version")) return puts(dn_build_info()), cli_flush(&args);
    if (!strcmp(argv[0], "--man")) return cli_manual(&args);
    if (!strcmp(argv[0], "--completion")) return cli_completion(&args, argc > 1 ? argv[1] : "");
    if (is_help(argv[0]) && argc > 1 && (args.verb = find_verb(argv[1])) && args.verb->bit) return cli_verb_help(&args);
    if (is_help(argv[0])) return args.verb = NULL, cli_help(&args);
    cli_signals();
    int code = take_verb(&args, &argc, argv);
    if (!code && !args.verb) return cli_help(&args);
    if (!code) code = cli_parse(&args, argc, argv);
    if (!code) code = args.help ? cli_verb_help(&args) : args.verb->run(&args);
    /* a failure after the signal, such as one of saving, matters more than the signal itself */
    return cli_interrupted() && (!code || code == DN_E_INTERRUPTED) ? 128 + cli_interrupted() : code;
}

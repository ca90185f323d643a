/* The one table of options: parsing, which verb has which options, "did you mean", help pages, manual page and
 * completions all come from it. */
#include "base/nearest.h"
#include "cli/cli.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(cli_args, field)
const cli_option cli_options[] = {
    {{"weights", "w"}, CLI_FILE, AT(weights), CLI_TRAIN, "W", "begin with these weights (.weights, .safetensors)"},
    {{"weights", "w"},
     CLI_FILE,
     AT(weights),
     CLI_NETS & ~CLI_TRAIN,
     "W",
     "the trained parameters (.weights, .safetensors)"},
    {{"random"}, CLI_FLAG, AT(random), CLI_SAMPLE | CLI_ROWS, NULL, "run without -weights, with random parameters"},
    {{"save"}, CLI_FILE, AT(save), CLI_TRAIN, "F", "F.weights or F.safetensors (a table: DATA.safetensors)"},
    {{"latents"}, CLI_FILE, AT(latents), CLI_TRAIN, "F", "latent means (latent_space.txt; of a table: none)"},
    {{"no-latents"}, CLI_FLAG, AT(no_latents), CLI_TRAIN, NULL, "do not write the latent means"},
    {{"output", "o"}, CLI_FILE, AT(output), CLI_TRAIN, "F", "ten inputs and outputs per epoch: F_input_0.txt, ..."},
    {{"output", "o"}, CLI_FILE, AT(output), CLI_SAMPLE | CLI_ROWS | CLI_INIT, "F", "output file (-: standard output)"},
    {{"epochs"}, CLI_COUNT, AT(epochs), CLI_TRAIN, "n", "passes over the rows (default: the cfg's max_batches)"},
    {{"lr"}, CLI_NUMBER, AT(learning_rate), CLI_TRAIN, "r", "learning rate, instead of the cfg's"},
    {{"continue"}, CLI_FLAG, AT(continues), CLI_TRAIN, NULL, "continue the cfg's schedule where the weights stopped"},
    {{"clear"}, CLI_FLAG, AT(clear), CLI_TRAIN, NULL, "treat the weights as never trained"},
    {{"valid"}, CLI_FILE, AT(valid), CLI_TRAIN, "F.csv", "evaluate on these rows after every epoch"},
    {{"holdout"}, CLI_PART, AT(holdout), CLI_TRAIN, "p", "hold out this fraction of the rows to evaluate on: 0.2"},
    {{"holdout"}, CLI_PART, AT(holdout), CLI_EVALUATE, "p", "only the rows that train -holdout p -seed s holds out"},
    {{"patience"}, CLI_COUNT, AT(patience), CLI_TRAIN, "n", "stop after n epochs with no lower valid_loss; keep best"},
    {{"min-delta"}, CLI_AMOUNT, AT(min_delta), CLI_TRAIN, "x", "for -patience, a fall must exceed x (default: 0)"},
    {{"keep"}, CLI_CHOICE, AT(keep), CLI_TRAIN, "last|best", "epoch to save (default: last; best with -patience)"},
    {{"max-seconds"}, CLI_NUMBER, AT(max_seconds), CLI_TRAIN, "s", "stop and save after s seconds"},
    {{"log"}, CLI_FILE, AT(log), CLI_TRAIN, "F", "write losses and rates of every epoch: F.csv, F.jsonl"},
    {{"log-every"}, CLI_COUNT, AT(log_every), CLI_TRAIN, "n", "for -log, also a line after every n batches"},
    {{"checkpoint"}, CLI_FILE, AT(checkpoint), CLI_TRAIN, "F", "write the training's state to F.safetensors"},
    {{"checkpoint-every"},
     CLI_TEXT,
     AT(checkpoint_every),
     CLI_TRAIN,
     "t",
     "how often: 60s (seconds; the default) or 1e (epochs)"},
    {{"checkpoint-keep"}, CLI_COUNT, AT(checkpoint_keep), CLI_TRAIN, "n", "keep the last n: F, F.1, ... (default: 1)"},
    {{"resume"}, CLI_FILE, AT(resume), CLI_TRAIN, "F", "continue from checkpoint F; other options stay the same"},
    {{"no-shuffle"}, CLI_FLAG, AT(no_shuffle), CLI_TRAIN, NULL, "keep the rows in the order of the file"},
    {{"n"}, CLI_COUNT, AT(count), CLI_SAMPLE, "n", "decode this many random latent vectors"},
    {{"where"}, CLI_TEXT, AT(where), CLI_SAMPLE, "c=v,..", "of a table: only rows like \"churn=Yes,age>=40\""},
    {{"draw"}, CLI_FLAG, AT(draw), CLI_SAMPLE, NULL, "rows drawn from the likelihood, not its mean"},
    {{"gaps"}, CLI_FLAG, AT(gaps), CLI_SAMPLE, NULL, "of a table: with missing cells, as the table had them"},
    {{"mean"}, CLI_FLAG, AT(mean), CLI_SAMPLE, NULL, "of a table: the mean of the likelihood, not draws"},
    {{"temperature"}, CLI_AMOUNT, AT(temperature), CLI_SAMPLE, "t", "for -n: multiply the latents' standard deviation"},
    {{"prior"},
     CLI_CHOICE,
     AT(prior),
     CLI_SAMPLE,
     "normal|gmm",
     "for -n: draw latents from (default: the network's own)"},
    {{"data"}, CLI_FILE, AT(data), CLI_SAMPLE, "F.csv", "for -prior gmm: the rows to whose latents it is fitted"},
    {{"components"}, CLI_COUNT, AT(components), CLI_SAMPLE, "k", "for -prior gmm: number of Gaussians (default: 10)"},
    {{"rows"}, CLI_TEXT, AT(pair), CLI_INTERPOLATE, "a,b", "the two rows, counted from 0 (default: 0,1)"},
    {{"spherical"}, CLI_FLAG, AT(spherical), CLI_INTERPOLATE, NULL, "along an arc instead of a line (slerp)"},
    {{"dim"}, CLI_WHOLE, AT(dim), CLI_TRAVERSE, "j", "the latent dimension, counted from 0 (encode's z1)"},
    {{"row"}, CLI_WHOLE, AT(row), CLI_TRAVERSE, "i", "around row i of ROWS.csv, counted from 0 (default: 0)"},
    {{"range"}, CLI_NUMBER, AT(range), CLI_TRAVERSE, "r", "from -r to r (default: 3)"},
    {{"steps"}, CLI_COUNT, AT(steps), CLI_WALKS, "n", "number of rows, both ends included (default: 11)"},
    {{"samples"},
     CLI_COUNT,
     AT(samples),
     CLI_EVALUATE | CLI_SCORE,
     "s",
     "draws of z per row for the ELBO (1; of a table 4)"},
    {{"k"}, CLI_COUNT, AT(k), CLI_EVALUATE | CLI_SCORE, "n", "the log-likelihood, from n draws of z per row"},
    {{"top"}, CLI_WHOLE, AT(top), CLI_SCORE, "m", "columns to name in each row (default: 3)"},
    {{"quantile"}, CLI_PART, AT(quantile), CLI_SCORE, "q", "also which rows are above this quantile: 0.99"},
    {{"data"}, CLI_FILE, AT(table), CLI_SCORE, "F.csv", "for -quantile: of these rows (default: ROWS.csv)"},
    {{"latent"}, CLI_FLAG, AT(latent), CLI_EVALUATE, NULL, "also every latent dimension, and a PCA for comparison"},
    {{"labels"}, CLI_FLAG, AT(labels), CLI_PREDICT, NULL, "the label before every row"},
    {{"latent"}, CLI_COUNT, AT(latent_size), CLI_LEARNS, "n", "a table's latent dimensions (default: by its columns)"},
    {{"drop"}, CLI_TEXT, AT(drop), CLI_SCHEMAS, "a,b", "of a table: columns to leave out"},
    {{"condition"}, CLI_TEXT, AT(condition), CLI_SCHEMAS, "a,b", "of a table: columns that new rows are asked for by"},
    {{"as-number"}, CLI_TEXT, AT(as_number), CLI_SCHEMAS, "a,b", "of a table: numbers that are no categories"},
    {{"as-category"}, CLI_TEXT, AT(as_category), CLI_SCHEMAS, "a,b", "of a table: numbers that are categories"},
    {{"label-column"}, CLI_TEXT, AT(label_column), CLI_TABLES, "c", "a column that is not data: name, or index from 0"},
    {{"row-weight"}, CLI_TEXT, AT(row_weight), CLI_TABLES, "c", "a column that says how much each row counts, no data"},
    {{"target", "targets"},
     CLI_TEXT,
     AT(target),
     CLI_TRAIN | CLI_ROWS | CLI_CHECK,
     "a,b",
     "columns to predict, not data: names or indexes"},
    {{"scale"},
     CLI_NUMBER,
     AT(scale),
     CLI_TABLES & ~(CLI_INIT | CLI_COLUMNS),
     "s",
     "divide the data by s (default: the cfg's data_scale)"},
    {{"header"}, CLI_FLAG, AT(header), CLI_TABLES, NULL, "the first row of the CSV names the columns"},
    {{"no-header"}, CLI_FLAG, AT(no_header), CLI_TABLES, NULL, "the first row of the CSV is data"},
    {{"N", "rows"}, CLI_COUNT, AT(rows), CLI_TABLES & ~CLI_WALKS, "n", "only the first n rows of the CSV"},
    {{"set"}, CLI_LINES, AT(set), CLI_NETS, "s.key=v", "set a key of the cfg: net.batch=8, 3.output=4"},
    {{"seed"}, CLI_SEED, AT(seed), CLI_NETS, "s", "seed of all random numbers (default: 0)"},
    {{"batch"}, CLI_COUNT, AT(batch), CLI_NETS, "b", "rows per pass, instead of the cfg's"},
    {{"threads"}, CLI_COUNT, AT(threads), CLI_NETS, "t", "number of threads (default: all this process may use)"},
    {{"i", "gpu"}, CLI_WHOLE, AT(gpu), CLI_NETS, "N", "use GPU N (default: the first, if the network gains)"},
    {{"nogpu", "cpu"}, CLI_FLAG, AT(cpu), CLI_NETS, NULL, "use the CPU"},
    {{"precision"}, CLI_PRECISION, AT(precision), CLI_NETS, "p", "of matrix products on a GPU: float32, tf32 or bf16"},
    {{"json"},
     CLI_FLAG,
     AT(json),
     CLI_TRAIN | CLI_EVALUATE | CLI_SCORE | CLI_INSPECT | CLI_INFO | CLI_CHECK | CLI_COLUMNS,
     NULL,
     "print the result as JSON"},
    {{"quiet", "q"}, CLI_FLAG, AT(quiet), CLI_ALL, NULL, "no progress, no warnings"},
    {{"help", "h"}, CLI_FLAG, AT(help), CLI_ALL, NULL, "print this page"},
    {{NULL}, CLI_FLAG, 0, 0, NULL, NULL},
};

static int option_is(const cli_option *o, const char *name, size_t size) {
    for (int k = 0; k < 3 && o->names[k]; k++)
        if (strlen(o->names[k]) == size && !strncmp(o->names[k], name, size)) return 1;
    return 0;
}

/* The option of that name that belongs to the verb; if the verb is unknown yet or has no such option, any option of
 * that name. */
static const cli_option *option_find(const char *name, size_t size, int verb) {
    const cli_option *other = NULL;
    for (const cli_option *o = cli_options; o->verbs; o++) {
        if (!option_is(o, name, size)) continue;
        if (o->verbs & verb) return o;
        other = o;
    }
    return other;
}

int cli_takes_value(const char *word) {
    const char *name = word + 1 + (word[1] == '-');
    const cli_option *o = strchr(name, '=') ? NULL : option_find(name, strlen(name), CLI_ALL);
    return o && o->kind != CLI_FLAG;
}

static int option_unknown(const cli_args *args, const char *word, const char *name, size_t size) {
    dn_nearest nearest;
    dn_nearest_begin(&nearest, name, size);
    for (const cli_option *o = cli_options; o->verbs; o++)
        for (int k = 0; k < 3 && o->names[k] && (!args->verb || o->verbs & args->verb->bit); k++)
            dn_nearest_try(&nearest, o->names[k], strlen(o->names[k]));
    if (nearest.found) return cli_usage(args, "unknown option '%s' (did you mean -%s?)", word, nearest.found);
    return cli_usage(args, "unknown option '%s'", word);
}

static int option_of_others(const cli_args *args, const cli_option *o) {
    char verbs[128] = "";
    for (const cli_verb *v = cli_verbs; v->name; v++)
        if (v->bit & o->verbs)
            snprintf(verbs + strlen(verbs), sizeof verbs - strlen(verbs), "%s%s", *verbs ? ", " : "", v->name);
    return cli_usage(args, "%s has no option -%s, which belongs to: %s", args->verb->name, o->names[0], verbs);
}

/* Is the value one of the words of "a|b"? */
static int option_has(const char *words, const char *value) {
    size_t n = strlen(value);
    for (const char *word = words, *end; *word; word = end + (*end == '|')) {
        end = word + strcspn(word, "|");
        if ((size_t)(end - word) == n && !strncmp(word, value, n)) return 1;
    }
    return 0;
}

/* Add a line to `lines`, of CLI_PATH bytes. */
static const char *option_add_line(char *lines, const char *value) {
    size_t used = strlen(lines);
    if (!strchr(value, '=') || strchr(value, '\n')) return "be section.key=value";
    if (used + strlen(value) + 2 > CLI_PATH) return "be shorter, together with the others";
    snprintf(lines + used, CLI_PATH - used, "%s\n", value);
    return NULL;
}

/* Returns NULL, or what the value must be. */
static const char *option_set(cli_args *args, const cli_option *o, const char *value) {
    void *to = (char *)args + o->offset;
    char *end = NULL;
    int fits = 0;
    errno = 0;
    switch (o->kind) {
    case CLI_TEXT:
    case CLI_FILE:
    case CLI_PRECISION: *(const char **)to = value; return *value ? NULL : "not be empty";
    case CLI_CHOICE: *(const char **)to = value; return option_has(o->metavar, value) ? NULL : "be one of";
    case CLI_FLAG: *(int *)to = 1; return NULL;
    case CLI_LINES: return option_add_line(to, value);
    case CLI_WHOLE:
    case CLI_COUNT:
        *(long *)to = strtol(value, &end, 10);
        fits = *(long *)to >= (o->kind == CLI_COUNT);
        break;
    case CLI_SEED:
        *(unsigned long long *)to = strtoull(value, &end, 10);
        fits = !strchr(value, '-');
        break;
    case CLI_NUMBER:
    case CLI_AMOUNT:
    case CLI_PART:
        *(double *)to = strtod(value, &end);
        fits = isfinite(*(double *)to) && (o->kind == CLI_AMOUNT ? *(double *)to >= 0 : *(double *)to > 0) &&
               (o->kind != CLI_PART || *(double *)to < 1);
        break;
    }
    static const char *const wanted[] = {
        [CLI_WHOLE] = "be a whole number from 0 on",         [CLI_COUNT] = "be a whole number above 0",
        [CLI_SEED] = "be a whole number from 0 to 2^64 - 1", [CLI_NUMBER] = "be a number above 0",
        [CLI_PART] = "be a number between 0 and 1",          [CLI_AMOUNT] = "be a number from 0 on",
    };
    return !errno && end != value && !*end && fits ? NULL : wanted[o->kind];
}

/* Parse the option at *i; advances *i to its value. */
static int parse_option(cli_args *args, int argc, char **argv, int *i) {
    const char *given = argv[*i], *name = given + (given[1] == '-' ? 2 : 1), *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const cli_option *o = option_find(name, size, args->verb ? args->verb->bit : CLI_ALL);
    if (!o) return option_unknown(args, given, name, size);
    if (args->verb && !(o->verbs & args->verb->bit)) return option_of_others(args, o);
    if (o->kind == CLI_FLAG) {
        if (equals) return cli_usage(args, "-%s takes no value", o->names[0]);
        option_set(args, o, "");
        return 0;
    }
    const char *value = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    if (value && !equals && value[0] == '-' && value[1]) { /* an option where the value should be? */
        const char *other = value + (value[1] == '-' ? 2 : 1), *end = strchr(other, '=');
        if (option_find(other, end ? (size_t)(end - other) : strlen(other), CLI_ALL)) value = NULL;
    }
    if (!value) return cli_usage(args, "-%s needs a value", o->names[0]);
    const char *wanted = option_set(args, o, value);
    if (wanted && o->names[1] && !strcmp(o->names[1], "gpu") && !strcmp(value, "-1"))
        return cli_usage(args, "-%s -1: the CPU is -nogpu", o->names[0]);
    if (!wanted) return 0;
    int choice = o->kind == CLI_CHOICE;
    return cli_usage(args, "-%s '%s' must %s%s%s", o->names[0], value, wanted, choice ? " " : "",
                     choice ? o->metavar : "");
}

static int parse_word(cli_args *args, const char *word) {
    const char **to = !args->cfg ? &args->cfg : !args->data && args->verb->most > 1 ? &args->data : NULL;
    if (cli_ends_in(word, ".weights") && args->verb->bit == CLI_CONVERT && !args->cfg)
        return cli_usage(args, "'%s' has no network: convert CFG OUTPUT -weights %s", word, word);
    if (cli_ends_in(word, ".weights") && !(args->verb->bit & (CLI_INFO | CLI_CONVERT)))
        return cli_usage(args, "'%s' stands where %s: -weights %s?", word,
                         !args->cfg ? "the CFG belongs"
                         : to       ? "the CSV belongs"
                                    : "nothing belongs",
                         word);
    if (!to)
        return cli_usage(args, "'%s' is one argument too many: %s %s", word, args->verb->name, args->verb->arguments);
    *to = word;
    return 0;
}

static int parse_check(const cli_args *args) {
    const cli_verb *v = args->verb;
    int least = cli_is_table(args) ? 1 : v->least;
    if (args->cfg && args->data && cli_ends_in(args->data, ".cfg") && !cli_ends_in(args->cfg, ".cfg"))
        return cli_usage(args, "the CFG comes first: %s %s %s", v->name, args->data, args->cfg);
    if ((args->cfg != NULL) + (args->data != NULL) < least)
        return cli_usage(args, "%s needs %s", v->name, v->arguments);
    const char *const inputs[] = {args->cfg, args->data, args->valid, args->weights, args->resume};
    int piped = 0;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) piped += inputs[i] && !strcmp(inputs[i], "-");
    if (piped > 1) return cli_usage(args, "only one of the files that are read can be -, standard input");
    const struct limit {
        const char *name;
        long value, most;
    } limits[] = {{"batch", args->batch, 1 << 24},
                  {"threads", args->threads, 4096},
                  {"epochs", args->epochs, 1 << 30},
                  {"patience", args->patience, 1 << 30},
                  {"log-every", args->log_every, 1 << 30},
                  {"checkpoint-keep", args->checkpoint_keep, 1 << 20},
                  {"components", args->components, 1 << 20},
                  {"steps", args->steps, 1 << 24},
                  {"dim", args->dim, 1 << 30},
                  {"samples", args->samples, 1 << 24},
                  {"k", args->k, 1 << 24}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].value > limits[i].most)
            return cli_usage(args, "-%s %ld is more than %ld", limits[i].name, limits[i].value, limits[i].most);
    if (args->header && args->no_header) return cli_usage(args, "-header and -no-header: give one of the two");
    if (args->latents && args->no_latents) return cli_usage(args, "-latents and -no-latents: give one of the two");
    if (args->resume && args->weights)
        return cli_usage(args, "-resume and -weights: give one of the two; a checkpoint holds its weights");
    if (args->clear && args->continues) return cli_usage(args, "-clear and -continue: give one of the two");
    if ((args->clear || args->continues) && !args->weights && !(args->cfg && dn_is_model_file(args->cfg)))
        return cli_usage(args, "-%s is about weights to begin with: give -weights W, or a model file",
                         args->clear ? "clear" : "continue");
    return 0;
}

int cli_parse(cli_args *args, int argc, char **argv) {
    int code = 0;
    for (int i = 0; i < argc && !code; i++)
        code = argv[i][0] == '-' && argv[i][1] ? parse_option(args, argc, argv, &i) : parse_word(args, argv[i]);
    return code || args->help ? code : parse_check(args);
}

/* ---- help ---- */

const char cli_exit_codes[] = "0 success, 1 numeric failure, 2 usage, 3 bad input file,\n"
                              "4 input/output, 5 out of memory, 6 no such device, 128 + n: signal n";

int cli_verb_help(const cli_args *args) {
    const cli_verb *v = args->verb;
    printf("usage: %s %s %s [options]\n\n%c%s.\n", args->program, v->name, v->arguments,
           toupper((unsigned char)v->help[0]), v->help + 1);
    if (v->more) printf("%s\n", v->more);
    puts("\noptions, with one dash or two, anywhere:");
    for (const cli_option *o = cli_options; o->verbs; o++) {
        if (!(o->verbs & v->bit)) continue;
        char names[64] = "  ";
        for (int k = 0; k < 3 && o->names[k]; k++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s-%s", k ? ", " : "", o->names[k]);
        if (o->metavar) snprintf(names + strlen(names), sizeof names - strlen(names), " %s", o->metavar);
        printf("%-23s %s\n", names, o->help);
    }
    return cli_flush(args);
}

int cli_help(const cli_args *args) {
    char bundled[512];
    int python = !strcmp(args->program, "darknet-vae");
    printf("usage: %s VERB CFG [CSV] [options]\n\n"
           "Autoencoders and variational autoencoders: a network is a CFG, data is CSV. A\n"
           "model file, .safetensors, is CFG and weights in one and takes their place.\n\n",
           args->program);
    for (const cli_verb *v = cli_verbs; v->name; v++)
        if (v->bit || python) printf("  %-12s %s\n", v->name, v->help);
    printf("\n%s VERB --help explains a verb and its options. The words vae and\n"
           "autoencoder may stand before a verb: %s vae train CFG TRAIN.csv\n",
           args->program, args->program);
    cli_bundled(bundled, sizeof bundled);
    if (*bundled) printf("\nbundled networks, found by name:\n  %s\n", bundled);
    printf("\n--completion bash|zsh|fish prints completions for that shell, --man the manual\n"
           "page.\n");
    printf("\nexit codes: %s\n", cli_exit_codes);
    return cli_flush(args);
}

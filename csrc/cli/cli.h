/* The stand-alone binary: verbs over darknet.h. Of the library's inside it uses base/nearest.h and
 * dn_printable of base/status.h.
 *
 * Functions that return an int return an exit code, 0 or that of darknet.h, and have printed their line by then. */
#ifndef DN_CLI_H
#define DN_CLI_H
#include "darknet.h"
#include <stdio.h>

enum { CLI_PATH = 4096 };

/* Verbs, as bits of an option's `verbs`. */
enum {
    CLI_TRAIN = 1,
    CLI_SAMPLE = 2,
    CLI_ENCODE = 4,
    CLI_RECONSTRUCT = 8,
    CLI_PREDICT = 16,
    CLI_EVALUATE = 32,
    CLI_INSPECT = 64,
    CLI_ALL = 127,
    CLI_ROWS = CLI_ENCODE | CLI_RECONSTRUCT | CLI_PREDICT | CLI_EVALUATE, /* read a CSV of rows and need weights */
    CLI_TABLES = CLI_TRAIN | CLI_SAMPLE | CLI_ROWS
};

typedef struct cli_args cli_args;

typedef struct cli_verb {
    const char *name;
    int bit;                      /* 0: a verb that needs Python */
    int (*run)(const cli_args *);
    const char *arguments, *help; /* "CFG ROWS.csv"; half a line */
    int least, most;              /* arguments beside options */
    const char *more;             /* paragraphs of its own help page, or NULL */
} cli_verb;

/* What an option's value is. */
typedef enum cli_kind {
    CLI_TEXT,
    CLI_FILE,
    CLI_PRECISION,
    CLI_WHOLE,  /* a whole number from 0 on */
    CLI_COUNT,  /* above 0 */
    CLI_SEED,   /* of 64 bits */
    CLI_NUMBER, /* above 0 */
    CLI_PART,   /* between 0 and 1 */
    CLI_FLAG    /* it has none */
} cli_kind;

typedef struct cli_option {
    const char *names[3];
    cli_kind kind;
    size_t offset; /* of its field in cli_args */
    int verbs;
    const char *metavar, *help;
} cli_option;

struct cli_args {
    const char *program; /* "darknet", or "darknet-vae" when Python's command line runs us */
    const cli_verb *verb;
    const char *cfg, *data; /* arguments that are not options */
    const char *weights, *output, *save, *latents, *label_column, *target, *valid, *precision;
    long rows, epochs, threads, batch, count, gpu;
    unsigned long long seed;
    double learning_rate, scale, holdout;
    int quiet, json, cpu, no_shuffle, labels, header, no_header, no_latents, random, continues, clear, help;
    char bundled[CLI_PATH]; /* the cfg's path when it came with the program */
};

/* ---- options.c ---- */

/* Options may stand anywhere, also before the verb. */
int cli_parse(cli_args *args, int argc, char **argv);
/* Is the word an option whose value is the next word? */
int cli_takes_value(const char *word);
/* The verbs, ended by one without a name (main.c). */
extern const cli_verb cli_verbs[];
/* The options, ended by one of no verb. */
extern const cli_option cli_options[];
extern const char cli_exit_codes[];
int cli_help(const cli_args *args);
int cli_verb_help(const cli_args *args);

/* ---- pages.c: what a package of the program has beside it, on standard output ---- */

/* The manual page, for `man -l`. */
int cli_manual(const cli_args *args);
/* What completes the program's arguments in a shell: bash, zsh or fish. */
int cli_completion(const cli_args *args, const char *shell);

/* ---- messages.c ---- */

/* "program: message" on standard error; returns the exit code. DN_OK prints nothing. */
int cli_check(const cli_args *args, dn_status status);
int cli_usage(const cli_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_warn(const cli_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Named values on standard output: "name value  name value", or JSON, where what is not finite is null. */
int cli_print(const cli_args *args, FILE *to, const dn_report *report);
/* Has all of standard output been written? A reader that went away ends the program without a word. */
int cli_flush(const cli_args *args);

/* ---- terminal.c ---- */

/* SIGINT, SIGTERM, SIGHUP and SIGXCPU end long calls of the library; another one, a second later, ends the program at once. */
void cli_signals(void);
int cli_interrupted(void); /* the signal's number, or 0 */
/* From now on what was learned is written, which is not interrupted. may_wait: it goes into a pipe, which may have no
 * reader, so a signal that comes from now on ends it. */
void cli_no_interrupt(int may_wait);
int cli_is_terminal(void);
void cli_progress(const cli_args *args, const dn_progress *progress, int terminal);

/* ---- files.c ---- */

/* A file by its path, or one that came with the program by its name; the path, in `text` if need be. */
const char *cli_find(const char *name, char text[CLI_PATH]);
/* The names of the networks that came with the program, into `text`: "a.cfg, b.cfg". */
void cli_bundled(char *text, size_t size);
/* The one of them that is most like `name`; NULL: none. Lent by `text`. */
const char *cli_bundled_like(const char *name, char text[CLI_PATH]);
/* Is it a regular file, or would it be one? Not so "-" and devices. */
int cli_is_file(const char *path);
/* Do two paths name one file, which may not be there yet? */
int cli_same_file(const char *a, const char *b);
/* Before a long job: can the file be written, and is it none of the inputs? */
int cli_writable(const cli_args *args, const char *option, const char *path);

/* ---- job.c ---- */

/* The network of the arguments, with its weights. Verbs that need them are refused without. */
int cli_network(cli_args *args, dn_net **net);
/* A table of rows for the network, or of latent vectors. */
int cli_table(const cli_args *args, const dn_net *net, const char *path, int latents, dn_table *table);
/* A table's features and its truth as the library takes them; truth NULL: none of its own. */
dn_rows cli_rows(const dn_table *table, const float *truth);
/* (rows, width) numbers to be freed; NULL after a line on standard error. */
float *cli_floats(const cli_args *args, size_t rows, size_t width);
/* Does the network read a truth of its own with these arguments, labels or targets? */
int cli_own_truth(const cli_args *args, const dn_net *net);
/* The classes beside the weights; none when there is no such file. */
int cli_classes(const cli_args *args, dn_classes *classes);
/* The network's own truth, (rows, truths) to be freed. Labels become classes; those beside the weights count, when there
 * are any. */
int cli_truth(const cli_args *args, const dn_net *net, const char *path, const dn_table *table, dn_classes *classes,
              float **truth);

int cli_train(const cli_args *args);
int cli_sample(const cli_args *args);
int cli_encode(const cli_args *args);
int cli_reconstruct(const cli_args *args);
int cli_predict(const cli_args *args);
int cli_evaluate(const cli_args *args);
int cli_inspect(const cli_args *args);
#endif

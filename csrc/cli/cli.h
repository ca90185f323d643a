/* The stand-alone binary: verbs over darknet.h. Of the library's internals it uses base/nearest.h and dn_printable of
 * base/status.h.
 *
 * Functions that return an int return an exit code, 0 or one of darknet.h, and have printed their message already. */
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
    CLI_INFO = 128,
    CLI_CONVERT = 256,
    CLI_INTERPOLATE = 512,
    CLI_TRAVERSE = 1024,
    CLI_CHECK = 2048,
    CLI_SCORE = 4096,
    CLI_INIT = 8192,
    CLI_IMPUTE = 16384,
    CLI_COLUMNS = 32768,
    CLI_ALL = 65535,
    CLI_WALKS = CLI_INTERPOLATE | CLI_TRAVERSE,
    CLI_NETS = CLI_ALL & ~(CLI_INFO | CLI_INIT | CLI_COLUMNS), /* build a network */
    /* read a CSV of rows and need weights */
    CLI_ROWS = CLI_ENCODE | CLI_RECONSTRUCT | CLI_PREDICT | CLI_EVALUATE | CLI_SCORE | CLI_IMPUTE | CLI_WALKS,
    CLI_WEIGHS = CLI_TRAIN | CLI_EVALUATE | CLI_CHECK, /* rows count as much as their weights say */
    CLI_LEARNS = CLI_TRAIN | CLI_INIT,                 /* learn the columns of a table, and a network for it */
    CLI_SCHEMAS = CLI_LEARNS | CLI_COLUMNS,
    CLI_TABLES = CLI_TRAIN | CLI_SAMPLE | CLI_ROWS | CLI_CHECK | CLI_INIT | CLI_COLUMNS
};

typedef struct cli_args cli_args;

typedef struct cli_verb {
    const char *name;
    int bit; /* 0: a verb that needs Python */
    int (*run)(const cli_args *);
    const char *arguments, *help; /* such as "CFG ROWS.csv"; half a line */
    int least, most;              /* number of arguments other than options */
    const char *more;             /* further paragraphs of its help page, or NULL */
} cli_verb;

/* Kinds of option values. */
typedef enum cli_kind {
    CLI_TEXT,
    CLI_FILE,
    CLI_PRECISION,
    CLI_WHOLE,  /* an integer, 0 or more */
    CLI_COUNT,  /* an integer above 0 */
    CLI_SEED,   /* 64 bits, unsigned */
    CLI_NUMBER, /* above 0 */
    CLI_AMOUNT, /* 0 or more */
    CLI_PART,   /* between 0 and 1 */
    CLI_CHOICE, /* one of the words of its metavar: a|b */
    CLI_LINES,  /* section.key=value; may be given several times */
    CLI_FLAG    /* no value */
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
    const char *weights, *output, *save, *latents, *label_column, *target, *valid, *precision, *keep, *log;
    const char *checkpoint, *checkpoint_every, *resume, *prior, *pair;
    const char *drop, *as_number, *as_category, *condition, *where, *table; /* of typed tables */
    const char *row_weight;
    long rows, epochs, threads, batch, count, gpu, patience, log_every, checkpoint_keep, components, steps, dim, row;
    long samples, k, top, latent_size;
    unsigned long long seed;
    double learning_rate, scale, holdout, min_delta, max_seconds, temperature, range, quantile;
    int quiet, json, cpu, no_shuffle, labels, header, no_header, no_latents, random, continues, clear, spherical, draw;
    int latent, mean, gaps, help;
    char set[CLI_PATH];     /* lines */
    char bundled[CLI_PATH]; /* the cfg's path if it is a bundled one */
};

/* ---- options.c ---- */

/* Options may stand anywhere, also before the verb. */
int cli_parse(cli_args *args, int argc, char **argv);
/* Is the word an option that takes the next word as its value? */
int cli_takes_value(const char *word);
/* The verbs; the last one has no name (main.c). */
extern const cli_verb cli_verbs[];
/* The options; the last one has no verbs. */
extern const cli_option cli_options[];
extern const char cli_exit_codes[];
int cli_help(const cli_args *args);
int cli_verb_help(const cli_args *args);

/* ---- pages.c: what packages of the program install with it, on standard output ---- */

/* The manual page, for `man -l`. */
int cli_manual(const cli_args *args);
/* The completion script for a shell: bash, zsh or fish. */
int cli_completion(const cli_args *args, const char *shell);

/* ---- messages.c ---- */

/* Prints "program: message" on standard error; returns the exit code. Prints nothing for DN_OK. */
int cli_check(const cli_args *args, dn_status status);
/* The same with a text, also if the program was asked to be quiet; returns nothing. */
void cli_say(const cli_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_usage(const cli_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_warn(const cli_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Print named values: "name value  name value", or JSON, where values that are not finite are null. */
int cli_print(const cli_args *args, FILE *to, const dn_report *report);
/* The same; with JSON also a word under a name. */
int cli_print_with(const cli_args *args, FILE *to, const dn_report *report, const char *name, const char *word);
/* JSON: a text, a number with all its digits (null: not finite), and the members of an object. */
void cli_json_text(FILE *to, const char *text);
void cli_json_number(FILE *to, double value);
void cli_json_report(FILE *to, const dn_report *report);
/* Flush standard output and report failures. If the reader is gone, the program ends silently. */
int cli_flush(const cli_args *args);

/* ---- terminal.c ---- */

/* SIGINT, SIGTERM, SIGHUP and SIGXCPU end long library calls; another one, a second later, ends the program at once. */
void cli_signals(void);
int cli_interrupted(void); /* the signal's number, or 0 */
/* From now on results are being saved, which signals do not interrupt. may_wait: they go into a pipe, which may have no
 * reader, so a signal that comes from now on does end it. */
void cli_no_interrupt(int may_wait);
int cli_is_terminal(void);
/* A text of whole lines; on a terminal, long ones go on, indented, where a word or a field begins. Elsewhere a line is
 * a line. */
void cli_put(FILE *to, const char *text);
void cli_progress(const cli_args *args, const dn_progress *progress, int terminal);

/* ---- files.c ---- */

/* Find a file by its path, or a bundled one by its name; returns the path, in `text` if need be. */
const char *cli_find(const char *name, char text[CLI_PATH]);
/* The names of the bundled networks, into `text`: "a.cfg, b.cfg". */
void cli_bundled(char *text, size_t size);
/* The bundled network whose name is most similar to `name`, stored in `text`; NULL: none. */
const char *cli_bundled_like(const char *name, char text[CLI_PATH]);
/* Would a network be saved there as a model file? */
int cli_is_model_name(const char *path);
/* Does a name end so, after something else? */
int cli_ends_in(const char *path, const char *end);
/* Is it, or would it be, a regular file? False for "-" and devices. */
int cli_is_file(const char *path);
/* Do two paths name the same file, which need not exist yet? */
int cli_same_file(const char *a, const char *b);
/* Before a long job: can the file be written, and is it none of the inputs? */
int cli_writable(const cli_args *args, const char *option, const char *path);

/* Where a path's name begins, after its folder. */
const char *cli_base_name(const char *path);

/* ---- table.c: tables of numbers, words and dates, for networks that know their columns ---- */

/* Print a text's lines as warnings. */
void cli_warn_lines(const cli_args *args, const char *lines);
/* How typed tables are read. */
dn_frame_options cli_frame_options(const cli_args *args);
/* Options that are about tables of numbers are refused for a network with a schema. */
int cli_coded_options(const cli_args *args);
/* cli_find, which is announced. */
const char *cli_found(const cli_args *args, const char *path, char text[CLI_PATH]);
/* Read a typed table. */
int cli_frame(const cli_args *args, const char *path, dn_frame *frame);
/* Read one as numbers for a network with a schema; frame: NULL, or also what was read. */
int cli_coded(const cli_args *args, const dn_net *net, const char *path, dn_table *table, dn_frame *frame);
/* The same of one that was read. */
int cli_coded_frame(const cli_args *args, const dn_net *net, const char *path, dn_table *table, const dn_frame *frame);
/* "data.safetensors" of "folder/data.csv", into `text`; returns the full length. */
size_t cli_model_name(const char *table, char text[CLI_PATH]);
/* What kinds of columns there are, and which are left out, on standard error within a line. */
void cli_announce_columns(const dn_schema *schema);
/* Write rows of data (rows, data_columns) to -output: for a network with a schema as a table with the original
 * columns. */
int cli_save_rows(const cli_args *args, const dn_net *net, const float *x, size_t rows);
/* ---- output.c: tables that verbs make, column by column ---- */

typedef struct cli_output {
    dn_frame frame;
    size_t room, n_owned;
    void **owned;
    dn_frame made; /* whose columns some of `frame` are */
    int failed;    /* memory has run out: what follows does nothing */
    /* Instead: numbers (rows, width) without a header, and before them NULL or the class of every row. */
    float *values;
    int32_t *picked;
    size_t rows, width;
} cli_output;
/* A table of so many rows, with at most so many columns. */
void cli_output_begin(cli_output *output, size_t rows, size_t columns);
/* A further column, named by a format that takes the number: values to be set, of numbers with so many decimals (-1: as
 * many as they need), or of indices into n words, which are borrowed. NULL: failed. */
double *cli_output_numbers(cli_output *output, const char *format, size_t number, int decimals);
int32_t *cli_output_words(cli_output *output, const char *format, size_t number, const char *words, int32_t n);
/* Columns of a table that say which row is which: its labels and identifiers. */
void cli_output_given(cli_output *output, const dn_schema *schema, const dn_frame *frame);
/* A float's value with as few digits as read back as that float. */
double cli_few_digits(double value);
/* Rows of data (rows, data_columns) as a table with the original columns, after so many rows `before`; what the network
 * does not make (labels, identifiers) comes from `beside`, if it is given and has as many rows. */
int cli_output_data(const cli_args *args, cli_output *output, const dn_net *net, const dn_frame *beside, const float *x,
                    size_t before, size_t rows);
void cli_output_free(cli_output *output);
/* Write it and free everything. */
int cli_output_save(const cli_args *args, cli_output *output, const char *path);
/* The column of that name; NULL: there is none, or no frame. */
const dn_frame_column *cli_column(const dn_frame *frame, const char *name);

/* Latents with the labels and identifiers of their rows in front. */
void cli_latents(cli_output *output, const dn_net *net, const dn_frame *frame, const float *z, size_t width);
/* Write latents with the labels and identifiers of their rows in front. */
int cli_save_latents(const cli_args *args, const char *path, const dn_net *net, const dn_frame *frame, const float *z,
                     size_t width);
int cli_impute(const cli_args *args);

/* ---- learn.c ---- */

/* Are the arguments a table without a network? */
int cli_is_table(const cli_args *args);
/* How the columns of a table are to be learned. */
dn_schema_options cli_schema_options(const cli_args *args);
/* What learning had to say, with the names that options have here. */
int cli_warn_learned(const cli_args *args, const dn_schema *schema);
/* Build a network for the table in args->cfg, which becomes args->data: its columns and a cfg are learned from it. */
int cli_learn(cli_args *args, dn_net **net, dn_frame *frame);
/* A network that begins with [columns] and has no schema yet learns it from args->data, which is then in `frame`. */
int cli_learn_columns(const cli_args *args, dn_net *net, dn_frame *frame);
int cli_init(const cli_args *args);

/* ---- job.c ---- */

/* What a verb that applies a network works with. */
typedef struct cli_job {
    cli_args args;
    dn_net *net;
    dn_net_info info;
    dn_table table;
    dn_frame frame; /* what it was made from, for a network with a schema and verbs that write more than numbers */
    dn_classes classes;
    float *truth;
    int pieces; /* the table is larger than a piece */
} cli_job;
/* ---- pieces.c ---- */

/* Make a table of the last `rows` rows of job->table, which is a piece of a table; so many rows of the table come
 * before. Further rows of job->table are of the piece before: so that a pass has so many rows that they are computed as
 * in the midst of a table. Of a typed table, job->frame has the rows. */
typedef int (*cli_piece_fn)(cli_job *job, size_t before, size_t rows, void *context, cli_output *output);
/* Of the rows from *at on, how many to compute together: as many for every block of a typed table or one of several
 * pieces, because the last digits depend on it. The last block moves *at back to rows that are computed again. */
size_t cli_block(const cli_job *job, size_t rows, size_t *at);
/* The table to -output, piece by piece; at_once: it needs all rows. */
int cli_pieces(cli_job *job, int at_once, cli_piece_fn fn, void *context);

/* ---- job.c, again ---- */

/* Check -output and build the network. */
int cli_begin(cli_job *job, const cli_args *args);
/* Free everything; returns `code`. */
int cli_end(cli_job *job, int code);

/* Build the network of the arguments and load its weights. Verbs that need weights are refused without. */
int cli_network(cli_args *args, dn_net **net);
/* The same from the text of a cfg, which messages call by the path in args->cfg. */
int cli_network_text(cli_args *args, const char *text, dn_net **net);
/* The column that says how much rows count: of the option, or as the network knows it; "": none. */
const char *cli_row_weight(const cli_args *args, const dn_net *net);
/* Make the option's column the one that the network knows, and model files name. */
int cli_note_row_weight(const cli_args *args, dn_net *net);
/* How tables of rows for the network, or of latent vectors, are read. */
dn_csv_options cli_table_options(const cli_args *args, const dn_net *net, int latents);
/* Warn when the columns are not those that the model was trained on. */
int cli_table_columns(const cli_args *args, const dn_net *net, const char *path, const dn_table *table);
/* Read a table of rows for the network, or of latent vectors. */
int cli_table(const cli_args *args, const dn_net *net, const char *path, int latents, dn_table *table);
/* Can the network be trained and evaluated with these rows? Messages name the file. */
int cli_rows_fit(const cli_args *args, const dn_net *net, const char *path, const dn_table *table, const float *truth);
/* A table's features and truth as the library takes them; truth NULL: it has none. */
dn_rows cli_rows(const dn_table *table, const float *truth);
/* Allocate (rows, width) numbers, to be freed; NULL after printing an error. */
float *cli_floats(const cli_args *args, size_t rows, size_t width);
/* How z is drawn for the scores of rows and their means: of a table with the same draws in every row, so that a score
 * does not depend on the row's place. */
dn_evaluate_options cli_draws(const cli_job *job);
/* With these arguments, does the network read a separate truth: labels or targets? */
int cli_own_truth(const cli_args *args, const dn_net *net);
/* The classes stored beside the weights, or in a model file; empty when there are none. */
int cli_classes(const cli_args *args, const dn_net *net, dn_classes *classes);
/* The separate truth, (rows, truths), to be freed. Labels become class indices; the classes stored beside the weights
 * take precedence. */
int cli_truth(const cli_args *args, const dn_net *net, const char *path, const dn_table *table, dn_classes *classes,
              float **truth);

int cli_train(const cli_args *args);
int cli_sample(const cli_args *args);
int cli_interpolate(const cli_args *args);
int cli_traverse(const cli_args *args);
int cli_score(const cli_args *args);
int cli_encode(const cli_args *args);
int cli_reconstruct(const cli_args *args);
int cli_predict(const cli_args *args);
int cli_evaluate(const cli_args *args);
int cli_inspect(const cli_args *args);
int cli_info(const cli_args *args);
int cli_columns(const cli_args *args);
int cli_convert(const cli_args *args);
int cli_check_network(const cli_args *args);
#endif

#include "cli.h"
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind { TEXT, WHOLE, COUNT, SEED, NUMBER, FLAG } option_kind;
static const struct option {
    const char *names[3];
    option_kind kind;
    size_t offset;
} options[] = {
    {{"weights", "w"}, TEXT, offsetof(cli_args, weights)},
    {{"output", "o"}, TEXT, offsetof(cli_args, output)},
    {{"save"}, TEXT, offsetof(cli_args, save)},
    {{"label-column"}, TEXT, offsetof(cli_args, label_column)},
    {{"target", "targets"}, TEXT, offsetof(cli_args, target)},
    {{"precision"}, TEXT, offsetof(cli_args, precision)},
    {{"valid"}, TEXT, offsetof(cli_args, valid)},
    {{"N", "rows"}, COUNT, offsetof(cli_args, rows)},
    {{"n"}, COUNT, offsetof(cli_args, count)},
    {{"epochs"}, COUNT, offsetof(cli_args, epochs)},
    {{"threads"}, COUNT, offsetof(cli_args, threads)},
    {{"batch"}, COUNT, offsetof(cli_args, batch)},
    {{"i", "gpu"}, WHOLE, offsetof(cli_args, gpu)},
    {{"seed"}, SEED, offsetof(cli_args, seed)},
    {{"lr"}, NUMBER, offsetof(cli_args, learning_rate)},
    {{"scale"}, NUMBER, offsetof(cli_args, scale)},
    {{"holdout"}, NUMBER, offsetof(cli_args, holdout)},
    {{"labels"}, FLAG, offsetof(cli_args, labels)},
    {{"quiet", "q"}, FLAG, offsetof(cli_args, quiet)},
    {{"json"}, FLAG, offsetof(cli_args, json)},
    {{"nogpu", "cpu"}, FLAG, offsetof(cli_args, cpu)},
    {{"no-shuffle"}, FLAG, offsetof(cli_args, no_shuffle)},
};

static size_t rows_without_memory;

dn_status cli_no_memory(size_t rows) {
    rows_without_memory = rows;
    return DN_E_MEMORY;
}

int cli_fail(dn_status status) {
    if (rows_without_memory)
        fprintf(stderr, "darknet: out of memory for %zu rows\n", rows_without_memory);
    else
        fprintf(stderr, "darknet: %s\n", dn_error());
    return (int)status;
}

int cli_usage(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("darknet: ", stderr);
    vfprintf(stderr, format, list);
    fputs(" (darknet --help lists commands and options)\n", stderr);
    va_end(list);
    return DN_E_USAGE;
}

static const struct option *option_find(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        for (int k = 0; k < 3 && options[i].names[k]; k++)
            if (strlen(options[i].names[k]) == size && !strncmp(options[i].names[k], name, size)) return &options[i];
    return NULL;
}

static int option_set(cli_args *args, const struct option *o, const char *value) {
    void *to = (char *)args + o->offset;
    char *end = NULL;
    errno = 0;
    switch (o->kind) {
    case TEXT: *(const char **)to = value; return 1;
    case FLAG: *(int *)to = 1; return 1;
    case WHOLE:
    case COUNT:
        *(long *)to = strtol(value, &end, 10);
        return !errno && end != value && !*end && *(long *)to >= (o->kind == COUNT);
    case SEED:
        *(unsigned long long *)to = strtoull(value, &end, 10);
        return !errno && end != value && !*end && *value != '-';
    case NUMBER: *(double *)to = strtod(value, &end); return !errno && end != value && !*end && *(double *)to > 0;
    }
    return 0;
}

int cli_parse(cli_args *args, int argc, char **argv) {
    *args = (cli_args){.gpu = -1};
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || !word[1]) {
            const char **to = !args->cfg ? &args->cfg : !args->data ? &args->data : NULL;
            if (!to) return cli_usage("'%s' is one argument too many", word);
            *to = word;
            continue;
        }
        word += word[1] == '-' ? 2 : 1;
        const char *equals = strchr(word, '=');
        const struct option *o = option_find(word, equals ? (size_t)(equals - word) : strlen(word));
        if (!o) return cli_usage("unknown option '%s'", argv[i]);
        const char *value = equals ? equals + 1 : o->kind == FLAG ? "" : i + 1 < argc ? argv[++i] : NULL;
        if (!value) return cli_usage("%s needs a value", argv[i]);
        if (!option_set(args, o, value)) return cli_usage("-%s: '%s' is not a fitting number", o->names[0], value);
    }
    if (args->batch > 1 << 24 || args->threads > 4096 || args->epochs > 1 << 30)
        return cli_usage("-batch, -threads or -epochs is too large");
    return 0;
}

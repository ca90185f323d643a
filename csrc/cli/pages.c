/* The manual page and the shell completions, written from the tables of verbs and options. */
#include "cli/cli.h"
#include <ctype.h>
#include <string.h>

/* Does this program have the verb? The stand-alone one lacks those that need Python. */
static int is_here(const cli_args *args, const cli_verb *v) { return v->bit || !strcmp(args->program, "darknet-vae"); }

/* ---- manual page ---- */

/* In roff, "-" would become a hyphen, and a dot or quote at the beginning of a line begins a command. */
static void roff(const char *text) {
    for (; *text; text++)
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else
            putchar(*text);
}

static void manual_verbs(const cli_args *args) {
    puts(".SH COMMANDS");
    for (const cli_verb *v = cli_verbs; v->name; v++) {
        if (!is_here(args, v)) continue;
        fputs(".TP\n.B ", stdout);
        roff(v->name);
        fputs("\\fR ", stdout);
        roff(v->arguments);
        printf("\n%c", toupper((unsigned char)v->help[0]));
        roff(v->help + 1);
        puts(".");
        if (v->more) {
            fputs(".IP\n", stdout);
            roff(v->more + strspn(v->more, "\n"));
            putchar('\n');
        }
    }
    puts(".PP\nThe words\n.B vae\nand\n.B autoencoder\nmay stand before a command.\n.B autoencoder\n"
         "\\fICFG CSV\\fR trains. A file name\n.B \\-\nis standard input or output.");
}

static void manual_option(const cli_option *o) {
    fputs(".TP\n", stdout);
    for (int k = 0; k < 3 && o->names[k]; k++) {
        fputs(k ? ", \\fB\\-" : "\\fB\\-", stdout);
        roff(o->names[k]);
        fputs("\\fR", stdout);
    }
    if (o->metavar) {
        fputs(" \\fI", stdout);
        roff(o->metavar);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    roff(o->help);
    if (o->verbs == CLI_NETS) {
        fputs(" (all but info)", stdout);
    } else if (o->verbs != CLI_ALL) {
        const char *between = " (";
        for (const cli_verb *v = cli_verbs; v->name; v++)
            if (v->bit & o->verbs) printf("%s%s", between, v->name), between = ", ";
        putchar(')');
    }
    putchar('\n');
}

static void manual_end(const cli_args *args) {
    static const struct {
        const char *name, *meaning;
    } variables[] = {
        {"DARKNET_THREADS", "number of threads, unless an option or the cfg sets it; at most what the process may use"},
        {"DARKNET_ISA", "base, avx2 or avx512: the instruction set, instead of the widest available"},
        {"DARKNET_BLAS", "a library with cblas_sgemm, for matrix products"},
        {"DARKNET_CUDA_PLUGIN", "path of the CUDA plugin, instead of searching for it"},
        {"DARKNET_CUBLAS", "path of cuBLAS, or off"},
        {"DARKNET_ZLIB", "path of zlib, for gzip, or off"},
        {"DARKNET_SHARE", "a folder of networks and tables to be found by name"},
    };
    fputs(".SH EXIT STATUS\n", stdout);
    roff(cli_exit_codes);
    puts("\n.SH ENVIRONMENT");
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        printf(".TP\n.B %s\n", variables[i].name);
        roff(variables[i].meaning);
        putchar('\n');
    }
    puts(".SH EXAMPLES\n"
         "Train a variational autoencoder on the digits that come with the program, and draw 16 new ones:\n.PP\n.nf");
    printf("    %s train vae_digits.cfg digits.csv \\-epochs 100\n"
           "    %s sample vae_digits.cfg \\-weights vae.weights \\-n 16\n.fi\n",
           args->program, args->program);
}

int cli_manual(const cli_args *args) {
    fputs(".TH ", stdout);
    for (const char *c = args->program; *c; c++) putchar(toupper((unsigned char)*c));
    printf(" 1 \"\" \"darknet-vae %s\"\n.SH NAME\n", dn_version());
    roff(args->program);
    puts(" \\- autoencoders and variational autoencoders from tables\n.SH SYNOPSIS\n.B");
    roff(args->program);
    puts("\n\\fICOMMAND CFG\\fR [\\fICSV\\fR] [\\fIoptions\\fR]\n.SH DESCRIPTION\n"
         "A network is a Darknet cfg file, data is CSV, parameters are a Darknet .weights file. A model file, "
         ".safetensors, is "
         "both: it takes the place of \\fICFG\\fR and \\-weights.");
    manual_verbs(args);
    puts(".SH OPTIONS\nWith one dash or two, anywhere; \\-name=value too.");
    for (const cli_option *o = cli_options; o->verbs; o++) manual_option(o);
    manual_end(args);
    return cli_flush(args);
}

/* ---- completion ---- */

static const char precisions[] = "float32 tf32 bf16";

/* The words that an option takes, with blanks between them; NULL: any. */
static const char *choices(const cli_option *o, char text[64]) {
    if (o->kind == CLI_PRECISION) return precisions;
    if (o->kind != CLI_CHOICE) return NULL;
    snprintf(text, 64, "%s", o->metavar);
    for (char *c = text; *c; c++)
        if (*c == '|') *c = ' ';
    return text;
}

/* The pattern of the option's files; NULL: any file, or not a file. */
static const char *pattern(const cli_option *o) {
    if (o->kind != CLI_FILE) return NULL;
    return !strcmp(o->metavar, "W") ? "*.weights" : !strcmp(o->metavar, "F.csv") ? "*.csv" : NULL;
}

static void verb_names(const cli_args *args, const char *between) {
    const char *before = "";
    for (const cli_verb *v = cli_verbs; v->name; v++)
        if (is_here(args, v)) printf("%s%s", before, v->name), before = between;
}

/* "-a|--a|-b|--b" */
static void spellings(const cli_option *o, const char *between) {
    for (int k = 0; k < 3 && o->names[k]; k++)
        printf("%s-%s%s--%s", k ? between : "", o->names[k], between, o->names[k]);
}

/* Of several rows with the same name, only the first is of use to a shell. */
static int is_first(const cli_option *o, int bit) {
    for (const cli_option *other = cli_options; other < o; other++)
        if (!strcmp(other->names[0], o->names[0]) && other->verbs & bit) return 0;
    return 1;
}

/* Text for use between single quotes, with a backslash before each of the bytes in `special`. */
static void quoted(const char *text, const char *special) {
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            printf(strchr(special, *text) ? "\\%c" : "%c", *text);
}

static void bash_values(void) {
    for (const cli_option *o = cli_options; o->verbs; o++) {
        if (o->kind == CLI_FLAG || !is_first(o, CLI_ALL)) continue;
        char text[64];
        fputs("    ", stdout);
        spellings(o, "|");
        if (choices(o, text))
            printf(") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", choices(o, text));
        else if (o->kind == CLI_FILE)
            printf(") _darknet_files '%s'; return ;;\n", pattern(o) ? pattern(o) : "*");
        else
            puts(") return ;;");
    }
}

static void completion_bash(const cli_args *args) {
    printf("# %s: completion for bash\n"
           "_darknet_files() {\n    local IFS=$'\\n' p\n"
           "    COMPREPLY=($(compgen -d -- \"$cur\"; for p; do compgen -f -X \"!$p\" -- \"$cur\"; done))\n}\n"
           "_darknet() {\n",
           args->program);
    puts("    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb= words= data=0 i\n"
         "    COMPREPLY=()\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        case ${COMP_WORDS[i]} in");
    fputs("        ", stdout);
    verb_names(args, "|");
    puts(") [ \"$verb\" ] || verb=${COMP_WORDS[i]} ;;\n"
         "        *.cfg|*.safetensors) data=1 ;;\n        esac\n    done\n    case $before in");
    bash_values();
    puts("    esac\n    case $verb in");
    for (const cli_verb *v = cli_verbs; v->name; v++) {
        if (!v->bit) continue;
        printf("    %s) words='", v->name);
        for (const cli_option *o = cli_options; o->verbs; o++)
            for (int k = 0; o->verbs & v->bit && k < 3 && o->names[k]; k++) printf("-%s ", o->names[k]);
        puts("' ;;");
    }
    fputs("    '') words='", stdout);
    verb_names(args, " ");
    puts(" vae autoencoder --help --version' ;;\n    esac\n"
         "    if [[ $verb && $cur != -* ]]; then\n"
         "        if [ $data = 1 ]; then _darknet_files '*.csv'; else _darknet_files '*.cfg' '*.safetensors'; fi\n"
         "    elif [[ $verb && $cur == --* ]]; then\n"
         "        COMPREPLY=($(compgen -P - -W \"$words\" -- \"${cur#-}\"))\n"
         "    else\n"
         "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "    fi\n}");
    printf("complete -o filenames -o default -F _darknet %s\n", args->program);
}

/* "[help]" or ":W:_files -g ..." for _arguments, where brackets and colons have a meaning; in single quotes. */
static void zsh_option(const cli_option *o) {
    fputs("            '(", stdout);
    spellings(o, " ");
    fputs(")'{", stdout);
    spellings(o, ",");
    fputs("}'[", stdout);
    quoted(o->help, "[]\\");
    putchar(']');
    if (o->metavar) {
        char text[64];
        printf(":%s:", o->metavar);
        if (choices(o, text))
            printf("(%s)", choices(o, text));
        else if (o->kind == CLI_FILE)
            printf("_files%s%s%s", pattern(o) ? " -g \"" : "", pattern(o) ? pattern(o) : "", pattern(o) ? "\"" : "");
        else
            putchar(' ');
    }
    puts("' \\");
}

static void completion_zsh(const cli_args *args) {
    printf("#compdef %s\n_darknet_verbs() {\n    local -a verbs=(\n", args->program);
    for (const cli_verb *v = cli_verbs; v->name; v++) {
        if (!is_here(args, v)) continue;
        printf("        '%s:", v->name);
        quoted(v->help, ":\\");
        puts("'");
    }
    puts("        'vae:may stand before a command'\n        'autoencoder:may stand before a command'\n    )\n"
         "    _describe command verbs\n}\n"
         "local curcontext=$curcontext\n"
         "if [[ $words[2] == (vae|autoencoder) ]] && (( CURRENT > 2 )); then shift words; (( CURRENT-- )); fi\n"
         "if (( CURRENT == 2 )); then\n    _darknet_verbs\nelse\n"
         "    local verb=$words[2]\n    shift words; (( CURRENT-- ))\n    case $verb in");
    for (const cli_verb *v = cli_verbs; v->name; v++) {
        if (!v->bit) continue;
        printf("    %s)\n        _arguments \\\n", v->name);
        for (const cli_option *o = cli_options; o->verbs; o++)
            if (o->verbs & v->bit && is_first(o, v->bit)) zsh_option(o);
        puts("            '1:CFG:_files -g \"*.(cfg|safetensors)\"' '*:CSV:_files -g \"*.csv\"' ;;");
    }
    puts("    *) _files ;;\n    esac\nfi");
}

static void completion_fish(const cli_args *args) {
    const char *after = "contains -- (commandline -opc)[-1] vae autoencoder";
    for (const cli_verb *v = cli_verbs; v->name; v++) {
        if (!is_here(args, v)) continue;
        printf("complete -c %s -n '__fish_use_subcommand; or %s' -f -a %s -d '", args->program, after, v->name);
        quoted(v->help, "\\");
        puts("'");
    }
    printf("complete -c %s -n __fish_use_subcommand -f -a 'vae autoencoder' -d 'may stand before a command'\n",
           args->program);
    for (const cli_option *o = cli_options; o->verbs; o++) {
        printf("complete -c %s -n '__fish_seen_subcommand_from", args->program);
        for (const cli_verb *v = cli_verbs; v->name; v++)
            if (v->bit & o->verbs) printf(" %s", v->name);
        putchar('\'');
        for (int k = 0; k < 3 && o->names[k]; k++) printf(" -o %s -l %s", o->names[k], o->names[k]);
        char text[64];
        if (choices(o, text))
            printf(" -x -a '%s'", choices(o, text));
        else if (o->kind != CLI_FLAG)
            fputs(o->kind == CLI_FILE ? " -r" : " -x", stdout);
        fputs(" -d '", stdout);
        quoted(o->help, "\\");
        puts("'");
    }
}

int cli_completion(const cli_args *args, const char *shell) {
    static const struct {
        const char *shell;
        void (*print)(const cli_args *);
    } shells[] = {{"bash", completion_bash}, {"zsh", completion_zsh}, {"fish", completion_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(shells[i].shell, shell)) return shells[i].print(args), cli_flush(args);
    return cli_usage(args, "--completion takes bash, zsh or fish");
}

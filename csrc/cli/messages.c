/* What the binary prints. */
#include "base/number.h"
#include "base/status.h"
#include "cli/cli.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* Is standard output a pipe whose reader is gone? */
static int output_is_closed(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR) && !(out.revents & POLLNVAL);
}

/* The usual end of a program in a pipe, as in `... | head`: killed by the signal, silently. */
static void end_of_pipe(void) {
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

static void print_line(const cli_args *args, const char *kind, const char *format, va_list list, const char *end) {
    char text[4096], line[4096], all[4096 + 256];
    vsnprintf(text, sizeof text, format, list);
    dn_printable(text, line, sizeof line);
    snprintf(all, sizeof all, "%s: %s%s%s", args->program, kind, line, end);
    cli_put(stderr, all);
}

void cli_say(const cli_args *args, const char *format, ...) {
    va_list list;
    va_start(list, format);
    print_line(args, "", format, list, "");
    va_end(list);
}

int cli_check(const cli_args *args, dn_status status) {
    if (status == DN_OK) return 0;
    if (status == DN_E_IO && strstr(dn_error(), strerror(EPIPE)) && output_is_closed()) end_of_pipe();
    return cli_say(args, "%s", dn_error()), (int)status;
}

int cli_usage(const cli_args *args, const char *format, ...) {
    char end[96];
    va_list list;
    snprintf(end, sizeof end, " (%s%s%s --help explains)", args->program, args->verb ? " " : "",
             args->verb ? args->verb->name : "");
    va_start(list, format);
    print_line(args, "", format, list, end);
    va_end(list);
    return DN_E_USAGE;
}

void cli_warn(const cli_args *args, const char *format, ...) {
    va_list list;
    if (args->quiet) return;
    va_start(list, format);
    print_line(args, "warning: ", format, list, "");
    va_end(list);
}

static void print_values(FILE *to, const dn_report *report) {
    enum { VALUES = sizeof report->values / sizeof *report->values, ROOM = sizeof report->values->name + 32 };
    char line[VALUES * ROOM];
    size_t n = 0;
    for (int i = 0; i < report->n; i++)
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%s %.7g", i ? "  " : "", report->values[i].name,
                              report->values[i].value);
    line[n] = 0;
    cli_put(to, line);
}

void cli_json_text(FILE *to, const char *text) {
    putc('"', to);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            fprintf(to, "\\u%04x", *c);
        else
            fprintf(to, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    putc('"', to);
}

void cli_json_number(FILE *to, double value) {
    char text[DN_NUMBER_DOUBLE];
    dn_number_json(value, text);
    fputs(text, to);
}

void cli_json_report(FILE *to, const dn_report *report) {
    for (int i = 0; i < report->n; i++) {
        fprintf(to, "%s\"%s\": ", i ? ", " : "", report->values[i].name);
        cli_json_number(to, report->values[i].value);
    }
}

static void print_report_json(FILE *to, const dn_report *report, const char *name, const char *word) {
    putc('{', to);
    cli_json_report(to, report);
    if (word) fprintf(to, ", \"%s\": \"%s\"", name, word);
    fputs("}\n", to);
}

int cli_print_with(const cli_args *args, FILE *to, const dn_report *report, const char *name, const char *word) {
    if (args->json)
        print_report_json(to, report, name, word);
    else
        print_values(to, report);
    return to == stdout ? cli_flush(args) : 0;
}

int cli_print(const cli_args *args, FILE *to, const dn_report *report) {
    return cli_print_with(args, to, report, NULL, NULL);
}

int cli_flush(const cli_args *args) {
    if (!fflush(stdout) && !ferror(stdout)) return 0;
    if (output_is_closed()) end_of_pipe();
    cli_say(args, "cannot write to standard output");
    return DN_E_IO;
}

/* Signals, lines that fit a terminal, and the progress line of a training. */
#include "cli/cli.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted, saving; /* saving: 1, or 2 after a signal that came meanwhile */
static struct timespec interrupted_at;            /* time of the first signal */

/* A later signal is meant. One that comes at once is the same event delivered twice: a terminal that closes and its
 * shell both send SIGHUP, service managers send SIGTERM and SIGHUP, wrappers pass on what the whole group received. */
static void signal_heard(int number) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (saving) saving = 2;
    if (!interrupted)
        interrupted = number, interrupted_at = now;
    else if (now.tv_sec - interrupted_at.tv_sec + (now.tv_nsec - interrupted_at.tv_nsec) * 1e-9 >= 1)
        _exit(128 + number);
}

static int asked_to_stop(void *context) {
    (void)context;
    return interrupted;
}

void cli_signals(void) {
    struct sigaction heard = {.sa_handler = signal_heard}, before; /* no SA_RESTART: waiting for a pipe ends too */
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU};
    sigemptyset(&heard.sa_mask);
    for (int i = 0; i < 4; i++) sigaddset(&heard.sa_mask, numbers[i]); /* one signal at a time */
    for (int i = 0; i < 4; i++)
        if (numbers[i] != SIGHUP || (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN)) /* nohup */
            sigaction(numbers[i], &heard, NULL);
    signal(SIGPIPE, SIG_IGN); /* a training must not die with the reader of its progress */
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* exceeding a file size limit becomes an ordinary error */
#endif
    dn_watch(asked_to_stop, NULL);
}

int cli_interrupted(void) { return interrupted; }

static int asked_to_stop_saving(void *context) {
    (void)context;
    return saving == 2;
}

void cli_no_interrupt(int may_wait) {
    saving = 1;
    dn_watch(may_wait ? asked_to_stop_saving : NULL, NULL);
}

int cli_is_terminal(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
}

static size_t terminal_width(int fd) {
    struct winsize size;
    return !ioctl(fd, TIOCGWINSZ, &size) && size.ws_col > 0 ? size.ws_col : 80;
}

/* How much of a line goes on a terminal's line of that width: up to blanks, and where fields are separated by several,
 * up to those. At a word that is too long by itself, all of it. */
static size_t line_part(const char *line, size_t length, size_t width) {
    size_t one = 0, several = 0, used = 0; /* used: characters, not bytes, before i */
    if (length <= width) return length;
    for (size_t i = 0; i < length; i++) {
        int end = line[i] == ' ' && i && line[i - 1] != ' ';
        if (used > width && one) break;
        if (end && (used <= width || !one)) one = i;
        if (end && used <= width && i + 1 < length && line[i + 1] == ' ') several = i;
        used += (line[i] & 0xC0) != 0x80;
    }
    return used <= width || !one ? length : several > width / 2 ? several : one;
}

void cli_put(FILE *to, const char *text) {
    size_t width = isatty(fileno(to)) ? terminal_width(fileno(to)) : 0;
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n"), indent = 0;
        for (size_t part; width > 8 && (part = line_part(line, length, width - indent)) < length; indent = 2) {
            fprintf(to, "%*s%.*s\n", (int)indent, "", (int)part, line);
            line += part, length -= part;
            while (*line == ' ') line++, length--;
        }
        fprintf(to, "%*s%.*s\n", (int)indent, "", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

void cli_progress(const cli_args *args, const dn_progress *p, int terminal) {
    char line[256];
    if (args->quiet || (!terminal && !p->epoch_done)) return;
    size_t width =
        terminal ? terminal_width(STDERR_FILENO) : sizeof line; /* counts the final zero: the last column stays free */
    dn_progress_line(p, line, width < sizeof line ? width : sizeof line);
    fprintf(stderr, terminal ? "\r\033[K%s%s" : "%s%s", line, terminal && !p->finished ? "" : "\n");
}

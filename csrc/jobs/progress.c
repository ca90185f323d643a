/* The progress of a training in one line. */
#include "base/report.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void line_duration(double seconds, char *text, size_t size) {
    double whole = floor(seconds + 0.5), minutes = floor(seconds / 60 + 0.5);
    if (seconds < 90)
        snprintf(text, size, "%.1fs", seconds);
    else if (whole < 5400)
        snprintf(text, size, "%.0fm%02.0fs", floor(whole / 60), fmod(whole, 60));
    else
        snprintf(text, size, "%.0fh%02.0fm", floor(minutes / 60), fmod(minutes, 60));
}

/* What is left out, in this order, when a narrow terminal has no room: long names, the part of the total that follows
 * from the others, the speed, a digit of each number, the parts of the total (image_loss, latent_loss), all losses but
 * the last one, the time left. */
typedef enum line_form {
    LINE_WHOLE,
    LINE_SHORT_NAMES,
    LINE_NO_KL_COST,
    LINE_NO_SPEED,
    LINE_FOUR_DIGITS,
    LINE_NO_PARTS,
    LINE_ONE_LOSS,
    LINE_NO_TIME,
    LINE_FORMS
} line_form;

/* How many characters a line lacks to the length that it may have in another epoch: numbers are often shorter than all
 * their digits, and a line that is near the width would change its form with them. */
static int line_room(const char *number, int usual) {
    int n = (int)strlen(number);
    return n < usual ? usual - n : 0;
}

static int line_value(char *line, int size, int at, line_form form, const char *name, double value, int *room) {
    const int digits = form < LINE_FOUR_DIGITS ? 5 : 4;
    char number[32];
    int n = (int)strlen(name), cut = form > LINE_WHOLE && n > 5 && !strcmp(name + n - 5, "_loss") ? n - 5 : n;
    snprintf(number, sizeof number, "%.*g", digits, value);
    *room += line_room(number, digits + 1); /* and the point */
    int added =
        at < size ? snprintf(line + at, (size_t)(size - at), "%s%.*s %s", at ? "  " : "", cut, name, number) : 0;
    return at + added;
}

static void line_losses(const dn_report *report, line_form form, char *text, int size, int *room) {
    dn_report one;
    int at = 0, single = report->single;
    if (single) dn_report_one_loss(report, &one), report = &one;
    for (int i = 0; i < report->n; i++) {
        const dn_value *v = &report->values[i];
        if (form >= LINE_NO_KL_COST && !strcmp(v->name, DN_KL_COST)) continue;
        if (form >= LINE_NO_PARTS && !single && (!strcmp(v->name, DN_IMAGE_LOSS) || !strcmp(v->name, DN_LATENT_LOSS)))
            continue;
        if (form >= LINE_ONE_LOSS && (at || (!single && strcmp(v->name, DN_TOTAL_LOSS)))) continue;
        at = line_value(text, size, at, form, v->name, v->value, room);
    }
}

/* Returns the length of the line, `room` included. */
static size_t line_write(const dn_progress *p, line_form form, char *line, size_t size) {
    enum { TIME = 5 /* 12.3s */ };
    char time[32], losses[400] = "", part[32] = "", speed[48] = "", rest[48] = "", of[16] = "", number[16];
    int timed = p->finished || p->eta_seconds >= 0, room = 0;
    line_losses(&p->report, form, losses, sizeof losses, &room);
    int whole = p->epoch_done || p->finished;
    snprintf(number, sizeof number, "%d", whole ? p->epoch : p->epoch + 1);
    if (!whole && p->rows_total)
        snprintf(part, sizeof part, " %3.0f%%", 100.0 * (double)p->rows_done / (double)p->rows_total);
    if (form < LINE_NO_SPEED) snprintf(speed, sizeof speed, "  %.0f rows/s", p->rows_per_second);
    line_duration(p->finished ? p->seconds : p->eta_seconds, time, sizeof time);
    if (p->epochs) snprintf(of, sizeof of, "/%d", p->epochs);
    if (form < LINE_NO_TIME && timed) snprintf(rest, sizeof rest, "  %s %s", p->finished ? "took" : "eta", time);
    if (*rest) room += line_room(time, TIME) + !p->finished; /* took is longer */
    if (*of) room += line_room(number, (int)strlen(of) - 1);
    int n = snprintf(line, size, "epoch %s%s%s  %s%s%s", number, of, part, losses, speed, rest);
    return n > 0 ? (size_t)(n + room) : 0;
}

void dn_progress_line(const dn_progress *p, char *line, size_t size) {
    for (int form = 0; form < LINE_FORMS; form++)
        if (line_write(p, (line_form)form, line, size) < size) return;
}

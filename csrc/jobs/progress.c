/* Losses by name, and a training's progress in one line. */
#include "darknet.h"
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

/* What a narrow terminal has no room for goes in this order: long names, the speed, all losses but the last one, the time
 * left. */
typedef enum line_form { LINE_WHOLE, LINE_SHORT_NAMES, LINE_NO_SPEED, LINE_ONE_LOSS, LINE_NO_TIME, LINE_FORMS } line_form;

static int line_add(char *line, int size, int at, line_form form, const char *name, double value) {
    int n = (int)strlen(name), cut = form > LINE_WHOLE && n > 5 && !strcmp(name + n - 5, "_loss") ? n - 5 : n;
    int added = at < size ? snprintf(line + at, (size_t)(size - at), "%s%.*s %.5g", at ? "  " : "", cut, name, value) : 0;
    return at + added;
}

int dn_progress_item(const dn_progress *p, int index, const char **name, double *value) {
    static const char *const held_out[] = {"valid_loss", "valid_accuracy", "valid_mse", "valid_r2"};
    dn_losses trained = {p->image_loss, p->latent_loss, p->total_loss, NAN, NAN, NAN};
    int plain = !p->variational; /* then the three losses are one */
    if (p->scored == 1) trained.accuracy = p->scores.accuracy, trained.mse = p->scores.mse, trained.r2 = p->scores.r2;
    int n = 0;
    while (dn_losses_item(&trained, p->supervised, n, name, value)) n++;
    if (index < n) return dn_losses_item(&trained, p->supervised, index, name, value);
    const double scores[] = {plain ? p->scores.image_loss : p->scores.total_loss, p->scores.accuracy, p->scores.mse,
                             p->scores.r2};
    for (int i = 0; p->scored == 2 && i < 4; i++)
        if (!isnan(scores[i]) && index-- == n) {
            *name = held_out[i], *value = scores[i];
            return 1;
        }
    return 0;
}

static void line_losses(const dn_progress *p, line_form form, char *text, int size) {
    const char *name;
    double value;
    int at = 0;
    for (int i = 0; dn_progress_item(p, i, &name, &value); i++) {
        int three = !p->supervised && i < 3; /* without a latent loss they are one */
        if (three && i != 2 && (!p->variational || form >= LINE_ONE_LOSS)) continue;
        if (form >= LINE_ONE_LOSS && at) break;
        at = line_add(text, size, at, form, three && !p->variational ? "loss" : name, value);
    }
}

static size_t line_write(const dn_progress *p, line_form form, char *line, size_t size) {
    char time[32], losses[192] = "", part[32] = "", speed[48] = "", rest[48] = "";
    line_losses(p, form, losses, sizeof losses);
    if (!p->epoch_done && p->rows_total)
        snprintf(part, sizeof part, " %3.0f%%", 100.0 * (double)p->rows_done / (double)p->rows_total);
    if (form < LINE_NO_SPEED) snprintf(speed, sizeof speed, "  %.0f rows/s", p->rows_per_second);
    line_duration(p->finished ? p->seconds : p->eta_seconds, time, sizeof time);
    if (form < LINE_NO_TIME) snprintf(rest, sizeof rest, "  %s %s", p->finished ? "took" : "eta", time);
    int n = snprintf(line, size, "epoch %d/%d%s  %s%s%s", p->epoch_done ? p->epoch : p->epoch + 1, p->epochs, part, losses,
                     speed, rest);
    return n > 0 ? (size_t)n : 0;
}

void dn_progress_line(const dn_progress *p, char *line, size_t size) {
    for (int form = 0; form < LINE_FORMS; form++)
        if (line_write(p, (line_form)form, line, size) < size) return;
}

int dn_losses_item(const dn_losses *l, int supervised, int index, const char **name, double *value) {
    const struct item {
        const char *name;
        double value;
    } items[] = {{supervised ? "loss" : "image_loss", l->image_loss},
                 {"latent_loss", supervised ? NAN : l->latent_loss},
                 {"total_loss", supervised ? NAN : l->total_loss},
                 {"accuracy", l->accuracy},
                 {"mse", l->mse},
                 {"r2", l->r2}};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (i > 2 ? isnan(items[i].value) : supervised && i > 0) continue;
        if (index-- > 0) continue;
        *name = items[i].name, *value = items[i].value;
        return 1;
    }
    return 0;
}

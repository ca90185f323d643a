/* Named values, from the losses of a network to what programs print. */
#include "base/report.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const losses[] = {DN_IMAGE_LOSS, DN_LATENT_LOSS, DN_KL_COST, DN_TOTAL_LOSS};

const dn_value *dn_report_find(const dn_report *report, const char *name) {
    for (int i = 0; i < report->n; i++)
        if (!strcmp(report->values[i].name, name)) return &report->values[i];
    return NULL;
}

void dn_report_add(dn_report *report, const char *name, double value) {
    dn_value *v = (dn_value *)dn_report_find(report, name);
    if (v) {
        v->value += value;
    } else if (report->n < (int)(sizeof report->values / sizeof *report->values)) {
        v = &report->values[report->n++];
        snprintf(v->name, sizeof v->name, "%s", name);
        v->value = value;
    }
}

double dn_report_get(const dn_report *report, const char *name) {
    const dn_value *v = dn_report_find(report, name);
    return v ? v->value : NAN;
}

void dn_report_mean(dn_report *sums, double rows) {
    for (int i = 0; i < sums->n; i++) sums->values[i].value /= rows;
}

void dn_report_one_loss(const dn_report *report, dn_report *out) {
    *out = *report, out->n = 0;
    dn_report_add(out, "loss", dn_report_get(report, DN_TOTAL_LOSS));
    for (int i = 0; i < report->n; i++) {
        const dn_value *v = &report->values[i];
        int part = 0;
        for (size_t k = 0; k < sizeof losses / sizeof *losses; k++) part |= !strcmp(v->name, losses[k]);
        if (!part) dn_report_add(out, v->name, v->value);
    }
}

void dn_report_shown(const dn_report *report, dn_report *shown) {
    if (report->supervised)
        dn_report_one_loss(report, shown);
    else
        *shown = *report;
}

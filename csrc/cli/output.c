/* Tables that verbs make, column by column. */
#include "cli/cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 32 };

void cli_output_begin(cli_output *o, size_t rows, size_t columns) {
    *o = (cli_output){.frame = {.rows = rows, .separator = ','}, .room = columns};
    o->frame.columns = calloc(columns + 1, sizeof *o->frame.columns);
    o->owned = calloc(2 * columns + 1, sizeof *o->owned);
    o->failed = !o->frame.columns || !o->owned;
}

static void *output_own(cli_output *o, size_t n, size_t size) {
    void *memory = o->failed ? NULL : calloc(n + 1, size);
    if (memory) o->owned[o->n_owned++] = memory;
    o->failed |= !memory;
    return memory;
}

/* A further column, named by a format that takes a number. */
static dn_frame_column *output_column(cli_output *o, const char *format, size_t number) {
    char *name = output_own(o, NAME, 1);
    if (!name || (size_t)o->frame.n >= o->room) return o->failed = 1, NULL;
    snprintf(name, NAME, format, number);
    dn_frame_column *c = &o->frame.columns[o->frame.n++];
    c->name = name;
    return c;
}

double *cli_output_numbers(cli_output *o, const char *format, size_t number, int decimals) {
    dn_frame_column *c = output_column(o, format, number);
    double *numbers = output_own(o, o->frame.rows, sizeof *numbers);
    if (c) c->type = DN_FRAME_NUMBER, c->numbers = numbers, c->decimals = decimals;
    return o->failed ? NULL : numbers;
}

int32_t *cli_output_words(cli_output *o, const char *format, size_t number, const char *words, int32_t n) {
    dn_frame_column *c = output_column(o, format, number);
    int32_t *codes = output_own(o, o->frame.rows, sizeof *codes);
    if (c) c->type = DN_FRAME_TEXT, c->codes = codes, c->words = words, c->n_words = n;
    return o->failed ? NULL : codes;
}

const dn_frame_column *cli_column(const dn_frame *frame, const char *name) {
    for (int i = 0; frame && i < frame->n; i++)
        if (!strcmp(frame->columns[i].name, name)) return &frame->columns[i];
    return NULL;
}

void cli_output_given(cli_output *o, const dn_schema *schema, const dn_frame *frame) {
    dn_column_info c;
    for (int i = 0; !o->failed && dn_schema_column(schema, i, &c); i++) {
        const dn_frame_column *given =
            c.kind == DN_COLUMN_LABEL || c.kind == DN_COLUMN_IDENTIFIER ? cli_column(frame, c.name) : NULL;
        if (given && (size_t)o->frame.n < o->room) o->frame.columns[o->frame.n++] = *given;
    }
}

/* The value with so many significant digits, for those whose power of ten a double holds exactly; NaN: not here. */
static double rounded(double value, int digits, int exponent) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int shift = digits - 1 - exponent;
    if (shift < -22 || shift > 22) return NAN;
    return shift < 0 ? rint(value / powers[-shift]) * powers[-shift] : rint(value * powers[shift]) / powers[shift];
}

double cli_few_digits(double value) {
    char text[32];
    if (!isfinite(value) || value == 0) return value;
    int exponent = (int)floor(log10(fabs(value)));
    for (int digits = 6; digits <= 9; digits++) {
        double found = rounded(value, digits, exponent);
        if ((float)found == (float)value) return found;
    }
    snprintf(text, sizeof text, "%.9g", value);
    return strtod(text, NULL);
}

static int output_failed(const cli_args *args, const cli_output *o) {
    if (o->failed) cli_say(args, "out of memory");
    return o->failed ? DN_E_MEMORY : 0;
}

void cli_output_free(cli_output *o) {
    for (size_t i = 0; i < o->n_owned; i++) free(o->owned[i]);
    free(o->owned);
    free(o->frame.columns);
    dn_frame_free(&o->made);
    free(o->values), free(o->picked);
    *o = (cli_output){0};
}

int cli_output_save(const cli_args *args, cli_output *o, const char *path) {
    int code = output_failed(args, o);
    if (!code) code = cli_check(args, dn_frame_save(path, &o->frame));
    cli_output_free(o);
    return code;
}

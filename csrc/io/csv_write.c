/* Tables to text. This reader and any other reader of RFC 4180 read back what is written here unchanged. */
#include "io/csv.h"
#include <stdio.h>

typedef struct csv_out {
    dn_writer *writer;
    const char **names; /* (classes) */
    int n_names;
    size_t used;
    char text[1 << 14];
} csv_out;

static dn_status csv_flush(csv_out *o) {
    size_t n = o->used;
    o->used = 0;
    DN_TRY(dn_watched());
    return dn_writer_write(o->writer, o->text, n);
}

static dn_status csv_put(csv_out *o, char c) {
    if (o->used == sizeof o->text) DN_TRY(csv_flush(o));
    o->text[o->used++] = c;
    return DN_OK;
}

int dn_csv_needs_quotes(const char *text, size_t size) {
    if (!size || *text == '#' || (size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3))) return 1;
    for (size_t i = 0; i < size; i++)
        if (strchr(",;\t \"\r\n", text[i])) return 1;
    return 0;
}

/* A name as a cell, and a comma. */
static dn_status csv_put_name(csv_out *o, const char *name, size_t size) {
    int quoted = dn_csv_needs_quotes(name, size);
    if (quoted) DN_TRY(csv_put(o, '"'));
    for (size_t i = 0; i < size; i++) {
        DN_TRY(csv_put(o, name[i]));
        if (name[i] == '"') DN_TRY(csv_put(o, '"'));
    }
    if (quoted) DN_TRY(csv_put(o, '"'));
    return csv_put(o, ',');
}

static dn_status csv_put_class(csv_out *o, int32_t picked) {
    char number[16];
    if (picked >= 0 && picked < o->n_names) return csv_put_name(o, o->names[picked], strlen(o->names[picked]));
    return csv_put_name(o, number, (size_t)snprintf(number, sizeof number, "%d", (int)picked));
}

static dn_status csv_write_rows(csv_out *o, const int32_t *picked, const float *values, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        if (picked) DN_TRY(csv_put_class(o, picked[r]));
        for (size_t c = 0; c < columns; c++) {
            if (o->used + DN_NUMBER_ROOM + 1 > sizeof o->text) DN_TRY(csv_flush(o));
            o->used += (size_t)dn_number_format(values[r * columns + c], o->text + o->used);
            o->text[o->used++] = c + 1 < columns ? ',' : '\n';
        }
    }
    return csv_flush(o);
}

static dn_status csv_write(dn_writer *w, const dn_classes *classes, const int32_t *picked, const float *values,
                           size_t rows, size_t columns) {
    csv_out o;
    o.writer = w, o.used = 0, o.names = NULL, o.n_names = 0;
    if (picked && classes && classes->n > 0) {
        const char *name = classes->names;
        if (!(o.names = dn_alloc((size_t)classes->n, sizeof *o.names))) return DN_E_MEMORY;
        for (; o.n_names < classes->n; name += strlen(name) + 1) o.names[o.n_names++] = name;
    }
    dn_status status = csv_write_rows(&o, picked, values, rows, columns);
    dn_free(o.names);
    return status;
}

dn_status dn_csv_save_picked(const char *path, const dn_classes *classes, const int32_t *picked, const float *values,
                             size_t rows, size_t columns) {
    dn_writer *w;
    DN_TRY(dn_writer_open(&w, path));
    return dn_writer_finish(w, csv_write(w, classes, picked, values, rows, columns));
}

dn_status dn_csv_save(const char *path, const float *values, size_t rows, size_t columns) {
    return dn_csv_save_picked(path, NULL, NULL, values, rows, columns);
}

/* ---- in pieces ---- */

dn_status dn_csv_writer_open(dn_csv_writer **out, const char *path) {
    dn_csv_writer *w = *out = dn_alloc(1, sizeof *w);
    if (!w) return DN_E_MEMORY;
    dn_status status = dn_writer_open(&w->to, path);
    if (status == DN_OK) return DN_OK;
    dn_free(w);
    *out = NULL;
    return status;
}

dn_status dn_csv_writer_rows(dn_csv_writer *w, const dn_classes *classes, const int32_t *picked, const float *values,
                             size_t rows, size_t columns) {
    DN_TRY(csv_write(w->to, classes, picked, values, rows, columns));
    return dn_writer_pass_on(w->to);
}

dn_status dn_csv_writer_finish(dn_csv_writer *w, dn_status status) {
    if (!w) return status;
    status = dn_writer_finish(w->to, status);
    dn_free(w);
    return status;
}

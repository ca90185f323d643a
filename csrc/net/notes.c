/* What a model file says besides its network: how the data was scaled, what columns and classes are called, the last
 * losses. The network keeps a copy. */
#include "base/sys.h"
#include "io/columns.h"
#include "net/model_file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dn_notes_free(dn_model_notes *notes) {
    dn_free((char *)notes->columns);
    dn_free((char *)notes->label_column);
    dn_free((char *)notes->row_weight);
    dn_free(notes->classes.names);
    *notes = (dn_model_notes){0};
}

/* ---- texts one after another ---- */

static size_t names_size(const char *names, int n) {
    const char *p = names;
    for (int i = 0; i < n; i++) p += strlen(p) + 1;
    return (size_t)(p - names);
}

static dn_status names_copy(char **to, const char *names, int n) {
    size_t size = names_size(names, n);
    *to = NULL;
    if (!n) return DN_OK;
    if (!(*to = dn_realloc(NULL, size, 1))) return DN_E_MEMORY;
    memcpy(*to, names, size);
    return DN_OK;
}

static dn_status notes_copy(dn_model_notes *to, const dn_model_notes *from) {
    char *columns, *classes = NULL, *label = from->label_column ? dn_strdup(from->label_column) : NULL;
    char *weight = from->row_weight ? dn_strdup(from->row_weight) : NULL;
    dn_status status = names_copy(&columns, from->columns, from->n_columns);
    if (status == DN_OK) status = names_copy(&classes, from->classes.names, from->classes.n);
    if ((from->label_column && !label) || (from->row_weight && !weight)) status = DN_E_MEMORY;
    *to = *from;
    to->columns = columns, to->label_column = label, to->row_weight = weight, to->classes.names = classes;
    if (status != DN_OK) dn_notes_free(to);
    return status;
}

/* ---- of a network ---- */

dn_status dn_net_notes(const dn_net *net, dn_model_notes *notes) {
    DN_TRY(dn_net_enter(net));
    *notes = net->notes;
    return dn_net_leave(net, DN_OK);
}

static dn_status notes_classes(const dn_net *net, dn_classes *classes) {
    const dn_classes *own = &net->notes.classes;
    *classes = (dn_classes){0};
    DN_TRY(names_copy(&classes->names, own->names, own->n));
    classes->n = own->n;
    return DN_OK;
}

dn_status dn_net_classes(const dn_net *net, dn_classes *classes) { DN_EXCLUSIVE(net, notes_classes(net, classes)); }

dn_status dn_notes_take(dn_net *net, const dn_model_notes *notes) {
    dn_model_notes copy, old;
    DN_CHECK(notes->n_columns >= 0 && notes->classes.n >= 0 && isfinite(notes->scale) && notes->scale >= 0, DN_E_USAGE,
             "notes of a model: scale=%g, %d columns, %d classes: none is below 0", notes->scale, notes->n_columns,
             notes->classes.n);
    DN_TRY(notes_copy(&copy, notes));
    dn_net_lock(net);
    old = net->notes, net->notes = copy;
    dn_net_unlock(net);
    dn_notes_free(&old);
    return DN_OK;
}

dn_status dn_net_set_notes(dn_net *net, const dn_model_notes *notes) { DN_EXCLUSIVE(net, dn_notes_take(net, notes)); }

/* ---- as JSON ---- */

void dn_notes_add_string(dn_text *to, const char *text, size_t size) {
    if (dn_utf8_valid(text, size)) {
        dn_json_add(to, text, size);
        return;
    }
    dn_text utf8 = {0};
    dn_utf8_add(&utf8, text, size);
    if (utf8.status == DN_OK)
        dn_json_add(to, utf8.bytes, utf8.size);
    else
        to->status = utf8.status;
    dn_text_free(&utf8);
}

static void write_names(dn_text *to, const char *key, const char *names, int n) {
    if (!n) return;
    dn_text_format(to, ",\n \"%s\": [", key);
    for (int i = 0; i < n; i++, names += strlen(names) + 1) {
        if (i) dn_text_add(to, ", ", 2);
        dn_notes_add_string(to, names, strlen(names));
    }
    dn_text_add(to, "]", 1);
}

int dn_notes_some(const dn_model_notes *notes) {
    return notes->scale > 0 || notes->n_columns || notes->classes.n || notes->label_column || notes->row_weight;
}

void dn_notes_write(const dn_model_notes *notes, const dn_schema *schema, dn_text *to) {
    dn_text_add(to, "{", 1);
    dn_text_format(to, "\"scale\": ");
    dn_json_add_number(to, notes->scale > 0 ? notes->scale : (double)NAN);
    if (notes->label_column) {
        dn_text_format(to, ",\n \"label_column\": ");
        dn_notes_add_string(to, notes->label_column, strlen(notes->label_column));
    }
    if (notes->row_weight) {
        dn_text_format(to, ",\n \"row_weight\": ");
        dn_notes_add_string(to, notes->row_weight, strlen(notes->row_weight));
    }
    write_names(to, "names", notes->columns, notes->n_columns);
    write_names(to, "classes", notes->classes.names, notes->classes.n);
    if (schema) {
        dn_text_format(to, ",\n \"schema\": ");
        dn_columns_write(schema, to);
    }
    dn_text_add(to, "}", 1);
}

void dn_notes_write_losses(const dn_report *losses, dn_text *to) {
    dn_text_add(to, "{", 1);
    for (int i = 0; i < losses->n; i++) {
        if (i) dn_text_add(to, ", ", 2);
        dn_json_add(to, losses->values[i].name, strlen(losses->values[i].name));
        dn_text_add(to, ": ", 2);
        dn_json_add_number(to, losses->values[i].value);
    }
    dn_text_add(to, "}", 1);
}

/* A string of a file as a C string; to be freed. */
static dn_status read_string(dn_json *j, char **out) {
    dn_json_text text;
    DN_TRY(dn_json_string(j, &text));
    dn_free(*out);
    if (!(*out = dn_realloc(NULL, text.size + 1, 1))) return DN_E_MEMORY;
    size_t n = dn_json_decode(&text, *out);
    (*out)[n] = 0;
    return memchr(*out, 0, n) ? dn_json_fail(j, "a text with a zero in it") : DN_OK;
}

static dn_status read_names(dn_json *j, char **names, int *n) {
    dn_text all = {0};
    int more;
    dn_json_text text;
    dn_status status = *n ? dn_json_fail(j, "a list that has been given before") : dn_json_open(j, '[');
    while (status == DN_OK && (status = dn_json_more(j, ']', &more)) == DN_OK && more) {
        if ((status = dn_json_string(j, &text)) != DN_OK) break;
        char *to = dn_text_room(&all, text.size + 1);
        size_t length = to ? dn_json_decode(&text, to) : 0;
        if (to) to[length] = 0, all.size += length + 1, ++*n;
        status = to && memchr(to, 0, length) ? dn_json_fail(j, "a text with a zero in it") : all.status;
    }
    *names = all.bytes;
    if (status != DN_OK) *n = 0;
    return status;
}

static dn_status notes_member(dn_model_notes *notes, dn_json *j, const dn_json_text *key) {
    if (dn_json_is(key, "scale")) {
        DN_TRY(dn_json_number(j, &notes->scale));
        if (isnan(notes->scale)) notes->scale = 0;
        return notes->scale >= 0 && isfinite(notes->scale) ? DN_OK : dn_json_fail(j, "a scale that is not above 0");
    }
    if (dn_json_is(key, "label_column")) return read_string(j, (char **)&notes->label_column);
    if (dn_json_is(key, "row_weight")) return read_string(j, (char **)&notes->row_weight);
    if (dn_json_is(key, "names")) return read_names(j, (char **)&notes->columns, &notes->n_columns);
    if (dn_json_is(key, "classes")) return read_names(j, &notes->classes.names, &notes->classes.n);
    return dn_json_skip(j);
}

dn_status dn_notes_read(dn_model_notes *notes, const char *label, const char *text, size_t size) {
    dn_json j;
    dn_json_text key;
    int more = 1;
    dn_json_begin(&j, label, text, size);
    dn_status status = dn_json_open(&j, '{');
    while (status == DN_OK && (status = dn_json_member(&j, &key, &more)) == DN_OK && more)
        status = notes_member(notes, &j, &key);
    return status == DN_OK ? dn_json_end(&j) : status;
}

dn_status dn_notes_read_losses(dn_report *losses, dn_json *j) {
    dn_json_text key;
    int more;
    *losses = (dn_report){0};
    DN_TRY(dn_json_open(j, '{'));
    for (;;) {
        char name[sizeof losses->values[0].name];
        double value;
        DN_TRY(dn_json_member(j, &key, &more));
        if (!more) return DN_OK;
        DN_TRY(dn_json_number(j, &value));
        if (key.size >= sizeof name) continue; /* of a later version */
        name[dn_json_decode(&key, name)] = 0;
        dn_report_add(losses, name, value);
    }
}

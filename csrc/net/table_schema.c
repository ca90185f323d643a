/* The schema of the table whose rows a network computes on: the network's copy, and its place in model files. */
#include "base/sys.h"
#include "io/columns.h"
#include "net/coded.h"
#include "net/model_file.h"
#include <stdio.h>

const dn_schema *dn_net_schema(const dn_net *net) { return net->schema; }

/* As [columns] writes it: a cfg's value has no line ends, so its names have blanks for control characters. */
static int same_name(const char *ours, const char *cfgs) {
    for (; *ours && *cfgs; ours++, cfgs++)
        if (*ours != *cfgs && !((unsigned char)*ours < ' ' && *cfgs == ' ')) return 0;
    return *ours == *cfgs;
}

static void kind_text(int classes, char text[32]) {
    if (classes > DN_CLASSES_YES_NO)
        snprintf(text, 32, "category:%d", classes);
    else
        snprintf(text, 32, classes == DN_CLASSES_YES_NO ? "yes_no" : "number");
}

/* Column number `place` of both. */
static dn_status column_fits(const dn_coded *columns, const dn_schema *schema, int place) {
    const columns_column *c = &schema->columns[schema->coded[place]];
    int classes = c->kind == DN_COLUMN_YES_NO ? DN_CLASSES_YES_NO : columns_classes(c);
    char ours[32], cfgs[32], name[COLUMNS_SHOWN], other[COLUMNS_SHOWN];
    dn_columns_shown(c->name, name);
    DN_CHECK(!columns->names || same_name(c->name, columns->names[place]), DN_E_USAGE,
             "coded column %d of the table is '%s', of [columns] '%s'", place, name,
             dn_columns_shown(columns->names[place], other));
    kind_text(classes, ours);
    kind_text(columns->classes[place], cfgs);
    DN_CHECK(classes == columns->classes[place], DN_E_USAGE, "column '%s' of the table is a %s, of [columns] a %s",
             name, ours, cfgs);
    return DN_OK;
}

dn_status dn_schema_fits(const dn_net *net, const dn_schema *schema) {
    if (!schema) return DN_OK;
    DN_CHECK(schema->n_coded == net->inputs, DN_E_USAGE, "the schema has %d coded columns, the network %d inputs",
             schema->n_coded, net->inputs);
    for (int i = 0; i < schema->n_coded && net->columns; i++) DN_TRY(column_fits(net->columns, schema, i));
    return DN_OK;
}

void dn_schema_take(dn_net *net, dn_schema *schema) {
    dn_net_lock(net);
    dn_schema *old = net->schema;
    net->schema = schema;
    dn_net_unlock(net);
    dn_schema_free(old);
}

static dn_status set_schema(dn_net *net, const dn_schema *schema) {
    dn_schema *copy = NULL;
    DN_TRY(dn_schema_fits(net, schema));
    if (schema) DN_TRY(dn_columns_copy(&copy, schema));
    dn_schema_take(net, copy);
    return DN_OK;
}

dn_status dn_net_set_schema(dn_net *net, const dn_schema *schema) { DN_EXCLUSIVE(net, set_schema(net, schema)); }

/* The member "schema" of the object. */
static dn_status read_member(dn_schema **out, dn_json *j) {
    dn_json_text key;
    int more;
    DN_TRY(dn_json_open(j, '{'));
    for (;;) {
        DN_TRY(dn_json_member(j, &key, &more));
        if (!more) return dn_json_end(j);
        if (!dn_json_is(&key, "schema")) {
            DN_TRY(dn_json_skip(j));
            continue;
        }
        if (*out) return dn_json_fail(j, "a second schema");
        DN_TRY(dn_columns_read_json(out, j));
    }
}

dn_status dn_model_read_schema(dn_schema **out, const dn_st *file) {
    size_t size;
    const char *text = dn_st_text(file, "darknet_vae.columns", &size);
    char label[256];
    dn_json j;
    *out = NULL;
    if (!text) return DN_OK;
    snprintf(label, sizeof label, "%.200s: darknet_vae.columns", dn_st_label(file));
    dn_json_begin(&j, label, text, size);
    dn_status status = read_member(out, &j);
    if (status == DN_OK) return DN_OK;
    dn_schema_free(*out);
    *out = NULL;
    return status;
}

dn_status dn_schema_load(dn_schema **out, const char *path) {
    dn_st *file;
    *out = NULL;
    DN_TRY(dn_st_open(&file, path));
    dn_status status = dn_st_ours(file) ? dn_model_read_schema(out, file) : DN_OK;
    dn_st_close(file);
    return status;
}

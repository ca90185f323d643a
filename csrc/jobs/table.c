/* The rows of a typed table as a network takes them: coded, as the table of numbers that all jobs read. */
#include "base/sys.h"
#include "base/text.h"
#include "io/columns.h"
#include "net/coded.h"
#include "net/model_file.h"
#include "net/network.h"
#include <stdio.h>
#include <string.h>

/* The names of the coded columns, in their order. */
static dn_status table_header(const dn_schema *schema, dn_table *table) {
    dn_text names = {0};
    dn_column_info c;
    for (int k = 0; k < dn_schema_coded(schema); k++)
        for (int i = 0; i < dn_schema_columns(schema); i++)
            if (dn_schema_column(schema, i, &c) && c.coded == k) dn_text_add(&names, c.name, strlen(c.name) + 1);
    if (names.status != DN_OK) return dn_text_free(&names), names.status;
    table->header = names.bytes, table->header_size = names.size, table->has_header = 1;
    return DN_OK;
}

dn_status dn_schema_table_piece(const dn_schema *schema, const dn_frame *frame, size_t before, const char *name,
                                dn_table *table) {
    size_t columns = (size_t)dn_schema_coded(schema);
    *table = (dn_table){.rows = frame->rows, .columns = columns, .separator = frame->separator};
    dn_status status = table_header(schema, table);
    if (status == DN_OK && !(table->values = dn_alloc(frame->rows, columns * sizeof *table->values)))
        status = DN_E_MEMORY;
    if (status == DN_OK) {
        status = dn_schema_code_piece(schema, frame, before, table->values, &table->warnings);
        if (status != DN_OK) status = dn_fail_prefix(status, "%s: ", name);
    }
    if (status == DN_OK && !frame->rows) status = dn_fail(DN_E_FORMAT, "%s: the table has no rows", name);
    if (status != DN_OK) dn_table_free(table);
    return status;
}

dn_status dn_schema_table(const dn_schema *schema, const dn_frame *frame, const char *name, dn_table *table) {
    return dn_schema_table_piece(schema, frame, 0, name, table);
}

/* ---- learning what the cfg says ---- */

static const char *table_key(dn_section *s, const char *key) {
    const dn_option *o = dn_cfg_option(s, key);
    return o && *o->text ? o->text : NULL;
}

static void table_cell(dn_text *to, const char *name) {
    if (to->size) dn_text_add(to, ",", 1);
    dn_text_add(to, "\"", 1);
    for (; *name; name++) dn_text_add(to, *name == '"' ? "\"\"" : name, *name == '"' ? 2 : 1);
    dn_text_add(to, "\"", 1);
}

/* The columns of the table that have the kind which [columns] says, whatever its cells look like, and those that a
 * [condition] gives. */
static void table_lists(const dn_coded *coded, const dn_frame *frame, dn_text *numbers, dn_text *categories,
                        dn_text *conditions) {
    for (int i = 0; coded->names && i < coded->n; i++)
        for (int k = 0; k < frame->n; k++) {
            if (strcmp(frame->columns[k].name, coded->names[i])) continue;
            int number = frame->columns[k].type == DN_FRAME_NUMBER;
            if (number && coded->classes[i] == DN_CLASSES_NUMBER) table_cell(numbers, coded->names[i]);
            if (coded->classes[i] > DN_CLASSES_YES_NO) table_cell(categories, coded->names[i]);
            if (coded->given[i]) table_cell(conditions, coded->names[i]);
            break;
        }
}

static dn_status learn_schema(dn_net *net, const dn_frame *frame, const char *label_column) {
    DN_CHECK(net->columns, DN_E_USAGE, "%s: columns of a table are learned by networks that begin with [columns]",
             net->cfg->path);
    dn_section *s = &net->cfg->sections[1];
    dn_text numbers = {0}, categories = {0}, conditions = {0};
    table_lists(net->columns, frame, &numbers, &categories, &conditions);
    const char *as_number = table_key(s, "as_number"), *as_category = table_key(s, "as_category");
    if (as_number) dn_text_format(&numbers, "%s%s", numbers.size ? "," : "", as_number);
    if (as_category) dn_text_format(&categories, "%s%s", categories.size ? "," : "", as_category);
    dn_status status = numbers.status | categories.status | conditions.status ? DN_E_MEMORY : DN_OK;
    dn_schema_options options = {.label_column = label_column ? label_column : dn_net_label_column(net),
                                 .drop = table_key(s, "drop"),
                                 .as_number = numbers.bytes,
                                 .as_category = categories.bytes,
                                 .condition = conditions.bytes,
                                 .coding = table_key(s, "coding"),
                                 .row_weight = dn_net_row_weight(net)};
    dn_schema *schema = NULL;
    if (status == DN_OK) status = dn_schema_learn(&schema, frame, &options);
    if (status == DN_OK) status = dn_net_set_schema(net, schema);
    int weight = status == DN_OK ? dn_frame_find(frame, options.row_weight) : -1;
    dn_model_notes notes = net->notes;
    if (weight >= 0) notes.row_weight = frame->columns[weight].name; /* which an index may have meant */
    if (weight >= 0) status = dn_notes_take(net, &notes);
    dn_schema_free(schema);
    dn_text_free(&numbers), dn_text_free(&categories), dn_text_free(&conditions);
    return status;
}

dn_status dn_net_learn_schema(dn_net *net, const dn_frame *frame, const char *label_column) {
    DN_EXCLUSIVE(net, learn_schema(net, frame, label_column));
}

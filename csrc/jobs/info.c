/* What a file holds: a model file, tensors of another program, Darknet weights. */
#include "base/sys.h"
#include "jobs/training_fields.h"
#include "net/model_file.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- tensors ---- */

/* What the prefix of a name means. */
static const struct {
    const char *prefix, *meaning;
} parts[] = {{"opt.", "of the optimiser"}, {"best.", "of the best epoch"}, {"ema.", "averages"}};
enum { PARTS = sizeof parts / sizeof *parts };

static int info_part(const dn_st_tensor *t) {
    for (int i = 0; i < PARTS; i++)
        if (!strncmp(t->name, parts[i].prefix, strlen(parts[i].prefix))) return i;
    return -1;
}

static void info_tensor(const dn_st_tensor *t, dn_text *to) {
    dn_text_format(to, "  %-28s %-4s", t->name, t->type);
    for (int k = 0; k < t->n_dims; k++) dn_text_format(to, "%s%llu", k ? " x " : " ", (unsigned long long)t->dims[k]);
    dn_text_format(to, "\n");
}

/* One by one, and those of a training as sums. */
static void info_tensors(const dn_st *file, dn_text *to) {
    const dn_st_tensor *t;
    int tensors[PARTS] = {0};
    size_t values[PARTS] = {0}, own = 0;
    for (int i = 0; (t = dn_st_at(file, i)); i++) {
        int part = info_part(t);
        if (part < 0)
            own += t->count;
        else
            tensors[part]++, values[part] += t->count;
    }
    dn_text_format(to, "tensors, %zu values:\n", own);
    for (int i = 0; (t = dn_st_at(file, i)); i++)
        if (info_part(t) < 0) info_tensor(t, to);
    for (int i = 0; i < PARTS; i++)
        if (tensors[i])
            dn_text_format(to, "  %s*: %d tensors %s, %zu values\n", parts[i].prefix, tensors[i], parts[i].meaning,
                           values[i]);
}

static void json_tensors(const dn_st *file, dn_text *to) {
    const dn_st_tensor *t;
    dn_text_format(to, ",\n \"tensors\": {");
    for (int i = 0; (t = dn_st_at(file, i)); i++) {
        dn_text_format(to, "%s\n  ", i ? "," : "");
        dn_json_add(to, t->name, strlen(t->name));
        dn_text_format(to, ": {\"dtype\": \"%s\", \"shape\": [", t->type);
        for (int k = 0; k < t->n_dims; k++) dn_text_format(to, "%s%llu", k ? ", " : "", (unsigned long long)t->dims[k]);
        dn_text_add(to, "]}", 2);
    }
    dn_text_add(to, "}", 1);
}

/* ---- the rest ---- */

static void info_names(dn_text *to, const char *what, const char *names, int n) {
    if (!n) return;
    dn_text_format(to, "%d %s: ", n, what);
    for (int i = 0; i < n; i++, names += strlen(names) + 1) {
        char shown[128];
        dn_printable(names, shown, sizeof shown);
        dn_text_format(to, "%s%s", i ? ", " : "", i < 20 ? shown : "...");
        if (i == 20) break;
    }
    dn_text_format(to, "\n");
}

static void info_losses(dn_text *to, const dn_report *losses) {
    for (int i = 0; i < losses->n; i++)
        dn_text_format(to, "%s%s %.6g", i ? "  " : "losses: ", losses->values[i].name, losses->values[i].value);
    if (losses->n) dn_text_format(to, "\n");
}

/* Where the training of a checkpoint is: finished epochs, rows done in the next one. Returns 0 for other models. */
static int info_place(const dn_st *file, char place[2][24]) {
    const char *const keys[] = {DN_TRAINING_KEY "epoch", DN_TRAINING_KEY "rows_done"};
    for (int i = 0; i < 2; i++) {
        const char *text = dn_st_text(file, keys[i], NULL);
        size_t size = text ? strspn(text, "0123456789") : 0;
        if (!size || text[size] || size > 20) return 0;
        memcpy(place[i], text, size + 1);
    }
    return 1;
}

static void info_checkpoint(const dn_st *file, int json, dn_text *to) {
    char place[2][24];
    const char *epoch = place[0], *rows = place[1];
    int is = info_place(file, place);
    if (json && is) dn_text_format(to, ",\n \"checkpoint\": {\"epoch\": %s, \"rows_done\": %s}", epoch, rows);
    if (!json && is)
        dn_text_format(to, "checkpoint after %s epoch%s%s%s%s: train -resume continues from it\n", epoch,
                       strcmp(epoch, "1") ? "s" : "", strcmp(rows, "0") ? " and " : "", strcmp(rows, "0") ? rows : "",
                       strcmp(rows, "0") ? " rows" : "");
}

static void info_model(const dn_st *file, const dn_cfg *cfg, const dn_model_notes *notes, const dn_model_state *state,
                       dn_text *to) {
    const char *format = dn_st_text(file, "darknet_vae.format", NULL);
    dn_text_format(to, "model file of format %s, darknet-vae %s\n", format ? format : "?",
                   *state->version ? state->version : "?");
    info_checkpoint(file, 0, to);
    if (cfg) dn_text_format(to, "network of %d layers\n", cfg->n_sections - 1);
    dn_text_format(to, "rows seen %llu, seed %llu\n", (unsigned long long)state->state.seen,
                   (unsigned long long)state->state.seed);
    info_losses(to, &state->losses);
    if (notes->scale > 0) dn_text_format(to, "data divided by %g\n", notes->scale);
    if (notes->label_column) info_names(to, "label column", notes->label_column, 1);
    if (notes->row_weight) info_names(to, "row weight", notes->row_weight, 1);
    info_names(to, "columns", notes->columns, notes->n_columns);
    info_names(to, "classes", notes->classes.names, notes->classes.n);
    for (const dn_cfg_file *f = cfg ? cfg->files : NULL; f; f = f->next)
        dn_text_format(to, "file %s, %zu bytes\n", f->name, strlen(f->text));
}

static void json_model(const dn_st *file, const dn_cfg *cfg, const dn_model_notes *notes, const dn_model_state *state,
                       dn_text *to) {
    const char *format = dn_st_text(file, "darknet_vae.format", NULL);
    dn_text_format(to, "{\"kind\": \"model\", \"format\": %s, \"version\": ", format ? format : "null");
    dn_json_add(to, state->version, strlen(state->version));
    dn_text_format(to,
                   ", \"seed\": \"%llu\", \"seen\": \"%llu\",\n \"losses\": ", (unsigned long long)state->state.seed,
                   (unsigned long long)state->state.seen);
    dn_notes_write_losses(&state->losses, to);
    info_checkpoint(file, 1, to);
    dn_text_format(to, ",\n \"columns\": ");
    dn_notes_write(notes, NULL, to);
    dn_text_format(to, ",\n \"files\": {");
    for (const dn_cfg_file *f = cfg ? cfg->files : NULL; f; f = f->next) {
        dn_text_format(to, "%s", f == cfg->files ? "" : ", ");
        dn_json_add(to, f->name, strlen(f->name));
        dn_text_format(to, ": %zu", strlen(f->text));
    }
    dn_text_format(to, "},\n \"cfg\": ");
    if (cfg)
        dn_json_add(to, cfg->source, strlen(cfg->source));
    else
        dn_text_add(to, "null", 4);
}

static void info_other(const dn_st *file, int json, dn_text *to) {
    dn_text_format(to,
                   json ? "{\"kind\": \"tensors\",\n \"metadata\": {" : "tensors of another program (safetensors)\n");
    for (int i = 0; dn_st_key(file, i); i++) {
        const char *key = dn_st_key(file, i);
        size_t size;
        const char *text = dn_st_text(file, key, &size);
        if (json) dn_text_format(to, "%s", i ? ", " : "");
        if (!json) dn_text_format(to, "metadata ");
        dn_json_add(to, key, strlen(key));
        dn_text_format(to, ": ");
        dn_json_add(to, text, json || size < 100 ? size : 100);
        if (!json) dn_text_format(to, "\n");
    }
    if (json) dn_text_add(to, "}", 1);
}

static dn_status info_ours(const dn_st *file, int json, dn_text *to) {
    dn_model_state state;
    dn_model_notes notes = {0};
    dn_cfg *cfg = NULL;
    size_t size;
    const char *columns = dn_st_text(file, "darknet_vae.columns", &size);
    dn_status status = dn_model_read_state(file, &state);
    if (status == DN_OK && columns) status = dn_notes_read(&notes, dn_st_label(file), columns, size);
    if (status == DN_OK && dn_st_text(file, "darknet_vae.cfg", NULL)) status = dn_model_cfg(&cfg, file);
    if (status == DN_OK) (json ? json_model : info_model)(file, cfg, &notes, &state, to);
    dn_notes_free(&notes);
    dn_cfg_free(cfg);
    return status;
}

static dn_status info_container(const char *path, int json, dn_text *to) {
    dn_st *file;
    DN_TRY(dn_st_open(&file, path));
    dn_status status = DN_OK;
    if (dn_st_ours(file))
        status = info_ours(file, json, to);
    else
        info_other(file, json, to);
    if (json)
        json_tensors(file, to), dn_text_format(to, "}\n");
    else
        info_tensors(file, to);
    dn_st_close(file);
    return status;
}

static dn_status info_weights(const char *path, int json, dn_text *to) {
    int version[3];
    uint64_t seen;
    size_t values;
    DN_TRY(dn_weights_header(path, version, &seen, &values));
    dn_text_format(to,
                   json ? "{\"kind\": \"weights\", \"version\": \"%d.%d.%d\", \"seen\": \"%llu\", \"values\": %zu}\n"
                        : "Darknet weights of version %d.%d.%d\nrows seen %llu\n%zu values\n",
                   version[0], version[1], version[2], (unsigned long long)seen, values);
    return DN_OK;
}

dn_status dn_model_info(const char *path, int json, char *text, size_t size, size_t *length) {
    dn_text out = {0};
    dn_status status = dn_is_model_file(path) ? info_container(path, json, &out) : info_weights(path, json, &out);
    if (status == DN_OK) status = out.status;
    *length = status == DN_OK ? out.size : 0;
    if (status == DN_OK && size) snprintf(text, size, "%s", out.bytes);
    dn_text_free(&out);
    return status;
}

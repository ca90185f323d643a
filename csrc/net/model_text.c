/* The texts of a model file: its cfg and the files that the cfg names, notes, and where its training stands. */
#include "base/number.h"
#include "base/sys.h"
#include "net/model_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the cfg ---- */

/* Set keys of a cfg that is text. */
static dn_status cfg_with(const dn_net *net, dn_text *text, const dn_model_notes *notes) {
    dn_cfg *cfg = NULL;
    char value[48];
    dn_status status = dn_cfg_text(&cfg, net->cfg->path, text->bytes);
    const struct {
        const char *key;
        int value;
    } sizes[] = {{"height", net->height}, {"width", net->width}, {"inputs", net->inputs}};
    for (int i = 0; i < 3 && status == DN_OK; i++) {
        snprintf(value, sizeof value, "%d", sizes[i].value);
        if (dn_cfg_option(&cfg->sections[0], sizes[i].key)) status = dn_cfg_set(&cfg->sections[0], sizes[i].key, value);
    }
    dn_number_write(notes->scale, value);
    if (status == DN_OK && notes->scale > 0) status = dn_cfg_set(&cfg->sections[0], "data_scale", value);
    if (status == DN_OK && notes->label_column)
        status = dn_cfg_set(&cfg->sections[0], "label_column", notes->label_column);
    if (status == DN_OK && notes->row_weight) status = dn_cfg_set(&cfg->sections[0], "row_weight", notes->row_weight);
    dn_text_free(text);
    if (status == DN_OK) dn_cfg_write(cfg, text);
    dn_cfg_free(cfg);
    return status == DN_OK ? text->status : status;
}

/* Was the image resized? */
static int cfg_is_resized(const dn_net *net) {
    int height = net->height, width = net->width;
    dn_section *s = &net->cfg->sections[0];
    return net->height &&
           (dn_cfg_int(s, "height", 0, 0, 1 << 20, &height) != DN_OK ||
            dn_cfg_int(s, "width", 0, 0, 1 << 20, &width) != DN_OK || height != net->height || width != net->width);
}

dn_status dn_model_write_cfg_noted(const dn_net *net, const dn_model_notes *notes, dn_text *to) {
    static const dn_model_notes none = {0};
    dn_text raw = {0};
    dn_cfg_write(net->cfg, &raw);
    if (raw.status == DN_OK) dn_utf8_add(to, raw.bytes, raw.size);
    dn_status status = raw.status == DN_OK ? to->status : raw.status;
    dn_text_free(&raw);
    int differs =
        notes && (notes->label_column || notes->row_weight || (notes->scale > 0 && notes->scale != net->data_scale));
    return status == DN_OK && (differs || cfg_is_resized(net)) ? cfg_with(net, to, notes ? notes : &none) : status;
}

dn_status dn_model_write_cfg(const dn_net *net, dn_text *to) { return dn_model_write_cfg_noted(net, NULL, to); }

size_t dn_net_cfg_text(const dn_net *net, char *text, size_t size) {
    dn_text cfg = {0};
    dn_net_lock(net);
    dn_status status = dn_model_write_cfg(net, &cfg);
    dn_net_unlock(net);
    int n = snprintf(text, size, "%s", status == DN_OK && cfg.bytes ? cfg.bytes : "");
    dn_text_free(&cfg);
    return n < 0 ? 0 : (size_t)n;
}

static dn_status add(dn_st_list *list, const char *key, dn_text *text) {
    dn_status status = text->status;
    if (status == DN_OK) status = dn_st_add_text(list, key, text->bytes, text->size);
    dn_text_free(text);
    return status;
}

static dn_status add_cfg(dn_st_list *list, const dn_net *net) {
    dn_text text = {0};
    dn_status status = dn_model_write_cfg(net, &text);
    if (status == DN_OK) return add(list, "darknet_vae.cfg", &text);
    dn_text_free(&text);
    return status;
}

/* {"name": "content", ...}, names as the cfg has them. */
static dn_status add_files(dn_st_list *list, const dn_net *net) {
    dn_text text = {0};
    if (!net->cfg->files) return DN_OK;
    for (const dn_cfg_file *f = net->cfg->files; f; f = f->next) {
        dn_text_add(&text, f == net->cfg->files ? "{" : ",\n ", f == net->cfg->files ? 1 : 3);
        dn_notes_add_string(&text, f->name, strlen(f->name));
        dn_text_add(&text, ": ", 2);
        dn_notes_add_string(&text, f->text, strlen(f->text));
    }
    dn_text_add(&text, "}", 1);
    return add(list, "darknet_vae.files", &text);
}

static dn_status read_files(dn_cfg *cfg, const dn_st *file) {
    size_t size;
    const char *text = dn_st_text(file, "darknet_vae.files", &size);
    char label[256];
    dn_json j;
    int more;
    if (!text) return DN_OK;
    snprintf(label, sizeof label, "%.200s: darknet_vae.files", dn_st_label(file));
    dn_json_begin(&j, label, text, size);
    DN_TRY(dn_json_open(&j, '{'));
    for (;;) {
        dn_json_text name, content;
        DN_TRY(dn_json_member(&j, &name, &more));
        if (!more) return dn_json_end(&j);
        DN_TRY(dn_json_string(&j, &content));
        char *texts = dn_realloc(NULL, name.size + content.size + 2, 1), *second = texts + name.size + 1;
        if (!texts) return DN_E_MEMORY;
        texts[dn_json_decode(&name, texts)] = 0;
        size_t n = dn_json_decode(&content, second);
        dn_status status = dn_cfg_add_file(cfg, texts, second, n);
        dn_free(texts);
        DN_TRY(status);
    }
}

dn_status dn_model_cfg(dn_cfg **out, const dn_st *file) {
    size_t size;
    const char *text = dn_st_text(file, "darknet_vae.cfg", &size);
    *out = NULL;
    DN_CHECK(text, DN_E_FORMAT, "%s: no network in it, only tensors: give a CFG, and this file as its weights",
             dn_st_label(file));
    DN_CHECK(strlen(text) == size, DN_E_FORMAT, "%s: its cfg holds a zero byte, so it is not text", dn_st_label(file));
    DN_TRY(dn_cfg_text(out, dn_st_label(file), text)); /* the caller frees *out in any case */
    (*out)->complete = 1;
    return read_files(*out, file);
}

/* ---- the state ---- */

static const struct {
    const char *name;
    size_t offset;
} members[] = {
    {"seed", offsetof(dn_train_state, seed)},
    {"seen", offsetof(dn_train_state, seen)},
    {"updates", offsetof(dn_train_state, updates)},
    {"schedule_from", offsetof(dn_train_state, schedule_from)},
    {"batches", offsetof(dn_train_state, batches)},
    {"rate_from", offsetof(dn_train_state, rate_from)},
    {"plateau_lowest_bits", offsetof(dn_train_state, plateau.lowest)},
    {"plateau_epochs", offsetof(dn_train_state, plateau.epochs)},
    {"plateau_waited", offsetof(dn_train_state, plateau.waited)},
    {"plateau_reductions", offsetof(dn_train_state, plateau.reductions)},
};
enum { MEMBERS = sizeof members / sizeof *members };

/* 64-bit integers are decimal strings: many readers of JSON have doubles only. */
static dn_status add_state(dn_st_list *list, const dn_net *net, const char *state) {
    dn_text text = {0};
    dn_text_format(&text, "{\"version\": \"%s\"", dn_version());
    for (int i = 0; i < MEMBERS && !state; i++) {
        uint64_t value; /* of a double its bits */
        memcpy(&value, (const char *)&net->state + members[i].offset, sizeof value);
        dn_text_format(&text, ", \"%s\": \"%llu\"", members[i].name, (unsigned long long)value);
    }
    if (net->notes.losses.n) {
        dn_text_format(&text, ",\n \"losses\": ");
        dn_notes_write_losses(&net->notes.losses, &text);
    }
    if (state) dn_text_add(&text, state, strlen(state));
    dn_text_add(&text, "}", 1);
    return add(list, "darknet_vae.state", &text);
}

static dn_status read_u64(dn_json *j, uint64_t *value) {
    dn_json_text text;
    dn_json digits;
    DN_TRY(dn_json_string(j, &text));
    dn_json_begin(&digits, j->label, text.at, text.size);
    DN_TRY(dn_json_whole(&digits, value));
    return dn_json_end(&digits);
}

static dn_status state_member(dn_model_state *s, dn_json *j, const dn_json_text *key) {
    dn_json_text version;
    if (dn_json_is(key, "losses")) return dn_notes_read_losses(&s->losses, j);
    if (dn_json_is(key, "version")) {
        DN_TRY(dn_json_string(j, &version));
        if (version.size < sizeof s->version) s->version[dn_json_decode(&version, s->version)] = 0;
        return DN_OK;
    }
    uint64_t value;
    for (int i = 0; i < MEMBERS; i++)
        if (dn_json_is(key, members[i].name)) {
            DN_TRY(read_u64(j, &value));
            memcpy((char *)&s->state + members[i].offset, &value, sizeof value);
            return DN_OK;
        }
    return dn_json_skip(j);
}

dn_status dn_model_read_state(const dn_st *file, dn_model_state *s) {
    size_t size;
    const char *text = dn_st_text(file, "darknet_vae.state", &size);
    char label[256];
    dn_json j;
    int more;
    *s = (dn_model_state){0};
    if (!text) return DN_OK;
    snprintf(label, sizeof label, "%.200s: darknet_vae.state", dn_st_label(file));
    dn_json_begin(&j, label, text, size);
    DN_TRY(dn_json_open(&j, '{'));
    for (;;) {
        dn_json_text key;
        DN_TRY(dn_json_member(&j, &key, &more));
        if (!more) return dn_json_end(&j);
        DN_TRY(state_member(s, &j, &key));
    }
}

/* ---- all of them ---- */

static dn_status add_notes(dn_st_list *list, const dn_net *net) {
    dn_text text = {0};
    if (!dn_notes_some(&net->notes) && !net->schema) return DN_OK;
    dn_notes_write(&net->notes, net->schema, &text);
    return add(list, "darknet_vae.columns", &text);
}

dn_status dn_model_list(dn_st_list **out, const dn_net *net, const char *state) {
    DN_TRY(dn_st_list_create(out));
    dn_status status = add_cfg(*out, net);
    if (status == DN_OK) status = add_files(*out, net);
    if (status == DN_OK) status = add_notes(*out, net);
    if (status == DN_OK) status = add_state(*out, net, state);
    if (status == DN_OK) return DN_OK;
    dn_st_list_free(*out);
    *out = NULL;
    return status;
}

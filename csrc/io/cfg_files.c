/* The files that keys of a cfg name. */
#include "base/sys.h"
#include "io/cfg.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void cfg_free_file(dn_cfg_file *f) {
    dn_free(f->name);
    dn_free(f->path);
    dn_free(f->text);
    dn_free(f);
}

static char *cfg_file_path(const char *cfg_path, const char *name) {
    const char *slash = strrchr(cfg_path, '/');
    if (*name == '/' || !slash || access(name, R_OK) == 0) return dn_strdup(name);
    size_t size = (size_t)(slash - cfg_path) + strlen(name) + 2;
    char *beside = dn_realloc(NULL, size, 1);
    if (beside) snprintf(beside, size, "%.*s/%s", (int)(slash - cfg_path), cfg_path, name);
    return beside;
}

static dn_status cfg_fill_file(dn_cfg_file *f, const dn_section *s, const char *key, const char *name) {
    char *data, why[512];
    size_t size;
    if (!(f->name = dn_strdup(name)) || !(f->path = cfg_file_path(s->cfg->path, name))) return DN_E_MEMORY;
    dn_status status = dn_file_read_regular(f->path, DN_TEXT_MOST, &data, &size);
    if (status == DN_E_IO || status == DN_E_FORMAT) {
        snprintf(why, sizeof why, "%s", dn_error());
        return dn_cfg_error(s, key, "%s", why);
    }
    if (status == DN_OK && !(f->text = dn_strdup(data))) status = DN_E_MEMORY; /* gives back spare room */
    dn_free(data);
    return status;
}

dn_status dn_cfg_read_file(const dn_section *s, const char *key, const char *name, const dn_cfg_file **out) {
    const dn_option *o = dn_cfg_option((dn_section *)s, key);
    for (*out = s->cfg->files; *out; *out = (*out)->next)
        if (!strcmp((*out)->name, name)) return DN_OK;
    if (s->cfg->complete && !(o && o->set)) return dn_cfg_error(s, key, "%s is not in the model file", name);
    dn_cfg_file *f = dn_alloc(1, sizeof *f);
    if (!f) return DN_E_MEMORY;
    dn_status status = cfg_fill_file(f, s, key, name);
    if (status != DN_OK) {
        cfg_free_file(f);
        return status;
    }
    f->next = s->cfg->files;
    *out = s->cfg->files = f;
    return DN_OK;
}

dn_status dn_cfg_add_file(dn_cfg *cfg, const char *name, const char *text, size_t size) {
    dn_cfg_file *f = dn_alloc(1, sizeof *f);
    if (!f) return DN_E_MEMORY;
    f->name = dn_strdup(name), f->path = dn_strdup(name), f->text = dn_realloc(NULL, size + 1, 1);
    if (!f->name || !f->path || !f->text) {
        cfg_free_file(f);
        return DN_E_MEMORY;
    }
    memcpy(f->text, text, size);
    f->text[size] = 0;
    f->next = cfg->files, cfg->files = f;
    return DN_OK;
}

void dn_cfg_free_files(dn_cfg *cfg) {
    for (dn_cfg_file *next, *f = cfg->files; f; f = next) next = f->next, cfg_free_file(f);
    cfg->files = NULL;
}

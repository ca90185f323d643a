/* A network as Darknet keeps it: a cfg, a weights file, and what belongs to them. */
#include "base/sys.h"
#include "net/model_file.h"
#include <string.h>

/* A file of the pair other than the weights. */
typedef struct pair_file {
    char *path;
    dn_text content;
} pair_file;

enum { PAIR_FILES = 64 };
typedef struct pair {
    pair_file files[PAIR_FILES];
    int n;
} pair;

static void pair_free(pair *p) {
    for (int i = 0; i < p->n; i++) {
        dn_free(p->files[i].path);
        dn_text_free(&p->files[i].content);
    }
}

/* The next file, at a path of which `size` bytes are those of `folder`. */
static dn_status pair_add(pair *p, const char *folder, size_t size, const char *name, pair_file **out) {
    DN_CHECK(p->n < PAIR_FILES, DN_E_USAGE, "more than %d files belong to the network", PAIR_FILES);
    *out = &p->files[p->n];
    **out = (pair_file){.path = dn_realloc(NULL, size + strlen(name) + 1, 1)};
    if (!(*out)->path) return DN_E_MEMORY;
    memcpy((*out)->path, folder, size);
    memcpy((*out)->path + size, name, strlen(name) + 1);
    p->n++;
    return DN_OK;
}

static dn_status pair_cfg(pair *p, const dn_net *net, const char *path) {
    pair_file *f;
    DN_TRY(pair_add(p, path, dn_path_stem(path), ".cfg", &f));
    return dn_model_write_cfg_noted(net, &net->notes, &f->content);
}

/* A file that the cfg names is written beside it: names from a stranger's file must not lead anywhere else. */
static dn_status pair_named(pair *p, const dn_net *net, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
    for (const dn_cfg_file *f = net->cfg->files; f; f = f->next) {
        pair_file *to;
        int inside = *f->name != '/' && strcmp(f->name, "..") && strncmp(f->name, "../", 3) && !strstr(f->name, "/..");
        if (!inside && !net->cfg->complete) continue; /* it is where the cfg says */
        DN_CHECK(inside, DN_E_USAGE, "%s: the cfg names the file %s, which is not beside it: it is not written",
                 net->cfg->path, f->name);
        DN_TRY(pair_add(p, path, folder, f->name, &to));
        dn_text_add(&to->content, f->text, strlen(f->text));
        DN_TRY(to->content.status);
    }
    return DN_OK;
}

/* Refuse before anything is written. A file that is there with the same content is left alone. */
static dn_status pair_check(pair *p) {
    for (int i = 0; i < p->n; i++) {
        pair_file *f = &p->files[i];
        char *old;
        size_t size;
        if (!dn_file_is_regular(f->path)) {
            DN_TRY(dn_writable(f->path));
            continue;
        }
        DN_TRY(dn_file_read(f->path, DN_NAMES_MOST, &old, &size));
        int same = size == f->content.size && !memcmp(old, f->content.bytes, size);
        dn_free(old);
        DN_CHECK(same, DN_E_USAGE, "%s is there already, with another content: choose another name, or remove it",
                 f->path);
        dn_free(f->path);
        f->path = NULL;
    }
    return DN_OK;
}

/* The classes have a file of their own form. */
static dn_status pair_classes(const dn_net *net, const char *path) {
    char labels[4096];
    dn_classes old = {0};
    const dn_classes *classes = &net->notes.classes;
    if (!classes->n) return DN_OK;
    DN_CHECK(dn_classes_path(path, labels, sizeof labels) < sizeof labels, DN_E_USAGE, "%s: too long a name", path);
    if (!dn_file_is_regular(labels)) return dn_classes_save(classes, labels);
    DN_TRY(dn_classes_load(&old, labels));
    const char *a = classes->names, *b = old.names;
    int same = classes->n == old.n;
    for (int i = 0; i < classes->n && same; i++, a += strlen(a) + 1, b += strlen(b) + 1) same = !strcmp(a, b);
    dn_classes_free(&old);
    DN_CHECK(same, DN_E_USAGE, "%s is there already, with other classes: choose another name, or remove it", labels);
    return DN_OK;
}

static dn_status pair_save(pair *p, const dn_net *net, const char *path) {
    DN_CHECK(!dn_is_model_name(path), DN_E_USAGE, "%s: a Darknet pair is x.cfg and x.weights", path);
    DN_TRY(pair_cfg(p, net, path));
    DN_TRY(pair_named(p, net, path));
    DN_TRY(pair_check(p));
    DN_TRY(dn_writable(path));
    DN_TRY(pair_classes(net, path));
    for (int i = 0; i < p->n; i++)
        if (p->files[i].path)
            DN_TRY(dn_file_save(p->files[i].path, p->files[i].content.bytes, p->files[i].content.size));
    return dn_net_save(net, path);
}

static dn_status pair_of(const dn_net *net, const char *path) {
    pair *p = dn_alloc(1, sizeof *p);
    if (!p) return DN_E_MEMORY;
    dn_status status = pair_save(p, net, path);
    pair_free(p);
    dn_free(p);
    return status;
}

dn_status dn_net_save_pair(const dn_net *net, const char *path) { DN_EXCLUSIVE(net, pair_of(net, path)); }

#include "tree.h"
#include "../sys.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *tree_path(const dn_section *s, const char *path) {
    const char *slash = strrchr(s->path, '/');
    if (*path == '/' || !slash || access(path, R_OK) == 0) return dn_strdup(path);
    size_t size = (size_t)(slash - s->path) + strlen(path) + 2;
    char *beside = dn_realloc(NULL, size, 1);
    if (beside) snprintf(beside, size, "%.*s/%s", (int)(slash - s->path), s->path, path);
    return beside;
}

static dn_status tree_line(dn_tree *t, dn_section *s, const char *key, char *line, const char *path, int number) {
    char *name = strtok(line, " \t\r"), *parent = name ? strtok(NULL, " \t\r") : NULL, *end = NULL;
    if (!name) return DN_OK;
    long p = parent ? strtol(parent, &end, 10) : 0;
    if (!parent || end == parent || *end || p < -1 || p >= t->n)
        return dn_cfg_error(s, key, "%s:%d: '%s %s' is not a name and the number of an earlier line, or -1", path, number,
                            name, parent ? parent : "");
    if (!t->n || t->parent[t->n - 1] != (int)p) {
        t->group_offset[t->n_groups] = t->n;
        t->group_size[t->n_groups++] = 0;
    }
    t->parent[t->n] = (int)p;
    t->group[t->n++] = t->n_groups - 1;
    t->group_size[t->n_groups - 1]++;
    return DN_OK;
}

dn_status dn_tree_load(dn_tree *t, dn_section *s, const char *key, const char *path) {
    char *text = NULL, *full = tree_path(s, path);
    size_t size, lines = 1;
    if (!full) return DN_E_MEMORY;
    dn_status status = dn_file_read(full, &text, &size);
    if (status == DN_E_IO) {
        char why[512];
        snprintf(why, sizeof why, "%s", dn_error());
        status = dn_cfg_error(s, key, "%s", why);
    }
    for (size_t i = 0; status == DN_OK && i < size; i++) lines += text[i] == '\n';
    int **arrays[] = {&t->parent, &t->group, &t->group_offset, &t->group_size};
    for (int i = 0; status == DN_OK && i < 4; i++)
        if (!(*arrays[i] = dn_alloc(lines, sizeof(int)))) status = DN_E_MEMORY;
    int number = 0;
    for (char *line = text; status == DN_OK && line;) {
        char *next = strchr(line, '\n');
        if (next) *next++ = 0;
        status = tree_line(t, s, key, line, full, ++number);
        line = next;
    }
    if (status == DN_OK && !t->n) status = dn_cfg_error(s, key, "%s: an empty tree", full);
    dn_free(text);
    dn_free(full);
    return status;
}

void dn_tree_free(dn_tree *t) {
    dn_free(t->parent);
    dn_free(t->group);
    dn_free(t->group_offset);
    dn_free(t->group_size);
}

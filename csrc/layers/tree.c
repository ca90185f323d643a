#include "layers/tree.h"
#include "base/sys.h"
#include <stdlib.h>
#include <string.h>

static const char blanks[] = " \t\r";

/* The first character after the number that begins here and the blanks after it; NULL: not a number. */
static const char *tree_number(const char *text, long *number) {
    char *end;
    *number = strtol(text, &end, 10);
    size_t n = strspn(end, blanks);
    return end == text || (*end && !n) ? NULL : end + n;
}

/* Messages do not quote the file: the cfg's author may not be allowed to read it. */
static dn_status tree_line(dn_tree *t, const dn_section *s, const char *key, const char *line, const char *path,
                           int number) {
    const char *name = line + strspn(line, blanks), *parent = name + strcspn(name, blanks);
    if (!*name) return DN_OK;
    parent += strspn(parent, blanks);
    long p;
    if (!tree_number(parent, &p) || p < -1 || p >= t->n)
        return dn_cfg_error(s, key, "%s:%d: the line is not a name and the number of an earlier line, or -1", path,
                            number);
    if (!t->n || t->parent[t->n - 1] != (int)p) {
        t->group_offset[t->n_groups] = t->n;
        if (p >= 0) t->child[p] = t->n_groups;
        t->group_size[t->n_groups++] = 0;
    }
    t->parent[t->n] = (int)p, t->child[t->n] = -1;
    t->group[t->n++] = t->n_groups - 1;
    t->group_size[t->n_groups - 1]++;
    return DN_OK;
}

/* A copy of the text, to be cut into lines, and the number of lines. */
static dn_status tree_text(char **text, size_t *lines, const dn_cfg_file *file) {
    *lines = 1;
    if (!(*text = dn_strdup(file->text))) return DN_E_MEMORY;
    for (const char *p = *text; *p; p++) *lines += *p == '\n';
    return DN_OK;
}

static char *tree_next_line(char **rest) {
    char *line = *rest, *end = line ? strchr(line, '\n') : NULL;
    if (end) *end++ = 0;
    *rest = end;
    return line;
}

dn_status dn_tree_parse(dn_tree *t, const dn_section *s, const char *key, const dn_cfg_file *file) {
    char *text, *line;
    size_t lines;
    dn_status status = tree_text(&text, &lines, file);
    int **arrays[] = {&t->parent, &t->group, &t->child, &t->group_offset, &t->group_size};
    for (int i = 0; status == DN_OK && i < 5; i++)
        if (!(*arrays[i] = dn_alloc(lines, sizeof(int)))) status = DN_E_MEMORY;
    char *rest = text;
    for (int number = 1; status == DN_OK && (line = tree_next_line(&rest)); number++)
        status = tree_line(t, s, key, line, file->path, number);
    if (status == DN_OK && !t->n) status = dn_cfg_error(s, key, "%s: an empty tree", file->path);
    dn_free(text);
    return status;
}

void dn_tree_free(dn_tree *t) {
    dn_free(t->parent);
    dn_free(t->group);
    dn_free(t->child);
    dn_free(t->group_offset);
    dn_free(t->group_size);
}

dn_status dn_map_parse(int **map, int *n, const dn_section *s, const char *key, const dn_cfg_file *file, int limit) {
    char *text, *line;
    size_t lines;
    dn_status status = tree_text(&text, &lines, file);
    if (status == DN_OK && !(*map = dn_alloc(lines, sizeof(int)))) status = DN_E_MEMORY;
    char *lines_left = text;
    for (int number = 1; status == DN_OK && (line = tree_next_line(&lines_left)); number++) {
        long v;
        if (!line[strspn(line, blanks)]) continue;
        const char *rest = tree_number(line, &v);
        if (!rest || *rest || v < 0 || v >= limit)
            status =
                dn_cfg_error(s, key, "%s:%d: the line is not a number from 0 to %d", file->path, number, limit - 1);
        else
            (*map)[(*n)++] = (int)v;
    }
    if (status == DN_OK && !*n) status = dn_cfg_error(s, key, "%s: an empty map", file->path);
    dn_free(text);
    return status;
}

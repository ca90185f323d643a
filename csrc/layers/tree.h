/* A label tree: one line "name parent" per node, parent -1 at the top; neighbours with the same parent form a group,
 * which is one distribution. Also maps from the classes of the data to nodes: one number per line. */
#ifndef DN_TREE_H
#define DN_TREE_H
#include "io/cfg.h"

typedef struct dn_tree {
    int n, n_groups;
    int *parent, *group;            /* of each node */
    int *child;                     /* the group below each node; -1: none */
    int *group_offset, *group_size; /* of each group */
} dn_tree;

/* Read from the file that the section's key `key` names. */
dn_status dn_tree_parse(dn_tree *tree, const dn_section *section, const char *key, const dn_cfg_file *file);
/* Read `n` numbers from 0 to limit - 1; the caller frees *map with dn_free, also after an error. */
dn_status dn_map_parse(int **map, int *n, const dn_section *section, const char *key, const dn_cfg_file *file,
                       int limit);
void dn_tree_free(dn_tree *tree);
#endif

/* The CUDA plugin, opened at run time. */
#ifndef DN_PLUGIN_FIND_H
#define DN_PLUGIN_FIND_H
#include "backend/plugin.h"

/* The plugin's table and the number of its devices, or NULL and a clause in `why`. */
const dn_plugin *dn_plugin_find(int *devices, char *why, size_t size);
#endif

/* The interface between the core and a backend that is opened at run time. A plugin exports one function,
 * dn_plugin_get. DN_ABI is a checksum of this header, backend.h and backend_ops.h, computed by the Makefile: a core and
 * a plugin with different tables refuse each other. */
#ifndef DN_PLUGIN_H
#define DN_PLUGIN_H
#include "backend/backend.h"

/* The functions of the core that a plugin calls; they never change during its life. */
typedef struct dn_plugin_host {
    dn_status (*fail)(dn_status code, const char *format, ...);
    void **(*pool_slot)(dn_pool *pool);
    void *(*alloc)(size_t n, size_t size); /* zeroed; NULL with a message */
    void (*free)(void *memory);
} dn_plugin_host;

typedef struct dn_plugin {
    uint32_t abi; /* the first field in every version */
    const dn_ops *ops;
    /* The number of usable devices; 0 and a reason (a clause) in `why` when there are none. */
    int (*devices)(char *why, size_t size);
} dn_plugin;

typedef const dn_plugin *(*dn_plugin_get_fn)(const dn_plugin_host *host);
#define DN_PLUGIN_SYMBOL "dn_plugin_get"
#endif

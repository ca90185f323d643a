#include "base/text.h"
#include "base/sys.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *dn_text_room(dn_text *t, size_t size) {
    size_t need = t->size + size + 1;
    if (t->status != DN_OK) return NULL;
    if (need > t->room) {
        size_t room = need > 2 * t->room ? need : 2 * t->room;
        char *grown = dn_realloc(t->bytes, room, 1);
        if (!grown) return t->status = DN_E_MEMORY, NULL;
        t->bytes = grown, t->room = room;
    }
    return t->bytes + t->size;
}

void dn_text_add(dn_text *t, const void *bytes, size_t size) {
    char *to = dn_text_room(t, size);
    if (!to) return;
    if (size) memcpy(to, bytes, size);
    to[size] = 0, t->size += size;
}

void dn_text_format(dn_text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *to = n < 0 ? NULL : dn_text_room(t, (size_t)n);
    if (!to) return;
    va_start(args, format);
    vsnprintf(to, (size_t)n + 1, format, args);
    va_end(args);
    t->size += (size_t)n;
}

void dn_text_free(dn_text *t) {
    dn_free(t->bytes);
    *t = (dn_text){0};
}

/* A text that grows. The first failure stays in `status`, and later additions do nothing: check it once, at the end. */
#ifndef DN_TEXT_H
#define DN_TEXT_H
#include "base/status.h"
#include <string.h>

/* Does a text end so, after something else? */
static inline int dn_ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

typedef struct dn_text {
    char *bytes; /* zero-terminated once something has been added; to be freed with dn_free */
    size_t size, room;
    dn_status status;
} dn_text;

void dn_text_add(dn_text *text, const void *bytes, size_t size);
void dn_text_format(dn_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for `size` more bytes and a zero, at bytes + size; NULL after a failure. */
char *dn_text_room(dn_text *text, size_t size);
void dn_text_free(dn_text *text);
#endif

/* Unpacking gzip with zlib, which is opened when it is needed: what is built here depends on no further library. */
#ifndef DN_INFLATE_H
#define DN_INFLATE_H
#include "base/status.h"

typedef struct dn_inflate dn_inflate;
/* DN_E_FORMAT where there is no zlib; `name` is the file, for messages. The variable DARKNET_ZLIB is a path, or "off".
 */
dn_status dn_inflate_open(dn_inflate **out, const char *name);
/* Unpack some: `taken` of `size` bytes become *got, at most `room`. `last`: no more bytes follow these. *done: the end
 * has been reached. Neither taken nor got: more bytes are wanted. Several parts, one after another, are one file, and
 * zeros or other bytes after the last one do not count. */
dn_status dn_inflate_some(dn_inflate *inflate, const char *name, const void *from, size_t size, int last, size_t *taken,
                          void *to, size_t room, size_t *got, int *done);
dn_status dn_inflate_reset(dn_inflate *inflate); /* for another file */
void dn_inflate_close(dn_inflate *inflate);
#endif

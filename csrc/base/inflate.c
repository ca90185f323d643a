/* zlib by its stable binary interface, opened at run time. */
#include "base/inflate.h"
#include "base/sys.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* As zlib.h declares them, in all versions 1.x. */
typedef struct z_stream {
    const unsigned char *next_in;
    unsigned avail_in;
    unsigned long total_in;
    unsigned char *next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char *msg;
    void *state, *(*zalloc)(void *, unsigned, unsigned);
    void (*zfree)(void *, void *);
    void *opaque;
    int data_type;
    unsigned long adler, reserved;
} z_stream;
enum { Z_OK = 0, Z_STREAM_END = 1, Z_BUF_ERROR = -5, Z_MEM_ERROR = -4, WINDOW_GZIP = 15 + 16 };

struct dn_inflate {
    void *library;
    z_stream stream;
    int open, between; /* between: a part has ended, another one may follow */
    int (*init)(z_stream *, int, const char *, int), (*inflate)(z_stream *, int), (*reset)(z_stream *),
        (*end)(z_stream *);
};

static void *inflate_library(void) {
    static const char *const names[] = {"libz.so.1", "libz.so", "libz.1.dylib", "libz.dylib"};
    const char *asked = getenv("DARKNET_ZLIB");
    void *library = NULL;
    if (asked && *asked) return strcmp(asked, "off") ? dlopen(asked, RTLD_NOW | RTLD_LOCAL) : NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

/* A function pointer from dlsym: C has no conversion between the two kinds of pointer. */
static int inflate_symbol(void *library, const char *name, void *function) {
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static int inflate_find(dn_inflate *i, const char *(**version)(void)) {
    return (i->library = inflate_library()) && inflate_symbol(i->library, "inflateInit2_", &i->init) &&
           inflate_symbol(i->library, "inflate", &i->inflate) &&
           inflate_symbol(i->library, "inflateReset", &i->reset) && inflate_symbol(i->library, "inflateEnd", &i->end) &&
           inflate_symbol(i->library, "zlibVersion", version);
}

dn_status dn_inflate_open(dn_inflate **out, const char *name) {
    const char *(*version)(void) = NULL;
    dn_inflate *i = *out = dn_alloc(1, sizeof *i);
    dn_status status = DN_OK;
    if (!i) return DN_E_MEMORY;
    if (!inflate_find(i, &version))
        status = dn_fail(DN_E_FORMAT,
                         "%s: is gzip-compressed, and zlib (libz.so.1), which unpacks it, is not on this machine: "
                         "gunzip it, or pipe the unpacked text into a file name of -",
                         name);
    else if (i->init(&i->stream, WINDOW_GZIP, version(), (int)sizeof i->stream) != Z_OK)
        status = dn_fail(DN_E_MEMORY, "%s: zlib has no memory", name);
    else
        i->open = 1;
    if (status == DN_OK) return DN_OK;
    dn_inflate_close(i);
    *out = NULL;
    return status;
}

/* After a part: does another one follow? 1 yes, 0 no, -1: not enough bytes to tell. */
static int inflate_follows(const unsigned char *p, size_t size, int last) {
    if (size < 2 && !last) return -1;
    return size >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

dn_status dn_inflate_some(dn_inflate *i, const char *name, const void *from, size_t size, int last, size_t *taken,
                          void *to, size_t room, size_t *got, int *done) {
    z_stream *z = &i->stream;
    *taken = *got = 0, *done = 0;
    if (i->between) {
        int follows = inflate_follows(from, size, last);
        *done = follows == 0;
        if (follows != 1) return DN_OK;
        i->reset(z), i->between = 0;
    }
    z->next_in = from, z->avail_in = (unsigned)(size < INT_MAX ? size : INT_MAX);
    z->next_out = to, z->avail_out = (unsigned)(room < INT_MAX ? room : INT_MAX);
    unsigned in = z->avail_in, out = z->avail_out;
    int code = i->inflate(z, 0);
    *taken = in - z->avail_in, *got = out - z->avail_out;
    i->between = code == Z_STREAM_END;
    if (code == Z_OK || code == Z_STREAM_END) return DN_OK;
    DN_CHECK(code != Z_MEM_ERROR, DN_E_MEMORY, "%s: zlib has no memory", name);
    DN_CHECK(code == Z_BUF_ERROR, DN_E_FORMAT, "%s: the gzip data are damaged%s%s", name, z->msg ? ": " : "",
             z->msg ? z->msg : "");
    DN_CHECK(*taken || *got || !last || size, DN_E_FORMAT, "%s: the gzip data end too early", name);
    return DN_OK;
}

dn_status dn_inflate_reset(dn_inflate *i) {
    i->between = 0;
    return i->reset(&i->stream) == Z_OK ? DN_OK : dn_fail(DN_E_MEMORY, "zlib cannot begin again");
}

void dn_inflate_close(dn_inflate *i) {
    if (!i) return;
    if (i->open) i->end(&i->stream);
    if (i->library) dlclose(i->library);
    dn_free(i);
}

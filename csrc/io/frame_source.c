/* Where the text of a table comes from: a file as it is, or pipes, gzip and UTF-16, which are converted while they are
 * read. All of them can be read a second time; what came from a pipe is kept for that. */
#include "base/inflate.h"
#include "io/frame.h"

enum { SOURCE_PIECE = 1 << 16, SOURCE_WAIT_MS = 50 };

struct frame_source {
    csv_source hook;
    const char *name;
    int fd, hooked, seekable, gzip, decided, wide; /* wide: UTF-16, 1 little, 2 big endian */
    int forgets;                                   /* it is not read again */
    int64_t begin;                                 /* of the table in the file */
    char *kept;                                    /* what a pipe has given */
    size_t kept_size, kept_room, kept_at;
    dn_inflate *inflate;
    char *packed; /* (SOURCE_PIECE), for gzip */
    size_t packed_at, packed_size;
    int packed_end, ended;
    char *wide_text; /* (SOURCE_PIECE) of UTF-16, or the first bytes */
    size_t wide_at, wide_size;
    int wide_end;
};

/* ---- bytes as they are in the file ---- */

static dn_status source_keep(frame_source *s, const char *p, size_t size) {
    if (s->kept_size + size > s->kept_room) {
        size_t room = s->kept_room + s->kept_room / 2 + size + SOURCE_PIECE;
        char *grown = dn_realloc(s->kept, room, 1);
        if (!grown) return DN_E_MEMORY;
        s->kept = grown, s->kept_room = room;
    }
    memcpy(s->kept + s->kept_size, p, size);
    s->kept_size += size, s->kept_at = s->kept_size;
    return DN_OK;
}

static dn_status source_raw(frame_source *s, void *to, size_t room, int ms, size_t *got, int *end) {
    size_t left = s->kept_size - s->kept_at;
    *got = 0, *end = 0;
    if (left) {
        *got = left < room ? left : room;
        memcpy(to, s->kept + s->kept_at, *got);
        s->kept_at += *got;
        return DN_OK;
    }
    if (s->forgets) {
        dn_free(s->kept);
        s->kept = NULL, s->kept_size = s->kept_room = s->kept_at = 0;
    }
    DN_TRY(dn_reader_some(s->fd, s->name, to, room, ms, got, end));
    return s->seekable || s->forgets || !*got ? DN_OK : source_keep(s, to, *got);
}

/* ---- gzip ---- */

static dn_status source_unpack(frame_source *s, char *to, size_t room, int ms, size_t *got, int *end) {
    *got = 0, *end = 0;
    for (;;) {
        size_t taken = 0;
        int done = 0;
        DN_TRY(dn_inflate_some(s->inflate, s->name, s->packed + s->packed_at, s->packed_size - s->packed_at,
                               s->packed_end, &taken, to, room, got, &done));
        s->packed_at += taken;
        *end = done;
        if (*got || done) return DN_OK;
        size_t more = 0;
        s->packed_size -= s->packed_at;
        memmove(s->packed, s->packed + s->packed_at, s->packed_size);
        s->packed_at = 0;
        DN_TRY(source_raw(s, s->packed + s->packed_size, SOURCE_PIECE - s->packed_size, ms, &more, &s->packed_end));
        s->packed_size += more;
        if (!more && !s->packed_end) return DN_OK; /* nothing there yet */
    }
}

static dn_status source_bytes(frame_source *s, char *to, size_t room, int ms, size_t *got, int *end) {
    return s->gzip ? source_unpack(s, to, room, ms, got, end) : source_raw(s, to, room, ms, got, end);
}

/* ---- UTF-16 ---- */

static int source_wide(const char *p, size_t size) {
    if (size >= 2 && !memcmp(p, "\xff\xfe", 2)) return size >= 4 && !p[2] && !p[3] ? 0 : 1; /* not UTF-32 */
    return size >= 2 && !memcmp(p, "\xfe\xff", 2) ? 2 : 0;
}

static unsigned source_unit(const frame_source *s, size_t at) {
    const unsigned char *p = (const unsigned char *)s->wide_text + at;
    return s->wide == 1 ? p[0] | (unsigned)p[1] << 8 : (unsigned)p[0] << 8 | p[1];
}

/* Convert what is there; stops before half of a pair. */
static dn_status source_convert(frame_source *s, char *to, size_t room, size_t *got) {
    while (s->wide_size - s->wide_at >= 2 && room - *got >= 4) {
        uint32_t code = source_unit(s, s->wide_at);
        size_t size = 2;
        if (code >= 0xd800 && code < 0xdc00 && s->wide_size - s->wide_at >= 4) {
            unsigned low = source_unit(s, s->wide_at + 2);
            if (low >= 0xdc00 && low < 0xe000) code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), size = 4;
        } else if (code >= 0xd800 && code < 0xdc00 && !s->wide_end) {
            return DN_OK;
        }
        DN_CHECK(code < 0xd800 || code >= 0xe000, DN_E_FORMAT, "%s: damaged UTF-16 text: half of a pair", s->name);
        *got += dn_frame_utf8_put(code, to + *got);
        s->wide_at += size;
    }
    return DN_OK;
}

static dn_status source_refill(frame_source *s, int ms, size_t *more) {
    s->wide_size -= s->wide_at;
    memmove(s->wide_text, s->wide_text + s->wide_at, s->wide_size);
    s->wide_at = 0, *more = 0;
    if (s->wide_end) return DN_OK;
    DN_TRY(source_bytes(s, s->wide_text + s->wide_size, SOURCE_PIECE - s->wide_size, ms, more, &s->wide_end));
    s->wide_size += *more;
    return DN_OK;
}

static dn_status source_some(csv_source *hook, const char *path, void *to, size_t room, int ms, size_t *got, int *end) {
    frame_source *s = (frame_source *)hook;
    size_t more;
    (void)path;
    *got = 0, *end = 0;
    while (!s->decided) {
        DN_TRY(source_refill(s, ms, &more));
        if (s->wide_size < 4 && !s->wide_end && !more) return DN_OK;
        s->decided = s->wide_size >= 4 || s->wide_end;
        if (s->decided) s->wide = source_wide(s->wide_text, s->wide_size);
    }
    size_t left = s->wide_size - s->wide_at;
    if (!s->wide && left) {
        *got = left < room ? left : room;
        memcpy(to, s->wide_text + s->wide_at, *got);
        s->wide_at += *got;
        return DN_OK;
    }
    if (!s->wide) {
        *end = s->wide_end;
        return s->wide_end ? DN_OK : source_bytes(s, to, room, ms, got, end);
    }
    DN_TRY(source_convert(s, to, room, got));
    if (*got || room < 4) return DN_OK;
    DN_TRY(source_refill(s, ms, &more));
    DN_TRY(source_convert(s, to, room, got));
    *end = s->wide_end && !*got;
    DN_CHECK(!*end || s->wide_at == s->wide_size, DN_E_FORMAT,
             "%s: damaged UTF-16 text: half of a character at the end", s->name);
    return DN_OK;
}

/* ---- opening ---- */

/* The first bytes; a pipe's are read and kept. */
static dn_status source_peek(frame_source *s, char *head, size_t room, size_t *size) {
    int end = 0;
    *size = 0;
    while (*size < room && !end) {
        size_t got;
        DN_TRY(dn_watched());
        DN_TRY(source_raw(s, head + *size, room - *size, SOURCE_WAIT_MS, &got, &end));
        *size += got;
    }
    return DN_OK;
}

/* To the beginning of the table. */
dn_status dn_frame_source_rewind(frame_source *s) {
    if (s->seekable) DN_TRY(dn_reader_seek(s->fd, s->name, s->begin));
    s->kept_at = 0, s->packed_at = s->packed_size = 0, s->packed_end = 0;
    s->wide_at = s->wide_size = 0, s->wide_end = 0, s->decided = 0, s->wide = 0;
    return s->inflate ? dn_inflate_reset(s->inflate) : DN_OK;
}

static dn_status source_begin(frame_source *s) {
    char head[4];
    size_t size;
    s->seekable = dn_reader_seekable(s->fd, &s->begin);
    DN_TRY(source_peek(s, head, sizeof head, &size));
    s->gzip = size >= 2 && !memcmp(head, "\x1f\x8b", 2);
    s->hooked = !s->seekable || s->gzip || source_wide(head, size);
    if (s->gzip) {
        if (!(s->packed = dn_alloc(SOURCE_PIECE, 1))) return DN_E_MEMORY;
        DN_TRY(dn_inflate_open(&s->inflate, s->name));
    }
    if (s->hooked && !(s->wide_text = dn_alloc(SOURCE_PIECE, 1))) return DN_E_MEMORY;
    return dn_frame_source_rewind(s);
}

dn_status dn_frame_source_open(frame_source **out, const char *path, const char *name) {
    frame_source *s = *out = dn_alloc(1, sizeof *s);
    if (!s) return DN_E_MEMORY;
    s->hook.some = source_some, s->name = name, s->fd = -1;
    dn_status status = dn_reader_open(&s->fd, path);
    if (status == DN_OK) status = source_begin(s);
    if (status != DN_OK) {
        dn_frame_source_close(s);
        *out = NULL;
    }
    return status;
}

csv_source *dn_frame_source_hook(frame_source *s) { return s->hooked ? &s->hook : NULL; }

int dn_frame_source_fd(const frame_source *s) { return s->fd; }

int dn_frame_source_is_file(const frame_source *s) { return s->seekable; }

void dn_frame_source_forget(frame_source *s) { s->forgets = 1; }

void dn_frame_source_close(frame_source *s) {
    if (s->fd >= 0) dn_reader_close(s->fd);
    dn_inflate_close(s->inflate);
    dn_free(s->kept);
    dn_free(s->packed);
    dn_free(s->wide_text);
    dn_free(s);
}

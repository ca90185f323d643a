/* Reading containers in the safetensors layout. Whoever made a file may have meant harm: the header is read twice,
 * first to check and count without allocating, then into tables of just that size; places are sorted to see that the
 * tensors cover the file without gaps or overlaps. */
#include "io/safetensors.h"
#include "base/crc32c.h"
#include "base/sys.h"
#include "base/text.h"
#include "io/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char PREFIX[] = "darknet_vae.", FORMAT[] = "darknet_vae.format", CHECKSUM[] = "darknet_vae.crc32c";
#define TOO_SHORT "%s: %zu bytes are too short for a model file"
static const size_t ANY_ROOM = PTRDIFF_MAX / 2; /* for tensors of a file whose size is not known */
enum { LENGTH_BYTES = 8, CHECKSUM_DIGITS = 8 };

typedef struct st_text {
    const char *key, *text;
    size_t length, at; /* at: of the text in the header as it is written there */
    int escaped;
} st_text;

struct dn_st {
    char *label, *owned; /* owned: the bytes, if they were read here */
    const char *data;    /* of the tensors */
    size_t header, room; /* bytes before them, and of them */
    char *strings;       /* all names, keys and texts */
    size_t strings_size;
    dn_st_tensor *tensors, **by_name; /* by place */
    st_text *texts;                   /* by key */
    int n_tensors, n_texts;
};

typedef struct st_dtype {
    const char *name;
    dn_st_dtype dtype;
    int bytes;
} st_dtype;

static const st_dtype dtypes[] = {
    {"F32", DN_ST_F32, 4},    {"F64", DN_ST_F64, 8},       {"U64", DN_ST_U64, 8},       {"I64", DN_ST_I64, 8},
    {"F16", DN_ST_OTHER, 2},  {"BF16", DN_ST_OTHER, 2},    {"I32", DN_ST_OTHER, 4},     {"I16", DN_ST_OTHER, 2},
    {"I8", DN_ST_OTHER, 1},   {"U32", DN_ST_OTHER, 4},     {"U16", DN_ST_OTHER, 2},     {"U8", DN_ST_OTHER, 1},
    {"BOOL", DN_ST_OTHER, 1}, {"F8_E4M3", DN_ST_OTHER, 1}, {"F8_E5M2", DN_ST_OTHER, 1}, {NULL, DN_ST_OTHER, 0}};

/* ---- the header ---- */

/* Copy a string to the strings of the file, zero-terminated. On the first reading there is no place yet. */
static const char *st_keep(dn_st *f, const dn_json_text *text, size_t *length) {
    if (!f->strings) return NULL;
    char *to = f->strings + f->strings_size;
    *length = dn_json_decode(text, to);
    to[*length] = 0;
    f->strings_size += *length + 1;
    return to;
}

/* Names are C strings. */
static dn_status st_keep_name(dn_st *f, const dn_json *j, const dn_json_text *text, const char **name) {
    size_t length = 0;
    *name = st_keep(f, text, &length);
    return !*name || strlen(*name) == length ? DN_OK : dn_json_fail(j, "a name with a zero in it");
}

static dn_status st_metadata(dn_st *f, dn_json *j) {
    dn_json_text key, value;
    int more;
    DN_TRY(dn_json_open(j, '{'));
    for (;;) {
        DN_TRY(dn_json_more(j, '}', &more));
        if (!more) return DN_OK;
        if (f->n_texts == DN_ST_TEXTS) return dn_json_fail(j, "more than %d texts of metadata", DN_ST_TEXTS);
        DN_TRY(dn_json_key(j, &key));
        DN_TRY(dn_json_string(j, &value));
        st_text text = {.at = (size_t)(value.at - j->text), .escaped = value.escaped};
        DN_TRY(st_keep_name(f, j, &key, &text.key));
        text.text = st_keep(f, &value, &text.length);
        if (f->texts) f->texts[f->n_texts] = text;
        f->n_texts++;
    }
}

static dn_status st_read_dtype(dn_st_tensor *t, dn_json *j, size_t *size) {
    dn_json_text text;
    DN_TRY(dn_json_string(j, &text));
    for (const st_dtype *d = dtypes; d->name; d++)
        if (dn_json_is(&text, d->name)) {
            t->type = d->name, t->dtype = d->dtype, *size = (size_t)d->bytes;
            return DN_OK;
        }
    return dn_json_fail(j, "unknown dtype '%.*s'", (int)(text.size < 32 ? text.size : 32), text.at);
}

static dn_status st_read_shape(dn_st_tensor *t, dn_json *j) {
    int more;
    DN_TRY(dn_json_open(j, '['));
    for (;;) {
        DN_TRY(dn_json_more(j, ']', &more));
        if (!more) return DN_OK;
        if (t->n_dims == DN_ST_DIMS) return dn_json_fail(j, "a shape of more than %d dimensions", DN_ST_DIMS);
        DN_TRY(dn_json_whole(j, &t->dims[t->n_dims++]));
    }
}

static dn_status st_read_offsets(dn_json *j, uint64_t offsets[2]) {
    int more;
    DN_TRY(dn_json_open(j, '['));
    for (int i = 0; i < 2; i++) {
        DN_TRY(dn_json_more(j, ']', &more));
        if (!more) return dn_json_fail(j, "data_offsets are not two numbers");
        DN_TRY(dn_json_whole(j, &offsets[i]));
    }
    DN_TRY(dn_json_more(j, ']', &more));
    return more ? dn_json_fail(j, "data_offsets are not two numbers") : DN_OK;
}

/* Do the shape and the place fit each other? (Whether the place is in the file is asked for all of them together.) */
static dn_status st_measure(dn_st_tensor *t, const dn_json *j, const dn_json_text *name, const uint64_t offsets[2],
                            size_t size) {
    uint64_t count = 1, bytes;
    int length = (int)(name->size < 64 ? name->size : 64), overflow = 0;
    for (int i = 0; i < t->n_dims; i++) /* a dimension of 0 after a product that overflows is refused too */
        overflow |= __builtin_mul_overflow(count, t->dims[i], &count);
    overflow |= __builtin_mul_overflow(count, (uint64_t)size, &bytes);
    if (overflow) return dn_json_fail(j, "the shape of '%.*s' is too large", length, name->at);
    if (offsets[0] > offsets[1] || offsets[1] - offsets[0] != bytes)
        return dn_json_fail(j, "'%.*s' needs %llu bytes, its data_offsets are %llu and %llu", length, name->at,
                            (unsigned long long)bytes, (unsigned long long)offsets[0], (unsigned long long)offsets[1]);
    t->count = (size_t)count, t->bytes = (size_t)bytes, t->at = (size_t)offsets[0];
    return DN_OK;
}

static dn_status st_tensor(dn_st *f, dn_json *j, const dn_json_text *name) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    dn_st_tensor t = {0};
    uint64_t offsets[2] = {0};
    size_t size = 0;
    int seen = 0, more, k;
    if (f->n_tensors == DN_ST_TENSORS) return dn_json_fail(j, "more than %d tensors", DN_ST_TENSORS);
    DN_TRY(st_keep_name(f, j, name, &t.name));
    DN_TRY(dn_json_open(j, '{'));
    for (;;) {
        dn_json_text key;
        DN_TRY(dn_json_member(j, &key, &more));
        if (!more) break;
        for (k = 0; k < 3 && !dn_json_is(&key, keys[k]); k++) {
        }
        if (k == 3 || seen & 1 << k)
            return dn_json_fail(j, "a tensor has dtype, shape and data_offsets, once each, not '%.*s'",
                                (int)(key.size < 32 ? key.size : 32), key.at);
        seen |= 1 << k;
        DN_TRY(k == 0 ? st_read_dtype(&t, j, &size) : k == 1 ? st_read_shape(&t, j) : st_read_offsets(j, offsets));
    }
    if (seen != 7) return dn_json_fail(j, "a tensor without %s", keys[seen & 1 ? seen & 2 ? 2 : 1 : 0]);
    DN_TRY(st_measure(&t, j, name, offsets, size));
    if (f->tensors) f->tensors[f->n_tensors] = t;
    f->n_tensors++;
    return DN_OK;
}

/* Walk through the header. Without tables yet, it checks and counts; with them it fills them. */
static dn_status st_walk(dn_st *f, const char *text, size_t size) {
    dn_json j;
    int more, metadata = 0;
    f->n_tensors = f->n_texts = 0;
    dn_json_begin(&j, f->label, text, size);
    DN_TRY(dn_json_open(&j, '{'));
    for (;;) {
        dn_json_text key;
        DN_TRY(dn_json_member(&j, &key, &more));
        if (!more) return dn_json_end(&j);
        if (!dn_json_is(&key, "__metadata__"))
            DN_TRY(st_tensor(f, &j, &key));
        else if (metadata++)
            return dn_json_fail(&j, "a second __metadata__");
        else
            DN_TRY(st_metadata(f, &j));
    }
}

static int compare_place(const void *a, const void *b) {
    const dn_st_tensor *x = a, *y = b;
    size_t i = x->at != y->at ? x->at : x->bytes, k = x->at != y->at ? y->at : y->bytes;
    return i < k ? -1 : i > k;
}
static int compare_name(const void *a, const void *b) {
    return strcmp((*(dn_st_tensor *const *)a)->name, (*(dn_st_tensor *const *)b)->name);
}
static int compare_key(const void *a, const void *b) {
    return strcmp(((const st_text *)a)->key, ((const st_text *)b)->key);
}

/* The tensors, sorted by place, must cover the `room` bytes after the header. */
static dn_status st_cover(dn_st *f, size_t room) {
    size_t at = 0;
    for (int i = 0; i < f->n_tensors; at += f->tensors[i++].bytes) {
        const dn_st_tensor *t = &f->tensors[i];
        DN_CHECK(t->at == at, DN_E_FORMAT, "%s: the bytes of '%.64s' %s those before them", f->label, t->name,
                 t->at < at ? "overlap" : "leave a gap after");
        DN_CHECK(t->bytes <= room - at, DN_E_FORMAT,
                 "%s: '%.64s' needs %zu bytes, %zu are left of the file: it is cut short or damaged", f->label, t->name,
                 t->bytes, room - at);
    }
    DN_CHECK(at == room || room == ANY_ROOM, DN_E_FORMAT, "%s: %zu bytes after the last tensor: it is damaged",
             f->label, room - at);
    f->room = at;
    return DN_OK;
}

static dn_status st_unique(const dn_st *f) {
    for (int i = 1; i < f->n_tensors; i++)
        DN_CHECK(strcmp(f->by_name[i - 1]->name, f->by_name[i]->name), DN_E_FORMAT, "%s: two tensors '%.64s'", f->label,
                 f->by_name[i]->name);
    for (int i = 1; i < f->n_texts; i++)
        DN_CHECK(strcmp(f->texts[i - 1].key, f->texts[i].key), DN_E_FORMAT, "%s: two texts '%.64s'", f->label,
                 f->texts[i].key);
    return DN_OK;
}

static const st_text *st_find_text(const dn_st *f, const char *key) {
    st_text wanted = {.key = key};
    return f->n_texts ? bsearch(&wanted, f->texts, (size_t)f->n_texts, sizeof wanted, compare_key) : NULL;
}

/* A file of ours in a format that this version cannot know. */
static dn_status st_format(const dn_st *f) {
    const st_text *format = st_find_text(f, FORMAT);
    if (!format) return DN_OK;
    size_t digits = strspn(format->text, "0123456789");
    DN_CHECK(digits && digits == format->length && *format->text != '0', DN_E_FORMAT,
             "%s: '%.32s' is no number of a format: it is damaged", f->label, format->text);
    DN_CHECK(digits < 9 && atol(format->text) <= DN_ST_FORMAT, DN_E_FORMAT,
             "%s: format %.32s is newer than %d, the newest that this version reads", f->label, format->text,
             DN_ST_FORMAT);
    return DN_OK;
}

/* The header of a file whose tensors take `room` bytes. */
static dn_status st_header(dn_st *f, const char *text, size_t size, size_t room) {
    DN_TRY(st_walk(f, text, size));
    size_t n = (size_t)f->n_tensors, m = (size_t)f->n_texts;
    f->strings = dn_realloc(NULL, size, 1); /* a string takes no more than between its quotes, and one more byte */
    f->tensors = dn_alloc(n, sizeof *f->tensors);
    f->by_name = dn_alloc(n, sizeof *f->by_name);
    f->texts = dn_alloc(m, sizeof *f->texts);
    if (!f->strings || !f->tensors || !f->by_name || !f->texts) return DN_E_MEMORY;
    DN_TRY(st_walk(f, text, size));
    qsort(f->tensors, n, sizeof *f->tensors, compare_place);
    for (size_t i = 0; i < n; i++) f->by_name[i] = &f->tensors[i];
    qsort(f->by_name, n, sizeof *f->by_name, compare_name);
    qsort(f->texts, m, sizeof *f->texts, compare_key);
    DN_TRY(st_unique(f));
    DN_TRY(st_cover(f, room));
    return st_format(f);
}

/* ---- the checksum, and the bytes ---- */

static dn_status st_checksum(const dn_st *f, const char *bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    const st_text *text = st_find_text(f, CHECKSUM);
    uint32_t wanted = 0;
    if (!dn_st_ours(f)) return DN_OK;
    int valid = text && text->length == CHECKSUM_DIGITS && !text->escaped;
    for (int i = 0; valid && i < CHECKSUM_DIGITS; i++) {
        const char *digit = text->text[i] ? strchr(digits, text->text[i]) : NULL;
        valid = digit != NULL;
        wanted = wanted << 4 | (uint32_t)(digit ? digit - digits : 0);
    }
    DN_CHECK(valid, DN_E_FORMAT, "%s: without a %s of eight digits: it is damaged", f->label, CHECKSUM);
    size_t at = LENGTH_BYTES + text->at, behind = at + CHECKSUM_DIGITS;
    uint32_t crc = dn_crc32c(dn_crc32c(0, bytes, at), bytes + behind, size - behind);
    DN_CHECK(crc == wanted, DN_E_FORMAT, "%s: its checksum is %08x, not %08x: it is damaged", f->label, crc, wanted);
    return DN_OK;
}

static dn_status st_attach(dn_st *f, const char *bytes, size_t size) {
    f->data = bytes + f->header;
    for (int i = 0; i < f->n_tensors; i++) f->tensors[i].data = f->data + f->tensors[i].at;
    return st_checksum(f, bytes, size);
}

/* A file that begins as Darknet's weights do, with the version as two numbers of 32 bits: as a length, more than any
 * header has. */
static dn_status st_not_weights(const dn_st *f, const char *bytes) {
    uint32_t version[2];
    memcpy(version, bytes, sizeof version);
    if (version[0] > 99 || version[1] < 1 || version[1] > 99) return DN_OK;
    int misnamed = dn_ends_in(f->label, ".safetensors");
    return dn_fail(DN_E_FORMAT, "%s: it looks like a Darknet weights file, not like a model file or a checkpoint: %s%s",
                   f->label, misnamed ? "give it a name that ends in .weights" : "give it as -weights ",
                   misnamed ? "" : f->label);
}

/* The length of the header, from the first bytes of a file of `size` bytes; 0: it is not known. */
static dn_status st_length(dn_st *f, const char *bytes, size_t size) {
    uint64_t length;
    char has[48] = "";
    memcpy(&length, bytes, sizeof length);
    DN_TRY(st_not_weights(f, bytes));
    if (size) snprintf(has, sizeof has, ", the file has %zu", size);
    DN_CHECK(length <= DN_ST_HEADER && (!size || length <= size - LENGTH_BYTES), DN_E_FORMAT,
             "%s: its header would have %llu bytes%s: it is cut short, damaged or no model file", f->label,
             (unsigned long long)length, has);
    f->header = LENGTH_BYTES + (size_t)length;
    return DN_OK;
}

static dn_status st_parse(dn_st *f, const char *bytes, size_t size) {
    DN_CHECK(size >= LENGTH_BYTES, DN_E_FORMAT, TOO_SHORT, f->label, size);
    DN_TRY(st_length(f, bytes, size));
    DN_TRY(st_header(f, bytes + LENGTH_BYTES, f->header - LENGTH_BYTES, size - f->header));
    return st_attach(f, bytes, size);
}

static dn_status st_read(dn_st *f, int fd, size_t at, size_t size) {
    size_t got;
    char *grown = dn_realloc(f->owned, size, 1);
    if (!grown) return DN_E_MEMORY;
    f->owned = grown;
    DN_TRY(dn_reader_read(fd, f->label, f->owned + at, size - at, &got));
    DN_CHECK(at + got >= LENGTH_BYTES, DN_E_FORMAT, TOO_SHORT, f->label, at + got);
    DN_CHECK(got == size - at, DN_E_FORMAT, "%s: cut short while it was being read", f->label);
    return DN_OK;
}

/* The header is checked before the tensors are read. size 0: of a pipe or a device, which may never end, and of which
 * no more is read than the header asks for. */
static dn_status st_read_file(dn_st *f, int fd, size_t size) {
    size_t more = 0;
    char byte;
    DN_TRY(st_read(f, fd, 0, LENGTH_BYTES));
    DN_TRY(st_length(f, f->owned, size));
    DN_TRY(st_read(f, fd, LENGTH_BYTES, f->header));
    DN_TRY(st_header(f, f->owned + LENGTH_BYTES, f->header - LENGTH_BYTES, size ? size - f->header : ANY_ROOM));
    size_t whole = f->header + f->room;
    DN_TRY(st_read(f, fd, f->header, whole));
    if (!size) DN_TRY(dn_reader_read(fd, f->label, &byte, 1, &more));
    DN_CHECK(!more, DN_E_FORMAT, "%s: it goes on after the last tensor: it is damaged", f->label);
    return st_attach(f, f->owned, whole);
}

static dn_status st_load(dn_st *f, const char *path) {
    int fd;
    DN_TRY(dn_reader_open(&fd, path));
    dn_status status = st_read_file(f, fd, dn_reader_left(fd));
    dn_reader_close(fd);
    return status;
}

static dn_status st_create(dn_st **out, const char *label) {
    *out = dn_alloc(1, sizeof **out);
    if (*out && !((*out)->label = dn_strdup(label))) dn_free(*out), *out = NULL;
    return *out ? DN_OK : DN_E_MEMORY;
}

static dn_status st_finish(dn_st **file, dn_status status) {
    if (status != DN_OK) dn_st_close(*file), *file = NULL;
    return status;
}

dn_status dn_st_open(dn_st **out, const char *path) {
    DN_TRY(st_create(out, path));
    return st_finish(out, st_load(*out, path));
}

dn_status dn_st_from_bytes(dn_st **out, const void *bytes, size_t size, const char *label) {
    DN_TRY(st_create(out, label));
    return st_finish(out, st_parse(*out, bytes, size));
}

void dn_st_close(dn_st *f) {
    if (!f) return;
    dn_free(f->label);
    dn_free(f->owned);
    dn_free(f->strings);
    dn_free(f->tensors);
    dn_free(f->by_name);
    dn_free(f->texts);
    dn_free(f);
}

/* ---- what is in it ---- */

const char *dn_st_label(const dn_st *f) { return f->label; }

int dn_st_ours(const dn_st *f) {
    for (int i = 0; i < f->n_texts; i++)
        if (!strncmp(f->texts[i].key, PREFIX, strlen(PREFIX))) return 1;
    return 0;
}

const dn_st_tensor *dn_st_find(const dn_st *f, const char *name) {
    dn_st_tensor wanted = {.name = name}, *key = &wanted, **found = NULL;
    if (f->n_tensors) found = bsearch(&key, f->by_name, (size_t)f->n_tensors, sizeof key, compare_name);
    return found ? *found : NULL;
}

const dn_st_tensor *dn_st_at(const dn_st *f, int i) { return i >= 0 && i < f->n_tensors ? &f->tensors[i] : NULL; }

const char *dn_st_text(const dn_st *f, const char *key, size_t *length) {
    const st_text *text = st_find_text(f, key);
    if (length) *length = text ? text->length : 0;
    return text ? text->text : NULL;
}

const char *dn_st_key(const dn_st *f, int i) { return i >= 0 && i < f->n_texts ? f->texts[i].key : NULL; }

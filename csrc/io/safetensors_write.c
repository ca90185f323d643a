/* Writing containers in the safetensors layout. */
#include "base/crc32c.h"
#include "base/sys.h"
#include "io/json.h"
#include "io/safetensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct st_entry {
    char *name, *text; /* text NULL: a tensor */
    size_t length;
    dn_st_dtype dtype;
    int n_dims, dims[DN_ST_DIMS];
    const void *values;
    size_t bytes;
} st_entry;

struct dn_st_list {
    st_entry *entries;
    int n, room, n_tensors, n_texts;
};

static const struct {
    const char *name;
    size_t bytes;
} written[] = {[DN_ST_F32] = {"F32", 4}, [DN_ST_F64] = {"F64", 8}, [DN_ST_U64] = {"U64", 8}, [DN_ST_I64] = {"I64", 8}};

/* ---- the list ---- */

dn_status dn_st_list_create(dn_st_list **out) {
    *out = dn_alloc(1, sizeof **out);
    return *out ? DN_OK : DN_E_MEMORY;
}

void dn_st_list_free(dn_st_list *list) {
    if (!list) return;
    for (int i = 0; i < list->n; i++) {
        dn_free(list->entries[i].name);
        dn_free(list->entries[i].text);
    }
    dn_free(list->entries);
    dn_free(list);
}

static dn_status list_add(dn_st_list *list, const char *name, st_entry **out) {
    DN_CHECK(dn_utf8_valid(name, strlen(name)), DN_E_USAGE, "a model file takes names in UTF-8, not '%.64s'", name);
    if (list->n == list->room) {
        int room = list->room ? 2 * list->room : 64;
        st_entry *grown = dn_realloc(list->entries, (size_t)room, sizeof *grown);
        if (!grown) return DN_E_MEMORY;
        list->entries = grown, list->room = room;
    }
    *out = &list->entries[list->n];
    **out = (st_entry){.name = dn_strdup(name)};
    if (!(*out)->name) return DN_E_MEMORY;
    list->n++;
    return DN_OK;
}

dn_status dn_st_add_text(dn_st_list *list, const char *key, const char *text, size_t length) {
    st_entry *e;
    DN_CHECK(dn_utf8_valid(text, length), DN_E_USAGE, "a model file takes UTF-8, the text of %s is not", key);
    DN_CHECK(list->n_texts < DN_ST_TEXTS - 2, DN_E_USAGE, "a model file takes %d texts", DN_ST_TEXTS - 2);
    DN_TRY(list_add(list, key, &e));
    list->n_texts++;
    if (!(e->text = dn_realloc(NULL, length, 1))) return DN_E_MEMORY;
    if (length) memcpy(e->text, text, length);
    e->length = length;
    return DN_OK;
}

dn_status dn_st_add_tensor(dn_st_list *list, const char *name, dn_st_dtype dtype, int n_dims, const int *dims,
                           const void *values) {
    st_entry *e;
    DN_CHECK(list->n_tensors < DN_ST_TENSORS, DN_E_USAGE, "a model file takes %d tensors", DN_ST_TENSORS);
    DN_CHECK(dtype < DN_ST_OTHER && n_dims >= 0 && n_dims <= DN_ST_DIMS, DN_E_USAGE,
             "'%s': no such tensor can be written", name);
    DN_TRY(list_add(list, name, &e));
    list->n_tensors++;
    e->dtype = dtype, e->n_dims = n_dims, e->values = values, e->bytes = written[dtype].bytes;
    for (int i = 0; i < n_dims; i++) DN_TRY(dn_size_mul(&e->bytes, e->bytes, (size_t)(e->dims[i] = dims[i])));
    return DN_OK;
}

/* ---- the header ---- */

static void header_text(dn_text *b, const st_entry *e) {
    dn_text_add(b, ",", 1);
    dn_json_add(b, e->name, strlen(e->name));
    dn_text_add(b, ":", 1);
    dn_json_add(b, e->text, e->length);
}

static void header_tensor(dn_text *b, const st_entry *e, size_t at) {
    dn_text_add(b, ",", 1);
    dn_json_add(b, e->name, strlen(e->name));
    dn_text_format(b, ":{\"dtype\":\"%s\",\"shape\":[", written[e->dtype].name);
    for (int i = 0; i < e->n_dims; i++) dn_text_format(b, "%s%d", i ? "," : "", e->dims[i]);
    dn_text_format(b, "],\"data_offsets\":[%zu,%zu]}", at, at + e->bytes);
}

static int compare_entries(const void *a, const void *b) {
    const st_entry *x = *(st_entry *const *)a, *y = *(st_entry *const *)b;
    return !x->text != !y->text ? (x->text ? -1 : 1) : strcmp(x->name, y->name);
}

/* The reader would refuse a file with two of a name: better before it is written. */
static dn_status list_unique(const dn_st_list *list) {
    dn_status status = DN_OK;
    st_entry **sorted = dn_alloc((size_t)list->n, sizeof *sorted);
    if (!sorted) return DN_E_MEMORY;
    for (int i = 0; i < list->n; i++) sorted[i] = &list->entries[i];
    qsort(sorted, (size_t)list->n, sizeof *sorted, compare_entries);
    for (int i = 1; i < list->n && status == DN_OK; i++)
        if (!compare_entries(&sorted[i - 1], &sorted[i]))
            status = dn_fail(DN_E_USAGE, "a model file cannot hold two '%s'", sorted[i]->name);
    dn_free(sorted);
    return status;
}

/* Length and header, with zeros as the checksum, whose place is *digits. Wide values come first, so that all are
 * aligned: a pass per size of value. */
static dn_status header_write(const dn_st_list *list, dn_text *b, size_t *digits) {
    size_t at = 0;
    dn_text_add(b, "12345678", 8); /* the length, once it is known */
    dn_text_format(b, "{\"__metadata__\":{\"darknet_vae.format\":\"%d\",\"darknet_vae.crc32c\":\"", DN_ST_FORMAT);
    *digits = b->size;
    dn_text_add(b, "00000000\"", 9);
    for (int i = 0; i < list->n; i++)
        if (list->entries[i].text) header_text(b, &list->entries[i]);
    dn_text_add(b, "}", 1);
    for (size_t bytes = 8; bytes >= 4; bytes -= 4)
        for (int i = 0; i < list->n; i++) {
            const st_entry *e = &list->entries[i];
            if (e->text || written[e->dtype].bytes != bytes) continue;
            header_tensor(b, e, at);
            at += e->bytes;
        }
    dn_text_add(b, "}", 1);
    while (b->size % 8 && b->status == DN_OK) dn_text_add(b, " ", 1);
    if (b->status != DN_OK) return b->status;
    uint64_t length = b->size - 8;
    DN_CHECK(length <= DN_ST_HEADER, DN_E_USAGE, "the texts of a model file are longer than %d bytes", DN_ST_HEADER);
    memcpy(b->bytes, &length, sizeof length);
    return DN_OK;
}

/* ---- the bytes ---- */

typedef dn_status (*st_sink)(void *to, const void *bytes, size_t size);

/* The tensors in the order of the header. */
static dn_status list_values(const dn_st_list *list, st_sink sink, void *to) {
    for (size_t bytes = 8; bytes >= 4; bytes -= 4)
        for (int i = 0; i < list->n; i++) {
            const st_entry *e = &list->entries[i];
            if (!e->text && written[e->dtype].bytes == bytes) DN_TRY(sink(to, e->values, e->bytes));
        }
    return DN_OK;
}

static dn_status sink_checksum(void *to, const void *bytes, size_t size) {
    uint32_t *crc = to;
    *crc = dn_crc32c(*crc, bytes, size);
    return dn_watched();
}

static dn_status sink_buffer(void *to, const void *bytes, size_t size) {
    dn_text *b = to;
    dn_text_add(b, bytes, size);
    return b->status;
}

static dn_status sink_writer(void *to, const void *bytes, size_t size) {
    enum { PART = 1 << 24 };
    for (size_t at = 0; at < size; at += PART) {
        DN_TRY(dn_watched());
        DN_TRY(dn_writer_write(to, (const char *)bytes + at, size - at < PART ? size - at : PART));
    }
    return DN_OK;
}

static dn_status list_header(const dn_st_list *list, dn_text *b) {
    size_t digits = 0;
    char text[9];
    *b = (dn_text){0};
    DN_TRY(list_unique(list));
    DN_TRY(header_write(list, b, &digits));
    size_t behind = digits + 8;
    uint32_t crc = dn_crc32c(dn_crc32c(0, b->bytes, digits), b->bytes + behind, b->size - behind);
    DN_TRY(list_values(list, sink_checksum, &crc));
    snprintf(text, sizeof text, "%08x", crc);
    memcpy(b->bytes + digits, text, 8);
    return DN_OK;
}

dn_status dn_st_bytes(const dn_st_list *list, char **bytes, size_t *size) {
    dn_text b;
    dn_status status = list_header(list, &b);
    if (status == DN_OK) status = list_values(list, sink_buffer, &b);
    if (status != DN_OK) dn_text_free(&b);
    *bytes = b.bytes, *size = b.size;
    return status;
}

static dn_status list_save(const dn_st_list *list, const dn_text *header, dn_writer *w) {
    dn_status status = dn_writer_write(w, header->bytes, header->size);
    if (status == DN_OK) status = list_values(list, sink_writer, w);
    return dn_writer_finish(w, status);
}

/* The file is opened last, once what is written is known. */
static dn_status list_write(const dn_st_list *list, const char *path,
                            dn_status (*open)(dn_writer **out, const char *path)) {
    dn_text header;
    dn_writer *w;
    dn_status status = list_header(list, &header);
    if (status == DN_OK) status = open(&w, path);
    if (status == DN_OK) status = list_save(list, &header, w);
    dn_text_free(&header);
    return status;
}

dn_status dn_st_write(const dn_st_list *list, const char *path) { return list_write(list, path, dn_writer_open); }

dn_status dn_st_replace(const dn_st_list *list, const char *path) { return list_write(list, path, dn_writer_replace); }

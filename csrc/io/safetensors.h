/* Containers in the safetensors layout (github.com/huggingface/safetensors, format of version 0.3 and later): 8 bytes
 * with the length of a header, the header, the tensors' bytes. The header is JSON: a name gives a tensor's dtype, shape
 * and place, and `__metadata__` texts by key. Everything is little-endian. Nothing here knows of networks.
 *
 * Ours have the texts `darknet_vae.format`, a number, and `darknet_vae.crc32c`: eight hexadecimal digits, the CRC-32C
 * of all bytes of the file except for these digits. A file with any key that begins with `darknet_vae.` must have a
 * valid one. Files of other programs have neither and are read too. */
#ifndef DN_SAFETENSORS_H
#define DN_SAFETENSORS_H
#include "base/status.h"
#include <string.h>

enum {
    DN_ST_FORMAT = 1,        /* the format that is written, and the newest that is read */
    DN_ST_DIMS = 8,          /* most dimensions of a tensor */
    DN_ST_TENSORS = 8192,    /* most tensors of a file */
    DN_ST_TEXTS = 1024,      /* most texts */
    DN_ST_HEADER = 100 << 20 /* most bytes of a header */
};

typedef enum dn_st_dtype {
    DN_ST_F32,
    DN_ST_F64,
    DN_ST_U64,
    DN_ST_I64,
    DN_ST_OTHER, /* one of the other types of the layout, of a known size */
} dn_st_dtype;

typedef struct dn_st_tensor {
    const char *name;
    const char *type; /* the dtype as it is written: "F32" */
    dn_st_dtype dtype;
    int n_dims; /* 0: a single value */
    uint64_t dims[DN_ST_DIMS];
    size_t count, bytes;
    const void *data; /* may be unaligned in files of other programs: copy it */
    size_t at;        /* of its bytes, from the first tensor's */
} dn_st_tensor;

/* ---- reading ---- */

typedef struct dn_st dn_st;
/* Read a file. Everything is checked before it returns: the header before memory for the tensors is taken. DN_E_FORMAT
 * says what is wrong. */
dn_status dn_st_open(dn_st **out, const char *path);
/* The same from `size` bytes, which are borrowed until it is closed; messages call them `label`. */
dn_status dn_st_from_bytes(dn_st **out, const void *bytes, size_t size, const char *label);
void dn_st_close(dn_st *file);
/* Do the first bytes of a file look like this layout? Neither a cfg nor a weights file does. */
static inline int dn_st_looks_like_one(const char *bytes, size_t size) {
    uint64_t length;
    if (size <= sizeof length || bytes[sizeof length] != '{') return 0;
    memcpy(&length, bytes, sizeof length);
    return length <= DN_ST_HEADER;
}

const char *dn_st_label(const dn_st *file);
int dn_st_ours(const dn_st *file);                                   /* it has keys of ours, so its checksum is right */
const dn_st_tensor *dn_st_find(const dn_st *file, const char *name); /* NULL: there is none */
/* The tensors in the order of their bytes, 0, 1, ...; NULL after the last. */
const dn_st_tensor *dn_st_at(const dn_st *file, int index);
/* The text of a key, zero-terminated; NULL: there is none. `length` may be NULL. */
const char *dn_st_text(const dn_st *file, const char *key, size_t *length);
/* The key of text 0, 1, ..., by name; NULL after the last. */
const char *dn_st_key(const dn_st *file, int index);

/* Do the first bytes of a file look like this layout? Neither a cfg nor a weights file does. */

/* ---- writing ---- */

/* What a file will hold. Names, keys and texts are copied; the tensors' values are borrowed until it is written. */
typedef struct dn_st_list dn_st_list;
dn_status dn_st_list_create(dn_st_list **out);
void dn_st_list_free(dn_st_list *list);
/* `text` must be UTF-8. */
dn_status dn_st_add_text(dn_st_list *list, const char *key, const char *text, size_t length);
dn_status dn_st_add_tensor(dn_st_list *list, const char *name, dn_st_dtype dtype, int n_dims, const int *dims,
                           const void *values);
/* Write a file as a dn_writer does: completely or not at all. Format and checksum are added. */
dn_status dn_st_write(const dn_st_list *list, const char *path);
/* The same as dn_writer_replace does: an old file stays whole whatever happens. */
dn_status dn_st_replace(const dn_st_list *list, const char *path);
/* The same into memory, to be freed with dn_free. */
dn_status dn_st_bytes(const dn_st_list *list, char **bytes, size_t *size);
#endif

/* Model files from outside: what is in one, what is damaged, what is written. Run by tests/test_safetensors.py.
 *
 *   test_safetensors read FILE       its texts and tensors, or the error
 *   test_safetensors count FILE      the error, and how many allocations were made before it
 *   test_safetensors write FILE      a small file of every type
 *   test_safetensors damage FILE     every truncation and every flipped bit; how many of them were not noticed
 *   test_safetensors failures FILE   every call to the system fails once
 *   test_safetensors crc SIZE        the checksum of bytes 0, 1, 2, ... by instruction and by tables */
#include "base/crc32c.h"
#include "base/sys.h"
#include "io/safetensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(dn_status status) {
    printf("%d %s\n", status, dn_error());
    return status;
}

static int show(const char *path) {
    dn_st *f;
    size_t length;
    dn_status status = dn_st_open(&f, path);
    if (status != DN_OK) return failed(status);
    printf("ours %d\n", dn_st_ours(f));
    for (int i = 0; dn_st_key(f, i); i++) {
        const char *text = dn_st_text(f, dn_st_key(f, i), &length);
        printf("text %s %zu %s\n", dn_st_key(f, i), length, text);
    }
    const dn_st_tensor *t;
    for (int i = 0; (t = dn_st_at(f, i)); i++) {
        printf("tensor %s %s %d %zu", t->name, t->type, t->n_dims, t->count);
        for (int k = 0; k < t->n_dims; k++) printf(" %llu", (unsigned long long)t->dims[k]);
        printf(" crc %08x\n", dn_crc32c(0, t->data, t->bytes));
        if (dn_st_find(f, t->name) != t) printf("'%s' is not found\n", t->name);
    }
    if (dn_st_find(f, "no such tensor") || dn_st_text(f, "no such text", &length) || length)
        printf("found what is not there\n");
    dn_st_close(f);
    return 0;
}

static int count(const char *path) {
    char *bytes;
    size_t size;
    dn_st *f = NULL;
    if (dn_file_read(path, 1 << 26, &bytes, &size) != DN_OK) return failed(DN_E_IO);
    char *exact = malloc(size ? size : 1); /* so that a sanitizer sees reading beyond it */
    if (!exact) return 1;
    memcpy(exact, bytes, size);
    dn_sys_fail_at(0);
    dn_status status = dn_st_from_bytes(&f, exact, size, "bytes");
    long calls = dn_sys_fail_at(0);
    printf("%d %ld %s\n", status, calls, status == DN_OK ? "" : dn_error());
    dn_st_close(f);
    free(exact);
    dn_free(bytes);
    return 0;
}

static dn_status make(dn_st_list **list) {
    static const float weights[6] = {1, 2, 3, 4, 5, 6}, bias[1] = {7};
    static const double sums[2] = {0.5, 0.25};
    static const uint64_t seen[1] = {1ull << 63};
    static const int64_t rows[3] = {-1, 0, 1};
    static const char cfg[] = "[net]\ninputs=3 # \"quoted\\\" \xc3\xa9\n", nothing[] = "";
    DN_TRY(dn_st_list_create(list));
    DN_TRY(dn_st_add_text(*list, "darknet_vae.cfg", cfg, sizeof cfg - 1));
    DN_TRY(dn_st_add_text(*list, "empty", nothing, 0));
    DN_TRY(dn_st_add_tensor(*list, "0.biases", DN_ST_F32, 1, (int[]){1}, bias));
    DN_TRY(dn_st_add_tensor(*list, "0.weights", DN_ST_F32, 2, (int[]){2, 3}, weights));
    DN_TRY(dn_st_add_tensor(*list, "sums", DN_ST_F64, 1, (int[]){2}, sums));
    DN_TRY(dn_st_add_tensor(*list, "none", DN_ST_F32, 2, (int[]){0, 5}, NULL));
    DN_TRY(dn_st_add_tensor(*list, "seen", DN_ST_U64, 0, NULL, seen));
    return dn_st_add_tensor(*list, "rows", DN_ST_I64, 1, (int[]){3}, rows);
}

static int store(const char *path) {
    dn_st_list *list = NULL;
    dn_status status = make(&list);
    char *bytes = NULL, *read = NULL;
    size_t size = 0, got = 0;
    if (status == DN_OK) status = dn_st_write(list, path);
    if (status == DN_OK) status = dn_st_bytes(list, &bytes, &size);
    if (status == DN_OK) status = dn_file_read(path, 1 << 26, &read, &got);
    if (status == DN_OK && (got != size || memcmp(bytes, read, size))) printf("file and bytes differ\n");
    if (status == DN_OK && dn_st_add_text(list, "bad", "\xff", 1) == DN_OK) printf("took what is not UTF-8\n");
    if (status == DN_OK && dn_st_add_tensor(list, "sums", DN_ST_F32, 0, NULL, bytes) == DN_OK &&
        dn_st_write(list, path) == DN_OK)
        printf("wrote two tensors of one name\n");
    dn_free(bytes);
    dn_free(read);
    dn_st_list_free(list);
    return status == DN_OK ? 0 : failed(status);
}

/* Is the damaged copy refused with one line? Its memory ends where it ends. */
static int noticed(const char *bytes, size_t size) {
    dn_st *f;
    char *exact = malloc(size ? size : 1);
    if (!exact) return 0;
    if (size) memcpy(exact, bytes, size);
    dn_status status = dn_st_from_bytes(&f, exact, size, "bytes");
    int right = status == DN_E_FORMAT && !strncmp(dn_error(), "bytes: ", 7) && !strchr(dn_error(), '\n');
    dn_st_close(f);
    free(exact);
    return right;
}

static int damage(const char *path) {
    char *bytes;
    size_t size, missed = 0;
    if (dn_file_read(path, 1 << 26, &bytes, &size) != DN_OK) return failed(DN_E_IO);
    for (size_t n = 0; n < size; n++) missed += !noticed(bytes, n);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        missed += !noticed(bytes, size);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    printf("%zu of %zu\n", missed, 9 * size);
    dn_free(bytes);
    return 0;
}

static int failures(const char *path) {
    int read = 0, written = 0, wrong = 0;
    for (dn_status status = DN_E_IO; status != DN_OK; read++) {
        dn_st *f = NULL;
        dn_sys_fail_at(read + 1);
        status = dn_st_open(&f, path);
        wrong += status != DN_OK && status != DN_E_IO && status != DN_E_MEMORY;
        dn_st_close(f);
    }
    for (dn_status status = DN_E_IO; status != DN_OK; written++) {
        dn_st_list *list = NULL;
        char *bytes = NULL;
        size_t size;
        dn_sys_fail_at(written + 1);
        status = make(&list);
        if (status == DN_OK) status = dn_st_bytes(list, &bytes, &size);
        wrong += status != DN_OK && status != DN_E_MEMORY;
        dn_free(bytes);
        dn_st_list_free(list);
    }
    dn_sys_fail_at(0);
    printf("%d wrong of %d and %d\n", wrong, read - 1, written - 1);
    return 0;
}

static int crc(size_t size) {
    unsigned char *bytes = malloc(size + 1);
    if (!bytes) return 1;
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)i;
    uint32_t whole = dn_crc32c(0, bytes, size),
             parts = dn_crc32c(dn_crc32c(0, bytes, size / 3), bytes + size / 3, size - size / 3);
    printf("%08x %08x %08x\n", whole, dn_crc32c_plain(0, bytes, size), parts);
    free(bytes);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    if (!strcmp(argv[1], "read")) return show(argv[2]);
    if (!strcmp(argv[1], "count")) return count(argv[2]);
    if (!strcmp(argv[1], "write")) return store(argv[2]);
    if (!strcmp(argv[1], "damage")) return damage(argv[2]);
    if (!strcmp(argv[1], "failures")) return failures(argv[2]);
    if (!strcmp(argv[1], "crc")) return crc((size_t)atol(argv[2]));
    return 2;
}

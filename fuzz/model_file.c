/* Model files that were changed at random. The checksum is made right again, so that the readers beyond it see them
 * too. */
#include "net/model_file.h"
#include "base/crc32c.h"
#include "base/sys.h"
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where a text is in the bytes; size: it is not. */
static size_t find(const char *bytes, size_t size, const char *text) {
    size_t n = strlen(text);
    for (size_t at = 0; at + n <= size; at++)
        if (!memcmp(bytes + at, text, n)) return at;
    return size;
}

static void seal(char *bytes, size_t size) {
    static const char key[] = "\"darknet_vae.crc32c\":\"";
    char digits[9];
    size_t at = find(bytes, size, key) + sizeof key - 1;
    if (at + 8 > size) return;
    uint32_t crc = dn_crc32c(dn_crc32c(0, bytes, at), bytes + at + 8, size - at - 8);
    snprintf(digits, sizeof digits, "%08x", crc);
    memcpy(bytes + at, digits, 8);
}

/* The network of tests/golden/model_format_1.safetensors. A cfg from the input could ask for any size and time. */
static const char cfg[] = "[net]\ninputs=4\nbatch=2\n[connected]\noutput=4\nactivation=linear\n[sampling]\n"
                          "[connected]\noutput=4\nactivation=logistic\n[cost]\ntype=sse\n";

static void read_network(const char *bytes, size_t size) {
    dn_net *net = NULL;
    dn_net_options options = {.threads = 1};
    if (dn_net_create_text(&net, cfg, "cfg", &options) == DN_OK) {
        (void)dn_net_load_bytes(net, bytes, size, "input", 0, 0, -1);
        dn_net_destroy(net);
    }
}

static void read_texts(const dn_st *file) {
    dn_model_state state;
    dn_model_notes notes = {0};
    dn_cfg *parsed = NULL;
    size_t length;
    const char *columns = dn_st_text(file, "darknet_vae.columns", &length);
    (void)dn_model_read_state(file, &state);
    if (columns) (void)dn_notes_read(&notes, "columns", columns, length);
    (void)dn_model_cfg(&parsed, file);
    dn_notes_free(&notes);
    dn_cfg_free(parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dn_st *file;
    char *bytes = dn_realloc(NULL, size, 1); /* ends where the input ends */
    if (!bytes) return 0;
    if (size) memcpy(bytes, data, size);
    seal(bytes, size);
    if (dn_st_from_bytes(&file, bytes, size, "input") == DN_OK) {
        read_texts(file);
        read_network(bytes, size);
    }
    dn_st_close(file);
    dn_free(bytes);
    return 0;
}

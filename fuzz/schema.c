/* The JSON of a table's schema, changed at random: what is accepted can be used. The first eight bytes are skipped:
 * standalone.c counts in them. */
#include "base/sys.h"
#include "io/columns.h"
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 8 };

/* Decode codes of all kinds, and code what comes back. */
static void use(const dn_schema *schema) {
    static const float codes[ROWS] = {0, 1, -1, 0.4f, 3, 1e6f, -1e30f, NAN};
    size_t n = (size_t)dn_schema_coded(schema);
    float *x = dn_realloc(NULL, n * ROWS + 1, sizeof *x);
    dn_frame frame;
    char text[512], *warnings = NULL;
    for (size_t i = 0; x && i < n * ROWS; i++) x[i] = codes[(i / (n ? n : 1) + i) % ROWS];
    if (x && dn_schema_decode(schema, x, ROWS, &frame) == DN_OK) {
        (void)dn_schema_code(schema, &frame, x, &warnings);
        dn_bytes_free(warnings);
        dn_frame_free(&frame);
    }
    uint8_t *full = dn_alloc((size_t)dn_schema_columns(schema) + 1, 1);
    if (x && full) dn_columns_draw_gaps(schema, 1, full, x, ROWS);
    dn_free(full);
    dn_free(x);
    (void)dn_schema_text(schema, text, sizeof text);
    (void)dn_schema_json(schema, text, sizeof text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dn_schema *schema;
    if (size < 8) return 0;
    char *bytes = dn_realloc(NULL, size - 8, 1); /* ends where the input ends */
    if (!bytes) return 0;
    if (size > 8) memcpy(bytes, data + 8, size - 8);
    if (dn_schema_parse(&schema, bytes, size - 8, "input") == DN_OK) use(schema);
    dn_schema_free(schema);
    dn_free(bytes);
    return 0;
}

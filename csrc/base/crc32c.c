#include "base/crc32c.h"
#include <string.h>

static const uint32_t POLYNOMIAL = 0x82f63b78; /* 0x1edc6f41 with its bits reversed: the lowest bit comes first */

static uint32_t crc_byte(uint32_t crc) {
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    return crc;
}

/* table[k][b]: byte b followed by k zeros. */
static void crc_tables(uint32_t table[8][256]) {
    for (uint32_t b = 0; b < 256; b++) table[0][b] = crc_byte(b);
    for (uint32_t b = 0; b < 256; b++)
        for (int k = 1; k < 8; k++) table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
}

/* Eight bytes at a time through eight tables (Kounavis and Berry, 2005). Making them takes as long as some kilobytes,
 * so short data goes bit by bit. */
uint32_t dn_crc32c_plain(uint32_t crc, const void *data, size_t size) {
    enum { WORTH_TABLES = 1024 };
    const unsigned char *p = data;
    crc = ~crc;
    if (size >= WORTH_TABLES) {
        uint32_t t[8][256];
        crc_tables(t);
        for (; size >= 8; p += 8, size -= 8) {
            crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
            crc = t[7][crc & 255] ^ t[6][crc >> 8 & 255] ^ t[5][crc >> 16 & 255] ^ t[4][crc >> 24] ^ t[3][p[4]] ^
                  t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
        }
    }
    for (; size; p++, size--) crc = crc >> 8 ^ crc_byte((crc ^ *p) & 255);
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_instruction(uint32_t crc, const void *data, size_t size) {
    const char *p = data;
    uint64_t c = ~crc;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        c = __builtin_ia32_crc32di(c, word);
    }
    for (; size; p++, size--) c = __builtin_ia32_crc32qi((uint32_t)c, (unsigned char)*p);
    return ~(uint32_t)c;
}

uint32_t dn_crc32c(uint32_t crc, const void *data, size_t size) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") ? crc_instruction(crc, data, size) : dn_crc32c_plain(crc, data, size);
}
#else
uint32_t dn_crc32c(uint32_t crc, const void *data, size_t size) { return dn_crc32c_plain(crc, data, size); }
#endif

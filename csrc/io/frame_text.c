/* Encodings of text. */
#include "io/frame.h"

int dn_frame_utf8(const char *text, size_t size) {
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    while (p < end) {
        unsigned c = *p++, more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 4;
        static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
        if (more > 3 || (size_t)(end - p) < more) return 0;
        unsigned code = more ? c & (0x3fu >> more) : c;
        for (unsigned i = 0; i < more; i++, p++) {
            if (*p >> 6 != 2) return 0;
            code = code << 6 | (*p & 0x3f);
        }
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0;
    }
    return 1;
}

size_t dn_frame_utf8_put(uint32_t code, char *to) {
    if (code < 0x80) return to[0] = (char)code, 1;
    if (code < 0x800) return to[0] = (char)(0xc0 | code >> 6), to[1] = (char)(0x80 | (code & 0x3f)), 2;
    int more = code < 0x10000 ? 2 : 3;
    to[0] = (char)((more == 2 ? 0xe0 : 0xf0) | code >> (6 * more));
    for (int i = 1; i <= more; i++) to[i] = (char)(0x80 | (code >> (6 * (more - i)) & 0x3f));
    return (size_t)more + 1;
}

int dn_frame_windows(const char *p, size_t size, char *to, size_t *used) {
    /* 0x80 to 0x9f; the rest is as in Latin-1 and Unicode */
    static const uint16_t table[32] = {0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                       0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017d, 0,
                                       0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                       0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)p[i];
        uint32_t code = c >= 0x80 && c < 0xa0 ? table[c - 0x80] : c;
        if (!code && c) return 0;
        n += dn_frame_utf8_put(code, to + n);
    }
    *used = n;
    return 1;
}

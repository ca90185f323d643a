/* By itself, so that a program can have it without a second dn_error. */
#include "base/status.h"

void dn_printable(const char *from, char *to, size_t size) {
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)from; *p; p++) {
        /* C0 and delete, and C1 as UTF-8 writes it: 0xc2 and 0x80 to 0x9f */
        int second = *p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0, control = *p < 0x20 || *p == 0x7f || second;
        if (n + (control ? 4 : 1) >= size) break;
        p += second;
        if (control)
            to[n++] = '\\', to[n++] = 'x', to[n++] = digits[*p >> 4], to[n++] = digits[*p & 15];
        else
            to[n++] = (char)*p;
    }
    if (size) to[n] = 0;
}

/* Decimal numbers in any locale: strtod reads "0,1" where the user's locale has commas. */
#ifndef DN_NUMBER_H
#define DN_NUMBER_H
#include <stdint.h>
#include <string.h>

/* Parse [+-]digits[.digits][e[+-]digits]; hex, inf and nan are not numbers. Returns the first character behind it, or
 * NULL. The value is within an ulp or two of the text, and (float)*value is the float32 nearest to the text. */
const char *dn_number_parse(const char *text, double *value);

/* Write the value with the fewest digits, at least as many as "%g" has, that read back exactly; returns the length.
 * No zero byte. */
enum { DN_NUMBER_ROOM = 24 };
int dn_number_format(float value, char *text);

/* How far behind a text the functions below look. */
enum { DN_NUMBER_PADDING = 16 };
/* The same, faster; DN_NUMBER_PADDING bytes behind the number may be read. */
const char *dn_number_parse_padded(const char *text, double *value);

/* Eight characters as one word, the first in the lowest byte, digits as 0 to 9. */
static inline uint64_t dn_digits_load(const char *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w ^ 0x3030303030303030u;
}
/* How many of them are digits before the first other one. (A sum's carry only reaches bytes behind a byte that is no
 * digit.) */
static inline unsigned dn_digits_count(uint64_t w) {
    uint64_t other = ((w + 0x7676767676767676u) | w) & 0x8080808080808080u;
    return other ? (unsigned)__builtin_ctzll(other) / 8 : 8;
}
/* The value of the first n digits, n <= 8: pairs, then fours, then eight at once. */
static inline uint32_t dn_digits_value(uint64_t w, unsigned n) {
    w = n ? w << (64 - 8 * n) : 0;
    w = w * 10 + (w >> 8);
    w = (w & 0x00ff00ff00ff00ffu) * 100 + ((w >> 16) & 0x00ff00ff00ff00ffu);
    return (uint32_t)((w & 0xffffu) * 10000 + ((w >> 32) & 0xffffu));
}
#endif

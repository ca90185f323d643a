/* Decimal numbers, independent of the locale: strtod reads "0,1" where the user's locale has decimal commas. */
#ifndef DN_NUMBER_H
#define DN_NUMBER_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Parse [+-]digits[.digits][e[+-]digits]; hex, inf and nan are not numbers. Returns the first character after the
 * number, or NULL. The value is within an ulp or two of the text, and (float)*value is the float32 nearest to the
 * text. */
const char *dn_number_parse(const char *text, double *value);

/* Write the value with the fewest digits that read back exactly, but at least as many as "%g" has; returns the length.
 * Writes no terminating zero. */
enum { DN_NUMBER_ROOM = 24 };
int dn_number_format(float value, char *text);

/* A double, exactly: with the fewest of 15 to 17 digits that read back as the same. Zero-terminated; returns the
 * length.
 */
enum { DN_NUMBER_DOUBLE = 40 };
size_t dn_number_write(double value, char text[DN_NUMBER_DOUBLE]);
/* The same for JSON: null if it is not finite. */
size_t dn_number_json(double value, char text[DN_NUMBER_DOUBLE]);
/* The same with that many digits after the point. A text longer than the room is cut. */
size_t dn_number_fixed(double value, int decimals, char *text, size_t room);
/* The double nearest to a number as above, of less than 64 characters. */
void dn_number_read(const char *text, double *value);

/* mantissa 10^exponent, rounded to the nearest double; |exponent| at most DN_NUMBER_EXACT. */
enum { DN_NUMBER_EXACT = 27 };
double dn_number_exact(uint64_t mantissa, int exponent);

/* Readable bytes required after the text. */
enum { DN_NUMBER_PADDING = 16 };
/* The same, faster; up to DN_NUMBER_PADDING bytes after the number may be read. */
const char *dn_number_parse_padded(const char *text, double *value);

/* Eight characters as one word, the first in the lowest byte, with digits mapped to 0 to 9. */
static inline uint64_t dn_digits_load(const char *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w ^ 0x3030303030303030u;
}
/* How many digits come before the first non-digit. (A carry only reaches bytes after a non-digit.) */
static inline unsigned dn_digits_count(uint64_t w) {
    uint64_t other = ((w + 0x7676767676767676u) | w) & 0x8080808080808080u;
    return other ? (unsigned)__builtin_ctzll(other) / 8 : 8;
}
/* The value of the first n digits, n <= 8: first pairs, then fours, then all eight. */
static inline uint32_t dn_digits_value(uint64_t w, unsigned n) {
    w = n ? w << (64 - 8 * n) : 0;
    w = w * 10 + (w >> 8);
    w = (w & 0x00ff00ff00ff00ffu) * 100 + ((w >> 16) & 0x00ff00ff00ff00ffu);
    return (uint32_t)((w & 0xffffu) * 10000 + ((w >> 32) & 0xffffu));
}
#endif

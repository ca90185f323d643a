#include "io/json.h"
#include "base/number.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

dn_status dn_json_fail(const dn_json *j, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return dn_fail(DN_E_FORMAT, "%s: at byte %zu: %s", j->label, j->at, text);
}

void dn_json_begin(dn_json *j, const char *label, const char *text, size_t size) {
    *j = (dn_json){.label = label, .text = text, .size = size};
}

/* ---- characters ---- */

/* Bytes in the UTF-8 character at `p`, of which `left` may be read; 0: invalid. Neither overlong forms nor surrogates
 * nor anything beyond U+10FFFF is valid. */
static int utf8_character(const unsigned char *p, size_t left) {
    int n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if ((size_t)n > left) return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    int overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    int beyond = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return n > 2 && (overlong || beyond) ? 0 : n;
}

int dn_utf8_valid(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        int n = utf8_character((const unsigned char *)text + at, size - at);
        if (!n) return 0;
        at += (size_t)n;
    }
    return 1;
}

/* The next character that is no blank; 0 at the end. */
static char json_peek(dn_json *j) {
    while (j->at < j->size && memchr(" \t\r\n", j->text[j->at], 4)) j->at++;
    return j->at < j->size ? j->text[j->at] : 0;
}

/* What stands at the current place, for messages. */
static const char *json_found(const dn_json *j, char text[8]) {
    if (j->at >= j->size) return "the end";
    int plain = j->text[j->at] > ' ' && j->text[j->at] < 0x7f;
    snprintf(text, 8, plain ? "'%c'" : "0x%02x", plain ? j->text[j->at] : (unsigned char)j->text[j->at]);
    return text;
}

static dn_status json_expect(dn_json *j, char c, const char *what) {
    char found[8];
    if (json_peek(j) != c || j->at >= j->size) return dn_json_fail(j, "%s, not %s", json_found(j, found), what);
    j->at++;
    return DN_OK;
}

/* ---- values ---- */

dn_status dn_json_open(dn_json *j, char bracket) {
    DN_TRY(json_expect(j, bracket, bracket == '{' ? "an object" : "an array"));
    if (++j->depth > DN_JSON_DEEPEST) return dn_json_fail(j, "nested deeper than %d", DN_JSON_DEEPEST);
    j->fresh = 1;
    return DN_OK;
}

dn_status dn_json_more(dn_json *j, char closing, int *more) {
    *more = 0;
    if (json_peek(j) == closing && j->at < j->size) {
        j->at++, j->depth--, j->fresh = 0;
        return DN_OK;
    }
    if (!j->fresh) DN_TRY(json_expect(j, ',', closing == '}' ? "a comma or }" : "a comma or ]"));
    j->fresh = 0, *more = 1;
    return DN_OK;
}

/* The value of four hexadecimal digits; -1: they are none. */
static long json_hex(const char *p, size_t left) {
    long value = 0;
    if (left < 4) return -1;
    for (int i = 0; i < 4; i++) {
        const char digits[] = "0123456789abcdef", c = p[i] >= 'A' && p[i] <= 'F' ? (char)(p[i] + 32) : p[i];
        const char *digit = c ? strchr(digits, c) : NULL;
        if (!digit) return -1;
        value = value * 16 + (digit - digits);
    }
    return value;
}

/* The code point of the \u escape at p, of one or two parts; *n: its bytes. -1: invalid, as half a pair is. */
static long json_unicode(const char *p, size_t left, size_t *n) {
    long high = left >= 6 ? json_hex(p + 2, left - 2) : -1;
    *n = 6;
    if (high < 0xd800 || high > 0xdfff) return high;
    long low = high < 0xdc00 && left >= 12 && p[6] == '\\' && p[7] == 'u' ? json_hex(p + 8, left - 8) : -1;
    *n = 12;
    return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00) : -1;
}

/* Bytes of the escape at p; 0: invalid. */
static size_t json_escape(const char *p, size_t left) {
    size_t n = 2;
    if (left < 2) return 0;
    if (p[1] == 'u') return json_unicode(p, left, &n) < 0 ? 0 : n;
    return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
}

dn_status dn_json_string(dn_json *j, dn_json_text *text) {
    DN_TRY(json_expect(j, '"', "a string"));
    *text = (dn_json_text){.at = j->text + j->at};
    for (size_t n; j->at < j->size && j->text[j->at] != '"'; j->at += n) {
        const char *p = j->text + j->at;
        size_t left = j->size - j->at;
        int escape = *p == '\\';
        n = escape ? json_escape(p, left) : (size_t)utf8_character((const unsigned char *)p, left);
        if (!n) return dn_json_fail(j, escape ? "an invalid escape" : "not UTF-8");
        if ((unsigned char)*p < ' ') return dn_json_fail(j, "a control character in a string");
        text->escaped |= escape;
    }
    if (j->at >= j->size) return dn_json_fail(j, "a string without its end");
    text->size = (size_t)(j->text + j->at++ - text->at);
    return DN_OK;
}

dn_status dn_json_key(dn_json *j, dn_json_text *key) {
    DN_TRY(dn_json_string(j, key));
    return json_expect(j, ':', "a colon");
}

dn_status dn_json_member(dn_json *j, dn_json_text *key, int *more) {
    DN_TRY(dn_json_more(j, '}', more));
    return *more ? dn_json_key(j, key) : DN_OK;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* The number at the current place, whose grammar is narrower than that of C; 0 bytes: it is none. */
static size_t json_number_size(const dn_json *j, int *whole) {
    const char *from = j->text + j->at, *end = j->text + j->size, *p = from;
    *whole = p < end && *p != '-';
    if (p < end && *p == '-') p++;
    const char *digits = p;
    while (p < end && is_digit(*p)) p++;
    if (p == digits || (*digits == '0' && p > digits + 1)) return 0;
    if (p < end && *p == '.') {
        const char *dot = p++;
        while (p < end && is_digit(*p)) p++;
        if (p == dot + 1) return 0;
        *whole = 0;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++, *whole = 0;
        if (p < end && (*p == '+' || *p == '-')) p++;
        const char *first = p;
        while (p < end && is_digit(*p)) p++;
        if (p == first) return 0;
    }
    return (size_t)(p - from);
}

dn_status dn_json_whole(dn_json *j, uint64_t *value) {
    char found[8];
    int whole;
    json_peek(j);
    size_t n = json_number_size(j, &whole);
    if (!n || !whole) return dn_json_fail(j, "%s, not a whole number", json_found(j, found));
    *value = 0;
    for (size_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(*value, (uint64_t)10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(j->text[j->at + i] - '0'), value))
            return dn_json_fail(j, "a number beyond 64 bits");
    j->at += n;
    return DN_OK;
}

static int json_word(dn_json *j, const char *word) {
    size_t n = strlen(word);
    if (j->size - j->at < n || memcmp(j->text + j->at, word, n)) return 0;
    j->at += n;
    return 1;
}

dn_status dn_json_number(dn_json *j, double *value) {
    char text[64], found[8];
    int whole;
    json_peek(j);
    *value = (double)NAN;
    if (json_word(j, "null")) return DN_OK;
    size_t n = json_number_size(j, &whole);
    if (!n || n >= sizeof text) return dn_json_fail(j, "%s, not a number", json_found(j, found));
    memcpy(text, j->text + j->at, n);
    text[n] = 0;
    dn_number_read(text, value);
    j->at += n;
    return DN_OK;
}

void dn_json_add_number(dn_text *to, double value) {
    char text[DN_NUMBER_DOUBLE];
    dn_text_add(to, text, dn_number_json(value, text));
}

static dn_status json_skip_members(dn_json *j, char bracket) {
    char closing = bracket == '{' ? '}' : ']';
    dn_json_text key;
    int more;
    DN_TRY(dn_json_open(j, bracket));
    for (;;) {
        DN_TRY(dn_json_more(j, closing, &more));
        if (!more) return DN_OK;
        if (bracket == '{') DN_TRY(dn_json_key(j, &key));
        DN_TRY(dn_json_skip(j));
    }
}

dn_status dn_json_skip(dn_json *j) {
    dn_json_text text;
    char found[8], c = json_peek(j);
    int whole;
    if (c == '"') return dn_json_string(j, &text);
    if (c == '{' || c == '[') return json_skip_members(j, c); /* dn_json_open bounds the recursion */
    if (json_word(j, "true") || json_word(j, "false") || json_word(j, "null")) return DN_OK;
    size_t n = json_number_size(j, &whole);
    if (!n) return dn_json_fail(j, "%s, not a value", json_found(j, found));
    j->at += n;
    return DN_OK;
}

dn_status dn_json_end(dn_json *j) {
    char found[8];
    json_peek(j);
    return j->at == j->size ? DN_OK : dn_json_fail(j, "%s after the end", json_found(j, found));
}

/* ---- strings ---- */

static size_t utf8_write(long c, char *to) {
    if (c < 0x80) return to[0] = (char)c, 1;
    if (c < 0x800) return to[0] = (char)(0xc0 | c >> 6), to[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return to[0] = (char)(0xe0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63)), to[2] = (char)(0x80 | (c & 63)), 3;
    to[0] = (char)(0xf0 | c >> 18), to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63)), to[3] = (char)(0x80 | (c & 63));
    return 4;
}

size_t dn_json_decode(const dn_json_text *text, char *to) {
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    size_t n = 0;
    if (!text->escaped) return text->size ? (memcpy(to, text->at, text->size), text->size) : 0;
    for (size_t i = 0, used; i < text->size; i += used) {
        const char *p = text->at + i, *letter;
        used = 1;
        if (*p != '\\') {
            to[n++] = *p;
        } else if (p[1] == 'u') {
            long c = json_unicode(p, text->size - i, &used);
            n += utf8_write(c, to + n);
        } else {
            letter = strchr(letters, p[1]);
            to[n++] = letter ? meanings[letter - letters] : p[1];
            used = 2;
        }
    }
    return n;
}

int dn_json_is(const dn_json_text *text, const char *word) {
    return !text->escaped && text->size == strlen(word) && !memcmp(text->at, word, text->size);
}

/* The character at `p`, of n bytes (0: invalid), as it is written in a string; returns how many bytes that takes. */
static size_t json_write_character(const unsigned char *p, int n, char to[8]) {
    if (!n) return (size_t)snprintf(to, 8, "\\ufffd");
    if (*p == '"' || *p == '\\') return to[0] = '\\', to[1] = (char)*p, 2;
    if (*p == '\n') return to[0] = '\\', to[1] = 'n', 2;
    if (*p < ' ' || *p == 0x7f || (n == 2 && *p == 0xc2 && p[1] < 0xa0))
        return (size_t)snprintf(to, 8, "\\u%04x", (unsigned)p[n - 1]);
    memcpy(to, p, (size_t)n);
    return (size_t)n;
}

size_t dn_json_quote(const char *text, size_t size, char *to, size_t room) {
    size_t length = 1;
    char part[8];
    if (room > 1) to[0] = '"';
    for (size_t at = 0; at < size;) {
        const unsigned char *p = (const unsigned char *)text + at;
        int n = utf8_character(p, size - at);
        size_t bytes = json_write_character(p, n, part);
        for (size_t i = 0; i < bytes; i++, length++)
            if (length + 1 < room) to[length] = part[i];
        at += n ? (size_t)n : 1;
    }
    if (length + 1 < room) to[length] = '"';
    length++;
    if (room) to[length < room ? length : room - 1] = 0;
    return length;
}

void dn_json_add(dn_text *to, const char *text, size_t size) {
    size_t n = dn_json_quote(text, size, NULL, 0);
    char *at = dn_text_room(to, n);
    if (!at) return;
    dn_json_quote(text, size, at, n + 1);
    to->size += n;
}

void dn_utf8_add(dn_text *to, const char *text, size_t size) {
    if (dn_utf8_valid(text, size)) {
        dn_text_add(to, text, size);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        char part[4];
        dn_text_add(to, part, utf8_write((unsigned char)text[i], part));
    }
}

/* JSON (RFC 8259) from files that nobody vouches for. The text is read in place, value by value, without allocating;
 * nesting is bounded, and strings must be valid UTF-8.
 *
 *   dn_json_open(j, '{');
 *   while (dn_json_member(j, &key, &more) == DN_OK && more) dn_json_string(j, &value);
 *   dn_json_end(j);
 *
 * with DN_TRY around every call. Errors are DN_E_FORMAT and name the place. */
#ifndef DN_JSON_H
#define DN_JSON_H
#include "base/text.h"

enum { DN_JSON_DEEPEST = 16 };

typedef struct dn_json {
    const char *label; /* what the text is, for messages; borrowed */
    const char *text;  /* borrowed; needs no final zero */
    size_t size, at;
    int depth, fresh; /* fresh: nothing has been read since the last bracket was opened */
} dn_json;

/* A string within the text, without its quotes, as it is written there. */
typedef struct dn_json_text {
    const char *at;
    size_t size;
    int escaped; /* 1: with escapes */
} dn_json_text;

void dn_json_begin(dn_json *j, const char *label, const char *text, size_t size);
/* Expect an object ('{') or an array ('['). */
dn_status dn_json_open(dn_json *j, char bracket);
/* Is there another member, or the closing bracket? Reads the comma or the bracket. */
dn_status dn_json_more(dn_json *j, char closing, int *more);
dn_status dn_json_key(dn_json *j, dn_json_text *key); /* and the colon */
/* Of an object: is there another member? If so, its key is read too. */
dn_status dn_json_member(dn_json *j, dn_json_text *key, int *more);
dn_status dn_json_string(dn_json *j, dn_json_text *text);
/* A number without sign, fraction and exponent. */
dn_status dn_json_whole(dn_json *j, uint64_t *value);
/* Any number, exactly rounded; or null, which is NaN. */
dn_status dn_json_number(dn_json *j, double *value);
/* Add a number with the fewest digits that read back exactly; null if it is not finite. */
void dn_json_add_number(dn_text *to, double value);
dn_status dn_json_skip(dn_json *j); /* a value of any kind */
/* Expect that only blanks are left. */
dn_status dn_json_end(dn_json *j);
dn_status dn_json_fail(const dn_json *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Write the string without escapes, as UTF-8, to `to`, which has room for text->size bytes; returns how many. No
 * terminating zero. */
size_t dn_json_decode(const dn_json_text *text, char *to);
int dn_json_is(const dn_json_text *text, const char *word); /* `word`: of characters that need no escape */

/* Write a text as a JSON string with its quotes, safe on terminals: control characters as escapes, invalid UTF-8 as the
 * replacement character. At most `room` bytes including a final zero; returns the full length. */
size_t dn_json_quote(const char *text, size_t size, char *to, size_t room);
void dn_json_add(dn_text *to, const char *text, size_t size);
/* Add text as UTF-8: what is not UTF-8 counts as Latin-1. */
void dn_utf8_add(dn_text *to, const char *text, size_t size);
/* Is it UTF-8? */
int dn_utf8_valid(const char *text, size_t size);
#endif

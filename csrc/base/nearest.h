/* "Did you mean": the known word that is most similar to an unknown one. */
#ifndef DN_NEAREST_H
#define DN_NEAREST_H
#include <stddef.h>

typedef struct dn_nearest {
    const char *word;
    size_t size;
    const char *found; /* the most similar word tried so far; NULL: none is similar */
    size_t found_size;
    int distance;
} dn_nearest;

/* `word` has `size` characters and need not be zero-terminated. */
void dn_nearest_begin(dn_nearest *nearest, const char *word, size_t size);
/* Words are similar when at most two edits turn one into the other (at most half the letters of the shorter one); case
 * does not matter. Of two equally similar words the first one is kept. */
void dn_nearest_try(dn_nearest *nearest, const char *known, size_t size);
#endif

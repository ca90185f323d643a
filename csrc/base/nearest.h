/* "Did you mean": the known word that is most like one that is not known. */
#ifndef DN_NEAREST_H
#define DN_NEAREST_H
#include <stddef.h>

typedef struct dn_nearest {
    const char *word;
    size_t size;
    const char *found; /* of the words tried the most similar one; NULL: none is similar */
    size_t found_size;
    int distance;
} dn_nearest;

/* `word` has `size` characters and need not end there. */
void dn_nearest_begin(dn_nearest *nearest, const char *word, size_t size);
/* Similar are words that at most two letters turn into each other (less than half of the shorter one); upper and lower
 * case do not count. Of two that are equally similar the first one stays. */
void dn_nearest_try(dn_nearest *nearest, const char *known, size_t size);
#endif

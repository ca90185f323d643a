#include "base/nearest.h"

enum { LONGEST_WORD = 63, FAR = 3 };

static char nearest_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

/* Edit distance: the least number of letters to insert, remove or replace (V. Levenshtein, Binary codes capable of
 * correcting deletions, insertions, and reversals, 1966), computed row by row over the table of all prefixes. */
static int nearest_distance(const char *a, size_t n, const char *b, size_t m) {
    int row[LONGEST_WORD + 1];
    for (size_t j = 0; j <= m; j++) row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = diagonal + (nearest_lower(a[i - 1]) != nearest_lower(b[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

void dn_nearest_begin(dn_nearest *nearest, const char *word, size_t size) {
    *nearest = (dn_nearest){.word = word, .size = size, .distance = FAR};
}

void dn_nearest_try(dn_nearest *nearest, const char *known, size_t size) {
    size_t shorter = size < nearest->size ? size : nearest->size, longer = size < nearest->size ? nearest->size : size;
    if (longer > LONGEST_WORD || longer - shorter >= FAR) return;
    int distance = nearest_distance(nearest->word, nearest->size, known, size);
    if (distance >= nearest->distance || (size_t)(2 * distance) > shorter) return;
    nearest->found = known, nearest->found_size = size, nearest->distance = distance;
}

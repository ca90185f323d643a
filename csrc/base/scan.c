#include "base/scan.h"
#include <float.h>
#include <stdint.h>
#include <string.h>

/* Written with vectors, as a loop over values is only made into them at levels that most files are not compiled with.
 */
enum { LANES = 4 };
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t truths __attribute__((vector_size(4 * LANES)));

static truths within(const void *values, float low, float high) {
    vec v;
    memcpy(&v, values, sizeof v);
    return (v >= low) & (v <= high);
}

int dn_all_within(const void *values, size_t n, float low, float high) {
    const char *from = values;
    truths all = {-1, -1, -1, -1};
    for (; n >= 2 * LANES; n -= 2 * LANES, from += 2 * sizeof all)
        all &= within(from, low, high) & within(from + sizeof all, low, high);
    int good = all[0] & all[1] & all[2] & all[3];
    for (float v; n; n--, from += sizeof v) {
        memcpy(&v, from, sizeof v);
        good &= -(v >= low && v <= high);
    }
    return good;
}

int dn_all_finite(const void *values, size_t n) { return dn_all_within(values, n, -FLT_MAX, FLT_MAX); }

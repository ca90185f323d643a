/* Looking over many numbers at once. */
#ifndef DN_SCAN_H
#define DN_SCAN_H
#include <stddef.h>

/* Are these n float32, aligned or not, all finite? */
int dn_all_finite(const void *values, size_t n);
/* Are they all from low to high? A NaN is not. */
int dn_all_within(const void *values, size_t n, float low, float high);
#endif

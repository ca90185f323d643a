/* Decimal numbers from text, the same in every locale. */
#ifndef DN_NUMBER_H
#define DN_NUMBER_H
#include <stddef.h>
/* Parse a decimal number at `text` (which ends in a zero byte somewhere behind it). Returns the first byte not used, or
 * NULL when there is no finite number: no hex, no inf, no nan. */
const char *dn_number_parse(const char *text, double *value);
#endif

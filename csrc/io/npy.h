/* Arrays of NumPy's .npy format, versions 1 to 3 (numpy.lib.format), as tables without a header. */
#ifndef DN_NPY_H
#define DN_NPY_H
#include "base/sys.h"

/* Is `path` a regular file that begins as they do? */
int dn_npy_is(const char *path);
/* As dn_csv_load: (rows, ...) whose further dimensions are the columns, one after another; float32, float64, bool and
 * integers of 8 to 64 bits. float32 that needs no change stays in the file, mapped into memory: pages are read when
 * they are needed. DN_E_FORMAT: another type or shape, a file that is cut, a value that is not finite. */
dn_status dn_npy_load(dn_table *table, const char *path, const dn_csv_options *options);
#endif

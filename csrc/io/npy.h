/* Arrays of NumPy's .npy format, versions 1 to 3 (numpy.lib.format), as tables without a header. */
#ifndef DN_NPY_H
#define DN_NPY_H
#include "base/sys.h"

/* Is the open file, of a path other than "-", a regular one that begins as they do? It is read from its beginning
 * afterwards. */
dn_status dn_npy_is(int fd, const char *path, int *is);
/* As dn_csv_load of an open file: (rows, ...) whose further dimensions are the columns, one after another; float32,
 * float64, bool and integers of 8 to 64 bits. float32 that needs no change stays in the file, mapped into memory: pages
 * are read when they are needed. DN_E_FORMAT: another type or shape, a file that is cut, a value that is not finite. */
dn_status dn_npy_load(dn_table *table, int fd, const char *path, const dn_csv_options *options);

/* The same in pieces, read into memory; `about` gets what all of them have in common. In Fortran order all rows are one
 * piece. The file and its path stay the caller's. */
typedef struct npy_file npy_file;
dn_status dn_npy_open(npy_file **file, int fd, const char *path, const dn_csv_options *options, dn_table *about);
/* Up to so many further rows, into a table that has the columns already; rows 0: the end. */
dn_status dn_npy_next(npy_file *file, size_t rows, dn_table *piece);
void dn_npy_close(npy_file *file); /* NULL: nothing */
#endif

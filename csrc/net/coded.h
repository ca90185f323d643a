/* The coded columns of a table, as [columns] lists them. A row of x has one number for each, NaN where it is missing:
 * the number itself, 0 or 1, or the code of a category. [columns] expands a row: numbers first (0 where missing), then,
 * with flags, 1 for each number that is missing, then yes or no as -1 or 1, then every category with one value for each
 * class; what is missing is 0. */
#ifndef DN_CODED_H
#define DN_CODED_H
#include "io/cfg.h"
#include "net/layer.h"

typedef struct dn_coded {
    int n;
    char **names;         /* (n), UTF-8; NULL: they have none */
    int *classes;         /* (n); DN_CLASSES_NUMBER, DN_CLASSES_YES_NO, or the number of classes, 2 or more */
    int *at;              /* (n): its first value in the expanded row */
    char *given;          /* (n): 1: a [condition] gives it, so no loss models it */
    int n_given;          /* how many are */
    int flags;            /* of missing numbers */
    int numbers, outputs; /* columns that are numbers; values of an expanded row */
} dn_coded;
enum { DN_CLASSES_NUMBER = 0, DN_CLASSES_YES_NO = 1 };

/* From names=, kinds= and missing=, all but `given`; to be freed, also after an error. */
dn_status dn_coded_parse(dn_coded *columns, dn_section *section, int flags);
void dn_coded_free(dn_coded *columns);
/* The number of columns that the section lists, as far as it can be told before it is parsed. */
int dn_coded_count(dn_section *section);
/* The column of that name, or, for columns without names or where no name is like that, of that number from 0 on. */
dn_status dn_coded_find(const dn_coded *columns, const dn_section *section, const char *key, const char *name,
                        int *index);
/* Values of the expanded row that a column takes, besides its flag. */
static inline int dn_coded_width(const dn_coded *columns, int i) {
    return columns->classes[i] > DN_CLASSES_YES_NO ? columns->classes[i] : 1;
}
/* Of every value of the expanded row: which column it is made of, and how (dn_expanded); both (outputs). */
void dn_coded_expansion(const dn_coded *columns, int *column, int *as);
/* Rows x (rows, n): copies the columns of conditions to `out`, which is of the same shape. */
void dn_coded_give(const dn_coded *columns, const float *x, size_t rows, float *out);
/* The first value of x (rows, n) that its column cannot have. `given`: looks at columns of conditions alone. */
int dn_coded_fault(const dn_coded *columns, const float *x, size_t rows, int given, dn_truth_fault *fault);
#endif

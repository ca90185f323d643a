/* Which rows and truths are invalid: checked in one fast pass before computing with them. */
#ifndef DN_CHECK_H
#define DN_CHECK_H
#include "net/network.h"

/* Part of a caller's array, for messages: `name` is what the caller calls it, `first` the number of its first row. */
typedef struct dn_part_of {
    const char *name;
    const float *values; /* (rows, columns) */
    size_t rows, columns, first;
} dn_part_of;

/* DN_E_USAGE, with row, column and value, when something is not a finite number. */
dn_status dn_check_finite(dn_pool *pool, const dn_part_of *part);
/* The same for rows that a network reads: of [columns], values that their columns can have, or NaN. */
dn_status dn_check_input(const dn_net *net, const dn_part_of *part);
/* Rows whose columns of conditions are read, and no others. */
dn_status dn_check_condition(const dn_net *net, const dn_part_of *part);
/* The same for values that are drawn as bits, from 0 to 1. */
dn_status dn_check_probabilities(const dn_net *net, const dn_part_of *part);
/* The same for a truth of the network, and also when a loss does not accept it. For softmaxes, `sums` requires that
 * every distribution adds up to about 1; without it the values are weights. */
dn_status dn_check_truth(const dn_net *net, const dn_part_of *part, int sums);
/* The same for weights of rows, which are 0 or more; and when the network has a loss that takes none. */
dn_status dn_check_weights(const dn_net *net, const dn_part_of *part);
/* DN_E_USAGE when passes over `rows` rows give some batch normalisation one value per channel, so that it cannot
 * train. */
dn_status dn_check_norms(const dn_net *net, size_t rows);
/* For layers' truth_fault: the first of n values that is not in 0 .. 1 (up to rounding), and what the loss requires. */
int dn_fault_beyond_one(const float *values, size_t n, dn_truth_fault *fault);
/* The largest magnitude in (rows, columns), and the column it is in. */
float dn_reach(const float *values, size_t rows, size_t columns, size_t *column);
#endif

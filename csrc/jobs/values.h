/* What every value of the truth contributes to the loss of its row. */
#ifndef DN_VALUES_H
#define DN_VALUES_H
#include "net/network.h"

/* Room for a pass. */
typedef struct dn_values {
    float *x, *truth, *loss; /* on the host: (rows, the most inputs of a loss), (rows, truths), (rows, truths) */
} dn_values;

/* For passes of up to `rows` rows. DN_E_USAGE for networks with a loss that is not known by value. */
dn_status dn_values_create(dn_values *values, const dn_net *net, size_t rows);
/* After a pass through all layers of `plan`, which had `run`: add to `sums` (rows, truths) of its table's rows, whose
 * truth (rows, truths) is on the host. `draws`: the pass has so many rows for each, and their mean is added. */
void dn_values_add(dn_values *values, const dn_plan *plan, const dn_run *run, const float *truth, size_t draws,
                   double part, float *sums); /* part: what they count */
void dn_values_free(dn_values *values);
#endif

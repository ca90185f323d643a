/* How a number changes from batch to batch: a pure function of the batch number. The learning rate is one such number;
 * any other number of a training (the weight of a term, a temperature) can be too. */
#ifndef DN_SCHEDULE_H
#define DN_SCHEDULE_H
#include "net/key.h"
#include "net/train_state.h"

typedef enum dn_policy {
    DN_POLICY_CONSTANT,
    DN_POLICY_STEP,
    DN_POLICY_EXP,
    DN_POLICY_POLY,
    DN_POLICY_STEPS,
    DN_POLICY_SIGMOID,
    DN_POLICY_RANDOM,
    DN_POLICY_COSINE,
    DN_POLICY_PLATEAU
} dn_policy;

typedef struct dn_schedule {
    dn_policy policy;
    double value; /* the number that the policy multiplies */
    double power, scale, gamma, final_fraction;
    double factor, least, threshold; /* of plateau */
    int64_t step, burn_in, max_batches, patience;
    int n_steps, n_scales, *steps;
    float *scales;
} dn_schedule;

extern const char *const dn_policy_names[]; /* in the order of dn_policy; ends with NULL */

/* Call it after the keys of a section have been read. `keys` is their table, and `at` is the schedule's offset in what
 * they are read into, so that messages can name the keys. A number without a key keeps its value; without a key for
 * `policy` there is none for `steps` and `scales`. */
dn_status dn_schedule_check(dn_section *section, const dn_key *keys, size_t at, const dn_schedule *schedule);
void dn_schedule_free(dn_schedule *schedule);
/* The value in batch number `batch` (the first update's is 1): 0 to the largest float. `value` is the schedule's own,
 * or what a user gave instead. */
double dn_schedule_at(const dn_schedule *schedule, double value, uint64_t batch, uint64_t seed);
/* policy=plateau: to be called after every epoch with the loss that counts, as torch's ReduceLROnPlateau. When it has
 * not been below (1 - threshold) times the lowest so far for more than `patience` epochs in a row, there is a further
 * reduction. Epochs of a warm-up are not counted. */
void dn_schedule_observe(const dn_schedule *schedule, dn_plateau *plateau, double loss, int warming);
/* `value` times the factor of every reduction, but not below min_rate; with other policies the value itself. */
double dn_schedule_reduced(const dn_schedule *schedule, const dn_plateau *plateau, double value);
/* Is the schedule still warming up in this batch (burn_in)? */
int dn_schedule_warms_up(const dn_schedule *schedule, uint64_t batch);
/* Do values depend on max_batches? */
int dn_schedule_needs_end(const dn_schedule *schedule);
/* The first batch number from which on the value stays 0; UINT64_MAX: none. */
uint64_t dn_schedule_end(const dn_schedule *schedule);
#endif

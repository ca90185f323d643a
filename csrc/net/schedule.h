/* Learning-rate policies: pure functions of the batch number. */
#ifndef DN_SCHEDULE_H
#define DN_SCHEDULE_H
#include "io/cfg.h"

typedef enum dn_policy {
    DN_POLICY_CONSTANT, DN_POLICY_STEP, DN_POLICY_EXP, DN_POLICY_POLY, DN_POLICY_STEPS, DN_POLICY_SIGMOID, DN_POLICY_RANDOM
} dn_policy;

typedef struct dn_schedule {
    dn_policy policy;
    double learning_rate, power, scale, gamma;
    int64_t step, burn_in, max_batches;
    int n_steps, *steps;
    float *scales;
} dn_schedule;

dn_status dn_schedule_parse(dn_section *net, dn_schedule *out);
void dn_schedule_free(dn_schedule *schedule);
/* Of batch number `batch`, 1 is the first update's: 0 to the largest float. */
double dn_schedule_rate(const dn_schedule *schedule, uint64_t batch, uint64_t seed);
/* The first batch number of those whose rate is 0 for ever; UINT64_MAX: there is none. */
uint64_t dn_schedule_end(const dn_schedule *schedule);
#endif

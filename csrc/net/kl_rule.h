/* What a latent term adds to the objective, as a function of its KL and of how far the training has come. */
#ifndef DN_KL_RULE_H
#define DN_KL_RULE_H
#include "net/key.h"
#include "net/train_state.h"

typedef struct dn_kl_rule {
    dn_span warmup;    /* beta rises over it; count 0: at once */
    int cycles;        /* of beta, over the whole training; 0: none */
    double rise_ratio; /* the part of a cycle in which beta rises */
} dn_kl_rule;

/* Whether the keys of a section agree with each other. */
dn_status dn_kl_rule_check(dn_section *section, const dn_kl_rule *rule);
/* The number of batches in a span: that of a training whose epochs have so many; 0 if that is not known. */
double dn_span_batches(const dn_span *span, const dn_train_state *state);
/* beta in batch number `batch` (the first is 1), at most `target`. */
double dn_kl_rule_beta(const dn_kl_rule *rule, double target, const dn_train_state *state, uint64_t batch);
/* Does anything of it change from batch to batch? */
int dn_kl_rule_moves(const dn_kl_rule *rule);
#endif

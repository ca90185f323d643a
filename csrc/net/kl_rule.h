/* What a latent term adds to the objective, as a function of its KL and of how far the training has come. */
#ifndef DN_KL_RULE_H
#define DN_KL_RULE_H
#include "backend/backend.h"
#include "net/key.h"
#include "net/train_state.h"

typedef struct dn_kl_rule {
    dn_span warmup;                              /* beta rises over it; count 0: at once */
    int cycles;                                  /* of beta, over the whole training; 0: none */
    double rise_ratio;                           /* the part of a cycle in which beta rises */
    double free_bits, free_bits_total, capacity; /* what of these is given decides on the form */
    dn_kl_form form;
    double limit;       /* of that form: */
    dn_span limit_rise; /* it rises from 0 over this */
} dn_kl_rule;

/* To be called after the keys have been read: whether they agree with each other, and which form they mean. */
dn_status dn_kl_rule_settle(dn_section *section, dn_kl_rule *rule);
/* The keys of such a rule, read into a state. */
#define DN_KL_RULE_KEYS(state, rule)                                                                                  \
    {"beta_warmup", DN_KEY_SPAN, DN_AT(state, rule.warmup), .help = "how long beta rises from 0, linearly (new)",     \
     .shown_fallback = "none"},                                                                                       \
        {"beta_cycles", DN_KEY_INT, DN_AT(state, rule.cycles), .high = 1 << 20,                                       \
         .help = "so many times in a training, beta rises from 0 and stays; needs epochs or max_batches (new)"},      \
        {"beta_cycle_ratio", DN_KEY_FLOAT,           DN_AT(state, rule.rise_ratio),                                   \
         .fallback = 0.5,    .range = DN_ABOVE_ZERO, .help = "part of a cycle in which beta rises, at most 1 (new)"}, \
        {"free_bits", DN_KEY_FLOAT, DN_AT(state, rule.free_bits), .range = DN_NOT_NEGATIVE,                           \
         .help = "nats per latent value, of its mean over the batch, that cost no more than none (new)"},             \
        {"free_bits_total", DN_KEY_FLOAT, DN_AT(state, rule.free_bits_total), .range = DN_NOT_NEGATIVE,               \
         .help = "the same of the whole latent loss of a row (new)"},                                                 \
        {"capacity",                                                                                                  \
         DN_KEY_FLOAT,                                                                                                \
         DN_AT(state, rule.capacity),                                                                                 \
         .range = DN_NOT_NEGATIVE,                                                                                    \
         .shown_fallback = "none",                                                                                    \
         .help = "nats per row, the distance from which training minimises (new)"},                                   \
        {"capacity_batches", DN_KEY_SPAN, DN_AT(state, rule.limit_rise), .shown_fallback = "none",                    \
         .help = "how long capacity rises from 0, linearly (new)"}
/* The number of batches in a span: that of a training whose epochs have so many; 0 if that is not known. */
double dn_span_batches(const dn_span *span, const dn_train_state *state);
/* beta in batch number `batch` (the first is 1), at most `target`. */
double dn_kl_rule_beta(const dn_kl_rule *rule, double target, const dn_train_state *state, uint64_t batch);
/* The limit of its form likewise; batch 0: the one that training aims for. */
double dn_kl_rule_limit(const dn_kl_rule *rule, const dn_train_state *state, uint64_t batch);
/* Does beta change from batch to batch? */
int dn_kl_rule_moves(const dn_kl_rule *rule);
#endif

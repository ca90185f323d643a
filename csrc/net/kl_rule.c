/* beta = target times
 *   min(1, n / W)              a warm-up of W batches, n the batch number (Bowman et al., arXiv:1511.06349)
 *   min(1, tau / R)            M cycles in T batches: tau = ((n - 1) mod ceil(T / M)) / (T / M), R the part that rises
 *                              (Fu et al., arXiv:1903.10145, equations 6 and 7); beyond T it is 1
 *
 * and what it weighs is, summed over latent values j or for each row r,
 *   sum_j max(limit, mean over the batch of KL_j)    free_bits (Kingma et al., arXiv:1606.04934, equation 15)
 *   max(limit, KL_r)                                 free_bits_total
 *   |KL_r - limit|                                   capacity (Burgess et al., arXiv:1804.03599, equation 8, but for
 *                                                    each row, so that it does not depend on the batch) */
#include "net/kl_rule.h"
#include <math.h>

static dn_status kl_rule_form(dn_section *s, dn_kl_rule *r) {
    int capacity = dn_cfg_has(s, "capacity"), free = r->free_bits > 0, total = r->free_bits_total > 0;
    const char *first = free ? "free_bits" : "free_bits_total", *second = capacity ? "capacity" : "free_bits_total";
    if (capacity + free + total > 1)
        return dn_cfg_error(s, second, "%s= and %s= contradict each other: leave one out", first, second);
    if (!capacity && dn_cfg_has(s, "capacity_batches"))
        return dn_cfg_error(s, "capacity_batches", "capacity_batches= says how long capacity= rises: give that too");
    r->form = capacity ? DN_KL_CAPACITY : free ? DN_KL_FREE_COLUMNS : total ? DN_KL_FREE_ROWS : DN_KL_PLAIN;
    r->limit = r->free_bits + r->free_bits_total + r->capacity;
    return DN_OK;
}

dn_status dn_kl_rule_settle(dn_section *s, dn_kl_rule *r) {
    if (r->cycles && r->warmup.count > 0)
        return dn_cfg_error(s, "beta_warmup", "beta_warmup= and beta_cycles= contradict each other: leave one out");
    if (!r->cycles && dn_cfg_has(s, "beta_cycle_ratio"))
        return dn_cfg_error(s, "beta_cycle_ratio", "beta_cycle_ratio= is a part of a cycle: give beta_cycles= too");
    if (r->rise_ratio > 1)
        return dn_cfg_error(s, "beta_cycle_ratio", "beta_cycle_ratio=%g is above 1: it is a part of a cycle",
                            r->rise_ratio);
    return kl_rule_form(s, r);
}

double dn_span_batches(const dn_span *span, const dn_train_state *state) {
    return span->count * (span->epochs ? (double)state->epoch_batches : 1);
}

static double rise(const dn_span *span, const dn_train_state *state, uint64_t batch) {
    double whole = dn_span_batches(span, state);
    return (double)batch < whole ? (double)batch / whole : 1;
}

static double cycle(const dn_kl_rule *r, const dn_train_state *state, uint64_t batch) {
    double all = (double)state->cycle_batches, one = all / r->cycles,
           at = (double)batch - (double)state->cycle_from - 1;
    if (at < 0 || at >= all) return 1;
    double tau = fmod(at, ceil(one)) / one;
    return tau < r->rise_ratio ? tau / r->rise_ratio : 1;
}

double dn_kl_rule_beta(const dn_kl_rule *r, double target, const dn_train_state *state, uint64_t batch) {
    return target * (r->cycles ? cycle(r, state, batch) : rise(&r->warmup, state, batch));
}

double dn_kl_rule_limit(const dn_kl_rule *r, const dn_train_state *state, uint64_t batch) {
    return r->limit * (batch ? rise(&r->limit_rise, state, batch) : 1);
}

int dn_kl_rule_moves(const dn_kl_rule *r) { return r->cycles > 0 || r->warmup.count > 0; }

/* The best epoch by the loss of held-out rows. The best is the lowest loss, whatever the patience waits for: min_delta
 * decides when to stop, not what to keep. */
#include "jobs/keep.h"
#include <math.h>

static dn_status keep_check(const dn_train_options *o, int held_out) {
    DN_CHECK(o->patience >= 0, DN_E_USAGE, "patience=%d is below 0", o->patience);
    DN_CHECK(o->min_delta >= 0 && isfinite(o->min_delta), DN_E_USAGE, "min_delta=%g is not a number from 0 on",
             o->min_delta);
    DN_CHECK(o->keep >= DN_KEEP_DEFAULT && o->keep <= DN_KEEP_BEST, DN_E_USAGE, "keep=%d: no such rule", (int)o->keep);
    DN_CHECK(!o->min_delta || o->patience, DN_E_USAGE,
             "min_delta says what patience counts as an improvement: give patience too");
    DN_CHECK(held_out || !o->patience, DN_E_USAGE,
             "patience goes by the loss of held-out rows: give some (-valid or -holdout)");
    DN_CHECK(held_out || o->keep != DN_KEEP_BEST, DN_E_USAGE,
             "keep=best goes by the loss of held-out rows: give some (-valid or -holdout)");
    return DN_OK;
}

dn_status dn_keep_create(dn_keep *k, dn_net *net, const dn_train_options *o, int held_out) {
    *k = (dn_keep){.patience = o->patience, .min_delta = o->min_delta, .lowest = INFINITY, .bar = INFINITY};
    DN_TRY(keep_check(o, held_out));
    k->best = o->keep == DN_KEEP_BEST || (o->keep == DN_KEEP_DEFAULT && o->patience);
    return k->best ? dn_snapshot_create(&k->snapshot, net) : DN_OK;
}

void dn_keep_free(dn_keep *k, const dn_net *net) { dn_snapshot_free(&k->snapshot, net); }

/* Not so after a resume that keeps the best, of a training that did not: its best epoch is lost. */
static int keep_has_best(const dn_keep *k) { return k->best && k->epoch && k->snapshot.taken; }

int dn_keep_judge(dn_keep *k, const dn_net *net, int epoch, double loss, int warming) {
    if (k->best && !keep_has_best(k)) k->lowest = INFINITY, k->epoch = 0;
    if (isfinite(loss) && loss < k->lowest) {
        k->lowest = loss, k->epoch = epoch;
        if (k->best) dn_snapshot_take(&k->snapshot, net);
    }
    int improved = isfinite(loss) && loss < k->bar - k->min_delta;
    if (improved) k->bar = loss;
    k->waited = improved || warming ? 0 : k->waited + 1;
    return k->patience && k->waited >= k->patience;
}

int dn_keep_epoch(const dn_keep *k, int last) { return keep_has_best(k) ? k->epoch : last; }

void dn_keep_restore(const dn_keep *k, dn_net *net) {
    if (keep_has_best(k)) dn_snapshot_restore(&k->snapshot, net);
}

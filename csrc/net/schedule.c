/* v = the schedule's value, n = batch number; the first update is number 1.
 *   n < burn_in  v (n / burn_in)^power, whatever the policy
 *   constant     v
 *   step         v scale^floor(n / step)
 *   steps        v times scales[i] for every steps[i] <= n
 *   exp          v gamma^n
 *   poly         v (1 - n / max_batches)^power, beyond max_batches 0
 *   sigmoid      v / (1 + exp(gamma (n - step))), n - step signed
 *   random       v U(0, 1)^power
 *   cosine       v (f + (1 - f) (1 + cos(pi p)) / 2), p = min(1, (n - b) / (max_batches + 1 - b)), f = final_fraction,
 *                b = max(1, burn_in): half a wave from v in batch b to f v right after max_batches (Loshchilov and
 *                Hutter, SGDR, arXiv:1608.03983, equation 5, without restarts)
 *   plateau      v, which dn_schedule_reduced has reduced
 * The result is never below 0 and never exceeds float32: settings that would make it so are errors of the cfg, and
 * unbounded growth (gamma or scale above 1) stops at the largest float. */
#include "net/schedule.h"
#include "base/rng.h"
#include "base/sys.h"
#include <float.h>
#include <math.h>
#include <string.h>

const char *const dn_policy_names[] = {"constant", "step",   "exp",    "poly",    "steps",
                                       "sigmoid",  "random", "cosine", "plateau", NULL};

/* ---- from the cfg ---- */

/* The name of the key that is read into this field of the schedule. */
#define KEY_OF(field) schedule_key(keys, at + offsetof(dn_schedule, field))
static const char *schedule_key(const dn_key *keys, size_t offset) {
    while (keys->name && (keys->offset != offset || keys->in_layer)) keys++;
    return keys->name;
}

/* Factors and powers must not be below 0 where the policy uses them: the result would change its sign or be
 * unbounded. */
static dn_status schedule_signs(dn_section *s, const dn_key *keys, size_t at, const dn_schedule *o) {
    int power = o->burn_in > 0 || o->policy == DN_POLICY_POLY || o->policy == DN_POLICY_RANDOM;
    const struct {
        const char *key;
        double value;
        int used;
    } parts[] = {{KEY_OF(power), o->power, power},
                 {KEY_OF(scale), o->scale, o->policy == DN_POLICY_STEP},
                 {KEY_OF(gamma), o->gamma, o->policy == DN_POLICY_EXP}};
    for (int i = 0; i < 3; i++)
        if (parts[i].used && parts[i].value < 0)
            return dn_cfg_error(s, parts[i].key, "%s=%g is below 0", parts[i].key, parts[i].value);
    return DN_OK;
}

static dn_status schedule_steps(dn_section *s, const dn_key *keys, size_t at, const dn_schedule *o) {
    if (o->policy != DN_POLICY_STEPS) return DN_OK;
    const char *steps = KEY_OF(steps), *scales = KEY_OF(scales);
    if (!o->n_steps || o->n_steps != o->n_scales)
        return dn_cfg_error(s, steps, "%s=steps needs %s= and %s= of one length, got %d and %d", KEY_OF(policy), steps,
                            scales, o->n_steps, o->n_scales);
    const char *all_steps = dn_cfg_string(s, steps, ""), *all_scales = dn_cfg_string(s, scales, "");
    for (int i = 0; i < o->n_scales; i++) {
        if (o->scales[i] < 0)
            return dn_cfg_error(s, scales, "%s=%s: %g is below 0", scales, all_scales, (double)o->scales[i]);
        if (!isfinite(o->scales[i]))
            return dn_cfg_error(s, scales, "%s=%s: number %d is beyond float32", scales, all_scales, i + 1);
        if (i && o->steps[i] < o->steps[i - 1])
            return dn_cfg_error(s, steps, "%s=%s do not ascend: %d comes after %d", steps, all_steps, o->steps[i],
                                o->steps[i - 1]);
    }
    return DN_OK;
}

/* Policies that go on until max_batches need one. */
static dn_status schedule_length(dn_section *s, const dn_key *keys, size_t at, const dn_schedule *o) {
    const char *policy = KEY_OF(policy), *max = KEY_OF(max_batches);
    if (o->policy != DN_POLICY_POLY && o->policy != DN_POLICY_COSINE) return DN_OK;
    if (!o->max_batches) return dn_cfg_error(s, policy, "%s=%s needs %s=", policy, dn_policy_names[o->policy], max);
    if (o->policy == DN_POLICY_COSINE && o->burn_in > o->max_batches)
        return dn_cfg_error(s, KEY_OF(burn_in), "%s=%lld leaves nothing of %s=%lld for %s=cosine", KEY_OF(burn_in),
                            (long long)o->burn_in, max, (long long)o->max_batches, policy);
    return DN_OK;
}

dn_status dn_schedule_check(dn_section *s, const dn_key *keys, size_t at, const dn_schedule *o) {
    const char *value = KEY_OF(value);
    if (o->value > FLT_MAX) return dn_cfg_error(s, value, "%s=%g is beyond float32", value, o->value);
    DN_TRY(schedule_signs(s, keys, at, o));
    DN_TRY(schedule_steps(s, keys, at, o));
    if (o->policy == DN_POLICY_PLATEAU && !KEY_OF(factor))
        return dn_cfg_error(s, KEY_OF(policy), "%s=plateau is for learning rates", KEY_OF(policy));
    return schedule_length(s, keys, at, o);
}

void dn_schedule_free(dn_schedule *o) {
    dn_free(o->steps);
    dn_free(o->scales);
    o->steps = NULL, o->scales = NULL;
}

/* ---- after an epoch ---- */

void dn_schedule_observe(const dn_schedule *o, dn_plateau *p, double loss, int warming) {
    int better = isfinite(loss) && (!p->epochs || loss < p->lowest - o->threshold * fabs(p->lowest));
    if (better) p->lowest = loss;
    if (isfinite(loss)) p->epochs++;
    p->waited = better || warming ? 0 : p->waited + 1;
    if (p->waited <= (uint64_t)o->patience) return;
    p->waited = 0, p->reductions++;
}

double dn_schedule_reduced(const dn_schedule *o, const dn_plateau *p, double value) {
    if (o->policy != DN_POLICY_PLATEAU) return value;
    return fmax(value * pow(o->factor, (double)p->reductions), fmin(value, o->least));
}

/* ---- for a batch ---- */

int dn_schedule_warms_up(const dn_schedule *o, uint64_t batch) { return (double)batch < (double)o->burn_in; }

static double schedule_cosine(const dn_schedule *o, double n) {
    const double pi = 3.14159265358979323846;
    double first = o->burn_in > 1 ? (double)o->burn_in : 1, last = (double)o->max_batches + 1;
    double p = n < first ? 0 : n < last ? (n - first) / (last - first) : 1;
    return o->final_fraction + (1 - o->final_fraction) * (1 + cos(pi * p)) / 2;
}

static double schedule_unbounded(const dn_schedule *o, double v, uint64_t batch, uint64_t seed) {
    double n = (double)batch;
    if (batch >= dn_schedule_end(o)) return 0;
    if (dn_schedule_warms_up(o, batch)) return v * pow(n / (double)o->burn_in, o->power);
    switch (o->policy) {
    case DN_POLICY_CONSTANT: return v;
    case DN_POLICY_STEP: return v * pow(o->scale, (double)(batch / (uint64_t)o->step));
    case DN_POLICY_EXP: return v * pow(o->gamma, n);
    case DN_POLICY_POLY: return v * pow(1 - n / (double)o->max_batches, o->power);
    case DN_POLICY_SIGMOID: return v / (1 + exp(o->gamma * (n - (double)o->step)));
    case DN_POLICY_RANDOM: return v * pow((double)dn_uniform_at(seed, DN_STREAM_RATE, batch, 0), o->power);
    case DN_POLICY_PLATEAU: return v;
    case DN_POLICY_COSINE: return v * schedule_cosine(o, n);
    case DN_POLICY_STEPS:
        for (int i = 0; i < o->n_steps && (double)o->steps[i] <= n; i++) v *= (double)o->scales[i];
        return v;
    }
    return v;
}

double dn_schedule_at(const dn_schedule *o, double value, uint64_t batch, uint64_t seed) {
    double v = schedule_unbounded(o, value, batch, seed);
    return v > 0 ? fmin(v, FLT_MAX) : 0; /* also 0 for 0 times infinity */
}

int dn_schedule_needs_end(const dn_schedule *o) { return o->policy == DN_POLICY_POLY || o->policy == DN_POLICY_COSINE; }

uint64_t dn_schedule_end(const dn_schedule *o) {
    if (o->policy == DN_POLICY_COSINE && o->final_fraction == 0) return (uint64_t)o->max_batches + 1;
    if (o->policy != DN_POLICY_POLY) return UINT64_MAX;
    return (uint64_t)o->max_batches + (o->power == 0); /* 0^0 = 1: the last batch still has the value */
}

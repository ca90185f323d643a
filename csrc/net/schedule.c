/* n = batch number; the first update is number 1.
 *   n < burn_in  lr (n / burn_in)^power, whatever the policy
 *   constant     lr
 *   step         lr scale^floor(n / step)
 *   steps        lr times scales[i] for every steps[i] <= n
 *   exp          lr gamma^n
 *   poly         lr (1 - n / max_batches)^power, beyond max_batches 0
 *   sigmoid      lr / (1 + exp(gamma (n - step))), n - step signed
 *   random       lr U(0, 1)^power
 * Rates are never below 0 and never beyond float32: what would make them so is an error of the cfg, and growth without
 * end (gamma or scale above 1) stops at the largest float. */
#include "net/schedule.h"
#include "base/rng.h"
#include "base/sys.h"
#include <float.h>
#include <math.h>
#include <string.h>

static const char *const policies[] = {"constant", "step",    "exp",    "poly",
                                       "steps",    "sigmoid", "random", NULL};

/* Factors and powers may not be below 0 where the policy uses them: the rate would change its sign or have no bound. */
static dn_status schedule_signs(dn_section *s, const dn_schedule *o) {
    int power = o->burn_in > 0 || o->policy == DN_POLICY_POLY || o->policy == DN_POLICY_RANDOM;
    const struct {
        const char *key;
        double value;
        int used;
    } parts[] = {{"power", o->power, power},
                 {"scale", o->scale, o->policy == DN_POLICY_STEP},
                 {"gamma", o->gamma, o->policy == DN_POLICY_EXP}};
    for (int i = 0; i < 3; i++)
        if (parts[i].used && parts[i].value < 0)
            return dn_cfg_error(s, parts[i].key, "%s=%g is below 0", parts[i].key, parts[i].value);
    return DN_OK;
}

static dn_status schedule_steps(dn_section *s, dn_schedule *o, int used) {
    int n_scales;
    DN_TRY(dn_cfg_ints(s, "steps", &o->steps, &o->n_steps));
    DN_TRY(dn_cfg_floats(s, "scales", &o->scales, &n_scales));
    if (!used) return DN_OK;
    if (!o->n_steps || o->n_steps != n_scales)
        return dn_cfg_error(s, "steps", "policy=steps needs steps= and scales= of one length, got %d and %d",
                            o->n_steps, n_scales);
    const char *steps = dn_cfg_string(s, "steps", ""), *scales = dn_cfg_string(s, "scales", "");
    for (int i = 0; i < n_scales; i++) {
        if (o->scales[i] < 0)
            return dn_cfg_error(s, "scales", "scales=%s: %g is below 0", scales, (double)o->scales[i]);
        if (!isfinite(o->scales[i]))
            return dn_cfg_error(s, "scales", "scales=%s: number %d is beyond float32", scales, i + 1);
        if (i && o->steps[i] < o->steps[i - 1])
            return dn_cfg_error(s, "steps", "steps=%s do not ascend: %d comes after %d", steps, o->steps[i],
                                o->steps[i - 1]);
    }
    return DN_OK;
}

dn_status dn_schedule_parse(dn_section *s, dn_schedule *o) {
    const char *name = dn_cfg_string(s, "policy", "constant");
    int policy = 0;
    while (policies[policy] && strcmp(name, policies[policy])) policy++;
    if (!policies[policy]) return dn_cfg_unknown(s, "policy", name, policies);
    o->policy = (dn_policy)policy;
    DN_TRY(dn_cfg_float(s, "learning_rate", 0.001, &o->learning_rate));
    if (o->learning_rate < 0) return dn_cfg_error(s, "learning_rate", "learning_rate=%g is below 0", o->learning_rate);
    if (o->learning_rate > FLT_MAX)
        return dn_cfg_error(s, "learning_rate", "learning_rate=%g is beyond float32", o->learning_rate);
    DN_TRY(dn_cfg_i64(s, "burn_in", 0, 0, INT64_MAX, &o->burn_in));
    DN_TRY(dn_cfg_float(s, "power", 4, &o->power));
    DN_TRY(dn_cfg_float(s, "scale", 1, &o->scale));
    DN_TRY(dn_cfg_float(s, "gamma", 1, &o->gamma));
    DN_TRY(schedule_signs(s, o));
    DN_TRY(dn_cfg_i64(s, "step", 1, 1, INT64_MAX, &o->step));
    DN_TRY(dn_cfg_i64(s, "max_batches", 0, 0, INT64_MAX, &o->max_batches));
    DN_TRY(schedule_steps(s, o, policy == DN_POLICY_STEPS));
    if (policy == DN_POLICY_POLY && !o->max_batches)
        return dn_cfg_error(s, "policy", "policy=poly needs max_batches=");
    return DN_OK;
}

void dn_schedule_free(dn_schedule *o) {
    dn_free(o->steps);
    dn_free(o->scales);
    o->steps = NULL, o->scales = NULL;
}

static double schedule_value(const dn_schedule *o, uint64_t batch, uint64_t seed) {
    double n = (double)batch, rate = o->learning_rate;
    if (batch >= dn_schedule_end(o)) return 0;
    if (n < (double)o->burn_in) return rate * pow(n / (double)o->burn_in, o->power);
    switch (o->policy) {
    case DN_POLICY_CONSTANT: return rate;
    case DN_POLICY_STEP: return rate * pow(o->scale, (double)(batch / (uint64_t)o->step));
    case DN_POLICY_EXP: return rate * pow(o->gamma, n);
    case DN_POLICY_POLY: return rate * pow(1 - n / (double)o->max_batches, o->power);
    case DN_POLICY_SIGMOID: return rate / (1 + exp(o->gamma * (n - (double)o->step)));
    case DN_POLICY_RANDOM: return rate * pow((double)dn_uniform_at(seed, DN_STREAM_RATE, batch, 0), o->power);
    case DN_POLICY_STEPS:
        for (int i = 0; i < o->n_steps && (double)o->steps[i] <= n; i++) rate *= (double)o->scales[i];
        return rate;
    }
    return rate;
}

double dn_schedule_rate(const dn_schedule *o, uint64_t batch, uint64_t seed) {
    double rate = schedule_value(o, batch, seed);
    return rate > 0 ? fmin(rate, FLT_MAX) : 0; /* 0 also for 0 times infinity */
}

uint64_t dn_schedule_end(const dn_schedule *o) {
    if (o->policy != DN_POLICY_POLY) return UINT64_MAX;
    return (uint64_t)o->max_batches + (o->power == 0); /* 0^0 = 1: the last batch still has the rate */
}

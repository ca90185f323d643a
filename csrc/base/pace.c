#include "base/pace.h"

enum { ENOUGH = 3 /* comparisons for a decision */ };

/* TO_ONE, TO_ALL: one thread is used when it is no slower, all are when they save 6 %; in between nothing changes.
 * COST: the share of the time that trials may take. LONGEST: seconds between two. LONG_STEP: seconds from which on all
 * threads are used untried: what passes between cores in a step is then a small part of it. */
static const double TO_ONE = 1, TO_ALL = 0.94, COST = 0.01, LONGEST = 1, LONG_STEP = 0.001;

static double pace_median(const double *values, int n) {
    double sorted[DN_PACE_RECENT > DN_PACE_TRIALS ? DN_PACE_RECENT : DN_PACE_TRIALS];
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && sorted[at - 1] > values[i]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
    }
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* The other way becomes the usual one, or the usual one goes on. Then the wait is such that trials cost their share:
 * counted as steps that take the median, because interruptions do not come from the trial, and a step more for moving
 * the data. */
static void pace_end_trial(dn_pace *p) {
    double ratio = pace_median(p->recent, DN_PACE_STEPS) / p->usual;
    if (p->n_trials == 2 * DN_PACE_TRIALS) p->n_trials = DN_PACE_TRIALS; /* a place in the ring, not a count for ever */
    p->trials[p->n_trials++ % DN_PACE_TRIALS] = ratio;
    double median = pace_median(p->trials, p->n_trials < DN_PACE_TRIALS ? p->n_trials : DN_PACE_TRIALS);
    double extra = ratio * (DN_PACE_STEPS + 1) - DN_PACE_STEPS, wait = extra * p->usual / COST;
    p->trying = p->steps = 0;
    p->wait = p->n_trials < ENOUGH ? 0 : wait < LONGEST ? wait : LONGEST;
    if (p->n_trials >= ENOUGH && median < (p->single ? TO_ONE : TO_ALL))
        p->n_trials = 0;
    else
        p->single = !p->single;
}

static void pace_begin_trial(dn_pace *p) {
    p->usual = pace_median(p->recent, DN_PACE_RECENT);
    p->steps = 0;
    if (p->usual > LONG_STEP && !p->single) return;
    p->single = !p->single, p->trying = 1;
}

void dn_pace_step(dn_pace *p, double seconds, int disturbed) {
    if (disturbed) return;
    p->wait -= seconds;
    if (p->steps++ == 0) return;
    p->recent[(p->steps - 2) % DN_PACE_RECENT] = seconds;
    if (p->trying && p->steps > DN_PACE_STEPS)
        pace_end_trial(p);
    else if (!p->trying && p->steps > DN_PACE_RECENT && p->wait <= 0)
        pace_begin_trial(p);
}

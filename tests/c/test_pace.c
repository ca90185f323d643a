/* The pace's decisions, with invented times: a machine whose steps take so long with one thread and so long with all,
 * with noise and interruptions. Run by tests/test_kernels.py. */
#include "base/pace.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct machine {
    const char *name;
    double one, all;      /* seconds of a step */
    double noise;         /* a step takes up to so much more, as a part of itself */
    double interruptions; /* the part of the steps that are interrupted, for 3 ms */
} machine;

static uint64_t state = 1;
static double uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

static double step_seconds(const machine *m, int single) {
    double t = (single ? m->one : m->all) * (1 + m->noise * uniform());
    return uniform() < m->interruptions ? t + 0.003 : t;
}

static int failures = 0;
static void check(int holds, const machine *m, const char *what, double value) {
    if (holds) return;
    fprintf(stderr, "%s: %s: %g\n", m->name, what, value);
    failures++;
}

/* Steps; the last step that was not done the better way, trials aside, goes to *settled. Returns the time that steps
 * took without interruptions, to that of the better way alone. */
static double run(dn_pace *p, const machine *m, int steps, int *settled) {
    double spent = 0, best = m->one < m->all ? m->one : m->all;
    *settled = 0;
    for (int i = 0; i < steps; i++) {
        int single = p->single;
        if (!p->trying && single != (m->one <= m->all)) *settled = i + 1;
        spent += single ? m->one : m->all;
        dn_pace_step(p, step_seconds(m, single), 0);
    }
    return spent / (best * steps);
}

int main(void) {
    static const machine clear[] = {
        {"two threads are much faster", 240e-6, 140e-6, 0.1, 0},
        {"two threads are faster", 100e-6, 80e-6, 0.1, 0},
        {"one thread is faster", 40e-6, 60e-6, 0.1, 0},
        {"one thread is much faster", 20e-6, 200e-6, 0.1, 0},
        {"interruptions", 240e-6, 140e-6, 0.3, 0.03},
        {"interruptions, one thread is faster", 40e-6, 55e-6, 0.3, 0.03},
        {"neither noise nor interruptions", 240e-6, 140e-6, 0, 0},
    };
    enum { N = sizeof clear / sizeof *clear };
    int settled;
    for (int i = 0; i < N; i++) {
        dn_pace p = {0};
        double cost = run(&p, &clear[i], 100, &settled);
        check(settled <= 60, &clear[i], "steps until it is settled at first", settled);
        cost = run(&p, &clear[i], 20000, &settled);
        check(!settled, &clear[i], "steps until it is settled later", settled);
        check(cost < 1.02, &clear[i], "time to that of the better way", cost);
    }
    /* the cores move apart, and together again */
    for (int i = 0; i < N - 1; i++) {
        machine before = {"the cores move", clear[i].one, 0.6 * clear[i].one, 0.1, 0.01}, after = before;
        after.all = 1.5 * before.one;
        dn_pace p = {0};
        for (int k = 0; k < 4; k++) {
            run(&p, k % 2 ? &after : &before, 5000, &settled);
            check(settled < 1500, &before, "steps until it is settled after a move", settled);
        }
    }
    /* no difference: either will do, one thread is preferred, and it does not change all the time */
    machine equal = {"no difference", 50e-6, 50e-6, 0.1, 0.01};
    dn_pace p = {0};
    int alone = 0, changes = 0, before = 0;
    for (int i = 0; i < 20000; i++) {
        if (!p.trying) alone += p.single, changes += p.single != before, before = p.single;
        dn_pace_step(&p, step_seconds(&equal, p.single), 0);
    }
    check(alone > 10000, &equal, "steps with one thread", alone);
    check(changes < 30, &equal, "changes", changes);
    /* long steps are never tried with one thread */
    machine lengthy = {"long steps", 2e-3, 5e-3, 0.1, 0};
    p = (dn_pace){0};
    for (int i = 0; i < 1000; i++) {
        dn_pace_step(&p, step_seconds(&lengthy, p.single), 0);
        check(!p.single, &lengthy, "one thread in step", i);
    }
    /* steps that were disturbed say nothing */
    p = (dn_pace){0};
    for (int i = 0; i < 20000; i++) {
        int disturbed = i % 3 != 0;
        dn_pace_step(&p, disturbed ? (p.single ? 1e-6 : 1e-2) : step_seconds(&clear[0], p.single), disturbed);
        if (!p.trying) check(!p.single, &clear[0], "one thread because of disturbed steps, in step", i);
    }
    if (!failures) printf("pace: every decision is the expected one\n");
    return failures > 0;
}

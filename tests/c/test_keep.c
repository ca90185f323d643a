/* Which epoch is the best, and when patience ends, for any sequence of losses. Run by tests/test_best_epoch.py. */
#include "jobs/keep.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 16 };

typedef struct keep_case {
    const char *what;
    int patience;
    double min_delta;
    int warm; /* epochs that belong to a warm-up */
    int n;
    double losses[MOST];
    int epoch; /* wanted: the best */
    int ends;  /* wanted: the epoch after which patience is over; 0: never */
} keep_case;

static const keep_case cases[] = {
    {"the lowest", 0, 0, 0, 5, {5, 3, 4, 2, 6}, 4, 0},
    {"a tie keeps the first", 0, 0, 0, 5, {5, 3, 3, 4, 3}, 2, 0},
    {"patience 1", 1, 0, 0, 5, {5, 3, 4, 2, 1}, 2, 3},
    {"an equal loss is no improvement", 2, 0, 0, 5, {5, 3, 3, 3, 1}, 2, 4},
    {"an improvement begins the count anew", 2, 0, 0, 7, {5, 6, 4, 5, 3, 4, 4}, 5, 7},
    {"nan and infinities are never the best", 0, 0, 0, 5, {NAN, 3, -INFINITY, INFINITY, NAN}, 2, 0},
    {"none is finite", 0, 0, 0, 3, {NAN, -INFINITY, INFINITY}, 0, 0},
    {"nan is no improvement", 3, 0, 0, 5, {NAN, NAN, NAN, 1, 1}, 0, 3},
    {"-inf does not hide what follows", 0, 0, 0, 3, {-INFINITY, 9, 8}, 3, 0},
    {"min_delta decides when to stop, not what to keep", 2, 0.5, 0, 5, {5, 4.9, 4.8, 1, 1}, 3, 3},
    {"small falls add up", 2, 0.5, 0, 6, {5, 4.7, 4.4, 4.1, 3.8, 3.7}, 6, 0},
    {"a fall by exactly min_delta does not count", 1, 1, 0, 2, {5, 4}, 2, 2},
    {"a warm-up does not count", 2, 0, 4, 8, {5, 6, 7, 8, 9, 10, 11, 12}, 1, 6},
    {"the best may be in a warm-up", 1, 0, 3, 5, {5, 2, 3, 4, 5}, 2, 4},
    {"an improvement in a warm-up raises the bar", 1, 0, 2, 4, {5, 1, 0.5, 2}, 3, 4},
    {"negative losses", 1, 0, 0, 4, {-1, -2, -2.5, -2.4}, 3, 4},
};

static int run(const keep_case *c) {
    dn_keep k;
    dn_train_options options = {.patience = c->patience, .min_delta = c->min_delta, .keep = DN_KEEP_LAST};
    int ends = 0;
    if (dn_keep_create(&k, NULL, &options, 1) != DN_OK) return printf("%s: %s\n", c->what, dn_error());
    for (int i = 0; i < c->n && !ends; i++)
        if (dn_keep_judge(&k, NULL, i + 1, c->losses[i], i < c->warm)) ends = i + 1;
    if (k.epoch == c->epoch && ends == c->ends) return 0;
    return printf("%s: epoch %d, wanted %d; ends %d, wanted %d\n", c->what, k.epoch, c->epoch, ends, c->ends);
}

int main(void) {
    int wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) wrong += run(&cases[i]) != 0;
    return wrong != 0;
}

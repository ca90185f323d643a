/* Schedules as functions of the batch number, of a number that is no learning rate. Run by tests/test_training.py. */
#include "net/schedule.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct numbers {
    int other;
    dn_schedule beta;
} numbers;

#define BETA {"beta", DN_KEY_FLOAT, DN_AT(numbers, beta.value), .fallback = 0.5, .range = DN_NOT_NEGATIVE}
#define WARMUP {"beta_warmup", DN_KEY_INT64, DN_AT(numbers, beta.burn_in), .high = INT64_MAX}
static const dn_key beta_keys[] = {
    BETA,
    WARMUP,
    {"beta_policy", DN_KEY_WORD, DN_AT(numbers, beta.policy), .words = dn_policy_names},
    {"beta_power", DN_KEY_FLOAT, DN_AT(numbers, beta.power), .fallback = 1},
    {"beta_scale", DN_KEY_FLOAT, DN_AT(numbers, beta.scale), .fallback = 1},
    {"beta_gamma", DN_KEY_FLOAT, DN_AT(numbers, beta.gamma), .fallback = 1},
    {"beta_step", DN_KEY_INT64, DN_AT(numbers, beta.step), .fallback = 1, .low = 1, .high = INT64_MAX},
    {"beta_final", DN_KEY_FLOAT, DN_AT(numbers, beta.final_fraction)},
    {"beta_end", DN_KEY_INT64, DN_AT(numbers, beta.max_batches), .high = INT64_MAX},
    {"beta_steps", DN_KEY_INTS, DN_AT_LIST(numbers, beta.steps, beta.n_steps)},
    {"beta_scales", DN_KEY_FLOATS, DN_AT_LIST(numbers, beta.scales, beta.n_scales)},
    {0},
};
static const dn_key warmup_keys[] = {BETA, WARMUP, {0}};

static int failures;

static void check(int right, const char *what, double got) {
    if (right) return;
    printf("%s: got %.17g\n", what, got);
    failures++;
}

/* The schedule of a [sampling] section with these lines; the cfg stays as long as the program. */
static dn_status parse(const char *lines, const dn_key *keys, dn_schedule *out) {
    char text[400];
    dn_cfg *cfg;
    numbers n = {.beta = {.power = 1}};
    *out = n.beta;
    snprintf(text, sizeof text, "[sampling]\n%s", lines);
    DN_TRY(dn_cfg_text(&cfg, "test.cfg", text));
    DN_TRY(dn_cfg_text(&cfg, "test.cfg", text));
    dn_status status = dn_keys_read(&cfg->sections[0], keys, &n, NULL);
    *out = n.beta;
    return status == DN_OK ? dn_schedule_check(&cfg->sections[0], keys, offsetof(numbers, beta), out) : status;
}

static void test_values(void) {
    static const struct {
        const char *lines;
        uint64_t batch;
        double value;
    } cases[] = {
        {"", 1, 0.5},
        {"beta=2", 1000000, 2},
        {"beta=2\nbeta_warmup=4", 1, 0.5},
        {"beta=2\nbeta_warmup=4", 3, 1.5},
        {"beta=2\nbeta_warmup=4", 4, 2},
        {"beta=2\nbeta_warmup=4\nbeta_power=2", 2, 0.5},
        {"beta=2\nbeta_policy=step\nbeta_step=10\nbeta_scale=0.5", 20, 0.5},
        {"beta=2\nbeta_policy=steps\nbeta_steps=3,5\nbeta_scales=0.5,4", 2, 2},
        {"beta=2\nbeta_policy=steps\nbeta_steps=3,5\nbeta_scales=0.5,4", 3, 1},
        {"beta=2\nbeta_policy=steps\nbeta_steps=3,5\nbeta_scales=0.5,4", 9, 4},
        {"beta=2\nbeta_policy=exp\nbeta_gamma=0.5", 3, 0.25},
        {"beta=2\nbeta_policy=exp\nbeta_gamma=10", 1000, FLT_MAX},
        {"beta=2\nbeta_policy=poly\nbeta_end=4", 1, 1.5},
        {"beta=2\nbeta_policy=poly\nbeta_end=4", 4, 0},
        {"beta=2\nbeta_policy=poly\nbeta_end=4\nbeta_power=2", 1000, 0},
        {"beta=2\nbeta_policy=cosine\nbeta_end=4", 1, 2},
        {"beta=2\nbeta_policy=cosine\nbeta_end=4", 3, 1},
        {"beta=2\nbeta_policy=cosine\nbeta_end=4", 5, 0},
        {"beta=2\nbeta_policy=cosine\nbeta_end=4", 1000, 0},
        {"beta=2\nbeta_policy=cosine\nbeta_end=9\nbeta_warmup=4\nbeta_final=0.25", 2, 1},
        {"beta=2\nbeta_policy=cosine\nbeta_end=9\nbeta_warmup=4\nbeta_final=0.25", 4, 2},
        {"beta=2\nbeta_policy=cosine\nbeta_end=9\nbeta_warmup=4\nbeta_final=0.25", 7, 1.25},
        {"beta=2\nbeta_policy=cosine\nbeta_end=9\nbeta_warmup=4\nbeta_final=0.25", 10, 0.5},
        {"beta=2\nbeta_policy=cosine\nbeta_end=9\nbeta_warmup=4\nbeta_final=0.25", 1000, 0.5},
        {"beta=2\nbeta_policy=sigmoid\nbeta_step=7\nbeta_gamma=-1", 7, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_schedule s;
        check(parse(cases[i].lines, beta_keys, &s) == DN_OK, cases[i].lines, 0);
        double got = dn_schedule_at(&s, s.value, cases[i].batch, 1);
        check(fabs(got - cases[i].value) <= 1e-12 * cases[i].value, cases[i].lines, got);
        dn_schedule_free(&s);
    }
}

/* Any order of batches gives the same, also of the drawn ones, and a value given in place of the schedule's own leaves
 * it as it is. */
static void test_purity(void) {
    dn_schedule s;
    check(parse("beta=2\nbeta_policy=random\nbeta_power=1", beta_keys, &s) == DN_OK, "random", 0);
    double up[8], lowest = 2, highest = 0;
    for (uint64_t n = 0; n < 8; n++) up[n] = dn_schedule_at(&s, s.value, n, 5);
    for (uint64_t n = 8; n-- > 0;) {
        check(dn_schedule_at(&s, s.value, n, 5) == up[n], "again", up[n]);
        check(fabs(dn_schedule_at(&s, 3, n, 5) - 1.5 * up[n]) < 1e-12, "another value", up[n]);
        check(dn_schedule_at(&s, s.value, n, 6) != up[n], "another seed", up[n]);
        lowest = fmin(lowest, up[n]), highest = fmax(highest, up[n]);
    }
    check(s.value == 2, "the schedule's own value", s.value);
    check(lowest >= 0 && highest < 2 && lowest < highest, "drawn numbers", highest);
}

/* Numbers that have no key stay what they were. */
static void test_some_keys(void) {
    dn_schedule s;
    check(parse("beta=4\nbeta_warmup=8\nbeta_power=3", warmup_keys, &s) == DN_OK, "some keys", 0);
    check(dn_schedule_at(&s, s.value, 2, 1) == 1, "a linear warm-up", dn_schedule_at(&s, s.value, 2, 1));
    check(dn_schedule_at(&s, s.value, 100, 1) == 4, "after it", dn_schedule_at(&s, s.value, 100, 1));
    check(dn_schedule_end(&s) == UINT64_MAX, "its end", 0);
}

static void test_errors(void) {
    static const char *const cases[][2] = {
        {"beta=-1", "test.cfg:2: [sampling] beta=-1 is below 0"},
        {"beta_policy=cosine", "test.cfg:2: [sampling] beta_policy=cosine needs beta_end="},
        {"beta_policy=cosine\nbeta_end=4\nbeta_warmup=5",
         "test.cfg:4: [sampling] beta_warmup=5 leaves nothing of beta_end=4 for beta_policy=cosine"},
        {"beta_policy=plateau", "test.cfg:2: [sampling] beta_policy=plateau is for learning rates"},
        {"beta_policy=poly", "test.cfg:2: [sampling] beta_policy=poly needs beta_end="},
        {"beta_policy=steps\nbeta_steps=3",
         "test.cfg:3: [sampling] beta_policy=steps needs beta_steps= and beta_scales= of one length, got 1 and 0"},
        {"beta_policy=steps\nbeta_steps=3,2\nbeta_scales=1,1",
         "test.cfg:3: [sampling] beta_steps=3,2 do not ascend: 2 comes after 3"},
        {"beta_policy=exp\nbeta_gamma=-2", "test.cfg:3: [sampling] beta_gamma=-2 is below 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_schedule s;
        check(parse(cases[i][0], beta_keys, &s) == DN_E_FORMAT, cases[i][0], 0);
        if (strcmp(dn_error(), cases[i][1])) printf("%s\n", dn_error()), failures++;
        dn_schedule_free(&s);
    }
}

/* What torch.optim.lr_scheduler.ReduceLROnPlateau(factor=0.5, patience=1, threshold=0.1, min_lr=0.2) of PyTorch 2.14.1
 * makes of a rate of 2. */
static void test_plateau(void) {
    static const double losses[] = {5, 4, 3.9, 3.95, 3.7, 3.5, 3.5, 3.5, 3.4, 3.1, NAN, 3, 3, 3, 3, 3, 3, 1, 1, 1};
    static const double rates[] = {2,   2,   2,    1,   1,   1,   1,   0.5, 0.5, 0.5,
                                   0.5, .25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2};
    dn_schedule s = {.policy = DN_POLICY_PLATEAU, .factor = 0.5, .patience = 1, .threshold = 0.1, .least = 0.2};
    dn_plateau p = {0};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        dn_schedule_observe(&s, &p, losses[i], 0);
        double rate = dn_schedule_at(&s, dn_schedule_reduced(&s, &p, 2), 1, 1);
        check(fabs(rate - rates[i]) < 1e-12, "a rate on a plateau", rate);
    }
    check(dn_schedule_reduced(&s, &p, 0.1) == 0.1, "a rate below the lowest stays", dn_schedule_reduced(&s, &p, 0.1));
    dn_schedule with_negative = {.policy = DN_POLICY_PLATEAU, .patience = 0, .threshold = 0.1};
    dn_plateau n = {0};
    dn_schedule_observe(&with_negative, &n, -10, 0), dn_schedule_observe(&with_negative, &n, -12, 0);
    check(n.reductions == 0 && n.lowest == -12, "a negative loss improves", n.lowest);
    dn_schedule_observe(&with_negative, &n, -12.5, 0);
    check(n.reductions == 1, "a negative loss improves too little", (double)n.reductions);
}

int main(void) {
    test_values();
    test_purity();
    test_some_keys();
    test_errors();
    test_plateau();
    return failures != 0;
}

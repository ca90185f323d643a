/* The state of a training as text: every number comes back with all its bits. Run by tests/test_checkpoints.py. */
#include "base/sys.h"
#include "jobs/training_fields.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures;
#define EXPECT(condition)                                                            \
    do {                                                                             \
        if (!(condition)) printf("line %d: %s\n", __LINE__, #condition), failures++; \
    } while (0)

static const char cfg[] = "[net]\nbatch=4\ninputs=3\nadam=1\n[connected]\noutput=2\n[connected]\noutput=3\n[cost]\n";

/* `from` as text, put into `to`. */
static void through_text(const dn_training_number *from, const dn_training_number *to) {
    char text[4096];
    size_t size = dn_training_print(from, text, sizeof text);
    EXPECT(size > 0 && size < sizeof text && size == strlen(text));
    EXPECT(!strcmp(from->name, to->name));
    EXPECT(dn_training_set(to, text));
}

static void doubles_keep_their_bits(void) {
    const double values[] = {0,
                             -0.0,
                             1,
                             -1,
                             0.1,
                             -1e300,
                             5e-324,
                             2.2250738585072014e-308,
                             1.7976931348623157e308,
                             NAN,
                             INFINITY,
                             -INFINITY,
                             3.0000000000000004};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double from = values[i], to = 7;
        dn_training_number a = {"x", DN_FIELD_DOUBLE, &from, 0, NULL}, b = {"x", DN_FIELD_DOUBLE, &to, 0, NULL};
        through_text(&a, &b);
        EXPECT(isnan(from) ? isnan(to) : !memcmp(&from, &to, sizeof to));
    }
}

static void other_texts_are_refused(void) {
    const struct {
        dn_field_type type;
        const char *text;
    } bad[] = {{DN_FIELD_INT, ""},
               {DN_FIELD_INT, "x"},
               {DN_FIELD_INT, "99999999999"},
               {DN_FIELD_INT, "1 "},
               {DN_FIELD_UINT64, "-1"},
               {DN_FIELD_SIZE, " 1"},
               {DN_FIELD_DOUBLE, "1"},
               {DN_FIELD_DOUBLE, "1p"},
               {DN_FIELD_DOUBLE, "1p0x"},
               {DN_FIELD_SUMS, "1p0"},
               {DN_FIELD_SUMS, "1p0 1p0 "},
               {DN_FIELD_REPORT, "1"},
               {DN_FIELD_REPORT, "1 0 loss"},
               {DN_FIELD_REPORT, "1 0 loss 1p0 "},
               {DN_FIELD_INT64, "9223372036854775808"}};
    union {
        double two[2];
        dn_report report;
    } to, before;
    memset(&to, 0, sizeof to);
    before = to;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dn_training_number n = {"x", bad[i].type, &to, 2, NULL};
        EXPECT(!dn_training_set(&n, bad[i].text));
        EXPECT(!memcmp(&to, &before, sizeof to));
    }
}

/* Two trainers of unlike positions: after the text of one has gone into the other, all numbers are equal. */
static void a_position_becomes_another(void) {
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    dn_rows rows = {.n = 6, .x = x};
    dn_train_options options = {.epochs = 5, .shuffle = 1};
    dn_trainer *trainers[2];
    dn_net *nets[2];
    dn_training_number numbers[2][DN_NUMBERS_MOST];
    dn_training_block blocks[DN_BLOCKS_MOST];
    int n[2];
    for (int i = 0; i < 2; i++) {
        dn_progress p;
        EXPECT(dn_net_create_text(&nets[i], cfg, NULL, NULL) == DN_OK);
        EXPECT(dn_trainer_create(&trainers[i], nets[i], &rows, &options) == DN_OK);
        for (int k = 0; k < 3 * i; k++) EXPECT(dn_trainer_run(trainers[i], 0, &p) == DN_OK);
        n[i] = dn_training_numbers(trainers[i], numbers[i]);
    }
    EXPECT(n[0] == n[1] && n[0] > 15);
    EXPECT(trainers[1]->epoch == 1 && trainers[1]->at == 4 && trainers[1]->last_epoch.n >= 3);
    for (int i = 0; i < n[0]; i++) through_text(&numbers[1][i], &numbers[0][i]);
    for (int i = 0; i < n[0]; i++) {
        char a[4096], b[4096];
        dn_training_print(&numbers[0][i], a, sizeof a);
        dn_training_print(&numbers[1][i], b, sizeof b);
        EXPECT(!strcmp(a, b));
        for (int k = 0; k < i; k++) EXPECT(strcmp(numbers[0][i].name, numbers[0][k].name));
    }
    EXPECT(trainers[0]->epoch == 1 && trainers[0]->at == 4 && nets[0]->state.seen == 10);
    EXPECT(!memcmp(trainers[0]->sums, trainers[1]->sums, 6 * sizeof(double)));
    EXPECT(dn_training_blocks(trainers[0], 0, blocks) == 4); /* parameters, statistics, two moments */
    EXPECT(!strcmp(blocks[3].prefix, "opt.v.") && blocks[3].block.floats == nets[0]->moment2);
    for (int i = 0; i < 2; i++) dn_trainer_destroy(trainers[i]), dn_net_destroy(nets[i]);
}

int main(void) {
    doubles_keep_their_bits();
    other_texts_are_refused();
    a_position_becomes_another();
    return failures != 0;
}

/* How well outputs match their truth, accumulated batch by batch. */
#ifndef DN_SCORES_H
#define DN_SCORES_H
#include "net/network.h"

typedef struct dn_scores {
    int kind, width, logits, all_one_hot;
    double rows, known_rows, known_values, right_rows, right_values;
    double *sums; /* (4, width): values, truth - first, its square, squared error */
    float *first; /* (width): the first truths; subtracting them keeps the sums precise */
    float *out;   /* (batch, width) */
} dn_scores;

/* For passes of this plan. A network whose truth differs in size from its output has no scores: width 0. */
dn_status dn_scores_create(dn_scores *scores, const dn_plan *plan);
void dn_scores_clear(dn_scores *scores);
/* Compare the output of the last forward pass with the truth of its rows, which are on the host, in the order of the
 * table, and count as much as their weights say. */
void dn_scores_add(dn_scores *scores, const dn_plan *plan, const dn_rows *rows);
/* Add accuracy, or mse and r2, where they are meaningful. */
void dn_scores_report(const dn_scores *scores, dn_report *report);
/* Add the names of what dn_scores_report may add, with unknown values. */
void dn_scores_names(const dn_scores *scores, dn_report *report);
void dn_scores_free(dn_scores *scores);
/* The index of the largest of `width` values. */
int dn_row_largest(const float *row, int width);
#endif

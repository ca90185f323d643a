/* What jobs over many rows have in common (jobs.c); a pass holds as many rows as the network's batch. */
#ifndef DN_JOBS_H
#define DN_JOBS_H
#include "jobs/scores.h"

/* DN_E_USAGE when a recurrent network's rows are not whole sequences. */
dn_status dn_job_whole(const dn_net *net, size_t rows);
/* Rows of the pass that begins at `at`, when passes have `step` of them. */
size_t dn_job_rows(size_t rows, size_t at, size_t step);
/* Rows in a pass: about as many in each. */
size_t dn_job_step(const dn_net *net, size_t rows);
/* A layer's values (rows, width) of the last pass to the host, in the order of the table. */
void dn_job_get(dn_net *net, const float *from, size_t width, size_t rows, float *to);
/* Let the first layer read these rows (layers[0].x, to be put back); returns the truth of a loss that wants them back. */
const float *dn_job_input(dn_net *net, const float *x, size_t rows);
/* Rows [at, at + n) of the caller's `name`, before they are computed with: DN_E_USAGE for what is not finite. */
dn_status dn_job_finite(const char *name, const float *values, size_t columns, size_t at, size_t n);
/* The same of rows and truth (NULL: the rows) for losses. */
dn_status dn_job_check(const dn_net *net, const char *prefix, const float *x, const float *truth, size_t at, size_t n);
/* Layers first to last over the rows that are in place, without noise. */
dn_status dn_job_pass(dn_net *net, int first, int last, size_t rows, const float *truth);
/* All rows through layers first to last, to `out`; `data`: as data, should the last one's output be logits. */
dn_status dn_job_run(dn_net *net, int first, int last, const float *x, size_t rows, int data, float *out);
/* The same through the whole network. */
dn_status dn_job_predict(dn_net *net, const float *x, size_t rows, int data, float *out);

/* *truth = x when it is NULL and the network's loss takes its input; DN_E_USAGE when there is no truth. */
dn_status dn_job_truth(const dn_net *net, const float *x, const float **truth);
/* Means of sums over `rows` rows, without scores. */
dn_losses dn_job_mean(double image, double latent, double weighted, double rows);

/* Losses and scores of many rows, summed up pass by pass. */
typedef struct dn_job_sums {
    double image, latent, weighted, rows;
    dn_scores scores;
} dn_job_sums;

/* What the passes since dn_net_losses_clear have lost. */
dn_status dn_job_sums_read(dn_job_sums *sums, dn_net *net, size_t rows);
/* Means and scores. */
dn_losses dn_job_result(const dn_job_sums *sums);
/* A pass over rows on the host, with scores when there is a truth of its own; the losses stay on the device. */
dn_status dn_job_evaluate(dn_net *net, dn_job_sums *sums, const float *x, const float *truth, size_t rows);
#endif

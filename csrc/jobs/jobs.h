/* What jobs over many rows have in common (jobs.c). A pass is one run through the layers, of at most `batch` rows. */
#ifndef DN_JOBS_H
#define DN_JOBS_H
#include "jobs/scores.h"

/* DN_E_USAGE when a recurrent network's rows are not whole sequences. */
dn_status dn_job_whole(const dn_net *net, size_t rows);
/* Rows in each pass of a job over so many rows: about as many in each. */
size_t dn_job_step(const dn_plan *plan, size_t rows);
/* How many rows the pass that begins at `at` has, when passes have `step` of them. */
size_t dn_job_rows(size_t rows, size_t at, size_t step);
/* Those rows. Jobs that begin at a later layer than the first have its inputs as x. */
dn_rows dn_job_slice(const dn_net *net, int first, const dn_rows *rows, size_t at, size_t step);
/* A layer's values (rows, width) of the last pass to the host, in the order of the table. */
void dn_job_get(dn_net *net, const float *from, size_t width, size_t rows, float *to);
/* Rows of a pass, from the host to where the machine can read them. */
dn_rows dn_job_place(dn_plan *plan, const dn_rows *rows);
/* Before rows are computed with, the first of which is the caller's row `at`: DN_E_USAGE when x is not finite. */
dn_status dn_job_finite(const dn_net *net, int first, const dn_rows *rows, size_t at);
/* The same for x and truth of a job that computes losses. Messages begin with `prefix`. */
dn_status dn_job_check(const dn_net *net, const char *prefix, const dn_rows *rows, size_t at);
/* A pass of its own, each sequence of a recurrent network from its beginning. */
dn_status dn_job_pass(dn_plan *plan, const dn_pass *pass);
/* All rows through layers first to last, to `out`; `data`: as data, of which a row has net->data_columns. */
dn_status dn_job_run(dn_plan *plan, int first, int last, const dn_rows *rows, int data, float *out);
/* The same through the whole network. */
dn_status dn_job_predict(dn_net *net, const dn_rows *rows, int data, float *out);

/* DN_E_USAGE when the rows have no truth that the network's loss takes: neither one of their own nor themselves. */
dn_status dn_job_need_truth(const dn_net *net, const dn_rows *rows);
/* Losses and scores of many rows, summed up pass by pass. */
typedef struct dn_job_sums {
    dn_report losses;
    double rows;
    dn_scores scores;
} dn_job_sums;

/* What the passes since dn_plan_losses_clear have lost. */
dn_status dn_job_sums_read(dn_job_sums *sums, dn_plan *plan, size_t rows);
/* Means and scores. */
void dn_job_report(const dn_job_sums *sums, dn_report *report);
/* A pass over rows on the host, with scores when there is a truth of its own; the losses stay on the device. */
dn_status dn_job_evaluate(dn_plan *plan, dn_job_sums *sums, const dn_rows *rows);
#endif

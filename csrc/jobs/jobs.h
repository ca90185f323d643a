/* What jobs over many rows have in common (jobs.c). A pass is one run through the layers, with at most `batch` rows. */
#ifndef DN_JOBS_H
#define DN_JOBS_H
#include "jobs/scores.h"

/* DN_E_USAGE when a recurrent network's rows are not whole sequences. */
dn_status dn_job_whole(const dn_net *net, size_t rows);
/* Rows per pass for a job over that many rows: passes are about equally large. */
size_t dn_job_step(const dn_plan *plan, size_t rows);
/* The number of rows in the pass that begins at `at`, when passes have `step` rows. */
size_t dn_job_rows(size_t rows, size_t at, size_t step);
/* The rows of that pass. In jobs that begin at a later layer, x is that layer's input. */
dn_rows dn_job_slice(const dn_net *net, int first, const dn_rows *rows, size_t at, size_t step);
/* Copy a layer's values (rows, width) of the last pass to the host, in the order of the table. */
void dn_job_get(dn_net *net, const float *from, size_t width, size_t rows, float *to);
/* The other way: from the order of the table on the host to that of a pass. */
void dn_job_put(dn_net *net, const float *from, size_t width, size_t rows, float *to);
/* Makes the rows of a pass, which are on the host, readable for the backend. */
dn_rows dn_job_place(dn_plan *plan, const dn_rows *rows);
/* The same for passes whose losses are wanted: with binarize the rows are bits, those of rows number `at` on, and so is
 * a truth that is not separate. */
dn_rows dn_job_place_losses(dn_plan *plan, const dn_rows *rows, size_t at);
/* To be called before computing with rows, the first of which is the caller's row `at`: DN_E_USAGE when x is not
 * finite. */
dn_status dn_job_finite(const dn_net *net, int first, const dn_rows *rows, size_t at);
/* The same for x and truth of a job that computes losses. Messages begin with `prefix`. */
dn_status dn_job_check(const dn_net *net, const char *prefix, const dn_rows *rows, size_t at);
/* A separate pass, in which each sequence of a recurrent network begins without state. */
dn_status dn_job_pass(dn_plan *plan, const dn_pass *pass);
/* Run all rows through layers first to last, to `out`; `data`: converted to data, with net->data_columns per row. */
dn_status dn_job_run(dn_plan *plan, int first, int last, const dn_rows *rows, int data, float *out);
/* The same through the whole network. */
dn_status dn_job_predict(dn_net *net, const dn_rows *rows, int data, float *out);

/* DN_E_USAGE unless latents alone can be decoded. */
dn_status dn_job_need_latent(const dn_net *net);
/* dn_mixture_fit on the threads of a pool; NULL: one. */
dn_status dn_job_mixture_fit(dn_pool *pool, dn_mixture *out, const float *x, size_t rows, int columns, int components,
                             uint64_t seed);
/* A component, drawn with its weight out of n, and the normal numbers of a draw from it, eps (columns): a function of
 * (seed, row). */
int dn_job_draw_component(uint64_t seed, uint64_t row, const double *weights, int n, double *eps, int columns);
/* DN_E_USAGE unless it is a factor that latents can be drawn with: 0 or more. */
dn_status dn_job_temperature(double temperature);

/* DN_E_USAGE when there is no truth that the network's loss accepts: neither a separate one nor the rows themselves. */
dn_status dn_job_need_truth(const dn_net *net, const dn_rows *rows);
/* DN_E_NUMERIC: `what` of a row, number `at` from 0, is not finite. The row was, so its magnitude or the parameters are
 * to blame. */
dn_status dn_job_not_finite(const dn_net *net, const dn_rows *row, const char *what, size_t at);
/* What rows count together: their weights, or their number. */
double dn_job_count(const dn_rows *rows);
/* Losses and scores of many rows, accumulated pass by pass. */
typedef struct dn_job_sums {
    dn_report losses;
    double count; /* what the rows count together */
    dn_scores scores;
} dn_job_sums;

/* None so far; what scores have allocated stays. */
void dn_job_sums_clear(dn_job_sums *sums);
/* Read the losses of the passes since dn_plan_losses_clear. */
dn_status dn_job_sums_read(dn_job_sums *sums, dn_plan *plan);
/* Means and scores. */
void dn_job_report(const dn_job_sums *sums, dn_report *report);
/* A pass over rows on the host, with scores if they have a separate truth; the losses stay on the device. */
dn_status dn_job_evaluate(dn_plan *plan, dn_job_sums *sums, const dn_rows *rows, size_t at);
/* Is called after every pass, with its rows, when all layers of the plan have their outputs. */
typedef struct dn_job_observer {
    dn_status (*see)(void *context, dn_plan *plan, const dn_rows *rows);
    void *context;
} dn_job_observer;
/* The losses of all rows, as dn_net_evaluate reports them. `observer`: NULL, or who sees each pass. */
dn_status dn_job_evaluate_all(dn_net *net, const dn_rows *rows, dn_report *report, const dn_job_observer *observer);
/* dn_net_bounds and dn_net_evaluate_rows, by who uses the network already. `how`: seed and same_draws. */
dn_status dn_job_bounds(dn_net *net, const dn_rows *rows, int draws, const dn_evaluate_options *how, dn_bounds *out);
dn_status dn_job_evaluate_rows(dn_net *net, const dn_rows *rows, float *image, float *latent, float *total);

/* ---- bounds.c ---- */

/* The same for the importance-weighted bound from so many draws of each row, the first of which is row `at`: the draws
 * are those of dn_net_bounds with the network's seed. Scores are those at the mean of z. */
dn_status dn_job_evaluate_bound(dn_plan *plan, int draws, dn_job_sums *sums, const dn_rows *rows, size_t at);
/* The usual options where the caller gives none; DN_E_USAGE for less than no draws. */
dn_status dn_job_draws(const dn_evaluate_options **options);
#endif

/* The check of a user's network (dn_net_check): its gradients against differences of what training descends, its terms
 * against formulas written apart from the kernels, its update against rate * gradient / rows. docs/numerics.md says
 * what is computed and where the tolerances come from. */
#ifndef DN_CHECK_NET_H
#define DN_CHECK_NET_H
#include "net/snapshot.h"

typedef struct dn_checker {
    dn_net *net;
    dn_plan *plan;     /* that of training */
    dn_rows given;     /* the rows on the host, in the order of the table, with their truth */
    dn_rows rows;      /* the same in the plan's buffers, as a pass takes them */
    float *own;        /* (rows, inputs), (rows, truths): rows that were drawn; NULL: the caller's */
    int loose;         /* distributions of the truth drawn do not add up to 1, so it cannot be evaluated */
    float *pass_truth; /* (rows, truths): on the host, in the order of a pass */
    float *weights;    /* (rows): likewise, 1 where rows have none */
    int from;          /* layers below have no gradient to compare with, and why: */
    const char *from_why;
    int whole;             /* rows as many as a batch has: for kernels of many rows, in fewer comparisons */
    int samples;           /* values compared of each tensor, besides directions */
    float *grads;          /* (n_values): gradients of the pass, on the host */
    float *dx;             /* (rows, inputs): in the backend's memory: gradient by the input of layer 0 */
    float **inputs;        /* (layers): gradient by a layer's input (rows, inputs), on the host; NULL: not compared */
    float **heads;         /* (layers): of detector heads: gradient of their own loss by their input; else NULL */
    float *buffer;         /* (batch * the widest layer): on the host, for heads */
    double *sums;          /* (layers): of the terms in the pass whose gradients these are */
    uint64_t random, pass; /* pass: which noise */
    dn_checks *out;
    int room;
} dn_checker;

/* Uniform in [0, 1), and normal. */
double dn_checker_random(dn_checker *c);
double dn_checker_normal(dn_checker *c);
/* Where a layer finds its input, in the backend's memory, and its gradient. */
float *dn_checker_input(const dn_checker *c, const dn_layer *layer);
/* Layers `first` to the last in training mode, with the noise of this pass. *objective: what training descends, without
 * the terms of layers before `first`. */
dn_status dn_checker_forward(dn_checker *c, int first, double *objective);
/* Move biases a little, so that nothing stands on a kink, and take other noise. */
dn_status dn_checker_move(dn_checker *c);
/* A whole pass: sums of terms, and all gradients. */
dn_status dn_checker_pass(dn_checker *c);
/* All gradients of the last forward pass. */
dn_status dn_checker_backward(dn_checker *c);
/* Set the step of the pass; rate < 0: the network's. */
void dn_checker_step(dn_checker *c, double rate);
/* A line of the result; layer NULL: about the network. */
dn_status dn_checker_add(dn_checker *c, const dn_layer *layer, dn_check_line line);
/* Is this a detector head, whose loss is no function of its input alone? */
int dn_checker_is_head(const dn_layer *layer);

/* ---- check_rows.c ---- */

/* How many rows to compute with: a few, or (whole) a batch, or as much of it as there is time for. */
size_t dn_checker_rows_wanted(const dn_net *net, int whole);
/* Decide which rows to compute with: the first of the caller's, or random ones that the losses accept. */
dn_status dn_checker_rows(dn_checker *c, const dn_rows *rows);
/* Put them into the plan's buffers; again after a job, which may use those. */
dn_status dn_checker_place(dn_checker *c);

/* ---- check_columns.c ---- */

/* What [columns] makes of the rows; no line where the network has none. */
dn_status dn_checker_columns(dn_checker *c);

/* ---- check_gradients.c ---- */

/* A line per tensor, per half of a sampling layer's input, and for the network's input. */
dn_status dn_checker_gradients(dn_checker *c);

/* ---- check_terms.c ---- */

/* Loss and derivative of every term in double precision, at the values of the pass and at random ones. */
dn_status dn_checker_terms(dn_checker *c);
/* Take a value into a line of comparisons whose differences count relative to `scale`. */
void dn_checker_take(dn_check_line *line, double found, double expected, double scale);
/* The line of something against its formula: a sum, or derivatives. */
#define DN_CHECK_SUM 1e-5
#define DN_CHECK_SLOPE 2e-4
dn_status dn_checker_add_formula(dn_checker *c, const dn_layer *layer, const char *what, double tolerance,
                                 dn_check_line line);

/* ---- check_objective.c ---- */

/* In double precision, from the values of their passes: what a KL with a limit or to a mixture costs, a bound from
 * several draws, and what `evaluate` reports. Nothing where the formula of a term is not known. */
dn_status dn_checker_objective(dn_checker *c);

/* ---- check_update.c ---- */

/* One step of plain SGD, and one of the network's own optimiser: on the separate path and on the one that training
 * takes. */
dn_status dn_checker_update(dn_checker *c);
#endif

/* Likelihoods over vectors of values: cpu_likelihood.c cuts them into rows and strips, isa_likelihood.c computes. */
#ifndef DN_CPU_LIKELIHOOD_H
#define DN_CPU_LIKELIHOOD_H
#include "cpu/cpu_kernels.h"
#include "net/likelihood.h"

/* What a value's scale amounts to: 1 / sigma, and what is added to its -log p; of the negative binomial r, what is
 * added, and r dn_digamma_rest(r). `slope` is that of the bound of a learned number. */
enum { DN_SCALE_FACTOR, DN_SCALE_CONSTANT, DN_SCALE_DIGAMMA, DN_SCALE_SLOPE, DN_SCALES };

typedef struct dn_values {
    dn_likelihood_terms of;
    float fixed[DN_SCALES];         /* of all values, */
    const float *scales[DN_SCALES]; /* or of each one; NULL: fixed */
} dn_values;

/* Where the results of n values go: all are set; NULL: not wanted. */
typedef struct dn_value_results {
    float *error, *gradient, *spread; /* the last two are multiplied by `weight` */
    double *spread_sum;               /* added to: of the spreads without the weight */
    float weight;
} dn_value_results;

typedef struct dn_likelihood_kernels {
    /* The operation `loss`, on the calling thread. */
    double (*loss)(const dn_likelihood *of, size_t n, const float *x, const float *truth, float *error,
                   float *gradient);
    /* The scales of n learned numbers. */
    void (*scales)(const dn_likelihood_terms *of, size_t n, const float *spread, float *const scales[DN_SCALES]);
    /* The sum of the errors of n values. */
    double (*values)(const dn_values *of, size_t n, const float *x, const float *truth, const dn_value_results *to);
    /* to[c] += the sum over the rows of weight times the derivative by the learned number of column c */
    void (*column_spreads)(const dn_values *of, size_t rows, size_t n, const float *x, size_t x_step,
                           const float *truth, size_t truth_step, const float *row_weight, float *to);
    /* -log p of softmaxes over n logits each: with n weights of the classes for each one, or with a code. */
    double (*one_hots)(size_t groups, size_t n, float weight, const float *x, const float *truth, float *gradient);
    double (*codes)(size_t groups, size_t n, float weight, const float *x, const float *truth, float *gradient);
    /* The same with a code for one softmax in each row: losses (rows) are added to. row_weight NULL: 1. */
    void (*codes_by_row)(size_t rows, size_t n, const float *row_weight, const float *x, size_t x_step,
                         const float *truth, size_t truth_step, float *gradient, double *losses);
} dn_likelihood_kernels;
DN_PER_ISA_EXTERN(dn_likelihood_kernels, dn_likelihood_kernels);

const dn_likelihood_kernels *dn_cpu_likelihood_kernels(void);
/* The scale that is fixed by `of`. */
void dn_fixed_scales(const dn_likelihood_terms *of, float fixed[DN_SCALES]);
#endif

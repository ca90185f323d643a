/* What the posteriors q(z|x) of many rows look like, latent dimension by latent dimension. */
#ifndef DN_POSTERIOR_H
#define DN_POSTERIOR_H
#include "net/network.h"

/* Sums over rows. The units are the latent dimensions of all sampling layers, in the order of the layers. */
typedef struct dn_posterior {
    size_t units, widest; /* widest: the most units of one layer */
    double count;         /* what the rows count together */
    int begun;
    double *sums;  /* (DN_POSTERIOR_SUMS, units) */
    double *first; /* (units): the first row's mean; subtracting it keeps the sums precise */
    float *inputs; /* (batch, 2 widest) */
} dn_posterior;

/* For passes of this plan; without sampling layers there are 0 units. */
dn_status dn_posterior_create(dn_posterior *posterior, const dn_plan *plan);
/* Add the rows of the plan's last pass, all of whose layers were computed; `rows` has their weights on the host. */
void dn_posterior_add(dn_posterior *posterior, dn_plan *plan, const dn_rows *rows);
/* To arrays (units): see dn_evaluation in darknet.h. */
void dn_posterior_report(const dn_posterior *posterior, double *kl, double *mean, double *variance,
                         double *mean_variance);
void dn_posterior_free(dn_posterior *posterior);
#endif

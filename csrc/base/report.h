/* Making reports (darknet.h). */
#ifndef DN_REPORT_H
#define DN_REPORT_H
#include "darknet.h"

/* Names of losses in reports. */
#define DN_IMAGE_LOSS "image_loss"
#define DN_LATENT_LOSS "latent_loss"
#define DN_KL_COST "kl_cost" /* what latent terms add to the total */
#define DN_TOTAL_LOSS "total_loss"

/* The value of that name; NULL: there is none. */
const dn_value *dn_report_find(const dn_report *report, const char *name);
/* Turn sums over that many rows into means. */
void dn_report_mean(dn_report *sums, double rows);
/* The report with a single `loss`, the total, in place of the losses that make it up. */
void dn_report_one_loss(const dn_report *report, dn_report *out);
#endif

/* Making reports (darknet.h). */
#ifndef DN_REPORT_H
#define DN_REPORT_H
#include "darknet.h"

/* The mean of sums over so many rows. */
void dn_report_mean(dn_report *sums, double rows);
/* The report with one `loss`, the total, in place of the losses that it is made of. */
void dn_report_one_loss(const dn_report *report, dn_report *out);
#endif

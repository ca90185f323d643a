/* Keys, layer types and names that other Darknets know and this core does not compute. A cfg that uses one is told so:
 * silence would give another network than the one that was trained. */
#ifndef DN_FOREIGN_H
#define DN_FOREIGN_H
#include "io/cfg.h"

/* Before a section is parsed. `type` is the canonical name of its layer type, or "net". Every key of the table with a
 * value other than its neutral one:
 *
 *   changes what is computed   DN_E_FORMAT
 *   changes training alone     a warning, and cfg->untrained: training is an error, predicting is not
 *   has no effect here         a warning */
dn_status dn_foreign_check(dn_cfg *cfg, dn_section *section, const char *type);
/* Is it a layer type, an activation of others? */
int dn_foreign_type(const char *name);
int dn_foreign_activation(const char *name);
#endif

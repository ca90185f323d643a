/* Keys, layer types and names that other Darknets know but this core does not compute. A cfg that uses one gets an
 * error or a warning: silently ignoring it would give another network than the one that was trained. */
#ifndef DN_FOREIGN_H
#define DN_FOREIGN_H
#include "io/cfg.h"

/* To be called before a section is parsed. `type` is the canonical name of its layer type, or "net". What happens to a
 * key of the table whose value is not the neutral one, when the key
 *
 *   changes what is computed   DN_E_FORMAT
 *   changes training alone     a warning, and cfg->untrained: training is an error, predicting is not
 *   has no effect here         a warning */
dn_status dn_foreign_check(dn_cfg *cfg, dn_section *section, const char *type);
/* Is it a layer type, or an activation, of other Darknets? */
int dn_foreign_type(const char *name);
int dn_foreign_activation(const char *name);
#endif

/* What this process may use of the machine. */
#ifndef DN_MACHINE_H
#define DN_MACHINE_H
#include <stddef.h>

/* Processors: those of its affinity, and no more than the time its control groups grant, rounded up; at least 1. The
 * files of the system are looked for under `root`, which is "" but in tests. */
int dn_machine_processors(const char *root);
/* The most bytes that it can ever have: the machine's memory, or less where a control group's limit is lower; 0: not
 * known. */
size_t dn_machine_memory(const char *root);
#endif

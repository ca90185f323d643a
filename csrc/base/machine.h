/* What this process may use of the machine. */
#ifndef DN_MACHINE_H
#define DN_MACHINE_H
#include <stddef.h>

/* Processors in the affinity mask, capped by the CPU time that control groups grant (rounded up); at least 1. System
 * files are looked up under `root`, which is "" except in tests. */
int dn_machine_processors(const char *root);
/* The most bytes the process can ever have: the machine's memory, or a control group's limit where that is lower; 0 if
 * not known. */
size_t dn_machine_memory(const char *root);
/* The processor that the calling thread is on; -1 if not known. */
int dn_machine_processor(void);
/* Moves the calling thread from this processor to another one that it may use, where it need not stay; returns 0 if
 * there is none. Systems leave threads that wait for each other on one processor, to save their caches' contents. */
int dn_machine_move_from(int processor);
#endif

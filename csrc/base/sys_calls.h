/* What reader.c and writer.c need of sys.c around every call to the system. */
#ifndef DN_SYS_CALLS_H
#define DN_SYS_CALLS_H
#include "base/status.h"

/* Counts a call; 1 when a test wants this one to fail. */
int dn_sys_must_fail(void);
/* After a system call that a signal has cut short: DN_E_INTERRUPTED when the watch asks to stop. */
dn_status dn_sys_interrupted(void);
/* Until a descriptor is ready for poll's `events`, or for a moment; asks the watch. */
dn_status dn_sys_wait(int fd, short events);
#endif

/* What reader.c and writer.c need from sys.c around every system call. */
#ifndef DN_SYS_CALLS_H
#define DN_SYS_CALLS_H
#include "base/status.h"

/* Counts a call; returns 1 when a test wants this one to fail. */
int dn_sys_must_fail(void);
/* After a system call that a signal has interrupted: DN_E_INTERRUPTED when the watch asks to stop. */
dn_status dn_sys_interrupted(void);
/* Wait until a descriptor is ready for `events` (poll.h), or for a moment; then ask the watch. */
dn_status dn_sys_wait(int fd, short events);
#endif

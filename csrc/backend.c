/* Which machine a device name means. */
#include "backend.h"
#include <string.h>

dn_status dn_backend_find(const char *device, const dn_ops **ops, int *index) {
    *index = 0;
    *ops = !strcmp(device, "fence") ? &dn_fence_ops : &dn_cpu_ops;
    DN_CHECK(!strcmp(device, "fence") || !strcmp(device, "cpu") || !strcmp(device, "auto"), DN_E_DEVICE,
             "device '%s' is not available: this build computes on the CPU", device);
    return DN_OK;
}

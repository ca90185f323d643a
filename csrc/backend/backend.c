/* Which backend a device name means. The CUDA operations are a plugin, libdarknet_cuda.so, opened at run time, so that
 * one build serves machines with and without a GPU. */
#include "backend/plugin.h"
#include "backend/plugin_find.h"
#include "cpu/cpu_kernels.h"
#include "io/cfg.h"
#include <stdio.h>
#include <string.h>

/* `auto` takes a GPU only when a forward pass has at least this much arithmetic: below it, time goes into launching
 * kernels, a few microseconds each, and two cores are about as fast. An estimate, not a measurement. */
static const double AUTO_FLOPS = 20e6;

static const char *const precisions[DN_PRECISION_COUNT + 1] = {"float32", "tf32", "bf16", NULL};

const char *dn_precision_name(dn_precision precision) { return precisions[precision]; }

dn_status dn_precision_parse(const char *name, dn_precision *precision) {
    *precision = DN_FLOAT32;
    if (!name || !*name) return DN_OK;
    for (int i = 0; i < DN_PRECISION_COUNT; i++)
        if (!strcmp(name, precisions[i])) {
            *precision = (dn_precision)i;
            return DN_OK;
        }
    dn_like like;
    return dn_fail(DN_E_USAGE, "precision '%.40s' is unknown: float32, tf32 and bf16 are known%s", name,
                   dn_cfg_like(&like, name, precisions));
}

dn_status dn_backend_check(void) { return dn_cpu_check(); }

/* "cuda" or "cuda:N". */
static dn_status backend_number(const char *device, int *index) {
    static const char *const known[] = {"cpu", "cuda", "auto", "fence", NULL};
    dn_like like;
    int end = 0;
    if (!strcmp(device, "cuda")) return DN_OK;
    DN_CHECK(sscanf(device, "cuda:%9d%n", index, &end) == 1 && !device[end] && *index >= 0, DN_E_DEVICE,
             "device '%.100s' is unknown: cpu, cuda, cuda:N and auto are known%s", device,
             dn_cfg_like(&like, device, known));
    return DN_OK;
}

dn_status dn_backend_find(const char *device, double flops, const dn_ops **ops, int *index) {
    *index = 0;
    *ops = !strcmp(device, "fence") ? &dn_fence_ops : &dn_cpu_ops;
    if (!strcmp(device, "cpu") || !strcmp(device, "fence")) return DN_OK;
    int automatic = !strcmp(device, "auto"), devices;
    char why[640];
    if (automatic && flops < AUTO_FLOPS) return DN_OK;
    if (!automatic) DN_TRY(backend_number(device, index));
    const dn_plugin *plugin = dn_plugin_find(&devices, why, sizeof why);
    if (!plugin && automatic) return DN_OK;
    DN_CHECK(plugin, DN_E_DEVICE, "device '%s' is not available: %s", device, why);
    DN_CHECK(*index < devices, DN_E_DEVICE, "device '%s' is not available: there %s %d CUDA device%s, numbered from 0",
             device, devices == 1 ? "is" : "are", devices, devices == 1 ? "" : "s");
    *ops = plugin->ops;
    return DN_OK;
}

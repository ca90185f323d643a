#include "base/status.h"
#include "base/sys.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double WATCH_EVERY = 0.02; /* seconds */

static _Thread_local char message[1024];
static _Thread_local struct {
    dn_watch_fn ask;
    void *context;
    double asked; /* time of dn_now */
} watch;

const char *dn_error(void) { return message; }

dn_status dn_fail(dn_status code, const char *format, ...) {
    char text[sizeof message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dn_printable(text, message, sizeof message);
    return code;
}

dn_status dn_fail_prefix(dn_status code, const char *format, ...) {
    char old[sizeof message], prefix[sizeof message];
    memcpy(old, message, sizeof old);
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    dn_printable(prefix, message, sizeof message);
    size_t n = strlen(message);
    snprintf(message + n, sizeof message - n, "%s", old);
    return code;
}

void dn_watch(dn_watch_fn ask, void *context) { watch.ask = ask, watch.context = context, watch.asked = 0; }

dn_status dn_watched(void) {
    double now;
    if (!watch.ask || (now = dn_now()) < watch.asked + WATCH_EVERY) return DN_OK;
    watch.asked = now;
    DN_CHECK(!watch.ask(watch.context), DN_E_INTERRUPTED, "interrupted");
    return DN_OK;
}

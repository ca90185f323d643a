/* Status codes travel by return value; the sentence travels in a thread-local line (dn_error). */
#ifndef DN_STATUS_H
#define DN_STATUS_H
#include "darknet.h"

/* Set the message and return `code`. */
dn_status dn_fail(dn_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Put "prefix" in front of the present message, keeping the code. */
dn_status dn_fail_prefix(dn_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define DN_TRY(call)                                                                                                   \
    do {                                                                                                               \
        dn_status dn_try_status_ = (call);                                                                             \
        if (dn_try_status_ != DN_OK) return dn_try_status_;                                                            \
    } while (0)
#define DN_CHECK(condition, code, ...)                                                                                 \
    do {                                                                                                               \
        if (!(condition)) return dn_fail((code), __VA_ARGS__);                                                         \
    } while (0)
#endif

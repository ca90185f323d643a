/* Status codes travel by return value; the sentence travels in a thread-local line (dn_error). */
#ifndef DN_STATUS_H
#define DN_STATUS_H
#include "darknet.h"

/* Set the message and return `code`. */
dn_status dn_fail(dn_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Put "prefix" in front of the present message, keeping the code. */
dn_status dn_fail_prefix(dn_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text of others, as it may appear in a message: control characters as \x1b, so that a terminal does not obey them. At
 * most `size` bytes with the final zero. */
void dn_printable(const char *from, char *to, size_t size);
/* In long calls, between two parts of the work: DN_E_INTERRUPTED when this thread's watch (dn_watch) asks to stop. Costs
 * a look at the clock. */
dn_status dn_watched(void);

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

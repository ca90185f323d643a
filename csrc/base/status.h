/* Status codes are return values; the message is kept in a thread-local buffer (dn_error). */
#ifndef DN_STATUS_H
#define DN_STATUS_H
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "-ffast-math and -Ofast take away what tells NaN and infinity from numbers: use -O3"
#endif
#include "darknet.h"

/* Set the message and return `code`. */
dn_status dn_fail(dn_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Put "prefix" in front of the current message, keeping the code. */
dn_status dn_fail_prefix(dn_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Foreign text as it may appear in a message: control characters become \x1b and the like, so that a terminal does not
 * obey them. Writes at most `size` bytes including the final zero. */
void dn_printable(const char *from, char *to, size_t size);
/* To be called now and then in long calls: DN_E_INTERRUPTED when this thread's watch (dn_watch) asks to stop. Usually
 * costs no more than reading the clock. */
dn_status dn_watched(void);

#define DN_TRY(call)                                        \
    do {                                                    \
        dn_status dn_try_status_ = (call);                  \
        if (dn_try_status_ != DN_OK) return dn_try_status_; \
    } while (0)
#define DN_CHECK(condition, code, ...)                         \
    do {                                                       \
        if (!(condition)) return dn_fail((code), __VA_ARGS__); \
    } while (0)
#endif

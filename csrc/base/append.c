/* Files that grow line by line, where every line has to be there if the program is killed after it. */
#include "base/sys.h"
#include "base/sys_calls.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

dn_status dn_append_open(int *fd, const char *path, int anew) {
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC | (anew ? O_TRUNC : 0);
    for (;;) { /* opening a named pipe waits for its reader */
        *fd = dn_sys_must_fail() ? (errno = EIO, -1) : open(path, flags, 0666);
        if (*fd >= 0) return DN_OK;
        DN_CHECK(errno == EINTR, DN_E_IO, "cannot write %s: %s", path, strerror(errno));
        DN_TRY(dn_sys_interrupted());
    }
}

dn_status dn_append_write(int fd, const char *path, const char *text, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = dn_sys_must_fail() ? (errno = ENOSPC, -1) : write(fd, text + done, size - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno == EINTR)
            DN_TRY(dn_sys_interrupted());
        else if (errno == EAGAIN)
            DN_TRY(dn_sys_wait(fd, POLLOUT));
        else
            return dn_fail(DN_E_IO, "cannot write %s: %s", path, strerror(errno));
    }
    return DN_OK;
}

dn_status dn_append_cut(const char *path, size_t size) {
    int failed = dn_sys_must_fail() ? (errno = EIO, 1) : truncate(path, (off_t)size);
    DN_CHECK(!failed, DN_E_IO, "cannot write %s: %s", path, strerror(errno));
    return DN_OK;
}

void dn_append_close(int fd) {
    if (fd >= 0) close(fd);
}

/* Reading files and pipes. */
#include "base/sys.h"
#include "base/sys_calls.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opening a pipe waits for its writer; when a signal interrupts that, the watch decides. */
static dn_status reader_open(int *fd, const char *path, int flags) {
    for (;;) {
        *fd = dn_sys_must_fail() ? (errno = EIO, -1) : open(path, O_RDONLY | O_CLOEXEC | flags);
        if (*fd >= 0 || errno != EINTR) break;
        DN_TRY(dn_sys_interrupted());
    }
    DN_CHECK(*fd >= 0, DN_E_IO, "cannot open %s: %s", path, strerror(errno));
    return DN_OK;
}

dn_status dn_reader_open(int *fd, const char *path) {
    struct stat info;
    if (strcmp(path, "-")) {
        DN_TRY(reader_open(fd, path, 0));
    } else {
        *fd = dn_sys_must_fail() ? (errno = EIO, -1) : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        DN_CHECK(*fd >= 0, DN_E_IO, "cannot read standard input: %s", strerror(errno));
    }
    if (fstat(*fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        close(*fd);
        return dn_fail(DN_E_IO, "cannot read %s: it is a folder", path);
    }
    return DN_OK;
}

size_t dn_reader_left(int fd) {
    struct stat info;
    off_t at = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? lseek(fd, 0, SEEK_CUR) : -1;
    return at >= 0 && at < info.st_size ? (size_t)(info.st_size - at) : 0;
}

dn_status dn_reader_read(int fd, const char *path, void *to, size_t room, size_t *got) {
    *got = 0;
    while (*got < room) {
        ssize_t n = dn_sys_must_fail() ? (errno = EIO, -1) : read(fd, (char *)to + *got, room - *got);
        if (n < 0 && errno == EINTR) {
            DN_TRY(dn_sys_interrupted());
            continue;
        }
        if (n < 0 && errno == EAGAIN) { /* somebody made our descriptor non-blocking */
            DN_TRY(dn_sys_wait(fd, POLLIN));
            continue;
        }
        DN_CHECK(n >= 0, DN_E_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0) break;
        *got += (size_t)n;
    }
    return DN_OK;
}

dn_status dn_reader_some(int fd, const char *path, void *to, size_t room, int ms, size_t *got, int *end) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    *got = 0;
    int events = poll(&ready, 1, ms);
    if (events == 0 || (events < 0 && errno == EINTR)) return DN_OK; /* poll may fail where read does not */
    ssize_t n = dn_sys_must_fail() ? (errno = EIO, -1) : read(fd, to, room);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return DN_OK;
    DN_CHECK(n >= 0, DN_E_IO, "cannot read %s: %s", path, strerror(errno));
    *got = (size_t)n, *end = n == 0;
    return DN_OK;
}

int dn_reader_seekable(int fd, int64_t *at) {
    struct stat info;
    *at = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)lseek(fd, 0, SEEK_CUR) : -1;
    return *at >= 0;
}

dn_status dn_reader_seek(int fd, const char *path, int64_t at) {
    off_t now = dn_sys_must_fail() ? (errno = EIO, -1) : lseek(fd, (off_t)at, SEEK_SET);
    DN_CHECK(now >= 0, DN_E_IO, "cannot read %s: %s", path, strerror(errno));
    return DN_OK;
}

void dn_reader_close(int fd) { close(fd); }

/* Up to `most` bytes, followed by a zero. */
static dn_status reader_read_all(int fd, const char *path, size_t most, char **data, size_t *size) {
    size_t have = 0, room = 65536, got = 0, wanted;
    do { /* pipes have no size, so the buffer grows */
        room = room < most / 2 ? 2 * room : most;
        char *grown = dn_realloc(*data, room + 1, 1);
        if (!grown) return DN_E_MEMORY;
        *data = grown, wanted = room - have;
        DN_TRY(dn_reader_read(fd, path, *data + have, wanted, &got));
        have += got;
    } while (got == wanted && have < most);
    (*data)[have] = 0, *size = have;
    return DN_OK;
}

dn_status dn_file_read_part(const char *path, size_t most, char **data, size_t *size, size_t *whole) {
    int fd;
    *data = NULL, *size = *whole = 0;
    DN_TRY(dn_reader_open(&fd, path));
    size_t there = dn_reader_left(fd);
    dn_status status = reader_read_all(fd, path, most, data, size);
    dn_reader_close(fd);
    *whole = *size < most || there < *size ? *size : there;
    if (status == DN_OK) return DN_OK;
    dn_free(*data);
    *data = NULL;
    return status;
}

static dn_status file_not_too_long(const char *path, size_t most, char **data, size_t *size) {
    if (*size <= most) return DN_OK;
    dn_free(*data);
    *data = NULL, *size = 0;
    return dn_fail(DN_E_FORMAT, "%s: longer than %zu bytes, the most that is read", path, most);
}

dn_status dn_file_read(const char *path, size_t most, char **data, size_t *size) {
    size_t whole;
    DN_TRY(dn_file_read_part(path, most + 1, data, size, &whole));
    return file_not_too_long(path, most, data, size);
}

int dn_file_is_regular(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISREG(info.st_mode);
}

dn_status dn_file_read_regular(const char *path, size_t most, char **data, size_t *size) {
    struct stat info;
    int fd;
    *data = NULL, *size = 0;
    /* before it is opened, as opening a device may have side effects; and after, as it may have changed */
    DN_CHECK(stat(path, &info) == 0, DN_E_IO, "cannot open %s: %s", path, strerror(errno));
    DN_CHECK(S_ISREG(info.st_mode), DN_E_IO, "cannot read %s: it is not a regular file", path);
    DN_TRY(reader_open(&fd, path, O_NONBLOCK | O_NOCTTY));
    dn_status status = DN_OK;
    if (fstat(fd, &info) || !S_ISREG(info.st_mode))
        status = dn_fail(DN_E_IO, "cannot read %s: it is not a regular file", path);
    if (status == DN_OK) status = reader_read_all(fd, path, most + 1, data, size);
    dn_reader_close(fd);
    if (status == DN_OK) return file_not_too_long(path, most, data, size);
    dn_free(*data);
    *data = NULL;
    return status;
}

dn_status dn_file_map(int fd, const char *path, size_t size, char **data) {
    void *at =
        dn_sys_must_fail() ? (errno = EIO, MAP_FAILED) : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    *data = at == MAP_FAILED ? NULL : at;
    DN_CHECK(*data, DN_E_IO, "cannot map %s: %s", path, strerror(errno));
    return DN_OK;
}

void dn_file_unmap(char *data, size_t size) {
    if (data) munmap(data, size);
}

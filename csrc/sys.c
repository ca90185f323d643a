#include "sys.h"
#include "machine.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The only variables of the library that are not in an object: a test's wish for a failure. */
static atomic_long calls, fail_at;

long dn_sys_fail_at(long n) {
    long seen = atomic_exchange(&calls, 0);
    atomic_store(&fail_at, n);
    return seen;
}

static int sys_must_fail(void) {
    long now = atomic_fetch_add(&calls, 1) + 1;
    return now == atomic_load(&fail_at);
}

dn_status dn_size_mul(size_t *out, size_t a, size_t b) {
    DN_CHECK(!__builtin_mul_overflow(a, b, out), DN_E_MEMORY, "a size of %zu x %zu is too large", a, b);
    return DN_OK;
}

/* More than the machine or its control group has: systems that promise memory freely would grant it, and end the process
 * when it is used. */
static int sys_too_much(size_t bytes) {
    enum { WORTH_ASKING = 1 << 30 };
    size_t most = bytes >= WORTH_ASKING ? dn_machine_memory("") : 0;
    return bytes > PTRDIFF_MAX || (most && bytes > most);
}

void *dn_alloc(size_t n, size_t size) {
    size_t bytes;
    if (dn_size_mul(&bytes, n ? n : 1, size) != DN_OK) return NULL;
    void *p = NULL;
    if (sys_too_much(bytes) || sys_must_fail() || posix_memalign(&p, 64, bytes)) {
        dn_fail(DN_E_MEMORY, "out of memory: %zu bytes wanted", bytes);
        return NULL;
    }
    memset(p, 0, bytes);
    return p;
}

void *dn_realloc(void *old, size_t n, size_t size) {
    size_t bytes;
    if (dn_size_mul(&bytes, n ? n : 1, size) != DN_OK) return NULL;
    void *p = sys_too_much(bytes) || sys_must_fail() ? NULL : realloc(old, bytes);
    if (!p) dn_fail(DN_E_MEMORY, "out of memory: %zu bytes wanted", bytes);
    return p;
}

void dn_free(void *p) { free(p); }

void dn_memory_expect(void *p, size_t bytes) {
#ifdef MADV_HUGEPAGE
    enum { WORTH_IT = 4 << 20 };
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)p + page - 1) / page * page;
    if (bytes >= WORTH_IT) (void)!madvise((void *)from, ((uintptr_t)p + bytes - from) / page * page, MADV_HUGEPAGE);
#else
    (void)p, (void)bytes;
#endif
}

char *dn_strdup(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = dn_realloc(NULL, n, 1);
    if (copy) memcpy(copy, text, n);
    return copy;
}

/* Opening a pipe waits for its writer; a signal in between lets the watch decide. */
static dn_status reader_open(int *fd, const char *path, int flags) {
    for (;;) {
        *fd = sys_must_fail() ? (errno = EIO, -1) : open(path, O_RDONLY | O_CLOEXEC | flags);
        if (*fd >= 0 || errno != EINTR) break;
        DN_TRY(dn_watched());
    }
    DN_CHECK(*fd >= 0, DN_E_IO, "cannot open %s: %s", path, strerror(errno));
    return DN_OK;
}

dn_status dn_reader_open(int *fd, const char *path) {
    struct stat info;
    DN_TRY(reader_open(fd, path, 0));
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
        ssize_t n = sys_must_fail() ? (errno = EIO, -1) : read(fd, (char *)to + *got, room - *got);
        if (n < 0 && errno == EINTR) {
            DN_TRY(dn_watched());
            continue;
        }
        DN_CHECK(n >= 0, DN_E_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0) break;
        *got += (size_t)n;
    }
    return DN_OK;
}

void dn_reader_close(int fd) { close(fd); }

/* Up to `most` bytes, with a zero behind them. */
static dn_status reader_read_all(int fd, const char *path, size_t most, char **data, size_t *size) {
    size_t have = 0, room = 65536, got = 0, wanted;
    do { /* pipes have no size, so it grows */
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

dn_status dn_file_read_regular(const char *path, size_t most, char **data, size_t *size) {
    struct stat info;
    int fd;
    *data = NULL, *size = 0;
    /* before it is opened, as opening a device may do something; and after, as it may have changed */
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

struct dn_writer {
    char *path, *temporary;
    int fd;
    size_t used;
    char buffer[1 << 16];
};

static void writer_free(dn_writer *w) {
    dn_free(w->path);
    dn_free(w->temporary);
    dn_free(w);
}

dn_status dn_writer_open(dn_writer **out, const char *path) {
    *out = NULL;
    dn_writer *w = dn_alloc(1, sizeof *w);
    if (!w) return DN_E_MEMORY;
    w->fd = -1;
    w->path = dn_strdup(path);
    w->temporary = dn_alloc(strlen(path) + 32, 1);
    if (!w->path || !w->temporary) {
        writer_free(w);
        return DN_E_MEMORY;
    }
    sprintf(w->temporary, "%s.tmp.%ld", path, (long)getpid());
    w->fd = sys_must_fail() ? (errno = EIO, -1) : open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        dn_status status = dn_fail(DN_E_IO, "cannot write %s: %s", path, strerror(errno));
        writer_free(w);
        return status;
    }
    *out = w;
    return DN_OK;
}

static dn_status writer_flush(dn_writer *w) {
    size_t done = 0;
    while (done < w->used) {
        ssize_t n = sys_must_fail() ? (errno = ENOSPC, -1) : write(w->fd, w->buffer + done, w->used - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return dn_fail(DN_E_IO, "cannot write %s: %s", w->path, strerror(errno));
        done += (size_t)n;
    }
    w->used = 0;
    return DN_OK;
}

dn_status dn_writer_write(dn_writer *w, const void *data, size_t size) {
    const char *from = data;
    while (size) {
        size_t n = sizeof w->buffer - w->used < size ? sizeof w->buffer - w->used : size;
        memcpy(w->buffer + w->used, from, n);
        w->used += n, from += n, size -= n;
        if (w->used == sizeof w->buffer) DN_TRY(writer_flush(w));
    }
    return DN_OK;
}

dn_status dn_writer_commit(dn_writer *w) {
    dn_status status = writer_flush(w);
    if (status == DN_OK && (sys_must_fail() ? (errno = EIO, 1) : fsync(w->fd) != 0) && errno != EINVAL)
        status = dn_fail(DN_E_IO, "cannot write %s: %s", w->path, strerror(errno));
    if (close(w->fd) != 0 && status == DN_OK)
        status = dn_fail(DN_E_IO, "cannot write %s: %s", w->path, strerror(errno));
    if (status == DN_OK && (sys_must_fail() ? (errno = EIO, 1) : rename(w->temporary, w->path) != 0))
        status = dn_fail(DN_E_IO, "cannot write %s: %s", w->path, strerror(errno));
    if (status != DN_OK) unlink(w->temporary);
    writer_free(w);
    return status;
}

void dn_writer_abort(dn_writer *w) {
    if (!w) return;
    close(w->fd);
    unlink(w->temporary);
    writer_free(w);
}

double dn_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

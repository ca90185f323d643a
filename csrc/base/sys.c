#define _GNU_SOURCE /* getentropy */
#include "base/sys.h"
#include <dirent.h>
#include "base/machine.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
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

/* After a system call that a signal has cut short: does somebody want us to stop? */
static dn_status sys_interrupted(void) {
    const struct timespec pause = {.tv_nsec = 30000000}; /* the watch is asked no more often than that */
    nanosleep(&pause, NULL);
    return dn_watched();
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
        DN_TRY(sys_interrupted());
    }
    DN_CHECK(*fd >= 0, DN_E_IO, "cannot open %s: %s", path, strerror(errno));
    return DN_OK;
}

dn_status dn_reader_open(int *fd, const char *path) {
    struct stat info;
    if (strcmp(path, "-")) {
        DN_TRY(reader_open(fd, path, 0));
    } else {
        *fd = sys_must_fail() ? (errno = EIO, -1) : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
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
        ssize_t n = sys_must_fail() ? (errno = EIO, -1) : read(fd, (char *)to + *got, room - *got);
        if (n < 0 && errno == EINTR) {
            DN_TRY(sys_interrupted());
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
    if (poll(&ready, 1, ms) == 0) return DN_OK; /* it may fail where read does not */
    ssize_t n = sys_must_fail() ? (errno = EIO, -1) : read(fd, to, room);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return DN_OK;
    DN_CHECK(n >= 0, DN_E_IO, "cannot read %s: %s", path, strerror(errno));
    *got = (size_t)n, *end = n == 0;
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

/* ---- writing ----
 *
 * A regular file is written as a temporary neighbour that is renamed over it, so that readers see the old file or the
 * new one and a failure leaves the old one. Renaming would replace whatever else the path names, so everything that is
 * no regular file (a pipe, a terminal, /dev/null) is opened and written directly, and links are resolved first. */

enum { MAX_LINKS = 40, WRITER_TRIES = 100 };

struct dn_writer {
    char *path;      /* as given, for messages */
    char *target;    /* what the temporary file becomes; NULL: written directly */
    char *temporary; /* NULL: written directly */
    int fd, borrowed; /* borrowed: the descriptor is the program's own and stays open */
    size_t used;
    char buffer[1 << 16];
};

static void writer_free(dn_writer *w) {
    if (w->fd >= 0 && !w->borrowed) close(w->fd);
    dn_free(w->path);
    dn_free(w->target);
    dn_free(w->temporary);
    dn_free(w);
}

static dn_status writer_fail(const dn_writer *w, int number) {
    return dn_fail(DN_E_IO, "cannot write %s: %s", w->path, strerror(number));
}

/* The folder of a path and the name in it: "a/b" is "a/" and "b", "b" is "" and "b". */
static size_t path_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

/* Follow the links that a path itself is, also to a file that does not exist yet. */
static dn_status path_resolve(const char *path, char **out) {
    struct stat info;
    if (!(*out = dn_strdup(path))) return DN_E_MEMORY;
    for (int i = 0; i < MAX_LINKS; i++) {
        if (lstat(*out, &info) || !S_ISLNK(info.st_mode)) return DN_OK;
        size_t folder = path_folder(*out);
        char *next = dn_alloc(folder + 4096, 1);
        if (!next) return DN_E_MEMORY;
        ssize_t n = readlink(*out, next + folder, 4095);
        if (n < 0) {
            dn_free(next);
            return dn_fail(DN_E_IO, "cannot write %s: %s", path, strerror(errno));
        }
        next[folder + (size_t)n] = 0;
        if (next[folder] == '/')
            memmove(next, next + folder, (size_t)n + 1); /* an absolute link */
        else
            memcpy(next, *out, folder);
        dn_free(*out);
        *out = next;
    }
    return dn_fail(DN_E_IO, "cannot write %s: %s", path, strerror(ELOOP));
}

/* A descriptor of the program's own that the path is another name for (/dev/stdout, the file that standard output was
 * sent to); -1: none. Renaming a new file over it would part the two. */
static int path_is_open(const struct stat *info) {
    struct stat own;
    for (int fd = 1; fd <= 2; fd++)
        if (!fstat(fd, &own) && own.st_dev == info->st_dev && own.st_ino == info->st_ino) return fd;
    return -1;
}

static dn_status writer_open_directly(dn_writer *w, const char *path) {
    for (;;) { /* opening a named pipe waits for its reader */
        w->fd = sys_must_fail() ? (errno = EIO, -1) : open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
        if (w->fd >= 0) return DN_OK;
        if (errno != EINTR) return writer_fail(w, errno);
        DN_TRY(sys_interrupted());
    }
}

/* Temporary files are called NAME.tmp.PID.RANDOM. Those that runs left which were killed have a number of no process,
 * and nobody holds their lock; the name is cut where it would become too long for a file system. */
static int leftover_is(const char *entry, const char *stem, size_t stem_size) {
    if (strncmp(entry, stem, stem_size)) return 0;
    char *end;
    long pid = strtol(entry + stem_size, &end, 10);
    return pid > 0 && *end == '.' && strlen(end) == 17 && kill((pid_t)pid, 0) && errno == ESRCH;
}

static void writer_clean(const char *folder, const char *stem, size_t stem_size) {
    DIR *dir = opendir(*folder ? folder : ".");
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!leftover_is(entry->d_name, stem, stem_size)) continue;
        int fd = openat(dirfd(dir), entry->d_name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) continue;
        if (!flock(fd, LOCK_EX | LOCK_NB)) unlinkat(dirfd(dir), entry->d_name, 0);
        close(fd);
    }
    closedir(dir);
}

static uint64_t sys_random(void) {
    uint64_t bits = 0;
    if (getentropy(&bits, sizeof bits)) bits = (uint64_t)(dn_now() * 1e9) ^ (uint64_t)(uintptr_t)&bits << 20;
    return bits;
}

/* A new file beside the target; `mode` as of open. */
static dn_status writer_open_temporary(dn_writer *w, mode_t mode) {
    enum { NAME_MOST = 200 };
    size_t folder = path_folder(w->target), name = strlen(w->target + folder);
    int cut = (int)(name < NAME_MOST ? name : NAME_MOST);
    char stem[NAME_MOST + 8];
    int stem_size = snprintf(stem, sizeof stem, "%.*s.tmp.", cut, w->target + folder);
    size_t size = folder + (size_t)stem_size + 48;
    if (!(w->temporary = dn_alloc(size, 1))) return DN_E_MEMORY;
    snprintf(w->temporary, size, "%.*s", (int)folder, w->target);
    writer_clean(w->temporary, stem, (size_t)stem_size);
    for (int i = 0; i < WRITER_TRIES; i++) {
        snprintf(w->temporary, size, "%.*s%s%ld.%016llx", (int)folder, w->target, stem, (long)getpid(),
                 (unsigned long long)sys_random());
        w->fd = sys_must_fail() ? (errno = EIO, -1)
                                : open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (w->fd >= 0) {
            (void)!flock(w->fd, LOCK_EX | LOCK_NB); /* so that others do not take it for a leftover */
            return DN_OK;
        }
        if (errno != EEXIST && errno != EINTR) break;
    }
    int number = errno;
    dn_free(w->temporary);
    w->temporary = NULL;
    return writer_fail(w, number);
}

/* The file that is there keeps its mode, and its owner where we may give files away. */
static dn_status writer_replace(dn_writer *w, const struct stat *old) {
    if (access(w->target, W_OK)) return writer_fail(w, errno);
    DN_TRY(writer_open_temporary(w, 0600));
    struct stat now;
    if (!fstat(w->fd, &now) && (now.st_uid != old->st_uid || now.st_gid != old->st_gid) &&
        fchown(w->fd, old->st_uid, old->st_gid) && now.st_gid != old->st_gid)
        (void)!fchown(w->fd, (uid_t)-1, old->st_gid);
    (void)!fchmod(w->fd, old->st_mode & 07777);
    return DN_OK;
}

static dn_status writer_begin(dn_writer *w, const char *path) {
    struct stat info;
    if (!strcmp(path, "-")) {
        w->fd = STDOUT_FILENO, w->borrowed = 1;
        return DN_OK;
    }
    int there = stat(path, &info) == 0;
    if (there && S_ISDIR(info.st_mode)) return writer_fail(w, EISDIR);
    int own = there ? path_is_open(&info) : -1;
    if (own >= 0) {
        w->fd = own, w->borrowed = 1;
        return DN_OK;
    }
    if (there && !S_ISREG(info.st_mode)) return writer_open_directly(w, path);
    DN_TRY(path_resolve(path, &w->target));
    return there ? writer_replace(w, &info) : writer_open_temporary(w, 0666);
}

dn_status dn_writer_open(dn_writer **out, const char *path) {
    *out = NULL;
    if (!path) path = "-";
    dn_writer *w = dn_alloc(1, sizeof *w);
    if (!w) return DN_E_MEMORY;
    w->fd = -1;
    w->path = dn_strdup(strcmp(path, "-") ? path : "to standard output");
    dn_status status = w->path ? writer_begin(w, path) : DN_E_MEMORY;
    if (status == DN_OK)
        *out = w;
    else
        dn_writer_abort(w);
    return status;
}

dn_status dn_writable(const char *path) {
    struct stat info;
    dn_writer *w;
    if (!strcmp(path, "-")) return DN_OK;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) { /* opening it might wait */
        DN_CHECK(access(path, W_OK) == 0, DN_E_IO, "cannot write %s: %s", path, strerror(errno));
        return DN_OK;
    }
    DN_TRY(dn_writer_open(&w, path));
    dn_writer_abort(w);
    return DN_OK;
}

static dn_status writer_flush(dn_writer *w) {
    size_t done = 0;
    while (done < w->used) {
        ssize_t n = sys_must_fail() ? (errno = ENOSPC, -1) : write(w->fd, w->buffer + done, w->used - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EINTR) {
            DN_TRY(sys_interrupted());
        } else if (errno == EAGAIN) { /* somebody made our descriptor non-blocking */
            struct pollfd ready = {.fd = w->fd, .events = POLLOUT};
            poll(&ready, 1, 100);
            DN_TRY(dn_watched());
        } else {
            return writer_fail(w, errno);
        }
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

/* Not every file system and kind of file knows fsync. */
static int sys_sync(int fd) {
    if (sys_must_fail()) return errno = EIO, -1;
    return fsync(fd) && errno != EINVAL && errno != ENOTSUP && errno != EROFS ? -1 : 0;
}

/* The new name too must survive a power cut: it is part of the folder. */
static int sys_sync_folder(const char *path) {
    char folder[4096];
    size_t size = path_folder(path);
    if (size >= sizeof folder) return 0;
    snprintf(folder, sizeof folder, "%.*s", size ? (int)size : 1, size ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0; /* we may write there but not read */
    int failed = sys_sync(fd), number = errno;
    close(fd);
    errno = number;
    return failed;
}

dn_status dn_writer_commit(dn_writer *w) {
    dn_status status = writer_flush(w);
    if (status == DN_OK && w->temporary) {
        if (sys_sync(w->fd) || (sys_must_fail() ? (errno = EIO, 1) : rename(w->temporary, w->target)))
            status = writer_fail(w, errno);
        if (status == DN_OK) {
            dn_free(w->temporary);
            w->temporary = NULL;
            if (sys_sync_folder(w->target)) status = writer_fail(w, errno);
        }
    }
    if (!w->borrowed) {
        int failed = close(w->fd);
        w->fd = -1;
        if (failed && status == DN_OK) status = writer_fail(w, errno);
    }
    dn_writer_abort(w);
    return status;
}

void dn_writer_abort(dn_writer *w) {
    if (!w) return;
    if (w->temporary) unlink(w->temporary);
    writer_free(w);
}

double dn_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

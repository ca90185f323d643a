/* Writing files. A regular file is written as a temporary neighbour that is renamed over it, so that readers see the
 * old file or the new one and a failure leaves the old one. Renaming would replace whatever else the path names, so
 * everything that is no regular file (a pipe, a terminal, /dev/null) is opened and written directly, and links are
 * resolved first.
 *
 * Some files can be written but not replaced: the folder is read-only for us, it is sticky and the file is another
 * user's, or the file alone is mounted into a container. Those are written over, which a failure can interrupt. */
#define _GNU_SOURCE /* getentropy */
#include "base/sys.h"
#include "base/sys_calls.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LINKS = 40, WRITER_TRIES = 100 };

struct dn_writer {
    char *path;       /* as given, for messages */
    char *target;     /* what the temporary file will be renamed to; NULL: written directly */
    char *temporary;  /* NULL: written directly */
    int fd, borrowed; /* borrowed: the descriptor is the program's own and stays open */
    int replaces;     /* there is an old file */
    int never_over;   /* an old file stays whole whatever happens: it is replaced or it stays */
    int over;         /* overwritten in place; 1 while the old file is still whole */
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

/* Length of the folder part of a path: "a/" of "a/b", "" of "b". */
static size_t path_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

/* Follow links if the path itself is one, also to a file that does not exist yet. */
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

/* A descriptor that the program already has open on the same file (/dev/stdout, or the file that standard output was
 * redirected to); -1 if none. Renaming a new file over it would separate the two. */
static int path_is_open(const struct stat *info) {
    struct stat own;
    for (int fd = 1; fd <= 2; fd++)
        if (!fstat(fd, &own) && own.st_dev == info->st_dev && own.st_ino == info->st_ino) return fd;
    return -1;
}

static dn_status writer_open_directly(dn_writer *w, const char *path) {
    for (;;) { /* opening a named pipe waits for its reader */
        w->fd = dn_sys_must_fail() ? (errno = EIO, -1) : open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
        if (w->fd >= 0) return DN_OK;
        if (errno != EINTR) return writer_fail(w, errno);
        DN_TRY(dn_sys_interrupted());
    }
}

/* Does the error say that the folder does not let us create or replace files? */
static int folder_refuses(int number) {
    return number == EACCES || number == EPERM || number == EROFS || number == EBUSY;
}

/* The old file stays whole until there is something to write. */
static dn_status writer_open_over(dn_writer *w) {
    w->fd = dn_sys_must_fail() ? (errno = EIO, -1) : open(w->target, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    w->over = 1;
    return w->fd >= 0 ? DN_OK : writer_fail(w, errno);
}

/* Temporary files are called NAME.tmp.PID.RANDOM; the name is cut where it would become too long for the file system. A
 * writer holds a lock on its file, so a file that can be locked was left behind by a run that was killed. (The PID
 * alone cannot tell: in containers every run may have the same one, and a dead process may be a zombie.) */
static int leftover_is(const char *entry, const char *stem, size_t stem_size) {
    if (strncmp(entry, stem, stem_size)) return 0;
    const char *dot = entry + stem_size + strspn(entry + stem_size, "0123456789");
    return dot != entry + stem_size && *dot == '.' && strlen(dot) == 17 && strspn(dot + 1, "0123456789abcdef") == 16;
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

/* Lock a new temporary file, so that other writers do not take it for a leftover; returns 0 if one of them has just
 * done that. Without locks in the file system there is no cleaning up either. */
static int writer_lock(const dn_writer *w) {
    return (!flock(w->fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) && !access(w->temporary, F_OK);
}

/* Create a file beside the target, with `mode` as for open. */
static dn_status writer_open_temporary(dn_writer *w, mode_t mode) {
    enum { NAME_MOST = 100 }; /* encrypted folders limit names to 143 bytes */
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
        w->fd = dn_sys_must_fail() ? (errno = EIO, -1)
                                   : open(w->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (w->fd >= 0 && writer_lock(w)) return DN_OK;
        if (w->fd >= 0)
            close(w->fd), w->fd = -1, errno = EEXIST;
        else if (errno != EEXIST && errno != EINTR)
            break;
    }
    int number = errno;
    dn_free(w->temporary);
    w->temporary = NULL;
    return w->replaces && !w->never_over && folder_refuses(number) ? writer_open_over(w) : writer_fail(w, number);
}

/* The new file gets the old one's mode, and its owner where we may change owners. If the group changes, the old group's
 * permissions are not passed on unless everybody has them; if owner or group changes, set-user-ID and set-group-ID bits
 * are dropped. */
static void writer_keep_mode(const dn_writer *w, const struct stat *old) {
    struct stat now;
    mode_t mode = old->st_mode & 07777;
    if (fstat(w->fd, &now)) return;
    if ((now.st_uid != old->st_uid || now.st_gid != old->st_gid) && fchown(w->fd, old->st_uid, old->st_gid))
        (void)!fchown(w->fd, (uid_t)-1, old->st_gid);
    if (fstat(w->fd, &now)) return;
    if (now.st_gid != old->st_gid) mode &= ~(mode_t)S_IRWXG | (mode & S_IRWXO) << 3;
    if (now.st_uid != old->st_uid || now.st_gid != old->st_gid) mode &= ~(mode_t)(S_ISUID | S_ISGID);
    (void)!fchmod(w->fd, mode);
}

static dn_status writer_replace(dn_writer *w, const struct stat *old) {
    if (access(w->target, W_OK)) return writer_fail(w, errno);
    w->replaces = 1;
    DN_TRY(writer_open_temporary(w, 0600));
    if (w->temporary) writer_keep_mode(w, old);
    return DN_OK;
}

static dn_status writer_begin(dn_writer *w, const char *path) {
    struct stat info;
    if (!strcmp(path, "-") && !w->never_over) {
        w->fd = STDOUT_FILENO, w->borrowed = 1;
        return DN_OK;
    }
    DN_CHECK(*path, DN_E_IO, "cannot write a file without a name");
    int there = stat(path, &info) == 0;
    if (!there && errno != ENOENT) return writer_fail(w, errno);
    if (there && S_ISDIR(info.st_mode)) return writer_fail(w, EISDIR);
    DN_CHECK(!w->never_over || !there || S_ISREG(info.st_mode), DN_E_IO, "cannot write %s: it is no regular file",
             path);
    int own = there && !w->never_over ? path_is_open(&info) : -1;
    if (own >= 0) {
        w->fd = own, w->borrowed = 1;
        return DN_OK;
    }
    if (there && !S_ISREG(info.st_mode)) return writer_open_directly(w, path);
    DN_TRY(path_resolve(path, &w->target));
    return there ? writer_replace(w, &info) : writer_open_temporary(w, 0666);
}

static dn_status writer_open(dn_writer **out, const char *path, int never_over) {
    *out = NULL;
    dn_writer *w = dn_alloc(1, sizeof *w);
    if (!w) return DN_E_MEMORY;
    w->fd = -1, w->never_over = never_over;
    w->path = dn_strdup(strcmp(path, "-") ? path : "to standard output");
    dn_status status = w->path ? writer_begin(w, path) : DN_E_MEMORY;
    if (status == DN_OK)
        *out = w;
    else
        dn_writer_abort(w);
    return status;
}

dn_status dn_writer_open(dn_writer **out, const char *path) { return writer_open(out, path ? path : "-", 0); }

dn_status dn_writer_replace(dn_writer **out, const char *path) { return writer_open(out, path, 1); }

dn_status dn_file_save(const char *path, const void *data, size_t size) {
    dn_writer *w;
    DN_TRY(dn_writer_open(&w, path));
    return dn_writer_finish(w, dn_writer_write(w, data, size));
}

dn_status dn_writable(const char *path) {
    struct stat info;
    dn_writer *w;
    if (!strcmp(path, "-")) return DN_OK;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) { /* opening it might block */
        DN_CHECK(access(path, W_OK) == 0, DN_E_IO, "cannot write %s: %s", path, strerror(errno));
        return DN_OK;
    }
    DN_TRY(dn_writer_open(&w, path));
    dn_writer_abort(w);
    return DN_OK;
}

static dn_status writer_flush(dn_writer *w) {
    size_t done = 0;
    if (w->over && (dn_sys_must_fail() ? (errno = EIO, 1) : ftruncate(w->fd, 0))) return writer_fail(w, errno);
    w->over = 0;
    while (done < w->used) {
        ssize_t n = dn_sys_must_fail() ? (errno = ENOSPC, -1) : write(w->fd, w->buffer + done, w->used - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EINTR) {
            DN_TRY(dn_sys_interrupted());
        } else if (errno == EAGAIN) { /* somebody made our descriptor non-blocking */
            DN_TRY(dn_sys_wait(w->fd, POLLOUT));
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

dn_status dn_writer_pass_on(dn_writer *w) { return w->target ? DN_OK : writer_flush(w); }

/* Not every file system and kind of file supports fsync. */
static int sys_sync(int fd) {
    if (dn_sys_must_fail()) return errno = EIO, -1;
    return fsync(fd) && errno != EINVAL && errno != ENOTSUP && errno != EROFS ? -1 : 0;
}

/* The new name must survive a power cut too, and it is part of the folder. */
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

/* Write the temporary file's bytes over the old file. */
static dn_status writer_copy_over(dn_writer *w) {
    int from = w->fd;
    dn_status status = writer_open_over(w);
    for (off_t at = 0; status == DN_OK; at += (off_t)w->used) {
        ssize_t n = pread(from, w->buffer, sizeof w->buffer, at);
        if (n < 0) status = writer_fail(w, errno);
        if (n <= 0) break;
        w->used = (size_t)n;
        status = writer_flush(w);
        w->used = (size_t)n;
    }
    w->used = 0;
    if (status == DN_OK) status = writer_flush(w); /* also when the new file is empty: the old content must go */
    if (status == DN_OK && sys_sync(w->fd)) status = writer_fail(w, errno);
    close(from);
    return status;
}

/* Rename the temporary file to the target. */
static dn_status writer_rename(dn_writer *w) {
    if (sys_sync(w->fd)) return writer_fail(w, errno);
    if (dn_sys_must_fail() ? (errno = EIO, 1) : rename(w->temporary, w->target))
        return w->replaces && !w->never_over && folder_refuses(errno) ? writer_copy_over(w) : writer_fail(w, errno);
    dn_free(w->temporary);
    w->temporary = NULL;
    return sys_sync_folder(w->target) ? writer_fail(w, errno) : DN_OK;
}

dn_status dn_writer_commit(dn_writer *w) {
    dn_status status = writer_flush(w);
    if (status == DN_OK && w->temporary)
        status = writer_rename(w);
    else if (status == DN_OK && w->target && sys_sync(w->fd))
        status = writer_fail(w, errno);
    if (!w->borrowed && w->fd >= 0) {
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

dn_status dn_writer_finish(dn_writer *w, dn_status status) {
    if (status == DN_OK) return dn_writer_commit(w);
    dn_writer_abort(w);
    return status;
}

size_t dn_path_stem(const char *path) {
    const char *name = path + path_folder(path), *dot = strrchr(name, '.');
    return dot && dot > name ? (size_t)(dot - path) : strlen(path);
}

/* The only place that asks the system for memory and files. Sizes are checked for overflow; allocations and file calls
 * are counted, and a test can make the n-th of them fail. */
#ifndef DN_SYS_H
#define DN_SYS_H
#include "base/status.h"
#include <stdint.h>

/* 64-byte aligned and zeroed; NULL with a message when n * size overflows or memory runs out. n = 0 allocates one
 * element. */
void *dn_alloc(size_t n, size_t size);
/* The same, not zeroed. */
void *dn_alloc_unset(size_t bytes);
/* Zero memory from dn_alloc_unset that nothing has used yet, for nothing: a large block of the system's has pages of
 * zeros until they are written, and those that never are take no memory. Returns 0 where that cannot be done, with
 * nothing changed. */
int dn_memory_zeros(void *p, size_t bytes);
void *dn_realloc(void *old, size_t n, size_t size); /* for growing plain arrays; only for memory from dn_realloc */
void dn_free(void *p);
/* Announce that memory (however allocated) is about to be filled for the first time: asks for large pages where the
 * system has them, because a page fault for every 4 KB costs more than filling it. */
void dn_memory_expect(void *p, size_t bytes);
char *dn_strdup(const char *text);
/* *out = a * b, or DN_E_MEMORY with a message. */
dn_status dn_size_mul(size_t *out, size_t a, size_t b);

/* Read a file or pipe in pieces ("-" is standard input); `got` is less than `room` only at the end. */
dn_status dn_reader_open(int *fd, const char *path);
size_t dn_reader_left(int fd); /* bytes still to come; 0: none, or not known */
dn_status dn_reader_read(int fd, const char *path, void *to, size_t room, size_t *got);
/* Read what is available, at least one byte, waiting at most `ms` milliseconds; *got = 0 when nothing came. *end is set
 * only at the end of the file. */
dn_status dn_reader_some(int fd, const char *path, void *to, size_t room, int ms, size_t *got, int *end);
/* Can the file be read again from where it is now, *at? */
int dn_reader_seekable(int fd, int64_t *at);
dn_status dn_reader_seek(int fd, const char *path, int64_t at);
void dn_reader_close(int fd);
/* Read a whole file or pipe, zero-terminated, to be freed with dn_free; DN_E_FORMAT when it has more than `most`
 * bytes. */
dn_status dn_file_read(const char *path, size_t most, char **data, size_t *size);
/* The same for regular files only: pipes, devices and folders are refused without opening them. */
dn_status dn_file_read_regular(const char *path, size_t most, char **data, size_t *size);
/* Read up to `most` bytes from the beginning. `whole`: the size of the file, or, for a longer pipe, the bytes read. */
dn_status dn_file_read_part(const char *path, size_t most, char **data, size_t *size, size_t *whole);
/* Map the first `size` bytes of an open file into memory, changes to which stay there. A file that others shorten
 * meanwhile ends the program, as it does everywhere where files are mapped. */
dn_status dn_file_map(int fd, const char *path, size_t size, char **data);
void dn_file_unmap(char *data, size_t size);
int dn_file_is_regular(const char *path);                    /* is there one? */
enum { DN_TEXT_MOST = 16 << 20, DN_NAMES_MOST = 256 << 20 }; /* for a cfg, a label tree or a map; for a list of names */

/* Write a whole file or leave the old one: temporary file in the same folder, fsync, rename. Links are followed; a
 * replaced file keeps its mode and owner. A file that may be written but not replaced, because its folder does not let
 * us, is overwritten in place. Anything but a regular file is written directly; "-" or NULL is standard output. */
typedef struct dn_writer dn_writer;
dn_status dn_writer_open(dn_writer **out, const char *path);
/* The same for a file whose old content must survive whatever happens: where it cannot be replaced, or is no regular
 * file, that is an error. */
dn_status dn_writer_replace(dn_writer **out, const char *path);
dn_status dn_writer_write(dn_writer *writer, const void *data, size_t size);
/* Pipes and terminals get now what has been written so far. */
dn_status dn_writer_pass_on(dn_writer *writer);
dn_status dn_writer_commit(dn_writer *writer); /* closes and frees in any case */
void dn_writer_abort(dn_writer *writer);
/* Commit if `status` is DN_OK; otherwise abort and return it. */
dn_status dn_writer_finish(dn_writer *writer, dn_status status);
/* A file that grows line by line. Anything written is with the system when the call returns, so that the end of the
 * program does not lose it. anew: what was in the file goes. */
dn_status dn_append_open(int *fd, const char *path, int anew);
dn_status dn_append_write(int fd, const char *path, const char *text, size_t size);
/* Only the first `size` bytes of the file stay. */
dn_status dn_append_cut(const char *path, size_t size);
void dn_append_close(int fd);
/* Length of a path without its extension: "a/b.c" gives "a/b", and ".c" stays whole. */
size_t dn_path_stem(const char *path);

double dn_now(void); /* seconds, monotonic */

/* For tests: make the n-th call from now fail (0: none); returns the number of calls counted since the last setting. */
DN_API long dn_sys_fail_at(long n);
#endif

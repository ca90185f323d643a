/* The only place that asks the machine for memory and files. Sizes are checked for overflow; allocations and file calls
 * are counted, and a test can make the n-th of them fail. */
#ifndef DN_SYS_H
#define DN_SYS_H
#include "base/status.h"
#include <stdint.h>

/* 64-byte aligned, zeroed; NULL with a message when n * size overflows or memory is out. n = 0 gives 1 element. */
void *dn_alloc(size_t n, size_t size);
void *dn_realloc(void *old, size_t n, size_t size); /* for growing plain arrays; memory of dn_realloc only */
void dn_free(void *p);
/* Memory that is about to be filled for the first time, anybody's: large pages where the system has them, because a page
 * fault for every 4 KB costs more than filling it. */
void dn_memory_expect(void *p, size_t bytes);
char *dn_strdup(const char *text);
/* *out = a * b, or DN_E_MEMORY with a message. */
dn_status dn_size_mul(size_t *out, size_t a, size_t b);

/* A file or pipe in pieces, "-" is standard input: `got` is less than `room` only at the end. */
dn_status dn_reader_open(int *fd, const char *path);
size_t dn_reader_left(int fd); /* bytes still to come; 0: none, or nobody knows */
dn_status dn_reader_read(int fd, const char *path, void *to, size_t room, size_t *got);
/* What there is, at least one byte, waiting at most `ms` milliseconds; *got = 0 when nothing came. *end is set at the
 * end of the file alone. */
dn_status dn_reader_some(int fd, const char *path, void *to, size_t room, int ms, size_t *got, int *end);
void dn_reader_close(int fd);
/* The whole file or pipe, zero-terminated, to be freed with dn_free; DN_E_FORMAT when it has more than `most` bytes. */
dn_status dn_file_read(const char *path, size_t most, char **data, size_t *size);
/* The same of a regular file alone: no pipe, device or folder, none of which is opened. */
dn_status dn_file_read_regular(const char *path, size_t most, char **data, size_t *size);
/* Its first bytes, up to `most`. `whole`: bytes of the file; of a pipe that goes on after them: those that were read. */
dn_status dn_file_read_part(const char *path, size_t most, char **data, size_t *size, size_t *whole);
enum { DN_TEXT_MOST = 16 << 20, DN_NAMES_MOST = 256 << 20 }; /* of a cfg, a label tree or a map; of a list of names */

/* Write a whole file or leave the old one: temporary neighbour, fsync, rename. Links are followed; a file that is replaced
 * keeps its mode and owner. A file that may be written but not replaced, as its folder does not let us, is written over.
 * What is no regular file is written directly; "-" or NULL is standard output. */
typedef struct dn_writer dn_writer;
dn_status dn_writer_open(dn_writer **out, const char *path);
dn_status dn_writer_write(dn_writer *writer, const void *data, size_t size);
dn_status dn_writer_commit(dn_writer *writer); /* closes and frees in any case */
void dn_writer_abort(dn_writer *writer);
/* Commit when all has gone well so far, else abort and return that status. */
dn_status dn_writer_finish(dn_writer *writer, dn_status status);
/* Characters of a path without its extension: "a/b.c" is "a/b", and ".c" is whole. */
size_t dn_path_stem(const char *path);

double dn_now(void); /* seconds, monotonic */

/* For tests: fail the n-th call from now (0: never); returns the calls counted since the last setting. */
DN_API long dn_sys_fail_at(long n);
#endif

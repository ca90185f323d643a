/* A driver for fuzz targets without libFuzzer: changes files at random, the same way every time.
 *
 *   program N FILE ...     N changed copies of each file */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state = 1;

static uint64_t next(void) { /* xorshift64* (Vigna, 2016) */
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return state * 2685821657736338717u;
}

/* Words that mean something to the readers. */
static const char *const words[] = {
    "\"", "{",   "}",    "[",     "]",    ":",   ",",  "\\u0000", "\\ud800", "18446744073709551616",
    "-1", "NaN", "null", "1e999", "\xff", "F64", "\n", "=",       "#",       "[net]"};

/* Put a word between two bytes; the length of the header grows with it. */
static size_t insert(uint8_t *bytes, size_t size, size_t at, const char *word) {
    size_t m = strlen(word);
    uint64_t length;
    if (at < sizeof length) return size;
    memmove(bytes + at + m, bytes + at, size - at);
    memcpy(bytes + at, word, m);
    memcpy(&length, bytes, sizeof length);
    length += m;
    memcpy(bytes, &length, sizeof length);
    return size + m;
}

static size_t take_out(uint8_t *bytes, size_t size, size_t at, size_t n) {
    if (n > size - at) n = size - at;
    memmove(bytes + at, bytes + at + n, size - at - n);
    return size - n;
}

/* Change the bytes, for which there is room for some more; returns the new size. */
static size_t change(uint8_t *bytes, size_t size) {
    if (!size) return 0;
    size_t at = next() % size, n = 1 + next() % 16, from = next() % size;
    const char *word = words[next() % (sizeof words / sizeof *words)];
    size_t m = strlen(word) < size - at ? strlen(word) : size - at;
    switch (next() % 7) {
    case 0: bytes[at] ^= (uint8_t)(1 << n % 8); return size;
    case 1: bytes[at] = (uint8_t)next(); return size;
    case 2: memcpy(bytes + at, word, m); return size;
    case 3:
    case 4: return insert(bytes, size, at, word);
    case 5: return n == 1 ? at : take_out(bytes, size, at, n);
    default:
        if (n > size - at) n = size - at;
        if (n > size - from) n = size - from;
        memmove(bytes + at, bytes + from, n);
        return size;
    }
}

static int run(const char *path, long n) {
    FILE *f = fopen(path, "rb");
    enum { MOST = 1 << 20, MORE = 256 };
    uint8_t *whole = malloc(MOST), *copy = malloc(MOST + MORE);
    size_t size = f && whole ? fread(whole, 1, MOST, f) : 0;
    if (f) fclose(f);
    for (long i = 0; size && copy && i < n; i++) {
        size_t now = size;
        memcpy(copy, whole, size);
        for (uint64_t k = 1 + next() % 4; k; k--) now = change(copy, now);
        LLVMFuzzerTestOneInput(copy, now);
    }
    free(whole);
    free(copy);
    return size ? 0 : 1;
}

int main(int argc, char **argv) {
    int failed = argc < 3;
    for (int i = 2; i < argc; i++) failed |= run(argv[i], atol(argv[1]));
    return failed;
}

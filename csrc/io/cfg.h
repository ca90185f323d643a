/* cfg text to sections with line numbers, typed getters, and a report of keys that nothing has read. */
#ifndef DN_CFG_H
#define DN_CFG_H
#include "base/text.h"

typedef struct dn_option {
    char *key, *value; /* without blanks */
    char *text;        /* the value with its inner blanks, without the quotes around it */
    int line, used, quoted;
    int set, added; /* set: the value is an override, whose line the file has (added: or has not) */
} dn_option;

typedef struct dn_section {
    char *name; /* without brackets */
    int line, n_options;
    dn_option *options;
    struct dn_cfg *cfg;
    int activation;        /* 1 + the dn_activation that a layer read from it; 0: none */
    const char *asked[64]; /* keys the layer looks for: for "did you mean" */
    int n_asked;
} dn_section;

/* A file that a key names. */
typedef struct dn_cfg_file {
    struct dn_cfg_file *next;
    char *name, *path, *text; /* as the key gives it; where it was found; its content */
} dn_cfg_file;

typedef struct dn_cfg {
    char *path, *source; /* its name, and the text it was read from */
    int n_sections;
    dn_section *sections;
    char **warnings;
    int n_warnings;
    dn_cfg_file *files; /* those read so far */
    int complete;       /* the files came with the text: no others are read, except those that overrides name */
    char *untrained;    /* why this network can predict but not be trained, as an error message; NULL: it can */
} dn_cfg;

dn_status dn_cfg_load(dn_cfg **out, const char *path);
/* The same from text; messages call it `name`. */
dn_status dn_cfg_text(dn_cfg **out, const char *name, const char *text);
void dn_cfg_free(dn_cfg *cfg);
void dn_cfg_warn(dn_cfg *cfg, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Warn about every unread key of the section, with the most similar of the keys that were asked for; an unread override
 * is DN_E_USAGE. */
dn_status dn_cfg_report_unread(dn_cfg *cfg, dn_section *section);

/* Override a key of the section, before it is read. */
dn_status dn_cfg_set(dn_section *s, const char *key, const char *value);
/* The cfg's text with its overrides (cfg_source.c). */
void dn_cfg_write(const dn_cfg *cfg, dn_text *to);

/* Read a key that is known to Darknet and accepted here without effect; warn when its value would have an effect in
 * Darknet. */
dn_status dn_cfg_no_effect(dn_section *s, const char *key, double fallback);

/* A missing key gives the fallback; a bad or out-of-range value is an error that names file, line and value. */
dn_status dn_cfg_int(dn_section *s, const char *key, int fallback, int low, int high, int *out);
dn_status dn_cfg_i64(dn_section *s, const char *key, int64_t fallback, int64_t low, int64_t high, int64_t *out);
dn_status dn_cfg_float(dn_section *s, const char *key, double fallback, double *out);
const char *dn_cfg_string(dn_section *s, const char *key, const char *fallback); /* with its inner blanks */
/* The regular file of that name, as written or relative to the cfg; owned by the cfg. A file is read once: a network
 * that is rebuilt from its cfg, to be resized or for a job, does not depend on what has become of the file since. A
 * file that cannot be read is an error of the key. */
dn_status dn_cfg_read_file(const dn_section *s, const char *key, const char *name, const dn_cfg_file **out);
/* Have the cfg hold a file already, so that it will not be read from disk. */
dn_status dn_cfg_add_file(dn_cfg *cfg, const char *name, const char *text, size_t size);
void dn_cfg_free_files(dn_cfg *cfg);
int dn_cfg_has(dn_section *s, const char *key);
/* An option of the section, not marked as read; NULL: it is missing. */
dn_option *dn_cfg_option(dn_section *s, const char *key);
int dn_cfg_line(const dn_section *s, const char *key);
/* Comma-separated numbers; *out is dn_alloc'ed (NULL and *n = 0 when the key is missing). */
dn_status dn_cfg_ints(dn_section *s, const char *key, int **out, int *n);
/* Comma-separated texts, as the cells of a CSV row: in quotes where they contain commas, quotes, # or ;. *out is one
 * block, to be freed with dn_free; (NULL and *n = 0 when the key is missing). */
dn_status dn_cfg_cells(dn_section *s, const char *key, char ***out, int *n);
dn_status dn_cfg_floats(dn_section *s, const char *key, float **out, int *n);
/* An error at the section's line, or at the key's when key is not NULL. */
dn_status dn_cfg_error(const dn_section *s, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The end of a message about an unknown word: " (did you mean 'x'?)", or nothing. `known` ends with NULL. */
typedef struct dn_like {
    char text[64];
} dn_like;
const char *dn_cfg_like(dn_like *like, const char *word, const char *const *known);
/* The error for a key whose value is none of the names it knows (at least two). */
dn_status dn_cfg_unknown(const dn_section *s, const char *key, const char *value, const char *const *known);
#endif

/* The keys of a section as data: one table says how they are read, which values they may have, what a missing one
 * gives, and what docs/cfg.md says about them. A `parse` hook does what a table cannot express: shapes, and how keys
 * depend on each other. */
#ifndef DN_KEY_H
#define DN_KEY_H
#include "io/cfg.h"
#include <limits.h>
#include <stddef.h>

/* How a key is read, and into what. */
typedef enum dn_key_type {
    DN_KEY_INT,         /* int */
    DN_KEY_INT64,       /* int64_t */
    DN_KEY_FLAG,        /* int: 0 or 1 */
    DN_KEY_FLOAT,       /* double, finite as a float */
    DN_KEY_WORD,        /* int: the index of one of `words` */
    DN_KEY_ACTIVATION,  /* dn_activation */
    DN_KEY_TEXT,        /* const char *, owned by the cfg; a missing key gives "" */
    DN_KEY_FILE,        /* const dn_cfg_file *, owned by the cfg; a missing key gives NULL */
    DN_KEY_INTS,        /* int *, to be freed with dn_free, and their number; a missing key gives NULL and 0 */
    DN_KEY_FLOATS,      /* float *, likewise */
    DN_KEY_SPAN,        /* dn_span: so many batches, or with an `e` after the number epochs */
    DN_KEY_UNUSED,      /* nothing: a number without effect */
    DN_KEY_UNUSED_WARN, /* nothing: a number without effect; a warning unless it is the fallback */
} dn_key_type;

/* How long something goes on. */
typedef struct dn_span {
    double count; /* of batches, a whole number, or of epochs; 0: no time at all */
    int epochs;
} dn_span;

/* DN_BOUND_LIMIT: of log_variance_limit, 0.01 to 30 */
typedef enum dn_key_range {
    DN_ANY_NUMBER,
    DN_NOT_NEGATIVE,
    DN_ABOVE_ZERO,
    DN_FROM_0_BELOW_1,
    DN_BOUND_LIMIT
} dn_key_range;

typedef struct dn_key {
    const char *name; /* NULL: the end of the table */
    dn_key_type type;
    int in_layer;               /* read into the layer itself, not into the state of its type */
    size_t offset;              /* the offset there */
    size_t count_offset;        /* for a list: where the number of its values goes, an int */
    double fallback;            /* what a missing key gives */
    int64_t low, high;          /* of integers */
    dn_key_range range;         /* of DN_KEY_FLOAT */
    const char *const *words;   /* of DN_KEY_WORD; ends with NULL */
    const char *help;           /* one line; NULL: shares that of the key before it */
    const char *shown_type;     /* for documentation, if the type alone does not say it */
    const char *shown_fallback; /* for documentation, if a missing key does not give a constant */
} dn_key;

/* The place a key's value goes to. */
#define DN_AT(state, field) .offset = offsetof(state, field)
#define DN_AT_LIST(state, field, count) .offset = offsetof(state, field), .count_offset = offsetof(state, count)
#define DN_AT_LAYER(field) .in_layer = 1, .offset = offsetof(dn_layer, field)

/* Read all keys of the table. The caller frees lists, also after an error. */
dn_status dn_keys_read(dn_section *section, const dn_key *keys, void *state, void *layer);
#endif

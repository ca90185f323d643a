/* The keys of a section as data: one table says how they are read, what they may be, what a missing one gives, and what
 * docs/cfg.md says of them. A `parse` hook does what a table cannot say: shapes, and how keys depend on each other. */
#ifndef DN_KEY_H
#define DN_KEY_H
#include "io/cfg.h"
#include <limits.h>
#include <stddef.h>

typedef enum dn_key_type {                    /* and what it is read into */
                           DN_KEY_INT,        /* int */
                           DN_KEY_INT64,      /* int64_t */
                           DN_KEY_FLAG,       /* int: 0 or 1 */
                           DN_KEY_FLOAT,      /* double, finite as a float */
                           DN_KEY_WORD,       /* int: the index of one of `words` */
                           DN_KEY_ACTIVATION, /* dn_activation */
                           DN_KEY_TEXT,       /* const char *, of the cfg; a missing one gives "" */
                           DN_KEY_FILE,       /* const dn_cfg_file *, of the cfg; a missing one gives NULL */
                           DN_KEY_INTS,   /* int *, to be freed with dn_free, and their number; a missing one gives NULL
                                             and 0 */
                           DN_KEY_FLOATS, /* float *, as above */
                           DN_KEY_UNUSED, /* nothing: a number that has no effect */
                           DN_KEY_UNUSED_WARN, /* nothing: a number that has no effect, which is a warning unless it is
                                                  the fallback */
} dn_key_type;

typedef enum dn_key_range { DN_ANY_NUMBER, DN_NOT_NEGATIVE, DN_ABOVE_ZERO, DN_FROM_0_BELOW_1 } dn_key_range;

typedef struct dn_key {
    const char *name; /* NULL: the end of the table */
    dn_key_type type;
    int in_layer;               /* it is read into the layer itself, else into the state of its type */
    size_t offset;              /* in there */
    size_t count_offset;        /* of a list: where the number of its values goes, an int */
    double fallback;            /* what a missing key gives */
    int64_t low, high;          /* of whole numbers */
    dn_key_range range;         /* of DN_KEY_FLOAT */
    const char *const *words;   /* of DN_KEY_WORD; ends with NULL */
    const char *help;           /* one line; NULL: that of the key before it */
    const char *shown_type;     /* for people, when the type alone does not say it */
    const char *shown_fallback; /* for people, when a missing key gives no constant */
} dn_key;

/* Where a key's value goes. */
#define DN_AT(state, field) .offset = offsetof(state, field)
#define DN_AT_LIST(state, field, count) .offset = offsetof(state, field), .count_offset = offsetof(state, count)
#define DN_AT_LAYER(field) .in_layer = 1, .offset = offsetof(dn_layer, field)

/* All keys of the table. Lists are the caller's also after an error. */
dn_status dn_keys_read(dn_section *section, const dn_key *keys, void *state, void *layer);
#endif

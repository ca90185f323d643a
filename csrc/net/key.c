#include "net/key.h"
#include "backend/backend.h"
#include "base/number.h"
#include "io/foreign.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static dn_status key_float(dn_section *s, const dn_key *k, double *to) {
    DN_TRY(dn_cfg_float(s, k->name, k->fallback, to));
    switch (k->range) {
    case DN_ANY_NUMBER: break;
    case DN_NOT_NEGATIVE:
        if (*to < 0) return dn_cfg_error(s, k->name, "%s=%g is below 0", k->name, *to);
        break;
    case DN_ABOVE_ZERO:
        if (*to <= 0) return dn_cfg_error(s, k->name, "%s=%g is not above 0", k->name, *to);
        break;
    case DN_FROM_0_BELOW_1:
        if (*to < 0 || *to >= 1) return dn_cfg_error(s, k->name, "%s=%g is not in [0, 1)", k->name, *to);
        break;
    case DN_BOUND_LIMIT:
        if (*to < 0.01 || *to > 30) return dn_cfg_error(s, k->name, "%s=%g is not in 0.01 to 30", k->name, *to);
        break;
    }
    return DN_OK;
}

static dn_status key_word(dn_section *s, const dn_key *k, int *to) {
    const char *word = dn_cfg_string(s, k->name, k->words[(int)k->fallback]);
    for (*to = 0; k->words[*to]; ++*to)
        if (!strcmp(word, k->words[*to])) return DN_OK;
    return dn_cfg_unknown(s, k->name, word, k->words);
}

static dn_status key_unknown_activation(const dn_section *s, const char *name) {
    const char *known[DN_ACTIVATION_COUNT + 1] = {NULL};
    dn_like like;
    for (int i = 0; i < DN_ACTIVATION_COUNT; i++) known[i] = dn_activation_name((dn_activation)i);
    if (*dn_cfg_like(&like, name, known))
        return dn_cfg_error(s, "activation", "unknown activation '%.60s'%s", name, like.text);
    char list[160] = "";
    size_t at = 0;
    for (int i = 0; known[i] && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", known[i]);
    return dn_cfg_error(s, "activation", "unknown activation '%.60s': it is one of %s", name, list);
}

static dn_status key_activation(dn_section *s, const dn_key *k, dn_activation *to) {
    const char *name = dn_cfg_string(s, k->name, dn_activation_name((dn_activation)k->fallback));
    int a = dn_activation_parse(name);
    if (a < 0 && dn_foreign_activation(name))
        return dn_cfg_error(s, k->name, "activation=%s of newer Darknets is not supported", name);
    if (a < 0) return key_unknown_activation(s, name);
    *to = (dn_activation)a;
    s->activation = a + 1;
    return DN_OK;
}

static dn_status key_file(dn_section *s, const dn_key *k, const dn_cfg_file **to) {
    const char *name = dn_cfg_string(s, k->name, "");
    *to = NULL;
    return *name ? dn_cfg_read_file(s, k->name, name, to) : DN_OK;
}

static dn_status key_span(dn_section *s, const dn_key *k, dn_span *to) {
    const char *text = dn_cfg_string(s, k->name, "");
    size_t size = strlen(text);
    char digits[32];
    *to = (dn_span){0};
    if (!dn_cfg_has(s, k->name)) return DN_OK;
    to->epochs = size > 0 && text[size - 1] == 'e'; /* which "1e3" is not */
    snprintf(digits, sizeof digits, "%.*s", (int)(size < sizeof digits ? size : 0) - to->epochs, text);
    const char *end = *digits ? dn_number_parse(digits, &to->count) : NULL;
    if (!end || *end || !(to->count >= 0 && to->count <= 1e15) || (!to->epochs && to->count != floor(to->count)))
        return dn_cfg_error(s, k->name, "%s=%.60s: give a number of batches, such as 5000, or of epochs, such as 10e",
                            k->name, text);
    return DN_OK;
}

static dn_status key_read(dn_section *s, const dn_key *k, char *base) {
    void *to = base + k->offset;
    double unused;
    switch (k->type) {
    case DN_KEY_INT: return dn_cfg_int(s, k->name, (int)k->fallback, (int)k->low, (int)k->high, to);
    case DN_KEY_INT64: return dn_cfg_i64(s, k->name, (int64_t)k->fallback, k->low, k->high, to);
    case DN_KEY_FLAG: return dn_cfg_int(s, k->name, (int)k->fallback, 0, 1, to);
    case DN_KEY_FLOAT: return key_float(s, k, to);
    case DN_KEY_WORD: return key_word(s, k, to);
    case DN_KEY_ACTIVATION: return key_activation(s, k, to);
    case DN_KEY_TEXT: *(const char **)to = dn_cfg_string(s, k->name, ""); return DN_OK;
    case DN_KEY_FILE: return key_file(s, k, to);
    case DN_KEY_INTS: return dn_cfg_ints(s, k->name, to, (int *)(void *)(base + k->count_offset));
    case DN_KEY_FLOATS: return dn_cfg_floats(s, k->name, to, (int *)(void *)(base + k->count_offset));
    case DN_KEY_SPAN: return key_span(s, k, to);
    case DN_KEY_UNUSED: return dn_cfg_float(s, k->name, k->fallback, &unused);
    case DN_KEY_UNUSED_WARN: return dn_cfg_no_effect(s, k->name, k->fallback);
    }
    return DN_OK;
}

dn_status dn_keys_read(dn_section *s, const dn_key *keys, void *state, void *layer) {
    for (; keys->name; keys++) DN_TRY(key_read(s, keys, keys->in_layer ? layer : state));
    return DN_OK;
}

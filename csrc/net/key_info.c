/* The tables of keys, for people: docs/cfg.md is generated from them. */
#include "base/number.h"
#include "net/network_parts.h"
#include <stdio.h>
#include <string.h>

static const char *key_type(const dn_key *k) {
    if (k->shown_type) return k->shown_type;
    switch (k->type) {
    case DN_KEY_INT:
    case DN_KEY_INT64: return "int";
    case DN_KEY_FLAG: return "0, 1";
    case DN_KEY_WORD:
    case DN_KEY_ACTIVATION: return "name";
    case DN_KEY_TEXT: return "text";
    case DN_KEY_FILE: return "file";
    case DN_KEY_INTS:
    case DN_KEY_FLOATS: return "list";
    case DN_KEY_SPAN: return "batches, or epochs: `10e`";
    case DN_KEY_FLOAT:
    case DN_KEY_UNUSED:
    case DN_KEY_UNUSED_WARN: return "float";
    }
    return "";
}

static void key_fallback(const dn_key *k, char *text, size_t size) {
    const char *shown = k->shown_fallback;
    char number[DN_NUMBER_ROOM + 1];
    switch (k->type) {
    case DN_KEY_INT:
    case DN_KEY_INT64:
    case DN_KEY_FLAG:
    case DN_KEY_FLOAT:
    case DN_KEY_UNUSED:
    case DN_KEY_UNUSED_WARN:
        number[dn_number_format((float)k->fallback, number)] = 0;
        if (!shown) shown = number;
        break;
    case DN_KEY_WORD: shown = k->words[(int)k->fallback]; break;
    case DN_KEY_ACTIVATION: shown = dn_activation_name((dn_activation)k->fallback); break;
    case DN_KEY_TEXT:
    case DN_KEY_FILE:
    case DN_KEY_INTS:
    case DN_KEY_FLOATS:
    case DN_KEY_SPAN: break;
    }
    snprintf(text, size, "%s", shown ? shown : "");
}

static void key_values(const dn_key *k, char *text, size_t size) {
    static const char *const ranges[] = {"", "from 0", "above 0", "from 0, below 1"};
    size_t at = 0;
    *text = 0;
    switch (k->type) {
    case DN_KEY_INT:
    case DN_KEY_INT64: snprintf(text, size, "%lld to %lld", (long long)k->low, (long long)k->high); break;
    case DN_KEY_FLAG: snprintf(text, size, "0 to 1"); break;
    case DN_KEY_FLOAT: snprintf(text, size, "%s", ranges[k->range]); break;
    case DN_KEY_WORD:
        for (int i = 0; k->words[i] && at < size; i++)
            at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", k->words[i]);
        break;
    case DN_KEY_ACTIVATION:
        for (int i = 0; i < DN_ACTIVATION_COUNT && at < size; i++)
            at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", dn_activation_name((dn_activation)i));
        break;
    case DN_KEY_TEXT:
    case DN_KEY_FILE:
    case DN_KEY_INTS:
    case DN_KEY_FLOATS:
    case DN_KEY_SPAN:
    case DN_KEY_UNUSED:
    case DN_KEY_UNUSED_WARN: break;
    }
}

int dn_key_describe(const char *section, int index, dn_key_info *out) {
    const dn_layer_type *type = dn_layer_type_find(section);
    const dn_key *k = !strcmp(section, "net") ? dn_net_keys : !strcmp(section, "*") ? dn_every_layer_keys : NULL;
    if (type) k = type->keys;
    if (!k || index < 0) return 0;
    while (k->name && index) k++, index--;
    if (!k->name) return 0;
    *out = (dn_key_info){.name = k->name, .type = key_type(k), .help = k->help};
    key_fallback(k, out->fallback, sizeof out->fallback);
    key_values(k, out->values, sizeof out->values);
    return 1;
}

/* Keys of a cfg that a caller sets without changing the file: "section.key=value" lines. */
#include "base/nearest.h"
#include "net/network_parts.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* How a section may be meant, the first that any section answers to: layer 3 as 3; [net]; all layers of a type; the
 * layer with that name=. */
typedef enum override_way { BY_NUMBER, BY_NET, BY_TYPE, BY_NAME, OVERRIDE_WAYS } override_way;

static int section_answers(dn_section *s, int index, const char *word, override_way way) {
    const dn_option *name;
    switch (way) {
    case BY_NUMBER:
        return index > 0 && word[strspn(word, "0123456789")] == 0 && strlen(word) < 9 && atoi(word) == index - 1;
    case BY_NET: return index == 0 && (!strcmp(word, "net") || !strcmp(word, "network"));
    case BY_TYPE:
        return index > 0 && (!strcmp(word, s->name) ||
                             (dn_layer_type_find(word) && dn_layer_type_find(word) == dn_layer_type_find(s->name)));
    default: return index > 0 && (name = dn_cfg_option(s, "name")) && !strcmp(word, name->text);
    }
}

static dn_status override_unknown(const dn_cfg *cfg, const char *line, const char *word) {
    dn_nearest nearest;
    dn_nearest_begin(&nearest, word, strlen(word));
    for (int i = 0; i < cfg->n_sections; i++)
        dn_nearest_try(&nearest, cfg->sections[i].name, strlen(cfg->sections[i].name));
    if (nearest.found)
        return dn_fail(DN_E_USAGE, "cannot set %.100s: %s has no [%.40s] (did you mean %s?)", line, cfg->path, word,
                       nearest.found);
    return dn_fail(
        DN_E_USAGE,
        "cannot set %.100s: %s has no section or layer '%.40s': net, a layer's type, its name= or its number "
        "from 0 to %d",
        line, cfg->path, word, cfg->n_sections - 2);
}

/* `line` is cut into its parts. */
static dn_status override_line(dn_cfg *cfg, char *line, const char *whole) {
    char *equals = strchr(line, '='), *dot = NULL;
    for (char *p = line; equals && p < equals; p++)
        if (*p == '.') dot = p;
    DN_CHECK(equals && dot && dot > line && dot + 1 < equals && equals[1], DN_E_USAGE,
             "cannot set '%.100s': it is not section.key=value", whole);
    DN_CHECK(!strchr(equals, '"') || !strpbrk(equals, "#;"), DN_E_USAGE,
             "cannot set '%.100s': a cfg cannot hold a value with both quotes and # or ;", whole);
    *dot = *equals = 0;
    int found = 0;
    for (int way = 0; way < OVERRIDE_WAYS && !found; way++)
        for (int i = 0; i < cfg->n_sections; i++) {
            if (!section_answers(&cfg->sections[i], i, line, (override_way)way)) continue;
            found++;
            DN_TRY(dn_cfg_set(&cfg->sections[i], dot + 1, equals + 1));
        }
    return found ? DN_OK : override_unknown(cfg, whole, line);
}

dn_status dn_net_override(dn_cfg *cfg, const char *lines) {
    for (const char *p = lines; p && *p;) {
        char line[1024], whole[1024];
        size_t n = strcspn(p, "\n");
        DN_CHECK(n < sizeof line, DN_E_USAGE, "cannot set '%.60s...': longer than %zu characters", p, sizeof line - 1);
        memcpy(line, p, n);
        line[n] = 0;
        memcpy(whole, line, n + 1);
        if (n) DN_TRY(override_line(cfg, line, whole));
        p += p[n] ? n + 1 : n;
    }
    return DN_OK;
}

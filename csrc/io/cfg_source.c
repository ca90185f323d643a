/* A cfg as text again, with its comments and its overrides. */
#include "io/cfg.h"
#include <string.h>

/* A value is in quotes where its blanks or its # would otherwise be lost. */
static void source_option(const dn_option *o, dn_text *to) {
    size_t n = strlen(o->text);
    int blank = n && (strchr(" \t", o->text[0]) || strchr(" \t", o->text[n - 1]));
    int whole = o->quoted || (!strchr(o->text, '"') && (blank || strpbrk(o->text, "#;")));
    const char *quote = whole ? "\"" : "";
    dn_text_format(to, "%s=%s%s%s\n", o->key, quote, o->text, quote);
}

/* The override that takes the place of this line; NULL: none does. */
static const dn_option *source_replaced(const dn_cfg *cfg, int line) {
    for (int i = 0; i < cfg->n_sections; i++)
        for (int k = 0; k < cfg->sections[i].n_options; k++) {
            const dn_option *o = &cfg->sections[i].options[k];
            if (o->set && !o->added && o->line == line) return o;
        }
    return NULL;
}

/* The overrides that come after the line of a section. */
static void source_added(const dn_cfg *cfg, int line, dn_text *to) {
    for (int i = 0; i < cfg->n_sections; i++)
        for (int k = 0; cfg->sections[i].line == line && k < cfg->sections[i].n_options; k++)
            if (cfg->sections[i].options[k].added) source_option(&cfg->sections[i].options[k], to);
}

static int source_overridden(const dn_cfg *cfg) {
    for (int i = 0; i < cfg->n_sections; i++)
        for (int k = 0; k < cfg->sections[i].n_options; k++)
            if (cfg->sections[i].options[k].set) return 1;
    return 0;
}

void dn_cfg_write(const dn_cfg *cfg, dn_text *to) {
    if (!source_overridden(cfg)) {
        dn_text_add(to, cfg->source, strlen(cfg->source));
        return;
    }
    int line = 1;
    for (const char *p = cfg->source; *p; line++) {
        size_t n = strcspn(p, "\n");
        const dn_option *o = source_replaced(cfg, line);
        if (o)
            source_option(o, to);
        else
            dn_text_format(to, "%.*s\n", (int)n, p);
        source_added(cfg, line, to);
        p += p[n] ? n + 1 : n;
    }
}

/* Darknet's cfg text: [section] lines and key=value lines; # and ; begin a comment. Blanks are ignored, except inside a
 * value that is text. Text, or each of several with commas between them, may be in double quotes, which keep #, ; and
 * outer blanks. */
#include "io/cfg.h"
#include "base/nearest.h"
#include "base/number.h"
#include "base/sys.h"
#include "io/csv.h"
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LINE = 4 << 20, MAX_SECTIONS = 4097, MAX_OPTIONS = 1024, MAX_WARNINGS = 200 };

static dn_status cfg_grow(void **array, int n, size_t size) { /* room for one more; grows at powers of two */
    if (n & (n - 1)) return DN_OK;
    void *grown = dn_realloc(*array, n ? 2 * (size_t)n : 1, size);
    if (!grown) return DN_E_MEMORY;
    *array = grown;
    return DN_OK;
}

void dn_cfg_warn(dn_cfg *cfg, const char *format, ...) {
    char raw[512], text[1024];
    if (cfg->n_warnings == MAX_WARNINGS) return;
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    dn_printable(cfg->n_warnings + 1 < MAX_WARNINGS ? raw : "further warnings are left out", text, sizeof text);
    for (int i = 0; i < cfg->n_warnings; i++) /* reported once, however often a section is read */
        if (!strcmp(cfg->warnings[i], text)) return;
    if (cfg_grow((void **)&cfg->warnings, cfg->n_warnings, sizeof *cfg->warnings) != DN_OK) return;
    char *copy = dn_strdup(text);
    if (copy) cfg->warnings[cfg->n_warnings++] = copy;
}

static dn_status cfg_add_section(dn_cfg *cfg, const char *name, int line) {
    DN_CHECK(cfg->n_sections < MAX_SECTIONS, DN_E_FORMAT, "%s:%d: more than %d sections", cfg->path, line,
             MAX_SECTIONS - 1);
    DN_TRY(cfg_grow((void **)&cfg->sections, cfg->n_sections, sizeof *cfg->sections));
    dn_section *s = &cfg->sections[cfg->n_sections];
    memset(s, 0, sizeof *s);
    s->line = line, s->cfg = cfg;
    if (!(s->name = dn_strdup(name))) return DN_E_MEMORY;
    cfg->n_sections++;
    return DN_OK;
}

static int cfg_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static void cfg_squeeze(char *text) { /* removes all blanks */
    char *to = text;
    for (const char *p = text; *p; p++)
        if (!cfg_blank(*p)) *to++ = *p;
    *to = 0;
}

static char *cfg_trim(char *text) {
    while (cfg_blank(*text)) text++;
    size_t n = strlen(text);
    while (n && cfg_blank(text[n - 1])) n--;
    text[n] = 0;
    return text;
}

/* The position after a quoted text, and blanks, at p, if a comma, a comment or nothing follows; else p. */
static const char *cfg_over_quoted(const char *p) {
    const char *rest = *p == '"' ? dn_csv_closing_quote(p + 1, p + strlen(p)) : NULL;
    if (!rest) return p;
    for (rest++; cfg_blank(*rest);) rest++;
    return !*rest || strchr(",#;", *rest) ? rest : p;
}

/* Where the comment of a line begins, or its end. */
static char *cfg_comment(char *text) {
    const char *p = text + strcspn(text, "=#;");
    while (*p == '=' || *p == ',') {
        for (p++; cfg_blank(*p);) p++;
        p = cfg_over_quoted(p);
        p += strcspn(p, ",#;");
    }
    return text + (p - text);
}

static dn_status cfg_option_set(dn_option *o, const char *key, char *text, int line) {
    size_t n = strlen(text);
    *o = (dn_option){.key = dn_strdup(key), .value = dn_strdup(text), .line = line};
    if (o->value) cfg_squeeze(o->value);
    o->quoted = n > 1 && text[0] == '"' && dn_csv_closing_quote(text + 1, text + n) == text + n - 1;
    if (o->quoted) text[n - 1] = 0;
    o->text = dn_strdup(text + o->quoted);
    return o->key && o->value && o->text ? DN_OK : DN_E_MEMORY;
}

/* `text` is a line without its comment and outer blanks. */
static dn_status cfg_add_option(dn_cfg *cfg, char *text, int line) {
    DN_CHECK(cfg->n_sections, DN_E_FORMAT, "%s:%d: '%.60s' stands before the first section", cfg->path, line, text);
    dn_section *s = &cfg->sections[cfg->n_sections - 1];
    char *equals = strchr(text, '=');
    DN_CHECK(equals && equals != text && equals[1], DN_E_FORMAT, "%s:%d: [%s] '%.60s' is not key=value", cfg->path,
             line, s->name, text);
    *equals = 0;
    cfg_squeeze(text);
    for (int i = 0; i < s->n_options; i++)
        if (!strcmp(s->options[i].key, text)) {
            dn_cfg_warn(cfg, "%s:%d: [%s] %s is given twice; line %d counts", cfg->path, line, s->name, text,
                        s->options[i].line);
            return DN_OK;
        }
    DN_CHECK(s->n_options < MAX_OPTIONS, DN_E_FORMAT, "%s:%d: [%s] has more than %d keys", cfg->path, line, s->name,
             MAX_OPTIONS);
    DN_TRY(cfg_grow((void **)&s->options, s->n_options, sizeof *s->options));
    return cfg_option_set(&s->options[s->n_options++], text, cfg_trim(equals + 1), line);
}

dn_status dn_cfg_set(dn_section *s, const char *key, const char *value) {
    dn_option *o = dn_cfg_option(s, key), old = {.line = s->line, .added = 1};
    if (!o) {
        DN_CHECK(s->n_options < MAX_OPTIONS, DN_E_USAGE, "[%s] has more than %d keys", s->name, MAX_OPTIONS);
        DN_TRY(cfg_grow((void **)&s->options, s->n_options, sizeof *s->options));
        o = &s->options[s->n_options++];
    } else {
        old = *o;
        *o = (dn_option){0};
    }
    char *text = dn_strdup(value);
    dn_status status = text ? cfg_option_set(o, key, cfg_trim(text), old.line) : DN_E_MEMORY;
    o->set = 1, o->added = old.added;
    dn_free(text);
    dn_free(old.key);
    dn_free(old.value);
    dn_free(old.text);
    return status;
}

static dn_status cfg_line(dn_cfg *cfg, char *text, int line) {
    *cfg_comment(text) = 0;
    text = cfg_trim(text);
    if (!*text) return DN_OK;
    if (*text != '[') return cfg_add_option(cfg, text, line);
    cfg_squeeze(text);
    size_t n = strlen(text);
    DN_CHECK(text[n - 1] == ']' && n > 2, DN_E_FORMAT, "%s:%d: '%.60s' is not a [section]", cfg->path, line, text);
    text[n - 1] = 0;
    return cfg_add_section(cfg, text + 1, line);
}

static dn_status cfg_read(dn_cfg *cfg, char *data, size_t size) {
    DN_TRY(dn_csv_content(cfg->path, data, size));
    DN_CHECK(!memchr(data, 0, size), DN_E_FORMAT, "%s: holds a zero byte, so it is not text", cfg->path);
    if (!(cfg->source = dn_strdup(data))) return DN_E_MEMORY;
    char *p = data;
    if (!strncmp(p, "\xEF\xBB\xBF", 3)) p += 3;
    for (int line = 1; *p; line++) {
        size_t n = strcspn(p, "\n");
        int last = !p[n];
        DN_CHECK(n <= MAX_LINE, DN_E_FORMAT, "%s:%d: longer than %d characters", cfg->path, line, MAX_LINE);
        p[n] = 0;
        DN_TRY(cfg_line(cfg, p, line));
        p += last ? n : n + 1;
    }
    DN_CHECK(cfg->n_sections, DN_E_FORMAT, "%s: no sections", cfg->path);
    return DN_OK;
}

dn_status dn_cfg_load(dn_cfg **out, const char *path) {
    char *data;
    size_t size;
    *out = NULL;
    DN_TRY(dn_file_read(path, DN_TEXT_MOST, &data, &size));
    dn_cfg *cfg = dn_alloc(1, sizeof *cfg);
    dn_status status = cfg && (cfg->path = dn_strdup(path)) ? cfg_read(cfg, data, size) : DN_E_MEMORY;
    dn_free(data);
    if (status == DN_OK)
        *out = cfg;
    else
        dn_cfg_free(cfg);
    return status;
}

dn_status dn_cfg_text(dn_cfg **out, const char *name, const char *text) {
    char *data = dn_strdup(text); /* parsing cuts it into lines */
    dn_cfg *cfg = *out = dn_alloc(1, sizeof *cfg);
    dn_status status = data && cfg && (cfg->path = dn_strdup(name)) ? cfg_read(cfg, data, strlen(data)) : DN_E_MEMORY;
    dn_free(data);
    return status; /* the caller frees *out in any case */
}

void dn_cfg_free(dn_cfg *cfg) {
    if (!cfg) return;
    for (int i = 0; i < cfg->n_sections; i++) {
        for (int k = 0; k < cfg->sections[i].n_options; k++) {
            dn_free(cfg->sections[i].options[k].key);
            dn_free(cfg->sections[i].options[k].value);
            dn_free(cfg->sections[i].options[k].text);
        }
        dn_free(cfg->sections[i].options);
        dn_free(cfg->sections[i].name);
    }
    for (int i = 0; i < cfg->n_warnings; i++) dn_free(cfg->warnings[i]);
    dn_cfg_free_files(cfg);
    dn_free(cfg->warnings);
    dn_free(cfg->untrained);
    dn_free(cfg->sections);
    dn_free(cfg->path);
    dn_free(cfg->source);
    dn_free(cfg);
}

/* ---- getters ---- */

dn_option *dn_cfg_option(dn_section *s, const char *key) {
    for (int i = 0; i < s->n_options; i++)
        if (!strcmp(s->options[i].key, key)) return &s->options[i];
    return NULL;
}

static dn_option *cfg_find(dn_section *s, const char *key) {
    if (s->n_asked < (int)(sizeof s->asked / sizeof *s->asked)) s->asked[s->n_asked++] = key;
    dn_option *o = dn_cfg_option(s, key);
    if (o) o->used = 1;
    return o;
}

const char *dn_cfg_like(dn_like *like, const char *word, const char *const *known) {
    dn_nearest nearest;
    dn_nearest_begin(&nearest, word, strlen(word));
    for (; *known; known++) dn_nearest_try(&nearest, *known, strlen(*known));
    *like->text = 0;
    if (nearest.found) snprintf(like->text, sizeof like->text, " (did you mean '%.40s'?)", nearest.found);
    return like->text;
}

dn_status dn_cfg_unknown(const dn_section *s, const char *key, const char *value, const char *const *known) {
    dn_like like;
    char list[256] = "";
    size_t at = 0;
    for (int i = 0; known[i] && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", !i ? "" : known[2] ? ", " : " or ", known[i]);
    return dn_cfg_error(s, key, "%s=%.60s is not %s%s%s", key, value, known[2] ? "one of " : "", list,
                        dn_cfg_like(&like, value, known));
}

dn_status dn_cfg_error(const dn_section *s, const char *key, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int line = key ? dn_cfg_line(s, key) : s->line;
    return dn_fail(DN_E_FORMAT, "%s:%d: [%s] %s", s->cfg->path, line, s->name, text);
}

int dn_cfg_line(const dn_section *s, const char *key) {
    for (int i = 0; i < s->n_options; i++)
        if (!strcmp(s->options[i].key, key)) return s->options[i].line;
    return s->line;
}

static const char *cfg_int(const char *p, int64_t *out) { /* returns the first byte not used; NULL: not an int64 */
    int negative = *p == '-', digits = 0;
    int64_t v = 0;
    if (*p == '-' || *p == '+') p++;
    for (; *p >= '0' && *p <= '9'; p++, digits++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v)) return NULL;
    *out = negative ? -v : v;
    return digits ? p : NULL;
}

dn_status dn_cfg_i64(dn_section *s, const char *key, int64_t fallback, int64_t low, int64_t high, int64_t *out) {
    dn_option *o = cfg_find(s, key);
    *out = fallback;
    if (!o) return DN_OK;
    const char *end = cfg_int(o->value, out);
    if (!end || *end) return dn_cfg_error(s, key, "%s=%s is not a whole number", key, o->value);
    if (*out < low) return dn_cfg_error(s, key, "%s=%s is below %lld", key, o->value, (long long)low);
    if (*out > high) return dn_cfg_error(s, key, "%s=%s is above %lld", key, o->value, (long long)high);
    return DN_OK;
}

dn_status dn_cfg_int(dn_section *s, const char *key, int fallback, int low, int high, int *out) {
    int64_t v = fallback;
    dn_status status = dn_cfg_i64(s, key, fallback, low, high, &v);
    *out = (int)v;
    return status;
}

dn_status dn_cfg_float(dn_section *s, const char *key, double fallback, double *out) {
    dn_option *o = cfg_find(s, key);
    *out = fallback;
    if (!o) return DN_OK;
    const char *end = dn_number_parse(o->value, out);
    if (!end || *end) return dn_cfg_error(s, key, "%s=%s is not a number", key, o->value);
    if (!isfinite((float)*out)) return dn_cfg_error(s, key, "%s=%s is beyond what a float32 holds", key, o->value);
    return DN_OK;
}

dn_status dn_cfg_no_effect(dn_section *s, const char *key, double fallback) {
    double value;
    DN_TRY(dn_cfg_float(s, key, fallback, &value));
    if (value != fallback)
        dn_cfg_warn(s->cfg, "%s:%d: [%s] %s=%g has no effect", s->cfg->path, dn_cfg_line(s, key), s->name, key, value);
    return DN_OK;
}

const char *dn_cfg_string(dn_section *s, const char *key, const char *fallback) {
    dn_option *o = cfg_find(s, key);
    return o ? o->text : fallback;
}

int dn_cfg_has(dn_section *s, const char *key) { return cfg_find(s, key) != NULL; }

static dn_status cfg_list(dn_section *s, const char *key, int whole, void **out, int *n) {
    dn_option *o = cfg_find(s, key);
    *out = NULL, *n = 0;
    if (!o) return DN_OK;
    size_t count = 1;
    for (const char *p = o->value; *p; p++) count += *p == ',';
    if (!(*out = dn_alloc(count, sizeof(float)))) return DN_E_MEMORY;
    const char *p = o->value;
    for (size_t i = 0; i < count; i++) {
        int64_t v = 0;
        double d = 0;
        const char *end = whole ? cfg_int(p, &v) : dn_number_parse(p, &d);
        if (!end || *end != (i + 1 < count ? ',' : 0) || v > INT_MAX || v < INT_MIN)
            return dn_cfg_error(s, key, "%s=%s is not a list of numbers", key, o->value); /* *out is the caller's */
        if (!isfinite((float)d)) return dn_cfg_error(s, key, "%s=%s is beyond what a float32 holds", key, o->value);
        if (whole)
            ((int *)*out)[i] = (int)v;
        else
            ((float *)*out)[i] = (float)d;
        p = end + 1;
    }
    *n = (int)count;
    return DN_OK;
}

dn_status dn_cfg_ints(dn_section *s, const char *key, int **out, int *n) {
    return cfg_list(s, key, 1, (void **)out, n);
}
dn_status dn_cfg_cells(dn_section *s, const char *key, char ***out, int *n) {
    const dn_option *o = cfg_find(s, key);
    *out = NULL, *n = 0;
    if (!o) return DN_OK;
    size_t most = 1, size = strlen(o->text);
    for (const char *p = o->text; *p; p++) most += *p == ',';
    char *to = dn_alloc(1, most * sizeof **out + size + most);
    if (!to) return DN_E_MEMORY;
    *out = (char **)(void *)to, to += most * sizeof **out;
    csv_reader r = {.path = s->cfg->path, .p = o->text, .end = o->text + size, .separator = ',', .line = o->line};
    for (int last = 0; !last; to++) {
        csv_cell cell = {.text = o->text, .size = size, .quoted = 1};
        if (o->quoted)
            last = 1;
        else
            dn_csv_cell(&r, &cell, &last);
        if (cell.unclosed || cell.behind)
            return dn_cfg_error(s, key, "%s=: name %d begins with a quote that %s", key, *n + 1,
                                cell.unclosed ? "is not closed" : "is not closed before the next comma");
        (*out)[(*n)++] = to;
        to += dn_csv_copy(&cell, to);
    }
    return DN_OK;
}

dn_status dn_cfg_floats(dn_section *s, const char *key, float **out, int *n) {
    return cfg_list(s, key, 0, (void **)out, n);
}

dn_status dn_cfg_report_unread(dn_cfg *cfg, dn_section *s) {
    for (int i = 0; i < s->n_options; i++) {
        dn_option *o = &s->options[i];
        if (o->used || (cfg->n_warnings == MAX_WARNINGS && !o->set)) continue;
        const char *asked[sizeof s->asked / sizeof *s->asked + 1] = {NULL};
        memcpy(asked, s->asked, (size_t)s->n_asked * sizeof *asked);
        dn_like like;
        DN_CHECK(!o->set, DN_E_USAGE, "%s:%d: [%s] has no key '%s' to set%s", cfg->path, s->line, s->name, o->key,
                 dn_cfg_like(&like, o->key, asked));
        dn_cfg_warn(cfg, "%s:%d: [%s] unknown key '%s'%s", cfg->path, o->line, s->name, o->key,
                    dn_cfg_like(&like, o->key, asked));
    }
    return DN_OK;
}

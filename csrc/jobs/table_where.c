#include "jobs/table_where.h"
#include "base/nearest.h"
#include "base/number.h"
#include "base/sys.h"
#include "base/text.h"
#include "io/columns.h"
#include <math.h>
#include <string.h>

/* ---- one condition ---- */

static const struct {
    const char *text; /* longer ones first */
    where_op op;
} operators[] = {{"==", WHERE_EQUAL}, {"!=", WHERE_OTHER}, {"<=", WHERE_AT_MOST}, {">=", WHERE_AT_LEAST},
                 {"=", WHERE_EQUAL},  {"<", WHERE_BELOW},  {">", WHERE_ABOVE}};
enum { OPERATORS = sizeof operators / sizeof *operators };

/* Where the operator of that number begins its value; NULL: another text stands there. */
static const char *operator_at(const char *text, where_op *op) {
    while (*text == ' ') text++;
    for (int i = 0; i < OPERATORS; i++) {
        size_t n = strlen(operators[i].text);
        if (!strncmp(text, operators[i].text, n)) return *op = operators[i].op, text + n;
    }
    return NULL;
}

/* The column whose name begins the text, with an operator after it: names may hold operators, so the longest counts. */
static const char *where_column(const dn_schema *schema, const char *text, where_term *term) {
    const char *found = NULL;
    size_t longest = 0;
    dn_column_info c;
    for (int i = 0; dn_schema_column(schema, i, &c); i++) {
        size_t n = strlen(c.name);
        where_op op;
        const char *value = strncmp(text, c.name, n) ? NULL : operator_at(text + n, &op);
        if (!value || (found && n <= longest)) continue;
        found = value, longest = n;
        term->column = c, term->index = i, term->op = op;
    }
    return found;
}

static dn_status where_no_column(const dn_schema *schema, const char *text) {
    size_t n = strcspn(text, "=<>!");
    DN_CHECK(text[n], DN_E_USAGE, "where: '%.72s' is no condition, such as \"name=value\" or \"name>=3\"", text);
    while (n && text[n - 1] == ' ') n--;
    dn_nearest nearest;
    dn_column_info c;
    dn_nearest_begin(&nearest, text, n);
    for (int i = 0; dn_schema_column(schema, i, &c); i++) dn_nearest_try(&nearest, c.name, strlen(c.name));
    return dn_fail(DN_E_USAGE, "where: the table has no column '%.*s'%s%.72s%s", n < 72 ? (int)n : 72, text,
                   nearest.found ? " (did you mean '" : "", nearest.found ? nearest.found : "",
                   nearest.found ? "'?)" : "");
}

static int where_compare(where_op op, double a, double b) {
    double near = 1e-9 * fmax(fabs(a), fabs(b));
    switch (op) {
    case WHERE_EQUAL: return fabs(a - b) <= near;
    case WHERE_OTHER: return fabs(a - b) > near; /* NaN: no */
    case WHERE_BELOW: return a < b;
    case WHERE_AT_MOST: return a <= b + near;
    case WHERE_ABOVE: return a > b;
    default: return a >= b - near;
    }
}

/* Without blanks at both ends. */
static char *where_trim(char *value) {
    size_t n = strlen(value);
    while (n && value[n - 1] == ' ') value[--n] = 0;
    return value + strspn(value, " ");
}

static void where_value_text(const columns_column *c, double value, char text[COLUMNS_NUMBER]) {
    if (c->type == DN_FRAME_TIME)
        dn_columns_time_text(value, c->form, text);
    else
        dn_columns_own_text(c, value, text);
}

/* Can a drawn row have this number? Coded by quantiles, numbers that several rows have come back as themselves, and
 * nothing between two of them where no other was. */
static dn_status where_exists(const dn_schema *schema, const where_term *t, const char *value) {
    const columns_column *c = &schema->columns[t->index];
    const columns_knots *k = &c->knots;
    char below[COLUMNS_NUMBER], above[COLUMNS_NUMBER];
    if (t->op != WHERE_EQUAL || c->condition || schema->coding != COLUMNS_QUANTILES) return DN_OK;
    for (int i = 0; i + 1 < k->n; i++) {
        if (!(k->values[i] < t->number && t->number < k->values[i + 1]) || k->below[i] + k->at[i] != k->below[i + 1])
            continue;
        if (dn_columns_single(k, i)) continue;
        if (where_compare(t->op, k->values[i], t->number) || where_compare(t->op, k->values[i + 1], t->number))
            continue;
        where_value_text(c, k->values[i], below);
        where_value_text(c, k->values[i + 1], above);
        return dn_fail(DN_E_USAGE,
                       "where: no row can have that: column '%.72s' has %.40s and %.40s, and nothing between them, not "
                       "%.72s; a single value is mostly too rare: ask for a range",
                       c->name, below, above, value);
    }
    return DN_OK;
}

static dn_status where_number(const dn_schema *schema, where_term *t, char *value) {
    const dn_column_info *c = &t->column;
    value = where_trim(value);
    DN_CHECK(dn_columns_read(value, c->type, &t->number), DN_E_USAGE, "where: '%.72s' is no %s, as column '%.72s' has",
             value, c->kind == DN_COLUMN_TIME ? "date" : "number", c->name);
    int below = t->op == WHERE_BELOW ? t->number <= c->low : t->op != WHERE_OTHER && t->number < c->low;
    int above = t->op == WHERE_ABOVE ? t->number >= c->high : t->op != WHERE_OTHER && t->number > c->high;
    below = below && t->op != WHERE_ABOVE && t->op != WHERE_AT_LEAST;
    above = above && t->op != WHERE_BELOW && t->op != WHERE_AT_MOST;
    DN_CHECK(!below && !above, DN_E_USAGE,
             "where: no row can have that: column '%.72s' goes from %.10g to %.10g, not to %.72s", c->name, c->low,
             c->high, value);
    DN_TRY(where_exists(schema, t, value));
    return dn_schema_cell(schema, t->index, value, &t->code);
}

/* Of yes_no and categories: which of the codes are allowed. Blanks are taken off where no word has them. */
static dn_status where_words(const dn_schema *schema, where_term *t, char *value) {
    const dn_column_info *c = &t->column;
    int ordered = t->op != WHERE_EQUAL && t->op != WHERE_OTHER, some = 0;
    double wanted = 0, number;
    if (!(t->allowed = dn_alloc((size_t)c->classes, 1))) return DN_E_MEMORY;
    if (ordered)
        DN_CHECK(c->type == DN_FRAME_NUMBER && dn_columns_read(value, c->type, &wanted), DN_E_USAGE,
                 "where: column '%.72s' has words, which are only = or != '%.72s'", c->name, value);
    else if (dn_schema_cell(schema, t->index, value, &t->code) != DN_OK &&
             dn_schema_cell(schema, t->index, value = where_trim(value), &t->code) != DN_OK)
        return dn_fail_prefix(DN_E_USAGE, "where: ");
    for (int k = 0; k < c->classes; k++) {
        const char *word = dn_schema_word(schema, t->index, k);
        int same = (float)k == t->code;
        if (ordered)
            t->allowed[k] = word && dn_columns_read(word, c->type, &number) && where_compare(t->op, number, wanted);
        if (!ordered) t->allowed[k] = t->op == WHERE_EQUAL ? same : !same;
        some |= t->allowed[k];
    }
    DN_CHECK(some, DN_E_USAGE, "where: no value of column '%.72s' is like that: '%.72s'", c->name, value);
    return DN_OK;
}

/* A condition without its quotes, the last of which were around text[begin] to text[end - 1], where blanks count. */
typedef struct where_text {
    dn_text text;
    size_t begin, end;
} where_text;

static dn_status where_add(dn_where *w, const where_text *one) {
    where_term *grown = dn_realloc(w->terms, (size_t)w->n + 1, sizeof *grown), *t;
    if (!grown) return DN_E_MEMORY;
    w->terms = grown, t = &grown[w->n++];
    *t = (where_term){0};
    const char *text = one->text.bytes, *found = where_column(w->schema, text, t);
    if (!found) found = where_column(w->schema, text += strspn(text, " "), t);
    if (!found) return where_no_column(w->schema, text);
    size_t at = (size_t)(found - one->text.bytes);
    char *value = one->text.bytes + at;
    for (; *value == ' ' && (at < one->begin || at >= one->end); at++) value++;
    DN_CHECK(t->column.coded >= 0, DN_E_USAGE, "where: column '%.72s' is not part of the model: it is %s",
             t->column.name,
             t->column.kind == DN_COLUMN_CONSTANT     ? "a constant"
             : t->column.kind == DN_COLUMN_IDENTIFIER ? "an identifier"
             : t->column.kind == DN_COLUMN_LABEL      ? "the label"
             : t->column.kind == DN_COLUMN_ROW_WEIGHT ? "the weight of rows"
                                                      : "left out");
    int number = t->column.kind == DN_COLUMN_NUMBER || t->column.kind == DN_COLUMN_TIME;
    DN_TRY(number ? where_number(w->schema, t, value) : where_words(w->schema, t, value));
    t->given = t->column.condition && t->op == WHERE_EQUAL;
    w->left += !t->given;
    return DN_OK;
}

/* ---- all of them ---- */

/* The next condition of a list; returns what comes after it. */
static const char *where_next(const char *at, where_text *one) {
    int quoted = 0;
    dn_text *to = &one->text;
    for (; *at && (quoted || *at != ','); at++) {
        if (*at == '"' && quoted && at[1] == '"')
            at++;
        else if (*at == '"') {
            quoted = !quoted;
            if (quoted) one->begin = to->size;
            one->end = to->size;
            continue;
        }
        if (quoted || to->size || *at != ' ') dn_text_add(to, at, 1);
        if (quoted) one->end = to->size;
    }
    while (to->size > one->end && to->bytes[to->size - 1] == ' ') to->bytes[--to->size] = 0;
    return at + (*at == ',');
}

dn_status dn_where_parse(dn_where *w, const dn_schema *schema, const char *text) {
    *w = (dn_where){.schema = schema};
    dn_status status = DN_OK;
    while (*text && status == DN_OK) {
        where_text one = {0};
        dn_text_add(&one.text, "", 0);
        text = where_next(text, &one);
        status = one.text.status == DN_OK ? where_add(w, &one) : one.text.status;
        dn_text_free(&one.text);
    }
    return status;
}

void dn_where_free(dn_where *w) {
    for (int i = 0; i < w->n; i++) dn_free(w->terms[i].allowed);
    dn_free(w->terms);
    *w = (dn_where){0};
}

static void test_numbers(const where_term *t, const dn_frame *frame, uint8_t *kept) {
    for (int i = 0; i < frame->n; i++) {
        const dn_frame_column *c = &frame->columns[i];
        if (strcmp(c->name, t->column.name)) continue;
        for (size_t r = 0; r < frame->rows; r++) kept[r] &= (uint8_t)where_compare(t->op, c->numbers[r], t->number);
        return;
    }
}

dn_status dn_where_test(const dn_where *w, const float *x, size_t rows, uint8_t *kept) {
    size_t width = (size_t)dn_schema_coded(w->schema);
    int numbers = 0;
    memset(kept, 1, rows);
    for (int i = 0; i < w->n; i++) {
        const where_term *t = &w->terms[i];
        numbers |= !t->allowed && !t->given;
        for (size_t r = 0; t->allowed && !t->given && r < rows; r++) {
            float code = x[r * width + (size_t)t->column.coded];
            kept[r] &= code >= 0 && code < (float)t->column.classes && t->allowed[(int)(code + 0.5f)];
        }
    }
    if (!numbers) return DN_OK;
    dn_frame frame;
    DN_TRY(dn_schema_decode(w->schema, x, rows, &frame)); /* values as they will be written: rounded, in range */
    for (int i = 0; i < w->n; i++)
        if (!w->terms[i].allowed && !w->terms[i].given) test_numbers(&w->terms[i], &frame, kept);
    dn_frame_free(&frame);
    return DN_OK;
}

/* Classes: finding them in labels, reading and writing them, labels as one-hot rows, outputs as classes. */
#include "base/sys.h"
#include "io/csv.h"
#include "jobs/scores.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct label {
    const char *text; /* zero-terminated */
    size_t size;
    double number;
    int numeric, index;
} label;

/* The next of the texts at *text; advances *text. */
static label label_next(const char **text) {
    label l = {.text = *text, .size = strlen(*text)};
    const char *end = l.size ? dn_number_parse(l.text, &l.number) : NULL;
    l.numeric = end == l.text + l.size;
    *text += l.size + 1;
    return l;
}

static int label_compare(const void *first, const void *second) {
    const label *a = first, *b = second;
    if (a->numeric != b->numeric) return a->numeric ? -1 : 1;
    if (a->numeric) return a->number < b->number ? -1 : a->number > b->number;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static dn_status labels_sorted(const char *text, size_t n, label **out) {
    if (!(*out = dn_alloc(n, sizeof **out))) return DN_E_MEMORY;
    for (size_t i = 0; i < n; i++) {
        (*out)[i] = label_next(&text);
        (*out)[i].index = (int)i;
    }
    qsort(*out, n, sizeof **out, label_compare);
    return DN_OK;
}

static dn_status classes_join(dn_classes *classes, const label *sorted, size_t n) {
    size_t bytes = 1;
    for (size_t i = 0; i < n; i++) bytes += sorted[i].size + 1;
    char *to = classes->names = dn_alloc(bytes, 1);
    if (!to) return DN_E_MEMORY;
    for (size_t i = 0; i < n; i++) {
        if (i && !label_compare(&sorted[i - 1], &sorted[i])) continue;
        DN_CHECK(classes->n < INT_MAX, DN_E_USAGE, "too many different labels");
        memcpy(to, sorted[i].text, sorted[i].size + 1);
        to += sorted[i].size + 1, classes->n++;
    }
    return DN_OK;
}

dn_status dn_classes_find(dn_classes *classes, const char *labels, size_t rows) {
    label *sorted;
    *classes = (dn_classes){0};
    DN_CHECK(rows <= INT_MAX, DN_E_USAGE, "%zu labels are too many", rows);
    DN_TRY(labels_sorted(labels, rows, &sorted));
    dn_status status = DN_OK;
    for (size_t i = 0; i < rows && status == DN_OK; i++)
        if (!sorted[i].size) status = dn_fail(DN_E_FORMAT, "the label of row %d is empty", sorted[i].index + 1);
    if (status == DN_OK) status = classes_join(classes, sorted, rows);
    dn_free(sorted);
    if (status != DN_OK) dn_classes_free(classes);
    return status;
}

/* If the labels are class numbers as Darknet counts them, from 0 to n - 1, but some numbers have no row: list all n
 * classes. */
static dn_status classes_count(dn_classes *classes, int n) {
    const char *names = classes->names;
    if (classes->n >= n) return DN_OK;
    for (int i = 0; i < classes->n; i++) {
        label l = label_next(&names);
        if (!l.numeric || l.number != floor(l.number) || l.number < 0 || l.number >= n) return DN_OK;
    }
    size_t size = 12 * (size_t)n, at = 0;
    char *all = dn_alloc(size, 1);
    if (!all) return DN_E_MEMORY;
    for (int i = 0; i < n; i++) at += (size_t)snprintf(all + at, size - at, "%d", i) + 1;
    dn_classes_free(classes);
    *classes = (dn_classes){.names = all, .n = n};
    return DN_OK;
}

void dn_classes_free(dn_classes *classes) {
    dn_free(classes->names);
    *classes = (dn_classes){0};
}

size_t dn_classes_path(const char *weights, char *text, size_t size) {
    int n = snprintf(text, size, "%.*s.labels.txt", (int)dn_path_stem(weights), weights);
    return n < 0 ? 0 : (size_t)n;
}

/* The next name: the whole line, or the quoted cell at its beginning. Returns 0 for a blank line. */
static int classes_line(csv_reader *r, csv_cell *cell) {
    csv_reader look = *r;
    int last;
    dn_csv_cell(&look, cell, &last);
    if (!cell->quoted || cell->unclosed || cell->behind || cell->text != r->p + 1) { /* unquoted */
        look.p = csv_line_end(r->p, r->end);
        *cell = (csv_cell){.text = r->p, .size = (size_t)(look.p - r->p)};
    }
    r->p = csv_over_line_end(look.p, r->end);
    return cell->size > 0;
}

dn_status dn_classes_load(dn_classes *classes, const char *path) {
    *classes = (dn_classes){0};
    size_t size, to = 0;
    char *text;
    DN_TRY(dn_file_read(path, DN_NAMES_MOST, &text, &size));
    dn_status status = dn_csv_content(path, text, size);
    if (status == DN_OK && memchr(text, 0, size))
        status = dn_fail(DN_E_FORMAT, "%s: a zero byte: this is not text", path);
    csv_reader r = {.p = text, .end = text + size, .separator = '\n'}; /* a separator that cannot occur within a line */
    if (size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) r.p += 3;
    if (status == DN_OK && !(classes->names = dn_alloc(size + 2, 1))) status = DN_E_MEMORY;
    while (status == DN_OK && r.p < r.end) {
        csv_cell cell;
        if (!classes_line(&r, &cell)) continue;
        if (classes->n == INT_MAX) status = dn_fail(DN_E_FORMAT, "%s: too many labels", path);
        to += dn_csv_copy(&cell, classes->names + to) + 1, classes->n++;
    }
    dn_free(text);
    if (status == DN_OK && !classes->n) status = dn_fail(DN_E_FORMAT, "%s: no labels", path);
    if (status != DN_OK) dn_classes_free(classes);
    return status;
}

/* Write a name as a line of the file. */
static dn_status classes_write(dn_writer *w, const char *name) {
    if (*name != '"' && !strpbrk(name, "\r\n") && strncmp(name, "\xEF\xBB\xBF", 3)) {
        DN_TRY(dn_writer_write(w, name, strlen(name)));
        return dn_writer_write(w, "\n", 1);
    }
    DN_TRY(dn_writer_write(w, "\"", 1));
    for (; *name; name++) {
        DN_TRY(dn_writer_write(w, name, 1));
        if (*name == '"') DN_TRY(dn_writer_write(w, name, 1));
    }
    return dn_writer_write(w, "\"\n", 2);
}

dn_status dn_classes_save(const dn_classes *classes, const char *path) {
    dn_writer *w;
    DN_TRY(dn_writer_open(&w, path));
    dn_status status = DN_OK;
    const char *name = classes->names;
    for (int i = 0; i < classes->n && status == DN_OK; i++, name += strlen(name) + 1) status = classes_write(w, name);
    return dn_writer_finish(w, status);
}

/* The first few names, for messages. */
static void classes_some(const dn_classes *classes, char *text, size_t size) {
    size_t at = 0;
    const char *names = classes->names;
    for (int i = 0; i < classes->n && at + 8 < size; i++) {
        label l = label_next(&names);
        if (i == 12 || at + l.size + 8 > size) {
            snprintf(text + at, size - at, ", ...");
            return;
        }
        at += (size_t)snprintf(text + at, size - at, "%s%.*s", i ? ", " : "", (int)l.size, l.text);
    }
}

static dn_status classes_fill(const dn_classes *classes, const label *sorted, const char *labels, size_t rows,
                              int width, float *truth) {
    memset(truth, 0, rows * (size_t)width * sizeof *truth);
    for (size_t r = 0; r < rows; r++) {
        label l = label_next(&labels), *found = bsearch(&l, sorted, (size_t)classes->n, sizeof *sorted, label_compare);
        if (!found) {
            char some[160] = "";
            classes_some(classes, some, sizeof some);
            return dn_fail(DN_E_FORMAT, "the label '%.*s' of row %zu is not one of %s",
                           (int)(l.size < 40 ? l.size : 40), l.text, r + 1, some);
        }
        if (width == 1)
            truth[r] = (float)found->index;
        else
            truth[r * (size_t)width + (size_t)found->index] = 1;
    }
    return DN_OK;
}

/* Of `wanted` classes; width 1: their numbers. */
static dn_status classes_truth(const dn_classes *classes, const char *labels, size_t rows, int wanted, int width,
                               float *truth) {
    char some[160] = "";
    int codes = width == 1 && wanted > 2;
    if (classes->n != wanted) {
        classes_some(classes, some, sizeof some);
        return dn_fail(DN_E_USAGE,
                       "%d different labels (%s), but the network's loss is over %d %s%s: %d labels are wanted",
                       classes->n, some, codes ? wanted : width, codes ? "class" : "value",
                       codes        ? "es"
                       : width == 1 ? ""
                                    : "s",
                       wanted);
    }
    label *sorted;
    DN_TRY(labels_sorted(classes->names, (size_t)classes->n, &sorted));
    dn_status status = classes_fill(classes, sorted, labels, rows, width, truth);
    dn_free(sorted);
    return status;
}

dn_status dn_classes_one_hot(const dn_classes *classes, const char *labels, size_t rows, int width, float *truth) {
    return classes_truth(classes, labels, rows, width == 1 ? 2 : width, width, truth);
}

/* A single column of truth that holds the number of a class. */
static int net_has_code(const dn_net *net) { return net->truth_kind == DN_TRUTH_CODES && net->truths == 1; }

static dn_status net_pick(const dn_net *net, const float *outputs, size_t rows, int32_t *picked) {
    DN_CHECK(net_has_code(net) || (net->truths == net->outputs && net->truth_kind >= DN_TRUTH_BINARY), DN_E_USAGE,
             "%s: no labels to predict: its loss is not over classes", net->cfg->path);
    for (size_t r = 0; r < rows; r++) {
        const float *row = outputs + r * (size_t)net->outputs;
        picked[r] = net->outputs == 1 ? row[0] > (net->logits ? 0 : 0.5f) : dn_row_largest(row, net->outputs);
    }
    return DN_OK;
}

static dn_status net_truth(const dn_net *net, const dn_table *t, const char *path, dn_classes *classes, float *truth) {
    const char *cfg = net->cfg->path;
    DN_CHECK(net->truths, DN_E_USAGE, "%s: the network has no cost layer, so no loss", cfg);
    if (t->truths) {
        DN_CHECK(t->truths == (size_t)net->truths, DN_E_USAGE,
                 "%s: %zu target column%s, but the loss of %s is over %d value%s", path, t->truths,
                 t->truths == 1 ? "" : "s", cfg, net->truths, net->truths == 1 ? "" : "s");
        memcpy(truth, t->truth, t->rows * t->truths * sizeof *truth);
        return DN_OK;
    }
    int labels_fit = net->truth_kind == DN_TRUTH_BINARY || net->truth_kind == DN_TRUTH_CLASSES || net_has_code(net);
    int wanted = net_has_code(net) ? net->outputs : net->truths == 1 ? 2 : net->truths;
    DN_CHECK(t->labels && labels_fit, DN_E_USAGE,
             "%s: no truth: the loss of %s is over %d value%s per row, so name the %starget columns (-target)", path,
             cfg, net->truths, net->truths == 1 ? "" : "s",
             labels_fit ? "label column (-label-column, or label_column in [net]) or " : "");
    dn_status status = DN_OK;
    if (!classes->n) {
        status = dn_classes_find(classes, t->labels, t->rows);
        if (status == DN_OK) status = classes_count(classes, wanted);
    }
    if (status == DN_OK) status = classes_truth(classes, t->labels, t->rows, wanted, net->truths, truth);
    return status == DN_OK ? DN_OK : dn_fail_prefix(status, "%s: ", path);
}

/* Both read the network's description, which resizing changes, so they hold its lock. */

dn_status dn_net_pick(const dn_net *net, const float *outputs, size_t rows, int32_t *picked) {
    dn_net_lock(net);
    dn_status status = net_pick(net, outputs, rows, picked);
    dn_net_unlock(net);
    return status;
}

dn_status dn_net_truth(const dn_net *net, const dn_table *t, const char *path, dn_classes *classes, float *truth) {
    dn_net_lock(net);
    dn_status status = net_truth(net, t, path, classes, truth);
    dn_net_unlock(net);
    return status;
}

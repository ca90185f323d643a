/* Arrays of NumPy's .npy format. */
#include "io/npy.h"
#include "io/csv.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>

enum { NPY_HEADER = 1 << 16, NPY_CHUNK = 1 << 20 };

typedef struct npy_type {
    const char *name; /* as in descr, without the byte order */
    size_t size;
    void (*read)(const char *from, size_t n, double *to);
} npy_type;

struct npy_file {
    const char *path;
    int fd;
    csv_plan plan;
    dn_table *table;
    npy_type type;
    int fortran, labelled;   /* columns one after another; one of them has labels */
    size_t rows, wanted, at; /* of the file; of all pieces together; where the values begin */
    size_t done, *features;  /* rows read so far; (columns) the place of each feature */
    double *labels;          /* of the piece's rows, or NULL */
};

#define NPY_READ(name, type)                                          \
    static void read_##name(const char *from, size_t n, double *to) { \
        for (size_t i = 0; i < n; i++) {                              \
            type v;                                                   \
            memcpy(&v, from + i * sizeof v, sizeof v);                \
            to[i] = (double)v;                                        \
        }                                                             \
    }
NPY_READ(f4, float)
NPY_READ(f8, double)
NPY_READ(u1, uint8_t)
NPY_READ(u2, uint16_t)
NPY_READ(u4, uint32_t)
NPY_READ(u8, uint64_t)
NPY_READ(i1, int8_t)
NPY_READ(i2, int16_t)
NPY_READ(i4, int32_t)
NPY_READ(i8, int64_t)

static const npy_type npy_types[] = {{"f4", 4, read_f4}, {"f8", 8, read_f8}, {"u1", 1, read_u1}, {"b1", 1, read_u1},
                                     {"u2", 2, read_u2}, {"u4", 4, read_u4}, {"u8", 8, read_u8}, {"i1", 1, read_i1},
                                     {"i2", 2, read_i2}, {"i4", 4, read_i4}, {"i8", 8, read_i8}};

dn_status dn_npy_is(int fd, const char *path, int *is) {
    char begin[6];
    size_t got;
    int64_t at;
    *is = 0;
    if (!strcmp(path, "-") || !dn_reader_seekable(fd, &at)) return DN_OK;
    DN_TRY(dn_reader_read(fd, path, begin, sizeof begin, &got));
    *is = got == sizeof begin && !memcmp(begin, "\x93NUMPY", sizeof begin);
    return dn_reader_seek(fd, path, at);
}

/* ---- the header: a dict of Python as text ---- */

/* What follows 'key': in it; NULL: it has no such key. */
static const char *npy_value(const char *header, const char *key) {
    const char *at = strstr(header, key);
    if (!at || at == header || (at[-1] != '\'' && at[-1] != '"')) return NULL;
    at += strlen(key) + 1;
    while (*at == ' ') at++;
    if (*at++ != ':') return NULL;
    while (*at == ' ') at++;
    return at;
}

static dn_status npy_descr(npy_file *f, const char *header) {
    const char *at = npy_value(header, "descr");
    DN_CHECK(at, DN_E_FORMAT, "%s: a .npy file without 'descr' in its header", f->path);
    DN_CHECK(*at == '\'' || *at == '"', DN_E_FORMAT,
             "%s: an array of records: save its columns as one float32 array, or the table as CSV", f->path);
    const char *end = strchr(at + 1, *at), order = at[1];
    DN_CHECK(end && end - at < 16, DN_E_FORMAT, "%s: 'descr' in its header is not closed", f->path);
    DN_CHECK(order == '<' || order == '|' || order == '=', DN_E_FORMAT,
             "%s: values of type %.*s are not read: save it with astype('float32')", f->path, (int)(end - at - 1),
             at + 1);
    for (size_t i = 0; i < sizeof npy_types / sizeof *npy_types; i++)
        if (end - at == 4 && !memcmp(at + 2, npy_types[i].name, 2)) f->type = npy_types[i];
    DN_CHECK(f->type.name, DN_E_FORMAT, "%s: values of type %.*s are not read: save it with astype('float32')", f->path,
             (int)(end - at - 1), at + 1);
    return DN_OK;
}

static dn_status npy_shape(npy_file *f, const char *header) {
    const char *at = npy_value(header, "shape"), *order = npy_value(header, "fortran_order");
    size_t columns = 1, count, bytes;
    int n = 0;
    DN_CHECK(at && *at == '(' && order, DN_E_FORMAT, "%s: a .npy file without shape or order in its header", f->path);
    f->fortran = !strncmp(order, "True", 4);
    for (at++; *at && *at != ')'; n++) {
        char *end;
        unsigned long long size = *at >= '0' && *at <= '9' ? strtoull(at, &end, 10) : (end = (char *)at, 0);
        DN_CHECK(end != at && size < SIZE_MAX, DN_E_FORMAT, "%s: its shape makes no sense", f->path);
        if (!n)
            f->rows = (size_t)size;
        else
            DN_TRY(dn_size_mul(&columns, columns, (size_t)size));
        for (at = end; *at == ' ' || *at == ',' || *at == 'L'; at++) {
        }
    }
    DN_CHECK(n, DN_E_FORMAT, "%s: a single value, not rows of values", f->path);
    DN_CHECK(f->rows && columns, DN_E_FORMAT, "%s: an array without values: shape (%zu, %zu)", f->path, f->rows,
             columns);
    DN_CHECK(columns <= CSV_MAX_COLUMNS, DN_E_FORMAT, "%s: %zu columns are more than %d", f->path, columns,
             CSV_MAX_COLUMNS);
    DN_CHECK(!f->fortran || n < 3, DN_E_FORMAT,
             "%s: %d dimensions in Fortran order: save numpy.ascontiguousarray of it", f->path, n);
    if (n == 1) f->fortran = 0;
    f->plan.columns = (int)columns;
    DN_TRY(dn_size_mul(&count, f->rows, columns));
    DN_TRY(dn_size_mul(&bytes, count, f->type.size));
    size_t left = dn_reader_left(f->fd);
    DN_CHECK(left >= bytes, DN_E_FORMAT, "%s: cut off: %zu of %zu bytes of values are there", f->path, left, bytes);
    return DN_OK;
}

static dn_status npy_header(npy_file *f) {
    char start[12], *header;
    size_t got, size;
    DN_TRY(dn_reader_read(f->fd, f->path, start, 10, &got));
    int wide = got == 10 && start[6] >= 2;
    if (wide) {
        size_t more;
        DN_TRY(dn_reader_read(f->fd, f->path, start + 10, 2, &more));
        got += more;
    }
    DN_CHECK(got == (wide ? 12u : 10u) && start[6] >= 1 && start[6] <= 3, DN_E_FORMAT,
             "%s: a .npy file that is cut off or of a version that is not known", f->path);
    const unsigned char *b = (const unsigned char *)start + 8;
    size = b[0] | (size_t)b[1] << 8 | (wide ? (size_t)b[2] << 16 | (size_t)b[3] << 24 : 0);
    DN_CHECK(size <= NPY_HEADER, DN_E_FORMAT, "%s: a header of %zu bytes", f->path, size);
    if (!(header = dn_alloc(size + 1, 1))) return DN_E_MEMORY;
    f->at = size + (wide ? 12 : 10);
    dn_status status = dn_reader_read(f->fd, f->path, header, size, &got);
    if (status == DN_OK && got < size) status = dn_fail(DN_E_FORMAT, "%s: cut off in its header", f->path);
    if (status == DN_OK) status = npy_descr(f, header);
    if (status == DN_OK) status = npy_shape(f, header);
    dn_free(header);
    return status;
}

/* ---- the values ---- */

static dn_status npy_bad(const npy_file *f, size_t row, size_t column, double v) {
    return dn_fail(DN_E_FORMAT, "%s: row %zu, column %zu: %g is not a finite number%s", f->path, f->done + row, column,
                   v, isfinite(v) ? " in float32" : "");
}

static dn_status npy_put(npy_file *f, size_t row, size_t column, size_t feature, double v) {
    const csv_plan *plan = &f->plan;
    dn_table *t = f->table;
    int role = plan->roles[column];
    if (role == CSV_LABEL) {
        f->labels[row] = v;
        return DN_OK;
    }
    float value = (float)(role == CSV_FEATURE ? v / plan->scale : v);
    if (!isfinite(value) && !(role >= 0 && plan->missing && isnan(v))) return npy_bad(f, row, column, v);
    if (role == CSV_FEATURE)
        t->values[row * t->columns + feature] = value;
    else
        t->truth[row * t->truths + (size_t)role] = value;
    return DN_OK;
}

/* The next `rows` rows, of all `f->rows` in Fortran order. */
static dn_status npy_values(npy_file *f, size_t rows) {
    size_t columns = (size_t)f->plan.columns, each = NPY_CHUNK / f->type.size,
           n = (f->fortran ? f->rows : rows) * columns;
    if (each > n) each = n;
    char *bytes = dn_alloc(each, f->type.size);
    double *values = dn_alloc(each, sizeof *values);
    dn_status status = bytes && values ? DN_OK : DN_E_MEMORY;
    for (size_t done = 0, got; done < n && status == DN_OK;) {
        size_t take = n - done < each ? n - done : each;
        status = dn_watched();
        if (status == DN_OK) status = dn_reader_read(f->fd, f->path, bytes, take * f->type.size, &got);
        if (status == DN_OK && got < take * f->type.size) status = dn_fail(DN_E_FORMAT, "%s: cut off", f->path);
        if (status != DN_OK) break;
        f->type.read(bytes, take, values);
        for (size_t i = 0; i < take && status == DN_OK; i++, done++) {
            size_t row = f->fortran ? done % f->rows : done / columns;
            size_t column = f->fortran ? done / f->rows : done % columns;
            if (row < rows) status = npy_put(f, row, column, f->features[column], values[i]);
        }
    }
    dn_free(bytes);
    dn_free(values);
    return status;
}

/* Labels as the texts that the same numbers have in a CSV file. */
static dn_status npy_labels(npy_file *f, size_t rows) {
    dn_table *t = f->table;
    if (!f->labels) return DN_OK;
    if (!(t->labels = dn_alloc(rows, DN_NUMBER_DOUBLE))) return DN_E_MEMORY;
    for (size_t r = 0; r < rows; r++) t->labels_size += dn_number_write(f->labels[r], t->labels + t->labels_size) + 1;
    return DN_OK;
}

static int npy_can_map(const npy_file *f) {
    return f->type.read == read_f4 && !f->fortran && f->plan.scale == 1 &&
           f->table->columns == (size_t)f->plan.columns && f->at % sizeof(float) == 0;
}

/* Float32 that needs no change stays in the file. */
static dn_status npy_map(npy_file *f) {
    dn_table *t = f->table;
    size_t n = f->wanted * t->columns;
    char *data;
    DN_TRY(dn_file_map(f->fd, f->path, f->at + n * sizeof(float), &data));
    t->mapped = data, t->mapped_size = f->at + n * sizeof(float);
    t->values = (float *)(void *)(data + f->at), t->rows = f->wanted;
    for (size_t i = 0; i < n; i++) {
        if (i % NPY_CHUNK == 0) DN_TRY(dn_watched());
        if (!isfinite(t->values[i])) return npy_bad(f, i / t->columns, i % t->columns, t->values[i]);
    }
    return DN_OK;
}

static dn_status npy_begin(npy_file *f, const dn_csv_options *o) {
    csv_plan *plan = &f->plan;
    const csv_reader names = {.path = f->path, .line = 1};
    size_t feature = 0;
    DN_TRY(npy_header(f));
    DN_TRY(dn_csv_target_list(o->targets, plan));
    plan->scale = o->scale != 0 ? o->scale : 1, plan->missing = o->missing;
    if (!(plan->roles = dn_alloc((size_t)plan->columns, 2 * sizeof *plan->roles))) return DN_E_MEMORY;
    plan->runs = plan->roles + plan->columns;
    DN_TRY(dn_csv_roles(&names, o, plan, f->table));
    f->wanted = o->max_rows > 0 && (uint64_t)o->max_rows < f->rows ? (size_t)o->max_rows : f->rows;
    f->table->separator = ',';
    if (!(f->features = dn_alloc((size_t)plan->columns, sizeof *f->features))) return DN_E_MEMORY;
    for (int c = 0; c < plan->columns; c++) {
        f->features[c] = plan->roles[c] == CSV_FEATURE ? feature++ : 0;
        f->labelled |= plan->roles[c] == CSV_LABEL;
    }
    return DN_OK;
}

dn_status dn_npy_open(npy_file **out, int fd, const char *path, const dn_csv_options *o, dn_table *about) {
    npy_file *f = *out = dn_alloc(1, sizeof *f);
    if (!f) return DN_E_MEMORY;
    f->path = path, f->fd = fd, f->table = about;
    dn_status status = npy_begin(f, o);
    if (status == DN_OK) return DN_OK;
    dn_npy_close(f);
    *out = NULL;
    return status;
}

dn_status dn_npy_next(npy_file *f, size_t rows, dn_table *t) {
    size_t left = f->wanted - f->done, truths = 0, values;
    if (rows > left || f->fortran) rows = left;
    if (!rows) return DN_OK;
    f->table = t;
    DN_TRY(dn_size_mul(&truths, rows, t->truths));
    DN_TRY(dn_size_mul(&values, rows, t->columns));
    if (truths && !(t->truth = dn_alloc(truths, sizeof *t->truth))) return DN_E_MEMORY;
    if (!(t->values = dn_alloc(values, sizeof *t->values))) return DN_E_MEMORY;
    if (f->labelled && !(f->labels = dn_alloc(rows, sizeof *f->labels))) return DN_E_MEMORY;
    dn_status status = npy_values(f, rows);
    if (status == DN_OK) status = npy_labels(f, rows);
    dn_free(f->labels);
    f->labels = NULL;
    t->rows = rows, f->done += rows;
    return status == DN_OK ? dn_csv_part_weights(&f->plan, t) : status;
}

void dn_npy_close(npy_file *f) {
    if (!f) return;
    dn_free(f->features);
    dn_free(f->plan.roles);
    dn_free(f->plan.targets);
    dn_free(f);
}

dn_status dn_npy_load(dn_table *table, int fd, const char *path, const dn_csv_options *o) {
    npy_file *f;
    DN_TRY(dn_npy_open(&f, fd, path, o, table));
    dn_status status = npy_can_map(f) ? npy_map(f) : dn_npy_next(f, SIZE_MAX, table);
    dn_npy_close(f);
    return status;
}

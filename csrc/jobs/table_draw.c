/* New rows of a table: latents from a prior, rows from the likelihood, and of those the ones that are wanted. */
#include "base/rng.h"
#include "base/sys.h"
#include "io/columns.h"
#include "jobs/jobs.h"
#include "jobs/table_where.h"
#include "net/network.h"
#include <string.h>

/* To fulfil conditions that the network is not given, so many rows are drawn for each that is wanted, and at least so
 * many; then it fails. */
enum { DRAWS_PER_ROW = 1000, DRAWS_LEAST = 200000, DRAWS_CHUNK = 4096 };

typedef struct draw_job {
    dn_net *net;
    const dn_schema *schema;
    const dn_draw_options *options;
    dn_where where;
    size_t width, latent; /* coded columns, latent numbers */
    size_t tried;
    float *z, *x, *condition; /* a chunk's latents, rows, and what [condition] is told; the last NULL: nothing */
    uint8_t *kept, *full;     /* rows of a chunk that are as wanted; columns without gaps */
} draw_job;

/* ---- conditions of the network ---- */

/* How many rows of the table had that code, as far as the condition allows it. */
static double draw_weight(const draw_job *j, const where_term *term, int index, int code) {
    return !term || term->allowed[code] ? (double)dn_schema_count(j->schema, index, code) : 0;
}

/* A code, as often as it was in the table; u: uniform. */
static float draw_code(const draw_job *j, const where_term *term, const dn_column_info *c, int index, double u) {
    double total = 0, sum = 0;
    int code = 0;
    for (int k = 0; k < c->classes; k++) total += draw_weight(j, term, index, k);
    for (int k = 0; k < c->classes; k++) {
        double weight = total > 0 ? draw_weight(j, term, index, k) : !term || term->allowed[k];
        if (weight > 0) code = k;
        if (weight > 0 && (sum += weight) > u * total) break;
    }
    return (float)code;
}

/* What [condition] is told of column `index` of the table, for the rows of a chunk: the value that is asked for, or one
 * drawn from the table's column. */
static void draw_condition(draw_job *j, int index, const dn_column_info *c, uint64_t seed, size_t rows) {
    const where_term *term = NULL;
    for (int i = 0; i < j->where.n; i++)
        if (j->where.terms[i].index == index && (j->where.terms[i].given || !term)) term = &j->where.terms[i];
    for (size_t r = 0; r < rows; r++) {
        float *to = &j->condition[r * j->width + (size_t)c->coded], four[4];
        if (c->classes) {
            *to = draw_code(j, term, c, index, dn_uniform_at(seed, DN_STREAM_CONDITION, r, (uint64_t)c->coded));
        } else if (term && term->given) {
            *to = term->code;
        } else { /* coded numbers are about N(0, 1) */
            dn_normal4(seed, DN_STREAM_CONDITION, r, (uint32_t)c->coded + (1u << 16), four);
            *to = four[0];
        }
    }
}

static void draw_conditions(draw_job *j, uint64_t seed, size_t rows) {
    dn_column_info c;
    for (int i = 0; j->condition && dn_schema_column(j->schema, i, &c); i++)
        if (c.coded >= 0 && c.condition) draw_condition(j, i, &c, seed, rows);
}

/* Conditions are no part of what the decoder gives. */
static void draw_conditions_back(draw_job *j, size_t rows) {
    dn_column_info c;
    for (int i = 0; j->condition && dn_schema_column(j->schema, i, &c); i++)
        for (size_t r = 0; c.coded >= 0 && c.condition && r < rows; r++) {
            size_t at = r * j->width + (size_t)c.coded;
            j->x[at] = j->condition[at];
        }
}

/* ---- rows ---- */

static dn_status draw_table_latents(draw_job *j, uint64_t seed, size_t rows) {
    const dn_draw_options *o = j->options;
    if (o->prior) return dn_mixture_draw(o->prior, seed, rows, o->temperature, j->z);
    if (o->normal) return dn_prior_draw(seed, rows, (int)j->latent, o->temperature, j->z);
    return dn_net_draw_latents(j->net, seed, rows, o->temperature, j->z);
}

/* Chunk number `chunk` of rows that are drawn, all of them. */
static dn_status draw_chunk(draw_job *j, uint64_t chunk, size_t rows) {
    uint64_t seed = j->options->seed + chunk * 0x9E3779B97F4A7C15u; /* the first one's is the caller's */
    DN_TRY(draw_table_latents(j, seed, rows));
    draw_conditions(j, seed, rows);
    dn_rows latents = {.n = rows, .x = j->z, .condition = j->condition};
    DN_TRY(j->options->mean ? dn_net_decode(j->net, &latents, j->x) : dn_net_decode_draw(j->net, &latents, seed, j->x));
    draw_conditions_back(j, rows);
    j->tried += rows;
    DN_TRY(dn_where_test(&j->where, j->x, rows, j->kept));
    if (j->options->gaps) dn_columns_draw_gaps(j->schema, seed, j->full, j->x, rows);
    return DN_OK;
}

static dn_status draw_failed(const draw_job *j, size_t found, size_t n) {
    return dn_fail(
        DN_E_USAGE,
        "where: of %zu rows drawn, %zu are as wanted, not %zu: it is too rare for drawing by chance; train the "
        "network with the column as a condition, or ask for less",
        j->tried, found, n);
}

static dn_status draw_all(draw_job *j, size_t n, float *out) {
    size_t found = 0, most = n > SIZE_MAX / DRAWS_PER_ROW ? SIZE_MAX : n * DRAWS_PER_ROW;
    if (most < DRAWS_LEAST) most = DRAWS_LEAST;
    for (uint64_t chunk = 0; found < n; chunk++) {
        size_t rows = j->where.left || n - found > DRAWS_CHUNK ? DRAWS_CHUNK : n - found;
        if (j->tried >= most) return draw_failed(j, found, n);
        DN_TRY(draw_chunk(j, chunk, rows));
        size_t r = 0;
        for (; r < rows && found < n; r++)
            if (j->kept[r]) memcpy(out + j->width * found++, j->x + j->width * r, j->width * sizeof *out);
        j->tried -= rows - r; /* those after the last one count as not drawn */
        DN_TRY(dn_watched());
    }
    return DN_OK;
}

static dn_status draw_begin(draw_job *j) {
    dn_column_info c;
    int conditions = 0;
    for (int i = 0; dn_schema_column(j->schema, i, &c); i++) conditions |= c.coded >= 0 && c.condition;
    if (j->options->where) DN_TRY(dn_where_parse(&j->where, j->schema, j->options->where));
    if (!(j->full = dn_alloc((size_t)dn_schema_columns(j->schema), 1))) return DN_E_MEMORY;
    for (int i = 0; dn_schema_column(j->schema, i, &c); i++) j->full[i] = (uint8_t)c.condition;
    for (int i = 0; i < j->where.n; i++) j->full[j->where.terms[i].index] = 1;
    if (!(j->z = dn_alloc(DRAWS_CHUNK, j->latent * sizeof *j->z))) return DN_E_MEMORY;
    if (!(j->x = dn_alloc(DRAWS_CHUNK, j->width * sizeof *j->x))) return DN_E_MEMORY;
    if (conditions && !(j->condition = dn_alloc(DRAWS_CHUNK, j->width * sizeof *j->condition))) return DN_E_MEMORY;
    return (j->kept = dn_alloc(DRAWS_CHUNK, 1)) ? DN_OK : DN_E_MEMORY;
}

static dn_status draw_table_rows(dn_net *net, size_t n, const dn_draw_options *options, float *out, size_t *tried) {
    DN_TRY(dn_job_need_latent(net));
    draw_job j = {.net = net, .schema = dn_net_schema(net), .options = options, .where.schema = dn_net_schema(net)};
    DN_CHECK(j.schema, DN_E_USAGE, "%s: rows of a table are drawn from a model of one: this network has no columns",
             net->cfg->path);
    j.width = (size_t)dn_schema_coded(j.schema);
    j.latent = (size_t)net->layers[net->latent_layer].outputs;
    DN_CHECK(!options->prior || options->prior->columns == (int)j.latent, DN_E_USAGE,
             "the prior has %d columns, the network %zu latents", options->prior->columns, j.latent);
    dn_status status = draw_begin(&j);
    if (status == DN_OK) status = draw_all(&j, n, out);
    if (tried) *tried = j.tried;
    dn_where_free(&j.where);
    dn_free(j.z), dn_free(j.x), dn_free(j.condition), dn_free(j.kept), dn_free(j.full);
    return status;
}

dn_status dn_net_draw_rows(dn_net *net, size_t n, const dn_draw_options *options, float *out, size_t *tried) {
    static const dn_draw_options usual = {.temperature = 1};
    DN_EXCLUSIVE(net, draw_table_rows(net, n, options ? options : &usual, out, tried));
}

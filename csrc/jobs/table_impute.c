/* Missing cells of a table, filled with what the network makes of the others: the mean over draws, given the row with
 * its gaps reconstructed once. Drawn gaps do not go back into the row, as they would in the chain of Rezende, Mohamed
 * and Wierstra, arXiv:1401.4082, appendix F: with networks that know small tables by heart, that strays (root mean
 * squared errors were larger in all of six tables). */
#include "base/rng.h"
#include "base/sys.h"
#include "io/columns.h"
#include "jobs/jobs.h"
#include "layers/cost.h"
#include "net/coded.h"
#include "net/network.h"
#include <math.h>
#include <string.h>

enum { IMPUTE_ROUNDS = 32, IMPUTE_ROWS = 2048 /* at a time */ };

/* Where in the network's output the parameters of a coded column are. */
typedef struct impute_column {
    const columns_column *column;
    int gives;        /* 0: a [condition] is told it, so gaps stay; 1: a value; n > 1: probabilities of n classes */
    size_t parameter; /* the first logit of yes_no and categories */
    size_t sum;       /* its place among a row's sums */
} impute_column;

typedef struct impute_job {
    dn_net *net;
    const dn_schema *schema;
    size_t width, latent, n_sums;
    int rounds, draws; /* draws: the likelihood can be drawn from */
    impute_column *columns;
    size_t *at;                              /* which rows are gathered */
    float *x, *filled, *made;                /* (IMPUTE_ROWS, width): rows, with their gaps filled, decoded */
    float *mean, *log_variance, *parameters; /* (IMPUTE_ROWS, latent), also z; (IMPUTE_ROWS, outputs) */
    double *sums;                            /* (IMPUTE_ROWS, n_sums): values and probabilities of gaps */
} impute_job;

/* A cell as the network takes it, of what it gives. */
static float impute_cell(const impute_column *c, float value) {
    if (c->column->kind == DN_COLUMN_YES_NO) return value > 0.5f;
    return c->gives > 1 ? floorf(value + 0.5f) : value;
}

/* The gaps of the rows, reconstructed. */
static dn_status impute_first(impute_job *j, size_t n) {
    memcpy(j->filled, j->x, n * j->width * sizeof *j->x);
    dn_rows rows = {.n = n, .x = j->filled, .condition = j->filled};
    DN_TRY(dn_net_reconstruct(j->net, &rows, j->made));
    for (size_t at = 0; at < n * j->width; at++) {
        const impute_column *c = &j->columns[at % j->width];
        if (isnan(j->x[at]) && c->gives) j->filled[at] = impute_cell(c, j->made[at]);
    }
    return DN_OK;
}

/* ---- what a round does ---- */

/* Latents drawn from the posterior of the filled rows, to mean. */
static dn_status impute_latents(impute_job *j, size_t n, int round) {
    dn_rows rows = {.n = n, .x = j->filled};
    DN_TRY(dn_net_encode(j->net, &rows, j->mean, j->log_variance));
    uint64_t seed = (uint64_t)round * 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < j->latent; k += 4) {
            float four[4], *z = j->mean + i * j->latent + k;
            const float *variance = j->log_variance + i * j->latent + k;
            dn_normal4(seed, DN_STREAM_IMPUTE, j->at[i], (uint32_t)(k / 4), four);
            for (size_t c = 0; c < 4 && k + c < j->latent; c++) z[c] += expf(0.5f * variance[c]) * four[c];
        }
    return DN_OK;
}

/* Rows decoded from them: drawn where that is possible; and the parameters that they have. */
static dn_status impute_decode(impute_job *j, size_t n, int round) {
    uint64_t seed = (uint64_t)round * 0x9E3779B97F4A7C15u + 1;
    dn_net *net = j->net;
    dn_rows latents = {.n = n, .x = j->mean, .condition = j->filled};
    DN_TRY(j->draws ? dn_net_decode_draw(net, &latents, seed, j->made) : dn_net_decode(net, &latents, j->made));
    return j->draws ? dn_job_run(dn_net_inference_plan(net, n), net->latent_layer + 1, net->output_layer, &latents, 0,
                                 j->parameters)
                    : DN_OK;
}

/* What is known of a gap after a round, added to its sums. */
static void impute_add(const impute_job *j, const impute_column *c, float value, const float *parameters,
                       double *sums) {
    if (c->gives == 1) {
        sums[0] += dn_columns_decode_number(c->column, j->schema->coding, value);
    } else if (!j->draws) {
        sums[(int)value] += 1;
    } else if (c->column->kind == DN_COLUMN_YES_NO) {
        double yes = 1 / (1 + exp(-(double)parameters[c->parameter]));
        sums[0] += 1 - yes, sums[1] += yes;
    } else {
        const float *logits = parameters + c->parameter;
        double most = logits[0], total = 0;
        for (int k = 1; k < c->gives; k++)
            if (logits[k] > most) most = logits[k];
        for (int k = 0; k < c->gives; k++) total += exp(logits[k] - most);
        for (int k = 0; k < c->gives; k++) sums[k] += exp(logits[k] - most) / total;
    }
}

static dn_status impute_round(impute_job *j, size_t n, int round) {
    DN_TRY(impute_latents(j, n, round));
    DN_TRY(impute_decode(j, n, round));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < j->width; k++) {
            const impute_column *c = &j->columns[k];
            size_t at = i * j->width + k;
            if (!isnan(j->x[at]) || !c->gives) continue;
            impute_add(j, c, impute_cell(c, j->made[at]), j->parameters + i * (size_t)j->net->outputs,
                       j->sums + i * j->n_sums + c->sum);
        }
    return dn_watched();
}

/* Of numbers with few values, the one nearest to the mean. */
static int impute_nearest(const columns_words *words, const double *sums) {
    double mean = 0, total = 0;
    int best = 0;
    for (int k = 0; k < words->n; k++) mean += sums[k] * words->values[k], total += sums[k];
    mean /= total;
    while (best + 1 < words->n && words->values[best + 1] - mean < mean - words->values[best]) best++; /* they ascend */
    return best;
}

/* The mean of a number, in the unit of the table; the most probable class. */
static float impute_result(const impute_job *j, const impute_column *c, const double *sums) {
    const double *best = sums;
    if (c->gives == 1) return dn_columns_code_number(c->column, j->schema->coding, sums[0] / j->rounds);
    if (c->column->words.values) return (float)impute_nearest(&c->column->words, sums);
    for (const double *sum = sums + 1; sum < sums + c->gives; sum++)
        if (*sum > *best) best = sum;
    return (float)(best - sums);
}

/* The rows that are gathered. */
static dn_status impute_gathered(impute_job *j, size_t n, float *out) {
    DN_TRY(impute_first(j, n));
    memset(j->sums, 0, n * j->n_sums * sizeof *j->sums);
    for (int round = 0; round < j->rounds; round++) DN_TRY(impute_round(j, n, round));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < j->width; k++) {
            const impute_column *c = &j->columns[k];
            if (!isnan(j->x[i * j->width + k]) || !c->gives) continue;
            out[j->at[i] * j->width + k] = impute_result(j, c, j->sums + i * j->n_sums + c->sum);
        }
    return DN_OK;
}

/* ---- all rows ---- */

static int impute_has_gaps(const float *row, size_t width) {
    for (size_t c = 0; c < width; c++)
        if (isnan(row[c])) return 1;
    return 0;
}

static dn_status impute_all(impute_job *j, const float *x, size_t rows, float *out) {
    size_t n = 0;
    memmove(out, x, rows * j->width * sizeof *out);
    for (size_t r = 0; r < rows; r++) {
        if (!impute_has_gaps(out + r * j->width, j->width)) continue;
        memcpy(j->x + n * j->width, out + r * j->width, j->width * sizeof *x);
        j->at[n++] = r;
        if (n < IMPUTE_ROWS) continue;
        DN_TRY(impute_gathered(j, n, out));
        n = 0;
    }
    return n ? impute_gathered(j, n, out) : DN_OK;
}

/* What each column gives, and where; all of them draw if the loss is [cost] type=columns. */
static void impute_columns(impute_job *j) {
    const dn_layer *last = &j->net->layers[j->net->n_layers - 1];
    const dn_cost *cost = !strcmp(last->type->name, "cost") ? last->state : NULL;
    const dn_cost_part *p;
    j->draws = cost && cost->parts;
    for (size_t k = 0; k < j->width; k++) {
        impute_column *c = &j->columns[k];
        c->column = &j->schema->columns[j->schema->coded[k]];
        int classes = columns_classes(c->column);
        c->gives = j->net->columns && j->net->columns->given[k] ? 0 : classes ? classes : 1;
        c->sum = j->n_sums, j->n_sums += (size_t)c->gives;
    }
    for (int i = 0; j->draws && (p = dn_cost_part_at(cost, i)); i++)
        for (size_t k = 0; k < p->head.columns; k++)
            j->columns[p->first + k].parameter = p->at + (p->head.starts ? (size_t)p->head.starts[k] : k);
}

static dn_status impute_begin(impute_job *j) {
    dn_net *net = j->net;
    DN_TRY(dn_job_need_latent(net));
    j->width = (size_t)dn_schema_coded(j->schema), j->latent = (size_t)net->layers[net->latent_layer].outputs;
    if (!(j->columns = dn_alloc(j->width, sizeof *j->columns))) return DN_E_MEMORY;
    impute_columns(j);
    size_t floats = 3 * j->width + 2 * j->latent + (size_t)net->outputs;
    j->at = dn_alloc(IMPUTE_ROWS, sizeof *j->at);
    j->sums = j->at ? dn_alloc(IMPUTE_ROWS, j->n_sums * sizeof *j->sums) : NULL;
    j->x = j->sums ? dn_alloc(IMPUTE_ROWS, floats * sizeof *j->x) : NULL;
    if (!j->x) return DN_E_MEMORY;
    j->filled = j->x + IMPUTE_ROWS * j->width, j->made = j->filled + IMPUTE_ROWS * j->width;
    j->mean = j->made + IMPUTE_ROWS * j->width, j->log_variance = j->mean + IMPUTE_ROWS * j->latent;
    j->parameters = j->log_variance + IMPUTE_ROWS * j->latent;
    return DN_OK;
}

static dn_status impute(dn_net *net, const float *x, size_t rows, int rounds, float *out) {
    const dn_schema *schema = dn_net_schema(net);
    DN_CHECK(schema, DN_E_USAGE, "%s: gaps are filled by a model of a table: this network has no columns",
             net->cfg->path);
    DN_CHECK(rounds >= 0, DN_E_USAGE, "%d rounds: wanted is a number above 0", rounds);
    impute_job j = {.net = net, .schema = schema, .rounds = rounds ? rounds : IMPUTE_ROUNDS};
    dn_status status = impute_begin(&j);
    if (status == DN_OK) status = impute_all(&j, x, rows, out);
    dn_free(j.columns), dn_free(j.at), dn_free(j.sums), dn_free(j.x);
    return status;
}

dn_status dn_net_impute(dn_net *net, const float *x, size_t rows, int rounds, float *out) {
    DN_EXCLUSIVE(net, impute(net, x, rows, rounds, out));
}

/* What is drawn: latents from the network's prior and from the posteriors of rows, data from likelihoods. */
#include "base/sys.h"
#include "jobs/jobs.h"
#include "net/coded.h"
#include "net/latent.h"
#include <math.h>

dn_status dn_job_temperature(double temperature) {
    DN_CHECK(isfinite((float)temperature) && temperature >= 0, DN_E_USAGE,
             "temperature %g: wanted is a number from 0 on", temperature);
    return DN_OK;
}

dn_status dn_prior_draw(uint64_t seed, size_t rows, int latent, double temperature, float *z) {
    DN_TRY(dn_job_temperature(temperature));
    DN_TRY(dn_prior_sample(seed, rows, latent, z));
    for (size_t i = 0; temperature != 1 && i < rows * (size_t)latent; i++) z[i] *= (float)temperature;
    return DN_OK;
}

/* A tensor's values, as jobs use them, to be freed; NULL: out of memory. */
static float *tensor_values(dn_net *net, const dn_layer *l, const char *name) {
    const dn_tensor *t = dn_layer_find(l, name);
    float *values = dn_alloc(t->count, sizeof *values);
    if (!values) return NULL;
    dn_net_use_results(net, 1);
    net->ops->download(net->pool, values, t->value, t->count * sizeof *values);
    dn_net_use_results(net, 0);
    return values;
}

/* From the prior of layers/mixture_prior.h: z = m_k + temperature exp(b_k / 2) eps. */
static dn_status draw_mixture(dn_net *net, const dn_layer *l, uint64_t seed, size_t n, double temperature, float *z) {
    DN_TRY(dn_job_temperature(temperature));
    int latent = l->outputs, components = (int)dn_layer_find(l, "prior.logits")->count;
    float *means = tensor_values(net, l, "prior.means");
    float *log_variances = means ? tensor_values(net, l, "prior.log_variances") : NULL;
    float *logits = log_variances ? tensor_values(net, l, "prior.logits") : NULL;
    double *weights = logits ? dn_alloc((size_t)components + (size_t)latent, sizeof *weights) : NULL, most = -INFINITY;
    dn_status status = weights ? net->ops->finish(net->pool) : DN_E_MEMORY;
    for (int k = 0; k < components && status == DN_OK; k++) most = logits[k] > most ? logits[k] : most;
    for (int k = 0; k < components && status == DN_OK; k++) weights[k] = exp(logits[k] - most);
    for (size_t i = 0; i < n && status == DN_OK; i++, z += latent) {
        double *eps = weights + components;
        size_t at = (size_t)dn_job_draw_component(seed, i, weights, components, eps, latent) * (size_t)latent;
        for (int j = 0; j < latent; j++, at++)
            z[j] = (float)(means[at] + temperature * exp(0.5 * dn_log_variance(log_variances[at])) * eps[j]);
        if (i % 64 == 0) status = dn_watched();
    }
    dn_free(means), dn_free(log_variances), dn_free(logits), dn_free(weights);
    return status;
}

static dn_status draw_latents(dn_net *net, uint64_t seed, size_t n, double temperature, float *z) {
    DN_CHECK(net->sampling_layer >= 0, DN_E_USAGE, "%s: no prior to draw from: the network has no [sampling] layer",
             net->cfg->path);
    const dn_layer *l = &net->layers[net->sampling_layer];
    if (dn_layer_find(l, "prior.means")) return draw_mixture(net, l, seed, n, temperature, z);
    return dn_prior_draw(seed, n, l->outputs, temperature, z);
}

dn_status dn_net_draw_latents(dn_net *net, uint64_t seed, size_t n, double temperature, float *z) {
    DN_EXCLUSIVE(net, draw_latents(net, seed, n, temperature, z));
}

/* ---- data from likelihoods ---- */

/* The layers whose terms are likelihoods of the output: DN_E_USAGE when one of them is the loss of no distribution. */
static dn_status draw_check(const dn_net *net) {
    int found = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_layer *l = &net->layers[i];
        if (!l->term.type || l->term.type->latent) continue;
        DN_CHECK(l->term.type->draw, DN_E_USAGE,
                 "%s:%d: nothing can be drawn from the loss of layer %d, [%s]: it is that of no distribution, as "
                 "[cost] type=gaussian or bernoulli would be",
                 net->cfg->path, l->line, i, l->type->name);
        found = 1;
    }
    DN_CHECK(found, DN_E_USAGE, "%s: nothing can be drawn without a [cost] layer, which says from which distribution",
             net->cfg->path);
    return DN_OK;
}

static dn_status decode_draw(dn_net *net, const dn_rows *rows, uint64_t seed, float *out) {
    enum { VALUES = 1 << 18 }; /* of outputs at a time */
    DN_TRY(dn_job_need_latent(net));
    DN_TRY(draw_check(net));
    DN_TRY(dn_job_whole(net, rows->n));
    size_t steps = (size_t)dn_net_steps(net), part = VALUES / (size_t)net->outputs / steps * steps;
    if (!part) part = steps;
    float *x = dn_alloc(part < rows->n ? part : rows->n, (size_t)net->outputs * sizeof *x);
    dn_status status = x ? DN_OK : DN_E_MEMORY;
    for (size_t at = 0; at < rows->n && status == DN_OK; at += part) {
        dn_rows some = dn_job_slice(net, net->latent_layer + 1, rows, at, part);
        dn_plan *plan = dn_net_inference_plan(net, some.n);
        float *to = out + at * (size_t)net->data_columns;
        status = dn_job_run(plan, net->latent_layer + 1, net->output_layer, &some, 0, x);
        for (int i = 0; i < net->n_layers && status == DN_OK; i++) {
            const dn_term_type *term = net->layers[i].term.type;
            if (!term || !term->draw) continue;
            dn_net_use_results(net, 1); /* parameters that the likelihood has of its own */
            term->draw(&plan->layers[i], x, some.n, seed, at, to);
            dn_net_use_results(net, 0);
            status = dn_watched();
        }
        if (net->columns && status == DN_OK) dn_coded_give(net->columns, some.condition, some.n, to);
    }
    dn_free(x);
    return status;
}

dn_status dn_net_decode_draw(dn_net *net, const dn_rows *rows, uint64_t seed, float *out) {
    DN_EXCLUSIVE(net, decode_draw(net, rows, seed, out));
}

/* ---- mixtures of latents ---- */

/* mean becomes a draw from the posterior, a function of (seed, row, column) besides; both (rows, latent). */
static void draw_posterior(uint64_t seed, size_t rows, size_t latent, float *mean, const float *log_variance) {
    for (size_t i = 0; i < rows * latent; i += latent)
        for (size_t j = 0; j < latent; j += 4) {
            float four[4];
            dn_normal4(seed, DN_STREAM_POSTERIOR, i / latent, (uint32_t)(j / 4), four);
            for (size_t c = 0; c < 4 && j + c < latent; c++)
                mean[i + j + c] += expf(0.5f * log_variance[i + j + c]) * four[c];
        }
}

static dn_status fit_mixture(dn_net *net, const dn_rows *rows, int components, uint64_t seed, dn_mixture *out) {
    *out = (dn_mixture){0};
    size_t latent = net->latent_layer < 0 ? 1 : (size_t)net->layers[net->latent_layer].outputs;
    float *mean = dn_alloc(rows->n, latent * sizeof *mean);
    float *log_variance = mean ? dn_alloc(rows->n, latent * sizeof *log_variance) : NULL;
    dn_status status = log_variance ? dn_net_encode(net, rows, mean, log_variance) : DN_E_MEMORY;
    if (status == DN_OK) {
        draw_posterior(seed, rows->n, latent, mean, log_variance);
        status = dn_job_mixture_fit(net->pool, out, mean, rows->n, (int)latent, components, seed);
    }
    dn_free(mean);
    dn_free(log_variance);
    return status;
}

dn_status dn_net_fit_mixture(dn_net *net, const dn_rows *rows, int components, uint64_t seed, dn_mixture *out) {
    DN_EXCLUSIVE(net, fit_mixture(net, rows, components, seed, out));
}

/* The jobs of an autoencoder: encode, decode, reconstruct, and rows drawn from the prior. */
#include "base/sys.h"
#include "jobs/jobs.h"
#include "net/latent.h"
#include <math.h>
#include <string.h>

dn_status dn_net_reconstruct(dn_net *net, const dn_rows *rows, float *out) {
    DN_EXCLUSIVE(net, dn_job_predict(net, rows, 1, out));
}

static dn_status job_need_encoder(const dn_net *net) {
    DN_CHECK(net->latent_layer >= 0, DN_E_USAGE,
             "%s: no latent space: the network has no [sampling] layer and is no autoencoder with a narrow layer",
             net->cfg->path);
    return DN_OK;
}

dn_status dn_job_need_latent(const dn_net *net) {
    DN_TRY(job_need_encoder(net));
    for (int i = net->latent_layer + 1; i <= net->output_layer; i++)
        DN_CHECK(
            net->layers[i].reads_from >= net->latent_layer, DN_E_USAGE,
            "%s:%d: layer %d reads layer %d, which lies before the latent layer %d: latents alone cannot be decoded",
            net->cfg->path, net->layers[i].line, i, net->layers[i].reads_from, net->latent_layer);
    return DN_OK;
}

static dn_status job_encode(dn_net *net, const dn_rows *rows, float *mean, float *log_variance) {
    DN_TRY(job_need_encoder(net));
    DN_TRY(dn_job_whole(net, rows->n));
    dn_plan *plan = dn_net_inference_plan(net, rows->n);
    const dn_layer *l = &plan->layers[net->latent_layer];
    int variational = net->latent_layer == net->sampling_layer, last = net->latent_layer - variational;
    size_t z = (size_t)l->outputs, width = variational ? 2 * z : z, step = dn_job_step(plan, rows->n);
    float *both = dn_alloc(step, width * sizeof *both);
    if (!both) return DN_E_MEMORY;
    float limit = (float)l->term.variance_limit;
    dn_status status = DN_OK;
    for (size_t at = 0; at < rows->n && status == DN_OK; at += step) {
        dn_rows part = dn_job_slice(net, 0, rows, at, step);
        status = dn_job_finite(net, 0, &part, at);
        if (status != DN_OK) break;
        part.truth = NULL;
        status = dn_job_pass(plan, &(dn_pass){.last = last, .rows = dn_job_place(plan, &part)});
        if (status != DN_OK) break;
        dn_job_get(net, variational ? dn_layer_x(l, &plan->run) : l->output, width, part.n, both);
        for (size_t r = 0; r < part.n; r++) {
            const float *row = both + r * width;
            if (mean) memcpy(mean + (at + r) * z, row + (width - z), z * sizeof *both);
            for (size_t k = 0; log_variance && k < z; k++)
                log_variance[(at + r) * z + k] = variational ? dn_log_variance_within(limit, row[k]) : -INFINITY;
        }
    }
    dn_free(both);
    return status == DN_OK ? net->ops->finish(net->pool) : status;
}

static dn_status job_decode(dn_net *net, const dn_rows *rows, float *out) {
    DN_TRY(dn_job_need_latent(net));
    return dn_job_run(dn_net_inference_plan(net, rows->n), net->latent_layer + 1, net->output_layer, rows, 1, out);
}

dn_status dn_net_encode(dn_net *net, const dn_rows *rows, float *mean, float *log_variance) {
    DN_EXCLUSIVE(net, job_encode(net, rows, mean, log_variance));
}

dn_status dn_net_decode(dn_net *net, const dn_rows *rows, float *out) { DN_EXCLUSIVE(net, job_decode(net, rows, out)); }

dn_status dn_prior_sample(uint64_t seed, size_t rows, int latent, float *z) {
    enum { WATCH_VALUES = 1 << 20 };
    size_t n;
    DN_CHECK(latent > 0, DN_E_USAGE, "latent vectors of %d values", latent);
    DN_TRY(dn_size_mul(&n, rows, (size_t)latent));
    DN_CHECK(n <= PTRDIFF_MAX / sizeof *z, DN_E_MEMORY, "%zu latent vectors are more than memory can hold", rows);
    for (size_t i = 0; i < n; i += 4) {
        if (i % WATCH_VALUES == 0) DN_TRY(dn_watched());
        float four[4];
        dn_normal4(seed, DN_STREAM_PRIOR, i / 4 >> 32, (uint32_t)(i / 4), four); /* i / 4 may exceed 32 bits */
        for (size_t k = 0; k < 4 && i + k < n; k++) z[i + k] = four[k];
    }
    return DN_OK;
}

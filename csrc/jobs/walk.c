/* Walks through the latent space: decoded rows between two rows, and along a latent dimension. */
#include "base/sys.h"
#include "net/coded.h"
#include "net/network.h"
#include <math.h>
#include <string.h>

/* The angle between two vectors, 0 when one of them has no direction. */
static double angle_between(const float *a, const float *b, int n) {
    double aa = 0, bb = 0, ab = 0;
    for (int j = 0; j < n; j++) aa += (double)a[j] * a[j], bb += (double)b[j] * b[j], ab += (double)a[j] * b[j];
    if (!(aa > 0 && bb > 0)) return 0;
    return acos(fmax(-1, fmin(1, ab / sqrt(aa) / sqrt(bb))));
}

/* The latent vectors from a to b, both included: z (steps, latent). Along a line, or with both length and direction
 * going evenly (slerp: Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985): draws of N(0, I) in many
 * dimensions have nearly the same length, which a line between two of them leaves. Where there is no arc, because the
 * vectors are parallel or opposite, or one of them is 0: the line. */
static void between(const float *a, const float *b, int latent, int steps, int spherical, float *z) {
    double angle = spherical ? angle_between(a, b, latent) : 0, sine = sin(angle);
    for (int i = 0; i < steps; i++, z += latent) {
        double t = (double)i / (steps - 1), from = 1 - t, to = t;
        if (sine > 1e-6) from = sin((1 - t) * angle) / sine, to = sin(t * angle) / sine;
        for (int j = 0; j < latent; j++) z[j] = (float)(from * a[j] + to * b[j]);
    }
    memcpy(z - latent, b, (size_t)latent * sizeof *z); /* exactly */
}

static dn_status walk_check(const dn_net *net, int steps) {
    DN_CHECK(net->latent_layer >= 0, DN_E_USAGE,
             "%s: no latent space to walk through: the network has no [sampling] layer and is no autoencoder with a "
             "narrow layer",
             net->cfg->path);
    DN_CHECK(!net->recurrent, DN_E_USAGE,
             "%s: the latents of a recurrent network are sequences, and no points to walk between", net->cfg->path);
    DN_CHECK(steps >= 2, DN_E_USAGE, "%d steps: a walk needs at least 2, where it begins and where it ends", steps);
    return DN_OK;
}

/* Memory for `steps` latent vectors, after those of `rows` rows. */
static dn_status walk_latents(const dn_net *net, int steps, int rows, float **z) {
    size_t latent = (size_t)net->layers[net->latent_layer].outputs;
    *z = dn_alloc((size_t)steps + (size_t)rows, latent * sizeof **z);
    return *z ? DN_OK : DN_E_MEMORY;
}

/* The rows of a walk whose columns a [condition] reads, to be freed: those of `from` in its first half, of `to` in the
 * second. NULL: it has none, or there is no memory. */
static float *walk_condition(const dn_net *net, const float *from, const float *to, int steps, dn_status *status) {
    size_t n = (size_t)net->inputs;
    if (*status != DN_OK || !from || !net->columns || !net->columns->n_given) return NULL;
    float *rows = dn_alloc((size_t)steps, n * sizeof *rows);
    if (!rows) *status = DN_E_MEMORY;
    for (int i = 0; rows && i < steps; i++) memcpy(rows + (size_t)i * n, 2 * i < steps ? from : to, n * sizeof *rows);
    return rows;
}

static dn_status interpolate(dn_net *net, const dn_rows *ends, int steps, int spherical, float *out) {
    DN_TRY(walk_check(net, steps));
    DN_CHECK(ends->n == 2, DN_E_USAGE, "%zu rows to interpolate between: wanted are 2", ends->n);
    float *z;
    DN_TRY(walk_latents(net, steps, 2, &z));
    int latent = net->layers[net->latent_layer].outputs;
    float *path = z + 2 * (size_t)latent;
    dn_status status = dn_net_encode(net, ends, z, NULL);
    float *condition = walk_condition(net, ends->x, ends->x + net->inputs, steps, &status);
    if (status == DN_OK) {
        between(z, z + latent, latent, steps, spherical, path);
        status = dn_net_decode(net, &(dn_rows){.n = (size_t)steps, .x = path, .condition = condition}, out);
    }
    dn_free(condition);
    dn_free(z);
    return status;
}

static dn_status traverse(dn_net *net, const float *row, int dim, double range, int steps, float *out) {
    DN_TRY(walk_check(net, steps));
    int latent = net->layers[net->latent_layer].outputs;
    DN_CHECK(dim >= 0 && dim < latent, DN_E_USAGE, "latent dimension %d: the network has %d, from 0 to %d", dim, latent,
             latent - 1);
    DN_CHECK(isfinite((float)range) && range > 0, DN_E_USAGE, "range %g: wanted is a number above 0", range);
    float *z;
    DN_TRY(walk_latents(net, steps, 1, &z)); /* zeroed */
    float *path = z + latent;
    dn_status status = row ? dn_net_encode(net, &(dn_rows){.n = 1, .x = row}, z, NULL) : DN_OK;
    for (int i = 0; i < steps; i++) {
        float *to = path + (size_t)i * (size_t)latent;
        memcpy(to, z, (size_t)latent * sizeof *z);
        to[dim] += (float)(range * (2.0 * i / (steps - 1) - 1));
    }
    float *condition = walk_condition(net, row, row, steps, &status);
    if (status == DN_OK)
        status = dn_net_decode(net, &(dn_rows){.n = (size_t)steps, .x = path, .condition = condition}, out);
    dn_free(condition);
    dn_free(z);
    return status;
}

dn_status dn_net_interpolate(dn_net *net, const dn_rows *ends, int steps, int spherical, float *out) {
    DN_EXCLUSIVE(net, interpolate(net, ends, steps, spherical, out));
}

dn_status dn_net_traverse(dn_net *net, const float *row, int dim, double range, int steps, float *out) {
    DN_EXCLUSIVE(net, traverse(net, row, dim, range, steps, out));
}

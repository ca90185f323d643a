/* [normalization]: local response normalisation across channels (Krizhevsky et al. 2012, section 3.3):
 * y_c = x_c n_c^-beta, n_c = kappa + alpha sum of x_k^2 over c - (size-1)/2 <= k <= c + size/2. */
#include "net/layer.h"

typedef struct lrn_state {
    int size;
    double alpha, beta, kappa;
    float *norms; /* (batch, inputs) */
} lrn_state;

static const dn_key normalization_keys[] = {
    {"alpha", DN_KEY_FLOAT, DN_AT(lrn_state, alpha), .fallback = 0.0001,
     .help = "x (kappa + alpha sum of squares)^-beta"},
    {"beta", DN_KEY_FLOAT, DN_AT(lrn_state, beta), .fallback = 0.75},
    {"kappa", DN_KEY_FLOAT, DN_AT(lrn_state, kappa), .fallback = 1},
    {"size", DN_KEY_INT, DN_AT(lrn_state, size), .fallback = 5, .low = 1, .high = 1 << 20,
     .help = "channels of the sum"},
    {0},
};

static dn_status lrn_parse(dn_layer *l, dn_section *s) {
    lrn_state *st = l->state;
    DN_TRY(dn_layer_need_image(l, s));
    if (st->alpha < 0 || st->kappa <= 0)
        return dn_cfg_error(s, NULL, "alpha=%g below 0 or kappa=%g not above 0", st->alpha, st->kappa);
    dn_layer_image_out(l, l->channels, l->height, l->width);
    return DN_OK;
}
static dn_status lrn_plan(dn_layer *l, const dn_run *run) {
    return dn_layer_buffer(l, &((lrn_state *)l->state)->norms, (size_t)run->batch * l->inputs);
}
static dn_status lrn_forward(dn_layer *l, const dn_run *run) {
    lrn_state *st = l->state;
    run->ops->lrn_forward(run->pool, (size_t)run->rows, (size_t)l->channels, (size_t)l->height * l->width, st->size,
                          (float)st->alpha, (float)st->beta, (float)st->kappa, dn_layer_x(l, run), st->norms,
                          dn_layer_y(l, run));
    return DN_OK;
}
static dn_status lrn_backward(dn_layer *l, const dn_run *run) {
    lrn_state *st = l->state;
    if (l->dx)
        run->ops->lrn_backward(run->pool, (size_t)run->rows, (size_t)l->channels, (size_t)l->height * l->width,
                               st->size, (float)st->alpha, (float)st->beta, dn_layer_x(l, run), st->norms, l->delta,
                               l->dx);
    return DN_OK;
}
const dn_layer_type dn_normalization_layer = {
    .name = "normalization",
    .aliases = {"lrn"},
    .state_size = sizeof(lrn_state),
    .keys = normalization_keys,
    .parse = lrn_parse,
    .plan = lrn_plan,
    .forward = lrn_forward,
    .backward = lrn_backward,
};

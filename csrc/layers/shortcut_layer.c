/* [shortcut]: y = act(alpha x + beta source) where the maps overlap, act(x) elsewhere. When one map is n times as large
 * as the other, every n-th of its pixels takes part. */
#include "net/layer.h"
#include <limits.h>
#include <string.h>

typedef struct shortcut_state {
    const char *list; /* the key `from` */
    int from;
    dn_activation activation;
    double alpha, beta;
    dn_shortcut_shape shape;
} shortcut_state;

static const dn_key shortcut_keys[] = {
    {"from", DN_KEY_TEXT, DN_AT(shortcut_state, list), .shown_type = "int", .shown_fallback = "needed",
     .help = "the layer that is added"},
    {"alpha", DN_KEY_FLOAT, DN_AT(shortcut_state, alpha), .fallback = 1,
     .help = "factor of the layer before, and of that layer"},
    {"beta", DN_KEY_FLOAT, DN_AT(shortcut_state, beta), .fallback = 1},
    DN_ACTIVATION_KEY(shortcut_state, activation, DN_LINEAR, ""),
    {0},
};

static dn_status shortcut_parse(dn_layer *l, dn_section *s) {
    shortcut_state *st = l->state;
    if (!dn_cfg_has(s, "from")) return dn_cfg_error(s, NULL, "from= is missing");
    int from;
    if (strchr(st->list, ','))
        return dn_cfg_error(s, "from", "from=%s: several layers change what the layer computes and are not supported",
                            st->list);
    DN_TRY(dn_cfg_int(s, "from", 0, INT_MIN, INT_MAX, &from));
    DN_TRY(dn_layer_before(l, s, "from", from, &st->from));
    dn_layer_reads(l, st->from);
    DN_TRY(dn_layer_need_image(l, s));
    const dn_layer *source = dn_layer_at(l, st->from);
    int h1 = source->out_height, w1 = source->out_width;
    const dn_layer *blamed = dn_layer_to_blame(l, st->from);
    if (blamed)
        return dn_cfg_error(s, "from", "layer %d gives no image: the [%s] of line %d %s", st->from, blamed->type->name,
                            blamed->line, blamed->no_image);
    if (h1 < 1 || w1 < 1) return dn_cfg_error(s, "from", "layer %d gives no image", st->from);
    int stride = w1 / l->width, sample = l->width / w1;
    if (stride != h1 / l->height || sample != l->height / h1)
        return dn_cfg_error(s, "from", "%d x %d and %d x %d differ by another factor in each direction", h1, w1,
                            l->height, l->width);
    st->shape = (dn_shortcut_shape){0,
                                    source->out_channels,
                                    h1,
                                    w1,
                                    l->channels,
                                    l->height,
                                    l->width,
                                    stride > 1 ? stride : 1,
                                    sample > 1 ? sample : 1};
    dn_layer_image_out(l, l->channels, l->height, l->width);
    return DN_OK;
}
static dn_status shortcut_forward(dn_layer *l, const dn_run *run) {
    shortcut_state *st = l->state;
    size_t n = (size_t)run->rows * l->outputs;
    float *y = dn_layer_y(l, run);
    st->shape.rows = (size_t)run->rows;
    run->ops->copy(run->pool, n, dn_layer_x(l, run), y);
    run->ops->shortcut_forward(run->pool, &st->shape, (float)st->alpha, (float)st->beta,
                               dn_layer_at(l, st->from)->output, y);
    run->ops->activate(run->pool, st->activation, n, y);
    return DN_OK;
}
static dn_status shortcut_backward(dn_layer *l, const dn_run *run) {
    shortcut_state *st = l->state;
    run->ops->activate_gradient(run->pool, st->activation, (size_t)run->rows * l->outputs, l->output, l->delta);
    run->ops->shortcut_backward(run->pool, &st->shape, (float)st->alpha, (float)st->beta, l->delta, l->dx,
                                dn_layer_at(l, st->from)->delta);
    return DN_OK;
}
const dn_layer_type dn_shortcut_layer = {
    .name = "shortcut",
    .state_size = sizeof(shortcut_state),
    .keys = shortcut_keys,
    .parse = shortcut_parse,
    .forward = shortcut_forward,
    .backward = shortcut_backward,
};

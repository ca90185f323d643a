/* [route]: the outputs of earlier layers concatenated, in the order of `layers`. The result is an image if all their
 * sizes agree. */
#include "base/sys.h"
#include "net/layer.h"
#include <limits.h>
#include <stdio.h>

typedef struct route_state {
    int *sources, n;
} route_state;

/* Two of its images differ in size. The output is a vector then, and the error of a layer that needs an image explains
 * why. */
static void route_sizes_differ(dn_layer *l, const dn_layer *a, const dn_layer *b) {
    if (*l->no_image) return;
    const dn_layer *blamed = dn_layer_to_blame(l, a->out_height ? b->index : a->index);
    if (a->out_height && b->out_height)
        snprintf(l->no_image, sizeof l->no_image, "joins images of %d x %d and %d x %d", a->out_height, a->out_width,
                 b->out_height, b->out_width);
    else if (blamed)
        snprintf(l->no_image, sizeof l->no_image, "joins layer %d, which %.90s", blamed->index, blamed->no_image);
}

static const dn_key route_keys[] = {
    {"layers", DN_KEY_INTS, DN_AT_LIST(route_state, sources, n), .shown_fallback = "needed",
     .help = "whose outputs stand side by side, in this order"},
    {0},
};

static dn_status route_parse(dn_layer *l, dn_section *s) {
    route_state *st = l->state;
    if (!st->n) return dn_cfg_error(s, NULL, "layers= is missing");
    int64_t outputs = 0, channels = 0;
    int image = 1;
    const dn_layer *first = NULL;
    for (int i = 0; i < st->n; i++) {
        int index;
        DN_TRY(dn_layer_before(l, s, "layers", st->sources[i], &index));
        st->sources[i] = index;
        dn_layer_reads(l, index);
        const dn_layer *from = dn_layer_at(l, index);
        if (!first) first = from;
        outputs += from->outputs, channels += from->out_channels;
        int agrees = from->out_height == first->out_height && from->out_width == first->out_width;
        if (!agrees || !from->out_height) route_sizes_differ(l, first, from);
        image = image && agrees && from->out_channels > 0;
    }
    if (outputs > INT_MAX) return dn_cfg_error(s, "layers", "%lld outputs are too many", (long long)outputs);
    l->outputs = (int)outputs;
    if (image) l->out_height = first->out_height, l->out_width = first->out_width, l->out_channels = (int)channels;
    return DN_OK;
}
static dn_status route_forward(dn_layer *l, const dn_run *run) {
    route_state *st = l->state;
    float *y = dn_layer_y(l, run);
    size_t at = 0;
    for (int i = 0; i < st->n; i++) {
        const dn_layer *from = dn_layer_at(l, st->sources[i]);
        size_t n = (size_t)from->outputs;
        run->ops->copy_rows(run->pool, (size_t)run->rows, n, from->output, n, y + at, (size_t)l->outputs);
        at += n;
    }
    return DN_OK;
}
static dn_status route_backward(dn_layer *l, const dn_run *run) {
    route_state *st = l->state;
    size_t at = 0;
    for (int i = 0; i < st->n; i++) {
        const dn_layer *from = dn_layer_at(l, st->sources[i]);
        size_t n = (size_t)from->outputs;
        run->ops->add_rows(run->pool, (size_t)run->rows, n, l->delta + at, (size_t)l->outputs, from->delta, n);
        at += n;
    }
    return DN_OK;
}
static void route_destroy(dn_layer *l) { dn_free(((route_state *)l->state)->sources); }

const dn_layer_type dn_route_layer = {
    .name = "route",
    .state_size = sizeof(route_state),
    .keys = route_keys,
    .parse = route_parse,
    .forward = route_forward,
    .backward = route_backward,
    .destroy = route_destroy,
};

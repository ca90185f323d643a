/* [convolutional]: one convolution part. */
#include "layers/conv_part.h"
#include "net/network.h"
#include <limits.h>

static const dn_key convolutional_keys[] = {
    DN_WINDOW_KEYS(1 << 15, "of the window"),
    {"pad", DN_KEY_INT, DN_AT(dn_conv, pad), .low = INT_MIN, .high = INT_MAX, .shown_type = "0, 1",
     .help = "1: padding = size / 2"},
    {"padding", DN_KEY_INT, DN_AT(dn_conv, whole.group.padding), .high = 1 << 15, .help = "pixels on every side"},
    {"groups", DN_KEY_INT, DN_AT(dn_conv, groups), .fallback = 1, .low = 1, .high = INT_MAX,
     .help = "divides channels and filters"},
    DN_NORMALIZE_KEY(dn_conv, norm, "1: batch normalisation, in place of a plain bias"),
    DN_ACTIVATION_KEY(dn_conv, norm.activation, DN_LOGISTIC, ""),
    {"flipped", DN_KEY_FLAG, DN_AT(dn_conv, flipped), .help = "the weights file holds the transposed matrix"},
    {"xnor", DN_KEY_FLAG, DN_AT(dn_conv, xnor),
     .help = "the forward pass takes the weights as sign x mean size of their filter and inputs as signs"},
    {"binary", DN_KEY_UNUSED_WARN, .help = "taken without effect, as on Darknet's CPU; `binary` with a warning"},
    {"dot", DN_KEY_UNUSED, .fallback = 0},
    {0},
};

static dn_status conv_parse(dn_layer *l, dn_section *s) {
    dn_conv *p = l->state;
    DN_TRY(dn_layer_need_image(l, s));
    if (l->n_load > l->filters)
        return dn_cfg_error(s, "numload", "numload=%d is more than filters=%d", l->n_load, l->filters);
    if (p->pad) p->whole.group.padding = l->size / 2;
    p->norm.prefix = "";
    p->filters = l->filters, p->channels = l->channels;
    p->whole.group.height = l->height, p->whole.group.width = l->width, p->whole.group.size = l->size,
    p->whole.group.stride = l->stride;
    DN_TRY(dn_conv_settle(l, s, p));
    dn_layer_image_out(l, l->filters, p->whole.group.out_height, p->whole.group.out_width);
    return DN_OK;
}

static dn_status conv_tensors(dn_layer *l) { return dn_conv_tensors(l, l->state); }

static dn_status conv_plan(dn_layer *l, const dn_run *run) { return dn_conv_plan(l, run, l->state, 1); }

static dn_status conv_init(dn_layer *l) {
    dn_conv_init(l, l->state);
    return DN_OK;
}

static dn_status conv_forward(dn_layer *l, const dn_run *run) {
    dn_conv_forward(run, l->state, 0, run->rows, dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}

static dn_status conv_backward(dn_layer *l, const dn_run *run) {
    dn_conv_backward(run, l->state, 0, run->rows, dn_layer_x(l, run), l->output, l->delta, l->dx, l->sets_dx);
    return DN_OK;
}

static double conv_flops(const dn_layer *l) { return dn_conv_flops(l->state); }

const dn_layer_type dn_convolutional_layer = {
    .name = "convolutional",
    .aliases = {"conv"},
    .state_size = sizeof(dn_conv),
    .keys = convolutional_keys,
    .parse = conv_parse,
    .tensors = conv_tensors,
    .plan = conv_plan,
    .init = conv_init,
    .forward = conv_forward,
    .backward = conv_backward,
    .can_set_dx = 1,
    .flops = conv_flops,
    .file_keys = DN_NUMLOAD | DN_DONTLOADSCALES,
};

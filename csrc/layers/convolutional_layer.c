/* [convolutional]: one convolution part. */
#include "layers/conv_part.h"
#include "net/network.h"
#include <limits.h>

static dn_status conv_parse(dn_layer *l, dn_section *s) {
    dn_conv *p = l->state;
    int pad;
    double unused;
    DN_TRY(dn_layer_need_image(l, s));
    DN_TRY(dn_cfg_int(s, "filters", 1, 1, 1 << 24, &l->filters));
    DN_TRY(dn_cfg_int(s, "size", 1, 1, 1 << 15, &l->size));
    DN_TRY(dn_cfg_int(s, "stride", 1, 1, 1 << 15, &l->stride));
    DN_TRY(dn_cfg_int(s, "pad", 0, INT_MIN, INT_MAX, &pad));
    DN_TRY(dn_cfg_int(s, "padding", 0, 0, 1 << 15, &p->whole.group.padding));
    DN_TRY(dn_cfg_int(s, "groups", 1, 1, INT_MAX, &p->groups));
    DN_TRY(dn_cfg_int(s, "batch_normalize", 0, 0, 1, &p->norm.on));
    DN_TRY(dn_layer_activation(s, "logistic", &p->norm.activation));
    DN_TRY(dn_cfg_no_effect(l->net->cfg, s, "binary", 0)); /* as on Darknet's CPU */
    DN_TRY(dn_cfg_int(s, "flipped", 0, 0, 1, &l->flipped));
    DN_TRY(dn_cfg_int(s, "xnor", 0, 0, 1, &p->xnor));
    DN_TRY(dn_cfg_float(s, "dot", 0, &unused));
    if (l->n_load > l->filters)
        return dn_cfg_error(s, "numload", "numload=%d is more than filters=%d", l->n_load, l->filters);
    if (pad) p->whole.group.padding = l->size / 2;
    p->norm.prefix = "";
    p->filters = l->filters, p->channels = l->channels;
    p->whole.group.height = l->height, p->whole.group.width = l->width, p->whole.group.size = l->size,
    p->whole.group.stride = l->stride;
    DN_TRY(dn_conv_settle(l, s, p));
    dn_layer_image_out(l, l->filters, p->whole.group.out_height, p->whole.group.out_width);
    return DN_OK;
}

static dn_status conv_plan(dn_layer *l) { return dn_conv_plan(l, l->state, 1); }

static dn_status conv_init(dn_layer *l) {
    dn_conv_init(l, l->state);
    return DN_OK;
}

static dn_status conv_forward(dn_layer *l) {
    dn_conv_forward(l, l->state, 0, dn_layer_run(l)->rows, l->x, l->output);
    return DN_OK;
}

static dn_status conv_backward(dn_layer *l) {
    dn_conv_backward(l, l->state, 0, dn_layer_run(l)->rows, l->x, l->output, l->delta, l->dx);
    return DN_OK;
}

static double conv_flops(const dn_layer *l) { return dn_conv_flops(l->state); }

const dn_layer_type dn_convolutional_layer = {
    .name = "convolutional", .aliases = {"conv"}, .state_size = sizeof(dn_conv), .parse = conv_parse,
    .plan = conv_plan, .init = conv_init, .forward = conv_forward, .backward = conv_backward, .flops = conv_flops,
    .file_keys = DN_NUMLOAD | DN_DONTLOADSCALES,
};

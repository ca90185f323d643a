/* [crnn]: the vanilla recurrence over 3x3 convolutions with padding 1, all with one activation. File: input, self,
 * output. */
#include "layers/conv_part.h"
#include "layers/recurrence.h"

typedef struct crnn_state {
    int hidden; /* channels of the state */
    dn_conv input, self, output;
    dn_recurrence recurrence;
} crnn_state;

static void crnn_part_forward(dn_layer *l, const dn_run *run, void *part, int step, int rows, const float *x,
                              float *y) {
    (void)l;
    dn_conv_forward(run, part, step, rows, x, y);
}
static void crnn_part_backward(dn_layer *l, const dn_run *run, void *part, int step, int rows, const float *x,
                               const float *y, float *dy, float *dx) {
    (void)l;
    dn_conv_backward(run, part, step, rows, x, y, dy, dx, 0);
}

static const dn_key crnn_keys[] = {
    {"output_filters", DN_KEY_INT, DN_AT_LAYER(filters), .fallback = 1, .low = 1, .high = 1 << 24,
     .help = "channels of the output and of the state"},
    {"hidden_filters", DN_KEY_INT, DN_AT(crnn_state, hidden), .fallback = 1, .low = 1, .high = 1 << 24},
    DN_ACTIVATION_KEY(crnn_state, input.norm.activation, DN_LOGISTIC, ""),
    DN_NORMALIZE_KEY(crnn_state, input.norm, "as of [rnn]"),
    {"shortcut", DN_KEY_FLAG, DN_AT(crnn_state, recurrence.shortcut)},
    {0},
};

static dn_status crnn_parse(dn_layer *l, dn_section *s) {
    crnn_state *st = l->state;
    int hidden = st->hidden, on = st->input.norm.on;
    dn_activation activation = st->input.norm.activation; /* of all three parts */
    DN_TRY(dn_layer_need_image(l, s));
    const struct {
        dn_conv *part;
        const char *prefix;
        int channels, filters;
    } parts[] = {{&st->input, "input.", l->channels, hidden},
                 {&st->self, "self.", hidden, hidden},
                 {&st->output, "output.", hidden, l->filters}};
    for (int i = 0; i < 3; i++) {
        dn_conv *p = parts[i].part;
        *p = (dn_conv){.norm = {.prefix = parts[i].prefix, .on = on, .activation = activation},
                       .channels = parts[i].channels,
                       .filters = parts[i].filters,
                       .groups = 1};
        p->whole.group = (dn_conv_shape){.height = l->height, .width = l->width, .size = 3, .stride = 1, .padding = 1};
        DN_TRY(dn_conv_settle(l, s, p));
    }
    st->recurrence.forward = crnn_part_forward, st->recurrence.backward = crnn_part_backward;
    st->recurrence.hidden = (size_t)hidden * l->height * l->width;
    dn_layer_image_out(l, l->filters, l->height, l->width);
    return DN_OK;
}
static dn_status crnn_tensors(dn_layer *l) {
    crnn_state *st = l->state;
    DN_TRY(dn_conv_tensors(l, &st->input));
    DN_TRY(dn_conv_tensors(l, &st->self));
    return dn_conv_tensors(l, &st->output);
}
static dn_status crnn_plan(dn_layer *l, const dn_run *run) {
    crnn_state *st = l->state;
    st->recurrence.input = &st->input, st->recurrence.self = &st->self, st->recurrence.output = &st->output;
    DN_TRY(dn_conv_plan(l, run, &st->input, run->time_steps));
    DN_TRY(dn_conv_plan(l, run, &st->self, run->time_steps));
    DN_TRY(dn_conv_plan(l, run, &st->output, run->time_steps));
    return dn_recurrence_plan(l, run, &st->recurrence);
}
static dn_status crnn_init(dn_layer *l) {
    crnn_state *st = l->state;
    dn_conv_init(l, &st->input);
    dn_conv_init(l, &st->self);
    dn_conv_init(l, &st->output);
    return DN_OK;
}
static dn_status crnn_forward(dn_layer *l, const dn_run *run) {
    return dn_recurrence_forward(l, run, &((crnn_state *)l->state)->recurrence);
}
static dn_status crnn_backward(dn_layer *l, const dn_run *run) {
    return dn_recurrence_backward(l, run, &((crnn_state *)l->state)->recurrence);
}
static void crnn_reset(dn_layer *l, const dn_run *run) { dn_slots_clear(run, &((crnn_state *)l->state)->recurrence.h); }
static double crnn_flops(const dn_layer *l) {
    const crnn_state *st = l->state;
    return dn_conv_flops(&st->input) + dn_conv_flops(&st->self) + dn_conv_flops(&st->output);
}

const dn_layer_type dn_crnn_layer = {
    .name = "crnn",
    .state_size = sizeof(crnn_state),
    .keys = crnn_keys,
    .parse = crnn_parse,
    .tensors = crnn_tensors,
    .plan = crnn_plan,
    .init = crnn_init,
    .forward = crnn_forward,
    .backward = crnn_backward,
    .flops = crnn_flops,
    .recurrent = 1,
    .reset = crnn_reset,
};

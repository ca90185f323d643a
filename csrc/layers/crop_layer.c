/* [crop]: a window of crop_height x crop_width. In training its position and, with flip=1, whether it is mirrored are
 * drawn once per pass; otherwise it is centred. Values become 2 x - 1 unless noadjust=1. */
#include "base/sys.h"
#include "net/layer.h"

typedef struct crop_state {
    int flip, noadjust, given;
    float place[3]; /* set instead of drawn: mirrored, top, left, each in [0, 1) */
    int *host;      /* (outputs) */
    float *index;   /* the same on the device, as ints */
} crop_state;

static const dn_key crop_keys[] = {
    {"crop_height", DN_KEY_INT, DN_AT_LAYER(out_height), .fallback = 1, .low = 1, .high = 1 << 20,
     .help = "the window: drawn in training, else the middle"},
    {"crop_width", DN_KEY_INT, DN_AT_LAYER(out_width), .fallback = 1, .low = 1, .high = 1 << 20},
    {"flip", DN_KEY_FLAG, DN_AT(crop_state, flip), .help = "mirror half of the passes in training"},
    {"noadjust", DN_KEY_FLAG, DN_AT(crop_state, noadjust), .help = "0: values become 2 x - 1"},
    {"angle", DN_KEY_UNUSED, .help = "taken without effect"}, /* only used by Darknet on GPUs */
    {"saturation", DN_KEY_UNUSED, .fallback = 1},
    {"exposure", DN_KEY_UNUSED, .fallback = 1},
    {"shift", DN_KEY_UNUSED, .fallback = 0},
    {0},
};

static dn_status crop_parse(dn_layer *l, dn_section *s) {
    int height = l->out_height, width = l->out_width;
    DN_TRY(dn_layer_need_image(l, s));
    if (height > l->height || width > l->width)
        return dn_cfg_error(s, NULL, "%d x %d is larger than the input %d x %d", height, width, l->height, l->width);
    dn_layer_image_out(l, l->channels, height, width);
    return DN_OK;
}

static dn_status crop_plan(dn_layer *l, const dn_run *run) {
    (void)run;
    crop_state *st = l->state;
    if (!(st->host = dn_layer_host_buffer(l, (size_t)l->outputs, sizeof *st->host))) return DN_E_MEMORY;
    return dn_layer_buffer(l, &st->index, (size_t)l->outputs);
}

static int crop_place(float u, int room) {
    int at = (int)(u * (float)(room + 1));
    return at < room ? at : room;
}

static dn_status crop_forward(dn_layer *l, const dn_run *run) {
    crop_state *st = l->state;
    int room_h = l->height - l->out_height, room_w = l->width - l->out_width;
    int top = room_h / 2, left = room_w / 2, flip = 0;
    if (run->training) {
        uint32_t r[4];
        dn_philox(run->now.seed, DN_STREAM_LAYER + (uint32_t)l->index, run->now.pass, 0, r);
        for (int i = 0; !st->given && i < 3; i++) st->place[i] = dn_uniform_of(r[i]);
        flip = st->flip && st->place[0] < 0.5f;
        top = crop_place(st->place[1], room_h), left = crop_place(st->place[2], room_w);
        st->given = 0;
    }
    int *to = st->host;
    for (int c = 0; c < l->channels; c++)
        for (int i = 0; i < l->out_height; i++)
            for (int j = 0; j < l->out_width; j++) {
                int column = flip ? l->width - left - j - 1 : left + j;
                *to++ = (c * l->height + top + i) * l->width + column;
            }
    run->ops->upload(run->pool, st->index, st->host, (size_t)l->outputs * sizeof *st->host);
    run->ops->gather(run->pool, (size_t)run->rows, (size_t)l->inputs, (size_t)l->outputs, (const int *)st->index,
                     st->noadjust ? 1 : 2, st->noadjust ? 0 : -1, dn_layer_x(l, run), dn_layer_y(l, run));
    return DN_OK;
}
static dn_status crop_backward(dn_layer *l, const dn_run *run) {
    crop_state *st = l->state;
    if (l->dx)
        run->ops->scatter_add(run->pool, (size_t)run->rows, (size_t)l->inputs, (size_t)l->outputs,
                              (const int *)st->index, st->noadjust ? 1 : 2, l->delta, l->dx);
    return DN_OK;
}

static dn_status crop_set_noise(dn_layer *l, const dn_run *run, const float *values, size_t count) {
    (void)run;
    crop_state *st = l->state;
    for (size_t i = 0; i < 3 && i < count; i++) st->place[i] = values[i] < 0 ? 0 : values[i] < 1 ? values[i] : 0.999f;
    st->given = 1;
    return DN_OK;
}

const dn_layer_type dn_crop_layer = {
    .name = "crop",
    .state_size = sizeof(crop_state),
    .keys = crop_keys,
    .parse = crop_parse,
    .plan = crop_plan,
    .forward = crop_forward,
    .backward = crop_backward,
    .host_work = 1,
    .set_noise = crop_set_noise,
};

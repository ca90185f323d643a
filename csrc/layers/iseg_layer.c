/* [iseg], instances and their masks: `classes` logistic planes and `ids` linear ones, an embedding of every pixel.
 * Truth per row: 90 instances of 1 + height x width values, the class and a mask; a negative class ends them. The
 * gradient with respect to the outputs, with y the output and m_k the mean embedding of instance k's pixels:
 *
 *   class      y - mask at an instance's pixels, for its class; else y
 *   embedding  0.01 (0.1 y + 0.1 sum over k of sign(m_k - y), minus for the pixel's own instance k) per component:
 *              towards zero, towards its own mean and away from the others' (means count as fixed) */
#include "base/sys.h"
#include "layers/box.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ISEG_INSTANCES = 90 };

typedef struct iseg_state {
    dn_detector head;
    int classes, ids;
    float *means; /* (ISEG_INSTANCES, ids) of the current row */
    int counts[ISEG_INSTANCES];
} iseg_state;

static const dn_key iseg_keys[] = {
    {"classes", DN_KEY_INT, DN_AT(iseg_state, classes), .fallback = 20, .low = 1, .high = 1 << 20, .help = ""},
    {"ids", DN_KEY_INT, DN_AT(iseg_state, ids), .fallback = 32, .low = 1, .high = 1 << 20,
     .help = "components of the embedding"},
    {0},
};

static dn_status iseg_parse(dn_layer *l, dn_section *s) {
    iseg_state *st = l->state;
    DN_TRY(dn_layer_need_image(l, s));
    size_t wanted, truths, planes = (size_t)st->classes + st->ids;
    DN_TRY(dn_layer_size(s, &wanted, (size_t)l->width, (size_t)l->height, planes, 1));
    DN_TRY(dn_layer_size(s, &truths, (size_t)l->width * l->height + 1, ISEG_INSTANCES, 1, 1));
    if (wanted != (size_t)l->inputs)
        return dn_cfg_error(s, NULL,
                            "needs width x height x (classes + ids) = %d x %d x (%d + %d) = %zu inputs, not "
                            "%d: filters=%zu in the layer before would fit",
                            l->width, l->height, st->classes, st->ids, wanted, l->inputs, planes);
    if (truths > INT_MAX) return dn_cfg_error(s, NULL, "%zu values of truth per row are too many", truths);
    dn_layer_image_out(l, l->channels, l->height, l->width);
    l->term.truths = (int)truths;
    l->term.scale = 0.5f;
    return DN_OK;
}

static dn_status iseg_plan(dn_layer *l, const dn_run *run) {
    iseg_state *st = l->state;
    st->means = dn_layer_host_buffer(l, (size_t)ISEG_INSTANCES * st->ids, sizeof *st->means);
    if (!st->means) return DN_E_MEMORY;
    return dn_detector_plan(l, run, &st->head);
}

/* Gradients of the classes, and means and sizes of the instances; returns the number of instances. */
static int iseg_instances(iseg_state *st, size_t plane, const float *truth, const float *y, float *g) {
    const float *embedding = y + st->classes * plane;
    memset(st->means, 0, (size_t)ISEG_INSTANCES * st->ids * sizeof *st->means);
    memcpy(g, y, st->classes * plane * sizeof *g);
    int n = 0;
    for (; n < ISEG_INSTANCES && truth[n * (plane + 1)] >= 0; n++) {
        const float *mask = truth + n * (plane + 1) + 1;
        size_t class = (size_t)mask[-1];
        float *mean = st->means + (size_t)n * st->ids;
        st->counts[n] = 0;
        for (size_t k = 0; k < plane; k++) {
            if (mask[k] == 0) continue;
            g[class * plane + k] = y[class * plane + k] - mask[k];
            for (int z = 0; z < st->ids; z++) mean[z] += embedding[z * plane + k];
            st->counts[n]++;
        }
        for (int z = 0; z < st->ids && st->counts[n]; z++) mean[z] /= (float)st->counts[n];
    }
    return n;
}

static void iseg_embedding(const iseg_state *st, int n, size_t plane, const float *truth, const float *y, float *g) {
    y += st->classes * plane, g += st->classes * plane;
    for (size_t i = 0; i < st->ids * plane; i++) g[i] = 0.1f * y[i];
    for (int own = 0; own < n; own++) {
        const float *mask = truth + own * (plane + 1) + 1;
        for (size_t k = 0; k < plane; k++)
            for (int other = 0; mask[k] != 0 && other < n; other++)
                for (int z = 0; st->counts[other] && z < st->ids; z++) {
                    float push = st->means[other * st->ids + z] - y[z * plane + k] < 0 ? -0.1f : 0.1f;
                    g[z * plane + k] += other == own ? -push : push;
                }
    }
    for (size_t i = 0; i < st->ids * plane; i++) g[i] *= 0.01f;
}

static int iseg_row_fault(const dn_layer *l, const float *truth, const char *where, char *text, size_t size) {
    const iseg_state *st = l->state;
    size_t plane = (size_t)l->width * l->height;
    for (int n = 0; n < ISEG_INSTANCES && !(truth[0] < 0); n++, truth += plane + 1) {
        if (!(truth[0] < (float)st->classes))
            return snprintf(text, size, "instance %d %s has class %g, not one of 0 to %d or -1", n, where, truth[0],
                            st->classes - 1),
                   1;
        for (size_t k = 1; k <= plane; k++)
            if (!(truth[k] >= 0 && truth[k] <= 1))
                return snprintf(text, size, "the mask of instance %d %s is %g at pixel %zu, not 0 to 1", n, where,
                                truth[k], k - 1),
                       1;
    }
    return 0;
}

static dn_status iseg_forward(dn_layer *l, const dn_run *run) {
    iseg_state *st = l->state;
    size_t plane = (size_t)l->width * l->height;
    dn_detector_begin(l, run, &st->head);
    for (int row = 0; row < run->rows; row++) {
        float *y = st->head.output + (size_t)row * l->outputs, *g = st->head.gradient + (size_t)row * l->outputs;
        const float *truth = st->head.truth + (size_t)row * l->term.truths;
        dn_head_logistic(st->classes * plane, y);
        if (!st->head.active) continue;
        int n = iseg_instances(st, plane, truth, y, g);
        iseg_embedding(st, n, plane, truth, y, g);
    }
    dn_detector_end(l, run, &st->head);
    return DN_OK;
}

static void iseg_down(const dn_layer *l, const float *y, const float *g, float *d) {
    const iseg_state *st = l->state;
    size_t scores = (size_t)st->classes * l->width * l->height;
    dn_head_logistic_down(scores, y, g, d);
    dn_head_linear_down((size_t)l->outputs - scores, g + scores, d + scores);
}

static dn_status iseg_backward(dn_layer *l, const dn_run *run) {
    return dn_detector_backward(l, run, &((iseg_state *)l->state)->head, iseg_down);
}

static const dn_term_type iseg_term = {.name = DN_IMAGE_LOSS, .row_fault = iseg_row_fault};

const dn_layer_type dn_iseg_layer = {
    .name = "iseg",
    .state_size = sizeof(iseg_state),
    .keys = iseg_keys,
    .parse = iseg_parse,
    .plan = iseg_plan,
    .forward = iseg_forward,
    .backward = iseg_backward,
    .term = &iseg_term,
    .host_work = 1,
};

/* [detection], YOLO v1 (Redmon et al., arXiv:1506.02640): side x side cells of the image, each with `classes` class
 * scores and `num` boxes. A row is a vector: class scores (cell, class), confidences (cell, box), coordinates (cell,
 * box, coords): x and y within the cell, w and h relative to the image (sqrt=1: their roots). Truth per cell: 1 or 0
 * for an object, its one-hot class, x, y, w, h, coordinates as above but never roots. Outputs are linear, except that
 * softmax=1 makes the classes a softmax per cell. The gradient with respect to the outputs y:
 *
 *   every box   noobject_scale y for its confidence
 *   an object   class_scale (y - t) for the classes of its cell. One box is responsible: the one with the most overlap,
 *               or, if none overlaps, with the least root mean square distance; forced=1: the second for objects
 *               smaller than a tenth of the image, else the first; random=1: a random one in the first 64000 rows.
 *               It gets object_scale (y - 1) for the confidence (rescore=1: y - overlap), coord_scale (y - t) for x, y,
 *               w, h */
#include "base/sys.h"
#include "layers/box.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>

enum { DETECTION_EARLY = 64000 };

typedef struct detection_state {
    dn_detector head;
    int side, n, classes, coords, softmax, rescore, root, forced, random;
    double coord_scale, object_scale, noobject_scale, class_scale;
} detection_state;

static const dn_key detection_keys[] = {
    {"side", DN_KEY_INT, DN_AT(detection_state, side), .fallback = 7, .low = 1, .high = 1 << 12,
     .help = "side x side cells"},
    {"num", DN_KEY_INT, DN_AT(detection_state, n), .fallback = 1, .low = 1, .high = 1 << 16, .help = "boxes per cell"},
    {"classes", DN_KEY_INT, DN_AT(detection_state, classes), .fallback = 1, .low = 1, .high = 1 << 24, .help = ""},
    {"coords", DN_KEY_INT, DN_AT(detection_state, coords), .fallback = 4, .low = 4, .high = 1 << 16,
     .help = "coordinates of a box; the first four count"},
    {"softmax", DN_KEY_FLAG, DN_AT(detection_state, softmax), .help = "the classes of a cell are a softmax"},
    {"sqrt", DN_KEY_FLAG, DN_AT(detection_state, root), .help = "the outputs for w and h are their roots"},
    {"rescore", DN_KEY_FLAG, DN_AT(detection_state, rescore), .help = "a confidence's target is the overlap, not 1"},
    {"forced", DN_KEY_FLAG, DN_AT(detection_state, forced),
     .help = "the second box has the objects below a tenth of the image, the first the others"},
    {"random", DN_KEY_FLAG, DN_AT(detection_state, random),
     .help = "in the first 64000 rows of training the responsible box is drawn"},
    {"coord_scale", DN_KEY_FLOAT, DN_AT(detection_state, coord_scale), .fallback = 1,
     .help = "factors of the gradients"},
    {"object_scale", DN_KEY_FLOAT, DN_AT(detection_state, object_scale), .fallback = 1},
    {"noobject_scale", DN_KEY_FLOAT, DN_AT(detection_state, noobject_scale), .fallback = 1},
    {"class_scale", DN_KEY_FLOAT, DN_AT(detection_state, class_scale), .fallback = 1},
    {"jitter", DN_KEY_UNUSED, .help = "taken without effect"},
    {"max", DN_KEY_UNUSED, .fallback = 0},
    {"reorg", DN_KEY_UNUSED, .fallback = 0},
    {0},
};

static dn_status detection_parse(dn_layer *l, dn_section *s) {
    detection_state *st = l->state;
    if (st->forced && st->n < 2) return dn_cfg_error(s, "forced", "forced=1 needs num=2 or more, not %d", st->n);
    size_t cells = (size_t)st->side * st->side, wanted, truths;
    DN_TRY(dn_layer_size(s, &wanted, cells, (1 + (size_t)st->coords) * st->n + st->classes, 1, 1));
    DN_TRY(dn_layer_size(s, &truths, cells, 1 + (size_t)st->coords + st->classes, 1, 1));
    if (wanted != (size_t)l->inputs)
        return dn_cfg_error(s, NULL,
                            "needs side x side x ((1 + coords) x num + classes) = %d x %d x (%d x %d + %d) ="
                            " %zu inputs, not %d: output=%zu in the layer before would fit",
                            st->side, st->side, 1 + st->coords, st->n, st->classes, wanted, l->inputs, wanted);
    if (truths > INT_MAX) return dn_cfg_error(s, NULL, "%zu values of truth per row are too many", truths);
    dn_layer_vector_out(l, l->inputs);
    l->term.truths = (int)truths;
    l->term.scale = 0.5f;
    l->n_boxes = (int)cells * st->n, l->n_classes = st->classes;
    return DN_OK;
}

static dn_status detection_plan(dn_layer *l, const dn_run *run) {
    return dn_detector_plan(l, run, &((detection_state *)l->state)->head);
}

static int detection_confidence(const detection_state *st, int cell, int n) {
    return st->side * st->side * st->classes + cell * st->n + n;
}
static int detection_coordinates(const detection_state *st, int cell, int n) {
    return st->side * st->side * (st->classes + st->n) + (cell * st->n + n) * st->coords;
}

/* From x, y within a cell at column i, row j to coordinates relative to the image. (0, 0 will do where the cell's
 * position does not matter.) */
static dn_box detection_box(const detection_state *st, const float *v, int i, int j, int root) {
    float side = (float)st->side;
    float w = root ? v[2] * v[2] : v[2], h = root ? v[3] * v[3] : v[3];
    return (dn_box){((float)i + v[0]) / side, ((float)j + v[1]) / side, w, h};
}

static int detection_responsible(const detection_state *st, const float *y, int cell, dn_box truth) {
    float best_iou = 0, least = INFINITY;
    int best = 0;
    for (int n = 0; n < st->n; n++) {
        dn_box box = detection_box(st, y + detection_coordinates(st, cell, n), 0, 0, st->root);
        float iou = dn_box_iou(box, truth), distance = dn_box_rmse(box, truth);
        if (iou > best_iou)
            best_iou = iou, best = n;
        else if (best_iou == 0 && distance < least)
            least = distance, best = n;
    }
    return st->forced ? truth.w * truth.h < 0.1f : best;
}

/* As in Darknet, anything less than 1 counts as none. */
static int detection_object(const float *truth) { return truth[0] >= 1; }

static int detection_number_fault(const detection_state *st, int k, float value) {
    if (k == 0) return !(value >= 0 && value <= 1);
    int size = k >= 3 + st->classes; /* width or height; otherwise a class or a position in the cell */
    return !(value >= 0 && (size ? value < INFINITY : value <= 1));
}

static int detection_row_fault(const dn_layer *l, const float *truth, const char *where, char *text, size_t size) {
    const detection_state *st = l->state;
    int per_cell = 1 + st->coords + st->classes;
    for (int cell = 0; cell < st->side * st->side; cell++, truth += per_cell)
        for (int k = 0; k < 5 + st->classes && (k == 0 || detection_object(truth)); k++) { /* reads 4 coordinates */
            const float *v = truth + 1 + st->classes;
            if (!detection_number_fault(st, k, truth[k])) continue;
            if (k == 0)
                snprintf(text, size, "cell %d %s begins with %g, which is neither 0 nor 1", cell, where, truth[0]);
            else if (k <= st->classes)
                snprintf(text, size, "the object in cell %d %s has %g for class %d, not 0 to 1", cell, where, truth[k],
                         k - 1);
            else
                snprintf(text, size, "the object in cell %d %s has x=%g y=%g w=%g h=%g, not relative to cell and image",
                         cell, where, v[0], v[1], v[2], v[3]);
            return 1;
        }
    return 0;
}

static void detection_cell(const dn_layer *l, const dn_run *run, int row, int cell, const float *truth, const float *y,
                           float *g) {
    const detection_state *st = l->state;
    for (int n = 0; n < st->n; n++) {
        int at = detection_confidence(st, cell, n);
        g[at] = (float)st->noobject_scale * y[at];
    }
    if (!detection_object(truth)) return;
    for (int k = cell * st->classes, c = 0; c < st->classes; c++, k++)
        g[k] = (float)st->class_scale * (y[k] - truth[1 + c]);
    const float *t = truth + 1 + st->classes;
    dn_box object = detection_box(st, t, 0, 0, 0);
    int n = detection_responsible(st, y, cell, object);
    if (st->random && run->training && run->now.pass + (uint64_t)run->rows < DETECTION_EARLY) {
        uint64_t number = (uint64_t)row * st->side * st->side + (uint64_t)cell;
        n = (int)(dn_uniform_at(run->now.seed, DN_STREAM_LAYER + (uint32_t)l->index, run->now.pass, number) *
                  (float)st->n);
    }
    int at = detection_coordinates(st, cell, n), confidence = detection_confidence(st, cell, n);
    float iou = dn_box_iou(detection_box(st, y + at, 0, 0, st->root), object);
    g[confidence] = (float)st->object_scale * (y[confidence] - (st->rescore ? iou : 1));
    for (int k = 0; k < 4; k++)
        g[at + k] = (float)st->coord_scale * (y[at + k] - (st->root && k > 1 ? sqrtf(t[k]) : t[k]));
}

static dn_status detection_forward(dn_layer *l, const dn_run *run) {
    detection_state *st = l->state;
    int cells = st->side * st->side, per_cell = 1 + st->coords + st->classes;
    dn_detector_begin(l, run, &st->head);
    for (int row = 0; row < run->rows; row++) {
        float *y = st->head.output + (size_t)row * l->outputs, *g = st->head.gradient + (size_t)row * l->outputs;
        const float *truth = st->head.truth + (size_t)row * l->term.truths;
        for (int cell = 0; cell < cells; cell++) {
            if (st->softmax) dn_head_softmax((size_t)st->classes, 1, y + cell * st->classes);
            if (!st->head.active) continue;
            const float *t = truth + (size_t)cell * per_cell;
            detection_cell(l, run, row, cell, t, y, g);
        }
    }
    dn_detector_end(l, run, &st->head);
    return DN_OK;
}

static void detection_down(const dn_layer *l, const float *y, const float *g, float *d) {
    const detection_state *st = l->state;
    size_t scores = st->softmax ? (size_t)st->side * st->side * st->classes : 0;
    for (size_t at = 0; at < scores; at += (size_t)st->classes)
        dn_head_softmax_down((size_t)st->classes, 1, y + at, g + at, d + at);
    dn_head_linear_down((size_t)l->outputs - scores, g + scores, d + scores);
}

static dn_status detection_backward(dn_layer *l, const dn_run *run) {
    return dn_detector_backward(l, run, &((detection_state *)l->state)->head, detection_down);
}

static void detection_out(const dn_layer *l, int row, int index, float tree_threshold, float *out) {
    const detection_state *st = l->state;
    (void)tree_threshold;
    const float *y = st->head.output + (size_t)row * l->outputs;
    int n = index % st->n, cell = index / st->n;
    dn_box box = detection_box(st, y + detection_coordinates(st, cell, n), cell % st->side, cell / st->side, st->root);
    out[0] = box.x, out[1] = box.y, out[2] = box.w, out[3] = box.h;
    out[4] = y[detection_confidence(st, cell, n)];
    for (int c = 0; c < st->classes; c++) out[5 + c] = out[4] * y[cell * st->classes + c];
}

static const dn_term_type detection_term = {.name = DN_IMAGE_LOSS, .row_fault = detection_row_fault};

const dn_layer_type dn_detection_layer = {
    .name = "detection",
    .state_size = sizeof(detection_state),
    .keys = detection_keys,
    .parse = detection_parse,
    .plan = detection_plan,
    .forward = detection_forward,
    .backward = detection_backward,
    .term = &detection_term,
    .host_work = 1,
    .box = detection_out,
};

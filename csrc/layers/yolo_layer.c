/* [yolo], YOLO v3 (Redmon and Farhadi, arXiv:1804.02767): a grid of anchor boxes (grid.h), anchors in pixels of the
 * network's input, with logistic classes. The gradient with respect to the input, with y the outputs:
 *
 *   objectness  y for every box; 0 when it overlaps some truth by more than ignore_thresh; by more than truth_thresh,
 *               it is pulled towards the truth that it overlaps most, as below
 *   truth       belongs to the anchor, of all `num`, that has the most similar shape; when this head has it (`mask`),
 *               the box at the truth's cell gets y - 1 for the objectness, (2 - w h) (y - t) for its coordinates,
 *               t those of the truth, and y - (1 or 0) for its classes */
#include "base/sys.h"
#include "layers/grid.h"

typedef struct yolo_state {
    dn_detector head;
    dn_grid grid;
    double ignore_thresh, truth_thresh;
} yolo_state;

static const dn_key yolo_keys[] = {
    {"anchors", DN_KEY_FLOATS, DN_AT_LIST(yolo_state, grid.anchors, grid.n_anchors), .shown_fallback = "all 0.5",
     .help = "width, height of all num anchors in pixels of the network's input"},
    {"num", DN_KEY_INT, DN_AT(yolo_state, grid.total), .fallback = 1, .low = 1, .high = 1 << 16,
     .help = "anchors of all heads together"},
    {"mask", DN_KEY_INTS, DN_AT_LIST(yolo_state, grid.mask, grid.n), .shown_fallback = "all",
     .help = "which of them this head has"},
    {"classes", DN_KEY_INT, DN_AT(yolo_state, grid.classes), .fallback = 20, .low = 1, .high = 1 << 24, .help = ""},
    {"max", DN_KEY_INT, DN_AT(yolo_state, grid.max), .fallback = 90, .low = 1, .high = 1 << 24,
     .help = "boxes of truth per row"},
    {"ignore_thresh", DN_KEY_FLOAT, DN_AT(yolo_state, ignore_thresh), .fallback = 0.5,
     .help = "boxes that overlap a truth by more are not held to be empty"},
    {"truth_thresh", DN_KEY_FLOAT, DN_AT(yolo_state, truth_thresh), .fallback = 1,
     .help = "boxes that overlap a truth by more are drawn to it"},
    {"map", DN_KEY_FILE, DN_AT(yolo_state, grid.map_file),
     .help = "one line per class of the truth: the class that it is here"},
    {"jitter", DN_KEY_UNUSED, .help = "taken without effect"},
    {"random", DN_KEY_UNUSED, .fallback = 0},
    {0},
};

static dn_status yolo_parse_mask(dn_section *s, dn_grid *g) {
    if (!g->mask) g->n = g->total;
    for (int i = 0; g->mask && i < g->n; i++)
        if (g->mask[i] < 0 || g->mask[i] >= g->total)
            return dn_cfg_error(s, "mask", "mask=%d is not one of the anchors 0 to %d of num=%d", g->mask[i],
                                g->total - 1, g->total);
    return DN_OK;
}

static dn_status yolo_parse(dn_layer *l, dn_section *s) {
    yolo_state *st = l->state;
    dn_grid *g = &st->grid;
    g->coords = 4;
    DN_TRY(yolo_parse_mask(s, g));
    const dn_layer *first = dn_layer_at(l, 0); /* the first layer's input is the network's */
    if (!first->width || !first->height)
        return dn_cfg_error(s, NULL, "its anchors are in pixels of the network's input, which is no image");
    DN_TRY(dn_grid_anchors(g, s, first->width, first->height));
    DN_TRY(dn_grid_map(g, s));
    return dn_grid_shape(l, s, g);
}

static dn_status yolo_plan(dn_layer *l, const dn_run *run) {
    yolo_state *st = l->state;
    DN_TRY(dn_grid_plan(l, &st->grid));
    return dn_detector_plan(l, run, &st->head);
}

static void yolo_destroy(dn_layer *l) {
    yolo_state *st = l->state;
    dn_grid_free(&st->grid);
}

static void yolo_pull(const dn_grid *g, const float *y, float *grad, int n, int cell, const dn_object *o) {
    size_t objectness = dn_grid_at(g, n, 4, cell);
    dn_grid_pull_box(g, y, grad, n, cell, o->box, 2 - o->box.w * o->box.h);
    grad[objectness] = y[objectness] - 1;
    dn_grid_pull_class(g, y, grad, n, cell, o->class, 1, NULL, 1);
}

static void yolo_predictions(const yolo_state *st, const float *y, float *grad) {
    const dn_grid *g = &st->grid;
    for (int n = 0; n < g->n; n++)
        for (int cell = 0; cell < g->width * g->height; cell++) {
            float iou;
            const dn_object *o = dn_grid_best(g, dn_grid_box(g, y, n, cell), &iou);
            size_t objectness = dn_grid_at(g, n, 4, cell);
            grad[objectness] = iou > (float)st->ignore_thresh ? 0 : y[objectness];
            if (o && iou > (float)st->truth_thresh) yolo_pull(g, y, grad, n, cell, o);
        }
}

/* The number, within this head, of the anchor whose shape is most similar to the box's; -1: another head has it. */
static int yolo_responsible(const dn_grid *g, dn_box box) {
    float best = 0;
    int anchor = 0;
    for (int k = 0; k < g->total; k++) {
        float iou = dn_box_iou((dn_box){0, 0, g->anchors[2 * k], g->anchors[2 * k + 1]}, (dn_box){0, 0, box.w, box.h});
        if (iou > best) best = iou, anchor = k;
    }
    for (int n = 0; n < g->n; n++)
        if (dn_grid_anchor(g, n) == anchor) return n;
    return -1;
}

static dn_status yolo_forward(dn_layer *l, const dn_run *run) {
    yolo_state *st = l->state;
    const dn_grid *g = &st->grid;
    size_t plane = (size_t)g->width * g->height;
    dn_detector_begin(l, run, &st->head);
    for (int row = 0; row < run->rows; row++) {
        float *y = st->head.output + (size_t)row * l->outputs, *grad = st->head.gradient + (size_t)row * l->outputs;
        for (int n = 0; n < g->n; n++) {
            dn_head_logistic(2 * plane, y + dn_grid_at(g, n, 0, 0));
            dn_head_logistic((1 + g->classes) * plane, y + dn_grid_at(g, n, 4, 0));
        }
        if (!st->head.active) continue;
        dn_grid_read(&st->grid, st->head.truth + (size_t)row * l->term.truths);
        yolo_predictions(st, y, grad);
        for (int t = 0; t < g->n_objects; t++) {
            const dn_object *o = &g->objects[t];
            int n = yolo_responsible(g, o->box);
            if (n >= 0) yolo_pull(g, y, grad, n, dn_grid_cell(g, o->box), o);
        }
    }
    dn_detector_end(l, run, &st->head);
    return DN_OK;
}

static void yolo_down(const dn_layer *l, const float *y, const float *grad, float *d) {
    const dn_grid *g = &((const yolo_state *)l->state)->grid;
    size_t plane = (size_t)g->width * g->height;
    for (int n = 0; n < g->n; n++) {
        size_t xy = dn_grid_at(g, n, 0, 0), wh = xy + 2 * plane, rest = wh + 2 * plane;
        dn_head_logistic_down(2 * plane, y + xy, grad + xy, d + xy);
        dn_head_linear_down(2 * plane, grad + wh, d + wh);
        dn_head_logistic_down((1 + g->classes) * plane, y + rest, grad + rest, d + rest);
    }
}

static dn_status yolo_backward(dn_layer *l, const dn_run *run) {
    return dn_detector_backward(l, run, &((yolo_state *)l->state)->head, yolo_down);
}

static void yolo_box(const dn_layer *l, int row, int index, float tree_threshold, float *out) {
    const yolo_state *st = l->state;
    const dn_grid *g = &st->grid;
    (void)tree_threshold;
    const float *y = st->head.output + (size_t)row * l->outputs;
    int n = index % g->n, cell = index / g->n;
    dn_box box = dn_grid_box(g, y, n, cell);
    out[0] = box.x, out[1] = box.y, out[2] = box.w, out[3] = box.h;
    out[4] = y[dn_grid_at(g, n, 4, cell)];
    for (int c = 0; c < g->classes; c++) out[5 + c] = out[4] * y[dn_grid_at(g, n, 5 + c, cell)];
}

static int yolo_row_fault(const dn_layer *l, const float *truth, const char *where, char *text, size_t size) {
    return dn_grid_fault(&((const yolo_state *)l->state)->grid, truth, where, text, size);
}

static const dn_term_type yolo_term = {.name = DN_IMAGE_LOSS, .row_fault = yolo_row_fault};

const dn_layer_type dn_yolo_layer = {
    .name = "yolo",
    .state_size = sizeof(yolo_state),
    .keys = yolo_keys,
    .parse = yolo_parse,
    .plan = yolo_plan,
    .forward = yolo_forward,
    .backward = yolo_backward,
    .destroy = yolo_destroy,
    .term = &yolo_term,
    .host_work = 1,
    .box = yolo_box,
};

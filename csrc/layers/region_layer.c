/* [region], YOLO v2 (Redmon and Farhadi, arXiv:1612.08242): a grid of anchor boxes (grid.h), anchors in cells. x, y,
 * further coordinates and objectness are logistic, the classes a softmax, a tree of softmaxes, or logistic; with
 * background=1 the objectness is a further class of the softmax, for "no object". The gradient with respect to the
 * outputs y:
 *
 *   objectness  noobject_scale y for every box (background: y - 1); 0 when it overlaps some truth by more than `thresh`
 *   early on    for the first 12800 rows of training, 0.01 (y - t) for every box towards its anchor, mid-cell
 *   truth       the anchor at its cell whose predicted size (bias_match: whose own size) is most similar gets
 *               coord_scale (2 - w h) (y - t) for its coordinates, mask_scale (y - t) for the further ones,
 *               object_scale (y - t) for the objectness with t = 1 (rescore: the overlap; background: 0), and
 *               class_scale (y - (1 or 0)) for the classes; with a tree, for the groups up to its root
 *
 * The losses are squared errors of the outputs, and the cross entropy for classes. Darknet's CPU code passes no
 * gradient down; this follows its GPU code. A truth with x and y above 100000 is a class without a box: it goes to the
 * box that shows it best. */
#include "base/sys.h"
#include "layers/grid.h"
#include <math.h>

enum { REGION_EARLY = 12800 };

typedef struct region_state {
    dn_detector head;
    dn_grid grid;
    const dn_cfg_file *tree_file; /* NULL: none */
    dn_tree tree;
    double thresh, coord_scale, object_scale, noobject_scale, mask_scale, class_scale;
    int softmax, background, rescore, bias_match;
} region_state;

static const dn_key region_keys[] = {
    {"anchors", DN_KEY_FLOATS, DN_AT_LIST(region_state, grid.anchors, grid.n_anchors), .shown_fallback = "all 0.5",
     .help = "width, height of the num anchors in cells"},
    {"num", DN_KEY_INT, DN_AT(region_state, grid.total), .fallback = 1, .low = 1, .high = 1 << 16, .help = "anchors"},
    {"classes", DN_KEY_INT, DN_AT(region_state, grid.classes), .fallback = 20, .low = 1, .high = 1 << 24, .help = ""},
    {"coords", DN_KEY_INT, DN_AT(region_state, grid.coords), .fallback = 4, .low = 4, .high = 1 << 16,
     .help = "coordinates of a box; those after the fourth are logistic, a mask"},
    {"max", DN_KEY_INT, DN_AT(region_state, grid.max), .fallback = 30, .low = 1, .high = 1 << 24,
     .help = "boxes of truth per row"},
    {"softmax", DN_KEY_FLAG, DN_AT(region_state, softmax), .help = "the classes are a softmax, else each is logistic"},
    {"background", DN_KEY_FLAG, DN_AT(region_state, background),
     .help = "the objectness is a class of the softmax: nothing is there"},
    {"tree", DN_KEY_FILE, DN_AT(region_state, tree_file), .help = "a label tree: one softmax per group of siblings"},
    {"map", DN_KEY_FILE, DN_AT(region_state, grid.map_file),
     .help = "one line per class of the truth: the class that it is here"},
    {"thresh", DN_KEY_FLOAT, DN_AT(region_state, thresh), .fallback = 0.5,
     .help = "boxes that overlap a truth by more are not held to be empty"},
    {"rescore", DN_KEY_FLAG, DN_AT(region_state, rescore), .help = "an objectness' target is the overlap, not 1"},
    {"bias_match", DN_KEY_FLAG, DN_AT(region_state, bias_match),
     .help = "anchors, not predicted sizes, are compared with the truth"},
    {"coord_scale", DN_KEY_FLOAT, DN_AT(region_state, coord_scale), .fallback = 1, .help = "factors of the gradients"},
    {"object_scale", DN_KEY_FLOAT, DN_AT(region_state, object_scale), .fallback = 1},
    {"noobject_scale", DN_KEY_FLOAT, DN_AT(region_state, noobject_scale), .fallback = 1},
    {"mask_scale", DN_KEY_FLOAT, DN_AT(region_state, mask_scale), .fallback = 1},
    {"class_scale", DN_KEY_FLOAT, DN_AT(region_state, class_scale), .fallback = 1},
    {"jitter", DN_KEY_UNUSED, .help = "taken without effect"},
    {"log", DN_KEY_UNUSED, .fallback = 0},
    {"sqrt", DN_KEY_UNUSED, .fallback = 0},
    {"classfix", DN_KEY_UNUSED, .fallback = 0},
    {"absolute", DN_KEY_UNUSED, .fallback = 0},
    {"random", DN_KEY_UNUSED, .fallback = 0},
    {0},
};

static dn_status region_parse(dn_layer *l, dn_section *s) {
    region_state *st = l->state;
    dn_grid *g = &st->grid;
    if (st->tree_file) DN_TRY(dn_tree_parse(&st->tree, s, "tree", st->tree_file));
    if (st->tree.n && st->tree.n != g->classes)
        return dn_cfg_error(s, "tree", "the tree has %d nodes, classes=%d", st->tree.n, g->classes);
    if (st->background && (!st->softmax || st->tree.n))
        return dn_cfg_error(s, "background", "background=1 is a class of the softmax: it needs softmax=1 and no tree");
    g->class_labels = st->tree.n > 0;
    g->n = g->total;
    DN_TRY(dn_layer_need_image(l, s));
    DN_TRY(dn_grid_anchors(g, s, l->width, l->height));
    DN_TRY(dn_grid_map(g, s));
    return dn_grid_shape(l, s, g);
}

static dn_status region_plan(dn_layer *l, const dn_run *run) {
    region_state *st = l->state;
    DN_TRY(dn_grid_plan(l, &st->grid));
    return dn_detector_plan(l, run, &st->head);
}

static void region_destroy(dn_layer *l) {
    region_state *st = l->state;
    dn_grid_free(&st->grid);
    dn_tree_free(&st->tree);
}

/* The k-th distribution over classes of an anchor: its first entry and its length; returns 0 after the last. */
static int region_softmax(const region_state *st, int k, int *first, int *count) {
    const dn_grid *g = &st->grid;
    *first = g->coords + !st->background, *count = g->classes + st->background;
    if (!st->tree.n) return st->softmax && k == 0;
    if (k == st->tree.n_groups) return 0;
    *first = g->coords + 1 + st->tree.group_offset[k], *count = st->tree.group_size[k];
    return 1;
}

static void region_activate(const region_state *st, float *y) {
    const dn_grid *g = &st->grid;
    size_t plane = (size_t)g->width * g->height;
    int first, count;
    for (int n = 0; n < g->n; n++) {
        dn_head_logistic(2 * plane, y + dn_grid_at(g, n, 0, 0));
        dn_head_logistic((g->coords - 4 + !st->background) * plane, y + dn_grid_at(g, n, 4, 0));
        for (int k = 0; region_softmax(st, k, &first, &count); k++)
            for (int cell = 0; cell < (int)plane; cell++)
                dn_head_softmax((size_t)count, plane, y + dn_grid_at(g, n, first, cell));
        if (!st->softmax && !st->tree.n) dn_head_logistic(g->classes * plane, y + dn_grid_at(g, n, g->coords + 1, 0));
    }
}

static void region_pull_class(const region_state *st, const float *y, float *grad, int n, int cell, int class) {
    dn_grid_pull_class(&st->grid, y, grad, n, cell, class, (float)st->class_scale, st->tree.n ? &st->tree : NULL,
                       !st->softmax);
}

static void region_predictions(const region_state *st, int early, const float *y, float *grad) {
    const dn_grid *g = &st->grid;
    for (int n = 0; n < g->n; n++)
        for (int cell = 0; cell < g->width * g->height; cell++) {
            float iou;
            dn_grid_best(g, dn_grid_box(g, y, n, cell), &iou);
            size_t at = dn_grid_at(g, n, g->coords, cell);
            grad[at] = iou > (float)st->thresh ? 0 : (float)st->noobject_scale * (y[at] - (float)st->background);
            if (!early) continue;
            dn_box anchor = {((float)(cell % g->width) + 0.5f) / (float)g->width,
                             ((float)(cell / g->width) + 0.5f) / (float)g->height, g->anchors[2 * n],
                             g->anchors[2 * n + 1]};
            dn_grid_pull_box(g, y, grad, n, cell, anchor, 0.01f);
        }
}

static int region_responsible(const region_state *st, const float *y, int cell, dn_box box) {
    const dn_grid *g = &st->grid;
    float best = 0;
    int anchor = 0;
    for (int n = 0; n < g->n; n++) {
        dn_box mine = {0, 0, g->anchors[2 * n], g->anchors[2 * n + 1]};
        if (!st->bias_match) mine = dn_grid_box(g, y, n, cell);
        float iou = dn_box_iou((dn_box){0, 0, mine.w, mine.h}, (dn_box){0, 0, box.w, box.h});
        if (iou > best) best = iou, anchor = n;
    }
    return anchor;
}

static void region_pull(const region_state *st, const float *y, float *grad, const dn_object *o) {
    const dn_grid *g = &st->grid;
    int cell = dn_grid_cell(g, o->box), n = region_responsible(st, y, cell, o->box);
    float iou = dn_grid_pull_box(g, y, grad, n, cell, o->box, (float)st->coord_scale * (2 - o->box.w * o->box.h));
    for (int k = 0; k < g->coords - 4; k++) {
        size_t at = dn_grid_at(g, n, 4 + k, cell);
        grad[at] = (float)st->mask_scale * (y[at] - o->more[k]);
    }
    size_t at = dn_grid_at(g, n, g->coords, cell);
    grad[at] = (float)st->object_scale * (y[at] - (st->background ? 0 : st->rescore ? iou : 1));
    region_pull_class(st, y, grad, n, cell, o->class);
}

/* For a class without a box: all boxes count as empty, except the one that shows the class most clearly. */
static void region_pull_class_only(const region_state *st, const float *y, float *grad, int class) {
    const dn_grid *g = &st->grid;
    float best = 0;
    int best_n = 0, best_cell = 0;
    for (int n = 0; n < g->n; n++)
        for (int cell = 0; cell < g->width * g->height; cell++) {
            size_t at = dn_grid_at(g, n, g->coords, cell);
            float p = y[at];
            grad[at] = (float)st->noobject_scale * y[at];
            for (int c = class; c >= 0; c = st->tree.parent[c]) p *= y[dn_grid_at(g, n, g->coords + 1 + c, cell)];
            if (p > best) best = p, best_n = n, best_cell = cell;
        }
    grad[dn_grid_at(g, best_n, g->coords, best_cell)] = 0;
    region_pull_class(st, y, grad, best_n, best_cell, class);
}

static const dn_object *region_class_only(const dn_grid *g) {
    for (int t = 0; t < g->n_objects; t++)
        if (dn_object_is_class(&g->objects[t])) return &g->objects[t];
    return NULL;
}

static dn_status region_forward(dn_layer *l, const dn_run *run) {
    region_state *st = l->state;
    int early = run->training && run->now.pass + (uint64_t)run->rows < REGION_EARLY;
    dn_detector_begin(l, run, &st->head);
    for (int row = 0; row < run->rows; row++) {
        float *y = st->head.output + (size_t)row * l->outputs, *grad = st->head.gradient + (size_t)row * l->outputs;
        region_activate(st, y);
        if (!st->head.active) continue;
        dn_grid_read(&st->grid, st->head.truth + (size_t)row * l->term.truths);
        const dn_object *class_only = region_class_only(&st->grid);
        if (class_only) {
            region_pull_class_only(st, y, grad, class_only->class);
            continue;
        }
        region_predictions(st, early, y, grad);
        for (int t = 0; t < st->grid.n_objects; t++) region_pull(st, y, grad, &st->grid.objects[t]);
    }
    dn_detector_end(l, run, &st->head);
    return DN_OK;
}

static void region_down(const dn_layer *l, const float *y, const float *grad, float *d) {
    const region_state *st = l->state;
    const dn_grid *g = &st->grid;
    size_t plane = (size_t)g->width * g->height, more = (g->coords - 4 + !st->background) * plane;
    int first, count;
    for (int n = 0; n < g->n; n++) {
        size_t xy = dn_grid_at(g, n, 0, 0), wh = xy + 2 * plane, rest = wh + 2 * plane;
        size_t classes = dn_grid_at(g, n, g->coords + 1, 0);
        dn_head_squared_logistic_down(2 * plane, y + xy, grad + xy, d + xy);
        dn_head_linear_down(2 * plane, grad + wh, d + wh);
        dn_head_squared_logistic_down(more, y + rest, grad + rest, d + rest);
        for (int k = 0; region_softmax(st, k, &first, &count); k++)
            for (int cell = 0; cell < (int)plane; cell++) {
                size_t at = dn_grid_at(g, n, first, cell);
                dn_head_softmax_down((size_t)count, plane, y + at, grad + at, d + at);
            }
        if (!st->softmax && !st->tree.n)
            dn_head_logistic_down(g->classes * plane, y + classes, grad + classes, d + classes);
    }
}

static dn_status region_backward(dn_layer *l, const dn_run *run) {
    return dn_detector_backward(l, run, &((region_state *)l->state)->head, region_down);
}

/* Descend the tree along the most likely nodes, as long as their probability stays above the threshold. *last becomes
 * NaN when the probability of some node was NaN. */
static int region_descend(const region_state *st, const float *y, size_t plane, float threshold, float *last) {
    const dn_tree *tree = &st->tree;
    float p = 1;
    int node = -1;
    for (int group = 0; group >= 0; group = tree->child[node]) {
        int best = tree->group_offset[group], end = best + tree->group_size[group];
        for (int c = best + 1; c < end; c++)
            if (y[c * plane] > y[best * plane]) best = c;
        p *= y[best * plane];
        if (p > threshold || node < 0) node = best;
        if (!(p > threshold)) break;
    }
    *last = p;
    return node;
}

static void region_box(const dn_layer *l, int row, int index, float tree_threshold, float *out) {
    const region_state *st = l->state;
    const dn_grid *g = &st->grid;
    const float *y = st->head.output + (size_t)row * l->outputs;
    int plane = g->width * g->height, n = index / plane, cell = index % plane;
    dn_box box = dn_grid_box(g, y, n, cell);
    const float *classes = y + dn_grid_at(g, n, g->coords + 1, cell);
    out[0] = box.x, out[1] = box.y, out[2] = box.w, out[3] = box.h;
    out[4] = y[dn_grid_at(g, n, g->coords, cell)];
    if (st->background) out[4] = 1;
    for (int c = 0; c < g->classes; c++) out[5 + c] = st->tree.n ? 0 : out[4] * classes[(size_t)c * plane];
    if (!st->tree.n) return;
    float p;
    int class = region_descend(st, classes, (size_t)plane, tree_threshold, &p);
    out[5 + class] = isnan(p) ? p : out[4];
}

static int region_row_fault(const dn_layer *l, const float *truth, const char *where, char *text, size_t size) {
    return dn_grid_fault(&((const region_state *)l->state)->grid, truth, where, text, size);
}

static const dn_term_type region_term = {.name = DN_IMAGE_LOSS, .row_fault = region_row_fault};

const dn_layer_type dn_region_layer = {
    .name = "region",
    .state_size = sizeof(region_state),
    .keys = region_keys,
    .parse = region_parse,
    .plan = region_plan,
    .forward = region_forward,
    .backward = region_backward,
    .destroy = region_destroy,
    .term = &region_term,
    .host_work = 1,
    .box = region_box,
};

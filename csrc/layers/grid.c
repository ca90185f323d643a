#include "layers/grid.h"
#include "base/sys.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>

dn_status dn_grid_shape(dn_layer *l, dn_section *s, dn_grid *g) {
    DN_TRY(dn_layer_need_image(l, s));
    g->width = l->width, g->height = l->height;
    size_t entries = (size_t)g->coords + 1 + g->classes, wanted, truths;
    DN_TRY(dn_layer_size(s, &wanted, (size_t)g->width, (size_t)g->height, (size_t)g->n, entries));
    DN_TRY(dn_layer_size(s, &truths, (size_t)g->max, (size_t)g->coords + 1, 1, 1));
    if (wanted != (size_t)l->inputs)
        return dn_cfg_error(s, NULL,
                            "needs width x height x anchors x (classes + %d) = %d x %d x %d x (%d + %d) = %zu "
                            "inputs, not %d: filters=%zu in the layer before would fit",
                            g->coords + 1, g->width, g->height, g->n, g->classes, g->coords + 1, wanted, l->inputs,
                            (size_t)g->n * entries);
    if (truths > INT_MAX) return dn_cfg_error(s, "max", "max=%d is too large", g->max);
    dn_layer_image_out(l, l->channels, l->height, l->width);
    l->term.truths = (int)truths;
    l->term.scale = 0.5f;
    l->n_boxes = g->width * g->height * g->n, l->n_classes = g->classes;
    return DN_OK;
}

dn_status dn_grid_anchors(dn_grid *g, dn_section *s, int width, int height) {
    int n = 2 * g->total, given = g->n_anchors > 0;
    if (!given && !(g->anchors = dn_alloc((size_t)n, sizeof *g->anchors))) return DN_E_MEMORY;
    if (given && g->n_anchors != n)
        return dn_cfg_error(s, "anchors", "anchors has %d values, not the 2 x %d of num=%d", g->n_anchors, g->total,
                            g->total);
    for (int i = 0; i < n; i++) {
        if (!given) g->anchors[i] = 0.5f;
        if (g->anchors[i] <= 0) return dn_cfg_error(s, "anchors", "an anchor of size %g", g->anchors[i]);
        g->anchors[i] /= (float)(i % 2 ? height : width);
    }
    return DN_OK;
}

dn_status dn_grid_map(dn_grid *g, dn_section *s) {
    return g->map_file ? dn_map_parse(&g->map, &g->n_map, s, "map", g->map_file, g->classes) : DN_OK;
}

dn_status dn_grid_plan(dn_layer *l, dn_grid *g) {
    return (g->objects = dn_layer_host_buffer(l, (size_t)g->max, sizeof *g->objects)) ? DN_OK : DN_E_MEMORY;
}

void dn_grid_free(dn_grid *g) {
    dn_free(g->anchors);
    dn_free(g->mask);
    dn_free(g->map);
}

dn_box dn_grid_box(const dn_grid *g, const float *y, int n, int cell) {
    const float *anchor = g->anchors + 2 * dn_grid_anchor(g, n);
    y += dn_grid_at(g, n, 0, cell);
    size_t plane = (size_t)g->width * g->height;
    float i = (float)(cell % g->width), j = (float)(cell / g->width);
    return (dn_box){(i + y[0]) / (float)g->width, (j + y[plane]) / (float)g->height,
                    (float)exp(y[2 * plane]) * anchor[0], (float)exp(y[3 * plane]) * anchor[1]};
}

int dn_grid_cell(const dn_grid *g, dn_box box) { /* a centre on the far edge belongs to the last cell */
    int i = (int)(box.x * (float)g->width), j = (int)(box.y * (float)g->height);
    return (j < g->height ? j : g->height - 1) * g->width + (i < g->width ? i : g->width - 1);
}

static int grid_is_class(const dn_grid *g, const float *v) {
    dn_object o = {.box = {v[0], v[1], v[2], v[3]}};
    return g->class_labels && dn_object_is_class(&o);
}

int dn_grid_fault(const dn_grid *g, const float *truth, const char *where, char *text, size_t size) {
    int classes = g->map ? g->n_map : g->classes;
    const float *v = truth;
    for (int i = 0; i < g->max && v[0] != 0; i++, v += g->coords + 1) {
        float class = v[g->coords];
        int inside = v[0] > 0 && v[0] <= 1 && v[1] >= 0 && v[1] <= 1;
        inside &= v[2] > 0 && v[2] < INFINITY && v[3] > 0 && v[3] < INFINITY;
        if (!inside && !grid_is_class(g, v))
            return snprintf(text, size, "box %d %s, x=%g y=%g w=%g h=%g, is not relative to the image", i, where, v[0],
                            v[1], v[2], v[3]),
                   1;
        if (!(class >= 0 && class < (float)classes)) /* a fractional part is cut off, as in Darknet */
            return snprintf(text, size, "box %d %s has class %g, not one of 0 to %d", i, where, class, classes - 1), 1;
    }
    return 0;
}

void dn_grid_read(dn_grid *g, const float *truth) {
    for (g->n_objects = 0; g->n_objects < g->max; g->n_objects++) {
        const float *v = truth + (size_t)g->n_objects * (g->coords + 1);
        if (v[0] == 0) break;
        int class = (int)v[g->coords];
        g->objects[g->n_objects] =
            (dn_object){.box = {v[0], v[1], v[2], v[3]}, .more = v + 4, .class = g->map ? g->map[class] : class};
    }
}

const dn_object *dn_grid_best(const dn_grid *g, dn_box box, float *iou) {
    const dn_object *best = NULL;
    *iou = 0;
    for (int t = 0; t < g->n_objects; t++) {
        float v = dn_box_iou(box, g->objects[t].box);
        if (v > *iou) *iou = v, best = &g->objects[t];
    }
    return best;
}

float dn_grid_pull_box(const dn_grid *g, const float *y, float *grad, int n, int cell, dn_box box, float scale) {
    const float *anchor = g->anchors + 2 * dn_grid_anchor(g, n);
    const float wanted[4] = {box.x * (float)g->width - (float)(cell % g->width),
                             box.y * (float)g->height - (float)(cell / g->width), (float)log(box.w / anchor[0]),
                             (float)log(box.h / anchor[1])};
    for (int k = 0; k < 4; k++) {
        size_t at = dn_grid_at(g, n, k, cell);
        grad[at] = scale * (y[at] - wanted[k]);
    }
    return dn_box_iou(dn_grid_box(g, y, n, cell), box);
}

static void grid_pull_one_of(const float *y, float *grad, size_t plane, int first, int count, int class, float scale) {
    for (int c = first; c < first + count; c++) grad[c * plane] = scale * (y[c * plane] - (float)(c == class));
}

void dn_grid_pull_class(const dn_grid *g, const float *y, float *grad, int n, int cell, int class, float scale,
                        const dn_tree *tree, int many) {
    size_t plane = (size_t)g->width * g->height, at = dn_grid_at(g, n, g->coords + 1, cell);
    y += at, grad += at;
    if (tree)
        for (; class >= 0; class = tree->parent[class]) {
            int group = tree->group[class];
            grid_pull_one_of(y, grad, plane, tree->group_offset[group], tree->group_size[group], class, scale);
        }
    else if (many && grad[0] != 0)
        grad[class * plane] = scale * (y[class * plane] - 1);
    else
        grid_pull_one_of(y, grad, plane, 0, g->classes, class, scale);
}

/* Grids of anchor boxes, for [region] and [yolo]. A row is (anchors, entries, height, width): every anchor has the
 * planes x, y, w, h, further coordinates, objectness, classes. Cell (i, j) of an anchor, whose size (a, b) is relative
 * to the image, predicts the box
 *
 *   centre ((i + x) / width, (j + y) / height), x and y logistic;  size (a e^w, b e^h)
 *
 * Truth is `max` boxes per row, each x, y, w, h, further coordinates, class; relative to the image; x = 0 ends it. */
#ifndef DN_GRID_H
#define DN_GRID_H
#include "layers/box.h"
#include "layers/tree.h"

typedef struct dn_object { /* an object of the truth */
    dn_box box;
    int class;
    const float *more; /* its further coordinates */
} dn_object;

typedef struct dn_grid {
    int width, height, n, coords, classes, max;
    int total;                   /* anchors listed */
    float *anchors;              /* (total, 2), relative to the image */
    int n_anchors;               /* number of values of the key; 0: it was missing, and all anchors are 0.5 */
    int *mask;                   /* (n): which of them this head has; NULL: all in order */
    int class_labels;            /* the truth may contain classes without a box: x and y above 100000 */
    const dn_cfg_file *map_file; /* NULL: none */
    int *map;                    /* (n_map): class of the truth -> class; NULL: unchanged */
    int n_map;
    dn_object *objects; /* (max) of the current row */
    int n_objects;
} dn_grid;

/* Derive the layer's shapes from a grid with n, coords, classes and max set; errors name the filters= that would
 * fit. */
dn_status dn_grid_shape(dn_layer *layer, dn_section *section, dn_grid *grid);
/* Read the anchors of the key, in units of 1 / width and 1 / height. */
dn_status dn_grid_anchors(dn_grid *grid, dn_section *section, int width, int height);
dn_status dn_grid_map(dn_grid *grid, dn_section *section);
dn_status dn_grid_plan(dn_layer *layer, dn_grid *grid);
void dn_grid_free(dn_grid *grid);

static inline size_t dn_grid_at(const dn_grid *g, int n, int entry, int cell) {
    return ((size_t)n * (g->coords + 1 + g->classes) + entry) * g->width * g->height + cell;
}
/* The anchor's index among the listed anchors. */
static inline int dn_grid_anchor(const dn_grid *g, int n) { return g->mask ? g->mask[n] : n; }

dn_box dn_grid_box(const dn_grid *grid, const float *y, int n, int cell);
int dn_grid_cell(const dn_grid *grid, dn_box box);
/* For row_fault: finds a box outside the image, or an invalid class. */
int dn_grid_fault(const dn_grid *grid, const float *truth, const char *where, char *text, size_t size);
/* Read a row's truth, without such faults, into grid->objects. */
void dn_grid_read(dn_grid *grid, const float *truth);
/* The object that the box overlaps most; NULL: none. */
const dn_object *dn_grid_best(const dn_grid *grid, dn_box box, float *iou);
static inline int dn_object_is_class(const dn_object *o) { return o->box.x > 100000 && o->box.y > 100000; }

/* Gradients g of the row y: pull box n of the cell towards `box`, its classes towards `class`. Without a tree, and if
 * `many`, a second class of the same box joins the first. Returns the box's intersection over union. */
float dn_grid_pull_box(const dn_grid *grid, const float *y, float *g, int n, int cell, dn_box box, float scale);
void dn_grid_pull_class(const dn_grid *grid, const float *y, float *g, int n, int cell, int class, float scale,
                        const dn_tree *tree, int many);
#endif

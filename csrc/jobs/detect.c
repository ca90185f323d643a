/* From detector heads to boxes: decode, undo the letterbox, suppress what overlaps. A box is 5 + classes floats. */
#include "base/sys.h"
#include "layers/box.h"
#include "net/network.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int dn_net_box_classes(const dn_net *net) {
    int most = 0;
    dn_net_lock(net);
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].n_classes > most) most = net->layers[i].n_classes;
    dn_net_unlock(net);
    return most;
}

void dn_letterbox_size(int width, int height, int image_width, int image_height, int *new_width, int *new_height) {
    int64_t w = width, h = height;
    if (image_width < 1) image_width = 1;
    if (image_height < 1) image_height = 1;
    if (w * image_height < h * image_width)
        h = image_height * w / image_width;
    else
        w = image_width * h / image_height;
    *new_width = w > 1 ? (int)w : 1, *new_height = h > 1 ? (int)h : 1;
}

/* Darknet's correction: the picture was centred in the network's input. */
static void detect_correct(const dn_net *net, const dn_box_options *o, float *box) {
    if (o->letterboxed) {
        int w, h;
        dn_letterbox_size(net->width, net->height, o->image_width, o->image_height, &w, &h);
        float part_w = (float)w / (float)net->width, part_h = (float)h / (float)net->height;
        box[0] = (float)(box[0] - (net->width - w) / 2. / net->width) / part_w, box[2] /= part_w;
        box[1] = (float)(box[1] - (net->height - h) / 2. / net->height) / part_h, box[3] /= part_h;
    }
    if (o->relative) return;
    box[0] *= (float)o->image_width, box[2] *= (float)o->image_width;
    box[1] *= (float)o->image_height, box[3] *= (float)o->image_height;
}

/* Set scores up to the threshold to 0; returns whether any remain. */
static int detect_keep(float *box, int classes, float threshold) {
    int keep = box[4] > threshold;
    for (int c = 0; c < classes; c++) {
        if (!(box[5 + c] > threshold)) box[5 + c] = 0;
        keep |= box[5 + c] != 0;
    }
    return keep;
}

/* Decode one box of a layer; *keep: it counts. A NaN score, or a box that counts but whose position is not finite, is
 * an error: the network's outputs cannot be trusted. */
static dn_status detect_box_of(const dn_layer *l, int row, int index, const dn_box_options *o, int classes, float *box,
                               int *keep) {
    for (int c = l->n_classes; c < classes; c++) box[5 + c] = 0;
    l->type->box(l, row, index, o->tree_threshold > 0 ? (float)o->tree_threshold : 0.5f, box);
    int known = !isnan(box[4]), placed = !isnan(box[0]) && !isnan(box[1]) && !isnan(box[2]) && !isnan(box[3]);
    for (int c = 0; c < classes; c++) known &= !isnan(box[5 + c]);
    DN_CHECK(known, DN_E_NUMERIC, "layer %d [%s]: box %d of row %d has a score that is not a number", l->index,
             l->type->name, index, row);
    *keep = detect_keep(box, classes, (float)o->threshold);
    DN_CHECK(!*keep || placed, DN_E_NUMERIC, "layer %d [%s]: box %d of row %d has no place: x=%g y=%g w=%g h=%g",
             l->index, l->type->name, index, row, box[0], box[1], box[2], box[3]);
    return DN_OK;
}

static dn_status detect_check(const dn_net *net, int row, const dn_box_options *o) {
    DN_CHECK(dn_net_box_classes(net), DN_E_USAGE, "the network has no detector head ([yolo], [region], [detection])");
    DN_CHECK(row >= 0 && row < net->plan->run.rows, DN_E_USAGE, "row %d: the last forward had %d", row,
             net->plan->run.rows);
    DN_CHECK(o->threshold >= 0 && o->threshold <= 1, DN_E_USAGE, "threshold=%g is not in 0 to 1", o->threshold);
    DN_CHECK(o->image_width > 0 && o->image_height > 0, DN_E_USAGE, "an image of %d x %d", o->image_width,
             o->image_height);
    DN_CHECK(!o->letterboxed || (net->width > 0 && net->height > 0), DN_E_USAGE,
             "letterboxed, but the network's input is no image");
    return DN_OK;
}

static dn_status detect_boxes(const dn_net *net, int row, const dn_box_options *options, float *boxes, size_t room,
                              size_t *count) {
    *count = 0;
    DN_TRY(detect_check(net, row, options));
    int classes = dn_net_box_classes(net);
    size_t size = 5 + (size_t)classes;
    float *spare = dn_alloc(size, sizeof *spare); /* for boxes that `boxes` has no room for */
    if (!spare) return DN_E_MEMORY;
    dn_status status = DN_OK;
    for (int i = 0; i < net->n_layers && status == DN_OK; i++)
        for (int k = 0, keep = 0; k < net->layers[i].n_boxes && status == DN_OK; k++) {
            float *box = *count < room ? boxes + *count * size : spare;
            status = detect_box_of(&net->plan->layers[i], row, k, options, classes, box, &keep);
            if (status != DN_OK || !keep) continue;
            detect_correct(net, options, box);
            ++*count;
        }
    dn_free(spare);
    return status;
}

dn_status dn_net_boxes(const dn_net *net, int row, const dn_box_options *options, float *boxes, size_t room,
                       size_t *count) {
    DN_EXCLUSIVE(net, detect_boxes(net, row, options, boxes, room, count));
}

/* ---- non-maximum suppression ---- */

typedef struct detect_entry {
    float score;
    size_t index;
} detect_entry;

static int detect_compare(const void *a, const void *b) { /* best first, equal ones in order */
    const detect_entry *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static dn_box detect_box(const float *v) { return (dn_box){v[0], v[1], v[2], v[3]}; }

/* Among the boxes with a value in the column, from the best down, each one suppresses those that overlap it: `width` of
 * their values, from the column on, become 0. */
static void detect_suppress(float *boxes, size_t n, size_t size, size_t column, size_t width, float threshold,
                            detect_entry *order) {
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (boxes[i * size + column] > 0) order[m++] = (detect_entry){boxes[i * size + column], i};
    qsort(order, m, sizeof *order, detect_compare);
    for (size_t i = 0; i < m; i++) {
        const float *best = boxes + order[i].index * size;
        if (best[column] == 0) continue;
        for (size_t j = i + 1; j < m; j++) {
            float *other = boxes + order[j].index * size;
            if (other[column] != 0 && dn_box_iou(detect_box(best), detect_box(other)) > threshold)
                memset(other + column, 0, width * sizeof *other);
        }
    }
}

dn_status dn_boxes_suppress(float *boxes, size_t n, int classes, double threshold, int across_classes) {
    DN_CHECK(classes > 0, DN_E_USAGE, "boxes of %d classes", classes);
    DN_CHECK(threshold >= 0 && threshold <= 1, DN_E_USAGE, "an overlap of %g is not in 0 to 1", threshold);
    size_t size = 5 + (size_t)classes;
    detect_entry *order = dn_alloc(n, sizeof *order);
    if (!order) return DN_E_MEMORY;
    if (across_classes)
        detect_suppress(boxes, n, size, 4, 1 + (size_t)classes, (float)threshold, order);
    else
        for (size_t c = 0; c < (size_t)classes; c++) detect_suppress(boxes, n, size, 5 + c, 1, (float)threshold, order);
    dn_free(order);
    return DN_OK;
}

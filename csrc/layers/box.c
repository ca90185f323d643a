#include "layers/box.h"
#include "base/sys.h"
#include <math.h>
#include <string.h>

static float box_overlap(float x1, float w1, float x2, float w2) {
    float left = fmaxf(x1 - w1 / 2, x2 - w2 / 2), right = fminf(x1 + w1 / 2, x2 + w2 / 2);
    return right - left;
}

float dn_box_iou(dn_box a, dn_box b) {
    float w = box_overlap(a.x, a.w, b.x, b.w), h = box_overlap(a.y, a.h, b.y, b.h);
    float both = w > 0 && h > 0 ? w * h : 0, either = a.w * a.h + b.w * b.h - both;
    return either > 0 ? both / either : 0;
}

float dn_box_rmse(dn_box a, dn_box b) {
    float x = a.x - b.x, y = a.y - b.y, w = a.w - b.w, h = a.h - b.h;
    return sqrtf(x * x + y * y + w * w + h * h);
}

/* ---- the host side of a head ---- */

dn_status dn_detector_plan(dn_layer *l, const dn_run *run, dn_detector *head) {
    size_t n, truths, batch = (size_t)run->batch;
    DN_TRY(dn_size_mul(&n, batch, (size_t)l->outputs));
    DN_TRY(dn_size_mul(&truths, batch, (size_t)l->term.truths));
    float **buffers[] = {&head->output, &head->gradient, &head->down, &head->truth};
    for (int i = 0; i < 4; i++)
        if (!(*buffers[i] = dn_layer_host_buffer(l, i < 3 ? n : truths, sizeof(float)))) return DN_E_MEMORY;
    return dn_layer_buffer(l, &head->device, n);
}

static size_t head_bytes(const dn_layer *l, const dn_run *run) {
    return (size_t)run->rows * l->outputs * sizeof(float);
}

void dn_detector_begin(const dn_layer *l, const dn_run *run, dn_detector *head) {
    run->ops->download(run->pool, head->output, dn_layer_x(l, run), head_bytes(l, run));
    head->active = run->truth != NULL;
    if (!head->active) return;
    run->ops->download(run->pool, head->truth, run->truth, (size_t)run->rows * l->term.truths * sizeof(float));
    memset(head->gradient, 0, head_bytes(l, run));
}

void dn_detector_end(dn_layer *l, const dn_run *run, dn_detector *head) {
    run->ops->upload(run->pool, dn_layer_y(l, run), head->output, head_bytes(l, run));
    if (!head->active) return;
    double sum = 0;
    for (size_t i = 0, n = (size_t)run->rows * l->outputs; i < n; i++)
        sum += (double)head->gradient[i] * head->gradient[i];
    l->term.host += sum;
}

static void head_add(const dn_layer *l, const dn_run *run, dn_detector *head, const float *from, float *to) {
    run->ops->upload(run->pool, head->device, from, head_bytes(l, run));
    run->ops->axpy(run->pool, (size_t)run->rows * l->outputs, 1, head->device, to);
}

dn_status dn_detector_backward(dn_layer *l, const dn_run *run, dn_detector *head, dn_detector_down *down) {
    int behind = dn_layer_at(l, l->index + 1) != NULL;
    if (!head->active) {
        if (!behind) return DN_OK;
        memset(head->gradient, 0, head_bytes(l, run));
    }
    if (l->dx) {
        if (behind)
            run->ops->download(run->pool, head->down, l->delta, head_bytes(l, run));
        else
            memset(head->down, 0, head_bytes(l, run));
        for (size_t row = 0; row < (size_t)run->rows; row++) {
            size_t at = row * l->outputs;
            down(l, head->output + at, head->gradient + at, head->down + at);
        }
        head_add(l, run, head, head->down, l->dx);
    }
    if (head->active) head_add(l, run, head, head->gradient, l->delta);
    return DN_OK;
}

/* ---- activations ---- */

void dn_head_logistic(size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = (float)(1 / (1 + exp(-(double)y[i])));
}

void dn_head_softmax(size_t n, size_t step, float *y) {
    float top = y[0];
    double sum = 0;
    for (size_t i = 1; i < n; i++) top = fmaxf(top, y[i * step]);
    for (size_t i = 0; i < n; i++) sum += y[i * step] = expf(y[i * step] - top);
    for (size_t i = 0; i < n; i++) y[i * step] = (float)(y[i * step] / sum);
}

void dn_head_linear_down(size_t n, const float *g, float *d) {
    for (size_t i = 0; i < n; i++) d[i] += g[i];
}

void dn_head_logistic_down(size_t n, const float *y, const float *g, float *d) {
    for (size_t i = 0; i < n; i++) d[i] = d[i] * y[i] * (1 - y[i]) + g[i];
}

void dn_head_squared_logistic_down(size_t n, const float *y, const float *g, float *d) {
    for (size_t i = 0; i < n; i++) d[i] = (d[i] + g[i]) * y[i] * (1 - y[i]);
}

void dn_head_softmax_down(size_t n, size_t step, const float *y, const float *g, float *d) {
    double dot = 0;
    for (size_t i = 0; i < n; i++) dot += (double)y[i * step] * d[i * step];
    for (size_t i = 0; i < n; i++) d[i * step] = y[i * step] * (d[i * step] - (float)dot) + g[i * step];
}

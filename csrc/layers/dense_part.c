#include "dense_part.h"
#include <math.h>

dn_status dn_dense_plan(dn_layer *l, dn_dense *p, int steps) {
    int dims[2] = {p->outputs, p->inputs};
    p->norm.channels = p->outputs, p->norm.spatial = 1;
    DN_TRY(dn_norm_plan_biases(l, &p->norm));
    DN_TRY(dn_part_tensor(l, p->norm.prefix, "weights", DN_WEIGHT, 0, 2, dims));
    return dn_norm_plan(l, &p->norm, steps);
}

void dn_dense_init(dn_layer *l, dn_dense *p) {
    p->weights = dn_part_find(l, p->norm.prefix, "weights");
    dn_norm_init(l, &p->norm);
    dn_layer_init_uniform(l, p->weights, sqrtf(6.0f / ((float)p->inputs + (float)p->outputs)));
}

void dn_dense_forward(dn_layer *l, dn_dense *p, int step, int rows, const float *x, float *y) {
    const dn_run *run = dn_layer_run(l);
    run->ops->gemm(run->pool, 0, 1, rows, p->outputs, p->inputs, 1, x, p->inputs, p->weights->value, p->inputs, 0, y,
                   p->outputs);
    dn_norm_forward(l, &p->norm, step, rows, y);
}

void dn_dense_backward(dn_layer *l, dn_dense *p, int step, int rows, const float *x, const float *y, float *dy,
                       float *dx) {
    const dn_run *run = dn_layer_run(l);
    dn_norm_backward(l, &p->norm, step, rows, y, dy);
    run->ops->gemm(run->pool, 1, 0, p->outputs, p->inputs, rows, 1, dy, p->outputs, x, p->inputs, 1, p->weights->grad,
                   p->inputs);
    if (dx)
        run->ops->gemm(run->pool, 0, 0, rows, p->inputs, p->outputs, 1, dy, p->outputs, p->weights->value, p->inputs, 1,
                       dx, p->inputs);
}

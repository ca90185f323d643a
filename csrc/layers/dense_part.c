#include "layers/dense_part.h"
#include <math.h>

dn_status dn_dense_tensors(dn_layer *l, dn_dense *p) {
    int dims[2] = {p->outputs, p->inputs};
    p->norm.channels = p->outputs, p->norm.spatial = 1;
    DN_TRY(dn_norm_tensor_biases(l, &p->norm));
    DN_TRY(dn_part_tensor(l, p->norm.prefix, "weights", DN_WEIGHT, 0, 2, dims));
    return dn_norm_tensors(l, &p->norm);
}

dn_status dn_dense_plan(dn_layer *l, const dn_run *run, dn_dense *p, int steps) {
    return dn_norm_plan(l, run, &p->norm, steps);
}

void dn_dense_init(dn_layer *l, dn_dense *p) {
    p->weights = dn_part_find(l, p->norm.prefix, "weights");
    dn_norm_init(l, &p->norm);
    float inputs = (float)p->inputs, outputs = (float)p->outputs;
    dn_layer_init_uniform(l, p->weights, p->he ? sqrtf(2 / inputs) : sqrtf(6 / (inputs + outputs)));
}

static dn_dense_shape dense_shape(const dn_dense *p, int rows) {
    return (dn_dense_shape){rows, p->inputs, p->outputs, p->norm.activation};
}

void dn_dense_forward(const dn_run *run, dn_dense *p, int step, int rows, const float *x, float *y) {
    if (run->ops->dense_forward && !p->norm.on) {
        dn_dense_shape shape = dense_shape(p, rows);
        run->ops->dense_forward(run->pool, &shape, x, p->weights->value, p->norm.biases->value, y);
        return;
    }
    run->ops->gemm(run->pool, 0, 1, rows, p->outputs, p->inputs, 1, x, p->inputs, p->weights->value, p->inputs, 0, y,
                   p->outputs);
    dn_norm_forward(run, &p->norm, step, rows, y);
}

void dn_dense_backward(dn_layer *l, const dn_run *run, dn_dense *p, int step, int rows, const float *x, const float *y,
                       float *dy, float *dx) {
    dn_norm_backward(run, &p->norm, step, rows, y, dy);
    run->ops->gemm(run->pool, 1, 0, p->outputs, p->inputs, rows, 1, dy, p->outputs, x, p->inputs, 1, p->weights->grad,
                   p->inputs);
    if (dx)
        run->ops->gemm(run->pool, 0, 0, rows, p->inputs, p->outputs, 1, dy, p->outputs, p->weights->value, p->inputs,
                       l->sets_dx ? 0 : 1, dx, p->inputs);
}

void dn_dense_train(dn_layer *l, const dn_run *run, dn_dense *p, const dn_fused_loss *loss) {
    const dn_tensor *w = p->weights, *b = p->norm.biases;
    dn_dense_pass pass = {.shape = dense_shape(p, run->rows),
                          .optimizer = &run->optimizer,
                          .step = run->step,
                          .factor = l->learning_rate,
                          .decay = run->decay,
                          .bias_decay = dn_decays(&run->optimizer, DN_BIAS) ? run->decay : 0,
                          .w = w->value,
                          .w_m = w->moment1,
                          .w_v = w->moment2,
                          .b = b->value,
                          .b_m = b->moment1,
                          .b_v = b->moment2,
                          .x = dn_layer_x(l, run),
                          .y = l->output,
                          .dy = l->delta,
                          .dx = l->dx,
                          .set_dx = l->sets_dx,
                          .scratch = run->workspace};
    if (loss) {
        pass.likelihood = loss->likelihood, pass.loss_scale = loss->scale, pass.sum = loss->sum;
        pass.truth = run->truth;
    }
    run->ops->dense_train(run->pool, &pass);
}

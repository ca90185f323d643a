#include "layers/mixture_prior.h"

const char *const dn_prior_names[] = {"normal", "mixture", NULL};

enum { MEANS, LOG_VARIANCES, LOGITS }; /* of the layer's tensors */

dn_status dn_mixture_prior_check(dn_section *s, const dn_mixture_part *p, int limited) {
    if (!p->on && dn_cfg_has(s, "components"))
        return dn_cfg_error(s, "components", "components=%d is about prior=mixture, which is not set", p->components);
    if (p->on && limited)
        return dn_cfg_error(
            s, "prior",
            "prior=mixture with free_bits=, free_bits_total= or capacity=: its KL is estimated from one "
            "draw, and a limit needs the KL itself: leave one out");
    return DN_OK;
}

dn_status dn_mixture_prior_tensors(dn_layer *l, const dn_mixture_part *p) {
    int each[] = {p->components, l->outputs};
    DN_TRY(dn_layer_tensor(l, "prior.means", DN_BIAS, 0, 2, each)); /* DN_BIAS: decay would draw them to 0 */
    DN_TRY(dn_layer_tensor(l, "prior.log_variances", DN_BIAS, 0, 2, each));
    return dn_layer_tensor(l, "prior.logits", DN_BIAS, 0, 1, each);
}

/* Where N(0, 1) has its mass, and each elsewhere: components that are equal would stay so. */
void dn_mixture_prior_init(dn_layer *l) {
    dn_layer_init_normal(l, &l->tensors[MEANS], 1);
    dn_layer_init_fill(l, &l->tensors[LOG_VARIANCES], 0);
    dn_layer_init_fill(l, &l->tensors[LOGITS], 0);
}

static dn_mixture_shape mixture_shape(const dn_layer *l, const dn_mixture_part *p, int rows) {
    return (dn_mixture_shape){(size_t)rows, (size_t)l->outputs, (size_t)p->components};
}

dn_status dn_mixture_prior_plan(dn_layer *l, const dn_run *run, dn_mixture_part *p) {
    dn_mixture_shape shape = mixture_shape(l, p, run->batch);
    return dn_layer_buffer(l, &p->work, dn_mixture_work(&shape) * (sizeof(double) / sizeof(float)));
}

void dn_mixture_prior_forward(dn_layer *l, const dn_run *run, const dn_mixture_part *p, const float *x,
                              const float *eps, float *kl) {
    dn_mixture_shape shape = mixture_shape(l, p, run->rows);
    const dn_tensor *t = l->tensors;
    run->ops->mixture_kl(run->pool, &shape, t[MEANS].value, t[LOG_VARIANCES].value, t[LOGITS].value,
                         run->weights + l->index, x, eps, dn_layer_y(l, run), run->draws ? NULL : dn_layer_sum(l, run),
                         kl, (double *)p->work);
}

dn_status dn_mixture_prior_backward(dn_layer *l, const dn_run *run, const dn_mixture_part *p, const float *x,
                                    const float *eps, float *dx, float *by_z) {
    dn_mixture_shape shape = mixture_shape(l, p, run->rows);
    const dn_tensor *t = l->tensors;
    DN_CHECK(
        eps, DN_E_USAGE,
        "layer %d, [sampling] prior=mixture: after a pass without noise there is no gradient; make a training pass",
        l->index);
    run->ops->mixture_kl_gradient(run->pool, &shape, t[MEANS].value, t[LOG_VARIANCES].value, l->term.scale,
                                  run->weights + l->index, run->row_weights, x, eps, l->output, l->delta,
                                  (const double *)p->work, by_z ? NULL : dx, by_z, t[MEANS].grad, t[LOG_VARIANCES].grad,
                                  t[LOGITS].grad);
    return DN_OK;
}

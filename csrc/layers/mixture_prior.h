/* A mixture of Gaussians as the prior of a sampling layer, trained with the network:
 *
 *   p(z) = sum_k w_k N(z; m_k, exp(b(l_k))),  w = softmax(logits),  diagonal covariances
 *   KL   = log q(z|x) - log p(z) at the z of the pass                          in training, per row
 *
 * which has no closed form, so this is its estimate from one draw (Tomczak and Welling, arXiv:1705.07120, eq. 3). With
 * the mean instead of a draw, outside training, log p(z) is averaged over the 2 Z points mu +- sqrt(Z) sigma_i e_i, the
 * spherical cubature rule (Arasaratnam and Haykin, IEEE Trans. Automatic Control 54, 2009), and log q in closed form: a
 * function of the row alone, and exact for a single component.
 *
 * Tensors: prior.means, prior.log_variances (components, latent), prior.logits (components). */
#ifndef DN_MIXTURE_PRIOR_H
#define DN_MIXTURE_PRIOR_H
#include "net/layer.h"

typedef struct dn_mixture_part {
    int on;         /* the key prior */
    int components; /* the key components */
    float *work;    /* of dn_mixture_work doubles */
} dn_mixture_part;

extern const char *const dn_prior_names[];

#define DN_MIXTURE_KEYS(state, part)                                                    \
    {"prior", DN_KEY_WORD, DN_AT(state, part.on), .words = dn_prior_names,              \
     .help = "normal: N(0, 1); mixture: of Gaussians, trained with the network (new)"}, \
        {"components", DN_KEY_INT,      DN_AT(state, part.components), .fallback = 10,  \
         .low = 1,     .high = 1 << 20, .help = "of the mixture (new)"}

/* Whether the keys agree. limited: the KL counts with free bits or a capacity. */
dn_status dn_mixture_prior_check(dn_section *section, const dn_mixture_part *part, int limited);
dn_status dn_mixture_prior_tensors(dn_layer *layer, const dn_mixture_part *part);
void dn_mixture_prior_init(dn_layer *layer);
dn_status dn_mixture_prior_plan(dn_layer *layer, const dn_run *run, dn_mixture_part *part);
/* x: what stands for the layer's input. eps NULL: z is the mean. kl (rows): set. Passes with draws add nothing to the
 * layer's sum. */
void dn_mixture_prior_forward(dn_layer *layer, const dn_run *run, const dn_mixture_part *part, const float *x,
                              const float *eps, float *kl);
/* by_z NULL: to dx, the gradient by x; else only the gradient of -log p(z) by z, added to by_z. */
dn_status dn_mixture_prior_backward(dn_layer *layer, const dn_run *run, const dn_mixture_part *part, const float *x,
                                    const float *eps, float *dx, float *by_z);
#endif

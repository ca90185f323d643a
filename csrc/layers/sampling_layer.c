/* [sampling]: the reparameterisation of a variational autoencoder (Kingma and Welling, arXiv:1312.6114, eq. 10).
 *
 *   input per row  [ x (Z) | mu (Z) ]         lv = b(x) = log sigma^2: x itself up to 10 in size (latent.h)
 *   z   = mu + exp(lv/2) * eps                training: eps ~ N(0, 1); else z = mu
 *   KL  = 0.5 * sum(exp(lv) + mu^2 - 1 - lv)  latent_loss, per row
 *   dmu = dz + w * mu
 *   dx  = b'(x) (dz * 0.5 * exp(lv/2) * eps + w * 0.5 * (exp(lv) - 1)),   w = s * beta (docs/numerics.md)
 *
 * With another log_variance_limit than 10 the operations get a copy of the input in which it is applied (latent.h).
 *
 * With prior=mixture the KL is that of mixture_prior.h. Where rows have weights, what the KL costs is computed as in
 * forms with a limit.
 *
 * Every layer owns its noise: two of them in one network, or two networks, do not meet. */
#include "layers/mixture_prior.h"
#include "net/latent.h"

typedef struct sampling_state {
    dn_kl_rule rule;
    float *eps;   /* (batch, Z) */
    float *kl;    /* (batch): of each row, outside training, or for a limit */
    float *drawn; /* (batch): ln q(z|x) - ln p(z) of each row, in passes with draws */
    int noisy, given, gradient;
    /* with a limit, or weights of rows */
    float *none;     /* 0, as a weight */
    float *factor;   /* (Z) or (batch): what the gradient of the KL is multiplied by */
    double *columns; /* (Z + 1): the KL of each latent value in this pass, and rows */
    dn_mixture_part mixture;
    /* (batch, 2 Z): the input, and its gradient, as operations see them; NULL: they see the input itself */
    float *limited, *d_limited;
} sampling_state;

static const char *const gradients[] = {"iwae", "dreg", NULL};
static const dn_key sampling_keys[] = {
    {"beta", DN_KEY_FLOAT, DN_AT_LAYER(term.weight), .fallback = 0.5, .range = DN_NOT_NEGATIVE,
     .help = "weight of the latent loss"},
    DN_KL_RULE_KEYS(sampling_state, rule),
    {"samples", DN_KEY_INT, DN_AT_LAYER(draws), .fallback = 1, .low = 1, .high = 1 << 20,
     .help = "draws of a row in training; above 1 it maximises the importance-weighted bound (new)"},
    {"gradient", DN_KEY_WORD, DN_AT(sampling_state, gradient), .words = gradients,
     .help = "of that bound: iwae, or dreg (doubly reparameterised) (new)"},
    DN_MIXTURE_KEYS(sampling_state, mixture),
    {"log_variance_limit", DN_KEY_FLOAT, DN_AT_LAYER(term.variance_limit), .fallback = 10, .range = DN_BOUND_LIMIT,
     .help = "log-variances up to this size count as they are, larger ones are bounded softly; 0.01 to 30 (new)"},
    {0},
};

static dn_status sampling_parse(dn_layer *l, dn_section *s) {
    sampling_state *st = l->state;
    DN_TRY(dn_kl_rule_settle(s, &st->rule));
    l->term.rule = &st->rule;
    if (l->inputs % 2 || l->inputs < 2)
        return dn_cfg_error(s, NULL, "input %d is not even: it must be log-variances then means", l->inputs);
    dn_layer_vector_out(l, l->inputs / 2);
    if (st->rule.form == DN_KL_FREE_COLUMNS) l->term.kl_columns = l->outputs;
    l->doubly = st->gradient;
    if (l->draws > 1 && !dn_cfg_has(s, "beta")) l->term.weight = 1;
    return dn_mixture_prior_check(s, &st->mixture, st->rule.form != DN_KL_PLAIN);
}

static dn_status sampling_tensors(dn_layer *l) {
    const sampling_state *st = l->state;
    return st->mixture.on ? dn_mixture_prior_tensors(l, &st->mixture) : DN_OK;
}

static dn_status sampling_init(dn_layer *l) {
    if (l->n_tensors) dn_mixture_prior_init(l);
    return DN_OK;
}

/* What operations read in place of the layer's input, and add to in place of its gradient. */
static const float *sampling_x(const dn_layer *l, const dn_run *run) {
    const sampling_state *st = l->state;
    return st->limited ? st->limited : dn_layer_x(l, run);
}

/* Is the KL's weighted sum, all rows counting alike, what it adds to the objective? */
static int sampling_plain(const dn_layer *l, const dn_run *run) {
    return ((const sampling_state *)l->state)->rule.form == DN_KL_PLAIN && !run->row_weights;
}

/* The KL as it counts in the objective otherwise: after, and instead of, that sum. */
static void sampling_cost(const dn_layer *l, const dn_run *run) {
    const sampling_state *st = l->state;
    const float *limit = run->limits + l->index, *weight = run->weights + l->index;
    size_t rows = (size_t)run->rows, z = (size_t)l->outputs;
    int columns = st->rule.form == DN_KL_FREE_COLUMNS;
    if (columns && !run->training) { /* of all rows of a job, so it is known when they are done */
        run->ops->kl_columns(run->pool, rows, z, run->row_weights, sampling_x(l, run),
                             run->columns + l->term.kl_columns_at);
        return;
    }
    if (columns) run->ops->fill(run->pool, 2 * (z + 1), 0, (float *)st->columns); /* as floats: 0 has the same bits */
    if (columns) run->ops->kl_columns(run->pool, rows, z, run->row_weights, sampling_x(l, run), st->columns);
    run->ops->kl_cost(run->pool, st->rule.form, columns ? z : rows, weight, limit, run->row_weights,
                      columns ? NULL : st->kl, columns ? st->columns : NULL, st->factor, run->sums + 2 * l->index + 1);
}

static dn_status sampling_plan_limit(dn_layer *l, const dn_run *run) {
    sampling_state *st = l->state;
    size_t z = (size_t)l->outputs, rows = (size_t)run->batch;
    DN_TRY(dn_layer_buffer(l, &st->none, 1));
    DN_TRY(dn_layer_buffer(l, &st->factor, st->rule.form == DN_KL_FREE_COLUMNS ? z : rows));
    if (st->rule.form != DN_KL_FREE_COLUMNS) return DN_OK;
    return dn_layer_buffer(l, (float **)(void *)&st->columns, 2 * (z + 1));
}

static dn_status sampling_plan(dn_layer *l, const dn_run *run) {
    sampling_state *st = l->state;
    DN_TRY(sampling_plan_limit(l, run));
    DN_TRY(dn_layer_buffer(l, &st->kl, (size_t)run->batch));
    if (st->mixture.on) DN_TRY(dn_mixture_prior_plan(l, run, &st->mixture));
    size_t values = (size_t)run->batch * l->outputs;
    if (l->term.variance_limit != DN_LOG_VARIANCE_PLAIN) {
        DN_TRY(dn_layer_buffer(l, &st->limited, 2 * values));
        DN_TRY(dn_layer_training_buffer(l, run, &st->d_limited, 2 * values));
    }
    if (!run->draws) return dn_layer_training_buffer(l, run, &st->eps, values);
    DN_TRY(dn_layer_buffer(l, &st->drawn, (size_t)run->batch));
    return dn_layer_buffer(l, &st->eps, values);
}

/* The noise of a pass with draws outside training: of each row, or of the first row for all. */
static void sampling_row_noise(const dn_layer *l, const dn_run *run, size_t rows, size_t draws, size_t z) {
    const sampling_state *st = l->state;
    uint32_t stream = DN_STREAM_ROWS + (uint32_t)l->index;
    run->ops->row_normals(run->pool, run->step, stream, run->same_draws ? 1 : rows, draws, z, st->eps);
    if (run->same_draws && rows > 1)
        run->ops->repeat_rows(run->pool, 1, rows - 1, draws * z, st->eps, st->eps + draws * z);
}

/* A pass with draws: what is needed of each is in st->drawn and st->kl. */
static void sampling_draw(dn_layer *l, const dn_run *run) {
    sampling_state *st = l->state;
    size_t rows = (size_t)run->rows, z = (size_t)l->outputs, draws = (size_t)run->draws;
    if (!st->given && run->training)
        run->ops->normals(run->pool, run->step, DN_STREAM_LAYER + (uint32_t)l->index, rows * z, st->eps);
    else if (!st->given)
        sampling_row_noise(l, run, rows / draws, draws, z);
    if (st->mixture.on) {
        dn_mixture_prior_forward(l, run, &st->mixture, sampling_x(l, run), st->eps, st->drawn);
        run->ops->fill(run->pool, rows, NAN, st->kl); /* there is no formula for it */
    } else {
        run->ops->draw(run->pool, rows, z, 1, sampling_x(l, run), st->eps, dn_layer_y(l, run), st->drawn, st->kl);
    }
    st->noisy = 1, st->given = 0;
}

static dn_status sampling_forward(dn_layer *l, const dn_run *run) {
    sampling_state *st = l->state;
    size_t n = (size_t)run->rows * l->outputs;
    if (st->limited)
        run->ops->limit_variances(run->pool, (size_t)run->rows, (size_t)l->outputs, (float)l->term.variance_limit,
                                  dn_layer_x(l, run), st->limited);
    if (run->draws) {
        sampling_draw(l, run);
        return DN_OK;
    }
    st->noisy = run->training || st->given;
    if (st->noisy && !st->given)
        run->ops->normals(run->pool, run->step, DN_STREAM_LAYER + (uint32_t)l->index, n, st->eps);
    st->given = 0;
    if (st->mixture.on) {
        dn_mixture_prior_forward(l, run, &st->mixture, sampling_x(l, run), st->noisy ? st->eps : NULL, st->kl);
        if (run->row_weights) sampling_cost(l, run);
        return DN_OK;
    }
    int plain = sampling_plain(l, run);
    int by_row = !run->training || st->rule.form >= DN_KL_FREE_ROWS || run->row_weights;
    run->ops->reparameterise(run->pool, (size_t)run->rows, (size_t)l->outputs,
                             plain ? run->weights + l->index : st->none, sampling_x(l, run), st->noisy ? st->eps : NULL,
                             dn_layer_y(l, run), dn_layer_sum(l, run), by_row ? st->kl : NULL);
    if (!plain) sampling_cost(l, run);
    return DN_OK;
}

/* To dx, the gradient by what operations read; NULL: not wanted. */
static dn_status sampling_gradient(dn_layer *l, const dn_run *run, float *dx) {
    sampling_state *st = l->state;
    int by_z = run->draws && l->doubly; /* the prior's gradient goes the way of the decoder's */
    const float *weight = run->weights + l->index, *x = sampling_x(l, run);
    if (st->mixture.on)
        DN_TRY(
            dn_mixture_prior_backward(l, run, &st->mixture, x, st->noisy ? st->eps : NULL, dx, by_z ? l->delta : NULL));
    if (!dx || (st->mixture.on && !by_z)) return DN_OK;
    size_t rows = (size_t)run->rows, z = (size_t)l->outputs;
    if (run->draws) {
        const dn_draw_gradient of = {
            .scale = (float)l->term.scale, .normal_prior = !st->mixture.on, .doubly = l->doubly};
        run->ops->draw_gradient(run->pool, &of, rows, z, run->row_weights, run->shares, x, st->eps, l->output, l->delta,
                                dx);
        return DN_OK;
    }
    int plain = sampling_plain(l, run);
    run->ops->reparameterise_gradient(run->pool, rows, z, l->term.scale, plain ? weight : st->none, x,
                                      st->noisy ? st->eps : NULL, l->delta, dx);
    if (!plain)
        run->ops->kl_gradient(run->pool, st->rule.form, rows, z, l->term.scale, weight, run->row_weights, x, st->factor,
                              dx);
    return DN_OK;
}

static dn_status sampling_backward(dn_layer *l, const dn_run *run) {
    sampling_state *st = l->state;
    size_t rows = (size_t)run->rows, z = (size_t)l->outputs;
    if (!st->limited || !l->dx) return sampling_gradient(l, run, l->dx);
    run->ops->fill(run->pool, rows * 2 * z, 0, st->d_limited);
    DN_TRY(sampling_gradient(l, run, st->d_limited));
    run->ops->limit_variances_gradient(run->pool, rows, z, (float)l->term.variance_limit, dn_layer_x(l, run),
                                       st->d_limited, l->dx);
    return DN_OK;
}

/* Sets the numbers (rows, Z) that the next forward pass uses, also outside training. */
static dn_status sampling_set_noise(dn_layer *l, const dn_run *run, const float *eps, size_t count) {
    sampling_state *st = l->state;
    DN_TRY(dn_layer_noise_rows(l, count));
    run->ops->upload(run->pool, st->eps, eps, count * sizeof *eps);
    st->given = 1;
    return DN_OK;
}

static void sampling_rows(const dn_layer *l, const dn_run *run, float *loss) {
    run->ops->copy(run->pool, (size_t)run->rows, ((const sampling_state *)l->state)->kl, loss);
}

static void sampling_drawn(const dn_layer *l, const dn_run *run, float *loss) {
    run->ops->copy(run->pool, (size_t)run->rows, ((const sampling_state *)l->state)->drawn, loss);
}

static int sampling_look(const dn_layer *l, int part, dn_term_look *look) {
    int mixture = ((const sampling_state *)l->state)->mixture.on;
    *look = (dn_term_look){
        .formula = mixture ? DN_FORMULA_MIXTURE : DN_FORMULA_KL, .factor = 1, .mixture = mixture ? l->tensors : NULL};
    return part == 0;
}

static const dn_term_type kl_term = {
    .name = DN_LATENT_LOSS, .latent = 1, .rows = sampling_rows, .drawn = sampling_drawn, .look = sampling_look};

const dn_layer_type dn_sampling_layer = {
    .name = "sampling",
    .state_size = sizeof(sampling_state),
    .keys = sampling_keys,
    .parse = sampling_parse,
    .tensors = sampling_tensors,
    .init = sampling_init,
    .plan = sampling_plan,
    .forward = sampling_forward,
    .backward = sampling_backward,
    .set_noise = sampling_set_noise,
    .term = &kl_term,
};

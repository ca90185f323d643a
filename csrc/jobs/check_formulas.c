#include "jobs/check_formulas.h"
#include "jobs/check_net.h"
#include <math.h>

static const double PI = 3.14159265358979323846;

/* ---- what belongs together ---- */

static int unit_of_softmax(const dn_term_look *look, size_t index, dn_unit *unit) {
    const dn_softmax_shape *s = &look->softmax;
    size_t at = look->x_at + index * s->group_step;
    *unit = (dn_unit){.n = s->n, .at = at, .step = s->step, .truths = s->n, .t_at = at, .t_step = s->step};
    return index < s->groups;
}

static int unit_of_head(const dn_term_look *look, size_t index, dn_unit *unit) {
    const dn_head *h = &look->head;
    size_t columns = h->columns, x = look->x_at, t = look->truth_at;
    int categorical = h->likelihood.kind == DN_LOSS_CATEGORICAL;
    if (categorical && !h->classes) { /* one-hot groups */
        size_t n = columns / h->groups;
        *unit = (dn_unit){.n = n, .at = x + index * n, .step = 1, .truths = n, .t_at = t + index * n, .t_step = 1};
        return index < h->groups;
    }
    *unit = (dn_unit){
        .n = 1, .at = x + index, .step = columns, .column = index, .truths = 1, .t_at = t + index, .t_step = 1};
    if (categorical) unit->n = h->classes, unit->at = x + index * h->classes, unit->step = 1;
    if (h->starts && index < columns)
        unit->n = (size_t)(h->starts[index + 1] - h->starts[index]), unit->at = x + (size_t)h->starts[index];
    if (h->spread == DN_SPREAD_VALUE) unit->n = 2;
    return index < columns;
}

int dn_formula_unit(const dn_layer *l, const dn_term_look *look, size_t index, dn_unit *unit) {
    if (look->formula == DN_FORMULA_SOFTMAX) return unit_of_softmax(look, index, unit);
    if (look->formula == DN_FORMULA_HEAD) return unit_of_head(look, index, unit);
    *unit = (dn_unit){.n = 1, .at = index, .step = 1, .truths = 1, .t_at = index, .t_step = 1};
    return look->formula == DN_FORMULA_LOSS && index < (size_t)l->inputs;
}

/* ---- bounds ---- */

static double bounded(double x, double plain, double *slope) {
    double beyond = fabs(x) - plain;
    *slope = beyond > 0 ? 1 / (1 + 2 * beyond) : 1;
    return beyond > 0 ? copysign(plain + 0.5 * log1p(2 * beyond), x) : x;
}

double dn_formula_log_variance(double x, double limit, double *slope) { return bounded(x, limit, slope); }

static double log_mean(double x) {
    double unused;
    return bounded(x, 30, &unused);
}

/* ---- losses of a value ---- */

static double softplus(double x) { return x > 40 ? x + exp(-x) : log1p(exp(x)); } /* ln(1 + e^x) */

static double loss_bernoulli(double x, double t) { return t * softplus(-x) + (1 - t) * softplus(x); }

static double loss_smooth(double d) { return fabs(d) < 1 ? d * d : 2 * fabs(d) - 1; }

/* ln Gamma(x), x > 0: Lanczos's approximation with g = 7 and nine terms, to about 1e-15 */
static double log_gamma(double x) {
    static const double c[] = {0.99999999999980993,  676.5203681218851,     -1259.1392167224028,
                               771.32342877765313,   -176.61502916214059,   12.507343278686905,
                               -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7};
    double z = x - 1, sum = c[0], t = z + 7.5;
    if (x < 0.5) return log(PI / sin(PI * x)) - log_gamma(1 - x);
    for (int i = 1; i < 9; i++) sum += c[i] / (z + i);
    return 0.5 * log(2 * PI) + (z + 0.5) * log(t) - t + log(sum);
}

/* Of the density: -ln p, with sigma (negative binomial: r). */
static double loss_density(const dn_likelihood *of, double x, double t, double sigma) {
    double z = (t - x) / sigma, nu = of->p[1], b = log_mean(x), m = exp(b);
    switch (of->kind) {
    case DN_LOSS_GAUSSIAN: return 0.5 * log(2 * PI * sigma * sigma) + 0.5 * z * z;
    case DN_LOSS_LAPLACE: return log(2 * sigma) + fabs(z);
    case DN_LOSS_STUDENT_T:
        return log_gamma(nu / 2) - log_gamma((nu + 1) / 2) + 0.5 * log(nu * PI) + log(sigma) +
               (nu + 1) / 2 * log1p(z * z / nu);
    case DN_LOSS_POISSON: return m - t * b + log_gamma(t + 1);
    case DN_LOSS_NEGATIVE_BINOMIAL:
        return log_gamma(sigma) + log_gamma(t + 1) - log_gamma(t + sigma) + sigma * log1p(m / sigma) +
               (t > 0 ? t * (log(sigma + m) - b) : 0);
    default: return NAN;
    }
}

static double loss_value(const dn_likelihood *of, double x, double t, double sigma) {
    switch (of->kind) {
    case DN_LOSS_SSE: return (t - x) * (t - x);
    case DN_LOSS_MASKED: return t == (double)DN_MASKED ? 0 : (t - x) * (t - x);
    case DN_LOSS_L1: return fabs(t - x);
    case DN_LOSS_SMOOTH: return loss_smooth(t - x);
    case DN_LOSS_BCE: return loss_bernoulli(x, t);
    case DN_LOSS_BERNOULLI: return isnan(t) ? 0 : loss_bernoulli(x, t);
    default: return isnan(t) ? 0 : loss_density(of, x, t, sigma);
    }
}

int dn_formula_kink(const dn_term_look *look, double x, double truth) {
    double d = fabs(truth - x), near = 4e-3 * fmax(1, fabs(x));
    dn_loss kind = look->head.likelihood.kind;
    if (look->formula == DN_FORMULA_SOFTMAX) return 0;
    if (kind == DN_LOSS_L1 || kind == DN_LOSS_LAPLACE) return d < near;
    return kind == DN_LOSS_SMOOTH && fabs(d - 1) < near;
}

/* ---- losses of a distribution ---- */

/* ln of the sum of e^(x / T) */
static double log_sum(size_t n, const double *x, double temperature) {
    double most = x[0], sum = 0;
    for (size_t i = 0; i < n; i++)
        if (x[i] > most) most = x[i];
    for (size_t i = 0; i < n; i++) sum += exp((x[i] - most) / temperature);
    return most / temperature + log(sum);
}

/* -sum of t ln p; a missing value makes all of it missing */
static double loss_classes(size_t n, const double *x, const double *t, double temperature) {
    double whole = log_sum(n, x, temperature), loss = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(t[i]) || t[i] == (double)DN_MASKED) return 0;
        loss += t[i] * (whole - x[i] / temperature);
    }
    return loss;
}

static double loss_code(size_t n, const double *x, double code) {
    return isnan(code) ? 0 : log_sum(n, x, 1) - x[(size_t)code];
}

/* ---- of any unit ---- */

/* sigma, or r of the negative binomial. */
static double head_scale(const dn_term_look *look, const dn_unit *unit, const double *x) {
    const dn_head *h = &look->head;
    double unused, learned;
    if (h->spread == DN_SPREAD_FIXED || look->formula != DN_FORMULA_HEAD) return h->likelihood.p[0];
    learned = h->spread == DN_SPREAD_VALUE
                  ? x[1]
                  : look->spreads[look->spread_at + (h->spread == DN_SPREAD_ONE ? 0 : unit->column)];
    double b = dn_formula_log_variance(learned, h->likelihood.p[2] > 0 ? h->likelihood.p[2] : 10, &unused);
    return exp(h->likelihood.kind == DN_LOSS_NEGATIVE_BINOMIAL ? b : b / 2);
}

double dn_formula_loss(const dn_term_look *look, const dn_unit *unit, const double *x, const double *truth,
                       double *size) {
    const dn_head *h = &look->head;
    double loss;
    if (look->formula == DN_FORMULA_SOFTMAX)
        loss = loss_classes(unit->n, x, truth, look->temperature);
    else if (h->likelihood.kind == DN_LOSS_CATEGORICAL)
        loss = h->classes ? loss_code(unit->n, x, truth[0]) : loss_classes(unit->n, x, truth, 1);
    else
        loss = loss_value(&h->likelihood, x[0], truth[0], head_scale(look, unit, x));
    *size = fabs(loss) + (look->formula == DN_FORMULA_HEAD ? 1 : 0.01); /* constants may cancel the rest */
    return loss;
}

double dn_formula_row(const dn_layer *l, const float *spreads, const float *x, const float *truth, double *work,
                      double *size) {
    dn_term_look look;
    dn_unit u;
    double loss = 0, *t = work + l->inputs;
    *size = 0;
    for (int part = 0; l->term.type->look(l, part, &look); part++) {
        look.spreads = spreads;
        for (size_t i = 0; dn_formula_unit(l, &look, i, &u); i++) {
            double one;
            for (size_t k = 0; k < u.n; k++) work[k] = x[u.at + k * u.step];
            for (size_t k = 0; k < u.truths; k++) t[k] = truth[u.t_at + k * u.t_step];
            loss += dn_formula_loss(&look, &u, work, t, &one), *size += one;
        }
    }
    return loss;
}

double dn_formula_s(const dn_term_look *look) {
    dn_loss kind = look->head.likelihood.kind;
    if (look->formula != DN_FORMULA_LOSS) return 1;
    return kind == DN_LOSS_SSE || kind == DN_LOSS_MASKED || kind == DN_LOSS_SMOOTH ? 0.5 : 1;
}

/* ---- the latent space ---- */

double dn_formula_kl(double lv, double limit, double mu) {
    double unused, b = dn_formula_log_variance(lv, limit, &unused);
    return -0.5 * (1 + b - mu * mu - exp(b));
}

/* ln N(z; mean, exp(b)) */
static double log_normal(double z, double mean, double b) {
    double d = z - mean;
    return -0.5 * (log(2 * PI) + b + d * d / exp(b));
}

static double log_prior(const dn_formula_prior *p, const double *z) {
    double most = -INFINITY, sum = 0, shares = 0, unused, log_p = 0;
    for (size_t i = 0; i < p->n; i++) log_p += log_normal(z[i], 0, 0);
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < p->components; k++) {
            double one = p->logits[k];
            for (size_t i = k * p->n; i < (k + 1) * p->n; i++)
                one += log_normal(z[i % p->n], p->means[i], dn_formula_log_variance(p->log_variances[i], 10, &unused));
            if (pass) sum += exp(one - most), shares += exp((double)p->logits[k]);
            if (!pass && one > most) most = one;
        }
    return p->components ? most + log(sum) - log(shares) : log_p;
}

double dn_formula_log_ratio(const dn_formula_prior *p, double limit, const float *x, const double *z, double *size) {
    const double rounding = 6e-8; /* of float32 */
    double log_q = 0, log_p = log_prior(p, z), unused;
    *size = 1;
    for (size_t i = 0; i < p->n; i++) {
        double b = dn_formula_log_variance(x[i], limit, &unused), mean = x[i + p->n], one = log_normal(z[i], mean, b);
        double eps = fabs(z[i] - mean) / exp(b / 2), off = rounding * (fabs(z[i]) + fabs(mean)) / exp(b / 2);
        log_q += one, *size += fabs(one) + z[i] * z[i] + eps * off / DN_CHECK_SUM;
    }
    *size += fabs(log_p);
    return log_q - log_p;
}

double dn_formula_row_kl(const dn_formula_prior *p, double limit, const float *x, double *z, double *size) {
    double kl = 0, log_p = 0, entropy = 0, unused;
    *size = 0.01;
    for (size_t i = 0; i < p->n; i++) {
        double one = dn_formula_kl(x[i], limit, x[i + p->n]), b = dn_formula_log_variance(x[i], limit, &unused);
        kl += one, *size += fabs(one) + 0.01, z[i] = x[i + p->n], entropy += 0.5 * (log(2 * PI) + 1 + b);
    }
    if (!p->components) return kl;
    for (size_t i = 0; i < 2 * p->n; i++) {
        double b = dn_formula_log_variance(x[i / 2], limit, &unused), far = sqrt((double)p->n) * exp(b / 2);
        z[i / 2] += i % 2 ? far : -far;
        log_p += log_prior(p, z) / (double)(2 * p->n);
        z[i / 2] = x[i / 2 + p->n];
    }
    *size += fabs(entropy) + fabs(log_p);
    return -entropy - log_p;
}

double dn_formula_kl_cost(const dn_term *term, size_t rows, size_t n, const double *kl, const float *weights,
                          const double *columns) {
    dn_kl_form form = term->rule ? term->rule->form : DN_KL_PLAIN;
    double limit = term->rule ? term->rule->limit : 0, cost = 0, count = 0, by_column = 0;
    for (size_t r = 0; r < rows; r++) {
        double one = form == DN_KL_CAPACITY ? fabs(kl[r] - limit) : form == DN_KL_PLAIN ? kl[r] : fmax(kl[r], limit);
        cost += weights[r] * one, count += weights[r];
    }
    for (size_t i = 0; i < n; i++) by_column += fmax(columns[i], count * limit);
    return form == DN_KL_FREE_COLUMNS ? by_column : cost;
}

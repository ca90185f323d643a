/* The likelihoods of [cost]: what their keys say. */
#include "layers/cost.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const spread_words[] = {"learned", "column", "value", "optimal", NULL};
static const dn_spread spreads[] = {DN_SPREAD_ONE, DN_SPREAD_COLUMN, DN_SPREAD_VALUE, DN_SPREAD_ONE};
enum { OPTIMAL = 3 };

/* `sigma` or `dispersion`: a number above 0, or where the number comes from. */
static dn_status likelihood_spread(dn_layer *l, dn_section *s, const char *key, const char *text) {
    dn_cost *st = l->state;
    int is_gaussian = st->own.head.likelihood.kind == DN_LOSS_GAUSSIAN && !dn_cost_is_columns(l), word = 0;
    double number;
    dn_like like;
    while (spread_words[word] && strcmp(text, spread_words[word])) word++;
    if (spread_words[word] && (word != OPTIMAL || is_gaussian)) {
        st->own.head.spread = spreads[word], st->optimal = word == OPTIMAL;
        return DN_OK;
    }
    if (spread_words[word])
        return dn_cfg_error(s, key, "%s=optimal is for type=gaussian; %s takes a number, learned, column or value", key,
                            dn_cost_type_name(l));
    char *end;
    double read = strtod(text, &end);
    if (end == text || *end)
        return dn_cfg_error(s, key, "%s=%.60s is not a number, learned, column%s value%s", key, text,
                            is_gaussian ? ", optimal or" : " or", dn_cfg_like(&like, text, spread_words));
    if (!(read > 0 && read < INFINITY)) return dn_cfg_error(s, key, "%s=%.60s is not a number above 0", key, text);
    DN_TRY(dn_cfg_float(s, key, 1, &number));
    if (number < 1e-15 || number > 1e15) /* its square and that of its inverse, times errors, are float32 */
        return dn_cfg_error(s, key, "%s=%.60s is not in 1e-15 to 1e15", key, text);
    st->own.head.likelihood.p[0] = (float)number;
    return DN_OK;
}

static int likelihood_has_sigma(dn_loss kind) {
    return kind == DN_LOSS_GAUSSIAN || kind == DN_LOSS_LAPLACE || kind == DN_LOSS_STUDENT_T;
}

void dn_cost_warn_of_idle_keys(dn_layer *l, dn_section *s) {
    dn_loss kind = ((const dn_cost *)l->state)->own.head.likelihood.kind;
    const struct {
        const char *key, *types;
        int used;
    } keys[] = {{"sigma", "gaussian, laplace, student_t and columns", likelihood_has_sigma(kind)},
                {"log_variance_limit", "gaussian, laplace, student_t, negative_binomial and columns",
                 likelihood_has_sigma(kind) || kind == DN_LOSS_NEGATIVE_BINOMIAL},
                {"nu", "student_t", kind == DN_LOSS_STUDENT_T},
                {"dispersion", "negative_binomial", kind == DN_LOSS_NEGATIVE_BINOMIAL},
                {"classes", "categorical", kind == DN_LOSS_CATEGORICAL},
                {"groups", "categorical", kind == DN_LOSS_CATEGORICAL},
                {"numbers", "columns", dn_cost_is_columns(l)}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!keys[i].used && dn_cfg_has(s, keys[i].key))
            dn_cfg_warn(l->net->cfg, "%s:%d: %s= has no effect with type=%s: it belongs to %s", s->cfg->path,
                        dn_cfg_line(s, keys[i].key), keys[i].key, dn_cost_type_name(l), keys[i].types);
}

static void likelihood_limit(dn_layer *l, dn_section *s) {
    dn_cost *st = l->state;
    const char *key = "log_variance_limit";
    if (st->own.head.spread != DN_SPREAD_FIXED && !st->optimal)
        st->own.head.likelihood.p[2] = (float)st->variance_limit;
    else if (dn_cfg_has(s, key))
        dn_cfg_warn(l->net->cfg, "%s:%d: %s= has no effect without %s=learned, column or value", s->cfg->path,
                    dn_cfg_line(s, key), key,
                    st->own.head.likelihood.kind == DN_LOSS_NEGATIVE_BINOMIAL ? "dispersion" : "sigma");
}

static dn_status likelihood_parameters(dn_layer *l, dn_section *s) {
    dn_cost *st = l->state;
    dn_loss kind = st->own.head.likelihood.kind;
    st->own.head.likelihood.p[0] = 1;
    const char *sigma = dn_cost_is_columns(l) && !*st->sigma ? "column" : st->sigma;
    if (likelihood_has_sigma(kind) && *sigma) DN_TRY(likelihood_spread(l, s, "sigma", sigma));
    if (kind == DN_LOSS_NEGATIVE_BINOMIAL)
        DN_TRY(likelihood_spread(l, s, "dispersion", *st->dispersion ? st->dispersion : "column"));
    likelihood_limit(l, s);
    if (kind == DN_LOSS_STUDENT_T) {
        if (st->nu < 1e-3 || st->nu > 1e6)
            return dn_cfg_error(s, "nu", "nu=%g is not in 0.001 to 1e6%s", st->nu,
                                st->nu > 1 ? ", beyond which it is type=gaussian" : "");
        st->own.head.likelihood.p[1] = (float)st->nu;
    }
    if (kind != DN_LOSS_CATEGORICAL) return DN_OK;
    if (st->classes == 1) return dn_cfg_error(s, "classes", "classes=1 leaves nothing to predict: 2 or more");
    if (st->classes && dn_cfg_has(s, "groups"))
        return dn_cfg_error(s, "groups",
                            "classes= and groups= contradict: with classes= every column is a code, with groups= the "
                            "columns are one-hot groups");
    st->own.head.classes = (size_t)st->classes, st->own.head.groups = st->classes ? 0 : (size_t)st->groups;
    return DN_OK;
}

/* columns=a or a-b, counted from 0, both included. */
static dn_status likelihood_columns(dn_layer *l, dn_section *s) {
    dn_cost *st = l->state;
    const char *text = st->columns, *dash = NULL;
    char *end;
    if (!*text) return DN_OK;
    st->has_columns = 1;
    if (*text < '0' || *text > '9')
        return dn_cfg_error(s, "columns", "columns=%.60s is not a range of columns, such as 0-7 or 3", text);
    unsigned long long from = strtoull(text, &end, 10), to = from;
    while (*end == ' ' || *end == '\t') end++;
    if (*end == '-') {
        dash = end + 1;
        while (*dash == ' ' || *dash == '\t') dash++;
        int digit = *dash >= '0' && *dash <= '9';
        to = strtoull(dash, &end, 10);
        if (!digit) end = (char *)dash - 1;
    }
    if (*end) return dn_cfg_error(s, "columns", "columns=%.60s is not a range of columns, such as 0-7 or 3", text);
    if (to < from)
        return dn_cfg_error(s, "columns", "columns=%.60s ends before it begins: the smaller number comes first", text);
    if (to >= INT_MAX) return dn_cfg_error(s, "columns", "columns=%.60s is beyond %d columns", text, INT_MAX);
    st->own.first = (size_t)from, st->own.head.columns = (size_t)(to - from + 1);
    return DN_OK;
}

static void likelihood_warn(dn_layer *l, dn_section *s) {
    const dn_cost *st = l->state;
    switch (st->own.head.likelihood.kind) {
    case DN_LOSS_BERNOULLI:
    case DN_LOSS_CATEGORICAL:
        dn_cost_want_unbounded(l, s, "logits, any numbers, and makes probabilities of them itself");
        return;
    case DN_LOSS_POISSON:
    case DN_LOSS_NEGATIVE_BINOMIAL:
        dn_cost_want_unbounded(l, s, "logarithms of means, any numbers, and makes means of them itself");
        return;
    default: break;
    }
    if (st->own.head.spread == DN_SPREAD_VALUE)
        dn_cost_want_unbounded(l, s, "log-variances, any numbers, besides means");
}

/* Its place among the heads that share an input. */
static dn_status likelihood_join(dn_layer *l, dn_section *s) {
    const dn_layer *before = dn_layer_at(l, l->index - 1);
    if (!before) return DN_OK;
    if (dn_cost_is_head(before)) {
        l->shared = before->shared + 1;
        l->reads_from = before->reads_from;
        l->inputs = before->inputs;
        l->height = before->height, l->width = before->width, l->channels = before->channels;
        return DN_OK;
    }
    if (before->term.truths && !before->term.type->only)
        return dn_cfg_error(s, "type", "type=%s after [%s], which has a loss of its own: leave one of them out",
                            dn_cost_type_name(l), before->type->name);
    if (before->type == l->type)
        return dn_cfg_error(s, "type",
                            "type=%s after type=%s: [cost] layers that share an output must all be likelihoods, "
                            "such as gaussian in place of sse, or bernoulli in place of bce",
                            dn_cost_type_name(l), dn_cost_type_name(before));
    return DN_OK;
}

dn_status dn_likelihood_parse(dn_layer *l, dn_section *s) {
    double scale = ((const dn_cost *)l->state)->scale;
    if (scale < 0)
        return dn_cfg_error(s, "scale", "scale=%g is below 0: training would make the data less likely; 0 or more",
                            scale);
    DN_TRY(likelihood_join(l, s));
    DN_TRY(likelihood_parameters(l, s));
    DN_TRY(dn_cost_is_columns(l) ? dn_likelihood_columns_parse(l, s) : likelihood_columns(l, s));
    likelihood_warn(l, s);
    l->outputs = 1; /* until it is settled */
    return DN_OK;
}

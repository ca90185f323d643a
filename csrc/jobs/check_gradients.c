/* Gradients against central differences of the objective. A difference with step h is wrong by O(h^2), by the kinks
 * that lie within the step, and by the objective's rounding / h. So steps become smaller, and of all of them that one
 * counts whose doubt is least: its distance from the one before (after Ridders 1982), half of what remains between the
 * slopes to both sides as h goes to 0, which a kink at the very place leaves, and rounding, which is measured. What a
 * step moves is computed in float32, so the gradient is multiplied with the values' true change.
 *
 * A gradient is suspect if smaller steps, down to where rounding hides it, say so too, and wrong if it is suspect again
 * and again with other biases and other noise: kinks are elsewhere then. */
#include "base/sys.h"
#include "jobs/check_net.h"
#include <float.h>
#include <math.h>
#include <stdio.h>

enum { LADDER = 12, NOISE_TRIES = 4, TRIES = 4 };
static const double SHRINK = 4, TOLERANCE = 1e-2;

/* What is moved: `count` values within `total` that are in the backend's memory. */
typedef struct target {
    const dn_layer *layer;
    const char *what;
    int first;                    /* the layer from which a pass is repeated */
    float *device, *base, *moved; /* (total): the values; copies on the host */
    const float *gradient;        /* (total) */
    size_t total, offset, width, step, count;
    double unit;  /* size of a value: root of the mean square */
    double most;  /* the largest gradient */
    double here;  /* objective without any move */
    double noise; /* of the objective, by rounding */
} target;

static size_t target_place(const target *t, size_t i) { return t->offset + i / t->width * t->step + i % t->width; }

/* A direction: value `one` alone, or (total) numbers u. */
typedef struct direction {
    size_t one;
    const float *u;
    double slope;  /* of the objective along it, by the gradient */
    double length; /* the first step */
    double scale;  /* errors are relative to this at least */
} direction;

/* Objective after a step of h, less what the gradient predicts for it. */
static dn_status target_try(dn_checker *c, const target *t, const direction *d, double h, double *rest) {
    const dn_net *net = c->net;
    double predicted = 0, objective;
    if (!d->u) {
        float value = (float)(t->base[d->one] + h);
        predicted = (double)t->gradient[d->one] * ((double)value - t->base[d->one]);
        net->ops->upload(net->pool, t->device + d->one, &value, sizeof value);
    } else {
        for (size_t i = 0; i < t->total; i++) {
            t->moved[i] = (float)(t->base[i] + h * d->u[i]);
            predicted += (double)t->gradient[i] * ((double)t->moved[i] - t->base[i]);
        }
        net->ops->upload(net->pool, t->device, t->moved, t->total * sizeof *t->moved);
    }
    DN_TRY(dn_checker_forward(c, t->first, &objective));
    *rest = objective - t->here - predicted;
    return DN_OK;
}

static void target_back(dn_checker *c, const target *t, const direction *d) {
    const dn_net *net = c->net;
    if (d->u)
        net->ops->upload(net->pool, t->device, t->base, t->total * sizeof *t->base);
    else
        net->ops->upload(net->pool, t->device + d->one, t->base + d->one, sizeof *t->base);
}

/* The gradient's error along a direction, how far to trust it, and what of it smaller steps confirm. */
typedef struct slope {
    double error, doubt, confirmed;
} slope;

static double slope_scale(const direction *d, const slope *s) {
    return fmax(fmax(fabs(d->slope), isfinite(s->error) ? fabs(d->slope + s->error) : 0), d->scale);
}

static dn_status target_slope(dn_checker *c, const target *t, const direction *d, slope *best) {
    double h = d->length, central, sides, before = NAN, sides_before = NAN;
    *best = (slope){NAN, INFINITY, INFINITY};
    for (int k = 0; k < LADDER; k++, h /= SHRINK, before = central, sides_before = sides) {
        double up, down, rounding = 2 * t->noise / h, limit = TOLERANCE * slope_scale(d, best);
        if (k > 1 && rounding > limit && best->doubt < 3 * limit) break;
        DN_TRY(target_try(c, t, d, h, &up));
        DN_TRY(target_try(c, t, d, -h, &down));
        central = (up - down) / (2 * h), sides = (up + down) / h;
        if (!k) continue;
        double kink = (SHRINK * sides - sides_before) / (SHRINK - 1);
        double change = fabs(central - before), doubt = change + fabs(kink) / 2 + rounding;
        /* Steps far across a saturated activation see a bounded rise / h, which is small, but grows as h shrinks. */
        int settled = change <= rounding || change <= 0.1 * fabs(d->slope + central);
        if (settled && doubt < best->doubt) *best = (slope){central, doubt, fmax(fabs(central) - doubt, 0)};
        best->confirmed = fmin(best->confirmed, fmax(fabs(central) - rounding, 0));
        if (best->doubt < 0.1 * limit && best->confirmed < limit) break;
    }
    target_back(c, t, d);
    return DN_OK;
}

/* What has failed: a target's value, or a direction. */
typedef enum probe_kind { PROBE_VALUE, PROBE_RANDOM, PROBE_ALONG } probe_kind;
typedef struct suspect {
    int target, line; /* numbers: of the target, and of its line in the result */
    probe_kind kind;
    size_t at; /* of PROBE_VALUE */
    double error, found, expected;
    int cleared;
} suspect;

typedef struct suspects {
    suspect *list;
    int n, room;
    int target; /* the current one's number */
} suspects;

static dn_status suspects_add(suspects *s, suspect one) {
    if (s->n == s->room) {
        int room = 2 * s->room + 16;
        suspect *list = dn_realloc(s->list, (size_t)room, sizeof *list);
        if (!list) return DN_E_MEMORY;
        s->list = list, s->room = room;
    }
    s->list[s->n++] = one;
    return DN_OK;
}

/* Compare along a direction. *measured: 0: lost in rounding, or at a kink. */
static dn_status target_compare(dn_checker *c, const target *t, const direction *d, suspect *out, int *measured) {
    slope s;
    DN_TRY(target_slope(c, t, d, &s));
    double numeric = d->slope + s.error, scale = slope_scale(d, &s);
    out->error = isfinite(numeric) ? s.confirmed / scale : INFINITY;
    out->found = d->slope, out->expected = numeric;
    *measured = !isfinite(numeric) || s.doubt <= 3 * TOLERANCE * scale;
    return DN_OK;
}

/* ---- rounding ---- */

/* The rounding of an objective that adds up as many float32 losses as there are values of truth. */
static double objective_rounding(const dn_checker *c, double objective) {
    double losses = (double)c->rows.n * (c->net->truths > 0 ? c->net->truths : 1);
    return 0.5 * FLT_EPSILON * fabs(objective) / sqrt(losses);
}

/* The largest change of the objective by moves that are too small to change it: rounding. Where large values absorb
 * small moves nothing changes, and yet more is rounded off. */
static dn_status target_noise(dn_checker *c, target *t, float *u) {
    t->noise = objective_rounding(c, t->here);
    for (int k = 0; k < NOISE_TRIES; k++) {
        for (size_t i = 0; i < t->count; i++) u[target_place(t, i)] = (float)dn_checker_normal(c);
        direction d = {.u = u};
        double rest;
        DN_TRY(target_try(c, t, &d, 1e-6 * t->unit, &rest));
        target_back(c, t, &d);
        if (fabs(rest) > t->noise || !isfinite(rest)) t->noise = fabs(rest);
    }
    t->noise += 1e-14 * fabs(t->here);
    return DN_OK;
}

/* ---- directions ---- */

/* Set u, and the slope along it. `along`: its values go with the gradient's, so that the slope is large. */
static direction target_direction(dn_checker *c, const target *t, int along, float *u) {
    direction d = {.u = u};
    double length = 0, squares = 0;
    for (size_t i = 0; i < t->count; i++) {
        size_t at = target_place(t, i);
        u[at] = (float)(along ? (0.5 + dn_checker_random(c)) * t->gradient[at] / t->most : dn_checker_normal(c));
        length += (double)u[at] * u[at], squares += (double)t->gradient[at] * t->gradient[at];
    }
    length = sqrt(length);
    for (size_t i = 0; i < t->count; i++) {
        size_t at = target_place(t, i);
        u[at] = (float)(u[at] / length);
        d.slope += (double)t->gradient[at] * u[at];
    }
    d.length = 0.2 * t->unit * sqrt((double)t->count);
    d.scale = along ? 0 : sqrt(squares / (double)t->count);
    return d;
}

/* Where to compare a single value; `largest`: one with a large gradient, which is easier to measure. */
static size_t target_sample(dn_checker *c, const target *t, int largest) {
    size_t at = target_place(t, (size_t)(dn_checker_random(c) * (double)t->count)), tries = largest ? 64 : 0;
    for (; tries; tries--) {
        size_t other = target_place(t, (size_t)(dn_checker_random(c) * (double)t->count));
        if (fabsf(t->gradient[other]) > fabsf(t->gradient[at])) at = other;
    }
    return at;
}

static direction target_value(const target *t, size_t at) {
    double length = 0.5 * fmax(t->unit, fabs(t->base[at]));
    return (direction){.one = at, .slope = t->gradient[at], .length = length, .scale = 0.02 * t->most};
}

static void target_measure(target *t) {
    double squares = 0;
    t->most = 0;
    for (size_t i = 0; i < t->count; i++) {
        size_t at = target_place(t, i);
        double g = fabs(t->gradient[at]);
        squares += (double)t->base[at] * t->base[at];
        if (g > t->most || isnan(g)) t->most = g;
    }
    t->unit = fmax(sqrt(squares / (double)t->count), 0.02);
}

/* Compare a value or a direction for the first time: into the line, or among the suspects. */
static dn_status target_probe(dn_checker *c, const target *t, const direction *d, suspect one, dn_check_line *line,
                              suspects *s) {
    int measured;
    one.target = s->target, one.line = c->out->n, one.at = d->one;
    DN_TRY(target_compare(c, t, d, &one, &measured));
    if (!measured) return DN_OK;
    if (!(one.error <= TOLERANCE)) return suspects_add(s, one);
    if (!line->values || one.error > line->error)
        line->error = one.error, line->found = one.found, line->expected = one.expected;
    line->values++;
    return DN_OK;
}

static dn_status target_first(dn_checker *c, target *t, float *u, suspects *s) {
    dn_check_line line = {.against = "differences", .tolerance = TOLERANCE, .ok = 1};
    snprintf(line.what, sizeof line.what, "%s", t->what);
    for (probe_kind kind = t->most > 0 && isfinite(t->most) ? PROBE_ALONG : PROBE_RANDOM; kind; kind--) {
        if (c->whole && kind != PROBE_ALONG) break;
        direction d = target_direction(c, t, kind == PROBE_ALONG, u);
        DN_TRY(target_probe(c, t, &d, (suspect){.kind = kind}, &line, s));
    }
    size_t values = t->count < (size_t)c->samples ? t->count : (size_t)c->samples;
    for (size_t i = 0; i < values; i++) {
        direction d = target_value(t, target_sample(c, t, i % 2 == 0));
        DN_TRY(target_probe(c, t, &d, (suspect){.kind = PROBE_VALUE}, &line, s));
    }
    return dn_checker_add(c, t->layer, line);
}

/* Once more, in another place of the parameters: a suspect that passes, or cannot be compared, was none. */
static dn_status target_again(dn_checker *c, const target *t, float *u, suspects *s) {
    for (int i = 0; i < s->n; i++) {
        suspect *one = &s->list[i], now = {0};
        int measured;
        if (one->target != s->target || one->cleared) continue;
        direction d = one->kind ? target_direction(c, t, one->kind == PROBE_ALONG, u) : target_value(t, one->at);
        DN_TRY(target_compare(c, t, &d, &now, &measured));
        if (!measured || now.error <= TOLERANCE) one->cleared = 1;
    }
    return DN_OK;
}

static dn_status target_probes(dn_checker *c, target *t, float *u, int again, suspects *s) {
    target_measure(t);
    DN_TRY(dn_checker_forward(c, t->first, &t->here));
    DN_TRY(target_noise(c, t, u));
    return again ? target_again(c, t, u, s) : target_first(c, t, u, s);
}

static int suspects_of_target(const suspects *s) {
    int n = 0;
    for (int i = 0; i < s->n; i++) n += s->list[i].target == s->target && !s->list[i].cleared;
    return n;
}

static dn_status target_check(dn_checker *c, target *t, int again, suspects *s) {
    const dn_net *net = c->net;
    s->target++;
    if (!t->count || (again && !suspects_of_target(s))) return DN_OK;
    float *floats = dn_alloc(3 * t->total, sizeof *floats);
    if (!floats) return DN_E_MEMORY;
    t->base = floats, t->moved = floats + t->total;
    net->ops->download(net->pool, t->base, t->device, t->total * sizeof *t->base);
    dn_status status = target_probes(c, t, floats + 2 * t->total, again, s);
    dn_free(floats);
    return status;
}

/* ---- what is compared ---- */

static target target_whole(const dn_layer *l, const char *what, float *device, const float *gradient, size_t count) {
    return (target){.layer = l,
                    .what = what,
                    .first = l->index,
                    .device = device,
                    .gradient = gradient,
                    .total = count,
                    .width = count,
                    .step = count,
                    .count = count};
}

static dn_status gradients_of_tensors(dn_checker *c, const dn_layer *l, int again, suspects *s) {
    for (int k = 0; k < l->n_tensors; k++) {
        const dn_tensor *tensor = &l->tensors[k];
        if (tensor->kind == DN_STATISTIC) continue;
        target t = target_whole(l, tensor->name, tensor->value, c->grads + tensor->offset, tensor->count);
        DN_TRY(target_check(c, &t, again, s));
    }
    return DN_OK;
}

/* A sampling layer's input is [log-variance | mean]. */
static dn_status gradients_of_input(dn_checker *c, const dn_layer *l, int again, suspects *s) {
    static const char *const halves[] = {"input: log-variance", "input: mean"};
    size_t rows = c->rows.n, inputs = (size_t)l->inputs;
    if (c->whole || !c->inputs[l->index] || !l->dx) return DN_OK;
    int parts = l->term.type && l->term.type->latent ? 2 : 1;
    for (int k = 0; k < parts; k++) {
        target t = target_whole(l, parts == 2 ? halves[k] : "input", dn_checker_input(c, l), c->inputs[l->index],
                                rows * inputs);
        t.width = inputs / (size_t)parts, t.step = inputs, t.offset = (size_t)k * t.width, t.count = rows * t.width;
        DN_TRY(target_check(c, &t, again, s));
    }
    return DN_OK;
}

static dn_status gradients_of_layers(dn_checker *c, int again, suspects *s) {
    double objective;
    s->target = 0;
    for (int i = c->from; i < c->net->n_layers; i++) {
        const dn_layer *l = &c->plan->layers[i];
        DN_TRY(gradients_of_tensors(c, l, again, s));
        DN_TRY(gradients_of_input(c, l, again, s));
        DN_TRY(dn_checker_forward(c, i, &objective)); /* what a move has changed */
    }
    return DN_OK;
}

/* What has failed every time is wrong. */
static int suspects_left(const suspects *s) {
    int n = 0;
    for (int i = 0; i < s->n; i++) n += !s->list[i].cleared;
    return n;
}

static void suspects_settle(dn_checker *c, const suspects *s) {
    for (int i = 0; i < s->n; i++) {
        const suspect *one = &s->list[i];
        dn_check_line *line = &c->out->lines[one->line];
        if (one->cleared) continue;
        c->out->n_failed += line->ok != 0;
        if (line->ok || !(one->error <= line->error))
            line->error = one->error, line->found = one->found, line->expected = one->expected;
        line->ok = 0, line->values++;
    }
}

dn_status dn_checker_gradients(dn_checker *c) {
    suspects s = {0};
    dn_status status = dn_checker_pass(c);
    if (status == DN_OK) status = gradients_of_layers(c, 0, &s);
    for (int again = 1; again < TRIES && status == DN_OK && suspects_left(&s); again++) {
        status = dn_checker_move(c);
        if (status == DN_OK) status = dn_checker_pass(c);
        if (status == DN_OK) status = gradients_of_layers(c, again, &s);
    }
    if (status == DN_OK) suspects_settle(c, &s);
    dn_free(s.list);
    return status == DN_OK ? dn_checker_pass(c) : status;
}

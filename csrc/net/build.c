/* From the cfg to layers: the [net] section, then section by section. */
#include "base/sys.h"
#include "io/foreign.h"
#include "net/coded.h"
#include "net/network_parts.h"
#include <float.h>
#include <limits.h>
#include <string.h>

/* ---- [net] ---- */

/* What the keys of [net] set. */
typedef struct net_keys {
    int batch, subdivisions, time_steps, height, width, channels, inputs, adam, optimizer, bits, early_stopping;
    double momentum, decay, b1, b2, eps, clip_norm, ema, data_scale, noise, holdout;
    const char *label_column, *row_weight, *bn_epsilon;
    dn_schedule rate;
} net_keys;

static const char *const optimizers[] = {"sgd", "adam", "adamw", NULL};
static const char *const bits[] = {"none", "dynamic", "static", NULL}; /* dn_bits */

const dn_key dn_net_keys[] = {
    {"batch", DN_KEY_INT, DN_AT(net_keys, batch), .fallback = 1, .low = 1, .high = 1 << 24, .help = "rows per update"},
    {"subdivisions", DN_KEY_INT, DN_AT(net_keys, subdivisions), .fallback = 1, .low = 1, .high = 1 << 24,
     .help = "passes per batch; divides `batch`"},
    {"time_steps", DN_KEY_INT, DN_AT(net_keys, time_steps), .fallback = 1, .low = 1, .high = 1 << 20,
     .help = "steps of recurrent networks"},
    {"height", DN_KEY_INT, DN_AT(net_keys, height), .high = 1 << 20, .help = "the input as an image"},
    {"width", DN_KEY_INT, DN_AT(net_keys, width), .high = 1 << 20},
    {"channels", DN_KEY_INT, DN_AT(net_keys, channels), .high = 1 << 20},
    {"inputs", DN_KEY_INT, DN_AT(net_keys, inputs), .fallback = -1, .high = INT_MAX, .help = "values per row",
     .shown_fallback = "height x width x channels; number of [columns]"},
    {"learning_rate", DN_KEY_FLOAT, DN_AT(net_keys, rate.value), .fallback = 0.001, .range = DN_NOT_NEGATIVE,
     .help = ""},
    {"momentum", DN_KEY_FLOAT, DN_AT(net_keys, momentum), .fallback = 0.9, .range = DN_FROM_0_BELOW_1,
     .help = "of SGD"},
    {"decay", DN_KEY_FLOAT, DN_AT(net_keys, decay), .fallback = 0.0001, .range = DN_NOT_NEGATIVE,
     .help = "of weights; with adam=1 of biases too", .shown_fallback = "0.0001; adamw: 0.01"},
    {"optimizer", DN_KEY_WORD, DN_AT(net_keys, optimizer), .words = optimizers,
     .help = "sgd (with momentum), adam, adamw (Adam with decoupled decay); all of the mean gradient (new)"},
    {"adam", DN_KEY_FLAG, DN_AT(net_keys, adam),
     .help = "Adam by Darknet's recipe: of the gradient's sum over the batch"},
    {"B1", DN_KEY_FLOAT, DN_AT(net_keys, b1), .fallback = 0.9, .range = DN_FROM_0_BELOW_1, .help = "of Adam"},
    {"B2", DN_KEY_FLOAT, DN_AT(net_keys, b2), .fallback = 0.999, .range = DN_FROM_0_BELOW_1},
    {"eps", DN_KEY_FLOAT, DN_AT(net_keys, eps), .fallback = 1e-7, .range = DN_ABOVE_ZERO,
     .help = "of Adam, added to the root of the second moment", .shown_fallback = "1e-7; with `optimizer` 1e-8"},
    {"clip_norm", DN_KEY_FLOAT, DN_AT(net_keys, clip_norm), .range = DN_NOT_NEGATIVE,
     .help = "largest norm of the mean gradient, over all parameters; a longer one is scaled down; 0: no limit (new)"},
    {"ema", DN_KEY_FLOAT, DN_AT(net_keys, ema), .range = DN_FROM_0_BELOW_1,
     .help = "decay of the parameters' moving average, which jobs and weights files then use; 0: none (new)"},
    {"max_batches", DN_KEY_INT64, DN_AT(net_keys, rate.max_batches), .high = INT64_MAX,
     .help = "updates after which training ends, unless epochs are given; length of poly and cosine"},
    {"holdout", DN_KEY_FLOAT, DN_AT(net_keys, holdout), .range = DN_FROM_0_BELOW_1,
     .help = "fraction of the rows that training holds out to evaluate on, unless it is told otherwise (new)"},
    {"early_stopping", DN_KEY_INT, DN_AT(net_keys, early_stopping), .high = INT_MAX,
     .help =
         "with rows held out: the epochs without a lower loss of those after which training ends and keeps the best "
         "(new)"},
    {"policy", DN_KEY_WORD, DN_AT(net_keys, rate.policy), .words = dn_policy_names,
     .help = "constant, step, steps, exp, poly, sigmoid, random, cosine, plateau"},
    {"burn_in", DN_KEY_INT64, DN_AT(net_keys, rate.burn_in), .high = INT64_MAX,
     .help = "warm-up in batches: the rate rises as (n / burn_in)^power"},
    {"power", DN_KEY_FLOAT, DN_AT(net_keys, rate.power), .fallback = 4, .help = "of burn_in, poly, random"},
    {"step", DN_KEY_INT64, DN_AT(net_keys, rate.step), .fallback = 1, .low = 1, .high = INT64_MAX,
     .help = "step: every so many batches times `scale`; sigmoid: its middle"},
    {"scale", DN_KEY_FLOAT, DN_AT(net_keys, rate.scale), .fallback = 1, .help = "factor of step"},
    {"steps", DN_KEY_INTS, DN_AT_LIST(net_keys, rate.steps, rate.n_steps),
     .help = "steps: from batch `steps[i]` on times `scales[i]`"},
    {"scales", DN_KEY_FLOATS, DN_AT_LIST(net_keys, rate.scales, rate.n_scales)},
    {"gamma", DN_KEY_FLOAT, DN_AT(net_keys, rate.gamma), .fallback = 1, .help = "of exp and sigmoid"},
    {"final_fraction", DN_KEY_FLOAT, DN_AT(net_keys, rate.final_fraction), .range = DN_NOT_NEGATIVE,
     .help = "of cosine: the last rate as a fraction of the first (new)"},
    {"patience", DN_KEY_INT64, DN_AT(net_keys, rate.patience), .fallback = 10, .high = INT64_MAX,
     .help = "of plateau: epochs without a better loss to tolerate before the rate is lowered (new)"},
    {"factor", DN_KEY_FLOAT, DN_AT(net_keys, rate.factor), .fallback = 0.1, .range = DN_FROM_0_BELOW_1,
     .help = "of plateau: what the rate is multiplied by (new)"},
    {"threshold", DN_KEY_FLOAT, DN_AT(net_keys, rate.threshold), .fallback = 1e-4, .range = DN_FROM_0_BELOW_1,
     .help = "of plateau: a better loss is lower by more than this fraction of it (new)"},
    {"min_rate", DN_KEY_FLOAT, DN_AT(net_keys, rate.least), .range = DN_NOT_NEGATIVE,
     .help = "of plateau: the lowest rate (new)"},
    {"data_scale", DN_KEY_FLOAT, DN_AT(net_keys, data_scale), .fallback = 1,
     .help = "values of a CSV are divided by it (new)"},
    {"binarize", DN_KEY_WORD, DN_AT(net_keys, bits), .words = bits,
     .help =
         "rows of 0 to 1 become bits, drawn with the values as probabilities: dynamic, at every visit, or static, once "
         "(new)"},
    {"noise", DN_KEY_FLOAT, DN_AT(net_keys, noise), .range = DN_NOT_NEGATIVE,
     .help = "standard deviation of normal noise that training adds to its inputs, not to the truth (new)"},
    {"label_column", DN_KEY_TEXT, DN_AT(net_keys, label_column), .shown_type = "name, index",
     .help = "a column of the CSV that is not data, when it is there: the classes of a softmax or logistic loss (new)"},
    {"row_weight", DN_KEY_TEXT, DN_AT(net_keys, row_weight), .shown_type = "name, index",
     .help = "a column of the CSV that is not data, when it is there: how much each row counts in training and "
             "evaluation (new)"},
    {"bn_epsilon", DN_KEY_TEXT, DN_AT(net_keys, bn_epsilon), .shown_type = "float, `legacy`", .shown_fallback = "1e-5",
     .help = "of batch normalisation (new)"},
    {"clip", DN_KEY_UNUSED_WARN, .help = "taken without effect, as on Darknet's CPU, with a warning"},
    {"notruth", DN_KEY_UNUSED, .help = "taken without effect: Darknet's image trainers"},
    {"random", DN_KEY_UNUSED, .fallback = 0},
    {"max_crop", DN_KEY_UNUSED, .fallback = 0},
    {"min_crop", DN_KEY_UNUSED, .fallback = 0},
    {"max_ratio", DN_KEY_UNUSED, .fallback = 0},
    {"min_ratio", DN_KEY_UNUSED, .fallback = 0},
    {"center", DN_KEY_UNUSED, .fallback = 0},
    {"angle", DN_KEY_UNUSED, .fallback = 0},
    {"aspect", DN_KEY_UNUSED, .fallback = 0},
    {"saturation", DN_KEY_UNUSED, .fallback = 0},
    {"exposure", DN_KEY_UNUSED, .fallback = 0},
    {"hue", DN_KEY_UNUSED, .fallback = 0},
    {0},
};

static dn_status net_settle_batch(dn_net *net, dn_section *s, const net_keys *k, int rows) {
    if (k->batch % k->subdivisions)
        return dn_cfg_error(s, "subdivisions", "batch=%d is not a multiple of subdivisions=%d", k->batch,
                            k->subdivisions);
    if ((int64_t)(k->batch / k->subdivisions) * k->time_steps > INT_MAX)
        return dn_cfg_error(s, "batch", "batch=%d with time_steps=%d is too large", k->batch, k->time_steps);
    net->subdivisions = k->subdivisions, net->settings.time_steps = k->time_steps;
    net->settings.batch = rows ? rows : k->batch / k->subdivisions * k->time_steps;
    DN_CHECK(net->settings.batch % net->settings.time_steps == 0, DN_E_USAGE,
             "%s: %d rows in one pass are not whole sequences of time_steps=%d", net->cfg->path, rows,
             net->settings.time_steps);
    return DN_OK;
}

static dn_status net_settle_inputs(dn_net *net, dn_section *s, const net_keys *k, dn_net_size size) {
    net->height = size.height ? size.height : k->height;
    net->width = size.width ? size.width : k->width;
    net->channels = k->channels;
    size_t image;
    DN_TRY(dn_layer_size(s, &image, (size_t)net->height, (size_t)net->width, (size_t)net->channels, 1));
    if (image > INT_MAX) return dn_cfg_error(s, "height", "an image of %zu values is too large", image);
    net->inputs = size.height || size.width || k->inputs < 0 ? (int)image : k->inputs;
    dn_section *first = net->cfg->n_sections > 1 ? &net->cfg->sections[1] : NULL;
    if (!image && k->inputs < 0 && first && !strcmp(first->name, "columns")) {
        net->inputs = dn_coded_count(first);
        if (!net->inputs)
            return dn_cfg_error(first, NULL, "kinds= is missing, which says what each column of a row is");
    }
    if (!net->inputs) return dn_cfg_error(s, NULL, "no inputs: give inputs= or height=, width= and channels=");
    return DN_OK;
}

static dn_status net_settle_optimizer(dn_net *net, dn_section *s, const net_keys *k) {
    static const dn_rule rules[] = {DN_SGD, DN_ADAM, DN_ADAMW};
    dn_optimizer *o = &net->settings.optimizer;
    *o = (dn_optimizer){.momentum = (float)k->momentum, .eps = (float)k->eps, .b1 = k->b1, .b2 = k->b2};
    int named = dn_cfg_has(s, "optimizer");
    if (named && k->adam && rules[k->optimizer] != DN_ADAM)
        return dn_cfg_error(s, "adam", "adam=1 contradicts optimizer=%s: leave one of them out, or set adam=0",
                            optimizers[k->optimizer]);
    o->rule = k->adam && !named ? DN_ADAM_OF_SUM : rules[k->optimizer];
    if (named && !dn_cfg_has(s, "eps")) o->eps = 1e-8f;
    if (k->decay > FLT_MAX) return dn_cfg_error(s, "decay", "decay=%g is beyond float32", k->decay);
    net->settings.decay = o->rule == DN_ADAMW && !dn_cfg_has(s, "decay") ? 0.01f : (float)k->decay;
    if (k->clip_norm > FLT_MAX) return dn_cfg_error(s, "clip_norm", "clip_norm=%g is beyond float32", k->clip_norm);
    net->clip_norm = (float)k->clip_norm, net->ema = k->ema;
    return DN_OK;
}

static dn_status net_settle_bn_epsilon(dn_net *net, dn_section *s, const char *text) {
    static const char *const words[] = {"legacy", NULL};
    double eps;
    dn_like like;
    if (!strcmp(text, "legacy")) {
        net->settings.bn_eps = -1;
        return DN_OK;
    }
    if (dn_cfg_float(s, "bn_epsilon", 1e-5, &eps) != DN_OK)
        return dn_cfg_error(s, "bn_epsilon", "bn_epsilon=%s is not a number or legacy%s", text,
                            dn_cfg_like(&like, text, words));
    if (eps <= 0) return dn_cfg_error(s, "bn_epsilon", "bn_epsilon=%g is not above 0", eps);
    net->settings.bn_eps = (float)eps;
    return DN_OK;
}

dn_status dn_net_parse_header(dn_net *net, dn_net_size size) {
    static const char *const known[] = {"net", "network", NULL};
    dn_like like;
    net_keys k = {0};
    dn_section *s = &net->cfg->sections[0];
    if (strcmp(s->name, "net") && strcmp(s->name, "network"))
        return dn_cfg_error(s, NULL, "the first section must be [net]%s", dn_cfg_like(&like, s->name, known));
    DN_TRY(dn_foreign_check(net->cfg, s, "net"));
    dn_status status = dn_keys_read(s, dn_net_keys, &k, NULL);
    net->schedule = k.rate; /* the network frees its lists, also after an error */
    if (status != DN_OK) return status;
    DN_TRY(net_settle_batch(net, s, &k, size.batch));
    DN_TRY(net_settle_inputs(net, s, &k, size));
    DN_TRY(net_settle_optimizer(net, s, &k));
    DN_TRY(net_settle_bn_epsilon(net, s, k.bn_epsilon));
    if (k.data_scale == 0) return dn_cfg_error(s, "data_scale", "data_scale=0 cannot divide");
    net->data_scale = k.data_scale, net->label_column = k.label_column, net->row_weight = k.row_weight;
    if (k.noise > FLT_MAX) return dn_cfg_error(s, "noise", "noise=%g is beyond float32", k.noise);
    net->bits = (dn_bits)k.bits, net->noise = (float)k.noise;
    net->holdout = k.holdout, net->early_stopping = k.early_stopping;
    DN_TRY(dn_schedule_check(s, dn_net_keys, offsetof(net_keys, rate), &k.rate));
    return dn_cfg_report_unread(net->cfg, s);
}

/* ---- layers ---- */

/* What the keys of every layer set, except those that go directly into the layer. */
typedef struct common_keys {
    const char *name;
    double learning_rate;
} common_keys;

const dn_key dn_every_layer_keys[] = {
    {"name", DN_KEY_TEXT, DN_AT(common_keys, name), .help = "shown, and `layer.name` in Python"},
    {"learning_rate", DN_KEY_FLOAT, DN_AT(common_keys, learning_rate), .fallback = 1,
     .help = "factor of the network's"},
    {"stopbackward", DN_KEY_FLAG, DN_AT_LAYER(stop_backward), .help = "the backward pass ends above this layer"},
    {"dontload", DN_KEY_FLAG, DN_AT_LAYER(dont_load), .help = "not read from, not written to weights files"},
    {"dontsave", DN_KEY_FLAG, DN_AT_LAYER(dont_save)},
    {"dontloadscales", DN_KEY_FLAG, DN_AT_LAYER(dont_load_scales),
     .help = "the file has no batch normalisation for it: [connected], [convolutional], [deconvolutional]"},
    {"numload", DN_KEY_INT, DN_AT_LAYER(n_load), .high = INT_MAX,
     .help = "only so many filters are in the file: [convolutional]"},
    {"truth", DN_KEY_UNUSED_WARN, .help = "taken without effect, with a warning"},
    {"onlyforward", DN_KEY_UNUSED_WARN, .fallback = 0},
    {"smooth", DN_KEY_UNUSED_WARN, .fallback = 0},
    {0},
};

static dn_status layer_parse_common(dn_layer *l, dn_section *s) {
    common_keys k;
    DN_TRY(dn_keys_read(s, dn_every_layer_keys, &k, l));
    if (k.learning_rate < 0 || k.learning_rate > FLT_MAX)
        return dn_cfg_error(s, "learning_rate", "learning_rate=%g is %s: it is a factor of the network's",
                            k.learning_rate, k.learning_rate < 0 ? "below 0" : "beyond float32");
    l->learning_rate = (float)k.learning_rate;
    strncpy(l->name, k.name, sizeof l->name - 1);
    return DN_OK;
}

/* The sampling layer, or, if there are as many outputs as inputs or the outputs stand for the columns of the inputs,
 * the narrowest layer after which nothing reads what comes before it. */
static int net_find_latent(const dn_net *net) {
    int same = net->outputs == net->inputs || (net->columns && net->truths == net->inputs);
    if (net->sampling_layer >= 0 || !same) return net->sampling_layer;
    int narrowest = -1;
    for (int i = 0; i < net->output_layer; i++) {
        int open = 1, least = narrowest < 0 ? net->inputs : net->layers[narrowest].outputs;
        for (int j = i + 1; j <= net->output_layer && open; j++) open = net->layers[j].reads_from >= i;
        if (open && net->layers[i].outputs < least) narrowest = i;
    }
    return narrowest;
}

/* How the terms relate to each other. The network's s is that of the first likelihood with a scale, and training
 * minimises s times the reported total. */
static void net_settle_terms(dn_net *net) {
    double s = 0;
    int likelihoods = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dn_term *term = &net->layers[i].term;
        if (!term->type || term->type->latent) continue;
        likelihoods++;
        if (s == 0) s = term->scale;
    }
    if (!(s > 0)) s = 1;
    for (int i = 0; i < net->n_layers; i++) {
        dn_term *term = &net->layers[i].term;
        if (term->type && term->type->latent) term->scale = s;
        term->share = likelihoods == 1 ? 1 : term->scale / s;
    }
    const dn_layer *after = net->output_layer + 1 < net->n_layers ? &net->layers[net->output_layer + 1] : NULL;
    int gives_mean = after && after->term.type && after->term.type->mean;
    net->likelihood = gives_mean ? after->index : -1;
    net->data_columns = gives_mean ? after->term.truths : net->outputs;
    net->logits = gives_mean && after->term.truth_kind == DN_TRUTH_BINARY;
}

/* The consequences of a layer's term for the network. */
static dn_status net_take_term(dn_net *net, dn_layer *l, dn_section *s) {
    dn_term *term = &l->term;
    if (term->kl_columns) term->kl_columns_at = (int)net->n_columns, net->n_columns += (size_t)term->kl_columns + 1;
    if (net->sampling_layer < 0 && term->type->latent) net->sampling_layer = l->index;
    if (!term->truths) return DN_OK;
    if (net->truths && term->truths != net->truths)
        return dn_cfg_error(s, NULL, "reads %d values of truth, an earlier layer %d: all must read the same",
                            term->truths, net->truths);
    net->truths = term->truths;
    if (term->truth_kind > net->truth_kind) net->truth_kind = term->truth_kind;
    return DN_OK;
}

dn_status dn_net_parse_layers(dn_net *net) {
    int h = net->height, w = net->width, c = net->channels, inputs = net->inputs;
    size_t image = (size_t)h * w * c;
    if (image != (size_t)inputs) h = w = c = 0;
    int n = net->cfg->n_sections - 1;
    if (!n) return dn_cfg_error(&net->cfg->sections[0], NULL, "the network has no layers");
    net->layers = dn_alloc(n, sizeof *net->layers);
    if (!net->layers) return DN_E_MEMORY;
    net->n_columns = 0;
    net->sampling_layer = net->latent_layer = net->output_layer = net->last_stopped = -1;
    for (int i = 0; i < n; i++) {
        dn_section *s = &net->cfg->sections[i + 1];
        dn_layer *l = &net->layers[i];
        l->net = net, l->index = i, l->reads_from = i - 1, l->line = s->line;
        l->type = dn_layer_type_find(s->name);
        net->n_layers = i + 1; /* so that destroy sees it */
        if (!l->type) return dn_layer_type_unknown(s);
        l->term = (dn_term){.type = l->type->term, .weight = 1};
        DN_TRY(dn_foreign_check(net->cfg, s, l->type->name));
        l->inputs = inputs, l->height = h, l->width = w, l->channels = c;
        if (l->type->state_size && !(l->state = dn_alloc(1, l->type->state_size))) return DN_E_MEMORY;
        DN_TRY(layer_parse_common(l, s));
        if (l->type->keys) DN_TRY(dn_keys_read(s, l->type->keys, l->state, l));
        DN_TRY(l->type->parse(l, s));
        if (dn_layer_source(l) >= 0) dn_layer_reads(l, dn_layer_source(l));
        DN_TRY(dn_cfg_report_unread(net->cfg, s));
        if (l->outputs <= 0) return dn_cfg_error(s, NULL, "its output would have %d values", l->outputs);
        inputs = l->outputs, h = l->out_height, w = l->out_width, c = l->out_channels;
        net->recurrent |= l->type->recurrent;
        if (!l->term.type || !l->term.type->only) net->output_layer = i;
    }
    if (net->bits && net->recurrent)
        return dn_cfg_error(&net->cfg->sections[0], "binarize", "binarize=%s is for rows, not for sequences of them",
                            bits[net->bits]);
    for (int i = 0; i < n; i++)
        if (net->layers[i].type->settle)
            DN_TRY(net->layers[i].type->settle(&net->layers[i], &net->cfg->sections[i + 1]));
    for (int i = 0; i < n; i++)
        if (net->layers[i].term.type) DN_TRY(net_take_term(net, &net->layers[i], &net->cfg->sections[i + 1]));
    for (int i = 0; i < n; i++)
        if (net->layers[i].stop_backward) net->last_stopped = i;
    for (int i = net->last_stopped < 0 ? 1 : net->last_stopped + 1; i < n; i++)
        net->layers[i].sets_dx = net->layers[i].type->can_set_dx && net->layers[i - 1].n_readers == 1;
    if (net->output_layer < 0) return dn_cfg_error(&net->cfg->sections[1], NULL, "the network has only cost layers");
    net->outputs = net->layers[net->output_layer].outputs;
    net->latent_layer = net_find_latent(net);
    net_settle_terms(net);
    return DN_OK;
}

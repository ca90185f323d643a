/* From the cfg to layers: the [net] section, then section by section. */
#include "base/sys.h"
#include "io/foreign.h"
#include "net/network_parts.h"
#include <float.h>
#include <limits.h>
#include <string.h>

static dn_status net_parse_batch(dn_net *net, dn_section *s, int rows) {
    int batch;
    DN_TRY(dn_cfg_int(s, "batch", 1, 1, 1 << 24, &batch));
    DN_TRY(dn_cfg_int(s, "subdivisions", 1, 1, 1 << 24, &net->subdivisions));
    DN_TRY(dn_cfg_int(s, "time_steps", 1, 1, 1 << 20, &net->run.time_steps));
    if (batch % net->subdivisions)
        return dn_cfg_error(s, "subdivisions", "batch=%d is not a multiple of subdivisions=%d", batch, net->subdivisions);
    if ((int64_t)(batch / net->subdivisions) * net->run.time_steps > INT_MAX)
        return dn_cfg_error(s, "batch", "batch=%d with time_steps=%d is too large", batch, net->run.time_steps);
    net->run.batch = rows ? rows : batch / net->subdivisions * net->run.time_steps;
    DN_CHECK(net->run.batch % net->run.time_steps == 0, DN_E_USAGE,
             "%s: %d rows in one pass are not whole sequences of time_steps=%d", net->cfg->path, rows,
             net->run.time_steps);
    return DN_OK;
}

static dn_status net_parse_optimizer(dn_net *net, dn_section *s) {
    double momentum, eps;
    DN_TRY(dn_cfg_float(s, "momentum", 0.9, &momentum));
    DN_TRY(dn_cfg_float(s, "decay", 0.0001, &net->decay));
    DN_TRY(dn_cfg_int(s, "adam", 0, 0, 1, &net->run.optimizer.adam));
    DN_TRY(dn_cfg_float(s, "B1", 0.9, &net->b1));
    DN_TRY(dn_cfg_float(s, "B2", 0.999, &net->b2));
    DN_TRY(dn_cfg_float(s, "eps", 1e-7, &eps));
    const struct {
        const char *key;
        double value;
    } parts[] = {{"momentum", momentum}, {"B1", net->b1}, {"B2", net->b2}};
    for (int i = 0; i < 3; i++)
        if (!(parts[i].value >= 0 && parts[i].value < 1))
            return dn_cfg_error(s, parts[i].key, "%s=%g is not in [0, 1)", parts[i].key, parts[i].value);
    if (eps <= 0) return dn_cfg_error(s, "eps", "eps=%g is not above 0", eps);
    if (net->decay < 0 || net->decay > FLT_MAX)
        return dn_cfg_error(s, "decay", "decay=%g is %s", net->decay, net->decay < 0 ? "below 0" : "beyond float32");
    net->run.decay = (float)net->decay;
    net->run.optimizer.momentum = (float)momentum, net->run.optimizer.eps = (float)eps;
    net->run.optimizer.b1 = (float)net->b1, net->run.optimizer.b2 = (float)net->b2;
    return DN_OK;
}

static dn_status net_parse_rate(dn_net *net, dn_section *s) {
    static const dn_schedule_keys keys = {.value = "learning_rate", .policy = "policy", .burn_in = "burn_in",
                                          .power = "power", .scale = "scale", .gamma = "gamma", .step = "step",
                                          .max_batches = "max_batches", .steps = "steps", .scales = "scales"};
    static const dn_schedule fallback = {.value = 0.001, .power = 4, .scale = 1, .gamma = 1, .step = 1};
    return dn_schedule_parse(s, &keys, &fallback, &net->schedule);
}

dn_status dn_net_parse_header(dn_net *net, dn_net_size size) {
    static const char *const known[] = {"net", "network", NULL}, *const epsilons[] = {"legacy", NULL};
    dn_like like;
    dn_section *s = &net->cfg->sections[0];
    if (strcmp(s->name, "net") && strcmp(s->name, "network"))
        return dn_cfg_error(s, NULL, "the first section must be [net]%s", dn_cfg_like(&like, s->name, known));
    double unused;
    DN_TRY(dn_foreign_check(net->cfg, s, "net"));
    DN_TRY(net_parse_batch(net, s, size.batch));
    DN_TRY(dn_cfg_int(s, "height", 0, 0, 1 << 20, &net->height));
    DN_TRY(dn_cfg_int(s, "width", 0, 0, 1 << 20, &net->width));
    DN_TRY(dn_cfg_int(s, "channels", 0, 0, 1 << 20, &net->channels));
    int resized = size.height || size.width;
    if (size.height) net->height = size.height;
    if (size.width) net->width = size.width;
    size_t image;
    DN_TRY(dn_layer_size(s, &image, (size_t)net->height, (size_t)net->width, (size_t)net->channels, 1));
    if (image > INT_MAX) return dn_cfg_error(s, "height", "an image of %zu values is too large", image);
    DN_TRY(dn_cfg_int(s, "inputs", (int)image, 0, INT_MAX, &net->inputs));
    if (resized) net->inputs = (int)image;
    if (!net->inputs) return dn_cfg_error(s, NULL, "no inputs: give inputs= or height=, width= and channels=");
    double eps;
    DN_TRY(net_parse_optimizer(net, s));
    DN_TRY(dn_cfg_float(s, "data_scale", 1, &net->data_scale));
    if (net->data_scale == 0) return dn_cfg_error(s, "data_scale", "data_scale=0 cannot divide");
    net->label_column = dn_cfg_string(s, "label_column", "");
    net->run.bn_eps = 1e-5f;
    const char *bn_epsilon = dn_cfg_string(s, "bn_epsilon", "");
    if (!strcmp(bn_epsilon, "legacy")) {
        net->run.bn_eps = -1;
    } else {
        if (dn_cfg_float(s, "bn_epsilon", 1e-5, &eps) != DN_OK)
            return dn_cfg_error(s, "bn_epsilon", "bn_epsilon=%s is not a number or legacy%s", bn_epsilon,
                                dn_cfg_like(&like, bn_epsilon, epsilons));
        if (eps <= 0) return dn_cfg_error(s, "bn_epsilon", "bn_epsilon=%g is not above 0", eps);
        net->run.bn_eps = (float)eps;
    }
    DN_TRY(net_parse_rate(net, s));
    static const char *const others[] = {"notruth", "random", "max_crop", "min_crop", "max_ratio", "min_ratio", "center",
                                         "angle", "aspect", "saturation", "exposure", "hue"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) /* read by Darknet's image trainers only */
        DN_TRY(dn_cfg_float(s, others[i], 0, &unused));
    DN_TRY(dn_cfg_no_effect(net->cfg, s, "clip", 0));
    dn_cfg_report_unread(net->cfg, s);
    return DN_OK;
}

static dn_status layer_parse_common(dn_layer *l, dn_section *s) {
    double rate;
    DN_TRY(dn_cfg_float(s, "learning_rate", 1, &rate));
    if (rate < 0 || rate > FLT_MAX)
        return dn_cfg_error(s, "learning_rate", "learning_rate=%g is %s: it is a factor of the network's", rate,
                            rate < 0 ? "below 0" : "beyond float32");
    l->learning_rate = (float)rate;
    DN_TRY(dn_cfg_int(s, "stopbackward", 0, 0, 1, &l->stop_backward));
    DN_TRY(dn_cfg_int(s, "dontsave", 0, 0, 1, &l->dont_save));
    DN_TRY(dn_cfg_int(s, "dontload", 0, 0, 1, &l->dont_load));
    DN_TRY(dn_cfg_int(s, "dontloadscales", 0, 0, 1, &l->dont_load_scales));
    DN_TRY(dn_cfg_int(s, "numload", 0, 0, INT_MAX, &l->n_load));
    static const char *const others[] = {"truth", "onlyforward", "smooth"};
    for (int i = 0; i < 3; i++) DN_TRY(dn_cfg_no_effect(l->net->cfg, s, others[i], 0));
    strncpy(l->name, dn_cfg_string(s, "name", ""), sizeof l->name - 1);
    return DN_OK;
}

/* The sampling layer; else, when the outputs are as many as the inputs, the narrowest layer behind which nothing reads what
 * lies before it. */
static int net_find_latent(const dn_net *net) {
    if (net->sampling_layer >= 0 || net->outputs != net->inputs) return net->sampling_layer;
    int narrowest = -1;
    for (int i = 0; i < net->output_layer; i++) {
        int open = 1, least = narrowest < 0 ? net->inputs : net->layers[narrowest].outputs;
        for (int j = i + 1; j <= net->output_layer && open; j++) open = net->layers[j].reads_from >= i;
        if (open && net->layers[i].outputs < least) narrowest = i;
    }
    return narrowest;
}

/* What several costs weigh in a report, so that what is descended is s times the reported total. */
static void net_share_losses(dn_net *net, double s) {
    int n = 0;
    for (int i = 0; i < net->n_layers; i++) n += net->layers[i].type->has_loss && net->layers[i].truths;
    for (int i = 0; i < net->n_layers; i++) net->layers[i].loss_share = n == 1 ? 1 : net->layers[i].loss_scale / s;
    net->run.kl_scale = s;
}

dn_status dn_net_parse_layers(dn_net *net) {
    int h = net->height, w = net->width, c = net->channels, inputs = net->inputs;
    size_t image = (size_t)h * w * c;
    if (image != (size_t)inputs) h = w = c = 0;
    int n = net->cfg->n_sections - 1;
    if (!n) return dn_cfg_error(&net->cfg->sections[0], NULL, "the network has no layers");
    net->layers = dn_alloc(n, sizeof *net->layers);
    if (!net->layers) return DN_E_MEMORY;
    net->sampling_layer = net->latent_layer = net->output_layer = -1;
    double s_image = 0;
    for (int i = 0; i < n; i++) {
        dn_section *s = &net->cfg->sections[i + 1];
        dn_layer *l = &net->layers[i];
        l->net = net, l->index = i, l->reads_from = i - 1, l->line = s->line;
        l->type = dn_layer_type_find(s->name);
        net->n_layers = i + 1; /* so that destroy sees it */
        if (!l->type) return dn_layer_type_unknown(s);
        DN_TRY(dn_foreign_check(net->cfg, s, l->type->name));
        l->inputs = inputs, l->height = h, l->width = w, l->channels = c;
        if (l->type->state_size && !(l->state = dn_alloc(1, l->type->state_size))) return DN_E_MEMORY;
        DN_TRY(layer_parse_common(l, s));
        DN_TRY(l->type->parse(l, s));
        if (i) net->layers[i - 1].n_readers++;
        dn_cfg_report_unread(net->cfg, s);
        if (l->outputs <= 0) return dn_cfg_error(s, NULL, "its output would have %d values", l->outputs);
        size_t total;
        DN_TRY(dn_layer_size(s, &total, (size_t)l->outputs, (size_t)net->run.batch, sizeof(float), 1));
        inputs = l->outputs, h = l->out_height, w = l->out_width, c = l->out_channels;
        if (!l->type->is_cost) net->output_layer = i;
        net->recurrent |= l->type->recurrent;
        if (net->sampling_layer < 0 && !strcmp(l->type->name, "sampling")) net->sampling_layer = i;
        if (l->truths && net->truths && l->truths != net->truths)
            return dn_cfg_error(s, NULL, "reads %d values of truth, an earlier layer %d: all must read the same", l->truths,
                                net->truths);
        if (l->truths) net->truths = l->truths;
        if (l->truths && l->truth_kind > net->truth_kind) net->truth_kind = l->truth_kind;
        if (l->type->has_loss && s_image == 0) s_image = l->loss_scale;
    }
    net->may_update_now = net->subdivisions == 1;
    for (int i = 0; i < n; i++) net->may_update_now &= !net->layers[i].stop_backward; /* below it decay alone acts */
    net_share_losses(net, s_image > 0 ? s_image : 1);
    if (net->output_layer < 0) return dn_cfg_error(&net->cfg->sections[1], NULL, "the network has only cost layers");
    net->outputs = net->layers[net->output_layer].outputs;
    net->latent_layer = net_find_latent(net);
    net->logits = net->output_layer + 1 < n && net->layers[net->output_layer + 1].on_logits;
    return DN_OK;
}

/* What AlexeyAB's Darknet (YOLO v4, v7-tiny, EfficientNet, CSPNet, recurrent detectors) adds to cfg files. */
#include "io/foreign.h"
#include "base/number.h"
#include "base/sys.h"
#include <stdio.h>
#include <string.h>

typedef enum foreign_effect { OUTPUT, TRAINING, NONE } foreign_effect;

typedef struct foreign_key {
    const char *type; /* layer type; "*": every layer */
    const char *key;
    foreign_effect effect;
    const char *neutral; /* the value without effect; NULL: every value has one */
    const char *like;    /* NULL, or the key whose value, when given, is the neutral one */
} foreign_key;

static const foreign_key keys[] = {
    {"net", "sequential_subdivisions", TRAINING, "1", "subdivisions"},
    {"net", "track", TRAINING, "0", NULL},
    {"net", "dynamic_minibatch", TRAINING, "0", NULL},
    {"net", "weights_reject_freq", TRAINING, "0", NULL},
    {"net", "equidistant_point", TRAINING, "0", NULL},
    {"net", "badlabels_rejection_percentage", TRAINING, "0", NULL},
    {"net", "num_sigmas_reject_badlabels", TRAINING, "0", NULL},
    {"net", "ema_alpha", TRAINING, "0", NULL},
    {"net", "label_smooth_eps", TRAINING, "0", NULL},
    {"net", "attention", TRAINING, "0", NULL},
    {"net", "adversarial_lr", TRAINING, "0", NULL},
    {"net", "contrastive", TRAINING, "0", NULL},
    {"net", "unsupervised", TRAINING, "0", NULL},
    {"net", "seq_scales", TRAINING, NULL, NULL},
    /* used by the policy sgdr, which is an error in itself */
    {"net", "learning_rate_min", NONE, NULL, NULL},
    {"net", "sgdr_cycle", NONE, NULL, NULL},
    {"net", "sgdr_mult", NONE, NULL, NULL},
    /* for image trainers, memory and float16, whose scaling is undone afterwards */
    {"net", "augment_speed", NONE, "2", NULL},
    {"net", "flip", NONE, "1", NULL},
    {"net", "blur", NONE, "0", NULL},
    {"net", "gaussian_noise", NONE, "0", NULL},
    {"net", "mixup", NONE, "0", NULL},
    {"net", "cutmix", NONE, "0", NULL},
    {"net", "mosaic", NONE, "0", NULL},
    {"net", "mosaic_bound", NONE, "0", NULL},
    {"net", "letter_box", NONE, "0", NULL},
    {"net", "contrastive_jit_flip", NONE, "0", NULL},
    {"net", "contrastive_color", NONE, "0", NULL},
    {"net", "resize_step", NONE, "32", NULL},
    {"net", "max_chart_loss", NONE, "20", NULL},
    {"net", "show_receptive_field", NONE, "0", NULL},
    {"net", "try_fix_nan", NONE, "0", NULL},
    {"net", "loss_scale", NONE, "1", NULL},
    {"net", "use_cuda_graph", NONE, "0", NULL},
    {"net", "optimized_memory", NONE, "0", NULL},
    {"net", "workspace_size_limit_MB", NONE, "1024", NULL},

    {"*", "clip", TRAINING, "0", NULL},
    {"*", "dont_update", TRAINING, "0", NULL},
    {"*", "burnin_update", TRAINING, "0", NULL},
    {"*", "train_only_bn", TRAINING, "0", NULL},

    {"convolutional", "stride_x", OUTPUT, "1", "stride"},
    {"convolutional", "stride_y", OUTPUT, "1", "stride"},
    {"convolutional", "dilation", OUTPUT, "1", NULL},
    {"convolutional", "antialiasing", OUTPUT, "0", NULL},
    {"convolutional", "share_index", OUTPUT, "-1000000000", NULL},
    {"convolutional", "cbn", OUTPUT, "0", NULL},
    {"convolutional", "bin_output", OUTPUT, "0", NULL},
    {"convolutional", "coordconv", OUTPUT, "0", NULL},
    {"convolutional", "deform", OUTPUT, "0", NULL},
    {"convolutional", "sway", OUTPUT, "0", NULL},
    {"convolutional", "rotate", OUTPUT, "0", NULL},
    {"convolutional", "stretch", OUTPUT, "0", NULL},
    {"convolutional", "stretch_sway", OUTPUT, "0", NULL},
    {"convolutional", "reverse", OUTPUT, "0", NULL},
    {"convolutional", "assisted_excitation", TRAINING, "0", NULL},
    {"convolutional", "grad_centr", TRAINING, "0", NULL},
    {"convolutional", "angle", NONE, "15", NULL}, /* for rotate, sway and stretch */
    {"convolutional", "stream", NONE, NULL, NULL},
    {"convolutional", "wait_stream", NONE, NULL, NULL},

    {"maxpool", "stride_x", OUTPUT, "1", "stride"},
    {"maxpool", "stride_y", OUTPUT, "1", "stride"},
    {"maxpool", "maxpool_depth", OUTPUT, "0", NULL},
    {"maxpool", "maxpool_zero_nonmax", OUTPUT, "0", NULL},
    {"maxpool", "antialiasing", OUTPUT, "0", NULL},
    {"maxpool", "out_channels", NONE, "1", NULL}, /* for maxpool_depth */

    {"route", "groups", OUTPUT, "1", NULL},
    {"route", "group_id", OUTPUT, "0", NULL},
    {"route", "stream", NONE, NULL, NULL},
    {"route", "wait_stream", NONE, NULL, NULL},

    {"shortcut", "weights_type", OUTPUT, "none", NULL},
    {"shortcut", "weights_normalization", OUTPUT, "none", NULL},
    {"shortcut", "assisted_excitation", TRAINING, "0", NULL},

    {"dropout", "dropblock", TRAINING, "0", NULL},
    {"dropout", "dropblock_size_rel", NONE, "0", NULL}, /* for dropblock */
    {"dropout", "dropblock_size_abs", NONE, "0", NULL},

    {"rnn", "hidden", OUTPUT, "1", "output"},
    {"rnn", "logistic", OUTPUT, "0", NULL},

    {"crnn", "output", OUTPUT, "1", "output_filters"},
    {"crnn", "hidden", OUTPUT, "1", "hidden_filters"},
    {"crnn", "size", OUTPUT, "3", NULL},
    {"crnn", "stride", OUTPUT, "1", NULL},
    {"crnn", "dilation", OUTPUT, "1", NULL},
    {"crnn", "pad", OUTPUT, "1", NULL},
    {"crnn", "padding", OUTPUT, "1", NULL},
    {"crnn", "groups", OUTPUT, "1", NULL},
    {"crnn", "xnor", OUTPUT, "0", NULL},

    {"yolo", "scale_x_y", OUTPUT, "1", NULL},
    {"yolo", "new_coords", OUTPUT, "0", NULL},
    {"yolo", "nms_kind", OUTPUT, "default", NULL},
    {"yolo", "beta_nms", NONE, "0.6", NULL}, /* for nms_kind */
    {"yolo", "iou_loss", TRAINING, "mse", NULL},
    {"yolo", "iou_thresh_kind", TRAINING, "iou", NULL},
    {"yolo", "iou_thresh", TRAINING, "1", NULL},
    {"yolo", "iou_normalizer", TRAINING, "1", NULL},
    {"yolo", "obj_normalizer", TRAINING, "1", NULL},
    {"yolo", "cls_normalizer", TRAINING, "1", NULL},
    {"yolo", "delta_normalizer", TRAINING, "1", NULL},
    {"yolo", "max_delta", TRAINING, NULL, NULL},
    {"yolo", "label_smooth_eps", TRAINING, "0", NULL},
    {"yolo", "objectness_smooth", TRAINING, "0", NULL},
    {"yolo", "focal_loss", TRAINING, "0", NULL},
    {"yolo", "counters_per_class", TRAINING, NULL, NULL},
    {"yolo", "embedding_layer", TRAINING, "999999", NULL},
    {"yolo", "resize", NONE, "1", NULL}, /* for image trainers; and for tracking objects through videos */
    {"yolo", "show_details", NONE, NULL, NULL},
    {"yolo", "track_history_size", NONE, NULL, NULL},
    {"yolo", "sim_thresh", NONE, NULL, NULL},
    {"yolo", "dets_for_track", NONE, NULL, NULL},
    {"yolo", "dets_for_show", NONE, NULL, NULL},
    {"yolo", "track_ciou_norm", NONE, NULL, NULL},

    {"region", "focal_loss", TRAINING, "0", NULL},
    {"region", "resize", NONE, "1", NULL},
    {"detection", "resize", NONE, "1", NULL},
};

static const char *const types[] = {
    "scale_channels", "sam",         "Gaussian_yolo", "conv_lstm", "history",  "local_avg", "reorg3d",
    "local_avgpool",  "contrastive", "empty",         "silence",   "implicit", NULL};
static const char *const activations[] = {"mish",
                                          "hard_mish",
                                          "swish",
                                          "gelu",
                                          "relu6",
                                          "revleaky",
                                          "normalize_channels",
                                          "normalize_channels_softmax",
                                          "normalize_channels_softmax_maxval",
                                          NULL};

static int foreign_listed(const char *const *names, const char *name) {
    while (*names && strcmp(*names, name)) names++;
    return *names != NULL;
}
int dn_foreign_type(const char *name) { return foreign_listed(types, name); }
int dn_foreign_activation(const char *name) { return foreign_listed(activations, name); }

static int foreign_same(const char *a, const char *b) {
    double x, y;
    const char *end_a = dn_number_parse(a, &x), *end_b = dn_number_parse(b, &y);
    if (end_a && end_b && !*end_a && !*end_b) return x == y;
    return !strcmp(a, b);
}

static dn_status foreign_told(dn_cfg *cfg, const dn_section *s, const dn_option *o, const foreign_key *k,
                              const char *neutral) {
    char only[96] = "";
    if (neutral) snprintf(only, sizeof only, ": only %s=%.40s is", o->key, neutral);
    if (k->effect == OUTPUT)
        return dn_cfg_error(s, o->key, "%s=%.60s changes what the layer computes and is not supported%s", o->key,
                            o->value, only);
    if (k->effect == NONE) {
        dn_cfg_warn(cfg, "%s:%d: [%s] %s=%.60s has no effect", cfg->path, o->line, s->name, o->key, o->value);
        return DN_OK;
    }
    dn_cfg_warn(cfg,
                "%s:%d: [%s] %s=%.60s changes training and is not supported: this network predicts, but training "
                "it is an error",
                cfg->path, o->line, s->name, o->key, o->value);
    if (cfg->untrained) return DN_OK;
    (void)dn_cfg_error(s, o->key, "%s=%.60s changes training and is not supported%s", o->key, o->value, only);
    return (cfg->untrained = dn_strdup(dn_error())) ? DN_OK : DN_E_MEMORY;
}

dn_status dn_foreign_check(dn_cfg *cfg, dn_section *s, const char *type) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const foreign_key *k = &keys[i];
        int everywhere = !strcmp(k->type, "*") && strcmp(type, "net") != 0;
        dn_option *o = everywhere || !strcmp(k->type, type) ? dn_cfg_option(s, k->key) : NULL;
        if (!o) continue;
        const dn_option *like = k->like ? dn_cfg_option(s, k->like) : NULL;
        const char *neutral = like ? like->value : k->neutral;
        o->used = 1;
        if (!neutral || !foreign_same(o->value, neutral)) DN_TRY(foreign_told(cfg, s, o, k, neutral));
    }
    return DN_OK;
}

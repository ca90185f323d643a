/* A network: layers in order, the blocks their tensors and buffers lie in, and one optimiser over the blocks. */
#ifndef DN_NETWORK_H
#define DN_NETWORK_H
#include "layer.h"
#include "schedule.h"

typedef struct dn_range { /* neighbours in the parameter block that are updated alike */
    size_t offset, count;
    int decays;
    float learning_rate;
} dn_range;

struct dn_net {
    dn_cfg *cfg;
    dn_pool *pool;
    const dn_ops *ops;
    dn_layer *layers;
    int n_layers;
    dn_run run;
    dn_schedule schedule;
    int subdivisions, height, width, channels, inputs, outputs, truths;
    int output_layer;   /* last that is not a cost */
    int recurrent;      /* rows come in whole sequences of time_steps */
    int logits;         /* the output goes into a loss on logits */
    int sampling_layer; /* first, -1: none */
    int latent_layer;   /* whose output is the latent space: sampling, or an autoencoder's narrowest; -1: none */
    uint64_t seed, seen, updates;
    double momentum, decay, b1, b2, eps, data_scale, rate_override;
    int adam;
    const char *label_column;
    float *input, *truth;                  /* (batch, inputs), (batch, truths) on the device */
    float *values, *grads, *moment1, *moment2; /* one layout */
    size_t n_values;                       /* with padding */
    size_t n_params;                       /* without */
    float *statistics;
    size_t n_statistics;
    float *activations, *deltas;
    size_t n_activations, n_deltas, memory_bytes;
    dn_range *ranges;
    int n_ranges;
    int rows_since_update;
    double cost, objective; /* of the last forward */
    int truth_given;
};

/* Parts of dn_net_forward for the jobs in autoencoder.c: the rows already lie in net->input (and net->truth). */
dn_status dn_net_run_layers(dn_net *net, int first, int last, int rows, int training, const float *truth);
dn_status dn_net_losses(const dn_net *net, double *image, double *latent, double *weighted_latent); /* sums over rows */
double dn_sampling_beta(const dn_layer *layer);
uint64_t dn_net_batch_number(const dn_net *net);
double dn_net_rate(const dn_net *net);
#endif

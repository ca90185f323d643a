#include "backend/backend.h"
#include <math.h>
#include <string.h>

static const char *const names[DN_ACTIVATION_COUNT] = {"linear", "logistic", "loggy",   "relu",  "elu",
                                                       "selu",   "relie",    "ramp",    "leaky", "tanh",
                                                       "plse",   "stair",    "hardtan", "lhtan"};

int dn_activation_parse(const char *name) {
    for (int i = 0; i < DN_ACTIVATION_COUNT; i++)
        if (!strcmp(name, names[i])) return i;
    return -1;
}

const char *dn_activation_name(dn_activation a) { return names[a]; }

int dn_activation_bounds(dn_activation a, float *low, float *high) {
    switch (a) {
    case DN_LOGISTIC: *low = 0, *high = 1; return 1;
    case DN_LOGGY:
    case DN_TANH:
    case DN_HARDTAN: *low = -1, *high = 1; return 1;
    case DN_RELU: *low = 0, *high = INFINITY; return 1;
    default: return 0;
    }
}

#include "backend/backend.h"
#include <string.h>

static const char *const names[DN_ACTIVATION_COUNT] = {"linear", "logistic", "loggy", "relu",  "elu",     "selu",  "relie",
                                                       "ramp",   "leaky",    "tanh",  "plse", "stair", "hardtan", "lhtan"};

int dn_activation_parse(const char *name) {
    for (int i = 0; i < DN_ACTIVATION_COUNT; i++)
        if (!strcmp(name, names[i])) return i;
    return -1;
}

const char *dn_activation_name(dn_activation a) { return names[a]; }

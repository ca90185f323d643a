#include "number.h"
#include <math.h>
#include <stdint.h>

/* Powers of ten that a double holds exactly: with at most 19 digits the product is rounded at most twice, far below the
 * float32 that the value becomes. */
static double number_power(int e) {
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    return e <= 22 ? exact[e] : pow(10, e);
}

const char *dn_number_parse(const char *p, double *value) {
    int negative = *p == '-', digits = 0, exponent = 0;
    uint64_t mantissa = 0;
    if (*p == '-' || *p == '+') p++;
    for (; *p >= '0' && *p <= '9'; p++, digits++) {
        if (mantissa < 1000000000000000000u) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
        else exponent++;
    }
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, digits++)
            if (mantissa < 1000000000000000000u) mantissa = mantissa * 10 + (uint64_t)(*p - '0'), exponent--;
    if (!digits) return NULL;
    if (*p == 'e' || *p == 'E') {
        const char *q = p + 1;
        int minus = *q == '-', e = 0;
        if (*q == '-' || *q == '+') q++;
        if (*q < '0' || *q > '9') return NULL;
        for (; *q >= '0' && *q <= '9'; q++) e = e < 100000 ? e * 10 + (*q - '0') : e;
        exponent += minus ? -e : e;
        p = q;
    }
    double v = (double)mantissa;
    if (mantissa && exponent < 0) v = exponent < -340 ? v * 1e-300 * pow(10, exponent + 300) : v / number_power(-exponent);
    if (mantissa && exponent > 0) v = exponent > 400 ? INFINITY : v * number_power(exponent);
    if (!isfinite(v)) return NULL;
    *value = negative ? -v : v;
    return p;
}

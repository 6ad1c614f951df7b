// fastlog2.c: an approximate binary logarithm. See fastlog2.h.

#include "fastlog2.h"

#include <stdint.h>
#include <string.h>

#define TABLE_BITS 5u
#define SCALE_BITS 20u

// log2(1 + i/32).
static const double log2_table[(1u << TABLE_BITS) + 1] = {
    0, 0.0443941193584535, 0.08746284125033943, 0.12928301694496647,
    0.16992500144231248, 0.2094533656289499, 0.24792751344358555,
    0.28540221886224837, 0.3219280948873623, 0.3575520046180837,
    0.39231742277876036, 0.4262647547020979, 0.4594316186372973,
    0.4918530963296748, 0.5235619560570128, 0.5545888516776374,
    0.5849625007211563, 0.6147098441152082, 0.6438561897747247,
    0.6724253419714956, 0.7004397181410922, 0.7279204545631992,
    0.7548875021634686, 0.7813597135246596, 0.8073549220576042,
    0.8328900141647417, 0.8579809951275721, 0.8826430493618412,
    0.9068905956085185, 0.9307373375628862, 0.9541963103868752,
    0.9772799234999164, 1,
};

double
gh_fastlog2(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    const int64_t exponent = (int64_t)(bits >> 52 & 0x7ff) - 1023;
    const uint64_t index = bits >> (52 - TABLE_BITS) & ((1u << TABLE_BITS) - 1);
    const uint64_t place = bits >> (52 - TABLE_BITS - SCALE_BITS)
        & ((1u << SCALE_BITS) - 1);
    const double low = log2_table[index];
    const double high = log2_table[index + 1];
    const double ratio = 1.0 / (double)(1u << SCALE_BITS);
    return (double)exponent + low + (high - low) * (double)place * ratio;
}

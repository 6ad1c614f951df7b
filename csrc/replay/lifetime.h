// lifetime.h: how long objects live, estimated from a recording.
//
// A recording knows of an object's death only between which two marks it fell: it
// was found alive at one age and dead at another, or was never found dead. The ages
// at which marks find the objects of one kind are spread over everything up to the
// distance of two marks and beyond, so together such intervals tell the distribution
// of the age at death: the estimator of Turnbull (1976) for interval-censored data,
// by expectation and maximization over bins of age.
//
// Ages are counted in objects of the history born meanwhile; bins are half octaves.
// Client of goheap.h's layer: includes nothing of the core.

#ifndef GH_LIFETIME_H
#define GH_LIFETIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GH_AGE_BINS 64

// dead[i] is the share of objects that die before age 2^(i/2), times
// UINT32_MAX; it never falls. What is missing at the end lives for ever.
typedef struct gh_age_curve {
    uint32_t dead[GH_AGE_BINS + 1];
} gh_age_curve;

// gh_age_counts counts objects by the bin of the age at which they were last found
// alive (0: never; else bin + 1) and first found dead (GH_AGE_BINS: never).
typedef struct gh_age_counts {
    uint32_t n[GH_AGE_BINS + 1][GH_AGE_BINS + 1];
} gh_age_counts;

// gh_age_bin is the bin of an age of at least 1.
static inline unsigned
gh_age_bin(uint32_t age)
{
    const unsigned k = 31u - (unsigned)__builtin_clz(age);
    return 2 * k + ((uint64_t)age * age >> (2 * k + 1) != 0);
}

// gh_age_note counts one object: alive 0 means never found alive, dead 0 never dead.
static inline void
gh_age_note(gh_age_counts *c, uint32_t alive, uint32_t dead)
{
    c->n[alive == 0 ? 0 : gh_age_bin(alive) + 1]
        [dead == 0 ? GH_AGE_BINS : gh_age_bin(dead)]++;
}

// gh_age_estimate fits a curve to counts. prior is the curve of a larger group of
// objects, which counts as so many objects more; NULL: an even one.
void gh_age_estimate(const gh_age_counts *c, const gh_age_curve *prior,
                     double weight, gh_age_curve *out);

// gh_age_draw is an age of at least `from` and below `to` (from < to, both at least
// 1) at which an object dies that dies there; u is uniform below 2^32. to
// UINT32_MAX: no end; then UINT32_MAX is returned if it lives for ever.
uint32_t gh_age_draw(const gh_age_curve *c, uint32_t from, uint32_t to, uint32_t u);

#endif  // GH_LIFETIME_H

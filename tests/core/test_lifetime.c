// test_lifetime.c: lifetimes out of intervals, against those that made the intervals.

#include "lifetime.h"

#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "splitmix.h"

#define WINDOW  30000u  // objects between two marks
#define OBJECTS 300000u

static double
uniform(uint64_t *seed)
{
    return (double)(gh_splitmix64(seed) >> 11) / (double)(1ull << 53);
}

// Four in five live some 100 objects long, three in twenty some 20000, the rest for
// ever.
static double
share_dead(double age)
{
    return 0.8 * (1 - exp(-age / 100)) + 0.15 * (1 - exp(-age / 20000));
}

static uint32_t
lifetime(uint64_t *seed)
{
    const double kind = uniform(seed);
    if (kind >= 0.95) {
        return UINT32_MAX;
    }
    return 1 + (uint32_t)(-log(1 - uniform(seed)) * (kind < 0.8 ? 100 : 20000));
}

// count makes objects that marks find, as a recording has them.
static gh_age_counts *
count(uint64_t seed)
{
    gh_age_counts *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        const uint32_t age = lifetime(&seed);
        // Ages at the marks are first, first + WINDOW, ...; ten marks are all.
        const uint32_t first = 1 + (uint32_t)(uniform(&seed) * WINDOW);
        uint32_t alive = 0, dead = 0;
        for (uint32_t k = 0; k < 10 && dead == 0; k++) {
            const uint32_t at = first + k * WINDOW;
            if (age < at) {
                dead = at;
            } else {
                alive = at;
            }
        }
        gh_age_note(c, alive, dead);
    }
    return c;
}

static void
test_bins(void)
{
    static const uint32_t age[] = {1, 2, 3, 4, 5, 6, 8, 11, 12, 1u << 31, UINT32_MAX};
    static const unsigned bin[] = {0, 2, 3, 4, 4, 5, 6, 6, 7, 62, 63};
    for (size_t i = 0; i < sizeof(age) / sizeof(age[0]); i++) {
        CHECK_EQ(gh_age_bin(age[i]), bin[i]);
    }
}

static void
test_estimate(void)
{
    gh_age_counts *c = count(1);
    gh_age_curve curve;
    gh_age_estimate(c, NULL, 0, &curve);
    for (unsigned b = 0; b < GH_AGE_BINS; b++) {
        CHECK(curve.dead[b] <= curve.dead[b + 1]);
    }
    // One object in 500 is caught below an age of 64, yet:
    for (unsigned b = 12; b <= 34; b += 2) {  // ages 64 to 131072
        const double got = (double)curve.dead[b] / UINT32_MAX,
                     want = share_dead((double)(1u << (b / 2)));
        if (fabs(got - want) > 0.04) {
            fprintf(stderr, "age %u: %.3f are dead, want %.3f\n", 1u << (b / 2), got,
                    want);
            exit(1);
        }
    }
    free(c);
}

static void
test_draw(void)
{
    gh_age_counts *c = count(2);
    gh_age_curve curve;
    gh_age_estimate(c, NULL, 0, &curve);
    uint64_t seed = 3;
    static const uint32_t from[] = {1, 100, 5000, 40000, 7, 1},
                          to[] = {30000, 20000, 5001, 70000, 9, UINT32_MAX};
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        uint32_t below = 0, immortal = 0;
        const uint32_t middle = from[i] + (to[i] - from[i]) / 8;
        for (int k = 0; k < 20000; k++) {
            const uint32_t age =
                gh_age_draw(&curve, from[i], to[i], (uint32_t)gh_splitmix64(&seed));
            // What was alive at the last mark may live for ever or not.
            if (to[i] == UINT32_MAX && age >= 9 * WINDOW) {
                immortal++;
                continue;
            }
            CHECK(age >= from[i] && age < to[i]);
            below += age < middle;
        }
        if (to[i] == UINT32_MAX) {
            CHECK(fabs(immortal / 20000.0 - 0.05) < 0.02);
        } else if (to[i] - from[i] > 1000) {
            const double low = share_dead(from[i]),
                         want = (share_dead(middle) - low) / (share_dead(to[i]) - low);
            CHECK(fabs(below / 20000.0 - want) < 0.05);
        }
    }
    free(c);
}

// Without objects of its own a kind lives as its group does, and without a group any
// age is as likely as another.
static void
test_few(void)
{
    gh_age_counts *c = count(4);
    gh_age_counts *none = calloc(1, sizeof(*none));
    CHECK(none != NULL);
    gh_age_curve group, curve, nothing;
    gh_age_estimate(c, NULL, 0, &group);
    gh_age_estimate(none, &group, 50, &curve);
    for (unsigned b = 0; b <= GH_AGE_BINS; b++) {
        CHECK(fabs((double)curve.dead[b] - (double)group.dead[b]) < 0.001 * UINT32_MAX);
    }
    gh_age_estimate(none, NULL, 0, &nothing);
    CHECK(gh_age_draw(&nothing, 5, 6, UINT32_MAX) == 5);
    gh_age_curve flat = {{0}};
    CHECK(gh_age_draw(&flat, 1, 101, 1u << 31) == 51);
    CHECK(gh_age_draw(&flat, 1, UINT32_MAX, 1u << 31) == UINT32_MAX);
    free(none);
    free(c);
}

int
main(void)
{
    test_bins();
    test_estimate();
    test_draw();
    test_few();
    return 0;
}

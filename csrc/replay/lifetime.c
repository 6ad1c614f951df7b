// lifetime.c: how long objects live. See lifetime.h.

#include "lifetime.h"

// Of expectation and maximization. What the data say little of, ages far below the
// distance of two marks, comes slowly; a group's curve is near from the start.
#define ROUNDS       1000
#define ROUNDS_PRIOR 60

// edge_fixed is where bin i begins, 2^(i/2), in 1/2^16.
static uint64_t
edge_fixed(unsigned i)
{
    const uint64_t half = (i & 1) != 0 ? 92682u : 65536u;  // sqrt(2)
    return half << (i / 2);
}

// share_at is the curve's value at an age.
static uint32_t
share_at(const gh_age_curve *c, uint32_t age)
{
    const unsigned b = gh_age_bin(age);
    const uint64_t low = edge_fixed(b), high = edge_fixed(b + 1);
    const uint64_t at = (uint64_t)age << 16;
    if (at <= low) {
        return c->dead[b];
    }
    const uint32_t rise = c->dead[b + 1] - c->dead[b];
    return c->dead[b]
           + (uint32_t)((double)rise * (double)(at - low) / (double)(high - low));
}

// part is how much of bin b lies in an interval from bin lo to bin hi: where in
// those two it begins and ends is not kept.
static double
part(unsigned b, unsigned lo, unsigned hi, bool from_birth)
{
    if (lo == hi) {
        return 1;
    }
    if ((b == lo && !from_birth) || (b == hi && b != GH_AGE_BINS)) {
        return 0.5;
    }
    return 1;
}

typedef struct interval {
    uint8_t lo, hi;
    bool from_birth;
    double n;
} interval;

// Most kinds have but some tens of different intervals; all that there can be:
#define MAX_INTERVALS ((GH_AGE_BINS + 1) * (GH_AGE_BINS + 2) / 2 + GH_AGE_BINS)

void
gh_age_estimate(const gh_age_counts *c, const gh_age_curve *prior, double weight,
                gh_age_curve *out)
{
    interval of[MAX_INTERVALS];
    size_t n = 0;
    double total = weight;
    for (unsigned a = 0; a <= GH_AGE_BINS; a++) {
        for (unsigned d = a == 0 ? 0 : a - 1; d <= GH_AGE_BINS; d++) {
            if (c->n[a][d] != 0 && n < MAX_INTERVALS && (a != 0 || d != GH_AGE_BINS)) {
                of[n++] = (interval){(uint8_t)(a == 0 ? 0 : a - 1), (uint8_t)d,
                                     a == 0, c->n[a][d]};
                total += c->n[a][d];
            }
        }
    }
    double before[GH_AGE_BINS + 1], p[GH_AGE_BINS + 1];
    for (unsigned b = 0; b < GH_AGE_BINS; b++) {
        before[b] = prior == NULL ? 1.0 / (GH_AGE_BINS + 1)
                                  : (prior->dead[b + 1] - prior->dead[b])
                                        / (double)UINT32_MAX;
    }
    before[GH_AGE_BINS] = prior == NULL ? 1.0 / (GH_AGE_BINS + 1)
                                        : (UINT32_MAX - prior->dead[GH_AGE_BINS])
                                              / (double)UINT32_MAX;
    for (unsigned b = 0; b <= GH_AGE_BINS; b++) {
        // Nothing is impossible for a kind because its group has none of it.
        p[b] = 0.99 * before[b] + 0.01 / (GH_AGE_BINS + 1);
    }
    const int rounds = prior == NULL ? ROUNDS : n > 0 ? ROUNDS_PRIOR : 1;
    for (int round = 0; round < rounds && total > 0; round++) {
        double sum[GH_AGE_BINS + 2] = {0};  // sum[b]: of p below bin b
        for (unsigned b = 0; b <= GH_AGE_BINS; b++) {
            sum[b + 1] = sum[b] + p[b];
        }
        double whole[GH_AGE_BINS + 2] = {0};  // differences: of bins wholly inside
        double edge[GH_AGE_BINS + 1] = {0};   // of those in part
        for (size_t i = 0; i < n; i++) {
            const unsigned lo = of[i].lo, hi = of[i].hi;
            const double at_lo = part(lo, lo, hi, of[i].from_birth),
                         at_hi = part(hi, lo, hi, of[i].from_birth);
            double mass = at_lo * p[lo];
            if (hi > lo) {
                mass += at_hi * p[hi] + (sum[hi] - sum[lo + 1]);
            }
            if (mass <= 0) {
                continue;
            }
            const double each = of[i].n / mass;
            edge[lo] += at_lo * each;
            if (hi > lo) {
                edge[hi] += at_hi * each;
                whole[lo + 1] += each;
                whole[hi] -= each;
            }
        }
        double inside = 0;
        for (unsigned b = 0; b <= GH_AGE_BINS; b++) {
            inside += whole[b];
            p[b] = (p[b] * (inside + edge[b]) + weight * before[b]) / total;
        }
    }
    double sum = 0, all = 0;
    for (unsigned b = 0; b <= GH_AGE_BINS; b++) {
        all += p[b];
    }
    for (unsigned b = 0; b <= GH_AGE_BINS; b++) {
        const double share = all > 0 ? sum / all : 0;
        out->dead[b] = share >= 1 ? UINT32_MAX
                                  : (uint32_t)(share * (double)UINT32_MAX);
        sum += p[b];
    }
}

uint32_t
gh_age_draw(const gh_age_curve *c, uint32_t from, uint32_t to, uint32_t u)
{
    const uint32_t low = share_at(c, from);
    const uint32_t high = to == UINT32_MAX ? UINT32_MAX : share_at(c, to);
    if (high - low < 64) {  // the curve knows nothing of these ages
        return to == UINT32_MAX
                   ? UINT32_MAX
                   : from + (uint32_t)((uint64_t)(to - from) * u >> 32);
    }
    const uint32_t share = low + (uint32_t)((uint64_t)(high - low) * u >> 32);
    unsigned lo = 0, hi = GH_AGE_BINS;  // dead[lo] <= share < dead[hi]
    if (share >= c->dead[hi]) {
        return UINT32_MAX;
    }
    while (hi - lo > 1) {
        const unsigned mid = (lo + hi) / 2;
        if (c->dead[mid] <= share) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    const double start = (double)edge_fixed(lo) / 65536,
                 width = (double)(edge_fixed(hi) - edge_fixed(lo)) / 65536;
    const double age = start
                       + width * (double)(share - c->dead[lo])
                             / (double)(c->dead[hi] - c->dead[lo]);
    const uint32_t at = age >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)age;
    return at < from ? from : at >= to ? to - 1 : at;
}

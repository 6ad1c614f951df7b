// histogram.c: counting durations. See histogram.h.

#include "histogram.h"

#include <math.h>

#define SUB_BUCKETS GH_TIME_HIST_SUB_BUCKETS

static void
count(_Atomic uint64_t *n)
{
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static uint64_t
get(_Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

// bucket_bits is how many bits the durations of a bucket have; those of bucket
// 0, at most.
static unsigned
bucket_bits(unsigned bucket)
{
    return bucket == 0 ? GH_TIME_HIST_MIN_BITS - 1
                       : GH_TIME_HIST_MIN_BITS - 1 + bucket;
}

// sub_shift is the binary logarithm of the width of a bucket's parts. Bucket 0
// reaches down to zero, so its parts are as wide as if it had one bit more.
static unsigned
sub_shift(unsigned bucket)
{
    return bucket == 0 ? bucket_bits(0) - GH_TIME_HIST_SUB_BITS
                       : bucket_bits(bucket) - 1 - GH_TIME_HIST_SUB_BITS;
}

void
gh_time_histogram_record(gh_time_histogram *h, int64_t ns)
{
    if (ns < 0) {
        count(&h->underflow);
        return;
    }
    const unsigned bits = 64 - gh_clz64((uint64_t)ns);
    const unsigned bucket = bits < GH_TIME_HIST_MIN_BITS
                                ? 0
                                : bits - GH_TIME_HIST_MIN_BITS + 1;
    if (bucket >= GH_TIME_HIST_BUCKETS) {
        count(&h->overflow);
        return;
    }
    const unsigned sub =
        (unsigned)((uint64_t)ns >> sub_shift(bucket)) % SUB_BUCKETS;
    count(&h->counts[bucket * SUB_BUCKETS + sub]);
}

void
gh_time_histogram_read(gh_time_histogram *h,
                       uint64_t counts[GH_TIME_HIST_COUNTS])
{
    counts[0] = get(&h->underflow);
    for (unsigned i = 0; i < GH_TIME_HIST_COUNTS - 2; i++) {
        counts[i + 1] = get(&h->counts[i]);
    }
    counts[GH_TIME_HIST_COUNTS - 1] = get(&h->overflow);
}

void
gh_time_histogram_edges(double edges[GH_TIME_HIST_EDGES])
{
    unsigned n = 0;
    edges[n++] = -INFINITY;
    for (unsigned b = 0; b < GH_TIME_HIST_BUCKETS; b++) {
        const uint64_t base =
            b == 0 ? 0 : (uint64_t)1 << (bucket_bits(b) - 1);
        for (unsigned j = 0; j < SUB_BUCKETS; j++) {
            const uint64_t ns = base + ((uint64_t)j << sub_shift(b));
            edges[n++] = (double)ns / 1e9;
        }
    }
    edges[n++] = (double)((uint64_t)1 << (GH_TIME_HIST_MAX_BITS - 1)) / 1e9;
    edges[n] = INFINITY;
}

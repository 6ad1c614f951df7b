// peer_histogram.c: the time histogram behind the C ABI of Go's own unit tests.
// See peer.c.

#define PEER_API __attribute__((visibility("default")))
#include "peer_abi.h"

#include <string.h>

#include "histogram.h"

_Static_assert(sizeof(gh_time_histogram)
                   == GH_TIME_HIST_COUNTS * sizeof(uint64_t),
               "the tests' array of words is the core's histogram");

void
pr_timehist_record(uint64_t *h, int64_t ns)
{
    gh_time_histogram_record((gh_time_histogram *)(void *)h, ns);
}

uint32_t
pr_timehist_buckets(double *out, uint32_t cap)
{
    double edges[GH_TIME_HIST_EDGES];
    gh_time_histogram_edges(edges);
    const uint32_t n = cap < GH_TIME_HIST_EDGES ? cap : GH_TIME_HIST_EDGES;
    memcpy(out, edges, n * sizeof(out[0]));
    return GH_TIME_HIST_EDGES;
}

// histogram.h: how often durations of each length occurred.
//
// Layer 2. Includes ghbits.h, ghconst.h. Go: histogram.go, type timeHistogram.
//
// 40 buckets of 4 equal parts each, for durations in ns:
//
//   bucket 0       0 to 255, in parts of 64
//   bucket b >= 1  2^(b+7) to 2^(b+8) - 1, in parts of 2^(b+5)
//   underflow      negative durations: a clock that went back
//   overflow       2^47 and more, about 39 hours
//
// So a part's width is at most a quarter of its values from 256 ns up. All zero
// is an empty histogram.
//
// Locking: durations may be recorded and read by several threads at once; a
// reader may see some of what is recorded meanwhile.

#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdatomic.h>

#include "ghbits.h"
#include "ghconst.h"

#define GH_TIME_HIST_MIN_BITS    9u   // durations of fewer bits: bucket 0
#define GH_TIME_HIST_MAX_BITS    48u  // of this many or more: overflow
#define GH_TIME_HIST_SUB_BITS    2u
#define GH_TIME_HIST_SUB_BUCKETS (1u << GH_TIME_HIST_SUB_BITS)
#define GH_TIME_HIST_BUCKETS                                                   \
    (GH_TIME_HIST_MAX_BITS - GH_TIME_HIST_MIN_BITS + 1u)

// What is published: the parts, underflow before and overflow after them.
#define GH_TIME_HIST_COUNTS                                                    \
    (GH_TIME_HIST_BUCKETS * GH_TIME_HIST_SUB_BUCKETS + 2u)
#define GH_TIME_HIST_EDGES (GH_TIME_HIST_COUNTS + 1u)

typedef struct gh_time_histogram {
    _Atomic uint64_t counts[GH_TIME_HIST_COUNTS - 2u];
    _Atomic uint64_t underflow;
    _Atomic uint64_t overflow;
} gh_time_histogram;

void gh_time_histogram_record(gh_time_histogram *h, int64_t ns);

// gh_time_histogram_read stores what runtime/metrics publishes: count i is of
// durations from edge i up to, without it, edge i + 1.
void gh_time_histogram_read(gh_time_histogram *h,
                            uint64_t counts[GH_TIME_HIST_COUNTS]);
// gh_time_histogram_edges stores the edges, in seconds, from -inf to +inf.
void gh_time_histogram_edges(double edges[GH_TIME_HIST_EDGES]);

#endif  // HISTOGRAM_H

// metrics.h: runtime/metrics, what a Go program can read of its memory and of its
// collector.
//
// Layer 7. Includes heap.h. Go: metrics.go.
//
// As in Go nothing is flushed for it: what mcaches have handed out reaches these
// figures when their spans go back, at the latest in the next cycle or
// gh_read_mem_stats. The CPU classes stand as the last cycle left them.

#ifndef METRICS_H
#define METRICS_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// Go's first stack; it would grow with what cycles find on stacks, of which there
// are none.
#define GH_STARTING_STACK 2048u

_Static_assert(GH_METRIC_SIZES == GH_NUM_SIZE_CLASSES, "a count for each class");
_Static_assert(GH_METRIC_TIME_COUNTS == GH_TIME_HIST_COUNTS, "all counts");

#endif  // METRICS_H

// gctrace.h: the lines that Go prints about collections, for gctrace, gcpacertrace
// and scavtrace of GODEBUG.
//
// Layer 3. Includes goheap.h. Go: mgc.go (gcMarkTermination), mgcpacer.go,
// mgcsweep.go, mgcscavenge.go (printScavTrace), print.go.
//
// Go prints them as things happen. Here a cycle's record keeps what they say, and
// they are written when somebody asks, in the order in which Go's would come with
// one thread: the pacer's plan, what it measured, the sweep if it is part of the
// stop, the cycle's line, the sweep else, and what free_os_memory gave back.

#ifndef GCTRACE_H
#define GCTRACE_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "goheap.h"

// gh_format_float writes x as Go's print does, in the fewest digits that give it
// again; as snprintf.
int gh_format_float(char *buf, size_t cap, double x);

#endif  // GCTRACE_H

// mfinal.h: attaching finalizers, cleanups, weak pointers and pins to objects.
//
// Layer 6. Includes special.h. Go: mfinal.go (SetFinalizer), mcleanup.go
// (AddCleanup, Stop), mheap.go (addfinalizer, addCleanup, getOrAddWeakHandle,
// makeStrongFromWeak), pinner.go (setPinned).
//
// What fires, and when, is special.h's; what runs, and in which order, calls.h's
// and mcleanup.h's. The functions are declared in goheap.h; the rules stand on
// csrc/design/finalizers.md.
//
// An object with a finalizer is no root, but what it points at is: the marker
// scans it, and counts its bytes, whether it is reachable or not. So a reachable
// one counts twice, as in Go [inv:final.double]. Whoever attaches something while
// a cycle marks does at once what the marker would have done.
//
// Calls are freed and run once each [inv:final.conserved]: of finalizers set are
// cleared, attached or queued; of those queued taken or waiting.

#ifndef MFINAL_H
#define MFINAL_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "special.h"

// gh_weak_box_check says whether x's box is an object that holds what it is to
// hold, for verify. off: x's address as shown.
bool gh_weak_box_check(gh_heap *h, const gh_weak *x, uint64_t addr);

#endif  // MFINAL_H

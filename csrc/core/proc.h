// proc.h: Ps, and who holds one.
//
// Layer 6. Includes heap.h. Go: proc.go (procresize, acquirep), in the form that
// one mutator at a time needs.
//
// busy is the heap's gate: whoever turns it from 0 to 1 is inside, holds the P
// in `inside`, and has everything of the heap [lock:world]. Coming in and going
// out is one atomic operation each while nobody waits. A waiter registers in
// waiters before it looks at busy, and a leaver clears busy before it looks at
// waiters (both seq_cst), so no wake-up is lost [inv:world.wakeup].

#ifndef PROC_H
#define PROC_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

GH_NODISCARD gh_status gh_procs_init(gh_heap *h, int32_t n);
void gh_procs_fini(gh_heap *h);
// gh_procresize: Ps beyond n give back their spans and pages.
GH_NODISCARD gh_status gh_procresize(gh_heap *h, int32_t n);
// gh_drain_handles clears the slots of handles that were dropped. Run by the
// holder on entry and before every stop.
void gh_drain_handles(gh_p *p);

// gh_slots_unlink takes a block out of its list; the caller holds roots_lock.
void gh_slots_unlink(gh_heap *h, gh_slots *b);
// gh_pin_unlink likewise, under the window's lock.
void gh_pin_unlink(gh_window *w, gh_pin *pin);

#endif  // PROC_H

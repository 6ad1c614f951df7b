// mgcsweep.h: sweeping turns mark bits into alloc bits, span by span.
//
// Layer 5. Includes heap.h. Go: mgcsweep.go.
//
// After mark termination the heap's sweepgen has moved on by 2 and every span
// is unswept. A span is swept by whoever needs it first: an allocation of its
// class, a debt of proportional sweeping, the page reclaimer, the end of an
// mcache's use of it, or the sweep that ends the cycle (eager_sweep).
//
// [inv:sweep.before_mark] marking begins only when every span is swept.

#ifndef MGCSWEEP_H
#define MGCSWEEP_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

#define GH_SWEEP_NOTHING UINT64_MAX

// What clobber_free writes over freed slots: Go's pattern, in each half.
#define GH_CLOBBER 0xdeadbeefdeadbeefu

// gh_mspan_sweep sweeps s, whose sweepgen its caller has set to h-1 and which
// is in no set. Unless preserve is set it puts s where it belongs, which is
// back to the page heap if s is empty: then it returns true. Go: mspan.sweep.
bool gh_mspan_sweep(gh_heap *h, gh_mspan *s, bool preserve);

// gh_sweepone sweeps the next unswept span: returns the pages it freed, or
// GH_SWEEP_NOTHING when no span is left.
uint64_t gh_sweepone(gh_heap *h);

// gh_deduct_sweep_credit pays for a new span of span_bytes for p by sweeping, at p's end
// of the sets (mcentral.h); the caller will sweep or free caller_pages itself.
// Go: deductSweepCredit.
void gh_deduct_sweep_credit(gh_p *p, uint64_t span_bytes,
                            uint64_t caller_pages);

// gh_base_pages says how many pages the dead weight stands for. They are swept and
// paid for with the others.
static inline void
gh_base_pages(const gh_heap *h, uint64_t *large, uint64_t *small)
{
    const uint64_t n = gh_div_round_up(h->opt.base_live, GH_PAGE_SIZE);
    *small = n < GH_BASE_SMALL_PAGES ? n : GH_BASE_SMALL_PAGES;
    *large = n - *small;
}

// gh_gc_pace_sweeper sets the price from the trigger. Go: gcPaceSweeper.
void gh_gc_pace_sweeper(gh_heap *h, uint64_t trigger);

// gh_ensure_swept returns when s is swept.
void gh_ensure_swept(gh_heap *h, gh_mspan *s);

#endif  // MGCSWEEP_H

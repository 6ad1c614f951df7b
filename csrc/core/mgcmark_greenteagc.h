// mgcmark_greenteagc.h: Green Tea, the marker that scans spans.
//
// Layer 6. Includes heap.h, mgcmark_scan.h, mgcscan.h, mgcspanq.h.
// Go: mgcmark_greenteagc.go.
//
// Objects of 16 to 512 bytes are not queued one by one. Each span of them has,
// beside its mark bits, scan bits: marked and not scanned is grey. The first
// object of a span that turns grey puts the span on a first-in first-out queue
// (mgcspanq.h); what turns grey while it waits there is found by its bits, and
// all of it is scanned when the span's turn comes. Other objects go through the
// marker's own queue, first [diff:greentea.queue].
//
// Who may queue a span is said by its ownership byte: nobody (0), one object
// turned grey since (ONE), or more may have (MANY). Whoever takes the byte from
// 0 queues the span; the scanner sets it back to 0 before it looks at the bits,
// so that what is marked later queues the span anew. While it says ONE, the
// object that was queued is all there is to scan.
//
// Of a span with MANY, less than one object in eight grey: object by object
// (sparse); else the page at once by a kernel of mgcscan.h (dense), on every
// CPU [diff:greentea.kernels].
//
// Mark bits are those of all markers, mbitmap.h; the scan bits lie likewise, in
// an area that only this marker has. The ownership byte is in the page's record.
// Outside a cycle both are zero [inv:greentea.clean], since sweeping a span
// clears its scan bits.
//
// Without memory for the queue the cycle is ended by the other marker, which goes
// over all marked objects [inv:gc.ends].
//
// Locking: as for marking, [lock:world]. The steps of the protocol take shared:
// false compiles to plain loads and stores, for the one marker that there is now;
// true to sequentially consistent atomics, for several. They must be that: a
// marker sets a mark bit and then reads MANY and walks away, a scanner sets
// owned to 0 and then reads mark bits; with less, each could miss the other's
// write.

#ifndef MGCMARK_GREENTEAGC_H
#define MGCMARK_GREENTEAGC_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"
#include "mgcmark_scan.h"
#include "mgcscan.h"
#include "mgcspanq.h"

typedef struct gh_greentea {
    uint64_t *scans;     // scan bits: word i belongs to word i of the mark bits
    uint32_t words;      // of them; spans beyond are as new as the cycle
    bool dense_work;     // a page scanned densely counts its objects whole
    const gh_scan_kernels *kernels;
    gh_spanq queue;
    uintptr_t found[GH_PAGE_WORDS];  // what a kernel found
} gh_greentea;

// An object is in the span queue as its page's address plus its number.
_Static_assert(GH_MAX_OBJS_PER_SPAN <= GH_PAGE_SIZE, "a number fits below a page");

// gh_greentea_takes: objects of that size, with pointers, go through spans.
// Go: gcUsesSpanInlineMarkBits.
static inline bool
gh_greentea_takes(uint64_t elemsize)
{
    return elemsize - GH_GREENTEA_MIN_SIZE
           <= GH_MIN_SIZE_FOR_MALLOC_HEADER - GH_GREENTEA_MIN_SIZE;
}

// ---- the protocol, step by step -------------------------------------------------

#define GH_OWNED_NONE 0u
#define GH_OWNED_ONE  2u  // Go's values
#define GH_OWNED_MANY 4u

// gh_span_mark sets a mark bit; whether it was clear.
GH_INLINE bool
gh_span_mark(uint64_t *marks, uint64_t bit, const bool shared)
{
    if ((__atomic_load_n(marks, __ATOMIC_RELAXED) & bit) != 0) {
        return false;
    }
    if (shared) {
        return (__atomic_fetch_or(marks, bit, __ATOMIC_SEQ_CST) & bit) == 0;
    }
    *marks |= bit;
    return true;
}

// gh_span_acquire comes after gh_span_mark; whether the caller must queue the
// span. Go: spanInlineMarkBits.tryAcquire.
GH_INLINE bool
gh_span_acquire(uint8_t *owned, const bool shared)
{
    if (!shared) {
        const uint8_t old = *owned;
        if (old == GH_OWNED_NONE) {
            *owned = GH_OWNED_ONE;
            return true;
        }
        *owned = (uint8_t)(old | GH_OWNED_MANY);
        return false;
    }
    const uint8_t seen = __atomic_load_n(owned, __ATOMIC_SEQ_CST);
    if (seen == GH_OWNED_NONE
        && __atomic_fetch_or(owned, GH_OWNED_ONE, __ATOMIC_SEQ_CST)
               == GH_OWNED_NONE) {
        return true;
    }
    if ((seen & GH_OWNED_MANY) != 0) {
        return false;
    }
    // Others marked as well. Its scanner may have been here since: then this is
    // the first mark again.
    return __atomic_fetch_or(owned, GH_OWNED_MANY, __ATOMIC_SEQ_CST)
           == GH_OWNED_NONE;
}

// gh_span_release comes before a look at the bits; it returns what owned was.
// GH_OWNED_ONE: nothing but the queued object turned grey.
GH_INLINE uint8_t
gh_span_release(uint8_t *owned, const bool shared)
{
    if (shared) {
        return __atomic_exchange_n(owned, GH_OWNED_NONE, __ATOMIC_SEQ_CST);
    }
    const uint8_t old = *owned;
    *owned = GH_OWNED_NONE;
    return old;
}

// gh_span_take makes of the grey objects of one word, those in want, black ones
// and returns which they were: each object is returned once, to one scanner.
GH_INLINE uint64_t
gh_span_take(const uint64_t *marks, uint64_t *scans, uint64_t want,
             const bool shared)
{
    if (!shared) {
        const uint64_t grey = *marks & ~*scans & want;
        *scans |= grey;
        return grey;
    }
    const uint64_t grey = __atomic_load_n(marks, __ATOMIC_SEQ_CST)
                          & ~__atomic_load_n(scans, __ATOMIC_RELAXED) & want;
    return grey == 0 ? 0
                     : grey & ~__atomic_fetch_or(scans, grey, __ATOMIC_RELAXED);
}

// ---- the marker ------------------------------------------------------------------

// gh_greentea_new gives a heap this marker.
GH_NODISCARD gh_status gh_greentea_new(gh_heap *h);
void gh_greentea_free(gh_heap *h);
// gh_greentea_prepare makes sure of scan bits: before a cycle begins, everything
// swept. gh_greentea_trim gives the queue's memory back: after it.
GH_NODISCARD gh_status gh_greentea_prepare(gh_heap *h);
void gh_greentea_trim(gh_heap *h);

// gh_greentea_mark marks what v points at, if anything.
void gh_greentea_mark(gh_mark *k, uintptr_t v);
// gh_greentea_scan scans the object at v, whether it is marked or not.
void gh_greentea_scan(gh_mark *k, uintptr_t v);
// gh_greentea_step scans the next entry of the queues: an object, an oblet, or
// what is grey of a span; false when they are empty. k->fn, if any, hears of it.
bool gh_greentea_step(gh_mark *k);
// gh_greentea_drain does so until work bytes of scan work were done or the queues
// are empty, and returns whether they are. bounded false: until they are.
bool gh_greentea_drain(gh_mark *k, bool bounded, uint64_t work);
// gh_greentea_abandon empties the span queue: what is grey must be found
// otherwise.
void gh_greentea_abandon(gh_heap *h);

// A new object in slot index of s is black; a span was swept.
void gh_greentea_mark_new(gh_heap *h, const gh_mspan *s, unsigned index);
void gh_greentea_swept(gh_heap *h, const gh_mspan *s);

// gh_greentea_greys returns which of the 64 objects of mark word number word of
// s are grey and not in the other queue.
uint64_t gh_greentea_greys(const gh_heap *h, const gh_mspan *s, unsigned word);

#endif  // MGCMARK_GREENTEAGC_H

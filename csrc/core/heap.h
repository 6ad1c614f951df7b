// heap.h: struct gh_heap, everything that Go keeps in globals, and struct
// gh_mut, a P.
//
// Layer 5. Includes calls.h, ghassert.h, ghbits.h, ghconst.h, goheap.h, gotype.h, histogram.h,
// lock.h, mbitmap.h, mem.h, mfixalloc.h, mgclimit.h, mgcpacer.h,
// mgcscavenge.h, mheap_span.h, mpagealloc.h,
// mpagecache.h, msize.h, mspanset.h, persistentalloc.h, slots.h.
// Go: mheap.go (mheap_), mgc.go (work), mstats.go (memstats), mcache.go,
// mcentral.go, runtime2.go (p).
//
// In the repeatable modes, whoever holds a P of the heap has all of it: one
// mutator is inside at a time [lock:world], and cycles run on its thread. Fields
// say so where it is not so.
//
// In GH_MODE_CONCURRENT the holder of a P has that P, its mcache and the spans in
// it. All else is under heap_lock [lock:heap], or the world is stopped. The phase
// and sweepgen change only while it is. Locks are taken in this order: lock,
// heap_lock, roots_lock, the window's lock, work_lock. Who has stopped the world has
// heap_lock and takes lock when an allocation of its own begins a cycle, which wakes
// others; all others with a P stand then, and who has none takes only one of the two at
// a time.

#ifndef HEAP_H
#define HEAP_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdatomic.h>

#include "calls.h"
#include "ghassert.h"
#include "ghbits.h"
#include "ghconst.h"
#include "goheap.h"
#include "gotype.h"
#include "histogram.h"
#include "lock.h"
#include "mbitmap.h"
#include "mem.h"
#include "mfixalloc.h"
#include "mgclimit.h"
#include "mgcpacer.h"
#include "mgcscavenge.h"
#include "mheap_span.h"
#include "mpagealloc.h"
#include "mpagecache.h"
#include "msize.h"
#include "mspanset.h"
#include "persistentalloc.h"
#include "slots.h"

#define GH_HEAP_SIG 0x6ea9u
#define GH_P_SIG    0x9u

#define GH_SPECIAL_KINDS 12

// gh_pageinfo is the marker's short way from an address to its object: one for
// each page of the window. It repeats what the page's span says
// [inv:pageinfo.span]; pages outside spans in use are all zero, so that
// nelems == 0 rejects them.
typedef struct gh_pageinfo {
    uint32_t bits;      // the span's first bit word
    uint32_t div_mul;
    uint16_t nelems;
    uint16_t elemsize;  // 0: large, look the span up
    uint16_t page;      // number of this page in a small span
    uint8_t scan;       // 1: its objects hold pointers
    uint8_t owned;      // Green Tea: who has the page's span queued
} gh_pageinfo;

_Static_assert(sizeof(gh_pageinfo) == 16, "four to a cache line");

// gh_heap_arena is what each 64 MiB frame of the window keeps aside.
typedef struct gh_heap_arena {
    uint64_t page_in_use[GH_PAGES_PER_ARENA / 64];  // first pages of spans
    uint64_t page_specials[GH_PAGES_PER_ARENA / 64];  // of those with specials
    uint64_t zeroed_base;  // bytes below were handed out before
} gh_heap_arena;

typedef struct gh_mcentral {
    gh_spanset partial[2];  // with a free slot; index by sweepgen
    gh_spanset full[2];
    uint8_t spanclass;
} gh_mcentral;

// gh_mcache is the part of a P that allocates without anybody else.
typedef struct gh_mcache {
    gh_mspan *alloc[GH_NUM_SPAN_CLASSES];  // never NULL: at least empty_mspan
    uintptr_t tiny;        // current tiny block, 0: none
    uint32_t tiny_offset;
    uint32_t *tiny_parts;  // what is noted of that block; NULL: nothing
    uint64_t tiny_allocs;  // merged requests not yet counted
    uint64_t scan_alloc;   // scannable bytes allocated, not yet in heap_scan
    uint32_t flush_gen;    // sweepgen of the last flush
    // Of the heap profile, mprof.h: bytes to the next sample, at that rate.
    int64_t next_sample, prof_rate;
} gh_mcache;

// gh_cleanup_block is cleanups that a P has found due: see mcleanup.h.
typedef struct gh_cleanup_block {
    gh_call_node *first, *last;
    unsigned n;
} gh_cleanup_block;

// gh_mut is a P. Its holder is the mutator.
typedef struct gh_mut gh_p;
struct gh_mut {
    uint32_t sig;
    int32_t id;
    gh_heap *heap;
    // Fast paths go out of line while this is set: while marking, while
    // allocations are sampled, and always under gc_every and with size classes
    // that aren't Go's.
    bool slow;
    bool only_marks;  // a cycle marks, and there is no other reason
    uint32_t parked;  // holders of it that stand back in gh_poll: several may
    // What it may allocate before it has to mark (below zero: a debt), its assist
    // time not yet handed on, and, in GH_MODE_VIRTUAL, when it last did something.
    int64_t assist_bytes, assist_ns;
    double event_ns;
    // Called around waits and automatic cycles; NULL: nobody asked.
    void (*around)(void *arg, bool begins);
    void *around_arg;
    uint32_t outside;        // how often around was called to begin, and not to end
    struct gh_pconc *conc;   // of GH_MODE_CONCURRENT, else NULL
    struct gh_pconc *wb;     // conc while the barrier uses its buffer, else NULL
    gh_mcache mcache;
    gh_page_cache pcache;
    // Root of an object that has been allocated and is in no slot yet.
    gh_slot pending;
    gh_cleanup_block cleanups;
};

// gh_heap_stats is Go's heapStatsDelta, summed.
typedef struct gh_heap_stats {
    uint64_t committed, released, in_heap, in_stacks, in_workbufs;
    uint64_t tiny_alloc_count;
    uint64_t large_alloc, large_alloc_count, large_free, large_free_count;
    uint64_t small_alloc_count[GH_NUM_SIZE_CLASSES];
    uint64_t small_free_count[GH_NUM_SIZE_CLASSES];
} gh_heap_stats;

// gh_cpu_stats is CPU time by class, in ns of the heap's clock: see cpustats.h.
typedef struct gh_cpu_stats {
    double assist, dedicated, idle_mark;  // marking; dedicated has fractional too
    double pause, gc;                     // gc is the sum of these four
    double scav_assist, scav_background;
    double idle, user, total;
    double idle_late;  // since the last cycle
    double total_late; // at all times
    double seen_ns;    // idle_late counts up to here
    double total_ns;   // and total_late to here
} gh_cpu_stats;

// gh_gcwork is the marker's own memory; see mgcwork.h.
typedef struct gh_workbuf gh_workbuf;
typedef struct gh_gcwork {
    gh_workbuf *top;    // the buffer in use
    gh_workbuf *empty;  // spare ones
    bool overflowed;    // an object was marked and not queued
    uint64_t nbufs;     // ever obtained and not given back
} gh_gcwork;

// gh_pconc is the rest of a P in GH_MODE_CONCURRENT: see safepoint.h, mgcpar.h.
// It is made with the first P of its number and stays when that ends: who looks
// for a free P may look at it at any time.
typedef enum gh_p_status {
    GH_P_IDLE,
    GH_P_HELD,     // by a mutator or a worker
    GH_P_STOPPED,  // the world is being stopped
    GH_P_DEAD,
} gh_p_status;

#define GH_WB_ENTRIES 512u
// 2^bits pointers that the barrier remembers.
#define GH_WB_SEEN_BITS 10u
#define GH_WB_SEEN      (1u << GH_WB_SEEN_BITS)

// gh_figures is scan work that is only counted: nothing here has to be looked at
// for it. See mgcmark.h.
typedef struct gh_figures {
    uint64_t globals, stacks, base;
} gh_figures;

// gh_ahead is the spans of one class that a P took in advance, those of them that are
// full by now, and empty ones that it swept for a debt; see mcache.h.
#define GH_AHEAD_SPANS 8u
// Refills under heap_lock after one that had to wait for it, for which threads are taken
// to be in each other's way.
#define GH_AHEAD_REFILLS 64u
// Pages of spare spans that a P may have: as many as its page cache has.
#define GH_SPARE_PAGES 64u
typedef struct gh_ahead {
    uint8_t contended;        // of those refills, how many are left
    uint8_t spc;              // the class of the last refill under heap_lock
    uint8_t next, nready, nfull;
    uint8_t refused;          // how often none of another class were taken because of these
    uint8_t nspare;
    gh_mspan *ready[GH_AHEAD_SPANS];  // from next on not yet used
    gh_mspan *full[GH_AHEAD_SPANS];
    gh_mspan *spare[GH_SPARE_PAGES];  // swept, empty, in no set, of one class
    int64_t live;             // what heap_live doesn't have yet of those in use or full
    int64_t taken;            // and of all; conc.ahead_live has it
} gh_ahead;

typedef struct gh_pconc {
    _Atomic uint32_t status;  // gh_p_status
    _Atomic uint32_t turn;    // +1 whenever somebody takes it
    // Under the heap's lock:
    bool stopped_held;        // STOPPED, and then its holder goes on
    bool flush_wanted;        // its holder is to hand on what it has marked
    // Written under it, read at every poll:
    _Atomic uint32_t wanted;  // mutators that wait for it and no other
    // The holder's:
    int64_t polled_ns;        // the first poll at which somebody waited, or 0
    int64_t fractional_ns;    // marked in this cycle by fractional workers
    bool trigger_met;         // when it last took a span
    gh_ahead ahead;           // its spare spans
    gh_gcwork work;           // its grey objects
    uint64_t bytes_marked, scan_work;  // not yet in the heap's sums
    gh_figures figures;       // likewise
    // New objects that are to be marked, of one mark word: see gh_mark_new_beside.
    uint64_t *new_word;
    uint64_t new_bits;
    uint64_t new_elemsize;
    uint32_t nwb;             // the barrier's buffer: pointers to be shaded
    uintptr_t wb[GH_WB_ENTRIES];
    uint32_t seen_in;         // cycle of the following
    uintptr_t seen[GH_WB_SEEN];  // some that were put there in that cycle
} gh_pconc;

// gh_claim is a worker that waits for a P; in its frame.
typedef struct gh_claim {
    struct gh_claim *next;
    int32_t want;             // the number, or GH_ANY_P
    gh_p *granted;
} gh_claim;

// gh_conc is what else GH_MODE_CONCURRENT needs: see safepoint.h, mgcpar.h,
// mgcbg.h.
typedef struct gh_conc {
    int64_t birth_ns;         // gh_nanotime when the clock was 0
    gh_pconc **of;            // by number of the P; NULL: never made
    // Stopping, and who waits: under the heap's lock.
    _Atomic bool stopping;    // written under it
    _Atomic(gh_p *) stopper;  // whose holder stops the world
    uint32_t stop_depth;      // the stopper's
    bool stop_waited;         // so is this: gh_outside has begun
    int64_t stop_ns;          // when it began to stop
    int64_t stood_ns;         // when all stood
    uint32_t mutators_waiting;  // atomic too: read by workers
    uint32_t any_waiting;     // of them, who takes any P
    _Atomic uint32_t lookers;  // reasons for every holder to look; likewise
    gh_claim *claims;
    bool flushed;             // a holder had something to hand on
    int64_t ahead_live;       // `taken` of all Ps [lock:heap]
    // Grey objects that no P has, and roots not yet looked at [lock:work].
    gh_mutex work_lock;
    gh_workbuf *full, *spare;
    gh_slots *root_block;     // cursor: the next slot to look at
    size_t root_slot;
    uint32_t root_handle, root_handles;
    // These, hungry, active and ending are seq_cst: [inv:bg.hungry]. That marking is
    // over is never concluded from them alone, but in a stop.
    _Atomic bool has_full, has_roots;
    _Atomic bool overflowed;  // an object was marked and not queued
    _Atomic uint32_t hungry;  // workers that found nothing
    _Atomic uint32_t active;  // Ps that mark
    // The background.
    _Atomic bool marking;     // a cycle is between begin and end
    _Atomic bool ending;      // somebody looks whether it is over
    _Atomic uint32_t done;    // num_gc, for who has no P
    _Atomic bool quit;
    gh_cond bg_cond;          // workers, with the heap's lock
    gh_cond sweep_cond;       // the sweeper, likewise
    uint32_t looked;          // cycle that was looked at in a stop; `ending` guards it
    struct gh_bg *bg;         // threads; NULL: none yet
    uint64_t stops;           // how often the world was stopped
    struct gh_watch *watches;  // who waits, under the heap's lock: see watchdog.h
    int64_t watch_ns;         // how long it may; 0: a minute
    _Atomic uint64_t points;  // yield points that were passed: see delays.h
} gh_conc;

// gh_labels finds an object by the name that a client gave it: see special.h.
typedef struct gh_label_link {
    struct gh_label_link *next;  // in the bucket
    uint32_t hash;
} gh_label_link;
typedef struct gh_labels {
    gh_label_link **bucket;
    uint32_t nbuckets;           // a power of two, or 0
    uint32_t n;
} gh_labels;

typedef struct gh_memprof gh_memprof;  // mprof.h

// gh_virtual is the state of a cycle beside the program: see mgcvirtual.h.
typedef struct gh_virtual {
    bool on;               // a cycle marks
    bool empty;            // its queue was empty at the last look
    bool stretched;        // the time at hand has the workers' share in it
    double seen_ns;        // the clock at the last tick
    double force_period_ns; // a cycle begins that long after the last one
    double delay_ns;       // that the cycle goes on once nothing is left to mark
    double owed;           // scan work that the workers had time for
    double sweep_ns;       // time that the sweeper has left
    int32_t dedicated, max_idle;
    gh_p *waiter;          // in debt, waiting for the background
} gh_virtual;

// gh_grey_list is the queue of a cycle that is driven by hand: first in, first
// out, so that a reader can follow it.
typedef struct gh_grey_list {
    uintptr_t *at;
    size_t head, n, cap;     // entries at[head], ..., n of them, in a ring
} gh_grey_list;

// gh_lost_list notes the objects that an unsound barrier lost: see mcheckmark.h.
typedef struct gh_lost_object {
    uintptr_t base;          // of its slot
    uint32_t cycle;          // the cycle that would have freed it
} gh_lost_object;
typedef struct gh_lost_list {
    gh_lost_object *at;      // by address
    size_t n, cap;
    uint64_t unnoted;        // lost, and no memory for a note
    uintptr_t last;          // base of what the last GH_ERR_LOST was about
} gh_lost_list;

struct gh_pin {
    gh_heap *heap;           // NULL once the heap is gone: see owner
    gh_pin *next, *prev;
    gh_slot slot;
    struct gh_window *owner;
    bool dead;               // freed while a cycle marked; under owner's lock
};

// gh_window is the heap's address space for objects. It outlives the heap while
// pins show its memory: refs counts the heap and each pin.
typedef struct gh_window {
    void *reserved;          // what the OS gave
    size_t reserved_bytes;
    gh_mutex lock;           // guards refs, pins and pin->heap
    size_t refs;
    gh_pin *pins;
    const gh_mem_ops *ops;
    void *ctx;
} gh_window;

struct gh_heap {
    uint32_t sig;
    // ---- what marking and the slow path read most
    uintptr_t base;          // of the window; offset 0
    uintptr_t mapped_bytes;  // offsets below have pageinfo and spans entries
    gh_pageinfo *pageinfo;
    gh_mspan **spans;        // page number -> span; stale after a free
    gh_bitmaps bm;
    gh_phase phase;
    uint32_t sweepgen;
    bool concurrent;         // opt.mode == GH_MODE_CONCURRENT
    bool forked;             // gh_heap_forked was called
    bool mark_bmi2;          // the markers' loops may use what GH_BMI2 says
    uint64_t edges_from;     // heap_marked from which edges go by the batch: mgcmark_scan.h

    gh_options opt;
    gh_size_table sizes;     // of the policy; never changes
    gh_mem mem;
    gh_persistent persistent;
    gh_sysstat stacks_sys, mspan_sys, mcache_sys, buckhash_sys, gc_misc_sys,
        other_sys;

    // ---- address space
    gh_window *window;
    size_t window_bytes;
    gh_heap_arena **arenas;  // by arena number; NULL: not yet
    size_t narenas;          // mapped arenas are 0..narenas-1
    uintptr_t cur_arena_base, cur_arena_end;
    bool huge_refused;       // the OS did not want to give huge pages
    gh_pagealloc pages;

    // ---- spans
    gh_fixalloc spanalloc;
    gh_fixalloc cachealloc;  // Ps
    gh_mspan empty_mspan;    // what an empty mcache slot points at
    gh_mcentral central[GH_NUM_SPAN_CLASSES];

    // ---- Ps and who is inside
    gh_p **allp;             // procs of them; freed Ps go to cachealloc
    int32_t procs;
    int32_t last_p;
    _Atomic uint32_t busy;   // 1: somebody is inside. The fast way in and out
    gh_p *inside;            // the P that is held; the holder's to read
    // Reasons to look at what lock guards: waiting threads, stops.
    _Atomic uint32_t waiters;
    gh_mutex lock;           // guards waiting for cond; also turn
    gh_cond cond;
    gh_conc conc;
    _Atomic uint64_t turn;   // +1 whenever somebody comes in
    int64_t entered_ns;      // gh_nanotime when the holder came in, or 0

    // ---- heap_lock and what is written under it whenever a span is taken: a cache line
    // each, so that a P gets little from the others' caches
    _Alignas(GH_CACHE_LINE) gh_rmutex heap_lock;  // of GH_MODE_CONCURRENT
    // Sweeping (mgcsweep.go, mheap.go).
    _Alignas(GH_CACHE_LINE) bool sweep_drained;
    uint32_t central_index;  // next of the 272 sets to look at
    uint64_t pages_swept, pages_swept_basis;
    uint64_t sweep_heap_live_basis;
    double sweep_pages_per_byte;
    uint64_t swept_bytes;    // freed since the last mark termination
    uint64_t pages_in_use;   // of spans in use
    uint64_t grown;          // bytes that the heap ever grew by
    _Alignas(GH_CACHE_LINE) gh_gc_controller gcc;

    // ---- sweeping, the rest
    // Pages of the dead weight that are still to be swept. It stands for what a
    // program has besides: large objects, swept in three pieces, and small ones.
    uint64_t base_large, base_small;
    uint64_t reclaim_index, reclaim_credit;
    size_t sweep_arenas;
    gh_sweep_trace sweep;    // of the sweep since then

    // ---- the collector
    gh_limiter limiter;
    gh_scavenger scavenger;
    gh_scav_goals scav_goals;
    uint64_t last_heap_in_use; // at the last mark termination
    gh_gcwork work;
    struct gh_greentea *gt;  // of GH_MARKER_GREENTEA; NULL: the other marker
    uint64_t bytes_marked;
    gh_cycle rec;            // of the cycle that runs
    gh_virtual virt;
    void (*clear_pools)(void *arg);  // NULL: gh_on_clear_pools was not called
    void *clear_pools_arg;
    bool by_hand;            // the cycle is driven by gh_gc_step
    gh_grey_list grey;       // what gh_gc_step has not scanned yet
    gh_mspan *workbuf_span;  // model_workbufs: the borrowed pages
    uint32_t cycles_started; // work.cycles
    uint32_t num_gc, num_forced_gc;
    gh_cycle *cycle_log;     // num_gc of them
    size_t cycle_cap;
    uint64_t gc_skips;
    uint64_t allocs_asked;   // gc_every: allocations begun
    gh_lost_list lost;
    uint64_t checkmarks;     // cycles compared with a second tracing

    // ---- roots
    gh_slots *blocks;        // list; guarded by roots_lock
    gh_slots *ballast;       // one slot, of Policy's ballast; NULL: none
    gh_mutex roots_lock;
    // While a cycle marks, a block or pin that is freed stays in its list until
    // its slots are shaded. Guarded by roots_lock and the window's lock.
    bool roots_marking, pins_marking;
    _Atomic bool has_dying;  // there are such ones
    gh_handles handles;
    gh_types types;
    gh_labels labels;
    uint64_t nspecials[GH_SPECIAL_KINDS];  // attached, by kind: see special.h
    uint64_t finalizers_set, finalizers_cleared;
    uint64_t cleanup_id, cleanups_stopped, cleanups_queued;
    // Mark termination is under way: a weak pointer may not be made strong.
    bool strong_from_weak_block;
    uint64_t globals_scan, stack_scan;
    gh_figures figures_left;  // of this cycle; roots_lock
    uint64_t base_scanned;    // in this cycle

    // ---- numbers
    gh_heap_stats stats;
    uint64_t pause_total_ns;
    uint64_t pause_ns[256], pause_end[256];
    uint64_t last_gc_ns;
    double gc_cpu_fraction;
    gh_cpu_stats cpu;
    // Times of stops: until all Ps stood, and whole; for cycles and for the rest.
    gh_time_histogram stopping_gc, stopped_gc, stopping_other, stopped_other;

    // ---- the heap profile (mprof.h)
    gh_memprof *prof;        // NULL: nothing was sampled yet
    int64_t prof_rate;       // bytes between two samples, on average; 0: off
    uint32_t prof_site;      // what the client says of allocations now
    uint64_t prof_lost;      // samples for which there was no memory
    uint64_t random;         // state of the one source of chance

    // ---- the virtual clock
    double clock_ns;         // virtual now
    uint64_t clock_allocs, clock_bytes;  // already paid for
    bool clock_external;     // gh_clock_set or gh_clock_pass was called
    bool clock_stamped;      // the former: the collector's share is in the time

    // ---- events, and what the client is to be called about
    gh_calls calls;
    uint32_t listen_mask;
    void (*listener)(void *arg, const gh_event *e);
    void *listener_arg;
};

// gh_addr_show is the address that users see.
static inline uint64_t
gh_addr_show(const gh_heap *h, uintptr_t p)
{
    return GH_ADDR_BASE + (uint64_t)(p - h->base);
}

// gh_zerobase is where every zero-size object lies: just below the window, in
// no span.
static inline uintptr_t
gh_zerobase(const gh_heap *h)
{
    return h->base - 16;
}

// gh_span_of_unchecked returns what the page table says; NULL if never used. The
// span may be dead or the page no longer its own.
static inline gh_mspan *
gh_span_of_unchecked(const gh_heap *h, uintptr_t p)
{
    return h->spans[(p - h->base) >> GH_PAGE_SHIFT];
}

// gh_header_of is where the type of the object in the slot at v is noted, if slots
// of its size have a header: in its first word. Where memory of objects stays
// untouched, in the pointer bits of the slot, which nothing else uses: the first
// whole word of them that begins in it, and slots of more than 512 bytes have one
// each [inv:header.leaves].
static inline const gh_type **
gh_header_of(gh_heap *h, uintptr_t v)
{
    return h->opt.leaves
               ? (const gh_type **)&h->bm.ptr_bits[(v - h->base + 511) / 512]
               : (const gh_type **)v;
}

// gh_span_of returns the span in use that holds p below its limit, or NULL.
// Go: spanOfHeap.
static inline gh_mspan *
gh_span_of(const gh_heap *h, uintptr_t p)
{
    const uintptr_t off = p - h->base;
    if (off >= __atomic_load_n(&h->mapped_bytes, __ATOMIC_RELAXED)) {
        return NULL;
    }
    gh_mspan *s = h->spans[off >> GH_PAGE_SHIFT];
    if (s == NULL || s->state != GH_SPAN_IN_USE || p < s->base
        || p >= s->limit) {
        return NULL;
    }
    return s;
}

// gh_find_object is the one road from an address to span and slot number.
// The slot need not be allocated. Go: findObject.
static inline gh_mspan *
gh_find_object(const gh_heap *h, uintptr_t p, unsigned *index)
{
    gh_mspan *s = gh_span_of(h, p);
    if (s != NULL) {
        *index = gh_mspan_obj_index(s, p);
    }
    return s;
}

static inline gh_heap_arena *
gh_arena_of(const gh_heap *h, uintptr_t p)
{
    return h->arenas[(p - h->base) >> GH_HEAP_ARENA_SHIFT];
}

// gh_set_drained: whether all is swept. Written under heap_lock or while the world is
// stopped; the sweeper reads it under neither.
static inline void
gh_set_drained(gh_heap *h, bool drained)
{
    __atomic_store_n(&h->sweep_drained, drained, __ATOMIC_RELAXED);
}

// gh_lock_heap takes what is neither a P's nor changed in stops only [lock:heap].
// In the repeatable modes the holder of a P has it already.
static inline void
gh_lock_heap(gh_heap *h)
{
    if (GH_UNLIKELY(h->concurrent)) {
        gh_rlock(&h->heap_lock);
    }
}

static inline void
gh_unlock_heap(gh_heap *h)
{
    if (GH_UNLIKELY(h->concurrent)) {
        gh_runlock(&h->heap_lock);
    }
}

// gh_clock_sync moves the clock of a concurrent heap to the present, which is
// what nobody pays for there. Under heap_lock.
static inline void
gh_clock_sync(gh_heap *h)
{
    if (GH_UNLIKELY(h->concurrent)) {
        h->clock_ns = (double)(gh_nanotime() - h->conc.birth_ns);
    }
}

// A word that several threads read and write: a slot, a word of an object. What
// was written before a pointer was stored is seen by who loads it.
static inline uintptr_t
gh_word_load(const uintptr_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void
gh_word_put(uintptr_t *word, uintptr_t v)
{
    __atomic_store_n(word, v, __ATOMIC_RELEASE);
}

// gh_set_slow sets what `slow` and `only_marks` of p are to be.
static inline void
gh_set_slow(gh_p *p)
{
    const gh_heap *h = p->heap;
    const bool marks = h->phase != GH_PHASE_OFF;
    const bool more = h->opt.debug.gc_every != 0 || h->prof_rate != 0
                      || p->mcache.prof_rate != 0
                      || h->opt.policy.num_size_classes != 0;
    p->slow = marks || more;
    p->only_marks = marks && !more;
}

// gh_scav_state_of is the part of a scavtrace line that the heap knows.
static inline gh_scav_trace
gh_scav_state_of(const gh_heap *h)
{
    return (gh_scav_trace){
        .heap_released = h->gcc.heap_released.bytes,
        .heap_in_use = h->gcc.heap_in_use.bytes,
        .heap_free = h->gcc.heap_free.bytes,
    };
}

// gh_emit tells the listener, if it asked for this kind.
static inline void
gh_emit(gh_heap *h, gh_event_kind kind, int32_t p, uintptr_t addr,
        uint64_t size, uint8_t spanclass)
{
    if (GH_LIKELY((h->listen_mask >> kind & 1) == 0)) {
        return;
    }
    const gh_event e = {
        .t_ns = (int64_t)h->clock_ns,
        .kind = kind,
        .p = p,
        .addr = addr == 0 ? 0 : gh_addr_show(h, addr),
        .size = size,
        .spanclass = spanclass,
    };
    h->listener(h->listener_arg, &e);
}

#endif  // HEAP_H

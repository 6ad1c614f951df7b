// goheap.h: the public interface of the goheap core.
//
// This is the one header that code outside csrc/core includes (the clients in
// this tree may add goheap_inline.h). It needs a C11 compiler and nothing else:
// no Python.h, no operating-system header, no struct of the core laid open.
//
// Errors: a function that can fail returns gh_status and writes its results
// through its last parameters, only on GH_OK. A failed step leaves objects,
// words, roots and settings as they were; counters may show work done on the
// way (a sweep, a growth).
//
// Roots: an object is only ever reached through a gh_slot, a root outside the
// heap. Every allocation and every load names the slot that receives the
// object, so no unrooted pointer ever leaves the core.
//
// Mutators: whoever works on a heap holds one of its Ps, from gh_enter to
// gh_leave. Functions that take a gh_mut * are called by its holder. In the
// repeatable modes (GH_MODE_STW, GH_MODE_VIRTUAL) one mutator is inside a heap at
// a time, whatever its number of Ps. In GH_MODE_CONCURRENT as many are as there
// are Ps; then functions that take a gh_heap * and walk it, or ask for anything
// but what a slot holds, and those that attach something to an object (labels,
// finalizers, cleanups, weak pointers, pins) are called between gh_stop_world and
// gh_start_world. GH_MARKER_GREENTEA is not in that mode (GH_ERR_INVAL).
//
// State: all of it hangs off a gh_heap. The core has no mutable globals, so any
// number of heaps may live in one process.

#ifndef GOHEAP_H
#define GOHEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GH_NODISCARD __attribute__((warn_unused_result))
#else
#define GH_NODISCARD
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define GH_GO_VERSION "go1.26.8"  // the runtime that is imitated

// ---- status ---------------------------------------------------------------

// Order and values are part of the interface; new ones are added at the end.
typedef enum gh_status {
    GH_OK = 0,
    GH_ERR_NOMEM,   // the OS or the window refused memory
    GH_ERR_INVAL,   // an argument is outside its range
    GH_ERR_BADPTR,  // nil, or not a live object of this heap
    GH_ERR_STATE,   // not in this mode or phase
    GH_AGAIN,       // no failure: a try_ call would have had to wait
    GH_ERR_LOST,    // an object that an unsound barrier lost: see gh_lost_path
} gh_status;

// gh_status_name returns the constant's name, for messages and logs.
const char *gh_status_name(gh_status st);

// ---- the operating system, replaceable --------------------------------------

// gh_mem_ops is every call that a heap makes to the OS for memory. v and n are
// multiples of 4096. An op that returns int returns 0, or an errno value with
// nothing changed.
typedef struct gh_mem_ops {
    void *(*reserve)(void *ctx, size_t n);  // address space; NULL: refused
    int (*map)(void *ctx, void *v, size_t n);  // make accessible, demand-zero
    int (*unused)(void *ctx, void *v, size_t n);  // give pages back, keep mapped
    int (*fault)(void *ctx, void *v, size_t n);  // back to reserved
    void (*free)(void *ctx, void *v, size_t n);  // give everything back
    int (*huge)(void *ctx, void *v, size_t n);  // ask for huge pages; NULL: there
                                                // are none
} gh_mem_ops;

// gh_mem_fault wraps the Linux table and fails chosen calls: for tests.
typedef struct gh_mem_fault {
    uint64_t calls;      // reserve, map, unused, fault, huge calls so far
    uint64_t fail_from;  // the call with this number (0 is the first) fails ...
    uint64_t fail_count; // ... and so do this many in all; 0: none fails
    uint64_t failed;     // calls that were made to fail
    uint64_t bytes;      // reserved and not freed
} gh_mem_fault;

// gh_mem_fault_ops returns the table whose ctx is a gh_mem_fault.
const gh_mem_ops *gh_mem_fault_ops(void);

// ---- options ---------------------------------------------------------------

typedef enum gh_mode {
    GH_MODE_STW = 0,     // GODEBUG=gcstoptheworld=2, on the virtual clock
    GH_MODE_VIRTUAL,     // cycles beside the program, on the virtual clock
    GH_MODE_CONCURRENT,  // cycles beside the program, by threads of the heap's
                         // own; several mutators at once; the real clock
} gh_mode;

// gh_marker is who marks. The same objects live with each.
typedef enum gh_marker {
    GH_MARKER_OBJECTS = 0,  // object by object
    GH_MARKER_GREENTEA,     // Go's: spans of small objects
} gh_marker;

// gh_scan_work is how a cycle's scan work is counted.
typedef enum gh_scan_work {
    // Of each object the bytes up to the end of its last pointer word: Go without
    // AVX-512. Neither order nor machine matters.
    GH_SCAN_WORK_OBJECT = 0,
    // Of the objects of a page that is scanned at once all bytes: Go with
    // AVX-512. With GH_MARKER_GREENTEA only, since only it scans pages.
    GH_SCAN_WORK_DENSE,
} gh_scan_work;

// gh_barrier says which halves of the write barrier are on, for words of objects
// and for root slots alike (barrier.md). A slot's barrier is its deletion half.
typedef enum gh_barrier {
    GH_BARRIER_HYBRID = 0,  // both, as Go
    GH_BARRIER_DELETION,
    GH_BARRIER_INSERTION,   // unsound, like the next: marking may miss objects.
    GH_BARRIER_NONE,        // Loads are checked then: see gh_lost_path.
} gh_barrier;

// gh_policy is what the heap is made of; the defaults decide as Go does.
typedef struct gh_policy {
    size_t struct_size;  // set by gh_policy_init
    bool tiny;           // combine noscan requests below 16 bytes
    bool eager_sweep;    // sweep at the end of a cycle; false: lazily, as Go's
                         // gcstoptheworld=1. The default of GH_MODE_STW is true.
    bool scavenger;      // give free memory back: in the background (not in
                         // GH_MODE_STW), at growth, under the limit
    gh_marker marker;
    gh_scan_work scan_work;
    bool portable_kernels;  // mark in portable C though the CPU has better,
                         // for tests: it shows in the time alone
    bool page_cache;     // a P takes small spans from 64 pages of its own
    gh_barrier barrier;
    // A table of size classes in place of Go's, num_size_classes of them (0: Go's),
    // rising: multiples of 8 up to 1024 and of 128 above, 512 among them, 16 too if
    // tiny, the last 32768. Their spans are chosen as Go chooses its own.
    uint16_t num_size_classes;
    uint16_t size_class[67];
    uint64_t min_heap;   // heapMinimum at GOGC=100: 4 MiB
    uint64_t ballast;    // bytes of a block without pointers that is allocated
                         // first and lives as long as the heap
} gh_policy;

// gh_debug is checks to switch on. They cost time and change no figure, but for
// the cycles that gc_every asks for.
typedef struct gh_debug {
    size_t struct_size;  // set by gh_debug_init
    bool checkmark;      // after each cycle's marking trace again, by other code,
                         // and throw if an object was missed
    bool clobber_free;   // sweeping fills freed slots with 0xdeadbeefdeadbeef
    uint64_t gc_every;   // gh_gc before each gc_every-th allocation, but for a
                         // cycle that is driven by hand and for allocations inside
                         // a stop of the world; 0: none
    uint64_t delays;     // GH_MODE_CONCURRENT only: seed of random delays in
                         // barrier, marking, sweeping and stops; 0: none
} gh_debug;

// gh_costs is the virtual clock's price list, in ns.
typedef struct gh_costs {
    size_t struct_size;
    double alloc;       // an allocation
    double alloc_byte;  // a byte of the slot handed out
    double scan_byte;   // a byte of scan work
    double sweep_page;  // a page swept
    double page_fault;  // a page (8 KiB) first used
    double stop;        // stopping or starting the world
} gh_costs;

// gh_options is filled by gh_options_init and then changed field by field, so
// that a caller built against an older header gets the defaults of new fields.
typedef struct gh_options {
    size_t struct_size;     // set by gh_options_init
    int32_t gogc;           // percent; -1: off
    int64_t memory_limit;   // bytes; INT64_MAX: off
    uint64_t non_heap;      // bytes beside the heap that count for the limit, in
                            // place of what this heap's own records take; 0: those
    int32_t procs;          // GOMAXPROCS, 1..GH_MAX_PROCS
    gh_mode mode;
    uint64_t address_space; // bytes of the heap's window: 256 GiB. Halved while
                            // the OS refuses, down to 1 GiB.
    uint64_t hard_limit;    // most bytes in state Ready, the collector's work
                            // buffers left out; UINT64_MAX: none. Before it
                            // refuses, free pages go back and a cycle is run.
    uint64_t globals_scan;  // bytes of globals in the goal and in root work
    uint64_t stack_scan;    // bytes of stacks likewise, each cycle
    uint64_t base_live;     // dead weight: bytes that count as live for ever in
                            // heap_live, heap_marked, heap_inuse, total_alloc
    uint64_t base_scan;     // bytes of it that hold pointers: scan work of every
                            // cycle
    uint64_t seed;          // of what Go leaves to chance: where samples fall
    bool leaves;            // nobody writes or reads a word of an object, so none is
                            // cleared or looked into: for replays, whose roots hold
                            // every object. May be larger than memory
    bool huge_pages;        // ask the OS for huge pages of 2 MiB for objects: faster,
                            // and what is resident comes and goes in such pieces
    bool track_types;       // keep type and length of every object aside
    double busy_ns;         // GH_MODE_VIRTUAL: a P is busy that long after its last
                            // event; 1 ms
    double cycle_delay_ns;  // GH_MODE_VIRTUAL: from the end of marking until every
                            // P has noticed; 0
    bool model_workbufs;    // a cycle borrows 32 KiB from the page heap, as Go's
                            // work buffers do: decides page numbers after it
    gh_policy policy;
    gh_debug debug;
    gh_costs costs;
    const gh_mem_ops *mem_ops;  // NULL: Linux
    void *mem_ctx;
} gh_options;

#define GH_MAX_PROCS 1024
#define GH_LIMIT_OFF INT64_MAX

void gh_policy_init(gh_policy *policy);
void gh_debug_init(gh_debug *debug);
void gh_costs_init(gh_costs *costs);
void gh_options_init(gh_options *opt);

// ---- the heap ---------------------------------------------------------------

typedef struct gh_heap gh_heap;
typedef struct gh_mut gh_mut;  // a mutator: the holder of a P

GH_NODISCARD gh_status gh_heap_new(const gh_options *opt, gh_heap **out);
// gh_heap_free gives back every byte the heap took, but objects that a pin
// shows (gh_pin) stay mapped until the last pin goes. Nobody may be inside.
void gh_heap_free(gh_heap *h);
gh_mode gh_heap_mode(const gh_heap *h);
// gh_huge_pages says what became of the option: GH_HUGE_REFUSED once the OS said no
// to any part of the heap, which goes on with small pages there. Any thread may ask.
typedef enum gh_huge_state { GH_HUGE_OFF, GH_HUGE_ON, GH_HUGE_REFUSED } gh_huge_state;
gh_huge_state gh_huge_pages(const gh_heap *h);
// gh_heap_forked is called in the child of a fork, before all else, on a heap
// that somebody was inside of, or whose threads stayed behind. After it nothing
// may be done with the heap but gh_heap_free, which gives back its window and
// tables; slots, pins and handles may be freed before and after. Small records
// stay: they may be half done.
void gh_heap_forked(gh_heap *h);

#define GH_ANY_P (-1)

// gh_enter takes P number p, or any (the last one used first). It waits while
// another mutator is inside; gh_try_enter returns GH_AGAIN instead. Both return
// GH_ERR_INVAL for a P that does not exist.
GH_NODISCARD gh_status gh_enter(gh_heap *h, int32_t p, gh_mut **out);
GH_NODISCARD gh_status gh_try_enter(gh_heap *h, int32_t p, gh_mut **out);
// gh_enter_until is gh_enter that gives up after about ns and returns GH_AGAIN.
GH_NODISCARD gh_status gh_enter_until(gh_heap *h, int32_t p, int64_t ns,
                                      gh_mut **out);
// gh_enter_alone and gh_leave_alone are gh_try_enter and gh_leave without a locked
// instruction: for a client who knows, by a lock of its own, that no other thread is
// inside, comes in or waits to.
GH_NODISCARD gh_status gh_enter_alone(gh_heap *h, int32_t p, gh_mut **out);
void gh_leave_alone(gh_mut *m);
// gh_around_cycles has fn called before and after each cycle that an allocation
// of this holder begins, until it leaves: for clients that give up a lock of
// their own meanwhile. fn must not use the heap.
void gh_around_cycles(gh_mut *m, void (*fn)(void *arg, bool begins), void *arg);
// gh_poll is for long runs, between two steps: it hands the heap to a waiter
// that has waited 10 ms and takes it back. Returns whether it did.
bool gh_poll(gh_mut *m);
void gh_leave(gh_mut *m);
// gh_stop_world makes every other mutator, and the collector, stand still until
// gh_start_world; calls nest. Long runs must poll for it to get anywhere. In the
// repeatable modes nobody else is inside, and it does nothing. What would wait for
// somebody else answers GH_ERR_STATE in between, in GH_MODE_CONCURRENT: gh_gc,
// gh_free_os_memory, gh_switch_p to another P, and gh_set_procs in a cycle.
void gh_stop_world(gh_mut *m);
void gh_start_world(gh_mut *m);
// gh_switch_p goes on as the holder of P number p, as a goroutine that is
// scheduled elsewhere. *m changes.
GH_NODISCARD gh_status gh_switch_p(gh_mut **m, int32_t p);
gh_heap *gh_mut_heap(const gh_mut *m);
int32_t gh_mut_p(const gh_mut *m);

// ---- root slots --------------------------------------------------------------

// gh_slot is one root. word is 0 for nil or an address inside an object (of
// this process: never shown to a user); clients read it, only the core writes.
typedef struct gh_slot {
    uintptr_t word;
} gh_slot;

// gh_slot_now is what a slot holds at this moment, where other mutators may write
// it. The copy is no root: it is good until the holder's next safepoint.
static inline gh_slot
gh_slot_now(const gh_slot *slot)
{
    gh_slot now = {__atomic_load_n(&slot->word, __ATOMIC_ACQUIRE)};
    return now;
}

// gh_slots is a block of slots with stable addresses: a script's slot table, a
// replay's live objects, a Roots object.
typedef struct gh_slots gh_slots;
GH_NODISCARD gh_status gh_slots_new(gh_heap *h, size_t n, gh_slots **out);
void gh_slots_free(gh_slots *b);  // as if every slot were set to nil
// gh_slots_orphaned: the heap has ended; gh_slots_free then touches nothing else.
bool gh_slots_orphaned(const gh_slots *b);
gh_slot *gh_slots_at(gh_slots *b, size_t i);
size_t gh_slots_len(const gh_slots *b);

// Single slots, for handles: numbered from 1, stable address, free list.
// gh_handle_new may be called by the holder of a P only; gh_handle_drop by
// anybody at any time: it never waits and needs no P.
GH_NODISCARD gh_status gh_handle_new(gh_mut *m, uint32_t *out);
void gh_handle_drop(gh_heap *h, uint32_t id);
// gh_handle_empty sets the slot to nil while nobody is inside or comes in, as
// gh_enter_alone; the number stays the client's. false, and nothing done, while a
// cycle is under way, which must hear of it.
bool gh_handle_empty(gh_heap *h, uint32_t id);
gh_slot *gh_handle_slot(gh_heap *h, uint32_t id);

// gh_set makes dst hold what src holds; gh_clear sets nil. Both shade while
// marking, as every write to a slot does.
void gh_set(gh_mut *m, gh_slot *dst, const gh_slot *src);
void gh_clear(gh_mut *m, gh_slot *dst);
// gh_set_interior makes dst hold src's address + off, which must lie in the
// same object (GH_ERR_INVAL).
GH_NODISCARD gh_status gh_set_interior(gh_mut *m, gh_slot *dst,
                                       const gh_slot *src, uint64_t off);

// ---- addresses ----------------------------------------------------------------

// The address shown to users: 0xc000000000 + offset in the window; 0 for nil.
uint64_t gh_addr(const gh_heap *h, const gh_slot *slot);
uint64_t gh_addr_of_word(const gh_heap *h, uintptr_t word);
// gh_addr_to_slot makes dst hold the live object at a shown address
// (GH_ERR_BADPTR if there is none).
GH_NODISCARD gh_status gh_addr_to_slot(gh_mut *m, gh_slot *dst, uint64_t addr);

// ---- types ---------------------------------------------------------------------

// A type is a size, an alignment and a pointer mask, bit i for word i. It
// belongs to a heap and lives as long. id numbers types from 2 (0: unknown,
// 1: bytes); user is the client's.
typedef struct gh_type gh_type;
typedef struct gh_type_desc {
    const char *name;      // copied; NULL: ""
    uint64_t size;         // bytes; 0 is legal
    uint32_t align;        // power of two, 1..8
    uint64_t ptrdata;      // bytes up to the end of the last pointer word
    const uint64_t *mask;  // (ptrdata/8+63)/64 words; NULL when ptrdata is 0
    uintptr_t user;
} gh_type_desc;
GH_NODISCARD gh_status gh_type_new(gh_mut *m, const gh_type_desc *desc,
                                   const gh_type **out);
void gh_type_get(const gh_type *t, gh_type_desc *out);
uint32_t gh_type_id(const gh_type *t);
const gh_type *gh_type_by_id(const gh_heap *h, uint32_t id);  // NULL: none
#define GH_TYPE_UNKNOWN 0u
#define GH_TYPE_BYTES   1u

// ---- allocation -----------------------------------------------------------------

// gh_alloc makes slot hold a new block of size bytes without pointers, zeroed.
// It may sweep or collect.
GH_NODISCARD gh_status gh_alloc(gh_mut *m, gh_slot *slot, uint64_t size);
// gh_new makes slot hold n consecutive zeroed elements of type t, as one object.
GH_NODISCARD gh_status gh_new(gh_mut *m, gh_slot *slot, const gh_type *t,
                              uint64_t n);
// gh_alloc_quick and gh_new_quick (one element) are a whole stay inside, on the P used
// last, for a client as of gh_enter_alone: handle id, which is empty, gets the object,
// whose address as shown is returned. 0: nothing was done, for more is to do than to
// take a free slot at hand, or calls wait; come in for it.
uint64_t gh_alloc_quick(gh_heap *h, uint32_t id, uint64_t size);
uint64_t gh_new_quick(gh_heap *h, uint32_t id, const gh_type *t);
// gh_alloc_spanclass makes slot hold a new slot of the given span class, whose
// size is elemsize (of a large object: a multiple of 8192). For replays of
// recordings that keep the slot but not the request. t may be NULL: every word
// of a scan object counts as a pointer. A type that is larger than the slot is
// refused (GH_ERR_INVAL); of a noscan slot it is not looked at.
GH_NODISCARD gh_status gh_alloc_spanclass(gh_mut *m, gh_slot *slot,
                                          uint8_t spanclass, uint64_t elemsize,
                                          const gh_type *t);
// gh_count_tiny counts a tiny allocation that a recording put into the
// existing block that slot holds; the block is left as it is.
void gh_count_tiny(gh_mut *m);

// ---- reading and writing ---------------------------------------------------------

// gh_load makes dst hold the pointer in word number word of the object (or of
// the place inside an object) that obj holds; gh_store writes what src holds
// there (NULL: nil), through the write barrier. The word must be a pointer word
// of the object's type: GH_ERR_INVAL if it isn't, or lies outside the object;
// GH_ERR_BADPTR if obj is nil.
GH_NODISCARD gh_status gh_load(gh_mut *m, gh_slot *dst, const gh_slot *obj,
                               uint64_t word);
GH_NODISCARD gh_status gh_store(gh_mut *m, const gh_slot *obj, uint64_t word,
                                const gh_slot *src);
// The same for any word of the slot: a pointer in a word that the mask leaves
// out keeps nothing alive. gh_load_any answers GH_ERR_BADPTR when the word
// holds no live object.
GH_NODISCARD gh_status gh_load_any(gh_mut *m, gh_slot *dst, const gh_slot *obj,
                                   uint64_t word);
GH_NODISCARD gh_status gh_store_any(gh_mut *m, const gh_slot *obj,
                                    uint64_t word, const gh_slot *src);
// gh_data returns the memory that slot points at, valid while slot holds it.
// Pointer words must not be written through it.
void *gh_data(const gh_slot *slot);

// gh_object is what is known of the object that contains an address.
typedef struct gh_object {
    uint64_t addr;      // of the object's start, as shown
    uint64_t off;       // of the address asked for, in the object
    uint64_t size;      // asked for; the slot's usable size if types are not kept
    uint64_t elemsize;  // of the slot
    uint64_t count;     // elements; bytes of a block
    uint32_t type_id;   // GH_TYPE_...
    uint8_t spanclass;
    bool header;        // 8 bytes of malloc header before addr
    bool marked;        // mark bit (false outside a cycle)
    uint64_t span_base; // as shown
    uint64_t npages;
    uint32_t nelems;    // slots of the span
    uint32_t index;     // the slot's number in the span
} gh_object;
GH_NODISCARD gh_status gh_object_at(gh_heap *h, const gh_slot *slot,
                                    gh_object *out);
GH_NODISCARD gh_status gh_object_at_addr(gh_heap *h, uint64_t addr,
                                         gh_object *out);
// gh_label_set names the object at a shown address; NULL takes its name away. A
// name belongs to one object at a time: GH_ERR_STATE while another one has it.
// It goes with its object. GH_ERR_BADPTR: no live object, or a zero-size one.
GH_NODISCARD gh_status gh_label_set(gh_mut *m, uint64_t addr, const char *name);
// gh_label_at returns the name of the object at a shown address, valid until the
// next call that changes the heap; NULL: it has none.
const char *gh_label_at(gh_heap *h, uint64_t addr);
// gh_label_find: the shown address of the object with that name, or
// GH_ERR_BADPTR.
GH_NODISCARD gh_status gh_label_find(gh_heap *h, const char *name,
                                     uint64_t *addr);
// gh_is_pointer_word reports whether word of the object in slot may hold a
// pointer, by its type.
bool gh_is_pointer_word(gh_heap *h, const gh_slot *slot, uint64_t word);

// ---- finalizers, cleanups, weak pointers ------------------------------------------

// What is called, and when, is told by gh_call. token is the client's; what the
// client keeps for it lasts until the call was taken or stopped, or the heap ends.
//
// gh_finalizer_set gives the object that slot holds a finalizer. *set is false
// for the zero-size object, which never dies. GH_ERR_STATE: it has one.
// GH_ERR_INVAL: not the object's beginning; inner says that any byte will do,
// which Go says of pointers to less than 16 bytes without pointers.
GH_NODISCARD gh_status gh_finalizer_set(gh_mut *m, const gh_slot *slot,
                                        bool inner, uint64_t token, bool *set);
// gh_finalizer_clear takes it away; false: there was none.
bool gh_finalizer_clear(gh_mut *m, const gh_slot *slot, uint64_t *token);
// gh_cleanup_add adds a cleanup to any byte of an object; *id counts from 1, and
// is 0 for the zero-size object. It allocates two blocks of 16 bytes, as Go does
// for an argument of less, which live until the call is taken.
GH_NODISCARD gh_status gh_cleanup_add(gh_mut *m, const gh_slot *slot,
                                      uint64_t token, uint64_t *id);
// gh_cleanup_stop takes cleanup number id away from the byte at a shown address;
// false: it is not there any more.
bool gh_cleanup_stop(gh_mut *m, uint64_t addr, uint64_t id);
// gh_weak_make makes box hold the 16 bytes of the heap that stand for the byte
// that slot holds: always the same ones, while the object lives.
GH_NODISCARD gh_status gh_weak_make(gh_mut *m, gh_slot *box,
                                    const gh_slot *slot);
// gh_weak_get makes dst hold what box stands for; nil from the sweep on that found
// it dead. GH_AGAIN: marking is ending; leave, come in again and repeat.
GH_NODISCARD gh_status gh_weak_get(gh_mut *m, gh_slot *dst, const gh_slot *box);
// gh_weak_addr is the shown address of what box stands for, 0: gone. It sweeps,
// shades and keeps alive nothing.
uint64_t gh_weak_addr(gh_heap *h, const gh_slot *box);
// gh_object_pin pins the object that slot holds: *pin is a handle of its own that
// keeps it alive, for gh_object_unpin only; pins are counted.
GH_NODISCARD gh_status gh_object_pin(gh_mut *m, const gh_slot *slot,
                                     uint32_t *pin);
void gh_object_unpin(gh_mut *m, uint32_t pin);
uint64_t gh_object_pins(gh_heap *h, const gh_slot *slot);

typedef struct gh_final_stats {
    uint64_t finalizers_set, finalizers_cleared, finalizers_attached,
        finalizers_queued, finalizers_taken;
    uint64_t cleanups_added, cleanups_stopped, cleanups_attached,
        cleanups_queued, cleanups_taken;
    uint64_t weak_attached;
} gh_final_stats;
void gh_final_stats_get(gh_heap *h, gh_final_stats *out);

// ---- the heap profile: a sample of the objects ------------------------------------

// gh_profile_set_rate samples one allocation in about rate bytes from the next one
// on (MemProfileRate): 0 none, 1 all. The default is 0.
GH_NODISCARD gh_status gh_profile_set_rate(gh_mut *m, int64_t rate);
int64_t gh_profile_rate(const gh_heap *h);
// gh_profile_set_site says what samples are put down to from now on, a number of
// the client's (0 at first), and returns the one before.
uint32_t gh_profile_set_site(gh_mut *m, uint32_t site);
// One row for each type, site and slot size, as sampled. What is shown is as of
// the last but one mark termination (Go: runtime.MemProfile), of the last one
// after gh_gc, or everything before the first.
typedef struct gh_profile_record {
    uint32_t type_id, site;
    uint64_t size;  // of the slot
    uint64_t allocs, frees, alloc_bytes, free_bytes;
} gh_profile_record;
void gh_profile_walk(gh_mut *m,
                     bool (*fn)(void *arg, const gh_profile_record *r),
                     void *arg);
// gh_profile_scale turns a count of samples and its bytes into an estimate of what
// there was. Go: runtime/pprof, scaleHeapSample.
void gh_profile_scale(int64_t rate, int64_t *count, int64_t *size);

// ---- pins: memory that outlives its heap -------------------------------------------

// A pin is a root that also keeps the memory mapped after gh_heap_free, for
// buffers that a client still shows.
typedef struct gh_pin gh_pin;
GH_NODISCARD gh_status gh_pin_new(gh_mut *m, const gh_slot *slot, gh_pin **out);
void *gh_pin_data(const gh_pin *pin);
// gh_pin_free may be called by anybody, before or after gh_heap_free; it never
// waits for a P.
void gh_pin_free(gh_pin *pin);

// ---- the collector ---------------------------------------------------------------

// gh_gc is runtime.GC(): a whole forced cycle and its sweep.
GH_NODISCARD gh_status gh_gc(gh_mut *m);
// A cycle driven by hand. gh_gc_start begins one: roots are grey, the barrier is
// on, new objects are black (GH_ERR_STATE: one runs). gh_gc_step scans n grey
// objects, the longest grey first, tells fn (NULL: nobody) the addresses that
// were scanned and that became grey by it, and how many are left. With
// GH_MARKER_GREENTEA it is n entries of its queues, as the marker takes them:
// an object, or all that is grey of a span. gh_gc_finish
// marks to the end and sweeps. Both answer GH_ERR_STATE when no cycle runs.
// gh_gc ends such a cycle before it begins its own.
typedef void (*gh_step_fn)(void *arg, bool scanned, uint64_t addr);
GH_NODISCARD gh_status gh_gc_start(gh_mut *m);
GH_NODISCARD gh_status gh_gc_step(gh_mut *m, uint64_t n, gh_step_fn fn,
                                  void *arg, uint64_t *left);
GH_NODISCARD gh_status gh_gc_finish(gh_mut *m);
// gh_color_at is the colour of the object at a shown address; outside a mark
// phase everything is white. GH_ERR_BADPTR: no live object.
typedef enum gh_color { GH_WHITE, GH_GREY, GH_BLACK } gh_color;
GH_NODISCARD gh_status gh_color_at(gh_heap *h, uint64_t addr, gh_color *out);
// gh_on_clear_pools has fn called at the beginning of each cycle, before marking,
// with the world stopped: where Go empties its sync.Pools. fn may clear slots
// (gh_clear) and do nothing else with the heap. NULL: nobody.
void gh_on_clear_pools(gh_mut *m, void (*fn)(void *arg), void *arg);
// gh_free_os_memory is debug.FreeOSMemory(): gh_gc, then every free page goes
// back to the OS.
GH_NODISCARD gh_status gh_free_os_memory(gh_mut *m);
// gh_sweep_all ends the sweep of the last cycle (a no-op with eager_sweep).
void gh_sweep_all(gh_mut *m);
// gh_sweep_some sweeps at most n spans, as a turn of Go's background sweeper does.
void gh_sweep_some(gh_mut *m, uint64_t n);
// gh_scavenge_some is a turn of the background scavenger, which GH_MODE_STW has not
// otherwise: while more is kept than its goals want, and for 1 ms of work, pieces of
// 64 KiB go back to the OS. Returns the bytes.
uint64_t gh_scavenge_some(gh_mut *m);

// Settings; they take effect at once. gh_set_gogc returns the old percentage.
// Off means that no cycle runs when it returns: it waits for one that marks, unless
// the caller has stopped the world.
int32_t gh_set_gogc(gh_mut *m, int32_t percent);  // < 0: off
int64_t gh_set_memory_limit(gh_mut *m, int64_t limit);  // < 0: only asks
// gh_set_procs: the caller's own P must stay, and every P whose holder stands
// back in gh_poll (GH_ERR_STATE otherwise). Ps that end give back their spans
// and pages.
GH_NODISCARD gh_status gh_set_procs(gh_mut *m, int32_t procs);
int32_t gh_gogc(const gh_heap *h);
int64_t gh_memory_limit(const gh_heap *h);
int32_t gh_procs(const gh_heap *h);
// gh_set_next_cycle sets goal and trigger of the next cycle (of the one that
// marks, if one does), in place of the pacer's: for a pacer of the client's. 0:
// the pacer decides. A trigger above the goal counts as the goal.
void gh_set_next_cycle(gh_mut *m, uint64_t goal, uint64_t trigger);
// Root bytes that enter the next goal; for replays whose stacks change.
void gh_set_root_scan(gh_mut *m, uint64_t globals, uint64_t stacks);

// The virtual clock, ns since the heap's birth.
int64_t gh_now(const gh_heap *h);
// gh_clock_set moves the clock to now (never back) and stops the mutator's
// allocations from moving it: for replays with time stamps of their own.
void gh_clock_set(gh_mut *m, int64_t now);
// gh_clock_pass lets ns pass in which the mutators work, and stops allocations
// from moving the clock too: for replays that know how long the program itself
// took. In GH_MODE_VIRTUAL workers and assists make it longer.
void gh_clock_pass(gh_mut *m, double ns);
// gh_advance lets ns pass in which no mutator does anything.
void gh_advance(gh_mut *m, int64_t ns);

typedef enum gh_phase { GH_PHASE_OFF, GH_PHASE_MARK, GH_PHASE_MARKTERM } gh_phase;
gh_phase gh_gc_phase(const gh_heap *h);

// gh_scav_trace is one line of GODEBUG=scavtrace=1.
typedef struct gh_scav_trace {
    uint64_t released_bg, released_eager;  // since the last line
    uint64_t heap_released, heap_in_use, heap_free;
    bool forced;                           // free_os_memory; bg is 0 then
    bool controller_reset;
} gh_scav_trace;

// gh_pacer_trace has what GODEBUG=gcpacertrace=1 prints of a cycle and gh_cycle has
// not.
typedef struct gh_pacer_trace {
    uint64_t heap_scan, goal;          // at the start
    double assist_ratio, fractional;
    int64_t dedicated;                 // workers
    bool measured;                     // something was allocated meanwhile
    double utilization, old_cons_mark;
    uint64_t expected;                 // scan work
} gh_pacer_trace;

// gh_sweep_trace is the sweep that belongs to a cycle.
typedef struct gh_sweep_trace {
    bool done;
    bool stopped;                      // within the cycle's second stop
    uint64_t heap_live, allocated;     // at its end, and since it began
    uint64_t pages;
    double pages_per_byte;
    gh_scav_trace scav;
    gh_scav_trace forced;              // forced.forced: by gh_free_os_memory
} gh_sweep_trace;

// gh_cycle is the record of one collection. Sizes in bytes, times in ns of the
// heap's clock.
typedef struct gh_cycle {
    uint32_t n;          // 1, 2, ...
    bool forced;
    int64_t start_ns, mark_start_ns, mark_end_ns, end_ns;
    uint64_t heap_start;   // heapLive at sweep termination
    uint64_t heap_end;     // heapLive at mark termination
    uint64_t heap_marked;
    uint64_t heap_goal;    // of the cycle that ended: what gctrace prints
    uint64_t trigger;      // heapLive that triggered it
    uint64_t next_goal, next_trigger;
    uint64_t scan_work, stack_scan, globals_scan;
    uint64_t swept_bytes;  // objects freed by the sweep that belongs to it
    uint64_t heap_inuse, heap_free, heap_released;  // when the world restarts
    double cons_mark;
    double gc_cpu_fraction;
    int64_t pause_ns[2];
    int64_t assist_ns, background_ns, idle_ns;
    uint64_t allocs;       // allocations made before it began
    int32_t procs, gogc;
    int64_t memory_limit;
    bool limited;
    bool periodic;         // begun by the two-minute timer
    gh_pacer_trace pacer;
    gh_sweep_trace sweep;  // as far as it is known
} gh_cycle;
uint64_t gh_cycles(const gh_heap *h);  // finished cycles (numgc)
GH_NODISCARD gh_status gh_cycle_get(const gh_heap *h, uint64_t i,
                                    gh_cycle *out);  // 0 is the first
// gh_cycle_format writes the line that GODEBUG=gctrace=1 prints, without a
// newline; returns the length that it needs, as snprintf.
int gh_cycle_format(const gh_cycle *c, char *buf, size_t cap);
// gh_cycle_trace writes all that Go prints about a cycle with GODEBUG=gctrace=1,
// gcpacertrace=1, scavtrace=1 (what: the bits of gh_trace_kind), each line ended,
// in Go's order; also of a sweep that has not ended yet: nothing.
typedef enum gh_trace_kind {
    GH_TRACE_GC = 1, GH_TRACE_PACER = 2, GH_TRACE_SCAV = 4
} gh_trace_kind;
int gh_cycle_trace(const gh_cycle *c, unsigned what, char *buf, size_t cap);

// ---- calls: what the client's own code is to hear of ------------------------------

// The core runs no code of the client. It keeps a call, a kind and a number,
// until the client takes it. These four may be called by anybody at any time;
// none of them needs a P.
typedef enum gh_call_kind {
    GH_CALL_CYCLE,      // a cycle ended; token: its number for gh_cycle_get
    GH_CALL_FINALIZER,  // an object was found dead and brought back
    GH_CALL_CLEANUP,    // an object is gone
} gh_call_kind;
typedef struct gh_call {
    gh_call_kind kind;
    uint64_t token;   // the client's, but of a cycle
    uint32_t handle;  // of a finalizer: holds the object, the taker's to drop
} gh_call;
// gh_call_count: how many calls wait.
size_t gh_call_count(const gh_heap *h);
// gh_call_gather makes due all that waits, and returns how many are: cycles
// first, oldest first; then finalizers, the last queued first; then cleanups,
// the block of 20 that was queued last first; all after what was due already.
size_t gh_call_gather(gh_heap *h);
// gh_call_take takes the next that is due; false: none is.
bool gh_call_take(gh_heap *h, gh_call *out);
// gh_call_cycles says whether cycles that end from now on queue a call
// (GH_ERR_NOMEM: as before); off drops those that wait.
GH_NODISCARD gh_status gh_call_cycles(gh_heap *h, bool on);

// ---- numbers --------------------------------------------------------------------

typedef struct gh_by_size {
    uint32_t size;
    uint64_t mallocs, frees;
} gh_by_size;

// gh_memstats is runtime.MemStats: same fields, same order, same meaning.
typedef struct gh_memstats {
    uint64_t alloc, total_alloc, sys, lookups, mallocs, frees;
    uint64_t heap_alloc, heap_sys, heap_idle, heap_inuse, heap_released,
        heap_objects;
    uint64_t stack_inuse, stack_sys, mspan_inuse, mspan_sys, mcache_inuse,
        mcache_sys;
    uint64_t buck_hash_sys, gc_sys, other_sys, next_gc, last_gc, pause_total_ns;
    uint64_t pause_ns[256], pause_end[256];
    uint32_t num_gc, num_forced_gc;
    double gc_cpu_fraction;
    bool enable_gc, debug_gc;
    gh_by_size by_size[61];
} gh_memstats;
// gh_stats computes MemStats as if every mcache were flushed, and flushes none.
void gh_stats(gh_mut *m, gh_memstats *out);
// gh_read_mem_stats is Go's ReadMemStats: it flushes every mcache first.
void gh_read_mem_stats(gh_mut *m, gh_memstats *out);
// gh_metrics is runtime/metrics: what it has of memory, collector and CPU, sorted by
// name. Goroutines, locks, cgo and GODEBUG are left out.
#define GH_NUM_METRICS        56
#define GH_METRIC_SIZES       68   // counts of a histogram by size
#define GH_METRIC_TIME_COUNTS 162  // of one of times
typedef enum gh_metric_kind {
    GH_METRIC_U64, GH_METRIC_F64, GH_METRIC_BY_SIZE, GH_METRIC_TIMES
} gh_metric_kind;
typedef struct gh_metric {
    const char *name;
    gh_metric_kind kind;
    uint64_t u64;
    double f64;
    const uint64_t *counts;  // in the same gh_metrics
} gh_metric;
typedef struct gh_metrics {
    size_t n;  // GH_NUM_METRICS
    gh_metric metric[GH_NUM_METRICS];
    uint64_t by_size[2][GH_METRIC_SIZES];
    uint64_t times[5][GH_METRIC_TIME_COUNTS];
    // Edges of the histograms: count i is of values from edge i up to edge i + 1.
    double size_edges[GH_METRIC_SIZES + 1];  // bytes
} gh_metrics;
// gh_metrics_get flushes nothing: small allocations show when their span goes back.
void gh_metrics_get(gh_mut *m, gh_metrics *out);
void gh_metric_time_edges(double edges[GH_METRIC_TIME_COUNTS + 1]);  // seconds
// gh_stats_slow recounts what can be recounted by walking spans and bitmaps
// (Go: ReadMemStatsSlow): for tests. The rest is as gh_stats.
void gh_stats_slow(gh_mut *m, gh_memstats *out);

// gh_pacer_stats is gcControllerState as it stands. All-ones: none/infinite.
typedef struct gh_pacer_stats {
    uint64_t heap_live, heap_marked, heap_scan, triggered, heap_goal, trigger;
    uint64_t gc_percent_goal, last_heap_scan, last_stack_scan, globals_scan,
        max_stack_scan;
    uint64_t runway, sweep_min_trigger, heap_inuse, heap_free, heap_released;
    uint64_t total_alloc, total_free, mapped_ready;
    double cons_mark;
    uint64_t heap_minimum, scav_eager, scav_bg, scav_gc_percent_goal;
} gh_pacer_stats;
void gh_pacer_get(const gh_heap *h, gh_pacer_stats *out);

// gh_counts is a walk over all spans beside the consistent counters: what sits
// in mcaches has not reached the latter. Index: span class or size class.
typedef struct gh_counts {
    uint64_t spans[136], pages[136], objects[136], free[136];
    uint64_t unswept;
    uint64_t small_alloc[68], small_free[68];
    uint64_t large_alloc, large_free;              // bytes
    uint64_t large_alloc_count, large_free_count;
    uint64_t tiny;
    uint64_t committed, released, in_heap, in_stacks, in_workbufs;
    uint64_t pages_in_use;
} gh_counts;
void gh_counts_get(gh_heap *h, gh_counts *out);

// Cheap gauges.
uint64_t gh_heap_live(const gh_heap *h);
uint64_t gh_heap_goal(const gh_heap *h);
uint64_t gh_trigger(const gh_heap *h);
uint64_t gh_heap_inuse(const gh_heap *h);
uint64_t gh_mapped_ready(const gh_heap *h);  // bytes in state Ready
uint64_t gh_hard_limit(const gh_heap *h);    // UINT64_MAX: none
// gh_flush_p gives back the spans of P number p, or of all for GH_ANY_P.
void gh_flush_p(gh_mut *m, int32_t p);

// ---- looking inside ---------------------------------------------------------------

typedef struct gh_span_info {
    uint64_t base;        // as shown
    uint64_t npages, elemsize;
    uint32_t nelems, allocated, free_index;
    uint32_t sweepgen;    // as stored
    uint32_t heap_sweepgen;
    uint8_t spanclass, state;  // state: 0 dead, 1 in use, 2 manual
    bool needzero;
    int32_t cached_by;    // P number, -1: none
} gh_span_info;
// fn returns false to end the walk. It must not use the heap.
void gh_walk_spans(gh_heap *h, bool (*fn)(void *arg, const gh_span_info *s),
                   void *arg);
// gh_walk_objects walks all allocated objects in address order.
void gh_walk_objects(gh_heap *h, bool (*fn)(void *arg, const gh_object *o),
                     void *arg);
// gh_walk_grey shows, in a mark phase, the addresses that wait to be scanned: of
// objects, of large ones their pieces, in no promised order.
void gh_walk_grey(gh_heap *h, void (*fn)(void *arg, uint64_t addr), void *arg);
GH_NODISCARD gh_status gh_span_at(gh_heap *h, uint64_t addr, gh_span_info *out);

// gh_verify checks every invariant of the heap and reports each violation as
// one line that starts with its tag, [inv:...]. Returns their number.
size_t gh_verify(gh_mut *m, void (*report)(void *arg, const char *line),
                 void *arg);

// gh_checkmarks is how often a second tracing was compared with the marks:
// once a cycle with checkmark or an unsound barrier.
uint64_t gh_checkmarks(const gh_heap *h);

// Lost objects: reachable, and freed by a cycle because of an unsound barrier. Their
// slots are kept as they are until nothing reaches them, so no other object gets
// harmed; but whatever loads, reads or looks at one answers GH_ERR_LOST.
bool gh_can_lose(const gh_heap *h);     // its barrier is unsound
size_t gh_lost(const gh_heap *h);       // how many there are now
// gh_check_lost answers GH_ERR_LOST if slot's object is one: for clients that are
// about to use gh_data, or to copy the slot.
GH_NODISCARD gh_status gh_check_lost(gh_mut *m, const gh_slot *slot);
// gh_lost_path is about the object of the last GH_ERR_LOST, or any lost one: it
// tells fn a shortest path to it now, from the object that a root holds to
// itself (label: NULL or valid during the call). Returns false if nothing is lost.
typedef struct gh_lost_info {
    uint64_t addr;    // as shown
    uint32_t cycle;   // that freed it
    bool reachable;   // false: fn heard only of the object itself
    uint8_t root;     // gh_root_kind of the path's beginning
} gh_lost_info;
bool gh_lost_path(gh_mut *m, gh_lost_info *out,
                  void (*fn)(void *arg, uint64_t addr, const char *label),
                  void *arg);

// ---- events of the slow path --------------------------------------------------------

typedef enum gh_event_kind {
    GH_EV_REFILL,      // an mcache took a span; size: free slots
    GH_EV_LARGE,       // a large object; size: bytes
    GH_EV_SPAN_ALLOC,  // pages became a span; size: pages
    GH_EV_SPAN_FREE,   // a span's pages came back; size: pages
    GH_EV_GROW,        // the heap grew; size: bytes
    GH_EV_GC_START,    // size: heapLive
    GH_EV_GC_END,      // size: heapMarked
    GH_EV_SWEEP,       // a span was swept; size: objects freed
    GH_EV_SCAVENGE,    // pages went back to the OS; size: bytes
    GH_EV_FLUSH,       // an mcache gave back its spans
    GH_EV_TRIGGER,     // heapLive met its trigger, a cycle follows; size: heapLive
    GH_EV_KINDS
} gh_event_kind;
typedef struct gh_event {
    int64_t t_ns;
    gh_event_kind kind;
    int32_t p;
    uint64_t addr;  // as shown; 0: none
    uint64_t size;
    uint8_t spanclass;
} gh_event;
// gh_listen installs fn for the kinds in mask (bit 1 << kind), replacing the
// last; mask 0 removes it. fn runs inside the core and must not use the heap, but
// for what gh_stats_peek names.
void gh_listen(gh_mut *m, uint32_t mask,
               void (*fn)(void *arg, const gh_event *e), void *arg);

// ---- looking inside: everything at once (inspect.c) -----------------------------------

// Walks for a snapshot: the holder of a P makes them all in one stay. fn returns
// false to end the walk; it must not use the heap. What is shown is live or may
// be, as far as the heap knows: garbage that no cycle has found yet is there.

typedef enum gh_page_state {
    GH_PAGES_RESERVED,   // address space that the heap has not grown into
    GH_PAGES_FREE,       // free, with memory behind it
    GH_PAGES_SCAVENGED,  // free, given back to the OS or never used
    GH_PAGES_IN_USE,     // one span of objects
    GH_PAGES_CACHED,     // free, in the page cache of P number p
    GH_PAGES_WORKBUF,    // lent to the collector
} gh_page_state;
typedef struct gh_page_run {
    uint64_t addr;       // as shown
    uint64_t npages;
    gh_page_state state;
    int32_t p;           // of cached pages, else -1
    uint8_t spanclass;   // of pages in use, else 0
} gh_page_run;
// gh_walk_pages covers the window from its first page to its last.
void gh_walk_pages(gh_heap *h, bool (*fn)(void *arg, const gh_page_run *r),
                   void *arg);

// A tiny block is one object here: size and count are of its parts together.
#define GH_TYPE_TINY UINT32_MAX

typedef struct gh_edge {
    uint64_t source;  // the object's start, as shown
    uint64_t offset;  // of the pointer word in it, bytes
    uint64_t target;  // what the word holds, as shown; never nil
    bool lost;        // the target was lost
} gh_edge;
typedef struct gh_graph_fns {
    // label is NULL or valid during the call.
    bool (*object)(void *arg, const gh_object *o, const char *label);
    bool (*edge)(void *arg, const gh_edge *e);  // NULL: not asked for
} gh_graph_fns;
// gh_walk_graph walks the objects by address, and after each its pointers. Lost
// objects are left out.
void gh_walk_graph(gh_heap *h, const gh_graph_fns *fns, void *arg);

typedef enum gh_root_kind {
    GH_ROOT_HANDLE,  // gh_handle_new
    GH_ROOT_SLOT,    // of a gh_slots
    GH_ROOT_PIN,
    GH_ROOT_TINY,    // the block that a P takes tiny objects from
    GH_ROOT_FINALIZER,  // queued, or what an object with one points at
    GH_ROOT_WEAK_BOX,
    GH_ROOT_CLEANUP,    // the blocks of one
    GH_ROOT_PINNED,     // gh_object_pin
} gh_root_kind;
typedef struct gh_root {
    uint64_t target;  // as shown; never nil
    gh_root_kind kind;
} gh_root;
void gh_walk_roots(gh_heap *h, bool (*fn)(void *arg, const gh_root *r),
                   void *arg);

// gh_cache_info is one span that a P allocates from.
typedef struct gh_cache_info {
    uint64_t span;         // its base, as shown
    int32_t p;
    uint32_t free;         // slots
    uint64_t tiny;         // with the span class of tiny blocks: the P's present
    uint32_t tiny_offset;  // one, and how much of it is used; 0: none
    uint8_t spanclass;
} gh_cache_info;
void gh_walk_caches(gh_heap *h, bool (*fn)(void *arg, const gh_cache_info *c),
                    void *arg);

// gh_stats_peek is gh_stats for a listener, which has no mutator. With
// gh_now, gh_pacer_get and gh_cycle_get it is what a listener may call, when
// the event is GH_EV_REFILL, GH_EV_LARGE or GH_EV_GC_END.
void gh_stats_peek(const gh_heap *h, gh_memstats *out);

// ---- the table of size classes, and one allocation explained -------------------------

typedef struct gh_size_class {
    uint32_t size, npages;
    uint32_t nelems_noscan, nelems_scan;
    uint32_t divmagic;
    uint32_t tail_waste;
    double max_waste;  // share of the span lost at worst, 0..1
} gh_size_class;
uint32_t gh_num_size_classes(void);  // 68, with class 0
gh_size_class gh_size_class_get(uint32_t cls);
// gh_size_classes_get fills out, of 68, with the classes of a policy (NULL: Go's)
// and returns how many there are, class 0 counted; 0: the policy's are none.
uint32_t gh_size_classes_get(const gh_policy *policy, gh_size_class *out);

typedef enum gh_path {
    GH_PATH_ZERO, GH_PATH_TINY, GH_PATH_SMALL_NOSCAN, GH_PATH_SMALL_SCAN,
    GH_PATH_SMALL_HEADER, GH_PATH_LARGE
} gh_path;
typedef struct gh_explanation {
    gh_path path;
    uint8_t sizeclass, spanclass;
    bool header;
    uint64_t size, elemsize, waste, npages;
    uint32_t nelems;
} gh_explanation;
gh_explanation gh_explain(uint64_t size, bool pointers, const gh_policy *policy);
uint64_t gh_round_up_size(uint64_t size, bool noscan);  // append's capacities

#ifdef __cplusplus
}
#endif

#endif  // GOHEAP_H

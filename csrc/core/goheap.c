// goheap.c: the door. What goheap.h declares and no other file defines.
//
// Layer 8. Arguments are checked here, once; below they are asserted.

#include "goheap.h"

#include <stdlib.h>
#include <string.h>

#include "malloc.h"
#include "mbarrier.h"
#include "mcheckmark.h"
#include "special.h"
#include "mgc.h"
#include "mgcbg.h"
#include "mgcvirtual.h"
#include "safepoint.h"
#include "mgcmark.h"
#include "mgcmark_greenteagc.h"
#include "mgcwork.h"
#include "mheap.h"
#include "proc.h"
#include "watchdog.h"

const char *
gh_status_name(gh_status st)
{
    switch (st) {
    case GH_OK: return "GH_OK";
    case GH_ERR_NOMEM: return "GH_ERR_NOMEM";
    case GH_ERR_INVAL: return "GH_ERR_INVAL";
    case GH_ERR_BADPTR: return "GH_ERR_BADPTR";
    case GH_ERR_STATE: return "GH_ERR_STATE";
    case GH_AGAIN: return "GH_AGAIN";
    case GH_ERR_LOST: return "GH_ERR_LOST";
    }
    return "unknown status";
}

// ---- options ---------------------------------------------------------------------

void
gh_policy_init(gh_policy *policy)
{
    *policy = (gh_policy){
        .struct_size = sizeof(*policy),
        .tiny = true,
        .scavenger = true,
        .eager_sweep = true,
        .page_cache = true,
        .min_heap = GH_HEAP_MINIMUM,
    };
}

void
gh_debug_init(gh_debug *debug)
{
    *debug = (gh_debug){.struct_size = sizeof(*debug)};
}

void
gh_costs_init(gh_costs *costs)
{
    *costs = (gh_costs){
        .struct_size = sizeof(*costs),
        .alloc = 20.0,
        .alloc_byte = 0.05,
        .scan_byte = 0.5,
        .sweep_page = 60.0,
        .page_fault = 400.0,
        .stop = 10000.0,
    };
}

void
gh_options_init(gh_options *opt)
{
    *opt = (gh_options){
        .struct_size = sizeof(*opt),
        .gogc = 100,
        .memory_limit = GH_LIMIT_OFF,
        .procs = 1,
        .address_space = (uint64_t)256 << 30,
        .hard_limit = UINT64_MAX,
        .track_types = true,
        .busy_ns = 1e6,
    };
    gh_policy_init(&opt->policy);
    gh_debug_init(&opt->debug);
    gh_costs_init(&opt->costs);
}

static bool
options_are_valid(const gh_options *opt)
{
    const gh_costs *c = &opt->costs;
    const double prices[] = {c->alloc, c->alloc_byte, c->scan_byte,
                             c->sweep_page, c->page_fault, c->stop, opt->busy_ns,
                             opt->cycle_delay_ns};
    for (size_t i = 0; i < sizeof(prices) / sizeof(prices[0]); i++) {
        if (!(prices[i] >= 0 && prices[i] < 1e15)) {
            return false;
        }
    }
    return opt->struct_size == sizeof(*opt)
           && opt->policy.struct_size == sizeof(opt->policy)
           && opt->debug.struct_size == sizeof(opt->debug)
           && opt->policy.barrier <= GH_BARRIER_NONE
           && opt->costs.struct_size == sizeof(opt->costs) && opt->gogc >= -1
           && opt->memory_limit >= 0 && opt->procs >= 1
           && opt->procs <= GH_MAX_PROCS && opt->mode <= GH_MODE_CONCURRENT
           // Departs from Go [diff:conc.policies].
           && (opt->mode != GH_MODE_CONCURRENT
               || (opt->policy.marker == GH_MARKER_OBJECTS
                   && opt->policy.barrier <= GH_BARRIER_DELETION))
           && (opt->mode == GH_MODE_CONCURRENT || opt->debug.delays == 0)
           && opt->address_space >= GH_HEAP_ARENA_BYTES
           && opt->address_space <= (uint64_t)1 << 46
           && opt->base_live < GH_MAX_ALLOC
           && opt->base_scan <= opt->base_live
           && opt->globals_scan < GH_MAX_ALLOC
           && opt->stack_scan < GH_MAX_ALLOC
           && opt->policy.marker <= GH_MARKER_GREENTEA
           && opt->policy.scan_work <= GH_SCAN_WORK_DENSE
           && (opt->policy.scan_work == GH_SCAN_WORK_OBJECT
               || opt->policy.marker == GH_MARKER_GREENTEA)
           && opt->policy.min_heap < GH_MAX_ALLOC
           && opt->policy.ballast < GH_MAX_ALLOC;
}

// ---- calls -------------------------------------------------------------------------

size_t
gh_call_count(const gh_heap *h)
{
    return gh_calls_waiting(&h->calls);
}

size_t
gh_call_gather(gh_heap *h)
{
    return gh_calls_gather(&h->calls);
}

bool
gh_call_take(gh_heap *h, gh_call *out)
{
    uint32_t box[2];
    if (!gh_calls_take(&h->calls, out, box)) {
        return false;
    }
    if (out->handle != 0) {
        *gh_handles_link(&h->handles, out->handle) = GH_HANDLE_CLIENTS;
    }
    for (int i = 0; i < 2; i++) {
        if (box[i] != 0) {
            gh_handle_drop(h, box[i]);
        }
    }
    return true;
}

gh_status
gh_call_cycles(gh_heap *h, bool on)
{
    return gh_calls_set_cycles(&h->calls, on);
}

// ---- birth and end -----------------------------------------------------------------

// start_state gives the heap its dead weight: one object that never dies.
static void
start_state(gh_heap *h)
{
    const uint64_t n = h->opt.base_live;
    h->globals_scan = h->opt.globals_scan;
    h->stack_scan = h->opt.stack_scan;
    h->gcc.globals_scan = h->globals_scan;
    if (n > 0) {
        h->gcc.heap_live = n;
        h->gcc.heap_marked = n;
        h->gcc.heap_scan = h->gcc.last_heap_scan = h->opt.base_scan;
        h->gcc.heap_in_use.bytes += n;
        h->gcc.total_alloc += n;
        h->gcc.last_stack_scan = h->stack_scan;
        h->mem.mapped_ready += n;
        h->stats.committed += n;
        h->stats.in_heap += n;
        h->stats.large_alloc += n;
        h->stats.large_alloc_count++;
    }
    gh_gcc_commit(&h->gcc, true);
    if (n > 0) {
        // A cycle found it: the scavenger knows what was kept, and for which goal.
        h->gcc.last_heap_goal = gh_gcc_heap_goal(&h->gcc);
        h->last_heap_in_use = n;
    }
}

// take_ballast allocates what the policy keeps alive, as a program does that
// begins with make([]byte, n): it may be the first cycle's trigger. gc_every
// does not count it.
static gh_status
take_ballast(gh_heap *h)
{
    gh_status st = gh_slots_new(h, 1, &h->ballast);
    if (st != GH_OK) {
        return st;
    }
    const uint64_t gc_every = h->opt.debug.gc_every;
    h->opt.debug.gc_every = 0;
    gh_mut *m;
    st = gh_enter(h, 0, &m);
    if (st == GH_OK) {
        st = gh_alloc(m, gh_slots_at(h->ballast, 0), h->opt.policy.ballast);
        gh_leave(m);
    }
    h->opt.debug.gc_every = gc_every;
    for (int32_t i = 0; i < h->procs; i++) {
        gh_set_slow(h->allp[i]);
    }
    return st;
}

static const uint64_t all_pointers_mask[1] = {1};

static void
free_locks(gh_heap *h)
{
    gh_cond_fini(&h->cond);
    gh_cond_fini(&h->conc.bg_cond);
    gh_cond_fini(&h->conc.sweep_cond);
    gh_mutex_fini(&h->roots_lock);
    gh_mutex_fini(&h->lock);
    gh_mutex_fini(&h->conc.work_lock);
    gh_rmutex_fini(&h->heap_lock);
}

static bool
somebody_inside(gh_heap *h)
{
    bool inside = atomic_load(&h->busy) != 0;
    for (int32_t i = 0; h->concurrent && i < h->procs; i++) {
        inside |= atomic_load(&h->conc.of[i]->status) != GH_P_IDLE;
    }
    return inside;
}

static void
window_unref(gh_window *w)
{
    gh_lock(&w->lock);
    const size_t left = --w->refs;
    gh_unlock(&w->lock);
    if (left == 0) {
        if (w->reserved_bytes > 0) {
            w->ops->free(w->ctx, w->reserved, w->reserved_bytes);
        }
        gh_mutex_fini(&w->lock);
        free(w);
    }
}

// scav_release is the background scavenger's work, at the price of a page's first
// use.
static uint64_t
scav_release(void *arg, uint64_t n, int64_t *ns)
{
    gh_heap *h = arg;
    const int64_t began = h->concurrent ? gh_nanotime() : 0;
    const uint64_t released = gh_pagealloc_scavenge(&h->pages, n, false);
    *ns = h->concurrent
              ? gh_nanotime() - began
              : (int64_t)(h->opt.costs.page_fault
                          * (double)(released / GH_PAGE_SIZE));
    return released;
}

static bool
scav_stop(void *arg)
{
    const gh_heap *h = arg;
    return gh_scav_goals_met(&h->scav_goals,
                             h->gcc.heap_in_use.bytes + h->gcc.heap_free.bytes,
                             gh_gcc_mapped_ready(&h->gcc));
}

gh_status
gh_heap_new(const gh_options *opt, gh_heap **out)
{
    if (!options_are_valid(opt)) {
        return GH_ERR_INVAL;
    }
    gh_heap *h = aligned_alloc(_Alignof(gh_heap), sizeof(*h));
    if (h == NULL) {
        return GH_ERR_NOMEM;
    }
    memset(h, 0, sizeof(*h));
    h->window = calloc(1, sizeof(*h->window));
    if (h->window == NULL) {
        free(h);
        return GH_ERR_NOMEM;
    }
    h->opt = *opt;
    h->random = opt->seed;
    if (!gh_size_table_init(&h->sizes, opt->policy.size_class,
                            opt->policy.num_size_classes)
        || (opt->policy.tiny && h->sizes.tiny_spc == 0)) {
        free(h->window);
        free(h);
        return GH_ERR_INVAL;
    }
    h->concurrent = opt->mode == GH_MODE_CONCURRENT;
    if (h->concurrent) {
        // Time passes by itself.
        h->opt.costs = (gh_costs){.struct_size = sizeof(gh_costs)};
    }
    gh_rmutex_init(&h->heap_lock);
    gh_watch_heap_lock(h);
    gh_mutex_init(&h->conc.work_lock);
    gh_cond_init(&h->conc.bg_cond);
    gh_cond_init(&h->conc.sweep_cond);
    gh_mutex_init(&h->lock);
    gh_mutex_init(&h->roots_lock);
    gh_calls_init(&h->calls);
    gh_cond_init(&h->cond);
    gh_mutex_init(&h->window->lock);
    gh_mem_init(&h->mem, opt->mem_ops, opt->mem_ctx);
    h->mem.hard_limit = opt->hard_limit;
    h->window->refs = 1;
    h->window->ops = h->mem.ops;
    h->window->ctx = h->mem.ctx;
    gh_persistent_init(&h->persistent, &h->mem, &h->other_sys);
    gh_mark_init(h);
    gh_gcc_init(&h->gcc, &h->mem, opt->gogc, opt->memory_limit,
                opt->policy.min_heap);
    h->gcc.non_heap = opt->non_heap;
    gh_limiter_init(&h->limiter, 0, opt->procs, &h->num_gc);
    const gh_scav_ops scav = {scav_release, scav_stop, h};
    gh_scav_init(&h->scavenger, &scav);
    h->virt.force_period_ns = GH_FORCE_GC_PERIOD_NS;
    h->scav_goals = (gh_scav_goals){GH_SCAV_NO_GOAL, GH_SCAV_NO_GOAL};

    gh_status st = gh_mheap_init(h);
    if (st != GH_OK) {
        goto fail;
    }
    st = h->concurrent ? gh_conc_init(h) : GH_OK;
    if (st == GH_OK) {
        st = gh_procs_init(h, opt->procs);
    }
    if (st == GH_OK) {
        const gh_type_desc all = {
            .name = "unsafe.Pointer",
            .size = GH_PTR_SIZE,
            .align = GH_PTR_SIZE,
            .ptrdata = GH_PTR_SIZE,
            .mask = all_pointers_mask,
        };
        const gh_type *t;
        st = gh_gotype_new(&h->types, &h->persistent, &h->other_sys, &all, &t);
        GH_ASSERT(st != GH_OK || t->id == GH_TYPE_ALL_POINTERS);
    }
    if (st == GH_OK && opt->policy.marker == GH_MARKER_GREENTEA) {
        st = gh_greentea_new(h);
    }
    if (st != GH_OK) {
        gh_mheap_fini(h);
        goto fail;
    }
    start_state(h);
    h->sig = GH_HEAP_SIG;
    if (opt->policy.ballast > 0) {
        st = take_ballast(h);
        if (st != GH_OK) {
            gh_heap_free(h);
            return st;
        }
    }
    *out = h;
    return GH_OK;

fail:
    gh_persistent_fini(&h->persistent);
    window_unref(h->window);
    free_locks(h);
    gh_calls_fini(&h->calls);
    free(h);
    return st;
}

typedef struct page_range {
    uintptr_t base, limit;
} page_range;

static int
compare_ranges(const void *a, const void *b)
{
    const uintptr_t x = ((const page_range *)a)->base;
    const uintptr_t y = ((const page_range *)b)->base;
    return x < y ? -1 : x > y;
}

// release_unpinned gives back the window's pages but those of spans that a pin
// shows. Without memory for the list everything stays until the last pin goes.
static void
release_unpinned(gh_heap *h)
{
    gh_window *w = h->window;
    size_t n = 0;
    for (const gh_pin *pin = w->pins; pin != NULL; pin = pin->next) {
        n++;
    }
    page_range *keep = malloc((n + 1) * sizeof(*keep));
    if (keep == NULL) {
        return;  // benign: see above
    }
    size_t i = 0;
    for (const gh_pin *pin = w->pins; pin != NULL; pin = pin->next) {
        const gh_mspan *s = gh_span_of(h, pin->slot.word);
        if (s != NULL) {
            keep[i++] = (page_range){s->base, s->base + s->npages * GH_PAGE_SIZE};
        }
    }
    qsort(keep, i, sizeof(*keep), compare_ranges);
    keep[i] = (page_range){h->cur_arena_base, h->cur_arena_base};
    uintptr_t from = h->base;
    for (size_t k = 0; k <= i; k++) {
        if (keep[k].base > from) {
            (void)w->ops->unused(w->ctx, (void *)from, keep[k].base - from);
        }
        if (keep[k].limit > from) {
            from = keep[k].limit;
        }
    }
    free(keep);
}

void
gh_heap_free(gh_heap *h)
{
    if (h == NULL) {
        return;
    }
    GH_THROW_IF(h->sig != GH_HEAP_SIG, "gh_heap_free: not a heap");
    if (h->forked) {
        // Nobody else is here, and locks may be held by threads that are not.
        for (gh_slots *b = h->blocks; b != NULL; b = b->next) {
            if (!b->dead) {
                atomic_store(&b->heap, NULL);
            }
        }
        gh_mheap_abandon(h);
        return;
    }
    gh_bg_end(h);
    GH_THROW_IF(somebody_inside(h), "gh_heap_free: somebody is inside");
    h->sig = GH_SIG_DEAD;
    gh_window *w = h->window;
    gh_lock(&w->lock);
    for (gh_pin *pin = w->pins, *next; pin != NULL; pin = next) {
        next = pin->next;
        pin->heap = NULL;
        if (pin->dead) {
            gh_pin_unlink(w, pin);
            free(pin);
            w->refs--;
        }
    }
    if (w->pins != NULL) {
        release_unpinned(h);
    }
    gh_unlock(&w->lock);
    if (h->ballast != NULL) {
        gh_slots_unlink(h, h->ballast);
        free(h->ballast);
    }
    while (h->blocks != NULL) {
        gh_slots *b = h->blocks;
        h->blocks = b->next;
        b->next = b->prev = NULL;
        if (b->dead) {
            free(b);
            continue;
        }
        // The client still frees the block itself, from here on at any time.
        atomic_store(&b->heap, NULL);
    }
    gh_greentea_free(h);
    gh_gcwork_fini(h, &h->work);
    if (h->concurrent) {
        gh_conc_fini(h);
    }
    free(h->grey.at);
    free(h->lost.at);
    gh_specials_fini(h);
    gh_handles_fini(&h->handles);
    gh_procs_fini(h);
    gh_mheap_fini(h);
    gh_persistent_fini(&h->persistent);
    window_unref(w);
    free(h->cycle_log);
    free_locks(h);
    gh_calls_fini(&h->calls);
    free(h);
}

gh_huge_state
gh_huge_pages(const gh_heap *h)
{
    return !h->opt.huge_pages ? GH_HUGE_OFF
           : __atomic_load_n(&h->huge_refused, __ATOMIC_RELAXED) ? GH_HUGE_REFUSED
                                                                  : GH_HUGE_ON;
}

gh_mode
gh_heap_mode(const gh_heap *h)
{
    return h->opt.mode;
}

void
gh_heap_forked(gh_heap *h)
{
    h->forked = true;
    // Who held one of these is not in this process.
    gh_mutex_init(&h->roots_lock);
    gh_mutex_init(&h->window->lock);
    gh_mutex_init(&h->calls.lock);
}

// ---- root slots ----------------------------------------------------------------------

gh_status
gh_slots_new(gh_heap *h, size_t n, gh_slots **out)
{
    if (n > (SIZE_MAX - sizeof(gh_slots)) / sizeof(gh_slot)) {
        return GH_ERR_NOMEM;
    }
    gh_slots *b = calloc(1, sizeof(*b) + n * sizeof(gh_slot));
    if (b == NULL) {
        return GH_ERR_NOMEM;
    }
    b->heap = h;
    b->n = n;
    b->sig = GH_SLOTS_SIG;
    gh_lock(&h->roots_lock);
    b->next = h->blocks;
    if (b->next != NULL) {
        b->next->prev = b;
    }
    h->blocks = b;
    gh_unlock(&h->roots_lock);
    *out = b;
    return GH_OK;
}

void
gh_slots_free(gh_slots *b)
{
    if (b == NULL) {
        return;
    }
    GH_THROW_IF(b->sig != GH_SLOTS_SIG, "gh_slots_free: not a block of slots");
    gh_heap *h = b->heap;
    if (h != NULL && h->forked) {
        return;
    }
    if (h != NULL) {
        gh_lock(&h->roots_lock);
        if (h->roots_marking) {
            // What it holds has to be shaded, by who is inside.
            b->dead = true;
            atomic_store(&h->has_dying, true);
            gh_unlock(&h->roots_lock);
            return;
        }
        gh_slots_unlink(h, b);
        gh_unlock(&h->roots_lock);
    }
    free(b);
}

bool
gh_slots_orphaned(const gh_slots *b)
{
    return atomic_load(&b->heap) == NULL;
}

gh_slot *
gh_slots_at(gh_slots *b, size_t i)
{
    GH_ASSERT(i < b->n);
    return &b->slot[i];
}

size_t
gh_slots_len(const gh_slots *b)
{
    return b->n;
}

gh_status
gh_handle_new(gh_mut *m, uint32_t *out)
{
    gh_lock_heap(m->heap);
    const gh_status st = gh_handles_alloc(&m->heap->handles, out);
    gh_unlock_heap(m->heap);
    return st;
}

void
gh_handle_drop(gh_heap *h, uint32_t id)
{
    gh_handles_push_pending(&h->handles, id);
}

bool
gh_handle_empty(gh_heap *h, uint32_t id)
{
    if (h->concurrent || h->phase != GH_PHASE_OFF) {
        return false;
    }
    GH_ASSERT(h->inside == NULL);
    gh_word_put(&gh_handles_slot(&h->handles, id)->word, 0);
    return true;
}

gh_slot *
gh_handle_slot(gh_heap *h, uint32_t id)
{
    return gh_handles_slot(&h->handles, id);
}

void
gh_set(gh_mut *m, gh_slot *dst, const gh_slot *src)
{
    GH_ASSERT(m->sig == GH_P_SIG);
    gh_slot_write(m, dst, gh_word_load(&src->word));
}

void
gh_clear(gh_mut *m, gh_slot *dst)
{
    GH_ASSERT(m->sig == GH_P_SIG);
    gh_slot_write(m, dst, 0);
}

// ---- addresses and objects --------------------------------------------------------------

uint64_t
gh_addr_of_word(const gh_heap *h, uintptr_t word)
{
    return word == 0 ? 0 : gh_addr_show(h, word);
}

uint64_t
gh_addr(const gh_heap *h, const gh_slot *slot)
{
    return gh_addr_of_word(h, slot->word);
}

static bool
is_live(const gh_heap *h, const gh_mspan *s, unsigned index)
{
    if (s->sweepgen == h->sweepgen - 2 || s->sweepgen == h->sweepgen + 1) {
        // Not swept yet: what is unmarked is dead already.
        return gh_mspan_is_marked(&h->bm, s, index);
    }
    return gh_mspan_is_allocated(&h->bm, s, index);
}

// live_object finds the allocated object that contains p: its span, slot and
// the address where its data begins. NULL if there is none. held: a slot holds
// it, so where other mutators run beside this one nothing is asked that they
// change.
static gh_mspan *
live_object(gh_heap *h, uintptr_t p, bool held, unsigned *index,
            uintptr_t *data)
{
    gh_mspan *s = gh_find_object(h, p, index);
    if (s == NULL || (!(held && h->concurrent) && !is_live(h, s, *index))) {
        return NULL;
    }
    *data = gh_mspan_obj_base(s, *index);
    if (!gh_spanclass_noscan(s->spanclass) && s->div_mul != 0
        && !gh_heap_bits_in_span(s->elemsize)) {
        *data += GH_MALLOC_HEADER_SIZE;
        if (p < *data) {
            return NULL;
        }
    }
    return s;
}

// tiny_part finds the part of a tiny block that contains byte off.
static void
tiny_part(uint32_t parts, unsigned off, unsigned *start, unsigned *size)
{
    unsigned from = off;
    while (from > 0 && (parts >> from & 1) == 0) {
        from--;
    }
    unsigned end = from;
    while (end < 15 && (parts >> (16 + end) & 1) == 0) {
        end++;
    }
    *start = from;
    *size = end - from + 1;
}

static void
describe(gh_heap *h, const gh_mspan *s, unsigned index, uintptr_t data,
         uintptr_t p, gh_object *out)
{
    const uintptr_t slot_base = gh_mspan_obj_base(s, index);
    const uint64_t usable = s->elemsize - (data - slot_base);
    *out = (gh_object){
        .addr = gh_addr_show(h, data),
        .off = p - data,
        .size = usable,
        .elemsize = s->elemsize,
        .count = usable,
        .type_id = GH_TYPE_UNKNOWN,
        .spanclass = s->spanclass,
        .header = data != slot_base,
        .marked = h->phase != GH_PHASE_OFF
                  && gh_mspan_is_marked(&h->bm, s, index),
        .span_base = gh_addr_show(h, s->base),
        .npages = s->npages,
        .nelems = s->nelems,
        .index = index,
    };
    if (s->div_mul == 0) {
        out->type_id = s->large_type_id;
        out->count = s->large_count;
        out->size = s->limit - s->base;
        return;
    }
    const gh_objmeta meta = gh_objmeta_of(s, index);
    if (meta.type == GH_TYPE_UNKNOWN) {
        return;
    }
    if (meta.type == GH_TYPE_TINY_BLOCK) {
        unsigned start, size;
        tiny_part(meta.count, (unsigned)(p - data), &start, &size);
        out->addr += start;
        out->off -= start;
        out->size = size;
        out->count = size;
        out->type_id = GH_TYPE_BYTES;
        return;
    }
    out->type_id = meta.type;
    out->count = meta.count;
    out->size = meta.count;
    const gh_type *t = gh_type_by_id(h, meta.type);
    if (t != NULL) {
        out->size = t->size * meta.count;
    }
}

static gh_status
object_at_word(gh_heap *h, uintptr_t p, bool held, gh_object *out)
{
    if (p == gh_zerobase(h)) {
        *out = (gh_object){.addr = gh_addr_show(h, p),
                           .type_id = GH_TYPE_BYTES};
        return GH_OK;
    }
    unsigned index;
    uintptr_t data;
    const gh_mspan *s = live_object(h, p, held, &index, &data);
    if (s == NULL) {
        return GH_ERR_BADPTR;
    }
    gh_status st = gh_lost_check(h, p);
    if (st != GH_OK) {
        return st;
    }
    describe(h, s, index, data, p, out);
    return GH_OK;
}

gh_status
gh_object_at(gh_heap *h, const gh_slot *slot, gh_object *out)
{
    return object_at_word(h, gh_word_load(&slot->word), true, out);
}

gh_status
gh_object_at_addr(gh_heap *h, uint64_t addr, gh_object *out)
{
    return object_at_word(h, h->base + (uintptr_t)(addr - GH_ADDR_BASE), false,
                          out);
}

// slot_write_weak is gh_slot_write of a pointer that may come from nowhere: the
// object lives, but while a cycle marks nothing else need keep it.
static void
slot_write_weak(gh_mut *m, gh_slot *dst, uintptr_t v)
{
    if (m->heap->phase == GH_PHASE_MARK) {
        gh_shade(m, v);
    }
    gh_slot_write(m, dst, v);
}

gh_status
gh_addr_to_slot(gh_mut *m, gh_slot *dst, uint64_t addr)
{
    gh_object o;
    gh_stop_world(m);
    gh_status st = gh_object_at_addr(m->heap, addr, &o);
    if (st == GH_OK) {
        slot_write_weak(m, dst,
                        m->heap->base + (uintptr_t)(addr - GH_ADDR_BASE));
    }
    gh_start_world(m);
    return st;
}

gh_status
gh_set_interior(gh_mut *m, gh_slot *dst, const gh_slot *src, uint64_t off)
{
    gh_object o;
    gh_status st = gh_object_at(m->heap, src, &o);
    if (st != GH_OK) {
        return st;
    }
    if (off > o.size || o.off + off > o.size
        || (o.off + off == o.size && o.size > 0)) {
        return GH_ERR_INVAL;
    }
    gh_slot_write(m, dst, src->word + (uintptr_t)off);
    return GH_OK;
}

gh_status
gh_color_at(gh_heap *h, uint64_t addr, gh_color *out)
{
    gh_object o;
    gh_status st = gh_object_at_addr(h, addr, &o);
    if (st != GH_OK) {
        return st;
    }
    *out = o.marked ? GH_BLACK : GH_WHITE;
    if (o.marked && o.elemsize > 0) {
        const uintptr_t base = h->base + (uintptr_t)(o.span_base - GH_ADDR_BASE)
                               + (uintptr_t)o.index * (uintptr_t)o.elemsize;
        if (gh_gc_is_grey(h, base, base + (uintptr_t)o.elemsize)) {
            *out = GH_GREY;
        }
    }
    return GH_OK;
}

// ---- types ----------------------------------------------------------------------------------

gh_status
gh_type_new(gh_mut *m, const gh_type_desc *desc, const gh_type **out)
{
    gh_heap *h = m->heap;
    gh_lock_heap(h);
    const gh_status st =
        gh_gotype_new(&h->types, &h->persistent, &h->other_sys, desc, out);
    gh_unlock_heap(h);
    return st;
}

void
gh_type_get(const gh_type *t, gh_type_desc *out)
{
    *out = (gh_type_desc){
        .name = t->name,
        .size = t->size,
        .align = t->align,
        .ptrdata = t->ptrdata,
        .mask = t->ptrdata == 0 ? NULL : t->mask,
        .user = t->user,
    };
}

uint32_t
gh_type_id(const gh_type *t)
{
    return t->id;
}

const gh_type *
gh_type_by_id(const gh_heap *h, uint32_t id)
{
    gh_lock_heap((gh_heap *)h);
    const gh_type *t =
        id < 2 || id >= h->types.len ? NULL : h->types.table[id];
    gh_unlock_heap((gh_heap *)h);
    return t;
}

// ---- words --------------------------------------------------------------------------------------

// find_word finds word number word of what obj holds; any: words that the mask
// leaves out too, up to the end of the slot.
static gh_status
find_word(gh_heap *h, const gh_slot *obj, uint64_t word, bool any,
          uintptr_t **out)
{
    const uintptr_t v = gh_word_load(&obj->word);
    if (v == 0) {
        return GH_ERR_BADPTR;
    }
    unsigned index;
    const gh_mspan *s = gh_find_object(h, v, &index);
    if (s == NULL) {
        return v == gh_zerobase(h) ? GH_ERR_INVAL : GH_ERR_BADPTR;
    }
    gh_status st = gh_lost_check(h, obj->word);
    if (st != GH_OK) {
        return st;
    }
    const uintptr_t base = gh_mspan_obj_base(s, index);
    const uint64_t off = v - base;
    if (word >= s->elemsize / GH_PTR_SIZE || off % GH_PTR_SIZE != 0
        || off + word * GH_PTR_SIZE + GH_PTR_SIZE > s->elemsize) {
        return GH_ERR_INVAL;
    }
    if (!any
        && !gh_slot_word_is_pointer(h, s, index, off / GH_PTR_SIZE + word)) {
        return GH_ERR_INVAL;
    }
    *out = (uintptr_t *)v + word;
    return GH_OK;
}

bool
gh_is_pointer_word(gh_heap *h, const gh_slot *slot, uint64_t word)
{
    uintptr_t *w;
    return find_word(h, slot, word, false, &w) == GH_OK;
}

gh_status
gh_load(gh_mut *m, gh_slot *dst, const gh_slot *obj, uint64_t word)
{
    uintptr_t *w;
    gh_status st = find_word(m->heap, obj, word, false, &w);
    if (st == GH_OK) {
        const uintptr_t v = gh_word_load(w);
        st = gh_lost_check(m->heap, v);
        if (st == GH_OK) {
            gh_slot_write(m, dst, v);
        }
    }
    return st;
}

gh_status
gh_load_any(gh_mut *m, gh_slot *dst, const gh_slot *obj, uint64_t word)
{
    uintptr_t *w;
    gh_status st = find_word(m->heap, obj, word, true, &w);
    if (st != GH_OK) {
        return st;
    }
    gh_object o;
    gh_stop_world(m);
    st = *w == 0 ? GH_OK : object_at_word(m->heap, *w, false, &o);
    if (st == GH_OK) {
        slot_write_weak(m, dst, *w);
    }
    gh_start_world(m);
    return st;
}

static gh_status
store_word(gh_mut *m, const gh_slot *obj, uint64_t word, const gh_slot *src,
           bool any)
{
    uintptr_t *w;
    gh_status st = find_word(m->heap, obj, word, any, &w);
    if (st == GH_OK && src != NULL) {
        st = gh_lost_check(m->heap, src->word);
    }
    if (st == GH_OK) {
        gh_word_write(m, w, src == NULL ? 0 : gh_word_load(&src->word));
    }
    return st;
}

gh_status
gh_store(gh_mut *m, const gh_slot *obj, uint64_t word, const gh_slot *src)
{
    return store_word(m, obj, word, src, false);
}

gh_status
gh_store_any(gh_mut *m, const gh_slot *obj, uint64_t word, const gh_slot *src)
{
    return store_word(m, obj, word, src, true);
}

void *
gh_data(const gh_slot *slot)
{
    return (void *)slot->word;
}

// ---- pins --------------------------------------------------------------------------------------

gh_status
gh_pin_new(gh_mut *m, const gh_slot *slot, gh_pin **out)
{
    gh_window *w = m->heap->window;
    gh_status st = gh_lost_check(m->heap, slot->word);
    if (st != GH_OK) {
        return st;
    }
    gh_pin *pin = calloc(1, sizeof(*pin));
    if (pin == NULL) {
        return GH_ERR_NOMEM;
    }
    pin->heap = m->heap;
    pin->owner = w;
    pin->slot = *slot;
    gh_lock(&w->lock);
    pin->next = w->pins;
    if (pin->next != NULL) {
        pin->next->prev = pin;
    }
    w->pins = pin;
    w->refs++;
    gh_unlock(&w->lock);
    *out = pin;
    return GH_OK;
}

void *
gh_pin_data(const gh_pin *pin)
{
    return (void *)pin->slot.word;
}

void
gh_pin_free(gh_pin *pin)
{
    if (pin == NULL) {
        return;
    }
    gh_window *w = pin->owner;
    gh_lock(&w->lock);
    if (pin->heap != NULL && (pin->heap->pins_marking || pin->heap->forked)) {
        pin->dead = true;
        atomic_store(&pin->heap->has_dying, true);
        gh_unlock(&w->lock);
        return;
    }
    gh_pin_unlink(w, pin);
    gh_unlock(&w->lock);
    free(pin);
    window_unref(w);
}

// ---- looking inside -------------------------------------------------------------------------------

static void
span_info(const gh_heap *h, const gh_mspan *s, gh_span_info *out)
{
    *out = (gh_span_info){
        .base = gh_addr_show(h, s->base),
        .npages = s->npages,
        .elemsize = s->elemsize,
        .nelems = s->nelems,
        .allocated = s->alloc_count,
        .free_index = s->free_index,
        .sweepgen = s->sweepgen,
        .heap_sweepgen = h->sweepgen,
        .spanclass = s->spanclass,
        .state = s->state,
        .needzero = s->needzero,
        .cached_by = s->cached_by,
    };
}

void
gh_walk_spans(gh_heap *h, bool (*fn)(void *arg, const gh_span_info *s),
              void *arg)
{
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            gh_span_info info;
            span_info(h, h->spans[w * 64 + gh_ctz64(bits)], &info);
            if (!fn(arg, &info)) {
                return;
            }
        }
    }
}

void
gh_walk_objects(gh_heap *h, bool (*fn)(void *arg, const gh_object *o),
                void *arg)
{
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            const gh_mspan *s = h->spans[w * 64 + gh_ctz64(bits)];
            const uint64_t head =
                !gh_spanclass_noscan(s->spanclass) && s->div_mul != 0
                        && !gh_heap_bits_in_span(s->elemsize)
                    ? GH_MALLOC_HEADER_SIZE
                    : 0;
            for (unsigned i = 0; i < s->nelems; i++) {
                unsigned index;
                uintptr_t data;
                const uintptr_t p = gh_mspan_obj_base(s, i) + head;
                if (live_object(h, p, false, &index, &data) != NULL
                    && gh_lost_find(h, p) == NULL) {
                    gh_object o;
                    describe(h, s, i, data, p, &o);
                    if (!fn(arg, &o)) {
                        return;
                    }
                }
            }
        }
    }
}

gh_status
gh_span_at(gh_heap *h, uint64_t addr, gh_span_info *out)
{
    const uintptr_t off = (uintptr_t)(addr - GH_ADDR_BASE);
    if (off >= h->mapped_bytes) {
        return GH_ERR_BADPTR;
    }
    const gh_mspan *s = gh_span_of_unchecked(h, h->base + off);
    if (s == NULL || s->state != GH_SPAN_IN_USE) {
        return GH_ERR_BADPTR;
    }
    span_info(h, s, out);
    return GH_OK;
}

void
gh_listen(gh_mut *m, uint32_t mask, void (*fn)(void *arg, const gh_event *e),
          void *arg)
{
    gh_stop_world(m);
    m->heap->listen_mask = fn == NULL ? 0 : mask;
    m->heap->listener = fn;
    m->heap->listener_arg = arg;
    gh_start_world(m);
}

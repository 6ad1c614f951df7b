// mgc.c: the cycle. See mgc.h.

#include "mgc.h"

#include <stdlib.h>

#include "cpustats.h"
#include "mcache.h"
#include "mcheckmark.h"
#include "mgcbg.h"
#include "mgcmark.h"
#include "mgcmark_greenteagc.h"
#include "mgcpar.h"
#include "mgcsweep.h"
#include "mgcvirtual.h"
#include "mgcwork.h"
#include "mheap.h"
#include "mprof.h"
#include "planted.h"
#include "proc.h"
#include "safepoint.h"

static void
set_phase(gh_heap *h, gh_phase phase)
{
    h->phase = phase;
    for (int32_t i = 0; i < h->procs; i++) {
        gh_set_slow(h->allp[i]);
        h->allp[i]->wb = NULL;  // what it has seen is of another cycle
    }
}

void
gh_gc_commit(gh_heap *h)
{
    gh_gcc_commit(&h->gcc, h->sweep_drained);
    if (h->phase == GH_PHASE_MARK) {
        gh_gcc_revise(&h->gcc);
    }
    gh_gc_pace_sweeper(h, gh_gcc_trigger(&h->gcc, NULL));
    const gh_scav_figures f = {
        .memory_limit = h->gcc.memory_limit,
        .heap_goal = gh_gcc_heap_goal(&h->gcc),
        .last_heap_goal = h->gcc.last_heap_goal,
        .last_heap_in_use = h->last_heap_in_use,
        .heap_retained = h->gcc.heap_in_use.bytes + h->gcc.heap_free.bytes,
        .mapped_ready = gh_gcc_mapped_ready(&h->gcc),
    };
    h->scav_goals = gh_scav_pace(&f);
}

// reserve makes sure of what a cycle needs.
static gh_status
reserve(gh_heap *h)
{
    if (h->num_gc == h->cycle_cap) {
        const size_t cap = h->cycle_cap == 0 ? 16 : h->cycle_cap * 2;
        gh_cycle *log = realloc(h->cycle_log, cap * sizeof(*log));
        if (log == NULL) {
            return GH_ERR_NOMEM;
        }
        h->cycle_log = log;
        h->cycle_cap = cap;
    }
    gh_status st = gh_calls_reserve(&h->calls);
    if (st == GH_OK) {
        st = gh_gcwork_prepare(h, &h->work);
    }
    if (st == GH_OK && h->gt != NULL) {
        st = gh_greentea_prepare(h);
    }
    if (st == GH_OK && h->concurrent) {
        st = gh_par_prepare(h);
    }
    return st;
}

// Go's marker takes its first work buffers from the page heap, 32 KiB of them,
// and gives them back after an eager sweep; spans that are made later may so
// come from four pages further on.
static void
borrow_workbufs(gh_p *p)
{
    gh_heap *h = p->heap;
    if (h->opt.model_workbufs
        && gh_mheap_alloc_manual(p, GH_WORKBUF_ALLOC / GH_PAGE_SIZE,
                                 &h->workbuf_span) != GH_OK) {
        h->workbuf_span = NULL;  // benign: our queue does not live there
    }
}

static void
return_workbufs(gh_heap *h)
{
    if (h->workbuf_span != NULL) {
        gh_mheap_free_manual(h, h->workbuf_span);
        h->workbuf_span = NULL;
    }
}

static void
sweep_termination(gh_heap *h)
{
    while (!GH_PLANTED(EARLY_MARK) && gh_sweepone(h) != GH_SWEEP_NOTHING) {
    }
    gh_set_drained(h, true);
    for (int32_t i = 0; i < h->procs; i++) {
        GH_THROW_IF(h->allp[i]->mcache.flush_gen != h->sweepgen,
                    "p mcache not flushed");
    }
}

// gc_sweep begins the sweep phase. Go: gcSweep.
static void
gc_sweep(gh_heap *h)
{
    h->sweepgen += 2;
    h->bm.mark_area ^= 1;
    gh_set_drained(h, false);
    h->pages_swept = 0;
    if (!h->opt.policy.eager_sweep) {
        gh_base_pages(h, &h->base_large, &h->base_small);
    }
    h->sweep_arenas = h->narenas;
    h->reclaim_index = 0;
    h->reclaim_credit = 0;
    h->central_index = 0;
    if (h->num_gc > 0) {
        h->cycle_log[h->num_gc - 1].swept_bytes = h->swept_bytes;
        h->cycle_log[h->num_gc - 1].sweep = h->sweep;
    }
    h->swept_bytes = 0;
    h->sweep = (gh_sweep_trace){.stopped = h->opt.policy.eager_sweep};
    if (h->opt.policy.eager_sweep) {
        h->sweep_pages_per_byte = 0;
        for (int32_t i = 0; i < h->procs; i++) {
            gh_mcache_prepare_for_sweep(h->allp[i]);
        }
        while (gh_sweepone(h) != GH_SWEEP_NOTHING) {
        }
        gh_prof_next_cycle(h);
        gh_prof_flush(h);
    }
    return_workbufs(h);
}

// flush_after_cycle is what Go's forEachP does once the world runs: stale
// mcaches flush, and idle Ps give back their page caches.
static void
flush_after_cycle(gh_p *self)
{
    gh_heap *h = self->heap;
    for (int32_t i = 0; i < h->procs; i++) {
        gh_p *p = h->allp[i];
        gh_mcache_prepare_for_sweep(p);
        if (p != self) {
            gh_page_cache_flush(&p->pcache, &h->pages);
        }
    }
}

static uint64_t
count_allocs(const gh_heap *h)
{
    uint64_t n = h->stats.large_alloc_count + h->stats.tiny_alloc_count
                 - (h->opt.base_live > 0);
    for (unsigned i = 1; i < GH_NUM_SIZE_CLASSES; i++) {
        n += h->stats.small_alloc_count[i];
    }
    for (int32_t i = 0; i < h->procs; i++) {
        const gh_mcache *c = &h->allp[i]->mcache;
        n += c->tiny_allocs;
        for (unsigned j = 0; j < GH_NUM_SPAN_CLASSES; j++) {
            n += (uint64_t)(c->alloc[j]->alloc_count
                            - c->alloc[j]->alloc_count_before_cache);
        }
    }
    return n;
}

// stop_began is the time when the present stop began, and pay_stop its end: on
// the virtual clock it has a price, on the real one it has passed.
static int64_t
stop_began(const gh_heap *h)
{
    return h->concurrent ? h->conc.stop_ns - h->conc.birth_ns
                         : (int64_t)h->clock_ns;
}

// until_stood is how long that took until all Ps stood.
static int64_t
until_stood(const gh_heap *h)
{
    return h->concurrent ? h->conc.stood_ns - h->conc.stop_ns
                         : (int64_t)h->opt.costs.stop;
}

static void
pay_stop(gh_heap *h)
{
    h->clock_ns += h->opt.costs.stop;
    gh_clock_sync(h);
}

// begin_cycle stops the world for sweep termination and turns marking on. The
// roots are not marked yet. GH_ERR_NOMEM: the cycle did not begin.
static gh_status
begin_cycle(gh_p *p, bool forced, gh_marking by)
{
    gh_heap *h = p->heap;
    GH_THROW_IF(h->phase != GH_PHASE_OFF, "gcStart while a cycle runs");
    gh_status st = reserve(h);
    if (st != GH_OK) {
        h->gc_skips++;
        return st;
    }
    gh_drain_handles(p);
    h->rec = (gh_cycle){
        .n = h->num_gc + 1,
        .forced = forced,
        .procs = h->procs,
        .gogc = h->gcc.gc_percent,
        .memory_limit = h->gcc.memory_limit,
        .heap_start = h->gcc.heap_live,
        .trigger = h->gcc.heap_live,
        .allocs = count_allocs(h),
        .start_ns = stop_began(h),
    };
    gh_emit(h, GH_EV_GC_START, p->id, 0, h->gcc.heap_live, 0);
    gh_cpu_mutator(h, 1);
    pay_stop(h);
    sweep_termination(h);
    if (h->clear_pools != NULL) {
        h->clear_pools(h->clear_pools_arg);
    }
    gh_scav_wake(&h->scavenger, (int64_t)h->clock_ns);
    h->cycles_started++;
    gh_limiter_start_gc(&h->limiter, true, h->rec.start_ns);
    // The stop belongs to the cycle, so the time before it counts.
    gh_gcc_start_cycle(&h->gcc, h->rec.start_ns, h->procs, by);
    h->rec.periodic = by == GH_MARKING_PERIODIC;
    h->rec.pacer = (gh_pacer_trace){
        .heap_scan = h->gcc.heap_scan,
        .goal = gh_gcc_heap_goal(&h->gcc),
        .assist_ratio = h->gcc.assist_work_per_byte,
        .fractional = h->gcc.fractional_utilization_goal,
        .dedicated = h->gcc.dedicated_mark_workers_needed,
    };
    set_phase(h, GH_PHASE_MARK);
    borrow_workbufs(p);
    gh_clock_sync(h);
    h->rec.mark_start_ns = (int64_t)h->clock_ns;
    h->rec.pause_ns[0] = h->rec.mark_start_ns - h->rec.start_ns;
    gh_cpu_pause(h, until_stood(h), h->rec.pause_ns[0]);
    h->bytes_marked = h->opt.base_live;
    h->gcc.globals_scan = h->globals_scan;
    gh_figures_begin(h);
    gh_limiter_finish_gc(&h->limiter, (int64_t)h->clock_ns);
    return GH_OK;
}

// end_cycle is mark termination and the sweep's begin: nothing is grey any more.
static void
end_cycle(gh_p *p)
{
    gh_heap *h = p->heap;
    const gh_costs *cost = &h->opt.costs;
    gh_cycle *rec = &h->rec;
    const bool stopped = h->opt.mode == GH_MODE_STW;
    gh_checkmark(h);
    // Of the two others nothing is left.
    (void)gh_figures_count(h, gh_figures_take(h, UINT64_MAX));
    if (stopped && !h->by_hand) {
        // All Ps are workers, so the time that passes is the work's share.
        const double scanned =
            (double)(h->gcc.heap_scan_work + h->gcc.globals_scan_work
                     + h->gcc.stack_scan_work);
        h->clock_ns += scanned * cost->scan_byte / (double)h->procs;
    }
    rec->mark_end_ns = stop_began(h);

    rec->pacer.expected = h->gcc.last_heap_scan + h->gcc.last_stack_scan
                          + h->gcc.globals_scan;
    const gh_gcc_measured seen =
        gh_gcc_end_cycle(&h->gcc, rec->mark_end_ns, h->procs);
    rec->pacer.measured = seen.valid;
    rec->pacer.utilization = seen.utilization;
    rec->pacer.old_cons_mark = seen.old_cons_mark;
    gh_limiter_start_gc(&h->limiter, false, rec->mark_end_ns);
    set_phase(h, GH_PHASE_MARKTERM);
    rec->heap_end = h->gcc.heap_live;
    rec->heap_goal = h->gcc.last_heap_goal;
    rec->scan_work = h->gcc.heap_scan_work;
    rec->stack_scan = h->gcc.stack_scan_work;
    rec->globals_scan = h->gcc.globals_scan_work;
    for (int32_t i = 0; i < h->procs; i++) {
        h->allp[i]->mcache.scan_alloc = 0;
    }
    gh_gcc_reset_live(&h->gcc, h->bytes_marked);
    gh_gcwork_trim(h, &h->work);
    if (h->gt != NULL) {
        gh_greentea_trim(h);
    }
    set_phase(h, GH_PHASE_OFF);
    pay_stop(h);
    gc_sweep(h);
    if (h->sweep_drained) {
        h->clock_ns += cost->sweep_page * (double)h->pages_swept;
    }
    // For the scavenger: what is in use, less what an eager sweep has freed.
    h->last_heap_in_use = h->gcc.heap_in_use.bytes;
    gh_gc_commit(h);

    if (h->concurrent) {
        flush_after_cycle(p);  // it takes time that is the stop's
        gh_clock_sync(h);
    }
    rec->end_ns = (int64_t)h->clock_ns;
    gh_limiter_finish_gc(&h->limiter, rec->end_ns);
    rec->limited = gh_limiter_limiting(&h->limiter);
    rec->pause_ns[1] = rec->end_ns - rec->mark_end_ns;
    gh_cpu_pause(h, until_stood(h), rec->pause_ns[1]);
    if (stopped) {
        rec->background_ns = (rec->mark_end_ns - rec->mark_start_ns) * h->procs;
    } else {
        rec->assist_ns = h->gcc.assist_time;
        rec->background_ns =
            h->gcc.dedicated_mark_time + h->gcc.fractional_mark_time;
        rec->idle_ns = h->gcc.idle_mark_time;
    }
    rec->cons_mark = h->gcc.cons_mark;
    rec->heap_marked = h->bytes_marked;
    rec->next_trigger = gh_gcc_trigger(&h->gcc, &rec->next_goal);
    rec->swept_bytes = h->swept_bytes;
    h->gc_cpu_fraction = gh_cpu_end_cycle(h, rec);
    rec->gc_cpu_fraction = h->gc_cpu_fraction;
    const uint64_t pause = (uint64_t)(rec->pause_ns[0] + rec->pause_ns[1]);
    h->pause_ns[h->num_gc % 256] = pause;
    h->pause_end[h->num_gc % 256] = (uint64_t)rec->end_ns;
    h->pause_total_ns += pause;
    h->last_gc_ns = (uint64_t)rec->end_ns;
    h->num_gc++;
    h->num_forced_gc += rec->forced;
    gh_scav_index_next_gen(&h->pages.scav);
    gh_prof_next_cycle(h);
    gh_prof_flush(h);
    if (!h->concurrent) {
        flush_after_cycle(p);
    }
    rec->heap_inuse = h->gcc.heap_in_use.bytes;
    rec->heap_free = h->gcc.heap_free.bytes;
    rec->heap_released = h->gcc.heap_released.bytes;
    h->cycle_log[rec->n - 1] = *rec;
    gh_calls_cycle(&h->calls, rec->n - 1);
    gh_emit(h, GH_EV_GC_END, p->id, 0, rec->heap_marked, 0);
}

// roots_marking says that freed blocks and pins are to be shaded first.
static void
set_roots_marking(gh_heap *h, bool on)
{
    gh_lock(&h->roots_lock);
    h->roots_marking = on;
    gh_unlock(&h->roots_lock);
    gh_lock(&h->window->lock);
    h->pins_marking = on;
    gh_unlock(&h->window->lock);
}

gh_status
gh_gc_cycle(gh_p *p, bool forced)
{
    gh_status st = begin_cycle(p, forced, GH_MARKING_STOPPED);
    if (st == GH_OK && p->heap->concurrent) {
        // No thread can be made: this one marks alone. Who has no P may free roots
        // meanwhile.
        set_roots_marking(p->heap, true);
        gh_par_begin(p);
        gh_par_end(p);
        set_roots_marking(p->heap, false);
        end_cycle(p);
    } else if (st == GH_OK) {
        gh_gc_mark(p->heap);
        end_cycle(p);
    }
    return st;
}

gh_status
gh_gc_begin_marking(gh_p *p, bool forced, gh_marking by)
{
    gh_status st = begin_cycle(p, forced, by);
    if (st == GH_OK) {
        gh_heap *h = p->heap;
        set_roots_marking(h, true);
        if (h->concurrent) {
            gh_par_begin(p);
        } else {
            gh_gc_mark_roots(h);
        }
    }
    return st;
}

void
gh_gc_end_marking(gh_p *p)
{
    gh_heap *h = p->heap;
    if (h->concurrent) {
        gh_par_end(p);
        // What is freed from here on holds only what is marked.
        set_roots_marking(h, false);
        end_cycle(p);
        return;
    }
    // Nobody else is inside: what was freed until now is shaded here.
    set_roots_marking(h, false);
    h->strong_from_weak_block = true;
    gh_drain_handles(p);
    gh_gc_drain(h);
    h->strong_from_weak_block = false;
    end_cycle(p);
}

// ---- driven by hand --------------------------------------------------------------

gh_status
gh_gc_start(gh_mut *m)
{
    gh_heap *h = m->heap;
    if (h->phase != GH_PHASE_OFF || h->concurrent) {
        return GH_ERR_STATE;
    }
    gh_sweep_all(m);
    gh_status st = begin_cycle(m, true, GH_MARKING_STOPPED);
    if (st == GH_OK) {
        h->by_hand = true;
        set_roots_marking(h, true);
        gh_gc_mark_roots(h);
    }
    return st;
}

// charge makes the clock pay for scan work done since before.
static void
charge(gh_heap *h, uint64_t before)
{
    if (h->gcc.heap_scan_work > before) {
        h->clock_ns += (double)(h->gcc.heap_scan_work - before)
                       * h->opt.costs.scan_byte;
    }
}

gh_status
gh_gc_step(gh_mut *m, uint64_t n, gh_step_fn fn, void *arg, uint64_t *left)
{
    gh_heap *h = m->heap;
    if (h->phase != GH_PHASE_MARK || !h->by_hand) {
        return GH_ERR_STATE;
    }
    gh_drain_handles(m);
    const uint64_t before = h->gcc.heap_scan_work;
    *left = gh_gc_scan_grey(h, n, fn, arg);
    charge(h, before);
    return GH_OK;
}

gh_status
gh_gc_finish(gh_mut *m)
{
    gh_heap *h = m->heap;
    if (h->phase != GH_PHASE_MARK || !h->by_hand) {
        return GH_ERR_STATE;
    }
    const uint64_t before = h->gcc.heap_scan_work;
    // From here on nothing that is freed needs shading: what was freed until now
    // is shaded by the drain below, and nobody else is inside.
    set_roots_marking(h, false);
    gh_drain_handles(m);
    gh_gc_queue_grey(h);
    gh_gc_drain(h);
    charge(h, before);
    end_cycle(m);
    h->by_hand = false;
    gh_sweep_all(m);
    gh_prof_post_sweep(h);
    return GH_OK;
}

// ---- what clients ask -----------------------------------------------------------

gh_status
gh_gc(gh_mut *m)
{
    if (m->heap->by_hand) {
        gh_status ended = gh_gc_finish(m);
        if (ended != GH_OK) {
            return ended;
        }
    }
    gh_status st;
    if (m->heap->opt.mode == GH_MODE_STW) {
        gh_sweep_all(m);
        st = gh_gc_cycle(m, true);
    } else if (m->heap->concurrent) {
        st = gh_bg_collect(m);
    } else {
        // The caller waits: for the cycle that runs, then for its own.
        gh_virtual_wait(m);
        gh_sweep_all(m);
        st = gh_virtual_begin(m, true, GH_MARKING_BACKGROUND);
        if (st == GH_OK) {
            gh_virtual_wait(m);
        }
    }
    if (st == GH_OK) {
        gh_sweep_all(m);
        gh_prof_post_sweep(m->heap);
    }
    return st;
}

void
gh_sweep_some(gh_mut *m, uint64_t n)
{
    while (n > 0 && gh_sweepone(m->heap) != GH_SWEEP_NOTHING) {
        n--;
    }
}

uint64_t
gh_scavenge_some(gh_mut *m)
{
    double worked;
    const uint64_t n = gh_scav_run(&m->heap->scavenger, &worked);
    m->heap->scavenger.released_bg += n;
    return n;
}

void
gh_sweep_all(gh_mut *m)
{
    while (gh_sweepone(m->heap) != GH_SWEEP_NOTHING) {
        if (m->heap->concurrent) {
            gh_safepoint(m);
        }
    }
}

gh_status
gh_free_os_memory(gh_mut *m)
{
    gh_status st = gh_gc(m);
    if (st == GH_OK) {
        gh_heap *h = m->heap;
        gh_stop_world(m);
        const uint64_t released = gh_mheap_scavenge(h, UINT64_MAX);
        h->sweep.forced = gh_scav_state_of(h);
        h->sweep.forced.released_eager = released;
        h->sweep.forced.forced = true;
        gh_mheap_trim(m->heap);
        gh_start_world(m);
    }
    return st;
}

int32_t
gh_set_gogc(gh_mut *m, int32_t percent)
{
    gh_stop_world(m);
    const int32_t old = gh_gcc_set_gc_percent(&m->heap->gcc, percent);
    gh_gc_commit(m->heap);
    gh_start_world(m);
    if (percent < 0 && m->heap->virt.on) {
        gh_virtual_wait(m);  // off: none runs when this returns
    } else if (percent < 0 && m->heap->concurrent && !gh_is_stopper(m)) {
        gh_bg_wait(m);
    }
    return old;
}

int64_t
gh_set_memory_limit(gh_mut *m, int64_t limit)
{
    gh_stop_world(m);
    const int64_t old = gh_gcc_set_memory_limit(&m->heap->gcc, limit);
    if (limit >= 0 && limit != old) {
        gh_gc_commit(m->heap);
    }
    gh_start_world(m);
    return old;
}

void
gh_set_next_cycle(gh_mut *m, uint64_t goal, uint64_t trigger)
{
    gh_stop_world(m);
    gh_gcc_set_next_cycle(&m->heap->gcc, goal, trigger);
    gh_gc_commit(m->heap);
    gh_start_world(m);
}

void
gh_set_root_scan(gh_mut *m, uint64_t globals, uint64_t stacks)
{
    gh_lock_heap(m->heap);
    m->heap->globals_scan = globals;
    m->heap->stack_scan = stacks;
    gh_unlock_heap(m->heap);
}

gh_phase
gh_gc_phase(const gh_heap *h)
{
    return h->phase;
}

int32_t
gh_gogc(const gh_heap *h)
{
    return h->gcc.gc_percent;
}

int64_t
gh_memory_limit(const gh_heap *h)
{
    return h->gcc.memory_limit;
}

void
gh_on_clear_pools(gh_mut *m, void (*fn)(void *arg), void *arg)
{
    m->heap->clear_pools = fn;
    m->heap->clear_pools_arg = arg;
}

int64_t
gh_now(const gh_heap *h)
{
    return h->concurrent ? gh_nanotime() - h->conc.birth_ns
                         : (int64_t)h->clock_ns;
}

void
gh_clock_set(gh_mut *m, int64_t now)
{
    gh_heap *h = m->heap;
    if (h->concurrent) {
        return;
    }
    h->clock_external = true;
    h->clock_stamped = true;
    if ((double)now > h->clock_ns) {
        h->clock_ns = (double)now;
        if (h->opt.mode == GH_MODE_VIRTUAL) {
            gh_virtual_tick(h, m);
        }
    }
}

void
gh_clock_pass(gh_mut *m, double ns)
{
    gh_heap *h = m->heap;
    h->clock_external = true;
    h->clock_ns += ns;
    if (h->opt.mode == GH_MODE_VIRTUAL) {
        gh_virtual_tick(h, m);
    }
}

// A longer rest is looked at in pieces, for the timer's sake.
#define ADVANCE_NS ((int64_t)1000000000)

void
gh_advance(gh_mut *m, int64_t ns)
{
    gh_heap *h = m->heap;
    if (h->concurrent) {
        return;
    }
    if (h->opt.mode != GH_MODE_VIRTUAL) {
        gh_cpu_mutator(h, 1);
        h->clock_ns += (double)ns;
        gh_cpu_mutator(h, 0);
        return;
    }
    while (ns > 0) {
        const int64_t piece = ns < ADVANCE_NS ? ns : ADVANCE_NS;
        h->clock_ns += (double)piece;
        gh_virtual_tick(h, NULL);
        ns -= piece;
    }
}

uint64_t
gh_cycles(const gh_heap *h)
{
    return h->num_gc;
}

gh_status
gh_cycle_get(const gh_heap *h, uint64_t i, gh_cycle *out)
{
    if (i >= h->num_gc) {
        return GH_ERR_INVAL;
    }
    *out = h->cycle_log[i];
    if (i == h->num_gc - 1) {
        gh_lock_heap((gh_heap *)h);
        out->swept_bytes = h->swept_bytes;  // its sweep may go on
        out->sweep = h->sweep;
        gh_unlock_heap((gh_heap *)h);
    }
    return GH_OK;
}

// mstats.c: MemStats and the other figures. See mstats.h.

#include "mstats.h"

#include <string.h>

#include "cpustats.h"
#include "proc.h"

// Gauges are asked of a const heap.
static void
lock(const gh_heap *h)
{
    gh_lock_heap((gh_heap *)h);
}

static void
unlock(const gh_heap *h)
{
    gh_unlock_heap((gh_heap *)h);
}

// unflushed adds what mcaches have handed out and not counted; returns its
// bytes.
static uint64_t
unflushed(const gh_heap *h, uint64_t small[GH_NUM_SIZE_CLASSES], uint64_t *tiny)
{
    uint64_t bytes = 0;
    for (int32_t i = 0; i < h->procs; i++) {
        const gh_mcache *c = &h->allp[i]->mcache;
        *tiny += c->tiny_allocs;
        for (unsigned spc = 0; spc < GH_NUM_SPAN_CLASSES; spc++) {
            const gh_mspan *s = c->alloc[spc];
            const uint64_t n =
                (uint64_t)(s->alloc_count - s->alloc_count_before_cache);
            small[gh_spanclass_sizeclass((uint8_t)spc)] += n;
            bytes += n * s->elemsize;
        }
    }
    return bytes;
}

static uint64_t
sys_total(const gh_memstats *m)
{
    return m->heap_sys + m->stack_sys + m->mspan_sys + m->mcache_sys
           + m->buck_hash_sys + m->gc_sys + m->other_sys;
}

void
gh_stats_of(const gh_heap *h, gh_memstats *out)
{
    memset(out, 0, sizeof(*out));
    uint64_t small[GH_NUM_SIZE_CLASSES];
    memcpy(small, h->stats.small_alloc_count, sizeof(small));
    uint64_t tiny = h->stats.tiny_alloc_count;
    const uint64_t late_bytes = unflushed(h, small, &tiny);

    uint64_t total_alloc = h->stats.large_alloc;
    uint64_t total_free = h->stats.large_free;
    uint64_t mallocs = h->stats.large_alloc_count;
    uint64_t frees = h->stats.large_free_count;
    for (unsigned i = 0; i < GH_NUM_SIZE_CLASSES; i++) {
        const uint64_t size = h->sizes.size[i];
        total_alloc += small[i] * size;
        total_free += h->stats.small_free_count[i] * size;
        mallocs += small[i];
        frees += h->stats.small_free_count[i];
        if (i < 61) {
            out->by_size[i] = (gh_by_size){
                .size = (uint32_t)size,
                .mallocs = small[i],
                .frees = h->stats.small_free_count[i],
            };
        }
    }
    mallocs += tiny;
    frees += tiny;

    out->alloc = total_alloc - total_free;
    out->total_alloc = total_alloc;
    out->mallocs = mallocs;
    out->frees = frees;
    out->heap_alloc = out->alloc;
    out->heap_inuse = h->gcc.heap_in_use.bytes;
    out->heap_released = h->gcc.heap_released.bytes;
    out->heap_idle = h->gcc.heap_free.bytes + h->gcc.heap_released.bytes;
    out->heap_sys = out->heap_inuse + out->heap_idle;
    out->heap_objects = mallocs - frees;
    out->stack_inuse = h->stats.in_stacks;
    out->stack_sys = h->stats.in_stacks + h->stacks_sys.bytes;
    out->mspan_inuse = h->spanalloc.inuse;
    out->mspan_sys = h->mspan_sys.bytes;
    out->mcache_inuse = h->cachealloc.inuse;
    out->mcache_sys = h->mcache_sys.bytes;
    out->buck_hash_sys = h->buckhash_sys.bytes;
    out->gc_sys = h->gc_misc_sys.bytes + h->stats.in_workbufs;
    out->other_sys = h->other_sys.bytes;
    out->sys = sys_total(out);
    gh_gc_controller gcc = h->gcc;
    gcc.total_alloc += late_bytes;
    out->next_gc = gh_gcc_heap_goal(&gcc);
    out->last_gc = h->last_gc_ns;
    out->pause_total_ns = h->pause_total_ns;
    memcpy(out->pause_ns, h->pause_ns, sizeof(out->pause_ns));
    memcpy(out->pause_end, h->pause_end, sizeof(out->pause_end));
    out->num_gc = h->num_gc;
    out->num_forced_gc = h->num_forced_gc;
    out->gc_cpu_fraction = h->gc_cpu_fraction;
    out->enable_gc = true;
}

void
gh_stats(gh_mut *m, gh_memstats *out)
{
    gh_stop_world(m);
    gh_drain_handles(m);
    gh_stats_of(m->heap, out);
    gh_start_world(m);
}

void
gh_read_mem_stats(gh_mut *m, gh_memstats *out)
{
    gh_stop_world(m);
    gh_drain_handles(m);
    gh_flush_p(m, GH_ANY_P);
    gh_stats_of(m->heap, out);
    gh_cpu_other_stop(m->heap);
    gh_start_world(m);
}

// Go: readMemStatsSlow. What spans and bitmaps say of allocs, frees and pages.
void
gh_stats_slow(gh_mut *m, gh_memstats *out)
{
    gh_heap *h = m->heap;
    gh_stop_world(m);
    gh_stats_of(h, out);
    uint64_t live_bytes = h->opt.base_live, live = h->opt.base_live > 0;
    uint64_t inuse = h->opt.base_live;
    uint64_t by_class[GH_NUM_SIZE_CLASSES] = {0};
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            const gh_mspan *s = h->spans[w * 64 + gh_ctz64(bits)];
            inuse += s->npages * GH_PAGE_SIZE;
            unsigned n = 0;
            for (unsigned i = 0; i < s->nelems; i++) {
                n += gh_mspan_is_allocated(&h->bm, s, i);
            }
            live += n;
            live_bytes += n * s->elemsize;
            by_class[gh_spanclass_sizeclass(s->spanclass)] += n;
        }
    }
    out->alloc = out->heap_alloc = live_bytes;
    out->heap_objects = live;
    out->heap_inuse = inuse;
    out->frees = out->mallocs - live;
    out->heap_sys = out->heap_inuse + out->heap_idle;
    out->sys = sys_total(out);
    for (unsigned i = 1; i < 61; i++) {
        out->by_size[i].frees = out->by_size[i].mallocs - by_class[i];
    }
    gh_start_world(m);
}

void
gh_pacer_get(const gh_heap *h, gh_pacer_stats *out)
{
    lock(h);
    const gh_gc_controller *c = &h->gcc;
    *out = (gh_pacer_stats){
        .heap_live = c->heap_live,
        .heap_marked = c->heap_marked,
        .heap_scan = c->heap_scan,
        .triggered = c->triggered,
        .gc_percent_goal = c->gc_percent_heap_goal,
        .last_heap_scan = c->last_heap_scan,
        .last_stack_scan = c->last_stack_scan,
        .globals_scan = c->globals_scan,
        .max_stack_scan = c->max_stack_scan,
        .runway = c->runway,
        .sweep_min_trigger = c->sweep_dist_min_trigger,
        .heap_inuse = c->heap_in_use.bytes,
        .heap_free = c->heap_free.bytes,
        .heap_released = c->heap_released.bytes,
        .total_alloc = c->total_alloc,
        .total_free = c->total_free,
        .mapped_ready = h->mem.mapped_ready,
        .cons_mark = c->cons_mark,
        .heap_minimum = c->heap_minimum,
        .scav_eager = h->scavenger.told_eager + h->scavenger.released_eager,
        .scav_bg = h->scavenger.told_bg + h->scavenger.released_bg,
        .scav_gc_percent_goal = h->scav_goals.gc_percent,
    };
    out->trigger = gh_gcc_trigger(c, &out->heap_goal);
    unlock(h);
}

void
gh_counts_get(gh_heap *h, gh_counts *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            const gh_mspan *s = h->spans[w * 64 + gh_ctz64(bits)];
            const unsigned i = s->spanclass;
            out->spans[i]++;
            out->pages[i] += s->npages;
            out->objects[i] += s->alloc_count;
            out->free[i] += (uint64_t)(s->nelems - s->alloc_count);
            out->unswept += s->sweepgen != h->sweepgen
                            && s->sweepgen != h->sweepgen + 3;
        }
    }
    memcpy(out->small_alloc, h->stats.small_alloc_count,
           sizeof(out->small_alloc));
    memcpy(out->small_free, h->stats.small_free_count, sizeof(out->small_free));
    out->large_alloc = h->stats.large_alloc;
    out->large_free = h->stats.large_free;
    out->large_alloc_count = h->stats.large_alloc_count;
    out->large_free_count = h->stats.large_free_count;
    out->tiny = h->stats.tiny_alloc_count;
    out->committed = h->stats.committed;
    out->released = h->stats.released;
    out->in_heap = h->stats.in_heap;
    out->in_stacks = h->stats.in_stacks;
    out->in_workbufs = h->stats.in_workbufs;
    out->pages_in_use = h->pages_in_use;
}

uint64_t
gh_heap_live(const gh_heap *h)
{
    lock(h);
    const uint64_t v = h->gcc.heap_live;
    unlock(h);
    return v;
}

uint64_t
gh_heap_goal(const gh_heap *h)
{
    lock(h);
    const uint64_t v = gh_gcc_heap_goal(&h->gcc);
    unlock(h);
    return v;
}

uint64_t
gh_trigger(const gh_heap *h)
{
    lock(h);
    const uint64_t v = gh_gcc_trigger(&h->gcc, NULL);
    unlock(h);
    return v;
}

uint64_t
gh_heap_inuse(const gh_heap *h)
{
    lock(h);
    const uint64_t v = h->gcc.heap_in_use.bytes;
    unlock(h);
    return v;
}

uint64_t
gh_hard_limit(const gh_heap *h)
{
    return h->mem.hard_limit == UINT64_MAX ? UINT64_MAX
                                           : h->mem.hard_limit + h->mem.own;
}

uint64_t
gh_mapped_ready(const gh_heap *h)
{
    lock(h);
    const uint64_t v = h->mem.mapped_ready;
    unlock(h);
    return v;
}

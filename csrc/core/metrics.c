// metrics.c: runtime/metrics. See metrics.h.

#include "metrics.h"

#include <math.h>

// ---- sums ------------------------------------------------------------------------

// object_sums is Go's heapStatsAggregate: of the consistent counters, which what
// sits in mcaches has not reached.
typedef struct object_sums {
    uint64_t alloc_bytes, free_bytes, allocs, frees;
} object_sums;

static object_sums
sum_objects(const gh_size_table *t, const gh_heap_stats *s)
{
    object_sums sum = {s->large_alloc, s->large_free, s->large_alloc_count,
                       s->large_free_count};
    for (unsigned i = 0; i < GH_NUM_SIZE_CLASSES; i++) {
        sum.alloc_bytes += s->small_alloc_count[i] * t->size[i];
        sum.free_bytes += s->small_free_count[i] * t->size[i];
        sum.allocs += s->small_alloc_count[i];
        sum.frees += s->small_free_count[i];
    }
    return sum;
}

static void
sizes(uint64_t out[GH_METRIC_SIZES], const uint64_t *small, uint64_t large)
{
    for (unsigned i = 1; i < GH_NUM_SIZE_CLASSES; i++) {
        out[i - 1] = small[i];
    }
    out[GH_NUM_SIZE_CLASSES - 1] = large;
}

// ---- the list --------------------------------------------------------------------

static void
put(gh_metrics *out, const char *name, gh_metric m)
{
    GH_ASSERT(out->n < GH_NUM_METRICS);
    m.name = name;
    out->metric[out->n++] = m;
}

static void
put_u64(gh_metrics *out, const char *name, uint64_t v)
{
    put(out, name, (gh_metric){.kind = GH_METRIC_U64, .u64 = v});
}

static void
put_seconds(gh_metrics *out, const char *name, double ns)
{
    put(out, name, (gh_metric){.kind = GH_METRIC_F64, .f64 = ns / 1e9});
}

static void
put_cpu(gh_metrics *out, const gh_cpu_stats *s)
{
    put_seconds(out, "/cpu/classes/gc/mark/assist:cpu-seconds", s->assist);
    put_seconds(out, "/cpu/classes/gc/mark/dedicated:cpu-seconds", s->dedicated);
    put_seconds(out, "/cpu/classes/gc/mark/idle:cpu-seconds", s->idle_mark);
    put_seconds(out, "/cpu/classes/gc/pause:cpu-seconds", s->pause);
    put_seconds(out, "/cpu/classes/gc/total:cpu-seconds", s->gc);
    put_seconds(out, "/cpu/classes/idle:cpu-seconds", s->idle);
    put_seconds(out, "/cpu/classes/scavenge/assist:cpu-seconds", s->scav_assist);
    put_seconds(out, "/cpu/classes/scavenge/background:cpu-seconds",
                s->scav_background);
    put_seconds(out, "/cpu/classes/scavenge/total:cpu-seconds",
                s->scav_assist + s->scav_background);
    put_seconds(out, "/cpu/classes/total:cpu-seconds", s->total);
    put_seconds(out, "/cpu/classes/user:cpu-seconds", s->user);
}

static void
put_gc(gh_metrics *out, gh_heap *h)
{
    uint64_t queued[GH_CALL_KINDS], taken[GH_CALL_KINDS];
    gh_calls_counts(&h->calls, queued, taken);
    const gh_heap_stats *s = &h->stats;
    const object_sums sum = sum_objects(&h->sizes, s);
    const gh_gc_controller *c = &h->gcc;
    const gh_metric by_size = {.kind = GH_METRIC_BY_SIZE};
    const gh_metric times = {.kind = GH_METRIC_TIMES};
    gh_metric m;

    put_u64(out, "/gc/cleanups/executed:cleanups", taken[GH_CALL_CLEANUP]);
    put_u64(out, "/gc/cleanups/queued:cleanups", h->cleanups_queued);
    put_u64(out, "/gc/cycles/automatic:gc-cycles", h->num_gc - h->num_forced_gc);
    put_u64(out, "/gc/cycles/forced:gc-cycles", h->num_forced_gc);
    put_u64(out, "/gc/cycles/total:gc-cycles", h->num_gc);
    put_u64(out, "/gc/finalizers/executed:finalizers",
            taken[GH_CALL_FINALIZER]);
    put_u64(out, "/gc/finalizers/queued:finalizers", queued[GH_CALL_FINALIZER]);
    put_u64(out, "/gc/gogc:percent", (uint64_t)(int64_t)c->gc_percent);
    put_u64(out, "/gc/gomemlimit:bytes", (uint64_t)c->memory_limit);
    sizes(out->by_size[0], s->small_alloc_count, s->large_alloc_count);
    m = by_size;
    m.counts = out->by_size[0];
    put(out, "/gc/heap/allocs-by-size:bytes", m);
    put_u64(out, "/gc/heap/allocs:bytes", sum.alloc_bytes);
    put_u64(out, "/gc/heap/allocs:objects", sum.allocs);
    sizes(out->by_size[1], s->small_free_count, s->large_free_count);
    m.counts = out->by_size[1];
    put(out, "/gc/heap/frees-by-size:bytes", m);
    put_u64(out, "/gc/heap/frees:bytes", sum.free_bytes);
    put_u64(out, "/gc/heap/frees:objects", sum.frees);
    put_u64(out, "/gc/heap/goal:bytes", gh_gcc_heap_goal(c));
    put_u64(out, "/gc/heap/live:bytes", c->heap_marked);
    put_u64(out, "/gc/heap/objects:objects", sum.allocs - sum.frees);
    put_u64(out, "/gc/heap/tiny/allocs:objects", s->tiny_alloc_count);
    put_u64(out, "/gc/limiter/last-enabled:gc-cycle",
            atomic_load(&h->limiter.last_enabled_cycle));
    gh_time_histogram_read(&h->stopped_gc, out->times[0]);
    m = times;
    m.counts = out->times[0];
    put(out, "/gc/pauses:seconds", m);
    put_u64(out, "/gc/scan/globals:bytes", c->globals_scan);
    put_u64(out, "/gc/scan/heap:bytes", c->heap_scan);
    put_u64(out, "/gc/scan/stack:bytes", c->last_stack_scan);
    put_u64(out, "/gc/scan/total:bytes",
            c->globals_scan + c->heap_scan + c->last_stack_scan);
    put_u64(out, "/gc/stack/starting-size:bytes", GH_STARTING_STACK);
}

static void
put_memory(gh_metrics *out, const gh_heap *h)
{
    const gh_heap_stats *s = &h->stats;
    const object_sums sum = sum_objects(&h->sizes, s);
    const uint64_t objects = sum.alloc_bytes - sum.free_bytes;
    const uint64_t mcache = h->cachealloc.inuse, mspan = h->spanalloc.inuse;
    put_u64(out, "/memory/classes/heap/free:bytes",
            s->committed - s->in_heap - s->in_stacks - s->in_workbufs);
    put_u64(out, "/memory/classes/heap/objects:bytes", objects);
    put_u64(out, "/memory/classes/heap/released:bytes", s->released);
    put_u64(out, "/memory/classes/heap/stacks:bytes", s->in_stacks);
    put_u64(out, "/memory/classes/heap/unused:bytes", s->in_heap - objects);
    put_u64(out, "/memory/classes/metadata/mcache/free:bytes",
            h->mcache_sys.bytes - mcache);
    put_u64(out, "/memory/classes/metadata/mcache/inuse:bytes", mcache);
    put_u64(out, "/memory/classes/metadata/mspan/free:bytes",
            h->mspan_sys.bytes - mspan);
    put_u64(out, "/memory/classes/metadata/mspan/inuse:bytes", mspan);
    put_u64(out, "/memory/classes/metadata/other:bytes",
            s->in_workbufs + h->gc_misc_sys.bytes);
    put_u64(out, "/memory/classes/os-stacks:bytes", h->stacks_sys.bytes);
    put_u64(out, "/memory/classes/other:bytes", h->other_sys.bytes);
    put_u64(out, "/memory/classes/profiling/buckets:bytes",
            h->buckhash_sys.bytes);
    put_u64(out, "/memory/classes/total:bytes",
            s->committed + s->released + h->stacks_sys.bytes
                + h->mspan_sys.bytes + h->mcache_sys.bytes
                + h->buckhash_sys.bytes + h->gc_misc_sys.bytes
                + h->other_sys.bytes);
}

static void
put_sched(gh_metrics *out, gh_heap *h)
{
    put_u64(out, "/sched/gomaxprocs:threads", (uint64_t)h->procs);
    const struct {
        const char *name;
        gh_time_histogram *from;
    } times[] = {
        {"/sched/pauses/stopping/gc:seconds", &h->stopping_gc},
        {"/sched/pauses/stopping/other:seconds", &h->stopping_other},
        {"/sched/pauses/total/gc:seconds", &h->stopped_gc},
        {"/sched/pauses/total/other:seconds", &h->stopped_other},
    };
    for (unsigned i = 0; i < 4; i++) {
        uint64_t *counts = out->times[i + 1];
        gh_time_histogram_read(times[i].from, counts);
        put(out, times[i].name,
            (gh_metric){.kind = GH_METRIC_TIMES, .counts = counts});
    }
}

// size_edges: buckets beyond a policy's classes stay empty, and are one byte each.
static void
size_edges(const gh_size_table *t, double edges[GH_METRIC_SIZES + 1])
{
    edges[0] = 1;
    for (unsigned i = 1; i < GH_NUM_SIZE_CLASSES; i++) {
        edges[i] = i < t->n ? t->size[i] + 1 : edges[i - 1] + 1;
    }
    edges[GH_NUM_SIZE_CLASSES] = INFINITY;
}

void
gh_metrics_get(gh_mut *m, gh_metrics *out)
{
    gh_heap *h = m->heap;
    out->n = 0;
    size_edges(&h->sizes, out->size_edges);
    gh_lock_heap(h);
    put_cpu(out, &h->cpu);
    put_gc(out, h);
    put_memory(out, h);
    put_sched(out, h);
    gh_unlock_heap(h);
    GH_ASSERT(out->n == GH_NUM_METRICS);
}

void
gh_metric_time_edges(double edges[GH_METRIC_TIME_COUNTS + 1])
{
    gh_time_histogram_edges(edges);
}

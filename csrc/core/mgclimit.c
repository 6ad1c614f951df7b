// mgclimit.c: the bucket and the events that fill it. See mgclimit.h.

#include "mgclimit.h"

#define TYPE_SHIFT 61u
#define TYPE_MASK  (~(uint64_t)0 << TYPE_SHIFT)

static int64_t
load(_Atomic int64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void
store(_Atomic int64_t *v, int64_t to)
{
    atomic_store_explicit(v, to, memory_order_relaxed);
}

static void
add(_Atomic int64_t *v, int64_t d)
{
    atomic_fetch_add_explicit(v, d, memory_order_relaxed);
}

// ---- stamps and events -----------------------------------------------------

uint64_t
gh_limiter_stamp(gh_limiter_event_type type, int64_t now)
{
    return (uint64_t)type << TYPE_SHIFT | ((uint64_t)now & ~TYPE_MASK);
}

gh_limiter_event_type
gh_limiter_stamp_type(uint64_t stamp)
{
    return (gh_limiter_event_type)(stamp >> TYPE_SHIFT);
}

int64_t
gh_limiter_stamp_duration(uint64_t stamp, int64_t now)
{
    // The bits that the type has taken are now's.
    const int64_t start = (int64_t)(((uint64_t)now & TYPE_MASK)
                                    | (stamp & ~TYPE_MASK));
    return now < start ? 0 : now - start;
}

bool
gh_limiter_event_start(gh_limiter_event *e, gh_limiter_event_type type,
                       int64_t now)
{
    GH_ASSERT(type != GH_LIMITER_NONE);
    const uint64_t old = atomic_load_explicit(&e->stamp, memory_order_relaxed);
    if (gh_limiter_stamp_type(old) != GH_LIMITER_NONE) {
        return false;
    }
    atomic_store_explicit(&e->stamp, gh_limiter_stamp(type, now),
                          memory_order_relaxed);
    return true;
}

gh_limiter_event_type
gh_limiter_event_consume(gh_limiter_event *e, int64_t now, int64_t *ns)
{
    uint64_t old = atomic_load_explicit(&e->stamp, memory_order_relaxed);
    gh_limiter_event_type type;
    do {
        type = gh_limiter_stamp_type(old);
        *ns = gh_limiter_stamp_duration(old, now);
        if (type == GH_LIMITER_NONE || *ns == 0) {
            *ns = 0;
            return GH_LIMITER_NONE;
        }
        // The P may stop its event meanwhile; whoever comes first has the time.
    } while (!atomic_compare_exchange_weak_explicit(
        &e->stamp, &old, gh_limiter_stamp(type, now), memory_order_relaxed,
        memory_order_relaxed));
    return type;
}

void
gh_limiter_event_stop(gh_limiter *l, gh_limiter_event *e,
                      gh_limiter_event_type type, int64_t now)
{
    const uint64_t stamp =
        atomic_exchange_explicit(&e->stamp, 0, memory_order_relaxed);
    GH_THROW_IF(gh_limiter_stamp_type(stamp) != type,
                "limiter: the P's event is another one");
    const int64_t ns = gh_limiter_stamp_duration(stamp, now);
    switch (type) {
    case GH_LIMITER_IDLE:
        add(&l->idle_ns, ns);
        gh_limiter_add_idle_time(l, ns);
        break;
    case GH_LIMITER_IDLE_MARK:
        gh_limiter_add_idle_time(l, ns);
        break;
    case GH_LIMITER_MARK_ASSIST:
    case GH_LIMITER_SCAVENGE_ASSIST:
        gh_limiter_add_assist_time(l, ns);
        break;
    case GH_LIMITER_NONE:
        GH_THROW_IF(true, "limiter: stop of no event");
    }
}

void
gh_limiter_add_event(gh_limiter *l, gh_limiter_event *e)
{
    atomic_store_explicit(&e->stamp, 0, memory_order_relaxed);
    e->next = l->events;
    l->events = e;
}

void
gh_limiter_remove_event(gh_limiter *l, gh_limiter_event *e)
{
    GH_ASSERT(atomic_load_explicit(&e->stamp, memory_order_relaxed) == 0);
    gh_limiter_event **at = &l->events;
    while (*at != e) {
        GH_THROW_IF(*at == NULL, "limiter: event is not in the list");
        at = &(*at)->next;
    }
    *at = e->next;
    e->next = NULL;
}

// ---- the bucket ------------------------------------------------------------

static bool
try_lock(gh_limiter *l)
{
    uint32_t open = 0;
    return atomic_compare_exchange_strong_explicit(
        &l->lock, &open, 1, memory_order_acquire, memory_order_relaxed);
}

static void
unlock(gh_limiter *l)
{
    const uint32_t old =
        atomic_exchange_explicit(&l->lock, 0, memory_order_release);
    GH_THROW_IF(old != 1, "limiter: unlocked twice");
}

static void
set_enabled(gh_limiter *l, bool on)
{
    atomic_store_explicit(&l->enabled, on, memory_order_relaxed);
    if (on) {
        atomic_store_explicit(&l->last_enabled_cycle, *l->num_gc + 1,
                              memory_order_relaxed);
    }
}

// accumulate moves the level by gc_ns - mutator_ns. A full bucket is left alone
// by a change of zero: exactly half for the collector keeps the limiter on.
static void
accumulate(gh_limiter *l, int64_t mutator_ns, int64_t gc_ns)
{
    const uint64_t headroom = l->capacity - l->fill;
    const bool was_full = headroom == 0;
    const int64_t change = gc_ns - mutator_ns;

    if (change > 0 && headroom <= (uint64_t)change) {
        l->overflow += (uint64_t)change - headroom;
        l->fill = l->capacity;
        if (!was_full) {
            set_enabled(l, true);
        }
        return;
    }
    if (change < 0 && l->fill <= 0 - (uint64_t)change) {
        l->fill = 0;
    } else {
        l->fill += (uint64_t)change;
    }
    if (change != 0 && was_full) {
        set_enabled(l, false);
    }
}

// update_locked takes the window since the last update into the bucket.
static void
update_locked(gh_limiter *l, int64_t now)
{
    const int64_t last = load(&l->last_update);
    if (now < last) {
        return;
    }
    const int64_t window = (now - last) * l->procs;
    store(&l->last_update, now);
    int64_t assist =
        atomic_exchange_explicit(&l->assist_pool, 0, memory_order_relaxed);
    int64_t idle =
        atomic_exchange_explicit(&l->idle_pool, 0, memory_order_relaxed);
    for (gh_limiter_event *e = l->events; e != NULL; e = e->next) {
        int64_t ns;
        switch (gh_limiter_event_consume(e, now, &ns)) {
        case GH_LIMITER_IDLE:
            add(&l->idle_ns, ns);
            idle += ns;
            break;
        case GH_LIMITER_IDLE_MARK:
            idle += ns;
            break;
        case GH_LIMITER_MARK_ASSIST:
        case GH_LIMITER_SCAVENGE_ASSIST:
            assist += ns;
            break;
        case GH_LIMITER_NONE:
            break;
        }
    }
    // The workers' share is of the whole window, idle time included.
    int64_t gc = assist;
    if (l->gc_enabled) {
        gc += (int64_t)((double)window * GH_LIMITER_BACKGROUND);
    }
    accumulate(l, window - idle - gc, gc);
}

// ---- the public part -------------------------------------------------------

void
gh_limiter_init(gh_limiter *l, int64_t now, int32_t procs,
                const uint32_t *num_gc)
{
    *l = (gh_limiter){.num_gc = num_gc};
    store(&l->last_update, now);
    gh_limiter_reset_capacity(l, now, procs);
}

bool
gh_limiter_need_update(gh_limiter *l, int64_t now)
{
    return now - load(&l->last_update) > GH_LIMITER_UPDATE_PERIOD_NS;
}

void
gh_limiter_update(gh_limiter *l, int64_t now)
{
    if (!try_lock(l)) {
        return;
    }
    GH_THROW_IF(l->transitioning, "limiter: update during a transition");
    update_locked(l, now);
    unlock(l);
}

void
gh_limiter_add_assist_time(gh_limiter *l, int64_t ns)
{
    add(&l->assist_pool, ns);
}

void
gh_limiter_add_idle_time(gh_limiter *l, int64_t ns)
{
    add(&l->idle_pool, ns);
}

void
gh_limiter_start_gc(gh_limiter *l, bool marking, int64_t now)
{
    // The world is stopped, so nobody else can be updating. The lock is kept:
    // a transition without an end shows at the next one.
    GH_THROW_IF(!try_lock(l), "limiter: in use at a transition");
    GH_THROW_IF(l->gc_enabled == marking, "limiter: transition to the same");
    update_locked(l, now);
    l->gc_enabled = marking;
    l->transitioning = true;
}

void
gh_limiter_finish_gc(gh_limiter *l, int64_t now)
{
    GH_THROW_IF(!l->transitioning, "limiter: end of no transition");
    const int64_t last = load(&l->last_update);
    if (now >= last) {
        accumulate(l, 0, (now - last) * l->procs);
    }
    store(&l->last_update, now);
    l->transitioning = false;
    unlock(l);
}

void
gh_limiter_reset_capacity(gh_limiter *l, int64_t now, int32_t procs)
{
    GH_THROW_IF(!try_lock(l), "limiter: in use at a change of procs");
    update_locked(l, now);
    l->procs = procs;
    l->capacity = (uint64_t)procs * GH_LIMITER_CAPACITY_PER_PROC;
    if (l->fill > l->capacity) {
        l->fill = l->capacity;
        set_enabled(l, true);
    } else if (l->fill < l->capacity) {
        set_enabled(l, false);
    }
    unlock(l);
}

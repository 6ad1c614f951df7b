// mgcbg.c: workers, assists, sweeper and scavenger. See mgcbg.h.

#include "mgcbg.h"

#include <stdlib.h>

#include "delays.h"
#include "mgc.h"
#include "mgcpar.h"
#include "mgcsweep.h"
#include "planted.h"
#include "proc.h"
#include "safepoint.h"
#include "watchdog.h"

#define MAX_WORKERS 64
#define MS 1000000
// What a goroutine has a P for before another one may. Go: forcePreemptNS.
#define TURN_NS (10 * (int64_t)MS)
// Scan work between two looks at whether somebody wants the P: some 30 us.
#define SLICE_WORK ((uint64_t)64 << 10)
// Scan work, and bytes of roots, that the stop which begins a cycle does itself: some
// 5 us each.
#define AT_ONCE_WORK ((uint64_t)8 << 10)
#define AT_ONCE_ROOTS ((uint64_t)16 << 10)
// Spans that the sweeper takes at a time, and how long it rests after them: while a
// P is idle, and while all run. Go's is a goroutine like any other, and would
// have to wait for one of them to be preempted.
#define SWEEP_BATCH 16
#define SWEEP_REST 20000
#define SWEEP_REST_BUSY (10 * MS)
#define FORCE_GC_NS (120000 * (int64_t)MS)
// How often somebody looks whether the scavenger is to be woken. Go: the longest rest of
// sysmon, which it takes where nobody is in a system call.
#define SYSMON_NS (10 * (int64_t)MS)

// How a turn of an assist ended.
typedef enum payment {
    PAID,   // all that was asked for is done
    EMPTY,  // there was nothing more to mark
    CUT,    // TURN_NS are over
} payment;

typedef struct worker {
    gh_heap *h;
    gh_thread thread;
    int32_t id;
    uint32_t turn;        // of P number id, when this worker last looked
    _Atomic(const char *) doing;  // for the watchdog
    int64_t slice;        // in which the cycle began, or this worker last ran
} worker;

struct gh_bg {
    int32_t n;            // workers
    bool sweeper;
    bool sweeper_sleeps;  // as there is nothing to do; under the heap's lock
    int64_t sleeps_ns;    // since when, likewise
    int64_t sysmon_ns;    // the sweeper's: when a wake of the scavenger was last looked for
    gh_thread sweep_thread;
    worker worker[];
};

static int64_t
since_birth(const gh_heap *h)
{
    return gh_nanotime() - h->conc.birth_ns;
}

// slice_now is the number of the present slice of TURN_NS.
static int64_t
slice_now(const gh_heap *h)
{
    return since_birth(h) / TURN_NS;
}

static bool
marking(const gh_heap *h)
{
    return atomic_load(&h->conc.marking);
}

static bool
quitting(const gh_heap *h)
{
    return atomic_load(&h->conc.quit);
}

// wake_workers has every worker look anew.
static void
wake_workers(gh_heap *h)
{
    gh_lock(&h->lock);
    gh_cond_broadcast(&h->conc.bg_cond);
    gh_unlock(&h->lock);
}

// wake_sweeper has it sweep after a cycle if it sleeps and has a P's time to itself. If
// all run it could only rest: they sweep what they need, and waking it after each cycle
// of a small heap would cost them more than it sweeps. Mutators that wait for the end of
// a cycle are woken when the world goes on after it, workers see it the next time that
// they wake.
static void
wake_sweeper(gh_heap *h)
{
    gh_lock(&h->lock);
    const struct gh_bg *bg = h->conc.bg;
    if (bg->sweeper_sleeps
        && (gh_p_is_idle(h) || gh_nanotime() - bg->sleeps_ns >= SWEEP_REST_BUSY)) {
        gh_cond_broadcast(&h->conc.sweep_cond);
    }
    gh_unlock(&h->lock);
}

// doze waits for a wake, at most ns.
static void
doze(gh_heap *h, gh_cond *cond, int64_t ns)
{
    gh_lock(&h->lock);
    if (!quitting(h)) {
        gh_cond_wait_until(cond, &h->lock, gh_nanotime() + ns);
    }
    gh_unlock(&h->lock);
}

// may_wait: a worker that found nothing has to wait for who marks, or for who looks
// whether the cycle is over.
static bool
may_wait(const gh_heap *h)
{
    const gh_conc *c = &h->conc;
    return marking(h) && !quitting(h) && !gh_par_has_work(h)
           && (atomic_load(&c->active) > 0 || atomic_load(&c->ending));
}

// doze_hungry waits for work. It raises hungry and then looks; who gives work, marks
// no longer or has looked says so and then calls wake_hungry. Both sides are
// seq_cst, a store and a load of different words on each, so one of the two sees the
// other [inv:bg.hungry]. The time is only there for what a model might have missed.
static void
doze_hungry(gh_heap *h)
{
    gh_lock(&h->lock);
    atomic_fetch_add(&h->conc.hungry, 1);
    if (may_wait(h) || (GH_PLANTED(NO_RECHECK) && !quitting(h))) {
        if (GH_PLANTED(NO_TIMER) || GH_PLANTED(NO_RECHECK)
            || GH_PLANTED(NO_ASSIST_WAKE)) {
            gh_cond_wait(&h->conc.bg_cond, &h->lock);
        } else {
            gh_cond_wait_until(&h->conc.bg_cond, &h->lock, gh_nanotime() + MS);
        }
    }
    atomic_fetch_sub(&h->conc.hungry, 1);
    gh_unlock(&h->lock);
}

static void
wake_hungry(gh_heap *h)
{
    if (atomic_load(&h->conc.hungry) > 0) {
        wake_workers(h);
    }
}

// feed gives part of what p has to who is hungry.
static void
feed(gh_p *p)
{
    gh_heap *h = p->heap;
    if (atomic_load(&h->conc.hungry) > 0) {
        gh_par_share(p);
        if (gh_par_has_work(h)) {
            wake_hungry(h);
        }
    }
}

// ---- marking by turns --------------------------------------------------------------

// update_limiter takes the time since its last update into the limiter, if that was long
// ago: while it limits, no assist ends that would do so. With heap_lock held.
static void
update_limiter(gh_heap *h)
{
    if (gh_limiter_need_update(&h->limiter, since_birth(h))) {
        gh_limiter_update(&h->limiter, since_birth(h));
    }
}

// settle hands on the sums of a worker on p, whose scan work becomes credit for the
// mutators, and, of an idle worker, the time since *counted: all that the limiter hears of
// idle Ps [diff:bg.idle].
static void
settle(gh_p *p, gh_worker kind, int64_t *counted)
{
    gh_heap *h = p->heap;
    gh_rlock(&h->heap_lock);
    h->gcc.bg_scan_credit += (int64_t)gh_par_settle(p);
    if (kind == GH_WORKER_IDLE) {
        const int64_t now = gh_nanotime();
        gh_limiter_add_idle_time(&h->limiter, now - *counted);
        *counted = now;
    }
    update_limiter(h);
    gh_runlock(&h->heap_lock);
}

static bool
limiting(gh_heap *h)
{
    return gh_limiter_limiting(&h->limiter);
}

static bool
nothing_left(const gh_heap *h)
{
    return atomic_load(&h->conc.active) == 0 && !gh_par_has_work(h);
}

// end_if_over ends the cycle if nothing is grey any more. The holder of p marks
// no longer. Go: gcMarkDone.
static void
end_if_over(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_conc *c = &h->conc;
    bool nobody = false;
    if (!marking(h) || !nothing_left(h)
        || (!atomic_compare_exchange_strong(&c->ending, &nobody, true)
            && !GH_PLANTED(NO_ENDING))) {
        return;
    }
    // Of a small cycle the stop alone finds out as cheaply: the first time.
    gh_rlock(&h->heap_lock);
    const bool small = h->gcc.heap_scan_work < SLICE_WORK
                       && c->looked != h->cycles_started;
    gh_runlock(&h->heap_lock);
    c->looked = h->cycles_started;
    bool over = false;
    gh_yield_point(h, GH_AT_TERMINATION);
    if ((small && !GH_PLANTED(NO_LOOK)) || GH_PLANTED(NO_RAGGED_LOOK)
        || (!gh_flush_all(p) && nothing_left(h))) {
        gh_yield_point(h, GH_AT_TERMINATION);
        gh_stop_world(p);
        gh_drain_handles(p);
        bool left = gh_par_has_work(h);
        for (int32_t i = 0; i < h->procs; i++) {
            if (!GH_PLANTED(NO_RAGGED_LOOK) && !GH_PLANTED(NO_LOOK)) {
                left |= gh_par_flush(h->allp[i]);
            }
        }
        if (!left && h->phase == GH_PHASE_MARK) {
            for (int32_t i = 0; i < h->procs; i++) {
                GH_ASSERT(!gh_par_has_grey(h->allp[i]));
            }
            gh_gc_end_marking(p);
            atomic_store(&c->marking, false);
            atomic_store(&c->done, h->num_gc);
            over = true;
        }
        // Before the next cycle may begin, whose workers would sleep because of it.
        atomic_store(&c->ending, false);
        gh_start_world(p);
    } else {
        atomic_store(&c->ending, false);
    }
    if (over) {
        wake_sweeper(h);
    } else if (gh_par_has_work(h)) {
        wake_workers(h);
    } else {
        wake_hungry(h);
    }
}

// ---- workers ---------------------------------------------------------------------------

static int64_t
fractional_time(const gh_p *p, int64_t began)
{
    return p->conc->fractional_ns + gh_nanotime() - began;
}

static bool
share_is_over(gh_p *p, int64_t began)
{
    gh_heap *h = p->heap;
    gh_rlock(&h->heap_lock);
    const bool over = gh_gcc_fractional_is_over(&h->gcc, since_birth(h),
                                                fractional_time(p, began));
    gh_runlock(&h->heap_lock);
    return over;
}

// figure_time is how long the figures would have taken that p's holder has counted
// since it last settled: a worker's share of the time is not to pay for all of them
// at once.
static int64_t
figure_time(const gh_p *p)
{
    const gh_figures *f = &p->conc->figures;
    return (int64_t)((double)(f->globals + f->stacks + f->base)
                     * p->heap->opt.costs.scan_byte);
}

// run marks on p as a worker of that kind, and gives p back.
static void
run(gh_p *p, gh_worker kind)
{
    gh_heap *h = p->heap;
    gh_conc *c = &h->conc;
    const int64_t began = gh_nanotime();
    int64_t counted = began;
    bool empty = false;
    atomic_fetch_add(&c->active, 1);
    while (!quitting(h) && marking(h)) {
        empty = gh_par_drain(p, SLICE_WORK);
        if (kind == GH_WORKER_FRACTIONAL) {
            p->conc->fractional_ns += figure_time(p);
        }
        settle(p, kind, &counted);
        if (empty) {
            break;
        }
        feed(p);
        gh_safepoint(p);
        if ((kind == GH_WORKER_IDLE && gh_p_is_wanted(h))
            || (kind == GH_WORKER_FRACTIONAL
                && (share_is_over(p, began)
                    || (gh_p_is_wanted(h)
                        && gh_nanotime() - began >= TURN_NS)))) {
            break;
        }
    }
    // What it leaves is for the others.
    (void)gh_par_flush(p);
    atomic_fetch_sub(&c->active, 1);
    if (gh_par_has_work(h)) {
        wake_hungry(h);
    }
    const int64_t ns = gh_nanotime() - began;
    gh_rlock(&h->heap_lock);
    if (kind == GH_WORKER_FRACTIONAL) {
        p->conc->fractional_ns += ns;
    }
    if (kind == GH_WORKER_IDLE) {
        gh_limiter_add_idle_time(&h->limiter, began + ns - counted);
    }
    gh_gcc_worker_stop(&h->gcc, kind, ns);
    update_limiter(h);
    gh_runlock(&h->heap_lock);
    if (!quitting(h)) {
        end_if_over(p);
    }
    gh_unclaim_p(p);
}

// pick asks the pacer what the worker is to do now, if anything.
static gh_worker
pick(worker *w)
{
    gh_heap *h = w->h;
    gh_worker kind = GH_WORKER_NONE;
    gh_rlock(&h->heap_lock);
    if (h->phase == GH_PHASE_MARK) {
        update_limiter(h);
        gh_gc_controller *g = &h->gcc;
        const bool own = w->id < h->procs;
        if (g->dedicated_mark_workers_needed > 0 || own) {
            kind = gh_gcc_pick_worker(
                g, since_birth(h), own ? h->conc.of[w->id]->fractional_ns : 0);
        }
        if (kind == GH_WORKER_FRACTIONAL && !own) {
            kind = GH_WORKER_NONE;
        }
        if (kind == GH_WORKER_NONE && own) {
            // A P is idle if nobody took it since the last look.
            const uint32_t turn = atomic_load(&h->conc.of[w->id]->turn);
            if (turn == w->turn && gh_gcc_add_idle_mark_worker(g)) {
                kind = GH_WORKER_IDLE;
            }
            w->turn = turn;
        }
    }
    gh_runlock(&h->heap_lock);
    return kind;
}

static void
give_back_place(gh_heap *h, gh_worker kind)
{
    gh_rlock(&h->heap_lock);
    gh_gcc_worker_stop(&h->gcc, kind, 0);
    gh_runlock(&h->heap_lock);
}

// claim takes the P that a worker of that kind marks on, or NULL. A mutator gives
// its P to a fractional one only where a slice ends: a goroutine that marking
// overtakes runs on until it is preempted, and pays for itself until then. Go:
// findRunnableGCWorker, which only the scheduler calls; retake.
static gh_p *
claim(worker *w, gh_worker kind)
{
    gh_heap *h = w->h;
    switch (kind) {
    case GH_WORKER_DEDICATED:
        return gh_claim_p(h, GH_ANY_P, TURN_NS);
    case GH_WORKER_FRACTIONAL:
        return gh_claim_p(h, w->id, slice_now(h) == w->slice ? 0 : TURN_NS);
    default:
        return gh_claim_p(h, w->id, 0);
    }
}

static void
does(worker *w, const char *what)
{
    atomic_store_explicit(&w->doing, what, memory_order_relaxed);
}

// mark_a_while does one thing that this worker can do in the cycle.
static void
mark_a_while(worker *w)
{
    gh_heap *h = w->h;
    if (!gh_par_has_work(h)) {
        does(w, "looks whether marking is over");
        gh_p *p = nothing_left(h) ? gh_claim_p(h, GH_ANY_P, MS) : NULL;
        if (p != NULL) {
            end_if_over(p);
            gh_unclaim_p(p);
        }
        does(w, "is hungry");
        doze_hungry(h);
        return;
    }
    const gh_worker kind = pick(w);
    if (kind == GH_WORKER_NONE) {
        does(w, "is not needed");
        doze(h, &h->conc.bg_cond, MS);
        return;
    }
    does(w, "claims a P");
    gh_p *p = claim(w, kind);
    if (p == NULL) {
        does(w, "got no P");
        give_back_place(h, kind);
        if (kind != GH_WORKER_DEDICATED) {
            doze(h, &h->conc.bg_cond, MS);
        }
        return;
    }
    does(w, kind == GH_WORKER_DEDICATED    ? "is dedicated"
            : kind == GH_WORKER_FRACTIONAL ? "is fractional"
                                           : "is idle's");
    run(p, kind);
    w->slice = slice_now(h);
}

static void *
worker_main(void *arg)
{
    worker *w = arg;
    gh_heap *h = w->h;
    while (!quitting(h)) {
        if (marking(h)) {
            mark_a_while(w);
        } else {
            does(w, "waits for a cycle");
            gh_lock(&h->lock);
            while (!quitting(h) && !marking(h)) {
                gh_cond_wait(&h->conc.bg_cond, &h->lock);
            }
            gh_unlock(&h->lock);
            w->slice = slice_now(h);
        }
    }
    return NULL;
}

// ---- sweeper, scavenger, timer --------------------------------------------------------------

// sweep_some sweeps a few spans; false if there are none.
static bool
sweep_some(gh_heap *h)
{
    bool more = true;
    gh_rlock(&h->heap_lock);
    for (int i = 0; i < SWEEP_BATCH && more; i++) {
        more = gh_sweepone(h) != GH_SWEEP_NOTHING;
    }
    gh_runlock(&h->heap_lock);
    return more;
}

// scavenge does what is due, and returns when it wants to be called again.
static int64_t
scavenge(gh_heap *h)
{
    gh_scavenger *s = &h->scavenger;
    int64_t next = GH_SCAV_NEVER;
    gh_rlock(&h->heap_lock);
    if (h->opt.policy.scavenger) {
        gh_clock_sync(h);
        const int64_t now = (int64_t)h->clock_ns;
        int64_t *looked = &h->conc.bg->sysmon_ns;
        if (now - *looked >= SYSMON_NS) {
            *looked = now;
            gh_scav_serve(s, now);
        }
        if (s->state != GH_SCAV_PARKED) {
            next = s->until <= now ? gh_scav_step(s, now, h->procs) : s->until;
        }
        if (s->wake_asked && *looked + SYSMON_NS < next) {
            next = *looked + SYSMON_NS;
        }
    }
    gh_runlock(&h->heap_lock);
    return next;
}

static bool
is_time_for_cycle(gh_heap *h)
{
    gh_rlock(&h->heap_lock);
    const bool due = h->phase == GH_PHASE_OFF && h->gcc.gc_percent >= 0
                     && h->last_gc_ns != 0
                     && since_birth(h) - (int64_t)h->last_gc_ns > FORCE_GC_NS;
    gh_runlock(&h->heap_lock);
    return due;
}

static gh_status start(gh_p *p, bool forced, uint32_t cycle, gh_marking by);
static payment pay(gh_p *p, int64_t work);

// sleep_long is doze of the sweeper with nothing to do.
static void
sleep_long(gh_heap *h, int64_t ns)
{
    // Not both locks: a stopper whose allocation begins a cycle has heap_lock when it
    // wakes others, under this one. Who ends a cycle says that there is something to sweep
    // and then wakes, under this lock too: it sees us sleep, or we see that.
    gh_lock(&h->lock);
    const bool drained = __atomic_load_n(&h->sweep_drained, __ATOMIC_RELAXED);
    if (!quitting(h) && drained) {
        h->conc.bg->sweeper_sleeps = true;
        h->conc.bg->sleeps_ns = gh_nanotime();
        gh_cond_wait_until(&h->conc.sweep_cond, &h->lock, gh_nanotime() + ns);
        h->conc.bg->sweeper_sleeps = false;
    }
    gh_unlock(&h->lock);
}

static void *
sweeper_main(void *arg)
{
    gh_heap *h = arg;
    while (!quitting(h)) {
        if (sweep_some(h) || (!marking(h) && gh_par_free_some(h))) {
            // Mutators want heap_lock too.
            doze(h, &h->conc.sweep_cond,
                 gh_p_is_idle(h) ? SWEEP_REST : SWEEP_REST_BUSY);
            continue;
        }
        const int64_t next = scavenge(h);
        if (is_time_for_cycle(h)) {
            gh_p *p = gh_claim_p(h, GH_ANY_P, MS);
            if (p != NULL) {
                // Benign if it can't begin: the next look tries again.
                if (start(p, false, 0, GH_MARKING_PERIODIC) != GH_OK) {
                    GH_ASSERT(h->phase == GH_PHASE_OFF);
                }
                gh_unclaim_p(p);
            }
        }
        const int64_t ns = next - since_birth(h);
        if (ns > 0) {
            sleep_long(h, ns < 100 * MS ? ns : 100 * MS);
        }
    }
    return NULL;
}

// ---- threads ----------------------------------------------------------------------------------

// make_threads makes those that are not there yet; the world is stopped. It
// returns whether there is a worker.
static bool
make_threads(gh_heap *h)
{
    struct gh_bg *bg = h->conc.bg;
    if (bg == NULL) {
        bg = calloc(1, sizeof(*bg) + MAX_WORKERS * sizeof(bg->worker[0]));
        if (bg == NULL) {
            return false;
        }
        h->conc.bg = bg;
    }
    const int32_t want = h->procs < MAX_WORKERS ? h->procs : MAX_WORKERS;
    while (bg->n < want) {
        worker *w = &bg->worker[bg->n];
        *w = (worker){.h = h, .id = bg->n, .slice = slice_now(h)};
        if (!gh_thread_start(&w->thread, worker_main, w)) {
            break;
        }
        bg->n++;
    }
    if (!bg->sweeper && bg->n > 0) {
        // Without it mutators and the next cycle sweep.
        bg->sweeper = gh_thread_start(&bg->sweep_thread, sweeper_main, h);
    }
    return bg->n > 0;
}

void
gh_bg_dump(const gh_heap *h, FILE *f)
{
    const struct gh_bg *bg = h->conc.bg;
    for (int32_t i = 0; bg != NULL && i < bg->n; i++) {
        const char *doing = atomic_load(&bg->worker[i].doing);
        (void)fprintf(f, "worker %d %s\n", i, doing == NULL ? "starts" : doing);
    }
}

void
gh_bg_end(gh_heap *h)
{
    struct gh_bg *bg = h->conc.bg;
    if (bg == NULL) {
        return;
    }
    atomic_store(&h->conc.quit, true);
    gh_lock(&h->lock);
    gh_cond_broadcast(&h->conc.bg_cond);
    gh_cond_broadcast(&h->conc.sweep_cond);
    gh_cond_broadcast(&h->cond);
    gh_unlock(&h->lock);
    for (int32_t i = 0; i < bg->n; i++) {
        gh_thread_join(&bg->worker[i].thread);
    }
    if (bg->sweeper) {
        gh_thread_join(&bg->sweep_thread);
    }
    free(bg);
    h->conc.bg = NULL;
}

// ---- beginning a cycle ---------------------------------------------------------------------------

// is_wanted: forced by who wants cycle number `cycle` begun, or by the trigger.
static bool
is_wanted(const gh_heap *h, bool forced, uint32_t cycle, gh_marking by)
{
    if (h->phase != GH_PHASE_OFF) {
        return false;
    }
    if (forced) {
        return (int32_t)(cycle - h->cycles_started) > 0;
    }
    return by == GH_MARKING_PERIODIC || gh_gc_should_start(h);
}

// ends_at_once marks all there is in the stop that began a cycle and ends it there, if
// the last one had next to nothing to mark and neither has this one: a second stop would
// take longer [diff:bg.at_once]. If there turns out to be more, what it has marked is
// done. It does nothing with delays, which are there to have things happen beside each
// other.
static bool
ends_at_once(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_conc *c = &h->conc;
    if (h->gcc.last_heap_scan > AT_ONCE_WORK || h->opt.debug.delays != 0
        || !gh_par_has_few_roots(h, AT_ONCE_ROOTS)) {
        return false;
    }
    const int64_t began = gh_nanotime();
    if (!gh_par_drain(p, AT_ONCE_ROOTS + AT_ONCE_WORK)) {
        (void)gh_par_flush(p);
        const int64_t ns = gh_nanotime() - began;
        gh_limiter_add_assist_time(&h->limiter, ns);
        (void)gh_gcc_add_assist_time(&h->gcc, &p->assist_ns, ns);
        return false;
    }
    // For the books marking took no time, and a second stop begins where it did.
    c->stop_ns = c->stood_ns = c->birth_ns + h->rec.mark_start_ns;
    gh_gc_end_marking(p);
    atomic_store(&c->done, h->num_gc);
    return true;
}

// start begins a cycle, if it is still wanted then. Go: gcStart.
static gh_status
start(gh_p *p, bool forced, uint32_t cycle, gh_marking by)
{
    gh_heap *h = p->heap;
    // What is unswept holds the world up if it is swept in the stop.
    while (!GH_PLANTED(EARLY_MARK) && gh_sweepone(h) != GH_SWEEP_NOTHING) {
        gh_safepoint(p);
    }
    gh_stop_world(p);
    gh_status st = GH_OK;
    bool begun = false, over = false;
    if (is_wanted(h, forced, cycle, by)) {
        if (!make_threads(h)) {
            st = gh_gc_cycle(p, forced);
            atomic_store(&h->conc.done, h->num_gc);
        } else {
            st = gh_gc_begin_marking(p, forced, by);
            begun = st == GH_OK;
        }
    }
    if (begun) {
        for (int32_t i = 0; i < h->procs; i++) {
            h->allp[i]->conc->fractional_ns = 0;
            h->allp[i]->assist_bytes = 0;
            h->allp[i]->assist_ns = 0;
        }
        over = !forced && ends_at_once(p);
        if (!over) {
            atomic_store(&h->conc.marking, true);
        }
    }
    gh_start_world(p);
    if (over) {
        wake_sweeper(h);
    } else if (begun) {
        // The first assist, which the next allocation would owe: a cycle that has
        // no more to mark wakes nobody. Not if others stand yet, whom its end waits for.
        if (!gh_is_stopper(p) && !limiting(h) && pay(p, (int64_t)SLICE_WORK) == EMPTY) {
            end_if_over(p);
        }
        if (marking(h)) {
            wake_workers(h);
        }
    }
    return st;
}

void
gh_bg_after_refill(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_safepoint(p);
    if (h->phase != GH_PHASE_OFF || !p->conc->trigger_met) {
        return;
    }
    gh_rlock(&h->heap_lock);
    // Somebody else may have begun one, and ended it, meanwhile.
    const bool wanted = gh_gc_should_start(h);
    if (wanted) {
        gh_emit(h, GH_EV_TRIGGER, p->id, 0, h->gcc.heap_live, 0);
    }
    gh_runlock(&h->heap_lock);
    if (wanted && start(p, false, 0, GH_MARKING_BACKGROUND) != GH_OK) {
        return;  // benign: counted in gc_skips, and tried again
    }
}

// ---- waiting -----------------------------------------------------------------------------------------

// wait_done waits until n cycles have ended.
static void
wait_done(gh_p *p, uint32_t n)
{
    gh_heap *h = p->heap;
    if ((int32_t)(atomic_load(&h->conc.done) - n) >= 0) {
        return;
    }
    gh_client client;
    gh_yield_begin(p, &client);
    gh_watch w;
    gh_lock(&h->lock);
    gh_watch_begin(h, &w, "the end of a cycle", -1);
    while ((int32_t)(atomic_load(&h->conc.done) - n) < 0) {
        gh_watch_wait(h, &w);
    }
    gh_watch_end(h, &w);
    gh_unlock(&h->lock);
    gh_yield_end(p, &client);
}

void
gh_bg_wait(gh_p *p)
{
    // Who holds a P sees the phase as it is: it changes in stops.
    if (p->heap->phase != GH_PHASE_OFF) {
        wait_done(p, p->heap->num_gc + 1);
    }
}

gh_status
gh_bg_collect(gh_p *p)
{
    gh_heap *h = p->heap;
    if (gh_is_stopper(p)) {
        return GH_ERR_STATE;  // nobody could mark while it waited
    }
    const uint32_t n = h->cycles_started;
    wait_done(p, n);
    const gh_status st = start(p, true, n + 1, GH_MARKING_BACKGROUND);
    if (st == GH_OK) {
        wait_done(p, n + 1);
    }
    return st;
}

// ---- assists --------------------------------------------------------------------------------------------

// take_credit pays as much of p's debt as the workers have done in advance, and
// returns the scan work that is still to be done.
static int64_t
take_credit(gh_p *p)
{
    gh_gc_controller *g = &p->heap->gcc;
    int64_t work;
    gh_rlock(&p->heap->heap_lock);
    const int64_t paid = gh_gcc_assist_work(g, -p->assist_bytes, &work);
    if (g->bg_scan_credit > 0) {
        p->assist_bytes += gh_gcc_steal_credit(g, paid, &work);
    }
    gh_runlock(&p->heap->heap_lock);
    return work;
}

// wait_credit waits until p owes nothing, or no longer has to.
static void
wait_credit(gh_p *p)
{
    gh_heap *h = p->heap;
    while (h->phase == GH_PHASE_MARK && p->assist_bytes < 0 && !limiting(h)) {
        gh_client client;
        gh_yield_begin(p, &client);
        gh_lock(&h->lock);
        if (marking(h)) {
            gh_cond_wait_until(&h->cond, &h->lock, gh_nanotime() + MS / 4);
        }
        gh_unlock(&h->lock);
        gh_yield_end(p, &client);
        if (p->assist_bytes < 0 && h->phase == GH_PHASE_MARK) {
            (void)take_credit(p);
        }
    }
}

// unsettled is the scan work that p's holder has done since it last settled.
static int64_t
unsettled(const gh_p *p)
{
    const gh_figures *f = &p->conc->figures;
    return (int64_t)(p->conc->scan_work + f->globals + f->stacks + f->base);
}

// pay does scan work as the mutator that has p, and counts it for what p may
// allocate. Go: gcAssistAlloc1, gcDrainN.
static payment
pay(gh_p *p, int64_t work)
{
    gh_heap *h = p->heap;
    gh_conc *c = &h->conc;
    const int64_t began = gh_nanotime();
    atomic_fetch_add(&c->active, 1);
    payment how = PAID;
    // Slots of roots are no scan work, but have to be looked at first.
    for (int64_t left = work; left > 0 && how == PAID && h->phase == GH_PHASE_MARK;
         left = work - unsettled(p)) {
        if (gh_par_drain(p, left < (int64_t)SLICE_WORK ? (uint64_t)left : SLICE_WORK)) {
            how = EMPTY;
        }
        feed(p);
        gh_safepoint(p);
        if (how == PAID && gh_nanotime() - began >= TURN_NS) {
            how = CUT;
        }
    }
    GH_PLANTED_PAUSE(NO_ASSIST_WAKE);
    if (atomic_fetch_sub(&c->active, 1) == 1 && !GH_PLANTED(NO_ASSIST_WAKE)) {
        wake_hungry(h);  // the cycle may be over
    }
    const int64_t ns = gh_nanotime() - began;
    gh_rlock(&h->heap_lock);
    const int64_t done = (int64_t)gh_par_settle(p);
    gh_limiter_add_assist_time(&h->limiter, ns);
    if (gh_gcc_add_assist_time(&h->gcc, &p->assist_ns, ns)) {
        gh_limiter_update(&h->limiter, since_birth(h));
    }
    if (done > 0) {
        p->assist_bytes += gh_gcc_assist_pay(&h->gcc, done);
    }
    gh_runlock(&h->heap_lock);
    return how;
}

// assist pays p's debt, in turns. After each of them others may have the P, and the debt is
// reckoned anew: they have marked and allocated meanwhile, and what a byte costs may have
// fallen to a thousandth [diff:bg.turn]. Go: gcAssistAlloc.
static void
assist(gh_p *p)
{
    gh_heap *h = p->heap;
    payment how = CUT;
    while (how == CUT) {
        if (h->phase != GH_PHASE_MARK || p->assist_bytes >= 0 || limiting(h)) {
            return;  // a debt stays if the limiter is on
        }
        const int64_t work = take_credit(p);
        if (work <= 0) {
            return;
        }
        how = pay(p, work);
        if (how == CUT) {
            (void)gh_conc_poll(p);
        }
    }
    if (how == EMPTY) {
        end_if_over(p);
    }
    if (p->assist_bytes < 0) {
        wait_credit(p);
    }
}

void
gh_bg_charge(gh_p *p, uint64_t bytes)
{
    (void)gh_conc_poll(p);
    if (p->heap->phase != GH_PHASE_MARK || gh_is_stopper(p)) {
        return;  // who has stopped the world would wait for ever
    }
    p->assist_bytes -= (int64_t)bytes;
    if (p->assist_bytes < 0) {
        assist(p);
    }
}

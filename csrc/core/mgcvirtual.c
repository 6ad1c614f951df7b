// mgcvirtual.c: cycles beside the program. See mgcvirtual.h.

#include "mgcvirtual.h"

#include "cpustats.h"
#include "mgc.h"
#include "mgcmark.h"
#include "mgcsweep.h"
#include "proc.h"

#define SLICE_NS 10000.0     // at most, between two looks at who does what
#define SWEEP_SHARE 0.1      // of a P, for sweeping while none is idle

// mark_work marks for at most that many bytes of scan work, what are only figures
// first, and returns how many were done: more if the last object was
// large, fewer if nothing is grey any more.
static int64_t
mark_work(gh_heap *h, int64_t bytes)
{
    gh_virtual *v = &h->virt;
    int64_t done = 0;
    if (bytes > 0) {
        done = (int64_t)gh_figures_count(
            h, gh_figures_take(h, (uint64_t)bytes));
    }
    if (done < bytes) {
        const uint64_t before = h->gcc.heap_scan_work;
        v->empty = gh_gc_drain_n(h, (uint64_t)(bytes - done));
        done += (int64_t)(h->gcc.heap_scan_work - before);
    }
    return done;
}

static bool
marking(const gh_heap *h)
{
    return h->virt.on;
}

// is_over: nothing is left to mark.
static bool
is_over(const gh_heap *h)
{
    const gh_virtual *v = &h->virt;
    return v->empty && !gh_figures_are_left(h);
}

// credit gives the background's work to who waits for it, or keeps it.
static void
credit(gh_heap *h, int64_t work)
{
    gh_gc_controller *c = &h->gcc;
    gh_p *w = h->virt.waiter;
    if (w == NULL || w->assist_bytes >= 0) {
        c->bg_scan_credit += work;
        return;
    }
    int64_t bytes = gh_gcc_work_bytes(c, work);
    (void)gh_gcc_pay_waiter(&bytes, &w->assist_bytes);
    if (bytes > 0) {
        gh_gcc_give_bytes(c, bytes);
    }
}

// idle_ps counts Ps without an event in the last busy_ns. p works for certain.
static int32_t
idle_ps(const gh_heap *h, const gh_p *p)
{
    int32_t n = 0;
    for (int32_t i = 0; i < h->procs; i++) {
        const gh_p *q = h->allp[i];
        n += q != p && (p == NULL
                       || h->clock_ns - q->event_ns >= h->opt.busy_ns);
    }
    return n;
}

// stolen_share is the part of p's time that workers take from its mutator: they
// run on busy Ps when too few are idle, and everywhere for their fraction.
static double
stolen_share(const gh_heap *h, const gh_p *p)
{
    const gh_virtual *v = &h->virt;
    const int32_t idle = idle_ps(h, p);
    const double dedicated =
        v->dedicated > idle ? (double)(v->dedicated - idle)
                                  / (double)(h->procs - idle)
                            : 0;
    const double share = dedicated + h->gcc.fractional_utilization_goal;
    return share < 0.9 ? share : 0.9;
}

// mark_slice lets the workers have ns of time.
static void
mark_slice(gh_heap *h, const gh_p *p, double ns)
{
    gh_gc_controller *c = &h->gcc;
    gh_virtual *v = &h->virt;
    int32_t idle = idle_ps(h, p);
    // Dedicated workers take idle Ps first.
    const int32_t dedicated = v->dedicated;
    const int32_t quiet = idle;
    const int32_t taken = dedicated < idle ? dedicated : idle;
    idle -= taken;
    if (idle > v->max_idle) {
        idle = v->max_idle;
    }
    const double unused = (double)(quiet - taken - idle);
    const double fraction =
        c->fractional_utilization_goal * (double)(h->procs - idle);
    const double shares[3] = {(double)dedicated, fraction, (double)idle};
    const double all = shares[0] + shares[1] + shares[2];
    gh_limiter_add_idle_time(&h->limiter, (int64_t)(ns * (double)idle));
    if (gh_limiter_need_update(&h->limiter, (int64_t)v->seen_ns)) {
        gh_limiter_update(&h->limiter, (int64_t)v->seen_ns);
    }
    if (all <= 0) {
        gh_cpu_idle(h, v->seen_ns, quiet);
        return;
    }
    v->owed += all * ns / h->opt.costs.scan_byte;
    if (v->owed < 1) {
        gh_cpu_idle(h, v->seen_ns, unused);
        return;
    }
    const int64_t bytes = (int64_t)v->owed;
    const int64_t done = mark_work(h, bytes);
    v->owed -= (double)done;
    // What there was no work for took no time.
    const double used = done < bytes ? ns * (double)done / (double)bytes : ns;
    gh_cpu_idle(h, v->seen_ns, unused + (taken + idle) * (1 - used / ns));
    c->dedicated_mark_time += (int64_t)(shares[0] * used);
    c->fractional_mark_time += (int64_t)(shares[1] * used);
    c->idle_mark_time += (int64_t)(shares[2] * used);
    credit(h, done);
}

// sweep_slice lets the background sweeper have its share of ns.
static void
sweep_slice(gh_heap *h, const gh_p *p, double ns)
{
    gh_virtual *v = &h->virt;
    const double share = idle_ps(h, p) > 0 ? 1.0 : SWEEP_SHARE;
    v->sweep_ns += share * ns;
    const double page = h->opt.costs.sweep_page;
    while (v->sweep_ns > 0 && !h->sweep_drained) {
        const uint64_t before = h->pages_swept;
        if (gh_sweepone(h) == GH_SWEEP_NOTHING) {
            h->sweep_drained = true;
            break;
        }
        v->sweep_ns -= page * (double)(h->pages_swept - before);
    }
    if (h->sweep_drained) {
        v->sweep_ns = 0;
    }
}

// scavenge lets the background scavenger do what is due.
static void
scavenge(gh_heap *h)
{
    gh_scavenger *s = &h->scavenger;
    const int64_t now = (int64_t)h->clock_ns;
    gh_scav_serve(s, now);
    while (s->state != GH_SCAV_PARKED && s->until <= now) {
        (void)gh_scav_step(s, s->until, h->procs);
    }
}

static void
finish(gh_heap *h)
{
    gh_virtual *v = &h->virt;
    v->on = false;
    v->waiter = NULL;
    gh_gc_end_marking(h->inside);
    v->seen_ns = h->clock_ns;  // the stop was nobody's to mark in
}

void
gh_virtual_tick(gh_heap *h, const gh_p *p)
{
    gh_virtual *v = &h->virt;
    if (p != NULL) {
        // The event is now; what it may have waited for is past.
        ((gh_p *)p)->event_ns = h->clock_ns;
    }
    if (h->phase == GH_PHASE_OFF && h->gcc.gc_percent >= 0
        && h->last_gc_ns != 0
        && h->clock_ns - (double)h->last_gc_ns > v->force_period_ns) {
        // Benign if it can't begin: the next tick tries again.
        if (gh_virtual_begin(h->inside, false, GH_MARKING_PERIODIC) != GH_OK) {
            return;
        }
    }
    if (h->opt.policy.scavenger) {
        scavenge(h);
    }
    while (v->seen_ns < h->clock_ns) {
        double ns = h->clock_ns - v->seen_ns;
        if (!v->on && h->sweep_drained) {
            v->seen_ns = h->clock_ns;  // nobody has anything to do
            gh_cpu_idle(h, v->seen_ns, idle_ps(h, p));
            return;
        }
        if (ns > SLICE_NS) {
            ns = SLICE_NS;
        }
        v->seen_ns += ns;
        if (v->on && p != NULL && !h->clock_stamped && !v->stretched) {
            // What the program does takes longer while workers have its P. The
            // stamps of a recording have that in them already.
            const double share = stolen_share(h, p);
            const double more = ns * share / (1 - share);
            h->clock_ns += more;
            v->seen_ns += more;
            ns += more;
        }
        if (!v->on) {
            gh_cpu_idle(h, v->seen_ns, idle_ps(h, p));
            sweep_slice(h, p, ns);
            continue;
        }
        if (!is_over(h)) {
            mark_slice(h, p, ns);
        } else {
            v->delay_ns -= ns;
        }
        if (is_over(h) && v->delay_ns <= 0) {
            finish(h);
            return;
        }
    }
}

gh_status
gh_virtual_begin(gh_p *p, bool forced, gh_marking by)
{
    gh_heap *h = p->heap;
    gh_virtual *v = &h->virt;
    gh_status st = gh_gc_begin_marking(p, forced, by);
    if (st != GH_OK) {
        return st;
    }
    gh_gc_controller *c = &h->gcc;
    v->on = true;
    v->empty = false;
    v->owed = 0;
    v->delay_ns = h->opt.cycle_delay_ns;
    v->waiter = NULL;
    v->dedicated = (int32_t)c->dedicated_mark_workers_needed;
    v->max_idle = (int32_t)(c->idle_mark_workers >> 32);
    v->seen_ns = h->clock_ns;
    for (int32_t i = 0; i < h->procs; i++) {
        h->allp[i]->assist_bytes = 0;
        h->allp[i]->assist_ns = 0;
    }
    return GH_OK;
}

// pass lets one slice go by while p waits.
static void
pass(gh_heap *h)
{
    h->clock_ns += SLICE_NS;
    gh_virtual_tick(h, NULL);
}

void
gh_virtual_wait(gh_p *p)
{
    gh_heap *h = p->heap;
    while (marking(h)) {
        pass(h);
    }
    p->event_ns = h->clock_ns;
}

// assist pays p's debt: with what the background did in advance, with work, and
// then by waiting. Go: gcAssistAlloc.
static void
assist(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_gc_controller *c = &h->gcc;
    if (gh_limiter_limiting(&h->limiter)) {
        return;  // the debt stays
    }
    int64_t work;
    const int64_t paid = gh_gcc_assist_work(c, -p->assist_bytes, &work);
    if (c->bg_scan_credit > 0) {
        p->assist_bytes += gh_gcc_steal_credit(c, paid, &work);
        if (work == 0) {
            return;
        }
    }
    const int64_t done = mark_work(h, work);
    const double ns = (double)done * h->opt.costs.scan_byte;
    if (h->clock_stamped) {
        h->clock_ns += ns;
    } else {
        // A history that is passed through has its Ps at work side by side, and
        // each of them assists for what it allocates.
        const int32_t busy = h->clock_external ? h->procs - idle_ps(h, p) : 1;
        h->clock_ns += ns / (1 - stolen_share(h, p)) / busy;
    }
    gh_limiter_add_assist_time(&h->limiter, (int64_t)ns);
    if (gh_gcc_add_assist_time(c, &p->assist_ns, (int64_t)ns)) {
        gh_limiter_update(&h->limiter, (int64_t)h->clock_ns);
    }
    p->assist_bytes += gh_gcc_assist_pay(c, done);
    // The others had the same time, which is the longer one already.
    h->virt.stretched = true;
    gh_virtual_tick(h, p);
    h->virt.stretched = false;
    if (marking(h) && is_over(h) && h->virt.delay_ns <= 0) {
        finish(h);
    }
    if (marking(h) && !is_over(h) && p->assist_bytes < 0) {
        h->virt.waiter = p;
        while (marking(h) && !is_over(h) && p->assist_bytes < 0
               && !gh_limiter_limiting(&h->limiter)) {
            pass(h);
        }
        h->virt.waiter = NULL;
    }
}

void
gh_virtual_charge(gh_p *p, uint64_t bytes)
{
    if (!marking(p->heap)) {
        return;
    }
    p->assist_bytes -= (int64_t)bytes;
    if (p->assist_bytes < 0 && !is_over(p->heap)) {
        assist(p);
    }
}

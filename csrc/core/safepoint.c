// safepoint.c: taking Ps and stopping the world. See safepoint.h.

#include "safepoint.h"

#include <string.h>

#include "delays.h"
#include "mbarrier.h"
#include "mcache.h"
#include "mgcpar.h"
#include "mgcwork.h"
#include "planted.h"
#include "proc.h"
#include "watchdog.h"

// A mutator that somebody waits for gives way at a poll after this long.
#define HAND_OVER_NS 10000000

static gh_p_status
status_of(const gh_pconc *c)
{
    return (gh_p_status)atomic_load(&c->status);
}

static bool
change(gh_pconc *c, gh_p_status from, gh_p_status to)
{
    uint32_t old = from;
    return atomic_compare_exchange_strong(&c->status, &old, to);
}

static int32_t
procs_of(const gh_heap *h)
{
    return __atomic_load_n(&h->procs, __ATOMIC_ACQUIRE);
}

// ---- birth and end ------------------------------------------------------------

gh_status
gh_conc_init(gh_heap *h)
{
    void *mem;
    gh_status st = gh_persistentalloc(&h->persistent,
                                      GH_MAX_PROCS * sizeof(h->conc.of[0]), 8,
                                      &h->other_sys, &mem);
    if (st != GH_OK) {
        return st;
    }
    h->conc.of = mem;
    h->conc.birth_ns = gh_nanotime();
    return GH_OK;
}

void
gh_conc_fini(gh_heap *h)
{
    for (int32_t i = 0; i < GH_MAX_PROCS && h->conc.of != NULL; i++) {
        if (h->conc.of[i] != NULL) {
            gh_gcwork_fini(h, &h->conc.of[i]->work);
        }
    }
    gh_par_fini(h);
}

gh_status
gh_conc_add_p(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_pconc *c = h->conc.of[p->id];
    if (c == NULL) {
        void *mem;
        gh_status st = gh_persistentalloc(&h->persistent, sizeof(*c), 64,
                                          &h->other_sys, &mem);
        if (st != GH_OK) {
            return st;
        }
        c = mem;
        h->conc.of[p->id] = c;
    }
    p->conc = c;
    // Only who has stopped the world makes Ps later on, and starts them.
    atomic_store(&c->status,
                 atomic_load(&h->conc.stopping) ? GH_P_STOPPED : GH_P_IDLE);
    return GH_OK;
}

void
gh_conc_remove_p(gh_p *p)
{
    gh_par_flush(p);
    atomic_store(&p->conc->status, GH_P_DEAD);
}

// ---- what waiting goes around -----------------------------------------------------

void
gh_outside(gh_p *p, bool begins)
{
    if (p->around == NULL) {
        return;
    }
    if (begins) {
        if (p->outside++ == 0) {
            p->around(p->around_arg, true);
        }
    } else if (--p->outside == 0) {
        p->around(p->around_arg, false);
    }
}

// put_away leaves p as if nobody had come in, and put_back undoes that: whoever
// has it meanwhile is another client.
static gh_client
put_away(gh_p *p)
{
    const gh_client c = {p->around, p->around_arg, p->outside};
    p->around = NULL;
    p->outside = 0;
    return c;
}

static void
put_back(gh_p *p, const gh_client *c)
{
    p->around = c->around;
    p->around_arg = c->arg;
    p->outside = c->outside;
}

// need_look raises a reason for holders to look; under the heap's lock, as is
// done_look. seq_cst, as are the look at a status after it and, on the other side, the
// store of the status and the look at waiters after that: each stores one word and
// then loads the other's, which no weaker order keeps apart [inv:safepoint.seen].
static void
need_look(gh_heap *h)
{
    atomic_fetch_add(&h->waiters, 1);
    atomic_fetch_add(&h->conc.lookers, 1);
}

static void
done_look(gh_heap *h)
{
    atomic_fetch_sub(&h->conc.lookers, 1);
    atomic_fetch_sub(&h->waiters, 1);
}

// need_p and done_waiting go around a mutator's wait for a P. Who stands back for
// it goes on when nobody waits any more. A wait for one P, which a worker mostly has,
// is nothing to the holders of others: while it lasts, they would lock and look at the
// clock at every poll, and stand back for nobody.
static void
need_p(gh_heap *h, int32_t want)
{
    __atomic_add_fetch(&h->conc.mutators_waiting, 1, __ATOMIC_RELAXED);
    if (want == GH_ANY_P) {
        h->conc.any_waiting++;
        need_look(h);
    } else {
        atomic_fetch_add(&h->waiters, 1);
        if (!GH_PLANTED(WANT_UNSAID)) {
            atomic_fetch_add(&h->conc.of[want]->wanted, 1);
        }
    }
}

static void
done_waiting(gh_heap *h, int32_t want)
{
    __atomic_sub_fetch(&h->conc.mutators_waiting, 1, __ATOMIC_RELAXED);
    if (want == GH_ANY_P) {
        h->conc.any_waiting--;
        done_look(h);
    } else {
        if (!GH_PLANTED(WANT_UNSAID) && !GH_PLANTED(WANT_KEPT)) {
            atomic_fetch_sub(&h->conc.of[want]->wanted, 1);
        }
        atomic_fetch_sub(&h->waiters, 1);
    }
    if (!GH_PLANTED(DONE_SILENT)) {
        gh_cond_broadcast(&h->cond);
    }
}

// is_wanted: a mutator waits that p would do for; under the heap's lock.
static bool
is_wanted(const gh_p *p)
{
    return p->heap->conc.any_waiting > 0
           || (!GH_PLANTED(ANY_ONLY) && atomic_load(&p->conc->wanted) > 0);
}

// ---- taking a P ---------------------------------------------------------------------

// try_take returns the number of the P that it took, or -1.
static int32_t
try_take(gh_heap *h, int32_t want)
{
    // A hint: who stops the world has claimed what is idle, and sees what is taken.
    if (atomic_load_explicit(&h->conc.stopping, memory_order_relaxed)) {
        return -1;
    }
    if (want != GH_ANY_P) {
        return change(h->conc.of[want], GH_P_IDLE, GH_P_HELD) ? want : -1;
    }
    const int32_t n = procs_of(h);
    int32_t i = __atomic_load_n(&h->last_p, __ATOMIC_RELAXED);
    for (int32_t k = 0; k < n; k++, i++) {
        if (i >= n) {
            i = 0;
        }
        if (change(h->conc.of[i], GH_P_IDLE, GH_P_HELD)) {
            return i;
        }
    }
    return -1;
}

// wait_take is try_take that waits. GH_AGAIN: the time is over.
static gh_status
wait_take(gh_heap *h, int32_t want, int64_t ns, int32_t *out)
{
    const int64_t end = ns < 0 ? 0 : gh_nanotime() + ns;
    gh_status st = GH_OK;
    gh_watch w;
    gh_lock(&h->lock);
    if (!GH_PLANTED(WAIT_LATE)) {
        need_p(h, want);
    }
    gh_watch_begin(h, &w, "a P", -1);
    for (;;) {
        if (want != GH_ANY_P && want >= procs_of(h)) {
            st = GH_ERR_INVAL;  // it ended meanwhile
            break;
        }
        *out = try_take(h, want);
        if (*out >= 0) {
            break;
        }
        if (GH_PLANTED(WAIT_LATE)) {
            GH_PLANTED_PAUSE(WAIT_LATE);
            need_p(h, want);
            gh_watch_wait(h, &w);
            done_waiting(h, want);
        } else if (ns < 0) {
            GH_PLANTED_PAUSE(WAKE_UNLOCKED);
            gh_watch_wait(h, &w);
        } else if (gh_nanotime() >= end) {
            st = GH_AGAIN;
            break;
        } else {
            gh_cond_wait_until(&h->cond, &h->lock, end);
        }
    }
    gh_watch_end(h, &w);
    if (!GH_PLANTED(WAIT_LATE)) {
        done_waiting(h, want);
    }
    gh_unlock(&h->lock);
    return st;
}

static void
taken(gh_p *p)
{
    gh_pconc *c = p->conc;
    // Only its holder writes turn: no locked addition is needed. Who stands back for
    // others looks at it whenever one of them has been in, under the heap's lock.
    atomic_store_explicit(
        &c->turn, atomic_load_explicit(&c->turn, memory_order_relaxed) + 1,
        memory_order_relaxed);
    c->polled_ns = 0;
    __atomic_store_n(&p->heap->last_p, p->id, __ATOMIC_RELAXED);
    gh_drain_handles(p);
}

gh_status
gh_conc_enter(gh_heap *h, int32_t want, int64_t ns, gh_mut **out)
{
    if (want != GH_ANY_P && (want < 0 || want >= procs_of(h))) {
        return GH_ERR_INVAL;
    }
    int32_t i = try_take(h, want);
    if (GH_UNLIKELY(i < 0)) {
        if (ns == 0) {
            return GH_AGAIN;
        }
        const gh_status st = wait_take(h, want, ns, &i);
        if (st != GH_OK) {
            return st;
        }
    }
    *out = h->allp[i];
    taken(*out);
    gh_yield_point(h, GH_AT_ENTER);
    return GH_OK;
}

// ---- giving it back ---------------------------------------------------------------------

// hand_on does what was asked of p's holder; under the heap's lock.
static void
hand_on(gh_p *p)
{
    if (p->conc->flush_wanted) {
        p->conc->flush_wanted = false;
        if (gh_par_flush(p)) {
            p->heap->conc.flushed = true;
        }
        gh_cond_broadcast(&p->heap->cond);
    }
}

// grant gives p, which is held, to a worker that waits for it; under the heap's
// lock. The worker holds it from then on.
static bool
grant(gh_p *p)
{
    gh_claim **at = &p->heap->conc.claims;
    for (; *at != NULL; at = &(*at)->next) {
        gh_claim *c = *at;
        if (c->want == GH_ANY_P || c->want == p->id) {
            *at = c->next;
            c->granted = p;
            gh_cond_broadcast(&p->heap->cond);
            return true;
        }
    }
    return false;
}

// give_back makes p idle, or a worker's; under the heap's lock.
static void
give_back(gh_p *p)
{
    gh_heap *h = p->heap;
    hand_on(p);
    if (atomic_load(&h->conc.stopping) || !grant(p)) {
        atomic_store(&p->conc->status, GH_P_IDLE);
        gh_cond_broadcast(&h->cond);
    }
}

void
gh_conc_leave(gh_mut *m)
{
    gh_heap *h = m->heap;
    _Atomic uint32_t *const waiters =
        GH_PLANTED(LEAVE_LOOKERS) ? &h->conc.lookers : &h->waiters;
    GH_ASSERT(status_of(m->conc) == GH_P_HELD);
    GH_ASSERT(m->outside == 0);
    m->around = NULL;
    gh_yield_point(h, GH_AT_LEAVE);
    if (GH_UNLIKELY(atomic_load_explicit(waiters, memory_order_relaxed) != 0)) {
        gh_lock(&h->lock);
        give_back(m);
        gh_unlock(&h->lock);
        return;
    }
    const bool early = GH_PLANTED(REORDERED) && atomic_load(&h->waiters) != 0;
    GH_PLANTED_PAUSE(LEAVE_BLIND);
    GH_PLANTED_PAUSE(REORDERED);
    GH_PLANTED_PAUSE(WAKE_UNLOCKED);
    atomic_store(&m->conc->status, GH_P_IDLE);  // seq_cst: see need_look
    if (GH_PLANTED(LEAVE_BLIND) || (GH_PLANTED(REORDERED) && !early)) {
        return;
    }
    if (GH_UNLIKELY(atomic_load(waiters) != 0)) {
        if (GH_PLANTED(WAKE_UNLOCKED)) {
            gh_cond_broadcast(&h->cond);
            return;
        }
        gh_lock(&h->lock);
        gh_cond_broadcast(&h->cond);
        gh_unlock(&h->lock);
    }
}

// ---- standing still ------------------------------------------------------------------------

static bool
must_stand(const gh_p *p)
{
    const gh_conc *c = &p->heap->conc;
    return atomic_load(&c->stopping) && atomic_load(&c->stopper) != p;
}

// stand waits until the world goes on; under the heap's lock. p stays its
// holder's.
static void
stand(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_pconc *c = p->conc;
    bool spun = false;
    gh_watch w;
    gh_watch_begin(h, &w, "the world to go on", p->id);
    while (must_stand(p)) {
        if (!c->stopped_held) {
            c->stopped_held = true;
            atomic_store(&c->status, GH_P_STOPPED);
            if (!GH_PLANTED(STAND_SILENT)) {
                gh_cond_broadcast(&h->cond);
            }
        }
        if (!spun) {
            // A stop is mostly shorter than a sleep and a wake.
            spun = true;
            gh_unlock(&h->lock);
            for (gh_spin spin = {0}; must_stand(p) && gh_spins(&spin);) {
            }
            gh_lock(&h->lock);
            continue;
        }
        gh_watch_wait(h, &w);
    }
    gh_watch_end(h, &w);
    GH_ASSERT(status_of(c) == GH_P_HELD);
}

// retake takes p again, which its holder gave away at a safepoint; under the
// heap's lock.
static void
retake(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_watch w;
    need_p(h, p->id);
    gh_watch_begin(h, &w, "its P, which it gave away", p->id);
    while (must_stand(p) || !change(p->conc, GH_P_IDLE, GH_P_HELD)) {
        gh_watch_wait(h, &w);
    }
    gh_watch_end(h, &w);
    done_waiting(h, p->id);
}

// give_way lets a worker that claims p have it, or a mutator that has waited;
// under the heap's lock. Returns whether p was away.
static bool
give_way(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_pconc *c = p->conc;
    if (h->conc.claims == NULL && !is_wanted(p)) {
        return false;
    }
    p->parked++;
    const gh_client client = put_away(p);
    bool away = grant(p);
    if (!away && is_wanted(p)) {
        const int64_t now = gh_nanotime();
        if (c->polled_ns == 0) {
            c->polled_ns = now;
        }
        if (now - c->polled_ns >= HAND_OVER_NS) {
            // Stand back until somebody else has been in.
            away = true;
            const uint32_t turn = atomic_load(&c->turn);
            atomic_store(&c->status, GH_P_IDLE);
            gh_cond_broadcast(&h->cond);
            gh_watch w;
            gh_watch_begin(h, &w, "somebody else to take its P", p->id);
            while (is_wanted(p) && atomic_load(&c->turn) == turn
                   && status_of(c) != GH_P_HELD) {
                gh_watch_wait(h, &w);
            }
            gh_watch_end(h, &w);
        }
    }
    if (away) {
        retake(p);
    }
    put_back(p, &client);
    p->parked--;
    return away;
}

// look does what somebody wants of p's holder, who has not stopped the world: that one has
// heap_lock, and may not go outside with it, where it would wait for locks of the
// client's whose holders want heap_lock. What is wanted of it waits for its next poll.
static bool
look(gh_p *p, bool may_give_way)
{
    gh_heap *h = p->heap;
    gh_outside(p, true);
    gh_lock(&h->lock);
    stand(p);
    hand_on(p);
    const bool away = may_give_way && give_way(p);
    if (away) {
        stand(p);
    }
    gh_unlock(&h->lock);
    gh_outside(p, false);
    if (away) {
        taken(p);
    }
    return away;
}

bool
gh_conc_poll(gh_mut *m)
{
    return gh_conc_is_asked(m) && (!gh_is_stopper(m) || GH_PLANTED(GIVES_AWAY))
           && look(m, true);
}

void
gh_safepoint(gh_p *p)
{
    if (atomic_load_explicit(&p->heap->conc.lookers, memory_order_relaxed) != 0
        && !gh_is_stopper(p)) {
        (void)look(p, false);
    }
}

void
gh_yield_begin(gh_p *p, gh_client *c)
{
    gh_heap *h = p->heap;
    gh_outside(p, true);
    gh_lock(&h->lock);
    p->parked++;
    *c = put_away(p);
    give_back(p);
    gh_unlock(&h->lock);
}

void
gh_yield_end(gh_p *p, const gh_client *c)
{
    gh_heap *h = p->heap;
    gh_lock(&h->lock);
    retake(p);
    put_back(p, c);
    p->parked--;
    gh_unlock(&h->lock);
    gh_outside(p, false);
    taken(p);
}

gh_status
gh_conc_switch(gh_mut **m, int32_t p)
{
    gh_p *old = *m;
    gh_heap *h = old->heap;
    if (p < 0 || p >= procs_of(h)) {
        return GH_ERR_INVAL;
    }
    if (p == old->id) {
        return GH_OK;
    }
    if (gh_is_stopper(old)) {
        return GH_ERR_STATE;  // nobody gives one up
    }
    // Who waits for a P has none.
    gh_client c;
    int32_t i;
    gh_yield_begin(old, &c);
    const gh_status st = wait_take(h, p, -1, &i);
    if (st != GH_OK) {
        gh_yield_end(old, &c);
        return st;
    }
    gh_lock(&h->lock);
    old->parked--;
    gh_unlock(&h->lock);
    *m = h->allp[i];
    put_back(*m, &c);
    gh_outside(*m, false);
    taken(*m);
    return GH_OK;
}

// ---- stopping the world ----------------------------------------------------------------------

// all_stand claims what is idle; whether every P but self stands. Under the
// heap's lock.
static bool
all_stand(gh_heap *h, const gh_p *self)
{
    bool all = true;
    for (int32_t i = 0; i < h->procs; i++) {
        gh_pconc *c = h->conc.of[i];
        if (i != self->id && !change(c, GH_P_IDLE, GH_P_STOPPED)
            && status_of(c) != GH_P_STOPPED) {
            all = false;
        }
    }
    return all;
}

// somebody_runs: a P but self is held and doesn't stand yet. Of a stopper, without the
// lock: it only says whether another look under it is worth while.
static bool
somebody_runs(const gh_heap *h, const gh_p *self)
{
    for (int32_t i = 0; i < h->procs; i++) {
        if (i != self->id && status_of(h->conc.of[i]) == GH_P_HELD) {
            return true;
        }
    }
    return false;
}

// wait_outside goes outside before the first wait, with the heap's lock given up
// meanwhile.
static void
wait_outside(gh_p *m, bool *waits)
{
    gh_unlock(&m->heap->lock);
    gh_outside(m, true);
    *waits = true;
    gh_lock(&m->heap->lock);
}

void
gh_stop_world(gh_mut *m)
{
    gh_heap *h = m->heap;
    gh_conc *c = &h->conc;
    if (!h->concurrent) {
        return;
    }
    if (atomic_load_explicit(&c->stopper, memory_order_relaxed) == m) {
        c->stop_depth++;
        gh_mark_news(m->conc);  // nobody else has made anything since
        return;
    }
    gh_yield_point(h, GH_AT_STOP);
    // Where nobody is in the way nobody waits, and a client keeps its lock.
    bool waits = false;
    gh_lock(&h->lock);
    if (must_stand(m)) {
        wait_outside(m, &waits);
        stand(m);
    }
    atomic_store(&c->stopper, m);
    atomic_store(&c->stopping, true);
    if (GH_PLANTED(STOP_UNSAID)) {
        atomic_fetch_add(&h->waiters, 1);
    } else {
        need_look(h);
    }
    c->stop_ns = gh_nanotime();
    // Who holds a P and waits in gh_flush_all is to stand too.
    gh_cond_broadcast(&h->cond);
    if (GH_PLANTED(LOCK_EARLY)) {
        gh_rlock(&h->heap_lock);
    }
    if (!all_stand(h, m)) {
        // Not under the lock, which those need who are to stand.
        gh_unlock(&h->lock);
        for (gh_spin spin = {0}; somebody_runs(h, m) && gh_spins(&spin);) {
        }
        gh_lock(&h->lock);
    }
    gh_watch w;
    gh_watch_begin(h, &w, "all to stand still", m->id);
    while (!all_stand(h, m) && !GH_PLANTED(STOP_BLIND)) {
        if (waits) {
            gh_watch_wait(h, &w);
        } else {
            wait_outside(m, &waits);
        }
    }
    gh_watch_end(h, &w);
    c->stop_waited = waits;
    c->stood_ns = gh_nanotime();
    c->stop_depth = 1;
    c->stops++;
    gh_unlock(&h->lock);
    if (!GH_PLANTED(LOCK_EARLY)) {
        gh_rlock(&h->heap_lock);
    }
    for (int32_t i = 0; i < h->procs; i++) {
        gh_mark_news(c->of[i]);
        gh_mcache_end_ahead(h->allp[i]);
    }
    gh_clock_sync(h);
}

void
gh_start_world(gh_mut *m)
{
    gh_heap *h = m->heap;
    gh_conc *c = &h->conc;
    if (!h->concurrent || --c->stop_depth > 0) {
        return;
    }
    gh_runlock(&h->heap_lock);
    gh_lock(&h->lock);
    for (int32_t i = 0; i < h->procs; i++) {
        gh_pconc *q = h->conc.of[i];
        if (status_of(q) != GH_P_STOPPED) {
            continue;
        }
        const bool held = q->stopped_held;
        q->stopped_held = false;
        atomic_store(&q->status, held ? GH_P_HELD : GH_P_IDLE);
    }
    atomic_store(&c->stopping, false);
    atomic_store(&c->stopper, NULL);
    const bool waited = c->stop_waited;
    if (GH_PLANTED(STOP_UNSAID)) {
        atomic_fetch_sub(&h->waiters, 1);
    } else {
        done_look(h);
    }
    gh_unlock(&h->lock);
    // Not under the lock, which all want whom it wakes. m is held, so h stays.
    if (!GH_PLANTED(START_SILENT)) {
        gh_cond_broadcast(&h->cond);
    }
    if (waited) {
        gh_outside(m, false);
    }
}

// ---- the ragged barrier -----------------------------------------------------------------------

bool
gh_flush_all(gh_p *self)
{
    gh_heap *h = self->heap;
    bool any = gh_par_flush(self);
    gh_lock(&h->lock);
    if (GH_PLANTED(FLUSH_UNSAID)) {
        atomic_fetch_add(&h->waiters, 1);
    } else {
        need_look(h);
    }
    for (int32_t i = 0; i < h->procs; i++) {
        if (i != self->id) {
            h->conc.of[i]->flush_wanted = true;
        }
    }
    bool waits = false;
    gh_spin spin = {0};
    bool spun = false;
    gh_watch w;
    gh_watch_begin(h, &w, "all to hand on what they marked", self->id);
    for (bool left = true; left;) {
        left = false;
        for (int32_t i = 0; i < h->procs; i++) {
            gh_pconc *c = h->conc.of[i];
            if (!c->flush_wanted) {
                continue;
            }
            if (!change(c, GH_P_IDLE, GH_P_STOPPED)) {
                left = true;
                continue;
            }
            c->flush_wanted = false;
            any |= gh_par_flush(h->allp[i]);
            atomic_store(&c->status, GH_P_IDLE);
            gh_cond_broadcast(&h->cond);
        }
        if (left) {
            // Its holder will; unless all of us stand first.
            if (!spun && !must_stand(self)) {
                gh_unlock(&h->lock);
                spun = !gh_spins(&spin);
                gh_lock(&h->lock);
            } else if (!waits) {
                wait_outside(self, &waits);
            } else if (must_stand(self)) {
                stand(self);
            } else {
                gh_watch_wait(h, &w);
            }
        }
    }
    gh_watch_end(h, &w);
    any |= h->conc.flushed;
    h->conc.flushed = false;
    if (GH_PLANTED(FLUSH_UNSAID)) {
        atomic_fetch_sub(&h->waiters, 1);
    } else {
        done_look(h);
    }
    gh_unlock(&h->lock);
    if (waits) {
        gh_outside(self, false);
    }
    return any;
}

// ---- workers ------------------------------------------------------------------------------------

gh_p *
gh_claim_p(gh_heap *h, int32_t want, int64_t ns)
{
    gh_p *p = NULL;
    gh_lock(&h->lock);
    if (want != GH_ANY_P && want >= procs_of(h)) {
        gh_unlock(&h->lock);
        return NULL;
    }
    int32_t i = try_take(h, want);
    if (i < 0 && ns > 0) {
        gh_claim c = {.next = h->conc.claims, .want = want};
        h->conc.claims = &c;
        need_look(h);
        const int64_t end = gh_nanotime() + ns;
        while (c.granted == NULL && (i = try_take(h, want)) < 0
               && !atomic_load(&h->conc.quit) && gh_nanotime() < end) {
            gh_cond_wait_until(&h->cond, &h->lock, end);
        }
        done_look(h);
        p = c.granted;
        if (p == NULL) {
            gh_claim **at = &h->conc.claims;
            while (*at != &c) {
                at = &(*at)->next;
            }
            *at = c.next;
        }
    }
    if (p == NULL && i >= 0) {
        p = h->allp[i];
    }
    if (p != NULL) {
        stand(p);
    }
    gh_unlock(&h->lock);
    return p;
}

void
gh_unclaim_p(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_lock(&h->lock);
    stand(p);
    give_back(p);
    gh_unlock(&h->lock);
}

bool
gh_p_is_idle(const gh_heap *h)
{
    const int32_t n = procs_of(h);
    for (int32_t i = 0; i < n; i++) {
        if (status_of(h->conc.of[i]) == GH_P_IDLE) {
            return true;
        }
    }
    return false;
}

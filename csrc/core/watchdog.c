// watchdog.c: waits that take too long. See watchdog.h.

#include "watchdog.h"

#if GH_ASSERT_LEVEL >= 1

#include <inttypes.h>
#include <stdio.h>

#include "delays.h"
#include "mgcbg.h"
#include "mgcwork.h"

#define WATCH_NS ((int64_t)60 * 1000000000)

void
gh_watch_begin(gh_heap *h, gh_watch *w, const char *what, int32_t p)
{
    *w = (gh_watch){.next = h->conc.watches,
                    .what = what,
                    .p = p,
                    .since = gh_nanotime()};
    h->conc.watches = w;
}

void
gh_watch_end(gh_heap *h, const gh_watch *w)
{
    gh_watch **at = &h->conc.watches;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
}

static size_t
queued(const gh_gcwork *w)
{
    size_t n = 0;
    for (const gh_workbuf *b = w->top; b != NULL; b = b->below) {
        n += b->n;
    }
    return n;
}

// dump says where everybody is. What it reads may change meanwhile: who hangs
// doesn't. waits: with the heap's lock held, so that the lists of who waits stand still.
static void
dump(gh_heap *h, bool waits)
{
    static const char *const status[] = {"idle", "held", "stopped", "dead"};
    static const char *const phase[] = {"off", "mark", "mark termination"};
    gh_conc *c = &h->conc;
    const int64_t now = gh_nanotime();
    FILE *f = stderr;
    (void)fprintf(f, "phase %s, cycles %u begun %u done, sweepgen %u%s\n",
                  phase[h->phase], h->cycles_started, atomic_load(&c->done),
                  h->sweepgen, h->sweep_drained ? " (swept)" : "");
    (void)fprintf(f, "marking %d: %u active, %u hungry, full buffers %d, roots %d, "
                  "ending %d\n", atomic_load(&c->marking), atomic_load(&c->active),
                  atomic_load(&c->hungry), atomic_load(&c->has_full),
                  atomic_load(&c->has_roots), atomic_load(&c->ending));
    const gh_p *stopper = atomic_load(&c->stopper);
    (void)fprintf(f, "stopping %d by P %d; %u reasons to look, %u mutators without "
                  "a P\n", atomic_load(&c->stopping),
                  stopper == NULL ? -1 : stopper->id, atomic_load(&h->waiters),
                  c->mutators_waiting);
    for (int32_t i = 0; i < h->procs; i++) {
        const gh_p *p = h->allp[i];
        const gh_pconc *q = p->conc;
        (void)fprintf(f, "P %d: %s%s%s, taken %u times, parked %u, outside %u, "
                      "grey %zu, buffered %u\n", i,
                      status[atomic_load(&q->status)],
                      q->stopped_held ? " (with its holder)" : "",
                      q->flush_wanted ? ", to flush" : "",
                      atomic_load(&q->turn), (unsigned)p->parked,
                      (unsigned)p->outside, queued(&q->work), q->nwb);
    }
    for (const gh_claim *k = waits ? c->claims : NULL; k != NULL; k = k->next) {
        (void)fprintf(f, "a worker claims P %d\n", k->want);
    }
    for (const gh_watch *w = waits ? c->watches : NULL; w != NULL; w = w->next) {
        (void)fprintf(f, "P %d waits for %s, %.1f s\n", w->p, w->what,
                      (double)(now - w->since) / 1e9);
    }
    gh_bg_dump(h, f);
    gh_delays_report(h);
}

static int64_t
longest(const gh_heap *h)
{
    return h->conc.watch_ns != 0 ? h->conc.watch_ns : WATCH_NS;
}

void
gh_watch_wait(gh_heap *h, const gh_watch *w)
{
    const int64_t ns = longest(h);
    if (gh_nanotime() - w->since > ns) {
        dump(h, true);
        GH_THROW_IF(true, "watchdog: a wait takes too long");
    }
    gh_cond_wait_until(&h->cond, &h->lock, w->since + ns + 1);
}

// A stop may last: its own thread is at work then, and who waits for the world to go on is
// watched otherwise.
static void
heap_lock_awaited(void *arg, int64_t since)
{
    gh_heap *h = arg;
    const int64_t ns = gh_nanotime() - since;
    if (ns > longest(h) && !atomic_load(&h->conc.stopping)) {
        (void)fprintf(stderr, "thread %" PRIx64 " waits for heap_lock, %.1f s; thread %" PRIx64
                      " has it\n", gh_thread_self(), (double)ns / 1e9,
                      atomic_load(&h->heap_lock.holder));
        dump(h, gh_try_lock(&h->lock));
        GH_THROW_IF(true, "watchdog: a wait takes too long");
    }
}

void
gh_watch_heap_lock(gh_heap *h)
{
    h->heap_lock.awaited_arg = h;
    h->heap_lock.awaited = heap_lock_awaited;
}

#else

typedef int gh_watchdog_is_off;  // a file declares something

#endif

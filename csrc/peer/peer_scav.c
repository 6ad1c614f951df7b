// peer_scav.c: the scavenger's pace behind the C ABI of Go's own unit tests.
// See peer.c.
//
// The tests park and wake from two threads; the core's scavenger belongs to one
// holder at a time, so a lock around it stands for the heap's here.

#define PEER_API __attribute__((visibility("default")))
#include "peer_abi.h"

#include <stdlib.h>

#include "ghassert.h"
#include "lock.h"
#include "mgcscavenge.h"

struct pr_pi {
    gh_pi_controller c;
};

pr_pi *
pr_pi_new(double kp, double ti, double tt, double min, double max)
{
    pr_pi *c = calloc(1, sizeof(*c));
    GH_THROW_IF(c == NULL, "peer: out of memory");
    c->c = (gh_pi_controller){
        .kp = kp, .ti = ti, .tt = tt, .min = min, .max = max};
    return c;
}

void
pr_pi_destroy(pr_pi *c)
{
    free(c);
}

double
pr_pi_next(pr_pi *c, double input, double setpoint, double period, bool *ok)
{
    return gh_pi_next(&c->c, input, setpoint, period, ok);
}

struct pr_scavenger {
    gh_scavenger s;
    pr_scavenger_hooks hooks;
    gh_mutex lock;   // guards parked
    gh_cond woken;
    bool parked;
};

static uint64_t
scavenge(void *arg, uint64_t n, int64_t *ns)
{
    const pr_scavenger *s = arg;
    return s->hooks.scavenge(s->hooks.ctx, n, ns);
}

static bool
should_stop(void *arg)
{
    const pr_scavenger *s = arg;
    return s->hooks.should_stop(s->hooks.ctx);
}

pr_scavenger *
pr_scv_new(const pr_scavenger_hooks *h)
{
    pr_scavenger *s = calloc(1, sizeof(*s));
    GH_THROW_IF(s == NULL, "peer: out of memory");
    s->hooks = *h;
    gh_mutex_init(&s->lock);
    gh_cond_init(&s->woken);
    const gh_scav_ops ops = {scavenge, should_stop, s};
    gh_scav_init(&s->s, &ops);
    return s;
}

void
pr_scv_destroy(pr_scavenger *s)
{
    gh_cond_fini(&s->woken);
    gh_mutex_fini(&s->lock);
    free(s);
}

void
pr_scv_park(pr_scavenger *s)
{
    gh_lock(&s->lock);
    s->parked = true;
    while (s->parked) {
        gh_cond_wait(&s->woken, &s->lock);
    }
    gh_unlock(&s->lock);
}

bool
pr_scv_parked(pr_scavenger *s)
{
    gh_lock(&s->lock);
    const bool parked = s->parked;
    gh_unlock(&s->lock);
    return parked;
}

void
pr_scv_wake(pr_scavenger *s)
{
    gh_lock(&s->lock);
    s->parked = false;
    gh_cond_broadcast(&s->woken);
    gh_unlock(&s->lock);
}

uint64_t
pr_scv_run(pr_scavenger *s, double *work_ns)
{
    return gh_scav_run(&s->s, work_ns);
}

void
pr_scv_sleep(pr_scavenger *s, double work_ns)
{
    const int64_t ns = gh_scav_sleep_time(&s->s, work_ns);
    const int64_t slept = s->hooks.sleep(s->hooks.ctx, ns);
    gh_scav_slept(&s->s, work_ns, slept, s->hooks.gomaxprocs(s->hooks.ctx));
}

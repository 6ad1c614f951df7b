// peer_limit.c: the CPU limiter behind the C ABI of Go's own unit tests. See
// peer.c.

#define PEER_API __attribute__((visibility("default")))
#include "peer_abi.h"

#include <stdlib.h>

#include "ghassert.h"
#include "mgclimit.h"

struct pr_limiter {
    gh_limiter l;
    uint32_t num_gc;
};

pr_limiter *
pr_lim_new(int64_t now, int32_t procs)
{
    pr_limiter *l = calloc(1, sizeof(*l));
    GH_THROW_IF(l == NULL, "peer: out of memory");
    gh_limiter_init(&l->l, now, procs, &l->num_gc);
    return l;
}

void
pr_lim_destroy(pr_limiter *l)
{
    free(l);
}

uint64_t
pr_lim_fill(pr_limiter *l)
{
    return l->l.fill;
}

uint64_t
pr_lim_capacity(pr_limiter *l)
{
    return l->l.capacity;
}

uint64_t
pr_lim_overflow(pr_limiter *l)
{
    return l->l.overflow;
}

bool
pr_lim_limiting(pr_limiter *l)
{
    return gh_limiter_limiting(&l->l);
}

bool
pr_lim_need_update(pr_limiter *l, int64_t now)
{
    return gh_limiter_need_update(&l->l, now);
}

void
pr_lim_start_gc_transition(pr_limiter *l, bool enable_gc, int64_t now)
{
    gh_limiter_start_gc(&l->l, enable_gc, now);
}

void
pr_lim_finish_gc_transition(pr_limiter *l, int64_t now)
{
    gh_limiter_finish_gc(&l->l, now);
}

void
pr_lim_update(pr_limiter *l, int64_t now)
{
    gh_limiter_update(&l->l, now);
}

void
pr_lim_add_assist_time(pr_limiter *l, int64_t t)
{
    gh_limiter_add_assist_time(&l->l, t);
}

void
pr_lim_reset_capacity(pr_limiter *l, int64_t now, int32_t procs)
{
    gh_limiter_reset_capacity(&l->l, now, procs);
}

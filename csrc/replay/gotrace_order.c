// gotrace_order.c: whose event comes next. See gotrace.h.
//
// The clocks of two threads are not to be trusted against each other. What is:
// a P and a goroutine count their changes of state, so a thread that starts to
// run goroutine 7 for the third time waits here until another one has stopped it.
// Follows ordering in internal/trace/order.go, with its rules for what may come
// when, but for what has no say in order or columns: ranges of sweeps and
// assists, user regions and tasks, ids in the tables of stacks and strings.
//
// What is known of a thread is (G, P), of a P and a goroutine (generation and
// status, sequence number).

#include "gotrace.h"
#include "gotrace_int.h"

enum { G_BAD, G_RUNNABLE, G_RUNNING, G_SYSCALL, G_WAITING, NUM_G };
enum { P_BAD, P_RUNNING, P_IDLE, P_SYSCALL, P_ABANDONED, NUM_P };
enum { GC_UNKNOWN, GC_OFF, GC_ON };

// ctx is where an event happens: as it was before it.
typedef struct ctx {
    uint64_t g, p, m;
} ctx;

// Of a state, a is generation * 8 + status, b the sequence number.
static unsigned
status_of(const gh_idval *v)
{
    return (unsigned)(v->a & 7);
}

static void
set_status(gh_idval *v, unsigned status)
{
    v->a = (v->a & ~(uint64_t)7) | status;
}

static void
set_state(gh_idval *v, uint64_t gen, unsigned status, uint64_t seq)
{
    v->a = gen << 3 | status;
    v->b = seq;
}

static bool
succeeds(const gh_gotrace *g, const gh_idval *v, uint64_t seq)
{
    return v->a >> 3 == g->gen << 3 >> 3 && seq == v->b + 1;
}

static gt_advance
refuse(gh_gotrace *g, const char *what, uint64_t id)
{
    gt_bad(g, "%s (%llu)", what, (unsigned long long)id);
    return GT_FAILED;
}

static gt_advance
give(gh_gotrace *g, const gt_event *ev, ctx at)
{
    gt_stamp(g, ev->time);
    return gt_heap_event(g, ev, at.p, at.g) ? GT_ADVANCED : GT_FAILED;
}

// user_code tells that thread, P and goroutine are all there.
static bool
user_code(ctx c)
{
    return c.m != GT_NONE && c.p != GT_NONE && c.g != GT_NONE;
}

static gt_advance
proc_status(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    const uint64_t pid = ev->args[0], status = ev->args[1];
    if (status == P_BAD || status >= NUM_P) {
        return refuse(g, "a P of impossible status", status);
    }
    const bool known = gh_idmap_get(&g->ps, pid) != NULL;
    gh_idval *v = gt_put(g, &g->ps, pid);
    if (v == NULL) {
        return GT_FAILED;
    }
    if (known) {
        const unsigned old = status_of(v);
        if (status == P_ABANDONED && old == P_SYSCALL) {
            // It is about to be stolen from the thread that has it.
            set_state(v, g->gen, old, 0);
            bool found = false;
            for (size_t i = 0; i < g->ms.cap && !found; i++) {
                const gh_idval *m = &g->ms.slot[i];
                if (m->used && m->b == pid) {
                    cur = (ctx){.m = m->key, .p = pid, .g = m->a};
                    found = true;
                }
            }
            return found ? give(g, ev, cur)
                         : refuse(g, "no thread has the P to be stolen", pid);
        }
        if (old != status) {
            return refuse(g, "a P is not in the status it has", pid);
        }
    }
    set_state(v, g->gen, (unsigned)status, 0);
    if (status == P_RUNNING || status == P_SYSCALL) {
        next->p = pid;
    }
    return give(g, ev, cur);
}

static gt_advance
proc_start(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    gh_idval *v = gh_idmap_get(&g->ps, ev->args[0]);
    if (v == NULL || status_of(v) != P_IDLE || !succeeds(g, v, ev->args[1])
        || cur.p != GT_NONE) {
        return GT_WAIT;
    }
    if (cur.m == GT_NONE) {
        return refuse(g, "a P starts without a thread", ev->args[0]);
    }
    set_state(v, g->gen, P_RUNNING, ev->args[1]);
    next->p = ev->args[0];
    return give(g, ev, cur);
}

static gt_advance
proc_stop(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    gh_idval *v = gh_idmap_get(&g->ps, cur.p);
    if (cur.m == GT_NONE || cur.p == GT_NONE || v == NULL
        || (status_of(v) != P_RUNNING && status_of(v) != P_SYSCALL)) {
        return refuse(g, "a P stops that doesn't run", cur.p);
    }
    set_status(v, P_IDLE);
    next->p = GT_NONE;
    return give(g, ev, cur);
}

static gt_advance
proc_steal(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    const uint64_t pid = ev->args[0], from = ev->args[2];
    gh_idval *v = gh_idmap_get(&g->ps, pid);
    if (v == NULL
        || (status_of(v) != P_SYSCALL && status_of(v) != P_ABANDONED)
        || !succeeds(g, v, ev->args[1])) {
        return GT_WAIT;
    }
    if (cur.m == GT_NONE) {
        return refuse(g, "a P is stolen without a thread", pid);
    }
    const bool lost = status_of(v) == P_ABANDONED;
    set_state(v, g->gen, P_IDLE, ev->args[1]);
    if (lost) {
        return give(g, ev, cur);
    }
    if (from == cur.m) {
        if (cur.p != pid) {
            return refuse(g, "a thread steals a P from itself that it doesn't have",
                          pid);
        }
        next->p = GT_NONE;
        return give(g, ev, cur);
    }
    gh_idval *m = gh_idmap_get(&g->ms, from);
    if (m == NULL || m->b != pid) {
        return refuse(g, "a P is stolen from a thread that doesn't have it", pid);
    }
    m->b = GT_NONE;
    return give(g, ev, cur);
}

static gt_advance
go_status(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    const uint64_t gid = ev->args[0], mid = ev->args[1], status = ev->args[2];
    if (status == G_BAD || status >= NUM_G) {
        return refuse(g, "a goroutine of impossible status", status);
    }
    const gh_idval *old = gh_idmap_get(&g->gs, gid);
    if (old != NULL ? status_of(old) != status : g->gen != g->first_gen) {
        return refuse(g, "a goroutine is not in the status it has", gid);
    }
    gh_idval *v = gt_put(g, &g->gs, gid);
    if (v == NULL) {
        return GT_FAILED;
    }
    set_state(v, g->gen, (unsigned)status, 0);
    if (status == G_RUNNING) {
        next->g = gid;
    } else if (status == G_SYSCALL && mid == GT_NONE) {
        return refuse(g, "a goroutine in a system call without a thread", gid);
    } else if (status == G_SYSCALL && mid == cur.m) {
        if (g->gen != g->first_gen && cur.g != gid) {
            return refuse(g, "a thread in a system call has another goroutine",
                          gid);
        }
        next->g = gid;
    } else if (status == G_SYSCALL) {
        // It sits on another thread, without a P.
        const gh_idval *m = gh_idmap_get(&g->ms, mid);
        if (m != NULL && m->a != gid) {
            return refuse(g, "a thread in a system call has another goroutine",
                          gid);
        }
        if (m != NULL) {
            cur.g = gid;
        } else {
            gh_idval *made = gt_put(g, &g->ms, mid);
            if (made == NULL) {
                return GT_FAILED;
            }
            made->a = gid;
            made->b = GT_NONE;
        }
        cur.m = mid;
    }
    return give(g, ev, cur);
}

static gt_advance
go_create(gh_gotrace *g, const gt_event *ev, ctx cur)
{
    const gh_idval *self = gh_idmap_get(&g->gs, cur.g);
    if (cur.m == GT_NONE || cur.p == GT_NONE
        || (cur.g != GT_NONE && self != NULL && status_of(self) != G_RUNNING)) {
        return refuse(g, "a goroutine is created where none can be", ev->args[0]);
    }
    if (gh_idmap_get(&g->gs, ev->args[0]) != NULL) {
        return refuse(g, "a goroutine is created twice", ev->args[0]);
    }
    gh_idval *v = gt_put(g, &g->gs, ev->args[0]);
    if (v == NULL) {
        return GT_FAILED;
    }
    set_state(v, g->gen,
              ev->type == EV_GO_CREATE_BLOCKED ? G_WAITING : G_RUNNABLE, 0);
    return give(g, ev, cur);
}

// running is the present goroutine's state; NULL, and the reading has ended, if it
// doesn't run user code in that status.
static gh_idval *
in_status(gh_gotrace *g, ctx cur, unsigned status)
{
    gh_idval *v = gh_idmap_get(&g->gs, cur.g);
    if (cur.m == GT_NONE || cur.g == GT_NONE || v == NULL
        || status_of(v) != status) {
        refuse(g, "a goroutine changes that is not in the status for it", cur.g);
        return NULL;
    }
    return v;
}

static gt_advance
go_stop(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    gh_idval *v = in_status(g, cur, G_RUNNING);
    if (v == NULL) {
        return GT_FAILED;
    }
    if (cur.p == GT_NONE) {
        return refuse(g, "a goroutine stops without a P", cur.g);
    }
    if (ev->type == EV_GO_DESTROY) {
        gh_idmap_delete(&g->gs, cur.g);
    } else {
        set_status(v, ev->type == EV_GO_STOP ? G_RUNNABLE : G_WAITING);
    }
    next->g = GT_NONE;
    return give(g, ev, cur);
}

static gt_advance
go_start(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    gh_idval *v = gh_idmap_get(&g->gs, ev->args[0]);
    if (v == NULL || status_of(v) != G_RUNNABLE
        || !succeeds(g, v, ev->args[1])) {
        return GT_WAIT;
    }
    if (cur.m == GT_NONE || cur.p == GT_NONE || cur.g != GT_NONE) {
        return refuse(g, "a goroutine starts where none can", ev->args[0]);
    }
    set_state(v, g->gen, G_RUNNING, ev->args[1]);
    next->g = ev->args[0];
    return give(g, ev, cur);
}

static gt_advance
go_unblock(gh_gotrace *g, const gt_event *ev, ctx cur)
{
    gh_idval *v = gh_idmap_get(&g->gs, ev->args[0]);
    if (v == NULL || status_of(v) != G_WAITING
        || !succeeds(g, v, ev->args[1])) {
        return GT_WAIT;
    }
    set_state(v, g->gen, G_RUNNABLE, ev->args[1]);
    return give(g, ev, cur);
}

// go_switch is three events: the other goroutine wakes, this one blocks or ends,
// the other one starts.
static gt_advance
go_switch(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    gh_idval *self = in_status(g, cur, G_RUNNING);
    if (self == NULL) {
        return GT_FAILED;
    }
    if (cur.p == GT_NONE) {
        return refuse(g, "a goroutine switches without a P", cur.g);
    }
    gh_idval *v = gh_idmap_get(&g->gs, ev->args[0]);
    if (v == NULL || status_of(v) != G_WAITING
        || !succeeds(g, v, ev->args[1])) {
        return GT_WAIT;
    }
    set_state(v, g->gen, G_RUNNING, ev->args[1]);
    if (ev->type == EV_GO_SWITCH) {
        set_status(self, G_WAITING);
    } else {
        gh_idmap_delete(&g->gs, cur.g);
    }
    next->g = ev->args[0];
    gt_stamp(g, ev->time);
    gt_stamp(g, ev->time);
    gt_stamp(g, ev->time);
    return GT_ADVANCED;
}

static gt_advance
syscall_begin(gh_gotrace *g, const gt_event *ev, ctx cur)
{
    gh_idval *v = in_status(g, cur, G_RUNNING);
    if (v == NULL) {
        return GT_FAILED;
    }
    gh_idval *p = gh_idmap_get(&g->ps, cur.p);
    if (cur.p == GT_NONE || p == NULL || !succeeds(g, p, ev->args[0])) {
        return refuse(g, "a system call begins out of turn on P", cur.p);
    }
    set_status(v, G_SYSCALL);
    set_state(p, g->gen, P_SYSCALL, ev->args[0]);
    return give(g, ev, cur);
}

static gt_advance
syscall_end(gh_gotrace *g, const gt_event *ev, ctx cur)
{
    gh_idval *v = in_status(g, cur, G_SYSCALL);
    if (v == NULL) {
        return GT_FAILED;
    }
    gh_idval *p = gh_idmap_get(&g->ps, cur.p);
    if (cur.p == GT_NONE || p == NULL || status_of(p) != P_SYSCALL) {
        return refuse(g, "a system call ends without its P", cur.p);
    }
    set_status(v, G_RUNNING);
    set_status(p, P_RUNNING);
    return give(g, ev, cur);
}

static gt_advance
syscall_end_blocked(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    if (cur.p != GT_NONE) {
        const gh_idval *p = gh_idmap_get(&g->ps, cur.p);
        if (p == NULL) {
            return refuse(g, "a system call ends on an unknown P", cur.p);
        }
        if (status_of(p) == P_SYSCALL) {
            return GT_WAIT;  // it will lose this P first
        }
    }
    gh_idval *v = in_status(g, cur, G_SYSCALL);
    if (v == NULL) {
        return GT_FAILED;
    }
    set_status(v, G_RUNNABLE);
    next->g = GT_NONE;
    return give(g, ev, cur);
}

static gt_advance
create_syscall(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    if (cur.m == GT_NONE || cur.g != GT_NONE
        || gh_idmap_get(&g->gs, ev->args[0]) != NULL) {
        return refuse(g, "a goroutine of C cannot begin here", ev->args[0]);
    }
    gh_idval *v = gt_put(g, &g->gs, ev->args[0]);
    if (v == NULL) {
        return GT_FAILED;
    }
    set_state(v, g->gen, G_SYSCALL, 0);
    next->g = ev->args[0];
    return give(g, ev, cur);
}

static gt_advance
destroy_syscall(gh_gotrace *g, const gt_event *ev, ctx cur, ctx *next)
{
    if (in_status(g, cur, G_SYSCALL) == NULL) {
        return GT_FAILED;
    }
    gh_idmap_delete(&g->gs, cur.g);
    next->g = GT_NONE;
    if (cur.p != GT_NONE) {
        gh_idval *p = gh_idmap_get(&g->ps, cur.p);
        if (p == NULL || status_of(p) != P_SYSCALL) {
            return refuse(g, "a goroutine of C ends on the wrong P", cur.p);
        }
        set_status(p, P_ABANDONED);
        next->p = GT_NONE;
        gt_stamp(g, ev->time);  // a steal from itself
    }
    return give(g, ev, cur);
}

static gt_advance
gc_event(gh_gotrace *g, const gt_event *ev, ctx cur)
{
    const uint64_t seq = ev->args[0];
    const bool first =
        ev->type == EV_GC_ACTIVE ? g->gen == g->first_gen
                                 : ev->type == EV_GC_BEGIN
                                       && g->gc_state == GC_UNKNOWN;
    if (first) {
        if (g->gc_state != GC_UNKNOWN) {
            return refuse(g, "a collection is active that isn't the first", seq);
        }
        g->gc_seq = seq;
        g->gc_state = GC_ON;
        return give(g, ev, cur);
    }
    if (seq != g->gc_seq + 1) {
        return GT_WAIT;
    }
    const int want = ev->type == EV_GC_BEGIN ? GC_OFF : GC_ON;
    if (g->gc_state != want) {
        return refuse(g, "a collection begins twice or ends before it began", seq);
    }
    if (!user_code(cur)) {
        return refuse(g, "a collection outside of a goroutine", seq);
    }
    g->gc_seq = seq;
    g->gc_state = ev->type == EV_GC_END ? GC_OFF : GC_ON;
    return give(g, ev, cur);
}

static gt_advance
dispatch(gh_gotrace *g, gt_event *ev, ctx cur, ctx *next)
{
    switch (ev->type) {
    case EV_PROC_START: return proc_start(g, ev, cur, next);
    case EV_PROC_STOP: return proc_stop(g, ev, cur, next);
    case EV_PROC_STEAL: return proc_steal(g, ev, cur, next);
    case EV_PROC_STATUS: return proc_status(g, ev, cur, next);
    case EV_GO_CREATE:
    case EV_GO_CREATE_BLOCKED: return go_create(g, ev, cur);
    case EV_GO_CREATE_SYSCALL: return create_syscall(g, ev, cur, next);
    case EV_GO_START: return go_start(g, ev, cur, next);
    case EV_GO_DESTROY:
    case EV_GO_STOP:
    case EV_GO_BLOCK: return go_stop(g, ev, cur, next);
    case EV_GO_DESTROY_SYSCALL: return destroy_syscall(g, ev, cur, next);
    case EV_GO_UNBLOCK: return go_unblock(g, ev, cur);
    case EV_GO_SYSCALL_BEGIN: return syscall_begin(g, ev, cur);
    case EV_GO_SYSCALL_END: return syscall_end(g, ev, cur);
    case EV_GO_SYSCALL_END_BLOCKED:
        return syscall_end_blocked(g, ev, cur, next);
    case EV_GO_STATUS:
    case EV_GO_STATUS_STACK: return go_status(g, ev, cur, next);
    case EV_GC_ACTIVE:
    case EV_GC_BEGIN:
    case EV_GC_END: return gc_event(g, ev, cur);
    case EV_GO_SWITCH:
    case EV_GO_SWITCH_DESTROY: return go_switch(g, ev, cur, next);
    case EV_SWEEP_ACTIVE:
    case EV_ASSIST_ACTIVE:
        return give(g, ev, cur);
    case EV_SPAN:
    case EV_SPAN_ALLOC:
    case EV_SPAN_FREE:
    case EV_OBJECT:
    case EV_OBJECT_ALLOC:
    case EV_OBJECT_FREE:
    case EV_STACK_EXISTS:
    case EV_STACK_ALLOC:
    case EV_STACK_FREE:
        return cur.m != GT_NONE ? give(g, ev, cur)
                                : refuse(g, "a memory event without a thread",
                                         ev->args[0]);
    case EV_HEAP_ALLOC:
    case EV_HEAP_GOAL:
    case EV_SWEEP_BEGIN:
    case EV_SWEEP_END:
        return cur.m != GT_NONE && cur.p != GT_NONE
                   ? give(g, ev, cur)
                   : refuse(g, "a heap event without a P", ev->args[0]);
    default:
        // Everything else is something that a goroutine does.
        return user_code(cur) ? give(g, ev, cur)
                              : refuse(g, "an event outside of a goroutine",
                                       ev->type);
    }
}

gt_advance
gt_order_advance(gh_gotrace *g, gt_event *ev, uint64_t m)
{
    ctx cur = {.g = GT_NONE, .p = GT_NONE, .m = m};
    if (m != GT_NONE) {
        const bool known = gh_idmap_get(&g->ms, m) != NULL;
        gh_idval *v = gt_put(g, &g->ms, m);
        if (v == NULL) {
            return GT_FAILED;
        }
        if (!known) {
            v->a = v->b = GT_NONE;
        }
        cur.g = v->a;
        cur.p = v->b;
    }
    ctx next = cur;
    const gt_advance res = dispatch(g, ev, cur, &next);
    if (res == GT_ADVANCED && m != GT_NONE) {
        gh_idval *v = gh_idmap_get(&g->ms, m);
        v->a = next.g;
        v->b = next.p;
    }
    return res;
}

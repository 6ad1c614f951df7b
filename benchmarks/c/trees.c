// trees.c: binary trees, as in the Computer Language Benchmarks Game.
//
//   trees DEPTH THREADS
//
// One tree of depth DEPTH + 1, made and counted; one of DEPTH that lives to the
// end; and of every other depth from 4 on as many short-lived ones as make 2^DEPTH
// * 16 leaves. Children are made before their parent. Two THREADS share the
// short-lived ones, in a heap that collects beside them. Built with PEER=... the
// trees are another allocator's, and freed by hand (not libgc's).

#include <pthread.h>

#include "peer.h"
#include "stack.h"

typedef struct node {
    const struct node *l, *r;
} node;

static uint64_t
count(const node *n)
{
    return n->l == NULL ? 1 : 1 + count(n->l) + count(n->r);
}

#ifdef PEER

static node *
make(int depth)
{
    const node *l = NULL, *r = NULL;
    if (depth > 0) {
        l = make(depth - 1);
        r = make(depth - 1);
    }
    node *n = peer_zeroed(sizeof(*n));
    n->l = l;
    n->r = r;
    return n;
}

static void
drop(const node *n)
{
#if PEER != PEER_LIBGC
    if (n->l != NULL) {
        drop(n->l);
        drop(n->r);
    }
    peer_free((void *)n);
#else
    (void)n;
#endif
}

static uint64_t
counted(int depth)
{
    const node *n = make(depth);
    const uint64_t nodes = count(n);
    drop(n);
    return nodes;
}

int
main(int argc, char **argv)
{
    const int most = argc > 1 ? atoi(argv[1]) : 10;
    peer_init();
    const bench_time t0 = bench_now();
    uint64_t sum = counted(most + 1);
    const node *kept = make(most);
    for (int d = 4; d <= most; d += 2) {
        for (uint64_t i = 0; i < (uint64_t)1 << (most - d + 4); i++) {
            sum += counted(d);
        }
    }
    sum += count(kept);
    drop(kept);
    peer_answer(bench_since(t0), sum);
    return 0;
}

#else

static void
make(stack *s, const gh_type *t, int depth, gh_slot *out)
{
    if (depth == 0) {
        bench_check(gh_new_inline(s->m, out, t, 1), "gh_new");
        return;
    }
    gh_slot *l = stack_push(s), *r = stack_push(s);
    make(s, t, depth - 1, l);
    make(s, t, depth - 1, r);
    bench_check(gh_new_inline(s->m, out, t, 1), "gh_new");
    bench_put(s->m, out, 0, l);
    bench_put(s->m, out, 1, r);
    stack_pop(s);
    stack_pop(s);
}

static uint64_t
counted(stack *s, const gh_type *t, int depth)
{
    gh_slot *slot = stack_push(s);
    make(s, t, depth, slot);
    const uint64_t nodes = count(gh_data(slot));
    stack_pop(s);
    return nodes;
}

typedef struct job {
    gh_heap *h;
    const gh_type *t;
    int most;
    uint64_t part, parts, sum;
    bench_run *run;  // the first one looks
} job;

static void
share(job *j, gh_mut *m)
{
    stack s = stack_new(m, 64);
    for (int d = 4; d <= j->most; d += 2) {
        const uint64_t n = (uint64_t)1 << (j->most - d + 4);
        for (uint64_t i = n * j->part / j->parts;
             i < n * (j->part + 1) / j->parts; i++) {
            j->sum += counted(&s, j->t, d);
        }
        if (j->part == 0) {
            bench_look(j->run, j->h);
        }
    }
    stack_end(&s);
}

static void *
thread(void *arg)
{
    job *j = arg;
    gh_mut *m;
    bench_check(gh_enter(j->h, (int32_t)j->part, &m), "gh_enter");
    share(j, m);
    gh_leave(m);
    return NULL;
}

int
main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: trees DEPTH THREADS\n");
        return 2;
    }
    const int most = atoi(argv[1]);
    const bool two = argv[2][0] == '2';
    gh_options opt;
    gh_options_init(&opt);
    if (two) {
        opt.mode = GH_MODE_CONCURRENT;
        opt.procs = 2;
        opt.policy.eager_sweep = false;  // as in Go: nothing is swept in the stop
    }
    gh_mut *m = bench_open(&opt);
    gh_heap *h = gh_mut_heap(m);
    const gh_type *t = bench_type(m, sizeof(node), 2);
    stack s = stack_new(m, 64);

    bench_run r = bench_begin(h);
    uint64_t sum = counted(&s, t, most + 1);
    bench_look(&r, h);
    gh_slot *kept = stack_push(&s);
    make(&s, t, most, kept);
    bench_look(&r, h);
    if (two) {
        gh_leave(m);
        job j[2];
        pthread_t id[2];
        for (unsigned i = 0; i < 2; i++) {
            j[i] = (job){h, t, most, i, 2, 0, &r};
            pthread_create(&id[i], NULL, thread, &j[i]);
        }
        for (unsigned i = 0; i < 2; i++) {
            pthread_join(id[i], NULL);
            sum += j[i].sum;
        }
        bench_check(gh_enter(h, GH_ANY_P, &m), "gh_enter");
        s.m = m;
    } else {
        job j = {h, t, most, 0, 1, 0, &r};
        share(&j, m);
        sum += j.sum;
    }
    sum += count(gh_data(kept));
    const bench_time d = bench_since(r.t0);
    bench_answer(&r, d, h, sum);
    stack_end(&s);
    bench_close(m);
    return 0;
}

#endif

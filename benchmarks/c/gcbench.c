// gcbench.c: Boehm's GCBench: trees made from the top and from the leaves, short-
// lived, beside a long-lived tree and a long-lived row of numbers.
//
//   gcbench
//
// Built with PEER=... it is the same with another allocator, freed by hand (not
// libgc's).

#include "peer.h"
#include "stack.h"

enum { STRETCH = 18, LONG = 16, ROW = 500000, LEAST = 4, MOST = 16 };

typedef struct node {
    struct node *l, *r;
    int32_t i, j;
} node;

static int
tree_size(int depth)
{
    return (1 << (depth + 1)) - 1;
}

static uint64_t
count(const node *n)
{
    return n == NULL ? 0 : 1 + count(n->l) + count(n->r);
}

#ifdef PEER

typedef int heap;

static node *
new_node(void)
{
    return peer_zeroed(sizeof(node));
}

static void
populate(int depth, node *n)
{
    if (depth <= 0) {
        return;
    }
    n->l = new_node();
    n->r = new_node();
    populate(depth - 1, n->l);
    populate(depth - 1, n->r);
}

static node *
make(int depth)
{
    if (depth <= 0) {
        return new_node();
    }
    node *l = make(depth - 1), *r = make(depth - 1), *n = new_node();
    n->l = l;
    n->r = r;
    return n;
}

static void
drop(node *n)
{
#if PEER != PEER_LIBGC
    if (n != NULL) {
        drop(n->l);
        drop(n->r);
        peer_free(n);
    }
#else
    (void)n;
#endif
}

int
main(void)
{
    peer_init();
    const bench_time t0 = bench_now();
    drop(make(STRETCH));
    node *kept = new_node();
    populate(LONG, kept);
    double *row = peer_data(ROW * sizeof(*row));
    for (int i = 0; i < ROW / 2; i++) {
        row[i] = 1.0 / (i + 1);
    }
    uint64_t trees = 0;
    for (int d = LEAST; d <= MOST; d += 2) {
        const int n = 2 * tree_size(STRETCH) / tree_size(d);
        for (int i = 0; i < n; i++, trees++) {
            node *t = new_node();
            populate(d, t);
            drop(t);
        }
        for (int i = 0; i < n; i++, trees++) {
            drop(make(d));
        }
    }
    const bench_time d = bench_since(t0);
    peer_answer(d, trees + count(kept) + (row[1000] == 1.0 / 1001));
    return 0;
}

#else

typedef struct work {
    stack s;
    const gh_type *t;
} work;

static void
new_node(work *w, gh_slot *out)
{
    bench_check(gh_new_inline(w->s.m, out, w->t, 1), "gh_new");
}

// populate hangs a tree on the node that n holds.
static void
populate(work *w, int depth, const gh_slot *n)
{
    if (depth <= 0) {
        return;
    }
    gh_slot *l = stack_push(&w->s), *r = stack_push(&w->s);
    new_node(w, l);
    bench_put(w->s.m, n, 0, l);
    new_node(w, r);
    bench_put(w->s.m, n, 1, r);
    populate(w, depth - 1, l);
    populate(w, depth - 1, r);
    stack_pop(&w->s);
    stack_pop(&w->s);
}

static void
make(work *w, int depth, gh_slot *out)
{
    if (depth <= 0) {
        new_node(w, out);
        return;
    }
    gh_slot *l = stack_push(&w->s), *r = stack_push(&w->s);
    make(w, depth - 1, l);
    make(w, depth - 1, r);
    new_node(w, out);
    bench_put(w->s.m, out, 0, l);
    bench_put(w->s.m, out, 1, r);
    stack_pop(&w->s);
    stack_pop(&w->s);
}

int
main(void)
{
    gh_mut *m = bench_heap(100, true);
    gh_heap *h = gh_mut_heap(m);
    work w = {stack_new(m, 128), bench_type(m, sizeof(node), 2)};
    bench_run r = bench_begin(h);
    gh_slot *t = stack_push(&w.s);
    make(&w, STRETCH, t);
    gh_clear(m, t);
    bench_look(&r, h);
    gh_slot *kept = stack_push(&w.s);
    new_node(&w, kept);
    populate(&w, LONG, kept);
    gh_slot *row = stack_push(&w.s);
    bench_check(gh_alloc(m, row, ROW * sizeof(double)), "gh_alloc");
    double *number = gh_data(row);
    for (int i = 0; i < ROW / 2; i++) {
        number[i] = 1.0 / (i + 1);
    }
    uint64_t trees = 0;
    for (int d = LEAST; d <= MOST; d += 2) {
        const int n = 2 * tree_size(STRETCH) / tree_size(d);
        for (int i = 0; i < n; i++, trees++) {
            new_node(&w, t);
            populate(&w, d, t);
            gh_clear(m, t);
        }
        bench_look(&r, h);
        for (int i = 0; i < n; i++, trees++) {
            make(&w, d, t);
            gh_clear(m, t);
        }
        bench_look(&r, h);
    }
    const bench_time d = bench_since(r.t0);
    bench_answer(&r, d, h, trees + count(gh_data(kept))
                               + (number[1000] == 1.0 / 1001));
    stack_end(&w.s);
    bench_close(m);
    return 0;
}

#endif

// test_mstats.c: the figures: asking changes none of them, and they add up.
// [alloc:...] are vectors of Go 1.26.8's behaviour, see csrc/design/vectors.md.

#include <string.h>

#include "check.h"
#include "heap.h"
#include "mstats.h"

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

enum { SLOTS = 256, STEPS = 4000 };

typedef struct fixture {
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    const gh_type *node;
    uint64_t rnd;
    uint32_t handle;
} fixture;

static void
setup(fixture *f, int procs, bool eager, int64_t limit, uint64_t base_live)
{
    gh_options o;
    gh_options_init(&o);
    // With a limit, the limit alone decides.
    o.gogc = limit == GH_LIMIT_OFF ? 50 : -1;
    o.procs = procs;
    o.memory_limit = limit;
    o.policy.eager_sweep = eager;
    o.policy.min_heap = 1 << 20;
    o.base_live = base_live;
    o.address_space = (uint64_t)1 << 30;
    CHECK(gh_heap_new(&o, &f->h) == GH_OK);
    CHECK(gh_enter(f->h, GH_ANY_P, &f->m) == GH_OK);
    CHECK(gh_slots_new(f->h, SLOTS, &f->b) == GH_OK);
    const uint64_t mask[1] = {3};
    const gh_type_desc d = {.size = 32, .align = 8, .ptrdata = 16,
                            .mask = mask};
    CHECK(gh_type_new(f->m, &d, &f->node) == GH_OK);
    f->rnd = 88172645463325252u;
    f->handle = 0;
}

static void
teardown(fixture *f)
{
    CHECK_EQ(gh_verify(f->m, print_line, NULL), 0);
    gh_slots_free(f->b);
    gh_leave(f->m);
    gh_heap_free(f->h);
}

static uint64_t
next_random(fixture *f)
{
    f->rnd ^= f->rnd << 13;
    f->rnd ^= f->rnd >> 7;
    f->rnd ^= f->rnd << 17;
    return f->rnd;
}

// step is one step of a script that every twin runs alike.
static void
step(fixture *f)
{
    const uint64_t r = next_random(f);
    gh_slot *x = gh_slots_at(f->b, r % SLOTS);
    switch (r >> 32 & 15) {
    case 0:
        CHECK(gh_alloc(f->m, x, 40000 + (r >> 40) % 200000) == GH_OK);
        break;
    case 1:
        gh_clear(f->m, x);
        break;
    case 2:
    case 3:
        CHECK(gh_alloc(f->m, x, 1 + (r >> 40) % 15) == GH_OK);
        break;
    case 4:
        CHECK(gh_switch_p(&f->m, (int32_t)((r >> 40)
                                           % (uint64_t)gh_procs(f->h)))
              == GH_OK);
        break;
    case 5:
        if (f->handle != 0) {
            gh_handle_drop(f->h, f->handle);
        }
        CHECK(gh_handle_new(f->m, &f->handle) == GH_OK);
        gh_set(f->m, gh_handle_slot(f->h, f->handle), x);
        break;
    case 6:
        if ((r >> 40) % 64 == 0) {
            CHECK(gh_gc(f->m) == GH_OK);
        }
        break;
    case 7:
    case 8:
    case 9:
        CHECK(gh_new(f->m, x, f->node, 1 + (r >> 40) % 40) == GH_OK);
        CHECK(gh_store(f->m, x, 0, gh_slots_at(f->b, (r >> 48) % SLOTS))
              == GH_OK);
        break;
    default:
        CHECK(gh_alloc(f->m, x, 16 + (r >> 40) % 9000) == GH_OK);
        break;
    }
}

static bool
count_span(void *arg, const gh_span_info *s)
{
    *(uint64_t *)arg += s->npages;
    return true;
}

static bool
count_object(void *arg, const gh_object *o)
{
    *(uint64_t *)arg += o->elemsize;
    return true;
}

// ask asks for everything there is to ask for.
static void
ask(fixture *f)
{
    gh_memstats s;
    gh_pacer_stats p;
    gh_counts c;
    gh_object o;
    gh_cycle g;
    uint64_t n = 0;
    gh_stats(f->m, &s);
    gh_stats_slow(f->m, &s);
    gh_pacer_get(f->h, &p);
    gh_counts_get(f->h, &c);
    gh_walk_spans(f->h, count_span, &n);
    CHECK_EQ(n, c.pages_in_use);
    gh_walk_objects(f->h, count_object, &n);
    CHECK_EQ(gh_object_at(f->h, gh_slots_at(f->b, 0), &o) == GH_OK,
             gh_slots_at(f->b, 0)->word != 0);
    CHECK_EQ(gh_cycle_get(f->h, 0, &g) == GH_OK, gh_cycles(f->h) > 0);
    (void)gh_trigger(f->h);
}

// same compares all figures and all addresses of two heaps.
static void
same(fixture *a, fixture *b)
{
    gh_memstats s, t;
    gh_pacer_stats p, q;
    gh_counts c, d;
    gh_stats(a->m, &s);
    gh_stats(b->m, &t);
    CHECK(memcmp(&s, &t, sizeof(s)) == 0);
    gh_pacer_get(a->h, &p);
    gh_pacer_get(b->h, &q);
    CHECK(memcmp(&p, &q, sizeof(p)) == 0);
    gh_counts_get(a->h, &c);
    gh_counts_get(b->h, &d);
    CHECK(memcmp(&c, &d, sizeof(c)) == 0);
    CHECK_EQ(gh_now(a->h), gh_now(b->h));
    CHECK_EQ(gh_cycles(a->h), gh_cycles(b->h));
    for (unsigned i = 0; i < SLOTS; i++) {
        CHECK_EQ(gh_addr(a->h, gh_slots_at(a->b, i)),
                 gh_addr(b->h, gh_slots_at(b->b, i)));
    }
}

// Two heaps run one script; one of them is asked after every step.
static void
test_pure(int procs, bool eager, int64_t limit)
{
    fixture quiet, asked;
    setup(&quiet, procs, eager, limit, 0);
    setup(&asked, procs, eager, limit, 0);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&quiet);
        step(&asked);
        if (i % 4 == 0) {
            ask(&asked);
        }
        if (i % 500 == 499) {
            CHECK_EQ(gh_verify(asked.m, print_line, NULL), 0);
            same(&quiet, &asked);
        }
    }
    CHECK(gh_cycles(quiet.h) >= 5);
    same(&quiet, &asked);
    teardown(&quiet);
    teardown(&asked);
}

// gh_stats gives what ReadMemStats would: one twin is asked the one way, the
// other the other way, and then both flush, so that they stay twins.
static void
test_twin(int procs, bool eager, int64_t limit)
{
    fixture a, b;
    setup(&a, procs, eager, limit, 0);
    setup(&b, procs, eager, limit, 0);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&a);
        step(&b);
        if (i % 50 == 0) {
            gh_memstats s, t;
            gh_stats(a.m, &s);
            gh_read_mem_stats(b.m, &t);
            CHECK(memcmp(&s, &t, sizeof(s)) == 0);
            gh_read_mem_stats(a.m, &s);
            CHECK(memcmp(&s, &t, sizeof(s)) == 0);
        }
    }
    teardown(&a);
    teardown(&b);
}

// [alloc:71], and the sums of Go's own double check.
static void
check_sums(fixture *f, uint64_t base_live)
{
    gh_memstats s;
    gh_stats(f->m, &s);
    CHECK_EQ(s.sys, s.heap_sys + s.stack_sys + s.mspan_sys + s.mcache_sys
                        + s.buck_hash_sys + s.gc_sys + s.other_sys);
    CHECK_EQ(s.heap_sys, s.heap_inuse + s.heap_idle);
    CHECK_EQ(s.heap_objects, s.mallocs - s.frees);
    CHECK_EQ(s.alloc, s.heap_alloc);
    CHECK_EQ(s.lookups, 0);
    CHECK_EQ(s.by_size[0].size + s.by_size[0].mallocs + s.by_size[0].frees, 0);
    CHECK_EQ(s.by_size[60].size, 18432);
    CHECK(s.enable_gc && !s.debug_gc);
    CHECK_EQ(s.next_gc, gh_heap_goal(f->h));
    CHECK_EQ(gh_mapped_ready(f->h), s.sys - s.heap_released);
    uint64_t bytes = f->h->stats.large_alloc, frees = 0;
    uint64_t n = f->h->stats.large_alloc_count;
    for (unsigned i = 0; i < 61; i++) {
        CHECK_EQ(s.by_size[i].size, gh_class_to_size[i]);
        bytes += s.by_size[i].size * s.by_size[i].mallocs;
        n += s.by_size[i].mallocs;
        frees += s.by_size[i].frees;
    }
    const uint64_t tiny = s.mallocs - n;  // merged requests are in no class
    CHECK_EQ(bytes, s.total_alloc);
    CHECK_EQ(frees + f->h->stats.large_free_count + tiny, s.frees);
    // What spans and bitmaps say. While sweeping is unfinished both still
    // count what is dead.
    gh_memstats slow;
    gh_stats_slow(f->m, &slow);
    CHECK_EQ(slow.alloc, s.alloc);
    CHECK_EQ(slow.heap_objects, s.heap_objects);
    CHECK_EQ(slow.heap_inuse, s.heap_inuse);
    CHECK_EQ(slow.frees, s.frees);
    for (unsigned i = 0; i < 61; i++) {
        CHECK_EQ(slow.by_size[i].frees, s.by_size[i].frees);
    }
    uint64_t walked = base_live;
    gh_sweep_all(f->m);
    gh_stats(f->m, &s);
    gh_walk_objects(f->h, count_object, &walked);
    CHECK_EQ(walked, s.heap_alloc);
}

static void
test_sums(int procs, bool eager, uint64_t base_live)
{
    fixture f;
    setup(&f, procs, eager, GH_LIMIT_OFF, base_live);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&f);
        if (i % 37 == 0) {
            check_sums(&f, base_live);
        }
    }
    teardown(&f);
}

// [alloc:68] Consistent counters know nothing of ten objects in an mcache; MemStats
// does.
static void
test_late_counters(void)
{
    fixture f;
    setup(&f, 1, true, GH_LIMIT_OFF, 0);
    gh_counts c;
    gh_memstats s;
    for (unsigned i = 0; i < 10; i++) {
        CHECK(gh_alloc(f.m, gh_slots_at(f.b, i), 100) == GH_OK);
    }
    gh_counts_get(f.h, &c);
    CHECK_EQ(c.small_alloc[9], 0);
    CHECK_EQ(c.objects[19], 10);
    gh_stats(f.m, &s);
    CHECK_EQ(s.total_alloc, 1120);
    CHECK_EQ(s.by_size[9].mallocs, 10);
    gh_counts_get(f.h, &c);
    CHECK_EQ(c.small_alloc[9], 0);
    gh_read_mem_stats(f.m, &s);
    gh_counts_get(f.h, &c);
    CHECK_EQ(c.small_alloc[9], 10);
    CHECK_EQ(s.total_alloc, 1120);
    teardown(&f);
}

// [alloc:72] One mcache for each P, given back when the P ends.
static void
test_mcache_inuse(void)
{
    fixture f;
    setup(&f, 1, true, GH_LIMIT_OFF, 0);
    gh_memstats one, s;
    gh_stats(f.m, &one);
    CHECK(one.mcache_inuse >= sizeof(gh_mcache));
    for (int32_t n = 1; n <= 16; n *= 2) {
        CHECK(gh_set_procs(f.m, n) == GH_OK);
        gh_stats(f.m, &s);
        CHECK_EQ(s.mcache_inuse, one.mcache_inuse * (uint64_t)n);
        CHECK(s.mcache_sys >= s.mcache_inuse);
    }
    CHECK(gh_set_procs(f.m, 1) == GH_OK);
    gh_stats(f.m, &s);
    CHECK_EQ(s.mcache_inuse, one.mcache_inuse);
    teardown(&f);
}

int
main(void)
{
    for (unsigned eager = 0; eager < 2; eager++) {
        test_pure(1, eager, GH_LIMIT_OFF);
        test_pure(3, eager, 16 << 20);
        test_twin(1, eager, 16 << 20);
        test_twin(3, eager, GH_LIMIT_OFF);
        test_sums(2, eager, 0);
        test_sums(1, eager, 3 << 20);
    }
    test_late_counters();
    test_mcache_inuse();
    return 0;
}

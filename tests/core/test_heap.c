// test_heap.c: a whole heap through goheap.h: allocation, roots, collection,
// figures, ends. [alloc:...] are vectors of Go 1.26.8's behaviour, see
// csrc/design/vectors.md.

#include <string.h>

#include "check.h"
#include "goheap.h"
#include "mem.h"

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static gh_heap *
new_heap(int gogc)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = gogc;
    gh_heap *h;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    return h;
}

static void
end(gh_heap *h, gh_mut *m)
{
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    gh_leave(m);
    gh_heap_free(h);
}

static uint64_t
alloc(gh_mut *m, gh_slots *b, size_t i, uint64_t size)
{
    CHECK(gh_alloc(m, gh_slots_at(b, i), size) == GH_OK);
    return gh_addr(gh_mut_heap(m), gh_slots_at(b, i));
}

// The worked example of an empty heap; where it begins [alloc:P28].
static void
test_first_objects(void)
{
    gh_heap *h = new_heap(-1);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 16, &b) == GH_OK);
    CHECK_EQ(alloc(m, b, 0, 100), 0xc000000000);
    CHECK_EQ(gh_heap_live(h), 8192);
    CHECK_EQ(alloc(m, b, 1, 500), 0xc000002000);
    CHECK_EQ(gh_heap_live(h), 16384);
    CHECK_EQ(alloc(m, b, 2, 3200), 0xc000004000);
    CHECK_EQ(alloc(m, b, 3, 1 << 20), 0xc000080000);
    gh_pacer_stats p;
    gh_pacer_get(h, &p);
    CHECK_EQ(p.total_alloc, 1 << 20);
    CHECK_EQ(p.heap_inuse, 8192 * 132);
    gh_memstats s, t;
    gh_stats(m, &s);
    gh_read_mem_stats(m, &t);
    CHECK(memcmp(&s, &t, sizeof(s)) == 0);
    CHECK_EQ(t.mallocs, 4);
    CHECK_EQ(t.total_alloc, 112 + 512 + 3200 + (1 << 20));
    CHECK_EQ(t.heap_inuse, 8192 * 132);
    CHECK_EQ(t.heap_sys, 4 << 20);
    CHECK_EQ(t.heap_idle, (4 << 20) - 8192 * 132);
    CHECK_EQ(t.heap_released, t.heap_idle);
    // The flush gives free slots back, and not what a span loses at its end.
    CHECK_EQ(gh_heap_live(h), 240 + 1024 + 3584 + (1 << 20));
    CHECK_EQ(alloc(m, b, 4, 0), alloc(m, b, 5, 0));
    gh_slots_free(b);
    end(h, m);
}

static void
test_list_and_tree(void)
{
    gh_heap *h = new_heap(100);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    const uint64_t mask[1] = {3};
    const gh_type_desc d = {.name = "node", .size = 64, .align = 8,
                            .ptrdata = 16, .mask = mask};
    const gh_type *t;
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 4, &b) == GH_OK);
    gh_slot *head = gh_slots_at(b, 0), *next = gh_slots_at(b, 1);
    enum { N = 300000 };
    for (int i = 0; i < N; i++) {
        CHECK(gh_new(m, next, t, 1) == GH_OK);
        CHECK(gh_store(m, next, 0, head) == GH_OK);
        CHECK(gh_store(m, next, 1, next) == GH_OK);
        CHECK(gh_store(m, next, 2, head) == GH_ERR_INVAL);
        gh_set(m, head, next);
    }
    CHECK(gh_cycles(h) > 2);
    gh_clear(m, next);
    CHECK(gh_gc(m) == GH_OK);
    gh_cycle c;
    CHECK(gh_cycle_get(h, gh_cycles(h) - 1, &c) == GH_OK);
    CHECK(c.forced);
    CHECK_EQ(c.heap_marked, N * 64);
    CHECK_EQ(c.scan_work, N * 16);
    // Cut the list in the middle.
    gh_set(m, next, head);
    for (int i = 0; i < N / 2; i++) {
        CHECK(gh_load(m, next, next, 0) == GH_OK);
    }
    CHECK(gh_store(m, next, 0, NULL) == GH_OK);
    gh_clear(m, next);
    CHECK(gh_gc(m) == GH_OK);
    CHECK(gh_cycle_get(h, gh_cycles(h) - 1, &c) == GH_OK);
    CHECK_EQ(c.heap_marked, (N / 2 + 1) * 64);
    gh_clear(m, head);
    CHECK(gh_gc(m) == GH_OK);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK_EQ(s.heap_objects, 0);
    CHECK_EQ(s.heap_inuse, 0);
    gh_slots_free(b);
    end(h, m);
}

// [alloc:59] Sweeping frees slots 1,3 of span 0, 1,3 of span 1, 0 and 2 of span 2; they
// are handed out in that order.
static void
test_reuse_order(bool eager)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.policy.eager_sweep = eager;
    gh_heap *h;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 32, &b) == GH_OK);
    uint64_t at[13];
    for (unsigned i = 0; i < 13; i++) {
        at[i] = alloc(m, b, i, 3200);
    }
    const unsigned drop[] = {1, 3, 6, 8, 10, 12};
    for (unsigned i = 0; i < 6; i++) {
        gh_clear(m, gh_slots_at(b, drop[i]));
    }
    gh_memstats s;
    gh_read_mem_stats(m, &s);
    CHECK(gh_gc(m) == GH_OK);
    gh_stats(m, &s);
    CHECK_EQ(s.by_size[42].frees, 6);
    for (unsigned i = 0; i < 6; i++) {
        CHECK_EQ(alloc(m, b, 16 + i, 3200), at[drop[i]]);
    }
    gh_slots_free(b);
    end(h, m);
}

// [alloc:64] A hole of 1 MiB is refilled first fit, and split.
static void
test_large_holes(void)
{
    gh_heap *h = new_heap(-1);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 8, &b) == GH_OK);
    (void)alloc(m, b, 0, 1 << 20);
    const uint64_t middle = alloc(m, b, 1, 1 << 20);
    const uint64_t third = alloc(m, b, 2, 1 << 20);
    memset(gh_data(gh_slots_at(b, 1)), 0xaa, 1 << 20);
    gh_clear(m, gh_slots_at(b, 1));
    CHECK(gh_gc(m) == GH_OK);
    CHECK_EQ(alloc(m, b, 3, 512 << 10), middle);
    CHECK_EQ(alloc(m, b, 4, 600 << 10), third + (1 << 20));
    CHECK_EQ(alloc(m, b, 5, 400 << 10), middle + (512 << 10));
    const char *p = gh_data(gh_slots_at(b, 5));
    for (int i = 0; i < 400 << 10; i++) {
        CHECK(p[i] == 0);
    }
    CHECK(gh_free_os_memory(m) == GH_OK);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK_EQ(s.heap_released, s.heap_idle);
    gh_slots_free(b);
    end(h, m);
}

// [alloc:65] 70 MiB on a heap of 4: growth is not lessened by the free tail.
static void
test_growth(void)
{
    gh_heap *h = new_heap(-1);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 8, &b) == GH_OK);
    (void)alloc(m, b, 0, 1000);
    // Behind what is used, beyond the 64 pages that the P has taken.
    const uint64_t used = alloc(m, b, 2, 1 << 20) + (1 << 20);
    gh_memstats s, t;
    gh_stats(m, &s);
    CHECK_EQ(s.heap_sys, 4 << 20);
    CHECK_EQ(alloc(m, b, 1, 70 << 20), used);
    gh_clear(m, gh_slots_at(b, 2));
    gh_stats(m, &t);
    CHECK_EQ(t.heap_sys - s.heap_sys, 72 << 20);
    CHECK_EQ(t.heap_released - s.heap_released, 256 * 8192);
    CHECK_EQ(t.heap_inuse - s.heap_inuse, 8960 * 8192);
    CHECK(gh_alloc(m, gh_slots_at(b, 2), (uint64_t)1 << 45) == GH_ERR_NOMEM);
    CHECK(gh_alloc(m, gh_slots_at(b, 2), UINT64_MAX) == GH_ERR_NOMEM);
    CHECK_EQ(gh_slots_at(b, 2)->word, 0);
    gh_slots_free(b);
    end(h, m);
}

// [alloc:36,38-40,42,44-47]
static void
test_tiny(void)
{
    static const struct {
        unsigned n, size[8], block[8], off[8], tiny;
    } rows[] = {
        {4, {1, 2, 3, 8}, {0, 0, 0, 0}, {0, 2, 4, 8}, 3},
        {3, {12, 8, 3}, {0, 1, 1}, {0, 0, 8}, 1},
        {3, {5, 12, 4}, {0, 1, 0}, {0, 0, 8}, 1},
        {3, {8, 8, 8}, {0, 0, 1}, {0, 8, 0}, 1},
        {3, {15, 1, 1}, {0, 0, 1}, {0, 15, 0}, 1},
        {3, {10, 4, 2}, {0, 0, 1}, {0, 12, 0}, 1},
        {5, {3, 4, 4, 4, 4}, {0, 0, 0, 0, 1}, {0, 4, 8, 12, 0}, 3},
        {2, {16, 1}, {0, 1}, {0, 0}, 0},
        {4, {2, 15, 14, 13}, {0, 1, 0, 2}, {0, 0, 2, 0}, 1},
    };
    gh_heap *h = new_heap(-1);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 8, &b) == GH_OK);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        gh_memstats before, after;
        gh_read_mem_stats(m, &before);
        uint64_t first = 0;
        for (unsigned i = 0; i < rows[r].n; i++) {
            const uint64_t at = alloc(m, b, i, rows[r].size[i]);
            first = i == 0 ? at : first;
            CHECK_EQ(at - first, rows[r].block[i] * 16 + rows[r].off[i]);
            gh_object o;
            CHECK(gh_object_at(h, gh_slots_at(b, i), &o) == GH_OK);
            CHECK_EQ(o.addr, at);
            CHECK_EQ(o.size, rows[r].size[i]);
        }
        gh_read_mem_stats(m, &after);
        CHECK_EQ(after.mallocs - before.mallocs, rows[r].n);
        CHECK_EQ(after.frees - before.frees, rows[r].tiny);
    }
    gh_slots_free(b);
    end(h, m);
}

// A buffer outlives its heap; what is not shown goes back.
static void
test_pins(void)
{
    gh_heap *h = new_heap(-1);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 2, &b) == GH_OK);
    (void)alloc(m, b, 0, 5000);
    memset(gh_data(gh_slots_at(b, 0)), 7, 5000);
    gh_pin *pin;
    CHECK(gh_pin_new(m, gh_slots_at(b, 0), &pin) == GH_OK);
    gh_clear(m, gh_slots_at(b, 0));
    CHECK(gh_gc(m) == GH_OK);
    gh_slots_free(b);
    end(h, m);
    CHECK(((const char *)gh_pin_data(pin))[4999] == 7);
    gh_pin_free(pin);
}

// Every OS call fails once: a clear status, the heap verifies, nothing stays.
static void
test_faults(bool huge_pages)
{
    for (uint64_t n = 0;; n++) {
        gh_mem_fault f = {.fail_from = n, .fail_count = 1};
        gh_options o;
        gh_options_init(&o);
        o.mem_ops = gh_mem_fault_ops();
        o.mem_ctx = &f;
        o.address_space = (uint64_t)1 << 30;
        o.huge_pages = huge_pages;
        gh_heap *h;
        gh_status st = gh_heap_new(&o, &h);
        if (st == GH_OK) {
            gh_mut *m;
            CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
            gh_slots *b;
            CHECK(gh_slots_new(h, 64, &b) == GH_OK);
            for (unsigned i = 0; i < 400; i++) {
                gh_slot *slot = gh_slots_at(b, i % 64);
                const uintptr_t old = slot->word;
                st = gh_alloc(m, slot, i * 997 % 200000);
                CHECK(st == GH_OK || (st == GH_ERR_NOMEM && slot->word == old));
            }
            st = gh_gc(m);
            CHECK(st == GH_OK || st == GH_ERR_NOMEM);
            st = gh_free_os_memory(m);
            CHECK(st == GH_OK || st == GH_ERR_NOMEM);
            gh_slots_free(b);
            CHECK(huge_pages == (gh_huge_pages(h) != GH_HUGE_OFF));
            end(h, m);
        } else {
            CHECK(st == GH_ERR_NOMEM);
        }
        CHECK_EQ(f.bytes, 0);
        if (f.failed == 0) {
            break;
        }
    }
}

// A heap whose huge pages are refused at its n-th growth says so, and has the same
// objects at the same addresses and the same figures as any other.
static gh_huge_state
grow_with(const gh_mem_ops *ops, bool huge_pages, uint64_t addr[6],
          gh_memstats *ms)
{
    gh_mem_fault f = {0};
    gh_options o;
    gh_options_init(&o);
    o.mem_ops = ops;
    o.mem_ctx = &f;
    o.address_space = (uint64_t)1 << 30;
    o.huge_pages = huge_pages;
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_slots_new(h, 6, &b) == GH_OK);
    for (unsigned i = 0; i < 6; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), (uint64_t)3 << 20) == GH_OK);
        addr[i] = gh_addr(h, gh_slots_at(b, i));
        memset(gh_data(gh_slots_at(b, i)), 1, 3 << 20);
    }
    gh_stats(m, ms);
    const gh_huge_state state = gh_huge_pages(h);
    gh_slots_free(b);
    end(h, m);
    return state;
}

static unsigned huge_calls, huge_refused_from;

static int
some_huge(void *ctx, void *v, size_t n)
{
    (void)ctx;
    CHECK_EQ((uintptr_t)v % GH_PHYS_HUGE_SIZE, 0);
    CHECK_EQ(n % GH_PHYS_HUGE_SIZE, 0);
    return huge_calls++ < huge_refused_from ? 0 : 1;
}

static void
test_huge_pages(void)
{
    uint64_t want[6], got[6];
    static gh_memstats plain, ms;
    gh_mem_ops ops = *gh_mem_fault_ops();
    ops.huge = some_huge;
    CHECK(grow_with(&ops, false, want, &plain) == GH_HUGE_OFF);
    CHECK_EQ(huge_calls, 0);
    for (unsigned n = 0; n < 6; n++) {
        huge_calls = 0;
        huge_refused_from = n;
        CHECK(grow_with(&ops, true, got, &ms)
              == (n < huge_calls ? GH_HUGE_REFUSED : GH_HUGE_ON));
        CHECK(huge_calls >= 2);
        CHECK(memcmp(want, got, sizeof(got)) == 0);
        CHECK_EQ(ms.heap_sys, plain.heap_sys);
        CHECK_EQ(ms.heap_released, plain.heap_released);
        CHECK_EQ(ms.sys, plain.sys);
    }
    ops.huge = NULL;  // a table of before there were any
    CHECK(grow_with(&ops, true, got, &ms) == GH_HUGE_REFUSED);
}

int
main(void)
{
    test_first_objects();
    test_list_and_tree();
    test_reuse_order(true);
    test_reuse_order(false);
    test_large_holes();
    test_growth();
    test_tiny();
    test_pins();
    test_faults(false);
    test_faults(true);
    test_huge_pages();
    return 0;
}

// test_mgcsweep.c: who sweeps a span, when, and what becomes of it. [gc:...] and
// [alloc:...] are vectors of Go 1.26.8's behaviour, see csrc/design/vectors.md.

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap_fixture.h"
#include "mcentral.h"
#include "mgc.h"
#include "mgcsweep.h"
#include "mheap.h"

static void
drop(fixture *f, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        gh_clear(f->m, gh_slots_at(f->b, i));
    }
}

static void
cycle(fixture *f)
{
    CHECK(gh_gc_cycle(f->m, true) == GH_OK);
}

static uint64_t
gen(fixture *f, const gh_mspan *s)
{
    return s->sweepgen - f->h->sweepgen;
}

#define MINUS(n) ((uint32_t)-(n))

// The generations of a span on its way through two lazy cycles.
static void
test_generations(void)
{
    fixture f;
    setup(&f, false);
    (void)alloc(&f, 0, 3200);
    (void)alloc(&f, 1, 100000);
    gh_mspan *small = span(&f, 0), *large = span(&f, 1);
    CHECK_EQ(gen(&f, small), 3);
    CHECK_EQ(gen(&f, large), 0);
    gh_flush_p(f.m, GH_ANY_P);
    CHECK_EQ(gen(&f, small), 0);
    for (unsigned round = 0; round < 2; round++) {
        cycle(&f);
        CHECK_EQ((uint32_t)gen(&f, small), MINUS(2));
        CHECK_EQ((uint32_t)gen(&f, large), MINUS(2));
        gh_ensure_swept(f.h, small);
        CHECK_EQ(gen(&f, small), 0);
        CHECK(small->set
              == gh_mcentral_partial_swept(f.h, &f.h->central[85]));
        gh_ensure_swept(f.h, small);  // swept: nothing to do
        CHECK_EQ((uint32_t)gen(&f, large), MINUS(2));
        // The next cycle's termination sweeps the rest.
    }
    gh_sweep_all(f.m);
    CHECK_EQ(gen(&f, large), 0);
    CHECK(f.h->sweep_drained);
    CHECK_EQ(gh_sweepone(f.h), GH_SWEEP_NOTHING);
    teardown(&f);
}

// sweepone: span classes in order, of each the full spans first, first in
// first out. It returns the pages that came free.
static void
test_order(void)
{
    fixture f;
    setup(&f, false);
    // Class 85 (5 slots): two full spans and a part of a third; 53: a partial
    // one; 1: two large.
    for (unsigned i = 0; i < 12; i++) {
        (void)alloc(&f, i, 3200);
    }
    (void)alloc(&f, 20, 512);
    (void)alloc(&f, 21, 40960);
    (void)alloc(&f, 22, 40000);
    gh_flush_p(f.m, GH_ANY_P);
    const gh_mspan *want[] = {span(&f, 21), span(&f, 22), span(&f, 20),
                              span(&f, 0),  span(&f, 5),  span(&f, 10)};
    static const uint64_t freed[] = {0, 5, 0, 0, 2, 0};
    drop(&f, 22, 23);
    drop(&f, 5, 10);
    const uint64_t inuse = gh_heap_inuse(f.h);
    const uint64_t total_free = f.h->gcc.total_free;
    cycle(&f);
    CHECK_EQ(gh_heap_inuse(f.h), inuse);
    uint64_t pages = 0;
    for (unsigned i = 0; i < 6; i++) {
        CHECK_EQ((uint32_t)gen(&f, want[i]), MINUS(2));
        CHECK_EQ(gh_sweepone(f.h), freed[i]);
        CHECK_EQ(gen(&f, want[i]), 0);
        CHECK_EQ(want[i]->state,
                 freed[i] == 0 ? GH_SPAN_IN_USE : GH_SPAN_DEAD);
        pages += freed[i];
        CHECK_EQ(f.h->reclaim_credit, pages);
        CHECK_EQ(gh_heap_inuse(f.h), inuse - pages * 8192);
    }
    CHECK_EQ(gh_sweepone(f.h), GH_SWEEP_NOTHING);
    CHECK_EQ(f.h->pages_swept, 5 + 5 + 1 + 3 * 2);
    CHECK_EQ(f.h->gcc.total_free - total_free, 5 * 8192 + 5 * 3200);
    CHECK_EQ(f.h->stats.large_free, 5 * 8192);
    CHECK_EQ(f.h->stats.large_free_count, 1);
    CHECK_EQ(f.h->stats.small_free_count[42], 5);
    gh_cycle c;
    CHECK(gh_cycle_get(f.h, 0, &c) == GH_OK);
    CHECK_EQ(c.swept_bytes, 5 * 8192 + 5 * 3200);
    // It stays with the cycle when the next one has swept on its own.
    drop(&f, 21, 22);
    cycle(&f);
    gh_sweep_all(f.m);
    CHECK(gh_cycle_get(f.h, 0, &c) == GH_OK);
    CHECK_EQ(c.swept_bytes, 5 * 8192 + 5 * 3200);
    CHECK(gh_cycle_get(f.h, 1, &c) == GH_OK);
    CHECK_EQ(c.swept_bytes, 5 * 8192);
    teardown(&f);
}

// With eager_sweep nothing is left to sweep when the cycle ends.
static void
test_eager(void)
{
    fixture f;
    setup(&f, true);
    for (unsigned i = 0; i < 100; i++) {
        (void)alloc(&f, i, 8192);
    }
    drop(&f, 0, 90);
    cycle(&f);
    CHECK(f.h->sweep_drained);
    CHECK_EQ(f.h->pages_in_use, 10);
    CHECK_EQ(f.h->sweep_pages_per_byte == 0, true);
    gh_cycle c;
    CHECK(gh_cycle_get(f.h, 0, &c) == GH_OK);
    CHECK_EQ(c.swept_bytes, 90 * 8192);
    CHECK_EQ(c.heap_inuse, 10 * 8192);
    teardown(&f);
}

// [gc:86] The price of sweeping, and what a new span so has to sweep.
static void
test_debt(void)
{
    fixture f;
    setup(&f, false);
    for (unsigned i = 0; i < 100; i++) {
        (void)alloc(&f, i, 8192);
    }
    cycle(&f);
    gh_heap *h = f.h;
    const uint64_t in_use = h->pages_in_use, live = h->gcc.heap_live;
    CHECK_EQ(h->pages_swept, 1);  // the cached one
    h->pages_in_use = 2560 + 1;
    h->gcc.heap_live = 10 << 20;
    gh_gc_pace_sweeper(h, 20480000);
    CHECK(h->sweep_pages_per_byte == 2.861721611721612e-4);
    CHECK_EQ(h->sweep_heap_live_basis, 10 << 20);
    gh_deduct_sweep_credit(f.m, 8192, 0);
    CHECK_EQ(h->pages_swept, 1 + 2);
    gh_deduct_sweep_credit(f.m, 8192, 0);  // paid already
    CHECK_EQ(h->pages_swept, 1 + 2);
    gh_deduct_sweep_credit(f.m, 65536, 0);
    CHECK_EQ(h->pages_swept, 1 + 18);
    h->gcc.heap_live += 65536;           // 131072 bytes since the cycle: 37
    gh_deduct_sweep_credit(f.m, 65536, 8); // the caller frees 8 pages itself
    CHECK_EQ(h->pages_swept, 1 + 37 - 8);
    // More than there is: the debt is off.
    gh_deduct_sweep_credit(f.m, 10 << 20, 0);
    CHECK(h->sweep_pages_per_byte == 0);
    CHECK(h->sweep_drained);
    h->pages_in_use = in_use;
    h->gcc.heap_live = live;
    // A trigger that is near: the least distance is a page.
    h->sweep_drained = false;
    h->pages_swept = 0;
    gh_gc_pace_sweeper(h, live + (1 << 20) + 8191);
    CHECK(h->sweep_pages_per_byte == (double)in_use / 8192);
    gh_gc_pace_sweeper(h, live + (1 << 20) + 16384);
    CHECK(h->sweep_pages_per_byte == (double)in_use / 16384);
    h->pages_swept = in_use;
    gh_gc_pace_sweeper(h, live + (1 << 20));
    CHECK(h->sweep_pages_per_byte == 0);
    teardown(&f);
}

// A refill sweeps spans of its own class until one has room, and leaves other
// classes alone.
static void
test_lazy_refill(void)
{
    fixture f;
    setup(&f, false);
    for (unsigned i = 0; i < 15; i++) {
        (void)alloc(&f, i, 3200);
        (void)alloc(&f, 20 + i, 1024);
    }
    gh_mspan *first = span(&f, 0), *second = span(&f, 5);
    gh_mspan *third = span(&f, 10), *other = span(&f, 20);
    gh_flush_p(f.m, GH_ANY_P);
    drop(&f, 7, 8);
    drop(&f, 12, 13);
    drop(&f, 20, 28);
    cycle(&f);
    f.h->sweep_pages_per_byte = 0;
    (void)alloc(&f, 7, 3200);
    CHECK(span(&f, 7) == second);
    CHECK_EQ(gen(&f, first), 0);
    CHECK_EQ(gen(&f, second), 3);
    CHECK_EQ((uint32_t)gen(&f, third), MINUS(2));
    CHECK_EQ((uint32_t)gen(&f, other), MINUS(2));
    CHECK_EQ(f.h->stats.small_free_count[42], 1);
    teardown(&f);
}

// Before the heap grows for a new span, unmarked spans of any class are swept
// for their pages.
static void
test_reclaim(void)
{
    fixture f;
    setup(&f, false);
    for (unsigned i = 0; i < 512; i++) {
        (void)alloc(&f, i, 8192);
    }
    gh_memstats before, after;
    gh_stats(f.m, &before);
    CHECK_EQ(before.heap_sys, 4 << 20);
    CHECK_EQ(before.heap_inuse, 4 << 20);
    const uint64_t at = gh_addr(f.h, gh_slots_at(f.b, 100));
    gh_mspan *kept = span(&f, 0);
    drop(&f, 100, 400);
    gh_flush_p(f.m, GH_ANY_P);
    cycle(&f);
    CHECK_EQ(gh_heap_inuse(f.h), 4 << 20);
    f.h->sweep_pages_per_byte = 0;
    CHECK_EQ(alloc(&f, 600, 100 * 8192), at);
    gh_stats(f.m, &after);
    CHECK_EQ(after.heap_sys, before.heap_sys);
    // A marked span was not worth a look.
    CHECK_EQ((uint32_t)gen(&f, kept), MINUS(2));
    CHECK_EQ(f.h->reclaim_credit, 200);
    CHECK_EQ(f.h->reclaim_index, 512);  // a chunk at a time [gc:72]
    // Credit is spent before the next chunk is looked at.
    const uint64_t index = f.h->reclaim_index;
    CHECK_EQ(alloc(&f, 601, 150 * 8192), at + 100 * 8192);
    CHECK_EQ(f.h->reclaim_credit, 50);
    CHECK_EQ(f.h->reclaim_index, index);
    // Nothing more to be had: it grows.
    CHECK_EQ(alloc(&f, 602, 100 * 8192), GH_ADDR_BASE + (4 << 20));
    teardown(&f);
}

// [alloc:76] [gc:102] What the reclaimer takes for a page without marks.
static void
test_page_marks(gh_marker marker)
{
    enum { N = 12 };
    static const struct {
        uint64_t size;
        bool scan, marked;
    } rows[] = {
        {704, false, true}, {696, true, true},  {100000, false, true},
        {100000, true, true}, {8, true, true},  {320, true, true},
        {416, false, false}, {352, true, false}, {64, false, false},
        {1024, false, true},
    };
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.policy.eager_sweep = false;
    o.policy.marker = marker;
    fixture f;
    setup_with(&f, &o);
    const uint64_t one = 1;
    const gh_type_desc d = {.size = 8, .align = 8, .ptrdata = 8, .mask = &one};
    const gh_type *t;
    CHECK(gh_type_new(f.m, &d, &t) == GH_OK);
    gh_mspan *s[sizeof(rows) / sizeof(rows[0])];
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        // One object of 352 bytes lives, and a dozen of the others.
        const unsigned n = rows[i].size == 352 ? 1 : N;
        for (unsigned k = 0; k < n; k++) {
            gh_slot *x = gh_slots_at(f.b, i * N + k);
            CHECK((rows[i].scan ? gh_new(f.m, x, t, rows[i].size / 8)
                                : gh_alloc(f.m, x, rows[i].size)) == GH_OK);
        }
        s[i] = span(&f, i * N);
    }
    gh_flush_p(f.m, GH_ANY_P);
    cycle(&f);
    gh_mheap_reclaim(f.h, UINT64_MAX);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ((uint32_t)gen(&f, s[i]), rows[i].marked ? MINUS(2) : 0);
        CHECK_EQ(s[i]->alloc_count > 0, true);
    }
    // A list: its nodes turn grey one by one, so the span is never scanned whole.
    if (marker == GH_MARKER_GREENTEA) {
        gh_slot *head = gh_slots_at(f.b, 1000), *next = gh_slots_at(f.b, 1001);
        for (unsigned i = 0; i < 20; i++) {
            CHECK(gh_new(f.m, next, t, 256 / 8) == GH_OK);
            CHECK(gh_store(f.m, next, 0, head) == GH_OK);
            gh_set(f.m, head, next);
        }
        gh_clear(f.m, next);
        const gh_mspan *list = span(&f, 1000);
        gh_flush_p(f.m, GH_ANY_P);
        cycle(&f);
        gh_mheap_reclaim(f.h, UINT64_MAX);
        CHECK_EQ(gen(&f, list), 0);
        CHECK_EQ(list->alloc_count, 20);
    }
    teardown(&f);
}

// The dead weight is swept and paid for with the rest: large pieces in the
// first two classes, pages one by one, the last of them behind all others.
static void
test_dead_weight(void)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.policy.eager_sweep = false;
    o.base_live = 276 * 8192;
    fixture f;
    setup_with(&f, &o);
    (void)alloc(&f, 0, 100000);
    (void)alloc(&f, 1, 3200);
    gh_flush_p(f.m, GH_ANY_P);
    cycle(&f);
    // What it costs: all pages over the least distance.
    f.h->sweep_drained = false;
    gh_gc_pace_sweeper(f.h, 0);
    CHECK(f.h->sweep_pages_per_byte == (276 + 13 + 2) / 8192.0);
    static const uint64_t pages[] = {64, 20, 97, 13};  // large: 181
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t before = f.h->pages_swept;
        CHECK_EQ(gh_sweepone(f.h), 0);
        CHECK_EQ(f.h->pages_swept - before, pages[i]);
    }
    CHECK_EQ(gen(&f, span(&f, 0)), 0);
    for (unsigned i = 0; i < 95 - 18; i++) {
        CHECK_EQ(gh_sweepone(f.h), 0);
    }
    CHECK_EQ(f.h->pages_swept, 181 + 13 + 95 - 18);
    CHECK_EQ((uint32_t)gen(&f, span(&f, 1)), MINUS(2));
    gh_sweep_some(f.m, 1);
    CHECK_EQ(gen(&f, span(&f, 1)), 0);
    CHECK(!f.h->sweep_drained);
    gh_sweep_some(f.m, 5);
    CHECK(f.h->sweep_drained);
    CHECK_EQ(f.h->pages_swept, 276 + 13 + 2);
    teardown(&f);
}

// A slot that is marked and was never allocated: the runtime stops there.
static void
sweep_a_zombie(void)
{
    fixture f;
    setup(&f, false);
    (void)alloc(&f, 0, 3200);
    gh_mspan *s = span(&f, 0);
    gh_flush_p(f.m, GH_ANY_P);
    cycle(&f);
    gh_mspan_mark_bits(&f.h->bm, s)[0] |= 4;
    s->alloc_count = 2;
    gh_sweep_all(f.m);
}

static void
test_zombie(void)
{
    int fd[2];
    CHECK(pipe(fd) == 0);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(fd[1], 2);
        sweep_a_zombie();
        _exit(0);
    }
    close(fd[1]);
    char text[256] = "";
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd[0], text + n, sizeof(text) - 1 - n)) > 0) {
        n += (size_t)got;
    }
    close(fd[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status)));
    CHECK(strstr(text, "fatal error: found pointer to free object") != NULL);
}

int
main(void)
{
    test_generations();
    test_order();
    test_eager();
    test_debt();
    test_lazy_refill();
    test_reclaim();
    test_page_marks(GH_MARKER_OBJECTS);
    test_page_marks(GH_MARKER_GREENTEA);
    test_dead_weight();
    test_zombie();
    return 0;
}

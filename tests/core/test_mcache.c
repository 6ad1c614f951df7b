// test_mcache.c: refill, flush, large objects, the tiny block, and what each
// does to the accounts. [alloc:...] and [gc:...] are vectors of Go
// 1.26.8's behaviour, see csrc/design/vectors.md.

#include <string.h>

#include "heap_fixture.h"
#include "malloc.h"
#include "mcache.h"
#include "mcentral.h"
#include "mgcsweep.h"

static gh_mspan *
cached(fixture *f, uint8_t spc)
{
    return f->m->mcache.alloc[spc];
}

static void
flush(fixture *f)
{
    gh_flush_p(f->m, GH_ANY_P);
}

// [alloc:50] With one slot a span, every allocation is a refill.
static void
test_one_slot_spans(void)
{
    fixture f;
    setup(&f, true);
    for (unsigned i = 0; i < 20; i++) {
        const uint64_t live = gh_heap_live(f.h), inuse = gh_heap_inuse(f.h);
        (void)alloc(&f, i, 8192);
        CHECK_EQ(gh_heap_live(f.h) - live, 8192);
        CHECK_EQ(gh_heap_inuse(f.h) - inuse, 8192);
        CHECK_EQ(cached(&f, 103)->nelems, 1);
    }
    teardown(&f);
}

// [alloc:51-54] 12 objects of 3200 bytes, five a span of two pages.
static void
test_three_spans(void)
{
    fixture f;
    setup(&f, true);
    gh_gc_controller *c = &f.h->gcc;
    for (unsigned i = 0; i < 12; i++) {
        const uint64_t live = c->heap_live, total = c->total_alloc;
        const uint64_t counted = f.h->stats.small_alloc_count[42];
        (void)alloc(&f, i, 3200);
        const gh_mspan *s = cached(&f, 85);
        unsigned index = 99;
        CHECK(gh_find_object(f.h, gh_slots_at(f.b, i)->word, &index) == s);
        CHECK_EQ(index, i % 5);
        CHECK_EQ(c->heap_live - live, i % 5 == 0 ? 16384 : 0);
        CHECK_EQ(c->total_alloc - total, i == 5 || i == 10 ? 16000 : 0);
        CHECK_EQ(f.h->stats.small_alloc_count[42] - counted,
                 i == 5 || i == 10 ? 5 : 0);
        // 52
        CHECK_EQ(s->sweepgen, f.h->sweepgen + 3);
        CHECK_EQ(s->free_index, i % 5 + 1);
        CHECK_EQ(s->alloc_count, i % 5 + 1);
        CHECK_EQ(s->alloc_cache, ~(uint64_t)0 >> (i % 5 + 1));
        CHECK_EQ(s->needzero, 0);  // [alloc:58]
        CHECK_EQ((uint64_t)s->cached_by, 0);
    }
    // 53
    gh_mspan *third = cached(&f, 85);
    gh_memstats s;
    gh_read_mem_stats(f.m, &s);
    CHECK_EQ(s.by_size[42].mallocs, 12);
    CHECK_EQ(c->total_alloc, 12 * 3200);
    gh_mcentral *mc = &f.h->central[85];
    CHECK_EQ(gh_mcentral_partial_swept(f.h, mc)->len, 1);
    CHECK_EQ(gh_mcentral_full_swept(f.h, mc)->len, 2);
    CHECK(cached(&f, 85) == &f.h->empty_mspan);
    CHECK_EQ(third->sweepgen, f.h->sweepgen);
    CHECK_EQ((uint64_t)third->cached_by, (uint64_t)-1);
    // 54
    (void)alloc(&f, 12, 3200);
    CHECK(cached(&f, 85) == third);
    CHECK_EQ(third->free_index, 3);
    CHECK_EQ(third->alloc_count, 3);
    CHECK_EQ(third->alloc_count_before_cache, 2);
    CHECK_EQ(gh_mcentral_partial_swept(f.h, mc)->len, 0);
    teardown(&f);
}

// [alloc:55,56] [gc:89] Caching counts a span's pages, a flush gives back its free
// slots; the span's overhead is counted again each time.
static void
test_flush_quirk(void)
{
    fixture f;
    setup(&f, true);
    for (unsigned i = 0; i < 8; i++) {
        const uint64_t live = gh_heap_live(f.h);
        (void)alloc(&f, i, 512);
        CHECK_EQ(gh_heap_live(f.h) - live, 8192 - i * 512);
        gh_memstats s;
        gh_read_mem_stats(f.m, &s);
        CHECK_EQ(gh_heap_live(f.h) - live, 1024);
    }
    const uint64_t live = gh_heap_live(f.h);
    (void)alloc(&f, 8, 1408);
    flush(&f);
    CHECK_EQ(gh_heap_live(f.h) - live, 2304);
    (void)alloc(&f, 9, 2048);
    CHECK_EQ(gh_heap_live(f.h) - live, 2304 + 8192);
    // A flush of empty caches does nothing.
    flush(&f);
    const uint64_t flat = gh_heap_live(f.h);
    flush(&f);
    CHECK_EQ(gh_heap_live(f.h), flat);
    teardown(&f);
}

// [alloc:57] Slot 63 is taken: free_index 64, and the next group is loaded.
static void
test_group_of_64(void)
{
    fixture f;
    setup(&f, true);
    for (unsigned i = 0; i < 64; i++) {
        (void)alloc(&f, i, 64);
    }
    const gh_mspan *s = cached(&f, 11 + 2);
    CHECK_EQ(s->elemsize, 64);
    CHECK_EQ(s->free_index, 64);
    CHECK_EQ(s->alloc_cache, ~(uint64_t)0);
    const uint64_t at = alloc(&f, 64, 64);
    CHECK_EQ(at, gh_addr(f.h, gh_slots_at(f.b, 63)) + 64);
    CHECK_EQ(alloc(&f, 65, 64), at + 64);
    CHECK_EQ(s->free_index, 66);
    teardown(&f);
}

static void
test_large(void)
{
    fixture f;
    setup(&f, true);
    const uint64_t live = gh_heap_live(f.h);
    (void)alloc(&f, 0, 100000);
    CHECK_EQ(gh_heap_live(f.h) - live, 106496);  // [gc:89]
    CHECK_EQ(f.h->stats.large_alloc, 106496);
    CHECK_EQ(f.h->stats.large_alloc_count, 1);
    CHECK_EQ(f.h->gcc.total_alloc, 106496);
    // [alloc:62]
    const gh_mspan *s = gh_span_of(f.h, gh_slots_at(f.b, 0)->word);
    CHECK_EQ(s->spanclass, 1);
    CHECK_EQ(s->free_index, 1);
    CHECK_EQ(s->alloc_count, 1);
    CHECK_EQ(s->limit - s->base, 100000);
    CHECK_EQ(s->sweepgen, f.h->sweepgen);
    CHECK(s->set == gh_mcentral_full_swept(f.h, &f.h->central[1]));
    gh_mspan *out = NULL;
    CHECK(gh_mcache_alloc_large(f.m, UINT64_MAX, true, &out) == GH_ERR_NOMEM);
    CHECK(gh_mcache_alloc_large(f.m, f.h->window_bytes, true, &out)
          == GH_ERR_NOMEM);
    CHECK(out == NULL);
    CHECK_EQ(f.h->stats.large_alloc_count, 1);
    teardown(&f);
}

// [alloc:36-47,49] Where tiny requests go, and that merged ones reach the counter at a
// flush. blocks: new 16-byte slots.
static void
test_tiny_offsets(void)
{
    static const struct {
        unsigned n, size[17], block[17], off[17], blocks, current, left;
    } rows[] = {
        {4, {1, 2, 3, 8}, {0}, {0, 2, 4, 8}, 1, 0, 16},
        {5, {1, 2, 3, 8, 1}, {0, 0, 0, 0, 1}, {0, 2, 4, 8, 0}, 2, 1, 1},
        {3, {12, 8, 3}, {0, 1, 1}, {0, 0, 8}, 2, 1, 11},
        {3, {5, 12, 4}, {0, 1, 0}, {0, 0, 8}, 2, 0, 12},
        {3, {8, 8, 8}, {0, 0, 1}, {0, 8, 0}, 2, 1, 8},
        {2, {7, 9}, {0, 0}, {0, 7}, 1, 0, 16},
        {2, {9, 7}, {0, 0}, {0, 9}, 1, 0, 16},
        {3, {15, 1, 1}, {0, 0, 1}, {0, 15, 0}, 2, 1, 1},
        {17, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
         {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
         {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0}, 2, 1, 1},
        {3, {10, 4, 2}, {0, 0, 1}, {0, 12, 0}, 2, 1, 2},
        {2, {10, 6}, {0, 0}, {0, 10}, 1, 0, 16},
        {5, {3, 4, 4, 4, 4}, {0, 0, 0, 0, 1}, {0, 4, 8, 12, 0}, 2, 1, 4},
        {2, {16, 1}, {0, 1}, {0, 0}, 2, 1, 1},
        {4, {2, 15, 14, 13}, {0, 1, 0, 2}, {0, 0, 2, 0}, 3, 2, 13},
    };
    fixture f;
    setup(&f, true);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        flush(&f);
        const gh_mcache *c = &f.m->mcache;
        CHECK_EQ(c->tiny, 0);
        CHECK_EQ(c->tiny_offset, 0);
        const uint64_t tiny = f.h->stats.tiny_alloc_count;
        const uint64_t small = f.h->stats.small_alloc_count[2];
        const uint64_t total = f.h->gcc.total_alloc;
        gh_memstats before, after;
        gh_stats(f.m, &before);
        uint64_t first = 0;
        for (unsigned i = 0; i < rows[r].n; i++) {
            const uint64_t at = alloc(&f, i, rows[r].size[i]);
            first = i == 0 ? at : first;
            CHECK_EQ(at - first, rows[r].block[i] * 16 + rows[r].off[i]);
        }
        CHECK_EQ(gh_addr_of_word(f.h, c->tiny) - first, rows[r].current * 16);
        CHECK_EQ(c->tiny_offset, rows[r].left);
        CHECK_EQ(f.h->stats.tiny_alloc_count, tiny);
        flush(&f);
        CHECK_EQ(f.h->stats.tiny_alloc_count - tiny,
                 rows[r].n - rows[r].blocks);
        CHECK_EQ(f.h->stats.small_alloc_count[2] - small, rows[r].blocks);
        CHECK_EQ(f.h->gcc.total_alloc - total, rows[r].blocks * 16);
        gh_stats(f.m, &after);
        CHECK_EQ(after.heap_objects - before.heap_objects,  // 49
                 rows[r].blocks);
    }
    // A refill of the tiny class counts merged requests too.
    const uint64_t tiny = f.h->stats.tiny_alloc_count;
    for (unsigned i = 0; f.h->stats.tiny_alloc_count == tiny; i++) {
        CHECK(i < 1024 + 2);
        (void)alloc(&f, 0, 8);
    }
    CHECK(f.m->mcache.tiny_allocs < 2);
    teardown(&f);
}

// [alloc:P26,P27] Up to 15 pages come from the P's 64, more do not; pages that
// are free below them are left until these are used up.
static void
test_page_cache(void)
{
    fixture f;
    setup(&f, true);
    const uint64_t first = alloc(&f, 0, 8192), block = 64 * 8192;
    CHECK_EQ(first % block, 0);
    CHECK_EQ(alloc(&f, 1, 8192), first + 8192);
    CHECK_EQ(alloc(&f, 2, 16 * 8192), first + block);
    CHECK_EQ(alloc(&f, 3, 15 * 8192), first + 2 * 8192);
    gh_clear(f.m, gh_slots_at(f.b, 0));
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK_EQ(alloc(&f, 4, 8192), first + 17 * 8192);
    CHECK_EQ(alloc(&f, 5, 16 * 8192), first + block + 16 * 8192);
    for (unsigned i = 0; i < 64 - 18; i++) {
        CHECK_EQ(alloc(&f, 10 + i, 8192), first + (18 + i) * 8192);
    }
    CHECK_EQ(alloc(&f, 6, 8192), first);
    teardown(&f);
}

// Stale spans: after a lazy cycle a P that was idle flushes once, and its
// spans are swept by that.
static void
test_prepare_for_sweep(void)
{
    fixture f;
    setup(&f, false);
    (void)alloc(&f, 0, 512);
    (void)alloc(&f, 1, 512);
    gh_clear(f.m, gh_slots_at(f.b, 1));
    gh_mspan *s = cached(&f, 53);
    // Stand where mark termination stands: marks made, generation stepped.
    gh_mspan_mark_bits(&f.h->bm, s)[0] = 1;
    f.h->sweepgen += 2;
    f.h->bm.mark_area ^= 1;
    f.h->sweep_drained = false;
    const uint64_t live = f.h->gcc.heap_live;
    CHECK_EQ(s->sweepgen, f.h->sweepgen + 1);
    gh_mcache_prepare_for_sweep(f.m);
    CHECK_EQ(f.m->mcache.flush_gen, f.h->sweepgen);
    CHECK(cached(&f, 53) == &f.h->empty_mspan);
    CHECK_EQ(s->sweepgen, f.h->sweepgen);
    CHECK_EQ(s->alloc_count, 1);
    CHECK_EQ(s->free_index, 0);
    CHECK_EQ(s->needzero, 1);  // [alloc:58]
    CHECK(s->set == gh_mcentral_partial_swept(f.h, &f.h->central[53]));
    // What is stale was never counted as given back.
    CHECK_EQ(f.h->gcc.heap_live, live);
    CHECK_EQ(f.h->stats.small_free_count[26], 1);
    gh_mcache_prepare_for_sweep(f.m);  // the second time nothing happens
    CHECK_EQ(f.m->mcache.flush_gen, f.h->sweepgen);
    teardown(&f);
}

// A refill that gets no memory leaves the full span, and counts it once.
static void
test_refill_fails(void)
{
    gh_mem_fault fault = {0};
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.mem_ops = gh_mem_fault_ops();
    o.mem_ctx = &fault;
    fixture f;
    setup_with(&f, &o);
    // 512 pages: all that the first growth brings.
    for (unsigned i = 0; i < 512 * 2; i++) {
        (void)alloc(&f, i, 4096);
    }
    gh_mspan *s = cached(&f, 89);
    CHECK_EQ(s->alloc_count, s->nelems);
    const uint64_t live = gh_heap_live(f.h);
    gh_memstats before, after;
    gh_stats(f.m, &before);
    fault.fail_from = fault.calls;
    fault.fail_count = UINT64_MAX;
    for (unsigned i = 0; i < 3; i++) {
        CHECK(gh_mcache_refill(f.m, 89) == GH_ERR_NOMEM);
        CHECK(cached(&f, 89) == s);
        CHECK(s->set == NULL);
        CHECK_EQ(s->sweepgen, f.h->sweepgen + 3);
        CHECK_EQ(s->alloc_count_before_cache, s->alloc_count);
        CHECK_EQ(gh_heap_live(f.h), live);
    }
    gh_stats(f.m, &after);
    CHECK_EQ(after.mallocs, before.mallocs);
    CHECK_EQ(after.total_alloc, before.total_alloc);
    CHECK_EQ(after.sys, before.sys);
    CHECK_EQ(gh_verify(f.m, print_line, NULL), 0);
    fault.fail_count = 0;
    CHECK(gh_mcache_refill(f.m, 89) == GH_OK);
    CHECK(s->set == gh_mcentral_full_swept(f.h, &f.h->central[89]));
    // A fresh span must be used before it can be given back.
    (void)alloc(&f, 1024, 4096);
    teardown(&f);
    CHECK_EQ(fault.bytes, 0);
}

static gh_options
concurrent(int32_t procs)
{
    gh_options o;
    gh_options_init(&o);
    o.mode = GH_MODE_CONCURRENT;
    o.procs = procs;
    return o;
}

// What the heap says after n objects of 512 bytes on one P, every slot of a span taken,
// of which the first `keep` stay alive over a cycle before the others.
static gh_memstats
half_kib_objects(bool ahead, bool eager, unsigned keep, unsigned n)
{
    fixture f;
    gh_options o = concurrent(2);
    o.gogc = -1;
    o.policy.eager_sweep = eager;
    setup_with(&f, &o);
    for (unsigned i = 0; i < keep; i++) {
        (void)alloc(&f, i, 512);
    }
    for (unsigned i = 0; i < keep; i += 2) {
        gh_clear(f.m, gh_slots_at(f.b, i));
    }
    CHECK(gh_gc(f.m) == GH_OK);
    gh_ahead *a = &f.m->conc->ahead;
    for (unsigned i = 0; i < n; i++) {
        a->contended = ahead ? GH_AHEAD_REFILLS : 0;  // but the sweeper may have the lock
        (void)alloc(&f, 1000 + i, 512);
    }
    gh_memstats s;
    gh_read_mem_stats(f.m, &s);
    CHECK(a->next == a->nready && a->nfull == 0 && a->live == 0);
    teardown(&f);
    return s;
}

// Spans ahead change no figure that is looked at in a stop, whether they are fresh, or
// were swept for it and have free slots between others.
static void
test_ahead_figures(void)
{
    static const struct { unsigned keep, n; } cases[] = {
        {0, 15}, {0, 16}, {0, 31}, {0, 30 + GH_AHEAD_SPANS * 15}, {0, 500}, {300, 16}, {300, 70},
        {300, 500}};
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    for (size_t k = 0; k < 2 * CASES; k++) {
        const size_t i = k % CASES;
        const gh_memstats one = half_kib_objects(false, k < CASES, cases[i].keep, cases[i].n);
        const gh_memstats two = half_kib_objects(true, k < CASES, cases[i].keep, cases[i].n);
        CHECK_EQ(two.mallocs, one.mallocs);
        CHECK_EQ(two.frees, one.frees);
        CHECK_EQ(two.total_alloc, one.total_alloc);
        CHECK_EQ(two.heap_alloc, one.heap_alloc);
        CHECK_EQ(two.heap_inuse, one.heap_inuse);
        CHECK_EQ(two.heap_objects, one.heap_objects);
        CHECK_EQ(two.mspan_inuse, one.mspan_inuse);
    }
}

static void
count_ahead(void *arg, const char *line)
{
    (void)arg;
    CHECK(strstr(line, "[inv:mcache.ahead] P 0 has 0 spans ahead, 0 full ones, 0 spare ones "
                       "and 8 ") == line);
}

// What the P has ahead, step by step. A span has room for 15 objects of 512 bytes.
enum { SLOTS = 15 };

static void
test_ahead(void)
{
    fixture f;
    gh_options o = concurrent(2);
    o.gogc = -1;
    setup_with(&f, &o);
    gh_heap *h = f.h;
    gh_ahead *a = &f.m->conc->ahead;
    const uint64_t live = gh_heap_live(h), inuse = gh_heap_inuse(h);
    unsigned n = 0;
    for (; n < 4 * SLOTS; n++) {  // nobody waits for the lock: four refills under it
        (void)alloc(&f, n, 512);
    }
    CHECK(a->nready == 0 && a->nfull == 0);
    CHECK_EQ(gh_heap_live(h) - live, 4 * 8192);
    a->contended = GH_AHEAD_REFILLS;
    (void)alloc(&f, n++, 512);
    CHECK(a->nready == GH_AHEAD_SPANS && a->next == 0);
    CHECK_EQ(a->contended, GH_AHEAD_REFILLS - 1);
    CHECK_EQ(gh_heap_live(h) - live, 5 * 8192);
    CHECK_EQ(gh_heap_inuse(h) - inuse, (5 + GH_AHEAD_SPANS) * 8192);
    const gh_mspan *second = a->ready[1];
    for (; n < 7 * SLOTS; n++) {
        (void)alloc(&f, n, 512);
    }
    CHECK(a->next == 2 && a->nfull == 2);
    CHECK(cached(&f, second->spanclass) == second);
    CHECK_EQ(second->cached_by, 0);
    CHECK_EQ(gh_heap_live(h) - live, 5 * 8192);
    CHECK_EQ((uint64_t)a->live, 2 * 8192);
    (void)alloc(&f, 2000, 1024);  // another class under the lock: all is told
    CHECK(a->next == 2 && a->nready == GH_AHEAD_SPANS && a->nfull == 0 && a->live == 0);
    CHECK_EQ(gh_heap_live(h) - live, 8 * 8192);
    (void)alloc(&f, n++, 512);    // and the others are still there
    CHECK(a->next == 3 && a->nfull == 1);
    CHECK_EQ((uint64_t)a->taken, (GH_AHEAD_SPANS - 2) * 8192);
    CHECK_EQ((uint64_t)h->conc.ahead_live, (GH_AHEAD_SPANS - 2) * 8192);
    gh_stop_world(f.m);           // no P has any in a stop
    CHECK(a->next == a->nready && a->nfull == 0 && a->live == 0);
    CHECK_EQ(gh_heap_live(h) - live, 9 * 8192);
    CHECK_EQ(gh_heap_inuse(h) - inuse, 9 * 8192);
    CHECK_EQ(gh_verify(f.m, print_line, NULL), 0);
    a->live = 8;                  // gh_verify would tell
    CHECK_EQ(gh_verify(f.m, count_ahead, NULL), 1);
    a->live = 0;
    while (n < 12 * SLOTS) {     // nor does the stopper take any
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(&f, n++, 512);
        CHECK(a->next == a->nready && a->nfull == 0);
    }
    gh_start_world(f.m);
    // Who goes on asking for another class gives back what it has of the first.
    a->contended = 0;
    (void)alloc(&f, 2001, 8192);
    for (unsigned i = 0; i < 3; i++) {
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(&f, 2002 + i, 4096);
    }
    CHECK(a->next < a->nready && a->ready[0]->elemsize == 4096);
    for (unsigned i = 0; i < 8 * GH_AHEAD_SPANS && a->ready[0]->elemsize == 4096; i++) {
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(&f, 2100 + i, 2048);
    }
    CHECK(a->next < a->nready && a->ready[0]->elemsize == 2048);
    // But where two classes are asked for in turn, two spans of each, it gives back few
    // unused: the last two of eight.
    gh_flush_p(f.m, 0);
    unsigned used = 0, unused = 0, had = 0;
    for (unsigned i = 0; used < 20 * GH_AHEAD_SPANS; i++) {
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(&f, 2500 + i % 1000, i % 24 < 8 ? 2048 : 1024);
        const unsigned has = a->nready - a->next;
        used += has + 1 == had;
        unused += has > had ? had : 0;
        had = has;
        CHECK(i < 20000);
    }
    CHECK(unused * 3 <= used);
    teardown(&f);
}

static void
ignore(void *arg, const gh_event *e)
{
    (void)arg;
    (void)e;
}

// Not past the trigger, and nothing while somebody listens, hard_limit is
// set, or refills of another class come in between.
static void
test_not_ahead(void)
{
    fixture f;
    gh_options o = concurrent(1);
    setup_with(&f, &o);
    gh_ahead *a = &f.m->conc->ahead;
    gh_listen(f.m, 1u << GH_EV_REFILL, ignore, NULL);
    for (unsigned i = 0; i < 3 * SLOTS; i++) {
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(&f, i, 512);
        CHECK_EQ(a->nready, 0);
    }
    gh_listen(f.m, 0, NULL, NULL);
    for (unsigned i = 0; i < 10 * 23; i++) {  // 8 fill a span, 15 another
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(&f, i, i % 23 < 8 ? 1024 : 512);
        CHECK_EQ(a->nready, 0);
    }
    // The trigger of a heap of 4 MiB is below it; heap_live is raised by whole spans.
    uint64_t most = 0;
    const uint64_t cycles = f.h->num_gc;
    for (unsigned i = 0; f.h->num_gc == cycles; i++) {
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(&f, 1, 512);
        uint64_t taken = gh_heap_live(f.h) + (uint64_t)a->live;
        for (unsigned k = a->next; k < a->nready; k++) {
            taken += 8192;
        }
        most = taken > most ? taken : most;
        CHECK(i < 20000);
    }
    CHECK(most > 3000000 && most <= 4194304 + 8192);
    teardown(&f);

    for (int limit = 0; limit < 2; limit++) {
        o.hard_limit = limit == 0 ? 64 << 20 : UINT64_MAX;
        o.memory_limit = limit == 0 ? INT64_MAX : 64 << 20;
        setup_with(&f, &o);
        a = &f.m->conc->ahead;
        for (unsigned i = 0; i < 40; i++) {
            a->contended = GH_AHEAD_REFILLS;
            (void)alloc(&f, i, 512);
            CHECK_EQ(a->nready, 0);
        }
        teardown(&f);
    }
}

// However many Ps have spans ahead, cycles begin where they would without, but for a
// twentieth: where each P looked at the trigger for itself, it was a sixth.
static void
test_ahead_of_the_trigger(void)
{
    static const struct { int32_t procs; uint64_t min; } cases[] = {
        {2, 4 << 20}, {8, 4 << 20}, {32, 4 << 20}, {8, 1 << 20}};
    for (size_t k = 0; k < 2 * sizeof(cases) / sizeof(cases[0]); k++) {
        fixture f;
        gh_options o = concurrent(cases[k / 2].procs);
        o.policy.min_heap = cases[k / 2].min;
        o.policy.eager_sweep = false;
        setup_with(&f, &o);
        unsigned n = 0;
        while (gh_cycles(f.h) < 8) {
            const int32_t to = (int32_t)(n / SLOTS % (unsigned)o.procs);
            CHECK(gh_switch_p(&f.m, to) == GH_OK);
            f.m->conc->ahead.contended = k % 2 == 0 ? 0 : GH_AHEAD_REFILLS;
            (void)alloc(&f, n++ % 64, 512);
        }
        static uint64_t began;
        uint64_t sum = 0;
        for (uint64_t i = 1; i < 8; i++) {
            gh_cycle c;
            CHECK(gh_cycle_get(f.h, i, &c) == GH_OK);
            sum += c.heap_start;
        }
        if (k % 2 == 0) {
            began = sum;
        }
        CHECK(sum >= began - began / 20 && sum <= began + began / 20);
        teardown(&f);
    }
}

// As many objects find room as without: what a P has ahead it gives back first.
static void
test_ahead_leaves_room(void)
{
    uint64_t room[2][2];
    for (unsigned k = 0; k < 4; k++) {
        fixture f;
        gh_options o = concurrent(2);
        o.gogc = -1;
        o.address_space = 64 << 20;
        setup_with(&f, &o);
        unsigned n = 0;
        while (gh_heap_inuse(f.h) < (64 << 20) - 10 * 8192) {
            (void)alloc(&f, n++ % 4096, 512);
        }
        gh_ahead *a = &f.m->conc->ahead;
        a->contended = k % 2 == 0 ? 0 : GH_AHEAD_REFILLS;
        for (unsigned i = 0; i < SLOTS + 1; i++) {
            (void)alloc(&f, n++ % 4096, 512);
        }
        CHECK_EQ(a->next < a->nready, k % 2);
        uint64_t got = 0;
        while (gh_alloc(f.m, gh_slots_at(f.b, 0), k < 2 ? 1024 : 40000) == GH_OK) {
            got++;
        }
        room[k / 2][k % 2] = got;
        teardown(&f);
    }
    CHECK(room[0][0] > 0 && room[1][0] > 0);
    CHECK_EQ(room[0][1], room[0][0]);
    CHECK_EQ(room[1][1], room[1][0]);
}

// begin_debt begins a heap of 64 MiB with 512-byte objects of which one in `keep` is alive,
// and others of `beside` bytes, most of whose spans are unswept, three pages to be swept for
// each that is taken. Returns the span class of the first, with heap_lock held: the sweeper
// stands still.
static uint8_t
begin_debt(fixture *f, unsigned keep, uint64_t beside)
{
    gh_options o = concurrent(2);
    o.policy.eager_sweep = false;
    o.policy.min_heap = 32 << 20;
    o.address_space = 64 << 20;
    setup_with(f, &o);
    gh_heap *h = f->h;
    for (unsigned tries = 0;; tries++) {
        CHECK(tries < 1000);
        (void)gh_set_gogc(f->m, 100);
        const uint64_t cycles = gh_cycles(h);
        for (unsigned i = 0; gh_cycles(h) == cycles; i++) {
            (void)alloc(f, i % keep == 0 ? 1 + i / keep % 1000 : 0, 512);
            (void)alloc(f, 1001 + i / 1000 % 2, i / 1000 % 2 == 0 ? 512 : beside);
        }
        const uint8_t spc =
            gh_span_of_unchecked(h, gh_slots_at(f->b, 0)->word)->spanclass;
        (void)gh_set_gogc(f->m, -1);  // that was the last one
        gh_rlock(&h->heap_lock);
        if (gh_mcentral_full_unswept(h, &h->central[spc])->len >= 1000) {
            h->sweep_pages_per_byte = 3.0 / 8192;
            h->sweep_heap_live_basis = h->gcc.heap_live;
            h->pages_swept_basis = h->pages_swept;
            return spc;
        }
        gh_runlock(&h->heap_lock);  // the sweeper was quicker
    }
}

// keep_spares allocates 512-byte objects until the P has n.
static void
keep_spares(fixture *f, unsigned n)
{
    gh_ahead *a = &f->m->conc->ahead;
    for (unsigned i = 0; a->nspare < n; i++) {
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(f, 0, 512);
        CHECK(i < 1000 * SLOTS);
    }
}

// A P that finds others in its way keeps the empty spans that it sweeps for a debt, and
// takes them where it would ask the page heap.
static void
test_spare(void)
{
    fixture f;
    const uint8_t spc = begin_debt(&f, 100, 512);
    gh_heap *h = f.h;
    gh_ahead *a = &f.m->conc->ahead;
    unsigned most = 0, taken = 0;
    for (unsigned i = 0; i < 4000 * SLOTS && (most == 0 || a->nspare > 0); i++) {
        const bool drained = h->sweep_drained;
        const unsigned had = a->nspare;
        const uint64_t inuse = gh_heap_inuse(h);
        a->contended = GH_AHEAD_REFILLS;
        (void)alloc(&f, 0, 512);
        for (unsigned k = 0; k < a->nspare; k++) {
            const gh_mspan *s = a->spare[k];
            CHECK(s->state == GH_SPAN_IN_USE && s->spanclass == spc && s->alloc_count == 0);
            CHECK(s->set == NULL && s->cached_by == -1 && s->sweepgen == h->sweepgen);
        }
        most = a->nspare > most ? a->nspare : most;
        if (drained && a->nspare < had && a->nspare > 0) {
            taken += had - a->nspare;
            CHECK_EQ(gh_heap_inuse(h), inuse);
        }
    }
    CHECK_EQ(most, GH_SPARE_PAGES);
    CHECK(taken > 0 && a->nspare == 0);
    gh_runlock(&h->heap_lock);
    CHECK_EQ(gh_verify(f.m, print_line, NULL), 0);
    teardown(&f);

    // None is kept in a stop, for who listens, or of another class than is asked for, and a
    // stop has all given back.
    (void)begin_debt(&f, 100, 512);
    h = f.h;
    a = &f.m->conc->ahead;
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t swept = h->pages_swept;
        if (i == 0) {
            gh_stop_world(f.m);
        } else if (i == 1) {
            gh_listen(f.m, 1u << GH_EV_REFILL, ignore, NULL);
        } else if (i == 2) {
            keep_spares(&f, 1);
            (void)alloc(&f, 0, 4096);  // its debt is paid before it is known what is asked for
        } else {
            keep_spares(&f, 1);
            gh_stop_world(f.m);
            CHECK_EQ(a->nspare, 0);
        }
        for (unsigned k = 0; k < 4 * SLOTS; k++) {
            a->contended = GH_AHEAD_REFILLS;
            (void)alloc(&f, 0, i == 2 ? 4096 : 512);
            CHECK(a->nspare == 0 || (i == 2 && k < 2 + 2 * GH_AHEAD_SPANS));
        }
        CHECK(i == 3 || h->pages_swept - swept >= 8);
        if (i == 1) {
            gh_listen(f.m, 0, NULL, NULL);
        } else if (i != 2) {
            CHECK_EQ(gh_verify(f.m, print_line, NULL), 0);
            gh_start_world(f.m);
        }
    }
    gh_runlock(&h->heap_lock);
    teardown(&f);

    // All that a P has are of one class, of its last refill.
    const uint8_t half_kib = begin_debt(&f, 100, 1024);
    h = f.h;
    a = &f.m->conc->ahead;
    keep_spares(&f, 1);
    const unsigned had = a->nspare;
    const uint32_t at = h->central_index;
    a->spc = gh_span_of_unchecked(h, gh_slots_at(f.b, 1002)->word)->spanclass;
    CHECK(a->spc > half_kib);
    h->central_index = 2 * (uint32_t)a->spc;
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t swept = h->pages_swept;
        a->contended = GH_AHEAD_REFILLS;
        gh_deduct_sweep_credit(f.m, 16 * 8192, 0);
        CHECK(h->pages_swept > swept);
        CHECK_EQ(a->nspare > had, i);
        for (unsigned k = 0; k < a->nspare; k++) {
            CHECK_EQ(a->spare[k]->spanclass, half_kib);
        }
        a->spc = half_kib;
        h->central_index = at;
        h->pages_swept_basis = h->pages_swept;
    }
    gh_runlock(&h->heap_lock);
    teardown(&f);
}

// Where memory runs out a P gives them back, too: every page finds somebody.
static void
test_spare_leaves_room(void)
{
    for (unsigned k = 0; k < 2; k++) {
        fixture f;
        const uint8_t spc = begin_debt(&f, UINT32_MAX, 512);
        gh_ahead *a = &f.m->conc->ahead;
        for (unsigned i = 0; i < 41 * SLOTS; i++) {
            a->contended = k == 0 ? 0 : GH_AHEAD_REFILLS;
            (void)alloc(&f, 0, 512);
        }
        CHECK_EQ(a->nspare > 0, k);
        a->contended = 0;
        uint64_t got = 0;
        while (gh_alloc(f.m, gh_slots_at(f.b, 0), 8192) == GH_OK) {
            got++;
        }
        CHECK(a->next == a->nready && a->nfull == 0 && a->nspare == 0);
        gh_mcentral *c = &f.h->central[spc];
        CHECK(f.h->sweep_drained);
        CHECK_EQ(got + gh_mcentral_full_swept(f.h, c)->len + gh_mcentral_partial_swept(f.h, c)->len
                     + (cached(&f, spc) != &f.h->empty_mspan),
                 (64 << 20) / 8192);
        gh_runlock(&f.h->heap_lock);
        teardown(&f);
    }
}

// A heap ends, and memory runs out, with spans ahead: nothing is lost.
static void
test_ahead_ends(void)
{
    for (unsigned n = 0; n < 2; n++) {
        gh_mem_fault fault = {0};
        fixture f;
        gh_options o = concurrent(1);
        o.gogc = -1;
        o.mem_ops = gh_mem_fault_ops();
        o.mem_ctx = &fault;
        setup_with(&f, &o);
        gh_ahead *a = &f.m->conc->ahead;
        unsigned i = 0;
        gh_status st = GH_OK;
        if (n == 1) {
            fault.fail_from = fault.calls;
            fault.fail_count = UINT64_MAX;
        }
        for (; i < 600 * SLOTS + 7 && st == GH_OK; i++) {
            a->contended = GH_AHEAD_REFILLS;
            st = gh_alloc(f.m, gh_slots_at(f.b, i % 4096), 512);
        }
        CHECK(n == 1 ? st == GH_ERR_NOMEM : a->next < a->nready && a->nfull > 0);
        fault.fail_count = 0;
        if (n == 1) {
            teardown(&f);
        } else {
            gh_leave(f.m);
            gh_slots_free(f.b);
            gh_heap_free(f.h);
        }
        CHECK_EQ(fault.bytes, 0);
    }
}

int
main(void)
{
    test_ahead_figures();
    test_ahead();
    test_not_ahead();
    test_ahead_of_the_trigger();
    test_ahead_leaves_room();
    test_spare();
    test_spare_leaves_room();
    test_ahead_ends();
    test_one_slot_spans();
    test_three_spans();
    test_flush_quirk();
    test_group_of_64();
    test_large();
    test_tiny_offsets();
    test_page_cache();
    test_prepare_for_sweep();
    test_refill_fails();
    return 0;
}

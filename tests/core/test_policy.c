// test_policy.c: what gh_policy and gh_debug change, each choice against the
// heap that Go would have.

#include "check.h"
#include "goheap.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void
say(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", line);
}

static gh_heap *
make(const gh_options *opt, gh_mut **m)
{
    gh_heap *h;
    CHECK(gh_heap_new(opt, &h) == GH_OK);
    CHECK(gh_enter(h, 0, m) == GH_OK);
    return h;
}

static void
end(gh_heap *h, gh_mut *m)
{
    CHECK_EQ(gh_verify(m, say, NULL), 0);
    gh_leave(m);
    gh_heap_free(h);
}

static bool
count_cached(void *arg, const gh_page_run *r)
{
    *(uint64_t *)arg += r->state == GH_PAGES_CACHED ? r->npages : 0;
    return true;
}

// A P without a page cache never keeps a free page to itself.
static void
test_page_cache(void)
{
    for (int on = 0; on < 2; on++) {
        gh_options opt;
        gh_options_init(&opt);
        opt.policy.page_cache = on != 0;
        gh_mut *m;
        gh_heap *h = make(&opt, &m);
        gh_slots *b;
        CHECK(gh_slots_new(h, 1, &b) == GH_OK);
        // The first span makes the heap grow; the second fills the cache.
        CHECK(gh_alloc(m, gh_slots_at(b, 0), 100) == GH_OK);
        CHECK(gh_alloc(m, gh_slots_at(b, 0), 200) == GH_OK);
        uint64_t cached = 0;
        gh_walk_pages(h, count_cached, &cached);
        CHECK_EQ(cached, on ? 62 : 0);
        gh_slots_free(b);
        end(h, m);
    }
}

// A ballast counts in every figure, survives, and moves the trigger.
static void
test_ballast(void)
{
    const uint64_t n = 100 << 20;
    gh_options opt;
    gh_options_init(&opt);
    opt.policy.ballast = n;
    gh_mut *m;
    gh_heap *h = make(&opt, &m);
    CHECK_EQ(gh_cycles(h), 1);  // 100 MiB are beyond the first trigger
    CHECK(gh_gc(m) == GH_OK);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK_EQ(s.heap_alloc, n);
    CHECK_EQ(s.heap_objects, 1);
    CHECK_EQ(s.next_gc, 2 * n);
    gh_object o;
    CHECK(gh_object_at_addr(h, 0xc000000000 + n - 1, &o) == GH_OK);
    CHECK_EQ(o.size, n);
    end(h, m);
    opt.hard_limit = 10 << 20;
    CHECK(gh_heap_new(&opt, &h) == GH_ERR_NOMEM);
    opt.policy.ballast = UINT64_MAX;
    CHECK(gh_heap_new(&opt, &h) == GH_ERR_INVAL);
}

// clobber_free fills what a sweep frees and nothing else; what is made there
// later is zero.
static void
test_clobber_free(void)
{
    static const uint64_t sizes[] = {16, 24, 96, 1000, 40000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        gh_options opt;
        gh_options_init(&opt);
        opt.policy.tiny = false;
        opt.debug.clobber_free = true;
        opt.debug.gc_every = 0;
        gh_mut *m;
        gh_heap *h = make(&opt, &m);
        gh_slots *b;
        CHECK(gh_slots_new(h, 2, &b) == GH_OK);
        for (int k = 0; k < 2; k++) {
            CHECK(gh_alloc(m, gh_slots_at(b, k), sizes[i]) == GH_OK);
            memset(gh_data(gh_slots_at(b, k)), 7, sizes[i]);
        }
        const unsigned char *freed = gh_data(gh_slots_at(b, 1));
        const unsigned char *kept = gh_data(gh_slots_at(b, 0));
        gh_clear(m, gh_slots_at(b, 1));
        CHECK_EQ(freed[sizes[i] - 1], 7);
        CHECK(gh_gc(m) == GH_OK);
        for (uint64_t k = 0; k + 8 <= sizes[i]; k += 8) {
            uint64_t word;
            memcpy(&word, freed + k, 8);
            CHECK_EQ(word, 0xdeadbeefdeadbeefu);
            CHECK_EQ(kept[k], 7);
        }
        CHECK(gh_alloc(m, gh_slots_at(b, 1), sizes[i]) == GH_OK);
        const unsigned char *again = gh_data(gh_slots_at(b, 1));
        for (uint64_t k = 0; k < sizes[i]; k++) {
            CHECK_EQ(again[k], 0);
        }
        gh_slots_free(b);
        end(h, m);
    }
}

// gc_every collects before each n-th allocation, whatever its kind, in every
// mode; not while a cycle is driven by hand.
static void
test_gc_every(void)
{
    for (int virtual = 0; virtual < 2; virtual++) {
        gh_options opt;
        gh_options_init(&opt);
        opt.mode = virtual ? GH_MODE_VIRTUAL : GH_MODE_STW;
        opt.policy.eager_sweep = !virtual;
        opt.debug.gc_every = 3;
        gh_mut *m;
        gh_heap *h = make(&opt, &m);
        gh_slots *b;
        CHECK(gh_slots_new(h, 1, &b) == GH_OK);
        gh_slot *s = gh_slots_at(b, 0);
        for (int i = 1; i <= 30; i++) {
            const gh_status st = i % 3 == 0   ? gh_alloc(m, s, 8)
                                 : i % 3 == 1 ? gh_alloc(m, s, 50000)
                                              : gh_alloc_spanclass(m, s, 7, 24, NULL);
            CHECK(st == GH_OK);
            CHECK_EQ(gh_cycles(h), i / 3);
        }
        gh_memstats stats;
        gh_stats(m, &stats);
        CHECK_EQ(stats.num_forced_gc, 10);
        CHECK(gh_gc_start(m) == GH_OK);
        for (int i = 0; i < 6; i++) {
            CHECK(gh_alloc(m, s, 8) == GH_OK);
            CHECK_EQ(gh_verify(m, say, NULL), 0);
        }
        CHECK_EQ(gh_cycles(h), 10);
        CHECK(gh_gc_finish(m) == GH_OK);
        CHECK_EQ(gh_cycles(h), 11);
        gh_slots_free(b);
        end(h, m);
    }
}

// A heap with a table of its own: slots, spans, tiny blocks, recorded classes and
// figures go by it, through cycles.
static void
test_size_classes(void)
{
    static const uint16_t sizes[] = {16, 40, 200, 512, 1024, 4096, 32768};
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = 20;
    opt.policy.num_size_classes = sizeof(sizes) / sizeof(sizes[0]);
    memcpy(opt.policy.size_class, sizes, sizeof(sizes));
    opt.debug.checkmark = true;
    opt.debug.clobber_free = true;
    gh_mut *m;
    gh_heap *h = make(&opt, &m);
    gh_slots *b;
    CHECK(gh_slots_new(h, 64, &b) == GH_OK);
    static const uint64_t mask[1] = {1};
    const gh_type_desc d = {.name = "link", .size = 24, .align = 8, .ptrdata = 8,
                            .mask = mask};
    const gh_type *link;
    CHECK(gh_type_new(m, &d, &link) == GH_OK);
    static const struct {
        uint64_t n, slot;  // elements of link, or bytes, and what they get
        bool bytes;
    } rows[] = {
        {3, 16, true}, {16, 16, true}, {17, 40, true}, {40, 40, true},
        {41, 200, true}, {513, 1024, true}, {4097, 32768, true},
        {1, 40, false}, {2, 200, false}, {21, 512, false}, {22, 1024, false},
        {42, 1024, false}, {43, 4096, false}, {1365, 32768, false},
        {40000, 40960, true},
    };
    for (int round = 0; round < 400; round++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            gh_slot *s = gh_slots_at(b, (i * 7 + (size_t)round) % 64);
            CHECK((rows[i].bytes ? gh_alloc(m, s, rows[i].n)
                                 : gh_new(m, s, link, rows[i].n)) == GH_OK);
            gh_object o;
            CHECK(gh_object_at(h, s, &o) == GH_OK);
            CHECK_EQ(o.elemsize, rows[i].slot);
            CHECK_EQ(o.size, rows[i].n * (rows[i].bytes ? 1 : 24));
            if (!rows[i].bytes) {
                CHECK(gh_store(m, s, 0, gh_slots_at(b, (i + 5) % 64)) == GH_OK);
            }
        }
        // Go's class 5, of 48 bytes, and 24, of 416: scan and noscan.
        gh_object o;
        CHECK(gh_alloc_spanclass(m, gh_slots_at(b, 0), 10, 48, NULL) == GH_OK);
        CHECK(gh_object_at(h, gh_slots_at(b, 0), &o) == GH_OK);
        CHECK_EQ(o.elemsize, 200);
        CHECK(gh_alloc_spanclass(m, gh_slots_at(b, 1), 49, 480, NULL)
              == GH_ERR_INVAL);
        if (round % 50 == 0) {
            CHECK_EQ(gh_verify(m, say, NULL), 0);
        }
    }
    gh_memstats stats;
    gh_stats(m, &stats);
    CHECK(stats.num_gc > 3);
    CHECK_EQ(stats.by_size[2].size, 40);
    CHECK(stats.by_size[2].mallocs >= 400 * 3);
    CHECK_EQ(stats.by_size[8].size, 0);
    CHECK_EQ(gh_checkmarks(h), stats.num_gc);
    gh_slots_free(b);
    end(h, m);
}

int
main(void)
{
    test_size_classes();
    test_page_cache();
    test_ballast();
    test_clobber_free();
    test_gc_every();
    return 0;
}

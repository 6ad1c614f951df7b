// test_mcentral.c: which span serves next, and what a cycle leaves in the
// lists. [alloc:...] are vectors of Go 1.26.8's behaviour, see
// csrc/design/vectors.md.

#include "heap_fixture.h"
#include "mcentral.h"
#include "mgc.h"
#include "mgcsweep.h"
#include "mheap.h"

static void
drop(fixture *f, size_t i)
{
    gh_clear(f->m, gh_slots_at(f->b, i));
}

// cycle runs a cycle and no more of a sweep than it does itself.
static void
cycle(fixture *f)
{
    CHECK(gh_gc_cycle(f->m, true) == GH_OK);
}

static void
lens(fixture *f, uint8_t spc, size_t ps, size_t pu, size_t fs, size_t fu)
{
    gh_mcentral *c = &f->h->central[spc];
    CHECK_EQ(gh_mcentral_partial_swept(f->h, c)->len, ps);
    CHECK_EQ(gh_mcentral_partial_unswept(f->h, c)->len, pu);
    CHECK_EQ(gh_mcentral_full_swept(f->h, c)->len, fs);
    CHECK_EQ(gh_mcentral_full_unswept(f->h, c)->len, fu);
}

// [alloc:59,60] Lists after a cycle, and the order in which freed slots come back.
static void
test_after_cycle(void)
{
    fixture f;
    setup(&f, true);
    for (unsigned i = 0; i < 13; i++) {
        (void)alloc(&f, i, 3200);
    }
    const gh_mspan *s[3] = {span(&f, 0), span(&f, 5), span(&f, 10)};
    gh_flush_p(f.m, GH_ANY_P);
    lens(&f, 85, 1, 0, 2, 0);
    const unsigned dead[] = {1, 3, 6, 8, 10, 12};
    for (unsigned i = 0; i < 6; i++) {
        drop(&f, dead[i]);
    }
    CHECK_EQ(f.h->sweepgen, 0);
    cycle(&f);
    CHECK_EQ(f.h->sweepgen, 2);
    CHECK_EQ(f.h->stats.small_free_count[42], 6);
    lens(&f, 85, 3, 0, 0, 0);
    static const unsigned want[][2] = {{0, 1}, {0, 3}, {1, 1}, {1, 3},
                                       {2, 0}, {2, 2}, {2, 3}, {2, 4}};
    for (unsigned i = 0; i < 8; i++) {
        (void)alloc(&f, 20 + i, 3200);
        unsigned index = 99;
        CHECK(gh_find_object(f.h, gh_slots_at(f.b, 20 + i)->word, &index)
              == s[want[i][0]]);
        CHECK_EQ(index, want[i][1]);
        CHECK_EQ(s[want[i][0]]->needzero, 1);  // [alloc:58]
    }
    (void)alloc(&f, 28, 3200);
    const gh_mspan *fresh = span(&f, 28);
    CHECK(fresh != s[0] && fresh != s[1] && fresh != s[2]);
    CHECK_EQ(fresh->needzero, 0);
    teardown(&f);
}

// [alloc:61] The only object of a span goes, and so does the span.
static void
test_empty_span(void)
{
    fixture f;
    setup(&f, true);
    (void)alloc(&f, 0, 8192);
    const uintptr_t at = gh_slots_at(f.b, 0)->word;
    gh_mspan *s = span(&f, 0);
    const uint64_t inuse = gh_heap_inuse(f.h);
    drop(&f, 0);
    cycle(&f);
    CHECK_EQ(inuse - gh_heap_inuse(f.h), 8192);
    CHECK(gh_span_of_unchecked(f.h, at) == s);
    CHECK_EQ(s->state, GH_SPAN_DEAD);
    CHECK(gh_span_of(f.h, at) == NULL);
    lens(&f, 103, 0, 0, 0, 0);
    teardown(&f);
}

// [alloc:62,63] A large hole is taken again; zeroed unless the OS had it in between.
static void
test_large(void)
{
    fixture f;
    setup(&f, true);
    (void)alloc(&f, 1, 8192);
    const uint64_t at = alloc(&f, 0, 1 << 20);
    for (unsigned round = 0; round < 2; round++) {
        drop(&f, 0);
        if (round == 0) {
            CHECK(gh_gc(f.m) == GH_OK);
        } else {
            CHECK(gh_free_os_memory(f.m) == GH_OK);
            CHECK_EQ(f.h->gcc.heap_free.bytes, 0);
        }
        CHECK_EQ(alloc(&f, 0, 1 << 20), at);
        const gh_mspan *s = span(&f, 0);
        CHECK_EQ(s->needzero, round == 0);
        CHECK_EQ(s->free_index, 1);
        CHECK_EQ(s->alloc_count, 1);
        CHECK_EQ(s->sweepgen, f.h->sweepgen);
        CHECK(s->set == gh_mcentral_full_swept(f.h, &f.h->central[1]));
    }
    lens(&f, 1, 0, 0, 1, 0);
    teardown(&f);
}

// Swept partial spans first, then unswept partial ones, then unswept full ones
// that turn out to have room, then a new span.
static void
test_search_order(void)
{
    fixture f;
    setup(&f, false);
    // Spans of 15: A, B, C full, D partial, all of one class.
    for (unsigned i = 0; i < 3 * 15 + 4; i++) {
        (void)alloc(&f, i, 512);
    }
    gh_mspan *s[4] = {span(&f, 0), span(&f, 15), span(&f, 30), span(&f, 45)};
    drop(&f, 30 + 7);  // C will have room; A and B will not
    drop(&f, 46);
    // D is cached: the flush at the cycle's end sweeps it [alloc:77].
    cycle(&f);
    lens(&f, 53, 1, 0, 0, 3);
    CHECK_EQ(s[3]->sweepgen, f.h->sweepgen);
    CHECK_EQ(s[0]->sweepgen, f.h->sweepgen - 2);
    (void)alloc(&f, 46, 512);
    CHECK(span(&f, 46) == s[3]);
    lens(&f, 53, 0, 0, 0, 3);
    for (unsigned i = 0; i < 11; i++) {
        (void)alloc(&f, 60 + i, 512);
        CHECK(span(&f, 60 + i) == s[3]);
    }
    // Full ones in their order: A and B are swept, found full, set aside.
    (void)alloc(&f, 37, 512);
    CHECK(span(&f, 37) == s[2]);
    CHECK_EQ(s[0]->sweepgen, f.h->sweepgen);
    lens(&f, 53, 0, 0, 3, 0);  // A, B, and D, given back full
    (void)alloc(&f, 80, 512);
    CHECK(f.m->mcache.alloc[53] == span(&f, 80));
    CHECK_EQ(span(&f, 80)->alloc_count, 1);

    // Again with a partial unswept span in the set: it goes before full ones.
    gh_flush_p(f.m, GH_ANY_P);
    gh_mspan *e = span(&f, 80);
    drop(&f, 0);
    cycle(&f);
    lens(&f, 53, 0, 1, 0, 4);
    (void)alloc(&f, 0, 512);
    CHECK(span(&f, 0) == e);
    lens(&f, 53, 0, 0, 0, 4);
    teardown(&f);
}

// An unswept span with nothing left in it serves its class; it does not go
// back to the pages first.
static void
test_preserve(void)
{
    fixture f;
    setup(&f, false);
    (void)alloc(&f, 0, 512);
    (void)alloc(&f, 1, 3200);
    gh_mspan *s = span(&f, 0);
    gh_flush_p(f.m, GH_ANY_P);
    drop(&f, 0);
    cycle(&f);
    const uint64_t inuse = gh_heap_inuse(f.h);
    CHECK_EQ(s->alloc_count, 1);
    (void)alloc(&f, 0, 512);
    CHECK(span(&f, 0) == s);
    CHECK_EQ(s->alloc_count, 1);
    CHECK_EQ(s->free_index, 1);
    CHECK_EQ(gh_heap_inuse(f.h), inuse);
    CHECK_EQ(f.h->stats.small_free_count[26], 1);
    teardown(&f);
}

// [alloc:78] After 101 spans that were found full the search is given up, though the
// next one would have had room.
static void
test_budget(void)
{
    for (unsigned nfull = 100; nfull <= 101; nfull++) {
        fixture f;
        setup(&f, false);
        for (unsigned i = 0; i < (nfull + 1) * 15; i++) {
            (void)alloc(&f, i, 512);
        }
        gh_flush_p(f.m, GH_ANY_P);
        gh_mspan *last = span(&f, nfull * 15);
        drop(&f, nfull * 15);
        cycle(&f);
        lens(&f, 53, 0, 0, 0, nfull + 1);
        // No debt and nothing to reclaim: only the search sweeps.
        f.h->sweep_pages_per_byte = 0;
        f.h->reclaim_index = (uint64_t)1 << 63;
        (void)alloc(&f, 4000, 512);
        CHECK_EQ(span(&f, 4000) == last, nfull == 100);
        lens(&f, 53, 0, 0, nfull, nfull == 100 ? 0 : 1);
        teardown(&f);
    }
}

// Ps that contend for the lock take the ends of a set by their number; else, and in the
// other modes, it is first in, first out.
static void
test_ends(void)
{
    for (int32_t contended = 0; contended < 2; contended++) {
        fixture f;
        gh_options o;
        gh_options_init(&o);
        o.gogc = -1;
        o.mode = GH_MODE_CONCURRENT;
        o.procs = 2;
        setup_with(&f, &o);
        gh_mcentral *c = &f.h->central[85];
        for (int32_t p = 0; p < 2; p++) {
            gh_p *q = f.h->allp[p];
            gh_mspan *s[4];
            for (unsigned i = 0; i < 4; i++) {
                CHECK(gh_mcentral_cache_span(q, 85, &s[i]) == GH_OK);
                s[i]->sweepgen = f.h->sweepgen + 3;
                s[i]->alloc_count = 1;
            }
            q->conc->ahead.contended = (uint8_t)contended;
            for (unsigned i = 0; i < 4; i++) {
                gh_mcentral_uncache_span(q, s[i]);
            }
            gh_spanset *set = gh_mcentral_partial_swept(f.h, c);
            CHECK_EQ(set->len, 4);
            CHECK(set->head == s[contended && p == 1 ? 3 : 0]);
            for (unsigned i = 0; i < 4; i++) {
                gh_mspan *t;
                CHECK(gh_mcentral_cache_span(q, 85, &t) == GH_OK);
                CHECK(t == s[contended ? 3 - i : i]);
            }
            q->conc->ahead.contended = 0;
            for (unsigned i = 0; i < 4; i++) {
                s[i]->sweepgen = f.h->sweepgen;
                s[i]->alloc_count = 0;
                gh_mheap_free_span(f.h, s[i]);
            }
        }
        teardown(&f);
    }
}

int
main(void)
{
    test_ends();
    test_after_cycle();
    test_empty_span();
    test_large();
    test_search_order();
    test_preserve();
    test_budget();
    return 0;
}

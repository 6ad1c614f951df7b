// test_verify.c: gh_verify finds what is wrong with a heap that was damaged on
// purpose, names it, and finds nothing once it is mended.

#define _POSIX_C_SOURCE 200809L  // dup, pipe

#include <string.h>
#include <unistd.h>

#include "check.h"
#include "heap.h"
#include "mcentral.h"
#include "mgc.h"

typedef struct fixture {
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    gh_mspan *cached;  // of 3200 bytes, in the P's mcache: slots 0..1
    gh_mspan *swept;   // of 512 bytes, in a set, two slots free: 20..32
    gh_mspan *scan;    // of 64-byte nodes, cached: slots 40..41
    gh_mspan *large;   // slot 60
    uint32_t handle;
} fixture;

static gh_slot *
slot(fixture *f, size_t i)
{
    return gh_slots_at(f->b, i);
}

static gh_mspan *
span(fixture *f, size_t i)
{
    return gh_span_of(f->h, slot(f, i)->word);
}

static void
setup(fixture *f)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.address_space = (uint64_t)1 << 30;
    CHECK(gh_heap_new(&o, &f->h) == GH_OK);
    CHECK(gh_enter(f->h, GH_ANY_P, &f->m) == GH_OK);
    CHECK(gh_slots_new(f->h, 400, &f->b) == GH_OK);
    for (size_t i = 20; i < 33; i++) {
        CHECK(gh_alloc(f->m, slot(f, i), 512) == GH_OK);
    }
    gh_flush_p(f->m, GH_ANY_P);
    const uint64_t mask[1] = {3};
    const gh_type_desc d = {.size = 64, .align = 8, .ptrdata = 16,
                            .mask = mask};
    const gh_type *t;
    CHECK(gh_type_new(f->m, &d, &t) == GH_OK);
    for (size_t i = 0; i < 2; i++) {
        CHECK(gh_alloc(f->m, slot(f, i), 3200) == GH_OK);
        CHECK(gh_new(f->m, slot(f, 40 + i), t, 1) == GH_OK);
    }
    CHECK(gh_store(f->m, slot(f, 41), 1, slot(f, 0)) == GH_OK);
    CHECK(gh_alloc(f->m, slot(f, 60), 100000) == GH_OK);
    CHECK(gh_handle_new(f->m, &f->handle) == GH_OK);
    f->cached = span(f, 0);
    f->swept = span(f, 20);
    f->scan = span(f, 40);
    f->large = span(f, 60);
}

// ---- one kind of damage each; with mend set, its undoing ---------------------------

static void
alloc_count(fixture *f, bool mend)
{
    f->swept->alloc_count += mend ? -1 : 1;
}

static void
tail_bit(fixture *f, bool mend)
{
    (void)mend;
    gh_mspan_alloc_bits(&f->h->bm, f->swept)[0] ^= (uint64_t)1 << 15;
}

static void
tail_mark(fixture *f, bool mend)
{
    (void)mend;
    gh_mspan_mark_bits(&f->h->bm, f->large)[0] ^= (uint64_t)1 << 63;
}

static void
mark_bit(fixture *f, bool mend)
{
    (void)mend;
    gh_mspan_mark_bits(&f->h->bm, f->swept)[0] ^= 2;
}

static void
area(fixture *f, bool mend)
{
    (void)mend;
    f->swept->alloc_area ^= 1;
}

static void
alloc_cache(fixture *f, bool mend)
{
    (void)mend;
    f->cached->alloc_cache ^= 4;
}

static void
clean(fixture *f, bool mend)
{
    gh_mspan *s = f->cached;
    *(uint64_t *)gh_mspan_obj_base(s, s->nelems - 1u) = mend ? 0 : 1;
}

// What is set is nobody's type, or a type's that the span is not of.
static void
short_way(fixture *f, bool mend)
{
    f->cached->short_way += mend ? -1u : 1u;
}

static uintptr_t
page_of(const fixture *f, const gh_mspan *s)
{
    return (s->base - f->h->base) / GH_PAGE_SIZE;
}

static void
page_table(fixture *f, bool mend)
{
    f->h->spans[page_of(f, f->large) + 5] = mend ? f->large : f->swept;
}

static void
no_span(fixture *f, bool mend)
{
    f->h->spans[page_of(f, f->swept)] = mend ? f->swept : NULL;
    // What follows from it: the sums lack the span. Hold to the first line.
}

static void
pageinfo(fixture *f, bool mend)
{
    f->h->pageinfo[page_of(f, f->cached) + 1].page = mend ? 1 : 0;
}

static void
free_pageinfo(fixture *f, bool mend)
{
    (void)mend;
    f->h->pageinfo[page_of(f, f->scan)].scan ^= 1;
}

static void
sweepgen(fixture *f, bool mend)
{
    f->cached->sweepgen += mend ? 3 : (uint32_t)-3;
}

static void
cached_by(fixture *f, bool mend)
{
    f->cached->cached_by = mend ? 0 : 7;
}

static void
wrong_set(fixture *f, bool mend)
{
    gh_mcentral *c = &f->h->central[53];
    gh_spanset_remove(f->swept);
    gh_spanset_push(mend ? gh_mcentral_partial_swept(f->h, c)
                         : gh_mcentral_full_swept(f->h, c),
                    f->swept);
}

static void
set_length(fixture *f, bool mend)
{
    f->h->central[1].full[0].len += mend ? (size_t)-1 : 1;
}

static void
dangling(fixture *f, bool mend)
{
    uintptr_t *w = gh_data(slot(f, 40));
    w[1] = mend ? 0 : f->cached->base + 4 * 3200;  // a free slot
}

static void
dangling_page(fixture *f, bool mend)
{
    uintptr_t *w = gh_data(slot(f, 41));
    w[0] = mend ? 0 : f->h->base + ((uintptr_t)2 << 20);
}

static void
root(fixture *f, bool mend)
{
    slot(f, 399)->word = mend ? 0 : f->cached->base + 3 * 3200;
}

static void
root_beyond(fixture *f, bool mend)
{
    slot(f, 399)->word = mend ? 0 : f->large->base + 100000;
}

static void
handle_root(fixture *f, bool mend)
{
    gh_handle_slot(f->h, f->handle)->word = mend ? 0 : f->h->base - 64;
}

static void
handles_count(fixture *f, bool mend)
{
    f->h->handles.live += mend ? (uint32_t)-1 : 1;
}

static void
pages_in_use(fixture *f, bool mend)
{
    f->h->pages_in_use += mend ? (uint64_t)-1 : 1;
}

static void
in_use(fixture *f, bool mend)
{
    const uint64_t d = mend ? (uint64_t)-8192 : 8192;
    f->h->gcc.heap_in_use.bytes += d;
    f->h->stats.in_heap += d;
    f->h->gcc.heap_free.bytes -= d;
}

static void
in_heap(fixture *f, bool mend)
{
    f->h->stats.in_heap += mend ? (uint64_t)-8192 : 8192;
}

static void
released(fixture *f, bool mend)
{
    f->h->stats.released += mend ? (uint64_t)-4096 : 4096;
}

static void
committed(fixture *f, bool mend)
{
    f->h->stats.committed += mend ? (uint64_t)-4096 : 4096;
}

static void
mallocs(fixture *f, bool mend)
{
    f->h->stats.small_alloc_count[3] += mend ? (uint64_t)-1 : 1;
}

static void
mapped_ready(fixture *f, bool mend)
{
    f->h->mem.mapped_ready += mend ? (uint64_t)-4096 : 4096;
}

// A page of nobody is taken, as if a span had been lost.
static void
lost_page(fixture *f, bool mend)
{
    const uint64_t at = f->h->base + (uint64_t)300 * GH_PAGE_SIZE;
    if (mend) {
        gh_pagealloc_free(&f->h->pages, at, 1);
        // Free again, and scavenged as before.
        gh_palloc_data *d = (gh_palloc_data *)(uintptr_t)
            gh_pagealloc_chunk_of(&f->h->pages, at);
        gh_palloc_bits_set_range(&d->scavenged, 300, 1);
    } else {
        (void)gh_pagealloc_alloc_range(&f->h->pages, at, 1);
    }
}

static void
summary(fixture *f, bool mend)
{
    gh_palloc_sum *s = f->h->pages.summary[GH_SUMMARY_LEVELS - 1];
    s[0] += mend ? (gh_palloc_sum)-1 : 1;
}

static void
search_addr(fixture *f, bool mend)
{
    static uint64_t old;
    if (mend) {
        f->h->pages.search_addr = old;
    } else {
        old = f->h->pages.search_addr;
        f->h->pages.search_addr = f->h->base + (uint64_t)511 * GH_PAGE_SIZE;
    }
}

typedef struct log {
    unsigned lines;
    char first[256];
    bool named;
    const char *tag;
} log;

static void
take_line(void *arg, const char *line)
{
    log *l = arg;
    CHECK(strncmp(line, "[inv:", 5) == 0);
    if (l->lines++ == 0) {
        snprintf(l->first, sizeof(l->first), "%s", line);
    }
    l->named = l->named || strncmp(line, l->tag, strlen(l->tag)) == 0;
}

static void
test_damages(void)
{
    static const struct {
        void (*damage)(fixture *f, bool mend);
        const char *tag;
        bool alone;  // nothing else follows from it
    } rows[] = {
        {alloc_count, "[inv:span.allocated]", true},
        {tail_bit, "[inv:bitmap.tail]", true},
        {tail_mark, "[inv:bitmap.tail]", false},
        {mark_bit, "[inv:bitmap.clean]", true},
        {area, "[inv:bitmap.area]", true},
        {alloc_cache, "[inv:span.alloc_cache]", true},
        {clean, "[inv:span.clean]", true},
        {short_way, "[inv:span.short_way]", true},
        {page_table, "[inv:heap.spans]", true},
        {no_span, "[inv:heap.spans]", false},
        {pageinfo, "[inv:pageinfo.span]", true},
        {free_pageinfo, "[inv:pageinfo.span]", true},
        {sweepgen, "[inv:span.sweepgen]", true},
        {cached_by, "[inv:span.sweepgen]", true},
        {wrong_set, "[inv:spanset.one]", true},
        {set_length, "[inv:spanset.one]", true},
        {dangling, "[inv:heap.nodangling]", true},
        {dangling_page, "[inv:heap.nodangling]", true},
        {root, "[inv:roots.live]", true},
        {root_beyond, "[inv:roots.live]", true},
        {handle_root, "[inv:roots.live]", true},
        {handles_count, "[inv:handles.count]", true},
        {pages_in_use, "[inv:heap.pages_in_use]", true},
        {in_use, "[inv:stats.inuse]", false},
        {in_heap, "[inv:stats.inuse]", true},
        {released, "[inv:stats.released]", true},
        {committed, "[inv:stats.committed]", true},
        {mallocs, "[inv:stats.objects]", true},
        {mapped_ready, "[inv:stats.mapped_ready]", true},
        {lost_page, "[inv:heap.pages]", false},
        {summary, "[inv:pagealloc.summary]", false},
        {search_addr, "[inv:pagealloc.search]", false},
    };
    fixture f;
    setup(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        log l = {.tag = rows[i].tag};
        CHECK_EQ(gh_verify(f.m, take_line, &l), 0);
        rows[i].damage(&f, false);
        const size_t n = gh_verify(f.m, take_line, &l);
        rows[i].damage(&f, true);
        if (!l.named || n != l.lines || (rows[i].alone && n != 1)) {
            fprintf(stderr, "%s: %zu lines, the first: %s\n", rows[i].tag, n,
                    l.first);
        }
        CHECK(l.named);
        CHECK_EQ(n, l.lines);
        CHECK(!rows[i].alone || n == 1);
        l = (log){.tag = ""};
        if (gh_verify(f.m, take_line, &l) != 0) {
            fprintf(stderr, "not mended: %s: %s\n", rows[i].tag, l.first);
            CHECK(l.lines == 0);
        }
    }
    gh_slots_free(f.b);
    gh_leave(f.m);
    gh_heap_free(f.h);
}

// Every violation is counted, a hundred are told, and nobody need listen.
static void
test_many(void)
{
    fixture f;
    setup(&f);
    log l = {.tag = "[inv:roots.live]"};
    for (size_t i = 100; i < 400; i++) {
        slot(&f, i)->word = 12345;
    }
    CHECK_EQ(gh_verify(f.m, take_line, &l), 300);
    CHECK_EQ(l.lines, 100);
    CHECK_EQ(gh_verify(f.m, NULL, NULL), 300);
    for (size_t i = 100; i < 400; i++) {
        slot(&f, i)->word = 0;
    }
    CHECK_EQ(gh_verify(f.m, NULL, NULL), 0);
    gh_slots_free(f.b);
    gh_leave(f.m);
    gh_heap_free(f.h);
}

// A heap between a lazy cycle and its sweep is as sound as any, at each step.
static void
test_while_sweeping(void)
{
    fixture f;
    setup(&f);
    f.h->opt.policy.eager_sweep = false;
    for (size_t i = 20; i < 30; i++) {
        gh_clear(f.m, slot(&f, i));
    }
    gh_clear(f.m, slot(&f, 0));  // still held by slot 41's object
    gh_clear(f.m, slot(&f, 1));
    CHECK(gh_gc_cycle(f.m, true) == GH_OK);
    CHECK(!f.h->sweep_drained);
    log l = {.tag = ""};
    CHECK_EQ(gh_verify(f.m, take_line, &l), 0);
    // A root to what is dead and not swept yet is a root to nothing.
    slot(&f, 399)->word = f.swept->base;
    CHECK_EQ(gh_verify(f.m, NULL, NULL), 1);
    slot(&f, 399)->word = 0;
    gh_sweep_all(f.m);
    CHECK_EQ(gh_verify(f.m, take_line, &l), 0);
    gh_slots_free(f.b);
    gh_leave(f.m);
    gh_heap_free(f.h);
}

// A heap with delays says on stderr which seed it was run with, if it is damaged.
static void
test_delays(void)
{
    gh_options o;
    gh_options_init(&o);
    o.mode = GH_MODE_CONCURRENT;
    o.debug.delays = 77;
    gh_heap *h;
    gh_mut *m;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    CHECK(gh_enter(h, 0, &m) == GH_OK);
    int out[2];
    CHECK(pipe(out) == 0);
    const int err = dup(2);
    CHECK(err >= 0 && dup2(out[1], 2) == 2);
    size_t found = gh_verify(m, NULL, NULL);
    h->nspecials[0]++;
    found = 10 * found + gh_verify(m, NULL, NULL);
    h->nspecials[0]--;
    CHECK(dup2(err, 2) == 2);
    CHECK(close(err) == 0 && close(out[1]) == 0);
    CHECK_EQ(found, 1);
    char text[200] = "";
    CHECK(read(out[0], text, sizeof(text) - 1) > 0);
    CHECK(close(out[0]) == 0);
    CHECK(strncmp(text, "delays: seed 77, ", 17) == 0);
    CHECK(strchr(text, '\n')[1] == 0);
    gh_leave(m);
    gh_heap_free(h);
}

int
main(void)
{
    test_delays();
    test_damages();
    test_many();
    test_while_sweeping();
    return 0;
}

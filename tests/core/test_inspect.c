// test_inspect.c: the walks of a snapshot show what was built, each thing once, and
// change nothing.

#include <string.h>

#include "check.h"
#include "heap.h"

#define MAX_ROWS 4096u

typedef struct seen {
    gh_heap *h;
    unsigned stop_at;  // rows after which a walk is ended
    gh_page_run pages[MAX_ROWS];
    gh_object objects[MAX_ROWS];
    char labels[MAX_ROWS][8];
    gh_edge edges[MAX_ROWS];
    unsigned owner[MAX_ROWS];  // object before the edge
    gh_root roots[MAX_ROWS];
    gh_cache_info caches[MAX_ROWS];
    unsigned npages, nobjects, nedges, nroots, ncaches;
} seen;

static bool
on_pages(void *arg, const gh_page_run *r)
{
    seen *s = arg;
    s->pages[s->npages++] = *r;
    return s->npages < s->stop_at;
}

static bool
on_object(void *arg, const gh_object *o, const char *label)
{
    seen *s = arg;
    strcpy(s->labels[s->nobjects], label == NULL ? "" : label);
    s->objects[s->nobjects++] = *o;
    return s->nobjects < s->stop_at;
}

static bool
on_edge(void *arg, const gh_edge *e)
{
    seen *s = arg;
    s->owner[s->nedges] = s->nobjects - 1;
    s->edges[s->nedges++] = *e;
    return s->nedges < s->stop_at;
}

static bool
on_root(void *arg, const gh_root *r)
{
    seen *s = arg;
    s->roots[s->nroots++] = *r;
    return s->nroots < s->stop_at;
}

static bool
on_cache(void *arg, const gh_cache_info *c)
{
    seen *s = arg;
    s->caches[s->ncaches++] = *c;
    return s->ncaches < s->stop_at;
}

// look makes all walks.
static void
look(gh_heap *h, seen *s, unsigned stop_at)
{
    const gh_graph_fns fns = {on_object, on_edge};
    memset(s, 0, sizeof(*s));
    s->h = h;
    s->stop_at = stop_at;
    gh_walk_pages(h, on_pages, s);
    gh_walk_graph(h, &fns, s);
    gh_walk_roots(h, on_root, s);
    gh_walk_caches(h, on_cache, s);
}

typedef struct fixture {
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    seen *s;
} fixture;

static void
setup(fixture *f, int32_t procs, bool eager)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.procs = procs;
    o.address_space = (uint64_t)1 << 30;
    o.policy.eager_sweep = eager;
    CHECK(gh_heap_new(&o, &f->h) == GH_OK);
    CHECK(gh_enter(f->h, GH_ANY_P, &f->m) == GH_OK);
    CHECK(gh_slots_new(f->h, 1000, &f->b) == GH_OK);
    f->s = malloc(sizeof(*f->s));
    CHECK(f->s != NULL);
}

static void
teardown(fixture *f)
{
    CHECK(gh_verify(f->m, NULL, NULL) == 0);
    gh_leave(f->m);
    gh_slots_free(f->b);
    gh_heap_free(f->h);
    free(f->s);
}

static gh_slot *
slot(fixture *f, size_t i)
{
    return gh_slots_at(f->b, i);
}

static uint64_t
addr(fixture *f, size_t i)
{
    return gh_addr(f->h, slot(f, i));
}

static const gh_type *
make_type(fixture *f, uint64_t size, uint64_t mask)
{
    const gh_type_desc d = {.name = "t", .size = size, .align = 8,
                            .ptrdata = 8 * (64 - (unsigned)__builtin_clzll(mask)),
                            .mask = &mask};
    const gh_type *t;
    CHECK(gh_type_new(f->m, &d, &t) == GH_OK);
    return t;
}

// Pages: the runs lie end to end over the whole window, no two alike beside each
// other, and their sums are the heap's figures.
static void
check_pages(fixture *f)
{
    const seen *s = f->s;
    gh_memstats m;
    gh_stats(f->m, &m);
    uint64_t at = GH_ADDR_BASE, of[GH_PAGES_WORKBUF + 1] = {0};
    for (unsigned i = 0; i < s->npages; i++) {
        const gh_page_run *r = &s->pages[i];
        CHECK(r->addr == at);
        CHECK(r->npages > 0);
        CHECK((r->p >= 0) == (r->state == GH_PAGES_CACHED));
        if (i > 0 && r->state != GH_PAGES_IN_USE) {
            CHECK(r->state != r[-1].state || r->p != r[-1].p);
        }
        at += r->npages * GH_PAGE_SIZE;
        of[r->state] += r->npages * GH_PAGE_SIZE;
    }
    CHECK(at == GH_ADDR_BASE + f->h->window_bytes);
    CHECK(of[GH_PAGES_IN_USE] == m.heap_inuse);
    CHECK(of[GH_PAGES_FREE] + of[GH_PAGES_SCAVENGED] + of[GH_PAGES_CACHED]
          == m.heap_idle);
    uint64_t cached = 0;
    for (int32_t i = 0; i < f->h->procs; i++) {
        cached += gh_popcount64(f->h->allp[i]->pcache.cache);
    }
    CHECK(of[GH_PAGES_CACHED] == cached * GH_PAGE_SIZE);
}

static void
test_empty_heap(void)
{
    fixture f;
    setup(&f, 2, true);
    look(f.h, f.s, MAX_ROWS);
    CHECK(f.s->npages == 1);
    CHECK(f.s->pages[0].state == GH_PAGES_RESERVED);
    CHECK(f.s->nobjects == 0 && f.s->nedges == 0 && f.s->nroots == 0
          && f.s->ncaches == 0);
    check_pages(&f);
    teardown(&f);
}

static void
test_pages_of_two_ps(void)
{
    fixture f;
    setup(&f, 2, true);
    for (size_t i = 0; i < 900; i++) {
        if (i % 100 == 0) {
            CHECK(gh_switch_p(&f.m, (int32_t)(i / 100 % 2)) == GH_OK);
        }
        CHECK(gh_alloc(f.m, slot(&f, i), i % 7 == 0 ? 40000 : 16 + i) == GH_OK);
    }
    look(f.h, f.s, MAX_ROWS);
    check_pages(&f);
    for (size_t i = 0; i < 900; i += 2) {
        gh_clear(f.m, slot(&f, i));
    }
    CHECK(gh_gc(f.m) == GH_OK);
    look(f.h, f.s, MAX_ROWS);
    check_pages(&f);
    CHECK(gh_free_os_memory(f.m) == GH_OK);
    look(f.h, f.s, MAX_ROWS);
    check_pages(&f);
    teardown(&f);
}

// One object of each kind: pointer bits beside the span, header, large; each
// points at every other.
static void
test_graph(void)
{
    fixture f;
    setup(&f, 1, true);
    const gh_type *small = make_type(&f, 64, 0xa5);
    const gh_type *row = make_type(&f, 24, 2);
    CHECK(gh_new(f.m, slot(&f, 0), small, 1) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 1), row, 100) == GH_OK);   // header
    CHECK(gh_new(f.m, slot(&f, 2), row, 2000) == GH_OK);  // large
    CHECK(gh_alloc(f.m, slot(&f, 3), 100) == GH_OK);      // no pointers
    const struct { size_t from; uint64_t word; size_t to; } edges[] = {
        {0, 0, 1}, {0, 2, 2}, {0, 7, 0}, {1, 1, 3}, {1, 298, 0}, {2, 1, 3},
        {2, 5998, 1},
    };
    const unsigned n = sizeof(edges) / sizeof(edges[0]);
    for (unsigned i = 0; i < n; i++) {
        CHECK(gh_store(f.m, slot(&f, edges[i].from), edges[i].word,
                       slot(&f, edges[i].to)) == GH_OK);
    }
    // A pointer into an object is shown as it is.
    CHECK(gh_set_interior(f.m, slot(&f, 4), slot(&f, 3), 50) == GH_OK);
    CHECK(gh_store(f.m, slot(&f, 0), 5, slot(&f, 4)) == GH_OK);
    CHECK(gh_label_set(f.m, addr(&f, 1), "row") == GH_OK);
    look(f.h, f.s, MAX_ROWS);
    CHECK(f.s->nobjects == 4);
    CHECK(f.s->nedges == n + 1);
    for (unsigned i = 0; i < f.s->nobjects; i++) {
        gh_object o;
        CHECK(gh_object_at_addr(f.h, f.s->objects[i].addr, &o) == GH_OK);
        CHECK(memcmp(&o, &f.s->objects[i], sizeof(o)) == 0);
        CHECK(strcmp(f.s->labels[i], o.addr == addr(&f, 1) ? "row" : "") == 0);
        CHECK(i == 0 || f.s->objects[i - 1].addr < o.addr);
    }
    unsigned found = 0;
    for (unsigned i = 0; i < f.s->nedges; i++) {
        const gh_edge *e = &f.s->edges[i];
        CHECK(e->source == f.s->objects[f.s->owner[i]].addr);
        for (unsigned k = 0; k < n; k++) {
            found += e->source == addr(&f, edges[k].from)
                     && e->offset == edges[k].word * 8
                     && e->target == addr(&f, edges[k].to);
        }
        found += e->source == addr(&f, 0) && e->offset == 40
                 && e->target == addr(&f, 3) + 50;
    }
    CHECK(found == n + 1);
    CHECK(f.s->nroots == 5);
    teardown(&f);
}

static void
test_tiny_blocks_are_one(void)
{
    fixture f;
    setup(&f, 2, true);
    const uint64_t sizes[] = {3, 2, 4, 1, 15};  // 3 . 2 4 1, then 15
    for (size_t i = 0; i < 5; i++) {
        CHECK(gh_alloc(f.m, slot(&f, i), sizes[i]) == GH_OK);
    }
    look(f.h, f.s, MAX_ROWS);
    CHECK(f.s->nobjects == 2);
    CHECK(f.s->objects[0].type_id == GH_TYPE_TINY);
    CHECK(f.s->objects[0].count == 4);
    CHECK(f.s->objects[0].size == 10);
    CHECK(f.s->objects[1].size == 15);
    CHECK(f.s->ncaches == 1);
    CHECK(f.s->caches[0].spanclass == 5);
    CHECK(f.s->caches[0].tiny == f.s->objects[0].addr);
    CHECK(f.s->caches[0].tiny_offset == 13);
    CHECK_EQ(f.s->caches[0].free + 2, gh_class_nelems(5));
    CHECK(f.s->nroots == 6);
    CHECK(f.s->roots[5].kind == GH_ROOT_TINY);
    gh_flush_p(f.m, GH_ANY_P);
    look(f.h, f.s, MAX_ROWS);
    CHECK(f.s->nroots == 5 && f.s->ncaches == 0 && f.s->nobjects == 2);
    teardown(&f);
}

static void
test_roots(void)
{
    fixture f;
    setup(&f, 1, true);
    uint32_t handle;
    gh_pin *pin;
    CHECK(gh_handle_new(f.m, &handle) == GH_OK);
    CHECK(gh_alloc(f.m, gh_handle_slot(f.h, handle), 100) == GH_OK);
    CHECK(gh_alloc(f.m, slot(&f, 7), 200) == GH_OK);
    CHECK(gh_pin_new(f.m, slot(&f, 7), &pin) == GH_OK);
    look(f.h, f.s, MAX_ROWS);
    CHECK(f.s->nroots == 3);
    CHECK(f.s->roots[0].kind == GH_ROOT_HANDLE);
    CHECK(f.s->roots[1].kind == GH_ROOT_SLOT);
    CHECK(f.s->roots[1].target == addr(&f, 7));
    CHECK(f.s->roots[2].kind == GH_ROOT_PIN);
    CHECK(f.s->roots[2].target == addr(&f, 7));
    gh_pin_free(pin);
    gh_handle_drop(f.h, handle);
    gh_leave(f.m);
    CHECK(gh_enter(f.h, GH_ANY_P, &f.m) == GH_OK);
    look(f.h, f.s, MAX_ROWS);
    CHECK(f.s->nroots == 1);
    teardown(&f);
}

// A handle that is emptied at once is a handle still: it holds nothing, the next
// object goes into it without a stay inside, and a cycle under way refuses.
static void
test_empty_handle(void)
{
    fixture f;
    setup(&f, 1, true);
    const gh_type_desc desc = {
        .name = "two", .size = 16, .align = 8, .ptrdata = 8,
        .mask = (const uint64_t[]){1},
    };
    const gh_type *t;
    uint32_t id;
    CHECK(gh_type_new(f.m, &desc, &t) == GH_OK);
    CHECK(gh_handle_new(f.m, &id) == GH_OK);
    gh_slot *at = gh_handle_slot(f.h, id);
    CHECK(gh_alloc(f.m, at, 64) == GH_OK);
    const uint64_t first = gh_addr(f.h, at);
    gh_leave(f.m);

    CHECK(gh_handle_empty(f.h, id));
    CHECK_EQ(at->word, 0);
    const uint64_t second = gh_alloc_quick(f.h, id, 64);
    CHECK_EQ(second, first + 64);
    CHECK_EQ(gh_addr(f.h, at), second);
    // No span of that class is at hand; too large; tiny: somebody must come in.
    CHECK(gh_handle_empty(f.h, id));
    CHECK_EQ(gh_new_quick(f.h, id, t), 0);
    CHECK_EQ(gh_alloc_quick(f.h, id, 4096), 0);
    CHECK_EQ(gh_alloc_quick(f.h, id, 8), 0);
    CHECK_EQ(at->word, 0);

    CHECK(gh_enter_alone(f.h, GH_ANY_P, &f.m) == GH_OK);
    gh_mut *other;
    CHECK(gh_try_enter(f.h, GH_ANY_P, &other) == GH_AGAIN);
    CHECK(gh_new(f.m, at, t, 1) == GH_OK);
    gh_leave_alone(f.m);
    CHECK(gh_handle_empty(f.h, id));
    CHECK(gh_new_quick(f.h, id, t) != 0);

    // A dropped handle waits to be drained: that is more than to take a slot.
    CHECK(gh_enter(f.h, GH_ANY_P, &f.m) == GH_OK);
    uint32_t dropped;
    CHECK(gh_handle_new(f.m, &dropped) == GH_OK);
    CHECK(gh_alloc(f.m, gh_handle_slot(f.h, dropped), 64) == GH_OK);
    gh_leave(f.m);
    CHECK(gh_handle_empty(f.h, id));
    gh_handle_drop(f.h, dropped);
    CHECK_EQ(gh_alloc_quick(f.h, id, 64), 0);

    CHECK(gh_enter(f.h, GH_ANY_P, &f.m) == GH_OK);
    CHECK(gh_alloc(f.m, at, 64) == GH_OK);
    CHECK(gh_gc_start(f.m) == GH_OK);
    gh_leave(f.m);
    CHECK(!gh_handle_empty(f.h, id));
    CHECK(at->word != 0);
    CHECK(gh_enter(f.h, GH_ANY_P, &f.m) == GH_OK);
    CHECK(gh_gc_finish(f.m) == GH_OK);
    gh_handle_drop(f.h, id);
    teardown(&f);
}

// Swept lazily: what the cycle found dead is not shown, swept or not.
static void
test_unswept(void)
{
    fixture f;
    setup(&f, 1, false);
    for (size_t i = 0; i < 300; i++) {
        CHECK(gh_alloc(f.m, slot(&f, i), 100) == GH_OK);
    }
    for (size_t i = 0; i < 300; i += 3) {
        gh_clear(f.m, slot(&f, i));
    }
    CHECK(gh_gc_phase(f.h) == GH_PHASE_OFF);
    // A cycle without the sweep that gh_gc would end with.
    (void)gh_set_gogc(f.m, 100);
    CHECK(gh_alloc(f.m, slot(&f, 999), 8 << 20) == GH_OK);
    CHECK(gh_cycles(f.h) == 1);
    look(f.h, f.s, MAX_ROWS);
    CHECK(f.s->nobjects == 201);
    gh_sweep_all(f.m);
    look(f.h, f.s, MAX_ROWS);
    CHECK(f.s->nobjects == 201);
    teardown(&f);
}

static void
test_walks_end_when_told(void)
{
    fixture f;
    setup(&f, 2, true);
    const gh_type *t = make_type(&f, 16, 3);
    for (size_t i = 0; i < 20; i++) {
        CHECK(gh_new(f.m, slot(&f, i), t, 1) == GH_OK);
        CHECK(gh_store(f.m, slot(&f, i), 0, slot(&f, 0)) == GH_OK);
        CHECK(gh_alloc(f.m, slot(&f, 20 + i), 9000) == GH_OK);
    }
    look(f.h, f.s, 1);
    CHECK(f.s->npages == 1 && f.s->nobjects == 1 && f.s->nedges == 0
          && f.s->nroots == 1 && f.s->ncaches == 1);
    look(f.h, f.s, 3);
    CHECK(f.s->npages == 3 && f.s->nobjects == 3 && f.s->nroots == 3);
    teardown(&f);
}

// run does the same each time; asked: walks in between. Returns the end's figures.
static void
run(bool asked, gh_memstats *out, uint64_t last[2], int64_t *now)
{
    fixture f;
    setup(&f, 3, false);
    (void)gh_set_gogc(f.m, 20);
    const gh_type *t = make_type(&f, 48, 5);
    for (unsigned i = 0; i < 60000; i++) {
        if (i % 1000 == 0) {
            CHECK(gh_switch_p(&f.m, (int32_t)(i / 1000 % 3)) == GH_OK);
        }
        const size_t k = i * 7919u % 1000;
        CHECK((i % 3 == 0 ? gh_alloc(f.m, slot(&f, k), i % 300)
                          : gh_new(f.m, slot(&f, k), t, 1 + i % 40)) == GH_OK);
        if (asked && i % 997 == 0) {
            gh_memstats m;
            look(f.h, f.s, MAX_ROWS);
            gh_stats_peek(f.h, &m);
        }
    }
    CHECK(gh_cycles(f.h) > 2);
    gh_stats(f.m, out);
    last[0] = addr(&f, 1);
    last[1] = addr(&f, 999);
    *now = gh_now(f.h);
    teardown(&f);
}

static void
test_asking_changes_nothing(void)
{
    gh_memstats a, b;
    uint64_t x[2], y[2];
    int64_t s, t;
    run(false, &a, x, &s);
    run(true, &b, y, &t);
    CHECK(memcmp(&a, &b, sizeof(a)) == 0);
    CHECK(x[0] == y[0] && x[1] == y[1] && s == t);
}

static void
count_triggers(void *arg, const gh_event *e)
{
    unsigned *n = arg;
    n[e->kind == GH_EV_TRIGGER]++;
    CHECK(e->kind == GH_EV_TRIGGER || e->kind == GH_EV_GC_START);
}

static void
test_trigger_event(void)
{
    fixture f;
    setup(&f, 1, true);
    unsigned n[2] = {0, 0};  // cycles, triggers
    gh_listen(f.m, 1u << GH_EV_GC_START | 1u << GH_EV_TRIGGER, count_triggers,
              n);
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK(n[0] == 1 && n[1] == 0);
    (void)gh_set_gogc(f.m, 100);
    CHECK(gh_alloc(f.m, slot(&f, 0), 8 << 20) == GH_OK);
    CHECK(n[0] == 2 && n[1] == 1);
    gh_listen(f.m, 0, NULL, NULL);
    teardown(&f);
}

int
main(void)
{
    test_empty_heap();
    test_pages_of_two_ps();
    test_graph();
    test_tiny_blocks_are_one();
    test_roots();
    test_empty_handle();
    test_unswept();
    test_walks_end_when_told();
    test_asking_changes_nothing();
    test_trigger_event();
    return 0;
}

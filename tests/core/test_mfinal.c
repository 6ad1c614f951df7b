// test_mfinal.c: finalizers, cleanups, weak pointers and pins: what fires, in
// which order, what it keeps alive, and that nothing is lost or doubled.
// [gc:...] and [alloc:...] are vectors of Go 1.26.8's behaviour, see
// csrc/design/vectors.md.

#include "check.h"
#include "goheap.h"

#include <string.h>

#include "heap.h"
#include "mcleanup.h"
#include "special.h"

static void
say(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", line);
}

typedef struct world {
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    const gh_type *node;  // 16 bytes: a pointer, a number
} world;

static const uint64_t node_mask[1] = {1};

static world
make(gh_mode mode, bool eager, int32_t procs)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    opt.mode = mode;
    opt.procs = procs;
    opt.policy.eager_sweep = eager;
    world w;
    CHECK(gh_heap_new(&opt, &w.h) == GH_OK);
    CHECK(gh_enter(w.h, GH_ANY_P, &w.m) == GH_OK);
    CHECK(gh_slots_new(w.h, 1000, &w.b) == GH_OK);
    const gh_type_desc d = {.name = "node", .size = 16, .align = 8,
                            .ptrdata = 8, .mask = node_mask};
    CHECK(gh_type_new(w.m, &d, &w.node) == GH_OK);
    return w;
}

static void
end(world *w)
{
    CHECK(gh_verify(w->m, say, NULL) == 0);
    gh_slots_free(w->b);
    gh_leave(w->m);
    gh_heap_free(w->h);
}

static gh_slot *
at(world *w, size_t i)
{
    return gh_slots_at(w->b, i);
}

static void
new_node(world *w, size_t i)
{
    CHECK(gh_new(w->m, at(w, i), w->node, 1) == GH_OK);
}

static void
set(world *w, size_t i, uint64_t token)
{
    bool is_set = false;
    CHECK(gh_finalizer_set(w->m, at(w, i), false, token, &is_set) == GH_OK);
    CHECK(is_set);
}

static uint64_t
add(world *w, size_t i, uint64_t token)
{
    uint64_t id;
    CHECK(gh_cleanup_add(w->m, at(w, i), token, &id) == GH_OK);
    return id;
}

static void
collect(world *w)
{
    CHECK(gh_gc(w->m) == GH_OK);
    CHECK(gh_verify(w->m, say, NULL) == 0);
}

// run takes all calls, as a text: "f1 f2 c7", and drops the objects.
static const char *
run(world *w)
{
    static char text[4096];
    size_t n = 0;
    gh_call c;
    text[0] = 0;
    (void)gh_call_gather(w->h);
    while (gh_call_take(w->h, &c)) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%c%llu",
                              n == 0 ? "" : " ",
                              c.kind == GH_CALL_FINALIZER ? 'f' : 'c',
                              (unsigned long long)c.token);
        if (c.kind == GH_CALL_FINALIZER) {
            CHECK(gh_handle_slot(w->h, c.handle)->word != 0);
            gh_handle_drop(w->h, c.handle);
        }
    }
    CHECK(gh_verify(w->m, say, NULL) == 0);
    return text;
}

static void
check_run(world *w, const char *want)
{
    const char *got = run(w);
    if (strcmp(got, want) != 0) {
        (void)fprintf(stderr, "ran \"%s\", want \"%s\"\n", got, want);
        exit(1);
    }
}

// [gc:95] [alloc:S9] Finalizers of one sweep run in the reverse order of the sweep; the object is
// whole, and freed in the next cycle.
static void
test_finalizer(bool eager)
{
    world w = make(GH_MODE_STW, eager, 1);
    for (size_t i = 0; i < 3; i++) {
        new_node(&w, i);
        ((uint64_t *)gh_data(at(&w, i)))[1] = 100 + i;
        set(&w, i, i);
    }
    bool is_set;
    CHECK(gh_finalizer_set(w.m, at(&w, 0), false, 9, &is_set) == GH_ERR_STATE);
    check_run(&w, "");
    collect(&w);
    check_run(&w, "");
    for (size_t i = 0; i < 3; i++) {
        gh_clear(w.m, at(&w, i));
    }
    collect(&w);
    check_run(&w, "f2 f1 f0");
    gh_memstats before, after;
    gh_stats(w.m, &before);
    collect(&w);
    gh_stats(w.m, &after);
    CHECK_EQ(after.frees - before.frees, 3);
    check_run(&w, "");
    // Cleared: nothing is called, and it can be set again.
    new_node(&w, 0);
    set(&w, 0, 5);
    uint64_t token = 0;
    CHECK(gh_finalizer_clear(w.m, at(&w, 0), &token) && token == 5);
    CHECK(!gh_finalizer_clear(w.m, at(&w, 0), &token));
    set(&w, 0, 6);
    gh_clear(w.m, at(&w, 0));
    collect(&w);
    check_run(&w, "f6");
    end(&w);
}

// What an object with a finalizer points at outlives it by a cycle; a ring
// through one is never collected.
static void
test_chain(void)
{
    world w = make(GH_MODE_STW, true, 1);
    new_node(&w, 0);
    new_node(&w, 1);
    CHECK(gh_store(w.m, at(&w, 0), 0, at(&w, 1)) == GH_OK);
    set(&w, 0, 1);
    set(&w, 1, 2);
    gh_clear(w.m, at(&w, 0));
    gh_clear(w.m, at(&w, 1));
    collect(&w);
    check_run(&w, "f1");
    collect(&w);
    check_run(&w, "f2");
    new_node(&w, 0);
    new_node(&w, 1);
    CHECK(gh_store(w.m, at(&w, 0), 0, at(&w, 1)) == GH_OK);
    CHECK(gh_store(w.m, at(&w, 1), 0, at(&w, 0)) == GH_OK);
    set(&w, 0, 3);
    gh_clear(w.m, at(&w, 0));
    gh_clear(w.m, at(&w, 1));
    collect(&w);
    collect(&w);
    check_run(&w, "");
    end(&w);
}

// A queued object is alive until its call was taken and it was dropped, however
// many cycles pass.
static void
test_queued(void)
{
    world w = make(GH_MODE_STW, true, 1);
    new_node(&w, 0);
    new_node(&w, 1);
    CHECK(gh_store(w.m, at(&w, 0), 0, at(&w, 1)) == GH_OK);
    const uint64_t inner = gh_addr(w.h, at(&w, 1));
    set(&w, 0, 1);
    gh_clear(w.m, at(&w, 0));
    gh_clear(w.m, at(&w, 1));
    collect(&w);
    collect(&w);
    gh_object o;
    CHECK(gh_object_at_addr(w.h, inner, &o) == GH_OK);
    CHECK_EQ(gh_call_count(w.h), 1);
    (void)gh_call_gather(w.h);
    gh_call c;
    CHECK(gh_call_take(w.h, &c) && c.token == 1);
    gh_set(w.m, at(&w, 5), gh_handle_slot(w.h, c.handle));  // brought back
    gh_handle_drop(w.h, c.handle);
    collect(&w);
    CHECK(gh_object_at_addr(w.h, inner, &o) == GH_OK);
    set(&w, 5, 2);  // and again
    gh_clear(w.m, at(&w, 5));
    collect(&w);
    check_run(&w, "f2");
    collect(&w);
    CHECK(gh_object_at_addr(w.h, inner, &o) == GH_ERR_BADPTR);
    end(&w);
}

// Only the beginning of an object may have one, but where Go can't tell; the
// parts of a tiny block go together.
static void
test_places(void)
{
    world w = make(GH_MODE_STW, true, 1);
    bool is_set;
    CHECK(gh_alloc(w.m, at(&w, 0), 100) == GH_OK);
    CHECK(gh_set_interior(w.m, at(&w, 1), at(&w, 0), 8) == GH_OK);
    CHECK(gh_finalizer_set(w.m, at(&w, 1), false, 1, &is_set) == GH_ERR_INVAL);
    CHECK(gh_finalizer_set(w.m, at(&w, 1), true, 1, &is_set) == GH_OK);
    CHECK(gh_finalizer_set(w.m, at(&w, 9), true, 1, &is_set) == GH_ERR_BADPTR);
    CHECK(gh_alloc(w.m, at(&w, 2), 0) == GH_OK);
    CHECK(gh_finalizer_set(w.m, at(&w, 2), true, 1, &is_set) == GH_OK);
    CHECK(!is_set);
    CHECK_EQ(add(&w, 2, 1), 0);
    // Three in one block: 4, 4 and 8 bytes.
    CHECK(gh_alloc(w.m, at(&w, 3), 4) == GH_OK);
    CHECK(gh_alloc(w.m, at(&w, 4), 4) == GH_OK);
    CHECK(gh_alloc(w.m, at(&w, 5), 8) == GH_OK);
    CHECK_EQ(gh_addr(w.h, at(&w, 4)), gh_addr(w.h, at(&w, 3)) + 4);
    for (size_t i = 3; i < 6; i++) {
        CHECK(gh_finalizer_set(w.m, at(&w, i), true, i, &is_set) == GH_OK);
    }
    gh_clear(w.m, at(&w, 3));
    gh_clear(w.m, at(&w, 4));
    collect(&w);
    check_run(&w, "");
    gh_clear(w.m, at(&w, 5));
    gh_flush_p(w.m, GH_ANY_P);  // the P lets go of the block
    collect(&w);
    check_run(&w, "f5 f4 f3");
    // A header is no part of the object.
    const gh_type_desc d = {.name = "big", .size = 800, .align = 8,
                            .ptrdata = 8, .mask = node_mask};
    const gh_type *big;
    CHECK(gh_type_new(w.m, &d, &big) == GH_OK);
    CHECK(gh_new(w.m, at(&w, 3), big, 1) == GH_OK);
    set(&w, 3, 7);
    CHECK(gh_new(w.m, at(&w, 4), big, 1000) == GH_OK);
    set(&w, 4, 8);
    gh_clear(w.m, at(&w, 3));
    gh_clear(w.m, at(&w, 4));
    collect(&w);
    check_run(&w, "f8 f7");  // what a P has cached is swept first
    end(&w);
}

// [gc:95] [alloc:S9] The newest first, after the finalizer, when the object is gone.
static void
test_cleanup(void)
{
    world w = make(GH_MODE_STW, true, 1);
    new_node(&w, 0);
    new_node(&w, 1);
    CHECK(gh_set_interior(w.m, at(&w, 2), at(&w, 0), 8) == GH_OK);
    for (uint64_t i = 1; i <= 5; i++) {
        CHECK_EQ(add(&w, 0, i), i);
    }
    const uint64_t six = add(&w, 2, 6);
    const uint64_t seven = add(&w, 1, 7);
    set(&w, 1, 1);
    gh_clear(w.m, at(&w, 0));
    collect(&w);
    check_run(&w, "");  // one pointer into it is left
    const uint64_t inner = gh_addr(w.h, at(&w, 2));
    CHECK(gh_cleanup_stop(w.m, inner - 8, 3));
    CHECK(!gh_cleanup_stop(w.m, inner - 8, 3));
    CHECK(!gh_cleanup_stop(w.m, inner - 8, six));
    CHECK(!gh_cleanup_stop(w.m, inner - 8, 0));
    CHECK(!gh_cleanup_stop(w.m, (uint64_t)1 << 60, 1));
    gh_clear(w.m, at(&w, 1));
    gh_clear(w.m, at(&w, 2));
    collect(&w);
    check_run(&w, "f1 c5 c4 c2 c1 c6");
    CHECK(!gh_cleanup_stop(w.m, inner, six));
    collect(&w);
    CHECK(!gh_cleanup_stop(w.m, inner + 8, seven));
    check_run(&w, "c7");  // after its finalizer
    end(&w);
}

// [gc:71] Blocks of 20, the last first, and from its beginning.
static void
test_cleanup_blocks(bool eager)
{
    world w = make(GH_MODE_STW, eager, 1);
    for (size_t i = 0; i < 45; i++) {
        new_node(&w, i);
        (void)add(&w, i, i);
    }
    for (size_t i = 0; i < 45; i++) {
        gh_clear(w.m, at(&w, i));
    }
    collect(&w);
    char want[400];
    size_t n = 0;
    const unsigned from[] = {40, 20, 0}, to[] = {45, 40, 20};
    for (int k = 0; k < 3; k++) {
        for (unsigned i = from[k]; i < to[k]; i++) {
            n += (size_t)snprintf(want + n, sizeof(want) - n, "%sc%u",
                                  n == 0 ? "" : " ", i);
        }
    }
    check_run(&w, want);
    end(&w);
}

// With lazy sweeping a cleanup alone waits for the last span; a finalizer doesn't.
static void
test_lazy(void)
{
    world w = make(GH_MODE_STW, false, 1);
    for (size_t i = 0; i < 1000; i++) {
        CHECK(gh_alloc(w.m, at(&w, i), 3000) == GH_OK);
    }
    new_node(&w, 0);
    (void)add(&w, 0, 1);
    new_node(&w, 1);
    set(&w, 1, 2);
    gh_clear(w.m, at(&w, 0));
    gh_clear(w.m, at(&w, 1));
    CHECK(gh_gc_start(w.m) == GH_OK);
    CHECK(gh_gc_finish(w.m) == GH_OK);
    check_run(&w, "f2 c1");
    // A cycle that nobody waited for: sweep the one span only, by a weak pointer.
    new_node(&w, 0);
    (void)add(&w, 0, 3);
    new_node(&w, 1);
    set(&w, 1, 4);
    gh_clear(w.m, at(&w, 0));
    gh_clear(w.m, at(&w, 1));
    new_node(&w, 2);
    (void)gh_set_gogc(w.m, 0);
    CHECK(gh_alloc(w.m, at(&w, 3), 40000) == GH_OK);
    (void)gh_set_gogc(w.m, -1);
    CHECK_EQ(gh_cycles(w.h), 2);
    CHECK(gh_weak_make(w.m, at(&w, 4), at(&w, 2)) == GH_OK);
    CHECK_EQ(gh_cleanups_blocked(w.h), 1);
    check_run(&w, "f4");
    gh_sweep_all(w.m);
    check_run(&w, "c3");
    end(&w);
}

// [alloc:74] A finalizer, a weak pointer and two cleanups of one object, in this order.
static void
test_kinds(void)
{
    world w = make(GH_MODE_STW, true, 1);
    new_node(&w, 0);
    (void)add(&w, 0, 1);
    CHECK(gh_weak_make(w.m, at(&w, 1), at(&w, 0)) == GH_OK);
    (void)add(&w, 0, 2);
    set(&w, 0, 3);
    static const unsigned want[] = {2, 3, 7, 7};
    const gh_mspan *s = gh_span_of(w.h, at(&w, 0)->word);
    const gh_special *x = s->specials;
    for (unsigned i = 0; i < 4; i++) {
        CHECK(x != NULL);
        CHECK_EQ(x->kind, want[i]);
        CHECK_EQ(x->offset, at(&w, 0)->word - s->base);
        x = x->next;
    }
    CHECK(x == NULL);
    end(&w);
}

// [gc:95] One box for each byte that is pointed at; nil before the finalizer runs.
static void
test_weak(void)
{
    world w = make(GH_MODE_STW, true, 1);
    new_node(&w, 0);
    gh_memstats a, b;
    gh_stats(w.m, &a);
    CHECK(gh_weak_make(w.m, at(&w, 1), at(&w, 0)) == GH_OK);
    gh_stats(w.m, &b);
    CHECK_EQ(b.mallocs - a.mallocs, 1);
    CHECK_EQ(b.total_alloc - a.total_alloc, 16);
    CHECK(gh_weak_make(w.m, at(&w, 2), at(&w, 0)) == GH_OK);
    CHECK(at(&w, 1)->word == at(&w, 2)->word);
    // Another byte has another box.
    CHECK(gh_set_interior(w.m, at(&w, 3), at(&w, 0), 8) == GH_OK);
    CHECK(gh_weak_make(w.m, at(&w, 4), at(&w, 3)) == GH_OK);
    CHECK(at(&w, 4)->word != at(&w, 1)->word);
    CHECK(gh_weak_get(w.m, at(&w, 5), at(&w, 4)) == GH_OK);
    CHECK(at(&w, 5)->word == at(&w, 3)->word);
    // The box lives with the object, without anybody who holds it.
    const uintptr_t box = at(&w, 1)->word;
    gh_clear(w.m, at(&w, 1));
    gh_clear(w.m, at(&w, 2));
    collect(&w);
    CHECK(gh_weak_make(w.m, at(&w, 1), at(&w, 0)) == GH_OK);
    CHECK(at(&w, 1)->word == box);
    // It is cleared before the finalizer runs, and stays so.
    set(&w, 0, 1);
    for (size_t i = 2; i < 6; i++) {
        if (i != 4) {
            gh_clear(w.m, at(&w, i));
        }
    }
    CHECK_EQ(gh_weak_addr(w.h, at(&w, 4)), gh_addr(w.h, at(&w, 0)) + 8);
    gh_clear(w.m, at(&w, 0));
    collect(&w);
    CHECK(gh_weak_get(w.m, at(&w, 5), at(&w, 1)) == GH_OK);
    CHECK_EQ(at(&w, 5)->word, 0);
    CHECK_EQ(gh_weak_addr(w.h, at(&w, 4)), 0);
    (void)gh_call_gather(w.h);
    gh_call c;
    CHECK(gh_call_take(w.h, &c));
    gh_set(w.m, at(&w, 0), gh_handle_slot(w.h, c.handle));
    gh_handle_drop(w.h, c.handle);
    CHECK(gh_weak_get(w.m, at(&w, 5), at(&w, 1)) == GH_OK);
    CHECK_EQ(at(&w, 5)->word, 0);
    CHECK(gh_weak_make(w.m, at(&w, 2), at(&w, 0)) == GH_OK);
    CHECK(at(&w, 2)->word != at(&w, 1)->word);
    // What a client writes into a box is not believed.
    *(uint64_t *)gh_data(at(&w, 1)) = gh_addr(w.h, at(&w, 0));
    CHECK(gh_weak_get(w.m, at(&w, 5), at(&w, 1)) == GH_OK);
    CHECK_EQ(at(&w, 5)->word, 0);
    *(uint64_t *)gh_data(at(&w, 1)) = 12345;
    CHECK(gh_weak_get(w.m, at(&w, 5), at(&w, 1)) == GH_OK);
    CHECK_EQ(at(&w, 5)->word, 0);
    // The zero-size object never dies.
    CHECK(gh_alloc(w.m, at(&w, 6), 0) == GH_OK);
    CHECK(gh_weak_make(w.m, at(&w, 7), at(&w, 6)) == GH_OK);
    collect(&w);
    CHECK(gh_weak_get(w.m, at(&w, 8), at(&w, 7)) == GH_OK);
    CHECK(at(&w, 8)->word == at(&w, 6)->word);
    // Mark termination: come again.
    w.h->strong_from_weak_block = true;
    CHECK(gh_weak_get(w.m, at(&w, 8), at(&w, 7)) == GH_AGAIN);
    w.h->strong_from_weak_block = false;
    end(&w);
}

// A dead object of a span that is not swept is not brought back.
static void
test_weak_unswept(void)
{
    world w = make(GH_MODE_STW, false, 1);
    new_node(&w, 0);
    CHECK(gh_weak_make(w.m, at(&w, 1), at(&w, 0)) == GH_OK);
    gh_clear(w.m, at(&w, 0));
    gh_flush_p(w.m, GH_ANY_P);  // what is cached is swept at once
    (void)gh_set_gogc(w.m, 0);
    CHECK(gh_alloc(w.m, at(&w, 3), 40000) == GH_OK);
    (void)gh_set_gogc(w.m, -1);
    CHECK_EQ(gh_cycles(w.h), 1);
    CHECK_EQ(gh_weak_addr(w.h, at(&w, 1)), 0);
    CHECK(*(uint64_t *)gh_data(at(&w, 1)) != 0);  // not swept
    CHECK(gh_weak_get(w.m, at(&w, 2), at(&w, 1)) == GH_OK);
    CHECK_EQ(at(&w, 2)->word, 0);
    end(&w);
}

// While a cycle marks: what is attached counts at once, what is read is shaded.
static void
test_marking(void)
{
    world w = make(GH_MODE_STW, true, 1);
    for (size_t i = 0; i < 4; i++) {
        new_node(&w, i);
    }
    CHECK(gh_weak_make(w.m, at(&w, 10), at(&w, 2)) == GH_OK);
    CHECK(gh_store(w.m, at(&w, 0), 0, at(&w, 1)) == GH_OK);
    gh_clear(w.m, at(&w, 2));  // a weak pointer alone leads to 2
    const uint64_t inner = gh_addr(w.h, at(&w, 1));
    gh_clear(w.m, at(&w, 1));
    CHECK(gh_gc_start(w.m) == GH_OK);
    gh_color c;
    CHECK(gh_color_at(w.h, inner, &c) == GH_OK && c == GH_WHITE);
    set(&w, 0, 1);
    CHECK(gh_color_at(w.h, inner, &c) == GH_OK && c != GH_WHITE);
    CHECK(gh_weak_get(w.m, at(&w, 11), at(&w, 10)) == GH_OK);
    const uint64_t back = gh_addr(w.h, at(&w, 11));
    CHECK(back != 0);
    CHECK(gh_color_at(w.h, back, &c) == GH_OK && c != GH_WHITE);
    CHECK(gh_weak_make(w.m, at(&w, 12), at(&w, 3)) == GH_OK);
    (void)add(&w, 3, 4);
    CHECK(gh_verify(w.m, say, NULL) == 0);
    CHECK(gh_gc_finish(w.m) == GH_OK);
    gh_object o;
    CHECK(gh_object_at_addr(w.h, back, &o) == GH_OK);
    CHECK(gh_object_at_addr(w.h, inner, &o) == GH_OK);
    check_run(&w, "");
    gh_clear(w.m, at(&w, 3));
    collect(&w);
    check_run(&w, "c4");
    end(&w);
}

// [gc:101] A live object with a finalizer is counted twice, in bytes and in work.
static void
test_double(void)
{
    world w = make(GH_MODE_STW, true, 1);
    gh_cycle c[2];
    for (size_t i = 0; i < 500; i++) {
        new_node(&w, i);
    }
    collect(&w);
    CHECK(gh_cycle_get(w.h, 0, &c[0]) == GH_OK);
    for (size_t i = 0; i < 500; i += 2) {
        set(&w, i, i);
    }
    CHECK(gh_alloc(w.m, at(&w, 600), 100) == GH_OK);
    bool is_set;
    CHECK(gh_finalizer_set(w.m, at(&w, 600), false, 1, &is_set) == GH_OK);
    collect(&w);
    CHECK(gh_cycle_get(w.h, 1, &c[1]) == GH_OK);
    CHECK_EQ(c[0].heap_marked, 500 * 16);
    CHECK_EQ(c[1].heap_marked, 750 * 16 + 112);  // without pointers: once
    CHECK_EQ(c[1].scan_work, 750 * 8);
    end(&w);
}

static void
test_pins(void)
{
    world w = make(GH_MODE_STW, true, 1);
    new_node(&w, 0);
    uint32_t pin[3];
    for (int i = 0; i < 2; i++) {
        CHECK(gh_object_pin(w.m, at(&w, 0), &pin[i]) == GH_OK);
    }
    CHECK_EQ(gh_object_pins(w.h, at(&w, 0)), 2);
    const uint64_t addr = gh_addr(w.h, at(&w, 0));
    set(&w, 0, 1);
    gh_clear(w.m, at(&w, 0));
    collect(&w);
    check_run(&w, "");
    gh_object_unpin(w.m, pin[0]);
    collect(&w);
    check_run(&w, "");
    gh_object_unpin(w.m, pin[1]);
    collect(&w);
    check_run(&w, "f1");
    collect(&w);
    gh_object o;
    CHECK(gh_object_at_addr(w.h, addr, &o) == GH_ERR_BADPTR);
    CHECK(gh_alloc(w.m, at(&w, 1), 0) == GH_OK);
    CHECK(gh_object_pin(w.m, at(&w, 1), &pin[2]) == GH_OK);
    CHECK_EQ(gh_object_pins(w.h, at(&w, 1)), 0);
    gh_object_unpin(w.m, pin[2]);
    CHECK(gh_object_pin(w.m, at(&w, 9), &pin[2]) == GH_ERR_BADPTR);
    end(&w);
}

// Blocks of Ps that are not full are put together when the sweep ends.
static void
test_take(void)
{
    world w = make(GH_MODE_STW, false, 3);
    for (uint64_t p = 0; p < 3; p++) {
        for (uint64_t i = 0; i < 12; i++) {
            gh_call_node *x = calloc(1, sizeof(gh_callable));
            x->call = (gh_call){.kind = GH_CALL_CLEANUP,
                                .token = p * 100 + i};
            CHECK(gh_switch_p(&w.m, (int32_t)p) == GH_OK);
            gh_cleanup_enqueue(w.h, x);
        }
    }
    w.h->cleanup_id = 36;
    CHECK_EQ(gh_cleanups_blocked(w.h), 36);
    gh_cleanups_flush(w.h);
    CHECK_EQ(gh_cleanups_blocked(w.h), 0);
    // The second P's 8 go to the first block's end from its own end; its other 4
    // have the third P's behind them.
    check_run(&w, "c100 c101 c102 c103 c200 c201 c202 c203 c204 c205 c206 c207 "
                  "c208 c209 c210 c211 "
                  "c0 c1 c2 c3 c4 c5 c6 c7 c8 c9 c10 c11 "
                  "c104 c105 c106 c107 c108 c109 c110 c111");
    // A P that ends gives on what it has.
    CHECK(gh_switch_p(&w.m, 2) == GH_OK);
    gh_call_node *x = calloc(1, sizeof(gh_callable));
    x->call = (gh_call){.kind = GH_CALL_CLEANUP, .token = 7};
    gh_cleanup_enqueue(w.h, x);
    w.h->cleanup_id = 37;
    CHECK(gh_switch_p(&w.m, 0) == GH_OK);
    CHECK(gh_set_procs(w.m, 1) == GH_OK);
    check_run(&w, "c7");
    end(&w);
}

// A heap ends with everything attached and waiting: sanitizers see to the rest.
static void
test_end(void)
{
    world w = make(GH_MODE_STW, false, 1);
    for (size_t i = 0; i < 100; i++) {
        new_node(&w, i);
        set(&w, i, i);
        (void)add(&w, i, i);
        CHECK(gh_weak_make(w.m, at(&w, 200 + i), at(&w, i)) == GH_OK);
        uint32_t pin;
        if (i < 20) {
            CHECK(gh_object_pin(w.m, at(&w, i), &pin) == GH_OK);
        } else if (i < 50) {
            gh_clear(w.m, at(&w, i));
        }
    }
    collect(&w);
    CHECK_EQ(gh_call_count(w.h), 30);
    end(&w);
}

// No memory for a record: refused, with nothing changed. The records are malloc's,
// which cannot be made to fail here; the blocks of the heap can.
static void
test_no_memory(void)
{
    gh_mem_fault fault = {0};
    gh_options opt;
    gh_options_init(&opt);
    opt.mem_ops = gh_mem_fault_ops();
    opt.mem_ctx = &fault;
    opt.gogc = -1;
    world w;
    CHECK(gh_heap_new(&opt, &w.h) == GH_OK);
    CHECK(gh_enter(w.h, GH_ANY_P, &w.m) == GH_OK);
    CHECK(gh_slots_new(w.h, 1000, &w.b) == GH_OK);
    CHECK(gh_alloc(w.m, at(&w, 0), 5000) == GH_OK);
    fault.fail_from = fault.calls;
    fault.fail_count = 1000000;
    size_t n = 0;
    while (gh_alloc(w.m, at(&w, 1), 16) == GH_OK) {
        n++;
    }
    CHECK(n > 0);
    uint64_t id = 77;
    CHECK(gh_cleanup_add(w.m, at(&w, 0), 1, &id) == GH_ERR_NOMEM && id == 77);
    CHECK(gh_weak_make(w.m, at(&w, 2), at(&w, 0)) == GH_ERR_NOMEM);
    CHECK_EQ(at(&w, 2)->word, 0);
    CHECK(gh_verify(w.m, say, NULL) == 0);
    fault.fail_count = 0;
    CHECK(gh_cleanup_add(w.m, at(&w, 0), 1, &id) == GH_OK && id == 1);
    end(&w);
}

// Beside the program: finalizers are scanned as roots, and fire in the sweeps.
static void
test_virtual(void)
{
    world w = make(GH_MODE_VIRTUAL, false, 2);
    (void)gh_set_gogc(w.m, 10);
    uint64_t finals = 0, cleanups = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        new_node(&w, i % 100);
        set(&w, i % 100, i);
        if (i % 3 == 0) {
            (void)add(&w, i % 100, i);
            CHECK(gh_weak_make(w.m, at(&w, 100 + i % 100), at(&w, i % 100))
                  == GH_OK);
        }
        if (i % 1000 == 0) {
            (void)gh_call_gather(w.h);
            gh_call c;
            while (gh_call_take(w.h, &c)) {
                if (c.kind == GH_CALL_FINALIZER) {
                    finals++;
                    gh_handle_drop(w.h, c.handle);
                } else {
                    cleanups++;
                }
            }
        }
        if (i % 40000 == 0) {
            CHECK(gh_verify(w.m, say, NULL) == 0);
        }
    }
    CHECK(finals > 10000 && cleanups > 3000);
    gh_final_stats f;
    gh_final_stats_get(w.h, &f);
    CHECK_EQ(f.finalizers_taken, finals);
    CHECK_EQ(f.cleanups_taken, cleanups);
    end(&w);
}

int
main(void)
{
    test_finalizer(true);
    test_finalizer(false);
    test_chain();
    test_queued();
    test_places();
    test_cleanup();
    test_cleanup_blocks(true);
    test_cleanup_blocks(false);
    test_lazy();
    test_weak();
    test_weak_unswept();
    test_marking();
    test_double();
    test_kinds();
    test_pins();
    test_take();
    test_end();
    test_no_memory();
    test_virtual();
    return 0;
}

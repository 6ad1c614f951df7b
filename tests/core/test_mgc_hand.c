// test_mgc_hand.c: a cycle driven by hand, with mutators between its steps. Each
// half of the barrier, allocate-black, slots and blocks that are dropped, and
// random interleavings against a model.

#include "check.h"
#include "goheap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
say(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", line);
}

static gh_heap *
make(gh_mut **m, bool eager)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    opt.policy.eager_sweep = eager;
    gh_heap *h;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, m) == GH_OK);
    return h;
}

static const gh_type *
node_type(gh_mut *m, uint64_t words)
{
    static const uint64_t mask[1] = {0xff};
    const gh_type_desc d = {.name = "node", .size = words * 8, .align = 8,
                            .ptrdata = words * 8, .mask = mask};
    uint64_t own[1] = {mask[0] & (((uint64_t)1 << words) - 1)};
    gh_type_desc e = d;
    e.mask = own;
    const gh_type *t;
    CHECK(gh_type_new(m, &e, &t) == GH_OK);
    return t;
}

typedef struct heard {
    uint64_t scanned[64], greyed[64];
    size_t nscanned, ngreyed;
} heard;

static void
hear(void *arg, bool scanned, uint64_t addr)
{
    heard *x = arg;
    if (scanned) {
        x->scanned[x->nscanned++] = addr;
    } else {
        x->greyed[x->ngreyed++] = addr;
    }
}

static gh_color
color(gh_heap *h, uint64_t addr)
{
    gh_color c;
    CHECK(gh_color_at(h, addr, &c) == GH_OK);
    return c;
}

// A -> B, C; B -> D: first in, first out.
static void
test_order(void)
{
    gh_mut *m;
    gh_heap *h = make(&m, true);
    const gh_type *t = node_type(m, 2);
    gh_slots *b, *root;
    CHECK(gh_slots_new(h, 4, &b) == GH_OK);
    uint64_t a[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(gh_new(m, gh_slots_at(b, i), t, 1) == GH_OK);
        a[i] = gh_addr(h, gh_slots_at(b, i));
    }
    CHECK(gh_store(m, gh_slots_at(b, 0), 0, gh_slots_at(b, 1)) == GH_OK);
    CHECK(gh_store(m, gh_slots_at(b, 0), 1, gh_slots_at(b, 2)) == GH_OK);
    CHECK(gh_store(m, gh_slots_at(b, 1), 0, gh_slots_at(b, 3)) == GH_OK);
    CHECK(gh_slots_new(h, 1, &root) == GH_OK);
    gh_set(m, gh_slots_at(root, 0), gh_slots_at(b, 0));
    gh_slots_free(b);

    uint64_t left;
    CHECK(gh_gc_step(m, 1, NULL, NULL, &left) == GH_ERR_STATE);
    CHECK(gh_gc_finish(m) == GH_ERR_STATE);
    CHECK(gh_gc_start(m) == GH_OK);
    CHECK(gh_gc_start(m) == GH_ERR_STATE);
    CHECK(gh_gc_phase(h) == GH_PHASE_MARK);
    CHECK(color(h, a[0]) == GH_GREY && color(h, a[1]) == GH_WHITE);
    heard x = {0};
    CHECK(gh_gc_step(m, 1, hear, &x, &left) == GH_OK);
    CHECK(x.nscanned == 1 && x.scanned[0] == a[0] && left == 2);
    CHECK(x.ngreyed == 2 && x.greyed[0] == a[1] && x.greyed[1] == a[2]);
    CHECK(color(h, a[0]) == GH_BLACK && color(h, a[1]) == GH_GREY);
    CHECK(color(h, a[3]) == GH_WHITE);
    CHECK(gh_verify(m, say, NULL) == 0);
    x = (heard){0};
    CHECK(gh_gc_step(m, 5, hear, &x, &left) == GH_OK);
    CHECK(left == 0 && x.nscanned == 3 && x.scanned[2] == a[3]);
    CHECK(gh_gc_finish(m) == GH_OK);
    CHECK(gh_gc_phase(h) == GH_PHASE_OFF && gh_cycles(h) == 1);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK(s.heap_objects == 4);
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_slots_free(root);
    gh_leave(m);
    gh_heap_free(h);
}

// The object that is lost without a barrier: its only pointer moves from a white
// object into a black one (insertion), or into a slot (deletion).
static void
test_barrier(bool into_black)
{
    gh_mut *m;
    gh_heap *h = make(&m, true);
    const gh_type *t = node_type(m, 2);
    gh_slots *b;
    CHECK(gh_slots_new(h, 4, &b) == GH_OK);
    gh_slot *black = gh_slots_at(b, 0), *white = gh_slots_at(b, 1);
    gh_slot *tmp = gh_slots_at(b, 2), *late = gh_slots_at(b, 3);
    CHECK(gh_new(m, black, t, 1) == GH_OK);
    CHECK(gh_new(m, white, t, 1) == GH_OK);
    CHECK(gh_new(m, tmp, t, 1) == GH_OK);
    CHECK(gh_store(m, white, 0, tmp) == GH_OK);
    const uint64_t moved = gh_addr(h, tmp);
    gh_clear(m, tmp);
    CHECK(gh_gc_start(m) == GH_OK);
    uint64_t left;
    CHECK(gh_gc_step(m, 1, NULL, NULL, &left) == GH_OK);
    CHECK(color(h, gh_addr(h, black)) == GH_BLACK);
    CHECK(color(h, moved) == GH_WHITE);
    CHECK(gh_load(m, into_black ? tmp : late, white, 0) == GH_OK);
    if (into_black) {
        CHECK(gh_store(m, black, 0, tmp) == GH_OK);
        gh_clear(m, tmp);
    }
    CHECK(gh_store(m, white, 0, NULL) == GH_OK);
    CHECK(color(h, moved) == GH_GREY);
    CHECK(gh_verify(m, say, NULL) == 0);
    CHECK(gh_gc_finish(m) == GH_OK);
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_object o;
    CHECK(gh_object_at_addr(h, moved, &o) == GH_OK);
    gh_slots_free(b);
    gh_leave(m);
    gh_heap_free(h);
}

// What is dropped while marking is shaded: a slot, a handle, a block, a pin; it
// floats to the next cycle. What is allocated while marking is black.
static void
test_dropped(void)
{
    gh_mut *m;
    gh_heap *h = make(&m, true);
    const gh_type *t = node_type(m, 1);
    gh_slots *b, *c, *home;
    CHECK(gh_slots_new(h, 6, &b) == GH_OK);
    CHECK(gh_slots_new(h, 1, &c) == GH_OK);
    CHECK(gh_slots_new(h, 1, &home) == GH_OK);
    // Five children that only a row of pointers holds, loaded once marking runs.
    CHECK(gh_new(m, gh_slots_at(home, 0), t, 5) == GH_OK);
    uint64_t child[5];
    for (uint64_t i = 0; i < 5; i++) {
        CHECK(gh_new(m, gh_slots_at(b, 0), t, 1) == GH_OK);
        child[i] = gh_addr(h, gh_slots_at(b, 0));
        CHECK(gh_store(m, gh_slots_at(home, 0), i, gh_slots_at(b, 0)) == GH_OK);
    }
    gh_clear(m, gh_slots_at(b, 0));
    CHECK(gh_gc_start(m) == GH_OK);
    uint32_t id;
    gh_pin *pin;
    CHECK(gh_handle_new(m, &id) == GH_OK);
    CHECK(gh_load(m, gh_slots_at(b, 0), gh_slots_at(home, 0), 0) == GH_OK);
    CHECK(gh_load(m, gh_handle_slot(h, id), gh_slots_at(home, 0), 1) == GH_OK);
    CHECK(gh_load(m, gh_slots_at(c, 0), gh_slots_at(home, 0), 2) == GH_OK);
    CHECK(gh_load(m, gh_slots_at(b, 1), gh_slots_at(home, 0), 3) == GH_OK);
    CHECK(gh_pin_new(m, gh_slots_at(b, 1), &pin) == GH_OK);
    for (size_t i = 0; i < 4; i++) {
        CHECK(color(h, child[i]) == GH_WHITE);
    }
    gh_clear(m, gh_slots_at(b, 0));
    CHECK(color(h, child[0]) == GH_GREY);
    gh_handle_drop(h, id);
    gh_slots_free(c);
    gh_pin_free(pin);
    CHECK(gh_alloc(m, gh_slots_at(b, 2), 100) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 3), 3) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 4), 100000) == GH_OK);
    CHECK(gh_new(m, gh_slots_at(b, 5), t, 100) == GH_OK);
    for (size_t i = 2; i < 6; i++) {
        CHECK(color(h, gh_addr(h, gh_slots_at(b, i))) == GH_BLACK);
    }
    uint64_t left;
    CHECK(gh_gc_step(m, 0, NULL, NULL, &left) == GH_OK);
    for (size_t i = 0; i < 4; i++) {
        CHECK(color(h, child[i]) == GH_GREY);
    }
    CHECK(color(h, child[4]) == GH_WHITE);
    CHECK(gh_verify(m, say, NULL) == 0);
    CHECK(gh_gc_finish(m) == GH_OK);
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_slots_free(b);
    gh_slots_free(home);
    CHECK(gh_gc(m) == GH_OK);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK(s.heap_objects == 0);
    gh_leave(m);
    gh_heap_free(h);
}

// Ends with blocks and pins dropped in the middle of a cycle: nothing leaks (the
// sanitizers say so).
static void
test_end_while_marking(void)
{
    gh_mut *m;
    gh_heap *h = make(&m, true);
    gh_slots *b;
    gh_pin *pin;
    CHECK(gh_slots_new(h, 1, &b) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 0), 100) == GH_OK);
    CHECK(gh_pin_new(m, gh_slots_at(b, 0), &pin) == GH_OK);
    CHECK(gh_gc_start(m) == GH_OK);
    gh_leave(m);
    gh_pin_free(pin);
    gh_slots_free(b);
    gh_heap_free(h);
}

// ---- random interleavings ---------------------------------------------------------

#define NODES 60u
#define SLOTS 8u

static uint64_t seed;

static uint64_t
draw(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
}

// The model: what each slot and each node's words hold, as stamps. Every node is
// given its stamp in a scalar word, so that a freed or reused node shows.
typedef struct node {
    uint64_t stamp;
    int kid[3];  // index into nodes, -1: nil
} node;

static node *nodes;
static size_t nnodes;
static int held[SLOTS];

static void
check_graph(gh_mut *m, gh_slots *b)
{
    gh_heap *h = gh_mut_heap(m);
    gh_slots *two;
    CHECK(gh_slots_new(h, 2, &two) == GH_OK);
    for (size_t i = 0; i < SLOTS; i++) {
        int at = held[i];
        gh_set(m, gh_slots_at(two, 0), gh_slots_at(b, i));
        for (int steps = 0; at >= 0 && steps < 20; steps++) {
            const uint64_t *words = gh_data(gh_slots_at(two, 0));
            CHECK(words[3] == nodes[at].stamp);
            const unsigned k = (unsigned)draw(3);
            CHECK(gh_load(m, gh_slots_at(two, 1), gh_slots_at(two, 0), k)
                  == GH_OK);
            gh_set(m, gh_slots_at(two, 0), gh_slots_at(two, 1));
            at = nodes[at].kid[k];
        }
        CHECK(at >= 0 || gh_slots_at(two, 0)->word == 0);
    }
    gh_slots_free(two);
}

static void
test_interleavings(uint64_t start, bool eager)
{
    seed = start;
    gh_mut *m;
    gh_heap *h = make(&m, eager);
    static const uint64_t mask[1] = {7};
    const gh_type_desc d = {.name = "n", .size = 32, .align = 8, .ptrdata = 24,
                            .mask = mask};
    const gh_type *t;
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, SLOTS, &b) == GH_OK);
    nodes = calloc(600, sizeof(*nodes));
    nnodes = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        held[i] = -1;
    }
    for (int step = 0; step < 400; step++) {
        const size_t x = draw(SLOTS), y = draw(SLOTS);
        switch (draw(9)) {
        case 0:
        case 1: {
            CHECK(gh_new(m, gh_slots_at(b, x), t, 1) == GH_OK);
            nodes[nnodes] = (node){nnodes + 1, {-1, -1, -1}};
            ((uint64_t *)gh_data(gh_slots_at(b, x)))[3] = nnodes + 1;
            held[x] = (int)nnodes++;
            break;
        }
        case 2:
        case 3: {
            const unsigned k = (unsigned)draw(3);
            if (held[x] >= 0) {
                CHECK(gh_store(m, gh_slots_at(b, x), k,
                               held[y] < 0 ? NULL : gh_slots_at(b, y))
                      == GH_OK);
                nodes[held[x]].kid[k] = held[y];
            }
            break;
        }
        case 4: {
            const unsigned k = (unsigned)draw(3);
            if (held[x] >= 0) {
                CHECK(gh_load(m, gh_slots_at(b, y), gh_slots_at(b, x), k)
                      == GH_OK);
                held[y] = nodes[held[x]].kid[k];
            }
            break;
        }
        case 5:
            gh_clear(m, gh_slots_at(b, x));
            held[x] = -1;
            break;
        case 6:
            if (gh_gc_phase(h) == GH_PHASE_OFF) {
                CHECK(gh_gc_start(m) == GH_OK);
            }
            break;
        case 7:
            if (gh_gc_phase(h) == GH_PHASE_MARK) {
                uint64_t left;
                CHECK(gh_gc_step(m, draw(4), NULL, NULL, &left) == GH_OK);
                if (left == 0) {
                    CHECK(gh_gc_finish(m) == GH_OK);
                }
            }
            break;
        case 8:
            if (draw(8) == 0) {
                CHECK(gh_gc(m) == GH_OK);
            }
            break;
        }
        if (gh_verify(m, say, NULL) != 0) {
            (void)fprintf(stderr, "seed %llu, step %d\n",
                          (unsigned long long)start, step);
            exit(1);
        }
        check_graph(m, b);
    }
    free(nodes);
    gh_slots_free(b);
    CHECK(gh_gc(m) == GH_OK && gh_gc(m) == GH_OK);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK(s.heap_objects == 0);
    gh_leave(m);
    gh_heap_free(h);
}

int
main(void)
{
    test_order();
    test_barrier(true);
    test_barrier(false);
    test_dropped();
    test_end_while_marking();
    for (uint64_t s = 1; s <= 60; s++) {
        test_interleavings(s, s % 2 == 0);
    }
    return 0;
}

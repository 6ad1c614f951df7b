// test_mcheckmark.c: the second opinion after marking, and objects that an
// unsound barrier loses: kept whole, named, and refused to whoever asks.

#include "check.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "goheap.h"
#include "heap.h"
#include "mcheckmark.h"

typedef struct fixture {
    gh_heap *h;
    gh_mut *m;
    gh_slots *s;
    const gh_type *node;  // two pointers
} fixture;

static fixture
setup(gh_barrier barrier, bool checkmark)
{
    static const uint64_t mask[1] = {3};
    fixture f;
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    opt.policy.barrier = barrier;
    opt.debug.checkmark = checkmark;
    CHECK(gh_heap_new(&opt, &f.h) == GH_OK);
    CHECK(gh_enter(f.h, 0, &f.m) == GH_OK);
    CHECK(gh_slots_new(f.h, 8, &f.s) == GH_OK);
    const gh_type_desc d = {.name = "node", .size = 16, .align = 8,
                            .ptrdata = 16, .mask = mask};
    CHECK(gh_type_new(f.m, &d, &f.node) == GH_OK);
    return f;
}

static gh_slot *
at(const fixture *f, size_t i)
{
    return gh_slots_at(f->s, i);
}

// lines keeps what verify says.
typedef struct lines {
    size_t n;
    char last[300];
} lines;

static void
keep_line(void *arg, const char *line)
{
    lines *l = arg;
    l->n++;
    (void)snprintf(l->last, sizeof(l->last), "%s", line);
}

static size_t
verify(const fixture *f, lines *l)
{
    *l = (lines){0};
    return gh_verify(f->m, keep_line, l);
}

static void
teardown(fixture *f)
{
    gh_slots_free(f->s);
    gh_leave(f->m);
    gh_heap_free(f->h);
}

// start makes A -> nil and B -> C, both in slots, and marks A.
static void
start(const fixture *f)
{
    static const char *const names[] = {"A", "B", "C"};
    for (size_t i = 0; i < 3; i++) {
        CHECK(gh_new(f->m, at(f, i), f->node, 1) == GH_OK);
        CHECK(gh_label_set(f->m, gh_addr(f->h, at(f, i)), names[i]) == GH_OK);
    }
    CHECK(gh_store(f->m, at(f, 1), 0, at(f, 2)) == GH_OK);
    gh_clear(f->m, at(f, 2));
    CHECK(gh_gc_start(f->m) == GH_OK);
    uint64_t left;
    CHECK(gh_gc_step(f->m, 1, NULL, NULL, &left) == GH_OK);
    CHECK_EQ(left, 1);
}

typedef struct path {
    uint64_t addr[8];
    char label[8][8];
    size_t n;
} path;

static void
on_path(void *arg, uint64_t addr, const char *label)
{
    path *p = arg;
    p->addr[p->n] = addr;
    (void)snprintf(p->label[p->n++], sizeof(p->label[0]), "%s",
                   label == NULL ? "" : label);
}

// A pointer moves from an unscanned object into a slot and is deleted behind
// it: without the deletion half the marker never sees it.
static void
test_moved_into_a_slot(void)
{
    for (int b = GH_BARRIER_HYBRID; b <= GH_BARRIER_NONE; b++) {
        fixture f = setup((gh_barrier)b, false);
        lines l;
        start(&f);
        CHECK(gh_load(f.m, at(&f, 3), at(&f, 1), 0) == GH_OK);
        const uint64_t c = gh_addr(f.h, at(&f, 3));
        uintptr_t *bytes = gh_data(at(&f, 3));
        CHECK(gh_store(f.m, at(&f, 1), 0, NULL) == GH_OK);
        const bool lost = b >= GH_BARRIER_INSERTION;
        CHECK_EQ(gh_can_lose(f.h), lost);
        CHECK_EQ(verify(&f, &l), lost);
        CHECK(!lost || strstr(l.last, "[inv:gc.tricolour]") != NULL);
        CHECK(!lost || strstr(l.last, ", C is reachable and white") != NULL);
        CHECK(gh_gc_finish(f.m) == GH_OK);
        CHECK_EQ(gh_lost(f.h), lost);
        CHECK_EQ(gh_checkmarks(f.h), lost);
        if (!lost) {
            CHECK(gh_check_lost(f.m, at(&f, 3)) == GH_OK);
            CHECK_EQ(verify(&f, &l), 0);
            teardown(&f);
            continue;
        }
        CHECK_EQ(verify(&f, &l), 1);
        CHECK(strcmp(l.last, "[inv:gc.lost] C was freed by cycle 1 and is "
                             "reachable: roots -> C") == 0);
        // Whoever uses it is told.
        gh_object o;
        gh_pin *pin;
        gh_color color;
        const gh_slot *x = at(&f, 3);
        CHECK(gh_check_lost(f.m, x) == GH_ERR_LOST);
        CHECK(gh_object_at(f.h, x, &o) == GH_ERR_LOST);
        CHECK(gh_object_at_addr(f.h, c + 8, &o) == GH_ERR_LOST);
        CHECK(gh_color_at(f.h, c, &color) == GH_ERR_LOST);
        CHECK(gh_load(f.m, at(&f, 4), x, 0) == GH_ERR_LOST);
        CHECK(gh_load_any(f.m, at(&f, 4), x, 0) == GH_ERR_LOST);
        CHECK(gh_store(f.m, x, 0, at(&f, 0)) == GH_ERR_LOST);
        CHECK(gh_store(f.m, at(&f, 0), 0, x) == GH_ERR_LOST);
        CHECK(gh_store_any(f.m, at(&f, 0), 0, x) == GH_ERR_LOST);
        CHECK(gh_set_interior(f.m, at(&f, 4), x, 8) == GH_ERR_LOST);
        CHECK(gh_addr_to_slot(f.m, at(&f, 4), c) == GH_ERR_LOST);
        CHECK(gh_pin_new(f.m, x, &pin) == GH_ERR_LOST);
        CHECK(gh_label_set(f.m, c, "D") == GH_ERR_LOST);
        uint64_t found;
        CHECK(gh_label_find(f.h, "C", &found) == GH_ERR_LOST);
        path p = {.n = 0};
        gh_lost_info info;
        CHECK(gh_lost_path(f.m, &info, on_path, &p));
        CHECK(info.reachable && info.root == GH_ROOT_SLOT && info.cycle == 1);
        CHECK_EQ(info.addr, c);
        CHECK_EQ(p.n, 1);
        CHECK(p.addr[0] == c && strcmp(p.label[0], "C") == 0);
        // Its slot is nobody else's: what is written there harms nobody.
        for (int i = 0; i < 2000; i++) {
            CHECK(gh_new(f.m, at(&f, 5), f.node, 1) == GH_OK);
            CHECK(gh_data(at(&f, 5)) != bytes);
        }
        memset(bytes, 0, 16);
        CHECK(gh_gc(f.m) == GH_OK);
        CHECK_EQ(gh_lost(f.h), 1);
        // Nothing reaches it any more: the next cycle frees it.
        gh_clear(f.m, at(&f, 3));
        CHECK_EQ(verify(&f, &l), 1);
        CHECK(strcmp(l.last, "[inv:gc.lost] C was freed by cycle 1; nothing "
                             "reaches it any more") == 0);
        CHECK(gh_gc(f.m) == GH_OK);
        CHECK_EQ(gh_lost(f.h), 0);
        CHECK_EQ(verify(&f, &l), 0);
        CHECK(!gh_lost_path(f.m, &info, on_path, &p));
        CHECK(gh_object_at_addr(f.h, c, &o) == GH_ERR_BADPTR);
        teardown(&f);
    }
}

// A pointer moves from an unscanned object into a black one: the insertion half
// alone keeps it, too.
static void
test_moved_into_an_object(void)
{
    for (int b = GH_BARRIER_HYBRID; b <= GH_BARRIER_NONE; b++) {
        fixture f = setup((gh_barrier)b, false);
        lines l;
        start(&f);
        CHECK(gh_load(f.m, at(&f, 3), at(&f, 1), 0) == GH_OK);
        CHECK(gh_store(f.m, at(&f, 0), 1, at(&f, 3)) == GH_OK);
        CHECK(gh_store(f.m, at(&f, 1), 0, NULL) == GH_OK);
        gh_clear(f.m, at(&f, 3));
        CHECK(gh_gc_finish(f.m) == GH_OK);
        const bool lost = b == GH_BARRIER_NONE;
        CHECK_EQ(gh_lost(f.h), lost);
        CHECK_EQ(verify(&f, &l), lost);
        CHECK(gh_load(f.m, at(&f, 4), at(&f, 0), 1)
              == (lost ? GH_ERR_LOST : GH_OK));
        if (lost) {
            CHECK(strstr(l.last, "is reachable: roots -> A -> C") != NULL);
            path p = {.n = 0};
            gh_lost_info info;
            CHECK(gh_lost_path(f.m, &info, on_path, &p));
            CHECK_EQ(p.n, 2);
            CHECK(strcmp(p.label[0], "A") == 0 && strcmp(p.label[1], "C") == 0);
            CHECK_EQ(at(&f, 4)->word, 0);
        }
        teardown(&f);
    }
}

// A dropped handle is shaded by the deletion half only.
static void
test_dropped_handle(void)
{
    for (int b = GH_BARRIER_HYBRID; b <= GH_BARRIER_NONE; b++) {
        fixture f = setup((gh_barrier)b, false);
        start(&f);
        uint32_t id;
        CHECK(gh_handle_new(f.m, &id) == GH_OK);
        CHECK(gh_load(f.m, gh_handle_slot(f.h, id), at(&f, 1), 0) == GH_OK);
        const uint64_t c = gh_addr(f.h, gh_handle_slot(f.h, id));
        gh_handle_drop(f.h, id);
        uint64_t left;
        CHECK(gh_gc_step(f.m, 0, NULL, NULL, &left) == GH_OK);
        gh_color color;
        CHECK(gh_color_at(f.h, c, &color) == GH_OK);
        CHECK_EQ(color, b <= GH_BARRIER_DELETION ? GH_GREY : GH_WHITE);
        CHECK(gh_gc_finish(f.m) == GH_OK);
        CHECK_EQ(gh_lost(f.h), 0);
        teardown(&f);
    }
}

// An address that becomes a root while marking may be the only way to a white
// object, so it is shaded.
static void
test_address_becomes_a_root(void)
{
    fixture f = setup(GH_BARRIER_HYBRID, true);
    CHECK(gh_new(f.m, at(&f, 0), f.node, 1) == GH_OK);
    const uint64_t a = gh_addr(f.h, at(&f, 0));
    gh_clear(f.m, at(&f, 0));
    CHECK(gh_gc_start(f.m) == GH_OK);
    CHECK(gh_addr_to_slot(f.m, at(&f, 1), a) == GH_OK);
    CHECK(gh_gc_finish(f.m) == GH_OK);
    gh_object o;
    CHECK(gh_object_at(f.h, at(&f, 1), &o) == GH_OK);
    CHECK_EQ(gh_checkmarks(f.h), 1);
    lines l;
    CHECK_EQ(verify(&f, &l), 0);
    teardown(&f);
}

// in_child runs fn in a child and returns its wait status.
static int
in_child(void (*fn)(void))
{
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)freopen("/dev/null", "w", stderr);
        fn();
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

// forget clears the mark of an object that the marker has found.
static void
forget(bool checkmark)
{
    fixture f = setup(GH_BARRIER_HYBRID, checkmark);
    CHECK(gh_new(f.m, at(&f, 0), f.node, 1) == GH_OK);
    CHECK(gh_new(f.m, at(&f, 1), f.node, 1) == GH_OK);
    CHECK(gh_gc_start(f.m) == GH_OK);
    uint64_t left;
    CHECK(gh_gc_step(f.m, 10, NULL, NULL, &left) == GH_OK);
    unsigned i = 0;
    const gh_mspan *s = gh_find_object(f.h, at(&f, 1)->word, &i);
    gh_mspan_mark_bits(&f.h->bm, s)[0] &= ~((uint64_t)1 << i);
    if (!checkmark) {
        return;
    }
    CHECK(gh_gc_finish(f.m) == GH_OK);
}

static void
forget_unseen(void)
{
    forget(false);
}

static void
forget_seen(void)
{
    forget(true);
}

// Checkmark throws at what the marker missed.
static void
test_checkmark_throws(void)
{
    CHECK_EQ(in_child(forget_unseen), 0);
    const int status = in_child(forget_seen);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void
lose_without_memory(void)
{
    fixture f = setup(GH_BARRIER_NONE, false);
    // So many objects that their bits need a mapping of their own.
    for (int i = 0; i < 3000000; i++) {
        CHECK(gh_alloc_spanclass(f.m, at(&f, 7), 3, 8, NULL) == GH_OK);
    }
    start(&f);
    CHECK(gh_load(f.m, at(&f, 3), at(&f, 1), 0) == GH_OK);
    CHECK(gh_store(f.m, at(&f, 1), 0, NULL) == GH_OK);
    const struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_AS, &none) == 0);
    CHECK(gh_gc_finish(f.m) == GH_OK);
    CHECK_EQ(gh_checkmarks(f.h), 0);
    CHECK_EQ(gh_lost(f.h), 0);
    gh_object o;
    CHECK(gh_object_at(f.h, at(&f, 3), &o) == GH_OK);
    gh_memstats stats;
    gh_stats(f.m, &stats);
    CHECK_EQ(stats.heap_objects, 3000003);
}

// Without memory for a second opinion a cycle under an unsound barrier frees
// nothing.
static void
test_no_memory(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return;  // they need memory of their own
#endif
    CHECK_EQ(in_child(lose_without_memory), 0);
}

// With checkmark every cycle of every kind is compared, and figures stay.
static void
test_checkmark_changes_nothing(void)
{
    gh_memstats stats[2];
    for (int on = 0; on < 2; on++) {
        fixture f = setup(GH_BARRIER_HYBRID, on != 0);
        (void)gh_set_gogc(f.m, 20);
        for (int i = 0; i < 200000; i++) {
            CHECK(gh_new(f.m, at(&f, (size_t)i % 8), f.node, 1) == GH_OK);
            CHECK(gh_store(f.m, at(&f, (size_t)i % 8), 0,
                           at(&f, (size_t)(i * 5 + 1) % 8)) == GH_OK);
        }
        gh_stats(f.m, &stats[on]);
        CHECK(stats[on].num_gc > 2);
        CHECK_EQ(gh_checkmarks(f.h), on ? stats[on].num_gc : 0);
        teardown(&f);
    }
    CHECK(memcmp(&stats[0], &stats[1], sizeof(stats[0])) == 0);
}

// grow_tree makes slot hold a full binary tree.
static void
grow_tree(const fixture *f, gh_slot *slot, int depth)
{
    gh_slots *s;
    CHECK(gh_slots_new(f->h, 2, &s) == GH_OK);
    CHECK(gh_new(f->m, slot, f->node, 1) == GH_OK);
    for (size_t i = 0; i < 2 && depth > 0; i++) {
        grow_tree(f, gh_slots_at(s, i), depth - 1);
        CHECK(gh_store(f->m, slot, i, gh_slots_at(s, i)) == GH_OK);
    }
    gh_slots_free(s);
}

// Random programs and the marker by turns, under each unsound barrier: whatever
// is lost is named, the rest of the heap stays sound, and in the end, when
// nothing is reached, nothing is left.
static void
test_any_order(void)
{
    uint64_t found = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        fixture f = setup(seed % 2 == 0 ? GH_BARRIER_NONE : GH_BARRIER_INSERTION,
                          seed % 3 == 0);
        uint64_t x = seed * 0x9e3779b97f4a7c15u;
        for (int i = 0; i < 300; i++) {
            if (i % 100 == 0) {
                CHECK(gh_gc(f.m) == GH_OK);
                grow_tree(&f, at(&f, 0), 5);
                CHECK(gh_gc_start(f.m) == GH_OK);
            }
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            gh_slot *a = at(&f, x >> 8 & 7), *b = at(&f, x >> 16 & 7);
            const uint64_t word = x >> 24 & 1;
            gh_status st = GH_OK;
            uint64_t left = 1;
            switch (a->word == 0 ? 0 : x & 15) {
            case 0:
                gh_set(f.m, a, b);
                break;
            case 1:
                st = gh_new(f.m, a, f.node, 1);
                break;
            case 2: case 3:
                st = gh_store(f.m, a, word, b);
                break;
            case 4: case 5: case 6: case 7:
                st = gh_store(f.m, a, word, NULL);
                break;
            case 8: case 9: case 10: case 11: case 12: case 13:
                st = gh_load(f.m, b, a, word);
                break;
            default:
                if (gh_gc_phase(f.h) == GH_PHASE_MARK) {
                    CHECK(gh_gc_step(f.m, word, NULL, NULL, &left) == GH_OK);
                }
                if (left == 0 || i % 100 == 80) {
                    CHECK(gh_gc(f.m) == GH_OK);
                }
            }
            CHECK(st == GH_OK || (st == GH_ERR_LOST && gh_lost(f.h) > 0));
            found += st == GH_ERR_LOST;
            lines l;
            if (verify(&f, &l) > 0) {
                CHECK(strstr(l.last, "[inv:gc.lost]") != NULL
                      || strstr(l.last, "[inv:gc.tricolour]") != NULL);
            }
        }
        for (size_t i = 0; i < 8; i++) {
            gh_clear(f.m, at(&f, i));
        }
        CHECK(gh_gc(f.m) == GH_OK);
        CHECK(gh_gc(f.m) == GH_OK);
        lines l;
        CHECK_EQ(verify(&f, &l), 0);
        gh_memstats stats;
        gh_stats(f.m, &stats);
        CHECK_EQ(stats.heap_objects, 0);
        teardown(&f);
    }
    CHECK(found > 100);
}

int
main(void)
{
    test_moved_into_a_slot();
    test_moved_into_an_object();
    test_dropped_handle();
    test_address_becomes_a_root();
    test_checkmark_throws();
    test_no_memory();
    test_checkmark_changes_nothing();
    test_any_order();
    return 0;
}

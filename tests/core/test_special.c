// test_special.c: labels. They are found both ways, belong to one object, and go
// with it, whenever its span is swept.

#include "check.h"
#include "goheap.h"

#include <stdio.h>
#include <string.h>

// The collector's work buffers don't count.
#define BUFFERS (256u << 10)

static void
say(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", line);
}

static gh_heap *
make(bool eager, uint64_t hard_limit)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    opt.policy.eager_sweep = eager;
    opt.hard_limit = hard_limit;
    gh_heap *h;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    return h;
}

static void
test_names(void)
{
    gh_heap *h = make(true, UINT64_MAX);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 3, &b) == GH_OK);
    uint64_t addr[3];
    for (size_t i = 0; i < 3; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), i == 2 ? 100000 : 100) == GH_OK);
        addr[i] = gh_addr(h, gh_slots_at(b, i));
    }
    uint64_t at;
    CHECK(gh_label_find(h, "A", &at) == GH_ERR_BADPTR);
    CHECK(gh_label_at(h, addr[0]) == NULL);
    CHECK(gh_label_set(m, addr[1], "B") == GH_OK);
    CHECK(gh_label_set(m, addr[0] + 99, "A") == GH_OK);
    CHECK(gh_label_set(m, addr[2], "big") == GH_OK);
    CHECK(gh_label_find(h, "A", &at) == GH_OK && at == addr[0]);
    CHECK(strcmp(gh_label_at(h, addr[0] + 5), "A") == 0);
    CHECK(gh_label_find(h, "big", &at) == GH_OK && at == addr[2]);
    // A name has one object, an object one name.
    CHECK(gh_label_set(m, addr[0], "B") == GH_ERR_STATE);
    CHECK(strcmp(gh_label_at(h, addr[0]), "A") == 0);
    CHECK(gh_label_set(m, addr[0], "A") == GH_OK);
    CHECK(gh_label_set(m, addr[0], "a2") == GH_OK);
    CHECK(gh_label_find(h, "A", &at) == GH_ERR_BADPTR);
    CHECK(gh_label_set(m, addr[0], NULL) == GH_OK);
    CHECK(gh_label_at(h, addr[0]) == NULL);
    CHECK(gh_label_set(m, addr[0], NULL) == GH_OK);
    CHECK(gh_label_set(m, addr[0] + 4000, "x") == GH_ERR_BADPTR);
    // Two parts of a tiny block have a name each, and go together.
    CHECK(gh_alloc(m, gh_slots_at(b, 0), 3) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 1), 4) == GH_OK);
    const uint64_t t0 = gh_addr(h, gh_slots_at(b, 0));
    const uint64_t t1 = gh_addr(h, gh_slots_at(b, 1));
    CHECK(t1 == t0 + 4);
    CHECK(gh_label_set(m, t1 + 1, "t1") == GH_OK);
    CHECK(gh_label_set(m, t0, "t0") == GH_OK);
    CHECK(strcmp(gh_label_at(h, t1), "t1") == 0);
    CHECK(strcmp(gh_label_at(h, t0 + 2), "t0") == 0);
    gh_clear(m, gh_slots_at(b, 0));
    CHECK(gh_gc(m) == GH_OK && gh_label_find(h, "t0", &at) == GH_OK);
    gh_clear(m, gh_slots_at(b, 1));
    CHECK(gh_gc(m) == GH_OK);
    CHECK(gh_label_find(h, "t0", &at) == GH_ERR_BADPTR);
    CHECK(gh_label_find(h, "t1", &at) == GH_ERR_BADPTR);
    gh_slot zero = {0};
    CHECK(gh_alloc(m, &zero, 0) == GH_OK);
    CHECK(gh_label_set(m, gh_addr(h, &zero), "zero") == GH_ERR_BADPTR);
    gh_slots_free(b);
    gh_leave(m);
    gh_heap_free(h);
}

// A thousand names, every third object dropped: those names are gone and can be
// given again, the others are where they were.
static void
test_death(bool eager)
{
    enum { N = 1000 };
    gh_heap *h = make(eager, UINT64_MAX);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, N, &b) == GH_OK);
    uint64_t addr[N];
    char name[32];
    for (size_t i = 0; i < N; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), 16 + i % 5 * 300) == GH_OK);
        addr[i] = gh_addr(h, gh_slots_at(b, i));
        (void)snprintf(name, sizeof(name), "name %zu", i);
        CHECK(gh_label_set(m, addr[i], name) == GH_OK);
    }
    for (size_t i = 0; i < N; i += 3) {
        gh_clear(m, gh_slots_at(b, i));
    }
    CHECK(gh_gc(m) == GH_OK);
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(name, sizeof(name), "name %zu", i);
        uint64_t at;
        const gh_status st = gh_label_find(h, name, &at);
        CHECK(i % 3 == 0 ? st == GH_ERR_BADPTR : st == GH_OK && at == addr[i]);
    }
    // The slots are handed out again, without a name.
    for (size_t i = 0; i < N; i += 3) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), 16 + i % 5 * 300) == GH_OK);
        CHECK(gh_label_at(h, gh_addr(h, gh_slots_at(b, i))) == NULL);
        (void)snprintf(name, sizeof(name), "name %zu", i);
        CHECK(gh_label_set(m, gh_addr(h, gh_slots_at(b, i)), name) == GH_OK);
    }
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_slots_free(b);
    CHECK(gh_gc(m) == GH_OK);
    uint64_t at;
    CHECK(gh_label_find(h, "name 1", &at) == GH_ERR_BADPTR);
    gh_leave(m);
    gh_heap_free(h);
}

// Garbage is collected and free pages go back before the limit refuses.
static void
test_hard_limit(void)
{
    const uint64_t limit = (uint64_t)64 << 20;
    gh_heap *h = make(true, limit);
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_slots *b;
    CHECK(gh_slots_new(h, 1000, &b) == GH_OK);
    for (int round = 0; round < 400; round++) {
        CHECK(gh_alloc(m, gh_slots_at(b, 0), 1 << 20) == GH_OK);
        CHECK(gh_mapped_ready(h) <= limit + BUFFERS);
    }
    CHECK(gh_cycles(h) > 0);
    size_t kept = 0;
    while (gh_alloc(m, gh_slots_at(b, kept), 1 << 20) == GH_OK) {
        kept++;
    }
    CHECK(kept > 40);
    CHECK(gh_mapped_ready(h) <= limit + BUFFERS);
    CHECK(gh_verify(m, say, NULL) == 0);
    // What is dropped makes room again, for other sizes too.
    for (size_t i = 0; i < kept; i += 2) {
        gh_clear(m, gh_slots_at(b, i));
    }
    size_t small = 0;
    for (size_t i = kept; i < 1000; i++) {
        small += gh_alloc(m, gh_slots_at(b, i), 20000) == GH_OK;
    }
    CHECK(small > 500);
    CHECK(gh_alloc(m, gh_slots_at(b, 0), 60 << 20) == GH_ERR_NOMEM);
    CHECK(gh_mapped_ready(h) <= limit + BUFFERS);
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_slots_free(b);
    CHECK(gh_gc(m) == GH_OK);
    gh_slots *c;
    CHECK(gh_slots_new(h, 1, &c) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(c, 0), 40 << 20) == GH_OK);
    gh_slots_free(c);
    gh_leave(m);
    gh_heap_free(h);

    gh_options opt;
    gh_options_init(&opt);
    opt.hard_limit = 4096;
    CHECK(gh_heap_new(&opt, &h) == GH_ERR_NOMEM);
}

int
main(void)
{
    test_names();
    test_death(true);
    test_death(false);
    test_hard_limit();
    return 0;
}

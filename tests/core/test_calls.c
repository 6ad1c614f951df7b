// test_calls.c: calls wait in the order of their kinds, a batch at a time, and
// goals of a client's own hold for one cycle.

#include "check.h"
#include "goheap.h"

#include <string.h>

#include "calls.h"
#include "heap.h"

static void
push(gh_calls *c, gh_call_kind kind, uint64_t token)
{
    gh_call_node *node = malloc(sizeof(*node));
    CHECK(node != NULL);
    node->call = (gh_call){.kind = kind, .token = token};
    gh_calls_push(c, node);
}

// take takes all that are due, as a text of kinds and tokens.
static const char *
take(gh_calls *c, char *text)
{
    gh_call call;
    size_t n = 0;
    while (gh_calls_take(c, &call, (uint32_t[2]){0})) {
        text[n++] = "ofc"[call.kind];
        text[n++] = (char)('0' + call.token);
    }
    text[n] = 0;
    return text;
}

static void
test_order(void)
{
    char text[100];
    gh_calls c = {0};
    gh_calls_init(&c);
    gh_call call;
    CHECK_EQ(gh_calls_gather(&c), 0);
    CHECK(!gh_calls_take(&c, &call, (uint32_t[2]){0}));
    push(&c, GH_CALL_CLEANUP, 1);
    push(&c, GH_CALL_FINALIZER, 1);
    push(&c, GH_CALL_CYCLE, 1);
    push(&c, GH_CALL_FINALIZER, 2);
    push(&c, GH_CALL_CLEANUP, 2);
    push(&c, GH_CALL_CYCLE, 2);
    CHECK_EQ(gh_calls_waiting(&c), 6);
    CHECK_EQ(gh_calls_count(&c), 6);
    CHECK(!gh_calls_take(&c, &call, (uint32_t[2]){0}));  // nothing is due yet
    CHECK_EQ(gh_calls_gather(&c), 6);
    // What comes in between is of the next batch.
    push(&c, GH_CALL_CYCLE, 3);
    CHECK(gh_calls_take(&c, &call, (uint32_t[2]){0}) && call.kind == GH_CALL_CYCLE);
    CHECK_EQ(gh_calls_gather(&c), 6);
    push(&c, GH_CALL_FINALIZER, 3);
    CHECK_EQ(gh_calls_count(&c), 7);
    CHECK(strcmp(take(&c, text), "o2f2f1c1c2o3") == 0);
    CHECK_EQ(gh_calls_waiting(&c), 1);
    CHECK_EQ(gh_calls_gather(&c), 1);
    CHECK(strcmp(take(&c, text), "f3") == 0);
    // Cycles that nobody wants any more leave both lists.
    push(&c, GH_CALL_CYCLE, 4);
    push(&c, GH_CALL_CLEANUP, 4);
    CHECK_EQ(gh_calls_gather(&c), 2);
    push(&c, GH_CALL_CYCLE, 5);
    CHECK(gh_calls_set_cycles(&c, false) == GH_OK);
    CHECK_EQ(gh_calls_waiting(&c), 1);
    CHECK_EQ(gh_calls_count(&c), 1);
    CHECK_EQ(gh_calls_gather(&c), 1);
    CHECK(strcmp(take(&c, text), "c4") == 0);
    push(&c, GH_CALL_CYCLE, 6);
    CHECK_EQ(gh_calls_gather(&c), 1);
    push(&c, GH_CALL_FINALIZER, 6);  // both lists are freed
    gh_calls_fini(&c);
}

static void
test_cycles(void)
{
    gh_options opt;
    gh_options_init(&opt);
    gh_heap *h;
    gh_mut *m;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_gc(m) == GH_OK);
    CHECK_EQ(gh_call_count(h), 0);
    // Wanted in the middle of a cycle: that one is told too.
    CHECK(gh_gc_start(m) == GH_OK);
    CHECK(gh_call_cycles(h, true) == GH_OK);
    CHECK(gh_call_cycles(h, true) == GH_OK);
    CHECK(gh_gc_finish(m) == GH_OK);
    CHECK(gh_gc(m) == GH_OK);
    CHECK_EQ(gh_call_count(h), 2);
    CHECK_EQ(gh_call_gather(h), 2);
    gh_call call;
    CHECK(gh_call_take(h, &call));
    CHECK_EQ(call.kind, GH_CALL_CYCLE);
    CHECK_EQ(call.token, 1);
    gh_cycle c;
    CHECK(gh_cycle_get(h, call.token, &c) == GH_OK && c.n == 2);
    CHECK(gh_call_take(h, &call) && call.token == 2);
    CHECK(!gh_call_take(h, &call));
    CHECK(gh_call_cycles(h, false) == GH_OK);
    CHECK(gh_gc(m) == GH_OK);
    CHECK_EQ(gh_call_count(h), 0);
    gh_leave(m);
    gh_heap_free(h);
}

static void
test_goals_of_a_client(void)
{
    gh_options opt;
    gh_options_init(&opt);
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_slots_new(h, 1, &b) == GH_OK);
    const uint64_t mib = 1 << 20;
    CHECK_EQ(gh_heap_goal(h), 4 * mib);
    const uint64_t before = gh_trigger(h);
    gh_set_next_cycle(m, 0, 2 * mib);
    CHECK_EQ(gh_heap_goal(h), 4 * mib);
    CHECK_EQ(gh_trigger(h), 2 * mib);
    gh_set_next_cycle(m, 0, 9 * mib);  // above the goal counts as the goal
    CHECK_EQ(gh_trigger(h), 4 * mib);
    gh_set_next_cycle(m, 64 * mib, 10 * mib);
    CHECK_EQ(gh_heap_goal(h), 64 * mib);
    (void)gh_set_gogc(m, -1);  // and with GOGC off
    while (gh_cycles(h) == 0) {
        CHECK(gh_alloc(m, gh_slots_at(b, 0), mib) == GH_OK);
    }
    gh_cycle c;
    CHECK(gh_cycle_get(h, 0, &c) == GH_OK);
    CHECK(c.trigger >= 10 * mib && c.trigger <= 11 * mib);
    CHECK_EQ(c.heap_goal, 64 * mib);
    // One cycle long.
    CHECK(gh_heap_goal(h) > (uint64_t)1 << 60);
    (void)gh_set_gogc(m, 100);
    CHECK_EQ(gh_heap_goal(h), 4 * mib);
    CHECK(gh_trigger(h) >= before && gh_trigger(h) < 4 * mib);
    gh_set_next_cycle(m, 3 * mib, 0);
    CHECK_EQ(gh_heap_goal(h), 3 * mib);
    CHECK(gh_trigger(h) < 3 * mib);
    gh_set_next_cycle(m, 0, 0);
    CHECK_EQ(gh_heap_goal(h), 4 * mib);
    gh_leave(m);
    gh_slots_free(b);
    gh_heap_free(h);
}

int
main(void)
{
    test_order();
    test_cycles();
    test_goals_of_a_client();
    return 0;
}

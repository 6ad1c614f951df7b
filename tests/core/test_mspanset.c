// test_mspanset.c: a set of spans gives back what it got first, or last.

#include "check.h"
#include "mspanset.h"

static void
test_fifo(void)
{
    enum { N = 2000 };
    static gh_mspan s[N];
    gh_spanset set = {0};
    CHECK(gh_spanset_pop(&set) == NULL);
    for (unsigned i = 0; i < N; i++) {
        gh_spanset_push(&set, &s[i]);
        CHECK(s[i].set == &set);
        CHECK_EQ(set.len, i + 1);
    }
    // Pops and pushes in turn keep the order, as a queue does.
    for (unsigned i = 0; i < 3 * N; i++) {
        gh_mspan *x = gh_spanset_pop(&set);
        CHECK(x == &s[i % N]);
        CHECK(x->set == NULL && x->next == NULL && x->prev == NULL);
        gh_spanset_push(&set, x);
    }
    for (unsigned i = 0; i < N; i++) {
        CHECK(gh_spanset_pop(&set) == &s[i]);
    }
    CHECK_EQ(set.len, 0);
    CHECK(set.head == NULL && set.tail == NULL);
}

// Taking out head, tail, middle and the only one; the rest keeps its order.
static void
test_remove(void)
{
    gh_mspan s[5] = {0};
    gh_spanset set = {0}, other = {0};
    gh_spanset_remove(&s[0]);  // in no set: nothing happens
    for (unsigned i = 0; i < 5; i++) {
        gh_spanset_push(&set, &s[i]);
    }
    gh_spanset_remove(&s[2]);
    gh_spanset_remove(&s[0]);
    gh_spanset_remove(&s[4]);
    CHECK_EQ(set.len, 2);
    gh_spanset_push(&other, &s[2]);
    gh_spanset_push(&set, &s[0]);
    CHECK(s[2].set == &other);
    CHECK(gh_spanset_pop(&set) == &s[1]);
    CHECK(gh_spanset_pop(&set) == &s[3]);
    CHECK(gh_spanset_pop(&set) == &s[0]);
    CHECK(gh_spanset_pop(&set) == NULL);
    gh_spanset_remove(&s[2]);
    CHECK(other.head == NULL && other.tail == NULL);
    CHECK_EQ(other.len, 0);
}

// Both ends: what is pushed to the front is popped first, and from the back last.
static void
test_ends(void)
{
    gh_mspan s[6] = {0};
    gh_spanset set = {0};
    CHECK(gh_spanset_pop_back(&set) == NULL);
    gh_spanset_push_front(&set, &s[2]);
    CHECK(set.head == &s[2] && set.tail == &s[2]);
    gh_spanset_push_front(&set, &s[1]);
    gh_spanset_push(&set, &s[3]);
    gh_spanset_push_front(&set, &s[0]);
    gh_spanset_push(&set, &s[4]);
    CHECK_EQ(set.len, 5);
    CHECK(gh_spanset_pop_back(&set) == &s[4]);
    CHECK(s[4].set == NULL && s[4].next == NULL && s[4].prev == NULL);
    CHECK(gh_spanset_pop(&set) == &s[0]);
    CHECK(gh_spanset_pop_back(&set) == &s[3]);
    gh_spanset_push(&set, &s[5]);
    CHECK(gh_spanset_pop(&set) == &s[1]);
    CHECK(gh_spanset_pop(&set) == &s[2]);
    CHECK(gh_spanset_pop_back(&set) == &s[5]);
    CHECK(set.head == NULL && set.tail == NULL);
    CHECK_EQ(set.len, 0);
}

int
main(void)
{
    test_ends();
    test_fifo();
    test_remove();
    return 0;
}

// heap_fixture.h: a heap, who is inside it, and slots to hold its objects: for
// tests of the parts that a heap is made of.

#ifndef HEAP_FIXTURE_H
#define HEAP_FIXTURE_H

#include "check.h"
#include "heap.h"

typedef struct fixture {
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
} fixture;

static inline void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static inline void
setup_with(fixture *f, const gh_options *o)
{
    CHECK(gh_heap_new(o, &f->h) == GH_OK);
    CHECK(gh_enter(f->h, GH_ANY_P, &f->m) == GH_OK);
    CHECK(gh_slots_new(f->h, 4096, &f->b) == GH_OK);
}

// setup makes a heap that collects only when told to.
static inline void
setup(fixture *f, bool eager)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.policy.eager_sweep = eager;
    setup_with(f, &o);
}

static inline void
teardown(fixture *f)
{
    CHECK_EQ(gh_verify(f->m, print_line, NULL), 0);
    gh_slots_free(f->b);
    gh_leave(f->m);
    gh_heap_free(f->h);
}

static inline uint64_t
alloc(fixture *f, size_t i, uint64_t size)
{
    CHECK(gh_alloc(f->m, gh_slots_at(f->b, i), size) == GH_OK);
    return gh_addr(f->h, gh_slots_at(f->b, i));
}

static inline gh_mspan *
span(fixture *f, size_t i)
{
    return gh_span_of(f->h, gh_slots_at(f->b, i)->word);
}

#endif  // HEAP_FIXTURE_H

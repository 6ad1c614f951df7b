// test_slots.c: root slots: blocks, handles, the list of dropped handles, the
// root of an object on its way.

#include <pthread.h>
#include <string.h>

#include "check.h"
#include "heap.h"
#include "proc.h"
#include "slots.h"

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static gh_heap *
new_heap(int gogc, gh_mut **m)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = gogc;
    gh_heap *h;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, m) == GH_OK);
    return h;
}

static void
end(gh_heap *h, gh_mut *m)
{
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    gh_leave(m);
    gh_heap_free(h);
}

static uint64_t
objects(gh_mut *m)
{
    CHECK(gh_gc(m) == GH_OK);
    gh_memstats s;
    gh_stats(m, &s);
    return s.heap_objects;
}

// Each slot of each block is a root; a block that goes drops its own only.
static void
test_blocks(void)
{
    enum { B = 5, N = 10000 };
    gh_mut *m;
    gh_heap *h = new_heap(-1, &m);
    gh_slots *b[B], *none, *huge = NULL;
    CHECK(gh_slots_new(h, 0, &none) == GH_OK);
    CHECK_EQ(gh_slots_len(none), 0);
    CHECK(gh_slots_new(h, SIZE_MAX, &huge) == GH_ERR_NOMEM);
    CHECK(gh_slots_new(h, SIZE_MAX / 8, &huge) == GH_ERR_NOMEM);
    CHECK(huge == NULL);
    for (unsigned k = 0; k < B; k++) {
        CHECK(gh_slots_new(h, N, &b[k]) == GH_OK);
        for (unsigned i = 0; i < N; i++) {
            CHECK_EQ(gh_slots_at(b[k], i)->word, 0);
            CHECK(gh_alloc(m, gh_slots_at(b[k], i), 32) == GH_OK);
        }
    }
    CHECK_EQ(objects(m), B * N);
    // Middle, newest, oldest; then a slot at each end of what is left.
    gh_slots_free(b[2]);
    CHECK_EQ(objects(m), 4 * N);
    gh_slots_free(b[4]);
    gh_slots_free(none);
    CHECK_EQ(objects(m), 3 * N);
    gh_slots_free(b[0]);
    CHECK_EQ(objects(m), 2 * N);
    gh_slots_free(b[3]);
    CHECK_EQ(objects(m), N);
    gh_clear(m, gh_slots_at(b[1], 0));
    gh_clear(m, gh_slots_at(b[1], N - 1));
    CHECK_EQ(objects(m), N - 2);
    gh_set(m, gh_slots_at(b[1], 0), gh_slots_at(b[1], 1));
    gh_clear(m, gh_slots_at(b[1], 1));
    CHECK_EQ(objects(m), N - 2);
    gh_slots_free(b[1]);
    CHECK_EQ(objects(m), 0);
    // A block may outlive the heap.
    CHECK(gh_slots_new(h, 3, &b[0]) == GH_OK);
    CHECK(gh_slots_new(h, 3, &b[1]) == GH_OK);
    end(h, m);
    CHECK_EQ(gh_slots_len(b[0]), 3);
    gh_slots_free(b[1]);
    gh_slots_free(b[0]);
    gh_slots_free(NULL);
}

// Numbers go from 1 and addresses stay, also when the table outgrows its array.
static void
test_handles(void)
{
    enum { N = 40 * GH_HANDLE_CHUNK + 7 };
    gh_mut *m;
    gh_heap *h = new_heap(-1, &m);
    static gh_slot *at[N + 1];
    uint32_t id;
    for (uint32_t i = 1; i <= N; i++) {
        CHECK(gh_handle_new(m, &id) == GH_OK);
        CHECK_EQ(id, i);
        at[i] = gh_handle_slot(h, i);
        CHECK_EQ(at[i]->word, 0);
        CHECK(gh_alloc(m, at[i], 16) == GH_OK);
    }
    for (uint32_t i = 1; i <= N; i++) {
        CHECK(gh_handle_slot(h, i) == at[i]);
    }
    CHECK_EQ(objects(m), N);
    CHECK_EQ(h->handles.live, N);

    // A dropped handle still holds its object; the next stop lets it go.
    gh_handle_drop(h, 5);
    gh_handle_drop(h, 17000);
    gh_handle_drop(h, N);
    CHECK(at[5]->word != 0 && at[17000]->word != 0 && at[N]->word != 0);
    CHECK_EQ(h->handles.live, N);
    CHECK_EQ(objects(m), N - 3);
    CHECK_EQ(h->handles.live, N - 3);
    CHECK_EQ(at[5]->word | at[17000]->word | at[N]->word, 0);
    bool seen[3] = {false, false, false};
    for (unsigned k = 0; k < 3; k++) {
        CHECK(gh_handle_new(m, &id) == GH_OK);
        CHECK(id == 5 || id == 17000 || id == N);
        bool *s = &seen[id == 5 ? 0 : id == N ? 1 : 2];
        CHECK(!*s);
        *s = true;
    }
    CHECK(gh_handle_new(m, &id) == GH_OK);
    CHECK_EQ(id, N + 1);
    CHECK_EQ(h->handles.made, N + 1);

    // Coming in drains the list too.
    gh_handle_drop(h, 1);
    gh_leave(m);
    CHECK(at[1]->word != 0);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK_EQ(at[1]->word, 0);
    end(h, m);
}

typedef struct dropper {
    gh_heap *h;
    uint32_t first, step, last;
} dropper;

static void *
drop_all(void *arg)
{
    const dropper *d = arg;
    for (uint32_t i = d->first; i <= d->last; i += d->step) {
        gh_handle_drop(d->h, i);
    }
    return NULL;
}

// Several threads drop while the holder drains and makes: none is lost or
// handed out twice.
static void
test_drop_threads(void)
{
    enum { T = 4, N = 60000 };
    gh_mut *m;
    gh_heap *h = new_heap(-1, &m);
    uint32_t id;
    for (uint32_t i = 1; i <= N; i++) {
        CHECK(gh_handle_new(m, &id) == GH_OK);
        CHECK(gh_alloc(m, gh_handle_slot(h, id), 24) == GH_OK);
    }
    pthread_t thread[T];
    dropper d[T];
    for (unsigned k = 0; k < T; k++) {
        d[k] = (dropper){h, 1 + k, T, N};
        CHECK(pthread_create(&thread[k], NULL, drop_all, &d[k]) == 0);
    }
    uint32_t again = 0;
    for (unsigned i = 0; i < 2000; i++) {
        gh_drain_handles(m);
        if (h->handles.free != 0) {
            CHECK(gh_handle_new(m, &id) == GH_OK);
            CHECK_EQ(gh_handle_slot(h, id)->word, 0);
            CHECK(gh_alloc(m, gh_handle_slot(h, id), 24) == GH_OK);
            again++;
        }
    }
    for (unsigned k = 0; k < T; k++) {
        CHECK(pthread_join(thread[k], NULL) == 0);
    }
    CHECK_EQ(objects(m), again);
    CHECK_EQ(h->handles.live, again);
    static bool seen[N + 1];
    uint32_t nfree = 0;
    for (id = h->handles.free; id != 0;
         id = *gh_handles_link(&h->handles, id)) {
        CHECK(!seen[id]);
        seen[id] = true;
        nfree++;
    }
    CHECK_EQ(nfree, N - again);
    end(h, m);
}

// A cycle that an allocation starts sees the new object, and what its slot
// held before.
static void
test_pending(void)
{
    gh_mut *m;
    gh_heap *h = new_heap(100, &m);
    gh_slots *b;
    CHECK(gh_slots_new(h, 1, &b) == GH_OK);
    gh_slot *x = gh_slots_at(b, 0);
    gh_cycle c;
    CHECK(gh_alloc(m, x, 3 << 20) == GH_OK);
    CHECK_EQ(gh_cycles(h), 0);
    CHECK(gh_alloc(m, x, 2 << 20) == GH_OK);
    CHECK_EQ(gh_cycles(h), 1);
    CHECK(gh_cycle_get(h, 0, &c) == GH_OK);
    CHECK_EQ(c.heap_marked, 5 << 20);
    CHECK_EQ(m->pending.word, 0);
    CHECK_EQ(objects(m), 1);
    // The same behind a refill.
    while (gh_cycles(h) < 3) {
        CHECK(gh_alloc(m, x, 8192) == GH_OK);
        memset(gh_data(x), 0x5a, 8192);
    }
    CHECK(gh_cycle_get(h, 2, &c) == GH_OK);
    CHECK_EQ(c.heap_marked, 2 * 8192);
    CHECK_EQ(objects(m), 1);
    gh_slots_free(b);
    end(h, m);
}

int
main(void)
{
    test_blocks();
    test_handles();
    test_drop_threads();
    test_pending();
    return 0;
}

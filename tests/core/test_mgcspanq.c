// test_mgcspanq.c: what is put comes out, once; what spills when is Go's.

#include <pthread.h>
#include <string.h>

#include "check.h"
#include "mgcspanq.h"

typedef struct fixture {
    gh_mem_fault fault;
    gh_mem mem;
    gh_sysstat stat;
    gh_spanq q, thief;
} fixture;

static void
setup(fixture *f)
{
    memset(f, 0, sizeof(*f));
    gh_mem_init(&f->mem, gh_mem_fault_ops(), &f->fault);
    gh_spanq_init(&f->q, &f->mem, &f->stat);
    gh_spanq_init(&f->thief, &f->mem, &f->stat);
}

static void
teardown(fixture *f)
{
    gh_spanq_free(&f->q);
    gh_spanq_free(&f->thief);
    CHECK_EQ(f->fault.bytes, 0);
    CHECK_EQ(f->stat.bytes, 0);
    CHECK_EQ(f->mem.mapped_ready, 0);
}

static uint32_t
private_len(const gh_spanq *q)
{
    return q->tail - q->head;
}

// put_to puts numbers from first on, n of them, and returns how many spilled.
static unsigned
put_to(gh_spanq *q, uintptr_t first, unsigned n)
{
    unsigned spills = 0;
    for (unsigned i = 0; i < n; i++) {
        const gh_spanq_put_result r = gh_spanq_put(q, first + i);
        CHECK(r != GH_SPANQ_NOMEM);
        spills += r == GH_SPANQ_SPILLED;
    }
    return spills;
}

static void
test_first_in_first_out(void)
{
    fixture f;
    setup(&f);
    CHECK_EQ(gh_spanq_get(&f.q), 0);
    CHECK_EQ(put_to(&f.q, 1, 63), 0);
    CHECK_EQ(gh_spanq_peek(&f.q, 0), 1);
    CHECK_EQ(gh_spanq_peek(&f.q, 62), 63);
    CHECK_EQ(gh_spanq_peek(&f.q, 63), 0);
    for (uintptr_t i = 1; i <= 63; i++) {
        CHECK_EQ(gh_spanq_len(&f.q), 64 - i);
        CHECK_EQ(gh_spanq_get(&f.q), i);
    }
    CHECK_EQ(gh_spanq_get(&f.q), 0);
    CHECK_EQ(f.fault.calls, 0);  // nothing spilled, nothing asked for
    teardown(&f);
}

// Every 64 puts a few of the oldest go where others see them, unless there are
// some already; a full ring gives half of itself.
static void
test_what_spills_when(void)
{
    fixture f;
    setup(&f);
    CHECK_EQ(put_to(&f.q, 1, 63), 0);
    CHECK_EQ(put_to(&f.q, 64, 1), 1);  // min(64/2, 16)
    CHECK_EQ(private_len(&f.q), 48);
    CHECK_EQ(gh_spanq_len(&f.q), 64);
    CHECK_EQ(put_to(&f.q, 65, 208), 0);  // the chain has some
    CHECK_EQ(private_len(&f.q), 256);
    CHECK_EQ(put_to(&f.q, 273, 1), 1);
    CHECK_EQ(private_len(&f.q), 129);
    CHECK_EQ(gh_spanq_len(&f.q), 273);
    // The private ones first, then half of the shared ones, rounded up, at most
    // 128, and so on.
    CHECK_EQ(gh_spanq_get(&f.q), 145);
    for (uintptr_t i = 146; i <= 273; i++) {
        CHECK_EQ(gh_spanq_get(&f.q), i);
    }
    CHECK_EQ(gh_spanq_get(&f.q), 1);
    CHECK_EQ(private_len(&f.q), 71);
    CHECK_EQ(gh_spanq_len(&f.q), 143);
    for (uintptr_t i = 2; i <= 144; i++) {
        CHECK_EQ(gh_spanq_get(&f.q), i);
    }
    CHECK_EQ(gh_spanq_get(&f.q), 0);

    // The look comes after 64 puts, whatever was taken meanwhile, and leaves
    // less than ten entries alone: half of them would be four at most.
    gh_spanq_free(&f.q);
    for (unsigned i = 1; i <= 64; i++) {
        CHECK_EQ(put_to(&f.q, i, 1), 0);
        if (i > 8) {
            CHECK_EQ(gh_spanq_get(&f.q), i - 8);
        }
    }
    CHECK_EQ(private_len(&f.q), 8);
    CHECK_EQ(put_to(&f.q, 65, 63), 0);
    CHECK_EQ(put_to(&f.q, 128, 1), 1);
    teardown(&f);
}

// A thief gets half, rounded up, at most 128, and the owner the rest. What is
// private stays private.
static void
test_stealing(void)
{
    fixture f;
    setup(&f);
    put_to(&f.q, 1, 10);
    CHECK_EQ(gh_spanq_steal(&f.thief, &f.q), 0);
    CHECK(gh_spanq_flush(&f.q) == GH_SPANQ_SPILLED);
    CHECK(gh_spanq_flush(&f.q) == GH_SPANQ_KEPT);
    CHECK_EQ(private_len(&f.q), 0);
    CHECK_EQ(gh_spanq_steal(&f.thief, &f.q), 1);
    CHECK_EQ(private_len(&f.thief), 4);
    for (uintptr_t i = 2; i <= 5; i++) {
        CHECK_EQ(gh_spanq_get(&f.thief), i);
    }
    CHECK_EQ(gh_spanq_get(&f.thief), 0);
    for (uintptr_t i = 6; i <= 10; i++) {
        CHECK_EQ(gh_spanq_get(&f.q), i);
    }
    CHECK_EQ(gh_spanq_get(&f.q), 0);
    put_to(&f.q, 1, 400);
    CHECK(gh_spanq_flush(&f.q) == GH_SPANQ_SPILLED);
    CHECK(gh_spanq_steal(&f.thief, &f.q) != 0);
    CHECK_EQ(private_len(&f.thief), 127);
    teardown(&f);
}

// Rings that are full get bigger successors; what is in them comes out ring by
// ring, and drained ones leave the chain.
static void
test_a_long_queue(void)
{
    enum { N = 400000 };
    fixture f;
    setup(&f);
    put_to(&f.q, 1, N);
    CHECK_EQ(gh_spanq_len(&f.q), N);
    CHECK(f.stat.bytes > N * sizeof(uintptr_t));
    static bool seen[N + 1];
    for (unsigned i = 0; i < N; i++) {
        const uintptr_t v = gh_spanq_get(i % 3 == 0 ? &f.thief : &f.q);
        const uintptr_t u =
            v != 0 ? v
            : i % 3 == 0 ? gh_spanq_steal(&f.thief, &f.q)
                         : gh_spanq_get(&f.thief);
        CHECK(u >= 1 && u <= N && !seen[u]);
        seen[u] = true;
    }
    CHECK_EQ(gh_spanq_len(&f.q) + gh_spanq_len(&f.thief), 0);
    teardown(&f);
}

static void
count(void *arg, uintptr_t v)
{
    *(uintptr_t *)arg += v;
}

// Without memory a put that must spill is refused, one that may keeps what it has,
// and nothing is lost.
static void
test_without_memory(void)
{
    fixture f;
    setup(&f);
    f.fault.fail_from = 0;
    f.fault.fail_count = UINT64_MAX;
    CHECK_EQ(put_to(&f.q, 1, 256), 0);
    CHECK(gh_spanq_put(&f.q, 257) == GH_SPANQ_NOMEM);
    CHECK(gh_spanq_flush(&f.q) == GH_SPANQ_NOMEM);
    CHECK_EQ(gh_spanq_len(&f.q), 256);
    f.fault.fail_count = 0;
    CHECK(gh_spanq_put(&f.q, 257) == GH_SPANQ_SPILLED);
    uintptr_t sum = 0;
    gh_spanq_each(&f.q, count, &sum);
    CHECK_EQ(sum, 257 * 258 / 2);
    // A ring of the chain is full and there is no memory for its successor.
    put_to(&f.q, 258, 1024);
    f.fault.fail_from = f.fault.calls;
    f.fault.fail_count = UINT64_MAX;
    unsigned n = 0;
    while (gh_spanq_put(&f.q, 2000 + n) != GH_SPANQ_NOMEM) {
        n++;
    }
    CHECK_EQ(gh_spanq_len(&f.q), 1281 + n);
    for (unsigned i = 0; i < 1281 + n; i++) {
        CHECK(gh_spanq_get(&f.q) != 0);
    }
    CHECK_EQ(gh_spanq_get(&f.q), 0);
    teardown(&f);
}

// ---- threads ----------------------------------------------------------------------

enum { ENTRIES = 300000, THIEVES = 3 };

typedef struct shared {
    fixture f;
    _Atomic bool over;
    _Atomic uint8_t seen[ENTRIES + 1];
    _Atomic unsigned taken;
} shared;

static void
take(shared *s, uintptr_t v)
{
    CHECK(v <= ENTRIES);
    CHECK_EQ(atomic_fetch_add(&s->seen[v], 1), 0);
    atomic_fetch_add(&s->taken, 1);
}

static void *
thief(void *arg)
{
    shared *s = arg;
    gh_spanq own;
    gh_spanq_init(&own, &s->f.mem, &s->f.stat);
    while (!atomic_load(&s->over)) {
        uintptr_t v = gh_spanq_get(&own);
        if (v == 0) {
            v = gh_spanq_steal(&own, &s->f.q);
        }
        if (v != 0) {
            take(s, v);
        }
    }
    CHECK_EQ(gh_spanq_len(&own), 0);
    return NULL;
}

// One owner that puts and takes, and thieves: every entry once.
static void
test_thieves(void)
{
    static shared s;
    setup(&s.f);
    pthread_t t[THIEVES];
    for (unsigned i = 0; i < THIEVES; i++) {
        CHECK(pthread_create(&t[i], NULL, thief, &s) == 0);
    }
    for (uintptr_t v = 1; v <= ENTRIES; v++) {
        CHECK(gh_spanq_put(&s.f.q, v) != GH_SPANQ_NOMEM);
        if (v % 5 == 0) {
            const uintptr_t u = gh_spanq_get(&s.f.q);
            if (u != 0) {
                take(&s, u);
            }
        }
    }
    while (atomic_load(&s.taken) < ENTRIES) {
        const uintptr_t u = gh_spanq_get(&s.f.q);
        if (u != 0) {
            take(&s, u);
        }
    }
    atomic_store(&s.over, true);
    for (unsigned i = 0; i < THIEVES; i++) {
        CHECK(pthread_join(t[i], NULL) == 0);
    }
    CHECK_EQ(s.taken, ENTRIES);
    teardown(&s.f);
}

int
main(void)
{
    test_first_in_first_out();
    test_what_spills_when();
    test_stealing();
    test_a_long_queue();
    test_without_memory();
    test_thieves();
    return 0;
}

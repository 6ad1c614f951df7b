// test_mgcmark_greenteagc.c: Green Tea marks what the other marker marks; who
// queues a span, what is scanned at once, and what that counts is Go's. Figures
// of Go are of its 1.26.8, with and without AVX-512.

#define _POSIX_C_SOURCE 200809L  // barriers

#include <pthread.h>
#include <string.h>

#include "check.h"
#include "heap.h"
#include "mgc.h"
#include "mgcmark.h"
#include "mgcmark_greenteagc.h"
#include "msize.h"

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

// ---- the protocol ------------------------------------------------------------------

static void
check_protocol(const bool shared)
{
    uint8_t owned = GH_OWNED_NONE;
    // The first one queues; the second says that there are more; none after that.
    CHECK(gh_span_acquire(&owned, shared));
    CHECK_EQ(owned, GH_OWNED_ONE);
    CHECK(!gh_span_acquire(&owned, shared));
    CHECK((owned & GH_OWNED_MANY) != 0);
    CHECK(!gh_span_acquire(&owned, shared));
    CHECK_EQ(owned, GH_OWNED_ONE | GH_OWNED_MANY);
    CHECK_EQ(gh_span_release(&owned, shared), GH_OWNED_ONE | GH_OWNED_MANY);
    CHECK_EQ(owned, GH_OWNED_NONE);
    CHECK(gh_span_acquire(&owned, shared));
    CHECK_EQ(gh_span_release(&owned, shared), GH_OWNED_ONE);
    // A marker that saw ONE, was late, and comes after the scanner: it queues,
    // and says "many", which is only an upper bound.
    owned = GH_OWNED_MANY;
    CHECK(!gh_span_acquire(&owned, shared));
    CHECK_EQ(gh_span_release(&owned, shared), GH_OWNED_MANY);

    uint64_t marks = 0, scans = 0;
    CHECK(gh_span_mark(&marks, 4, shared));
    CHECK(!gh_span_mark(&marks, 4, shared));
    CHECK(gh_span_mark(&marks, 1, shared));
    CHECK_EQ(gh_span_take(&marks, &scans, 2, shared), 0);
    CHECK_EQ(gh_span_take(&marks, &scans, 4, shared), 4);
    CHECK_EQ(gh_span_take(&marks, &scans, ~(uint64_t)0, shared), 1);
    CHECK_EQ(gh_span_take(&marks, &scans, ~(uint64_t)0, shared), 0);
    CHECK_EQ(marks, 5);
    CHECK_EQ(scans, 5);
}

// Several markers at once: each object is scanned by one of them, once.
enum { WORKERS = 3, SPANS = 64, ROUNDS = 40 };

typedef struct race {
    gh_mem_fault fault;
    gh_mem mem;
    gh_sysstat stat[WORKERS];
    gh_spanq q[WORKERS];
    uint64_t marks[SPANS][16], scans[SPANS][16];
    uint8_t owned[SPANS];
    _Atomic uint8_t scanned[SPANS][1024];
    pthread_barrier_t barrier;
    _Atomic int busy;
} race;

typedef struct worker {
    race *r;
    unsigned id;
    gh_mem mem;
} worker;

static uint64_t
random_next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void
race_mark(race *r, gh_spanq *q, unsigned span, unsigned i)
{
    if (gh_span_mark(&r->marks[span][i / 64], (uint64_t)1 << (i % 64), true)
        && gh_span_acquire(&r->owned[span], true)) {
        CHECK(gh_spanq_put(q, (uintptr_t)(span + 1) << 13 | i)
              != GH_SPANQ_NOMEM);
    }
}

static void
race_scanned(race *r, unsigned span, unsigned i)
{
    CHECK_EQ(atomic_fetch_add(&r->scanned[span][i], 1), 0);
}

static void
race_scan(race *r, gh_spanq *q, uintptr_t entry, uint64_t *x)
{
    const unsigned span = (unsigned)(entry >> 13) - 1;
    const unsigned i = (unsigned)(entry & 8191);
    uint64_t *marks = r->marks[span], *scans = r->scans[span];
    if (gh_span_release(&r->owned[span], true) == GH_OWNED_ONE) {
        if (gh_span_take(&marks[i / 64], &scans[i / 64],
                         (uint64_t)1 << (i % 64), true) != 0) {
            race_scanned(r, span, i);
        }
    } else {
        for (unsigned w = 0; w < 16; w++) {
            uint64_t m =
                gh_span_take(&marks[w], &scans[w], ~(uint64_t)0, true);
            for (; m != 0; m &= m - 1) {
                race_scanned(r, span, w * 64 + gh_ctz64(m));
            }
        }
    }
    for (unsigned n = 0; n < 3; n++) {
        const uint64_t v = random_next(x);
        race_mark(r, q, (unsigned)(v % SPANS), (unsigned)(v >> 32) % 1024);
    }
}

static void *
race_work(void *arg)
{
    worker *me = arg;
    race *r = me->r;
    gh_spanq *own = &r->q[me->id];
    uint64_t x = 88172645463325252u + me->id * 77;
    for (unsigned round = 0; round < ROUNDS; round++) {
        gh_mem_init(&me->mem, NULL, NULL);  // an account of its own: no race there
        gh_spanq_init(own, &me->mem, &r->stat[me->id]);
        pthread_barrier_wait(&r->barrier);
        for (unsigned n = 0; n < 200; n++) {
            const uint64_t v = random_next(&x);
            race_mark(r, own, (unsigned)(v % SPANS), (unsigned)(v >> 32) % 1024);
        }
        // Nobody leaves while another may still put something.
        for (bool idle = false;;) {
            uintptr_t v = gh_spanq_get(own);
            for (unsigned k = 1; v == 0 && k < WORKERS; k++) {
                v = gh_spanq_steal(own, &r->q[(me->id + k) % WORKERS]);
            }
            if (v != 0) {
                if (idle) {
                    atomic_fetch_add(&r->busy, 1);
                    idle = false;
                }
                race_scan(r, own, v, &x);
            } else {
                if (!idle) {
                    atomic_fetch_sub(&r->busy, 1);
                    idle = true;
                }
                if (atomic_load(&r->busy) == 0) {
                    break;
                }
            }
        }
        pthread_barrier_wait(&r->barrier);
        if (me->id == 0) {
            for (unsigned s = 0; s < SPANS; s++) {
                CHECK_EQ(r->owned[s], GH_OWNED_NONE);
                for (unsigned i = 0; i < 1024; i++) {
                    const uint64_t bit = r->marks[s][i / 64] >> (i % 64) & 1;
                    CHECK_EQ(r->scanned[s][i], bit);
                    r->scanned[s][i] = 0;
                }
            }
            memset(r->marks, 0, sizeof(r->marks));
            memset(r->scans, 0, sizeof(r->scans));
            atomic_store(&r->busy, WORKERS);
        }
        pthread_barrier_wait(&r->barrier);
        gh_spanq_free(own);
    }
    return NULL;
}

static void
test_protocol(void)
{
    check_protocol(false);
    check_protocol(true);
    static race r;
    r.busy = WORKERS;
    pthread_barrier_init(&r.barrier, NULL, WORKERS);
    pthread_t t[WORKERS];
    worker w[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        w[i] = (worker){.r = &r, .id = i};
        CHECK(pthread_create(&t[i], NULL, race_work, &w[i]) == 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        CHECK(pthread_join(t[i], NULL) == 0);
        CHECK_EQ(r.stat[i].bytes, 0);
    }
    pthread_barrier_destroy(&r.barrier);
}

// ---- heaps -------------------------------------------------------------------------

typedef struct setting {
    gh_marker marker;
    gh_scan_work work;
    bool portable;
} setting;

static const setting objects = {GH_MARKER_OBJECTS, GH_SCAN_WORK_OBJECT, false};
static const setting by_object = {GH_MARKER_GREENTEA, GH_SCAN_WORK_OBJECT, false};
static const setting dense = {GH_MARKER_GREENTEA, GH_SCAN_WORK_DENSE, false};
static const setting portable = {GH_MARKER_GREENTEA, GH_SCAN_WORK_DENSE, true};

typedef struct fixture {
    gh_mem_fault fault;
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    const gh_type *ptr;
    gh_cycle last;
} fixture;

static void
setup(fixture *f, setting s)
{
    *f = (fixture){0};
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.address_space = (uint64_t)2 << 30;
    o.policy.marker = s.marker;
    o.policy.scan_work = s.work;
    o.policy.portable_kernels = s.portable;
    o.mem_ops = gh_mem_fault_ops();
    o.mem_ctx = &f->fault;
    CHECK(gh_heap_new(&o, &f->h) == GH_OK);
    CHECK(gh_enter(f->h, GH_ANY_P, &f->m) == GH_OK);
    CHECK(gh_slots_new(f->h, 64, &f->b) == GH_OK);
    const gh_type_desc d = {.size = 8, .align = 8, .ptrdata = 8,
                            .mask = (const uint64_t[]){1}};
    CHECK(gh_type_new(f->m, &d, &f->ptr) == GH_OK);
}

static void
verify(fixture *f)
{
    CHECK_EQ(gh_verify(f->m, print_line, NULL), 0);
}

static void
teardown(fixture *f)
{
    verify(f);
    gh_slots_free(f->b);
    gh_leave(f->m);
    gh_heap_free(f->h);
    CHECK_EQ(f->fault.bytes, 0);
}

static gh_slot *
slot(fixture *f, size_t i)
{
    return gh_slots_at(f->b, i);
}

static const gh_type *
new_type(fixture *f, uint64_t size, uint64_t ptrdata, uint64_t mask)
{
    const gh_type_desc d = {.size = size, .align = 8, .ptrdata = ptrdata,
                            .mask = &mask};
    const gh_type *t;
    CHECK(gh_type_new(f->m, &d, &t) == GH_OK);
    return t;
}

static void
new(fixture *f, size_t i, const gh_type *t, uint64_t n)
{
    CHECK(gh_new(f->m, slot(f, i), t, n) == GH_OK);
}

static void
store(fixture *f, size_t obj, uint64_t word, size_t src)
{
    CHECK(gh_store(f->m, slot(f, obj), word, slot(f, src)) == GH_OK);
}

static void
collect(fixture *f)
{
    CHECK(gh_gc(f->m) == GH_OK);
    CHECK(gh_cycle_get(f->h, gh_cycles(f->h) - 1, &f->last) == GH_OK);
    verify(f);
}

static void
test_options(void)
{
    gh_options o;
    gh_options_init(&o);
    CHECK_EQ(o.policy.marker, GH_MARKER_OBJECTS);
    CHECK_EQ(o.policy.scan_work, GH_SCAN_WORK_OBJECT);
    gh_heap *h;
    o.policy.scan_work = GH_SCAN_WORK_DENSE;
    CHECK(gh_heap_new(&o, &h) == GH_ERR_INVAL);  // nobody scans densely
    o.policy.marker = GH_MARKER_GREENTEA;
    o.policy.scan_work = (gh_scan_work)2;
    CHECK(gh_heap_new(&o, &h) == GH_ERR_INVAL);
    o.policy.marker = (gh_marker)2;
    o.policy.scan_work = GH_SCAN_WORK_OBJECT;
    CHECK(gh_heap_new(&o, &h) == GH_ERR_INVAL);
    o.policy.marker = GH_MARKER_GREENTEA;
    uint64_t failed = 1;
    for (uint64_t i = 0; failed > 0; i++) {
        gh_mem_fault fault = {.fail_from = i, .fail_count = 1};
        o.mem_ops = gh_mem_fault_ops();
        o.mem_ctx = &fault;
        if (gh_heap_new(&o, &h) == GH_OK) {
            gh_heap_free(h);
        }
        failed = fault.failed;
        CHECK_EQ(fault.bytes, 0);
    }
}

// [gc:74] size, fewest grey objects of a dense scan, slots of a span.
static const uint16_t thresholds[][3] = {
    {16, 62, 496}, {24, 41, 330}, {32, 31, 248}, {48, 20, 165}, {64, 15, 124},
    {80, 12, 99}, {96, 10, 82}, {112, 8, 70}, {128, 7, 62}, {144, 6, 55},
    {160, 6, 49}, {176, 5, 45}, {192, 5, 41}, {208, 4, 38}, {224, 4, 35},
    {240, 4, 33}, {256, 3, 31}, {288, 3, 27}, {320, 3, 24}, {352, 2, 22},
    {384, 2, 20}, {416, 2, 19}, {448, 2, 17}, {480, 2, 16}, {512, 1, 15},
};

// marked_together collects a span in which n objects turn grey before its turn;
// each holds a nil pointer in word 0. Scan work of these objects.
static uint64_t
marked_together(setting s, unsigned size, unsigned slots, unsigned n)
{
    fixture f;
    setup(&f, s);
    const gh_type *t = new_type(&f, size, 8, 1);
    new(&f, 0, f.ptr, 1024);  // 8 KiB: not for spans
    for (unsigned i = 0; i < slots; i++) {
        new(&f, 1, t, 1);
        if (i % (slots / n) == 0 && i / (slots / n) < n) {
            store(&f, 0, i / (slots / n), 1);
        }
    }
    gh_span_info info;
    CHECK(gh_span_at(f.h, gh_addr(f.h, slot(&f, 1)), &info) == GH_OK);
    CHECK_EQ(info.nelems, slots);
    CHECK_EQ(info.allocated, slots);  // all of them in one span
    gh_clear(f.m, slot(&f, 1));
    collect(&f);
    CHECK_EQ(f.last.heap_marked, 9472 + (uint64_t)n * size);
    // The row's slot is 9472 bytes: header, and pointers to the end.
    const uint64_t work = f.last.scan_work - 9472;
    teardown(&f);
    return work;
}

static void
test_thresholds(void)
{
    const size_t n = sizeof(thresholds) / sizeof(thresholds[0]);
    CHECK(gh_greentea_takes(16) && gh_greentea_takes(512));
    CHECK(!gh_greentea_takes(8) && !gh_greentea_takes(576)
          && !gh_greentea_takes(0));
    for (size_t i = 0; i < n; i++) {
        const unsigned size = thresholds[i][0], least = thresholds[i][1];
        const unsigned slots = thresholds[i][2];
        CHECK_EQ(gh_class_nelems(gh_make_spanclass(gh_size_to_class(size), false)),
                 slots);
        CHECK_EQ(slots / GH_GREENTEA_DENSE, least);
        // One object alone is never a matter of its span.
        CHECK_EQ(marked_together(dense, size, slots, 1), 8);
        const unsigned many = least > 2 ? least : 2;
        CHECK_EQ(marked_together(dense, size, slots, many), many * size);
        CHECK_EQ(marked_together(portable, size, slots, many), many * size);
        CHECK_EQ(marked_together(by_object, size, slots, many), many * 8);
        CHECK_EQ(marked_together(objects, size, slots, many), many * 8);
        CHECK_EQ(marked_together(dense, size, slots, slots), slots * size);
        if (least > 2) {
            CHECK_EQ(marked_together(dense, size, slots, least - 1),
                     (least - 1) * 8);
        }
    }
}

// [gc:98] 2^18 nodes of 64 bytes, each with a pointer to the one before, and a row of
// pointers to all. Of this Go 1.26.8 with one P counts, in its first collection,
// 18914656 bytes with AVX-512 and 4234392 without; of the same program without
// nodes, some 40 KB of its own. With several Ps it counts anything in between:
// 16766104 was seen, since thieves scan spans before they have filled.
static void
test_the_figures_of_go(void)
{
    enum { N = 1 << 18 };
    static const struct {
        setting s;
        uint64_t work;
        uint64_t go;
    } want[] = {
        {objects, (uint64_t)N * 8 + N * 8, 4234392},
        {by_object, (uint64_t)N * 8 + N * 8, 4234392},
        // The last span has eight of them: sparse.
        {dense, (uint64_t)(N - 8) * 64 + 8 * 8 + N * 8, 18914656},
        {portable, (uint64_t)(N - 8) * 64 + 8 * 8 + N * 8, 18914656},
    };
    for (unsigned k = 0; k < sizeof(want) / sizeof(want[0]); k++) {
        fixture f;
        setup(&f, want[k].s);
        const gh_type *node = new_type(&f, 64, 8, 1);
        new(&f, 0, f.ptr, N);
        for (unsigned i = 0; i < N; i++) {
            new(&f, 1, node, 1);
            store(&f, 1, 0, 2);
            gh_set(f.m, slot(&f, 2), slot(&f, 1));
            store(&f, 0, i, 1);
        }
        gh_clear(f.m, slot(&f, 1));
        gh_clear(f.m, slot(&f, 2));
        for (unsigned again = 0; again < 2; again++) {
            collect(&f);
            CHECK_EQ(f.last.heap_marked, (uint64_t)N * 72);
            CHECK_EQ(f.last.scan_work, want[k].work);
            CHECK(want[k].go - f.last.scan_work < 41000);
        }
        // The list alone: nothing ever comes together.
        gh_set(f.m, slot(&f, 2), slot(&f, 0));
        CHECK(gh_load(f.m, slot(&f, 1), slot(&f, 0), N - 1) == GH_OK);
        gh_clear(f.m, slot(&f, 0));
        gh_clear(f.m, slot(&f, 2));
        collect(&f);
        CHECK_EQ(f.last.heap_marked, (uint64_t)N * 64);
        CHECK_EQ(f.last.scan_work, (uint64_t)N * 8);
        teardown(&f);
    }
}

// ---- random heaps ----------------------------------------------------------------------

enum { KINDS = 9, OBJECTS = 3000, HELD = 64 };

// One program for every setting: what it does follows from the seed alone.
typedef struct program {
    fixture f;
    const gh_type *t[KINDS];
    uint64_t x;
} program;

static void
make_types(program *p)
{
    static const uint64_t sizes[KINDS] = {8, 16, 24, 64, 112, 256, 512, 640, 2048};
    for (unsigned i = 0; i < KINDS; i++) {
        const uint64_t words = sizes[i] / 8 < 64 ? sizes[i] / 8 : 64;
        // Pointers in word 0 and in some others.
        uint64_t mask = (random_next(&p->x) & random_next(&p->x)) | 1;
        mask &= words == 64 ? ~(uint64_t)0 : ((uint64_t)1 << words) - 1;
        p->t[i] = new_type(&p->f, sizes[i], (64 - gh_clz64(mask)) * 8, mask);
    }
}

// act does something: makes an object, links two, loads, drops.
static void
act(program *p)
{
    fixture *f = &p->f;
    const uint64_t r = random_next(&p->x);
    const size_t a = r % HELD, b = r / HELD % HELD;
    const uint64_t word = r >> 20 & 63;
    switch (r >> 40 & 7) {
    case 0:
    case 1:
    case 2:
        new(f, a, p->t[(r >> 48) % KINDS], r >> 60 == 0 ? 300 : 1);
        break;
    case 3:
    case 4:
        if (slot(f, a)->word != 0
            && gh_is_pointer_word(f->h, slot(f, a), word)) {
            store(f, a, word, b);
        }
        break;
    case 5:
        if (slot(f, a)->word != 0
            && gh_is_pointer_word(f->h, slot(f, a), word)) {
            CHECK(gh_load(f->m, slot(f, b), slot(f, a), word) == GH_OK);
        }
        break;
    case 6:
        if (r >> 60 < 6) {
            gh_clear(f->m, slot(f, a));
        }
        break;
    default:
        // Not so small that it shares a block: cycles end those.
        CHECK(gh_alloc(f->m, slot(f, a), 16 + (r >> 50)) == GH_OK);
        break;
    }
}

typedef struct census {
    uint64_t n, bytes, hash;
} census;

static bool
count_object(void *arg, const gh_object *o)
{
    census *c = arg;
    c->n++;
    c->bytes += o->elemsize;
    c->hash = (c->hash ^ o->addr) * 0x100000001b3u;
    return true;
}

// run_program runs one with cycles by hand, and steps in between if stepwise;
// what lives at the end, and the work of the last whole cycle.
static census
run_program(setting s, uint64_t seed, bool stepwise, uint64_t *work)
{
    program p = {.x = seed};
    setup(&p.f, s);
    make_types(&p);
    uint64_t own = seed * 7 + 1;  // steps take nothing from the program's dice
    for (unsigned i = 0; i < OBJECTS; i++) {
        act(&p);
        if (!stepwise) {
            continue;
        }
        if (gh_gc_phase(p.f.h) == GH_PHASE_OFF) {
            if (random_next(&own) % 200 == 0) {
                CHECK(gh_gc_start(p.f.m) == GH_OK);
            }
        } else if (random_next(&own) % 4 == 0) {
            uint64_t left;
            CHECK(gh_gc_step(p.f.m, random_next(&own) % 4, NULL, NULL, &left)
                  == GH_OK);
            if (left == 0) {
                CHECK(gh_gc_finish(p.f.m) == GH_OK);
            }
        }
        if (i % 50 == 0) {
            verify(&p.f);
        }
    }
    census c = {0};
    collect(&p.f);
    *work = p.f.last.scan_work;
    gh_walk_objects(p.f.h, count_object, &c);
    CHECK_EQ(c.bytes, p.f.last.heap_marked);
    teardown(&p.f);
    return c;
}

static void
test_random_programs(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint64_t want_work, work, dense_work;
        const census want = run_program(objects, seed, false, &want_work);
        census c = run_program(by_object, seed, false, &work);
        CHECK(memcmp(&c, &want, sizeof(c)) == 0);
        CHECK_EQ(work, want_work);
        c = run_program(dense, seed, false, &dense_work);
        CHECK(memcmp(&c, &want, sizeof(c)) == 0);
        CHECK(dense_work >= want_work);
        c = run_program(portable, seed, false, &work);
        CHECK(memcmp(&c, &want, sizeof(c)) == 0);
        CHECK_EQ(work, dense_work);
        // With cycles in between slots are used again and lie elsewhere, but as
        // many objects live.
        const setting all[] = {objects, by_object, dense, portable};
        for (unsigned k = 0; k < 4; k++) {
            c = run_program(all[k], seed, true, &work);
            CHECK_EQ(c.n, want.n);
            CHECK_EQ(c.bytes, want.bytes);
        }
    }
}

// ---- colours, steps ----------------------------------------------------------------------

typedef struct heard {
    unsigned scanned, greyed;
} heard;

static void
hear(void *arg, bool scanned, uint64_t addr)
{
    heard *x = arg;
    CHECK(addr != 0);
    *(scanned ? &x->scanned : &x->greyed) += 1;
}

static gh_color
color(fixture *f, size_t i)
{
    gh_color c;
    CHECK(gh_color_at(f->h, gh_addr(f->h, slot(f, i)), &c) == GH_OK);
    return c;
}

static void
test_steps(void)
{
    fixture f;
    setup(&f, dense);
    const gh_type *node = new_type(&f, 64, 16, 3);
    enum { N = 40 };
    new(&f, 0, f.ptr, 100);  // a slot of 896 bytes: the other queue
    for (unsigned i = 0; i < N; i++) {
        new(&f, 1 + i, node, 1);
    }
    for (unsigned i = 0; i < 20; i++) {
        store(&f, 0, i, 1 + i);
        store(&f, 1 + i, 0, 21 + i);
    }
    // Weak in the sense of this test: known, and no roots.
    uint64_t at[N];
    for (unsigned i = 0; i < N; i++) {
        at[i] = gh_addr(f.h, slot(&f, 1 + i));
        gh_clear(f.m, slot(&f, 1 + i));
    }
    CHECK(gh_gc_start(f.m) == GH_OK);
    gh_color c;
    CHECK(color(&f, 0) == GH_GREY);
    CHECK(gh_color_at(f.h, at[0], &c) == GH_OK && c == GH_WHITE);
    uint64_t left;
    heard x = {0};
    CHECK(gh_gc_step(f.m, 1, hear, &x, &left) == GH_OK);
    CHECK_EQ(x.scanned, 1);
    CHECK_EQ(x.greyed, 20);
    CHECK_EQ(left, 1);  // their span
    CHECK(color(&f, 0) == GH_BLACK);
    CHECK(gh_color_at(f.h, at[19], &c) == GH_OK && c == GH_GREY);
    CHECK(gh_color_at(f.h, at[20], &c) == GH_OK && c == GH_WHITE);
    verify(&f);
    // A new object in a span that waits is black, and is not scanned.
    new(&f, 50, node, 1);
    CHECK(color(&f, 50) == GH_BLACK);
    x = (heard){0};
    CHECK(gh_gc_step(f.m, 1, hear, &x, &left) == GH_OK);
    CHECK_EQ(x.scanned, 20);
    CHECK_EQ(x.greyed, 20);
    CHECK_EQ(left, 1);
    CHECK(gh_color_at(f.h, at[0], &c) == GH_OK && c == GH_BLACK);
    CHECK(gh_color_at(f.h, at[20], &c) == GH_OK && c == GH_GREY);
    verify(&f);
    CHECK(gh_gc_step(f.m, 5, hear, &x, &left) == GH_OK);
    CHECK_EQ(left, 0);
    CHECK_EQ(x.scanned, 40);
    CHECK(gh_gc_finish(f.m) == GH_OK);
    CHECK(gh_cycle_get(f.h, 0, &f.last) == GH_OK);
    // 41 nodes, one of them new; both scans of 20 were dense.
    CHECK_EQ(f.last.heap_marked, 41 * 64 + 896);
    CHECK_EQ(f.last.scan_work, 40 * 64 + 896);
    teardown(&f);
}

// The checker finds grey objects in a span that nobody has queued, and a queued
// span that does not know.
static size_t
broken(fixture *f)
{
    return gh_verify(f->m, NULL, NULL);
}

static void
test_verify_sees(void)
{
    fixture f;
    setup(&f, by_object);
    const gh_type *node = new_type(&f, 64, 16, 3);
    new(&f, 0, node, 1);
    CHECK(gh_gc_start(f.m) == GH_OK);
    verify(&f);
    gh_pageinfo *pi = &f.h->pageinfo[(slot(&f, 0)->word - f.h->base)
                                     >> GH_PAGE_SHIFT];
    CHECK_EQ(pi->owned, GH_OWNED_ONE);
    pi->owned = GH_OWNED_NONE;
    CHECK(broken(&f) >= 2);
    pi->owned = GH_OWNED_ONE;
    const uintptr_t entry = gh_spanq_get(&f.h->gt->queue);
    CHECK(broken(&f) >= 1);  // as lost as it would be white
    CHECK(gh_spanq_put(&f.h->gt->queue, entry) == GH_SPANQ_KEPT);
    uint64_t *scans = &f.h->gt->scans[pi->bits];
    *scans |= 2;
    CHECK(broken(&f) >= 1);
    *scans &= ~(uint64_t)2;
    verify(&f);
    CHECK(gh_gc_finish(f.m) == GH_OK);
    *scans |= 1;
    CHECK(broken(&f) >= 1);
    *scans = 0;
    teardown(&f);
}

// ---- without memory -----------------------------------------------------------------------

// A million spans' worth of queue is refused at any point: the cycle ends, by the
// other marker, with the same figures.
static void
test_without_memory(void)
{
    fixture f;
    setup(&f, dense);
    const gh_type *node = new_type(&f, 512, 16, 3);
    enum { N = 15 * 600 };  // 600 spans
    new(&f, 0, f.ptr, N);
    for (unsigned i = 0; i < N; i++) {
        new(&f, 1, node, 1);
        store(&f, 0, i, 1);
    }
    gh_clear(f.m, slot(&f, 1));
    collect(&f);
    const uint64_t marked = f.last.heap_marked;
    CHECK_EQ(f.last.scan_work, (uint64_t)N * 512 + 73728);
    for (uint64_t k = 0; k < 4; k++) {
        f.fault.fail_from = f.fault.calls + k;
        f.fault.fail_count = UINT64_MAX;
        CHECK(gh_gc(f.m) == GH_OK);
        CHECK(gh_cycle_get(f.h, gh_cycles(f.h) - 1, &f.last) == GH_OK);
        f.fault.fail_count = 0;
        CHECK_EQ(f.last.heap_marked, marked);
        // By object, once each. A ring takes two calls.
        CHECK_EQ(f.last.scan_work, k < 2 ? (uint64_t)N * 16 + 73728
                                         : (uint64_t)N * 512 + 73728);
        verify(&f);
    }
    // Scan bits that can't be had: the cycle does not begin.
    for (unsigned i = 0; i < 600000; i++) {
        new(&f, 1, f.ptr, 2);
        store(&f, 1, 0, 2);
        gh_set(f.m, slot(&f, 2), slot(&f, 1));
    }
    CHECK(f.h->bm.next > f.h->gt->words);
    f.fault.fail_from = f.fault.calls;
    f.fault.fail_count = UINT64_MAX;
    CHECK(gh_gc(f.m) == GH_ERR_NOMEM);
    f.fault.fail_count = 0;
    verify(&f);
    collect(&f);
    CHECK_EQ(f.last.heap_marked, marked + 600000 * 16);
    teardown(&f);
}

// Bits of spans that a cycle makes are beyond what it has scan bits for.
static void
test_spans_newer_than_the_cycle(void)
{
    fixture f;
    setup(&f, by_object);
    const gh_type *node = new_type(&f, 16, 16, 3);
    new(&f, 0, node, 1);
    CHECK(gh_gc_start(f.m) == GH_OK);
    const uint32_t words = f.h->gt->words;
    enum { N = 700000 };
    for (unsigned i = 0; i < N; i++) {
        new(&f, 1, node, 1);
        store(&f, 1, 0, 0);
        gh_set(f.m, slot(&f, 0), slot(&f, 1));
    }
    CHECK(f.h->bm.next > words);
    verify(&f);
    CHECK(gh_gc_finish(f.m) == GH_OK);
    verify(&f);
    collect(&f);
    CHECK_EQ(f.last.heap_marked, (N + 1) * 16);
    CHECK(f.h->gt->words > words);
    teardown(&f);
}

int
main(void)
{
    test_protocol();
    test_options();
    test_thresholds();
    test_the_figures_of_go();
    test_random_programs();
    test_steps();
    test_verify_sees();
    test_without_memory();
    test_spans_newer_than_the_cycle();
    return 0;
}

// test_malloc.c: the ways of one allocation, zeroing, and refusals by the OS.
// [alloc:...] are vectors of Go 1.26.8's behaviour, see csrc/design/vectors.md.

#include <string.h>

#include "check.h"
#include "heap.h"
#include "malloc.h"
#include "mgc.h"

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

typedef struct fixture {
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    const gh_type *ptr;   // one pointer word
    const gh_type *pair;  // {pointer, integer}
    const gh_type *word;  // 8 bytes, no pointer
    const gh_type *none;  // no bytes
} fixture;

static const gh_type *
new_type(gh_mut *m, uint64_t size, uint64_t ptrdata)
{
    const uint64_t one[1] = {1};
    const gh_type_desc d = {.size = size, .align = 8, .ptrdata = ptrdata,
                            .mask = one};
    const gh_type *t;
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    return t;
}

static void
setup(fixture *f, const gh_options *opt)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    CHECK(gh_heap_new(opt == NULL ? &o : opt, &f->h) == GH_OK);
    CHECK(gh_enter(f->h, GH_ANY_P, &f->m) == GH_OK);
    CHECK(gh_slots_new(f->h, 1024, &f->b) == GH_OK);
    f->ptr = new_type(f->m, 8, 8);
    f->pair = new_type(f->m, 16, 8);
    f->word = new_type(f->m, 8, 0);
    f->none = new_type(f->m, 0, 0);
}

static void
teardown(fixture *f)
{
    CHECK_EQ(gh_verify(f->m, print_line, NULL), 0);
    gh_slots_free(f->b);
    gh_leave(f->m);
    gh_heap_free(f->h);
}

static gh_slot *
slot(fixture *f, size_t i)
{
    return gh_slots_at(f->b, i);
}

// [alloc:3-17] Span class, slot size, place in the slot, limit of a large object.
static void
test_paths(void)
{
    static const struct {
        uint64_t size;
        bool scan;
        unsigned spc;
        uint64_t elemsize, off, npages;
    } rows[] = {
        {1, false, 5, 16, 0, 1},           {16, false, 5, 16, 0, 1},
        {24, false, 7, 24, 0, 1},          {33, false, 11, 48, 0, 1},
        {17, false, 7, 24, 0, 1},          {32, false, 9, 32, 0, 1},
        {504, false, 53, 512, 0, 1},       {520, false, 55, 576, 0, 1},
        {512, false, 53, 512, 0, 1},       {513, false, 55, 576, 0, 1},
        {1024, false, 65, 1024, 0, 1},     {1025, false, 67, 1152, 0, 1},
        {28673, false, 135, 32768, 0, 4},  {32760, false, 135, 32768, 0, 4},
        {32761, false, 1, 32768, 0, 4},    {32768, false, 1, 32768, 0, 4},
        {32769, false, 1, 40960, 0, 5},    {40960, false, 1, 40960, 0, 5},
        {33792, false, 1, 40960, 0, 5},    {40961, false, 1, 49152, 0, 6},
        {8, true, 2, 8, 0, 1},             {16, true, 4, 16, 0, 1},
        {40, true, 10, 48, 0, 1},          {512, true, 52, 512, 0, 1},
        {520, true, 54, 576, 8, 1},        {576, true, 56, 640, 8, 1},
        {568, true, 54, 576, 8, 1},        {504, true, 52, 512, 0, 1},
        {1008, true, 64, 1024, 8, 1},      {1144, true, 66, 1152, 8, 1},
        {1152, true, 68, 1280, 8, 1},      {24, true, 6, 24, 0, 1},
        {1016, true, 64, 1024, 8, 1},      {1024, true, 66, 1152, 8, 1},
        {28664, true, 132, 28672, 8, 7},   {28672, true, 134, 32768, 8, 4},
        {32760, true, 134, 32768, 8, 4},   {32768, true, 0, 32768, 0, 4},
        {32776, true, 0, 40960, 0, 5},
    };
    fixture f;
    setup(&f, NULL);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        gh_slot *x = slot(&f, r);
        CHECK((rows[r].scan ? gh_new(f.m, x, f.ptr, rows[r].size / 8)
                            : gh_alloc(f.m, x, rows[r].size)) == GH_OK);
        unsigned i = 99;
        const gh_mspan *s = gh_find_object(f.h, x->word, &i);
        CHECK_EQ(s->spanclass, rows[r].spc);
        CHECK_EQ(s->elemsize, rows[r].elemsize);
        CHECK_EQ(s->npages, rows[r].npages);
        CHECK_EQ(x->word - gh_mspan_obj_base(s, i), rows[r].off);
        if (rows[r].spc < 2) {
            CHECK_EQ(s->limit - s->base, rows[r].size);
            CHECK(s->large_type == (rows[r].scan ? f.ptr : NULL));
        }
        gh_object o;
        CHECK(gh_object_at(f.h, x, &o) == GH_OK);
        CHECK_EQ(o.size, rows[r].size);
        CHECK_EQ(o.count, rows[r].scan ? rows[r].size / 8 : rows[r].size);
        CHECK_EQ(o.type_id, rows[r].scan ? gh_type_id(f.ptr) : GH_TYPE_BYTES);
        CHECK_EQ(o.header, rows[r].off != 0);
    }
    // Without pointers a type goes the way of bytes; 8 bytes are tiny [alloc:48].
    gh_flush_p(f.m, GH_ANY_P);
    CHECK(gh_new(f.m, slot(&f, 900), f.word, 1) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 901), f.word, 1) == GH_OK);
    CHECK_EQ(slot(&f, 901)->word - slot(&f, 900)->word, 8);
    CHECK_EQ(gh_span_of(f.h, slot(&f, 900)->word)->spanclass, 5);
    teardown(&f);
}

// [alloc:33] A small span ends where its slots end. [alloc:35] Fifteen slots of
// 512 bytes, and the sixteenth is another span's.
static void
test_span_limits(void)
{
    static const uint64_t rows[][2] = {{512, 7680}, {416, 7904}, {16, 8064}};
    fixture f;
    setup(&f, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK(gh_alloc(f.m, slot(&f, i), rows[i][0]) == GH_OK);
        const gh_mspan *s = gh_span_of(f.h, slot(&f, i)->word);
        CHECK_EQ(s->limit - s->base, rows[i][1]);
    }
    gh_flush_p(f.m, GH_ANY_P);
    gh_clear(f.m, slot(&f, 0));
    CHECK(gh_gc(f.m) == GH_OK);
    for (unsigned i = 0; i < 16; i++) {
        CHECK(gh_alloc(f.m, slot(&f, i), 512) == GH_OK);
    }
    const gh_mspan *s = gh_span_of(f.h, slot(&f, 0)->word);
    for (unsigned i = 1; i < 16; i++) {
        CHECK_EQ(gh_span_of(f.h, slot(&f, i)->word) == s, i < 15);
    }
    teardown(&f);
}

// [alloc:69]
static void
test_class_67(void)
{
    fixture f;
    setup(&f, NULL);
    gh_memstats before, after;
    gh_stats(f.m, &before);
    CHECK(gh_alloc(f.m, slot(&f, 0), 32768) == GH_OK);
    CHECK(gh_alloc(f.m, slot(&f, 1), 32761) == GH_OK);
    CHECK(gh_alloc(f.m, slot(&f, 2), 32760) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 3), f.ptr, 32760 / 8) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 4), f.ptr, 32768 / 8) == GH_OK);
    gh_read_mem_stats(f.m, &after);
    CHECK_EQ(after.total_alloc - before.total_alloc, 163840);
    CHECK_EQ(f.h->stats.large_alloc_count, 3);
    CHECK_EQ(f.h->stats.small_alloc_count[67], 2);
    teardown(&f);
}

// [alloc:25] One address, no counter, no span; nothing to load or store there.
static void
test_zero_size(void)
{
    fixture f;
    setup(&f, NULL);
    gh_memstats before, after;
    gh_stats(f.m, &before);
    CHECK(gh_alloc(f.m, slot(&f, 0), 0) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 1), f.none, 1) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 2), f.none, UINT64_MAX) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 3), f.ptr, 0) == GH_OK);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(slot(&f, i)->word, gh_zerobase(f.h));
    }
    gh_stats(f.m, &after);
    CHECK(memcmp(&before, &after, sizeof(before)) == 0);
    gh_object o;
    CHECK(gh_object_at(f.h, slot(&f, 0), &o) == GH_OK);
    CHECK_EQ(o.size, 0);
    CHECK(gh_store(f.m, slot(&f, 0), 0, NULL) == GH_ERR_INVAL);
    // A pointer to it may lie anywhere, and a cycle passes over it.
    CHECK(gh_new(f.m, slot(&f, 5), f.ptr, 1) == GH_OK);
    CHECK(gh_store(f.m, slot(&f, 5), 0, slot(&f, 0)) == GH_OK);
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK_EQ(f.h->bytes_marked, 8);
    teardown(&f);
}

// A request too big for the window is refused, whatever its arithmetic.
static void
test_too_big(void)
{
    fixture f;
    setup(&f, NULL);
    slot(&f, 0)->word = 0;
    const gh_type *big = new_type(f.m, (uint64_t)1 << 40, 8);
    const uint64_t n[] = {UINT64_MAX, UINT64_MAX / 8, (uint64_t)1 << 61,
                          (uint64_t)1 << 45};
    for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
        CHECK(gh_alloc(f.m, slot(&f, 0), n[i]) == GH_ERR_NOMEM);
        CHECK(gh_new(f.m, slot(&f, 0), f.ptr, n[i]) == GH_ERR_NOMEM);
        CHECK(gh_new(f.m, slot(&f, 0), big, n[i]) == GH_ERR_NOMEM);
    }
    CHECK(gh_new(f.m, slot(&f, 0), big, 1) == GH_ERR_NOMEM);
    CHECK_EQ(slot(&f, 0)->word, 0);
    CHECK_EQ(f.m->pending.word, 0);
    teardown(&f);
}

static bool
is_zero(const gh_slot *s, uint64_t n)
{
    const unsigned char *p = gh_data(s);
    for (uint64_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

// Memory that was used before is handed out zeroed, on every path.
static void
test_zeroed(void)
{
    static const uint64_t sizes[] = {1,    3,    8,     16,    100,   512,
                                     520,  2000, 8192,  30000, 32760, 32768,
                                     70000, 700000};
    enum { N = sizeof(sizes) / sizeof(sizes[0]) };
    fixture f;
    setup(&f, NULL);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 40 * N; i++) {
            gh_slot *x = slot(&f, i % 300);
            const uint64_t n = sizes[i % N];
            CHECK(gh_alloc(f.m, x, n) == GH_OK);
            CHECK(is_zero(x, n));
            memset(gh_data(x), 0xa5, n);
        }
        for (unsigned i = 0; i < 40; i++) {
            gh_slot *x = slot(&f, 400);
            CHECK(gh_new(f.m, x, f.pair, 1 + i * 5) == GH_OK);
            CHECK(is_zero(x, (1 + i * 5) * 16));
            uint64_t *w = gh_data(x);
            for (unsigned k = 0; k < 1 + i * 5; k++) {
                w[2 * k + 1] = ~(uint64_t)0;
            }
        }
        for (unsigned i = 0; i < 500; i++) {
            gh_clear(f.m, slot(&f, i));
        }
        CHECK(gh_gc(f.m) == GH_OK);
    }
    teardown(&f);
}

// A span with holes is cleared hole by hole, whatever their pattern, and its live
// objects stay as they are.
static void
test_zeroed_holes(uint64_t size)
{
    enum { N = 2000 };
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    gh_heap *h;
    gh_mut *m;
    gh_slots *slots;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_slots_new(h, N, &slots) == GH_OK);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < N; i++) {
            gh_slot *x = gh_slots_at(slots, i);
            if (x->word == 0) {
                CHECK(gh_alloc(m, x, size) == GH_OK);
                CHECK(is_zero(x, size));
                memset(gh_data(x), 0xa5, size);
            }
        }
        for (unsigned i = 0; i < N; i++) {
            gh_slot *x = gh_slots_at(slots, i);
            CHECK_EQ(((unsigned char *)gh_data(x))[size - 1], 0xa5);
            // Single ones, every second, runs of 64 and more, all.
            const bool dead = round == 0   ? i % 7 == 3
                              : round == 1 ? i % 2 == 0
                              : round == 2 ? i / 64 % 2 == 0
                              : round == 3 ? i / 100 % 3 != 1
                                           : true;
            if (dead) {
                gh_clear(m, x);
            }
        }
        CHECK(gh_gc(m) == GH_OK);
        CHECK_EQ(gh_verify(m, NULL, NULL), 0);
    }
    gh_slots_free(slots);
    gh_leave(m);
    gh_heap_free(h);
}

// Delayed zeroing: a cycle that a large scan object starts sees the object and
// not the old words in its memory.
static void
test_delayed_zeroing(void)
{
    fixture f;
    setup(&f, NULL);
    const uint64_t n = 1 << 17;  // 1 MiB of pointers
    gh_slot *x = slot(&f, 0), *y = slot(&f, 1);
    CHECK(gh_alloc(f.m, y, 64) == GH_OK);
    CHECK(gh_new(f.m, x, f.ptr, n) == GH_OK);
    CHECK(gh_store(f.m, x, 0, y) == GH_OK);
    CHECK(gh_store(f.m, x, n - 1, y) == GH_OK);
    const uintptr_t at = x->word;
    gh_clear(f.m, x);
    // The span goes; its words stay as they are.
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK_EQ(gh_set_gogc(f.m, 0), (uint64_t)-1);
    const uint64_t cycles = gh_cycles(f.h);
    CHECK(*(uintptr_t *)at != 0);
    CHECK(gh_new(f.m, x, f.ptr, n) == GH_OK);
    CHECK_EQ(x->word, at);
    CHECK_EQ(gh_cycles(f.h), cycles + 1);
    gh_cycle c;
    CHECK(gh_cycle_get(f.h, cycles, &c) == GH_OK);
    CHECK_EQ(c.heap_marked, n * 8 + 64);
    CHECK_EQ(c.scan_work, 0);
    CHECK(is_zero(x, n * 8));
    CHECK(gh_span_of(f.h, at)->large_type == f.ptr);
    teardown(&f);
}

// gh_alloc_spanclass: the slot is the span class's, and what is said of the
// object stays inside it.
static void
test_spanclass(void)
{
    fixture f;
    setup(&f, NULL);
    gh_slot *x = slot(&f, 0), *y = slot(&f, 1);
    gh_object o;
    for (unsigned spc = 2; spc < GH_NUM_SPAN_CLASSES; spc++) {
        const uint64_t size = gh_class_to_size[spc / 2];
        const gh_type *t[] = {NULL, f.ptr, f.pair};
        for (unsigned k = 0; k < 3; k++) {
            const gh_status st =
                gh_alloc_spanclass(f.m, x, (uint8_t)spc, size, t[k]);
            if (spc == 2 && k == 2) {
                CHECK(st == GH_ERR_INVAL);  // 16 bytes in a slot of 8
                continue;
            }
            CHECK(st == GH_OK);
            CHECK(gh_object_at(f.h, x, &o) == GH_OK);
            CHECK_EQ(o.spanclass, spc);
            CHECK_EQ(o.elemsize, size);
            const uint64_t head = o.header ? 8 : 0;
            CHECK_EQ(o.header, spc % 2 == 0 && size > 512);
            CHECK(o.size <= size - head);
            CHECK(o.size > 0);
            CHECK(gh_set_interior(f.m, y, x, o.size - 1) == GH_OK);
            CHECK(gh_set_interior(f.m, y, x, o.size) == GH_ERR_INVAL);
            gh_object p;
            CHECK(gh_object_at(f.h, y, &p) == GH_OK);
            CHECK_EQ(p.addr, o.addr);
        }
        CHECK(gh_alloc_spanclass(f.m, x, (uint8_t)spc, size + 8, NULL)
              == GH_ERR_INVAL);
    }
    CHECK(gh_alloc_spanclass(f.m, x, 0, 49152, f.pair) == GH_OK);
    CHECK(gh_object_at(f.h, x, &o) == GH_OK);
    CHECK_EQ(o.size, 49152);
    CHECK_EQ(o.count, 49152 / 16);
    CHECK(gh_alloc_spanclass(f.m, x, 1, 0, NULL) == GH_ERR_INVAL);
    CHECK(gh_alloc_spanclass(f.m, x, 1, 8191, NULL) == GH_ERR_INVAL);
    CHECK(gh_alloc_spanclass(f.m, x, 136, 8192, NULL) == GH_ERR_INVAL);
    teardown(&f);
}

// [inv:header.leaves] Where nobody looks into objects, a cycle counts the same
// work, and not a byte of them is written.
static void
test_leaves(void)
{
    for (unsigned marker = 0; marker < 2; marker++) {
        gh_cycle c[2];
        uint64_t addr[2] = {0, 0};
        for (unsigned leaves = 0; leaves < 2; leaves++) {
            gh_options o;
            gh_options_init(&o);
            o.gogc = -1;
            o.leaves = leaves;
            o.policy.marker = marker ? GH_MARKER_GREENTEA : GH_MARKER_OBJECTS;
            fixture f;
            setup(&f, &o);
            unsigned n = 0;
            for (unsigned round = 0; round < 3; round++) {
                n = 0;
                for (unsigned spc = 4; spc < GH_NUM_SPAN_CLASSES; spc++) {
                    const uint64_t size = gh_class_to_size[spc / 2];
                    for (unsigned k = 0; k < 3; k++, n++) {
                        const gh_type *t = n % 2 ? f.ptr : f.pair;
                        CHECK(gh_alloc_spanclass(f.m, slot(&f, n), (uint8_t)spc,
                                                 size, t) == GH_OK);
                    }
                }
                CHECK(gh_alloc_spanclass(f.m, slot(&f, n++), 0, 3 << 20, f.pair)
                      == GH_OK);
                CHECK(gh_gc(f.m) == GH_OK);
            }
            CHECK(gh_cycle_get(f.h, 2, &c[leaves]) == GH_OK);
            for (unsigned i = 0; i < n; i++) {
                const gh_mspan *s = gh_span_of(f.h, slot(&f, i)->word);
                const uint64_t *word =
                    (const uint64_t *)(slot(&f, i)->word & ~(uintptr_t)7);
                addr[leaves] += (uintptr_t)word - f.h->base;
                const bool header = !gh_spanclass_noscan(s->spanclass)
                                    && s->div_mul != 0 && s->elemsize > 512;
                CHECK(!leaves || word[header ? -1 : 0] == 0);
            }
            teardown(&f);
        }
        CHECK_EQ(addr[0], addr[1]);
        CHECK(c[0].scan_work > 3 << 19);
        CHECK_EQ(c[0].scan_work, c[1].scan_work);
        CHECK_EQ(c[0].heap_marked, c[1].heap_marked);
    }
}

// ---- refusals ------------------------------------------------------------------

typedef struct picture {
    uintptr_t word[64];
    uint64_t sum[64];    // of the object's size and of bytes at both its ends
    uint64_t objects, alloc, mallocs;
    int32_t gogc;
    int64_t limit;
} picture;

static uint64_t
sum_bytes(fixture *f, const gh_slot *s)
{
    gh_object o;
    CHECK(gh_object_at(f->h, s, &o) == GH_OK);
    const unsigned char *p = gh_data(s);
    uint64_t sum = o.size;
    const uint64_t n = o.size < 64 ? o.size : 64;
    for (uint64_t i = 0; i < n; i++) {
        sum = (sum * 31 + p[i]) * 31 + p[o.size - 1 - i];
    }
    return sum;
}

static void
look(fixture *f, picture *p)
{
    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i < 64; i++) {
        p->word[i] = slot(f, i)->word;
        p->sum[i] = p->word[i] == 0 ? 0 : sum_bytes(f, slot(f, i));
    }
    gh_memstats s;
    gh_stats(f->m, &s);
    p->objects = s.heap_objects;
    p->alloc = s.heap_alloc;
    p->mallocs = s.mallocs;
    p->gogc = gh_gogc(f->h);
    p->limit = gh_memory_limit(f->h);
}

// One step of a fixed script; true if it failed for want of memory.
static bool
step(fixture *f, unsigned i)
{
    gh_slot *x = slot(f, i % 64);
    gh_status st;
    switch (i % 8) {
    case 0:
        st = gh_alloc(f->m, x, 40000 + i * 9000);
        break;
    case 1:
        st = gh_new(f->m, x, f->pair, 1 + i * 3);
        break;
    case 2:
        st = gh_new(f->m, x, f->ptr, 5000 * i);
        break;
    case 3:
        st = gh_alloc(f->m, x, 8000 + i);
        break;
    case 4:
        st = gh_alloc(f->m, x, 1 + i % 15);
        break;
    case 5:
        st = i % 3 == 0 ? gh_gc(f->m) : gh_alloc(f->m, x, 3 << 20);
        break;
    case 6:
        st = i % 3 == 0 ? gh_free_os_memory(f->m)
                        : gh_new(f->m, x, f->ptr, 1);
        break;
    default:
        st = gh_alloc(f->m, x, i);
        break;
    }
    CHECK(st == GH_OK || st == GH_ERR_NOMEM);
    if (st == GH_OK && i % 8 != 5 && i % 8 != 6 && i % 8 != 2 && i % 8 != 1) {
        memset(gh_data(x), (int)i, 1);
    }
    return st != GH_OK;
}

// Each call to the OS fails once. The step it belongs to fails and has done
// nothing, or does without it; in either case the heap is sound, the same step
// succeeds the second time, and nothing stays behind at the end.
static void
test_refusals(void)
{
    uint64_t refused = 0, failing_calls = 0;
    for (uint64_t n = 0;; n++) {
        gh_mem_fault fault = {0};
        gh_options o;
        gh_options_init(&o);
        o.gogc = 100;
        o.address_space = (uint64_t)1 << 30;
        o.mem_ops = gh_mem_fault_ops();
        o.mem_ctx = &fault;
        fixture f;
        setup(&f, &o);
        fault.fail_from = fault.calls + n;
        fault.fail_count = 1;
        for (unsigned i = 0; i < 96; i++) {
            picture before, after;
            if (fault.failed == 0) {
                look(&f, &before);
            }
            const uint64_t cycles = gh_cycles(f.h);
            if (step(&f, i)) {
                refused++;
                look(&f, &after);
                if (gh_cycles(f.h) != cycles) {
                    // A cycle on the way may have freed what nobody holds.
                    CHECK(after.objects <= before.objects);
                    after.objects = before.objects;
                    after.alloc = before.alloc;
                }
                CHECK(memcmp(&before, &after, sizeof(before)) == 0);
                CHECK_EQ(f.m->pending.word, 0);
                CHECK(gh_gc_phase(f.h) == GH_PHASE_OFF);
                CHECK_EQ(gh_verify(f.m, print_line, NULL), 0);
                CHECK(!step(&f, i));
            }
        }
        const bool failed = fault.failed != 0;
        failing_calls += failed;
        teardown(&f);
        CHECK_EQ(fault.bytes, 0);
        if (!failed) {
            break;
        }
    }
    CHECK(failing_calls > 20);
    CHECK(refused > 10);
}

static void
check_object(fixture *f, size_t i, uint32_t type, uint64_t count)
{
    gh_object o;
    CHECK(gh_object_at(f->h, slot(f, i), &o) == GH_OK);
    CHECK_EQ(o.type_id, type);
    CHECK_EQ(o.count, count);
}

// [inv:span.meta] Objects that are alike are noted once, others one by one, whatever
// was noted of a slot or a span before.
static void
test_noted_once(void)
{
    fixture f;
    setup(&f, NULL);
    const gh_type *other = new_type(f.m, 16, 8);
    const uint32_t pair = gh_type_id(f.pair), that = gh_type_id(other);
    for (size_t i = 0; i < 100; i++) {
        CHECK(gh_new(f.m, slot(&f, i), f.pair, 1) == GH_OK);
    }
    gh_mspan *s = gh_span_of(f.h, slot(&f, 0)->word);
    CHECK_EQ(s->meta_mode, GH_META_ONE);
    CHECK(gh_new(f.m, slot(&f, 100), other, 1) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 101), f.pair, 1) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 102), f.ptr, 2) == GH_OK);
    CHECK(gh_span_of(f.h, slot(&f, 102)->word) == s);
    CHECK_EQ(s->meta_mode, GH_META_EACH);
    for (size_t i = 0; i < 100; i++) {
        check_object(&f, i, pair, 1);
    }
    check_object(&f, 100, that, 1);
    check_object(&f, 101, pair, 1);
    check_object(&f, 102, gh_type_id(f.ptr), 2);
    // Of the two that are left and what takes the others' places.
    for (size_t i = 1; i < 103; i++) {
        if (i != 100) {
            gh_clear(f.m, slot(&f, i));
        }
    }
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 1), other, 1) == GH_OK);
    CHECK(gh_span_of(f.h, slot(&f, 1)->word) == s);
    check_object(&f, 0, pair, 1);
    check_object(&f, 1, that, 1);
    check_object(&f, 100, that, 1);
    // A span that a sweep for its P leaves empty begins anew.
    gh_clear(f.m, slot(&f, 0));
    gh_clear(f.m, slot(&f, 1));
    gh_clear(f.m, slot(&f, 100));
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK(gh_new(f.m, slot(&f, 0), other, 1) == GH_OK);
    CHECK_EQ(gh_span_of(f.h, slot(&f, 0)->word)->meta_mode, GH_META_ONE);
    check_object(&f, 0, that, 1);
    // The same for blocks; and 16 bytes are no tiny block's, 15 are.
    CHECK(gh_alloc(f.m, slot(&f, 2), 40) == GH_OK);
    CHECK(gh_alloc(f.m, slot(&f, 3), 48) == GH_OK);
    CHECK(gh_alloc(f.m, slot(&f, 4), 48) == GH_OK);
    check_object(&f, 2, GH_TYPE_BYTES, 40);
    check_object(&f, 3, GH_TYPE_BYTES, 48);
    check_object(&f, 4, GH_TYPE_BYTES, 48);
    CHECK(gh_alloc(f.m, slot(&f, 5), 16) == GH_OK);
    CHECK(gh_alloc(f.m, slot(&f, 6), 9) == GH_OK);
    CHECK(gh_alloc(f.m, slot(&f, 7), 5) == GH_OK);
    check_object(&f, 5, GH_TYPE_BYTES, 16);
    check_object(&f, 6, GH_TYPE_BYTES, 9);
    check_object(&f, 7, GH_TYPE_BYTES, 5);
    teardown(&f);
}

// [inv:span.short_way] What an allocation need not look at again is found out anew when it
// changes.
static void
test_short_way(void)
{
    fixture f;
    setup(&f, NULL);
    const gh_type *other = new_type(f.m, 16, 8);
    CHECK(gh_new(f.m, slot(&f, 0), f.pair, 1) == GH_OK);
    gh_mspan *s = gh_span_of(f.h, slot(&f, 0)->word);
    CHECK_EQ(s->short_way, gh_type_id(f.pair));
    for (size_t i = 1; i < 10; i++) {
        CHECK(gh_new_fast(f.m, slot(&f, i), f.pair, 1, false));
    }
    // Another mask, another type, more than one.
    CHECK(!gh_new_fast(f.m, slot(&f, 10), other, 1, false));
    CHECK(gh_new(f.m, slot(&f, 10), other, 1) == GH_OK);
    CHECK(gh_span_of(f.h, slot(&f, 10)->word) == s);
    CHECK_EQ(s->short_way, 0);
    CHECK(gh_new(f.m, slot(&f, 11), f.pair, 1) == GH_OK);
    check_object(&f, 9, gh_type_id(f.pair), 1);
    check_object(&f, 10, gh_type_id(other), 1);
    check_object(&f, 11, gh_type_id(f.pair), 1);
    CHECK_EQ(s->short_way, 0);
    // A cycle takes it away: what it frees is not clear.
    for (size_t i = 0; i < 12; i++) {
        gh_clear(f.m, slot(&f, i));
    }
    CHECK(gh_alloc(f.m, slot(&f, 20), 40) == GH_OK);
    s = gh_span_of(f.h, slot(&f, 20)->word);
    CHECK_EQ(s->short_way, GH_SHORT_BYTES | 40u);
    memset(gh_data(slot(&f, 20)), 0xa5, 40);
    CHECK(gh_alloc(f.m, slot(&f, 21), 40) == GH_OK);
    gh_clear(f.m, slot(&f, 20));
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK_EQ(s->short_way, 0);
    CHECK(gh_alloc(f.m, slot(&f, 20), 40) == GH_OK);
    CHECK(gh_span_of(f.h, slot(&f, 20)->word) == s);
    CHECK_EQ(((const uint64_t *)gh_data(slot(&f, 20)))[4], 0);
    // Blocks of another length of the class, one by one from then on.
    CHECK(gh_alloc(f.m, slot(&f, 22), 48) == GH_OK);
    CHECK_EQ(s->short_way, 0);
    check_object(&f, 21, GH_TYPE_BYTES, 40);
    check_object(&f, 22, GH_TYPE_BYTES, 48);
    // Several of a type are no single one.
    CHECK(gh_new(f.m, slot(&f, 30), f.ptr, 3) == GH_OK);
    CHECK_EQ(gh_span_of(f.h, slot(&f, 30)->word)->short_way, 0);
    CHECK_EQ(gh_verify(f.m, NULL, NULL), 0);
    teardown(&f);
}

int
main(void)
{
    test_paths();
    test_noted_once();
    test_short_way();
    test_span_limits();
    test_class_67();
    test_zero_size();
    test_too_big();
    test_zeroed();
    for (uint64_t size = 16; size <= 2048; size *= 2) {
        test_zeroed_holes(size);
        test_zeroed_holes(size / 2 + size / 4);
    }
    test_delayed_zeroing();
    test_spanclass();
    test_leaves();
    test_refusals();
    return 0;
}

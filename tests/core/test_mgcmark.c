// test_mgcmark.c: what is reached is marked, once; scan work counts the bytes
// up to the last pointer of each object. [gc:...] are vectors of Go 1.26.8's
// behaviour, see csrc/design/vectors.md.

#include "check.h"
#include "heap.h"
#include "mgc.h"
#include "mgcmark.h"
#include "mgcmark_scan.h"
#include "mgcwork.h"

#include <string.h>

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

typedef struct fixture {
    gh_mem_fault fault;
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    const gh_type *ptr;   // one pointer
    const gh_type *node;  // 64 bytes, pointers in words 0 and 1
    const gh_type *pair;  // {pointer, integer}
    gh_cycle last;
} fixture;

static const gh_type *
new_type(gh_mut *m, uint64_t size, uint64_t ptrdata, uint64_t mask)
{
    const gh_type_desc d = {.size = size, .align = 8, .ptrdata = ptrdata,
                            .mask = &mask};
    const gh_type *t;
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    return t;
}

static void
setup(fixture *f)
{
    *f = (fixture){0};
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.address_space = (uint64_t)4 << 30;
    o.mem_ops = gh_mem_fault_ops();
    o.mem_ctx = &f->fault;
    CHECK(gh_heap_new(&o, &f->h) == GH_OK);
    CHECK(gh_enter(f->h, GH_ANY_P, &f->m) == GH_OK);
    CHECK(gh_slots_new(f->h, 16, &f->b) == GH_OK);
    f->ptr = new_type(f->m, 8, 8, 1);
    f->node = new_type(f->m, 64, 16, 3);
    f->pair = new_type(f->m, 16, 8, 1);
}

static void
teardown(fixture *f)
{
    CHECK_EQ(gh_verify(f->m, print_line, NULL), 0);
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

// collect runs a cycle and checks what it marked and scanned.
static void
collect(fixture *f, uint64_t marked, uint64_t work)
{
    CHECK(gh_gc(f->m) == GH_OK);
    CHECK(gh_cycle_get(f->h, gh_cycles(f->h) - 1, &f->last) == GH_OK);
    CHECK_EQ(f->last.heap_marked, marked);
    CHECK_EQ(f->last.scan_work, work);
    CHECK_EQ(f->h->work.top->below == NULL, true);
    CHECK(f->h->work.empty == NULL);
}

// make_list makes a list of n nodes in slot 0.
static void
make_list(fixture *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        new(f, 1, f->node, 1);
        store(f, 1, 0, 0);
        gh_set(f->m, slot(f, 0), slot(f, 1));
    }
    gh_clear(f->m, slot(f, 1));
}

// A list of a million nodes needs no depth of anything.
static void
test_long_list(void)
{
    enum { N = 1000000 };
    fixture f;
    setup(&f);
    make_list(&f, N);
    collect(&f, (uint64_t)N * 64, (uint64_t)N * 16);
    CHECK_EQ(f.h->work.nbufs, 1);
    // A cycle of pointers holds nothing by itself.
    gh_set(f.m, slot(&f, 1), slot(&f, 0));
    for (unsigned i = 0; i < N - 1; i++) {
        CHECK(gh_load(f.m, slot(&f, 1), slot(&f, 1), 0) == GH_OK);
    }
    store(&f, 1, 0, 0);
    gh_clear(f.m, slot(&f, 0));
    collect(&f, (uint64_t)N * 64, (uint64_t)N * 16);
    gh_clear(f.m, slot(&f, 1));
    collect(&f, 0, 0);
    teardown(&f);
}

// A tree of 2^18 - 1 nodes hung upon a list of nodes, so that it is deep as
// well as wide.
static void
make_tree(fixture *f, unsigned depth)
{
    if (depth == 0) {
        gh_clear(f->m, slot(f, 2));
        return;
    }
    gh_slot *stack = slot(f, 2);
    uint32_t left, up;
    CHECK(gh_handle_new(f->m, &left) == GH_OK);
    CHECK(gh_handle_new(f->m, &up) == GH_OK);
    make_tree(f, depth - 1);
    gh_set(f->m, gh_handle_slot(f->h, left), stack);
    make_tree(f, depth - 1);
    CHECK(gh_new(f->m, gh_handle_slot(f->h, up), f->node, 1) == GH_OK);
    CHECK(gh_store(f->m, gh_handle_slot(f->h, up), 0,
                   gh_handle_slot(f->h, left)) == GH_OK);
    CHECK(gh_store(f->m, gh_handle_slot(f->h, up), 1, stack) == GH_OK);
    gh_set(f->m, stack, gh_handle_slot(f->h, up));
    gh_handle_drop(f->h, left);
    gh_handle_drop(f->h, up);
}

static void
test_tree(void)
{
    fixture f;
    setup(&f);
    make_tree(&f, 17);
    const uint64_t n = (1 << 17) - 1;
    collect(&f, n * 64, n * 16);
    // The same with a slice that points at every node of a list: all are new
    // at once, and the queue must grow and shrink again. M98 has this shape.
    gh_clear(f.m, slot(&f, 2));
    collect(&f, 0, 0);
    const uint64_t k = 1 << 18;
    new(&f, 3, f.ptr, k);
    for (uint64_t i = 0; i < k; i++) {
        new(&f, 1, f.node, 1);
        store(&f, 3, i, 1);
    }
    gh_clear(f.m, slot(&f, 1));
    collect(&f, k * 64 + k * 8, k * 16 + k * 8);
    teardown(&f);
}

// Scan work by object: up to the end of the last pointer word of the slot,
// whatever the words hold.
static void
test_scan_work(void)
{
    static const struct {
        uint64_t size, ptrdata, mask, n, marked, work;
    } rows[] = {
        {8, 8, 1, 1, 8, 8},
        {24, 24, 5, 1, 24, 24},
        {24, 8, 1, 1, 24, 8},
        {24, 16, 2, 1, 24, 16},
        {24, 8, 1, 3, 80, 56},
        {16, 8, 1, 32, 512, 504},
        {512, 8, 1, 1, 512, 8},
        // Behind a header: tiles go on to the end of the slot, and the header
        // is counted.
        {520, 8, 1, 1, 576, 576 - 40},
        {640, 8, 1, 1, 704, 704 - 48},
        {640, 16, 3, 1, 704, 704 - 40},
        {16, 8, 1, 35, 576, 576},
        {2000, 8, 1, 1, 2048, 2048 - 32},
        {8, 0, 0, 100, 896, 0},
        // Large, with oblets [gc:76]: each of them up to its own last pointer.
        {8, 8, 1, 5000, 40960, 40960},
        {40000, 8, 1, 1, 40960, 40008},
        {131072, 8, 1, 1, 131072, 8},
        {131072, 8, 1, 8, 1 << 20, 64},
        {139264, 8, 1, 1, 139264, 8},
        {1 << 20, 8, 1, 1, 1 << 20, 8},
    };
    fixture f;
    setup(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const gh_type *t = new_type(f.m, rows[i].size, rows[i].ptrdata,
                                    rows[i].mask);
        new(&f, 0, t, rows[i].n);
        collect(&f, rows[i].marked, rows[i].work);
    }
    teardown(&f);
}

// Every word of an object of many oblets is looked at, and only pointer words;
// the object counts once however it is found.
static void
test_oblets(void)
{
    fixture f;
    setup(&f);
    const uint64_t words = (3 * GH_MAX_OBLET_BYTES + 40) / 8;
    const uint64_t n = words / 2;
    new(&f, 0, f.pair, n);
    const uint64_t size = gh_align_up(n * 16, GH_PAGE_SIZE);
    const uint64_t edge = GH_MAX_OBLET_BYTES / 8;
    const uint64_t at[] = {0, 2, edge - 2, edge, 2 * edge - 2, 2 * edge,
                           3 * edge, 2 * (n - 1)};
    enum { K = sizeof(at) / sizeof(at[0]) };
    for (unsigned i = 0; i < K; i++) {
        new(&f, 1, f.node, 1);
        store(&f, 0, at[i], 1);
        CHECK(gh_store(f.m, slot(&f, 0), at[i] + 1, slot(&f, 1))
              == GH_ERR_INVAL);
        // A pointer in a word of integers holds nothing.
        CHECK(gh_alloc(f.m, slot(&f, 2), 1000) == GH_OK);
        CHECK(gh_store_any(f.m, slot(&f, 0), at[i] + 1, slot(&f, 2)) == GH_OK);
    }
    gh_clear(f.m, slot(&f, 1));
    gh_clear(f.m, slot(&f, 2));
    const uint64_t work = size - 8 - 3 * 8 + K * 16;
    collect(&f, size + K * 64, work);
    // Found by interior pointers to each oblet only.
    gh_set(f.m, slot(&f, 3), slot(&f, 0));
    for (unsigned i = 0; i < 4; i++) {
        CHECK(gh_set_interior(f.m, slot(&f, 4 + i), slot(&f, 3),
                              i * GH_MAX_OBLET_BYTES + 3) == GH_OK);
    }
    gh_clear(f.m, slot(&f, 0));
    gh_clear(f.m, slot(&f, 3));
    collect(&f, size + K * 64, work);
    teardown(&f);
}

// An address anywhere inside an object holds it; one past its end holds
// nothing of it.
static void
test_interior(void)
{
    static const uint64_t sizes[] = {8, 64, 512, 513, 3200, 9472, 27264, 32760,
                                     32768, 100000};
    fixture f;
    setup(&f);
    for (unsigned pointers = 0; pointers < 2; pointers++) {
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            const uint64_t n = sizes[k];
            for (unsigned i = 0; i < 8; i++) {
                if (pointers) {
                    new(&f, i, f.ptr, n / 8);
                } else {
                    CHECK(gh_alloc(f.m, slot(&f, i), n) == GH_OK);
                }
            }
            gh_object o;
            CHECK(gh_object_at(f.h, slot(&f, 0), &o) == GH_OK);
            const uint64_t off[] = {0, 1, o.size / 2, o.size - 1};
            for (unsigned i = 0; i < 4; i++) {
                gh_slot *x = slot(&f, 2 * i);
                CHECK(gh_set_interior(f.m, x, x, off[i]) == GH_OK);
                gh_clear(f.m, slot(&f, 2 * i + 1));
            }
            CHECK(gh_gc(f.m) == GH_OK);
            CHECK_EQ(f.h->bytes_marked, 4 * o.elemsize);
            for (unsigned i = 0; i < 4; i++) {
                gh_object q;
                CHECK(gh_object_at(f.h, slot(&f, 2 * i), &q) == GH_OK);
                CHECK_EQ(q.off, off[i]);
                gh_clear(f.m, slot(&f, 2 * i));
            }
        }
    }
    // Beyond the request of a large object, beyond the slots of a span, on a
    // page that is free, outside the window: all of them hold nothing.
    CHECK(gh_alloc(f.m, slot(&f, 0), 100000) == GH_OK);
    slot(&f, 1)->word = slot(&f, 0)->word + 100000;
    gh_clear(f.m, slot(&f, 0));
    CHECK(gh_alloc(f.m, slot(&f, 2), 3200) == GH_OK);
    slot(&f, 3)->word = (slot(&f, 2)->word & ~(uintptr_t)8191) + 16384 - 8;
    gh_clear(f.m, slot(&f, 2));
    slot(&f, 4)->word = f.h->base + ((uintptr_t)3 << 20);
    slot(&f, 5)->word = f.h->base - 1;
    slot(&f, 6)->word = f.h->base + f.h->mapped_bytes;
    slot(&f, 7)->word = 1;
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK_EQ(f.h->bytes_marked, 0);
    for (unsigned i = 0; i < 8; i++) {
        gh_clear(f.m, slot(&f, i));
    }
    teardown(&f);
}

// The current tiny block is a root while its P has it.
static void
test_tiny_root(void)
{
    fixture f;
    setup(&f);
    CHECK(gh_alloc(f.m, slot(&f, 0), 3) == GH_OK);
    gh_clear(f.m, slot(&f, 0));
    collect(&f, 16, 0);
    CHECK_EQ(f.m->mcache.tiny, 0);
    collect(&f, 0, 0);
    teardown(&f);
}

// When no second buffer is to be had, marking ends all the same, with the same
// sums: from a list, from a wide object, and with more oblets than a buffer
// holds.
static void
test_overflow(void)
{
    fixture f;
    setup(&f);
    const uint64_t k = 100000;
    make_list(&f, 50000);
    new(&f, 3, f.ptr, k);
    for (uint64_t i = 0; i < k; i++) {
        new(&f, 1, f.node, 1);
        store(&f, 3, i, 1);
        // Each of them has one below it, found from the overflowed one only.
        new(&f, 2, f.pair, 1);
        store(&f, 1, 1, 2);
    }
    gh_clear(f.m, slot(&f, 1));
    gh_clear(f.m, slot(&f, 2));
    const uint64_t row = gh_align_up(k * 8, GH_PAGE_SIZE);
    const uint64_t marked = 50000 * 64 + row + k * 80;
    const uint64_t work = 50000 * 16 + row + k * 24;
    collect(&f, marked, work);
    CHECK(!f.h->work.overflowed);
    f.fault.fail_from = f.fault.calls;
    f.fault.fail_count = UINT64_MAX;
    collect(&f, marked, work);
    CHECK(f.fault.failed > 0);
    f.fault.fail_count = 0;
    collect(&f, marked, work);
    teardown(&f);
}

static void
test_overflow_of_oblets(void)
{
    fixture f;
    setup(&f);
    const uint64_t oblets = GH_WORKBUF_ENTRIES + 100;
    const gh_type *t = new_type(f.m, GH_MAX_OBLET_BYTES, 8, 1);
    new(&f, 0, t, oblets);
    new(&f, 1, f.node, 1);
    store(&f, 0, (oblets - 1) * (GH_MAX_OBLET_BYTES / 8), 1);
    gh_clear(f.m, slot(&f, 1));
    const uint64_t size = oblets * GH_MAX_OBLET_BYTES;
    collect(&f, size + 64, oblets * 8 + 16);
    f.fault.fail_from = f.fault.calls;
    f.fault.fail_count = UINT64_MAX;
    collect(&f, size + 64, oblets * 8 + 16);
    CHECK(f.fault.failed > 0);
    f.fault.fail_count = 0;
    teardown(&f);
}

// A drain whose work is done leaves the queue as it is: also where what leaves it for the
// ring would not fit again.
static void
test_drain_nothing(void)
{
    fixture f;
    setup(&f);
    // One object's pointers, 64 at a time.
    const uint64_t n = (GH_WORKBUF_ENTRIES - GH_MARK_ROOM + 1) / 64 * 64 + 64;
    CHECK(n <= GH_WORKBUF_ENTRIES && n + GH_MARK_ROOM > GH_WORKBUF_ENTRIES);
    uint64_t mask[GH_WORKBUF_ENTRIES / 64 + 1];
    memset(mask, 0xff, sizeof(mask));
    const gh_type_desc d = {.size = (n + 64) * 8, .align = 8, .ptrdata = n * 8,
                            .mask = mask};
    const gh_type *wide;
    CHECK(gh_type_new(f.m, &d, &wide) == GH_OK);
    new(&f, 0, wide, 1);
    for (uint64_t i = 0; i < n; i++) {
        new(&f, 1, f.pair, 1);
        store(&f, 0, i, 1);
    }
    gh_clear(f.m, slot(&f, 1));
    CHECK(gh_gc_start(f.m) == GH_OK);
    CHECK(!gh_gc_drain_n(f.h, 1));
    const gh_workbuf *top = f.h->work.top;
    CHECK_EQ(top->n, n);
    CHECK(top->below == NULL);
    for (int i = 0; i < 3; i++) {
        CHECK(!gh_gc_drain_n(f.h, 0));
        CHECK(f.h->work.top == top);
        CHECK_EQ(top->n, n);
    }
    CHECK(gh_gc_drain_n(f.h, UINT64_MAX));
    CHECK(gh_gc_finish(f.m) == GH_OK);
    teardown(&f);
}

int
main(void)
{
    test_drain_nothing();
    test_long_list();
    test_tree();
    test_scan_work();
    test_oblets();
    test_interior();
    test_tiny_root();
    test_overflow();
    test_overflow_of_oblets();
    return 0;
}

// test_replay.c: both passes of a replay on histories made by hand, whose
// deaths and collections are known; histories that are damaged; a replay whose
// memory is refused.

#include "replay.h"

#include <string.h>

#include "check.h"
#include "splitmix.h"

#define KIB ((uint64_t)1 << 10)

// The order is the test's own: the header of a recording names the ops.
enum {
    ALLOC, TINY, FREE, EXIST, GC_BEGIN, GC_END, GOAL, LIVE, PROCS, STW, NUM_OPS
};
static const char *const ops[NUM_OPS] = {
    "alloc", "tiny", "free", "exist", "gc_begin", "gc_end", "heap_goal",
    "heap_live", "gomaxprocs", "stw_begin",
};

enum {
    EV_OP, EV_T, EV_P, SPANCLASS, PAGES, TYPE, TINY_BACK, FREE_BACK, VAL,
    NUM_COLUMNS
};
static const gh_replay_column columns[NUM_COLUMNS] = {
    {"ev.op", "u8", 0}, {"ev.t", "delta-svarint", 0}, {"ev.p", "u8", 0},
    {"obj.spanclass", "u8", 0}, {"obj.pages", "uvarint", 0},
    {"obj.type", "uvarint", 0}, {"tiny.back", "uvarint", 0},
    {"free.back", "uvarint", 0}, {"val", "uvarint", 0},
};

// Type 3 is the recorder's, type 4 that of its labels.
static const gh_replay_type types[] = {
    {"", 0, 0, false}, {"node", 64, 16, false}, {"odd", 4096, 4096, false},
    {"runtime.traceFrame", 64, 8, true}, {"unsafe.Pointer", 8, 8, false},
};

#define NOSCAN64  13  // size class 6: 64 bytes
#define SCAN64    12
#define LARGE     0
#define NO_SCAN_LARGE 1

typedef struct bytes {
    uint8_t *data;
    size_t n, cap;
    uint64_t values;
} bytes;

typedef struct history {
    bytes col[NUM_COLUMNS];
    uint8_t p;
} history;

static void
put_byte(bytes *b, uint8_t v)
{
    if (b->n == b->cap) {
        b->cap = b->cap * 2 + 64;
        b->data = realloc(b->data, b->cap);
        CHECK(b->data != NULL);
    }
    b->data[b->n++] = v;
}

static void
put(bytes *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        put_byte(b, (uint8_t)(v | 0x80));
    }
    put_byte(b, (uint8_t)v);
    b->values++;
}

static void
put_u8(bytes *b, uint8_t v)
{
    put_byte(b, v);
    b->values++;
}

// Each event is 1 us after the one before.
static void
event(history *h, uint8_t op)
{
    put_u8(&h->col[EV_OP], op);
    put(&h->col[EV_T], 2 * 1000);
    put_u8(&h->col[EV_P], h->p);
}

static void
object(history *h, uint8_t op, uint8_t spanclass, uint64_t pages, uint64_t type)
{
    event(h, op);
    put_u8(&h->col[SPANCLASS], spanclass);
    if (spanclass < 2) {
        put(&h->col[PAGES], pages);
    }
    put(&h->col[TYPE], type);
}

static void
with_value(history *h, uint8_t op, int column, uint64_t v)
{
    event(h, op);
    put(&h->col[column], v);
}

static void
history_free(history *h)
{
    for (int c = 0; c < NUM_COLUMNS; c++) {
        free(h->col[c].data);
    }
}

// setup is a config and the tables that it points at.
typedef struct setup {
    gh_replay_config cfg;
    gh_replay_column columns[NUM_COLUMNS];
    uint32_t classes[68];
} setup;

static void
setup_init(setup *s, const history *h)
{
    CHECK_EQ(gh_num_size_classes(), 68);
    gh_replay_config_init(&s->cfg);
    for (uint32_t i = 0; i < 68; i++) {
        s->classes[i] = gh_size_class_get(i).size;
    }
    CHECK_EQ(s->classes[NOSCAN64 / 2], 64);
    for (int c = 0; c < NUM_COLUMNS; c++) {
        s->columns[c] = columns[c];
        s->columns[c].count = h->col[c].values;
    }
    s->cfg.ops = ops;
    s->cfg.nops = NUM_OPS;
    s->cfg.columns = s->columns;
    s->cfg.ncolumns = NUM_COLUMNS;
    s->cfg.types = types;
    s->cfg.ntypes = sizeof(types) / sizeof(types[0]);
    s->cfg.class_to_size = s->classes;
    s->cfg.nclasses = 68;
    s->cfg.gogc = -1;
}

// run feeds whatever is wanted, piece bytes at a time, and steps by budget
// events.
static gh_replay_result
run(gh_replay *r, const history *h, size_t piece, uint64_t budget,
    gh_replay_error *err)
{
    size_t fed[NUM_COLUMNS] = {0};
    for (;;) {
        int need = -1;
        const gh_replay_result res = gh_replay_step(r, budget, &need, err);
        if (res == GH_REPLAY_BUDGET) {
            continue;
        }
        if (res != GH_REPLAY_NEED) {
            return res;
        }
        CHECK(need >= 0 && need < NUM_COLUMNS && gh_replay_wants(r, need));
        const bytes *b = &h->col[need];
        const size_t left = b->n - fed[need], n = left < piece ? left : piece;
        gh_status st = gh_replay_feed(r, need, b->data + fed[need], n,
                                      n == left);
        if (st == GH_ERR_NOMEM) {
            return GH_REPLAY_NOMEM;
        }
        CHECK(st == GH_OK);
        fed[need] += n;
    }
}

static gh_replay *
surveyed(setup *s, const history *h)
{
    gh_replay *r;
    gh_replay_error err;
    CHECK(gh_replay_new(&s->cfg, &r, &err) == GH_OK);
    CHECK(gh_replay_lifetimes(r) == NULL);
    CHECK(gh_replay_heap(r) == NULL);
    CHECK(run(r, h, SIZE_MAX, UINT64_MAX, &err) == GH_REPLAY_DONE);
    CHECK(gh_replay_lifetimes(r) != NULL);
    s->cfg.lifetimes = gh_replay_lifetimes(r);
    return r;
}

static void
report(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static void
check_heap(gh_replay *r)
{
    gh_mut *m;
    CHECK(gh_enter(gh_replay_heap(r), GH_ANY_P, &m) == GH_OK);
    CHECK_EQ(gh_verify(m, report, NULL), 0);
    gh_leave(m);
}

static gh_replay *
replayed(const setup *s, const history *h, size_t piece, uint64_t budget)
{
    gh_replay *r;
    gh_replay_error err;
    CHECK(gh_replay_new(&s->cfg, &r, &err) == GH_OK);
    const gh_replay_result res = run(r, h, piece, budget, &err);
    if (res == GH_REPLAY_BAD) {
        fprintf(stderr, "%s\n", err.message);
    }
    CHECK(res == GH_REPLAY_DONE);
    int need;
    CHECK(gh_replay_step(r, 1, &need, &err) == GH_REPLAY_DONE);
    CHECK_EQ(gh_replay_events_done(r), gh_replay_events_total(r));
    check_heap(r);
    return r;
}

static gh_cycle
cycle(gh_replay *r, uint64_t i)
{
    gh_cycle c;
    CHECK(gh_cycle_get(gh_replay_heap(r), i, &c) == GH_OK);
    return c;
}

// ---- deaths that are known ------------------------------------------------------

// Objects 0..4 before mark 0, 5 while it marks, 6 and 7 before mark 1. Freed:
// 1 and 3 after mark 0, 2 and 6 after mark 1.
static void
two_marks(history *h)
{
    h->p = 255;
    object(h, EXIST, SCAN64, 0, 1);           // 0
    object(h, EXIST, NO_SCAN_LARGE, 128, 0);  // 1: the recorder's buffer
    h->p = 0;
    object(h, ALLOC, SCAN64, 0, 1);           // 2
    with_value(h, TINY, TINY_BACK, 2);
    h->p = 1;
    object(h, ALLOC, NOSCAN64, 0, 0);         // 3
    object(h, ALLOC, SCAN64, 0, 3);           // 4: the recorder's
    event(h, GC_BEGIN);
    object(h, ALLOC, LARGE, 5, 2);            // 5
    event(h, GC_END);
    with_value(h, FREE, FREE_BACK, 2);        // 3
    object(h, ALLOC, NOSCAN64, 0, 0);         // 6
    object(h, ALLOC, NOSCAN64, 0, 0);         // 7
    event(h, GC_BEGIN);
    object(h, ALLOC, NOSCAN64, 0, 0);         // 8
    event(h, GC_END);
    with_value(h, FREE, FREE_BACK, 2);        // 6
    with_value(h, FREE, FREE_BACK, 6);        // 2
    event(h, STW);
}

static void
test_known_deaths(void)
{
    history h = {0};
    two_marks(&h);
    setup s;
    setup_init(&s, &h);
    s.cfg.num_forced = 2;
    s.cfg.procs = 2;
    gh_replay *survey = surveyed(&s, &h);

    // Alive at mark 0: objects 0, 2 and, at its end, 3; at mark 1: 0, 5, 7 and,
    // at its end, 2 and 6. Drawn deaths lie before the mark's begin.
    static const uint64_t marked[3][2] = {
        [GH_DEATHS_EARLY] = {2 * 64, 2 * 64 + 5 * 8192},
        [GH_DEATHS_DRAWN] = {2 * 64, 2 * 64 + 5 * 8192},
        [GH_DEATHS_LATE] = {3 * 64, 4 * 64 + 5 * 8192},
    };
    for (int d = GH_DEATHS_EARLY; d <= GH_DEATHS_LATE; d++) {
        s.cfg.deaths = (gh_deaths)d;
        gh_replay *r = replayed(&s, &h, SIZE_MAX, UINT64_MAX);
        gh_replay_summary sum;
        gh_replay_summary_get(r, &sum);
        CHECK_EQ(sum.forced_gc, 2);
        CHECK_EQ(sum.automatic_gc, 0);
        CHECK_EQ(sum.objects, 7);
        CHECK_EQ(sum.bytes, 6 * 64 + 5 * 8192);
        CHECK_EQ(sum.left_out, 2);
        CHECK_EQ(sum.left_out_bytes, 64 + 128 * 8192);
        CHECK_EQ(sum.tiny, 1);
        CHECK_EQ(sum.events, h.col[EV_OP].values);
        CHECK_EQ(gh_cycles(gh_replay_heap(r)), 2);
        CHECK_EQ(cycle(r, 0).heap_marked, marked[d][0]);
        CHECK_EQ(cycle(r, 1).heap_marked, marked[d][1]);
        CHECK(cycle(r, 0).forced && cycle(r, 1).forced);
        // The clock: one us an event, and the pauses.
        CHECK_EQ(sum.time_ns, (int64_t)h.col[EV_OP].values * 1000
                 + cycle(r, 0).end_ns - cycle(r, 0).start_ns
                 + cycle(r, 1).end_ns - cycle(r, 1).start_ns);
        gh_replay_free(r);
    }
    gh_replay_free(survey);
    history_free(&h);
}

// The recorder's buffers are what was there when it began, of their sizes and types;
// the same of the program's own stays.
static void
test_recorder_buffers(void)
{
    history h = {0};
    object(&h, EXIST, NO_SCAN_LARGE, 128, 0);
    object(&h, EXIST, LARGE, 16, 4);
    object(&h, EXIST, LARGE, 16, 1);
    object(&h, EXIST, LARGE, 17, 4);
    object(&h, EXIST, NO_SCAN_LARGE, 127, 0);
    object(&h, EXIST, SCAN64, 0, 4);
    object(&h, ALLOC, LARGE, 16, 4);
    object(&h, ALLOC, NO_SCAN_LARGE, 128, 0);
    setup s;
    setup_init(&s, &h);
    gh_replay *survey = surveyed(&s, &h);
    gh_survey_facts f;
    CHECK(gh_replay_facts(survey, &f));
    CHECK_EQ(f.recorder_bytes, (128 + 16) * 8192);
    gh_replay *r = replayed(&s, &h, SIZE_MAX, UINT64_MAX);
    gh_replay_summary sum;
    gh_replay_summary_get(r, &sum);
    CHECK_EQ(sum.left_out, 2);
    CHECK_EQ(sum.left_out_bytes, (128 + 16) * 8192);
    CHECK_EQ(sum.objects, 6);
    gh_replay_free(r);
    gh_replay_free(survey);
    history_free(&h);
}

// Of three marks, those nearest to the marked heap are taken to be forced.
static void
test_forced(void)
{
    history h = {0};
    for (int i = 0; i < 3; i++) {
        object(&h, ALLOC, NOSCAN64, 0, 0);
        with_value(&h, GOAL, VAL, 1000);
        with_value(&h, LIVE, VAL, i == 1 ? 100 : 900);
        event(&h, GC_BEGIN);
        with_value(&h, LIVE, VAL, 0);
        event(&h, GC_END);
    }
    setup s;
    setup_init(&s, &h);
    for (uint64_t forced = 0; forced < 5; forced++) {
        s.cfg.lifetimes = NULL;
        s.cfg.num_forced = forced;
        gh_replay *survey = surveyed(&s, &h);
        gh_replay *r = replayed(&s, &h, SIZE_MAX, UINT64_MAX);
        gh_replay_summary sum;
        gh_replay_summary_get(r, &sum);
        CHECK_EQ(sum.forced_gc, forced < 3 ? forced : 3);
        if (forced == 1) {
            CHECK_EQ(cycle(r, 0).heap_marked, 2 * 64);
        }
        gh_replay_free(r);
        gh_replay_free(survey);
    }
    history_free(&h);
}

// Sixty-four MiB of garbage in objects of 1 MiB: the heap collects each time that
// it has grown by about 4 MiB, and never while GOGC is off.
static void
test_automatic(void)
{
    history h = {0};
    object(&h, ALLOC, NOSCAN64, 0, 0);
    for (int i = 0; i < 64; i++) {
        object(&h, ALLOC, NO_SCAN_LARGE, 128, 0);
    }
    event(&h, GC_BEGIN);
    event(&h, GC_END);
    for (uint64_t i = 0; i < 64; i++) {
        with_value(&h, FREE, FREE_BACK, i);
    }
    setup s;
    setup_init(&s, &h);
    gh_replay *survey = surveyed(&s, &h);
    s.cfg.deaths = GH_DEATHS_EARLY;
    static const int32_t gogc[] = {-1, 50, 100, 200, 400};
    static const uint64_t low[] = {0, 30, 14, 7, 3}, high[] = {0, 64, 22, 9, 5};
    for (size_t i = 0; i < sizeof(gogc) / sizeof(gogc[0]); i++) {
        s.cfg.gogc = gogc[i];
        gh_replay *r = replayed(&s, &h, SIZE_MAX, UINT64_MAX);
        gh_replay_summary sum;
        gh_replay_summary_get(r, &sum);
        CHECK(sum.automatic_gc >= low[i] && sum.automatic_gc <= high[i]);
        CHECK_EQ(sum.forced_gc, 0);
        CHECK_EQ(sum.live_objects, 2);
        CHECK_EQ(sum.peak_live_objects, 2);
        CHECK(sum.peak_heap >= sum.peak_gc_heap);
        CHECK(sum.peak_committed >= sum.peak_heap);
        gh_replay_free(r);
    }
    gh_replay_free(survey);
    history_free(&h);
}

// ---- pieces -----------------------------------------------------------------------

// at_random makes a sound history of n events or a few more.
static void
at_random(history *h, uint64_t seed, int n)
{
    enum { MOST = 4096 };
    uint32_t alive[MOST];
    uint32_t nalive = 0, nobj = 0;
    uint64_t rng = seed;
    with_value(h, PROCS, VAL, 2);
    with_value(h, GOAL, VAL, 4096 * KIB);
    for (int i = 0; i < n; i++) {
        const uint64_t x = gh_splitmix64(&rng);
        h->p = (uint8_t)(x >> 60 & 1);
        const unsigned what = x % 16;
        if (what < 11 && nalive < MOST) {
            const uint8_t sc = (uint8_t)(x >> 8 & 0xff) % 136;
            object(h, x % 32 == 1 ? EXIST : ALLOC, sc, 1 + (x >> 20) % 40,
                   (x >> 32) % 4);
            alive[nalive++] = nobj++;
        } else if (what < 14 && nalive > 0) {
            const uint32_t k = (uint32_t)(x >> 16) % nalive;
            with_value(h, FREE, FREE_BACK, nobj - 1 - alive[k]);
            alive[k] = alive[--nalive];
        } else if (what == 14 && nobj > 0) {
            with_value(h, TINY, TINY_BACK, (x >> 16) % nobj);
        } else if (x >> 16 & 1) {
            with_value(h, LIVE, VAL, (x >> 24) % (4096 * KIB));
        } else {
            event(h, GC_BEGIN);
            with_value(h, PROCS, VAL, 1 + (x >> 24) % 4);
            event(h, GC_END);
        }
    }
}

static void
test_pieces(void)
{
    history h = {0};
    at_random(&h, 7, 6000);
    setup s;
    setup_init(&s, &h);
    s.cfg.num_forced = 3;
    s.cfg.series_ns = 50000;
    gh_replay *survey = surveyed(&s, &h);
    s.cfg.gogc = 30;
    s.cfg.procs = 2;
    s.cfg.follow_procs = true;
    s.cfg.globals_scan = 100 * KIB;
    s.cfg.seed = 5;
    gh_replay *whole = replayed(&s, &h, SIZE_MAX, UINT64_MAX);
    gh_replay_summary a;
    gh_replay_summary_get(whole, &a);
    CHECK(a.automatic_gc > 2);
    CHECK_EQ(a.forced_gc, 3);
    const gh_replay_sample *as;
    const size_t n = gh_replay_samples(whole, &as);
    CHECK(n > 50);
    static const struct {
        size_t piece;
        uint64_t budget;
    } ways[] = {{1, UINT64_MAX}, {SIZE_MAX, 1}, {13, 7}, {1000, 100}};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        // The survey in pieces too.
        gh_replay *survey2;
        gh_replay_error err;
        setup s2 = s;
        s2.cfg.columns = s2.columns;
        s2.cfg.class_to_size = s2.classes;
        s2.cfg.lifetimes = NULL;
        CHECK(gh_replay_new(&s2.cfg, &survey2, &err) == GH_OK);
        CHECK(run(survey2, &h, ways[i].piece, ways[i].budget, &err)
              == GH_REPLAY_DONE);
        s2.cfg.lifetimes = gh_replay_lifetimes(survey2);
        gh_replay *r = replayed(&s2, &h, ways[i].piece, ways[i].budget);
        gh_replay_summary b;
        gh_replay_summary_get(r, &b);
        CHECK(memcmp(&a, &b, sizeof(a)) == 0);
        const gh_replay_sample *bs;
        CHECK_EQ(gh_replay_samples(r, &bs), n);
        CHECK(memcmp(as, bs, n * sizeof(*as)) == 0);
        for (uint64_t k = 0; k < gh_cycles(gh_replay_heap(r)); k++) {
            char x[512], y[512];
            const gh_cycle p = cycle(whole, k), q = cycle(r, k);
            gh_cycle_format(&p, x, sizeof(x));
            gh_cycle_format(&q, y, sizeof(y));
            CHECK(strcmp(x, y) == 0);
        }
        gh_replay_free(r);
        gh_replay_free(survey2);
    }
    gh_replay_free(whole);
    gh_replay_free(survey);
    history_free(&h);
}

// ---- damage -------------------------------------------------------------------------

static void
expect_refused(const setup *s, const char *message)
{
    gh_replay *r = NULL;
    gh_replay_error err;
    CHECK(gh_replay_new(&s->cfg, &r, &err) == GH_ERR_INVAL);
    CHECK(r == NULL);
    if (strstr(err.message, message) == NULL) {
        fprintf(stderr, "\"%s\", want \"%s\"\n", err.message, message);
        exit(1);
    }
}

static void
test_bad_tables(void)
{
    history h = {0};
    two_marks(&h);
    setup good, s;
    setup_init(&good, &h);
#define BROKEN(change, message)          \
    do {                                 \
        s = good;                        \
        s.cfg.columns = s.columns;       \
        s.cfg.class_to_size = s.classes; \
        change;                          \
        expect_refused(&s, message);     \
    } while (0)
    static const char *const odd_ops[] = {"alloc", "alocc"};
    BROKEN((s.cfg.ops = odd_ops, s.cfg.nops = 2),
           "unknown kind of event \"alocc\"");
    BROKEN(s.cfg.nops = 257, "more than 256");
    BROKEN(s.cfg.nclasses = 67, "67 size classes, not 68");
    BROKEN(s.classes[3] = 25, "size class 3 has 25 bytes, not 24");
    BROKEN(s.columns[SPANCLASS].name = "obj.class",
           "column obj.spanclass is missing");
    BROKEN(s.columns[SPANCLASS].enc = "uvarint", "has encoding \"uvarint\"");
    BROKEN(s.columns[FREE_BACK].enc = "lzma", "has encoding \"lzma\"");
    gh_replay *survey = surveyed(&good, &h);
    BROKEN(s.columns[EV_T].count--, "ev.op and ev.t differ");
    BROKEN(s.cfg.procs = 0, "0 Ps");
    BROKEN(s.cfg.procs = GH_MAX_PROCS + 1, "Ps");
    static const gh_replay_type odd_types[] = {
        {"", 0, 0, false}, {"big", 8, 16, false}};
    BROKEN((s.cfg.types = odd_types, s.cfg.ntypes = 2), "type 1 (big)");
#undef BROKEN
    CHECK(!gh_replay_wants(survey, TINY_BACK) && !gh_replay_wants(survey, -1));
    CHECK(gh_replay_wants(survey, FREE_BACK));
    CHECK(gh_replay_feed(survey, TINY_BACK, NULL, 0, true) == GH_ERR_INVAL);
    CHECK(gh_replay_feed(survey, 99, NULL, 0, true) == GH_ERR_INVAL);
    CHECK(gh_replay_feed(survey, FREE_BACK, NULL, 0, true) == GH_ERR_STATE);
    gh_replay_free(survey);
    gh_replay_free(NULL);
    history_free(&h);
}

// expect_bad runs both passes; one of them must tell.
static void
expect_bad(const history *h, int column, const char *message)
{
    for (size_t piece = 1; piece != 0; piece = piece == 1 ? SIZE_MAX : 0) {
        setup s;
        setup_init(&s, h);
        s.cfg.follow_procs = true;
        gh_replay *survey, *r = NULL;
        gh_replay_error err;
        CHECK(gh_replay_new(&s.cfg, &survey, &err) == GH_OK);
        gh_replay_result res = run(survey, h, piece, UINT64_MAX, &err);
        if (res == GH_REPLAY_DONE) {
            s.cfg.lifetimes = gh_replay_lifetimes(survey);
            CHECK(gh_replay_new(&s.cfg, &r, &err) == GH_OK);
            res = run(r, h, piece, UINT64_MAX, &err);
        }
        if (res != GH_REPLAY_BAD || err.column != column
            || strstr(err.message, message) == NULL) {
            fprintf(stderr, "%d, column %d, \"%s\"; want column %d, \"%s\"\n",
                    (int)res, err.column, err.message, column, message);
            exit(1);
        }
        // It says so again, and the heap is sound.
        int need;
        gh_replay_error again;
        CHECK(gh_replay_step(r != NULL ? r : survey, 1, &need, &again)
              == GH_REPLAY_BAD);
        CHECK(strcmp(again.message, err.message) == 0);
        if (r != NULL) {
            check_heap(r);
        }
        gh_replay_free(r);
        gh_replay_free(survey);
    }
}

static void
test_bad_events(void)
{
    history h;
#define BAD(column, message, ...)           \
    do {                                    \
        h = (history){0};                   \
        object(&h, ALLOC, SCAN64, 0, 1);    \
        object(&h, ALLOC, NOSCAN64, 0, 0);  \
        __VA_ARGS__;                        \
        object(&h, ALLOC, NOSCAN64, 0, 0);  \
        expect_bad(&h, column, message);    \
        history_free(&h);                   \
    } while (0)
    BAD(EV_OP, "event 2 is of the unknown kind 10", event(&h, NUM_OPS));
    BAD(EV_OP, "unknown kind 255", event(&h, 255));
    BAD(FREE_BACK, "reaches back 2 objects of 2",
        with_value(&h, FREE, FREE_BACK, 2));
    BAD(FREE_BACK, "reaches back 18446744073709551615",
        with_value(&h, FREE, FREE_BACK, UINT64_MAX));
    BAD(FREE_BACK, "object 1 is freed twice",
        with_value(&h, FREE, FREE_BACK, 0); with_value(&h, FREE, FREE_BACK, 0));
    BAD(SPANCLASS, "span class 136 of object 2",
        object(&h, ALLOC, 136, 0, 0));
    BAD(PAGES, "object 2 of 0 pages", object(&h, ALLOC, LARGE, 0, 0));
    BAD(PAGES, "pages is impossible",
        object(&h, ALLOC, LARGE, UINT64_MAX, 0));
    BAD(PAGES, "pages is impossible",
        object(&h, EXIST, NO_SCAN_LARGE, UINT64_MAX, 0));
    BAD(TYPE, "has type 5 of 5", object(&h, ALLOC, SCAN64, 0, 5));
    BAD(TINY_BACK, "2 objects back, of 2", with_value(&h, TINY, TINY_BACK, 2));
    BAD(VAL, "GOMAXPROCS of 0", with_value(&h, PROCS, VAL, 0));
    BAD(VAL, "GOMAXPROCS of 4294967297",
        with_value(&h, PROCS, VAL, UINT32_MAX + (uint64_t)2));
    // A number of eleven bytes.
    BAD(VAL, "more than 64 bits", with_value(&h, LIVE, VAL, UINT64_MAX);
        h.col[VAL].data[h.col[VAL].n - 1] = 0x81; put_byte(&h.col[VAL], 0));
    // Columns that end early, or late, by their bytes and by their count.
    BAD(VAL, "column val ends after event 2 of 4", with_value(&h, LIVE, VAL, 5);
        h.col[VAL].n = 0);
    BAD(VAL, "column val ends", with_value(&h, LIVE, VAL, 500);
        h.col[VAL].n = 1);
    BAD(VAL, "column val goes on", with_value(&h, LIVE, VAL, 5);
        put_byte(&h.col[VAL], 0));
    BAD(VAL, "should have 2 values, the events use 1",
        with_value(&h, LIVE, VAL, 5); put(&h.col[VAL], 5));
    BAD(SPANCLASS, "column obj.spanclass ends",
        event(&h, ALLOC); put(&h.col[TYPE], 0));
    BAD(TYPE, "column obj.type ends",
        event(&h, ALLOC); put_u8(&h.col[SPANCLASS], NOSCAN64));
    BAD(PAGES, "column obj.pages ends",
        event(&h, ALLOC); put_u8(&h.col[SPANCLASS], LARGE);
        put(&h.col[TYPE], 0));
#undef BAD
    // Bytes that are missing at the end of each column.
    for (int c = 0; c < NUM_COLUMNS; c++) {
        h = (history){0};
        at_random(&h, 3, 200);
        h.col[c].n--;
        expect_bad(&h, c, "column");
        history_free(&h);
    }
}

// Whatever the bytes say, a pass ends, and its heap is sound. No large objects:
// their number of pages would be anything.
static void
test_any_bytes(void)
{
    uint64_t rng = 11;
    unsigned sound = 0;
    for (int i = 0; i < 150; i++) {
        history h = {0};
        at_random(&h, gh_splitmix64(&rng), 120);
        const int changes = 1 + (int)(gh_splitmix64(&rng) % 3);
        for (int k = 0; k < changes; k++) {
            int c = (int)(gh_splitmix64(&rng) % NUM_COLUMNS);
            if (c == PAGES || h.col[c].n == 0) {
                c = EV_OP;
            }
            h.col[c].data[gh_splitmix64(&rng) % h.col[c].n] ^=
                (uint8_t)(1 << gh_splitmix64(&rng) % 8);
        }
        setup s;
        setup_init(&s, &h);
        s.cfg.num_forced = 2;
        s.cfg.follow_procs = true;
        s.cfg.gogc = 10;
        gh_replay *survey, *r;
        gh_replay_error err;
        CHECK(gh_replay_new(&s.cfg, &survey, &err) == GH_OK);
        gh_replay_result res = run(survey, &h, 50, 33, &err);
        CHECK(res == GH_REPLAY_DONE || res == GH_REPLAY_BAD);
        if (res == GH_REPLAY_DONE) {
            s.cfg.lifetimes = gh_replay_lifetimes(survey);
            CHECK(gh_replay_new(&s.cfg, &r, &err) == GH_OK);
            res = run(r, &h, 50, 33, &err);
            CHECK(res == GH_REPLAY_DONE || res == GH_REPLAY_BAD);
            sound += res == GH_REPLAY_DONE;
            check_heap(r);
            gh_replay_free(r);
        }
        gh_replay_free(survey);
        history_free(&h);
    }
    CHECK(sound > 10 && sound < 150);
}

// Lifetimes of another history: told, not believed.
static void
test_other_survey(void)
{
    history small = {0}, big = {0};
    two_marks(&small);
    at_random(&big, 1, 500);
    setup s, b;
    setup_init(&s, &small);
    setup_init(&b, &big);
    gh_replay *of_small = surveyed(&s, &small), *of_big = surveyed(&b, &big);
    gh_replay *r;
    gh_replay_error err;
    b.cfg.lifetimes = gh_replay_lifetimes(of_small);
    CHECK(gh_replay_new(&b.cfg, &r, &err) == GH_OK);
    CHECK(run(r, &big, SIZE_MAX, UINT64_MAX, &err) == GH_REPLAY_BAD);
    CHECK(strstr(err.message, "more objects than the survey counted") != NULL);
    gh_replay_free(r);
    s.cfg.lifetimes = gh_replay_lifetimes(of_big);
    CHECK(gh_replay_new(&s.cfg, &r, &err) == GH_OK);
    CHECK(run(r, &small, SIZE_MAX, UINT64_MAX, &err) == GH_REPLAY_BAD);
    CHECK(strstr(err.message, "fewer objects than the survey counted") != NULL);
    gh_replay_free(r);
    gh_replay_free(of_small);
    gh_replay_free(of_big);
    history_free(&small);
    history_free(&big);
}

// Time that runs backwards, or far ahead, doesn't move the clock back.
static void
test_odd_times(void)
{
    history h = {0};
    for (int i = 0; i < 500; i++) {
        object(&h, ALLOC, NOSCAN64, 0, 0);
    }
    setup s;
    setup_init(&s, &h);
    gh_replay *survey = surveyed(&s, &h);
    s.cfg.series_ns = 1;
    bytes *t = &h.col[EV_T];
    static const uint64_t steps[] = {UINT64_MAX, UINT64_MAX - 1, 1, 99999};
    for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
        t->n = 0;
        t->values = 0;
        for (int i = 0; i < 500; i++) {
            put(t, i % 3 == 0 ? steps[k] : 2000);
        }
        gh_replay *r = replayed(&s, &h, SIZE_MAX, UINT64_MAX);
        const gh_replay_sample *x;
        const size_t n = gh_replay_samples(r, &x);
        for (size_t i = 1; i < n; i++) {
            CHECK(x[i].t_ns >= x[i - 1].t_ns && x[i - 1].t_ns >= 0);
        }
        gh_replay_free(r);
    }
    gh_replay_free(survey);
    history_free(&h);
}

// ---- long ones ------------------------------------------------------------------------

// long_one has objects enough for several pages of the calendar and for spilling.
static void
long_one(history *h)
{
    enum { OBJECTS = 300000, EACH = 9000 };
    static uint32_t live[OBJECTS];
    uint32_t n = 0;
    uint64_t rng = 3;
    for (uint32_t obj = 0; obj < OBJECTS; obj++) {
        const uint64_t x = gh_splitmix64(&rng);
        object(h, ALLOC, x % 50 == 0 ? NO_SCAN_LARGE : x % 3 ? NOSCAN64 : SCAN64,
               5 + x % 3, x % 3 ? 0 : 1);
        live[n++] = obj;
        if (obj % EACH == EACH - 1) {
            event(h, GC_BEGIN);
            event(h, GC_END);
            uint32_t left = 0;
            for (uint32_t i = 0; i < n; i++) {
                if (gh_splitmix64(&rng) % 8 < (obj - live[i] < EACH ? 6 : 1)) {
                    with_value(h, FREE, FREE_BACK, obj - live[i]);
                } else {
                    live[left++] = live[i];
                }
            }
            n = left;
        }
    }
}

// What doesn't fit into memory comes out of a file, the same.
static void
test_spilled(void)
{
    history h = {0};
    long_one(&h);
    gh_replay_summary in_memory;
    for (int spill = 0; spill < 2; spill++) {
        setup s;
        setup_init(&s, &h);
        s.cfg.spill_dir = spill ? "/tmp" : NULL;
        s.cfg.spill_keep = 1 << 16;
        gh_replay *survey = surveyed(&s, &h);
        s.cfg.gogc = 60;
        gh_replay *r = replayed(&s, &h, 4096, UINT64_MAX);
        gh_replay_summary sum;
        gh_replay_summary_get(r, &sum);
        CHECK(sum.automatic_gc > 5);
        CHECK(sum.peak_live_objects < 100000);
        if (spill) {
            CHECK(memcmp(&sum, &in_memory, sizeof(sum)) == 0);
        }
        in_memory = sum;
        gh_replay_free(r);
        gh_replay_free(survey);
    }
    setup s;
    setup_init(&s, &h);
    s.cfg.spill_dir = "/nowhere/at/all";
    s.cfg.spill_keep = 1 << 16;
    gh_replay *r;
    gh_replay_error err;
    CHECK(gh_replay_new(&s.cfg, &r, &err) == GH_OK);
    CHECK(run(r, &h, 4096, UINT64_MAX, &err) == GH_REPLAY_NOMEM);
    gh_replay_free(r);
    history_free(&h);
}

// mixed has all that a replay looks at: Ps that change, tiny parts, existing objects
// and buffers, types of far numbers, forced collections, another GOMAXPROCS.
static void
mixed(history *h)
{
    uint64_t rng = 5;
    for (int i = 0; i < 40; i++) {
        object(h, EXIST, i % 10 ? SCAN64 : NO_SCAN_LARGE, i % 20 ? 3 : 128, i % 10 ? 1 : 0);
    }
    for (int i = 0; i < 60000; i++) {
        const uint64_t x = gh_splitmix64(&rng);
        h->p = x % 97 == 0 ? 255 : x % 31 == 0 ? (uint8_t)(x >> 8) % 5 : h->p;
        if (x % 7 == 0) {
            with_value(h, TINY, TINY_BACK, 0);
        } else if (x % 5003 == 0) {
            with_value(h, PROCS, VAL, 1 + (x >> 20) % 4);
        } else if (i % 6000 == 5999) {
            event(h, GC_BEGIN);
            event(h, GC_END);
            for (uint64_t back = 0; back < 3000; back += 2) {
                with_value(h, FREE, FREE_BACK, back + (i / 6000) % 2);
            }
        } else if (x % 64 == 1) {
            event(h, STW);
        } else {
            object(h, ALLOC, x % 50 == 2 ? LARGE : x % 3 ? NOSCAN64 : SCAN64, 1 + x % 9,
                   x % 11 == 0 ? 39999 : x % 3 ? 0 : 1);
        }
    }
}

// check_same compares two replays that have ended.
static void
check_same(gh_replay *a, gh_replay *b)
{
    gh_replay_summary x, y;
    gh_replay_summary_get(a, &x);
    gh_replay_summary_get(b, &y);
    CHECK(memcmp(&x, &y, sizeof(x)) == 0);
    const uint64_t n = gh_cycles(gh_replay_heap(a));
    CHECK_EQ(n, gh_cycles(gh_replay_heap(b)));
    for (uint64_t i = 0; i < n; i++) {
        gh_cycle c, d;
        CHECK(gh_cycle_get(gh_replay_heap(a), i, &c) == GH_OK);
        CHECK(gh_cycle_get(gh_replay_heap(b), i, &d) == GH_OK);
        CHECK(c.heap_start == d.heap_start && c.heap_marked == d.heap_marked
              && c.start_ns == d.start_ns && c.forced == d.forced);
    }
}

// Later replays read the digest that the first one wrote, and come to the same as
// those that decode. A replay that ends early leaves none.
static void
test_digest(void)
{
    history h = {0};
    mixed(&h);
    static gh_replay_type many[40000];
    memcpy(many, types, sizeof(types));
    for (size_t i = sizeof(types) / sizeof(types[0]); i < 40000; i++) {
        many[i] = types[1];
    }
    setup plain, kept;
    setup_init(&plain, &h);
    setup_init(&kept, &h);
    plain.cfg.types = kept.cfg.types = many;
    plain.cfg.ntypes = kept.cfg.ntypes = 40000;
    kept.cfg.spill_dir = "/tmp";
    kept.cfg.spill_keep = 1 << 16;
    plain.cfg.num_forced = kept.cfg.num_forced = 3;
    gh_replay *plain_survey = surveyed(&plain, &h), *survey = surveyed(&kept, &h);
    int need;
    gh_replay_error err;
    gh_replay *early;
    CHECK(gh_replay_new(&kept.cfg, &early, &err) == GH_OK);
    CHECK(gh_replay_step(early, 1, &need, &err) == GH_REPLAY_NEED);
    gh_replay_free(early);
    for (int i = 0; i < 12; i++) {
        setup *both[] = {&plain, &kept};
        for (int k = 0; k < 2; k++) {
            gh_replay_config *cfg = &both[k]->cfg;
            cfg->gogc = 20 + 30 * (i % 3);
            cfg->procs = 1 + i % 4;
            cfg->follow_procs = i % 2 == 1;
            cfg->deaths = i < 6 ? GH_DEATHS_DRAWN : (gh_deaths)(i % 3);
            cfg->seed = i == 4;
            cfg->mode = i == 1 || i == 7 ? GH_MODE_VIRTUAL : GH_MODE_STW;
            cfg->keep_recorder = i == 5;
            cfg->series_objects = 1000;
        }
        gh_replay *a = replayed(&plain, &h, SIZE_MAX, 1 + 777 * (uint64_t)(i % 2));
        gh_replay *b;
        CHECK(gh_replay_new(&kept.cfg, &b, &err) == GH_OK);
        CHECK(gh_replay_wants(b, EV_OP) == (i == 0 || kept.cfg.mode == GH_MODE_VIRTUAL));
        CHECK(run(b, &h, 4096, 1 + (uint64_t)i * 333, &err) == GH_REPLAY_DONE);
        check_heap(b);
        check_same(a, b);
        const gh_replay_sample *x, *y;
        const size_t n = gh_replay_samples(a, &x);
        CHECK_EQ(n, gh_replay_samples(b, &y));
        CHECK(n > 20 && memcmp(x, y, n * sizeof(*x)) == 0);
        gh_replay_free(a);
        gh_replay_free(b);
    }
    // Of another history than it was made of: decoded.
    object(&h, ALLOC, NOSCAN64, 0, 0);
    setup other;
    setup_init(&other, &h);
    other.cfg.types = many;
    other.cfg.ntypes = 40000;
    other.cfg.lifetimes = kept.cfg.lifetimes;
    gh_replay *r;
    CHECK(gh_replay_new(&other.cfg, &r, &err) == GH_OK);
    CHECK(run(r, &h, SIZE_MAX, UINT64_MAX, &err) == GH_REPLAY_BAD);
    CHECK(strstr(err.message, "more objects than the survey counted") != NULL);
    gh_replay_free(r);
    gh_replay_free(plain_survey);
    gh_replay_free(survey);
    history_free(&h);
}

// ---- memory ---------------------------------------------------------------------------

static void
test_refused_memory(void)
{
    history h = {0};
    at_random(&h, 9, 2000);
    setup s;
    setup_init(&s, &h);
    gh_replay *survey = surveyed(&s, &h);
    s.cfg.gogc = 50;
    gh_mem_fault fault = {0};
    s.cfg.mem_ops = gh_mem_fault_ops();
    s.cfg.mem_ctx = &fault;
    gh_replay_free(replayed(&s, &h, SIZE_MAX, UINT64_MAX));
    CHECK_EQ(fault.bytes, 0);
    const uint64_t calls = fault.calls, step = calls / 25 + 1;
    for (uint64_t from = 0; from < calls; from += step) {
        fault = (gh_mem_fault){.fail_from = from, .fail_count = UINT64_MAX};
        gh_replay *r;
        gh_replay_error err;
        gh_status st = gh_replay_new(&s.cfg, &r, &err);
        if (st == GH_OK) {
            const gh_replay_result res = run(r, &h, SIZE_MAX, UINT64_MAX, &err);
            CHECK(res == GH_REPLAY_NOMEM || res == GH_REPLAY_DONE);
            fault.fail_count = 0;
            check_heap(r);
            gh_replay_free(r);
        } else {
            CHECK(st == GH_ERR_NOMEM);
        }
        CHECK_EQ(fault.bytes, 0);
    }
    gh_replay_free(survey);
    history_free(&h);
}

int
main(void)
{
    test_known_deaths();
    test_recorder_buffers();
    test_forced();
    test_automatic();
    test_pieces();
    test_bad_tables();
    test_bad_events();
    test_any_bytes();
    test_other_survey();
    test_odd_times();
    test_spilled();
    test_digest();
    test_refused_memory();
    return 0;
}

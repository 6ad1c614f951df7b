// planted.c: whether the tests of threads find the bugs that planted.h can plant.
// `make -C csrc planted` builds it with GH_PLANTS; not one of the tests of every
// build.
//
//   planted                each bug, and two heaps without one
//   planted NAME [SEED [SECONDS]]
//
// A bug is found when the program that has it dies (an assertion, a throw, a check of
// the test, a fault) or when a round does not end in HANG seconds. Exit code 1 when one
// is not found within its bound, or something is found where there is none.

#define _GNU_SOURCE  // usleep, popen, strsignal

#define main concurrent_main
int concurrent_main(int argc, char **argv);
#include "test_concurrent.c"
#undef main

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "planted.h"
#include "watchdog.h"

#ifdef __SANITIZE_THREAD__
enum { HANG = 60 };
#else
enum { HANG = 6 };
#endif
enum { BOUND = 60, CLEAN = 4, JOBS = 4 };

int gh_planted;

static _Atomic uint64_t pauses;

typedef struct scene scene;
static _Thread_local scene *paying;  // who assists just now
static void until_hungry(scene *s);

void
gh_planted_pause(void)
{
    if (paying != NULL) {
        until_hungry(paying);
        return;
    }
    // Splitmix: neighbours have nothing to do with each other.
    uint64_t x = atomic_fetch_add(&pauses, 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    if (x >> 62 == 0) {
        (void)usleep(20 + (useconds_t)(x % 100));
    }
}

// wide collects rows of pointers: queues that are deep, and with several Ps workers
// that are hungry.
static void
wide(uint64_t seed, int32_t procs)
{
    static const uint64_t word_mask[1] = {1};
    static const gh_type_desc word_desc = {
        .name = "word", .size = 8, .align = 8, .ptrdata = 8, .mask = word_mask};
    enum { ROWS = 4, LENGTH = 9000 };
    gh_mut *m;
    gh_heap *h = new_heap(procs, -1, GH_BARRIER_HYBRID, 0, &m);
    const gh_type *node, *word;
    CHECK(gh_type_new(m, &node_desc, &node) == GH_OK);
    CHECK(gh_type_new(m, &word_desc, &word) == GH_OK);
    gh_slots *own;
    CHECK(gh_slots_new(h, ROWS + 2, &own) == GH_OK);
    gh_slot *a = gh_slots_at(own, ROWS), *b = gh_slots_at(own, ROWS + 1);
    for (size_t r = 0; r < ROWS; r++) {
        gh_slot *row = gh_slots_at(own, r);
        CHECK(gh_new(m, row, word, LENGTH) == GH_OK);
        for (uint64_t i = 0; i < LENGTH; i++) {
            make_node(m, node, a, i);
            if (draw(&seed, 3) == 0) {
                make_node(m, node, b, i);
                CHECK(gh_store(m, a, 0, b) == GH_OK);
            }
            CHECK(gh_store(m, row, i, a) == GH_OK);
        }
    }
    for (int i = 0; i < 3; i++) {
        CHECK(gh_gc(m) == GH_OK);
        for (uint64_t k = 0; k < 200; k++) {
            CHECK(gh_load(m, a, gh_slots_at(own, draw(&seed, ROWS)),
                          draw(&seed, LENGTH)) == GH_OK);
            check_node(a);
        }
    }
    gh_slots_free(own);
    gh_leave(m);
    gh_heap_free(h);
}

// listed has one list, which only one can mark at a time, and a mutator that assists
// and then waits for the end.
static void
listed(uint64_t seed, int32_t procs)
{
    gh_mut *m;
    gh_heap *h = new_heap(procs, 30, GH_BARRIER_HYBRID, 0, &m);
    const gh_type *node;
    CHECK(gh_type_new(m, &node_desc, &node) == GH_OK);
    gh_slots *own;
    CHECK(gh_slots_new(h, 2, &own) == GH_OK);
    gh_slot *top = gh_slots_at(own, 0), *at = gh_slots_at(own, 1);
    for (uint64_t i = 0; i < 30000; i++) {
        make_node(m, node, at, i);
        CHECK(gh_store(m, at, 0, top) == GH_OK);
        gh_set(m, top, at);
    }
    for (int k = 0; k < 10; k++) {
        for (uint64_t i = draw(&seed, 20000); i > 0; i--) {
            make_node(m, node, at, i);
        }
        CHECK(gh_gc(m) == GH_OK);
    }
    gh_slots_free(own);
    gh_leave(m);
    gh_heap_free(h);
}

// take_turns is a thread that comes in once a round.
typedef struct turns {
    gh_heap *h;
    pthread_barrier_t round;
} turns;

static void *
take_turns(void *arg)
{
    turns *t = arg;
    for (int i = 0; i < 500; i++) {
        gh_mut *m;
        CHECK(gh_enter(t->h, GH_ANY_P, &m) == GH_OK);
        GH_PLANTED_PAUSE(WAKE_UNLOCKED);
        gh_leave(m);
        (void)pthread_barrier_wait(&t->round);
    }
    return NULL;
}

// in_turn has two threads for one P: who is not woken waits for ever, since nobody
// else comes by.
static void
in_turn(void)
{
    gh_mut *m;
    turns t = {.h = new_heap(1, -1, GH_BARRIER_HYBRID, 0, &m)};
    gh_leave(m);
    CHECK(pthread_barrier_init(&t.round, NULL, 2) == 0);
    pthread_t id[2];
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&id[i], NULL, take_turns, &t) == 0);
    }
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(id[i], NULL) == 0);
    }
    CHECK(pthread_barrier_destroy(&t.round) == 0);
    gh_heap_free(t.h);
}

// named attaches something to objects of spans that are not yet swept: those are
// swept out of turn.
static void
named(void)
{
    gh_mut *m;
    // One P, in use: the sweeper rests for long. A goal far off: a mutator has time
    // to sweep.
    gh_heap *h = new_heap(1, 300, GH_BARRIER_HYBRID, 0, &m);
    const gh_type *node;
    CHECK(gh_type_new(m, &node_desc, &node) == GH_OK);
    gh_slots *own;
    enum { MANY = 40000 };
    CHECK(gh_slots_new(h, MANY + 1, &own) == GH_OK);
    for (size_t i = 0; i < MANY; i++) {
        make_node(m, node, gh_slots_at(own, i), i);
    }
    for (int k = 0; k < 3; k++) {
        const uint32_t before = h->num_gc;
        while (h->num_gc == before) {
            make_node(m, node, gh_slots_at(own, MANY), 0);
        }
        gh_stop_world(m);
        for (size_t i = MANY - 1; i > 5000; i -= 5000) {
            uint64_t id;
            CHECK(gh_cleanup_add(m, gh_slots_at(own, i), i, &id) == GH_OK);
        }
        gh_start_world(m);
        // Spans with free slots: the next cycle finds them unswept.
        for (size_t i = 0; i < MANY; i++) {
            if ((MANY - 1 - i) % 5000 != 0 && i % 3 == 0) {
                gh_clear(m, gh_slots_at(own, i));
            }
        }
    }
    gh_slots_free(own);
    gh_leave(m);
    gh_heap_free(h);
}

// hurried takes spans in advance whenever it may, as if somebody had been in the way:
// cycles begin with some left, or with full ones that are not given back yet.
static void
hurried(uint64_t seed)
{
    gh_mut *m;
    gh_heap *h = new_heap(2, -1, GH_BARRIER_HYBRID, 0, &m);
    const gh_type *node;
    CHECK(gh_type_new(m, &node_desc, &node) == GH_OK);
    gh_slots *own;
    enum { MANY = 1000 };
    CHECK(gh_slots_new(h, MANY + 1, &own) == GH_OK);
    gh_slot *at = gh_slots_at(own, MANY);
    gh_ahead *a = &m->conc->ahead;
    for (int k = 0; k < 4; k++) {
        uint64_t swaps = 0;
        for (uint64_t i = 2000 + draw(&seed, 2000); i > 0; i--) {
            const uint8_t before = a->next;
            a->contended = GH_AHEAD_REFILLS;
            make_node(m, node, at, i);
            swaps += a->next > before;
            gh_slot *kept = gh_slots_at(own, draw(&seed, MANY));
            if (draw(&seed, 4) != 0) {
                CHECK(gh_store(m, at, 0, kept) == GH_OK);
            }
            gh_set(m, kept, at);
        }
        CHECK(swaps > 0);
        CHECK(gh_gc(m) == GH_OK);
        for (size_t i = 0; i < MANY; i++) {
            check_node(gh_slots_at(own, i));
        }
    }
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_slots_free(own);
    gh_leave(m);
    gh_heap_free(h);
}

// ---- two threads, step by step ------------------------------------------------------

// A scene is a heap with one that holds a P and another that comes in beside it. Where
// one awaits that the other sleeps only a wake-up has that one go on.
struct scene {
    gh_heap *h;
    gh_mut *m;
    pthread_t id;
    atomic_int ready;    // steps for which the other is ready, if it says so
    atomic_int done;     // steps that are over
    // Blocks in the order in which they were made: roots are looked at the other way.
    gh_slots *late, *many, *early;
    atomic_bool looking; // somebody looks at many, and waits
};

static void
begin_scene(scene *s, int32_t procs, void *(*other)(void *))
{
    gh_mut *m;
    *s = (scene){.h = new_heap(procs, -1, GH_BARRIER_HYBRID, 0, &m)};
    s->m = m;
    CHECK(pthread_create(&s->id, NULL, other, s) == 0);
}

static void
free_roots(scene *s)
{
    gh_slots_free(s->late);
    gh_slots_free(s->many);
    gh_slots_free(s->early);
}

static void
end_scene(scene *s)
{
    CHECK(pthread_join(s->id, NULL) == 0);
    if (s->late != NULL) {
        free_roots(s);
    }
    gh_leave(s->m);
    gh_heap_free(s->h);
}

_Static_assert(GH_ASSERT_LEVEL > 0, "await needs what the watchdog lists");

// await waits until somebody waits for what, and for it to be asleep.
static void
await(gh_heap *h, const char *what)
{
    for (bool waits = false; !waits; gh_sleep(0)) {
        gh_lock(&h->lock);
        for (const gh_watch *w = h->conc.watches; w != NULL; w = w->next) {
            waits |= strcmp(w->what, what) == 0;
        }
        gh_unlock(&h->lock);
    }
    gh_sleep(1000000);
}

static void
poll_for(gh_mut *m, int64_t ns)
{
    for (const int64_t end = gh_nanotime() + ns; gh_nanotime() < end;) {
        (void)gh_poll(m);
    }
}

static void
poll_until(scene *s, gh_mut *m, int done)
{
    while (atomic_load(&s->done) < done) {
        (void)gh_poll(m);
    }
}

// visit comes in, by name, and leaves.
static void *
visit(void *arg)
{
    scene *s = arg;
    gh_mut *m;
    CHECK(gh_enter(s->h, 0, &m) == GH_OK);
    gh_leave(m);
    atomic_store(&s->done, 1);
    return NULL;
}

// left: whoever leaves P 0 wakes who waits for it.
static void
left(void)
{
    scene s;
    begin_scene(&s, 1, visit);
    await(s.h, "a P");
    gh_leave(s.m);
    while (atomic_load(&s.done) == 0) {
        gh_sleep(0);
    }
    CHECK(gh_enter(s.h, 0, &s.m) == GH_OK);
    end_scene(&s);
}

// lent: whoever stays in P 0 gives way at a poll, gets it back, and then nobody wants
// anything.
static void
lent(void)
{
    scene s;
    begin_scene(&s, 1, visit);
    await(s.h, "a P");
    poll_until(&s, s.m, 1);
    poll_for(s.m, 30000000);
    end_scene(&s);
}

enum { STOPS = 3 };

// stand_by stands when it is asked to, and had use for heap_lock before.
static void *
stand_by(void *arg)
{
    scene *s = arg;
    gh_mut *m;
    CHECK(gh_enter(s->h, 1, &m) == GH_OK);
    for (int i = 1; i <= STOPS + 1; i++) {
        atomic_store(&s->ready, i);
        await(s->h, i <= STOPS ? "all to stand still"
                               : "all to hand on what they marked");
        gh_rlock(&s->h->heap_lock);
        gh_runlock(&s->h->heap_lock);
        poll_until(s, m, i);
    }
    gh_leave(m);
    return NULL;
}

// stood: stops, and a ragged barrier, that wait for one that wakes nobody before.
static void
stood(void)
{
    scene s;
    begin_scene(&s, 2, stand_by);
    for (int i = 1; i <= STOPS + 1; i++) {
        while (atomic_load(&s.ready) < i) {
            gh_sleep(0);
        }
        if (i <= STOPS) {
            gh_stop_world(s.m);
            await(s.h, "the world to go on");
            gh_start_world(s.m);
        } else {
            CHECK(!gh_flush_all(s.m));
        }
        atomic_store(&s.done, i);
    }
    end_scene(&s);
}

// claim_p is a worker for a moment.
static void *
claim_p(void *arg)
{
    scene *s = arg;
    gh_p *p = gh_claim_p(s->h, 0, (int64_t)HANG * 1000000000);
    CHECK(p != NULL);
    gh_rlock(&s->h->heap_lock);
    gh_runlock(&s->h->heap_lock);
    gh_unclaim_p(p);
    atomic_store(&s->done, 1);
    return NULL;
}

// kept: whoever has stopped the world polls, and somebody wants its P.
static void
kept(bool by_worker)
{
    scene s;
    begin_scene(&s, 1, by_worker ? claim_p : visit);
    if (by_worker) {
        while (!is_claimed(s.h)) {
            gh_sleep(0);
        }
    } else {
        await(s.h, "a P");
    }
    gh_stop_world(s.m);
    poll_for(s.m, 15000000);
    gh_start_world(s.m);
    poll_until(&s, s.m, 1);
    end_scene(&s);
}

// Whose roots are moved about.
static _Atomic(scene *) moving;

// Whoever is about to look at more of many waits until roots were moved about.
void
gh_planted_root(gh_heap *h)
{
    scene *s = atomic_load(&moving);
    if (s == NULL) {
        return;
    }
    gh_lock(&h->roots_lock);
    const bool many = h->conc.root_block == s->many;
    gh_unlock(&h->roots_lock);
    if (many) {
        atomic_store(&s->looking, true);
        while (atomic_load(&s->done) < 1 || atomic_load(&s->ready) < 2) {
            gh_sleep(0);
        }
    }
}

// So does whoever stands in the middle of a store.
void
gh_planted_stand(gh_mut *m)
{
    if (m->heap->phase == GH_PHASE_OFF && gh_conc_is_asked(m)) {
        gh_safepoint(m);
        const scene *s = atomic_load(&moving);
        while (s != NULL && atomic_load(&s->done) < 1) {
            gh_sleep(0);
        }
    }
}

// cut_beside has P 2. It stores when somebody is about to stop the world, and, when it
// has handed on what it shaded, once more.
static void *
cut_beside(void *arg)
{
    scene *s = arg;
    gh_mut *m;
    CHECK(gh_enter(s->h, 2, &m) == GH_OK);
    atomic_store(&s->ready, 1);
    while (!gh_conc_is_asked(m)) {
        gh_sleep(0);
    }
    CHECK(gh_store(m, gh_slots_at(s->late, 0), 0, NULL) == GH_OK);
    atomic_store(&s->ready, 2);
    poll_until(s, m, 2);
    if (gh_slots_at(s->early, 2)->word != 0) {
        CHECK(gh_store(m, gh_slots_at(s->early, 2), 0, NULL) == GH_OK);
    }
    atomic_store(&s->ready, 3);
    while (atomic_load(&s->done) < 3) {
        gh_sleep(0);
    }
    poll_until(s, m, 4);
    gh_leave(m);
    return NULL;
}

static void
get_ready(scene *s, int ready)
{
    while (atomic_load(&s->ready) < ready) {
        gh_sleep(0);
    }
}

// make_roots has each slot of late lead to a list that nothing else leads to.
static void
make_roots(scene *s, size_t lists, uint64_t length, size_t many)
{
    const gh_type *node;
    CHECK(gh_type_new(s->m, &node_desc, &node) == GH_OK);
    CHECK(gh_slots_new(s->h, lists, &s->late) == GH_OK);
    CHECK(gh_slots_new(s->h, many, &s->many) == GH_OK);
    CHECK(gh_slots_new(s->h, lists, &s->early) == GH_OK);
    for (size_t i = 0; i < lists; i++) {
        gh_slot *top = gh_slots_at(s->late, i), *at = gh_slots_at(s->early, i);
        for (uint64_t k = 0; k < length; k++) {
            make_node(s->m, node, at, k);
            CHECK(gh_store(s->m, at, 0, top) == GH_OK);
            gh_set(s->m, top, at);
        }
        gh_clear(s->m, at);
    }
}

// move_roots moves what hangs from slots that are looked at late into others that were
// looked at already.
static void
move_roots(scene *s)
{
    gh_slot *late[3], *early[3];
    for (size_t i = 0; i < 3; i++) {
        late[i] = gh_slots_at(s->late, i);
        early[i] = gh_slots_at(s->early, i);
    }
    // From an object in which the other may be about to cut it off.
    CHECK(gh_load(s->m, early[0], late[0], 0) == GH_OK);
    gh_set(s->m, early[1], late[1]);
    gh_clear(s->m, late[1]);
    CHECK(gh_load(s->m, early[2], late[2], 0) == GH_OK);
    CHECK(gh_store(s->m, late[2], 0, NULL) == GH_OK);
}

// moved: while roots are looked at what they lead to is moved about. In the end one
// object is in the barrier's buffer of P 1 alone; when P 2 has handed on, the way from
// that object to the next is cut there, and the object marked here.
static void
moved(void)
{
    scene s = {0};
    gh_mut *m;
    pthread_t id;
    gh_heap *h = s.h = new_heap(3, -1, GH_BARRIER_HYBRID, 0, &m);
    gh_leave(m);
    CHECK(gh_enter(h, 1, &s.m) == GH_OK);
    make_roots(&s, 3, 3, 10000);
    atomic_store(&moving, &s);
    CHECK(pthread_create(&s.id, NULL, cut_beside, &s) == 0);
    get_ready(&s, 1);
    CHECK(pthread_create(&id, NULL, collect_once, h) == 0);
    while (!atomic_load(&s.looking)) {
        gh_safepoint(s.m);  // no poll: a worker might get P 1
    }
    // The cycle goes on until this thread polls.
    move_roots(&s);
    atomic_store(&s.done, 1);
    bool asked = false;
    while (!asked && !atomic_load(&h->conc.stopping)) {
        asked = is_to_flush(h, 1);
    }
    if (asked) {
        while (is_to_flush(h, 2)) {
            gh_sleep(0);
        }
        atomic_store(&s.done, 2);
        get_ready(&s, 3);
        atomic_fetch_add(&h->conc.active, 1);
        while (!gh_par_drain(s.m, UINT64_MAX)) {
        }
        atomic_fetch_sub(&h->conc.active, 1);
    }
    atomic_store(&s.done, 3);
    while (h->phase == GH_PHASE_MARK) {
        (void)gh_poll(s.m);
    }
    atomic_store(&s.done, 4);
    CHECK(pthread_join(id, NULL) == 0);
    atomic_store(&moving, NULL);
    end_scene(&s);
}

// until_hungry is at the end of an assist: all others wait, two workers for work and the
// thread that asked for the cycle for its end.
static void
until_hungry(scene *s)
{
    atomic_store(&s->done, 1);
    while (atomic_load(&s->h->conc.hungry) < 2) {
        gh_sleep(0);
    }
    await(s->h, "the end of a cycle");
}

// paid: a mutator assists once, has half a list left, and only polls from then on.
static void
paid(void)
{
    scene s = {.ready = 2};
    gh_mut *m;
    gh_heap *h = s.h = new_heap(2, -1, GH_BARRIER_HYBRID, 0, &m);
    gh_leave(m);
    CHECK(gh_enter(h, 1, &s.m) == GH_OK);
    make_roots(&s, 1, 20000, 10000);
    gh_slot *early = gh_slots_at(s.early, 0), *late = gh_slots_at(s.late, 0);
    CHECK(gh_gc(s.m) == GH_OK);
    gh_sleep(20000000);  // for the workers to wait for a cycle
    atomic_store(&moving, &s);
    CHECK(pthread_create(&s.id, NULL, collect_once, h) == 0);
    while (!atomic_load(&s.looking)) {
        gh_safepoint(s.m);
    }
    CHECK(gh_load(s.m, early, late, 0) == GH_OK);
    CHECK(gh_store(s.m, late, 0, NULL) == GH_OK);
    if (!GH_PLANTED(NO_ASSIST_WAKE)) {
        atomic_store(&s.done, 1);
    }
    paying = &s;
    s.m->assist_bytes = 0;
    gh_bg_charge(s.m, 1);
    paying = NULL;
    atomic_store(&s.done, 1);
    while (h->phase == GH_PHASE_MARK) {
        (void)gh_poll(s.m);
    }
    atomic_store(&moving, NULL);
    end_scene(&s);
}

static void
scenes(uint64_t seed)
{
    left();
    lent();
    stood();
    kept(seed % 2 == 0);
    kept(seed % 2 != 0);
    moved();
    paid();
}

static void
rounds(uint64_t seed, int seconds)
{
    atomic_store(&pauses, seed << 32);
    const int64_t end = gh_nanotime() + (int64_t)seconds * 1000000000;
    for (uint64_t i = seed; gh_nanotime() < end; i++) {
        alarm(HANG);
        in_turn();
        alarm(HANG);
        listed(i, 1);
        alarm(HANG);
        listed(i, 2);
        alarm(HANG);
        named();
        alarm(HANG);
        hurried(i);
        alarm(HANG);
        wide(i, 4);
        alarm(HANG);
        wide(i, 1);
        for (int32_t procs = 1; procs <= 4; procs++) {
            alarm(HANG);
            (void)stress(procs, 100, 0, i, 0);
            alarm(HANG);
            (void)stress(procs, 50, 0, i, i);  // with delays
        }
        alarm(HANG);
        scenes(i);
    }
}

static const struct {
    const char *name;
    int bug;
} plants[] = {
    {"NOTHING", GH_PLANT_NOTHING},
    {"NO_TIMER", GH_PLANT_NO_TIMER},
    {"NO_INS", GH_PLANT_NO_INS},
#define PLANT(name) {#name, GH_PLANT_##name}
    PLANT(NO_DEL), PLANT(NO_SLOT), PLANT(ALLOC_WHITE), PLANT(NO_SAFE),
    PLANT(NO_LOOK), PLANT(NO_RAGGED_LOOK), PLANT(NO_WB), PLANT(NO_ENDING),
    PLANT(NO_FLUSH), PLANT(NO_STALE), PLANT(WRONG_SET), PLANT(KEEP_SET),
    PLANT(PUSH_KEPT), PLANT(NO_CLEAR), PLANT(NO_SWEEP), PLANT(EARLY_MARK),
    PLANT(NO_END_AHEAD), PLANT(NO_SETTLE), PLANT(NO_END_SPARE),
    PLANT(NO_LOCK), PLANT(NO_FLAG), PLANT(FLAG_CLEARED), PLANT(SHARE_HALF),
    PLANT(FLUSH_TOP), PLANT(NO_RECHECK), PLANT(NO_ASSIST_WAKE),
    PLANT(LEAVE_BLIND), PLANT(LEAVE_LOOKERS), PLANT(REORDERED), PLANT(WAIT_LATE),
    PLANT(WAKE_UNLOCKED), PLANT(WANT_UNSAID), PLANT(WANT_KEPT),
    PLANT(DONE_SILENT), PLANT(POLL_BLIND), PLANT(ANY_ONLY), PLANT(STAND_SILENT),
    PLANT(START_SILENT), PLANT(STOP_BLIND), PLANT(STOP_UNSAID),
    PLANT(FLUSH_UNSAID), PLANT(LOCK_EARLY), PLANT(GIVES_AWAY),
};
enum { PLANTS = sizeof(plants) / sizeof(plants[0]) };

// A result is how a child ended that had a bug: NULL is well.
typedef struct result {
    int bug;      // in plants
    const char *end;
    char line[200];  // the first that it said
    double seconds;
} result;

typedef struct plan {
    const char *self;
    uint64_t seed;
    int seconds;  // 0: what is usual
    int n;
    atomic_int next;
    result result[PLANTS];
} plan;

static bool
is_clean(int i)
{
    return plants[i].bug <= GH_PLANT_NO_INS;
}

static const char *
how_it_ended(int status)
{
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGALRM ? "hung" : strsignal(WTERMSIG(status));
    }
    return WEXITSTATUS(status) == 0 ? NULL : "check failed";
}

static void
try(const plan *p, result *r)
{
    char command[1024], rest[200];
    const int seconds = p->seconds > 0     ? p->seconds
                        : is_clean(r->bug) ? CLEAN
                                           : BOUND;
    (void)snprintf(command, sizeof(command), "exec '%s' child %s %llu %d 2>&1",
                   p->self, plants[r->bug].name, (unsigned long long)p->seed,
                   seconds);
    const int64_t began = gh_nanotime();
    FILE *in = popen(command, "r");
    CHECK(in != NULL);
    if (fgets(r->line, sizeof(r->line), in) != NULL) {
        r->line[strcspn(r->line, "\n")] = 0;
    }
    while (fgets(rest, sizeof(rest), in) != NULL) {
    }
    r->end = how_it_ended(pclose(in));
    r->seconds = (double)(gh_nanotime() - began) / 1e9;
}

static void *
try_next(void *arg)
{
    plan *p = arg;
    for (int i; (i = atomic_fetch_add(&p->next, 1)) < p->n;) {
        try(p, &p->result[i]);
    }
    return NULL;
}

// show prints the results; whether each is as it should be.
static bool
show(const plan *p)
{
    bool all = true;
    for (int i = 0; i < p->n; i++) {
        const result *r = &p->result[i];
        printf("%-16s %5.1f s  %s%s%s\n", plants[r->bug].name, r->seconds,
               r->end == NULL ? "ended well" : r->end,
               r->line[0] == 0 ? "" : ": ", r->line);
        if ((r->end == NULL) != is_clean(r->bug)) {
            printf("    WRONG: %s, seed %llu\n",
                   is_clean(r->bug) ? "it should have ended well"
                                    : "it was not found",
                   (unsigned long long)p->seed);
            all = false;
        }
    }
    return all;
}

int
main(int argc, char **argv)
{
    const bool child = argc > 1 && strcmp(argv[1], "child") == 0;
    char **arg = argv + child;
    const int n = argc - child;
    plan p = {
        .self = argv[0],
        .seed = n > 2 ? strtoull(arg[2], NULL, 0) : 1,
        .seconds = n > 3 ? atoi(arg[3]) : 0,
    };
    for (int i = 0; i < PLANTS; i++) {
        if (n <= 1 || strcmp(arg[1], plants[i].name) == 0) {
            p.result[p.n++].bug = i;
        }
    }
    CHECK(p.n > 0);
    if (child) {
        gh_planted = plants[p.result[0].bug].bug;
        rounds(p.seed, p.seconds);
        return 0;
    }
    pthread_t id[JOBS];
    for (int i = 0; i < JOBS; i++) {
        CHECK(pthread_create(&id[i], NULL, try_next, &p) == 0);
    }
    for (int i = 0; i < JOBS; i++) {
        CHECK(pthread_join(id[i], NULL) == 0);
    }
    return show(&p) ? 0 : 1;
}

// test_mgclimit.c: the CPU limiter. The figures of the first four tests are
// those of Go 1.26.8's own limiter.

#include "check.h"
#include "mgclimit.h"

#define MS ((int64_t)1000000)
#define S  ((int64_t)1000000000)

// [gc:58-62]
static void
test_one_proc(void)
{
    const uint32_t num_gc = 6;
    gh_limiter l;
    gh_limiter_init(&l, 0, 1, &num_gc);
    CHECK_EQ(l.capacity, 1000000000);
    int64_t now = MS;
    gh_limiter_start_gc(&l, true, now);
    gh_limiter_finish_gc(&l, now += MS);
    CHECK_EQ(l.fill, 1000000);
    gh_limiter_add_assist_time(&l, 8 * MS);
    gh_limiter_update(&l, now += 10 * MS);
    CHECK_EQ(l.fill, 12000000);
    gh_limiter_update(&l, now += 10 * MS);
    CHECK_EQ(l.fill, 7000000);
    CHECK(!gh_limiter_limiting(&l));
    CHECK_EQ(l.last_enabled_cycle, 0);
    gh_limiter_add_assist_time(&l, 2 * S);
    gh_limiter_update(&l, now += 1500 * MS);
    CHECK_EQ(l.fill, 1000000000);
    CHECK_EQ(l.overflow, 2257000000);
    CHECK(gh_limiter_limiting(&l));
    CHECK_EQ(l.last_enabled_cycle, 7);
    // Exactly half for the collector, or no time at all: stays on.
    gh_limiter_add_assist_time(&l, MS);
    gh_limiter_update(&l, now += 4 * MS);
    gh_limiter_update(&l, now);
    CHECK(gh_limiter_limiting(&l));
    CHECK_EQ(l.overflow, 2257000000);
    gh_limiter_update(&l, now += 1);
    CHECK_EQ(l.fill, 999999999);
    CHECK(!gh_limiter_limiting(&l));
    // A time before the last update counts nothing.
    gh_limiter_add_assist_time(&l, MS);
    gh_limiter_update(&l, now - 1);
    CHECK_EQ(l.fill, 999999999);
    CHECK_EQ(l.assist_pool, MS);
}

// [gc:63-66]
static void
test_many_procs(void)
{
    const uint32_t num_gc = 0;
    gh_limiter l;
    gh_limiter_init(&l, 0, 14, &num_gc);
    int64_t now = 3600 * S;
    gh_limiter_update(&l, now);
    CHECK_EQ(l.fill, 0);
    gh_limiter_start_gc(&l, true, now += 109 * MS);
    gh_limiter_finish_gc(&l, now += 2 * MS + 1000);
    CHECK_EQ(l.fill, 28014000);
    gh_limiter_update(&l, now += 28 * S);
    CHECK_EQ(l.fill, 0);
    // Half the time, a quarter of it assists: empty stays empty.
    gh_limiter_add_assist_time(&l, 35 * MS);
    gh_limiter_update(&l, now += 10 * MS);
    CHECK_EQ(l.fill, 0);
    // Exactly full: limiting, and nothing lost.
    gh_limiter_add_assist_time(&l, 14 * S * 3 / 4);
    gh_limiter_update(&l, now += S);
    CHECK_EQ(l.fill, l.capacity);
    CHECK(gh_limiter_limiting(&l));
    CHECK_EQ(l.overflow, 0);
    gh_limiter_start_gc(&l, false, now);
    gh_limiter_finish_gc(&l, now += 5 * MS);
    CHECK_EQ(l.overflow, (uint64_t)(14 * 5 * MS));
    gh_limiter_reset_capacity(&l, now, 24);
    CHECK_EQ(l.capacity, (uint64_t)(24 * S));
    CHECK_EQ(l.fill, (uint64_t)(14 * S));
    CHECK(!gh_limiter_limiting(&l));
    gh_limiter_reset_capacity(&l, now, 4);
    CHECK_EQ(l.fill, (uint64_t)(4 * S));
    CHECK(gh_limiter_limiting(&l));
    CHECK_EQ(l.overflow, (uint64_t)(14 * 5 * MS));
}

static uint64_t
random_next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void
mix(uint64_t *digest, uint64_t v)
{
    *digest = (*digest ^ v) * 1099511628211u;
}

// 200000 random steps; the digest is that of the same steps in Go.
static void
test_random(void)
{
    const uint32_t num_gc = 0;
    gh_limiter l;
    int32_t procs = 4;
    gh_limiter_init(&l, 0, procs, &num_gc);
    uint64_t x = 88172645463325252u, digest = 14695981039346656037u;
    int64_t now = 0;
    bool gc = false;
    int limited = 0;
    for (int i = 0; i < 200000; i++) {
        const uint64_t r = random_next(&x);
        const int64_t d = (int64_t)(random_next(&x) % 40000000);
        if (r % 64 == 0) {
            gc = !gc;
            gh_limiter_start_gc(&l, gc, now + d);
            now += d + (int64_t)(random_next(&x) % 2000000);
            gh_limiter_finish_gc(&l, now);
        } else if (r % 257 == 1) {
            procs = (int32_t)(random_next(&x) % 14) + 1;
            gh_limiter_reset_capacity(&l, now, procs);
        } else if (r % 16 == 2) {
            gh_limiter_update(&l, now - d);
        } else {
            if (random_next(&x) % 3 != 0) {
                const uint64_t ns = random_next(&x) % (uint64_t)(3 * d + 1);
                gh_limiter_add_assist_time(&l, (int64_t)ns * procs / 3);
            }
            now += d;
            gh_limiter_update(&l, now);
        }
        CHECK(l.fill <= l.capacity);
        if (gh_limiter_limiting(&l)) {
            limited++;
            mix(&digest, 7);
        }
        mix(&digest, l.fill);
        mix(&digest, l.overflow);
    }
    CHECK_EQ(limited, 1863);
    CHECK_EQ(l.fill, 2146983736);
    CHECK_EQ(l.overflow, 107306673519);
    CHECK_EQ(digest, 0x5953e519e242c28u);
}

// [gc:68]
static void
test_stamps(void)
{
    CHECK_EQ(gh_limiter_stamp(GH_LIMITER_MARK_ASSIST, 12345),
             0x4000000000003039u);
    CHECK_EQ(gh_limiter_stamp(GH_LIMITER_IDLE, (int64_t)1 << 40),
             0x8000010000000000u);
    const int64_t turn = (int64_t)1 << 61;
    const uint64_t s = gh_limiter_stamp(GH_LIMITER_IDLE_MARK, turn + 5);
    CHECK(gh_limiter_stamp_type(s) == GH_LIMITER_IDLE_MARK);
    CHECK_EQ(gh_limiter_stamp_duration(s, turn + 25), 20);
    CHECK_EQ(gh_limiter_stamp_duration(s, turn + 4), 0);
    const uint64_t before = gh_limiter_stamp(GH_LIMITER_IDLE, turn - 1);
    CHECK_EQ(gh_limiter_stamp_duration(before, turn + 1), 0);
}

// [gc:67]
static void
test_need_update(void)
{
    const uint32_t num_gc = 0;
    gh_limiter l;
    gh_limiter_init(&l, 77, 1, &num_gc);
    CHECK(!gh_limiter_need_update(&l, 77 + 10 * MS));
    CHECK(gh_limiter_need_update(&l, 77 + 10 * MS + 1));
}

// An update in the middle of an event takes the part so far; the end of the
// event adds the rest to a pool.
static void
test_events(void)
{
    const uint32_t num_gc = 0;
    gh_limiter l;
    gh_limiter_init(&l, 0, 4, &num_gc);
    gh_limiter_event p[4] = {{0}};
    for (int i = 0; i < 4; i++) {
        gh_limiter_add_event(&l, &p[i]);
    }
    CHECK(gh_limiter_event_start(&p[0], GH_LIMITER_MARK_ASSIST, 0));
    CHECK(gh_limiter_event_start(&p[1], GH_LIMITER_SCAVENGE_ASSIST, MS));
    CHECK(gh_limiter_event_start(&p[2], GH_LIMITER_IDLE, 0));
    CHECK(gh_limiter_event_start(&p[3], GH_LIMITER_IDLE_MARK, 2 * MS));
    CHECK(!gh_limiter_event_start(&p[3], GH_LIMITER_MARK_ASSIST, 3 * MS));
    gh_limiter_update(&l, 10 * MS);
    // Of 40 ms: 19 assist, 18 idle, so 3 mutator.
    CHECK_EQ(l.fill, 16 * MS);
    CHECK_EQ(l.idle_ns, 10 * MS);
    gh_limiter_event_stop(&l, &p[0], GH_LIMITER_MARK_ASSIST, 12 * MS);
    gh_limiter_event_stop(&l, &p[1], GH_LIMITER_SCAVENGE_ASSIST, 11 * MS);
    gh_limiter_event_stop(&l, &p[2], GH_LIMITER_IDLE, 14 * MS);
    gh_limiter_event_stop(&l, &p[3], GH_LIMITER_IDLE_MARK, 15 * MS);
    CHECK_EQ(l.assist_pool, 3 * MS);
    CHECK_EQ(l.idle_pool, 9 * MS);
    CHECK_EQ(l.idle_ns, 14 * MS);
    gh_limiter_update(&l, 15 * MS);
    // Of 20 ms: 3 assist, 9 idle, so 8 mutator.
    CHECK_EQ(l.fill, 11 * MS);
    CHECK_EQ(l.assist_pool, 0);
    CHECK_EQ(l.idle_pool, 0);
    // What isn't in the list isn't looked at.
    gh_limiter_remove_event(&l, &p[2]);
    gh_limiter_remove_event(&l, &p[0]);
    gh_limiter_remove_event(&l, &p[3]);
    CHECK(l.events == &p[1] && p[1].next == NULL);
    CHECK(gh_limiter_event_start(&p[0], GH_LIMITER_MARK_ASSIST, 15 * MS));
    gh_limiter_update(&l, 16 * MS);
    CHECK_EQ(l.fill, 7 * MS);
    int64_t ns;
    CHECK(gh_limiter_event_consume(&p[0], 15 * MS, &ns) == GH_LIMITER_NONE);
    CHECK_EQ(ns, 0);
    CHECK(gh_limiter_event_consume(&p[0], 16 * MS, &ns)
          == GH_LIMITER_MARK_ASSIST);
    CHECK_EQ(ns, MS);
}

int
main(void)
{
    test_one_proc();
    test_many_procs();
    test_random();
    test_stamps();
    test_need_update();
    test_events();
    return 0;
}

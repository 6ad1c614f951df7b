// test_lock.c: mutexes exclude, those of one holder let him in again, condition variables
// wake everybody, the clock is the monotonic one.

#define _POSIX_C_SOURCE 200809L  // clock_gettime, alarm

#include <time.h>
#include <unistd.h>

#include "check.h"
#include "lock.h"

enum { THREADS = 4, ROUNDS = 20000 };

typedef struct shared {
    gh_mutex mutex;
    gh_cond cond;
    uint64_t count;     // the rest is under mutex
    bool inside;
    unsigned arrived;
    unsigned go;
    unsigned gone;
} shared;

// Each round is a read and a write apart from each other: without exclusion
// counts get lost.
static void *
count(void *arg)
{
    shared *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        gh_lock(&s->mutex);
        CHECK(!s->inside);
        s->inside = true;
        s->count++;
        s->inside = false;
        gh_unlock(&s->mutex);
    }
    return NULL;
}

static void *
wait_for_go(void *arg)
{
    shared *s = arg;
    gh_lock(&s->mutex);
    s->arrived++;
    gh_cond_broadcast(&s->cond);
    while (s->go == 0) {
        gh_cond_wait(&s->cond, &s->mutex);
        CHECK(!s->inside);  // we hold the mutex again
    }
    s->gone++;
    gh_unlock(&s->mutex);
    return NULL;
}

static void
run(shared *s, void *(*body)(void *), void (*meanwhile)(shared *))
{
    pthread_t threads[THREADS];
    *s = (shared){0};
    gh_mutex_init(&s->mutex);
    gh_cond_init(&s->cond);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, body, s), 0);
    }
    if (meanwhile != NULL) {
        meanwhile(s);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    gh_cond_fini(&s->cond);
    gh_mutex_fini(&s->mutex);  // throws if it is still locked
}

// All threads get to wait at once, which they can only if waiting gives the
// mutex up; then one broadcast lets them all go.
static void
let_go(shared *s)
{
    gh_lock(&s->mutex);
    while (s->arrived < THREADS) {
        gh_cond_wait(&s->cond, &s->mutex);
    }
    CHECK_EQ(s->gone, 0);
    s->go = 1;
    s->inside = true;
    gh_cond_broadcast(&s->cond);
    CHECK_EQ(s->gone, 0);  // nobody before we unlock
    s->inside = false;
    gh_unlock(&s->mutex);
}

// ---- gh_rmutex ---------------------------------------------------------------------------

typedef struct rshared {
    gh_rmutex mutex;
    uint64_t count;    // the rest is under mutex
    unsigned inside;
    bool sleeps;       // holders sleep, so that those who wait do
    _Atomic unsigned tries;
    uint64_t waited;   // also under mutex: how many found it taken
} rshared;

static void *
rcount(void *arg)
{
    rshared *s = arg;
    const int rounds = s->sleeps ? ROUNDS / 100 : ROUNDS;
    for (int i = 0; i < rounds; i++) {
        for (unsigned depth = 0; depth < 3; depth++) {
            gh_rlock(&s->mutex);
            CHECK_EQ(s->inside, depth);
            s->inside++;
        }
        s->count++;
        if (s->sleeps && i % 16 == 0) {
            gh_sleep(1000);
        }
        for (unsigned depth = 3; depth > 0; depth--) {
            CHECK_EQ(s->inside, depth);
            s->inside--;
            gh_runlock(&s->mutex);
        }
    }
    return NULL;
}

static void *
want(void *arg)
{
    rshared *s = arg;
    atomic_fetch_add(&s->tries, 1);
    const bool waited = gh_rlock(&s->mutex);
    s->count++;
    s->waited += waited;
    gh_runlock(&s->mutex);
    return NULL;
}

// Who waits sleeps, is woken one after the other, and not before the last unlock.
static void
test_rmutex(void)
{
    pthread_t threads[THREADS];
    for (int sleeps = 0; sleeps < 2; sleeps++) {
        rshared s = {.sleeps = sleeps != 0};
        gh_rmutex_init(&s.mutex);
        for (int i = 0; i < THREADS; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, rcount, &s), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        CHECK_EQ(s.count, THREADS * (sleeps ? ROUNDS / 100 : ROUNDS));
        gh_rmutex_fini(&s.mutex);  // throws if it is still locked
    }
    for (int round = 0; round < 20; round++) {
        rshared s = {0};
        gh_rmutex_init(&s.mutex);
        CHECK(!gh_rlock(&s.mutex));
        CHECK(!gh_rlock(&s.mutex));
        for (int i = 0; i < THREADS; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, want, &s), 0);
        }
        while (atomic_load(&s.tries) < THREADS) {
            gh_sleep(0);
        }
        gh_sleep(2000000);
        gh_runlock(&s.mutex);
        gh_sleep(100000);
        CHECK_EQ(s.count, 0);
        gh_runlock(&s.mutex);
        for (int i = 0; i < THREADS; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        CHECK_EQ(s.count, THREADS);
        gh_rmutex_fini(&s.mutex);
    }
}

// The monotonic clock in ns, between two looks at it.
static void
test_clock(void)
{
    int64_t last = 0;
    for (int i = 0; i < 100000; i++) {
        struct timespec t[2];
        CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &t[0]), 0);
        const int64_t now = gh_nanotime();
        CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &t[1]), 0);
        CHECK(now >= (int64_t)t[0].tv_sec * 1000000000 + t[0].tv_nsec);
        CHECK(now <= (int64_t)t[1].tv_sec * 1000000000 + t[1].tv_nsec);
        CHECK(now >= last);
        last = now;
    }
}

// gh_rlock says that somebody else had the mutex.
static void
test_waited(void)
{
    rshared s = {0};
    pthread_t thread;
    gh_rmutex_init(&s.mutex);
    CHECK(!gh_rlock(&s.mutex));
    CHECK_EQ(pthread_create(&thread, NULL, want, &s), 0);
    while (atomic_load(&s.mutex.word) != 2) {  // it sleeps, or is about to
        gh_sleep(0);
    }
    gh_runlock(&s.mutex);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(s.waited, 1);
    (void)want(&s);
    CHECK_EQ(s.waited, 1);
    gh_rmutex_fini(&s.mutex);
}

// A spin ends, by the clock.
static void
test_spin(void)
{
    const int64_t t = gh_nanotime();
    gh_spin s = {0};
    while (gh_spins(&s)) {
    }
    CHECK(gh_nanotime() - t >= 10000);
    CHECK(s.n >= 64);
}

int
main(void)
{
    (void)alarm(120);  // a lost wake-up
    shared s;
    run(&s, count, NULL);
    CHECK_EQ(s.count, THREADS * ROUNDS);
    run(&s, wait_for_go, let_go);
    CHECK_EQ(s.gone, THREADS);
    test_rmutex();
    test_waited();
    test_spin();
    test_clock();
    return 0;
}
